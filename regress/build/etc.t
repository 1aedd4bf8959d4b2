#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What is below etc/ fits the program: completion knows its options, packages
# hold what is installed, and each file can be read by what will read it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Find;
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Proc qw(tmpdir which run_command slurp spew as_mail_user
    give_away);

my $etc = "$FindBin::Bin/../../etc";
my $program = Imapsync::Imapsync::program();
my $tmp = tmpdir();

plan skip_all => "$program is missing: run make stage" unless -x $program;

sub quiet_ok
{
	my ($name, @command) = @_;

	is(eval { run_command(\@command) } // $@, '', $name);
}

# ---- completion ----

my %help = map { $_ => 1 }
    run_command([$program, '--help']) =~ /(?<![\w-])--([a-z][a-z-]+)/g;
for my $file (qw(imapsync.bash _imapsync imapsync.ksh)) {
	my $text = slurp("$etc/completion/$file") =~ s/^#.*$//mgr;
	my %known = map { $_ => 1 } $text =~ /(?<![\w-])--([a-z][a-z-]+)/g;
	# In zsh's file also as {-h,--help}.
	is(join(' ', sort keys %known), join(' ', sort keys %help),
	    "$file: the options are those of --help");
}

my $home = "$tmp/home";
mkdir $_ for $home, "$home/config", "$home/config/imapsync";
spew("$home/config/imapsync/$_", '') for 'config', 'work', 'a b';

# What bash offers behind these words.
sub bash_offers
{
	my (@words) = @_;
	my $script = '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' .
	    '_imapsync 2>/dev/null; ((${#COMPREPLY[@]})) && ' .
	    'printf "<%s>" "${COMPREPLY[@]}"; :';

	return run_command([which('bash'), '--norc', '-c', $script,
	    "$etc/completion/imapsync.bash", 'imapsync', @words],
	    dir => $home, env => { XDG_CONFIG_HOME => "$home/config" });
}

SKIP: {
	skip('there is no bash', 8) unless which('bash');
	quiet_ok('imapsync.bash: syntax', which('bash'), '-n',
	    "$etc/completion/imapsync.bash");
	is(bash_offers('--conf'), '<--config=>', 'bash: an option');
	is(bash_offers('--config', '=', 'w'), '<work>', 'bash: an account');
	is(bash_offers('--config=a'), '<a b>', 'bash: the same in one word');
	is(bash_offers('--config', '='), '<a b><config><work>',
	    'bash: all accounts');
	is(bash_offers('--target', '=', 'local,da'), '<local,database>',
	    'bash: the second of two values');
	is(bash_offers('--target='), '<local><remote><database>',
	    'bash: all values');
	is(bash_offers('INB'), '', 'bash: nothing for a mailbox');
}
SKIP: {
	skip('there is no zsh', 1) unless which('zsh');
	quiet_ok('_imapsync: syntax', which('zsh'), '-f', '-n',
	    "$etc/completion/_imapsync");
}
SKIP: {
	my ($ksh) = grep { defined } map { which($_) } qw(ksh oksh mksh);
	skip('there is no ksh', 2) unless defined $ksh;
	quiet_ok("$_: syntax", $ksh, '-n', "$etc/$_")
	    for 'completion/imapsync.ksh', 'imapsync.rc';
}

# ---- cron ----

# Comments that hold a line count, too.
for my $line (slurp("$etc/crontab") =~ /^#?((?:[*]\S*\t+){5}.*)$/mg) {
	my $command = $line =~ s/^(?:\S+\s+){5}//r;
	unlike($command, qr/%/, 'crontab: cron makes % a newline');
	quiet_ok("crontab: $command", 'sh', '-n', '-c', $command);
}

# ---- a Dovecot of one's own ----

# What the user's programs say to it, with "home" as his home directory.
sub dovecot_says
{
	my ($home, $words, @command) = @_;

	# Dovecot wants a pipe.
	spew("$tmp/words", $words, 0644);
	return eval { run_command(['sh', '-c', 'cat "$0" | "$@"',
	    "$tmp/words", as_mail_user(), 'env', "HOME=$home", 'USER=joe',
	    @command]) } // $@;
}

my $doveadm = which('doveadm');
my $sbin = "$ENV{PATH}:/usr/sbin:/usr/local/sbin";
my ($dovecot) = defined $doveadm ? run_command(['env', "PATH=$sbin",
    'dovecot', '--version']) =~ /^(2\.[34])\./ : ();
for my $version ('2.3', '2.4') {
	SKIP: {
		skip("there is no Dovecot $version", 3)
		    unless defined $dovecot && $dovecot eq $version;
		my $conf = $version eq '2.3' ? 'dovecot-local.conf' :
		    "dovecot-local-$version.conf";
		mkdir "$tmp/joe";
		give_away("$tmp/joe");
		spew("$tmp/$conf", slurp("$etc/$conf"), 0644);
		my $said = dovecot_says("$tmp/joe", qq{a CREATE "x/y z"\r\n} .
		    qq{b LIST "" *\r\nc LOGOUT\r\n}, $doveadm, '-c',
		    "$tmp/$conf", 'exec', 'imap');
		like($said, qr/^\* PREAUTH .*UIDPLUS/, "$conf: it greets");
		like($said, qr{^\* LIST \(.*\) "/" "x/y z"\r$}m,
		    "$conf: / separates");
		ok(-d "$tmp/joe/Maildir/.x.y z/cur", "$conf: in ~/Maildir");
	}
}
# ---- the log ----

SKIP: {
	my ($rotate) = grep { -x } map { which($_) // () } 'logrotate',
	    '/usr/sbin/logrotate';
	skip('there is no logrotate', 1) unless defined $rotate;
	my $text = slurp("$etc/imapsync.logrotate") =~ s/^\s*su .*\n//mr =~
	    s{/home/joe/\S+ \{}{$tmp/log \{}r;
	spew("$tmp/rotate", $text, 0644);
	is(system("$rotate -d -s $tmp/state $tmp/rotate >$tmp/out 2>&1"), 0,
	    'logrotate takes it') or diag(slurp("$tmp/out"));
}
like(slurp("$etc/imapsync.newsyslog"),
    qr{^/\S+\s+\w+:\w+\s+600\s+\d+\s+\d+\s+\*\s+Z\s+"pkill -USR2 .*"$}m,
    'a line for newsyslog.conf(5)');

# ---- packages ----

my @staged;
my $usr = Imapsync::Imapsync::stage() . '/usr';
find({ no_chdir => 1, wanted => sub {
	push @staged, $_ =~ s{^\Q$usr\E/}{}r =~ s{^share/man/}{man/}r if -f;
} }, $usr);
my ($bare) = run_command([$program, '--version']) =~ /(\d+\.\d+\S*)/;

# The port: what `make install` and post-install of the port install.
my $port = slurp("$etc/port/Makefile");
my %plist = map { $_ => 1 } grep { /^\w/ && !m{/$} && !m{/pkg-readmes/} }
    map { s/^\@(?:bin|man) //r } split /\n/, slurp("$etc/port/pkg/PLIST");
my %wanted = map { $_ => 1 } @staged;
$wanted{'share/examples/imapsync/imapsync.ksh'} = 1;
is(join("\n", sort keys %plist), join("\n", sort keys %wanted),
    'PLIST is what is installed');
quiet_ok('autopkgtest: syntax', 'sh', '-n', "$etc/debian/tests/sync");
like($port, qr/^V =\s+\Q$bare\E$/m, "the port is of version $bare");
like(slurp("$etc/debian/changelog"), qr/\Aimapsync \(\Q$bare\E-\d+\) /,
    "the Debian package is of version $bare");

SKIP: {
	my $bmake = which('bmake') // skip('there is no bmake', 1);
	# In place of the ports tree: what the port takes from it.
	mkdir "$tmp/mk";
	spew("$tmp/mk/sys.mk", '');
	spew("$tmp/mk/bsd.port.mk", join '', map { "$_\n" }
	    'WRKINST = /w', 'WRKSRC = /src', 'RCDIR = /etc/rc.d',
	    'TRUEPREFIX = /usr/local', 'PREFIX = /w/usr/local',
	    map { my $word = lc; "$_ = $word" } qw(INSTALL_DATA_DIR
	    INSTALL_DATA INSTALL_SCRIPT));
	my $plan = run_command([$bmake, '-r', '-m', "$tmp/mk", '-n', '-f',
	    "$etc/port/Makefile", 'post-install']);
	my @sources = $plan =~ m{ /src/(\S+)}g;
	is(join(' ', grep { -e "$etc/../$_" } @sources),
	    'etc/imapsync.rc etc/completion/imapsync.ksh',
	    'the port installs files that are there') or diag($plan);
}

# WANTLIB names what OpenBSD's linker is given, and libc.
my $makefile = slurp("$etc/../Makefile") . slurp("$etc/../common/compat.h");
my %libs = (c => 1, map { $_ => 1 } map { /-l(\w+)/g }
    $makefile =~ /^LIBS\w*_(?:OpenBSD|STORE) =(.*)/mg);
is((join ' ', sort split ' ', $port =~ /^WANTLIB \+= (.*)/m ? $1 : ''),
    join(' ', sort keys %libs), 'WANTLIB is what is linked');

# What it takes to build it is said in three places.  (The first three are what
# Debian's build-essential has.)
my @build = slurp("$etc/../README.md") =~ /^\| Debian, Ubuntu \| `(.*)` \|$/m ?
    split(' ', $1) : ();
is((join ' ', sort grep { !/^(?:gcc|libc6-dev|make)$/ } @build),
    (join ' ', sort grep { !/^debhelper/ } map { /^ ([\w.-]+)(?!.*<!nocheck>)/ }
    split /\n/, slurp("$etc/debian/control") =~ /^Build-Depends:\n((?: .*\n)*)/m ?
    $1 : ''), 'Build-Depends is what the README names');
is((join ' ', sort split ' ', slurp("$etc/../regress/setup-packages.sh") =~
    /^build='([^']*)'/m ? $1 : ''), (join ' ', sort @build),
    'and what is installed for the tests');

# AppArmor: its paths are those of the Debian package.
my $profile = "$etc/apparmor/usr.bin.imapsync";
for my $path (grep { m{^(?:bin|libexec)/} } @staged) {
	like(slurp($profile), qr{^\s+/usr/\Q$path\E mr}m,
	    "AppArmor: /usr/$path may be executed");
}
SKIP: {
	my ($parser) = grep { defined && -x } which('apparmor_parser'),
	    '/sbin/apparmor_parser';
	skip('there is no apparmor_parser', 1) unless defined $parser &&
	    -e '/etc/apparmor.d/abstractions/ssl_certs';
	ok(eval { run_command([$parser, '-Q', '-K', $profile]); 1 },
	    'AppArmor: the profile is taken') or diag($@);
}

# Debian: each line of imapsync.install names files that are there.
for (split /\n/, slurp("$etc/debian/imapsync.install")) {
	my ($from, $to) = split;
	my @files = glob "$etc/../$from";
	ok(@files && -e $files[0] && defined $to, "Debian: $from");
}

done_testing;

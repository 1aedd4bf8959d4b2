# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A private mail server for a test: Dovecot or Cyrus, as a tunnel or a daemon;
# Courier, GNU mailutils' imap4d or hoodiecrow, which lack QRESYNC.
#
#	my $s = Imapsync::Server->new(name => 'local', sep => '/');
#	$s->section;		# a hash for Imapsync.pm: type=tunnel, command=
#	$s->client;		# Client.pm, over the tunnel, logged in
#	my $s = Imapsync::Server->new(name => 'remote', daemon => 1,
#	    compress => 1, caps => '+XFOO');
#	$s->section;		# type=imap, host, port, username, password
#	my $s = Imapsync::Server->new(name => 'remote', daemon => 1,
#	    cert => Imapsync::Cert->new(name => 'ok'));	# type=imaps
#
#	$s->reconfigure('quota_grace = 0', '...');	# a Dovecot's tunnel
#
# Options: name (a word), kind (dovecot, cyrus, courier, mailutils, hoodiecrow),
# sep ('/', '.'), prefix ('INBOX.'), reference (list-reference of that side),
# user, password, daemon.
# Dovecot: location (default maildir:~/Maildir), compress, quota ('50K'),
# max_mail_size ('20k'), caps, mechs, conf (further lines), cert.
# Cyrus: conf (lines; see new_cyrus), cert.
# Courier is a tunnel, and so is mailutils: format (maildir, mbox).  hoodiecrow is
# a daemon, and forgets all when it ends: plugins (a list; none: RFC 3501 alone).
#
# All is below the test's directory; a root test runs the servers as "mail".
package Imapsync::Server;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use IO::Socket::INET;
use POSIX ();
use Imapsync::Client;
use Imapsync::Proc qw(tmpdir spawn wait_for free_port is_root mail_user
    as_mail_user give_away slurp spew which);

my $lib = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');
my $regress = Cwd::abs_path("$lib/..");

sub new
{
	my ($class, %o) = @_;
	my $self = bless { kind => 'dovecot', sep => '/', prefix => '',
	    user => 'user', password => 'pass', reference => '', %o }, $class;

	$self->{name} // die "a server needs a name\n";
	$self->{dir} = tmpdir() . "/$self->{name}";
	mkdir $self->{dir} or die "$self->{dir}: $!\n";
	my $make = $self->can("new_$self->{kind}") //
	    die "no kind $self->{kind}\n";
	$self->$make;
	$self->start if $self->{daemon};
	return $self;
}

sub reference { return $_[0]{reference} }
sub sep { return $_[0]{sep} }
sub port { return $_[0]{port} }
sub tls_port { return $_[0]{tls_port} }
sub dir { return $_[0]{dir} }
# The command of a tunnel: words without shell metacharacters.
sub command { return $_[0]{command} }

sub log
{
	my ($self) = @_;
	return eval { slurp("$self->{dir}/log") } // '';
}

# Can this machine run such a server?  If not, the reason.
sub missing
{
	my ($class, $kind) = @_;

	if ($kind eq 'mailutils') {
		return -x imap4d() ? '' :
		    "GNU mailutils' imap4d is not installed";
	}
	if ($kind ne 'dovecot') {
		return 'node(1) is not installed'
		    if $kind eq 'hoodiecrow' && !which('node');
		return unpacked($kind) ? '' : "\u$kind is not unpacked in " .
		    "$regress/tmp/$kind (regress/all does that)";
	}
	return -x '/usr/lib/dovecot/imap' || -x '/usr/libexec/dovecot/imap' ?
	    '' : 'Dovecot is not installed';
}

# ---- Dovecot ----

sub dovecot_imap
{
	for my $path ('/usr/lib/dovecot/imap', '/usr/libexec/dovecot/imap',
	    '/usr/local/libexec/dovecot/imap') {
		return $path if -x $path;
	}
	die "Dovecot is not installed\n";
}

sub dovecot_common
{
	my ($self) = @_;
	my $location = $self->{location} // 'maildir:~/Maildir';
	my $prefix = $self->{prefix} eq '' ? '' :
	    "  prefix = $self->{prefix}\n";
	my @plugins;
	my $conf = '';

	if (defined $self->{quota} || defined $self->{max_mail_size}) {
		push @plugins, 'quota';
		$conf .= "plugin {\n  quota = count:q\n" .
		    "  quota_vsizes = yes\n  quota_grace = 0\n";
		$conf .= "  quota_max_mail_size = $self->{max_mail_size}\n"
		    if defined $self->{max_mail_size};
		$conf .= "  quota_rule = *:storage=" .
		    ($self->{quota} // '1G') . "\n}\n";
	}
	push @plugins, 'zlib' if $self->{compress};
	$conf .= "mail_plugins = @plugins\n" if @plugins;
	$conf .= "protocol imap {\n  mail_plugins = @plugins" .
	    " imap_zlib\n}\n" if $self->{compress};
	$conf .= "imap_capability = $self->{caps}\n" if defined $self->{caps};
	$conf .= "$self->{conf}\n" if defined $self->{conf};
	return "mail_location = $location\nmail_fsync = never\n" .
	    "namespace inbox {\n  inbox = yes\n  separator = $self->{sep}\n" .
	    "$prefix}\n$conf";
}

sub new_dovecot
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $home = "$dir/home/$self->{user}";

	mkdir "$dir/home";
	mkdir $home or die "$home: $!\n";
	spew("$dir/tunnel.conf", "mail_home = $home\nssl = no\n" .
	    $self->dovecot_common);
	my $words = join ' ', as_mail_user(), 'env -i', "USER=$self->{user}",
	    "HOME=$home", 'PATH=/usr/bin:/bin',
	    (defined $ENV{TZ} ? "TZ=$ENV{TZ}" : ()),
	    "CONFIG_FILE=$dir/tunnel.conf", dovecot_imap();
	$self->{script} = "#!/bin/sh\nexec $words 2>>$dir/log\n";
	$self->write_tunnel;
	spew("$dir/log", '', 0666);
	chmod 0666, "$dir/log";
	give_away($dir);
	$self->{command} = "$dir/tunnel";
}

# Dovecot's imap gives its configuration's name to doveconf(1), which executes it
# again with all of it in the environment.  That is noted once for all sessions,
# and tunnel.c starts imap with it at once.  Where that can't be had it is a
# script, which does the same at five times the cost.
sub write_tunnel
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $file = "$dir/tunnel";
	my $helper = "$regress/tmp/tunnel";
	my @env = -x $helper && length $helper < 100 ?
	    $self->dovecot_environment : ();
	my ($uid, $gid) = is_root() ? (getpwnam(mail_user()))[2, 3] : ($>, $));

	spew("$file.new", !@env ? $self->{script} : "#!$helper\n" . join '',
	    map { "$_\0" } $uid, $gid + 0, "$dir/log", dovecot_imap(), @env);
	chmod 0755, "$file.new";
	rename "$file.new", $file or die "rename: $!\n";
}

# What doveconf(1) makes of tunnel.conf; nothing if it does not work that way.
sub dovecot_environment
{
	my ($self) = @_;
	my $doveconf = which('doveconf') // return;
	my $printenv = which('printenv') // return;
	my $pid = open(my $fh, '-|') // die "fork: $!\n";

	if ($pid == 0) {
		%ENV = (USER => $self->{user}, HOME =>
		    "$self->{dir}/home/$self->{user}",
		    DOVECOT_PRESERVE_ENVS => 'USER HOME TZ',
		    (defined $ENV{TZ} ? (TZ => $ENV{TZ}) : ()));
		open(STDERR, '>', '/dev/null');
		exec $doveconf, qw(-f service=imap -m imap -m ssl -c),
		    "$self->{dir}/tunnel.conf", '-e', $printenv, '-0'
		    or POSIX::_exit(127);
	}
	my @env = split /\0/, do { local $/; <$fh> } // '';
	close $fh or return;
	return grep({ $_ eq 'DOVECONF_ENV=1' } @env) ? @env : ();
}

# Replace that text in the configuration of the sessions that follow.
sub reconfigure
{
	my ($self, $from, $to) = @_;
	my $file = "$self->{dir}/tunnel.conf";
	my $text = slurp($file);

	$text =~ s/\Q$from\E/$to/ or die "no $from in $file\n";
	spew($file, $text);
	$self->write_tunnel;
}

sub dovecot_daemon_conf
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $mech = $self->{mechs} // 'plain login scram-sha-256';
	my $user = is_root() ? mail_user() : scalar getpwuid($>);
	my $group = scalar getgrgid((getpwnam($user))[3]);
	my $cert = $self->{cert};
	my ($internal, $ssl) = ('', "ssl = no\n");

	$internal = "default_internal_user = $user\n" .
	    "default_internal_group = $group\ndefault_login_user = $user\n"
	    unless is_root();
	$ssl = "ssl = yes\nssl_cert = <" . $cert->cert . "\nssl_key = <" .
	    $cert->key . "\n" if $cert;
	my $tls_port = $self->{tls_port} // 0;
	return "base_dir = $dir/run\nstate_dir = $dir/state\n" .
	    "log_path = $dir/log\nprotocols = imap\nlisten = 127.0.0.1\n" .
	    "disable_plaintext_auth = no\nauth_mechanisms = $mech\n" .
	    "first_valid_uid = 1\nfirst_valid_gid = 1\n" .
	    "mail_max_userip_connections = 1000\n$internal$ssl" .
	    "passdb {\n  driver = passwd-file\n  args = $dir/passwd\n}\n" .
	    "userdb {\n  driver = static\n  args = uid=$user gid=$group " .
	    "home=$dir/home/%u\n}\nservice imap-login {\n  chroot =\n" .
	    "  inet_listener imap {\n    port = $self->{port}\n  }\n" .
	    "  inet_listener imaps {\n    port = $tls_port\n    ssl = yes\n" .
	    "  }\n}\nservice anvil {\n  chroot =\n}\n" .
	    "service stats {\n  chroot =\n}\n" . $self->dovecot_common;
}

# Start the daemon, after stop() again on the same port.
sub start
{
	my ($self) = @_;
	my $dir = $self->{dir};

	$self->{port} //= free_port();
	$self->{tls_port} //= free_port() if $self->{cert};
	my $own = $self->can("start_$self->{kind}");
	return $self->$own if $own;
	spew("$dir/passwd", "$self->{user}:{PLAIN}$self->{password}::::::\n");
	spew("$dir/daemon.conf", $self->dovecot_daemon_conf);
	my $dovecot = which('dovecot') // die "no dovecot(1)\n";
	$self->{pid} = spawn([pdeathsig(), $dovecot, '-F', '-c',
	    "$dir/daemon.conf"], out => "$dir/log", err => "$dir/log");
	$self->wait_ready;
}

# A test that is killed with SIGKILL takes its daemons along (Linux).
sub pdeathsig
{
	return which('setpriv') ? ('setpriv', '--pdeathsig', 'TERM') : ();
}

sub wait_ready
{
	my ($self) = @_;

	my $ok = eval {
		wait_for(20, "the greeting of $self->{name}", sub {
			my $sock = IO::Socket::INET->new(Proto => 'tcp',
			    PeerAddr => '127.0.0.1', Timeout => 2,
			    PeerPort => $self->{port}) or return;
			my $rin = '';
			vec($rin, fileno($sock), 1) = 1;
			select($rin, undef, undef, 5) > 0 or return;
			sysread($sock, my $greeting, 8192) or return;
			return $greeting =~ /^\* OK/;
		});
	};
	die $@ . $self->log unless $ok;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	return $self->stop_cyrus if $self->{kind} eq 'cyrus';
	Imapsync::Proc::stop(delete $self->{pid});
}

# ---- what a test needs of either ----

# The keys of this side's section of a configuration.  Further ones override.
sub section
{
	my ($self, %more) = @_;
	my %s;

	if (!$self->{daemon}) {
		%s = (type => 'tunnel', command => $self->{command});
	} elsif ($self->{cert}) {
		%s = (type => 'imaps', host => 'localhost',
		    port => $self->{tls_port}, SSL_CAfile =>
		    $self->{cert}->ca, username => $self->{user},
		    password => $self->{password});
	} else {
		%s = (type => 'imap', host => '127.0.0.1', STARTTLS => 'NO',
		    port => $self->{port}, username => $self->{user},
		    password => $self->{password});
	}
	$s{'list-reference'} = $self->{reference} if $self->{reference} ne '';
	%s = (%s, %more);
	delete $s{$_} for grep { !defined $s{$_} } keys %s;
	return \%s;
}

# A client with a session of its own.
sub client
{
	my ($self, %o) = @_;

	return Imapsync::Client->new(host => '127.0.0.1',
	    port => $self->{port}, user => $self->{user},
	    password => $self->{password}, %o)
	    if $self->{kind} ne 'dovecot' && $self->{daemon};
	return Imapsync::Client->new(command => $self->{command}, %o);
}

# ---- what regress/all has unpacked ----

my %proof = (
	cyrus => 'usr/lib/cyrus/bin/imapd',
	courier => 'usr/bin/imapd',
	hoodiecrow => 'node_modules/hoodiecrow-imap/package.json',
);

# Where it is; undef if it is not.
sub unpacked
{
	my ($kind) = @_;
	my $root = $ENV{"IMAPSYNC_\U$kind"} // "$regress/tmp/$kind";

	return -e "$root/$proof{$kind}" ? $root : undef;
}

# A root test's "mail" may not be able to enter the source tree.
sub reachable
{
	my ($kind) = @_;
	my $root = unpacked($kind) // die "\u$kind is not unpacked\n";

	return $root unless is_root();
	return $root if system(as_mail_user(), 'test', '-r',
	    "$root/$proof{$kind}") == 0;
	my $copy = tmpdir() . "/$kind.root";
	system('cp', '-R', $root, $copy) == 0 or die "copy of $kind failed\n"
	    unless -d $copy;
	return $copy;
}

# ---- Cyrus ----

# unixhierarchysep and altnamespace follow from sep and prefix.
sub new_cyrus
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $root = $self->{root} = reachable('cyrus');
	my $alt = $self->{prefix} eq '' ? 'yes' : 'no';
	my $unix = $self->{sep} eq '/' ? 'yes' : 'no';

	mkdir "$dir/$_" for qw(conf conf/db conf/proc conf/lock conf/socket
	    spool);
	my $user = is_root() ? mail_user() : scalar getpwuid($>);
	my $group = scalar getgrgid((getpwnam($user))[3]);
	my $conf = "configdirectory: $dir/conf\ndefaultpartition: default\n" .
	    "partition-default: $dir/spool\nservername: localhost\n" .
	    "admins: admin\nallowplaintext: yes\nautocreate_quota: 0\n" .
	    "imapidlepoll: 1\nunixhierarchysep: $unix\naltnamespace: $alt\n" .
	    "cyrus_user: $user\ncyrus_group: $group\nfailedloginpause: 0\n" .
	    "sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\n" .
	    "sasl_sasldb_path: $dir/sasldb2\n" .
	    "sasl_mech_list: PLAIN LOGIN SCRAM-SHA-256\n";
	$conf .= "tls_server_cert: " . $self->{cert}->cert .
	    "\ntls_server_key: " . $self->{cert}->key .
	    "\ntls_client_certs: off\n" if $self->{cert};
	spew("$dir/imapd.conf", $conf . ($self->{conf} // ''));
	my ($libs) = glob "$root/usr/lib/*-linux-gnu";
	$self->{env} = "LD_LIBRARY_PATH=$libs";
	$self->{env} .= ' LD_PRELOAD=libeatmydata.so.1'
	    if glob '/usr/lib/*-linux-gnu/libeatmydata.so.1';
	# The wrapper is copied: "mail" must be able to read it.
	spew("$dir/preauth", slurp("$lib/cyrus-preauth"));
	my $words = join ' ', as_mail_user(), 'env', $self->{env},
	    'CYRUS_SERVICE=imap CYRUS_ID=0', $^X, "$dir/preauth",
	    $self->{user}, "$root/usr/lib/cyrus/bin/imapd", '-C',
	    "$dir/imapd.conf", '-X -N -p 2';
	spew("$dir/tunnel", "#!/bin/sh\nexec $words 2>>$dir/log\n", 0755);
	spew("$dir/log", '');
	chmod 0666, "$dir/log";
	give_away($dir);
	$self->{command} = "$dir/tunnel";
}

sub start_cyrus
{
	my ($self) = @_;
	my ($dir, $root) = @$self{qw(dir root)};
	my $bin = "$root/usr/lib/cyrus/bin";
	my $imapd = "$bin/imapd -C $dir/imapd.conf";
	my @as = (as_mail_user(), 'env', split(' ', $self->{env}));
	my $imaps = '';

	$imaps = "  imaps cmd=\"$imapd -s\" listen=\"127.0.0.1:" .
	    "$self->{tls_port}\" prefork=1 maxforkrate=1000\n"
	    if $self->{cert};
	spew("$dir/cyrus.conf", "START {\n  recover cmd=\"$bin/ctl_cyrusdb " .
	    "-C $dir/imapd.conf -r\"\n}\nSERVICES {\n  imap cmd=\"$imapd\" " .
	    "listen=\"127.0.0.1:$self->{port}\" prefork=1 " .
	    "maxforkrate=1000\n$imaps}\nDAEMON {\n  idled cmd=\"" .
	    "$bin/idled -C $dir/imapd.conf\"\n}\n");
	spew("$dir/password", $self->{password});
	Imapsync::Proc::run_command([@as, "$root/usr/sbin/saslpasswd2", '-p',
	    '-c', '-f', "$dir/sasldb2", '-u', 'localhost', $self->{user}],
	    in => "$dir/password");
	# master signals its whole process group when it ends: a session.
	$self->{pid} = spawn([@as, pdeathsig(), "$bin/master", '-D', '-C',
	    "$dir/imapd.conf", '-M', "$dir/cyrus.conf", '-p',
	    "$dir/master.pid"], session => 1, out => "$dir/log",
	    err => "$dir/log");
	$self->wait_ready;
}

# A master that gets SIGTERM while it forks can go on spinning: SIGKILL.
sub stop_cyrus
{
	my ($self) = @_;

	Imapsync::Proc::stop(delete $self->{pid}, 5);
}

# ---- Courier ----

# A tunnel that these words start in the server's directory.
sub new_tunnel
{
	my ($self, @words) = @_;
	my $dir = $self->{dir};

	spew("$dir/tunnel", "#!/bin/sh\ncd $dir && exec " .
	    join(' ', as_mail_user(), 'env -i', @words) . " 2>>$dir/log\n",
	    0755);
	spew("$dir/log", '', 0666);
	chmod 0666, "$dir/log";
	give_away($dir);
	$self->{command} = "$dir/tunnel";
}

# All its mailboxes are below INBOX.
sub new_courier
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $root = reachable('courier');
	my ($libs) = glob "$root/usr/lib/*-linux-gnu";

	$self->{sep} = '.';
	$self->{prefix} = $self->{reference} = 'INBOX.';
	mkdir "$dir/$_" for qw(Maildir Maildir/cur Maildir/new Maildir/tmp);
	$self->new_tunnel(
	    "LD_LIBRARY_PATH=$root/lib:$root/usr/lib:$libs",
	    "AUTHENTICATED=$self->{user} MAILDIR=./Maildir HOME=$dir",
	    'IMAP_KEYWORDS=1 IMAP_ACL=1 IMAP_USELOCKS=1',
	    "IMAP_CAPABILITY='IMAP4rev1 UIDPLUS CHILDREN NAMESPACE " .
	    "THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE'",
	    (defined $ENV{TZ} ? "TZ=$ENV{TZ}" : ()),
	    "$root/usr/bin/imapd", 'Maildir');
}

# ---- GNU mailutils ----

sub imap4d { return which('imap4d') // '/usr/sbin/imap4d' }

sub new_mailutils
{
	my ($self) = @_;
	my $dir = $self->{dir};
	my $type = $self->{format} // 'maildir';

	mkdir "$dir/mail";
	spew("$dir/imap4d.conf", "preauth stdio;\nmailbox {\n" .
	    "  mailbox-pattern \"$type:$dir/mail/INBOX\";\n" .
	    "  mailbox-type $type;\n  folder \"$dir/mail\";\n};\n" .
	    "namespace personal {\n  prefix \"\" {\n" .
	    "    directory \"$dir/mail\";\n    delimiter \"/\";\n" .
	    "    mailbox-type $type;\n  };\n};\n" .
	    "logging {\n  syslog no;\n};\n");
	$self->new_tunnel("HOME=$dir", 'PATH=/usr/bin:/bin', imap4d(),
	    "--config-file=$dir/imap4d.conf --inetd --preauth");
}

# ---- hoodiecrow ----

# What makes CONDSTORE of it, without QRESYNC.
sub hoodiecrow_plugins
{
	return [qw(ID SASL-IR AUTH-PLAIN NAMESPACE IDLE ENABLE CONDSTORE
	    LITERALPLUS UNSELECT SPECIAL-USE CREATE-SPECIAL-USE UIDPLUS MOVE)];
}

sub new_hoodiecrow
{
	my ($self) = @_;
	my $root = reachable('hoodiecrow');

	$self->{daemon} = 1;
	$self->{run} = [which('node'), "$self->{dir}/hoodiecrow.js", $root];
	spew("$self->{dir}/hoodiecrow.js", slurp("$lib/hoodiecrow.js"));
	spew("$self->{dir}/log", '');
	give_away($self->{dir});
}

# It can be spoken with through a command as well, which wants a LOGIN.
sub start_hoodiecrow
{
	my ($self) = @_;
	my $log = "$self->{dir}/log";

	$self->{command} = spew("$self->{dir}/tunnel", "#!/bin/sh\n" .
	    "exec '$^X' '$lib/pipe' $self->{port}\n", 0755);

	$self->{pid} = spawn([as_mail_user(), pdeathsig(), @{ $self->{run} },
	    @$self{qw(port user password)}, @{ $self->{plugins} // ['ID'] }],
	    out => $log, err => $log);
	$self->wait_ready;
}

1;

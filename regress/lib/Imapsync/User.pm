# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A user with a home directory and nothing in it, who types commands.
#
#	my $u = Imapsync::User->new;
#	my $r = $u->run('imapsync', '--check');	# { status, out, err }
#	my $t = $u->terminal('imapsync --init');	# a shell's words
#	$t->shows(qr/Number/, 'a question');	# a test: it comes
#	$t->types("1\n");
#	is($t->ends, 0, 'the exit status');	# and $t->shown is all of it
#	$u->spew('.config/imapsync/config', $text, 0600);
#	$u->slurp('.config/imapsync/config'); $u->path('Maildir');
#
# The programs are a copy of the staged ones, first in PATH.  In a root test the
# user is "mail".  "env" has further variables.  With "home" it is a user that is
# there, and "as" a command that makes one of root.
package Imapsync::User;

use strict;
use warnings;
use File::Basename qw(dirname);
use POSIX ();
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Proc qw(tmpdir spawn which give_away is_root mail_user
    as_mail_user run_command);

my $number = 0;

sub new
{
	my ($class, %o) = @_;
	my $self = bless { env => {}, as => [as_mail_user()], %o }, $class;

	$self->make_home unless defined $self->{home};
	return $self;
}

sub make_home
{
	my ($self) = @_;
	my $usr = tmpdir() . '/usr';

	if (!-d $usr) {
		system('cp', '-R', Imapsync::Imapsync::stage() . '/usr',
		    $usr) == 0 or die "copy of the programs failed\n";
		chmod 0755, tmpdir();
		run_command(['chmod', '-R', 'a+rX', $usr]);
	}
	$self->{usr} = $usr;
	$self->{home} = tmpdir() . '/user' . $number++;
	mkdir $self->{home} or die "mkdir: $!\n";
	give_away($self->{home});
}

sub home { return $_[0]{home} }
sub path { return "$_[0]{home}/$_[1]" }
sub slurp { return Imapsync::Proc::slurp($_[0]->path($_[1])) }

sub spew
{
	my ($self, $name, $text, $mode) = @_;
	my $path = $self->path($name);

	$self->run('mkdir', '-p', dirname($path));
	Imapsync::Proc::spew($path, $text, $mode);
	give_away($path);
	return $path;
}

sub environment
{
	my ($self) = @_;
	my $user = is_root() ? mail_user() : getpwuid($>);

	return { HOME => $self->{home}, USER => $user, LOGNAME => $user,
	    PATH => "$self->{usr}/bin:/usr/bin:/bin:/usr/sbin",
	    IMAPSYNC_LIBEXEC => "$self->{usr}/libexec/imapsync",
	    XDG_CONFIG_HOME => undef, XDG_DATA_HOME => undef,
	    LC_ALL => 'C', %{ $self->{env} } };
}

sub run
{
	my ($self, @command) = @_;
	my ($out, $err) = map { "$self->{home}." . $_ } qw(out err);

	Imapsync::Proc::spew($_, '') for $out, $err;
	my $status = Imapsync::Proc::reap(spawn([@{ $self->{as} }, @command],
	    out => $out, err => $err, dir => $self->{home},
	    env => $self->environment), 60);
	return { status => !defined $status ? -1 : $status & 127 ?
	    -($status & 127) : $status >> 8, out => Imapsync::Proc::slurp($out),
	    err => Imapsync::Proc::slurp($err) };
}

# ---- a terminal ----

sub terminal
{
	my ($self, $words) = @_;
	my $base = "$self->{home}." . $number++;
	my $t = bless { file => "$base.shown" }, 'Imapsync::User::Terminal';

	Imapsync::Proc::spew($t->{file}, '', 0666);
	chmod 0666, $t->{file};
	pipe(my $r, my $w) or die "pipe: $!\n";
	$w->autoflush(1);
	$t->{in} = $w;
	$t->{pid} = spawn([@{ $self->{as} }, which('script'), '-q', '-e', '-f',
	    '-c', "exec $words", $t->{file}], in => $r, out => '/dev/null',
	    dir => $self->{home}, env => { %{ $self->environment },
	    TERM => 'xterm' });
	close $r;
	return $t;
}

package Imapsync::User::Terminal;

use Test::More;

# All octets but the notes that script(1) makes, which are lines of their own.
sub shown
{
	my ($t) = @_;
	return Imapsync::Proc::slurp($t->{file})
	    =~ s/\AScript started on .*\n//r
	    =~ s/\nScript done on .*\n\z//r =~ s/\r\n/\n/gr;
}

# Behind what was looked for before.
sub shows
{
	my ($t, $re, $what) = @_;
	my $from = $t->{seen} // 0;

	my $ok = eval {
		Imapsync::Proc::wait_for(30, $what, sub {
			my $rest = substr $t->shown, $from;
			return unless $rest =~ $re;
			$t->{seen} = $from + $+[0];
			return 1;
		});
	};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($ok, $what) or diag(substr $t->shown, $from);
	return $ok;
}

sub types
{
	my ($t, $text) = @_;
	syswrite $t->{in}, $text;
}

# The exit status once it has ended; undef if it does not.
sub ends
{
	my ($t) = @_;
	my $status = Imapsync::Proc::reap($t->{pid}, 60);

	close $t->{in};
	return defined $status ? $status >> 8 : undef;
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# An sshd(8) of one's own on 127.0.0.1, whose one user is the mail user of a root
# test, else whoever runs the test.
#
#	my $sshd = Imapsync::Sshd->new;		# or the reason why there is none:
#	Imapsync::Sshd->missing;
#	$sshd->port; $sshd->user; $sshd->home;	# the user's home over there
#	$sshd->authorize('restrict ssh-ed25519 AAAA...');	# all of that file
#	$sshd->log;
#	$sshd->new_key; $sshd->start; $sshd->stop;
#
# Nothing of the system's is read or changed.  As root it runs in a mount
# namespace where that user has a shell and this home.
package Imapsync::Sshd;

use strict;
use warnings;
use IO::Socket::INET;
use Imapsync::Proc qw(tmpdir spawn wait_for free_port is_root mail_user
    give_away slurp spew which run_command);

my $number = 0;

sub sshd { return which('sshd') // (grep { -x } '/usr/sbin/sshd')[0] }

sub missing
{
	return 'there is no sshd(8)' unless sshd();
	return 'there is no ssh(1)' unless which('ssh');
	return '' unless is_root();
	return 'no mount namespace can be had' if system('unshare -m true ' .
	    '2>/dev/null') != 0;
	return defined getpwnam('sshd') ? '' : 'there is no user sshd';
}

sub new
{
	my ($class) = @_;
	my $dir = tmpdir() . '/sshd' . $number++;
	my $self = bless { dir => $dir, port => free_port(), home =>
	    "$dir/home", user => is_root() ? mail_user() :
	    scalar getpwuid($>) }, $class;

	mkdir $_ or die "$_: $!\n" for $dir, $self->{home};
	give_away($self->{home});
	chmod 0755, tmpdir(), $dir;
	spew("$dir/log", '');
	$self->authorize('');
	$self->new_key;
	spew("$dir/config", join '', map { "$_\n" }
	    "Port $self->{port}", 'ListenAddress 127.0.0.1',
	    "HostKey $dir/key", "AuthorizedKeysFile $dir/authorized",
	    'PidFile none', 'StrictModes no', 'UsePAM no', 'LogLevel VERBOSE',
	    'PasswordAuthentication no', 'KbdInteractiveAuthentication no');
	# What a root test's sshd sees in place of /etc/passwd.
	spew("$dir/passwd", slurp('/etc/passwd') =~
	    s{^(\Q$self->{user}\E:(?:[^:]*:){4}).*}{$1$self->{home}:/bin/sh}mr);
	$self->start;
	return $self;
}

sub port { return $_[0]{port} }
sub user { return $_[0]{user} }
sub home { return $_[0]{home} }
sub log { return slurp("$_[0]{dir}/log") }

# sshd reads it as the user.
sub authorize
{
	my ($self, $text) = @_;
	spew("$self->{dir}/authorized", $text, 0644);
}

sub new_key
{
	my ($self) = @_;

	unlink "$self->{dir}/key", "$self->{dir}/key.pub";
	run_command(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
	    "$self->{dir}/key"]);
}

sub start
{
	my ($self) = @_;
	my @command = (sshd(), '-D', '-e', '-f', "$self->{dir}/config");

	@command = ('unshare', '-m', 'sh', '-c',
	    'mount --bind "$0" /etc/passwd && mount -t tmpfs none /run && ' .
	    'mkdir -m 755 /run/sshd && exec "$@"', "$self->{dir}/passwd",
	    @command) if is_root();
	open my $log, '>>', "$self->{dir}/log" or die "log: $!\n";
	$self->{pid} = spawn([which('setpriv') ? ('setpriv', '--pdeathsig',
	    'TERM') : (), @command], out => $log, err => $log);
	wait_for(20, 'sshd', sub { IO::Socket::INET->new(PeerAddr =>
	    '127.0.0.1', PeerPort => $self->{port}) });
}

sub stop
{
	my ($self) = @_;
	Imapsync::Proc::stop(delete $self->{pid}) if $self->{pid};
}

1;

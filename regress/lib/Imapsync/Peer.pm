# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The programs that regress/bench/run measures beside each other, each set up as
# its manual says, to keep all mailboxes of two servers the same.
#
#	for my $peer (Imapsync::Peer->all) {		# those installed
#		$peer->name; $peer->version;
#		$peer->set_up($home, $local, $remote);	# ports
#		my @argv = $peer->command; my $env = $peer->environment;
#		my @argv = $peer->watching or next;
#	}
#
# The home keeps configuration and state; set_up() again, with other ports, lets
# the state alone.
package Imapsync::Peer;

use strict;
use warnings;
use Imapsync::Imapsync;
use Imapsync::Proc qw(run_command slurp spew which);

# By name: the program, what prints the version, what is compared of a message
# (mbsync writes a line of its own into each), subscriptions, keywords.
my %kind = (
	imapsync => { program => \&Imapsync::Imapsync::program,
	    version => ['--version'] },
	interimap => { program => sub { which('interimap') },
	    version => [] },
	mbsync => { program => sub { which('mbsync') },
	    version => ['--version'], subscriptions => 0,
	    body => sub { $_[0] =~ s/^X-TUID: [^\n]*\n//mr } },
);

# All that are installed, or those of these names.
sub all
{
	my ($class, @names) = @_;

	@names = qw(imapsync interimap mbsync) unless @names;
	return map { bless { name => $_, %{ $kind{$_} //
	    die "no peer $_\n" } }, $class } grep {
	    my $path = $kind{$_} && $kind{$_}{program}->();
	    defined $path && -x $path } @names;
}

sub name { return $_[0]{name} }
sub program { return $_[0]{program}->() }

# For Compare.pm: what this one does not keep the same.
sub leaves
{
	my ($self) = @_;
	return map { exists $self->{$_} ? ($_ => $self->{$_}) : () }
	    qw(subscriptions body);
}

sub version
{
	my ($self) = @_;
	my @args = @{ $self->{version} };

	return $self->packaged unless @args;
	my ($said) = run_command([$self->program, @args]) =~ /(\d[\w.]*)/;
	return $said // '';
}

# interimap does not tell its own.
sub packaged
{
	my ($self) = @_;
	my $dpkg = which('dpkg-query') // return '';
	my $said = eval { run_command([$dpkg, '-W', '-f', '${Version}',
	    $self->{name}]) } // '';

	return $said =~ s/-[^-]*$//r;
}

sub set_up
{
	my ($self, $home, $local, $remote) = @_;
	my $how = "set_up_$self->{name}";

	-d $_ or mkdir $_ for $home, map { "$home/$_" } 'config', 'data',
	    "config/$self->{name}", 'state';
	$self->{home} = $home;
	return $self->$how($local, $remote);
}

sub sections
{
	return join '', map { "\n[$_->[0]]\ntype = imap\nhost = 127.0.0.1\n" .
	    "port = $_->[1]\nSTARTTLS = NO\nusername = user\n" .
	    "password = pass\n" } @_;
}

sub set_up_imapsync
{
	my ($self, $local, $remote) = @_;
	my $dir = "$self->{home}/config/imapsync";

	spew("$dir/config", sections(['local', $local],
	    ['remote', $remote]), 0600);
}

# It would not read a key of the configuration that it does not know.
sub set_up_interimap
{
	my ($self, $local, $remote) = @_;

	spew("$self->{home}/config/interimap/config", "database = state.db\n" .
	    sections(['local', $local], ['remote', $remote]), 0600);
}

# The local side is a server as well, so that all do the same work.
sub set_up_mbsync
{
	my ($self, $local, $remote) = @_;
	my $text = "CopyArrivalDate yes\nCreate Both\nExpunge Both\n" .
	    "Sync All\nSyncState $self->{home}/state/\n\n";

	for (['local', $local], ['remote', $remote]) {
		$text .= "IMAPStore $_->[0]\nHost 127.0.0.1\nPort $_->[1]\n" .
		    "User user\nPass pass\nSSLType None\nAuthMechs LOGIN\n" .
		    "Timeout 120\n\n";
	}
	$text .= "Channel all\nFar :remote:\nNear :local:\n" .
	    "Patterns * INBOX\n";
	spew("$self->{home}/config/mbsync/config", $text, 0600);
}

sub environment
{
	my ($self) = @_;
	return { HOME => $self->{home}, LC_ALL => 'C',
	    IMAPSYNC_LIBEXEC => Imapsync::Imapsync::libexec(),
	    XDG_CONFIG_HOME => "$self->{home}/config",
	    XDG_DATA_HOME => "$self->{home}/data" };
}

sub command
{
	my ($self) = @_;
	my $file = "$self->{home}/config/$self->{name}/config";
	my %args = (imapsync => ['--quiet', "--config=$file"],
	    interimap => ['--config=config', '--quiet'],
	    mbsync => ['-q', '-c', $file, '-a']);

	return ($self->program, @{ $args{ $self->{name} } });
}

# What stays and looks, where it can be told of changes; nothing if it can't.
sub watching
{
	my ($self) = @_;
	my %more = (imapsync => ['--notify'],
	    interimap => ['--watch', '--notify']);
	my $more = $more{ $self->{name} } // return;

	return ($self->command, @$more);
}

1;

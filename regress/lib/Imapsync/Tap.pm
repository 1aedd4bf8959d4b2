# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A relay between imapsync and a real server that may do something at a certain
# moment: change what passes, or act as another client of that server.
#
#	my $tap = Imapsync::Tap->new(server => $dovecot, c2s => sub {
#		my ($t, $data) = @_;
#		if ($data =~ / SELECT / && !$t->{done}++) {
#			my $c = $dovecot->client;
#			$c->store('INBOX', 1, '+FLAGS', '\Seen');
#			$c->close;
#		}
#		return $data;
#	}, s2c => sub {
#		my ($t, $data) = @_;
#		$data =~ s/ APPENDLIMIT=\d+//;
#		return $data;
#	});
#	... a run with $tap->section ...
#	$tap->received;	# the octets that clients sent
#
# The subs get what was read at once, and run in the tap's process, which serves
# one connection after another.  The server is a tunnel (Server.pm without
# "daemon"); imapsync sees a type=imap server that greets with PREAUTH.
package Imapsync::Tap;

use strict;
use warnings;
use Socket;
use Imapsync::Fake;
use Imapsync::Proc qw(spawn);
use Imapsync::Wire;

our @ISA = ('Imapsync::Fake');

# Uncompressed, so that the subs can read it.
sub section
{
	my ($self, %more) = @_;
	return Imapsync::Fake::section($self, compress => 'NO', %more);
}

sub client { my ($self, @args) = @_; return $self->{server}->client(@args) }

sub reference { return $_[0]{server}->reference }

# In the tap's process: one connection.
sub one
{
	my ($self, $sock) = @_;
	my $t = bless { fake => $self, input => '', sock => $sock },
	    'Imapsync::Fake::Conn';

	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	my $pid = spawn([$self->{server}->command], in => $theirs,
	    out => $theirs);
	close $theirs;
	eval { pass($self, $t, $sock, $ours); 1 } or $t->note("tap: $@");
	close $ours;
	Imapsync::Proc::reap($pid, 10);
	$t->log_input;
}

# Octets both ways until either end closes.
sub pass
{
	my ($self, $t, $sock, $server) = @_;
	my %hook = (c2s => $self->{c2s}, s2c => $self->{s2c});

	for (;;) {
		my $rin = '';
		vec($rin, fileno($_), 1) = 1 for $sock, $server;
		next if select($rin, undef, undef, undef) <= 0;
		for my $way (['c2s', $sock, $server],
		    ['s2c', $server, $sock]) {
			my ($name, $from, $to) = @$way;
			next unless vec($rin, fileno($from), 1);
			my $n = sysread($from, my $data, 65536);
			return unless $n;
			$t->{input} .= $data if $name eq 'c2s';
			$data = $hook{$name}->($t, $data) if $hook{$name};
			my $wire = Imapsync::Wire->new(out => $to);
			return unless $wire->put($data);
		}
	}
}

1;

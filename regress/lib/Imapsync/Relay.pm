# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A relay between imapsync and a server, which counts, delays, records and
# disturbs what passes.
#
#	my $relay = Imapsync::Relay->new(port => $server->port, rtt => 0.05);
#	... imapsync with $server->section(port => $relay->port) ...
#	my $r = $relay->result;		# of the last connection, at its end
#	$r->{turns}, $r->{stalls}, $r->{selects}, # numbers
#	$r->{c2s}, $r->{s2c};			# octets
#	$relay->octets('c2s');		# what the client sent (log => 1)
#	$relay->octets('turns');	# a line a turn: when, how it began
#
#	my $relay = Imapsync::Relay->new(command => $server->command, ...);
#	... type=tunnel, command = $relay->command ...
#
# A turn: the client sends after the server's data reached it.  A stall: a turn
# before which the client had sent nothing for a whole round trip (the opening
# of the connection counts as sending; the relay connects half a round trip
# later, as a real network would).
#
# Options (D is c2s or s2c, N octets of the connection in that direction):
#	rtt => seconds		half of it is added to each direction
#	rate => n		octets a second pass, a direction, and what waits
#				for that is little, as in front of a slow line
#	log => 1		keep the octets
#	cut => { D => N }	end the connection when N have been passed
#	reset => 1		... with a RST instead of a FIN
#	hang => { D => N }	then pass nothing more, but stay open
#	hold => { D => N }	then pass nothing until release(); held() waits
#				for that moment
#	only => n		disturb the n-th connection only, from 1
package Imapsync::Relay;

use strict;
use warnings;
use Cwd ();
use Errno ();
use File::Basename ();
use IO::Socket::INET;
use Socket qw(:DEFAULT SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP
    TCP_NODELAY);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use Imapsync::Proc qw(tmpdir forked wait_for slurp spew);

my $lib = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');
my $number = 0;
use constant ROOM => 8 * 1024 * 1024;	# octets on their way, a direction
use constant LITTLE => 64 * 1024;	# that wait for a line with a rate

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub new
{
	my ($class, %o) = @_;
	my $self = bless { rtt => 0, %o }, $class;

	$self->{dir} = tmpdir() . '/relay' . $number++;
	mkdir $self->{dir} or die "$self->{dir}: $!\n";
	if (defined $o{command}) {
		$self->{command} = $self->make_filter($o{command});
		return $self;
	}
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Proto => 'tcp', Listen => 64) or die "listen: $!\n";
	setsockopt($listen, SOL_SOCKET, SO_RCVBUF, LITTLE) if $self->{rate};
	$self->{listen} = $listen->sockport;
	$self->{pid} = forked(sub { $self->serve($listen) }, $listen);
	return $self;
}

sub port { return $_[0]{listen} }
sub command { return $_[0]{command} }
sub stop { my ($self) = @_; Imapsync::Proc::stop(delete $self->{pid}) }

# How many connections there have been.
sub connections
{
	my ($self) = @_;
	my @all = glob "$self->{dir}/conn.*";
	return scalar @all;
}

# The numbers of the n-th connection (default: the last one), once it has ended.
sub result
{
	my ($self, $n) = @_;

	$n //= wait_for(15, 'a connection', sub { $self->connections });
	my $file = "$self->{dir}/result.$n";
	wait_for(15, "the end of connection $n", sub { -e $file });
	return { map { split ' ', $_, 2 } split /\n/, slurp($file) };
}

# Of the n-th connection (default: the last) in one direction, with log => 1.
sub octets
{
	my ($self, $direction, $n) = @_;

	$n //= $self->connections;
	return slurp("$self->{dir}/$n.$direction");
}

sub held
{
	my ($self, $seconds) = @_;

	return eval {
		wait_for($seconds // 30, 'the relay to hold',
		    sub { -e "$self->{dir}/held" });
	};
}

sub release { my ($self) = @_; unlink "$self->{dir}/held" }

# ---- in the relay's own process ----

sub make_filter
{
	my ($self, $command) = @_;
	my $script = "$self->{dir}/filter";
	my @args = map { defined $self->{$_} ? "$_=$self->{$_}" : () }
	    qw(dir rtt rate log reset);

	for my $key (qw(cut hang hold)) {
		my $what = $self->{$key} // next;
		push @args, map { "$key.$_=$what->{$_}" } keys %$what;
	}
	spew($script, "#!/bin/sh\nexec '$^X' '-I$lib' '$lib/relay' @args -- " .
	    "$command\n", 0755);
	return $script;
}

# What lib/relay calls: standard input and output on one side, a command on the
# other.
sub filter
{
	my ($class, @args) = @_;
	my %o = (rtt => 0);

	while (defined(my $arg = shift @args)) {
		last if $arg eq '--';
		my ($key, $value) = split /=/, $arg, 2;
		if ($key =~ /^(\w+)\.(\w+)$/) {
			$o{$1}{$2} = $value;
		} else {
			$o{$key} = $value;
		}
	}
	my $self = bless { %o }, $class;
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	my $pid = fork() // die "fork: $!\n";
	if ($pid == 0) {
		open(STDIN, '<&', $theirs) && open(STDOUT, '>&', $theirs)
		    or die "dup: $!\n";
		exec { $args[0] } @args or die "$args[0]: $!\n";
	}
	close $theirs;
	my $n = 1;
	$n++ while !mkdir "$self->{dir}/conn.$n";
	my $conn = $self->connection($n, \*STDIN, \*STDOUT);
	$conn->{server_in} = $conn->{server_out} = $ours;
	$ours->blocking(0);
	my @conns = ($conn);
	$self->turn_over(\@conns) while @conns;
}

sub serve
{
	my ($self, $listen) = @_;
	my @conns;

	$SIG{PIPE} = 'IGNORE';
	$self->turn_over(\@conns, $listen) while 1;
}

sub room
{
	my ($self) = @_;
	return $self->{rate} ? LITTLE + $self->{rate} * $self->{rtt} : ROOM;
}

sub connection
{
	my ($self, $n, $in, $out) = @_;
	my $conn = { n => $n, client_in => $in, client_out => $out,
	    turns => 0, stalls => 0, selects => 0, c2s => 0, s2c => 0,
	    seen => '',
	    last => now(), began => now(), report => '',
	    queue => { c2s => [], s2c => [] },
	    room => { c2s => $self->room, s2c => $self->room },
	    connect_at => now() + $self->{rtt} / 2,
	    disturb => !$self->{only} || $self->{only} == $n };

	mkdir "$self->{dir}/conn.$n";
	$in->blocking(0);
	$out->blocking(0);
	if ($self->{log}) {
		for my $d (qw(c2s s2c)) {
			open($conn->{log}{$d}, '>:raw',
			    "$self->{dir}/$n.$d") or die "log: $!\n";
			$conn->{log}{$d}->autoflush(1);
		}
	}
	return $conn;
}

# One round of select() over all connections.
sub turn_over
{
	my ($self, $conns, $listen) = @_;
	my ($rin, $win, $next) = ('', '', now() + 1);

	vec($rin, fileno($listen), 1) = 1 if $listen;
	for my $conn (@$conns) {
		my $at = $self->interest($conn, \$rin, \$win);
		$next = $at if defined $at && $at < $next;
	}
	my $wait = $next - now();
	my $n = select($rin, $win, undef, $wait > 0 ? $wait : 0);
	($rin, $win) = ('', '') if $n <= 0;
	if ($listen && vec($rin, fileno($listen), 1)) {
		my $sock = $listen->accept;
		if ($sock) {
			$sock->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
			push @$conns, $self->connection(++$self->{count},
			    $sock, $sock);
		}
	}
	for my $conn (@$conns) {
		eval { $self->serve_one($conn, $rin, $win); 1 }
		    or $conn->{over} = 1;
	}
	$self->finish($_) for grep { $_->{over} } @$conns;
	@$conns = grep { !$_->{over} } @$conns;
}

# Which descriptors matter now; returns when to look again at the latest.
sub interest
{
	my ($self, $conn, $rin, $win) = @_;
	my $now = now();
	my $at;

	return now() + 0.005 if $conn->{held};
	if (!$conn->{server_in}) {
		$at = $conn->{connect_at};
	}
	for my $d (qw(c2s s2c)) {
		my ($from, $to) = $d eq 'c2s' ? qw(client_in server_out) :
		    qw(server_in client_out);
		vec($$rin, fileno($conn->{$from}), 1) = 1 if $conn->{$from} &&
		    !$conn->{eof}{$d} && $conn->{room}{$d} > 0;
		my $first = $conn->{queue}{$d}[0] // next;
		next if !$conn->{$to} || $conn->{hung};
		if ($first->[0] <= $now) {
			vec($$win, fileno($conn->{$to}), 1) = 1;
		} elsif (!defined $at || $first->[0] < $at) {
			$at = $first->[0];
		}
	}
	return $at;
}

sub serve_one
{
	my ($self, $conn, $rin, $win) = @_;

	if ($conn->{held}) {
		return if -e "$self->{dir}/held";
		$conn->{held} = 0;
	}
	if (!$conn->{server_in}) {
		$self->reach($conn) if now() >= $conn->{connect_at};
	}
	$self->take($conn, 'c2s', $conn->{client_in}, $rin);
	$self->take($conn, 's2c', $conn->{server_in}, $rin)
	    if $conn->{server_in};
	for my $d (qw(s2c c2s)) {
		my $to = $d eq 'c2s' ? 'server_out' : 'client_out';
		$self->pass($conn, $d, $conn->{$to}, $win)
		    if $conn->{$to} && !$conn->{hung} && !$conn->{held};
	}
}

sub reach
{
	my ($self, $conn) = @_;
	my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $self->{port}, Proto => 'tcp', Timeout => 5)
	    or die "connect: $!\n";

	$sock->setsockopt(SOL_SOCKET, SO_RCVBUF, LITTLE) if $self->{rate};
	$sock->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
	$sock->blocking(0);
	$conn->{server_in} = $conn->{server_out} = $sock;
}

sub take
{
	my ($self, $conn, $d, $fh, $rin) = @_;
	my $now = now();

	return unless vec($rin, fileno($fh), 1) && !$conn->{eof}{$d};
	my $n = sysread($fh, my $data,
	    $self->{rate} ? 4096 : 65536);
	return if !defined $n && ($!{EAGAIN} || $!{EINTR});
	if ($d eq 'c2s' && $n) {
		$conn->{selects} += selects($conn, $data);
		if ($conn->{seen} eq 's2c') {
			$conn->{turns}++;
			my $stall = $self->{rtt} > 0 &&
			    $now - $conn->{last} >= $self->{rtt};
			$conn->{stalls}++ if $stall;
			$conn->{report} .= sprintf("%s %.3f %s\n", $stall ?
			    'stall' : 'turn ', $now - $conn->{began},
			    $data =~ /^([ -~]{0,60})/) if $self->{log};
		}
		$conn->{seen} = 'c2s';
		$conn->{last} = $now;
	}
	if (!$n) {
		$conn->{eof}{$d} = 1;
		$conn->{reset} = 1 if !defined $n;
		$conn->{over} = 1 if $conn->{hung};
		$data = undef;
	} else {
		$conn->{room}{$d} -= $n;
	}
	push @{ $conn->{queue}{$d} },
	    [$self->on_the_line($conn, $d, $n // 0) + $self->{rtt} / 2, $data];
}

# How often a mailbox is selected by what the client says.  A line that is not
# whole waits for the next call, or as much of it as tells what it is.
sub selects
{
	my ($conn, $data) = @_;
	my $text = ($conn->{line} // '') . $data;
	my $end = rindex($text, "\n") + 1;

	$conn->{line} = substr($text, $end, 100);
	substr($text, $end) = '';
	return scalar(() = $text =~ /^\w+ (?:SELECT|EXAMINE) /gm);
}

# When the last of so many octets has left; the line takes one after the other.
sub on_the_line
{
	my ($self, $conn, $d, $n) = @_;
	my ($now, $free) = (now(), $conn->{free}{$d} // 0);

	return $now unless $self->{rate};
	$free = $now if $free < $now;
	return $conn->{free}{$d} = $free + $n / $self->{rate};
}

# Pass on what is due.
sub pass
{
	my ($self, $conn, $d, $fh, $win) = @_;
	my $queue = $conn->{queue}{$d};

	while (@$queue && $queue->[0][0] <= now()) {
		if (!defined $queue->[0][1]) {
			$self->pass_end($conn, $d, $fh);
			return;
		}
		my $limit = $self->limit($conn, $d);
		my $data = $queue->[0][1];
		$data = substr($data, 0, $limit - $conn->{$d})
		    if defined $limit && $limit - $conn->{$d} < length $data;
		my $n = length $data ? syswrite($fh, $data) : 0;
		if (!defined $n) {
			return if $!{EAGAIN} || $!{EINTR};
			die "write: $!\n";
		}
		print { $conn->{log}{$d} } substr($data, 0, $n)
		    if $conn->{log};
		substr($queue->[0][1], 0, $n, '');
		shift @$queue if $queue->[0][1] eq '';
		$conn->{$d} += $n;
		$conn->{room}{$d} += $n;
		$conn->{seen} = 's2c' if $d eq 's2c' && $n;
		return if defined $limit && $conn->{$d} >= $limit &&
		    $self->disturb($conn, $d);
	}
}

# close() will send a RST and drop what is unsent.
sub linger
{
	my ($fh) = @_;
	setsockopt($fh, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
}

sub pass_end
{
	my ($self, $conn, $d, $fh) = @_;

	shift @{ $conn->{queue}{$d} };
	if ($d eq 's2c' || $conn->{reset} || !-S $fh) {
		linger($fh) if $conn->{reset};
		$conn->{over} = 1;
	} else {
		shutdown($fh, 1);
		$conn->{half} = 1;
	}
}

# The next octet count in that direction at which something happens.
sub limit
{
	my ($self, $conn, $d) = @_;
	my @at;

	return unless $conn->{disturb};
	for my $key (qw(cut hang hold)) {
		my $n = ($self->{$key} // next)->{$d} // next;
		push @at, $n unless $conn->{did}{"$key.$d"};
	}
	return (sort { $a <=> $b } @at)[0];
}

# Do what is due at this count.  True if no more may be passed now.
sub disturb
{
	my ($self, $conn, $d) = @_;

	for my $key (qw(hold hang cut)) {
		my $n = ($self->{$key} // next)->{$d} // next;
		next if $conn->{did}{"$key.$d"} || $conn->{$d} < $n;
		$conn->{did}{"$key.$d"} = 1;
		if ($key eq 'cut') {
			$conn->{over} = 1;
			$self->{reset} && linger($_)
			    for @$conn{qw(client_out server_out)};
		} elsif ($key eq 'hang') {
			$conn->{hung} = 1;
		} else {
			$conn->{held} = 1;
			spew("$self->{dir}/held", '');
		}
		return 1;
	}
	return 0;
}

sub finish
{
	my ($self, $conn) = @_;
	my $text = join '', map { "$_ $conn->{$_}\n" }
	    qw(turns stalls selects c2s s2c);

	my $file = "$self->{dir}/result.$conn->{n}";
	close $_ for values %{ $conn->{log} // {} };
	spew("$self->{dir}/$conn->{n}.turns", $conn->{report});
	spew("$file.new", $text);
	rename "$file.new", $file;
	close $conn->{$_} for grep { $conn->{$_} }
	    qw(client_in client_out server_in server_out);
}

1;

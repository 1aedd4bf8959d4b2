# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A SOCKS version 5 proxy (RFC 1928, RFC 1929) whose every target is one server
# on 127.0.0.1, so that no packet leaves the machine whatever it is asked for.
#
#	my $proxy = Imapsync::Socks->new(port => $server->port);
#	my $proxy = Imapsync::Socks->new(port => $server->port,
#	    user => 'joe', password => 'secret');
#	... proxy = $proxy->url('socks5h', 'joe:secret@') ...
#	$proxy->notes;		# "method 2", "auth joe", "ipv4 192.0.2.1 143",
#				# "ipv6 ...", "name ..."
#	$proxy->received;	# all octets that came, the server's included
#
# Options: reply => n (refuse with that code), method => n (choose that one,
# whatever is offered), die_at and silent_at: hello, auth, request, connected
# (what came last), split => 1 (send octet by octet), junk => octets (in front
# of what the server says).
package Imapsync::Socks;

use strict;
use warnings;
use IO::Socket::INET;
use Socket;
use Imapsync::Fake;

our @ISA = ('Imapsync::Fake');

sub new
{
	my ($class, %o) = @_;
	my %own = (server => delete $o{port}, proxy_user => delete $o{user},
	    proxy_password => delete $o{password});

	return Imapsync::Fake::new($class, %o, %own,
	    script => sub { serve_socks(@_) });
}

sub url
{
	my ($self, $scheme, $auth) = @_;

	return ($scheme // 'socks5') . '://' . ($auth // '') .
	    "127.0.0.1:$self->{port}";
}

# ---- in the proxy's process ----

sub at
{
	my ($c, $where) = @_;
	my $o = $c->{fake};

	$c->hang_up if ($o->{die_at} // '') eq $where;
	$c->silence if ($o->{silent_at} // '') eq $where;
}

sub answer
{
	my ($c, $data) = @_;

	if (!$c->{fake}{split}) {
		$c->put($data);
		return;
	}
	for my $octet (split //, $data) {
		$c->put($octet);
		select undef, undef, undef, 0.01;
	}
}

sub take
{
	my ($c, $n) = @_;

	return $c->octets($n) // die "closed\n";
}

sub serve_socks
{
	my ($c) = @_;
	my $o = $c->{fake};

	my ($version, $n) = unpack 'CC', take($c, 2);
	my @offered = unpack 'C*', take($c, $n);
	$c->note("version $version") if $version != 5;
	at($c, 'hello');
	my $want = $o->{method} // (defined $o->{proxy_user} ? 2 : 0);
	$want = 0xff unless defined $o->{method} ||
	    grep { $_ == $want } @offered;
	$c->note("method $want");
	answer($c, pack 'CC', 5, $want);
	return $c->until_closed if $want == 0xff;
	if ($want == 2) {
		check_password($c) or return $c->until_closed;
	}
	request($c) or return $c->until_closed;
	relay($c);
}

sub check_password
{
	my ($c) = @_;
	my $o = $c->{fake};

	my ($version, $n) = unpack 'CC', take($c, 2);
	my $user = take($c, $n);
	my $password = take($c, unpack 'C', take($c, 1));
	$c->note("auth $user" . ($version == 1 ? '' : " version $version"));
	at($c, 'auth');
	my $ok = $user eq ($o->{proxy_user} // '') &&
	    $password eq ($o->{proxy_password} // '');
	answer($c, pack 'CC', 1, $ok ? 0 : 1);
	return $ok;
}

sub request
{
	my ($c) = @_;
	my $o = $c->{fake};
	my ($version, $cmd, $rsv, $type) = unpack 'C4', take($c, 4);
	my $what;

	if ($type == 1) {
		$what = 'ipv4 ' . inet_ntoa(take($c, 4));
	} elsif ($type == 4) {
		$what = 'ipv6 ' . Socket::inet_ntop(AF_INET6, take($c, 16));
	} else {
		$what = 'name ' . take($c, unpack 'C', take($c, 1));
	}
	$c->note("$what " . unpack 'n', take($c, 2));
	$c->note("bad request") if "$version $cmd $rsv" ne '5 1 0';
	at($c, 'request');
	my $reply = $o->{reply} // 0;
	answer($c, pack('C4', 5, $reply, 0, 1) . pack('Nn', 0, 0));
	return $reply == 0;
}

# The same wire as Tap.pm, with no hooks.
sub relay
{
	my ($c) = @_;
	my $o = $c->{fake};

	at($c, 'connected');
	$c->put($o->{junk}) if defined $o->{junk};
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $o->{server}, Proto => 'tcp') or return;
	my $to = Imapsync::Wire->new(out => $server);
	$to->put($c->{buf});
	$c->{buf} = '';
	for (;;) {
		my $rin = '';
		vec($rin, fileno($_), 1) = 1 for $c->{sock}, $server;
		next if select($rin, undef, undef, undef) <= 0;
		if (vec($rin, fileno($c->{sock}), 1)) {
			$c->fill or return;
			$to->put($c->{buf}) or return;
			$c->{buf} = '';
		}
		if (vec($rin, fileno($server), 1)) {
			sysread($server, my $data, 65536) or return;
			$c->put($data) or return;
		}
	}
}

1;

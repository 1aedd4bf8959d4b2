#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Each answer of a SOCKS proxy: what is no consent ends the run before a word of
# IMAP is sent, and names the proxy; what is one, in whatever form and pieces,
# leads to the server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Farm;
use Imapsync::Hostile;
use Imapsync::Sides;

use constant SECRET => 'proxy-secret';

my $h = Imapsync::Hostile->new;
my @cases;

# The answers of a proxy that agrees.
sub agrees { return (method => "\5\2", auth => "\1\0",
    reply => "\5\0\0\1\0\0\0\0\0\0", @_) }

# Speak SOCKS: take what must come, then answer.  Dies where it ends.
sub socks
{
	my ($c, %o) = @_;
	my $take = sub { return $c->octets($_[0]) // die "closed\n" };

	if (defined $o{early}) {
		$c->put($o{early});
		@o{qw(method auth reply)} = ('') x 3;
	}
	my (undef, $n) = unpack 'CC', $take->(2);
	my %offered = map { $_ => 1 } unpack 'C*', $take->($n);
	$c->note('methods ' . join ' ', sort keys %offered);
	answer($c, 'method', %o);
	if ($offered{2}) {
		(undef, $n) = unpack 'CC', $take->(2);
		my $user = $take->($n);
		my $password = $take->(unpack 'C', $take->(1));
		$c->note("auth $user $password");
		answer($c, 'auth', %o);
	}
	$take->(4);
	$take->(unpack 'C', $take->(1));
	$take->(2);
	$c->note('asked');
	$c->put($o{ahead}) if defined $o{ahead};
	answer($c, 'reply', %o);
}

sub answer
{
	my ($c, $step, %o) = @_;

	if (defined(my $end = $o{"$step-end"})) {
		$c->put(substr($o{$step}, 0, $end)) if $end > 0;
		$c->silence if $o{silent};
		$c->hang_up if $end % 2;
		shutdown($c->{sock}, 1);
		$c->silence;
	}
	if ($o{split}) {
		for my $octet (split //, $o{$step}) {
			$c->put($octet);
			sleep 0.005;
		}
	} else {
		$c->put($o{$step}) if $o{$step} ne '' && !$o{together};
	}
	$c->{kept} .= $o{$step} if $o{together};
}

sub proxy
{
	my ($name, $socks, %o) = @_;
	my $auth = delete $o{auth} // 1;
	my $user = $auth ? 'joe:' . SECRET . '@' : '';

	push @cases, $h->bomb($name, 'GREETING', sub {
		my ($c) = @_;
		$socks->($c);
	}, %o, keys => { remote => sub {
		my ($port) = @_;
		return { proxy => "socks5h://${user}127.0.0.1:$port",
		    port => 143, cleartext => 'YES',
		    timeout => $o{others} ? 20 : 1 };
	} });
}

sub refused
{
	my ($name, $status, $says, %o) = @_;

	proxy($name, sub {
		socks($_[0], agrees(%o));
		$_[0]->silence;
	}, auth => $o{no_auth} ? 0 : 1, status => $status,
	    says => qr/^remote: .*$says/m, judge => sub {
		my ($case, $r, $farm) = @_;
		my $got = $farm->received($case, 'remote');
		my @secret = $o{unasked} ? (SECRET) : ();
		return (grep({ index($got, $_) >= 0 } 'A1 ', 'LOGIN',
		    @secret) ? 'words were sent that were not for it' : (),
		    index($r->{err}, SECRET) >= 0 ?
		    'its password is in the log' : (),
		    $r->{err} =~ tr/\n// > 1 ? 'more than one line' : ());
	});
}

sub accepted
{
	my ($name, %o) = @_;

	proxy($name, sub {
		my ($c) = @_;
		$c->{kept} = '';
		socks($c, agrees(%o));
		# In one packet with the greeting.
		$c->{pending} = $c->{kept};
		$c->serve;
	}, others => 1, status => [0]);
}

# ---- the method ----

my $socks5 = qr/does not speak SOCKS/;
for my $method (drawn(2, "\4\0", "\0\0", "\6\0", "\xff\0", 'HT', '* ')) {
	refused('method, version ' . unpack('H*', $method), [1, 75], $socks5,
	    method => $method, unasked => 1);
}
refused('method, refused', [1], qr/neither|refuse/, method => "\5\xff",
    unasked => 1);
refused('method, refused, no password', [1], qr/demands/,
    method => "\5\xff", no_auth => 1);
for my $n (drawn(2, 1, 3, 9, 0x80, 0xfe)) {
	refused("method $n, not offered", [1, 75], qr/not\s+offered/,
	    method => pack('CC', 5, $n), unasked => 1);
}
refused('method 2, not offered', [1], qr/not offered|demands/,
    method => "\5\2", no_auth => 1);
refused('a server of another kind', [1, 75], $socks5,
    method => "HTTP/1.1 400 Bad Request\r\n\r\n", unasked => 1);
refused('an IMAP server', [1, 75], $socks5, method => "* OK ready\r\n",
    unasked => 1);

# ---- the password ----

for my $n (drawn(2, 1, 2, 0x7f, 0xff)) {
	refused("password refused, $n", [1], qr/user name or password/,
	    auth => pack('CC', 1, $n));
}
for my $version (drawn(2, 0, 2, 5)) {
	refused("password, version $version", [1, 75], $socks5,
	    auth => pack('CC', $version, 0));
}

# ---- the reply ----

my @words = (undef, qr/general failure/, qr/not allowed/,
    qr/network unreachable/, qr/host unreachable/, qr/connection refused/,
    qr/./, qr/./, qr/./);
for my $n (drawn(2, 1 .. 9, 0x10, 0x7f, 0x80, 0xff)) {
	refused("reply $n", [1, 75], $words[$n] // qr/reply $n/,
	    reply => pack('C4', 5, $n, 0, 1) . "\0" x 6);
	refused("reply $n, no more of it", [1, 75], $words[$n] // qr/reply $n/,
	    reply => pack('C2', 5, $n)) if $n < 3;
}
refused('reply 0, version 4', [1, 75], $socks5,
    reply => "\4\0\0\1\0\0\0\0\0\0");
refused('reply 0, version 0', [1, 75], $socks5,
    reply => "\0\x5a\0\1\0\0\0\0\0\0");
for my $type (drawn(2, 0, 2, 5, 0x7f, 0xff)) {
	refused("reply 0, address type $type", [1, 75], qr/address of an/,
	    reply => pack('C4', 5, 0, 0, $type) . "\0" x 30);
}

# What its address looks like is no matter.  In test_socks there are names of
# each length.
accepted('IPv4');
accepted('IPv6', reply => "\5\0\0\4" . "\x20\1" x 8 . "\0\1");
accepted("name of $_ octets", reply => "\5\0\0\3" . pack('C', $_) .
    'n' x $_ . "\0\1") for 0, 1, 4, 16, 127, 128, 255;
accepted('a name with odd octets',
    reply => "\5\0\0\3\x08\0\r\n\xff* \"{\0\1");
accepted('reserved octet is set', reply => "\5\0\xff\1\0\0\0\0\0\0");
accepted('in single octets', split => 1);
accepted('in single octets, IPv6', split => 1,
    reply => "\5\0\0\4" . "\x20\1" x 8 . "\0\1");
proxy('the greeting in the packet of the reply', sub {
	my ($c) = @_;
	my %o = agrees();
	$c->{kept} = '';
	socks($c, %o, reply => '');
	$c->{pending} = $o{reply};
	$c->serve;
}, others => 1, status => [0]);
proxy('half of the greeting in the packet of the reply', sub {
	my ($c) = @_;
	my %o = agrees();
	socks($c, %o, reply => "$o{reply}* OK he");
	sleep 0.1;
	$c->put("llo\r\n");
	$c->{hooks}{out} = sub { return $_[1] =~ /^\* OK \[CAPA/ ? undef :
	    $_[1] };
	$c->serve;
}, others => 1, status => [0]);
proxy('the reply and more than a greeting', sub {
	my ($c) = @_;
	socks($c, agrees(early => join '', {agrees()}->@{qw(method auth
	    reply)}, "* OK early\r\nA1 OK early\r\nA2 OK early\r\n"));
	$c->silence;
}, status => [1, 75]);

# Who answers what he was not asked is waited for at most.
proxy('all answers early', sub {
	my ($c) = @_;
	my %o = agrees();
	socks($c, %o, early => join '', @o{qw(method auth reply)});
	$c->silence;
}, status => [75], says => qr/^remote: .*proxy/m);

# ---- the end, and silence, at each octet ----

for my $silent (0, 1) {
	my $how = $silent ? 'silent' : 'closed';
	my $says = $silent ? qr/proxy.* for 1 s/ : qr/lost the proxy/;
	my %steps = (method => [0, 1], auth => [0, 1], reply => [0 .. 9]);
	for my $step (sort keys %steps) {
		refused("$how, $step, $_ octets", [75], $says,
		    "$step-end" => $_, silent => $silent)
		    for @{ $steps{$step} };
	}
	refused("$how, IPv6, $_ octets", [75], $says, 'reply-end' => $_,
	    silent => $silent, reply => "\5\0\0\4" . "\0" x 18)
	    for 4, 19, 20, 21;
	refused("$how, a name, $_ octets", [75], $says, 'reply-end' => $_,
	    silent => $silent, reply => "\5\0\0\3\xff" . "\0" x 257)
	    for 4, 5, 6, 259, 261;
}

# ---- slowly, and without end ----

for my $step ('method', 'auth', 'reply') {
	proxy("an octet now and then, $step", sub {
		my ($c) = @_;
		# 262 octets of a reply are as many seconds and more.
		my %o = agrees(reply => "\5\0\0\3\xff" . 'n' x 257);
		$o{$step} = substr $o{$step}, 0, 1 if $step ne 'reply';
		socks($c, %o, "$step-end" => 1, silent => 1)
		    if $step ne 'reply';
		socks($c, %o, reply => '');
		for my $octet (split //, $o{reply}) {
			$c->put($octet);
			sleep 0.3;
		}
		$c->note('it was waited for to the end');
	}, status => [75], judge => sub {
		my ($case, $r, $farm) = @_;
		return grep { /to the end/ } $farm->notes($case, 'remote');
	});
}
proxy('words without end', sub {
	my ($c) = @_;
	socks($c, agrees(method => "\5\xff", auth => '', reply => ''));
	$c->silence;
}, status => [1], memory => 1);
proxy('a flood behind a refusal', sub {
	my ($c) = @_;
	$c->octets(2);
	$c->put("\5\xff");
	$c->flood(50_000_000, 'x' x 65536);
}, status => [1], memory => 1);

$h->run(6, @cases);
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# SOCKS 5: what the proxy is asked for, what it and the server get to see, and
# what becomes of a proxy that refuses or dies.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Proc qw(free_port);
use Imapsync::Socks;
use Imapsync::Tls qw(start_tls);

my ($password, $proxy_password) = ('opensesame', 'proxy-secret');
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new(password => $password);
my $i = Imapsync::Imapsync->new(local => $local, remote => {});

$remote->change(sub { $_[0]->deliver('INBOX', message($_)) for 1 .. 20 });

sub proxy { return Imapsync::Socks->new(port => $remote->port, @_) }

# A run through the proxy.
sub through
{
	my ($proxy, %keys) = @_;

	$i->lose_state;
	$i->change(local => $local->section(tunnel => 1),
	    remote => $remote->section(proxy => $proxy->url, port => 143,
	    cleartext => 'YES', %keys));
	# Two models agree in all that can be seen, but are two accounts.
	return $i->run('--debug', '--two-accounts');
}

# What it is asked for, by either scheme.
for my $case (['socks5', '192.0.2.1', 'ipv4 192.0.2.1'],
    ['socks5', '[192.0.2.1]', 'ipv4 192.0.2.1'],
    ['socks5', 'localhost', qr/(?:ipv4 127\.0\.0\.1|ipv6 ::1)/],
    ['socks5', '[2001:db8::1]', 'ipv6 2001:db8::1'],
    ['socks5h', 'mail.example.org', 'name mail.example.org'],
    ['socks5h', '192.0.2.1', 'ipv4 192.0.2.1'],
    ['socks5h', '[2001:db8::1]', 'ipv6 2001:db8::1']) {
	my ($scheme, $host, $asked) = @$case;
	my $proxy = proxy();
	my $r = through($proxy, host => $host, proxy => $proxy->url($scheme));

	is($r->{status}, 0, "$scheme, $host: in sync") or diag($r->{err});
	like(join(', ', $proxy->notes), qr/^method 0, (??{ ref $asked ?
	    $asked : quotemeta $asked }) 143$/, "$scheme, $host: asked for");
	$proxy->stop;
}

# The proxy's password, and answers that come in pieces.
my $proxy = proxy(user => 'joe', password => $proxy_password, split => 1);
my $url = $proxy->url('socks5', "joe:$proxy_password\@");
my $r = through($proxy, host => '192.0.2.1', proxy => $url);
is($r->{status}, 0, 'with a password: in sync') or diag($r->{err});
is(($proxy->notes)[-2], 'auth joe', 'user name');
unlike($r->{err}, qr/\Q$password\E|\Q$proxy_password\E/,
    'no password in the log');
same_content($local, $remote, 'equal');

# With TLS the name is that of the server, not of the proxy.
my $cert = Imapsync::Cert->new(name => 'far',
    san => 'DNS:mail.example.org,IP:2001:db8::1');
{
	my $fake = Imapsync::Fake->new(script => sub {
		my ($c) = @_;
		start_tls($c, $cert);
		$c->put("* BYE that was all\r\n");
		$c->until_closed;
	});
	my $line = Imapsync::Socks->new(port => $fake->port);
	for my $host ('mail.example.org', '[2001:db8::1]', 'other.example') {
		$r = through($line, host => $host, type => 'imaps',
		    STARTTLS => undef, port => undef,
		    proxy => $line->url('socks5h'), SSL_CAfile => $cert->ca);
		like($r->{err}, $host eq 'other.example' ?
		    qr/does not hold the name other\.example/ :
		    qr/that was all/, "TLS with $host") or diag($r->{err});
	}
	is(($line->notes)[1], 'name mail.example.org 993', 'its port');

	$line = Imapsync::Socks->new(port => $fake->port,
	    junk => "* OK hi\r\n");
	$r = through($line, host => 'mail.example.org', type => 'imaps',
	    STARTTLS => undef, proxy => $line->url('socks5h'),
	    SSL_CAfile => $cert->ca);
	like($r->{err}, qr/^remote: .*(proxy|TLS)/m, 'octets ahead of TLS');
	isnt($r->{status}, 0, 'are refused');
}

# What goes wrong: status, message, and what the proxy was told.
my $joe = 'joe:wrong@';
for my $case (['a password is demanded', 1, qr/demands a user name/, '',
	user => 'joe', password => $proxy_password],
    ['the wrong password', 1, qr/refuses its user name or password/, $joe,
	user => 'joe', password => $proxy_password],
    ['no method will do', 1, qr/takes neither/, $joe, method => 0xff],
    ['a method that was not offered', 1, qr/not offered/, '', method => 1],
    ['refused 1', 75, qr/192\.0\.2\.1 port 143: general failure/, '',
	reply => 1],
    ['refused 2', 75, qr/not allowed/, '', reply => 2],
    ['refused 3', 75, qr/network unreachable/, '', reply => 3],
    ['refused 4', 75, qr/host unreachable/, '', reply => 4],
    ['refused 5', 75, qr/connection refused/, '', reply => 5],
    ['refused 99', 75, qr/reply 99/, '', reply => 99],
    map({ ["dies: $_", 75, qr/lost the proxy of 192\.0\.2\.1/, '',
	die_at => $_] } qw(hello request)),
    ['dies: auth', 75, qr/lost the proxy of 192\.0\.2\.1/, $joe,
	user => 'joe', password => 'wrong', die_at => 'auth'],
    ['dies: connected', 75, qr/lost the server 192\.0\.2\.1/, '',
	die_at => 'connected']) {
	my ($what, $status, $says, $auth, @options) = @$case;
	my $bad = proxy(@options);

	$i->lose_state;
	$i->change(remote => $remote->section(host => '192.0.2.1',
	    port => 143, proxy => $bad->url('socks5', $auth),
	    cleartext => 'YES'));
	$r = $i->status_is($status, "$what: exit $status");
	$i->says_once($r, qr/^remote: .*$says/, $what);
	unlike($bad->received, qr/LOGIN|\Q$password\E/,
	    "$what: no secret of the server's");
	$bad->stop;
}

my $nobody = free_port();
$i->change(remote => $remote->section(host => '192.0.2.1', port => 143,
    proxy => "socks5://127.0.0.1:$nobody"));
like($i->status_is(75, 'no proxy')->{err},
    qr/^remote: cannot connect to the proxy 127\.0\.0\.1 port $nobody /,
    'says so');

done_testing;

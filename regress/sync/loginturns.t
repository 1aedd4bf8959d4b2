#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# How many turns it takes to log in and to see that nothing has changed, for
# each way to reach a server.  The relay counts them, under TLS, too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $good = Imapsync::Cert->new(name => 'good');
my $local = Imapsync::Server->new(name => 'local');
my $c = $local->client;
$c->append_many('INBOX', map { { body => message($_) } } 1 .. 10);
$c->create("box$_") for 1 .. 30;
$c->close;

my %remote = map { $_ => Imapsync::Server->new(name => $_, daemon => 1,
    cert => $good, compress => 1, mechs => $_ eq 'plain' ? 'plain login' :
    'plain scram-sha-256') } qw(plain scram);

# What goes out at once may come in two pieces on a busy machine, with an answer
# in between: the fewest of three runs.
sub fewest
{
	my ($i, $relay, $what, $most) = @_;
	my $n;

	for my $try (1 .. 3) {
		$i->silent_ok("$what: nothing to do");
		my $these = $relay->result->{turns};
		$n = $these if !defined $n || $these < $n;
		last if $n <= $most;
	}
	ok($n <= $most, "$what: $n turns, at most $most") or
	    diag($relay->octets('turns'));
	return $n;
}

# The turns of a run without changes.
sub turns
{
	my ($what, $most, $server, %keys) = @_;
	my $tls = ($keys{type} // 'imaps') eq 'imaps';
	my $relay = Imapsync::Relay->new(log => 1, port =>
	    $tls ? $server->tls_port : $server->port);
	my $i = Imapsync::Imapsync->new(local => $local, remote =>
	    $server->section(port => $relay->port, %keys));

	$i->sync_ok("$what: first run");
	return fewest($i, $relay, $what, $most);
}

my %plain = (type => 'imap', STARTTLS => 'NO', compress => 'NO');

turns('plain', 3, $remote{plain}, %plain);
turns('COMPRESS', 3, $remote{plain}, %plain, compress => 'YES');
turns('SCRAM', 5, $remote{scram}, %plain);
turns('SCRAM, COMPRESS', 5, $remote{scram}, %plain, compress => 'YES');
# A handshake is one turn with TLS 1.3, two with TLS 1.2.
turns('TLS 1.3', 4, $remote{plain}, compress => 'NO');
turns('TLS 1.3, COMPRESS', 4, $remote{plain}, compress => 'YES');
turns('TLS 1.2', 5, $remote{plain}, compress => 'YES',
    SSL_protocol_max => 'TLSv1.2');
turns('TLS 1.3, SCRAM', 5, $remote{scram}, compress => 'NO');
turns('TLS 1.3, SCRAM, COMPRESS', 5, $remote{scram}, compress => 'YES');
turns('TLS 1.2, SCRAM, COMPRESS', 6, $remote{scram}, compress => 'YES',
    SSL_protocol_max => 'TLSv1.2');
# STARTTLS and CAPABILITY under TLS are two more.
turns('STARTTLS', 6, $remote{plain}, %plain, STARTTLS => 'YES',
    host => 'localhost', compress => 'YES');

# A tunnel that greets with PREAUTH.
my $there = Imapsync::Server->new(name => 'there', compress => 1);
my $relay = Imapsync::Relay->new(command => $there->command);
for my $compress ('NO', 'YES') {
	my $i = Imapsync::Imapsync->new(local => $local, remote =>
	    { type => 'tunnel', command => $relay->command,
	    compress => $compress });
	my $what = "a tunnel, compress = $compress";

	$i->sync_ok("$what: first run");
	fewest($i, $relay, $what, 3);
}

# Nothing behind LOGIN in its packet: more turns, and they are needed.
$relay = Imapsync::Relay->new(port => $remote{plain}->port, log => 1);
my $i = Imapsync::Imapsync->new(local => $local, remote =>
    $remote{plain}->section(%plain, port => $relay->port,
    pipeline => 'NO'));
$i->sync_ok('pipeline = NO: first run');
$i->silent_ok('pipeline = NO: nothing to do');
my $n = $relay->result->{turns};
ok($n <= 5, "pipeline = NO: $n turns, at most 5");
like($relay->octets('turns'), qr/AUTHENTICATE[^\n]*\n[^\n]* ENABLE/,
    'ENABLE in a turn of its own');

done_testing;

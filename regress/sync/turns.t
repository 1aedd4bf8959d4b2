#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Round trips on the remote connection (plain TCP, password, Dovecot), counted
# by a relay with a round-trip time of 50 ms.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

use constant RTT => 0.05;

my $number = 0;

sub setting
{
	my ($local, $remote) = @_;
	my $relay = Imapsync::Relay->new(port => $remote->port, rtt => RTT,
	    log => 1);

	return (Imapsync::Imapsync->new(local => $local, remote =>
	    $remote->section(port => $relay->port)), $relay);
}

# A run; its turns are at most so many.  Returns the relay's numbers.
sub turns_ok
{
	my ($i, $relay, $most, $what, @args) = @_;

	$i->sync_ok($what, @args);
	my $r = $relay->result;
	cmp_ok($r->{turns}, '<=', $most, "$what: $r->{turns} turns") or
	    diag(turns($relay));
	return $r;
}

# The turns of the run, at most so many lines.
sub turns
{
	my ($relay) = @_;
	my @lines = split /\n/, $relay->octets('turns');

	return map { "  $_\n" } @lines[0 .. ($#lines > 60 ? 60 : $#lines)];
}

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    mechs => 'plain login');
my ($i, $relay) = setting($local, $remote);
my @names = map { sprintf 'box%02d', $_ } 1 .. 20;

my $c = $local->client;
$c->create($_) for @names;
$c->append_many($_, map { { body => message($number++) } } 1 .. 10)
    for @names;
$c->close;
$i->sync_ok('first run');

turns_ok($i, $relay, 3, 'no change, after the first run');
my $r = turns_ok($i, $relay, 3, 'no change');
unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, 'no SELECT');
like($relay->octets('c2s'), qr/ LIST /, 'but LIST');

# The number of mailboxes must not matter.
$c = $local->client;
$c->create("more$_") for 1 .. 200;
$c->close;
$i->sync_ok('200 mailboxes more');
turns_ok($i, $relay, 3, 'no change in 221 mailboxes');

for my $side ($local, $remote) {
	my $where = $side == $local ? 'locally' : 'remotely';

	$c = $side->client;
	$c->store($_, '2:4', '+FLAGS', '\Seen $A') for @names;
	$c->store($_, '5', '+FLAGS', '\Flagged') for @names;
	$c->close;
	turns_ok($i, $relay, 8, "flags changed $where in 20 mailboxes");
	same_content($local, $remote, 'equal');
	turns_ok($i, $relay, 3, 'no change after that');
	unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, 'no SELECT');

	$c = $side->client;
	for my $name (@names) {
		$c->append($name, message($number++), flags => '\Seen',
		    date => date_of($number)) for 1 .. 5;
	}
	$c->close;
	turns_ok($i, $relay, 8, "100 new messages $where in 20 mailboxes");
	same_content($local, $remote, 'equal');
	turns_ok($i, $relay, 3, 'no change after that');
	unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, 'no SELECT');

	$c = $side->client;
	my $first = ($c->uids($names[0]))[0];
	$c->expunge($_, "$first," . ($first + 5)) for @names;
	$c->close;
	turns_ok($i, $relay, 8, "expunges $where in 20 mailboxes");
	same_content($local, $remote, 'equal');
	turns_ok($i, $relay, 3, 'no change after that');
	unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, 'no SELECT');
}

# A first run of 2,000 messages in one mailbox, each way.
for my $way ('up', 'down') {
	my $from = Imapsync::Server->new(name => "local-$way");
	my $to = Imapsync::Server->new(name => "remote-$way", daemon => 1,
	    mechs => 'plain login');
	my ($big, $line) = setting($from, $to);

	$c = ($way eq 'up' ? $from : $to)->client;
	$c->append_many('INBOX', map { { body => message($_, size => 2000) } }
	    1 .. 2000);
	$c->close;
	$big->sync_ok("first run of 2,000 messages, $way");
	$r = $line->result;
	cmp_ok($r->{stalls}, '<=', 4, "$way: $r->{stalls} stalls") or
	    diag(turns($line));
	same_content($from, $to, 'equal');
}

done_testing;

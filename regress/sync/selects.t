#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a run costs its servers: the SELECTs and EXAMINEs of each side, as relays
# count them, and what is fetched besides.

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

my ($local, $remote) = map { Imapsync::Server->new(name => $_, daemon => 1) }
    'local', 'remote';
my %relay = (local => Imapsync::Relay->new(port => $local->port, log => 1),
    remote => Imapsync::Relay->new(port => $remote->port, log => 1));
my $i = Imapsync::Imapsync->new(
    local => $local->section(port => $relay{local}->port),
    remote => $remote->section(port => $relay{remote}->port));
my ($lc, $rc) = map { $_->client } $local, $remote;
my $number = 0;

sub put
{
	my ($c, $box, $n) = @_;

	$c->append_many($box, map { { body => message(++$number),
	    date => date_of($number) } } 1 .. $n);
}

# A run; the SELECTs of the local side, of the remote side.
sub costs
{
	my ($want, $what) = @_;

	$_->unselect for $lc, $rc;
	$i->sync_ok($what);
	my @have = map { $relay{$_}->result->{selects} } 'local', 'remote';
	is("@have", $want, "$what: SELECTs");
	same_content($local, $remote, "$what: equal");
}

sub dates
{
	return scalar(() = $relay{ $_[0] }->octets('c2s') =~
	    /UID FETCH [^\r]*INTERNALDATE/g);
}

put($lc, 'INBOX', 30);
$i->sync_ok('first run');
$i->sync_ok('what it left');
costs('0 0', 'nothing');

# With one mailbox the session of the discovery is the one that is used.
put($lc, 'INBOX', 2);
costs('1 1', 'new');
costs('0 0', 'behind it');
$lc->store('INBOX', '1:3', '+FLAGS', '\Seen');
costs('1 1', 'flags');
costs('0 0', 'behind it');

# D5 looks once more at the side that told it, and in the session that is there on
# the other; D7 wants two of its own.  Only what was moved needs a date.
$lc->expunge('INBOX', '4:6');
costs('2 3', 'expunged');
is(dates('local') + dates('remote'), 0, 'expunged: no dates are asked for');
costs('0 0', 'behind it');

# One look a side, whatever it is asked.
$lc->expunge('INBOX', '7');
$rc->expunge('INBOX', '8');
costs('4 4', 'expunged on both sides');
costs('0 0', 'behind it');

# What the side has told itself must be told again behind what is done to it.
$lc->store('INBOX', '10', '+FLAGS', '\Flagged');
$rc->store('INBOX', '11', '+FLAGS', '\Answered');
costs('2 2', 'flags of both sides');
costs('0 0', 'behind it');

# Of several each is selected once for discovery and once for what is done.
for my $box ('A', 'B', 'C') {
	$lc->create($box);
	put($lc, $box, 5);
}
$i->sync_ok('three more');
$i->sync_ok('what it left');
$lc->store($_, '1:2', '+FLAGS', '\Seen') for 'A', 'B', 'C';
costs('3 6', 'flags in three');
costs('0 0', 'behind it');

$lc->select('A');
$lc->ok('UID MOVE 1:2 B');
costs('3 5', 'moved');
like($relay{remote}->octets('c2s'), qr/SELECT "A"[^\r]*\r\n\S+ UID MOVE 1:2 "B"/,
    'right behind a SELECT');
cmp_ok(dates('remote'), '>', 0, 'dates of what was moved');
costs('0 0', 'behind it');

$_->close for $lc, $rc;
done_testing;

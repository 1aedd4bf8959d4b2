#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# More mailboxes with news than are worked at together (ROUND_MAX, bounds.h): in
# one run all the same, each once, and what an earlier round deleted counts.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;

use constant MANY => 2100;

my %m = map { $_ => Imapsync::Model->new(greeting => 'PREAUTH') }
    'local', 'remote';
my $i = Imapsync::Imapsync->new(local => $m{'local'}->section(tunnel => 1),
    remote => $m{remote}->section(tunnel => 1));

sub name { return sprintf 'm%05d', $_[0] }

# Messages of each mailbox of a side that is not empty.
sub held
{
	my ($side) = @_;
	my $st = $m{$side}->store;

	return { map { my @u = $st->uids(name($_)); @u ? ($_ => scalar @u) :
	    () } 1 .. MANY };
}

$m{'local'}->change(sub {
	my ($st) = @_;
	for my $n (1 .. MANY) {
		$st->create(name($n));
		$st->deliver(name($n), message($n)) if $n % 50 == 0;
	}
	$st->deliver(name(1), message(10000 + $_)) for 1 .. 30;
	$st->deliver(name(MANY), message(20000 + $_)) for 1 .. 30;
});
$i->sync_ok('a first run of ' . MANY . ' mailboxes');
is_deeply(held('remote'), held('local'), 'each has what it should have');
$i->silent_ok('the next run');

$m{remote}->change(sub {
	my ($st) = @_;
	$st->deliver(name($_), message(30000 + $_)) for 1 .. MANY;
});
$i->sync_ok('a message in each of them');
is_deeply(held('local'), held('remote'), 'copied once');

# 2,202 messages: 25 of the first mailbox and 25 of the last are no reason.
$m{remote}->change(sub {
	my ($st) = @_;
	for my $box (1, MANY) {
		my @uids = $st->uids(name($box));
		$st->remove(name($box), @uids[0 .. 24]);
	}
	$st->deliver(name($_), message(40000 + $_)) for 1 .. MANY;
});
$i->sync_ok('deletions in the first round and in the last');
is_deeply(held('local'), held('remote'), 'deleted, and nothing else');

# Three emptied mailboxes are held while most others have not begun.
$m{remote}->change(sub {
	my ($st) = @_;
	for my $box (2 .. 4) {
		$st->deliver(name($box), message(50000 + 100 * $box + $_))
		    for 1 .. 30;
	}
});
$i->sync_ok('three larger mailboxes');
my $before = held('local');
$m{remote}->change(sub {
	my ($st) = @_;
	$st->remove(name($_), $st->uids(name($_))) for 2 .. 4;
	$st->deliver(name($_), message(60000 + $_)) for 5 .. MANY;
});
my $r = $i->status_is(3, 'emptied in the first round');
like($r->{err}, qr/--allow-delete/, 'which is held');
my $after = held('local');
is_deeply([@$after{2 .. 4}], [@$before{2 .. 4}], 'nothing is deleted');
is(scalar(grep { $after->{$_} != $before->{$_} + 1 } 5 .. MANY), 0,
    'all others have what is new');
done_testing;

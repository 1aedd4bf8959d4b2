#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# That regress/bench still measures, on few messages and without peers: what it
# says is there, and what it would not overlook.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Test::More;
use Imapsync::Bench;
use Imapsync::Peer;
use Imapsync::Proc qw(run_command slurp tmpdir);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $bench = "$FindBin::Bin/../bench";
my $out = tmpdir() . '/out';
my $env = { BENCH_OUT => $out, BENCH_PEERS => 'imapsync',
    BENCH_MESSAGES => 60, BENCH_BOXES => 3, BENCH_RTT => '0.02',
    BENCH_RATE => 1_000_000, BENCH_SCENARIOS => 'first flags',
    BENCH_LIMIT => 60, QUICK => undef };

my $said = eval { run_command([$^X, "$bench/run", 'table'], env => $env) };
ok(defined $said, 'it runs, and all is right') or diag($@);
my @r = map { decode_json($_) } split /\n/, slurp("$out/results.json");
is(join(' ', map { $_->{scenario} } @r), 'first flags', 'a line each');
for my $r (@r) {
	is($r->{status}, 0, "$r->{scenario}: has ended well");
	is_deeply($r->{wrong}, [], 'both sides were the same');
	cmp_ok($r->{$_}, '>', 0, $_) for qw(turns selects sent received wall
	    user local remote largest all);
}
cmp_ok($r[0]{sent}, '>', 60 * 1500, 'a first sync sends the mail');
cmp_ok($r[1]{sent}, '<', 60 * 100, 'a change of flags does not');
$said = run_command([$^X, "$bench/run", 'table'], env => $env);
is($said, '', 'what is there is not measured again');
$said = run_command([$^X, "$bench/report", 'table'], env => $env);
like($said, qr/^\| 6 flag changes \| 20 ms \| imapsync \| [\d.]+ \| \d+ /m,
    'the table');

# It would say so.
my $b = Imapsync::Bench->new(messages => 20, boxes => 2);
my ($peer) = Imapsync::Peer->all('imapsync');
cmp_ok(scalar(my @wrong = $b->verify($peer)), '>', 0,
    'a remote side that is empty is not right');
is($b->measure($peer)->{status}, 0, 'a run');
is(join("\n", $b->verify($peer, messages => 20, boxes => 2, flagged => 0)),
    '', 'now it is');
$b->save('base', $peer);
$b->change('flags', 2);
like(join("\n", $b->verify($peer)), qr/flagged/, 'other flags are not');
$b->restore('base', $peer);
is(join("\n", $b->verify($peer)), '', 'what was saved comes back');
like(join("\n", $b->verify($peer, messages => 21)), qr/^messages: 20, not 21/,
    'nor is one message too few');
is($b->measure($peer, limit => 0)->{status}, 'stopped',
    'what takes too long is stopped');
done_testing;

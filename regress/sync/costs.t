#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Round trips of a run, by strategy, with a server that refuses all else but
# LITERAL+: they do not grow with messages, nor (but for EXPUNGE without UIDPLUS)
# with mailboxes.  COSTS_BOXES and COSTS_MESSAGES (each): more of them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Test::More;
use Imapsync::Case;
use Imapsync::Hidden;
use Imapsync::Imapsync;
use Imapsync::Pair qw(put server);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $boxes = $ENV{COSTS_BOXES} // 8;
my $each = $ENV{COSTS_MESSAGES} // 10;
my @names = map { "box$_" } 1 .. $boxes;

# Without APPENDUID, too.
my $no_uids = sub {
	my ($t, $response) = @_;
	$response =~ s/\[APPENDUID [^\]]*\] //;
	return $response;
};
my @plain = plain();
my %kinds = (
	condstore => { hidden('QRESYNC', 'IDLE', 'NOTIFY') },
	plain => { hidden(@plain) },
	'plain, no UIDPLUS' => { hidden([@plain, 'UIDPLUS'], answer =>
	    $no_uids) },
);
# No change, new, flags, expunged; PREAUTH, so that a login is not in it.
my %most = (
	condstore => [2, 5, 4, 5],
	plain => [3, 6, 5, 6],
	# List, mark and search are a turn of each mailbox.
	'plain, no UIDPLUS' => [3, 6, 5, 6 + $boxes],
);

for my $kind (sort keys %kinds) {
	subtest $kind => sub { costs($kind) };
}

sub costs
{
	my ($kind) = @_;
	my $p = Imapsync::Case->new(remote => $kinds{$kind});
	my ($idle, $new, $flags, $expunged) = @{ $most{$kind} };
	my $n = 0;

	for my $box (@names) {
		$p->put('local', $box, $n + 1 .. $n + $each);
		$n += $each;
	}
	$p->i->sync_ok('first run');
	$p->i->sync_ok('what it left');
	turns($p, $idle, "$kind: no change");
	$p->put('local', $_, ++$n, ++$n) for @names;
	turns($p, $new, "$kind: new");
	$p->i->run;
	$p->flags('local', $_, '+FLAGS', '\Seen', first($_)) for @names;
	turns($p, $flags, "$kind: flags");
	$p->i->run;
	$p->expunge('local', $_, first($_), first($_) + 1) for @names;
	turns($p, $expunged, "$kind: expunged");
	$p->i->run;
	turns($p, $idle, "$kind: no change again");
	is(refused($p->remote), '', 'nothing was sent that is not offered');
}

# A list of flags, as it comes and deflated.
subtest 'octets of plain' => sub {
	my $n = $ENV{COSTS_MESSAGES} // 1000;

	for my $how (['NO', 55], ['YES', 8]) {
		my ($compress, $most) = @$how;
		my ($local, $remote) = map { server(compress => 1) } 1, 2;
		my $i = Imapsync::Imapsync->new(local => $local,
		    remote => $remote->section(compress => $compress),
		    conf => { strategy => 'plain' });
		my $received = sub { decode_json($i->sync_ok($_[0],
		    '--json')->{out})->{remote}{received} };

		$i->sync_ok('first run');
		my $empty = $received->('nothing is there');
		put($local, $n, 'INBOX');
		$i->sync_ok('copied') for 1 .. 2;
		my $octets = ($received->('no change') - $empty) / $n;
		cmp_ok($octets, '<=', $most, sprintf('compress %s: %.1f octets ' .
		    'a message, at most %d', $compress, $octets, $most));
	}
};

sub first { my ($n) = $_[0] =~ /(\d+)/; return ($n - 1) * $each + 1 }

sub turns
{
	my ($p, $most, $what) = @_;
	my $r = $p->i->sync_ok($what, '--json');
	my $j = decode_json($r->{out});
	my $t = $j->{remote}{turns};

	cmp_ok($t, '<=', $most, "$what: $t turns, at most $most");
}

done_testing;

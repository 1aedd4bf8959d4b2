#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A real Dovecot that ends the connection whenever a certain message is
# fetched, by its body or by its header: the third run at the latest has copied
# all else, in both directions, and names the message.  It stays so, without
# reconnecting for ever, until the file is mended.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Case qw(named set_of);
use Imapsync::Poison;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# Five messages of each poisoned mailbox are new, and others elsewhere.  Those
# of the remote server begin with 1, those of the local one with 41.
my %first = (remote => 1, 'local' => 41);

sub fill
{
	my ($p, @poisons) = @_;
	my (%at, @x);

	for my $x (@poisons) {
		my ($side, $box, $kind, @at) = @$x;
		my $n = $first{$side};
		my %bad = map { $n + $_ - 1 => 1 } @at;

		for my $k ($n .. $n + 4) {
			if ($bad{$k}) {
				push @x, Imapsync::Poison->new($p, $side,
				    $box, $k, $kind);
			} else {
				$p->put($side, $box, $k);
			}
		}
	}
	# Names in front of the others, and behind them.
	for my $box ('A', 'z') {
		$p->put('remote', $box, 51, 52);
		$p->put('local', $box, 61, 62);
	}
	$p->put('local', 'own', 63);
	$p->put('remote', 'own too', 53);
	return @x;
}

# What the other side should have of a mailbox: all but what is poisoned there.
sub wanted
{
	my ($box, $both, $poisons) = @_;
	my %have = ('local' => [@$both], remote => [@$both]);

	for my $x (@$poisons) {
		my ($side, $name, $kind, @at) = @$x;
		next if $name ne $box;
		my $n = $first{$side};
		my %bad = map { $n + $_ - 1 => 1 } @at;
		push @{ $have{$_} }, grep { !$bad{$_} } $n .. $n + 4
		    for 'local', 'remote';
	}
	return map { $_ => set_of(@{ $have{$_} }) } keys %have;
}

sub healthy
{
	my ($p, $what) = @_;

	for my $side ('local', 'remote') {
		$p->has($side, $_, '51:52 61:62', $what) for 'A', 'z';
		$p->has($side, 'own', '63', $what);
		$p->has($side, 'own too', '53', $what);
	}
}

# Runs until one ends with 3.  By the third the mailboxes that are sound are
# done; in one that has several such messages each may take three runs.
sub runs
{
	my ($p, $max) = @_;
	my ($r, $text) = (undef, '');

	for my $n (1 .. $max) {
		$r = $p->i->run;
		$text .= $r->{err};
		like($r->{status}, qr/^(?:3|75)$/, "run $n: exit status")
		    or diag($r->{err});
		healthy($p, 'after three runs') if $n == 3 ||
		    ($r->{status} != 75 && $n < 3);
		last if $r->{status} != 75;
	}
	is($r->{status}, 3, 'nothing else is left') or diag($text);
	return $text;
}

sub starve
{
	my ($how, @poisons) = @_;
	my $p = Imapsync::Case->new(map { $_ => { answer => undef } }
	    'local', 'remote');
	my %boxes = map { $_->[1] => 1 } @poisons;
	my @boxes = sort keys %boxes;
	# In a first run, with common messages, headers are fetched; later one
	# mailbox has other changes, too.
	my %old = map { $_ => [91, 92] } @boxes;

	$p->{size} = 900;
	$p->put('remote', $_, 91, 92) for @boxes;
	if ($how eq 'first') {
		$p->put('local', $_, 91, 92) for @boxes;
	} else {
		$p->run(0, 'before');
	}
	my @x = fill($p, @poisons);
	if ($how eq 'later') {
		$p->flags('local', $boxes[0], '+FLAGS', '\Flagged', 91);
		$p->expunge('remote', $boxes[0], 92);
		$old{$boxes[0]} = [91];
	}
	my $text = runs($p, 3 * @x);
	ok(named($text, $_->{side}, $_->{box}, $_->uid),
	    "UID " . $_->uid . " in $_->{box} on $_->{side} is named")
	    for @x;
	for my $box (@boxes) {
		my %all = wanted($box, $old{$box}, \@poisons);
		$p->has($_, $box, $all{$_}, 'the others') for keys %all;
	}
	is($p->flags_of('remote', $boxes[0], 91), '\Flagged',
	    'flags of that mailbox') if $how eq 'later';
	stay($p);
	$_->repair for @x;
	$p->run(0, 'mended, --retry', '--retry');
	for my $box (@boxes) {
		my %all = wanted($box, $old{$box}, [map { [@$_[0 .. 2]] }
		    @poisons]);
		$p->equal($box, $all{'local'}, 'mended');
	}
	$p->rests(0, 'mended');
}

# Further runs: one session each, nothing is changed, 3 as long as it stands.
sub stay
{
	my ($p) = @_;

	for my $time (1, 2) {
		my @before = map { $p->{$_}->connections } 'local', 'remote';
		my $r = $p->rests(3, "it stands, $time");
		my @after = map { $p->{$_}->connections } 'local', 'remote';
		is_deeply(\@after, [map { $_ + 1 } @before],
		    'with one session on each side');
		unlike($r->{err}, qr/lost the server|ended the session/,
		    'which the server does not end');
	}
}

for my $case (
	['a file that is shorter than its S=, in the middle',
	    ['remote', 'INBOX', 'size', 3]],
	['a file that is longer than its S=, the last one',
	    ['local', 'INBOX', 'short', 5]],
	['an empty file, the first one', ['remote', 'INBOX', 'empty', 1]],
	['a file that can not be read, the last one, not in INBOX',
	    ['remote', 'm', 'mode', 5]],
	['two in one mailbox', ['remote', 'INBOX', 'mode', 2, 4]],
	['two in two mailboxes', ['remote', 'INBOX', 'empty', 3],
	    ['remote', 'm', 'size', 1]],
	['one on each side', ['remote', 'INBOX', 'size', 3],
	    ['local', 'INBOX', 'mode', 3]]) {
	my ($name, @poisons) = @$case;
	push @cases, "B1: $name" => sub { starve('later', @poisons) };
}

# The connection ends in META already, since both sides have messages.
for my $case (
	['a wrong S=, the first one', ['remote', 'INBOX', 'size', 1]],
	['a file that can not be read', ['local', 'm', 'mode', 3]],
	['an empty file, the last one', ['remote', 'INBOX', 'empty', 5]],
	['two in one mailbox', ['remote', 'INBOX', 'mode', 2, 4]],
	['one on each side', ['remote', 'INBOX', 'short', 3],
	    ['local', 'INBOX', 'empty', 3]]) {
	my ($name, @poisons) = @$case;
	push @cases, "B1: first run, $name" =>
	    sub { starve('first', @poisons) };
}

cases(4, @cases);
done_testing;

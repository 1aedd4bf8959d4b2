#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Answers whose end can be found and whose content is wrong.  What nobody needs
# is dropped; a number that can't be is none; where it was needed that mailbox
# alone stops, and is done once the server is itself again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Case;
use Imapsync::Proc qw(wait_for);
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# Lines that tell nothing, and the command in whose answers they come.
my @nothing = (
	['LIST', '* STATUS "ab"cd" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3)'],
	['LIST', '* LIST ((\Foo "/" x'],
	['LIST', '* LIST (\HasNoChildren) "/" '],
	['LIST', '* LIST (\HasNoChildren) "//" y'],
	['LIST', '* STATUS INBOX'],
	['LIST', '* STATUS "INBOX (MESSAGES 1)'],
	['SELECT', '* VANISHED (EARLIER) '],
	['SELECT', '* OK [UNSEEN'],
	['SELECT', '* FLAGS (\Seen'],
	['SELECT', '* 12345678901 RECENT'],
	['SELECT', '* XYZZY (1 "'],
	['SELECT', '*'],
	['UID FETCH', '* VANISHED '],
	['APPEND', '* OK [APPENDUID'],
);

# Lines that may have told something of that mailbox, which may stop for it.
my @something = (
	['SELECT', '* VANISHED (EARLIER) 0'],
	['SELECT', '* VANISHED (EARLIER) 3:'],
	['SELECT', '* OK [HIGHESTMODSEQ'],
	['UID SEARCH', '* ESEARCH (TAG "x") UID ALL 1:'],
	['UID FETCH', '* 1 FETCH (FLAGS (\Seen'],
	['UID FETCH', '* 1 FETCH (UID 12345678901 FLAGS ())'],
	['UID FETCH', '* SEARCH 1 x'],
	['UID STORE', '* 1 FETCH (UID x FLAGS ())'],
	['APPEND', '* 9 EXISTS ('],
);

# set(say => "COMMAND line"): ahead of the tagged answer to each such command;
# to SELECT (and EXAMINE) behind HIGHESTMODSEQ, that of "box".
sub speaks
{
	my ($t, $response) = @_;
	my ($command, $line) = $t->get('say') =~ /^(UID \S+|\S+) (.*)/s
	    or return $response;
	my ($tag) = $t->tagged($response);

	if ($command eq 'SELECT') {
		return $response if $t->mailbox ne 'box' ||
		    $t->opening eq '' ||
		    $response !~ /^\* OK \[HIGHESTMODSEQ/;
		return "$response$line\r\n";
	}
	return $response unless defined $tag &&
	    $t->asked($tag) =~ /^\Q$command\E / &&
	    ($command eq 'LIST' || $t->mailbox eq 'box');
	return "$line\r\n$response";
}

# set(turn => "STATUS|SELECT\nfrom\nto"): in the answers that tell of "box".
sub turns
{
	my ($t, $response) = @_;
	my ($where, $from, $to) = split /\n/, $t->get('turn');

	return speaks($t, $response) unless defined $where;
	return $response unless $where =~ /STATUS/ &&
	    $response =~ /^\* STATUS "?box"? / || $where =~ /SELECT/ &&
	    $t->mailbox eq 'box' && $response =~ /^\S+ OK \[/;
	return $response =~ s/$from/$to/r;
}

# All kinds of changes in "box" and around it.
sub changes
{
	my ($p, $side) = @_;
	my $other = $p->other($side);

	$p->put($side, $_, 5) for 'A', 'box', 'z';
	$p->put($other, $_, 6) for 'A', 'box', 'z';
	$p->flags($other, 'box', '+FLAGS', '\Flagged', 3);
	$p->flags($side, 'box', '+FLAGS', '\Answered', 4);
	$p->expunge($side, 'box', 1);
	$p->expunge($other, 'box', 2);
}

sub others
{
	my ($p, $numbers, $what) = @_;

	for my $side ('local', 'remote') {
		$p->has($side, $_, $numbers, $what) for 'A', 'z';
	}
}

sub pair
{
	my ($side) = @_;
	my $p = Imapsync::Case->new($side => { answer => \&turns });

	$p->put($side, $_, 1 .. 4) for 'A', 'box', 'z';
	return $p;
}

my $count = 0;
sub next_side { return ++$count % 3 ? 'remote' : 'local' }

# From the first run on, or from a later one on.
sub dropped
{
	my ($side, $say, $first) = @_;
	my $p = pair($side);

	$p->{$side}->set(say => $say) if $first;
	$p->run(0, 'first run');
	$p->equal('box', '1:4', 'first run');
	$p->{$side}->set(say => $say);
	changes($p, $side);
	$p->run(0, 'changes');
	others($p, '1:6', 'changes');
	$p->equal('box', '3:6', 'changes');
	$p->rests(0, 'then');
}

# It may be that it has told of a message: then the mailbox waits, and no other.
sub may_stop
{
	my ($side, $say) = @_;
	my $p = pair($side);

	$p->run(0, 'before');
	$p->{$side}->set(say => $say);
	changes($p, $side);
	my $r = $p->i->run;
	like($r->{status}, qr/^[03]$/, 'exit status') or diag($r->{err});
	like($r->{err}, qr/^box: .*\b$side\b/m, 'it is named')
	    if $r->{status} == 3;
	others($p, '1:6', 'changes');
	$p->{$side}->set('say');
	$p->settles('box', '3:6', 'without it');
}

for my $case (@nothing) {
	my $say = "@$case";
	my ($side, $first) = (next_side(), $count % 2);
	push @cases, "B4: $say, $side" . ($first ? ', first run' : '') =>
	    sub { dropped($side, $say, $first) };
}
for my $case (@something) {
	my $say = "@$case";
	my $side = next_side();
	push @cases, "B4: $say, $side" => sub { may_stop($side, $say) };
}

# A modseq that is none, from the first run on.
sub no_modseq
{
	my ($side, $turn) = @_;
	my $p = pair($side);

	$p->{$side}->set(turn => $turn);
	$p->run(0, 'first run');
	$p->equal('box', '1:4', 'first run');
	changes($p, $side);
	$p->run(0, 'changes');
	others($p, '1:6', 'changes');
	$p->equal('box', '3:6', 'changes');
	$p->rests(0, 'then');
}

# One that the state has, and that is told no more: the others go on, and in the
# end, when it is told again, all is equal.
sub modseq_lost
{
	my ($side, $turn) = @_;
	my $p = pair($side);

	$p->run(0, 'before');
	$p->{$side}->set(turn => $turn);
	changes($p, $side);
	my $r = $p->i->run;
	like($r->{status}, qr/^[03]$/, 'exit status') or diag($r->{err});
	others($p, '1:6', 'changes');
	$p->{$side}->set('turn');
	$p->settles('box', '3:6', 'as it was');
}

for my $case (['18446744073709551616', 'STATUS', 'SELECT', 'STATUS|SELECT'],
    ['NIL', 'STATUS', 'SELECT'], ['0', 'STATUS|SELECT'],
    ['-1', 'STATUS|SELECT'], ['1x', 'STATUS'], ['', 'STATUS', 'SELECT']) {
	my ($value, @where) = @$case;
	for my $where (@where) {
		my $turn = "$where\nHIGHESTMODSEQ \\d+\n" .
		    "HIGHESTMODSEQ $value";
		my $side = next_side();
		push @cases, "B4: HIGHESTMODSEQ $value in $where, $side" =>
		    sub { no_modseq($side, $turn) };
		push @cases, "B4: HIGHESTMODSEQ $value in $where, $side, " .
		    'later' => sub { modseq_lost($side, $turn) };
	}
}

# What a mailbox can't do without: it stops, and no other.
sub stops
{
	my ($side, $turn, $first) = @_;
	my $p = pair($side);
	my $other = $p->other($side);

	$p->{$side}->set(turn => $turn) if $first;
	$p->run($first ? 3 : 0, 'first run');
	others($p, '1:4', 'first run');
	$p->{$side}->set(turn => $turn);
	if (!$first) {
		changes($p, $side);
		my $r = $p->run(3, 'changes');
		like($r->{err}, qr/^box: .*\b$side\b/m, 'it is named');
		unlike($r->{err}, qr/--adopt/, 'no advice for another fault');
		others($p, '1:6', 'changes');
		$p->has($side, 'box', '2:5', 'it is left alone');
		$p->has($other, 'box', '1 3:4 6', 'on both sides');
	}
	$p->rests(3, 'as long as it is so');
	$p->{$side}->set('turn');
	$p->settles('box', $first ? '1:4' : '3:6', 'as it was');
}

for my $case (['UIDVALIDITY \d+', 'UIDVALIDITY 12345678901'],
    ['UIDVALIDITY \d+', 'UIDVALIDITY NIL'], ['UIDVALIDITY \d+',
    'UIDVALIDITY 0']) {
	my ($from, $to) = @$case;
	for my $where ('SELECT', $to =~ /\d\d/ ? 'STATUS|SELECT' : ()) {
		my $side = next_side();
		for my $first (1, 0) {
			push @cases, "B4: $to in $where, $side" .
			    ($first ? ', first run' : '') => sub {
				stops($side, "$where\n$from\n$to", $first);
			};
		}
	}
}

# In STATUS alone it is no matter: SELECT tells it.
for my $to ('UIDVALIDITY 12345678901', 'UIDNEXT 0', 'UIDNEXT 12345678901',
    'MESSAGES NIL', 'MESSAGES -1') {
	my ($item) = split / /, $to;
	push @cases, "B4: $to in STATUS" => sub {
		no_modseq('remote', "STATUS\n$item \\d+\n$to");
	};
}

push @cases, 'B4: --watch goes on' => sub {
	my $p = pair('remote');

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->run(0, 'before');
	$p->remote->set(turn => "SELECT\nUIDVALIDITY \\d+\n" .
	    'UIDVALIDITY 12345678901');
	changes($p, 'remote');
	my $w = Imapsync::Watch->new($p->i, '--watch=600');
	$w->ready;
	$p->put('remote', 'INBOX', 5);
	ok(eval { wait_for(30, 'a new message', sub {
	    $p->numbers('local', 'INBOX') eq '1:5' }) }, 'a new message comes');
	others($p, '1:6', 'the first pass');
	$p->remote->set('turn');
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'it was still there');
	$p->settles('box', '3:6', 'as it was');
};

cases(4, @cases);
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Watching while others are at work: a second deletion between the look that
# found the first and the one that is taken before it is carried over, again
# and again; mailboxes that could not be finished.  They are looked at again as
# soon as their numbers change, nobody is told to use --adopt, and nothing is
# said twice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Cases qw(cases);
use Imapsync::Compare qw(same_content);
use Imapsync::Mail;
use Imapsync::Case;
use Imapsync::Proc qw(wait_for);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Watch;
use Imapsync::Sides;

use constant LONG => 30;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# A test: these numbers are there before long.
sub comes
{
	my ($p, $side, $box, $numbers, $what) = @_;
	my $have = '';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(eval { wait_for(LONG, $what, sub {
		$have = $p->numbers($side, $box);
		$have =~ $numbers }) }, $what) ||
	    !diag("there is $have");
}

sub ends
{
	my ($p, $w, $what) = @_;

	$w->end('TERM');
	unlike($w->err, qr/--adopt|--repair/, "$what: no advice");
	same_content($p->local, $p->remote, "$what: equal");
	$p->rests(0, $what);
}

# A user deletes what he has read, one message after the other, and the network
# is a slow one.
push @cases, 'A5: deletions one after the other' => sub {
	my $p = Imapsync::Case->new(remote => { daemon => 1 });
	my $relay = Imapsync::Relay->new(port => $p->remote->port,
	    rtt => 0.2);

	$p->i->change(remote => $p->remote->section(port => $relay->port));
	$p->put('remote', 'INBOX', 1 .. 60);
	$p->put('remote', 'box', 201 .. 210);
	$p->run(0, 'before');
	my $w = Imapsync::Watch->new($p->i, '--notify');
	$w->ready;
	my $c = $p->remote->client;
	for my $n (1 .. 35) {
		$c->expunge('INBOX', $n);
		$c->append('INBOX', $p->body(101)) if $n == 12;
		$c->store('INBOX', 60, '+FLAGS', '\Flagged') if $n == 14;
		$c->append('box', $p->body(211)) if $n == 16;
		sleep 0.1 * (1 + $n % 7);
	}
	$c->close;
	all_come($p, $w, qr/^36:60 101$/);
};

# As bad as it can be: at each look one more, ahead of the pass's second SELECT.
push @cases, 'A5: one more at each look' => sub {
	my $p = Imapsync::Case->new(remote => { command => sub {
		my ($t, undef, $text) = @_;
		$t->{selects} = 0 if $text =~ /^LIST/;
		return $text unless $text =~ /^(?:SELECT|EXAMINE) "?INBOX/;
		if (++$t->{selects} == 2 && $t->get('go') ne '' &&
		    ++$t->{looks} < 7) {
			my $c = $t->{fake}->client;
			$c->expunge('INBOX', 20 + $t->{looks});
			$c->append('INBOX', Imapsync::Mail::message(101))
			    if $t->{looks} == 3;
			$c->append('box', Imapsync::Mail::message(211))
			    if $t->{looks} == 5;
			$c->close;
		}
		return $text;
	} });

	$p->put('remote', 'INBOX', 1 .. 60);
	$p->put('remote', 'box', 201 .. 210);
	$p->run(0, 'before');
	my $w = Imapsync::Watch->new($p->i, '--notify');
	$w->ready;
	$p->remote->set(go => 1);
	$p->expunge('remote', 'INBOX', 1);
	all_come($p, $w, qr/^2:20 27:60 101$/);
};

sub all_come
{
	my ($p, $w, $inbox) = @_;

	comes($p, 'local', 'INBOX', qr/ 101$/, 'mail that came meanwhile') &&
	comes($p, 'local', 'INBOX', $inbox, 'all are carried over') &&
	comes($p, 'local', 'box', qr/^201:211$/, 'another mailbox');
	ends($p, $w, 'one after the other');
}

# A relay that has SELECTs of a mailbox refused, as is set: "box n text": the
# n-th of a session and no more, from the moment on that it is set.
sub refusing
{
	return { command => sub {
		my ($t, $tag, $text) = @_;
		my ($box, $n) = $t->get('refuse') =~ /^(\S+) (\d+) /
		    or return $text;
		return $text unless $text =~ /^(?:SELECT|EXAMINE) "?$box"?/;
		return $text if $t->happened('refused') ||
		    ++$t->{selects} < $n;
		$t->once('refused');
		$t->{refused} = $tag;
		return $text =~ s/"?$box"?/"no such mailbox"/r;
	}, answer => sub {
		my ($t, $response) = @_;
		my ($tag) = $t->tagged($response);

		return $response unless defined $tag &&
		    $tag eq ($t->{refused} // '');
		my ($text) = $t->get('refuse') =~ /^\S+ \d+ (.*)/;
		return "$tag $text\r\n";
	} };
}

# The first SELECT is that of the discovery, the second that of the look before a
# deletion; what is transferred of one mailbox needs none.
for my $side (sides('remote', 'local')) {
	for my $n (1, 2) {
		for my $event ('a new message', 'a deletion') {
			my $what = "SELECT $n refused on $side, $event";
			next if $n == 2 && $event ne 'a deletion';

			push @cases, "A5b: $what" => sub {
				stopped_once($side, $n, $event);
			};
		}
	}
}

sub stopped_once
{
	my ($side, $n, $event) = @_;
	my $p = Imapsync::Case->new($side => refusing());
	my $other = $p->other($side);

	$p->put($side, 'INBOX', 1 .. 5);
	$p->run(0, 'before');
	my $w = Imapsync::Watch->new($p->i, '--watch=900');
	$w->ready;
	$p->{$side}->set(refuse => "INBOX $n NO [INUSE] it is locked");
	if ($event eq 'a deletion') {
		$p->expunge($side, 'INBOX', 2);
	} else {
		$p->put($side, 'INBOX', 6);
	}
	my $said = eval { wait_for(LONG, 'the refusal', sub {
		$w->err =~ /^INBOX: .*it is locked/m }) };
	ok($said, 'it is stopped') or return diag($w->err);
	# On either side something happens now.
	$p->put($n == 1 ? $side : $other, 'INBOX', 7);
	my $all = $event eq 'a deletion' ? qr/^1 3:5 7$/ : qr/^1:7$/;
	comes($p, $other, 'INBOX', $all,
	    'it is looked at again when its numbers change') &&
	comes($p, $side, 'INBOX', $all, 'on both sides');
	is(scalar(() = $w->err =~ /it is locked/g), 1, 'that was said once');
	ends($p, $w, 'stopped once');
}

push @cases, 'A5b: with --notify, any mailbox' => sub {
	my $p = Imapsync::Case->new(remote => refusing());

	$p->put('remote', 'box', 1 .. 5);
	$p->run(0, 'before');
	my $w = Imapsync::Watch->new($p->i, '--notify');
	$w->ready;
	$p->remote->set(refuse => 'box 1 NO [UNAVAILABLE] not now');
	$p->put('remote', 'box', 6);
	ok(eval { wait_for(LONG, 'the refusal', sub {
	    $w->err =~ /^box: .*not now/m }) }, 'it is stopped');
	$p->put('remote', 'box', 7);
	comes($p, 'local', 'box', qr/^1:7$/, 'and looked at again');
	ends($p, $w, 'notified');
};

# A reason that stays: it is named once, whatever happens in it.
push @cases, 'A5b: a mailbox that stays stopped is named once' => sub {
	my $p = Imapsync::Case->new;

	$p->put('remote', $_, 1 .. 5) for 'box', 'INBOX';
	$p->run(0, 'before');
	my $w = Imapsync::Watch->new($p->i, '--notify');
	$w->ready;
	$p->with('remote', sub {
		my ($c) = @_;
		$c->rename('box', 'elsewhere');
		$c->create('box');
	});
	ok(eval { wait_for(LONG, 'the stop', sub {
	    $w->err =~ /^box: .*UIDVALIDITY/m }) }, 'it is stopped');
	for my $n (6 .. 9) {
		$p->put('remote', 'box', $n);
		$p->put('remote', 'INBOX', $n);
		comes($p, 'local', 'INBOX', qr/^1:$n$/, "INBOX goes on, $n");
	}
	$p->has('local', 'box', '1:5', 'it is left alone');
	is(scalar(() = $w->err =~ /^box: .*UIDVALIDITY/mg), 1, 'named once')
	    or diag($w->err);
	$w->end('TERM');
};

cases(4, @cases);
done_testing;

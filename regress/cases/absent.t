#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What is looked at before a deletion, and is not there: somebody is at work.
# The deletions of that mailbox wait for the next run, without advice;
# everything else in it goes on.  Only another message under the same UID is a
# reason to stop.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Case;
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# Another client of that side expunges what set(expunge => UIDs) says, once,
# ahead of the second SELECT or EXAMINE of INBOX in a session, or of a look in the
# first: before anything is looked at.  With set(hide => UIDs) the headers of
# these are not shown, without a word, or as NIL.
sub side
{
	my ($how) = @_;

	return { command => sub {
		my ($t, undef, $text) = @_;
		my $uids = $t->get('expunge');
		my $select = $text =~ /^(?:SELECT|EXAMINE) "?INBOX/;
		return $text unless $select || $text =~ /^UID FETCH .*HEADER/;
		$t->{selects} += $select;
		# The look at the doomed has no SELECT of its own.
		if ($t->{selects} == ($select ? 2 : 1) && $uids ne '' &&
		    $t->once("expunged.$uids")) {
			my $c = $t->{fake}->client;
			$c->expunge('INBOX', $uids);
			$c->close;
		}
		return $text;
	}, answer => sub {
		my ($t, $response) = @_;
		my $uids = $t->get('hide');
		my $uid = $t->uid($response);
		return $response if $uids eq '' || $uid eq '' ||
		    $response !~ /BODY\[HEADER/ || !Imapsync::Wire::in_set($uid,
		    Imapsync::Wire::uid_set($uids));
		return '' if ($how // 'none') eq 'none';
		return $response =~ s/(BODY\[HEADER[^]]*\]) .*\)\r\n\z/$1 /rs .
		    "NIL)\r\n";
	} };
}

# Ten messages that both have under the same UIDs; other things to do in INBOX,
# and in another mailbox.
sub begin
{
	my ($how, $told) = @_;
	my $p = Imapsync::Case->new(remote => side($how),
	    'local' => side($how));
	my $other = $p->other($told);

	$p->put($told, 'INBOX', 1 .. 10);
	$p->put($told, 'box', 31 .. 33);
	$p->run(0, 'before');
	$p->put($told, 'INBOX', 20);
	$p->put($other, 'INBOX', 21);
	$p->flags($told, 'INBOX', '+FLAGS', '\Flagged', 5);
	$p->flags($other, 'INBOX', '+FLAGS', '\Answered', 6);
	$p->expunge($told, 'box', 32);
	return $p;
}

# The run at whose look something is not there: no failure, no advice.
sub quiet
{
	my ($p, $what, $told) = @_;
	my $other = $p->other($told);
	my $r = $p->run(0, $what);

	unlike($r->{err}, qr/--adopt|--repair|another|other messages/,
	    "$what: no advice");
	is($p->flags_of($other, 'INBOX', 5), '\Flagged', "$what: flags go on");
	is($p->flags_of($told, 'INBOX', 6), '\Answered', "$what: both ways");
	like($p->numbers($other, 'INBOX'), qr/\b20:21$/, "$what: copies, too");
	like($p->numbers($told, 'INBOX'), qr/\b20:21$/, "$what: both ways");
	$p->has($other, 'box', '31 33', "$what: another mailbox");
}

for my $told (sides('remote', 'local')) {
	# The lowest, one of the middle, the highest, several, all but two.
	for my $gone ([1], [7], [10], [1, 2, 8 .. 10], [1, 2, 4, 7 .. 10]) {
		my %gone = map { $_ => 1 } 3, @$gone;
		my $uids = Imapsync::Wire::make_set(@$gone);
		my $left = Imapsync::Case::set_of(grep { !$gone{$_} } 1 .. 10,
		    20, 21);

		subtest "A5: $uids expunged on $told before the look" => sub {
			my $p = begin('none', $told);

			$p->expunge($told, 'INBOX', 3);
			$p->{$told}->set(expunge => $uids);
			quiet($p, 'the look', $told);
			$p->settles('INBOX', $left, 'the next run');
			$p->mends('INBOX', $left, 'then') if @$gone == 1;
		};
	}
}

for my $told (sides('remote', 'local')) {
	subtest "A5: what $told told is gone on the other side, too" => sub {
		my $p = begin('none', $told);
		my $other = $p->other($told);

		$p->expunge($told, 'INBOX', 3, 4);
		$p->{$other}->set(expunge => '3');
		quiet($p, 'the doomed is gone', $told);
		$p->settles('INBOX', '1:2 5:10 20:21', 'the next run');
	};

	subtest "A5: told by $told, another is gone on the other side" => sub {
		my $p = begin('none', $told);
		my $other = $p->other($told);

		$p->expunge($told, 'INBOX', 3);
		$p->{$other}->set(expunge => '8');
		quiet($p, 'another one', $told);
		$p->settles('INBOX', '1:2 4:7 9:10 20:21', 'the next run');
	};
}

subtest 'A5: both tell, and on both one more is gone' => sub {
	my $p = begin('none', 'remote');

	$p->expunge('remote', 'INBOX', 1);
	$p->expunge('local', 'INBOX', 2);
	$p->remote->set(expunge => '7');
	$p->local->set(expunge => '8');
	quiet($p, 'both', 'remote');
	$p->settles('INBOX', '3:6 9:10 20:21', 'the next run');
};

# Nothing was expunged, it is only not shown.  What is to be deleted and has not
# been looked at stays.
for my $how ('none', 'nil') {
	subtest "A5: a survivor is not shown, $how" => sub {
		my $p = begin($how, 'remote');

		$p->expunge('remote', 'INBOX', 3);
		$p->remote->set(hide => '8');
		quiet($p, 'not shown', 'remote');
		$p->remote->set('hide');
		$p->settles('INBOX', '1:2 4:10 20:21', 'the next run');
	};

	subtest "A5: a doomed message is not shown, $how" => sub {
		my $p = begin($how, 'remote');

		$p->expunge('remote', 'INBOX', 3, 4);
		$p->local->set(hide => '3');
		quiet($p, 'not shown', 'remote');
		like($p->numbers('local', 'INBOX'), qr/^1:(?:3|10)\b/,
		    'it was not deleted unseen');
		$p->local->set('hide');
		$p->settles('INBOX', '1:2 5:10 20:21', 'the next run');
	};
}

# One is not there, and another one is not what it was: that stops it.
subtest 'A5: an absence and a mismatch' => sub {
	my $p = Imapsync::Case->new(remote => { model => 1 });

	$p->put('remote', 'INBOX', 1 .. 10);
	$p->run(0, 'before');
	$p->remote->change(sub {
		my ($st) = @_;
		$st->remove('INBOX', 3);
		$st->find('INBOX', 7)->{body} = $p->body(77);
	});
	$p->remote->hooks(SELECT => \&remove_eight, EXAMINE => \&remove_eight);
	my $r = $p->run(3, 'both');
	like($r->{err}, qr/^INBOX: .*remote.*--adopt/m, 'advice');
	is($p->numbers('local', 'INBOX'), '1:10', 'nothing is deleted');
};

sub remove_eight
{
	my ($c, undef, $name) = @_;

	$c->store->remove('INBOX', 8) if $name eq 'INBOX' && ++$c->{opens} == 2;
	return;
}

done_testing;

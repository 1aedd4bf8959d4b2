#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Rules D1 to D5 and D7 of the design, each with the server that makes it
# necessary: nothing is deleted that should not be, and what should be is.  The
# guard, D6, has a test of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message new_number);
use Imapsync::Model;
use Imapsync::Pair qw(pair dovecot cyrus put count);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# A Dovecot and a model with ten messages in INBOX and in "other", in sync.
sub in_sync
{
	my (%o) = @_;
	my ($local, $model, $i) = pair(model => { caps => $o{caps} },
	    boxes => { INBOX => 10, other => 10 });

	$i->silent_ok;
	return ($local, $model, $i);
}

sub counts_are
{
	my ($local, $model, $n, $what, $name) = @_;
	my @have = map { count($_, $name // 'INBOX') } $local, $model;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("@have", "$n $n", $what);
}

# Has a message of the INBOX been deleted on the model, or was that tried?
sub expunges { return grep { /EXPUNGE|CLOSE|Deleted/i } $_[0]->commands }

# The INBOX is stopped with advice, "other" goes on, --adopt mends it.
sub stops
{
	my ($local, $model, $i, $re) = @_;
	my $before = count($local, 'INBOX');
	my $there = count($model, 'INBOX');

	$model->change(sub {
		$_[0]->remove('other', 2);
		$_[0]->deliver('other', message(new_number));
	});
	for my $time ('stopped', 'still stopped') {
		my $r = $i->status_is(3, $time);
		like($r->{err}, qr/^INBOX: .*$re.*--adopt/, "$time: advice");
		is((() = $r->{err} =~ /^INBOX/gm), 1, "$time: in one line");
		is(count($local, 'INBOX'), $before, "$time: none deleted");
		is(count($model, 'INBOX'), $there, "$time: nothing copied");
		counts_are($local, $model, 10, "$time: the other goes on",
		    'other');
	}
}

# --adopt drops what the state holds; what both have is paired.
sub adopts
{
	my ($local, $model, $i, $n) = @_;

	$i->sync_ok('--adopt', '--adopt', 'INBOX');
	counts_are($local, $model, $n, 'paired, not copied');
	same_content($local, $model, 'equal');
	$i->silent_ok;
}

my %d1 = (
	UIDVALIDITY => sub { $_[0]->box('INBOX')->{uidvalidity} += 7 },
	MAILBOXID => sub { $_[0]->box('INBOX')->{mailboxid} = 'Mother' },
	UIDNEXT => sub {
		# A backup in which the last two had not come yet.
		$_[0]->forget('INBOX', 9, 10);
		$_[0]->box('INBOX')->{uidnext} = 9;
	},
	HIGHESTMODSEQ => sub {
		my $box = $_[0]->box('INBOX');
		$box->{modseq} = 5;
		$_->{modseq} = 5 for @{ $box->{messages} };
		$box->{vanished} = [];
	},
);

for my $what (sort keys %d1) {
	subtest "D1: $what" => sub {
		my ($local, $model, $i) = in_sync(caps => '+OBJECTID');
		my $c = $local->client;

		$c->expunge('INBOX', '1');
		$model->change(sub {
			# With it, something that would be deleted.
			$_[0]->remove('INBOX', 3);
			$d1{$what}->($_[0]);
		});
		stops($local, $model, $i, $what);
		ok(!expunges($model), 'no attempt');
		adopts($local, $model, $i, 10);
		$c->expunge('INBOX', '4');
		$i->sync_ok('an expunge after that');
		counts_are($local, $model, 9, 'is done');
		$c->close;
	};
}

# Dovecot with a Maildir of yesterday.
for my $what ('UIDNEXT', 'HIGHESTMODSEQ') {
	subtest "D1: a backup restored, $what" => sub {
		my ($local, $model, $i) = in_sync();
		my $home = $local->dir . '/home';
		my $c = $local->client;

		# It must have set flags of its own, or has no modseqs.
		$c->store('INBOX', '1', '+FLAGS', '\Flagged');
		$c->close;
		$i->sync_ok('a flag');
		system('cp', '-a', $home, "$home.old") == 0 or die "cp\n";
		$model->change(sub { $_[0]->deliver('INBOX', message(5000)) })
		    if $what eq 'UIDNEXT';
		$c = $local->client;
		$c->store('INBOX', '2:3', '+FLAGS', '\Seen');
		$c->expunge('INBOX', '4') if $what eq 'UIDNEXT';
		$c->close;
		$i->sync_ok('the day after');
		system('rm', '-rf', $home) == 0 && system('cp', '-a',
		    "$home.old", $home) == 0 or die "cp\n";
		$model->change(sub { $_[0]->remove('INBOX', 7) });
		stops($local, $model, $i, $what);
		# What has been deleted since comes back, nothing comes twice.
		adopts($local, $model, $i, $what eq 'UIDNEXT' ? 11 : 10);
	};
}

subtest 'D2: VANISHED of what has no row' => sub {
	my ($local, $model, $i) = in_sync();
	my $c = $local->client;

	# UIDs that only the local server has.
	$c->append('INBOX', message(new_number)) for 1 .. 3;
	$model->change(sub {
		$_[0]->box('INBOX')->{uidnext} = 2000;
	});
	$model->hooks(select => sub {
		my (undef, $name, $info) = @_;
		$info->{vanished} = [11 .. 13, 500 .. 600];
	});
	$i->sync_ok('told in vain');
	counts_are($local, $model, 13, 'nothing deleted');
	$model->hooks;
	$i->silent_ok;
	same_content($local, $model, 'equal');
	$c->close;
};

subtest 'D2: VANISHED without EARLIER' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->set_flags('INBOX', 1, '\Seen') });
	# They are still there, and it is told of another mailbox, perhaps.
	$model->hooks('after SELECT' => sub {
		my ($c) = @_;
		$c->untagged('VANISHED 3:10');
	});
	$i->run;
	is(count($local, 'INBOX'), 10, 'nothing deleted on the other side');
	ok(!expunges($model), 'nor here');
	$model->hooks;
	$i->sync_ok('without the lie');
	counts_are($local, $model, 10, 'all is there');
	same_content($local, $model, 'equal');
	$i->silent_ok;

	# Another client expunges behind our first SELECT.
	$model->change(sub { $_[0]->set_flags('INBOX', 1, '\Flagged') });
	$model->hooks('after SELECT' => sub {
		my ($c) = @_;
		$c->store->remove('INBOX', 4) if $c->nth == 1;
	});
	$i->sync_ok('expunged meanwhile');
	$model->hooks;
	$i->sync_ok('the next run');
	counts_are($local, $model, 9, 'is told again');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

subtest 'D3: VANISHED, and it is there' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->set_flags('INBOX', 1, '\Seen') });
	$model->hooks(select => sub { $_[2]{vanished} = [3] });
	$i->sync_ok('a false VANISHED');
	ok((grep { /^UID SEARCH RETURN \(ALL\)/ } $model->commands),
	    'the UIDs were listed');
	$model->hooks;
	counts_are($local, $model, 10, 'nothing deleted');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

subtest 'D3: gone, and no VANISHED' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->forget('INBOX', 3, 4) });
	$i->sync_ok('missed');
	counts_are($local, $model, 8, 'found by listing');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

subtest 'D3, D5: the numbers agree, the UIDs do not' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->forget('INBOX', 3) });
	$model->hooks(select => sub { $_[2]{vanished} = [4] });
	my $r = $i->status_is(3, 'another one is gone');
	like($r->{err}, qr/^INBOX: .*nothing was deleted/, 'said');
	is(count($local, 'INBOX'), 10, 'nothing deleted');
	$model->hooks;
	$i->sync_ok('--adopt', '--adopt', 'INBOX');
	counts_are($local, $model, 10, 'it comes back');
};

subtest 'D3: messages that nobody has seen' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->remove('INBOX', 5) });
	$i->sync_ok('one expunged');
	# A UID that was given away comes back, as after a merge of spools.
	$model->change(sub {
		$_[0]->deliver('INBOX', message(6000), uid => 5);
		$_[0]->remove('INBOX', 7);
	});
	my $r = $i->status_is(3, 'a foreign UID');
	like($r->{err}, qr/^INBOX: .*another mailbox.*--adopt/, 'advice');
	is(count($local, 'INBOX'), 9, 'nothing deleted');
	adopts($local, $model, $i, 10);
};

subtest 'D3: no list is not an empty list' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->forget('INBOX', 3) });
	$model->hooks(out => sub {
		my (undef, $line) = @_;
		return $line =~ /^\* ESEARCH.* ALL / ? undef : $line;
	});
	my $r = $i->run;
	isnt($r->{status}, 0, 'an error') or diag($r->{err});
	is(count($local, 'INBOX'), 10, 'nothing deleted');
	$model->hooks(out => sub {
		my (undef, $line) = @_;
		return $line =~ /^\* ESEARCH/ ? undef : $line;
	});
	$r = $i->run;
	isnt($r->{status}, 0, 'no ESEARCH at all') or diag($r->{err});
	is(count($local, 'INBOX'), 10, 'nothing deleted');
	$model->hooks;
	$i->sync_ok('with ESEARCH');
	counts_are($local, $model, 9, 'the one that is gone');
};

subtest 'D4: the mailbox is gone, not its messages' => sub {
	my ($local, $model, $i) = in_sync();
	my $open = sub {
		my ($c, $tag, $name) = @_;
		return unless $name eq 'INBOX' && ++$c->{opened} > 1;
		$c->tagged($tag, 'NO', '[NONEXISTENT] gone');
		return 1;
	};

	$model->change(sub { $_[0]->set_flags('INBOX', 1, '\Seen') });
	$model->hooks(select => sub {
		my (undef, $name, $info) = @_;
		return unless $name eq 'INBOX';
		@$info{qw(vanished exists)} = ([1 .. 10], 0);
	}, SELECT => $open, EXAMINE => $open, search => sub {
		@{ $_[2] } = () if $_[1] eq 'INBOX';
	});
	my $r = $i->status_is(3, 'renamed by another while we look');
	like($r->{err}, qr/^INBOX: .*gone/, 'said');
	is(count($local, 'INBOX'), 10, 'nothing deleted');

	# Everything is told to be gone, but is back at the second look.
	$model->hooks(select => sub {
		my ($c, $name, $info) = @_;
		return unless $name eq 'INBOX' && ++$c->{looked} == 1;
		@$info{qw(vanished exists)} = ([1 .. 10], 0);
	});
	$r = $i->sync_ok('back again: the next run will see');
	unlike($r->{err}, qr/--adopt/, 'it is no other mailbox');
	$model->hooks;
	is(count($local, 'INBOX'), 10, 'nothing deleted');
	$i->sync_ok('without the lie');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

subtest 'D4: all of it is gone' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->remove('INBOX', 1 .. 10) });
	$i->sync_ok('somebody emptied it');
	ok(1 < (grep { /^(SELECT|EXAMINE) "?INBOX/ } $model->commands),
	    'opened again');
	counts_are($local, $model, 0, 'empty');
	$i->silent_ok;
};

# A real Cyrus, which answers VANISHED 1:n after a RENAME.
subtest 'D4: renamed on Cyrus while it is open' => sub {
	plan skip_all => Imapsync::Server->missing('cyrus')
	    if Imapsync::Server->missing('cyrus');
	my ($local, $cyrus) = (dovecot(), cyrus());
	my ($lc, $rc) = ($local->client, $cyrus->client);
	my $session = $cyrus->client;

	$rc->create($_) for 'box', 'stays';
	$rc->append_many('box', map { { body => message($_) } } 1 .. 10);
	$rc->append_many('stays', map { { body => message($_) } } 1 .. 30);
	my $i = Imapsync::Imapsync->new(local => $local, remote => $cyrus);
	$i->sync_ok('first run');
	$session->ok('ENABLE QRESYNC');
	$session->select('box');
	$rc->rename('box', 'elsewhere');
	my $r = $session->ok('NOOP');
	ok((grep { $_->[0] eq 'VANISHED' } @{ $r->{untagged} }),
	    'this is what it does');
	$session->close;
	$r = $i->sync_ok('renamed');
	like($r->{err}, qr/^box: renamed to elsewhere on local$/m, 'followed');
	is($lc->status('elsewhere')->{MESSAGES}, 10, 'nothing deleted');
	$_->close for $lc, $rc;
};

# Two models, whose messages change under their UIDs.
sub models
{
	my ($count) = @_;
	my @m = map { Imapsync::Model->new } 1 .. 2;
	my $i = Imapsync::Imapsync->new(local => $m[0], remote =>
	    $m[1]->section(host => 'localhost'));

	$m[1]->change(sub {
		put($_[0], $count, 'INBOX');
		put($_[0], 10, 'other');
	});
	$i->sync_ok('first run');
	return (@m, $i);
}

sub swap
{
	my ($model, $size, @uids) = @_;

	$model->change(sub {
		$_[0]->find('INBOX', $_)->{body} = message(7000 + $_,
		    defined $size ? (size => $size) : ()) for @uids;
	});
}

sub mismatch
{
	my ($one, $two, $i, $n, $gone) = @_;
	my $r = $i->status_is(3, 'not the messages of the state');

	like($r->{err}, qr/^INBOX: .*nothing was deleted.*--adopt/, 'advice');
	is(count($one, 'INBOX'), $n, 'nothing deleted here');
	is(count($two, 'INBOX'), $n - $gone, 'nor there');
	ok(!expunges($one), 'no attempt');
	counts_are($one, $two, 9, 'the other mailbox goes on', 'other');
}

subtest 'D5: the doomed are other messages' => sub {
	my ($one, $two, $i) = models(10);

	swap($one, undef, 4);
	$two->change(sub {
		$_[0]->remove('INBOX', 3, 4, 5);
		$_[0]->remove('other', 1);
	});
	mismatch($one, $two, $i, 10, 3);
};

subtest 'D5: a mailbox under the UIDVALIDITY of another' => sub {
	my ($one, $two, $i) = models(10);

	swap($two, undef, 1 .. 10);
	$two->change(sub {
		$_[0]->remove('INBOX', 3);
		$_[0]->remove('other', 1);
	});
	mismatch($one, $two, $i, 10, 1);
};

subtest 'D5: more than 200' => sub {
	my ($one, $two, $i) = models(700);

	my $was = $one->store->find('INBOX', 2)->{body};

	# One of those that are not looked at whole, by its size.
	swap($one, 9000, 2);
	$two->change(sub {
		$_[0]->remove('INBOX', 1 .. 300);
		$_[0]->remove('other', 1);
	});
	mismatch($one, $two, $i, 700, 300);
	my $set = Imapsync::Wire::make_set(1 .. 300);
	ok(!(grep { /^UID FETCH $set .*HEADER/ } $one->commands),
	    'not all headers were asked for');
	$one->change(sub {
		$_[0]->find('INBOX', 2)->{body} = $was;
	});
	$i->sync_ok('they are what the state knows');
	counts_are($one, $two, 400, 'deleted');
	$i->silent_ok;
};

subtest 'D7: what is to be expunged, and nothing else' => sub {
	my ($local, $model, $i) = in_sync();
	my $c = $local->client;

	# Somebody marks messages here and has not expunged them yet.
	$model->change(sub { $_[0]->set_flags('INBOX', 8, '\Deleted') });
	$i->sync_ok('marked');
	$model->hooks('after SELECT' => sub {
		my ($s, undef, $name) = @_;
		$s->store->set_flags('INBOX', 9, '\Deleted')
		    if $name eq 'INBOX' && $s->nth == 1;
	});
	$c->expunge('INBOX', '2,4:5');
	$i->sync_ok('three expunged');
	is_deeply([grep { /EXPUNGE|CLOSE/ } $model->commands],
	    ['UID EXPUNGE 2,4:5'], 'as listed');
	counts_are($local, $model, 7, 'and no more');
	$model->hooks;
	$i->sync_ok('the mark of another');
	same_content($local, $model, 'equal');
	$i->silent_ok;
	$c->close;
};

subtest 'D7: OK, and nothing is expunged' => sub {
	my ($local, $model, $i) = in_sync();
	my $c = $local->client;

	$c->expunge('INBOX', '2:3');
	$model->hooks('UID EXPUNGE' => sub {
		my ($s, $tag) = @_;
		$s->tagged($tag, 'OK', 'done');
		return 1;
	});
	for my $time (1 .. 2) {
		my $r = $i->status_is(3, "run $time");
		like($r->{err}, qr/^INBOX: .*not.*expunge/, 'said');
		is(count($model, 'INBOX'), 10, 'they are there');
		is(count($local, 'INBOX'), 8, 'they do not come back');
	}
	$model->hooks;
	$i->sync_ok('the next run tries again');
	counts_are($local, $model, 8, 'gone');
	same_content($local, $model, 'equal');
	$i->silent_ok;

	# NO is told, and the same.
	$c->expunge('INBOX', '4');
	$model->hooks('UID EXPUNGE' => sub {
		my ($s, $tag) = @_;
		$s->tagged($tag, 'NO', '[NOPERM] not you');
		return 1;
	});
	my $r = $i->status_is(3, 'NO');
	like($r->{err}, qr/^INBOX: .*not you/m, "the server's words");
	$model->hooks;
	$i->sync_ok('allowed');
	counts_are($local, $model, 7, 'gone');
	$c->close;
};

# Dovecot expunges nothing behind a first SELECT, in one packet, in a session
# that has read from the mailbox.
subtest 'D7: the second SELECT' => sub {
	my ($one, $two) = map { Imapsync::Server->new(name => $_) }
	    'early', 'late';
	my $i = Imapsync::Imapsync->new(local => $one, remote => $two);
	my ($lc, $rc) = ($one->client, $two->client);

	$rc->append_many('INBOX', map { { body => message($_) } } 1 .. 1600);
	$i->sync_ok('first run');
	$lc->expunge('INBOX', '100:103');
	$rc->expunge('INBOX', '300,310');
	$lc->append('INBOX', message(2001));
	$rc->append('INBOX', message(2002));
	$i->sync_ok('expunges and copies both ways');
	counts_are($one, $two, 1596, 'in one run');
	$i->silent_ok;
	$_->close for $lc, $rc;
};

done_testing;

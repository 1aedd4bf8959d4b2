#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Rule D6, the guard: a server that has lost its storage deletes nothing on the
# other; a person who tidies up never meets it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Mail qw(message new_number);
use Imapsync::Pair qw(pair);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# A Dovecot and a model with so many messages in each mailbox, in sync.
sub in_sync { my (%boxes) = @_; return pair(model => {}, boxes => \%boxes) }

sub local_count
{
	my ($local, @names) = @_;
	my $c = $local->client;
	my @counts = map { $c->status($_)->{MESSAGES} } @names;

	$c->close;
	return "@counts";
}

# The guard keeps all of it, everything else goes on, --allow-delete releases.
sub trips
{
	my ($local, $model, $i, $re, @names) = @_;
	my $before = local_count($local, @names);

	$model->change(sub {
		my ($st) = @_;
		$st->deliver('news', message(new_number));
		$st->set_flags('news', 1, '\Flagged', '$Guard');
	});
	my $news = local_count($local, 'news');
	my $r = $i->status_is(3, 'the guard');
	like($r->{err}, $re, 'what was found');
	like($r->{err}, qr/--allow-delete/, 'and how to go on');
	is((() = $r->{err} =~ /--allow-delete/g), 1, 'once');
	is(local_count($local, @names), $before, 'nothing deleted');
	is(local_count($local, 'news'), $news + 1, 'new messages are copied');
	my $c = $local->client;
	my ($first) = $c->fetch_all('news');
	ok((grep { $_ eq '\Flagged' } @{ $first->{flags} }), 'flags are set');
	$c->close;

	$r = $i->status_is(3, 'and again');
	like($r->{err}, $re, 'the same');
	is(local_count($local, @names), $before, 'still nothing deleted');
	$r = $i->status_is(3, 'a dry run', '--dry-run');
	$i->sync_ok('--allow-delete', '--allow-delete');
	same_content($local, $model, 'equal', subscriptions => 0);
	isnt(local_count($local, @names), $before, 'deleted');
	$i->silent_ok;
}

sub passes
{
	my ($local, $model, $i, $what) = @_;

	$i->sync_ok($what);
	same_content($local, $model, 'equal', subscriptions => 0);
	$i->silent_ok;
}

subtest 'more than half, and more than 20' => sub {
	my ($local, $model, $i) = in_sync(a => 30, b => 30, news => 5);

	$model->change(sub {
		$_[0]->remove('a', 1 .. 17);
		$_[0]->remove('b', 10 .. 26);
	});
	trips($local, $model, $i, qr/34 of 6[56] .*remote/, 'a', 'b');
};

subtest 'no more than half' => sub {
	my ($local, $model, $i) = in_sync(a => 30, b => 30);

	$model->change(sub {
		$_[0]->remove('a', 1 .. 15);
		$_[0]->remove('b', 10 .. 24);
	});
	passes($local, $model, $i, '30 of 60');
};

subtest 'no more than 20' => sub {
	my ($local, $model, $i) = in_sync(a => 12, b => 10);

	$model->change(sub {
		$_[0]->remove('a', 1 .. 12);
		$_[0]->remove('b', 1 .. 8);
	});
	passes($local, $model, $i, '20 of 22');
};

subtest 'three mailboxes emptied' => sub {
	my ($local, $model, $i) = in_sync(a => 21, b => 21, c => 22,
	    news => 150);

	$model->change(sub {
		for my $name ('a', 'b', 'c') {
			$_[0]->remove($name, $_[0]->uids($name));
		}
	});
	trips($local, $model, $i, qr/64 of 21[45] .*remote.*whole mailboxes/,
	    'a', 'b', 'c');
};

subtest 'a person empties mailboxes' => sub {
	my ($local, $model, $i) = in_sync(a => 40, b => 40, c => 20,
	    rest => 120);

	my $c = $local->client;
	$c->expunge('a', '1:*');
	passes($local, $model, $i, 'one');
	$c->expunge('b', '1:*');
	$c->expunge('c', '1:*');
	passes($local, $model, $i, 'two, one of them small');
	$c->close;
};

# Both sides lose messages: the sum counts.
subtest 'half on each side' => sub {
	my ($local, $model, $i) = in_sync(a => 20, b => 20, news => 5);
	my $c = $local->client;

	$c->expunge('a', '1:13');
	$c->close;
	$model->change(sub { $_[0]->remove('b', 1 .. 13) });
	my $r = $i->status_is(3, '26 of 45');
	is(local_count($local, 'a', 'b'), '7 20', 'none deleted here');
	is(scalar($model->store->uids('a')), 20, 'nor there');
	$i->sync_ok('--allow-delete', '--allow-delete');
	same_content($local, $model, 'equal');
	is(local_count($local, 'a', 'b'), '7 7', 'now they are');
};

subtest 'Trash and Junk' => sub {
	my ($local, $model, $i) = in_sync(Trash => 70, 'x/spam' => 30,
	    'Unwanted' => 25, a => 30);

	$model->change(sub {
		my ($st) = @_;
		$st->box('Unwanted')->{attrs} = '\Junk';
		for my $name ('Trash', 'x/spam', 'Unwanted') {
			$st->remove($name, $st->uids($name));
		}
	});
	passes($local, $model, $i, 'emptied by habit');
};

# What went to another mailbox of that side is not lost.
subtest 'all of INBOX is archived' => sub {
	my ($local, $model, $i) = in_sync(INBOX => 60, Archive => 5, a => 10);
	my $c = $local->client;

	$c->select('INBOX');
	$c->ok('UID MOVE 1:*', \'Archive');
	$c->close;
	passes($local, $model, $i, 'locally, into one that is there');
	is(local_count($local, 'INBOX', 'Archive'), '0 65', 'archived');

	$model->change(sub {
		my ($st) = @_;
		my $all = $st->box('Archive')->{messages};
		$st->create('2026');
		$st->deliver('2026', $_->{body}, flags => $_->{flags},
		    date => $_->{date}) for @$all;
		$st->remove('Archive', $st->uids('Archive'));
	});
	passes($local, $model, $i, 'remotely, into a new one');
	is(local_count($local, 'Archive', '2026'), '0 65', 'archived');
};

# Three mailboxes are tidied up into one, some messages are deleted.
subtest 'archived, and more is lost' => sub {
	my ($local, $model, $i) = in_sync(INBOX => 40, Archive => 5, a => 30,
	    news => 5);

	$model->change(sub {
		my ($st) = @_;
		for my $m (@{ $st->box('INBOX')->{messages} }[0 .. 9]) {
			$st->deliver('Archive', $m->{body}, date =>
			    $m->{date});
		}
		$st->remove('INBOX', 1 .. 40);
		$st->remove('a', 1 .. 15);
	});
	# The ten have their copies when the second run begins.
	trips($local, $model, $i, qr/(45 of 80|55 of 91) .*remote/, 'INBOX',
	    'a');
};

# A Maildir that is not mounted: Dovecot makes a new one, with another
# UIDVALIDITY; its files alone: every message has vanished.
subtest 'the storage of a Dovecot is lost' => sub {
	my ($local, $model, $i) = in_sync(INBOX => 30, a => 30);

	system('sh', '-c', 'rm -f "$0"/home/user/Maildir/cur/* ' .
	    '"$0"/home/user/Maildir/new/* "$0"/home/user/Maildir/.a/cur/* ' .
	    '"$0"/home/user/Maildir/.a/new/*', $local->dir) == 0
	    or die "rm\n";
	my $r = $i->status_is(3, 'the files are gone');
	like($r->{err}, qr/60 of 60 .*local.*--allow-delete/, 'the guard');
	is(scalar($model->store->uids('INBOX')), 30, 'nothing deleted');
	system('rm', '-rf', $local->dir . '/home/user/Maildir') == 0
	    or die "rm\n";
	$r = $i->status_is(3, 'the Maildir is gone');
	is(scalar($model->store->uids($_)), 30, "$_: nothing deleted")
	    for 'INBOX', 'a';
};

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A mailbox without HIGHESTMODSEQ (RFC 7162 section 3.1.2.2): complete lists
# tell what is gone, and a list that is not complete deletes nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total);
use Imapsync::Mail qw(message date_of);
use Imapsync::Pair qw(pair count);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

my %none = (
	select => sub {
		my (undef, $name, $info) = @_;
		return unless $name eq 'INBOX';
		$info->{modseq} = 0;
		$info->{vanished} = $info->{changed} = [];
	},
	status => sub {
		my (undef, $name, $info) = @_;
		$info->{highestmodseq} = 0 if $name eq 'INBOX';
	},
);

# A Dovecot and a model without modseqs, in sync.
sub in_sync
{
	my ($local, $model, $i) = pair(model => { hooks => \%none }, @_);

	$model->change(sub {
		$_[0]->deliver('INBOX', message($_), date => date_of($_),
		    flags => $_ % 2 ? ['\Seen'] : []) for 1 .. 10;
	});
	$i->sync_ok('first run');
	same_content($local, $model, 'equal');
	$i->silent_ok;
	return ($local, $model, $i, $local->client);
}

subtest 'changes both ways' => sub {
	my ($local, $model, $i, $c) = in_sync();

	$c->expunge('INBOX', '3');
	$c->store('INBOX', '1:2', '+FLAGS', '\Flagged');
	$c->append('INBOX', message(11));
	$model->change(sub {
		my ($st) = @_;
		$st->remove('INBOX', 5, 10);
		$st->set_flags('INBOX', 1, '\Answered');
		$st->deliver('INBOX', message(12));
	});
	$i->sync_ok('changes');
	my $snap = same_content($local, $model, 'equal');
	is(total($snap, 'INBOX'), 9, 'added and deleted');
	ok((grep { /\[\\answered \\flagged\]/ }
	    keys %{ $snap->{INBOX}{messages} }), 'flags are merged');
	$i->silent_ok;
	$model->change(sub { $_[0]->remove('INBOX', $_[0]->uids('INBOX')) });
	$i->sync_ok('emptied');
	is(count($local), 0, 'empty');
	$i->silent_ok;
	$c->close;
};

subtest 'a list that leaves something out' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->remove('INBOX', 9) });
	$model->hooks(%none, fetch => sub {
		my ($c, undef, $list) = @_;
		@$list = grep { $_->{uid} != 4 } @$list if $c->nth == 1;
	});
	$i->sync_ok('one is left out');
	$model->hooks(%none);
	is(count($local), 9, 'only the one that is gone is deleted');
	$i->sync_ok('a complete list');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

subtest 'no list' => sub {
	my ($local, $model, $i) = in_sync();

	$model->change(sub { $_[0]->remove('INBOX', 9) });
	for my $answer ('NO', 'BAD') {
		$model->hooks(%none, 'UID FETCH' => sub {
			my ($c, $tag) = @_;
			$c->tagged($tag, $answer, 'not today');
			return 1;
		});
		my $r = $i->status_is(3, $answer);
		like($r->{err}, qr/^INBOX: .*not today/m, 'said');
		is(count($local), 10, 'nothing deleted');
	}
	$model->hooks(%none, 'UID FETCH' => sub { $_[0]->hang_up });
	is($i->run->{status}, 75, 'the end');
	is(count($local), 10, 'nothing deleted');
	# SEARCH shows that only one is gone.
	$model->hooks(%none, 'UID FETCH' => sub {
		my ($c, $tag) = @_;
		return if $c->nth > 1;
		$c->tagged($tag, 'OK', 'and not a word');
		return 1;
	});
	$i->run;
	is(count($local), 9, 'an empty list: the one that is gone');
	$model->hooks(%none);
	$i->sync_ok('a list');
	is(count($local), 9, 'and no other');
	same_content($local, $model, 'equal');
	$i->silent_ok;
};

# With and without: a mailbox may get modseqs, or lose them.
subtest 'modseqs come and go' => sub {
	my ($local, $model, $i) = in_sync();

	for my $with (1, 0, 1) {
		$model->hooks($with ? () : %none);
		$model->change(sub {
			my ($st) = @_;
			my @uids = $st->uids('INBOX');
			$st->remove('INBOX', $uids[0]);
			$st->set_flags('INBOX', $uids[1], '\Draft');
		});
		$i->sync_ok($with ? 'with modseqs' : 'without');
		same_content($local, $model, 'equal');
		$i->silent_ok;
	}
};

# Without QRESYNC all is listed then, and nobody is asked.
subtest 'modseqs come and go, condstore' => sub {
	my ($local, $model, $i) = in_sync(conf => { strategy => 'condstore' });
	my %select = (select => $none{select});
	my %refused = (%select, 'UID FETCH' => sub {
		my ($c, $tag, $args) = @_;
		return unless "@_[2 .. $#_]" =~ /CHANGEDSINCE/;
		$c->tagged($tag, 'NO', 'there are no modseqs');
		return 1;
	});

	for my $with ({}, \%none, {}, \%select, {}, \%refused) {
		$model->hooks(%$with);
		$model->change(sub {
			my ($st) = @_;
			my @uids = $st->uids('INBOX');
			$st->remove('INBOX', $uids[0]);
			$st->set_flags('INBOX', $uids[1], '\Draft');
		});
		$i->sync_ok(join ' ', 'with', sort keys %$with);
		same_content($local, $model, 'equal');
		$i->silent_ok;
	}
	is(count($local), 4, 'one is gone each time');
};

done_testing;

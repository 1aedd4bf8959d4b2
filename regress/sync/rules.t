#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# direction, propagate, max-size, max-age: what they leave out stays where it is,
# is no failure, and costs nothing in the runs that follow.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use POSIX ();
use Test::More;
use Imapsync::Compare qw(same_content snapshot everything);
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(pair);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# Mailbox => subject numbers and flags, to be compared with a list.
sub content
{
	my ($server, $name) = @_;
	my $c = $server->client;
	my @all;

	$c->fetch_each($name, 'UID FLAGS BODY.PEEK[]', sub {
		my ($m) = @_;
		my ($n) = $m->{body} =~ /^Subject: message (\d+)/m;
		push @all, join ' ', $n, sort grep { $_ ne '\Recent' }
		    @{ $m->{flags} };
	});
	$c->close;
	return join ', ', sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] ||
	    $a cmp $b } @all;
}

sub uid_of
{
	my ($c, $name, $n) = @_;
	my $uid;

	$c->fetch_each($name, 'UID BODY.PEEK[]', sub {
		$uid = $_[0]{uid} if $_[0]{body} =~ /^Subject: message $n\r/m;
	});
	return $uid // die "no message $n in $name\n";
}

# Silence, twice, and no mailbox is opened.
sub rests
{
	my ($i, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$i->silent_ok("$what: nothing to do");
	my $r = $i->sync_ok("$what: again", '--debug');
	unlike($r->{err}, qr/C: \S+ (SELECT|EXAMINE|UID|STATUS)/,
	    "$what: and no mailbox is opened");
}

sub numbers { return map { { body => message($_) } } @_ }

sub one_way
{
	my ($direction) = @_;
	my ($local, $remote, $i) = pair(remote => { daemon => 1 },
	    conf => { direction => $direction });
	my ($source, $target) = $direction eq 'to-local' ? ($remote, $local) :
	    ($local, $remote);
	my $side = $direction eq 'to-local' ? 'local' : 'remote';
	my $sc = $source->client;
	my $tc = $target->client;

	$sc->append_many('INBOX', numbers(1 .. 8));
	$sc->store('INBOX', '1:4', '+FLAGS', '\Seen');
	$sc->create('there');
	$sc->append('there', message(20));
	$sc->subscribe('there');
	$tc->append_many('INBOX', numbers(50, 3));
	$tc->create('own');
	$tc->append('own', message(60));
	$tc->subscribe('own');
	$_->close for $sc, $tc;
	my $before = [everything($source)];
	my $r = $i->sync_ok('--dry-run', '--dry-run');
	like($r->{out}, qr/^INBOX: (?:1 paired, 7|8) to copy to $side/m,
	    'the plan');
	unlike($r->{out}, qr/^own|to copy to (?!$side)/m, 'and nothing else');
	$r = $i->sync_ok('first run');
	my $says = "1 paired, 7 copied to $side, flags of 1 changed on $side";
	like($r->{err}, qr/^INBOX: $says$/m, 'INBOX');
	is_deeply([everything($source)], $before, 'the source is as it was');
	is(content($target, 'INBOX'), '1 \Seen, 2 \Seen, 3 \Seen, 4 \Seen, 5, ' .
	    '6, 7, 8, 50', 'all of it is on the target');
	is(content($target, 'there'), '20', 'the mailbox, too');
	is(snapshot($target)->{there}{subscribed}, 1, 'and its subscription');
	rests($i, 'first run');

	# What others change on the target stays there.
	$tc = $target->client;
	$tc->append('INBOX', message(51));
	$tc->expunge('INBOX', uid_of($tc, 'INBOX', 5));
	$tc->store('INBOX', uid_of($tc, 'INBOX', 2), '-FLAGS', '\Seen');
	$tc->store('INBOX', uid_of($tc, 'INBOX', 6), '+FLAGS', '\Flagged');
	$tc->unsubscribe('there');
	$tc->append('own', message(61));
	$tc->create('own too');
	$tc->close;
	$i->sync_ok('--dry-run of that', '--dry-run');
	$r = $i->silent_ok('changes on the target');
	is_deeply([everything($source)], $before, 'the source is as it was');
	my $wanted = '1 \Seen, 2, 3 \Seen, 4 \Seen, 6 \Flagged, 7, 8, 50, 51';
	is(content($target, 'INBOX'), $wanted, 'the target, too');
	rests($i, 'changes on the target');

	# The target follows the source, but where it has gone its own way.
	$sc = $source->client;
	$sc->store('INBOX', '1,2,6', '+FLAGS', '$Work');
	$sc->store('INBOX', 3, '-FLAGS', '\Seen');
	$sc->store('INBOX', 5, '+FLAGS', '\Answered');
	$sc->expunge('INBOX', '7');
	$sc->append('INBOX', message(9));
	$sc->create('new');
	$sc->append('new', message(30));
	$sc->close;
	$before = [everything($source)];
	$r = $i->sync_ok('changes on the source', '--json');
	is_deeply([everything($source)], $before, 'which is as it was');
	is(content($target, 'INBOX'), '1 $Work \Seen, 2 $Work, 3, 4 \Seen, ' .
	    '6 $Work \Flagged, 8, 9, 50, 51', 'the target follows');
	is(content($target, 'new'), '30', 'a new mailbox');
	my $json = JSON::PP::decode_json($r->{out});
	my ($box) = grep { $_->{name} eq 'INBOX' } @{ $json->{mailboxes} };
	my $other = $side eq 'local' ? 'remote' : 'local';
	is_deeply([@{ $box->{$side} }{qw(copied flags deleted)},
	    @{ $box->{$other} }{qw(copied flags deleted)}],
	    [1, 4, 1, 0, 0, 0], 'in figures');
	is($json->{status}, 0, 'no failure');
	rests($i, 'changes on the source');

	# --retry weighs it again: the direction is still the same.
	my $at = [everything($target)];
	$r = $i->sync_ok('--retry', '--retry', '--dry-run');
	unlike($r->{out}, qr/to copy to $side/,
	    'what was deleted on the target is not offered again');
	is_deeply([everything($target)], $at, 'not by a dry run');
	$i->sync_ok('--retry', '--retry');
	unlike(content($target, 'INBOX'), qr/\b5 \\Answered/,
	    'it stays deleted');
	is_deeply([everything($source)], $before, 'the source is as it was');
	rests($i, '--retry');
	$sc = $source->client;
	$sc->expunge('INBOX', '5');
	$sc->close;
	$i->sync_ok('and gone again');
	unlike(content($target, 'INBOX'), qr/\b5\b/, 'on both');

	# Much that the rule has left out goes away: no deletion of ours.
	$tc = $target->client;
	$tc->append_many('INBOX', numbers(100 .. 140));
	$tc->close;
	$i->silent_ok('41 more');
	$tc = $target->client;
	$tc->expunge('INBOX', join ',', map { uid_of($tc, 'INBOX', $_) }
	    100 .. 139);
	$tc->close;
	$r = $i->sync_ok('40 of them go', '--debug');
	unlike($r->{err}, qr/UID SEARCH RETURN \(ALL\) UID 1:|--allow-delete/,
	    'nothing is listed, no advice given');
	rests($i, 'they are gone');

	# Both ways from now on: new changes go both ways, the old stay.
	$i->change(conf => { direction => undef });
	$r = $i->sync_ok('both directions');
	like($r->{err}, qr/^own: created on $other/m, 'the mailbox goes over');
	unlike($r->{err}, qr/^INBOX/m, 'the messages left out do not');
	rests($i, 'both directions');
	$tc = $target->client;
	$tc->append('INBOX', message(52));
	$tc->close;
	$r = $i->sync_ok('a new message');
	like($r->{err}, qr/^INBOX: 1 copied to $other$/m, 'goes over');
	$i->sync_ok('--retry', '--retry');
	for my $name ('INBOX', 'there', 'own', 'new') {
		my @n = map { join ' ', content($_, $name) =~ /(\d+)/g }
		    $source, $target;
		is($n[0], $n[1], "$name: the same messages after --retry");
	}
	$i->silent_ok('silence at the end');
	$i->sync_ok('--repair', '--repair');
	same_content($local, $remote, '--repair makes all equal');
}

subtest "direction = $_" => sub { one_way($_) } for 'to-local', 'to-remote';

# Changes of each kind on both sides; those that are named go over.
sub subset
{
	my ($what) = @_;
	my %go = map { $_ => 1 } split ' ', $what;
	my ($local, $remote, $i) = pair(remote => { daemon => 1 });
	my $c = $local->client;

	$c->append_many('INBOX', numbers(1 .. 6));
	$c->subscribe('INBOX');
	$c->close;
	$i->sync_ok('first run');
	$i->change(conf => { propagate => $what });
	for ([$local, 1, 'here'], [$remote, 2, 'there']) {
		my ($server, $n, $name) = @$_;
		my $c = $server->client;
		$c->append('INBOX', message(10 + $n), flags => '\Seen');
		$c->store('INBOX', $n, '+FLAGS', '\Flagged');
		$c->expunge('INBOX', 2 + $n);
		$c->create($name);
		$c->append($name, message(20 + $n));
		$c->close;
	}
	$c = $local->client;
	$c->unsubscribe('INBOX');
	$c->close;
	my $r = $i->sync_ok('--dry-run', '--dry-run');
	$i->sync_ok('a run');
	rests($i, $what);
	for ([$local, $remote, 1, 'here'], [$remote, $local, 2, 'there']) {
		my ($from, $to, $n, $name) = @$_;
		my $is = content($to, 'INBOX');
		my $flag = 10 + $n . ' \Seen';
		($go{new} ? \&like : \&unlike)->($is, qr/\Q$flag/, "new $n");
		($go{flags} ? \&like : \&unlike)->($is, qr/\b$n \\Flagged/,
		    "flag $n");
		my $d = 2 + $n;
		($go{delete} ? \&unlike : \&like)->($is, qr/(?:^| )$d(?:,|$)/,
		    "deletion $n");
		is(!!snapshot($to)->{$name}, !!$go{new}, "mailbox $name");
		($go{new} ? \&like : \&unlike)->($r->{out},
		    qr/INBOX: .*1 to copy to/, 'dry run, new');
	}
	($go{flags} ? \&like : \&unlike)->($r->{out}, qr/flags of 1 to change/,
	    'dry run, flags');
	($go{delete} ? \&like : \&unlike)->($r->{out}, qr/1 to delete/,
	    'dry run, deletions');
	is(snapshot($remote)->{INBOX}{subscribed}, $go{flags} ? 0 : 1,
	    'the subscription');
	# What was left out stays so if the rule goes; what is new does not.
	$i->change(conf => { propagate => undef });
	$r = $i->sync_ok('all again');
	unlike($r->{err}, qr/INBOX:.*(copied|deleted)/, 'nothing old');
	rests($i, "$what, then all");
	$c = $local->client;
	$c->append('INBOX', message(30));
	$c->close;
	like($i->sync_ok('a new one')->{err}, qr/^INBOX: 1 copied to remote$/m,
	    'is copied');
}

subtest "propagate = $_" => sub { subset($_) } for 'new', 'flags', 'delete',
    'new flags', 'new delete', 'delete flags', 'flags new delete';

subtest 'max-size and max-age' => sub {
	my ($local, $remote, $i) = pair(remote => { daemon => 1 },
	    conf => { 'max-size' => '2K', 'max-age' => '2w' });
	my $date = sub { POSIX::strftime('%d-%b-%Y %H:%M:%S +0000',
	    gmtime(time - $_[0] * 86400)) };
	my ($lc, $rc) = map { $_->client } $local, $remote;

	$lc->append_many('INBOX', map { { body => message($_,
	    size => $_ % 3 ? 300 : 3000), date => $date->($_ > 12 ? 15 : 13),
	    flags => $_ % 2 ? '\Seen' : '' } } 1 .. 16);
	$rc->append('INBOX', message(21), date => $date->(15));
	$rc->append('INBOX', message(22), date => $date->(1));
	my $r = $i->sync_ok('--dry-run', '--dry-run');
	is($r->{out}, "INBOX: 1 to copy to local, 8 to copy to remote\n",
	    'the plan');
	$r = $i->sync_ok('first run');
	is($r->{err}, "INBOX: 1 copied to local, 8 copied to remote\n",
	    'neither large nor old ones');
	is(content($remote, 'INBOX'), '1 \Seen, 2, 4, 5 \Seen, 7 \Seen, 8, ' .
	    '10, 11 \Seen, 21, 22', 'remote');
	rests($i, 'left out');
	$lc->store('INBOX', '3,13', '+FLAGS', '\Flagged');
	$lc->expunge('INBOX', '6,14');
	$rc->store('INBOX', 1, '+FLAGS', '\Flagged');
	$i->silent_ok('flags and deletions of what is left out');
	$lc->expunge('INBOX', '9,15,2');
	$lc->store('INBOX', '1', '+FLAGS', '\Flagged');
	$r = $i->sync_ok('with one that is in sync', '--debug');
	unlike($r->{err}, qr/UID SEARCH RETURN \(ALL\) UID 1:/, 'nothing is listed');
	like($r->{err}, qr/^INBOX: flags of 1 changed on remote, 1 deleted on /m,
	    'only that is done');
	rests($i, 'after it');

	$i->change(conf => { 'max-size' => '5K' });
	rests($i, 'a higher limit changes nothing');
	$lc->append('INBOX', message(40, size => 3000), date => $date->(1));
	$r = $i->sync_ok('what is new is weighed by it');
	is($r->{err}, "INBOX: 1 copied to remote\n", 'and copied');
	$r = $i->sync_ok('--retry --dry-run', '--retry', '--dry-run');
	is($r->{out}, "INBOX: 2 to copy to remote\n", '--retry would copy two');
	$r = $i->sync_ok('--retry', '--retry');
	is($r->{err}, "INBOX: 2 copied to remote\n", 'and does');
	like(content($remote, 'INBOX'), qr/3 \\Flagged \\Seen,.* 12,/,
	    'with their flags of today');
	rests($i, 'the rest is still left out');
	$i->sync_ok('a second --retry', '--retry');
	rests($i, 'and nothing has come of it');

	$i->change(conf => { 'max-size' => undef, 'max-age' => undef });
	$i->silent_ok('without rules: nothing');
	$i->sync_ok('and --retry', '--retry');
	$_->close for $lc, $rc;
	same_content($local, $remote, 'all is equal');
	$i->silent_ok('silence at the end');
};

subtest 'a guard that counts' => sub {
	my ($local, $remote, $i) = pair(remote => { daemon => 1 },
	    conf => { direction => 'to-local' });
	my $rc = $remote->client;

	$rc->append_many('INBOX', numbers(1 .. 30));
	$i->sync_ok('first run');
	$rc->expunge('INBOX', '1:25');
	my $r = $i->status_is(3, '25 of 30 deleted on the source');
	like($r->{err}, qr/--allow-delete/, 'advice');
	$i->sync_ok('--allow-delete', '--allow-delete');
	$rc->close;
	same_content($local, $remote, 'equal');
	rests($i, 'then');
	# Without "delete" it is not asked: nothing would be deleted.
	$i->change(conf => { propagate => 'new flags' });
	$rc = $remote->client;
	$rc->append_many('INBOX', numbers(41 .. 70));
	$i->sync_ok('new ones');
	$rc->expunge('INBOX', '1:*');
	$rc->close;
	$i->silent_ok('all deleted on the source');
	is(scalar(() = content($local, 'INBOX') =~ /\d+/g), 35, 'all are kept');
	rests($i, 'kept');
};

done_testing;

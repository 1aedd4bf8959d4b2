#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Cyrus in place of one Dovecot: it differs in ways that matter.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of new_number new_messages samples);
use Imapsync::Pair qw(dovecot cyrus count);
use Imapsync::Proc qw(tmpdir spew);
use Imapsync::Server;
use Imapsync::Sides;
use Imapsync::Tap;

draw_subtests(2);

for my $kind ('dovecot', 'cyrus') {
	plan skip_all => Imapsync::Server->missing($kind)
	    if Imapsync::Server->missing($kind);
}

# So many messages with various flags.
sub fill
{
	my ($c, $name, $count) = @_;

	$c->append_many($name, new_messages($count, flags => 1));
}

# Neutral names ('|') as the server spells them.
sub spell
{
	my ($server, $name) = @_;

	return $name if $name eq 'INBOX';
	my $sep = $server->sep;
	$name =~ s/\|/$sep/g;
	return $server->reference . $name;
}

sub changes
{
	my ($lc, $rc, $n, $there) = @_;

	fill($lc, 'INBOX', 2);
	fill($rc, 'INBOX', 3);
	$lc->store('a/b', '1:4', '+FLAGS', '\Flagged $Both');
	$rc->store($there, '5:6', '+FLAGS', '\Answered $There');
	$rc->store($there, '7:8', 'FLAGS', '');
	$lc->expunge('a/b', '2,9');
	$rc->expunge($there, '3,10:12');
	$lc->expunge('INBOX', '1');
}

sub whole
{
	my ($what, $local, $cyrus, $local_is_cyrus) = @_;
	my ($lc, $rc) = ($local->client, $cyrus->client);
	my $i = Imapsync::Imapsync->new(local => $local, remote => $cyrus);
	my %mail = samples();
	my $there = spell($cyrus, 'a|b');

	$lc->create('a/b');
	fill($lc, 'INBOX', 10);
	fill($lc, 'a/b', 20);
	$rc->create(spell($cyrus, 'c|d'));
	fill($rc, 'INBOX', 10);
	fill($rc, spell($cyrus, 'c|d'), 20);
	$rc->subscribe(spell($cyrus, 'c|d'));
	$lc->subscribe('a/b');
	$i->sync_ok("$what: first run");
	# CREATE a/b made "a" a mailbox on Cyrus, which the next run sees.
	my $snap = same_content($local, $cyrus, "$what: equal",
	    ignore => qr/^[ac]$/);
	is(total($snap), 60, 'all messages');
	ok($snap->{$_}{subscribed}, "$_ is subscribed") for 'a|b', 'c|d';
	$i->sync_ok("$what: a mailbox that Cyrus made");
	same_content($local, $cyrus, "$what: equal, with that");
	$i->quiet_ok($what);

	changes($lc, $rc, 1, $there);
	$i->sync_ok("$what: changes");
	$snap = same_content($local, $cyrus, "$what: equal after them");
	is(total($snap), 60 + 5 - 2 - 4 - 1, 'added and deleted');
	my @f = map { /\[(.*)\]/ } keys %{ $snap->{'a|b'}{messages} };
	is((grep { /\$both/ } @f), 2, 'flags of one, less what is gone');
	is((grep { /\$there/ } @f), 2, 'and of the other');
	$i->quiet_at_once_ok("$what: after changes");

	# One side at a time: what we do must not be news to us.
	for my $c ($lc, $rc) {
		my $name = $c == $lc ? 'a/b' : $there;
		my @uids = $c->uids($name);
		$c->store($name, $uids[0], '+FLAGS', '\Seen key' . new_number);
		$i->sync_ok("$what: a flag");
		$i->quiet_at_once_ok("$what: after a flag");
		$c->expunge($name, $uids[1]);
		$i->sync_ok("$what: an expunge");
		$i->quiet_at_once_ok("$what: after an expunge");
		fill($c, $name, 3);
		$i->sync_ok("$what: new messages");
		$i->quiet_at_once_ok("$what: after new messages");
	}
	$snap = same_content($local, $cyrus, "$what: equal at last");

	# The same with a lost state.
	my $n = total($snap);
	$i->lose_state;
	$i->sync_ok("$what: the state is lost");
	$snap = same_content($local, $cyrus, "$what: equal without it");
	is(total($snap), $n, 'nothing twice');
	$i->quiet_at_once_ok("$what: after that");

	# The highest UIDs go: VANISHED of known UIDs 1:n, not 1:*.
	my @uids = $rc->uids($there);
	$rc->expunge($there, "$uids[-2]:$uids[-1]");
	$i->sync_ok("$what: the highest are expunged");
	$snap = same_content($local, $cyrus, "$what: equal without them");
	is(total($snap), $n - 2, 'two less');
	$rc->expunge($there, '1:*');
	$i->sync_ok("$what: all of them");
	$snap = same_content($local, $cyrus, "$what: emptied");
	is_deeply($snap->{'a|b'}{messages}, {}, 'empty');
	$i->quiet_ok("$what: at the end");
	$_->close for $lc, $rc;
}

subtest 'tunnel, "/", altnamespace' => sub {
	whole('tunnel', dovecot(), cyrus());
};

subtest 'daemon, ".", INBOX. as reference' => sub {
	whole('daemon', dovecot(), cyrus(daemon => 1, sep => '.',
	    prefix => 'INBOX.', reference => 'INBOX.'));
};

subtest 'two Cyruses, "." and "/"' => sub {
	my ($one, $two) = (cyrus(), cyrus(sep => '.'));
	my $i = Imapsync::Imapsync->new(local => $one, remote => $two);
	my ($lc, $rc) = ($one->client, $two->client);

	$lc->create('a/b');
	fill($lc, 'a/b', 10);
	$rc->create('c.d');
	fill($rc, 'c.d', 10);
	$i->sync_ok('first run');
	$i->sync_ok('what they have made');
	same_content($one, $two, 'equal');
	$i->quiet_ok('two');
	$lc->expunge('a/b', '2');
	$rc->expunge('c.d', '3');
	$rc->store('a.b', '4', '+FLAGS', '$Four');
	$i->sync_ok('changes');
	same_content($one, $two, 'equal');
	$i->quiet_ok('two');
	$_->close for $lc, $rc;
};

# Cyrus changes 8-bit octets of the header to X.
subtest '8-bit headers' => sub {
	my ($local, $cyrus) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $cyrus);
	my ($lc, $rc) = ($local->client, $cyrus->client);
	my @mail = map {
		my $m = message($_);
		$m =~ s/Subject: .*/Subject: Gr\xfc\xdfe $_/;
		$m =~ s/Message-ID.*\r\n// if $_ % 2;
		$m =~ s/line of/Zeile\xe4 of/ if $_ % 3 == 0;
		$m;
	} 1 .. 10;

	$lc->append_many('INBOX', map { { body => $mail[$_], date =>
	    date_of($_) } } 0 .. 9);
	$i->sync_ok('first run');
	my @there = $rc->fetch_all('INBOX');
	is(scalar @there, 10, 'all of them');
	ok((grep { $_->{body} =~ /Subject: GrXXe/ } @there) == 10,
	    'changed by Cyrus') or diag($there[0]{body});
	ok((grep { $_->{body} =~ /Zeile\xe4/ } @there) > 0,
	    'bodies are not');
	$i->quiet_ok('8 bit');
	$i->lose_state;
	$i->sync_ok('the state is lost');
	is(count($local), 10, 'nothing copied back');
	is(count($cyrus), 10, 'nor again');
	# They are the same to the look before a deletion.
	$rc->expunge('INBOX', '2,5');
	$lc->expunge('INBOX', '3');
	$i->sync_ok('expunges');
	is(count($local), 7, 'deleted here');
	is(count($cyrus), 7, 'and there');
	$i->quiet_ok('8 bit');
	$_->close for $lc, $rc;
};

subtest 'names' => sub {
	my ($local, $cyrus) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $cyrus);
	my ($lc, $rc) = ($local->client, $cyrus->client);
	my @fine = ('sp ace', '[brackets]', '(paren)', 'Entw&APw-rfe',
	    '&ZeVnLIqe-', 'R&-D', '#hash', "it's", '+plus', 'INBOXish',
	    '=eq', '$dollar', 'two  blanks');
	my @bad = ('quo"te', 'back\slash', 'semi;colon');

	for my $name (@fine, @bad) {
		$lc->create($name);
		fill($lc, $name, 1);
	}
	my $r = $i->status_is(3, 'some can not be there');
	for my $name (@bad) {
		my $shown = $name =~ s/\\/\\\\/gr;
		like($r->{err}, qr/^(\Q$name\E|\Q$shown\E): .*remote/m,
		    "$name is named");
	}
	my $snap = same_content($local, $cyrus, 'the others',
	    ignore => qr/^(?:quo|back|semi)/, subscriptions => 0);
	ok($snap->{$_} && keys %{ $snap->{$_}{messages} } == 1, $_)
	    for @fine;
	$_->close for $lc, $rc;
};

# Two mailboxes made in one second have one UIDVALIDITY: MAILBOXID tells them
# apart.
subtest 'MAILBOXID' => sub {
	my ($local, $cyrus) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $cyrus);
	my ($lc, $rc) = ($local->client, $cyrus->client);

	# Of two that have the same, one takes the place of the other.
	for my $try (1 .. 20) {
		$rc->create("$_$try") for 'one', 'two';
		my @v = map { $rc->status("$_$try", 'UIDVALIDITY')->
		    {UIDVALIDITY} } 'one', 'two';
		next if $v[0] != $v[1] && $try < 20;
		is($v[0], $v[1], 'one UIDVALIDITY');
		$rc->rename("$_$try", $_) for 'one', 'two';
		last;
	}
	fill($rc, 'one', 10);
	fill($rc, 'two', 12);
	$i->sync_ok('first run');
	same_content($local, $cyrus, 'equal', subscriptions => 0);
	my @v = map { $rc->status($_, 'UIDVALIDITY')->{UIDVALIDITY} } 'one',
	    'two';
	$rc->rename('one', 'old');
	$rc->rename('two', 'one');
	$rc->rename('old', 'two');
	my @w = map { $rc->status($_, 'UIDVALIDITY')->{UIDVALIDITY} } 'one',
	    'two';
	note("UIDVALIDITY @v, then @w");
	my $r = $i->status_is(3, 'swapped');
	like($r->{err}, qr/^$_: .*(MAILBOXID|UIDVALIDITY).*--adopt/m,
	    "$_: named") for 'one', 'two';
	is($lc->status('one')->{MESSAGES}, 10, 'one: untouched');
	is($lc->status('two')->{MESSAGES}, 12, 'two: untouched');
	$i->sync_ok('--adopt', '--adopt', 'one', '--adopt', 'two');
	same_content($local, $cyrus, 'equal', subscriptions => 0);
	is($lc->status('one')->{MESSAGES}, 22, 'both, for they differ');
	$i->quiet_ok('adopted');
	$_->close for $lc, $rc;
};

# Cyrus tells VANISHED 1:n of a mailbox that was renamed while it is open.
for my $when ('ahead of the second look', 'behind it', 'ahead of the third') {
	subtest "renamed, $when" => sub {
		my ($local, $cyrus) = (dovecot(), cyrus());
		my $armed = tmpdir() . '/armed';
		my $hook = sub {
			my ($t, $now, $data) = @_;
			return $data unless $now && -e $armed;
			return $data if ++$t->{nth} < ($when =~ /third/ ? 3 :
			    2);
			unlink $armed;
			my $c = $cyrus->client;
			$c->rename('box', 'elsewhere');
			$c->close;
			return $data;
		};
		my $tap = Imapsync::Tap->new(server => $cyrus,
		    c2s => sub { $hook->($_[0], scalar($when =~ /ahead/ &&
		    $_[1] =~ / (SELECT|EXAMINE) "box"/), $_[1]) },
		    s2c => sub { $hook->($_[0], scalar($when =~ /behind/ &&
		    $_[1] =~ /UIDVALIDITY \d+\]/), $_[1]) });
		my $i = Imapsync::Imapsync->new(local => $local, remote =>
		    $tap);
		my ($lc, $rc) = ($local->client, $cyrus->client);

		$rc->create($_) for 'box', 'stays';
		fill($rc, 'box', 10);
		fill($rc, 'stays', 30);
		$i->sync_ok('first run');
		$lc->expunge('box', '3');
		fill($lc, 'box', 1);
		$lc->unselect;
		$rc->expunge('box', '5');
		$rc->unselect;
		spew($armed, '');
		my $r = $i->run;
		ok(!-e $armed, 'renamed') or diag($r->{err});
		$r = $i->sync_ok('the next run');
		like($r->{err}, qr/^box: renamed to elsewhere on local$/m,
		    'follows');
		is($_->status('elsewhere')->{MESSAGES}, 9,
		    'no more than was deleted is') for $lc, $rc;
		$_->close for $lc, $rc;
	};
}

done_testing;

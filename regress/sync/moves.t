#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What people do with mail in their clients, on one side and on both: it is moved
# on the other side, not sent again, and nothing is lost or comes twice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Killer;
use Imapsync::Mail qw(new_messages message new_number date_of);
use Imapsync::Pair qw(count pair);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    mechs => 'plain login');
my $relay = Imapsync::Relay->new(port => $remote->port, rtt => 0.02, log => 1);
my $i = Imapsync::Imapsync->new(local => $local,
    remote => $remote->section(port => $relay->port, compress => 'no'),
    conf => { 'ignore-mailbox' => 'ignored*' });
my %side = (local => $local, remote => $remote);

sub on
{
	my ($side, $sub) = @_;
	my $c = $side{$side}->client;

	$sub->($c);
	$c->close;
}

# The last n UIDs of a mailbox.
sub last_of
{
	my ($c, $name, $n) = @_;
	my @uids = $c->uids($name);

	return join ',', @uids[-$n .. -1];
}

sub transfer
{
	my ($verb, $c, $from, $n, $to) = @_;
	my $set = last_of($c, $from, $n);

	$c->visit($from);
	$c->ok("UID $verb $set", \$to);
}

sub move { transfer('MOVE', @_) }
sub copy { transfer('COPY', @_) }

# After a run both sides are the same, and the next one has nothing to do.
# Returns the relay's figures and what was said.
sub settled
{
	my ($what, $re, @args) = @_;
	my $r = $i->sync_ok($what, @args);
	my $n = $relay->result;
	my $said = $r->{err} . $r->{out};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($said, $re, "$what: says so") if defined $re;
	same_content($local, $remote, "$what: equal");
	$i->silent_ok("$what: silent");
	unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, "$what: clean");
	return ($n, $said);
}

# Nothing but moves.
sub only_moved
{
	my ($n, $said) = settled(@_);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	unlike($said, qr/copied to|deleted on/, "$_[0]: nothing else");
	return $n;
}

on(local => sub {
	my ($c) = @_;

	$c->create($_) for 'A', 'B', 'C', 'Archive';
	$c->append_many('INBOX', new_messages(1100, size => 600));
	$c->append_many($_, new_messages(20)) for 'A', 'B', 'C';
});
$i->sync_ok('first run');

for my $from ('local', 'remote') {
	my $to = $from eq 'local' ? 'remote' : 'local';

	subtest "moved on $from" => sub {
		on($from => sub { move($_[0], 'INBOX', 1000, 'Archive') });
		my $r = $i->status_is(0, 'a dry run', '--dry-run');
		like($r->{out}, qr/^INBOX: 1000 to move to Archive on $to$/m,
		    'says what it would do');
		unlike($r->{out}, qr/copy|delete/, 'and nothing else');
		my $n = only_moved('1,000',
		    qr/INBOX: 1000 moved to Archive on $to$/m);
		cmp_ok($n->{turns}, '<=', 10, "$n->{turns} turns");
		cmp_ok($n->{c2s}, '<', 200_000, "$n->{c2s} octets sent");
		unlike($relay->octets('c2s'), qr/HEADER\.FIELDS/,
		    'none of it in a run without moves');
		on($from => sub { move($_[0], 'Archive', 1000, 'INBOX') });
		only_moved('back', qr/Archive: 1000 moved to INBOX on $to$/m);

		on($from => sub { move($_[0], 'A', 2, 'B');
		    move($_[0], 'B', 2, 'C') });
		only_moved('a chain', qr/A: 2 moved to C on $to$/m);

		on($from => sub { my ($c) = @_;
		    my $a = last_of($c, 'A', 3); my $b = last_of($c, 'B', 2);
		    $c->visit('A'); $c->ok("UID MOVE $a", \'B');
		    $c->visit('B'); $c->ok("UID MOVE $b", \'A') });
		only_moved('a swap', qr/^A: 3 moved to B on $to\nB: 2 moved to A on $to$/m);

		on($from => sub { $_[0]->create("new $from");
		    move($_[0], 'A', 2, "new $from"); });
		only_moved('into a new mailbox',
		    qr/A: 2 moved to new $from on $to$/m);

		on($from => sub { $_[0]->create('ignored');
		    move($_[0], 'A', 2, 'ignored'); });
		$r = $i->sync_ok('into an ignored one');
		like($r->{err} . $r->{out}, qr/A: 2 deleted on $to$/m,
		    'is a deletion');
		on($from => sub { move($_[0], 'ignored', 2, 'B');
		    $_[0]->delete('ignored') });
		settled('out of it, new mail', qr/B: 2 copied to $to$/m);

		on($from => sub { my ($c) = @_;
		    my $set = last_of($c, 'A', 2);
		    $c->store('A', $set, '+FLAGS', '\Flagged $K');
		    $c->store('A', $set, '-FLAGS', '\Seen');
		    $c->ok("UID MOVE $set", \'B') });
		# The other side changes what it still has.
		on($to => sub { my ($c) = @_;
		    $c->store('A', last_of($c, 'A', 2), '+FLAGS',
			'\Answered') });
		settled('with flags changed on the way',
		    qr/A: .*2 moved to B on $to/);
		on($to => sub { my ($c) = @_; my $last = last_of($c, 'B', 2);
		    is(scalar(grep { $last =~ /\b$_->{uid}\b/ && join(' ', sort
			map { lc } grep { !/Recent/i } @{ $_->{flags} }) eq
			'$k \answered \flagged' } $c->fetch_all('B')), 2,
			'merged') });

		on($from => sub { copy($_[0], 'B', 2, 'C');
		    copy($_[0], 'B', 2, 'INBOX'); move($_[0], 'B', 2, 'A') });
		my (undef, $said) = settled('moved, and copied besides',
		    qr/B: 2 moved to/);
		is((() = $said =~ /2 copied to $to$/gm), 2, 'two copies');
	};
}

subtest 'a twin' => sub {
	my $twin = message(new_number, size => 400);

	on(local => sub { $_[0]->append_many('A', map { { body => $twin,
	    date => date_of(1) } } 1, 2) });
	$i->sync_ok('two of one kind');
	on(local => sub { move($_[0], 'A', 1, 'B') });
	only_moved('one of them', qr/A: 1 moved to B/);
	on(local => sub { copy($_[0], 'B', 1, 'A') });
	settled('three', qr/A: 1 copied/);
	# In doubt they are copied, and deleted.
	on(local => sub { move($_[0], 'A', 2, 'C') });
	settled('two at once', qr/2 copied to remote/);
};

subtest 'on both sides' => sub {
	on(local => sub { move($_[0], 'A', 3, 'B') });
	on(remote => sub { move($_[0], 'A', 3, 'C') });
	my $n = count($local, 'B') + count($local, 'C');
	my (undef, $said) = settled('to different places', undef);
	is(count($local, 'B') + count($local, 'C'), $n + 3, 'each has both');
	unlike($said, qr/moved to|deleted on/, 'nothing else');

	on($_ => sub { move($_[0], 'C', 4, 'Archive') }) for 'local', 'remote';
	$n = count($local, 'Archive');
	(undef, $said) = settled('to the same place', qr/Archive: 4 paired$/m);
	is(count($local, 'Archive'), $n, 'none twice');
	unlike($said, qr/copied to|deleted on/, 'and not sent');
};

# A kill at an octet of what is sent: the next run ends what was begun.
subtest 'killed' => sub {
	my $all = 0;

	for my $part (1 .. ($ENV{MOVES_KILLS} // 4)) {
		on(local => sub { move($_[0], 'INBOX', 5, 'Archive');
		    move($_[0], 'Archive', 3, 'B') });
		my $octet = 120 + int rand 700;
		my $k = Imapsync::Killer->new(port => $remote->port,
		    kill => { c2s => $octet });
		$i->change(remote => $remote->section(port => $k->port,
		    compress => 'no'));
		my $pid = $i->start;
		$k->held;
		my $roles = $i->roles($pid);
		$k->victim($roles->{(qw(engine remote store))[rand 3]} // $pid);
		$i->wait($pid);
		$i->change(remote => $remote->section(port => $relay->port,
		    compress => 'no'));
		settled("at octet $octet", undef);
	}
};

# Another server, whose COPYUID comes behind the message that is gone.
SKIP: {
	my $missing = Imapsync::Server->missing('cyrus');

	skip $missing, 1 if $missing;
	subtest 'Cyrus' => sub {
		my ($dovecot, $cyrus, $run) = pair(remote => {
		    kind => 'cyrus' }, boxes => { A => 20, B => 20, C => 1 });

		for my $side ($dovecot, $cyrus) {
			my $to = $side == $cyrus ? 'local' : 'remote';
			my $c = $side->client;
			my @b = $c->uids('B');

			$c->store('A', last_of($c, 'A', 3), '+FLAGS',
			    '\Flagged $x');
			move($c, 'A', 5, 'B');
			$c->visit('B');
			$c->ok("UID COPY $b[7]", \'C');
			$c->ok("UID MOVE $b[0]:$b[7]", \'A');
			$c->close;
			my $r = $run->sync_ok("moved for $to");
			like($r->{err}, qr/^A: .*5 moved to B on $to$/m,
			    'moved');
			like($r->{err}, qr/^B: 8 moved to A on $to$/m,
			    'the other way');
			like($r->{err}, qr/^C: 1 copied to $to$/m, 'copied');
			same_content($dovecot, $cyrus, 'equal');
			$run->silent_ok('silent');
		}
	};
}

done_testing;

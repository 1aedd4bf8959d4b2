#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# More keywords than a message, a mailbox or a line can hold: what is not set is
# named, and everything else goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content flag_string);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

# Keywords of 45 octets; Dovecot takes 50.
sub keyword { my ($n, $c) = @_; return sprintf('%s%05d', $c x 40, $n) }
sub keywords { my ($n, $c) = @_; return map { keyword($_, $c) } 1 .. $n }

# One by one: a server may refuse the later ones.
sub set
{
	my ($c, $uid, @keywords) = @_;

	$c->select('INBOX');
	$c->ok("UID STORE $uid +FLAGS.SILENT ($_)") for @keywords;
	$c->unselect;
}

sub flags
{
	my ($c, $uid) = @_;
	my ($m) = grep { $_->{uid} == $uid } $c->fetch_all('INBOX');

	return $m ? flag_string($m->{flags}) : 'gone';
}

sub count { my ($c, $name) = @_; return scalar(my @u = $c->uids($name)) }

# ---- E11: too many for one message ----

sub clash
{
	my ($kind, $how) = @_;
	my $what = "$kind, $how";
	my $local = Imapsync::Server->new(name => 'local' . ++$number);
	my $remote = Imapsync::Server->new(name => 'remote' . $number,
	    kind => $kind);
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	$lc->append('INBOX', message($_), date => date_of($_)) for 1 .. 5;
	if ($how eq 'paired') {
		$rc->append('INBOX', message($_), date => date_of($_))
		    for 1 .. 5;
	} else {
		$i->sync_ok("E11: $what: in sync");
	}
	set($lc, 1, keywords(90, 'a'));
	set($rc, 1, keywords(90, 'b'));
	my @had = (flags($lc, 1), flags($rc, 1));
	$lc->store('INBOX', 4, '+FLAGS', '\Flagged');
	$lc->unselect;

	# The third has nothing to do but to say so.
	for my $n (1, 2, 3) {
		my $r = $i->status_is(3, "E11: $what: exit 3, run $n");
		like($r->{err}, qr/^(?:\w+\()?INBOX\)?: .*\bUIDs?\ 1\b|
		    ^INBOX: .*\b1\ message.*(?:flags|keywords)/mx,
		    "E11: $what: named, run $n");
		next if $n > 1;
		# What was deleted elsewhere goes on, both ways.
		$lc->expunge('INBOX', 3);
		$rc->expunge('INBOX', 5);
		$_->unselect for $lc, $rc;
		$lc->append('INBOX', message(6));
	}
	is(count($_, 'INBOX'), 4, "E11: $what: deletions and new mail go on")
	    for $lc, $rc;
	like(flags($rc, 4), qr/\\flagged/, "E11: $what: flags of others");
	# Nobody has lost what he had.
	my %now = (0 => flags($lc, 1), 1 => flags($rc, 1));
	for my $n (0, 1) {
		my %has = map { $_ => 1 } split ' ', $now{$n};
		is(join(' ', grep { !$has{$_} } split ' ', $had[$n]), '',
		    "E11: $what: nothing is taken away");
	}
	# With fewer of them it is well again.
	set_none($lc, $rc);
	$i->run;
	$i->sync_ok("E11: $what: fewer keywords");
	same_content($local, $remote, "E11: $what: equal",
	    subscriptions => 0);
	$_->close for $lc, $rc;
}

sub set_none
{
	for my $c (@_) {
		$c->store('INBOX', 1, 'FLAGS', '\Seen');
		$c->unselect;
	}
}

clash('dovecot', 'in sync');
clash('dovecot', 'paired');
SKIP: {
	my $why = Imapsync::Server->missing('cyrus');
	skip($why, 1) if $why;
	clash('cyrus', 'in sync');
}

# A single message that comes with more than can be told.
{
	my ($local, $remote) = map { Imapsync::Server->new(name =>
	    $_ . ++$number) } 'local', 'remote';
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	$lc->append('INBOX', message($_), date => date_of($_)) for 1 .. 3;
	set($lc, 2, keywords(200, 'c'));
	$lc->create('Other');
	$lc->append('Other', message(9));
	my $r = $i->run;
	like($r->{status}, qr/^[03]$/, 'E11: 200 keywords: goes on')
	    or diag($r->{err});
	is(count($rc, 'INBOX'), 3, 'E11: 200 keywords: all messages');
	is(count($rc, 'Other'), 1, 'E11: 200 keywords: all mailboxes');
	my $n = () = flags($rc, 2) =~ /ccc\d/g;
	ok($n == 200 || $r->{err} =~ /INBOX\)?: .*(?:UID 2\b|keyword|flag)/m,
	    'E11: 200 keywords: all are there, or it is named') or
	    diag($n, $r->{err});
	$lc->expunge('INBOX', 1);
	$lc->unselect;
	$i->run;
	is(count($rc, 'INBOX'), 2, 'E11: 200 keywords: deletions go on');
	$_->close for $lc, $rc;
}

# ---- F3: too many for a line of PERMANENTFLAGS (64 KB) ----

for my $side (sides('local', 'remote')) {
	my $other = $side eq 'local' ? 'remote' : 'local';
	my %s = map { $_ => Imapsync::Server->new(name => $_ . ++$number) }
	    'local', 'remote';
	my %c = map { $_ => $s{$_}->client } keys %s;
	my $i = Imapsync::Imapsync->new(%s);
	my $what = "1,600 keywords, $side";
	$c{$side}->create('Other');
	$c{$side}->append('Other', message(9));
	$c{$side}->append_many('INBOX', map { { body => message($_), flags =>
	    '\Seen ' . keyword($_, 'd') } } 1 .. 1600);
	my $r = $c{$side}->select('INBOX');
	my ($line) = grep { /PERMANENTFLAGS/ } map { $_->[1] // '' }
	    @{ $r->{untagged} };
	cmp_ok(length $line, '>', 65536, "F3: $what: a long line");
	$c{$side}->unselect;

	$r = $i->run;
	like($r->{status}, qr/^[03]$/, "F3: $what: goes on")
	    or diag(substr $r->{err}, 0, 500);
	like($r->{err}, qr/^INBOX: .*\b$other\b.*(?:keyword|flag)|
	    ^INBOX: .*(?:keyword|flag).*\b$other\b/mx,
	    "F3: $what: what is not set is named");
	cmp_ok(length $r->{err}, '<', 20_000, "F3: $what: in few words");
	is(count($c{$other}, 'INBOX'), 1600, "F3: $what: all messages");
	is(count($c{$other}, 'Other'), 1, "F3: $what: the other mailbox");
	$r = $i->run;
	like($r->{status}, qr/^[03]$/, "F3: $what: the next run");
	unlike($r->{err}, qr/copied|flags of/, "F3: $what: has nothing to do");
	my %made;
	for my $m ($c{$other}->fetch_all('INBOX')) {
		$made{$_}++ for grep { /^d/ } @{ $m->{flags} };
	}
	cmp_ok(scalar keys %made, '<=', 100, "F3: $what: 100 are made");
	cmp_ok(scalar keys %made, '>', 0, "F3: $what: and some");

	# It works on with such a mailbox, in both directions.
	$c{$side}->expunge('INBOX', 1);
	$c{$other}->expunge('INBOX', 2);
	$c{$other}->store('INBOX', 3, '+FLAGS', '\Flagged');
	$c{$side}->store('INBOX', 4, '-FLAGS', '\Seen');
	$_->unselect for values %c;
	$c{$_}->append('INBOX', message(2000), flags => '\Draft')
	    for 'local', 'remote';
	$r = $i->run;
	like($r->{status}, qr/^[03]$/, "F3: $what: changes");
	is(count($c{$_}, 'INBOX'), 1600, "F3: $what: messages on $_")
	    for 'local', 'remote';
	like(flags($c{$side}, 3), qr/\\flagged/, "F3: $what: flags, there");
	unlike(flags($c{$other}, 4), qr/\\seen/, "F3: $what: flags, here");
	$_->close for values %c;
}
done_testing;

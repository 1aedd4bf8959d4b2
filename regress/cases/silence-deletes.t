#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A message that its server has not given, and ordinary deletions there: these
# are carried over, it is still to be copied, and neither --repair nor --adopt
# brings back what was deleted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Case;
use Imapsync::Server;
use Imapsync::Withhold qw(withhold);
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# Messages 1 to 6 have the same UIDs there; a few are withheld.
sub withheld
{
	my ($side, $how, @uids) = @_;
	my $p = Imapsync::Case->new($side => { answer => withhold($how) });

	$p->put($side, 'INBOX', 1 .. 6);
	$p->{$side}->set(withhold => 'INBOX:' . join ',', @uids);
	my $r = $p->run(3, 'withheld');
	$p->names($r, $side, 'INBOX', @uids);
	return $p;
}

sub without
{
	my (@not) = @_;
	my %not = map { $_ => 1 } @not;

	return Imapsync::Case::set_of(grep { !$not{$_} } 1 .. 6);
}

for my $side (sides('remote', 'local')) {
	for my $how ('none', 'nil') {
		for my $uid (1, 4, 6) {
			my $what = "UID $uid of $side, $how";

			subtest "A2: $what, deletion as it is given" => sub {
				my $p = withheld($side, $how, $uid);

				$p->expunge($side, 'INBOX', 3);
				$p->{$side}->set('withhold');
				$p->settles('INBOX', without(3), 'given');
				$p->mends('INBOX', without(3), 'given');
			};
		}
	}
}

# It stays withheld while the other messages change.
subtest 'A2: deletions while it is withheld' => sub {
	my $p = withheld('remote', 'none', 4);

	$p->expunge('remote', 'INBOX', 2);
	my $r = $p->run(3, 'one deleted');
	unlike($r->{err}, qr/--adopt|--repair/, 'no such advice');
	$p->has('local', 'INBOX', without(2, 4), 'carried over');
	$p->expunge('remote', 'INBOX', 6);
	$p->expunge('local', 'INBOX', 1);
	$p->put('remote', 'INBOX', 7);
	$p->put('local', 'INBOX', 8);
	$p->run(3, 'one on each side');
	$p->has('local', 'INBOX', '3 5 7:8', 'from the remote');
	$p->has('remote', 'INBOX', '3:5 7:8', 'from the local');
	$p->rests(3, 'withheld for long');
	for my $args (['--repair'], ['--adopt', 'INBOX'], ['--retry']) {
		my $r = $p->run(3, "still withheld, @$args", @$args);
		$p->names($r, 'remote', 'INBOX', 4) if "@$args" =~ /adopt/;
		$p->has('local', 'INBOX', '3 5 7:8', "@$args");
		$p->has('remote', 'INBOX', '3:5 7:8', "@$args");
	}
	$p->{remote}->set('withhold');
	$p->settles('INBOX', '3:5 7:8', 'given', '--retry');
	$p->mends('INBOX', '3:5 7:8', 'given');
};

subtest 'A2: a standing one, then --repair or --adopt is given it' => sub {
	for my $args (['--repair'], ['--adopt', 'INBOX']) {
		my $p = withheld('remote', 'nil', 2);

		$p->expunge('remote', 'INBOX', 5);
		$p->run(3, 'one deleted');
		$p->has('local', 'INBOX', without(2, 5), 'carried over');
		$p->{remote}->set('withhold');
		$p->run(0, "@$args", @$args) if "@$args" =~ /adopt/;
		# Which of the runs offers it again is not said for --repair.
		$p->i->run(@$args) if "@$args" =~ /repair/;
		$p->settles('INBOX', without(5), "@$args", '--retry');
	}
};

subtest 'A2: all that is known is deleted' => sub {
	for my $side (sides('remote', 'local')) {
		my $p = withheld($side, 'none', 1, 4);

		$p->expunge($side, 'INBOX', 2, 3, 5, 6);
		my $r = $p->run(3, 'all others deleted');
		unlike($r->{err}, qr/--adopt|--repair/, 'no such advice');
		$p->has($p->other($side), 'INBOX', '', 'carried over');
		$p->{$side}->set('withhold');
		$p->settles('INBOX', '1 4', 'given', '--retry');
	}
};

subtest 'A2: the withheld one and another are deleted' => sub {
	for my $side (sides('remote', 'local')) {
		for my $uids ([1], [4], [6], [1, 4, 6]) {
			my $p = withheld($side, 'nil', @$uids);

			$p->expunge($side, 'INBOX', 3, @$uids);
			my $r = $p->settles('INBOX', without(3, @$uids),
			    'deleted');
			unlike($r->{err}, qr/--adopt|--repair/,
			    'no such advice');
		}
	}
};

subtest 'A2: two of six, NO, and a deletion' => sub {
	my $p = Imapsync::Case->new(remote => { answer => withhold('none') });

	$p->put('remote', 'INBOX', 1 .. 6);
	$p->{remote}->set(no => 'INBOX:2 [EXPUNGEISSUED] some are gone');
	$p->run(3, 'NO');
	$p->has('local', 'INBOX', '1:2', 'two of six');
	$p->expunge('remote', 'INBOX', 1, 5);
	$p->settles('INBOX', '2:4 6', 'given');
	$p->mends('INBOX', '2:4 6', 'given');
};

done_testing;

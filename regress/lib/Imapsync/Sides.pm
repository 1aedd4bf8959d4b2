# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Which sides a case is tried on.  What differs by side is a fault of its own, so
# each case is written for both; `make regress`, which has not all day, takes the
# first, `make cases` (IMAPSYNC_CASES=all) both.
#
#	use Imapsync::Sides;
#	for my $side (sides('remote', 'local')) { ... }
#
# Of a list of many that are alike every second or third one is taken, other ones
# each time:
#
#	for my $case (drawn(2, [...], [...], ...)) { ... }
#
# So it is with the subtests of a file, where none builds on another:
#
#	draw_subtests(2);
#
# CASES_SEED=n takes the same ones again.
package Imapsync::Sides;

use strict;
use warnings;
use Exporter 'import';
use Test::More ();

our @EXPORT = qw(sides all_cases drawn draw_subtests);
my $seed;
my $calls = 0;

sub all_cases { return ($ENV{IMAPSYNC_CASES} // '') eq 'all' }
sub sides { return all_cases() ? @_ : $_[0] }

# From where on they are counted.
sub first
{
	if (!defined $seed) {
		# What this test starts to run a part of it draws the same.
		$seed = $ENV{CASES_SEED} //= int(rand(1000));
		Test::More::diag("CASES_SEED=$seed");
	}
	return $seed + $calls++;
}

# One of so many of them, or all.
sub drawn
{
	my ($of, @all) = @_;

	return @all if all_cases() || @all < $of;
	my $at = first();
	return @all[grep { ($_ + $at) % $of == 0 } 0 .. $#all];
}

# One of so many of the caller's subtests that follow, or all.
sub draw_subtests
{
	my ($of) = @_;
	my $package = caller;
	my $n = all_cases() ? 0 : first();

	no strict 'refs';
	no warnings 'redefine';
	*{"${package}::subtest"} = sub {
		return if !all_cases() && $n++ % $of != 0;
		goto &Test::More::subtest;
	};
	return;
}

1;

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
package Imapsync::Sides;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(sides all_cases);

sub all_cases { return ($ENV{IMAPSYNC_CASES} // '') eq 'all' }
sub sides { return all_cases() ? @_ : $_[0] }

1;

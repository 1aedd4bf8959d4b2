#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A worker that was taken over: frames that are none, come at the wrong time, or
# answer what was not asked.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Replaced;

my $t = Imapsync::Replaced->new;

$t->attacks(map { Imapsync::Attacks::load($_) } 'Given', 'Framing');
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What the README says is what one sees: see regress/newcomer.

use strict;
use warnings;
use FindBin;

exec $^X, "$FindBin::Bin/../newcomer" or die "exec: $!\n";

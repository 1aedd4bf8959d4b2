#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# No work that a server can cause grows faster than its input times log.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(which);

which('valgrind') // plan(skip_all => 'there is no valgrind');
my $table = `'$FindBin::Bin/../bench/growth'`;
is($?, 0, 'every path was counted, and none grows too fast');
my %ratio = $table =~ /^(\S+)\s+\d+\s+\d+\s+\d+\s+([\d.]+)$/mg;
cmp_ok(scalar keys %ratio, '>=', 17, 'paths');
cmp_ok($ratio{$_}, '<', 2.3, "$_: twice the input") for sort keys %ratio;
note($table);
done_testing;

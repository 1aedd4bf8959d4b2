#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The table of `make mutate` fits the source as it is.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(tmpdir spawn slurp spew);

my $program = "$FindBin::Bin/../mutate";
my $file = tmpdir() . '/table';

# mutate -n with these arguments: its exit status and all that it says.
sub fits
{
	my (@args) = @_;
	my $out = tmpdir() . '/out';

	spew($out, '');
	my $pid = spawn([$^X, $program, '-n', @args], out => $out,
	    err => $out);
	my $status = Imapsync::Proc::reap($pid, 30);
	return (defined $status ? $status >> 8 : -1, slurp($out));
}

my ($status, $says) = fits();
is($status, 0, 'each text is in its file once') or diag($says);

# What does not fit is said.
my $fine = "buf: a promise\ncommon/buf.c\n- " .
    "if (n > b->len)\n+ if (0)\n";
for my $case (['a table', qr/\A\z/, $fine],
    ['no such text', qr/:1: a promise: .* 0 times in common\/buf\.c/,
	$fine =~ s/b->len/b->length/r],
    ['a text that is there twice', qr/ [2-9]\d* times in /,
	$fine =~ s/- if .*/- b->len += n;/r],
    ['no change', qr/is the old one/, $fine =~ s/\+ if .*/+ if (n > b->len)/r],
    ['no such file', qr/there is no common\/bug\.c/, $fine =~ s/buf\.c/bug.c/r],
    ['no such test', qr/no unit test bug/, $fine =~ s/^buf/bug/r],
    ['no new text', qr/:1: no new text/, $fine =~ s/\+.*//r],
    ['no form', qr/:5: "- OLD" or "\+ NEW" expected/, "${fine}if (1)\n"]) {
	my ($what, $re, $table) = @$case;

	spew($file, $table);
	($status, $says) = fits('-f', $file);
	is($status, $re eq qr/\A\z/ ? 0 : 2, "$what: exit status");
	like($says, $re, "$what: what is said");
}

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The fuzz targets: every file of their corpora, and a short search for more
# with clang's libFuzzer (regress/fuzz/run), two at once.  What it finds is kept
# in regress/tmp/fuzz.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(tmpdir which run_command spawn slurp spew);
use Imapsync::Sides;

my $tree = "$FindBin::Bin/..";
my $seconds = $ENV{IMAPSYNC_FUZZ_SECONDS} // 5;
my @targets = map { m{fuzz_(\w+)\.c$} } glob "$tree/fuzz/fuzz_*.c";
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

for my $name (@targets) {
	my @seeds = glob "$tree/fuzz/corpus/$name/*";
	my $program = "$tree/tmp/unit/fuzz_$name";
	my $octets = 0;

	$octets += -s for @seeds;
	ok(@seeds > 0 && $octets < 200 * 1024,
	    "$name: there is a corpus, and it is small");
	ok(eval { run_command([$program, @seeds]); 1 },
	    "$name: every file of it") or diag($@);
}

# Each in a process of its own; what it has printed is the reason if it fails.
sub search
{
	my @names = @_;
	my %out = map { $_ => tmpdir() . "/$_" } @names;
	my %pid = map { $_ => spawn(['sh', "$tree/fuzz/run", 'search',
	    $seconds, $_], out => $out{$_}, err => $out{$_}) } @names;

	for my $name (@names) {
		waitpid($pid{$name}, 0);
		is($?, 0, "$name: $seconds seconds of search");
		(my $text = slurp($out{$name})) =~ s/\s+\z//;
		$? == 0 ? note($text) : diag($text);
	}
}

SKIP: {
	my $clang = which('clang') // skip('there is no clang', 1);
	my $probe = tmpdir() . '/probe';
	spew("$probe.c", '#include <stddef.h>' . "\n" .
	    'int LLVMFuzzerTestOneInput(const unsigned char *, size_t);' .
	    "\nint\nLLVMFuzzerTestOneInput(const unsigned char *p, " .
	    "size_t n)\n{\n\treturn p == NULL && n > 0;\n}\n");
	eval { run_command([$clang, '-fsanitize=fuzzer', '-o', $probe,
	    "$probe.c"]); 1 } or skip('clang has no libFuzzer', 1);

	ok(eval { run_command(['sh', "$tree/fuzz/run", 'build'],
	    seconds => 900); 1 }, 'built') or skip($@, 1);
	my @left = drawn(2, @targets);
	search(splice(@left, 0, 2)) while @left;
}

done_testing;

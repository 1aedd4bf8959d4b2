#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The fuzz targets: every file of their corpora, and a short search for more
# with clang's libFuzzer.  What it finds is kept in regress/tmp/fuzz.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(tmpdir which run_command spew);

my $tree = "$FindBin::Bin/..";
my $seconds = $ENV{IMAPSYNC_FUZZ_SECONDS} // 10;
my @targets = map { m{fuzz_(\w+)\.c$} } glob "$tree/fuzz/fuzz_*.c";
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

for my $name (@targets) {
	my @seeds = glob "$tree/fuzz/corpus/$name/*";
	my $program = "$tree/tmp/unit/fuzz_$name";

	ok(@seeds > 0, "$name: there is a corpus");
	ok(eval { run_command([$program, @seeds]); 1 },
	    "$name: every file of it") or diag($@);
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

	my $dir = "$tree/tmp/fuzz";
	my $flags = '-fsanitize=fuzzer-no-link,address,undefined ' .
	    '-fno-sanitize-recover=undefined';
	run_command(['sh', "$tree/copy-tree", $dir]);
	ok(eval { run_command(['make', 'fuzzers', "CC=$clang", 'OPT=-O1 -g',
	    'HARDEN_Linux=', 'LDHARDEN_Linux=', "EXTRA_CFLAGS=$flags",
	    'EXTRA_LDFLAGS=-fsanitize=address,undefined'], dir => $dir,
	    seconds => 400); 1 }, 'built') or skip($@, scalar @targets);
	for my $name (@targets) {
		my $found = "$dir/found-$name";
		mkdir $found;
		ok(eval { run_command(["$dir/regress/tmp/unit/fuzz_$name",
		    "-max_total_time=$seconds", '-verbosity=0',
		    '-print_final_stats=0', '-rss_limit_mb=2048',
		    "-artifact_prefix=$found/", $found,
		    "$tree/fuzz/corpus/$name"], seconds => $seconds + 60);
		    1 }, "$name: $seconds seconds of search") or diag($@);
	}
}

done_testing;

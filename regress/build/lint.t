#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What can be said about the source without running it.

use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Find;
use Test::More;
use Imapsync::Proc qw(which run_command slurp);

# Without "regress" in it: what is below that is told apart by the name.
my $top = abs_path("$FindBin::Bin/../..");
my (@c, @perl, @sh);

find({ no_chdir => 1, wanted => sub {
	if (m{/(?:\.git|regress/tmp|regress/stage)$}) {
		$File::Find::prune = 1;
		return;
	}
	return unless -f;
	push @c, $_ if /\.[ch]$/ && !m{/(?:pathnames|samples)\.h$};
	push @perl, $_ if /\.(?:pm|t)$/;
	push @sh, $_ if !/\.\w+$/ && -T $_ && slurp($_) =~ m{\A#!/bin/sh\n};
	push @sh, $_ if /\.sh$/;
} }, $top);

my $licence = "imapsync is free software: you can redistribute it and/or " .
    "modify it under";
is(join(' ', grep { index(slurp($_), $licence) < 0 } @c, @perl, @sh), '',
    'every file begins with the licence block');
is(join(' ', grep { slurp($_) =~ /[^\n]\z/ } @c, @perl, @sh), '',
    'every file ends with a newline');

# One spelling.
my @text = (@c, glob("$top/man/*.[158]"), "$top/README.md",
    grep { -f } glob("$top/etc/* $top/etc/*/*"));
is(join(' ', grep { slurp($_) =~ s/^\.%T.*$//mgr =~ /synchroniz/i } @text),
    '', 'it is spelt synchronise');

my @wide;
for my $file (@c, @perl, @sh) {
	my $n = 0;
	for my $line (split /\n/, slurp($file)) {
		$n++;
		1 while $line =~ s/\t/' ' x (8 - $-[0] % 8)/e;
		utf8::decode($line);
		push @wide, "$file:$n" if length $line > 100;
	}
}
is(join("\n", @wide), '', 'no line is much wider than 80 columns');

my @ifdef = grep { !m{/common/(?:compat\.h|sandbox-\w+\.c)$} &&
    !m{/regress/} && slurp($_) =~ /^#\s*(?:ifdef|if)\b/m } @c;
is(join(' ', @ifdef), '', '#ifdef only where it is allowed');

my @long = grep { (() = slurp($_) =~ /\n/g) >= 1000 } @c, @perl;
is(join(' ', @long), '', 'no file of 1,000 lines');

# Or an object is not made anew when a header of its has changed.
my $makefile = slurp("$top/Makefile");
my @unknown = grep { index($makefile, "-include $_\n") < 0 } map {
    m{/((?:common|imapsync(?:-net|-store)?)/(?:engine/)?\w[\w-]*)\.c$} ?
    "$1.d" : () } grep { !m{/regress/} } @c;
is(join(' ', @unknown), '', 'what each object depends on is known');

# The README's table of the source: all that is there, and nothing else.  What is
# main(), and what a sandbox is on each system, needs no word.
my $readme = slurp("$top/README.md");
my @apart;
for my $dir (qw(common imapsync imapsync/engine imapsync-net imapsync-store)) {
	my ($row) = $readme =~ m{^\| \Q$dir\E/ \| (.*)$}m;
	my %there = map { m{([^/]+)\.([ch])$}; ($1 => $2) }
	    sort { $b cmp $a } glob "$top/$dir/*.[ch]";
	push @apart, map { "$dir/$_.c is not told" } grep {
	    $there{$_} eq 'c' && !/^(?:main|sandbox-.*)$/ &&
	    index($row // '', "`$_`") < 0 } sort keys %there;
	push @apart, map { "$dir/: there is no $_" } grep { !$there{$_} }
	    ($row // '') =~ /`([a-z]\w*)`/g;
}
is(join("\n", @apart), '', 'the README tells of each source file');

my @functions;
for my $file (grep { !m{/regress/} && /\.c$/ } @c) {
	my ($n, $from) = (0);
	for my $line (split /\n/, slurp($file)) {
		$n++;
		$from = $n if $line eq '{';
		push @functions, "$file:$from" if $line eq '}' &&
		    defined $from && $n - $from > 61;
	}
}
is(join(' ', @functions), '', 'no function of more than 60 lines');

# What --init says when it ends without a file is explained.
my $page = slurp("$top/man/imapsync.1") =~ s/\\\(dq/"/gr;
my @untold;
for my $file (glob "$top/imapsync/init*.c") {
	my $text = slurp($file);
	while ($text =~ /\bsup_error\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/g) {
		my ($piece) = sort { length $b <=> length $a }
		    split /%(?:\.\*)?\w/, $1 =~ s/"\s*"//gr =~ s/^"|"\s*$//gr;
		push @untold, $piece if length $piece > 10 &&
		    index($page, substr($piece, 0, 30)) < 0;
	}
}
is(join("\n", @untold), '', 'imapsync(1) explains what --init complains of');

ok(eval { run_command(['sh', '-n', $_]); 1 }, "$_: shell syntax") or diag($@)
    for @sh;

SKIP: {
	my $mandoc = which('mandoc') // skip('there is no mandoc', 1);
	my @pages = glob "$top/man/*.[158]";
	is(eval { run_command([$mandoc, '-T', 'lint', '-W', 'warning',
	    @pages]) } // $@, '', 'manual pages');
}

done_testing;

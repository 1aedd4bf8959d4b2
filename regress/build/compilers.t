#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Copies of the source build without a warning with other compilers and makes,
# as fresh checkouts do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(tmpdir which run_command);

my $tree = "$FindBin::Bin/..";
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

# Does the command succeed in a fresh copy?
sub builds
{
	my ($what, $name, @argv) = @_;
	my $dir = tmpdir() . "/$name";

	run_command(['sh', "$tree/copy-tree", $dir]);
	my $out = eval { run_command([@argv], dir => $dir, seconds => 900) };
	ok(defined $out, $what) or diag($@);
	return $dir;
}

# What a compiler says and what a make does have nothing to do with each other.
my $clang = which('clang');
my $bmake = which('bmake');
my @cc = $clang ? 'CC=clang' : ();
my $dir;
SKIP: {
	skip('there is neither clang nor bmake', 1) unless $clang || $bmake;
	$dir = builds('clang and bmake, warnings are errors', 'other',
	    $bmake // 'make', @cc, 'WERROR=-Werror', 'OPT=-O1');
}
SKIP: {
	skip('there is no bmake', 4) unless $bmake;
	my $root = tmpdir() . '/a root';
	my @install = ("DESTDIR=$root", 'PREFIX=/opt/i');
	ok(eval { run_command([$bmake, 'install', @cc, 'OPT=-O1', @install],
	    dir => $dir); 1 }, 'install') or diag($@);
	ok(-x "$root/opt/i/bin/imapsync" &&
	    -x "$root/opt/i/libexec/imapsync/imapsync-net" &&
	    -x "$root/opt/i/libexec/imapsync/imapsync-store" &&
	    -e "$root/opt/i/share/man/man1/imapsync.1", 'all is there');
	my @named = run_command(['grep', '-ohrI', '-e',
	    '/usr/local/[a-z/]*', '-e', '/opt/i/[a-z/]*', $root]) =~ /.+/g;
	is(join(' ', sort keys %{ { map { $_ => 1 } @named } }), join(' ', map {
	    "/opt/i/$_" } qw(bin/imapsync libexec/imapsync
	    share/examples/imapsync share/examples/imapsync/dovecot
	    share/examples/imapsync/fleet share/examples/imapsync/fleet/run
	    share/examples/imapsync/imapsync)),
	    'manuals and samples name where it is');
	run_command([$bmake, 'uninstall', @install], dir => $dir);
	is(run_command(['find', $root, '-mindepth', '1']), '',
	    'uninstall leaves neither files nor directories');
}

done_testing;

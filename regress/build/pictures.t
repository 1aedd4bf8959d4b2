#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The README's pictures: they can be shown everywhere, and the recording is what
# regress/demo prints today (`make pictures` makes it anew).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(tmpdir which run_command slurp spew);
use Imapsync::Server;

my $top = "$FindBin::Bin/../..";
my $tmp = tmpdir();

# What is wrong with a text as XML: each element ends, in order, and a text has no
# bare & or <.
sub ill_formed
{
	my ($text) = @_;
	my @open;

	$text =~ s/<!--(?:(?!--).)*-->//gs;
	return 'a comment without an end' if $text =~ /<!--/;
	while ($text =~ m{\G([^<]*)<(/?)([\w:]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(/?)>}gc) {
		my ($chars, $end, $name, $attributes, $empty) = ($1, $2, $3, $4,
		    $5);
		return "a bare & before $name" if
		    "$chars$attributes" =~ /&(?!(?:amp|lt|gt|quot);)/;
		if ($end) {
			my $was = pop @open // 'nothing';
			return "$was is ended by $name" if $was ne $name;
			return '' if !@open && $text =~ /\G\s*\z/;
		} elsif (!$empty) {
			push @open, $name;
		}
	}
	return 'no element at: ' . substr($text, pos($text) // 0, 60);
}

# Or nothing below is worth anything.
is(ill_formed('<a b="c"><d/>x &amp; y</a>'), '', 'a text that is well-formed');
isnt(ill_formed($_), '', "$_ is not") for '<a><b></a></b>', '<a>', '<a b=c/>',
    '<a>x & y</a>', '<a></a><b>';

for my $file (sort glob "$top/pictures/*.svg") {
	my $name = $file =~ s{.*/}{}r;
	my $text = slurp($file);
	is(ill_formed($text), '', "$name is well-formed");
	SKIP: {
		skip('there is no xmllint', 1) unless which('xmllint');
		is(eval { run_command(['xmllint', '--noout', $file]) } // $@,
		    '', "$name: xmllint says the same");
	}
	cmp_ok(length $text, '<', 200_000, "$name is small");
	my @outside = $text =~ /(<script|href|url\(|\@import|\@font-face)/g;
	is(join(' ', @outside), '', "$name needs nothing else");
	like($text, qr/prefers-color-scheme: dark/, "$name: by day and night");
	ok(index(slurp("$top/README.md"), "](pictures/$name)") >= 0,
	    "$name is shown by the README");
}

SKIP: {
	my $missing = Imapsync::Server->missing('dovecot');
	skip($missing, 1) if $missing;
	my $demo = eval { run_command(['perl', "-I$top/regress/lib",
	    "$top/regress/lib/demo"]) } // $@;
	spew("$tmp/demo", "Building imapsync ... done.\n$demo");
	my $drawn = eval { run_command(['perl', "$top/pictures/draw"],
	    in => "$tmp/demo") } // $@;
	# How long something took.
	s/\b\d+\.\d+(?= s(?:econds\))?<)/N/g
	    for $drawn, my $kept = slurp("$top/pictures/demo.svg");
	is($drawn, $kept, 'the recording is what regress/demo prints') or
	    diag('if that is right: make pictures');
}

done_testing;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A JSON schema, and whether a value fits it: as much of draft 7 as
# etc/imapsync.schema.json uses, and nothing is passed over.
#
#	my $why = Imapsync::Schema::wrong($text);	# '', or where and why
#	Imapsync::Schema::line_fits($line);		# a test
package Imapsync::Schema;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use JSON::PP ();
use Test::More;
use Imapsync::Proc qw(slurp);

my $file = Cwd::abs_path(File::Basename::dirname(__FILE__) .
    '/../../../etc/imapsync.schema.json');
my $root;

sub file { return $file }

sub root { return $root //= JSON::PP->new->decode(slurp($file)) }

sub is_number
{
	my ($v) = @_;

	return defined $v && !ref $v && JSON::PP->new->allow_nonref->
	    encode($v) =~ /\A-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\z/;
}

my %types = (
	null => sub { !defined $_[0] },
	boolean => sub { JSON::PP::is_bool($_[0]) },
	object => sub { ref $_[0] eq 'HASH' },
	array => sub { ref $_[0] eq 'ARRAY' },
	number => sub { is_number($_[0]) },
	integer => sub { is_number($_[0]) && $_[0] == int $_[0] },
	string => sub { defined $_[0] && !ref $_[0] && !is_number($_[0]) },
);

sub text { return JSON::PP->new->allow_nonref->canonical->encode($_[0]) }
sub same { return text($_[0]) eq text($_[1]) }

# Each keyword: what is wrong with a value, or ''.
my %keywords;
%keywords = (
	'$ref' => sub {
		my ($v, $ref, $at) = @_;
		my ($name) = $ref =~ m{\A#/definitions/(\w+)\z} or
		    die "$ref: no such reference\n";

		return fits($v, root()->{definitions}{$name} //
		    die("$ref is not defined\n"), $at);
	},
	type => sub {
		my ($v, $want, $at) = @_;

		for (ref $want ? @$want : $want) {
			return '' if ($types{$_} // die "type $_\n")->($v);
		}
		return "$at is no " . text($want);
	},
	enum => sub {
		my ($v, $want, $at) = @_;

		return (grep { same($v, $_) } @$want) ? '' :
		    "$at is none of " . text($want);
	},
	const => sub {
		my ($v, $want, $at) = @_;
		return same($v, $want) ? '' : "$at is not " . text($want);
	},
	minimum => sub { $_[0] >= $_[1] ? '' : "$_[2] is below $_[1]" },
	maximum => sub { $_[0] <= $_[1] ? '' : "$_[2] is above $_[1]" },
	pattern => sub { $_[0] =~ $_[1] ? '' : "$_[2] is not $_[1]" },
	required => sub {
		my ($v, $want, $at) = @_;
		my @lacks = grep { !exists $v->{$_} } @$want;

		return @lacks ? "$at lacks @lacks" : '';
	},
	properties => sub {
		my ($v, $want, $at) = @_;

		for (sort keys %$v) {
			# The manual lets others be added; not behind our back.
			return "$at.$_ is not in the schema" if !$want->{$_};
			my $why = fits($v->{$_}, $want->{$_}, "$at.$_");
			return $why if $why ne '';
		}
		return '';
	},
	additionalProperties => sub {
		my ($v, $want, $at) = @_;

		for (sort keys %$v) {
			my $why = fits($v->{$_}, $want, "$at.$_");
			return $why if $why ne '';
		}
		return '';
	},
	items => sub {
		my ($v, $want, $at) = @_;

		for (0 .. $#$v) {
			my $why = fits($v->[$_], $want, "$at\[$_\]");
			return $why if $why ne '';
		}
		return '';
	},
	allOf => sub {
		my ($v, $want, $at) = @_;

		for (@$want) {
			my $why = fits($v, $_, $at);
			return $why if $why ne '';
		}
		return '';
	},
	oneOf => sub {
		my ($v, $want, $at) = @_;
		my @why = map { fits($v, $_, $at) } @$want;
		my $n = grep { $_ eq '' } @why;

		return $n == 1 ? '' : $n > 1 ? "$at fits $n of them" :
		    join '; ', @why;
	},
	map({ ($_ => sub { '' }) } qw($schema $id title description
	    definitions)),
);

sub fits
{
	my ($v, $schema, $at) = @_;

	# The others take what has the type.
	for my $k (sort { ($b eq 'type') <=> ($a eq 'type') || $a cmp $b }
	    keys %$schema) {
		my $fn = $keywords{$k} // die "$file: $k is not known here\n";
		my $why = $fn->($v, $schema->{$k}, $at);
		return $why if $why ne '';
	}
	return '';
}

sub wrong
{
	my ($text) = @_;
	my $v = eval { JSON::PP->new->utf8->decode($text) };

	return "no JSON: $@" if !defined $v;
	return fits($v, root(), 'object');
}

sub line_fits
{
	my ($line, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(wrong($line), '', $what // 'fits the schema') || diag($line);
}

1;

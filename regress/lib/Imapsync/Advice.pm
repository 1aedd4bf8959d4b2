# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a message says to do, as the words of a command line: what a user does who
# copies it from there into a shell.
#
#	my @args = advice($r->{err}, '--delete --target=database');
#	# ('--delete', '--target=database', 'Old mail'); none: no such advice
#	my @args = advice($r->{err}, '--allow-delete', 0);	# with no name
package Imapsync::Advice;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(advice);

# One word of a shell at the beginning of the text; what ends a sentence is none
# of it.
sub word
{
	my ($text) = @_;
	my ($word, $quoted) = ('', 0);

	while ($text =~ /\G(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]))/gc) {
		my ($single, $double, $escaped, $plain) = ($1, $2, $3, $4);
		$quoted = !defined $plain;
		$double =~ s/\\([\\"\$`])/$1/g if defined $double;
		$word .= $single // $double // $escaped // $plain;
	}
	$word =~ s/[,;:.)]+\z// unless $quoted;
	return $word;
}

sub advice
{
	my ($err, $options, $names) = @_;
	my @words = split ' ', $options;

	return unless $err =~ /(?<![-\w])\Q$options\E(?![-\w=])(?: (.*))?/;
	return @words if defined $names && !$names;
	my $word = word($1 // '');
	return $word eq '' ? () : (@words, $word);
}

1;

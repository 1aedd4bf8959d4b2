# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A real server with less than it has: extensions are not offered, and what
# belongs to them is refused, which a server's own settings don't do.
#
#	my $p = Imapsync::Case->new(remote => { hidden('QRESYNC') });
#	my $p = Imapsync::Case->new(remote => { hidden(plain()) });
#	... runs ...
#	is(refused($p->remote), '', 'nothing was sent that is not offered');
#
# What is hidden with others (CONDSTORE takes QRESYNC with it) must be named.
# More hooks of Alter.pm may follow: hidden(['QRESYNC'], answer => sub { ... }).
package Imapsync::Hidden;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(hidden plain refused);

# What is a command of the extension, without literals.
my %theirs = (
	QRESYNC => qr/^ENABLE .*QRESYNC|\(QRESYNC |VANISHED/,
	CONDSTORE => qr/CONDSTORE|CHANGEDSINCE|MODSEQ/,
	ENABLE => qr/^ENABLE/,
	'LIST-EXTENDED' => qr/^LIST (?:\(|.* RETURN | "[^"]*" \()/,
	'LIST-STATUS' => qr/^LIST .*RETURN \(.*STATUS/,
	'SPECIAL-USE' => qr/^LIST .*RETURN \(.*SPECIAL-USE/,
	ESEARCH => qr/^UID SEARCH RETURN/,
	UNSELECT => qr/^UNSELECT/,
	UIDPLUS => qr/^UID EXPUNGE/,
	MOVE => qr/^UID MOVE/,
	IDLE => qr/^IDLE/,
	NOTIFY => qr/^NOTIFY/,
	MULTIAPPEND => qr/(?!)/,
	'LITERAL+' => qr/\{\d+\+\}$/,
);

# All that is more than RFC 3501 has, but what is kept.
sub plain
{
	my (@kept) = @_;
	my %kept = map { $_ => 1 } @kept, 'UIDPLUS', 'LITERAL+';

	return grep { !$kept{$_} } sort keys %theirs;
}

sub hidden
{
	my ($caps, %more) = ref $_[0] ? @_ : ([@_]);
	my $words = join '|', map { quotemeta } @$caps;
	my ($command, $answer) = @more{qw(command answer)};

	return (command => sub {
		my ($t, $tag, $text) = @_;

		for my $cap (@$caps) {
			next unless $text =~ /$theirs{$cap}/i;
			$t->note("refused: $text");
			# The server says BAD, at its time.
			return 'X-NOT-OFFERED';
		}
		return $command ? $command->($t, $tag, $text) : $text;
	}, answer => sub {
		my ($t, $response) = @_;

		$response =~ s/ (?:$words)(?=[ \]\r])//g
		    if $response =~ /^[^\r]*CAPABILITY /;
		$response =~ s/^(\S+ OK) \[APPENDUID [^\]]*\]/$1/
		    if grep { $_ eq 'UIDPLUS' } @$caps;
		return $answer ? $answer->($t, $response) : $response;
	});
}

# What was sent and is not offered, a line each.
sub refused { return join '', map { "$_\n" } grep { /^refused/ } $_[0]->notes }

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# One end of an IMAP connection: lines, counted octets, tokens.
#
#	my $wire = Imapsync::Wire->new(in => $fh, out => $fh, timeout => 30);
#	$wire->put("a NOOP\r\n");
#	my $line = $wire->line;			# without CRLF; undef at the end
#	my @chunks = $wire->response;		# (text, literal, text, ...)
#	my @tokens = Imapsync::Wire::tokens(@chunks);
#
# tokens() makes atoms and strings Perl strings, NIL undef, lists references;
# with $Imapsync::Wire::literal_refs set a literal becomes a reference to it.
package Imapsync::Wire;

use strict;
use warnings;
use Errno ();
use Time::HiRes qw(time);

our $literal_refs;

sub new
{
	my ($class, %o) = @_;

	return bless { in => $o{in}, out => $o{out}, buf => '',
	    timeout => $o{timeout} // 60 }, $class;
}

# Read more octets.  False at the end of the stream; dies when time is up.
sub fill
{
	my ($self) = @_;
	my $end = time + $self->{timeout};

	for (;;) {
		my $rin = '';
		vec($rin, fileno($self->{in}), 1) = 1;
		my $left = $end - time;
		die "nothing came for $self->{timeout} s\n" if $left <= 0;
		my $n = select($rin, undef, undef, $left);
		next if $n <= 0;
		$n = sysread($self->{in}, $self->{buf}, 65536,
		    length $self->{buf});
		next if !defined $n && $!{EINTR};
		return $n;	# undef (reset) counts as the end
	}
}

sub line
{
	my ($self) = @_;
	my $at;

	while (($at = index($self->{buf}, "\n")) < 0) {
		$self->fill or return;
	}
	my $line = substr($self->{buf}, 0, $at + 1, '');
	$line =~ s/\r?\n\z//;
	return $line;
}

sub octets
{
	my ($self, $n) = @_;

	while (length $self->{buf} < $n) {
		$self->fill or return;
	}
	return substr($self->{buf}, 0, $n, '');
}

# One response with its literals; empty list at the end.
sub response
{
	my ($self) = @_;
	my @chunks;

	for (;;) {
		my $line = $self->line;
		return unless defined $line;
		push @chunks, $line;
		return @chunks unless $line =~ /\{(\d+)\+?\}\z/;
		my $literal = $self->octets($1);
		return unless defined $literal;
		push @chunks, $literal;
	}
}

# Write all of it.  False if the other end is gone.
sub put
{
	my ($self, $data) = @_;
	my $off = 0;

	while ($off < length $data) {
		my $n = syswrite($self->{out}, $data,
		    length($data) - $off, $off);
		if (!defined $n) {
			next if $!{EINTR};
			return 0;
		}
		$off += $n;
	}
	return 1;
}

sub tokens
{
	my @chunks = @_;
	my @stack = ([]);

	while (defined(my $text = shift @chunks)) {
		pos($text) = 0;
		while (pos($text) < length $text) {
			if ($text =~ /\G +/gc) {
				next;
			} elsif ($text =~ /\G\(/gc) {
				push @stack, [];
			} elsif ($text =~ /\G\)/gc) {
				return unless @stack > 1;
				my $list = pop @stack;
				push @{ $stack[-1] }, $list;
			} elsif ($text =~ /\G"((?:[^"\\]|\\.)*)"/gcs) {
				my $s = $1;
				$s =~ s/\\(.)/$1/gs;
				push @{ $stack[-1] }, $s;
			} elsif ($text =~ /\G~?\{\d+\+?\}\z/gc) {
				my $s = shift @chunks;
				push @{ $stack[-1] }, $literal_refs ? \$s : $s;
			} elsif ($text =~ /\G(BODY(?:\.PEEK)?\[[^\]]*\]
			    (?:<[\d.]+>)?)/gcxi || $text =~ /\G([^ ()"]+)/gc) {
				my $atom = $1;
				push @{ $stack[-1] },
				    uc $atom eq 'NIL' ? undef : $atom;
			} else {
				$text =~ /\G(.)/gcs;
				push @{ $stack[-1] }, $1;
			}
		}
	}
	return @{ $stack[0] };
}

# A mailbox name as a quoted string, or a literal where it can't be one.
sub astring
{
	my ($name) = @_;

	if ($name =~ /[\r\n\0\x80-\xff]/) {
		return '{' . length($name) . "+}\r\n$name";
	}
	$name =~ s/([\\"])/\\$1/g;
	return "\"$name\"";
}

# "1:3,7" as a list of numbers; '*' is the value given.  Ranges may be reversed.
sub uid_set
{
	my ($set, $star) = @_;
	my @uids;

	for my $part (split /,/, $set) {
		my ($from, $to) = map { $_ eq '*' ? $star // 0 : $_ }
		    split /:/, $part;
		$to //= $from;
		($from, $to) = ($to, $from) if $from > $to;
		push @uids, [$from, $to];
	}
	return @uids;	# as [from, to]
}

sub in_set
{
	my ($uid, @ranges) = @_;

	for my $range (@ranges) {
		return 1 if $uid >= $range->[0] && $uid <= $range->[1];
	}
	return 0;
}

# Numbers as a set: (1,2,3,7) becomes "1:3,7".
sub make_set
{
	my @uids = sort { $a <=> $b } @_;
	my @parts;

	for my $uid (@uids) {
		if (@parts && $parts[-1][1] + 1 == $uid) {
			$parts[-1][1] = $uid;
		} elsif (!@parts || $parts[-1][1] != $uid) {
			push @parts, [$uid, $uid];
		}
	}
	return join ',', map { $_->[0] == $_->[1] ? $_->[0] :
	    "$_->[0]:$_->[1]" } @parts;
}

1;

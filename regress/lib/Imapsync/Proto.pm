# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The messages between the processes of imapsync, as common/proto-table.h has
# them: what `regress/tmp/worker dump` prints is all that is known here.
#
#	my $p = Imapsync::Proto->new;		# or new($file): its output
#	$p->value('OPEN_NEW');			# a constant
#	$p->types;				# names, such as ENGINE_META
#	$p->fields('ENGINE_META');		# ({ name, kind, min, max }, ...)
#	my $octets = $p->record('ENGINE_META', { uid => 3, set => [[1, 9]] });
#	my $frame = $p->frame('ENGINE_META', $id, $octets);
#	my ($type, $id, $rec) = $p->parse($frame);
#
# Nothing is checked when a record is made: what a field lacks is its lowest
# value; a reference to a string stands in place of a field as it is.
package Imapsync::Proto;

use strict;
use warnings;
use Cwd ();
use File::Basename ();

my $regress = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
my %number = (u8 => 'C', u16 => 'S<', u32 => 'L<', u64 => 'Q<', i64 => 'q<');
my %width = (u8 => 1, u16 => 2, u32 => 4, u64 => 8, i64 => 8);
my $header = 'L S S L L';		# the machine's own order
my $header_len = 16;

sub program { return "$regress/tmp/worker" }

sub new
{
	my ($class, $file) = @_;
	my $self = bless { types => [], constants => {} }, $class;
	my @how = defined $file ? ('<', $file) : ('-|', program(), 'dump');

	open(my $fh, shift @how, @how) or die "no table: $!\n";
	while (my $line = <$fh>) {
		my ($what, @f) = split ' ', $line;
		if ($what eq 'constant') {
			$self->{constants}{$f[0]} = $f[1];
		} elsif ($what eq 'type') {
			my ($n, $name, @flags) = @f;
			$self->{type}{$name} = $self->{by_number}{$n} =
			    { number => $n, name => $name, fields => [],
			    map { $_ => 1 } @flags };
			push @{ $self->{types} }, $name;
		} else {
			my $type = $self->{type}{$self->{types}[-1]};
			push @{ $type->{fields} }, { name => $f[0],
			    kind => $f[1], min => $f[2], max => $f[3] };
		}
	}
	close $fh;
	return $self;
}

sub value
{
	my ($self, $name) = @_;
	return $self->{constants}{$name} // die "no constant $name\n";
}

sub types { return @{ $_[0]{types} } }
sub type { return $_[0]{type}{$_[1]} // die "no type $_[1]\n" }
sub fields { return @{ $_[0]->type($_[1])->{fields} } }

sub field
{
	my ($self, $kind, $value) = @_;

	return $$value if ref $value eq 'SCALAR';
	return pack $number{$kind}, $value if $number{$kind};
	return pack('L<', scalar @$value) .
	    join '', map { pack 'L< L<', @$_ } @$value if $kind eq 'set';
	return pack('S<', length $value) . "$value\0";
}

sub record
{
	my ($self, $type, $rec) = @_;

	return join '', map {
		my $value = $rec->{$_->{name}};
		$value //= $number{$_->{kind}} ? $_->{min} :
		    $_->{kind} eq 'set' ? [] : '';
		$self->field($_->{kind}, $value);
	} $self->fields($type);
}

# Other: len, flags, pid of the header, in place of what is right.
sub frame
{
	my ($self, $type, $id, $octets, %other) = @_;
	my $n = $type =~ /^\d+$/ ? $type : $self->type($type)->{number};

	return pack($header, $n, $other{len} // $header_len + length $octets,
	    $other{flags} // 0, $id, $other{pid} // $$) . $octets;
}

# The length of the frame that a text begins with; 0 if its header is not whole.
sub length_of
{
	return length $_[1] < $header_len ? 0 : (unpack $header, $_[1])[1];
}

# A whole frame of one record: (type, id, record); the octets of the first
# record if there are more are lost.
sub parse
{
	my ($self, $frame) = @_;
	my ($n, $len, $flags, $id) = unpack $header, $frame;
	my $type = $self->{by_number}{$n} // die "no type $n\n";
	my $at = $header_len;
	my %rec;

	for my $f (@{ $type->{fields} }) {
		my ($name, $kind) = @$f{'name', 'kind'};
		if (my $width = $width{$kind}) {
			$rec{$name} = unpack $number{$kind},
			    substr $frame, $at, $width;
			$at += $width;
		} elsif ($kind eq 'set') {
			my $count = unpack 'L<', substr $frame, $at, 4;
			my @n = unpack 'L<*', substr $frame, $at + 4,
			    8 * $count;
			$rec{$name} = [map { [@n[2 * $_, 2 * $_ + 1]] }
			    0 .. $count - 1];
			$at += 4 + 8 * $count;
		} else {
			my $count = unpack 'S<', substr $frame, $at, 2;
			$rec{$name} = substr $frame, $at + 2, $count;
			$at += 3 + $count;
		}
	}
	return ($type->{name}, $id, \%rec);
}

# All records of a frame of one pattern type: NET_PATTERN is packed.
sub parse_many
{
	my ($self, $frame) = @_;
	my ($n) = unpack $header, $frame;
	my $head = substr $frame, 0, $header_len;
	my $rest = substr $frame, $header_len;
	my (@all, $type, $id);

	do {
		my $rec;
		($type, $id, $rec) = $self->parse($head . $rest);
		push @all, $rec;
		substr($rest, 0, length $self->record($type, $rec)) = '';
	} while ($rest ne '');
	return ($type, $id, @all);
}

1;

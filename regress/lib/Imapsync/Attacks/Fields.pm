# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Records with one field that can't be: made from the table, for every type that
# a worker may send.  Each ends the engine before anything has begun.
#
# Of every second field one is taken, of all together most kinds of fault, and
# all with IMAPSYNC_ATTACKS=all in the environment (unit/test_proto.c has them
# too).
package Imapsync::Attacks::Fields;

use strict;
use warnings;
use Imapsync::Attacks;
use Imapsync::Proto;

# What a worker may send (engine/events.c); what it may not is Framing's.
my @types = map { "ENGINE_$_" } qw(READY LOG FATAL MAILBOX OPENED VANISHED FLAGS
    META COPIED REFUSED FAILED GONE WITHHELD DUE SPOILT CHANGED STATS UIDS DONE
    ALIVE);
my %top = (u8 => 0xff, u16 => 0xffff, u32 => 0xffffffff);
my %pack = (u8 => 'C', u16 => 'S<', u32 => 'L<', u64 => 'Q<');

# (what, octets in place of the field) of all that is not valid.
sub bad_values
{
	my ($p, $f) = @_;
	my ($kind, $min, $max) = @$f{qw(kind min max)};

	return bad_number($p, $kind, $min, $max) if $pack{$kind};
	return bad_set($p, $max) if $kind eq 'set';
	return $kind eq 'i64' ? () : bad_string($p, $kind, $max);
}

sub bad_number
{
	my ($p, $kind, $min, $max) = @_;
	my @bad;

	push @bad, ['below its least', pack $pack{$kind}, $min - 1]
	    if $min > 0;
	if (defined $top{$kind} && $max < $top{$kind}) {
		push @bad, ['above its most', pack $pack{$kind}, $max + 1];
		push @bad, ['all ones', pack $pack{$kind}, $top{$kind}];
	}
	return @bad;
}

sub bad_string
{
	my ($p, $kind, $max) = @_;
	my @bad = (['too long', $p->field('str', 'x' x $max)],
	    ['a NUL in it', $p->field('str', "in\0side")],
	    ['no NUL at its end', pack('S<', 4) . 'textx'],
	    ['longer than its frame', pack('S<', 65535) . "text\0"]);

	if ($kind eq 'spell') {
		push @bad, map { [sprintf('octet %02x', ord),
		    $p->field('str', "a$_" . 'b')] }
		    "\r", "\n", "\t", "\1", "\e", "\x7f";
	} elsif ($kind eq 'flags') {
		push @bad, map { ["\"$_\"" =~ s/[\r\n]+/ CRLF /r,
		    $p->field('str', $_)] } 'b a', 'a a', 'a  b', ' a', 'a ',
		    'a)', '(a', "a\r\nb", 'a"b', '\\\\Seen', '\\', 'a{3}',
		    "a\xffb", 'a*', '\\Seen \\Answered', 'x' x 600;
	}
	return @bad;
}

sub bad_set
{
	my ($p, $max) = @_;

	return (['too many ranges', $p->field('set',
	    [map { [3 * $_ + 1, 3 * $_ + 1] } 0 .. $max])],
	    ['more ranges than its frame has', pack('L< L< L<', 9, 1, 2)],
	    ['4294967295 ranges', pack('L<', 0xffffffff)],
	    ['UID 0', $p->field('set', [[0, 4]])],
	    ['a range that ends ahead of its start', $p->field('set', [[9, 3]])],
	    ['out of order', $p->field('set', [[9, 9], [3, 3]])],
	    ['the same twice', $p->field('set', [[3, 4], [3, 4]])],
	    ['ranges that overlap', $p->field('set', [[3, 9], [5, 12]])],
	    ['ranges that touch', $p->field('set', [[3, 4], [5, 6]])],
	    ['behind the last UID', $p->field('set',
	    [[3, 0xffffffff], [0, 5]])]);
}

# Of a type that is packed the first record may be good, and answers nothing.
sub add
{
	my ($p, $type, $what, $octets) = @_;
	my $short = $type =~ s/ENGINE_//r;
	my $says = $p->type($type)->{many} ?
	    qr/a malformed $type|a request that was not made/ :
	    qr/a malformed $type/;

	attack "$short: $what", same => 1,
	    says => qr/the (local|remote) (network )?worker .*$says/,
	    blob => sub { $_[0]->frame($type, 0, $octets) };
}

my $p = Imapsync::Proto->new;
my $all = Imapsync::Attacks::all();
my $n = 0;

for my $type (grep { my $t = $_; grep { $_ eq $t } $p->types } @types) {
	my %good = map { $_->{kind} eq 'u32' && $_->{min} ?
	    ($_->{name} => 7) : () } $p->fields($type);
	for my $f ($p->fields($type)) {
		my @bad = bad_values($p, $f) or next;
		@bad = $n++ & 1 ? () : $bad[$n / 2 % @bad] unless $all;
		for my $bad (@bad) {
			my ($what, $octets) = @$bad;
			add($p, $type, "$f->{name}: $what", $p->record($type,
			    { %good, $f->{name} => \$octets }));
		}
	}
	my $record = $p->record($type, \%good);
	add($p, $type, 'an octet short', substr $record, 0, -1)
	    if $all || $n % 4 == 1;
	add($p, $type, 'an octet too many', "${record}x")
	    if $all || $n % 4 == 0;
}

1;

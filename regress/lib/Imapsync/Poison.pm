# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A message of a real Dovecot, with Maildir, that makes it end each connection
# that fetches it.
#
#	my $x = Imapsync::Poison->new($pair, 'remote', 'INBOX', 3, 'size');
#	$x->uid;		# message 3 of Pair.pm; a Pair passes it over
#	$x->repair;		# now it can be read
#
# Kinds: 'size' and 'short' (the file's name says that it is longer, or shorter,
# than it is), 'empty' (cut to 0 octets), 'mode' (Dovecot can't open it).
package Imapsync::Poison;

use strict;
use warnings;
use Imapsync::Proc qw(slurp spew give_away);

our @kinds = qw(size short empty mode);

my $number = 0;

sub new
{
	my ($class, $pair, $side, $box, $n, $kind) = @_;
	my $self = bless { pair => $pair, side => $side, box => $box,
	    n => $n, kind => $kind }, $class;
	my $dir = $pair->{$side}->dir . '/home/user/Maildir';

	$self->{dir} = $box eq 'INBOX' ? $dir : "$dir/.$box";
	my $before = $pair->with($side, sub { uidnext($_[0], $box) });
	if ($kind eq 'size' || $kind eq 'short') {
		$self->deliver;
	} else {
		$pair->put($side, $box, $n);
	}
	# A session that looks gives it its UID.
	$pair->with($side, sub { $_[0]->select($box) });
	$self->{uid} = $before;
	$self->spoil;
	$pair->hide($side, $box, $self->{uid});
	return $self;
}

sub uid { return $_[0]{uid} }

sub uidnext
{
	my ($c, $box) = @_;

	$c->create($box) if $box ne 'INBOX' && !$c->status($box);
	$c->select($box);	# INBOX is made by that
	$c->unselect;
	return $c->status($box)->{UIDNEXT};
}

# As a program does that counts in another way.
sub deliver
{
	my ($self) = @_;
	my $text = $self->text;
	my $size = length($text) + ($self->{kind} eq 'size' ? 100 : -100);
	my $name = time() . '.M' . ++$number . "P$$.host,S=$size";

	$self->{size} = $size;
	spew("$self->{dir}/new/$name", $text);
	give_away("$self->{dir}/new/$name");
}

# As Dovecot keeps it.
sub text { my ($self) = @_; return $self->{pair}->body($self->{n}) =~ s/\r//gr }

sub file
{
	my ($self) = @_;
	my $subject = "Subject: message $self->{n}\n";
	my ($file) = grep { (eval { slurp($_) } // '') =~ /^$subject/m }
	    glob "$self->{dir}/{cur,new}/*";

	return $self->{file} = $file // die "no file of message $self->{n}\n";
}

sub spoil
{
	my ($self) = @_;
	my $file = $self->file;

	truncate $file, 0 or die "$file: $!\n" if $self->{kind} eq 'empty';
	chmod 0, $file if $self->{kind} eq 'mode';
}

# The file's name stays as it is, and so does the UID.
sub repair
{
	my ($self) = @_;
	my ($file) = glob(($self->{file} =~ s/:2,.*//r) . '*');
	my $text = $self->text;

	if (defined(my $size = $self->{size})) {
		$text = substr($text, 0, $size - 1) . "\n";
		$text .= 'x' x ($size - length($text) - 1) . "\n"
		    if length $text < $size;
	}
	# Written in place: it has to keep its owner.
	open(my $fh, '+<:raw', $file) or die "$file: $!\n";
	print $fh $text if $self->{kind} ne 'mode';
	truncate $fh, length $text if defined $self->{size};
	close $fh or die "$file: $!\n";
	chmod 0600, $file;
	delete $self->{pair}{hidden}{$self->{side}}{$self->{box}}{$self->{uid}};
}

1;

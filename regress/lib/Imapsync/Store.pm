# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The mail store of the model server (Model.pm): mailboxes in memory, changed by
# commands and by tests alike.  It is plain data, so Storable can keep it.
#
#	my $st = Imapsync::Store->new(sep => '/');
#	$st->create('Lists');
#	my $uid = $st->deliver('Lists', $text, flags => ['\Seen'],
#	    date => ' 1-Feb-2024 10:00:00 +0100', uid => 17);
#	$st->set_flags('Lists', $uid, '\Seen', '$Work');
#	$st->remove('Lists', $uid, ...);	# expunged: told as VANISHED
#	$st->forget('Lists', $uid, ...);	# gone without a trace
#	$st->box('Lists')->{uidvalidity} = 99;
#
# A mailbox is { uidvalidity, uidnext, modseq, mailboxid, subscribed, attrs,
# messages => [{ uid, modseq, flags => [...], date, body }, ...] in UID order,
# vanished => [[uid, modseq], ...] }.
package Imapsync::Store;

use strict;
use warnings;
use POSIX ();

sub new
{
	my ($class, %o) = @_;
	my $self = bless { sep => '/', validity => 1000, boxes => {}, %o },
	    $class;

	$self->create('INBOX');
	return $self;
}

sub real_name
{
	my ($self, $name) = @_;
	return uc $name eq 'INBOX' ? 'INBOX' : $name;
}

sub box
{
	my ($self, $name) = @_;
	return $self->{boxes}{$self->real_name($name)};
}

sub names
{
	my ($self) = @_;
	return sort keys %{ $self->{boxes} };
}

sub create
{
	my ($self, $name) = @_;
	my $validity = ++$self->{validity};

	$self->{boxes}{$self->real_name($name)} = { messages => [],
	    vanished => [], uidnext => 1, modseq => 1, subscribed => 0,
	    attrs => '', uidvalidity => $validity,
	    mailboxid => "M$validity" };
	return $self->box($name);
}

sub find
{
	my ($self, $name, $uid) = @_;

	for my $m (@{ $self->box($name)->{messages} }) {
		return $m if $m->{uid} == $uid;
	}
	return;
}

# Without a date it is of the moment in which this test began; with one that is
# undefined (APPEND without a date) it is of now.
sub deliver
{
	my ($self, $name, $body, %o) = @_;
	my $box = $self->box($name) // die "no mailbox $name\n";
	my $uid = $o{uid} // $box->{uidnext};
	my @t = gmtime(exists $o{date} ? time : $^T);
	my $date = $o{date} //
	    POSIX::strftime('%d-%b-%Y %H:%M:%S +0000', @t);

	$date =~ s/^0/ /;
	push @{ $box->{messages} }, { uid => $uid, body => $body,
	    date => $date, flags => [@{ $o{flags} // [] }],
	    modseq => ++$box->{modseq} };
	$box->{uidnext} = $uid + 1 if $uid >= $box->{uidnext};
	@{ $box->{messages} } = sort { $a->{uid} <=> $b->{uid} }
	    @{ $box->{messages} } if defined $o{uid};
	return $uid;
}

sub set_flags
{
	my ($self, $name, $uid, @flags) = @_;
	my $m = $self->find($name, $uid) // die "no UID $uid in $name\n";

	$m->{flags} = [@flags];
	$m->{modseq} = ++$self->box($name)->{modseq};
}

# Returns the UIDs that were there.
sub forget
{
	my ($self, $name, @uids) = @_;
	my $box = $self->box($name);
	my %doomed = map { $_ => 1 } @uids;
	my @gone = grep { $doomed{$_} } map { $_->{uid} }
	    @{ $box->{messages} };

	@{ $box->{messages} } = grep { !$doomed{$_->{uid}} }
	    @{ $box->{messages} };
	return @gone;
}

sub remove
{
	my ($self, $name, @uids) = @_;
	my $box = $self->box($name);
	my @gone = $self->forget($name, @uids) or return;

	$box->{modseq}++;
	push @{ $box->{vanished} }, map { [$_, $box->{modseq}] } @gone;
	return @gone;
}

# What Compare.pm's snapshot() is of a real server (names with '|').
sub uids
{
	my ($self, $name) = @_;
	return map { $_->{uid} } @{ $self->box($name)->{messages} };
}

1;

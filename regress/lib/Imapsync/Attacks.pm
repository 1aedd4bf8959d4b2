# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The attacks of a replaced worker: what it does (the stand-in, Worker.pm, loads
# this) and what must come of it (so does the test, by Replaced.pm).  A kind is a
# module below Attacks/:
#
#	package Imapsync::Attacks::Lies;
#	use Imapsync::Attacks;
#
#	attack 'META of a UID that was not asked for', on => 'NET_META',
#	    do => sub { my ($w, $m, $id) = @_;
#		$w->emit('ENGINE_META', $id, { uid => 77 });
#		return 0;
#	    };
#
# The point, "on": "start" (before READY), "ready" (behind it); a request such as
# "NET_OPEN" (ahead of the honest answer, which is left out if the sub returns
# true) and "after NET_OPEN" (behind its DONE); both ($w, $request, $id).  "frame
# ENGINE_META" ($w, $record, $id), "bridge" ($w, $record), "bridge end" ($w,
# $transfer): what an honest one is about to send, and which may be changed, or
# left out by returning true.  What it sends itself is no such point.
#	box	only while that mailbox is the one opened last, or asked for
#	if	only if this sub, with the same arguments, says so
#	nth	not the first time but that one
#	always	each time, not once
# Judged (all of Replaced.pm's rules, and):
#	status	the exit status (default 1), or several: [0, 3]
#	says	what standard error must match (default: the side of the worker);
#		'' if nothing need be said
#	may	what a lie about its own mail may bring about on the honest side:
#		'lose' (messages, by D1 to D7), 'flags', 'own' (messages that only
#		the worker has), 'names' (mailboxes), 'twice' (in the next run:
#		it says that what it was sent is new)
#	after	the exit status of the following, honest run (default 0)
#	unlike	the two sides need not be equal behind it
#	boxes	names of mailboxes that the honest server may hear, as patterns
#	same	nothing at all must have changed
#	blob	octets in place of all that it would send ($proto)
#	seconds	limit of the run (default 40)
#	args	of imapsync
#	check	a sub of the test's: ($job) returns what is wrong
#	timeout	the key of that name, of both sides
#	dies	by a signal, as it wants
#	more	only with IMAPSYNC_ATTACKS=all in the environment (also: seldom)
#	todo	it is known to fail, and why
package Imapsync::Attacks;

use strict;
use warnings;
use Exporter 'import';
use Imapsync::Sides;

our @EXPORT = qw(attack seldom);

my @all;

sub attack
{
	my ($name, %o) = @_;
	my ($kind) = caller =~ /(\w+)$/;

	push @all, { status => 1, name => $name, kind => $kind, %o };
}

# These, of the caller's kind, only where all are wanted: others are like them.
sub seldom
{
	my @names = @_;
	my ($kind) = caller =~ /(\w+)$/;

	for my $name (@names) {
		my ($a) = grep { $_->{kind} eq $kind && $_->{name} eq $name }
		    @all;
		$a or die "no attack $name\n";
		$a->{more} = 1;
	}
}

sub all { return ($ENV{IMAPSYNC_ATTACKS} // '') eq 'all' }

# Those of a kind; a run draws a half of most of them (Sides.pm).
sub load
{
	my ($kind) = @_;

	require "Imapsync/Attacks/$kind.pm";
	my @of = grep { $_->{kind} eq $kind && (!$_->{more} || all()) } @all;
	return all() ? @of : drawn(2, @of);
}

# By "Kind:name".
sub find
{
	my ($which) = @_;

	my ($kind, $name) = split /:/, $which, 2;
	load($kind);
	my ($attack) = grep { $_->{kind} eq $kind && $_->{name} eq $name } @all;
	return $attack // die "no attack $which\n";
}

1;

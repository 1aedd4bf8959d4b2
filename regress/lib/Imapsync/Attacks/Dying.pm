# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A worker that ends, in whatever way, where it should go on; or does not end
# where it should.
package Imapsync::Attacks::Dying;

use strict;
use warnings;
use POSIX ();
use Imapsync::Attacks;

my @points = qw(start ready NET_LIST NET_OPEN NET_META NET_SEARCH NET_SEND
    NET_RECV NET_STORE NET_EXPUNGE NET_NAME bridge NET_LOGOUT);
my @signals = qw(KILL SEGV ABRT TERM SYS BUS);
my $ended = qr/ended unexpectedly/;
my $n = 0;

# Of each point one way is taken where not all are wanted.
for my $point (@points) {
	my $signal = $signals[$n++ % @signals];
	my $last = $point eq 'NET_LOGOUT';

	attack "SIG$signal at $point", on => $point, dies => 1,
	    more => $n % 3 != 0, says => qr/network worker was killed by/,
	    status => 1, do => sub { $_[0]->die_by($signal) };
	attack "exit 0 at $point", on => $point, more => $n % 3 != 1,
	    says => $last ? '' : $ended, status => $last ? 0 : 1,
	    do => sub { $_[0]->quit(0) };
	attack "exit 75 at $point", on => $point, more => $n % 3 != 2,
	    says => $last ? '' : $ended, status => $last ? [0, 1] : 1,
	    do => sub { $_[0]->quit(75) };
}
attack 'exit 127', on => 'NET_OPEN', status => 1,
    says => qr/could not be started/, do => sub { $_[0]->quit(127) };

# It closes its channel, and stays: who has no more use for it kills it.
for my $point (qw(ready NET_OPEN NET_SEND NET_RECV)) {
	attack "it closes its channel at $point and stays", on => $point,
	    says => $ended, do => sub {
		my ($w) = @_;
		POSIX::close(3);
		sleep 1000;
	    };
}
attack 'it says FATAL and stays', on => 'NET_OPEN', says => qr/stays/,
    do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_FATAL', 0, { status => 1, text => 'stays' });
	$w->silence;
    };
attack 'it does not go at LOGOUT', on => 'NET_LOGOUT', status => [0, 1],
    says => '', do => sub { $_[0]->silence };
attack 'it does not go, whatever ends', on => 'NET_LOGOUT',
    status => [0, 1], says => '', do => sub { sleep 1000 };
attack 'it does not go when the other one is lost', on => 'NET_OPEN',
    do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_META', 77, { uid => 1 });
	sleep 1000;
    };

1;

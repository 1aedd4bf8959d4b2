# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A worker that does not end what it was asked for: it is silent, or has always
# something to say.  The servers' "timeout" is short, and so is the patience with
# a worker.
package Imapsync::Attacks::Silence;

use strict;
use warnings;
use Imapsync::Attacks;

my $named = qr/the (local|remote) network worker|the other server's process/;

sub silent
{
	my ($name, $on, $do, %o) = @_;
	attack $name, on => $on, timeout => 2, says => $named, seconds => 60,
	    do => $do, %o;
}

for my $point (qw(start NET_LIST NET_OPEN NET_META NET_SEARCH NET_SEND NET_RECV
    NET_STORE NET_EXPUNGE NET_NAME)) {
	silent "silent at $point", $point, sub { $_[0]->silence };
}
silent 'silent within a message', 'bridge', sub {
	my ($w, $r) = @_;
	$w->bridge_put(substr $w->bridge_head($r) . $r->{body}, 0, -50);
	$w->silence;
    };
silent 'a message that is shorter than it says', 'bridge', sub {
	my ($w, $r) = @_;
	$w->bridge_put($w->bridge_head({ %$r, len => 1000000 }) . $r->{body});
	return 1;
    };
silent 'a message of 2^62 octets that ends early', 'bridge', sub {
	my ($w, $r) = @_;
	$w->bridge_put($w->bridge_head({ %$r, len => 1 << 62 }) . $r->{body});
	$w->silence;
    };
silent 'no END', 'bridge end', sub { 1 };
silent 'no END, and no DONE', 'bridge end', sub { $_[0]->silence };
silent 'half an END', 'bridge end', sub { $_[0]->bridge_put("\2\0"); 1 };
silent 'all but DONE: LIST', 'frame ENGINE_DONE', sub { 1 };
silent 'all but DONE: OPEN', 'NET_OPEN', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_OPENED', $id, $w->opened_rec($w->box($m->{mailbox})));
	$w->silence;
    };
silent 'half a frame', 'NET_OPEN', sub {
	my ($w, $m, $id) = @_;
	$w->raw(substr $w->{p}->frame('ENGINE_DONE', $id, 'x' x 50), 0, 30);
	$w->silence;
    };

# Always something, and never the answer.
sub endless
{
	my ($name, $on, $what, %o) = @_;
	silent $name, $on, sub {
		my ($w, $m, $id) = @_;
		for (;;) {
			$what->($w, $m, $id);
			$w->pause(0.2);
		}
	    }, %o;
}

endless 'words, now and then', 'NET_OPEN', sub {
	$_[0]->emit('ENGINE_LOG', 0, { level => 2, text => 'soon' });
    };
endless 'it lives, as it says', 'NET_OPEN', sub {
	$_[0]->emit('ENGINE_ALIVE', 0, {});
    };
endless 'it lives, as it says, and waits for messages', 'NET_SEND', sub {
	$_[0]->emit('ENGINE_ALIVE', 0, { bridge => 1 });
    };
endless 'it lives, as it says, and takes no message', 'NET_RECV', sub {
	$_[0]->emit('ENGINE_ALIVE', 0, {});
    }, seconds => 60;
endless 'flags, now and then', 'NET_OPEN', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_FLAGS', $id, { uid => 1, modseq => 1,
	    has_flags => 1, flags => '' });
    }, seconds => 25;
endless 'one name, now and then', 'NET_LIST', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_MAILBOX', $id, { delimiter => ord '/',
	    has_status => 1, name => 'work' });
    }, seconds => 25;
endless 'octets of a frame, one by one', 'NET_OPEN', sub {
	my ($w) = @_;
	$w->{drip} //= $w->{p}->frame('ENGINE_LOG', 0, 'x' x 16000);
	$w->raw(substr $w->{drip}, 0, 1, '');
    };
endless 'octets of a message, one by one', 'bridge', sub {
	my ($w, $r) = @_;
	$w->bridge_put(delete $w->{begun} // $w->bridge_head({ %$r,
	    len => 1 << 40 }) . 'X') if !$w->{sent}++;
	$w->bridge_put('x');
    };
silent 'words without end', 'NET_OPEN', sub {
	my ($w) = @_;
	for (;;) {
		$w->emit_many('ENGINE_LOG', 0, { level => 2,
		    text => 'on and on ' . $w->{words}++ });
		$w->pause(0) unless $w->{words} % 100;
	}
    };

seldom(
    'no END, and no DONE',
    'a message of 2^62 octets that ends early',
    'half an END',
    'silent at NET_SEARCH',
    'silent at NET_STORE',
    'silent at NET_NAME',
    'all but DONE: OPEN',
    'half a frame',
    'octets of a message, one by one',
    'it lives, as it says, and waits for messages',
);

1;

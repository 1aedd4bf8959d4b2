# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Messages over the bridge that are well formed, and that nobody asked for.
package Imapsync::Attacks::Asked;

use strict;
use warnings;
use Imapsync::Attacks;

my $culprit = qr/the other server's process sent .* over the bridge/;

sub more
{
	my ($name, $change, %o) = @_;
	attack $name, on => 'bridge', says => $culprit, %o, do => sub {
		my ($w, $r) = @_;
		my %r = (%$r, $change->($w, $r));
		$w->bridge_put($w->bridge_head(\%r) . $r{body} .
		    pack 'C Q>', 1, Imapsync::Worker::key_of($r{body}));
		return 0;
	};
}

my @own = (body => "Subject: nobody asked for it\r\n\r\nX\r\n");

more 'a UID that was not asked for', sub { (uid => 4711, @own) };
more 'a UID that is in sync', sub { (uid => 1, @own) };
more 'the last UID', sub { (uid => 0xffffffff, @own) };
more 'a UID of the other mailbox', sub { (uid => 5, @own) }, box => 'INBOX';
more 'one message twice', sub { () };
more 'one UID twice, with two bodies', sub { @own };
attack 'one message a hundred times', on => 'bridge', says => $culprit,
    do => sub {
	my ($w, $r) = @_;
	$w->bridge_record({ %$r }) for 1 .. 100;
	return 0;
    };
attack 'a message behind the last one', on => 'bridge end',
    says => $culprit, do => sub {
	my ($w, $transfer) = @_;
	$w->bridge_record({ transfer => $transfer, uid => 99, flags => '',
	    date => ' 1-Jan-2024 10:00:00 +0000', @own });
	return 0;
    };
attack 'a message for a RECV that was not made', on => 'NET_LIST',
    status => [0, 1], says => '', do => sub {
	my ($w) = @_;
	for my $transfer (1 .. 3) {
		$w->bridge_record({ transfer => $transfer, uid => 99,
		    flags => '', date => ' 1-Jan-2024 10:00:00 +0000', @own });
		$w->bridge_end($transfer);
	}
	return 0;
    };
attack 'a message ahead of its RECV', on => 'NET_OPEN', status => [0, 1],
    says => '', do => sub {
	my ($w) = @_;
	for my $transfer (1 .. 3) {
		$w->bridge_record({ transfer => $transfer, uid => 1,
		    flags => '', date => ' 1-Jan-2024 10:00:00 +0000', @own });
	}
	return 0;
    };

seldom(
    'the last UID',
    'one UID twice, with two bodies',
    'a UID of the other mailbox',
);

1;

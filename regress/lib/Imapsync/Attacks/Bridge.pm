# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What comes over the bridge (imapsync-net/copy.h) while messages are sent to the
# other side: records that are none, or do not come as they should.
package Imapsync::Attacks::Bridge;

use strict;
use warnings;
use Imapsync::Attacks;

my $culprit = qr/the other server's process sent .* over the bridge/;

# A record, changed.
sub changed
{
	my ($name, $change, %o) = @_;
	attack $name, on => 'bridge', says => $culprit, %o, do => sub {
		my ($w, $r) = @_;
		@$r{keys %$change} = values %$change;
		return 0;
	};
}

# Octets ahead of a record.
sub ahead
{
	my ($name, $sub, %o) = @_;
	attack $name, on => 'bridge', says => $culprit, %o, do => sub {
		my ($w, $r) = @_;
		$w->bridge_put($sub->($w, $r));
		return 0;
	};
}

# ---- the head ----

changed 'a record of type 0', { type => 0 };
changed 'a record of type 3', { type => 3 };
changed 'a record of type 255', { type => 255 }, more => 1;
changed 'a transfer that was not asked for', { transfer => 77777 };
changed 'transfer 0', { transfer => 0 };
changed 'UID 0', { uid => 0 };
changed 'a length of 2^63', { len => 1 << 63 };
changed 'a length of 2^64 - 1', { len => ~0 };
changed 'a date that is neither there nor not', { has_date => 2 };
changed 'more flags than there can be', { flags_len => 4096,
    flags => 'x ' x 2048 };
changed 'a length of flags of 65535', { flags_len => 65535 }, more => 1;
changed "flags: $_->[0]", { flags => $_->[1] }
    for ['CRLF', "a\r\nX99 DELETE INBOX\r\n"], ['a parenthesis', 'a)'],
    ['the end of the list, and a literal', '\Seen) {3+}'],
    ['a quote', 'a"b'], ['a NUL', "a\0b"], ['8 bits', "caf\xe9"],
    ['a blank at the end', 'a '], ['not sorted', 'b a'],
    ['one of 600 octets', 'x' x 600], ['a backslash alone', '\\'];
changed '\Recent among the flags', { flags => '\Recent' };
changed '200 keywords', { flags => join ' ', map { sprintf 'k%04d', $_ }
    1 .. 200 }, status => [0, 3], says => '', may => ['flags'];
changed "a date: $_->[0]", { date => sprintf '%-26.26s', $_->[1] }
    for ['CRLF', " 1-Jan-2024 10:00:00\r\n+000"],
    ['a quote', ' 1-Jan-2024 10:00:00" +000'],
    ['a quote, and a literal', ' 1-Jan-2024" {3+} +0000000'],
    ['NULs', "\0" x 26], ['no such month', ' 1-Foo-2024 10:00:00 +0000'],
    ['day 0', ' 0-Jan-2024 10:00:00 +0000'],
    ['day 99', '99-Jan-2024 10:00:00 +0000'],
    ['hour 99', ' 1-Jan-2024 99:00:00 +0000'],
    ['a command', 'X1 DELETE INBOX X2 LOGOUT '],
    ['blanks', ''];
changed 'no date', { date => undef }, status => 0, says => '';
changed 'year 9999', { date => '31-Dec-9999 23:59:59 -1200' },
    status => [0, 1], says => '';

# ---- the body ----

changed 'commands in the body', { body => "X-Smuggled: 1\r\n\r\n\r\n" .
    "A9 DELETE INBOX\r\n.\r\n)\r\nA10 LOGOUT\r\n" }, status => 0, says => '',
    may => ['own'], unlike => 1;
changed 'a body of NULs', { body => "X: y\r\n\r\n" . "\0" x 5000 },
    status => [0, 3], says => '', may => ['own'], unlike => 1;
changed 'an empty body', { body => '' }, status => [0, 3], says => '',
    may => ['own'], after => [0, 3], unlike => 1;
changed 'a body of one octet', { body => 'x' }, status => 0, says => '',
    may => ['own'], unlike => 1;
changed 'a body of 6 MB', { body => "X-Large: 1\r\n\r\n" .
    "line of a large message\r\n" x 250000 }, status => 0, says => '',
    may => ['own'], unlike => 1;
changed 'a body that is longer than it says', { len => 10 },
    may => ['own'];
changed 'a trailer that is neither', { status => 2 };
changed 'a message that was aborted', { status => 0 }, status => [1, 75],
    says => qr/inside a message|the other side/;
changed 'another key', { trailer => pack 'C Q>', 1, 12345 }, status => 0,
    says => '';

# ---- the order ----

ahead '70,000 octets that are none', sub { "\xff" x 70000 };
ahead 'IMAP in place of records', sub { "* 1 FETCH (UID 9 BODY[] {10}\r\n" };
ahead 'END ahead of the messages', sub {
	my ($w, $r) = @_;
	pack 'C N C', 2, $r->{transfer}, 1;
    }, status => [1, 3], says => '', after => [0, 3];
ahead 'END of another transfer', sub { pack 'C N C', 2, 4242, 1 };
ahead 'END that is neither complete nor aborted', sub {
	my ($w, $r) = @_;
	pack 'C N C', 2, $r->{transfer}, 7;
    };
ahead 'a head within a head', sub {
	my ($w, $r) = @_;
	substr $w->bridge_head($r), 0, 9;
    };
attack 'END that says aborted', on => 'bridge end', status => [0, 3],
    says => '', do => sub {
	my ($w, $transfer) = @_;
	$w->bridge_end($transfer, 0);
	return 1;
    };
attack 'two ENDs', on => 'bridge end', status => [0, 1], says => '',
    do => sub { $_[0]->bridge_end($_[1]); 0 };
attack 'a thousand ENDs', on => 'bridge end', status => [0, 1],
    says => '', do => sub { $_[0]->bridge_end($_[1]) for 1 .. 1000; 0 };
attack 'octets behind END', on => 'bridge end', status => [0, 1],
    says => '', do => sub {
	my ($w, $transfer) = @_;
	$w->bridge_end($transfer);
	$w->bridge_put("A1 LOGOUT\r\n" x 100);
	return 1;
    };
attack 'octets when nothing is to be sent', on => 'NET_LIST',
    status => [0, 1], says => '', do => sub {
	$_[0]->bridge_put("\1\0\0\0\1" x 100); 0 };
attack 'a megabyte when nothing is to be sent', on => 'NET_LIST',
    status => [0, 1], says => '', do => sub {
	my ($w) = @_;
	# As much as it takes: nobody reads it.
	$w->{bridge}->blocking(0);
	1 while syswrite $w->{bridge}, "\1\0\0\0\1" x 10000;
	$w->{bridge}->blocking(1);
	return 0;
    };
attack 'records while it is sent to', on => 'NET_RECV', status => [0, 1],
    says => '', after => [0, 3], do => sub {
	my ($w, $m, $id) = @_;
	$w->bridge_put($w->bridge_head({ transfer => $m->{transfer},
	    uid => 5, flags => '', body => 'X: y' }) . 'X: y' .
	    pack 'C Q>', 1, 7);
	$w->bridge_end($m->{transfer});
	return 0;
    };

# ---- the end ----

# It goes on within "record", cut at "at", and ends so.
sub cut
{
	my ($name, $at, $end, %o) = @_;
	attack $name, on => 'bridge', says => '', status => [1, 3, 75],
	    timeout => 2, %o, do => sub {
		my ($w, $r) = @_;
		my $octets = $w->bridge_head($r) . $r->{body};
		$w->bridge_put(substr $octets, 0, $at < 0 ?
		    length($octets) + $at : $at);
		$end->($w);
		return 1;
	    };
}

my %ends = (
    'its end' => sub { $_[0]->quit(0) },
    'the end of the bridge' => sub { close $_[0]{bridge}; $_[0]->silence },
    'FATAL' => sub {
	$_[0]->emit('ENGINE_FATAL', 0, { status => 75, text => 'lost it' });
	$_[0]->quit(75);
    });
for my $how (sort keys %ends) {
	cut "nothing of a message, then $how", 0, $ends{$how}, more => 1;
	cut "half a head, then $how", 12, $ends{$how};
	cut "half a body, then $how", -100, $ends{$how};
	cut "all but a trailer, then $how", -0.5, $ends{$how}, more => 1;
}

seldom(
    'a record of type 0',
    'transfer 0',
    'a length of 2^64 - 1',
    'flags: a parenthesis',
    'flags: a quote',
    'flags: 8 bits',
    'flags: a blank at the end',
    'flags: one of 600 octets',
    '\\Recent among the flags',
    'a date: CRLF',
    'a date: NULs',
    'a date: day 0',
    'a date: hour 99',
    'a date: blanks',
    'a date: no such month',
    'year 9999',
    'a body of one octet',
    'a body of NULs',
    'IMAP in place of records',
    'END of another transfer',
    'a thousand ENDs',
    'octets when nothing is to be sent',
    'half a head, then FATAL',
    'another key',
);

1;

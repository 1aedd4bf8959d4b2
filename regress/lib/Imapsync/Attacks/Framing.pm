# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Frames that are none, come at the wrong time, or name the wrong request.
package Imapsync::Attacks::Framing;

use strict;
use warnings;
use Imapsync::Attacks;

# ---- ahead of all else ----

# Octets that no worker should send, in place of what it should: nothing has
# begun, and nothing does.
sub octets
{
	my ($name, $says, $blob) = @_;
	attack $name, blob => $blob, same => 1, says => $says;
}

my $frame = qr/the (local|remote) network worker sent a malformed frame/;
my $now = qr/the (local|remote) network worker sent \w+, which is not allowed/;
my $type = qr/the (local|remote) network worker sent .* unknown type/;
my $unasked = qr/the (local|remote) worker answered .* not made/;

octets 'a frame of length 0', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, '', len => 0) };
octets 'a frame shorter than its header', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, '', len => 15) };
octets 'a frame longer than any may be', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, 'x' x 16369) };
octets 'a length of 65535', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, '', len => 65535) };
octets 'flags in the header that are none', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, "\0" x 7, flags => 0x8000) };
octets 'a descriptor is announced and does not come', $frame,
    sub { $_[0]->frame('ENGINE_LOG', 0, "\0" x 7,
	flags => $_[0]->value('IMSGF_HASFD')) };
octets 'type 0', $type, sub { $_[0]->frame(0, 0, '') };
octets 'the type behind the last one', $type,
    sub { $_[0]->frame(1 + $_[0]->types, 0, '') };
octets 'type 4294967295', $type, sub { $_[0]->frame(0xffffffff, 0, '') };
octets 'IMAP in place of frames', $frame,
    "* OK [CAPABILITY IMAP4rev1] ready\r\n" x 20;
octets 'octets 255', $frame, "\xff" x 70000;
octets 'a request of the engine\'s, sent back to it', $now,
    sub { $_[0]->frame('NET_LIST', 1, $_[0]->record('NET_LIST', {})) };
octets 'SETUP, sent back', $now,
    sub { $_[0]->frame('NET_SETUP', 0, $_[0]->record('NET_SETUP', {})) };
octets 'CONNECT without its descriptor', qr/without its descriptor/,
    sub { $_[0]->frame('NET_CONNECT', 0, '') };
for my $name (qw(STORE_FORGET STORE_COMMIT ENGINE_MBOX ENGINE_ROW ENGINE_PAIRED
    ENGINE_SETUP ENGINE_STOP)) {
	octets "$name, which is another's", $now,
	    sub { $_[0]->frame($name, 1, $_[0]->record($name, {})) };
}
octets 'READY with an octet too many', qr/malformed ENGINE_READY/,
    sub { $_[0]->frame('ENGINE_READY', 0,
	$_[0]->record('ENGINE_READY', {}) . 'x') };
octets 'READY without its record', qr/malformed ENGINE_READY/,
    sub { $_[0]->frame('ENGINE_READY', 0, '') };
octets 'READY twice', qr/logged in twice/,
    sub { $_[0]->frame('ENGINE_READY', 0,
	$_[0]->record('ENGINE_READY', {})) x 2 };
octets 'DONE of nothing, ahead of READY', $unasked,
    sub { $_[0]->frame('ENGINE_DONE', 0, $_[0]->record('ENGINE_DONE', {})) };
octets 'DONE of the store\'s first request', qr/worker (answered|sent)/,
    sub { $_[0]->frame('ENGINE_DONE', 1, $_[0]->record('ENGINE_DONE', {})) };
for my $name (qw(META OPENED VANISHED FLAGS COPIED STATS MAILBOX)) {
	octets "$name that answers nothing", $unasked,
	    sub { $_[0]->frame("ENGINE_$name", 99,
		$_[0]->record("ENGINE_$name", { uid => 1 })) };
}

# ---- in a session ----

my $unfit = qr/worker (sent what does not answer|answered a request)/;

# An honest answer, and then one more record: on that request.
sub extra
{
	my ($name, $on, $type, $rec, %o) = @_;
	attack $name, on => $on, says => $unfit, %o, do => sub {
		my ($w, $m, $id) = @_;
		$w->emit("ENGINE_$type", $id, $rec);
		return 0;
	};
}

extra 'LIST is answered with META', 'NET_LIST', 'META', { uid => 1 };
extra 'LIST is answered with OPENED', 'NET_LIST', 'OPENED', {};
extra 'LIST is answered with UIDS', 'NET_LIST', 'UIDS', { what => 4 };
extra 'MAILBOX behind the DONE of LIST', 'after NET_LIST', 'MAILBOX',
    { name => 'late' };
extra 'DONE twice: LIST', 'after NET_LIST', 'DONE', {};
extra 'DONE twice: OPEN', 'after NET_OPEN', 'DONE', {};
extra 'DONE twice: SEND', 'after NET_SEND', 'DONE', {};
extra 'DONE twice: RECV', 'after NET_RECV', 'DONE', {};
extra 'DONE twice: STORE', 'after NET_STORE', 'DONE', {};
extra 'OPENED twice', 'after NET_OPEN', 'OPENED', { uidvalidity => 7001 };
extra 'UIDS behind OPENED', 'after NET_OPEN', 'UIDS',
    { what => 4, set => [[1, 2]] };
extra 'UIDS of a list that was not asked for', 'NET_OPEN', 'UIDS',
    { what => 8, set => [[1, 2]] };
extra 'UIDS of no list', 'NET_OPEN', 'UIDS', { what => 0, set => [[1, 2]] };
extra 'OPEN is answered with COPIED', 'NET_OPEN', 'COPIED', { uid => 1 };
extra 'OPEN is answered with MAILBOX', 'NET_OPEN', 'MAILBOX',
    { name => 'INBOX' };
extra 'META is answered with OPENED', 'NET_META', 'OPENED', {};
extra 'META behind the DONE of META', 'after NET_META', 'META', { uid => 3 };
extra 'SEARCH is answered with META', 'NET_SEARCH', 'META', { uid => 2 };
extra 'SEND is answered with COPIED', 'NET_SEND', 'COPIED', { uid => 9 };
extra 'SEND is answered with META', 'NET_SEND', 'META', { uid => 9 };
extra 'RECV is answered with GONE', 'NET_RECV', 'GONE', { set => [[9, 9]] };
extra 'RECV is answered with WITHHELD', 'NET_RECV', 'WITHHELD',
    { set => [[9, 9]] };
extra 'STORE is answered with COPIED', 'NET_STORE', 'COPIED', { uid => 5 };
extra 'EXPUNGE is answered with GONE', 'NET_EXPUNGE', 'GONE',
    { set => [[3, 3]] };
extra 'STATS that nobody asked for', 'NET_OPEN', 'STATS', { turns => 1 };
extra 'CHANGED where nothing is watched', 'NET_OPEN', 'CHANGED',
    { mailbox => 'INBOX' };

# The same with another's id.
sub foreign
{
	my ($name, $on, $by, $type, $rec) = @_;
	attack $name, on => $on, says => $unfit, do => sub {
		my ($w, $m, $id) = @_;
		$by = $w->side ? -1 : 1 if $by eq 'other side';
		$w->emit("ENGINE_$type", $id + $by, $rec);
		return 0;
	};
}

foreign 'DONE of the other side\'s LIST', 'NET_LIST', 'other side', 'DONE', {};
foreign 'MAILBOX for the other side\'s LIST', 'NET_LIST', 'other side',
    'MAILBOX', { name => 'theirs' };
foreign 'DONE of a request still to come', 'NET_LIST', 1000, 'DONE', {};
foreign 'META with an id that wraps', 'NET_META', 0x7fffffff, 'META',
    { uid => 3 };
foreign 'VANISHED with the id of nothing', 'NET_OPEN', 5000, 'VANISHED',
    { set => [[1, 8]] };
attack 'VANISHED with the id of a META', on => 'NET_META', says => $unfit,
    do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_VANISHED', $id, { set => [[1, 8]] });
    };
attack 'READY once more, in the middle', on => 'NET_OPEN',
    says => qr/logged in twice/, do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_READY', 0, { caps => $w->caps,
	    strategy => $w->v('STRATEGY_QRESYNC') });
    };
attack 'no READY, and answers all the same', on => 'frame ENGINE_READY',
    says => qr/not logged in to/, do => sub { 1 };
attack 'READY without any capability', on => 'frame ENGINE_READY',
    status => 0, says => '', do => sub { $_[1]{caps} = 0; 0 };
attack 'READY with every capability', on => 'frame ENGINE_READY',
    status => 0, says => '', do => sub { $_[1]{caps} = 0xffffffff; 0 };
attack 'READY without a strategy', on => 'frame ENGINE_READY',
    says => qr/malformed/, do => sub { $_[1]{strategy} = 0; 0 };
attack 'READY with another strategy', on => 'frame ENGINE_READY',
    status => 0, says => '', do => sub {
	$_[1]{strategy} = $_[0]->v('STRATEGY_PLAIN');
	return 0;
    };
attack 'an APPENDLIMIT of one octet', on => 'frame ENGINE_READY',
    status => [0, 3], says => '', do => sub { $_[1]{appendlimit} = 1; 0 };

# ---- descriptors ----

for my $n (1, 2, 16) {
	attack "$n descriptors that no frame announces", on => 'NET_OPEN',
	    status => [0, 1], says => '', do => sub {
		my ($w) = @_;
		$w->pass($w->{p}->frame('ENGINE_LOG', 0,
		    $w->{p}->record('ENGINE_LOG', { text => 'take this' })),
		    $n);
		return 0;
	    };
}
attack 'a descriptor that is announced, and not due', on => 'NET_OPEN',
    do => sub {
	my ($w) = @_;
	$w->pass($w->{p}->frame('ENGINE_LOG', 0,
	    $w->{p}->record('ENGINE_LOG', { text => 'take this' }),
	    flags => $w->v('IMSGF_HASFD')), 1);
	return 0;
    };
attack 'a request for a descriptor, with one', on => 'NET_OPEN', do => sub {
	my ($w) = @_;
	$w->pass($w->{p}->frame('NET_CONNECT', 0, '',
	    flags => $w->v('IMSGF_HASFD')), 1);
	return 0;
    };

# ---- octets ----

attack 'every frame octet by octet', on => 'frame ENGINE_OPENED',
    status => 0, says => '', do => sub {
	my ($w, $rec, $id) = @_;
	my $frame = $w->{p}->frame('ENGINE_OPENED', $id,
	    $w->{p}->record('ENGINE_OPENED', $rec));
	$w->raw($_) for split //, $frame;
	return 1;
    };
attack 'half a frame, then its end', on => 'frame ENGINE_OPENED',
    do => sub {
	my ($w, $rec, $id) = @_;
	my $frame = $w->{p}->frame('ENGINE_OPENED', $id,
	    $w->{p}->record('ENGINE_OPENED', $rec));
	$w->raw(substr $frame, 0, length($frame) / 2);
	$w->quit(0);
    };
attack 'half a header, then its end', on => 'NET_META', do => sub {
	my ($w) = @_;
	$w->raw("\1\0\0\0\1");
	$w->quit(0);
    };
attack 'a frame inside of which another begins', on => 'frame ENGINE_META',
    says => qr/malformed/, do => sub {
	my ($w, $rec, $id) = @_;
	my $octets = $w->{p}->record('ENGINE_META', $rec);
	my $inner = $w->{p}->frame('ENGINE_DONE', $id,
	    $w->{p}->record('ENGINE_DONE', {}));
	$w->raw($w->{p}->frame('ENGINE_META', $id,
	    substr($octets, 0, 8) . $inner));
	return 1;
    };
attack 'two records where there is one', on => 'frame ENGINE_OPENED',
    says => qr/malformed/, do => sub {
	my ($w, $rec, $id) = @_;
	my $octets = $w->{p}->record('ENGINE_OPENED', $rec);
	$w->raw($w->{p}->frame('ENGINE_OPENED', $id, $octets . $octets));
	return 1;
    };
attack 'another pid in every header', on => 'frame ENGINE_OPENED',
    always => 1, status => 0, says => '', do => sub {
	my ($w, $rec, $id) = @_;
	$w->raw($w->{p}->frame('ENGINE_OPENED', $id,
	    $w->{p}->record('ENGINE_OPENED', $rec), pid => 1));
	return 1;
    };

# ---- behind the end ----

attack 'frames behind LOGOUT', on => 'NET_LOGOUT', status => [0, 1],
    says => '', do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_VANISHED', $w->handle, { set => [[1, 8]] });
	$w->emit('ENGINE_DONE', $w->handle, {});
	$w->quit(0);
    };
attack 'frames behind FATAL', on => 'NET_OPEN', says => '', do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_FATAL', 0, { status => 1, text => 'the end' });
	$w->emit('ENGINE_OPENED', $id, { uidvalidity => 1 });
	$w->emit('ENGINE_DONE', $id, {});
	$w->silence;
    };
attack 'FATAL, and goes on as if nothing was', on => 'NET_OPEN', says => '',
    do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_FATAL', 0, { status => 1, text => 'the end' });
	return 0;
    };
attack 'FATAL twice: the first one counts', on => 'NET_OPEN', status => 1,
    says => qr/the first/, do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_FATAL', 0, { status => 1, text => 'the first' });
	$w->emit('ENGINE_FATAL', 0, { status => 75, text => 'the second' });
	$w->quit(0);
    };

seldom(
    'type 4294967295',
    'a request of the engine\'s, sent back to it',
    'ENGINE_SETUP, which is another\'s',
    'META that answers nothing',
    'LIST is answered with UIDS',
    'DONE twice: RECV',
    'OPEN is answered with COPIED',
    'SEND is answered with COPIED',
    'RECV is answered with GONE',
    'DONE of a request still to come',
    '16 descriptors that no frame announces',
    'half a frame, then its end',
    'a frame shorter than its header',
    'a length of 65535',
    'type 0',
    'octets 255',
    'STORE_COMMIT, which is another\'s',
    'ENGINE_ROW, which is another\'s',
    'ENGINE_PAIRED, which is another\'s',
    'ENGINE_STOP, which is another\'s',
    'SETUP, sent back',
    'READY without its record',
    'OPENED that answers nothing',
    'FLAGS that answers nothing',
    'COPIED that answers nothing',
    'MAILBOX that answers nothing',
    'STATS that answers nothing',
    'LIST is answered with OPENED',
    'DONE twice: OPEN',
    'DONE twice: STORE',
    'UIDS of no list',
    'OPEN is answered with MAILBOX',
    'SEND is answered with META',
    'RECV is answered with WITHHELD',
    'STORE is answered with COPIED',
    'META with an id that wraps',
    'VANISHED with the id of a META',
    '2 descriptors that no frame announces',
    'half a header, then its end',
    'two records where there is one',
    'another pid in every header',
    'FATAL, and goes on as if nothing was',
    'a request for a descriptor, with one',
    'MAILBOX for the other side\'s LIST',
);

1;

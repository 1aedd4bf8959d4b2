# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Records that are well formed and answer what was asked, and are not true.
package Imapsync::Attacks::Lies;

use strict;
use warnings;
use Imapsync::Attacks;

my $unfit = qr/worker (sent what does not answer|answered a request)/;
my $most = 0xffffffff;

# The record that is about to be sent, changed: on, a sub that gets it.
sub altered
{
	my ($name, $type, $sub, %o) = @_;
	attack $name, on => "frame ENGINE_$type", %o, do => sub {
		my ($w, $rec, $id) = @_;
		return $sub->($rec, $w, $id) ? 1 : 0;
	};
}

# ---- COPIED, REFUSED, FAILED ----

altered 'COPIED of a UID that was not sent', 'COPIED',
    sub { $_[0]{uid} = 9999; 0 }, says => $unfit;
altered 'COPIED of one that is in sync', 'COPIED',
    sub { $_[0]{uid} = 1; 0 }, says => $unfit;
altered 'COPIED twice', 'COPIED', sub {
	my ($rec, $w, $id) = @_;
	$w->emit('ENGINE_COPIED', $id, { %$rec, newuid => 500 });
	return 0;
    }, status => [1, 3], says => qr/can't be|which can't|does not answer/;
altered 'COPIED more often than was asked for', 'COPIED', sub {
	my ($rec, $w, $id) = @_;
	$w->emit('ENGINE_COPIED', $id, { %$rec, newuid => 500 + $_ })
	    for 1 .. 5;
	return 0;
    }, says => $unfit;
altered 'COPIED without a UID', 'COPIED', sub { $_[0]{newuid} = 0; 0 },
    status => [0, 3], says => '', always => 1;
altered 'COPIED to the UID of another message', 'COPIED',
    sub { $_[0]{newuid} = 1; 0 }, status => 3, says => qr/can't be/;
altered 'COPIED to the last UID', 'COPIED',
    sub { $_[0]{newuid} = $most; 0 }, status => 3, says => qr/can't be/;
altered 'COPIED to the last UID but one', 'COPIED',
    sub { $_[0]{newuid} = $most - 1; 0 }, status => [0, 3], says => '',
    after => [0, 3], unlike => 1;
altered 'COPIED to one UID, all of them', 'COPIED',
    sub { $_[0]{newuid} = 700; 0 }, status => 3, says => qr/can't be/,
    always => 1, after => [0, 3];
altered 'COPIED, and nothing is kept', 'COPIED', sub {
	my ($rec, $w) = @_;
	$w->{store}->forget('INBOX', $rec->{newuid});
	return 0;
    }, status => 0, says => '', after => [0, 3], unlike => 1, box => 'INBOX';
altered 'COPIED with another key and size', 'COPIED',
    sub { $_[0]{key} = 1; $_[0]{size} = 1; 0 }, always => 1,
    status => 0, says => '';
altered 'COPIED with the largest size there is', 'COPIED',
    sub { $_[0]{size} = ~0; $_[0]{key} = ~0; 0 }, always => 1,
    status => 0, says => '';
altered 'COPIED with flags that were not sent', 'COPIED',
    sub { $_[0]{flags} = '\Seen $Lie'; 0 }, always => 1, may => ['flags'],
    status => 0, says => '';
altered 'COPIED with lost flags that nobody had', 'COPIED',
    sub { $_[0]{lost} = join ' ', map { sprintf 'lost%04d', $_ } 1 .. 400; 0 },
    always => 1, status => [0, 3], says => '';

# In place of all COPIED of a request.
sub instead
{
	my ($name, $sub, %o) = @_;
	attack $name, on => 'frame ENGINE_COPIED', always => 1, %o, do => sub {
		my ($w, $rec, $id) = @_;
		$w->{store}->forget($w->{open}{name}, $rec->{newuid});
		$sub->($w, $rec, $id);
		return 1;
	};
}

instead 'REFUSED of a UID that was not sent', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_REFUSED', $id, { uid => 1, status => 1 });
    }, says => $unfit;
instead 'REFUSED, all, without a reason', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_REFUSED', $id, { uid => $rec->{uid}, status => 1 });
    }, status => 3, after => [0, 3], unlike => 1;
for my $code (qw(TRYCREATE TOOBIG OVERQUOTA SERVERBUG)) {
	instead "REFUSED, all, code $code", sub {
		my ($w, $rec, $id) = @_;
		$w->emit('ENGINE_REFUSED', $id, { uid => $rec->{uid},
		    status => 1, code => $w->v("RC_$code"),
		    text => "no\e[31m\r\nremote: yes", size => ~0 });
	    }, status => 3, after => [0, 3], unlike => 1;
}
for my $code (qw(CLOSED_CONNECTION MAX)) {
	instead "REFUSED, code $code, which no server has", sub {
		my ($w, $rec, $id) = @_;
		$w->emit('ENGINE_REFUSED', $id, { uid => $rec->{uid},
		    status => 1, code => $w->v("RC_$code") });
	    }, says => qr/malformed ENGINE_REFUSED/, after => 0;
}
instead 'REFUSED with date and keywords, again and again', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_REFUSED', $id, { uid => $rec->{uid}, status => 2,
	    had_date => 1, had_keywords => 1, text => 'bad' });
    }, status => 3, after => [0, 3], unlike => 1;
instead 'REFUSED and COPIED, one message', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_REFUSED', $id, { uid => $rec->{uid}, status => 1 });
	$w->emit('ENGINE_COPIED', $id, { %$rec, newuid => 800 });
    }, status => [1, 3], says => '', after => [0, 3], unlike => 1;
instead 'FAILED with UIDs that were not sent', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FAILED', $id, { status => 1, set => [[1, $most]] });
    }, says => $unfit;
instead 'FAILED, whatever is sent, for ever', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FAILED', $id, { status => 1,
	    set => [[$rec->{uid}, $rec->{uid}]] });
    }, says => qr/refused together/;
instead 'FAILED twice for one message', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FAILED', $id, { status => 1,
	    set => [[$rec->{uid}, $rec->{uid}]] }) for 1, 2;
    }, status => [1, 3], says => '', after => [0, 3], unlike => 1;
instead 'nothing is said of what was sent', sub { 0 },
    status => [0, 3], says => '', after => [0, 3], unlike => 1;

# ---- GONE, WITHHELD ----

sub sending
{
	my ($name, $sub, %o) = @_;
	attack $name, on => 'NET_SEND', %o, do => sub {
		my ($w, $m, $id) = @_;
		return $sub->($w, $m, $id) ? 1 : 0;
	};
}

sub gone_only
{
	my ($w, $m, $id, $type, %rec) = @_;

	$w->emit("ENGINE_$type", $id, { set => $m->{set}, %rec });
	$w->bridge_end($m->{transfer}) if $m->{last};
	$w->done($id);
	return 1;
}

sending 'GONE of UIDs that were not asked for', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_GONE', $id, { set => [[1, 4]] });
	return 0;
    }, says => $unfit;
sending 'GONE of every UID', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_GONE', $id, { set => [[1, $most]] });
	return 0;
    }, says => $unfit;
sending 'GONE, and sent all the same', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_GONE', $id, { set => $m->{set} });
	return 0;
    }, status => [0, 3], says => '', after => [0, 3];
sending 'GONE, what is there', sub { gone_only(@_, 'GONE') },
    status => [0, 3], says => '', after => [0, 3], unlike => 1;
sending 'WITHHELD of UIDs that were not asked for', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_WITHHELD', $id, { set => [[1, 4]] });
	return 0;
    }, says => $unfit;
sending 'WITHHELD, all', sub { gone_only(@_, 'WITHHELD', status => 1,
    text => "no\e]0;title\a\r\nremote: all is well") }, status => 3,
    after => [0, 3], unlike => 1;
sending 'WITHHELD, and sent all the same', sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_WITHHELD', $id, { set => $m->{set} });
	return 0;
    }, status => [0, 3], says => '', after => [0, 3];
sending 'nothing is sent, and nothing is said of it', sub {
	my ($w, $m, $id) = @_;
	$w->bridge_end($m->{transfer}) if $m->{last};
	$w->done($id);
	return 1;
    }, status => [0, 3], says => '', after => [0, 3], unlike => 1;

# ---- META, SEARCH ----

altered 'META of a UID that was not asked for', 'META',
    sub { $_[0]{uid} = 777; 0 }, says => $unfit;
altered 'META twice', 'META', sub {
	my ($rec, $w, $id) = @_;
	$w->emit('ENGINE_META', $id, $rec) for 1 .. 40;
	return 0;
    }, says => $unfit;
altered 'META of other messages than the state knows', 'META',
    sub { $_[0]{key} ^= 1; 0 }, always => 1, status => 3, after => 0;
altered 'META with the greatest numbers', 'META',
    sub { @{ $_[0] }{qw(size key date)} = (~0, ~0, ~0 >> 1); 0 },
    always => 1, status => 3, after => 0;
altered 'no META at all', 'META', sub { 1 }, always => 1,
    status => [0, 3], says => '', after => 0;
attack '600,000 META for an OPEN', on => 'NET_OPEN', says => $unfit,
    do => sub {
	my ($w, $m, $id) = @_;
	for my $part (0 .. 599) {
		$w->emit_many('ENGINE_META', $id,
		    map { { uid => $part * 1000 + $_ } } 1 .. 1000);
	}
	return 0;
    };
attack 'SEARCH finds what has vanished', on => 'NET_SEARCH',
    status => 3, do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_UIDS', $id, { set => $m->{set} });
	$w->done($id);
	return 1;
    };
attack 'SEARCH finds what was not asked for', on => 'NET_SEARCH',
    says => $unfit, do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_UIDS', $id, { set => [[1, $most]] });
	return 0;
    };
attack 'SEARCH is refused', on => 'NET_SEARCH', always => 1,
    status => [0, 3], says => '', do => sub {
	my ($w, $m, $id) = @_;
	$w->done($id, status => 1, text => 'no');
	return 1;
    };

# ---- VANISHED, FLAGS ----

sub telling
{
	my ($name, $sub, %o) = @_;
	attack $name, on => 'frame ENGINE_OPENED', box => 'INBOX', %o,
	    do => sub { $sub->(@_) ? 1 : 0 };
}

sub vanished
{
	my ($w, $id, $earlier, @set) = @_;
	$w->emit('ENGINE_VANISHED', $id, { earlier => $earlier,
	    set => [@set] });
}

telling 'all of INBOX vanished, and is counted', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 1, [1, 8]);
	return 0;
    }, status => [0, 3], says => '';
telling 'every UID there can be vanished', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 1, [1, $most]);
	return 0;
    }, status => [0, 3], says => '', after => [0, 3];
telling 'all vanished, and the numbers fit', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 1, [1, 8]);
	$rec->{exists} = 3;
	return 0;
    }, status => [0, 3], says => '', after => [0, 3];
telling 'all vanished a thousand times', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 1, [1, 8]) for 1 .. 1000;
	return 0;
    }, status => [0, 3], says => '';
telling 'VANISHED without EARLIER of all', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 0, [1, 8]);
	return 0;
    }, always => 1, status => [0, 3], says => '';
telling 'VANISHED of what never was', sub {
	my ($w, $rec, $id) = @_;
	vanished($w, $id, 1, [100000, 200000]);
	return 0;
    }, status => [0, 3], says => '', after => [0, 3];
attack 'all of INBOX vanishes while it is changed', on => 'NET_STORE',
    box => 'INBOX', status => [0, 3], says => '', do => sub {
	my ($w) = @_;
	vanished($w, $w->handle, 0, [1, 8]);
	return 0;
    };
attack 'EXPUNGE takes all', on => 'NET_EXPUNGE', status => [0, 3],
    says => '', do => sub {
	my ($w) = @_;
	vanished($w, $w->handle, 0, [1, $most]);
	return 0;
    };
# It is asked once more, and lies once.
attack 'EXPUNGE is done, and nothing vanished', on => 'NET_EXPUNGE',
    status => [0, 3], do => sub { $_[0]->done($_[2]); 1 };
telling 'FLAGS of UIDs that nobody knows', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FLAGS', $id, { uid => $_, modseq => 1,
	    has_flags => 1, flags => '\Deleted' }) for 90 .. 190;
	return 0;
    }, status => [0, 3], says => '';
telling 'FLAGS: \Deleted, all', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FLAGS', $id, { uid => $_, modseq => ~0,
	    has_flags => 1, flags => '\Deleted' }) for 1, 4 .. 8;
	return 0;
    }, status => [0, 3], says => '', may => ['flags'], after => [0, 3];
telling 'FLAGS with 500 keywords each', sub {
	my ($w, $rec, $id) = @_;
	my $flags = join ' ', map { sprintf 'k%04d', $_ } 1 .. 500;
	$w->emit('ENGINE_FLAGS', $id, { uid => $_, modseq => ~0,
	    has_flags => 1, flags => $flags }) for 1, 4 .. 8;
	return 0;
    }, status => [0, 3], says => '', may => ['flags'], after => [0, 3];
telling 'FLAGS of one message 50,000 times', sub {
	my ($w, $rec, $id) = @_;
	$w->emit_many('ENGINE_FLAGS', $id, map { { uid => 1, modseq => $_,
	    has_flags => 1, flags => $_ & 1 ? '\Seen' : '' } } 1 .. 50000);
	return 0;
    }, status => [0, 3], says => '', may => ['flags'];
telling 'FLAGS of UIDs without number', sub {
	my ($w, $rec, $id) = @_;
	for my $part (0 .. 199) {
		$w->emit_many('ENGINE_FLAGS', $id,
		    map { { uid => $part * 1000 + $_, modseq => 1,
		    has_flags => 1, flags => '\Seen' } } 1 .. 1000);
	}
	return 0;
    }, status => [0, 1, 3], says => '', may => ['flags'];
telling 'FLAGS that were cut', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_FLAGS', $id, { uid => $_, modseq => 9,
	    has_flags => 2, flags => 'a' }) for 1, 4 .. 8;
	return 0;
    }, status => [0, 3], says => '', may => ['flags'];
telling 'SPOILT, with words for a terminal', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_SPOILT', $id, { text => "\e[2J\r\n\x9b31m" }) for 1 .. 50;
	return 0;
    }, status => 3;

# ---- OPENED ----

sub opened
{
	my ($name, $change, %o) = @_;
	attack "OPENED: $name", on => 'frame ENGINE_OPENED', box => 'INBOX',
	    %o, do => sub { @{ $_[1] }{keys %$change} = values %$change; 0 };
}

opened 'another UIDVALIDITY', { uidvalidity => 99 }, status => 3;
opened 'no UIDVALIDITY', { uidvalidity => 0 }, status => 3;
opened 'a lower UIDNEXT', { uidnext => 2 }, status => 3;
opened 'the last UIDNEXT', { uidnext => $most }, status => 3,
    says => qr/can't be/, always => 1, after => [0, 3], unlike => 1,
    may => ['twice'];
opened 'no UIDNEXT', { uidnext => 0 }, status => [0, 3], says => '',
    always => 1;
opened 'a lower HIGHESTMODSEQ', { modseq => 1 }, status => 3;
opened 'HIGHESTMODSEQ 2^64 - 1', { modseq => ~0 }, status => [0, 3],
    says => '', always => 1, after => [0, 3], unlike => 1;
opened 'HIGHESTMODSEQ 2^63', { modseq => 1 << 63 }, status => [0, 3],
    says => '', always => 1, after => [0, 3], unlike => 1;
opened 'EXISTS 4294967295', { exists => $most }, status => [0, 3],
    says => '', always => 1;
opened 'EXISTS 0', { exists => 0 }, status => [0, 3], says => '',
    always => 1;
opened 'UIDNOTSTICKY', { notsticky => 1 }, status => 3;
opened 'read-only', { readonly => 1 }, status => [0, 3], says => '',
    always => 1;
opened 'a MAILBOXID of control octets', { mailboxid => "\e[31m\r\n" x 20 },
    status => [0, 3], says => '', always => 1;
opened '600 permanent flags', { perm_any => 0, permflags => join ' ',
    map { sprintf 'k%04d', $_ } 1 .. 600 }, status => [0, 3], says => '',
    always => 1;
attack 'no OPENED, and OK', on => 'frame ENGINE_OPENED', box => 'INBOX',
    status => [1, 3], do => sub { 1 };
attack 'another mailbox when it is changed', on => 'frame ENGINE_OPENED',
    box => 'INBOX', nth => 3, always => 1, status => 3, says => qr/INBOX/,
    do => sub { $_[1]{uidvalidity} = 5; 0 };
attack 'OPEN is refused', on => 'NET_OPEN', box => 'INBOX', always => 1,
    status => 3, do => sub {
	my ($w, $m, $id) = @_;
	$w->done($id, status => 1, text => "no\e[1m\nno");
	return 1;
    };
attack 'all UIDs there can be are new', on => 'frame ENGINE_OPENED',
    box => 'INBOX', status => 3, says => qr/can't be/, after => [0, 3],
    unlike => 1, do => sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_UIDS', $id, { what => $w->v('OPEN_NEW'),
	    set => [[9, $most]] });
	return 0;
    };
attack '200,000 ranges of new UIDs', on => 'frame ENGINE_OPENED',
    box => 'INBOX', status => [0, 1, 3], says => '', after => [0, 3],
    unlike => 1, do => sub {
	my ($w, $rec, $id) = @_;
	for my $part (1 .. 200) {
		$w->emit('ENGINE_UIDS', $id, { what => $w->v('OPEN_NEW'),
		    set => [map { my $u = 2 * (1000 * $part + $_) + 100;
		    [$u, $u] } 0 .. 999] });
	}
	return 0;
    };
attack 'new UIDs below those that are known', on => 'frame ENGINE_OPENED',
    box => 'INBOX', status => [0, 1, 3], says => '', after => [0, 3],
    do => sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_UIDS', $id, { what => $w->v('OPEN_NEW'),
	    set => [[1, 8]] });
	return 0;
    };

# ---- STORE ----

attack 'STORE is done, and was not', on => 'NET_STORE', status => 0,
    says => '', may => ['flags'], do => sub { $_[0]->done($_[2]); 1 };
attack 'STORE is refused with odd words', on => 'NET_STORE',
    status => [0, 3], says => '', do => sub {
	my ($w, $m, $id) = @_;
	$w->done($id, status => 2, code => $w->v('RC_SERVERBUG'),
	    text => "\e]2;x\a" x 300);
	return 1;
    };
attack 'STORE was never sent', on => 'NET_STORE', status => [0, 3],
    says => '', do => sub { $_[0]->done($_[2], status => 3); 1 };
attack 'DONE with the greatest numbers', on => 'frame ENGINE_DONE',
    always => 1, status => [0, 3], says => '', after => [0, 3], unlike => 1,
    do => sub {
	@{ $_[1] }{qw(exists count modseq time)} = ($most, $most, ~0, ~0 >> 1);
	return 0;
    };

# ---- MAILBOX ----

# One name more in the list; what honest servers take is created there.
sub named
{
	my ($what, $name, %o) = @_;
	attack "a mailbox named $what", on => 'frame ENGINE_DONE',
	    if => sub { $_[0]{listing} }, status => [0, 1, 3], says => '',
	    after => [0, 3], may => ['names'], %o, do => sub {
		my ($w, $rec, $id) = @_;
		$w->emit('ENGINE_MAILBOX', $id, { has_status => 1,
		    delimiter => ord '/', uidvalidity => 1, uidnext => 1,
		    name => ref $name ? $name->() : $name });
		return 0;
	    };
}

named '../../etc/passwd', '../../etc/passwd',
    boxes => ['\.\./\.\./etc/passwd'];
named '/', '/', boxes => ['/'];
named '//a//', '//a//', boxes => ['//a//'];
named 'a/ (an empty level)', 'a/', boxes => ['a/'];
named 'INBOX/INBOX/INBOX', 'INBOX/INBOX/INBOX',
    boxes => ['INBOX/INBOX/INBOX'];
named 'inbox', 'inbox', boxes => ['inbox'];
named 'like an option', '--delete', boxes => ['--delete'];
named '*', '*', boxes => ['\*'];
named '%', '%', boxes => ['%'];
named 'with quotes', 'a" (QRESYNC) "b',
    boxes => ['a\\\\" \(QRESYNC\) \\\\"b', '\{\d+\+?\}.*'];
named 'with a backslash at its end', 'a\\',
    boxes => ['a\\\\\\\\', '\{\d+\+?\}.*'];
named 'like a literal', '{5}', boxes => ['\{5\}', '\{\d+\+?\}.*'];
named 'in 8 bits', "caf\xc3\xa9\xff", boxes => ['.*'];
named 'NIL', 'NIL', boxes => ['NIL'];
named 'not in modified UTF-7', '&AAA-&-&', boxes => ['&AAA-&-&'];
named 'by 1,000 octets', 'x' x 1000, boxes => ['x{1000}'];
named 'by 500 levels', join('/', ('a') x 500), boxes => ['a(/a)*'];
named 'as one that is there', 'INBOX', may => [];

sub listed
{
	my ($name, $sub, %o) = @_;
	attack $name, on => 'frame ENGINE_DONE', if => sub { $_[0]{listing} },
	    status => [0, 1, 3], says => '', after => [0, 3],
	    %o, do => sub { $sub->(@_); 0 };
}

attack 'a list without names that were there', on => 'NET_LIST',
    status => 0, says => '', do => sub {
	my ($w, $m, $id) = @_;
	$w->done($id);
	return 1;
    };
listed 'names without status, 10,000', sub {
	my ($w, $rec, $id) = @_;
	$w->emit_many('ENGINE_MAILBOX', $id, map { { delimiter => ord '/',
	    attrs => $w->v('ATTR_NOSELECT'), name => "flood$_" } }
	    1 .. 10000);
    };
listed '150,000 names', sub {
	my ($w, $rec, $id) = @_;
	for my $part (0 .. 149) {
		$w->emit_many('ENGINE_MAILBOX', $id, map { {
		    delimiter => ord '/', attrs => $w->v('ATTR_NOSELECT'),
		    name => "flood" . (1000 * $part + $_) } } 1 .. 1000);
	}
    };
listed 'one name 20,000 times', sub {
	my ($w, $rec, $id) = @_;
	$w->emit_many('ENGINE_MAILBOX', $id, map { { delimiter => ord '/',
	    has_status => 1, uidvalidity => 7001, uidnext => 12,
	    name => 'work' } } 1 .. 20000);
    };
listed 'delimiters that change', sub {
	my ($w, $rec, $id) = @_;
	$w->emit('ENGINE_MAILBOX', $id, { delimiter => ord $_,
	    attrs => $w->v('ATTR_NOSELECT'), name => "d${_}d" })
	    for split //, '.\\"I k%*(';
    };
attack 'a delimiter that is a letter', on => 'frame ENGINE_MAILBOX',
    boxes => ['wor/'], may => ['names', 'own'],
    always => 1, status => [0, 1, 3], says => '', after => [0, 3],
    do => sub { $_[1]{delimiter} = ord 'k'; 0 };
attack 'INBOX is \Noselect', on => 'frame ENGINE_MAILBOX',
    if => sub { $_[1]{name} eq 'INBOX' }, status => [0, 1, 3], says => '',
    after => [0, 3], do => sub { $_[1]{attrs} |= $_[0]->v('ATTR_NOSELECT'); 0 };
attack 'LIST is refused', on => 'NET_LIST', do => sub {
	my ($w, $m, $id) = @_;
	$w->done($id, status => 1, text => "no\e[31m");
	return 1;
    };

# ---- words ----

sub words
{
	my ($name, @texts) = @_;
	attack $name, on => 'ready', status => [0, 3], says => '', do => sub {
		my ($w) = @_;
		$w->emit('ENGINE_LOG', 0, { level => $w->v('LOG_LV_WARN'),
		    mailbox => $texts[1] // '', text => $texts[0] });
		return 0;
	    };
}

words 'LOG with the octets of a terminal', "\e[2J\e]0;x\a\r\x9b1m\x00" =~
    s/\0//r;
words 'LOG with lines of its own', "a\nremote: lost the server\r\n\r\nb";
words 'LOG with a mailbox of control octets', 'text', "a\r\n\e[1mb";
words 'LOG of every octet', join '', map { chr } 1 .. 255;
words 'LOG with formats', '%s%n%x%500000d' x 50;
words 'LOG of nothing', '';
attack 'LOG without end', on => 'ready', status => [0, 1, 3], says => '',
    do => sub {
	my ($w) = @_;
	$w->emit_many('ENGINE_LOG', 0, { level => $w->v('LOG_LV_WARN'),
	    text => "again $_ " . 'x' x 200 }) for 1 .. 5000;
	return 0;
    };
attack 'LOG of errors: the run is not a good one', on => 'ready',
    status => 3, do => sub {
	my ($w) = @_;
	$w->emit('ENGINE_LOG', 0, { level => $w->v('LOG_LV_ERROR'),
	    text => 'an error' });
	return 0;
    };
for my $status (2, 3, 69, 75, 127, 255) {
	attack "FATAL with status $status", on => 'NET_OPEN',
	    status => $status == 75 ? 75 : 1, says => qr/password: /, do => sub {
		my ($w) = @_;
		$w->emit('ENGINE_FATAL', 0, { status => $status,
		    text => "your password: \e[8m\r\nplease" });
		$w->quit($status);
	    };
}
attack 'DUE of a UID that was not asked for', on => 'NET_META',
    says => $unfit, do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_DUE', $id, { uid => 4000000 });
	return 0;
    };
attack 'DUE of everything, and goes on', on => 'NET_SEND', status => [0, 3],
    says => '', do => sub {
	my ($w, $m, $id) = @_;
	$w->emit('ENGINE_DUE', $id, { uid => $m->{set}[0][0] })
	    for 1 .. 1000;
	$w->emit('ENGINE_DUE', $id, { uid => 0 });
	return 0;
    };
attack 'STATS of impossible numbers', on => 'frame ENGINE_STATS',
    args => ['--json'], status => 0, says => '',
    do => sub { @{ $_[1] }{qw(turns sent received)} = ($most, ~0, ~0); 0 };
attack 'CREATE and SUBSCRIBE are done, and were not', on => 'NET_NAME',
    always => 1, status => [0, 3], says => '', do => sub {
	$_[0]->done($_[2]); 1 };

seldom(
    'COPIED with another key and size',
    'COPIED with lost flags that nobody had',
    'REFUSED, all, code TOOBIG',
    'REFUSED with date and keywords, again and again',
    'WITHHELD, all',
    'nothing is said of what was sent',
    'nothing is sent, and nothing is said of it',
    'all of INBOX vanishes while it is changed',
    'FLAGS of one message 50,000 times',
    'OPENED: EXISTS 4294967295',
    'OPENED: a lower UIDNEXT',
    'OPENED: a MAILBOXID of control octets',
    '200,000 ranges of new UIDs',
    'STORE is refused with odd words',
    'a mailbox named %',
    'a mailbox named by 500 levels',
    'a mailbox named in 8 bits',
    'LOG with a mailbox of control octets',
    'FATAL with status 255',
    'INBOX is \\Noselect',
    'DUE of everything, and goes on',
    'COPIED of one that is in sync',
    'COPIED to the last UID but one',
    'COPIED with the largest size there is',
    'REFUSED, all, code TRYCREATE',
    'REFUSED, all, code SERVERBUG',
    'REFUSED, code MAX, which no server has',
    'REFUSED and COPIED, one message',
    'FAILED twice for one message',
    'GONE of every UID',
    'WITHHELD of UIDs that were not asked for',
    'GONE, and sent all the same',
    'META with the greatest numbers',
    'SEARCH is refused',
    'all vanished a thousand times',
    'VANISHED of what never was',
    'FLAGS of UIDs that nobody knows',
    'FLAGS that were cut',
    'OPENED: no UIDVALIDITY',
    'OPENED: no UIDNEXT',
    'OPENED: a lower HIGHESTMODSEQ',
    'OPENED: HIGHESTMODSEQ 2^63',
    'OPENED: EXISTS 0',
    'OPENED: UIDNOTSTICKY',
    'OPENED: read-only',
    'OPENED: 600 permanent flags',
    'another mailbox when it is changed',
    'new UIDs below those that are known',
    'STORE was never sent',
    'a mailbox named //a//',
    'a mailbox named a/ (an empty level)',
    'a mailbox named INBOX/INBOX/INBOX',
    'a mailbox named inbox',
    'a mailbox named *',
    'a mailbox named like a literal',
    'a mailbox named NIL',
    'a mailbox named not in modified UTF-7',
    'a mailbox named like an option',
    'a mailbox named with a backslash at its end',
    'delimiters that change',
    'one name 20,000 times',
    'LIST is refused',
    'LOG with lines of its own',
    'LOG of nothing',
    'LOG with formats',
    'FATAL with status 3',
    'FATAL with status 69',
    'FATAL with status 127',
    '150,000 names',
);

1;

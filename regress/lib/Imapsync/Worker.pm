# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A stand-in for imapsync-net: it speaks the protocol of imapsync-net(8) with the
# engine and the other worker, and plays an honest server by itself, whose mail
# is a Store.pm in a file; but at one point it does what an attack (Attacks.pm)
# wants.  regress/lib/worker.c starts it; Replaced.pm is the test's end of it.
#
# What the subs of an attack may use, $w the worker:
#	$w->emit('ENGINE_META', $id, { uid => 3, ... })	as an honest one sends it
#	$w->emit_many('ENGINE_META', $id, @records)	packed into few frames
#	$w->raw($octets)			anything at all
#	$w->bridge_put($octets), $w->bridge_record({ ... }), $w->bridge_end(...)
#	$w->done($id, status => ...)		DONE
#	$w->pass($octets, $count)		with descriptors
#	$w->box($name), $w->handle, $w->open_box	the mail, the mailbox opened last
#	$w->silence, $w->quit($status), $w->die_by($signal)
package Imapsync::Worker;

use strict;
use warnings;
use Digest::SHA ();
use POSIX ();
use Storable ();
use Time::Local ();
use Imapsync::Proto;
use Imapsync::Store;

my $fd_channel = 3;
my $fd_lifeline = 4;
my $fd_first = 5;	# of worker.c
my %month;
@month{qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)} = 0 .. 11;

# ---- beginning and end ----

sub main
{
	my ($file, $pipe) = @_;
	my $w = Imapsync::Worker->new($file);

	$w->start($pipe);
	while (defined(my $frame = $w->next_frame)) {
		$w->take($frame);
	}
	$w->quit(0);
}

sub new
{
	my ($class, $file) = @_;
	my $self = bless { file => $file, in => '', bridge_in => '',
	    patterns => {} }, $class;

	open(my $fh, '<', "$file.conf") or die "$file.conf: $!\n";
	chomp(my @lines = <$fh>);
	$self->{conf} = { map { split /=/, $_, 2 } @lines };
	$self->{p} = Imapsync::Proto->new($self->{conf}{table});
	$self->{attack} = { on => '' };
	if ($self->{conf}{attack} ne '') {
		require Imapsync::Attacks;
		$self->{attack} =
		    Imapsync::Attacks::find($self->{conf}{attack});
	}
	$self->{store} = Storable::retrieve($self->{conf}{store});
	return $self;
}

# From the pipe comes what worker.c has read: the supervisor's messages, and
# perhaps more.
sub start
{
	my ($self, $fd) = @_;
	my $n = $fd_first;

	$^F = 255;	# nothing is closed for those that are started
	$SIG{PIPE} = 'IGNORE';
	open(my $pipe, '<&=', $fd) or die "the pipe: $!\n";
	while (sysread $pipe, $self->{in}, 65536, length $self->{in}) {
	}
	close $pipe;
	$self->{given} = $self->{in};
	until ($self->{connected}) {
		my ($type, $id, $rec) = $self->{p}->parse($self->next_frame);
		$self->{setup} = $rec if $type eq 'NET_SETUP';
		$self->{fd}{$rec->{what}} = $n++ if $type eq 'NET_FD';
		$self->{connected} = $n if $type eq 'NET_CONNECT';
	}
	open($self->{channel}, '+<&=', $fd_channel) or die "channel: $!\n";
	open($self->{bridge}, '+<&=',
	    $self->{fd}{$self->v('NETFD_BRIDGE')}) or die "bridge: $!\n";
	$self->point('start');
	$self->emit('ENGINE_READY', 0, { strategy => $self->v('STRATEGY_QRESYNC'),
	    preauth => 1,
	    mechanism => 'PREAUTH', caps => $self->caps });
	$self->point('ready');
}

sub caps
{
	my ($self) = @_;
	my $caps = 0;

	$caps |= $self->v("CAP_$_") for qw(QRESYNC CONDSTORE LIST_EXTENDED
	    LIST_STATUS UIDPLUS LITERALPLUS MULTIAPPEND ENABLE ESEARCH UNSELECT
	    SPECIAL_USE);
	return $caps;
}

sub v { return $_[0]{p}->value($_[1]) }
sub side { return $_[0]{setup}{side} }

sub save
{
	my ($self) = @_;
	my $path = $self->{conf}{store};

	Storable::nstore($self->{store}, "$path.new");
	rename "$path.new", $path or die "rename: $!\n";
}

# For the test to read.
sub note
{
	my ($self, $text) = @_;

	open(my $fh, '>>', "$self->{file}.notes") or return;
	print $fh "$text\n";
	close $fh;
}

sub quit { $_[0]->save; POSIX::_exit($_[1]) }

sub die_by
{
	my ($self, $signal) = @_;

	$self->save;
	$SIG{$signal} = 'DEFAULT' unless $signal eq 'KILL';
	kill $signal, $$;
	POSIX::_exit(9);
}

# Read on and say nothing, until the end.
sub silence
{
	my ($self) = @_;

	$self->save;
	for (;;) {
		my $rin = '';
		vec($rin, $_, 1) = 1 for $fd_channel, $fd_lifeline;
		next if select($rin, undef, undef, undef) <= 0;
		POSIX::_exit(0) if vec($rin, $fd_lifeline, 1);
		POSIX::_exit(0)
		    unless sysread $self->{channel}, my $data, 65536;
	}
}

# What an attack that never ends does in between; it ends with its engine.
sub pause
{
	my ($self, $seconds) = @_;
	my $rin = '';

	vec($rin, $fd_lifeline, 1) = 1;
	$self->quit(0) if select($rin, undef, undef, $seconds) > 0;
}

# ---- the channel ----

sub raw
{
	my ($self, $octets) = @_;

	for (my $off = 0; $off < length $octets; ) {
		my $n = syswrite $self->{channel}, $octets,
		    length($octets) - $off, $off;
		$self->quit(0) unless defined $n || $!{EINTR};
		$off += $n // 0;
	}
}

sub emit
{
	my ($self, $type, $id, $rec) = @_;

	return if $self->point("frame $type", $rec, $id);
	$self->raw($self->{p}->frame($type, $id,
	    $self->{p}->record($type, $rec)));
}

sub emit_many
{
	my ($self, $type, $id, @recs) = @_;
	my $octets = '';

	for my $rec (@recs) {
		my $more = $self->{p}->record($type, $rec);
		if (length($octets) + length($more) > 16000) {
			$self->raw($self->{p}->frame($type, $id, $octets));
			$octets = '';
		}
		$octets .= $more;
	}
	$self->raw($self->{p}->frame($type, $id, $octets)) if $octets ne '';
}

# With so many descriptors, in one piece.
sub pass
{
	my ($self, $octets, $count) = @_;

	open(my $fh, '|-', Imapsync::Proto::program(), 'pass', $fd_channel,
	    $count) or die "worker: $!\n";
	print $fh $octets;
	close $fh or $self->note("pass failed");
}

sub done
{
	my ($self, $id, %rec) = @_;
	my $box = $self->{open} ? $self->open_box : undef;

	$self->emit('ENGINE_DONE', $id, { exists => $box ?
	    scalar @{ $box->{messages} } : 0,
	    modseq => $box ? $box->{modseq} : 0, %rec });
}

# The next whole frame; undef at the end.
sub next_frame
{
	my ($self) = @_;

	for (;;) {
		my $len = $self->{p}->length_of($self->{in});
		return substr $self->{in}, 0, $len, ''
		    if $len && $len <= length $self->{in};
		sysread $self->{channel}, $self->{in}, 65536,
		    length $self->{in} or return;
	}
}

# ---- the attack ----

# Is this the point that it waits for?  True if the rest is not to happen.
sub point
{
	my ($self, $point, @args) = @_;
	my $a = $self->{attack};

	return 0 if $self->{inside} || $a->{on} ne $point ||
	    ($self->{attacked} && !$a->{always});
	return 0 if defined $a->{box} &&
	    ($self->{box_now} // '') ne $a->{box};
	return 0 if $a->{if} && !$a->{if}->($self, @args);
	return 0 if $a->{nth} && ++$self->{nth} < $a->{nth};
	$self->note("attacked") unless $self->{attacked}++;
	local $self->{inside} = 1;
	return $a->{do}->($self, @args);
}

# ---- requests ----

sub take
{
	my ($self, $frame) = @_;
	my ($type, $id, @recs) = $self->{p}->parse_many($frame);

	for my $rec (@recs) {
		my $method = "on_$type";
		$self->{box_now} = $rec->{mailbox} // ($self->{open} ?
		    $self->{open}{name} : undef);
		next if $self->point($type, $rec, $id);
		$self->$method($rec, $id) if $self->can($method);
		$self->point("after $type", $rec, $id);
	}
}

sub box { return $_[0]{store}->box($_[1]) }
sub handle { return $_[0]{open}{handle} }
sub open_box { return $_[0]->box($_[0]{open}{name}) }

sub set_of
{
	my @uids = sort { $a <=> $b } @_;
	my @set;

	for my $uid (@uids) {
		if (@set && $set[-1][1] + 1 == $uid) {
			$set[-1][1] = $uid;
		} else {
			push @set, [$uid, $uid];
		}
	}
	return \@set;
}

sub in_set
{
	my ($set, $uid) = @_;
	return scalar grep { $_->[0] <= $uid && $uid <= $_->[1] } @$set;
}

# The messages of the mailbox opened last that are in the set.
sub messages
{
	my ($self, $set) = @_;
	return grep { in_set($set, $_->{uid}) } @{ $self->open_box->{messages} };
}

# A request about a mailbox: is that the one opened last?
sub opened
{
	my ($self, $m, $id) = @_;

	return 1 if $self->{open} && $self->{open}{handle} == $m->{handle};
	$self->done($id, status => $self->v('ST_UNSENT'), text => 'not open');
	return 0;
}

sub on_NET_PATTERN
{
	my ($self, $m, $id) = @_;
	push @{ $self->{patterns}{$id} }, $m->{pattern};
}

# Its LIST tells STATUS.
sub on_NET_KNOWN { }

sub tell_mailbox
{
	my ($self, $name, $id) = @_;
	my $box = $self->box($name);

	$self->emit('ENGINE_MAILBOX', $id, { delimiter =>
	    ord $self->{store}{sep}, has_status => 1, attrs =>
	    $box->{subscribed} ? $self->v('ATTR_SUBSCRIBED') : 0,
	    uidvalidity => $box->{uidvalidity}, uidnext => $box->{uidnext},
	    messages => scalar @{ $box->{messages} },
	    modseq => $box->{modseq}, name => $name });
}

sub on_NET_LIST
{
	my ($self, $m, $id) = @_;
	my @patterns = @{ delete $self->{patterns}{$id} // [] };
	my $re = join '|', map { my $p = quotemeta "$m->{reference}$_";
	    $p =~ s{\\\*}{.*}g; $p =~ s{\\%}{[^/]*}g; $p } @patterns;

	local $self->{listing} = @patterns > 0;
	if (@patterns) {
		$self->tell_mailbox($_, $id)
		    for grep { /^(?:$re)\z/i } $self->{store}->names;
	} else {
		$self->emit('ENGINE_MAILBOX', $id,
		    { delimiter => ord $self->{store}{sep} });
	}
	$self->done($id);
}

sub on_NET_STATUS
{
	my ($self, $m, $id) = @_;

	return $self->done($id, status => $self->v('ST_NO'),
	    code => $self->v('RC_NONEXISTENT'), text => 'no such mailbox')
	    unless $self->box($m->{mailbox});
	$self->tell_mailbox($m->{mailbox}, $id);
	$self->done($id);
}

sub canonical
{
	my %rank = ('\answered' => 0, '\flagged' => 1, '\deleted' => 2,
	    '\seen' => 3, '\draft' => 4);

	return join ' ', sort { ($rank{lc $a} // 9) <=> ($rank{lc $b} // 9) ||
	    lc $a cmp lc $b } @_;
}

sub tell_flags
{
	my ($self, $m, $full) = @_;

	$self->emit('ENGINE_FLAGS', $self->handle, { uid => $m->{uid},
	    modseq => $m->{modseq}, $full ?
	    (has_flags => $self->v('FLAGS_ALL'),
	    flags => canonical(@{ $m->{flags} })) :
	    (has_flags => $self->v('FLAGS_NONE')) });
}

sub on_NET_OPEN
{
	my ($self, $m, $id) = @_;
	my $box = $self->box($m->{mailbox});

	$self->{open} = undef;
	return $self->done($id, status => $self->v('ST_NO'),
	    code => $self->v('RC_NONEXISTENT'), text => 'no such mailbox')
	    unless $box;
	$self->{open} = { handle => $id, name => $m->{mailbox} };
	$self->tell_changes($m, $box)
	    if $m->{modseq} && $m->{uidvalidity} == $box->{uidvalidity};
	my @known = grep { $_->{uid} <= $m->{n} } @{ $box->{messages} };
	if ($m->{what} & $self->v('OPEN_FULL')) {
		$self->tell_flags($_, 1) for @known;
	}
	$self->tell_uids($id, 'OPEN_NEW', grep { $_->{uid} >= $m->{uidnext} }
	    @{ $box->{messages} }) if $m->{what} & $self->v('OPEN_NEW');
	$self->tell_uids($id, 'OPEN_ALL', @known)
	    if $m->{what} & $self->v('OPEN_ALL');
	$self->emit('ENGINE_OPENED', $id, $self->opened_rec($box));
	$self->done($id);
}

sub opened_rec
{
	my ($self, $box) = @_;

	return { uidvalidity => $box->{uidvalidity},
	    uidnext => $box->{uidnext}, modseq => $box->{modseq},
	    exists => scalar @{ $box->{messages} }, perm_any => 1,
	    permflags => '\Answered \Flagged \Deleted \Seen \Draft' };
}

sub tell_changes
{
	my ($self, $m, $box) = @_;
	my @gone = grep { $_->[1] > $m->{modseq} && $_->[0] <= $m->{n} }
	    @{ $box->{vanished} };

	$self->emit('ENGINE_VANISHED', $self->handle, { earlier => 1,
	    set => set_of(map { $_->[0] } @gone) }) if @gone;
	for my $msg (@{ $box->{messages} }) {
		$self->tell_flags($msg, 1) if $msg->{uid} <= $m->{n} &&
		    $msg->{modseq} > $m->{modseq};
	}
}

sub tell_uids
{
	my ($self, $id, $what, @messages) = @_;

	$self->emit('ENGINE_UIDS', $id, { what => $what ? $self->v($what) : 0,
	    side => $self->side,
	    set => set_of(map { $_->{uid} } @messages) }) if @messages;
}

# The key of imapsync-net/key.c, of what has no odd header.
sub key_of
{
	my ($body) = @_;
	my ($head) = $body =~ /\A(.*?\n)\r?\n/s;
	my $text = '';

	for my $field (($head // $body) =~ /^(\S[^\n]*\n(?:[ \t][^\n]*\n)*)/mg) {
		my ($name, $value) = $field =~ /^([^:\s]+)[ \t]*:(.*)/s or next;
		$name = lc $name;
		next unless $name =~ /^(message-id|date|from|to|subject)$/;
		$value =~ s/[\x00\x80-\xff]/X/g;
		$value =~ s/[ \t\r\n]+/ /g;
		$value =~ s/^ | $//g;
		$text .= "$name:$value\n";
	}
	return unpack 'Q>', Digest::SHA::sha256($text);
}

sub date_of
{
	my ($date) = @_;
	my ($d, $m, $y, $hh, $mm, $ss, $sign, $zh, $zm) =
	    $date =~ /^([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([-+])(\d\d)(\d\d)$/;
	my $t = Time::Local::timegm($ss, $mm, $hh, $d, $month{$m}, $y);

	return $t - ($sign eq '-' ? -1 : 1) * ($zh * 60 + $zm) * 60;
}

sub meta_rec
{
	my ($self, $m, $brief) = @_;

	return { uid => $m->{uid}, size => length $m->{body},
	    $brief ? () : (key => key_of($m->{body}),
	    date => date_of($m->{date}), msgid => 1,
	    flags => canonical(@{ $m->{flags} })) };
}

sub on_NET_META
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	$self->emit('ENGINE_META', $id, $self->meta_rec($_, $m->{brief}))
	    for $self->messages($m->{set});
	$self->done($id);
}

sub on_NET_SEARCH
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	$self->tell_uids($id, undef, $self->messages($m->{set}));
	$self->done($id);
}

sub on_NET_STORE
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	for my $msg ($self->messages($m->{set})) {
		my %flag = map { $_ => 1 } @{ $msg->{flags} };
		my @flags = split ' ', $m->{flags};
		if ($m->{add}) {
			@flag{@flags} = (1) x @flags;
		} else {
			delete @flag{@flags};
		}
		$self->{store}->set_flags($self->{open}{name}, $msg->{uid},
		    keys %flag);
		$self->tell_flags($msg, 0);
	}
	$self->save;
	$self->done($id);
}

sub on_NET_EXPUNGE
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	my @gone = map { $_->{uid} } $self->messages($m->{set});
	$self->{store}->remove($self->{open}{name}, @gone);
	$self->save;
	$self->emit('ENGINE_VANISHED', $self->handle,
	    { earlier => 0, set => set_of(@gone) }) if @gone;
	$self->done($id);
}

sub on_NET_MOVE
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	my @gone;
	for my $msg ($self->messages($m->{set})) {
		my $new = $self->{store}->deliver($m->{mailbox}, $msg->{body},
		    flags => $msg->{flags}, date => $msg->{date});
		$self->emit('ENGINE_COPIED', $id, { uid => $msg->{uid},
		    newuid => $new });
		push @gone, $msg->{uid};
	}
	$self->{store}->remove($self->{open}{name}, @gone) unless $m->{copy};
	$self->save;
	$self->emit('ENGINE_VANISHED', $self->handle,
	    { earlier => 0, set => set_of(@gone) }) if @gone && !$m->{copy};
	$self->done($id);
}

sub on_NET_NAME
{
	my ($self, $m, $id) = @_;
	my $box = $self->box($m->{mailbox});
	my $op = $m->{op};

	if ($op == $self->v('NAME_CREATE')) {
		$self->{store}->create($m->{mailbox}) unless $box;
	} elsif ($op == $self->v('NAME_SUBSCRIBE') && $box) {
		$box->{subscribed} = 1;
	} elsif ($op == $self->v('NAME_UNSUBSCRIBE') && $box) {
		$box->{subscribed} = 0;
	}
	$self->save;
	$self->done($id);
}

sub on_NET_WATCH { my ($self, $m, $id) = @_; $self->{watch} = $id }

sub on_NET_UNWATCH
{
	my ($self) = @_;
	$self->done($self->{watch});
}

sub on_NET_STATS
{
	my ($self, $m, $id) = @_;

	$self->emit('ENGINE_STATS', $id, { turns => 3, sent => 1000,
	    received => 1000 });
	$self->done($id);
}

sub on_NET_LOGOUT { $_[0]->quit(0) }

# ---- the bridge (imapsync-net/copy.h) ----

sub bridge_put
{
	my ($self, $octets) = @_;

	for (my $off = 0; $off < length $octets; ) {
		my $n = syswrite $self->{bridge}, $octets,
		    length($octets) - $off, $off;
		# The other one is gone: the engine knows what follows.
		$self->silence unless defined $n || $!{EINTR};
		$off += $n // 0;
	}
}

sub bridge_head
{
	my ($self, $r) = @_;

	return pack('C N N Q> C', $r->{type} // 1, $r->{transfer}, $r->{uid},
	    $r->{len} // length $r->{body}, $r->{has_date} //
	    (defined $r->{date} ? 1 : 0)) . ($r->{date} // '') .
	    pack('n', $r->{flags_len} // length $r->{flags}) . $r->{flags};
}

sub bridge_record
{
	my ($self, $r) = @_;

	return if $self->point('bridge', $r);
	$self->bridge_put($self->bridge_head($r) . $r->{body} .
	    ($r->{trailer} // pack 'C Q>', $r->{status} // 1,
	    key_of($r->{body})));
}

sub bridge_end
{
	my ($self, $transfer, $status) = @_;

	return if $self->point('bridge end', $transfer);
	$self->bridge_put(pack 'C N C', 2, $transfer, $status // 1);
}

sub message_rec
{
	my ($self, $m, $msg) = @_;

	return { transfer => $m->{transfer}, uid => $msg->{uid},
	    date => $msg->{date}, flags => canonical(@{ $msg->{flags} }),
	    body => $msg->{body} };
}

sub on_NET_SEND
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	$self->bridge_record($self->message_rec($m, $_))
	    for $self->messages($m->{set});
	$self->bridge_end($m->{transfer}) if $m->{last};
	$self->done($id);
}

sub bridge_get
{
	my ($self, $n) = @_;

	while (length $self->{bridge_in} < $n) {
		# Read to its end: the channel tells what that means.
		sysread $self->{bridge}, $self->{bridge_in}, 65536,
		    length $self->{bridge_in} or $self->silence;
	}
	return substr $self->{bridge_in}, 0, $n, '';
}

sub on_NET_RECV
{
	my ($self, $m, $id) = @_;

	$self->opened($m, $id) or return;
	for (;;) {
		my ($type, $transfer) = unpack 'C N', $self->bridge_get(5);
		if ($type == 2) {
			$self->bridge_get(1);
			last;
		}
		$self->recv_one($m, $id);
	}
	$self->save;
	$self->done($id);
}

sub recv_one
{
	my ($self, $m, $id) = @_;
	my ($uid, $len, $dated) = unpack 'N Q> C', $self->bridge_get(13);
	my $date = $dated ? $self->bridge_get(26) :
	    ' 1-Feb-2024 10:00:00 +0000';
	my $flags = $self->bridge_get(unpack 'n', $self->bridge_get(2));
	my $body = $self->bridge_get($len);

	$self->bridge_get(9);
	my $new = $self->{store}->deliver($m->{mailbox}, $body, date => $date,
	    flags => [split ' ', $flags]);
	$self->emit('ENGINE_COPIED', $id, { uid => $uid, newuid => $new,
	    size => length $body, key => key_of($body), flags => $flags });
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The commands of the model server on mailboxes and messages (RFC 3501, 3502,
# 4315, 4731, 5258, 5819, 6851, 7162, 8474).  Model.pm says how to use it.
package Imapsync::Commands;

use strict;
use warnings;
use Imapsync::Wire;

*make_set = \&Imapsync::Wire::make_set;

sub hook
{
	my ($self, $name, @args) = @_;
	my $hook = $self->{hooks}{$name};

	return $hook ? $hook->($self, @args) : undef;
}

# ---- names ----

# Does the name match reference and pattern?
sub matches
{
	my ($self, $name, $pattern) = @_;
	my $sep = quotemeta $self->{store}{sep};
	my $re = quotemeta $pattern;

	$re =~ s/\\\*/.*/g;
	$re =~ s/\\%/[^$sep]*/g;
	return $name eq 'INBOX' ? $name =~ /^$re$/si : $name =~ /^$re$/s;
}

sub status_line
{
	my ($self, $name, @items) = @_;
	my $box = $self->{store}->box($name);
	my $unseen = grep { !grep { lc $_ eq '\seen' } @{ $_->{flags} } }
	    @{ $box->{messages} };
	my $size = 0;
	$size += length $_->{body} for @{ $box->{messages} };
	my $info = { messages => scalar @{ $box->{messages} },
	    uidnext => $box->{uidnext}, uidvalidity => $box->{uidvalidity},
	    highestmodseq => $box->{modseq}, recent => 0, size => $size,
	    unseen => $unseen, mailboxid => "($box->{mailboxid})" };

	$self->hook('status', $name, $info);
	my @told = map { defined $info->{lc $_} ? (uc $_, $info->{lc $_}) :
	    () } @items;
	return 'STATUS ' . Imapsync::Wire::astring($name) . " (@told)";
}

sub list_one
{
	my ($self, $cmd, $name, $return, $status) = @_;
	my $box = $self->{store}->box($name);
	my @attrs = split ' ', $box->{attrs};

	@attrs = grep { !/^\\(all|archive|drafts|flagged|junk|sent|trash)$/i }
	    @attrs if $cmd eq 'LIST' && !$return->{'SPECIAL-USE'};
	push @attrs, '\Subscribed'
	    if $return->{SUBSCRIBED} && $box->{subscribed};
	my $info = { name => $name, attrs => "@attrs" };
	$self->hook('list', $name, $info);
	return unless defined $info->{name};
	$self->untagged("$cmd ($info->{attrs}) \"$self->{store}{sep}\" " .
	    Imapsync::Wire::astring($info->{name}));
	$self->untagged($self->status_line($name, @$status))
	    if $status && $info->{attrs} !~ /\\no(select|nexistent)/i;
}

# LIST [(selectors)] reference pattern|(patterns) [RETURN (options)]
sub cmd_list
{
	my ($self, $tag, @args) = @_;
	my %select = map { uc $_ => 1 } ref $args[0] ? @{ shift @args } : ();
	my ($reference, $patterns, undef, $options) = @args;
	my (%return, $status);

	return $self->tagged($tag, 'BAD', 'list') unless defined $patterns;
	my @options = @{ $options // [] };
	while (defined(my $option = shift @options)) {
		if (uc $option eq 'STATUS') {
			$status = shift @options;
		} else {
			$return{uc $option} = 1;
		}
	}
	my @patterns = ref $patterns ? @$patterns : $patterns;
	if (@patterns == 1 && $patterns[0] eq '') {
		$self->untagged("LIST (\\Noselect) \"$self->{store}{sep}\" " .
		    '""');
		@patterns = ();
	}
	$return{SUBSCRIBED} = 1 if $select{SUBSCRIBED};
	for my $name ($self->{store}->names) {
		next unless grep { $self->matches($name, "$reference$_") }
		    @patterns;
		next if $select{SUBSCRIBED} &&
		    !$self->{store}->box($name)->{subscribed};
		$self->list_one('LIST', $name, \%return, $status);
	}
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_lsub
{
	my ($self, $tag, $reference, $pattern) = @_;

	for my $name ($self->{store}->names) {
		$self->list_one('LSUB', $name, {}, undef)
		    if $self->matches($name, "$reference$pattern") &&
		    $self->{store}->box($name)->{subscribed};
	}
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_status
{
	my ($self, $tag, $name, $items) = @_;

	return $self->tagged($tag, 'NO', '[NONEXISTENT] no such mailbox')
	    unless $self->{store}->box($name);
	$self->untagged($self->status_line($name, @$items));
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_create
{
	my ($self, $tag, $name) = @_;

	return $self->tagged($tag, 'NO', '[ALREADYEXISTS] it exists')
	    if $self->{store}->box($name);
	my $box = $self->{store}->create($name);
	$self->tagged($tag, 'OK', $self->has('OBJECTID') ?
	    "[MAILBOXID ($box->{mailboxid})] done" : 'done');
}

sub cmd_delete
{
	my ($self, $tag, $name) = @_;

	return $self->tagged($tag, 'NO', '[NONEXISTENT] no such mailbox')
	    unless delete $self->{store}{boxes}{$name};
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_rename
{
	my ($self, $tag, $old, $new) = @_;
	my $boxes = $self->{store}{boxes};

	return $self->tagged($tag, 'NO', 'no')
	    if !$boxes->{$old} || $boxes->{$new};
	for my $name (keys %$boxes) {
		my $to = $name;
		next unless $to =~ s/^\Q$old\E(?=\z|\Q$self->{store}{sep}\E)
		    /$new/x;
		$boxes->{$to} = delete $boxes->{$name};
	}
	$self->tagged($tag, 'OK', 'done');
}

sub subscription
{
	my ($self, $tag, $name, $on) = @_;
	my $box = $self->{store}->box($name);

	return $self->tagged($tag, 'NO', '[NONEXISTENT] no such mailbox')
	    unless $box;
	$box->{subscribed} = $on;
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_subscribe { my ($self, @a) = @_; $self->subscription(@a[0, 1], 1) }
sub cmd_unsubscribe { my ($self, @a) = @_; $self->subscription(@a[0, 1], 0) }

# ---- opening ----

sub cmd_select { my ($self, @a) = @_; $self->open_box(0, @a) }
sub cmd_examine { my ($self, @a) = @_; $self->open_box(1, @a) }

sub open_box
{
	my ($self, $readonly, $tag, $name, $params) = @_;
	my %param = map { ref $_ ? () : (uc $_ => 1) } @{ $params // [] };
	my ($qresync) = grep { ref $_ } @{ $params // [] };

	$self->untagged('OK [CLOSED] closed')
	    if $self->{box} && $self->{qresync};
	$self->{box} = undef;
	$self->{state} = 'a';
	my $box = $self->{store}->box($name);
	return $self->tagged($tag, 'NO', '[NONEXISTENT] no such mailbox')
	    if !$box || $box->{attrs} =~ /\\no(select|nexistent)/i;
	return $self->tagged($tag, 'BAD', 'QRESYNC is not enabled')
	    if $param{QRESYNC} && !$self->{qresync};
	$self->{condstore} = 1 if $param{CONDSTORE};
	my $info = $self->select_info($box, $qresync);
	return $self->tagged($tag, 'BAD', 'known UIDs')
	    if $info->{bad};
	$self->hook('select', $name, $info);
	$self->tell_select($info);
	$self->{box} = $box;
	$self->{box_name} = $name;
	$self->{readonly} = $readonly;
	$self->{state} = 's';
	$self->{view} = { map { $_->{uid} => $_->{modseq} }
	    @{ $box->{messages} } };
	$self->tagged($tag, 'OK', '[READ-' . ($readonly ? 'ONLY' : 'WRITE') .
	    '] opened');
}

sub select_info
{
	my ($self, $box, $qresync) = @_;
	my $info = { uidvalidity => $box->{uidvalidity},
	    uidnext => $box->{uidnext}, modseq => $box->{modseq},
	    exists => scalar @{ $box->{messages} },
	    mailboxid => $self->has('OBJECTID') ? $box->{mailboxid} : undef,
	    permanent => $box->{permanent} //
	    '\Answered \Flagged \Deleted \Seen \Draft \*',
	    messages => $box->{messages}, vanished => [], changed => [] };

	return $info unless $qresync;
	my ($validity, $modseq, $known) = @$qresync;
	$info->{bad} = 1 if defined $known && $known !~
	    /^[1-9]\d*(:[1-9]\d*)?(,[1-9]\d*(:[1-9]\d*)?)*$/;
	return $info if $info->{bad} || $validity != $box->{uidvalidity};
	my @known = defined $known ? Imapsync::Wire::uid_set($known) :
	    ([1, 4294967295]);
	$info->{vanished} = [map { $_->[0] } grep { $_->[1] > $modseq &&
	    Imapsync::Wire::in_set($_->[0], @known) } @{ $box->{vanished} }];
	$info->{changed} = [grep { $_->{modseq} > $modseq &&
	    Imapsync::Wire::in_set($_->{uid}, @known) }
	    @{ $box->{messages} }];
	return $info;
}

sub tell_select
{
	my ($self, $info) = @_;
	my %number;

	$self->untagged('FLAGS (\Answered \Flagged \Deleted \Seen \Draft)');
	$self->untagged("OK [PERMANENTFLAGS ($info->{permanent})] flags");
	$self->untagged("$info->{exists} EXISTS");
	$self->untagged('0 RECENT');
	$self->untagged("OK [UIDVALIDITY $info->{uidvalidity}] valid");
	$self->untagged("OK [UIDNEXT $info->{uidnext}] next")
	    if $info->{uidnext};
	if ($self->has('CONDSTORE')) {
		$self->untagged($info->{modseq} ?
		    "OK [HIGHESTMODSEQ $info->{modseq}] highest" :
		    'OK [NOMODSEQ] no modseqs');
	}
	$self->untagged("OK [MAILBOXID ($info->{mailboxid})] id")
	    if defined $info->{mailboxid};
	my @gone = @{ $info->{vanished} };
	$self->untagged('VANISHED (EARLIER) ' . make_set(@gone)) if @gone;
	my $i = 0;
	$number{$_->{uid}} = ++$i for @{ $info->{messages} };
	for my $m (@{ $info->{changed} }) {
		my $n = $number{$m->{uid}} // 1;
		$self->untagged("$n FETCH (UID $m->{uid} FLAGS " .
		    "(@{ $m->{flags} }) MODSEQ ($m->{modseq}))");
	}
}

sub cmd_unselect
{
	my ($self, $tag) = @_;

	$self->{box} = undef;
	$self->{state} = 'a';
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_close
{
	my ($self, $tag) = @_;

	$self->remove_deleted(sub { 1 }) unless $self->{readonly};
	$self->cmd_unselect($tag);
}

# Tell what the selected mailbox has that the client does not know.
sub announce
{
	my ($self) = @_;
	my ($box, $view) = @$self{qw(box view)};
	my %here = map { $_->{uid} => 1 } @{ $box->{messages} };
	my @gone = sort { $a <=> $b } grep { !$here{$_} } keys %$view;
	my @order = sort { $a <=> $b } keys %$view;

	if (@gone && $self->{qresync}) {
		$self->untagged('VANISHED ' . make_set(@gone));
	} elsif (@gone) {
		my $i = 0;
		my %at = map { $_ => ++$i } @order;
		$self->untagged("$at{$_} EXPUNGE") for reverse @gone;
	}
	delete @$view{@gone};
	my ($i, $new) = (0, 0);
	for my $m (@{ $box->{messages} }) {
		my $known = $view->{$m->{uid}};
		$i++;
		$view->{$m->{uid}} = $m->{modseq};
		if (!defined $known) {
			$new = 1;
		} elsif ($known != $m->{modseq}) {
			$self->untagged("$i FETCH (UID $m->{uid} FLAGS " .
			    "(@{ $m->{flags} })" . ($self->{condstore} ?
			    " MODSEQ ($m->{modseq}))" : ')'));
		}
	}
	$self->untagged(scalar(@{ $box->{messages} }) . ' EXISTS') if $new;
}

# ---- messages of the selected mailbox ----

# Those whose UID is in the set, with their numbers: ([n, message], ...).
sub chosen
{
	my ($self, $set) = @_;
	my $all = $self->{box}{messages};
	my @ranges = Imapsync::Wire::uid_set($set,
	    @$all ? $all->[-1]{uid} : 0);
	my $i = 0;

	return grep { Imapsync::Wire::in_set($_->[1]{uid}, @ranges) }
	    map { [++$i, $_] } @$all;
}

sub header_fields
{
	my ($body, $names) = @_;
	my %want = map { lc $_ => 1 } split ' ', $names;
	my ($header) = $body =~ /\A(.*?\r\n)\r\n/s;
	my ($out, $take) = ('', 0);

	for my $line (split /(?<=\n)/, $header // $body) {
		$take = $want{lc $1} if $line =~ /^([^\s:]+)[ \t]*:/;
		$out .= $line if $take;
	}
	return "$out\r\n";
}

sub fetch_item
{
	my ($m, $item) = @_;
	my $name = uc $item;

	return "UID $m->{uid}" if $name eq 'UID';
	return "FLAGS (@{ $m->{flags} })" if $name eq 'FLAGS';
	return "MODSEQ ($m->{modseq})" if $name eq 'MODSEQ';
	return 'RFC822.SIZE ' . length $m->{body} if $name eq 'RFC822.SIZE';
	return "INTERNALDATE \"$m->{date}\"" if $name eq 'INTERNALDATE';
	if ($name =~ /^BODY(?:\.PEEK)?\[(?:HEADER\.FIELDS \((.*)\))?\]$/) {
		my $data = defined $1 ? header_fields($m->{body}, $1) :
		    $m->{body};
		$item =~ s/\.PEEK//i;
		return "$item {" . length($data) . "}\r\n$data";
	}
	return;
}

sub cmd_uid_fetch
{
	my ($self, $tag, $set, $items, $modifiers) = @_;
	my @items = ref $items ? @$items : $items;
	my %mod = ref $modifiers ? map({ uc $_ } grep { lc $_ ne 'vanished' }
	    @$modifiers) : ();
	my @list = $self->chosen($set);

	unshift @items, 'UID' unless grep { uc $_ eq 'UID' } @items;
	@list = grep { $_->[1]{modseq} > $mod{CHANGEDSINCE} } @list
	    if $mod{CHANGEDSINCE};
	if (ref $modifiers && grep { uc $_ eq 'VANISHED' } @$modifiers) {
		my @ranges = Imapsync::Wire::uid_set($set, 4294967295);
		my @gone = map { $_->[0] } grep {
		    $_->[1] > $mod{CHANGEDSINCE} &&
		    Imapsync::Wire::in_set($_->[0], @ranges) }
		    @{ $self->{box}{vanished} };
		$self->untagged('VANISHED (EARLIER) ' . make_set(@gone))
		    if @gone;
	}
	my $messages = [map { { %{ $_->[1] }, n => $_->[0] } } @list];
	$self->hook('fetch', $self->{box_name}, $messages);
	for my $m (@$messages) {
		my @told = map { fetch_item($m, $_) } @items;
		$self->untagged("$m->{n} FETCH (@told)");
	}
	$self->tagged($tag, 'OK', 'done');
}

# UID STORE set [(UNCHANGEDSINCE n)] [+-]FLAGS[.SILENT] (flags)
sub cmd_uid_store
{
	my ($self, $tag, $set, @args) = @_;
	my $unchanged = ref $args[0] ? (shift @args)->[1] : undef;
	my ($what, @flags) = @args;
	my @modified;

	@flags = @{ $flags[0] } if ref $flags[0];
	my ($sign, $silent) = ($what // '') =~ /^([-+]?)FLAGS(\.SILENT)?$/i
	    or return $self->tagged($tag, 'BAD', 'store');
	return $self->tagged($tag, 'NO', '[CANNOT] read-only')
	    if $self->{readonly};
	my $modseq = $self->{box}{modseq} + 1;
	for my $pair ($self->chosen($set)) {
		my ($n, $m) = @$pair;
		if (defined $unchanged && $m->{modseq} > $unchanged) {
			push @modified, $m->{uid};
			next;
		}
		$self->store_one($n, $m, $modseq, $sign, $silent, @flags);
	}
	my $code = @modified ? '[MODIFIED ' . make_set(@modified) . '] ' :
	    $self->{condstore} ? "[HIGHESTMODSEQ $self->{box}{modseq}] " : '';
	$self->tagged($tag, 'OK', $code . 'done');
}

sub store_one
{
	my ($self, $n, $m, $modseq, $sign, $silent, @flags) = @_;
	my %new = map { lc $_ => $_ } @{ $m->{flags} };
	my $before = join ' ', sort keys %new;

	if ($sign eq '') {
		%new = map { lc $_ => $_ } @flags;
	} elsif ($sign eq '+') {
		$new{lc $_} //= $_ for @flags;
	} else {
		delete $new{lc $_} for @flags;
	}
	return if $before eq join ' ', sort keys %new;
	$m->{flags} = [map { $new{$_} } sort keys %new];
	$m->{modseq} = $self->{box}{modseq} = $modseq;
	$self->{view}{$m->{uid}} = $modseq;
	my @told = ("UID $m->{uid}");
	push @told, "FLAGS (@{ $m->{flags} })" if !$silent;
	push @told, "MODSEQ ($modseq)" if $self->{condstore};
	$self->untagged("$n FETCH (@told)") if @told > 1;
}

# Expunge the \Deleted ones that the sub agrees to.
sub remove_deleted
{
	my ($self, $sub) = @_;
	my @doomed = map { $_->{uid} } grep { my $m = $_;
	    grep({ lc $_ eq '\deleted' } @{ $m->{flags} }) &&
	    $sub->($m->{uid}) } @{ $self->{box}{messages} };

	$self->{store}->remove($self->{box_name}, @doomed);
}

sub expunged
{
	my ($self, $tag, $sub) = @_;

	return $self->tagged($tag, 'NO', '[CANNOT] read-only')
	    if $self->{readonly};
	$self->remove_deleted($sub);
	my $code = $self->{condstore} ?
	    "[HIGHESTMODSEQ $self->{box}{modseq}] " : '';
	$self->tagged($tag, 'OK', $code . 'done');
}

sub cmd_expunge { my ($self, $tag) = @_; $self->expunged($tag, sub { 1 }) }

sub cmd_uid_expunge
{
	my ($self, $tag, $set) = @_;
	my %in = map { $_->[1]{uid} => 1 } $self->chosen($set);

	$self->expunged($tag, sub { $in{$_[0]} });
}

# UID SEARCH [RETURN (...)] with UID set, ALL, DELETED, UNDELETED, set numbers.
sub cmd_uid_search
{
	my ($self, $tag, @args) = @_;
	my $return;

	if (uc $args[0] eq 'RETURN') {
		$return = { map { uc $_ => 1 } @{ $args[1] } };
		splice @args, 0, 2;
	}
	my @all = map { $_->{uid} } @{ $self->{box}{messages} };
	my $uids = [@all];
	while (defined(my $key = shift @args)) {
		$key = uc $key;
		if ($key eq 'UID') {
			my %in = map { $_->[1]{uid} => 1 }
			    $self->chosen(shift @args);
			$uids = [grep { $in{$_} } @$uids];
		} elsif ($key =~ /^(UN)?DELETED$/) {
			my %deleted = map { $_->{uid} => 1 } grep {
			    grep { lc $_ eq '\deleted' } @{ $_->{flags} } }
			    @{ $self->{box}{messages} };
			$uids = [grep { !$deleted{$_} == !!$1 } @$uids];
		} elsif ($key ne 'ALL') {
			$self->note("search key $key");
			return $self->tagged($tag, 'BAD', 'search');
		}
	}
	$self->hook('search', $self->{box_name}, $uids);
	if (!$return) {
		$self->untagged(join ' ', 'SEARCH', @$uids);
		return $self->tagged($tag, 'OK', 'done');
	}
	$return->{ALL} = 1 unless %$return;
	my $text = "ESEARCH (TAG \"$tag\") UID";
	$text .= " MIN $uids->[0]" if $return->{MIN} && @$uids;
	$text .= " MAX $uids->[-1]" if $return->{MAX} && @$uids;
	$text .= ' ALL ' . make_set(@$uids) if $return->{ALL} && @$uids;
	$text .= ' COUNT ' . @$uids if $return->{COUNT};
	$self->untagged($text);
	$self->tagged($tag, 'OK', 'done');
}

# ---- messages that arrive ----

# APPEND mailbox ([(flags)] [date] literal)...
sub cmd_append
{
	my ($self, $tag, $name, @args) = @_;
	my (@messages, %m, @uids);

	$name = $$name if ref $name eq 'SCALAR';
	for my $arg (@args) {
		if (ref $arg eq 'ARRAY') {
			$m{flags} = $arg;
		} elsif (ref $arg eq 'SCALAR') {
			push @messages, { %m, body => $$arg };
			%m = ();
		} else {
			$m{date} = $arg;
		}
	}
	return $self->tagged($tag, 'BAD', 'append')
	    if !@messages || %m || (@messages > 1 &&
	    !$self->has('MULTIAPPEND'));
	my $box = $self->{store}->box($name);
	return $self->tagged($tag, 'NO', '[TRYCREATE] no such mailbox')
	    unless $box;
	for my $i (0 .. $#messages) {
		my $no = $self->hook('append', $name, $messages[$i], $i)
		    // next;
		my ($status, $text) = split / /, $no, 2;
		return $self->tagged($tag, $status, $text);
	}
	for my $m (@messages) {
		my %o = (flags => $m->{flags} // []);
		$o{date} = $m->{date} if defined $m->{date};
		push @uids, $self->{store}->deliver($name, $m->{body}, %o);
	}
	$self->tagged($tag, 'OK', ($self->has('UIDPLUS') ? '[APPENDUID ' .
	    "$box->{uidvalidity} " . make_set(@uids) . '] ' : '') . 'done');
}

sub copy_to
{
	my ($self, $set, $to) = @_;
	my (@from, @new);

	for my $pair ($self->chosen($set)) {
		my $m = $pair->[1];
		push @from, $m->{uid};
		push @new, $self->{store}->deliver($to, $m->{body},
		    flags => $m->{flags}, date => $m->{date});
	}
	my $validity = $self->{store}->box($to)->{uidvalidity};
	return (\@from, @from ? "[COPYUID $validity " . make_set(@from) .
	    ' ' . make_set(@new) . '] ' : '');
}

sub cmd_uid_copy
{
	my ($self, $tag, $set, $to) = @_;

	return $self->tagged($tag, 'NO', '[TRYCREATE] no such mailbox')
	    unless $self->{store}->box($to);
	my (undef, $code) = $self->copy_to($set, $to);
	$self->tagged($tag, 'OK', $code . 'done');
}

sub cmd_uid_move
{
	my ($self, $tag, $set, $to) = @_;

	return $self->tagged($tag, 'NO', '[TRYCREATE] no such mailbox')
	    unless $self->{store}->box($to);
	my ($from, $code) = $self->copy_to($set, $to);
	$self->untagged("OK ${code}moved") if @$from;
	$self->{store}->remove($self->{box_name}, @$from);
	$self->tagged($tag, 'OK', $self->{condstore} ?
	    "[HIGHESTMODSEQ $self->{box}{modseq}] done" : 'done');
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What is on a server, by content, and whether two servers hold the same.
#
#	use Imapsync::Compare qw(snapshot same_content);
#	same_content($local, $remote, 'after the first run');	# Test::More
#	my $snap = snapshot($server);
#	my @lines = differences($snap_a, $snap_b);	# none: equal
#	is(total($snap), 20, 'twenty messages');	# in all mailboxes
#	is(total($snap, 'INBOX'), 10, 'ten of them in INBOX');
#	my @lines = everything($server);	# what no run may change by itself
#
# A snapshot maps neutral names (NAME_SEP shown as '|') to
# { selectable, subscribed, messages => { "sha256 date [flags]" => how many } }.
# The arguments are servers (Server.pm, Model.pm): whatever has client() and
# reference().  INTERNALDATE is compared as an instant, since a server prints it
# in its own zone; flags without \Recent, without regard to case and order.
# Options: ignore => qr/neutral name/, subscriptions => 0, body => a sub that
# takes from a body what the one server or the other changes.
package Imapsync::Compare;

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use Test::More;
use Time::Local qw(timegm);

our @EXPORT_OK = qw(snapshot differences same_content total everything
    neutral instant flag_string);

my %month;
@month{qw(jan feb mar apr may jun jul aug sep oct nov dec)} = 0 .. 11;

# " 1-Feb-2024 10:00:00 +0100" as seconds since 1970.
sub instant
{
	my ($date) = @_;

	return 'none' unless defined $date;
	my ($d, $m, $y, $h, $min, $s, $sign, $zh, $zm) = $date =~
	    /^ ?(\d+)-(\w+)-(\d+) (\d+):(\d+):(\d+) ([-+])(\d\d)(\d\d)$/
	    or return "odd: $date";
	my $zone = ($zh * 60 + $zm) * 60;
	return timegm($s, $min, $h, $d, $month{lc $m}, $y) -
	    ($sign eq '-' ? -$zone : $zone);
}

sub flag_string
{
	my ($flags) = @_;

	return join ' ', sort map { lc } grep { lc $_ ne '\recent' } @$flags;
}

# The neutral name: without the reference, '|' for the delimiter.  undef if the
# mailbox is not below the reference.
sub neutral
{
	my ($name, $delim, $reference) = @_;

	$reference //= '';
	$name = 'INBOX' if uc $name eq 'INBOX';
	if ($name eq 'INBOX' && $reference ne '') {
		return unless defined $delim &&
		    uc $reference eq "INBOX$delim";
		return 'INBOX';
	}
	return unless substr($name, 0, length $reference) eq $reference;
	$name = substr($name, length $reference);
	return if $name eq '';
	$name =~ s/\Q$delim\E/|/g if defined $delim && $delim ne '';
	return $name;
}

sub snapshot
{
	my ($server, %o) = @_;
	my $client = $server->client;
	my %snap;

	for my $box ($client->list) {
		my $name = neutral($box->{name}, $box->{delim},
		    $server->reference) // next;
		next if $o{ignore} && $name =~ $o{ignore};
		my $selectable = !$box->{attrs}{'\noselect'} &&
		    !$box->{attrs}{'\nonexistent'};
		my $snap = $snap{$name} = { selectable => $selectable,
		    subscribed => $box->{subscribed} ? 1 : 0,
		    messages => {} };
		# Dovecot lists a deleted parent as if it were there.
		if ($selectable && $client->cmd('STATUS', \$box->{name},
		    '(MESSAGES)')->{status} ne 'OK') {
			$selectable = $snap->{selectable} = 0;
		}
		next unless $selectable;
		$client->fetch_each($box->{name},
		    'UID FLAGS INTERNALDATE BODY.PEEK[]', sub {
			my ($m) = @_;
			my $body = $m->{body} // '';
			$body = $o{body}->($body) if $o{body};
			my $line = sha256_hex($body) . ' ' .
			    instant($m->{date}) . ' [' .
			    flag_string($m->{flags}) . ']';
			$snap->{messages}{$line}++;
		});
	}
	$client->close;
	return \%snap;
}

# Readable lines, none if both are the same.
sub differences
{
	my ($left, $right, %o) = @_;
	my @lines;
	my %names = (%$left, %$right);

	for my $name (sort keys %names) {
		my ($l, $r) = ($left->{$name}, $right->{$name});
		if (!$l || !$r) {
			my $snap = $l // $r;
			# A name that holds nothing need not be on both.
			next unless $snap->{selectable};
			push @lines, "$name: only on the " .
			    ($l ? 'first' : 'second');
			next;
		}
		push @lines, "$name: selectable on one only"
		    if !$l->{selectable} != !$r->{selectable};
		if (($o{subscriptions} // 1) &&
		    $l->{subscribed} != $r->{subscribed}) {
			push @lines, "$name: subscribed on the " .
			    ($l->{subscribed} ? 'first' : 'second') . ' only';
		}
		push @lines, map { "$name: $_" }
		    message_differences($l->{messages}, $r->{messages});
	}
	return @lines;
}

sub message_differences
{
	my ($left, $right) = @_;
	my @lines;
	my %all = (%$left, %$right);

	for my $key (sort keys %all) {
		my ($l, $r) = ($left->{$key} // 0, $right->{$key} // 0);
		next if $l == $r;
		my ($sha, $rest) = $key =~ /^(\S+) (.*)/;
		push @lines, substr($sha, 0, 12) . " $rest: $l and $r times";
	}
	return @lines;
}

# A test: both servers hold the same.  Returns the first one's snapshot.
sub same_content
{
	my ($left, $right, $what, %o) = @_;
	my $snap = snapshot($left, %o);
	my @lines = differences($snap, snapshot($right, %o), %o);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $more = @lines - 40;
	@lines = (@lines[0 .. 39], "... and $more more") if $more > 0;
	ok(!@lines, $what // 'both servers hold the same')
	    or diag(map { "  $_\n" } @lines);
	return $snap;
}

# The number of messages in all mailboxes of a snapshot, or in the named ones.
sub total
{
	my ($snap, @names) = @_;
	my $n = 0;

	for my $name (@names ? @names : keys %$snap) {
		$n += $_ for values %{ $snap->{$name}{messages} };
	}
	return $n;
}

# All that can be asked for without changing it: a line a mailbox (subscribed,
# MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ), behind it a line a
# message (UID and flags).  With numbers => 0 the messages alone.
sub everything
{
	my ($server, %o) = @_;
	my $c = $server->client;
	my @all;

	for my $box (sort { $a->{name} cmp $b->{name} } $c->list) {
		my $name = $box->{name};
		if ($o{numbers} // 1) {
			my $s = $c->status($name, 'MESSAGES UIDNEXT ' .
			    'UIDVALIDITY HIGHESTMODSEQ RECENT');
			push @all, join ' ', $name, $box->{subscribed} // 0,
			    map { "$_ $s->{$_}" } sort keys %$s;
		}
		$c->fetch_each($name, 'UID FLAGS', sub {
			push @all, join ' ', $name, $_[0]{uid},
			    sort @{ $_[0]{flags} };
		});
	}
	$c->close;
	return @all;
}

1;

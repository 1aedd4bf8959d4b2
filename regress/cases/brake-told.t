#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch and a server that tells of changes which are none: in IDLE and after
# NOTIFY it says what SELECT and LIST do not confirm.  What is really new arrives
# all the same.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Brake;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $brake = Imapsync::Brake->new;
my $number = 0;

# Lines that a server sends whenever it is idled on (or told to NOTIFY), at once
# and then with every tick.
sub lies
{
	my ($lines) = @_;
	my $n = 0;
	my $tell = sub {
		my ($t) = @_;
		$t->put("* $_\r\n") for $lines->($n++);
	};

	return (command => sub {
		my ($t, $line) = @_;
		$t->{idle} = 1 if $line =~ /^\S+ IDLE/;
		$t->{idle} = 0 if $line =~ /^DONE/;
		$t->{notify} = $line =~ /^\S+ NOTIFY SET STATUS/ ? 1 : 0
		    if $line =~ / NOTIFY /;
		return;
	}, answer => sub {
		my ($t, $line) = @_;
		my $now = $line =~ /^\+/ && $t->{idle} ||
		    $line =~ /^\S+ OK NOTIFY/ && $t->{notify};
		return $line unless $now;
		return ($line, map { "* $_" } $lines->($n++));
	}, every => 0.1, tick => sub {
		my ($t) = @_;
		$tell->($t) if $t->{idle} || $t->{notify};
	});
}

# What is not lied about: the honest server's INBOX, or with NOTIFY the other
# mailbox on both.
sub elsewhere
{
	my ($side, $args, $lc, $rc) = @_;

	if ($args eq '--notify') {
		$_->append('Other', message(++$number)) for $lc, $rc;
		return sub { $lc->status('Other')->{MESSAGES} == 2 &&
		    $rc->status('Other')->{MESSAGES} == 2 };
	}
	my ($honest, $liar) = $side eq 'local' ? ($rc, $lc) : ($lc, $rc);
	$honest->append('INBOX', message(++$number));
	return sub { $liar->status('INBOX')->{MESSAGES} == 6 };
}

sub scenario
{
	my ($side, $args, $what, $lines) = @_;
	my %s;

	for my $s ('local', 'remote') {
		my $server = Imapsync::Server->new(name => $s . ++$number);
		$s{$s} = Imapsync::Edit->new(server => $server);
	}
	$what = "D2: $what, $side, $args";
	my ($lc, $rc) = map { $_->client } @s{'local', 'remote'};
	$lc->append('INBOX', message($_)) for 1 .. 5;
	$lc->create('Other');
	my $i = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	$i->sync_ok("$what: in sync");
	my $status = $s{$side}->client->status('INBOX');
	$s{$side}->hooks(lies(sub { $lines->($_[0], $status) }));
	$brake->add(what => $what, i => $i, args => [$args],
	    edits => [@s{'local', 'remote'}], change => sub {
		return elsewhere($side, $args, $lc, $rc);
	    }, words => sub {
		unlike($_[0], qr/lost the server|protocol|BAD/i,
		    'D2: and no word of it') or diag($_[0]);
	    }, after => sub {
		$_->close for $lc, $rc;
		$_->hooks for @s{'local', 'remote'};
		$i->sync_ok('D2: nothing is wrong afterwards');
		same_content(@s{'local', 'remote'}, 'D2: equal');
		$i->silent_ok('D2: nothing is left');
	    });
}

my %idle = (
	'EXISTS is too high' => sub { '99 EXISTS' },
	'EXISTS alternates' => sub { ($_[0] % 2 ? 5 : 6) . ' EXISTS' },
	'flags again and again' => sub { '1 FETCH (UID 1 FLAGS ())' },
	'flags of a UID that does not exist' =>
	    sub { '3 FETCH (UID 4000 FLAGS (\Seen) MODSEQ (99999))' },
	'flags of a number that does not exist' =>
	    sub { '4000 FETCH (FLAGS (\Seen))' },
	'VANISHED of what is there' => sub { 'VANISHED 1:2' },
	'VANISHED of what never was' => sub { 'VANISHED 4000:4001' },
	'EXPUNGE' => sub { '1 EXPUNGE' },
	'a chatter' => sub { ('OK still here', '0 RECENT',
	    'FLAGS (\Seen \Deleted)') },
);
my %notify = (
	'STATUS differs' => sub { 'STATUS INBOX (MESSAGES 99 UIDNEXT 400)' },
	'STATUS alternates' => sub { 'STATUS INBOX (MESSAGES ' .
	    ($_[0] % 2 ? 5 : 6) . ' UIDNEXT 6)' },
	'another UIDVALIDITY' => sub { 'STATUS INBOX (MESSAGES 5 UIDNEXT 6 ' .
	    'UIDVALIDITY 77)' },
	'a higher MODSEQ' => sub { 'STATUS INBOX (MESSAGES 5 UIDNEXT 6 ' .
	    'UIDVALIDITY ' . $_[1]{UIDVALIDITY} . ' HIGHESTMODSEQ 99999)' },
	'a mailbox that nobody knows' =>
	    sub { 'STATUS nowhere (MESSAGES 1 UIDNEXT 2)' },
	'ever other mailboxes' =>
	    sub { "STATUS nowhere$_[0] (MESSAGES 1 UIDNEXT 2)" },
	'LIST of one that is there' => sub { 'LIST () "/" Other' },
	'LIST of ever others' => sub { "LIST () \"/\" nowhere$_[0]" },
	'LIST of one that is gone' => sub { 'LIST (\NonExistent) "/" gone' },
);

my @sides = ('local', 'remote');
my $n = 0;
scenario($sides[$n++ % 2], '--watch=3600', $_, $idle{$_}) for drawn(2,
    sort keys %idle);
scenario($sides[$n++ % 2], '--notify', $_, $notify{$_}) for drawn(2,
    sort keys %notify);
$brake->judge;
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server that gives one message in a way that can't be read: its literal is
# longer or shorter than announced, the FETCH has no end, no UID, or the UID
# behind the body; the connection ends inside it.  At the latest the third run
# has copied all else, in both directions, and names the message.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Case qw(named set_of);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

# What becomes of "* 3 FETCH (UID 3 FLAGS () INTERNALDATE "..." BODY[] {900}".
my %spoil = (
	longer => sub {
		my (undef, $head, $size, $body, $tail) = @_;
		return $head . '{' . ($size + 50) . "}\r\n$body$tail";
	},
	shorter => sub {
		my (undef, $head, $size, $body, $tail) = @_;
		return $head . '{' . ($size - 50) . "}\r\n$body$tail";
	},
	open => sub {
		my (undef, $head, $size, $body) = @_;
		return "$head\{$size}\r\n$body\r\n";
	},
	garbled => sub {
		my (undef, $head, $size, $body) = @_;
		return "$head\{$size}\r\n$body (\"\r\n";
	},
	cut => sub {
		my ($t, $head, $size, $body) = @_;
		$t->put("$head\{$size}\r\n" . substr($body, 0, $size / 2));
		$t->hang_up;
	},
	head => sub {
		my ($t, $head) = @_;
		$t->put($head);
		$t->hang_up;
	},
	nouid => sub {
		my (undef, $head, $size, $body, $tail) = @_;
		return $head =~ s/UID \d+ //r . "{$size}\r\n$body$tail";
	},
	behind => sub {
		my (undef, $head, $size, $body) = @_;
		my ($n, $items) = $head =~ /^(\S+ \d+ FETCH \()(.*) BODY\[\] $/;
		return "${n}BODY[] {$size}\r\n$body $items)\r\n";
	},
);

# All that is there can be read, if one is lenient.
my %readable = (open => 1, garbled => 1, behind => 1);

# Once set(spoil => "box:uid how").
sub server
{
	return { answer => sub {
		my ($t, $response) = @_;
		my ($box, $uid, $how) = $t->get('spoil') =~ /(.*):(\d+) (.*)/
		    or return $response;
		return $response if $t->mailbox ne $box ||
		    $t->uid($response) ne $uid || $response !~
		    /\A(.*BODY\[\] )\{(\d+)\}\r\n/;
		my ($head, $size) = ($1, $2);
		my $rest = substr($response, $+[0]);
		return $spoil{$how}->($t, $head, $size, substr($rest, 0,
		    $size), substr($rest, $size));
	} };
}

sub unreadable
{
	my ($side, $how, $n, $later) = @_;
	my $p = Imapsync::Case->new($side => server());
	my $other = $p->other($side);
	my $uid = $n + ($later ? 2 : 0);
	my ($r, $text) = (undef, '');

	# A literal that has no end is waited for.
	$p->i->change($side => { %{ $p->i->{$side} }, timeout => 2 });
	$p->{size} = 900;
	if ($later) {
		$p->put($side, 'INBOX', 91, 92);
		$p->run(0, 'before');
		$p->flags($other, 'INBOX', '+FLAGS', '\Flagged', 91);
		$p->expunge($side, 'INBOX', 92);
	}
	$p->put($side, 'INBOX', 1 .. 5);
	$p->put($side, $_, 11, 12) for 'A', 'z';
	$p->put($other, 'own', 21);
	$p->put($other, 'INBOX', 22) if $later;
	$p->{$side}->set(spoil => "INBOX:$uid $how");
	for my $run (1 .. 3) {
		$r = $p->i->run;
		$text .= $r->{err};
		like($r->{status}, $readable{$how} ? qr/^(?:0|3|75)$/ :
		    qr/^(?:3|75)$/, "run $run: exit status") or diag($r->{err});
		last if $r->{status} == 3 || $r->{status} == 0;
	}
	my @more = $later ? (22, 91) : ();
	my @all = (1 .. 5, @more);
	my $left = $r->{status} != 0;
	if ($left) {
		is($r->{status}, 3, 'nothing else is left') or diag($text);
		ok(named($text, $side, 'INBOX', $uid), "UID $uid is named")
		    or diag($text);
	}
	$p->has($other, 'INBOX', set_of(grep { !$left || $_ != $n } @all),
	    'the others');
	$p->has($side, 'INBOX', set_of(@all), 'the other direction');
	$p->has($other, $_, '11:12', 'another mailbox') for 'A', 'z';
	$p->has($side, 'own', '21', 'the other direction');
	is($p->flags_of($side, 'INBOX', 91), '\Flagged',
	    'flags of that mailbox') if $later;
	$p->rests($left ? 3 : 0, 'afterwards') for 1, 2;
	$p->{$side}->set('spoil');
	$p->settles('INBOX', set_of(@all), 'it can be read', '--retry');
}

my @cases;
for my $how (sort keys %spoil) {
	for my $case (['remote', 3, 1], ['local', 5, 1], ['remote', 1, 0],
	    ['remote', 5, 0]) {
		my ($side, $n, $later) = @$case;
		my $what = "$how, $n of 5 on $side" .
		    ($later ? '' : ', first run');
		push @cases, "B2: $what" => sub {
			unreadable($side, $how, $n, $later);
		};
	}
}
cases(4, @cases);

done_testing;

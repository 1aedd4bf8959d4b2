#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A keyword that is no atom, as a real Dovecot shows it if a mailbox's keywords
# are damaged: it is left out and named, and all else goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Case;
use Imapsync::Proc qw(give_away slurp spew wait_for);
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# Give message n of the mailbox \Seen, this keyword and another one, in
# Dovecot's own files.
sub damage
{
	my ($p, $side, $box, $n, $keyword) = @_;
	my $dir = $p->{$side}->dir . '/home/user/Maildir';

	$dir .= "/.$box" if $box ne 'INBOX';
	# All are in cur/ once a session has seen them.
	$p->with($side, sub { $_[0]->select($box) });
	delete $p->{client}{$side};
	spew("$dir/dovecot-keywords", "0 $keyword\n1 Fine\n");
	give_away("$dir/dovecot-keywords");
	my ($file) = grep { slurp($_) =~ /^Subject: message $n\r?$/m }
	    map { glob "$dir/$_/*" } 'cur', 'new';
	my $to = $file =~ s{/new/}{/cur/}r =~ s/(?::2,.*)?\z/:2,Sab/r;
	rename $file, $to or die "$file: $!\n";
}

sub flags_are
{
	my ($p, $side, $box, $n, $flags, $what) = @_;
	my $have = $p->flags_of($side, $box, $n);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($have, $flags, $what);
}

# A line that names the mailbox and, as far as it can be shown, the keyword.
sub named_once
{
	my ($text, $side, $box, $part, $what) = @_;
	my @lines = grep { /\b\Q$box\E\b/ && /$part/ } split /\n/, $text;

	is(scalar @lines, 1, "$what: named once") or diag($text);
}

# How the message comes to the other server: as a new one, as one that both have
# (its header is asked for), or as a change of flags.
sub left_out
{
	my ($side, $box, $keyword, $how) = @_;
	my $p = Imapsync::Case->new;
	my $other = $p->other($side);
	my ($part) = $keyword =~ /([A-Za-z]+)\z/;

	$p->put($side, $_, 1 .. 4) for 'A', 'box', 'INBOX', 'z';
	$p->put($other, $box, 3) if $how eq 'paired';
	if ($how eq 'flags') {
		$p->run(0, 'before');
		$p->put($side, $_, 5) for 'A', 'z';
	}
	damage($p, $side, $box, 3, $keyword);
	$p->put($other, 'own', 21);
	my $r = $p->run(0, 'the run');
	named_once($r->{err}, $side, $box, $part, 'the run');
	$p->has($other, $box, '1:4', 'the mailbox');
	$p->has($other, $_, $how eq 'flags' ? '1:5' : '1:4', 'the others')
	    for 'A', 'z';
	$p->has($side, 'own', '21', 'the other direction');
	flags_are($p, $other, $box, 3, 'Fine \Seen', 'the other flags');
	$p->rests(0, 'then');

	# Changes go both ways, and the damage stays where it is.
	$p->flags($side, $box, '+FLAGS', '\Answered', 3);
	$p->flags($other, $box, '+FLAGS', '\Flagged', 3);
	$p->flags($other, $box, '+FLAGS', '\Flagged', 1);
	$p->expunge($side, $box, 2);
	$p->put($other, $box, 6);
	$r = $p->run(0, 'changes');
	flags_are($p, $other, $box, 3, 'Fine \Answered \Flagged \Seen',
	    'flags here');
	like($p->flags_of($side, $box, 3), qr/\\Answered \\Flagged \\Seen/,
	    'flags there');
	flags_are($p, $side, $box, 1, '\Flagged', 'another message');
	$p->has($_, $box, '1 3:4 6', 'changes') for $side, $other;
	$p->rests(0, 'in the end');
}

my $octets = "\x80\x80\x85\x04Junk";

for my $case (['remote', 'INBOX', $octets, 'new'],
    ['local', 'INBOX', $octets, 'new'], ['remote', 'box', $octets, 'paired'],
    ['local', 'box', $octets, 'flags'], ['remote', 'INBOX', $octets, 'flags'],
    ['remote', 'INBOX', "M\xc3\xbcJunk", 'new'],
    ['remote', 'box', '%Junk', 'new'], ['local', 'box', 'a]Junk', 'flags'],
    ['remote', 'INBOX', 'b]Junk', 'new'],
    ['remote', 'INBOX', "\x01Junk", 'paired']) {
	my ($side, $box, $keyword, $how) = @$case;
	my $shown = $keyword =~ s/([^!-~])/sprintf '\\x%02x', ord $1/ger;
	push @cases, "B3: $shown in $box on $side, $how" =>
	    sub { left_out(@$case) };
}

# What can't be read at all stops that mailbox, and no other.
for my $keyword ('J(unk', 'Ju"nk', 'Ju)nk') {
	push @cases, "B3: $keyword" => sub {
		my $p = Imapsync::Case->new;

		$p->put('remote', $_, 1 .. 4) for 'A', 'box', 'z';
		$p->put('local', 'INBOX', 1 .. 4);
		damage($p, 'remote', 'box', 3, $keyword);
		my $r = $p->i->run;
		like($r->{status}, qr/^[03]$/, 'exit status') or
		    diag($r->{err});
		like($r->{err}, qr/\bbox\b/, 'the mailbox is named');
		$p->has('local', $_, '1:4', 'the others') for 'A', 'z';
		$p->has('remote', 'INBOX', '1:4', 'the other direction');
		$p->rests($r->{status}, 'then') if $r->{status} == 3;
	};
}

push @cases, 'B3: --watch goes on' => sub {
	my $p = Imapsync::Case->new;

	$p->put('remote', $_, 1 .. 4) for 'box', 'INBOX';
	damage($p, 'remote', 'INBOX', 3, $octets);
	my $w = Imapsync::Watch->new($p->i, '--watch=600');
	$w->ready;
	$p->has('local', 'INBOX', '1:4', 'the first pass');
	$p->has('local', 'box', '1:4', 'another mailbox');
	$p->put('remote', 'INBOX', 5);
	ok(eval { wait_for(30, 'a new message', sub {
	    $p->numbers('local', 'INBOX') eq '1:5' }) }, 'a new message comes');
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'it was still there');
	named_once($w->err, 'remote', 'INBOX', 'Junk', 'while watching');
	$p->rests(0, 'then');
};

cases(4, @cases);
done_testing;

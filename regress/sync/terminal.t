#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What somebody sees on a terminal (tmux) of 40 or 120 columns, in a UTF-8 and in
# a C locale: names, what is waited for, Ctrl-C, --watch, colours.  The line of
# progress itself is progress.t's.

use strict;
use warnings;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(put);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Terminal;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'tmux is not installed' unless Imapsync::Terminal->can_be;
plan skip_all => 'there is no locale C.UTF-8'
    unless `locale -a 2>/dev/null` =~ /^C\.utf-?8$/mi;

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
my ($mails, $wide) = (0, '&' . 'ZeVnLIqe' x 6 . '-');	# 18 wide characters

sub fill
{
	my ($server, $name, $n) = @_;
	my $c = $server->client;

	$c->create($name) unless grep { $_->{name} eq $name } $c->list;
	$c->append_many($name, map { { body => message($_, size => 4000) } }
	    $mails + 1 .. $mails + $n);
	$c->close;
	$mails += $n;
}

# What a terminal shows of a run that is held where so much was answered.
sub held
{
	my ($width, $locale, $n, %o) = @_;
	my $relay = Imapsync::Relay->new(port => $remote->port, rtt => 0.02,
	    hold => { s2c => $n }, only => 1);

	$i->{env} = { LC_ALL => $locale };
	$i->change(remote => $remote->section(port => $relay->port,
	    compress => 'NO'));
	my $t = Imapsync::Terminal->new($width, $i);
	ok($relay->held, 'held') or diag($t->screen);
	return ($t, $relay);
}

# utf8::decode()d, since widths are counted.
sub text
{
	my ($bytes) = @_;

	utf8::decode($bytes);
	return $bytes;
}

# ---- totals ----

for my $server ($local, $remote) {
	$mails = 0;
	fill($server, $_, 2) for 'INBOX', 'Entw&APw-rfe';
}
my $r = $i->sync_ok('a first run that pairs');
like($r->{err}, qr/^2 mailboxes changed: 4 paired, in \d+\.\d s$/m,
    'no more than what was done');
put($local, 1, 'INBOX', 'Entw&APw-rfe');
$r = $i->sync_ok('copies');
like($r->{err}, qr/^2 mailboxes changed: 2 messages copied \(\S+ k?B\), in \S+ s$/m,
    'nor other than that');

# ---- Ctrl-C while messages are copied ----

fill($remote, 'Entw&APw-rfe', 1200);
my ($t, $relay) = held(120, 'C.UTF-8', 1_500_000);
like(text($t->line(qr/left/)), qr/\Ato local: \d+ of 1,200 messages, /,
    'progress');
$t->type('C-c');
$relay->release;
my ($status, $screen) = $t->end;
is($status, 130, 'Ctrl-C ends it');
my ($n) = text($screen) =~ /^Entwürfe: (\d+) copied to local$/m;
is(text($screen), "Entwürfe: $n copied to local\ninterrupted: " .
    ($n > 999 ? '1,' . substr $n, 1 : $n) .
    " of 1,200 copied; run again to go on\n", 'how far it came, and no more');
$i->{env} = {};
$i->change(remote => $remote);
$i->sync_ok('the rest');

# ---- what is waited for ----

# Names of both kinds, on terminals for which they are too long.
for my $case ([40, 'C.UTF-8', qr/\Awaiting for the \w+ server [^\n]*\z/],
    [120, 'C.UTF-8', qr/\Awaiting for .* (?:日本語){6}\z/],
    [120, 'C', qr/\Awaiting for .* &(?:ZeVnLIqe){6}-\z/]) {
	my ($width, $locale, $like) = @$case;

	fill($remote, $wide, 200);
	($t, $relay) = held($width, $locale, 400_000);
	my $line = text($t->line(qr/waiting/));
	like($line, $like, "$width columns, $locale: one line");
	cmp_ok(length($line) + ($line =~ tr/日本語//), '<', $width,
	    'that fits');
	$relay->release;
	($status, $screen) = $t->end;
	is($status, 0, 'and then it goes on');
	unlike($screen, qr/waiting/, 'without that line');
}

# ---- --watch, colours ----

$i->{env} = { LC_ALL => 'C.UTF-8' };
$i->change(remote => $remote, conf => { 'list-mailbox' => '* Sent Items',
    'watch-mailbox' => 'INBOX Entwurfe Entwürfe' });
utf8::encode($_) for values %{ $i->{conf} };
$i->write_conf;
$t = Imapsync::Terminal->new(120, $i, '--watch=60');
$t->{join} = 1;
my $time = qr/\d\d:\d\d:\d\d[ ]/;
like($t->line(qr/ends it/), qr/^${time}watching[ ]3[ ]mailboxes:
    [ ]local[ ]tells[ ]of[ ]INBOX[ ]and[ ]others[ ]\(IDLE\),[ ]remote[ ]of
    [ ]INBOX[ ]and[ ]others[ ]\(IDLE\);[ ]a[ ]look[ ]every[ ]60[ ]s;
    [ ]Ctrl-C[ ]ends[ ]it[ ]*$/mx, 'it says what it watches');
like(text($t->screen), qr/^${time}watch-mailbox:[^\n]*[ ]"Entwurfe";
    [ ]did[ ]you[ ]mean[ ]"Entwürfe"\?[ ]*$/mx, 'and what it can not watch');
put($remote, 1, 'INBOX');
like($t->line(qr/INBOX: /), qr/^${time}INBOX: 1 copied to local$/m,
    'and when what was done');
like($t->screen(colours => 1),
    qr/^${time}\e\[33mlist-mailbox: .*"Sent".*\n\e\[39m/m,
    'a warning in colour');
$t->type('C-c');
($status, $screen) = $t->end;
is($status, 130, 'Ctrl-C ends it');
is(scalar(grep { !/^$time/ } split /\n/, $screen), 0,
    'and leaves nothing') or diag($screen);

$i->{env}{NO_COLOR} = 1;
$t = Imapsync::Terminal->new(120, $i);
($status, $screen) = $t->end;
like($screen, qr/^list-mailbox: .*"Items"/m, 'no time without --watch');
unlike($t->screen(colours => 1), qr/\e\[3/, 'NO_COLOR');
delete $i->{env}{NO_COLOR};
unlike($i->sync_ok('no terminal')->{err}, qr/\e/, 'no terminal, no colour');

done_testing;

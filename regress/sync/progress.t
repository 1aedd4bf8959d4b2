#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# The progress line, on a real terminal (tmux): there while messages are copied,
# no wider than the terminal, gone at the end; nothing of it anywhere else.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(slurp);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Terminal;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'tmux is not installed' unless Imapsync::Terminal->can_be;

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $next = 1;

# More messages, some 1.6 MB.
sub fill
{
	my ($server) = @_;
	my $c = $server->client;

	$c->append_many('INBOX', map { { body => message($_, size => 4000) } }
	    $next .. $next + 399);
	$c->close;
	$next += 400;
}

# Through a relay; with "hold" a copy stands still in the middle.
sub through
{
	my (%hold) = @_;
	my $relay = Imapsync::Relay->new(port => $remote->port, rtt => 0.05,
	    %hold ? (hold => \%hold, only => 1) : ());

	return ($relay, $remote->section(port => $relay->port,
	    compress => 'NO'));
}

my $size = qr/\d+(?:\.\d)? [kM]?B/;
my $shape = qr/\d+ of 400 messages, $size, $size\/s, \d+:\d\d left/;

# ---- not on a terminal, and how much the server answers ----

fill($local);
my ($relay, $section) = through();
my $i = Imapsync::Imapsync->new(local => $local, remote => $section);
my $r = $i->sync_ok('first run');
is($r->{err}, "INBOX: 400 copied to remote\n", 'no progress in a file');
my $answers = $relay->result->{s2c};

# ---- to the remote server: held within the answers to APPEND ----

fill($local);
($relay, $section) = through(s2c => $answers - 1000);
$i->change(remote => $section);
my $t = Imapsync::Terminal->new(100, $i);
$relay->held;
# What has passed the relay is on its way yet, and a line is drawn each second.
select undef, undef, undef, 1.5;
my $line = $t->line(qr/left/);
like($line, qr/\Ato remote: $shape\z/, 'the line');
my ($done, $octets, $rate) = $line =~
    m{: (\d+) of 400 messages, (\S+ .?B), (\S+ .?B)/s};
my $kb = $octets =~ /(\S+) MB/ ? 1000 * $1 : $octets =~ /(\S+) kB/ ? $1 : 0;
cmp_ok($done, '>', 0, 'some messages');
cmp_ok($done, '<', 400, 'not all');
cmp_ok(abs($kb - $done * 3.98), '<=', 0.05 * $kb + 1, 'as many octets');
my $later = $t->line(qr/ $done of 400 messages, \Q$octets\E, (?!\Q$rate\E)/);
like($later, qr/ $done of 400 messages, \Q$octets\E, (?!\Q$rate\E)/,
    'it goes on while nothing comes');
is($later =~ tr/\n//, 0, 'in the same line');
$relay->release;
my ($status, $screen) = $t->end;
is($status, 0, 'in sync');
is($screen, "INBOX: 400 copied to remote\n", 'the line is gone at the end');

# ---- to the local one, on a narrow terminal ----

fill($remote);
($relay, $section) = through(s2c => 1_000_000);
$i->change(remote => $section);
$t = Imapsync::Terminal->new(40, $i);
$relay->held;
$line = $t->line(qr/to local: \d/);
like($line, qr/\Ato local: \d+ of 400 messages, /, 'the line');
unlike($line, qr/\n/, 'no second one');
cmp_ok(length $line, '<', 40, 'as wide as the terminal');
$relay->release;
($status, $screen) = $t->end;
is($status, 0, 'in sync');
unlike($screen, qr/messages,/, 'the line is gone');
like($screen, qr/^INBOX: 400 copied to local/m, 'the result is there');
same_content($local, $remote, 'equal');

# ---- standard error is no terminal; --quiet ----

fill($local);
($relay, $section) = through(s2c => $answers - 1000);
$i->change(remote => $section);
$t = Imapsync::Terminal->new(100, $i, "2>'$i->{home}/file'");
$relay->held;
select undef, undef, undef, 0.7;
is($t->screen =~ s/\n+//r, '', 'nothing on the terminal');
$relay->release;
($status, $screen) = $t->end;
is($status, 0, 'in sync');
is($screen =~ s/\n+//r, '', 'nothing at the end, either');
is(slurp("$i->{home}/file"), "INBOX: 400 copied to remote\n", 'in the file');

fill($local);
($relay, $section) = through(s2c => $answers - 1000);
$i->change(remote => $section);
$t = Imapsync::Terminal->new(100, $i, '--quiet');
$relay->held;
select undef, undef, undef, 0.7;
is($t->screen =~ s/\n+//r, '', '--quiet: nothing on the terminal');
$relay->release;
($status, $screen) = $t->end;
is($status, 0, 'in sync');
is($screen =~ s/\n+//r, '', 'nothing at the end, either');

# ---- nothing to do ----

$t = Imapsync::Terminal->new(100, $i);
($status, $screen) = $t->end;
is($status, 0, 'nothing to do');
is($screen =~ s/\n+//r, '', 'and nothing on the screen');

done_testing;

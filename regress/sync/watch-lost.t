#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch whose servers go away while it waits: one line when one goes, one when
# it is back, none in between; and then it works again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Proc qw(wait_for);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Watch qw(watching arrives);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $rc = $remote->client;
my $gone = qr/^remote: (?:127\.0\.0\.1 ended the session|lost the server)/m;

# Nothing but a loss, as "re" says it, and the return.
sub two_lines
{
	my ($w, $re) = @_;
	my @lines = grep { !/^INBOX: / } split /\n/, $w->err;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(scalar @lines, 2, 'two lines') or diag($w->err);
	like($lines[0], $re, 'the first: what is lost');
	is($lines[1], 'both servers are back', 'the second: it is back');
}

subtest 'the server is stopped and started' => sub {
	my $w = watching($local, $remote);

	arrives($rc, $local, 'at first');
	$remote->stop;
	$w->says(20, $gone);
	sleep 2.5;
	is(scalar(grep { !/^INBOX/ } split /\n/, $w->err), 1,
	    'one line while it is away') or diag($w->err);
	# A try, now and then, has something else to say.
	ok(wait_for(20, 'SIGUSR1 says so', sub {
		$w->status =~ /^waiting \d+ s before the next try/ }),
	    'SIGUSR1 says so');
	$remote->start;
	$w->look;
	$w->says(20, qr/are back/);
	arrives($rc, $local, 'afterwards');
	two_lines($w, $gone);
	# The second loss is told as the first was.
	$remote->stop;
	wait_for(20, 'a third line', sub {
		(() = $w->err =~ /$gone/g) == 2 });
	$remote->start;
	$w->look;
	wait_for(20, 'a fourth line', sub {
		(() = $w->err =~ /are back/g) == 2 });
	arrives($rc, $local, 'after a second time');
	is($w->end('TERM')->{signal}, 15, 'SIGTERM');
};

for my $how (['cut', 'the network is cut', qr/^remote: lost the server /],
    ['hang', 'a silent server', qr/^remote: lost .*: no answer for 2 /]) {
	my ($what, $name, $re) = @$how;

	subtest $name => sub {
		# A younger one: mirrors made in one second whose state is new
		# look like one account.
		my $local = Imapsync::Server->new(name => "local-$what");
		my $relay = Imapsync::Relay->new(port => $remote->port,
		    $what => { s2c => 8_000 }, only => 1);
		my $w = watching($local, $remote->section(timeout => 2,
		    compress => 'NO', port => $relay->port));

		arrives($rc, $local, 'at first');
		wait_for(40, 'the loss', sub {
			$w->look;
			sleep 0.1;
			$relay->connections > 1 || $w->err =~ /lost/ });
		$w->says(20, qr/are back/);
		arrives($rc, $local, 'afterwards');
		two_lines($w, $re);
		is($w->end('TERM')->{signal}, 15, 'SIGTERM');
	};
}

subtest 'a tunnel dies' => sub {
	my $w = watching($local, $remote);

	arrives($rc, $local, 'at first');
	my ($tunnel) = @{ $w->{i}->roles($w->pid)->{tunnels} };
	kill 'KILL', $tunnel;
	$w->says(20, qr/are back/);
	arrives($rc, $local, 'afterwards');
	# Who was lost, and why, as a run without --watch says it.
	my @lines = grep { !/^INBOX: / } split /\n/, $w->err;
	like($lines[0], qr/^local: lost the server/, 'what is lost');
	like($lines[1], qr/^local: the tunnel command was killed by signal 9/,
	    'why');
	is($lines[2], 'both servers are back', 'it is back');
	is(scalar @lines, 3, 'and no more') or diag($w->err);
	is($w->end('INT')->{signal}, 2, 'SIGINT');
};

$rc->close;
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch that is ended while it copies: after what is under way, or when that
# takes too long, by that signal; what was copied is known to the next run.  A
# second signal: at once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(alive descendants);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

# More than fits into the relay, which holds what comes behind a third of it.
use constant COUNT => 60;
use constant SIZE => 500_000;
my @messages = map { message($_, size => SIZE) } 1 .. COUNT;
my $number = 0;

sub copying
{
	my (%o) = @_;
	my $n = ++$number;
	my $local = Imapsync::Server->new(name => "local$n");
	my $remote = Imapsync::Server->new(name => "remote$n", daemon => 1);
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { c2s => 10_000_000 });
	my $i = Imapsync::Imapsync->new(local => $local,
	    remote => $remote->section(port => $relay->port,
	    compress => 'NO'));
	my $c = $local->client;

	my $w = Imapsync::Watch->new($i, '--watch=600');
	$w->ready;
	$c->append_many('INBOX', map { { body => $_ } } @messages);
	$c->close;
	ok($relay->held, 'in the midst of a message') or diag($w->err);
	like($w->status, qr/^status: 1 mailboxes, 1 to be synchronised/,
	    'SIGUSR1 says so');
	return ($local, $remote, $relay, $i, $w);
}

# What was copied is not copied again.
sub next_run
{
	my ($local, $remote, $i) = @_;

	$i->change(remote => $remote);
	$i->sync_ok('the next run');
	my $c = $remote->client;
	my @uids = $c->uids('INBOX');
	is(scalar @uids, COUNT, 'every message is there, once');
	$c->close;
	same_content($local, $remote, 'equal');
}

for my $signal (['TERM', 15], ['INT', 2]) {
	my ($name, $number) = @$signal;

	subtest "SIG$name" => sub {
		my ($local, $remote, $relay, $i, $w) = copying();
		my @all = descendants($w->pid);

		kill $name, $w->pid;
		sleep 0.3;
		ok(scalar(alive(@all)), 'the message under way is awaited');
		$relay->release;
		my $r = $i->wait($w->pid);
		is($r->{signal}, $number, 'ends by that signal');
		ok(!alive(@all), 'nothing is left');
		unlike($r->{err}, qr/lost the server|error/, 'nothing is lost');
		my $c = $remote->client;
		my $n = () = $c->uids('INBOX');
		$c->close;
		cmp_ok($n, '>', 0, "$n messages have been copied");
		# What was not answered in time is there, and is not said.
		my ($said) = $r->{err} =~ /^INBOX: (\d+) copied to remote$/m;
		cmp_ok($said // -1, '>', 0, 'it says so');
		cmp_ok($said // -1, '<=', $n, 'and no more than is there');
		next_run($local, $remote, $i);
	};
}

subtest 'it never ends' => sub {
	my ($local, $remote, $relay, $i, $w) = copying();
	my @all = descendants($w->pid);

	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'ends by that signal');
	cmp_ok($r->{took}, '>', 5, 'waits for the message');
	cmp_ok($r->{took}, '<', 20, 'not for ever');
	ok(!alive(@all), 'nothing is left');
	unlike($r->{err}, qr/lost the server/, 'no word about it');
	$relay->stop;
	next_run($local, $remote, $i);
};

subtest 'twice' => sub {
	my ($local, $remote, $relay, $i, $w) = copying();
	my @all = descendants($w->pid);

	kill 'TERM', $w->pid;
	sleep 0.3;
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'ends by that signal');
	cmp_ok($r->{took}, '<', 8, 'does not wait for the message');
	ok(!alive(@all), 'nothing is left');
	$relay->stop;
	next_run($local, $remote, $i);
};

done_testing;

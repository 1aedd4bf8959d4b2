#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A copy that was killed, into a mailbox to which mail comes all the time: only
# that mailbox waits, not for long, and whoever asks is told.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(forked stop slurp wait_for);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# Seconds from the beginning of a run; without an end of its own the mailbox
# holds all of them for a minute.
use constant SOON => 35;
use constant OVER => 50;

# Mail that comes every now and then.
sub busy
{
	my ($server) = @_;

	return forked(sub {
		my $c = $server->client;
		for my $n (1 .. 10_000) {
			$c->append('INBOX', message(10_000 + $n));
			sleep 0.3;
		}
	});
}

sub has_in
{
	my ($c, $name, $n, $end) = @_;
	my $left = $end > time ? $end - time : 0.1;

	return scalar eval { wait_for($left, $name, sub {
		(($c->status($name) // {})->{MESSAGES} // 0) == $n }) };
}

# One side is written to; killed while its messages are under way.
sub killed
{
	my ($side, $name) = @_;
	my $other = $side eq 'local' ? 'remote' : 'local';
	my %server = map { $_ => Imapsync::Server->new(name => "$name$_") }
	    'local', 'remote';
	my $edit = Imapsync::Edit->new(server => $server{$side},
	    command => sub {
		my ($t, $line) = @_;
		return unless $t->flag('hold') && $line =~ / APPEND "?INBOX/;
		$t->mute;
		return '';
	    });
	my $from = $server{$other}->client;
	my $i = Imapsync::Imapsync->new(%server, $side => $edit);
	$from->create($_) for 'A', 'Z';
	$from->append($_, message(1)) for 'A', 'INBOX', 'Z';
	$i->sync_ok("D5b: $side: in sync");
	$from->append_many('INBOX', map { { body => message($_), date =>
	    date_of($_) } } 2 .. 21);
	my $before = $edit->count(qr/^APPEND/);
	$edit->raise('hold');
	my $pid = $i->start;
	wait_for(30, 'APPEND', sub { $edit->count(qr/^APPEND/) > $before });
	kill 'KILL', $pid;
	$i->wait($pid);
	$edit->lower('hold');
	return ($i, \%server, $edit, $from);
}

for my $side (sides('remote', 'local')) {
	my $other = $side eq 'local' ? 'remote' : 'local';
	my ($i, $server, $edit, $from) = killed($side, "to-$side-");
	my $to = $server->{$side}->client;
	my $noise = busy($server->{$side});

	$from->append('A', message(50));
	$to->append('Z', message(51));
	$from->create('New');
	$from->append('New', message(52));
	my $lists = $edit->count(qr/^LIST/);
	my $pid = $i->start;
	my $file = $i->{run}{$pid};
	my $end = time + SOON;
	# Somebody asks while it waits.
	my $told = eval { wait_for(8, 'a status', sub {
		# One that comes too early is another fault.
		return 0 unless $edit->count(qr/^LIST/) > $lists;
		kill 'USR1', $pid;
		sleep 0.5;
		slurp($file->{err}) =~ /^status: .*\bINBOX\b.*$/m ? $& : '';
	}) };
	like($told // slurp($file->{err}), qr/INBOX.*\b$side\b|$side.*INBOX/,
	    "D5b: $side: SIGUSR1 tells what it waits for");
	ok(has_in($to, 'A', 2, $end), "D5b: $side: another mailbox goes on");
	ok(has_in($from, 'Z', 2, $end), "D5b: $side: and in the other direction");
	ok(has_in($to, 'New', 1, $end), "D5b: $side: and a new one");
	my $r = $i->wait($pid, limit => $end + OVER - SOON - time, killed => 1);
	is($r->{status}, 3, "D5b: $side: it ends while mail comes, exit 3")
	    or diag($r->{err});
	like($r->{err}, qr/^INBOX: .*\b$side\b/m, "D5b: $side: names it")
	    or diag($r->{err});

	stop($noise);
	# What stood still is found out by the next run; none comes twice.
	$i->run for 1, 2;
	$i->sync_ok("D5b: $side: quiet again");
	same_content($server->{'local'}, $server->{remote},
	    "D5b: $side: equal");
	my %count;
	$count{$_->{body} =~ /^Subject: (.*?)\r/m ? $1 : ''}++
	    for $from->fetch_all('INBOX');
	is(join(' ', grep { $count{$_} > 1 } sort keys %count), '',
	    "D5b: $side: nothing came twice");
	is(scalar(grep { ($count{"message $_"} // 0) == 1 } 1 .. 21), 21,
	    "D5b: $side: and all are there");
	$i->silent_ok("D5b: $side: nothing is left");
	$_->close for $from, $to;
}

# A terminal shows it by itself.
SKIP: {
	skip('there is no script(1)', 1)
	    unless Imapsync::Proc::which('script');
	my ($i, $server, undef, $from) = killed('remote', 'terminal-');
	my $noise = busy($server->{remote});
	my $seen = "$i->{home}/seen";
	my $env = $i->environment;
	my $pid = Imapsync::Proc::spawn(['script', '-qefc',
	    Imapsync::Imapsync::program(), $seen], env => { %$env, TERM =>
	    'vt100' }, out => '/dev/null', err => '/dev/null');

	ok(scalar(eval { wait_for(SOON, 'a word', sub {
		-e $seen && slurp($seen) =~ /INBOX/ }) }),
	    'D5b: a terminal shows what it waits for');
	Imapsync::Proc::reap($pid, OVER);
	stop($noise);
	$from->close;
}
done_testing;

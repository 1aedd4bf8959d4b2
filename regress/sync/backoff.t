#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch while servers are away: session after session, of which nothing is
# left, one message, and the end at once when it is asked for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time sleep);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(tmpdir spew slurp alive descendants wait_for
    proc_field free_port);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $cycles = 200;
my $dir = tmpdir();
my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);

# A tunnel that counts how often it was started.
my $tunnel = { %{ $local->section } };
spew("$dir/tunnel", "#!/bin/sh\necho x >>$dir/count\n" .
    "exec $tunnel->{command}\n", 0755);
$tunnel->{command} = "$dir/tunnel";

sub sessions { return -e "$dir/count" ? length(slurp("$dir/count")) / 2 : 0 }

# Between two sessions: nobody is left but the supervisor.
sub waiting
{
	my ($pid) = @_;

	wait_for(20, 'the end of a session', sub { !descendants($pid) });
}

# SIGHUP, until it has begun the next session, and that has ended.
sub again
{
	my ($pid) = @_;
	my $before = sessions();

	kill 'HUP', $pid;
	wait_for(20, 'a session', sub { sessions() > $before });
	waiting($pid);
}

sub descriptors
{
	my ($pid) = @_;
	my %fd;

	for my $path (glob "/proc/$pid/fd/*") {
		my ($n) = $path =~ /(\d+)$/;
		$fd{$n} = (readlink $path // next) =~ s/:\[.*//r;
	}
	return \%fd;
}

sub err { return slurp($_[0]{run}{$_[1]}{err}) }

# What SIGUSR1 makes it say: the seconds and the reason.
sub status
{
	my ($i, $pid) = @_;
	my $before = length err($i, $pid);

	kill 'USR1', $pid;
	wait_for(10, 'a line of status',
	    sub { length err($i, $pid) > $before });
	return substr(err($i, $pid), $before);
}

sub lines { return scalar(() = $_[0] =~ /\n/g) }

subtest 'nobody listens' => sub {
	my $i = Imapsync::Imapsync->new(local => $tunnel,
	    remote => $remote->section(port => free_port()));
	my $pid = $i->start('--watch');

	wait_for(20, 'a session', sub { sessions() > 0 });
	waiting($pid);
	again($pid) for 1 .. 20;
	my $fd = descriptors($pid);
	my %kb = map { $_ => (proc_field($pid, $_) // '') =~ s/\D//gr }
	    qw(VmRSS VmData);
	again($pid) for 1 .. $cycles;
	cmp_ok(sessions(), '>', $cycles, "$cycles sessions and more");
	is_deeply(descriptors($pid), $fd, 'the same descriptors are open');
	for my $what (sort keys %kb) {
		my $now = proc_field($pid, $what) =~ s/\D//gr;
		cmp_ok($now, '<=', $kb{$what} + 200,
		    "$what is flat ($kb{$what} kB before)");
	}
	my $err = err($i, $pid);
	is(lines($err), 1, 'one line') or diag($err);
	like($err, qr/cannot connect/, 'which says what is wrong');
	like(status($i, $pid), qr/^waiting \d+ s before the next try \(a /m,
	    'SIGUSR1: a line of status');
	my @all = ([$pid, (split ' ', (slurp("/proc/$pid/stat") =~
	    /\) \S \d+ (.*)/s)[0])[17], 'supervisor'], descendants($pid));
	my $begun = time;
	kill 'TERM', $pid;
	my $r = $i->wait($pid);
	is($r->{signal}, 15, 'SIGTERM ends it');
	cmp_ok(time - $begun, '<', 3, 'at once');
	is(lines($r->{err}), 2, 'without another line') or diag($r->{err});
	ok(!alive(@all), 'nothing is left');
};

subtest 'the waits grow' => sub {
	my $i = Imapsync::Imapsync->new(local => $tunnel,
	    remote => $remote->section(port => free_port()));
	my $before = sessions();
	my $pid = $i->start('--watch', '--debug');
	my $begun = time;

	# After 1, 2 and 4 s, or three quarters of it.
	wait_for(30, 'four sessions', sub { sessions() >= $before + 4 });
	my $took = time - $begun;
	ok($took > 5 && $took < 15, 'four tries take some 7 s') or
	    diag($took);
	waiting($pid);
	kill 'INT', $pid;
	my $r = $i->wait($pid);
	is($r->{signal}, 2, 'SIGINT ends it');
	is(scalar(() = $r->{err} =~ /cannot connect/g), 4,
	    '--debug shows each failure') or diag($r->{err});
};

subtest 'what is wrong from the start' => sub {
	my $i = Imapsync::Imapsync->new(local => $tunnel, remote =>
	    $remote->section(password => undef,
	    'password-command' => '/nonexistent/pass'));
	my $r = $i->status_is(1, 'no password-command: the end', '--watch');
	is(lines($r->{err}), 1, 'one line') or diag($r->{err});
	$i->write_conf("colour = red\n" . $i->conf_text);
	$i->status_is(1, 'a wrong configuration: the end', '--watch');
};

subtest 'what may pass' => sub {
	# A keyring that is locked yet, a helper that needs the network.
	my $i = Imapsync::Imapsync->new(local => $tunnel,
	    remote => $remote->section(password => undef,
	    'password-command' => "cat $dir/keyring 2>/dev/null"));
	is($i->status_is(1, 'without --watch an error')->{err},
	    "remote: the password-command failed\n", 'says so');
	my $pid = $i->start('--watch');
	wait_for(20, 'the failure',
	    sub { err($i, $pid) =~ /password-command failed/ });
	waiting($pid);
	like(status($i, $pid), qr/^waiting (?:2[2-9]\d|300) s .*failed/m,
	    'no password yet: it is tried again');
	spew("$dir/keyring", "pass\n");
	kill 'HUP', $pid;
	wait_for(20, 'both servers', sub { err($i, $pid) =~ /are back/ });
	kill 'TERM', $pid;
	is($i->wait($pid)->{signal}, 15, 'SIGTERM ends it');
};

subtest 'what goes wrong later' => sub {
	my $i = Imapsync::Imapsync->new(local => $tunnel,
	    remote => $remote->section(port => free_port(),
	    password => undef,
	    'password-command' => "sh -c 'echo x >>$dir/asked; echo pass'"));
	my $pid = $i->start('--watch');
	my $asked = sub { -e "$dir/asked" ? length(slurp("$dir/asked")) : 0 };

	wait_for(20, 'the password-command', sub { $asked->() > 0 });
	waiting($pid);
	again($pid);
	cmp_ok($asked->(), '>=', 4, 'a password is asked for each session');
	is(lines(err($i, $pid)), 1, 'one line so far');

	# From here on no session gets as far as the tunnel.
	my $until = sub {
		my ($what) = @_;
		kill 'HUP', $pid;
		wait_for(20, $what, sub { err($i, $pid) =~ /$what/ });
		waiting($pid);
	};
	$i->change(remote => $remote->section(port => free_port(),
	    password => undef, 'password-command' => 'false'));
	$until->('password-command');
	like(status($i, $pid), qr/waiting (?:2[2-9]\d|300) s .*failed/,
	    'a password that failed waits for minutes');
	my $n = lines(err($i, $pid));
	$i->write_conf("colour = red\n" . $i->conf_text);
	kill 'HUP', $pid;
	# A wrong configuration is the same kind of failure.
	wait_for(20, 'a longer wait', sub {
		sleep 0.2;
		status($i, $pid) =~ /waiting (\d+) s/ && $1 > 300 });
	unlike(err($i, $pid), qr/unknown key/, 'is not repeated');

	# Mended: the configuration is read again.
	my $client = $remote->client;
	$client->append('INBOX', message(1));
	$client->close;
	$i->change(remote => $remote->section);
	kill 'HUP', $pid;
	wait_for(30, 'the message', sub {
		my $c = $local->client;
		my $messages = $c->status('INBOX')->{MESSAGES};
		$c->close;
		$messages == 1 });
	pass('and works once it is mended');
	unlike(err($i, $pid), qr/\Q$remote->{password}\E\b/, 'no password');

	# A worker dies.
	my $role = $i->roles($pid);
	kill 'SEGV', $role->{store} // die "no store\n";
	wait_for(20, 'a message', sub {
		err($i, $pid) =~ /the store was killed by signal 11/ });
	waiting($pid);
	like(status($i, $pid), qr/waiting (?:2[0-9]|30) s .*crashed/,
	    'a crash waits for half a minute');
	kill 'TERM', $pid;
	is($i->wait($pid)->{signal}, 15, 'SIGTERM ends it');
};

done_testing;

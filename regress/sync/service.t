#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# What a manager of services is told (systemd's protocol, with a socket of ours in
# its place): ready, how it stands, that it is alive, reloading and ending.  And a
# log that is moved away is made anew.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time sleep);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(tmpdir slurp free_port wait_for);
use Imapsync::Server;
use Imapsync::Watch qw(soon SOON);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $path = tmpdir() . '/notify';
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path)
    // die "$path: $!\n";
$socket->blocking(0);
my @told;

# What has come so far, a datagram each.
sub told
{
	my $text;

	push @told, $text while defined $socket->recv($text, 4096);
	return @told;
}

sub forget { told(); @told = () }

# A test: the manager is told that before long.
sub tells
{
	my ($re, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(scalar(eval { wait_for(20, $what, sub {
	    scalar grep { $_ =~ $re } told() }) }), $what) or
	    diag(map { "told: $_\n" } @told);
}

sub watcher
{
	my (%o) = @_;
	my $section = $local->section;
	my $i = Imapsync::Imapsync->new(remote => $remote, env => {
	    NOTIFY_SOCKET => $path, WATCHDOG_USEC => 400_000 }, %o,
	    local => { %$section, command => "sh -c 'env >>" .
	    tmpdir() . "/env; exec $section->{command}'" });

	$i->change(conf => { logfile => "$i->{home}/log" }) if $o{logs};
	return ($i, Imapsync::Watch->new($i, '--watch=600'));
}

my $lc = $local->client;
$lc->create('a');
my ($i, $w) = watcher(logs => 1);
tells(qr/\ASTATUS=connecting\z/, 'it begins');
tells(qr/\AREADY=1\nSTATUS=connected\z/, 'ready once both servers are there');
tells(qr/\AREADY=1\nSTATUS=watching 2 mailboxes; last change \d\d:\d\d\z/,
    'what is watched');
is((grep { /READY=1/ } @told)[0], "READY=1\nSTATUS=connected",
    'and not ready before');
forget();
tells(qr/\AWATCHDOG=1\z/, 'it is alive');
forget();
tells(qr/\AWATCHDOG=1\z/, 'and goes on to say so');
unlike(slurp(tmpdir() . '/env'), qr/^(?:NOTIFY_SOCKET|WATCHDOG_)/m,
    'a command is not told of it');

forget();
$w->look;
tells(qr/\ARELOADING=1\nMONOTONIC_USEC=\d{7,}\nSTATUS=looking\z/, 'SIGHUP');
tells(qr/\AREADY=1\nSTATUS=watching/, 'and it is ready again');
my ($first) = grep { /RELOADING|READY/ } @told;
like($first, qr/RELOADING/, 'in this order');

# A log that was moved away.
my $log = "$i->{home}/log";
rename $log, "$log.0" or die "$log: $!\n";
kill 'USR2', $w->pid;
soon('SIGUSR2: the log is made anew', sub { -e $log });
$lc->append('INBOX', message(1));
soon('the engine writes to it',
    sub { slurp($log) =~ /INBOX: 1 copied to remote$/m });
unlike(slurp("$log.0"), qr/copied/, 'and not to the old one');
is((stat $log)[2] & 0777, 0600, 'its mode');
rename $log, "$log.1" or die "$log: $!\n";
mkdir $log or die "$log: $!\n";
kill 'USR2', $w->pid;
soon('one that can not be made', sub { slurp("$log.1") =~
    /logfile \S+: the old one is written to: Is a directory$/m });
rmdir $log;
$lc->append('INBOX', message(2));
soon('leaves the old one', sub {
    (() = slurp("$log.1") =~ /INBOX: 1 copied to remote$/mg) == 2 });

# An engine that hangs is not alive, whatever the supervisor does.
my $engine = $i->roles($w->pid)->{engine};
kill 'STOP', $engine;
wait_for(10, 'it stands still', sub {
    slurp("/proc/$engine/stat") =~ /^\d+ \(.*\) T / });
forget();
sleep 1.5;
is_deeply([grep { /WATCHDOG/ } told()], [], 'one that hangs is not alive');
kill 'CONT', $engine;
tells(qr/\AWATCHDOG=1\z/, 'until it goes on');
forget();
$w->end('TERM');
tells(qr/\ASTOPPING=1\nSTATUS=ending\z/, 'it ends');

# While a server is away the supervisor is alive, and ready.
forget();
my %section = (%{ $remote->section }, port => free_port());
(my $j, $w) = watcher(remote => \%section);
tells(qr/\AREADY=1\nSTATUS=waiting until \d\d:\d\d:\d\d \(\S.*\)\z/,
    'a server that is away');
forget();
tells(qr/\AWATCHDOG=1\z/, 'it is alive meanwhile');
kill 'HUP', $w->pid;
tells(qr/\ARELOADING=1\n/, 'SIGHUP: it tries at once');
tells(qr/\AREADY=1\nSTATUS=waiting/, 'and waits again');
kill 'TERM', $w->pid;
$j->wait($w->pid);

# No manager, none that can be reached, and one by an abstract name.
($j, $w) = watcher(env => { NOTIFY_SOCKET => tmpdir() . '/none' });
$w->ready;
like($w->err, qr/^NOTIFY_SOCKET \S+: /m, 'who is not there is named');
$w->end('TERM');
SKIP: {
	skip 'there are no abstract names', 2 if $^O ne 'linux';
	my $name = "\0imapsync-test-$$";
	$socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name)
	    // die "abstract: $!\n";
	$socket->blocking(0);
	@told = ();
	($j, $w) = watcher(env => { NOTIFY_SOCKET => "\@imapsync-test-$$",
	    WATCHDOG_USEC => 400_000, WATCHDOG_PID => 1 });
	tells(qr/\AREADY=1\nSTATUS=watching/, 'by an abstract name');
	is_deeply([grep { /WATCHDOG/ } told()], [],
	    'the signs of life are for another process');
	$w->end('TERM');
}

$lc->close;
done_testing;

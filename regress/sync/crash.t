#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Runs that end before their time: lost and silent servers, signals, a full
# disk, a state that is in use.  Each says so, leaves nothing running, and the
# next run finishes its work: nothing is lost, nothing comes twice.
#
# Each case is a test of its own (crash.t --case NAME); several run at once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use IO::Socket::INET;
use Time::HiRes qw(time sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(alive descendants forked free_port is_root slurp spawn
    spew tmpdir wait_for which);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Sides;

use constant AT_ONCE => 5;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my ($local, $remote, $i, $total);
my $lost = qr/^(?:\S+: )?(?:local|remote): lost the server \S+: .+$/m;

# ---- what all cases need ----

# Two servers: 40 messages on both sides, 60 on the local, 240 on the remote.
sub servers
{
	my (%o) = @_;
	my $n = 0;

	$local = Imapsync::Server->new(name => 'local');
	$remote = Imapsync::Server->new(name => 'remote', daemon => 1, %o);
	my @message = map { { body => message($_, size => 1000 + $_ * 977 %
	    6000, id => $_ % 5), date => date_of($_),
	    flags => $_ % 3 ? '' : '\Seen' } } 1 .. 340;
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->append_many('INBOX', @message[0 .. 99]);
	$rc->append_many('INBOX', @message[0 .. 39, 100 .. 339]);
	$_->close for $lc, $rc;
	$i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	$total = 340;
}

# More of it once both are in sync.
sub more_mail
{
	my ($lc, $rc) = ($local->client, $remote->client);

	$lc->append_many('INBOX', map { { body => message($_, size => 3000),
	    date => date_of($_) } } $total + 1 .. $total + 60);
	$rc->append_many('INBOX', map { { body => message($_, size => 3000),
	    date => date_of($_) } } $total + 61 .. $total + 120);
	$_->close for $lc, $rc;
	$total += 120;
}

# The process of a run, and all below it.
sub processes
{
	my ($pid) = @_;
	my ($rest) = slurp("/proc/$pid/stat") =~ /\) \S \d+ (.*)/s;

	return ([$pid, (split ' ', $rest)[17], 'imapsync'],
	    descendants($pid));
}

sub nothing_left
{
	my ($what, @all) = @_;
	my $gone = eval { wait_for(5, 'the end', sub { !alive(@all) }) };

	ok($gone && @all, "$what: nothing is left running") or
	    diag(map { "@$_\n" } alive(@all));
}

# The next run, one more if it can't yet, bring both sides in sync.
sub finish
{
	my ($what) = @_;
	my $r;

	$i->change(local => $local, remote => $remote);
	for (1 .. 3) {
		$r = $i->run;
		last if $r->{status} == 0;
		last if $r->{status} != 1 && $r->{status} != 75;
	}
	is($r->{status}, 0, "$what: the next run") or diag($r->{err});
	my $snap = same_content($local, $remote, "$what: the same on both");
	my $messages = $snap->{INBOX}{messages};
	is(scalar keys %$messages, $total, "$what: nothing is lost");
	is_deeply([grep { $messages->{$_} > 1 } keys %$messages], [],
	    "$what: nothing is there twice");
	$i->silent_ok("$what: then there is nothing to do");
}

# One line that says so, and what became of a tunnel.
sub says_lost
{
	my ($what, $r) = @_;
	my @lines = $r->{err} =~ /$lost/g;

	is($r->{signal} || $r->{status}, 75, "$what: exit status 75") or
	    diag($r->{err});
	is(scalar @lines, 1, "$what: one line says so") or diag($r->{err});
}

# ---- connections ----

sub cut
{
	my ($d, $n, $reset, $tunnel) = @_;
	my $side = $tunnel ? 'local' : 'remote';
	my $server = $tunnel ? $local : $remote;
	my $relay = Imapsync::Relay->new(cut => { $d => $n },
	    reset => $reset, $tunnel ? (command => $server->command) :
	    (port => $server->port));
	my $what = "$side cut at $d $n" . ($reset ? ' with a reset' : '');

	$i->change($side => $server->section($tunnel ?
	    (command => $relay->command) : (port => $relay->port)));
	my $r = $i->run;
	says_lost($what, $r);
	$relay->stop unless $tunnel;
	finish($what);
}

sub case_cut_early
{
	servers();
	$i->sync_ok('first sync');
	for my $how (['s2c', 1], ['s2c', 200, 1], ['c2s', 10], ['c2s', 60, 1],
	    ['s2c', 900], ['s2c', 1, 0, 1]) {
		cut(@$how);
	}
}

sub case_cut_s2c { servers(); cut('s2c', 300_000) }
sub case_cut_s2c_reset { servers(); cut('s2c', 170_001, 1) }
sub case_cut_c2s { servers(); cut('c2s', 90_000) }

sub case_cut_c2s_reset
{
	servers();
	$i->sync_ok('first sync');
	more_mail();
	cut('c2s', 70_000, 1);
}

sub case_cut_tunnel_s2c { servers(); cut('s2c', 60_000, 0, 1) }
sub case_cut_tunnel_c2s { servers(); cut('c2s', 400_000, 0, 1) }

# The server's process dies in the midst of it; then the whole server.
sub case_server_killed
{
	servers();
	for my $round (0, 1) {
		my $relay = Imapsync::Relay->new(port => $remote->port,
		    hold => { s2c => 150_000 });
		$i->change(remote => $remote->section(port => $relay->port));
		my $pid = $i->start;
		ok($relay->held, 'held') or diag($i->wait($pid)->{err});
		my @all = processes($pid);
		my @imap = grep { $_->[2] eq 'imap' }
		    descendants($remote->{pid});
		ok(@imap > 0, 'the server has a process for it');
		$remote->stop if $round == 1;
		kill 'KILL', $_->[0] for @imap;
		$relay->release;
		my $r = $i->wait($pid);
		says_lost('killed server', $r);
		nothing_left('killed server', @all);
		$relay->stop;
		if ($round == 1) {
			$i->change(remote => $remote);
			$r = $i->run;
			is($r->{status}, 75, 'no server: exit status 75');
			like($r->{err}, qr/^remote: .*127\.0\.0\.1.*/m,
			    'no server: it says which');
			is(($r->{err} =~ tr/\n//), 1, 'no server: one line') or
			    diag($r->{err});
			$remote->start;
		}
		finish('killed server');
		more_mail() if $round == 0;
	}
}

sub case_tunnel_killed
{
	servers();
	# A Dovecot that is killed itself leaves locks that last two minutes.
	my $filter = Imapsync::Relay->new(command => $local->command);
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { s2c => 150_000 });
	$i->change(remote => $remote->section(port => $relay->port),
	    local => $local->section(command => $filter->command));
	my $pid = $i->start;
	ok($relay->held, 'held') or diag($i->wait($pid)->{err});
	my @all = processes($pid);
	kill 'KILL', @{ $i->roles($pid)->{tunnels} };
	$relay->release;
	my $r = $i->wait($pid);
	says_lost('killed tunnel', $r);
	like($r->{err}, qr/^local: the tunnel command was killed by signal 9/m,
	    'and what became of the tunnel');
	nothing_left('killed tunnel', @all);
	finish('killed tunnel');
}

sub case_no_tunnel
{
	servers();
	for my $command ('/nonexistent/program --with args',
	    tmpdir() . '/not-executable', 'exit 3;',
	    'echo "* OK not IMAP"; exec sleep 0') {
		spew(tmpdir() . '/not-executable', "#!/bin/sh\n", 0644);
		$i->change(local => { type => 'tunnel',
		    command => $command });
		my $r = $i->run;
		is($r->{status}, 75, "$command: exit status 75") or
		    diag($r->{err});
		like($r->{err}, $command =~ m{^/} ?
		    qr/^local: the tunnel command .*could not be executed/m :
		    $command =~ /exit 3/ ? qr/ended with status 3/ : $lost,
		    "$command: why") or diag($r->{err});
	}
	finish('after that');
}

# A server that falls silent.
sub case_silent
{
	servers();
	for my $n (1, 250, 200_000) {
		my $relay = Imapsync::Relay->new(port => $remote->port,
		    hang => { s2c => $n });
		$i->change(remote => $remote->section(port => $relay->port,
		    timeout => 2));
		my $r = $i->run;
		says_lost("silent after $n octets", $r);
		like($r->{err}, qr/127\.0\.0\.1.*2 seconds/,
		    'it says which, and how long');
		cmp_ok($r->{seconds}, '<', 15, 'in time');
		$relay->stop;
	}
	# It accepts and never says a word.
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Listen => 5, Proto => 'tcp');
	$i->change(remote => $remote->section(port => $listen->sockport,
	    timeout => 1));
	says_lost('never a word', $i->run);
	finish('after silence');
}

sub case_silent_tunnel
{
	servers();
	my $relay = Imapsync::Relay->new(command => $local->command,
	    hang => { c2s => 50_000 });
	$i->change(local => $local->section(command => $relay->command,
	    timeout => 2));
	my $pid = $i->start;
	sleep 1;
	my @all = processes($pid);
	says_lost('silent tunnel', $i->wait($pid));
	nothing_left('silent tunnel', @all);
	finish('silent tunnel');
}

# ---- signals ----

sub signalled
{
	my ($what, $d, $n, @signals) = @_;
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { $d => $n });

	$i->change(remote => $remote->section(port => $relay->port));
	my $pid = $i->start;
	ok($relay->held, "$what: held") or diag($i->wait($pid)->{err});
	my @all = processes($pid);
	kill $signals[0], $pid;
	if (@signals == 1) {
		$relay->release;	# now the answers come
	} else {
		sleep 0.3;
		ok(scalar(alive($all[0])), "$what: it waits for answers");
		kill $signals[1], $pid;
	}
	my $began = time;
	my $r = $i->wait($pid);
	my %number = (INT => 2, TERM => 15);
	is($r->{signal}, $number{$signals[0]}, "$what: ends by its signal");
	unlike($r->{err}, qr/lost the server|unexpected|killed/,
	    "$what: no complaint");
	cmp_ok(time - $began, '<', @signals == 1 ? 13 : 5,
	    "$what: in time");
	nothing_left($what, @all);
	$relay->stop;
	finish($what);
}

sub case_sigint
{
	servers();
	signalled('SIGINT', 's2c', 200_000, 'INT');
	more_mail();
	signalled('SIGINT while sending', 'c2s', 60_000, 'INT');
}

sub case_sigterm
{
	servers();
	signalled('SIGTERM', 'c2s', 60_000, 'TERM');
	more_mail();
	signalled('SIGTERM at login', 's2c', 1, 'TERM');
}

sub case_sigint_twice
{
	servers();
	signalled('SIGINT twice', 's2c', 200_000, 'INT', 'INT');
	more_mail();
	signalled('SIGTERM twice', 'c2s', 60_000, 'TERM', 'TERM');
}

# Nobody answers any more: it ends all the same.
sub case_signal_silent
{
	servers();
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { s2c => 200_000 });
	$i->change(remote => $remote->section(port => $relay->port));
	my $pid = $i->start;
	ok($relay->held, 'held') or diag($i->wait($pid)->{err});
	my @all = processes($pid);
	my $began = time;
	kill 'TERM', $pid;
	my $r = $i->wait($pid);
	is($r->{signal}, 15, 'a silent server: ends by its signal');
	cmp_ok(time - $began, '<', 17, 'in time');
	nothing_left('a silent server', @all);
	$relay->stop;
	finish('a silent server');
}

# Ctrl-C on a terminal: the tunnel gets the signal as well.
sub case_ctrl_c
{
	my $script = which('script');
	plan skip_all => 'no script(1) of util-linux' unless $script &&
	    `$script --version 2>&1` =~ /util-linux/;
	servers();
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { s2c => 200_000 });
	$i->change(remote => $remote->section(port => $relay->port));
	my ($out, $in) = (tmpdir() . '/terminal');
	pipe(my $end, $in) or die "pipe: $!\n";
	my $pid = spawn([$script, '-qefc', 'exec ' . $i->program,
	    '/dev/null'], in => $end, out => spew($out, ''), err => $out,
	    env => { %{ $i->environment }, SHELL => '/bin/sh' });
	close $end;
	ok($relay->held, 'held') or diag(slurp($out));
	my @all = descendants($pid);
	ok((grep { $_->[2] eq 'imapsync' } @all), 'it runs on a terminal');
	syswrite($in, "\x03");
	sleep 0.2;
	$relay->release;
	my $status = Imapsync::Proc::reap($pid, 30);
	is(($status // 0) >> 8, 130, 'Ctrl-C: ends by SIGINT');
	unlike(slurp($out), qr/lost the server|unexpected|killed/,
	    'Ctrl-C: no complaint') or diag(slurp($out));
	nothing_left('Ctrl-C', @all);
	$relay->stop;
	finish('Ctrl-C');
}

# ---- the state ----

# A run whose files can't grow beyond so many KiB.
sub limited_run
{
	my ($kib) = @_;
	my $blocks = $kib * 2;
	my $wrapper = spew(tmpdir() . '/limited', "#!/bin/sh\n" .
	    "ulimit -S -f $blocks || exit 99\nexec " . $i->program .
	    ' "$@"' . "\n", 0755);
	my $tunnel = spew(tmpdir() . '/unlimited', "#!/bin/sh\n" .
	    "ulimit -S -f unlimited\nexec " . $local->command . "\n", 0755);

	$i->change(local => $local->section(command => $tunnel));
	no warnings 'redefine';
	local *Imapsync::Imapsync::program = sub { $wrapper };
	return $i->run;
}

# Runs with ever more room, until one ends well.  Returns how many did not.
sub more_room
{
	my ($what, $status, $why, $run, @kib) = @_;
	my $n = 0;

	for my $kib (@kib) {
		my $r = $run->($kib);
		last if $r->{status} == 0;
		$n++;
		like($r->{signal} ? "signal $r->{signal}" : $r->{status},
		    $status, "$what $kib KiB: exit status") or diag($r->{err});
		like($r->{err}, qr/^database: .*\.db: $why/m,
		    "$what $kib KiB: says which file, and why") or
		    diag($r->{err});
		unlike($r->{err}, qr/killed|unexpected/,
		    "$what $kib KiB: no crash");
	}
	return $n;
}

sub case_file_limit
{
	servers();
	my $n = more_room('a limit of', qr/^(?:1|75)$/,
	    qr/(?:no space left on the disk|disk I\/O error)/,
	    \&limited_run, 8, 20, 64, 72, 80, 88);
	cmp_ok($n, '>', 2, 'several runs had no room');
	finish('with room again');
}

sub case_full_disk
{
	plan skip_all => 'only root can mount' unless is_root();
	servers();
	my $dir = "$i->{home}/data";
	my $mount = which('mount');
	plan skip_all => 'mount(8) is not allowed here' unless $mount &&
	    system("$mount -t tmpfs -o size=4k none $dir 2>/dev/null") == 0;
	eval {
		my $n = more_room('a disk of', qr/^75$/,
		    qr/no space left on the disk/, sub {
			system($mount, '-o', "remount,size=$_[0]k", $dir);
			return $i->run;
		}, 4, 64, 104, 116, 124, 128);
		cmp_ok($n, '>', 2, 'several runs had no room');
		system($mount, '-o', 'remount,size=4m', $dir);
		finish('with room again');
		1;
	} or fail("died: $@");
	system('umount', $dir) == 0 or diag("can't unmount $dir");
}

sub case_in_use
{
	servers();
	my $relay = Imapsync::Relay->new(port => $remote->port,
	    hold => { s2c => 150_000 });
	$i->change(remote => $remote->section(port => $relay->port));
	my $pid = $i->start;
	ok($relay->held, 'held') or diag($i->wait($pid)->{err});
	my $store = $i->roles($pid)->{store} // 'none';
	$i->change(remote => $remote);
	my $r = $i->run;
	is($r->{status}, 75, 'a second run: exit status 75') or
	    diag($r->{err});
	like($r->{err}, qr/\.db is in use by process $store\b/,
	    'it names the process that has it') or diag($r->{err});
	is(($r->{err} =~ tr/\n//), 1, 'in one line') or diag($r->{err});
	$relay->release;
	is($i->wait($pid)->{status}, 0, 'the first run goes on');
	finish('both');
}

# ---- all cases ----

if (@ARGV && $ARGV[0] eq '--case') {
	no strict 'refs';
	&{"case_$ARGV[1]"}();
	done_testing;
	exit 0;
}

my @cases = qw(signal_silent silent cut_early sigterm sigint sigint_twice
    in_use silent_tunnel server_killed full_disk file_limit ctrl_c
    tunnel_killed no_tunnel);
push @cases, drawn(2, map { "cut_$_" } qw(s2c s2c_reset c2s c2s_reset tunnel_s2c
    tunnel_c2s));
@cases = split ' ', $ENV{CRASH_CASE} if defined $ENV{CRASH_CASE};
plan tests => scalar @cases;

my %running;
while (@cases || %running) {
	while (@cases && keys %running < AT_ONCE) {
		my $name = shift @cases;
		my $out = spew(tmpdir() . "/out.$name", '');
		my $pid = spawn([$^X, $0, '--case', $name], out => $out,
		    err => $out, env => { TMPDIR => tmpdir() });
		$running{$pid} = [$name, $out, (processes($pid))[0]];
	}
	sleep 0.05;
	for my $pid (keys %running) {
		my ($name, $out, $proc) = @{ $running{$pid} };
		next if alive($proc);
		my $status = Imapsync::Proc::reap($pid, 10) // -1;
		my $text = slurp($out);
		my ($why) = $text =~ /^1\.\.0 # SKIP (.*)/m;
		SKIP: {
			skip "$name: $why", 1 if defined $why;
			ok($status == 0, $name) or
			    diag($text, "repeat: CRASH_CASE=$name");
		}
		delete $running{$pid};
	}
}

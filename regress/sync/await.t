#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What is waited for before the servers are reached: said on a terminal, in a
# line that goes when it is over, and to whoever asks by SIGUSR1.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use IO::Socket::INET;
use Socket;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp wait_for spawn which descendants
    is_root run_command);

my $script = which('script') // plan skip_all => 'there is no script(1)';
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $dir = tmpdir();
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new;
my $program = Imapsync::Imapsync::program();
my $clear = "\r\e[K";
my $number = 0;

sub client
{
	my (%section) = @_;
	return Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
	    remote => $remote->section(%section));
}

# A run on a terminal; what it shows is in $t->{file}.
sub terminal
{
	my ($i, @args) = @_;
	my $t = { file => spew("$dir/term" . $number++, '') };

	$t->{script} = spawn([$script, '-q', '-f', '-c',
	    join(' ', "exec $program", @args), $t->{file}],
	    out => '/dev/null', dir => $i->{home},
	    env => { %{ $i->environment }, TERM => 'xterm', NO_COLOR => 1 });
	wait_for(20, 'the supervisor', sub {
		($t->{pid}) = map { $_->[0] } grep { $_->[2] eq 'imapsync' }
		    descendants($t->{script}) });
	return $t;
}

# All octets but the notes that script(1) makes, which are lines of their own.
sub shown
{
	my ($t) = @_;
	return slurp($t->{file}) =~ s/\AScript started on .*\n//r
	    =~ s/\nScript done on .*\n\z//r;
}

sub shows
{
	my ($t, $re, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(scalar(eval { wait_for(20, $what, sub { shown($t) =~ $re }) }),
	    $what) or diag(explain(shown($t)));
}

sub ends
{
	my ($t, $signal) = @_;

	kill $signal, $t->{pid} if $signal;
	Imapsync::Proc::reap($t->{script}, 60);
	return shown($t);
}

# A test: SIGUSR1 makes it say that, soon.
sub tells
{
	my ($pid, $file, $text, $what) = @_;
	my $line = qr/status: \Q$text\E\r?\n/;

	# From its first child on it minds signals.
	wait_for(20, 'a child', sub { descendants($pid) });
	my $told = eval {
		wait_for(20, 'a status', sub {
			kill 'USR1', $pid;
			select undef, undef, undef, 0.2;
			return slurp($file) =~ $line;
		});
	};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($told, $what) or diag(explain(slurp($file)));
}

# Nobody accepts, and the queue is full: nothing answers.
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "listen: $!\n";
my $port = $full->sockport;
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
    PeerPort => $port, Blocking => 0) } 1 .. 4;

subtest 'connecting' => sub {
	my $i = client(port => $port, timeout => 8);
	my $text = "waiting for 127.0.0.1:$port to answer (connecting)";
	my $t = terminal($i);

	shows($t, qr/\Q$clear$text\E\z/, 'the line is there');
	my $all = ends($t);
	like($all, qr/\Q$clear$text$clear\Eremote: cannot connect .*no answer/,
	    'and goes');
	is(scalar(() = $all =~ /\Q$text/g), 1, 'once');

	$i->{env}{TERM} = 'dumb';
	$t = terminal($i);
	tells($t->{pid}, $t->{file}, $text, 'SIGUSR1');
	ends($t, 'TERM');

	my $pid = $i->start;
	tells($pid, $i->{run}{$pid}{err}, $text, 'SIGUSR1, no terminal');
	kill 'TERM', $pid;
	my $r = $i->wait($pid);
	is($r->{err} =~ s/^status: .*\n//mgr, '', 'nothing else is said');

	my $both = Imapsync::Imapsync->new(map {
	    $_ => $remote->section(port => $port, username => $_) }
	    'local', 'remote');
	$pid = $both->start;
	tells($pid, $both->{run}{$pid}{err}, 'waiting for ' .
	    "127.0.0.1:$port and 127.0.0.1:$port to answer (connecting)",
	    'both servers');
	kill 'TERM', $pid;
	$both->wait($pid);
};

subtest 'a password-command' => sub {
	my $text = 'waiting for the password-command of remote';
	my $go = "until [ -e $dir/go ]; do sleep 0.1; done";
	my $command = spew("$dir/command", "#!/bin/sh\n" .
	    "printf 'PIN: ' >/dev/tty\n$go\necho pass\n", 0755);
	my $secret = spew("$dir/secret", "#!/bin/sh\nstty -echo </dev/tty\n" .
	    "printf 'PIN: ' >/dev/tty\n$go\nstty echo </dev/tty\n" .
	    "echo >/dev/tty\necho pass\n", 0755);
	my $i = client(password => undef, 'password-command' => $command);

	my $t = terminal($i);
	shows($t, qr/PIN: \r?\n\Q$clear$text\E\z/,
	    'the line stands below the question');
	tells($t->{pid}, $t->{file}, $text, 'SIGUSR1');
	spew("$dir/go", '');
	like(ends($t), qr/\Q$clear\E\z/, 'and goes');
	unlink "$dir/go";

	$i->change(remote => $remote->section(password => undef,
	    'password-command' => $secret));
	$t = terminal($i);
	shows($t, qr/PIN: /, 'without echo');
	sleep 5;
	is(shown($t), 'PIN: ', 'nothing is drawn');
	spew("$dir/go", '');
	is(ends($t), "PIN: \r\n", 'nor later');
};

subtest 'the state' => sub {
	my $fake = Imapsync::Fake->new(script => sub { $_[0]->until_closed });
	my $i = client(port => $fake->port);
	my $first = $i->start;
	wait_for(20, 'a run that has it',
	    sub { $i->roles($first)->{engine} });

	my $t = terminal($i);
	shows($t, qr/\Q$clear\Ewaiting for the state: another run has .*\z/,
	    'the line is there');
	like(ends($t), qr/\S\Q$clear\Edatabase: \S+ is in use by process/,
	    'and goes');
	kill 'TERM', $first;
	$i->wait($first);
};

subtest 'between two tries' => sub {
	my $i = client(password => undef, 'password-command' => 'false');
	my $t = terminal($i, '--watch');

	shows($t, qr/\Q$clear\Ewaiting \d+ s before the next try \(.*\)\z/,
	    'the line is there');
	like(ends($t, 'TERM'), qr/\)\Q$clear\E\z/, 'and goes');
};

# A name server that is silent needs a resolv.conf of our own: a mount namespace.
my $wrapper = "$dir/wrapper";
my $resolv = spew("$dir/resolv.conf",
    "nameserver 127.0.0.77\noptions timeout:3 attempts:2\n");

sub own_resolver
{
	my $unshare = which('unshare');

	return 'only root can have its own resolver' unless is_root();
	return 'unshare(1) is missing' unless $unshare;
	spew($wrapper, "#!/bin/sh\nexec $unshare -m sh -c 'mount --bind " .
	    "$resolv /etc/resolv.conf && exec \"\$0\" \"\$@\"' \"\$@\"\n",
	    0755);
	my $out = eval { run_command([$wrapper, 'cat', '/etc/resolv.conf']) };
	return ($out // '') eq slurp($resolv) ? '' :
	    'no mount namespace of our own';
}

subtest 'a name' => sub {
	my $why = own_resolver();
	plan skip_all => $why if $why;
	my $dns = IO::Socket::INET->new(LocalAddr => '127.0.0.77',
	    LocalPort => 53, Proto => 'udp') //
	    plan skip_all => "port 53: $!";
	my $i = client(host => 'mail.example.org');
	my $text = 'waiting for the address of mail.example.org (DNS)';
	my $log = "$i->{home}/log";

	$i->change(conf => { logfile => $log });
	$program = "$wrapper $program";
	my $t = terminal($i);
	shows($t, qr/\Q$clear$text\E\z/, 'the line is there');
	tells($t->{pid}, $t->{file}, $text, 'SIGUSR1');
	like(ends($t), qr/\Q$text$clear\Eremote: cannot look up mail\.example/,
	    'and goes');
	like(slurp($log), qr/: status: \Q$text\E$/m, 'the log has it, too');

	$t = terminal($i);
	shows($t, qr/\Q$text/, 'once more');
	ends($t, 'TERM');
	unlike(shown($t), qr/cannot/, 'SIGTERM ends it');
};

done_testing;

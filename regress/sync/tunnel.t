#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What becomes of a tunnel's standard error and of its exit status, and that
# neither can hold up a run.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp wait_for spawn free_port);
use Imapsync::Watch;

my $dir = tmpdir();
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new(greeting => 'PREAUTH');
my $serve = $remote->section(tunnel => 1)->{command};
my $number = 0;

# A tunnel that is this script; "SERVE" is one that works.
sub tunnel
{
	my ($text, %keys) = @_;
	my $file = "$dir/tunnel" . $number++;

	spew($file, "#!/bin/sh\n" . ($text =~ s/SERVE/$serve/gr) . "\n", 0755);
	return { type => 'tunnel', command => $file, %keys };
}

my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => $remote->section(tunnel => 1));
my $lost = qr/^remote: lost the server localhost: .*\n/m;
my $tail = "exec <&- >&-; sleep 0.05; exit 255";

subtest 'it ends after its server is lost' => sub {
	for my $stderr ('YES', 'NO') {
		my $said = $stderr eq 'NO' ? "ssh: no route\n" :
		    "remote: the tunnel command said: ssh: no route\n";
		$i->change(remote => tunnel("echo 'ssh: no route' >&2; $tail",
		    'null-stderr' => $stderr));
		my %got;
		$got{join "\n", sort split /\n/, $i->run->{err}}++ for 1 .. 10;
		is(scalar keys %got, 1, "null-stderr = $stderr: ten times the same")
		    or diag(explain(\%got));
		my ($err) = keys %got;
		like($err, $lost, 'what was lost');
		like($err,
		    qr/^remote: the tunnel command ended with status 255$/m,
		    'how it ended');
		like("$err\n", qr/^\Q$said\E/m, 'what it said');
		is(scalar(() = $err =~ /no route/g), 1, 'once');
	}
};

subtest 'it has no part in what fails' => sub {
	$i->change(remote => tunnel('SERVE 2>/dev/null; echo bye >&2',
	    'null-stderr' => 'YES'));
	my $r = $i->run('nobody has it');
	is($r->{status}, 1, 'a mailbox that nobody has');
	like($r->{err}, qr/\A.*"nobody has it".*\n\z/, 'nothing else is said');
};

subtest 'its last words' => sub {
	my $words = sub { return join "\n", map { s/^.* said: //r }
	    grep { / said: / } split /\n/, $_[0]{err} };
	my %null = ('null-stderr' => 'YES');

	$i->change(remote => tunnel("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do " .
	    "echo line \$i >&2; done; $tail", %null));
	is($words->($i->run), join("\n", map { "line $_" } 5 .. 12),
	    'the last lines');
	$i->change(remote => tunnel("printf 'one\\r\\n\\n\\r\\ntwo' >&2; " .
	    $tail, %null));
	is($words->($i->run), "one\ntwo", 'CR LF, and no end');
	$i->change(remote => tunnel("printf '\\033[2J\\007red\\n' >&2; " .
	    $tail, %null));
	is($words->($i->run), '^[[2J\ared', 'what a terminal would obey');
	$i->change(remote => tunnel("printf '\\033[2J\\007red\\n' >&2; $tail"));
	like($i->run->{err}, qr/^\^\[\[2J\\ared$/m, 'also as it comes');
	$i->change(remote => tunnel('perl -e \'print STDERR "x" x 100000\'; ' .
	    $tail, %null));
	my $long = $words->($i->run);
	ok(length($long) > 100 && length($long) < 1000, 'a line without end');

	# Before the first octet of IMAP, whatever the status.
	$i->change(remote => tunnel('echo key has changed >&2; exit 0', %null));
	is($words->($i->run), 'key has changed', 'status 0');
	$i->change(remote => tunnel('echo This account is not available; ' .
	    'echo away >&2', %null));
	my $r = $i->status_is(1, 'no IMAP');
	is($words->($r), 'away', 'what it said is shown, too');

	# The other side's are of no interest.
	$i->change(local => { %{ $local->section(tunnel => 1) } },
	    remote => tunnel("sleep 0.2; $tail", %null));
	$i->change(local => tunnel("echo noise >&2; exec " .
	    $local->section(tunnel => 1)->{command}, %null));
	$r = $i->status_is(75, 'the remote one fails');
	unlike($r->{err}, qr/noise/, 'the local one is silent');
	$i->change(local => $local->section(tunnel => 1));
};

subtest 'a log' => sub {
	my $log = "$i->{home}/log";

	$i->change(conf => { logfile => $log },
	    remote => tunnel("echo words >&2; $tail"));
	my $err = $i->run->{err};
	is(scalar(() = $err =~ /words/g), 1, 'said once');
	like(slurp($log), qr/remote: the tunnel command said: words$/m,
	    'and written down');
	$i->change(conf => { logfile => undef });
};

subtest 'nothing is wrong' => sub {
	$i->change(remote => tunnel("echo words >&2; exec SERVE",
	    'null-stderr' => 'YES'));
	$i->silent_ok('null-stderr');
	$i->change(remote => tunnel("echo words >&2; exec SERVE"));
	is($i->sync_ok('without it')->{err}, "words\n", 'its words');
	$i->change(remote => tunnel("SERVE; echo bye >&2; exit 3",
	    'null-stderr' => 'YES'));
	$i->silent_ok('a status that comes too late');
};

subtest 'it comes as it is said' => sub {
	$i->change(remote => tunnel("printf 'passphrase: ' >&2; " .
	    "until [ -e $dir/go ]; do sleep 0.1; done; exec SERVE"));
	my $pid = $i->start;
	ok(eval { wait_for(20, 'half a line', sub {
		slurp($i->{run}{$pid}{err}) eq 'passphrase: ' }) },
	    'half a line');
	spew("$dir/go", '');
	is($i->wait($pid)->{status}, 0, 'it goes on');
};

subtest 'much of it' => sub {
	my $flood = 'perl -e \'print STDERR "words\n" x 200000\'';

	$i->change(remote => tunnel("$flood; exec SERVE",
	    'null-stderr' => 'YES'));
	$i->silent_ok('dropped');
	$i->change(remote => tunnel("$flood & SERVE",
	    'null-stderr' => 'YES'));
	$i->silent_ok('while it works');

	# Nobody reads our standard error.
	$i->change(remote => tunnel("$flood; exec SERVE"));
	pipe(my $read, my $write) or die "pipe: $!\n";
	my $pid = spawn([Imapsync::Imapsync::program(), '--quiet'],
	    err => $write, env => $i->environment, dir => $i->{home});
	close $write;
	is(Imapsync::Proc::reap($pid, 60), 0, 'nobody reads it: it ends');
};

# As ssh with ControlPersist does.
subtest 'what it leaves behind' => sub {
	my $left = "sleep 100 <&- >&- & echo \$! >>$dir/left; echo words >&2;";

	$i->change(remote => tunnel("$left exec SERVE",
	    'null-stderr' => 'YES'));
	my $r = $i->silent_ok('a run');
	cmp_ok($r->{seconds}, '<', 50, 'does not wait for it');
	$i->change(remote => tunnel("$left $tail", 'null-stderr' => 'YES'));
	$r = $i->status_is(75, 'a run that fails');
	cmp_ok($r->{seconds}, '<', 50, 'does not wait for it');
	like($r->{err}, qr/ended with status 255$/m, 'and says why');
	my @left = split /\n/, slurp("$dir/left");
	is(kill('TERM', @left), 2, 'both live on');
};

subtest '--watch' => sub {
	$i->change(remote => tunnel("echo words >&2; echo x >>$dir/count; " .
	    $tail));
	my $w = Imapsync::Watch->new($i, '--watch=600');
	wait_for(30, 'three sessions', sub {
	    (-s "$dir/count" // 0) >= 6 });
	$w->status;
	is(scalar(() = $w->err =~ /words/g), 1, 'its words, once');
	is(scalar(() = $w->err =~ /status 255/g), 1, 'its status, once');
	$i->change(remote => $remote->section(tunnel => 1));
	$w->look;
	$w->says(20, qr/are back/);
	is($w->end('TERM')->{signal}, 15, 'SIGTERM');
};

done_testing;

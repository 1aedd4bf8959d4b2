#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Ctrl-C on a terminal: the commands of the user's get the signal as well, and
# end in the same moment.  That is no news.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp wait_for spawn alive descendants);

plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $dir = tmpdir();
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $silent = Imapsync::Fake->new(script => sub { $_[0]->until_closed });
my $tunnel = $local->section(tunnel => 1)->{command};
my $i = Imapsync::Imapsync->new(local => {}, remote => {});

# Eight runs in a process group each, which gets SIGINT once they are so far.
sub interrupted
{
	my ($what, $ready) = @_;
	my %got;

	for my $n (1 .. 8) {
		my $err = spew("$dir/err", '');
		unlink "$dir/mark";
		my $pid = spawn([Imapsync::Imapsync::program()], err => $err,
		    env => $i->environment, dir => $i->{home}, group => 1);
		wait_for(20, $what, sub { $ready->($pid) });
		my @all = descendants($pid);
		kill 'INT', -$pid;
		my $status = Imapsync::Proc::reap($pid, 30);
		my $end = defined $status ? 'signal ' . ($status & 127) :
		    'never';
		$end .= ', not all' if alive(@all);
		$got{$end . slurp($err)}++;
	}
	is_deeply(\%got, { 'signal 2' => 8 }, "$what: not a word") or
	    diag(explain(\%got));
}

# A command that leaves a mark, and waits; one that has its own idea of the
# signal, as ssh(1) and pass(1) have.
my $waits = spew("$dir/waits", "#!/bin/sh\n: >$dir/mark\nexec sleep 60\n",
    0755);
my $traps = spew("$dir/traps", "#!$^X\n\$SIG{INT} = sub { exit 255 };\n" .
    "open my \$fh, '>', '$dir/mark'; close \$fh;\nsleep 60;\n", 0755);

for my $command ($waits, $traps) {
	my ($name) = $command =~ m{([^/]+)$};

	$i->change(local => { type => 'tunnel', command => $tunnel },
	    remote => $silent->section(password => undef,
	    'password-command' => $command));
	interrupted("a password-command, $name", sub { -e "$dir/mark" });
}

done_testing;

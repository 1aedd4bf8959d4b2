#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --patience: a server that can't be reached is a matter of the log until the
# last good run is too long ago; then it is said, and the exit status is 1.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(slurp spew free_port which run_command wait_for tmpdir);
use Imapsync::Watch;

my $sqlite = which('sqlite3') // plan skip_all => 'there is no sqlite3(1)';
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new;
my $gone = free_port();
my $cannot = qr/^remote: cannot connect to 127\.0\.0\.1 port $gone .*\n/;
my $overdue = qr/no run was good for more than 1d\n/;

# A client whose state is so many seconds old.
sub client
{
	my ($age, %o) = @_;
	my $i = Imapsync::Imapsync->new(remote => $remote->section(
	    port => $gone), %o, local => $local->section(tunnel => 1));

	$i->run('--quiet');
	age($i, $age);
	return $i;
}

sub age
{
	my ($i, $age, $column) = @_;

	run_command([$sqlite, $i->state_file, 'UPDATE account SET ' .
	    ($column // 'made') . " = strftime('%s', 'now') - $age"]);
}

use constant DAY => 86400;

subtest 'one run' => sub {
	my $i = client(DAY - 100);

	like($i->status_is(75, 'without it')->{err}, qr/\A$cannot\z/,
	    'said at once');
	my $r = $i->status_is(75, 'not over', '--patience=1d');
	is("$r->{out}$r->{err}", '', 'silent');
	$r = $i->run('--patience=1d', '--debug');
	is($r->{status}, 75, 'with --debug');
	like($r->{err}, $cannot, 'said');
	age($i, DAY + 100);
	$r = $i->status_is(1, 'over', '--patience=1d');
	like($r->{err}, qr/\A$cannot$overdue\z/, 'said');
	$r = $i->status_is(75, 'a longer one', '--patience=2w');
	is($r->{err}, '', 'silent');
	# What is noted may be an hour older than the truth.
	age($i, DAY + 3500, 'synced');
	is($i->status_is(75, 'since a good run', '--patience=1d')->{err}, '',
	    'silent');
	age($i, DAY + 3700, 'synced');
	like($i->status_is(1, 'too long ago', '--patience=1d')->{err},
	    qr/\A$cannot$overdue\z/, 'said');
};

subtest 'a name that is not known' => sub {
	my $i = client(2 * DAY, remote => $remote->section(
	    host => 'nowhere.invalid'));

	like($i->status_is(1, 'over', '--patience=1d')->{err},
	    qr/\Aremote: cannot look up .*\n$overdue\z/, 'said');
	age($i, 0, 'synced');
	is($i->status_is(75, 'not over', '--patience=1d')->{err}, '',
	    'silent');
};

subtest 'another run has the state' => sub {
	my $i = client(0);
	my $fake = Imapsync::Fake->new(script => sub { $_[0]->until_closed });

	$i->change(remote => $remote->section(port => $fake->port));
	my $pid = $i->start;
	wait_for(20, 'a run that does not get on',
	    sub { $i->roles($pid)->{engine} });
	$i->status_is(75, 'a state that is in use', '--patience=1d');
	utime time - 2 * DAY, time - 2 * DAY, $i->state_file;
	my $r = $i->status_is(1, 'by a run that hangs', '--patience=1d');
	like($r->{err}, qr/in use by process \d+.*\n$overdue\z/, 'said');
	kill 'TERM', $pid;
	$i->wait($pid);
};

subtest 'the log' => sub {
	my $i = client(0);
	my $log = "$i->{home}/log";

	$i->change(conf => { logfile => $log });
	is($i->status_is(75, 'silent', '--patience=1d')->{err}, '',
	    'on standard error');
	like(slurp($log), qr/cannot connect/, 'but not in the log');
};

subtest 'other errors' => sub {
	my $i = client(0);

	$i->change(remote => $remote->section(password => 'wrong'));
	my $r = $i->status_is(1, 'a wrong password', '--patience=1d');
	like($r->{err}, qr/refuses the login/, 'is said');
	$i->change(remote => $remote->section(password => undef,
	    'password-command' => 'false'));
	$r = $i->status_is(1, 'a password-command that fails',
	    '--patience=1d');
	like($r->{err}, qr/password-command failed/, 'is said');
};

subtest '--watch' => sub {
	my $i = client(0);
	my $log = "$i->{home}/log";

	$i->change(conf => { logfile => $log });
	my $w = Imapsync::Watch->new($i, '--watch=600', '--patience=1d');
	my $lines = sub { scalar(() = slurp($log) =~ /cannot connect/g) };
	wait_for(20, 'a line in the log', sub { -e $log && $lines->() > 0 });
	like($w->status, qr/^waiting \d+ s/, 'it waits');
	$w->look;
	sleep 1;
	$w->status;
	is($w->err, '', 'silent');
	is($lines->(), 1, 'one line in the log');

	age($i, 2 * DAY);
	$w->look;
	$w->says(20, $overdue);
	$w->look;
	sleep 1;
	$w->status;
	is($w->lines, 2, 'over: said once') or diag($w->err);

	$i->change(remote => $remote);
	$w->look;
	$w->says(20, qr/are back/);
	is($w->end('TERM')->{signal}, 15, 'SIGTERM');
};

subtest 'the command line' => sub {
	my $i = client(0);

	for my $bad ('', '1', 'd', '0d', '-1d', '1y', '1d2h', '1.5d',
	    '99999w') {
		like($i->status_is(2, "--patience=$bad",
		    "--patience=$bad")->{err}, qr/^imapsync: --patience takes/,
		    'says what it takes');
	}
	is($i->status_is(75, $_, "--patience=$_")->{err}, '', 'silent')
	    for '5m', '12h', '1d', '1D', '3w';
};

done_testing;

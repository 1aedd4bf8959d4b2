#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The processes of a running sync: locked up, with the descriptors that they
# need and no other, without core dumps.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(count);
use Imapsync::Proc qw(proc_field slurp alive descendants descriptors
    wait_for);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @workers = qw(engine store local remote);

# How many of each kind above 2.
sub kinds
{
	my ($fd) = @_;
	my %n;

	for my $number (grep { $_ > 2 } keys %$fd) {
		my $kind = $fd->{$number};
		$kind =~ s/:\[.*//;
		$n{$kind}++;
	}
	return \%n;
}

sub core_limit
{
	my ($pid) = @_;

	return slurp("/proc/$pid/limits") =~
	    /^Max core file size +(\S+) +(\S+)/m ? "$1 $2" : 'none';
}

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $c = $remote->client;
$c->append_many('INBOX', map { { body => message($_, size => 4000) } }
    1 .. 300);
$c->close;

# The relay holds in the midst of the bodies.
my $relay = Imapsync::Relay->new(port => $remote->port,
    hold => { s2c => 200_000 });
my $i = Imapsync::Imapsync->new(local => $local,
    remote => $remote->section(port => $relay->port));
my $pid = $i->start;
ok($relay->held, 'a run in the midst of its bodies') or
    diag($i->wait($pid, killed => 1)->{err});
my $role = $i->roles($pid);
my @all = descendants($pid);

is_deeply([sort grep { $_ ne 'tunnels' } keys %$role],
    [sort 'supervisor', @workers], 'all processes are there');
ok(@{ $role->{tunnels} } >= 1, 'the tunnel, too');

for my $name (@workers) {
	my $p = $role->{$name} // 0;
	is(proc_field($p, 'Seccomp'), '2', "$name: seccomp filter");
	is(proc_field($p, 'NoNewPrivs'), '1', "$name: no_new_privs");
	is(core_limit($p), '0 0', "$name: no core dumps");
}
is(core_limit($pid), '0 0', 'supervisor: no core dumps');
for my $p (@{ $role->{tunnels} }) {
	is(proc_field($p, 'Seccomp'), '0', 'tunnel: no filter of ours');
	is(proc_field($p, 'NoNewPrivs'), '0', 'tunnel: may use setuid');
	is_deeply(kinds(descriptors($p))->{tcp}, undef,
	    'tunnel: no connection of ours');
}

# A kernel shows the descriptors of an undumpable process to root only.
SKIP: {
	skip('only root sees the descriptors', 10)
	    unless opendir(my $dh, "/proc/$role->{engine}/fd");
	closedir $dh;
	for my $side ('local', 'remote') {
		my $fd = descriptors($role->{$side});
		is_deeply([@$fd{0, 1, 2}], [('/dev/null') x 3],
		    "$side: /dev/null on 0, 1, 2");
		# Channel, bridge and server; lifeline.
		my $want = $side eq 'remote' ?
		    { socket => 2, tcp => 1, pipe => 1 } :
		    { socket => 3, pipe => 1 };
		is_deeply(kinds($fd), $want, "$side: nothing else") or
		    diag(explain($fd));
	}

	my $fd = descriptors($role->{store});
	is_deeply([@$fd{0, 1, 2}], [('/dev/null') x 3],
	    'store: /dev/null on 0, 1, 2');
	my $kinds = kinds($fd);
	my $dir = "$i->{home}/data/imapsync";
	my @files = grep { m{^/} } keys %$kinds;
	is_deeply([grep { index($_, $dir) != 0 } @files], [],
	    'store: no file outside its directory');
	ok((grep { /\.db$/ } @files), 'store: its file');
	delete @$kinds{@files};
	is_deeply($kinds, { socket => 1, pipe => 1 }, 'store: nothing else') or
	    diag(explain($fd));

	# Control socket, three channels; lifeline; what it prints to.
	$fd = descriptors($role->{engine});
	is_deeply(kinds($fd), { socket => 4, pipe => 1 },
	    'engine: nothing else') or diag(explain($fd));

	$fd = descriptors($pid);
	is_deeply([grep { $_ eq 'tcp' } values %$fd], [],
	    'supervisor: no server');
}

$relay->release;
my $r = $i->wait($pid);
is($r->{status}, 0, 'the run goes on and ends well') or diag($r->{err});
wait_for(5, 'the end of all', sub { !alive(@all) });
pass('nothing is left running');

# The death of each of them ends all of them.
for my $name ('supervisor', @workers) {
	$c = $remote->client;
	$c->append_many('INBOX', map { { body => message($_, size => 4000) } }
	    1 .. 100);
	$c->close;
	my $line = Imapsync::Relay->new(port => $remote->port,
	    hold => { s2c => 100_000 });
	$i->change(remote => $remote->section(port => $line->port));
	$pid = $i->start;
	ok($line->held, 'held') or diag($i->wait($pid, killed => 1)->{err});
	$role = $i->roles($pid);
	@all = ([$pid, (split ' ', (slurp("/proc/$pid/stat") =~
	    /\) \S \d+ (.*)/s)[0])[17], 'supervisor'], descendants($pid));
	kill 'KILL', $role->{$name} // die "no $name\n";
	$r = $i->wait($pid, killed => 1);
	my $ended = eval {
		wait_for(5, 'all to end', sub { !alive(@all) }) };
	ok($ended, "$name is killed: all end") or
	    diag(map { "@$_\n" } alive(@all));
	if ($name ne 'supervisor') {
		ok($r->{status} != 0, "$name: exit status $r->{status}");
		isnt($r->{err}, '', "$name: a message");
	}
	$line->stop;
	$i->change(remote => $remote->section);
	$i->sync_ok("$name: the next run");
	is(count($local), count($remote), "$name: nothing twice");
}

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Names and addresses: several are tried in turn, a slow one does not hold up
# the next, literals in brackets.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use IO::Socket::IP;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew forked free_port is_root which run_command);
use Imapsync::Tls ();

my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new;
my $port = $remote->port;
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});

sub listen_on
{
	my ($host, $number, $backlog) = @_;

	return IO::Socket::IP->new(LocalHost => $host, LocalPort => $number,
	    Listen => $backlog, Proto => 'tcp', V6Only => scalar($host =~ /:/),
	    ReuseAddr => 1);
}

# Another address with the model behind it.
sub relay
{
	my ($listen) = @_;

	return forked(sub {
		while (1) {
			my $sock = $listen->accept or next;
			my $server = IO::Socket::IP->new(PeerPort => $port,
			    PeerHost => '127.0.0.1') or next;
			Imapsync::Tls::pump($sock, $server);
		}
	}, $listen);
}

sub connects
{
	my ($what, %keys) = @_;

	$i->lose_state;
	$i->change(remote => $remote->section(%keys));
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $i->sync_ok($what);
}

sub fails
{
	my ($what, $says, %keys) = @_;

	$i->lose_state;
	$i->change(remote => $remote->section(%keys));
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $i->status_is(75, $what);
	$i->says_once($r, $says, $what);
	return $r;
}

connects('a literal', host => '127.0.0.1');
connects('in brackets', host => '[127.0.0.1]');
my $nobody = free_port();
fails('refused', qr/^remote: cannot connect to 127\.0\.0\.1 port $nobody /,
    port => $nobody);
fails('a name that does not exist',
    qr/^remote: cannot look up nowhere\.invalid: /,
    host => 'nowhere.invalid');
subtest 'IPv6' => sub {
	my $listen = listen_on('::1', 0, 5) //
	    plan skip_all => 'there is no ::1';
	relay($listen);
	connects('a literal', host => '[::1]', port => $listen->sockport);
	my $free = free_port();
	fails('refused', qr/cannot connect to ::1 port $free /,
	    host => '[::1]', port => $free);
};

# A name of our own needs our own /etc/hosts: a mount namespace.
my $wrapper = tmpdir() . '/wrapper';
my $hosts = spew(tmpdir() . '/hosts', "127.0.0.1 localhost\n" .
    "::1 both\n127.0.0.1 both\n127.0.0.2 four\n127.0.0.1 four\n");

sub own_hosts
{
	my $unshare = which('unshare');

	return 'only root can have its own /etc/hosts' unless is_root();
	return 'unshare(1) is missing' unless $unshare;
	spew($wrapper, "#!/bin/sh\nexec $unshare -m sh -c 'mount --bind " .
	    "$hosts /etc/hosts && exec \"\$0\" \"\$@\"' \"\$@\"\n", 0755);
	my $out = eval { run_command([$wrapper, qw(getent ahosts four)]) };
	return ($out // '') =~ /127\.0\.0\.2/ ? '' :
	    'no mount namespace of our own';
}

subtest 'several addresses' => sub {
	my $why = own_hosts();
	plan skip_all => $why if $why;
	my $real = Imapsync::Imapsync::program();
	my $run = spew(tmpdir() . '/imapsync',
	    "#!/bin/sh\nexec $wrapper $real \"\$@\"\n", 0755);
	no warnings 'redefine';
	local *Imapsync::Imapsync::program = sub { $run };

	my $r = connects('the first refuses', host => 'four');
	$nobody = free_port();
	fails('all refuse', qr/(?=.*127\.0\.0\.1\): )(?=.*127\.0\.0\.2\): )/,
	    host => 'four', port => $nobody);
	connects('two families', host => 'both');
	my $listen = listen_on('::1', 0, 5);
	if ($listen) {
		relay($listen);
		connects('two families, the other', host => 'both',
		    port => $listen->sockport);
	}

	# Nobody accepts on the first, and its queue is full.
	my $out = run_command([$wrapper, qw(getent ahostsv4 four)]);
	my ($first) = $out =~ /^(\S+)/;
	my $full = listen_on($first, 0, 1);
	my $p = $full->sockport;
	relay(listen_on($first eq '127.0.0.1' ? '127.0.0.2' : '127.0.0.1', $p,
	    5));
	my @waiting = map { IO::Socket::IP->new(PeerHost => $first,
	    PeerPort => $p, Blocking => 0) } 1 .. 4;
	select undef, undef, undef, 0.2;
	$r = connects('the first is slow', host => 'four', port => $p);
	cmp_ok($r->{seconds}, '>=', 0.25, 'it had its time');
	cmp_ok($r->{seconds}, '<', 5, 'but no more');
};

done_testing;

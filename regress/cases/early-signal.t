#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# SIGUSR1 and SIGHUP at any moment of a run that has begun end nothing and change
# nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep);
use Imapsync::Imapsync;
use Imapsync::Proc qw(descendants proc_field);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my ($local, $remote) = map { Imapsync::Server->new(name => $_) } 'local',
    'remote';
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
$i->sync_ok('in sync');

for my $signal ('USR1', 'HUP') {
	my %bad;
	for my $n (1 .. 20) {
		my $pid = $i->start;
		# Before it has a child it is not the program's to decide.  On
		# a busy machine it may be over before it is looked at.
		1 until descendants($pid) ||
		    (proc_field($pid, 'State') // 'Z') =~ /^Z/;
		for (1 .. 400) {
			kill $signal, $pid;
			sleep 0.0005;
		}
		my $r = $i->wait($pid);
		my $err = $r->{err} =~ s/^status: .*\n//gmr;
		$bad{"$r->{status}, signal $r->{signal}: $err"}++
		    if $r->{status} || $r->{signal} || $err ne '';
	}
	is(join('', sort keys %bad), '',
	    "$signal: no run ends by it, or says more than its status");
}
done_testing;

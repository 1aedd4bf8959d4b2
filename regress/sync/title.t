#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# ps(1) tells the processes apart, and shows no more than that.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(slurp wait_for);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/cmdline';

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $c = $remote->client;
$c->append_many('INBOX', map { { body => message($_, size => 4000) } }
    1 .. 50);
$c->close;
my $relay = Imapsync::Relay->new(port => $remote->port,
    hold => { s2c => 50_000 });
my $host = 'a-rather-long-name-of-a-host.mail.example.org';
my $i = Imapsync::Imapsync->new(
    local => { %{ $local->section }, host => $host },
    remote => $remote->section(port => $relay->port));
my $pid = $i->start;
ok($relay->held, 'a run in the midst of its bodies') or
    diag($i->wait($pid, killed => 1)->{err});
my $role = $i->roles($pid);
my %want = (store => 'imapsync-store: store',
    engine => 'imapsync: engine', local => "imapsync-net: local $host",
    remote => 'imapsync-net: remote 127.0.0.1');
for my $name (sort keys %want) {
	my $title = slurp("/proc/$role->{$name}/cmdline") =~ s/\0+\z//r;
	is($title =~ s/^imapsync-engine:/imapsync:/r, $want{$name}, $name);
}
$relay->release;
is($i->wait($pid)->{status}, 0, 'it ends well');

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A lost state doubles nothing, and --adopt goes on with a mailbox that is not
# what it was.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of samples);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', sep => '.');
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

my $lc = $local->client;
my $rc = $remote->client;
my %mail = samples();
$lc->create('a/b');
$lc->append_many('INBOX', map { { body => $mail{$_},
    date => date_of(length $mail{$_}) } } sort keys %mail);
$lc->append_many('a/b', map { { body => message($_), flags => '\Seen',
    date => date_of($_) } } 1 .. 30);
$rc->append_many('INBOX', map { { body => message($_, id => 0),
    date => date_of($_) } } 31 .. 60);
$i->sync_ok('first run');
my $snap = same_content($local, $remote, 'equal');
my $all = total($snap);

$i->lose_state;
$i->sync_ok('the state is lost');
$snap = same_content($local, $remote, 'equal');
is(total($snap), $all, 'nothing twice');
$i->silent_ok;

# Meanwhile both sides went on.
$i->lose_state;
$lc->append('a/b', message(100), date => date_of(100));
$rc->append('INBOX', message(101), date => date_of(101));
$lc->store('a/b', '1:5', '+FLAGS', '\Flagged');
$rc->store('a.b', '3:9', '+FLAGS', '$There');
$lc->store('a/b', '20', '+FLAGS', '\Deleted');
$i->sync_ok('lost, and both sides changed');
$snap = same_content($local, $remote, 'equal');
is(total($snap), $all + 2, 'only what is new is copied');
my @flags = map { /\[(.*)\]/ } keys %{ $snap->{'a|b'}{messages} };
is((grep { /\\flagged/ } @flags), 5, 'flags of one');
is((grep { /\$there/ } @flags), 7, 'and of the other');
is((grep { /\\deleted/ } @flags), 0, '\Deleted only if both have it');
$i->silent_ok;

# Copies: the same message several times on both sides.
$lc->create('copies');
$lc->append_many('copies', map { { body => message(7),
    date => date_of(7) } } 1 .. 3);
$rc->create('copies');
$rc->append_many('copies', map { { body => message(7),
    date => date_of(7) } } 1 .. 5);
$i->sync_ok('three here, five there');
$snap = same_content($local, $remote, 'equal');
is(total({ x => $snap->{copies} }), 5, 'five on both');
$i->silent_ok;

# The same text at another time, without a Message-ID, is another message.
$lc->create('times');
$lc->append('times', message(8, id => 0), date => date_of(8));
$rc->create('times');
$rc->append('times', message(8, id => 0), date => date_of(9));
$i->sync_ok('equal, but for the date');
$snap = same_content($local, $remote, 'equal');
is(total({ x => $snap->{times} }), 2, 'two messages');

# UIDVALIDITY changes: the mailbox was made again.
$rc->delete('a.b');
$rc->create('a.b');
$rc->append('a.b', message(5), flags => '\Seen', date => date_of(5));
$rc->append('a.b', message(200), date => date_of(200));
my $before = $lc->status('a/b')->{MESSAGES};
$lc->append('INBOX', message(300));
my $r = $i->status_is(3, 'made again: stopped');
like($r->{err}, qr{a/b.*UIDVALIDITY.*--adopt}si, 'what and what to do');
is($lc->status('a/b')->{MESSAGES}, $before, 'nothing deleted');
is($rc->status('a.b')->{MESSAGES}, 2, 'nothing copied');
my ($n, $m) = map { $_->status('INBOX')->{MESSAGES} } $lc, $rc;
is($n, $m, 'the others go on');
$i->status_is(3, 'still stopped');
$i->sync_ok('--adopt', '--adopt', 'a/b');
$snap = same_content($local, $remote, 'equal');
is(total({ x => $snap->{'a|b'} }), $before + 1, 'nothing twice, none lost');
$i->silent_ok;

$_->close for $lc, $rc;
done_testing;

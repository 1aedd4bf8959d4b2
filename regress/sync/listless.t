#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Turns of a run without changes where LIST tells no STATUS: as many as where it
# does, LOGIN's and LOGOUT's packets included.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Alter;
use Imapsync::Compare qw(same_content);
use Imapsync::Hidden;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(spew);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;
my @names = map { sprintf 'dir/box%02d', $_ } 1 .. 10;

# A Dovecot with a login that lacks these, behind a relay that counts.
sub setting
{
	my (@hidden) = @_;
	my $n = ++$number;
	my $local = Imapsync::Server->new(name => "local$n");
	my $remote = Imapsync::Server->new(name => "remote$n", daemon => 1,
	    mechs => 'plain login');
	my $pipe = spew($remote->dir . '/pipe', "#!/bin/sh\nexec '$^X' " .
	    "'$FindBin::Bin/../lib/pipe' " . $remote->port . "\n", 0755);
	my $alter = Imapsync::Alter->new(hidden(@hidden), user =>
	    $remote->{user}, password => $remote->{password}, server =>
	    bless({ %$remote, command => $pipe }, ref $remote));
	my $relay = Imapsync::Relay->new(port => $alter->port, log => 1);
	my $c = $local->client;

	$c->create($_) for @names;
	$c->append_many($_, map { { body => message($_) } } 1 .. 3)
	    for @names[0 .. 2];
	$c->close;
	my $i = Imapsync::Imapsync->new(local => $local, remote =>
	    $alter->section(port => $relay->port, 'flags-interval' => '1h'));
	$i->sync_ok('first run');
	same_content($local, $remote, 'equal');
	return ($i, $relay, $alter, $local, $remote);
}

# A run that changes nothing, in so many turns, with so many STATUS.
sub turns_are
{
	my ($i, $relay, $turns, $statuses, $what, @args) = @_;

	$i->sync_ok($what, @args);
	is($relay->result->{turns}, $turns, "$what: $turns turns") or
	    diag($relay->octets('turns'));
	my @asked = $relay->octets('c2s') =~ /^\S+ STATUS ("[^"]*")/mg;
	is(scalar @asked, $statuses, "$what: $statuses STATUS");
	unlike($relay->octets('c2s'), qr/SELECT|EXAMINE/, "$what: no SELECT");
}

my @extended = ('LIST-EXTENDED', 'LIST-STATUS', 'SPECIAL-USE');
my %without = (
	condstore => ['QRESYNC', @extended],
	plain => [plain()],
);

for my $what (sort keys %without) {
	subtest $what => sub { counted($what, @{ $without{$what} }) };
}

sub counted
{
	my ($what, @hidden) = @_;
	my ($i, $relay, $alter, $local) = setting(@hidden);
	my $last = $what eq 'plain' ? 'UNSEEN' : 'HIGHESTMODSEQ';

	# What the first run has changed is selected once more.
	$i->sync_ok('once more');
	turns_are($i, $relay, 3, 11, 'no change');
	like($relay->octets('c2s'), qr/STATUS "dir\/box10" .* $last\)/,
	    'asked by name, with all numbers');

	# Of what the state does not know LIST has to tell first.
	my $c = $local->client;
	$c->create('dir/new');
	$c->append('dir/box07', message(7));
	$c->close;
	$i->sync_ok('a mailbox and a message');
	$i->sync_ok('once more');
	turns_are($i, $relay, 3, 12, 'it is known now');
	rounds($i, $relay) if $what eq 'plain';
	lists($i, $relay, $local) if $what eq 'plain';
	# Behind LOGIN in its packet more is hoped for, once.
	is(join("\n", grep { !/: ENABLE QRESYNC$|: LIST "" \("\*"\) RETURN /
	    } split /\n/, refused($alter)), '',
	    'nothing else was sent that is not offered');
}

# --watch where neither NOTIFY nor IDLE can be had: a look at all is one packet.
sub rounds
{
	my ($i, $relay) = @_;
	my $w = Imapsync::Watch->new($i, '--watch=600', '--debug');

	$w->ready;
	$w->look;
	$w->says(30, qr/(?:C: A\d+ STATUS "dir\/new".*?){2}/s);
	$w->end('TERM');
	is($relay->result->{turns}, 4, 'two looks: 4 turns') or
	    diag($relay->octets('turns'));
	my @asked = $relay->octets('c2s') =~ /^\S+ STATUS ("[^"]*")/mg;
	is(scalar @asked, 24, 'each asks for all mailboxes');
	unlike($relay->octets('c2s'), qr/EXAMINE|SELECT/, 'and opens none');
}

# What is named has its flags listed, and nothing else: a turn more; and one for
# the delimiter.
sub lists
{
	my ($i, $relay, $local) = @_;

	$i->sync_ok('arguments', 'dir/box01', 'dir/box07');
	is($relay->result->{turns}, 5, 'arguments: 5 turns') or
	    diag($relay->octets('turns'));
	is(join(' ', $relay->octets('c2s') =~ /^\S+ (?:SELECT|STATUS) "(\S+)"/mg),
	    'dir/box01 dir/box07 dir/box01 dir/box07', 'of those two');
	my $told = $relay->octets('s2c');
	my @lines = $told =~ /^(\* \d+ FETCH \(UID \d+ FLAGS .*\r\n)/mg;
	is(scalar @lines, 4, '4 messages');
	cmp_ok(length(join '', @lines), '<=', 4 * 55,
	    'at most 55 octets of each');
	my $r = $i->sync_ok('--check', '--check');
	like($r->{out}, qr/^    a run without changes: 1 round trip behind the login (?#
	    )at most, about 2\.7 kB$/m, 'what a run costs') or
	    diag($r->{out});
	like($r->{out}, qr/^    not promised: a change of flags .* with 10 messages; (?#
	    ).*about 500 B/m, 'what is not promised') or diag($r->{out});
	# INBOX's are listed in each run.
	my $c = $local->client;
	$c->append('INBOX', message(8));
	$c->close;
	$i->sync_ok('a message in INBOX');
	$r = $i->sync_ok('--check', '--check');
	like($r->{out}, qr/changes: 2 round trips .*^    in it: the flags of 1 m/ms,
	    'a list is in it');
	$i->sync_ok('INBOX');
	is($relay->result->{turns}, 4, 'INBOX: 4 turns');
	is(join(' ', $relay->octets('c2s') =~ /^\S+ SELECT "(\S+)"/mg),
	    'INBOX', 'INBOX alone');
}

done_testing;

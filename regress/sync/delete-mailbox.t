#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# A mailbox that was deleted on one server is deleted on the other if
# delete-mailbox says so, and never with mail in it that is nowhere else.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(snapshot);
use Imapsync::Pair qw(pair put);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my ($local, $remote, $i);

sub names
{
	my ($server) = @_;
	my $snap = snapshot($server);

	return join ' ', map { ($snap->{$_}{subscribed} && !/^INBOX/ ?
	    '!' : '') . $_ }
	    grep { $snap->{$_}{selectable} } sort keys %$snap;
}

# The names on both servers and in the state.
sub names_are
{
	my ($on_local, $on_remote, $in_state, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(names($local), $on_local, "$what: local");
	is(names($remote), $on_remote, "$what: remote");
	is(join(' ', sort map { s/\x01/|/gr } $i->sql('SELECT name FROM ' .
	    'mailbox')), $in_state, "$what: the state");
}

# name => number of messages.
sub begin
{
	my ($rule, $boxes, %o) = @_;

	($local, $remote, $i) = pair(%o, conf => { 'delete-mailbox' => $rule,
	    'rename-mailbox' => 'never' });
	my $c = $local->client;
	for my $name (sort keys %$boxes) {
		$c->create($name) unless $name eq 'INBOX';
		put($c, $boxes->{$name}, $name) if $boxes->{$name} > 0;
	}
	$c->subscribe('a') if $boxes->{a};
	$c->close;
	$i->sync_ok('first run');
}

sub on
{
	my ($server, $sub) = @_;
	my $c = $server->client;

	$sub->($c);
	$c->close;
}

sub drop
{
	my ($server, @names) = @_;

	on($server, sub { $_[0]->delete($_) for @names });
}

my %some = (INBOX => 30, a => 3, 'a/b' => 2, e => 0, x => 2);

subtest 'never, empty' => sub {
	begin('never', \%some);
	drop($local, 'e', 'x');
	my $r = $i->status_is(3, 'never');
	like($r->{err}, qr/^e: it is gone on the local server and was left/m,
	    'told');
	names_are('INBOX !a a|b', 'INBOX !a a|b e x', 'INBOX a a|b e x',
	    'never');
	$i->change(conf => { 'delete-mailbox' => 'empty' });
	my $dry = $i->status_is(3, 'dry run', '--dry-run');
	is($dry->{out}, "e: to delete on remote (0 messages)\n", 'says it');
	names_are('INBOX !a a|b', 'INBOX !a a|b e x', 'INBOX a a|b e x',
	    'a dry run');
	$r = $i->status_is(3, 'empty');
	like($r->{err}, qr/^e: the mailbox was deleted on remote, as on local$/m,
	    'said');
	like($r->{err}, qr/^x: it is gone on the local .* it has 2 messages:/m,
	    'this one is not');
	names_are('INBOX !a a|b', 'INBOX !a a|b x', 'INBOX a a|b x', 'empty');
	# Nothing of what it held is there any more.
	on($remote, sub { $_[0]->expunge('x', '1:*') });
	$i->sync_ok('empty now');
	names_are('INBOX !a a|b', 'INBOX !a a|b', 'INBOX a a|b', 'empty now');
	$i->silent_ok('the run after it');
};

for my $kind (qw(dovecot cyrus)) {
	subtest "always, $kind" => sub {
		plan skip_all => Imapsync::Server->missing($kind)
		    if Imapsync::Server->missing($kind);
		begin('always', { %some, map { ("k$_" => 0) } 1 .. 6 },
		    remote => { kind => $kind, daemon => 1, sep => '.' });
		# What came since is nowhere else; one more is told of.
		drop($local, 'x', 'a/b', 'a');
		on($remote, sub { put($_[0], 1, 'x') });
		my $r = $i->status_is(3, 'new mail in it');
		like($r->{err}, qr/^x: it .* 3 messages, 1 of which \(UID 3\) /m,
		    'kept');
		like($r->{err}, qr/^a: 3 deleted on remote$/m, 'counted');
		like($r->{err}, qr/^a.b: 2 deleted on remote$/m, 'and below it');
		my $rest = join ' ', map { "k$_" } 1 .. 6;
		names_are("INBOX e $rest", "INBOX e $rest x",
		    "INBOX e $rest x", 'with what is below it');
		unlike(names($remote), qr/!a/, 'and its subscription');
		on($remote, sub { $_[0]->expunge('x', 3) });
		$i->sync_ok('none in it');
		names_are("INBOX e $rest", "INBOX e $rest", "INBOX e $rest",
		    'none in it');
		$i->silent_ok('the run after it');
		# Half of all are gone.
		drop($local, 'e', map { "k$_" } 1 .. 3);
		$r = $i->status_is(3, 'half are gone');
		is(() = $r->{err} =~ /, since at least half of all mailboxes/g,
		    4, 'told');
		names_are('INBOX k4 k5 k6', "INBOX e $rest", "INBOX e $rest",
		    'half');
		$i->sync_ok('let through', '--allow-delete');
		names_are(('INBOX k4 k5 k6') x 3, 'let through');
	};
}

subtest 'the guard; what is below it; replaced' => sub {
	begin('always', { INBOX => 5, a => 0, b => 21, 'a/b' => 1, c => 1 });
	drop($remote, 'b');
	my $r = $i->status_is(3, 'too many');
	like($r->{err}, qr/^mailboxes with 21 of 28 messages that the state /m,
	    'held');
	names_are('INBOX a a|b b c', 'INBOX a a|b c', 'INBOX a a|b b c',
	    'held');
	$i->sync_ok('let through', '--allow-delete');
	names_are(('INBOX a a|b c') x 3, 'let through');
	# What lives below it stays.
	drop($remote, 'a');
	$i->sync_ok('a parent');
	names_are(('INBOX a|b c') x 3, 'a parent');
	# The one that is there is not the one that was.
	drop($_, 'c') for $local, $remote;
	on($remote, sub { $_[0]->create('c'); put($_[0], 1, 'c') });
	$r = $i->status_is(3, 'another one');
	like($r->{err}, qr/^c: .* and is not the one that was there/m, 'kept');
	names_are('INBOX a|b', 'INBOX a|b c', 'INBOX a|b c', 'another one');
};

done_testing;

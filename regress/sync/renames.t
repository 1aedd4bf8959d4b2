#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# A mailbox that was renamed on one server is renamed on the other, and nothing
# is copied; where it is not certain the user is told the command.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content snapshot);
use Imapsync::Imapsync;
use Imapsync::Pair qw(dovecot pair put);
use Imapsync::Proc qw(spew tmpdir);
use Imapsync::Server;
use Imapsync::Tap;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my ($local, $remote, $i);

sub names
{
	my ($server) = @_;
	my $snap = snapshot($server);

	return join ' ', map { ($snap->{$_}{subscribed} ? '!' : '') . $_ }
	    grep { $snap->{$_}{selectable} && $_ ne 'INBOX' }
	    sort keys %$snap;
}

sub both_are
{
	my ($names, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(names($local), $names, "$what: local");
	is(names($remote), $names, "$what: remote");
	is(join(' ', sort map { s/\x01/|/gr } $i->sql('SELECT name FROM ' .
	    "mailbox WHERE name != 'INBOX'")), $names =~ s/!//gr,
	    "$what: the state");
	same_content($local, $remote, "$what: equal");
}

# Two servers in sync that have these mailboxes, '!' in front: subscribed to.
sub begin
{
	my ($boxes, %o) = @_;

	($local, $remote, $i) = pair(%o);
	my $c = $local->client;
	for my $name (@$boxes) {
		my $box = $name =~ s/^!//r;
		$c->create($box);
		put($c, 3, $box);
		$c->subscribe($box) if $name =~ /^!/;
	}
	$c->close;
	$i->sync_ok('first run');
}

# What a client does on a server.
sub on
{
	my ($server, @renames) = @_;
	my $c = $server->client;

	while (my ($old, $new) = splice @renames, 0, 2) {
		$c->rename($old, $new);
	}
	$c->close;
}

sub copies_nothing
{
	my ($r, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	unlike($r->{err}, qr/copied|paired|created/, "$what: not copied");
}

# By turns: as told by each of the two.
sub sides { return ([$local, 'remote'], [$remote, 'local']) }

subtest 'rename-mailbox = follow' => sub {
	begin(['!a', 'a/b', '!a/b/c', 'ab', 'x', 'y'],
	    conf => { 'rename-mailbox' => 'follow' });
	my $n = 0;
	for (sides()) {
		my ($server, $other) = @$_;
		my ($old, $new) = $n++ == 0 ? ('a', 'n') : ('n', 'deep/er');

		on($server, $old => $new);
		my $dry = $i->sync_ok('dry run', '--dry-run');
		like($dry->{out}, qr/^\Q$old: to rename to $new on $other\E$/m,
		    'says what it would do');
		my $r = $i->sync_ok('followed');
		like($r->{err},
		    qr/^\Q$old: renamed to $new on $other\E$/m, 'said');
		copies_nothing($r, 'followed');
		my $s = $new =~ s/\//|/r;
		both_are(join(' ', sort { $a =~ s/!//r cmp $b =~ s/!//r }
		    'ab', "!$s", "$s|b", "!$s|b|c", 'x', 'y'), $new);
		$i->silent_ok('the run after it');
	}
	# New mail and a deletion in it, a new mailbox under the old name.
	my $c = $remote->client;
	$c->rename('ab', 'cd');
	put($c, 1, 'cd', 'ab');
	$c->expunge('cd', 1);
	$c->close;
	my $r = $i->sync_ok('with changes');
	like($r->{err}, qr/^ab: renamed to cd on local$/m, 'followed');
	like($r->{err}, qr/^cd: 1 copied to local, 1 deleted on local$/m,
	    'what is new');
	like($r->{err}, qr/^ab: created on local, 1 copied to local$/m,
	    'the other one');
	both_are('ab cd !deep|er deep|er|b !deep|er|b|c x y', 'changes');
	# A chain, and an exchange.
	on($local, x => 'z', y => 'x', ab => 't', cd => 'ab', t => 'cd');
	$r = $i->sync_ok('chain and exchange');
	copies_nothing($r, 'chain and exchange');
	both_are('ab cd !deep|er deep|er|b !deep|er|b|c x z', 'exchanged');
	$i->silent_ok('the run after it');
	# Both at once: the same, and not the same.
	on($_, x => 'q') for $local, $remote;
	on($local, z => 'u');
	on($remote, z => 'v');
	$r = $i->status_is(3, 'two names');
	like($r->{err}, qr/^x: renamed to q on both servers$/m, 'agreed');
	like($r->{err}, qr/^z: it was renamed to u on the local server and to v/m,
	    'two names');
	is(names($local) =~ /\bv\b/ + names($remote) =~ /\bu\b/, 0,
	    'and neither is made');
	on($remote, v => 'u');
	copies_nothing($i->sync_ok('agreed'), 'agreed');
	both_are('ab cd !deep|er deep|er|b !deep|er|b|c q u', 'agreed');
	# The name is taken, or odd.
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->rename('u', 'taken');
	$rc->create('taken');
	$lc->rename('q', 'Entw&APw-rfe 10%*"');
	$_->close for $lc, $rc;
	$r = $i->status_is(3, 'taken');
	like($r->{err}, qr/^u: .*there is another mailbox of that name/m,
	    'taken');
	like(names($remote), qr/Entw&APw-rfe 10%\*"/, 'odd');
	copies_nothing($r, 'taken');
	on($local, taken => 'free');
	$i->sync_ok('free');
	both_are('Entw&APw-rfe 10%*" ab cd !deep|er deep|er|b !deep|er|b|c ' .
	    'free taken', 'free');
	$i->silent_ok('the run after it');
};

# The answer to RENAME never comes.
subtest 'cut short' => sub {
	my $armed = tmpdir() . '/armed';
	my $tap;

	($local, $remote) = (dovecot(), dovecot());
	$tap = Imapsync::Tap->new(server => $remote, c2s => sub {
		$_[0]{cut} = -e $armed if $_[1] =~ / RENAME /;
		return $_[1];
	}, s2c => sub {
		return $_[1] unless $_[0]{cut};
		unlink $armed;
		die "cut off\n";
	});
	$i = Imapsync::Imapsync->new(local => $local, remote => $tap,
	    conf => { 'rename-mailbox' => 'follow' });
	my $c = $local->client;
	$c->create($_), put($c, 3, $_) for 'a', 'a/b';
	$i->sync_ok('first run');
	$c->rename('a', 'n');
	$c->close;
	spew($armed, '');
	$i->status_is(75, 'the connection is lost');
	ok(!-e $armed, 'behind RENAME');
	is(join(' ', sort map { s/\x01/|/gr } $i->sql('SELECT name FROM ' .
	    "mailbox WHERE name != 'INBOX'")), 'a a|b',
	    'the state has the old names');
	my $r = $i->sync_ok('the next run');
	like($r->{err}, qr/^a: renamed to n on both servers$/m, 'sees it');
	copies_nothing($r, 'the next run');
	both_are('n n|b', 'the next run');
};

subtest 'by default' => sub {
	begin(['!a', 'a/b', 'gone', 'ignored'],
	    conf => { 'ignore-mailbox' => '^hidden' });
	on($local, a => 'n', ignored => 'hidden');
	my $r = $i->status_is(3, 'not proved');
	my ($cmd) = $r->{err} =~ /^a:\ it\ is\ gone\ on\ the\ local\ server,\ which
	    \ has\ n\ .*run\ with\ (--rename\ --target=remote,database\ \S+\ \S+)/xm;
	ok($cmd, 'the command');
	is(() = $r->{err} =~ /^a/mg, 1, 'its children go without saying');
	like($r->{err}, qr/^ignored: it is gone on the local server and was left/m,
	    'renamed to what is ignored: gone');
	is(names($remote), '!a a|b gone ignored', 'nothing is touched');
	$i->sync_ok('the command', map { s/'//gr } split ' ', $cmd // '');
	$i->status_is(3, 'the other is still gone');
	is(names($remote) =~ s/!//gr, 'gone ignored n n|b', 'renamed');
	$i->sync_ok('the rest', '--delete', 'ignored');
	$i->change(conf => { 'rename-mailbox' => 'never',
	    'ignore-mailbox' => '^hidden' });
	on($remote, gone => 'new');
	$r = $i->status_is(3, 'never');
	like($r->{err}, qr/^gone: it is gone on the remote server and was left/m,
	    'never: as if it was deleted');
	like($r->{err}, qr/^new: created on local, 3 copied to local$/m,
	    'and new');
};

subtest 'Cyrus' => sub {
	plan skip_all => Imapsync::Server->missing('cyrus')
	    if Imapsync::Server->missing('cyrus');
	begin(['!a', 'a/b', 'a/b/c', 'x', 'y'], remote => { kind => 'cyrus',
	    daemon => 1, sep => '.' });
	on($remote, 'a', 'n', x => 'y.x');
	my $r = $i->sync_ok('by MAILBOXID', '--json');
	my @turns = $r->{out} =~ /"turns":(\d+)/g;
	# A run without news has 1 and, with the login, 4.
	ok($turns[0] <= 1 + 4 && $turns[1] <= 4 + 5, 'a few turns more')
	    or diag("@turns");
	copies_nothing($r, 'by MAILBOXID');
	both_are('!n n|b n|b|c y y|x', 'by MAILBOXID');
	$i->silent_ok('the run after it');
	# In a chain, though all are of one second; with new mail.
	my $c = $remote->client;
	$c->rename('y.x', 'z');
	$c->rename('y', 'x');
	$c->rename('z', 'y');
	put($c, 1, 'x', 'y');
	$c->rename('n.b', 'n.b2');
	$c->close;
	$r = $i->sync_ok('chain');
	unlike($r->{err}, qr/[2-9] copied/, 'only what is new');
	both_are('!n n|b2 n|b2|c x y', 'chain');
	# A change on Dovecot is followed on Cyrus if it is wanted.
	$i->change(conf => { 'rename-mailbox' => 'follow' });
	on($local, 'n', 'm', y => 't', x => 'y', t => 'x');
	$r = $i->sync_ok('follow');
	copies_nothing($r, 'follow');
	both_are('!m m|b2 m|b2|c x y', 'follow');
	$i->silent_ok('the run after it');
};

done_testing;

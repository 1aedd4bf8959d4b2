#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# --delete and --rename, on both servers, on one, in the state alone; the run
# after it has nothing to do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content snapshot);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(server);
use Imapsync::Proc qw(slurp which);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'sqlite3 is not installed' unless which('sqlite3');

draw_subtests(2);

my ($local, $remote, $i);

# Two servers with these mailboxes, in sync; '!' in front: subscribed to.
sub begin
{
	my ($boxes, $lo, $ro) = @_;

	$local = server(%{ $lo // {} });
	$remote = server(daemon => 1, sep => '.', %{ $ro // {} });
	# The Cyrus of the tests waits for ever behind COMPRESS at times.
	$i = Imapsync::Imapsync->new(local => $local, remote =>
	    $remote->section(compress => 'NO'));
	my $c = $local->client;
	for my $name (@$boxes) {
		my $box = ($local->reference // '') . $name =~ s/^!//r;
		$c->create($box);
		$c->append_many($box, map { { body => message("$name$_") } }
		    1 .. 3);
		$c->subscribe($box) if $name =~ /^!/;
	}
	$c->close;
	$i->sync_ok('first run');
}

sub names
{
	my ($server) = @_;
	my $snap = snapshot($server);

	return join ' ', map { ($snap->{$_}{subscribed} ? '!' : '') . $_ }
	    grep { $snap->{$_}{selectable} && $_ ne 'INBOX' }
	    sort keys %$snap;
}

sub state_names
{
	return join ' ', sort map { s/\x01/|/gr } $i->sql("SELECT name FROM " .
	    "mailbox WHERE name != 'INBOX' ORDER BY name");
}

sub names_are
{
	my ($on_local, $on_remote, $in_state, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(names($local), $on_local, "$what: local");
	is(names($remote), $on_remote, "$what: remote");
	is(state_names(), $in_state, "$what: state");
}

# Whichever server was the first.
sub sorted
{
	return join "\n", (sort split /\n/, $_[0]), '';
}

# Nothing is there that refers to no mailbox.
sub no_orphans
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', map { $i->sql("SELECT count(*) FROM $_ WHERE mailbox " .
	    'NOT IN (SELECT id FROM mailbox)') } qw(message mark refused
	    leftout)), '0 0 0 0', "$what: nothing is left of it in the state");
}

# A command that must be refused, and changes nothing.
sub refused
{
	my ($says, @args) = @_;
	my $before = [names($local), names($remote), state_names()];
	my $r = $i->status_is(1, "@args", @args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{err}, $says, 'says why');
	is_deeply([names($local), names($remote), state_names()], $before,
	    'nothing has changed');
}

sub dry
{
	my ($says, @args) = @_;
	my $before = [names($local), names($remote), slurp($i->state_file)];
	my $r = $i->sync_ok("@args --dry-run", @args, '--dry-run');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{out}, $says, 'says what it would do');
	is_deeply([names($local), names($remote), slurp($i->state_file)],
	    $before, 'nothing has changed');
}

subtest '--rename' => sub {
	begin(['!a', 'a/b', '!a/b/c', 'ab', 'x']);
	my $before = '!a ab a|b !a|b|c x';
	names_are($before, $before, 'a ab a|b a|b|c x', 'as begun');
	refused(qr/INBOX can be neither/, '--rename', 'inbox', 'y');
	refused(qr/INBOX can be neither/, '--rename', 'a', 'Inbox');
	refused(qr/there is a mailbox "x" already/, '--rename', 'a', 'x');
	refused(qr/its own child/, '--rename', 'a', 'a/z');
	refused(qr/its own child/, '--rename', 'a', 'a');
	refused(qr/no mailbox "q" to rename/, '--rename', 'q', 'z');
	# A child of NEW is in the way, too.
	refused(qr/there is a mailbox "a\/b" already/, '--rename', 'x', 'a/b');
	dry("a: to rename to n on local\na/b: to rename to n/b on local\n" .
	    "a/b/c: to rename to n/b/c on local\n" .
	    "a: to rename to n on remote\na/b: to rename to n/b on remote\n" .
	    "a/b/c: to rename to n/b/c on remote\n" .
	    "a: to rename to n in the database\n" .
	    "a/b: to rename to n/b in the database\n" .
	    "a/b/c: to rename to n/b/c in the database\n",
	    '--rename', 'a', 'n');
	my $r = $i->sync_ok('done', '--rename', 'a', 'n');
	is(sorted($r->{err}), "a: renamed on local\na: renamed on remote\n",
	    'said');
	my $after = 'ab !n n|b !n|b|c x';
	names_are($after, $after, 'ab n n|b n|b|c x', 'renamed');
	same_content($local, $remote, 'equal');
	$i->silent_ok('the run after it');
	# Further in: below a parent that is not there so far.
	$i->sync_ok('a child', '--quiet', '--rename', 'n/b', 'new/parent/b');
	$after = 'ab !n new|parent|b !new|parent|b|c x';
	names_are($after, $after, 'ab n new|parent|b new|parent|b|c x',
	    'a child');
	$i->silent_ok('the run after that');
	no_orphans('rename');
};

subtest '--rename with --target' => sub {
	begin(['!a', 'a/b', 'x']);
	$i->sync_ok('local only', '--rename', '--target=local', 'a', 'n');
	names_are('!n n|b x', '!a a|b x', 'a a|b x', 'local only');
	my $r = $i->status_is(3, 'a run tells what is missing');
	like($r->{err}, qr/^a: it is gone on the local server, which has n /m,
	    'a');
	names_are('!n n|b x', '!a a|b x', 'a a|b x', 'a run makes nothing of it');
	my $other = $remote->client;
	$other->create('n');
	$other->close;
	refused(qr/there is a mailbox "n" already/, '--rename',
	    '--target=remote,database', 'a', 'n');

	begin(['!a', 'a/b', 'x']);
	$i->sync_ok('local', '--rename', '--target=local', 'a', 'n');
	$i->sync_ok('the others', '--rename', '--target=remote', '--target',
	    'database', 'a', 'n');
	names_are('!n n|b x', '!n n|b x', 'n n|b x', 'in two steps');
	$i->silent_ok('the run after it');

	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->rename('n', 'm');
	$lc->unsubscribe('n');
	$lc->subscribe('m');
	$_->close for $lc;
	$i->sync_ok('after a client', '--rename', '--target=remote,database',
	    'n', 'm');
	names_are('!m m|b x', '!m m|b x', 'm m|b x', 'after a client');
	$i->silent_ok('the run after it');
	$rc->rename('x', 'y');
	$rc->close;
	dry("x: to rename to y in the database\n", '--rename',
	    '--target=database', 'x', 'y');
	$i->sync_ok('the state', '--rename', '--target=database', 'x', 'y');
	names_are('!m m|b x', '!m m|b y', 'm m|b y', 'the state only');
	$i->sync_ok('local', '--rename', '--target=local', 'x', 'y');
	$i->silent_ok('the run after it');
};

subtest '--rename of what has only children' => sub {
	begin(['p/q', 'p/q/r', 'p/s']);
	is(names($local), 'p|q p|q|r p|s', 'no parent');
	refused(qr/there is a mailbox "p\/q" already/, '--rename', 'p/s', 'p/q');
	$i->sync_ok('parent', '--rename', 'p', 'n');
	names_are(('n|q n|q|r n|s') x 3, 'children');
	$i->silent_ok('the run after it');
	# A parent that was deleted on one side.
	begin(['p', 'p/q', '!p/s']);
	$i->sync_ok('delete the parent', '--delete', '--target=remote', 'p');
	is(names($remote), 'p|q !p|s', 'on one side');
	$i->sync_ok('rename', '--rename', 'p', 'n');
	names_are('n n|q !n|s', 'n|q !n|s', 'n n|q n|s', 'on both');
	my $r = $i->status_is(3, 'the parent is still gone on one side');
	is($r->{err} =~ tr/\n//, 1, 'one line');
	like($r->{err}, qr/^n: it is gone on the remote server/, 'of it');
	$i->sync_ok('the rest', '--delete', 'n');
	names_are('n|q !n|s', 'n|q !n|s', 'n|q n|s', 'and away');
	$i->silent_ok('the run after it');
};

subtest '--delete' => sub {
	begin(['!a', 'a/b', '!a/b/c', 'x', 'y', 'z']);
	refused(qr/INBOX can be neither/, '--delete', 'x', 'INBOX');
	refused(qr/no mailbox "q" to delete/, '--delete', 'x', 'q');
	dry("a: to delete on local (3 messages)\n" .
	    "a: to delete on remote (3 messages)\n" .
	    "a: to delete in the database\n", '--delete', 'a');
	my $r = $i->sync_ok('with children', '--delete', 'a');
	is(sorted($r->{err}), "a: deleted on local (3 messages)\n" .
	    "a: deleted on remote (3 messages)\n",
	    'said');
	names_are('a|b !a|b|c x y z', 'a|b !a|b|c x y z', 'a|b a|b|c x y z',
	    'the children stay');
	no_orphans('delete');
	$i->silent_ok('the run after it');
	refused(qr/no mailbox "a" to delete/, '--delete', 'a');
	$i->sync_ok('several', '--delete', 'x', 'a/b', '--quiet');
	names_are(('!a|b|c y z') x 2, 'a|b|c y z', 'several');
	$i->silent_ok('the run after it');
	$i->sync_ok('local', '--delete', '--target=local', 'y');
	names_are('!a|b|c z', '!a|b|c y z', 'a|b|c y z', 'local');
	like($i->status_is(3, 'a run says so')->{err},
	    qr/^y: it is gone on the local/, 'y');
	$i->sync_ok('the others', '--delete', '--target=database,remote', 'y');
	names_are(('!a|b|c z') x 2, 'a|b|c z', 'the others');
	$i->silent_ok('the run after it');
	# The state alone: the next run adopts what both have.
	dry("z: to delete in the database\n", '--delete', '--target=database',
	    'z');
	$i->sync_ok('the state', '--delete', '--target=database', 'z');
	names_are(('!a|b|c z') x 2, 'a|b|c', 'the state');
	no_orphans('the state');
	$r = $i->sync_ok('a run');
	unlike($r->{err}, qr/copied to/, 'copies nothing');
	same_content($local, $remote, 'equal');
	$i->silent_ok('the run after it');
	# Only the state still knows it.
	$_->delete('z') for map { $_->client } $local, $remote;
	$i->sync_ok('only known', '--delete', 'z');
	names_are(('!a|b|c') x 2, 'a|b|c', 'only known');
	# A name that none but the state knew is free again.
	$i->sync_ok('rename', '--rename', 'a/b/c', 'z');
	names_are('!z', '!z', 'z', 'a name that was used');
	$i->silent_ok('the run after it');
};

# Names with blanks, quotes, non-ASCII, another delimiter, a reference.
subtest 'odd names' => sub {
	my @odd = ('two words', 'Entw&APw-rfe', 'a "b" \\c', 'p[1]~', '{5}');

	for my $o ({}, { reference => 'below/' }) {
		begin([map { ($_, "$_/ch ild") } @odd], $o);
		my $n = 0;
		for my $name (@odd) {
			my $new = "n&APw-w \"$n\" \\";
			my $r = $i->sync_ok("rename $name", '--rename', $name,
			    $new);
			$n++;
			is(() = $r->{err} =~ /renamed on/g, 2, 'on both');
		}
		is(names($local), names($remote), 'the same names');
		is(names($local), state_names(), 'in the state, too');
		like(names($local), qr/n&APw-w "4" \\\|ch ild/, 'as they '.
		    'should be');
		same_content($local, $remote, 'equal');
		$i->silent_ok('the run after it');
		$i->sync_ok('delete', '--delete', "n&APw-w \"3\" \\/ch ild",
		    "n&APw-w \"3\" \\");
		unlike(names($_), qr/"3"/, 'gone') for $local, $remote;
		$i->silent_ok('the run after it');
	}
	# The remote delimiter in the new name.
	refused(qr/remote server can't have the name/, '--rename',
	    'n&APw-w "2" \\', 'a.b');
};

# Cyrus makes parents, and does not delete a mailbox that has children.
subtest 'Cyrus' => sub {
	plan skip_all => Imapsync::Server->missing('cyrus')
	    if Imapsync::Server->missing('cyrus');
	begin(['!a', 'a/b', 'a/b/c', 'x', 'x/y', 'z'], {},
	    { kind => 'cyrus' });
	my $r = $i->sync_ok('rename', '--rename', 'a', 'n');
	names_are(('!n n|b n|b|c x x|y z') x 2, 'n n|b n|b|c x x|y z',
	    'renamed');
	$i->silent_ok('the run after it');
	$i->sync_ok('in two steps', '--rename', '--target=remote', 'x', 'w');
	$i->sync_ok('the rest', '--rename', '--target=local,database', 'x',
	    'w');
	names_are(('!n n|b n|b|c w w|y z') x 2, 'n n|b n|b|c w w|y z',
	    'in two steps');
	$i->silent_ok('the run after it');
	$i->sync_ok('delete', '--delete', 'n/b/c', 'z');
	names_are(('!n n|b w w|y') x 2, 'n n|b w w|y', 'deleted');
	$i->silent_ok('the run after it');
	$r = $i->status_is(1, 'with children', '--delete', '--target=remote',
	    'n');
	like($r->{err}, qr/^n: the remote server does not delete it: \S/m,
	    'what Cyrus says');
	names_are(('!n n|b w w|y') x 2, 'n n|b w w|y', 'it is still there');
	$i->silent_ok('silence at the end');
};

done_testing;

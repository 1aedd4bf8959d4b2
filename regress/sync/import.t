#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --import: whoever comes from interimap goes on where it has left off.  The
# databases are those that interimap itself has made.

use strict;
use warnings;
use FindBin;
use IO::Handle;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total everything);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(run_command slurp spawn spew stop wait_for which);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'interimap or sqlite3 is not installed'
    if !which('interimap') || !which('sqlite3');

# ---- interimap ----

# Its configuration is that of imapsync.
sub interimap_env
{
	my ($i) = @_;

	mkdir "$i->{home}/config/interimap";
	spew("$i->{home}/config/interimap/config", $i->conf_text, 0600);
	return { PATH => $ENV{PATH}, HOME => $i->{home},
	    XDG_CONFIG_HOME => "$i->{home}/config",
	    XDG_DATA_HOME => "$i->{home}/data" };
}

sub interimap
{
	my ($i, @args) = @_;

	return run_command([which('interimap'), '--config=config', @args],
	    env => interimap_env($i), dir => $i->{home});
}

sub theirs { return "$_[0]{home}/data/interimap/state.db" }

sub theirs_sql
{
	my ($i, $sql) = @_;

	return split /\n/, run_command([which('sqlite3'), theirs($i), $sql]);
}

sub pairs
{
	my ($i) = @_;

	return [$i->sql('SELECT replace(hex(name), \'01\', \'7C\'), local, ' .
	    'remote FROM message JOIN mailbox ON id = mailbox ORDER BY 1, 2')];
}

sub their_pairs
{
	my ($i) = @_;

	return [theirs_sql($i, 'SELECT replace(hex(mailbox), \'00\', \'7C\'), ' .
	    'lUID, rUID FROM mapping JOIN mailboxes USING (idx) ORDER BY 1, 2')];
}

# The whole of both servers, and interimap's file, octet by octet.
sub standing
{
	my ($i, @servers) = @_;

	return [slurp(theirs($i)), map { everything($_) } @servers];
}

sub fill
{
	my ($c, $name, $from, $to, $flags) = @_;

	$c->append_many($name, map { { body => message($_),
	    flags => $flags // ($_ % 3 ? '\Seen' : '$Work'),
	    date => date_of($_) } } $from .. $to);
}

# Two servers that interimap has just synchronised: 370 messages.
my $number = 0;

sub account
{
	$number++;
	my $local = Imapsync::Server->new(name => "local$number");
	my $remote = Imapsync::Server->new(name => "remote$number", sep => '.');
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => { database => 'state.db' });
	my ($lc, $rc) = map { $_->client } $local, $remote;

	$lc->create($_) for 'a', 'a/b', 'one', 'empty';
	$lc->subscribe('a/b');
	fill($lc, 'INBOX', 1, 300);
	fill($lc, 'a/b', 301, 340);
	fill($lc, 'one', 341, 350);
	# So that UIDs differ.
	$rc->append('INBOX', message(1000));
	$rc->expunge('INBOX', '1');
	fill($rc, 'INBOX', 1001, 1020);
	interimap($i);
	$_->ok('NOOP') for $lc, $rc;
	return ($i, $local, $remote, $lc, $rc);
}

# ---- what is taken over ----

my ($i, $local, $remote, $lc, $rc) = account();
is(scalar @{ their_pairs($i) }, 370, 'interimap has made a pair of each');

my $r = $i->status_is(1, 'a file that is not there', '--import', 'nowhere');
like($r->{err}, qr/nowhere can't be read/, 'is named');
ok(!$i->state_file, 'and there is no state');

my $before = standing($i, $local, $remote);
$r = $i->sync_ok('--dry-run', '--dry-run', '--import');
like($r->{err}, qr/^5 mailboxes with 370 messages would be taken over/m,
    'says what it would take over');
ok(!$i->state_file, 'and leaves no state');
$r = $i->sync_ok('--import', '--import');
is($r->{err}, "5 mailboxes with 370 messages were taken over from " .
    "interimap\n", 'says what it took over, and nothing else');
is_deeply(standing($i, $local, $remote), $before, 'nothing has changed, ' .
    'neither on the servers nor in interimap\'s file');
is_deeply(pairs($i), their_pairs($i), 'the pairs are interimap\'s');
is_deeply([$i->sql('SELECT count(*) FROM message WHERE size = 0')], [0],
    'each has its size');
is_deeply([$i->sql('SELECT count(*) FROM message JOIN mailbox ON id = ' .
    'mailbox WHERE key != 0 GROUP BY name ORDER BY name')], [200, 40, 10],
    'a sample of each mailbox has its key');
$i->quiet_ok('the next run');

$r = $i->status_is(1, 'a second --import', '--import');
like($r->{err}, qr/knows messages of these servers already/, 'is refused');

# What happens from then on happens to the right messages.
$lc->store('INBOX', '5', '+FLAGS', '\Flagged');
$rc->store('INBOX', '6', '-FLAGS', '\Seen');
$lc->expunge('INBOX', '100:102,150');
$rc->expunge('a.b', '7');
$rc->unsubscribe('a.b');
fill($lc, 'a/b', 2001, 2003);
$i->sync_ok('changes');
my $snap = same_content($local, $remote, 'are carried over');
is(total($snap), 368, 'all of them');
$i->quiet_ok('and then');

# ---- since interimap's last run ----

($i, $local, $remote, $lc, $rc) = account();
$lc->expunge('INBOX', '10:11');
$lc->store('INBOX', '20:22', '+FLAGS', '\Flagged');
$rc->store('INBOX', '60:62', '-FLAGS', '\Seen');
fill($lc, 'one', 2010, 2014);
fill($_, 'one', 2020, 2021) for $lc, $rc;
$r = $i->sync_ok('--import, and much has changed since', '--import');
like($r->{err}, qr/^2 messages are gone on one side .* deletes nothing/m,
    'what is gone on one side is named');
like($r->{err}, qr/^INBOX: 2 copied to local.*flags of 5 changed/m,
    'and copied; of flags it is the union');
like($r->{err}, qr/^one: 2 paired, 5 copied to remote$/m,
    'what both have is paired by content');
$snap = same_content($local, $remote, 'equal');
is(total($snap), 377, 'neither more nor fewer');
$i->quiet_ok('and then');

# ---- what does not hold ----

($i, $local, $remote, $lc, $rc) = account();
my ($box) = theirs_sql($i, "SELECT idx FROM mailboxes WHERE mailbox = " .
    "CAST('INBOX' AS BLOB)");
my $swap = 'CREATE TEMP TABLE x AS SELECT * FROM mapping WHERE idx = %d AND ' .
    'lUID IN (%d, %d); DELETE FROM mapping WHERE idx = %1$d AND lUID IN ' .
    '(%2$d, %3$d); INSERT INTO mapping SELECT a.idx, a.lUID, b.rUID FROM x ' .
    'a, x b WHERE a.lUID != b.lUID;';
my ($first, $last) = map { theirs_sql($i, "SELECT $_(lUID) FROM mapping WHERE " .
    "idx = $box") } 'min', 'max';
theirs_sql($i, sprintf($swap, $box, $first, $last));
$r = $i->sync_ok('--import of two pairs crossed', '--import');
like($r->{err}, qr/^2 pairs of it did not hold/m, 'they are dropped');
like($r->{err}, qr/^INBOX: 2 paired$/m, 'and paired by content');
is(total(same_content($local, $remote, 'equal')), 370, 'nothing twice');
is_deeply([$i->sql('SELECT count(*) FROM message JOIN mailbox ON id = ' .
    'mailbox WHERE name = \'INBOX\' AND key = 0')], [0],
    'all keys of that mailbox were looked at');
$i->quiet_ok('and then');

$i->lose_state;
$rc->delete('one');
$rc->create('one');
fill($rc, 'one', 341, 345, '\Seen');
$r = $i->sync_ok('--import, and a mailbox was made anew', '--import');
like($r->{err}, qr/^one: not taken over, since its UIDVALIDITY on the remote/m,
    'is said');
like($r->{err}, qr/^one: 5 paired,.* 5 copied to remote/m, 'it is adopted');
is(total(same_content($local, $remote, 'equal')), 370, 'nothing twice');
$i->quiet_ok('and then');

# ---- a run that was interrupted, a lock, a journal ----

($i, $local, $remote, $lc, $rc) = account();
fill($lc, 'one', 3001, 3900);
my $pid = spawn([which('interimap'), '--config=config'],
    env => interimap_env($i), dir => $i->{home},
    out => "$i->{home}/out", err => "$i->{home}/err");
my $added = wait_for(30, 'messages', sub { my $c = $remote->client;
    my $m = $c->status('one', 'MESSAGES')->{MESSAGES}; $c->close;
    return $m > 10 + 128 });
kill 'KILL', $pid;
stop($pid);
ok($added, 'interimap is killed while it copies');
cmp_ok(scalar @{ their_pairs($i) }, '<', 370 + 900, 'and has not finished');
# What it left may be on its way for a moment.
my $still = '';
wait_for(30, 'silence', sub { my $now = join ',', everything($remote); my $same =
    $now eq $still; $still = $now; return $same });
$r = $i->sync_ok('--import after that', '--import');
is(total(same_content($local, $remote, 'equal')), 370 + 900,
    'nothing is twice, nothing is missing');
$i->quiet_ok('and then');

$i->lose_state;
open(my $holder, '|-', which('sqlite3'), theirs($i)) or die;
$holder->autoflush(1);
print $holder "PRAGMA locking_mode = EXCLUSIVE;\n.output $i->{home}/out\n" .
    "SELECT count(*) FROM mapping;\n.shell touch $i->{home}/locked\n";
wait_for(30, 'the lock', sub { -e "$i->{home}/locked" });
$r = $i->status_is(75, '--import while interimap runs', '--import');
like($r->{err}, qr/state\.db is in use by process \d+: end interimap/,
    'is refused');
close $holder;
ok(!$i->state_file || !@{ pairs($i) }, 'nothing was imported');

# A journal that is still to be rolled back: made by a killed writer.
spew(theirs($i) . '-journal', "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" . "\0" x 504);
$r = $i->status_is(1, '--import with a journal beside it', '--import');
like($r->{err}, qr/was left in the middle of a change .*run interimap once/,
    'is refused');
spew(theirs($i) . '-journal', "\0" x 512);
$i->sync_ok('one that is done with does no harm', '--import');
unlink theirs($i) . '-journal';
$i->quiet_ok('and then');

# ---- killed in the middle ----

$i->lose_state;
$before = standing($i, $local, $remote);
$pid = $i->start('--import');
wait_for(30, 'a state', sub { $i->state_file });
kill 'KILL', $pid;
$i->wait($pid, killed => 1);
# Its store may be dying for a moment.
my $had = wait_for(30, 'its state', sub { my $p = eval { pairs($i) };
    return $p // ($@ =~ /locked/ ? undef : []) });
$i->sync_ok('the next run after a kill', @$had ? () : '--import');
is_deeply(standing($i, $local, $remote), $before, 'has nothing to mend');
$i->quiet_ok('and then');

# ---- where its file is ----

$i->lose_state;
$i->change(conf => { database => theirs($i) });
$r = $i->status_is(1, 'a database= that is interimap\'s');
like($r->{err}, qr/is interimap's, .* imapsync --import '\S+' takes over/,
    'is recognised');
$r = $i->status_is(1, 'also with --import', '--import');
like($r->{err}, qr/is interimap's/, 'recognised');
is(slurp(theirs($i)), $before->[0], 'and not touched');
$i->change(conf => { database => "$i->{home}/data/imapsync/own.db" });
$r = $i->status_is(1, '--import without a file', '--import');
like($r->{err}, qr/name the database of interimap behind --import/,
    'where its file can\'t be known');
$i->sync_ok('the absolute path', '--import', theirs($i));
$i->quiet_ok('and then');
$_->close for $lc, $rc;

# ---- two accounts below one local server, and an old database ----

my $both = Imapsync::Server->new(name => 'both');
my (%account, %far);
for my $name ('work', 'home') {
	$far{$name} = Imapsync::Server->new(name => $name, sep => '.');
	$both->{reference} = "$name/";
	$account{$name} = Imapsync::Imapsync->new(local => $both->section,
	    remote => $far{$name}, conf => { database => 'state.db' });
	my $c = $far{$name}->client;
	$c->create('lists.tech');
	fill($c, 'INBOX', 1, 30);
	fill($c, 'lists.tech', 31, $name eq 'work' ? 40 : 45);
	$c->close;
	interimap($account{$name});
}
my $work = $account{work};
$r = $work->status_is(1, 'the database of the other account', '--import',
    theirs($account{home}));
like($r->{err}, qr/is that of other servers/, 'is refused');
ok(!$work->state_file || !@{ pairs($work) }, 'nothing was imported');
$work->sync_ok('--import below a reference', '--import');
is_deeply(pairs($work), their_pairs($work), 'its pairs');
$work->quiet_ok('and then');

# Before 0.5 names had the delimiter, and both servers the same.
my $home = $account{home};
theirs_sql($home, 'PRAGMA user_version = 0; UPDATE mailboxes SET mailbox = ' .
    "CAST('lists/tech' AS TEXT) WHERE mailbox != CAST('INBOX' AS BLOB); " .
    "UPDATE mailboxes SET mailbox = 'INBOX' WHERE mailbox = " .
    "CAST('INBOX' AS BLOB)");
$r = $home->status_is(1, 'version 0, and two delimiters', '--import');
like($r->{err}, qr/one hierarchy delimiter/, 'is refused');
my $same = Imapsync::Server->new(name => 'same');
my $again = Imapsync::Server->new(name => 'again');
my $old = Imapsync::Imapsync->new(local => $same, remote => $again,
    conf => { database => 'state.db' });
my $c = $same->client;
$c->create('x/y');
fill($c, $_, 1, 5) for 'INBOX', 'x/y';
$c->close;
interimap($old);
theirs_sql($old, 'PRAGMA user_version = 0; UPDATE mailboxes SET mailbox = ' .
    "'x/y' WHERE mailbox = CAST(x'780079' AS BLOB); UPDATE mailboxes SET " .
    "mailbox = CAST(mailbox AS TEXT)");
$r = $old->sync_ok('version 0', '--import');
like($r->{err}, qr/with 10 messages were/, 'is taken over');
$old->quiet_ok('and then');

done_testing;

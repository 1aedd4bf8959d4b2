#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# --repair: whatever is wrong in the state is named and mended; nothing is copied
# twice, nothing is lost, nothing is deleted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total everything);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(run_command slurp which);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'sqlite3 is not installed' unless which('sqlite3');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1, sep => '.',
    max_mail_size => '20k');
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

sub sql_do
{
	my ($sql) = @_;

	run_command([which('sqlite3'), $i->state_file, $sql]);
}

# All UIDs and flags, since what is mended must not be copied again.
sub messages { return [map { everything($_, numbers => 0) } $local, $remote] }

# --dry-run names it, --repair names and mends it, then all is well.
sub mended
{
	my ($what, $says, %o) = @_;
	my $before = messages();
	my $state = slurp($i->state_file);
	my @only = $o{only} ? ($o{only}) : ();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $i->sync_ok("$what: --dry-run", '--repair', '--dry-run', @only);
	like($r->{err}, $says, 'is named by --dry-run');
	is_deeply(messages(), $before, 'which changes nothing');
	is(slurp($i->state_file), $state, 'nor the state');

	$r = $i->sync_ok("$what: --repair", '--repair', @only);
	like($r->{err}, $says, 'is named');
	like($r->{err}, qr/$o{line}/m, 'and the line of the mailbox')
	    if $o{line};
	unlike($r->{err}, qr/\d copied to/, 'nothing is copied') unless $o{changes};
	unlike($r->{err}, qr/\d deleted on/, 'nothing is deleted');
	is_deeply(messages(), $before, 'as it was') unless $o{changes};
	my $snap = same_content($local, $remote, "$what: equal");
	is(total($snap), $o{messages} // 60, 'neither more nor fewer');
	$i->silent_ok("$what: silence afterwards");
	$i->silent_ok("$what: nothing to repair", '--repair');
	return $r;
}

sub pairs { return $i->sql('SELECT name, local, remote FROM message JOIN ' .
    'mailbox ON id = mailbox ORDER BY name, local') }

my $lc = $local->client;
my $rc = $remote->client;
for my $name ('INBOX', 'a', 'b') {
	$_->create($name) for $name eq 'INBOX' ? () : $lc;
	$lc->append_many($name, map { { body => message("$name$_"),
	    flags => $_ % 3 ? '\Seen' : '$Work', date => date_of($_) } }
	    1 .. 10);
}
# Some UIDs of the other side are others.
$rc->append('INBOX', message('gone'));
$rc->expunge('INBOX', '1');
$rc->append_many('INBOX', map { { body => message("r$_"),
    date => date_of($_) } } 1 .. 30);
$_->close for $lc, $rc;
$i->sync_ok('first run');
is(total(same_content($local, $remote, 'equal')), 60, 'sixty messages');
$i->silent_ok('--repair of what is sound', '--repair');
$i->silent_ok('and of one mailbox', '--repair', 'a');
$i->silent_ok('--repair --dry-run, too', '--repair', '--dry-run');
my @sound = pairs();
is(scalar @sound, 60, 'a row each');
my ($inbox) = $i->sql("SELECT id FROM mailbox WHERE name = 'INBOX'");
my ($a) = $i->sql("SELECT id FROM mailbox WHERE name = 'a'");

sql_do("DELETE FROM message WHERE mailbox = $a AND local IN (2, 3, 9)");
mended('missing rows', qr/^a: 3 messages on both servers were not in the /m,
    line => qr/^a: 3 paired$/m);
is_deeply([pairs()], \@sound, 'the same pairs');

sql_do("CREATE TEMP TABLE x AS SELECT * FROM message WHERE mailbox = $a AND " .
    "local IN (4, 5); DELETE FROM message WHERE mailbox = $a AND local IN " .
    "(4, 5); INSERT INTO message SELECT mailbox, local, 9 - remote, flagset, " .
    "size, key FROM x");
my $differ = quotemeta 'remote, but they are different messages';
mended('partners exchanged', qr/^a:\ the\ state\ pairs
    \ UID\ 4\ on\ local\ with\ UID\ 5\ on\ $differ\n
    a:\ the\ state\ pairs\ UID\ 5\ on\ local\ with\ UID\ 4\ on\ $differ$/xm);
is_deeply([pairs()], \@sound, 'the same pairs');

sql_do("DROP INDEX message_remote; UPDATE message SET remote = 6 WHERE " .
    "mailbox = $a AND local IN (7, 8)");
mended('doubled rows', qr/^a: the state pairs UID [78] on local with UID 6/m);
is_deeply([pairs()], \@sound, 'the same pairs');
ok((grep /message_remote/, $i->sql(".indexes")), 'the index is there again');

sql_do("UPDATE message SET remote = remote + 100000 WHERE mailbox = $a AND " .
    "local = 1; UPDATE message SET local = local + 100000 WHERE mailbox = " .
    "$a AND local = 2; UPDATE message SET local = local + 100000, remote = " .
    "remote + 200000 WHERE mailbox = $a AND local = 3");
my $r = mended('UIDs that do not exist', qr/^a:\ .*UID\ 1\ on\ local\ with
    \ UID\ 100001\ on\ remote,\ but\ remote\ does\ not\ have\ it$/xm);
like($r->{err}, qr/UID 100002 .* but local does not have it$/m, 'local');
like($r->{err}, qr/UID 100003 .* but neither server has it$/m, 'neither');
is_deeply([pairs()], \@sound, 'the same pairs');

sql_do('PRAGMA ignore_check_constraints = 1; INSERT INTO message VALUES ' .
    "($a, -3, 5000, 1, 1, 1), ($a, 7000, 'x', 1, 1, 1)");
mended('UIDs that can not be',
    qr/rows with UIDs that can't be were dropped: 2$/m);
is_deeply([pairs()], \@sound, 'the same pairs');

sql_do("UPDATE message SET flagset = (SELECT id FROM flagset WHERE flags = " .
    "'') WHERE mailbox = $a AND local = 3");
mended('a wrong baseline', qr/^a:\ UID\ 3\ on\ local\ has\ the\ flags
    \ \(\$Work\),\ UID\ 3\ on\ remote\ \(\$Work\),\ the\ state\ \(\)$/xm);
sql_do("UPDATE message SET flagset = 4711 WHERE mailbox = $a AND local = 3");
mended('a baseline that is not there', qr/^a: the state pairs UID 3/m);

# The server's modseq in the state is beyond the change: a run does not see it.
$rc = $remote->client;
$rc->store('a', '3,4', '+FLAGS', '\Flagged');
my $s = $rc->status('a', 'HIGHESTMODSEQ');
$rc->close;
sql_do("UPDATE mailbox SET remote_modseq = $s->{HIGHESTMODSEQ} WHERE id = $a");
$i->silent_ok('flags have drifted and a run does not know');
$r = mended('flags drifted', qr/^a: UID 3 on local has the flags \(\$Work\)/m,
    changes => 1, line => qr/^a: flags of 2 changed on local$/m);

# Only the mailbox that is named.
sql_do("DELETE FROM message WHERE mailbox IN ($a, $inbox) AND local = 5");
$r = $i->sync_ok('--repair a', '--repair', 'a');
like($r->{err}, qr/^a: 1 message/m, 'a');
unlike($r->{err}, qr/INBOX/, 'not INBOX');
is(scalar(pairs()), 59, 'whose row is not there');
mended('INBOX', qr/^INBOX: 1 message/m, only => 'INBOX');
is_deeply([pairs()], \@sound, 'now it is');

# A message that a program other than imapsync has lost, with its row: it comes
# back from the other side; new ones of both sides are copied.
sql_do("DELETE FROM message WHERE mailbox = $a AND local = 6");
$lc = $local->client;
$rc = $remote->client;
$rc->expunge('a', '6');
$lc->append('a', message('new'));
$rc->append('b', message('new too'));
$_->close for $lc, $rc;
mended('what only one side has', qr/^a: 2 messages on local .* no counterpart/m,
    changes => 1, messages => 62);

# A message that was deleted: a row whose message is gone. Nothing is deleted.
$rc = $remote->client;
$rc->expunge('a', '8');
$rc->close;
mended('gone on one side',
    qr/^a: .*UID 8 on remote, but remote does not have it$/m, changes => 1,
    messages => 62);

sql_do('DELETE FROM message');
$r = mended('all rows lost', qr/^a: 11 messages on both servers/m,
    messages => 62);
like($r->{err}, qr/^b: 11 messages on both/m, 'b');
sql_do("DELETE FROM $_") for qw(message mailbox flagset refused);
$r = $i->sync_ok('the whole state emptied', '--repair');
unlike($r->{err}, qr/\d copied to/, 'nothing is copied');
is(total(same_content($local, $remote, 'equal')), 62, 'all are there');
$i->silent_ok('silence');

# What was refused or left out stays so, and is not named.
$lc = $local->client;
$lc->append('a', message('big', size => 30_000));
$lc->append('a', message('small'));
$lc->close;
$r = $i->status_is(3, 'one is too big');
like($r->{err}, qr/refused/, 'and refused');
$r = $i->status_is(3, 'it stays so', '--repair');
like($r->{err}, qr/\A1 message is refused by a server[^\n]*\n\z/,
    'with one line');
is(scalar($i->sql('SELECT uid FROM refused')), 1, 'it is still known');
($a) = $i->sql("SELECT id FROM mailbox WHERE name = 'a'");
sql_do("DELETE FROM message WHERE mailbox = $a AND local = 4");
$r = $i->status_is(3, 'with an anomaly beside it', '--repair');
like($r->{err}, qr/^a: 1 message/m, 'that is named');
unlike($r->{err}, qr/counterpart|copied to/, 'the refused one is not');
$r = $i->status_is(3, 'and then');
like($r->{err}, qr/\A1 message is refused by a server[^\n]*\n\z/, 'quiet');
$lc = $local->client;
my @uids = $lc->uids('a');
$lc->expunge('a', $uids[-2]);
$lc->close;
$i->silent_ok('it is gone');
$i->change(conf => { 'max-size' => '1K' });
$lc = $local->client;
$lc->append('a', message('left out', size => 2000));
$lc->close;
$i->silent_ok('left out by a rule');
$i->silent_ok('and by --repair', '--repair');
is(scalar($i->sql('SELECT lo FROM leftout')), 1, 'it is still known');
$i->silent_ok('silence at the end');

done_testing;

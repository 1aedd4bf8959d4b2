#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# --json: one object on one line, whatever the names are and however the run ends,
# with the members that the manual documents; --status, as text and as JSON.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(slurp free_port which);
use Imapsync::Server;
use Imapsync::Watch qw(soon);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    max_mail_size => '20k');
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

sub keys_are
{
	my ($hash, $keys, $what) = @_;

	is(join(' ', sort keys %$hash), join(' ', sort split ' ', $keys),
	    "members of $what");
}

sub boolean { return JSON::PP::is_bool($_[0]) }
my $counts = 'copied octets flags deleted moved created';

# A run with --json: what it printed, looked at in every part.
sub json
{
	my ($status, $what, @args) = @_;
	my $r = $i->status_is($status, $what, '--json', @args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{out}, qr/\A\{[^\x00-\x1f\x7f]*\}\n\z/, 'one line');
	my $j = eval { JSON::PP->new->utf8->decode($r->{out}) };
	ok($j, 'is JSON') or diag($@, $r->{out});
	keys_are($j, 'version command status dry_run began ended seconds ' .
	    'last_good error local remote mailboxes renamed deleted refused',
	    'the object');
	is($j->{version}, 1, 'version');
	is($j->{status}, $status, 'status is the exit status');
	ok(boolean($j->{dry_run}), 'dry_run is a boolean');
	like($j->{seconds}, qr/^\d+(\.\d+)?$/, 'seconds is a number');
	cmp_ok($j->{seconds}, '<=', $r->{seconds} + 0.01, 'and can be');
	for my $side ('local', 'remote') {
		keys_are($j->{$side}, 'host turns sent received total', $side);
		keys_are($j->{$side}{total}, $counts, "$side, total");
		my %sum = map { $_ => 0 } qw(copied octets flags deleted moved);
		for my $box (@{ $j->{mailboxes} }) {
			keys_are($box, 'name utf7 remote_name remote_utf7 ' .
			    'stopped reason paired local remote', 'a mailbox');
			is($box->{remote_name}, undef, 'one name');
			keys_are($box->{$side}, $counts, "a mailbox, $side");
			ok(boolean($box->{$_}), "$_ is a boolean")
			    for 'stopped';
			$sum{$_} += $box->{$side}{$_} for keys %sum;
		}
		is($j->{$side}{total}{$_}, $sum{$_}, "$side: sum of $_")
		    for sort keys %sum;
		for ('turns', 'sent', 'received') {
			like($j->{$side}{$_}, qr/^[1-9]\d*$/, "$side, $_");
		}
	}
	keys_are($_, 'mailbox utf7 side uid size text', 'a refused message')
	    for @{ $j->{refused} };
	return ($j, $r);
}

sub box
{
	my ($j, $name) = @_;
	my ($box) = grep { $_->{utf7} eq $name } @{ $j->{mailboxes} };

	return $box // fail("no mailbox $name");
}

my @odd = ('plain', 'two words', 'a "quoted" \\ one', 'Entw&APw-rfe',
    '{5}', '[x]');
my ($lc, $rc) = ($local->client, $remote->client);
my $octets = 0;
for my $name ('INBOX', @odd) {
	$lc->create($name) if $name ne 'INBOX';
	my @mail = map { message("$name$_" =~ s/\W//gr) } 1 .. 4;
	$octets += length for @mail;
	$lc->append_many($name, map { { body => $_, date => date_of(3) } }
	    @mail);
}
my ($j, $r) = json(0, '--dry-run', '--dry-run');
ok($j->{dry_run}, 'dry_run');
is($r->{err}, '', 'nothing on standard error');
ok(!defined $i->state_file, 'and no state');
is($j->{remote}{total}{copied}, 28, 'what would be copied');
is($j->{remote}{total}{octets}, 0, 'and was not');
is(box($j, $_)->{remote}{copied}, 4, "$_: 4") for 'INBOX', @odd;
ok(box($j, 'plain')->{remote}{created}, 'to be created');

($j, $r) = json(0, 'first run');
ok(!$j->{dry_run}, 'not dry_run');
is(scalar @{ $j->{mailboxes} }, 7, 'seven mailboxes');
is(box($j, $_)->{remote}{copied}, 4, "$_: 4") for 'INBOX', @odd;
ok(!box($j, 'INBOX')->{remote}{created}, 'INBOX was there');
ok(box($j, 'plain')->{remote}{created}, 'plain was not');
ok(!box($j, 'plain')->{local}{created}, 'but on the local server');
ok(!box($j, 'plain')->{stopped}, 'not stopped');
is($j->{remote}{total}{octets}, $octets, 'octets of the messages');
cmp_ok($j->{remote}{sent}, '>', $octets, 'more than that went over the line');
is($j->{remote}{host}, '127.0.0.1', 'host');
is($j->{local}{host}, 'localhost', 'of the tunnel');
like($r->{err}, qr/^INBOX: 4 copied to remote$/m, 'the lines are there, too');
is(json_quiet(), '', 'but with --quiet');

sub json_quiet { return (json(0, '--quiet', '--quiet'))[1]{err} }

($j, $r) = json(0, 'nothing to do');
is($r->{err}, '', 'no line');
is_deeply([$j->{mailboxes}, $j->{refused}], [[], []], 'empty lists');
cmp_ok($j->{$_}{turns}, '<=', 4, "$_: few turns") for 'local', 'remote';

$lc->store('plain', '1:3', '+FLAGS', '\Seen');
$rc->store('plain', '4', '+FLAGS', '\Flagged');
$rc->expunge('INBOX', '1,2');
$lc->expunge('two words', '1');
my $text = message(77);
$rc->append('{5}', $text);
$_->append('[x]', message(78)) for $lc;
($j) = json(0, '--dry-run of changes', '--dry-run');
my %want = (plain => { remote => [0, 3, 0], local => [0, 1, 0] },
    INBOX => { remote => [0, 0, 0], local => [0, 0, 2] },
    'two words' => { remote => [0, 0, 1], local => [0, 0, 0] },
    '{5}' => { remote => [0, 0, 0], local => [1, 0, 0] },
    '[x]' => { remote => [1, 0, 0], local => [0, 0, 0] });

sub as_wanted
{
	my ($j, $what) = @_;
	my %is = map { my $b = $_; ($b->{name} => { map { ($_ =>
	    [@{ $b->{$_} }{qw(copied flags deleted)}]) } 'local',
	    'remote' }) } @{ $j->{mailboxes} };

	is_deeply(\%is, \%want, $what);
}

as_wanted($j, 'the plan in figures');
($j) = json(0, 'changes');
as_wanted($j, 'the same when it is done');
is(box($j, '{5}')->{local}{octets}, length $text, 'octets');
same_content($local, $remote, 'equal');

# Refused messages, and a mailbox that is left alone.
$lc->append('plain', message(90, size => 30_000));
my $uid = ($lc->uids('plain'))[-1];
$rc->delete('Entw&APw-rfe');
($j) = json(3, 'a message is refused');
my ($f) = @{ $j->{refused} };
is(scalar @{ $j->{refused} }, 1, 'one');
is($f->{mailbox}, 'plain', 'its mailbox');
is($f->{side}, 'local', 'where it is');
is($f->{uid}, $uid, 'its UID');
cmp_ok($f->{size}, '>=', 29_000, 'its size');
like($f->{text}, qr/\S/, 'why');
my $box = box($j, 'Entw&APw-rfe');
ok($box->{stopped}, 'gone on one side: stopped');
like($box->{reason}, qr/^it is gone on the remote server/, 'why');
is_deeply($box->{local}, { copied => 0, octets => 0, flags => 0, deleted => 0,
    moved => 0,
    created => JSON::PP::false }, 'nothing done');
($j) = json(3, 'as long as it stands');
is($j->{refused}[0]{uid}, $uid, 'it is in the list');

# A lost state: paired.
$lc->expunge('plain', $uid);
$lc->delete('Entw&APw-rfe');
$_->close for $lc, $rc;
$i->lose_state;
($j) = json(0, 'adoption');
is(box($j, 'plain')->{paired}, 4, 'paired');
is($j->{remote}{total}{copied}, 0, 'nothing is copied');

# A run that ends early: who, what, and when it was last well.
my $good = $j->{last_good};
like($good, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'the last good run');

sub failed
{
	my ($status, $kind, $side, $text, $what, @args) = @_;
	my $r = $i->status_is($status, $what, '--json', @args);
	my $j = eval { JSON::PP->new->decode($r->{out}) } // {};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($j->{status}, $status, 'its status') or diag($r->{out});
	is($j->{error}{kind}, $kind, $kind);
	is($j->{error}{side}, $side, $side // 'of neither side');
	like($j->{error}{text}, $text, 'what it was');
	# The last of what is said there, prefix and list of options aside.
	like($r->{err}, $text, 'as on standard error');
	return $j;
}

failed(2, 'usage', undef, qr/can't be used together/, 'options',
    '--check', '--repair');
failed(1, 'configuration', undef, qr/No such file/, 'no configuration',
    '--config=/nonexistent');
failed(1, 'failed', undef, qr/nowhere/, 'a mailbox that is not there',
    'nowhere');
$j = failed(1, 'failed', undef, qr/nowhere/, 'to delete', '--delete',
    'nowhere');
is($j->{command}, 'delete', 'the command');

# What changes in the configuration, and back.
sub with
{
	my ($side, $keys, $code) = @_;
	my $was = $i->{$side};

	$i->change($side => { %{ $was->section }, %$keys });
	$code->();
	$i->change($side => $was);
}

with('remote', { port => free_port() }, sub {
	my $j = failed(75, 'connect', 'remote', qr/cannot connect/,
	    'nobody there');
	is($j->{last_good}, $good, 'it was well before');
	is($j->{remote}, undef, 'no figures');
	failed(75, 'connect', 'remote', qr/cannot connect/,
	    'the same within the patience', '--debug', '--patience=1d');
});
with('remote', { password => 'wrong' }, sub {
	my $j = failed(1, 'login', 'remote', qr/refuses the login/,
	    'a wrong password');
	is($j->{last_good}, $good, 'it was well before');
});
with('remote', { password => undef, 'password-command' => 'false' }, sub {
	failed(1, 'password', 'remote', qr/password-command/,
	    'a command that fails') });
with('local', { command => 'sh -c "exit 3"' }, sub {
	failed(75, 'lost', 'local', qr/closed before a greeting/,
	    'a tunnel that ends') });

# Mailboxes that are renamed and deleted.
($j) = json(0, 'a mailbox is renamed', '--rename', 'plain', 'new');
is($j->{command}, 'rename', 'the command');
is_deeply([sort { $a->{side} cmp $b->{side} } @{ $j->{renamed} }], [ map
    { { mailbox => 'plain', utf7 => 'plain', side => $_, to => 'new',
    to_utf7 => 'new' } } 'local', 'remote' ], 'on both sides');
is_deeply($j->{deleted}, [], 'none is deleted');
$i->silent_ok('the run after it');
($j) = json(0, 'and deleted', '--delete', 'new');
is_deeply([sort { $a->{side} cmp $b->{side} } @{ $j->{deleted} }], [ map
    { { mailbox => 'new', utf7 => 'new', side => $_,
    messages => 4 } } 'local', 'remote' ], 'on both sides');

# ---- --status ----

sub status
{
	my ($status, $what, @args) = @_;
	my $r = $i->status_is($status, $what, '--status', '--json', @args);
	my $text = $i->status_is($status, 'as text', '--status', @args);

	is("$r->{err}$text->{err}", '', 'nothing on standard error');
	return (JSON::PP->new->decode($r->{out}), $text->{out});
}

my $before = slurp($i->state_file);
($j, my $t) = status(0, 'all is well');
is($j->{state}, $i->state_file, 'which state');
is($j->{messages}, 19, 'messages') or diag($t);
is($j->{in_use_by}, undef, 'nobody has it');
like($t, qr/^last in sync: \d{4}-/m, 'when it was last well');
unlike($t, qr/^(?:left alone|refused|under way|in use)/m, 'and no more');
($lc, $rc) = ($local->client, $remote->client);
$lc->append('two words', message(91, size => 30_000));
$uid = ($lc->uids('two words'))[-1];
$rc->delete('{5}');
$i->status_is(3, 'something is left undone', '--quiet');
($j, $t) = status(3, 'that');
is_deeply([map { $_->{mailbox} } @{ $j->{stopped} }], ['{5}'],
    'what was left alone');
like($j->{stopped}[0]{reason}, qr/^it is gone on the remote server/, 'why');
is($j->{refused}[0]{uid}, $uid, 'what was refused');
is($j->{refused}[0]{attempts}, 1, 'how often');
like($t, qr/^    \{5\}: it is gone .* \(since \d{4}-\S+ \S+\)$/m, 'as text');
like($t, qr/^    two words: UID $uid of local \(\d+ kB\): .*; tried 1 time, /m,
    'the refused one, too');
$i->status_is(3, 'it is offered once more', '--quiet');
$before = slurp($i->state_file);
$i->status_is(3, 'nothing new', '--quiet');
is(slurp($i->state_file), $before, 'costs no write');
$lc->delete('{5}');
$lc->expunge('two words', $uid);
$i->sync_ok('mended', '--quiet');
($j) = status(0, 'well again');
is_deeply([$j->{stopped}, $j->{refused}], [[], []], 'nothing is left');
my $n = $j->{messages};

# A run that has the state: who it is, and what it has committed so far.
my $w = Imapsync::Watch->new($i, '--watch=600', '--quiet');
$w->ready;
$lc->append('INBOX', message(92));
soon('a message is copied',
    sub { $rc->status('INBOX')->{MESSAGES} == $lc->status('INBOX')->{MESSAGES} });
soon('what a run has committed is seen', sub {
	JSON::PP->new->decode($i->run('--status', '--json')->{out})
	    ->{messages} == $n + 1 });
($j) = status(0, 'while it is watched');
is($j->{in_use_by}, $i->roles($w->pid)->{store}, 'who has it');
failed(75, 'busy', undef, qr/in use by process \d+/, 'another run');
$_->close for $lc, $rc;
$w->end('TERM');

# --patience makes a check of it.
status(0, 'not late', '--patience=1d');
SKIP: {
	skip 'there is no sqlite3', 4 if !which('sqlite3');
	system('sqlite3', $i->state_file,
	    'UPDATE account SET synced = synced - 200000');
	($j, $t) = status(1, 'late', '--patience=1d');
	is($j->{error}{kind}, 'late', 'it says so');
}
$i->lose_state;
($j, $t) = status(0, 'no state');
like($t, qr/^last in sync: never$/m, 'never');
ok(!defined $i->state_file, 'and none is made');

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Names that are not ASCII, as people write them: in what is printed, with and
# without a locale that has them, and in all that takes a name.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Pair qw(pair put count);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $utf8 = `locale -a 2>/dev/null` =~ /^C\.utf-?8$/mi;
plan skip_all => 'there is no locale C.UTF-8' unless $utf8;

my ($local, $remote, $i) = pair(remote => { sep => '.' });

sub in_utf8 { $i->{env} = { LC_ALL => 'C.UTF-8' } }
sub in_c { $i->{env} = {} }

sub names
{
	my $c = $_[0]->client;
	my @names = sort map { $_->{name} } $c->list;

	$c->close;
	return join ' ', @names;
}

# One more message in each of these: which of them did a run copy?
sub copies
{
	my ($what, $want, @args) = @_;

	put($remote, 1, 'INBOX', 'Entw&APw-rfe', 'R&-D', '&AOQ-.b');
	my $r = $i->sync_ok($what, @args);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', sort map { /^(\S+): .*copied/ ? $1 : () }
	    split /\n/, $r->{err}), $want, "$what: what was copied");
	return $r;
}

put($remote, 1, 'Entw&APw-rfe', 'R&-D', '&AOQ-.b', 'x&IC4-y', '&ZeVnLA-');
my $r = $i->sync_ok('first run');
like($r->{err}, qr/^\Q$_\E: created on local/m, "as servers spell it: $_")
    for 'Entw&APw-rfe', 'R&-D', '&AOQ-/b', 'x&IC4-y', '&ZeVnLA-';

# ---- what is printed ----

in_utf8();
copies('in UTF-8', 'Entwürfe INBOX R&D ä/b');
$r = $i->sync_ok('--check', '--check');
like($r->{out}, qr/^ +\Q$_\E: \d messages on local/m, "--check: $_")
    for 'Entwürfe', 'R&D', 'ä/b', '日本', 'x&IC4-y';
put($remote, 1, 'Entw&APw-rfe');
$r = $i->sync_ok('--dry-run', '--dry-run');
is($r->{out}, "Entwürfe: 1 to copy to local\n", '--dry-run');

# JSON is UTF-8 in any locale.
for my $locale ('C', 'C.UTF-8') {
	$i->{env} = { LC_ALL => $locale };
	put($remote, 1, 'Entw&APw-rfe');
	$r = $i->sync_ok('--json', '--json', '--quiet');
	my $j = JSON::PP->new->utf8->decode($r->{out});
	is($j->{mailboxes}[0]{name}, "Entw\x{fc}rfe", "$locale: in UTF-8");
	is($j->{mailboxes}[0]{utf7}, 'Entw&APw-rfe', 'and as it is spelt');
}

# ---- arguments, in any locale ----

copies('UTF-8', 'Entwürfe', 'Entwürfe');
copies('modified UTF-7', 'Entwürfe', 'Entw&APw-rfe');
copies('plain text with &', 'R&D', 'R&D');
copies('a pattern', 'Entwürfe', 'Entwü*');
in_c();
copies('two', 'Entw&APw-rfe R&-D', 'Entwürfe', 'R&-D');
copies('with a delimiter', '&AOQ-/b', 'ä/b');
in_utf8();
$r = $i->status_is(1, 'nobody has it', 'Entwurfe');
$i->says_once($r, qr/ "Entwurfe"; did you mean "Entwürfe"\?$/, 'nearest');
$r = $i->status_is(1, 'nor this', '--delete', 'Entwurfe');
$i->says_once($r, qr/to delete; did you mean "Entwürfe"\?$/, 'nearest');
$r = $i->status_is(2, 'no UTF-8', "Entw\xfcrfe");
like($r->{err}, qr/neither UTF-8 nor/, 'says so');

# ---- the configuration ----

$i->change(conf => { 'list-mailbox' => 'Entwü* R&D "ä\0b" Sent Items' });
$r = copies('list-mailbox', 'Entwürfe R&D ä/b');
is(join('', $r->{err} =~ /^(list-mailbox:.*\n)/mg), <<'', 'what is not there');
list-mailbox: no mailbox matches "Sent" (a name with a blank in it stands in double quotes)
list-mailbox: no mailbox matches "Items" (a name with a blank in it stands in double quotes)

$r = $i->sync_ok('--check', '--check');
like($r->{out}, qr/^warning: list-mailbox: .* "Items"/m, '--check says it as well');
$i->change(conf => { 'list-mailbox' => '* Entwurfe' });
$r = $i->sync_ok('a name that is near');
is($r->{err} =~ s/^(?!list-mailbox).*\n//mgr, 'list-mailbox: no mailbox ' .
    "matches \"Entwurfe\"; did you mean \"Entwürfe\"?\n", 'is told');
$i->change(conf => { 'list-mailbox' => undef,
    'ignore-mailbox' => '^(Entw.rfe|ä\x00)' });
copies('ignore-mailbox', 'INBOX R&D');
$i->change(conf => { 'ignore-mailbox' => undef });
$i->sync_ok('the rest');

# ---- names that are changed ----

$i->sync_ok('--rename', '--rename', 'Entwürfe', 'Süd & Nord');
like(names($_), qr/(?:^| )S&APw-d &- Nord(?: |$)/, 'renamed')
    for $local, $remote;
$i->silent_ok;
$i->sync_ok('--delete', '--delete', 'Süd & Nord');
unlike(names($_), qr/S&APw-d/, 'deleted') for $local, $remote;
$i->silent_ok;

# A part of the local server, of another account.
my $j = Imapsync::Imapsync->new(remote => $remote,
    local => $local->section('list-reference' => 'Büro/'),
    conf => { 'list-mailbox' => '日本' });
$j->sync_ok('list-reference');
is(count($local, 'B&APw-ro/&ZeVnLA-'), 1, 'is where it should be');
$j->silent_ok;

done_testing;

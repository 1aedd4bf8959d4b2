#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# mailbox-map and map-special-use: two names of one mailbox, from the first run on,
# for an account that is in sync, and taken away again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Imapsync::Compare qw(snapshot everything);
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(pair put count);
use Imapsync::Server;
use Imapsync::Watch qw(has soon);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my ($local, $remote, $i);

# "name=messages" of all mailboxes, but INBOX.
sub holds
{
	my ($server) = @_;
	my $snap = snapshot($server);

	return join ' ', map { my $n = 0; $n += $_ for
	    values %{ $snap->{$_}{messages} };
	    ($snap->{$_}{subscribed} ? '!' : '') . tr/ /_/r . "=$n" }
	    grep { $snap->{$_}{selectable} && $_ ne 'INBOX' }
	    sort keys %$snap;
}

sub both
{
	my ($l, $r, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(holds($local), $l, "$what: local");
	is(holds($remote), $r, "$what: remote");
}

sub fill
{
	my ($server, @names) = @_;
	my $c = $server->client;

	put($c, 2, $_) for @names;
	$c->close;
}

sub says
{
	my ($text, $phrase, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(index("\n$text", "\n$phrase") >= 0, $what) or diag($text);
}

subtest 'from the first run on' => sub {
	($local, $remote, $i) = pair(remote => { sep => '.' },
	    conf => { 'mailbox-map' =>
	    "\"Sent Items\" = Sent, Entw\xc3\xbcrfe = Drafts.work" });
	fill($local, 'Sent Items', 'Sent Items/2023', 'Entw&APw-rfe');
	fill($remote, qw(Sent Sent.2024 Drafts.work.old));
	says($i->sync_ok('--check', '--check')->{out}, '    Sent Items: ' .
	    '2 messages on local, 2 on remote ("Sent" there); ', '--check');
	says($i->sync_ok('--dry-run', '--dry-run')->{out}, 'Sent Items/2024: ' .
	    'created on local, 2 to copy to local, on remote it is ' .
	    '"Sent.2024"', '--dry-run shows both names');
	my $r = $i->sync_ok('the first run', '--json');
	my ($box) = grep { $_->{name} eq 'Sent Items/2023' }
	    @{ JSON::PP->new->utf8->decode($r->{out})->{mailboxes} };
	is($box->{remote_name}, 'Sent.2023', '--json names it');
	both('Entw&APw-rfe=2 Entw&APw-rfe|old=2 Sent_Items=4 ' .
	    'Sent_Items|2023=2 Sent_Items|2024=2', 'Drafts|work=2 ' .
	    'Drafts|work|old=2 Sent=4 Sent|2023=2 Sent|2024=2', 'at first');
	$i->quiet_ok('nothing to do');
};

subtest 'what is done with names follows' => sub {
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->subscribe('Sent Items');
	$rc->rename('Sent.2024', 'Sent.late');
	$lc->delete('Sent Items/2023');
	$i->change(conf => { 'rename-mailbox' => 'follow',
	    'delete-mailbox' => 'always' });
	says($i->sync_ok('renamed and deleted below it')->{err},
	    'Sent Items/2024: renamed to Sent Items/late on local',
	    'the rename is followed');
	both('Entw&APw-rfe=2 Entw&APw-rfe|old=2 !Sent_Items=4 ' .
	    'Sent_Items|late=2', 'Drafts|work=2 Drafts|work|old=2 !Sent=4 ' .
	    'Sent|late=2', 'below it');
	$i->sync_ok('--rename', '--rename', 'Sent Items/late', 'Old');
	$rc->append('Sent', message(900));
	$i->sync_ok('MAILBOX is the local name', 'Sent Items');
	both('Entw&APw-rfe=2 Entw&APw-rfe|old=2 Old=2 !Sent_Items=5',
	    'Drafts|work=2 Drafts|work|old=2 Old=2 !Sent=5', 'commands');

	# The pair itself: neither server is touched.
	$rc->unselect;
	$rc->rename('Sent', 'Posted');
	$rc->subscribe('Posted');
	my $r = $i->status_is(3, 'the mailbox itself was renamed');
	says($r->{err}, 'Sent Items: it was renamed to Posted on the remote ' .
	    'server, and is not renamed on the local server: mailbox-map',
	    'that is said');
	both('Entw&APw-rfe=2 Entw&APw-rfe|old=2 Old=2 !Sent_Items=5',
	    'Drafts|work=2 Drafts|work|old=2 Old=2 !Posted=5', 'it is left');
	$i->change(conf => { 'mailbox-map' => 'Entw&APw-rfe = Drafts.work, ' .
	    '"Sent Items" = Posted' });
	$r = $i->sync_ok('with the new name in mailbox-map');
	says($r->{err}, 'Sent Items: its pair on the remote server was ' .
	    '"Sent" and is "Posted" now', 'that is said as well');
	says($r->{err}, 'Sent Items: 5 paired', 'by content');
	both('Entw&APw-rfe=2 Entw&APw-rfe|old=2 Old=2 !Sent_Items=5',
	    'Drafts|work=2 Drafts|work|old=2 Old=2 !Posted=5', 'a new pair');
	$i->quiet_ok('in sync');
	$_->close for $lc, $rc;
};

subtest 'NOTIFY' => sub {
	plan skip_all => 'there is no /proc' unless -e '/proc/self/status';
	my $w = Imapsync::Watch->new($i, '--notify');
	my ($lc, $rc) = ($local->client, $remote->client);

	$w->ready;
	$rc->append('Posted', message(901));
	has($local, 'Sent Items', 6, 'from the remote server');
	$lc->append('Entw&APw-rfe', message(902));
	has($remote, 'Drafts.work', 3, 'from the local server');
	$w->end('TERM');
	$_->close for $lc, $rc;
};

# Both names on both servers, as a run without a map makes them.
subtest 'added, and taken away again' => sub {
	($local, $remote, $i) = pair();
	fill($local, 'Sent Items');
	fill($remote, 'Sent', 'Sent/old');
	$i->sync_ok('without a map');
	my $all = 'Sent=2 Sent_Items=2 Sent|old=2';
	both($all, $all, 'all on both');
	my ($lc, $rc) = ($local->client, $remote->client);
	$rc->expunge('Sent', 1);
	$rc->unselect;
	$i->change(conf => { 'mailbox-map' => '"Sent Items" = Sent',
	    'delete-mailbox' => 'always' });
	my $before = [map { everything($_) } $local, $remote];
	$i->status_is(3, 'a dry run', '--dry-run');
	is_deeply([map { everything($_) } $local, $remote], $before,
	    'nothing was changed');
	my $r;
	for my $pass (1, 2) {
		$r = $i->status_is(3, "with a map, run $pass");
		says($r->{err}, 'Sent: skipped: the mailbox of this name on ' .
		    'the remote server is the pair of "Sent Items"',
		    'what only local can have');
		says($r->{err}, 'Sent Items: the remote server has a mailbox ' .
		    'of this name, too', 'and remote');
	}
	unlike($r->{err}, qr/its pair|copied|paired/, 'once');
	both('Sent=2 Sent_Items=3 Sent_Items|old=2 Sent|old=2',
	    'Sent=3 Sent_Items=2 Sent|old=2', 'paired anew');
	says($i->status_is(3, '--status', '--status')->{out},
	    '    Sent Items: the remote server has a mailbox', 'is known');

	# As it is told to.
	$rc->delete('Sent Items');
	$lc->delete($_) for 'Sent/old', 'Sent';
	$i->sync_ok('made up');
	both('Sent_Items=3 Sent_Items|old=2', 'Sent=3 Sent|old=2', 'one pair');
	$i->quiet_ok('in sync');

	$i->change(conf => { 'mailbox-map' => undef });
	says($i->sync_ok('taken away')->{err}, 'Sent Items: its pair on the ' .
	    'remote server was "Sent" and is "Sent Items" now', 'is said');
	$all = 'Sent=3 Sent_Items=3 Sent_Items|old=2 Sent|old=2';
	both($all, $all, 'nothing was deleted');
	$i->quiet_ok('in sync');
	$_->close for $lc, $rc;
};

# A server whose mailboxes have these uses.
sub uses
{
	my (%uses) = @_;

	return { conf => "namespace inbox {\n" . join('', map {
	    "  mailbox \"$_\" {\n    special_use = \\$uses{$_}\n  }\n" }
	    sort keys %uses) . "}" };
}

subtest 'map-special-use' => sub {
	my %l = ('Sent Items' => 'Sent', Entw => 'Drafts', Bin => 'Trash',
	    Spam => 'Junk');
	my %r = (Sent => 'Sent', Drafts => 'Drafts', Trash => 'Trash',
	    Spam => 'Junk');
	($local, $remote, $i) = pair(local => uses(%l), remote => uses(%r),
	    conf => { 'map-special-use' => 'YES', 'mailbox-map' =>
	    'Entw = Other', 'list-mailbox' => 'INBOX "Sent Items" Entw ' .
	    'Trash* Spam' });
	fill($local, 'Sent Items', qw(Entw Bin Trash/x Spam));
	fill($remote, qw(Sent Drafts Trash Spam));
	my $r = $i->sync_ok('--check', '--check');
	says($r->{out}, '    Sent Items: 2 messages on local, 2 on remote ' .
	    '("Sent" there); ', '--check');
	says($r->{out}, 'warning: map-special-use: \\Trash is "Bin" on local ' .
	    'and "Trash" on remote, and they are no pair, since the local ' .
	    'server has "Trash", too', 'what can not be');
	$r = $i->sync_ok('the first run of a part');
	says($r->{err}, 'Sent Items: "Sent" on the remote server is its ' .
	    'pair, since both are \\Sent', 'it is found');
	both('Bin=2 Entw=2 Sent_Items=4 Spam=4 Trash=2 Trash|x=2',
	    'Drafts=2 Other=2 Sent=4 Spam=4 Trash=2 Trash|x=2', 'a part');

	# It is remembered, and all the rest is as it is called.
	$remote->reconfigure('mailbox "Sent" {', 'mailbox "Sent2" {');
	my $rc = $remote->client;
	put($rc, 1, 'Sent2', 'Sent');
	$i->change(conf => { 'list-mailbox' => undef });
	$r = $i->sync_ok('the use has gone elsewhere');
	says($r->{err}, 'map-special-use: on the remote server \\Sent is ' .
	    'Sent2 now; "Sent Items" and "Sent" stay a pair', 'is said');
	both('Bin=2 Drafts=2 Entw=2 Sent_Items=5 Sent2=1 Spam=4 Trash=2 ' .
	    'Trash|x=2', 'Bin=2 Drafts=2 Other=2 Sent=5 Sent2=1 Spam=4 ' .
	    'Trash=2 Trash|x=2', 'as it was');

	$i->change(conf => { 'map-special-use' => undef });
	says($i->sync_ok('switched off')->{err}, 'Sent Items: its pair on ' .
	    'the remote server was "Sent" and is "Sent Items" now', 'is said');
	both('Bin=2 Drafts=2 Entw=2 Sent=5 Sent_Items=5 Sent2=1 Spam=4 ' .
	    'Trash=2 Trash|x=2', 'Bin=2 Drafts=2 Other=2 Sent=5 ' .
	    'Sent_Items=5 Sent2=1 Spam=4 Trash=2 Trash|x=2', 'two mailboxes');
	$rc->close;
};

done_testing;

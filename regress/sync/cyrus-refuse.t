#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What Cyrus refuses: malformed messages, large ones, old dates, the hundred and
# first keyword, more than the quota.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Client;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Pair qw(dovecot cyrus count);
use Imapsync::Proc qw(slurp spew);
use Imapsync::Server;
use Imapsync::Tap;

for my $kind ('dovecot', 'cyrus') {
	plan skip_all => Imapsync::Server->missing($kind)
	    if Imapsync::Server->missing($kind);
}

subtest 'malformed messages' => sub {
	my $model = Imapsync::Model->new;
	my $remote = cyrus();
	my $i = Imapsync::Imapsync->new(local => $model, remote => $remote);
	my @mail = map { message($_) } 1 .. 8;

	$mail[1] =~ s/line of/line\0of/;
	$mail[3] =~ s/longer\r\n/longer\n/;
	$mail[5] = "no header\r\n";
	$model->change(sub { $_[0]->deliver('INBOX', $_) for @mail });
	my $r = $i->status_is(3, 'three of eight');
	for my $part ([2, 'NUL'], [4, 'bare newline'], [6, 'header']) {
		my ($uid, $words) = @$part;
		like($r->{err}, qr/^INBOX: .*remote.*UID $uid .*$words/m,
		    "UID $uid is named with Cyrus's words");
	}
	is(count($remote), 5, 'the others are there');
	$r = $i->status_is(3, 'offered once more');
	like($r->{err}, qr/\A3 messages are refused.*\n\z/, 'one line');
	$r = $i->run('--debug');
	unlike($r->{err}, qr/\b(SELECT|EXAMINE|APPEND)\b/, 'no SELECT');
	$model->change(sub { $_[0]->remove('INBOX', 2, 4, 6) });
	$i->sync_ok('deleted at the source');
	same_content($model, $remote, 'equal');
	$i->silent_ok;

	# One at a time, each alone in its run.
	$model->change(sub { $_[0]->deliver('INBOX', $mail[1]) });
	$i->status_is(3, 'alone');
	$model->change(sub { $_[0]->deliver('INBOX', '') });
	$i->status_is(3, 'an empty one');
	is(count($remote), 5, 'refused');
};

subtest 'TOOBIG, and BYE' => sub {
	my $local = dovecot();
	my $remote = cyrus(conf => "maxmessagesize: 20480\n");
	my $tap = Imapsync::Tap->new(server => $remote, s2c => sub {
		my ($t, $data) = @_;
		$data =~ s/ APPENDLIMIT=\d+//;
		return $data;
	});
	my $c = $local->client;
	my ($i, $r, $n);

	$c->append_many('INBOX', map { { body => message($_, size =>
	    $_ == 3 ? 30_000 : 300) } } 1 .. 5);
	$i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	$r = $i->status_is(3, 'APPENDLIMIT is known');
	like($r->{err}, qr/UID 3 .*20480/, 'named');
	is(count($remote), 4, 'the others are there');

	$c->create('unknown');
	$c->append_many('unknown', map { { body => message($_, size =>
	    $_ == 3 ? 30_000 : 300) } } 1 .. 5);
	$i = Imapsync::Imapsync->new(local => $local, remote => $tap);
	for ($n = 1; $n <= 6; $n++) {
		$r = $i->run;
		last if $r->{status} != 75;
	}
	is($r->{status}, 3, "not known: settled after $n runs")
	    or diag($r->{err});
	is(count($remote, 'unknown'), 4, 'the others are there');
	is(count($remote), 4, 'and none twice');
	$c->close;
};

subtest 'a date before 1970' => sub {
	my ($local, $remote) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_), flags =>
	    '\Seen', date => $_ % 3 ? date_of($_) :
	    ' 1-Feb-1965 10:00:00 +0100' } } 1 .. 9);
	$i->sync_ok('they go without');
	is(count($remote), 9, 'all');
	my $rc = $remote->client;
	my %date = map { $_->{body} =~ /Subject: message (\d+)/; ($1 =>
	    $_->{date}) } $rc->fetch_all('INBOX');
	is(Imapsync::Compare::instant($date{$_}),
	    Imapsync::Compare::instant(date_of($_)), "the date of $_")
	    for 1, 2, 4, 5;
	$i->silent_ok;
	$_->close for $c, $rc;
};

subtest 'a hundred keywords' => sub {
	my ($local, $remote) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_), flags =>
	    '\Seen ' . ($_ <= 120 ? "key$_" : '\Flagged') } } 1 .. 125);
	my $r = $i->sync_ok('a hundred and twenty');
	is(count($remote), 125, 'all messages');
	like($r->{err}, qr/^INBOX: .*key\d+/m, 'named');
	is((() = $r->{err} =~ /^INBOX: .*key/mg), 1, 'in one line');
	$i->silent_ok;

	# The same with STORE.
	$c->create('stored');
	$c->append_many('stored', map { { body => message($_) } } 1 .. 120);
	$i->sync_ok('a mailbox without');
	$c->store('stored', $_, '+FLAGS', "key$_") for 1 .. 120;
	$c->store('stored', 120, '+FLAGS', '\Flagged');
	$r = $i->sync_ok('set later');
	my $rc = $remote->client;
	my @m = $rc->fetch_all('stored');
	is((grep { grep { /^key/ } @{ $_->{flags} } } @m), 100,
	    'a hundred of them');
	is((grep { grep { $_ eq '\Flagged' } @{ $_->{flags} } } @m), 1,
	    'and the flag');
	$i->silent_ok;
	# They are still on the side that has them.
	my @l = $c->fetch_all('stored');
	is((grep { grep { /^key/ } @{ $_->{flags} } } @l), 120, 'kept here');
	$_->close for $c, $rc;
};

subtest 'over quota' => sub {
	my ($local, $remote) = (dovecot(), cyrus());
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my ($c, $rc) = ($local->client, $remote->client);
	my $script = slurp($remote->dir . '/tunnel');

	# The same imapd, without the wrapper that logs a user in.
	$script =~ s/\S+perl\S* \S+preauth user // or die "tunnel: $script";
	my $raw = spew($remote->dir . '/raw', $script, 0755);
	my $admin = Imapsync::Client->new(command => $raw, user => 'admin');
	$admin->ok('SETQUOTA "user/user" (STORAGE 40)');

	$c->append_many('INBOX', map { { body => message($_, size =>
	    10_000) } } 1 .. 8);
	$rc->append('INBOX', message(9));
	my $r = $i->status_is(3, 'no code, but the word');
	like($r->{err}, qr/^INBOX: .*over quota/mi, "Cyrus's words");
	like($r->{err}, qr/^the remote server has no room/m, 'it stops');
	cmp_ok(count($remote), '<', 8, 'not all');
	is(count($local), 9, 'the other direction goes on');
	$admin->ok('SETQUOTA "user/user" (STORAGE 400)');
	$i->sync_ok('there is room');
	same_content($local, $remote, 'equal');
	$i->silent_ok;
	$_->close for $c, $rc, $admin;
};

done_testing;

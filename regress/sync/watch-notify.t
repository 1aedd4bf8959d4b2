#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --notify: changes in any mailbox arrive soon; a server without NOTIFY is
# named, and watched by IDLE.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(slurp wait_for);
use Imapsync::Server;
use Imapsync::Watch qw(has soon);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    sep => '.');
my ($lc, $rc) = map { $_->client } $local, $remote;
$lc->create($_) for qw(Work Lists Lists/deep);
$rc->append('INBOX', message(1));

sub subscribed
{
	my ($c, $name) = @_;
	my ($m) = grep { $_->{name} eq $name } $c->list;

	return $m && $m->{subscribed} ? 1 : 0;
}

# Nobody wakes meanwhile to look whether the clock has jumped: for how long does
# the engine wait?
sub sleeps_long
{
	my ($pid) = @_;
	my $file = "/proc/$pid/syscall";
	my $poll = { x86_64 => 7 }->{ (POSIX::uname())[4] };

	SKIP: {
		skip("the system calls of this machine are not known", 1)
		    unless defined $poll;
		skip("$file can't be read", 1)
		    unless defined eval { slurp($file) };
		ok(eval { wait_for(20, 'poll(2)', sub {
			my ($call, @arg) = split ' ', slurp($file);
			$call eq $poll && hex($arg[2]) > 60_000;
		}) }, 'the engine waits for more than a minute') or
		    diag(slurp($file));
	}
}

subtest 'NOTIFY on both' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $w = Imapsync::Watch->new($i, '--notify');

	$w->ready;
	same_content($local, $remote, 'the first pass');
	like($w->status, qr/ in [89]\d\d s$/, 'a full look now and then');
	sleeps_long($i->roles($w->pid)->{engine});
	$rc->append('Work', message(2));
	has($local, 'Work', 1, 'a message from the remote server');
	$lc->append('Lists/deep', message(3));
	has($remote, 'Lists.deep', 1, 'a message from the local server');
	$rc->append('INBOX', message(4));
	has($local, 'INBOX', 2, 'a message in INBOX');
	$lc->store('Work', 1, '+FLAGS', '\Flagged');
	$lc->unselect;
	soon('flags from the local server', sub {
		my @m = $rc->fetch_all('Work');
		"@{ $m[0]{flags} }" =~ /Flagged/ });
	$rc->expunge('Work', 1);
	$rc->unselect;
	has($local, 'Work', 0, 'an expunge on the remote server');

	$rc->create('New');
	soon('a new mailbox on the remote server',
	    sub { $lc->status('New') });
	$lc->create('Other');
	soon('a new mailbox on the local server',
	    sub { $rc->status('Other') });
	# New mailboxes are watched as the others are.
	$rc->append('New', message(5));
	has($local, 'New', 1, 'a message in it');
	$lc->append('Other', message(6));
	has($remote, 'Other', 1, 'and in the other');
	$rc->subscribe('New');
	soon('a subscription on the remote server',
	    sub { subscribed($lc, 'New') });
	$lc->subscribe('Other');
	soon('a subscription on the local server',
	    sub { subscribed($rc, 'Other') });
	$lc->unsubscribe('Other');
	soon('and its end', sub { !subscribed($rc, 'Other') });
	sleep 2;
	same_content($local, $remote, 'equal');
	unlike($w->err, qr/^(?!INBOX|Work|Lists|New|Other|\d+ mailboxes)/m,
	    'nothing but what changed is said');
	my $before = $w->all;
	sleep 2;
	is($w->all, $before, 'nothing is said when nothing happens');
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'SIGTERM ends it');
	cmp_ok($r->{took}, '<', 4, 'at once');
};

# One line that names the server, and IDLE.
sub without
{
	my ($server, $name, $side, $other) = @_;
	my %o = (local => $local, remote => $server);

	@o{qw(local remote)} = @o{qw(remote local)} if $side eq 'local';
	my $i = Imapsync::Imapsync->new(%o);
	my $w = Imapsync::Watch->new($i, '--notify');
	my $c = $server->client;

	$w->ready(60);
	my $n = $lc->status('INBOX')->{MESSAGES};
	my @lines = grep { /NOTIFY/ } split /\n/, $w->err;
	is(scalar @lines, 1, "$name: one line") or diag($w->err);
	like($lines[0], qr/^$side: .*does not offer NOTIFY.*IDLE$/,
	    "$name: which names it");
	$c->append('INBOX', message(100 + $n));
	has($local, 'INBOX', $n + 1, "$name: by IDLE");
	$lc->append('INBOX', message(101 + $n));
	has($server, 'INBOX', $n + 2, "$name: and to it");
	$lc->append('Work', message(102 + $n));
	has($server, 'Work', $lc->status('Work')->{MESSAGES},
	    "$name: any mailbox of the other one");
	$w->look;
	sleep 1;
	is(scalar(() = $w->err =~ /NOTIFY/g), 1, "$name: not said again");
	my $r = $w->end('TERM');
	is($r->{signal}, 15, "$name: SIGTERM ends it");
	$c->close;
}

subtest 'a server without NOTIFY' => sub {
	my $caps = 'IMAP4rev1 SASL-IR LITERAL+ ENABLE IDLE UIDPLUS ' .
	    'LIST-EXTENDED LIST-STATUS CONDSTORE QRESYNC ESEARCH ' .
	    'MULTIAPPEND UNSELECT MOVE NAMESPACE SPECIAL-USE';

	for my $side ('remote', 'local') {
		my $server = Imapsync::Server->new(name => "plain-$side",
		    caps => $caps);
		without($server, "Dovecot, $side", $side);
	}
	SKIP: {
		my $why = Imapsync::Server->missing('cyrus');
		skip $why, 1 if $why;
		my $cyrus = Imapsync::Server->new(name => 'cyrus',
		    kind => 'cyrus', daemon => 1);
		without($cyrus, 'Cyrus', 'remote');
	}
};

$_->close for $lc, $rc;
done_testing;

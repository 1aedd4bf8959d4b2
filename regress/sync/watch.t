#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch by IDLE: changes on either side arrive soon, SIGHUP, SIGUSR1, a look
# now and then, and not a word when nothing happens.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Watch qw(has soon);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', sep => '.');
my ($lc, $rc) = map { $_->client } $local, $remote;
$lc->append('INBOX', message($_)) for 1 .. 2;
$lc->create($_) for 'Lists', 'Lists/c', 'Work';

sub flags
{
	my ($c, $name, $uid) = @_;

	$c->ok('EXAMINE', \$name);
	my $r = $c->ok("UID FETCH $uid (UID FLAGS)");
	$c->ok('UNSELECT');
	$c->{selected} = undef;
	for my $u (@{ $r->{untagged} }) {
		next unless uc($u->[1] // '') eq 'FETCH';
		my %f = @{ $u->[2] };
		next unless ($f{UID} // 0) == $uid;
		return join ' ', sort grep { lc $_ ne '\recent' }
		    @{ $f{FLAGS} };
	}
	return 'none';
}

subtest 'IDLE' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $w = Imapsync::Watch->new($i, '--watch=600');

	$w->ready;
	same_content($local, $remote, 'the first pass');
	my $said = $w->err;
	$rc->append('INBOX', message(3));
	has($local, 'INBOX', 3, 'a message from the remote server');
	$lc->append('INBOX', message(4));
	has($remote, 'INBOX', 4, 'a message from the local server');
	$rc->store('INBOX', 1, '+FLAGS', '\Flagged');
	soon('flags from the remote server',
	    sub { flags($lc, 'INBOX', 1) eq '\Flagged' });
	$lc->store('INBOX', 2, '+FLAGS', '\Answered $Work');
	soon('flags from the local server',
	    sub { flags($rc, 'INBOX', 2) eq '$Work \Answered' });
	$rc->expunge('INBOX', 1);
	has($local, 'INBOX', 3, 'an expunge on the remote server');
	$lc->expunge('INBOX', 2);
	has($remote, 'INBOX', 2, 'an expunge on the local server');
	$_->unselect for $lc, $rc;

	is(substr($w->err, 0, length $said), $said, 'what was said stands');
	my $new = substr $w->err, length $said;
	like($new, qr/^(?:INBOX: .*\n)+\z/, 'a line a change') or diag($new);
	is($w->out, '', 'nothing on standard output');

	# A mailbox that is not watched: when asked to look.
	$rc->append('Lists', message(5));
	sleep 1.5;
	is($lc->status('Lists')->{MESSAGES}, 0, 'Lists is not watched');
	$w->look;
	has($local, 'Lists', 1, 'SIGHUP: looks now');

	$w->ready;
	my $before = $w->all;
	my $line = $w->status;
	sleep 0.2;
	is($w->all, $before . $line, 'SIGUSR1: one line');
	like($line, qr/^status: watching \d+ mailboxes, .* in \d+ s$/,
	    'which says where it is');
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'SIGTERM ends it');
	cmp_ok($r->{took}, '<', 4, 'at once');
	same_content($local, $remote, 'equal');
};

# Nothing has changed: the server is asked twice from one IDLE to the next.
subtest 'two turns a look' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	$i->sync_ok('paired');
	$i->quiet_ok('nothing to do');
	my $w = Imapsync::Watch->new($i, '--watch=600', '--debug');
	$w->idles(1);
	for my $n (2, 3) {
		my $said = length $w->all;
		$w->look;
		$w->idles($n);
		for my $side ('local', 'remote') {
			my @sent = substr($w->all, $said) =~
			    /^$side: C: (?:A\d+ )?(\w+)/mg;
			is("@sent", 'DONE LIST IDLE', "$side: no EXAMINE");
		}
	}
	$w->end('TERM');
};

subtest 'a full look' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	$i->sync_ok('adopted');
	my $w = Imapsync::Watch->new($i, '--watch=1');
	$w->ready;
	my $before = $w->err;
	sleep 3.5;
	is($w->err, $before, 'nothing is said when nothing happens');
	is($w->out, '', 'nor on standard output');
	$rc->append('Work', message(6));
	has($local, 'Work', 1, 'a mailbox that is not watched');
	$rc->create('Fresh');
	soon('a new mailbox', sub { $lc->status('Fresh') });
	# One that is stopped is named once.
	$lc->delete('Work');
	$w->says(20, qr/^Work: it is gone.*--target=database/m);
	my $n = $w->lines;
	sleep 3.5;
	is($w->lines, $n, 'a stopped mailbox is named once') or
	    diag($w->err);
	$rc->append('INBOX', message(7));
	has($local, 'INBOX', 3, 'the others go on');
	is(scalar(() = $w->err =~ /forget that it was there/g), 1,
	    'the advice was given once') or diag($w->err);
	my $r = $w->end('INT');
	is($r->{signal}, 2, 'SIGINT ends it');
	cmp_ok($r->{took}, '<', 4, 'at once');
	$rc->delete('Work');
};

subtest 'several mailboxes' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => { 'watch-mailbox' => 'Lists "Lists\x00c" Missing' });

	$i->sync_ok('adopted');
	my $w = Imapsync::Watch->new($i, '--watch=600');
	$w->ready;
	$lc->append('Lists', message(8));
	has($remote, 'Lists', 2, 'the first one: at once');
	$rc->append('Lists.c', message(9));
	# The further ones are looked at every ten seconds.
	ok(eval { Imapsync::Proc::wait_for(25, 'Lists/c', sub {
	    $lc->status('Lists/c')->{MESSAGES} == 1 }) },
	    'a further one: before long');
	$rc->append('Lists', message(10));
	has($local, 'Lists', 3, 'and the first one again');
	$w->end('TERM');
};

subtest '--json' => sub {
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	$i->sync_ok('adopted');
	my $w = Imapsync::Watch->new($i, '--watch=600', '--json', '--quiet');
	$w->ready;
	is(scalar(() = $w->out =~ /\n/g), 1, 'a line for the first pass');
	$w->look;
	sleep 1;
	is(scalar(() = $w->out =~ /\n/g), 1, 'none for one without change');
	$rc->append('INBOX', message(11));
	has($local, 'INBOX', 4, 'a message');
	soon('a line for that',
	    sub { (() = $w->out =~ /\n/g) == 2 });
	is($w->err, '', '--quiet') or diag($w->err);
	$w->end('TERM');
};

$_->close for $lc, $rc;
done_testing;

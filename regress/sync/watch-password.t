#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch and passwords: a wrong one at first, one that is not good any more
# later.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Imapsync;
use Imapsync::Proc qw(tmpdir spew wait_for);
use Imapsync::Server;
use Imapsync::Watch qw(watching arrives);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $dir = tmpdir();
my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $rc = $remote->client;
my $gone = qr/^remote: (?:127\.0\.0\.1 ended the session|lost the server)/m;

sub attempts { return scalar(() = $remote->log =~ /auth failed/g) }

subtest 'a wrong password' => sub {
	my $i = Imapsync::Imapsync->new(local => $local,
	    remote => $remote->section(password => 'wrong'));
	my $r = $i->status_is(1, 'in the first session: exit 1',
	    '--watch=600');
	is(scalar(() = $r->{err} =~ /\n/g), 1, 'one line') or
	    diag($r->{err});
	is(attempts(), 1, 'one attempt');
};

subtest 'a token that expires' => sub {
	spew("$dir/token", "pass\n");
	my $w = watching($local, $remote->section(password => undef,
	    'password-command' => "cat $dir/token"));

	arrives($rc, $local, 'at first');
	my $before = attempts();
	$remote->stop;
	$remote->{password} = 'new';
	$remote->start;
	$w->look;
	wait_for(30, 'an attempt', sub { attempts() > $before });
	wait_for(20, 'the wait', sub {
		sleep 0.1;
		my $s = $w->status;
		$s =~ /^waiting (\d+) s/ && $1 > 200 });
	sleep 3;
	is(attempts(), $before + 1, 'one attempt, then a long wait');
	my @lines = grep { !/^INBOX: / } split /\n/, $w->err;
	like($lines[0], $gone, 'what was lost');
	like($lines[1] // '', qr/^remote: .*(?:password|log ?in|auth)/i,
	    'what is wrong now');
	is(scalar @lines, 2, 'no more') or diag($w->err);
	spew("$dir/token", "new\n");
	$w->look;
	$w->says(20, qr/are back/);
	arrives($rc, $local, 'with another token');
	is(attempts(), $before + 1, 'no further attempt');
	unlike($w->all, qr/\bpass\b/, 'no password is shown');
	is($w->end('TERM')->{signal}, 15, 'SIGTERM');
};

$rc->close;
done_testing;

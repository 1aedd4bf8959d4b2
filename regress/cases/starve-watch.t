#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A message that ends every connection that fetches it, while the program
# watches: all else is copied, it is named, and then there is one session that
# stays.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Cases qw(cases);
use Imapsync::Compare qw(same_content);
use Imapsync::Case qw(named);
use Imapsync::Poison;
use Imapsync::Proc qw(wait_for);
use Imapsync::Server;
use Imapsync::Watch;

use constant LONG => 60;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# A test: true before long.
sub before_long
{
	my ($what, $sub) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(eval { wait_for(LONG, $what, sub { $sub->() }) }, $what);
}

sub watched
{
	my ($side, $kind, $option, $first) = @_;
	my $p = Imapsync::Case->new(map { $_ => { answer => undef } }
	    'local', 'remote');
	my $other = $p->other($side);

	$p->{size} = 900;
	# Headers are fetched in a first run, if both have messages.
	$p->put($_, 'INBOX', 91, 92) for $side, $first ? $other : ();
	$p->run(0, 'before') if !$first;
	$p->put($side, 'INBOX', 1, 2);
	my $x = Imapsync::Poison->new($p, $side, 'INBOX', 3, $kind);
	$p->put($side, 'INBOX', 4, 5);
	$p->put($side, $_, 11) for 'A', 'z';
	$p->put($other, 'INBOX', 21);
	$p->put($other, 'own', 22);

	my $w = Imapsync::Watch->new($p->i, $option);
	my $done = before_long('all else is copied', sub {
		$p->numbers($other, 'INBOX') eq '1:2 4:5 21 91:92' &&
		    $p->numbers($side, 'INBOX') eq '1:2 4:5 21 91:92' &&
		    !(grep { $p->with($_->[0], sub {
		    !$_[0]->status($_->[1]) }) || $p->numbers(@$_) eq '' }
		    [$other, 'A'], [$other, 'z'], [$side, 'own']);
	}) && before_long('the message is named', sub {
		named($w->err, $side, 'INBOX', $x->uid) });
	if ($done) {
		stays($p, $w, $side);
		$p->put($side, 'INBOX', 6);
		before_long('what comes later is copied', sub {
			$p->numbers($other, 'INBOX') eq '1:2 4:6 21 91:92' });
	}
	my $r = $w->end('TERM');
	is($r->{signal}, 15, 'it has not ended by itself') or diag($r->{err});
	$p->rests(3, 'a run') if $done;
	$x->repair;
	$p->settles('INBOX', $done ? '1:6 21 91:92' : '1:5 21 91:92',
	    'mended', '--retry');
}

# From now on one session, though it looks again: not one after the other.
sub stays
{
	my ($p, $w, $side) = @_;
	my ($before, $since);

	before_long('it settles', sub {
		my $n = $p->{$side}->connections;
		($before, $since) = ($n, time) if ($before // 0) != $n;
		return time - $since >= 5 && $w->status =~ /watching/;
	});
	my $text = $w->err;
	for (1 .. 3) {
		$w->look;
		sleep 1;
	}
	is($p->{$side}->connections, $before, 'no further session');
	is($w->err, $text, 'and not a further word');
}

for my $case (['remote', 'size', '--watch=600', 0],
    ['local', 'mode', '--watch=600', 0], ['remote', 'empty', '--watch=2', 0],
    ['remote', 'mode', '--notify', 0], ['remote', 'short', '--watch=600', 1]) {
	my ($side, $kind, $option, $first) = @$case;
	push @cases, "B1: $option, $kind on $side" .
	    ($first ? ', first run' : '') => sub { watched(@$case) };
}

cases(4, @cases);
done_testing;

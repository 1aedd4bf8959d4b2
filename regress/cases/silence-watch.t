#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A message that its server has not given, while the program watches: the next
# pass asks again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Compare qw(same_content);
use Imapsync::Case qw(named);
use Imapsync::Proc qw(wait_for);
use Imapsync::Server;
use Imapsync::Watch;
use Imapsync::Withhold qw(withhold);
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

# A test: these numbers are there before long.
sub comes
{
	my ($p, $side, $numbers, $what) = @_;
	my $have = '';

	ok(eval { wait_for(30, $what, sub {
		$have = $p->numbers($side, 'INBOX');
		$have eq $numbers }) }, $what) or diag("there is $have");
}

for my $side (sides('remote', 'local')) {
	for my $how ('none', 'nil') {
		my $what = "$side does not give one, $how";

		push @cases, "A1: --watch, $what" => sub {
			my $p = Imapsync::Case->new($side => { answer =>
			    withhold($how) });
			my $other = $p->other($side);

			$p->put($side, 'INBOX', 91, 92);
			$p->run(0, 'before');
			my $w = Imapsync::Watch->new($p->i, '--watch=1');
			$w->ready;
			$p->{$side}->set(withhold => 'once INBOX:3:999');
			$p->put($side, 'INBOX', 1 .. 4);
			my $come = comes($p, $other, '1:4 91:92', 'all come');
			ok(named($w->err, $side, 'INBOX', 6),
			    'the last one was named') or diag($w->err);
			$p->expunge($side, 'INBOX', 2);
			comes($p, $other, '1 3:4 91:92',
			    'A2: a deletion is carried over') if $come;
			$w->end('TERM');
			same_content($p->local, $p->remote, 'equal');
			$p->rests(0, 'then');
		};
	}
}

cases(4, @cases);
done_testing;

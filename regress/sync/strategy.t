#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A real server that lacks QRESYNC, or CONDSTORE and all else as well: what is not
# offered is refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Case;
use Imapsync::Hidden;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my %without = (
	condstore => ['QRESYNC', 'IDLE', 'NOTIFY'],
	plain => [plain()],
);

for my $strategy ('condstore', 'plain') {
	for my $side ('remote', 'local') {
		subtest "$strategy, $side" => sub { all_of_it($strategy, $side) };
	}
}

sub all_of_it
{
	my ($strategy, $side) = @_;
	my $other = $side eq 'local' ? 'remote' : 'local';
	my $p = Imapsync::Case->new($side => {
	    hidden(@{ $without{$strategy} }) });

	my $r = $p->run(0, '--check', '--check');
	like($r->{out}, qr/^    strategy: $strategy \(there is n/m, 'named');
	$p->put($side, 'INBOX', 1 .. 12);
	$p->put($other, 'sub/box', 21 .. 23);
	$p->flags($side, 'INBOX', '+FLAGS', '\Seen', 1 .. 6);
	$p->run(0, 'first run');
	$p->equal('INBOX', '1:12', 'first run');
	$p->equal('sub/box', '21:23', 'first run');
	$p->rests(0, 'first run');

	$p->put($side, 'INBOX', 13, 14);
	$p->put($other, 'INBOX', 15, 16);
	$p->settles('INBOX', '1:16', 'new on both');
	$p->flags($side, 'INBOX', '+FLAGS', '\Flagged Word', 2, 7);
	$p->flags($other, 'INBOX', '-FLAGS', '\Seen', 1, 2);
	$p->settles('INBOX', '1:16', 'flags on both');
	is($p->flags_of($side, 'INBOX', 2), 'Word \Flagged', 'merged');

	$p->expunge($side, 'INBOX', 3, 16);
	$p->expunge($other, 'INBOX', 4, 1);
	$p->settles('INBOX', '2 5:15', 'expunged on both');
	$p->expunge($side, 'INBOX', 5);
	$p->put($side, 'INBOX', 17);
	$p->expunge($other, 'INBOX', 6);
	$p->put($other, 'INBOX', 18);
	$p->flags($side, 'INBOX', '+FLAGS', '\Answered', 7);
	$p->settles('INBOX', '2 7:15 17:18', 'all at once');
	$p->expunge($side, 'sub/box', 21 .. 23);
	$p->settles('sub/box', '', 'all of a mailbox');
	$p->expunge($other, 'INBOX', 2, 7 .. 12);
	$p->put($other, 'INBOX', 19);
	$p->settles('INBOX', '13:15 17:19', 'many');
	is(refused($p->{$side}), '', 'nothing was sent that is not offered');
}

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server says to people is shown, once; what it does not offer is not sent.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Case;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

for my $side ('remote', 'local') {
	my $other = $side eq 'local' ? 'remote' : 'local';
	my $p = Imapsync::Case->new($side => { model => 1,
	    caps => '-ESEARCH -UNSELECT', hooks => { 'after SELECT' => sub {
		$_[0]->untagged('OK [ALERT] the disk is nearly full');
		$_[0]->untagged('NO the disk is slow, too');
	    } } });

	$p->put($other, 'A', 1 .. 3);
	$p->put($other, 'B', 4);
	my $r = $p->run(0, 'a run');
	for my $words ('the disk is nearly full', 'the disk is slow') {
		is(scalar(() = $r->{err} =~ /^$side: .*\Q$words\E/mg), 1,
		    "E17: $side: $words, once") or diag($r->{err});
	}
	my $sent = $p->{$side}->received;
	$p->with($other, sub { $_[0]->expunge('A', 1) });
	$p->put($side, 'B', 5);
	$p->run(0, 'another');
	$sent .= $p->{$side}->received;
	like($sent, qr/ UID SEARCH UID /, "E18: $side: SEARCH");
	unlike($sent, qr/SEARCH RETURN| UNSELECT/,
	    "E18: $side: nothing that is not offered");
	$p->has($side, 'A', '2:3', 'deleted');
	$p->has($other, 'B', '4:5', 'copied');
}
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# run: what `make regress` calls once the program is staged and the unit tests

# Cyrus waits for the socket although it holds commands that it has not inflated
# yet: many commands in few packets, under COMPRESS, must all be answered.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing($_)
    for grep { Imapsync::Server->missing($_) } qw(dovecot cyrus);

my $n = 0;
for my $sep ('.', '/') {
	my $local = Imapsync::Server->new(name => "local$n");
	my $remote = Imapsync::Server->new(name => "remote$n", daemon => 1,
	    sep => $sep, kind => 'cyrus');
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    limit => 60);
	my $c = $local->client;

	for my $box (qw(a a/b a/b/c x x/y z)) {
		$c->create($box);
		$c->append_many($box, map { { body => message($n++) } } 1 .. 3);
	}
	$c->subscribe('a');
	my $r = $i->run('--debug');
	is($r->{status}, 0, "$sep: first run");
	like($r->{err}, qr/COMPRESS DEFLATE/, "$sep: compressed");
	$i->run;	# what Cyrus made besides
	same_content($local, $remote, "$sep: equal");
	$c->store($_, '1:3', '+FLAGS', '\Seen') for qw(a a/b a/b/c x x/y z);
	$i->sync_ok("$sep: flags");
	same_content($local, $remote, "$sep: equal after changes");
}

done_testing;

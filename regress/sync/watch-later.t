#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server shows today it may not show tomorrow: a run ends with 1, a watch
# says it once and tries again, in its first session too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Cert;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $tls = Imapsync::Server->new(name => 'tls', daemon => 1,
    cert => Imapsync::Cert->new(name => 'ok'));
my $fake = Imapsync::Fake->new(script => sub {
	$_[0]->put("HTTP/1.1 400 Bad Request\r\n");
	$_[0]->until_closed;
});

for my $case (['a certificate of nobody', $tls->section(SSL_CAfile => undef),
    qr/certificate/], ['no greeting', $fake->section, qr/does not greet/]) {
	my ($what, $remote, $re) = @$case;
	my $i = Imapsync::Imapsync->new(remote => $remote, local =>
	    Imapsync::Model->new(greeting => 'PREAUTH')->section(tunnel => 1));
	my $r = $i->status_is(1, "E16: $what: a run ends with 1");

	like($r->{err}, $re, "E16: $what: says why");
	my $w = Imapsync::Watch->new($i, '--watch=600');
	ok(scalar(eval { $w->says(20, $re); 1 }), "E16: $what: a watch, too");
	sleep 1;
	like($w->status, qr/^waiting \d+ s before the next try/,
	    "E16: $what: and it goes on");
	is($w->end('TERM')->{signal}, 15, "E16: $what: until it is ended");
}
$tls->stop;
done_testing;

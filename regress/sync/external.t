#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A client certificate instead of a password: AUTH=EXTERNAL.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir run_command slurp spew);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $good = Imapsync::Cert->new(name => 'good');
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});
my $client = Imapsync::Cert->new(name => 'client', cn => 'joe',
    san => 'email:joe@example.org');
my $forged = Imapsync::Cert->new(name => 'forged', cn => 'joe',
    ca => 'other-ca', san => 'email:joe@example.org');
my $server = Imapsync::Server->new(name => 'external', daemon => 1,
    user => 'joe', cert => $good, mechs => 'external plain',
    conf => "ssl_ca = <" . $good->ca . "\n" .
    "ssl_require_crl = no\nssl_verify_client_cert = yes\n" .
    "auth_ssl_username_from_cert = yes\npassdb {\n" .
    "  driver = static\n  mechanisms = external\n" .
    "  args = nopassword=y\n}\nauth_failure_delay = 0\nservice anvil {\n" .
    "  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}");
my %keys = (password => undef, auth => 'EXTERNAL');
my @mine = (SSL_cert => $client->cert, SSL_key => $client->key);

$i->change(remote => $server->section(%keys, @mine));
my $r = $i->sync_ok('EXTERNAL', '--debug');
like($r->{err}, qr/logged in \(EXTERNAL, TLSv1/, 'that was it');
my $both = tmpdir() . '/both.pem';
spew($both, slurp($client->cert) . slurp($client->key), 0600);
$i->change(remote => $server->section(%keys, SSL_cert => $both));
$i->silent_ok('certificate and key in one file');

$i->change(remote => $server->section(%keys));
like($i->status_is(1, 'without it')->{err},
    qr/^remote: localhost/, 'says so');
$i->change(remote => $server->section(%keys,
    SSL_cert => $forged->cert, SSL_key => $forged->key));
like($i->status_is(1, 'of an unknown authority')->{err},
    qr/^remote: .*localhost/, 'says so');
$i->change(remote => $server->section(%keys,
    SSL_cert => $client->cert, SSL_key => $good->key));
like($i->status_is(1, 'another one\'s key')->{err},
    qr/SSL_cert and SSL_key/, 'says so');
my $locked = tmpdir() . '/locked.key';
run_command([qw(openssl ec -aes128 -passout pass:x -in), $client->key,
    '-out', $locked]);
$i->change(remote => $server->section(%keys,
    SSL_cert => $client->cert, SSL_key => $locked));
like($i->status_is(1, 'a key under a passphrase')->{err},
    qr/SSL_key is encrypted/, 'says so');
done_testing;

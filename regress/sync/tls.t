#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# type=imaps with a certificate of the test's own authority, and what must not
# be trusted: then no octet of the password is sent.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of samples);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $good = Imapsync::Cert->new(name => 'good');
my $other = Imapsync::Cert->new(name => 'other', ca => 'other-ca');
my $wrong = Imapsync::Cert->new(name => 'wrong',
    san => 'DNS:mail.example.org');
my $old = Imapsync::Cert->new(name => 'old', expired => 1);

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    cert => $good);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

my $lc = $local->client;
my $rc = $remote->client;
my %mail = samples();
$lc->append_many('INBOX', map { { body => $mail{$_} } } sort keys %mail);
$rc->create('big');
$rc->append('big', message(1, size => 3_000_000), date => date_of(1));
$rc->append_many('big', map { { body => message($_, size => 20_000) } }
    2 .. 50);
$i->sync_ok('first run');
same_content($local, $remote, 'equal');
$i->silent_ok;
$lc->store('big', '1:9', '+FLAGS', '\Flagged');
$rc->expunge('INBOX', '1:2');
$lc->append('big', message(60, size => 1_000_000));
$i->sync_ok('changes');
same_content($local, $remote, 'equal');
$i->silent_ok;
$_->close for $lc, $rc;

# Nothing readable passes, and the name of the user isn't among it.
my $relay = Imapsync::Relay->new(port => $remote->tls_port, log => 1);
$i->change(remote => $remote->section(port => $relay->port));
$i->silent_ok('through a relay');
unlike($relay->octets('c2s'), qr/user|pass|LOGIN|AUTHENTICATE/,
    'encrypted');

# Each of these must be refused, with the reason.
sub refused
{
	my ($what, $says, %keys) = @_;
	my $before = $remote->log;

	$i->change(remote => $remote->section(%keys));
	my $r = $i->run;
	isnt($r->{status}, 0, "$what: refused");
	$i->says_once($r, $says, $what);
	my $log = substr($remote->log, length $before);
	unlike($log, qr/Logged in|auth failed/i, "$what: not logged in");
}

refused('wrong authority', qr/remote.*localhost/s,
    SSL_CAfile => $other->ca);
refused('no authority', qr/remote.*localhost/s, SSL_CAfile => undef);
refused('a directory in the place of a file',
    qr{remote: SSL_CAfile \S+: Is a directory},
    SSL_CAfile => $remote->dir);
refused('another key', qr/SSL_fingerprint.*sha256\$${\$good->spki}/,
    SSL_fingerprint => $other->spki);
refused('another key, unverified', qr/SSL_fingerprint/, SSL_verify => 'NO',
    SSL_fingerprint => $other->spki);
$i->change(remote => $remote->section(SSL_fingerprint => $good->spki));
$i->silent_ok('the right key');

for my $case (['wrong name', $wrong, qr/name/i],
    ['expired', $old, qr/expired/i]) {
	my ($what, $cert, $says) = @$case;
	$remote->stop;
	$remote->{cert} = $cert;
	$remote->start;
	refused($what, $says);
	$i->change(remote => $remote->section(SSL_verify => 'NO'));
	$i->silent_ok("$what: SSL_verify = NO");
}

# A server that does not speak old versions.
$remote->stop;
$remote->{cert} = $good;
$remote->{conf} = 'ssl_min_protocol = TLSv1.3';
$remote->start;
refused('TLS 1.2 at most', qr/localhost.*SSL_protocol_max/,
    SSL_protocol_max => 'TLSv1.2');
$i->change(remote => $remote->section(SSL_protocol_min => 'TLSv1.3'));
$i->silent_ok('TLS 1.3');

# An address instead of a name.
$i->lose_state;
$i->change(remote => $remote->section(host => '127.0.0.1'));
$i->sync_ok('an address');

done_testing;

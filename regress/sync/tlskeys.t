#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The keys SSL_*: what a server gets to see with each, and that nothing of the
# login reaches one that must not be trusted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Digest::SHA ();
use File::Copy ();
use Imapsync::Cert;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir run_command slurp spew);
use Imapsync::Tls qw(start_tls);

my $password = 'opensesame';
my $good = Imapsync::Cert->new(name => 'good');
my $second = Imapsync::Cert->new(name => 'second');
my $noip = Imapsync::Cert->new(name => 'noip', san => 'DNS:localhost');
my $other = Imapsync::Cert->new(name => 'other', ca => 'other-ca');
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});

# A server that refuses whoever gets as far as LOGIN.
sub server
{
	my ($cert, @options) = @_;

	return Imapsync::Fake->new(password => $password, script => sub {
		my ($c) = @_;
		start_tls($c, $cert, @options);
		$c->put("* OK [CAPABILITY IMAP4rev1] ready\r\n");
		my ($tag) = $c->expect(qr/^(\S+) LOGIN/);
		$c->note('login');
		$c->put("$tag NO [AUTHENTICATIONFAILED] no\r\n");
		$c->until_closed;
	});
}

sub attempt
{
	my ($fake, %keys) = @_;
	my $before = $fake->notes;

	$i->lose_state;
	$i->change(remote => $fake->section(type => 'imaps',
	    host => 'localhost', SSL_CAfile => $good->ca, %keys));
	my $r = $i->run('--debug');
	my @notes = $fake->notes;
	$r->{login} = grep { $_ eq 'login' } @notes[$before .. $#notes];
	my @said = grep { !/^(local|engine): |^remote: (remote: |[CS]: )/ }
	    split /\n/, $r->{err};
	$r->{said} = join "\n", @said;
	($r->{tls}) = $r->{err} =~ /^remote: \S+: (TLSv.*)/m;
	return $r;
}

# TLS comes to pass; returns "TLSv1.x, CIPHER, key PIN".
sub trusted
{
	my ($what, $fake, %keys) = @_;
	my $r = attempt($fake, %keys);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("$r->{login} $r->{status}", '1 1', "$what: goes on to log in") or
	    diag($r->{said});
	return $r->{tls} // '';
}

sub refused
{
	my ($what, $says, $fake, %keys) = @_;
	my $before = length $fake->received;
	my $r = attempt($fake, %keys);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{status}, 1, "$what: exit 1");
	like($r->{said}, $says, "$what: says why") or diag($r->{err});
	my @lines = grep { !/^remote: \S+: TLSv/ }
	    split /\n/, $r->{said};
	is(@lines, 1, "$what: in one line") or diag($r->{said});
	is(substr($fake->received, $before), '',
	    "$what: nothing was sent");
	return $r;
}

my $fake = server($good);
my $strange = server($other);
my $pin = 'sha256$' . $good->spki;

subtest 'SSL_fingerprint' => sub {
	my $tls = trusted('no pin', $fake);
	my ($shown) = $tls =~ /key (\S+)$/;
	is($shown, $pin, 'debug shows the pin');

	trusted('the pin as shown', $fake, SSL_fingerprint => $shown);
	trusted('without the algorithm, in capitals', $fake,
	    SSL_fingerprint => uc $good->spki);
	trusted('a pin alone', $strange, SSL_verify => 'NO',
	    SSL_fingerprint => $other->spki);
	trusted('no authority is needed then', $strange, SSL_verify => 'NO',
	    SSL_CAfile => undef, SSL_fingerprint => $other->spki);
	my $der = slurp(tmpdir() . '/certs/good.pub.der');
	for my $algo (1, 384, 512) {
		my $hex = $algo == 1 ? Digest::SHA::sha1_hex($der) :
		    $algo == 384 ? Digest::SHA::sha384_hex($der) :
		    Digest::SHA::sha512_hex($der);
		trusted("one of several, sha$algo", $fake, SSL_fingerprint =>
		    $second->spki . " sha$algo\$$hex " . $other->spki);
	}

	my $shows = qr/SSL_fingerprint.*\Q$pin\E/;
	refused('another key, verified', $shows, $fake,
	    SSL_fingerprint => $other->spki);
	refused('another key, not verified', $shows, $fake,
	    SSL_verify => 'NO', SSL_fingerprint => $other->spki);
	refused('none of several', $shows, $fake, SSL_fingerprint =>
	    $other->spki . ' ' . $second->spki);
	refused('the right key, a wrong chain', qr/localhost.*chain/,
	    $strange, SSL_fingerprint => $other->spki);
	for my $bad ('sha256$12', 'md5$' . '0' x 32, 'sha256$' . 'x' x 64) {
		refused("malformed $bad", qr/SSL_fingerprint/, $fake,
		    SSL_fingerprint => $bad);
	}
};

subtest 'name and address' => sub {
	my $server = server($noip);

	trusted('a name', $server);
	refused('an address that the certificate lacks',
	    qr/does not hold the name 127\.0\.0\.1/, $server,
	    host => '127.0.0.1');
	trusted('not verified', $server, host => '127.0.0.1',
	    SSL_verify => 'NO');
	trusted('an address that it has', $fake, host => '127.0.0.1');
	trusted('in brackets', $fake, host => '[127.0.0.1]');
};

subtest 'SSL_hostname' => sub {
	my @sni = ('-cert2', $second->cert, '-key2', $second->key);
	my $by_name = server($good, '-servername', 'localhost', @sni);
	my $by_alias = server($good, '-servername', 'mail.example.org', @sni);
	my $key2 = $second->spki;

	like(trusted('default', $by_name), qr/$key2/, 'the host is asked for');
	like(trusted('empty', $by_name, SSL_hostname => ''), qr/\Q$pin\E/,
	    'no name is asked for');
	like(trusted('another', $by_alias, SSL_hostname =>
	    'mail.example.org'), qr/$key2/, 'that name is asked for');
	like(trusted('an address', $by_name, host => '127.0.0.1'),
	    qr/\Q$pin\E/, 'no name is asked for');

	my $wrong = server(Imapsync::Cert->new(name => 'alias',
	    san => 'DNS:mail.example.org'));
	refused('a certificate for SSL_hostname, not for host',
	    qr/does not hold the name localhost/, $wrong,
	    SSL_hostname => 'mail.example.org');
};

subtest 'versions' => sub {
	my $old = server($good, '-tls1_1', '-cipher', 'ALL@SECLEVEL=0');
	my $v12 = server($good, '-tls1_2');
	my $v13 = server($good, '-tls1_3');
	my $none = qr/TLS with localhost: .*SSL_protocol_min/;

	like(trusted('default', $fake), qr/^TLSv1\.3,/, 'the highest');
	like(trusted('max', $fake, SSL_protocol_max => 'TLSv1.2'),
	    qr/^TLSv1\.2,/, 'at most');
	like(trusted('min', $fake, SSL_protocol_min => 'TLSv1.3'),
	    qr/^TLSv1\.3,/, 'at least');
	like(trusted('list', $fake, SSL_protocols => '!TLSv1.3'),
	    qr/^TLSv1\.2,/, 'interimap\'s way');
	trusted('TLS 1.2', $v12);
	refused('TLS 1.2, too old', $none, $v12,
	    SSL_protocol_min => 'TLSv1.3');
	refused('TLS 1.3, too new', $none, $v13,
	    SSL_protocol_max => 'TLSv1.2');
	refused('TLS 1.1', $none, $old);
};

subtest 'ciphers' => sub {
	my $one = 'ECDHE-ECDSA-AES128-GCM-SHA256';
	my $two = 'ECDHE-ECDSA-CHACHA20-POLY1305';
	my $server = server($good, '-tls1_2', '-cipher', $one);

	like(trusted('a cipher', $fake, SSL_cipherlist => $two,
	    SSL_protocol_max => 'TLSv1.2'), qr/^TLSv1\.2, $two,/, 'used');
	trusted('in common', $server, SSL_cipherlist => "$two:$one");
	refused('none in common', qr/ciphers/, $server,
	    SSL_cipherlist => $two);
	refused('an unknown cipher', qr/SSL_cipherlist/, $fake,
	    SSL_cipherlist => 'NO-SUCH-CIPHER');
	refused('a cipher suite as cipher', qr/SSL_ciphersuites/, $fake,
	    SSL_cipherlist => 'TLS_AES_128_GCM_SHA256');
	like(trusted('no suites', $fake, SSL_ciphersuites => ''),
	    qr/^TLSv1\.2,/, 'no TLS 1.3');
};

# LibreSSL's libtls can set them, libretls can't: never ignored.
subtest 'SSL_ciphersuites' => sub {
	my $suite = 'TLS_CHACHA20_POLY1305_SHA256';
	my $r = attempt($fake, SSL_ciphersuites => $suite);

	if (defined $r->{tls}) {
		like($r->{tls}, qr/^TLSv1\.3, \S*CHACHA20/, 'used');
	} else {
		is($r->{status}, 1, 'exit 1');
		like($r->{said}, qr/SSL_ciphersuites.*\Q$suite\E/,
		    'says why');
		is($r->{login}, 0, 'nothing was sent');
	}
};

subtest 'authorities' => sub {
	my $dir = tmpdir() . '/capath';
	mkdir $dir;
	my %dir = (SSL_CAfile => undef, SSL_CApath => $dir);

	refused('an empty directory', qr/SSL_CApath.*rehash/, $fake, %dir);
	my $hash = run_command([qw(openssl x509 -noout -hash -in),
	    $other->ca]);
	chomp $hash;
	File::Copy::copy($other->ca, "$dir/$hash.0") or die;
	spew("$dir/README", 'not a certificate');
	refused('another authority', qr/chain/, $fake, %dir);
	trusted('file and directory', $fake, %dir, SSL_CAfile => $good->ca);
	$hash = run_command([qw(openssl x509 -noout -hash -in), $good->ca]);
	chomp $hash;
	my $n = -e "$dir/$hash.0" ? 1 : 0;
	File::Copy::copy($good->ca, "$dir/$hash.$n") or die;
	trusted('the directory', $fake, %dir);
	trusted('... and the other', $strange, %dir);

	refused('no such file', qr/SSL_CAfile .*nowhere/, $fake,
	    SSL_CAfile => "$dir/nowhere");
	refused('no such directory', qr/SSL_CApath .*nowhere/, $fake,
	    SSL_CAfile => undef, SSL_CApath => "$dir/nowhere");
	refused('a file without certificates', qr/SSL_CAfile.*PEM/, $fake,
	    SSL_CAfile => "$dir/README");
};

subtest 'something else than TLS' => sub {
	my $clear = Imapsync::Fake->new(password => $password,
	    script => sub {
		my ($c) = @_;
		$c->put("* OK [CAPABILITY IMAP4rev1] in the clear\r\n");
		$c->until_closed;
	});
	$i->change(remote => $clear->section(type => 'imaps',
	    host => 'localhost', SSL_CAfile => $good->ca));
	my $r = $i->status_is(1, 'an error');
	like($r->{err}, qr/^remote: TLS with localhost: .*type, port/,
	    'says what may be wrong');
	unlike($clear->received, qr/$password|LOGIN/, 'no secret was sent');
};

done_testing;

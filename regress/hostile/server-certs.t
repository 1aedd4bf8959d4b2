#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Somebody between us and the server, with certificates and octets of his own:
# what he gets holds no password and no LOGIN, and what he did is told.  What
# else there is of TLS is in sync/tls.t, tlskeys.t and starttls.t.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(sleep time);
use Socket ();
use Imapsync::Cert;
use Imapsync::Farm;
use Imapsync::Hostile;
use Imapsync::Proc qw(tmpdir slurp spew run_command);
use Imapsync::Sides;
use Imapsync::Tls qw(start_tls);

my $password = 'opensesame';
my $secret = join '|', map { quotemeta } $password,
    encode_base64("\0user\0$password", '');
my $h = Imapsync::Hostile->new;
my $good = Imapsync::Cert->new(name => 'good');
my @cases;

sub attacker
{
	my ($name, $script, %o) = @_;
	my %keys = (type => 'imaps', STARTTLS => undef, password => $password,
	    SSL_CAfile => $good->ca, timeout => 20, %{ $o{keys} // {} });
	my $says = $o{says} // qr/TLS/;

	push @cases, $h->bomb($name, 'GREETING', $script,
	    status => $o{status} // [1], says => qr/^remote: .*$says/m,
	    memory => 1, keys => { remote => \%keys }, judge => sub {
		my ($case, $r, $farm) = @_;
		my $got = $farm->received($case, 'remote');
		return ($got =~ /LOGIN|AUTHENTICATE|$secret/i ?
		    'the password was sent' : (), $r->{err} =~ /$secret/ ?
		    'the password is in the log' : (), $r->{err} =~
		    tr/\n// > 1 ? 'more than one line' : (),
		    grep({ /^logs in/ } $farm->notes($case, 'remote')));
	    });
}

# TLS with that certificate, and whoever gets through it is noted.
sub presents
{
	my ($name, $cert, $options, %o) = @_;

	attacker($name, sub {
		my ($c) = @_;
		start_tls($c, $cert, @{ $options // [] });
		$c->put("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n");
		my $line = $c->line // return;
		$c->note("logs in: $line");
	}, %o);
}

sub cert { return Imapsync::Cert->new(@_) }

# The control: this one is believed.
push @cases, $h->bomb('control: the right certificate', 'GREETING', sub {
	my ($c) = @_;
	start_tls($c, $good);
	$c->serve;
}, others => 1, status => [0], keys => { remote => { type => 'imaps',
    STARTTLS => undef, SSL_CAfile => $good->ca } });

# ---- time ----

presents('not yet valid', cert(name => 'soon', days =>
    ['20990101000000Z', '20990201000000Z']), undef, says => qr/not yet/);
my $old = cert(name => 'old', expired => 1);
presents('expired, with the right pin', $old, undef,
    keys => { SSL_fingerprint => $old->spki }, says => qr/expired/);

# ---- chain ----

my $other = cert(name => 'other', ca => 'other-ca');
my $self = cert(name => 'self');
run_command([qw(openssl req -x509 -new -days 9 -key), $self->key, '-out',
    $self->cert, '-subj', '/CN=localhost', '-addext',
    'subjectAltName=DNS:localhost']);
my $nobody = cert(name => 'nobody', san => 'DNS:nobody.example');
my $below = cert(name => 'below', issuer => $nobody);
my $sub = cert(name => 'sub', san => undef,
    ext => "basicConstraints = CA:TRUE,pathlen:0\n" .
    "keyUsage = keyCertSign,digitalSignature\n" .
    "nameConstraints = permitted;DNS:example.org\n", cn => 'constrained');
my $outside = cert(name => 'outside', issuer => $sub);

presents('signed by itself', $self, undef, says => qr/chain/);
presents('another authority, whose certificate it sends along', $other,
    ['-cert_chain', $other->ca], says => qr/chain/);
presents('a chain with the right authority, that did not sign it', $other,
    ['-cert_chain', $good->ca], says => qr/chain/);
presents('signed by an ordinary certificate of the right authority', $below,
    ['-cert_chain', $nobody->cert], says => qr/TLS/);
presents('signed by an authority for other names', $outside,
    ['-cert_chain', $sub->cert], says => qr/TLS/);
presents('for clients only', cert(name => 'client', usage => 'clientAuth'),
    undef, says => qr/TLS/);
presents('for the signature of mail', cert(name => 'mail',
    usage => 'emailProtection'), undef, says => qr/TLS/);

# The chain is bigger than libtls reads.
{
	my @more = map { slurp($nobody->cert) } 1 .. 500;
	my $huge = spew(tmpdir() . '/huge.pem', join '', @more);
	presents('a chain of 500 certificates', $good,
	    ['-cert_chain', $huge], says => qr/TLS/);
}

# ---- name ----

for my $case (drawn(2, ['*', 'DNS:*'], ['*host', 'DNS:*host'],
    ['local*', 'DNS:local*'], ['*.localhost', 'DNS:*.localhost'],
    ['localhost.example', 'DNS:localhost.example'],
    ['an address as a name', 'DNS:127.0.0.1'],
    ['mail', 'email:user@localhost'], ['a URI', 'URI:imaps://localhost'])) {
	my ($what, $san) = @$case;
	(my $file = $san) =~ s/\W+/-/g;
	presents("name: $what", cert(name => "name$file", san => $san),
	    undef, says => qr/does not hold the name localhost|TLS/);
}
for my $case (drawn(2, ['mail.*.org', 'mail.a.org'], ['*.org', 'example.org'],
    ['*.example.org', 'a.b.example.org'], ['m*.example.org',
    'mail.example.org'], ['mail.example.org', 'mail.example.org.evil.com'],
    ['*.*.example.org', 'a.b.example.org'])) {
	my ($held, $host) = @$case;
	(my $file = $held) =~ s/\W+/-/g;
	# The name is the proxy's to look up.
	my $c = cert(name => "wild$file", san => "DNS:$held");
	attacker("name: $held for $host", sub {
		my ($conn) = @_;
		socks($conn);
		start_tls($conn, $c);
		$conn->put("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n");
		my $line = $conn->line // return;
		$conn->note("logs in: $line");
	}, says => qr/does not hold the name|TLS/, keys => { host => $host });
	my $keys = $cases[-1]{keys}{remote};
	$cases[-1]{keys}{remote} = sub {
		return { %$keys, proxy => "socks5h://127.0.0.1:$_[0]",
		    port => undef };
	};
	# Another server: the state knows it not.
	delete $cases[-1]{state};
	$cases[-1]{args} = ['--two-accounts'];
}

sub socks
{
	my ($c) = @_;

	my (undef, $n) = unpack 'CC', $c->octets(2);
	$c->octets($n);
	$c->put("\5\0");
	$c->octets(4);
	$c->octets(2 + unpack 'C', $c->octets(1));
	$c->put("\5\0\0\1\0\0\0\0\0\0");
}

presents('name: only in the subject, beside another one', cert(name => 'cn',
    cn => 'localhost', san => 'DNS:mail.example.org'), undef,
    says => qr/does not hold the name/);
# IA5String 6c6f63616c686f7374 00 ...: "localhost\0.evil.example".
presents('name: a NUL in it', cert(name => 'nul', san => undef,
    ext => "basicConstraints = CA:FALSE\nsubjectAltName = DER:" .
    join(':', unpack '(H2)*', "\x30\x19\x82\x17localhost\0.evil.example") .
    "\n"), undef, says => qr/TLS/);
presents('name: a NUL at its end', cert(name => 'nulend', san => undef,
    ext => "basicConstraints = CA:FALSE\nsubjectAltName = DER:" .
    join(':', unpack '(H2)*', "\x30\x0c\x82\x0alocalhost\0") . "\n"), undef,
    says => qr/TLS/);

# ---- pin ----

presents('the right name and chain, another key', $good, undef,
    keys => { SSL_fingerprint => $other->spki }, says => qr/SSL_fingerprint/);
presents('the right pin, a wrong chain', $other, undef,
    keys => { SSL_fingerprint => $other->spki }, says => qr/chain/);
presents('the right pin, a wrong name', $nobody, undef,
    keys => { SSL_fingerprint => $nobody->spki },
    says => qr/does not hold the name/);
presents('the right pin is of one in the chain', $other,
    ['-cert_chain', $good->cert], says => qr/SSL_fingerprint/, keys =>
    { SSL_fingerprint => $good->spki, SSL_verify => 'NO' });

# ---- versions and ciphers ----

for my $old ('-tls1', '-tls1_1') {
	presents("version $old", $good, [$old, '-cipher', 'ALL@SECLEVEL=0']);
}
presents('no encryption', $good, ['-tls1_2', '-cipher',
    'NULL:eNULL:@SECLEVEL=0']);
presents('nobody in particular', $good, ['-tls1_2', '-cipher',
    'aNULL:@SECLEVEL=0']);

# ---- the handshake ----

# The octets that a server sends to a client that trusts it.
my $hello = do {
	my $case = { name => 'x', %{ $h->bomb('x', 'GREETING', sub { }) } };
	my $file = tmpdir() . '/flight';
	$case->{keys}{remote} = { type => 'imaps', STARTTLS => undef,
	    SSL_CAfile => $good->ca, timeout => 20 };
	$case->{remote}{early} = sub {
		my ($c) = @_;
		flight($c, $file);
	};
	my $farm = Imapsync::Farm->new([$case], slots => 1);
	$farm->run(sub { }, $case);
	$farm->stop;
	slurp($file);
};

# Between the client and an s_server: the server's first octets into a file.
sub flight
{
	my ($c, $file) = @_;
	my $fake = { fake => $c->{fake}, buf => '', note => undef };
	socketpair(my $ours, my $theirs, Socket::AF_UNIX(),
	    Socket::SOCK_STREAM(), 0) or die "socketpair: $!\n";
	my $wire = bless { %$c, sock => $theirs, buf => '' }, ref $c;
	start_tls($wire, $good);
	close $theirs;
	$c->fill;
	syswrite($ours, $c->{buf});
	sleep 0.3;
	sysread($ours, my $data, 65536);
	spew($file, $data);
}

ok(length $hello > 700, 'a flight of a server') or diag(length $hello);
for my $n (drawn(2,
    1, 3, 5, 6, 20, 44, 80, 127, 130, 200, 500, length($hello) - 1,
    length $hello)) {
	for my $silent (0, 1) {
		attacker('the handshake, ' . ($silent ? 'silent' : 'closed') .
		    " at $n", sub {
			my ($c) = @_;
			$c->fill;
			$c->put(substr $hello, 0, $n);
			$c->silence if $silent;
			shutdown($c->{sock}, 1);
			$c->silence;
		}, status => [1, 75], keys => $silent ? { timeout => 1 } : {},
		    says => qr/TLS|closed/);
	}
}
# One octet in it is another.
for my $n (drawn(2, 0, 1, 3, 5, 9, 44, 76, 128, 300)) {
	attacker("the handshake, octet $n turned", sub {
		my ($c) = @_;
		my $data = $hello;
		substr($data, $n, 1) ^= "\xff";
		$c->fill;
		$c->put($data);
		sleep 0.05;
		shutdown($c->{sock}, 1);
		$c->silence;
	}, status => [1, 75], says => qr/TLS|closed/);
}
# To another client's hello.
attacker('the handshake of somebody else', sub {
	my ($c) = @_;
	$c->fill;
	$c->put($hello);
	$c->silence;
}, status => [1, 75], keys => { timeout => 1 }, says => qr/TLS/);
attacker('alerts without end', sub {
	my ($c) = @_;
	$c->flood(5_000_000, "\x15\x03\x03\x00\x02\x01\x5a" x 1000);
	$c->silence;
}, status => [1, 75], keys => { timeout => 1 });
attacker('records without an end', sub {
	my ($c) = @_;
	$c->put("\x16\x03\x03\x40\x00\x0b\xff\xff\xff");
	$c->flood(5_000_000, "\x16\x03\x03\x40\x00" . 'x' x 16384);
	$c->silence;
}, status => [1, 75], keys => { timeout => 1 });

# ---- in the clear ----

attacker('a server in the clear', sub {
	my ($c) = @_;
	$c->put("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] in the clear\r\n");
	$c->silence;
}, says => qr/TLS.*type, port/);
attacker('PREAUTH in the clear', sub {
	my ($c) = @_;
	$c->put("* PREAUTH [CAPABILITY IMAP4rev1] in the clear\r\n");
	$c->silence;
});

my %starttls = (keys => { type => 'imap', STARTTLS => 'YES' });
for my $case (drawn(2,
    ['is not offered', "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x\r\n"],
    ['is offered in words alone', "* OK STARTTLS [CAPABILITY IMAP4rev1]\r\n"],
    ['is spelt STARTTLSX', "* OK [CAPABILITY IMAP4rev1 STARTTLSX] x\r\n"],
    ['PREAUTH', "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] x\r\n"])) {
	my ($what, $greeting) = @$case;
	attacker("STARTTLS: $what", sub {
		my ($c) = @_;
		$c->put($greeting);
		my $line = $c->line // return;
		my ($tag) = $line =~ /^(\S+)/;
		$c->put("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n$tag OK x\r\n");
		$c->silence;
	}, %starttls, says => qr/STARTTLS|PREAUTH/);
}

# Octets behind the OK, in its packet, and then an honest handshake.
for my $inject (drawn(2, "\r\n", '* ', "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    "* PREAUTH hi\r\n", "* BYE go to imap.evil.example\r\n",
    "A2 OK done\r\nA3 OK done\r\n", "\0", "\x16", "\x15\x03\x03\x00\x02\x01\0",
    "* OK [REFERRAL imap://evil.example/] x\r\n", 'x' x 20000)) {
	my $what = substr($inject, 0, 30) =~ s/([^ -~])/sprintf '\\x%02x',
	    ord $1/ger;
	attacker("STARTTLS: injected: $what", sub {
		my ($c) = @_;
		$c->put("* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n");
		my ($tag) = $c->expect(qr/^(\S+) STARTTLS/);
		$c->put("$tag OK begin\r\n$inject");
		start_tls($c, $good);
		$c->put("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nA2 OK x\r\n");
		my $line = $c->line // return;
		$c->note("logs in: $line") if $line =~ /LOGIN|AUTH/;
	}, %starttls, says => qr/inject|TLS/);
}
for my $early ("A1 OK begin\r\n", "A1 OK begin\r\nA2 OK x\r\n") {
	attacker('STARTTLS: answered before it was asked for, ' .
	    length($early), sub {
		my ($c) = @_;
		$c->put("* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n$early");
		$c->fill;
		$c->silence;
	}, keys => { %{ $starttls{keys} }, timeout => 1 }, status => [1, 75],
	    says => qr/./);
}

$h->run(4, @cases);
done_testing;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The server's part of SCRAM (RFC 5802, RFC 7677), for scripted servers.
#
#	my $s = Imapsync::Scram->new(hash => 256, user => 'user',
#	    password => 'pass', binding => $der_digest);
#	my $challenge = $s->first($client_first);	# octets, not base64
#	my ($verifier, $why) = $s->final($client_final);
#	$s->gs2;		# "n", "y" or "p=tls-server-end-point"
#
# binding: what tls-server-end-point must be; without it -PLUS is refused.
# Options: iterations (default 4096), signature (a false one to send).
# binding_of($cert): that of a Cert.pm whose signature is with SHA-256.
package Imapsync::Scram;

use strict;
use warnings;
use Digest::SHA qw(sha1 sha256 hmac_sha1 hmac_sha256);
use Exporter 'import';
use MIME::Base64 qw(encode_base64 decode_base64);
use Imapsync::Proc qw(run_command slurp);

our @EXPORT_OK = qw(binding_of);

sub binding_of
{
	my ($cert) = @_;
	my $der = $cert->cert . '.der';

	run_command([qw(openssl x509 -outform DER -in), $cert->cert, '-out',
	    $der]);
	return sha256(slurp($der));
}

sub new
{
	my ($class, %o) = @_;
	my $self = bless { hash => 256, iterations => 4096, %o }, $class;

	$self->{h} = $self->{hash} == 1 ? \&sha1 : \&sha256;
	$self->{hmac} = $self->{hash} == 1 ? \&hmac_sha1 : \&hmac_sha256;
	return $self;
}

sub gs2 { return $_[0]{gs2} }

sub salted
{
	my ($self, $salt) = @_;
	my $u = $self->{hmac}->("$salt\0\0\0\1", $self->{password});
	my $sum = $u;

	for (2 .. $self->{iterations}) {
		$u = $self->{hmac}->($u, $self->{password});
		$sum ^= $u;
	}
	return $sum;
}

sub first
{
	my ($self, $text) = @_;
	my ($gs2, $bare) = $text =~ /^((?:[ny]|p=[^,]*),[^,]*,)(.*)$/s
	    or die "bad client-first-message\n";
	my ($user, $nonce) = $bare =~ /^n=([^,]*),r=([^,]+)$/
	    or die "bad client-first-message-bare\n";

	die "wrong user $user\n" if $user ne $self->{user};
	($self->{gs2}) = $gs2 =~ /^([^,]*)/;
	$self->{header} = $gs2;
	my $salt = 'salt of the test';
	$self->{nonce} = $nonce . 'server';
	$self->{challenge} = "r=$self->{nonce},s=" .
	    encode_base64($salt, '') . ",i=$self->{iterations}";
	$self->{auth} = "$bare,$self->{challenge}";
	$self->{salt} = $salt;
	return $self->{challenge};
}

# Returns the verifier, or undef and why the client is refused.
sub final
{
	my ($self, $text) = @_;
	my ($without, $c, $r, $proof) =
	    $text =~ /^(c=([^,]+),r=([^,]+)),p=([^,]+)$/
	    or return (undef, 'malformed');
	my $bind = $self->{gs2} =~ /^p=/ ? $self->{binding} // '' : '';

	return (undef, 'nonce') if $r ne $self->{nonce};
	return (undef, 'channel binding')
	    if decode_base64($c) ne $self->{header} . $bind ||
	    ($self->{gs2} =~ /^p=/ && $bind eq '');
	my $hmac = $self->{hmac};
	my $salted = $self->salted($self->{salt});
	my $auth = "$self->{auth},$without";
	my $stored = $self->{h}->($hmac->('Client Key', $salted));
	my $key = decode_base64($proof) ^ $hmac->($auth, $stored);
	return (undef, 'password') if $self->{h}->($key) ne $stored;
	my $signature = $self->{signature} //
	    $hmac->($auth, $hmac->('Server Key', $salted));
	return ('v=' . encode_base64($signature, ''));
}

1;

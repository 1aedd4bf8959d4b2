# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Certificates of a test's own authority, made with openssl(1).
#
#	my $good = Imapsync::Cert->new(name => 'good');	# localhost, 127.0.0.1
#	my $other = Imapsync::Cert->new(name => 'other', ca => 'other-ca');
#	my $wrong = Imapsync::Cert->new(name => 'wrong',
#	    san => 'DNS:mail.example.org');
#	my $old = Imapsync::Cert->new(name => 'old', expired => 1);
#	my $client = Imapsync::Cert->new(name => 'client', cn => 'joe');
#	my $soon = Imapsync::Cert->new(name => 'soon', days =>
#	    ['20990101000000Z', '20990201000000Z']);
#	my $odd = Imapsync::Cert->new(name => 'odd', san => undef,
#	    usage => 'clientAuth', ext => "basicConstraints = CA:TRUE\n",
#	    issuer => $other);	# signed by another one, as if that could
#	$good->cert; $good->key; $good->ca;	# paths of PEM files
#	$good->spki;	# SHA-256 of the public key, as SSL_fingerprint takes it
package Imapsync::Cert;

use strict;
use warnings;
use Imapsync::Proc qw(tmpdir spew slurp run_command give_away);

sub new
{
	my ($class, %o) = @_;
	my $self = bless { san => 'DNS:localhost,IP:127.0.0.1', ca => 'ca',
	    cn => 'test server', %o }, $class;
	my $dir = $self->{dir} = tmpdir() . '/certs';

	mkdir $dir;
	make_ca("$dir/$self->{ca}") unless -e "$dir/$self->{ca}.pem";
	$self->make_cert;
	return $self;
}

# For a server to present: with those between it and the authority.
sub chain
{
	my ($self, @between) = @_;

	return spew("$self->{dir}/$self->{name}.chain", join '', map {
	    slurp($_->cert) } $self, @between);
}

sub ca { return "$_[0]{dir}/$_[0]{ca}.pem" }
sub cert { return "$_[0]{dir}/$_[0]{name}.pem" }
sub key { return "$_[0]{dir}/$_[0]{name}.key" }

sub new_key
{
	my ($path) = @_;

	run_command([qw(openssl ecparam -name prime256v1 -genkey -noout -out),
	    $path]);
}

sub make_ca
{
	my ($base) = @_;

	new_key("$base.key");
	spew("$base.cnf", "[req]\ndistinguished_name = dn\nprompt = no\n" .
	    "x509_extensions = ext\n[dn]\nCN = imapsync test CA\n[ext]\n" .
	    "basicConstraints = critical,CA:TRUE\n" .
	    "keyUsage = critical,keyCertSign,cRLSign\n" .
	    "subjectKeyIdentifier = hash\n");
	run_command([qw(openssl req -new -x509 -days 30 -config), "$base.cnf",
	    '-key', "$base.key", '-out', "$base.pem"]);
}

# openssl ca(1), since only that sets both dates.
sub make_cert
{
	my ($self) = @_;
	my ($dir, $name, $ca) = @$self{qw(dir name ca)};
	my $base = "$dir/$name";
	my $dates = $self->{days} // ($self->{expired} ?
	    ['20200101000000Z', '20200201000000Z'] : undef);
	my @days = $dates ? ('-startdate', $dates->[0], '-enddate',
	    $dates->[1]) : ('-days', 20);
	my $by = $self->{issuer} ? "$dir/$self->{issuer}{name}" : "$dir/$ca";
	my $ext = $self->{ext} // "basicConstraints = CA:FALSE\n";
	$ext .= "subjectAltName = $self->{san}\n" if defined $self->{san};

	new_key("$base.key");
	mkdir "$dir/$name.db";
	spew("$dir/$name.db/index.txt", '');
	spew("$base.cnf", "[req]\ndistinguished_name = dn\nprompt = no\n" .
	    "[dn]\nCN = $self->{cn}\n[ca]\ndefault_ca = own\n[own]\n" .
	    "dir = $dir/$name.db\ndatabase = \$dir/index.txt\n" .
	    "new_certs_dir = \$dir\nrand_serial = yes\n" .
	    "default_md = sha256\npolicy = any\nx509_extensions = ext\n" .
	    "unique_subject = no\n[any]\nCN = supplied\n[ext]\n$ext" .
	    'extendedKeyUsage = ' . ($self->{usage} //
	    'serverAuth,clientAuth') . "\n");
	run_command([qw(openssl req -new -config), "$base.cnf", '-key',
	    "$base.key", '-out', "$base.csr"]);
	run_command([qw(openssl ca -batch -notext -config), "$base.cnf",
	    '-cert', "$by.pem", '-keyfile', "$by.key", '-in',
	    "$base.csr", '-out', "$base.pem", @days]);
	give_away("$base.key", "$base.pem");
}

sub spki
{
	my ($self) = @_;
	my $pub = "$self->{dir}/$self->{name}.pub";

	run_command([qw(openssl x509 -noout -pubkey -in), $self->cert],
	    out => $pub) unless -e $pub;
	run_command([qw(openssl pkey -pubin -outform DER -in), $pub, '-out',
	    "$pub.der"]);
	require Digest::SHA;
	return Digest::SHA::sha256_hex(slurp("$pub.der"));
}

1;

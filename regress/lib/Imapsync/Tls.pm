# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# TLS for a scripted server (Fake.pm, Model.pm), by openssl(1).
#
#	use Imapsync::Tls qw(start_tls);
#	my $cert = Imapsync::Cert->new(name => 'good');
#	my $fake = Imapsync::Fake->new(script => sub {
#		my ($c) = @_;
#		start_tls($c, $cert);	# type=imaps, or behind STARTTLS
#		$c->put("* OK ready\r\n");
#		...
#	});
#
# Further arguments are options of s_server(1), such as '-tls1_2'.  From then on
# put(), line() and received() are what is inside TLS.
package Imapsync::Tls;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use Socket;
use Imapsync::Proc qw(free_port spawn forked stop wait_for);

our @EXPORT_OK = qw(start_tls);

sub start_tls
{
	my ($c, $cert, @options) = @_;
	my $port = free_port();

	$c->note('clear octets in front of TLS: ' . length $c->{buf})
	    if $c->{buf} ne '';
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	my $server = spawn(['openssl', 's_server', '-quiet', '-accept',
	    "127.0.0.1:$port", '-naccept', 1, '-cert', $cert->cert, '-key',
	    $cert->key, @options], in => $theirs, out => $theirs,
	    err => "$c->{fake}{dir}/s_server");
	my $sock = wait_for(20, 's_server', sub {
		IO::Socket::INET->new(PeerAddr => '127.0.0.1', Proto => 'tcp',
		    PeerPort => $port);
	});
	my $client = $c->{sock};
	my $pump = forked(sub { pump($client, $sock) }, $client, $sock);
	close $theirs;
	close $sock;
	# Whatever way the connection ends, these two end with it.
	$c->{tls} = bless { pids => [$pump, $server] }, 'Imapsync::Tls';
	$c->{in} = $c->{out} = $ours;
}

sub DESTROY
{
	my ($self) = @_;
	local $?;

	stop($_, 5) for @{ $self->{pids} };
}

# Octets both ways until either end closes.
sub pump
{
	my ($x, $y) = @_;

	for (;;) {
		my $rin = '';
		vec($rin, fileno($_), 1) = 1 for $x, $y;
		next if select($rin, undef, undef, undef) <= 0;
		for my $way ([$x, $y], [$y, $x]) {
			my ($from, $to) = @$way;
			next unless vec($rin, fileno($from), 1);
			my $n = sysread($from, my $data, 65536);
			return unless $n;
			for (my $off = 0; $off < $n; ) {
				$off += syswrite($to, $data, $n - $off, $off)
				    // return;
			}
		}
	}
}

1;

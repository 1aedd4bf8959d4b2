# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A scripted server on a port of 127.0.0.1: one Perl sub a connection.
#
#	my $fake = Imapsync::Fake->new(script => sub {
#		my ($c) = @_;
#		$c->put("* OK [CAPABILITY IMAP4rev1] ready\r\n");
#		my ($tag) = $c->expect(qr/^(\S+) LOGIN /);
#		$c->put("$tag NO [AUTHENTICATIONFAILED] no\r\n");
#		$c->note('refused');
#		$c->until_closed;
#	});
#	$fake->section;		# for Imapsync.pm: type=imap
#	$fake->notes;		# what note() wrote; expect() that fails writes
#				# "unexpected: ..." and ends the connection
#	$fake->received;	# all octets that came, of all connections
#
# section(tunnel => 1) reaches it through a command instead.  Model.pm builds on
# this a server that knows IMAP.
package Imapsync::Fake;

use strict;
use warnings;
use Cwd ();
use Errno ();
use Fcntl qw(:flock);
use File::Basename ();
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes ();
use Imapsync::Client;
use Imapsync::Proc qw(tmpdir forked slurp spew);
use Imapsync::Wire;

my $lib = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');
my $number = 0;

sub new
{
	my ($class, %o) = @_;
	my $self = bless { reference => '', user => 'user',
	    password => 'pass', %o }, $class;

	$self->{dir} = tmpdir() . '/fake' . $number++;
	mkdir $self->{dir} or die "$self->{dir}: $!\n";
	spew("$self->{dir}/$_", '') for qw(notes received);
	$self->start;
	return $self;
}

sub start
{
	my ($self) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    LocalPort => $self->{port} // 0, Proto => 'tcp', Listen => 16,
	    ReuseAddr => 1) or die "listen: $!\n";

	$self->{port} = $listen->sockport;
	$self->{pid} = forked(sub { $self->serve($listen) }, $listen);
}

sub stop { my ($self) = @_; Imapsync::Proc::stop(delete $self->{pid}) }
sub port { return $_[0]{port} }
sub reference { return $_[0]{reference} }

# What is known once no connection is open.
sub notes
{
	my ($self) = @_;
	my $lock = $self->lock;
	return split /\n/, slurp("$self->{dir}/notes");
}

sub received
{
	my ($self) = @_;
	my $lock = $self->lock;
	return slurp("$self->{dir}/received");
}

# Held by the server from a connection's beginning to its end.
sub lock
{
	my ($self) = @_;

	open(my $fh, '>>', "$self->{dir}/lock") or die "lock: $!\n";
	until (flock($fh, LOCK_EX)) {
		die "lock: $!\n" unless $!{EINTR};
	}
	return $fh;
}

# The keys of this side's section.  With tunnel => 1 a command.
sub section
{
	my ($self, %more) = @_;
	my %s = (type => 'imap', host => '127.0.0.1', STARTTLS => 'NO',
	    port => $self->{port}, username => $self->{user},
	    password => $self->{password});

	if (delete $more{tunnel}) {
		my $script = spew("$self->{dir}/tunnel", "#!/bin/sh\n" .
		    "exec '$^X' '$lib/pipe' $self->{port}\n", 0755);
		%s = (type => 'tunnel', command => $script);
	}
	$s{'list-reference'} = $self->{reference} if $self->{reference} ne '';
	%s = (%s, %more);
	delete $s{$_} for grep { !defined $s{$_} } keys %s;
	return \%s;
}

sub client
{
	my ($self, %o) = @_;
	return Imapsync::Client->new(port => $self->{port},
	    user => $self->{user}, password => $self->{password}, %o);
}

# ---- in the server's own process ----

sub serve
{
	my ($self, $listen) = @_;

	$SIG{PIPE} = 'IGNORE';
	while (1) {
		my $sock = $listen->accept or next;
		my $lock = $self->lock;
		$self->{count}++;
		$self->one($sock);
		close $sock;
	}
}

sub one
{
	my ($self, $sock) = @_;
	my $c = Imapsync::Fake::Conn->new($self, $sock);

	eval { $self->{script}->($c); 1 } or $c->note("died: $@");
	$c->log_input;
}

package Imapsync::Fake::Conn;

use strict;
use warnings;
use Socket qw(SOL_SOCKET SO_LINGER);

our @ISA = ('Imapsync::Wire');

sub new
{
	my ($class, $fake, $sock) = @_;
	my $self = Imapsync::Wire->new(in => $sock, out => $sock,
	    timeout => 60);

	$self->{fake} = $fake;
	$self->{sock} = $sock;
	$self->{number} = $fake->{count};
	return bless $self, $class;
}

# The number of this connection, from 1.
sub number { return $_[0]{number} }

sub fill
{
	my ($self) = @_;
	my $had = length $self->{buf};
	my $n = Imapsync::Wire::fill($self);

	$self->{input} .= substr($self->{buf}, $had) if $n;
	return $n;
}

sub log_input
{
	my ($self) = @_;

	open(my $fh, '>>:raw', "$self->{fake}{dir}/received") or return;
	print $fh $self->{input} // '';
	close $fh;
	$self->{input} = '';
}

# A line for the test to read.
sub note
{
	my ($self, $text) = @_;

	$text =~ s/[\r\n]+/ /g;
	open(my $fh, '>>:raw', "$self->{fake}{dir}/notes") or return;
	print $fh "$text\n";
	close $fh;
}

# Read a line that must match; returns what the expression captured.
sub expect
{
	my ($self, $re) = @_;
	my $line = $self->line // die "closed, expected $re\n";
	my @got = $line =~ $re;

	if (!@got) {
		$self->note("unexpected: $line");
		die "unexpected: $line\n";
	}
	return @got;
}

# Swallow what comes until the client closes.  Returns it.
sub until_closed
{
	my ($self) = @_;

	1 while $self->fill;
	my $rest = $self->{buf};
	$self->{buf} = '';
	return $rest;
}

# Answer nothing more.
sub silence { my ($self) = @_; eval { $self->until_closed }; die "silent\n" }

# End the connection now; hard: with a RST.
sub hang_up
{
	my ($self, $hard) = @_;

	setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
	    if $hard;
	close $self->{sock};
	die "hung up\n";
}

1;

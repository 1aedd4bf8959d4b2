# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A relay that kills a process of the run that speaks through it, at an octet of
# the transfer.
#
#	my $k = Imapsync::Killer->new(port => $server->port,
#	    kill => { c2s => 70_000 });		# or command => ...
#	my $pid = $imapsync->start;
#	$k->held or ...;			# at the server's first octet
#	$k->victim($some_pid);			# who shall die; lets go on
#	$k->struck				# true once the octet was passed
#
# With rest => 1 the octet holds the connection instead, so that all processes
# come to rest; strike() then kills and lets go on.  What else Relay.pm can do
# can be asked for as well.
package Imapsync::Killer;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use Imapsync::Proc qw(slurp spew);
use Imapsync::Relay;

our @ISA = ('Imapsync::Relay');

my $lib = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');

sub new
{
	my ($class, %o) = @_;

	return $class->SUPER::new(hold => { s2c => 1 }, %o);
}

sub victim
{
	my ($self, $pid) = @_;

	spew("$self->{dir}/victim.new", $pid);
	rename "$self->{dir}/victim.new", "$self->{dir}/victim";
	$self->release;
}

sub struck { return -e "$_[0]{dir}/struck" }

sub strike
{
	my ($self) = @_;

	kill 'KILL', slurp("$self->{dir}/victim");
	$self->release;
}

# ---- in the relay's own process ----

sub make_filter
{
	my ($self, $command) = @_;
	my $script = "$self->{dir}/filter";
	my @args = map { defined $self->{$_} ? "$_=$self->{$_}" : () }
	    qw(dir rtt log reset rest);

	for my $key (qw(cut hang hold kill)) {
		my $what = $self->{$key} // next;
		push @args, map { "$key.$_=$what->{$_}" } keys %$what;
	}
	spew($script, "#!/bin/sh\nexec '$^X' '-I$lib' -MImapsync::Killer -e " .
	    "'\$SIG{PIPE} = q(IGNORE); Imapsync::Killer->filter(\@ARGV)' " .
	    "@args -- $command\n", 0755);
	return $script;
}

sub limit
{
	my ($self, $conn, $d) = @_;
	my $limit = $self->SUPER::limit($conn, $d);
	my $n = ($self->{kill} // {})->{$d} // return $limit;

	return $limit if $conn->{did}{"kill.$d"};
	return defined $limit && $limit < $n ? $limit : $n;
}

sub disturb
{
	my ($self, $conn, $d) = @_;
	my $n = ($self->{kill} // {})->{$d};

	if (!defined $n || $conn->{did}{"kill.$d"} || $conn->{$d} < $n) {
		return $self->SUPER::disturb($conn, $d);
	}
	$conn->{did}{"kill.$d"} = 1;
	$conn->{held} = 1 if $self->{rest};
	spew("$self->{dir}/held", '') if $self->{rest};
	# First the word, since it may be its own process.
	spew("$self->{dir}/struck", '');
	kill 'KILL', slurp("$self->{dir}/victim") unless $self->{rest};
	return $self->{rest};
}

1;

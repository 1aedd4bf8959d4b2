# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# imapsync that keeps running, as a test watches it.
#
#	my $w = Imapsync::Watch->new($i, '--watch=600');	# $i: Imapsync.pm
#	$w->ready;		# its first pass is over, it waits
#	my $w = watching($local, $remote);	# all three in one
#	$w->look;		# SIGHUP
#	like($w->status, qr/watching/);		# what SIGUSR1 makes it say
#	is($w->err, '');	# standard error, without those lines
#	$w->says(20, qr/lost the server/);	# dies if that does not come
#	$w->idles(3);		# with --debug: both sides have idled that often
#	my $r = $w->end('TERM');	# as Imapsync.pm's wait()
#
#	has($server, 'INBOX', 3, 'three messages');	# Test::More: soon
#	arrives($client, $server, 'it works');	# a message that the client
#				# appends to its INBOX is in the server's soon
package Imapsync::Watch;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Time::HiRes qw(time sleep);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message new_number);
use Imapsync::Proc qw(slurp wait_for);

our @EXPORT_OK = qw(watching has arrives soon SOON);

# Within a second of the server's saying so; servers take half a second to say
# it, and machines are slow.
use constant SOON => 20;

sub new
{
	my ($class, $i, @args) = @_;
	my $pid = $i->start(@args);

	return bless { i => $i, pid => $pid, args => "@args",
	    file => $i->{run}{$pid}, asked => 0, idle => [0, 0], pos => 0,
	    rest => '' }, $class;
}

# With --watch=600; the arguments are what Imapsync.pm's new() takes as such.
sub watching
{
	my ($local, $remote) = @_;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $w = __PACKAGE__->new($i, '--watch=600');

	$w->ready;
	return $w;
}

sub pid { return $_[0]{pid} }
sub out { return slurp($_[0]{file}{out}) }
sub all { return slurp($_[0]{file}{err}) }
sub look { return kill 'HUP', $_[0]{pid} }

sub err
{
	my ($self) = @_;
	return $self->all =~ s/^(?:status:|waiting \d+ s) .*\n//mgr;
}

sub lines { return scalar(() = $_[0]->err =~ /\n/g) }

sub status
{
	my ($self) = @_;
	my $re = qr/^(?:status:|waiting \d+ s) .*\n/m;
	my $before = () = $self->all =~ /$re/g;
	my @all;

	# A session that is just ending answers no more: ask again.
	my $asked = 0;
	wait_for(20, 'a line of status', sub {
		return 1 if (@all = $self->all =~ /$re/g) > $before;
		if (time - $asked >= 2) {
			kill 'USR1', $self->{pid};
			$asked = time;
		}
		return 0;
	});
	return $all[-1];
}

sub ready
{
	my ($self, $seconds) = @_;
	my $role;

	wait_for(20, 'the engine', sub {
		$role = $self->{i}->roles($self->{pid});
		$role->{engine} && $role->{'local'} });
	wait_for($seconds // 30, 'the first pass', sub {
		sleep 0.05;
		$self->status =~ /^status: watching/ });
}

sub says
{
	my ($self, $seconds, $re) = @_;

	return if eval {
		wait_for($seconds, "$re", sub { $self->err =~ $re }) };
	die "$@it said: " . $self->all;
}

# Reads on in what --debug has printed: dies if a side does not get there.
sub idles
{
	my ($self, $n, $seconds) = @_;
	my $end = time + ($seconds // 20);
	my $idle = $self->{idle};

	open($self->{fh}, '<:raw', $self->{file}{err}) or die "open: $!\n"
	    unless $self->{fh};
	for (;;) {
		seek $self->{fh}, $self->{pos}, 0;
		$self->{pos} += sysread_all($self->{fh}, \$self->{rest});
		while ($self->{rest} =~ s/^(.*)\n//) {
			my $line = $1;
			next unless $line =~ /(local|remote): C: \S+ IDLE/;
			$idle->[$1 eq 'remote']++;
		}
		return if $idle->[0] >= $n && $idle->[1] >= $n;
		die "waited in vain for IDLE $n: @$idle\n" if time > $end;
		sleep 0.001;
	}
}

sub sysread_all
{
	my ($fh, $to) = @_;
	my $n = 0;

	while (my $got = read $fh, my $data, 65536) {
		$$to .= $data;
		$n += $got;
	}
	return $n;
}

sub end
{
	my ($self, $signal) = @_;
	my $begun = time;

	kill $signal, $self->{pid};
	my $r = $self->{i}->wait($self->{pid});
	$r->{took} = time - $begun;
	return $r;
}

# A test: true soon.
sub soon
{
	my ($what, $sub) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(scalar(eval { wait_for(SOON, $what, $sub) }), $what) or diag($@);
}

# A test: so many messages are in a mailbox there soon.
sub has
{
	my ($server, $mailbox, $n, $what) = @_;
	my $c = $server->client;
	my $got = '';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(scalar(eval { wait_for(SOON, $what, sub {
		$got = ($c->status($mailbox) // {})->{MESSAGES} // 'none';
		$got eq $n }) }), $what) or diag("$mailbox has $got");
	$c->close;
}

# A test: what is appended to the INBOX of one is in the INBOX of the other soon.
sub arrives
{
	my ($client, $server, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$client->append('INBOX', message(new_number()));
	has($server, 'INBOX', $client->status('INBOX')->{MESSAGES}, $what);
}

1;

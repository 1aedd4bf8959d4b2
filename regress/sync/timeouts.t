#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Time limits: whatever the server (or the proxy) stops doing, the run ends soon
# after "timeout" with exit 75 and a line that says who owes what.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use IO::Socket::IP;
use Imapsync::Cert;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Relay;
use Imapsync::Socks;
use Imapsync::Tls qw(start_tls);

use constant LIMIT => 2;

my $good = Imapsync::Cert->new(name => 'good');
my @runs;

# Start a run with that remote section; judge() looks at all of them.
sub begin
{
	my ($what, $section, $says, %o) = @_;
	my $local = Imapsync::Model->new(greeting => 'PREAUTH');
	my %sides = (local => $local->section(tunnel => 1),
	    remote => { %$section, timeout => LIMIT });

	@sides{qw(local remote)} = @sides{qw(remote local)} if $o{swap};
	my $i = Imapsync::Imapsync->new(%sides);
	push @runs, { what => $what, i => $i, pid => $i->start,
	    side => $o{swap} ? 'local' : 'remote', says => $says,
	    more => $o{more}, tail => $o{tail} // '',
	    keep => [$local, $o{keep}] };
}

sub judge
{
	for my $run (@runs) {
		my $what = $run->{what};
		my $r = $run->{i}->wait($run->{pid});
		my $line = "$run->{side}: $run->{says}";

		is($r->{status}, 75, "$what: exit 75");
		like($r->{err}, qr/^\Q$line\E$run->{tail}$/m,
		    "$what: says who");
		is(scalar(split /\n/, $r->{err}), 1, "$what: in one line")
		    or diag($r->{err}) unless $run->{more};
		cmp_ok($r->{seconds}, '>', LIMIT * 0.9, "$what: waits");
		cmp_ok($r->{seconds}, '<', LIMIT + 15, "$what: not long");
	}
}

sub fake
{
	my ($script) = @_;

	return Imapsync::Fake->new(script => $script);
}

# Nobody accepts, and the queue is full.
my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1,
    Proto => 'tcp') or die "listen: $!\n";
my @waiting = map { IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;
# The kernel's limit may be a moment earlier than ours.
my $late = qr/(?: \(127\.0\.0\.1\): Connection timed out)?: no answer/;
begin('connect', { type => 'imaps', host => '127.0.0.1', port =>
    $full->sockport, username => 'u', password => 'p' },
    'cannot connect to 127.0.0.1 port ' . $full->sockport, tail => $late);
begin('connect to a proxy', { type => 'imaps', host => '192.0.2.1',
    proxy => 'socks5://127.0.0.1:' . $full->sockport, username => 'u',
    password => 'p' }, 'cannot connect to the proxy 127.0.0.1 port ' .
    $full->sockport, tail => $late);

my $seconds = LIMIT . ' seconds';
my $mute = fake(sub { $_[0]->until_closed });
for my $at (qw(hello auth request)) {
	my $proxy = Imapsync::Socks->new(port => $mute->port,
	    user => 'joe', password => 'x', silent_at => $at);
	begin("proxy, $at", $mute->section(host => '192.0.2.1',
	    proxy => $proxy->url('socks5', 'joe:x@')),
	    "lost the proxy of 192.0.2.1: no answer for $seconds",
	    keep => $proxy);
}

my %tls = (host => 'localhost', SSL_CAfile => $good->ca);
$mute = fake(sub { $_[0]->until_closed });
begin('TLS', $mute->section(type => 'imaps', STARTTLS => undef, %tls),
    "lost the server localhost: no TLS handshake for $seconds");

my $starttls = fake(sub {
	my ($c) = @_;
	$c->put("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n");
	my ($tag) = $c->expect(qr/^(\S+) STARTTLS$/);
	$c->put("$tag OK go\r\n");
	$c->until_closed;
});
begin('STARTTLS', $starttls->section(STARTTLS => 'YES', %tls),
    "lost the server localhost: no TLS handshake for $seconds");

for my $swap (0, 1) {
	my $silent = fake(sub { $_[0]->until_closed });
	begin("greeting, $swap", $silent->section,
	    "lost the server 127.0.0.1: no greeting for $seconds",
	    swap => $swap, keep => $silent);
}
my $under = fake(sub { start_tls($_[0], $good); $_[0]->until_closed });
begin('greeting under TLS', $under->section(type => 'imaps',
    STARTTLS => undef, %tls),
    "lost the server localhost: no greeting for $seconds");
begin('a tunnel', { type => 'tunnel', command => 'sleep 60',
    host => 'far' }, "lost the server far: no greeting for $seconds");

my $login = fake(sub {
	my ($c) = @_;
	$c->put("* OK [CAPABILITY IMAP4rev1] hi\r\n");
	$c->until_closed;
});
begin('the answer to LOGIN', $login->section,
    "lost the server 127.0.0.1: no answer for $seconds, at the login");

# In the midst of bodies, either way.
my @texts = map { message($_, size => 4000) } 1 .. 100;
my $source = Imapsync::Model->new;
$source->change(sub { my ($st) = @_; $st->deliver('INBOX', $_) for @texts });
my $relay = Imapsync::Relay->new(port => $source->port,
    hang => { s2c => 100_000 });
begin('a body', $source->section(port => $relay->port),
    "lost the server 127.0.0.1: no answer for $seconds, while it was asked",
    more => 1, tail => qr/ for message UID \d+ of INBOX/);

my $from = Imapsync::Model->new(greeting => 'PREAUTH');
$from->change(sub { my ($st) = @_; $st->deliver('INBOX', $_) for @texts });
my $target = Imapsync::Model->new;
my $line = Imapsync::Relay->new(port => $target->port,
    hang => { c2s => 100_000 });
my $i = Imapsync::Imapsync->new(local => $from->section(tunnel => 1),
    remote => $target->section(port => $line->port, timeout => LIMIT));
push @runs, { what => 'an APPEND', i => $i, pid => $i->start,
    side => 'remote', more => 1, tail => qr/, while .* INBOX/,
    says => "lost the server 127.0.0.1: no answer for $seconds" };

# Slow is not silent: each answer takes half of what it may.
my $slow = Imapsync::Model->new(hooks => { map { $_ => sub {
	select undef, undef, undef, LIMIT / 2;
	return 0;
} } qw(ENABLE LIST SELECT) });
my $patient = Imapsync::Imapsync->new(local => Imapsync::Model->new(
    greeting => 'PREAUTH')->section(tunnel => 1),
    remote => $slow->section(timeout => LIMIT));
my $pid = $patient->start;

judge();
is($patient->wait($pid)->{status}, 0, 'a slow server is waited for');

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# BYE in each state, and the connection stays open: the run ends soon and not
# after "timeout" (300 s here), with the server's words and exit 75; the next one
# finishes the work.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time);
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Server;
use Imapsync::Tls qw(start_tls);
use Imapsync::Watch;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

use constant LIMIT => 45;	# for all runs, far from "timeout"

my $words = 'closed for repairs, see example.org';
my $number = 0;
my @runs;

# A pair in sync, and then something for every command to do.
sub pair
{
	my ($side, %o) = @_;
	my %s;

	$number++;
	for my $s ('local', 'remote') {
		my $login = $s eq $side && $o{login};
		my $server = Imapsync::Server->new(name => "$s$number",
		    $login ? (daemon => 1, mechs => $login) : ());
		$s{$s} = $s eq $side ? Imapsync::Edit->new(server => $server,
		    login => $login) : $server;
	}
	$s{i} = Imapsync::Imapsync->new(limit => LIMIT, local => $s{'local'},
	    remote => $s{remote}, conf => $o{conf} // {});
	my ($lc, $rc) = map { $_->client } @s{'local', 'remote'};
	for my $c ($lc, $rc) {
		$c->append('INBOX', message(++$number)) for 1 .. 4;
	}
	$s{i}->sync_ok("D4: $o{what}: in sync");
	for my $c ($lc, $rc) {
		my $n = $c == $lc ? 1 : 2;
		$c->append('INBOX', message(++$number));
		$c->store('INBOX', $n, '+FLAGS', '\Flagged');
		$c->expunge('INBOX', $n + 2);
		$c->create("New$n");
		$c->subscribe("New$n");
		$c->append("New$n", message(++$number));
		$c->close;
	}
	return \%s;
}

# BYE in place of the answer to that command; then silence, or what "then" says
# once a second.
sub bye
{
	my ($re, $then) = @_;

	return (command => sub {
		my ($t, $line) = @_;
		return if $line !~ $re || $t->{muted};
		$t->note('bye');
		$t->put("* BYE $words\r\n");
		$t->mute;
		return '';
	}, tick => sub {
		my ($t) = @_;
		$t->put($then) if $then && $t->{muted};
	});
}

sub begin
{
	my ($what, $re, %o) = @_;

	for my $side (sides('remote', 'local')) {
		my $name = "$what, $side";
		my $s = pair($side, what => $name, %o);
		$s->{$side}->hooks(bye($re, $o{then}));
		push @runs, { what => $name, side => $side, s => $s,
		    pid => $s->{i}->start };
	}
}

# The line names the server and has its words, and nothing else is blamed.
sub told
{
	my ($r, $what, $side) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{status}, 75, "D4: $what: exit 75");
	like($r->{err}, qr/^$side: .*127\.0\.0\.1.*\Q$words\E/m,
	    "D4: $what: the server's words") or diag($r->{err});
	unlike($r->{err}, qr/report it|protocol|not made|state/i,
	    "D4: $what: and nobody else is blamed");
}

# All of them have begun: they end within one limit, together.
sub left
{
	my ($end) = @_;
	return $end > time ? $end - time : 0.1;
}

sub judge
{
	my $end = time + LIMIT;

	for my $run (@runs) {
		my ($what, $side, $s) = @$run{qw(what side s)};
		my $r = $s->{i}->wait($run->{pid}, limit => left($end),
		    killed => 1);

		told($r, $what, $side);
	}
	for my $run (@runs) {
		my ($what, $side, $s) = @$run{qw(what side s)};

		ok((grep { $_ eq 'bye' } $s->{$side}->notes),
		    "D4: $what: it has come to that");
		$s->{$side}->hooks;
		$s->{i}->sync_ok("D4: $what: the next run");
		same_content($s->{'local'}, $s->{remote}, "D4: $what: equal");
		$s->{i}->silent_ok("D4: $what: nothing is left");
	}
}

begin('in place of the answer to LOGIN', qr/ LOGIN /, login => 'plain login');
begin('in place of the answer to AUTHENTICATE', qr/ AUTHENTICATE /,
    login => 'plain scram-sha-256', conf => { auth => 'SCRAM-SHA-256' });
begin('to ENABLE', qr/ ENABLE /);
begin('to LIST', qr/ LIST /);
begin('to SELECT', qr/ SELECT /);
begin('to SELECT, and again and again', qr/ SELECT /,
    conf => { timeout => 5 }, then => "* BYE $words\r\n");
begin('to SELECT, and it chatters on', qr/ SELECT /,
    then => "* OK still here\r\n");
begin('to SEARCH', qr/ UID SEARCH /);
begin('to a look at messages', qr/ UID FETCH .*HEADER/);
begin('to FETCH of a body', qr/ UID FETCH .*BODY\.PEEK\[\]/);
begin('to APPEND', qr/ APPEND /);
begin('to STORE', qr/ UID STORE /);
begin('to EXPUNGE', qr/ UID EXPUNGE /);
begin('to CREATE', qr/ CREATE /);
begin('to SUBSCRIBE', qr/ SUBSCRIBE /);
judge();

# Steps that have no Dovecot behind them.
my $cert = Imapsync::Cert->new(name => 'ok');
my %early = (
	'as greeting' => sub { $_[0]->put("* BYE $words\r\n") },
	'to CAPABILITY' => sub {
		$_[0]->put("* OK hello\r\n");
		$_[0]->expect(qr/ CAPABILITY$/);
		$_[0]->put("* BYE $words\r\n");
	},
	'to STARTTLS' => sub {
		$_[0]->put("* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n");
		$_[0]->expect(qr/ STARTTLS$/);
		$_[0]->put("* BYE $words\r\n");
	},
	'behind STARTTLS' => sub {
		$_[0]->put("* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n");
		my ($tag) = $_[0]->expect(qr/^(\S+) STARTTLS$/);
		$_[0]->put("$tag OK go\r\n");
		start_tls($_[0], $cert);
		$_[0]->expect(qr/ CAPABILITY$/);
		$_[0]->put("* BYE $words\r\n");
	},
);
my @early;
for my $what (sort keys %early) {
	my $fake = Imapsync::Fake->new(script => sub {
		$early{$what}->($_[0]);
		$_[0]->until_closed;
	});
	my $model = Imapsync::Model->new(greeting => 'PREAUTH');
	my %tls = $what =~ /STARTTLS/ ? (STARTTLS => 'YES',
	    host => 'localhost', SSL_CAfile => $cert->ca) : ();
	my $i = Imapsync::Imapsync->new(limit => LIMIT,
	    local => $model->section(tunnel => 1),
	    remote => $fake->section(%tls));
	push @early, [$what, $i, $i->start, $fake];
}
my $end = time + LIMIT;
for my $run (@early) {
	my ($what, $i, $pid) = @$run;
	my $r = $i->wait($pid, limit => left($end), killed => 1);

	is($r->{status}, 75, "D4: $what: exit 75");
	like($r->{err}, qr/^remote: .*(?:127\.0\.0\.1|localhost).*\Q$words\E/m,
	    "D4: $what: the server's words") or diag($r->{err});
}

# A watch: another session, and it works again.
for my $args ('--watch=3600', '--notify') {
	my $what = "while it is told to wait, $args";
	my $s = pair('remote', what => $what);
	$s->{remote}->hooks(bye(qr/ IDLE| NOTIFY SET STATUS/));
	my $w = Imapsync::Watch->new($s->{i}, $args);
	ok(scalar(eval { $w->says(LIMIT, qr/\Q$words\E/); 1 }),
	    "D4: $what: the server's words") or diag($@);
	$s->{remote}->hooks;
	ok(scalar(eval { $w->says(LIMIT, qr/servers are back/); 1 }),
	    "D4: $what: another session") or diag($@);
	is($w->end('TERM')->{signal}, 15, "D4: $what: SIGTERM");
	$s->{i}->sync_ok("D4: $what: the next run");
	same_content($s->{'local'}, $s->{remote}, "D4: $what: equal");
}

# No loss: the answer to LOGOUT.
my $s = pair('remote', what => 'control');
$s->{remote}->hooks(bye(qr/ LOGOUT/));
$s->{i}->sync_ok('D4: control: BYE to LOGOUT is none');
same_content($s->{'local'}, $s->{remote}, 'D4: control: equal');
done_testing;

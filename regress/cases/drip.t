#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server that owes an answer and says something else, or a single octet, every
# now and then: "timeout" is not renewed by that.  One that answers slowly is
# waited for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(wait_for);
use Imapsync::Server;
use Imapsync::Tap;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

use constant TIMEOUT => 2;
use constant EVERY => 0.5;	# seconds between two drips
use constant LIMIT => 30;	# for all runs together; without end otherwise

my $number = 0;
my @runs;

sub dovecot
{
	my ($name, @o) = @_;
	return Imapsync::Server->new(name => $name . ++$number, @o);
}

# A pair of which remote has what is to be copied, or local.
sub pair
{
	my ($remote, $where, %o) = @_;
	my $local = dovecot('local');
	my $c = $where eq 'local' ? $local->client : $remote->client;

	$c->append('INBOX', message($_, size => 4000)) for 1 .. 8;
	$c->create("box$_") for 1 .. 8;
	$c->close;
	my $i = Imapsync::Imapsync->new(local => $local, remote =>
	    $remote->section(timeout => TIMEOUT, %o));
	return ($local, $i);
}

sub run_it
{
	my ($what, $remote, $where, %o) = @_;
	my ($local, $i) = pair($remote, $where, %o);

	push @runs, { what => $what, i => $i, pid => $i->start, local => $local,
	    remote => $remote };
}

# From that command on the server says $drip every now and then, and no more.
sub drips
{
	my ($what, $re, $drip, $where, %o) = @_;
	my $remote = Imapsync::Edit->new(every => EVERY, server =>
	    dovecot('remote', $o{login} ? (daemon => 1, mechs => 'plain login') :
	    ()), login => $o{login}, command => sub {
		my ($t, $line) = @_;
		return unless $line =~ $re;
		$t->mute;
		return '';
	    }, tick => sub {
		my ($t) = @_;
		return unless $t->{muted};
		my $n = $t->{drips}++;
		$t->put(ref $drip ? $drip->($n) : $drip);
	    });

	run_it($what, $remote, $where // 'remote');
}

my $here = "* OK still here\r\n";
my $octets = sub { substr('* LIST () "/" "' . 'x' x 900, $_[0], 1) };

drips('an untagged OK, LOGIN', qr/ LOGIN /, $here, 'remote', login => 1);
drips('an untagged OK, ENABLE', qr/ ENABLE /, $here);
drips('an untagged OK, LIST', qr/ LIST /, $here);
drips('an untagged OK, SELECT', qr/ SELECT /, $here);
drips('an untagged OK, SEARCH', qr/ UID SEARCH /, $here);
drips('an untagged OK, FETCH', qr/ UID FETCH /, $here);
drips('an untagged OK, APPEND', qr/ APPEND /, $here, 'local');
drips('an untagged OK, CREATE', qr/ CREATE /, $here, 'local');
drips('CAPABILITY, LIST', qr/ LIST /, "* CAPABILITY IMAP4rev1\r\n");
drips('NO, FETCH', qr/ UID FETCH /, "* NO busy\r\n");
drips('single octets, LIST', qr/ LIST /, $octets);
drips('single octets, SELECT', qr/ SELECT /,
    sub { substr('* OK ' . 'x' x 900, $_[0], 1) });

# Before there is a session.
sub fake
{
	my ($what, $first, $drip, %o) = @_;
	my $fake = Imapsync::Fake->new(script => sub {
		my ($c) = @_;
		$c->put($first);
		for my $n (0 .. 200) {
			$c->put(ref $drip ? $drip->($n) : $drip) or last;
			sleep EVERY;
		}
	});
	my $local = dovecot('local');
	my $i = Imapsync::Imapsync->new(local => $local, remote =>
	    $fake->section(timeout => TIMEOUT, %o));
	push @runs, { what => $what, i => $i, pid => $i->start,
	    local => $local, fake => $fake };
}

my $cert = Imapsync::Cert->new(name => 'ok');
my %tls = (host => 'localhost', SSL_CAfile => $cert->ca);
fake('single octets, greeting', '', sub { substr('* OK ' . 'x' x 300, $_[0],
    1) });
fake('an untagged OK, CAPABILITY', "* OK hello\r\n", $here);
fake('an untagged OK, STARTTLS', "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n",
    $here, %tls, STARTTLS => 'YES');
fake('single octets, TLS', '', sub { substr("\x16\x03\x03\x3f\xff\x02\x00" .
    "\x3f\xf0\x03\x03" . 'x' x 400, $_[0], 1) }, %tls, type => 'imaps',
    STARTTLS => undef);

# All have begun: they end soon, and then it works.
my $end = time + LIMIT;
for my $run (@runs) {
	my ($what, $i) = @$run{qw(what i)};
	my $left = $end > time ? $end - time : 0.1;
	my $r = $run->{r} = $i->wait($run->{pid}, limit => $left,
	    killed => 1);

	is($r->{status}, 75, "D4: $what: exit 75") or diag($r->{err});
	like($r->{err}, qr/^remote: .*(?:127\.0\.0\.1|localhost): no /m,
	    "D4: $what: who owes what");
	unlike($r->{err}, qr/report it|not made/, "D4: $what: no other words");
}
for my $run (grep { $_->{remote} } @runs) {
	my ($what, $i, $remote) = @$run{qw(what i remote)};

	$remote->hooks;
	$i->change(remote => $remote->section);
	$i->sync_ok("D4: $what: the next run");
	same_content($run->{'local'}, $remote, "D4: $what: equal");
}

# ---- controls: slow, but answers ----

sub slow
{
	my ($what, %o) = @_;
	my $remote = Imapsync::Edit->new(server => dovecot('remote'), %o);
	my ($local, $i) = pair($remote, 'remote');

	$i->sync_ok("D4: control: $what: waited for");
	same_content($local, $remote, "D4: control: $what: equal");
}

slow('a mailbox of the list at a time', answer => sub {
	my ($t, $line) = @_;
	sleep TIMEOUT / 3 if $line =~ /^\* LIST /;
	return $line;
});
slow('a message at a time', answer => sub {
	my ($t, $line) = @_;
	sleep TIMEOUT / 2 if $line =~ /^\* \d+ FETCH .*BODY\[\]/;
	return $line;
});
# A body of 30 kB at about 3 kB/s.
my $line = Imapsync::Tap->new(server => dovecot('remote'), s2c => sub {
	my ($t, $data) = @_;
	my $wire = Imapsync::Wire->new(out => $t->{sock});

	while (length $data > 1000) {
		$wire->put(substr($data, 0, 1000, ''));
		sleep 0.3 if $t->{input} =~ /BODY\.PEEK\[\]/;
	}
	return $data;
});
my ($local, $i) = pair($line, 'remote');
$i->sync_ok('D4: control: a slow line: waited for');
same_content($local, $line, 'D4: control: a slow line: equal');

# Nothing is owed while the client idles.
my $chatter = Imapsync::Edit->new(every => EVERY, server => dovecot('remote'),
    command => sub {
	my ($t, $text) = @_;
	$t->{idle} = $text =~ /^\S+ IDLE/ ? 1 : 0;
	if ($text =~ /^DONE/ && $t->flag('owe')) {
		$t->mute;
		$t->{idle} = 1;
	}
	return $t->{muted} ? '' : undef;
    }, tick => sub { $_[0]->put($here) if $_[0]{idle} });
($local, $i) = pair($chatter, 'remote');
my $w = Imapsync::Watch->new($i, '--watch=3600');
$w->ready;
sleep 3 * TIMEOUT;
is($w->err =~ /lost/ ? 1 : 0, 0, 'D4: control: chatter in IDLE is no loss');
is($chatter->count(qr/^LIST .*STATUS/), 1, 'D4: control: nor a reason to look');
$chatter->raise('owe');
$w->look;
ok(scalar(eval { $w->says(LIMIT, qr/^remote: lost .*no answer/m); 1 }),
    'D4: chatter in place of the answer to IDLE is a loss') or diag($@);
$chatter->lower('owe');
ok(scalar(eval { $w->says(LIMIT, qr/servers are back/); 1 }),
    'D4: and another session follows') or diag($@);
$w->end('TERM');
done_testing;

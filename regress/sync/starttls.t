#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# STARTTLS: whoever sits between us and the server must neither prevent it nor
# have a word in what is under it; in each refused case nothing of the login is
# sent.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use MIME::Base64 qw(encode_base64);
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Tls qw(start_tls);

my $password = 'opensesame';
my $plain = encode_base64("\0user\0$password", '');
my $secret = qr/LOGIN|AUTHENTICATE|\Q$password\E|\Q$plain\E/i;
my $good = Imapsync::Cert->new(name => 'good');
my $other = Imapsync::Cert->new(name => 'other', ca => 'other-ca');
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});
my %starttls = (STARTTLS => undef, host => 'localhost',
    SSL_CAfile => $good->ca);

sub fake
{
	my ($script) = @_;

	return Imapsync::Fake->new(password => $password, script => $script);
}

# Greet, and answer CAPABILITY, until STARTTLS; returns its tag.
sub until_starttls
{
	my ($c, $caps) = @_;

	$c->put("* OK [CAPABILITY $caps] ready\r\n");
	my ($tag) = $c->expect(qr/^(\S+) STARTTLS$/);
	return $tag;
}

sub refused
{
	my ($what, $status, $says, $script, %keys) = @_;
	my $fake = fake($script);

	$i->lose_state;
	$i->change(remote => $fake->section(%starttls, %keys));
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $i->status_is($status, "$what: exit $status");
	like($r->{err}, $says, "$what: says why");
	is(scalar(split /\n/, $r->{err}), 1, "$what: in one line") or
	    diag($r->{err});
	unlike($fake->received, $secret, "$what: no secret was sent");
	is_deeply([grep { /^unexpected|^died: (?!closed|hung)/ }
	    $fake->notes], [], "$what: as expected") or
	    diag($fake->notes);
	return ($fake, $r);
}

refused('not offered', 1, qr/localhost does not offer STARTTLS/, sub {
	my ($c) = @_;
	$c->put("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n");
	$c->until_closed;
});

refused('not offered, asked for', 1, qr/does not offer STARTTLS/, sub {
	my ($c) = @_;
	$c->put("* OK ready\r\n");
	my ($tag) = $c->expect(qr/^(\S+) CAPABILITY$/);
	$c->put("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n$tag OK done\r\n");
	$c->until_closed;
});

refused('PREAUTH in the clear', 1, qr/localhost greets with PREAUTH/, sub {
	my ($c) = @_;
	$c->put("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n");
	$c->until_closed;
});

for my $no ('NO not now', 'BAD what?') {
	refused("answered $no", 1, qr/localhost refuses STARTTLS: /, sub {
		my ($c) = @_;
		my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
		$c->put("$tag $no\r\n");
		$c->until_closed;
	});
}

# Octets in the clear behind the OK: whole lines, or the beginning of one that
# would go on under TLS.
for my $case (['a line', "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"],
    ['an answer', "A2 OK done\r\n"], ['part of a line', '* '],
    ['an end of line', "\r\n"]) {
	my ($what, $octets) = @$case;
	refused("$what injected, same packet", 1, qr/injected/, sub {
		my ($c) = @_;
		my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
		$c->put("$tag OK begin TLS\r\n$octets");
		$c->until_closed;
	});
}

refused('injected, next packet', 1, qr/TLS with localhost/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	select undef, undef, undef, 0.2;
	$c->put("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nA2 OK done\r\n");
	$c->until_closed;
});

refused('the end instead of TLS', 75, qr/localhost.*closed/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	$c->hang_up;
});

refused('another authority', 1, qr/TLS with localhost.*chain/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	start_tls($c, $other);
	$c->until_closed;
});

my $pin = $good->spki;
refused('another key', 1, qr/SSL_fingerprint.*\Q$pin\E/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	start_tls($c, $good);
	$c->until_closed;
}, SSL_fingerprint => $other->spki);

# LOGIN is forbidden under TLS, too, and the clear text said otherwise.
refused('LOGINDISABLED under TLS', 1, qr/LOGINDISABLED/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	start_tls($c, $good);
	($tag) = $c->expect(qr/^(\S+) CAPABILITY$/);
	$c->put("* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n$tag OK done\r\n");
	$c->until_closed;
});

refused('LOGINDISABLED without TLS', 1, qr/LOGINDISABLED.*TLS/, sub {
	my ($c) = @_;
	$c->put("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi\r\n");
	$c->until_closed;
}, STARTTLS => 'NO');

refused('no capabilities under TLS', 75, qr/capabilities/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("$tag OK begin TLS\r\n");
	start_tls($c, $good);
	($tag) = $c->expect(qr/^(\S+) CAPABILITY$/);
	$c->put("$tag OK done\r\n");
	$c->until_closed;
});

# Lines in the clear ahead of the OK are not injected, but must have no effect.
sub model
{
	my ($before, %o) = @_;

	return Imapsync::Model->new(password => $password,
	    caps => '+STARTTLS', %o, hooks => {
		STARTTLS => sub {
			my ($c, $tag) = @_;
			$c->emit($_) for @$before;
			$c->tagged($tag, 'OK', 'begin TLS');
			$c->flush;
			start_tls($c, $good);
			$c->{fake}{caps} = $o{after} if $o{after};
			return 1;
		} });
}

my $before = [ '* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=X COMPRESS=DEFLATE',
    '* ENABLED QRESYNC', '* LIST () "/" "injected"',
    '* STATUS "injected" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)',
    '* OK [APPENDLIMIT 10] limit', '* BYE injected' ];
my $fewer = 'IMAP4rev1 ENABLE UIDPLUS LIST-EXTENDED LIST-STATUS CONDSTORE ' .
    'QRESYNC ESEARCH LITERAL+ UNSELECT AUTH=PLAIN';
for my $after (undef, $fewer) {
	my $what = $after ? 'fewer capabilities under TLS' : 'untagged lines';
	my $m = model($before, after => $after);

	$m->change(sub { $_[0]->deliver('INBOX', message($_)) for 1 .. 3 });
	my $here = Imapsync::Model->new;
	$i->lose_state;
	$i->change(local => $here, remote => $m->section(%starttls));
	my $r = $i->run('--debug');
	is($r->{status}, 0, "$what: in sync") or diag($r->{err});
	unlike($r->{err}, qr/remote.*injected.*(created|new)/, 'not believed');
	same_content($here, $m, "$what: equal");
	is(join(' ', $here->store->names), 'INBOX',
	    "$what: no mailbox was made");
	my @commands = map { /^(\S+)/ } $m->commands(1);
	is("@commands[0 .. 2]", 'STARTTLS CAPABILITY LOGIN',
	    "$what: capabilities are asked for");
	unlike("@commands", qr/MULTIAPPEND|MOVE/, 'and believed') if $after;
	like($r->{err}, qr/logged in \(LOGIN, TLSv1\.\d/, 'under TLS');
	is_deeply([grep { $_ ne 'unknown command: COMPRESS' } $m->notes], [],
	    "$what: nothing unexpected") or
	    diag($m->notes);
}

refused('the end under TLS, BYE in the clear', 75,
    qr/^remote: lost the server localhost: (?!.*injected)/, sub {
	my ($c) = @_;
	my $tag = until_starttls($c, 'IMAP4rev1 STARTTLS AUTH=PLAIN');
	$c->put("* BYE injected\r\n$tag OK begin TLS\r\n");
	start_tls($c, $good);
	$c->expect(qr/^(\S+) CAPABILITY$/);
	$c->hang_up;
});

subtest 'Dovecot' => sub {
	plan skip_all => Imapsync::Server->missing('dovecot')
	    if Imapsync::Server->missing('dovecot');
	my $here = Imapsync::Server->new(name => 'here');
	my $there = Imapsync::Server->new(name => 'there', daemon => 1,
	    cert => $good, compress => 1,
	    conf => "ssl = required\ndisable_plaintext_auth = yes");
	my $relay = Imapsync::Relay->new(port => $there->port, log => 1);
	my %keys = (type => 'imap', port => $relay->port);
	my $c = $here->client;

	$c->append_many('INBOX', map { { body => message($_) } } 1 .. 200);
	$c->close;
	$i->lose_state;
	$i->change(local => $here, remote => $there->section(%keys));
	my $r = $i->sync_ok('first run', '--debug');
	like($r->{err}, qr/logged in \(SCRAM-SHA-256, TLSv1/, 'under TLS');
	like($r->{err}, qr/C: \S+ COMPRESS/, 'and compressed');
	same_content($here, $there, 'equal');
	$i->silent_ok;
	my $clear = $relay->octets('c2s');
	like($clear, qr/^\S+ STARTTLS\r\n/, 'STARTTLS in the clear');
	unlike($clear, qr/LIST|SELECT|AUTHENTICATE|user/, 'nothing else');
};

done_testing;

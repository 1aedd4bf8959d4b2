#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server says in the wrong place before there is a session: an error at
# once (and not after "timeout", 300 s here) that shows the line.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Imapsync::Cert;
use Imapsync::Edit;
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Proc qw(slurp wait_for);
use Imapsync::Server;
use Imapsync::Watch qw(has);

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

use constant LIMIT => 30;

my $cert = Imapsync::Cert->new(name => 'ok');
my $error = qr/^(?:1|75)$/;
my @runs;

# What the server does, the status, what must be in the line.
sub begin
{
	my ($letter, $what, $status, $re, $script, %o) = @_;
	my $fake = Imapsync::Fake->new(script => sub {
		$script->($_[0]);
		$_[0]->until_closed;
	});
	# Each with a local server of its own: they all run at once.
	my $model = Imapsync::Model->new(greeting => 'PREAUTH');
	my $i = Imapsync::Imapsync->new(
	    local => $model->section(tunnel => 1),
	    remote => $fake->section(%o));
	push @runs, { what => "$letter: $what", status => $status, re => $re,
	    i => $i, pid => $i->start, keep => [$fake, $model] };
}

my %tls = (host => 'localhost', SSL_CAfile => $cert->ca, STARTTLS => 'YES');
my $offer = "* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n";

begin('D5', 'STARTTLS answered by "+"', $error, qr/STARTTLS.*go on/, sub {
	$_[0]->put($offer);
	$_[0]->expect(qr/ STARTTLS$/);
	$_[0]->put("+ go on\r\n");
}, %tls);
begin('D5', 'STARTTLS answered by an empty line', $error, qr/STARTTLS|empty/, sub {
	$_[0]->put($offer);
	$_[0]->expect(qr/ STARTTLS$/);
	$_[0]->put("\r\n");
}, %tls);
begin('D5', 'STARTTLS answered with another tag', $error, qr/begin/, sub {
	$_[0]->put($offer);
	$_[0]->expect(qr/ STARTTLS$/);
	$_[0]->put("Z9 OK begin\r\n");
}, %tls);
begin('D5', 'an empty line as greeting', $error, qr/greet/, sub {
	$_[0]->put("\r\n");
});
begin('D5', 'an empty line, LF alone, as greeting', $error, qr/greet/, sub {
	$_[0]->put("\n");
});
begin('D5', 'words for somebody who is shut out', 75,
    qr/NO LOGOUT Intrusion prevention active/, sub {
	$_[0]->put(" NO LOGOUT Intrusion prevention active\r\n");
});
begin('D5', 'the same, and it closes', 75,
    qr/NO LOGOUT Intrusion prevention active/, sub {
	$_[0]->put(" NO LOGOUT Intrusion prevention active\r\n");
	$_[0]->hang_up;
});
begin('D5', 'an untagged NO as greeting', 75, qr/too many connections/, sub {
	$_[0]->put("* NO too many connections from you\r\n");
});
begin('D5', 'an untagged BAD as greeting', 75, qr/blocked for an hour/, sub {
	$_[0]->put("* BAD blocked for an hour\r\n");
});
begin('D5', 'an SMTP server', $error, qr/220 mail\.example\.org ESMTP ready/, sub {
	$_[0]->put("220 mail.example.org ESMTP ready\r\n");
});
begin('D5', 'an HTTP server', $error, qr{HTTP/1\.1 400 Bad Request}, sub {
	$_[0]->put("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n");
});
begin('D5', 'a POP server', $error, qr/\+OK POP3 ready/, sub {
	$_[0]->put("+OK POP3 ready\r\n");
});
begin('D5', 'an untagged line that greets nobody', $error, qr/LIST.*INBOX/, sub {
	$_[0]->put("* LIST () \"/\" INBOX\r\n");
});
begin('D5', 'a continuation out of place, LOGIN', $error, qr/go on, go on/, sub {
	$_[0]->put("* OK [CAPABILITY IMAP4rev1] hello\r\n");
	$_[0]->expect(qr/ LOGIN /);
	$_[0]->put("+ go on, go on\r\n");
});
begin('D5', 'an empty line in place of the answer to LOGIN', $error,
    qr/^remote: .*127\.0\.0\.1/m, sub {
	$_[0]->put("* OK [CAPABILITY IMAP4rev1] hello\r\n");
	$_[0]->expect(qr/ LOGIN /);
	$_[0]->put("\r\n");
});
begin('D5', 'an answer to what was not asked, CAPABILITY', $error,
    qr/what/, sub {
	$_[0]->put("* OK hello\r\n");
	$_[0]->expect(qr/ CAPABILITY$/);
	$_[0]->put("Z7 OK what\r\n");
});
begin('D5', 'octets that are no line', $error, qr/: .*\^.*\[31m/, sub {
	$_[0]->put("\x01\x80\xff\x1b[31m\r\n");
});

my $end = time + LIMIT;
for my $run (@runs) {
	my ($what, $i) = @$run{qw(what i)};
	my $left = $end > time ? $end - time : 0.1;
	my $r = $i->wait($run->{pid}, limit => $left, killed => 1);

	like($r->{status}, ref $run->{status} ? $run->{status} :
	    qr/^$run->{status}$/, "$what: exit status");
	like($r->{err}, qr/^remote: .*(?:127\.0\.0\.1|localhost)/m,
	    "$what: the server is named");
	like($r->{err}, $run->{re}, "$what: the line is shown")
	    or diag($r->{err});
	unlike($r->{err}, qr/[^\x20-\x7e\n]/, "$what: printable");
}

# A watch is not ended by a server that shuts somebody out for a while.
my ($ls, $rs) = map { Imapsync::Server->new(name => $_) } 'local', 'remote';
my $lc = $ls->client;
my $shut = Imapsync::Edit->new(server => $rs, answer => sub {
	my ($t, $line) = @_;
	return $line unless $t->flag('shut') && $line =~ /^\* PREAUTH/;
	$t->put(" NO LOGOUT Intrusion prevention active\r\n");
	$t->hang_up;
});
my $i = Imapsync::Imapsync->new(local => $ls, remote => $shut);
$lc->append('INBOX', message(1));
$i->sync_ok('D5: in sync');
$shut->raise('shut');
my $w = Imapsync::Watch->new($i, '--watch=3600');
ok(scalar(eval { $w->says(LIMIT, qr/Intrusion prevention/); 1 }),
    'D5: a watch: the words') or diag($@);
$lc->append('INBOX', message(2));
$shut->lower('shut');
ok(scalar(eval { $w->says(LIMIT, qr/servers are back/); 1 }),
    'D5: and it goes on') or diag($@);
has($rs, 'INBOX', 2, 'D5: with its work');
is($w->end('TERM')->{signal}, 15, 'D5: to the end');
$lc->close;
done_testing;

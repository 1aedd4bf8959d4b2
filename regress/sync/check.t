#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.


# --check: what each server offers, what would be synchronised, what the sandbox
# has; nothing is changed, anywhere.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Imapsync::Cert;
use Imapsync::Compare qw(everything);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(slurp free_port);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local',
    location => 'sdbox:~/mail');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1, sep => '.',
    cert => Imapsync::Cert->new(name => 'good'));
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

sub everything_here
{
	return [map({ everything($_) } $local, $remote),
	    map { ($_, -f $_ ? slurp($_) : '') }
	    sort glob("$i->{home}/data/* $i->{home}/data/imapsync/*")];
}

# A --check of two servers that will do.
sub check
{
	my ($what, @args) = @_;
	my $before = everything_here();
	my $r = $i->sync_ok($what, '--check', @args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply(everything_here(), $before, 'nothing has changed');
	is($r->{err}, '', 'nothing on standard error');
	like($r->{out}, qr/^All that is needed is there\.\n\z/m, 'all is well');
	return $r->{out};
}

my $r;
my ($lc, $rc) = ($local->client, $remote->client);
$lc->append_many('INBOX', map { { body => message($_) } } 1 .. 3);
$lc->create('here');
$lc->append('here', message(4));
$lc->create('a.b');
$rc->create('there');
$rc->create('virtual');
$_->close for $lc, $rc;
$i->change(conf => { 'ignore-mailbox' => '^virtual$' });

my $out = check('before the first run');
ok(!defined $i->state_file, 'there is no state file');
is(join(' ', glob "$i->{home}/data/*"), '', 'nor its directory');
like($out, qr/^local: localhost, logged in by PREAUTH$/m, 'local');
like($out, qr/^remote: localhost, logged in by \S+$/m, 'remote');
like($out, qr/^    TLS: TLSv1\.\d, \S+$/m, 'protocol and cipher');
like($out, qr/^    $_ +yes$/m, $_) for qw(QRESYNC UIDPLUS LIST-EXTENDED
    LIST-STATUS LITERAL\+ MULTIAPPEND IDLE NOTIFY);
like($out, qr/^sandbox: \S/m, 'the sandbox');
my $new = '3 messages on local, 0 on remote; not synchronised so far';
like($out, qr/^    INBOX: $new$/m, 'INBOX');
like($out, qr/^    here: 1 messages? on local; will be created on remote$/m,
    'to be created');
like($out, qr/^    INBOX: .*\n        a run would do: 3 to copy to remote$/m,
    'what a run would do');
like($out, qr/^    a\.b: .*\n        left alone: skipped: .* delimiter/m,
    'and what not');
like($out, qr/^warning: 1 mailbox of the local server can't be on the remote /m,
    'which is warned of');
like($out, qr{^    delimiter: /$}m, 'the delimiters');
like($out, qr/^    delimiter: \.$/m, 'both');
is(() = $out =~ /^    INBOX: opened read-only, \d messages$/mg, 2,
    'INBOX is opened on both');
like($out, qr/^    certificate: .*CN=/m, 'whose certificate');
like($out, qr/^    issued by: .*CN=/m, 'issued by whom');
like($out, qr/^    valid: \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d \(-?\d+ days left\)$/m,
    'how long');
like($out, qr/^    verified: yes$/m, 'verified');
my ($pin) = $out =~ /^    its pin: SSL_fingerprint = (sha256\$[0-9a-f]{64})$/m;
ok($pin, 'its pin');
like($out, qr/^    there: 0 messages on remote; will be created on local$/m,
    'there');
like($out, qr/^    a\.b: skipped, remote can't have this name$/m,
    'a name that can not be');
unlike($out, qr/virtual/, 'what is ignored is not shown');
# How many octets a server says in answer to the same may vary.
is(check('--quiet', '--quiet') =~ s/about \d+ B/about N B/gr,
    $out =~ s/about \d+ B/about N B/gr, '--quiet leaves it as it is');
$out = check('one mailbox', 'here');
like($out, qr/^    here: /m, 'that one');
unlike($out, qr/^    INBOX/m, 'no other');

$i->change(conf => { 'ignore-mailbox' => '^(?:virtual|a\.b)$' });
$i->sync_ok('first run');
$out = check('after the first run');
like($out, qr/^    INBOX: 3 messages on local, 3 on remote$/m, 'INBOX');
$rc = $remote->client;
$rc->delete('there');
$rc->append('INBOX', message(5));
$rc->create('new');
$rc->close;
$i->change(conf => { 'ignore-mailbox' => '^(?:virtual|a\.b)$',
    direction => 'to-remote' });
$out = check('changes');
like($out, qr/^    INBOX: 3 messages on local, 4 on remote$/m, 'INBOX');
like($out, qr/^    there: gone on remote, left alone on local$/m, 'gone');
like($out, qr/^    new: only on remote, where it stays/m, 'the direction');
$i->change(conf => { direction => undef });

# As JSON; its schema is looked at wherever it is printed.
$i->change(conf => { 'list-mailbox' => '"*" "nosuch.*"',
    'watch-mailbox' => 'INBOX nothere' });
$r = $i->sync_ok('--json', '--check', '--json');
is($r->{err}, '', 'nothing on standard error');
my $json = JSON::PP->new->decode($r->{out});
is($json->{command}, 'check', 'the command');
is($json->{remote}{certificate}{pin}, $pin, 'the pin');
ok($json->{remote}{certificate}{verified}, 'verified');
is($json->{'local'}{certificate}, undef, 'none without TLS');
ok($json->{remote}{extensions}{QRESYNC}, 'an extension');
is($json->{'local'}{inbox}, 3, 'INBOX');
my ($there) = grep { $_->{name} eq 'there' } @{ $json->{mailboxes} };
ok($there->{stopped}, 'a mailbox that is gone');
is($there->{messages}{remote}, undef, 'is not there');
like($there->{reason}, qr/^it is gone on the remote server/, 'why');
like("@{ $json->{warnings} }", qr/list-mailbox: .* "nosuch\.\*"/,
    'a pattern that matches nothing');
like("@{ $json->{warnings} }", qr/watch-mailbox: .* "nothere"/,
    'a mailbox to watch that is not there');
$i->change(conf => { 'list-mailbox' => undef, 'watch-mailbox' => undef });

# What is missing is named, for both servers.
sub with_caps
{
	my ($without) = @_;
	my $c = $local->client;
	my $caps = join ' ', grep { !/^(?:$without)$/ } split ' ', $c->{caps};

	$c->close;
	return Imapsync::Server->new(name => 'caps' . free_port(),
	    daemon => 1, caps => $caps);
}

my $less = with_caps('UIDPLUS|QRESYNC|LIST-EXTENDED|LIST-STATUS|LITERAL\+|' .
    'MULTIAPPEND|IDLE|NOTIFY');
my $j = Imapsync::Imapsync->new(local => $local, remote => $less);
$r = $j->sync_ok('without what can be done without', '--check');
like($r->{out}, qr/^    $_ +no: \S/m, "$_ is missed")
    for qw(UIDPLUS QRESYNC LIST-EXTENDED LIST-STATUS LITERAL\+
    MULTIAPPEND IDLE NOTIFY);
like($r->{out}, qr/^    strategy: qresync \(the best\): /m, 'one strategy');
like($r->{out}, qr/^    strategy: condstore \(there is no QRESYNC\): /m,
    'and the other');
my ($first, $second) = split /^remote: /m, $r->{out};
for my $side ($first, $second) {
	like($side, qr/^    a run without changes: 1 round trip behind the login/m,
	    'what it costs');
	unlike($side, qr/flags of|flags-interval/, 'no lists of flags');
}
unlike($first, qr/not promised/, 'all is promised');
like($second, qr/^    not promised: deletions on a server that shows other /m,
    'not quite all');

# Each failure says what it is, once, and nothing is made.
sub fails
{
	my ($status, $says, $what, %section) = @_;
	my $j = Imapsync::Imapsync->new(local => $local,
	    remote => $remote->section(%section));
	my $r = $j->status_is($status, $what, '--check');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{err}, $says, 'says why');
	unlike("$r->{out}$r->{err}", qr/s3cret/,
	    'without the password');
	unlike($r->{out}, qr/All that is needed/, 'it is not well');
	ok(!defined $j->state_file, 'no state file');
}

fails(1, qr/^remote: .*(?:AUTHENTICATIONFAILED|[Aa]uthentication failed)/m,
    'a wrong password', password => 's3cret');
fails(75, qr/^remote: /m, 'no server there', port => free_port());

# A certificate of nobody we know: it is shown, and nobody logs in.
my $other = Imapsync::Cert->new(name => 'x', ca => 'other')->ca;
fails(1, qr/^remote: .*certificate's chain/m, 'a certificate of nobody we know',
    SSL_CAfile => $other);
$j = Imapsync::Imapsync->new(local => $local,
    remote => $remote->section(SSL_CAfile => $other));
$r = $j->status_is(1, 'the same', '--check', '--debug');
like($r->{out}, qr/^remote: localhost, not logged in$/m, 'it is shown');
like($r->{out}, qr/^    verified: NO$/m, 'as not verified');
like($r->{out}, qr/^    its pin: SSL_fingerprint = \Q$pin\E$/m, 'with its pin');
like($r->{out}, qr/^No password was sent\./m, 'and says so');
unlike($r->{err}, qr/remote: C: \S+ (?:LOGIN|AUTHENTICATE)/, 'which is true');
$r = $j->status_is(1, 'as JSON', '--check', '--json');
$json = JSON::PP->new->decode($r->{out});
is_deeply([@{ $json->{error} }{qw(kind side)}], ['certificate', 'remote'],
    'what has failed');
is($json->{remote}{certificate}{pin}, $pin, 'the pin');
is($json->{remote}{mechanism}, undef, 'without a login');
$r = $j->status_is(1, 'a run says it in one line', '--json', '--quiet');
$json = JSON::PP->new->decode($r->{out});
is($json->{error}{kind}, 'certificate', 'a kind of its own');
# A password that can't be had is not asked for either.
$j->change(remote => $remote->section(SSL_CAfile => $other,
    password => undef, 'password-command' => "echo x >>$j->{home}/asked; echo x"));
$j->run('--check');
is(slurp("$j->{home}/asked"), "x\n", 'the password is asked for once');
# That pin, taken over.
$j->change(remote => $remote->section(SSL_CAfile => undef, SSL_verify => 'NO',
    SSL_fingerprint => $pin));
$r = $j->sync_ok('pinned', '--check');
like($r->{out}, qr/^    its pin: .* \(as configured\)$/m, 'it fits');
unlike($r->{out}, qr/^warning: .*SSL_verify/m, 'no warning');
$j->change(remote => $remote->section(SSL_CAfile => undef,
    SSL_verify => 'NO'));
$r = $j->sync_ok('neither verified nor pinned', '--check');
like($r->{out}, qr/^warning: remote: .* add SSL_fingerprint = \Q$pin\E$/m,
    'is warned of');
$j->change(remote => $remote->section(SSL_CAfile => undef, SSL_verify => 'NO',
    SSL_fingerprint => 'sha256$' . '0' x 64));
$r = $j->status_is(1, 'another pin', '--check');
like($r->{out}, qr/^    its pin: .*\Q$pin\E \(ANOTHER ONE is configured\)$/m,
    'the true one is shown');
unlike($r->{out}, qr/logged in by/, 'without a login');

# Mail that would be there twice: neither size nor date agree.
($lc, $rc) = ($local->client, $remote->client);
$_->create('twins') for $lc, $rc;
$lc->append('twins', message(50), date => '01-Jan-2020 10:00:00 +0000');
$rc->append('twins', message(50) . "one line more\r\n",
    date => '02-Jan-2020 10:00:00 +0000');
$_->close for $lc, $rc;
$j = Imapsync::Imapsync->new(local => $local, remote => $remote);
$r = $j->sync_ok('twins', '--check', 'twins');
like($r->{out}, qr/^warning: 1 message with the same header fields .*twins\)$/m,
    'are warned of');

done_testing;

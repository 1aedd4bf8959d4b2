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
like($out, qr/^    there: 0 messages on remote; will be created on local$/m,
    'there');
like($out, qr/^    a\.b: skipped, remote can't have this name$/m,
    'a name that can not be');
unlike($out, qr/virtual/, 'what is ignored is not shown');
is(check('--quiet', '--quiet'), $out, '--quiet leaves it as it is');
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
my $r = $j->sync_ok('without what can be done without', '--check');
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
fails(1, qr/^remote: .*certificate/m, 'a certificate of nobody we know',
    SSL_CAfile => Imapsync::Cert->new(name => 'x', ca => 'other')->ca);

done_testing;

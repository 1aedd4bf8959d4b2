#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --init: what it asks, tries and writes, and what it leaves alone; a run
# without a configuration.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Fake;
use Imapsync::Proc qw(which);
use Imapsync::Server;
use Imapsync::User;

my $doveadm = which('doveadm') // plan skip_all => 'there is no doveadm(1)';
my $cert = Imapsync::Cert->new(name => 'ok');
my $server = Imapsync::Server->new(name => 'remote', daemon => 1,
    cert => $cert);
my ($tls, $clear) = ($server->{tls_port}, $server->{port});
my $ca = $cert->ca;
my $u = Imapsync::User->new;
my $dir = '.config/imapsync';
my $config = $u->path("$dir/config");

# What a file of the user's says, without comments and empty lines.
sub keys_of
{
	my ($file) = @_;
	return join '', grep { !/^(?:#|$)/ } $u->slurp("$dir/$file") =~ /.*\n/g;
}

sub nothing_ok
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!-e $u->path('.config'), "$what: nothing is left");
}

sub fails
{
	my ($status, $re, $what, @args) = @_;
	my $r = $u->run('imapsync', '--init', @args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{status}, $status, "$what: exit $status");
	like($r->{err}, $re, "$what: said");
	like($r->{err}, qr/^--init: nothing was written$/m, "$what: and that")
	    unless $r->{err} =~ /^usage:/m;
	nothing_ok($what);
}

# ---- without ----

my $r = $u->run('imapsync');
is($r->{status}, 1, 'no configuration');
like($r->{err}, qr{^\Q$config\E: No such file.* imapsync --init, },
    'the file, and how to get one');
like($r->{err}, qr{/examples/imapsync/imapsync\.conf\n\z}, 'or copy it');

fails(1, qr/needs the account/, 'nobody can be asked');
fails(2, qr/unknown key prot: did you mean port\?.*\n.*timeout = x: seconds/,
    'all errors at once', 'user@localhost', 'prot=1', 'timeout=x');
fails(2, qr/password: others see/, 'a password as an argument',
    'user@localhost', 'password=sesame');
fails(2, qr/not of the form user\@host/, 'no host', 'user@');
fails(2, qr/--check and --init can't be used together/, 'two commands',
    '--check');
fails(75, qr/remote: cannot connect to 127\.0\.0\.1 port 1 .*refused/,
    'nobody listens', 'user@127.0.0.1:1');
fails(1, qr/certificate's chain is not trusted/, 'an authority nobody knows',
    "user\@localhost:$tls");
fails(1, qr/certificate is not verified.*SSL_fingerprint=KEY/,
    'no pin, and no authority', "user\@localhost:$tls", 'SSL_verify=NO');
my $fake = Imapsync::Fake->new(script => sub {
	my ($c) = @_;
	$c->put("* OK hi\r\n");
	my ($tag) = $c->expect(qr/^(\S+) CAPABILITY/);
	$c->put("* CAPABILITY IMAP4rev1\r\n$tag OK done\r\n");
	$c->until_closed;
});
fails(1, qr/does not offer STARTTLS/, 'a server without TLS',
    'user@127.0.0.1:' . $fake->section->{port}, 'type=imap');
unlike($fake->received, qr/LOGIN|AUTH/, 'nobody has logged in');
unlike($server->log, qr/user=<[^>]/, 'nor into the other one');

# ---- to the end ----

$r = $u->run('imapsync', '--init', "user\@localhost:$tls", "SSL_CAfile=$ca",
    'password-command=echo pass', 'max-delete=20%');
is($r->{status}, 0, 'with all that is needed') or diag($r->{err});
like($r->{out}, qr/^remote: localhost answers\n    TLS: TLSv1\.\d, \S+, the/m,
    'who answers');
like($r->{out}, qr/certificate is verified\n    login by: PLAIN/,
    'what it has seen');
like($r->{out}, qr/^    imapsync --check\n    imapsync --dry-run\n/m,
    'what is next');
is(keys_of('config'), "max-delete = 20%\n[local]\ntype = tunnel\n" .
    "command = $doveadm -c " . $u->path("$dir/dovecot.conf") .
    " exec imap\nnull-stderr = YES\n[remote]\nhost = localhost\n" .
    "port = $tls\nusername = user\npassword-command = echo pass\n" .
    "SSL_CAfile = $ca\n", 'what it has written');
is(sprintf('%o %o %o', map { (stat $_)[2] & 07777 } $config,
    $u->path("$dir/dovecot.conf"), $u->path($dir)), '600 600 700', 'modes');

my $c = $server->client;
$c->create('a/b');
$c->append_many('INBOX', map { { body => "Subject: $_\r\n\r\nx\r\n" } } 1 .. 3);
$c->close;
like($u->run('imapsync', '--check')->{out}, qr/^All that is needed is there/m,
    '--check agrees');
is($u->run('imapsync')->{status}, 0, 'and so does a run');
is(scalar(() = glob $u->path('Maildir/*/*:2,*')), 3,
    'the mail is in ~/Maildir');
is($u->run('env', '-u', 'USER', '-u', 'LOGNAME', 'imapsync')->{err}, '',
    'and as cron starts it, without USER');

my $before = $u->slurp("$dir/config");
$r = $u->run('imapsync', '--init', "user\@localhost:$tls");
is($r->{status}, 1, 'once more');
like($r->{err}, qr/^\Q$config\E is there already, and is left as it is/,
    'that is said');
is($u->slurp("$dir/config"), $before, 'and true');

# ---- another account, without TLS from the first octet, by a tunnel ----

$r = $u->run('imapsync', '--init', '--config=work', 'user@mail.example.org',
    'type=tunnel', 'command=' . $server->command);
is($r->{status}, 0, 'another account') or diag($r->{err});
like($r->{out}, qr/^remote: .*\n    you are logged in \(PREAUTH\)/m,
    'through a tunnel');
like(keys_of('work'), qr/^database = work\.db\n.*dovecot-work\.conf/s,
    'its own state and Dovecot');
like($u->slurp("$dir/dovecot-work.conf"), qr{~/Maildir-work$}m,
    'and its own mail');
is($u->run('imapsync', '--config=work', '--quiet')->{status}, 0, 'works');

$r = $u->run('imapsync', '--init', '--config=open', "user\@localhost:$clear",
    'STARTTLS=NO', 'type=imap', 'local.command=' . $server->command);
is($r->{status}, 0, 'without TLS, if told so') or diag($r->{err});
like($r->{out}, qr/^    not encrypted$/m, 'is said');
like($r->{out}, qr/^    edit .*: where the password comes from$/m,
    'what is to do is said');
like($u->slurp("$dir/open"), qr/^#password-command = /m, 'and prepared');

# ---- on a terminal ----

SKIP: {
	skip('there is no script(1)', 1) unless which('script');
	my $t = $u->terminal('imapsync --init --config=term ' .
	    "SSL_CAfile=$ca port=$tls");
	$t->shows(qr/\(user\@host\): /, 'asks for the account');
	$t->types("user\@127.0.0.1\n");
	$t->shows(qr/answers.*log in with there \[user\]: /s,
	    'tries it before it asks for more');
	$t->types("\n");
	$t->shows(qr/password come from.*(\d)  typed now.*\[1\]: /s,
	    'where the password comes from');
	my ($typed) = $t->shown =~ /(\d)  typed now/;
	$t->types("9\n");
	$t->shows(qr/A number from 1 to .*\[1\]: /s, 'bad input');
	$t->types("$typed\n");
	$t->shows(qr/Password \(it is not shown\): /, 'the password');
	$t->types("pass\n");
	$t->shows(qr/on this machine.*\[1\]: /s, 'where the mail shall be');
	$t->types("1\n");
	$t->shows(qr{for the mail \[~/Maildir-term\]: }, 'the directory');
	$t->types("~/x y\n");
	$t->shows(qr/absolute path.*: /s, 'not every name will do');
	$t->types("~/term\n");
	is($t->ends, 0, 'it ends well');
	unlike($t->shown, qr/: pass$/m, 'the password was not shown');
	like(keys_of('term'), qr/^password = pass$/m, 'but written');
	is($u->run('imapsync', '--config=term', '--quiet')->{status}, 0,
	    'it works');
	ok(-d $u->path('term/cur'), 'the mail is where it should be');

	$t = $u->terminal('imapsync --init --config=none');
	$t->shows(qr/\(user\@host\): /, 'asks again');
	$t->types("\cC");
	is($t->ends, 130, 'Ctrl-C');
	ok(!-e $u->path("$dir/none"), 'leaves nothing behind');
}

done_testing;

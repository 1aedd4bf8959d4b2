#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The configuration: where it is found, what is an error, exit statuses, and
# that a password stays secret.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(spew slurp);
use Imapsync::Relay;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $secret = 'xyzzy-plugh-17';
my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1,
    password => $secret);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
my $file = $i->conf_file;

# A run with this text as the configuration fails with 1 and says all of this,
# and never the password.
sub refused
{
	my ($what, $text, @says) = @_;

	$i->write_conf($text);
	my $r = $i->status_is(1, $what);
	like($r->{err}, $_, "$what: says so") for @says;
	unlike("$r->{out}$r->{err}", qr/\Q$secret\E/,
	    "$what: not the password");
	ok(!defined $i->state_file, "$what: no state file");
	return $r;
}

my $good = $i->conf_text;
my @line = split /\n/, $good;
my ($lsec) = grep { $line[$_ - 1] eq '[local]' } 1 .. @line;
my ($rsec) = grep { $line[$_ - 1] eq '[remote]' } 1 .. @line;

refused('unknown key', "colour = red\n$good",
    qr/^\Q$file\E:1: unknown key: see imapsync\.conf\(5\)$/m);
refused('a key that is nearly one', "list-mailboxs = *\n$good",
    qr/^\Q$file\E:1: unknown key list-mailboxs: did you mean list-mailbox\?$/m);
# What is not near one may be anything.
my $r = refused('a password on the wrong line', "$secret = x\n$good",
    qr/^\Q$file\E:1: unknown key: see imapsync\.conf\(5\)$/m);
refused('bad value', $good =~ s/^\[local\]$/[local]\ncompress = maybe/mr,
    qr/^\Q$file\E:@{[$lsec + 1]}: compress = maybe: YES or NO expected$/m);
refused('bad port', $good =~ s/^port = .*$/port = 70000/mr,
    qr/^\Q$file\E:\d+: .*port/m);
refused('bad regular expression', "ignore-mailbox = (a\n$good",
    qr/^\Q$file\E:1: .*ignore-mailbox/m);
refused('default key in a section',
    $good =~ s/^\[local\]$/[local]\nlogfile = x/mr,
    qr/^\Q$file\E:@{[$lsec + 1]}: .*logfile/m);
refused('unknown section', "$good\n[other]\ntype = imap\n",
    qr/\Q$file\E:\d+: .*section/);
refused('missing section', $good =~ s/^\[local\].*(?=^\[remote\])//msr,
    qr/\Q$file\E.*\[local\]/);
refused('not a key', "what is this\n$good", qr/^\Q$file\E:1: /m);
refused('tunnel without a command', $good =~ s/^command = .*\n//mr,
    qr/\Q$file\E.*command/);
refused('twice', $good =~ s/^(type = tunnel)$/$1\n$1/mr, qr/twice/);
$r = refused('all errors in one run', "colour = red\n" .
    ($good =~ s/^\[remote\]$/[remote]\npasword = $secret/mr),
    qr/^\Q$file\E:1: /m, qr/^\Q$file\E:@{[$rsec + 2]}: unknown/m);
is(scalar(split /\n/, $r->{err}), 2, 'two errors, two lines');
unlike($r->{err}, qr/[:=] \Q$secret\E/, 'the key is named, not its value');

# One account twice: nothing is done, neither there nor to the state.
subtest 'one account on both sides' => sub {
	my $section = join '', map { "$_\n" } grep { !/^\[/ }
	    @line[$rsec .. $#line];
	my $one = sub { "[local]\n$section$_[0]\n[remote]\n$section$_[1]\n" };

	for my $case (['', '', 'the same'],
	    ['list-reference = a/', '', 'a part, and all'],
	    ['list-reference = a/b/', 'list-reference = a/',
	    'a part, and a part of it']) {
		my ($lref, $rref, $what) = @$case;
		refused($what, $one->($lref, $rref),
		    qr/^\Q$file\E:\d+: \[local\] and \[remote\] are the same account/m);
	}
	refused('the same command', "[local]\ntype = tunnel\ncommand = " .
	    $local->command . "\n[remote]\nhost = other\ntype = tunnel\n" .
	    'command = ' . $local->command . "\n",
	    qr/are the same account \(both start the same command\)/);

	# What it advises.
	my $c = $remote->client;
	$c->create($_) for 'one/x', 'two';
	$c->append('one/x', message(5));
	$i->write_conf($one->('list-reference = one/',
	    'list-reference = two/'));
	$i->sync_ok('two parts of one account');
	is(join(' ', sort map { $_->{name} // $_ } $c->list('*')),
	    'INBOX one one/x two two/x', 'each has the other');
	$i->silent_ok('once');
	$c->close;
	$i->lose_state;
};

subtest 'the file' => sub {
	$i->write_conf($good, 0644);
	$r = $i->status_is(1, 'others can read the password');
	like($r->{err}, qr/\Q$file\E.*chmod 600/, 'advice');
	unlike($r->{err}, qr/\Q$secret\E/, 'not the password');
	$i->write_conf($good, 0640);
	$i->status_is(1, 'so can a group');

	my $tunnel = Imapsync::Server->new(name => 'other');
	my $open = Imapsync::Imapsync->new(local => $local,
	    remote => $tunnel);
	$open->write_conf(undef, 0644);
	$open->sync_ok('without a password others may read it');

	unlink $file;
	$r = $i->status_is(1, 'no file');
	like($r->{err}, qr/\Q$file\E.*No such file/, 'named');
	$i->status_is(1, 'no such file', '--config=/nonexistent/conf');
	mkdir $file;
	spew("$file/config", $good, 0600);
	$i->sync_ok('a directory with "config" in it');
	ok(-e "$i->{home}/data/imapsync/127.0.0.1.db", 'named by the host');
	spew("$file/other", "database = mine.db\n$good", 0600);
	$i->sync_ok('--config', '--config=other');
	ok(-e "$i->{home}/data/imapsync/mine.db", 'database =');
	my $mode = (stat "$i->{home}/data/imapsync/mine.db")[2] & 0777;
	is($mode, 0600, 'mode of the state');
	$mode = (stat "$i->{home}/data/imapsync")[2] & 0777;
	is($mode, 0700, 'mode of its directory');
	unlink glob "$file/*";
	rmdir $file;
	$i->lose_state;
};

subtest 'exit statuses' => sub {
	$i->write_conf($good);
	$i->status_is(2, 'unknown option', '--nonsense');
	is($i->status_is(0, '--help', '--help')->{err}, '', 'help');
	like($i->status_is(0, '--version', '--version')->{out},
	    qr/^imapsync \S+\n\z/, 'version');
	$i->change(remote => $remote->section(password => 'wrong'));
	$r = $i->status_is(1, 'wrong password');
	is(scalar(split /\n/, $r->{err}), 1, 'one line') or diag($r->{err});
	unlike($r->{err}, qr/\Qwrong\E$/, 'without the password');
	my $port = Imapsync::Proc::free_port();
	$i->change(remote => $remote->section(port => $port));
	$r = $i->status_is(75, 'nobody listens');
	like($r->{err}, qr/127\.0\.0\.1.*$port/, 'host and port');
	$i->change(remote => $remote->section(host =>
	    'nonexistent.invalid'));
	$r = $i->status_is(75, 'no such host');
	like($r->{err}, qr/nonexistent\.invalid/, 'named');
	$i->change(remote => { type => 'tunnel', command => 'false' });
	$r = $i->status_is(75, 'the tunnel ends at once');
	like($r->{err}, qr/remote/, 'its side');
	$i->change(remote => { type => 'tunnel', command =>
	    '/nonexistent/command' });
	$r = $i->run;
	isnt($r->{status}, 0, 'no such command');
	like($r->{err}, qr/remote/, 'its side');
	my $cut = Imapsync::Relay->new(port => $remote->port,
	    cut => { s2c => 500 });
	$i->change(remote => $remote->section(port => $cut->port));
	$r = $i->status_is(75, 'the server is lost');
	like($r->{err}, qr/remote.*lost/, 'says so');
	$i->change(remote => $remote->section);
	$i->lose_state;
};

subtest 'a state that belongs to nobody yet' => sub {
	# The first configuration is wrong, as first ones are.
	my $host = Imapsync::Imapsync->new(local => $local,
	    remote => $remote->section(username => undef));
	$r = $host->status_is(1, 'without username');
	ok(defined $host->state_file, 'a state was made');
	$host->change(remote => $remote->section);
	$host->sync_ok('with it');
	$host->silent_ok('and again');
};

subtest 'the state belongs to a pair' => sub {
	my $c = $local->client;
	$c->append('INBOX', message(3));
	$c->close;
	$i->sync_ok('first run');
	my $pid = $i->start;
	$i->wait($pid);
	my $other = Imapsync::Server->new(name => 'somebody', daemon => 1,
	    user => 'somebody', password => $secret);
	my $before = slurp($i->state_file);
	$i->change(remote => $other);
	$r = $i->status_is(1, 'another user');
	like($r->{err}, qr/somebody/, 'named');
	ok(slurp($i->state_file) eq $before, 'untouched');
	$i->change(remote => $remote->section);
	spew($i->state_file, 'this is not a database');
	$r = $i->status_is(1, 'a foreign file');
	is(slurp($i->state_file), 'this is not a database', 'untouched');
	$i->lose_state;
};

subtest 'tunnel commands' => sub {
	my $shell = $local->command;
	$i->change(local => { type => 'tunnel', command =>
	    "test -n \"\$HOME\" && exec $shell; exit 1" });
	$i->sync_ok('with shell metacharacters');
	spew("$i->{home}/words", "#!/bin/sh\n[ \"\$2\" = two ] || exit 1\n" .
	    "echo to standard error >&2\nexec $shell\n", 0755);
	$i->change(local => { type => 'tunnel', command =>
	    "$i->{home}/words one  two" });
	$r = $i->sync_ok('split into words');
	like($r->{err}, qr/to standard error/, 'its standard error');
	$i->change(local => { type => 'tunnel', 'null-stderr' => 'YES',
	    command => "$i->{home}/words one two" });
	$i->silent_ok('null-stderr');
	$i->change(local => $local);
};

subtest 'debug and log file' => sub {
	my $c = $local->client;
	my $body = 'a word of the body that nobody must see';
	$c->append('INBOX', "Subject: x\r\n\r\n$body\r\n");
	$c->close;
	$r = $i->sync_ok('--debug', '--debug');
	like($r->{err}, qr/SELECT/, 'traffic');
	unlike($r->{err}, qr/\Q$secret\E/, 'no password');
	unlike($r->{err}, qr/\Q$body\E/, 'no body');
	$c = $local->client;
	$c->append('INBOX', message(1));
	$c->close;
	$i->change(conf => { logfile => "$i->{home}/log",
	    'log-prefix' => '%?n?%?m?%n(%m)&%n?: ?' });
	$r = $i->sync_ok('with logfile');
	like(slurp("$i->{home}/log"), qr/INBOX/, 'it is written');
	ok(-s "$i->{home}/log" && !((stat _)[2] & 077),
	    'nobody else can read it');
	$i->change(conf => { logfile => undef, 'log-prefix' => undef });
};

subtest 'configurations of interimap' => sub {
	my $text = "# a comment\n; another\n\n" .
	    "list-mailbox = \"*\"\n\n" .
	    "# only consider subscribed mailboxes\n" .
	    "list-select-opts = SUBSCRIBED\n\n" .
	    "ignore-mailbox = ^virtual(?:\\x00|\$)\n" .
	    "log-prefix = %?n?%?m?%n(%m)&%n?: ?\n\n" .
	    "[local]\ntype=tunnel\n" .
	    "command = " . $local->command . "\nnull-stderr = YES\n\n" .
	    "[remote]\ntype = imap\nSTARTTLS = NO\nhost = [127.0.0.1]\n" .
	    "#port = 993\nport = " . $remote->port . "\n" .
	    "username = user\npassword = $secret\nauth = PLAIN LOGIN\n" .
	    "compress = YES\nSSL_verify = YES\n" .
	    "SSL_protocol_min = TLSv1.2\n# vim:ft=dosini\n";
	$i->lose_state;
	$i->write_conf($text);
	$i->sync_ok('works unchanged');

	# What stands in front of the sections counts for both.
	$i->lose_state;
	$i->write_conf("password = $secret\nSTARTTLS = NO\n" .
	    ($good =~ s/^(password|STARTTLS) = .*\n//mgr));
	$i->sync_ok('keys of both sections in front of them');
};

done_testing;

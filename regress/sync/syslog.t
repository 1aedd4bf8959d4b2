#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Messages to syslog(3), of the supervisor and of the locked engine.  The log's
# daemon is this test, under a /dev of its own in a mount namespace.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Socket;
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(tmpdir spew slurp is_root which wait_for free_port
    descendants);
use Imapsync::Server;

my $unshare = which('unshare');
my @own = ($unshare // '', '--mount', '--propagation', 'private');

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
if (!$ENV{IMAPSYNC_OWN_DEV}) {
	plan skip_all => 'not root' unless is_root();
	plan skip_all => 'no unshare(1)' unless $unshare;
	plan skip_all => 'no mount namespaces here'
	    if system("@own true 2>/dev/null") != 0;
	$ENV{IMAPSYNC_OWN_DEV} = 1;
	exec @own, $^X, $0 or die "unshare: $!\n";
}

# The few devices that programs need, and no log yet.
my $dir = tmpdir();
mkdir "$dir/dev";
system('mount', '-t', 'tmpfs', 'tmpfs', "$dir/dev") == 0 or
    plan skip_all => 'can\'t mount';
for my $node (qw(null zero full random urandom tty)) {
	spew("$dir/dev/$node", '');
	system('mount', '--bind', "/dev/$node", "$dir/dev/$node");
}
symlink '/proc/self/fd', "$dir/dev/fd";
chmod 0755, "$dir/dev";
system('mount', '--move', "$dir/dev", '/dev') == 0 or
    system('mount', '--bind', "$dir/dev", '/dev') == 0 or
    plan skip_all => 'can\'t mount a /dev';

my $daemon;

sub start_daemon
{
	socket($daemon, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!\n";
	unlink '/dev/log';
	bind($daemon, sockaddr_un('/dev/log')) or die "/dev/log: $!\n";
	chmod 0666, '/dev/log';
}

# All messages that have come.
sub messages
{
	my (@got, $text);

	while (defined recv($daemon, $text, 65536, MSG_DONTWAIT)) {
		push @got, $text;
	}
	return @got;
}

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $c = $remote->client;
$c->append('INBOX', message(1));
$c->close;
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
start_daemon();

my $r = $i->run('--syslog');
is($r->{status}, 0, 'a run with --syslog');
is($r->{err}, '', 'nothing on standard error');
my @got = messages();
# Facility mail is 2: 16 and the severity.
ok((grep { /^<22>.* imapsync\[\d+\]: INBOX: 1 copied to local\n?\z/ } @got),
    'what was done is in the log') or diag(explain(\@got));

$i->change(remote => $remote->section(port => free_port()));
$r = $i->status_is(75, 'nobody listens', '--syslog');
@got = messages();
is(scalar @got, 1, 'one message of the supervisor');
like($got[0], qr/^<19>.* imapsync\[\d+\]: remote: cannot connect/,
    'an error');
like($r->{err}, qr/^remote: cannot connect/, 'on standard error, too');

$i->change(remote => $remote->section);
$i->run('--syslog', '--debug');
is(scalar(grep { /LOGIN|CAPABILITY/ } messages()), 0,
    'what is said to servers is not for the log');

$i->change(conf => { syslog => 'yes' });
$c = $remote->client;
$c->append('INBOX', message(2));
$c->close;
$r = $i->run;
is($r->{err}, '', 'syslog = yes, standard error is no terminal');
ok((grep { /INBOX: 1 copied/ } messages()), 'the same');

subtest 'the daemon goes away' => sub {
	$i->change(conf => { syslog => undef });
	my $pid = $i->start('--syslog', '--watch=1');
	wait_for(20, 'a session', sub {
		descendants($pid) >= 4 && -s $i->state_file });
	sleep 1;
	close $daemon;
	unlink '/dev/log';
	$c = $remote->client;
	$c->append('INBOX', message($_)) for 3 .. 4;
	$c->close;
	wait_for(20, 'the messages', sub {
		my $client = $local->client;
		my $n = $client->status('INBOX')->{MESSAGES};
		$client->close;
		$n == 4 });
	pass('messages are lost, nothing else');
	kill 'TERM', $pid;
	$r = $i->wait($pid);
	is($r->{signal}, 15, 'and it ends as asked');
	unlike($r->{err}, qr/killed/, 'nobody was killed') or
	    diag($r->{err});
};

$r = $i->run('--syslog');
is($r->{status}, 0, 'there never was a daemon');
is($r->{err}, '', 'and nobody complains');

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Tunnels by a real ssh(1) and sshd(8): the README's set-up step by step, and
# what is said if a key, a host or a connection is not what it was.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Pair qw(dovecot put count);
use Imapsync::Proc qw(wait_for slurp spew);
use Imapsync::Server;
use Imapsync::Sshd;
use Imapsync::User;

my $missing = Imapsync::Sshd->missing;
plan skip_all => $missing if $missing;
plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my ($local, $remote) = (dovecot(), dovecot());
my $sshd = Imapsync::Sshd->new;
my $u = Imapsync::User->new;
my $ssh = $u->home . '/.ssh';
put($remote, 3, 'INBOX', 'lists');

# ---- the README's steps 2 to 5 ----

mkdir $ssh, 0700;
Imapsync::Proc::give_away($ssh);
is($u->run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
    "$ssh/id_imapsync")->{status}, 0, 'a key');
my $key = $u->slurp('.ssh/id_imapsync.pub');
$sshd->authorize('restrict,command="' . $remote->command . "\" $key");
# ssh takes "~" from the password file, and not from HOME.
my $ssh_conf = $u->spew('.ssh/config', <<"END");
Host imapsync-mail
    HostName 127.0.0.1
    Port ${\$sshd->port}
    User ${\$sshd->user}
    IdentityFile $ssh/id_imapsync
    IdentitiesOnly yes
    ControlMaster auto
    ControlPath $ssh/%C.sock
    ControlPersist 10m
    UserKnownHostsFile $ssh/known_hosts
    GlobalKnownHostsFile /dev/null
END

sub configure
{
	my (@options) = @_;

	$u->spew('.config/imapsync/config', "[local]\ntype = tunnel\n" .
	    'command = ' . $local->command . "\nnull-stderr = YES\n" .
	    "[remote]\ntype = tunnel\nhost = mail.example.org\n" .
	    "command = ssh -F $ssh_conf @options -T imapsync-mail\n" .
	    "null-stderr = YES\n", 0600);
}
configure();

# A run that fails because of ssh, and shows its words and its status.
sub fails
{
	my ($what, $re, $status) = @_;
	my $r = $u->run('imapsync');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{status}, 75, "$what: exit 75");
	like($r->{err}, qr/^remote: lost the server mail\.example\.org/m,
	    "$what: the server is lost");
	like($r->{err}, qr/^remote: the tunnel command said: .*$re/m,
	    "$what: ssh's words") or diag($r->{err});
	like($r->{err}, qr/^remote: the tunnel command ended with status $status\b/m,
	    "$what: its status");
}

fails('a host that nobody knows', 'Host key verification failed', 255);
my $r = $u->run('sh', '-c', "echo a LOGOUT | ssh -F $ssh_conf " .
    '-o StrictHostKeyChecking=accept-new -T imapsync-mail');
like($r->{out}, qr/^\* PREAUTH /, 'ssh greets with PREAUTH');
$r = $u->run('ssh', '-F', $ssh_conf, '-n', 'imapsync-mail', 'echo', 'hello');
unlike($r->{out}, qr/hello/, 'the key starts nothing else');
like($r->{out}, qr/^\* PREAUTH /, 'but what it is for');

sub accepted { return scalar(() = $sshd->log =~ /^Accepted publickey/mg) }

sub master
{
	my $r = $u->run('ssh', '-F', $ssh_conf, '-O', 'check', 'imapsync-mail');
	return $r->{err} =~ /pid=(\d+)/ ? $1 : 0;
}

my $logins = accepted();
$r = $u->run('imapsync', '--check');
like($r->{out}, qr/^All that is needed is there/m, '--check');
is($u->run('imapsync')->{status}, 0, 'a run');
is(count($local) + count($local, 'lists'), 6, 'all is there');
$r = $u->run('imapsync');
is("$r->{status} $r->{out}$r->{err}", '0 ', 'in sync: not a word');
is(accepted(), $logins, 'all of that was one connection (ControlPersist)');

# ---- the master dies ----

my $master = master();
ok($master, 'ssh keeps its connection');
kill 'KILL', $master;
wait_for(20, 'its end', sub { !kill 0, $master });
put($remote, 1, 'INBOX');
$r = $u->run('imapsync');
is($r->{status}, 0, 'a master that was killed, and left its socket') or
    diag($r->{err});
is(count($local), 4, 'the next run has a new one');
is(accepted(), $logins + 1, 'a second connection');

my $log = $u->path('log');
spew($log, '', 0666);
chmod 0666, $log;
my $pid = Imapsync::Proc::spawn([Imapsync::Proc::as_mail_user(), 'imapsync',
    '--watch=1'], out => $log, err => $log, dir => $u->home,
    env => $u->environment);
put($remote, 1, 'INBOX');
ok(eval { wait_for(30, 'new mail', sub { count($local) == 5 }) },
    'watching through ssh') or diag(slurp($log));
kill 'KILL', master();
ok(eval { wait_for(30, 'the loss', sub {
	slurp($log) =~ /lost the server mail\.example\.org/ }) },
    'a master that dies under it: said') or diag(slurp($log));
put($remote, 1, 'INBOX');
ok(eval { wait_for(60, 'new mail', sub { count($local) == 6 }) },
    'and the next session goes on') or diag(slurp($log));
kill 'TERM', $pid;
Imapsync::Proc::reap($pid, 30);

# ---- what is not as it was ----

configure('-o', 'ControlPath=none');
$sshd->authorize("restrict,command=\"/nonexistent\" $key");
fails('a command that is not there', '/nonexistent', 127);

$sshd->authorize('');
fails('a key that is not taken', 'Permission denied \(publickey\)', 255);

$sshd->stop;
fails('no sshd', 'Connection refused', 255);

$sshd->new_key;
$sshd->start;
fails('another host key', 'Host key verification failed', 255);
$r = $u->run('imapsync');
like($r->{err}, qr/remote: the tunnel command said: .*host key .*changed/mi,
    'and that it has changed') or diag($r->{err});

$u->run('ssh', '-F', $ssh_conf, '-O', 'exit', 'imapsync-mail');
$sshd->stop;
done_testing;

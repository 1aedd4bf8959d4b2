#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What many accounts need: a master user's login, a password-command that knows
# whom it is asked about, a random delay, and servers that are too busy.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp wait_for);
use Imapsync::Server;

my $dir = tmpdir();
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $here = $local->section(tunnel => 1);

# The command notes what it was told, and prints the master's password.
spew("$dir/ask", "#!/bin/sh\nprintf '%s\\n' \"\$IMAPSYNC_SIDE\" " .
    "\"\$IMAPSYNC_HOST\" \"\$IMAPSYNC_USER\" \"\$IMAPSYNC_AUTHZID\" " .
    ">>$dir/asked\necho secret\n", 0755);

sub asked
{
	my @lines = split /\n/, slurp("$dir/asked"), -1;

	unlink "$dir/asked";
	pop @lines;
	return \@lines;
}

subtest 'a master user of Dovecot' => sub {
	plan skip_all => Imapsync::Server->missing('dovecot')
	    if Imapsync::Server->missing('dovecot');
	spew("$dir/masters", "boss:{PLAIN}secret\n", 0644);
	my $server = Imapsync::Server->new(name => 'remote', daemon => 1,
	    conf => "auth_master_user_separator = *\n" .
	    "passdb {\n  driver = passwd-file\n  master = yes\n" .
	    "  args = $dir/masters\n}\n");
	my $i = Imapsync::Imapsync->new(local => $here, remote => {});
	my $client = $server->client;
	my %keys = (password => undef, 'password-command' => "$dir/ask");

	$client->append('INBOX', message(1));
	for my $case (
	    ['authzid, SCRAM', 'SCRAM-SHA-256', username => 'boss',
	    authzid => 'user'],
	    ['authzid, PLAIN', 'PLAIN', username => 'boss',
	    authzid => 'user', auth => 'LOGIN PLAIN'],
	    ['user*master', 'LOGIN', username => 'user*boss',
	    auth => 'LOGIN']) {
		my ($what, $mech, %more) = @$case;

		$i->lose_state;
		$i->change(remote => $server->section(%keys, %more));
		my $r = $i->sync_ok($what, '--debug');
		like($r->{err}, qr/^remote: logged in \($mech[,)]/m,
		    "$what: by $mech");
		is_deeply(asked(), ['remote', '127.0.0.1', $more{username},
		    $more{authzid} // ''], 'the command knows for whom');
		is(scalar(() = $local->store->uids("INBOX")), 1,
		    "$what: the user's mail");
	}
	# The account is the user's, whoever logs in.
	$i->lose_state;
	$i->change(remote => $server->section);
	$i->sync_ok('the user');
	$i->change(remote => $server->section(%keys, username => 'boss',
	    authzid => 'user'));
	$i->sync_ok('the master, with the same state');
	$i->change(remote => $server->section(%keys, username => 'boss',
	    authzid => 'other'));
	my $r = $i->status_is(1, 'another account: not with that state');
	like($r->{err}, qr/other\@127\.0\.0\.1/, 'which is named');
	$i->change(remote => $server->section(username => 'boss',
	    authzid => 'user', password => 'wrong'));
	like($i->status_is(1, 'a wrong password')->{err},
	    qr/refuses the login of boss as user: /, 'both are named');
	$i->change(remote => $server->section(username => 'boss',
	    authzid => 'user', auth => 'LOGIN'));
	like($i->status_is(1, 'LOGIN alone')->{err},
	    qr/offers nothing that can carry the authzid/, 'says why');
	$client->close;
};

# The first login of each run is refused so, or the greeting.
my $busy = 'NO [LIMIT] Too many connections';
sub busy
{
	my ($times, $words, %o) = @_;

	return Imapsync::Model->new(%o, hooks => { LOGIN => sub {
		my ($c, $tag) = @_;
		return 0 if $c->number > $times;
		$c->note('sent away');
		$c->tagged($tag, split / /, $words, 2);
		return 1;
	} });
}

sub object { return decode_json((split /^/, $_[0]{out})[-1]) }

subtest 'a busy server' => sub {
	my $m = busy(1, $busy);
	my $i = Imapsync::Imapsync->new(local => $here,
	    remote => $m->section);
	my $r = $i->status_is(75, 'nobody waits unasked', '--json');

	like($r->{err}, qr/\Aremote: .*Too many connections\n\z/, 'said');
	is(object($r)->{error}{kind}, 'limit', 'and what kind it is');

	$m = busy(1, $busy);
	$i->change(conf => { 'busy-wait' => '10m' }, remote => $m->section);
	my $pid = $i->start('--json');
	wait_for(20, 'the first try', sub { $m->notes });
	wait_for(20, 'the end of the session', sub {
		!$i->roles($pid)->{engine} && !$i->roles($pid)->{store} });
	kill 'USR1', $pid;
	wait_for(20, 'what it does',
	    sub { slurp($i->{run}{$pid}{err}) ne '' });
	kill 'HUP', $pid;	# at once
	$r = $i->wait($pid);
	is($r->{status}, 0, 'it waits, and goes on') or diag($r->{err});
	like($r->{err}, qr/\Awaiting \d+ s before the next try \(a server is /,
	    'which it says if asked');
	unlike($r->{err}, qr/connections/, 'and no more');
	is(scalar(() = $r->{out} =~ /\n/g), 1, 'one object');
	is(object($r)->{error}, undef, 'of the run that was good');

	$m = busy(9, 'NO [UNAVAILABLE] later');
	$i->change(remote => $m->section);
	$pid = $i->start('--json');
	wait_for(20, 'the first try', sub { $m->notes });
	kill 'TERM', $pid;
	$r = $i->wait($pid);
	is($r->{signal}, 15, 'SIGTERM ends it');
	is(object($r)->{error}{kind}, 'interrupted', 'which is said');

	$i->change(conf => { 'busy-wait' => '1s' });
	$r = $i->status_is(75, 'no time for another try', '--json');
	like($r->{err}, qr/\Aremote: .*later\n\z/, 'then it is said');
	is(object($r)->{error}{kind}, 'limit', 'and there is an object');

	$m = busy(9, 'NO [AUTHENTICATIONFAILED] Too many failed logins');
	$i->change(conf => { 'busy-wait' => '10m' }, remote => $m->section);
	$i->status_is(1, 'who is locked out does not try again');
	is(scalar(grep { $_ eq 'sent away' } $m->notes), 1, 'not once');
};

subtest 'random-delay' => sub {
	my $m = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $here,
	    remote => $m->section, conf => { 'random-delay' => '24h' });

	for my $args (['--json'], ['--watch']) {
		my $pid = $i->start(@$args);
		my $text = '';
		# It has its signals once it waits.
		wait_for(20, 'what it does', sub {
			kill 'USR1', $pid if
			    slurp("/proc/$pid/status") =~
			    /^SigCgt:\s*\w*[2367abef]\w\w$/m;
			sleep 0.1;
			($text = slurp($i->{run}{$pid}{err})) ne '' });
		like($text, qr/\Awaiting \d+ s before the run begins /,
		    "@$args: waits");
		is($m->received, '', 'nothing is asked meanwhile');
		is($i->state_file, undef, 'no state is locked');
		kill 'TERM', $pid;
		my $r = $i->wait($pid);
		is($r->{signal}, 15, 'SIGTERM ends it');
		is(object($r)->{error}{kind}, 'interrupted', 'which is said')
		    if $args->[0] eq '--json';
	}
	$i->status_is(0, "@$_: somebody waits", @$_)
	    for ['--dry-run'], ['--status'];
	$i->change(conf => { 'random-delay' => '1s' });
	$i->sync_ok('and then it runs');
};

done_testing;

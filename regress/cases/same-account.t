#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The same account on both sides would double itself in every run: it is refused
# before anything is changed, by the configuration or by what both sides show.
# Servers that only look alike are synchronised.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cert;
use Imapsync::Compare qw(same_content snapshot differences);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Proc qw(give_away);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Sides;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

my $number = 0;

# An account with mail below two references.
sub account
{
	my (%o) = @_;
	my $server = Imapsync::Server->new(name => 'account' . ++$number, %o);
	my $c = $server->client;

	$c->create($_) for 'work/a', 'work/sub/b', 'workshop/c', 'home/d';
	for my $name ('INBOX', 'work/a', 'work/sub/b', 'workshop/c') {
		$c->append($name, message(++$number),
		    date => date_of($number)) for 1 .. 2;
	}
	$c->close;
	return $server;
}

# Refused twice, by a dry run and by a watch, and nothing has changed.
sub refused
{
	my ($what, $server, $local, $remote) = @_;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $server->client;
	my ($r, $before);

	for my $args ([], [], ['--dry-run']) {
		$before = snapshot($server);
		$r = $i->status_is(1, "D6: $what: refused @$args", @$args);
		like($r->{err}, qr/same account/i, "D6: $what: says why");
		is(join("\n", differences($before, snapshot($server))), '',
		    "D6: $what: nothing was changed");
		next if $what =~ /copy by files/;
		$c->append($_, message(++$number)) for 'INBOX', 'work/a';
	}
	$c->close;
	$before = snapshot($server);
	my $pid = $i->start('--watch=1');
	my $w = $i->wait($pid, limit => 5, killed => 1);
	is($w->{status}, 1, "D6: $what: a watch ends");
	is(join("\n", differences($before, snapshot($server))), '',
	    "D6: $what: and it changes nothing");
	return ($i, $r);
}

sub refs
{
	my ($server, $a, $b) = @_;
	return ($server, map { $server->section('list-reference' =>
	    $_ eq '' ? undef : $_) } $a, $b);
}

# ---- by the configuration ----

subtest 'D6: the same command' => sub {
	my $server = account();
	refused('the same command', $server, $server, $server);
};
subtest 'D6: the same host, port and user' => sub {
	my $server = account(daemon => 1);
	refused('the same host, port and user', $server, $server, $server);
	$server->stop;
};
subtest 'D6: a host in capitals' => sub {
	my $server = account(daemon => 1);
	refused('a host in capitals', $server, $server->section(host =>
	    'localhost'), $server->section(host => 'LocalHost'));
	$server->stop;
};
for my $pair (drawn(2, ['', 'work/'], ['work/', ''], ['work/', 'work/'],
    ['work/', 'work/sub/'], ['work/sub/', 'work/'])) {
	my $what = "a reference within the other, '$pair->[0]' and " .
	    "'$pair->[1]'";
	subtest "D6: $what" => sub {
		my $server = account();
		refused($what, refs($server, @$pair));
	};
}
# Nobody listens there: it is seen before anything is connected to.
for my $pair (drawn(2,
    [{}, { port => 993 }], [{ port => 993 }, { port => 'imaps' }],
    [{ type => 'imap', STARTTLS => 'NO' }, { type => 'imap', STARTTLS =>
    'NO', port => 143 }])) {
	my %s = (type => 'imaps', host => '127.0.0.2', username => 'joe',
	    password => 'x');
	my $i = Imapsync::Imapsync->new(local => { %s, %{ $pair->[0] } },
	    remote => { %s, %{ $pair->[1] } });
	my $r = $i->status_is(1, 'D6: the default port, named and not');
	like($r->{err}, qr/same account/i, 'D6: says why');
}

# ---- by what both show ----

# Refused, but for an option that the message names.
sub shown
{
	my ($what, $server, $local, $remote) = @_;
	my ($i, $r) = refused($what, $server, $local, $remote);

	like($r->{err}, qr/--\w[-\w]+/, "D6: $what: names an option");
	return ($i, $r->{err} =~ /(--\w[-\w]+)/);
}

subtest 'D6: two names of one host' => sub {
	my $server = account(daemon => 1);
	shown('two names of one host', $server, $server->section(host =>
	    'localhost'), $server->section(host => '127.0.0.1'));
	$server->stop;
};
subtest 'D6: two ports of one host' => sub {
	my $cert = Imapsync::Cert->new(name => 'ok');
	my $server = account(daemon => 1, cert => $cert);
	shown('two ports of one host', $server, $server, $server->section(
	    type => 'imap', port => $server->port, STARTTLS => 'NO',
	    SSL_CAfile => undef));
	$server->stop;
};
subtest 'D6: a tunnel, and a port behind something' => sub {
	my $server = account(daemon => 1);
	my $relay = Imapsync::Relay->new(port => $server->port);
	my $tunnel = { type => 'tunnel', command => $server->command };
	shown('a tunnel and a port', $server, $tunnel,
	    $server->section(port => $relay->port));
	$server->stop;
};
subtest 'D6: Cyrus, two names' => sub {
	plan skip_all => Imapsync::Server->missing('cyrus')
	    if Imapsync::Server->missing('cyrus');
	my $server = account(kind => 'cyrus', daemon => 1);
	shown('Cyrus', $server, $server->section(host => 'localhost'),
	    $server->section(host => '127.0.0.1'));
	$server->stop;
};

# Nothing gives it away before the first mail is there.
subtest 'D6: an empty account, and its first mail' => sub {
	my $server = Imapsync::Server->new(name => 'empty', daemon => 1);
	my $i = Imapsync::Imapsync->new(local => $server->section(host =>
	    'localhost'), remote => $server->section(host => '127.0.0.1'));
	my $c = $server->client;

	$i->run for 1, 2;
	$c->append('INBOX', message(1));
	for (1, 2) {
		my $r = $i->status_is(1, 'D6: first mail: refused');
		like($r->{err}, qr/same account/i, 'D6: first mail: says why');
		is($c->status('INBOX')->{MESSAGES}, 1,
		    'D6: first mail: not doubled');
	}
	$c->close;
	$server->stop;
};

# A server that is a copy of the other's files: the option is followed.
subtest 'D6: a copy by files' => sub {
	my $server = account();
	my $copy = Imapsync::Server->new(name => 'copy');
	my ($from, $to) = map { $_->dir . '/home/user' } $server, $copy;
	# Messages that are recent on both sides tell that there are two.
	my $client = $server->client;
	$client->select($_) for 'INBOX', 'work/a', 'work/sub/b', 'workshop/c';
	$client->close;
	system('cp', '-a', "$from/Maildir", "$to/") == 0 or die "cp\n";
	my ($i, $option) = shown('a copy by files', $server, $server, $copy);

	my $r = $i->sync_ok('D6: a copy by files: the option goes on',
	    $option // '--missing');
	unlike($r->{err}, qr/copied to/, 'D6: a copy by files: none twice');
	same_content($server, $copy, 'D6: a copy by files: equal');
	my $c = $copy->client;
	is($c->status('INBOX')->{MESSAGES}, 2, 'D6: a copy by files: as many');
	$c->append('INBOX', message(++$number));
	$c->close;
	$i->sync_ok('D6: a copy by files: afterwards without the option');
	same_content($server, $copy, 'D6: a copy by files: and equal');
	$i->silent_ok('D6: a copy by files: nothing is left');
};

# ---- controls ----

# Two models that agree in every number: the UIDVALIDITY of both is the same.
sub models
{
	my ($local, $remote) = @_;
	my @m = map { Imapsync::Model->new(greeting => 'PREAUTH') } 1, 2;

	for my $n (0, 1) {
		$m[$n]->change(sub {
			my ($st) = @_;
			$st->create('Lists');
			($local, $remote)[$n]->($st);
		});
	}
	my $i = Imapsync::Imapsync->new(local => $m[0]->section(tunnel => 1),
	    remote => $m[1]->section);
	return ($i, @m);
}

sub mail
{
	my (@numbers) = @_;
	return sub {
		my ($st) = @_;
		for my $n (@numbers) {
			$st->deliver($n % 2 ? 'INBOX' : 'Lists', message($n),
			    date => date_of($n));
		}
	};
}

sub both_have
{
	my ($what, $want, $i, @m) = @_;

	$i->sync_ok("D6: control: $what: synchronised");
	for my $m (@m) {
		my $st = $m->store;
		is(join(' ', map { scalar(my @u = $st->uids($_)) } 'INBOX',
		    'Lists'), $want, "D6: control: $what: so many there");
	}
	same_content($m[0], $m[1], "D6: control: $what: equal")
	    unless $what =~ /date/;
	$i->silent_ok("D6: control: $what: nothing is left");
}

both_have('numbers alone agree', '4 2', models(mail(1, 2, 3),
    mail(5, 6, 7)));
both_have('empty accounts', '0 0', models(mail(), mail()));
both_have('one message is another', '2 2', models(mail(1, 2, 3),
    mail(1, 6, 3)));
both_have('one has another date', '2 1', models(mail(1, 2, 3), sub {
	mail(1, 2)->($_[0]);
	$_[0]->deliver('INBOX', message(3), date => date_of(9));
}));
both_have('one has one more', '3 1', models(mail(1, 2, 3),
    mail(1, 2, 3, 5)));
both_have('other UIDs', '2 1', models(mail(1, 2, 3), sub {
	$_[0]->deliver('INBOX', message(1), date => date_of(1));
	$_[0]->deliver('Lists', message(2), date => date_of(2));
	$_[0]->deliver('INBOX', message(3), date => date_of(3), uid => 7);
}));

subtest 'D6: control: two parts of one account' => sub {
	for my $pair (['work/', 'workshop/'], ['home/', 'work/sub/']) {
		my $server = account();
		my ($local, $remote) = (refs($server, @$pair))[1, 2];
		my $i = Imapsync::Imapsync->new(local => $local, remote =>
		    $remote);

		$i->sync_ok("D6: control: @$pair: synchronised");
		my $c = $server->client;
		my %names = map { $_->{name} => 1 } $c->list;
		my ($a, $b) = @$pair;
		for my $name (map { s{^\Q$a\E}{}r } grep { /^\Q$a\E./ }
		    keys %names) {
			next if $name =~ m{^INBOX|/};
			ok($names{"$b$name"}, "D6: control: $b$name");
		}
		is($c->status('INBOX')->{MESSAGES}, 2,
		    "D6: control: @$pair: INBOX is as it was");
		$c->close;
		$i->silent_ok("D6: control: @$pair: nothing is left");
	}
};
subtest 'D6: control: two users of one host' => sub {
	my $server = account(daemon => 1);
	my $other = Imapsync::Server->new(name => 'other', daemon => 1,
	    user => 'other');
	my $i = Imapsync::Imapsync->new(local => $server->section,
	    remote => $other->section);
	$i->sync_ok('D6: control: two users: synchronised');
	same_content($server, $other, 'D6: control: two users: equal');
	$i->silent_ok('D6: control: two users: nothing is left');
	$_->stop for $server, $other;
};
done_testing;

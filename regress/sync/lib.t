#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The tools that the other tests rest on: the model server answers as the RFCs
# say, the comparison sees each kind of difference, the relay counts right.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(snapshot differences neutral instant same_content);
use Imapsync::Fake;
use Imapsync::Model;
use Imapsync::Proc qw(spawn alive descendants slurp);
use Imapsync::Relay;
use Imapsync::Server;
use Imapsync::Wire;

# What an untagged answer of that kind says, joined by blanks.
sub told
{
	my ($r, $kind) = @_;

	return map { my @t = @$_; join ' ', map { ref $_ ? "(@$_)" :
	    $_ // 'NIL' } @t } grep { "@$_[0, 1]" =~ /\b$kind\b/ }
	    map { [@$_, ''] } @{ $r->{untagged} };
}

subtest 'tokens' => sub {
	my @t = Imapsync::Wire::tokens('LIST (\A \B) "/" {3}', 'a"b',
	    ' NIL "x\\"y" BODY[HEADER.FIELDS (TO)] (())');
	is_deeply(\@t, ['LIST', ['\A', '\B'], '/', 'a"b', undef, 'x"y',
	    'BODY[HEADER.FIELDS (TO)]', [[]]], 'all kinds');
	is(Imapsync::Wire::make_set(5, 1, 2, 3, 9, 8), '1:3,5,8:9', 'a set');
};

subtest 'names and dates' => sub {
	is(neutral('a.b', '.', ''), 'a|b', 'delimiter');
	is(neutral('inbox', '.', ''), 'INBOX', 'INBOX in any case');
	is(neutral('perso/INBOX', '/', 'perso/'), 'INBOX', 'reference');
	is(neutral('INBOX', '/', 'perso/'), undef, 'not below it');
	is(neutral('INBOX', '.', 'INBOX.'), 'INBOX', 'INBOX as reference');
	is(instant(' 1-Jan-1970 01:00:00 +0100'), 0, 'an instant');
	is(instant('31-Dec-1969 23:00:01 -0130'), 1801, 'another');
};

my $msg = "From: a\@example.org\r\nSubject: one\r\n\r\nbody\r\n";

subtest 'model: messages' => sub {
	my $m = Imapsync::Model->new;
	my $c = $m->client;

	$c->ok('ENABLE QRESYNC');
	is($c->append('INBOX', $msg, flags => '\Seen $Work',
	    date => ' 1-Feb-2024 10:00:00 +0100'), 1, 'APPENDUID');
	$c->append_many('INBOX', map { { body => $msg } } 1 .. 4);
	my $r = $c->ok('SELECT', \'INBOX');
	is_deeply([told($r, 'EXISTS')], ['5 EXISTS '], 'EXISTS');
	$c->ok('UID STORE 2:3 +FLAGS.SILENT (\Deleted)');
	$r = $c->ok('UID EXPUNGE 1:2');
	is_deeply([told($r, 'VANISHED')], ['VANISHED 2 '], 'VANISHED');
	like($r->{code}, qr/^HIGHESTMODSEQ \d+$/, 'HIGHESTMODSEQ');
	$c->ok('UID STORE 4 +FLAGS (\Flagged)');
	$r = $c->ok('UID SEARCH RETURN (ALL COUNT) UID 2:*');
	like((told($r, 'ESEARCH'))[0], qr/UID ALL 3:5 COUNT 3/, 'ESEARCH');
	$r = $c->ok('UID SEARCH RETURN (ALL) UID 100');
	unlike((told($r, 'ESEARCH'))[0], qr/ALL/, 'empty ESEARCH');
	$r = $c->ok('UID FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS ' .
	    '(SUBJECT)])');
	is($r->{untagged}[0][2][5], "Subject: one\r\n\r\n", 'fields');
	$c->ok('CREATE', \'Other');
	$r = $c->ok('UID COPY 3:4', \'Other');
	is($r->{code}, 'COPYUID 1002 3:4 1:2', 'COPYUID');
	$c->close;
	my @all = $m->client->fetch_all('INBOX');
	is_deeply([map { $_->{uid} } @all], [1, 3, 4, 5], 'kept');
	is($all[0]{date}, ' 1-Feb-2024 10:00:00 +0100', 'date kept');
	is($all[0]{body}, $msg, 'body kept');
};

subtest 'model: QRESYNC' => sub {
	my $m = Imapsync::Model->new;
	my $since = $m->change(sub {
		my ($st) = @_;
		$st->deliver('INBOX', $msg) for 1 .. 6;
		my $n = $st->box('INBOX')->{modseq};
		$st->remove('INBOX', 2, 5);
		$st->set_flags('INBOX', 3, '\Seen');
		return $n;
	});
	my $c = $m->client;
	$c->ok('ENABLE QRESYNC');
	my $r = $c->ok("SELECT INBOX (QRESYNC (1001 $since 1:4))");
	is_deeply([told($r, 'VANISHED')], ['VANISHED (EARLIER) 2 '],
	    'vanished, known only');
	is_deeply([map { $_->[2][1] } grep { $_->[1] eq 'FETCH' }
	    @{ $r->{untagged} }], [3], 'changed');
	$r = $c->ok("SELECT INBOX (QRESYNC (999 $since 1:4))");
	is_deeply([told($r, 'VANISHED')], [], 'other UIDVALIDITY: nothing');
	is($c->cmd('SELECT INBOX (QRESYNC (1001 5 1:0))')->{status}, 'BAD',
	    '1:0 is refused');
	$c->close;
};

subtest 'model: LIST' => sub {
	my $m = Imapsync::Model->new(sep => '.');
	my $c = $m->client;

	$c->create($_) for 'a.b', 'a.c d', 'x"y';
	$c->subscribe('a.b');
	my $r = $c->ok('LIST "" * RETURN (SUBSCRIBED STATUS (MESSAGES))');
	is(scalar(told($r, 'STATUS')), 4, 'a STATUS each');
	is_deeply([grep { /Subscribed/ } told($r, 'LIST')],
	    ['LIST (\Subscribed) . a.b '], 'subscribed');
	$r = $c->ok('LIST (SUBSCRIBED) "" ("*" "x")');
	is_deeply([told($r, 'LIST')], ['LIST (\Subscribed) . a.b '],
	    'selector');
	$r = $c->ok('LIST "" a.%');
	is(scalar(told($r, 'LIST')), 2, 'pattern');
	$c->close;
};

subtest 'model: hooks' => sub {
	my $m = Imapsync::Model->new(caps => '-LITERAL+ -MULTIAPPEND +XFOO');
	$m->hooks(
	    select => sub { $_[2]{vanished} = [7, 8]; $_[2]{exists} = 3 },
	    append => sub { return $_[2]{body} =~ /bad/ ?
		'NO [TOOBIG] too big' : undef },
	    literal => sub { $_[2] > 1000 ? 'NO [LIMIT] no' : undef },
	    NOOP => sub { my ($c, $tag) = @_;
		$c->store->deliver('INBOX', $msg);
		$c->tagged($tag, 'OK', 'nth ' . $c->nth); 1 },
	    'UID FETCH' => sub { $_[0]->hang_up });
	my $c = $m->client;
	ok($c->has('XFOO') && !$c->has('LITERAL+'), 'capabilities');
	my $r = $c->ok('SELECT INBOX');
	is_deeply([told($r, 'VANISHED|EXISTS')], ['3 EXISTS ',
	    'VANISHED (EARLIER) 7:8 '], 'select');
	is($c->append_cmd('INBOX', { body => 'bad' })->{code}, 'TOOBIG',
	    'refused behind the literal');
	like($c->append_cmd('INBOX', { body => 'x' x 2000 })->{text},
	    qr/LIMIT/, 'refused ahead of it');
	$c->ok('NOOP');
	$r = $c->ok('NOOP');
	is($r->{text}, 'nth 2', 'counted');
	is_deeply([told($r, 'EXISTS')], ['2 EXISTS '], 'announced');
	ok(!eval { $c->ok('UID FETCH 1:* FLAGS'); 1 }, 'hung up');
	is_deeply([$m->store->uids('INBOX')], [1, 2], 'stored');
	is((grep { /^NOOP/ } $m->commands), 2, 'commands kept');
};

subtest 'fake' => sub {
	my $f = Imapsync::Fake->new(script => sub {
		my ($c) = @_;
		$c->put("* OK hello\r\n");
		my ($tag) = $c->expect(qr/^(\S+) LOGIN/);
		$c->put("$tag OK in\r\n");
		$c->note('in');
		$c->expect(qr/NOOP/);
	});
	my $c = Imapsync::Client->new(port => $f->port, user => 'a',
	    raw => 1);
	ok(!eval { $c->ok('CAPABILITY'); 1 }, 'not what was expected');
	is_deeply([$f->notes], ['in', 'unexpected: t2 CAPABILITY',
	    'died: unexpected: t2 CAPABILITY '], 'notes');
	like($f->received, qr/^t1 LOGIN "a"/, 'octets');
	$c = Imapsync::Client->new(command =>
	    $f->section(tunnel => 1)->{command}, raw => 1);
	is($c->greeting, '* OK hello', 'through a tunnel');
};

subtest 'relay' => sub {
	my $m = Imapsync::Model->new;
	my $relay = Imapsync::Relay->new(port => $m->port, rtt => 0.05,
	    log => 1);
	my $c = Imapsync::Client->new(port => $relay->port, user => 'user',
	    password => 'pass', raw => 1);		# turn 1
	$c->finish($_) for map { $c->start('NOOP') } 1 .. 10;	# turn 2
	$c->ok('NOOP');					# turn 3
	$c->close;					# turn 4
	my $r = $relay->result;
	is($r->{turns}, 4, 'turns');
	is($r->{stalls}, 4, 'stalls');
	is($r->{c2s}, length $relay->octets('c2s'), 'octets');

	# Two turns that overlap are not two stalls.
	$relay = Imapsync::Relay->new(port => $m->port, rtt => 0.2);
	$c = Imapsync::Client->new(port => $relay->port, user => 'user',
	    password => 'pass', raw => 1);
	my $first = $c->start('NOOP');
	select(undef, undef, undef, 0.1);
	my $second = $c->start('NOOP');
	$c->finish($first);
	my $third = $c->start('NOOP');
	$c->finish($_) for $second, $third;
	$c->close;
	$r = $relay->result;
	is($r->{turns}, 4, 'overlapping turns');
	is($r->{stalls}, 3, 'one of them no stall');

	$relay = Imapsync::Relay->new(port => $m->port, log => 1,
	    cut => { c2s => 40 });
	$c = Imapsync::Client->new(port => $relay->port, user => 'user',
	    password => 'pass', raw => 1);
	ok(!eval { $c->ok('NOOP') for 1 .. 9; 1 }, 'cut');
	is(length $relay->octets('c2s'), 40, 'to the octet');
};

subtest 'servers and comparison' => sub {
	my $s = Imapsync::Server->new(name => 'local');
	my $m = Imapsync::Model->new(sep => '.');
	# Only the environment that doveconf(1) makes has this.
	my $tunnel = slurp($s->command);
	like($tunnel, $tunnel =~ /\A#!\/bin\/sh/ ? qr/CONFIG_FILE=/ :
	    qr/\0MAIL_FSYNC=never\0/, 'a tunnel has its configuration');
	my $sc = $s->client;
	my $mc = $m->client;
	my %o = (date => ' 1-Feb-2024 10:00:00 +0100');

	$sc->append('INBOX', $msg, flags => '\Seen $Work', %o);
	$mc->append('INBOX', $msg, flags => '$work \seen',
	    date => ' 1-Feb-2024 09:00:00 +0000');
	$sc->create('a/b');
	$mc->create('a.b');
	$mc->close;
	same_content($s, $m, 'equal', subscriptions => 0);
	$mc = $m->client;
	$mc->store('INBOX', 1, '+FLAGS', '\Answered');
	$sc->append('a/b', $msg, %o) for 1, 2;
	$mc->append('a.b', $msg, %o);
	$mc->create('new');
	$mc->subscribe('a.b');
	$mc->close;
	my @lines = differences(snapshot($s), snapshot($m));
	is(scalar(@lines), 5, 'each difference a line') or diag("@lines");
};

subtest 'a process tree' => sub {
	my $pid = spawn(['sh', '-c', 'sleep 60 & wait']);
	my @below = Imapsync::Proc::wait_for(5, 'the child', sub {
		my @d = descendants($pid);
		return @d ? \@d : undef;
	});
	is(scalar alive(@{ $below[0] }), 1, 'alive');
	kill 'KILL', $below[0][0][0];
	Imapsync::Proc::wait_for(5, 'its end', sub { !alive(@{ $below[0] }) });
	pass('dead');
	Imapsync::Proc::stop($pid);
};

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Flags: merged three ways; what is not kept is named once; neither our own
# changes are news in the next run, nor is a change of others lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total flag_string);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Pair qw(server dovecot);
use Imapsync::Proc qw(tmpdir spew);
use Imapsync::Server;
use Imapsync::Sides;
use Imapsync::Tap;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# Subject => flags, for all messages of the INBOX.
sub flags_of
{
	my ($server) = @_;
	my $c = $server->client;
	my %f = map { $_->{body} =~ /Subject: message (\d+)/; ($1 =>
	    flag_string($_->{flags})) } $c->fetch_all('INBOX');

	$c->close;
	return \%f;
}

# Before, locally changed to, remotely changed to, and what comes of it.
my @merge = (
	['', '\Seen', '\Flagged', '\Seen \Flagged'],
	['', '\Seen', '\Seen', '\Seen'],
	['\Seen', '', '\Seen \Flagged', '\Flagged'],
	['\Seen', '', '', ''],
	['\Seen \Flagged', '\Seen', '\Flagged', ''],
	['\Seen', '\Seen \Answered', '', '\Answered'],
	['\Seen', '\Flagged', '\Answered', '\Flagged \Answered'],
	['', '\Deleted', '', '\Deleted'],
	['\Deleted', '', '\Deleted', ''],
	['\Deleted', '\Deleted', '\Deleted \Seen', '\Deleted \Seen'],
	['one', 'one two', 'three', 'two three'],
	['one two', '', 'one two \Draft', '\Draft'],
	['one', 'two', 'one', 'two'],
	['$Junk a.b', '$NotJunk a.b', '$Junk a.b (c', undef],
	['\Draft', '\Draft', '\Draft', '\Draft'],
);
@merge = grep { defined $_->[3] } @merge;

for my $kinds (['dovecot', 'dovecot'], ['dovecot', 'cyrus'],
    ['cyrus', 'dovecot']) {
	subtest "merged: @$kinds" => sub {
		my ($missing) = grep { Imapsync::Server->missing($_) }
		    @$kinds;
		plan skip_all => Imapsync::Server->missing($missing)
		    if $missing;
		my @server = map { server(kind => $_) } @$kinds;
		my $i = Imapsync::Imapsync->new(local => $server[0],
		    remote => $server[1]);
		my @c = map { $_->client } @server;

		$c[0]->append_many('INBOX', map { { body => message($_),
		    flags => $merge[$_][0], date => date_of($_) } }
		    0 .. $#merge);
		$i->sync_ok('first run');
		$i->quiet_ok('first run');
		for my $n (0 .. $#merge) {
			for my $side (0, 1) {
				my $to = $merge[$n][1 + $side];
				next if $to eq $merge[$n][0];
				$c[$side]->store('INBOX', $n + 1, 'FLAGS',
				    $to);
			}
		}
		$i->sync_ok('changed on both sides');
		for my $side (0, 1) {
			my $have = flags_of($server[$side]);
			is($have->{$_}, flag_string([split ' ',
			    $merge[$_][3]]), "[$merge[$_][0]] to " .
			    "[$merge[$_][1]] and [$merge[$_][2]], $side")
			    for 0 .. $#merge;
		}
		$i->quiet_ok('our own changes');
		same_content(@server, 'equal');
		$_->close for @c;
	};
}

subtest 'differences, grouped' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_), flags =>
	    $_ % 2 ? 'odd' : '' } } 1 .. 20);
	$i->sync_ok('first run');
	$c->store('INBOX', '3:9', '+FLAGS', '\Seen');
	$c->store('INBOX', '5', '-FLAGS', 'odd');
	$i->sync_ok('changed');
	is_deeply([sort grep { /STORE/ } $model->commands],
	    ['UID STORE 3:9 +FLAGS.SILENT (\Seen)',
	    'UID STORE 5 -FLAGS.SILENT (odd)'], 'what was sent');
	$i->quiet_ok('changed');
	$c->close;
};

subtest 'keywords in different case' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	for my $n (1 .. 3) {
		$c->append('INBOX', message($n), flags => '$WORK \Seen',
		    date => date_of($n));
		$model->change(sub { $_[0]->deliver('INBOX', message($n),
		    flags => ['$Work', '\SEEN'], date => date_of($n)) });
	}
	$i->sync_ok('adopted');
	$model->change(sub {
		$_[0]->set_flags('INBOX', 2, '\seen', '$work');
	});
	$i->sync_ok('another case');
	ok(!(grep { /STORE|APPEND/ } $model->commands('all')),
	    'that is no difference');
	$i->quiet_ok('case');
	$c->store('INBOX', '1', '-FLAGS', '$work');
	$model->change(sub { $_[0]->set_flags('INBOX', 3, '\Seen') });
	$i->sync_ok('taken away');
	is_deeply(flags_of($local), { 1 => '\seen', 2 => '$work \seen',
	    3 => '\seen' }, 'here');
	is_deeply(flags_of($model), { 1 => '\seen', 2 => '$work \seen',
	    3 => '\seen' }, 'and there');
	$i->quiet_ok('taken away');
	$c->close;
};

subtest '\Recent' => sub {
	my $local = dovecot();
	my $tap = Imapsync::Tap->new(server => $local);
	my $model = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $tap, remote => $model);

	# From a session that ends at once: \Recent to the next one.
	my $c = $local->client;
	$c->append('INBOX', message($_)) for 1 .. 3;
	$c->close;
	$model->change(sub {
		$_[0]->deliver('INBOX', message(10 + $_), flags =>
		    ['\Recent', '\Seen']) for 1 .. 3;
	});
	$i->sync_ok('first run');
	$c = $local->client;
	$c->store('INBOX', '1', '+FLAGS', '\Flagged');
	$c->close;
	$model->change(sub {
		$_[0]->set_flags('INBOX', 2, '\Recent', '\Answered');
	});
	$i->sync_ok('changes');
	same_content($local, $model, 'equal');
	$i->quiet_ok('recent');
	unlike($_->received, qr/Recent/i, 'never sent') for $tap, $model;
};

subtest 'PERMANENTFLAGS without \*' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$model->change(sub {
		$_[0]->box('INBOX')->{permanent} =
		    '\Deleted \Seen \Flagged known';
	});
	$c->append_many('INBOX', map { { body => message($_), flags =>
	    '\Seen known Lost \Answered' } } 1 .. 3);
	my $r = $i->sync_ok('copied without them');
	is((() = $r->{err} =~ /lost/gi), 1, 'named once') or diag($r->{err});
	like($r->{err}, qr/^INBOX: .*\\Answered/m, 'a system flag, too');
	is(flags_of($model)->{1}, '\seen known', 'what it keeps');
	$i->quiet_ok('copied');
	is(flags_of($local)->{1}, '\answered \seen known lost',
	    'nothing is taken away here');

	$c->store('INBOX', '2', '+FLAGS', '\Flagged later');
	$r = $i->sync_ok('set later');
	is((() = $r->{err} =~ /later/g), 1, 'named once') or diag($r->{err});
	is(flags_of($model)->{2}, '\flagged \seen known', 'what it keeps');
	is(flags_of($local)->{2}, '\answered \flagged \seen known later lost',
	    'all is here');
	$i->quiet_ok('set later');
	ok(!(grep { /later|lost/i } $model->commands('all')), 'never sent');

	# It can be kept from now on, and comes with the next change.
	$model->change(sub {
		$_[0]->box('INBOX')->{permanent} = '\Answered \Flagged ' .
		    '\Deleted \Seen \Draft \*';
	});
	$c->store('INBOX', '2', '+FLAGS', '\Draft');
	$i->sync_ok('a better server');
	is(flags_of($model)->{2}, flags_of($local)->{2}, 'all are set');
	$i->quiet_ok('a better server');
	$c->close;
};

subtest 'a STORE that is refused' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(hooks => { 'UID STORE' => sub {
		my ($s, $tag, undef, undef, $flags) = @_;
		return unless "@$flags" =~ /bad/;
		$s->tagged($tag, 'NO', 'no such keyword');
		return 1;
	} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_) } } 1 .. 3);
	$i->sync_ok('first run');
	$c->store('INBOX', '1:2', '+FLAGS', 'bad \Seen');
	my $r = $i->sync_ok('refused');
	is((() = $r->{err} =~ /no such keyword/g), 1, "the server's words");
	is(flags_of($model)->{1}, '\seen', 'the others are set');
	is(flags_of($local)->{1}, '\seen bad', 'it stays here');
	$c->store('INBOX', '1', '+FLAGS', '\Flagged');
	$i->sync_ok('another change');
	is(flags_of($local)->{1}, '\flagged \seen bad', 'it still stays');
	$model->hooks;
	$c->store('INBOX', '1', '+FLAGS', '\Answered');
	$i->sync_ok('allowed');
	is(flags_of($model)->{1}, '\answered \flagged \seen bad', 'set');
	$i->quiet_ok('allowed');
	$c->close;
};

# What another client does to the server at a certain moment of our run.
my %act = (
	'a flag elsewhere' => sub { $_[0]->store('INBOX', 7, '+FLAGS',
	    '\Flagged') },
	'a flag of the same message' => sub { $_[0]->store('INBOX', 1,
	    '+FLAGS', 'other') },
	'the same flag' => sub { $_[0]->store('INBOX', 1, '+FLAGS',
	    '\Seen') },
	'a flag taken away' => sub { $_[0]->store('INBOX', 9, '-FLAGS',
	    'first') },
	'an expunge' => sub { $_[0]->expunge('INBOX', 8) },
	'a message' => sub { $_[0]->append('INBOX', message(3000)) },
);

# "kept": nothing is expunged by us, so the session of the discovery goes on.
sub meanwhile
{
	my ($kind, $when, $name) = @_;
	my $kept = $when =~ /kept/ ? 1 : 0;
	my ($local, $remote) = (dovecot(), server(kind => $kind));
	my %moment = (
		'ahead of the second SELECT' => sub {
			$_[0] eq 'c2s' && $_[1] =~ / SELECT / },
		'behind it' => sub { $_[0] eq 's2c' &&
		    $_[1] =~ /\[CLOSED\]/ },
		'ahead of APPEND' => sub {
			$_[0] eq 'c2s' && $_[1] =~ / APPEND / },
		'ahead of APPEND, kept' => sub {
			$_[0] eq 'c2s' && $_[1] =~ / APPEND / },
		'ahead of STORE, kept' => sub {
			$_[0] eq 'c2s' && $_[1] =~ / UID STORE / },
		'at the end' => sub {
			$_[0] eq 'c2s' && $_[1] =~ / LOGOUT/ },
	);
	my $armed = tmpdir() . '/armed';
	my $hook = sub {
		my ($t, $way, $data) = @_;
		return $data if !-e $armed || !$moment{$when}->($way, $data);
		return $data if $when =~ /second/ && ++$t->{nth} < 2;
		unlink $armed;
		my $c = $remote->client;
		$act{$name}->($c);
		$c->close;
		$t->note('done');
		return $data;
	};
	my $tap = Imapsync::Tap->new(server => $remote,
	    c2s => sub { $hook->($_[0], 'c2s', $_[1]) },
	    s2c => sub { $hook->($_[0], 's2c', $_[1]) });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $tap);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_), flags =>
	    'first', date => date_of($_) } } 1 .. 10);
	$i->sync_ok('first run');
	$c->store('INBOX', '1', '+FLAGS', '\Seen');
	$c->expunge('INBOX', '4') unless $kept;
	$c->append('INBOX', message(11));
	$c->close;
	spew($armed, '');
	my $r = $i->run;
	is($r->{status}, 0, "$name, $when") or diag($r->{err});
	my @notes = $tap->notes;
	is("@notes", 'done', 'it was done');
	$i->sync_ok('the next run');
	my $snap = same_content($local, $remote, 'nothing is lost');
	is(total($snap, 'INBOX'), 10 + $kept + ($name eq 'a message') -
	    ($name eq 'an expunge'), 'nor doubled');
	$i->quiet_ok('then');
}

for my $kind ('dovecot', 'cyrus') {
	next if Imapsync::Server->missing($kind);
	for my $when ('ahead of the second SELECT', 'behind it',
	    'ahead of APPEND', 'ahead of APPEND, kept', 'ahead of STORE, kept',
	    'at the end') {
		# The whole table at one of the times, a third at the others, and
		# of both a half for Cyrus.
		my $part = $kind eq 'cyrus' ? 2 : 1;
		$part *= 3 if $when ne 'behind it';
		for my $name (drawn($part, sort keys %act)) {
			subtest "$kind: $name, $when" => sub {
				meanwhile($kind, $when, $name);
			};
		}
	}
}

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Mailbox names: delimiters, references, odd characters, selections and
# subscriptions.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Pair qw(pair put);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

my $fs = 'maildir:~/Maildir:LAYOUT=fs';

sub names_of
{
	my ($server) = @_;
	my $c = $server->client;
	my @names = sort map { $_->{name} } $c->list;

	$c->close;
	return @names;
}

my @odd = ('sp ace', 'quo"te', 'back\slash', '[brackets]', '(paren)',
    'per%cent', 'st*ar', 'Entw&APw-rfe', '&ZeVnLIqe-', 'R&-D', '#hash',
    "it's", '{5}', '{5+}', 'NIL', 'a~home', 'semi;colon', '-dash', '+plus',
    'INBOXish', '\\', '"', '=eq', '$dollar', 'two  blanks');

subtest 'odd names, two delimiters' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' });

	put($local, 1, 'a/b/c', map { "l/$_" } @odd);
	put($remote, 1, 'x.y', @odd);
	$i->sync_ok('first run');
	my $snap = same_content($local, $remote, 'equal');
	ok($snap->{$_} && keys %{ $snap->{$_}{messages} } == 1, $_)
	    for 'a|b|c', 'x|y', @odd, map { "l|$_" } @odd;
	$i->silent_ok;
	put($local, 1, 'x/y/z');
	put($remote, 1, 'a.b.d');
	$i->sync_ok('children of what is there');
	same_content($local, $remote, 'equal again');
	$i->silent_ok;
};

subtest 'references' => sub {
	my ($local, $one, $i) = pair(local => { reference => 'perso/' },
	    remote => { sep => '.' });

	put($local, 1, 'perso/INBOX', 'perso/a/b', 'other');
	put($one, 1, 'INBOX', 'c.d');
	$i->sync_ok('below perso/');
	my $snap = same_content($local, $one, 'equal', subscriptions => 0);
	is(keys %{ $snap->{INBOX}{messages} }, 2, 'perso/INBOX is INBOX');
	is_deeply([grep { $_ !~ /^perso/ } names_of($local)],
	    ['INBOX', 'other'], 'nothing elsewhere');
	ok(!grep({ /other|perso/ } names_of($one)), 'nothing of elsewhere');
	$i->silent_ok;

	# A second account on the same local server.
	my $two = Imapsync::Server->new(name => 'work');
	put($two, 1, 'INBOX', 'e');
	$local->{reference} = 'work/';
	$i = Imapsync::Imapsync->new(local => $local, remote => $two);
	$i->sync_ok('a second account');
	same_content($local, $two, 'equal', subscriptions => 0);
	$local->{reference} = 'perso/';
	same_content($local, $one, 'the first as it was', subscriptions => 0);
};

subtest 'INBOX. as reference' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.',
	    prefix => 'INBOX.', reference => 'INBOX.' });

	put($local, 1, 'INBOX', 'a/b');
	put($remote, 1, 'INBOX', 'INBOX.c.d');
	$i->sync_ok('first run');
	my $snap = same_content($local, $remote, 'equal', subscriptions => 0);
	is(keys %{ $snap->{INBOX}{messages} }, 2, 'INBOX is INBOX');
	ok((grep { $_ eq 'INBOX.a.b' } names_of($remote)), 'below INBOX.');
	$i->silent_ok;
};

subtest 'one neutral name twice' => sub {
	my $local = Imapsync::Server->new(name => 'single');
	my $model = Imapsync::Model->new(sep => '.', reference => 'INBOX.');
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);

	put($model, 1, 'INBOX', 'INBOX.INBOX', 'INBOX.ok');
	my $r = $i->status_is(3, 'INBOX.INBOX beside INBOX');
	like($r->{err}, qr/two mailboxes.*"INBOX\."/, 'named');
	my @names = names_of($local);
	ok((grep { $_ eq 'ok' } @names), 'the others go on');
};

subtest 'INBOX in any case' => sub {
	my $local = Imapsync::Server->new(name => 'plain');
	my $model = Imapsync::Model->new(hooks => {
	    list => sub { $_[2]{name} = 'Inbox' if $_[1] eq 'INBOX' } });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);

	put($local, 1, 'INBOX');
	put($model, 1, 'INBOX', 'a');
	$i->sync_ok('Inbox');
	same_content($local, $model, 'equal', subscriptions => 0);
	is_deeply([names_of($local)], ['INBOX', 'a'], 'one INBOX');
	$i->silent_ok;
};

subtest 'names as literals' => sub {
	my $local = Imapsync::Server->new(name => 'quoting');
	my $model = Imapsync::Model->new(hooks => { out => sub {
		my ($c, $line) = @_;
		$line =~ s/^(\* (?:LIST|STATUS) .*?)"(lit[^"]*)"/$1 . '{' .
		    length($2) . "}\r\n$2"/e;
		return $line;
	} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);

	put($model, 1, 'lit eral', 'literal(2)', 'other');
	$i->sync_ok('literals from the server');
	same_content($local, $model, 'equal', subscriptions => 0);
	$i->silent_ok;
};

subtest 'the other delimiter in a name' => sub {
	my ($local, $remote, $i) = pair(local => { location => $fs },
	    remote => { sep => '.' });

	put($local, 1, 'lists.example.org', 'fine');
	put($remote, 1, 'there');
	my $r = $i->status_is(3, 'skipped');
	like($r->{err}, qr/lists\.example\.org/, 'named');
	is((() = $r->{err} =~ /lists\.example\.org/g), 1, 'once');
	same_content($local, $remote, 'the others go on',
	    ignore => qr/^lists/, subscriptions => 0);
	ok(!grep({ /^lists/ } names_of($remote)), 'not made over there');
	$r = $i->status_is(3, 'and again');
	like($r->{err}, qr/lists\.example\.org/, 'still named');
};

subtest 'names that hold no messages' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' });

	put($local, 1, 'p/q/r');	# p and p/q are \NoSelect or absent
	put($remote, 1, 'p.s');
	$i->sync_ok('first run');
	my $snap = same_content($local, $remote, 'equal');
	ok(!$snap->{p} || !$snap->{p}{selectable}, 'p holds none');
	$i->silent_ok;
	put($remote, 1, 'p');
	$i->sync_ok('now it does');
	$snap = same_content($local, $remote, 'equal');
	ok($snap->{p}{selectable}, 'on both');
	$i->silent_ok;

	my $model = Imapsync::Model->new;
	$model->change(sub {
		my ($st) = @_;
		$st->create('gone')->{attrs} = '\NonExistent';
		$st->create('none')->{attrs} = '\NoSelect';
		$st->create('none/child');
		$st->deliver('none/child', message(1));
	});
	my $other = Imapsync::Server->new(name => 'other');
	$i = Imapsync::Imapsync->new(local => $other, remote => $model);
	$i->sync_ok('\NonExistent and \NoSelect');
	same_content($other, $model, 'equal', subscriptions => 0);
	ok(!grep({ $_ eq 'gone' } names_of($other)), 'not made');
	ok(!grep({ /^(SELECT|EXAMINE) "?(gone|none)"?( |$)/ }
	    $model->commands('all')), 'not opened');
	$i->silent_ok;
};

subtest 'subscriptions' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' });

	put($local, 1, 'a', 'b', 'c', 'd/e');
	put($remote, 1, 'f');
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->subscribe($_) for 'a', 'd/e';
	$rc->subscribe('f');
	$i->sync_ok('first run');
	my $snap = same_content($local, $remote, 'equal');
	is_deeply([sort grep { $snap->{$_}{subscribed} } keys %$snap],
	    ['a', 'd|e', 'f'], 'those of both');
	$i->silent_ok;
	$lc->subscribe('b');
	$lc->unsubscribe('f');
	$rc->unsubscribe('a');
	$rc->subscribe('c');
	$i->sync_ok('changes on both sides');
	$snap = same_content($local, $remote, 'equal');
	is_deeply([sort grep { $snap->{$_}{subscribed} } keys %$snap],
	    ['b', 'c', 'd|e'], 'merged');
	$i->silent_ok;
	$_->close for $lc, $rc;
};

subtest 'MAILBOX arguments' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' }, conf => {
	    'list-mailbox' => 'nothing', 'ignore-mailbox' => '.' });

	put($local, 1, 'INBOX', 'a', 'a/b', 'c d', 'e');
	put($remote, 1, 'f.g', 'f.h');
	$i->sync_ok('two of them', 'a/b', 'c d');
	my @names = names_of($remote);
	is_deeply([grep { /^(a\.b|c d|e|a)$/ && $_ ne 'a' } @names],
	    ['a.b', 'c d'], 'only these') or diag("@names");
	$i->sync_ok('a wildcard', 'f/*');
	ok((grep { $_ eq 'f/g' } names_of($local)) &&
	    (grep { $_ eq 'f/h' } names_of($local)), 'both of f/*');
	$i->silent_ok(undef, 'a/b', 'c d', 'f/*');
	my $c = $remote->client;
	is($c->status('INBOX')->{MESSAGES}, 0, 'not the INBOX');
	$c->close;
};

subtest 'list-mailbox' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' }, conf => {
	    'list-mailbox' => 'INBOX "c\x20d" "a\x00%" "q\"q"' });

	put($local, 1, 'INBOX', 'c d', 'a/b', 'a/b/c', 'q"q', 'e');
	put($remote, 1, 'a.x', 'a.x.y', 'z');
	$i->sync_ok('quoted, escaped, \x00');
	is_deeply([grep { $_ ne 'a' } names_of($remote)],
	    [sort 'INBOX', 'a.b', 'a.x', 'a.x.y', 'c d', 'q"q', 'z'],
	    'to the remote server');
	is_deeply([grep { $_ ne 'a' } names_of($local)],
	    [sort 'INBOX', 'a/b', 'a/b/c', 'a/x', 'c d', 'e', 'q"q'],
	    'to the local server');
	$i->silent_ok;
};

subtest 'ignore-mailbox' => sub {
	for my $re ('^virtual(?:\x00|$)', '^virtual(\x00|$)') {
		my ($local, $remote, $i) = pair(remote => { sep => '.' },
		    conf => { 'ignore-mailbox' => $re });

		put($local, 1, 'virtual', 'virtual/a', 'virtually');
		put($remote, 1, 'virtual.b', 'b.virtual');
		$i->sync_ok($re);
		my $c = $remote->client;
		ok(!$c->status('virtual'), 'ignored');
		ok(!$c->status('virtual.a'), 'its child, too');
		is($c->status('virtually')->{MESSAGES}, 1, 'not this one');
		$c->close;
		ok((grep { $_ eq 'b/virtual' } names_of($local)), 'nor this');
		ok(!grep({ $_ eq 'virtual/b' } names_of($local)),
		    'the other way, too');
		$i->silent_ok;
	}
};

subtest 'list-select-opts' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' },
	    conf => { 'list-select-opts' => 'SUBSCRIBED' });

	put($local, 1, 'a', 'b', 'c');
	put($remote, 1, 'a', 'd');
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->subscribe($_) for 'a', 'c';
	$rc->subscribe('d');
	# On the remote server "a" is there, but not subscribed to.
	my $r = $i->sync_ok('first run');
	my @names = names_of($remote);
	ok(!grep({ $_ eq 'b' } @names), 'b is left out');
	ok((grep { $_ eq 'c' } @names), 'c is copied');
	is($rc->status('a')->{MESSAGES}, 2, 'a is not taken for missing');
	is($lc->status('a')->{MESSAGES}, 2, 'a on both');
	is($lc->status('d')->{MESSAGES}, 1, 'd is copied');
	$_->close for $lc, $rc;
	$i->silent_ok;
};

subtest 'a mailbox that is gone' => sub {
	my ($local, $remote, $i) = pair(remote => { sep => '.' });

	put($local, 1, 'a', 'b', 'c');
	$i->sync_ok('first run');
	my ($lc, $rc) = ($local->client, $remote->client);
	$lc->delete('a');
	$lc->append('b', message(77));
	my $r = $i->status_is(3, 'gone on one side');
	like($r->{err}, qr/\ba\b.*(delete|rename)/si, 'advice');
	is($rc->status('a')->{MESSAGES}, 1, 'not deleted over there');
	is($rc->status('b')->{MESSAGES}, 2, 'the others go on');
	ok(!$lc->status('a'), 'not made again');
	$rc->delete('a');
	$r = $i->sync_ok('gone on both');
	like($r->{err}, qr/^[^\n]*\ba\b[^\n]*\n\z/, 'one line');
	$i->silent_ok;
	$_->close for $lc, $rc;
};

done_testing;

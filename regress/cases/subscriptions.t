#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Subscriptions: those of a stopped mailbox stay as they are, and a side that has
# lost its list of them does not take the other's along.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Server;
use Imapsync::Watch;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

# In sync, with so many mailboxes, all of them subscribed on both.
sub pair
{
	my ($what, @names) = @_;
	my %s;

	for my $side ('local', 'remote') {
		$s{$side} = Imapsync::Server->new(name => $side . ++$number);
		$s{c}{$side} = $s{$side}->client;
	}
	for my $name (@names) {
		$s{c}{'local'}->create($name);
		$s{c}{'local'}->subscribe($name);
		$s{c}{'local'}->append($name, message($_), date => date_of($_))
		    for 1 .. 3;
	}
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	$s{i}->sync_ok("E10: $what: in sync");
	return \%s;
}

# The names that are subscribed there, of those given.
sub subscribed
{
	my ($c, @names) = @_;
	my %is = map { $_->{name} => $_->{subscribed} } $c->list;

	return join ' ', grep { $is{$_} } @names;
}

sub files { my ($s, $side) = @_; return $s->{$side}->dir . '/home/user/Maildir' }

# ---- a mailbox that is stopped ----

for my $side (sides('local', 'remote')) {
	my $other = $side eq 'local' ? 'remote' : 'local';
	# How it comes to be stopped, and what the line has.
	my %how = (
		'another UIDVALIDITY' => [sub {
			my ($s, $c) = @_;
			$c->delete('Work');
			sleep 2;	# another second, another UIDVALIDITY
			$c->create('Work');
			$c->append('Work', message(1), date => date_of(1));
		}, qr/UIDVALIDITY/],
		'gone' => [sub {
			my ($s, $c) = @_;
			$c->delete('Work');
		}, qr/gone/],
		'gone in another way' => [sub {
			my ($s, $c) = @_;
			$c->rename('Work', 'Elsewhere');
		}, qr/gone/],
	);
	for my $what (sort keys %how) {
		my ($do, $re) = @{ $how{$what} };
		my $s = pair("$what, $side", 'Work', 'Other');
		my $c = $s->{c}{$side};

		$do->($s, $c);
		$c->cmd('UNSUBSCRIBE', \'Work');
		my $r;
		for my $n (1, 2) {
			$r = $s->{i}->status_is(3,
			    "E10: $what, $side: stopped, run $n");
			like($r->{err}, qr/^Work: .*\b$side\b/m,
			    "E10: $what, $side: named, run $n");
			like($r->{err}, $re, "E10: $what, $side: run $n");
			unlike($r->{err}, qr/^Work: .*subscribed on/m,
			    "E10: $what, $side: nothing of subscriptions");
			is(subscribed($s->{c}{$other}, 'Work'), 'Work',
			    "E10: $what, $side: it stays subscribed, run $n");
		}
		# A new subscription there is not carried over, either.
		$c->cmd('SUBSCRIBE', \'Work');
		$s->{c}{$other}->unsubscribe('Work');
		$s->{i}->status_is(3, "E10: $what, $side: and reversed");
		is(subscribed($s->{c}{$other}, 'Work'), '',
		    "E10: $what, $side: nothing was subscribed to");
		next unless $what =~ /UIDVALIDITY/;
		$s->{i}->sync_ok("E10: $what, $side: adopted", '--adopt',
		    'Work');
		$s->{i}->silent_ok("E10: $what, $side: nothing is left");
		same_content($s->{'local'}, $s->{remote},
		    "E10: $what, $side: equal");
	}
}

# A mailbox with a fault that is found later than the list: it is judged first.
my $model = Imapsync::Model->new;
my $dovecot = Imapsync::Server->new(name => 'dovecot');
my $i = Imapsync::Imapsync->new(local => $dovecot, remote => $model);
$model->change(sub {
	my ($st) = @_;
	$st->create('Work');
	$st->box('Work')->{subscribed} = 1;
	$st->deliver('Work', message($_), date => date_of($_)) for 1 .. 6;
});
$i->sync_ok('E10: other messages: in sync');
$model->change(sub {
	my ($st) = @_;
	my $box = $st->box('Work');
	$box->{messages}[$_]{body} = message(50 + $_) for 0 .. 4;
	$st->remove('Work', 6);
	$box->{subscribed} = 0;
});
my $r = $i->status_is(3, 'E10: other messages: stopped');
like($r->{err}, qr/^Work: .*\bremote\b/m, 'E10: other messages: named');
my $c = $dovecot->client;
is(subscribed($c, 'Work'), 'Work', 'E10: other messages: stays subscribed');
$c->close;

# ---- the guard ----

my @eight = map { "box$_" } 1 .. 8;

for my $side (sides('local', 'remote')) {
	my $other = $side eq 'local' ? 'remote' : 'local';
	my $what = "the list of $side is lost";
	my $s = pair($what, @eight);
	unlink files($s, $side) . '/subscriptions' or die "unlink: $!\n";
	$s->{c}{$side}->append('box1', message(20));
	$s->{c}{$other}->subscribe('INBOX');
	for my $n (1, 2) {
		my $r = $s->{i}->status_is(3, "E10: $what: held, run $n");
		like($r->{err}, qr/\b8\b.*\bsubscri.*\b$side\b|
		    \bsubscri.*\b8\b.*\b$side\b|\b$side\b.*\b8\b.*subscri/x,
		    "E10: $what: how many, and where");
		like($r->{err}, qr/--allow-delete/,
		    "E10: $what: and how to go on");
		is(subscribed($s->{c}{$other}, @eight), "@eight",
		    "E10: $what: all stay, run $n");
	}
	is($s->{c}{$other}->status('box1')->{MESSAGES}, 4,
	    "E10: $what: messages go on");
	is(subscribed($s->{c}{$side}, 'INBOX'), 'INBOX',
	    "E10: $what: new subscriptions go on");
	my $w = Imapsync::Watch->new($s->{i}, '--watch=1');
	eval { $w->ready };
	sleep 3;
	$w->end('TERM');
	is(subscribed($s->{c}{$other}, @eight), "@eight",
	    "E10: $what: all stay in a watch");
	$s->{i}->sync_ok("E10: $what: the advice is followed",
	    '--allow-delete');
	is(subscribed($s->{c}{$other}, @eight), '',
	    "E10: $what: now they are gone");
	same_content($s->{'local'}, $s->{remote}, "E10: $what: equal");
	$s->{i}->silent_ok("E10: $what: nothing is left");
}

# The file comes back: nothing is to be done.
my $s = pair('the list is back', @eight);
my $file = files($s, 'local') . '/subscriptions';
rename $file, "$file.away" or die "rename: $!\n";
$s->{i}->status_is(3, 'E10: the list is back: held');
rename "$file.away", $file or die "rename: $!\n";
$s->{i}->silent_ok('E10: the list is back: nothing to do');
same_content($s->{'local'}, $s->{remote}, 'E10: the list is back: equal');

# Controls: what a person does.
for my $how ([5, 8, 'five of eight'], [6, 14, 'six of fourteen'],
    [5, 5, 'five of five']) {
	my ($n, $all, $what) = @$how;
	my @names = map { "box$_" } 1 .. $all;
	$s = pair($what, @names);
	$s->{c}{'local'}->unsubscribe($_) for @names[0 .. $n - 1];
	$s->{i}->sync_ok("E10: control: $what: carried over");
	is(subscribed($s->{c}{remote}, @names), join(' ',
	    @names[$n .. $all - 1]), "E10: control: $what: as there");
	$s->{i}->silent_ok("E10: control: $what: nothing is left");
}
# New subscriptions have no guard.
$s = pair('many new ones');
$s->{c}{'local'}->create($_) for @eight;
$s->{i}->sync_ok('E10: control: many new ones: created');
$s->{c}{'local'}->subscribe($_) for @eight;
$s->{i}->sync_ok('E10: control: many new ones: subscribed');
is(subscribed($s->{c}{remote}, @eight), "@eight",
    'E10: control: many new ones: as there');
done_testing;

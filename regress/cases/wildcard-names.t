#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A list that leaves something out: names that look like patterns are asked for
# all the same, and the hierarchy delimiter is known where a list is empty.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content snapshot);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Tap;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

sub dovecot
{
	my ($name, @o) = @_;
	return Imapsync::Server->new(name => $name . ++$number, @o);
}

sub subscribed
{
	my ($c, $name) = @_;
	my ($box) = grep { $_->{name} eq $name } $c->list;

	return $box && $box->{subscribed} ? 1 : 0;
}

# ---- E5 ----

my @odd = ('50%', 'a*b', '%', '*', 'x%/y', '%%50**', 'In%box');

# Unsubscribed on one side, the other still lists it; what a pattern of that name
# would also match stays out of it.
for my $side (sides('local', 'remote')) {
	my ($local, $remote) = (dovecot('local'), dovecot('remote'));
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my ($here, $there) = $side eq 'local' ? ($lc, $rc) : ($rc, $lc);
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => { 'list-select-opts' => 'SUBSCRIBED' });

	for my $name (@odd) {
		$lc->create($name);
		$lc->subscribe($name);
		$lc->append($name, message(++$number));
	}
	for my $decoy ('500', 'acb', 'x1/y', 'z') {
		$here->create($decoy);
		$here->append($decoy, message(++$number));
	}
	$i->run;
	$i->sync_ok("E5: $side: in sync");
	for my $name (@odd) {
		$here->unsubscribe($name);
		$there->append($name, message(++$number));
		my $r = $i->sync_ok("E5: $side: \"$name\" unsubscribed");
		unlike($r->{err}, qr/gone|--delete/,
		    "E5: $side: \"$name\" is not gone");
		is(($here->status($name) // {})->{MESSAGES}, 2,
		    "E5: $side: \"$name\" has its new message");
		is(subscribed($there, $name), 0,
		    "E5: $side: \"$name\" is unsubscribed on the other");
		$i->silent_ok("E5: $side: \"$name\": nothing is left");
	}
	for my $decoy ('500', 'acb', 'x1/y', 'z') {
		ok(!$there->status($decoy), "E5: $side: $decoy is left out");
	}
	$_->close for $lc, $rc;
}

# The same where patterns choose, and one that is really gone.
for my $how (['gone', 3], ['there', 0]) {
	my ($what, $status) = @$how;
	my ($local, $remote) = (dovecot('local'), dovecot('remote'));
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => { 'list-select-opts' => 'SUBSCRIBED',
	    'list-mailbox' => '5* INBOX' });

	for my $name ('50%', '501') {
		$lc->create($name);
		$lc->subscribe($name);
		$lc->append($name, message(++$number));
	}
	$i->run;
	$i->sync_ok("E5: patterns, $what: in sync");
	$lc->unsubscribe('50%');
	$lc->delete('50%') if $what eq 'gone';
	$lc->append('501', message(++$number));
	my $r = $i->status_is($status, "E5: patterns, $what");
	like($r->{err}, qr/^50%: .*gone.*\blocal\b/m,
	    'E5: one that is gone is named') if $what eq 'gone';
	unlike($r->{err}, qr/^50%: .*gone/m, 'E5: one that is there is not')
	    if $what eq 'there';
	is($rc->status('501')->{MESSAGES}, 2, 'E5: the others go on');
	is($rc->status('50%')->{MESSAGES}, 1, 'E5: nothing is deleted');
	$_->close for $lc, $rc;
}

# ---- E6 ----

# A tap that notes whether the delimiter is asked for in the packet of the list.
sub asking
{
	my ($server) = @_;

	return Imapsync::Tap->new(server => $server, reference =>
	    $server->reference, c2s => sub {
		my ($t, $data) = @_;
		my $ask = $data =~ /^\S+ LIST "?[^"\s]*"? ""\r$/m;
		$t->note($data =~ / LIST .* RETURN / ? 'together' : 'alone')
		    if $ask && !$t->{asked}++;
		return $data;
	});
}

# Nested mailboxes into a side that lists nothing.
sub nested
{
	my ($what, $from, $to, $side, %conf) = @_;
	my $tap = asking($to);
	my $i = Imapsync::Imapsync->new($side => $tap, ($side eq 'local' ?
	    'remote' : 'local') => $from, conf => \%conf);
	my $c = $from->client;
	my ($sep, $ref) = ($from->sep, $from->reference);

	for my $name ("a${sep}b${sep}c", 'd') {
		$c->create("$ref$name");
		$c->subscribe("$ref$name");
		$c->append("$ref$name", message(++$number));
	}
	$c->close;
	my $r = $i->sync_ok("E6: $what: the first run");
	unlike($r->{err}, qr/delimiter|skipped/, "E6: $what: nothing skipped");
	# A pattern of which it is a part must have it first; "INBOX." tells it.
	is(($tap->notes)[0] // 'not', 'together',
	    "E6: $what: the delimiter is asked for in the packet of LIST")
	    unless $what =~ /with the delimiter|Cyrus/;
	$i->run;	# parents that CREATE has made
	same_content($from, $to, "E6: $what: equal");
	$i->silent_ok("E6: $what: nothing is left");
}

for my $side (sides('local', 'remote')) {
	nested("an empty reference, $side", dovecot('from', sep => '.'),
	    dovecot('to', reference => 'work/'), $side);
	nested("an empty reference, the same delimiter, $side",
	    dovecot('from'), dovecot('to', reference => 'work/'), $side);
	nested("empty references of another delimiter, $side",
	    dovecot('from', reference => 'home/'), dovecot('to', sep => '.',
	    reference => 'work.'), $side);
	nested("nothing subscribed, $side", dovecot('from', sep => '.'),
	    dovecot('to'), $side, 'list-select-opts' => 'SUBSCRIBED');
	nested("nothing matches, $side", dovecot('from', sep => '.'),
	    dovecot('to'), $side, 'list-mailbox' => '"a*" d');
	nested("a pattern with the delimiter, $side", dovecot('from',
	    sep => '.'), dovecot('to'), $side,
	    'list-mailbox' => '"a\x00*" d a');
}
SKIP: {
	my $why = Imapsync::Server->missing('cyrus');
	skip($why, 1) if $why;
	nested('Cyrus, INBOX. with nothing below', dovecot('from'),
	    Imapsync::Server->new(name => 'cyrus', kind => 'cyrus', sep => '.',
	    prefix => 'INBOX.', reference => 'INBOX.'), 'remote');
}
done_testing;

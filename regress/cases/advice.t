#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Messages that give advice: it is followed, as it stands in the line, and helps.
# (gone-advice.t has those on mailboxes that are gone.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Advice qw(advice);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

# A Dovecot and a model in sync, with a mailbox of that name.
sub pair
{
	my ($name, %o) = @_;
	my $local = Imapsync::Server->new(name => 'local' . ++$number);
	my $model = Imapsync::Model->new(%o);
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);

	$model->change(sub {
		my ($st) = @_;
		$st->create($name);
		$st->deliver($name, message($_), date => date_of($_))
		    for 1 .. 6;
	});
	$i->sync_ok("E: \"$name\": in sync");
	return ($local, $model, $i);
}

# It stops, says what to do, and that is done.
sub adopts
{
	my ($what, $name, $re, $local, $model, $i) = @_;
	my $r = $i->status_is(3, "E: $what: it is stopped");

	like($r->{err}, qr/^\Q$name\E: .*\bremote\b/m,
	    "E: $what: mailbox and server");
	like($r->{err}, $re, "E: $what: what was found");
	my @args = advice($r->{err}, '--adopt');
	is($args[1], $name, "E: $what: the advice can be copied");
	$i->status_is(3, "E: $what: as long as nobody follows it");
	$i->sync_ok("E: $what: followed", @args ? @args : '--adopt');
	same_content($local, $model, "E: $what: equal");
	$i->silent_ok("E: $what: nothing is left");
}

my @names = ('Work', 'Old mail', "it's \"so\"", '$HOME/`x`;y');
for my $name (@names) {
	my @s = pair($name);
	$s[1]->change(sub { $_[0]->box($name)->{uidvalidity} = 99 });
	adopts("UIDVALIDITY, $name", $name, qr/UIDVALIDITY.*99/, @s);
}

my @s = pair('Old mail', caps => '+OBJECTID');
$s[1]->change(sub {
	$_[0]->box('Old mail')->{mailboxid} = 'Mother';
	$_[0]->deliver('Old mail', message(7));
});
adopts('MAILBOXID', 'Old mail', qr/MAILBOXID/, @s);

@s = pair('Old mail');
$s[1]->change(sub {
	my $box = $_[0]->box('Old mail');
	pop @{ $box->{messages} };
	$box->{uidnext} = 6;
});
adopts('UIDNEXT', 'Old mail', qr/UIDNEXT/, @s);

@s = pair('Old mail');
$s[1]->change(sub { $_[0]->box('Old mail')->{modseq} = 2 });
adopts('HIGHESTMODSEQ', 'Old mail', qr/HIGHESTMODSEQ/, @s);

# A second look shows other messages than the state knows.
@s = pair('Old mail');
$s[1]->change(sub {
	my ($st) = @_;
	my $box = $st->box('Old mail');
	$box->{messages}[$_]{body} = message(50 + $_) for 0 .. 4;
	$st->remove('Old mail', 6);
});
adopts('other messages', 'Old mail', qr/other messages/, @s);

# The guard.
{
	my ($local, $model, $i) = pair('Work');
	$model->change(sub {
		$_[0]->deliver('Work', message(100 + $_)) for 1 .. 30;
	});
	$i->sync_ok('E: the guard: in sync');
	$model->change(sub { $_[0]->remove('Work', $_[0]->uids('Work')) });
	my $r = $i->status_is(3, 'E: the guard');
	my @args = advice($r->{err}, '--allow-delete', 0);
	is("@args", '--allow-delete', 'E: the guard: the advice');
	$i->sync_ok('E: the guard: followed', @args);
	same_content($local, $model, 'E: the guard: equal');
	$i->silent_ok('E: the guard: nothing is left');
}

# Names that one side can't have: left out, or renamed.
my $local = Imapsync::Server->new(name => 'slash',
    location => 'maildir:~/mail:LAYOUT=fs:INBOX=~/inbox');
my $remote = Imapsync::Server->new(name => 'dot', sep => '.');
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
my $c = $local->client;
$c->create('lists.example.org');
$c->append('lists.example.org', message(1));
my $r = $i->status_is(3, 'E: a name with a delimiter');
like($r->{err}, qr/^lists\.example\.org: .*\bremote\b.*'\.'/m,
    'E: a name with a delimiter: who, and why');
like($r->{err}, qr/ignore-mailbox/, 'E: a name with a delimiter: the advice');
$i->change(conf => { 'ignore-mailbox' => '^lists\.example\.org$' });
$i->sync_ok('E: a name with a delimiter: left out');
$i->change(conf => { 'ignore-mailbox' => undef });
$c->rename('lists.example.org', 'lists');
$i->sync_ok('E: a name with a delimiter: renamed');
same_content($local, $remote, 'E: a name with a delimiter: equal');
$i->silent_ok('E: a name with a delimiter: nothing is left');
done_testing;

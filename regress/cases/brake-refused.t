#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch and a server that goes on refusing: it is tried again after a while
# and not at once, said once, and everything else goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Brake;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(spew give_away);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $acl = "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl " .
    "imap_acl\n}\nplugin {\n  acl = vfile\n}";
my $brake = Imapsync::Brake->new;
my $number = 0;

# Two Dovecots behind relays, in sync: INBOX with five, Other, Watched.
sub pair
{
	my (%o) = @_;
	my %s;

	for my $side ('local', 'remote') {
		my $server = Imapsync::Server->new(name => $side . ++$number,
		    conf => $acl);
		$s{$side} = Imapsync::Edit->new(server => $server,
		    $o{side} eq $side ? (command => $o{command}) : ());
	}
	my $c = $s{'local'}->client;
	$c->append('INBOX', message($_)) for 1 .. 5;
	$c->create($_) for 'Other', 'Watched';
	$c->subscribe('Watched');
	$c->close;
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	$s{i}->sync_ok("$o{what}: in sync");
	$s{to} = $s{$o{side}};
	$s{from} = $s{$o{side} eq 'local' ? 'remote' : 'local'};
	return %s;
}

# A message elsewhere, on the server that refuses.
sub elsewhere
{
	my ($from, $to, $name) = @_;
	my $c = $from->client;

	$c->append($name, message(1000 + ++$number));
	$c->close;
	my $other = $to->client;
	my $want = $other->status($name)->{MESSAGES} + 1;
	return sub { $other->status($name)->{MESSAGES} == $want };
}

# A change on one side that the other refuses to follow.
sub scenario
{
	my ($side, $args, %o) = @_;
	my $what = "D1: $o{what}, $side, $args";
	my %s = pair(%o, side => $side, what => $what);

	$o{setup}->($s{to}) if $o{setup};
	$brake->add(what => $what, i => $s{i}, args => [$args],
	    edits => [@s{'local', 'remote'}], few => $o{few},
	    once => $o{once} && $o{once}->($side), words => $o{words},
	    begin => sub {
		my $c = $s{from}->client;
		$s{to}->raise('refuse');
		$o{begin}->($c);
		$c->close;
	    }, change => sub {
		elsewhere(@s{'to', 'from'}, $args eq '--notify' ? 'Watched' :
		    'INBOX');
	    }, after => sub { after($side, \%s, %o) });
}

# What is refused stays undone, exit 3; once it is allowed nothing is left.
sub after
{
	my ($side, $s, %o) = @_;
	return $o{after}->($s) if $o{after};
	my $r = $s->{i}->status_is(3, 'D1: it is still undone');

	like($r->{err}, $o{still} // $o{once}->($side), 'D1: and named');
	$o{allow}->($s->{to}) if $o{allow};
	$s->{to}->hooks;
	$s->{i}->sync_ok('D1: allowed', '--retry');
	same_content(@$s{qw(local remote)}, 'D1: equal');
	$s->{i}->silent_ok('D1: nothing is left');
}

# A flag that a server does not keep: the other one keeps it all the same.
sub kept
{
	my ($s) = @_;
	my $c = $s->{from}->client;
	my ($m) = grep { $_->{uid} == 2 } $c->fetch_all('INBOX');

	like("@{ $m->{flags} }", qr/Flagged/, 'D1: the flag is where it was');
	$c->close;
}

# The lines that are expected: the mailbox, the server, the message.
sub inbox
{
	my ($uid) = @_;
	return sub { qr/^INBOX: (?=.*\b$_[0]\b).*\bUIDs? $uid\b.*$/m };
}

sub named
{
	my ($name) = @_;
	return sub { qr/^$name: .*\b$_[0]\b.*Permission denied.*$/m };
}

sub refuse
{
	my ($re) = @_;
	return sub {
		my ($t, $line) = @_;
		return $t->flag('refuse') && $line =~ $re ?
		    'NO [NOPERM] Permission denied' : undef;
	};
}

# INBOX as its owner may use it, from the next session on.
sub acl
{
	my ($server, $rights) = @_;
	my $file = $server->{server}->dir .
	    '/home/user/Maildir/dovecot-acl';

	return unlink $file unless defined $rights;
	spew($file, "owner $rights\n");
	give_away($file);
}

for my $side (sides('local', 'remote')) {
	scenario($side, $_, what => 'no right to expunge',
	    setup => sub { acl($_[0], 'lrwstik') },
	    begin => sub { $_[0]->expunge('INBOX', '2') },
	    few => qr/^UID EXPUNGE/, once => inbox(2),
	    allow => sub { acl($_[0]) }) for '--watch=3600', '--notify';
	scenario($side, $_, what => 'no right to change flags',
	    setup => sub { acl($_[0], 'lrike') },
	    begin => sub { $_[0]->store('INBOX', '2', '+FLAGS', '\Flagged') },
	    few => qr/^UID STORE/, after => \&kept,
	    once => sub { qr/^INBOX: (?=.*\Q$_[0]\E).*\\Flagged.*$/m })
	    for '--watch=3600', '--notify';
	scenario($side, '--notify', what => 'no right but to read',
	    setup => sub { acl($_[0], 'lr') },
	    begin => sub {
		$_[0]->store('INBOX', '2', '+FLAGS', '\Flagged');
		$_[0]->expunge('INBOX', '3');
		$_[0]->append('INBOX', message(6));
	    }, few => qr/^(?:UID STORE|UID EXPUNGE|APPEND)/,
	    allow => sub { acl($_[0]) }, still => qr/^INBOX: .*$side/m,
	    words => sub {
		like($_[0], qr/^INBOX: .*\b$side\b.*Permission denied/m,
		    'D1: it is named');
		unlike($_[0], qr/^INBOX: .*(?:changed|deleted) on $side/m,
		    'E1: nothing is told as done that was not');
	    });
}
my %sides = ('local' => '--watch=3600', remote => '--notify');
for my $side (sort keys %sides) {
	my $args = $sides{$side};

	scenario($side, $args, what => 'EXPUNGE is refused',
	    command => refuse(qr/ UID EXPUNGE /), few => qr/^UID EXPUNGE/,
	    begin => sub { $_[0]->expunge('INBOX', '2') }, once => inbox(2));
	scenario($side, $args, what => 'STORE is refused',
	    command => refuse(qr/ UID STORE /), few => qr/^UID STORE/,
	    begin => sub { $_[0]->store('INBOX', '2', '+FLAGS', '\Flagged') },
	    once => named('INBOX'), after => \&kept);
	scenario($side, $args, what => 'APPEND is refused',
	    command => refuse(qr/ APPEND /), few => qr/^APPEND/,
	    begin => sub { $_[0]->append('INBOX', message(6)) },
	    once => inbox(6), still => qr/^INBOX: |1 message is refused/m);
	my $often = $args eq '--notify' ? $args : '--watch=2';
	scenario($side, $often, what => 'a mailbox can not be opened',
	    command => refuse(qr/ (?:SELECT|EXAMINE) "?Other/),
	    few => qr/^(?:SELECT|EXAMINE) "?Other/,
	    begin => sub { $_[0]->append('Other', message(6)) },
	    once => named('Other'));
	scenario($side, $often, what => 'CREATE is refused',
	    command => refuse(qr/ CREATE /), few => qr/^CREATE/,
	    begin => sub { $_[0]->create('New') }, once => named('New'));
	scenario($side, $often, what => 'SUBSCRIBE is refused',
	    command => refuse(qr/ SUBSCRIBE /), few => qr/^SUBSCRIBE/,
	    begin => sub { $_[0]->subscribe('Other') },
	    once => named('Other'));
	scenario($side, $often, what => 'UNSUBSCRIBE is refused',
	    command => refuse(qr/ UNSUBSCRIBE /), few => qr/^UNSUBSCRIBE/,
	    begin => sub { $_[0]->unsubscribe('Watched') },
	    once => named('Watched'));
}
$brake->judge;
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --retry weighs again what was never copied.  What was copied and then deleted on
# purpose does not come back by it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

sub pair
{
	my (%conf) = @_;
	my %s = map { $_ => Imapsync::Server->new(name => $_ . ++$number) }
	    'local', 'remote';
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote}, conf => \%conf);
	$s{c}{$_} = $s{$_}->client for 'local', 'remote';
	return \%s;
}

# The numbers of the messages that are there.
sub there
{
	my ($c, $name) = @_;
	my @n = map { $_->{body} =~ /^Subject: message (\d+)/m ? $1 : '?' }
	    $c->fetch_all($name // 'INBOX');

	return join ' ', sort { $a <=> $b } @n;
}

# As it is on both sides, after runs with --retry and without.
sub stays
{
	my ($s, $what, %want) = @_;

	for my $args (['--retry'], [], ['--retry']) {
		$s->{i}->sync_ok("E12: $what: @$args", @$args);
		is(there($s->{c}{$_}), $want{$_}, "E12: $what: $_, @$args")
		    for 'local', 'remote';
	}
}

# Deleted on one side, kept on the other, since deletions are not propagated.
for my $side (sides('local', 'remote')) {
	my $other = $side eq 'local' ? 'remote' : 'local';
	for my $propagate ('new flags', 'new') {
		my $what = "propagate = $propagate, deleted on $side";
		my $s = pair(propagate => $propagate);
		$s->{c}{$other}->append('INBOX', message($_)) for 1 .. 3;
		$s->{c}{$side}->append('INBOX', message(4));
		$s->{i}->sync_ok("E12: $what: in sync");
		my $n = there($s->{c}{$side});
		is($n, '1 2 3 4', "E12: $what: all");
		my ($uid) = map { $_->{uid} } grep {
		    $_->{body} =~ /message 2\r/ }
		    $s->{c}{$side}->fetch_all('INBOX');
		$s->{c}{$side}->expunge('INBOX', $uid);
		$s->{c}{$side}->unselect;
		stays($s, $what, $side => '1 3 4', $other => '1 2 3 4');
		# In the same run as the deletion is told, and before.
		($uid) = map { $_->{uid} } grep { $_->{body} =~
		    /message 4\r/ } $s->{c}{$side}->fetch_all('INBOX');
		$s->{c}{$side}->expunge('INBOX', $uid);
		$s->{c}{$side}->unselect;
		$s->{i}->sync_ok("E12: $what: told first");
		stays($s, "$what, told first", $side => '1 3',
		    $other => '1 2 3 4');
	}
}

# One direction: what is deleted on the target stays deleted there.
for my $direction ('to-local', 'to-remote') {
	my ($target) = $direction =~ /to-(.*)/;
	my $source = $target eq 'local' ? 'remote' : 'local';
	my $s = pair(direction => $direction);
	$s->{c}{$source}->append('INBOX', message($_)) for 1 .. 3;
	$s->{i}->sync_ok("E12: $direction: in sync");
	my ($uid) = $s->{c}{$target}->uids('INBOX');
	$s->{c}{$target}->expunge('INBOX', $uid);
	$s->{c}{$target}->unselect;
	stays($s, $direction, $target => '2 3', $source => '1 2 3');
}

# What was never copied is weighed again, and only that.
{
	my $s = pair(propagate => 'new flags', 'max-size' => '2K');
	my ($lc, $rc) = @{ $s->{c} }{'local', 'remote'};
	$lc->append('INBOX', message(1));
	$lc->append('INBOX', message(2, size => 5000));
	$lc->append('INBOX', message(3));
	$s->{i}->sync_ok('E12: never copied: in sync');
	is(there($rc), '1 3', 'E12: never copied: one is left out');
	my ($uid) = $rc->uids('INBOX');
	$rc->expunge('INBOX', $uid);
	$rc->unselect;
	$s->{i}->sync_ok('E12: never copied: one is deleted');
	$s->{i}->change(conf => { 'max-size' => '10K' });
	$s->{i}->sync_ok('E12: never copied: a plain run');
	is(there($rc), '3', 'E12: never copied: changes nothing');
	$s->{i}->sync_ok('E12: never copied: --retry', '--retry');
	is(there($rc), '2 3', 'E12: never copied: that one comes');
	is(there($lc), '1 2 3', 'E12: never copied: none is lost');
	$s->{i}->silent_ok('E12: never copied: nothing is left');
	# With deletions again: what was done on purpose is not made up for.
	$s->{i}->change(conf => { propagate => undef });
	$s->{i}->sync_ok('E12: deletions again', '--retry');
	is(there($rc), '2 3', 'E12: deletions again: as it was');
	$rc->expunge('INBOX', ($rc->uids('INBOX'))[0]);
	$rc->unselect;
	$s->{i}->sync_ok('E12: deletions again: carried over');
	is(there($lc), '1 2', 'E12: deletions again: on the other side');
}
done_testing;

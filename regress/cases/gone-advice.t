#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A mailbox that is gone on one side: the message names each way out with what it
# does, and each of them does that; --delete deletes nothing that nobody knows of.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Advice qw(advice);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

# In sync, a mailbox of so many messages; then it is deleted on one side.
sub gone
{
	my ($side, $name, $messages) = @_;
	my ($local, $remote) = map { Imapsync::Server->new(name =>
	    $_ . ++$number) } 'local', 'remote';
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	$lc->create($_) for $name, 'Other';
	for my $n (1 .. $messages) {
		$lc->append($name, message($n), date => date_of($n),
		    flags => '\Seen');
	}
	$lc->append('Other', message(100));
	$i->sync_ok("E9: $side: in sync");
	my ($here, $there) = $side eq 'local' ? ($lc, $rc) : ($rc, $lc);
	$here->delete($name);
	return { i => $i, local => $local, remote => $remote, here => $here,
	    there => $there, name => $name };
}

sub has
{
	my ($c, $name) = @_;
	return ($c->status($name) // {})->{MESSAGES} // 'none';
}

# The line, looked at in every part.
sub line
{
	my ($s, $side, $messages) = @_;
	my $other = $side eq 'local' ? 'remote' : 'local';
	my $r = $s->{i}->status_is(3, "E9: $side: it is gone");
	my $line = join ' ', grep { /^\Q$s->{name}\E: / } split /\n/,
	    $r->{err};

	like($line, qr/\b$side\b/, "E9: $side: where it is gone");
	like($line, qr/\b$other\b/, "E9: $side: where it is");
	like($line, qr/\b$messages message/, "E9: $side: how many messages " .
	    'are at stake');
	is(has($s->{there}, $s->{name}), $messages,
	    "E9: $side: nothing was touched");
	my $copies = index $line, '--delete --target=database';
	my $deletes = $line =~ /--delete (?!--target)/ ? $-[0] : -1;
	ok($copies >= 0 && $deletes >= 0, "E9: $side: both ways are named");
	# What it does stands with each: one copies, the other deletes.
	like($line, qr/--target=database.*cop(?:y|ies|ied)|
	    cop(?:y|ies).*--target=database/x, "E9: $side: one copies again");
	like($line, qr/--delete\ (?!--target).*delete|
	    delete.*--delete\ (?!--target)/x, "E9: $side: one deletes");
	return $line;
}

my @names = ('Old mail', "it's a \"quoted\" one", 'Work', 'R&-D (2)');
for my $name (all_cases() ? @names : @names[0, 1]) {
	for my $side (sides('local', 'remote')) {
		my $s = gone($side, $name, 5);
		my @args = advice(line($s, $side, 5),
		    '--delete --target=database');
		is($args[2], $name, "E9: $side, $name: can be copied");
		$s->{i}->sync_ok("E9: $side, $name: let it be copied", @args);
		is(has($s->{there}, $name), 5,
		    "E9: $side, $name: still on the other");
		$s->{i}->sync_ok("E9: $side, $name: and then");
		is(has($s->{here}, $name), 5, "E9: $side, $name: it is back");
		same_content($s->{'local'}, $s->{remote},
		    "E9: $side, $name: equal");
		$s->{i}->silent_ok("E9: $side, $name: nothing is left");

		$s = gone($side, $name, 5);
		@args = advice(line($s, $side, 5) =~
		    s/--delete --target=database//r, '--delete');
		is($args[1], $name, "E9: $side, $name: can be deleted");
		my $r = $s->{i}->sync_ok("E9: $side, $name: let it go", @args);
		like($r->{err}, qr/\b5 message/,
		    "E9: $side, $name: says how many");
		is(has($s->{there}, $name), 'none',
		    "E9: $side, $name: is gone on the other");
		$s->{i}->silent_ok("E9: $side, $name: nothing is left");
		same_content($s->{'local'}, $s->{remote},
		    "E9: $side, $name: equal");
	}
}

# ---- what the state does not know of ----

sub delete_refused
{
	my ($s, $what, $left, @args) = @_;
	my $r = $s->{i}->status_is(1, "E9: $what: refused", '--delete',
	    @args, $s->{name});

	like($r->{err}, qr/^\Q$s->{name}\E: .*\b2\ message|
	    \b2\ message.*\Q$s->{name}\E/mx, "E9: $what: how many");
	like($r->{err}, qr/--allow-delete/, "E9: $what: and how to go on");
	is(has($s->{there}, $s->{name}), $left, "E9: $what: nothing is gone");
	return $r;
}

for my $side (sides('local', 'remote')) {
	my $s = gone($side, 'Work', 5);
	my $what = "mail that came afterwards, gone on $side";
	$s->{there}->append('Work', message($_)) for 21, 22;
	delete_refused($s, $what, 7);
	my $r = $s->{i}->run('--delete', '--dry-run', 'Work');
	is(has($s->{there}, 'Work'), 7, "E9: $what: a dry run");
	like($r->{out} . $r->{err}, qr/\b7 message/,
	    "E9: $what: a dry run says how many");
	$s->{i}->status_is(3, "E9: $what: a run leaves it alone");
	is(has($s->{there}, 'Work'), 7, "E9: $what: as it was");
	$r = $s->{i}->sync_ok("E9: $what: allowed", '--delete',
	    '--allow-delete', 'Work');
	like($r->{err}, qr/\b7 message/, "E9: $what: says how many");
	is(has($s->{there}, 'Work'), 'none', "E9: $what: it is gone");
	$s->{i}->silent_ok("E9: $what: nothing is left");
}

# It is there on both, and one has more than the state knows.
for my $side (sides('local', 'remote')) {
	my $what = "new mail on $side";
	my $s = gone($side, 'Work', 3);
	$s->{i}->run('--delete', '--target=database', 'Work');
	$s->{i}->sync_ok("E9: $what: in sync again");
	$s->{there} = $s->{here};
	$s->{here}->append('Work', message($_)) for 31, 32;
	delete_refused($s, $what, 5);
	delete_refused($s, "$what, one target", 5, "--target=$side,database");
	$s->{i}->sync_ok("E9: $what: a run copies it");
	same_content($s->{'local'}, $s->{remote}, "E9: $what: equal");
	my $r = $s->{i}->sync_ok("E9: $what: now it is known", '--delete',
	    'Work');
	is(has($s->{here}, 'Work'), 'none', "E9: $what: it is gone");
	$s->{i}->silent_ok("E9: $what: nothing is left");
}

# A mailbox that the state has never heard of: with and without mail.
my ($local, $remote) = map { Imapsync::Server->new(name => $_ . ++$number) }
    'local', 'remote';
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
$i->sync_ok('E9: unknown: in sync');
my $c = $remote->client;
$c->create($_) for 'Full', 'Empty';
$c->append('Full', message($_)) for 1, 2;
delete_refused({ i => $i, there => $c, name => 'Full' }, 'unknown', 2);
$i->sync_ok('E9: unknown, empty: deleted', '--delete', 'Empty');
is(has($c, 'Empty'), 'none', 'E9: unknown, empty: is gone');
done_testing;

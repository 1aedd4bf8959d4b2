#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Lines, totals and JSON tell what a server has confirmed, and not what was
# planned.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;
my @counts = qw(copied flags deleted);

# Two Dovecots in sync, "side" of them behind a relay that obeys until "refuse"
# is raised.
sub pair
{
	my ($side, %hooks) = @_;
	my %s;

	for my $s ('local', 'remote') {
		my $server = Imapsync::Server->new(name => $s . ++$number);
		$s{$s} = $s eq $side ? Imapsync::Edit->new(server => $server,
		    %hooks) : $server;
	}
	$s{to} = $s{$side};
	$s{from} = $s{$side eq 'local' ? 'remote' : 'local'};
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	my $c = $s{from}->client;
	$c->append('INBOX', message($_)) for 1 .. 6;
	$c->create('Other');
	$c->subscribe('Other');
	$s{i}->sync_ok('E1: in sync');
	$s{c} = $c;
	$s{to}->raise('refuse');
	return \%s;
}

sub refuse
{
	my ($re, $answer) = @_;

	$answer //= 'NO [NOPERM] Permission denied';
	return (command => sub {
		my ($t, $line) = @_;
		return $t->flag('refuse') && $line =~ $re ? $answer : undef;
	});
}

sub json
{
	my ($i, $status, $what, @args) = @_;
	my $r = $i->status_is($status, "E1: $what", '--json', @args);
	my $j = eval { JSON::PP->new->decode($r->{out}) } // {};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($j->{version}, "E1: $what: is JSON") or diag($r->{out});
	return ($j, $r);
}

sub numbers { my ($h) = @_; return join ' ', map { $h->{$_} // 'none' } @counts }

# What JSON says of that side, and what the lines say, is what was confirmed:
# "copied flags deleted" of INBOX.
sub tells
{
	my ($s, $side, $status, $what, $want, @not) = @_;

	for my $n (1, 2) {
		my ($j, $r) = json($s->{i}, $status, "$what, run $n");
		my ($box) = grep { $_->{name} eq 'INBOX' }
		    @{ $j->{mailboxes} };
		my $is = $box ? numbers($box->{$side}) : '0 0 0';
		is($is, $n == 1 ? $want : '0 0 0',
		    "E1: $what, run $n: in the mailbox");
		is(numbers($j->{$side}{total}), $n == 1 ? $want : '0 0 0',
		    "E1: $what, run $n: in the total");
		unlike($r->{err}, $_, "E1: $what, run $n: and no such line")
		    for @not;
		like($r->{err}, qr/^\w+: .*\b$side\b/m,
		    "E1: $what, run $n: it is named") if $status && $n == 1;
	}
}

# ---- names ----

# Dovecot with mbox can't have a mailbox below one that holds messages.
subtest 'E1: CREATE is refused by Dovecot' => sub {
	my $local = Imapsync::Server->new(name => 'maildir');
	my $mbox = Imapsync::Server->new(name => 'mbox',
	    location => 'mbox:~/mail:INBOX=~/inbox');
	my $i = Imapsync::Imapsync->new(local => $local, remote => $mbox);
	my $c = $local->client;
	$c->create($_) for 'a', 'a/b', 'c';
	$c->append($_, message(1)) for 'a', 'a/b', 'c';
	my $first = $mbox->client;
	$first->create('a');
	$first->append('a', message(2));
	$first->close;

	for my $n (1 .. 3) {
		my ($j, $r) = json($i, 3, "CREATE, run $n");
		my ($box) = grep { $_->{name} eq 'a/b' } @{ $j->{mailboxes} };
		ok($box && $box->{stopped}, "E1: CREATE, run $n: stopped");
		ok($box && !$box->{remote}{created},
		    "E1: CREATE, run $n: not created");
		is($j->{remote}{total}{created} ? 1 : 0, $n == 1 ? 1 : 0,
		    "E1: CREATE, run $n: what was created in all");
		unlike($r->{err}, qr{^a/b: .*created on}m,
		    "E1: CREATE, run $n: no line that it was");
		like($r->{err}, qr{^a/b: .*remote.*does not create}m,
		    "E1: CREATE, run $n: the line that it was not");
	}
	is(scalar(grep { $_->{name} eq 'a/b' } $mbox->client->list), 0,
	    'E1: CREATE: nor is it there');
	$c->close;
};

for my $op ('SUBSCRIBE', 'UNSUBSCRIBE') {
	subtest "E1: $op is refused" => sub {
		my $s = pair('remote', refuse(qr/ $op /));
		my $name = $op eq 'SUBSCRIBE' ? 'INBOX' : 'Other';
		my $done = lc $op . 'd';
		$s->{c}->subscribe($name) if $op eq 'SUBSCRIBE';
		$s->{c}->unsubscribe($name) if $op ne 'SUBSCRIBE';
		for my $n (1, 2) {
			my ($j, $r) = json($s->{i}, 3, "$op, run $n");
			unlike($r->{err}, qr/\b$done on/,
			    "E1: $op, run $n: no line that it was");
			like($r->{err}, qr/^$name: .*remote.*Permission/m,
			    "E1: $op, run $n: the line that it was not");
		}
		$s->{to}->lower('refuse');
		my ($j, $r) = json($s->{i}, 0, "$op, allowed");
		like($r->{err}, qr/^$name: .*\b$done on remote/m,
		    "E1: $op: told when it is done");
		same_content($s->{'local'}, $s->{to}, "E1: $op: equal");
	};
}

subtest 'E1: CREATE of what somebody else has just made' => sub {
	my $s = pair('remote', refuse(qr/ CREATE /,
	    'NO [ALREADYEXISTS] it is there'));
	$s->{c}->create('New');
	$s->{to}->hooks(command => sub {
		my ($t, $line) = @_;
		return if $line !~ / CREATE / || !$t->flag('refuse');
		my $c = $t->{fake}->client;
		$c->create('New');
		$c->close;
		return 'NO [ALREADYEXISTS] it is there';
	});
	my ($j, $r) = json($s->{i}, 0, 'somebody else has made it');
	ok(!(grep { $_->{remote}{created} } @{ $j->{mailboxes} }),
	    'E1: not created by us');
	unlike($r->{err}, qr/created on/, 'E1: nor told so');
	same_content($s->{'local'}, $s->{to}, 'E1: equal');
};

# ---- messages ----

for my $side (sides('remote', 'local')) {
	subtest "E1: EXPUNGE is refused, $side" => sub {
		my $s = pair($side, refuse(qr/ UID EXPUNGE /));
		$s->{c}->expunge('INBOX', '1:2');
		tells($s, $side, 3, 'EXPUNGE', '0 0 0', qr/deleted on/,
		    qr/[1-9] deleted/);
	};
	subtest "E1: APPEND is refused, $side" => sub {
		my $s = pair($side, refuse(qr/ APPEND /));
		$s->{c}->append('INBOX', message($_)) for 11, 12;
		tells($s, $side, 3, 'APPEND', '0 0 0', qr/copied to/,
		    qr/[1-9]\d* messages.*copied/);
	};
}

# A flag that is not kept: exit 0 or 3, but never as if it had been done.
sub not_kept
{
	my ($what, $want, $begin, %hooks) = @_;

	subtest "E1: $what" => sub {
		my $s = pair('remote', %hooks);
		$begin->($s->{c});
		my $r = $s->{i}->run('--json');
		like($r->{status}, qr/^[03]$/, "E1: $what: exit status")
		    or diag($r->{err});
		my $j = eval { JSON::PP->new->decode($r->{out}) } // {};
		is(numbers($j->{remote}{total}), $want,
		    "E1: $what: in the total");
		my ($n) = $r->{err} =~ /flags of (\d+) changed on remote/;
		is($n // 0, (split ' ', $want)[1], "E1: $what: in the line");
		like($r->{err}, qr/^INBOX: .*\bremote\b.*\\Flagged|
		    ^INBOX: .*\\Flagged.*\bremote\b/mx,
		    "E1: $what: the flag is named");
		$r = $s->{i}->run('--json');
		$j = eval { JSON::PP->new->decode($r->{out}) } // {};
		is(numbers($j->{remote}{total}), '0 0 0',
		    "E1: $what: nothing in the next run");
		my ($m) = grep { $_->{uid} == 1 } $s->{c}->fetch_all('INBOX');
		like("@{ $m->{flags} }", qr/\\Flagged/,
		    "E1: $what: and it is still where it was");
	};
}

my $flag = sub { $_[0]->store('INBOX', '1:3', '+FLAGS', '\Flagged') };
my $flags = sub {
	$flag->($_[0]);
	$_[0]->store('INBOX', '4:5', '+FLAGS', '\Seen');
};
not_kept('STORE is refused', '0 0 0', $flag, refuse(qr/ UID STORE /));
not_kept('STORE of one flag is refused', '0 2 0', $flags,
    refuse(qr/ UID STORE .*Flagged/));
not_kept('STORE is answered BAD', '0 0 0', $flag,
    refuse(qr/ UID STORE /, 'BAD what is that'));
not_kept('PERMANENTFLAGS is empty', '0 0 0', $flag, answer => sub {
	my ($t, $line) = @_;
	$line =~ s/PERMANENTFLAGS \([^)]*\)/PERMANENTFLAGS ()/
	    if $t->flag('refuse');
	return $line;
});
not_kept('PERMANENTFLAGS lacks one', '0 2 0', $flags, answer => sub {
	my ($t, $line) = @_;
	$line =~ s/(PERMANENTFLAGS .*)\\Flagged /$1/ if $t->flag('refuse');
	return $line;
});

# What is OK and does nothing is asked for once more, and no oftener.
for my $times (1, 3) {
	subtest "E1: EXPUNGE is OK and does nothing, $times times" => sub {
		my $n = 0;
		my $s = pair('remote', command => sub {
			my ($t, $line) = @_;
			return unless $line =~ /^(\S+) UID EXPUNGE / &&
			    $n++ < $times;
			return \"$1 NOOP";
		});
		$s->{c}->expunge('INBOX', '2,4');
		my ($j) = json($s->{i}, $times > 1 ? 3 : 0, 'EXPUNGE');
		is(numbers($j->{remote}{total}), $times > 1 ? '0 0 0' : '0 0 2',
		    'E1: what was deleted');
		# Twice a run.
		json($s->{i}, 0, 'EXPUNGE, the next run') if $times > 1;
		same_content($s->{'local'}, $s->{to}, 'E1: equal');
		$s->{i}->silent_ok('E1: nothing is left');
	};
}

# Of two that should go one stays: the server says which.
subtest 'E1: EXPUNGE of less than was asked' => sub {
	my $s = pair('remote', command => sub {
		my ($t, $line) = @_;
		return unless $t->flag('refuse') &&
		    $line =~ /^(\S+) UID EXPUNGE /;
		return \"$1 UID EXPUNGE 2";
	});
	$s->{c}->expunge('INBOX', '2,4');
	my ($j, $r) = json($s->{i}, 3, 'EXPUNGE of one of two');
	is(numbers($j->{remote}{total}), '0 0 1', 'E1: one was deleted');
	like($r->{err}, qr/^INBOX: 1 deleted on remote/m, 'E1: in words');
	like($r->{err}, qr/^INBOX: .*\bremote\b.*\bUID 4\b/m,
	    'E1: and the other one is named');
	$s->{to}->lower('refuse');
	($j) = json($s->{i}, 0, 'EXPUNGE, the next run');
	is(numbers($j->{remote}{total}), '0 0 1', 'E1: the other one');
	same_content($s->{'local'}, $s->{to}, 'E1: equal');
	$s->{i}->silent_ok('E1: nothing is left');
};

# A plan is told as a plan, by --dry-run alone.
subtest 'E1: a dry run' => sub {
	my $s = pair('remote', refuse(qr/ (?:CREATE|UID STORE|APPEND) /));
	$s->{c}->create('New');
	$s->{c}->append('New', message(20));
	$flag->($s->{c});
	my ($j, $r) = json($s->{i}, 0, 'a dry run', '--dry-run');
	ok($j->{dry_run}, 'E1: a dry run says so');
	is(numbers($j->{remote}{total}), '1 3 0', 'E1: and what is planned');
	is($j->{remote}{total}{octets}, 0, 'E1: no octets');
	ok($j->{remote}{total}{created}, 'E1: to be created');
	is($r->{err}, '', 'E1: and no line that it was done');
	$r = $s->{i}->run('--json');
	$j = eval { JSON::PP->new->decode($r->{out}) } // {};
	is(numbers($j->{remote}{total}), '0 0 0', 'E1: nothing of it is done');
	ok(!$j->{remote}{total}{created}, 'E1: nor created');
};
done_testing;

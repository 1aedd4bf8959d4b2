#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Bodies that a source does not give though it says that all is well: they are
# not gone but still to be copied, are named, and come with the next run that is
# given them.  Messages that are gone indeed are no matter.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Mail qw(message date_of);
use Imapsync::Case;
use Imapsync::Server;
use Imapsync::Withhold qw(withhold);
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# A pair of which one side may withhold, in sync with two messages where "old".
sub pair
{
	my ($side, $how, %o) = @_;
	my $p = Imapsync::Case->new($side => { answer => withhold($how) });

	if ($o{old}) {
		$p->put($side, 'INBOX', 91, 92);
		$p->run(0, 'before');
	}
	return $p;
}

# The lowest, one of the middle and the highest of four, in three mailboxes.
sub one_of_four
{
	my ($side, $how) = @_;
	my $p = pair($side, $how);
	my $other = $p->other($side);
	my %is = (low => 1, middle => 3, INBOX => 4);

	$p->put($side, $_, 1 .. 4) for keys %is;
	$p->put($other, 'INBOX', 11);
	$p->put($other, 'own', 21);
	$p->{$side}->set(withhold => join ' ', map { "$_:$is{$_}" } keys %is);
	my $r = $p->run(3, 'withheld');
	$p->names($r, $side, $_, $is{$_}) for keys %is;
	$p->has($other, 'low', '2:4', 'the others');
	$p->has($other, 'middle', '1:2 4', 'the others');
	$p->has($other, 'INBOX', '1:3 11', 'the others');
	$p->has($side, 'INBOX', '1:4 11', 'the other direction');
	$p->has($side, 'own', '21', 'the other direction');
	$p->{$side}->set('withhold');
	$p->run(0, 'given');
	$p->equal('low', '1:4', 'given');
	$p->equal('middle', '1:4', 'given');
	$p->equal('INBOX', '1:4 11', 'given');
	$p->rests(0, 'given');
	$p->mends('INBOX', '1:4 11', 'given');
}

for my $side (sides('remote', 'local')) {
	for my $how ('none', 'nil') {
		subtest "A1: $side does not give one, $how" => sub {
			one_of_four($side, $how);
		};
	}
}

# Whether the rest of that mailbox is copied in the same run is not said.
for my $side (sides('remote', 'local')) {
	subtest "A1: $side gives one without its UID" => sub {
		my $p = pair($side, 'nouid', old => 1);
		my $other = $p->other($side);

		$p->put($side, 'INBOX', 1 .. 4);
		$p->put($side, 'box', 5, 6);
		$p->put($other, 'own', 21);
		$p->{$side}->set(withhold => 'INBOX:5');
		$p->run(3, 'without UID');
		$p->has($other, 'box', '5:6', 'another mailbox');
		$p->has($side, 'own', '21', 'the other direction');
		$p->{$side}->set('withhold');
		$p->settles('INBOX', '1:4 91:92', 'given');
	};
}

subtest 'A1: part of the set of a MULTIAPPEND, in later runs' => sub {
	for my $how ('none', 'nil') {
		my $p = pair('remote', $how, old => 1);
		my @uids = (3, 9, 10, 11, 32, 62);

		$p->put('remote', 'INBOX', 1 .. 60);
		$p->{remote}->set(withhold => 'INBOX:3,9:11,32,62');
		my $r = $p->run(3, $how);
		$p->names($r, 'remote', 'INBOX', @uids);
		$p->has('local', 'INBOX', '2:6 10:29 31:59 91:92', $how);
		$p->{remote}->set('withhold');
		$p->settles('INBOX', '1:60 91:92', "$how, given");
	}
};

subtest 'A1: all of them' => sub {
	my $p = pair('remote', 'none', old => 1);

	$p->put('remote', 'INBOX', 1 .. 3);
	$p->{remote}->set(withhold => 'INBOX:1:99');
	my $r = $p->run(3, 'none is given');
	$p->names($r, 'remote', 'INBOX', 3 .. 5);
	$p->{remote}->set('withhold');
	$p->settles('INBOX', '1:3 91:92', 'given');
};

subtest 'A1: withheld twice, then given' => sub {
	my $p = pair('remote', 'nil', old => 1);

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->{remote}->set(withhold => 'INBOX:4');
	my $r = $p->run(3, 'once');
	$p->names($r, 'remote', 'INBOX', 4);
	$p->rests(3, 'twice');
	$p->{remote}->set('withhold');
	$p->settles('INBOX', '1:4 91:92', 'given', '--retry');
};

subtest 'A1: both sides at once' => sub {
	my $p = Imapsync::Case->new(map { $_ => { answer =>
	    withhold('none') } } 'local', 'remote');

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->put('local', 'INBOX', 11 .. 14);
	# They have nothing in common, so that nothing is paired.
	$p->{remote}->set(withhold => 'INBOX:2');
	$p->{local}->set(withhold => 'INBOX:1,4');
	my $r = $p->run(3, 'withheld');
	$p->names($r, 'remote', 'INBOX', 2);
	$p->names($r, 'local', 'INBOX', 1, 4);
	$p->has('local', 'INBOX', '1 3:4 11:14', 'the others');
	$p->has('remote', 'INBOX', '1:4 12:13', 'the others');
	$p->{$_}->set('withhold') for 'local', 'remote';
	$p->settles('INBOX', '1:4 11:14', 'given');
};

subtest 'A1: flags, deletions and copies of the mailbox go on' => sub {
	my $p = pair('remote', 'none', old => 1);

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->put('local', 'INBOX', 11);
	$p->flags('local', 'INBOX', '+FLAGS', '\Flagged', 91);
	$p->expunge('local', 'INBOX', 92);
	$p->{remote}->set(withhold => 'INBOX:4');
	my $r = $p->run(3, 'withheld');
	$p->names($r, 'remote', 'INBOX', 4);
	$p->has('remote', 'INBOX', '1:4 11 91', 'copied and deleted');
	is($p->flags_of('remote', 'INBOX', 91), '\Flagged', 'and a flag set');
	$p->{remote}->set('withhold');
	$p->settles('INBOX', '1:4 11 91', 'given');
};

# A dry run fetches no bodies: it can learn nothing, and lose nothing.
subtest 'A1: --dry-run' => sub {
	my $p = pair('remote', 'none', old => 1);

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->{remote}->set(withhold => 'INBOX:4');
	for my $time ('before', 'after') {
		my $all = $p->everything;
		my $r = $p->i->run('--dry-run');
		like($r->{status}, qr/^[03]$/, "$time: exit status");
		is_deeply($p->everything, $all, "$time: nothing is changed");
		$p->run(3, 'withheld') if $time eq 'before';
	}
	$p->{remote}->set('withhold');
	$p->settles('INBOX', '1:4 91:92', 'given');
};

# What the rules allow is asked for, and they don't change what an absence is.
subtest 'A1: with rules' => sub {
	for my $conf ({ direction => 'to-local' }, { propagate => 'new' },
	    { propagate => 'new delete', 'max-size' => '1M' }) {
		my ($what) = map { "$_ = $conf->{$_}" } sort keys %$conf;
		my $p = Imapsync::Case->new(conf => $conf, remote =>
		    { answer => withhold('none') });

		$p->put('remote', 'INBOX', 1 .. 4);
		$p->remote->set(withhold => 'INBOX:3');
		my $r = $p->run(3, "$what, withheld");
		$p->names($r, 'remote', 'INBOX', 3);
		$p->has('local', 'INBOX', '1:2 4', "$what, the others");
		$p->remote->set('withhold');
		$p->settles('INBOX', '1:4', "$what, given");
	}
};

subtest 'A1: withheld, then it is deleted indeed' => sub {
	my $p = pair('remote', 'none', old => 1);

	$p->put('remote', 'INBOX', 1 .. 4);
	$p->{remote}->set(withhold => 'INBOX:4,6');
	my $r = $p->run(3, 'withheld');
	$p->names($r, 'remote', 'INBOX', 4, 6);
	$p->expunge('remote', 'INBOX', 2);
	$p->run(3, 'one is deleted');
	$p->has('local', 'INBOX', '1 3 91:92', 'one is deleted');
	$p->expunge('remote', 'INBOX', 4);
	$p->settles('INBOX', '1 3 91:92', 'both are deleted');
	$p->{remote}->set('withhold');
	$p->rests(0, 'the server is as it was');
};

for my $text (drawn(2,
    '[EXPUNGEISSUED] some are gone', '[SERVERBUG] internal error',
    'try again')) {
	subtest "A3: two of six, then NO $text" => sub {
		for my $side (sides('remote', 'local')) {
			my $p = pair($side, 'none', old => 1);
			my $other = $p->other($side);

			$p->put($side, 'INBOX', 1 .. 6);
			$p->put($other, 'INBOX', 21);
			$p->put($side, 'box', 7 .. 9);
			$p->{$side}->set(no => "INBOX:2 $text");
			my $r = $p->run(3, "$side: NO");
			$p->names($r, $side, 'INBOX', 5 .. 8);
			$p->has($other, 'INBOX', '1:2 21 91:92', 'two of six');
			$p->has($side, 'INBOX', '1:6 21 91:92',
			    'the other direction');
			$p->has($other, 'box', '7:9', 'another mailbox');
			$p->settles('INBOX', '1:6 21 91:92', 'given');
			$p->expunge($side, 'INBOX', 2);
			$p->settles('INBOX', '1 3:6 21 91:92', 'deleted');
			$p->mends('INBOX', '1 3:6 21 91:92', 'deleted');
		}
	};
}

# So many single UIDs that they need two commands: a first run, of which the
# other side has every other message.
subtest 'A3: NO to the first of two commands' => sub {
	my $p = Imapsync::Case->new(remote => { answer => withhold('none'),
	    location => 'mdbox:~/mdbox' },
	    'local' => { location => 'mdbox:~/mdbox' });
	my @even = map { $_ * 2 } 1 .. 1750;

	$p->put('remote', 'INBOX', 1 .. 3500);
	$p->put('local', 'INBOX', @even);
	$p->{remote}->set(no => 'INBOX:100 [EXPUNGEISSUED] some are gone');
	my $r = $p->run(3, 'NO');
	my @asked = grep { /UID FETCH \S+ .*BODY\.PEEK\[\]/ }
	    split /\r\n/, $p->{remote}->received;
	is(scalar @asked, 2, 'there were two commands');
	$p->names($r, 'remote', 'INBOX', 201, 1001);
	my @have = split /[ :]/, $p->numbers('local', 'INBOX');
	is($have[-1], 3500, 'the second was answered');
	$p->settles('INBOX', '1:3500', 'given');
};

# Another client expunges a new message, ahead of the transfer's SELECT or
# behind it, and the server tells so or leaves it out.
for my $when ('SELECT', 'FETCH') {
	subtest "A4: expunged ahead of the $when of the transfer" => sub {
		my $p;
		$p = Imapsync::Case->new(remote => { command => sub {
			my ($t, undef, $text) = @_;
			my $select = $text =~ /^(?:SELECT|EXAMINE) "?INBOX/;
			my $at = $when eq 'SELECT' ? $select &&
			    ++$t->{selects} == 2 :
			    $text =~ /^UID FETCH .*BODY\.PEEK\[\]/;
			if ($at && $t->get('go') ne '' && $t->once('gone')) {
				my $c = $t->{fake}->client;
				$c->expunge('INBOX', '5');
				$c->close;
			}
			return $text;
		} });
		$p->put('remote', 'INBOX', 91, 92);
		$p->run(0, 'before');
		$p->put('remote', 'INBOX', 1 .. 4);
		# Behind a change the transfer has a SELECT of its own.
		$p->flags('remote', 'INBOX', '+FLAGS', '\\Flagged', 91)
		    if $when eq 'SELECT';
		$p->{remote}->set(go => 1);
		my $r = $p->run(0, 'one is expunged');
		unlike($r->{err}, qr/\b5\b/, 'nothing is said of it');
		$p->has('local', 'INBOX', '1:2 4 91:92', 'the others');
		$p->settles('INBOX', '1:2 4 91:92', 'then');
	};
}

for my $how ('none', 'nil') {
	subtest "A4: expunged: $how, and VANISHED" => sub {
		my $p = Imapsync::Case->new(remote => { model => 1 });
		my $model = $p->remote;

		$p->put('remote', 'INBOX', 91, 92);
		$p->run(0, 'before');
		$p->put('remote', 'INBOX', 1 .. 4);
		$model->hooks(out => sub {
			my ($c, $line) = @_;
			return $line
			    unless $line =~ /FETCH \(UID 5 .*BODY\[\] /;
			$c->store->remove('INBOX', 5);
			return if $how eq 'none';
			return $line =~ s/BODY\[\] \{.*\)\z/BODY[] NIL)/rs;
		});
		$p->run(0, 'one is expunged');
		$model->hooks;
		$p->settles('INBOX', '1:2 4 91:92', 'then');
		$p->mends('INBOX', '1:2 4 91:92', 'then');
	};
}

done_testing;

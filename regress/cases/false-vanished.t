#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server says that messages have vanished, and they have not.  Where nothing
# would be deleted for it, by propagate or direction, the pairs are not given
# up either: flags still pass, and a true deletion is still carried over once
# that is wished.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Case;
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# With set(vanished => UIDs) each SELECT of INBOX tells them; with set(empty =>
# 1) it has no messages, either.  With set(once => 1) the first SELECT only.
sub liar
{
	return { answer => sub {
		my ($t, $response) = @_;
		my $uids = $t->get('vanished');
		my ($tag) = $t->tagged($response);

		return $response if $uids eq '' || $t->mailbox ne 'INBOX';
		if (defined $tag && $t->asked($tag) =~ /^(?:SELECT|EXAMINE)/) {
			$t->once('lied');
			return $response;
		}
		return $response if $t->get('once') ne '' &&
		    $t->happened('lied');
		return "* 0 EXISTS\r\n" if $t->get('empty') ne '' &&
		    $response =~ /^\* \d+ EXISTS/;
		return $response if $response !~ /^\* OK \[HIGHESTMODSEQ/ ||
		    $t->opening !~ /QRESYNC/;
		return $response . "* VANISHED (EARLIER) $uids\r\n";
	} };
}

sub pair
{
	my ($side, %conf) = @_;
	my $p = Imapsync::Case->new($side => liar(), conf => \%conf);

	$p->put('local', 'INBOX', 1 .. 10);
	sleep 1;	# two accounts, as their UIDVALIDITY tells
	$p->put('remote', 'INBOX', 1 .. 10);
	$p->run(0, 'before');
	return $p;
}

# All ten are still paired: flags pass in the directions that are allowed,
# nothing comes back or comes twice, and without the rule a true deletion is
# carried over.
sub all_paired
{
	my ($p, $what, @to) = @_;
	my %bit = ('local' => '\Flagged', remote => '\Answered');

	for my $to (@to) {
		my $from = $p->other($to);
		$p->flags($from, 'INBOX', '+FLAGS', $bit{$to}, 1 .. 10);
	}
	$p->run(0, "$what, flags");
	for my $to (@to) {
		my @not = grep { $p->flags_of($to, 'INBOX', $_) !~
		    /\Q$bit{$to}\E/ } 1 .. 10;
		is("@not", '', "$what: flags still pass to $to");
	}
	$p->i->change(conf => { propagate => undef, direction => undef });
	$p->run(0, "$what, without rules");
	$p->has($_, 'INBOX', '1:10', "$what, without rules") for 'local',
	    'remote';
	$p->expunge('remote', 'INBOX', 2, 9);
	$p->expunge('local', 'INBOX', 3);
	$p->put('remote', 'INBOX', 21);
	$p->run(0, "$what, a true deletion");
	$p->has($_, 'INBOX', '1 4:8 10 21', "$what, a true deletion")
	    for 'local', 'remote';
	$p->run(0, "$what, --retry", '--retry');
	$p->settles('INBOX', '1 4:8 10 21', "$what, in the end");
	$p->mends('INBOX', '1 4:8 10 21', "$what, in the end") if @to == 2;
}

# A flag that both get is the reason to open it, and nothing to pass on.
sub lie
{
	my ($p, $side, $what, %set) = @_;

	$p->{$side}->set($_ => $set{$_}) for keys %set;
	$p->flags($_, 'INBOX', '+FLAGS', '\Seen', 5) for 'local', 'remote';
	my $r = $p->run(0, $what);
	unlike($r->{err}, qr/--adopt|deleted/, "$what: no advice, no deletion");
	$p->has($_, 'INBOX', '1:10', $what) for 'local', 'remote';
	$p->{$side}->set($_) for keys %set;
}

for my $side (sides('remote', 'local')) {
	for my $rule ('new flags', 'flags') {
		subtest "A7: propagate = $rule, 2:3 vanished on $side" => sub {
			my $p = pair($side, propagate => $rule);

			lie($p, $side, 'false', vanished => '2:3');
			all_paired($p, 'afterwards', 'local', 'remote');
		};

		subtest "A7: propagate = $rule, all on $side, once" => sub {
			my $p = pair($side, propagate => $rule);

			lie($p, $side, 'all', vanished => '1:10', empty => 1,
			    once => 1);
			all_paired($p, 'afterwards', 'local', 'remote');
		};
	}

	subtest "A7: propagate = new, 2:3 vanished on $side" => sub {
		my $p = pair($side, propagate => 'new');

		lie($p, $side, 'false', vanished => '2:3');
		all_paired($p, 'afterwards');
	};
}

# The target of the only direction says it: nothing is deleted on the source.
for my $target (sides('local', 'remote')) {
	for my $how ({ vanished => '2:3' },
	    { vanished => '1:10', empty => 1, once => 1 }) {
		subtest "A7: direction = to-$target, $how->{vanished}" => sub {
			my $p = pair($target, direction => "to-$target");

			lie($p, $target, 'false', %$how);
			all_paired($p, 'afterwards', $target);
		};
	}
}

# With no rule at all: the other checks look after it.
for my $how ({ vanished => '2:3' },
    { vanished => '1:10', empty => 1, once => 1 }) {
	subtest "A7: without rules, $how->{vanished}" => sub {
		my $p = pair('remote');

		lie($p, 'remote', 'false', %$how);
		all_paired($p, 'afterwards', 'local', 'remote');
	};
}

# A true deletion under such a rule: it stays on the other side, and is no
# matter.
subtest 'A7: propagate = new flags, a true deletion' => sub {
	my $p = pair('remote', propagate => 'new flags');

	$p->expunge('remote', 'INBOX', 2, 3);
	$p->run(0, 'deleted');
	$p->has('local', 'INBOX', '1:10', 'kept');
	$p->has('remote', 'INBOX', '1 4:10', 'and not copied back');
	$p->rests(0, 'deleted');
	$p->flags('remote', 'INBOX', '+FLAGS', '\Flagged', 4);
	$p->run(0, 'flags go on');
	is($p->flags_of('local', 'INBOX', 4), '\Flagged', 'they do');
	$p->rests(0, 'in the end');
};

done_testing;

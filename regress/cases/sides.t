#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What one server shows proves nothing about the other.  A mailbox that was
# replaced on one side, under the same UIDVALIDITY and with numbers that fit,
# deletes nothing on the other, whatever that one shows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Mail;
use Imapsync::Case;
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# A Dovecot and a model; the model's UIDs are twice the Dovecot's, 1 to 100.
sub pair
{
	my ($side, $options) = @_;
	my $p = Imapsync::Case->new($side => { model => 1 },
	    $side eq 'local' ? (remote => $options // {}) :
	    ('local' => $options // {}));

	$p->{$side}->change(sub {
		my ($st) = @_;
		$st->deliver('INBOX', $p->body($_), uid => 2 * $_,
		    date => Imapsync::Mail::date_of($_)) for 1 .. 100;
	});
	$p->put($p->other($side), 'box', 201, 202);
	$p->run(0, 'before');
	return $p;
}

# Another mailbox in its place, as many messages as the state expects: 99.
sub replace
{
	my ($st, @vanished) = @_;
	my $box = $st->box('INBOX');
	my $next = $box->{uidnext};

	@{ $box->{messages} } = ();
	$st->deliver('INBOX', Imapsync::Mail::message(1000 + $_), uid => 2 *
	    $_ - 1) for 1 .. 100 - @vanished;
	$box->{uidnext} = $next;
	push @{ $box->{vanished} }, map { [$_, ++$box->{modseq}] } @vanished;
}

sub stops
{
	my ($p, $side, $there, $here, $what) = @_;
	my $other = $p->other($side);
	my $before = $p->everything;

	for my $time ('the run', 'the next') {
		my $r = $p->run(3, "$what, $time");
		like($r->{err}, qr/^INBOX: .*\b$side\b.*--adopt/m,
		    "$what, $time: advice, and the server named");
		$p->has($other, 'INBOX', $here, "$what, $time: none deleted");
		$p->has($side, 'INBOX', $there, "$what, $time: nor there");
	}
	my @new = grep { !/ box / } @{ $p->everything };
	is_deeply(\@new, [grep { !/ box / } @$before],
	    "$what: nothing is touched");
	$p->has($_, 'box', '201:202', "$what: another mailbox")
	    for 'local', 'remote';
}

for my $side (sides('remote', 'local')) {
	subtest "A6: replaced on $side, a deletion on the other" => sub {
		my $p = pair($side);
		my $other = $p->other($side);

		$p->{$side}->change(sub { replace($_[0], 6) });
		$p->expunge($other, 'INBOX', 4);
		stops($p, $side, '1001:1099', '1:3 5:100', 'replaced');
		$p->{$side}->change(sub {
			$_[0]->box('INBOX')->{uidnext} += 100 });
		$p->settles('INBOX', '1:3 5:100 1001:1099', 'the advice taken',
		    '--adopt', 'INBOX');
	};

	# That one alone: nothing of it is shown, whoever is asked.
	subtest "A6: replaced on $side, and nothing else" => sub {
		my $p = pair($side);

		$p->{$side}->change(sub { replace($_[0], 6) });
		stops($p, $side, '1001:1099', '1:100', 'replaced');
	};

	subtest "A6: replaced on $side, many told by both" => sub {
		my $p = pair($side);
		my $other = $p->other($side);

		$p->{$side}->change(sub {
			replace($_[0], map { 2 * $_ } 1 .. 9);
		});
		$p->expunge($other, 'INBOX', 20 .. 30);
		stops($p, $side, '1001:1091', '1:19 31:100', 'many');
	};

	# Half of it is what the state knows.
	subtest "A6: half replaced on $side, a deletion on the other" => sub {
		my $p = pair($side);
		my $other = $p->other($side);

		$p->{$side}->change(sub {
			my ($st) = @_;
			$st->remove('INBOX', 6);
			$st->find('INBOX', 2 * $_)->{body} =
			    Imapsync::Mail::message(1000 + $_) for 51 .. 100;
		});
		$p->expunge($other, 'INBOX', 4);
		stops($p, $side, '1:2 4:50 1051:1100', '1:3 5:100', 'half');
	};

	# The deletion is told by the one that is sound, and what would be lost
	# on the other is not what the state knows.
	subtest "A6: others in place of the doomed on $side" => sub {
		my $p = pair($side);
		my $other = $p->other($side);

		$p->{$side}->change(sub {
			my ($st) = @_;
			$st->find('INBOX', 8)->{body} =
			    Imapsync::Mail::message(1004);
			$st->set_flags('INBOX', 20, '\Flagged');
		});
		$p->expunge($other, 'INBOX', 4);
		my $r = $p->run(3, 'the doomed');
		like($r->{err}, qr/^INBOX: .*\b$side\b.*--adopt/m,
		    'advice, and the server named');
		$p->has($side, 'INBOX', '1:3 5:100 1004', 'none deleted');
	};
}

# A survivor that one side does not show is not shown by the other's.
for my $side (sides('remote', 'local')) {
	subtest "A6: $side is at work, both tell" => sub {
		my $p = pair($side);
		my $other = $p->other($side);

		$p->{$side}->change(sub { $_[0]->remove('INBOX', 6) });
		$p->expunge($other, 'INBOX', 4);
		my $hook = sub {
			my ($c, undef, $name) = @_;
			$c->store->remove('INBOX', 14)
			    if $name eq 'INBOX' && ++$c->{opens} == 2;
			return;
		};
		$p->{$side}->hooks(SELECT => $hook, EXAMINE => $hook);
		my $r = $p->run(0, 'at work');
		unlike($r->{err}, qr/--adopt/, 'no advice');
		$p->{$side}->hooks;
		$p->settles('INBOX', '1:2 5:6 8:100', 'the next run');
	};
}

done_testing;

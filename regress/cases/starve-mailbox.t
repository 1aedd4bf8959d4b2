#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A mailbox under which the connection ends costs nothing but itself: when it is
# opened, or when a message that would be deleted there is looked at.

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

sub flat { return join ' ', map { ref ? flat(@$_) : $_ } @_ }

# A model with mail in three mailboxes, and a Dovecot with some of its own.
sub pair
{
	my ($side, $hooks) = @_;
	my $p = Imapsync::Case->new($side => { model => 1, hooks => $hooks });
	my $n = 0;

	$p->{$side}->change(sub {
		my ($st) = @_;
		for my $name ('A', 'bad', 'z') {
			$st->create($name);
			$st->deliver($name, $p->body(++$n),
			    date => Imapsync::Mail::date_of($n)) for 1, 2;
		}
	});
	return $p;
}

# Two runs may end with 75; the third does all that it can.
sub third
{
	my ($p, $what) = @_;
	my ($r, @words);

	for my $n (1 .. 3) {
		$r = $p->i->run;
		push @words, $r->{err};
		last if $r->{status} == 3;
		is($r->{status}, 75, "$what: run $n: lost");
	}
	is($r->{status}, 3, "$what: at last") or diag(@words);
	return $r;
}

for my $side (sides('remote', 'local')) {
	my $other = $side eq 'local' ? 'remote' : 'local';

	subtest "B: opened, $side" => sub {
		my $p = pair($side, { map { $_ => sub {
			my ($c, $tag, @args) = @_;
			return 0 if flat(@args) !~ /\bbad\b/ ||
			    $c->store->box('good');
			$c->hang_up;
			return 1;
		} } 'SELECT', 'EXAMINE' });

		$p->put($other, 'own', 21, 22);
		my $r = third($p, 'opened');
		like($r->{err}, qr/^bad: .*\b$side\b.*--retry/m, 'it is named');
		$p->has($other, 'A', '1:2', 'another mailbox');
		$p->has($other, 'z', '5:6', 'one behind it');
		$p->has($side, 'own', '21:22', 'the other direction');
		$r = $p->run(3, 'it stands');
		like($r->{err}, qr/^bad: left alone/m, 'and is told');
		$p->{$side}->change(sub { $_[0]->create('good') });
		$p->run(0, 'mended', '--retry');
		$p->has($other, 'bad', '3:4', 'it is there');
		$p->run(0, 'nothing is left');
	};

	subtest "B: looked at, $side" => sub {
		my $p = pair($side, { 'UID FETCH' => sub {
			my ($c, $tag, @args) = @_;
			return 0 if flat(@args) !~ /HEADER/ ||
			    !$c->store->box('bad')->{harm};
			$c->hang_up;
			return 1;
		} });

		$p->run(0, 'before');
		$p->{$side}->change(sub { $_[0]->box('bad')->{harm} = 1 });
		$p->with($other, sub { $_[0]->expunge('bad', 1) });
		$p->put($other, 'z', 31);
		$p->put($other, 'bad', 32);
		my $r = third($p, 'looked at');
		like($r->{err}, qr/^bad: 1 deletions wait.*\b$side\b.*UID 1\b/m,
		    'it is named');
		$p->{$side}->change(sub { $_[0]->box('bad')->{harm} = 0 });
		$p->has($side, 'bad', '3:4 32', 'copies go on in it');
		$p->has($side, 'z', '5:6 31', 'and elsewhere');
		$p->run(0, 'mended', '--retry');
		$p->has($side, 'bad', '4 32', 'it is deleted');
		$p->run(0, 'nothing is left');
	};
}

# A LIST that can't be read as a whole, or leaves a mailbox out, is silence.
for my $side (sides('remote', 'local')) {
	my $other = $side eq 'local' ? 'remote' : 'local';

	subtest "B4: not in the list, $side" => sub {
		my $p = pair($side, { list => sub {
			my ($c, $mailbox, $info) = @_;
			undef $info->{name} if $mailbox eq 'bad' &&
			    $c->store->box('good');
		} });

		$p->put($side eq 'local' ? 'remote' : 'local', 'own', 41);
		$p->run(0, 'before');
		$p->{$side}->change(sub { $_[0]->create('good') });
		$p->run(0, 'as if it were gone');
		$p->put($other, 'bad', 42);
		$p->run(0, 'it goes on');
		$p->has($side, 'bad', '3:4 42', 'and is copied to');
		$p->{$side}->change(sub { delete $_[0]{boxes}{bad} });
		my $r = $p->run(3, 'it is gone');
		like($r->{err}, qr/^bad: it is gone on the $side server/m,
		    'now that it says so');
	};
}

done_testing;

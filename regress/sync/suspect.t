#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server that wants the other one's mail to be deleted: the guard does not
# believe what the suspect says of itself.  What a person does is never held.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Mail;
use Imapsync::Case;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# A model with 200 messages in INBOX, mirrored by a Dovecot.
sub pair
{
	my ($side, %o) = @_;
	my $p = Imapsync::Case->new($side => { model => 1,
	    hooks => delete $o{hooks} // {} }, %o);

	$p->{$side}->change(sub {
		my ($st) = @_;
		$st->deliver('INBOX', $p->body($_),
		    date => Imapsync::Mail::date_of($_)) for 1 .. 200;
	});
	$p->run(0, 'before');
	return $p;
}

# All of INBOX stands in Archive now.
sub archives
{
	my ($p, $side, $later) = @_;

	$p->{$side}->change(sub {
		my ($st) = @_;
		$st->create('Archive');
		$st->deliver('Archive', $p->body($_), date =>
		    Imapsync::Mail::date_of($_ + ($later // 0))) for 1 .. 200;
	});
	removes($p, $side, 'INBOX', 1 .. 200);
}

# The words of a command, lists and all.
sub flat { return join ' ', map { ref ? flat(@$_) : $_ } @_ }

sub removes
{
	my ($p, $side, $name, @uids) = @_;
	$p->{$side}->change(sub { $_[0]->remove($name, @uids) });
}

for my $side ('remote', 'local') {
	my $other = $side eq 'local' ? 'remote' : 'local';

	subtest "F2: \\Trash, says $side" => sub {
		my $p = pair($side);

		$p->{$side}->change(sub {
			$_[0]->box('INBOX')->{attrs} = '\Trash';
		});
		removes($p, $side, 'INBOX', 1 .. 200);
		my $r = $p->run(3, 'all vanished');
		like($r->{err}, qr/200 of 200 messages.*\b$side\b.*--allow-delete/,
		    'F2: says so');
		$p->has($other, 'INBOX', '1:200', 'nothing is deleted');
		$p->run(3, 'again');
		$p->has($other, 'INBOX', '1:200', 'nor by the next run');
	};

	subtest "F2: half in each run, $side" => sub {
		my $p = pair($side);

		removes($p, $side, 'INBOX', 1 .. 90);
		$p->run(0, '90 of 200');
		$p->has($other, 'INBOX', '91:200', 'are carried over');
		removes($p, $side, 'INBOX', 91 .. 130);
		my $r = $p->run(3, '40 of the 110 that are left');
		like($r->{err}, qr/40 of 110 .*after 90/, 'F2: says why');
		$p->has($other, 'INBOX', '91:200', 'are held');
		$p->run(0, 'allowed', '--allow-delete');
		$p->has($other, 'INBOX', '131:200', 'until somebody allows it');
		removes($p, $side, 'INBOX', 131 .. 160);
		$p->run(0, '30 of 70, which begins anew');
		$p->has($other, 'INBOX', '161:200', 'are carried over, too');
	};

	subtest "F2: archived, $side" => sub {
		my $p = pair($side);

		archives($p, $side);
		$p->run(0, 'all of INBOX was archived');
		$p->has($other, 'INBOX', '', 'it is empty');
		$p->has($other, 'Archive', '1:200', 'all is there');
		removes($p, $side, 'Archive', 1 .. 90);
		$p->run(0, 'what was moved was not deleted');
		$p->has($other, 'Archive', '91:200', '90 are');
	};

	subtest "max-delete, $side" => sub {
		my $p = pair($side, conf => { 'max-delete' => '10' });

		removes($p, $side, 'INBOX', 1 .. 11);
		$p->run(3, '11');
		removes($p, $side, 'INBOX', 1 .. 200);
		$p = pair($side, conf => { 'max-delete' => 'none' });
		removes($p, $side, 'INBOX', 1 .. 200);
		$p->run(0, 'none: all');
		$p->has($other, 'INBOX', '', 'are deleted');
	};
}

sub no_body
{
	my ($c, $tag, @args) = @_;

	return 0 if flat(@args) !~ /BODY\.PEEK\[\]/ ||
	    !$c->store->box('Archive');
	$c->tagged($tag, 'NO', 'not now');
	return 1;
}

# The headers of what vanished, as new messages of another mailbox, and no more.
for my $side ('remote', 'local') {
	my $other = $side eq 'local' ? 'remote' : 'local';

	subtest "F2: headers without bodies, $side" => sub {
		my $p = pair($side, hooks => { 'UID FETCH' => \&no_body });

		# Nothing of it is needed where the other side has them all.
		archives($p, $side);
		$p->run(0, 'no body');
		$p->has($other, 'INBOX', '', 'they are moved there');
		$p->has($other, 'Archive', '1:200', 'all of them');
		removes($p, $side, 'Archive', 1 .. 200);
		my $r = $p->run(3, 'and gone from there');
		$p->has($other, 'Archive', '1:200', 'nothing is deleted');
		like($r->{err}, qr/--allow-delete/, 'F2: says so');
	};

	# Headers alone, with other dates: in doubt they would be copied.
	subtest "F2: new ones without bodies, $side" => sub {
		my $p = pair($side, hooks => { 'UID FETCH' => \&no_body });

		archives($p, $side, 1);
		my $r = $p->run(3, 'no body');
		$p->has($other, 'INBOX', '1:200', 'nothing is deleted');
		like($r->{err}, qr/--allow-delete/, 'F2: says so');
	};
}

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Two servers, run after run: new messages, flags, expunges and mailboxes both
# ways, and silence when there is nothing to do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content total);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of new_messages samples);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# Two sets of mailboxes, the one in the middle on both sides.
sub fill
{
	my ($local, $remote) = @_;
	my $lc = $local->client;
	my $rc = $remote->client;

	for my $name ('INBOX', 'Drafts', 'lists') {
		$lc->create($name) if $name ne 'INBOX';
		$lc->append_many($name, new_messages(20, flags => 1));
	}
	for my $name ('INBOX', 'lists', 'Sent') {
		$rc->create($name) if $name ne 'INBOX';
		$rc->append_many($name, new_messages(20, flags => 1));
	}
	my %mail = samples();
	$rc->append_many('Sent', map { { body => $mail{$_},
	    date => date_of(length $mail{$_}) } } sort keys %mail);
	$lc->create('empty');
	$rc->create('empty too');
	$lc->subscribe('lists');
	$rc->subscribe('Sent');
	$_->close for $lc, $rc;
}

# Changes of each kind on both sides, some to the same message.
sub change
{
	my ($local, $remote) = @_;
	my $lc = $local->client;
	my $rc = $remote->client;

	$lc->append('INBOX', message(1000), flags => '\Seen',
	    date => date_of(1000));
	$rc->append('INBOX', message(1001), flags => '$New',
	    date => date_of(1001));
	$rc->append('lists', message(1002, id => 0));
	# lists: 1 to 20 are the local ones, 21 to 40 the remote ones; on the
	# remote server the other way round.
	$lc->store('lists', '1:4', '+FLAGS', '\Flagged $Both');
	$rc->store('lists', '21:22', '+FLAGS', '\Answered');
	$rc->store('lists', '23:24', '-FLAGS', '\Seen \Flagged');
	$lc->store('lists', '30:33', 'FLAGS', '');
	$lc->expunge('INBOX', '2,4:6');
	$rc->expunge('INBOX', '1,3');
	$rc->expunge('Sent', '20');
	$lc->create('made here');
	$lc->append('made here', message(1003));
	$rc->create('made there');
	$rc->append('made there', message(1004), flags => '\Seen');
	$_->close for $lc, $rc;
}

sub whole
{
	my ($what, $local, $remote) = @_;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

	fill($local, $remote);
	my $r = $i->sync_ok("$what: first run");
	like($r->{err}, qr/^INBOX: .*20/m, 'a line for INBOX');
	my $snap = same_content($local, $remote, "$what: first run");
	is(scalar keys %$snap, 6, 'all mailboxes');
	my $n = total($snap);
	my %mail = samples();
	is($n, 120 + keys %mail, 'all messages');
	$i->silent_ok("$what: nothing to do");
	$i->silent_ok("$what: nothing again");

	change($local, $remote);
	$r = $i->sync_ok("$what: changes");
	$snap = same_content($local, $remote, "$what: changes");
	is(total($snap), $n + 5 - 4 - 2 - 1, 'added and deleted, nothing else');
	my %flag;
	for my $line (keys %{ $snap->{lists}{messages} }) {
		$flag{$_}++ for $line =~ /\[(.*)\]/ ? split ' ', $1 : ();
	}
	is($flag{'$both'}, 4, 'a flag that was set');
	$i->silent_ok("$what: nothing to do after changes");

	# Flags of both sides combine; what is deleted stays deleted.
	my $lc = $local->client;
	my $rc = $remote->client;
	my ($luid, $ruid) = (($lc->uids('made here'))[0],
	    ($rc->uids('made here'))[0]);
	$lc->store('made here', $luid, '+FLAGS', '\Seen one');
	$rc->store('made here', $ruid, '+FLAGS', '\Flagged two');
	$lc->store('made there', '1', '+FLAGS', '\Flagged');
	$rc->expunge('made there', '1');
	$_->close for $lc, $rc;
	$i->sync_ok("$what: both sides' flags");
	$snap = same_content($local, $remote, "$what: both sides' flags");
	like((keys %{ $snap->{'made here'}{messages} })[0],
	    qr/\[\\flagged \\seen one two\]/, 'they combine');
	is(scalar keys %{ $snap->{'made there'}{messages} }, 0,
	    'changed here, deleted there: deleted');
	$i->silent_ok("$what: silence at the end");

	# The same message deleted on both sides; all of a mailbox deleted.
	$lc = $local->client;
	$rc = $remote->client;
	$lc->expunge('made here', '1:*');
	$rc->expunge('made here', '1:*');
	$lc->expunge('Drafts', '1:*');
	$_->close for $lc, $rc;
	$i->sync_ok("$what: emptied");
	$snap = same_content($local, $remote, "$what: emptied");
	is_deeply($snap->{Drafts}{messages}, {}, 'empty');
	$i->silent_ok("$what: nothing after that");
	is($i->run('--quiet')->{status}, 0, '--quiet');
}

whole('tunnels', Imapsync::Server->new(name => 'one'),
    Imapsync::Server->new(name => 'two'));
whole('TCP', Imapsync::Server->new(name => 'three'),
    Imapsync::Server->new(name => 'four', daemon => 1, sep => '.'));

done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --notify and names that are not ASCII: Dovecot 2.3 tells them in UTF-8 in
# NOTIFY's STATUS, and in modified UTF-7 in LIST.  Their new mail arrives at once,
# and no name makes the watch look again and again.

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
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# As LIST has them; '/' is the hierarchy.
my @names = ('Entw&APw-rfe', 'R&-D', '&-', 'a/&AMQ-/b', '&ZeVnLIqe-',
    '&2D3eAA-', 'x&-y &APwA5A-');
my $brake = Imapsync::Brake->new;
my $number = 0;

sub spell
{
	my ($server, $name) = @_;
	return $server->{server}->sep eq '.' ? $name =~ tr{/}{.}r : $name;
}

# New mail in one of them on one side, which the other has soon.
sub arrives
{
	my ($from, $to, $fc, $tc, $name) = @_;
	my ($there, $here) = map { spell($_, $name) } $to, $from;

	$fc->append($here, message(++$number));
	my $want = $fc->status($here)->{MESSAGES};
	return sub { $tc->status($there)->{MESSAGES} >= $want };
}

sub scenario
{
	my ($what, $side, $name, %conf) = @_;
	my ($local, $remote) = map { Imapsync::Edit->new(server =>
	    Imapsync::Server->new(name => $_->[0] . ++$number,
	    sep => $_->[1])) } ['local', '/'], ['remote', '.'];
	my ($lc, $rc) = map { $_->client } $local, $remote;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => \%conf);

	for my $mailbox (@names) {
		$lc->create($mailbox);
		$lc->append($mailbox, message(++$number));
	}
	my %o = $conf{'list-mailbox'} ? (ignore => qr/^(?!\Q$name\E$)/) : ();
	$i->sync_ok("D3: $what: in sync");
	same_content($local, $remote, "D3: $what: equal at first", %o);
	my @way = $side eq 'remote' ? ($remote, $local, $rc, $lc) :
	    ($local, $remote, $lc, $rc);
	$brake->add(what => "D3: $what", i => $i, args => ['--notify'],
	    edits => [$local, $remote],
	    begin => sub { arrives(@way, $name) },
	    change => sub { return arrives(@way, $name) }, words => sub {
		unlike($_[0], qr/lost|skipped|refuse/, 'D3: nothing is amiss')
		    or diag($_[0]);
	    }, after => sub {
		$_->close for $lc, $rc;
		$i->sync_ok('D3: nothing is left');
		same_content($local, $remote, 'D3: equal', %o);
	    });
}

for my $side (sides('remote', 'local')) {
	scenario("\"$_\", told by $side", $side, $_) for @names[0, 1, 3, 5];
}
scenario("\"$_\" in list-mailbox", 'remote', $_, 'list-mailbox' => "\"$_\"")
    for @names[0, 1, 2, 4, 6];
$brake->judge;
done_testing;

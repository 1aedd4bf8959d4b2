# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server that does not give all bodies that it was asked for, for Alter.pm.
#
#	my $p = Imapsync::Case->new(remote => { answer => withhold('none') });
#	$p->remote->set(withhold => 'INBOX:4 box:1,3:5');
#
# How: 'none' (no FETCH), 'nil' (BODY[] NIL), 'nouid' (a FETCH without UID).
# The UIDs are withheld as long as that is set; "once" in front: from the first
# command of a mailbox that asks for bodies only.
#
#	$p->remote->set(no => 'INBOX:2 [EXPUNGEISSUED] gone');
#
# The first command in INBOX that asks for bodies gives two and then ends in NO
# with that text.
package Imapsync::Withhold;

use strict;
use warnings;
use Exporter 'import';
use Imapsync::Wire;

our @EXPORT_OK = qw(withhold);

my $bodies = qr/^UID FETCH (\S+) .*BODY(?:\.PEEK)?\[\]/i;

sub withhold
{
	my ($how) = @_;

	return sub {
		my ($t, $response) = @_;
		return no_more($t, $response) if $t->get('no') ne '';
		my ($once, $sets) = $t->get('withhold') =~ /^(once )?(.*)/s;
		my $uid = $t->uid($response);
		my $box = $t->mailbox;
		if ($once && asks_for_bodies($t, $response)) {
			$t->once("withhold.$box");
			return $response;
		}
		return $response if $uid eq '' || $response !~ /BODY\[\] /;
		my ($set) = $sets =~ /(?:^| )\Q$box\E:(\S+)/
		    or return $response;
		return $response if !Imapsync::Wire::in_set($uid,
		    Imapsync::Wire::uid_set($set));
		return $response if $once && $t->happened("withhold.$box");
		return '' if $how eq 'none';
		return $response =~ s/UID \d+ //r if $how eq 'nouid';
		return $response =~ s/BODY\[\] \{\d+\}\r\n.*\)\r\n\z/BODY[] /rs
		    . "NIL)\r\n";
	};
}

# The tagged answer to a command that asks for bodies.
sub asks_for_bodies
{
	my ($t, $response) = @_;
	my ($tag) = $t->tagged($response) or return 0;

	return $t->asked($tag) =~ $bodies;
}

sub no_more
{
	my ($t, $response) = @_;
	my ($box, $n, $text) = $t->get('no') =~ /^(\S+):(\d+) (.*)/;

	return $response if $t->mailbox ne $box || $t->happened('no');
	my ($first) = grep { $_->[1] eq $box && $_->[2] =~ $bodies } $t->sent
	    or return $response;
	my ($tag) = $t->tagged($response);
	if (defined $tag && $tag eq $first->[0]) {
		$t->once('no');
		return "$tag NO $text\r\n";
	}
	my ($set) = $first->[2] =~ $bodies;
	my $uid = $t->uid($response);
	return $response if $response !~ /BODY\[\] / ||
	    !Imapsync::Wire::in_set($uid, Imapsync::Wire::uid_set($set));
	return $t->{given}++ < $n ? $response : '';
}

1;

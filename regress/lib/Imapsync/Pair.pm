# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What most tests begin with: two servers, imapsync for them, and mail.
#
#	use Imapsync::Pair qw(pair dovecot cyrus put count);
#	my ($local, $remote, $i) = pair;	# two Dovecots
#	my ($local, $remote, $i) = pair(local => { reference => 'work/' },
#	    remote => { kind => 'cyrus', sep => '.' },
#	    conf => { direction => 'to-local' });
#	my ($local, $model, $i) = pair(model => { caps => '+OBJECTID' },
#	    boxes => { INBOX => 10, other => 5 });
#	my $s = dovecot(quota => '60K');	# a name is found for it
#	my $s = server(kind => $kind, daemon => 1);
#	put($remote, 3, 'INBOX', 'lists');	# three new messages into each
#	is(count($local), 13, 'all of INBOX');
#	is(count($local, 'lists'), 3, 'and of another');
#
# "local", "remote": options of Server.pm; "model": those of Model.pm, and the
# remote side is one.  With "boxes" so many new messages are put into each of
# these mailboxes of the remote side, and a first run must succeed.
#
# put() takes a server, a model, a client (Client.pm) or, in Model.pm's change(),
# the store; it makes the mailboxes that are not there.
package Imapsync::Pair;

use strict;
use warnings;
use Exporter 'import';
use Imapsync::Imapsync;
use Imapsync::Mail qw(new_messages);
use Imapsync::Model;
use Imapsync::Server;

our @EXPORT_OK = qw(pair server dovecot cyrus put count);

my $servers = 0;

# A server whose name no other one has.
sub server
{
	my (%o) = @_;
	my $kind = $o{kind} // 'dovecot';

	return Imapsync::Server->new(name => $kind . ++$servers, %o);
}

sub dovecot { return server(@_) }
sub cyrus { return server(kind => 'cyrus', @_) }

sub pair
{
	my (%o) = @_;
	my $local = server(%{ $o{local} // {} });
	my $remote = $o{model} ? Imapsync::Model->new(%{ $o{model} }) :
	    server(%{ $o{remote} // {} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
	    conf => $o{conf} // {});

	if (my $boxes = $o{boxes}) {
		put($remote, $boxes->{$_}, $_) for sort keys %$boxes;
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		$i->sync_ok('first run');
	}
	return ($local, $remote, $i);
}

sub put
{
	my ($to, $count, @names) = @_;

	return $to->change(sub { put($_[0], $count, @names) })
	    if $to->isa('Imapsync::Model');
	my $own = $to->can('append_many') || $to->can('deliver') ? undef :
	    $to->client;
	for my $name (@names) {
		put_into($own // $to, $name, new_messages($count));
	}
	$own->close if $own;
}

# Into one mailbox of a client or a store.
sub put_into
{
	my ($to, $name, @messages) = @_;

	if ($to->can('append_many')) {
		$to->create($name) unless $to->status($name);
		$to->append_many($name, @messages);
		return;
	}
	$to->create($name) unless $to->box($name);
	$to->deliver($name, $_->{body}, defined $_->{date} ?
	    (date => $_->{date}) : ()) for @messages;
}

# The number of messages that the server says are in a mailbox.
sub count
{
	my ($server, $name) = @_;
	my $c = $server->client;
	my $n = $c->status($name // 'INBOX')->{MESSAGES};

	$c->close;
	return $n;
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A model IMAP server: correct by default, made to misbehave by hooks.  Its mail
# is a Store.pm, kept between connections, so consecutive runs find what the
# last one left.
#
#	my $m = Imapsync::Model->new(sep => '.');
#	$m->change(sub { my ($st) = @_; $st->deliver('INBOX', $text) });
#	... a run with $m->section ...
#	is($m->store->uids('INBOX'), 1);
#	$m->hooks(select => sub {
#		my ($c, $name, $info) = @_;
#		$info->{vanished} = [1 .. 9];	# a lie
#	});
#	... another run ...
#	ok(!grep { /EXPUNGE/ } $m->commands);	# of the last connection
#	ok(!grep { /EXPUNGE/ } $m->commands('all'));
#
# Options: caps (a string that replaces the list; "-QRESYNC -MOVE +XFOO" changes
# it), early (those told before the login, if they are others), greeting
# (default OK; PREAUTH), words (behind it), sep, user, password, reference, hooks.
# client(), section(tunnel => 1), notes(), received(), stop(), start() are those
# of Fake.pm.
#
# Hooks, called in the server's process (a test sees what they note(); variables
# of the test don't come back), $c the session (Session.pm):
#	NAME ($c, $tag, @args)		ahead of a command, such as 'SELECT',
#		'UID FETCH', 'APPEND'; true: it has been dealt with
#	any ($c, $tag, @args)	the same ahead of every command, whose name is
#		$c->{name}, and the octets of its longest line $c->{line}
#	'after NAME' ($c, $tag, @args)	behind its tagged answer
#	select ($c, $mailbox, $info)	change what SELECT says: uidvalidity,
#		uidnext, modseq (0: NOMODSEQ), exists, mailboxid, vanished
#		(list of UIDs), changed (list of messages), permanent (string)
#	status ($c, $mailbox, $info)	STATUS, LIST-STATUS: messages, uidnext,
#		uidvalidity, highestmodseq, mailboxid
#	list ($c, $mailbox, $info)	name (undef: leave out), attrs (string)
#	search ($c, $mailbox, $uids)	the UIDs found (list)
#	fetch ($c, $mailbox, $list)	the messages (may be cut or changed)
#	append ($c, $mailbox, $message, $i)	per message; returns undef or a
#		refusal such as "NO [TOOBIG] too big"
#	literal ($c, $tag, $size)	ahead of "+" for a literal that waits:
#		returns undef or a refusal
#	'literal+' ($c, $tag, $size)	for one that does not wait
#	out ($c, $line)		each line sent: returns it, another, undef
# In a hook: $c->store (the Store), $c->untagged("..."), $c->put("raw\r\n"),
# $c->tagged($tag, 'NO', 'text'), $c->nth (how often this command came in this
# connection), $c->number (connection), $c->flush, $c->hang_up, $c->silence,
# $c->bye('text'), $c->note('text'), $c->announce (tell others' changes now).
package Imapsync::Model;

use strict;
use warnings;
use Storable ();
use Imapsync::Fake;
use Imapsync::Proc qw(slurp spew);
use Imapsync::Session;
use Imapsync::Store;

our @ISA = ('Imapsync::Fake');

my $all_caps = 'IMAP4rev1 SASL-IR ID ENABLE UIDPLUS LIST-EXTENDED ' .
    'LIST-STATUS SPECIAL-USE CONDSTORE QRESYNC ESEARCH LITERAL+ ' .
    'MULTIAPPEND UNSELECT MOVE IDLE NAMESPACE AUTH=PLAIN';

# The option of that name as a list of capabilities.
sub caps
{
	my ($caps) = @_;

	return $caps unless $caps =~ /^[-+]/ || $caps eq '';
	my %drop = map { $_ => 1 } $caps =~ /(?<!\S)-(\S+)/g;
	return join ' ', grep({ !$drop{$_} } split ' ', $all_caps),
	    $caps =~ /(?<!\S)\+(\S+)/g;
}

sub new
{
	my ($class, %o) = @_;
	my $caps = delete $o{caps} // '';
	my $store = delete $o{store} //
	    Imapsync::Store->new(sep => $o{sep} // '/');

	$o{hooks} //= {};
	$o{caps} = caps($caps);
	$o{initial} = $store;
	return Imapsync::Fake::new($class, greeting => 'OK', %o);
}

sub start
{
	my ($self) = @_;

	$self->save(delete $self->{initial}) if $self->{initial};
	spew("$self->{dir}/commands", '')
	    unless -e "$self->{dir}/commands";
	Imapsync::Fake::start($self);
}

# Other hooks, or none, from the next connection on.
sub hooks
{
	my ($self, %hooks) = @_;

	$self->stop if $self->{pid};
	$self->{hooks} = \%hooks;
	$self->start;
}

sub save
{
	my ($self, $store) = @_;

	Storable::nstore($store, "$self->{dir}/store.new");
	rename "$self->{dir}/store.new", "$self->{dir}/store"
	    or die "rename: $!\n";
}

sub load { return Storable::retrieve("$_[0]{dir}/store") }

# The mail, once no connection is open: for looking.
sub store
{
	my ($self) = @_;
	my $lock = $self->lock;
	return $self->load;
}

# Let the sub change the mail.
sub change
{
	my ($self, $sub) = @_;
	my $lock = $self->lock;
	my $store = $self->load;
	my @result = $sub->($store);

	$self->save($store);
	return wantarray ? @result : $result[0];
}

# The commands of the n-th connection (default: the last one that had any;
# 'all'), without tags; literals are shown as their sizes.
sub commands
{
	my ($self, $n) = @_;
	my $lock = $self->lock;
	my @all = map { [split / /, $_, 2] }
	    split /\n/, slurp("$self->{dir}/commands");

	return () unless @all;
	$n //= $all[-1][0];
	return map { $_->[1] } grep { $n eq 'all' || $_->[0] == $n } @all;
}

# In the server's process: one connection.
sub one
{
	my ($self, $sock) = @_;
	my $c = Imapsync::Session->new($self, $sock);

	$c->{store} = $self->load;
	$c->{hooks} = $self->{hooks};
	$self->{count} = $c->{number} = $self->next_number;
	eval { $c->serve; 1 } or $c->note("session: $@");
	$self->save($c->{store});
	$c->log_input;
}

# Connections are counted over restarts.
sub next_number
{
	my ($self) = @_;
	my $file = "$self->{dir}/count";
	my $n = (-e $file ? slurp($file) : 0) + 1;

	spew($file, $n);
	return $n;
}

1;

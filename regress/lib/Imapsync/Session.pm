# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# One connection of the model server (Model.pm, which says how to use it):
# reading commands, dispatch, hooks, login.  What the commands do to mailboxes
# is in Commands.pm.
package Imapsync::Session;

use strict;
use warnings;
use List::Util qw(max);
use MIME::Base64 qw(decode_base64);
use Imapsync::Commands;
use Imapsync::Fake;
use Imapsync::Wire;

our @ISA = ('Imapsync::Commands', 'Imapsync::Fake::Conn');

# command => [states it is allowed in (n: not logged in, a, s), method]
my %command = (
	CAPABILITY => ['nas', 'cmd_capability'],
	NOOP => ['nas', 'cmd_noop'],
	LOGOUT => ['nas', 'cmd_logout'],
	ID => ['nas', 'cmd_id'],
	LOGIN => ['n', 'cmd_login'],
	AUTHENTICATE => ['n', 'cmd_authenticate'],
	ENABLE => ['a', 'cmd_enable'],
	NAMESPACE => ['as', 'cmd_namespace'],
	LIST => ['as', 'cmd_list'],
	LSUB => ['as', 'cmd_lsub'],
	STATUS => ['as', 'cmd_status'],
	CREATE => ['as', 'cmd_create'],
	DELETE => ['as', 'cmd_delete'],
	RENAME => ['as', 'cmd_rename'],
	SUBSCRIBE => ['as', 'cmd_subscribe'],
	UNSUBSCRIBE => ['as', 'cmd_unsubscribe'],
	SELECT => ['as', 'cmd_select'],
	EXAMINE => ['as', 'cmd_examine'],
	APPEND => ['as', 'cmd_append'],
	IDLE => ['as', 'cmd_idle'],
	CLOSE => ['s', 'cmd_close'],
	UNSELECT => ['s', 'cmd_unselect'],
	EXPUNGE => ['s', 'cmd_expunge'],
	CHECK => ['s', 'cmd_noop'],
	'UID FETCH' => ['s', 'cmd_uid_fetch'],
	'UID STORE' => ['s', 'cmd_uid_store'],
	'UID EXPUNGE' => ['s', 'cmd_uid_expunge'],
	'UID SEARCH' => ['s', 'cmd_uid_search'],
	'UID COPY' => ['s', 'cmd_uid_copy'],
	'UID MOVE' => ['s', 'cmd_uid_move'],
);

sub store { return $_[0]{store} }
sub nth { return $_[0]{count}{$_[0]{name}} }
sub has { return " $_[0]{fake}{caps} " =~ / \Q$_[1]\E / }

# ---- output: kept until the client's next input is waited for ----

sub fill
{
	my ($self) = @_;

	$self->flush;
	return Imapsync::Fake::Conn::fill($self);
}

sub flush
{
	my ($self) = @_;
	my $out = $self->{pending} // '';

	$self->{pending} = '';
	$self->put($out) if $out ne '';
}

sub emit
{
	my ($self, $line) = @_;

	if (my $hook = $self->{hooks}{out}) {
		$line = $hook->($self, $line) // return;
	}
	$self->{pending} .= "$line\r\n";
	$self->flush if length $self->{pending} > 65536;
}

sub untagged { my ($self, $text) = @_; $self->emit("* $text") }

# The tagged answer, behind what others changed meanwhile.
sub tagged
{
	my ($self, $tag, $status, $text) = @_;

	$self->announce if $self->{box};
	$self->emit("$tag $status $text");
}

sub bye
{
	my ($self, $text) = @_;

	$self->untagged("BYE $text");
	$self->flush;
	$self->hang_up;
}

# ---- input ----

# A command with its literals, as chunks; empty list at the end.
sub read_command
{
	my ($self) = @_;
	my (@chunks, $tag);

	for (;;) {
		my $line = $self->line;
		return unless defined $line;
		$tag //= $line =~ /^(\S+)/ ? $1 : '*';
		push @chunks, $line;
		return @chunks unless $line =~ /\{(\d+)(\+?)\}\z/;
		my ($size, $plus) = ($1, $2);
		if ($plus) {
			my $hook = $self->{hooks}{'literal+'};
			$hook->($self, $tag, $size) if $hook;
		} else {
			my $hook = $self->{hooks}{literal};
			my $no = $hook ? $hook->($self, $tag, $size) : undef;
			if (defined $no) {
				$self->log_command(@chunks);
				$self->emit("$tag $no");
				@chunks = ();
				$tag = undef;
				next;
			}
			$self->{pending} .= "+ go on\r\n";
			$self->flush;
		}
		my $literal = $self->octets($size);
		return unless defined $literal;
		push @chunks, $literal;
	}
}

# A command without its tag; literals are shown as their sizes.
sub as_line
{
	my @chunks = @_;
	my $text = '';

	$text .= shift(@chunks), shift @chunks while @chunks;
	$text =~ s/^\S+ //;
	$text =~ s/[\r\n]/?/g;
	return $text =~ /^LOGIN/i ? 'LOGIN' : $text;
}

sub log_command
{
	my ($self, @chunks) = @_;

	open(my $fh, '>>:raw', "$self->{fake}{dir}/commands") or return;
	print $fh "$self->{number} " . as_line(@chunks) . "\n";
	close $fh;
}

sub serve
{
	my ($self) = @_;
	my $greeting = $self->{fake}{greeting};

	$self->{state} = $greeting eq 'PREAUTH' ? 'a' : 'n';
	$self->untagged("$greeting [CAPABILITY " . $self->caps . '] ' .
	    ($self->{fake}{words} // 'model'));
	while (my @chunks = $self->read_command) {
		$self->log_command(@chunks);
		$self->execute(@chunks);
		last if $self->{over};
	}
	$self->flush;
}

sub execute
{
	my ($self, @chunks) = @_;
	my ($tag, $name, @args) = do {
		local $Imapsync::Wire::literal_refs = 1;
		Imapsync::Wire::tokens(@chunks);
	};

	$name = uc($name // '');
	$name .= ' ' . uc(shift(@args) // '') if $name eq 'UID';
	$self->{name} = $name;
	$self->{count}{$name}++;
	@args = map { ref $_ eq 'SCALAR' ? $$_ : $_ } @args
	    if $name ne 'APPEND';
	$self->{line} = max(map { length } @chunks[grep { !($_ & 1) } 0 ..
	    $#chunks]);
	my $hook = $self->{hooks}{any};
	return if $hook && $hook->($self, $tag, @args);
	$hook = $self->{hooks}{$name};
	return if $hook && $hook->($self, $tag, @args);
	my $how = $command{$name};
	if (!$how) {
		$self->note("unknown command: $name");
		return $self->tagged($tag, 'BAD', "unknown command");
	}
	my ($states, $method) = @$how;
	if (index($states, $self->{state}) < 0) {
		$self->note("$name in state $self->{state}");
		return $self->tagged($tag, 'BAD', "$name not now");
	}
	$self->$method($tag, @args);
	$hook = $self->{hooks}{"after $name"};
	$hook->($self, $tag, @args) if $hook;
}

# ---- any state, and login ----

# What it says that it offers: before the login it may be less.
sub caps
{
	my ($self) = @_;

	return $self->{state} eq 'n' ? $self->{fake}{early} //
	    $self->{fake}{caps} : $self->{fake}{caps};
}

sub cmd_capability
{
	my ($self, $tag) = @_;

	$self->untagged('CAPABILITY ' . $self->caps);
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_noop { my ($self, $tag) = @_; $self->tagged($tag, 'OK', 'done') }

sub cmd_logout
{
	my ($self, $tag) = @_;

	$self->untagged('BYE logging out');
	$self->tagged($tag, 'OK', 'done');
	$self->{over} = 1;
}

sub cmd_id
{
	my ($self, $tag) = @_;

	$self->untagged('ID NIL');
	$self->tagged($tag, 'OK', 'done');
}

sub log_in
{
	my ($self, $tag, $user, $password) = @_;

	if ($user ne $self->{fake}{user} ||
	    $password ne $self->{fake}{password}) {
		return $self->tagged($tag, 'NO',
		    '[AUTHENTICATIONFAILED] wrong name or password');
	}
	$self->{state} = 'a';
	$self->tagged($tag, 'OK',
	    "[CAPABILITY " . $self->caps . "] logged in");
}

sub cmd_login
{
	my ($self, $tag, $user, $password) = @_;

	return $self->tagged($tag, 'BAD', 'login')
	    unless defined $user && defined $password;
	$self->log_in($tag, $user, $password);
}

sub cmd_authenticate
{
	my ($self, $tag, $mechanism, $initial) = @_;

	return $self->tagged($tag, 'NO', 'mechanism')
	    if uc($mechanism // '') ne 'PLAIN';
	if (!defined $initial) {
		$self->{pending} .= "+ \r\n";
		$initial = $self->line // return;
	}
	my (undef, $user, $password) = split /\0/, decode_base64($initial);
	return $self->tagged($tag, 'BAD', 'authenticate')
	    unless defined $password;
	$self->log_in($tag, $user, $password);
}

sub cmd_enable
{
	my ($self, $tag, @what) = @_;
	my @done;

	for my $ext (map { uc } @what) {
		next unless $ext =~ /^(QRESYNC|CONDSTORE)$/ &&
		    $self->has($ext);
		push @done, $ext;
		$self->{condstore} = 1;
		$self->{qresync} = 1 if $ext eq 'QRESYNC';
	}
	$self->untagged(join ' ', 'ENABLED', @done);
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_namespace
{
	my ($self, $tag) = @_;

	$self->untagged("NAMESPACE ((\"\" \"$self->{store}{sep}\")) NIL NIL");
	$self->tagged($tag, 'OK', 'done');
}

sub cmd_idle
{
	my ($self, $tag) = @_;

	$self->{pending} .= "+ idling\r\n";
	my $line = $self->line // return;
	return $self->tagged($tag, 'BAD', 'DONE expected')
	    if uc $line ne 'DONE';
	$self->tagged($tag, 'OK', 'done');
}

1;

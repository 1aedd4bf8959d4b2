# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A small IMAP client for tests, over a command (a pre-authenticated tunnel, or
# one that wants a LOGIN) or over TCP.
#
#	my $c = Imapsync::Client->new(command => $server->command);
#	my $c = Imapsync::Client->new(host => '127.0.0.1', port => $port,
#	    user => 'user', password => 'pass');
#	$c->create('Lists');
#	my $uid = $c->append('Lists', $text, flags => '\Seen $Work',
#	    date => ' 1-Feb-2024 10:00:00 +0100');
#	$c->append_many('Lists', { body => $text, flags => '\Seen' }, ...);
#	$c->store('Lists', '1:3', '+FLAGS', '\Flagged');
#	$c->expunge('Lists', '2');
#	for my $m ($c->fetch_all('Lists')) { ... $m->{uid flags date body} }
#	for my $m ($c->list) { ... $m->{name delim attrs subscribed} }
#	my $r = $c->cmd('STATUS', \'INBOX', '(MESSAGES)');	# may fail
#	my $r = $c->ok('NOOP');				# dies unless OK
#
# In cmd() and ok() a plain string is sent as it stands, a reference to one as a
# mailbox name or other string, quoted or as a literal as it needs.  They return
# { status, text, code, untagged => [[token, ...], ...] }.
package Imapsync::Client;

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Socket;
use Imapsync::Proc qw(spawn);
use Imapsync::Wire;

sub new
{
	my ($class, %o) = @_;
	my $self = bless { tag => 0, caps => "", owner => $$ }, $class;

	if (defined $o{command}) {
		socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
		    or die "socketpair: $!\n";
		my @argv = ref $o{command} ? @{ $o{command} } :
		    split ' ', $o{command};
		$self->{pid} = spawn(\@argv, in => $theirs, out => $theirs);
		close $theirs;
		$self->{sock} = $ours;
	} else {
		$self->{sock} = IO::Socket::INET->new(
		    PeerAddr => $o{host} // '127.0.0.1',
		    PeerPort => $o{port}, Proto => 'tcp', Timeout => 10)
		    or die "connect to port $o{port}: $!\n";
	}
	$self->{wire} = Imapsync::Wire->new(in => $self->{sock},
	    out => $self->{sock}, timeout => $o{timeout} // 60);
	my $greeting = $self->{wire}->line // die "no greeting\n";
	$self->{greeting} = $greeting;
	if ($greeting =~ /^\* OK/i && defined $o{user}) {
		$self->ok('LOGIN', \$o{user}, \($o{password} // 'x'));
	} elsif ($greeting !~ /^\* (OK|PREAUTH)/i) {
		die "greeting: $greeting\n";
	}
	if (!$o{raw}) {
		my $r = $self->ok('CAPABILITY');
		for my $u (@{ $r->{untagged} }) {
			$self->{caps} = join ' ', @$u
			    if uc $u->[0] eq 'CAPABILITY';
		}
	}
	return $self;
}

sub has { return $_[0]{caps} =~ /(?:^| )\Q$_[1]\E(?: |$)/i }
sub greeting { return $_[0]{greeting} }

sub part
{
	my ($part) = @_;
	return $part unless ref $part;
	return Imapsync::Wire::astring($$part);
}

# Send a command, return its tag.  Literals go without waiting.
sub start
{
	my ($self, @parts) = @_;
	my $tag = 't' . ++$self->{tag};

	$self->{wire}->put(join(' ', $tag, map { part($_) } @parts) . "\r\n");
	return $tag;
}

# Read until the tagged answer.  A sub gets each untagged response (as a list
# of tokens); without it they are collected.
sub finish
{
	my ($self, $tag, $each) = @_;
	my @untagged;

	for (;;) {
		my @chunks = $self->{wire}->response
		    or die "the server closed the connection\n";
		if ($chunks[0] =~ /^\Q$tag\E (OK|NO|BAD) ?(.*)/i) {
			my ($status, $text) = (uc $1, $2);
			my $code = $text =~ /^\[([^\]]*)\]/ ? $1 : '';
			return { status => $status, text => $text,
			    code => $code, untagged => \@untagged };
		}
		my $tokens = untagged(@chunks) // next;
		if ($each) {
			$each->(@$tokens);
		} else {
			push @untagged, $tokens;
		}
	}
}

sub untagged
{
	my @chunks = @_;

	return unless $chunks[0] =~ s/^\* //;
	if (@chunks == 1 && $chunks[0] =~ /^(OK|NO|BAD|BYE) ?(.*)/i) {
		return [uc $1, $2];
	}
	return [Imapsync::Wire::tokens(@chunks)];
}

sub cmd
{
	my ($self, @parts) = @_;
	return $self->finish($self->start(@parts));
}

sub ok
{
	my ($self, @parts) = @_;
	my $r = $self->cmd(@parts);

	if ($r->{status} ne 'OK') {
		my $what = join ' ', map { ref $_ ? $$_ : $_ } @parts;
		die substr($what, 0, 200) . ": $r->{status} $r->{text}\n";
	}
	return $r;
}

# Send octets as they are.
sub raw { my ($self, $octets) = @_; return $self->{wire}->put($octets) }

sub create { my ($self, $name) = @_; return $self->ok('CREATE', \$name) }
sub subscribe { my ($self, $name) = @_; return $self->ok('SUBSCRIBE', \$name) }

sub unsubscribe
{
	my ($self, $name) = @_;
	return $self->ok('UNSUBSCRIBE', \$name);
}

sub delete
{
	my ($self, $name) = @_;

	$self->unselect;
	return $self->ok('DELETE', \$name);
}

sub rename
{
	my ($self, $old, $new) = @_;

	$self->unselect;
	return $self->ok('RENAME', \$old, \$new);
}

sub select
{
	my ($self, $name) = @_;
	my $r = $self->ok('SELECT', \$name);

	$self->{selected} = $name;
	$self->{readonly} = 0;
	return $r;
}

sub examine
{
	my ($self, $name) = @_;
	my $r = $self->ok('EXAMINE', \$name);

	$self->{selected} = $name;
	$self->{readonly} = 1;
	return $r;
}

sub unselect
{
	my ($self) = @_;

	$self->let_go if defined $self->{selected};
}

# Without UNSELECT: CLOSE of what is selected read-only expunges nothing.
sub let_go
{
	my ($self) = @_;
	my $name = $self->{selected};

	if ($self->has('UNSELECT')) {
		$self->ok('UNSELECT');
	} else {
		$self->ok('EXAMINE', \$name) unless $self->{readonly};
		$self->ok('CLOSE');
	}
	$self->{readonly} = 0;
	$self->{selected} = undef;
}

# One APPEND, or MULTIAPPEND.  Returns the reply.
# One message, or several in one command.  Without a date it is of the moment in
# which this test began: given to both sides, in whichever second, it is the same.
sub append_cmd
{
	my ($self, $name, @messages) = @_;
	my $began = POSIX::strftime('%e-%b-%Y %H:%M:%S +0000', gmtime $^T);
	my $text = 'APPEND ' . Imapsync::Wire::astring($name);
	my $tag = 't' . ++$self->{tag};

	for my $m (@messages) {
		$text .= " ($m->{flags})" if defined $m->{flags};
		$text .= ' "' . ($m->{date} // $began) . '"';
		my $n = length $m->{body};
		if ($self->has('LITERAL+')) {
			$text .= " {$n+}\r\n$m->{body}";
			next;
		}
		$self->{wire}->put("$tag $text {$n}\r\n");
		my $line = $self->{wire}->line // die "no answer\n";
		while ($line =~ /^\* /) {
			$line = $self->{wire}->line // die "no answer\n";
		}
		if ($line !~ /^\+/) {
			my ($status, $rest) = $line =~ /^\S+ (\S+) ?(.*)/;
			return { status => uc $status, text => $rest,
			    code => '', untagged => [] };
		}
		$self->{wire}->put($m->{body});
		($tag, $text) = ($tag, '');
		$self->{part} = 1;
	}
	if (delete $self->{part}) {
		$self->{wire}->put("$text\r\n");
	} else {
		$self->{wire}->put("$tag $text\r\n");
	}
	return $self->finish($tag);
}

sub append
{
	my ($self, $name, $body, %o) = @_;
	my $r = $self->append_cmd($name, { body => $body, %o });

	die "APPEND to $name: $r->{status} $r->{text}\n"
	    if $r->{status} ne 'OK';
	return $r->{code} =~ /^APPENDUID \d+ (\d+)/i ? $1 : undef;
}

# Many messages, in commands of about 500 KB.  Without MULTIAPPEND one by one.
sub append_many
{
	my ($self, $name, @messages) = @_;
	my $multi = $self->has('MULTIAPPEND') && $self->has('LITERAL+');

	while (@messages) {
		my @batch = shift @messages;
		my $size = length $batch[0]{body};
		while ($multi && @messages && $size < 500_000) {
			push @batch, shift @messages;
			$size += length $batch[-1]{body};
		}
		my $r = $self->append_cmd($name, @batch);
		die "APPEND to $name: $r->{status} $r->{text}\n"
		    if $r->{status} ne 'OK';
	}
}

# Make the mailbox the selected one, if it isn't.
sub visit
{
	my ($self, $name) = @_;

	$self->select($name)
	    unless defined $self->{selected} && $self->{selected} eq $name;
}

sub store
{
	my ($self, $name, $set, $what, $flags) = @_;

	$self->visit($name);
	return $self->ok("UID STORE $set $what.SILENT ($flags)");
}

sub expunge
{
	my ($self, $name, $set) = @_;

	$self->visit($name);
	$self->ok("UID STORE $set +FLAGS.SILENT (\\Deleted)");
	return $self->ok($self->has('UIDPLUS') ? "UID EXPUNGE $set" :
	    'EXPUNGE');
}

sub copy
{
	my ($self, $name, $set, $to) = @_;

	$self->visit($name);
	return $self->ok("UID COPY $set", \$to);
}

# Call the sub with { uid, flags (list), date, body ... } for each message.
sub fetch_each
{
	my ($self, $name, $items, $sub) = @_;
	my $tag;

	$self->examine($name);
	$tag = $self->start("UID FETCH 1:* ($items)");
	my $r = $self->finish($tag, sub {
		return unless @_ >= 3 && uc($_[1] // '') eq 'FETCH';
		my %f = @{ $_[2] };
		my %m = (uid => $f{UID}, flags => $f{FLAGS},
		    date => $f{INTERNALDATE}, body => $f{'BODY[]'},
		    size => $f{'RFC822.SIZE'});
		$sub->(\%m);
	});
	$self->let_go;
	die "FETCH from $name: $r->{status} $r->{text}\n"
	    if $r->{status} ne 'OK';
}

# All messages of a mailbox, in UID order.
sub fetch_all
{
	my ($self, $name) = @_;
	my @all;

	$self->fetch_each($name, 'UID FLAGS INTERNALDATE BODY.PEEK[]',
	    sub { push @all, $_[0] });
	return sort { $a->{uid} <=> $b->{uid} } @all;
}

sub uids
{
	my ($self, $name) = @_;
	my @uids;

	$self->fetch_each($name, 'UID', sub { push @uids, $_[0]{uid} });
	return sort { $a <=> $b } @uids;
}

# STATUS as a hash with upper-case keys; undef if the mailbox isn't there.
sub status
{
	my ($self, $name, $items) = @_;

	$items //= 'MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ';
	my $r = $self->cmd('STATUS', \$name, "($items)");
	return if $r->{status} ne 'OK';
	for my $u (@{ $r->{untagged} }) {
		next unless uc $u->[0] eq 'STATUS';
		my %h = @{ $u->[2] };
		return { map { uc $_ => ref $h{$_} ? $h{$_}[0] : $h{$_} }
		    keys %h };
	}
	return;
}

# Every mailbox: { name, delim, attrs => {lower case => 1}, subscribed }.
sub list
{
	my ($self, $reference) = @_;
	my (%box, @order);

	for my $cmd ('LIST', 'LSUB') {
		my $r = $self->ok($cmd, \($reference // ''), '*');
		for my $u (@{ $r->{untagged} }) {
			next unless uc $u->[0] eq $cmd;
			my ($attrs, $delim, $name) = @$u[1 .. 3];
			my %attr = map { lc $_ => 1 } @$attrs;
			$name = 'INBOX' if uc $name eq 'INBOX';
			if ($cmd eq 'LSUB') {
				$box{$name}{subscribed} = 1
				    unless $attr{'\noselect'};
				next;
			}
			push @order, $name;
			$box{$name} = { name => $name, delim => $delim,
			    attrs => \%attr };
		}
	}
	return map { $box{$_} } @order;
}

sub close
{
	my ($self) = @_;

	return unless $self->{sock};
	eval { $self->cmd('LOGOUT') };
	CORE::close $self->{sock};
	Imapsync::Proc::reap($self->{pid}, 10) if $self->{pid};
	delete @$self{qw(sock wire pid)};
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{sock};
	local ($?, $@);
	CORE::close $self->{sock};
	Imapsync::Proc::reap($self->{pid}, 10)
	    if $self->{pid} && $$ == $self->{owner};
}

1;

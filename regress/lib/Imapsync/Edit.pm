# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A real server whose commands and answers a test may edit, one by one, and
# count while a run is still going on.
#
#	my $e = Imapsync::Edit->new(server => $dovecot, command => sub {
#		my ($t, $line) = @_;
#		return 'NO [NOPERM] not here' if $line =~ / UID STORE /;
#		return;
#	}, answer => sub {
#		my ($t, $line) = @_;
#		return $line =~ s/ UNSELECT//gr;
#	});
#	... a run with $e->section ...
#	$e->hooks(command => ...);	# others, from the next connection on
#	$e->raise('quiet');		# a hook asks: $t->flag('quiet')
#	$e->lower('quiet');
#	$e->commands;			# without tags and literals, so far
#	$e->count(qr/^UID STORE/);	# how many of them
#	$e->sent;			# octets that clients have sent so far
#
# command($t, $line): each command of the client, without its literals.  undef
# lets it pass, '' swallows it, a reference to another line (with the same tag)
# goes in its place; else the server gets a NOOP in its place, and the
# client the text as the tagged answer: in its turn, with the untagged lines in
# front that the text may begin with ("* 1 EXISTS\r\nOK done").  DONE comes here,
# too, without a tag.
# answer($t, $line): each line of the server's, where a literal stands only its
# {size}.  Returns it, others, or nothing.
# tick($t): about every "every" seconds (default 1).
#
# $t: put("* OK hello\r\n") to the client, asked($line)
# the command that a tagged line answers; mute() from now on nothing passes but
# what the test puts, the connection stays; number(), note(), flag(), hang_up()
# as in Fake.pm.
#
# The server is a tunnel, which greets with PREAUTH, or with login => 1 a daemon
# (Server.pm with "daemon").  Connections are served one after another.
package Imapsync::Edit;

use strict;
use warnings;
use IO::Socket::INET;
use Socket;
use Time::HiRes qw(time);
use Imapsync::Fake;
use Imapsync::Proc qw(spawn slurp spew);
use Imapsync::Tap;
use Imapsync::Wire;

our @ISA = ('Imapsync::Tap');

sub start
{
	my ($self) = @_;

	for my $file (qw(commands octets)) {
		spew("$self->{dir}/$file", '')
		    unless -e "$self->{dir}/$file";
	}
	Imapsync::Fake::start($self);
}

sub hooks
{
	my ($self, %o) = @_;

	$self->stop if $self->{pid};
	delete @$self{qw(command answer tick)};
	@$self{keys %o} = values %o;
	$self->start;
}

sub raise { spew("$_[0]{dir}/flag.$_[1]", '') }
sub lower { unlink "$_[0]{dir}/flag.$_[1]" }

sub commands
{
	my ($self) = @_;
	return split /\n/, slurp("$self->{dir}/commands");
}

sub count
{
	my ($self, $re) = @_;
	return scalar grep { $_ =~ $re } $self->commands;
}

sub sent { return -s "$_[0]{dir}/octets" // 0 }

# ---- in the relay's own process ----

sub reach
{
	my ($self) = @_;
	my $server = $self->{server};

	if ($self->{login}) {
		return (undef, IO::Socket::INET->new(Proto => 'tcp',
		    PeerAddr => '127.0.0.1', PeerPort => $server->port) ||
		    die "connect: $!\n");
	}
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	my $pid = spawn([$server->command], in => $theirs, out => $theirs);
	close $theirs;
	return ($pid, $ours);
}

sub one
{
	my ($self, $sock) = @_;
	my $t = bless { fake => $self, sock => $sock, out => $sock, in => $sock,
	    input => '', number => $self->{count}, buf => '', timeout => 60 },
	    'Imapsync::Edit::Conn';
	my $pid;

	($pid, $t->{server}) = $self->reach;
	$t->{way} = { c2s => { buf => '', left => 0 },
	    s2c => { buf => '', left => 0 } };
	for my $file (qw(commands octets)) {
		open($t->{log}{$file}, '>>:raw', "$self->{dir}/$file")
		    or die "$file: $!\n";
		$t->{log}{$file}->autoflush(1);
	}
	eval { $t->pass; 1 } or $t->note('edit: ' . ($@ =~ s/\n//gr));
	close $t->{server};
	Imapsync::Proc::reap($pid, 10) if $pid;
	$t->log_input;
}

package Imapsync::Edit::Conn;

use strict;
use warnings;
use Time::HiRes qw(time);

our @ISA = ('Imapsync::Fake::Conn');

sub flag { return -e "$_[0]{fake}{dir}/flag.$_[1]" }
sub mute { $_[0]{muted} = 1 }
sub to_server { return Imapsync::Wire->new(out => $_[0]{server})->put($_[1]) }

sub asked
{
	my ($self, $line) = @_;
	my ($tag) = $line =~ /^(\S+) /;

	return $self->{asked}{$tag // ''} // '';
}

sub pass
{
	my ($self) = @_;
	my $every = $self->{fake}{every} // 1;
	my $next = time + $every;
	my $tick = $self->{fake}{tick};

	for (;;) {
		my $rin = '';
		vec($rin, fileno($_), 1) = 1 for $self->{sock},
		    $self->{gone} ? () : $self->{server};
		my $wait = $tick ? $next - time : 60;
		my $n = select($rin, undef, undef, $wait > 0 ? $wait : 0);
		if ($tick && time >= $next) {
			$next = time + $every;
			$tick->($self);
		}
		next if $n <= 0;
		return if vec($rin, fileno($self->{sock}), 1) &&
		    !$self->take('c2s', $self->{sock});
		next if $self->{gone} ||
		    !vec($rin, fileno($self->{server}), 1);
		next if $self->take('s2c', $self->{server});
		# A muted connection stays though its server has ended.
		return unless $self->{muted};
		$self->{gone} = 1;
	}
}

# Read once; false at the end.
sub take
{
	my ($self, $name, $from) = @_;
	my $way = $self->{way}{$name};
	my $n = sysread($from, my $data, 65536);

	return 0 unless $n;
	if ($name eq 'c2s') {
		$self->{input} .= $data;
		print { $self->{log}{octets} } $data;
	}
	return 1 if $self->{muted};
	$way->{buf} .= $data;
	while ($way->{buf} ne '' && !$self->{muted}) {
		$self->step($name, $way) or last;
	}
	return 1;
}

# A piece of a literal, or a line.  False if more is needed.
sub step
{
	my ($self, $name, $way) = @_;

	if ($way->{left} > 0) {
		my $piece = substr($way->{buf}, 0, $way->{left}, '');
		$way->{left} -= length $piece;
		$self->onward($name, $piece) unless $way->{drop};
		return 1;
	}
	return 0 unless $way->{buf} =~ s/\A([^\n]*\n)//;
	my $line = $1 =~ s/\r?\n\z//r;
	my $fresh = !$way->{within};

	$way->{drop} = 0 if $fresh;
	if ($line =~ /\{(\d+)(\+?)\}\z/) {
		$way->{left} = $1;
		$way->{within} = 1;
		$way->{waits} = $2 eq '';
	} else {
		$way->{within} = 0;
	}
	if ($name eq 'c2s') {
		$self->from_client($way, $line, $fresh);
	} else {
		$self->from_server($way, $line);
	}
	return 1;
}

sub onward
{
	my ($self, $name, $data) = @_;

	return $name eq 'c2s' ? $self->to_server($data) : $self->put($data);
}

sub from_client
{
	my ($self, $way, $line, $fresh) = @_;
	my ($tag, $text) = $line =~ /^(\S+) (.*)/;
	my $hook = $self->{fake}{command};

	if (!$fresh) {
		$self->to_server("$line\r\n") unless $way->{drop};
		return;
	}
	if (defined $tag) {
		$self->{asked}{$tag} = $text;
		my $log = $text =~ /^(LOGIN|AUTHENTICATE \S+)/i ? $1 : $text;
		print { $self->{log}{commands} } "$log\n";
	}
	my $answer = $hook ? $hook->($self, $line) : undef;
	return $self->to_server("$line\r\n") unless defined $answer;
	return $self->to_server("$$answer\r\n") if ref $answer;
	$way->{drop} = 1;
	# Nothing follows a literal that waits and is refused.
	@$way{qw(left within)} = (0, 0) if $way->{within} && $way->{waits};
	return if $answer eq '' || !defined $tag;
	$self->{instead}{$tag} = $answer;
	$self->to_server("$tag NOOP\r\n");
}

sub from_server
{
	my ($self, $way, $line) = @_;
	my ($tag) = $line =~ /^([^\s*+]\S*) /;
	my $hook = $self->{fake}{answer};
	my $other = $self->{way}{c2s};

	# The literal that waits was refused: it does not come.
	@$other{qw(left within)} = (0, 0) if defined $tag &&
	    $other->{within} && $other->{waits} && $other->{left} > 0;
	if (defined $tag && defined(my $text = delete $self->{instead}{$tag})) {
		my $untagged = $text =~ s/\A((?:[*+][^\n]*\n)+)// ? $1 : '';
		return $self->put("$untagged$tag $text\r\n");
	}
	my @lines = $hook ? $hook->($self, $line) : $line;
	@lines = grep { defined } @lines;
	if (!@lines) {
		$way->{drop} = 1;
		return;
	}
	return if $way->{drop};
	$self->put(join '', map { "$_\r\n" } @lines);
}

1;

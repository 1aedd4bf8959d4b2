# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A relay between imapsync and a real server that knows what passes: it may send
# other commands than it was given, and give other answers, or none.
#
#	my $alter = Imapsync::Alter->new(server => $dovecot, command => sub {
#		my ($t, $tag, $text) = @_;	# "UID FETCH 1:4 (...)"
#		return $text;			# undef: it is not passed on
#	}, answer => sub {
#		my ($t, $response) = @_;	# whole: with literals and CRLF
#		return $response if $t->uid($response) ne $t->get('withhold');
#		return '';
#	});
#	$alter->set(withhold => 4);	# for the subs, at any time
#	$alter->set('withhold');	# they get '' again
#	... a run with $alter->section ...
#	$alter->connections;		# how many there have been
#
# The command is its first line, with the announcement of a literal, but
# without the tag; what comes in literals is passed on as it is.  Of $t the
# subs can ask:
#	$t->asked($tag)		the command of that tag
#	$t->sent		all commands: [tag, mailbox, text], ...
#	$t->mailbox		the one that is open, or being opened, by what
#				has been answered: of that a response tells
#	$t->opening		the SELECT or EXAMINE under way, or ''
#	$t->uid($response)	the UID of a FETCH, else ''
#	$t->tagged($response)	(tag, status, text), or nothing
#	$t->get(name)		what the test has set
#	$t->once(name)		true the first time, over all connections
#	$t->happened(name)	once(name) has been asked before
#	$t->number		of the connection, from 1
#	$t->hang_up		end the connection, now
#	$t->put(octets)		to the client
#	$t->let_pass		in front of a command: what came before it goes
#				to the server, and its answer begins
# and what else Tap.pm has.
package Imapsync::Alter;

use strict;
use warnings;
use Socket;
use Imapsync::Fake;
use Imapsync::Proc qw(spawn slurp spew);
use Imapsync::Tap;

our @ISA = ('Imapsync::Tap');

# How many there have been.
sub connections { return -s "$_[0]{dir}/connections" || 0 }

sub set
{
	my ($self, $name, $value) = @_;
	my $file = "$self->{dir}/set.$name";

	return unlink $file unless defined $value;
	spew("$file.new", $value);
	rename "$file.new", $file or die "rename: $!\n";
}

# The server's own directory.
sub dir { return $_[0]{server}->dir }

# In the relay's process: one connection.
sub one
{
	my ($self, $sock) = @_;
	my $t = Imapsync::Alter::Conn->new($self, $sock);

	open(my $fh, '>>', "$self->{dir}/connections") or die "count: $!\n";
	print $fh '.';
	close $fh;
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	my $pid = spawn([$self->{server}->command], in => $theirs,
	    out => $theirs);
	close $theirs;
	eval { $t->pass($ours); 1 } or $@ eq "hung up\n" or
	    $t->note("alter: $@");
	close $ours;
	Imapsync::Proc::reap($pid, 10);
	$t->log_input;
}

# ---- in the relay's process: one connection ----

package Imapsync::Alter::Conn;

use strict;
use warnings;
use Imapsync::Proc qw(slurp spew);

our @ISA = ('Imapsync::Fake::Conn');

sub new
{
	my ($class, @args) = @_;
	my $t = Imapsync::Fake::Conn::new($class, @args);

	@$t{qw(command answer)} = @{ $t->{fake} }{qw(command answer)};
	@$t{qw(c s literal opening)} = ('', '', 0, []);
	return $t;
}

# Octets both ways until either end closes.
sub pass
{
	my ($t, $server) = @_;
	my $sock = $t->{sock};
	my $wire = Imapsync::Wire->new(out => $server);

	@$t{qw(server wire_out)} = ($server, $wire);
	for (;;) {
		my $rin = '';
		vec($rin, fileno($_), 1) = 1 for $sock, $server;
		next if select($rin, undef, undef, undef) <= 0;
		if (vec($rin, fileno($sock), 1)) {
			sysread($sock, my $data, 65536) or return;
			$t->{input} .= $data;
			$wire->put($t->commands($data)) or return;
		}
		if (vec($rin, fileno($server), 1)) {
			# What has no end is passed on at the end.
			sysread($server, my $data, 65536)
			    or return $t->put($t->{s});
			$t->put($t->answers($data)) or return;
		}
	}
}

sub sent { return @{ $_[0]{sent} // [] } }
sub asked { return $_[0]{asked}{$_[1]} // '' }

sub get
{
	my ($t, $name) = @_;
	return eval { slurp("$t->{fake}{dir}/set.$name") } // '';
}

sub once
{
	my ($t, $name) = @_;
	my $file = "$t->{fake}{dir}/once.$name";

	return 0 if -e $file;
	spew($file, '');
	return 1;
}

sub happened { return -e "$_[0]{fake}{dir}/once.$_[1]" }

sub tagged
{
	my ($t, $response) = @_;
	return $response =~ /\A([^*+\s]\S*) (OK|NO|BAD) ?(.*)/;
}

sub uid
{
	my ($t, $response) = @_;
	return $response =~ /\A\* \d+ FETCH \((?:[^{]* )?UID (\d+)/ ? $1 : '';
}

sub mailbox
{
	my ($t) = @_;
	my $opening = $t->{opening}[0];

	return $opening->[1] if $opening && $t->{closed};
	return $t->{selected} // '';
}

sub opening
{
	my ($t) = @_;
	my $opening = $t->{opening}[0];

	return $opening && $t->{closed} ? $t->asked($opening->[0]) : '';
}

# What a SELECT or EXAMINE opens.
sub opens
{
	my ($text) = @_;

	return $2 // $1 if $text =~ /^(?:SELECT|EXAMINE) ("(.*?)"|\S+)/i;
	return;
}

sub commands
{
	my ($t, $data) = @_;
	my $hook = $t->{command};
	my $out = '';

	$t->{passing} = \$out;
	$t->{c} .= $data;
	while ($t->{c} ne '') {
		if ($t->{literal} > 0) {
			my $part = substr($t->{c}, 0, $t->{literal}, '');
			$t->{literal} -= length $part;
			$out .= $part;
			next;
		}
		last unless $t->{c} =~ s/\A([^\n]*)\n//;
		my $line = $1 =~ s/\r\z//r;
		my $within = $t->{within};
		my ($size) = $line =~ /\{(\d+)\+?\}\z/;
		$t->{literal} = $size // 0;
		$t->{within} = defined $size;
		if (!$within && $line =~ /^(\S+) (.*)/s) {
			my ($tag, $text) = ($1, $2);
			$t->{asked}{$tag} = $text;
			my $name = opens($text);
			push @{ $t->{opening} }, [$tag, $name] if defined $name;
			$t->{last} = $name if defined $name;
			push @{ $t->{sent} }, [$tag, $t->{last} // '', $text];
			$text = $hook->($t, $tag, $text) if $hook;
			next unless defined $text;
			$line = "$tag $text";
		}
		$out .= "$line\r\n";
	}
	return $out;
}

sub let_pass
{
	my ($t) = @_;
	my $out = $t->{passing};
	my $rin = '';

	return if $$out eq '';
	$t->{wire_out}->put($$out) or return;
	$$out = '';
	vec($rin, fileno($t->{server}), 1) = 1;
	select($rin, undef, undef, 10);
}

# The next response, whole; undef if there is no such yet.
sub response
{
	my ($t) = @_;
	my $at = 0;

	for (;;) {
		my $end = index($t->{s}, "\n", $at);
		return if $end < 0;
		my $line = substr($t->{s}, $at, $end + 1 - $at);
		$at = $end + 1;
		last unless $line =~ /\{(\d+)\}\r?\n\z/;
		$at += $1;
		return if length $t->{s} < $at;
	}
	return substr($t->{s}, 0, $at, '');
}

sub answers
{
	my ($t, $data) = @_;
	my $hook = $t->{answer};
	my $out = '';

	$t->{s} .= $data;
	while (defined(my $response = $t->response)) {
		my ($tag, $status) = $t->tagged($response);
		my $opening = $t->{opening}[0];
		my $opened = defined $tag && $opening && $opening->[0] eq $tag;

		# A first SELECT is not announced by [CLOSED].
		$t->{closed} = 1 if $response =~ /\A\* OK \[CLOSED\]/ ||
		    !defined $t->{selected};
		if ($opened) {
			shift @{ $t->{opening} };
			$t->{selected} = $status eq 'OK' ? $opening->[1] :
			    undef;
			$t->{closed} = 0;
		}
		$t->{sending} = \$out;
		$out .= ($hook ? $hook->($t, $response) : $response) // '';
	}
	$t->{sending} = undef;
	return $out;
}

# What was answered before goes out first.
sub put
{
	my ($t, $data) = @_;
	my $sending = $t->{sending};

	if ($sending) {
		$data = "$$sending$data";
		$$sending = '';
	}
	return Imapsync::Wire::put($t, $data);
}

sub hang_up
{
	my ($t, @how) = @_;

	$t->put('') if $t->{sending};
	Imapsync::Fake::Conn::hang_up($t, @how);
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Two servers and an imapsync between them, for tests that say which messages
# are where.  A message is named by its number: message(7) of Mail.pm.
#
#	my $p = Imapsync::Case->new(remote => { answer => sub { ... } });
#	$p->put('remote', 'INBOX', 1 .. 6);
#	my $r = $p->run(3, 'one is not given');		# a test: the status
#	$p->names($r, 'remote', 'INBOX', 4);	# a test: a line that has these
#	$p->has('local', 'INBOX', '1:3 5:6', 'the others');	# a test
#	$p->expunge('remote', 'INBOX', 2);
#	$p->equal('INBOX', '1 3:6');	# a test: on both, and all content equal
#	$p->rests(0);			# a test: one more run changes nothing
#	$p->settles('INBOX', '1:6');	# run(0), equal(), rests(0)
#	$p->mends('INBOX', '1:6');	# --repair and --adopt find nothing
#
# A side: a hash of Server.pm's options, with "command" and "answer" behind an
# Alter.pm, with "model" a Model.pm with these options; or a server.  "conf" is
# the configuration's default section; "content" goes to same_content().  Names
# of mailboxes have '/' and no reference, whatever the server has.  A message
# that a server can't show is kept from being asked for by hide('remote', 'INBOX', $uid).
package Imapsync::Case;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Imapsync::Alter;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Server;
use Imapsync::Wire;

our @EXPORT_OK = qw(named set_of);

my $number = 0;

sub new
{
	my ($class, %o) = @_;
	my $self = bless { hidden => {}, content => $o{content} // {} },
	    $class;

	for my $side ('local', 'remote') {
		$self->{$side} = server($side . ++$number, $o{$side} // {});
	}
	# Two accounts, also where both are reached through a relay.
	$self->{i} = Imapsync::Imapsync->new(local => $self->{local}->section,
	    remote => $self->{remote}->section(type($self->{remote}) eq
	    'imap' ? (host => 'localhost') : ()), conf => $o{conf} // {});
	return $self;
}

sub type { return $_[0]->section->{type} }

sub server
{
	my ($name, $o) = @_;

	return $o unless ref $o eq 'HASH';
	my %o = %$o;
	return Imapsync::Model->new(%o) if delete $o{model};
	my %hooks = map { exists $o{$_} ? ($_ => delete $o{$_}) : () }
	    qw(command answer);
	my $server = Imapsync::Server->new(name => $name, %o);
	return $server unless %hooks;
	return Imapsync::Alter->new(server => $server, user => $server->{user},
	    password => $server->{password}, reference => $server->reference,
	    %hooks);
}

sub i { return $_[0]{i} }
sub local { return $_[0]{local} }
sub remote { return $_[0]{remote} }
sub other { return $_[1] eq 'local' ? 'remote' : 'local' }

# A mailbox as the server of that side calls it.
sub spell
{
	my ($self, $side, $box) = @_;
	my $server = $self->{$side};

	return $box if $box eq 'INBOX';
	$server = $server->{server} if $server->isa('Imapsync::Tap');
	my $sep = $server->can('sep') ? $server->sep : '/';
	return $self->{$side}->reference . $box =~ s/\//$sep/gr;
}

# Do something with a client of that side.  It is kept for the next time, but by
# a model, which has one connection at a time.
sub with
{
	my ($self, $side, $sub) = @_;
	my $c = delete $self->{client}{$side} // $self->{$side}->client;
	my @result = $sub->($c);

	$c->unselect;
	if ($self->{$side}->isa('Imapsync::Model')) {
		$c->close;
		$self->wait_for_models;
	} else {
		$self->{client}{$side} = $c;
	}
	return wantarray ? @result : $result[0];
}

# Until they have written down what their last connection did.
sub wait_for_models
{
	my ($self) = @_;

	for my $server (@$self{'local', 'remote'}) {
		$server->lock if $server->isa('Imapsync::Model');
	}
}

# ---- changes ----

sub put
{
	my ($self, $side, $box, @n) = @_;

	$box = $self->spell($side, $box);
	$self->with($side, sub {
		my ($c) = @_;
		# If it is there already, what was asked is refused.
		$c->cmd('CREATE', \$box) if $box ne 'INBOX' && !$c->status($box);
		$c->append_many($box, map { { body => $self->body($_),
		    date => date_of($_) } } @n);
	});
}

sub body { return message($_[1], size => $_[0]{size} // 300) }

# The UIDs of numbers, as a set.
sub uids
{
	my ($self, $side, $box, @n) = @_;
	my %uid = $self->look($side, $box);
	my %by = reverse %uid;

	return Imapsync::Wire::make_set(map { $by{$_} //
	    die "no message $_ in $box on $side\n" } @n);
}

sub expunge
{
	my ($self, $side, $box, @n) = @_;
	my $set = $self->uids($side, $box, @n);
	my $name = $self->spell($side, $box);

	$self->with($side, sub { $_[0]->expunge($name, $set) });
}

# flags('remote', 'INBOX', '+FLAGS', '\Seen', 3, 4)
sub flags
{
	my ($self, $side, $box, $how, $flags, @n) = @_;
	my $set = $self->uids($side, $box, @n);
	my $name = $self->spell($side, $box);

	$self->with($side, sub { $_[0]->store($name, $set, $how, $flags) });
}

# ---- what is there ----

sub hide
{
	my ($self, $side, $box, @uids) = @_;
	@{ $self->{hidden}{$side}{$box} }{@uids} = (1) x @uids;
}

sub show
{
	my ($self) = @_;
	$self->{hidden} = {};
}

# (UID => number, ...) of all but the hidden ones.
sub look
{
	my ($self, $side, $box) = @_;
	my $hidden = $self->{hidden}{$side}{$box} // {};
	my %number;

	$box = $self->spell($side, $box);
	$self->with($side, sub {
		my ($c) = @_;
		my $set = Imapsync::Wire::make_set(grep { !$hidden->{$_} }
		    $c->uids($box));
		return if $set eq '';
		$c->examine($box);
		my $items = '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])';
		$c->finish($c->start("UID FETCH $set $items"), sub {
			my %f = @{ ref $_[2] ? $_[2] : [] };
			my ($head) = grep { /^BODY/ } keys %f;
			$number{$f{UID}} = $1 if defined $head &&
			    $f{$head} =~ /message (\d+)/;
		});
	});
	return %number;
}

# The numbers as a set: "1:3 5"; what is there twice is named twice.
sub numbers
{
	my ($self, $side, $box) = @_;
	my %number = $self->look($side, $box);

	return set_of(values %number);
}

sub set_of
{
	my (@n) = @_;
	my (%times, @more);

	$times{$_}++ for @n;
	for my $n (sort { $a <=> $b } keys %times) {
		push @more, ($n) x ($times{$n} - 1);
	}
	my $set = Imapsync::Wire::make_set(keys %times) =~ tr/,/ /r;
	return @more ? "$set, twice @more" : $set;
}

sub flags_of
{
	my ($self, $side, $box, $n) = @_;
	my $uid = $self->uids($side, $box, $n);

	return $self->with($side, sub {
		my ($c) = @_;
		$c->examine($self->spell($side, $box));
		my $r = $c->ok("UID FETCH $uid (UID FLAGS)");
		my ($f) = map { { @{ $_->[2] } } } grep {
		    uc($_->[1] // '') eq 'FETCH' } @{ $r->{untagged} };
		return join ' ', sort grep { $_ ne '\Recent' }
		    @{ $f->{FLAGS} };
	});
}

# All of both servers that could change.
sub everything
{
	my ($self) = @_;
	my @all;

	for my $side ('local', 'remote') {
		$self->with($side, sub { push @all, map { "$side $_" }
		    all_of($_[0]) });
	}
	return \@all;
}

sub all_of
{
	my ($c) = @_;
	my @all;

	for my $box (sort { $a->{name} cmp $b->{name} } $c->list) {
		push @all, "$box->{name} subscribed " .
		    ($box->{subscribed} // 0);
		my $s = $c->status($box->{name}, 'MESSAGES UIDNEXT UIDVALIDITY' .
		    ($c->has('CONDSTORE') ? ' HIGHESTMODSEQ' : '')) // next;
		push @all, map { "$box->{name} $_ " . ($s->{$_} // 'NIL') }
		    sort keys %$s;
		$c->fetch_each($box->{name}, 'UID FLAGS' .
		    ($c->has('CONDSTORE') ? ' MODSEQ' : ''), sub {
			push @all, join ' ', $box->{name}, $_[0]{uid},
			    sort grep { $_ ne '\Recent' } @{ $_[0]{flags} };
		});
	}
	return @all;
}

# Does a line name this UID of that mailbox on that side?
sub named
{
	my ($text, $side, $box, $uid) = @_;
	my $part = qr/\d+(?:[:-]\d+)?/;
	my $list = qr/$part(?:,? (?:and )?$part|,$part)*/;

	for my $line (split /\n/, $text) {
		next unless $line =~ /\b$side\b/ &&
		    $line =~ /(?<![^\s"(])\Q$box\E(?![^\s"):;,.])/;
		while ($line =~ /\bUIDs? ($list)/g) {
			for my $range ($1 =~ /($part)/g) {
				my ($from, $to) = $range =~ /(\d+)/g;
				return 1 if $from <= $uid &&
				    $uid <= ($to // $from);
			}
		}
	}
	return 0;
}

# ---- tests ----

sub run
{
	my ($self, $status, $what, @args) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $self->{i}->status_is($status, "$what: exit status", @args);
	$self->wait_for_models;
	return $r;
}

sub has
{
	my ($self, $side, $box, $numbers, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($self->numbers($side, $box), $numbers,
	    "$what: $box on $side");
}

sub equal
{
	my ($self, $box, $numbers, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->has($_, $box, $numbers, $what) for 'local', 'remote';
	return same_content($self->{local}, $self->{remote},
	    "$what: all is equal", %{ $self->{content} });
}

sub names
{
	my ($self, $r, $side, $box, @uids) = @_;
	my @not = grep { !named($r->{err}, $side, $box, $_) } @uids;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is("@not", '', "$box, UID @uids of $side: named")
	    || diag($r->{err});
}

# One more run: that status, and nothing is changed.  Not a word if it is 0.
sub rests
{
	my ($self, $status, $what) = @_;
	my $before = $self->everything;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $self->run($status, "$what, a further run");
	# But for what a server says in each run, and that can't be read.
	is("$r->{out}$r->{err}" =~ s/^.* and is passed over: .*\n//mgr, '',
	    "$what, a further run: silence") if $status == 0;
	is_deeply($self->everything, $before,
	    "$what, a further run: it changes nothing");
	return $r;
}

# What mends a state has nothing to mend, and brings nothing back.
sub mends
{
	my ($self, $box, $numbers, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $args (['--repair'], ['--adopt', $box], ['--repair']) {
		my $r = $self->run(0, "$what, then @$args", @$args);
		unlike($r->{err}, qr/\d copied/, "$what, @$args: no copies");
		$self->equal($box, $numbers, "$what, then @$args");
	}
	$self->rests(0, $what);
}

sub settles
{
	my ($self, $box, $numbers, $what, @args) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $self->run(0, $what, @args);
	$self->equal($box, $numbers, $what);
	$self->rests(0, $what);
	return $r;
}

1;

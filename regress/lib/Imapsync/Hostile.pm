# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What the tests of a hostile remote server have in common: two servers with the
# mailboxes INBOX, A, box and z, each with the messages 1 to 3; a state that
# knows of them; behind it message 4 has come on remote and 5 on local, to A,
# box and z.
#
#	my $h = Imapsync::Hostile->new;	# changed => ['box']: there alone
#	my @cases = ($h->bomb('an endless line', 'LIST', sub {
#		my ($c, $tag, @args) = @_;
#		$c->flood(80_000_000, 'x' x 65536);
#		return 1;	# no other answer than that
#	    }, says => qr/too long/, ...), ...);
#	$h->run(2, @cases);	# so many at once: a test each
#
# Where: GREETING; the name of a command (LIST, UID FETCH ...), its mailbox
# behind it; "SELECT box" is within the answer to that.  The sub is called once
# a connection, with each => 1 every time.  Judged is always that the run ends,
# and not by a signal, within "limit" seconds; its status (one of 0, 1, 3 and
# 75, or status => [...]); that it blames neither the state nor itself; that
# local has lost nothing and holds nothing twice, nothing strange; that the log
# is short; with memory => 1 that no process had more than BOUND kB.  And where
# it is said: says => what is said of remote, others => 1: A and z (or what
# alone was changed) were synchronised, judge => sub ($case, $r, $farm) { list
# of what is wrong }.  todo => why it can't pass yet.
#
# IMAPSYNC_ONLY=regex takes the cases of that name, IMAPSYNC_WORDS=1 shows what
# each run said.
package Imapsync::Hostile;

use strict;
use warnings;
use Storable ();
use Test::More;
use Imapsync::Farm;
use Imapsync::Mail qw(message);
use Imapsync::Store;

use constant BOUND => 65536;	# kB resident, each process
use constant SHORT => 1;	# timeout, where it may pass
use constant WAIT => 20;	# where it must not
use constant LOG => 30_000;	# octets on standard error

our $TODO;
my @boxes = qw(A INBOX box z);

sub give
{
	my ($store, $box, @n) = @_;

	$store->deliver($box, message($_, size => 300),
	    date => ' 1-Feb-2024 10:00:00 +0000') for @n;
}

# { "mailbox number" => how many, ... }, "odd" for what is none of ours.
sub mail
{
	my ($store) = @_;
	my %mail;

	for my $box (@boxes) {
		for my $m (@{ ($store->box($box) // {})->{messages} // [] }) {
			my ($n) = $m->{body} =~ /^Subject: message (\d+)\r/m;
			$n = 'odd' unless defined $n &&
			    $m->{body} eq message($n, size => 300);
			$mail{"$box $n"}++;
		}
	}
	return \%mail;
}

sub new
{
	my ($class, %o) = @_;
	my $self = bless { changed => ['A', 'box', 'z'], %o }, $class;
	my %store;

	for my $side ('local', 'remote') {
		my $store = $store{$side} = Imapsync::Store->new;
		for my $box (@boxes) {
			$store->create($box) unless $store->box($box);
			give($store, $box, 1 .. 3);
		}
	}
	my $case = { local => { store => $store{'local'} }, remote => {
	    store => $store{remote} }, keep => 1, args => ['--two-accounts'] };
	my $farm = Imapsync::Farm->new([$case], slots => 1);
	$farm->run(sub {
		my (undef, $r) = @_;
		die "the first run: $r->{err}" if $r->{status} != 0;
		$self->{state} = $r->{state};
		$self->{$_} = $farm->store($case, $_) for 'local', 'remote';
	}, $case);
	$farm->stop;
	for my $box (@{ $self->{changed} }) {
		give($self->{remote}, $box, 4);
		give($self->{local}, $box, 5);
	}
	return $self;
}

# A store of either side of before the run, changed by the sub.
sub changed
{
	my ($self, $side, $sub) = @_;
	my $store = Storable::dclone($self->{$side});

	$sub->($store);
	return $store;
}

sub hooks
{
	my ($where, $sub, $each) = @_;
	my ($command, $box) = $where =~ /^((?:UID )?\S+) ?(.*)/;
	my $once = sub {
		my ($c, @args) = @_;
		return 0 if $c->{bombed}++ && !$each;
		return $sub->($c, @args);
	};

	if ($command eq 'SELECT' && $box ne '') {
		return (select => sub { $_[0]{opening} = $_[1]; return },
		    out => sub {
			my ($c, $line) = @_;
			return $line if $line !~ /^\* OK \[HIGHESTMODSEQ/ ||
			    $c->{opening} ne $box;
			$c->{pending} .= "$line\r\n";
			$c->flush;
			$c->silence if $once->($c);
			return;
		});
	}
	return ($command => sub {
		my ($c, $tag, @args) = @_;
		my $name = $command eq 'APPEND' ? $args[0] : $c->{box_name};
		$name = $$name if ref $name;
		return 0 if $box ne '' && ($name // '') ne $box;
		return $once->($c, $tag, @args);
	});
}

sub bomb
{
	my ($self, $name, $where, $sub, %o) = @_;
	my %remote = (store => $self->{remote}, %{ delete $o{remote} // {} });
	my %more = %{ delete $o{hooks} // {} };

	if ($where eq 'GREETING') {
		$remote{early} = $sub;
	} else {
		$remote{hooks} = { hooks($where, $sub, $o{each}), %more };
	}
	return { name => $name, state => $self->{state}, limit => 60,
	    keys => { remote => { timeout => $o{others} ? WAIT : SHORT } },
	    local => { store => $self->{local} }, remote => \%remote, %o };
}

# Answers of the right form; nothing but what SELECT tells of "box" is a lie.
sub lie
{
	my ($self, $name, $sub, %o) = @_;

	return $self->bomb($name, 'NOTHING', sub { 0 }, others => 1, hooks =>
	    { select => sub {
		my ($c, $box, $info) = @_;
		$sub->($c, $info) if $box eq 'box';
		return;
	    } }, %o);
}

sub wrong
{
	my ($self, $farm, $case, $r) = @_;
	my $mail = mail($farm->store($case, 'local'));
	my @must = @{ $case->{must} // [1 .. 3, 5] };
	my @status = @{ $case->{status} // [0, 1, 3, 75] };
	my %changed = map { $_ => 1 } @{ $self->{changed} };
	my @wrong;

	push @wrong, 'it did not end' if $r->{late};
	push @wrong, "it ended by signal $r->{signal}"
	    if $r->{signal} && !$r->{late} && !$case->{ended};
	push @wrong, "exit $r->{status}" if !$r->{signal} &&
	    !grep { $_ == $r->{status} } @status;
	push @wrong, 'it blames the wrong one' if $r->{err} =~
	    /report\ it|state\ file|\.db\b|sandbox|bridge|server's\ process|
	    ^engine: /mx;
	push @wrong, 'the log has ' . length($r->{err}) . ' octets'
	    if length $r->{err} > LOG;
	push @wrong, 'remote is not named' if $r->{status} > 0 &&
	    $r->{err} !~ /\bremote\b/;
	push @wrong, "no word of $case->{says}"
	    if $case->{says} && $r->{err} !~ $case->{says};
	push @wrong, map { "$_ has $r->{peak}{$_} kB resident" }
	    grep { $r->{peak}{$_} > BOUND } sort keys %{ $r->{peak} };
	for my $box (@boxes) {
		push @wrong, map { "local has lost $box $_" } grep {
		    !$mail->{"$box $_"} && ($_ != 5 || $changed{$box}) }
		    @must;
	}
	push @wrong, map { "local has $mail->{$_} of $_" } grep {
	    $mail->{$_} > 1 } sort keys %$mail;
	push @wrong, 'local has what nobody wrote'
	    if grep { /odd/ } keys %$mail;
	return @wrong unless $case->{others};
	my $there = mail($farm->store($case, 'remote'));
	my @others = keys %changed == 1 ? keys %changed : qw(A z);
	for my $what (map { my $box = $_; map { "$box $_" } 1 .. 5 } @others) {
		push @wrong, "local has no $what" unless $mail->{$what};
		push @wrong, "remote has no $what" unless $there->{$what};
	}
	return @wrong;
}

sub run
{
	my ($self, $at_once, @cases) = @_;
	my $only = $ENV{IMAPSYNC_ONLY};		# by hand

	@cases = grep { $_->{name} =~ /$only/ } @cases if defined $only;
	my $farm = Imapsync::Farm->new(\@cases, slots => $at_once);
	$farm->run(sub {
		my ($case, $r) = @_;
		my @wrong = $self->wrong($farm, $case, $r);
		push @wrong, $case->{judge}->($case, $r, $farm)
		    if $case->{judge};
		my ($most) = sort { $r->{peak}{$b} <=> $r->{peak}{$a} }
		    keys %{ $r->{peak} };
		note(sprintf '%s: exit %d, %.1f s%s', $case->{name},
		    $r->{status}, $r->{seconds}, defined $most ?
		    ", $most $r->{peak}{$most} kB" : '');
		note(map { "\t" . substr($_, 0, 300) . "\n" }
		    split /\n/, $r->{err}) if $ENV{IMAPSYNC_WORDS};
		local $TODO = $case->{todo};
		ok(!@wrong, $case->{name}) or diag(join "\n", @wrong,
		    map { substr $_, 0, 400 } (split /\n/, $r->{err}, 9),
		    $farm->notes($case, 'remote'));
	}, @cases);
	$farm->stop;
}

1;

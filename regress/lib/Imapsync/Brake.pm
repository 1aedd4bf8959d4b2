# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Several watches at once that have a reason to go round and round: whether they
# have a brake.  Octets, passes and commands are counted, not seconds: a slow
# machine makes fewer of them.
#
#	my $b = Imapsync::Brake->new;
#	$b->add(what => 'D1: STORE is refused', i => $i,	# Imapsync.pm
#	    args => ['--watch=3600'], edits => [$local, $remote],
#	    begin => sub { ... },	# once it watches: what makes it go round
#	    once => qr/^INBOX: .*remote/m,	# said once, however many passes
#	    few => qr/^UID STORE/,		# sent fewer than LIMIT times
#	    change => sub { ... return sub { is it there? } },
#	    words => sub { my ($err) = @_; further tests of what was said },
#	    after => sub { my ($s) = @_; further tests, once it has ended });
#	$b->judge;		# a subtest each
#
# The sides are Edit.pm's, since those count what passes.  A few run at a time,
# or none of them could go fast enough to be caught.
package Imapsync::Brake;

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Proc qw(wait_for);
use Imapsync::Watch;
use Imapsync::Sides;

use constant WINDOW => 10;	# seconds of watching in which is counted
use constant OCTETS => 20_000;	# sent to a server meanwhile, at most
use constant PASSES => 12;
use constant SOON => 15;	# seconds; a brake that holds all is longer
use constant BATCH => 8;

sub new { return bless { all => [] }, $_[0] }

sub add
{
	my ($self, %o) = @_;

	# Every second one: see Sides.pm.
	return if $self->{n}++ % 2 && !all_cases();
	push @{ $self->{all} }, { args => ['--watch=3600'], %o };
}

# A pass begins with one LIST that has the numbers of all mailboxes.
sub numbers
{
	my ($edit, $few) = @_;

	return { octets => $edit->sent, passes => $edit->count(qr/^LIST .*STATUS/),
	    waits => $edit->count(qr/^(?:IDLE|NOTIFY)/),
	    few => defined $few ? $edit->count($few) : 0 };
}

sub all_numbers
{
	my ($s) = @_;
	return [map { numbers($_, $s->{few}) } @{ $s->{edits} }];
}

sub start
{
	my ($s) = @_;

	$s->{w} = Imapsync::Watch->new($s->{i}, @{ $s->{args} });
	$s->{ok} = eval {
		wait_for(60, 'the first wait', sub {
			!grep { !$_->count(qr/^(?:IDLE|NOTIFY)/) }
			    @{ $s->{edits} } });
		$s->{before} = all_numbers($s);
		$s->{begin}->() if $s->{begin};
		1;
	};
	$s->{why} = $@;
}

sub judge
{
	my ($self) = @_;

	while (my @some = splice @{ $self->{all} }, 0, BATCH) {
		start($_) for @some;
		sleep WINDOW;
		$_->{now} = all_numbers($_) for @some;
		$_->{there} = $_->{change}->()
		    for grep { $_->{change} } @some;
		for my $s (@some) {
			subtest $s->{what} => sub { one($s) };
		}
	}
}

sub one
{
	my ($s) = @_;
	my $letter = $s->{what} =~ /^(\w+):/ ? $1 : '';

	ok($s->{ok}, "$letter: it watches") or diag($s->{why}, $s->{w}->all);
	count($s, $letter);
	ok(scalar(eval { wait_for(SOON, 'a change', $s->{there}) }),
	    "$letter: a change elsewhere arrives meanwhile") if $s->{there};
	my $r = $s->{w}->end('TERM');
	is($r->{signal}, 15, "$letter: it watched to the end")
	    or diag($r->{err});
	if ($s->{once}) {
		my $n = () = $r->{err} =~ /$s->{once}/g;
		is($n, 1, "$letter: its line is there, once") or
		    diag(substr $r->{err}, 0, 2000);
	}
	is(join("\n", twice($r->{err})), '', "$letter: no warning comes twice");
	$s->{words}->($r->{err}) if $s->{words};
	$s->{after}->($s) if $s->{after};
}

# The lines that are there more than once and do not tell what was done.
sub twice
{
	my ($err) = @_;
	my %seen;

	return grep { $seen{$_}++ == 1 } grep {
	    !/^(?:status:|waiting) |copied to |(?:deleted|created|changed) on/
	    } split /\n/, $err;
}

sub count
{
	my ($s, $letter) = @_;
	my @side = ('local', 'remote');

	for my $n (0 .. $#{ $s->{edits} }) {
		my ($old, $new) = ($s->{before}[$n] // next, $s->{now}[$n]);
		my $did = { map { $_ => $new->{$_} - $old->{$_} } keys %$new };

		cmp_ok($did->{octets}, '<', OCTETS,
		    "$letter: $side[$n]: few octets");
		cmp_ok($did->{passes}, '<', PASSES,
		    "$letter: $side[$n]: few passes");
		cmp_ok($did->{waits}, '<', PASSES,
		    "$letter: $side[$n]: few times IDLE or NOTIFY");
		cmp_ok($did->{few}, '<', PASSES, "$letter: $side[$n]: what " .
		    'was in vain is not tried all the time') if $s->{few};
	}
}

1;

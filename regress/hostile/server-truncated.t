#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# One session with a deletion and a copy each way, cut at every octet of what
# the remote server sends (a part of them is drawn): closed there, and left open
# and silent.  The run ends with the words and the status of a lost server, the
# other server is unharmed, and what comes next finds its way (seen in one of
# ELEVEN).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Farm;
use Imapsync::Sides;
use Imapsync::Store;
use Imapsync::Wire;

use constant LAST => 29;	# octets of the answer to LOGOUT
use constant ELEVEN => 11;	# a prime, so that it meets both kinds

# No modseq is told, so that deletions are seen in a list that may be cut.
my $caps = 'IMAP4rev1 ENABLE UIDPLUS LIST-EXTENDED LIST-STATUS QRESYNC';

# Few words: what a client needs to know of the answers.
sub terse
{
	my ($c, $line) = @_;

	return if $line =~ /^\* (?:FLAGS|\d+ RECENT|OK \[(?:PERM|CLOSED))/;
	$line =~ s/^\* OK \[CAPA.*/* OK k/;
	# What is offered ahead of the login is asked for again behind it.
	$line =~ s/^(\* CAPABILITY IMAP4rev1) .*/$1/ if $c->{state} eq 'n';
	$line =~ s/^(\w+ OK )\[(?:READ|HIGH).*?\] /$1/;
	$line =~ s/^((?:\* |\w+ )OK (?:\[.*\] )?)\w[\w ]*\z/$1k/;
	$line =~ s/ MODSEQ \(\d+\)//;
	return $line;
}

my %remote = (caps => $caps, hooks => { out => \&terse, status => sub {
	delete $_[2]{highestmodseq};
	return;
} });

sub text { return "Message-ID: <$_[0]>\r\n\r\n$_[0]\r\n" }

sub give
{
	my ($store, $box, @n) = @_;

	$store->create($box) unless $store->box($box);
	$store->deliver($box, text($_),
	    date => ' 1-Feb-2024 10:00:00 +0000') for @n;
}

sub before
{
	my $store = Imapsync::Store->new(validity => 0);

	give($store, 'INBOX', 1);
	return $store;
}

# The mail as { "mailbox number" => [flags of each of its copies] }.
sub mail
{
	my ($store) = @_;
	my %mail;

	for my $box ($store->names) {
		for my $m (@{ $store->box($box)->{messages} }) {
			my ($n) = $m->{body} =~ /^Message-ID: <(\d+)>/;
			my $name = $m->{body} eq text($n // 0) ? $n : 'odd';
			push @{ $mail{"$box $name"} },
			    join ' ', sort map { lc } @{ $m->{flags} };
		}
	}
	return \%mail;
}

sub as_text
{
	my ($mail) = @_;

	return join "\n", map { "$_: @{ [map { \"($_)\" } @{ $mail->{$_} }] }" }
	    sort keys %$mail;
}

# ---- the state, and the changes behind it ----

my ($state, $local, $remote);
{
	my $case = { name => 'the first run', keep => 1,
	    local => { store => before() }, remote => { store => before(),
	    %remote }, args => ['--two-accounts'] };
	my $farm = Imapsync::Farm->new([$case], slots => 1);
	$farm->run(sub {
		my (undef, $r) = @_;
		is($r->{status}, 0, $case->{name}) or diag($r->{err});
		$state = $r->{state};
		$local = $farm->store($case, 'local');
		$remote = $farm->store($case, 'remote');
	}, $case);
	$farm->stop;
}
# Few, so that it can be cut often: the one message that both have goes, each
# side gets another.
$remote->remove('INBOX', 1);
give($remote, 'INBOX', 2);
give($local, 'INBOX', 3);

my $goal = as_text({ map { $_ => [''] } 'INBOX 2', 'INBOX 3' });
# What the honest side may have on the way there, and must have.
my %may = ('INBOX 1' => 0, 'INBOX 2' => 0, 'INBOX 3' => 1);

sub unharmed
{
	my ($mail) = @_;
	my @wrong;

	for my $name (sort keys %may) {
		my @have = @{ $mail->{$name} // [] };
		push @wrong, "$name is gone" if $may{$name} && !@have;
		push @wrong, "$name is there twice" if @have > 1;
		push @wrong, "$name has flags" if grep { $_ ne '' } @have;
	}
	push @wrong, map { "$_ came from nowhere" } grep { !exists $may{$_} }
	    sort keys %$mail;
	return @wrong;
}

# ---- every octet ----

sub pair
{
	my (%o) = @_;

	return (state => $state, local => { store => $local },
	    remote => { store => $remote, %remote, %o }, keys => { remote => {
	    compress => 'NO', $o{open} ? (timeout => 1) : () } });
}

my $whole;
{
	my $case = { name => 'uncut', pair() };
	my $farm = Imapsync::Farm->new([$case], slots => 1);
	$farm->run(sub {
		my (undef, $r) = @_;
		is($r->{status}, 0, "$case->{name}: exit 0") or
		    diag($r->{err});
		is(as_text(mail($farm->store($case, $_))), $goal,
		    "$case->{name}: $_ has all") for 'local', 'remote';
		$whole = $farm->text($case, 'remote', 'sent');
	}, $case);
	$farm->stop;
}
note("$whole octets");
cmp_ok($whole, '>', 700, 'a session worth to be cut');

my @cases;
for my $at (0 .. $whole - 1) {
	push @cases, { name => "closed at $at", at => $at,
	    pair(cut => $at) };
	push @cases, { name => "silent at $at", at => $at,
	    pair(cut => $at, open => 1) };
}
my $n = 0;
for my $case (@cases) {
	$case->{$n++ % ELEVEN == 0 ? 'keep' : 'brief'} = 1;
}

my %wrong;	# kind => [case, ...]
sub wrong
{
	my ($kind, $case, $r) = @_;

	push @{ $wrong{$kind} }, "$case->{name}: exit $r->{status}, signal " .
	    "$r->{signal}: $r->{err}";
}

my (%status, @again);
sub judge
{
	my ($farm, $case, $r) = @_;
	my $err = $r->{err};
	my $mail = mail($farm->store($case, 'local'));

	$status{$r->{status}}++;
	wrong('ends', $case, $r) if $r->{late};
	wrong('no signal', $case, $r) if $r->{signal} && !$r->{late};
	# Behind LOGOUT nothing is missed.
	wrong('exit 75', $case, $r) unless $r->{status} == 75 ||
	    $r->{status} == 0 && $err !~ /remote: / &&
	    as_text($mail) eq $goal && $case->{at} >= $whole - LAST;
	my $words = $case->{remote}{open} ? qr/no .* for 1 s/ :
	    qr/lost the server|cannot connect to localhost .*reset by/;
	wrong('who is lost, in one line', $case, $r) if $r->{status} &&
	    (grep { /^remote: .*localhost/ && $_ =~ $words }
	    split /\n/, $err) != 1;
	wrong('blames nobody else', $case, $r) if $err =~
	    /report it|state file|\.db\b|^local: (?!the other side ended)/m;
	wrong("the other side: $_", $case, $r) for unharmed($mail);
	push @again, { name => "$case->{name}, then", state => $r->{state},
	    local => { store => $farm->store($case, 'local') },
	    remote => { store => $farm->store($case, 'remote'), %remote } }
	    if $case->{keep};
}

# What is cut within a word is read by the same lines: every sixth octet, and of
# the silent servers, which cost their timeout as well, every twelfth; which of
# them is drawn.  `make cases` takes all.
@cases = (drawn(12, grep { $_->{remote}{open} } @cases),
    drawn(6, grep { !$_->{remote}{open} } @cases));
my $farm = Imapsync::Farm->new(\@cases, slots => 12);
$farm->run(sub { judge($farm, @_) }, grep({ $_->{remote}{open} } @cases));
$farm->stop;
$farm = Imapsync::Farm->new(\@cases, slots => 3);
$farm->run(sub { judge($farm, @_) }, grep({ !$_->{remote}{open} } @cases));
$farm->stop;

for my $kind ('ends', 'no signal', 'exit 75', 'who is lost, in one line',
    'blames nobody else', grep { /^the other/ } sort keys %wrong) {
	my @list = @{ $wrong{$kind} // [] };
	is(scalar @list, 0, "each: $kind") or
	    diag(map { "  $_" } @list[0 .. ($#list > 5 ? 5 : $#list)]);
}
note(join ', ', map { "exit $_: $status{$_}" } sort keys %status);

# ---- and then ----

my @unequal;
my $next = Imapsync::Farm->new(\@again, slots => 12);
$next->run(sub {
	my ($case, $r) = @_;
	my $err = "$case->{name}: exit $r->{status}: $r->{err}";
	push @unequal, $err if $r->{status} != 0 || $r->{signal};
	for my $side ('local', 'remote') {
		my $mail = as_text(mail($next->store($case, $side)));
		push @unequal, "$err$side:\n$mail\n" if $mail ne $goal;
	}
}, @again);
$next->stop;
cmp_ok(scalar @again, '>', @cases / (ELEVEN + 4), 'what follows was looked at');
is(scalar @unequal, 0, 'an honest run behind it makes all equal') or
    diag(@unequal[0 .. ($#unequal > 3 ? 3 : $#unequal)]);

done_testing;

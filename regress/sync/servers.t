#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Real servers, each as either side of a Dovecot: all that is promised with it,
# and what must not be believed of it.  `make cases` takes each of them as both
# sides; `make regress`, which has not all day, one of each kind and one side of
# it.
#
# What they change themselves, and is not compared:
#	Courier		a bare LF becomes CRLF, a lone CR is dropped, what has
#			no end of line at its end gets one
#	Cyrus		refuses such messages
#	hoodiecrow	nothing (Dovecot makes CRLF of a bare LF)
#
#	TABLE_SEED=n	the same ones again
#	prove servers.t :: Courier		these alone, on both sides

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Alter;
use Imapsync::Case;
use Imapsync::Hidden qw(plain);
use Imapsync::Mail qw(message);
use Imapsync::Pair qw(dovecot server);
use Imapsync::Proc qw(wait_for);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $only = shift // '';
my $seed = $ENV{TABLE_SEED} // int(rand(1_000_000));
srand($seed);

my @courier = (
	{ name => 'Courier', kind => 'courier', strategy => 'plain' },
);
my @hoodiecrow = (
	{ name => 'hoodiecrow, CONDSTORE', kind => 'hoodiecrow', strategy =>
	    'condstore', plugins => Imapsync::Server::hoodiecrow_plugins() },
	{ name => 'hoodiecrow, RFC 3501', kind => 'hoodiecrow', strategy =>
	    'plain' },
);
my @mailutils = (
	{ name => 'mailutils, maildir', kind => 'mailutils', strategy =>
	    'plain', ghosts => 1 },
	{ name => 'mailutils, mbox', kind => 'mailutils', format => 'mbox',
	    strategy => 'plain', ghosts => 1 },
);
my @qresync = map { ({ %$_, strategy => 'qresync' },
    { %$_, strategy => 'condstore', hide => ['QRESYNC', 'IDLE', 'NOTIFY'] },
    { %$_, strategy => 'plain', hide => [plain()] }) }
    { name => 'Dovecot', kind => 'dovecot' },
    # Of what was expunged meanwhile it still has the body.
    { name => 'Cyrus', kind => 'cyrus', strict => 1, keeps => 1 };
$_->{name} .= ", $_->{strategy}" for @qresync;

# All that there is, or one of it.
sub one_of
{
	return @_ if all_cases() || $only ne '';
	return $_[rand @_];
}

diag("TABLE_SEED=$seed");
for my $k (grep { $_->{name} =~ /$only/ } @courier, one_of(@hoodiecrow),
    one_of(@mailutils), one_of(@qresync)) {
	my $why = Imapsync::Server->missing($k->{kind});
	for my $side (one_of('remote', 'local')) {
		subtest "$k->{name}, $side" => sub {
			plan skip_all => $why if $why;
			my $t = Table->new($k, $side);
			$k->{ghosts} ? $t->ghosts : $t->all;
		};
	}
}

my $number = 0;

sub name { return 'server' . ++$number }
sub other { return $_[0] eq 'local' ? 'remote' : 'local' }

done_testing;

# ---- one server on one side, behind a relay that sees what passes ----

package Table;

use strict;
use warnings;
use Test::More;
use Imapsync::Hidden qw(hidden);
use Imapsync::Pair qw(count server);
use Imapsync::Proc qw(wait_for);
use Imapsync::Wire;

sub new
{
	my ($class, $k, $side) = @_;
	my $self = bless { %$k, side => $side, other => main::other($side) },
	    $class;
	my $server = $self->{server} = server(%$k, name => main::name());

	my %hooks = (command => sub { return $self->command(@_) },
	    answer => sub { return $self->answer(@_) });
	%hooks = hidden($self->{hide}, %hooks) if $self->{hide};
	$self->{p} = Imapsync::Case->new($side => Imapsync::Alter->new(
	    server => $server, reference => $server->reference, %hooks),
	    content => { body => \&alike });
	return $self;
}

# What becomes of a body on any of them.
sub alike
{
	my ($body) = @_;

	$body =~ s/\r*\n/\r\n/g;
	$body =~ s/\r(?!\n)//g;
	return $body =~ /\n\z/ ? $body : "$body\r\n";
}

# In the relay: what the test has set.
sub command
{
	my ($self, $t, $tag, $text) = @_;

	# With MULTIAPPEND there is one only.
	if ($text =~ /^APPEND/ && $t->get('kill') eq 'append' &&
	    ++$t->{appends} == ($self->{strategy} eq 'plain' ||
	    $self->{kind} eq 'hoodiecrow' ? 3 : 1)) {
		kill_run($t);
	}
	if ($text =~ /BODY\.PEEK\[\]/ && $t->get('expunge') ne '') {
		# Behind the SELECT in front of it.
		$t->let_pass;
		$self->{server}->client->expunge('INBOX', $t->get('expunge'))
		    if $t->once('expunge');
	}
	return $text;
}

sub answer
{
	my ($self, $t, $response) = @_;

	if ($response =~ /BODY\[\] \{/ && $t->get('kill') eq 'body' &&
	    ++$t->{bodies} == 3) {
		kill_run($t);
	}
	if ($response =~ /\A(\S+) (NO|BAD) ?(.*)/ && $1 ne '*') {
		$t->note("$2 to " . $t->asked($1) . ": $3");
	}
	my $hide = $t->get('hide');
	return $response if $hide eq '';
	return '' if $response =~ /\A\* \d+ FETCH \(.*UID $hide\b/;
	$response =~ s/ $hide\b// if $response =~ /\A\* SEARCH/;
	$response =~ s/ ALL (\S+)/without($1, $hide)/e
	    if $response =~ /\A\* ESEARCH/;
	# It is said to be gone, where that is told.
	my ($tag) = $t->tagged($response);
	return "* VANISHED (EARLIER) $hide\r\n$response" if defined $tag &&
	    $t->asked($tag) =~ /\(QRESYNC \(/;
	return $response;
}

sub without
{
	my ($set, $uid) = @_;
	my $left = Imapsync::Wire::make_set(grep { $_ != $uid }
	    map { my ($lo, $hi) = split /:/; $lo .. $hi // $lo }
	    split /,/, $set);

	return $left eq '' ? '' : " ALL $left";
}

sub kill_run
{
	my ($t) = @_;
	my $pid = wait_for(20, 'the process', sub { $t->get('pid') });

	kill 'KILL', $pid;
}

sub all
{
	my ($self) = @_;
	my ($p, $side, $other) = @$self{qw(p side other)};

	my $r = $p->run(0, '--check', '--check');
	like($r->{out}, qr/^$side: .*?^    strategy: $self->{strategy} \(/ms,
	    '--check');
	$self->changes($p, $side, $other);
	$self->odd($p, $side, $other) if !$self->{strict};
	$self->lies($p, $side, $other);
	$self->killed($p, $side, $other);
	my @notes = grep { !/^NO to (?:STATUS|APPEND)/ } $p->{$side}->notes;
	is_deeply(\@notes, [], 'nothing was sent that it refuses');
}

# mailutils, without UIDPLUS, shows its last message for one that is not there, and
# would store to it: nothing is changed there, and nothing believed; new mail is
# copied, until it gives another UIDVALIDITY or other UIDs to what it has.
sub ghosts
{
	my ($self) = @_;
	my ($p, $side, $other) = @$self{qw(p side other)};
	my $run = sub {
		my $r = $p->run(3, $_[0]);
		like($r->{err}, qr/the $side server shows its last|UIDVALIDITY/,
		    "$_[0]: why");
	};

	$p->put($other, 'INBOX', 1 .. 5);
	$p->put($side, 'sub', 13, 14);
	$p->flags($other, 'INBOX', '+FLAGS', '\Seen Word', 2, 3);
	# It has no INBOX before that was asked for.
	$p->i->run;
	$run->('first run');
	$p->has($side, 'INBOX', '1:5', 'new there');
	$p->has($other, 'sub', '13:14', 'and from there');

	$p->expunge($other, 'INBOX', 1);
	$p->flags($other, 'INBOX', '+FLAGS', '\Flagged', 4);
	$p->put($other, 'INBOX', 6);
	$p->put($side, 'sub', 15);
	$run->('changes') for 1 .. 3;
	$p->has($other, 'INBOX', '2:6', 'what was deleted does not come back');
	is($p->flags_of($other, 'INBOX', 2), 'Word \Seen', 'flags stay');
	is($p->flags_of($other, 'INBOX', 4), '\Flagged', 'this one, too');
	like($p->numbers($side, 'INBOX'), qr/\A1:[56]\z/,
	    'nothing is deleted there, or twice');
	like($p->numbers($other, 'sub'), qr/\A13:1[45]\z/, 'nor here');
}

sub changes
{
	my ($self, $p, $side, $other) = @_;

	$p->put($side, 'INBOX', 1 .. 8);
	$p->put($other, 'INBOX', 31 .. 33);
	$p->put($other, 'sub/box', 21 .. 23);
	$p->put($side, 'more', 41);
	$p->flags($side, 'INBOX', '+FLAGS', '\Seen', 1 .. 4);
	$p->run(0, 'first run');
	# A parent that the other server has made, and a subscription of its.
	$p->run(0, 'what the servers have made');
	$p->equal('INBOX', '1:8 31:33', 'first run');
	$p->equal('sub/box', '21:23', 'first run');
	$p->rests(0, 'first run');

	$p->put($side, 'INBOX', 13, 14);
	$p->put($other, 'INBOX', 15, 16);
	$p->flags($side, 'INBOX', '+FLAGS', '\Flagged Word', 2, 31);
	$p->flags($other, 'INBOX', '-FLAGS', '\Seen', 1, 2);
	$p->settles('INBOX', '1:8 13:16 31:33', 'new and flags on both');
	is($p->flags_of($side, 'INBOX', 2), 'Word \Flagged', 'merged');

	$p->expunge($side, 'INBOX', 3, 16);
	$p->expunge($other, 'INBOX', 4, 1);
	$p->expunge($other, 'sub/box', 21 .. 23);
	$p->settles('INBOX', '2 5:8 13:15 31:33', 'expunged on both');
	$p->expunge($side, 'INBOX', 5);
	$p->put($side, 'INBOX', 17);
	$p->expunge($other, 'INBOX', 6);
	$p->put($other, 'INBOX', 18);
	$p->flags($side, 'INBOX', '+FLAGS', '\Answered', 7);
	$p->settles('INBOX', '2 7:8 13:15 17:18 31:33', 'all at once');
}

# What a server alters is not altered for it, nor deleted as another one.
sub odd
{
	my ($self, $p, $side, $other) = @_;
	my @how = (sub { $_[0] =~ s/\r\n\z// },
	    sub { $_[0] =~ s/\r\n/\n/g },
	    sub { $_[0] .= "a lone \r in a line\r\n" },
	    sub { $_[0] =~ s/^Subject: /Subject: Gr\xfc\xdfe, /m },
	    # As many octets as what Courier makes up.
	    sub {
		$_[0] =~ s/\A.*^(Subject:[^\r]*\r\n).*/$1\r\n/ms;
		$_[0] .= '.' x (127 - length $_[0]) . "\r\n";
	    });

	for ([$side, 50], [$other, 60]) {
		my ($from, $n) = @$_;
		my @odd = map { main::message($n + $_) } 0 .. $#how;
		$how[$_]->($odd[$_]) for 0 .. $#how;
		$p->with($from, sub { $_[0]->append_many('INBOX', map {
		    { body => $_ } } @odd) });
	}
	$p->settles('INBOX', '2 7:8 13:15 17:18 31:33 50:54 60:64',
	    'odd ones');
	$p->expunge($side, 'INBOX', 50, 51, 60, 61, 64);
	$p->expunge($other, 'INBOX', 52 .. 54, 62, 63);
	$p->settles('INBOX', '2 7:8 13:15 17:18 31:33', 'without them');
}

# One that a list does not show is not deleted for that; one that goes while it
# is being copied is not made up.
sub lies
{
	my ($self, $p, $side, $other) = @_;
	my $all = '2 7:8 13:15 17:18 31:33';
	my $uid = $p->uids($side, 'INBOX', 13);

	$p->{$side}->set(hide => $uid);
	$p->put($side, 'INBOX', 70);
	$p->i->run for 1 .. 2;
	$p->has($other, 'INBOX', "$all 70", 'hidden, but not deleted');
	$p->{$side}->set('hide');
	$p->settles('INBOX', "$all 70", 'shown again');

	my $before = count($p->{$other});
	$p->put($side, 'INBOX', 71 .. 73);
	$uid = $p->uids($side, 'INBOX', 72);
	$p->{$side}->set(expunge => $uid);
	$p->run(0, 'one goes while it is copied');
	$p->{$side}->set('expunge');
	# One by one, it is gone by then.
	my $kept = $self->{keeps} && $self->{strategy} ne 'plain';
	is(count($p->{$other}) - $before, $kept ? 3 : 2,
	    'and nothing is made up');
	$p->settles('INBOX', "$all 70:71 73", 'gone while it was copied');
}

sub killed
{
	my ($self, $p, $side, $other) = @_;

	my $n = 80;

	for my $when ('body', 'append') {
		$p->put($side, 'INBOX', $n .. $n + 4);
		$p->put($other, 'INBOX', $n + 5 .. $n + 9);
		$n += 10;
		$p->{$side}->set('pid');
		$p->{$side}->set(kill => $when);
		my $pid = $p->i->start;
		$p->{$side}->set(pid => $pid);
		my $r = $p->i->wait($pid, killed => 1);
		is($r->{signal}, 9, "killed in $when");
		$p->wait_for_models;
		$p->{$side}->set('kill');
	}
	$p->settles('INBOX', '2 7:8 13:15 17:18 31:33 70:71 73 80:99',
	    'after the kills');
}

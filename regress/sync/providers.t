#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Providers and servers that can't be had, scripted (Provider.pm): all that is
# promised with each of them, nothing that it does not offer, and no deletion that
# nobody has made, however little it lists.  Of the ways to list too little
# `make regress` takes some, `make cases` all, and both sides of each.
#
#	TABLE_SEED=n	the same ones again

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(instant flag_string);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Proc qw(slurp spew wait_for);
use Imapsync::Provider qw(provider with_hooks unoffered);
use Imapsync::Sides;

my $seed = $ENV{TABLE_SEED} // int(rand(1_000_000));
srand($seed);
diag("TABLE_SEED=$seed");

# ---- the two servers, and what is in them ----

package Pair;

use strict;
use warnings;
use Test::More;

sub new
{
	my ($class, $name, $side, %o) = @_;
	my $self = bless { name => $name, side => $side, other =>
	    $side eq 'local' ? 'remote' : 'local', %o }, $class;

	$self->{$side} = Imapsync::Provider::provider($name);
	$self->{$self->{other}} = Imapsync::Model->new;
	$self->{i} = Imapsync::Imapsync->new(conf => $o{conf} // {},
	    local => $self->{local}->section, remote =>
	    $self->{remote}->section(host => 'localhost'));
	return $self;
}

sub put
{
	my ($self, $side, $box, @n) = @_;

	$self->{$side}->change(sub {
		my ($st) = @_;
		$st->create($box) if !$st->box($box);
		$st->deliver($box, Imapsync::Mail::message($_, size =>
		    $_ % 5 ? 300 : 6000), date => Imapsync::Mail::date_of($_),
		    flags => $_ % 3 ? [] : ['\Seen', 'Word']) for @n;
	});
}

sub number { return $_[0]{body} =~ /^Subject: message (\d+)/m ? $1 : '?' }

sub each_of
{
	my ($self, $side, $box, $sub, @n) = @_;
	my %n = map { $_ => 1 } @n;

	$self->{$side}->change(sub {
		my ($st) = @_;
		my @uids = map { $_->{uid} } grep { $n{number($_)} }
		    @{ $st->box($box)->{messages} };
		$sub->($st, $_) for @uids;
	});
}

sub expunge
{
	my ($self, $side, $box, @n) = @_;
	$self->each_of($side, $box, sub { $_[0]->remove($box, $_[1]) }, @n);
}

sub flags
{
	my ($self, $side, $box, $flags, @n) = @_;
	$self->each_of($side, $box, sub { $_[0]->set_flags($box, $_[1],
	    @$flags) }, @n);
}

# What is in a mailbox, whatever the UIDs.
sub content
{
	my ($self, $side, $box) = @_;
	my $b = $self->{$side}->store->box($box) // return 'no mailbox';

	return join "\n", sort map { number($_) . ' ' . length($_->{body}) .
	    ' ' . Imapsync::Compare::instant($_->{date}) . ' (' .
	    Imapsync::Compare::flag_string($_->{flags}) . ')' }
	    @{ $b->{messages} };
}

sub numbers
{
	my ($self, $side, $box) = @_;
	my $at = $self->{$side}->store->box($box) // return 'no mailbox';

	return join ' ', sort { $a <=> $b } map { number($_) }
	    @{ $at->{messages} };
}

sub equal
{
	my ($self, $box, $numbers, $what) = @_;
	my ($side, $other) = @$self{'side', 'other'};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($self->numbers($side, $box), $numbers, "$what: $box") or
	    diag($self->{out});
	is($self->content($side, $box), $self->content($other, $box),
	    "$what: $box is equal") or diag($self->{out});
}

# UIDs and all.
sub everything
{
	my ($self) = @_;
	my @all;

	for my $side ('local', 'remote') {
		my $st = $self->{$side}->store;
		for my $name ($st->names) {
			my $b = $st->box($name);
			push @all, "$side $name $b->{uidnext} " .
			    "$b->{subscribed}", map { "$_->{uid} " .
			    join ' ', sort @{ $_->{flags} } }
			    @{ $b->{messages} };
		}
	}
	return \@all;
}

sub run
{
	my ($self, $status, $what, @args) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $self->{i}->run(@args);
	$self->{out} = "$r->{out}$r->{err}";
	$self->{local}->lock;
	$self->{remote}->lock;
	ok(!$r->{signal} && grep({ $r->{status} == $_ } ref $status ?
	    @$status : $status), "$what: exit status $r->{status}")
	    or diag($self->{out});
	return $r;
}

# A run or two, and then silence.
sub settles
{
	my ($self, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->run($self->{runs} ? [0, 3] : 0, $what);
	$self->run([0, 3], "$what, again") for 2 .. $self->{runs} // 1;
	my $before = $self->everything;
	$self->run(0, "$what, nothing to do");
	is($self->{out}, '', "$what: silence");
	is_deeply($self->everything, $before, "$what: nothing changes");
}

package main;

# ---- what is promised ----

sub all_of_it
{
	my ($name, $side, %o) = @_;
	my $p = Pair->new($name, $side, %o);
	my $other = $p->{other};

	my $r = $p->run(0, 'check', '--check', '--check');
	like($r->{out}, qr/^$side: .*?^    strategy: $o{strategy} /ms, 'named')
	    or diag($p->{out});
	$p->put($side, 'INBOX', 1 .. 8);
	$p->put($other, 'INBOX', 11 .. 14);
	$p->put($other, 'Box', 21 .. 23);
	$p->settles('first run');
	$p->equal('INBOX', '1 2 3 4 5 6 7 8 11 12 13 14', 'first run');
	$p->equal('Box', '21 22 23', 'first run');

	$p->put($side, 'INBOX', 15);
	$p->put($other, 'INBOX', 16);
	$p->flags($side, 'INBOX', ['\Flagged', 'Two'], 1, 11);
	$p->flags($other, 'INBOX', ['\Answered'], 2, 12);
	$p->expunge($side, 'INBOX', 3, 13);
	$p->expunge($other, 'INBOX', 4, 14) if !$o{keeps};
	$p->settles('new, flags, deleted on both');
	$p->equal('INBOX', $o{keeps} ? '1 2 4 5 6 7 8 11 12 14 15 16' :
	    '1 2 5 6 7 8 11 12 15 16', 'all');
	killed($p);
	false_deletions($p);
	restored($p) if $name ne 'nouidnextatall';
	is(unoffered($p->{$side}), '', 'nothing is sent that is not offered');
	return $p;
}

# ---- killed ----

# Once, in the server's process: the run that this file names is killed.
sub kill_run
{
	my ($c) = @_;
	my $file = "$c->{fake}{dir}/pid";
	my $pid = wait_for(20, 'the run', sub { -s $file && slurp($file) });

	kill 'KILL', $pid;
	rename $file, "$file.killed";
}

sub flat { return join ' ', map { ref eq 'ARRAY' ? flat(@$_) : $_ // '' } @_ }

my %killing = (
	'while it gives a body' => { 'UID FETCH' => sub {
		my ($c, $tag, @args) = @_;
		kill_run($c) if flat(@args) =~ /BODY\.PEEK\[\]/ &&
		    !-e "$c->{fake}{dir}/pid.killed";
		return;
	} },
	'while it takes the second' => { append => sub {
		my ($c) = @_;
		kill_run($c) if ++$c->{taken} == 2 &&
		    !-e "$c->{fake}{dir}/pid.killed";
		return;
	} },
);

# Two runs, of which nothing but a mark may be left.
sub kills
{
	my ($p, $n) = @_;
	my ($side, $other) = @$p{'side', 'other'};
	my $dir = $p->{$side}{dir};

	for my $when (sort keys %killing) {
		$p->put($side, 'INBOX', $n .. $n + 2);
		$p->put($other, 'INBOX', $n + 3 .. $n + 5);
		$n += 6;
		unlink "$dir/pid.killed";
		with_hooks($p->{$side}, $p->{name}, %{ $killing{$when} });
		my $pid = $p->{i}->start;
		spew("$dir/pid.new", $pid);
		rename "$dir/pid.new", "$dir/pid";
		my $r = $p->{i}->wait($pid, killed => 1);
		is($r->{signal}, 9, "killed $when");
		$p->{$_}->lock for 'local', 'remote';
	}
	with_hooks($p->{$side}, $p->{name});
}

sub killed
{
	my ($p) = @_;

	kills($p, 31);
	$p->settles('after the kills');
	$p->equal('INBOX', $p->numbers($p->{other}, 'INBOX'), 'after the kills');
	is($p->numbers($p->{side}, 'INBOX') =~ s/.*?(?= 31 )//r,
	    ' ' . join(' ', 31 .. 42), 'all is there, once');
}

# ---- what is not there, and was not deleted ----

my %false = (
	'a list with a hole' => { fetch => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_->{uid} != 2 } @$list;
	}, search => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_ != 2 } @$list;
	} },
	'a hole that EXISTS fits' => { select => sub { $_[2]{exists}-- },
	    status => sub { $_[2]{messages}-- }, fetch => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_->{uid} != 2 } @$list if $c->{set} =~ /:/;
	}, search => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_ != 2 } @$list;
	} },
	'an empty list' => { fetch => sub { @{ $_[2] } = () },
	    search => sub { @{ $_[2] } = () } },
	'a shorter list' => { fetch => sub { pop @{ $_[2] } for 1 .. 3 },
	    search => sub { pop @{ $_[2] } for 1 .. 3 } },
	'one listed twice, and another not' => { fetch => sub {
		my ($c, $box, $list) = @_;
		twice($list, sub { $_[0]{uid} }) if $c->{set} =~ /:/;
	}, search => sub { twice($_[2], sub { $_[0] }) } },
	'an EXPUNGE within the list' => { fetch => sub {
		my ($c, $box, $list) = @_;
		return if $c->{set} !~ /:/ || $box ne 'INBOX';
		my ($n) = map { $_->{n} } grep { $_->{uid} == 2 } @$list;
		@$list = grep { $_->{uid} != 2 } @$list;
		$c->untagged("$n EXPUNGE") if defined $n;
	}, search => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_ != 2 } @$list;
	} },
	'another mailbox with its numbers' => { select => sub {
		$_[2]{exists}--;
	}, status => sub { $_[2]{messages}-- }, fetch => sub {
		my ($c, $box, $list) = @_;
		@$list = map { { %$_, body => $_->{body} =~
		    s/^Subject: /Subject: x/mr } } grep { $_->{uid} != 2 }
		    @$list;
	}, search => sub {
		my ($c, $box, $list) = @_;
		@$list = grep { $_ != 2 } @$list;
	} },
	'EXISTS that is less' => { select => sub { $_[2]{exists}-- },
	    status => sub { $_[2]{messages}-- } },
	'no message at all, at first' => { select => sub {
		my ($c, $box, $info) = @_;
		$c->{empty} = !$c->{selected}{$box}++;
		$info->{exists} = 0 if $c->{empty};
	}, status => sub { $_[2]{messages} = 0 }, fetch => sub {
		@{ $_[2] } = () if $_[0]{empty} }, search => sub {
		@{ $_[2] } = () if $_[0]{empty} } },
);

# UID 1 in the place of UID 2.
sub twice
{
	my ($list, $uid) = @_;
	my ($one) = grep { $uid->($_) == 1 } @$list;

	@$list = map { $uid->($_) == 2 ? $one // $_ : $_ } @$list;
}

sub false_deletions
{
	my ($p) = @_;
	my ($name, $side) = @$p{'name', 'side'};
	my %before = map { $_ => $p->content($p->{other}, $_) } 'INBOX', 'Box';
	my %numbers = map { $_ => $p->numbers($p->{other}, $_) } keys %before;

	my @lies = sort keys %false;
	splice @lies, rand @lies, 1 while @lies > 3 && !all_cases();
	for my $lie (@lies) {
		with_hooks($p->{$side}, $name, %{ $false{$lie} });
		# Something to do, so that the mailbox is looked at.
		$p->each_of($side, 'INBOX', sub { $_[0]->box('INBOX')->{uidnext}++ },
		    1);
		$p->run([0, 1, 3], $lie);
		for my $box (sort keys %before) {
			is($p->content($_, $box), $before{$box},
			    "$lie: $box on $_") or diag($p->{out})
			    for 'local', 'remote';
		}
	}
	with_hooks($p->{$side}, $name);
	$p->run(0, 'after the lies') for 1 .. 1 + ($p->{runs} ? 1 : 0);
	$p->equal($_, $numbers{$_}, 'after the lies') for sort keys %before;
}

# A backup was restored: the newest are not deleted for that.
sub restored
{
	my ($p) = @_;
	my ($side, $other) = @$p{'side', 'other'};
	my $before = $p->content($other, 'INBOX');

	$p->{$side}->change(sub {
		my ($st) = @_;
		my $box = $st->box('INBOX');
		my $uid = ($st->uids('INBOX'))[-2];
		$st->forget('INBOX', $uid .. $box->{uidnext});
		$box->{uidnext} = $uid;
	});
	my $r = $p->run(3, 'a restored backup');
	like($r->{err}, qr/^INBOX: UIDNEXT on the $side server.*--adopt/m,
	    'is told by UIDNEXT') or diag($p->{out});
	is($p->content($other, 'INBOX'), $before, 'nothing is deleted for it');
}

# ---- Gmail ----

# Labels, and what shows the messages of all of them.
sub labels
{
	my $p = Pair->new('gmail', 'remote');

	$p->put('remote', 'INBOX', 1 .. 3);
	$p->put('remote', 'Work', 1, 2);
	$p->put('remote', '[Gmail]/All Mail', 1 .. 4);
	$p->put('remote', '[Gmail]/Starred', 2);
	$p->put('remote', '[Gmail]/Important', 3);
	my $r = $p->run(0, 'check', '--check');
	like($r->{out}, qr/^    \Q$_->[0]\E: left out, .* \($_->[1]\)/m,
	    "$_->[0] is left out") for ['[Gmail]/All Mail', '\\\\All'],
	    ['[Gmail]/Starred', '\\\\Flagged'],
	    ['[Gmail]/Important', '\\\\Important'];
	$p->settles('labels');
	is_deeply([grep { $_ ne 'INBOX' } $p->{local}->store->names],
	    ['Work', '[Gmail]/Sent Mail', '[Gmail]/Trash'], 'all others');
	$p->expunge('local', 'Work', 1);
	$p->expunge('local', 'INBOX', 3);
	$p->put('local', 'Work', 5);
	$p->settles('labels are taken away');
	$p->equal('INBOX', '1 2', 'of two labels one');
	$p->equal('Work', '2 5', 'of two labels one');
	is($p->numbers('remote', '[Gmail]/All Mail'), '1 2 3 4 5',
	    'none is lost');

	# A name says what is wanted; once it is known it stays so.
	$p->run(0, 'by its name', '[Gmail]/Important');
	$p->equal('[Gmail]/Important', '3', 'by its name');
	$p->put('remote', '[Gmail]/Important', 6);
	$p->settles('what the state knows');
	$p->equal('[Gmail]/Important', '3 6', 'what the state knows');
	$p->{i}->change(conf => { 'virtual-mailboxes' => 'YES' });
	$p->settles('virtual-mailboxes');
	$p->equal('[Gmail]/All Mail', '1 2 3 4 5', 'all');
	$p->equal('[Gmail]/Starred', '2', 'all');
	is(unoffered($p->{remote}), '', 'nothing is sent that is not offered');
}

# ---- what can't be worked with, or not with all of it ----

# It shows and changes its last message for one that is not there.
sub ghosts
{
	my $p = Pair->new('mailutils', 'remote');

	$p->put('remote', 'INBOX', 1 .. 6);
	$p->put('local', 'INBOX', 11 .. 13);
	my $r = $p->run(3, 'a first run');
	like($r->{err}, qr/remote server shows its last message/, 'says why');
	is($p->numbers($_, 'INBOX'), '1 2 3 4 5 6 11 12 13', "copied, $_")
	    for 'local', 'remote';
	$p->expunge('remote', 'INBOX', 1, 11);
	$p->expunge('local', 'INBOX', 2, 12);
	$p->flags('local', 'INBOX', ['\Flagged'], 3);
	$p->put('local', 'INBOX', 14);
	$p->run(3, 'deleted on both');
	is($p->numbers('local', 'INBOX'), '1 3 4 5 6 11 13 14', 'local');
	is($p->numbers('remote', 'INBOX'), '2 3 4 5 6 12 13 14', 'remote');
	unlike($p->content('remote', 'INBOX'), qr/deleted|flagged/,
	    'no flag is changed');
	kills($p, 31);
	$p->run(3, 'after the kills');
	is($p->numbers('local', 'INBOX'), join(' ', 1, 3 .. 6, 11, 13, 14,
	    31 .. 42), 'after the kills: all on local, once');
	is($p->numbers('remote', 'INBOX'), join(' ', 2 .. 6, 12 .. 14,
	    31 .. 42), 'after the kills: all on remote, once');
	is(join('', grep { /STORE|EXPUNGE/ } $p->{remote}->commands('all')), '',
	    'neither STORE nor EXPUNGE');
	is(unoffered($p->{remote}), '', 'nothing is sent that is not offered');
}

# No UIDVALIDITY; no UIDPLUS.
sub refused
{
	my $p = Pair->new('nouidvalidity', 'remote');

	$p->put('remote', 'INBOX', 1, 2);
	$p->put('local', 'INBOX', 3);
	my $before = $p->everything;
	my $r = $p->run(3, 'no UIDVALIDITY');
	like($r->{err}, qr/^INBOX: the remote server gives no UIDVALIDITY/m,
	    'the mailbox is named');
	is_deeply($p->everything, $before, 'nothing is changed');
	is(unoffered($p->{remote}), '', 'nothing is sent that is not offered');
}

my @tried = (
	[gmail => 'condstore'], [exchange => 'plain', runs => 2],
	[icloud => 'condstore'], [yahoo => 'plain'], [proton => 'plain'],
	[strato => 'condstore'], [uw => 'plain'],
	[nouidnext => 'plain'], [nouidnextatall => 'plain'],
);

for my $one (@tried) {
	my ($name, $strategy, %o) = @$one;
	for my $side ($name =~ /^(gmail|exchange|uw)$/ ? ('remote', 'local') :
	    sides('remote', 'local')) {
		subtest "$name, $side" => sub {
			all_of_it($name, $side, strategy => $strategy, %o);
		};
	}
}

subtest 'gmail: labels' => \&labels;
subtest 'mailutils' => \&ghosts;
subtest 'refused' => \&refused;
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A hundred kills: SIGKILL of any process of a run at any octet of the transfer,
# the next run follows at once.  Both servers then hold what a model says:
# nothing lost, nothing twice; and nothing of the killed run is left after 5 s.
#
# A "life" is a pair of servers that begins with an empty state and sees KILLS
# kills: in its first sync, then each time after changes on both sides, now and
# then in the run that follows a kill.  Several lives go on at once.  In two of
# three the strategies are drawn anew for each run: what is recovered was begun by
# another one.
#
#	KILL_SEED=n	the same lives again (default: other ones each time)
#	KILL_ROUND=n	life n alone
#	KILL_DEBUG=1	runs with --debug, their output is shown

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Digest::SHA qw(sha256_hex);
use File::Path qw(remove_tree);
use Time::HiRes qw(time sleep);
use Imapsync::Compare qw(snapshot differences instant flag_string);
use Imapsync::Imapsync;
use Imapsync::Killer;
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(alive descendants slurp spawn spew tmpdir wait_for
    which);
use Imapsync::Relay;
use Imapsync::Server;

use constant { LIVES => 10, KILLS => 4, WORKERS => 8 };

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my $seed = $ENV{KILL_SEED} // int(rand(1_000_000));
my @flag = qw(\Seen \Flagged \Answered $Work NonJunk);
my $debug = $ENV{KILL_DEBUG};
my ($life, @story);	# what this life has seen so far

# ---- the model: { mailbox => [{ n, twin, flags }, ...] } ----

my ($model, $next_n, %small);

sub body
{
	my ($n) = @_;
	my $size = 300 + $n * 7919 % 6000;

	$size = 300 if $small{$n};
	$size = 150_000 if $n % 97 == 0 && !$small{$n};
	return message($n, size => $size, id => $n % 7);
}

sub model_lines
{
	my ($entries) = @_;
	my %lines;

	for my $e (@$entries) {
		$lines{sha256_hex(body($e->{n})) . ' ' .
		    instant(date_of($e->{n})) . ' [' .
		    flag_string([keys %{ $e->{flags} }]) . ']'}++;
	}
	return \%lines;
}

# New messages of one side, for append_many(), and into the model.
sub fresh
{
	my ($name, $count, $small) = @_;
	my @new;

	for (1 .. $count) {
		my $n = $next_n++;
		$small{$n} = $small;
		my %flags = map { $_ => 1 } grep { rand() < 0.3 } @flag;
		for my $twin (0 .. ($n % 11 == 0)) {
			push @{ $model->{$name} }, { n => $n,
			    flags => { %flags }, twin => $n % 11 == 0 };
			push @new, { body => body($n), date => date_of($n),
			    flags => join ' ', keys %flags };
		}
	}
	return @new;
}

# The UID of each message of a mailbox that has no twin: { n => uid }.
sub uids
{
	my ($client, $name) = @_;
	my %uid;

	$client->visit($name);
	$client->finish($client->start('UID FETCH 1:* ' .
	    '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])'), sub {
		my %f = @{ $_[2] // [] };
		my ($subject) = grep { /^BODY/ } keys %f;
		$uid{$1} = $f{UID} if defined $subject &&
		    $f{$subject} =~ /message (\d+)/;
	});
	return \%uid;
}

# ---- what happens on the servers ----

sub fill
{
	my (@client) = @_;
	my $octets = 0;

	($model, $next_n, %small) = ({}, 1);
	$_->create('lists/one') for @client;
	for my $name ('INBOX', 'lists/one') {
		for my $c (@client, undef) {
			my @new = fresh($name, $c ? 40 : 15);
			$_->append_many($name, @new) for $c // @client;
			$octets += length $_->{body} for @new;
		}
	}
	# Some have more than one transaction of the state takes.
	if ($life % 8 == 5) {
		my @new = fresh('INBOX', 1300, 1);
		$client[$life % 16 == 5]->append_many('INBOX', @new);
		$octets += length $_->{body} for @new;
	}
	for my $c (@client) {
		my $name = $c == $client[0] ? 'here' : 'there';
		$c->create($name);
		$c->append_many($name, fresh($name, 5));
	}
	return $octets / 2;
}

# Different messages, so that the model is simple: one to each kind of change.
sub change
{
	my (@client) = @_;
	my $octets = 2000;
	my @names = sort keys %$model;
	my %moved;

	for my $name (@names) {
		my @left = grep { !$_->{twin} && rand() < 0.8 }
		    @{ $model->{$name} };
		my @uid = map { uids($_, $name) } @client;
		for my $side (0, 1) {
			my @e = splice @left, 0, int(@left / 8);
			next unless @e;
			my $flag = $flag[rand @flag];
			my $sign = rand() < 0.6 ? '+' : '-';
			$client[$side]->store($name, join(',',
			    map { $uid[$side]{$_->{n}} } @e), "${sign}FLAGS",
			    $flag);
			for my $e (@e) {
				delete $e->{flags}{$flag};
				$e->{flags}{$flag} = 1 if $sign eq '+';
			}
			@e = splice @left, 0, int(rand 5);
			next unless @e;
			$client[$side]->expunge($name, join ',',
			    map { $uid[$side]{$_->{n}} } @e);
			my %gone = map { $_ => 1 } @e;
			@{ $model->{$name} } = grep { !$gone{$_} }
			    @{ $model->{$name} };
			@e = splice @left, 0, int(rand 6);
			my ($to) = grep { $_ ne $name } @names[rand @names];
			next unless @e && defined $to;
			$client[$side]->visit($name);
			$client[$side]->ok('UID MOVE ' . join(',',
			    map { $uid[$side]{$_->{n}} } @e), \$to);
			%gone = map { $_ => 1 } @e;
			push @{ $moved{$to} }, @e;
			@{ $model->{$name} } = grep { !$gone{$_} }
			    @{ $model->{$name} };
		}
	}
	push @{ $model->{$_} }, @{ $moved{$_} } for keys %moved;
	for my $c (@client) {
		for my $name ('INBOX', 'lists/one') {
			my @new = fresh($name, 1 + rand 12);
			$c->append_many($name, @new);
			$octets += length $_->{body} for @new;
		}
	}
	if (rand() < 0.3) {
		my ($c, $name) = ($client[rand 2], "new $next_n");
		$c->create($name);
		$c->append_many($name, fresh($name, 3));
	}
	return $octets / 2;
}

# ---- runs ----

# The processes of a run once all are there: { name => pid }.
sub roles
{
	my ($i, $pid) = @_;
	my %role = %{ $i->roles($pid) };
	my $n = 0;

	$role{'tunnel ' . ++$n} = $_ for @{ delete $role{tunnels} };
	return (grep { !$role{$_} } qw(engine store local remote)) ? undef :
	    \%role;
}

sub ended { my ($proc) = @_; return !alive($proc) }

# A process as descendants() gives it.
sub this_process
{
	my ($pid) = @_;
	my ($rest) = slurp("/proc/$pid/stat") =~ /\) \S \d+ (.*)/s;

	return [$pid, (split ' ', $rest)[17], 'imapsync'];
}

# What is asked of a server, in the configuration.
sub strategy
{
	return $life % 3 == 0 ? () :
	    (strategy => (qw(qresync condstore plain))[rand 3]);
}

# A tunnel is a filter around the server: a Dovecot that is killed itself leaves
# locks, for which the next one waits two minutes.
my %filter;
sub sections
{
	my ($servers) = @_;
	my %section;

	for my $side (keys %$servers) {
		my $server = $servers->{$side};
		$filter{$side} //= Imapsync::Relay->new(
		    command => $server->command) unless $server->{daemon};
		$section{$side} = $server->section(strategy(),
		    $server->{daemon} ? () :
		    (command => $filter{$side}->command));
	}
	return %section;
}

# Start a run through a killer and kill one of its processes.  Returns { hit,
# pid, all }; wait() for the pid is to follow.
sub doomed_run
{
	my ($i, $servers, $octets) = @_;
	my $side = (qw(local remote))[rand 2];
	my $server = $servers->{$side};
	my $d = (qw(c2s s2c))[rand 2];
	my $n = 2 + int(rand(rand() < 0.2 ? 4000 : $octets));
	my $rest = rand() < 0.3 ? 1 : 0;
	my $pick = rand;
	my $k = Imapsync::Killer->new(kill => { $d => $n }, rest => $rest,
	    $server->{daemon} ? (port => $server->port) :
	    (command => $server->command));

	$i->change(sections($servers), $side =>
	    $server->section(strategy(), $server->{daemon} ?
	    (port => $k->port) : (command => $k->command)));
	my $pid = $i->start($debug ? '--debug' : ());
	my $self = this_process($pid);
	my ($role, @all);
	my $ready = eval { wait_for(20, 'all processes', sub {
		return 1 if ended($self);
		return unless -e "$k->{dir}/held";
		@all = ($self, descendants($pid));
		return $role = roles($i, $pid);
	}) };
	my @names = sort keys %{ $role // {} };
	my $name = $names[$pick * @names] // 'nobody';
	push @story, "SIGKILL of $name when $d $n of the $side server" .
	    ($rest ? ', at rest' : '');
	if (!$ready || !$role) {
		$k->release;
		return { pid => $pid, all => \@all, killer => $k };
	}
	$k->victim($role->{$name});
	my $hit = eval { wait_for(60, 'the octet', sub {
		return 1 if $k->struck;
		return ended($self) ? -1 : 0;
	}) } // -1;
	if ($hit == 1 && $rest) {
		# What it started since.
		my %known = map { $_->[0] => 1 } @all;
		push @all, grep { !$known{$_->[0]} } descendants($pid);
		$k->strike;
	}
	return { hit => $hit == 1, pid => $pid, all => \@all, at => time,
	    killer => $k, tunnel => scalar($name =~ /^tunnel/) };
}

sub gone
{
	my ($kill, $seconds) = @_;
	my $left = $kill->{at} + 60 - time;

	eval { wait_for($left > 0 ? $left : 0, 'the end', sub {
	    !alive(@{ $kill->{all} }) }) };
	return map { "$_->[0] ($_->[2])" } alive(@{ $kill->{all} });
}

# The runs that follow.  Returns what is wrong with them.
sub follow
{
	my ($i, $servers, $kill) = @_;
	my @wrong;

	$i->change(sections($servers));
	for my $try (1 .. 3) {
		my $pid = $i->start($debug ? '--debug' : ());
		if ($kill) {
			my @left = gone($kill);
			push @wrong, "left of the killed run: @left" if @left;
			undef $kill;
		}
		my $r = $i->wait($pid);
		push @story, sprintf("run: exit %d%s in %.1f s: %s",
		    $r->{status}, $r->{signal} ? " signal $r->{signal}" : '',
		    $r->{seconds}, $r->{err});
		return @wrong if !$r->{status} && !$r->{signal};
		return (@wrong, "exit status $r->{status}") if
		    $r->{signal} || $r->{status} !~ /^(?:1|75)$/;
	}
	return (@wrong, 'three runs did not bring it in sync');
}

sub compare
{
	my ($servers) = @_;
	my @wrong;
	my %snap = map { $_ => snapshot($servers->{$_}) } keys %$servers;
	my %want = map { my $name = $_; $name =~ s{/}{|}g;
	    $name => model_lines($model->{$_}) } keys %$model;

	for my $side (sort keys %snap) {
		my $snap = $snap{$side};
		for my $name (sort keys %want) {
			my $have = $snap->{$name}{messages} // {};
			my %all = (%$have, %{ $want{$name} });
			for my $line (sort keys %all) {
				my ($h, $w) = map { $_->{$line} // 0 } $have,
				    $want{$name};
				push @wrong, "$side: $name: " . $line .
				    ": $h times, not $w" if $h != $w;
			}
		}
	}
	push @wrong, differences($snap{local}, $snap{remote});
	return @wrong > 20 ? (@wrong[0 .. 19], '...') : @wrong;
}

sub live
{
	my ($servers) = @_;
	my ($kills, $first, $octets) = (0, 1);

	srand($seed * 1000 + $life);
	for my $s (values %$servers) {
		my @old = glob "$s->{dir}/home/$s->{user}/*";
		remove_tree(@old) if @old;
	}
	my $i = Imapsync::Imapsync->new(%$servers);
	while ($kills < KILLS) {
		my @client = map { $servers->{$_}->client } qw(local remote);
		$octets = $first ? fill(@client) : change(@client);
		$_->close for @client;
		push @story, $first ? 'first sync' : 'changes';
		$first = 0;
		my @wrong;
		my ($kill, $hits) = (undef, 0);
		do {
			$kill = doomed_run($i, $servers, $octets);
			my $r = $i->wait($kill->{pid});
			push @story, ($kill->{hit} ? 'killed' :
			    'not met') . sprintf(": exit %d signal %d: %s",
			    $r->{status}, $r->{signal}, $r->{err});
			$hits++ if $kill->{hit};
			push @wrong, "a run that was not disturbed fails"
			    if !$kill->{hit} && $r->{status};
			push @wrong, "a child of it: $1" if
			    $r->{err} =~ /(.*killed by its sandbox.*)/;
			# Two lost connections in a row are held against the
			# message under way.
		} while ($kill->{hit} && !$kill->{tunnel} &&
		    $kills + $hits < KILLS && rand() < 0.2);
		push @wrong, follow($i, $servers, $kill->{hit} ? $kill : undef);
		$kill->{killer}->stop if $kill->{killer}{pid};
		push @wrong, compare($servers) unless @wrong;
		if (!@wrong) {
			my $r = $i->run;
			push @wrong, "a run without change: exit " .
			    "$r->{status}: $r->{out}$r->{err}"
			    if $r->{status} || $r->{out} . $r->{err} ne '';
		}
		$kills += $hits;
		report($i, $hits, @wrong) if $hits || @wrong;
		return if @wrong;
	}
}

# ---- workers, and the test that starts them ----

# A line a kill, "life kills ok" or "life kills not ok", then what to show.
sub report
{
	my ($i, $hits, @wrong) = @_;
	my $text = "$life $hits " . (@wrong ? 'not ok' : 'ok') . "\n";

	if (@wrong || $debug) {
		push @story, map { "WRONG: $_" } @wrong;
		push @story, "repeat: KILL_SEED=$seed KILL_ROUND=$life";
		push @story, 'marks: ' . join ' ', $i->sql(
		    'SELECT * FROM mark') if which('sqlite3') &&
		    $i->state_file;
		$text .= join '', map { my $s = $_; chomp $s;
		    map { "  $_\n" } split /\n/, $s } @story;
	}
	syswrite(STDOUT, $text);
}

sub worker
{
	my ($number, @lives) = @_;
	my $remote = Imapsync::Server->new(name => 'remote',
	    daemon => $number % 2 == 0);
	my %servers = (remote => $remote,
	    local => Imapsync::Server->new(name => 'local'));

	for my $n (@lives) {
		($life, @story) = $n;
		eval { live(\%servers); 1 } and next;
		push @story, "died: $@";
		syswrite(STDOUT, "$life 0 not ok\n" . join '',
		    map { "  $_\n" } map { split /\n/ } @story);
	}
}

if (@ARGV && $ARGV[0] eq '--worker') {
	(undef, $seed, my @rest) = @ARGV;
	worker(@rest);
	exit 0;
}

my @lives = defined $ENV{KILL_ROUND} ? $ENV{KILL_ROUND} : 1 .. LIVES;
my $total = @lives * KILLS;
my ($met, %out) = 0;

diag("KILL_SEED=$seed");
for my $number (0 .. WORKERS - 1) {
	# Odd lives over tunnels alone, even ones over TCP.
	my @mine = grep { $_ % WORKERS == $number } @lives or next;
	my $file = spew(tmpdir() . "/worker$number", '');
	my $pid = spawn([$^X, $0, '--worker', $seed, $number, @mine],
	    out => $file, env => { TMPDIR => tmpdir() });
	$out{$pid} = { file => $file, at => 0, proc => this_process($pid) };
}

# One test a kill, as they come in.
while (%out) {
	for my $pid (keys %out) {
		my $o = $out{$pid};
		my $over = ended($o->{proc});
		my $text = substr(slurp($o->{file}), $o->{at});
		$text =~ s/[^\n]*\z// unless $over;
		$o->{at} += length $text;
		for my $line (split /\n/, $text) {
			if ($line =~ /^(\d+) (\d+) (not )?ok$/) {
				ok(!$3, "life $1: kills: $2");
				$met += $2;
			} else {
				diag($line);
			}
		}
		next unless $over;
		is(Imapsync::Proc::reap($pid, 10), 0, 'a worker ends well');
		delete $out{$pid};
	}
	sleep 0.1;
}
cmp_ok($met, '>=', $total, "$total kills");
done_testing;

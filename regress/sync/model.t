#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What people do, at random and on both sides between two runs: append, flag, copy,
# move, expunge, create, rename and delete mailboxes.  Behind each run both
# servers hold what a model says, and the next run has nothing to do.
#
#	MODEL_SEED=n	the same again (default: another one each time)
#	MODEL_ROUNDS=n	so many rounds (default 8)
#	MODEL_CYRUS=1	the remote server is a Cyrus
#	KILLS=1		half of the runs are killed, the next one follows
#	STRATEGY=x,y	those of local and remote: qresync, condstore or plain
#			(default: drawn anew for each run, so that each goes on
#			with what another one has left)
#	HIDDEN=1	what belongs to a better one is not offered, and
#			refused, instead of a line in the configuration
#
# What the model can't say is not done: both sides are at work at messages that are
# twins.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Digest::SHA qw(sha256_hex);
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(snapshot differences instant flag_string);
use Imapsync::Alter;
use Imapsync::Hidden;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Server;

my $kind = $ENV{MODEL_CYRUS} ? 'cyrus' : 'dovecot';
for my $k ('dovecot', $kind) {
	plan skip_all => Imapsync::Server->missing($k)
	    if Imapsync::Server->missing($k);
}

my $seed = $ENV{MODEL_SEED} // int(rand(1_000_000));
my @strategy = ('qresync', 'condstore', 'plain');
my @fixed = split /,/, $ENV{STRATEGY} // '';
my $rounds = $ENV{MODEL_ROUNDS} // 8;
my @flag = ('\Seen', '\Flagged', '\Answered', '$Work', 'NonJunk');
my @server = (Imapsync::Server->new(name => 'local'),
    Imapsync::Server->new(name => 'remote', daemon => 1, kind => $kind));
my $i = Imapsync::Imapsync->new(local => $server[0], remote => $server[1],
    conf => { 'rename-mailbox' => 'follow', 'delete-mailbox' => 'always',
    'max-delete' => 'none' });

# A box: { name => [on each side, or undef], born, gone => [], renamed }.  A
# message: { n, base => where and with which flags it was in sync, now => [the
# same on each side, or undef: not there] }; "where" is a box.
my (@box, @msg, @client, @story, %touched, $next, $nbox);

sub pick { return @_ ? $_[rand @_] : undef }
sub say_it { push @story, "@_" }

# ---- looking things up in the model ----

sub boxes { my ($s) = @_; return grep { defined $_->{name}[$s] } @box }

sub in_box
{
	my ($s, $b) = @_;
	return grep { $_->{now}[$s] && $_->{now}[$s]{box} == $b } @msg;
}

sub of_key { my ($m) = @_; return grep { $_->{n} == $m->{n} } @msg }

# May that side do something to it?  "hard": it is moved or expunged.
sub free
{
	my ($s, $m, $hard) = @_;
	my $t = $touched{$m->{n}} //= {};
	my $o = $t->{1 - $s};

	return 0 if $o && (of_key($m) > 1 || !$m->{base});
	# What was moved is not moved by a run that ends what was cut short, but
	# copied and deleted.
	return 0 if $ENV{KILLS} && $o && ($hard || $o eq 'hard');
	return 1;
}

sub touch
{
	my ($s, $m, $hard) = @_;
	my $t = $touched{$m->{n}} //= {};

	$t->{$s} = 'hard' if $hard;
	$t->{$s} //= 'soft';
}

# ---- what is done on a server ----

# The UIDs of messages of one box: any of those that look like it.
sub uids
{
	my ($s, $b, @m) = @_;
	my ($c, %have, @uid) = $client[$s];

	$c->fetch_each($b->{name}[$s],
	    'UID FLAGS BODY.PEEK[]', sub {
		my ($n) = $_[0]{body} =~ /^Subject: message (\d+)/m;
		push @{ $have{"$n " . flag_string($_[0]{flags})} }, $_[0]{uid};
	});
	for my $m (@m) {
		my $key = "$m->{n} " .
		    flag_string([keys %{ $m->{now}[$s]{flags} }]);
		push @uid, shift @{ $have{$key} // [] } // die "no message " .
		    "$key in $b->{name}[$s] of $s\n";
	}
	return join ',', @uid;
}

sub text { my ($s, $b, @m) = @_;
	return "side $s: $b->{name}[$s]: " . join ',', map { $_->{n} } @m }

sub do_append
{
	my ($s) = @_;
	my $b = pick(grep { !$_->{closed}[$s] } boxes($s));
	my @new;

	for (1 .. 1 + rand 4) {
		my %flags = map { $_ => 1 } grep { rand() < 0.3 } @flag;
		my $m = { n => $next++, now => [] };
		for (0 .. (rand() < 0.1)) {
			$m = { n => $m->{n}, now => [] };
			$m->{now}[$s] = { box => $b, flags => { %flags } };
			push @msg, $m;
			push @new, $m;
			touch($s, $m, 1);
		}
	}
	say_it('append', text($s, $b, @new));
	$client[$s]->append_many($b->{name}[$s], map { {
	    body => message($_->{n}, id => $_->{n} % 7),
	    date => date_of($_->{n}),
	    flags => join(' ', sort keys %{ $_->{now}[$s]{flags} }) } } @new);
}

# Some messages of a box that may be changed.
sub some
{
	my ($s, $b, $most, $hard) = @_;
	my (%have, @m);
	my @all = grep { free($s, $_, $hard) } in_box($s, $b);

	while (@all && @m < $most) {
		my ($m) = splice @all, rand @all, 1;
		push @m, $m;
	}
	return @m;
}

sub do_flag
{
	my ($s) = @_;
	my $b = pick(boxes($s));
	my @m = some($s, $b, 1 + rand 3);
	my ($flag, $add) = (pick(@flag), rand() < 0.6);

	return unless @m;
	say_it($add ? '+' : '-', $flag, text($s, $b, @m));
	$client[$s]->store($b->{name}[$s], uids($s, $b, @m),
	    ($add ? '+' : '-') . 'FLAGS', $flag);
	for my $m (@m) {
		delete $m->{now}[$s]{flags}{$flag};
		$m->{now}[$s]{flags}{$flag} = 1 if $add;
		touch($s, $m);
	}
}

# Of a box that is renamed enough must stay that it is known by.
sub most
{
	my ($s, $b) = @_;
	my $n = int(in_box($s, $b) / 4) - ($b->{taken}[$s] // 0);

	return $b->{renamed} ? $n : 1 + rand 4;
}

sub do_expunge
{
	my ($s) = @_;
	my $b = pick(boxes($s));
	my @m = some($s, $b, most($s, $b), 1);

	return unless @m;
	say_it('expunge', text($s, $b, @m));
	$client[$s]->expunge($b->{name}[$s], uids($s, $b, @m));
	for my $m (@m) {
		$m->{now}[$s] = undef;
		touch($s, $m, 1);
	}
	$b->{taken}[$s] += @m;
}

sub do_move
{
	my ($s) = @_;
	my $b = pick(boxes($s));
	my $to = pick(grep { $_ != $b && !$_->{closed}[$s] } boxes($s));
	# Back to where it was it is another message there.
	my @m = grep { !$_->{base} || $_->{base}{box} != $to }
	    some($s, $b, most($s, $b), 1);

	return unless @m && $to;
	say_it('move', text($s, $b, @m), 'to', $to->{name}[$s]);
	my $uids = uids($s, $b, @m);
	$client[$s]->visit($b->{name}[$s]);
	$client[$s]->ok("UID MOVE $uids", \$to->{name}[$s]);
	for my $m (@m) {
		$m->{now}[$s]{box} = $to;
		touch($s, $m, 1);
	}
	$b->{taken}[$s] += @m;
}

sub do_copy
{
	my ($s) = @_;
	my $b = pick(boxes($s));
	my $to = pick(grep { !$_->{closed}[$s] } boxes($s));
	my @m = grep { !$touched{$_->{n}}{1 - $s} } some($s, $b, 1 + rand 3);

	return unless @m && $to;
	say_it('copy', text($s, $b, @m), 'to', $to->{name}[$s]);
	my $uids = uids($s, $b, @m);
	$client[$s]->visit($b->{name}[$s]);
	$client[$s]->ok("UID COPY $uids", \$to->{name}[$s]);
	for my $m (@m) {
		my $new = { n => $m->{n}, now => [] };
		$new->{now}[$s] = { box => $to,
		    flags => { %{ $m->{now}[$s]{flags} } } };
		push @msg, $new;
		touch($s, $m, 1);
	}
}

sub below
{
	my ($s, $b) = @_;
	my $sep = $server[$s]->sep;

	return grep { $_->{name}[$s] =~ /^\Q$b->{name}[$s]$sep\E/ } boxes($s);
}

sub do_create
{
	my ($s, $name) = @_;
	my $up = pick(grep { $_->{born} && !$_->{renamed} } boxes($s));

	return if boxes($s) > 14;
	$name //= (rand() < 0.3 && $up ? $up->{name}[$s] . '/' : '') .
	    "m" . $nbox++;
	my $b = { name => [], fresh => 1 };
	$b->{name}[$s] = $name;
	push @box, $b;
	say_it("create side $s:", $name);
	$client[$s]->create($name);
	$client[$s]->subscribe($name) if rand() < 0.3;
	return $b;
}

# The messages of a box that the state knows there.
sub known
{
	my ($s, $b) = @_;
	return grep { $_->{base} && $_->{base}{box} == $b } in_box($s, $b);
}

# One a round, of a box that both have and that has enough in it.
sub do_rename
{
	my ($s) = @_;
	my $b = pick(grep { $_->{born} && !$_->{closed}[0] && !$_->{closed}[1] &&
	    $_->{name}[0] ne 'INBOX' && known($s, $_) > 4 &&
	    !$_->{taken}[$s] } boxes($s));

	return if !$b || grep { $_->{renamed} } @box;
	my $old = $b->{name}[$s];
	my @below = below($s, $b);
	# What was made below it on the other side only is in nobody's plan.
	return if grep { !$_->{born} } below(1 - $s, $b), @below;
	my $up = pick(grep { $_->{born} && $_ != $b && $_->{name}[$s] !~
	    /^\Q$old\E\// && $_->{name}[$s] ne 'INBOX' } boxes($s));
	my $new = (rand() < 0.3 && $up ? $up->{name}[$s] . '/' : '') .
	    'r' . $nbox++;
	return if length $new > 60;
	$client[$s]->rename($old, $new);
	say_it("rename side $s:", $old, 'to', $new);
	for my $c ($b, @below) {
		$c->{renamed} = 1;
		$c->{name}[$s] = $new . substr $c->{name}[$s], length $old;
	}
	$up->{kept} = 1 if $up;
	if (rand() < 0.3) {
		# Under the old name, unless the other would then have two.
		my $fresh = do_create($s, $old) or return;
		$fresh->{old} = 1;
	}
}

# A box that nothing is to come to on either side any more.
sub do_delete
{
	my ($s) = @_;
	my $b = pick(grep { $_->{born} && !$_->{renamed} && !$_->{kept} &&
	    !$_->{closed}[0] && !$_->{closed}[1] && $_->{name}[0] ne 'INBOX' &&
	    !below($s, $_) && !below(1 - $s, $_) } boxes($s));

	return if !$b || boxes($s) < 7 || (grep { $_->{closed}[0] } @box);
	# What the other side did there, or brought there, would keep it.
	return if grep { my $n = $_->{now}[1 - $s]; $n && $n->{box} == $b &&
	    (!$_->{base} || $_->{base}{box} != $b) } @msg;
	return if grep { !free($s, $_, 1) } in_box($s, $b);
	say_it("delete side $s:", $b->{name}[$s]);
	$client[$s]->delete($b->{name}[$s]);
	$client[$s]->cmd('UNSUBSCRIBE', \$b->{name}[$s]);
	for my $m (in_box($s, $b)) {
		$m->{now}[$s] = undef;
		touch($s, $m, 1);
	}
	$b->{closed} = [1, 1];
	$b->{deleted} = 1;
	$b->{name}[$s] = undef;
}

my @action = ((\&do_append) x 4, (\&do_flag) x 4, (\&do_move) x 6,
    (\&do_copy) x 3, (\&do_expunge) x 2, (\&do_create), (\&do_rename) x 2,
    (\&do_delete));

# ---- what a run makes of it ----

sub merged
{
	my ($base, @have) = @_;
	my %all = map { %$_ } @have;

	for my $flag (keys %$base) {
		delete $all{$flag} if grep { !$_->{$flag} } @have;
	}
	return \%all;
}

# Messages as they are on both sides now; what both moved to different places
# is two.
sub unite
{
	my @new;

	for my $m (@msg) {
		my ($base, @now) = ($m->{base}, @{ $m->{now} }[0, 1]);
		my @all = grep { $_ } @now;
		if (!$base || !$now[0] || !$now[1]) {
			# New, or moved by the one and gone on the other.
			@all = grep { !$base || $_->{box} != $base->{box} } @all;
		} else {
			my @moved = grep { $_->{box} != $base->{box} } @now;
			my $f = merged($base->{flags}, map { $_->{flags} } @now);
			@all = @moved == 2 && $now[0]{box} != $now[1]{box} ? @now :
			    ({ box => ($moved[0] // $now[0])->{box},
			    flags => $f });
		}
		push @new, map { { n => $m->{n}, base => { box => $_->{box},
		    flags => { %{ $_->{flags} } } }, now => [map { {
		    box => $all[0]{box}, flags => {} } } 0, 1] } } @all;
	}
	@msg = @new;
	for my $m (@msg) {
		$m->{now} = [map { { box => $m->{base}{box}, flags =>
		    { %{ $m->{base}{flags} } } } } 0, 1];
	}
	@box = grep { !$_->{deleted} } @box;
	for my $b (@box) {
		my $name = $b->{renamed} ? newest($b) : $b->{name}[0] //
		    $b->{name}[1];
		%$b = (name => [$name, $name], born => 1);
	}
	%touched = ();
}

# Of two names that with the highest number in it is what it was renamed to.
sub newest
{
	my ($b) = @_;
	my ($x, $y) = map { my $n = 0; $n = $1 > $n ? $1 : $n
	    while /r(\d+)/g; [$n, $_] } @{ $b->{name} };

	return $x->[0] >= $y->[0] ? $x->[1] : $y->[1];
}

sub wanted
{
	my %want = map { $_->{name}[0] =~ s/\//|/gr => {} } @box;

	for my $m (@msg) {
		my $name = $m->{base}{box}{name}[0] =~ s/\//|/gr;
		$want{$name}{sha256_hex(message($m->{n}, id => $m->{n} % 7)) .
		    ' ' . instant(date_of($m->{n})) . ' [' .
		    flag_string([keys %{ $m->{base}{flags} }]) . ']'}++;
	}
	return \%want;
}

sub wrong
{
	my @snap = map { snapshot($_) } @server;
	my @wrong = differences(@snap);
	my $want = wanted();
	my %name;

	for my $m (@msg) {
		$name{sha256_hex(message($m->{n}, id => $m->{n} % 7))} = $m->{n};
	}
	for my $s (0, 1) {
		for my $name (sort keys %{ { %{ $snap[$s] }, %$want } }) {
			my ($h, $w) = ($snap[$s]{$name}, $want->{$name});
			next if !$w && !$h->{selectable};
			push @wrong, "side $s: $name: should " . ($w ? '' :
			    'not ') . 'be there' if !$h || !$w;
			my %all = (%{ $h->{messages} // {} }, %{ $w // {} });
			for my $line (sort keys %all) {
				my ($x, $y) = ($h->{messages}{$line} // 0,
				    $w->{$line} // 0);
				my ($sha) = $line =~ /^(\S+)/;
				push @wrong, "side $s: $name: message " .
				    ($name{$sha} // 'gone') . ' ' .
				    ($line =~ /(\[.*)/)[0] . " $x times, not $y"
				    if $x != $y;
			}
		}
	}
	return @wrong > 30 ? @wrong[0 .. 29] : @wrong;
}

# ---- rounds ----

my %hidden = (qresync => [], condstore => ['QRESYNC', 'IDLE', 'NOTIFY'],
    plain => [plain()]);
my @relay;

# The same two accounts, whatever stands in front of them.
sub section
{
	my ($s, $strategy) = @_;
	my $host = $s ? '127.0.0.1' : 'localhost';

	return $server[$s]->section(strategy => $strategy)
	    if !$ENV{HIDDEN};
	my $relay = $relay[$s]{$strategy} //= Imapsync::Alter->new(
	    server => $server[$s], hidden(@{ $hidden{$strategy} }));
	return $relay->section(host => $host);
}

# Said by the configuration, since the servers would offer all three.
sub strategies
{
	my @s = @fixed ? @fixed : (pick(@strategy), pick(@strategy));

	say_it("strategies: @s");
	$i->change(local => section(0, $s[0]), remote => section(1, $s[1]));
}

# What was sent and is not offered.
sub refusals
{
	return join '', map { refused($_) } map { values %{ $_ // {} } } @relay;
}

sub run
{
	strategies();
	return $i->run(@_);
}

# Of a run that is killed nothing is wanted but that the next ones go on.
sub killed
{
	strategies();
	my $pid = $i->start;

	sleep(rand 0.4);
	my $roles = $i->roles($pid);
	my $who = pick(sort grep { $_ ne 'tunnels' } keys %$roles);
	kill 9, $roles->{$who};
	my $r = $i->wait($pid);
	say_it("killed $who: $r->{status} $r->{err}");
	for (1 .. 3) {
		$r = run();
		last if $r->{status} == 0;
	}
	return $r;
}

sub round
{
	my ($n) = @_;

	srand($seed * 1000 + $n);
	@story = ();
	@client = map { $_->client } @server;
	for (1 .. ($n == 1 ? 60 : 8 + rand 16)) {
		my $s = int rand 2;
		pick($n == 1 ? (\&do_append, \&do_create) : @action)->($s);
	}
	$_->close for @client;
	unite();
	my $dry = rand() < 0.2 ? run('--dry-run') : undef;
	my $r = $ENV{KILLS} && rand() < 0.5 ? killed() : run();
	my @wrong;
	push @wrong, "dry run: exit $dry->{status} $dry->{err}" if $dry &&
	    ($dry->{status} || $dry->{signal});
	push @wrong, "exit $r->{status}, signal $r->{signal}"
	    if $r->{status} || $r->{signal};
	my $first = "$r->{out}$r->{err}";
	push @wrong, wrong();
	$r = run();
	push @wrong, "the run after it: exit $r->{status}: $r->{out}$r->{err}"
	    if $r->{status} || $r->{signal} || "$r->{out}$r->{err}" ne '';
	return 1 if ok(!@wrong, "round $n") && !$ENV{MODEL_DEBUG};
	diag(join "\n", "MODEL_SEED=$seed", @story, $first, @wrong);
	return !@wrong;
}

($next, $nbox) = (1, 1);
push @box, { name => ['INBOX', 'INBOX'], born => 1 };
diag("MODEL_SEED=$seed");
for my $n (1 .. $rounds) {
	round($n) or last;
}
is(refusals(), '', 'nothing was sent that is not offered');
cmp_ok(scalar @msg, '>', 10, 'there was mail to be at work at');
done_testing;

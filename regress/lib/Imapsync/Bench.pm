# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Two Dovecots and mail, what happens to it, and what a program (Peer.pm) costs
# that carries it over.
#
#	my $b = Imapsync::Bench->new(messages => 5000, boxes => 20);
#	$b->home($peer);
#	$b->restore('seed');		# the local side full, no state
#	my $r = $b->measure($peer, rtt => 0.05, limit => 300);
#	my @wrong = $b->verify($peer, messages => 5000);
#	$b->save('after');		# both sides and the peer's state
#	$b->change('flags', 500);	# on both sides, a half each
#
# A result: { status (0; "stopped" at the limit, "exit N" or "signal N"),
# wall, user, sys (seconds, the client's), turns, selects, sent, received (to
# and from the remote server), local, remote (seconds of CPU, all processes of
# that server), largest, all (KiB: the peak of the largest process, and those of
# all at one time, added), connections }.
#
# Options: messages, boxes (INBOX is one), size (octets a message, from that to
# three times of it), rate (octets a second), name (a function: number of a
# mailbox to its name), huge (octets of the only message), once (there is no
# "seed").
package Imapsync::Bench;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Find ();
use File::Path qw(make_path remove_tree);
use POSIX ();
use Time::HiRes qw(time sleep);
use Imapsync::Compare qw(snapshot differences total);
use Imapsync::Mail qw(message date_of);
use Imapsync::Proc qw(tmpdir spawn wait_for give_away slurp spew proc_field
    descendants);
use Imapsync::Relay;
use Imapsync::Server;

my $regress = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
my $number = 0;
use constant TICK => POSIX::sysconf(POSIX::_SC_CLK_TCK());

sub new
{
	my ($class, %o) = @_;
	my $self = bless { messages => 5000, boxes => 20, size => 1500,
	    name => \&box_name, %o }, $class;
	my $n = ++$number;

	$self->{dir} = tmpdir() . "/bench$n";
	make_path($self->{dir});
	for my $side ('local', 'remote') {
		$self->{$side} = Imapsync::Server->new(name => "$side$n",
		    daemon => 1, mechs => 'plain login',
		    # 256 MB is too little for a million messages.
		    conf => "default_vsz_limit = 2 G\n");
	}
	# No message that is put in later has a number of these.
	$self->{next} = $self->{messages};
	$self->fill;
	$self->save('seed') unless $o{once};
	return $self;
}

sub stop
{
	my ($self) = @_;

	$_->stop for values %{ delete $self->{relays} // {} },
	    @$self{'local', 'remote'};
	remove_tree($self->{dir}, map { $self->{$_}->dir } 'local', 'remote');
}

sub box_name { return $_[0] == 0 ? 'INBOX' : sprintf 'box%04d', $_[0] }

sub names
{
	my ($self) = @_;
	return map { $self->{name}->($_) } 0 .. $self->{boxes} - 1;
}

# ---- mail ----

sub maildir
{
	my ($self, $side) = @_;
	return $self->{$side}->dir . '/home/user/Maildir';
}

# Below it; Maildir++.
sub box_dir
{
	my ($root, $name) = @_;
	return $name eq 'INBOX' ? $root : "$root/." . $name =~ s{/}{.}gr;
}

# Files where Dovecot looks for them, quicker than to append them, and what it
# makes of them at the first look.
sub fill
{
	my ($self) = @_;
	my @names = $self->names;
	my $each = $self->{messages} / @names;
	my $n = 0;

	$self->make_boxes('local', @names);
	$self->make_boxes('remote', @names) if $self->{made};
	for my $i (0 .. $#names) {
		my $dir = box_dir($self->maildir('local'), $names[$i]);
		$self->fill_one("$dir/cur", ++$n)
		    while $n < int($each * ($i + 1) + 0.5);
	}
	give_away($self->maildir('local'));
	for my $side ('local', 'remote') {
		my $c = $self->{$side}->client;
		$c->subscribe('INBOX') if $side eq 'remote';
		$c->status($_) for $side eq 'local' ? @names : 'INBOX';
		$c->close;
	}
}

# Empty ones, subscribed to.
sub make_boxes
{
	my ($self, $side, @names) = @_;
	my $root = $self->maildir($side);

	for my $name (@names) {
		my $dir = box_dir($root, $name);
		make_path(map { "$dir/$_" } 'cur', 'new', 'tmp');
		spew("$dir/maildirfolder", '') if $name ne 'INBOX';
	}
	spew("$root/subscriptions", join '', map { "$_\n" } @names);
	give_away($root);
}

# From "size" to three times of it.
sub size_of
{
	my ($self, $n) = @_;
	my $size = $self->{size};

	return $size + $n * 7919 % (2 * $size);
}

# One in twenty is answered, and another a draft: change() finds them by that.
sub fill_one
{
	my ($self, $dir, $n) = @_;
	my $text = message($n, size => $self->size_of($n));
	my $flags = $n % 20 == 3 ? 'R' : $n % 20 == 7 ? 'D' :
	    $n % 3 ? 'S' : '';
	# 128 KiB of lines, as often as it takes.
	my $more = $self->{huge} ? ('x' x 62 . "\r\n") x 2048 : "\r\n";
	my $times = POSIX::ceil(($self->{huge} // 0) / length $more);
	my $virtual = length($text) + $times * length $more;

	s/\r\n/\n/g for $text, $more;
	my $file = sprintf '%s/%d.M%dP1.bench,S=%d,W=%d:2,%s', $dir,
	    1_000_000_000 + $n, $n, length($text) + $times * length $more,
	    $virtual, $flags;
	open(my $fh, '>:raw', $file) or die "$file: $!\n";
	print $fh $text;
	print $fh $more for 1 .. $times;
	close $fh or die "$file: $!\n";
	utime 1_000_000_000 + $n * 600, 1_000_000_000 + $n * 600, $file;
}

# The kinds of change, each to so many messages in all, spread over all
# mailboxes, a half on each side and never two to one message.
my %change = (
	flags => sub { my ($c, $box, $set) = @_;
	    $c->store($box, $set, '+FLAGS', '\Flagged') },
	expunges => sub { my ($c, $box, $set) = @_; $c->expunge($box, $set) },
);

sub change
{
	my ($self, $kind, $count) = @_;

	return if !$count;
	return $self->deliver($count) if $kind eq 'new';
	return $self->move($count) if $kind eq 'moves';
	$self->each_some($count, sub { $change{$kind}->(@_) }, $self->names);
}

# Call the sub with a client, a mailbox and some UIDs of it.
sub each_some
{
	my ($self, $count, $sub, @names) = @_;

	for (['local', 'ANSWERED', int($count / 2)],
	    ['remote', 'DRAFT', $count - int($count / 2)]) {
		my ($side, $mark, $left) = @$_;
		my $c = $self->{$side}->client;
		my $boxes = @names;
		for my $box (@names) {
			my $some = POSIX::ceil($left / $boxes--);
			$c->select($box);
			my ($found) = grep { $_->[0] eq 'SEARCH' } @{ $c->ok(
			    "UID SEARCH $mark UNDELETED")->{untagged} };
			my @uids = @$found[1 .. $#$found];
			splice @uids, $some if @uids > $some;
			next unless @uids;
			$left -= @uids;
			$sub->($c, $box, join ',', @uids);
		}
		$c->close;
		die "$left messages too few to change\n" if $left;
	}
}

sub deliver
{
	my ($self, $count) = @_;
	my @names = $self->names;

	for my $half (['local', int($count / 2)],
	    ['remote', $count - int($count / 2)]) {
		my ($side, $left) = @$half;
		my $c = $self->{$side}->client;
		my $boxes = @names;
		for my $box (@names) {
			my $some = POSIX::ceil($left / $boxes--) or next;
			$left -= $some;
			$c->append_many($box, map { my $n = ++$self->{next};
			    { body => message($n, size => $self->size_of($n)),
				date => date_of($n) } } 1 .. $some);
		}
		$c->close;
	}
}

# From each mailbox into the one behind it.
sub move
{
	my ($self, $count) = @_;
	my @names = $self->names;
	my %to = map { $names[$_] => $names[($_ + 1) % @names] } 0 .. $#names;
	my @from = @names > 1 ? grep { $_ % 2 == 0 } 0 .. $#names - 1 :
	    die "one mailbox alone\n";

	$self->each_some($count, sub {
		my ($c, $box, $set) = @_;
		$c->ok("UID MOVE $set", \$to{$box});
	}, @names[@from]);
}

# ---- copies ----

sub home
{
	my ($self, $peer) = @_;
	return "$self->{dir}/" . $peer->name;
}

sub trees
{
	my ($self, $name, $peer) = @_;
	my $to = "$self->{dir}/copy-$name";

	return (["$to/local", $self->maildir('local')],
	    ["$to/remote", $self->maildir('remote')],
	    $peer ? ["$to/peer", $self->home($peer)] : ());
}

# A message's file never changes, so both copies may have it; of all else each
# has its own.
sub copy_tree
{
	my ($from, $to) = @_;

	system('cp', '-al', $from, $to) == 0 or die "cp -al $from failed\n";
	File::Find::find({ no_chdir => 1, wanted => sub {
		if (m{/(?:cur|new)$}) {
			$File::Find::prune = 1;
			return;
		}
		my @st = lstat or return;
		return unless -f _;
		spew("$_.new", slurp($_));
		chmod $st[2] & 07777, "$_.new";
		chown $st[4], $st[5], "$_.new";
		utime @st[8, 9], "$_.new";
		rename "$_.new", $_ or die "$_: $!\n";
	} }, $to);
}

# As it is now, for restore().
sub save
{
	my ($self, $name, $peer) = @_;

	$self->quiet;
	$self->forget($name);
	make_path("$self->{dir}/copy-$name");
	copy_tree($_->[1], $_->[0]) for $self->trees($name, $peer);
}

sub restore
{
	my ($self, $name, $peer) = @_;

	$self->quiet;
	for ($self->trees($name, $peer)) {
		remove_tree($_->[1]);
		copy_tree(@$_) if -d $_->[0];
	}
}

sub forget
{
	my ($self, $name) = @_;
	remove_tree("$self->{dir}/copy-$name");
}

# No session is left.
sub quiet
{
	my ($self) = @_;

	for my $side ('local', 'remote') {
		my $pid = $self->{$side}{pid};
		wait_for(60, "the sessions of $side", sub {
			!grep { $_->[2] eq 'imap' } descendants($pid) });
	}
}

# ---- what it costs ----

# All processes of a server so far, those that ended as well: seconds.
sub server_cpu
{
	my ($server) = @_;
	my $ticks = 0;

	for my $pid ($server->{pid},
	    map { $_->[0] } descendants($server->{pid})) {
		my $text = eval { slurp("/proc/$pid/stat") } // next;
		my @f = split ' ', $text =~ s/.*\) //sr;
		$ticks += $_ for @f[11 .. 14];
	}
	return $ticks / TICK;
}

sub relay
{
	my ($self, $rtt) = @_;

	return $self->{relays}{$rtt} //= Imapsync::Relay->new(rtt => $rtt,
	    port => $self->{remote}->port,
	    $self->{rate} ? (rate => $self->{rate}) : ());
}

# The processes of a client.  Linux has a list of children; to read all of /proc
# would be felt.
sub below
{
	my ($pid) = @_;
	my @all;
	my @todo = ($pid);

	return map { $_->[0] } descendants($pid)
	    unless -e "/proc/$pid/task/$pid/children";
	while (defined(my $p = shift @todo)) {
		my $text = eval { slurp("/proc/$p/task/$p/children") } // next;
		push @todo, split ' ', $text;
		push @all, split ' ', $text;
	}
	return @all;
}

# The sum of the peaks of those that are there.
sub peaks
{
	my ($pid) = @_;
	my $sum = 0;

	for my $p (below($pid)) {
		my ($kb) = (proc_field($p, 'VmHWM') // '') =~ /(\d+)/ or next;
		$sum += $kb;
	}
	return $sum;
}

# Until it has ended, or for so long.
sub watch_it
{
	my ($pid, $limit) = @_;
	my $began = time;
	my ($all, $stopped) = (0, 0);

	while (waitpid($pid, POSIX::WNOHANG()) == 0) {
		my $passed = time - $began;
		if ($passed > $limit) {
			kill $stopped < 100 ? 'TERM' : 'KILL', -$pid;
			$stopped++;
		}
		my $sum = peaks($pid);
		$all = $sum if $sum > $all;
		sleep($passed < 1 ? 0.01 : 0.1);
	}
	return ($all, $stopped);
}

sub measure
{
	my ($self, $peer, %o) = @_;
	my $relay = $self->relay($o{rtt} // 0);
	my $home = $self->home($peer);
	my $cost = "$regress/tmp/cost";

	$peer->set_up($home, $self->{local}->port, $relay->port);
	$self->quiet;
	my $had = $relay->connections;
	my @cpu = map { server_cpu($self->{$_}) } 'local', 'remote';
	unlink "$home/cost";
	my $pid = spawn([$cost, "$home/cost", $peer->command], session => 1,
	    env => $peer->environment, dir => $home, out => "$home/out",
	    err => "$home/out");
	my ($all, $stopped) = watch_it($pid, $o{limit} // 300);
	$self->quiet;
	my @after = map { server_cpu($self->{$_}) } 'local', 'remote';
	my $r = costs("$home/cost", $stopped);
	$r->{all} = $all > $r->{largest} ? $all : $r->{largest};
	$r->{$_} = shift(@after) - shift @cpu for 'local', 'remote';
	$r->{connections} = $relay->connections - $had;
	for my $n ($had + 1 .. $relay->connections) {
		my $c = $relay->result($n);
		$r->{turns} += $c->{turns};
		$r->{selects} += $c->{selects};
		$r->{sent} += $c->{c2s};
		$r->{received} += $c->{s2c};
	}
	return $r;
}

sub costs
{
	my ($file, $stopped) = @_;
	my ($status, $wall, $user, $sys, $rss) = split ' ',
	    eval { slurp($file) } // "0 0 0 0 0";

	return { status => $stopped ? 'stopped' : $status > 128 ?
	    'signal ' . ($status - 128) : $status ? "exit $status" : 0,
	    wall => $wall / 1e6, user => $user / 1e6, sys => $sys / 1e6,
	    largest => $rss + 0, turns => 0, selects => 0, sent => 0,
	    received => 0 };
}

# A client that waits for changes, once it is at rest: PSS of all its processes
# (KiB), and a minute of wake-ups and CPU (seconds).
sub idle
{
	my ($self, $peer, %o) = @_;
	my $relay = $self->relay($o{rtt} // 0);
	my $home = $self->home($peer);
	my $seconds = $o{seconds} // 60;

	$peer->set_up($home, $self->{local}->port, $relay->port);
	my $pid = spawn([$peer->watching], session => 1, dir => $home,
	    env => $peer->environment, out => "$home/out",
	    err => "$home/out");
	my ($still, $before) = (0, -1);
	wait_for(120, 'rest', sub {
		my $now = wakes($pid);
		$still = $now == $before ? $still + 1 : 0;
		$before = $now;
		sleep 0.2;
		return $still >= 10;
	});
	my ($wakes, $cpu) = (wakes($pid), ticks($pid));
	my $began = time;
	sleep 0.5 while time - $began < $seconds;
	my $minute = 60 / (time - $began);
	# Nothing is less than what is no longer there.
	my $ended = waitpid($pid, POSIX::WNOHANG()) != 0;
	my $r = { status => $ended ? 'ended' : 0, pss => pss($pid), processes =>
	    scalar(() = below($pid)) + 1, wakes => (wakes($pid) - $wakes) *
	    $minute, cpu => (ticks($pid) - $cpu) / TICK * $minute };
	kill 'TERM', -$pid;
	Imapsync::Proc::reap($pid, 20) unless $ended;
	$self->quiet;
	return $r;
}

sub sum_of
{
	my ($pid, $sub) = @_;
	my $sum = 0;

	$sum += $sub->($_) // 0 for $pid, below($pid);
	return $sum;
}

sub wakes
{
	return sum_of($_[0], sub { (proc_field($_[0],
	    'voluntary_ctxt_switches') // 0) +
	    (proc_field($_[0], 'nonvoluntary_ctxt_switches') // 0) });
}

sub ticks
{
	return sum_of($_[0], sub {
		my @f = split ' ', (eval { slurp("/proc/$_[0]/stat") } // '')
		    =~ s/.*\) //sr;
		return ($f[11] // 0) + ($f[12] // 0);
	});
}

sub pss
{
	return sum_of($_[0], sub {
		my $text = eval { slurp("/proc/$_[0]/smaps_rollup") } // '';
		return $text =~ /^Pss:\s+(\d+)/m ? $1 : 0;
	});
}

# ---- whether it is right ----

# What is wrong, in words: both sides hold the same, and so many messages, of
# them so many with \Flagged; in that many mailboxes.
sub verify
{
	my ($self, $peer, %want) = @_;
	my %leaves = $peer ? $peer->leaves : ();
	my ($l, $r) = map { snapshot($self->{$_}, %leaves) } 'local', 'remote';
	my @wrong = differences($l, $r, %leaves);
	my %have = (messages => total($l), boxes => scalar keys %$l,
	    flagged => flagged($l));

	@wrong = (@wrong[0 .. 4], '... ' . (@wrong - 5) . ' more')
	    if @wrong > 6;
	for my $what (sort keys %want) {
		push @wrong, "$what: $have{$what}, not $want{$what}"
		    if $have{$what} != $want{$what};
	}
	return @wrong;
}

sub flagged
{
	my ($snap) = @_;
	my $n = 0;

	for my $box (values %$snap) {
		my $m = $box->{messages};
		$n += $m->{$_} for grep { /\\flagged/ } keys %$m;
	}
	return $n;
}

# How many there are on a side, by the server's count.
sub count
{
	my ($self, $side) = @_;
	my $c = $self->{$side}->client;
	my $n = 0;

	for my $box ($c->list) {
		my $s = $c->status($box->{name}, 'MESSAGES') // next;
		$n += $s->{MESSAGES};
	}
	$c->close;
	return $n;
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Many runs of imapsync against model servers of their own, several at once and
# with as little Perl as can be: the servers' processes are forked once, when
# all cases are known, and serve one case after another.
#
#	my @cases = ({ name => 'an endless line', remote => {
#		store => $store,	# a Store.pm; default: an empty one
#		hooks => { ... }, caps => '...', greeting => 'OK', # Model.pm
#		cut => 100, open => 1,	# 100 octets, then silent, not closed
#		early => sub { my ($c) = @_; ... }, # instead of the session
#	    }, local => { store => $store }, conf => { ... },
#	    keys => { remote => { timeout => 1 } },	# or sub ($port)
#	    args => ['--debug'],
#	    end_after => 5,	# SIGTERM
#	    limit => 60, state => $directory, memory => 1,
#	    brief => 1,		# nothing is written down but local's mail
#	    keep => 1 }, ...);	# for a look later
#	my $farm = Imapsync::Farm->new(\@cases, slots => 8);
#	$farm->run(sub {
#		my ($case, $r) = @_;
#		# $r: status, signal, out, err, seconds as of Imapsync.pm;
#		# peak: { engine => kB, ... } with memory => 1; late: had to be
#		# killed; state: the directory of the state
#		my $store = $farm->store($case, 'local');	# what it became
#		my @notes = $farm->notes($case, 'remote');
#		...
#	    }, grep { ... } @cases);
#
# A case's server is a session of Model.pm with these hooks.  Of these, put()
# dies when nobody reads any more.  The servers are called 127.0.0.1 (local)
# and localhost (remote), so that a state of one case fits another.
package Imapsync::Farm;

use strict;
use warnings;
use File::Path ();
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket;
use Storable ();
use Time::HiRes qw(time sleep);
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir forked slurp spew proc_field descendants);
use Imapsync::Session;

use constant PATIENCE => 5;		# seconds for a server to see the end
use constant NAP => 0.01;

my %roles = ('imapsync' => 'engine', 'imapsync-net' => 'net',
    'imapsync-store' => 'store');
my $number = 0;

sub new
{
	my ($class, $cases, %o) = @_;
	my $self = bless { slots => 4, %o, cases => $cases }, $class;
	my $n = 0;

	$self->{dir} = tmpdir() . '/farm' . $number++;
	mkdir $self->{dir} or die "$self->{dir}: $!\n";
	$_->{number} = $n++ for @$cases;
	for my $slot (0 .. $self->{slots} - 1) {
		$self->start($slot, $_) for 'local', 'remote';
	}
	return $self;
}

sub start
{
	my ($self, $slot, $side) = @_;
	my $s = $self->{server}{"$slot $side"} = {};
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Proto => 'tcp', Listen => 16) or die "listen: $!\n";

	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0)
	    or die "socketpair: $!\n";
	$_->autoflush(1) for $ours, $theirs;
	$s->{pid} = forked(sub { $self->serve($listen, $side, $theirs) },
	    $theirs, $listen);
	@$s{qw(ctl port)} = ($ours, $listen->sockport);
}

sub stop
{
	my ($self) = @_;

	close $_->{ctl} for values %{ $self->{server} };
	Imapsync::Proc::stop($_->{pid}) for values %{ $self->{server} };
	$self->{server} = {};
}

# Tell the server of a slot, and wait until it has heard it.
sub tell
{
	my ($self, $slot, $side, $text) = @_;

	return if $self->heard($slot, $side, $text);
	# It is lost in thought: another takes its place.
	my $pid = $self->{server}{"$slot $side"}{pid};
	kill 'KILL', $pid;
	Imapsync::Proc::reap($pid, PATIENCE);
	$self->start($slot, $side);
	$self->heard($slot, $side, $text) or die "no server: $text\n"
	    if $text ne 'over';
}

sub heard
{
	my ($self, $slot, $side, $text) = @_;
	my $ctl = $self->{server}{"$slot $side"}{ctl};
	my $until = time + PATIENCE;

	print $ctl "$text\n";
	until (IO::Select->new($ctl)->can_read($until - time)) {
		# SIGCHLD ends that as well.
		return 0 if time >= $until;
	}
	return defined readline $ctl;
}

sub dir { return "$_[0]{dir}/$_[1]{number}.$_[2]" }

sub store
{
	my ($self, $case, $side) = @_;
	my $file = $self->dir($case, $side) . '/store';

	return -e $file ? Storable::retrieve($file) :
	    $case->{$side}{store} // Imapsync::Store->new;
}

sub text
{
	my ($self, $case, $side, $what) = @_;
	my $file = $self->dir($case, $side) . "/$what";

	return -e $file ? slurp($file) : '';
}

sub notes { return split /\n/, text(@_, 'notes') }
sub received { return text(@_, 'received') }

# All commands of all connections, without tags.
sub commands
{
	my ($self, $case, $side) = @_;

	return split /\n/, $self->text($case, $side, 'commands');
}

# ---- in the test's process ----

sub run
{
	my ($self, $judge, @cases) = @_;
	my @free = 0 .. $self->{slots} - 1;
	my (@running, $case);

	local $SIG{CHLD} = sub {};	# ends the nap
	while (@cases || @running) {
		while (@free && defined($case = shift @cases)) {
			push @running, $self->begin($case, shift @free);
		}
		sleep +(grep { $_->{case}{memory} } @running) ? NAP : 5 * NAP;
		my @over;
		for my $run (@running) {
			sample($run) if $run->{case}{memory};
			(delete $run->{later})->() if $run->{later} &&
			    time > $run->{when};
			push @over, $run if gone($run->{pid}) ||
			    time > $run->{until};
		}
		for my $run (@over) {
			@running = grep { $_ != $run } @running;
			$self->finish($run, $judge);
			push @free, $run->{slot};
		}
	}
}

sub begin
{
	my ($self, $case, $slot) = @_;
	my (%keys, $i);

	for my $side ('local', 'remote') {
		mkdir $self->dir($case, $side);
		$self->tell($slot, $side, "begin $case->{number}");
		my $port = $self->{server}{"$slot $side"}{port};
		my $own = $case->{keys}{$side} // {};
		$own = $own->($port) if ref $own eq 'CODE';
		my %all = (type => 'imap', STARTTLS => 'NO', port => $port,
		    host => $side eq 'local' ? '127.0.0.1' : 'localhost',
		    username => 'user', password => 'pass', %$own);
		$keys{$side} = { map { defined $all{$_} ? ($_ => $all{$_}) :
		    () } keys %all };
	}
	$i = Imapsync::Imapsync->new(%keys, conf => $case->{conf} // {});
	copy_state($case->{state}, "$i->{home}/data/imapsync")
	    if defined $case->{state};
	my $pid = $i->start(@{ $case->{args} // [] });
	my $run = { case => $case, slot => $slot, i => $i, pid => $pid,
	    until => time + ($case->{limit} // 60), peak => {} };
	@$run{qw(when later)} = (time + $case->{end_after}, sub {
	    kill 'TERM', $pid }) if $case->{end_after};
	return $run;
}

# What a run had in its directory, for another.
sub copy_state
{
	my ($from, $to) = @_;

	mkdir $to, 0700 or die "$to: $!\n";
	for my $path (glob "$from/*") {
		my ($name) = $path =~ m{([^/]+)\z};
		spew("$to/$name", slurp($path), 0600);
	}
}

sub finish
{
	my ($self, $run, $judge) = @_;
	my ($case, $i) = @$run{qw(case i)};
	my $late = !gone($run->{pid});
	my $r = $i->wait($run->{pid}, limit => 0, killed => 1);

	$self->tell($run->{slot}, $_, 'over') for 'local', 'remote';
	@$r{qw(late peak state i)} = ($late, peak($run),
	    "$i->{home}/data/imapsync", $i);
	$judge->($case, $r);
	return if $case->{keep} || $ENV{IMAPSYNC_KEEP};
	File::Path::remove_tree($i->{home}, map { $self->dir($case, $_) }
	    'local', 'remote');
}

# A zombie; its status is for Proc.pm.
sub gone
{
	my ($pid) = @_;

	open(my $fh, '<', "/proc/$pid/stat") or return 1;
	my $text = readline $fh;
	return !defined $text || $text =~ /\) [ZX] /;
}

sub children
{
	my ($pid) = @_;

	open(my $fh, '<', "/proc/$pid/task/$pid/children") or
	    return map { $_->[0] } descendants($pid);
	return split ' ', readline($fh) // '';
}

# The processes of a run and the most that each had resident, in kB.
sub sample
{
	my ($run) = @_;
	my $pid = $run->{pid};

	for my $p ($pid, children($pid)) {
		open(my $in, '<', "/proc/$p/status") or next;
		local $/;
		my $text = readline $in // next;
		my ($name) = $text =~ /^Name:\s*(.*)$/m;
		my ($kb) = $text =~ /^VmHWM:\s*(\d+)/m or next;
		# Ahead of exec(2) it is a copy of this test, or of the
		# supervisor.
		next unless $roles{$name // ''};
		my $seen = $run->{peak}{$p} //= { kb => 0 };
		$seen->{name} = $p == $pid ? 'supervisor' : $roles{$name};
		$seen->{kb} = $kb if $kb > $seen->{kb};
	}
}

# By role; of the network workers the local one is started first.
sub peak
{
	my ($run) = @_;
	my (%peak, @net);

	for my $p (sort { $a <=> $b } keys %{ $run->{peak} }) {
		my $seen = $run->{peak}{$p};
		my $name = $seen->{name};
		$name = push(@net, $p) == 1 ? 'local' : 'remote'
		    if $name eq 'net';
		$peak{$name} = $seen->{kb}
		    if $seen->{kb} > ($peak{$name} // 0);
	}
	return \%peak;
}

# ---- in a server's process: one a slot and side ----

sub serve
{
	my ($self, $listen, $side, $ctl) = @_;
	my $select = IO::Select->new($ctl, $listen);
	my $case;

	$listen->blocking(0);
	$SIG{CHLD} = 'DEFAULT';
	for (;;) {
		my @ready = $select->can_read;
		if (grep { $_ == $listen } @ready) {
			$self->connection($case, $side, $listen);
			next;
		}
		next unless @ready;
		my $line = readline($ctl) // return;
		# What is still waiting at the end has been connected before.
		$self->connection($case, $side, $listen) if $line eq "over\n";
		$case = $self->{cases}[$1] if $line =~ /^begin (\d+)/;
		print $ctl "ok\n";
	}
}

sub connection
{
	my ($self, $case, $side, $listen) = @_;

	while (my $sock = $listen->accept) {
		$sock->blocking(1);
		eval { $self->one($case, $side, $sock); 1 } or
		    print STDERR "farm: $@";
	}
}

sub one
{
	my ($self, $case, $side, $sock) = @_;
	my $spec = $case->{$side} // {};
	my $dir = $self->dir($case, $side);
	my $had = -e "$dir/count" ? slurp("$dir/count") : 0;
	my $fake = bless { dir => $dir, user => 'user', password => 'pass',
	    greeting => 'OK', %$spec, count => $had + 1,
	    caps => Imapsync::Model::caps($spec->{caps} // '') },
	    'Imapsync::Model';
	my $c = Imapsync::Farm::Conn->new($fake, $sock);

	spew("$dir/count", $had + 1);
	$c->{store} = -e "$dir/store" ? $self->store($case, $side) :
	    Storable::dclone($spec->{store} // Imapsync::Store->new);
	$c->{hooks} = $spec->{hooks} // {};
	@$c{qw(cut open sent)} = (@$spec{qw(cut open)}, 0);
	eval { $spec->{early} ? $spec->{early}->($c) : $c->serve; 1 } or
	    $c->note("session: $@");
	if ($side eq 'local' || !$case->{brief}) {
		Storable::nstore($c->{store}, "$dir/store.new");
		rename "$dir/store.new", "$dir/store" or die "rename: $!\n";
	}
	return if $case->{brief};
	spew("$dir/sent", $c->{sent});
	open(my $fh, '>>:raw', "$dir/commands") or die "commands: $!\n";
	print $fh @{ $c->{log} // [] };
	close $fh or die "commands: $!\n";
	$c->log_input;
}

package Imapsync::Farm::Conn;

use strict;
use warnings;
use Imapsync::Wire;

our @ISA = ('Imapsync::Session');

# Kept until the end.
sub log_command
{
	my ($self, @chunks) = @_;

	push @{ $self->{log} }, Imapsync::Session::as_line(@chunks) . "\n";
}

# So many octets at least, in pieces: always the same one, or what the sub makes
# of their number.  Dies when nobody reads any more.
sub flood
{
	my ($self, $octets, $piece) = @_;
	my $sent = 0;

	$self->flush;
	for (my $n = 0; $sent < $octets; $n++) {
		my $data = ref $piece ? $piece->($n) : $piece;
		$self->put($data);
		$sent += length $data;
	}
}

sub put
{
	my ($self, $data) = @_;
	my $cut = $self->{cut};

	if (!defined $cut || $self->{sent} + length $data < $cut) {
		$self->{sent} += length $data;
		Imapsync::Wire::put($self, $data) or die "nobody reads\n";
		return 1;
	}
	Imapsync::Wire::put($self, substr($data, 0, $cut - $self->{sent}));
	$self->{sent} = $cut;
	$self->{pending} = '';
	$self->silence if $self->{open};
	# One in three with a RST, the others with an orderly end.
	$self->hang_up(1) if $cut % 3 == 0;
	shutdown($self->{sock}, 1);
	$self->silence;
}

1;

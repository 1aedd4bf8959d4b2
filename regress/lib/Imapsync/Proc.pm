# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Processes, ports and the private directory of one test.
#
#	use Imapsync::Proc qw(tmpdir spawn stop wait_for free_port);
#	my $dir = tmpdir();			# one a test, removed at its end
#	my $pid = spawn([qw(sleep 60)]);	# ended when the test ends
#	wait_for(10, 'the file', sub { -e "$dir/file" });
#	stop($pid);
#
# Whatever way a test ends (die, exit, a signal), what it started is ended by
# pid and its directory goes.  IMAPSYNC_KEEP=1 in the environment leaves the
# directory for a look.
package Imapsync::Proc;

use strict;
use warnings;
use Exporter 'import';
use File::Path ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(tmpdir spawn forked stop wait_for free_port is_root
    mail_user as_mail_user give_away slurp spew which descendants alive
    proc_field descriptors run_command);

my $owner = $$;		# forked children must not clean up
my $tmp;
my %children;		# pid => 1

$SIG{$_} = \&on_signal for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

sub on_signal
{
	POSIX::_exit(1) if $$ != $owner;
	exit 1;		# runs END
}

sub is_root { return $> == 0 }

# The user that mail servers run as when the test is root.
sub mail_user { return 'mail' }

# The words to put before a command that must not be root.
sub as_mail_user
{
	return () unless is_root();
	my $user = mail_user();
	return ('setpriv', "--reuid=$user", "--regid=$user",
	    '--clear-groups');
}

# Give files and directories, with all below them, to the mail user.
sub give_away
{
	my @paths = @_;

	return unless is_root() && @paths;
	my ($uid, $gid) = (getpwnam(mail_user()))[2, 3];
	system('chown', '-R', "$uid:$gid", @paths) == 0
	    or die "chown failed\n";
}

sub tmpdir
{
	return $tmp if defined $tmp;
	$tmp = File::Temp::tempdir('imapsync-test.XXXXXXXX', TMPDIR => 1,
	    CLEANUP => 0);
	chmod 0755, $tmp;
	return $tmp;
}

sub which
{
	my ($name) = @_;

	for my $dir (split(/:/, $ENV{PATH} // ''), qw(/usr/sbin /sbin)) {
		return "$dir/$name" if -x "$dir/$name" && !-d _;
	}
	return;
}

sub slurp
{
	my ($path) = @_;

	open(my $fh, '<:raw', $path) or die "$path: $!\n";
	local $/;
	my $text = <$fh>;
	close $fh;
	return $text // '';
}

sub spew
{
	my ($path, $text, $mode) = @_;

	open(my $fh, '>:raw', $path) or die "$path: $!\n";
	chmod $mode, $path if defined $mode;
	print $fh $text or die "$path: $!\n";
	close $fh or die "$path: $!\n";
	return $path;
}

# A TCP port of 127.0.0.1 that nobody listens on.
sub free_port
{
	my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Proto => 'tcp', Listen => 1) or die "no free port: $!\n";
	return $sock->sockport;
}

# Poll until the sub returns something true, and return that; die if that takes
# longer than the seconds given.
sub wait_for
{
	my ($seconds, $what, $sub) = @_;
	my $end = time + $seconds;
	my $nap = 0.002;

	for (;;) {
		my $value = $sub->();
		return $value if $value;
		die "waited $seconds s in vain for $what\n" if time > $end;
		sleep $nap;
		$nap *= 1.5 if $nap < 0.05;
	}
}

# Start a command; opt: in, out, err (paths or handles; default /dev/null for
# in, the test's own for out and err), env (hash: changed variables, undef
# removes), session (1: setsid), dir.  Returns the pid.
sub spawn
{
	my ($argv, %opt) = @_;
	my $pid = fork() // die "fork: $!\n";

	if ($pid == 0) {
		eval { in_child($argv, %opt) };
		print STDERR $@;
		POSIX::_exit(127);
	}
	$children{$pid} = 1;
	return $pid;
}

sub in_child
{
	my ($argv, %opt) = @_;

	$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE CHLD);
	redirect(\*STDIN, '<', $opt{in} // '/dev/null');
	redirect(\*STDOUT, '>>', $opt{out}) if defined $opt{out};
	redirect(\*STDERR, '>>', $opt{err}) if defined $opt{err};
	my %env = %{ $opt{env} // {} };
	for my $name (keys %env) {
		if (defined $env{$name}) {
			$ENV{$name} = $env{$name};
		} else {
			delete $ENV{$name};
		}
	}
	chdir $opt{dir} or die "$opt{dir}: $!\n" if defined $opt{dir};
	POSIX::setsid() if $opt{session};
	POSIX::setpgid(0, 0) if $opt{group};
	exec { $argv->[0] } @$argv or die "$argv->[0]: $!\n";
}

sub redirect
{
	my ($std, $mode, $to) = @_;

	if (ref $to) {
		open($std, "$mode&", $to) or die "dup: $!\n";
	} else {
		open($std, $mode, $to) or die "$to: $!\n";
	}
}

# Run the sub in a forked process, which ends with it.  Of the descriptors above
# 2 it keeps only the handles given.  Returns the pid.
sub forked
{
	my ($sub, @keep) = @_;
	my $parent = $$;
	my $pid = fork() // die "fork: $!\n";

	if ($pid == 0) {
		$SIG{$_} = sub { POSIX::_exit(0) } for qw(INT TERM HUP);
		# A test that was killed with SIGKILL takes its servers along.
		$SIG{ALRM} = sub {
			POSIX::_exit(0) if getppid() != $parent;
			alarm 2;
		};
		alarm 2;
		let_go(@keep);
		my $ok = eval { $sub->(); 1 };
		print STDERR "forked: $@" unless $ok;
		POSIX::_exit($ok ? 0 : 1);
	}
	$children{$pid} = 1;
	return $pid;
}

# Put /dev/null in the place of all descriptors above 2 but these.  (Closing
# them behind Perl's back would confuse its count of who uses a number.)
sub let_go
{
	my @keep = @_;
	my %keep = map { fileno($_) => 1 } @keep;
	my $null = POSIX::open('/dev/null', POSIX::O_RDWR());

	for my $fd (3 .. 255) {
		next if $keep{$fd} || $fd == $null;
		my $copy = POSIX::dup($fd) // next;
		POSIX::close($copy);
		POSIX::dup2($null, $fd);
	}
	POSIX::close($null);
}

# End a process that spawn() or forked() started: SIGTERM, after the seconds
# given SIGKILL.  Returns its wait status.
sub stop
{
	my ($pid, $seconds) = @_;
	my $status;

	return unless delete $children{$pid};
	kill 'TERM', $pid;
	my $gone = eval {
		wait_for($seconds // 10, "process $pid", sub {
			my $got = waitpid($pid, POSIX::WNOHANG());
			$status = $?;
			return $got != 0;
		});
	};
	return $status if $gone;
	kill 'KILL', $pid;
	waitpid($pid, 0);
	return $?;
}

# Wait for the end of a process started by spawn(), "seconds" at most.  Returns
# its wait status, or undef if it had to be killed.
sub reap
{
	my ($pid, $seconds) = @_;
	my $status;

	my $gone = eval {
		wait_for($seconds, "process $pid", sub {
			my $got = waitpid($pid, POSIX::WNOHANG());
			$status = $?;
			return $got != 0;
		});
	};
	if (!$gone) {
		kill 'KILL', $pid;
		waitpid($pid, 0);
		$status = undef;
	}
	delete $children{$pid};
	return $status;
}

# Run a command to its end; die unless it succeeds.  Returns its output.
sub run_command
{
	my ($argv, %opt) = @_;
	my $out = File::Temp->new(DIR => tmpdir());
	my $pid = spawn($argv, out => "$out", err => "$out", %opt);
	my $status = reap($pid, $opt{seconds} // 120);
	my $text = slurp("$out");

	if (!defined $status || $status != 0) {
		die "@$argv failed (" . ($status // 'time limit') .
		    "):\n$text";
	}
	return $text;
}

# All processes below one, as [pid, start time, name], children before
# grandchildren.  alive() tells which of such a list still run.
sub descendants
{
	my ($top) = @_;
	my (%kids, %stat, @found);

	for my $path (glob '/proc/[0-9]*/stat') {
		my $text = eval { slurp($path) } // next;
		my ($pid, $comm, $state, $ppid, $rest) =
		    $text =~ /^(\d+) \((.*)\) (\S) (\d+) (.*)/s or next;
		next if $state eq 'Z';
		push @{ $kids{$ppid} }, $pid;
		$stat{$pid} = [$pid, (split ' ', $rest)[17], $comm];
	}
	my @todo = ($top);
	while (defined(my $pid = shift @todo)) {
		my @below = sort { $a <=> $b } @{ $kids{$pid} // [] };
		push @found, map { $stat{$_} } @below;
		push @todo, @below;
	}
	return @found;
}

sub alive
{
	my @list = @_;
	my @left;

	for my $proc (@list) {
		my $text = eval { slurp("/proc/$proc->[0]/stat") } // next;
		my ($state, $rest) = $text =~ /^\d+ \(.*\) (\S) \d+ (.*)/s
		    or next;
		next if $state eq 'Z' || $state eq 'X';
		push @left, $proc if (split ' ', $rest)[17] eq $proc->[1];
	}
	return @left;
}

# What a process holds open: { number => target }, a socket of TCP as "tcp".
sub descriptors
{
	my ($pid) = @_;
	my (%fd, %tcp);

	for my $line (split /\n/, slurp('/proc/net/tcp')) {
		my @f = split ' ', $line;
		$tcp{$f[9]} = 1 if @f > 9;
	}
	for my $path (glob "/proc/$pid/fd/*") {
		my $target = readlink $path // next;
		my ($n) = $path =~ /(\d+)$/;
		$target = 'tcp' if $target =~ /^socket:\[(\d+)\]/ && $tcp{$1};
		$fd{$n} = $target;
	}
	return \%fd;
}

# A line of /proc/PID/status: proc_field($pid, 'Seccomp'); undef if none.
sub proc_field
{
	my ($pid, $field) = @_;
	my $text = eval { slurp("/proc/$pid/status") } // return;

	return $text =~ /^\Q$field\E:\s*(.*?)\s*$/m ? $1 : undef;
}

END {
	if ($$ == $owner) {
		my $status = $?;

		for my $pid (keys %children) {
			kill 'TERM', $pid;
		}
		stop($_, 5) for keys %children;
		if (defined $tmp) {
			if ($ENV{IMAPSYNC_KEEP}) {
				print STDERR "# kept: $tmp\n";
			} else {
				File::Path::remove_tree($tmp,
				    { error => \my $ignored });
			}
		}
		$? = $status;
	}
}

1;

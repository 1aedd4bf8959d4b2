# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Cases of a test that mostly wait, several at once, each in a process of its
# own.
#
#	use Imapsync::Cases qw(cases);
#	cases(4, 'B2: a name' => sub { ... }, 'B2: another' => sub { ... });
#	done_testing;
#
# Each is one test of the outer file; what it says itself is shown if it fails.
# FILE.t --case N runs the N-th alone, from 0.  Of more than SOME every second one
# is taken, of more than MANY every third, unless IMAPSYNC_CASES is "all".
package Imapsync::Cases;

use strict;
use warnings;
use Cwd ();
use Exporter 'import';
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Proc qw(spawn spew slurp tmpdir);
use Imapsync::Sides;

use constant { SOME => 10, MANY => 20 };

our @EXPORT_OK = qw(cases);

sub cases
{
	my ($at_once, @cases) = @_;
	my $n = @cases / 2;

	if (@ARGV == 2 && $ARGV[0] eq '--case') {
		my ($name, $sub) = @cases[$ARGV[1] * 2, $ARGV[1] * 2 + 1];
		die "there are $n cases\n" unless $sub;
		note($name);
		$sub->();
		done_testing();
		exit 0;
	}
	my $script = Cwd::abs_path($0);
	my @left = drawn($n > MANY ? 3 : $n > SOME ? 2 : 1, 0 .. $n - 1);
	my %running;

	while (@left || %running) {
		while (@left && keys %running < $at_once) {
			my $next = shift @left;
			my $out = spew(tmpdir() . "/case.$next", '');
			my $pid = spawn([$^X, $script, '--case', $next],
			    out => $out, err => $out,
			    env => { TMPDIR => tmpdir() });
			$running{$pid} = [$cases[$next * 2], $out, $next];
		}
		sleep 0.05;
		ended($_, delete $running{$_}) for grep { gone($_) }
		    keys %running;
	}
}

# Without taking its status: that is for reap().
sub gone
{
	my ($pid) = @_;
	my $text = eval { slurp("/proc/$pid/stat") } // return 1;

	return $text =~ /\) [ZX] /;
}

sub ended
{
	my ($pid, $case) = @_;
	my ($name, $out, $n) = @$case;
	my $status = Imapsync::Proc::reap($pid, 600) // -1;

	local $Test::Builder::Level = $Test::Builder::Level + 2;
	ok($status == 0, $name) or diag(slurp($out), "repeat: $0 --case $n");
}

1;

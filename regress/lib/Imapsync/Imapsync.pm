# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# imapsync itself, as a test runs it.
#
#	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote,
#	    conf => { 'ignore-mailbox' => '^virtual(\x00|$)' });
#	my $r = $i->run('--dry-run');	# { status, signal, out, err, seconds }
#	$i->sync_ok('first run');	# Test::More: exit 0
#	$i->silent_ok('nothing to do');	# ... and no output
#	$i->quiet_ok('nothing to do');	# ... and no mailbox is opened
#	$i->says_once($r, qr/^remote: /, 'refused');	# one line, this one
#	$i->status_is(3, 'skipped', '--quiet');		# returns the result too
#	my $pid = $i->start; ... kill ...; my $r = $i->wait($pid);
#	$i->state_file; $i->sql('SELECT ...');	# lines; needs sqlite3(1)
#
# local and remote: servers (whatever has section()), or hashes of keys.  "conf"
# goes into the default section; a value undef leaves a key out.  change()
# alters all three for the next run.  Each object has its own HOME,
# configuration (mode 0600) and state.  A run that takes longer than "limit"
# seconds (default 120) is killed and fails the test.
#
# The program is the staged one: below IMAPSYNC_STAGE, or regress/stage.
package Imapsync::Imapsync;

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Temp ();
use Test::More;
use Time::HiRes qw(time);
use Imapsync::Proc qw(tmpdir spawn slurp spew which descendants proc_field);
use Imapsync::Schema;

my $regress = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
my $number = 0;

sub stage { return $ENV{IMAPSYNC_STAGE} // "$regress/stage" }
sub program { return stage() . '/usr/bin/imapsync' }
sub libexec { return stage() . '/usr/libexec/imapsync' }

sub new
{
	my ($class, %o) = @_;
	my $self = bless { limit => 120, conf => {}, env => {}, %o }, $class;

	-x program() or die program() . " is missing: run make stage\n";
	my $home = $self->{home} = tmpdir() . '/client' . $number++;
	mkdir $_ for $home, "$home/config", "$home/data";
	$self->write_conf;
	return $self;
}

# Other keys or servers: change(conf => {...}, local => ..., remote => ...).
sub change
{
	my ($self, %o) = @_;

	$self->{conf} = { %{ $self->{conf} }, %{ delete $o{conf} } }
	    if $o{conf};
	@$self{keys %o} = values %o;
	$self->write_conf;
}

sub conf_file { return "$_[0]{home}/config/imapsync" }

sub conf_text
{
	my ($self) = @_;
	my $text = '';

	for my $section ('', 'local', 'remote') {
		my $keys = $section eq '' ? $self->{conf} : $self->{$section};
		$keys = $keys->section if ref $keys ne 'HASH';
		$text .= "\n[$section]\n" if $section ne '';
		for my $key (sort keys %$keys) {
			$text .= "$key = $keys->{$key}\n"
			    if defined $keys->{$key};
		}
	}
	return $text;
}

sub write_conf
{
	my ($self, $text, $mode) = @_;
	my $file = $self->conf_file;

	unlink $file;
	spew($file, $text // $self->conf_text, $mode // 0600);
}

sub environment
{
	my ($self) = @_;
	return { HOME => $self->{home}, IMAPSYNC_LIBEXEC => libexec(),
	    XDG_CONFIG_HOME => "$self->{home}/config",
	    XDG_DATA_HOME => "$self->{home}/data", LC_ALL => 'C',
	    %{ $self->{env} } };
}

# Start a run, return the supervisor's pid.  wait() must follow.
sub start
{
	my ($self, @args) = @_;
	my $n = $self->{runs}++ // 0;
	my ($out, $err) = map { "$self->{home}/$n.$_" } qw(out err);

	spew($_, '') for $out, $err;
	my $pid = spawn([program(), @args], out => $out, err => $err,
	    env => $self->environment, dir => $self->{home});
	$self->{run}{$pid} = { out => $out, err => $err, began => time,
	    args => "@args" };
	return $pid;
}

# Wait for the end of a run.  With killed => 1 it isn't a failure that it took
# too long.
sub wait
{
	my ($self, $pid, %o) = @_;
	my $run = delete $self->{run}{$pid};
	my $status = Imapsync::Proc::reap($pid, $o{limit} // $self->{limit});
	my $r = { out => slurp($run->{out}), err => slurp($run->{err}),
	    seconds => time - $run->{began} };

	if (!defined $status) {
		$r->{status} = -1;
		$r->{signal} = 9;
		return $r if $o{killed};
		local $Test::Builder::Level = $Test::Builder::Level + 1;
		fail("imapsync $run->{args} ends in time");
		diag($r->{out}, $r->{err});
		return $r;
	}
	$r->{status} = $status >> 8;
	$r->{signal} = $status & 127;
	check_json($r, $o{killed}) if $run->{args} =~ /--json\b/;
	return $r;
}

# All that --json prints in any test is what its schema says.
sub check_json
{
	my ($r, $killed) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 2;
	for (split /^/, $r->{out}) {
		my $why = Imapsync::Schema::wrong($_);
		fail("--json fits its schema: $why"), diag($_) if $why ne '';
	}
	# And it prints something, always.
	fail('--json prints an object') if $r->{out} eq '' && !$killed;
}

sub run
{
	my ($self, @args) = @_;
	return $self->wait($self->start(@args));
}

# A test: a run with these arguments exits with that status.
sub status_is
{
	my ($self, $status, $name, @args) = @_;
	my $r = $self->run(@args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{signal} ? "signal $r->{signal}" : $r->{status}, $status,
	    $name) or diag($r->{out}, $r->{err});
	return $r;
}

sub sync_ok
{
	my ($self, $name, @args) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $self->status_is(0, $name // 'in sync', @args);
}

# A test: exit 0 and not a word.
sub silent_ok
{
	my ($self, $name, @args) = @_;
	my $r = $self->run(@args);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(($r->{signal} || $r->{status}) . "$r->{out}$r->{err}", '0',
	    $name // 'nothing to do, nothing said');
	return $r;
}

# Two tests: that, and with --debug no sign of a SELECT.
sub quiet_ok
{
	my ($self, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->silent_ok("$name: silent");
	my $r = $self->run('--debug');
	unlike($r->{err}, qr/\b(SELECT|EXAMINE)\b/, "$name: no SELECT");
	return $r;
}

# Two tests: already the very next run selects nothing, and that behind it says
# nothing.
sub quiet_at_once_ok
{
	my ($self, $name) = @_;
	my $r = $self->run('--debug');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	unlike($r->{err}, qr/\b(SELECT|EXAMINE)\b/, "$name: no SELECT at once") ||
	    diag(grep { /\b(?:SELECT|EXAMINE|STATUS|LIST)\b/ }
	    map { "$_\n" } split /\n/, $r->{err});
	$self->silent_ok("$name: silent");
	return $r;
}

# Two tests: the run whose result this is has said that, and in one line.
sub says_once
{
	my ($self, $r, $re, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{err}, $re, "$name: says why");
	is(scalar(split /\n/, $r->{err}), 1, "$name: in one line") or
	    diag($r->{err});
}

# The state files that exist.
sub state_file
{
	my ($self) = @_;
	my @files = glob "$self->{home}/data/imapsync/*.db";

	return $files[0];
}

sub lose_state
{
	my ($self) = @_;

	unlink glob "$self->{home}/data/imapsync/*";
}

sub sql
{
	my ($self, $query) = @_;
	my $sqlite = which('sqlite3') // return;

	open(my $fh, '-|', $sqlite, '-readonly', $self->state_file, $query)
	    or die "sqlite3: $!\n";
	my @lines = <$fh>;
	close $fh or die "sqlite3 failed: $query\n";
	chomp @lines;
	return @lines;
}

# The processes of a run by role: { supervisor, engine, store, local, remote }
# => pid, and tunnels => [pid, ...].  A role whose process is not there is
# absent (the two network workers are told apart only while both are there).
sub roles
{
	my ($self, $pid) = @_;
	my %role = (supervisor => $pid, tunnels => []);
	my @net;

	for my $proc (descendants($pid)) {
		my $ppid = proc_field($proc->[0], 'PPid') // next;
		# An ordinary user sees no more than the name of those that
		# have made themselves undumpable.
		my $name = $proc->[2];
		if ($name eq 'imapsync-store') {
			$role{store} = $proc->[0];
		} elsif ($name eq 'imapsync-net') {
			push @net, $proc->[0];
		} elsif ($name eq 'imapsync' && $ppid == $pid) {
			$role{engine} = $proc->[0];
		} elsif ($ppid == $pid) {
			push @{ $role{tunnels} }, $proc->[0];
		}
	}
	# The local worker is started first.
	@role{'local', 'remote'} = @net if @net == 2;
	return \%role;
}

1;

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server gains that has taken over its imapsync-net: on one side stands
# Worker.pm in its place, on the other a model server with a worker of ours.
#
#	my $t = Imapsync::Replaced->new(jobs => 5);
#	$t->attacks(Imapsync::Attacks::load('Lies'));	# one test each
#
# Each attack begins with the same two servers, in sync but for changes on either
# side, and the side of the worker changes from one attack to the next.  After
# it comes a run with an honest worker.  All of this must hold:
#
#	the run ends by itself, in time, without a signal, with the status
#	that is expected; none of its processes was larger than 64 MB; what it
#	prints is short, has no control octet and no password, and names the
#	worker's side;
#	the worker was given its own descriptors and secrets, and no others;
#	the honest server has got well-formed commands only, of the kinds and
#	about the mailboxes that are expected; each message is there once, as
#	it was; no other has come that neither server had; flags are as before
#	but where that was due;
#	the state file is sound; the run behind it ends with 0, and then both
#	sides have the same messages, each once.
package Imapsync::Replaced;

use strict;
use warnings;
use File::Copy ();
use IO::Socket::INET;
use Storable ();
use Test::More;
use Time::HiRes qw(time sleep);
use Imapsync::Attacks;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spawn slurp spew which);
use Imapsync::Proto;
use Imapsync::Store;
use Imapsync::Worker;

my $kb_max = 64 * 1024;		# of a process
my $err_max = 256 * 1024;	# octets of what is printed
my %secret = (honest => 'hush-honest', evil => 'hush-evil');
my @side = ('local', 'remote');
my $slots = 0;

sub new
{
	my ($class, %o) = @_;
	my $self = bless { jobs => 4, %o }, $class;

	-x Imapsync::Proto::program() or
	    die Imapsync::Proto::program() . " is missing: run make stage\n";
	$self->{p} = Imapsync::Proto->new;
	$self->{table} = tmpdir() . '/table';
	spew($self->{table}, scalar
	    Imapsync::Proc::run_command([Imapsync::Proto::program(), 'dump']));
	$self->{base} = [map { $self->baseline($_) } 0, 1];
	return $self;
}

# ---- the two servers ----

# One pair of servers, to be used again and again: the worker's side is "evil".
sub slot
{
	my ($self, $evil) = @_;
	my $dir = tmpdir() . '/replaced' . $slots++;
	my $s = { dir => $dir, evil => $evil };

	mkdir $_ or die "$_: $!\n" for $dir;
	$s->{listen} = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Listen => 64, Proto => 'tcp', Blocking => 0)
	    or die "listen: $!\n";
	$s->{model} = Imapsync::Model->new(password => $secret{honest});
	my %section = (type => 'imap', host => '127.0.0.1', STARTTLS => 'NO',
	    port => $s->{listen}->sockport, username => 'other',
	    password => $secret{evil});
	$s->{$side[$evil]} = \%section;
	$s->{$side[!$evil]} = $s->{model}->section;
	$s->{i} = Imapsync::Imapsync->new(
	    map({ $_ => $s->{$_} } @side),
	    env => { IMAPSYNC_LIBEXEC => $dir });
	symlink Imapsync::Imapsync::libexec() . '/imapsync-store',
	    "$dir/imapsync-store" or die "symlink: $!\n";
	spew("$dir/imapsync-net", '#!' . Imapsync::Proto::program() .
	    " net\n", 0755);
	return $s;
}

# Whose worker is next: an attack ("" is none), or a file of octets.
sub arm
{
	my ($self, $s, %o) = @_;
	my $lib = $INC{'Imapsync/Replaced.pm'} =~ s{/Imapsync/\w+\.pm$}{}r;
	my %conf = (side => $s->{evil}, perl => $^X, lib => $lib,
	    real => Imapsync::Imapsync::libexec() . '/imapsync-net',
	    table => $self->{table}, store => "$s->{dir}/store",
	    attack => '', %o);

	unlink "$s->{dir}/imapsync-net.$_" for 'notes', 'given';
	spew("$s->{dir}/imapsync-net.conf",
	    join '', map { "$_=$conf{$_}\n" } sort keys %conf);
}

# In sync, then changed: { honest, evil (stores), db (a file) }.
sub baseline
{
	my ($self, $evil) = @_;
	my $s = $self->slot($evil);
	my $n = 0;

	$s->{model}->change(sub {
		my ($st) = @_;
		my %count = (INBOX => 8, work => 4, quiet => 3);
		for my $name (sort keys %count) {
			$st->create($name) unless $st->box($name);
			$st->deliver($name, message(++$n), date => date_of($n))
			    for 1 .. $count{$name};
		}
	});
	Storable::nstore(Imapsync::Store->new(validity => 7000),
	    "$s->{dir}/store");
	$self->arm($s);
	my $r = $s->{i}->run;
	$r->{status} == 0 or die "the first run failed: $r->{err}";
	my %st = (honest => $s->{model}->store,
	    evil => Storable::retrieve("$s->{dir}/store"));
	for my $who ('honest', 'evil') {
		$st{$who}->deliver('INBOX', message(++$n),
		    date => date_of($n)) for 1 .. 3;
		$st{$who}->deliver('work', message(++$n),
		    date => date_of($n));
	}
	for my $new ([honest => 'fresh'], [evil => 'theirs']) {
		my ($who, $name) = @$new;
		$st{$who}->create($name);
		$st{$who}->deliver($name, message(++$n), date => date_of($n));
	}
	$st{evil}->remove('INBOX', 2);
	$st{honest}->remove('INBOX', 3);
	$st{evil}->set_flags('INBOX', 4, '\Flagged');
	$st{honest}->set_flags('INBOX', 5, '\Seen');
	my $db = tmpdir() . "/baseline$evil.db";
	File::Copy::copy($s->{i}->state_file, $db) or die "copy: $!\n";
	$self->{slots}[$evil] = [$s];
	return { %st, db => $db,
	    db_name => $s->{i}->state_file =~ m{([^/]+)$} };
}

# A slot as the attack is to find it.
sub restore
{
	my ($self, $s) = @_;
	my $base = $self->{base}[$s->{evil}];

	{
		my $lock = $s->{model}->lock;
		$s->{model}->save(Storable::dclone($base->{honest}));
		spew("$s->{model}{dir}/$_", '')
		    for 'commands', 'notes', 'received';
	}
	Storable::nstore($base->{evil}, "$s->{dir}/store");
	mkdir "$s->{i}{home}/data/imapsync";
	$s->{i}->lose_state;
	my $db = "$s->{i}{home}/data/imapsync/$base->{db_name}";
	File::Copy::copy($base->{db}, $db) or die "copy: $!\n";
	chmod 0600, $db;
}

# ---- running them ----

# "one test each", several at a time.
sub attacks
{
	my ($self, @attacks) = @_;
	my ($n, @now) = (0);

	if (my $only = $ENV{IMAPSYNC_ATTACK}) {
		@attacks = grep { $_->{name} =~ /$only/ } @attacks;
	}
	$_->{evil} //= $n++ & 1 for @attacks;
	while (@attacks || @now) {
		while (@attacks && @now < $self->{jobs}) {
			push @now, $self->job(shift @attacks);
		}
		@now = grep { !$self->turn($_) } @now;
		sleep 0.04;
	}
}

sub job
{
	my ($self, $attack) = @_;
	my $free = $self->{slots}[$attack->{evil}];
	my $s = shift @$free // $self->slot($attack->{evil});
	my $job = { a => $attack, s => $s };
	my %how = (attack => "$attack->{kind}:$attack->{name}");

	if (defined $attack->{blob}) {
		my $blob = $attack->{blob};
		$blob = $blob->($self->{p}) if ref $blob;
		%how = (blob => spew("$s->{dir}/blob", $blob));
	}
	$self->restore($s);
	$s->{i}->change($side[$_] => { %{ $s->{$side[$_]} },
	    timeout => $attack->{timeout} }) for 0, 1;
	$self->arm($s, %how);
	$self->start($job, @{ $attack->{args} // [] });
	return $job;
}

sub start
{
	my ($self, $job, @args) = @_;
	my $s = $job->{s};
	my $limit = $job->{a}{seconds} // 40;

	unlink "$s->{dir}/$_" for qw(out err result);
	$job->{pid} = spawn([Imapsync::Proto::program(), 'run',
	    "$s->{dir}/result", $limit, Imapsync::Imapsync::program(), @args],
	    out => "$s->{dir}/out", err => "$s->{dir}/err",
	    env => $s->{i}->environment, dir => $s->{dir});
}

# Is a run over?  Then its result: { status, signal, kb, err }.
sub result
{
	my ($self, $job) = @_;
	my $s = $job->{s};

	-s "$s->{dir}/result" or return;
	while (my $sock = $s->{listen}->accept) {
		close $sock;
	}
	my @r = split ' ', slurp("$s->{dir}/result");
	Imapsync::Proc::reap($job->{pid}, 10);
	return { status => $r[0], signal => $r[1], kb => $r[2],
	    err => slurp("$s->{dir}/err") . slurp("$s->{dir}/out") };
}

# Go on with a job if that can be; true if it is done.
sub turn
{
	my ($self, $job) = @_;
	my $r = $self->result($job) // return 0;
	my $s = $job->{s};

	if (!$job->{attack}) {
		$job->{attack} = $r;
		$job->{honest} = $s->{model}->store;
		$job->{notes} = -e "$s->{dir}/imapsync-net.notes" ?
		    slurp("$s->{dir}/imapsync-net.notes") : '';
		$job->{given} = slurp("$s->{dir}/imapsync-net.given");
		$job->{commands} = [$s->{model}->commands('all')];
		$job->{bad} = [$self->judge($job)];
		# What is as it was goes on as it did for the others.
		if (!@{ $job->{bad} } && $self->changed($job)) {
			$self->arm($s);
			$self->start($job);
			return 0;
		}
	} else {
		$job->{after} = $r;
		push @{ $job->{bad} }, $self->judge_after($job);
	}
	$self->report($job);
	push @{ $self->{slots}[$s->{evil}] }, $s;
	return 1;
}

sub report
{
	my ($self, $job) = @_;
	my $a = $job->{a};
	my @bad = @{ $job->{bad} };

	local $TODO = $a->{todo};
	ok(!@bad, "$a->{kind}, $side[$a->{evil}]: $a->{name}") or
	    diag(map { "$_\n" } @bad, "status $job->{attack}{status}: " .
	    substr($job->{attack}{err}, 0, 1000),
	    $job->{after} ? "then $job->{after}{status}: " .
	    substr($job->{after}{err}, 0, 1000) : ());
	diag("status $job->{attack}{status}, $job->{attack}{kb} kB: " .
	    substr($job->{attack}{err}, 0, 300)) if $ENV{IMAPSYNC_SHOW};
}

# ---- judging ----

sub judge
{
	my ($self, $job) = @_;
	my ($a, $r, $s) = @$job{qw(a attack s)};

	return (judge_run($a, $r), judge_given($s, $job->{given}),
	    judge_commands($a, $job->{commands}), $self->judge_honest($job),
	    $a->{same} && $self->changed($job) ?
	    'it was ended ahead of all, and something was changed' : (),
	    defined $a->{blob} || $job->{notes} =~ /^attacked$/m ? () :
	    'the attack did not take place',
	    $a->{check} ? $a->{check}->($job) : ());
}

sub judge_run
{
	my ($a, $r) = @_;
	my @status = ref $a->{status} ? @{ $a->{status} } : $a->{status};
	my $name = $side[$a->{evil}];
	my $says = $a->{says} // qr/\b$name\b/;
	my @bad;

	push @bad, 'it did not end in time' if $r->{signal} == 14;
	push @bad, "ended by signal $r->{signal}"
	    if $r->{signal} && $r->{signal} != 14;
	push @bad, "exit status $r->{status}, not @status"
	    unless grep { $_ == $r->{status} } @status;
	push @bad, "a process of $r->{kb} kB" if $r->{kb} > $kb_max;
	push @bad, 'too many words' if length $r->{err} > $err_max;
	push @bad, 'a control octet' if $r->{err} =~ /[\x00-\x09\x0b-\x1f\x7f]/;
	push @bad, "it says nothing like $says"
	    unless $says eq '' || $r->{err} =~ $says;
	push @bad, 'a process was killed' if !$a->{dies} &&
	    $r->{err} =~ /was killed by|Sanitizer/;
	push @bad, map { "it prints the password $_" }
	    grep { index($r->{err}, $_) >= 0 } values %secret;
	return @bad;
}

# Nothing but its channel and the lifeline; nothing of the user's environment.
sub judge_given
{
	my ($s, $given) = @_;
	my (@bad, %fd);

	for my $line (split /\n/, $given) {
		if ($line =~ /^fd (\d+) (.*)/) {
			$fd{$1} = $2;
		} elsif ($line !~ /^env (IMAPSYNC_TITLE|\w+SAN_OPTIONS)=/) {
			push @bad, "given $line";
		}
	}
	push @bad, 'given descriptors ' . join ' ', sort keys %fd
	    if join(' ', sort keys %fd) ne '0 1 2 3 4';
	for my $n (0 .. 2) {
		push @bad, "descriptor $n is $fd{$n}"
		    if $fd{$n} !~ m{^(/dev/null)?$};
	}
	return @bad;
}

my $set = qr/[\d:,]+/;
my $flag = qr/\\?[A-Za-z0-9\$._-]+/;
my $flags = qr/\((?:$flag(?: $flag)*)?\)/;
my $date = qr/"[ \d]\d-\w{3}-\d{4} \d\d:\d\d:\d\d [-+]\d{4}"/;

sub judge_commands
{
	my ($a, $commands) = @_;
	my $name = join '|', qw(INBOX work quiet fresh theirs),
	    @{ $a->{boxes} // [] };

	$name = qr/"?(?:$name)"?/;
	my @ok = (qr/LOGIN/, qr/CAPABILITY/, qr/NOOP/, qr/LOGOUT/,
	    qr/UNSELECT/, qr/ENABLE QRESYNC/, qr/COMPRESS DEFLATE/,
	    qr/ID .*/, qr/LIST .*/, qr/STATUS $name \([A-Z ]+\)/,
	    qr/(SELECT|EXAMINE) $name( \(QRESYNC \($set $set( $set)?\)\))?/,
	    qr/UID FETCH ($set|\*) \([A-Z0-9 .\[\]()-]+\)/,
	    qr/UID SEARCH RETURN \((ALL|COUNT)\) UID $set/,
	    qr/UID STORE $set [-+]FLAGS\.SILENT $flags/,
	    qr/UID EXPUNGE $set/, qr/(SUBSCRIBE|CREATE) $name/,
	    qr/APPEND $name(?: (?:$flags )?(?:$date )?\{\d+\+?\})+/);

	my $ok = join '|', @ok;
	$ok = qr/^(?:$ok)$/i;
	return map { "the honest server got: $_" }
	    grep { $_ !~ $ok } @$commands;
}

sub bodies
{
	my ($store, $name) = @_;
	my %times;
	my $box = $store->box($name) // return {};

	$times{$_->{body}}++ for @{ $box->{messages} };
	return \%times;
}

sub title { return $_[0] =~ /^Subject: (.*?)\r?$/m ? $1 : 'a message' }

# Against what was there: lost, twice, foreign, other flags.
sub judge_honest
{
	my ($self, $job) = @_;
	my %may = map { $_ => 1 } @{ $job->{a}{may} // [] };
	my $base = $self->{base}[$job->{a}{evil}];
	my ($was, $now) = ($base->{honest}, $job->{honest});
	my @bad;

	for my $name ($was->names) {
		my ($old, $new) = map { bodies($_, $name) } $was, $now;
		my $theirs = bodies($base->{evil}, $name);
		my $doomed = $was->find('INBOX', 2)->{body};
		push @bad, map { "$name: lost: " . title($_) } grep {
		    !$new->{$_} && $_ ne $doomed && !$may{lose} } keys %$old;
		push @bad, map { "$name: twice: " . title($_) }
		    grep { $new->{$_} > 1 } keys %$new;
		push @bad, map { "$name: nobody's: $_" } grep {
		    !$old->{$_} && !$theirs->{$_} && !$may{own} } keys %$new;
		push @bad, $self->judge_flags($name, $was, $now)
		    unless $may{flags};
	}
	push @bad, map { "a new mailbox: $_" }
	    grep { !$base->{evil}->box($_) && !$was->box($_) && !$may{names} }
	    $now->names;
	return @bad;
}

sub judge_flags
{
	my ($self, $name, $was, $now) = @_;
	my @bad;

	for my $m (@{ $was->box($name)->{messages} }) {
		my $n = $now->find($name, $m->{uid}) // next;
		my $before = join ' ', sort @{ $m->{flags} };
		my $after = join ' ', sort @{ $n->{flags} };
		next if $before eq $after || ($name eq 'INBOX' &&
		    $m->{uid} == 4 && $after eq '\Flagged');
		push @bad, "$name: UID $m->{uid} has ($after), not ($before)";
	}
	return @bad;
}

sub judge_state
{
	my ($s) = @_;
	my @lines = $s->{i}->sql('PRAGMA integrity_check');

	return @lines && "@lines" ne 'ok' ? "the state file: @lines" : ();
}

# Anything of the two servers, or of the state.
sub changed
{
	my ($self, $job) = @_;
	my $base = $self->{base}[$job->{a}{evil}];
	local $Storable::canonical = 1;

	return slurp($job->{s}{i}->state_file) ne slurp($base->{db}) ||
	    Storable::freeze($job->{honest}) ne
	    Storable::freeze($base->{honest}) ||
	    Storable::freeze(Storable::retrieve("$job->{s}{dir}/store")) ne
	    Storable::freeze($base->{evil});
}

sub judge_after
{
	my ($self, $job) = @_;
	my ($a, $r, $s) = @$job{qw(a after s)};
	my %may = map { $_ => 1 } @{ $a->{may} // [] };
	my $base = $self->{base}[$a->{evil}];
	my @status = ref $a->{after} ? @{ $a->{after} } : $a->{after} // 0;
	my ($honest, $evil) = ($s->{model}->store,
	    Storable::retrieve("$s->{dir}/store"));
	my @bad;

	push @bad, "the next run: exit status $r->{status}, not @status"
	    unless grep { $_ == $r->{status} } @status;
	push @bad, 'the next run: a signal' if $r->{signal};
	push @bad, judge_commands($a, [$s->{model}->commands('all')]),
	    judge_state($s);
	for my $name ($base->{honest}->names, 'theirs') {
		my ($h, $e) = map { bodies($_, $name) } $honest, $evil;
		my %all = (%$h, %$e);
		for my $body (keys %all) {
			my ($x, $y) = map { $_->{$body} // 0 } $h, $e;
			push @bad, "then $name: twice: " . title($body)
			    if ($x > 1 && !$may{twice}) ||
			    ($y > 1 && !$a->{unlike});
			push @bad, "then $name: $x on the honest side, " .
			    "$y on the other: " . title($body)
			    if $x != $y && !$a->{unlike};
		}
		my $was = $name eq 'theirs' ? {} :
		    bodies($base->{honest}, $name);
		my $doomed = $base->{honest}->find('INBOX', 2)->{body};
		push @bad, map { "then $name: lost: " . title($_) } grep {
		    !$h->{$_} && $_ ne $doomed && !$may{lose} } keys %$was;
	}
	return @bad;
}

1;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Where passwords are, and where not: password-command, and a look into the
# memory of every process of a run.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use MIME::Base64 qw(encode_base64);
use Imapsync::Cert;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp is_root);
use Imapsync::Relay;
use Imapsync::Server;

# Not as one string here, so that no copy of this script holds it.
my $password = join '-', 'Sesame', 'open', 40961, 'thyself';
my $number = 0;

# The password, clear or in base64 at any offset.
my @forms = ($password, map {
	my $s = encode_base64(('x' x $_) . $password, '');
	substr $s, 4, -4;
} 0 .. 2);
my $any = join '|', map { quotemeta } @forms;
$any = qr/$any/;

my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $remote = Imapsync::Model->new(password => $password);
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});

# A script that prints these octets, with a shell's commands in front.
sub command
{
	my ($text, $shell) = @_;
	my $base = tmpdir() . '/command' . $number++;

	spew("$base.out", $text, 0600);
	$shell //= '';
	return spew($base, "#!/bin/sh\n$shell\necho x >>$base.ran\n" .
	    "cat $base.out\n", 0755);
}

sub ran
{
	my ($command) = @_;

	return length(eval { slurp("$command.ran") } // '') / 2;
}

subtest 'password-command' => sub {
	for my $case (["$password\n", 'a line'],
	    [$password, 'no end of line'],
	    ["$password\nuser: joe\nurl: x\n", 'further lines'],
	    ["$password\n\0\0\n", 'octets behind it']) {
		my ($text, $what) = @$case;
		my $cmd = command($text);

		$i->change(remote => $remote->section(password => undef,
		    'password-command' => $cmd));
		$i->sync_ok($what);
		is(ran($cmd), 1, "$what: run once");
	}
	my $cmd = command("$password\n");
	$i->change(remote => $remote->section(password => undef,
	    'password-command' => "head -n 1 <$cmd.out | cat"));
	$i->sync_ok('for the shell');

	my $limit = 'x' x 1001;
	for my $case (["$password\n", 'failed', 'exit 1'],
	    ['', 'printed nothing'], ["\n$password\n", 'printed nothing'],
	    ["pass\0word\n", 'printed a NUL'],
	    ["$limit\n", 'too long'],
	    ["$password\n", 'signal', 'kill -TERM $$'],
	    ["p\n" . "more\n" x 20000, 'too much']) {
		my ($text, $says, $shell) = @$case;
		$cmd = command($text, $shell);
		my $before = $remote->received;
		$i->change(remote => $remote->section(password => undef,
		    'password-command' => $cmd));
		my $r = $i->status_is(1, "$says: exit 1");
		like($r->{err},
		    qr/^remote: the password-command .*$says.*\n\z/,
		    'says why');
		is($remote->received, $before, 'nothing was sent');
	}
	$i->change(remote => $remote->section(password => undef,
	    'password-command' => '/nonexistent/pass show'));
	like($i->status_is(1, 'no such command')->{err},
	    qr/^remote: the password-command was not found$/, 'says so');

	# Standard error is the user's: pass(1) asks and complains there.
	$cmd = command("$password\n", 'echo complaint >&2');
	$i->change(remote => $remote->section(password => undef,
	    'password-command' => $cmd));
	is($i->run->{err}, "complaint\n", 'its standard error is seen');
};

subtest 'not run in vain' => sub {
	my $cmd = command("$password\n");
	my %keys = (password => undef, 'password-command' => $cmd);

	$i->change(remote => $remote->section(%keys, nonsense => 1));
	isnt($i->run->{status}, 0, 'a wrong configuration');
	is(ran($cmd), 0, 'not run');
	# Without a row the state would belong to nobody.
	$remote->change(sub { $_[0]->deliver('INBOX', message(1)) });
	$i->change(remote => $remote->section);
	$i->sync_ok('a state with a row');
	$i->change(remote => $remote->section(%keys, username => 'other'));
	isnt($i->run->{status}, 0, 'the state of another pair');
	is(ran($cmd), 0, 'not run');
	$i->change(remote => $remote->section(%keys, type => 'imaps',
	    SSL_CAfile => '/nonexistent'));
	isnt($i->run->{status}, 0, 'no such CA file');
	is(ran($cmd), 0, 'not run');
	$i->change(remote => $remote->section(%keys,
	    password => $password));
	isnt($i->run->{status}, 0, 'both keys');
	is(ran($cmd), 0, 'not run');
};

subtest 'the wrong password' => sub {
	my $wrong = join '-', 'Not', 'the', 'one';
	my $before = () = $remote->received =~ /LOGIN/g;

	$i->change(remote => $remote->section(password => $wrong));
	my $r = $i->status_is(1, 'exit 1');
	like($r->{err},
	    qr/\Aremote: 127\.0\.0\.1 refuses the login of user: .*\n\z/,
	    'one line');
	my $after = () = $remote->received =~ /LOGIN/g;
	is($after, $before + 1, 'tried once');
	for my $debug ('--debug') {
		$r = $i->run($debug);
		unlike($r->{err}, qr/\Q$wrong\E/, "not in the log, $debug");
	}
};

# ---- memory ----

# What of the password is in a process: "memory", "environ", "cmdline" ...
sub found
{
	my ($pid) = @_;
	my @where;

	no warnings 'portable';		# 64 bits
	for my $file ('cmdline', 'environ') {
		push @where, $file if slurp("/proc/$pid/$file") =~ $any;
	}
	open(my $mem, '<:raw', "/proc/$pid/mem") or die "mem: $!\n";
	for my $line (split /\n/, slurp("/proc/$pid/maps")) {
		my ($from, $to, $perm, $name) = $line =~
		    /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)/
		    or next;
		next if $perm !~ /^rw/ || $name =~ /^\[v/;
		my ($at, $end) = (hex $from, hex $to);
		sysseek($mem, $at, 0) or next;
		my $n = sysread($mem, my $data, $end - $at) // next;
		push @where, "memory ($name)" if $data =~ $any;
	}
	return @where;
}

# A run that is held when the remote server has sent so many octets.
sub held
{
	my ($what, $section, $octets, $owners) = @_;
	my $relay = Imapsync::Relay->new(port => $section->{port},
	    hold => { s2c => $octets });
	my $empty = Imapsync::Model->new(greeting => 'PREAUTH');
	my $run = Imapsync::Imapsync->new(local => $empty->section(
	    tunnel => 1), remote => { %$section, port => $relay->port });
	my $pid = $run->start('--debug');

	ok($relay->held, "$what: a run is held") or return $run->wait($pid);
	# What has arrived is dealt with.
	select undef, undef, undef, 0.5;
	my $role = $run->roles($pid);
	is(scalar(grep { $_ ne 'tunnels' } keys %$role), 5,
	    "$what: all processes are there");
	for my $name (sort keys %$role) {
		for my $p (ref $role->{$name} ? @{ $role->{$name} } :
		    $role->{$name}) {
			my @found = found($p);
			if (grep { $_ eq $name } @$owners) {
				ok(@found > 0, "$what: $name has it");
				next;
			}
			is("@found", '', "$what: $name has it not");
		}
	}
	$relay->release;
	my $r = $run->wait($pid);
	is($r->{status}, 0, "$what: the run ends well") or diag($r->{err});
	unlike($r->{err}, $any, "$what: it is not in the log");
}

subtest 'memory' => sub {
	plan skip_all => 'there is no /proc/self/mem'
	    unless -r '/proc/self/mem';
	plan skip_all => 'only root can read it' unless is_root();
	$remote->change(sub {
		$_[0]->deliver('INBOX', message($_)) for 1 .. 50;
	});
	my $greeting = length('* OK [CAPABILITY ');
	my $cmd = command("$password\n");
	my %command = (password => undef, 'password-command' => $cmd);

	# In front of the login the one that is about to log in has it.
	held('greeting', $remote->section, $greeting, ['remote']);
	held('greeting, command', $remote->section(%command), $greeting,
	    ['remote']);
	# Behind it nobody has.
	held('LOGIN', $remote->section, 8000, []);
	held('LOGIN, command', $remote->section(%command), 8000, []);
	held('PLAIN', $remote->section(pipeline => 'NO'), 8000, []);

	return if Imapsync::Server->missing('dovecot');
	my $good = Imapsync::Cert->new(name => 'good');
	my $server = Imapsync::Server->new(name => 'dovecot', daemon => 1,
	    password => $password, cert => $good, compress => 1,
	    mechs => 'plain scram-sha-256');
	my $c = $server->client;
	$c->append_many('INBOX', map { { body => join '', map {
	    chr 33 + rand 90 } 1 .. 4000 } } 1 .. 50);
	$c->close;
	for my $auth ('PLAIN', 'SCRAM-SHA-256') {
		held("$auth, TLS", $server->section(auth => $auth,
		    %command), 20000, []);
	}
};

done_testing;

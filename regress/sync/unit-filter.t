#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The systemd units: that they are what `systemd-analyze security` calls safe,
# and that a run works under exactly their system call filter, in which the
# program installs its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Errno;
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(tmpdir which run_command slurp spew);
use Imapsync::Server;

plan skip_all => 'systemd-analyze is missing (Debian package systemd)'
    unless which('systemd-analyze');
plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $dir = "$FindBin::Bin/../../etc/systemd/user";
my @units = map { "$dir/imapsync$_.service" } '', '@', '-once', '-once@';

# The values of a key of a unit, in order.
sub values_of
{
	my ($unit, $key) = @_;

	return slurp($unit) =~ /^\Q$key\E=(.*)$/mg;
}

# ---- as they stand ----

sub cage
{
	my ($unit) = @_;

	slurp($unit) =~ /^(# ---- the cage.*?)(?:^\[Install\]|\z)/ms
	    or return 'there is no cage';
	return $1 =~ s/\n+\z/\n/r;
}

for my $unit (@units) {
	my $name = $unit =~ s{.*/}{}r;
	my $text = eval { run_command(['systemd-analyze', 'security',
	    '--offline=yes', '--no-pager', $unit]) } // $@;
	my ($score) = $text =~ /exposure level for \S+: (\d+\.\d+)/;
	ok(defined $score && $score <= 2.0, "$name: exposure " .
	    ($score // 'not told') . ', at most 2.0') or diag($text);
	is(cage($unit), cage($units[0]), "$name: the same cage");
}

# ---- the filter ----

# The names of a set, or of a name.
sub resolve
{
	my ($what) = @_;

	return ($what) unless $what =~ /^@/;
	return map { resolve($_) }
	    grep { length } map { s/^\s+|\s+$|\s*#.*//gr }
	    grep { !/^\Q$what\E$/ }
	    split /\n/, run_command(['systemd-analyze', 'syscall-filter',
	    '--no-pager', $what]);
}

my @items = map { split } values_of($units[0], 'SystemCallFilter');
is(join(' ', grep { /^~/ } @items), '', 'an allow list, nothing taken away');
my %allowed = map { $_ => 1 } map { resolve($_) } @items;
cmp_ok(scalar keys %allowed, '>', 200, 'a set was resolved');
ok($allowed{$_}, "$_ is allowed") for qw(seccomp landlock_create_ruleset
    landlock_add_rule landlock_restrict_self);
ok(!$allowed{$_}, "$_ is not") for qw(ptrace mount bpf);

my ($word) = values_of($units[0], 'SystemCallErrorNumber');
my $errno = Errno->can($word)->();
my $tmp = tmpdir();
my $helper = "$tmp/unit-filter";
run_command([split(' ', $ENV{CC} || 'cc'), '-o', $helper,
    "$FindBin::Bin/../lib/unit-filter.c", '-lseccomp']);
spew("$tmp/unit", join '', map { "$_\n" } sort keys %allowed);
spew("$tmp/less", join '', map { "$_\n" }
    grep { !/^(?:seccomp|landlock_)/ } sort keys %allowed);

# A stage whose program starts the real one in a filter.
sub stage
{
	my ($list) = @_;
	my $stage = "$tmp/stage-$list";
	my $program = Imapsync::Imapsync::program();

	mkdir $_ for $stage, "$stage/usr", "$stage/usr/bin";
	symlink(Imapsync::Imapsync::libexec() =~ s{/imapsync$}{}r,
	    "$stage/usr/libexec") or die "$stage: $!\n";
	spew("$stage/usr/bin/imapsync", "#!/bin/sh\nexec '$helper' $errno " .
	    "'$tmp/$list' '$program' \"\$@\"\n", 0755);
	return $stage;
}

# ---- runs ----

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote');
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
my $lc = $local->client;
my $rc = $remote->client;

# What the sandbox says of itself.
sub sandbox
{
	my ($r) = @_;
	my ($text) = $r->{err} =~ /engine: (\w*\s?seccomp.*)/;

	return $text // "nothing:\n$r->{err}";
}

$lc->append('INBOX', message($_)) for 1 .. 3;
$rc->create('lists');
$rc->append('lists', message($_), flags => '\Seen') for 4 .. 6;

my $free = sandbox($i->sync_ok('without a filter', '--dry-run', '--debug'));
like($free, qr/^seccomp, /, 'seccomp');
{
	local $ENV{IMAPSYNC_STAGE} = stage('unit');
	my $r = $i->sync_ok("first run under the unit's filter", '--debug');
	is(sandbox($r), $free, 'the sandbox is the one without it');
	same_content($local, $remote, 'first run');

	$rc->store('lists', '1', '-FLAGS', '\Seen');
	$rc->append('INBOX', message(7));
	$lc->expunge('INBOX', '2');
	$i->sync_ok('changes under it');
	same_content($local, $remote, 'changes');
	$i->silent_ok('no change under it');
}
SKIP: {
	skip('this kernel has no Landlock', 1) if $free =~ /no Landlock/;
	# So the filter was at work, and what the unit adds is needed.
	local $ENV{IMAPSYNC_STAGE} = stage('less');
	my $r = $i->run('--dry-run', '--debug');
	isnt(sandbox($r), $free, 'not so without what the unit adds');
}

done_testing;

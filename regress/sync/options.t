#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The command line: what is wrong about it is said before anything is begun.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;

my $i = Imapsync::Imapsync->new(
    local => { type => 'tunnel', command => 'false' },
    remote => { type => 'tunnel', command => 'false too' });

sub wrong
{
	my ($says, @args) = @_;
	my $r = $i->status_is(2, "imapsync @args", @args);

	my ($first, $second) = split /\n/, $r->{err};
	like($first, $says, 'says why');
	like($second // '', qr/^usage: /, 'and how to do it');
	is($r->{out}, '', 'nothing on standard output');
}

for my $command ('--check', '--repair', '--delete', '--rename',
    '--import') {
	my @names = $command eq '--rename' ? ('a', 'b') : ('a');
	for my $other ('--watch', '--watch=5', '--notify', '--adopt=x') {
		wrong(qr/--\w+ and --\w+ can't be used together/, $command,
		    $other, @names);
	}
	next if $command eq '--repair';
	for my $other ('--repair', '--retry', '--allow-delete',
	    '--two-accounts') {
		next if "$command $other" eq '--delete --allow-delete';
		wrong(qr/can't be used together/, $command, $other, @names);
	}
}
for my $with ('--dry-run', '--retry', '--allow-delete', '--two-accounts',
    '--adopt=INBOX') {
	wrong(qr/can't be used together/, '--watch', $with);
	wrong(qr/can't be used together/, '--notify', $with);
}
wrong(qr/--check and --delete can't/, '--delete', '--check', 'a');
wrong(qr/--rename needs two/, '--rename', @$_)
    for [], ['a'], ['a', 'b', 'c'];
wrong(qr/--delete needs/, '--delete');
wrong(qr/--import takes one file/, '--import', 'a', 'b');
wrong(qr/--import needs the name/, '--import', '');
wrong(qr/--target belongs to/, '--target=local', @$_)
    for [], ['--check'], ['--repair'], ['--watch'];
wrong(qr/--target takes/, '--delete', "--target=$_", 'a')
    for '', 'local,', 'here', 'local remote';
wrong(qr/--watch takes/, "--watch=$_") for '', '0', '-1', 'x', '1s', '86401';
wrong(qr/control character/, "a\nb");
wrong(qr/without a name/, '--delete', '');

my $help = $i->status_is(0, '--help', '--help')->{out};
like($help, qr/(?<![\w-])$_\b/, "$_ is in the help")
    for qw(--adopt --allow-delete --check --config --debug --delete --dry-run
    --import --json --notify --patience --rename --repair --retry --status
    --syslog
    --target --two-accounts --version --watch);
cmp_ok($help =~ tr/\n//, '<', 24, 'it fits a screen, with a prompt');
is(join("\n", grep { length > 80 } split /\n/, $help), '', 'of 80 columns');

# These get as far as the servers, which there are none of.
for my $args (['--json', '--debug'], ['--check', '--dry-run'],
    ['--repair', '--allow-delete', '--retry', '--two-accounts',
    '--dry-run'], ['--check', '--patience=3d'],
    ['--delete', '--target=local,database', '--target', 'remote', 'a', 'b'],
    ['--rename', '--target=database', 'a', 'b'],
    ['--quiet', '--retry', '--allow-delete', '--adopt', 'x', '--json', 'x']) {
	my $r = $i->run(@$args);
	is($r->{status}, 75, "imapsync @$args") or diag($r->{err});
}

done_testing;

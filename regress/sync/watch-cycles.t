#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --watch for long: memory and descriptors of all processes stay as they are,
# pass after pass, with and without changes.  WATCH_CYCLES in the environment
# says how many passes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(proc_field is_root);
use Imapsync::Server;
use Imapsync::Watch;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

use constant WARM => 100;	# passes until all is as large as it gets
use constant GROWTH => 200;	# kB: a hundred octets a pass

my $cycles = $ENV{WATCH_CYCLES} // 2000;
my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', sep => '.',
    max_mail_size => '20k');
my ($lc, $rc) = map { $_->client } $local, $remote;
$lc->create($_) for map { ("a$_", "a$_/b") } 1 .. 10;
$lc->append_many('INBOX', map { { body => message($_) } } 1 .. 50);
$rc->append_many('INBOX', map { { body => message($_) } } 51 .. 60);

my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
my $w = Imapsync::Watch->new($i, '--watch=3600', '--debug');
$w->idles(1, 60);
# One that is stopped, one whose message is refused.
$lc->delete('a9/b');
$lc->append('a8', message(0, size => 40_000));

# The processes that are ours (only root sees all of the others' descriptors).
sub sizes
{
	my $role = $i->roles($w->pid);
	my %now;

	for my $name (qw(supervisor engine store local remote)) {
		my $pid = $role->{$name} // die "no $name\n";
		my $fds = () = glob "/proc/$pid/fd/*";
		$now{$name} = { rss => proc_field($pid, 'VmRSS') =~
		    s/\D//gr, data => proc_field($pid, 'VmData') =~ s/\D//gr,
		    fds => $fds };
	}
	return \%now;
}

# One pass; every tenth has something to do: what happens in it may start
# another, which is waited for as well.
my $passes = 1;
my $next = 1000;
sub cycle
{
	my ($n) = @_;

	if ($n % 10 == 0) {
		my ($c, $other) = $n % 20 ? ($lc, $rc) : ($rc, $lc);
		my $uid = $c->append('a1', message($next++));
		$other->append('INBOX', message($next++));
		$c->store('INBOX', 1 + $n % 40, $n % 3 ? '+FLAGS' : '-FLAGS',
		    '\Flagged $Label');
		$c->expunge('a1', $uid - 3) if $uid > 3;
		$_->unselect for $lc, $rc;
	}
	$w->look;
	$w->idles(++$passes);
}

cycle($_) for 1 .. WARM;
my $before = sizes();
cycle($_) for WARM + 1 .. $cycles;
my $after = sizes();
cmp_ok($passes, '>', $cycles, "$passes passes");
for my $name (sort keys %$after) {
	my ($old, $new) = ($before->{$name}, $after->{$name});

	is($new->{fds}, $old->{fds}, "$name: as many descriptors");
	for my $what (qw(rss data)) {
		cmp_ok($new->{$what}, '<=', $old->{$what} + GROWTH,
		    "$name: $what is flat");
	}
	diag("$name: $old->{rss} kB, $old->{fds} descriptors after " . WARM .
	    " passes; $new->{rss} kB, $new->{fds} after $cycles")
	    if $ENV{WATCH_CYCLES};
}
unlike($w->all, qr/lost the server|ended unexpectedly/, 'one session');
is($w->end('TERM')->{signal}, 15, 'SIGTERM ends it');
my $r = $i->status_is(3, 'what is left');
like($r->{err}, qr{^a9/b: it is gone}m, 'the mailbox that is stopped');
like($r->{err}, qr/^1 message is refused/m, 'the message that is refused');
same_content($local, $remote, 'equal', ignore => qr/^a9\|b$|^a8$/);
$_->close for $lc, $rc;
done_testing;

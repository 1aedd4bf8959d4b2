#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# 20,000 messages of about 4 KB in one mailbox: a first sync, a run without
# change, a run with 1,000 changes, an adoption of it all after the state was
# lost.  No process of imapsync needs more than 16 MB.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use File::Path qw(make_path);
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(alive give_away slurp proc_field);
use Imapsync::Server;

use constant { MESSAGES => 20_000, LIMIT => 16 * 1024, CHANGES => 1_000 };

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

# Files where Dovecot looks for them: quicker than to append them.
sub fill
{
	my ($server) = @_;
	my $home = "$server->{dir}/home/$server->{user}";
	my @day = qw(Sun Mon Tue Wed Thu Fri Sat);

	make_path("$home/Maildir/cur", "$home/Maildir/new",
	    "$home/Maildir/tmp");
	for my $n (1 .. MESSAGES) {
		my $file = "$home/Maildir/cur/" .
		    (1_500_000_000 + $n) . ".M${n}P1.host:2," .
		    ($n % 3 ? 'S' : '');
		open(my $fh, '>:raw', $file) or die "$file: $!\n";
		my $text = message($n, size => 3800 + $n % 500);
		$text =~ s/\r\n/\n/g;
		print $fh $text;
		close $fh;
		utime 1_500_000_000 + $n * 600, 1_500_000_000 + $n * 600,
		    $file;
	}
	give_away("$home/Maildir");
}

# A run during which the peak of each process's resident memory is watched.
my @name = qw(supervisor engine store local remote);
sub watched_run
{
	my ($i, $what) = @_;
	my $pid = $i->start;
	my ($rest) = slurp("/proc/$pid/stat") =~ /\) \S \d+ (.*)/s;
	my $self = [$pid, (split ' ', $rest)[17], 'imapsync'];
	my %seen;

	while (alive($self)) {
		my $role = $i->roles($pid);
		for my $name (@name) {
			my $p = $role->{$name} // next;
			# Not what it was before exec.
			next if (proc_field($p, 'Name') // '') !~ /^imapsync/;
			my ($kb) = (proc_field($p, 'VmHWM') // '') =~ /(\d+)/
			    or next;
			$seen{$name} = $kb if $kb > ($seen{$name} // 0);
		}
		sleep 0.02;
	}
	my $r = $i->wait($pid);
	is($r->{signal} || $r->{status}, 0, "$what: exit status") or
	    diag($r->{err});
	note(sprintf('%s: %.1f s, %s', $what, $r->{seconds}, join ', ',
	    map { "$_ $seen{$_} KiB" } sort keys %seen));
	for my $name (@name) {
		cmp_ok($seen{$name} // 0, '>', 0, "$what: $name was seen");
		cmp_ok($seen{$name} // 0, '<=', LIMIT,
		    "$what: $name stays below 16 MB");
	}
	return $r;
}

# New messages, flags, expunges, on both sides; 1,000 in all.
sub change
{
	my ($local, $remote) = @_;
	my ($lc, $rc) = ($local->client, $remote->client);
	my $n = MESSAGES;

	for my $c ($lc, $rc) {
		$c->append_many('INBOX', map { { body => message(++$n,
		    size => 4000) } } 1 .. CHANGES / 5);
	}
	$lc->store('INBOX', join(',', map { $_ * 50 + 1 } 1 .. CHANGES / 5),
	    '+FLAGS', '\Flagged');
	$rc->store('INBOX', join(',', map { $_ * 70 + 2 } 1 .. CHANGES / 5),
	    '+FLAGS', '\Answered $Label');
	$lc->expunge('INBOX', join ',', map { $_ * 60 + 7 }
	    1 .. CHANGES / 10);
	$rc->expunge('INBOX', join ',', map { $_ * 80 + 9 }
	    1 .. CHANGES / 10);
	$_->close for $lc, $rc;
}

# It shall not list twenty thousand files each time.
my $local = Imapsync::Server->new(name => 'local',
    conf => 'maildir_very_dirty_syncs = yes');
my $remote = Imapsync::Server->new(name => 'remote',
    location => 'sdbox:~/sdbox');
fill($local);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

my $r = watched_run($i, 'first sync');
like($r->{err}, qr/^INBOX: 20000 copied to remote$/m, 'all were copied');
$r = watched_run($i, 'no change');
is($r->{out} . $r->{err}, '', 'no change: not a word');
change($local, $remote);
$r = watched_run($i, 'changes');
like($r->{err}, qr/^INBOX: 200 copied to local, .* 200 copied to remote/m,
    'changes: what was done') or diag($r->{err});
my $snap = same_content($local, $remote, 'both hold the same');
my $count = 0;
$count += $_ for values %{ $snap->{INBOX}{messages} };
is($count, MESSAGES + 400 - 200, 'and the right number');
$i->silent_ok('then there is nothing to do');

# All of it is paired by content, nothing is sent.
$i->lose_state;
$r = watched_run($i, 'adoption');
like($r->{err}, qr/^INBOX: 20200 paired$/m, 'all were paired') or
    diag($r->{err});
$i->silent_ok('nothing to do after that');
done_testing;

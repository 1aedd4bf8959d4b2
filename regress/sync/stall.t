#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A machine that stands still for longer than any server is waited for: the time
# in which nobody ran is nobody's fault.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Proc qw(spew wait_for);

# The engine owes a worker's silence so many seconds at most: 3 * 1 + 1.
use constant STALL => 6;

# Each SELECT is answered once the file is there.
my $remote = Imapsync::Model->new;
my $go = "$remote->{dir}/go";
my $asked = "$remote->{dir}/asked";
$remote->change(sub { $_[0]->deliver('INBOX', message($_)) for 1 .. 3 });
$remote->hooks(SELECT => sub {
	spew($asked, '');
	select undef, undef, undef, 0.02 until -e $go;
	return 0;
});
my $i = Imapsync::Imapsync->new(local => Imapsync::Model->new(
    greeting => 'PREAUTH')->section(tunnel => 1, timeout => 1),
    remote => $remote->section(timeout => 1));
my $pid = $i->start;
wait_for(10, 'a SELECT', sub { -e $asked });
my $role = $i->roles($pid);
my @workers = @{$role}{qw(local remote)};
kill 'STOP', $role->{engine}, @workers;
sleep STALL;
spew($go, '');
# The one who judges runs first.
kill 'CONT', $role->{engine};
select undef, undef, undef, 0.5;
kill 'CONT', @workers;
my $r = $i->wait($pid);
is($r->{status}, 0, 'it goes on') or diag($r->{err});
unlike($r->{err}, qr/any more|no answer/, 'and blames nobody');
like($r->{err}, qr/^INBOX: 3 copied to local$/m, 'all is copied');
done_testing;

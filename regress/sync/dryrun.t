#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --dry-run says what would be done and changes nothing, anywhere.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content everything);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Proc qw(slurp);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', daemon => 1);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

# All that a run must not change: mail, UIDs, modseqs, \Recent, the state.
sub everything_here
{
	return [map({ everything($_) } $local, $remote),
	    $i->state_file ? slurp($i->state_file) : ()];
}

my $lc = $local->client;
my $rc = $remote->client;
$lc->append_many('INBOX', map { { body => message($_) } } 1 .. 10);
$lc->create('here');
$lc->append_many('here', map { { body => message($_) } } 20 .. 25);
$rc->create('there');
$rc->append_many('there', map { { body => message($_) } } 30 .. 31);
$lc->subscribe('here');

my $before = everything_here();
my $r = $i->sync_ok('before the first run', '--dry-run');
is_deeply(everything_here(), $before, 'nothing has changed');
ok(!defined $i->state_file, 'there is no state');
like($r->{out}, qr/^INBOX: .*\b10\b/m, 'INBOX');
like($r->{out}, qr/^here: .*\b6\b/m, 'a mailbox to be made');
like($r->{out}, qr/^there: .*\b2\b/m, 'and one on the other side');

$i->sync_ok('first run');
same_content($local, $remote, 'equal');
$r = $i->sync_ok('nothing to do', '--dry-run');
is("$r->{out}$r->{err}", '', 'nothing is said');

$lc->store('INBOX', '1:3', '+FLAGS', '\Seen');
$rc->expunge('INBOX', '7:8');
$rc->append('here', message(40));
$lc->create('new');
$rc->unsubscribe('here');
$before = everything_here();
$r = $i->sync_ok('changes', '--dry-run');
is_deeply(everything_here(), $before, 'nothing has changed');
like($r->{out}, qr/^INBOX: /m, 'INBOX');
like($r->{out}, qr/^INBOX: .*\b2\b.*\b3\b|^INBOX: .*\b3\b.*\b2\b/m,
    'how many flags and expunges');
like($r->{out}, qr/^here: .*\b1\b/m, 'what is to be copied');
unlike($r->{out}, qr/^there/m, 'not what stays');
is_deeply(everything_here(), $before, 'nothing has changed, twice');

$i->sync_ok('then it is done');
same_content($local, $remote, 'equal');
$_->close for $lc, $rc;
done_testing;

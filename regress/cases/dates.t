#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# INTERNALDATEs as servers really write them: a day of one digit is one; what can
# not be a date is named once, and its message is copied all the same.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(instant);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Server;
use Imapsync::Wire;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

# What the source says of UID 1, 2, 3 ..., and the date that it means, if any.
my @dates = (
	['"9-Apr-2018 16:08:15 +0000"', ' 9-Apr-2018 16:08:15 +0000'],
	['" 9-Apr-2018 16:08:15 +0000"', ' 9-Apr-2018 16:08:15 +0000'],
	['"09-Apr-2018 16:08:15 +0000"', ' 9-Apr-2018 16:08:15 +0000'],
	['"1-Jan-2001 00:00:00 -0930"', ' 1-Jan-2001 00:00:00 -0930'],
	['"9-APR-2018 16:08:15 +1300"', ' 9-Apr-2018 16:08:15 +1300'],
	['"29-feb-2016 23:59:59 +0530"', '29-Feb-2016 23:59:59 +0530'],
	['"32-Apr-2018 16:08:15 +0000"'],
	['"0-Apr-2018 16:08:15 +0000"'],
	['"31-Feb-2018 16:08:15 +0000"'],
	['"29-Feb-2018 16:08:15 +0000"'],
	['"9-Abc-2018 16:08:15 +0000"'],
	['"9-Apr-2018 25:61:61 +0000"'],
	['"9-Apr-18 16:08:15 +0000"'],
	['"9-Apr-2018 16:08:15"'],
	['"9-Apr-2018 16:08:15 UTC"'],
	['"2018-04-09T16:08:15Z"'],
	['""'],
	['"9-Apr-2018 16:08:15 +0000) BODY (\"x"'],
	['"                          "'],
);

# A Dovecot that writes them so.
sub odd
{
	my (%form) = @_;

	return Imapsync::Edit->new(server => Imapsync::Server->new(name =>
	    'odd' . ++$number), answer => sub {
		my ($t, $line) = @_;
		my ($uid) = $line =~ /^\* \d+ FETCH .*UID (\d+)/;
		my $form = $form{$uid // 0} // return $line;
		$line =~ s/INTERNALDATE "[^"]*"/INTERNALDATE $form/;
		return $line;
	    });
}

sub by_subject
{
	my ($server) = @_;
	my $c = $server->client;
	my %is;

	for my $m ($c->fetch_all('INBOX')) {
		my ($n) = $m->{body} =~ /^Subject: message (\d+)/m;
		push @{ $is{$n} }, instant($m->{date});
	}
	$c->close;
	return %is;
}

# Those that name this UID, alone or in a set.
sub lines_of
{
	my ($uid, $err) = @_;

	return grep { /\bUIDs? ([\d,: ]*\d)/ && Imapsync::Wire::in_set($uid,
	    Imapsync::Wire::uid_set($1 =~ s/ //gr)) } split /\n/, $err;
}

for my $side (sides('local', 'remote')) {
	my $odd = odd(map { $_ + 1 => $dates[$_][0] } 0 .. $#dates);
	my $other = Imapsync::Server->new(name => 'other' . ++$number);
	my $to = $side eq 'local' ? 'remote' : 'local';
	my $i = Imapsync::Imapsync->new($side => $odd, $to => $other);
	my $c = $odd->client;

	$c->append('INBOX', message($_), date => ' 1-Feb-2003 04:05:06 +0000')
	    for 1 .. @dates;
	$c->close;
	my $r = $i->sync_ok("E3: from $side: copied");
	my %is = by_subject($other);
	for my $n (1 .. @dates) {
		my ($form, $means) = @{ $dates[$n - 1] };
		my @got = @{ $is{$n} // [] };
		my @lines = lines_of($n, $r->{err});

		is(scalar @got, 1, "E3: from $side: $form: is there");
		if (defined $means) {
			is($got[0], instant($means),
			    "E3: from $side: $form: is the date");
			is(scalar @lines, 0, "E3: from $side: $form: quiet");
			next;
		}
		cmp_ok(abs(($got[0] // 0) - time), '<', 86400,
		    "E3: from $side: $form: now");
		is(scalar @lines, 1, "E3: from $side: $form: one line");
		like($lines[0] // '', qr/^$side\(INBOX\): /,
		    "E3: from $side: $form: which names the server");
	}
	unlike($r->{err}, qr/[^\x20-\x7e\n]/, "E3: from $side: printable");
	$i->silent_ok("E3: from $side: said once");
}

# No date at all is no fault.
my $none = odd(1 => 'NIL');
my $other = Imapsync::Server->new(name => 'other' . ++$number);
my $i = Imapsync::Imapsync->new(local => $none, remote => $other);
my $c = $none->client;
$c->append('INBOX', message(1));
$i->sync_ok('E3: NIL: copied');
is(scalar(@{ { by_subject($other) }->{1} // [] }), 1, 'E3: NIL: is there');
$i->silent_ok('E3: NIL: nothing is left');

# It is a date where dates decide: who is the same, what is too old.
my $pair = odd(1 => '"9-Apr-2018 16:08:15 +0000"');
$other = Imapsync::Server->new(name => 'other' . ++$number);
for my $s ($pair, $other) {
	my $client = $s->client;
	$client->append('INBOX', message(1, id => 0),
	    date => ' 9-Apr-2018 18:08:15 +0200');
	$client->close;
}
$i = Imapsync::Imapsync->new(local => $pair, remote => $other);
my $r = $i->sync_ok('E3: a first run',
    '--two-accounts');
like($r->{err}, qr/^INBOX: 1 paired$/m, 'E3: the same message by its date');
is(scalar(@{ { by_subject($other) }->{1} }), 1, 'E3: and not twice');

my $old = odd(1 => '"9-Apr-2018 16:08:15 +0000"');
$other = Imapsync::Server->new(name => 'other' . ++$number);
$i = Imapsync::Imapsync->new(local => $old, remote => $other,
    conf => { 'max-age' => '1y' });
$c = $old->client;
$c->append('INBOX', message(1), date => ' 9-Apr-2018 16:08:15 +0000');
$c->append('INBOX', message(2));
$i->sync_ok('E3: max-age');
is(join(' ', keys %{ { by_subject($other) } }), '2',
    'E3: what is too old stays');
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server tells when nobody has asked is dropped, at whatever moment; and a
# mailbox that somebody replaces in the midst of a run stops alone.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep);
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Server;
use Imapsync::Watch;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;
my $blame = qr/not\ made|report\ it|two\ partners|ended\ unexpectedly|
    can't\ be\ understood|not\ allowed/x;

sub pair
{
	my ($side, %hooks) = @_;
	my %s;

	for my $s ('local', 'remote') {
		my $server = Imapsync::Server->new(name => $s . ++$number);
		$s{$s} = $s eq $side ? Imapsync::Edit->new(server => $server,
		    %hooks) : $server;
		$s{c}{$s} = $server->client;
	}
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	for my $n (1 .. 5) {
		$s{c}{'local'}->append('INBOX', message($n),
		    date => date_of($n));
	}
	$s{c}{'local'}->create($_) for 'Other', 'Work';
	$s{c}{'local'}->append($_, message(9)) for 'Other', 'Work';
	$s{i}->sync_ok('E13: in sync');
	return \%s;
}

my %told = (
	'VANISHED' => '* VANISHED 4000:4001',
	'VANISHED of what is there' => '* VANISHED 2',
	'VANISHED (EARLIER)' => '* VANISHED (EARLIER) 1:3',
	'FETCH with a UID' => '* 1 FETCH (UID 5 FLAGS ())',
	'FETCH without a UID' => '* 1 FETCH (FLAGS (\Seen))',
	'FETCH of no message' => '* 99 FETCH (UID 4000 FLAGS ())',
	'FETCH with a body' => "* 1 FETCH (UID 1 BODY[] {5}\r\nhello)",
	'FETCH with a header' => '* 1 FETCH (UID 1 BODY[HEADER.FIELDS ' .
	    "(MESSAGE-ID DATE FROM TO SUBJECT)] {5}\r\nA: b\n)",
	'ESEARCH' => '* ESEARCH (TAG "Z1") UID ALL 1:2',
	'ESEARCH without a tag' => '* ESEARCH UID COUNT 2',
	'SEARCH' => '* SEARCH 1 2 3',
	'STATUS' => '* STATUS Other (MESSAGES 77 UIDNEXT 88)',
	'ENABLED' => '* ENABLED X-NONSENSE',
	'LIST' => '* LIST () "/" Other',
	'APPENDUID' => '* OK [APPENDUID 1 77] what',
	'COPYUID' => '* OK [COPYUID 1 77 78] what',
	'what nobody knows' => '* XNONSENSE (a b) "c" 17',
);

# At every moment but inside of a literal, from when "on" is raised, once the
# server has listed its mailboxes.
sub drizzle
{
	my (@lines) = @_;
	my $n = 0;

	return (every => 0.002, tick => sub {
		my ($t) = @_;
		return if !$t->{begun} || !$t->flag('on') ||
		    $t->{way}{s2c}{within} || $t->{way}{s2c}{left};
		$t->put($lines[$n++ % @lines] . "\r\n");
	}, answer => sub {
		my ($t, $line) = @_;
		return $line unless $line =~ /^[^*+ ]\S* OK/;
		$t->{begun} = 1 if $t->asked($line) =~ /^LIST/;
		return $line unless $t->{begun} && $t->flag('on');
		return ($line, $lines[$n++ % @lines]);
	});
}

# Something for every command to do, both ways.
sub work
{
	my ($s) = @_;
	my ($lc, $rc) = @{ $s->{c} }{'local', 'remote'};

	for my $c ($lc, $rc) {
		$c->append('INBOX', message(++$number), date => date_of(8));
		my @uids = $c->uids('INBOX');
		$c->store('INBOX', $uids[$c == $lc ? 0 : 1], '+FLAGS',
		    '$K' . $number);
		$c->unselect;
	}
	$lc->expunge('INBOX', ($lc->uids('INBOX'))[2]);
	$lc->unselect;
	$lc->append('Other', message(++$number));
	$rc->append('Work', message(++$number));
}

# One kind of line at a time in a run ...
my $turn = 0;
for my $what (drawn(2, sort keys %told)) {
	for my $side (('local', 'remote')[$turn++ % 2]) {
		my $name = "$what, $side";
		my $s = pair($side, drizzle($told{$what}));
		work($s);
		$s->{$side}->raise('on');
		my $r = $s->{i}->sync_ok("E13: $name: a run");
		unlike($r->{err}, $blame, "E13: $name: no such words");
		$s->{$side}->lower('on');
		$s->{i}->sync_ok("E13: $name: the next run");
		same_content($s->{'local'}, $s->{remote}, "E13: $name: equal");
		is($s->{c}{$_}->status('INBOX')->{MESSAGES}, 6,
		    "E13: $name: as many as there should be, $_")
		    for 'local', 'remote';
		$_->close for values %{ $s->{c} };
	}
}

# ... and all of them in a watch.
for my $side (sides('local', 'remote')) {
	for my $args ('--watch=1', '--notify') {
		my $name = "$side, $args";
		my $s = pair($side, drizzle(map { $told{$_} } sort keys %told));
		my $w = Imapsync::Watch->new($s->{i}, $args);
		eval { $w->ready };
		$s->{$side}->raise('on');
		for (1 .. 6) {
			work($s);
			$w->look;
			sleep 1.2;
		}
		$s->{$side}->lower('on');
		my $r = $w->end('TERM');
		is($r->{signal}, 15, "E13: $name: it watched to the end")
		    or diag("exit $r->{status}\n$r->{err}");
		unlike($r->{err}, $blame, "E13: $name: no such words");
		unlike($r->{err}, qr/lost the server/,
		    "E13: $name: in one session") or diag($r->{err});
		$s->{i}->sync_ok("E13: $name: the next run");
		same_content($s->{'local'}, $s->{remote}, "E13: $name: equal");
		is($s->{c}{$_}->status('INBOX')->{MESSAGES}, 11,
		    "E13: $name: as many as there should be, $_")
		    for 'local', 'remote';
		$_->close for values %{ $s->{c} };
	}
}

# ---- a mailbox that is replaced ----

# Another mailbox of the same name, once that command comes.
sub replaced
{
	my ($re) = @_;

	return command => sub {
		my ($t, $cmd) = @_;
		return unless $t->flag('on') && $cmd =~ $re &&
		    !$t->{fake}{done}++;
		my $c = $t->{fake}->client;
		$c->delete('Work');
		$c->create('Work');
		$c->close;
		return;
	};
}

my %when = ('ahead of the SELECT that precedes APPEND' => [2, qr/ SELECT "?Work/],
    'ahead of APPEND' => [1, qr/ APPEND "?Work/]);
for my $when (drawn(2, sort keys %when)) {
	for my $side (sides('remote', 'local')) {
		my ($nth, $re) = @{ $when{$when} };
		my $other = $side eq 'local' ? 'remote' : 'local';
		my $what = "replaced $when, $side";
		my $s = pair($side, replaced($re));
		my $seen = 0;
		my $once = replaced($re);
		$s->{$side}->hooks(command => sub {
			my ($t, $cmd) = @_;
			return if !$t->flag('on') || $cmd !~ $re ||
			    ++$seen < $nth;
			return $once->($t, $cmd);
		});
		my $c = $s->{c}{$other};
		$c->append($_, message(++$number), date => date_of($number))
		    for 'INBOX', 'Work', 'Other';
		$s->{c}{$side}->append($_, message(++$number),
		    date => date_of($number)) for 'INBOX', 'Other';
		$s->{$side}->raise('on');
		# Dovecot ends a session in which it happens: the next one then.
		my $r = $s->{i}->run;
		my $lost = $r->{status} == 75 && $r->{err} =~ /deleted under/;
		ok($lost || $r->{status} == 3, "E13: $what: exit 3") or
		    diag($r->{status}, $r->{err});
		like($r->{err}, qr/^Work: .*\b$side\b/m,
		    "E13: $what: it is named");
		$s->{i}->status_is(3, "E13: $what: the session after that")
		    if $lost;
		unlike($r->{err}, $blame, "E13: $what: nobody is blamed");
		for my $name ('INBOX', 'Other') {
			is($s->{c}{$_}->status($name)->{MESSAGES},
			    $name eq 'INBOX' ? 7 : 3,
			    "E13: $what: $name goes on, $_")
			    for 'local', 'remote';
		}
		is($c->status('Work')->{MESSAGES}, 2,
		    "E13: $what: nothing is deleted");
		$s->{$side}->lower('on');
		$r = $s->{i}->run;
		is($s->{c}{$_}->status('INBOX')->{MESSAGES}, 7,
		    "E13: $what: nothing twice, $_") for 'local', 'remote';
		$s->{i}->sync_ok("E13: $what: adopted", '--adopt', 'Work');
		same_content($s->{'local'}, $s->{remote},
		    "E13: $what: equal");
		is($c->status('Work')->{MESSAGES}, 2,
		    "E13: $what: as many as there should be");
		$s->{i}->silent_ok("E13: $what: nothing is left");
		$_->close for values %{ $s->{c} };
	}
}
done_testing;

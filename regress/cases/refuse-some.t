#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A server that refuses one message in six, whatever the code of its NO:
# refusals like others.  A mailbox that takes none, by its rights: no mark is
# left and nothing is waited for.  A mailbox that does not keep its UIDs:
# stopped.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Cases qw(cases);
use Imapsync::Case qw(set_of);
use Imapsync::Proc qw(spew tmpdir);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');
plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

my @cases;

sub refusing
{
	my ($code, @n) = @_;
	my $re = join '|', @n;

	return append => sub {
		my ($c, $name, $m) = @_;
		return $name eq 'INBOX' && $m->{body} =~
		    /^Subject: message (?:$re)\r/m ? "NO $code no" : undef;
	};
}

# The messages are 1 to 18, UIDs of the source are the same.
sub some
{
	my ($target, $code, $caps, @n) = @_;
	my $source = $target eq 'local' ? 'remote' : 'local';
	my $p = Imapsync::Case->new($target => { model => 1, caps => $caps,
	    hooks => { refusing($code, @n) } });
	my %not = map { $_ => 1 } @n;

	$p->put($source, 'INBOX', 1 .. 18);
	$p->put($source, 'box', 31, 32);
	my $r = $p->run(3, 'some refused');
	$p->names($r, $source, 'INBOX', @n);
	$p->has($target, 'INBOX', set_of(grep { !$not{$_} } 1 .. 18),
	    'the others');
	$p->has($target, 'box', '31:32', 'another mailbox');
	$p->rests(3, 'offered again');
	my $rest = $p->rests(3, 'they stand');
	is(scalar(() = $rest->{err} =~ /\n/g), 1, 'one line') or
	    diag($rest->{err});
	my ($refused) = $p->i->sql('SELECT count(*) FROM refused');
	is($refused // @n, scalar @n, 'they are refusals');
	# What comes meanwhile, and what goes.
	$p->put($source, 'INBOX', 19);
	$p->expunge($source, 'INBOX', 2);
	$p->run(3, 'changes');
	$not{2} = 1;
	$p->has($target, 'INBOX', set_of(grep { !$not{$_} } 1 .. 19),
	    'changes');
	$p->{$target}->hooks;
	$p->settles('INBOX', '1 3:19', 'taken', '--retry');
}

for my $case (['remote', '[SERVERBUG]', '', 1, 7, 13],
    ['remote', '[SERVERBUG]', '', 6, 12, 18],
    ['local', '[SERVERBUG]', '-MULTIAPPEND', 1, 7, 13],
    ['remote', '[UNAVAILABLE]', '', 3, 9], ['local', '[CORRUPTION]', '', 1],
    ['remote', '[INUSE]', '-LITERAL+', 1, 18],
    ['remote', '[CONTACTADMIN]', '', 4, 5], ['local', '[CANNOT]', '', 1, 8],
    ['remote', '[EXPUNGEISSUED]', '', 5], ['remote', '[XYZZY]', '', 1, 2]) {
	my ($target, $code, $caps, @n) = @$case;
	push @cases, "B5: $target refuses @n, $code $caps" =>
	    sub { some(@$case) };
}

# What a user may do in a mailbox is said by a file, from allow() on.
sub acl_server
{
	my ($name) = @_;
	my $file = spew(tmpdir() . "/acl.$name", '', 0644);
	my $server = Imapsync::Server->new(name => $name, daemon => 1, conf =>
	    "mail_plugins = acl\nprotocol imap {\n  mail_plugins = acl " .
	    "imap_acl\n}\nplugin {\n  acl = vfile:$file\n}");

	$server->{acl} = $file;
	return $server;
}

sub allow
{
	my ($p, $side, $box, $rights) = @_;

	spew($p->{$side}{acl}, defined $rights ? "$box owner $rights\n" : '');
	delete $p->{client}{$side};
}

# How often a run asks for the mailbox's state: once or twice a second if it
# waits.
sub looks
{
	my ($r) = @_;
	return scalar(() = $r->{err} =~ /\bC: \S+ STATUS /g);
}

for my $side (sides('remote', 'local')) {
	push @cases, "B6: without the right to insert, $side" => sub {
		my $p = Imapsync::Case->new($side => acl_server("acl$side"));
		my $other = $p->other($side);

		$p->put($side, 'box', 1 .. 4);
		$p->run(0, 'before');
		allow($p, $side, 'box', 'lrwste');
		$p->put($other, 'box', 5);
		$p->put($other, 'INBOX', 11);
		my $r = $p->run(3, 'nothing may be inserted');
		like($r->{err}, qr/^box: .*\b$side\b/m, 'it is named');
		$p->has($side, 'INBOX', '11', 'another mailbox');
		for my $time (1, 2) {
			$r = $p->run(3, "the next, $time", '--debug');
			cmp_ok(looks($r), '<', 2, 'nothing is waited for');
			my ($n) = $p->i->sql('SELECT count(*) FROM mark');
			is($n // 0, 0, 'and no mark is left');
		}
		$p->rests(3, 'as long as it is so');
		# Everything else in it goes on.
		$p->flags($other, 'box', '+FLAGS', '\Flagged', 1);
		$p->flags($side, 'box', '+FLAGS', '\Answered', 2);
		$p->expunge($other, 'box', 3);
		$p->expunge($side, 'box', 4);
		$p->run(3, 'changes');
		$p->has($side, 'box', '1:2', 'deletions');
		$p->has($other, 'box', '1:2 5', 'both ways');
		is($p->flags_of($side, 'box', 1), '\Flagged', 'flags');
		is($p->flags_of($other, 'box', 2), '\Answered', 'both ways');
		allow($p, $side);
		$p->settles('box', '1:2 5', 'allowed', '--retry');
	};
}

push @cases, 'B6: without the right to insert, a first run' => sub {
	my $p = Imapsync::Case->new(remote => acl_server('acl'));

	$p->put('remote', 'box', 1);
	$p->put('local', 'box', 1, 2);
	$p->put('local', 'INBOX', 11);
	allow($p, 'remote', 'box', 'lrwste');
	my $r = $p->run(3, 'first run');
	$p->has('remote', 'box', '1', 'nothing is inserted');
	$p->has('remote', 'INBOX', '11', 'another mailbox');
	$r = $p->run(3, 'the next', '--debug');
	cmp_ok(looks($r), '<', 2, 'nothing is waited for');
	allow($p, 'remote');
	$p->settles('box', '1:2', 'allowed', '--retry');
};

# A mailbox whose UIDs are others in each session.
sub not_sticky
{
	my ($side, $first) = @_;
	my $p = Imapsync::Case->new($side => { answer => sub {
		my ($t, $response) = @_;
		return $response unless $t->get('go') ne '' &&
		    $t->mailbox eq 'box' && $response =~ /^\* \d+ EXISTS/ &&
		    $t->opening ne '';
		return "$response* NO [UIDNOTSTICKY] UIDs are not kept\r\n";
	} });
	my $other = $p->other($side);

	$p->put($side, $_, 1 .. 4) for 'A', 'box', 'z';
	$p->put($other, 'box', 11) if $first;
	if (!$first) {
		$p->run(0, 'before');
		$p->put($side, $_, 5) for 'A', 'box', 'z';
		$p->put($other, $_, 6) for 'A', 'box', 'z';
		$p->expunge($side, 'box', 1);
		$p->expunge($other, 'box', 2);
		$p->flags($other, 'box', '+FLAGS', '\Flagged', 3);
	}
	$p->{$side}->set(go => 1);
	my $before = [$p->numbers($side, 'box'), $p->numbers($other, 'box')];
	for my $time (1, 2) {
		my $r = $p->run(3, "run $time");
		is(scalar(() = $r->{err} =~ /^box: .*\b$side\b/mg), 1,
		    'named once');
		is_deeply([$p->numbers($side, 'box'), $p->numbers($other,
		    'box')], $before, 'nothing is copied or deleted');
	}
	is($p->flags_of($side, 'box', 3), '', 'nor is a flag set');
	for my $box ('A', 'z') {
		$p->has($_, $box, $first ? '1:4' : '1:6', 'the others')
		    for 'local', 'remote';
	}
	$p->rests(3, 'as long as it is so');
	$p->{$side}->set('go');
	$p->settles('box', $first ? '1:4 11' : '3:6', 'its UIDs are kept');
}

for my $side (sides('remote', 'local')) {
	push @cases, "B7: UIDNOTSTICKY, $side" => sub { not_sticky($side, 0) };
	push @cases, "B7: UIDNOTSTICKY, $side, first run" =>
	    sub { not_sticky($side, 1) };
}

cases(4, @cases);
done_testing;

#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# COMPRESS=DEFLATE: when it is used, what it saves, and servers that abuse it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Compress::Raw::Zlib qw(Z_OK Z_SYNC_FLUSH Z_FINISH MAX_WBITS);
use Time::HiRes qw(sleep);
use Imapsync::Cert;
use Imapsync::Compare qw(same_content);
use Imapsync::Fake;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of samples);
use Imapsync::Model;
use Imapsync::Proc qw(proc_field slurp);
use Imapsync::Relay;
use Imapsync::Server;

# A Dovecot daemon as local and as remote, a tunnel, and the key.
subtest 'when' => sub {
	plan skip_all => Imapsync::Server->missing('dovecot')
	    if Imapsync::Server->missing('dovecot');
	my $here = Imapsync::Server->new(name => 'here', daemon => 1,
	    compress => 1);
	my $there = Imapsync::Server->new(name => 'there', daemon => 1,
	    compress => 1);
	my %tunnel = (type => 'tunnel', command => $there->command);
	my $i = Imapsync::Imapsync->new(local => $here, remote => $there);

	for my $case (['the default', {}, {}, 0, 1],
	    ['YES', { compress => 'YES' }, { compress => 'YES' }, 1, 1],
	    ['NO', { compress => 'NO' }, { compress => 'NO' }, 0, 0]) {
		my ($what, $local, $remote, @want) = @$case;
		$i->change(local => $here->section(%$local),
		    remote => $there->section(%$remote));
		my $r = $i->sync_ok($what, '--debug');
		for my $side ('local', 'remote') {
			my $got = $r->{err} =~
			    /^$side: C: \S+ COMPRESS DEFLATE/m ? 1 : 0;
			is($got, shift @want, "$what: $side");
		}
	}
	$i->lose_state;
	for my $case (['a tunnel', {}, 0],
	    ['a tunnel, YES', { compress => 'YES' }, 1]) {
		my ($what, $more, $want) = @$case;
		$i->lose_state;
		$i->change(remote => { %tunnel, %$more });
		my $r = $i->sync_ok($what, '--debug');
		is($r->{err} =~ /^remote: C: \S+ COMPRESS/m ? 1 : 0, $want,
		    $what);
	}
};

# A first run in both directions; the octets that passed.  With "rate" the line
# lets so many pass in a second.
sub first_run
{
	my ($what, $compress, $rate, $cert) = @_;
	my $here = Imapsync::Server->new(name => "here-$what");
	my $there = Imapsync::Server->new(name => "there-$what", daemon => 1,
	    compress => 1, $cert ? (cert => $cert) : ());
	my $relay = Imapsync::Relay->new(rate => $rate, port => $cert ?
	    $there->tls_port : $there->port);
	my $i = Imapsync::Imapsync->new(local => $here, remote =>
	    $there->section(port => $relay->port, compress => $compress));
	my %mail = samples();

	for my $side ($here, $there) {
		my $n = $side == $here ? 0 : 1000;
		my $c = $side->client;
		$c->append_many('INBOX', map { { body =>
		    message($n + $_, size => 4000), date => date_of($_) } }
		    1 .. 200);
		$c->create("big$n");
		$c->append("big$n", message($n + 999, size => 2_000_000));
		$c->append_many("big$n", map { { body => $mail{$_} } }
		    sort keys %mail);
		$c->close;
	}
	$i->sync_ok("$what: first run");
	same_content($here, $there, "$what: equal");
	my $r = $relay->result;
	$i->silent_ok("$what: nothing to do");
	return $r;
}

subtest 'what it saves' => sub {
	plan skip_all => Imapsync::Server->missing('dovecot')
	    if Imapsync::Server->missing('dovecot');
	my $good = Imapsync::Cert->new(name => 'good');
	my $plain = first_run('plain', 'NO', 0);
	my $deflate = first_run('deflate', 'YES', 500_000);
	my $both = first_run('both', 'YES', 500_000, $good);

	for my $way ('c2s', 's2c') {
		my $most = $plain->{$way} / 4;
		cmp_ok($plain->{$way}, '>', 2_800_000, "$way: plain");
		cmp_ok($deflate->{$way}, '<', $most, "$way: compressed");
		cmp_ok($both->{$way}, '<', $most, "$way: under TLS");
	}
};

sub deflate
{
	my ($text, $how) = @_;
	my ($z, $status) = Compress::Raw::Zlib::Deflate->new(
	    -WindowBits => -MAX_WBITS, -AppendOutput => 1, -Level => 9);
	my $out = '';

	$z->deflate($text, $out) == Z_OK or die 'deflate';
	$z->flush($out, $how // Z_SYNC_FLUSH) == Z_OK or die 'flush';
	return $out;
}

# A server that logs in, and then answers COMPRESS with these octets and twenty
# times with $again.
sub abuser
{
	my ($first, $again) = @_;

	return Imapsync::Fake->new(script => sub {
		my ($c) = @_;
		my $caps = '[CAPABILITY IMAP4rev1 COMPRESS=DEFLATE ENABLE ' .
		    'QRESYNC CONDSTORE LIST-EXTENDED LIST-STATUS ESEARCH ' .
		    'UIDPLUS]';
		$c->put("* OK $caps hi\r\n");
		while (defined(my $line = $c->line)) {
			my ($tag, $name) = $line =~ /^(\S+) (\S+)/ or die;
			$c->put("* ENABLED QRESYNC\r\n") if $name eq 'ENABLE';
			if ($name ne 'COMPRESS') {
				$c->put("$tag OK $caps done\r\n");
				next;
			}
			sleep 0.3;
			$c->put("$tag OK go\r\n$first") or die "gone\n";
			next unless defined $again;
			# In slices, so that memory can be looked at.
			for my $slice (map { $again =~ /(.{1,16384})/gs }
			    1 .. 20) {
				$c->put($slice) or last;
				sleep 0.05;
			}
			die "enough\n";
		}
	});
}

# A run with it: exit status and message as said, and the highest memory of each
# process in KiB.
sub survives
{
	my ($what, $fake, $says) = @_;
	my $local = Imapsync::Model->new(greeting => 'PREAUTH');
	my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
	    remote => $fake);
	my $pid = $i->start;
	my %high;

	for (1 .. 3000) {
		my $role = $i->roles($pid);
		for my $name (grep { $_ ne 'tunnels' } keys %$role) {
			# Between fork and exec it is still this perl.
			next if (readlink("/proc/$role->{$name}/exe") // '') =~
			    /perl/;
			my $kb = proc_field($role->{$name}, 'VmHWM') // next;
			($kb) = $kb =~ /(\d+)/;
			$high{$name} = $kb if $kb > ($high{$name} // 0);
		}
		my $stat = eval { slurp("/proc/$pid/stat") } // '';
		last if $stat eq '' || $stat =~ /\) Z /;
		sleep 0.01;
	}
	my $r = $i->wait($pid);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	isnt($r->{status}, 0, "$what: an error");
	like($r->{err}, qr/^remote: .*127\.0\.0\.1.*$says/m, "$what: says why")
	    or diag($r->{err});
	for my $name (sort keys %high) {
		cmp_ok($high{$name}, '<', 16384,
		    "$what: $name had $high{$name} KiB at most");
	}
}

SKIP: {
	skip 'there is no /proc', 1 unless -e '/proc/self/status';
	my $z = Compress::Raw::Zlib::Deflate->new(-WindowBits => -MAX_WBITS,
	    -AppendOutput => 1, -Level => 9);
	my ($head, $zeros) = ('', '');

	# What follows the head is a block of 64 MiB of one octet.
	$z->deflate("* 1 FETCH (UID 1 BODY[] {4000000000}\r\n", $head);
	$z->flush($head, Z_SYNC_FLUSH);
	for (1 .. 64) {
		$z->deflate('x' x 1048576, $zeros);
	}
	$z->flush($zeros, Z_SYNC_FLUSH);
	cmp_ok(length $zeros, '<', 70000, '64 MiB in ' . length $zeros);
	survives('a bomb in a literal', abuser($head, $zeros),
	    'decompression bomb');

	$z = Compress::Raw::Zlib::Deflate->new(-WindowBits => -MAX_WBITS,
	    -AppendOutput => 1, -Level => 9);
	($head, $zeros) = ('', '');
	$z->deflate('* OK ', $head);
	$z->flush($head, Z_SYNC_FLUSH);
	$z->deflate('x' x 1048576, $zeros) for 1 .. 16;
	$z->flush($zeros, Z_SYNC_FLUSH);
	survives('a bomb in a line', abuser($head, $zeros), 'bomb');

	survives('no DEFLATE at all', abuser("* OK not compressed\r\n"),
	    'damaged');
	survives('damaged', abuser(deflate("* OK fine\r\n") . "\xff\xff\xff"),
	    'damaged');
	survives('an end, and more', abuser(deflate("* OK fine\r\n",
	    Z_FINISH) . "* OK more\r\n"), 'end of its compressed data');
}

# A refusal is none of the user's business.
for my $no ('NO not today', 'BAD what?') {
	my $m = Imapsync::Model->new(caps => '+COMPRESS=DEFLATE', hooks => {
		COMPRESS => sub {
			my ($c, $tag) = @_;
			$c->emit("$tag $no");
			return 1;
		} });
	my $local = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $m);

	$m->change(sub { $_[0]->deliver('INBOX', message($_)) for 1 .. 9 });
	is($i->sync_ok("answered $no")->{err} =~ /COMPRESS|\Q$no\E/ ? 1 : 0,
	    0, 'not a word');
	same_content($local, $m, 'equal');
}

done_testing;

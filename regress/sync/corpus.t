#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Real mail of many programs' test suites goes through unchanged, in both
# directions, and is recognised when the state is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use File::Find;
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(crlf date_of);
use Imapsync::Proc qw(slurp);
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

# It lies beside the source tree and is no part of it.
my $corpus = $ENV{IMAPSYNC_CORPUS} // "$FindBin::Bin/../../../shared/corpus";
plan skip_all => "there is no corpus in $corpus" unless -d $corpus;

my @files;
find({ no_chdir => 1, wanted => sub {
	push @files, $File::Find::name
	    if -f && !m{/README\.md$};
} }, $corpus);
@files = sort @files;
cmp_ok(scalar @files, '>', 500, 'there is a corpus');

my $local = Imapsync::Server->new(name => 'local');
my $remote = Imapsync::Server->new(name => 'remote', sep => '.',
    daemon => 1);
my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);

# Every second file to either side.  Dovecot itself makes NUL an octet 128 and
# drops a CR at the very end.
my (%want, %box, @altered);
for my $n (0 .. $#files) {
	my $text = crlf(slurp($files[$n]));
	my ($dir) = $files[$n] =~ m{^\Q$corpus\E/([^/]+)};
	# Mailboxes of their own: what both sides have is adopted, not copied.
	$dir .= $n % 2 ? '-remote' : '-local';
	push @{ $box{$n % 2}{$dir} }, { body => $text,
	    flags => $n % 3 ? '\Seen' : '', date => date_of($n) };
	my $stored = $text;
	my $odd = ($stored =~ tr/\0/\x80/) + ($stored =~ s/\r\z//);
	push @altered, $files[$n] =~ s{^\Q$corpus\E/}{}r if $odd;
	$want{$dir}{sha256_hex($stored)}++;
}
for my $side (0, 1) {
	my $c = ($local, $remote)[$side]->client;
	for my $dir (sort keys %{ $box{$side} }) {
		$c->create($dir);
		$c->append_many($dir, @{ $box{$side}{$dir} });
	}
	$c->close;
}
note("altered by Dovecot when it got them: @altered");
is(scalar @altered, 2, 'Dovecot alters two files');

my $r = $i->sync_ok('all of the corpus');
my $snap = same_content($local, $remote, 'the same on both');
for my $dir (sort keys %want) {
	my %got;
	while (my ($line, $n) = each %{ $snap->{$dir}{messages} }) {
		$got{(split ' ', $line)[0]} += $n;
	}
	is_deeply(\%got, $want{$dir}, "$dir: octet for octet");
}
$i->silent_ok;

$i->lose_state;
$i->sync_ok('the state is lost');
my $again = same_content($local, $remote, 'still the same');
is_deeply($again, $snap, 'and nothing twice');
$i->silent_ok;

done_testing;

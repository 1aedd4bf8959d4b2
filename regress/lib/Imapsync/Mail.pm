# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Messages to test with.
#
#	my $text = message(17);			# always the same for 17
#	my $text = message(17, size => 4000);	# about that many octets
#	my $text = message(17, id => 0);	# without Message-ID
#	my $date = date_of(17);			# an INTERNALDATE, various zones
#	my $text = message(new_number);		# as no other of this test
#	$client->append_many('INBOX', new_messages(10));	# body, date
#	$client->append_many('INBOX', new_messages(10, flags => 1));
#	my %mail = samples();			# regress/mail: name => text
package Imapsync::Mail;

use strict;
use warnings;
use Cwd ();
use Exporter 'import';
use File::Basename ();
use Imapsync::Proc qw(slurp);

our @EXPORT_OK = qw(message date_of new_number new_messages samples crlf);

my $regress = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
my @zone = qw(+0000 +0100 -0500 +0530 -1130 +1245);
my @month = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
my @flags = ('', '\Seen', '\Seen \Answered', '\Flagged', '\Draft',
    '\Deleted', '$Forwarded \Seen', 'NonJunk $Label1', 'a.b-c_d');
my $number = 0;

sub message
{
	my ($n, %o) = @_;
	my $size = $o{size} // 300;
	my $id = ($o{id} // 1) ? "Message-ID: <m$n\@example.org>\r\n" : '';
	my $head = "From: Sender $n <sender$n\@example.org>\r\n" .
	    "To: list\@example.com\r\nSubject: message $n\r\n" .
	    "Date: Thu, 1 Feb 2024 10:00:00 +0000\r\n$id\r\n";
	my $line = "line of message $n, which is here to make it longer\r\n";
	my $missing = $size - length $head;

	return $head . $line x ($missing > length $line ?
	    int($missing / length $line) : 1);
}

sub date_of
{
	my ($n) = @_;

	return sprintf('%2d-%s-%d %02d:%02d:%02d %s', $n % 28 + 1,
	    $month[$n % 12], 1995 + $n % 29, $n % 24, $n % 60, $n * 7 % 60,
	    $zone[$n % @zone]);
}

# A number that was not given so far, from 1 on.
sub new_number { return ++$number }

# So many messages as Client.pm's append_many() takes them, each with a new
# number; with "flags" they have various ones.
sub new_messages
{
	my ($count, %o) = @_;

	return map {
		my $n = new_number();
		{ body => message($n), date => date_of($n),
		    $o{flags} ? (flags => $flags[$n % @flags]) : () };
	} 1 .. $count;
}

# Bare LF to CRLF, CRLF left alone.
sub crlf
{
	my ($text) = @_;

	$text =~ s/(?<!\r)\n/\r\n/g;
	return $text;
}

sub samples
{
	return map { File::Basename::basename($_) => crlf(slurp($_)) }
	    glob "$regress/mail/*.eml";
}

1;

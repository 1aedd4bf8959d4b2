# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a worker is given: its channel, its bridge, its server, its own secrets.
package Imapsync::Attacks::Given;

use strict;
use warnings;
use Imapsync::Attacks;
use Imapsync::Proc qw(slurp);

my $password = 'hush';

attack 'it looks at what it was given', on => 'start', status => 0,
    says => '', do => sub {
	my ($w) = @_;
	open(my $fh, '>', "$w->{file}.octets") or die "open: $!\n";
	print $fh $w->{given};
	close $fh;
	$w->note("descriptors " . ($w->{connected} - 5) . ': ' .
	    join ' ', sort keys %{ $w->{fd} });
	return 0;
    }, check => sub {
	my ($job) = @_;
	my $octets = slurp("$job->{s}{dir}/imapsync-net.octets");
	my @bad;

	push @bad, 'the other side\'s password' if $octets =~ /hush-honest/;
	push @bad, 'not its own password' if $octets !~ /hush-evil/;
	push @bad, 'a path of the state or of the home directory'
	    if $octets =~ m{\Q$job->{s}{i}{home}\E|\.db};
	push @bad, "descriptors: $job->{notes}"
	    if $job->{notes} !~ /^descriptors 1: 0$/m;
	return @bad;
    };

1;

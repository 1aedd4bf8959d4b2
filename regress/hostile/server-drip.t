#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# What a server says too slowly, too early, twice, or in the wrong place: in
# each gap between two lines of a session, and in each kind of answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Imapsync::Hostile;
use Imapsync::Sides;

use constant EVERY => 0.3;	# seconds between two octets
use constant LONG => 30;	# seconds that a drip lasts

my $h = Imapsync::Hostile->new(changed => ['box']);
my (@cases, $lines);

# The lines that the server sends in an honest session.
my $only = delete $ENV{IMAPSYNC_ONLY};
$h->run(1, $h->bomb('an honest session', 'LOGOUT', sub {
	$_[0]->note("lines $_[0]{at}");
	return 0;
}, others => 1, status => [0], hooks => { out => sub {
	$_[0]{at}++;
	return $_[1];
} }, judge => sub {
	my ($case, $r, $farm) = @_;
	($lines) = map { /^lines (\d+)/ } $farm->notes($case, 'remote');
	return;
}));
cmp_ok($lines // 0, '>', 30, 'has lines enough');
$ENV{IMAPSYNC_ONLY} = $only if defined $only;

# ---- an octet now and then ----

# Let the text come in single octets, which are never all of it.
sub drip
{
	my ($c, $text) = @_;
	my $end = time + LONG;

	$c->flush;
	for (my $i = 0; time < $end; $i++) {
		$c->put($i < length $text ? substr($text, $i, 1) : 'x');
		sleep EVERY;
	}
	$c->note('it was waited for to the end');
	$c->silence;
}

sub drips
{
	my ($where, $text, $first) = @_;

	push @cases, $h->bomb("single octets, $where, $text", $where, sub {
		my ($c, $tag) = @_;
		$c->flush;
		$c->put($first) if defined $first;
		drip($c, $text =~ s/TAG/$tag \/\/ ''/er);
	}, status => [75], says => qr/^remote: .*: no /m, judge => sub {
		my ($case, $r, $farm) = @_;
		return grep { /to the end/ } $farm->notes($case, 'remote');
	});
}

drips('GREETING', '* OK [CAPABILITY IMAP4rev1');
drips('GREETING', '', '* OK [CAPABILITY ');
drips('LOGIN', 'TAG OK [CAPABILITY IMAP4rev1');
drips('LOGIN', '* CAPABILITY IMAP4rev1');
drips('ENABLE', '* ENABLED ');
drips('LIST', 'TAG OK ');
drips('LIST', '', '* LIST () "/" {4000}' . "\r\n");
drips('LIST', '(MESSAGES 1', '* STATUS "A" ');
drips('SELECT box', '', '* OK [');
drips('SELECT box', '1:3', '* VANISHED (EARLIER) ');
drips('SELECT box', '', '* FLAGS (');
drips('UID SEARCH', 'ESEARCH (TAG "TAG") UID ALL 4', '* ');
drips('UID FETCH box', '4 FETCH (UID 4 FLAGS (', '* ');
drips('UID FETCH box', 'From: x', "* 4 FETCH (UID 4 BODY[] {300}\r\n");
drips('APPEND box', 'TAG OK [APPENDUID 1 ');

# ---- in each gap ----

# At the line of that number the sub says what is sent in its place.
sub gap
{
	my ($name, $at, $sub, %o) = @_;

	push @cases, $h->bomb("line $at: $name", 'NOTHING', sub { 0 }, %o,
	    hooks => { out => sub {
		my ($c, $line) = @_;
		return $line if ++$c->{at} != $at;
		$c->note("here: $line");
		return $sub->($c, $line);
	    } });
}

sub say_it
{
	my ($c, $line) = @_;

	$c->{pending} .= "$line\r\n";
	return;
}

for my $at (1 .. $lines) {
	my $tag = 'A' . ($at + 3);
	my %bye = (status => [75], says =>
	    qr/^remote: localhost (?:ended|refuses) .*going away/m);
	my $bye = '* BYE going away';

	if ($at % 3 == 0) {
		gap("$bye, and it closes", $at, sub {
			say_it($_[0], $bye);
			$_[0]->flush;
			$_[0]->hang_up;
		}, %bye);
	} elsif ($at % 3 == 1) {
		gap("$bye, and it is silent", $at, sub {
			say_it($_[0], $bye);
			$_[0]->silence;
		}, %bye);
	} else {
		gap("$bye in place of it, and it goes on", $at, sub {
			return $bye;
		}, $at > 1 ? (status => [0, 3, 75]) : %bye);
	}
	# Ahead of the greeting they are greetings.
	next if $at == 1;
	my $odd = ('NO odd', 'BAD odd', 'PREAUTH odd', 'OK odd')[$at % 4];
	my $more = ('+ go on', '+', '+ ' . 'eHh4' x 20)[$at % 3];
	my $answer = ('Z9 OK unknown', 'Z9 NO unknown', "$tag OK early",
	    "$tag NO early", "$tag BAD early")[$at % 7 % 5];
	my @gaps = (
		["* $odd", [0], others => 1, say => "* $odd"],
		["a continuation, $more", [0, 3, 75], say => $more],
		["tagged, $answer", [0, 3, 75], say => $answer],
		['what was said, twice', [0, 3, 75], twice => 1],
		['left out', [0, $at < 8 ? 1 : (), 3, 75], out => 1],
	);
	# One of them at each line, with IMAPSYNC_CASES=all each.
	for my $gap (all_cases() ? @gaps : $gaps[$at % 5]) {
		my ($name, $status, %o) = @$gap;
		gap($name, $at, sub {
			my ($c, $line) = @_;
			return if $o{out};
			say_it($c, $o{twice} ? $line : $o{say});
			return $line;
		}, status => $status, others => $o{others});
	}
}

# ---- all answers at once, before anything was asked ----

push @cases, $h->bomb('all tags are answered with the greeting', 'GREETING',
    sub {
	my ($c) = @_;
	$c->{state} = 'n';
	$c->untagged("OK [CAPABILITY $c->{fake}{caps}] hi");
	$c->emit("A$_ OK early") for 1 .. 50;
	$c->flush;
	$c->silence;
});
push @cases, $h->bomb('a session from another day', 'GREETING', sub {
	my ($c) = @_;
	my ($status, $select) = ('(MESSAGES 0 UIDNEXT 9 UIDVALIDITY 1001 ' .
	    'HIGHESTMODSEQ 9)', "* 0 EXISTS\r\n* OK [UIDVALIDITY 1001] x\r\n" .
	    "* OK [UIDNEXT 9] x\r\n* OK [HIGHESTMODSEQ 9] x\r\n* VANISHED " .
	    "(EARLIER) 1:8\r\n");
	my $n = 1;
	my $all = "* OK [CAPABILITY $c->{fake}{caps}] hi\r\n" .
	    'A' . $n++ . " OK [CAPABILITY $c->{fake}{caps}] in\r\n" .
	    "* ENABLED QRESYNC\r\nA" . $n++ . " OK x\r\n" . join('', map {
	    "* LIST () \"/\" $_\r\n* STATUS $_ $status\r\n" }
	    qw(A INBOX box z)) . 'A' . $n++ . " OK x\r\n";
	$all .= $select . 'A' . $n++ . " OK x\r\n* ESEARCH (TAG \"A" .
	    $n . "\") UID\r\nA" . $n++ . " OK x\r\n" for 1 .. 20;
	$c->put($all);
	$c->silence;
});

# ---- the first line ----

# Nothing of it is a reason to say who we are.
sub greets
{
	my ($name, $octets, %o) = @_;

	push @cases, $h->bomb("greeting: $name", 'GREETING', sub {
		my ($c) = @_;
		$c->put($octets);
		$c->silence;
	}, status => [1, 75], judge => sub {
		my ($case, $r, $farm) = @_;
		return $farm->received($case, 'remote') =~ /LOGIN|AUTHENT/ ?
		    'the password was sent' : ();
	}, %o);
}

greets('BYE', "* BYE not today\r\n", says => qr/not today/);
greets('tagged', "A1 OK hello\r\n");
greets('no blank', "*OK hello\r\n");
greets('another word', "* OKAY hello\r\n");
greets('NUL', "* \0OK hello\r\n");
greets('a star', "*\r\n");
greets('a literal', "* {2}\r\nOK hello\r\n");
greets('zeros', "\0" x 5000);
greets('eight bits', "\xff\xfe\xfd" x 500 . "\r\n");
greets('TLS', "\x15\x03\x01\x00\x02\x02\x28");
greets('ssh', "SSH-2.0-OpenSSH_9.6\r\n");
greets('blank lines', "\r\n\r\n\r\n* OK hello\r\n");
greets('CR alone', "* OK hello\r");
greets('a continuation', "+ go on\r\n");
greets('7 kB of words', '* BYE ' . 'word ' x 1400 . "\r\n",
    says => qr/word word/);

# What is odd, but a greeting: then all is as always.
for my $case (['in small letters', "* ok hello\r\n"],
    ['no words', "* OK \r\n"], ['not even a blank', "* OK\r\n"],
    ['LF alone', "* OK hello\n"], ['7 kB', '* OK ' . 'word ' x 1400 . "\r\n"],
    ['twice', "* OK hello\r\n* OK hello\r\n"],
    ['an unknown code', "* OK [X-Y (a {b] hello\r\n"],
    ['in single octets', '* OK hello']) {
	my ($name, $octets) = @$case;
	push @cases, $h->bomb("greeting, odd: $name", 'GREETING', sub {
		my ($c) = @_;
		for my $octet ($octets =~ /\n/ ? $octets :
		    (split(//, $octets), "\r\n")) {
			$c->put($octet);
			sleep 0.01;
		}
		$c->{fake}{greeting} = '';
		$c->{hooks}{out} = sub {
			return if $_[1] =~ /^\*  \[CAPABILITY/;
			return $_[1];
		};
		$c->serve;
	}, others => 1, status => [0]);
}

$h->run(6, @cases);
done_testing;

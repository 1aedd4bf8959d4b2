#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Without end, without measure: what a server sends must cost neither memory (64
# MB in any process) nor the rest of the mail, and the run ends in time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Compress::Raw::Zlib;
use Time::HiRes qw(sleep time);
use Imapsync::Hostile;
use Imapsync::Mail qw(message);
use Imapsync::Sides;

plan skip_all => 'there is no /proc' unless -e '/proc/self/status';

use constant MB => 1_000_000;

my $h = Imapsync::Hostile->new;
my $long = 'x' x 65536;
my @cases;

sub bomb { push @cases, $h->bomb(@_, memory => 1) }
sub lie { push @cases, $h->lie(@_, memory => 1) }

# A thousand lines a piece, of their numbers.
sub lines
{
	my ($format) = @_;
	my $n = () = $format =~ /%d/g;

	return sub {
		my ($piece) = @_;
		return join '', map { sprintf $format, ($_) x $n }
		    $piece * 1000 + 1 .. $piece * 1000 + 1000;
	};
}

# ---- a response without an end ----

my $lost = qr/^remote: /m;

bomb('an endless line as greeting', 'GREETING', sub {
	$_[0]->put('* OK ');
	$_[0]->flood(80 * MB, $long);
	$_[0]->silence;
}, says => $lost, status => [1, 75]);
for my $where (drawn(2,
    'LOGIN', 'LIST', 'SELECT box', 'UID FETCH box', 'APPEND box')) {
	bomb("an endless line, $where", $where, sub {
		$_[0]->put('* OK ');
		$_[0]->flood(80 * MB, $long);
		$_[0]->silence;
	}, says => $lost, status => [3, 75]);
}
for my $case (drawn(2, ['LIST', '* LIST () "/" '], ['LIST', '* STATUS '],
    ['LOGIN', '* CAPABILITY '], ['SELECT box', '* OK [ALERT '],
    ['SELECT box', '* VANISHED (EARLIER) '],
    ['UID FETCH box', '* 4 FETCH (UID 4 FLAGS '],
    ['UID FETCH box', '* 4 FETCH (UID 4 BODY[HEADER.FIELDS (X)] '],
    ['UID SEARCH box', '* ESEARCH '])) {
	my ($where, $begin) = @$case;
	bomb("an endless literal, $where, $begin", $where, sub {
		$_[0]->put("$begin\{4000000000}\r\n");
		$_[0]->flood(80 * MB, $long);
		$_[0]->silence;
	}, says => $lost, status => [3, 75]);
}
for my $size (drawn(2, '18446744073709551616', '18446744073709551615',
    '9223372036854775808', '4294967296', '9' x 60)) {
	bomb("a body of $size octets", 'UID FETCH box', sub {
		$_[0]->put("* 4 FETCH (UID 4 BODY[] {$size}\r\nx");
		$_[0]->silence;
	}, says => $lost, status => [3, 75]);
	bomb("a name of $size octets", 'LIST', sub {
		$_[0]->put("* LIST () \"/\" {$size}\r\nx");
		$_[0]->silence;
	}, says => $lost, status => [75]);
}

# ---- nesting, junk ----

for my $case (drawn(2, ['LIST', '* LIST ' . '(' x 30000], ['LIST', '* LIST (' .
    '(' x 15000 . ')' x 15000 . ') "/" x'], ['UID FETCH box',
    '* 1 FETCH (UID 1 BODYSTRUCTURE ' . '(' x 15000 . 'NIL' . ')' x 15000 .
    ')'], ['UID FETCH box', '* 1 FETCH (UID 1 BODYSTRUCTURE ' . '(' x 30000],
    ['SELECT box', '* OK [X ' . '(' x 30000 . ']'],
    ['UID SEARCH box', '* ESEARCH ' . '(' x 30000])) {
	my ($where, $line) = @$case;
	bomb('nested, ' . substr($line, 0, 34) . ", $where", $where, sub {
		$_[0]->flush;
		$_[0]->put("$line\r\n") for 1 .. 100;
		return 0;
	});
}
bomb('BODYSTRUCTURE and other junk about each message', 'UID FETCH box', sub {
	$_[0]->flood(8 * MB, lines('* %d FETCH (UID %d ENVELOPE ("x" NIL ' .
	    '(("a" NIL "b" "c"))) BODYSTRUCTURE (("text" "plain" ("charset" ' .
	    '"x") NIL NIL "7bit" 1 1)("a" "b" NIL NIL NIL "7bit" 2) "mixed")' .
	    ")\r\n"));
	return 0;
}, others => 1);

# ---- the list of mailboxes ----

# Until there is a bound, and advice that says so.
my $status = '(MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ 4)';
for my $case (drawn(2, ['LIST without STATUS', "* LIST () \"/\" \"n%d\"\r\n"],
    ['STATUS without LIST', "* STATUS \"n%d\" $status\r\n"],
    ['\NonExistent', "* LIST (\\NonExistent) \"/\" \"n%d\"\r\n"],
    ['both', "* LIST () \"/\" \"n%d\"\r\n* STATUS \"n%d\" $status\r\n"],
    ['long names', '* LIST () "/" "' . 'x' x 900 . "%d\"\r\n"])) {
	my ($what, $format) = @$case;
	bomb("mailboxes without end: $what", 'LIST', sub {
		$_[0]->flood(24 * MB, lines($format));
		$_[0]->silence;
	}, says => qr/^remote: .*(?:names|mailboxes)/m,
	    status => [1, 75]);
}
for my $case (drawn(2,
    ['LIST', ''], ['LIST and STATUS', "* STATUS \"n%d\" $status\r\n"],
    ['LIST (\NonExistent)', '\NonExistent'])) {
	my ($what, $more) = @$case;
	my $attrs = $more =~ /^\\/ ? $more : '';
	my $format = "* LIST ($attrs) \"/\" \"n%d\"\r\n" .
	    ($attrs eq '' ? $more : '');
	bomb("200,000 mailboxes: $what", 'LIST', sub {
		$_[0]->flush;
		my $piece = lines($format);
		$_[0]->put($piece->($_)) for 0 .. 199;
		return 0;
	}, says => qr/^remote: .*(?:names|mailboxes)/m,
	    status => [1, 75]);
}
push @cases, $h->bomb('one mailbox without end', 'LIST', sub {
	my ($c) = @_;
	my $end = time + 10;
	while (time < $end) {
		$c->flood(1, "* LIST () \"/\" \"A\"\r\n");
		sleep 0.02;
	}
	$c->note('it goes on');
	$c->silence;
}, judge => sub {
	my ($case, $r, $farm) = @_;
	return grep { /goes on/ } $farm->notes($case, 'remote');
});
bomb('one name again and again', 'LIST', sub {
	$_[0]->flood(8 * MB, "* LIST () \"/\" \"again\"\r\n" x 1000);
	return 0;
});
for my $n (drawn(2, 1023, 1024, 100_000, 3 * MB)) {
	my $name = 'n' x $n;
	bomb("names of $n octets", 'LIST', sub {
		$_[0]->flush;
		for (1 .. 20) {
			$_[0]->put("* LIST () \"/\" \"$name$_\"\r\n* STATUS " .
			    "\"$name$_\" $status\r\n");
			$_[0]->put("* LIST () \"/\" {" . length("$name$_") .
			    "}\r\n$name$_\r\n");
		}
		return 0;
	}, $n < 1 * MB ? (others => 1) : ());
}
for my $n (256, 100_000) {
	my $id = 'i' x $n;
	lie("MAILBOXID of $n octets", sub { $_[1]{mailboxid} = $id },
	    remote => { caps => '+OBJECTID' });
}
bomb('a delimiter a mailbox', 'LIST', sub {
	$_[0]->flood(1 * MB, sub { join '', map { sprintf
	    "* LIST () \"%s\" \"m%d\"\r\n", chr(33 + $_ % 90) =~
	    s/([\\"])/\\$1/r, $_ } $_[0] * 100 .. $_[0] * 100 + 99 });
	return 0;
});

# ---- what SELECT tells ----

bomb('changes up to a false UIDNEXT', 'SELECT box', sub {
	$_[0]->flood(24 * MB,
	    lines("* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (%d))\r\n"));
	return 0;
}, others => 1, hooks => { select => sub {
	my ($c, $box, $info) = @_;
	$c->{opening} = $box;
	@$info{qw(uidnext exists)} = (4294967295, 4294967295) if $box eq 'box';
	return;
} });
bomb('changes of more than there are', 'SELECT box', sub {
	$_[0]->flood(24 * MB,
	    lines("* %d FETCH (UID %d FLAGS (\\Seen) MODSEQ (%d))\r\n"));
	return 0;
}, others => 1);
bomb('changes in descending order', 'SELECT box', sub {
	$_[0]->flood(6 * MB, sub { join '', map { sprintf
	    "* 1 FETCH (UID %d FLAGS (\\Seen) MODSEQ (9))\r\n",
	    4_000_000 - 2 * $_ } $_[0] * 1000 .. $_[0] * 1000 + 999 });
	return 0;
}, others => 1);
bomb('VANISHED (EARLIER) 1,3,5 ...', 'SELECT box', sub {
	$_[0]->flood(8 * MB, sub { '* VANISHED (EARLIER) ' . join(',', map {
	    2 * $_ + 1 } $_[0] * 700 .. $_[0] * 700 + 699) . "\r\n" });
	return 0;
}, others => 1);
bomb('the same, downwards', 'SELECT box', sub {
	$_[0]->flood(4 * MB, sub { '* VANISHED (EARLIER) ' . join(',', map {
	    4_000_000_001 - 2 * $_ } $_[0] * 700 .. $_[0] * 700 + 699) .
	    "\r\n" });
	return 0;
}, others => 1);
bomb('the same, of known ones', 'SELECT box', sub {
	$_[0]->flood(4 * MB, "* VANISHED (EARLIER) 1,3\r\n" x 1000);
	return 0;
}, others => 1, must => [2, 3, 5]);
for my $code (0, 1) {
	my ($open, $close) = $code ? ('OK [PERMANENTFLAGS (', ')] x') :
	    ('FLAGS (', ')');
	bomb("$open: a million keywords", 'SELECT box', sub {
		my ($c) = @_;
		$c->put("* $open");
		$c->put(join ' ', map { "k$_" } $_ * 1000 .. $_ * 1000 + 999)
		    for 0 .. 999;
		$c->put("$close\r\n");
		return 0;
	}, says => qr/remote/, status => [0, 3, 75]);
	bomb("$open: a million keywords, in lines", 'SELECT box', sub {
		my ($c) = @_;
		$c->put("* $open" . join(' ', map { "k$_" }
		    $_ * 1000 .. $_ * 1000 + 999) . "$close\r\n") for 0 .. 999;
		return 0;
	}, others => 1);
}
for my $case (drawn(2, ['EXISTS 4294967295', exists => 4294967295],
    ['EXISTS 0', exists => 0], ['UIDNEXT 0', uidnext => 0],
    ['UIDNEXT 1', uidnext => 1], ['UIDNEXT 4294967295', uidnext => 4294967295],
    ['UIDNEXT 4294967296', uidnext => 4294967296],
    ['HIGHESTMODSEQ 2^63 - 1', modseq => '9223372036854775807'],
    ['HIGHESTMODSEQ 2^63', modseq => '9223372036854775808'],
    ['HIGHESTMODSEQ 2^64 - 1', modseq => '18446744073709551615'],
    ['HIGHESTMODSEQ 2^64', modseq => '18446744073709551616'],
    ['UIDVALIDITY 4294967296', uidvalidity => '4294967296'])) {
	my ($what, $key, $value) = @$case;
	lie("SELECT: $what", sub { $_[1]{$key} = $value });
	push @cases, $h->bomb("STATUS: $what", 'NOTHING', sub { 0 },
	    others => 1, memory => 1, hooks => { status => sub {
		my ($c, $box, $info) = @_;
		$key = 'highestmodseq' if $key eq 'modseq';
		$key = 'messages' if $key eq 'exists';
		$info->{$key} = $value if $box eq 'box';
		return;
	    } });
}

# ---- sets ----

for my $set (drawn(2,
    '4:4294967295', '1:4294967295', '4294967295:1', '*', '1:*',
    '0', '4,4,4,4', '4:3000000000,1:4294967295')) {
	bomb("ESEARCH ALL $set", 'UID SEARCH box', sub {
		my ($c, $tag) = @_;
		$c->untagged("ESEARCH (TAG \"$tag\") UID ALL $set COUNT 1");
		$c->tagged($tag, 'OK', 'done');
		return 1;
	}, others => 1, each => 1);
}
bomb('ESEARCH ALL 1,3,5 ...', 'UID SEARCH box', sub {
	my ($c, $tag) = @_;
	$c->flood(8 * MB, sub { "* ESEARCH (TAG \"$tag\") UID ALL " .
	    join(',', map { 2 * $_ + 1 } $_[0] * 700 .. $_[0] * 700 + 699) .
	    "\r\n" });
	$c->tagged($tag, 'OK', 'done');
	return 1;
}, others => 1);
# EXISTS says that there are four.
bomb('ESEARCH tells of none', 'UID SEARCH box', sub {
	my ($c, $tag) = @_;
	$c->untagged("ESEARCH (TAG \"$tag\") UID");
	$c->tagged($tag, 'OK', 'done');
	return 1;
}, others => 1, each => 1);
bomb('ESEARCH COUNT 4294967295', 'UID SEARCH box', sub {
	my ($c, $tag) = @_;
	$c->untagged("ESEARCH (TAG \"$tag\") UID COUNT 4294967295");
	$c->tagged($tag, 'OK', 'done');
	return 1;
}, others => 1, each => 1);
for my $set (drawn(2,
    '1:4294967295', '5:4294967295', '4294967295', '0', '5,7,9',
    join(',', map { 2 * $_ } 1 .. 5000), '5:5', '6:5')) {
	my $what = length $set < 40 ? $set : '2,4,6 ...';
	bomb("APPENDUID $what", 'APPEND box', sub {
		my ($c, $tag, $name, @args) = @_;
		my $box = $c->store->box('box');
		$c->store->deliver('box', ${ (grep { ref eq 'SCALAR' }
		    @args)[0] });
		$c->tagged($tag, 'OK', "[APPENDUID $box->{uidvalidity} " .
		    "$set] done");
		return 1;
	}, others => 1);
}

# ---- words ----

bomb('capabilities without end, greeting', 'GREETING', sub {
	my ($c) = @_;
	$c->put('* OK [CAPABILITY IMAP4rev1');
	$c->flood(40 * MB, sub { join '', map { " X$_[0]Y$_" } 1 .. 1000 });
	$c->silence;
}, says => $lost);
bomb('capabilities without end, in lines', 'LOGIN', sub {
	my ($c) = @_;
	$c->flood(16 * MB, sub { '* CAPABILITY IMAP4rev1' . join('', map {
	    " X$_[0]Y$_" } 1 .. 1000) . "\r\n" });
	return 0;
}, others => 1);
bomb('mechanisms without end', 'LOGIN', sub {
	my ($c) = @_;
	$c->flood(8 * MB, sub { '* CAPABILITY IMAP4rev1' . join('', map {
	    " AUTH=X$_[0]Y$_" } 1 .. 1000) . "\r\n" });
	return 0;
}, others => 1);
for my $code (drawn(2, 'ALERT', 'UNAVAILABLE', 'X-OTHER')) {
	bomb("[$code] without end", 'UID FETCH box', sub {
		my ($c) = @_;
		$c->flood(8 * MB, lines("* OK [$code] number %d of many\r\n"));
		return 0;
	}, others => 1);
}
bomb('[ALERT] of 60 kB each', 'LIST', sub {
	my ($c) = @_;
	$c->flood(8 * MB, sub { "* OK [ALERT] $_[0]" . 'a' x 60000 . "\r\n" });
	return 0;
}, others => 1);
bomb('control characters in words', 'LIST', sub {
	my ($c) = @_;
	$c->put("* OK [ALERT] \e]0;x\a\e[2J\x{9b}31m$_\x00\r\n") for 1 .. 30;
	return 0;
}, others => 1, judge => sub {
	return $_[1]{err} =~ /[\x00-\x08\x0b-\x1f\x7f-\xff]/ ?
	    'octets of the server reach the terminal' : ();
});
{
	my $many = $h->changed('local', sub {
		$_[0]->deliver('box', message($_, size => 300),
		    date => ' 1-Feb-2024 10:00:00 +0000') for 10 .. 309;
	});
	push @cases, $h->bomb('refusals of 60 kB each', 'APPEND box', sub {
		my ($c, $tag) = @_;
		$c->tagged($tag, 'NO', 'because ' . 'no ' x 20000);
		return 1;
	}, each => 1, others => 1, status => [3], memory => 1,
	    local => { store => $many }, remote => { caps => '-MULTIAPPEND' });
}
bomb('a refusal of the login without end', 'LOGIN', sub {
	my ($c, $tag) = @_;
	$c->put("$tag NO ");
	$c->flood(80 * MB, $long);
	$c->silence;
}, says => $lost);

# ---- unasked, in every state, and then what was asked for ----

for my $line (drawn(2, '* OK %d', '* NO %d', '* BAD %d', '* PREAUTH %d',
    '* CAPABILITY IMAP4rev1 X%d', '* LIST () "/" "n%d"', '* LSUB () "/" "n%d"',
    "* STATUS \"n%d\" $status", '* FLAGS (k%d)', '* SEARCH %d',
    '* ESEARCH (TAG "x") UID ALL %d', '* ESEARCH UID ALL %d', '* %d EXISTS',
    '* %d RECENT', '* %d EXPUNGE', '* %d FETCH (FLAGS (\Seen k%d))',
    '* %d FETCH (UID %d FLAGS (\Seen) MODSEQ (%d))', '* VANISHED %d',
    '* VANISHED (EARLIER) %d', '* ENABLED X%d', '* ID ("x" "%d")',
    '* NAMESPACE NIL NIL NIL', '* XYZZY %d', '* QUOTA "" (STORAGE %d 7)',
    '* METADATA "n%d" (/x)', '* OK [UIDVALIDITY %d] x',
    '* OK [UIDNEXT %d] x', '* OK [HIGHESTMODSEQ %d] x',
    '* OK [CLOSED] x', '* OK [COPYUID %d 1:%d 1:%d] x',
    '* OK [APPENDUID %d %d] x', '* OK [NOTIFICATIONOVERFLOW] x')) {
	my $piece = lines("$line\r\n");
	my $burst = sub { $_[0]->flood(150_000, $piece); return 0 };
	bomb("unasked everywhere: $line", 'CAPABILITY', $burst, each => 1,
	    hooks => { map { $_ => $burst } 'LOGIN', 'LIST', 'UID SEARCH',
	    'UID FETCH', 'SELECT', 'APPEND', 'EXAMINE', 'LOGOUT' },
	    must => $line =~ /VANISHED|EXPUNGE/ ? [5] : [1 .. 3, 5]);
}

# ---- unasked, and no answer: "timeout" is not renewed ----

for my $where (drawn(2,
    'LOGIN', 'LIST', 'SELECT box', 'UID FETCH box', 'UID SEARCH box',
    'APPEND box', 'LOGOUT')) {
	bomb("unasked without end, $where", $where, sub {
		my ($c) = @_;
		my $all = "* OK still here\r\n* 3 EXISTS\r\n* XYZZY\r\n" .
		    "* NO no\r\n* CAPABILITY IMAP4rev1\r\n" .
		    "* 1 FETCH (FLAGS ())\r\n";
		my $end = time + 10;
		while (time < $end) {
			$c->flood(1, $all);
			sleep 0.02;
		}
		$c->note('it goes on');
		$c->silence;
	}, judge => sub {
		my ($case, $r, $farm) = @_;
		return grep({ /goes on/ } $farm->notes($case, 'remote')) ?
		    'the timeout was renewed' : ();
	});
}

# ---- COMPRESS ----

# Zeros, a thousand to one: the same piece of the stream again and again.
sub deflated
{
	my ($c, $mb, $plain) = @_;
	my ($z) = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15,
	    -AppendOutput => 1, -Level => 9);
	my $times = int(MB / length $plain) + 1;
	my $out = '';

	$z->deflate($plain x $times, $out);
	$z->flush($out, Z_SYNC_FLUSH);
	$c->put($out);
	for (2 .. $mb) {
		$out = '';
		$z->deflate($plain x $times, $out);
		$z->flush($out, Z_SYNC_FLUSH);
		$c->put($out);
	}
}

for my $case (drawn(2, ['zeros', "\0"], ['ends of lines', "\r\n"],
    ['a line', 'x'], ['lines', "* OK x\r\n"],
    ['mailboxes', "* LIST () \"/\" \"again\"\r\n"],
    ['changes', "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"])) {
	my ($what, $plain) = @$case;
	bomb("COMPRESS: $what", 'COMPRESS', sub {
		my ($c, $tag) = @_;
		$c->tagged($tag, 'OK', 'begin');
		$c->flush;
		deflated($c, 200, $plain);
		$c->silence;
	}, remote => { caps => '+COMPRESS=DEFLATE' }, says => $lost,
	    status => [75]);
}
bomb('COMPRESS: not deflated', 'COMPRESS', sub {
	my ($c, $tag) = @_;
	$c->tagged($tag, 'OK', 'begin');
	$c->flood(1 * MB, "\xff" x 1000);
	$c->silence;
}, remote => { caps => '+COMPRESS=DEFLATE' }, says => $lost, status => [75]);
bomb('COMPRESS: ahead of the login', 'LOGIN', sub {
	my ($c, $tag) = @_;
	my ($n) = $tag =~ /(\d+)/;
	$c->put("A$_ OK done\r\n") for reverse $n + 1 .. $n + 4;
	deflated($c, 200, 'x');
	$c->silence;
}, remote => { caps => '+COMPRESS=DEFLATE' }, says => $lost);

# ---- of one mailbox, while all are executed ----

push @cases, $h->bomb('no UIDVALIDITY for the copying', 'NOTHING', sub { 0 },
    memory => 1, status => [3], hooks => {
    select => sub { $_[0]{opening} = $_[1]; return }, out => sub {
	my ($c, $line) = @_;
	return $line if $line !~ /UIDVALIDITY \d+\]/ ||
	    $c->{opening} ne 'z' || ++$c->{told} < 2;
	return;
    } });

push @cases, $h->bomb('the OK to a FETCH is left out', 'NOTHING', sub { 0 },
    memory => 1,
    hooks => { out => sub {
	my ($c, $line) = @_;
	return ($c->{name} // '') eq 'UID FETCH' && $c->{box_name} eq 'box' &&
	    $line =~ /^A\d+ OK / ? undef : $line;
    } });

# ---- keywords over all messages ----

{
	my $full = $h->changed('remote', sub {
		my ($st) = @_;
		for my $n (10 .. 1009) {
			$st->deliver('box', message($n, size => 300), flags =>
			    [map { "k$n-$_" } 1 .. 100],
			    date => ' 1-Feb-2024 10:00:00 +0000');
		}
	});
	push @cases, $h->bomb('100,000 keywords over 1,000 messages', 'NOTHING',
	    sub { 0 }, others => 1, memory => 1, remote => { store => $full },
	    judge => sub {
		my ($case, $r, $farm) = @_;
		my $box = $farm->store($case, 'local')->box('box');
		my %keywords = map { $_ => 1 } map { @{ $_->{flags} } }
		    @{ $box->{messages} };
		my $n = @{ $box->{messages} };
		return (keys %keywords > 200 ? scalar(keys %keywords) .
		    ' keywords were made' : (), $n < 1004 ?
		    "$n messages on local" : ());
	});
}

# ---- watching ----

# Until there was time to take in all that the server says.
sub watch
{
	my ($name, $args, $hooks, %o) = @_;
	my $caps = $o{caps} // '';

	push @cases, $h->bomb($name, 'NOTHING', sub { 0 }, memory => 1,
	    others => 1, args => $args, hooks => $hooks, ended => 1,
	    remote => { caps => $caps }, end_after => 5);
}
my $idle = sub {
	my ($format, $mb) = @_;
	return { IDLE => sub {
		my ($c) = @_;
		$c->{pending} .= "+ idling\r\n";
		$c->flood($mb * MB, lines($format));
		return 0 if $c->{told}++ > 2;
		my $line = $c->line // return 1;
		return 1;
	} };
};
watch('[ALERT] without end in IDLE', ['--watch=3600'],
    $idle->("* OK [ALERT] number %d\r\n", 8));
watch('EXISTS without end in IDLE', ['--watch=3600'],
    $idle->("* %d EXISTS\r\n", 4));
watch('EXPUNGE without end in IDLE', ['--watch=3600'],
    $idle->("* 1 EXPUNGE\r\n", 2));
watch('names without end in IDLE', ['--watch=3600'],
    $idle->("* LIST () \"/\" \"n%d\"\r\n* STATUS \"n%d\" $status\r\n", 16));
for my $format (drawn(2,
    "* STATUS \"n%d\" $status\r\n", "* STATUS \"box\" $status\r\n",
    "* LIST () \"/\" \"n%d\"\r\n", "* LIST (\\NonExistent) \"/\" \"n%d\"\r\n",
    "* LIST () \"/\" \"n%d\" (\"OLDNAME\" (\"box\"))\r\n",
    "* LIST () \"/\" \"box\" (\"OLDNAME\" (\"A\"))\r\n",
    "* OK [NOTIFICATIONOVERFLOW] x\r\n")) {
	watch('NOTIFY: ' . ($format =~ s/\r\n//r), ['--notify'],
	    { NOTIFY => sub {
		my ($c, $tag) = @_;
		$c->tagged($tag, 'OK', 'watching');
		$c->flood(8 * MB, lines($format));
		return 1;
	    } }, caps => '+NOTIFY');
}

$h->run(2, @cases);
done_testing;

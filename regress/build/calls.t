#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Which file calls which, as nm(1) sees it in the objects: what one leaves
# undefined and another of its directory defines.  Calls go down only, so that
# a file can be understood, tested and replaced with what is below it.  A table
# of functions that is handed down is no call.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Proc qw(which run_command);

my $top = "$FindBin::Bin/../..";
my $nm = which('nm') // plan(skip_all => 'there is no nm');

# ---- the layers: from the bottom, files of one layer don't know each other ----

my %layers = (
	'imapsync-net' => [
		[qw(lex key b64 socks level)],
		[qw(fetch pin scram)],
		[qw(parse tlsconf)],
		[qw(stream)],
		[qw(sasl worker)],
		[qw(once handle)],
		[qw(request lost)],
		[qw(cmdq)],
		[qw(bridge select stats)],
		[qw(qresync condstore plain)],
		[qw(strategy)],
		[qw(copysend copyrecv list)],
		[qw(mailbox)],
		[qw(expunge ops watch)],
		[qw(session)],
		[qw(setup)],
		[qw(loop)],
		[qw(main)],
	],
	'imapsync/engine' => [
		[qw(end map mbox)],
		[qw(names)],
		[qw(ask plan which)],
		[qw(ledger)],
		[qw(progress)],
		[qw(refusal settle)],
		[qw(events json look)],
		[qw(loop)],
		[qw(anew list report rules)],
		[qw(moved)],
		[qw(discover finish guard session subscribe)],
		[qw(compare copy import pair)],
		[qw(move)],
		[qw(recover rename repair verify watch)],
		[qw(learn)],
		[qw(commands execute follow gone probe status)],
		[qw(check)],
		[qw(engine)],
	],
);

# Circles that may be, "dir: a b": none.
my %allowed = ();

# What the grammar may call but itself: no input, no output, no memory of its
# own.  The rest is what compilers add.
my @pure = qw(lex parse fetch key);
my $pure = qr/^(?:
	(?:lex|parse|fetch|key|buf|flags|uidset)_\w+ | SHA256\w+ |
	_{0,2}(?:mem|str)\w+ | _{0,2}v?snprintf\w* | (?:to|is)(?:upper|lower|
	digit|alpha) | __ctype_\w+ | _ctype_ | _(?:tolower|toupper)_tab_ |
	__stack_(?:chk|smash)_\w+ | __(?:asan|ubsan|sanitizer|sanitize|sancov)_\w+ |
	__(?:g|l)cov_\w+ | _GLOBAL_OFFSET_TABLE_ | __retguard_\w+
)$/x;

# ---- objects ----

# What objects define and what they need, each { file => { symbol => 1 } }.
sub symbols
{
	my @objects = @_;
	my (%defined, %needed);

	for (split /\n/, run_command([$nm, '-A', '-P', @objects])) {
		my ($file, $name, $type) = m{([^/]+)\.o: (\S+) (\w)} or next;
		if ($type eq 'U') {
			$needed{$file}{$name} = 1;
		} elsif ($type =~ /[A-Z]/) {
			$defined{$file}{$name} = 1;
		}
	}
	return (\%defined, \%needed);
}

# A directory's objects, but for those whose source is gone.
sub objects
{
	my ($dir) = @_;

	return grep { -e s/\.o$/.c/r } glob "$top/$dir/*.o";
}

# { file => { file that it calls => [symbols] } } for the objects of a directory.
sub calls
{
	my ($dir) = @_;
	my ($defined, $needed) = symbols(objects($dir));
	my (%home, %calls);

	for my $file (keys %$defined) {
		$home{$_} = $file for keys %{$defined->{$file}};
	}
	for my $file (keys %$needed) {
		$calls{$file} = {};
		for my $symbol (sort keys %{$needed->{$file}}) {
			my $to = $home{$symbol} // next;
			push @{$calls{$file}{$to}}, $symbol if $to ne $file;
		}
	}
	return \%calls;
}

# The files from which a file can be reached, and which it reaches.
sub reached
{
	my ($calls, $from) = @_;
	my (%seen, @todo);

	@todo = keys %{$calls->{$from}};
	while (defined(my $file = shift @todo)) {
		push @todo, keys %{$calls->{$file}} unless $seen{$file}++;
	}
	return \%seen;
}

# Each circle as a text: the files that all reach each other.
sub circles
{
	my ($calls) = @_;
	my %reach = map { $_ => reached($calls, $_) } keys %$calls;
	my %circle;

	for my $file (grep { $reach{$_}{$_} } keys %$calls) {
		my @all = grep { $reach{$file}{$_} && $reach{$_}{$file} }
		    keys %$calls;
		$circle{join ' ', sort @all} = 1;
	}
	return sort keys %circle;
}

# "a -> b: symbols" for each call that does not go to a lower layer.
sub upwards
{
	my ($calls, $layers) = @_;
	my (%level, @up);

	for my $i (0 .. $#$layers) {
		$level{$_} = $i for @{$layers->[$i]};
	}
	for my $from (sort keys %$calls) {
		push @up, "$from: in no layer" unless defined $level{$from};
		for my $to (sort keys %{$calls->{$from}}) {
			next if ($level{$to} // -1) < ($level{$from} // -1);
			push @up, "$from -> $to: @{$calls->{$from}{$to}}";
		}
	}
	return @up;
}

# ---- tests ----

# The search itself, on a circle that is one.
is_deeply([circles({ a => { b => [] }, b => { c => [] }, c => { a => [] },
    d => { a => [] } })], ['a b c'], 'a circle of three is found');
is_deeply([upwards({ a => { b => ['f'] }, b => {} }, [['a'], ['b']])],
    ['a -> b: f'], 'a call that goes up is found');

for my $dir (sort keys %layers) {
	my $calls = calls($dir);

	ok(keys %$calls > 1, "$dir: there are objects");
	my @circles = circles($calls);
	note("$dir: circle: $_") for @circles;
	is(join("\n", grep { !$allowed{"$dir: $_"} } @circles), '',
	    "$dir: no circles but the allowed ones");
	is(join("\n", upwards($calls, $layers{$dir})), '',
	    "$dir: calls go down");
}

# Unit tests take what they use from one archive of all.
my %definitions;
for my $dir (qw(imapsync imapsync/engine imapsync-net imapsync-store)) {
	my ($defined) = symbols(grep { !m{/main\.o$} } objects($dir));
	push @{$definitions{$_}}, $dir for map { keys %$_ } values %$defined;
}
is(join(' ', grep { @{$definitions{$_}} > 1 } sort keys %definitions), '',
    'no name is defined in two programs');

my (undef, $needed) = symbols(map { "$top/imapsync-net/$_.o" } @pure);
is(join(' ', grep { !/$pure/ } sort keys %{$needed->{$_}}), '',
    "$_: calls nothing that does input or output") for @pure;

# Network workers and the engine have "stdio" alone where pledge(2) locks them, and
# a call that is no part of that ends them.  What is called ahead of the lock, or
# on other systems only, is named with its file.
my $pledged = qr/^(?:
	(?:set|get)sockopt | get(?:sock|peer)name | socket | connect | bind |
	listen | accept4? | (?:f?open|openat|creat|[lf]?stat(?:at|v?fs)?|
	truncate) | access | faccessat | f?chmod(?:at)? | [lf]?chown(?:at)? |
	f?chdir | chroot | mkdir(?:at)? | rmdir | un?link(?:at)? | rename(?:at)? |
	(?:sym|read)link(?:at)? | mk(?:fifo|nod|[ds]temp) | (?:open|fdopen)dir |
	flock | ioctl | tc[sg]et\w+ | tty\w+ | kill(?:pg)? | v?fork | exec[lv]\w* |
	posix_spawn\w* | system | popen | set(?:sid|pgid|uid|gid|groups|res\w+|
	priority|rlimit\w*|hostname) | nice | getpw\w+ | getgr\w+ |
	get(?:addr|name)info | gethost\w+ | sysctl\w* | mlock\w* | sem\w+ |
	shm\w+ | settimeofday | clock_settime | adjtime | mount
)$/x;
my %before = ('common/notify' => 'connect socket',	# the supervisor
    'common/sandbox-linux' => 'open setrlimit setsockopt');
for my $dir (qw(common imapsync/engine imapsync-net)) {
	my (undef, $wants) = symbols(objects($dir));
	my @bad;

	for my $file (sort keys %$wants) {
		my %ok = map { $_ => 1 } split ' ',
		    $before{"$dir/$file"} // '';
		push @bad, map { "$file: $_" } grep { /$pledged/ && !$ok{$_} }
		    map { s/64$//r } sort keys %{$wants->{$file}};
	}
	ok(keys %$wants > 1, "$dir: there are objects");
	is(join("\n", @bad), '', "$dir: calls what \"stdio\" allows");
}

# Tables of pointers are written once, by the loader: in .data.rel.ro, which
# only nm's longer form tells from .data.
SKIP: {
	my @lines = split /\n/, eval { run_command([$nm, '-A', '-f', 'sysv',
	    map { "$top/imapsync-net/$_.o" } @pure]) } // '';
	skip('this nm does not tell sections', 1)
	    unless grep { /\|\.text/ } @lines;
	my @written = grep { /\|\s*[bBdDsSgGC]\s*\|/ && !/\|\.data\.rel\.ro/ }
	    grep { !/__(?:asan|ubsan|odr_asan|gcov|llvm)/ } @lines;
	is(join("\n", @written), '', 'the grammar has no variables');
}

done_testing;

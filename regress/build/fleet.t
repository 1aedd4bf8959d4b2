#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# etc/fleet: configurations from a table that nobody vouches for, runs of them,
# the report, and to whom an account belongs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Proc qw(tmpdir spew slurp);

my $top = "$FindBin::Bin/../..";
my $fleet = "$top/etc/fleet";
my $dir = tmpdir();
my $n = 0;

# A tool: [status, what it said].
sub tool
{
	my ($name, @args) = @_;
	my $pid = open(my $fh, '-|') // die "fork: $!\n";

	if ($pid == 0) {
		open(STDERR, '>&', \*STDOUT) or die;
		exec "$fleet/$name", @args or die "$name: $!\n";
	}
	my $out = do { local $/; <$fh> } // '';
	close $fh;
	return [$? >> 8, $out];
}

sub generate
{
	my ($csv, @args) = @_;
	my $file = spew("$dir/table" . $n++ . '.csv', $csv, 0600);

	return tool('generate', @args, $file);
}

sub files { return join ' ', map { s|.*/||r } sort glob "$_[0]/*" }
sub mode { return sprintf '%o', (stat $_[0])[2] & 07777 }

spew("$dir/common", "# of all\nbusy-wait = 1s\n\n[local]\ntype = imap\n" .
    "host = here.example\nusername = boss\npassword-command = x \$A\n" .
    "[remote]\nport = 993\nhost = there.example ; a comment\n");

subtest 'configurations' => sub {
	my $out = "$dir/conf";
	my $csv = "user,remote.host,name\r\njoe\@a.example,imap.a.example,\r\n" .
	    "\"a#b;\"\"c ;d\",,j2\r\n";
	my $r = generate($csv, '-c', "$dir/common", '-o', $out, '-l',
	    "$dir/list", '-m', 'remote=*m');

	is_deeply($r, [0, "2 written, 0 unchanged\n"], 'written');
	is(mode($out), '700', 'the directory is nobody else\'s');
	is(files($out), 'j2 joe@a.example', 'a file an account');
	is(mode("$out/j2"), '600', 'nor are the files');
	is(slurp("$dir/list"), "j2\njoe\@a.example\n", 'a list of them');
	my $head = "busy-wait = 1s\ndatabase = %s.db\n\n[local]\n" .
	    "type = imap\nhost = here.example\nusername = boss\n" .
	    "password-command = x \$A\nauthzid = %s\n\n[remote]\n" .
	    "port = 993\n";
	is(slurp("$out/joe\@a.example"), sprintf($head, ('joe@a.example') x 2) .
	    "host = imap.a.example\nusername = joe\@a.example*m\n",
	    'what the table has takes precedence');
	is(slurp("$out/j2"), sprintf($head, 'j2', 'a#b;"c ;d') .
	    "host = there.example ; a comment\nusername = a#b;\"c ;d*m\n",
	    'there are no quotes');
	is_deeply(generate($csv, '-c', "$dir/common", '-o', $out, '-m',
	    'remote=*m'), [0, "0 written, 2 unchanged\n"], 'once more');

	my $other = "name,user\nj2,x\nnew,y\n";
	$r = generate($other, '-c', "$dir/common", '-o', $out);
	is($r->[0], 1, 'another one is not replaced');
	like($r->[1], qr/:2: \S*j2: is there and differs/, 'which is said');
	like($r->[1], qr/^1 written, .*, 1 there that are not in the table$/m,
	    'the others are written, and what is left over is told');
	is(generate($other, '-f', '-c', "$dir/common", '-o', $out)->[0], 0,
	    'with -f it is');
	like(slurp("$out/j2"), qr/^authzid = x$/m, 'replaced');
	spew("$dir/precious", "keep\n");
	symlink "$dir/precious", "$out/link";
	is(generate("user\nlink\n", '-c', "$dir/common", '-o', $out)->[0], 1,
	    'a link is not followed');
	is(slurp("$dir/precious"), "keep\n", 'what it leads to stays');
	chmod 0777, $out;
	like(generate("user\nz\n", '-c', "$dir/common", '-o', $out)->[1],
	    qr/nobody else may write/, 'nor a directory that others write to');
	chmod 0700, $out;
};

subtest 'a table that nobody vouches for' => sub {
	my $out = "$dir/none";
	my @args = ('-c', "$dir/common", '-o', $out);

	for (['../x', qr/name may only/], ['.x', qr/name may only/],
	    ['a/b', qr/name may only/], ['/etc/x', qr/name may only/],
	    ["x\xc3\xa9", qr/name may only/], ['-x', qr/name may only/],
	    ['x' x 201, qr/more than 200/], ["\"x\n[remote]\"", qr/may only/],
	    ['x$(id)', qr/name may only/]) {
		my ($name, $why) = @$_;
		my $r = generate("name,user\n$name,u\n", @args);
		is($r->[0], 1, 'refused');
		like($r->[1], $why, $name =~ s/\n.*/.../sr);
	}
	for (["u\ncommand = id", qr/line break/], ["u\r", qr/line break/],
	    ["u\0", qr/control/], ['u ; x', qr/semicolon/],
	    [' u', qr/blank/], ['u ', qr/blank/], ["u\t", qr/control/],
	    ['u' x 1001, qr/more than 1000/]) {
		my ($user, $why) = @$_;
		my $r = generate("name,remote.username\nx,\"$user\"\n", @args);
		is($r->[0], 1, 'refused');
		like($r->[1], qr/:2: remote\.username .*$why/,
		    substr($user, 0, 20) =~ s/[^ -~]/?/gr);
	}
	for (["user,remote.command\nx,id\n", qr/no column can be called/],
	    ["user,local.SSL_verify\nx,NO\n", qr/no column can be called/],
	    ["user,remote.password-command\nx,id\n", qr/no column/],
	    ["user,user\nx,y\n", qr/two columns are called user/],
	    ["remote.host\nx\n", qr/a column user or name is missing/],
	    ["user\nx\nx\n", qr/:3: the name is that of line 2/],
	    ["user,name\nx\n", qr/:2: 1 fields, not 2/],
	    ["user,name\n\"\",\n", qr/:2: the name is empty/],
	    ["user\n\"x\ny\n", qr/line 2: a quotation mark/],
	    ["user\n\"x\"y\n", qr/line 2: a quotation mark/],
	    ["user\nx\rcommand=y\n", qr/line 2: .*carriage/]) {
		my $r = generate($_->[0], @args);
		is($r->[0], 1, 'refused');
		like($r->[1], $_->[1], $r->[1]);
	}
	ok(!-e $out, 'nothing was written');
	my $file = spew("$dir/open.csv", "user,remote.password\nx,y\n", 0644);
	like(tool('generate', @args, $file)->[1], qr/chmod 600/,
	    'passwords that all can read');
	my $r = generate("user\nx y\ngood\n", '-k', @args);
	is_deeply([$r->[0], files($out)], [1, 'good'], 'with -k the good ones');
};

# What imapsync makes of it: the name of a user is what the table has.
my $odd = 'a#b;"c ;d\\e';
my $here = Imapsync::Model->new(greeting => 'PREAUTH');
my $i = Imapsync::Imapsync->new(local => $here->section(tunnel => 1),
    remote => {});
my %env = (%{ $i->environment }, FLEET_CONF => "$dir/fleet",
    FLEET_RESULTS => "$dir/results", IMAPSYNC => Imapsync::Imapsync::program());

sub run
{
	my ($name) = @_;

	local %ENV = (%ENV, %env);
	return tool('run', $name);
}

subtest 'runs' => sub {
	my $m = Imapsync::Model->new(user => $odd, password => 'p # "q',
	    caps => '-SASL-IR');
	my $busy = Imapsync::Model->new(hooks => { LOGIN => sub {
		$_[0]->tagged($_[1], 'NO', "[LIMIT] \033[31mtoo many");
		return 1;
	} });
	my $command = $here->section(tunnel => 1)->{command};
	my $quoted = $odd =~ s/"/""/gr;

	spew("$dir/common", "[local]\ntype = tunnel\ncommand = $command\n" .
	    "host = h\n[remote]\ntype = imap\nSTARTTLS = NO\n" .
	    "host = 127.0.0.1\n");
	my $r = generate("name,remote.port,remote.username,remote.password\n" .
	    'good,' . $m->port . ",\"$quoted\",\"p # \"\"q\"\n" .
	    'wrong,' . $m->port . ",x,y\nbusy," . $busy->port . ",x,y\n",
	    '-c', "$dir/common", '-o', "$dir/fleet");
	is($r->[0], 0, 'configurations with passwords') or diag($r->[1]);
	mkdir "$dir/results";
	is_deeply(run('good'), [0, ''], 'a good one');
	is(run('wrong')->[0], 1, 'a wrong password');
	is(run('busy')->[0], 75, 'a busy server');
	is(run($_)->[0], 2, "\"$_\" is no account")
	    for '../fleet/good', '', '.x', 'a b', '*';
	is(files("$dir/results"), 'busy.json good.json wrong.json', 'results');
	is(mode("$dir/results/good.json"), '600', 'for nobody else');
};

# A stand-in for run: the status is in the name.
spew("$dir/status", "#!/bin/sh\necho \"\$1\" >>$dir/ran\n" .
    "case \$1 in *-75) [ ! -e $dir/back ] && exit 75;; " .
    "*-1) exit 1;; esac; exit 0\n", 0755);

sub slice
{
	local %ENV = (%ENV, FLEET_LIST => "$dir/names", FLEET_JOB => 'j1',
	    FLEET_RUN => "$dir/status", FLEET_RESULTS => "$dir/results");
	my $r = tool('slice', @_);
	my $ran = -e "$dir/ran" ? slurp("$dir/ran") =~ s/\n/ /gr : '';

	unlink "$dir/ran";
	return [$r->[0], $ran];
}

subtest 'slices' => sub {
	spew("$dir/names", join '', map { "$_\n" } qw(a b-1 c d-75 e f g+h.i));
	is_deeply(slice(0, 2), [0, 'a c e g+h.i '], 'a slice that is good');
	is_deeply(slice(1, 2), [75, 'b-1 d-75 f '], 'some are put off');
	is_deeply(slice(1, 2), [75, 'd-75 '], 'only these are tried again');
	spew("$dir/back", '');
	is_deeply(slice(1, 2), [1, 'd-75 '], 'a failure is not forgotten');
	is_deeply(slice(1, 2), [1, 'b-1 d-75 f '], 'and then it is all anew');
	is(slice('../x', 2)->[0], 2, 'no number');
	is((glob "$dir/results/.j1*")[0], undef, 'nothing is left over');
};

subtest 'shards' => sub {
	my @names = map { "user$_\@example.org" } 1 .. 300;
	my %of;

	spew("$dir/names", join '', map { "$_\n" } @names);
	for my $hosts ([qw(h1 h2 h3)], [qw(h3 h2 h1 h4)]) {
		my $said = qx($fleet/shard @$hosts <$dir/names);
		my %of_now = map { reverse split / / } split /\n/, $said;
		is(scalar(keys %of_now), 300, 'each has a host');
		my %n;
		$n{$_}++ for values %of_now;
		is((grep { ($n{$_} // 0) < 300 / @$hosts / 2 } @$hosts), 0,
		    'all have a good part');
		is((grep { defined $of{$_} && $of{$_} ne $of_now{$_} &&
		    $of_now{$_} ne 'h4' } @names), 0, 'only to the new one');
		%of = %of_now;
		is(qx($fleet/shard -h h2 @$hosts <$dir/names), join('',
		    map { "$_\n" } grep { $of{$_} eq 'h2' } @names),
		    'the names of one');
	}
};

subtest 'the report' => sub {
	my $prom = "$dir/fleet.prom";
	spew("$dir/names", "good\nabsent\n");
	spew("$dir/results/broken.json", "{\"version\":1,\"status\":\n");
	spew("$dir/results/.hidden.json", 'x');
	my $r = tool('report', '-n', "$dir/names", '-o', '1d', '-P', '-p',
	    $prom, "$dir/results");

	is($r->[0], 1, 'something is wrong');
	my @lines = split /\n/, $r->[1];
	like(shift @lines, qr/^ACCOUNT +STATUS/, 'a head');
	is(pop @lines, '5 accounts: 1 with status 0, 1 with status 1, 1 with ' .
	    'status 75, 1 with status missing, 1 with status unreadable, 4 ' .
	    'without a good run for 1d', 'sums');
	is(scalar @lines, 4, 'the four that went wrong') or diag($r->[1]);
	like($lines[0], qr/^absent +missing +never .* no result$/, 'absent');
	like($lines[1], qr/^broken +unreadable .* no JSON/, 'broken');
	like($lines[2], qr/^busy +75 +limit +remote +never .*too many$/,
	    'busy');
	like($lines[3], qr/^wrong +1 +login +remote /, 'wrong');
	unlike($r->[1], qr/[^\n -~]/, 'fit for a terminal');
	my $text = slurp($prom);
	is(mode($prom), '644', 'node_exporter can read it');
	for (qr/^imapsync_fleet_accounts\{status="75"\} 1$/m,
	    qr/^imapsync_fleet_accounts\{status="2"\} 0$/m,
	    qr/^imapsync_fleet_errors\{kind="limit",side="remote"\} 1$/m,
	    qr/^imapsync_fleet_old 4$/m,
	    qr/^imapsync_fleet_account_status\{account="absent"\} -1$/m,
	    qr/^imapsync_fleet_account_good_timestamp_seconds\{account="good"\}
	    \ \d{10}$/xm) {
		like($text, $_, "$_");
	}
	my @bad = grep { !/\A(?:\#\ (?:HELP|TYPE)\ \w+\ .+|
	    \w+(?:\{\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*\})?
	    \ -?[\d.]+)\z/x } split /\n/, $text;
	is_deeply(\@bad, [], 'each line is one of the format');
	is_deeply(tool('report', '-l', '75,1', "$dir/results"),
	    [0, "busy\nwrong\n"], 'whom to try again');
	unlink "$dir/results/$_.json" for qw(broken wrong);
	is(tool('report', "$dir/results")->[0], 0, '75 alone is no alarm');
	is(tool('report', '-o', '1d', "$dir/results")->[0], 1,
	    'for too long it is');
};

done_testing;

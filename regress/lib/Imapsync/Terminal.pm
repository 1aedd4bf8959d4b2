# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# A terminal (tmux) in which imapsync runs; the screen stays when it has ended.
#
#	plan skip_all => 'tmux is not installed' unless Imapsync::Terminal->can_be;
#	my $t = Imapsync::Terminal->new(40, $i, '--watch');	# 40 columns
#	$t->line(qr/left/);		# waits for it; the screen
#	$t->type("C-c");
#	my ($status, $screen) = $t->end;
#	$t->screen(colours => 1);	# with escape sequences
#	$t->{join} = 1;			# from now on lines are not broken
package Imapsync::Terminal;

use strict;
use warnings;
use Imapsync::Imapsync;
use Imapsync::Proc qw(spew slurp tmpdir run_command wait_for which);

my $tmux = which('tmux');
my $number = 0;

sub can_be { return defined $tmux }

sub new
{
	my ($class, $width, $i, @args) = @_;
	my $n = $number++;
	my $t = bless { socket => tmpdir() . "/tmux$n", dir => tmpdir() .
	    "/term$n" }, $class;
	my $env = $i->environment;

	mkdir $t->{dir};
	# It ends by the signal; this shell goes on.
	spew("$t->{dir}/run", join "\n", '#!/bin/sh', "trap : INT",
	    (map { "$_='$env->{$_}'; export $_" } sort keys %$env),
	    Imapsync::Imapsync::program() . " @args",
	    "echo \$? >'$t->{dir}/status'", 'exec sleep 60', '');
	$t->tmux('-f', '/dev/null', 'new-session', '-d', '-x', $width, '-y',
	    12, "exec /bin/sh '$t->{dir}/run'");
	return $t;
}

sub tmux
{
	my ($t, @args) = @_;
	local $ENV{TERM} = 'xterm';
	local $ENV{LC_ALL} = 'C.UTF-8';
	delete local $ENV{TMUX};

	run_command([$tmux, '-u', '-S', $t->{socket}, @args]);
}

sub type
{
	my ($t, @keys) = @_;

	$t->tmux('send-keys', '-t', '0', @keys);
}

sub screen
{
	my ($t, %o) = @_;

	$t->tmux('capture-pane', $o{colours} ? '-e' : (), $t->{join} ? '-J' :
	    (), '-t', '0', '-b', 'x');
	$t->tmux('save-buffer', '-b', 'x', "$t->{dir}/screen");
	return slurp("$t->{dir}/screen");
}

# The screen when it shows that, or what is there instead.
sub line
{
	my ($t, $like) = @_;
	my $screen = '';

	eval { wait_for(30, 'the line', sub {
		($screen = $t->screen) =~ $like }) };
	return $screen =~ s/\n+\z//r;
}

# The exit status, and then the screen.
sub end
{
	my ($t) = @_;

	eval { wait_for(60, 'the end', sub { -s "$t->{dir}/status" }) };
	my $screen = $t->screen =~ s/\n+\z/\n/r;
	return (-s "$t->{dir}/status" ? slurp("$t->{dir}/status") + 0 : -1,
	    $screen);
}

sub DESTROY
{
	my ($t) = @_;
	local $?;

	eval { $t->tmux('kill-server') };
}

1;

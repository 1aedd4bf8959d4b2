#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# --delete of a mailbox that is a mere name (\Noselect) on one side, since others
# are below it: there is nothing to do on that side, and that is no error.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Edit;
use Imapsync::Imapsync;
use Imapsync::Mail qw(message);
use Imapsync::Model;
use Imapsync::Server;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

my $number = 0;

sub selectable
{
	my ($c, $name) = @_;
	return defined $c->status($name, 'MESSAGES') ? 1 : 0;
}

# "a" with a mailbox below it, in sync; then it is a mere name on those sides.
sub pair
{
	my ($layout, @sides) = @_;
	my @o = $layout eq 'fs' ?
	    (location => 'maildir:~/mail:LAYOUT=fs:INBOX=~/inbox') : ();
	my %s = map { $_ => Imapsync::Server->new(name => $_ . ++$number,
	    @o) } 'local', 'remote';
	$s{i} = Imapsync::Imapsync->new(local => $s{'local'}, remote =>
	    $s{remote});
	$s{c}{$_} = $s{$_}->client for 'local', 'remote';
	$s{c}{'local'}->create($_) for 'a', 'a/b', 'c';
	$s{c}{'local'}->append($_, message(++$number)) for 'a', 'a/b', 'c';
	$s{i}->sync_ok("E14: $layout, @sides: in sync");
	$s{c}{$_}->delete('a') for @sides;
	return \%s;
}

for my $layout ('maildir++', 'fs') {
	for my $sides (['remote'], ['local'], ['local', 'remote']) {
		my $what = "$layout, a name on @$sides";
		my $s = pair($layout, @$sides);
		my $r = $s->{i}->sync_ok("E14: $what: --delete", '--delete',
		    'a');
		for my $side ('local', 'remote') {
			my $c = $s->{c}{$side};
			is(selectable($c, 'a'), 0,
			    "E14: $what: no mailbox on $side");
			is(($c->status('a/b') // {})->{MESSAGES}, 1,
			    "E14: $what: what is below stays on $side");
		}
		for my $side (@$sides) {
			unlike($r->{err}, qr/deleted on $side|does not delete/,
			    "E14: $what: nothing is told of $side");
		}
		$s->{i}->silent_ok("E14: $what: nothing is left");
		same_content($s->{'local'}, $s->{remote}, "E14: $what: equal");
		$_->close for values %{ $s->{c} };
	}
}

# A server that says so in its list, and would say NO.
for my $attr ('\Noselect', '\NonExistent', '\NoSelect \HasChildren') {
	my $local = Imapsync::Server->new(name => 'local' . ++$number);
	my $model = Imapsync::Model->new;
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->create($_) for 'a', 'a/b';
	$c->append($_, message(++$number)) for 'a', 'a/b';
	$i->sync_ok("E14: $attr: in sync");
	$model->hooks(list => sub {
		my ($s, $name, $info) = @_;
		$info->{attrs} = $attr if $name eq 'a';
	}, DELETE => sub {
		my ($s, $tag) = @_;
		$s->tagged($tag, 'NO', '[CANNOT] there are others below it');
		return 1;
	}, SELECT => sub {
		my ($s, $tag, $name) = @_;
		return 0 if $name ne 'a';
		$s->tagged($tag, 'NO', '[NONEXISTENT] no mailbox');
		return 1;
	});
	my $r = $i->sync_ok("E14: $attr: --delete", '--delete', 'a');
	ok(!(grep { /^DELETE/ } $model->commands('all')),
	    "E14: $attr: the server is not asked");
	is(selectable($c, 'a'), 0, "E14: $attr: gone on the other");
	$i->silent_ok("E14: $attr: nothing is left");
	$c->close;
}

# And a name that is one on both, of which the state knows nothing, is an error as
# ever; so is one that is nowhere.
my $s = pair('maildir++', 'local', 'remote');
$s->{i}->sync_ok('E14: control: forgotten', '--delete', 'a');
my $r = $s->{i}->status_is(1, 'E14: control: nowhere', '--delete', 'nowhere');
like($r->{err}, qr/nowhere/, 'E14: control: is named');
done_testing;

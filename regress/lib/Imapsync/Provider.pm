# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# The ways of the big providers, and of server programs that can't be had, as far
# as they are publicly known: the model server (Model.pm), strict.
#
#	my $m = provider('gmail');
#	my $m = provider('exchange', fetch => sub { ... });	# hooks, besides
#	with_hooks($m, 'gmail', select => sub { ... });	# from the next run on
#	is(unoffered($m), '', 'nothing was sent that is not offered');
#
# To a command, an option or a literal that the capabilities have no word of they
# answer BAD, and note it.  Hooks that are given follow the provider's own; in
# them $c->{set} is the set of a UID FETCH, else "".
package Imapsync::Provider;

use strict;
use warnings;
use Exporter 'import';
use Imapsync::Model;
use Imapsync::Store;

our @EXPORT_OK = qw(provider providers with_hooks unoffered);

my $deleted = qr/\\deleted/i;

# ---- what each of them has, and does ----

my %provider = (
	# CONDSTORE without QRESYNC, a literal that waits from 4,096 octets on,
	# special-use attributes in every LIST.  A mailbox is a label: what is
	# in one is in All Mail, too, and \Deleted takes the label away at once.
	gmail => {
		early => 'IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST ' .
		    'CHILDREN X-GM-EXT-1 SASL-IR AUTH=XOAUTH2 AUTH=PLAIN',
		caps => 'IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST ' .
		    'CHILDREN X-GM-EXT-1 UIDPLUS ENABLE MOVE CONDSTORE ESEARCH ' .
		    'UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- ' .
		    'SPECIAL-USE APPENDLIMIT=35651584',
		store => \&gmail_store,
		hooks => {
			list => sub {
				my ($c, $name, $info) = @_;
				$info->{attrs} = $c->store->box($name)->{attrs};
			},
			'after APPEND' => \&gmail_label,
			'after UID STORE' => sub {
				my ($c, $tag, $set, $how, $flags) = @_;
				return if $how !~ /^\+/ ||
				    !grep { /$deleted/ } @$flags;
				$c->store->remove($c->{box_name}, map {
				    $_->[1]{uid} } $c->chosen($set));
			},
		},
	},
	# Items in an order of its own, lines of 1,000 octets, and "n:*" leaves
	# the newest out when every other connection asks for the first time.
	exchange => {
		caps => 'IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR ' .
		    'UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+',
		line => 1000,
		hooks => {
			fetch => sub {
				my ($c, $name, $list) = @_;
				pop @$list if $c->{set} =~
				    /^\d+:(?:\*|4294967295)$/ &&
				    $c->number % 2 && !$c->{missed}{$name}++;
			},
			out => sub {
				my ($c, $line) = @_;
				$line =~ s/^(\* \d+ FETCH \()(UID \d+) (.*)\)$/$1$3 $2)/s;
				return $line;
			},
		},
	},
	# Lists what it does not switch on; tells HIGHESTMODSEQ only after ENABLE.
	icloud => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN ID NAMESPACE UIDPLUS ' .
		    'ENABLE CONDSTORE QRESYNC ESEARCH UNSELECT IDLE LITERAL+',
		hooks => {
			ENABLE => sub {
				my ($c, $tag) = @_;
				$c->{asked} = 1;
				$c->untagged('ENABLED');
				$c->tagged($tag, 'OK', 'done');
				return 1;
			},
			select => sub { $_[2]{modseq} = 0 if !$_[0]{asked} },
		},
	},
	# Tells HIGHESTMODSEQ and has no CONDSTORE; messages keep their numbers
	# when others are expunged.
	yahoo => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN ID MOVE NAMESPACE ' .
		    'XYMHIGHESTMODSEQ UIDPLUS LITERAL+ CHILDREN UNSELECT',
		hooks => {
			select => sub {
				my ($c, $name, $info) = @_;
				my $n = 0;
				$c->untagged("OK [HIGHESTMODSEQ " .
				    "$info->{modseq}] highest");
				$c->{numbers} = { map { $_->{uid} => ++$n }
				    @{ $info->{messages} } };
			},
			fetch => sub {
				my ($c, $name, $list) = @_;
				$_->{n} = $c->{numbers}{$_->{uid}} // $_->{n}
				    for @$list;
			},
		},
	},
	# Lists UIDPLUS and has no half of it.
	proton => {
		caps => 'IMAP4rev1 AUTH=PLAIN ID IDLE MOVE UIDPLUS UNSELECT',
		hooks => {
			'UID EXPUNGE' => sub {
				my ($c, $tag) = @_;
				$c->tagged($tag, 'NO', 'command not supported');
				return 1;
			},
			out => \&no_appenduid,
		},
	},
	# An ESEARCH without what was asked for.
	strato => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN ID ENABLE IDLE NAMESPACE ' .
		    'UIDPLUS CONDSTORE ESEARCH LIST-EXTENDED LIST-STATUS ' .
		    'LITERAL+ UNSELECT',
		hooks => {
			out => sub {
				my ($c, $line) = @_;
				$line =~ s/ ALL \S+// if $line =~ /^\* ESEARCH/;
				return $line;
			},
		},
	},
	# Shows its last message for one that is not there, and changes that one.
	mailutils => {
		caps => 'IMAP4rev1 NAMESPACE ID IDLE LITERAL+ UNSELECT UIDPLUS',
		hooks => {
			any => sub {
				my ($c, $tag, $set) = @_;
				return if $c->{name} !~ /^UID (FETCH|STORE)$/ ||
				    $set !~ /^\d+$/ ||
				    !@{ $c->{box}{messages} };
				$_[2] = $c->{box}{messages}[-1]{uid}
				    if !$c->store->find($c->{box_name}, $set);
				return;
			},
		},
	},
	# No APPENDUID of the mailbox that is selected; APPEND drops keywords.
	uw => {
		caps => 'IMAP4REV1 IMAP4rev1 I18NLEVEL=1 LITERAL+ IDLE UIDPLUS ' .
		    'NAMESPACE CHILDREN UNSELECT ESEARCH MULTIAPPEND SASL-IR ' .
		    'AUTH=PLAIN',
		hooks => {
			append => sub {
				my ($c, $name, $m) = @_;
				my @flags = grep { /^\\/ } @{ $m->{flags} };
				$c->untagged('NO Unknown flag') if @flags <
				    @{ $m->{flags} // [] };
				$m->{flags} = \@flags;
				return;
			},
			out => sub {
				my ($c, $line) = @_;
				return $c->{box} ? no_appenduid($c, $line) :
				    $line;
			},
		},
	},
	# Tells UIDNEXT in STATUS only.
	nouidnext => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE UIDPLUS IDLE ' .
		    'CHILDREN',
		hooks => { select => sub { $_[2]{uidnext} = 0 } },
	},
	# ... and not even there.
	nouidnextatall => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE UIDPLUS ' .
		    'LITERAL+',
		hooks => {
			select => sub { $_[2]{uidnext} = 0 },
			status => sub { $_[2]{uidnext} = undef },
		},
	},
	# No UIDVALIDITY (Tencent).
	nouidvalidity => {
		caps => 'IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS LITERAL+',
		hooks => {
			out => sub {
				my ($c, $line) = @_;
				return if $line =~ /\[UIDVALIDITY/;
				$line =~ s/UIDVALIDITY \d+ ?//
				    if $line =~ /^\* STATUS/;
				return $line;
			},
		},
	},
);

sub no_appenduid
{
	my ($c, $line) = @_;

	$line =~ s/\[APPENDUID [^\]]*\] //;
	return $line;
}

# ---- Gmail ----

sub gmail_store
{
	my $st = Imapsync::Store->new(sep => '/');
	my %attrs = ('[Gmail]' => '\Noselect', '[Gmail]/All Mail' => '\All',
	    '[Gmail]/Important' => '\Important', '[Gmail]/Starred' =>
	    '\Flagged', '[Gmail]/Sent Mail' => '\Sent', '[Gmail]/Trash' =>
	    '\Trash');

	$st->create($_)->{attrs} = $attrs{$_} for sort keys %attrs;
	return $st;
}

# What has come with this APPEND is in All Mail.
sub gmail_label
{
	my ($c, $tag, $name) = @_;
	my $all = '[Gmail]/All Mail';

	return if $name eq $all || !$c->store->box($name);
	my %there = map { $_->{body} => 1 } @{ $c->store->box($all)->{messages} };
	for my $m (@{ $c->store->box($name)->{messages} }) {
		$c->store->deliver($all, $m->{body}, date => $m->{date},
		    flags => $m->{flags}) if !$there{$m->{body}};
	}
}

# ---- what is offered ----

# Why the command that has come is not.  @args: its tokens.
sub not_offered
{
	my ($c, @args) = @_;
	my $name = $c->{name};
	my %needs = (ENABLE => 'ENABLE', IDLE => 'IDLE', ID => 'ID',
	    UNSELECT => 'UNSELECT', NAMESPACE => 'NAMESPACE',
	    'UID EXPUNGE' => 'UIDPLUS', 'UID MOVE' => 'MOVE',
	    COMPRESS => 'COMPRESS=DEFLATE', NOTIFY => 'NOTIFY');
	my @lists = map { ref $_ eq 'ARRAY' ? @$_ : () } @args;
	my @words = map { uc } grep { defined && !ref } @args, @lists,
	    map { ref $_ eq 'ARRAY' ? @$_ : () } @lists;
	my %has = map { $_ => 1 } @words;

	return $needs{$name} if $needs{$name} && !$c->has($needs{$name});
	return "AUTH=$args[0]" if $name eq 'AUTHENTICATE' &&
	    !$c->has("AUTH=\U$args[0]") && !early_has($c, "AUTH=\U$args[0]");
	return 'SASL-IR' if $name eq 'AUTHENTICATE' && defined $args[1] &&
	    !early_has($c, 'SASL-IR');
	if ($name eq 'LIST') {
		return 'LIST-EXTENDED' if !$c->has('LIST-EXTENDED') &&
		    (@args > 2 || ref $args[0] || ref $args[1]);
		return 'LIST-STATUS' if $has{STATUS} &&
		    !$c->has('LIST-STATUS');
		return 'SPECIAL-USE' if $has{'SPECIAL-USE'} &&
		    !$c->has('SPECIAL-USE');
	}
	return 'ESEARCH' if $name eq 'UID SEARCH' && $has{RETURN} &&
	    !$c->has('ESEARCH');
	return 'MULTIAPPEND' if $name eq 'APPEND' && !$c->has('MULTIAPPEND')
	    && grep({ ref $_ eq 'SCALAR' } @args) > 1;
	return if $name !~ /^(LIST|STATUS|SELECT|EXAMINE)$|^UID /;
	shift @words if $name =~ /^(STATUS|SELECT|EXAMINE)$/;
	for my $word (@words) {
		return 'CONDSTORE' if !$c->has('CONDSTORE') && $word =~
		    /^(CONDSTORE|HIGHESTMODSEQ|MODSEQ|(UN)?CHANGEDSINCE)$/;
		return 'QRESYNC' if !$c->{qresync} && $word =~
		    /^(QRESYNC|VANISHED)$/;
	}
	return;
}

sub early_has
{
	my ($c, $cap) = @_;
	return " @{[ $c->{fake}{early} // $c->{fake}{caps} ]} " =~
	    / \Q$cap\E /;
}

sub refuse
{
	my ($c, $tag, $why) = @_;

	$c->note("not offered: $why: $c->{name}");
	$c->tagged($tag, 'BAD', "$why is not offered");
	return 1;
}

sub strict
{
	my ($c, $line, $tag, @args) = @_;
	my $why = not_offered($c, @args);

	return refuse($c, $tag, $why) if defined $why;
	return refuse($c, $tag, "a line of $c->{line} octets")
	    if defined $line && $c->{line} > $line;
	return;
}

# What follows would be commands.
sub literal_plus
{
	my ($c, $tag, $size) = @_;

	return if $c->has('LITERAL+') || ($c->has('LITERAL-') &&
	    $size <= 4096);
	$c->note("not offered: a literal of $size octets that does not wait");
	$c->hang_up;
}

# ---- for tests ----

sub providers { return sort keys %provider }

# The provider's hooks, and behind each of them the test's.
sub hooks
{
	my ($name, %more) = @_;
	my $p = $provider{$name};
	my %hooks = ('literal+' => \&literal_plus, %{ $p->{hooks} });
	my $any = $hooks{any};

	$hooks{any} = sub {
		my ($c, $tag, @args) = @_;
		return 1 if strict($c, $p->{line}, $tag, @args);
		$c->{set} = $c->{name} eq 'UID FETCH' ? $args[0] : '';
		return $any && $any->(@_);
	};
	for my $hook (keys %more) {
		my ($own, $test) = ($hooks{$hook}, $more{$hook});
		$hooks{$hook} = !$own ? $test : $hook eq 'out' ? sub {
			my $line = $own->(@_);
			return defined $line ? $test->($_[0], $line) : undef;
		} : sub {
			my $result = $own->(@_);
			return $result && $hook eq uc $hook ? $result :
			    $test->(@_);
		};
	}
	return %hooks;
}

sub provider
{
	my ($name, %more) = @_;
	my $p = $provider{$name} // die "no provider $name\n";
	my %o = map { defined $p->{$_} ? ($_ => $p->{$_}) : () }
	    qw(caps early);

	$o{store} = $p->{store}->() if $p->{store};
	return Imapsync::Model->new(%o, hooks => { hooks($name, %more) });
}

sub with_hooks
{
	my ($model, $name, %more) = @_;
	$model->hooks(hooks($name, %more));
}

sub unoffered
{
	my ($model) = @_;
	return join "\n", grep { /^(not offered|unknown command|session)/ }
	    $model->notes;
}

1;

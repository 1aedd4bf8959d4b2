#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Messages that the target refuses: named, remembered, offered again, and no
# hindrance to the others.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Imapsync::Compare qw(same_content);
use Imapsync::Imapsync;
use Imapsync::Mail qw(message date_of);
use Imapsync::Model;
use Imapsync::Pair qw(dovecot count);
use Imapsync::Server;
use Imapsync::Sides;

plan skip_all => Imapsync::Server->missing('dovecot')
    if Imapsync::Server->missing('dovecot');

draw_subtests(2);

# Refused messages stand, nothing else is to be done: one line, no SELECT.
sub stands
{
	my ($i, $n, $what) = @_;
	my $r = $i->status_is(3, $what // 'as long as it stands');
	my $are = $n == 1 ? "$n message is" : "$n messages are";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{err}, qr/\A$are refused by a server.*--retry\n\z/,
	    'one line');
	$r = $i->run('--debug');
	unlike($r->{err}, qr/\b(SELECT|EXAMINE|APPEND)\b/, 'no SELECT');
}

my $big = message(900, size => 30_000);

subtest 'the largest message, Dovecot' => sub {
	my ($local, $remote) = (dovecot(), dovecot(max_mail_size => '20k'));
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => $_ == 4 || $_ == 9 ?
	    message($_, size => 30_000) : message($_), date => date_of($_) } }
	    1 .. 12);
	my $r = $i->status_is(3, 'two are too big');
	for my $uid (4, 9) {
		like($r->{err}, qr/^INBOX: .*remote.*UID $uid .*larger/m,
		    "UID $uid is named");
	}
	like($r->{err}, qr/^INBOX: 10 copied to remote$/m, 'the others');
	is(count($remote), 10, 'are there');
	# The next run offers them once more, then it takes an hour.
	$r = $i->status_is(3, 'offered again');
	like($r->{err}, qr/\A2 messages are refused.*\n\z/, 'not named again');
	stands($i, 2);
	$i->status_is(3, '--retry', '--retry');
	stands($i, 2, 'in vain');

	# New ones and other changes go on beside them.
	$c->append('INBOX', message(13));
	$c->store('INBOX', '1', '+FLAGS', '\Flagged');
	$c->store('INBOX', '4', '+FLAGS', '\Flagged');
	$c->expunge('INBOX', '2');
	$r = $i->status_is(3, 'changes');
	is(count($remote), 10, 'done');
	stands($i, 2);

	# It is deleted where it was.
	$c->expunge('INBOX', '4');
	$r = $i->status_is(3, 'one is deleted');
	stands($i, 1, 'one is left');

	$remote->reconfigure('= 20k', '= 40k');
	$i->sync_ok('--retry, and there is room', '--retry');
	same_content($local, $remote, 'equal');
	$i->silent_ok;
	$c->close;
};

subtest 'the last refused message is deleted' => sub {
	my ($local, $remote) = (dovecot(), dovecot(max_mail_size => '20k'));
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $local->client;

	$c->append_many('INBOX', { body => message(1) }, { body => $big });
	$i->status_is(3, 'too big');
	$c->expunge('INBOX', '2');
	$i->sync_ok('deleted');
	$i->silent_ok;
	same_content($local, $remote, 'equal');
	$c->close;
};

subtest 'over quota, Dovecot' => sub {
	my ($local, $remote) = (dovecot(), dovecot(quota => '60K'));
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my ($lc, $rc) = ($local->client, $remote->client);

	$lc->create('a');
	$lc->append_many('a', map { { body => message($_) } } 1 .. 3);
	$rc->append('INBOX', message(4));
	$i->sync_ok('there is room');
	$lc->append_many('a', map { { body => message($_, size => 10_000) } }
	    11 .. 20);
	$lc->create('b');
	$lc->append('b', message(21, size => 10_000));
	$lc->expunge('a', '1');
	$lc->store('a', '2', '+FLAGS', '\Flagged');
	$rc->append('INBOX', message(5));
	my $r = $i->status_is(3, 'no room any more');
	like($r->{err}, qr/^[ab]: .*remote.*quota/mi, "the server's words");
	like($r->{err}, qr/^the remote server has no room/m, 'said once');
	my $n = count($remote, 'a');
	cmp_ok($n, '<', 12, 'not all');
	cmp_ok($n, '>', 2, 'but some');
	is(count($local), 2, 'the other direction goes on');
	my @m = $rc->fetch_all('a');
	is(scalar(grep { grep { $_ eq '\Flagged' } @{ $_->{flags} } } @m), 1,
	    'flags go on');
	unlike($m[0]{body}, qr/message 1\r/, 'expunges go on');
	$remote->reconfigure('storage=60K', 'storage=600K');
	$i->sync_ok('there is room again');
	same_content($local, $remote, 'equal');
	is(count($remote, 'a'), 12, 'all');
	$i->silent_ok;
	$_->close for $lc, $rc;
};

# One at a time is named while there is no room, and all go in the end.
subtest 'over quota for a while' => sub {
	my ($local, $remote) = (dovecot(), dovecot(quota => '25K'));
	my $i = Imapsync::Imapsync->new(local => $local, remote => $remote);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_, size => 10_000) } }
	    1 .. 6);
	for my $time (1 .. 4) {
		my $r = $i->status_is(3, "run $time");
		cmp_ok((() = $r->{err} =~ /UID/g), '<=', 1,
		    'at most one is named');
		is(count($remote), 2, 'what there is room for');
	}
	$remote->reconfigure('storage=25K', 'storage=600K');
	$i->sync_ok('there is room, --retry', '--retry');
	same_content($local, $remote, 'equal');
	is(count($remote), 6, 'all');
	$i->silent_ok;
	$c->close;
};

subtest 'APPENDLIMIT' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(caps => '+APPENDLIMIT=20480');
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append_many('INBOX', { body => message(1) }, { body => $big },
	    { body => message(3) });
	my $r = $i->status_is(3, 'above the limit');
	like($r->{err}, qr/UID 2 .*20480/, 'named');
	is(count($model), 2, 'the others');
	cmp_ok(length $model->received, '<', 20_000, 'not sent at all');
	stands($i, 1, 'not offered while the limit is the same');
	$model->{caps} =~ s/APPENDLIMIT=20480/APPENDLIMIT=40960/;
	$model->hooks;
	$i->sync_ok('another limit');
	same_content($local, $model, 'equal');
	$i->silent_ok;

	# A limit that has gone down is no reason to offer it twice.
	$c->append('INBOX', message(5, size => 50_000));
	$i->status_is(3, 'too big');
	$model->{caps} =~ s/ APPENDLIMIT=\d+//;
	$model->hooks;
	$i->sync_ok('no limit any more');
	same_content($local, $model, 'equal');
	$c->close;
};

subtest 'no upload that is in vain' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(hooks => { literal => sub {
		return $_[2] > 1_000_000 ? 'NO [TOOBIG] no, thanks' : undef;
	} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append('INBOX', message(1));
	$c->append('INBOX', message(2, size => 5_000_000));
	$c->append('INBOX', message(3));
	my $r = $i->status_is(3, 'refused in place of "+"');
	like($r->{err}, qr/UID 2 .*no, thanks/, 'named');
	is(count($model), 2, 'the others');
	cmp_ok(length $model->received, '<', 500_000, 'not sent');
	stands($i, 1);
	$model->hooks;
	$i->sync_ok('--retry', '--retry');
	same_content($local, $model, 'equal');
	$c->close;
};

# As Cyrus does it: NO and BYE to a literal that can't be stopped.
subtest 'TOOBIG, and BYE' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(hooks => {
		literal => sub {
			return $_[2] > 20_000 ? 'NO [TOOBIG] too big' : undef;
		},
		APPEND => sub {
			my ($s, $tag, undef, @args) = @_;
			return unless grep { ref $_ eq 'SCALAR' &&
			    length $$_ > 20_000 } @args;
			$s->tagged($tag, 'NO', '[TOOBIG] too big');
			$s->bye('shutting down');
		} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => $_ == 3 ? $big :
	    message($_) } } 1 .. 5);
	my ($r, $n);
	for ($n = 1; $n <= 5; $n++) {
		$r = $i->run;
		last if $r->{status} != 75;
	}
	is($r->{status}, 3, "settled after $n runs") or diag($r->{err});
	cmp_ok($n, '<=', 3, 'soon');
	is(count($model), 4, 'the others');
	like($r->{err}, qr/UID 3 .*too big/, 'named');
	$c->close;
};

subtest 'a message that kills the connection' => sub {
	my $local = dovecot();
	my $poison = sub {
		my ($s, undef, undef, @args) = @_;
		$s->hang_up if grep { ref $_ eq 'SCALAR' &&
		    $$_ =~ /message (3|6)\r/ } @args;
		return;
	};
	my $model = Imapsync::Model->new(hooks => { APPEND => $poison });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;
	my ($r, $n, $err);

	$c->append_many('INBOX', map { { body => message($_) } } 1 .. 8);
	$c->create('later');
	$c->append('later', message(10));
	for ($n = 1; $n <= 9; $n++) {
		$r = $i->run;
		$err .= $r->{err};
		last if $r->{status} != 75;
	}
	is($r->{status}, 3, "settled after $n runs") or diag($err);
	like($err, qr/^INBOX: .*connection .*UID $_ /m,
	    "UID $_ is named") for 3, 6;
	is(count($model), 6, 'the others of the mailbox');
	is(count($model, 'later'), 1, 'other mailboxes');
	stands($i, 2);
	# An offer that is in vain costs one session, and not every one.
	is($i->run('--retry')->{status}, 75, 'offered again');
	$i->status_is(3, 'the run after that');
	stands($i, 2);
	is(count($model), 6, 'and nothing twice');
	$model->hooks;
	$i->sync_ok('--retry with a server that takes them', '--retry');
	same_content($local, $model, 'equal');
	$i->silent_ok;
	$c->close;
};

# The offer is taken, and nobody is left to hear it.
subtest 'killed while a refused one is offered' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(hooks => { append => sub {
		return $_[2]{body} =~ /message 2\r/ ? 'NO not now' : undef;
	} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	$c->append_many('INBOX', map { { body => message($_), date =>
	    date_of($_) } } 1 .. 3);
	my $r = $i->status_is(3, 'refused');
	like($r->{err}, qr/UID 2 .*not now/, 'named');
	$model->hooks(append => sub {
		my ($s, $name, $m) = @_;
		$s->store->deliver($name, $m->{body}, date => $m->{date});
		$s->hang_up;
	});
	$c->append('INBOX', message(4), date => date_of(4));
	is($i->run->{status}, 75, 'taken, but the connection ends');
	is($i->run->{status}, 75, 'the other one as well');
	$model->hooks;
	$i->sync_ok('found by the mark');
	is(count($model), 4, 'nothing twice');
	same_content($local, $model, 'equal');
	$i->silent_ok;
	$c->close;
};

# A refused message that is gone, of which nobody told.
subtest 'refused, and gone without VANISHED' => sub {
	my $model = Imapsync::Model->new;
	my $remote = dovecot(max_mail_size => '20k');
	my $i = Imapsync::Imapsync->new(local => $model, remote => $remote);

	$model->change(sub {
		$_[0]->deliver('INBOX', $_ == 3 ? $big : message($_))
		    for 1 .. 6;
	});
	$i->status_is(3, 'refused');
	$model->change(sub { $_[0]->forget('INBOX', 3) });
	$i->run;
	$i->sync_ok('it is noticed', '--retry');
	is(count($remote), 5, 'nothing deleted');
	$i->silent_ok;

	# One that is there, and others that are gone.
	$model->change(sub { $_[0]->deliver('INBOX', $big) });
	$i->status_is(3, 'refused');
	$model->change(sub { $_[0]->forget('INBOX', 1, 2) });
	$i->status_is(3, 'two are gone');
	is(count($remote), 3, 'deleted');
	$model->change(sub { $_[0]->remove('INBOX', 7) });
	$i->sync_ok('the refused one as well');
	same_content($model, $remote, 'equal');
	$i->silent_ok;
};

subtest 'a mailbox that takes none' => sub {
	my $local = dovecot();
	my $model = Imapsync::Model->new(hooks => { append => sub {
		return $_[1] eq 'a' ? 'NO [NOPERM] not here' : undef;
	} });
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;

	for my $name ('a', 'b') {
		$c->create($name);
		$c->append_many($name, map { { body => message($_) } }
		    1 .. 5);
	}
	my $r = $i->status_is(3, 'it is stopped');
	like($r->{err}, qr/^a: .*not here/m, "the server's words");
	is((() = $r->{err} =~ /not here/g), 1, 'once');
	is(count($model, 'b'), 5, 'the other goes on');
	$model->hooks;
	$i->sync_ok('allowed');
	same_content($local, $model, 'equal');
	$i->silent_ok;
	$c->close;
};

# Every extension that APPEND can use, missing.
for my $caps ('-LITERAL+', '-MULTIAPPEND', '-LITERAL+ -MULTIAPPEND',
    '-LITERAL+ +LITERAL-', '-LITERAL+ -MULTIAPPEND +LITERAL-') {
	subtest "model, $caps" => sub {
		my $local = dovecot();
		my $model = Imapsync::Model->new(caps => $caps);
		my $i = Imapsync::Imapsync->new(local => $local, remote =>
		    $model);
		my $c = $local->client;

		$c->append_many('INBOX', map { { body => message($_, size =>
		    $_ % 3 ? 500 : 9000), flags => '\Seen $K',
		    date => date_of($_) } } 1 .. 12);
		$i->sync_ok('first run');
		same_content($local, $model, 'equal');
		$i->silent_ok;
		my @sizes = $model->received =~ /\{(\d+)\+\}\r\n/g;
		if ($caps =~ /\+LITERAL-/) {
			is((grep { $_ > 4096 } @sizes), 0, 'small ones only');
			cmp_ok(@sizes, '>', 0, 'but those');
		} elsif ($caps =~ /-LITERAL\+/) {
			is(@sizes, 0, 'no non-synchronising literal');
		}
		# COMPRESS is tried: many servers offer it late.
		is_deeply([grep { !/COMPRESS/ } $model->notes], [],
		    'nothing that it can not do');
		$c->close;
	};
}

my $list = 'IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT ' .
    'THREAD=REFERENCES NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 ' .
    'CONDSTORE QRESYNC ESEARCH LIST-STATUS SPECIAL-USE UNSELECT';

for my $opt ({ caps => $list }, { caps => "$list LITERAL+" },
    { conf => 'imap_literal_minus = yes' }) {
	my $what = $opt->{conf} // ($opt->{caps} =~ /LITERAL/ ?
	    'no MULTIAPPEND' : 'neither LITERAL+ nor MULTIAPPEND');
	subtest "Dovecot, $what" => sub {
		my ($local, $remote) = (dovecot(), dovecot(%$opt));
		my $i = Imapsync::Imapsync->new(local => $local, remote =>
		    $remote);
		my $c = $local->client;

		$c->append_many('INBOX', map { { body => message($_, size =>
		    $_ % 3 ? 500 : 9000), date => date_of($_) } } 1 .. 12);
		$i->sync_ok('first run');
		same_content($local, $remote, 'equal');
		$c->expunge('INBOX', '2');
		$c->append('INBOX', message(13));
		$i->sync_ok('changes');
		same_content($local, $remote, 'equal');
		$i->silent_ok;
		$c->close;
	};
}

# Without UIDPLUS only what nobody else has marked \Deleted can be expunged.
subtest 'without UIDPLUS' => sub {
	my $model = Imapsync::Model->new(caps => '-UIDPLUS');
	my $local = dovecot();
	my $i = Imapsync::Imapsync->new(local => $local, remote => $model);
	my $c = $local->client;
	my $mark = sub {
		my ($flags) = @_;
		$model->change(sub { $_[0]->box('INBOX')->{messages}[0]{flags} =
		    $flags });
	};

	$c->append_many('INBOX', map { { body => message($_) } } 1 .. 6);
	$i->sync_ok('first run');
	same_content($local, $model, 'first run');
	$mark->(['\Deleted']);
	$c->expunge('INBOX', '3:4');
	my $r = $i->status_is(3, 'another one is marked');
	like($r->{err}, qr/^INBOX: the remote server does not expunge: other (?#
	    )messages there are marked \\Deleted \(UID 1\).*run again$/m,
	    'named');
	is(scalar @{ $model->store->box('INBOX')->{messages} }, 6, 'none went');
	ok(!(grep { /^(?:UID )?EXPUNGE/ } $model->commands('all')),
	    'EXPUNGE was not sent');
	$mark->([]);
	$c->store('INBOX', '1', '-FLAGS', '\Deleted');
	$i->sync_ok('it is not marked any more');
	same_content($local, $model, 'expunged');
	$i->silent_ok;
	$c->close;
};

# And without these it is done otherwise; what is tried behind LOGIN is BAD.
for my $ext ('QRESYNC', 'LIST-EXTENDED', 'LIST-STATUS') {
	subtest "without $ext" => sub {
		my $no_list = sub {
			my ($s, $tag, @args) = @_;
			return unless @args > 2 || ref $args[0];
			$s->tagged($tag, 'BAD', 'what is that');
			return 1;
		};
		my $model = Imapsync::Model->new(caps => "-$ext",
		    hooks => $ext =~ /EXTENDED/ ? { LIST => $no_list } : {});
		my $local = dovecot();
		my $i = Imapsync::Imapsync->new(local => $local,
		    remote => $model);

		$model->change(sub { $_[0]->deliver('INBOX', message($_))
		    for 1 .. 3 });
		$i->sync_ok('a run');
		same_content($local, $model, 'equal');
		$i->silent_ok;
	};
}

done_testing;

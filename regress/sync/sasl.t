#!/usr/bin/perl
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Authentication: which mechanism is used when, and that no password goes to a
# server in a form that it, or whoever listens, must not get.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use MIME::Base64 qw(encode_base64 decode_base64);
use Imapsync::Cert;
use Imapsync::Imapsync;
use Imapsync::Model;
use Imapsync::Scram qw(binding_of);
use Imapsync::Server;
use Imapsync::Socks;
use Imapsync::Tls qw(start_tls);

my $password = 'open sesame';
my $good = Imapsync::Cert->new(name => 'good');
my $local = Imapsync::Model->new(greeting => 'PREAUTH');
my $i = Imapsync::Imapsync->new(local => $local->section(tunnel => 1),
    remote => {});

sub b64 { return encode_base64($_[0], '') }

# The password, clear or in base64 at any offset.
my @forms = map {
	my $s = b64(("x" x $_) . $password);
	substr $s, 4, -4;
} 0 .. 2;
my $clear = join '|', map { quotemeta } $password, @forms;
$clear = qr/$clear/;

# A run; the mechanism that it says it logged in with.
sub mechanism
{
	my ($section, $status) = @_;

	$i->lose_state;
	$i->change(remote => $section);
	my $r = $i->run('--debug');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($r->{status}, $status // 0, 'exit ' . ($status // 0)) or
	    diag(grep { /^remote/ } map { "$_\n" } split /\n/, $r->{err});
	unlike($r->{err}, $clear, 'no password in the log');
	return $r->{err} =~ /^remote: logged in \(([^,)]+)/m ? $1 : '';
}

# A run that fails, with one line.
sub fails
{
	my ($what, $section, $says, $status) = @_;

	$i->lose_state;
	$i->change(remote => $section);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $i->status_is($status // 1, "$what: exit " . ($status // 1));
	$i->says_once($r, $says, $what);
	return $r;
}

subtest 'Dovecot' => sub {
	plan skip_all => Imapsync::Server->missing('dovecot')
	    if Imapsync::Server->missing('dovecot');
	my $mechs = 'plain login scram-sha-1 scram-sha-256 cram-md5';
	my $server = Imapsync::Server->new(name => 'dovecot', daemon => 1,
	    password => $password, cert => $good, mechs => $mechs,
	    conf => "auth_failure_delay = 0\nservice anvil {\n" .
	    "  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}");

	for my $case (['', 'SCRAM-SHA-256'],
	    ['SCRAM-SHA-1', 'SCRAM-SHA-1'],
	    ['PLAIN', 'PLAIN'], ['PLAIN LOGIN', 'LOGIN'], ['LOGIN', 'LOGIN'],
	    ['CRAM-MD5', 'CRAM-MD5'],
	    ['SCRAM-SHA-256-PLUS CRAM-MD5 PLAIN', 'CRAM-MD5'],
	    ['SCRAM-SHA-1 SCRAM-SHA-256', 'SCRAM-SHA-1']) {
		my ($auth, $used) = @$case;
		my %keys = $auth eq '' ? () : (auth => $auth);
		my $name = $auth eq '' ? 'the default' : $auth;
		is(mechanism($server->section(%keys)), $used,
		    "$name: $used");
		fails("$name, wrong", $server->section(%keys,
		    password => 'wrong'), qr/^remote: localhost refuses the /);
	}
	is(mechanism($server->section(auth => 'PLAIN', pipeline => 'NO')),
	    'PLAIN', 'pipeline = no: AUTHENTICATE PLAIN');
	fails('EXTERNAL', $server->section(auth => 'EXTERNAL'),
	    qr/localhost offers none of what auth names \(EXTERNAL\)/);
	fails('no password', $server->section(password => undef),
	    qr/no password is configured for localhost/);
};

# A model server whose AUTHENTICATE is the hook.
sub server
{
	my ($caps, $hook, %o) = @_;
	my $tls = $o{tls} ? "+STARTTLS" : '';

	return Imapsync::Model->new(password => $password, words => $o{words},
	    caps => "-AUTH=PLAIN $tls $caps", hooks => {
		AUTHENTICATE => sub {
			my ($c, $tag, $mech, $initial) = @_;
			$c->note("mechanism $mech" .
			    (defined $initial ? ' initial' : ''));
			$hook->($c, $tag, $mech, defined $initial ?
			    $initial eq '=' ? '' : decode_base64($initial) :
			    undef);
			return 1;
		},
		STARTTLS => sub {
			my ($c, $tag) = @_;
			$c->tagged($tag, 'OK', 'begin TLS');
			$c->flush;
			start_tls($c, $good);
			return 1;
		} });
}

my %tls = (STARTTLS => undef, host => 'localhost', SSL_CAfile => $good->ca);

# Send a challenge, return the client's answer; undef if it cancels.
sub ask
{
	my ($c, $challenge) = @_;

	$c->{pending} .= '+ ' . b64($challenge) . "\r\n";
	my $line = $c->line // die "closed\n";
	if ($line eq '*') {
		$c->note('cancelled');
		return;
	}
	return decode_base64($line);
}

sub welcome
{
	my ($c, $tag) = @_;

	$c->{state} = 'a';
	$c->tagged($tag, 'OK', "[CAPABILITY $c->{fake}{caps}] welcome");
}

sub refuse
{
	my ($c, $tag) = @_;

	$c->tagged($tag, 'NO', '[AUTHENTICATIONFAILED] refused');
}

sub scram
{
	my (%o) = @_;

	return sub {
		my ($c, $tag, $mech, $initial) = @_;
		my $s = Imapsync::Scram->new(user => 'user',
		    password => $password,
		    hash => $mech =~ /SHA-1\b/ ? 1 : 256,
		    binding => binding_of($good), %o);
		$initial //= ask($c, '');
		my $final = ask($c, $s->first($initial))
		    // return refuse($c, $tag);
		$c->note('gs2 ' . $s->gs2);
		my ($verifier, $why) = $s->final($final);
		if (!defined $verifier) {
			$c->note("refused: $why");
			return refuse($c, $tag);
		}
		return welcome($c, $tag) if $o{unproved};
		ask($c, $verifier) // return refuse($c, $tag);
		$c->note('behind: ' . join ' ', $c->{buf} =~ /^\S+ (\S+)/mg)
		    if $c->{fake}{words};
		welcome($c, $tag);
	};
}

my $scram = '+AUTH=SCRAM-SHA-1 +AUTH=SCRAM-SHA-256';
my $plus = "$scram +AUTH=SCRAM-SHA-1-PLUS +AUTH=SCRAM-SHA-256-PLUS";

subtest 'SCRAM and channel binding' => sub {
	my $bind = 'p=tls-server-end-point';
	my $all = 'SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 ' .
	    'SCRAM-SHA-1 PLAIN LOGIN';

	for my $case (['SHA-256', $plus, 1, $all, 'SCRAM-SHA-256-PLUS', $bind],
	    ['not named', $plus, 1, '', 'SCRAM-SHA-256', 'n'],
	    ['SHA-1', $plus, 1, 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1-PLUS', $bind],
	    ['not offered', $scram, 1, $all, 'SCRAM-SHA-256', 'y'],
	    ['not wanted', $plus, 1, 'SCRAM-SHA-256', 'SCRAM-SHA-256', 'n'],
	    ['no TLS', $plus, 0, '', 'SCRAM-SHA-256', 'n'],
	    ['no SASL-IR', "-SASL-IR $plus", 1, $all, 'SCRAM-SHA-256-PLUS',
	    $bind]) {
		my ($what, $caps, $tls, $auth, $used, $gs2) = @$case;
		my $m = server($caps, scram(), tls => $tls);
		my %keys = $auth eq '' ? () : (auth => $auth);
		my $ir = $what eq 'no SASL-IR' ? '' : ' initial';

		is(mechanism($m->section($tls ? %tls : (), %keys)), $used,
		    "$what: $used");
		is_deeply([$m->notes], ["mechanism $used$ir", "gs2 $gs2"],
		    "$what: $gs2") or diag($m->notes);
		unlike($m->received, $clear, "$what: no password");
	}
};

subtest 'SCRAM with an impostor' => sub {
	for my $case (['another certificate', { binding => 'x' x 32 },
	    qr/localhost refuses the login of user/],
	    ['a false signature', { signature => 'y' x 32 },
	    qr/localhost: .*(signature|impostor)/],
	    ['no signature', { unproved => 1 }, qr/localhost: .*impostor/],
	    ['another password', { password => 'other' },
	    qr/localhost refuses the login of user/]) {
		my ($what, $o, $says) = @$case;
		my $m = server($plus, scram(%$o), tls => 1,
		    words => 'Dovecot ready.');

		fails($what, $m->section(%tls, auth =>
		    'SCRAM-SHA-256-PLUS SCRAM-SHA-256'), $says);
		unlike($m->received, $clear, "$what: no password");
		unlike(join(' ', $m->commands), qr/ENABLE|LIST|SELECT/,
		    "$what: nothing follows");
	}
	my $m = server($scram, sub { my ($c, $tag) = @_; welcome($c, $tag) },
	    tls => 1);
	fails('OK at once', $m->section(%tls), qr/localhost: .*impostor/);
};

subtest 'what goes with the last line' => sub {
	my $all = 'behind: ENABLE LIST';

	for my $case (['Dovecot', 'Dovecot ready.', {}, 1, $all],
	    ['another server', 'Cyrus ready', {}, 1, 'behind: '],
	    ['pipeline = NO', 'Dovecot ready.', { pipeline => 'NO' }, 1,
	    'behind: '],
	    ['no TLS', 'Dovecot ready.', {}, 0, 'behind: ']) {
		my ($what, $words, $keys, $tls, $behind) = @$case;
		my $m = server($scram, scram(), tls => $tls, words => $words);

		mechanism($m->section($tls ? %tls : (), %$keys));
		is(($m->notes)[-1], $behind, "$what: $behind");
	}
};

subtest 'tokens' => sub {
	my $token = 'ya29.AbC-dEf_';
	my $json = '{"status":"invalid_token","scope":"mail"}';

	for my $mech ('XOAUTH2', 'OAUTHBEARER') {
		my $hook = sub {
			my ($c, $tag, $name, $initial) = @_;
			my $port = $c->{fake}{port};
			my $good = $mech eq 'XOAUTH2' ?
			    "user=user\1auth=Bearer $token\1\1" :
			    "n,a=user,\1host=127.0.0.1\1port=$port\1" .
			    "auth=Bearer $token\1\1";
			$initial //= ask($c, '');
			return welcome($c, $tag) if $initial eq $good;
			my $answer = ask($c, $json);
			$c->note('answer ' . ($answer eq '' ? 'empty' :
			    unpack 'H*', $answer)) if defined $answer;
			refuse($c, $tag);
		};
		for my $ir ('+', '-') {
			my $m = server("${ir}SASL-IR +AUTH=$mech", $hook);
			my %keys = (auth => $mech, password => $token);

			is(mechanism($m->section(%keys)), $mech, $mech);
			is_deeply([$m->notes], ["mechanism $mech" .
			    ($ir eq '+' ? ' initial' : '')], 'as it should');
			fails("$mech, expired", $m->section(%keys,
			    password => 'old'),
			    qr/127\.0\.0\.1: .*token.*invalid_token/);
			is(($m->notes)[-1], 'answer ' .
			    ($mech eq 'XOAUTH2' ? 'empty' : '01'),
			    'the refusal is answered');
		}
		my $m = server("+AUTH=$mech +AUTH=PLAIN", $hook);
		is(mechanism($m->section(password => $password)), 'LOGIN',
		    "$mech only when named");
	}
};

subtest 'LOGIN and PLAIN' => sub {
	my $login = sub {
		my ($c, $tag, $mech, $initial) = @_;
		my $user = $initial // ask($c, 'Username:');
		my $pass = ask($c, 'Password:');

		return welcome($c, $tag) if $user eq 'user' &&
		    ($pass // '') eq $password;
		refuse($c, $tag);
	};
	my $m = server('+AUTH=LOGIN +LOGINDISABLED', $login);
	is(mechanism($m->section), 'LOGIN', 'LOGIN by AUTHENTICATE');
	is_deeply([$m->notes], ['mechanism LOGIN'], 'no initial response');

	$m = server('+AUTH=LOGIN +LOGINDISABLED', sub {
		my ($c, $tag) = @_;
		ask($c, "$_:") // last for 1 .. 5;
		refuse($c, $tag);
	});
	fails('it asks and asks', $m->section, qr/asks for more/);
	is(($m->notes)[-1], 'cancelled', 'and is stopped');

	for my $ir ('+', '-') {
		my $utf8 = "p\xc3\xa4ss";
		$m = server("${ir}SASL-IR +AUTH=PLAIN", sub {
			my ($c, $tag, $mech, $initial) = @_;
			$initial //= ask($c, '');
			return welcome($c, $tag)
			    if $initial eq "\0user\0$utf8";
			refuse($c, $tag);
		});
		is(mechanism($m->section(password => $utf8)), 'PLAIN',
		    'what LOGIN can\'t carry');
	}
};

# Before the login a server tells little, and after it not unless it is asked.
subtest 'capabilities' => sub {
	my $full = Imapsync::Model->new->{caps};

	for my $pipeline ('YES', 'NO') {
		my $m = Imapsync::Model->new(password => $password,
		    caps => 'IMAP4rev1 AUTH=LOGIN', hooks => {
			LOGIN => sub {
				my ($c, $tag) = @_;
				$c->{fake}{caps} = $full;
				$c->{state} = 'a';
				$c->tagged($tag, 'OK', 'welcome');
				return 1;
			} });
		is(mechanism($m->section(pipeline => $pipeline,
		    auth => 'LOGIN')), 'LOGIN', "pipeline = $pipeline");
		my @commands = map { /^(\S+)/ } $m->commands(1);
		is((grep { $_ eq 'CAPABILITY' } @commands), 1,
		    'asked for once, behind LOGIN') or diag("@commands");
	}
};

# Only what the user named, whatever the server says that it has.
subtest 'a server that wants the password' => sub {
	my $m = server('+AUTH=PLAIN +AUTH=LOGIN', sub { $_[0]->hang_up });

	fails('named SCRAM', $m->section(auth =>
	    'SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1'),
	    qr/offers none of what auth names .*PLAIN LOGIN/);
	fails('named EXTERNAL', $m->section(auth => 'EXTERNAL'),
	    qr/offers none of what auth names/);
	unlike($m->received, qr/LOGIN|AUTHENTICATE|$clear/,
	    'no secret was sent');

	$m = server('+AUTH=CRAM-MD5 +LOGINDISABLED', sub { });
	fails('CRAM-MD5 unnamed', $m->section, qr/it offers: CRAM-MD5/);
	unlike($m->received, qr/AUTHENTICATE/, 'not used');
	$m = server('+LOGINDISABLED', sub { });
	fails('LOGINDISABLED', $m->section, qr/LOGINDISABLED/);
	unlike($m->received, qr/LOGIN|$clear/, 'no secret was sent');
};

# 192.0.2.1 is not this machine, whoever answers for it.
subtest 'a network in between' => sub {
	my $m = server("+AUTH=PLAIN +AUTH=LOGIN +AUTH=XOAUTH2", sub {
		my ($c, $tag, $mech, $initial) = @_;
		welcome($c, $tag);
	});
	my $proxy = Imapsync::Socks->new(port => $m->port);
	my %far = (host => '192.0.2.1', port => 143, proxy => $proxy->url);
	my $says = qr/192\.0\.2\.1 .*clear.*type = imaps/;

	fails('PLAIN', $m->section(%far), $says);
	fails('LOGIN', $m->section(%far, auth => 'LOGIN'), $says);
	fails('PLAIN without LOGIN', $m->section(%far, pipeline => 'NO'),
	    $says);
	fails('a token', $m->section(%far, auth => 'XOAUTH2'), $says);
	fails('127.0.0.1 of the proxy', $m->section(%far,
	    host => '127.0.0.1'), qr/clear/);
	unlike($proxy->received, qr/LOGIN|AUTHENTICATE|$clear/,
	    'no secret was sent');
	is_deeply([grep { /^ipv4/ } $proxy->notes],
	    [('ipv4 192.0.2.1 143') x 4, 'ipv4 127.0.0.1 143'],
	    'all of them were connected');

	is(mechanism($m->section(%far, cleartext => 'YES')), 'LOGIN',
	    'cleartext = yes');
	is(mechanism($m->section), 'LOGIN', 'loopback');
	is(mechanism($m->section(tunnel => 1, username => 'user',
	    password => $password)), 'LOGIN', 'a tunnel');

	$m = server("$scram +AUTH=PLAIN", scram());
	$proxy = Imapsync::Socks->new(port => $m->port);
	is(mechanism($m->section(%far, proxy => $proxy->url)),
	    'SCRAM-SHA-256', 'SCRAM needs no TLS');
	unlike($m->received, $clear, 'since it shows no password');
};

done_testing;

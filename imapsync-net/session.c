/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * From the first octet to READY: proxy, TLS, greeting, login, ENABLE, COMPRESS,
 * in as few turns as is safe; and LOGOUT.
 */
#include <stdio.h>

#include "b64.h"
#include "net.h"

static void	session_next(struct net *);

static void
next_phase(struct net *net, enum phase phase)
{
	net->phase = phase;
	net->alive = net_now();
}

/* ---- connection ---- */

static void
tls_start(struct net *net)
{
	if (stream_tls_start(net->st, &net->setup) == -1)
		fatal_ex(EX_SYNC_LATER, "%s: %s", net->setup.host,
		    stream_error(net->st));
	stats_turn(net);
	next_phase(net, P_TLS);
}

static void
connected(struct net *net)
{
	if (net->setup.type == CONN_IMAPS)
		tls_start(net);
	else
		next_phase(net, P_GREETING);
}

static void
socks(struct net *net)
{
	switch (socks_step(net->session.socks, &net->in, &net->out)) {
	case 1:
		socks_free(net->session.socks);
		net->session.socks = NULL;
		if (net->setup.type == CONN_IMAPS && net->in.len > 0)
			fatal_ex(EX_SYNC_LATER, "the proxy of %s sends octets "
			    "of its own in front of TLS", net->setup.host);
		connected(net);
		break;
	case 0:
		break;
	default:
		fatal_ex(socks_temporary(net->session.socks) ? EX_SYNC_TEMP :
		    EX_SYNC_ERROR, "%s: %s", net->setup.host,
		    socks_error(net->session.socks));
	}
	net->wipe = 1;
}

/*
 * --check: the certificate, once; where it can be cut it is: a name that is so long
 * is for no eye.
 */
static void
tell_cert(struct net *net)
{
	char			 subject[TEXT_MAX], issuer[TEXT_MAX];
	struct m_engine_cert	 m;

	if (net->setup.check == CHECK_NOT || net->session.toldcert)
		return;
	memset(&m, 0, sizeof(m));
	m.subject = m.issuer = m.pin = m.tls = m.cipher = "";
	if (stream_tls_cert(net->st, &m) == -1 && net->phase == P_TLS)
		return;
	m.subject = net_words(subject, sizeof(subject), m.subject);
	m.issuer = net_words(issuer, sizeof(issuer), m.issuer);
	net->session.toldcert = 1;
	chan_send(&net->chan, M_ENGINE_CERT, 0, &m);
}

void
session_tls(struct net *net)
{
	const char	*why;

	switch (stream_handshake(net->st)) {
	case 0:
		return;
	case -1:
		tell_cert(net);
		why = stream_error(net->st);
		/* A certificate, or a clock, may be another one tomorrow. */
		fatal_ex(strstr(why, "closed the connection") != NULL ||
		    strstr(why, "onnection reset") != NULL ? EX_SYNC_TEMP :
		    EX_SYNC_LATER, "%s", why);
	}
	net->session.tls = 1;
	stats_handshake(net);
	tell_cert(net);
	log_debug("%s: %s, %s, key %s", net->setup.host,
	    stream_tls_version(net->st), stream_tls_cipher(net->st),
	    stream_tls_fingerprint(net->st));
	if (net->setup.type == CONN_IMAPS) {
		next_phase(net, P_GREETING);
		return;
	}
	/* What was told in the clear says nothing. */
	memset(&net->caps, 0, sizeof(net->caps));
	net->qresync = 0;
	free(net->bye);
	net->bye = NULL;
	next_phase(net, P_LOGIN);
	session_next(net);
}

static void
starttls_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	char	 words[256];

	(void)c;
	if (resp->word != WORD_OK)
		fatal_ex(EX_SYNC_LATER, "%s refuses STARTTLS: %s",
		    net->setup.host, net_words(words, sizeof(words),
		    resp->text));
	net->session.starttls = 1;
	parse_stop(&net->session.parser);
}

/* ---- capabilities ---- */

static void
caps_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	if (resp->word != WORD_OK || !net->caps.known)
		lost_sense(net, resp->text, "does not tell its capabilities");
	session_next(net);
}

static void
caps_ask(struct net *net)
{
	struct cmd	*c;

	c = cmd_new(net, K_SESSION, NULL, caps_tagged);
	c->name = "CAPABILITY";
	cmd_puts(c, "CAPABILITY");
	cmd_end(net, c);
}

static void
caps_told(struct net *net, const struct caps *caps)
{
	if (net->phase >= P_READY)
		return;
	net->caps = *caps;
	net->caps.bits = strategy_caps(net, caps->bits);
	net->session.newcaps = 1;
}

/* ---- behind the login ---- */

static void
enable_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	(void)resp;	/* only the untagged ENABLED counts (RFC 5161) */
	net->session.enable = ENABLE_ANSWERED;
	session_next(net);
}

static void
compress_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	net->compress = resp->word == WORD_OK ? COMPRESS_OK : COMPRESS_REFUSED;
	if (net->compress == COMPRESS_OK)
		parse_stop(&net->session.parser);
}

static void
compress_ask(struct net *net)
{
	struct cmd	*c;

	if (!net->setup.compress || net->compress != COMPRESS_NOT)
		return;
	if (net->caps.known && !(net->caps.bits & CAP_COMPRESS) &&
	    (net->login == LOGIN_DONE || (net->caps.bits & CAP_UIDPLUS)))
		return;
	net->compress = COMPRESS_ASKED;
	c = cmd_new(net, K_SESSION, NULL, compress_tagged);
	c->name = "COMPRESS";
	cmd_puts(c, "COMPRESS DEFLATE");
	c->hold = 1;
	cmd_end(net, c);
}

/*
 * Inside the packet of LOGIN it is not known yet what the server offers then:
 * it is tried only if what it offers before the login is more than RFC 3501
 * (ENABLE), since others count what they don't know as an attack; and if that is
 * all it has (UIDPLUS is of no use before), only if all is in it.
 */
static int
session_hopes(const struct net *net)
{
	uint32_t	 all = CAP_QRESYNC | CAP_LIST_EXTENDED |
			    CAP_LIST_STATUS | CAP_SPECIAL_USE;

	return net->caps.known && (net->caps.bits & CAP_ENABLE) &&
	    strategy_wants_qresync(net) && (!(net->caps.bits & CAP_UIDPLUS) ||
	    (net->caps.bits & all) == all);
}

/*
 * ENABLE, LIST, COMPRESS.
 */
static void
session_packet(struct net *net)
{
	struct cmd	*c;

	if (net->queue.early)
		return;
	if (net->login != LOGIN_DONE || !net->caps.known ||
	    (net->caps.bits & (CAP_ENABLE | CAP_QRESYNC)) ==
	    (CAP_ENABLE | CAP_QRESYNC)) {
		net->session.enable = ENABLE_SENT;
		c = cmd_new(net, K_SESSION, NULL, enable_tagged);
		c->name = "ENABLE";
		cmd_puts(c, "ENABLE QRESYNC");
		cmd_end(net, c);
	} else
		net->session.enable = ENABLE_ANSWERED;
	if (net->queue.compressfirst)
		compress_ask(net);
	net->queue.early = 1;
	req_pump(net);
	compress_ask(net);
}

static void
session_ready(struct net *net)
{
	struct m_engine_ready	 m;

	strategy_choose(net);
	memset(&m, 0, sizeof(m));
	m.caps = net->caps.bits;
	m.strategy = net->strategy->kind;
	m.forced = net->setup.strategy != STRATEGY_AUTO;
	m.preauth = net->session.preauth;
	m.appendlimit = net->caps.appendlimit;
	m.tls = stream_tls_version(net->st);
	m.cipher = stream_tls_cipher(net->st);
	m.mechanism = net->session.preauth ? "PREAUTH" : net->session.mech;
	net->phase = P_READY;
	net->chan.state = CH_READY;
	chan_send(&net->chan, M_ENGINE_READY, 0, &m);
	list_retry(net);
}

/* ---- login ---- */

/*
 * A busy server will take us later.  A token expires, and the next session gets
 * another one from its command; a password that is wrong remains so, and who
 * tries it again and again is locked out.
 */
static __dead void
login_refused(struct net *net, const struct resp *resp)
{
	char	 words[512];
	int	 status = EX_SYNC_ERROR;

	net->limit = lost_limit(resp->rc, resp->text);
	if (net->limit || resp->rc == RC_SERVERBUG)
		status = EX_SYNC_TEMP;
	else if (strcmp(net->session.mech, "OAUTHBEARER") == 0 ||
	    strcmp(net->session.mech, "XOAUTH2") == 0)
		status = EX_SYNC_LATER;
	fatal_ex(status, "%s refuses the login of %s%s%s: %s", net->setup.host,
	    net->setup.username, net->setup.authzid[0] != '\0' ? " as " : "",
	    net->setup.authzid, net_words(words, sizeof(words), resp->text));
}

static void
wipe(const char *s)
{
	explicit_bzero((char *)s, strlen(s));
}

static void
login_done(struct net *net, const struct resp *resp)
{
	wipe(net->setup.password);
	wipe(net->setup.proxy_password);
	sasl_free(net->session.sasl);
	net->session.sasl = NULL;
	net->login = LOGIN_DONE;
	if (resp->code == C_CAPABILITY)
		caps_told(net, &resp->caps);
	if (!net->session.newcaps) {
		net->caps.known = 0;
		caps_ask(net);
	}
	session_next(net);
}

static void
login_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	if (resp->word != WORD_OK)
		login_refused(net, resp);
	login_done(net, resp);
}

static void
login_command(struct net *net)
{
	struct cmd	*c;

	net->session.mech = "LOGIN";
	c = cmd_new(net, K_SESSION, NULL, login_tagged);
	c->name = "LOGIN";
	cmd_puts(c, "LOGIN ");
	c->secret = net->setup.debug < 2;	/* so far: for the log */
	cmd_string(net, c, net->setup.username);
	c->secret = 0;
	cmd_puts(c, " ");
	c->secret = net->setup.debug < 2;
	cmd_string(net, c, net->setup.password);
	c->secret = 1;
	cmd_end(net, c);
	if (net->setup.pipeline && session_hopes(net))
		session_packet(net);
}

/* A line of the SASL exchange: base64, "=" for nothing, or "*" to cancel. */
static void
auth_line(struct net *net, struct buf *answer, const char *instead)
{
	struct buf	 line = BUF_INIT;

	buf_room(&line, 1);	/* also if the answer is empty */
	if (answer == NULL)
		buf_puts(&line, instead);
	else if (answer->len > 0)
		b64_encode(&line, buf_ptr(answer), answer->len);
	log_debug("C: %.*s", net->setup.debug >= 2 ? (int)line.len : 3,
	    net->setup.debug >= 2 ? (char *)buf_ptr(&line) : "***");
	buf_puts(&line, "\r\n");
	cmd_octets(net, buf_ptr(&line), line.len);
	net->wipe = 1;
	buf_wipe(&line);
	buf_free(&line);
}

/*
 * What goes behind LOGIN goes behind the last line of SASL as well, where the
 * server has proved that it knows the password: it is the one that is meant.
 * Dovecot (2.3.19, measured) has read no further than that line; Cyrus has, and
 * loses what it read.  Who forges a greeting gains a session that hangs.
 */
static void
auth_packet(struct net *net)
{
	if (!net->session.tls || !net->session.dovecot ||
	    !net->setup.pipeline || !session_hopes(net))
		return;
	net->cmdq.hold = NULL;
	session_packet(net);
}

static void
auth_cont(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct buf	 in = BUF_INIT, out = BUF_INIT;
	int		 bad;

	(void)c;
	if (net->session.initial) {
		net->session.initial = 0;
		bad = sasl_initial(net->session.sasl, &out) != 1;
	} else {
		buf_room(&in, 1);
		bad = b64_decode(&in, resp->text, strlen(resp->text)) == -1 ||
		    sasl_step(net->session.sasl, buf_ptr(&in), in.len,
		    &out) == -1;
	}
	auth_line(net, bad ? NULL : &out, "*");
	if (!bad && sasl_proved(net->session.sasl))
		auth_packet(net);
	buf_wipe(&in);
	buf_free(&in);
	buf_wipe(&out);
	buf_free(&out);
}

static void
auth_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	const char	*why = sasl_error(net->session.sasl);

	(void)c;
	if (resp->word != WORD_OK) {
		if (why != NULL && why[0] != '\0')
			fatal_ex(EX_SYNC_LATER, "%s: %s", net->setup.host, why);
		login_refused(net, resp);
	}
	if (sasl_finish(net->session.sasl) == -1)
		fatal_ex(EX_SYNC_LATER, "%s: %s", net->setup.host,
		    sasl_error(net->session.sasl));
	login_done(net, resp);
}

static void
authenticate(struct net *net)
{
	struct buf	 initial = BUF_INIT, line = BUF_INIT;
	struct sasl	*sa;
	struct cmd	*c;
	char		 why[256];

	sa = sasl_new(net->session.mech, &net->setup, net->st, why,
	    sizeof(why));
	if (sa == NULL)
		fatalx("%s", why);
	net->session.sasl = sa;
	c = cmd_new(net, K_SESSION, NULL, auth_tagged);
	c->name = "AUTHENTICATE";
	c->cont = auth_cont;
	c->hold = 1;
	cmd_printf(c, "AUTHENTICATE %s", net->session.mech);
	if (!(net->caps.bits & CAP_SASL_IR))
		net->session.initial = sasl_initial(sa, &initial);
	else if (sasl_initial(sa, &initial) == 1) {
		cmd_puts(c, " ");
		c->secret = net->setup.debug < 2;
		if (initial.len == 0)
			buf_puts(&line, "=");
		else
			b64_encode(&line, buf_ptr(&initial), initial.len);
		buf_add(&line, "", 1);
		cmd_puts(c, (char *)buf_ptr(&line));
		c->secret = 1;
	}
	cmd_end(net, c);
	buf_wipe(&initial);
	buf_free(&initial);
	buf_wipe(&line);
	buf_free(&line);
}

static void
session_auth(struct net *net)
{
	struct sasl_offer	 offer;
	char			 why[256];

	offer.mechs = net->caps.mechs;
	offer.logindisabled = (net->caps.bits & CAP_LOGINDISABLED) != 0;
	offer.tls = sasl_tls(net->st);
	net->session.mech = sasl_choose(&net->setup, &offer, why, sizeof(why));
	if (net->session.mech == NULL)
		/* What is not configured will not be there later. */
		fatal_ex(net->setup.username[0] == '\0' ||
		    !net->setup.has_password ? EX_SYNC_ERROR : EX_SYNC_LATER,
		    "%s", why);
	net->session.newcaps = 0;
	if (strcmp(net->session.mech, "LOGIN-COMMAND") == 0)
		login_command(net);
	else
		authenticate(net);
}

static void
session_preauth(struct net *net)
{
	net->login = LOGIN_DONE;
	wipe(net->setup.password);
	wipe(net->setup.proxy_password);
	if (!net->caps.known)
		caps_ask(net);
	session_next(net);
}

static void
session_login(struct net *net)
{
	if (net->login != LOGIN_WAIT || !net->queue.lastlist)
		return;
	net->login = LOGIN_SENT;
	if (net->session.preauth)
		session_preauth(net);
	else
		session_auth(net);
}

/* ---- before it ---- */

/*
 * PROBE is answered once nothing but a login is to be done.  Who is let in by
 * the greeting may not know the capabilities then.
 */
static void
session_offer(struct net *net)
{
	struct m_engine_offer	 m;
	struct m_engine_done	 done;

	if (net->session.probe == 0 || net->login != LOGIN_WAIT)
		return;
	if (!net->caps.known) {
		caps_ask(net);
		return;
	}
	memset(&m, 0, sizeof(m));
	m.caps = net->caps.bits;
	m.preauth = net->session.preauth;
	m.verified = net->session.tls && net->setup.ssl_verify;
	m.tls = stream_tls_version(net->st);
	m.cipher = stream_tls_cipher(net->st);
	m.key = net->session.tls ? stream_tls_fingerprint(net->st) : "";
	m.mechs = net->caps.mechs;
	chan_send(&net->chan, M_ENGINE_OFFER, net->session.probe, &m);
	memset(&done, 0, sizeof(done));
	done.text = "";
	chan_send(&net->chan, M_ENGINE_DONE, net->session.probe, &done);
	net->session.probe = 0;
}

void
session_on_probe(const struct msg *msg)
{
	struct net	*net = msg->arg;

	if (net->session.probed || net->login > LOGIN_WAIT)
		fatalx("a PROBE that comes twice, or behind the login");
	net->session.probed = 1;
	net->session.probe = msg->id;
	session_offer(net);
}

/* What is to be done now, if anything. */
static void
session_next(struct net *net)
{
	struct cmd	*c;

	if (net->login == LOGIN_DONE) {
		if (!net->caps.known || net->phase >= P_READY)
			return;
		session_packet(net);
		if (net->session.enable == ENABLE_ANSWERED)
			session_ready(net);
		return;
	}
	if (net->login != LOGIN_NOT) {
		session_offer(net);
		return;
	}
	if (!net->caps.known && !net->session.preauth) {
		caps_ask(net);
		return;
	}
	if (net->setup.type == CONN_IMAP && net->setup.starttls &&
	    !net->session.tls) {
		if (!(net->caps.bits & CAP_STARTTLS))
			fatal_ex(EX_SYNC_LATER, "%s does not offer STARTTLS; "
			    "not logging in", net->setup.host);
		c = cmd_new(net, K_SESSION, NULL, starttls_tagged);
		c->name = "STARTTLS";
		cmd_puts(c, "STARTTLS");
		c->hold = 1;
		cmd_end(net, c);
		return;
	}
	/* Nobody knows who that is: it is told nothing. */
	if (net->setup.check == CHECK_PEEK) {
		net->login = LOGIN_NEVER;
		tell_cert(net);
		return;
	}
	net->login = LOGIN_WAIT;
	session_offer(net);
	session_login(net);
}

/*
 * A line that shuts us out in words of its own, such as " NO LOGOUT Intrusion
 * prevention active", will be another one later; what speaks another protocol
 * will not.
 */
static __dead void
no_greeting(struct net *net, const struct resp *resp)
{
	char		 line[512], words[512];
	struct lex	 l;

	parse_excerpt(&net->session.parser, line, sizeof(line));
	net_words(words, sizeof(words), line);
	l.p = line;
	l.end = line + strlen(line);
	lex_ch(&l, '*');
	lex_sp(&l);
	if (resp != NULL && resp->type != R_CONT && (lex_word(&l, "NO") ||
	    lex_word(&l, "BAD") || lex_word(&l, "BYE"))) {
		net->limit = lost_limit(resp->rc, words);
		fatal_ex(EX_SYNC_TEMP, "%s refuses the connection: %s",
		    net->setup.host, words);
	}
	fatal_ex(EX_SYNC_LATER, "%s does not greet as an IMAP server does: %s",
	    net->setup.host, words[0] != '\0' ? words : "an empty line");
}

static void
greeting(struct net *net, const struct resp *resp)
{
	if (resp->type != R_STATUS || (resp->word != WORD_OK &&
	    resp->word != WORD_PREAUTH))
		no_greeting(net, resp);
	if (resp->code == C_CAPABILITY)
		caps_told(net, &resp->caps);
	net->session.dovecot = strstr(resp->text, "Dovecot") != NULL;
	next_phase(net, P_LOGIN);
	if (resp->word == WORD_PREAUTH) {
		net->session.preauth = 1;
		if (net->setup.type == CONN_IMAP && net->setup.starttls &&
		    !net->session.tls)
			fatal_ex(EX_SYNC_LATER, "%s greets with PREAUTH, so "
			    "STARTTLS is not possible; not going on in the "
			    "clear", net->setup.host);
	}
	session_next(net);
}

/* ---- what the server says ---- */

/*
 * What it says unasked to the user: each text once.  Other words that come with
 * NO are for the program: the mailbox, NOTIFY or the message that they are about
 * is dealt with.
 */
static void
session_says(struct net *net, const struct resp *r)
{
	char	 words[512];

	if (r->type == R_STATUS ? r->word != WORD_NO && r->word != WORD_BAD &&
	    (r->code != C_ALERT || r->word == WORD_BYE) : r->code != C_ALERT)
		return;
	if (r->code == C_UIDNOTSTICKY || r->code == C_OVERFLOW ||
	    r->rc == RC_EXPUNGEISSUED)
		return;
	/* A STATUS in LIST's answer may fail; that it is missing is noticed. */
	if (r->type == R_STATUS && r->word == WORD_NO &&
	    (cmdq_oldest(net, K_LIST) != NULL ||
	    cmdq_oldest(net, K_STATUS) != NULL))
		return;
	if (once(net, ONCE_SAID, "", r->text))
		log_warnx("%s says: %s", net->setup.host,
		    net_words(words, sizeof(words), r->text));
}

/* It has 2 seconds to close the connection (loop.c). */
static void
session_bye(struct net *net, const struct resp *r)
{
	char	 words[512];

	if (net->bye != NULL)
		return;
	net->bye = xstrdup(net_words(words, sizeof(words), r->text));
	net->byetime = net_now();
	/* Later it is a loss, of a run that has done something. */
	net->limit = net->phase < P_READY && lost_limit(r->rc, r->text);
}

static void
session_untagged(struct net *net, const struct resp *r)
{
	if (r->bad) {
		mailbox_bad(net, r);
		watch_bad(net, r);
		return;
	}
	if (r->type == R_CAPABILITY || r->code == C_CAPABILITY)
		caps_told(net, &r->caps);
	if (r->type == R_STATUS && r->word == WORD_BYE) {
		session_bye(net, r);
		return;
	}
	if (watch_untagged(net, r))
		return;
	if (r->type == R_ENABLED && r->qresync)
		net->qresync = 1;
	else if (r->type == R_LIST || r->type == R_LSUB ||
	    r->type == R_MBSTATUS)
		list_untagged(net, r);
	else if (r->type == R_ESEARCH || r->type == R_SEARCH)
		select_found(net, r);
	else
		mailbox_untagged(net, r);
}

/*
 * A line that is no response, or one that nothing has asked for: whatever it
 * was to be, what it belongs to can't be told.
 */
static __dead void
session_nonsense(struct net *net)
{
	const struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);
	char			 line[256];

	parse_excerpt(&net->session.parser, line, sizeof(line));
	if (net->phase >= P_READY || c == NULL)
		lost_sense(net, line, "sent a line that is no response");
	if (line[0] == '\0')
		strlcpy(line, "an empty line", sizeof(line));
	lost_sense(net, line, "does not answer %s as an IMAP server does",
	    c->name != NULL ? c->name : "LIST");
}

static void
on_resp(void *arg, const struct resp *r)
{
	struct net	*net = arg;

	if (net->phase == P_GREETING) {
		greeting(net, r);
		return;
	}
	if (r->type == R_EMPTY && net->phase >= P_READY)
		return;
	if (r->type == R_EMPTY || r->type == R_NONE || (r->type == R_CONT &&
	    net->phase < P_READY && !cmdq_expects(net)))
		session_nonsense(net);
	mailbox_whole(net);
	session_says(net, r);
	if (r->type == R_TAGGED && r->bad)
		mailbox_bad(net, r);
	if (r->type == R_TAGGED)
		cmdq_tagged(net, r);
	else if (r->type == R_CONT)
		cmdq_cont(net, r);
	else
		session_untagged(net, r);
}

static void
on_body(void *arg, const struct fetch *f, uint64_t len)
{
	mailbox_body(arg, f, len);
}

static void
on_data(void *arg, const void *p, size_t n)
{
	mailbox_data(arg, p, n);
}

static void
on_end(void *arg)
{
	mailbox_end(arg);
}

/* --debug: the line without what stood in literals. */
static void
on_trace(void *arg, const char *line, size_t len)
{
	struct net	*net = arg;
	char		 text[1024];
	struct lex	 l;
	uint64_t	 n;
	size_t		 out = 0;

	if (!log_debugging())
		return;
	if (net->session.sasl != NULL && line[0] == '+' &&
	    net->setup.debug < 2) {
		log_debug("S: + ***");
		return;
	}
	l.p = line;
	l.end = line + len;
	while (l.p < l.end && out < sizeof(text) - 1) {
		if (*l.p == '\n' || *l.p == '\0') {
			l.p++;
			continue;
		}
		if ((text[out++] = *l.p++) != '{')
			continue;
		n = 0;
		if (lex_num(&l, LEX_INLINE, &n) == -1 || !lex_ch(&l, '}') ||
		    !lex_ch(&l, '\r') || (size_t)(l.end - l.p) <= n)
			continue;
		out += snprintf(text + out, sizeof(text) - out, "%llu octets}",
		    (unsigned long long)n);
		if (out >= sizeof(text))
			out = sizeof(text) - 1;
		l.p += 1 + n;
	}
	text[out] = '\0';
	log_debug("S: %s", text);
}

static const struct parse_ops session_ops = { on_resp, on_body, on_data,
    on_end, on_trace };

static __dead void
not_understood(struct net *net)
{
	char	 line[256];

	if (net->phase == P_GREETING)
		no_greeting(net, NULL);
	parse_excerpt(&net->session.parser, line, sizeof(line));
	lost_sense(net, line, "sent %s", net->session.parser.error);
}

void
session_input(struct net *net)
{
	ssize_t	 n;

	if (net->phase == P_SOCKS)
		socks(net);
	if (net->phase < P_GREETING)
		return;
	while (net->in.len > 0) {
		n = parse_feed(&net->session.parser, buf_ptr(&net->in),
		    net->in.len);
		if (n == -1)
			not_understood(net);
		buf_drain(&net->in, n);
		if (net->session.starttls) {
			net->session.starttls = 0;
			/* Somebody in between would like to be under TLS. */
			if (net->in.len > 0)
				fatal_ex(EX_SYNC_LATER, "%s sent octets behind "
				    "its answer to STARTTLS: they may be "
				    "injected", net->setup.host);
			tls_start(net);
			return;
		}
		if (net->compress == COMPRESS_OK) {
			net->compress = COMPRESS_ON;
			if (stream_compress(net->st, &net->in) == -1)
				fatalx("%s: %s", net->setup.host,
				    stream_error(net->st));
			return;
		}
	}
}

void
session_start(struct net *net)
{
	parse_init(&net->session.parser, &session_ops, net);
	/* Room at once: what is moved to get more may be a secret. */
	buf_room(&net->out, 16 * 1024);
	if (net->setup.proxy != PROXY_NONE) {
		net->session.socks = socks_new(&net->setup);
		next_phase(net, P_SOCKS);
		socks(net);
	} else
		connected(net);
}

void
session_tick(struct net *net)
{
	session_login(net);
}

/* ---- LOGOUT ---- */

static void
logout_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	/* It was not waited for. */
	log_debug("%s: %s answered %d", net->setup.host, c->tag, resp->word);
}

static int
logout_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	net->phase = P_LOGOUT;
	c = cmd_new(net, K_SESSION, NULL, logout_tagged);
	cmd_puts(c, "LOGOUT");
	cmd_end(net, c);
	req_hold(r);		/* for ever: it has no DONE */
	return 1;
}

static const struct req_ops logout_ops = { .emit = logout_emit };

void
session_on_logout(const struct msg *msg)
{
	struct net	*net = msg->arg;

	net->chan.state = CH_LOGOUT;
	once_end(net);
	watch_logout(net);
	if (net->phase < P_READY)
		net_end(net);	/* there is nothing to take leave of */
	req_queue(net, req_new(msg, &logout_ops));
}

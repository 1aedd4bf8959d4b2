/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * --check: both servers, what would be done by a run, and what there is to warn of.
 * It is a dry run with a report of its own.
 */
#include <stdio.h>
#include <time.h>

#include "engine.h"
#include "sandbox.h"

#define EXPIRY_DAYS	14	/* from when on it is warned of */
#define DAY		86400

/* ---- what there is to warn of ---- */

static void	 warn_of(struct engine *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));

static void
warning_add(struct engine *e, const char *text)
{
	struct checking	*c = &e->check;

	if (c->n >= LINES_MAX)
		return;
	c->warnings = xreallocarray(c->warnings, c->n + 1,
	    sizeof(*c->warnings));
	c->warnings[c->n++] = xstrdup(text);
}

static void
warn_of(struct engine *e, const char *fmt, ...)
{
	char	 text[LOG_TEXT_MAX];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	warning_add(e, text);
}

int
check_warned(struct engine *e, const char *text)
{
	if (e->command != CMD_CHECK || log_debugging())
		return 0;
	warning_add(e, text);
	return 1;
}

/* ---- certificates ---- */

static const char *
day(int64_t at, char *buf, size_t size)
{
	struct tm	*tm;
	time_t		 t = at;

	if ((tm = gmtime(&t)) == NULL ||
	    strftime(buf, size, "%Y-%m-%d", tm) == 0)
		strlcpy(buf, "?", size);
	return buf;
}

static void
cert_warnings(struct engine *e, int side)
{
	const struct m_engine_cert	*c = &e->srv[side].cert;
	int64_t				 left = c->notafter - time(NULL);

	if (!e->srv[side].has_cert || c->pin[0] == '\0')
		return;
	if (!c->verified && c->pinned == PINNED_NOT && e->srv[side].is_ready)
		warn_of(e, "%s: the certificate is not verified (SSL_verify = "
		    "NO) and nothing is pinned: whoever is in between can read "
		    "the password; if this is the key of your server add "
		    "SSL_fingerprint = %s", side_name[side], c->pin);
	if (c->notafter > 0 && left < EXPIRY_DAYS * DAY)
		warn_of(e, "%s: the certificate %s in %lld day%s",
		    side_name[side], left < 0 ? "has expired; that was" :
		    "expires", (long long)left / DAY,
		    left / DAY == 1 ? "" : "s");
}

static void
say_cert(struct engine *e, int side)
{
	const struct m_engine_cert	*c = &e->srv[side].cert;
	char				 from[32], to[32];

	if (!e->srv[side].has_cert || c->pin[0] == '\0')
		return;
	report_out("    TLS: %s, %s", c->tls, c->cipher);
	report_out("    certificate: %s", c->subject);
	report_out("    issued by: %s", c->issuer);
	report_out("    valid: %s to %s (%lld days left)", day(c->notbefore,
	    from, sizeof(from)), day(c->notafter, to, sizeof(to)),
	    (long long)(c->notafter - time(NULL)) / DAY);
	report_out("    verified: %s", c->verified ? "yes" : "NO");
	report_out("    its pin: SSL_fingerprint = %s%s", c->pin,
	    c->pinned == PINNED_YES ? " (as configured)" :
	    c->pinned == PINNED_OTHER ? " (ANOTHER ONE is configured)" : "");
}

/* ---- both servers ---- */

static void
inbox_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct server	*srv = &e->srv[r->side];

	if (m->status == ST_OK && r->sess->opened)
		return;
	srv->inbox = NULL;
	srv->noinbox = xstrdup(m->text[0] != '\0' ? m->text : "without a word");
}

/* Read-only, as a run does first. */
static int
check_inbox(struct engine *e)
{
	static const struct answers	 to = { .done = inbox_done };
	struct mbox			*mb = mbox_find(&e->list, "INBOX");
	int				 side;

	for (side = 0; side < SIDES; side++)
		if (mb != NULL && mbox_present(mb, side))
			e->srv[side].inbox = look_open(e, mb, side, 0, &to);
	return loop_wait(e, -1);
}

static int
say_side(struct engine *e, int side)
{
	const struct server	*srv = &e->srv[side];
	int			 bad;

	report_out("%s: %s, logged in by %s", side_name[side],
	    e->want.cfg.host[side], srv->ready.mechanism);
	say_cert(e, side);
	bad = cmd_check_side(e, side);
	if (srv->delim != '\0')
		report_out("    delimiter: %c", srv->delim);
	if (srv->inbox != NULL)
		report_out("    INBOX: opened read-only, %u messages",
		    srv->inbox->exists);
	if (srv->noinbox != NULL) {
		report_out("    INBOX: CAN'T BE OPENED: %s", srv->noinbox);
		bad = 1;
	}
	return bad;
}

/* What is to be watched and nobody has: of list-mailbox a run says it. */
static void
check_watches(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct wanted	*w = &e->want;
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < w->nwatches; i++) {
		name_arg(e, w->watches[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL || mb->skip)
			warn_of(e, "watch-mailbox: there is no mailbox \"%s\" "
			    "to watch", name_show(e, name));
	}
}

/* Names that only one side can have. */
static void
check_names(struct engine *e)
{
	char		 other[NAME_MAX_LEN];
	unsigned int	 n[SIDES] = { 0, 0 };
	struct mbox	*mb;
	int		 side;

	FOREACH_SIDE(mb, side, &e->list)
		n[side] += !mb->skip && mbox_present(mb, side) &&
		    !mbox_present(mb, OTHER(side)) &&
		    map_remote(e, mb->name, other) == 0 &&
		    name_server(e, OTHER(side), mb->name, other) == -1;
	for (side = 0; side < SIDES; side++)
		if (n[side] > 0)
			warn_of(e, "%u mailbox%s of the %s server can't be on "
			    "the %s server, whose hierarchy delimiter '%c' is "
			    "in the name: rename %s, or name %s in "
			    "ignore-mailbox", n[side], n[side] == 1 ? "" : "es",
			    side_name[side], side_name[OTHER(side)],
			    e->srv[OTHER(side)].delim != '\0' ?
			    e->srv[OTHER(side)].delim : ' ',
			    n[side] == 1 ? "it" : "them",
			    n[side] == 1 ? "it" : "them");
}

int
check_servers(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	/* What is ignored is not shown; the plan leaves out more. */
	FOREACH_MBOX(mb, &e->list)
		mb->shown = list_virtual(e, mb) || (!mb->skip &&
		    (mbox_present(mb, LOCAL) || mbox_present(mb, REMOTE)));
	if (check_inbox(e) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		e->check.bad |= say_side(e, side);
	for (side = 0; side < SIDES; side++)
		cert_warnings(e, side);
	check_watches(e);
	check_names(e);
	if (!e->check.bad)
		return 1;
	check_report(e);
	return 0;
}

/* ---- mailboxes ---- */

/* The plan has those that would be created, too. */
static int
is_there(const struct mbox *mb, int side)
{
	return mbox_present(mb, side) &&
	    mb->s[side].told.create != ANS_PLANNED;
}

/* What its server says that it is. */
static const char *
virtual_name(const struct mbox *mb)
{
	uint32_t	 attrs = mb->s[LOCAL].told.attrs |
			    mb->s[REMOTE].told.attrs;

	return attrs & ATTR_ALL ? "\\All" : attrs & ATTR_FLAGGED ?
	    "\\Flagged" : "\\Important";
}

/* What is to be said behind a side's name, if it has another name there. */
static void
say_there(struct engine *e, const struct mbox *mb,
    char there[SIDES][NAME_TEXT_MAX + 16])
{
	const char	*name = map_there(e, mb->name);

	there[LOCAL][0] = there[REMOTE][0] = '\0';
	if (name != NULL)
		snprintf(there[REMOTE], sizeof(there[REMOTE]),
		    " (\"%s\" there)", name_show_on(e, REMOTE, name));
}

static void
say_where(struct engine *e, struct mbox *mb)
{
	const char	*name = name_show(e, mb->name);
	char		 other[NAME_MAX_LEN];
	char		 there[SIDES][NAME_TEXT_MAX + 16];
	int		 side;

	if (list_virtual(e, mb)) {
		report_out("    %s: left out, it shows messages of other "
		    "mailboxes (%s); see virtual-mailboxes", name,
		    virtual_name(mb));
		return;
	}
	say_there(e, mb, there);
	if (is_there(mb, LOCAL) && is_there(mb, REMOTE)) {
		report_out("    %s: %u messages on local, %u on remote%s%s",
		    name, mb->s[LOCAL].told.messages,
		    mb->s[REMOTE].told.messages, there[REMOTE],
		    mb->id == 0 || mb->isnew ? "; not synchronised so far" :
		    "");
		return;
	}
	side = is_there(mb, LOCAL) ? LOCAL : REMOTE;
	if (mb->id != 0 && !mb->isnew)
		report_out("    %s: gone on %s, left alone on %s", name,
		    side_name[OTHER(side)], side_name[side]);
	else if (map_remote(e, mb->name, other) == -1)
		report_out("    %s: skipped, on remote it is the pair of "
		    "another mailbox", name);
	else if (name_server(e, OTHER(side), mb->name, other) == -1)
		report_out("    %s: skipped, %s can't have this name", name,
		    side_name[OTHER(side)]);
	else if (!rules_allow(e, OTHER(side), PROP_NEW))
		report_out("    %s: only on %s, where it stays (direction, "
		    "propagate)", name, side_name[side]);
	else
		report_out("    %s: %u messages on %s%s; will be created on "
		    "%s%s", name, mb->s[side].told.messages, side_name[side],
		    there[side], side_name[OTHER(side)], there[OTHER(side)]);
}

static void
say_plan(struct engine *e, struct mbox *mb)
{
	const char	*why = ledger_reason(e, mb);
	char		 line[LOG_TEXT_MAX];

	report_describe(e, mb, line);
	if (why != NULL)
		report_out("        left alone: %s", why);
	else if (line[0] != '\0' && !mb->stopped)
		report_out("        a run would do: %s", line);
}

static void
twins_warning(struct engine *e)
{
	unsigned long long	 n = 0;
	struct mbox		*mb, *first = NULL;

	FOREACH_MBOX(mb, &e->list) {
		n += mb->ntwins;
		if (mb->ntwins > 0 && first == NULL)
			first = mb;
	}
	if (n > 0)
		warn_of(e, "%llu message%s with the same header fields on both "
		    "servers would be copied in both directions, since "
		    "neither size nor date agree, and then be there twice "
		    "(first in %s)", n, n == 1 ? "" : "s",
		    name_show(e, first->name));
}

static void
say_end(struct engine *e)
{
	size_t	 i;

	for (i = 0; i < e->check.n; i++)
		report_out("warning: %s", e->check.warnings[i]);
	if (e->check.bad)
		report_out("These servers can't be synchronised as they are: "
		    "see above.");
	else
		report_out("All that is needed is there.");
}

/* ---- JSON ---- */

static void
put_cert(struct engine *e, struct buf *b, int side)
{
	const struct m_engine_cert	*c = &e->srv[side].cert;

	buf_puts(b, ",\"certificate\":");
	if (!e->srv[side].has_cert || c->pin[0] == '\0') {
		buf_puts(b, "null");
		return;
	}
	buf_puts(b, "{\"subject\":");
	json_str(b, c->subject);
	buf_puts(b, ",\"issuer\":");
	json_str(b, c->issuer);
	buf_puts(b, ",\"not_before\":");
	json_time(b, c->notbefore);
	buf_puts(b, ",\"not_after\":");
	json_time(b, c->notafter);
	buf_printf(b, ",\"verified\":%s,\"pin\":", json_bool(c->verified));
	json_str(b, c->pin);
	buf_printf(b, ",\"pinned\":%s}", c->pinned == PINNED_NOT ? "null" :
	    json_bool(c->pinned == PINNED_YES));
}

static void
put_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, ",\"%s\":", name);
	json_maybe(b, text);
}

static void
put_side(struct engine *e, struct buf *b, int side)
{
	const struct server	*srv = &e->srv[side];
	const struct extension	*x;
	char			 delim[2] = { srv->delim, '\0' };

	buf_printf(b, ",\"%s\":{\"host\":", side_name[side]);
	json_str(b, e->want.cfg.host[side]);
	put_text(b, "mechanism", srv->is_ready ? srv->ready.mechanism : NULL);
	put_text(b, "tls", srv->has_cert ? srv->cert.tls : NULL);
	put_text(b, "cipher", srv->has_cert ? srv->cert.cipher : NULL);
	put_cert(e, b, side);
	buf_puts(b, ",\"extensions\":{");
	for (x = cmd_extensions; srv->is_ready && x->name != NULL; x++)
		buf_printf(b, "%s\"%s\":%s", x == cmd_extensions ? "" : ",",
		    x->name, json_bool((srv->ready.caps & x->cap) != 0));
	buf_puts(b, "}");
	put_text(b, "delimiter", delim);
	if (srv->inbox != NULL)
		buf_printf(b, ",\"inbox\":%u}", srv->inbox->exists);
	else
		buf_puts(b, ",\"inbox\":null}");
}

static void
put_mbox(struct engine *e, struct buf *b, struct mbox *mb)
{
	struct figures	 f;
	int		 side;

	buf_puts(b, "{");
	json_name(e, b, "name", mb->name);
	json_there(e, b, mb->name);
	buf_printf(b, ",\"known\":%s,\"stopped\":%s",
	    json_bool(mb->id != 0 && !mb->isnew), json_bool(mb->stopped));
	put_text(b, "reason", mb->stopped ? ledger_reason(e, mb) :
	    list_virtual(e, mb) ? "it shows messages of other mailboxes" :
	    NULL);
	buf_printf(b, ",\"paired\":%u,\"twins\":%u,\"messages\":{",
	    mb->npaired, mb->ntwins);
	for (side = 0; side < SIDES; side++) {
		buf_printf(b, "%s\"%s\":", side == 0 ? "" : ",",
		    side_name[side]);
		if (is_there(mb, side))
			buf_printf(b, "%u", mb->s[side].told.messages);
		else
			buf_puts(b, "null");
	}
	buf_puts(b, "}");
	for (side = 0; side < SIDES; side++) {
		progress_figures(e, mb, side, &f);
		buf_printf(b, ",\"%s\":", side_name[side]);
		json_figures(b, &f);
	}
	buf_puts(b, "}");
}

static void
put(struct engine *e)
{
	const char	*sep = "";
	struct buf	 b = BUF_INIT;
	struct mbox	*mb;
	size_t		 i;
	int		 side;

	json_begin(e, &b, (time(NULL) - e->ledger.began) * 1000);
	for (side = 0; side < SIDES; side++)
		put_side(e, &b, side);
	buf_puts(&b, ",\"sandbox\":");
	json_str(&b, sandbox_describe());
	buf_puts(&b, ",\"warnings\":[");
	for (i = 0; i < e->check.n; i++) {
		buf_puts(&b, i == 0 ? "" : ",");
		json_str(&b, e->check.warnings[i]);
	}
	buf_puts(&b, "],\"mailboxes\":[");
	FOREACH_MBOX(mb, &e->list)
		if (mb->shown) {
			buf_puts(&b, sep);
			put_mbox(e, &b, mb);
			sep = ",";
		}
	buf_puts(&b, "]");
	json_end(&b);
}

/* ---- the end ---- */

void
check_report(struct engine *e)
{
	struct mbox	*mb;

	/* What is left alone or refused is no fault of the servers. */
	e->partial = 0;
	report_out("last in sync: %s", progress_synced(e));
	report_out("sandbox: %s", sandbox_describe());
	report_out("mailboxes:");
	FOREACH_MBOX(mb, &e->list)
		if (mb->shown) {
			say_where(e, mb);
			say_plan(e, mb);
		}
	twins_warning(e);
	say_end(e);
	if (e->check.bad) {
		e->end.status = EX_SYNC_ERROR;
		ledger_fault(e, FAULT_SERVER, -1, "these servers can't be "
		    "synchronised as they are");
	}
	if (e->want.cfg.json)
		put(e);
}

void
check_failed(struct engine *e)
{
	const struct server	*srv;
	int			 side;

	if (end_peek(e) != 0)
		return;
	for (side = 0; side < SIDES; side++) {
		srv = &e->srv[side];
		if (!srv->has_cert || srv->cert.pin[0] == '\0')
			continue;
		report_out("%s: %s, %s", side_name[side],
		    e->want.cfg.host[side], srv->is_ready ? "logged in" :
		    "not logged in");
		say_cert(e, side);
	}
	if (e->want.cfg.json)
		put(e);
}

/* ---- a certificate that can't be verified ---- */

int
check_peek(struct engine *e)
{
	int		 side = e->want.cfg.peek - 1;
	struct server	*srv = &e->srv[side];

	while (!ended(e) && !srv->has_cert)
		if (loop_wait(e, 20) == -1)
			return -1;
	report_out("%s: %s, not logged in", side_name[side],
	    e->want.cfg.host[side]);
	say_cert(e, side);
	if (srv->cert.pin[0] != '\0')
		report_out("No password was sent.  If somebody who knows says "
		    "that this is the key of your server, set SSL_verify = NO "
		    "and SSL_fingerprint as above.");
	e->end.status = EX_SYNC_ERROR;
	ledger_fault(e, FAULT_CERTIFICATE, side, "the certificate can't be "
	    "verified; nothing was sent to the server");
	if (e->want.cfg.json)
		put(e);
	return 0;
}

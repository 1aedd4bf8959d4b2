/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Commands under way: what goes to the server, in which order, how far, and
 * which answer belongs to which command.
 */
#include <stdarg.h>
#include <stdio.h>

#include "net.h"

#define LITERAL_MINUS	4096	/* RFC 7888 section 5 */
#define LINE_LEAST	192	/* octets of a line with a range in it */

struct cmd *
cmd_new(struct net *net, enum cmd_kind kind, struct req *req, cmd_fn fn)
{
	struct cmd	*c;

	c = xcalloc(1, sizeof(*c));
	snprintf(c->tag, sizeof(c->tag), "A%u", ++net->cmdq.ntags);
	c->kind = kind;
	c->fn = fn;
	c->open = 1;
	c->intx = 1;
	c->line = net->strategy != NULL ? net->strategy->line : LINE_MAX_LEN;
	if (req != NULL) {
		c->req = req_hold(req);
		if ((c->handle = req->handle) != NULL)
			handle_hold(c->handle);
	}
	TAILQ_INSERT_TAIL(&net->cmdq.answers, c, entry);
	TAILQ_INSERT_TAIL(&net->cmdq.tx, c, txentry);
	cmd_printf(c, "%s ", c->tag);
	return c;
}

void
cmd_of(struct net *net, struct cmd *c, struct handle *h)
{
	handle_hold(h);
	if (c->handle != NULL)
		handle_release(net, c->handle);
	c->handle = h;
}

/* Forget the command; its text never leaves. */
void
cmd_free(struct net *net, struct cmd *c)
{
	if (!c->answered)
		TAILQ_REMOVE(&net->cmdq.answers, c, entry);
	if (c->intx)
		TAILQ_REMOVE(&net->cmdq.tx, c, txentry);
	if (net->cmdq.hold == c)
		net->cmdq.hold = NULL;
	if (c->slot != NULL && *c->slot == c)
		*c->slot = NULL;
	if (c->free != NULL)
		c->free(c);
	buf_wipe(&c->text);
	buf_free(&c->text);
	buf_free(&c->log);
	uidset_free(&c->set);
	uidset_free(&c->found);
	if (c->handle != NULL)
		handle_release(net, c->handle);
	if (c->req != NULL)
		req_release(net, &c->req);
	free(c);
}

void
cmd_keep(struct cmd **slot, struct cmd *c)
{
	*slot = c;
	c->slot = slot;
}

/* ---- text ---- */

static void
cmd_add(struct cmd *c, const void *p, size_t n)
{
	buf_add(&c->text, p, n);
}

/* The same in the log, which has no literals and no secrets. */
static void
cmd_logged(struct cmd *c, const char *s)
{
	if (log_debugging())
		buf_puts(&c->log, s);
}

void
cmd_puts(struct cmd *c, const char *s)
{
	cmd_add(c, s, strlen(s));
	cmd_logged(c, c->secret ? "***" : s);
}

void
cmd_printf(struct cmd *c, const char *fmt, ...)
{
	char	 line[2 * NAME_MAX_LEN];
	va_list	 ap;
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		fatalx("cmd_printf: too long");
	cmd_puts(c, line);
}

int
cmd_literal(struct net *net, struct cmd *c, uint64_t n, int sync)
{
	char	 head[32];
	int	 plus;

	plus = !sync && ((net->caps.bits & CAP_LITERALPLUS) ||
	    ((net->caps.bits & CAP_LITERALMINUS) && n <= LITERAL_MINUS));
	snprintf(head, sizeof(head), "{%llu%s}\r\n", (unsigned long long)n,
	    plus ? "+" : "");
	cmd_add(c, head, strlen(head));
	cmd_logged(c, head);
	if (plus)
		return 0;
	if (c->nbarriers == CMD_BARRIERS)
		fatalx("cmd_literal: too many literals");
	c->barrier[c->nbarriers++] = c->text.len;
	return 1;
}

void
cmd_string(struct net *net, struct cmd *c, const char *s)
{
	const char	*p;
	char		 esc[3] = "\\x";

	for (p = s; *p >= ' ' && *p != 0x7f; p++)
		;
	if (*p != '\0') {
		cmd_literal(net, c, strlen(s), 0);
		cmd_add(c, s, strlen(s));
		return;
	}
	cmd_add(c, "\"", 1);
	for (p = s; *p != '\0'; p++) {
		esc[1] = *p;
		if (*p == '"' || *p == '\\')
			cmd_add(c, esc, 2);
		else
			cmd_add(c, p, 1);
	}
	cmd_add(c, "\"", 1);
	cmd_logged(c, "\"");
	cmd_logged(c, c->secret ? "***" : s);
	cmd_logged(c, "\"");
}

void
cmd_set(struct cmd *c, const struct uidset *set, uint32_t *pos, size_t other,
    int keep)
{
	struct uidrange	 r;
	char		 text[LINE_MAX_LEN];
	size_t		 room;
	uint32_t	 i = *pos;

	/* One range has room in any case. */
	room = c->line > LINE_LEAST + other ? c->line - 128 - other :
	    LINE_LEAST - 128;
	uidset_format(set, pos, text, room);
	cmd_puts(c, text);
	if (keep)
		while (i < *pos && uidset_next(set, &i, &r))
			uidset_add(&c->set, r.lo, r.hi);
}

void
cmd_end(struct net *net, struct cmd *c)
{
	int	 secret = c->secret;

	c->secret = 0;
	cmd_puts(c, "\r\n");
	c->secret = secret;
	c->open = 0;
	cmdq_flush(net);
}

/* ---- out ---- */

/* Show the lines that are complete. */
static void
tx_log(struct cmd *c)
{
	char	*p, *nl;
	size_t	 n;

	while (c->log.len > 0) {
		p = (char *)buf_ptr(&c->log);
		nl = memchr(p, '\n', c->log.len);
		if (nl == NULL)
			return;
		n = nl - p;
		if (n > 0 && p[n - 1] == '\r')
			n--;
		log_debug("C: %.*s", (int)n, p);
		buf_drain(&c->log, nl - p + 1);
	}
}

static void
tx_move(struct net *net, struct cmd *c, size_t n)
{
	unsigned	 i;

	if (n == 0)
		return;
	if (c->start == 0)
		c->start = net->cmdq.put + 1;	/* 0 is "not yet" */
	buf_add(&net->out, buf_ptr(&c->text), n);
	net->cmdq.put += n;
	buf_drain(&c->text, n);
	for (i = 0; i < c->nbarriers; i++)
		c->barrier[i] -= n;
	if (c->secret)
		net->wipe = 1;
}

void
cmdq_flush(struct net *net)
{
	struct cmd	*c;

	while (!net->cmdq.shut && net->cmdq.hold == NULL &&
	    (c = TAILQ_FIRST(&net->cmdq.tx)) != NULL) {
		if (c->waiting)
			return;
		if (c->nbarriers > 0) {
			tx_move(net, c, c->barrier[0]);
			c->nbarriers--;
			memmove(c->barrier, c->barrier + 1,
			    c->nbarriers * sizeof(c->barrier[0]));
			c->waiting = 1;
			tx_log(c);
			return;
		}
		tx_move(net, c, c->text.len);
		tx_log(c);
		if (c->open)
			return;
		if (c->secret)
			buf_wipe(&c->text);
		buf_free(&c->text);
		TAILQ_REMOVE(&net->cmdq.tx, c, txentry);
		c->intx = 0;
		if (c->hold)
			net->cmdq.hold = c;
	}
}

int
cmd_clear(struct net *net, struct cmd *c)
{
	return c == TAILQ_FIRST(&net->cmdq.tx) && net->cmdq.hold == NULL &&
	    !c->waiting && c->nbarriers == 0 && c->text.len == 0;
}

void
cmd_octets(struct net *net, const void *p, size_t n)
{
	buf_add(&net->out, p, n);
	net->cmdq.put += n;
}

void
cmd_move(struct net *net, struct buf *from, size_t n)
{
	buf_move(&net->out, from, n);
	net->cmdq.put += n;
}

void
cmdq_abandon(struct net *net, struct cmd *c)
{
	uint64_t	 written = net->cmdq.put - net->out.len;

	net->cmdq.shut = 1;
	if (c->start == 0)
		return;
	/* What stands in front of it still goes. */
	if (c->start - 1 > written)
		net->out.len = c->start - 1 - written;
	else
		net->out.len = 0;
	net->cmdq.put = written + net->out.len;
}

/* ---- answers ---- */

struct cmd *
cmdq_find(struct net *net, const char *tag)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (strcmp(c->tag, tag) == 0)
			return c;
	return NULL;
}

struct cmd *
cmdq_oldest(struct net *net, enum cmd_kind kind)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (c->kind == kind)
			return c;
	return NULL;
}

int
cmdq_due(struct net *net)
{
	struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	return c != NULL && (!c->intx || c->waiting);
}

void
cmdq_tagged(struct net *net, const struct resp *r)
{
	struct cmd	*c = cmdq_find(net, r->tag);
	int		 busy;

	if (c == NULL || (c->intx && c->start == 0))
		lost_sense(net, r->text, "answers a command that was not "
		    "given");
	if (r->word == WORD_OK && c->intx)
		lost_sense(net, NULL, "answers OK to a command that it has not "
		    "read");
	net_heard(net);
	handle_tagged(net, c, r);
	/*
	 * An answer in place of "+" ends the command.  An APPEND may be
	 * answered while its octets are still on their way: then copyrecv.c
	 * goes on.
	 */
	if (c->intx && (c->waiting || !c->open)) {
		TAILQ_REMOVE(&net->cmdq.tx, c, txentry);
		c->intx = 0;
		c->waiting = 0;
		buf_wipe(&c->text);
	}
	if (net->cmdq.hold == c)
		net->cmdq.hold = NULL;
	busy = c->intx;
	/* From here on its tag is nobody's. */
	TAILQ_REMOVE(&net->cmdq.answers, c, entry);
	c->answered = 1;
	c->fn(net, c, r);
	if (!busy)
		cmd_free(net, c);
	cmdq_flush(net);
}

int
cmdq_expects(const struct net *net)
{
	const struct cmd	*c = TAILQ_FIRST(&net->cmdq.tx);

	return (net->cmdq.hold != NULL && net->cmdq.hold->cont != NULL) ||
	    (c != NULL && c->waiting);
}

void
cmdq_cont(struct net *net, const struct resp *r)
{
	struct cmd	*c = TAILQ_FIRST(&net->cmdq.tx);

	if (net->cmdq.hold != NULL && net->cmdq.hold->cont != NULL) {
		net_heard(net);
		net->cmdq.hold->cont(net, net->cmdq.hold, r);
		return;
	}
	if (c == NULL || !c->waiting) {
		log_debug("%s: a \"+\" that nothing waits for",
		    net->setup.host);
		return;
	}
	net_heard(net);
	c->waiting = 0;
	cmdq_flush(net);
}

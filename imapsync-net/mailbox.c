/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The mailbox that is selected: how it becomes so, and what the server says of
 * its messages.
 */
#include "net.h"

/* ---- SELECT ---- */

struct cmd *
mailbox_select(struct net *net, struct req *r, struct handle *h, cmd_fn fn)
{
	const struct m_net_open	*o = &h->open;
	struct cmd		*c;

	c = cmd_new(net, K_SELECT, r, fn);
	cmd_puts(c, o->what & OPEN_EXAMINE ? "EXAMINE " : "SELECT ");
	cmd_string(net, c, h->mailbox);
	if (net->qresync && o->uidvalidity != 0 && o->modseq != 0) {
		cmd_printf(c, " (QRESYNC (%u %llu", o->uidvalidity,
		    (unsigned long long)o->modseq);
		/* "1:0" is no set (RFC 3501 section 9). */
		if (o->n != 0)
			cmd_printf(c, " 1:%u", o->n);
		cmd_puts(c, "))");
	}
	cmd_end(net, c);
	return c;
}

/* ---- FETCH ---- */

/* The unanswered command of that kind that asked for the message. */
static struct cmd *
mailbox_asked(struct net *net, enum cmd_kind kind, uint32_t uid)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry) {
		if (c->kind == K_SELECT && c->handle != net->handles.current)
			break;
		if (c->kind == kind && uidset_has(&c->set, uid))
			return c;
	}
	return NULL;
}

void
mailbox_body(struct net *net, const struct fetch *f, uint64_t len)
{
	struct cmd	*c;

	net->body.section = f->section;
	net->body.send = NULL;
	net->body.hashead = 0;
	switch (f->section) {
	case SECT_HEADER:
		key_init(&net->body.key);
		break;
	case SECT_ALL:
		if (f->uid == 0 && cmdq_oldest(net, K_SEND) != NULL)
			fatalx("%s sends BODY[] in front of the UID; this "
			    "program can't copy from such a server",
			    net->setup.host);
		/* No message is empty: that is none. */
		if (len == 0 ||
		    (c = mailbox_asked(net, K_SEND, f->uid)) == NULL)
			break;
		cmd_keep(&net->body.send, c);
		uidset_del(&c->set, f->uid, f->uid);
		c->due = f->uid;
		send_body(net, c, f, len);
		break;
	default:
		break;
	}
}

void
mailbox_data(struct net *net, const void *p, size_t n)
{
	if (net->body.section == SECT_HEADER)
		key_feed(&net->body.key, p, n);
	else if (net->body.send != NULL)
		send_data(net, p, n);
}

void
mailbox_end(struct net *net)
{
	if (net->body.section == SECT_HEADER) {
		net->body.headkey = key_final(&net->body.key, &net->body.msgid);
		net->body.hashead = 1;
	} else if (net->body.send != NULL) {
		send_end(net);
		net->body.send->due = 0;
	}
	net->body.section = SECT_NONE;
	net->body.send = NULL;
}

/* Returns 1 if the response answers a META. */
static int
mailbox_meta(struct net *net, const struct fetch *f)
{
	struct m_engine_meta	 m;
	struct cmd		*c;

	if (!f->has_size || (c = mailbox_asked(net, K_META, f->uid)) == NULL)
		return 0;
	memset(&m, 0, sizeof(m));
	m.uid = f->uid;
	m.size = f->size;
	m.date = DATE_NONE;
	m.flags = f->has_flags ? f->flags : "";
	if (!c->req->brief) {
		if (!net->body.hashead || f->section != SECT_HEADER)
			return 1;	/* it was expunged meanwhile */
		m.key = net->body.headkey;
		m.msgid = net->body.msgid;
		if (f->has_date == FDATE_TOLD)
			parse_date(f->date, &m.date);
	}
	uidset_del(&c->set, f->uid, f->uid);
	chan_send(&net->chan, M_ENGINE_META, c->req->id, &m);
	return 1;
}

static void
mailbox_fetch(struct net *net, const struct fetch *f)
{
	struct m_engine_flags	 m;
	struct handle		*h = net->handles.current;

	/* Without a UID it can't be told whose it is (RFC 7162 section 3.2). */
	if (h == NULL || h->id == 0 || f->uid == 0)
		return;
	if (f->has_modseq && f->modseq > h->maxmodseq)
		h->maxmodseq = f->modseq;
	if (!f->has_modseq &&
	    (mailbox_meta(net, f) || f->section == SECT_ALL || !f->has_flags))
		return;
	if (f->has_modseq)
		mailbox_meta(net, f);
	m.uid = f->uid;
	m.modseq = f->has_modseq ? f->modseq : 0;
	m.has_flags = f->has_flags;
	m.flags = f->has_flags ? f->flags : "";
	chan_send(&net->chan, M_ENGINE_FLAGS, h->id, &m);
}

void
mailbox_untagged(struct net *net, const struct resp *r)
{
	struct handle	*h;

	handle_untagged(net, r);
	if ((h = net->handles.current) == NULL)
		return;
	if (r->type == R_FETCH) {
		mailbox_fetch(net, r->fetch);
		net->body.hashead = 0;
	} else if (r->type == R_VANISHED && h->id != 0) {
		uidset_or(&h->vanished, &r->set);
		req_sendset(net, M_ENGINE_VANISHED, h->id, &r->set,
		    r->earlier);
	}
}

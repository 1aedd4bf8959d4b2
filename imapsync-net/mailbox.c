/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Handles: the mailbox that is selected, the ones that will be, and what the
 * server says of them.
 */
#include "net.h"

struct handle *
mbox_new(struct net *net, uint32_t id, const struct m_net_open *open)
{
	struct handle	*h;

	h = xcalloc(1, sizeof(*h));
	h->id = id;
	h->open = *open;
	h->mailbox = xstrdup(open->mailbox);
	h->open.mailbox = h->mailbox;
	h->perm = xstrdup("");
	h->mailboxid = xstrdup("");
	TAILQ_INSERT_TAIL(&net->handles, h, entry);
	if (net->last != NULL)
		mbox_release(net, net->last);
	net->last = h;
	mbox_hold(h);
	return h;
}

/* Only the mailbox of the last OPEN can be named. */
struct handle *
mbox_find(struct net *net, uint32_t id)
{
	return net->last != NULL && net->last->id == id ? net->last : NULL;
}

void
mbox_hold(struct handle *h)
{
	h->refs++;
}

void
mbox_release(struct net *net, struct handle *h)
{
	if (--h->refs > 0)
		return;
	TAILQ_REMOVE(&net->handles, h, entry);
	free(h->mailbox);
	free(h->perm);
	free(h->mailboxid);
	free(h);
}

struct cmd *
mbox_select(struct net *net, struct req *r, struct handle *h,
    void (*fn)(struct net *, struct cmd *, const struct resp *))
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

static void
mbox_set(char **dst, const char *src)
{
	free(*dst);
	*dst = xstrdup(src);
}

static void
mbox_current(struct net *net, struct handle *h)
{
	if (h != NULL)
		mbox_hold(h);
	if (net->current != NULL)
		mbox_release(net, net->current);
	net->current = h;
}

/* From here on the server talks of the mailbox that is being selected. */
static void
mbox_switch(struct net *net, struct cmd *c)
{
	struct handle	*h = c->handle;

	c->got = 1;
	mbox_current(net, h);
	h->exists = net->newexists;
	h->uidvalidity = h->uidnext = 0;
	h->modseq = h->codemodseq = h->maxmodseq = 0;
	h->has_code = h->nomodseq = 0;
	h->readonly = (h->open.what & OPEN_EXAMINE) != 0;
	h->has_perm = h->perm_any = 0;
	mbox_set(&h->perm, "");
	mbox_set(&h->mailboxid, "");
}

/*
 * Commands that follow each other are answered one after the other, but for
 * those on one mailbox.  So a SELECT runs once all in front of it is answered;
 * what comes before [CLOSED] still is about the mailbox before it (RFC 7162
 * section 3.2.11).
 */
static void
mbox_selecting(struct net *net, const struct resp *r)
{
	struct cmd	*c = TAILQ_FIRST(&net->answers);

	if (c == NULL || c->kind != K_SELECT)
		return;
	if (net->selecting != c) {
		net->selecting = c;
		net->newexists = 0;
	}
	if (c->got)
		return;
	if (r->type == R_STATUS && r->code == C_CLOSED) {
		net->newexists = 0;
		mbox_switch(net, c);
		return;
	}
	if (net->current == NULL ||
	    (r->type == R_STATUS && r->code == C_UIDVALIDITY) ||
	    (r->type == R_VANISHED && r->earlier))
		mbox_switch(net, c);
	else if (r->type == R_EXISTS)
		net->newexists = r->num;
}

/* HIGHESTMODSEQ by RFC 7162 section 6. */
static void
mbox_modseq(struct handle *h)
{
	if (h->has_code)
		h->modseq = h->codemodseq;
	else if (h->maxmodseq > h->modseq)
		h->modseq = h->maxmodseq;
	if (h->nomodseq)
		h->modseq = 0;
	h->has_code = 0;
	h->maxmodseq = 0;
}

static void
mbox_code(struct net *net, struct handle *h, const struct resp *r)
{
	switch (r->code) {
	case C_UIDVALIDITY:
		h->uidvalidity = r->num;
		break;
	case C_UIDNEXT:
		h->uidnext = r->num;
		break;
	case C_HIGHESTMODSEQ:
		h->has_code = 1;
		h->codemodseq = r->num;
		break;
	case C_NOMODSEQ:
		h->nomodseq = 1;
		break;
	case C_PERMANENTFLAGS:
		h->has_perm = 1;
		h->perm_any = r->any;
		mbox_set(&h->perm, r->flags);
		break;
	case C_MAILBOXID:
		mbox_set(&h->mailboxid, r->mailboxid);
		break;
	case C_READONLY:
		h->readonly = 1;
		break;
	case C_UIDNOTSTICKY:
		log_mbox(LOG_LV_WARN, h->mailbox, "%s does not keep the UIDs "
		    "of this mailbox", net->setup.host);
		break;
	default:
		break;
	}
}

void
mbox_tagged(struct net *net, struct cmd *c, const struct resp *r)
{
	struct handle	*h;

	if (c->kind == K_SELECT) {
		h = c->handle;
		if (r->word == WORD_OK) {
			if (!c->got) {
				if (net->selecting != c)
					net->newexists = 0;
				mbox_switch(net, c);
			}
			mbox_code(net, h, r);
			h->selmodseq = h->has_code && !h->nomodseq ?
			    h->codemodseq : 0;
			h->state = H_OK;
		} else {
			/* Nothing is selected now (RFC 3501 section 6.3.1). */
			mbox_current(net, NULL);
			h->state = H_NO;
		}
		net->selecting = NULL;
	} else if (net->current != NULL)
		mbox_code(net, net->current, r);
	if (net->current != NULL)
		mbox_modseq(net->current);
}

/* ---- FETCH ---- */

/* The unanswered command of that kind that asked for the message. */
static struct cmd *
mbox_asked(struct net *net, enum cmd_kind kind, uint32_t uid)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->answers, entry) {
		if (c->kind == K_SELECT && c->handle != net->current)
			break;
		if (c->kind == kind && uidset_has(&c->set, uid))
			return c;
	}
	return NULL;
}

void
mbox_body(struct net *net, const struct fetch *f, uint64_t len)
{
	net->body = f->section;
	net->sending = NULL;
	net->hashead = 0;
	switch (f->section) {
	case SECT_HEADER:
		key_init(&net->key);
		break;
	case SECT_ALL:
		if (f->uid == 0 && cmdq_oldest(net, K_SEND) != NULL)
			fatalx("%s sends BODY[] in front of the UID; this "
			    "program can't copy from such a server",
			    net->setup.host);
		net->sending = mbox_asked(net, K_SEND, f->uid);
		if (net->sending != NULL) {
			uidset_del(&net->sending->set, f->uid, f->uid);
			send_body(net, net->sending, f, len);
		}
		break;
	default:
		break;
	}
}

void
mbox_data(struct net *net, const void *p, size_t n)
{
	if (net->body == SECT_HEADER)
		key_feed(&net->key, p, n);
	else if (net->sending != NULL)
		send_data(net, p, n);
}

void
mbox_end(struct net *net)
{
	if (net->body == SECT_HEADER) {
		net->headkey = key_final(&net->key, &net->headmsgid);
		net->hashead = 1;
	} else if (net->sending != NULL)
		send_end(net);
	net->body = SECT_NONE;
	net->sending = NULL;
}

/* Returns 1 if the response answers a META. */
static int
mbox_meta(struct net *net, const struct fetch *f)
{
	struct m_engine_meta	 m;
	struct cmd		*c;

	if (!f->has_size || (c = mbox_asked(net, K_META, f->uid)) == NULL)
		return 0;
	memset(&m, 0, sizeof(m));
	m.uid = f->uid;
	m.size = f->size;
	m.date = DATE_NONE;
	m.flags = f->has_flags ? f->flags : "";
	if (!c->req->brief) {
		if (!net->hashead || f->section != SECT_HEADER)
			return 1;	/* it was expunged meanwhile */
		m.key = net->headkey;
		m.msgid = net->headmsgid;
		if (f->has_date == FDATE_TOLD)
			parse_date(f->date, &m.date);
	}
	uidset_del(&c->set, f->uid, f->uid);
	chan_send(&net->chan, M_ENGINE_META, c->req->id, &m);
	return 1;
}

static void
mbox_fetch(struct net *net, const struct fetch *f)
{
	struct m_engine_flags	 m;
	struct handle		*h = net->current;

	/* Without a UID it can't be told whose it is (RFC 7162 section 3.2). */
	if (h == NULL || h->id == 0 || f->uid == 0)
		return;
	if (f->has_modseq && f->modseq > h->maxmodseq)
		h->maxmodseq = f->modseq;
	if (!f->has_modseq &&
	    (mbox_meta(net, f) || f->section == SECT_ALL || !f->has_flags))
		return;
	if (f->has_modseq)
		mbox_meta(net, f);
	m.uid = f->uid;
	m.modseq = f->has_modseq ? f->modseq : 0;
	m.has_flags = f->has_flags;
	m.flags = f->has_flags ? f->flags : "";
	chan_send(&net->chan, M_ENGINE_FLAGS, h->id, &m);
}

static void
mbox_vanished(struct net *net, const struct resp *r)
{
	struct handle	*h = net->current;
	uint64_t	 n;

	if (h == NULL)
		return;
	if (!r->earlier) {
		n = uidset_count(&r->set);
		h->exists = n > h->exists ? 0 : h->exists - n;
	}
	if (h->id == 0)
		return;		/* muted */
	req_sendset(net, M_ENGINE_VANISHED, h->id, &r->set, r->earlier);
}

void
mbox_untagged(struct net *net, const struct resp *r)
{
	mbox_selecting(net, r);
	if (net->current == NULL)
		return;
	switch (r->type) {
	case R_EXISTS:
		net->current->exists = r->num;
		break;
	case R_EXPUNGE:
		if (net->current->exists > 0)
			net->current->exists--;
		break;
	case R_FETCH:
		mbox_fetch(net, r->fetch);
		net->hashead = 0;
		break;
	case R_VANISHED:
		mbox_vanished(net, r);
		break;
	case R_STATUS:
		mbox_code(net, net->current, r);
		break;
	default:
		break;
	}
}

void
mbox_mute(struct net *net)
{
	if (net->last != NULL)
		mbox_release(net, net->last);
	net->last = NULL;
	if (net->current != NULL)
		net->current->id = 0;
}

void
mbox_unselected(struct net *net)
{
	mbox_current(net, NULL);
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Handles: the mailbox that is selected, the ones that will be, and the numbers
 * that the server tells of them.
 */
#include "net.h"

#define VANISHED_MOST	1000	/* ranges that are remembered of a mailbox */

static struct handle *
handle_make(struct net *net, uint32_t id, const struct m_net_open *open)
{
	struct handle	*h;

	h = xcalloc(1, sizeof(*h));
	h->id = id;
	h->open = *open;
	h->mailbox = xstrdup(open->mailbox);
	h->open.mailbox = h->mailbox;
	h->perm = xstrdup("");
	h->mailboxid = xstrdup("");
	TAILQ_INSERT_TAIL(&net->handles.all, h, entry);
	return h;
}

struct handle *
handle_new(struct net *net, uint32_t id, const struct m_net_open *open)
{
	struct handle	*h = handle_make(net, id, open);

	if (net->handles.last != NULL)
		handle_release(net, net->handles.last);
	net->handles.last = h;
	handle_hold(h);
	return h;
}

struct handle *
handle_twin(struct net *net, const struct handle *h)
{
	struct m_net_open	 open;

	memset(&open, 0, sizeof(open));
	open.what = OPEN_EXAMINE;
	open.mailbox = h->mailbox;
	return handle_make(net, 0, &open);
}

/* Only the mailbox of the last OPEN can be named. */
struct handle *
handle_find(struct net *net, uint32_t id)
{
	struct handle	*h = net->handles.last;

	return h != NULL && h->id == id ? h : NULL;
}

void
handle_hold(struct handle *h)
{
	h->refs++;
}

void
handle_release(struct net *net, struct handle *h)
{
	if (--h->refs > 0)
		return;
	TAILQ_REMOVE(&net->handles.all, h, entry);
	free(h->mailbox);
	free(h->perm);
	flags_new_free(&h->made);
	free(h->mailboxid);
	uidset_free(&h->vanished);
	free(h);
}

static void
handle_set(char **dst, const char *src)
{
	free(*dst);
	*dst = xstrdup(src);
}

static void
handle_current(struct net *net, struct handle *h)
{
	if (h != NULL)
		handle_hold(h);
	if (net->handles.current != NULL)
		handle_release(net, net->handles.current);
	net->handles.current = h;
}

void
handle_sent(struct net *net, struct handle *h)
{
	if (h != NULL)
		handle_hold(h);
	if (net->handles.sent != NULL)
		handle_release(net, net->handles.sent);
	net->handles.sent = h;
}

/* From here on the server talks of the mailbox that is being selected. */
static void
handle_switch(struct net *net, struct cmd *c)
{
	struct handle	*h = c->handle;

	c->got = 1;
	handle_current(net, h);
	h->exists = net->handles.newexists;
	h->recent = net->handles.newrecent;
	h->uidvalidity = h->uidnext = 0;
	h->modseq = h->codemodseq = h->maxmodseq = 0;
	h->has_code = h->nomodseq = h->told_modseq = 0;
	h->readonly = (h->open.what & OPEN_EXAMINE) != 0;
	h->notsticky = 0;
	h->has_perm = h->perm_any = 0;
	handle_set(&h->perm, "");
	handle_set(&h->mailboxid, "");
}

/*
 * Commands that follow each other are answered one after the other, but for
 * those on one mailbox.  So a SELECT runs once all in front of it is answered;
 * what comes before [CLOSED] still is about the mailbox before it (RFC 7162
 * section 3.2.11).
 */
static void
handle_selecting(struct net *net, const struct resp *r)
{
	struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	if (c == NULL || c->kind != K_SELECT)
		return;
	if (!c->runs) {
		c->runs = 1;
		net->handles.newexists = net->handles.newrecent = 0;
	}
	if (c->got)
		return;
	if (r->type == R_STATUS && r->code == C_CLOSED) {
		net->handles.newexists = net->handles.newrecent = 0;
		handle_switch(net, c);
		return;
	}
	if (net->handles.current == NULL || (r->type == R_STATUS &&
	    (r->code == C_UIDVALIDITY || r->code == C_UIDNOTSTICKY)) ||
	    (r->type == R_VANISHED && r->earlier))
		handle_switch(net, c);
	else if (r->type == R_EXISTS)
		net->handles.newexists = r->num;
	else if (r->type == R_RECENT)
		net->handles.newrecent = r->num;
}

/* HIGHESTMODSEQ by RFC 7162 section 6. */
static void
handle_modseq(struct handle *h)
{
	if (h->has_code)
		h->modseq = h->codemodseq;
	else if (h->maxmodseq > h->modseq)
		h->modseq = h->maxmodseq;
	/* A FETCH alone does not make up for what SELECT did not tell. */
	if (h->nomodseq || !h->told_modseq)
		h->modseq = 0;
	h->has_code = 0;
	h->maxmodseq = 0;
}

static void
handle_code(const struct net *net, struct handle *h, const struct resp *r)
{
	/* Some tell HIGHESTMODSEQ and offer nothing that has to do with it. */
	if (r->bad || (r->code == C_HIGHESTMODSEQ && !net->strategy->modseq))
		return;
	switch (r->code) {
	case C_UIDVALIDITY:
		h->uidvalidity = r->num;
		break;
	case C_UIDNEXT:
		h->uidnext = r->num;
		break;
	case C_HIGHESTMODSEQ:
		h->has_code = h->told_modseq = 1;
		h->codemodseq = r->num;
		break;
	case C_NOMODSEQ:
		h->nomodseq = 1;
		break;
	case C_PERMANENTFLAGS:
		h->has_perm = 1;
		h->perm_any = r->any;
		handle_set(&h->perm, r->flags);
		break;
	case C_MAILBOXID:
		handle_set(&h->mailboxid, r->mailboxid);
		break;
	case C_READONLY:
		h->readonly = 1;
		break;
	case C_UIDNOTSTICKY:
		h->notsticky = 1;
		break;
	default:
		break;
	}
}

void
handle_tagged(struct net *net, struct cmd *c, const struct resp *r)
{
	struct handle	*h;

	if (c->kind == K_SELECT) {
		h = c->handle;
		if (r->word == WORD_OK) {
			if (!c->got) {
				if (!c->runs)
					net->handles.newexists = net->handles.newrecent = 0;
				handle_switch(net, c);
			}
			handle_code(net, h, r);
			h->selmodseq = h->has_code && !h->nomodseq ?
			    h->codemodseq : 0;
			h->state = H_OK;
		} else {
			/* Nothing is selected now (RFC 3501 section 6.3.1). */
			handle_current(net, NULL);
			h->state = H_NO;
		}
	} else if (net->handles.current != NULL)
		handle_code(net, net->handles.current, r);
	if (net->handles.current != NULL)
		handle_modseq(net->handles.current);
}

void
handle_untagged(struct net *net, const struct resp *r)
{
	struct handle	*h;
	uint64_t	 n;

	handle_selecting(net, r);
	if ((h = net->handles.current) == NULL)
		return;
	if (h->state == H_OK && r->type != R_ESEARCH && r->type != R_LIST &&
	    r->type != R_STATUS)
		h->touched = 1;
	if (r->bad)
		return;
	switch (r->type) {
	case R_EXISTS:
		h->exists = r->num;
		break;
	case R_RECENT:
		h->recent = r->num;
		break;
	case R_EXPUNGE:
		if (h->exists > 0)
			h->exists--;
		break;
	case R_VANISHED:
		if (net->strategy->proof == PROOF_TOLD &&
		    h->vanished.n < VANISHED_MOST &&
		    r->set.n < VANISHED_MOST)
			uidset_or(&h->vanished, &r->set);
		if (r->earlier)
			break;
		n = uidset_count(&r->set);
		h->exists = n > h->exists ? 0 : h->exists - n;
		break;
	case R_STATUS:
		handle_code(net, h, r);
		break;
	default:
		break;
	}
}

int
handle_keep(struct net *net, struct handle *h)
{
	const struct m_net_open	*open = &h->open;
	struct handle		*o = net->handles.current;

	if (!(open->what & OPEN_KEEP) || o == NULL || o->state != H_OK ||
	    o != net->handles.sent || !TAILQ_EMPTY(&net->cmdq.answers) ||
	    net->strategy->proof != PROOF_TOLD ||
	    strcmp(o->mailbox, h->mailbox) != 0 ||
	    (o->open.what & OPEN_EXAMINE && !(open->what & OPEN_EXAMINE)) ||
	    (open->modseq != 0 && open->modseq != o->selmodseq) ||
	    o->has_code || o->modseq != o->selmodseq || o->touched || o->spoilt ||
	    o->unsure || o->watched)
		return 0;
	h->state = H_OK;
	h->uidvalidity = o->uidvalidity;
	h->uidnext = o->uidnext;
	h->exists = o->exists;
	h->recent = o->recent;
	h->modseq = o->modseq;
	h->selmodseq = o->selmodseq;
	h->told_modseq = o->told_modseq;
	h->nomodseq = o->nomodseq;
	h->readonly = o->readonly;
	h->notsticky = o->notsticky;
	h->has_perm = o->has_perm;
	h->perm_any = o->perm_any;
	handle_set(&h->perm, o->perm);
	handle_set(&h->mailboxid, o->mailboxid);
	uidset_copy(&h->vanished, &o->vanished);
	handle_sent(net, h);
	handle_current(net, h);
	return 1;
}

struct handle *
handle_coming(struct net *net)
{
	struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	return c != NULL && c->kind == K_SELECT && !c->got ? c->handle : NULL;
}

void
handle_mute(struct net *net)
{
	if (net->handles.last != NULL)
		handle_release(net, net->handles.last);
	net->handles.last = NULL;
	if (net->handles.current != NULL)
		net->handles.current->id = 0;
}

void
handle_unselected(struct net *net)
{
	handle_current(net, NULL);
}

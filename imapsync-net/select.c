/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * SELECT, lists, and looks at what is there, which several requests send.
 */
#include "net.h"

struct cmd *
select_box(struct net *net, struct req *r, struct handle *h, cmd_fn fn)
{
	const struct m_net_open	*o = &h->open;
	struct cmd		*c;

	c = cmd_new(net, K_SELECT, r, fn);
	cmd_of(net, c, h);
	handle_sent(net, h);
	cmd_puts(c, o->what & OPEN_EXAMINE ? "EXAMINE " : "SELECT ");
	cmd_string(net, c, h->mailbox);
	if (net->strategy->param != NULL)
		net->strategy->param(c, o);
	cmd_end(net, c);
	return c;
}

int
select_leave(struct net *net, struct req *r, cmd_fn fn)
{
	const struct handle	*h = net->handles.current;
	int			 can = net->caps.bits & CAP_UNSELECT;
	struct cmd		*c;

	if (h == NULL || (!can && (!(h->open.what & OPEN_EXAMINE) ||
	    h->state != H_OK || !h->readonly)))
		return 0;
	handle_sent(net, NULL);
	c = cmd_new(net, K_SESSION, r, fn);
	cmd_puts(c, can ? "UNSELECT" : "CLOSE");
	cmd_end(net, c);
	return 1;
}

struct cmd *
select_search(struct net *net, struct req *r, int what, cmd_fn fn)
{
	struct cmd	*c;

	c = cmd_new(net, K_SEARCH, r, fn);
	c->what = what;
	if (strategy_byfetch(net, what)) {
		c->what_for = FOR_LIST;
		/* Of no message there is no answer but the tagged one. */
		c->got = 1;
		cmd_puts(c, "UID FETCH ");
		return c;
	}
	cmd_puts(c, net->caps.bits & CAP_ESEARCH ?
	    "UID SEARCH RETURN (ALL) UID " : "UID SEARCH UID ");
	return c;
}

void
select_search_end(struct net *net, struct cmd *c)
{
	if (c->what_for == FOR_LIST)
		cmd_puts(c, " (UID)");
	cmd_end(net, c);
}

/*
 * ESEARCH names its command; SEARCH, of which there can't be two at a time
 * (RFC 3501 section 5.5), is the oldest one's, if that did not ask for ESEARCH.
 */
void
select_found(struct net *net, const struct resp *resp)
{
	struct uidset	 found = UIDSET_INIT;
	struct cmd	*c = NULL;

	if (resp->type == R_ESEARCH)
		c = cmdq_find(net, resp->tag);
	else if (!(net->caps.bits & CAP_ESEARCH))
		c = cmdq_oldest(net, K_SEARCH);
	if (c == NULL || c->kind != K_SEARCH || c->what_for == FOR_LIST)
		return;
	if (!c->got)
		net_heard(net);
	if (!resp->more)
		c->got = 1;
	if (c->what_for == FOR_DELETED) {
		uidset_or(&c->found, &resp->set);
		return;
	}
	if (c->missing != NULL) {
		uidset_or(&c->missing->found, &resp->set);
		return;
	}
	/* It may be so; by a FETCH it is certain. */
	if (net->strategy->search != 0 && c->what == OPEN_ALL && !resp->more &&
	    uidset_empty(&resp->set) && c->handle->exists > 0)
		net->nosearch = 1;
	uidset_copy(&found, &resp->set);
	/* A server may name what it was not asked for. */
	if (c->req->type == M_NET_SEARCH)
		uidset_and(&found, &c->req->set);
	req_sendset(net, M_ENGINE_UIDS, c->req->id, &found, c->what);
	uidset_free(&found);
}

/* ---- lists and looks that are FETCHes ---- */

void
select_listed(struct net *net, struct cmd *c)
{
	if (c->what_for != FOR_LIST || uidset_empty(&c->found))
		return;
	/* A server may show what it was not asked for. */
	if (c->req->type == M_NET_SEARCH)
		uidset_and(&c->found, &c->req->set);
	req_sendset(net, M_ENGINE_UIDS, c->req->id, &c->found, c->what);
}

static void
shown_list(struct net *net, struct cmd *c, uint32_t uid)
{
	struct uidset	*to = c->missing != NULL ? &c->missing->found :
			    &c->found;

	if (uid < c->lo || uid > c->hi || uidset_has(to, uid))
		return;
	uidset_add(to, uid, uid);
	if (uid > c->handle->listed)
		c->handle->listed = uid;
	net_heard(net);
}

/* What it has more of than can be told may be \Deleted, too. */
static void
shown_marked(struct cmd *c, const struct fetch *f)
{
	if (!f->has_flags)
		return;
	uidset_add(&c->found, f->uid, f->uid);
	if (f->has_flags == FLAGS_CUT || flags_has(f->flags, "\\Deleted"))
		uidset_add(&c->set, f->uid, f->uid);
}

/*
 * What is shown is there, whichever command it answers; but what was said in
 * front of a SELECT says nothing about what is behind it, and the canary is
 * answered only while it is being answered.
 */
void
select_shown(struct net *net, const struct fetch *f)
{
	struct cmd	*c, *first = TAILQ_FIRST(&net->cmdq.answers);

	TAILQ_FOREACH(c, &net->cmdq.answers, entry) {
		if (c->kind == K_SELECT)
			break;
		if (c->what_for == FOR_LIST)
			shown_list(net, c, f->uid);
		else if (c->what_for == FOR_MARKED)
			shown_marked(c, f);
		else if (c->what_for == FOR_CONFIRM) {
			uidset_del(&c->set, f->uid, f->uid);
			c->got |= f->uid == c->lo;
		}
	}
	if (first != NULL && first->what_for == FOR_CANARY &&
	    !f->has_flags && !f->has_modseq)
		first->got = 1;
}

/* ---- the canary ---- */

#define CANARY_UID	4294967294U	/* no mailbox has come so far */

static void
canary_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	if (c->got)
		net->canary = CANARY_GHOST;
	/* Of an empty mailbox nothing can be shown. */
	else if (net->canary == CANARY_UNKNOWN && c->handle->exists > 0 &&
	    c->handle->state == H_OK && resp->word != WORD_BAD)
		net->canary = CANARY_SOUND;
}

void
select_canary(struct net *net, struct req *r)
{
	struct cmd	*c;

	if (net->strategy->proof == PROOF_TOLD ||
	    net->canary != CANARY_UNKNOWN)
		return;
	c = cmd_new(net, K_FETCH, r, canary_tagged);
	c->what_for = FOR_CANARY;
	cmd_printf(c, "UID FETCH %u (UID)", CANARY_UID);
	cmd_end(net, c);
}

/* ---- what is expunged ---- */

/*
 * Without a survivor the mailbox must be empty.  An OK to UID EXPUNGE proves
 * nothing, and neither does an answer that shows no message at all.
 */
static void
confirm_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct handle	*h = c->handle;

	req_answer(net, c, resp);
	if (resp->word != WORD_OK || h->state != H_OK ||
	    h != net->handles.current)
		return;
	if (c->lo != 0 ? !c->got : h->exists > 0)
		return;
	uidset_or(&h->vanished, &c->set);
	req_sendset(net, M_ENGINE_VANISHED, h->id, &c->set, 0);
}

void
select_confirm(struct net *net, struct req *r)
{
	struct cmd	*c;

	/*
	 * In the session that has expunged Dovecot goes on to show what was
	 * there before.
	 */
	select_box(net, r, r->handle, req_answer);
	for (r->pos = 0; r->pos < uidset_max(&r->set); ) {
		c = cmd_new(net, K_FETCH, r, confirm_tagged);
		c->what_for = FOR_CONFIRM;
		c->lo = r->survivor;
		cmd_puts(c, "UID FETCH ");
		cmd_set(c, &r->set, &r->pos, 12, 1);
		if (c->lo != 0)
			cmd_printf(c, ",%u", c->lo);
		cmd_puts(c, " (UID)");
		cmd_end(net, c);
	}
}

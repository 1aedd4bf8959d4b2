/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Requests that are a few commands each: OPEN, SEARCH, META, STORE, MOVE and those
 * on names.
 */
#include "net.h"

/* Octets of a line of UID MOVE that are left free: 2,500 are taken by UIDs. */
#define MOVE_OTHER	5300

/* ---- SEARCH ---- */

static void	open_tagged(struct net *, struct cmd *, const struct resp *);

static void
search_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	/* There is one even if it is empty (RFC 4731 section 3.1). */
	if (resp->word == WORD_OK)
		select_listed(net, c);
	if (resp->word == WORD_OK && !c->got)
		req_worse(c->req, ST_BAD, RC_NONE,
		    "an OK to SEARCH without its answer");
	if (c->req->type == M_NET_OPEN)
		open_tagged(net, c, resp);
	else
		req_answer(net, c, resp);
}

static int
search_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	while (r->pos < uidset_max(&r->set)) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = select_search(net, r, 0, search_tagged);
		c->lo = 1;
		c->hi = UINT32_MAX;
		cmd_set(c, &r->set, &r->pos, 0, 0);
		select_search_end(net, c);
	}
	return 1;
}

static const struct req_ops search_ops = { .emit = search_emit };

void
ops_on_search(const struct msg *msg)
{
	const struct m_net_search	*m = msg->rec;

	req_enter(msg->arg, req_bound(msg, m->handle, &search_ops, &m->set));
}

/* ---- OPEN ---- */

/* If the mailbox was not selected, what the rest answers says nothing. */
static void
open_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;

	if (c->kind == K_SELECT && resp->word != WORD_OK)
		r->refused = 1;
	else if (r->refused)
		return;
	/* Without HIGHESTMODSEQ it can't tell, and the engine asks otherwise. */
	if (c->what_for == FOR_CHANGES && c->handle->selmodseq == 0)
		return;
	req_answer(net, c, resp);
}

/*
 * UIDNEXT; where SELECT does not tell it, it is behind all that was listed, and
 * not below what it was: the last message may have been deleted.
 */
static uint32_t
open_uidnext(const struct net *net, const struct handle *h)
{
	const struct m_net_open	*o = &h->open;

	if (h->uidnext != 0 || !strategy_byfetch(net, OPEN_NEW) ||
	    !(o->what & OPEN_NEW) || h->listed == UINT32_MAX)
		return h->uidnext;
	return h->listed + 1 > o->uidnext ? h->listed + 1 : o->uidnext;
}

static void
open_finish(struct net *net, struct req *r)
{
	struct m_engine_opened	 m;
	struct handle		*h = r->handle;

	if (r->refused)
		return;
	memset(&m, 0, sizeof(m));
	m.proof = net->canary == CANARY_GHOST ? PROOF_NONE :
	    net->strategy->proof;
	/* Such a mailbox is as with a server that has none at all. */
	if (m.proof == PROOF_COUNTED && h->selmodseq == 0)
		m.proof = PROOF_LISTED;
	m.uidvalidity = h->uidvalidity;
	m.uidnext = open_uidnext(net, h);
	m.guessed = m.uidnext != h->uidnext;
	m.exists = h->exists;
	m.recent = h->recent < h->exists ? h->recent : h->exists;
	m.modseq = h->selmodseq;
	m.readonly = h->readonly;
	m.notsticky = h->notsticky;
	/* Without PERMANENTFLAGS all can be kept (RFC 3501 section 7.1). */
	m.perm_any = h->perm_any || !h->has_perm;
	m.permflags = h->has_perm ? h->perm :
	    "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
	m.mailboxid = h->mailboxid;
	chan_send(&net->chan, M_ENGINE_OPENED, h->id, &m);
}

static void
open_search(struct net *net, struct req *r, int what, uint32_t lo, uint32_t hi)
{
	struct cmd	*c;

	c = select_search(net, r, what, search_tagged);
	c->lo = lo;
	c->hi = hi;
	cmd_printf(c, "%u:%u", lo, hi);
	select_search_end(net, c);
}

static int
open_emit(struct net *net, struct req *r)
{
	const struct m_net_open	*o = &r->handle->open;
	uint32_t		 u = o->uidnext == 0 ? 1 : o->uidnext;
	struct cmd		*c;

	if (handle_keep(net, r->handle))
		return 1;
	select_box(net, r, r->handle, open_tagged);
	if (net->strategy->changes != NULL)
		net->strategy->changes(net, r, r->handle, open_tagged);
	if ((o->what & OPEN_FULL) && o->n > 0) {
		c = cmd_new(net, K_FETCH, r, open_tagged);
		cmd_printf(c, "UID FETCH 1:%u (UID FLAGS)", o->n);
		cmd_end(net, c);
	}
	if (o->what & OPEN_NEW)
		open_search(net, r, OPEN_NEW, u, UINT32_MAX);
	if ((o->what & OPEN_ALL) && o->n > 0)
		open_search(net, r, OPEN_ALL, 1, o->n);
	select_canary(net, r);
	return 1;
}

static const struct req_ops open_ops = {
	.emit = open_emit,
	.finish = open_finish
};

void
ops_on_open(const struct msg *msg)
{
	struct net	*net = msg->arg;
	struct req	*r;

	r = req_new(msg, &open_ops);
	r->handle = handle_new(net, msg->id, msg->rec);
	handle_hold(r->handle);
	req_queue(net, r);
}

/* ---- META, STORE, MOVE, names ---- */

#define META_KEY_ITEMS							\
	"RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM TO SUBJECT)])"

static int
meta_emit(struct net *net, struct req *r)
{
	static const char *const	 items[] = {
		[META_WHOLE] = " (UID FLAGS INTERNALDATE " META_KEY_ITEMS,
		[META_KEY] = " (UID " META_KEY_ITEMS,
		[META_SIZE] = " (UID RFC822.SIZE)",
		[META_FLAGS] = " (UID FLAGS)"
	};
	struct cmd			*c;

	while (r->pos < uidset_max(&r->set)) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, r->what == META_FLAGS ? K_FETCH : K_META, r,
		    req_answer);
		cmd_puts(c, "UID FETCH ");
		cmd_set(c, &r->set, &r->pos, 0, r->what != META_FLAGS);
		cmd_puts(c, items[r->what]);
		cmd_end(net, c);
	}
	return 1;
}

static const struct req_ops meta_ops = { .emit = meta_emit };

void
ops_on_meta(const struct msg *msg)
{
	const struct m_net_meta	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, &meta_ops, &m->set);
	r->what = m->what;
	req_enter(msg->arg, r);
}

static int
store_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	while (r->pos < uidset_max(&r->set) && r->flags[0] != '\0') {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_STORE, r, req_answer);
		cmd_puts(c, "UID STORE ");
		cmd_set(c, &r->set, &r->pos, strlen(r->flags), 0);
		cmd_printf(c, " %cFLAGS.SILENT (", r->add ? '+' : '-');
		cmd_puts(c, r->flags);
		cmd_puts(c, ")");
		cmd_end(net, c);
	}
	return 1;
}

static const struct req_ops store_ops = { .emit = store_emit };

void
ops_on_store(const struct msg *msg)
{
	const struct m_net_store	*m = msg->rec;
	struct req			*r;

	if (!flags_valid(m->flags))
		fatalx("a STORE with flags that are none");
	r = req_bound(msg, m->handle, &store_ops, &m->set);
	r->add = m->add;
	r->flags = xstrdup(m->flags);
	req_enter(msg->arg, r);
}

/* With a COPYUID the rest is not there any more; without one nobody knows. */
static void
move_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_copied	 m;
	uint32_t		 u;

	if (resp->code == C_COPYUID)
		mailbox_copied(net, c, resp);
	memset(&m, 0, sizeof(m));
	m.flags = m.lost = "";
	while (resp->word == WORD_OK && !c->got &&
	    (u = uidset_min(&c->set)) != 0) {
		m.uid = u;
		chan_send(&net->chan, M_ENGINE_COPIED, c->req->id, &m);
		uidset_del(&c->set, u, u);
	}
	req_answer(net, c, resp);
}

/*
 * COPYUID has ranges of its own for what has few here, and must fit a line that
 * is read as a whole: few UIDs a command.
 */
static int
move_emit(struct net *net, struct req *r)
{
	const struct cmd	*last;
	struct cmd		*c;

	/*
	 * Behind a STORE as for UID EXPUNGE (expunge.c); right behind a SELECT
	 * Dovecot moves all that is named, whatever was fetched before.
	 */
	last = TAILQ_LAST(&net->cmdq.answers, cmds);
	if (r->pos == 0 && !uidset_empty(&r->set) &&
	    (last == NULL || last->kind != K_SELECT ||
	    last->handle != r->handle))
		select_box(net, r, r->handle, req_answer);
	while (r->pos < uidset_max(&r->set)) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_MOVE, r, move_tagged);
		cmd_puts(c, r->copy ? "UID COPY " : "UID MOVE ");
		cmd_set(c, &r->set, &r->pos, MOVE_OTHER, 1);
		cmd_puts(c, " ");
		cmd_string(net, c, r->mailbox);
		cmd_end(net, c);
	}
	return 1;
}

static const struct req_ops move_ops = { .emit = move_emit };

void
ops_on_move(const struct msg *msg)
{
	const struct m_net_move	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, &move_ops, &m->set);
	r->copy = m->copy;
	r->uidvalidity = m->uidvalidity;
	r->mailbox = xstrdup(m->mailbox);
	req_enter(msg->arg, r);
}

static int
name_emit(struct net *net, struct req *r)
{
	static const char *const	 verbs[] = { "CREATE ", "DELETE ",
					    "RENAME ", "SUBSCRIBE ",
					    "UNSUBSCRIBE " };
	struct cmd			*c;

	c = cmd_new(net, K_NAME, r, req_answer);
	cmd_puts(c, verbs[r->op]);
	cmd_string(net, c, r->mailbox);
	if (r->op == NAME_RENAME) {
		cmd_puts(c, " ");
		cmd_string(net, c, r->newname);
	}
	cmd_end(net, c);
	return 1;
}

static const struct req_ops name_ops = { .emit = name_emit };

void
ops_on_name(const struct msg *msg)
{
	const struct m_net_name	*m = msg->rec;
	struct req		*r;

	r = req_new(msg, &name_ops);
	r->op = m->op;
	r->mailbox = xstrdup(m->mailbox);
	r->newname = xstrdup(m->newname);
	req_queue(msg->arg, r);
}

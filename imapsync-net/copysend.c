/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * SEND: bodies from the server to the bridge, as they come.
 */
#include <endian.h>

#include "net.h"

static void
put(struct buf *b, uint64_t v, unsigned octets)
{
	uint8_t	 p[8];

	v = htobe64(v);
	memcpy(p, (uint8_t *)&v + 8 - octets, octets);
	buf_add(b, p, octets);
}

/* ---- END ---- */

/*
 * Behind the last part of a transfer the other side is told, ahead of what the
 * next one sends.  What was sent is whole, whatever else did not come: "aborted"
 * is only what could not be asked for.
 */
static void
send_over(struct net *net, struct req *r)
{
	r->ended = 1;
	if (r->status == ST_UNSENT || (r->handle != NULL &&
	    r->handle->state == H_NO)) {
		net->send.failed = 1;
		net->send.transfer = r->transfer;
	}
	if (!r->last)
		return;
	put(&net->bridge.out, BR_END, 1);
	put(&net->bridge.out, r->transfer, 4);
	put(&net->bridge.out, !(net->send.failed &&
	    net->send.transfer == r->transfer), 1);
	net->send.failed = 0;
}

/* The SENDs of which nothing more comes, in order. */
static void
send_settle(struct net *net)
{
	struct req	*r;

	TAILQ_FOREACH(r, &net->queue.reqs, entry) {
		if (r->type != M_NET_SEND || r->ended)
			continue;
		if (!r->emitted || r->fetching > 0)
			return;
		send_over(net, r);
	}
}

/* ---- what did not come ---- */

static void
missing_free(struct cmd *c)
{
	struct missing	*m = c->missing;

	handle_release(m->net, m->at);
	uidset_free(&m->found);
	free(m->text);
	free(m);
}

/* Those of the set that VANISHED has told of go from there to "gone". */
static void
missing_vanished(const struct handle *h, struct uidset *set,
    struct uidset *gone)
{
	struct uidset	 told = UIDSET_INIT;

	uidset_copy(&told, set);
	uidset_and(&told, &h->vanished);
	uidset_or(gone, &told);
	uidset_sub(set, &told);
	uidset_free(&told);
}

/* Is it still the mailbox that the FETCH was about? */
static int
missing_same(const struct handle *h, const struct handle *at)
{
	return h->uidvalidity == at->uidvalidity &&
	    strcmp(h->mailboxid, at->mailboxid) == 0;
}

/* Gone is what VANISHED has named or the list lacks; all else is withheld. */
static void
missing_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct missing	*m = c->missing;
	struct uidset	 gone = UIDSET_INIT, rest = UIDSET_INIT;

	uidset_copy(&rest, &c->set);
	missing_vanished(c->handle, &rest, &gone);
	if (resp->word == WORD_OK && c->got &&
	    missing_same(c->handle, m->at)) {
		uidset_or(&gone, &rest);
		uidset_and(&rest, &m->found);
		uidset_sub(&gone, &rest);
	}
	req_sendset(net, M_ENGINE_GONE, c->req->id, &gone, 0);
	req_withheld(net, c->req->id, &rest, m->status, m->text);
	if (!uidset_empty(&rest))
		req_worse(c->req, m->status, m->code, m->text);
	uidset_free(&gone);
	uidset_free(&rest);
}

/* What it told counts; if it was refused the SEARCH behind it shows that. */
static void
missing_selected(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)net;
	(void)c;
	(void)resp;
}

/*
 * A FETCH was answered without these.  Behind it another mailbox may have been
 * selected: then this one is looked at once more, and the other selected again.
 * So it is where nobody names what vanished: a session may go on to list it.
 */
static void
missing_ask(struct net *net, const struct cmd *fetch, const struct uidset *set,
    const struct resp *resp)
{
	struct handle	*at = fetch->handle, *other = net->handles.sent;
	struct missing	*m;
	struct cmd	*c;
	uint32_t	 pos = 0;
	int		 anew = other != at ||
			    net->strategy->proof != PROOF_TOLD;

	if (anew) {
		if (other != NULL)
			handle_hold(other);
		at = handle_twin(net, at);
		select_box(net, fetch->req, at, missing_selected);
	}
	while (pos < uidset_max(set)) {
		c = select_search(net, fetch->req, 0, missing_tagged);
		c->missing = m = xcalloc(1, sizeof(*m));
		c->free = missing_free;
		m->net = net;
		m->at = at;
		handle_hold(at);
		m->status = req_status(resp);
		m->code = resp->rc;
		m->text = xstrdup(resp->text);
		c->lo = 1;
		c->hi = UINT32_MAX;
		cmd_set(c, set, &pos, 0, 1);
		select_search_end(net, c);
	}
	if (anew && other != NULL) {
		select_box(net, fetch->req, other, missing_selected);
		handle_release(net, other);
	}
}

static void
send_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct uidset	 gone = UIDSET_INIT, rest = UIDSET_INIT;

	c->req->fetching--;
	send_settle(net);
	if (c->handle->state == H_NO) {
		req_answer(net, c, resp);
		return;
	}
	uidset_copy(&rest, &c->set);
	missing_vanished(c->handle, &rest, &gone);
	req_sendset(net, M_ENGINE_GONE, c->req->id, &gone, 0);
	if (!uidset_empty(&rest))
		missing_ask(net, c, &rest, resp);
	/* It only says that others have expunged some (RFC 5530 section 3). */
	if (resp->rc != RC_EXPUNGEISSUED)
		req_answer(net, c, resp);
	uidset_free(&gone);
	uidset_free(&rest);
}

/* ---- SEND ---- */

/*
 * A server may answer two FETCHes of one mailbox at once, message by message:
 * two transfers must not be mixed.
 */
static int
send_waits(struct net *net, const struct req *r)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (c->kind == K_SEND && c->handle == r->handle &&
		    c->req->transfer != r->transfer)
			return 1;
	return 0;
}

/* One message a command, where its UID may be told behind its body. */
static void
send_one(struct cmd *c, const struct uidset *set, uint32_t *pos)
{
	struct uidrange	 next;
	uint32_t	 after = *pos;

	if (!uidset_next(set, &after, &next))
		return;
	uidset_add(&c->set, next.lo, next.lo);
	cmd_printf(c, "%u", next.lo);
	*pos = next.lo;
}

static int
send_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	if (send_waits(net, r))
		return 0;
	while (r->pos < uidset_max(&r->set)) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_SEND, r, send_tagged);
		r->fetching++;
		cmd_puts(c, "UID FETCH ");
		if (net->strategy->single)
			send_one(c, &r->set, &r->pos);
		else
			cmd_set(c, &r->set, &r->pos, 0, 1);
		cmd_puts(c, " (UID FLAGS INTERNALDATE RFC822.SIZE "
		    "BODY.PEEK[])");
		cmd_end(net, c);
	}
	return 1;
}

/* One that was not sent, or of nothing. */
static void
send_finish(struct net *net, struct req *r)
{
	if (!r->ended)
		send_over(net, r);
}

static const struct req_ops send_ops = {
	.emit = send_emit,
	.finish = send_finish
};

void
send_on_send(const struct msg *msg)
{
	const struct m_net_send	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, &send_ops, &m->set);
	r->transfer = m->transfer;
	r->last = m->last;
	req_enter(msg->arg, r);
}

/* ---- a body ---- */

/* The oldest transfer of which more may come. */
static const struct req *
send_first(const struct net *net)
{
	const struct req	*r;

	TAILQ_FOREACH(r, &net->queue.reqs, entry)
		if (r->type == M_NET_SEND && !r->ended)
			break;
	return r;
}

int
send_body(struct net *net, struct cmd *c, const struct fetch *f, uint32_t uid,
    uint64_t len)
{
	struct buf	*b = &net->bridge.out;
	size_t		 n = strlen(f->flags);

	if (!f->has_flags || f->has_date == FDATE_UNTOLD)
		return -1;
	send_settle(net);
	/* The other side takes one after the other, and waits for no END. */
	if (send_first(net)->transfer != c->req->transfer)
		lost_sense(net, NULL, "gave a message of %s before it has "
		    "answered what was asked of it ahead of that",
		    c->handle->mailbox);
	put(b, BR_MSG, 1);
	put(b, c->req->transfer, 4);
	put(b, uid, 4);
	put(b, len, 8);
	put(b, f->has_date == FDATE_TOLD, 1);
	if (f->has_date == FDATE_TOLD)
		buf_add(b, f->date, 26);
	put(b, n, 2);
	buf_add(b, f->flags, n);
	key_init(&net->send.key);
	return 0;
}

void
send_data(struct net *net, const void *p, size_t n)
{
	key_feed(&net->send.key, p, n);
	bridge_give(net, p, n);
}

void
send_end(struct net *net)
{
	put(&net->bridge.out, 1, 1);
	put(&net->bridge.out, key_final(&net->send.key, NULL), 8);
}

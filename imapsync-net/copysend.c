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

/* What did not come: VANISHED has named it, or that is all that is known. */
static void
send_missing(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_withheld	 m;
	struct uidset			 gone = UIDSET_INIT;
	size_t				 i = 0;

	uidset_copy(&gone, &c->set);
	uidset_and(&gone, &c->handle->vanished);
	req_sendset(net, M_ENGINE_GONE, c->req->id, &gone, 0);
	uidset_sub(&c->set, &gone);
	uidset_free(&gone);
	m.status = req_status(resp);
	m.text = resp->word == WORD_OK ? "" : resp->text;
	while (proto_set_part(&c->set, &i, &m.set))
		chan_send(&net->chan, M_ENGINE_WITHHELD, c->req->id, &m);
}

static void
send_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	send_missing(net, c, resp);
	req_answer(net, c, resp);
}

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

static int
send_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	if (send_waits(net, r))
		return 0;
	while (r->pos < r->set.n) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_SEND, r, send_tagged);
		cmd_puts(c, "UID FETCH ");
		cmd_set(c, &r->set, &r->pos, 0, 1);
		cmd_puts(c, " (UID FLAGS INTERNALDATE BODY.PEEK[])");
		cmd_end(net, c);
	}
	return 1;
}

/*
 * Behind the last part of a transfer the other side is told: what was sent is
 * whole, whatever did not come.
 */
static void
send_finish(struct net *net, struct req *r)
{
	if (r->status == ST_UNSENT) {
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

void
send_body(struct net *net, struct cmd *c, const struct fetch *f, uint64_t len)
{
	struct buf	*b = &net->bridge.out;
	size_t		 n = strlen(f->flags);

	if (!f->has_flags || f->has_date == FDATE_UNTOLD)
		fatalx("%s sends BODY[] of UID %u in front of FLAGS and "
		    "INTERNALDATE; this program can't copy from such a server",
		    net->setup.host, f->uid);
	put(b, BR_MSG, 1);
	put(b, c->req->transfer, 4);
	put(b, f->uid, 4);
	put(b, len, 8);
	put(b, f->has_date == FDATE_TOLD, 1);
	if (f->has_date == FDATE_TOLD)
		buf_add(b, f->date, 26);
	put(b, n, 2);
	buf_add(b, f->flags, n);
	key_init(&net->send.key);
}

void
send_data(struct net *net, const void *p, size_t n)
{
	key_feed(&net->send.key, p, n);
	buf_add(&net->bridge.out, p, n);
}

void
send_end(struct net *net)
{
	put(&net->bridge.out, 1, 1);
	put(&net->bridge.out, key_final(&net->send.key, NULL), 8);
}

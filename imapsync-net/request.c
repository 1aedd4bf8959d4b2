/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Requests of the engine: queued as they come, turned into commands in that
 * order, each ended by one DONE.  What a request does is its ops's to say.
 */
#include "net.h"

/* ---- the queue ---- */

struct req *
req_new(const struct msg *msg, const struct req_ops *ops)
{
	struct req	*r;

	r = xcalloc(1, sizeof(*r));
	r->type = msg->type;
	r->id = msg->id;
	r->ops = ops;
	r->cost = sizeof(*r);
	return r;
}

static void
req_free(struct net *net, struct req *r)
{
	if (r->ops->free != NULL)
		r->ops->free(r);
	if (r->handle != NULL)
		handle_release(net, r->handle);
	uidset_free(&r->set);
	free(r->text);
	free(r->mailbox);
	free(r->newname);
	free(r->flags);
	free(r);
}

void
req_queue(struct net *net, struct req *r)
{
	r->cost += r->set.n * sizeof(struct uidrange);
	net->queue.cost += r->cost;
	TAILQ_INSERT_TAIL(&net->queue.reqs, r, entry);
	if (net->queue.next == NULL)
		net->queue.next = r;
}

void
req_worse(struct req *r, enum resp_status status, enum resp_code code,
    const char *text)
{
	if (status <= r->status)
		return;
	r->status = status;
	r->code = code;
	free(r->text);
	r->text = xstrdup(text);
}

static void
req_done(struct net *net, struct req *r)
{
	struct m_engine_done	 done;

	memset(&done, 0, sizeof(done));
	done.status = r->status;
	done.code = r->code;
	done.text = r->text != NULL ? r->text : "";
	if (r->handle != NULL) {
		done.exists = r->handle->exists;
		done.modseq = r->handle->modseq;
	}
	chan_send(&net->chan, M_ENGINE_DONE, r->id, &done);
}

/* The oldest SEND that is not done. */
static struct req *
req_sending(struct net *net)
{
	struct req	*r;

	TAILQ_FOREACH(r, &net->queue.reqs, entry)
		if (r->type == M_NET_SEND)
			break;
	return r;
}

/* DONE, if all is emitted and nobody points to it any more. */
static void
req_check(struct net *net, struct req *r)
{
	int	 send = r->type == M_NET_SEND;

	if (!r->emitted || r->refs > 0)
		return;
	/* END must not come into the bodies of a SEND in front of this one. */
	if (send && req_sending(net) != r)
		return;
	if (r->ops->finish != NULL)
		r->ops->finish(net, r);
	req_done(net, r);
	TAILQ_REMOVE(&net->queue.reqs, r, entry);
	net->queue.cost -= r->cost;
	req_free(net, r);
	if (send && (r = req_sending(net)) != NULL)
		req_check(net, r);
}

struct req *
req_hold(struct req *r)
{
	r->refs++;
	return r;
}

void
req_release(struct net *net, struct req **p)
{
	struct req	*r = *p;

	*p = NULL;
	r->refs--;
	req_check(net, r);
}

enum resp_status
req_status(const struct resp *resp)
{
	return resp->word == WORD_OK ? ST_OK : resp->word == WORD_NO ? ST_NO :
	    ST_BAD;
}

void
req_answer(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)net;
	req_worse(c->req, req_status(resp), resp->rc, resp->text);
}

/* Nothing (more) is asked of the server: 1, if the request takes it so. */
static int
req_unsent(struct net *net, struct req *r, const char *why)
{
	if (r->ops->unsent != NULL && !r->ops->unsent(net, r))
		return 0;
	req_worse(r, ST_UNSENT, RC_NONE, why);
	return 1;
}

/* The mailbox that the request is about was not selected. */
static int
req_homeless(struct net *net, struct req *r)
{
	return r->handle != NULL && r->type != M_NET_OPEN &&
	    r->handle->state == H_NO &&
	    req_unsent(net, r, "the mailbox could not be selected");
}

int
req_room(const struct net *net)
{
	return net->cmdq.hold == NULL && TAILQ_EMPTY(&net->cmdq.tx) &&
	    net->out.len < QUEUE_HIGH;
}

void
req_pump(struct net *net)
{
	struct req	*r;

	while ((r = net->queue.next) != NULL && !net->cmdq.shut &&
	    !net->queue.held) {
		if (net->phase < P_READY &&
		    (r->type != M_NET_LIST || !net->queue.early))
			return;
		if (r->type != M_NET_RECV && !req_room(net))
			return;
		if (!r->unsent && !req_homeless(net, r) &&
		    r->ops->emit(net, r) == 0)
			return;
		r->emitted = 1;
		net->queue.next = TAILQ_NEXT(r, entry);
		req_check(net, r);
	}
}

/* ---- what the engine sends ---- */

/* A request about the messages of a mailbox. */
struct req *
req_bound(const struct msg *msg, uint32_t handle,
    const struct req_ops *ops, const struct uidset *set)
{
	struct req	*r = req_new(msg, ops);

	r->handle = handle_find(msg->arg, handle);
	if (r->handle != NULL)
		handle_hold(r->handle);
	if (set != NULL)
		uidset_copy(&r->set, set);
	return r;
}

/* In its place in the queue, if its mailbox is the one opened last. */
void
req_enter(struct net *net, struct req *r)
{
	if (r->handle == NULL)
		r->unsent = req_unsent(net, r,
		    "that mailbox is not the one opened last");
	req_queue(net, r);
}

/* ---- sets ---- */

void
req_sendset(struct net *net, uint32_t type, uint32_t id,
    const struct uidset *set, uint8_t arg)
{
	struct m_engine_vanished	 vanished;
	struct m_engine_uids		 uids;
	struct m_engine_gone		 gone;
	struct uidset			 part;
	size_t				 i = 0;

	while (proto_set_part(set, &i, &part)) {
		if (type == M_ENGINE_VANISHED) {
			vanished.earlier = arg;
			vanished.set = part;
			chan_send(&net->chan, type, id, &vanished);
		} else if (type == M_ENGINE_UIDS) {
			uids.what = arg;
			uids.side = net->setup.side;
			uids.set = part;
			chan_send(&net->chan, type, id, &uids);
		} else {
			gone.set = part;
			chan_send(&net->chan, type, id, &gone);
		}
	}
}

void
req_withheld(struct net *net, uint32_t id, const struct uidset *set,
    enum resp_status status, const char *text)
{
	struct m_engine_withheld	 m;
	size_t				 i = 0;

	m.status = status;
	m.text = status == ST_OK ? "" : text;
	while (proto_set_part(set, &i, &m.set))
		chan_send(&net->chan, M_ENGINE_WITHHELD, id, &m);
}

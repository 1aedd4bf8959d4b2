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
 * order, each ended by one DONE.
 */
#include <stdio.h>

#include "net.h"

#define LINE_MAX_LEN	8000	/* octets of a command (RFC 7162 section 4) */

/* ---- the queue ---- */

static struct req *
req_new(const struct msg *msg, int (*emit)(struct net *, struct req *))
{
	struct req	*r;

	r = xcalloc(1, sizeof(*r));
	r->type = msg->type;
	r->id = msg->id;
	r->emit = emit;
	r->cost = sizeof(*r);
	return r;
}

static void
req_free(struct net *net, struct req *r)
{
	list_free(r);
	if (r->handle != NULL)
		mbox_release(net, r->handle);
	uidset_free(&r->set);
	free(r->text);
	free(r->mailbox);
	free(r->newname);
	free(r->flags);
	free((char *)r->list.reference);
	free(r);
}

static void
req_queue(struct net *net, struct req *r)
{
	r->cost += r->set.n * sizeof(*r->set.r);
	net->cost += r->cost;
	TAILQ_INSERT_TAIL(&net->reqs, r, entry);
	if (net->next == NULL)
		net->next = r;
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

	TAILQ_FOREACH(r, &net->reqs, entry)
		if (r->type == M_NET_SEND)
			break;
	return r;
}

void
req_check(struct net *net, struct req *r)
{
	int	 send = r->type == M_NET_SEND;

	if (!r->emitted || r->pending > 0)
		return;
	/* END must not come into the bodies of a SEND in front of this one. */
	if (send && req_sending(net) != r)
		return;
	if (r->finish != NULL)
		r->finish(net, r);
	req_done(net, r);
	TAILQ_REMOVE(&net->reqs, r, entry);
	net->cost -= r->cost;
	req_free(net, r);
	if (send && (r = req_sending(net)) != NULL)
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
	struct req	*r = c->req;

	req_worse(r, req_status(resp), resp->rc, resp->text);
	r->pending--;
	req_check(net, r);
}

/* Nothing is asked of the server: an end with "unsent". */
static void
req_unsent(struct net *net, struct req *r, const char *why)
{
	req_worse(r, ST_UNSENT, RC_NONE, why);
	if (r->type == M_NET_RECV)
		recv_refuse(net, r->transfer);
	r->emitted = 1;
}

void
req_pump(struct net *net)
{
	struct req	*r;

	while ((r = net->next) != NULL && net->recv.dying == 0) {
		if (net->phase < P_READY &&
		    (r->type != M_NET_LIST || !net->listpacket))
			return;
		if (r->type != M_NET_RECV && (net->hold != NULL ||
		    !TAILQ_EMPTY(&net->tx) || net->out.len >= QUEUE_HIGH))
			return;
		if (r->emitted)
			;	/* it was over when it came */
		else if (r->handle != NULL && r->type != M_NET_OPEN &&
		    r->handle->state == H_NO)
			req_unsent(net, r, "the mailbox could not be selected");
		else if (r->emit(net, r) == 0)
			return;
		r->emitted = 1;
		net->next = TAILQ_NEXT(r, entry);
		req_check(net, r);
	}
}

/* ---- sets ---- */

void
req_set(struct cmd *c, const struct uidset *set, size_t *pos, size_t other,
    int keep)
{
	char	 text[LINE_MAX_LEN];
	size_t	 i = *pos;

	uidset_format(set, pos, text, sizeof(text) - 128 - other);
	cmd_puts(c, text);
	if (keep)
		for (; i < *pos; i++)
			uidset_add(&c->set, set->r[i].lo, set->r[i].hi);
}

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

/* ---- SEARCH ---- */

void
req_esearch(struct net *net, const struct resp *resp)
{
	struct cmd	*c;

	c = resp->tag[0] != '\0' ? cmdq_find(net, resp->tag) :
	    cmdq_oldest(net, K_SEARCH);
	if (c == NULL || c->kind != K_SEARCH)
		return;
	if (c->what == OPEN_ABOVE) {
		if (resp->has_count) {
			c->got = 1;
			c->req->above = resp->num;
		}
		return;
	}
	c->got = 1;
	req_sendset(net, M_ENGINE_UIDS, c->req->id, &resp->set, c->what);
}

static void	open_tagged(struct net *, struct cmd *, const struct resp *);

static void
search_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	/* RFC 4731 section 3.1: there is an answer even if it is empty. */
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

	while (r->pos < r->set.n) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_SEARCH, r, search_tagged);
		cmd_puts(c, "UID SEARCH RETURN (ALL) UID ");
		req_set(c, &r->set, &r->pos, 0, 0);
		cmd_end(net, c);
	}
	return 1;
}

/* ---- OPEN ---- */

/* If the mailbox was not selected, what the rest answers says nothing. */
static void
open_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;

	if (c->kind == K_SELECT && resp->word != WORD_OK)
		r->refused = 1;
	else if (r->refused) {
		r->pending--;
		req_check(net, r);
		return;
	}
	req_answer(net, c, resp);
}

static void
open_finish(struct net *net, struct req *r)
{
	struct m_engine_opened	 m;
	struct handle		*h = r->handle;

	if (r->refused)
		return;
	memset(&m, 0, sizeof(m));
	m.uidvalidity = h->uidvalidity;
	m.uidnext = h->uidnext;
	m.exists = h->exists;
	m.above = r->above;
	m.modseq = h->selmodseq;
	m.readonly = h->readonly;
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

	c = cmd_new(net, K_SEARCH, r, search_tagged);
	c->what = what;
	cmd_printf(c, "UID SEARCH RETURN (%s) UID %u:%u",
	    what == OPEN_ABOVE ? "COUNT" : "ALL", lo, hi);
	cmd_end(net, c);
}

static int
open_emit(struct net *net, struct req *r)
{
	const struct m_net_open	*o = &r->handle->open;
	uint32_t		 u = o->uidnext == 0 ? 1 : o->uidnext;
	struct cmd		*c;

	mbox_select(net, r, r->handle, open_tagged);
	if ((o->what & OPEN_FULL) && o->n > 0) {
		c = cmd_new(net, K_FETCH, r, open_tagged);
		cmd_printf(c, "UID FETCH 1:%u (UID FLAGS)", o->n);
		cmd_end(net, c);
	}
	if ((o->what & OPEN_ABOVE) && o->n < UINT32_MAX)
		open_search(net, r, OPEN_ABOVE, o->n + 1, UINT32_MAX);
	if ((o->what & OPEN_FRESH) && u <= o->n)
		open_search(net, r, OPEN_FRESH, u, o->n);
	if ((o->what & OPEN_ALL) && o->n > 0)
		open_search(net, r, OPEN_ALL, 1, o->n);
	return 1;
}

/* ---- META, STORE, EXPUNGE, names ---- */

static int
meta_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	while (r->pos < r->set.n) {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_META, r, req_answer);
		cmd_puts(c, "UID FETCH ");
		req_set(c, &r->set, &r->pos, 0, 1);
		cmd_puts(c, r->brief ? " (UID RFC822.SIZE)" : " (UID FLAGS "
		    "INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS "
		    "(MESSAGE-ID DATE FROM TO SUBJECT)])");
		cmd_end(net, c);
	}
	return 1;
}

static int
store_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	while (r->pos < r->set.n && r->flags[0] != '\0') {
		if (net->out.len >= QUEUE_HIGH)
			return 0;
		c = cmd_new(net, K_STORE, r, req_answer);
		cmd_puts(c, "UID STORE ");
		req_set(c, &r->set, &r->pos, strlen(r->flags), 0);
		cmd_printf(c, " %cFLAGS.SILENT (", r->add ? '+' : '-');
		cmd_puts(c, r->flags);
		cmd_puts(c, ")");
		cmd_end(net, c);
	}
	return 1;
}

/*
 * The second SELECT is needed: in a session that has fetched, Dovecot 2.3 takes
 * UID STORE and UID EXPUNGE in one packet and expunges nothing.
 */
static int
expunge_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	if (uidset_empty(&r->set))
		return 1;
	while (r->pos < r->set.n) {
		c = cmd_new(net, K_STORE, r, req_answer);
		cmd_puts(c, "UID STORE ");
		req_set(c, &r->set, &r->pos, 0, 0);
		cmd_puts(c, " +FLAGS.SILENT (\\Deleted)");
		cmd_end(net, c);
	}
	mbox_select(net, r, r->handle, req_answer);
	for (r->pos = 0; r->pos < r->set.n; ) {
		c = cmd_new(net, K_EXPUNGE, r, req_answer);
		cmd_puts(c, "UID EXPUNGE ");
		req_set(c, &r->set, &r->pos, 0, 0);
		cmd_end(net, c);
	}
	return 1;
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

static void
logout_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	/* It was not waited for. */
	log_debug("%s: %s answered %d", net->setup.host, c->tag, resp->word);
}

static int
logout_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	net->phase = P_LOGOUT;
	c = cmd_new(net, K_SESSION, NULL, logout_tagged);
	cmd_puts(c, "LOGOUT");
	cmd_end(net, c);
	r->pending = 1;		/* no DONE */
	return 1;
}

/* ---- what the engine sends ---- */

/* A request about the messages of a mailbox. */
static struct req *
req_bound(const struct msg *msg, uint32_t handle,
    int (*emit)(struct net *, struct req *), const struct uidset *set)
{
	struct req	*r = req_new(msg, emit);

	r->handle = mbox_find(msg->arg, handle);
	if (r->handle != NULL)
		mbox_hold(r->handle);
	if (set != NULL)
		uidset_copy(&r->set, set);
	return r;
}

/* In its place in the queue, if its mailbox is the one opened last. */
static void
req_enter(struct net *net, struct req *r)
{
	if (r->handle == NULL)
		req_unsent(net, r, "that mailbox is not the one opened last");
	req_queue(net, r);
}

static void
on_pattern(const struct msg *msg)
{
	const struct m_net_pattern	*m = msg->rec;
	struct net			*net = msg->arg;
	struct req			*r = net->patreq;

	if (r == NULL)
		r = net->patreq = req_new(msg, list_emit);
	if (r->id != msg->id)
		fatalx("a pattern of another LIST");
	r->patterns = xreallocarray(r->patterns, r->npatterns + 1,
	    sizeof(*r->patterns));
	r->patterns[r->npatterns++] = xstrdup(m->pattern);
	r->cost += strlen(m->pattern);
}

static void
on_list(const struct msg *msg)
{
	const struct m_net_list	*m = msg->rec;
	struct net		*net = msg->arg;
	struct req		*r = net->patreq;

	if (r == NULL)
		r = req_new(msg, list_emit);
	if (r->id != msg->id)
		fatalx("a LIST with patterns of another");
	net->patreq = NULL;
	r->type = msg->type;	/* a PATTERN may have made it */
	r->list = *m;
	r->list.reference = xstrdup(m->reference);
	req_queue(net, r);
	if (net->phase >= P_READY)
		return;
	if (m->compress_first)
		net->compressfirst = 1;
	if (m->last) {
		net->lastlist = 1;
		session_login(net);
	}
}

static void
on_status(const struct msg *msg)
{
	const struct m_net_status	*m = msg->rec;
	struct req			*r;

	r = req_new(msg, list_status_emit);
	r->mailbox = xstrdup(m->mailbox);
	req_queue(msg->arg, r);
}

static void
on_open(const struct msg *msg)
{
	struct net	*net = msg->arg;
	struct req	*r;

	r = req_new(msg, open_emit);
	r->finish = open_finish;
	r->handle = mbox_new(net, msg->id, msg->rec);
	mbox_hold(r->handle);
	req_queue(net, r);
}

static void
on_meta(const struct msg *msg)
{
	const struct m_net_meta	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, meta_emit, &m->set);
	r->brief = m->brief;
	req_enter(msg->arg, r);
}

static void
on_search(const struct msg *msg)
{
	const struct m_net_search	*m = msg->rec;

	req_enter(msg->arg, req_bound(msg, m->handle, search_emit, &m->set));
}

static void
on_send(const struct msg *msg)
{
	const struct m_net_send	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, send_emit, &m->set);
	r->finish = send_finish;
	r->transfer = m->transfer;
	r->last = m->last;
	req_enter(msg->arg, r);
}

static void
on_recv(const struct msg *msg)
{
	const struct m_net_recv	*m = msg->rec;
	struct req		*r;

	r = req_bound(msg, m->handle, recv_emit, NULL);
	r->recv = *m;
	r->mailbox = xstrdup(m->mailbox);
	r->flags = xstrdup(m->permflags);
	r->transfer = m->transfer;
	req_enter(msg->arg, r);
}

static void
on_store(const struct msg *msg)
{
	const struct m_net_store	*m = msg->rec;
	struct req			*r;

	if (!flags_valid(m->flags))
		fatalx("a STORE with flags that are none");
	r = req_bound(msg, m->handle, store_emit, &m->set);
	r->add = m->add;
	r->flags = xstrdup(m->flags);
	req_enter(msg->arg, r);
}

static void
on_expunge(const struct msg *msg)
{
	const struct m_net_expunge	*m = msg->rec;

	req_enter(msg->arg, req_bound(msg, m->handle, expunge_emit, &m->set));
}

static void
on_name(const struct msg *msg)
{
	const struct m_net_name	*m = msg->rec;
	struct req		*r;

	r = req_new(msg, name_emit);
	r->op = m->op;
	r->mailbox = xstrdup(m->mailbox);
	r->newname = xstrdup(m->newname);
	req_queue(msg->arg, r);
}

static void
on_watch(const struct msg *msg)
{
	const struct m_net_watch	*m = msg->rec;
	struct req			*r;

	r = req_new(msg, watch_emit);
	r->op = m->notify;
	r->mailbox = xstrdup(m->mailbox);
	watch_new(msg->arg, r);
	req_queue(msg->arg, r);
}

static void
on_logout(const struct msg *msg)
{
	struct net	*net = msg->arg;

	net->chan.state = CH_LOGOUT;
	watch_logout(net);
	if (net->phase < P_READY)
		net_end(net);	/* there is nothing to take leave of */
	req_queue(net, req_new(msg, logout_emit));
}

const struct proto_handler request_handlers[] = {
	{ M_NET_SETUP,	 CH_SETUP,		main_setup },
	{ M_NET_FD,	 CH_CONNECT,		main_fd },
	{ M_NET_CONNECT, CH_CONNECT,		main_connect },
	{ M_NET_PATTERN, CH_LOGIN | CH_READY,	on_pattern },
	{ M_NET_LIST,	 CH_LOGIN | CH_READY,	on_list },
	{ M_NET_LOGOUT,	 CH_LOGIN | CH_READY | CH_WATCH, on_logout },
	{ M_NET_STATUS,	 CH_READY,		on_status },
	{ M_NET_OPEN,	 CH_READY,		on_open },
	{ M_NET_META,	 CH_READY,		on_meta },
	{ M_NET_SEARCH,	 CH_READY,		on_search },
	{ M_NET_SEND,	 CH_READY,		on_send },
	{ M_NET_RECV,	 CH_READY,		on_recv },
	{ M_NET_STORE,	 CH_READY,		on_store },
	{ M_NET_EXPUNGE, CH_READY,		on_expunge },
	{ M_NET_NAME,	 CH_READY,		on_name },
	{ M_NET_WATCH,	 CH_READY,		on_watch },
	{ M_NET_UNWATCH, CH_READY | CH_WATCH,	watch_unwatch },
	{ M_NET_STATS,	 CH_LOGIN | CH_READY | CH_WATCH, watch_stats },
	{ M_NONE,	 0,			NULL }
};

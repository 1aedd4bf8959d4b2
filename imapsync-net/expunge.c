/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * EXPUNGE: UID EXPUNGE (RFC 4315) of what is named, in one packet.  A server that
 * can't do that expunges all that is marked \Deleted, so nothing else may be: a
 * list of the whole mailbox shows what others have marked, and a SEARCH behind our
 * own marks must find them and nothing besides.
 */
#include <stdio.h>

#include "net.h"

#define OTHERS_TEXT	200	/* octets of UIDs in a message */

static void
mark_set(struct net *net, struct req *r)
{
	struct cmd	*c;

	for (r->pos = 0; r->pos < uidset_max(&r->set); ) {
		c = cmd_new(net, K_STORE, r, req_answer);
		cmd_puts(c, "UID STORE ");
		cmd_set(c, &r->set, &r->pos, 0, 0);
		cmd_puts(c, " +FLAGS.SILENT (\\Deleted)");
		cmd_end(net, c);
	}
}

/* ---- with UID EXPUNGE ---- */

/* Some list UIDPLUS and refuse this: the engine asks once more. */
static void
named_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	if (resp->word == WORD_OK || net->strategy->confirm == NULL) {
		req_answer(net, c, resp);
		return;
	}
	net->noexpunge = 1;
	req_worse(c->req, ST_NO, RC_CANNOT, resp->text);
}

/*
 * The second SELECT is needed: in a session that has read from the mailbox and seen
 * it shrink since, Dovecot 2.3 takes UID STORE and UID EXPUNGE in one packet and
 * expunges nothing; neither NOOP, CHECK, SEARCH nor FETCH in between help (measured).
 */
static void
expunge_named(struct net *net, struct req *r)
{
	struct cmd	*c;

	mark_set(net, r);
	select_box(net, r, r->handle, req_answer);
	for (r->pos = 0; r->pos < uidset_max(&r->set); ) {
		c = cmd_new(net, K_EXPUNGE, r, named_tagged);
		cmd_puts(c, "UID EXPUNGE ");
		cmd_set(c, &r->set, &r->pos, 0, 0);
		cmd_end(net, c);
	}
	if (net->strategy->confirm != NULL)
		net->strategy->confirm(net, r);
}

/* ---- without ---- */

/* Of a list that is not whole nobody knows what it leaves out. */
static void
marked_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;

	req_answer(net, c, resp);
	r->whole = resp->word == WORD_OK && resp->rc != RC_EXPUNGEISSUED &&
	    uidset_count(&c->found) == c->handle->exists;
	uidset_copy(&r->seen, &c->found);
	uidset_copy(&r->others, &c->set);
	uidset_sub(&r->others, &r->set);
}

static void
others_named(struct req *r)
{
	char		 uids[OTHERS_TEXT], why[OTHERS_TEXT + 300];
	uint32_t	 after = 0;

	uidset_format(&r->others, &after, uids, sizeof(uids));
	snprintf(why, sizeof(why), "other messages there are marked "
	    "\\Deleted (UID %s%s), and a server without UIDPLUS expunges "
	    "these as well: expunge them there, or take their mark away, and "
	    "run again", uids, after < uidset_max(&r->others) ? ",..." : "");
	req_worse(r, ST_NO, RC_NONE, why);
}

/* All of what is marked, behind our marks, is what is to go; else it stays. */
static void
deleted_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;
	struct uidset	 rest = UIDSET_INIT;

	req_answer(net, c, resp);
	r->stage = EXPUNGE_OVER;
	if (r->status != ST_OK || r->handle->state != H_OK)
		return;
	if (!r->whole) {
		req_worse(r, ST_NO, RC_NONE, "it does not list all that is "
		    "there, and may expunge only what is known");
		return;
	}
	if (!uidset_empty(&r->others)) {
		others_named(r);
		return;
	}
	/* What another client has expunged meanwhile is found no more. */
	uidset_copy(&rest, &r->set);
	uidset_and(&rest, &r->seen);
	if (c->got && uidset_count(&c->found) == uidset_count(&rest)) {
		uidset_sub(&rest, &c->found);
		if (uidset_empty(&rest))
			r->stage = EXPUNGE_MARKED;
	}
	if (r->stage == EXPUNGE_OVER)
		req_worse(r, ST_NO, RC_NONE, "it does not find exactly those "
		    "messages marked \\Deleted that are to go");
	uidset_free(&rest);
}

static void
expunge_mark(struct net *net, struct req *r)
{
	struct cmd	*c;

	select_box(net, r, r->handle, req_answer);
	c = cmd_new(net, K_FETCH, r, marked_tagged);
	c->what_for = FOR_MARKED;
	cmd_puts(c, "UID FETCH 1:* (UID FLAGS)");
	cmd_end(net, c);
	mark_set(net, r);
	c = cmd_new(net, K_SEARCH, r, deleted_tagged);
	c->what_for = FOR_DELETED;
	cmd_puts(c, net->caps.bits & CAP_ESEARCH ?
	    "UID SEARCH RETURN (ALL) DELETED" : "UID SEARCH DELETED");
	cmd_end(net, c);
	r->stage = EXPUNGE_ASKED;
}

static void
expunge_marked(struct net *net, struct req *r)
{
	struct cmd	*c;

	c = cmd_new(net, K_EXPUNGE, r, req_answer);
	cmd_puts(c, "EXPUNGE");
	cmd_end(net, c);
	if (net->strategy->confirm != NULL)
		net->strategy->confirm(net, r);
}

/* ---- the request ---- */

static int
expunge_emit(struct net *net, struct req *r)
{
	if (uidset_empty(&r->set) || r->stage == EXPUNGE_OVER)
		return 1;
	if (r->stage == EXPUNGE_ASKED)
		return 0;
	if (r->stage == EXPUNGE_MARKED)
		expunge_marked(net, r);
	else if ((net->caps.bits & CAP_UIDPLUS) && !net->noexpunge)
		expunge_named(net, r);
	else {
		expunge_mark(net, r);
		return 0;
	}
	return 1;
}

static void
expunge_free(struct req *r)
{
	uidset_free(&r->seen);
	uidset_free(&r->others);
}

static const struct req_ops	 expunge_ops = {
	.emit = expunge_emit,
	.free = expunge_free
};

/* A set of many parts is one: what is in one part is no stranger to another. */
void
expunge_on_expunge(const struct msg *msg)
{
	const struct m_net_expunge	*m = msg->rec;
	struct net			*net = msg->arg;
	struct uidset			*all = &net->expunge;
	struct req			*r;

	uidset_or(all, &m->set);
	r = req_bound(msg, m->handle, &expunge_ops, m->last ? all : NULL);
	if (m->last)
		uidset_free(all);
	r->survivor = m->survivor;
	req_enter(net, r);
}

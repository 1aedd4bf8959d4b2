/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * SELECT and UID SEARCH, which several requests send.
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

struct cmd *
select_search(struct net *net, struct req *r, cmd_fn fn)
{
	struct cmd	*c;

	c = cmd_new(net, K_SEARCH, r, fn);
	cmd_puts(c, net->caps.bits & CAP_ESEARCH ?
	    "UID SEARCH RETURN (ALL) UID " : "UID SEARCH UID ");
	return c;
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
	if (c == NULL || c->kind != K_SEARCH)
		return;
	if (!c->got)
		net_heard(net);
	if (!resp->more)
		c->got = 1;
	if (c->missing != NULL) {
		uidset_or(&c->missing->found, &resp->set);
		return;
	}
	uidset_copy(&found, &resp->set);
	/* A server may name what it was not asked for. */
	if (c->req->type == M_NET_SEARCH)
		uidset_and(&found, &c->req->set);
	req_sendset(net, M_ENGINE_UIDS, c->req->id, &found, c->what);
	uidset_free(&found);
}

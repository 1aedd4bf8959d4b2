/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * CONDSTORE (RFC 7162) without QRESYNC: a FETCH behind SELECT tells what has
 * changed.  What vanished nobody tells: the engine counts, and lists.
 */
#include "net.h"

/*
 * Asked for with each SELECT, ENABLE or not: a server that lists both extensions
 * and switches none of them on tells HIGHESTMODSEQ so.
 */
static void
condstore_param(struct cmd *c, const struct m_net_open *o)
{
	(void)o;
	cmd_puts(c, " (CONDSTORE)");
}

static void
condstore_changes(struct net *net, struct req *r, struct handle *h, cmd_fn fn)
{
	const struct m_net_open	*o = &h->open;
	struct cmd		*c;

	if (o->modseq == 0 || o->n == 0)
		return;
	c = cmd_new(net, K_FETCH, r, fn);
	c->what_for = FOR_CHANGES;
	cmd_printf(c, "UID FETCH 1:%u (UID FLAGS) (CHANGEDSINCE %llu)", o->n,
	    (unsigned long long)o->modseq);
	cmd_end(net, c);
}

const struct strategy	 strategy_condstore = {
	.kind = STRATEGY_CONDSTORE,
	.proof = PROOF_COUNTED,
	.modseq = 1,
	/*
	 * Some answer SEARCH with nothing, whatever there is.  Where all
	 * messages are listed the engine counts them.
	 */
	.search = CAP_ESEARCH,
	.line = LINE_MAX_LEN,
	.param = condstore_param,
	.changes = condstore_changes,
	.confirm = select_confirm
};

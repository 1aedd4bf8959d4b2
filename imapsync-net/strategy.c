/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Which strategy: what the server offers counts, and not what it says of itself
 * unasked; of QRESYNC, that it was switched on.
 */
#include "net.h"

static const struct strategy *const	 strategies[] = {
	[STRATEGY_QRESYNC] = &strategy_qresync,
	[STRATEGY_CONDSTORE] = &strategy_condstore,
	[STRATEGY_PLAIN] = &strategy_plain
};

/* The best that there is. */
static enum strategy_kind
strategy_best(const struct net *net)
{
	/* Who says so unasked has not offered it. */
	if (net->qresync && (net->caps.bits & CAP_QRESYNC))
		return STRATEGY_QRESYNC;
	return net->caps.bits & CAP_CONDSTORE ? STRATEGY_CONDSTORE :
	    STRATEGY_PLAIN;
}

int
strategy_wants_qresync(const struct net *net)
{
	return net->setup.strategy == STRATEGY_AUTO ||
	    net->setup.strategy == STRATEGY_QRESYNC;
}

uint32_t
strategy_caps(const struct net *net, uint32_t caps)
{
	if (!strategy_wants_qresync(net))
		caps &= ~CAP_QRESYNC;
	if (net->setup.strategy == STRATEGY_PLAIN)
		caps &= ~CAP_CONDSTORE;
	return caps;
}

/* It is answered, or not; HIGHESTMODSEQ shows what came of it. */
static void
strategy_enabled(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)net;
	(void)c;
	(void)resp;
}

void
strategy_choose(struct net *net)
{
	static const char *const	 names[] = {
		[STRATEGY_QRESYNC] = "QRESYNC",
		[STRATEGY_CONDSTORE] = "CONDSTORE",
		[STRATEGY_PLAIN] = "PLAIN"
	};
	enum strategy_kind		 best = strategy_best(net);
	enum strategy_kind		 kind = net->setup.strategy;
	struct cmd			*c;

	if (kind == STRATEGY_AUTO)
		kind = best;
	if (kind < best)
		fatal_ex(EX_SYNC_LATER, "%s does not %s %s, without which "
		    "\"strategy = %s\" can't be: leave that line out of the "
		    "configuration", net->setup.host, net->caps.bits &
		    CAP_QRESYNC ? "switch on" : "offer", names[kind],
		    kind == STRATEGY_QRESYNC ? "qresync" : "condstore");
	net->strategy = strategies[kind];
	if (kind != STRATEGY_CONDSTORE || !(net->caps.bits & CAP_ENABLE))
		return;
	c = cmd_new(net, K_SESSION, NULL, strategy_enabled);
	c->name = "ENABLE";
	cmd_puts(c, "ENABLE CONDSTORE");
	cmd_end(net, c);
}

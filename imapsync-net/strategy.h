/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * How this server tells what has changed in a mailbox, and that messages are
 * expunged.  Which it is, is decided once, when the login is answered; the engine
 * sees the same events from all of them, and how well they are proved.
 */
#ifndef STRATEGY_H
#define STRATEGY_H

#include "handle.h"
#include "request.h"

#define CAP_ANY	0x80000000	/* no server has it */

struct strategy {
	enum strategy_kind	 kind;
	/* Of a mailbox that was opened. */
	enum proof		 proof;
	/* HIGHESTMODSEQ is believed, and a MODSEQ may be asked for. */
	int			 modseq;
	/*
	 * Lists are FETCHes; that of all messages is a SEARCH if there is this
	 * extension.  0: all are SEARCHes.
	 */
	uint32_t		 search;
	/* Bodies are asked for one by one: the UID may follow. */
	int			 single;
	/* Nothing is appended to the mailbox that is selected, if it may be. */
	int			 aside;
	/* Octets of a command's line. */
	size_t			 line;
	/* Behind SELECT and the name: " (...)", if it has a parameter. */
	void	(*param)(struct cmd *, const struct m_net_open *);
	/*
	 * Behind a SELECT that is to tell what has changed since "modseq";
	 * NULL: it does so itself, or nothing does.
	 */
	void	(*changes)(struct net *, struct req *, struct handle *, cmd_fn);
	/*
	 * Behind UID EXPUNGE of the request's set: what is gone is told as
	 * VANISHED; NULL: the server does it.
	 */
	void	(*confirm)(struct net *, struct req *);
};

extern const struct strategy strategy_qresync;		/* qresync.c */
extern const struct strategy strategy_condstore;	/* condstore.c */
extern const struct strategy strategy_plain;		/* plain.c */

/* ---- strategy.c ---- */

/*
 * The login is answered, and ENABLE: net.strategy, as the configuration wants it
 * (m_net_setup.strategy) or the best that there is.  Ends the worker with FATAL
 * if the server can't do what the configuration wants.
 */
void		 strategy_choose(struct net *);
/* The list of OPEN_NEW or OPEN_ALL, or of a set (0), is a FETCH. */
#define strategy_byfetch(net, what)					\
	((net)->strategy->search != 0 && ((what) != OPEN_ALL ||	\
	(net)->nosearch || !((net)->caps.bits & (net)->strategy->search)))
/* What of the server's capabilities may be used at all. */
uint32_t	 strategy_caps(const struct net *, uint32_t caps);
/* The server may be asked for QRESYNC. */
int		 strategy_wants_qresync(const struct net *);

#endif /* STRATEGY_H */

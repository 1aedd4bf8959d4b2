/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What is in the box of engine_box.h: the engine, a clock that stands still,
 * mailboxes as the state and the servers have them.
 */
#ifndef BOX_WORLD_H
#define BOX_WORLD_H

#include <time.h>

#include "imapsync/engine/engine.h"

#define MAXBOX		40
#define MAXMSGS		256
#define MAXGONE		16

/* What the state says of each mailbox at first. */
#define VALIDITY	7	/* UIDVALIDITY of both sides */
#define MODSEQ		500	/* HIGHESTMODSEQ of both sides */
#define GAP		5000	/* UID u on local is GAP + u on remote */

static struct engine	 eng;

/* ---- the clock ---- */

static int64_t	 box_clock = 1700000000000LL;	/* ms since 1970 */

time_t
time(time_t *t)
{
	time_t	 now = box_clock / 1000;

	if (t != NULL)
		*t = now;
	return now;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = box_clock / 1000;
	ts->tv_nsec = box_clock % 1000 * 1000000;
	return 0;
}

/* ---- what is in the box ---- */

/* A message that is not like the others. */
struct message {
	uint32_t	 uid;
	uint64_t	 key;
	uint64_t	 size;
	int64_t		 date;
	uint64_t	 modseq;	/* 0: from before the state was made */
	char		 flags[128];
};

/* Messages that went together. */
struct gone {
	uint64_t	 modseq;
	struct uidset	 set;
};

#define NO_SELECT	1
#define NO_STATUS	2
/* A mailbox on a server. */
struct place {
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint64_t	 modseq;
	uint64_t	 unseen;	/* UNSEEN, + 1; 0: it is not told */
	int		 nomodseq;	/* NO_SELECT, NO_STATUS: it is not told */
	uint32_t	 recent;
	int		 perm_any;
	const char	*permflags;
	const char	*mailboxid;
	struct uidset	 uids;		/* messages that are there */
	struct message	 msgs[MAXMSGS];
	int		 nmsgs;
	struct gone	 gone[MAXGONE];	/* since the state was made */
	int		 ngone;
};

/* A mailbox in the state and on both servers. */
struct box {
	struct mbox	*mb;
	char		*name;		/* while there is no mb */
	int		 number;	/* from 1 on */
	struct place	 at[SIDES];
	struct uidset	 rows;		/* by local UID */
	struct uidset	 left[SIDES];	/* what a rule left out */
	struct uidset	 alone[SIDES];	/* of it, what had a row before */
	struct uidset	 seen[SIDES];	/* SEEN since the last PAIR */
	struct m_water	 water[SIDES];	/* as last noted */
	const char	*base;		/* the baseline of each row, */
	struct uidset	 noted;		/* but of these it is "newbase" */
	char		 newbase[128];
	uint64_t	 key;		/* of all its messages; 0: each its own */
	int		 bare;		/* rows without a key (2) and size (1) */
};

/* How each server tells what has changed, and does from box_start() on. */
static enum proof	 box_proof[SIDES];
static enum proof	 box_proofs[SIDES];

static struct box	*boxes[MAXBOX];
static int		 nboxes;

static inline struct box *
box_of(const struct mbox *mb)
{
	int	 i;

	for (i = 0; i < nboxes; i++)
		if (boxes[i]->mb == mb)
			return boxes[i];
	fatalx("%s is not in the box", mb->name);
}

static inline struct place *
at(const struct mbox *mb, int side)
{
	return &box_of(mb)->at[side];
}

static inline void
place_free(struct place *p)
{
	int	 i;

	uidset_free(&p->uids);
	for (i = 0; i < p->ngone; i++)
		uidset_free(&p->gone[i].set);
}

/* A server of that kind. */
static inline void
box_strategy(int side, enum proof proof)
{
	box_proof[side] = proof;
	eng.srv[side].ready.strategy = proof == PROOF_TOLD ?
	    STRATEGY_QRESYNC : proof == PROOF_COUNTED ? STRATEGY_CONDSTORE :
	    STRATEGY_PLAIN;
}

/* HIGHESTMODSEQ as it is told: by SELECT (NO_SELECT), or by STATUS. */
static inline uint64_t
box_modseq(const struct mbox *mb, int side, int by)
{
	return box_proof[side] <= PROOF_COUNTED &&
	    !(at(mb, side)->nomodseq & by) ? at(mb, side)->modseq : 0;
}

/* ---- messages ---- */

/* What the messages of a box are like if the test does not say otherwise. */
static inline struct message
message_like(const struct mbox *mb, int side, uint32_t uid)
{
	uint32_t	 u = side == LOCAL ? uid : uid - GAP;
	struct message	 m = { uid, 0, 1000 + u, 86400 * (int64_t)u, 0, "" };

	m.key = box_of(mb)->key != 0 ? box_of(mb)->key :
	    (uint64_t)box_of(mb)->number << 32 | u;
	strlcpy(m.flags, box_of(mb)->base, sizeof(m.flags));
	return m;
}

/* One that differs, for the test to say in what. */
static inline struct message *
message(struct mbox *mb, int side, uint32_t uid)
{
	struct place	*p = at(mb, side);
	int		 i;

	for (i = 0; i < p->nmsgs; i++)
		if (p->msgs[i].uid == uid)
			return &p->msgs[i];
	if (p->nmsgs == MAXMSGS)
		fatalx("too many messages that are not like the others");
	p->msgs[p->nmsgs] = message_like(mb, side, uid);
	return &p->msgs[p->nmsgs++];
}

static inline struct message
message_get(struct mbox *mb, int side, uint32_t uid)
{
	struct place	*p = at(mb, side);
	int		 i;

	for (i = 0; i < p->nmsgs; i++)
		if (p->msgs[i].uid == uid)
			return p->msgs[i];
	return message_like(mb, side, uid);
}

/* ---- what happens on the servers ---- */

static inline void
vanish(struct mbox *mb, int side, uint32_t lo, uint32_t hi)
{
	struct place	*p = at(mb, side);
	struct gone	*g = &p->gone[p->ngone++];

	if (p->ngone == MAXGONE)
		fatalx("too many messages went");
	uidset_del(&p->uids, lo, hi);
	uidset_add(&g->set, lo, hi);
	g->modseq = ++p->modseq;
}

/* New messages; their UIDs are the highest, or were not used. */
static inline void
arrive(struct mbox *mb, int side, uint32_t lo, uint32_t hi)
{
	struct place	*p = at(mb, side);

	uidset_add(&p->uids, lo, hi);
	if (p->uidnext <= hi)
		p->uidnext = hi + 1;
	p->modseq++;
}

static inline void
reflag(struct mbox *mb, int side, uint32_t uid, const char *flags)
{
	struct message	*m = message(mb, side, uid);

	strlcpy(m->flags, flags, sizeof(m->flags));
	m->modseq = ++at(mb, side)->modseq;
}

#endif /* BOX_WORLD_H */

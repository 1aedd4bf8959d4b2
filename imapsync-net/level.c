/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <string.h>
#include <stdlib.h>

#include "level.h"

/*
 * zlib 1.2.13, MB/s of one core and ratio: of base64 of noise level 1 makes 36
 * and 1.29, 3 35 and 1.29, 6 29 and 1.32; of text 1 makes 101 and 2.87, 3 62 and
 * 3.14, 6 24 and 3.55.  So there is little between 1 and 6.
 */

#define SECOND	1000000		/* microseconds */

enum { TRIAL_NONE = 0, TRIAL_SETTLES, TRIAL_MEASURED };

static void
window_begin(struct level *l, uint64_t now)
{
	memset(&l->w, 0, sizeof(l->w));
	l->w.began = now;
}

void
level_init(struct level *l, uint64_t now)
{
	memset(l, 0, sizeof(*l));
	l->now = LEVEL_BEST;
	window_begin(l, now);
}

void
level_full(struct level *l, uint64_t now)
{
	if (l->blocked)
		return;
	l->blocked = 1;
	l->since = now;
}

void
level_flows(struct level *l, uint64_t now)
{
	if (l->blocked)
		l->w.blocked += now - l->since;
	l->blocked = 0;
}

void
level_idle(struct level *l, uint64_t now)
{
	if (l->idle)
		return;
	level_flows(l, now);
	l->idle = 1;
	l->since = now;
}

void
level_made(struct level *l, uint64_t plain, uint64_t wire)
{
	l->w.plain += plain;
	l->w.wire += wire;
	l->rested += plain;
}

/* Octets a second. */
static uint64_t
rate(uint64_t octets, uint64_t us)
{
	return us == 0 ? UINT64_MAX : octets * SECOND / us;
}

static void
trial_begin(struct level *l, int level, uint64_t plain)
{
	l->trial = TRIAL_SETTLES;
	l->before = l->now;
	l->rate = plain;
	l->now = level;
}

/*
 * What was tried must be as fast as what it saves the work of, or faster by what
 * its work is worth.
 */
static void
trial_end(struct level *l, uint64_t plain)
{
	uint64_t	 least = l->rate;

	if (l->now < l->before)
		least -= least / 10;
	else
		least += least / 4;
	l->trial = TRIAL_NONE;
	l->rested = 0;
	if (plain >= least) {
		/* The next one down at once. */
		l->rest = l->now == LEVEL_FAST && l->before == LEVEL_BEST ? 0 :
		    LEVEL_REST_MIN;
		return;
	}
	l->now = l->before;
	l->vain = l->vain == 0 ? LEVEL_REST_MIN : l->vain * 2;
	if (l->vain > LEVEL_REST_MAX)
		l->vain = LEVEL_REST_MAX;
	l->rest = l->vain;
}

/*
 * Another level, or a trial of one, for what passed in so many microseconds in
 * which there was something to send, of so many in all.
 */
static void
choose(struct level *l, uint64_t busy, uint64_t all)
{
	uint64_t	 plain = rate(l->w.plain, busy);
	int		 mostly = l->w.blocked > busy / 2;
	int		 partly = l->w.blocked > busy / 8;

	switch (l->now) {
	case LEVEL_BEST:
		if (!partly)
			l->now = LEVEL_FAST;
		else if (!mostly)
			trial_begin(l, LEVEL_FAST, plain);
		else if (plain >= LEVEL_CHEAP)
			trial_begin(l, LEVEL_NONE, plain);
		break;
	case LEVEL_FAST:
		if (rate(l->w.plain, all) >= LEVEL_CHEAP)
			trial_begin(l, LEVEL_NONE, plain);
		break;
	default:
		if (mostly && plain < LEVEL_ZLIB)
			trial_begin(l, LEVEL_FAST, plain);
		break;
	}
}

/* A window of so many microseconds has passed. */
static void
judge(struct level *l, uint64_t all)
{
	uint64_t	 busy = all - l->w.idle;
	int		 slow;

	slow = l->w.blocked > busy / 8 && rate(l->w.wire, busy) < LEVEL_SLOW;
	if (l->trial != TRIAL_NONE && (slow || l->trial == TRIAL_MEASURED))
		trial_end(l, slow ? 0 : rate(l->w.plain, busy));
	/* What is in the buffers on the way was made by the level before. */
	else if (l->trial == TRIAL_SETTLES)
		l->trial = TRIAL_MEASURED;
	else if (slow)
		l->now = LEVEL_BEST;
	/* The first octets they take in any case. */
	else if (!l->filled)
		l->filled = 1;
	else if (l->rested >= l->rest || (l->now == LEVEL_BEST &&
	    l->w.blocked <= busy / 8))
		choose(l, busy, all);
	/* Nothing is as fast, and more work costs no time. */
	else if (l->now == LEVEL_FAST && l->vain > 0 &&
	    l->w.blocked > busy - busy / 4)
		l->now = LEVEL_BEST;
}

int
level_next(struct level *l, uint64_t now)
{
	uint64_t	 all = now - l->w.began;

	if (l->idle)
		l->w.idle += now - l->since;
	l->idle = 0;
	if (l->w.wire < LEVEL_WINDOW ||
	    (l->w.wire < LEVEL_LARGE && all - l->w.idle < LEVEL_US))
		return l->now;
	judge(l, all);
	window_begin(l, now);
	return l->now;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * When the next session of --watch begins.  Arithmetic only: the clock and the
 * waiting are supervise.c's.
 */
#include "imapsync.h"

#define SECOND		1000
#define MINUTE		(60 * SECOND)
#define HOUR		(60 * MINUTE)

#define LIVED		MINUTE	/* what a session must live to be a good one */
#define JUMP		MINUTE	/* of the wall clock, that is taken for sleep */

static const struct {
	int64_t		 first;
	int64_t		 most;
	const char	*reason;
} kinds[BACKOFF_KINDS] = {
	[BACKOFF_LOST] = { SECOND, 5 * MINUTE,
	    "a server could not be reached or was lost" },
	/* It needs air more than we need mail. */
	[BACKOFF_LIMIT] = { 10 * SECOND, 15 * MINUTE, "a server is busy" },
	/* Accounts get locked by those who try too often. */
	[BACKOFF_REFUSED] = { 5 * MINUTE, HOUR, "the last try has failed" },
	[BACKOFF_FAILED] = { 5 * MINUTE, HOUR, "the last try has failed" },
	[BACKOFF_CRASHED] = { 30 * SECOND, 5 * MINUTE, "a process crashed" },
	[BACKOFF_DONE] = { 0, 0, "the session has ended" }
};

enum backoff_kind
backoff_kind(int status, int crashed)
{
	if (crashed)
		return BACKOFF_CRASHED;
	if (status == EX_SYNC_TEMP)
		return BACKOFF_LOST;
	if (status == EX_SYNC_LIMIT)
		return BACKOFF_LIMIT;
	if (status == EX_SYNC_LATER)
		return BACKOFF_FAILED;
	if (status == EX_SYNC_OK || status == EX_SYNC_PARTIAL)
		return BACKOFF_DONE;
	return BACKOFF_REFUSED;
}

int64_t
backoff_next(struct backoff *b, enum backoff_kind kind, int64_t lived,
    int64_t interval, uint32_t random)
{
	int64_t	*base;
	int	 first = !b->begun, k;

	b->begun = 1;
	/* Whoever starts us wrong sees it at once; later it failed. */
	if (first && kind == BACKOFF_REFUSED)
		return -1;
	if (kind == BACKOFF_REFUSED)
		kind = BACKOFF_FAILED;
	base = &b->base[kind];
	if (kind == BACKOFF_DONE || lived > LIVED)
		for (k = 0; k < BACKOFF_KINDS; k++)
			/* A server that is slow to refuse still refuses. */
			if (k != BACKOFF_FAILED || kind != BACKOFF_FAILED)
				b->base[k] = 0;
	if (kind == BACKOFF_DONE)
		return interval;
	*base = *base == 0 ? kinds[kind].first : *base * 2;
	if (*base > kinds[kind].most)
		*base = kinds[kind].most;
	/*
	 * From three quarters of it to the whole; of a busy server all who were
	 * sent away are told the same in one moment: from half of it.
	 */
	return *base - random % (*base / (kind == BACKOFF_LIMIT ? 2 : 4) + 1);
}

const char *
backoff_reason(enum backoff_kind kind)
{
	return kinds[kind].reason;
}

int
backoff_jumped(int64_t before, int64_t now)
{
	int64_t	 diff = now - before;

	return diff > JUMP || diff < -JUMP;
}

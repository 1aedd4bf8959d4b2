/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * How the session ends, and the clock for it.
 */
#include "clock.h"
#include "engine.h"

int64_t
end_now(void)
{
	return clock_ms();
}

int
end_status(const struct engine *e)
{
	if (e->end.status != 0)
		return e->end.status;
	return e->partial ? EX_SYNC_PARTIAL : EX_SYNC_OK;
}

int
end_peek(const struct engine *e)
{
	int	 side = e->ledger.side;

	if (e->command != CMD_CHECK || e->want.cfg.peek || e->end.asked ||
	    e->ledger.fault != FAULT_CERTIFICATE ||
	    (side != LOCAL && side != REMOTE) || e->srv[side].has_cert)
		return 0;
	return EX_SYNC_CERT + side;
}

int
end_again(const struct engine *e)
{
	return e->end.limit && e->want.cfg.more && !e->end.asked;
}

int
end_exit(const struct engine *e)
{
	if (end_peek(e) != 0)
		return end_peek(e);
	return e->end.limit && !e->end.asked ? EX_SYNC_LIMIT : end_status(e);
}

int
ended(const struct engine *e)
{
	return e->end.phase != END_NONE;
}

void
end_begin(struct engine *e, enum end_phase phase, int status)
{
	if (e->end.status == 0)
		e->end.status = status;
	if (e->end.phase == END_NONE)
		e->end.at = end_now() + GRACE_MS;
	if (e->end.phase < phase)
		e->end.phase = phase;
}

void
end_hurry(struct engine *e, int64_t ms)
{
	int64_t	 at = end_now() + ms;

	if (e->end.at > at)
		e->end.at = at;
}

void
end_lost(struct engine *e, int side, const char *words)
{
	e->end.lost[side] = 1;
	free(e->end.words[side]);
	e->end.words[side] = xstrdup(words);
}

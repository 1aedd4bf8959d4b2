/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Between two passes of a session that watches: the servers tell of changes, by
 * NOTIFY for all mailboxes or by IDLE for one; whatever they say, every
 * "interval" seconds there is a full look.
 */
#include "engine.h"

#define SLEEP_MS	60000	/* one wait, and a jump of the clock */
#define POLL_MS		10000	/* further watch-mailbox: STATUS so often */

/* ---- what the servers tell ---- */

/* What a server tells, against what the state now says of that mailbox. */
static void
watch_mailbox(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	char		 neutral[NAME_MAX_LEN];
	struct mside	 now;
	struct mbox	*mb;

	if (m->name[0] == '\0' ||
	    name_neutral(e, r->side, m->name, neutral) == -1)
		return;
	if ((mb = mbox_find(&e->list, neutral)) == NULL) {
		e->watch.changed |= !e->filtered;
		return;
	}
	if (mb->skip || mb->stopped)
		return;
	now = mb->s[r->side];
	now.told.has_status = m->has_status;
	now.told.uidvalidity = m->uidvalidity;
	now.told.uidnext = m->uidnext;
	now.told.messages = m->messages;
	now.told.modseq = m->modseq;
	/* What a NOTIFY leaves out has not changed (RFC 5465 section 5). */
	if (m->uidvalidity == 0)
		now.told.uidvalidity = now.known.water.uidvalidity;
	if (m->modseq == 0)
		now.told.modseq = now.known.water.modseq;
	if (compare_moved(&now))
		e->watch.changed = 1;
}

static void
watch_changed(struct engine *e, struct req *r, const struct m_engine_changed *m)
{
	char		 neutral[NAME_MAX_LEN];
	struct mbox	*mb;

	if (m->mailbox[0] != '\0') {
		if (name_neutral(e, r->side, m->mailbox, neutral) == -1)
			return;
		mb = mbox_find(&e->list, neutral);
		if (mb != NULL && (mb->skip || mb->stopped))
			return;
		if (mb == NULL && e->filtered)
			return;
	}
	e->watch.changed = 1;
}

static void
watch_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || !r->what)
		return;
	/* Not fatal: IDLE does it as well, for one mailbox. */
	if (!e->watch.no_notify[r->side])
		log_warnx("%s: the server does not notify (%s): watching by "
		    "IDLE", side_name[r->side], m->text);
	e->watch.no_notify[r->side] = 1;
	e->watch.changed = 1;
}

/* ---- what they are asked for ---- */

/* The k-th mailbox to watch that the side has, or NULL. */
static struct mbox *
watch_mbox(struct engine *e, int side, size_t k)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->want.nwatches; i++) {
		name_arg(e, e->want.watches[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL || mb->skip ||
		    mb->stopped || mb->s[side].told.name == NULL)
			continue;
		if (k-- == 0)
			return mb;
	}
	return NULL;
}

static void
watch_start(struct engine *e, int side)
{
	static const struct answers	 to = {
		.mailbox = watch_mailbox, .changed = watch_changed,
		.done = watch_done
	};
	struct mbox			*mb;
	int				 notify;

	notify = e->want.cfg.notify && !e->watch.no_notify[side];
	if (notify && !(e->srv[side].ready.caps & CAP_NOTIFY)) {
		log_warnx("%s: the server does not offer NOTIFY (RFC 5465): "
		    "watching by IDLE", side_name[side]);
		e->watch.no_notify[side] = 1;
		notify = 0;
	}
	mb = notify ? NULL : watch_mbox(e, side, 0);
	ask_watch(e, side, notify, mb != NULL ? mb->s[side].told.name : "",
	    &to);
}

static int
watch_stop(struct engine *e)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		ask_tell(e, side, M_NET_UNWATCH, NULL);
	return loop_wait(e, -1);
}

/* The other mailboxes of watch-mailbox: a connection idles on one only. */
static int
watch_poll(struct engine *e)
{
	static const struct answers	 to = { .mailbox = watch_mailbox };
	struct mbox			*mb;
	size_t				 k;
	int				 side;

	for (side = 0; side < SIDES; side++) {
		if (e->want.cfg.notify && !e->watch.no_notify[side])
			continue;
		for (k = 1; (mb = watch_mbox(e, side, k)) != NULL; k++)
			ask_status(e, mb, side, &to);
	}
	return loop_wait(e, -1);
}

static int
watch_several(struct engine *e)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if ((!e->want.cfg.notify || e->watch.no_notify[side]) &&
		    watch_mbox(e, side, 1) != NULL)
			return 1;
	return 0;
}

/*
 * Wait for a while at most.  If the machine was suspended meanwhile, the clock on
 * the wall has gone on and this one has not: look at once, and so find out which
 * connections are dead.
 */
static int
watch_sleep(struct engine *e, int64_t ms)
{
	int64_t	 mono = end_now(), wall = time(NULL);

	if (ms > SLEEP_MS)
		ms = SLEEP_MS;
	if (loop_wait(e, ms) == -1)
		return -1;
	if (((int64_t)time(NULL) - wall) * 1000 - (end_now() - mono) >
	    SLEEP_MS)
		e->watch.changed = 1;
	return 0;
}

int
watch_wait(struct engine *e)
{
	int64_t	 next;
	int	 side;

	e->watch.next_look = end_now() + (int64_t)e->want.cfg.interval * 1000;
	e->watch.on = 1;
	while (!e->watch.changed && end_now() < e->watch.next_look) {
		for (side = 0; side < SIDES; side++)
			watch_start(e, side);
		next = e->watch.next_look;
		if (watch_several(e) && end_now() + POLL_MS < next)
			next = end_now() + POLL_MS;
		while (!e->watch.changed && end_now() < next)
			if (watch_sleep(e, next - end_now()) == -1)
				return -1;
		if (watch_stop(e) == -1)
			return -1;
		if (!e->watch.changed && watch_poll(e) == -1)
			return -1;
	}
	e->watch.on = 0;
	e->watch.changed = 0;
	return 0;
}

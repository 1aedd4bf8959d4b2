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

static void
watch_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || r->num == 0)
		return;
	/* Not fatal: IDLE does it as well, for one mailbox. */
	if (!e->no_notify[r->chan])
		log_warnx("%s: the server does not notify (%s): watching by "
		    "IDLE", side_name[r->chan], m->text);
	e->no_notify[r->chan] = 1;
	e->changed = 1;
}

/* The k-th mailbox to watch that the side has, or NULL. */
static struct mbox *
watch_mbox(struct engine *e, int side, size_t k)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;
	char		*p;

	for (i = 0; i < e->nwatches; i++) {
		strlcpy(name, strcasecmp(e->watches[i], "INBOX") == 0 ?
		    "INBOX" : e->watches[i], sizeof(name));
		for (p = name; *p != '\0'; p++)
			if (*p == e->delim[LOCAL])
				*p = NAME_SEP;
		if ((mb = mbox_find(e, name)) == NULL || mb->skip ||
		    mb->stopped || mb->s[side].name == NULL)
			continue;
		if (k-- == 0)
			return mb;
	}
	return NULL;
}

static void
watch_start(struct engine *e, int side)
{
	struct m_net_watch	 m;
	struct mbox		*mb;
	uint32_t		 id;

	m.notify = e->cfg.notify && !e->no_notify[side];
	if (m.notify && !(e->ready[side].caps & CAP_NOTIFY)) {
		log_warnx("%s: the server does not offer NOTIFY (RFC 5465): "
		    "watching by IDLE", side_name[side]);
		e->no_notify[side] = 1;
		m.notify = 0;
	}
	mb = m.notify ? NULL : watch_mbox(e, side, 0);
	m.mailbox = mb != NULL ? mb->s[side].name : "";
	id = engine_req(e, side, NULL, NULL, watch_done, NULL, m.notify);
	engine_send(e, side, M_NET_WATCH, id, &m);
}

/* What a server tells, against what the state now says of that mailbox. */
void
watch_mailbox(struct engine *e, int side, const struct m_engine_mailbox *m)
{
	char		 neutral[NAME_MAX_LEN];
	struct mside	 now;
	struct mbox	*mb;

	if (m->name[0] == '\0' ||
	    name_neutral(e, side, m->name, neutral) == -1)
		return;
	if ((mb = mbox_find(e, neutral)) == NULL) {
		e->changed |= !e->filtered;
		return;
	}
	if (mb->skip || mb->stopped)
		return;
	now = mb->s[side];
	now.has_status = m->has_status;
	now.uidvalidity = m->uidvalidity;
	now.uidnext = m->uidnext;
	now.messages = m->messages;
	now.modseq = m->modseq;
	/* What a NOTIFY leaves out has not changed (RFC 5465 section 5). */
	if (m->uidvalidity == 0)
		now.uidvalidity = now.water.uidvalidity;
	if (m->modseq == 0)
		now.modseq = now.water.modseq;
	if (list_moved(&now))
		e->changed = 1;
}

void
watch_changed(struct engine *e, int side, const char *mailbox)
{
	char		 neutral[NAME_MAX_LEN];
	struct mbox	*mb;

	if (mailbox[0] != '\0') {
		if (name_neutral(e, side, mailbox, neutral) == -1)
			return;
		mb = mbox_find(e, neutral);
		if (mb != NULL && (mb->skip || mb->stopped))
			return;
		if (mb == NULL && e->filtered)
			return;
	}
	e->changed = 1;
}

static int
watch_stop(struct engine *e)
{
	struct m_net_unwatch	 m = { 0 };
	int			 side;

	for (side = 0; side < SIDES; side++)
		engine_send(e, side, M_NET_UNWATCH, 0, &m);
	return engine_wait(e, -1);
}

/* The other mailboxes of watch-mailbox: a connection idles on one only. */
static int
watch_poll(struct engine *e)
{
	struct m_net_status	 m;
	struct mbox		*mb;
	uint32_t		 id;
	size_t			 k;
	int			 side, any = 0;

	for (side = 0; side < SIDES; side++) {
		if (e->cfg.notify && !e->no_notify[side])
			continue;
		for (k = 1; (mb = watch_mbox(e, side, k)) != NULL; k++) {
			m.mailbox = mb->s[side].name;
			id = engine_req(e, side, NULL, NULL, NULL, NULL, 0);
			engine_send(e, side, M_NET_STATUS, id, &m);
			any = 1;
		}
	}
	return any ? engine_wait(e, -1) : 0;
}

static int
watch_several(struct engine *e)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if ((!e->cfg.notify || e->no_notify[side]) &&
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
	int64_t	 mono = engine_now(), wall = time(NULL);

	if (ms > SLEEP_MS)
		ms = SLEEP_MS;
	if (engine_wait(e, ms) == -1)
		return -1;
	if (((int64_t)time(NULL) - wall) * 1000 - (engine_now() - mono) >
	    SLEEP_MS)
		e->changed = 1;
	return 0;
}

int
watch_wait(struct engine *e)
{
	int64_t	 next;
	int	 side;

	e->next_look = engine_now() + (int64_t)e->cfg.interval * 1000;
	e->watching = 1;
	while (!e->changed && engine_now() < e->next_look) {
		for (side = 0; side < SIDES; side++)
			watch_start(e, side);
		next = e->next_look;
		if (watch_several(e) && engine_now() + POLL_MS < next)
			next = engine_now() + POLL_MS;
		while (!e->changed && engine_now() < next)
			if (watch_sleep(e, next - engine_now()) == -1)
				return -1;
		if (watch_stop(e) == -1)
			return -1;
		if (!e->changed && watch_poll(e) == -1)
			return -1;
	}
	e->watching = 0;
	e->changed = 0;
	return 0;
}

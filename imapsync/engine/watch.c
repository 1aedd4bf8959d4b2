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
#include <stdio.h>

#include "engine.h"
#include "notify.h"

#define JUMP_MS		60000	/* of the clock, that is taken for sleep */
#define SLEEP_MS	60000	/* one wait, where nobody tells of a jump */
#define POLL_MS		10000	/* further watch-mailbox: STATUS so often */
#define PAUSE_MS	1000	/* the first time that news was none */
#define NOISES_MAX	10000	/* names with news */

/* ---- the brake ---- */

/*
 * News of a mailbox after which a look has found nothing to do, or left the same
 * undone, may come again and again: such news wait, each time twice as long.
 * News of other mailboxes don't.
 */
struct noise {
	RB_ENTRY(noise)	 entry;
	char		*name;		/* neutral, or as told if unknown; "" */
	int64_t		 pause;		/* ms; 0: the first news */
	int64_t		 until;		/* ms */
	int		 told;		/* there is news, or was before the look */
	int		 unknown;	/* no such mailbox: one look for it */
};
/*
 * All names that nobody knows have one brake more, of their own: there are always
 * others.
 */

static int	 noise_cmp(struct noise *, struct noise *);
RB_PROTOTYPE(noises, noise, entry, noise_cmp)
RB_GENERATE(noises, noise, entry, noise_cmp)

static int
noise_cmp(struct noise *a, struct noise *b)
{
	return strcmp(a->name, b->name);
}

static void
noise_free(struct engine *e, struct noise *n)
{
	RB_REMOVE(noises, &e->watch.noises, n);
	e->watch.nnoises--;
	free(n->name);
	free(n);
}

static void
news(struct engine *e, const char *name, int unknown)
{
	struct noise	 find, *n;
	int64_t		 until;

	find.name = (char *)name;
	if ((n = RB_FIND(noises, &e->watch.noises, &find)) == NULL) {
		/* No honest server tells of so many in one look. */
		if ((unknown || e->watch.ending) &&
		    e->watch.nnoises >= NOISES_MAX)
			return;
		n = xcalloc(1, sizeof(*n));
		n->name = xstrdup(name);
		n->unknown = unknown;
		RB_INSERT(noises, &e->watch.noises, n);
		e->watch.nnoises++;
	}
	n->told = 1;
	/* It has come to be known. */
	if (n->unknown && !unknown)
		n->unknown = n->until = n->pause = 0;
	until = n->until;
	if (n->unknown && until < e->watch.strange_until)
		until = e->watch.strange_until;
	/* What is told behind UNWATCH is in the LIST that follows it. */
	if (e->watch.ending)
		return;
	if (until <= end_now())
		e->watch.changed = 1;
	else if (until < e->watch.wake)
		e->watch.wake = until;
}

void
watch_hint(struct engine *e)
{
	struct noise	*n;
	struct mbox	*mb;

	RB_FOREACH(n, noises, &e->watch.noises)
		if (n->told && (mb = mbox_find(&e->list, n->name)) != NULL)
			mb->hinted = 1;
}

/* How long news are left waiting that come once more. */
static int64_t
longer(const struct engine *e, int64_t pause)
{
	int64_t	 max = (int64_t)e->want.cfg.interval * 1000;

	pause = pause == 0 ? PAUSE_MS : 2 * pause;
	return pause > max ? max : pause;
}

/* A look has been made: which of the news was worth it? */
static void
brake(struct engine *e)
{
	struct noise	*n, *next;
	struct mbox	*mb;
	int		 strange = 0;

	for (n = RB_MIN(noises, &e->watch.noises); n != NULL; n = next) {
		next = RB_NEXT(noises, &e->watch.noises, n);
		mb = mbox_find(&e->list, n->name);
		if (mb != NULL && progress_changed(e, mb)) {
			if (n->unknown)
				e->watch.strange = 0;
			noise_free(e, n);
			continue;
		}
		if (!n->told)
			continue;
		n->told = 0;
		n->pause = longer(e, n->pause);
		n->until = end_now() + n->pause;
		if (n->unknown && mb == NULL) {
			n->until = INT64_MAX;
			strange = 1;
		}
	}
	if (strange) {
		e->watch.strange = longer(e, e->watch.strange);
		e->watch.strange_until = end_now() + e->watch.strange;
	}
	e->watch.wake = INT64_MAX;
	/* What waits for somebody else's work is looked at again by itself. */
	FOREACH_MBOX(mb, &e->list) {
		if (mb->soon)
			news(e, mb->name, 0);
		if (mb->again && end_now() + PAUSE_MS < e->watch.wake)
			e->watch.wake = end_now() + PAUSE_MS;
	}
}

/* ---- what the servers tell ---- */

/*
 * The mailbox that a server means: in an event it may spell it in another way
 * than in LIST (Dovecot 2.3 has UTF-8 in NOTIFY's STATUS).  NULL if there is
 * none; out[NAME_MAX_LEN] is then what it said.
 */
static struct mbox *
told_mbox(struct engine *e, int side, const char *name, char *out)
{
	char		 utf7[NAME_MAX_LEN];
	struct mbox	*mb = NULL;

	if (name_neutral(e, side, name, out) == 0)
		mb = mbox_find(&e->list, out);
	if (mb == NULL && utf7_encode(name, utf7) == 0 &&
	    name_neutral(e, side, utf7, out) == 0)
		mb = mbox_find(&e->list, out);
	/* While the state is read again, nothing is known yet. */
	if (mb == NULL && (!e->watch.ending ||
	    name_neutral(e, side, name, out) == -1))
		strlcpy(out, name, NAME_MAX_LEN);
	return mb;
}

/* One of the remote side that settle_report() has named: no look can do more. */
static int
is_shadow(struct engine *e, int side, const char *name)
{
	char	 utf7[NAME_MAX_LEN], out[NAME_MAX_LEN], back[NAME_MAX_LEN];

	if (side == LOCAL)
		return 0;
	if (name_below(e, side, name, out) == 0 &&
	    map_neutral(e, out, back) == -1)
		return 1;
	return utf7_encode(name, utf7) == 0 &&
	    name_below(e, side, utf7, out) == 0 &&
	    map_neutral(e, out, back) == -1;
}

/* These numbers are neither the state's nor those that the last look found. */
static int
is_news(const struct mside *ms, const struct m_engine_mailbox *m)
{
	struct mside	 now = *ms;

	now.told.has_status = m->has_status;
	now.told.uidvalidity = m->uidvalidity;
	now.told.uidnext = m->uidnext;
	now.told.messages = m->messages;
	now.told.modseq = m->modseq;
	now.told.unseen = m->unseen;
	/* What a NOTIFY leaves out has not changed (RFC 5465 section 5). */
	if (m->uidvalidity == 0)
		now.told.uidvalidity = ms->known.water.uidvalidity;
	if (m->modseq == 0)
		now.told.modseq = ms->known.water.modseq;
	return compare_moved(&now) && (m->uidnext != ms->told.uidnext ||
	    m->messages != ms->told.messages ||
	    (m->uidvalidity != 0 && m->uidvalidity != ms->told.uidvalidity) ||
	    (m->modseq != 0 && m->modseq != ms->told.modseq));
}

static void
watch_mailbox(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;

	if (m->name[0] == '\0' || is_shadow(e, r->side, m->name))
		return;
	if ((mb = told_mbox(e, r->side, m->name, name)) == NULL) {
		if (!e->filtered)
			news(e, name, !e->watch.ending);
	} else if (!mb->skip && is_news(&mb->s[r->side], m))
		news(e, name, 0);
}

static void
watch_changed(struct engine *e, struct req *r, const struct m_engine_changed *m)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;

	if (m->mailbox[0] == '\0') {
		news(e, "", 0);
		return;
	}
	if (is_shadow(e, r->side, m->mailbox))
		return;
	mb = told_mbox(e, r->side, m->mailbox, name);
	if (mb != NULL ? !mb->skip : !e->filtered)
		news(e, name, mb == NULL && !e->watch.ending);
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
		which_mbox(e, e->want.watches[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL || mb->skip ||
		    !mbox_present(mb, side))
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

/* What the side tells news of, and how: into text. */
static void
watch_how(struct engine *e, int side, char *text, size_t size)
{
	struct mbox	*mb = watch_mbox(e, side, 0);

	if (e->want.cfg.notify && !e->watch.no_notify[side])
		snprintf(text, size, "all (NOTIFY)");
	else if (mb != NULL && (e->srv[side].ready.caps & CAP_IDLE))
		snprintf(text, size, "%s%s (IDLE)", name_show(e, mb->name),
		    watch_mbox(e, side, 1) != NULL ? " and others" : "");
	else
		strlcpy(text, "nothing", size);
}

/* Somebody looks at a terminal where nothing happens: say once what it does. */
static void
watch_tell(struct engine *e)
{
	char		 how[SIDES][NAME_TEXT_MAX + 64], n[NUMBER_TEXT];
	unsigned int	 boxes = 0;
	struct mbox	*mb;
	int		 side;

	if (e->watch.told || e->want.cfg.columns == 0)
		return;
	e->watch.told = 1;
	FOREACH_MBOX(mb, &e->list)
		boxes += !mb->skip && mbox_present(mb, LOCAL) &&
		    mbox_present(mb, REMOTE);
	for (side = 0; side < SIDES; side++)
		watch_how(e, side, how[side], sizeof(how[side]));
	log_info("watching %s mailbox%s: local tells of %s, remote of %s; a "
	    "look every %u s; Ctrl-C ends it", progress_number(boxes, n),
	    boxes == 1 ? "" : "es", how[LOCAL], how[REMOTE],
	    e->want.cfg.interval);
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

	if (e->watch.clock <= 0 && ms > SLEEP_MS)
		ms = SLEEP_MS;
	e->watch.jumped = 0;
	if (loop_wait(e, ms) == -1)
		return -1;
	if (((int64_t)time(NULL) - wall) * 1000 - (end_now() - mono) > JUMP_MS)
		e->watch.changed = 1;
	return 0;
}

/* For the manager of services: what is watched, and how it stands. */
static void
watch_notify(struct engine *e)
{
	char		 last[64] = "", left[32] = "";
	unsigned int	 n = 0, stopped = 0;
	struct mbox	*mb;
	struct tm	*tm;
	time_t		 when = e->changed;

	FOREACH_MBOX(mb, &e->list) {
		n += !mb->skip && (mbox_present(mb, LOCAL) ||
		    mbox_present(mb, REMOTE));
		stopped += mb->stopped;
	}
	if (stopped > 0)
		snprintf(left, sizeof(left), "; %u left alone", stopped);
	if (when != 0 && (tm = localtime(&when)) != NULL)
		strftime(last, sizeof(last), time(NULL) - when < 86400 ?
		    "; last change %H:%M" : "; last change %Y-%m-%d", tm);
	notify_say("READY=1\nSTATUS=watching %u mailbox%s%s%s", n,
	    n == 1 ? "" : "es", left, last);
}

/* What can't be watched is said once, when the session begins to wait. */
static void
watch_unknown(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;

	if (e->passes != 1 || e->want.cfg.notify)
		return;
	for (i = 0; i < e->want.nwatches; i++) {
		which_mbox(e, e->want.watches[i], name);
		mb = mbox_find(&e->list, name);
		if (mb != NULL && !mb->skip && (mbox_present(mb, LOCAL) ||
		    mbox_present(mb, REMOTE)))
			continue;
		log_warnx("watch-mailbox: no mailbox that is synchronised is "
		    "called \"%s\"%s", name_show(e, name), mb == NULL ?
		    which_near(e, name) : "");
	}
}

int
watch_wait(struct engine *e)
{
	int64_t	 next;
	int	 side;

	watch_unknown(e);
	e->watch.next_look = end_now() + (int64_t)e->want.cfg.interval * 1000;
	brake(e);
	watch_notify(e);
	e->watch.on = 1;
	e->watch.ending = 0;
	while (!e->watch.changed && end_now() < e->watch.next_look) {
		for (side = 0; side < SIDES; side++)
			watch_start(e, side);
		watch_tell(e);
		next = e->watch.next_look;
		if (watch_several(e) && end_now() + POLL_MS < next)
			next = end_now() + POLL_MS;
		while (!e->watch.changed && end_now() < next) {
			if (watch_sleep(e, next - end_now()) == -1)
				return -1;
			e->watch.changed |= end_now() >= e->watch.wake;
		}
		if (e->watch.changed || end_now() >= e->watch.next_look)
			break;
		ask_unwatch(e);
		if (watch_poll(e) == -1)
			return -1;
	}
	e->watch.on = 0;
	e->watch.changed = 0;
	e->watch.ending = 1;
	return 0;
}

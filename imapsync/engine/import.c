/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --import: what interimap remembers becomes the state, once it was checked.  Its
 * pairs have neither a baseline nor a size or a key, and nobody says whose they
 * are.  So the mailboxes must have the UIDVALIDITY that they had; both messages
 * of each pair must be there and of one size, and a sample of them of one key; if
 * one of it is not, all keys of that mailbox are looked at.  What does not hold is
 * dropped, and its messages are paired by content or copied, as new ones are:
 * nothing is ever deleted because of what was imported unseen.
 *
 * The baseline is what both sides have now.  Of what was changed since the last
 * run of interimap it is not known who changed it: both get the union.
 *
 * Until all of it is checked nothing is committed.  What follows is a run.
 */
#include "engine.h"

/* A mailbox of interimap's database. */
struct take {
	TAILQ_ENTRY(take) entry;
	char		*name;		/* there; from names() on neutral */
	uint32_t	 from;		/* its number there */
	int		 subscribed;
	struct {
		uint32_t	 uidvalidity;
		uint32_t	 uidnext;
		uint32_t	 top;		/* highest UID of a pair; 0 */
		uint64_t	 modseq;
	} side[SIDES];
	struct mbox	*mb;
	struct sess	*first[SIDES];
	struct sess	*look[SIDES];	/* the last one */
	struct uidset	 doubt[SIDES];	/* whose keys are to be looked at */
	struct uidset	 left[SIDES];	/* what has no row */
	uint32_t	 differ;	/* pairs with two keys, when looked at */
	int		 flags;		/* the flags of a pair differ */
	uint32_t	 kept;
	uint32_t	 wrong;
	uint32_t	 gone;		/* one of two is not there any more */
};

static void
take_free(struct engine *e, struct take *t)
{
	int	 side;

	TAILQ_REMOVE(&e->import.takes, t, entry);
	for (side = 0; side < SIDES; side++) {
		uidset_free(&t->doubt[side]);
		uidset_free(&t->left[side]);
	}
	free(t->name);
	free(t);
}

static struct take *
take_of(const struct mbox *mb)
{
	return mb->w->pairing.take;
}

/* ---- what the database holds ---- */

static void
got_box(struct engine *e, struct req *r, const struct m_engine_mbox *m)
{
	struct take	*t;
	int		 side;

	(void)r;
	if (++e->import.found > NAMES_MAX)
		fatalx("interimap's database has more mailboxes than can be "
		    "handled (%d)", NAMES_MAX);
	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(m->name);
	t->from = m->mailbox;
	t->subscribed = m->subscribed;
	for (side = 0; side < SIDES; side++) {
		t->side[side].uidvalidity = m->water[side].uidvalidity;
		t->side[side].uidnext = m->water[side].uidnext;
		t->side[side].modseq = m->water[side].modseq;
		t->side[side].top = m->water[side].messages;
	}
	TAILQ_INSERT_TAIL(&e->import.takes, t, entry);
}

static void
got_version(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)r;
	e->import.version = m->count;
}

/* Up to version 0 a name had the delimiter, which then was one for both. */
static void
old_name(struct engine *e, char *name)
{
	char	*p;

	if (e->srv[LOCAL].delim != e->srv[REMOTE].delim)
		fatalx("interimap's database is of a version before 0.5, which "
		    "can be read only if both servers have one hierarchy "
		    "delimiter (they have '%c' and '%c'): run interimap 0.5 "
		    "once, which brings it up to date",
		    e->srv[LOCAL].delim != '\0' ? e->srv[LOCAL].delim : ' ',
		    e->srv[REMOTE].delim != '\0' ? e->srv[REMOTE].delim : ' ');
	for (p = name; *p != '\0'; p++)
		if (*p == e->srv[LOCAL].delim)
			*p = NAME_SEP;
}

/* Is the mailbox on that side the one that interimap saw? */
static int
fits_side(struct engine *e, const struct take *t, int side)
{
	const struct side_told	*now = &t->mb->s[side].told;
	const char		*what = "UIDVALIDITY";
	unsigned long long	 is = now->uidvalidity;
	unsigned long long	 was = t->side[side].uidvalidity;

	if (is == was && now->has_status &&
	    now->uidnext != 0 && now->uidnext < t->side[side].uidnext) {
		what = "UIDNEXT";
		is = now->uidnext;
		was = t->side[side].uidnext;
	} else if (is == was && now->has_status && has_modseq(e, side) &&
	    now->modseq < t->side[side].modseq) {
		what = "HIGHESTMODSEQ";
		is = now->modseq;
		was = t->side[side].modseq;
	} else if (is == was)
		return 1;
	log_warnx("%s: not taken over, since its %s on the %s server was %llu "
	    "and is %llu now: what both servers have is paired by content",
	    name_show(e, t->mb->name), what, side_name[side], was, is);
	return 0;
}

/*
 * 1 if it can be taken over: both servers have it, and it is the one that it was.
 * What interimap entered and never looked into needs not be.
 */
static int
fits(struct engine *e, struct take *t)
{
	if (e->import.version == 0)
		old_name(e, t->name);
	t->mb = mbox_find(&e->list, t->name);
	if (t->mb == NULL || t->mb->skip || t->mb->id != 0 ||
	    t->side[LOCAL].uidvalidity == 0 ||
	    t->side[REMOTE].uidvalidity == 0)
		return 0;
	if (!map_same(e, t->name)) {
		log_warnx("%s: not taken over, since interimap knows it by one "
		    "name on both servers, and mailbox-map does not",
		    name_show(e, t->mb->name));
		return 0;
	}
	if (!mbox_present(t->mb, LOCAL) || !mbox_present(t->mb, REMOTE)) {
		if (mbox_present(t->mb, LOCAL) || mbox_present(t->mb, REMOTE))
			log_warnx("%s: interimap knows it on both servers, and "
			    "now only the %s server has it: it is copied again",
			    name_show(e, t->mb->name), side_name[
			    mbox_present(t->mb, LOCAL) ? LOCAL : REMOTE]);
		return 0;
	}
	if (fits_side(e, t, LOCAL) && fits_side(e, t, REMOTE))
		return 1;
	e->import.strange++;
	if (strcmp(t->name, "INBOX") == 0)
		e->import.inbox = 1;
	return 0;
}

/* It names no servers: the mailboxes have to tell whose it is. */
static void
choose(struct engine *e)
{
	struct take	*t, *next;

	for (t = TAILQ_FIRST(&e->import.takes); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (!fits(e, t))
			take_free(e, t);
	}
	if (e->import.inbox || (TAILQ_EMPTY(&e->import.takes) &&
	    e->import.strange > 0))
		fatalx("interimap's database is that of other servers, or they "
		    "were made anew since: %s there.  Nothing was imported; name "
		    "the right database behind --import, or run without it, "
		    "which pairs what both servers have by content",
		    e->import.inbox ? "INBOX is another one" :
		    "not one mailbox is what it was");
	if (TAILQ_EMPTY(&e->import.takes))
		fatalx("interimap's database holds nothing to be taken over: of "
		    "its %u mailboxes none was synchronised and is on both "
		    "servers; run without --import", e->import.found);
}

/* ---- taking over ---- */

static void
enter(struct engine *e, struct take *t)
{
	struct m_store_newbox		 box;
	struct m_store_subscribed	 sub;
	struct m_store_take		 take;
	struct mbox			*mb = t->mb;

	if (mbox_set_id(&e->list, mb, e->list.next_id) == -1)
		fatalx("the state has no room for another mailbox");
	mbox_begin(mb);
	mb->w->pairing.take = t;
	mb->subscribed = t->subscribed;
	memset(&box, 0, sizeof(box));
	box.mailbox = sub.mailbox = take.mailbox = mb->id;
	box.name = mb->name;
	box.remote = "";
	ask_note(e, M_STORE_NEWBOX, &box);
	sub.subscribed = t->subscribed;
	ask_note(e, M_STORE_SUBSCRIBED, &sub);
	take.from = t->from;
	ask_note(e, M_STORE_TAKE, &take);
}

/* It does not hold: as if the state had just heard of it. */
static void
give_up(struct engine *e, struct take *t)
{
	struct m_store_adopt	 a;
	struct mbox		*mb = t->mb;

	memset(&a, 0, sizeof(a));
	a.mailbox = mb->id;
	a.adopt = a.drop = 1;
	ask_note(e, M_STORE_ADOPT, &a);
	mb->adopt = 1;
	mb->s[LOCAL].known.n = mb->s[REMOTE].known.n = 0;
}

/* ---- what both sides have ---- */

static void
take_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct m_store_seen	 seen;

	if (m->has_flags == FLAGS_NONE || m->uid > s->n || s->opened)
		return;
	/* The run that follows sees what it makes of them. */
	if (m->has_flags == FLAGS_CUT)
		take_of(s->mb)->flags = 1;
	memset(&seen, 0, sizeof(seen));
	seen.mailbox = s->mb->id;
	seen.side = s->side;
	seen.uid = m->uid;
	seen.date = DATE_NONE;
	seen.flags = m->has_flags == FLAGS_CUT ? "" : m->flags;
	ask_seen(e, &seen);
}

static void
take_meta(struct engine *e, struct req *r, const struct m_engine_meta *m,
    int brief)
{
	struct m_store_seen	 seen;

	memset(&seen, 0, sizeof(seen));
	seen.mailbox = r->mb->id;
	seen.side = r->side;
	seen.uid = m->uid;
	seen.size = m->size;
	seen.brief = brief;
	seen.key = m->key;
	seen.date = m->date;
	seen.msgid = m->msgid;
	seen.flags = m->flags;
	ask_seen(e, &seen);
}

static void
got_size(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	take_meta(e, r, m, 1);
}

static void
got_key(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	take_meta(e, r, m, 0);
}

static void
meta_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "the %s server does not tell what is in "
		    "it: %s", side_name[r->side], m->text);
}

static const struct answers	 opened = {
	.done = look_opened, .flags = take_flags, .spoilt = look_spoilt
};
static const struct answers	 sizes = { .meta = got_size, .done = meta_done };
static const struct answers	 keys = { .meta = got_key, .done = meta_done };

/* All that may be in a pair. */
static void
up_to_top(const struct take *t, int side, struct uidset *set)
{
	uidset_free(set);
	if (t->side[side].top != 0)
		uidset_add(set, 1, t->side[side].top);
}

/* Flags, UIDs and sizes of all, in one turn. */
static void
look_first(struct engine *e, struct take *t)
{
	struct uidset	 all = UIDSET_INIT;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		t->mb->s[side].known.n = t->side[side].top;
		up_to_top(t, side, &all);
		t->first[side] = t->look[side] = look_open(e, t->mb, side,
		    OPEN_NEW | (uidset_empty(&all) ? 0 : OPEN_FULL), &opened);
		ask_meta(e, t->look[side], META_SIZE, &all, &sizes);
	}
	uidset_free(&all);
}

static void
look_keys(struct engine *e, struct take *t)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		if (uidset_empty(&t->doubt[side]))
			continue;
		t->look[side] = look_open(e, t->mb, side, 0, &opened);
		ask_meta(e, t->look[side], META_WHOLE, &t->doubt[side], &keys);
	}
}

/* Was the last look one at the mailbox that interimap knows? */
static void
looked(struct engine *e, struct take *t)
{
	int	 side;

	for (side = 0; side < SIDES && !t->mb->stopped; side++)
		if (t->look[side]->uidvalidity != t->side[side].uidvalidity ||
		    t->look[side]->notsticky)
			progress_stop(e, t->mb, "it was made anew on the %s "
			    "server, or does not keep its UIDs: it is left "
			    "alone in this run", side_name[side]);
}

/* ---- which pairs hold ---- */

static void
got_doubt(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_or(&take_of(r->mb)->doubt[m->side], &m->set);
}

static void
doubt_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	take_of(r->mb)->differ = m->count;
}

static void
got_dropped(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	struct take	*t = take_of(r->mb);

	if (m->gone == 4)
		t->wrong++;
	else if (m->gone != 3)
		t->gone++;
	log_debug("%s: the pair of UID %u on local and UID %u on remote does "
	    "not hold (%u)", name_show(e, r->mb->name), m->local, m->remote,
	    m->gone);
}

static void
got_differing(struct engine *e, struct req *r, const struct m_engine_paired *m)
{
	(void)e;
	(void)m;
	take_of(r->mb)->flags = 1;
}

static void
got_unpaired(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_or(&take_of(r->mb)->left[m->side], &m->set);
}

static void
whole_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	take_of(r->mb)->kept = m->count;
}

/* The lowest UID that has no row. */
static uint32_t
lowest(struct take *t, int side)
{
	const struct sess	*s = t->first[side];
	struct uidset		 all = UIDSET_INIT;
	uint32_t		 u;

	uidset_copy(&all, &s->fresh);
	if (s->n > 0)
		uidset_del(&all, 1, s->n);
	uidset_or(&t->left[side], &all);
	uidset_free(&all);
	if ((u = uidset_min(&t->left[side])) != 0)
		return u;
	if (s->uidnext != 0)
		return s->uidnext;
	u = uidset_max(&s->fresh);
	return (u > s->n ? u : s->n) + 1;
}

/*
 * The watermark is that of the first look, so that what has changed since is told
 * again; and where flags differ all of them are.
 */
static void
water(struct engine *e, struct take *t, int side)
{
	const struct sess	*s = t->first[side];
	struct water		*w = &t->mb->s[side].known.water;
	struct m_store_water	 m;

	w->uidvalidity = s->uidvalidity;
	w->uidnext = lowest(t, side);
	w->messages = s->exists;
	w->modseq = t->flags ? 0 : s->modseq;
	w->mailboxid = text_keep(s->mailboxid);
	t->mb->s[side].known.n = w->uidnext - 1;
	memset(&m, 0, sizeof(m));
	m.mailbox = t->mb->id;
	m.side = side;
	m.water.uidvalidity = w->uidvalidity;
	m.water.uidnext = w->uidnext;
	m.water.messages = w->messages;
	m.water.modseq = w->modseq;
	m.water.mailboxid = w->mailboxid;
	ask_note(e, M_STORE_WATER, &m);
}

/* What has no row on both sides is looked at once more, to be paired. */
static void
settle(struct engine *e, struct take *t)
{
	struct m_store_adopt	 a;
	struct mbox		*mb = t->mb;
	int			 side;

	for (side = 0; side < SIDES; side++)
		water(e, t, side);
	if (!uidset_empty(&t->left[LOCAL]) && !uidset_empty(&t->left[REMOTE])) {
		memset(&a, 0, sizeof(a));
		a.mailbox = mb->id;
		a.adopt = 1;
		ask_note(e, M_STORE_ADOPT, &a);
		mb->adopt = 1;
	}
	mb->nrows = t->kept;
	e->list.total_rows += t->kept;
	e->list.had_rows |= t->kept > 0;
	e->import.mailboxes++;
	e->import.kept += t->kept;
	e->import.wrong += t->wrong;
	e->import.gone += t->gone;
}

/* ---- some at a time ---- */

#define FOREACH_TAKE(t, e)						\
	TAILQ_FOREACH(t, &(e)->import.takes, entry)			\
		if ((t)->first[LOCAL] == NULL || (t)->mb->stopped)	\
			continue;					\
		else

/* A look, whose answers are awaited. */
static int
await_looks(struct engine *e)
{
	struct take	*t;

	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_TAKE(t, e)
		looked(e, t);
	return 0;
}

static int
check(struct engine *e)
{
	static const struct answers	 doubt = {
		.uids = got_doubt, .done = doubt_done
	};
	static const struct answers	 again = { .done = doubt_done };
	static const struct answers	 whole = {
		.row = got_dropped, .paired = got_differing,
		.uids = got_unpaired, .done = whole_done
	};
	struct take			*t;
	int				 side;

	if (await_looks(e) == -1)
		return -1;
	FOREACH_TAKE(t, e)
		ask_pair(e, t->mb, PAIR_DOUBT, &doubt);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_TAKE(t, e)
		look_keys(e, t);
	if (await_looks(e) == -1)
		return -1;
	FOREACH_TAKE(t, e)
		ask_pair(e, t->mb, PAIR_DOUBT, &again);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_TAKE(t, e) {
		for (side = 0; side < SIDES && t->differ > 0; side++)
			up_to_top(t, side, &t->doubt[side]);
		if (t->differ > 0)
			look_keys(e, t);
	}
	if (await_looks(e) == -1)
		return -1;
	FOREACH_TAKE(t, e)
		ask_pair(e, t->mb, PAIR_IMPORT, &whole);
	return loop_wait(e, -1);
}

/* What it took to check them goes, for the next ones to have room. */
static void
rest(struct engine *e)
{
	struct take	*t;

	while ((t = TAILQ_FIRST(&e->import.takes)) != NULL &&
	    t->first[LOCAL] != NULL) {
		if (t->mb->stopped)
			give_up(e, t);
		else
			settle(e, t);
		t->mb->finished = 1;
		ask_trim(e);
		t->mb->finished = 0;
		mbox_rest(t->mb);
		take_free(e, t);
	}
	e->ranges = 0;
}

static int
batch(struct engine *e)
{
	struct take	*t;
	unsigned int	 n = 0;

	TAILQ_FOREACH(t, &e->import.takes, entry) {
		if (n++ == ROUND_MAX)
			break;
		enter(e, t);
		look_first(e, t);
	}
	if (check(e) == -1)
		return -1;
	rest(e);
	return 0;
}

/* ---- the whole ---- */

static void
say(struct engine *e)
{
	const struct importing	*im = &e->import;

	log_info("%u mailbox%s with %llu message%s %s taken over from "
	    "interimap", im->mailboxes, im->mailboxes == 1 ? "" : "es",
	    (unsigned long long)im->kept, im->kept == 1 ? "" : "s",
	    e->want.cfg.dryrun ? "would be" :
	    im->mailboxes == 1 ? "was" : "were");
	if (im->wrong > 0)
		log_info("%llu pair%s of it did not hold: what both servers "
		    "have is paired by content", (unsigned long long)im->wrong,
		    im->wrong == 1 ? "" : "s");
	if (im->gone > 0)
		log_info("%llu message%s %s gone on one side since interimap "
		    "ran last: an import deletes nothing, so that %s copied "
		    "there again", (unsigned long long)im->gone,
		    im->gone == 1 ? "" : "s", im->gone == 1 ? "is" : "are",
		    im->gone == 1 ? "it is" : "they are");
}

void
import_reset(struct engine *e)
{
	struct take	*t, *next;

	for (t = TAILQ_FIRST(&e->import.takes); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		take_free(e, t);
	}
}

int
import_run(struct engine *e)
{
	static const struct answers	 to = {
		.mbox = got_box, .done = got_version
	};
	struct m_store_taken		 m;

	memset(&e->import, 0, sizeof(e->import));
	TAILQ_INIT(&e->import.takes);
	/* Whatever ends the run from here on: nothing of it is kept. */
	e->import.open = 1;
	ask_import(e, &to);
	if (loop_wait(e, -1) == -1)
		return -1;
	choose(e);
	while (!TAILQ_EMPTY(&e->import.takes))
		if (batch(e) == -1)
			return -1;
	if (e->import.wrong > e->import.kept)
		fatalx("interimap's database is not that of these servers: of "
		    "%llu pairs in mailboxes that look like its own %llu are "
		    "of different messages.  Nothing was imported; name the "
		    "right database behind --import, or run without it, which "
		    "pairs what both servers have by content",
		    (unsigned long long)(e->import.wrong + e->import.kept),
		    (unsigned long long)e->import.wrong);
	memset(&m, 0, sizeof(m));
	ask_note(e, M_STORE_TAKEN, &m);
	e->import.open = 0;
	if (loop_commit(e) == -1)
		return -1;
	say(e);
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Mailboxes, rows, refusals, marks: made, found and freed here, whatever phase
 * fills them.
 */
#include <time.h>

#include "mbox.h"

RB_GENERATE(mboxes, mbox, entry, mbox_cmp)
RB_GENERATE(rows_local, row, entry[LOCAL], row_cmp_local)
RB_GENERATE(rows_remote, row, entry[REMOTE], row_cmp_remote)
RB_GENERATE(changes, change, entry, change_cmp)
RB_GENERATE(refusals, refusal, entry, refusal_cmp)

static int	 store_cmp(struct store *, struct store *);
RB_PROTOTYPE(store_index, store, node, store_cmp)
RB_GENERATE(store_index, store, node, store_cmp)

int
mbox_cmp(struct mbox *a, struct mbox *b)
{
	return strcmp(a->name, b->name);
}

int
row_cmp_local(struct row *a, struct row *b)
{
	return a->uid[LOCAL] < b->uid[LOCAL] ? -1 :
	    a->uid[LOCAL] > b->uid[LOCAL];
}

int
row_cmp_remote(struct row *a, struct row *b)
{
	return a->uid[REMOTE] < b->uid[REMOTE] ? -1 :
	    a->uid[REMOTE] > b->uid[REMOTE];
}

int
change_cmp(struct change *a, struct change *b)
{
	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

int
refusal_cmp(struct refusal *a, struct refusal *b)
{
	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static int
store_cmp(struct store *a, struct store *b)
{
	return a->add != b->add ? a->add - b->add :
	    strcasecmp(a->flag, b->flag);
}

/* ---- flags ---- */

struct word {
	RB_ENTRY(word)	 entry;
	char		 text[];
};
RB_HEAD(words, word);

static struct words	 words = RB_INITIALIZER(&words);
/* The last one; most messages that are told of in a row are alike. */
static struct word	*word_last;

static int
word_cmp(struct word *a, struct word *b)
{
	return strcmp(a->text, b->text);
}

RB_PROTOTYPE(words, word, entry, word_cmp)
RB_GENERATE(words, word, entry, word_cmp)

const char *
text_keep(const char *text)
{
	struct word	*w, *other;
	size_t		 size = strlen(text) + 1;

	if (word_last != NULL && strcmp(word_last->text, text) == 0)
		return word_last->text;
	w = xcalloc(1, sizeof(*w) + size);
	memcpy(w->text, text, size);
	if ((other = RB_INSERT(words, &words, w)) != NULL) {
		free(w);
		w = other;
	}
	word_last = w;
	return w->text;
}

static void
words_free(void)
{
	struct word	*w;

	while ((w = RB_MIN(words, &words)) != NULL) {
		RB_REMOVE(words, &words, w);
		free(w);
	}
	word_last = NULL;
}

/* ---- rows ---- */

struct row *
row_find(struct mbox *mb, int side, uint32_t uid)
{
	struct row	 find;

	find.uid[side] = uid;
	return side == LOCAL ? RB_FIND(rows_local, &mb->rows_l, &find) :
	    RB_FIND(rows_remote, &mb->rows_r, &find);
}

struct row *
row_add(struct mbox *mb, uint32_t local, uint32_t remote, const char *base)
{
	struct row	*row = row_find(mb, LOCAL, local);
	struct row	*other = row_find(mb, REMOTE, remote);

	if (row != NULL || other != NULL)
		return row == other ? row : NULL;
	row = xcalloc(1, sizeof(*row));
	row->uid[LOCAL] = local;
	row->uid[REMOTE] = remote;
	row->base = text_keep(base);
	RB_INSERT(rows_local, &mb->rows_l, row);
	RB_INSERT(rows_remote, &mb->rows_r, row);
	return row;
}

void
row_renumber(struct mbox *mb, struct row *row, int side, uint32_t uid)
{
	RB_REMOVE(rows_local, &mb->rows_l, row);
	RB_REMOVE(rows_remote, &mb->rows_r, row);
	row->uid[side] = uid;
	RB_INSERT(rows_local, &mb->rows_l, row);
	RB_INSERT(rows_remote, &mb->rows_r, row);
}

void
row_now(struct row *row, int side, const char *flags)
{
	row->now[side] = text_keep(flags);
}

static void
rows_free(struct mbox *mb)
{
	struct row	*row;

	while ((row = RB_MIN(rows_local, &mb->rows_l)) != NULL) {
		RB_REMOVE(rows_local, &mb->rows_l, row);
		RB_REMOVE(rows_remote, &mb->rows_r, row);
		free(row);
	}
}

/* ---- lists of a side ---- */

int
change_add(struct mside *ms, uint32_t uid, const char *flags)
{
	struct change	 find, *c;
	int		 first = 0;

	find.uid = uid;
	if ((c = RB_FIND(changes, &ms->w->found.changes, &find)) == NULL) {
		c = xcalloc(1, sizeof(*c));
		c->uid = uid;
		RB_INSERT(changes, &ms->w->found.changes, c);
		first = 1;
	}
	c->flags = text_keep(flags);
	return first;
}

void
change_drop(struct mside *ms)
{
	struct change	*c = RB_MAX(changes, &ms->w->found.changes);

	if (c == NULL)
		return;
	RB_REMOVE(changes, &ms->w->found.changes, c);
	free(c);
}

struct store *
store_find(struct stores *list, int add, const char *flag)
{
	struct store	 find;

	find.add = add;
	find.flag = (char *)flag;
	return RB_FIND(store_index, &list->index, &find);
}

struct store *
store_add(struct stores *list, int add, const char *flag)
{
	struct store	*st;

	if ((st = store_find(list, add, flag)) == NULL) {
		st = xcalloc(1, sizeof(*st));
		st->add = add;
		st->flag = xstrdup(flag);
		TAILQ_INSERT_TAIL(&list->list, st, entry);
		RB_INSERT(store_index, &list->index, st);
	}
	return st;
}

void
stores_free(struct stores *list)
{
	struct store	*st;

	while ((st = TAILQ_FIRST(&list->list)) != NULL) {
		TAILQ_REMOVE(&list->list, st, entry);
		RB_REMOVE(store_index, &list->index, st);
		uidset_free(&st->set);
		uidset_free(&st->sent);
		uidset_free(&st->done);
		uidset_free(&st->refused);
		free(st->flag);
		free(st);
	}
}

struct refusal *
refusal_find(struct mside *ms, uint32_t uid)
{
	struct refusal	 find;

	find.uid = uid;
	return RB_FIND(refusals, &ms->known.refusals, &find);
}

static uint32_t	 refusals;

uint32_t
refusal_count(void)
{
	return refusals;
}

struct refusal *
refusal_new(struct mside *ms, uint32_t uid)
{
	struct refusal	*f;

	f = xcalloc(1, sizeof(*f));
	f->uid = uid;
	f->text = xstrdup("");
	RB_INSERT(refusals, &ms->known.refusals, f);
	refusals++;
	return f;
}

void
refusal_free(struct mside *ms, struct refusal *f)
{
	RB_REMOVE(refusals, &ms->known.refusals, f);
	refusals--;
	free(f->text);
	free(f);
}

/* ---- a side, phase by phase ---- */

static void
told_free(struct side_told *t)
{
	free(t->name);
}

static void
known_init(struct side_known *k)
{
	memset(k, 0, sizeof(*k));
	RB_INIT(&k->refusals);
	k->water.uidnext = 1;
	k->water.mailboxid = text_keep("");
}

static void
known_free(struct mside *ms)
{
	struct refusal	*f;

	while ((f = RB_MIN(refusals, &ms->known.refusals)) != NULL)
		refusal_free(ms, f);
}

static void
found_free(struct side_found *d)
{
	struct change	*c;

	while ((c = RB_MIN(changes, &d->changes)) != NULL) {
		RB_REMOVE(changes, &d->changes, c);
		free(c);
	}
	uidset_free(&d->new);
	uidset_free(&d->cand);
	uidset_free(&d->unpaired);
	uidset_free(&d->cut);
	uidset_free(&d->leave);
	free(d->anew.rows);
	memset(&d->anew, 0, sizeof(d->anew));
}

static void
plan_free(struct side_plan *p)
{
	uidset_free(&p->doomed);
	uidset_free(&p->after);
	uidset_free(&p->moving);
	uidset_free(&p->wait);
	uidset_free(&p->alone);
	stores_free(&p->stores);
	flags_new_free(&p->made);
}

static void
check_free(struct side_check *c)
{
	uidset_free(&c->sample);
	uidset_free(&c->shown);
	uidset_free(&c->seen);
}

static void
did_free(struct side_did *d)
{
	uidset_free(&d->touched);
	uidset_free(&d->flagged);
	uidset_free(&d->expunged);
	uidset_free(&d->copied);
	uidset_free(&d->missing);
	uidset_free(&d->unnamed);
	uidset_free(&d->more);
	free(d->lost);
	free(d->why);
	uidset_free(&d->appended);
	stores_free(&d->sent);
	uidset_free(&d->unlearnt);
	stores_free(&d->dropped);
}

static void
stores_init(struct stores *list)
{
	TAILQ_INIT(&list->list);
	RB_INIT(&list->index);
}

static void
work_free(struct side_work *w)
{
	uidset_free(&w->offer);
	uidset_free(&w->suspect);
	uidset_free(&w->left);
	uidset_free(&w->alone);
	found_free(&w->found);
	plan_free(&w->plan);
	check_free(&w->check);
	did_free(&w->did);
}

/*
 * What mailboxes without news have, to be read: who writes to it has not called
 * mbox_begin(), and dies.
 */
static const struct side_work	 no_work;
static const struct mark	 no_marks[SIDES];

static void
mark_free(struct mark *k)
{
	uidset_free(&k->uids);
	memset(k, 0, sizeof(*k));
}

/* ---- mailboxes ---- */

void
mbox_init(struct mboxlist *list)
{
	memset(list, 0, sizeof(*list));
	RB_INIT(&list->all);
	list->next_id = 1;
}

void
mbox_marks(struct mbox *mb)
{
	if (mb->mark == no_marks)
		mb->mark = xcalloc(SIDES, sizeof(*mb->mark));
}

void
mbox_begin(struct mbox *mb)
{
	struct side_work	*w;
	int			 side;

	mbox_marks(mb);
	if (mb->w != NULL)
		return;
	mb->w = xcalloc(1, sizeof(*mb->w));
	for (side = 0; side < SIDES; side++) {
		w = mb->s[side].w = &mb->w->s[side];
		RB_INIT(&w->found.changes);
		stores_init(&w->plan.stores);
		stores_init(&w->did.sent);
		stores_init(&w->did.dropped);
	}
}

static void
mbox_idle(struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		if (mb->w != NULL) {
			work_free(&mb->w->s[side]);
			uidset_free(&mb->w->pairing.asked[side]);
			uidset_free(&mb->w->pairing.shown[side]);
		}
		mb->s[side].w = (struct side_work *)&no_work;
	}
	free(mb->w);
	mb->w = NULL;
}

void
mbox_rest(struct mbox *mb)
{
	struct side_did	*d;
	struct side_sum	*sum;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		d = &mb->s[side].w->did;
		sum = &mb->s[side].sum;
		sum->copied += d->ncopied;
		sum->octets += d->octets;
		sum->flags += uidset_count(&d->flagged);
		sum->deleted += d->nexpunged;
		sum->credited += mb->s[side].w->check.credited;
	}
	rows_free(mb);
	mbox_idle(mb);
}

void
mbox_free(struct mbox *mb)
{
	int	 side;

	rows_free(mb);
	mbox_idle(mb);
	for (side = 0; side < SIDES; side++) {
		told_free(&mb->s[side].told);
		known_free(&mb->s[side]);
		free(mb->s[side].sum.out);
		if (mb->mark != no_marks)
			mark_free(&mb->mark[side]);
	}
	if (mb->mark != no_marks)
		free(mb->mark);
	free(mb->name);
	free(mb);
}

void
mbox_reset(struct mboxlist *list)
{
	struct mbox	*mb;

	while ((mb = RB_MIN(mboxes, &list->all)) != NULL) {
		RB_REMOVE(mboxes, &list->all, mb);
		mbox_free(mb);
	}
	free(list->byid);
	mbox_init(list);
	words_free();
}

struct mbox *
mbox_new(struct mboxlist *list, const char *name)
{
	struct mbox	*mb;
	int		 side;

	mb = xcalloc(1, sizeof(*mb));
	mb->name = xstrdup(name);
	mb->remote = text_keep("");
	mb->subscribed = SUB_UNKNOWN;
	RB_INIT(&mb->rows_l);
	RB_INIT(&mb->rows_r);
	mb->mark = (struct mark *)no_marks;
	for (side = 0; side < SIDES; side++)
		known_init(&mb->s[side].known);
	mbox_idle(mb);
	RB_INSERT(mboxes, &list->all, mb);
	list->n++;
	list->octets += strlen(name);
	return mb;
}

struct mbox *
mbox_find(struct mboxlist *list, const char *name)
{
	struct mbox	 find;

	find.name = (char *)name;
	return RB_FIND(mboxes, &list->all, &find);
}

int
mbox_set_id(struct mboxlist *list, struct mbox *mb, uint32_t id)
{
	if (id < list->next_id || id == UINT32_MAX)
		return -1;
	/* Room for a power of two, so that it is seldom made anew. */
	if ((list->nbyid & (list->nbyid - 1)) == 0)
		list->byid = xreallocarray(list->byid,
		    list->nbyid == 0 ? 1 : 2 * list->nbyid,
		    sizeof(*list->byid));
	list->byid[list->nbyid++] = mb;
	list->next_id = id + 1;
	mb->id = id;
	return 0;
}

struct mbox *
mbox_by_id(struct mboxlist *list, uint32_t id)
{
	size_t	 lo = 0, hi = list->nbyid, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (list->byid[mid]->id == id)
			return list->byid[mid];
		if (list->byid[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

int
mbox_usable(const struct mbox *mb)
{
	return mb->dirty && !mb->skip && !mb->stopped && !mb->later &&
	    !mb->finished;
}

int
mbox_present(const struct mbox *mb, int side)
{
	return mb->s[side].told.name != NULL &&
	    !(mb->s[side].told.attrs & ATTR_NOSELECT);
}

int
mark_recent(const struct mark *k)
{
	return k->set && time(NULL) - k->time <= MARK_OLD;
}

int
mbox_receiving(struct mboxlist *list, int side)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, list)
		if (mb->mark[side].active != 0)
			return 1;
	return 0;
}

void
mbox_forget_rows(struct mboxlist *list, struct mbox *mb)
{
	int	 side;

	list->total_rows -= mb->nrows;
	mb->nrows = 0;
	for (side = 0; side < SIDES; side++) {
		known_free(&mb->s[side]);
		known_init(&mb->s[side].known);
		uidset_free(&mb->s[side].w->left);
		uidset_free(&mb->s[side].w->alone);
	}
}

void
mbox_unplan(struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		plan_free(&mb->s[side].w->plan);
		mb->s[side].w->plan.nflags = 0;
	}
}

void
mbox_lost(struct mbox *mb, int side, const char *flags)
{
	char	 all[FLAGS_MAX], **lost = &mb->s[side].w->did.lost;

	if (flags_or(all, *lost != NULL ? *lost : "", flags) == -1)
		return;
	free(*lost);
	*lost = xstrdup(all);
}

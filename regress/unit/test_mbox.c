/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What a pass knows: mailboxes by name and by id, rows by either UID, and what
 * is forgotten.
 */
#include "imapsync/engine/engine.h"
#include "tap.h"

static struct mboxlist	 list;

static struct mbox *
fresh(const char *name)
{
	mbox_init(&list);
	return mbox_new(&list, name);
}

static void
test_ids(void)
{
	struct mbox	*mb[300];
	char		 name[16];
	uint32_t	 i;
	int		 good = 1, none = 1;

	mbox_init(&list);
	ok(mbox_by_id(&list, 1) == NULL, "an empty list has no id 1");
	for (i = 0; i < 300; i++) {
		/* Names in an order that is not that of the ids. */
		snprintf(name, sizeof(name), "box%u", 999 - i);
		mb[i] = mbox_new(&list, name);
		good &= mbox_set_id(&list, mb[i], 3 * i + 2) == 0;
	}
	ok(good, "ids may have gaps");
	for (i = 0; i < 300; i++) {
		good &= mbox_by_id(&list, 3 * i + 2) == mb[i] &&
		    mb[i]->id == 3 * i + 2;
		none &= mbox_by_id(&list, 3 * i + 1) == NULL &&
		    mbox_by_id(&list, 3 * i + 3) == NULL;
	}
	ok(good, "each is found by its id");
	ok(none, "an id between two is nobody's");
	ok(mbox_find(&list, "box998") == mb[1], "a mailbox by its name");
	ok(mbox_find(&list, "BOX998") == NULL, "... which has case");
	is_num(list.next_id, 3 * 299 + 3, "the next id is above all");
	mbox_reset(&list);
	ok(mbox_find(&list, "box998") == NULL &&
	    mbox_by_id(&list, 2) == NULL && list.next_id == 1,
	    "nothing is left in the next pass");
}

static void
test_id_order(void)
{
	struct mbox	*a = fresh("a"), *b = mbox_new(&list, "b");

	is_num(mbox_set_id(&list, a, 0), -1, "0 is no id");
	is_num(mbox_set_id(&list, a, 7), 0, "the first may be any");
	is_num(mbox_set_id(&list, b, 7), -1, "an id is given once");
	is_num(mbox_set_id(&list, b, 6), -1, "ids only grow");
	is_num(mbox_set_id(&list, b, UINT32_MAX), -1,
	    "the last id leaves no room");
	ok(b->id == 0 && mbox_by_id(&list, 7) == a,
	    "what was refused has changed nothing");
	is_num(mbox_set_id(&list, b, UINT32_MAX - 1), 0, "a high id");
	ok(mbox_by_id(&list, UINT32_MAX - 1) == b, "is found");
	mbox_reset(&list);
}

static void
test_rows(void)
{
	struct mbox	*mb = fresh("INBOX");
	struct row	*row = row_add(mb, 1, 11, "\\Seen");

	ok(row != NULL && row_find(mb, LOCAL, 1) == row &&
	    row_find(mb, REMOTE, 11) == row, "a row by either UID");
	ok(row_find(mb, LOCAL, 11) == NULL && row_find(mb, REMOTE, 1) == NULL,
	    "but not by the other side's");
	ok(row_add(mb, 1, 11, "") == row, "the same pair is the same row");
	is_str(row->base, "\\Seen", "which keeps its baseline");
	ok(row_add(mb, 2, 11, "") == NULL,
	    "the remote UID has another partner");
	ok(row_add(mb, 1, 12, "") == NULL, "the local UID has another partner");
	ok(row_add(mb, 2, 12, "") != NULL, "a second row");
	ok(row_add(mb, 1, 12, "") == NULL, "two UIDs of two rows are no pair");
	ok(row_find(mb, REMOTE, 12) != row &&
	    row_find(mb, LOCAL, 1) == row, "the rows are as they were");
	row_now(row, REMOTE, "$A");
	row_now(row, REMOTE, "$B");
	ok(row->now[LOCAL] == NULL && strcmp(row->now[REMOTE], "$B") == 0,
	    "what a side has: the last word counts, for that side");
	mbox_reset(&list);
}

static void
test_lists(void)
{
	struct mbox	*mb = fresh("INBOX");
	struct mside	*ms = &mb->s[REMOTE];
	struct change	 find, *c;
	struct refusal	*f;
	struct store	*st;

	mbox_begin(mb);
	change_add(ms, 5, "\\Seen");
	change_add(ms, 5, "\\Draft");
	find.uid = 5;
	c = RB_FIND(changes, &ms->w->found.changes, &find);
	ok(c != NULL && strcmp(c->flags, "\\Draft") == 0 &&
	    RB_NEXT(changes, &ms->w->found.changes, c) == NULL,
	    "the last flags told of a UID count");
	st = store_add(&ms->w->plan.stores, 1, "$Work");
	ok(store_add(&ms->w->plan.stores, 1, "$WORK") == st,
	    "a keyword has no case");
	ok(store_add(&ms->w->plan.stores, 0, "$Work") != st &&
	    store_find(&ms->w->plan.stores, 1, "$Other") == NULL,
	    "setting and clearing are two");
	f = refusal_new(ms, 9);
	ok(refusal_find(ms, 9) == f && refusal_find(ms, 8) == NULL &&
	    refusal_find(&mb->s[LOCAL], 9) == NULL,
	    "a refusal belongs to a UID of a side");
	refusal_free(ms, f);
	ok(refusal_find(ms, 9) == NULL, "it is gone when it ends");
	mbox_lost(mb, REMOTE, "$A");
	mbox_lost(mb, REMOTE, "$B");
	mbox_lost(mb, REMOTE, "$a");
	is_str(mb->s[REMOTE].w->did.lost, "$A $B", "a flag that is not kept is named once");
	mbox_reset(&list);
}

static void
test_forget(void)
{
	struct mbox	*mb = fresh("INBOX"), *other = mbox_new(&list, "b");
	int		 side;

	mbox_begin(mb);
	mb->nrows = 10;
	other->nrows = 5;
	list.total_rows = 15;
	for (side = 0; side < SIDES; side++) {
		struct side_known	*k = &mb->s[side].known;

		(void)refusal_new(&mb->s[side], 3);
		k->nrefused = 1;
		k->n = 10;
		k->water.uidvalidity = 7;
		k->water.uidnext = 11;
		k->water.modseq = 500;
		k->water.mailboxid = text_keep("M1");
		uidset_add(&mb->s[side].w->left, 4, 5);
		mb->mark[side].set = 1;
		uidset_add(&mb->mark[side].uids, 6, 7);
	}
	mbox_forget_rows(&list, mb);
	ok(mb->nrows == 0 && list.total_rows == 5,
	    "rows that are forgotten count no more");
	for (side = 0; side < SIDES; side++) {
		struct side_known	*k = &mb->s[side].known;

		ok(k->water.uidvalidity == 0 && k->water.uidnext == 1 &&
		    k->water.modseq == 0 && k->water.mailboxid[0] == '\0' &&
		    k->n == 0, "%s: no watermark", side_name[side]);
		ok(RB_EMPTY(&k->refusals) && k->nrefused == 0 &&
		    uidset_empty(&mb->s[side].w->left), "%s: nothing refused, nothing left "
		    "out", side_name[side]);
		ok(mb->mark[side].set && uidset_has(&mb->mark[side].uids, 7),
		    "%s: but the mark, which is waited for", side_name[side]);
	}
	mbox_reset(&list);
}

static void
test_states(void)
{
	struct mbox	*mb = fresh("INBOX");

	ok(!mbox_usable(mb), "a mailbox that has not moved costs nothing");
	mbox_begin(mb);
	mb->dirty = 1;
	ok(mbox_usable(mb), "one that has");
	mb->stopped = 1;
	ok(!mbox_usable(mb), "not once it is stopped");
	mb->stopped = 0;
	mb->skip = 1;
	ok(!mbox_usable(mb), "nor if it is skipped");
	mb->skip = 0;
	mb->later = 1;
	ok(!mbox_usable(mb), "nor before its turn");
	mb->later = 0;
	mb->finished = 1;
	ok(!mbox_usable(mb), "nor when it is done with");
	ok(!mbox_present(mb, LOCAL), "a side that did not list it");
	mb->s[LOCAL].told.name = xstrdup("INBOX");
	ok(mbox_present(mb, LOCAL) && !mbox_present(mb, REMOTE),
	    "one that did");
	mb->s[LOCAL].told.attrs = ATTR_NOSELECT;
	ok(!mbox_present(mb, LOCAL), "what can't be selected is not there");
	ok(!mbox_receiving(&list, REMOTE), "nothing is on its way");
	mb->mark[REMOTE].active = 1;
	ok(mbox_receiving(&list, REMOTE) && !mbox_receiving(&list, LOCAL),
	    "something is, to one side");
	uidset_add(&mb->s[LOCAL].w->plan.doomed, 1, 9);
	store_add(&mb->s[LOCAL].w->plan.stores, 1, "$A");
	mb->s[LOCAL].w->plan.nflags = 1;
	mb->s[LOCAL].w->plan.hold = 1;
	mbox_unplan(mb);
	ok(uidset_empty(&mb->s[LOCAL].w->plan.doomed) &&
	    TAILQ_EMPTY(&mb->s[LOCAL].w->plan.stores.list) &&
	    mb->s[LOCAL].w->plan.nflags == 0, "a plan is forgotten");
	ok(mb->s[LOCAL].w->plan.hold, "but not that something is held");
	mbox_reset(&list);
}

int
main(void)
{
	test_ids();
	test_id_order();
	test_rows();
	test_lists();
	test_forget();
	test_states();
	return tap_done();
}

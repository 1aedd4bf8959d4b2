/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 4 of a run, per mailbox and pure: rows and what the servers told of them
 * in, STOREs and doomed UIDs out.  Flags are merged three ways: what one side
 * added or removed since the baseline is done to the other.
 */
#include "engine.h"

static void
plan_store(struct mside *ms, int add, const char *flag, uint32_t uid)
{
	uidset_add(&store_add(&ms->w->plan.stores, add, flag)->set, uid, uid);
}

/*
 * The flags that the mailbox can't keep (PERMANENTFLAGS, RFC 3501 section 7.1),
 * or will not be given any more.
 */
static void
plan_lost(struct mside *ms, const char *flags, char *lost)
{
	const struct sess	*d = ms->w->found.disc;
	char			 made[FLAGS_MAX];

	lost[0] = '\0';
	/* EXAMINE (a dry run) tells of no permanent flags. */
	if (d == NULL || d->permflags == NULL || d->examine)
		return;
	/* Dovecot answers OK to what it ignores then. */
	strlcpy(lost, flags, FLAGS_MAX);
	if (d->readonly)
		return;
	flags_sub(lost, lost, d->permflags);
	if (!d->perm_any)
		return;
	flags_new(&ms->w->plan.made, made, lost);
	flags_sub(lost, lost, made);
}

/* One STORE a flag. */
const char *
plan_side(struct mbox *mb, int side, uint32_t uid, const char *have,
    const char *want)
{
	struct mside	*ms = &mb->s[side];
	char		 diff[FLAGS_MAX], lost[FLAGS_MAX], made[FLAGS_MAX];
	char		 one[FLAG_MAX];
	const char	*p;
	int		 any = 0;

	if (!(ms->w->found.allow & PROP_FLAGS))
		return NULL;
	flags_sub(diff, want, have);
	plan_lost(ms, diff, lost);
	if (lost[0] != '\0')
		mbox_lost(mb, side, lost);
	flags_sub(made, want, lost);
	flags_sub(diff, diff, lost);
	for (p = diff; flags_next(&p, one); ) {
		plan_store(ms, 1, one, uid);
		any = 1;
	}
	flags_sub(diff, have, want);
	for (p = diff; flags_next(&p, one); ) {
		plan_store(ms, 0, one, uid);
		any = 1;
	}
	ms->w->plan.nflags += any;
	return text_keep(made);
}

int
plan_merge(const char *base, const char *const have[SIDES],
    char want[FLAGS_MAX])
{
	char	 gone[FLAGS_MAX];
	int	 side;

	if (flags_or(want, have[LOCAL], have[REMOTE]) == -1)
		return -1;
	for (side = 0; side < SIDES; side++) {
		flags_sub(gone, base, have[side]);
		flags_sub(want, want, gone);
	}
	return 0;
}

void
plan_flags(struct mbox *mb, struct row *row)
{
	char		 want[FLAGS_MAX];
	const char	*have[SIDES];
	int		 side;

	for (side = 0; side < SIDES; side++)
		have[side] = row_has(row, side);
	if (plan_merge(row->base, have, want) == -1) {
		/* More than can be said: leave them, and be told again. */
		mb->s[LOCAL].w->plan.again = mb->s[REMOTE].w->plan.again = 1;
		mb->overflow = row->uid[LOCAL];
		return;
	}
	for (side = 0; side < SIDES; side++)
		row->want[side] = plan_side(mb, side, row->uid[side],
		    have[side], want);
}

/* The other side told that it is gone. */
static void
plan_gone(struct mbox *mb, int side, const struct row *row)
{
	struct mside	*ms = &mb->s[side];

	uidset_add(ms->w->found.allow & PROP_DELETE ? &ms->w->plan.doomed :
	    &ms->w->plan.alone, row->uid[side], row->uid[side]);
}

void
plan_mbox(struct mbox *mb)
{
	struct row	*row;
	int		 side;

	RB_FOREACH(row, rows_local, &mb->rows_l) {
		if (row->gone[LOCAL] && row->gone[REMOTE])
			continue;	/* finish.c drops the row */
		for (side = 0; side < SIDES; side++)
			if (row->gone[side])
				break;
		if (side < SIDES)
			plan_gone(mb, OTHER(side), row);
		else if (row->now[LOCAL] != NULL || row->now[REMOTE] != NULL)
			plan_flags(mb, row);
	}
}

uint32_t
plan_told(const struct mbox *mb, int side)
{
	const struct side_plan	*p = &mb->s[OTHER(side)].w->plan;

	return (uint32_t)(uidset_count(&p->doomed) + uidset_count(&p->alone));
}

void
plan_hold(struct mbox *mb, int side)
{
	struct side_plan	*p = &mb->s[OTHER(side)].w->plan;
	struct row		*row;

	mb->s[side].w->plan.hold = mb->s[side].w->plan.again = 1;
	uidset_free(&p->doomed);
	uidset_free(&p->alone);
	/* Rows that stay: the other side must tell again of them, too. */
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (row->gone[side] && (row->gone[OTHER(side)] ||
		    row->now[OTHER(side)] != NULL))
			p->again = 1;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --repair: the state is compared with all that the servers have, and mended.
 * Nothing is deleted: a row whose message is gone on one side is dropped, and
 * what the other side has of it is copied again, unless it pairs with something.
 */
#include "engine.h"

/* A row that was wrong, and is dropped. */
static void
repair_row(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	const char	*name = name_show(e, r->mb->name);

	switch (m->gone) {
	case 1:
	case 2:
		log_warnx("%s: the state pairs UID %u on local with UID %u on "
		    "remote, but %s does not have it", name, m->local,
		    m->remote, side_name[m->gone == 1 ? LOCAL : REMOTE]);
		break;
	case 3:
		log_warnx("%s: the state pairs UID %u on local with UID %u on "
		    "remote, but neither server has it", name, m->local,
		    m->remote);
		break;
	default:
		log_warnx("%s: the state pairs UID %u on local with UID %u on "
		    "remote, but they are different messages", name, m->local,
		    m->remote);
		break;
	}
}

static void
repair_paired(struct engine *e, struct req *r, const struct m_engine_paired *m)
{
	if (m->isrow)
		log_warnx("%s: UID %u on local has the flags (%s), UID %u on "
		    "remote (%s), the state (%s)", name_show(e, r->mb->name),
		    m->uid[LOCAL], m->flags[LOCAL], m->uid[REMOTE],
		    m->flags[REMOTE], m->base);
	pair_made(e, r, m);
}

/* What is left of a side is copied to the other. */
static void
repair_alone(struct engine *e, struct mbox *mb, int side)
{
	uint64_t	 n = uidset_count(&mb->s[side].w->found.new);

	log_warnx("%s: %llu message%s on %s %s not in the state and %s no "
	    "counterpart", name_show(e, mb->name), (unsigned long long)n,
	    n == 1 ? "" : "s", side_name[side], n == 1 ? "is" : "are",
	    n == 1 ? "has" : "have");
}

static void
repair_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		uidset_free(&ms->w->found.new);
		uidset_or(&ms->w->found.new, &ms->w->found.unpaired);
		uidset_free(&ms->w->found.unpaired);
		if (!uidset_empty(&ms->w->found.new))
			repair_alone(e, mb, side);
	}
	if (m->count > 0)
		log_warnx("%s: %u message%s on both servers %s not in the "
		    "state and %s paired", name_show(e, mb->name),
		    m->count, m->count == 1 ? "" : "s",
		    m->count == 1 ? "was" : "were",
		    m->count == 1 ? "is" : "are");
	mb->npaired += m->count;
	finish_paired(e, mb);
}

int
repair_run(struct engine *e)
{
	static const struct answers	 to = {
		.row = repair_row, .paired = repair_paired, .uids = pair_left,
		.done = repair_done
	};
	struct mbox			*mb;
	int				 asked = 0;

	FOREACH_USABLE(mb, &e->list)
		if (mb->repair) {
			pair_ask(e, mb, PAIR_REPAIR, &mb->s[LOCAL].w->found.new,
			    &mb->s[REMOTE].w->found.new, &to);
			asked = 1;
		}
	if (loop_wait(e, -1) == -1)
		return -1;
	return asked ? loop_commit(e) : 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What fuzz_engine.c has told the engine, and what it has sent because of that:
 * the model of what must hold.  To be included once, behind engine_box.h, with
 * ask_answer() in the box being told_answer().
 */
#ifndef ENGINE_FACTS_H
#define ENGINE_FACTS_H

#define NFLAGS		5

static int		 twisted;	/* the store has lied: all is possible */
static int		 over;		/* the session has ended, and that is
					   noted */

/* What a side of a mailbox has told. */
struct facts {
	struct uidset	 gone;
	struct uidset	 present;	/* shown by a SEARCH */
	struct uidset	 looked;	/* META came */
	struct uidset	 other;		/* with another key */
	struct uidset	 with[NFLAGS];
	struct uidset	 without[NFLAGS];
	struct uidset	 strange;	/* paired with another's partner */
	struct uidset	 mark;		/* of messages to it: on disk */
	struct uidset	 newmark;	/* not yet */
	struct uidset	 expunged;	/* that was asked for */
	int		 changed;	/* it is not what it was */
};
static struct facts	 facts[MAXBOX][SIDES];
static uint64_t		 nexpunged[SIDES];

/* UIDs shown in answer to a request, by its id. */
#define IDS		8192
static struct uidset	 shown[IDS];

static const char *const	 flag_names[NFLAGS] = { "\\Seen", "\\Deleted",
				    "\\Flagged", "\\Answered", "kw" };

static struct facts *
facts_of(const struct mbox *mb, int side)
{
	return &facts[box_of(mb)->number - 1][side];
}

/* ---- what is told ---- */

static void
note_flags(struct facts *f, uint32_t uid, const char *flags)
{
	int	 i;

	for (i = 0; i < NFLAGS; i++) {
		/* It may tell now this, now that. */
		if (flags_has(flags, flag_names[i]))
			uidset_add(&f->with[i], uid, uid);
		else
			uidset_add(&f->without[i], uid, uid);
	}
}

static void
note_opened(struct facts *f, const struct req *r,
    const struct m_engine_opened *m)
{
	const struct water	*w = &r->mb->s[r->side].known.water;

	/* What changes later is not seen before. */
	if (r->sess->kind != SESS_DISCOVER || w->uidvalidity == 0)
		return;
	if (m->uidvalidity != w->uidvalidity || m->uidnext < w->uidnext ||
	    (m->modseq < w->modseq && m->modseq != 0) ||
	    (w->mailboxid != NULL && w->mailboxid[0] != '\0' &&
	    m->mailboxid[0] != '\0' && strcmp(m->mailboxid, w->mailboxid) != 0))
		f->changed = 1;
}

static void
note_meta(struct facts *f, struct req *r, const struct m_engine_meta *m)
{
	uint32_t	 local = r->side == LOCAL ? m->uid : m->uid - GAP;
	uint64_t	 key = (uint64_t)box_of(r->mb)->number << 32 | local;

	uidset_add(&f->looked, m->uid, m->uid);
	if (m->key != key)
		uidset_add(&f->other, m->uid, m->uid);
	note_flags(f, m->uid, m->flags);
}

/* All of a list was told: what it lacks is gone. */
static void
note_list(struct facts *f, struct req *r)
{
	struct uidset	 rest = UIDSET_INIT;
	const struct sent *s;

	TAILQ_FOREACH(s, &box_sents, entry)
		if (s->id == r->id)
			break;
	if (s == NULL || r->id >= IDS)
		return;
	if (r->type == ASK_SEARCH)
		uidset_copy(&rest, &r->set);
	else if (s->what & (OPEN_FULL | OPEN_ALL) && s->n > 0)
		uidset_add(&rest, 1, s->n);
	uidset_sub(&rest, &shown[r->id]);
	if (r->type == ASK_SEARCH) {
		uidset_sub(&f->present, &r->set);
		uidset_or(&f->present, &shown[r->id]);
	}
	uidset_or(&f->gone, &rest);
	uidset_free(&rest);
}

static uint32_t
partner(int side, uint32_t uid)
{
	return side == LOCAL ? GAP + uid : uid - GAP;
}

/* The box's store tells what the servers have, which may be newer. */
static void
note_store(uint32_t type, const struct req *r, struct facts *f,
    const void *rec)
{
	const struct m_engine_row	*row = rec;
	const struct m_engine_paired	*pair = rec;
	uint32_t			 uid;
	int				 side;

	if (type == M_ENGINE_ROW && r->type == ASK_DIFF) {
		uid = r->side == LOCAL ? row->local : row->remote;
		if (row->gone)
			uidset_add(&f->gone, uid, uid);
		else
			note_flags(f, uid, row->now);
	} else if (type == M_ENGINE_PAIRED)
		for (side = 0; side < SIDES; side++) {
			/* Servers may show one key for several messages. */
			if (partner(LOCAL, pair->uid[LOCAL]) !=
			    pair->uid[REMOTE])
				uidset_add(&facts_of(r->mb, side)->strange,
				    pair->uid[side], pair->uid[side]);
			note_flags(facts_of(r->mb, side), pair->uid[side],
			    pair->flags[side]);
		}
}

static void
note(uint32_t type, struct req *r, const void *rec)
{
	const struct m_engine_vanished	*vanished = rec;
	const struct m_engine_flags	*flags = rec;
	const struct m_engine_uids	*uids = rec;
	const struct m_engine_done	*end = rec;
	struct facts			*f;

	if (r == NULL || r->mb == NULL)
		return;
	f = facts_of(r->mb, r->side);
	if (r->chan == STORE) {
		note_store(type, r, f, rec);
		return;
	}
	switch (type) {
	case M_ENGINE_VANISHED:
		uidset_or(&f->gone, &vanished->set);
		break;
	case M_ENGINE_FLAGS:
		if (r->id < IDS)
			uidset_add(&shown[r->id], flags->uid, flags->uid);
		if (flags->has_flags)
			note_flags(f, flags->uid, flags->flags);
		break;
	case M_ENGINE_UIDS:
		if (r->id < IDS)
			uidset_or(&shown[r->id], &uids->set);
		break;
	case M_ENGINE_OPENED:
		note_opened(f, r, rec);
		break;
	case M_ENGINE_META:
		note_meta(f, r, rec);
		break;
	case M_ENGINE_DONE:
		if (end->status == ST_OK && (r->type == ASK_OPEN ||
		    r->type == ASK_SEARCH))
			note_list(f, r);
		break;
	default:
		break;
	}
}

static void
told_answer(const struct msg *msg)
{
	note(msg->type, box_req(msg->id), msg->rec);
	ask_answer(msg);
}

/* ---- what is sent ---- */

static int
has_row(const struct box *b, int side, uint32_t uid)
{
	return uidset_has(&b->rows, side == LOCAL ? uid : partner(side, uid));
}

static int
subset(const struct uidset *a, const struct uidset *b)
{
	struct uidset	 rest = UIDSET_INIT;
	int		 is;

	uidset_copy(&rest, a);
	uidset_sub(&rest, b);
	is = uidset_empty(&rest);
	uidset_free(&rest);
	return is;
}

static void
sent_expunge(struct box *b, int side, const struct uidset *set)
{
	const struct m_engine_setup	*c = &eng.want.cfg;
	struct facts	*f = facts_of(b->mb, side);
	struct facts	*o = facts_of(b->mb, OTHER(side));
	uint64_t	 k, n = uidset_count(set);
	uint32_t	 u, p;

	must(!c->dryrun && c->propagate & PROP_DELETE &&
	    (c->direction == DIR_BOTH || (c->direction == DIR_TO_LOCAL) ==
	    (side == LOCAL)), "an expunge that the rules allow");
	must(!f->changed && !o->changed, "D1: mailboxes that are what they "
	    "were");
	for (k = 0; k < n; k++) {
		u = uidset_nth(set, k);
		p = partner(side, u);
		must(has_row(b, side, u), "D2: a row");
		must(uidset_has(&o->gone, p), "D2: it was told to be gone");
		must(!uidset_has(&o->present, p), "D5: and not shown again");
		must(b->bare || (uidset_has(&f->looked, u) &&
		    !uidset_has(&f->other, u)), "D5: it was looked at");
	}
	nexpunged[side] += n;
	must(nexpunged[side] <= 20 || c->allow_delete ||
	    c->delete_rule != DELETE_PERCENT ||
	    nexpunged[side] * 100 <= eng.list.total_rows * c->max_delete,
	    "D6: no more than the guard allows");
	uidset_or(&f->expunged, set);
}

static void
sent_store(struct box *b, int side, int add, const char *flag,
    const struct uidset *set)
{
	struct facts	*o = facts_of(b->mb, OTHER(side));
	uint64_t	 k, n = uidset_count(set);
	uint32_t	 u;
	int		 i;

	must(!eng.want.cfg.dryrun, "a dry run changes nothing");
	for (i = 0; i < NFLAGS && strcasecmp(flag, flag_names[i]) != 0; i++)
		;
	for (k = 0; i < NFLAGS && k < n; k++) {
		u = uidset_nth(set, k);
		/* Ahead of a move it gets those of what it is there. */
		if (has_row(b, side, u) &&
		    !uidset_has(&o->gone, partner(side, u)) &&
		    !uidset_has(&facts_of(b->mb, side)->strange, u))
			must(uidset_has(add ? &o->with[i] : &o->without[i],
			    partner(side, u)), "a flag that the other has");
	}
}

static void
sent_copy(struct box *b, int target, const struct uidset *set)
{
	must(!eng.want.cfg.dryrun, "a dry run copies nothing");
	must(subset(set, &facts_of(b->mb, target)->mark),
	    "a mark is on disk");
}

static struct box *
box_named(const char *name)
{
	int	 i;

	for (i = 0; i < nboxes; i++)
		if (strcmp(boxes[i]->mb->name, name) == 0)
			return boxes[i];
	return NULL;
}

/* By the name that it has on that server. */
static struct box *
box_spelt(int side, const char *name)
{
	int	 i;

	for (i = 0; i < nboxes; i++)
		if (boxes[i]->mb->s[side].told.name != NULL &&
		    strcmp(boxes[i]->mb->s[side].told.name, name) == 0)
			return boxes[i];
	return NULL;
}

/* "SET MAILBOX" */
static void
sent_move(struct box *b, int side, int copy, const char *text)
{
	struct facts	*f = facts_of(b->mb, side);
	struct facts	*o = facts_of(b->mb, OTHER(side));
	struct uidset	 set = UIDSET_INIT;
	size_t		 len = strcspn(text, " ");
	struct box	*to = box_spelt(side, text + len + 1);
	uint64_t	 k, n;
	uint32_t	 u, p;

	must(!eng.want.cfg.dryrun, "a dry run moves nothing");
	must(uidset_parse(&set, text, len) == 0 && to != NULL,
	    "UIDs and a mailbox");
	must(!uidset_empty(&facts_of(to->mb, side)->mark), "a mark is on disk");
	must(!f->changed && !o->changed, "D1: mailboxes that are what they "
	    "were");
	n = uidset_count(&set);
	for (k = 0; k < n; k++) {
		u = uidset_nth(&set, k);
		p = partner(side, u);
		must(has_row(b, side, u), "D2: a row");
		must(uidset_has(&o->gone, p), "D2: it was told to be gone");
		must(!uidset_has(&o->present, p), "D5: and not shown again");
		must(uidset_has(&f->looked, u) && !uidset_has(&f->other, u),
		    "D5: it was looked at");
	}
	if (!copy)
		uidset_or(&f->expunged, &set);
	uidset_free(&set);
}

static void
sent_drop(struct box *b, int side, const struct uidset *set)
{
	struct facts	*f = facts_of(b->mb, side);
	struct facts	*o = facts_of(b->mb, OTHER(side));
	uint64_t	 k, n = uidset_count(set);
	uint32_t	 u, p;

	for (k = 0; k < n; k++) {
		u = uidset_nth(set, k);
		p = partner(side, u);
		if (!has_row(b, side, u))
			continue;
		must(!f->changed && !o->changed, "D1: no row is dropped");
		must(uidset_has(&f->gone, u) || uidset_has(&o->gone, p),
		    "a row is dropped for a reason");
		must(!uidset_has(&f->expunged, u) || uidset_has(&f->gone, u),
		    "not before the expunge is told");
		must(!uidset_has(&o->expunged, p) || uidset_has(&o->gone, p),
		    "nor that of the other side");
	}
}

static void
sent_mark(struct box *b, int target, int first, const struct uidset *set)
{
	struct facts	*f = facts_of(b->mb, target);

	if (first)
		uidset_free(&f->newmark);
	uidset_or(&f->newmark, set);
}

/* ---- the journal ---- */

/* What stands last in the line is a set. */
static void
last_set(const char *line, struct uidset *set)
{
	const char	*p = strrchr(line, ' ');

	if (p != NULL)
		(void)uidset_parse(set, p + 1, strlen(p + 1));
}

static int
begins(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

static void
net_line(struct box *b, int side, char *p)
{
	struct uidset	 set = UIDSET_INIT;
	char		*flag;

	must(!over, "nothing is asked of a server behind the end");
	if (begins(p, "MOVE ") || begins(p, "COPY ")) {
		if (!twisted)
			sent_move(b, side, *p == 'C', p + 5);
		return;
	}
	last_set(p, &set);
	if (begins(p, "EXPUNGE ") && !twisted)
		sent_expunge(b, side, &set);
	else if (begins(p, "STORE ") && !twisted) {
		flag = p + 7;
		flag[strcspn(flag, " ")] = '\0';
		sent_store(b, side, p[6] == '+', flag, &set);
	} else if (begins(p, "RECV ") && !twisted)
		sent_copy(b, side, &set);
	else if (begins(p, "SEND ") && !twisted)
		sent_copy(b, OTHER(side), &set);
	uidset_free(&set);
}

static void
store_line(struct box *b, const char *p)
{
	struct uidset	 set = UIDSET_INIT;
	int		 side = strstr(p, " remote") != NULL ? REMOTE : LOCAL;

	last_set(p, &set);
	if (begins(p, "DROP ") && !twisted)
		sent_drop(b, side, &set);
	else if (begins(p, "MARK "))
		sent_mark(b, side, strstr(p, " more ") == NULL, &set);
	uidset_free(&set);
}

static void
journal_line(char *line)
{
	struct box	*b;
	char		*name, *p;

	if ((name = strchr(line, ' ')) == NULL ||
	    (p = strstr(name, ": ")) == NULL)
		return;
	*name++ = '\0';
	*p = '\0';
	b = box_named(name);
	if (b == NULL && strcmp(line, "store") != 0)
		must(!over, "nothing is asked of a server behind the end");
	if (b == NULL)
		return;
	if (strcmp(line, "store") == 0)
		store_line(b, p + 2);
	else
		net_line(b, strcmp(line, "local") == 0 ? LOCAL : REMOTE, p + 2);
}

/* What has been sent since. */
static void
read_journal(void)
{
	char	*p, *next;

	if (getenv("FUZZ_SHOW") != NULL)
		fputs(box_journal, stderr);

	for (p = box_journal; (next = strchr(p, '\n')) != NULL; p = next + 1) {
		*next = '\0';
		journal_line(p);
	}
	box_journal[0] = '\0';
}

/* The session has ended: what has been sent until now is the last. */
static void
note_end(void)
{
	box_take();
	read_journal();
	over = 1;
}

/* For the next input. */
static void
facts_forget(void)
{
	struct facts	*f;
	int		 i, k, side;

	for (i = 0; i < MAXBOX; i++)
		for (side = 0; side < SIDES; side++) {
			f = &facts[i][side];
			uidset_free(&f->gone);
			uidset_free(&f->present);
			uidset_free(&f->looked);
			uidset_free(&f->other);
			uidset_free(&f->mark);
			uidset_free(&f->newmark);
			uidset_free(&f->expunged);
			uidset_free(&f->strange);
			for (k = 0; k < NFLAGS; k++) {
				uidset_free(&f->with[k]);
				uidset_free(&f->without[k]);
			}
			f->changed = 0;
		}
	for (i = 0; i < IDS; i++)
		uidset_free(&shown[i]);
	nexpunged[LOCAL] = nexpunged[REMOTE] = 0;
	over = twisted = 0;
}

#endif /* ENGINE_FACTS_H */

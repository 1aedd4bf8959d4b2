/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a run leaves to be told: why it failed, which mailboxes were renamed or
 * deleted, and which were left alone.  The last is kept in the state, where
 * --status finds it.
 */
#include "engine.h"

RB_GENERATE(stops, stop, entry, stop_cmp)

int
stop_cmp(struct stop *a, struct stop *b)
{
	return strcmp(a->name, b->name);
}

/* ---- why it failed ---- */

void
ledger_fault(struct engine *e, enum fault fault, int side, const char *text)
{
	struct ledger	*l = &e->ledger;

	if (l->fault != FAULT_NONE)
		return;
	l->fault = fault != FAULT_NONE ? fault : FAULT_FAILED;
	l->side = side;
	l->text = xstrdup(text);
}

/* ---- what was done with whole mailboxes ---- */

static struct act *
act_new(struct engine *e, int side, const char *name)
{
	struct ledger	*l = &e->ledger;
	struct act	*a;

	a = xcalloc(1, sizeof(*a));
	a->side = side;
	a->name = xstrdup(name);
	TAILQ_INSERT_TAIL(&l->acts, a, entry);
	return a;
}

void
ledger_renamed(struct engine *e, int side, const char *from, const char *to)
{
	act_new(e, side, from)->to = xstrdup(to);
}

void
ledger_deleted(struct engine *e, int side, const char *name, uint32_t messages)
{
	act_new(e, side, name)->messages = messages;
}

/* ---- what was left alone ---- */

struct stop *
ledger_stop(struct engine *e, const char *name)
{
	struct stop	 find;

	find.name = (char *)(uintptr_t)name;
	return RB_FIND(stops, &e->ledger.stops, &find);
}

const char *
ledger_reason(struct engine *e, const struct mbox *mb)
{
	const struct stop	*s = ledger_stop(e, mb->name);

	return mb->stopped && s != NULL && s->found ? s->text : NULL;
}

static struct stop *
stop_new(struct engine *e, const char *name, const char *text)
{
	struct stop	*s;

	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	s->text = xstrdup(text);
	RB_INSERT(stops, &e->ledger.stops, s);
	return s;
}

static void
stop_free(struct engine *e, struct stop *s)
{
	RB_REMOVE(stops, &e->ledger.stops, s);
	free(s->name);
	free(s->text);
	free(s);
}

void
ledger_load(struct engine *e, const struct m_engine_stopped *m)
{
	struct stop	*s = ledger_stop(e, m->name);

	/* A pass may list anew, and have found some before. */
	if (s == NULL)
		s = stop_new(e, m->name, m->text);
	s->changed = strcmp(s->text, m->text) != 0;
	s->since = m->since;
}

void
ledger_stopped(struct engine *e, const char *name, const char *text)
{
	struct stop	*s;

	if ((s = ledger_stop(e, name)) == NULL) {
		s = stop_new(e, name, text);
		s->changed = 1;
	} else if (!s->found && strcmp(s->text, text) != 0) {
		free(s->text);
		s->text = xstrdup(text);
		s->changed = 1;
	}
	/* The first reason of a pass is the one that the others follow from. */
	s->found = 1;
}

/* A pass that went through has not left it alone. */
static int
stop_over(struct engine *e, const struct stop *s)
{
	const struct mbox	*mb = mbox_find(&e->list, s->name);

	if (s->found || ended(e))
		return 0;
	if (mb != NULL && (mb->stopped || mb->later || mb->turn))
		return 0;
	return !e->filtered || (mb != NULL && !mb->skip);
}

int
ledger_record(struct engine *e)
{
	struct m_store_unstopped	 un;
	struct m_store_stopped		 m;
	struct stop			*s, *next;
	int				 any = 0;

	for (s = RB_MIN(stops, &e->ledger.stops); s != NULL; s = next) {
		next = RB_NEXT(stops, &e->ledger.stops, s);
		if (s->found && s->changed) {
			m.name = s->name;
			m.text = s->text;
			ask_note(e, M_STORE_STOPPED, &m);
			s->changed = 0;
			any = 1;
		} else if (stop_over(e, s)) {
			un.name = s->name;
			ask_note(e, M_STORE_UNSTOPPED, &un);
			stop_free(e, s);
			any = 1;
		}
	}
	return any;
}

/* ---- from pass to pass ---- */

void
ledger_init(struct engine *e)
{
	RB_INIT(&e->ledger.stops);
	TAILQ_INIT(&e->ledger.acts);
	e->ledger.side = -1;
}

void
ledger_reset(struct engine *e)
{
	struct act	*a;
	struct stop	*s;

	while ((a = TAILQ_FIRST(&e->ledger.acts)) != NULL) {
		TAILQ_REMOVE(&e->ledger.acts, a, entry);
		free(a->name);
		free(a->to);
		free(a);
	}
	while ((s = RB_MIN(stops, &e->ledger.stops)) != NULL)
		stop_free(e, s);
}

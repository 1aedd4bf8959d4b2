/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 2 of a run: one LIST a side, compared with the state.  A mailbox neither
 * side of which moved is done, and has cost nothing.
 */
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "engine.h"

RB_GENERATE(mboxes, mbox, entry, mbox_cmp)

int
mbox_cmp(struct mbox *a, struct mbox *b)
{
	return strcmp(a->name, b->name);
}

struct mbox *
mbox_find(struct engine *e, const char *name)
{
	struct mbox	 find;

	find.name = (char *)name;
	return RB_FIND(mboxes, &e->mboxes, &find);
}

/* Only while the state is loaded: a linear walk is quadratic over a run. */
struct mbox *
mbox_by_id(struct engine *e, uint32_t id)
{
	static struct mbox	*last;
	struct mbox		*mb;

	if (e == NULL)
		return last = NULL;
	if (last != NULL && last->id == id)
		return last;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (mb->id == id)
			return last = mb;
	return NULL;
}

static struct mbox *
mbox_new(struct engine *e, const char *name)
{
	struct mbox	*mb;
	int		 side;

	mb = xcalloc(1, sizeof(*mb));
	mb->name = xstrdup(name);
	mb->subscribed = 2;
	RB_INIT(&mb->rows_l);
	RB_INIT(&mb->rows_r);
	for (side = 0; side < SIDES; side++) {
		TAILQ_INIT(&mb->s[side].stores);
		TAILQ_INIT(&mb->s[side].sent);
		TAILQ_INIT(&mb->s[side].refusals);
		RB_INIT(&mb->s[side].changes);
		mb->s[side].water.uidnext = 1;
		mb->s[side].water.mailboxid = xstrdup("");
	}
	RB_INSERT(mboxes, &e->mboxes, mb);
	return mb;
}

int
mbox_usable(const struct mbox *mb)
{
	return mb->dirty && !mb->skip && !mb->stopped;
}

/* It stays as it is on both sides; the user is told why. */
void
mbox_stop(struct engine *e, struct mbox *mb, const char *fmt, ...)
{
	char	 text[LOG_TEXT_MAX];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warnx("%s: %s", progress_show(e, mb->name), text);
	mb->stopped = 1;
	e->partial = 1;
}

/* ---- the state ---- */

void
list_mbox(struct engine *e, const struct m_engine_mbox *m)
{
	struct mbox	*mb;
	int		 side;

	if (m->mailbox == 0 || mbox_find(e, m->name) != NULL)
		fatalx("the store sent a mailbox twice");
	mb = mbox_new(e, m->name);
	mb->id = m->mailbox;
	mb->adopt = m->adopt;
	mb->subscribed = m->subscribed;
	mb->nrows = m->rows;
	e->total_rows += m->rows;
	if (m->mailbox >= e->next_mailbox)
		e->next_mailbox = m->mailbox + 1;
	for (side = 0; side < SIDES; side++) {
		struct water		*w = &mb->s[side].water;
		const struct m_water	*mw = &m->water[side];

		w->uidvalidity = mw->uidvalidity;
		w->uidnext = mw->uidnext != 0 ? mw->uidnext : 1;
		w->messages = mw->messages;
		w->modseq = mw->modseq;
		free(w->mailboxid);
		w->mailboxid = xstrdup(mw->mailboxid);
		mb->s[side].n = w->uidnext - 1;
	}
}

/* ---- the servers ---- */

void
list_event(struct engine *e, int side, const struct m_engine_mailbox *m)
{
	char		 neutral[NAME_MAX_LEN];
	struct mside	*ms;
	struct mbox	*mb;

	if (m->delimiter != 0 && e->delim[side] == '\0')
		e->delim[side] = m->delimiter;
	if (m->name[0] == '\0') {
		/* The answer to LIST "" "", or a name that can't be used. */
		return;
	}
	if (name_neutral(e, side, m->name, neutral) == -1)
		return;
	if ((mb = mbox_find(e, neutral)) == NULL)
		mb = mbox_new(e, neutral);
	ms = &mb->s[side];
	if (ms->name != NULL && strcmp(ms->name, m->name) != 0) {
		mb->twice[side] = 1;
		return;
	}
	free(ms->name);
	ms->name = xstrdup(m->name);
	ms->attrs = m->attrs;
	ms->has_status = m->has_status;
	ms->uidvalidity = m->uidvalidity;
	ms->uidnext = m->uidnext;
	ms->messages = m->messages;
	ms->modseq = m->modseq;
}

static void
list_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	if (m->status != ST_OK)
		fatalx("%s: the server can't list its mailboxes: %s",
		    side_name[r->chan], m->text);
}

static void
list_send(struct engine *e, int side, const char *reference, int selectors,
    int last, char **patterns, size_t n)
{
	struct m_net_list	 m;
	struct m_net_pattern	 p;
	uint32_t		 id;
	size_t			 i;

	id = engine_req(e, side, NULL, NULL, list_done, NULL, 0);
	for (i = 0; i < n; i++) {
		p.pattern = patterns[i];
		engine_send(e, side, M_NET_PATTERN, id, &p);
	}
	memset(&m, 0, sizeof(m));
	m.selectors = selectors;
	m.last = last;
	/* About 100 octets a mailbox: from 8 KB on compression pays a turn. */
	m.compress_first = e->next_mailbox > 80;
	m.reference = reference;
	engine_send(e, side, M_NET_LIST, id, &m);
}

/* The arguments say what to synchronise, and not what to delete or rename. */
static int
list_args(const struct engine *e)
{
	return e->nargs > 0 && e->cfg.command != CMD_DELETE &&
	    e->cfg.command != CMD_RENAME;
}

/* A MAILBOX argument is in the local server's spelling: make it a pattern. */
static void
args_to_patterns(struct engine *e)
{
	size_t	 i;
	char	*p;

	if (e->nargs == 0 || e->args_done || !list_args(e))
		return;
	e->args_done = 1;
	e->npatterns = 0;
	e->patterns = xreallocarray(e->patterns, e->nargs, sizeof(char *));
	for (i = 0; i < e->nargs; i++) {
		p = xstrdup(e->args[i]);
		e->patterns[e->npatterns++] = p;
		if (strcasecmp(p, "INBOX") == 0)
			strlcpy(p, "INBOX", strlen(p) + 1);
		for (; *p != '\0'; p++)
			if (*p == e->delim[LOCAL])
				*p = NAME_SEP;
	}
	e->cfg.selectors = 0;
}

static void
list_side(struct engine *e, int side)
{
	static char	 name[] = "INBOX";
	char		*inbox[1] = { name };
	char		**list;
	size_t		 i;
	int		 extra = 0;

	list = xcalloc(e->npatterns, sizeof(*list));
	for (i = 0; i < e->npatterns; i++) {
		list[i] = name_pattern(e, side, e->patterns[i]);
		if (name_match(e->patterns[i], "INBOX"))
			extra = name_inbox_reference(e, side);
	}
	list_send(e, side, e->cfg.reference[side], e->cfg.selectors, !extra,
	    list, e->npatterns);
	if (extra)
		list_send(e, side, "", 0, 1, inbox, 1);
	for (i = 0; i < e->npatterns; i++)
		free(list[i]);
	free(list);
}

static void
check_caps(struct engine *e, int side)
{
	static const struct {
		uint32_t	 cap;
		const char	*name;
	} need[] = {
		{ CAP_QRESYNC,		"QRESYNC (RFC 7162)" },
		{ CAP_UIDPLUS,		"UIDPLUS (RFC 4315)" },
		{ CAP_LIST_EXTENDED,	"LIST-EXTENDED (RFC 5258)" },
		{ CAP_LIST_STATUS,	"LIST-STATUS (RFC 5819)" }
	};
	const struct m_engine_ready	*r = &e->ready[side];
	char				 list[256] = "";
	size_t				 i;

	for (i = 0; i < nitems(need); i++)
		if (!(r->caps & need[i].cap)) {
			if (list[0] != '\0')
				strlcat(list, ", ", sizeof(list));
			strlcat(list, need[i].name, sizeof(list));
		}
	if (list[0] != '\0')
		fatalx("%s: the server %s does not offer %s; imapsync can't "
		    "work with it", side_name[side], e->cfg.host[side], list);
	if (!r->qresync)
		fatalx("%s: the server %s offers QRESYNC but did not switch it "
		    "on when asked (ENABLE)", side_name[side],
		    e->cfg.host[side]);
}

/*
 * LIST may end in BAD only because the server lacks an extension: then the
 * capabilities are the better message.
 */
static void
list_first_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (e->cfg.command == CMD_CHECK) {
		e->list_failed[r->chan] |= m->status != ST_OK;
		return;
	}
	if (m->status != ST_OK && e->is_ready[r->chan])
		check_caps(e, r->chan);
	list_done(e, r, m);
}

static int
list_servers(struct engine *e)
{
	struct req	*r;
	int		 early = list_args(e) && !e->args_done, side;
	size_t		 i;

	for (i = 0; i < e->npatterns; i++)
		if (strchr(e->patterns[i], NAME_SEP) != NULL && e->passes == 0)
			early = 1;
	if (early) {
		for (side = 0; side < SIDES; side++)
			list_send(e, side, e->cfg.reference[side], 0, 1,
			    NULL, 0);
		if (engine_wait(e, -1) == -1)
			return -1;
	}
	args_to_patterns(e);
	e->filtered = e->cfg.selectors != 0 || e->npatterns != 1 ||
	    strcmp(e->patterns[0], "*") != 0;
	for (side = 0; side < SIDES; side++)
		list_side(e, side);
	RB_FOREACH(r, reqs, &e->reqs)
		r->done = list_first_done;
	if (engine_wait(e, -1) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		if (e->cfg.command != CMD_CHECK)
			check_caps(e, side);
	return 0;
}

/* ---- filters ---- */

static void
list_ignore(struct engine *e)
{
	const char	*re = e->cfg.ignore;
	struct mbox	*mb;
	regex_t		 reg;
	int		 fl = REG_EXTENDED | REG_NOSUB;

	if (re[0] == '\0' || e->nargs > 0 || e->cfg.command == CMD_DELETE ||
	    e->cfg.command == CMD_RENAME)
		return;
	if (strncmp(re, "(?i)", 4) == 0) {
		fl |= REG_ICASE;
		re += 4;
	}
	if (regcomp(&reg, re, fl) != 0)
		fatalx("ignore-mailbox can't be compiled");
	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (regexec(&reg, mb->name, 0, NULL, 0) == 0)
			mb->skip = 1;
	regfree(&reg);
}

int
mbox_present(const struct mbox *mb, int side)
{
	return mb->s[side].name != NULL &&
	    !(mb->s[side].attrs & ATTR_NOSELECT);
}

/*
 * What a filtered LIST leaves out is not missing: a mailbox that only one side
 * listed is asked for by name.
 */
static int
list_by_name(struct engine *e)
{
	char		 name[NAME_MAX_LEN], *list[1];
	struct mbox	*mb;
	int		 side, asked = 0;

	if (!e->filtered)
		return 0;
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (mb->skip)
			continue;
		if (mb->s[LOCAL].name == NULL && mb->s[REMOTE].name == NULL) {
			mb->skip = 1;
			continue;
		}
		for (side = 0; side < SIDES; side++) {
			if (mb->s[side].name != NULL ||
			    name_server(e, side, mb->name, name) == -1 ||
			    strpbrk(name, "*%") != NULL)
				continue;
			list[0] = name;
			list_send(e, side, "", 0, 1, list, 1);
			asked = 1;
		}
	}
	return asked ? engine_wait(e, -1) : 0;
}

static void
missing_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	if (m->status != ST_OK && (m->code == RC_NONEXISTENT ||
	    (m->code == RC_NONE && strcasestr(m->text, "exist") != NULL)))
		r->mb->s[r->chan].attrs |= ATTR_NOSELECT | ATTR_NONEXISTENT;
}

/*
 * Dovecot goes on to list a mailbox that was deleted and has children as if it
 * were there, but without STATUS; asked for it, it says that it does not exist,
 * without a response code (2.3.19, measured).
 */
static int
list_missing(struct engine *e)
{
	struct m_net_status	 m;
	struct mbox		*mb;
	uint32_t		 id;
	int			 side, asked = 0;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			if (mb->skip || !mbox_present(mb, side) ||
			    mb->s[side].has_status || e->list_failed[side])
				continue;
			m.mailbox = mb->s[side].name;
			id = engine_req(e, side, mb, NULL, missing_done, NULL,
			    0);
			engine_send(e, side, M_NET_STATUS, id, &m);
			asked = 1;
		}
	return asked ? engine_wait(e, -1) : 0;
}

/* Names that can't be synchronised are named and skipped. */
static void
list_names(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	int		 side;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (mb->skip)
			continue;
		for (side = 0; side < SIDES && !mb->skip; side++) {
			if (mb->twice[side]) {
				mbox_stop(e, mb, "skipped: the %s server has "
				    "two mailboxes of this name below \"%s\"; "
				    "rename one of them", side_name[side],
				    e->cfg.reference[side]);
				mb->skip = 1;
			} else if (mbox_present(mb, side) &&
			    !mbox_present(mb, OTHER(side)) && name_server(e,
			    OTHER(side), mb->name, name) == -1) {
				mbox_stop(e, mb, "skipped: the %s server can't "
				    "have this name, since '%c' is its "
				    "hierarchy delimiter; rename the mailbox on "
				    "the %s server or add it to ignore-mailbox",
				    side_name[OTHER(side)],
				    e->delim[OTHER(side)] != '\0' ?
				    e->delim[OTHER(side)] : ' ',
				    side_name[side]);
				mb->skip = 1;
			}
		}
	}
}

/* ---- --adopt ---- */

static void
mark_clear(struct mark *k)
{
	uidset_free(&k->uids);
	memset(k, 0, sizeof(*k));
}

static void
adopt_mbox(struct engine *e, struct mbox *mb)
{
	struct m_store_adopt	 m;
	struct refusal		*f;
	int			 side;

	mb->adopt = mb->adopt_asked = 1;
	if (mb->id == 0)
		return;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.adopt = 1;
	m.drop = 1;
	engine_send(e, STORE, M_STORE_ADOPT, 0, &m);
	e->total_rows -= mb->nrows;
	mb->nrows = 0;
	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		while ((f = TAILQ_FIRST(&ms->refusals)) != NULL) {
			TAILQ_REMOVE(&ms->refusals, f, entry);
			free(f->text);
			free(f);
		}
		ms->nrefused = 0;
		free(ms->water.mailboxid);
		memset(&ms->water, 0, sizeof(ms->water));
		ms->water.uidnext = 1;
		ms->water.mailboxid = xstrdup("");
		ms->n = 0;
		mark_clear(&mb->mark[side]);
	}
}

static void
list_adopt(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;
	char		*p;

	for (i = 0; i < e->nadopts; i++) {
		strlcpy(name, e->adopts[i], sizeof(name));
		if (strcasecmp(name, "INBOX") == 0)
			strlcpy(name, "INBOX", sizeof(name));
		for (p = name; *p != '\0'; p++)
			if (*p == e->delim[LOCAL])
				*p = NAME_SEP;
		if ((mb = mbox_find(e, name)) == NULL || mb->skip ||
		    !mbox_present(mb, LOCAL) || !mbox_present(mb, REMOTE))
			fatalx("--adopt: there is no mailbox \"%s\" that both "
			    "servers have", progress_show(e, name));
		adopt_mbox(e, mb);
	}
}

/* ---- what is to be done ---- */

static void
name_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;

	if (m->status == ST_OK)
		return;
	if (r->num == NAME_CREATE) {
		if (m->code == RC_ALREADYEXISTS)
			return;
		mbox_stop(e, mb, "the %s server does not create it: %s",
		    side_name[r->chan], m->text);
		return;
	}
	log_warnx("%s: the %s server does not %s it: %s",
	    progress_show(e, mb->name), side_name[r->chan],
	    r->num == NAME_SUBSCRIBE ? "subscribe to" : "unsubscribe from",
	    m->text);
	e->partial = 1;
	mb->subscribed = 3;	/* not settled: the state keeps what it has */
}

static void
name_send(struct engine *e, struct mbox *mb, int side, int op)
{
	struct m_net_name	 m;
	uint32_t		 id;

	memset(&m, 0, sizeof(m));
	m.op = op;
	m.mailbox = mb->s[side].name;
	m.newname = "";
	id = engine_req(e, side, mb, NULL, name_done, NULL, op);
	engine_send(e, side, M_NET_NAME, id, &m);
}

/* Three-way merge: the side that differs from the state has changed. */
static void
list_subscribe(struct engine *e, struct mbox *mb)
{
	int	 have[SIDES], want, side, old = mb->subscribed;

	for (side = 0; side < SIDES; side++)
		have[side] = mb->s[side].name != NULL &&
		    (mb->s[side].attrs & ATTR_SUBSCRIBED) != 0;
	if (old > 1)
		want = have[LOCAL] || have[REMOTE];
	else
		want = have[LOCAL] == old ? have[REMOTE] : have[LOCAL];
	if (want == old && have[LOCAL] == want && have[REMOTE] == want)
		return;
	mb->subscribed = want;
	mb->touched = 1;
	for (side = 0; side < SIDES; side++) {
		if (have[side] == want)
			continue;
		if (!rules_allow(e, side, PROP_FLAGS)) {
			mb->subscribed = 3;	/* not settled */
			continue;
		}
		mb->s[side].newsub = want ? 1 : -1;
		if (!e->cfg.dryrun)
			name_send(e, mb, side,
			    want ? NAME_SUBSCRIBE : NAME_UNSUBSCRIBE);
	}
}

static void
list_create(struct engine *e, struct mbox *mb, int side)
{
	char		 name[NAME_MAX_LEN];
	struct mside	*ms = &mb->s[side];

	if (ms->name == NULL) {
		if (name_server(e, side, mb->name, name) == -1)
			return;		/* list_names() has said so */
		ms->name = xstrdup(name);
	}
	ms->created = 1;
	ms->attrs &= ~ATTR_NOSELECT;
	if (!e->cfg.dryrun)
		name_send(e, mb, side, NAME_CREATE);
}

static void
list_enter(struct engine *e, struct mbox *mb)
{
	struct m_store_newbox	 m;

	mb->id = e->next_mailbox++;
	mb->isnew = mb->adopt = mb->dirty = 1;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.adopt = 1;
	m.name = mb->name;
	engine_send(e, STORE, M_STORE_NEWBOX, 0, &m);
}

static void
list_forget(struct engine *e, struct mbox *mb)
{
	struct m_store_forget	 m;

	mb->skip = 1;
	if (e->filtered)
		return;
	log_info("%s: gone on both servers; forgotten (%u messages)",
	    progress_show(e, mb->name), mb->nrows);
	m.mailbox = mb->id;
	engine_send(e, STORE, M_STORE_FORGET, 0, &m);
	e->total_rows -= mb->nrows;
	e->uncommitted = 1;
}

int
list_moved(const struct mside *ms)
{
	const struct water	*w = &ms->water;

	return !ms->has_status || w->modseq == 0 ||
	    ms->uidvalidity != w->uidvalidity || ms->uidnext != w->uidnext ||
	    ms->messages != w->messages || ms->modseq != w->modseq;
}

/* Refusals whose time has come again are offered; the others cost nothing. */
static int
list_offers(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	uint64_t	 limit = e->ready[OTHER(side)].appendlimit;
	struct refusal	*f;
	int64_t		 now = time(NULL);
	int		 due;

	TAILQ_FOREACH(f, &ms->refusals, entry) {
		due = now >= f->next;
		if (f->code == RC_TOOBIG || (f->limit != 0 &&
		    f->size > f->limit))
			due = limit != f->limit;
		if (due || e->cfg.retry)
			uidset_add(&ms->offer, f->uid, f->uid);
	}
	return !uidset_empty(&ms->offer);
}

static void
list_compare(struct engine *e, struct mbox *mb)
{
	int	 side;

	if (!mbox_present(mb, LOCAL) && !mbox_present(mb, REMOTE)) {
		if (mb->id != 0)
			list_forget(e, mb);
		mb->skip = 1;
		return;
	}
	for (side = 0; side < SIDES; side++) {
		if (mbox_present(mb, side))
			continue;
		/* A run that was cut short entered it and did not create it. */
		if (mb->id != 0 && mb->s[side].water.uidvalidity != 0) {
			mbox_stop(e, mb, "it is gone on the %s server and was "
			    "left alone on the %s server; use --delete or "
			    "--rename, or create it again", side_name[side],
			    side_name[OTHER(side)]);
			return;
		}
		if (!rules_allow(e, side, PROP_NEW)) {
			mb->skip = 1;
			return;
		}
		list_create(e, mb, side);
	}
	if (mb->id == 0)
		list_enter(e, mb);
	for (side = 0; side < SIDES; side++) {
		int	 due = list_offers(e, mb, side);

		if (due || list_moved(&mb->s[side]) || mb->mark[side].set)
			mb->dirty = 1;
	}
	/* What rules have left out is known only once it is opened. */
	if (mb->adopt || e->cfg.command == CMD_REPAIR || e->cfg.retry)
		mb->dirty = 1;
	list_subscribe(e, mb);
}

static void
list_check_args(struct engine *e)
{
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->nargs && e->passes == 0; i++) {
		RB_FOREACH(mb, mboxes, &e->mboxes)
			if ((mbox_present(mb, LOCAL) || mbox_present(mb, REMOTE)) &&
			    name_match(e->patterns[i], mb->name))
				break;
		if (mb == NULL)
			fatalx("neither server has a mailbox \"%s\"",
			    progress_show(e, e->patterns[i]));
	}
}

/* Whatever the configuration selects, names are looked for among all. */
static void
list_all(struct engine *e)
{
	size_t	 i;

	for (i = 0; i < e->npatterns; i++)
		free(e->patterns[i]);
	e->npatterns = 1;
	e->patterns = xreallocarray(e->patterns, 1, sizeof(char *));
	e->patterns[0] = xstrdup("*");
	e->cfg.selectors = 0;
}

int
list_run(struct engine *e)
{
	struct m_store_load	 m = { 0 };
	struct mbox		*mb;
	uint32_t		 id;

	if (e->npatterns == 0) {
		e->patterns = xcalloc(1, sizeof(char *));
		e->patterns[e->npatterns++] = xstrdup("*");
	}
	id = engine_store_req(e, NULL, NULL);
	engine_send(e, STORE, M_STORE_LOAD, id, &m);
	if (engine_wait(e, -1) == -1)
		return -1;
	if (e->cfg.command == CMD_DELETE || e->cfg.command == CMD_RENAME)
		list_all(e);
	if (list_servers(e) == -1)
		return -1;
	list_ignore(e);
	if (list_by_name(e) == -1 || list_missing(e) == -1)
		return -1;
	if (e->cfg.command != CMD_SYNC && e->cfg.command != CMD_REPAIR)
		return 0;
	list_names(e);
	list_check_args(e);
	list_adopt(e);
	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (!mb->skip)
			list_compare(e, mb);
	/* What was sent is awaited with the SELECTs that follow. */
	return 0;
}

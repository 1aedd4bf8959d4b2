/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The engine, between two servers and a store that answer what the input says,
 * in the box of the unit tests (engine_box.h).
 *
 * An input is octets.  The first ones make the world: settings, mailboxes, what
 * happened to them since the last run.  Then there is one for each answer: below
 * HONEST, or when there are no more, it is the truth; else see lie().
 *
 * What must hold, as far as it can be seen from what was sent and what was told:
 *  - an expunge is of a message that the state has, whose partner was told to be
 *    gone, or was not in a complete list (D2), and not shown since; by mailboxes
 *    that are what they were (D1); it was looked at, and had the key of its row
 *    (D5); and not more than the guard allows (D6), nor what the rules forbid;
 *  - a flag is added or taken where the other side was told to have it or not;
 *  - a row is dropped for a reason, and not before the expunge is told;
 *  - messages go only where a mark that names them is on disk;
 *  - a dry run changes nothing; and once the session ends nothing is asked.
 */
#include "imapsync/engine/engine.h"

#include <sys/time.h>

#define ask_answer	told_answer
static void	 told_answer(const struct msg *);
#include "../unit/engine_box.h"
#undef ask_answer
#include "say.h"
#include "confine.h"
#include "replay.h"

#define HONEST		128
#define MESSAGES	48	/* of a mailbox, at most */
#define NFLAGS		5

static const uint8_t	*input;
static size_t		 left;
static int		 twisted;	/* the store has lied: all is possible */
static int		 listing;	/* LIST is asked for */
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

/* ---- the clock: engine_box.h's is everybody's ---- */

/* Between two inputs it is right, for whoever counts the seconds of a search. */
static void __attribute__((__constructor__))
real_time(void)
{
	struct timeval	 tv;

	gettimeofday(&tv, NULL);
	box_clock = (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

/* ---- nothing is printed ---- */

void
say_write(int fd, const char *p, size_t n)
{
	(void)fd;
	(void)p;
	(void)n;
}

void
say_print(int logfd, int tostderr, const char *text)
{
	(void)logfd;
	(void)tostderr;
	(void)text;
}

void
say_open_syslog(void)
{
}

void
say_syslog(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	if (status >= 0) {
		must(strncmp(text, "NET_", 4) != 0 &&
		    strncmp(text, "STORE_", 6) != 0 &&
		    strncmp(text, "uidset", 6) != 0 &&
		    strncmp(text, "request ", 8) != 0, text);
		progress_end(&eng, status);
	}
	progress_log(&eng, level, NULL, mailbox, text);
}

/* ---- the input ---- */

static uint32_t
octet(void)
{
	if (left == 0)
		return 0;
	left--;
	return *input++;
}

static uint32_t
below(uint32_t n)
{
	return octet() % n;
}

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
		for (side = 0; side < SIDES; side++)
			note_flags(facts_of(r->mb, side), pair->uid[side],
			    pair->flags[side]);
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

static uint32_t
partner(int side, uint32_t uid)
{
	return side == LOCAL ? GAP + uid : uid - GAP;
}

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
		if (has_row(b, side, u))
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

static struct box *
box_named(const char *name)
{
	int	 i;

	for (i = 0; i < nboxes; i++)
		if (strcmp(boxes[i]->mb->name, name) == 0)
			return boxes[i];
	return NULL;
}

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

/* ---- lies ---- */

static void
some_flags(char *dst)
{
	uint32_t	 bits = octet();
	char		 src[64] = "";
	int		 i;

	for (i = 0; i < NFLAGS; i++)
		if (bits & 1U << i) {
			strlcat(src, " ", sizeof(src));
			strlcat(src, flag_names[i], sizeof(src));
		}
	(void)flags_canon(dst, 64, src);
}

static uint32_t
some_uid(int side)
{
	return row_uid(side, 1 + below(64));
}

static void
some_set(struct uidset *set, int side)
{
	uint32_t	 lo = some_uid(side);

	uidset_add(set, lo, lo + below(8));
}

/* Something happens on a server. */
static void
happens(void)
{
	struct box	*b = boxes[below(nboxes)];
	int		 side = below(2);
	struct place	*p = &b->at[side];
	uint32_t	 what = below(12), lo = some_uid(side), n = below(8);
	char		 flags[64];

	switch (what) {
	case 0:
	case 1:
	case 2:
		if (p->ngone < MAXGONE - 1)
			vanish(b->mb, side, lo, lo + n);
		break;
	case 3:
	case 4:
		if (uidset_count(&p->uids) < MESSAGES + 32)
			arrive(b->mb, side, p->uidnext, p->uidnext + n);
		break;
	case 5:
	case 6:
	case 7:
		some_flags(flags);
		if (uidset_has(&p->uids, lo) && p->nmsgs < MAXMSGS - 100)
			reflag(b->mb, side, lo, flags);
		break;
	case 8:
		p->uidvalidity += n;
		break;
	case 9:
		p->uidnext -= n < p->uidnext ? n : 0;
		break;
	case 10:
		p->modseq -= n * 10;
		break;
	default:
		if (uidset_has(&p->uids, lo) && p->nmsgs < MAXMSGS - 100)
			message(b->mb, side, lo)->key ^= n;
		break;
	}
}

static void
lie_opened(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	uint32_t		 what = below(8), n = below(4);

	honest_select(r, s);
	if (what == 0)
		m.uidvalidity = n;
	else if (what == 1)
		m.uidnext -= n;
	else if (what == 2)
		m.exists = n;
	else if (what == 3)
		m.modseq -= n;
	else if (what == 4)
		m.modseq = 0;
	else if (what == 5)
		m.mailboxid = n & 1 ? "F1" : "F2";
	else if (what == 6)
		m.readonly = 1;
	else
		m.perm_any = 0;
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* One record that fits the request, or not. */
static void
some_record(struct req *r)
{
	union proto_rec		 rec;
	char			 flags[64];
	struct uidset		 set = UIDSET_INIT;
	uint32_t		 type;

	memset(&rec, 0, sizeof(rec));
	type = M_ENGINE_READY + 1 + below(M_ENGINE_DONE - M_ENGINE_READY);
	/* The first fields of all of them are of a few kinds. */
	some_flags(flags);
	some_set(&set, r->side);
	switch (type) {
	case M_ENGINE_VANISHED:
		*(struct m_engine_vanished *)(void *)&rec =
		    (struct m_engine_vanished){ below(2), set };
		break;
	case M_ENGINE_FLAGS:
		*(struct m_engine_flags *)(void *)&rec =
		    (struct m_engine_flags){ set.r->lo, MODSEQ + below(9),
		    below(3), flags };
		break;
	case M_ENGINE_META:
		rec.engine_meta = (struct m_engine_meta){ set.r->lo,
		    1000 + below(64), below(64), DATE_NONE, below(2), flags };
		break;
	case M_ENGINE_COPIED:
		rec.engine_copied = (struct m_engine_copied){ set.r->lo,
		    below(2) ? some_uid(OTHER(r->side)) : 0, below(64),
		    below(64), flags, "" };
		break;
	case M_ENGINE_REFUSED:
		*(struct m_engine_refused *)(void *)&rec =
		    (struct m_engine_refused){ set.r->lo, ST_NO + below(3),
		    below(RC_CLOSED_CONNECTION), below(2), below(2), 7, "no" };
		break;
	case M_ENGINE_FAILED:
		*(struct m_engine_failed *)(void *)&rec =
		    (struct m_engine_failed){ ST_NO + below(2), below(4), "no",
		    set };
		break;
	case M_ENGINE_GONE:
		*(struct m_engine_gone *)(void *)&rec =
		    (struct m_engine_gone){ set };
		break;
	case M_ENGINE_WITHHELD:
		*(struct m_engine_withheld *)(void *)&rec =
		    (struct m_engine_withheld){ below(3), "no", set };
		break;
	case M_ENGINE_UIDS:
		*(struct m_engine_uids *)(void *)&rec =
		    (struct m_engine_uids){ 1 << below(4), r->side, set };
		break;
	case M_ENGINE_SPOILT:
		*(struct m_engine_spoilt *)(void *)&rec =
		    (struct m_engine_spoilt){ below(2) ? "x" : "" };
		break;
	case M_ENGINE_CHANGED:
		*(struct m_engine_changed *)(void *)&rec =
		    (struct m_engine_changed){ "a" };
		break;
	case M_ENGINE_DUE:
		*(struct m_engine_due *)(void *)&rec =
		    (struct m_engine_due){ below(2) ? set.r->lo : 0,
		    below(2) };
		break;
	case M_ENGINE_OPENED:
	case M_ENGINE_DONE:
	case M_ENGINE_MAILBOX:
	case M_ENGINE_STATS:
		uidset_free(&set);
		return;
	default:	/* the store's: the engine has no reason to doubt it */
		if (r->chan == STORE) {
			uidset_free(&set);
			return;
		}
		break;
	}
	if (r->chan == STORE)
		twisted = 1;
	give(r, type, &rec);
	uidset_free(&set);
}

/* As if it had come over the channel, or (-1) from the supervisor. */
static void
comes(int chan, uint32_t type, const void *rec)
{
	const struct proto_handler	*h = chan == -1 ? events_control :
					    chan == STORE ? events_store :
					    events_net;
	struct source			 src = { &eng, chan };
	struct msg			 msg = { &src, type, 0, rec, -1 };

	for (; h->type != M_NONE; h++)
		if (h->type == type)
			h->fn(&msg);
}

/* What comes unasked, and ends nothing. */
static void
news(struct req *r)
{
	struct m_engine_log	 line = { below(4), below(2) ? "INBOX" : "",
				    "words\033" };
	uint8_t			 none = 0;

	comes(r->chan, M_ENGINE_LOG, &line);
	if (below(2))
		comes(-1, M_ENGINE_STATUS, &none);
	if (below(2))
		comes(-1, M_ENGINE_LOOK, &none);
}

/* The server of that request is lost, under a message or not. */
static void
lose(struct req *r)
{
	struct m_engine_due	 due = { uidset_min(&r->set), below(2) };
	struct m_engine_fatal	 last = { below(2) ? EX_SYNC_TEMP :
				    EX_SYNC_ERROR, "gone" };

	note_end();
	if (r->chan != STORE && r->mb != NULL && r->type <= ASK_EXPUNGE &&
	    r->type >= ASK_OPEN && below(2))
		give(r, M_ENGINE_DUE, &due);
	comes(r->chan, M_ENGINE_FATAL, &last);
}

/* LIST: what there is, and sometimes more. */
static void
lists(struct req *r)
{
	struct m_engine_mailbox	 m;
	struct place		*p;
	int			 i;

	memset(&m, 0, sizeof(m));
	m.delimiter = '/';
	m.name = "";
	give(r, M_ENGINE_MAILBOX, &m);
	for (i = 0; i < nboxes; i++) {
		p = &boxes[i]->at[r->side];
		m.name = i == 0 ? "INBOX" : i == 1 ? "a" : "a/b";
		m.attrs = octet() & (ATTR_SUBSCRIBED | ATTR_TRASH |
		    ATTR_NOSELECT);
		m.has_status = m.attrs == 0;
		m.uidvalidity = p->uidvalidity;
		m.uidnext = p->uidnext;
		m.messages = uidset_count(&p->uids);
		m.modseq = p->modseq;
		give(r, M_ENGINE_MAILBOX, &m);
	}
	m.name = below(4) == 3 ? "inbox" : "other/x.y";
	if (octet() >= HONEST)
		give(r, M_ENGINE_MAILBOX, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
truth(struct req *r, const struct sent *s)
{
	if (r->type == ASK_LIST)
		lists(r);
	else if (box_honest[r->type] != NULL)
		box_honest[r->type](r, s);
	else
		honest_done(r, s);
}

static void
lie(struct req *r, const struct sent *s, uint32_t how)
{
	uint32_t	 i, id = r->id;

	switch (how % 16) {
	case 0:
		done(r, ST_NO, below(RC_CLOSED_CONNECTION), "no");
		return;
	case 1:
		done(r, ST_BAD, RC_NONE, "bad");
		return;
	case 2:
		done(r, ST_UNSENT, RC_NONE, "unsent");
		return;
	case 3:
		lose(r);
		return;
	case 4:
		note_end();
		comes(-1, M_ENGINE_STOP, NULL);
		return;
	case 5:
	case 6:
		if (r->type == ASK_OPEN) {
			lie_opened(r, s);
			return;
		}
		break;
	case 7:
		news(r);
		if (r->chan != STORE && r->type != ASK_LIST)
			done(r, ST_OK, RC_NONE, "");
		else
			truth(r, s);
		return;
	case 8:
	case 9:
	case 10:
		for (i = 0; i < 1 + how / 16 % 4; i++)
			happens();
		break;
	default:
		for (i = 0; i < 1 + how / 16 % 4; i++) {
			some_record(r);
			if ((r = box_req(id)) == NULL ||
			    r->state == REQ_ANSWERED)
				return;
		}
		break;
	}
	truth(r, s);
}

static void
commits(void)
{
	int	 i, side;

	for (i = 0; i < nboxes; i++)
		for (side = 0; side < SIDES; side++)
			uidset_copy(&facts[i][side].mark,
			    &facts[i][side].newmark);
}

static void
answers(struct req *r, const struct sent *s)
{
	uint32_t	 how = octet();

	read_journal();
	if (r->type == ASK_COMMIT && (how < HONEST || how % 16 != 3)) {
		commits();
		done(r, ST_OK, RC_NONE, "");
		return;
	}
	/* Of the store only the end is looked at, and that it dies. */
	if (how < HONEST || (r->chan == STORE && how % 16 != 3 &&
	    how % 16 != 4))
		truth(r, s);
	else
		lie(r, s, how);
}

/* ---- the world ---- */

static void
make_box(int number)
{
	static const char *const	 names[] = { "INBOX", "a", "a\001b" };
	uint32_t			 kind = octet(), n = below(MESSAGES);
	struct mbox			*mb;
	struct box			*b;
	int				 side;

	if (kind % 8 == 7)
		mb = box_unknown(names[number], n, below(MESSAGES));
	else
		mb = box_new(names[number], n);
	b = box_of(mb);
	b->base = kind & 8 ? "\\Seen" : "";
	b->bare = (kind & 0x30) == 0x30;
	side = kind >> 6 & 1;
	if (mb->id == 0)
		return;
	if (kind % 8 == 6)
		mb->s[side].known.water.modseq = 0;
	if (kind % 8 == 5) {
		mb->mark[side].set = 1;
		mb->mark[side].tries = below(4);
		mb->mark[side].uidnext = row_uid(side, n) + 1;
		mb->mark[side].time = time(NULL) - 60 * below(20);
		uidset_add(&mb->mark[side].uids, row_uid(OTHER(side), n) + 1,
		    row_uid(OTHER(side), n) + 1 + below(6));
		uidset_copy(&facts_of(mb, side)->newmark,
		    &mb->mark[side].uids);
	}
	if (kind % 8 == 4 && n > 0) {
		box_unrow(mb, n);
		(void)box_refusal(mb, side, row_uid(side, n));
	}
	if (kind % 8 == 3) {
		mb->strikes.count = below(4);
		mb->strikes.side = side;
		mb->strikes.uid = below(2) ? row_uid(side, n) : 0;
	}
}

/* LIST comes first, and a command may follow it instead of a run. */
static void
make_command(void)
{
	static const uint8_t	 commands[] = { CMD_SYNC, CMD_SYNC, CMD_CHECK,
				    CMD_DELETE, CMD_RENAME, CMD_REPAIR };
	static const char	*const words[] = { "INBOX", "a", "a/b", "x",
				    "%" };
	struct m_engine_setup	*c = &eng.want.cfg;
	struct m_engine_item	 item;
	struct m_engine_ready	 ready;
	uint32_t		 which = below(6 * 4);
	int			 i, n;

	listing = 1;
	eng.want.patterns = NULL;	/* list.c makes its own */
	eng.want.npatterns = 0;
	c->command = commands[which % 6];
	c->target = 1 + which / 6;
	c->quiet = octet() & 1;
	c->columns = 80;
	n = below(4);
	for (i = 0; i < n; i++) {
		item.kind = below(4) == 3 ? ITEM_ADOPT : ITEM_ARG;
		item.text = words[below(nitems(words))];
		comes(-1, M_ENGINE_ITEM, &item);
	}
	memset(&ready, 0, sizeof(ready));
	ready.caps = ~(octet() == 1 ? CAP_UIDPLUS : 0U);
	ready.qresync = 1;
	ready.tls = ready.cipher = ready.mechanism = "";
	for (i = 0; i < SIDES; i++) {
		eng.srv[i].is_ready = 0;
		eng.srv[i].delim = '\0';
		comes(i, M_ENGINE_READY, &ready);
	}
}

static void
make_world(void)
{
	struct m_engine_setup	*c = &eng.want.cfg;
	uint32_t		 how = octet(), rules = octet();
	int			 i, n;

	c->dryrun = (how & 7) == 7;
	c->retry = how >> 3 & 1;
	c->allow_delete = (how & 0x30) == 0x30;
	c->delete_rule = how >> 6 == 3 ? DELETE_ANY : DELETE_PERCENT;
	c->propagate = rules & 0x80 ? rules & 7 : PROP_ALL;
	c->direction = rules & 0x40 ? 1 + (rules >> 3 & 1) : DIR_BOTH;
	c->max_size = rules & 0x20 ? 1020 : 0;
	c->json = rules >> 4 & 1;
	c->quiet = 1;
	if (how >> 6 == 2)
		make_command();
	n = 1 + below(3);
	for (i = 0; i < n; i++)
		make_box(i);
	n = below(10);
	for (i = 0; i < n; i++)
		happens();
}

/* ---- an input ---- */

static void
play(void)
{
	int64_t	 began = end_now();
	int	 i;

	make_world();
	for (i = 0; i <= ASK_COMMIT; i++)
		box_answers[i] = answers;
	if (listing && list_run(&eng) == -1)
		return;
	if (eng.want.cfg.command != CMD_SYNC &&
	    eng.want.cfg.command != CMD_REPAIR)
		(void)cmd_run(&eng);
	else if (eng.want.cfg.dryrun) {
		if (box_plan() == 0 && verify_run(&eng) == 0)
			subscribe_run(&eng);
	} else if (box_pass() == -1) {
		if (!over)
			note_end();
		box_salvage();
	}
	report_pass(&eng, began);
	box_take();
	read_journal();
}

static void
forget(void)
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
			for (k = 0; k < NFLAGS; k++) {
				uidset_free(&f->with[k]);
				uidset_free(&f->without[k]);
			}
			f->changed = 0;
		}
	for (i = 0; i < IDS; i++)
		if (shown[i].r != NULL)
			uidset_free(&shown[i]);
	nexpunged[LOCAL] = nexpunged[REMOTE] = 0;
	over = twisted = listing = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int	 ended_early;

	input = data;
	left = len;
	forget();
	box_clock = 1700000000000LL;
	box_start();
	box_said[0] = '\0';
	log_init(sink, 0);
	ended_early = CONFINED(play());
	/* Its last words are the last that it says. */
	if (ended_early)
		box_journal[0] = '\0';
	free(eng.end.words[LOCAL]);
	free(eng.end.words[REMOTE]);
	eng.end.words[LOCAL] = eng.end.words[REMOTE] = NULL;
	real_time();
	return 0;
}

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
#include "engine_facts.h"
#include "replay.h"

#define HONEST		128
#define MESSAGES	48	/* of a mailbox, at most */

static const uint8_t	*input;
static size_t		 left;
static int		 listing;	/* LIST is asked for */

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
say_print(int logfd, int tostderr, enum log_level level, const char *text)
{
	(void)logfd;
	(void)tostderr;
	(void)level;
	(void)text;
}

void
say_vout(const char *fmt, va_list ap)
{
	(void)fmt;
	(void)ap;
}

void
say_out(const char *fmt, ...)
{
	(void)fmt;
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

/* A message goes to another mailbox, or a copy of it does. */
static void
goes(struct box *b, int side, uint32_t uid, int copy)
{
	struct box	*to = boxes[below(nboxes)];
	struct place	*p = &to->at[side];
	struct message	 like = message_get(b->mb, side, uid);

	if (!uidset_has(&b->at[side].uids, uid) || p->nmsgs >= MAXMSGS - 100 ||
	    b->at[side].ngone >= MAXGONE - 1)
		return;
	if (!copy)
		vanish(b->mb, side, uid, uid);
	like.uid = p->uidnext;
	arrive(to->mb, side, like.uid, like.uid);
	like.modseq = p->modseq;
	*message(to->mb, side, like.uid) = like;
}

/* Something happens on a server. */
static void
happens(void)
{
	struct box	*b = boxes[below(nboxes)];
	int		 side = below(2);
	struct place	*p = &b->at[side];
	uint32_t	 what = below(15), lo = some_uid(side), n = below(8);
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
	case 11:
	case 12:
	case 13:
		goes(b, side, lo, n == 0);
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
		    (struct m_engine_flags){ uidset_min(&set), MODSEQ + below(9),
		    below(3), flags };
		break;
	case M_ENGINE_META:
		rec.engine_meta = (struct m_engine_meta){ uidset_min(&set),
		    1000 + below(64), below(64), DATE_NONE, below(2), flags };
		break;
	case M_ENGINE_COPIED:
		rec.engine_copied = (struct m_engine_copied){ uidset_min(&set),
		    below(2) ? some_uid(OTHER(r->side)) : 0, below(64),
		    below(64), flags, "" };
		break;
	case M_ENGINE_REFUSED:
		*(struct m_engine_refused *)(void *)&rec =
		    (struct m_engine_refused){ uidset_min(&set), ST_NO + below(3),
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
		    (struct m_engine_due){ below(2) ? uidset_min(&set) : 0,
		    below(2) };
		break;
	case M_ENGINE_OPENED:
	case M_ENGINE_DONE:
	case M_ENGINE_MAILBOX:
	case M_ENGINE_STATS:
	case M_ENGINE_OFFER:
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
				    EX_SYNC_ERROR, below(FAULT_MAX + 1),
				    "gone" };

	note_end();
	if (r->chan != STORE && r->mb != NULL && r->type <= ASK_MOVE &&
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
	mbox_marks(mb);
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
	ready.strategy = STRATEGY_QRESYNC + below(3);
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int	 ended_early;

	input = data;
	left = len;
	facts_forget();
	listing = 0;
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

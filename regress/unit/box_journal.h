/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The journal of engine_box.h: what the engine has sent, one line a message,
 * and what it has said.
 */
#ifndef BOX_JOURNAL_H
#define BOX_JOURNAL_H

#include <sys/wait.h>

#include <poll.h>
#include <stdio.h>

#include "box_world.h"
#include "tap.h"

/* A request as it came to a worker. */
struct sent {
	TAILQ_ENTRY(sent) entry;
	uint32_t	 id;
	uint32_t	 n;		/* OPEN, SAMPLE, DIFF */
	uint32_t	 uidnext;	/* OPEN */
	uint64_t	 modseq;	/* OPEN */
	int		 what;		/* OPEN; MOVE: it is a COPY */
	struct uidset	 set;
};
TAILQ_HEAD(sents, sent);

static struct sents	 box_sents = TAILQ_HEAD_INITIALIZER(box_sents);
static struct chan	 box_peer[CHANNELS];	/* the workers' ends */
static char		 box_journal[65536];
static uint32_t		 box_survivor;	/* of the last EXPUNGE */
static char		 box_said[16384];	/* all messages */
static struct uidset	 box_forgotten;		/* mailboxes, by id */
static int		 box_fd = -1;	/* where fatal ones go, in a child */

/* ---- the journal ---- */

static inline void jot(const char *, ...)
    __attribute__((__format__(printf, 1, 2)));

static inline void
jot(const char *fmt, ...)
{
	size_t	 used = strlen(box_journal);
	va_list	 ap;
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(box_journal + used, sizeof(box_journal) - used - 1, fmt,
	    ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(box_journal) - used - 1)
		fatalx("the journal is full");
	strlcat(box_journal, "\n", sizeof(box_journal));
}

static inline const char *
set_text(const struct uidset *set)
{
	static char	 text[8192];
	uint32_t	 i = 0;

	text[uidset_format(set, &i, text, sizeof(text))] = '\0';
	return text;
}

/* How often a line of the journal begins so. */
static inline int
jotted(const char *line)
{
	const char	*p;
	size_t		 len = strlen(line);
	int		 n = 0;

	for (p = box_journal; *p != '\0'; p = strchr(p, '\n') + 1)
		n += strncmp(p, line, len) == 0;
	return n;
}

/* 1 if the journal has exactly that line. */
static inline int
line(const char *text)
{
	char	 whole[1024];

	snprintf(whole, sizeof(whole), "%s\n", text);
	return jotted(whole) > 0;
}

/* 1 if the journal has the first, and the second somewhere below. */
static inline int
then(const char *a, const char *b)
{
	const char	*p = strstr(box_journal, a);

	return p != NULL && strstr(p, b) != NULL;
}

/* As then(), and the second nowhere above. */
static inline int
before(const char *a, const char *b)
{
	return then(a, b) && strstr(box_journal, b) > strstr(box_journal, a);
}

/* 1 if something was said that has these words. */
static inline int
said(const char *words)
{
	return strstr(box_said, words) != NULL;
}

/* For a test that has failed. */
static inline void
box_show(void)
{
	char	 text[sizeof(box_journal)], *p, *next;
	int	 i;

	for (i = 0; i < 2; i++) {
		strlcpy(text, i == 0 ? box_journal : box_said, sizeof(text));
		for (p = text; (next = strchr(p, '\n')) != NULL; p = next + 1) {
			*next = '\0';
			printf("#   %s%s\n", i == 0 ? "" : "said: ", p);
		}
	}
}

/* A test of what stands in the journal, which is shown if it fails. */
#define journal(passed, ...)						\
	do {								\
		if (!ok((passed), __VA_ARGS__))				\
			box_show();					\
	} while (0)

static inline void
box_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	(void)level;
	(void)mailbox;
	if (status >= 0 && box_fd != -1) {
		if (write(box_fd, text, strlen(text)) == -1)
			_exit(99);
		return;
	}
	strlcat(box_said, text, sizeof(box_said));
	strlcat(box_said, "\n", sizeof(box_said));
	if (status >= 0) {
		box_show();
		printf("Bail out!  %s\n", text);
		fflush(stdout);
	}
}

/*
 * 1 if the function ends the process with that status and these words: it is
 * called in a child, which must not wait for anything.
 */
static inline int
box_dies_with(void (*fn)(void *), void *arg, int with, const char *words)
{
	char	 text[LOG_TEXT_MAX];
	size_t	 len = 0;
	ssize_t	 n;
	pid_t	 pid;
	int	 p[2], status;

	fflush(stdout);
	if (pipe(p) == -1 || (pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		box_fd = p[1];
		fn(arg);
		_exit(0);
	}
	close(p[1]);
	while (len < sizeof(text) - 1 &&
	    (n = read(p[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += n;
	text[len] = '\0';
	close(p[0]);
	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == with &&
	    strstr(text, words) != NULL)
		return 1;
	printf("#   status 0x%x, \"%s\", not \"%s\"\n", status, text, words);
	return 0;
}

static inline int
box_dies(void (*fn)(void *), void *arg, const char *words)
{
	return box_dies_with(fn, arg, EX_SYNC_ERROR, words);
}

/* ---- what the engine sends ---- */

static inline struct sent *
sent_new(const struct msg *msg, const struct uidset *set)
{
	struct sent	*s = xcalloc(1, sizeof(*s));

	s->id = msg->id;
	if (set != NULL)
		uidset_copy(&s->set, set);
	TAILQ_INSERT_TAIL(&box_sents, s, entry);
	return s;
}

static inline struct req *
box_req(uint32_t id)
{
	struct req	 find;

	find.id = id;
	return RB_FIND(reqs, &eng.ask.reqs, &find);
}

static inline void
on_open(const struct msg *msg)
{
	static const char *const	 kinds[] = { "discover", "look",
					    "exec" };
	const struct m_net_open		*m = msg->rec;
	struct req			*r = box_req(msg->id);
	struct sent			*s = sent_new(msg, NULL);

	s->n = m->n;
	s->modseq = m->modseq;
	s->what = m->what;
	s->uidnext = m->uidnext;
	jot("%s %s: OPEN %s %u/%llu/%u%s%s%s%s", side_name[r->side],
	    r->mb->name, kinds[r->sess->kind], m->uidvalidity,
	    (unsigned long long)m->modseq, m->n,
	    m->what & OPEN_EXAMINE ? " examine" : "",
	    m->what & OPEN_FULL ? " full" : "",
	    m->what & OPEN_NEW ? " new" : "",
	    m->what & OPEN_ALL ? " all" : "");
	/* OPEN_KEEP is the worker's business: test_mailbox.c. */
}

/* What the RECV that follows may append. */
static struct uidset	 box_expect;

static inline void
on_expect(const struct msg *msg)
{
	const struct m_net_expect	*m = msg->rec;

	uidset_or(&box_expect, &m->set);
}

static inline int
same_set(const struct uidset *a, const struct uidset *b)
{
	struct uidset	 rest = UIDSET_INIT;
	int		 same;

	uidset_copy(&rest, a);
	uidset_sub(&rest, b);
	same = uidset_empty(&rest) && uidset_count(a) == uidset_count(b);
	uidset_free(&rest);
	return same;
}

static inline void
on_net(const struct msg *msg)
{
	static const char *const	 modes[] = { "multi", "single", "one" };
	static const char *const	 ops[] = { "create", "delete", "rename",
					    "subscribe", "unsubscribe" };
	const struct m_net_name		*name = msg->rec;
	const struct m_net_pattern	*pattern = msg->rec;
	const struct m_net_meta		*meta = msg->rec;
	const struct m_net_search	*search = msg->rec;
	const struct m_net_send		*send = msg->rec;
	const struct m_net_recv		*recv = msg->rec;
	const struct m_net_store	*store = msg->rec;
	const struct m_net_expunge	*expunge = msg->rec;
	const struct m_net_move		*move = msg->rec;
	struct req			*r = box_req(msg->id);
	const char			*side = side_name[r->side];
	const char			*mb = r->mb != NULL ? r->mb->name : "";
	const struct uidset		*set = NULL;

	switch (msg->type) {
	case M_NET_PATTERN:
		jot("%s: PATTERN %s", side, pattern->pattern);
		break;
	case M_NET_META:
		jot("%s %s: META%s %s", side, mb, meta->what == META_SIZE ?
		    " brief" : meta->what == META_FLAGS ? " flags" : "",
		    set_text(set = &meta->set));
		break;
	case M_NET_SEARCH:
		jot("%s %s: SEARCH %s", side, mb, set_text(set = &search->set));
		break;
	case M_NET_SEND:
		jot("%s %s: SEND %s", side, mb, set_text(set = &send->set));
		break;
	case M_NET_RECV:
		if (!same_set(&box_expect, &r->set))
			fatalx("RECV of other messages than those expected");
		uidset_free(&box_expect);
		jot("%s %s: RECV %s%s%s %s", side, mb, modes[recv->mode],
		    recv->nodate ? " nodate" : "",
		    recv->nokeywords ? " nokeywords" : "",
		    set_text(set = &r->set));
		break;
	case M_NET_STORE:
		jot("%s %s: STORE %c%s %s", side, mb, store->add ? '+' : '-',
		    store->flags, set_text(set = &store->set));
		break;
	case M_NET_EXPUNGE:
		box_survivor = expunge->survivor;
		jot("%s %s: EXPUNGE %s", side, mb,
		    set_text(set = &expunge->set));
		break;
	case M_NET_MOVE:
		jot("%s %s: %s %s %s", side, mb, move->copy ? "COPY" : "MOVE",
		    set_text(set = &move->set), move->mailbox);
		break;
	case M_NET_NAME:
		jot("%s %s: NAME %s%s%s%s%s", side, mb, ops[name->op],
		    name->op == NAME_RENAME ? " " : "",
		    name->op == NAME_RENAME ? name->mailbox : "",
		    name->op == NAME_RENAME ? " " : "", name->newname);
		break;
	default:
		jot("%s %s: %s", side, mb, proto_name(msg->type) + 4);
		break;
	}
	sent_new(msg, set)->what = msg->type == M_NET_MOVE ? move->copy :
	    msg->type == M_NET_META ? meta->what : 0;
}

static inline const char *
box_name(uint32_t id)
{
	struct mbox	*mb = mbox_by_id(&eng.list, id);

	return mb != NULL ? mb->name : "(none)";
}

/* What is asked of the store. */
static inline void
on_asked(const struct msg *msg)
{
	const struct m_store_rows	*rows = msg->rec;
	const struct m_store_sample	*sample = msg->rec;
	const struct m_store_diff	*diff = msg->rec;
	const struct m_store_pair	*pair = msg->rec;
	struct sent			*s;

	switch (msg->type) {
	case M_STORE_ROWS:
		s = sent_new(msg, &rows->set);
		jot("store %s: ROWS %s %s", box_name(rows->mailbox),
		    side_name[rows->side], set_text(&s->set));
		break;
	case M_STORE_HAVE:
		s = sent_new(msg, &rows->set);
		jot("store %s: HAVE %s %s", box_name(rows->mailbox),
		    side_name[rows->side], set_text(&s->set));
		break;
	case M_STORE_SAMPLE:
		s = sent_new(msg, &sample->set);
		s->n = sample->count;
		jot("store %s: SAMPLE %s %u %s", box_name(sample->mailbox),
		    side_name[sample->side], s->n, set_text(&s->set));
		break;
	case M_STORE_DIFF:
		s = sent_new(msg, NULL);
		s->n = diff->n;
		jot("store %s: DIFF %s %u", box_name(diff->mailbox),
		    side_name[diff->side], s->n);
		break;
	case M_STORE_PAIR:
		(void)sent_new(msg, NULL);
		jot("store %s: PAIR %d", box_name(pair->mailbox), pair->mode);
		break;
	default:
		(void)sent_new(msg, NULL);
		jot("store: %s", proto_name(msg->type) + 6);
		break;
	}
}

static inline void
box_dropped(const struct m_store_drop *m)
{
	struct uidrange	 r;
	uint32_t	 uid, by = m->side == LOCAL ? 0 : GAP;
	int		 i;

	for (i = 0; i < nboxes; i++)
		if (boxes[i]->mb->id == m->mailbox)
			UIDSET_FOREACH(r, &m->set, uid)
				if (r.lo > by)
					uidset_del(&boxes[i]->rows, r.lo - by,
					    r.hi - by);
}

/* Changes of the state that name UIDs. */
static inline void
on_uids(const struct msg *msg)
{
	const struct m_store_drop	*drop = msg->rec;
	const struct m_store_left	*left = msg->rec;
	const struct m_store_mark	*mark = msg->rec;
	const struct m_store_rebase	*base = msg->rec;

	switch (msg->type) {
	case M_STORE_REBASE:
		jot("store %s: REBASE %s %c%s %s", box_name(base->mailbox),
		    side_name[base->side], base->add ? '+' : '-', base->flags,
		    set_text(&base->set));
		break;
	case M_STORE_DROP:
		box_dropped(drop);
		jot("store %s: DROP %s %s", box_name(drop->mailbox),
		    side_name[drop->side], set_text(&drop->set));
		break;
	case M_STORE_MARK:
		jot("store %s: MARK %s%s %u/%u %s", box_name(mark->mailbox),
		    side_name[mark->target], mark->first ? "" : " more",
		    mark->uidvalidity, mark->uidnext, set_text(&mark->set));
		break;
	default:
		jot("store %s: %s %s %s%s", box_name(left->mailbox),
		    proto_name(msg->type) + 6, side_name[left->side],
		    set_text(&left->set), msg->type == M_STORE_LEFT &&
		    left->alone ? " alone" : "");
		break;
	}
}

static inline void
on_water(const struct msg *msg)
{
	const struct m_store_water	*m = msg->rec;
	struct m_water			*w;

	w = &box_of(mbox_by_id(&eng.list, m->mailbox))->water[m->side];
	*w = m->water;
	w->mailboxid = "";	/* it ends with the message */
	jot("store %s: WATER %s %u/%u/%u/%llu%s%s%s", box_name(m->mailbox),
	    side_name[m->side], m->water.uidvalidity, m->water.uidnext,
	    m->water.messages, (unsigned long long)m->water.modseq,
	    m->water.mailboxid[0] != '\0' ? "/" : "", m->water.mailboxid,
	    m->water.looked != 0 ? " looked" : "");
}

static inline void
on_seen(const struct msg *msg)
{
	const struct m_store_seen	*m = msg->rec;
	struct mbox			*mb = mbox_by_id(&eng.list, m->mailbox);

	jot("store %s: SEEN %s %u%s", mb->name, side_name[m->side], m->uid,
	    m->brief ? " brief" : "");
	uidset_add(&box_of(mb)->seen[m->side], m->uid, m->uid);
}

/* Changes of the state that name a message or none. */
/* All that is noted in a test is the same. */
static inline void
box_based(const struct m_store_base *m)
{
	int	 i;

	for (i = 0; i < nboxes; i++)
		if (boxes[i]->mb->id == m->mailbox) {
			uidset_add(&boxes[i]->noted, m->local, m->local);
			strlcpy(boxes[i]->newbase, m->flags,
			    sizeof(boxes[i]->newbase));
		}
}

static inline void
on_note(const struct msg *msg)
{
	const struct m_store_subscribed	*sub = msg->rec;
	const struct m_store_adopt	*adopt = msg->rec;
	const struct m_store_add	*add = msg->rec;
	const struct m_store_base	*base = msg->rec;
	const struct m_store_unmark	*unmark = msg->rec;
	const struct m_store_lost	*lost = msg->rec;
	const struct m_store_refuse	*ref = msg->rec;
	const struct m_store_unrefuse	*unref = msg->rec;
	const char			*mb = box_name(sub->mailbox);

	switch (msg->type) {
	case M_STORE_SUBSCRIBED:
		jot("store %s: SUBSCRIBED %d", mb, sub->subscribed);
		break;
	case M_STORE_ADOPT:
		jot("store %s: ADOPT %d%s", mb, adopt->adopt,
		    adopt->drop ? " drop" : "");
		break;
	case M_STORE_ADD:
		jot("store %s: ADD %u %u (%s)", mb, add->local, add->remote,
		    add->flags);
		break;
	case M_STORE_BASE:
		jot("store %s: BASE %u (%s)", mb, base->local, base->flags);
		box_based(base);
		break;
	case M_STORE_LOST:
		jot("store %s: LOST %u %s %u next %lld", mb, lost->count,
		    side_name[lost->side], lost->uid, lost->next == 0 ? 0LL :
		    (long long)(lost->next - time(NULL)));
		break;
	case M_STORE_MARKFAIL:
	case M_STORE_UNMARK:
		jot("store %s: %s %s", mb, proto_name(msg->type) + 6,
		    side_name[unmark->target]);
		break;
	case M_STORE_REFUSE:
		jot("store %s: REFUSE %s %u attempts %u next %lld", mb,
		    side_name[ref->side], ref->uid, ref->attempts,
		    (long long)(ref->next - time(NULL)));
		break;
	case M_STORE_UNREFUSE:
		jot("store %s: UNREFUSE %s %u", mb, side_name[unref->side],
		    unref->uid);
		break;
	}
}

/* What the state is told of names. */
static inline void
on_named(const struct msg *msg)
{
	const struct m_store_newbox	*newbox = msg->rec;
	const struct m_store_rename	*rename = msg->rec;
	const struct m_store_forget	*gone = msg->rec;
	const char			*mb = box_name(newbox->mailbox);

	if (msg->type == M_STORE_RENAME)
		jot("store %s: RENAME %s%s%s", mb, rename->name,
		    rename->remote[0] != '\0' ? " as " : "", rename->remote);
	else if (msg->type == M_STORE_FORGET) {
		jot("store %s: FORGET", mb);
		uidset_add(&box_forgotten, gone->mailbox, gone->mailbox);
	} else if (newbox->remote[0] != '\0')
		jot("store %s: NEWBOX as %s by %x", mb, newbox->remote,
		    newbox->use);
	else
		jot("store %s: NEWBOX", mb);
}

/* How many are recorded as deleted, in all. */
static uint32_t	 box_deleted;

static inline void
on_deleted(const struct msg *msg)
{
	const struct m_store_deleted	*m = msg->rec;

	box_deleted = m->count == 0 ? 0 : box_deleted + m->count;
	jot("store: DELETED %u", m->count);
}

static inline void
on_taken(const struct msg *msg)
{
	const struct m_store_take	*m = msg->rec;

	if (msg->type == M_STORE_TAKE)
		jot("store %s: TAKE %u", box_name(m->mailbox), m->from);
	else
		jot("store: TAKEN");
}

static inline void
on_stopped(const struct msg *msg)
{
	const struct m_store_stopped	*m = msg->rec;

	if (msg->type == M_STORE_STOPPED)
		jot("store %s: STOPPED %s", m->name, m->text);
	else
		jot("store %s: UNSTOPPED", m->name);
}

static inline void
on_synced(const struct msg *msg)
{
	(void)msg;
	jot("store: SYNCED");
}

static inline void
on_server(const struct msg *msg)
{
	const struct m_store_server	*m = msg->rec;

	jot("store: SERVER %s %c%s", side_name[m->side], m->delimiter,
	    m->ask ? " ask" : "");
}

static inline void
on_unwatch(const struct msg *msg)
{
	(void)msg;
	jot("UNWATCH");
}

static inline void
on_known(const struct msg *msg)
{
	const struct m_net_known	*m = msg->rec;

	jot("%s: KNOWN %s", side_name[box_req(msg->id)->side], m->mailbox);
}

static const struct proto_handler box_handlers[] = {
	{ M_NET_LIST,		1,	on_net },
	{ M_NET_PATTERN,	1,	on_net },
	{ M_NET_KNOWN,		1,	on_known },
	{ M_NET_STATUS,		1,	on_net },
	{ M_NET_OPEN,		1,	on_open },
	{ M_NET_META,		1,	on_net },
	{ M_NET_SEARCH,		1,	on_net },
	{ M_NET_SEND,		1,	on_net },
	{ M_NET_EXPECT,		1,	on_expect },
	{ M_NET_RECV,		1,	on_net },
	{ M_NET_STORE,		1,	on_net },
	{ M_NET_EXPUNGE,	1,	on_net },
	{ M_NET_MOVE,		1,	on_net },
	{ M_NET_NAME,		1,	on_net },
	{ M_NET_WATCH,		1,	on_net },
	{ M_NET_UNWATCH,	1,	on_unwatch },
	{ M_NET_STATS,		1,	on_net },
	{ M_NET_PROBE,		1,	on_net },
	{ M_STORE_LOAD,		1,	on_asked },
	{ M_STORE_IMPORT,	1,	on_asked },
	{ M_STORE_TAKE,		1,	on_taken },
	{ M_STORE_TAKEN,	1,	on_taken },
	{ M_STORE_INFO,		1,	on_asked },
	{ M_STORE_ROWS,		1,	on_asked },
	{ M_STORE_HAVE,		1,	on_asked },
	{ M_STORE_SAMPLE,	1,	on_asked },
	{ M_STORE_DIFF,		1,	on_asked },
	{ M_STORE_PAIR,		1,	on_asked },
	{ M_STORE_COMMIT,	1,	on_asked },
	{ M_STORE_NEWBOX,	1,	on_named },
	{ M_STORE_SUBSCRIBED,	1,	on_note },
	{ M_STORE_ADOPT,	1,	on_note },
	{ M_STORE_FORGET,	1,	on_named },
	{ M_STORE_RENAME,	1,	on_named },
	{ M_STORE_ADD,		1,	on_note },
	{ M_STORE_BASE,		1,	on_note },
	{ M_STORE_REBASE,	1,	on_uids },
	{ M_STORE_DROP,		1,	on_uids },
	{ M_STORE_MARK,		1,	on_uids },
	{ M_STORE_MARKFAIL,	1,	on_note },
	{ M_STORE_LOST,		1,	on_note },
	{ M_STORE_UNMARK,	1,	on_note },
	{ M_STORE_REFUSE,	1,	on_note },
	{ M_STORE_UNREFUSE,	1,	on_note },
	{ M_STORE_LEFT,		1,	on_uids },
	{ M_STORE_UNLEFT,	1,	on_uids },
	{ M_STORE_WATER,	1,	on_water },
	{ M_STORE_SEEN,		1,	on_seen },
	{ M_STORE_SERVER,	1,	on_server },
	{ M_STORE_SYNCED,	1,	on_synced },
	{ M_STORE_DELETED,	1,	on_deleted },
	{ M_STORE_STOPPED,	1,	on_stopped },
	{ M_STORE_UNSTOPPED,	1,	on_stopped },
	{ M_NONE,		0,	NULL }
};

/* Take what the engine has sent. */
static inline void
box_take(void)
{
	struct pollfd	 pfd;
	struct chan	*c;
	int		 i;

	for (i = 0; i < CHANNELS; i++) {
		if (!ask_isopen(&eng, i))
			continue;
		c = &box_peer[i];
		pfd.fd = c->ib.fd;
		pfd.events = POLLIN;
		do {
			if (chan_write(&eng.ask.ch[i]) == -1)
				fatal("write");
			while (poll(&pfd, 1, 0) == 1)
				if (chan_read(c) != 1 || chan_dispatch(c,
				    box_handlers, NULL) == -1)
					fatalx("read: %s", c->error);
		} while (chan_pending(&eng.ask.ch[i]) > 0);
	}
}

#endif /* BOX_JOURNAL_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Messages that the other server did not take: remembered with the reason, and
 * offered again from time to time.
 */
#include <time.h>

#include "engine.h"

#define REST_S		600	/* of a mailbox that ended it twice */
#define WITHHELD_LINES	10	/* that name messages, a mailbox */
#define WORDS_KEPT	256	/* octets of a server's words */
#define UNNAMED_RANGES	60	/* of UIDs, a line: 22 octets each at most */

int64_t
refusal_next(uint32_t attempts, int64_t now)
{
	int64_t	 wait = 0;

	if (attempts > 1) {
		wait = 3600;
		while (--attempts > 1 && wait < 86400)
			wait *= 2;
		if (wait > 86400)
			wait = 86400;
	}
	return now + wait;
}

/* Dovecot adds how long it took, if not 0: "(0.001 + 0.000 secs)." */
static size_t
words_len(const char *text)
{
	size_t		 len = strlen(text);
	const char	*p;

	if (len > 7 && strcmp(text + len - 7, " secs).") == 0 &&
	    (p = strrchr(text, '(')) != NULL)
		len = p - text;
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '.'))
		len--;
	return len;
}

static int
same_words(const char *a, const char *b)
{
	size_t	 len = words_len(a);

	return words_len(b) == len && strncmp(a, b, len) == 0;
}

int
refusal_set(struct engine *e, struct mbox *mb, int side, uint32_t uid,
    int code, uint64_t size, uint64_t limit, const char *text)
{
	struct mside		*ms = &mb->s[side];
	struct m_store_refuse	 m;
	struct refusal		*f;
	char			 words[WORDS_KEPT];
	int			 isnew;

	f = refusal_find(ms, uid);
	strlcpy(words, text, sizeof(words));
	isnew = f == NULL || !same_words(f->text, words);
	if (f == NULL)
		f = refusal_new(ms, uid);
	free(f->text);
	f->text = xstrdup(words);
	f->code = code;
	f->size = size;
	f->limit = limit;
	f->next = refusal_next(++f->attempts, time(NULL));

	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.side = side;
	m.uid = uid;
	m.code = code;
	m.attempts = f->attempts;
	m.size = size;
	m.limit = limit;
	m.next = f->next;
	m.text = f->text;
	ask_note(e, M_STORE_REFUSE, &m);
	return isnew;
}

void
refusal_end(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	struct m_store_unrefuse	 m;
	struct refusal		*f;

	if ((f = refusal_find(&mb->s[side], uid)) == NULL)
		return;
	m.mailbox = mb->id;
	m.side = side;
	m.uid = uid;
	ask_note(e, M_STORE_UNREFUSE, &m);
	refusal_free(&mb->s[side], f);
}

void
refusal_more(struct engine *e, struct mbox *mb, int side)
{
	struct uidset	*more = &mb->s[side].w->did.more;
	char		 uids[1500];

	if (uidset_empty(more))
		return;
	log_warnx("%s: the %s server refuses %llu more messages of the %s "
	    "server: %s", name_show(e, mb->name), side_name[OTHER(side)],
	    (unsigned long long)uidset_count(more), side_name[side],
	    progress_uids(more, uids, sizeof(uids)));
	uidset_free(more);
}

int
refusal_room(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	if (refusal_count() < REFUSALS_MAX ||
	    refusal_find(&mb->s[side], uid) != NULL)
		return 1;
	if (!e->crowded)
		log_warnx("%u messages are refused by a server, or not given: "
		    "no more are remembered, and each run tries the others "
		    "again", REFUSALS_MAX);
	e->crowded = 1;
	e->partial = 1;
	return 0;
}

void
refusal_withheld(struct engine *e, struct mbox *mb, int side, uint32_t uid,
    const char *text)
{
	struct side_did	*d = &mb->s[side].w->did;
	int		 isnew;

	if (!refusal_room(e, mb, side, uid))
		return;
	uidset_add(&d->copied, uid, uid);
	isnew = refusal_set(e, mb, side, uid, RC_WITHHELD, 0, 0,
	    text[0] != '\0' ? text : "it gave no message");
	if (isnew && d->nwithheld++ >= WITHHELD_LINES)
		uidset_add(&d->unnamed, uid, uid);
	else if (isnew)
		log_warnx("%s: the %s server has message UID %u and does not "
		    "give it: %s; it stays to be copied, and is asked for "
		    "again by the next run", name_show(e, mb->name),
		    side_name[side], uid,
		    text[0] != '\0' ? text : "no message came");
}

void
refusal_unnamed(struct engine *e, struct mbox *mb, int side)
{
	struct uidset	*set = &mb->s[side].w->did.unnamed, part = UIDSET_INIT;
	struct uidrange	 r;
	char		 uids[1500];
	uint32_t	 after = 0;
	size_t		 line, named = 0;

	for (line = 0; named < set->n && line < WITHHELD_LINES; line++) {
		while (part.n < UNNAMED_RANGES && uidset_next(set, &after, &r))
			uidset_add(&part, r.lo, r.hi);
		named += part.n;
		log_warnx("%s: the %s server does not give %s either",
		    name_show(e, mb->name), side_name[side],
		    progress_uids(&part, uids, sizeof(uids)));
		uidset_free(&part);
	}
	if (named < set->n)
		log_warnx("%s: nor %zu further ranges of UIDs",
		    name_show(e, mb->name), set->n - named);
	uidset_free(set);
}

int
refusal_suspect(const struct refusal *f)
{
	return f->code == RC_CLOSED_CONNECTION ||
	    f->code == RC_SOURCE_CLOSED || f->code == RC_META_CLOSED;
}

void
refusal_lost(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	struct strikes		*l = &mb->strikes;
	struct m_store_lost	 m;
	int64_t			 now = time(NULL);

	l->side = side;
	l->uid = uid;
	/* Lines are cut, too: a mailbox does not rest as long as a message. */
	l->next = ++l->count == 2 ? now + REST_S :
	    refusal_next(l->count - 1, now);
	m.mailbox = mb->id;
	m.count = l->count;
	m.side = side;
	m.uid = uid;
	m.next = l->next;
	ask_note(e, M_STORE_LOST, &m);
}

void
refusal_found(struct engine *e, struct mbox *mb)
{
	struct m_store_lost	 m;

	if (mb->strikes.count == 0)
		return;
	memset(&mb->strikes, 0, sizeof(mb->strikes));
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	ask_note(e, M_STORE_LOST, &m);
}

int
refusal_rests(const struct engine *e, const struct mbox *mb)
{
	return mb->strikes.count > 1 && time(NULL) < mb->strikes.next &&
	    !e->want.cfg.retry;
}

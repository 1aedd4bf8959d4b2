/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Part of engine_box.h: a server that tells the truth, and does what it is asked.
 */
#ifndef BOX_SERVER_H
#define BOX_SERVER_H

/* FLAGS of the mailbox that r has to do with. */
static inline void
tell_flags(struct req *r, uint32_t uid, uint64_t modseq, const char *flags)
{
	struct m_engine_flags	 m = { uid, modseq, flags != NULL,
				    flags != NULL ? flags : "" };

	give(box_req(r->sess->handle), M_ENGINE_FLAGS, &m);
}

static inline void
tell_vanished(struct req *r, int earlier, const struct uidset *set)
{
	struct m_engine_vanished	 m;

	m.earlier = earlier;
	m.set = *set;
	if (!uidset_empty(set))
		give(box_req(r->sess->handle), M_ENGINE_VANISHED, &m);
}

static inline void
open_flags(struct req *r, const struct sent *s)
{
	struct place	*p = at(r->mb, r->side);
	uint64_t	 k, n = uidset_count(&p->uids);
	struct message	 m;

	for (k = 0; k < n; k++) {
		m = message_get(r->mb, r->side, uidset_nth(&p->uids, k));
		if (m.uid > s->n)
			break;
		if (s->what & OPEN_FULL ||
		    (s->modseq != 0 && m.modseq > s->modseq &&
		    !(p->nomodseq & NO_SELECT)))
			tell_flags(r, m.uid, m.modseq, m.flags);
	}
}

static inline void
open_uids(struct req *r, const struct sent *s, int what, uint32_t lo,
    uint32_t hi)
{
	struct m_engine_uids	 m = { what, r->side, UIDSET_INIT };

	if (!(s->what & what))
		return;
	uidset_copy(&m.set, &at(r->mb, r->side)->uids);
	if (lo > 1)
		uidset_del(&m.set, 1, lo - 1);
	if (hi < UINT32_MAX)
		uidset_del(&m.set, hi + 1, UINT32_MAX);
	if (!uidset_empty(&m.set))
		give(r, M_ENGINE_UIDS, &m);
	uidset_free(&m.set);
}

/* What OPENED says, for a test that tells something else. */
static inline struct m_engine_opened
opened_like(const struct req *r)
{
	struct place		*p = at(r->mb, r->side);
	struct m_engine_opened	 m;

	memset(&m, 0, sizeof(m));
	m.proof = box_proof[r->side];
	m.uidvalidity = p->uidvalidity;
	m.uidnext = p->uidnext;
	m.recent = p->recent;
	m.exists = uidset_count(&p->uids);
	m.modseq = box_modseq(r->mb, r->side, NO_SELECT);
	if (m.proof == PROOF_COUNTED && m.modseq == 0)
		m.proof = PROOF_LISTED;
	m.perm_any = p->perm_any;
	m.permflags = p->permflags;
	m.mailboxid = p->mailboxid;
	return m;
}

/* All that is told before OPENED. */
static inline void
honest_select(struct req *r, const struct sent *s)
{
	struct place	*p = at(r->mb, r->side);
	struct uidset	 gone = UIDSET_INIT;
	int		 i;

	for (i = 0; i < p->ngone && s->modseq != 0 &&
	    box_proof[r->side] == PROOF_TOLD; i++)
		if (p->gone[i].modseq > s->modseq)
			uidset_or(&gone, &p->gone[i].set);
	if (s->n < UINT32_MAX)
		uidset_del(&gone, s->n + 1, UINT32_MAX);
	tell_vanished(r, 1, &gone);
	uidset_free(&gone);
	open_flags(r, s);
	open_uids(r, s, OPEN_NEW, s->uidnext, UINT32_MAX);
	open_uids(r, s, OPEN_ALL, 1, s->n);
}

static inline void
honest_open(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	honest_select(r, s);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
give_meta(struct req *r, const struct message *m)
{
	struct m_engine_meta	 meta;

	memset(&meta, 0, sizeof(meta));
	meta.uid = m->uid;
	meta.size = m->size;
	meta.key = m->key;
	meta.date = m->date;
	meta.msgid = 1;
	meta.flags = m->flags;
	give(r, M_ENGINE_META, &meta);
}

static inline void
honest_meta(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;
	struct message	 m;
	uint64_t	 k, n;

	/* What is new may be a range without an end. */
	uidset_copy(&set, &s->set);
	uidset_and(&set, &at(r->mb, r->side)->uids);
	n = uidset_count(&set);
	for (k = 0; k < n; k++) {
		m = message_get(r->mb, r->side, uidset_nth(&set, k));
		if (s->what == META_FLAGS)
			tell_flags(r, m.uid, 0, m.flags);
		else {
			if (s->what == META_KEY) {
				m.date = DATE_NONE;
				m.flags[0] = '\0';
			}
			give_meta(r, &m);
		}
	}
	uidset_free(&set);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_search(struct req *r, const struct sent *s)
{
	struct m_engine_uids	 m = { OPEN_ALL, r->side, UIDSET_INIT };

	uidset_copy(&m.set, &s->set);
	uidset_and(&m.set, &at(r->mb, r->side)->uids);
	if (!uidset_empty(&m.set))
		give(r, M_ENGINE_UIDS, &m);
	uidset_free(&m.set);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_status(struct req *r, const struct sent *s)
{
	struct m_engine_mailbox	 m;
	struct place		*p = at(r->mb, r->side);

	(void)s;
	memset(&m, 0, sizeof(m));
	m.delimiter = '/';
	m.has_status = 1;
	m.uidvalidity = p->uidvalidity;
	m.uidnext = p->uidnext;
	m.messages = uidset_count(&p->uids);
	m.modseq = box_modseq(r->mb, r->side, NO_STATUS);
	m.unseen = p->unseen;
	m.name = r->mb->name;
	give(r, M_ENGINE_MAILBOX, &m);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_store(struct req *r, const struct sent *s)
{
	const struct store	*st = r->arg;
	struct place		*p = at(r->mb, r->side);
	uint64_t		 k, n = uidset_count(&s->set);
	char			 now[FLAGS_MAX];
	struct message		*m;

	p->modseq++;
	for (k = 0; k < n; k++) {
		m = message(r->mb, r->side, uidset_nth(&s->set, k));
		if (!st->add)
			flags_sub(now, m->flags, st->flag);
		else if (flags_or(now, m->flags, st->flag) == -1)
			fatalx("too many flags");
		strlcpy(m->flags, now, sizeof(m->flags));
		m->modseq = p->modseq;
		tell_flags(r, m->uid, p->modseq, NULL);
	}
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_expunge(struct req *r, const struct sent *s)
{
	struct place	*p = at(r->mb, r->side);
	struct uidset	 gone = UIDSET_INIT;
	struct uidrange	 range;
	uint32_t	 uid;

	uidset_copy(&gone, &s->set);
	uidset_and(&gone, &p->uids);
	UIDSET_FOREACH(range, &gone, uid)
		vanish(r->mb, r->side, range.lo, range.hi);
	tell_vanished(r, 0, &gone);
	uidset_free(&gone);
	done(r, ST_OK, RC_NONE, "");
}

/* ---- copying ---- */

static inline void
honest_send(struct req *r, const struct sent *s)
{
	struct m_engine_gone	 m = { UIDSET_INIT };

	uidset_copy(&m.set, &s->set);
	uidset_sub(&m.set, &at(r->mb, r->side)->uids);
	if (!uidset_empty(&m.set))
		give(r, M_ENGINE_GONE, &m);
	uidset_free(&m.set);
	done(r, ST_OK, RC_NONE, "");
}

/* One message arrives under the next UID. */
static inline void
copy_one(struct req *r, uint32_t uid)
{
	struct message		 from = message_get(r->mb, OTHER(r->side), uid);
	struct message		*to;
	struct place		*p = at(r->mb, r->side);
	struct m_engine_copied	 m;

	memset(&m, 0, sizeof(m));
	m.uid = uid;
	m.newuid = p->uidnext;
	m.size = from.size;
	m.key = from.key;
	m.flags = from.flags;
	m.lost = "";
	arrive(r->mb, r->side, m.newuid, m.newuid);
	to = message(r->mb, r->side, m.newuid);
	*to = from;
	to->uid = m.newuid;
	to->modseq = p->modseq;
	tell_flags(r, m.newuid, p->modseq, NULL);
	give(r, M_ENGINE_COPIED, &m);
}

static inline void
honest_recv(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;
	uint64_t	 k, n;

	(void)s;
	uidset_copy(&set, &r->set);
	uidset_and(&set, &at(r->mb, OTHER(r->side))->uids);
	n = uidset_count(&set);
	for (k = 0; k < n; k++)
		copy_one(r, uidset_nth(&set, k));
	uidset_free(&set);
	done(r, ST_OK, RC_NONE, "");
}

/* One message arrives in another mailbox; where is told or not. */
static inline void
move_one(struct req *r, uint32_t uid, int told)
{
	struct mbox		*to = r->arg;
	struct message		 from = message_get(r->mb, r->side, uid);
	struct place		*p = at(to, r->side);
	struct m_engine_copied	 m;

	memset(&m, 0, sizeof(m));
	m.uid = uid;
	m.newuid = told ? p->uidnext : 0;
	m.flags = m.lost = "";
	from.uid = p->uidnext;
	arrive(to, r->side, from.uid, from.uid);
	from.modseq = p->modseq;
	*message(to, r->side, from.uid) = from;
	give(r, M_ENGINE_COPIED, &m);
}

static inline void
box_move(struct req *r, const struct sent *s, int told)
{
	struct uidset	 set = UIDSET_INIT;
	struct uidrange	 range;
	uint32_t	 after, u;

	uidset_copy(&set, &s->set);
	uidset_and(&set, &at(r->mb, r->side)->uids);
	UIDSET_FOREACH(range, &set, after)
		for (u = range.lo; u <= range.hi; u++)
			move_one(r, u, told);
	if (!s->what) {
		UIDSET_FOREACH(range, &set, after)
			vanish(r->mb, r->side, range.lo, range.hi);
		tell_vanished(r, 0, &set);
	}
	uidset_free(&set);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_move(struct req *r, const struct sent *s)
{
	box_move(r, s, 1);
}

#endif /* BOX_SERVER_H */

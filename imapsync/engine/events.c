/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What the workers and the supervisor tell the engine: one handler a message.
 */
#include <stdio.h>

#include "engine.h"

/* The request that an answer of channel "chan" names; a wrong id is fatal. */
static struct req *
req_get(struct engine *e, int chan, uint32_t id)
{
	struct req	 find, *r;

	find.id = id;
	if ((r = RB_FIND(reqs, &e->reqs, &find)) == NULL || r->chan != chan)
		fatalx("the %s worker answered a request that was not made",
		    engine_chan(chan));
	return r;
}

static struct sess *
sess_get(struct engine *e, int chan, uint32_t id)
{
	struct req	*r = req_get(e, chan, id);

	if (r->sess == NULL || r->sess->handle != id)
		fatalx("the %s worker names a mailbox that is not open",
		    engine_chan(chan));
	return r->sess;
}

static void
h_done(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_done	*m = msg->rec;
	struct engine			*e = src->e;
	struct req			*r = req_get(e, src->chan, msg->id);

	if (r->answered)
		fatalx("the %s worker answered a request twice",
		    engine_chan(src->chan));
	r->answered = 1;
	e->pending[r->chan]--;
	if (r->sess != NULL && src->chan != STORE && m->status != ST_UNSENT) {
		r->sess->exists_end = m->exists;
		r->sess->modseq_end = m->modseq;
	}
	if (r->done != NULL)
		r->done(e, r, m);
	/* A handle is named by later events. */
	if (r->sess == NULL || r->sess->handle != r->id) {
		RB_REMOVE(reqs, &e->reqs, r);
		free(r);
	}
}

static void
h_log(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_log	*m = msg->rec;

	progress_log(m->level, src->chan == STORE ? "database" :
	    side_name[src->chan], m->mailbox[0] != '\0' ? m->mailbox : NULL,
	    m->text);
}

static void
h_fatal(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_fatal	*m = msg->rec;

	progress_end(src->e, m->status);
	progress_log(LOG_LV_ERROR, src->chan == STORE ? "database" :
	    side_name[src->chan], NULL, m->text);
	engine_end(src->e, m->status);
	if (src->chan == STORE)
		return;
	src->e->lost[src->chan] = 1;
	/* What has been sent to the other server whole may still be answered. */
	if (!exec_receiving(src->e, OTHER(src->chan)))
		src->e->stop_at = engine_now();
}

static void
h_ready(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_ready	*m = msg->rec;
	struct engine			*e = src->e;

	if (e->is_ready[src->chan])
		fatalx("the %s worker logged in twice", engine_chan(src->chan));
	e->ready[src->chan] = *m;
	e->ready[src->chan].tls = xstrdup(m->tls);
	e->ready[src->chan].cipher = xstrdup(m->cipher);
	e->ready[src->chan].mechanism = xstrdup(m->mechanism);
	e->is_ready[src->chan] = 1;
	if (e->cfg.again && e->is_ready[OTHER(src->chan)]) {
		e->cfg.again = AGAIN_NO;
		log_warnx("both servers are back");
	}
	if (log_debugging())
		log_debug("%s: logged in (%s%s%s%s%s)", side_name[src->chan],
		    m->mechanism, m->tls[0] != '\0' ? ", " : "", m->tls,
		    m->cipher[0] != '\0' ? ", " : "", m->cipher);
}

static void
h_mailbox(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct req			*r = req_get(src->e, src->chan, msg->id);
	const struct m_engine_mailbox	*m = msg->rec;

	if (src->e->watching) {
		watch_mailbox(src->e, src->chan, m);
		return;
	}
	if (r->mb != NULL) {	/* STATUS */
		r->mb->s[src->chan].has_status = m->has_status;
		r->mb->s[src->chan].uidnext = m->uidnext;
		return;
	}
	list_event(src->e, src->chan, m);
}

static void
h_opened(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct sess			*s = sess_get(src->e, src->chan, msg->id);
	const struct m_engine_opened	*m = msg->rec;

	if (s->opened)
		fatalx("the %s worker opened a mailbox twice",
		    engine_chan(src->chan));
	s->opened = 1;
	s->uidvalidity = m->uidvalidity;
	s->uidnext = m->uidnext;
	s->exists = s->exists_end = m->exists;
	s->above = s->n == 0 ? m->exists : m->above;
	s->modseq = s->modseq_end = m->modseq;
	s->readonly = m->readonly;
	s->perm_any = m->perm_any;
	s->permflags = xstrdup(m->permflags);
	s->mailboxid = xstrdup(m->mailboxid);
}

static void
h_vanished(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct sess			*s = sess_get(src->e, src->chan, msg->id);
	const struct m_engine_vanished	*m = msg->rec;

	if (s->kind == SESS_EXEC)
		exec_vanished(src->e, s, m);
	else
		uidset_or(m->earlier ? &s->earlier : &s->vanished, &m->set);
}

static void
h_flags(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct sess			*s = sess_get(src->e, src->chan, msg->id);
	const struct m_engine_flags	*m = msg->rec;
	struct m_store_seen		 seen;

	if (s->kind == SESS_EXEC) {
		exec_flags(src->e, s, m);
		return;
	}
	if (s->kind != SESS_DISCOVER || !m->has_flags || m->uid > s->n)
		return;
	if (s->full && !s->opened) {
		memset(&seen, 0, sizeof(seen));
		seen.mailbox = s->mb->id;
		seen.side = s->side;
		seen.uid = m->uid;
		seen.date = DATE_NONE;
		seen.flags = m->flags;
		engine_send(src->e, STORE, M_STORE_SEEN, 0, &seen);
	} else if (!s->full && !s->opened)
		disc_change(s->mb, s->side, m->uid, m->flags);
}

static void
h_meta(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct req			*r = req_get(src->e, src->chan, msg->id);
	const struct m_engine_meta	*m = msg->rec;
	struct m_store_seen		 seen;

	if (r->num == META_RULE) {
		rules_meta(src->e, r, m);
		return;
	}
	if (r->num != META_STORE) {
		verify_meta(src->e, r, m);
		return;
	}
	if (r->mb == NULL)
		fatalx("the %s worker sent META unasked", engine_chan(src->chan));
	memset(&seen, 0, sizeof(seen));
	seen.mailbox = r->mb->id;
	seen.side = src->chan;
	seen.uid = m->uid;
	seen.size = m->size;
	seen.key = m->key;
	seen.date = m->date;
	seen.msgid = m->msgid;
	seen.flags = m->flags;
	engine_send(src->e, STORE, M_STORE_SEEN, 0, &seen);
}

static void
h_copied(const struct msg *msg)
{
	struct source	*src = msg->arg;

	exec_copied(src->e, req_get(src->e, src->chan, msg->id), msg->rec);
}

static void
h_refused(const struct msg *msg)
{
	struct source	*src = msg->arg;

	exec_refused(src->e, req_get(src->e, src->chan, msg->id), msg->rec);
}

static void
h_failed(const struct msg *msg)
{
	struct source	*src = msg->arg;

	exec_failed(src->e, req_get(src->e, src->chan, msg->id), msg->rec);
}

static void
h_gone(const struct msg *msg)
{
	struct source	*src = msg->arg;

	exec_gone(src->e, req_get(src->e, src->chan, msg->id), msg->rec);
}

static void
h_changed(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_changed	*m = msg->rec;

	(void)req_get(src->e, src->chan, msg->id);
	watch_changed(src->e, src->chan, m->mailbox);
}

static void
h_stats(const struct msg *msg)
{
	struct source	*src = msg->arg;

	(void)req_get(src->e, src->chan, msg->id);
	src->e->stats[src->chan] = *(const struct m_engine_stats *)msg->rec;
}

static void
h_uids(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct req			*r = req_get(src->e, src->chan, msg->id);
	const struct m_engine_uids	*m = msg->rec;

	if (src->chan == STORE) {
		if (r->mb == NULL)
			fatalx("the store sent UIDS unasked");
		uidset_or(r->num == ROW_INFO ? &r->mb->s[m->side].left :
		    &r->mb->left[m->side], &m->set);
	} else if (r->sess == NULL)
		fatalx("the %s worker sent UIDS unasked", engine_chan(src->chan));
	else if (m->what == OPEN_FRESH)
		uidset_or(&r->sess->fresh, &m->set);
	else
		uidset_or(&r->sess->all, &m->set);
}

const struct proto_handler events_net[] = {
	{ M_ENGINE_READY,	EVENTS_ALL, h_ready },
	{ M_ENGINE_MAILBOX,	EVENTS_ALL, h_mailbox },
	{ M_ENGINE_OPENED,	EVENTS_ALL, h_opened },
	{ M_ENGINE_VANISHED,	EVENTS_ALL, h_vanished },
	{ M_ENGINE_FLAGS,	EVENTS_ALL, h_flags },
	{ M_ENGINE_META,	EVENTS_ALL, h_meta },
	{ M_ENGINE_COPIED,	EVENTS_ALL, h_copied },
	{ M_ENGINE_REFUSED,	EVENTS_ALL, h_refused },
	{ M_ENGINE_FAILED,	EVENTS_ALL, h_failed },
	{ M_ENGINE_GONE,	EVENTS_ALL, h_gone },
	{ M_ENGINE_CHANGED,	EVENTS_ALL, h_changed },
	{ M_ENGINE_STATS,	EVENTS_ALL, h_stats },
	{ M_ENGINE_UIDS,	EVENTS_ALL, h_uids },
	{ M_ENGINE_DONE,	EVENTS_ALL, h_done },
	{ M_ENGINE_LOG,		EVENTS_ALL, h_log },
	{ M_ENGINE_FATAL,	EVENTS_ALL, h_fatal },
	{ M_NONE,		0,	    NULL }
};

static void
h_mbox(const struct msg *msg)
{
	struct source	*src = msg->arg;

	list_mbox(src->e, msg->rec);
}

static void
h_mark(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_mark	*m = msg->rec;
	struct mbox			*mb;
	struct mark			*k;

	if ((mb = mbox_by_id(src->e, m->mailbox)) == NULL)
		fatalx("the store sent a mark of a mailbox that it has not");
	k = &mb->mark[m->target];
	if (m->first) {
		k->set = 1;
		k->tries = m->tries;
		k->uidvalidity = m->uidvalidity;
		k->uidnext = m->uidnext;
		k->time = m->time;
	}
	uidset_or(&k->uids, &m->set);
}

static void
h_refusal(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_refusal	*m = msg->rec;
	struct refusal			*f;
	struct mbox			*mb;

	if ((mb = mbox_by_id(src->e, m->mailbox)) == NULL)
		fatalx("the store sent a refusal of a mailbox that it has not");
	f = xcalloc(1, sizeof(*f));
	f->uid = m->uid;
	f->code = m->code;
	f->attempts = m->attempts;
	f->size = m->size;
	f->limit = m->limit;
	f->next = m->next;
	f->text = xstrdup(m->text);
	TAILQ_INSERT_TAIL(&mb->s[m->side].refusals, f, entry);
	mb->s[m->side].nrefused++;
}

static void
h_info(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct req			*r = req_get(src->e, src->chan, msg->id);
	const struct m_engine_info	*m = msg->rec;
	uint32_t			 max[SIDES];
	int				 side;

	if (r->mb == NULL)
		fatalx("the store sent INFO unasked");
	r->mb->nrows = m->rows;
	max[LOCAL] = m->max_local;
	max[REMOTE] = m->max_remote;
	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &r->mb->s[side];

		ms->n = ms->water.uidnext - 1;
		if (max[side] > ms->n)
			ms->n = max[side];
	}
}

static void
h_row(const struct msg *msg)
{
	struct source			*src = msg->arg;
	struct req			*r = req_get(src->e, src->chan, msg->id);
	const struct m_engine_row	*m = msg->rec;
	struct row			*row;
	int				 side = r->num & ROW_SIDE;

	if (r->mb == NULL)
		fatalx("the store sent a row unasked");
	if (r->num & ROW_REPAIR) {
		repair_row(src->e, r->mb, m);
		return;
	}
	row = row_add(r->mb, m);
	if (r->num & ROW_SAMPLE)
		uidset_add(&r->mb->s[side].sample, row->uid[side],
		    row->uid[side]);
	if (r->num & ROW_DIFF) {
		if (m->gone)
			row->gone[side] = 1;
		else {
			free(row->now[side]);
			row->now[side] = xstrdup(m->now);
		}
	}
}

static void
h_paired(const struct msg *msg)
{
	struct source	*src = msg->arg;
	struct req	*r = req_get(src->e, src->chan, msg->id);

	if (r->mb == NULL)
		fatalx("the store sent a pair unasked");
	if (((const struct m_engine_paired *)msg->rec)->isrow)
		repair_flags(src->e, r->mb, msg->rec);
	disc_paired(r->mb, msg->rec);
}

const struct proto_handler events_store[] = {
	{ M_ENGINE_MBOX,	EVENTS_ALL, h_mbox },
	{ M_ENGINE_MARK,	EVENTS_ALL, h_mark },
	{ M_ENGINE_REFUSAL,	EVENTS_ALL, h_refusal },
	{ M_ENGINE_INFO,	EVENTS_ALL, h_info },
	{ M_ENGINE_ROW,		EVENTS_ALL, h_row },
	{ M_ENGINE_PAIRED,	EVENTS_ALL, h_paired },
	{ M_ENGINE_UIDS,	EVENTS_ALL, h_uids },
	{ M_ENGINE_DONE,	EVENTS_ALL, h_done },
	{ M_ENGINE_LOG,		EVENTS_ALL, h_log },
	{ M_ENGINE_FATAL,	EVENTS_ALL, h_fatal },
	{ M_NONE,		0,	    NULL }
};

/* ---- from the supervisor ---- */

static void
h_setup(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_setup	*m = msg->rec;
	struct m_engine_setup		*c = &src->e->cfg;
	int				 side;

	if (m->version != PROTO_VERSION)
		fatalx("imapsync and its engine are of different versions");
	*c = *m;
	for (side = 0; side < SIDES; side++) {
		c->reference[side] = xstrdup(m->reference[side]);
		c->host[side] = xstrdup(m->host[side]);
	}
	c->prefix = xstrdup(m->prefix);
	c->ignore = xstrdup(m->ignore);
}

static void
list_push(char ***list, size_t *n, const char *text)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = xstrdup(text);
}

/* A name of the command line goes to a server: it must be one. */
static void
check_name(const char *text)
{
	const char	*p;

	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			break;
	if (*p != '\0' || p == text || p - text >= NAME_MAX_LEN)
		fatal_ex(EX_SYNC_USAGE, "\"%s\" can't be the name of a mailbox",
		    text);
}

static void
h_item(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_item	*m = msg->rec;
	struct engine			*e = src->e;

	/* The others hold separators, and don't go to a server as they are. */
	if (m->kind == ITEM_ARG || m->kind == ITEM_ADOPT)
		check_name(m->text);
	switch (m->kind) {
	case ITEM_PATTERN:
		list_push(&e->patterns, &e->npatterns, m->text);
		break;
	case ITEM_ARG:
		list_push(&e->args, &e->nargs, m->text);
		break;
	case ITEM_ADOPT:
		list_push(&e->adopts, &e->nadopts, m->text);
		break;
	case ITEM_WATCH:
		list_push(&e->watches, &e->nwatches, m->text);
		break;
	}
}

static void
h_go(const struct msg *msg)
{
	struct source	*src = msg->arg;

	src->e->go = 1;
}

static void
h_stop(const struct msg *msg)
{
	struct source	*src = msg->arg;

	log_debug("asked to stop");
	src->e->halt = 1;
	engine_end(src->e, EX_SYNC_ERROR);
	/* Messages that are on their way are waited for, nothing else is. */
	if (!exec_receiving(src->e, LOCAL) && !exec_receiving(src->e, REMOTE))
		src->e->stop_at = engine_now() + HALT_MS;
}

static void
h_look(const struct msg *msg)
{
	struct source	*src = msg->arg;

	/* A pass that is going on is followed by another. */
	src->e->changed = 1;
}

static void
h_status(const struct msg *msg)
{
	struct source	*src = msg->arg;

	progress_status(src->e);
}

const struct proto_handler events_control[] = {
	{ M_ENGINE_SETUP,	EVENTS_START, h_setup },
	{ M_ENGINE_ITEM,	EVENTS_START, h_item },
	{ M_ENGINE_GO,		EVENTS_START, h_go },
	{ M_ENGINE_STOP,	EVENTS_RUN, h_stop },
	{ M_ENGINE_LOOK,	EVENTS_RUN, h_look },
	{ M_ENGINE_STATUS,	EVENTS_RUN, h_status },
	{ M_NONE,		0, NULL }
};


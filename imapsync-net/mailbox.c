/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the server says of the messages of the mailbox that is selected.
 */
#include <stdio.h>

#include "net.h"

#define HEARD_OCTETS	512	/* of a body that are a sign of life */

/* The unanswered command of that kind that asked for the message. */
static struct cmd *
mailbox_asked(struct net *net, enum cmd_kind kind, uint32_t uid)
{
	struct cmd	*c;

	if (net->handles.current == NULL)
		return NULL;
	TAILQ_FOREACH(c, &net->cmdq.answers, entry) {
		if (c->kind == K_SELECT && c->handle != net->handles.current)
			break;
		if (c->kind == kind && uidset_has(&c->set, uid))
			return c;
	}
	return NULL;
}

/* ---- what can't be read ---- */

/* What it is of is left alone: 1, or 0 if the engine does not know it. */
static int
mailbox_spoilt(struct net *net, struct handle *h, const char *text)
{
	struct m_engine_spoilt	 m;

	if (h == NULL || h->id == 0)
		return 0;
	m.text = text;
	if (!h->spoilt)
		chan_send(&net->chan, M_ENGINE_SPOILT, h->id, &m);
	h->spoilt = 1;
	return 1;
}

/* A change may have been told, and must be told again by the next SELECT. */
static void
mailbox_unsure(struct net *net, struct handle *h)
{
	struct m_engine_spoilt	 m;

	m.text = "";
	if (h->id != 0 && !h->unsure)
		chan_send(&net->chan, M_ENGINE_SPOILT, h->id, &m);
	h->unsure = 1;
}

/* It is of no consequence. */
static void
mailbox_unread(struct net *net, const char *kind, const char *text)
{
	const struct handle	*h = net->handles.current;
	const char		*name = h != NULL ? h->mailbox : "";

	if (once(net, ONCE_UNREAD, name, kind))
		log_mbox(LOG_LV_WARN, h != NULL ? name : NULL,
		    "%s sent what can't be read, and is passed over: %s",
		    net->setup.host, text);
}

/*
 * A FETCH may answer a command that asked for bodies or headers: then what it is
 * of is missing there.  Any other could have told what has changed.
 */
static int
fetch_answers(struct net *net, const struct fetch *f)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry) {
		if (c->kind == K_SELECT && c->handle != net->handles.current)
			break;
		if ((c->kind == K_SEND || c->kind == K_META) &&
		    (f->uid == 0 || uidset_has(&c->set, f->uid)))
			return 1;
	}
	return 0;
}

static void
fetch_unread(struct net *net, const struct fetch *f, const char *text)
{
	if (fetch_answers(net, f) ||
	    !mailbox_spoilt(net, net->handles.current, text))
		mailbox_unread(net, "FETCH", text);
}

/* It is the answer to a SEARCH that the engine knows nothing of. */
static int
search_is_ours(struct net *net, const struct resp *r)
{
	struct cmd	*c;

	c = r->tag[0] != '\0' ? cmdq_find(net, r->tag) :
	    cmdq_oldest(net, K_SEARCH);
	return c != NULL && c->missing != NULL;
}

void
mailbox_bad(struct net *net, const struct resp *r)
{
	struct handle	*h, *coming;
	struct cmd	*c;
	char		 line[256], text[256];

	parse_excerpt(&net->session.parser, line, sizeof(line));
	net_words(text, sizeof(text), line);
	if (r->type == R_LIST || r->type == R_LSUB ||
	    r->type == R_MBSTATUS) {
		if (once(net, ONCE_UNREAD, "", r->type == R_MBSTATUS ?
		    "STATUS" : "LIST"))
			log_warnx("%s sent what can't be read, and is passed "
			    "over: %s", net->setup.host, text);
		return;
	}
	if (r->type == R_TAGGED) {
		c = cmdq_find(net, r->tag);
		h = c != NULL && c->kind == K_SELECT ? c->handle :
		    net->handles.current;
		mailbox_spoilt(net, h, text);
		return;
	}
	handle_untagged(net, r);
	coming = handle_coming(net);
	h = net->handles.current;
	if (r->type == R_FETCH && coming == NULL)
		fetch_unread(net, r->fetch, text);
	else if (((r->type == R_ESEARCH || r->type == R_SEARCH) &&
	    search_is_ours(net, r)) || mailbox_spoilt(net, h, text) +
	    mailbox_spoilt(net, coming, text) == 0)
		mailbox_unread(net, "data", text);
}

/* ---- bodies ---- */

/*
 * Until it has told of the expunge Courier gives this, of that size, in the place
 * of a message that another client has expunged.
 */
static const char	 madeup[MADEUP_LEN + 1] =
    "From: System Administrator <root@localhost>\r\n"
    "Subject: message unavailable\r\n\r\n"
    "This message is no longer available on the server.\r\n";

/* With QRESYNC it can't be Courier. */
static int
madeup_may_be(const struct net *net, uint64_t size)
{
	return size == MADEUP_LEN && net->strategy->proof != PROOF_TOLD;
}

static int
madeup_key(uint64_t key)
{
	struct key	 k;

	key_init(&k);
	key_feed(&k, madeup, MADEUP_LEN);
	return key == key_final(&k, NULL);
}

static void
body_begin(struct net *net, struct cmd *c, uint32_t uid)
{
	cmd_keep(&net->body.cmd, c);
	c->under = c->pos = uid;
	net_heard(net);
}

static void
body_over(struct net *net)
{
	struct cmd	*c = net->body.cmd;

	if (c != NULL && c->under != 0) {
		c->done = c->under;
		c->under = 0;
	}
	net->body.cmd = NULL;
	net->body.stage = READ_NONE;
}

/* One that has begun is sent, whatever follows; so it must be known whose. */
static void
body_send(struct net *net, struct cmd *c, const struct fetch *f, uint32_t uid,
    uint64_t len)
{
	if (send_body(net, c, f, uid, len) == -1) {
		mailbox_unread(net, "BODY", "BODY[] stands in front of FLAGS "
		    "or INTERNALDATE");
		return;
	}
	uidset_del(&c->set, uid, uid);
	body_begin(net, c, uid);
	net->body.stage = READ_BODY;
	net->body.uid = uid;
}

/* Its UID follows: it is the one that was asked for, or body_read() ends it. */
static uint32_t
body_whose(const struct net *net)
{
	const struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	return c != NULL && c->kind == K_SEND && net->strategy->single ?
	    uidset_min(&c->set) : 0;
}

void
mailbox_body(struct net *net, const struct fetch *f, uint64_t len)
{
	struct reading	*rd = &net->body;
	uint32_t	 uid = f->uid;
	struct cmd	*c;

	mailbox_whole(net);
	body_over(net);
	rd->section = f->section;
	rd->hashead = rd->empty = rd->held = 0;
	rd->octets = 0;
	rd->ntext = 0;
	switch (f->section) {
	case SECT_HEADER:
		key_init(&rd->key);
		if ((c = mailbox_asked(net, K_META, f->uid)) != NULL)
			body_begin(net, c, f->uid);
		break;
	case SECT_ALL:
		if (uid == 0)
			uid = body_whose(net);
		if ((c = mailbox_asked(net, K_SEND, uid)) == NULL)
			break;
		if (len == 0)
			rd->empty = 1;
		else if (madeup_may_be(net, len))
			rd->held = 1;
		else
			body_send(net, c, f, uid, len);
		break;
	default:
		break;
	}
}

void
mailbox_data(struct net *net, const void *p, size_t n)
{
	struct reading	*rd = &net->body;

	if (rd->section == SECT_HEADER)
		key_feed(&rd->key, p, n);
	else if (rd->stage == READ_BODY)
		send_data(net, p, n);
	else if (rd->held && n <= sizeof(rd->text) - rd->ntext) {
		memcpy(rd->text + rd->ntext, p, n);
		rd->ntext += n;
	}
	if (rd->cmd != NULL && (rd->octets += n) >= HEARD_OCTETS) {
		rd->octets = 0;
		net_heard(net);
	}
}

void
mailbox_end(struct net *net)
{
	struct reading	*rd = &net->body;

	if (rd->section != SECT_HEADER)
		return;
	rd->headkey = key_final(&rd->key, &rd->msgid);
	rd->hashead = 1;
}

void
mailbox_whole(struct net *net)
{
	if (net->body.stage != READ_WHOLE)
		return;
	send_end(net);
	body_over(net);
}

/* The response that held a body is over. */
static void
body_read(struct net *net, const struct fetch *f)
{
	struct cmd	*c;

	if (net->body.stage == READ_BODY) {
		if (f->uid != net->body.uid)
			lost_sense(net, NULL, "gave the body of a message of "
			    "UID %u when it was asked for that of UID %u",
			    f->uid, net->body.uid);
		net->body.stage = READ_WHOLE;
		return;
	}
	body_over(net);
	if (f->section != SECT_ALL ||
	    (c = mailbox_asked(net, K_SEND, f->uid)) == NULL)
		return;
	/*
	 * NIL, or made up; or empty, which is believed if its size says so,
	 * too.
	 */
	c->pos = c->done = f->uid;
	net_heard(net);
	if (net->body.empty && f->has_size && f->size == 0)
		body_send(net, c, f, f->uid, 0);
	else if (net->body.held && memcmp(net->body.text, madeup,
	    MADEUP_LEN) != 0) {
		body_send(net, c, f, f->uid, MADEUP_LEN);
		if (net->body.stage == READ_BODY)
			send_data(net, net->body.text, MADEUP_LEN);
	}
	if (net->body.stage == READ_BODY)
		net->body.stage = READ_WHOLE;
}

/* ---- FETCH ---- */

/* Returns 1 if the response answers a META. */
static int
mailbox_meta(struct net *net, const struct fetch *f)
{
	struct m_engine_meta	 m;
	struct cmd		*c;

	if (!f->has_size || f->section == SECT_ALL ||
	    (c = mailbox_asked(net, K_META, f->uid)) == NULL)
		return 0;
	memset(&m, 0, sizeof(m));
	m.uid = c->pos = f->uid;
	m.size = f->size;
	m.date = DATE_NONE;
	m.flags = f->has_flags ? f->flags : "";
	net_heard(net);
	if (c->req->what != META_SIZE) {
		if (!net->body.hashead || f->section != SECT_HEADER ||
		    (madeup_may_be(net, f->size) &&
		    madeup_key(net->body.headkey))) {
			/* Expunged meanwhile, or the server is in trouble. */
			c->under = f->uid;
			return 1;
		}
		m.key = net->body.headkey;
		m.msgid = net->body.msgid;
		if (f->has_date == FDATE_TOLD)
			parse_date(f->date, &m.date);
	}
	uidset_del(&c->set, f->uid, f->uid);
	c->done = f->uid;
	c->under = 0;
	chan_send(&net->chan, M_ENGINE_META, c->req->id, &m);
	return 1;
}

/*
 * An answer to the command that is under way renews its time; what others have
 * changed does not, so it must get on.
 */
static void
mailbox_heard(struct net *net, uint32_t *last, uint32_t uid)
{
	if (uid <= *last)
		return;
	*last = uid;
	net_heard(net);
}

static struct cmd *
mailbox_under_way(struct net *net)
{
	struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	if (c == NULL || c->handle != net->handles.current)
		return NULL;
	return c->kind == K_SELECT || c->kind == K_FETCH ||
	    c->kind == K_STORE || c->kind == K_EXPUNGE || c->kind == K_MOVE ||
	    c->kind == K_LAST ? c : NULL;
}

/* What is in it and can't be passed on. */
static void
fetch_says(struct net *net, const struct handle *h, const struct fetch *f)
{
	char	 uid[16], words[NOFLAG_SIZE];

	if (f->has_date != FDATE_BAD)
		return;
	snprintf(uid, sizeof(uid), "%u", f->uid);
	if (once(net, ONCE_DATE, h->mailbox, uid))
		log_mbox(LOG_LV_WARN, h->mailbox, "%s tells a date of message "
		    "UID %u that can't be (%s): it counts as none",
		    net->setup.host, f->uid, net_words(words, sizeof(words),
		    f->date));
}

static void
mailbox_noflag(struct net *net, const struct handle *h, const char *noflag)
{
	char	 words[NOFLAG_SIZE];

	if (noflag[0] == '\0' || !once(net, ONCE_FLAG, h->mailbox, noflag))
		return;
	log_mbox(LOG_LV_WARN, h->mailbox, "%s tells a flag that can't be one, "
	    "and is left out: %s", net->setup.host,
	    net_words(words, sizeof(words), noflag));
}

/* Nobody loses what is not told: the engine leaves such a message's flags. */
static void
mailbox_cut(struct net *net, const struct handle *h, uint32_t uid)
{
	char	 what[32];

	snprintf(what, sizeof(what), "UID %u", uid);
	if (once(net, ONCE_FLAG, h->mailbox, what))
		log_mbox(LOG_LV_ERROR, h->mailbox, "%s tells more flags and "
		    "keywords of message %s than %d octets hold: those behind "
		    "are not copied, and no change of them is; take some of "
		    "them away", net->setup.host, what, FLAGS_MAX - 1);
}

static void
mailbox_fetch(struct net *net, const struct fetch *f)
{
	struct m_engine_flags	 m;
	struct handle		*h = net->handles.current;
	struct cmd		*c;
	char			 line[256], text[256];

	mailbox_noflag(net, h, f->noflag);
	if (f->has_flags == FLAGS_CUT)
		mailbox_cut(net, h, f->uid);
	/*
	 * Without a UID it can't be told whose it is (RFC 7162 section 3.2);
	 * where QRESYNC is not switched on a server may say it so.
	 */
	if (f->uid == 0 && f->has_flags && f->section == SECT_NONE &&
	    net->strategy->kind != STRATEGY_QRESYNC) {
		mailbox_unsure(net, h);
	} else if (f->uid == 0 && (f->has_flags || f->section != SECT_NONE)) {
		parse_excerpt(&net->session.parser, line, sizeof(line));
		mailbox_unread(net, "FETCH", net_words(text, sizeof(text),
		    line));
		if (!fetch_answers(net, f))
			mailbox_unsure(net, h);
	}
	if (f->uid != 0)
		select_shown(net, f);
	if (h->id == 0 || f->uid == 0)
		return;
	fetch_says(net, h, f);
	if ((c = mailbox_under_way(net)) != NULL)
		mailbox_heard(net, &c->pos, f->uid);
	/* Of all messages that are there: nobody else wants to know. */
	if (c != NULL && c->what_for == FOR_MARKED && !f->has_modseq)
		return;
	if (f->has_modseq && f->modseq > h->maxmodseq)
		h->maxmodseq = f->modseq;
	if (!f->has_modseq &&
	    (mailbox_meta(net, f) || f->section == SECT_ALL || !f->has_flags))
		return;
	if (f->has_modseq)
		mailbox_meta(net, f);
	m.uid = f->uid;
	m.modseq = f->has_modseq ? f->modseq : 0;
	m.has_flags = f->has_flags;
	m.flags = f->has_flags ? f->flags : "";
	chan_send(&net->chan, M_ENGINE_FLAGS, h->id, &m);
}

/* ---- COPYUID ---- */

/*
 * What it can't be is not told: the engine then looks for what was copied by its
 * content.
 */
void
mailbox_copied(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_copied	 m;
	struct uidset		 rest = UIDSET_INIT;
	struct uidrange		 from, to = { 0, 0 };
	uint32_t		 after, u, uid = 0;

	uidset_copy(&rest, &resp->from);
	uidset_sub(&rest, &c->set);
	if (!resp->ordered || resp->num != c->req->uidvalidity ||
	    !uidset_empty(&rest)) {
		uidset_free(&rest);
		return;
	}
	c->got = 1;
	memset(&m, 0, sizeof(m));
	m.flags = m.lost = "";
	UIDSET_FOREACH(from, &resp->from, after)
		for (u = from.lo; u >= from.lo && u <= from.hi; u++) {
			if (uid == to.hi)
				uidset_next(&resp->set, &to.hi, &to);
			uid = uid < to.lo ? to.lo : uid + 1;
			m.uid = u;
			m.newuid = uid;
			chan_send(&net->chan, M_ENGINE_COPIED, c->req->id, &m);
		}
	uidset_sub(&c->set, &resp->from);
	net_heard(net);
}

void
mailbox_untagged(struct net *net, const struct resp *r)
{
	struct handle	*h;
	struct cmd	*c;

	handle_untagged(net, r);
	if (r->type == R_FETCH)
		body_read(net, r->fetch);
	if ((h = net->handles.current) == NULL)
		return;
	if (r->type == R_FETCH) {
		mailbox_fetch(net, r->fetch);
		net->body.hashead = 0;
	} else if (r->type == R_VANISHED && !uidset_empty(&r->set) &&
	    net->strategy->proof == PROOF_TOLD) {
		/* From who has not switched QRESYNC on it is no proof. */
		if ((c = mailbox_under_way(net)) != NULL)
			mailbox_heard(net, &c->vanished, uidset_max(&r->set));
		if (h->id != 0)
			req_sendset(net, M_ENGINE_VANISHED, h->id, &r->set,
			    r->earlier);
	} else if (r->type == R_STATUS) {
		mailbox_noflag(net, h, r->noflag);
		/* Of a MOVE, ahead of its tagged answer (RFC 6851 section 4.3). */
		if (r->code == C_COPYUID &&
		    (c = cmdq_oldest(net, K_MOVE)) != NULL)
			mailbox_copied(net, c, r);
	}
}

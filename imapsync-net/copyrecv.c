/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * RECV: bodies from the bridge to the server.  What comes over the bridge is
 * checked as a server's answer is: the process at its other end reads from
 * another server, and may have been taken over by it.
 */
#include <endian.h>
#include <stdio.h>

#include "net.h"

#define BATCH_MIN	(64 * 1024)	/* octets of a MULTIAPPEND */
#define BATCH_MAX	(1024 * 1024)
#define BATCH_SECONDS	2		/* and no more than the line takes in */
#define BATCH_MSGS	500
#define UNANSWERED_MAX	4000		/* messages in APPENDs under way */
#define UNRATED_MAX	16		/* see recv_waits() */
#define SMALL_MAX	(4 * 1024 * 1024) /* goes without asking */
#define IDLE_MS		20		/* an APPEND does not wait longer */
#define DYING_MS	10000
#define RATE_MS		50		/* the least time to measure in, */
#define RATE_MIN	(512 * 1024)	/* but for so many octets */

/* A message that is kept in memory until it is answered. */
struct rmsg {
	TAILQ_ENTRY(rmsg)	 entry;
	uint32_t		 uid;
	uint64_t		 len;
	uint64_t		 key;
	int			 had_date;
	int			 had_keywords;
	char			*flags;		/* sent */
	char			*lost;
};
TAILQ_HEAD(rmsgs, rmsg);

/* What hangs on an APPEND. */
struct append {
	struct rmsgs		 msgs;
	unsigned		 n;
	uint64_t		 bytes;
};

static void
append_free(struct cmd *c)
{
	struct rmsg	*m;

	while ((m = TAILQ_FIRST(&c->append->msgs)) != NULL) {
		TAILQ_REMOVE(&c->append->msgs, m, entry);
		free(m->flags);
		free(m->lost);
		free(m);
	}
	free(c->append);
}

/* The message whose head was read becomes the last one of the APPEND. */
static struct rmsg *
append_add(struct append *a, const struct copyrecv *rs, char *flags,
    char *lost)
{
	struct rmsg	*m;

	m = xcalloc(1, sizeof(*m));
	m->uid = rs->uid;
	m->len = rs->len;
	m->flags = flags;
	m->lost = lost;
	TAILQ_INSERT_TAIL(&a->msgs, m, entry);
	a->n++;
	a->bytes += m->len;
	return m;
}

/* ---- the bridge ---- */

static uint64_t
get(const uint8_t *p, unsigned octets)
{
	uint64_t	 v = 0;

	memcpy((uint8_t *)&v + 8 - octets, p, octets);
	return be64toh(v);
}

static struct drop *
drop_find(struct copyrecv *rs, uint32_t transfer)
{
	struct drop	*d;

	TAILQ_FOREACH(d, &rs->drops, entry)
		if (d->transfer == transfer)
			return d;
	return NULL;
}

static __dead void
recv_bad(const char *what)
{
	fatalx("the other server's process sent %s over the bridge", what);
}

/*
 * The head of a message: 1 whole and checked, 0 more octets are needed.
 */
static int
head_message(struct net *net, size_t *used)
{
	struct copyrecv	*rs = &net->recv;
	const uint8_t	*p = buf_ptr(&net->bridge.in);
	size_t		 n, have = net->bridge.in.len;
	int64_t		 t;

	if (have < 18 || have < (*used = p[17] ? 46 : 20))
		return 0;
	if (p[17] > 1)
		recv_bad("a malformed record");
	n = get(p + *used - 2, 2);
	if (n >= sizeof(rs->flags))
		recv_bad("too many flags");
	if (have < *used + n)
		return 0;
	rs->uid = get(p + 5, 4);
	rs->len = get(p + 9, 8);
	if (rs->uid == 0 || rs->len > INT64_MAX)
		recv_bad("an impossible UID or length");
	rs->has_date = p[17];
	if (rs->has_date) {
		memcpy(rs->date, p + 18, 26);
		rs->date[26] = '\0';
		if (parse_date(rs->date, &t) == -1)
			recv_bad("a malformed date");
	}
	memcpy(rs->flags, p + *used, n);
	rs->flags[n] = '\0';
	if (strlen(rs->flags) != n || !flags_valid(rs->flags))
		recv_bad("malformed flags");
	*used += n;
	return 1;
}

/* Is the record ours to take?  A refused transfer's is to be dropped. */
static int
head_ours(struct net *net, uint32_t transfer, int *drop)
{
	struct copyrecv	*rs = &net->recv;

	*drop = drop_find(rs, transfer) != NULL;
	if (*drop)
		return 1;
	if (rs->req == NULL)
		return 0;	/* its RECV is still to come */
	if (rs->req->transfer != transfer)
		recv_bad("a transfer that was not asked for");
	return 1;
}

/* Only what the engine wants copied, and that once. */
static void
head_expected(struct copyrecv *rs)
{
	if (!uidset_has(&rs->req->set, rs->uid))
		recv_bad("a message that was not asked for, or one twice,");
	uidset_del(&rs->req->set, rs->uid, rs->uid);
}

/* ---- what becomes of a message ---- */

static void
refused(struct net *net, struct req *r, uint32_t uid, uint64_t size,
    enum resp_status status, enum resp_code code, int had_date,
    int had_keywords, const char *text)
{
	struct m_engine_refused	 m;

	m.uid = uid;
	m.status = status;
	m.code = code;
	m.had_date = had_date;
	m.had_keywords = had_keywords;
	m.size = size;
	m.text = text;
	chan_send(&net->chan, M_ENGINE_REFUSED, r->id, &m);
}

static void
append_refused(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_failed	 m;
	struct rmsg		*msg = TAILQ_FIRST(&c->append->msgs);

	if (c->append->n == 1) {
		refused(net, c->req, msg->uid, msg->len, req_status(resp),
		    resp->rc, msg->had_date, msg->had_keywords, resp->text);
		return;
	}
	m.status = req_status(resp);
	m.code = resp->rc;
	m.text = resp->text;
	uidset_init(&m.set);
	TAILQ_FOREACH(msg, &c->append->msgs, entry)
		uidset_add(&m.set, msg->uid, msg->uid);
	chan_send(&net->chan, M_ENGINE_FAILED, c->req->id, &m);
	uidset_free(&m.set);
}

static void
append_done(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_copied	 m;
	struct uidrange		 given = { 0, 0 };
	struct rmsg		*msg;
	int			 known;
	uint32_t		 uid = 0;

	known = resp->code == C_APPENDUID && resp->ordered &&
	    resp->num == c->handle->uidvalidity &&
	    uidset_count(&resp->set) == c->append->n;
	TAILQ_FOREACH(msg, &c->append->msgs, entry) {
		m.newuid = 0;
		if (known) {
			if (uid == given.hi &&
			    !uidset_next(&resp->set, &given.hi, &given))
				break;
			uid = uid < given.lo ? given.lo : uid + 1;
			m.newuid = uid;
		}
		m.uid = msg->uid;
		m.size = msg->len;
		m.key = msg->key;
		m.flags = msg->flags;
		m.lost = msg->lost;
		chan_send(&net->chan, M_ENGINE_COPIED, c->req->id, &m);
	}
}

/* How much the line takes in BATCH_SECONDS. */
static void
append_rate(struct copyrecv *rs, uint64_t bytes)
{
	uint64_t	 now = net_now(), ms = now - rs->t0;

	rs->acked += bytes;
	if (ms < RATE_MS && rs->acked < RATE_MIN)
		return;
	rs->limit = rs->acked * 1000 * BATCH_SECONDS / (ms > 0 ? ms : 1);
	if (rs->limit < BATCH_MIN)
		rs->limit = BATCH_MIN;
	if (rs->limit > BATCH_MAX)
		rs->limit = BATCH_MAX;
	rs->rated = 1;
	rs->acked = 0;
	rs->t0 = now;
}

static void
append_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct copyrecv	*rs = &net->recv;

	rs->unanswered -= c->append->n;
	append_rate(rs, c->append->bytes);
	if (c == rs->cmd) {
		/*
		 * Refused in place of "+": the rest of the body need not be
		 * sent.  Else the literal must be completed.
		 */
		rs->taken = 0;
		if (c->intx)
			rs->early = 1;
		else {
			rs->cmd = NULL;
			rs->idle = 0;
			if (rs->stage == RS_BODY)
				rs->stage = RS_DROP;
		}
	}
	if (resp->word == WORD_OK)
		append_done(net, c, resp);
	else
		append_refused(net, c, resp);
	if (resp->rc == RC_OVERQUOTA && c->req->recv.mode == RECV_MULTI)
		rs->full = 1;
}

/* ---- APPEND ---- */

/* The flags to send, and those that the mailbox does not keep. */
static void
recv_flags(struct copyrecv *rs, char **sent, char **lost,
    int *keywords)
{
	char		 yes[FLAGS_MAX], no[FLAGS_MAX], made[FLAGS_MAX];

	flags_and(yes, rs->flags, rs->req->flags);
	flags_sub(no, rs->flags, yes);
	if (rs->req->recv.nokeywords) {
		flags_and(yes, yes, FLAGS_SYSTEM);
		flags_sub(no, rs->flags, yes);
	} else if (rs->req->recv.perm_any) {
		flags_new(&rs->req->handle->made, made, no);
		(void)flags_or(yes, yes, made);
		flags_sub(no, no, made);
	}
	flags_sub(made, yes, FLAGS_SYSTEM);
	*keywords = made[0] != '\0';
	*sent = xstrdup(yes);
	*lost = xstrdup(no);
}

static void
append_end(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	struct cmd	*c = rs->cmd;

	if (c == NULL)
		return;
	rs->cmd = NULL;
	rs->idle = 0;
	cmd_end(net, c);
	if (rs->early)
		cmd_free(net, c);
	rs->early = 0;
}

/* The rest of the message's APPEND up to its literal. */
static void
append_head(struct net *net, int sync)
{
	struct copyrecv	*rs = &net->recv;
	struct req	*r = rs->req;
	struct cmd	*c = rs->cmd;
	struct rmsg	*m;
	char		*sent, *lost;
	int		 keywords;

	recv_flags(rs, &sent, &lost, &keywords);
	m = append_add(c->append, rs, sent, lost);
	if (c->nmsgs++ == 0)
		c->first = rs->uid;
	m->had_keywords = keywords;
	rs->taken = 1;
	rs->unanswered++;
	if (sent[0] != '\0') {
		cmd_puts(c, " (");
		cmd_puts(c, sent);
		cmd_puts(c, ")");
	}
	if (rs->has_date && !r->recv.nodate) {
		cmd_printf(c, " \"%s\"", rs->date);
		m->had_date = 1;
	}
	cmd_puts(c, " ");
	cmd_literal(net, c, rs->len, sync);
	cmdq_flush(net);
	r->appended = 1;
	rs->left = rs->len;
	rs->stage = RS_BODY;
}

/* So many octets more would be too many for this APPEND. */
static int
append_full(struct copyrecv *rs, uint64_t more)
{
	if (rs->cmd->append->bytes + more <= rs->limit)
		return 0;
	rs->filled++;
	return 1;
}

/*
 * No more until something is answered.  While the rate of the line is unknown
 * APPENDs are small, and many small ones cost a server more time than it takes
 * to learn the rate from the first of them.
 */
static int
recv_waits(const struct copyrecv *rs)
{
	return rs->unanswered >= UNANSWERED_MAX || (rs->unanswered > 0 &&
	    !rs->rated && rs->filled >= UNRATED_MAX);
}

/* An APPEND of the request is unanswered: it holds it, as net.recv does. */
static int
append_due(const struct req *r)
{
	return r->refs > 1;
}

static void
aside_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	if (resp->word == WORD_OK)
		handle_unselected(net);
}

/*
 * mailutils loses what is appended to the mailbox that is selected, and UW does
 * not tell its UID.
 */
static void
append_aside(struct net *net, struct req *r)
{
	struct cmd	*c;

	if (r->aside || !net->strategy->aside ||
	    !(net->caps.bits & CAP_UNSELECT))
		return;
	r->aside = 1;
	handle_sent(net, NULL);
	c = cmd_new(net, K_SESSION, r, aside_tagged);
	cmd_puts(c, "UNSELECT");
	cmd_end(net, c);
}

static void
append_begin(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	struct cmd	*c;

	append_aside(net, rs->req);
	if (rs->unanswered == 0) {
		rs->t0 = net_now();
		rs->acked = 0;
		rs->filled = 0;
	}
	c = cmd_new(net, K_APPEND, rs->req, append_tagged);
	cmd_keep(&rs->cmd, c);
	c->append = xcalloc(1, sizeof(*c->append));
	TAILQ_INIT(&c->append->msgs);
	c->free = append_free;
	cmd_puts(c, "APPEND ");
	cmd_string(net, c, rs->req->mailbox);
}

/* The message whose head was read is not sent. */
static int
recv_drop(struct copyrecv *rs)
{
	rs->left = rs->len;
	rs->stage = RS_DROP;
	return 1;
}

/*
 * Begin to send the message whose head was read.  Returns 0 if that must wait.
 */
static int
recv_start(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	struct req	*r = rs->req;
	char		 why[96];
	int		 one, multi;

	if (r->handle->state == H_NO) {
		/* What is complete may be there; nothing is added to it. */
		append_end(net);
		req_worse(r, r->appended ? ST_NO : ST_UNSENT, RC_NONE,
		    "the mailbox could not be selected");
		return recv_drop(rs);
	}
	if (rs->full) {
		/* No room: it stays where it is, for another run. */
		req_worse(r, ST_NO, RC_OVERQUOTA, "over quota");
		return recv_drop(rs);
	}
	if (net->caps.appendlimit > 0 && rs->len > net->caps.appendlimit) {
		snprintf(why, sizeof(why), "larger than the server's "
		    "APPENDLIMIT of %llu octets",
		    (unsigned long long)net->caps.appendlimit);
		refused(net, r, rs->uid, rs->len, ST_UNSENT, RC_TOOBIG, 0, 0,
		    why);
		return recv_drop(rs);
	}
	one = r->recv.mode == RECV_ONE ||
	    (net->caps.appendlimit == 0 && rs->len > SMALL_MAX);
	/* An empty literal in a MULTIAPPEND would cancel it. */
	multi = !one && r->recv.mode == RECV_MULTI && rs->len > 0 &&
	    (net->caps.bits & CAP_MULTIAPPEND);
	if (rs->cmd != NULL && (!multi || rs->early ||
	    append_full(rs, rs->len) || rs->cmd->append->n >= BATCH_MSGS))
		append_end(net);
	if (rs->cmd == NULL) {
		if (!req_room(net) || recv_waits(rs) ||
		    ((one || rs->one) && append_due(r)))
			return 0;
		rs->one = one;
		append_begin(net);
	}
	append_head(net, one);
	if (!multi)
		rs->idle = 0;
	return 1;
}

/* ---- steps ---- */

/* The bridge broke inside a body: nothing more may reach the server. */
static void
recv_abort(struct net *net)
{
	struct copyrecv	*rs = &net->recv;

	if (rs->cmd != NULL)
		cmdq_abandon(net, rs->cmd);
	rs->dying = net_now() + DYING_MS;
}

/* No more records of this RECV. */
static void
recv_over(struct net *net, int complete, const char *why)
{
	struct copyrecv	*rs = &net->recv;
	struct req	*r = rs->req;

	append_end(net);
	if (!complete)
		req_worse(r, ST_NO, RC_NONE, why);
	r->over = 1;
	req_release(net, &rs->req);
}

/* Returns 1 if there may be more to do. */
static int
step_head(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	const uint8_t	*p;
	struct drop	*d;
	uint32_t	 transfer;
	size_t		 used;
	int		 drop, complete;

	if (net->bridge.in.len < 6)
		goto more;
	p = buf_ptr(&net->bridge.in);
	transfer = get(p + 1, 4);
	if (!head_ours(net, transfer, &drop))
		return 0;
	if (p[0] == BR_END) {
		complete = p[5];
		if (complete > 1)
			recv_bad("a malformed record");
		buf_drain(&net->bridge.in, 6);
		if (!drop) {
			recv_over(net, complete,
			    "the other side could not send all messages");
			return 0;
		}
		d = drop_find(rs, transfer);
		TAILQ_REMOVE(&rs->drops, d, entry);
		free(d);
		return 1;
	}
	if (p[0] != BR_MSG)
		recv_bad("an unknown record");
	if (head_message(net, &used)) {
		if (!drop)
			head_expected(rs);
		buf_drain(&net->bridge.in, used);
		rs->taken = 0;
		rs->left = rs->len;
		rs->stage = drop ? RS_DROP : RS_START;
		rs->idle = 0;
		return 1;
	}
more:
	if (net->bridge.eof && rs->req != NULL)
		recv_over(net, 0, "the other side ended");
	else if (rs->cmd != NULL && rs->idle == 0)
		rs->idle = net_now() + IDLE_MS;
	else if (rs->cmd != NULL && rs->idle <= net_now())
		append_end(net);
	return 0;
}

static int
step_body(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	size_t		 n = net->bridge.in.len;

	if (rs->left == 0) {
		rs->stage = RS_TRAILER;
		return 1;
	}
	if (n == 0 && net->bridge.eof) {
		recv_abort(net);
		return 0;
	}
	if (n == 0 || !cmd_clear(net, rs->cmd) || net->out.len >= QUEUE_HIGH)
		return 0;
	if (n > rs->left)
		n = rs->left;
	cmd_move(net, &net->bridge.in, n);
	rs->left -= n;
	return 1;
}

static int
step_drop(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	size_t		 n = net->bridge.in.len;

	if (n > rs->left)
		n = rs->left;
	buf_drain(&net->bridge.in, n);
	rs->left -= n;
	if (rs->left == 0) {
		rs->stage = RS_TRAILER;
		return 1;
	}
	/* No literal is open on behalf of this message. */
	if (net->bridge.eof && rs->req != NULL)
		recv_over(net, 0, "the other side ended");
	return 0;
}

static int
step_trailer(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	const uint8_t	*p;

	if (net->bridge.in.len < 9) {
		if (net->bridge.eof && rs->req != NULL) {
			if (rs->cmd != NULL)
				recv_abort(net);
			else
				recv_over(net, 0, "the other side ended");
		}
		return 0;
	}
	p = buf_ptr(&net->bridge.in);
	if (p[0] > 1)
		recv_bad("a malformed record");
	if (p[0] == 0 && rs->cmd != NULL) {
		recv_abort(net);
		return 0;
	}
	if (rs->taken)
		TAILQ_LAST(&rs->cmd->append->msgs, rmsgs)->key = get(p + 1, 8);
	buf_drain(&net->bridge.in, 9);
	rs->stage = RS_HEAD;
	rs->taken = 0;
	if (rs->cmd != NULL && (rs->early || rs->one ||
	    rs->req->recv.mode != RECV_MULTI ||
	    !(net->caps.bits & CAP_MULTIAPPEND) || rs->len == 0 ||
	    append_full(rs, 1)))
		append_end(net);
	return 1;
}

/* Take from the bridge what can be taken now. */
static void
recv_run(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	int		 go = 1;

	while (go && rs->dying == 0) {
		switch (rs->stage) {
		case RS_HEAD:
			go = step_head(net);
			break;
		case RS_START:
			go = recv_start(net);
			break;
		case RS_BODY:
			go = step_body(net);
			break;
		case RS_DROP:
			go = step_drop(net);
			break;
		case RS_TRAILER:
			go = step_trailer(net);
			break;
		}
	}
}

/* ---- interface ---- */

static void
last_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	/* What it told counts; a NO does not make the copies worse. */
	(void)net;
	(void)c;
	(void)resp;
}

static int
recv_emit(struct net *net, struct req *r)
{
	struct copyrecv	*rs = &net->recv;
	struct cmd	*c;

	if (rs->req == NULL && !r->over) {
		if (rs->limit == 0)
			rs->limit = BATCH_MIN;
		rs->req = req_hold(r);
		rs->full = 0;
	}
	if (!r->over)
		recv_run(net);
	if (!r->over)
		return 0;
	/*
	 * Cyrus tells the MODSEQ of what was appended to nobody who does not
	 * ask.
	 */
	if (r->appended && r->handle->state != H_NO &&
	    net->strategy->kind == STRATEGY_QRESYNC) {
		c = cmd_new(net, K_LAST, r, last_tagged);
		cmd_puts(c, "UID FETCH * (UID MODSEQ)");
		cmd_end(net, c);
	}
	return 1;
}

/*
 * Over before it began: what comes for it is dropped.  One that is under way
 * goes on, and takes no further message: see recv_start().
 */
static int
recv_unsent(struct net *net, struct req *r)
{
	struct drop	*d;

	if (net->recv.req == r || r->over)
		return 0;
	d = xcalloc(1, sizeof(*d));
	d->transfer = r->transfer;
	TAILQ_INSERT_TAIL(&net->recv.drops, d, entry);
	return 1;
}

static const struct req_ops recv_ops = {
	.emit = recv_emit,
	.unsent = recv_unsent
};

void
recv_on_expect(const struct msg *msg)
{
	const struct m_net_expect	*m = msg->rec;
	struct net			*net = msg->arg;
	struct copyrecv			*rs = &net->recv;

	if (!uidset_empty(&rs->expect) && rs->expects != m->transfer)
		fatalx("imapsync expects messages of two transfers");
	rs->expects = m->transfer;
	uidset_or(&rs->expect, &m->set);
}

void
recv_on_recv(const struct msg *msg)
{
	const struct m_net_recv	*m = msg->rec;
	struct net		*net = msg->arg;
	struct req		*r;

	if (!uidset_empty(&net->recv.expect) &&
	    net->recv.expects != m->transfer)
		fatalx("imapsync expects messages of another transfer");
	r = req_bound(msg, m->handle, &recv_ops, NULL);
	r->set = net->recv.expect;
	uidset_init(&net->recv.expect);
	r->recv = *m;
	r->recv.mailbox = r->mailbox = xstrdup(m->mailbox);
	r->recv.permflags = r->flags = xstrdup(m->permflags);
	r->transfer = m->transfer;
	req_enter(msg->arg, r);
}

void
recv_input(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	struct cmd	*c;

	if (rs->dying == 0)
		recv_run(net);
	if (rs->dying == 0)
		return;
	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (c->kind == K_APPEND && c != rs->cmd)
			break;
	if (c == NULL || rs->dying <= net_now())
		fatal_ex(EX_SYNC_TEMP, "the other side ended inside a message; "
		    "it was not appended at %s", net->setup.host);
}

int
recv_timeout(struct net *net)
{
	struct copyrecv	*rs = &net->recv;
	uint64_t	 now = net_now();
	uint64_t	 when = rs->dying != 0 ? rs->dying : rs->idle;

	if (when == 0)
		return -1;
	return when <= now ? 0 : (int)(when - now);
}

int
recv_expects(const struct net *net)
{
	const struct copyrecv	*rs = &net->recv;
	const struct req	*r = net->queue.next;

	return r != NULL && r->type == M_NET_RECV && !r->over &&
	    rs->stage != RS_START && net->cmdq.hold == NULL &&
	    !net->bridge.eof && (rs->cmd == NULL || !rs->cmd->waiting);
}

int
recv_inbody(const struct net *net)
{
	const struct copyrecv	*rs = &net->recv;

	return rs->cmd != NULL && !rs->cmd->waiting && rs->stage == RS_BODY;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * WATCH: wait for what the server tells by itself, after NOTIFY (RFC 5465) of
 * all mailboxes or in IDLE (RFC 2177) of one.
 *
 * The answers to commands only say how far it is (net.watch.stage); what is to
 * be done then is watch_tick()'s to say, which the loop calls each time round.
 * The WATCH is held (net.watch.req) until it is to end.
 */
#include "net.h"

/* A server may end an IDLE after 30 minutes (RFC 2177 section 3). */
#define RENEW_MS	(24 * 60 * 1000)
/* Many, and what forgets connections on the way, are less patient. */
#define NOOP_MS		(10 * 60 * 1000)
/* A server that ends an IDLE by itself before that is not asked again. */
#define IDLE_MIN_MS	(60 * 1000)
#define COALESCE_MS	50	/* from one CHANGED of a mailbox to the next */
#define LOGOUT_MS	2000	/* LOGOUT waits so long for IDLE's "+" */

#define MESSAGE_EVENTS	"MessageNew MessageExpunge FlagChange"
#define NAME_EVENTS	"MailboxName SubscriptionChange"

/* ---- beginning and end ---- */

/*
 * Until the last command of the WATCH is sent what the server says is the WATCH's,
 * and no other request goes; but LOGOUT does, behind which nothing matters.
 */
static void
watch_at(struct net *net, enum watch_stage stage)
{
	net->watch.stage = stage;
	net->queue.held = net->watch.logout == 0 && stage != W_OFF &&
	    stage != W_LEAVE && stage != W_RESTORE;
}

void
watch_logout(struct net *net)
{
	if (net->watch.req == NULL)
		return;
	net->watch.ending = 1;
	net->watch.logout = net_now() + LOGOUT_MS;
	net->queue.held = 0;
}

/* DONE follows, now or when the last command is answered. */
static void
watch_over(struct net *net)
{
	watch_at(net, W_OVER);
	req_release(net, &net->watch.req);
}

/*
 * A command of the WATCH was answered, and this is where it is now.  What comes
 * behind it may answer a request that was sent when the WATCH was to end.
 */
static void
watch_answered(struct net *net, enum watch_stage stage)
{
	struct watch	*w = &net->watch;

	if (w->stage == W_OVER)
		return;
	watch_at(net, stage);
	if (w->ending && (stage == W_FREE || stage == W_EXAMINED ||
	    stage == W_KEEP || stage == W_END))
		watch_over(net);
}

/* ---- what the engine is told ---- */

static void
changed_send(struct net *net)
{
	struct watch		*w = &net->watch;
	struct m_engine_changed	 m;

	m.mailbox = w->mailbox;
	chan_send(&net->chan, M_ENGINE_CHANGED, w->id, &m);
	w->told = net_now();
	w->late = 0;
}

/* The first is told at once, what follows soon after it together. */
static void
changed(struct net *net, const char *mailbox)
{
	struct watch	*w = &net->watch;

	if (w->mailbox != NULL && strcmp(w->mailbox, mailbox) == 0) {
		if (net_now() < w->told + COALESCE_MS) {
			w->late = 1;
			return;
		}
	} else {
		if (w->late)
			changed_send(net);
		free(w->mailbox);
		w->mailbox = xstrdup(mailbox);
	}
	changed_send(net);
}

/* What comes in front of the WATCH's DONE. */
static void
watch_finish(struct net *net, struct req *r)
{
	struct watch	*w = &net->watch;

	if (w->late)
		changed_send(net);
	free(w->mailbox);
	w->mailbox = NULL;
	/* Its numbers are not for this DONE. */
	if (r->handle != NULL)
		handle_release(net, r->handle);
	r->handle = NULL;
	watch_at(net, W_OFF);
	if (net->chan.state == CH_WATCH || net->chan.state == CH_UNWATCH)
		net->chan.state = CH_READY;
}

/*
 * What is told of the mailbox that is selected, not of one that is being
 * selected: 1 if it has changed.
 */
static int
is_news(const struct net *net, const struct resp *r)
{
	const struct handle	*h = net->handles.current;
	const struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	if (h == NULL || (c != NULL && c->kind == K_SELECT))
		return 0;
	switch (r->type) {
	case R_EXISTS:
		return r->num != h->exists;
	case R_EXPUNGE:
		return 1;
	case R_VANISHED:
		return !r->earlier;
	case R_FETCH:
		return r->fetch->has_flags;
	default:
		return 0;
	}
}

/*
 * From here on the server is as silent as after NOTIFY NONE, also of what is
 * selected (section 5.8): see notify_restore().
 */
static void
notify_overflow(struct net *net, const struct resp *r)
{
	struct watch	*w = &net->watch;

	if (w->stage != W_NOTIFY && w->stage != W_NOTIFIED)
		fatal_ex(EX_SYNC_TEMP, "%s does not tell any more what changes "
		    "(NOTIFICATIONOVERFLOW): another session is needed",
		    net->setup.host);
	w->overflow = 1;
	req_worse(w->req, ST_NO, r->rc, r->text[0] != '\0' ? r->text :
	    "NOTIFICATIONOVERFLOW");
}

int
watch_untagged(struct net *net, const struct resp *r)
{
	struct watch	*w = &net->watch;
	struct handle	*h = net->handles.current;

	if (w->stage < W_NOTIFY && h != NULL && h->watched && is_news(net, r))
		h->missed = 1;
	/* Of a NOTIFY that was never sent it can't say anything. */
	if (w->stage == W_OFF && (r->code != C_OVERFLOW || w->id == 0))
		return 0;
	switch (r->type) {
	case R_MBSTATUS:
		chan_send(&net->chan, M_ENGINE_MAILBOX, w->id, &r->mb);
		return 1;
	case R_LIST:
		/* In front of NOTIFY's OK: no access to it (section 3.1). */
		if (w->stage > W_NOTIFY)
			changed(net, r->name);
		return 1;
	case R_STATUS:
		if (r->code == C_OVERFLOW)
			notify_overflow(net, r);
		return 0;
	default:
		if (w->stage >= W_NOTIFY && is_news(net, r))
			changed(net, h->mailbox);
		return 0;
	}
}

void
watch_bad(struct net *net, const struct resp *r)
{
	const struct handle	*h = net->handles.current;

	if (net->watch.stage < W_NOTIFY || net->watch.stage == W_OVER)
		return;
	if (r->type == R_LIST || r->type == R_MBSTATUS)
		changed(net, "");
	else if (h != NULL && (r->type == R_EXISTS || r->type == R_FETCH ||
	    r->type == R_VANISHED))
		changed(net, h->mailbox);
}

/* ---- NOTIFY ---- */

static void
notify_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct watch	*w = &net->watch;

	if (resp->word == WORD_OK || w->overflow) {
		w->next = net_now() + NOOP_MS;
		watch_answered(net, W_NOTIFIED);
		return;
	}
	/* BADEVENT, which not every server says, is a NO (section 3.1). */
	if (resp->word == WORD_NO && resp->code != C_OVERFLOW && !w->reduced) {
		w->reduced = 1;
		watch_answered(net, W_FREE);
		return;
	}
	req_worse(c->req, req_status(resp), resp->rc, resp->text);
	watch_answered(net, W_END);
}

static void
notify_set(struct net *net)
{
	struct watch	*w = &net->watch;
	struct cmd	*c;

	watch_at(net, W_NOTIFY);
	c = cmd_new(net, K_SESSION, w->req, notify_tagged);
	cmd_puts(c, "NOTIFY SET STATUS ");
	/* The others' events do not cover what is selected (section 3.1). */
	if (net->handles.current != NULL)
		cmd_puts(c, "(selected (" MESSAGE_EVENTS ")) ");
	cmd_puts(c, w->reduced ? "(personal (" MESSAGE_EVENTS "))" :
	    "(personal (" MESSAGE_EVENTS " " NAME_EVENTS "))");
	cmd_end(net, c);
}

static void
restore_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	char	 words[256];

	(void)c;
	if (resp->word != WORD_OK)
		fatal_ex(EX_SYNC_TEMP, "%s does not end its notifications: %s; "
		    "leave --notify out", net->setup.host,
		    net_words(words, sizeof(words), resp->text));
	watch_answered(net, W_END);
}

/*
 * As it was before the first NOTIFY.  Not NOTIFY NONE: after that nothing is
 * told of the mailbox that is selected, no EXISTS, no VANISHED, while the
 * HIGHESTMODSEQ of tagged answers goes on, past changes of others (section 3.1;
 * Dovecot does so).
 */
static void
notify_restore(struct net *net)
{
	struct cmd	*c;

	watch_at(net, W_RESTORE);
	c = cmd_new(net, K_SESSION, net->watch.req, restore_tagged);
	cmd_puts(c, "NOTIFY SET (selected-delayed (" MESSAGE_EVENTS "))");
	cmd_end(net, c);
}

/* ---- IDLE ---- */

static void
idle_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct watch		*w = &net->watch;
	enum watch_stage	 stage = W_EXAMINED;
	char			 words[256];

	(void)c;
	if (w->stage == W_ASKED && resp->word != WORD_OK && !w->warned &&
	    !w->failed) {
		w->warned = 1;
		log_warnx("%s refuses IDLE: %s", net->setup.host,
		    net_words(words, sizeof(words), resp->text));
	}
	w->next = net_now() + NOOP_MS;
	if (w->stage == W_ASKED ||
	    (w->stage == W_IDLE && net_now() < w->began + IDLE_MIN_MS))
		stage = W_KEEP;
	watch_answered(net, w->failed ? W_END : stage);
}

static void
idle_cont(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct watch	*w = &net->watch;

	(void)c;
	(void)resp;
	if (w->stage != W_ASKED)
		return;
	watch_at(net, W_IDLE);
	w->began = net_now();
	w->next = w->began + RENEW_MS;
}

static void
idle_begin(struct net *net)
{
	struct cmd	*c;

	watch_at(net, W_ASKED);
	c = cmd_new(net, K_SESSION, net->watch.req, idle_tagged);
	c->cont = idle_cont;
	c->hold = 1;
	cmd_puts(c, "IDLE");
	cmd_end(net, c);
}

/* Commands may follow in the same packet. */
static void
idle_leave(struct net *net)
{
	watch_at(net, W_LEAVE);
	log_debug("C: DONE");
	cmd_octets(net, "DONE\r\n", 6);
	net->cmdq.hold = NULL;
}

/* ---- what is selected ---- */

static void
unselect_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	if (resp->word == WORD_OK)
		handle_unselected(net);
	watch_answered(net, W_FREE);
}

/* 1: it is under way. */
static int
unselect(struct net *net)
{
	if (!select_leave(net, net->watch.req, unselect_tagged))
		return 0;
	watch_at(net, W_UNSELECT);
	return 1;
}

static void
examine_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct m_engine_mailbox	 m;
	const struct handle	*h = c->handle;

	if (net->watch.leaving) {
		watch_answered(net, resp->word == WORD_OK ? W_EXAMINED :
		    W_FREE);
		return;
	}
	if (resp->word != WORD_OK) {
		/* The IDLE behind it waits for nothing: it is to end. */
		req_worse(c->req, req_status(resp), resp->rc, resp->text);
		net->watch.failed = 1;
		return;
	}
	memset(&m, 0, sizeof(m));
	m.name = h->mailbox;
	m.has_status = 1;
	m.uidvalidity = h->uidvalidity;
	m.uidnext = h->uidnext;
	m.messages = h->exists;
	m.modseq = h->selmodseq;
	chan_send(&net->chan, M_ENGINE_MAILBOX, c->req->id, &m);
}

static void
examine(struct net *net)
{
	struct m_net_open	 open;
	struct req		*r = net->watch.req;

	watch_at(net, W_EXAMINE);
	memset(&open, 0, sizeof(open));
	open.what = OPEN_EXAMINE;
	open.mailbox = r->mailbox;
	r->handle = handle_new(net, 0, &open);
	r->handle->watched = !net->watch.leaving;
	handle_hold(r->handle);
	select_box(net, r, r->handle, examine_tagged);
	handle_mute(net);		/* the engine can't name it */
}

/* ---- the course of it ---- */

static void
noop_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	(void)resp;
	watch_answered(net, net->watch.stage);
}

static void
keep_alive(struct net *net, uint64_t now)
{
	struct cmd	*c;

	net->watch.next = now + NOOP_MS;
	c = cmd_new(net, K_SESSION, net->watch.req, noop_tagged);
	cmd_puts(c, "NOOP");
	cmd_end(net, c);
}

/*
 * The connection is only kept, and what is selected is asked for by STATUS the
 * next time.  Without UNSELECT it has to be read-only before it may be closed.
 * 1: that is under way.
 */
static int
keep_unselected(struct net *net)
{
	struct watch	*w = &net->watch;

	if (net->handles.current == NULL)
		return 0;
	if (unselect(net))
		return 1;
	w->leaving = 1;
	free(w->req->mailbox);
	w->req->mailbox = xstrdup(net->handles.current->mailbox);
	examine(net);
	return 1;
}

/*
 * IDLE, in one packet with the EXAMINE.  The last WATCH may have left that mailbox
 * selected: then none is needed, and what was told of it in between is news.
 */
static void
watch_box(struct net *net)
{
	struct handle	*h = net->handles.current;

	if (h == NULL || !h->watched || h->state != H_OK ||
	    strcmp(h->mailbox, net->watch.req->mailbox) != 0)
		examine(net);
	else if (h->missed) {
		h->missed = 0;
		changed(net, h->mailbox);
	}
	idle_begin(net);
}

static void
watch_begin(struct net *net, uint64_t now)
{
	struct watch	*w = &net->watch;
	uint32_t	 caps = net->caps.bits;
	int		 notify = w->req->notify && (caps & CAP_NOTIFY);

	if (!notify && w->req->mailbox[0] != '\0' && (caps & CAP_IDLE)) {
		watch_box(net);
		return;
	}
	if (w->stage == W_BEGIN && (caps & CAP_UNSELECT) && unselect(net))
		return;
	if (notify)
		notify_set(net);
	else if (w->stage != W_BEGIN || !keep_unselected(net)) {
		watch_at(net, W_KEEP);
		w->next = now + NOOP_MS;
	}
}

/* Nothing is under way but what may go on for long. */
static void
watch_step(struct net *net, uint64_t now)
{
	struct watch	*w = &net->watch;

	switch (w->stage) {
	case W_BEGIN:
	case W_FREE:
		if (w->ending)
			watch_over(net);
		else
			watch_begin(net, now);
		break;
	case W_EXAMINED:
		if (w->ending)
			watch_over(net);
		else if (!w->leaving)
			idle_begin(net);
		else if (!unselect(net))
			watch_at(net, W_FREE);
		break;
	case W_IDLE:
		if (w->ending || w->failed || now >= w->next)
			idle_leave(net);
		break;
	case W_NOTIFIED:
		if (w->logout != 0)
			watch_over(net);
		else if (w->ending || w->overflow)
			notify_restore(net);
		else if (now >= w->next)
			keep_alive(net, now);
		break;
	case W_KEEP:
		if (w->ending)
			watch_over(net);
		else if (now >= w->next)
			keep_alive(net, now);
		break;
	case W_END:
		watch_over(net);
		break;
	default:
		break;
	}
}

void
watch_tick(struct net *net)
{
	struct watch	*w = &net->watch;
	uint64_t	 now = net_now();
	size_t		 before = net->out.len;

	if (w->stage == W_OFF)
		return;
	/* Nobody waits for an answer whose want would tell. */
	if (net->bye != NULL)
		lost_server(net, "");
	if (w->late && now >= w->told + COALESCE_MS)
		changed_send(net);
	if (w->stage == W_ASKED && w->logout != 0 && now >= w->logout)
		net_end(net);
	watch_step(net, now);
	/* There was nothing to wait for until now. */
	if (net->out.len > before)
		net->alive = now;
}

int
watch_timeout(struct net *net)
{
	struct watch	*w = &net->watch;
	uint64_t	 now = net_now(), end = UINT64_MAX;

	if (w->stage == W_IDLE || w->stage == W_NOTIFIED || w->stage == W_KEEP)
		end = w->next;
	if (w->stage == W_ASKED && w->logout != 0)
		end = w->logout;
	if (w->late && w->told + COALESCE_MS < end)
		end = w->told + COALESCE_MS;
	if (end == UINT64_MAX)
		return -1;
	return end <= now ? 0 : (int)(end - now);
}

int
watch_idle(const struct net *net)
{
	return net->watch.stage == W_IDLE;
}

int
watch_quiet(const struct net *net)
{
	const struct watch	*w = &net->watch;

	if (TAILQ_FIRST(&net->queue.reqs) != w->req || w->req == NULL ||
	    TAILQ_NEXT(w->req, entry) != NULL)
		return 0;
	if (w->stage == W_IDLE)
		return 1;
	return TAILQ_EMPTY(&net->cmdq.answers) &&
	    (w->stage == W_NOTIFIED || w->stage == W_KEEP);
}

/* ---- requests ---- */

/*
 * Not before all that was asked is answered: from then on what the server says
 * of the mailbox that is selected belongs to no request.
 */
static int
watch_emit(struct net *net, struct req *r)
{
	struct watch	*w = &net->watch;

	(void)r;	/* it is w->req */
	if (w->ending) {
		req_release(net, &w->req);
		return 1;
	}
	if (!TAILQ_EMPTY(&net->cmdq.answers))
		return 0;
	handle_mute(net);
	watch_at(net, W_BEGIN);
	watch_tick(net);
	return 1;
}

static const struct req_ops watch_ops = {
	.emit = watch_emit,
	.finish = watch_finish
};

void
watch_on_watch(const struct msg *msg)
{
	const struct m_net_watch	*m = msg->rec;
	struct net			*net = msg->arg;
	struct watch			*w = &net->watch;
	struct req			*r;

	r = req_new(msg, &watch_ops);
	r->notify = m->notify;
	r->mailbox = xstrdup(m->mailbox);
	net->chan.state = CH_WATCH;
	w->req = req_hold(r);
	w->id = r->id;
	watch_at(net, W_OFF);
	w->ending = w->overflow = w->leaving = w->failed = 0;
	req_queue(net, r);
}

void
watch_on_unwatch(const struct msg *msg)
{
	struct net	*net = msg->arg;

	/* Without a WATCH: it had ended when this was sent. */
	if (net->watch.req == NULL)
		return;
	net->watch.ending = 1;
	if (net->chan.state == CH_WATCH)
		net->chan.state = CH_UNWATCH;
}

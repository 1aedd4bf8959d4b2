/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The engine's loop: channels, lock, phases in order.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "engine.h"
#include "roles.h"
#include "sandbox.h"
#include "say.h"

#define GRACE_MS	10000	/* for answers under way once it has to end */

static struct engine	 engine;

RB_GENERATE(reqs, req, entry, req_cmp)

int
req_cmp(struct req *a, struct req *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

int64_t
engine_now(void)
{
	struct timespec	 ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		fatal("clock_gettime");
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *
engine_chan(int chan)
{
	return chan == STORE ? "store" : side_name[chan];
}

uint32_t
engine_req(struct engine *e, int chan, struct mbox *mb, struct sess *sess,
    req_fn done, void *arg, int num)
{
	struct req	*r;

	r = xcalloc(1, sizeof(*r));
	r->id = ++e->next_id;
	r->chan = chan;
	r->mb = mb;
	r->sess = sess;
	r->done = done;
	r->arg = arg;
	r->num = num;
	RB_INSERT(reqs, &e->reqs, r);
	e->pending[chan]++;
	return r->id;
}

uint32_t
engine_store_req(struct engine *e, struct mbox *mb, req_fn done)
{
	return engine_req(e, STORE, mb, NULL, done, NULL, 0);
}

void
engine_send(struct engine *e, int chan, uint32_t type, uint32_t id,
    const void *rec)
{
	if (e->open[chan])
		chan_send(&e->ch[chan], type, id, rec);
}

struct sess *
engine_open(struct engine *e, struct mbox *mb, int side, enum sess_kind kind,
    int what, uint64_t modseq, req_fn done)
{
	struct mside		*ms = &mb->s[side];
	struct m_net_open	 m;
	struct sess		*s;

	s = xcalloc(1, sizeof(*s));
	s->mb = mb;
	s->side = side;
	s->kind = kind;
	s->full = (what & OPEN_FULL) != 0;
	s->n = ms->n;
	TAILQ_INSERT_TAIL(&e->sesses, s, entry);
	s->handle = engine_req(e, side, mb, s, done, NULL, 0);

	memset(&m, 0, sizeof(m));
	m.what = what;
	m.n = ms->n;
	/* Changes to what came since, ours included, are to be told as well. */
	if (kind == SESS_EXEC && m.n != 0) {
		if (ms->disc->uidnext != 0 && ms->disc->uidnext - 1 > m.n)
			m.n = ms->disc->uidnext - 1;
		if (!uidset_empty(&ms->appended) &&
		    uidset_max(&ms->appended) > m.n)
			m.n = uidset_max(&ms->appended);
	}
	m.uidnext = ms->water.uidnext;
	m.mailbox = ms->name;
	m.modseq = modseq;
	if (modseq != 0)
		m.uidvalidity = ms->water.uidvalidity != 0 ?
		    ms->water.uidvalidity : ms->disc->uidvalidity;
	engine_send(e, side, M_NET_OPEN, s->handle, &m);
	return s;
}

void
engine_end(struct engine *e, int status)
{
	if (e->fatal == 0)
		e->fatal = status;
	if (!e->stop) {
		e->stop = 1;
		e->stop_at = engine_now() + GRACE_MS;
	}
}

/* ---- the loop ---- */

static void
channel_eof(struct engine *e, int chan)
{
	e->open[chan] = 0;
	e->pending[chan] = 0;
	close(e->ch[chan].ib.fd);
	e->ch[chan].ib.fd = -1;
	if (e->exiting || e->fatal != 0 || e->stop)
		return;
	log_warnx("the %s%s ended unexpectedly", engine_chan(chan),
	    chan == STORE ? "" : " network worker");
	engine_end(e, EX_SYNC_ERROR);
	/* A process that died is no lost server: nothing is awaited. */
	e->stop_at = engine_now();
}

static void
channel_read(struct engine *e, int chan)
{
	struct source	 src = { e, chan };
	int		 n;

	if ((n = chan_read(&e->ch[chan])) == -1 && errno != ECONNRESET)
		fatal("channel of the %s", engine_chan(chan));
	if (chan_dispatch(&e->ch[chan], chan == STORE ? events_store :
	    events_net, &src) == -1)
		fatalx("%s", e->ch[chan].error);
	if (n != 1)
		channel_eof(e, chan);
}

static void
control_read(struct engine *e)
{
	struct source	 src = { e, -1 };

	/* EOF: the supervisor is gone; the lifeline says so as well. */
	if (chan_read(&e->control) != 1)
		_exit(EX_SYNC_ERROR);
	if (chan_dispatch(&e->control, events_control, &src) == -1)
		fatalx("%s", e->control.error);
}

static void
poll_once(struct engine *e, int timeout)
{
	struct pollfd	 pfd[CHANNELS + 2];
	int		 i, throttled;

	memset(pfd, 0, sizeof(pfd));
	throttled = e->open[STORE] && chan_pending(&e->ch[STORE]) > QUEUE_HIGH;
	for (i = 0; i < CHANNELS; i++) {
		pfd[i].fd = -1;
		if (!e->open[i])
			continue;
		pfd[i].fd = e->ch[i].ib.fd;
		if (i == STORE || !throttled)
			pfd[i].events = POLLIN;
		if (chan_pending(&e->ch[i]) > 0)
			pfd[i].events |= POLLOUT;
		if (pfd[i].events == 0)
			pfd[i].fd = -1;
	}
	pfd[CHANNELS].fd = e->control.ib.fd;
	pfd[CHANNELS].events = POLLIN;
	pfd[CHANNELS + 1].fd = FD_LIFELINE;
	pfd[CHANNELS + 1].events = POLLIN;

	if (poll(pfd, nitems(pfd), timeout) == -1) {
		if (errno == EINTR)
			return;
		fatal("poll");
	}
	if (pfd[CHANNELS + 1].revents != 0)
		_exit(EX_SYNC_ERROR);
	if (pfd[CHANNELS].revents != 0)
		control_read(e);
	/* The store first: where it failed at its start, that is the reason. */
	for (i = CHANNELS - 1; i >= 0; i--) {
		/* A peer that is gone is noticed when reading, text first. */
		if (e->open[i] && (pfd[i].revents & POLLOUT))
			(void)chan_write(&e->ch[i]);
		if (e->open[i] && (pfd[i].revents & (POLLIN | POLLHUP |
		    POLLERR)))
			channel_read(e, i);
	}
}

static uint32_t
engine_pending(const struct engine *e)
{
	uint32_t	 n = 0;
	int		 i;

	for (i = 0; i < CHANNELS; i++)
		if (e->open[i])
			n += e->pending[i];
	return n;
}

int
engine_wait(struct engine *e, int64_t ms)
{
	int64_t	 now, until = ms == -1 ? INT64_MAX : engine_now() + ms;
	int64_t	 left;

	for (;;) {
		if (ms == -1 && engine_pending(e) == 0)
			break;
		now = engine_now();
		if (now >= until)
			break;
		if (e->stop && (now >= e->stop_at || !e->open[STORE]))
			break;
		if (e->stop && (engine_pending(e) == 0 || e->watching))
			break;
		if (e->watching && e->changed && ms != -1)
			break;
		left = e->watching ? 60000 : 1000;
		if (until - now < left)
			left = until - now;
		if (e->stop && e->stop_at - now < left)
			left = e->stop_at - now;
		poll_once(e, (int)left);
		progress_tick(e);
	}
	return e->stop ? -1 : 0;
}

int
engine_commit(struct engine *e)
{
	struct m_store_commit	 m = { 0 };
	uint32_t		 id;

	id = engine_req(e, STORE, NULL, NULL, NULL, NULL, 0);
	engine_send(e, STORE, M_STORE_COMMIT, id, &m);
	e->uncommitted = 0;
	/* The servers may go on meanwhile: wait for the store alone. */
	while (e->open[STORE] && e->pending[STORE] > 0)
		poll_once(e, 1000);
	return e->stop || !e->open[STORE] ? -1 : 0;
}

/* ---- start and end ---- */

static void
engine_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	if (status >= 0)
		progress_end(&engine, status);
	progress_log(level, NULL, mailbox, text);
}

static void
engine_start(struct engine *e)
{
	static const int	 fds[CHANNELS] = { FD_ENGINE_LOCAL,
				    FD_ENGINE_REMOTE, FD_ENGINE_STORE };
	struct pollfd		 pfd;
	int			 i;

	chan_init(&e->control, FD_CHANNEL, "the supervisor");
	e->control.state = EVENTS_START;
	while (!e->go) {
		pfd.fd = FD_CHANNEL;
		pfd.events = POLLIN;
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			fatal("poll");
		control_read(e);
	}
	e->control.state = EVENTS_RUN;
	log_init(engine_sink, e->cfg.debug);
	progress_init(e);
	for (i = 0; i < CHANNELS; i++) {
		chan_init(&e->ch[i], fds[i], i == STORE ? "the store" :
		    i == LOCAL ? "the local network worker" :
		    "the remote network worker");
		e->ch[i].state = EVENTS_ALL;
		e->open[i] = 1;
		chan_nofds(&e->ch[i]);
	}
	chan_nofds(&e->control);
	if (e->cfg.syslog) {
		say_open_syslog();
		sandbox_engine_syslog();
	} else
		sandbox_engine();
	log_debug("engine: %s", sandbox_describe());
}

/*
 * End the workers: they are told, and then each channel is read to its EOF,
 * since what a worker says last is what the user must see.
 */
static void
engine_finish(struct engine *e)
{
	struct m_net_logout	 out = { 0 };
	struct m_store_close	 cl = { 0 };
	int64_t			 until = engine_now() + GRACE_MS;
	int			 i, side;

	e->exiting = 1;
	for (side = 0; side < SIDES; side++) {
		/* What it has not done by now it must not go on with. */
		if (e->open[side] && e->pending[side] > 0 &&
		    !e->lost[side] && !e->watching)
			channel_eof(e, side);
		else
			engine_send(e, side, M_NET_LOGOUT, 0, &out);
	}
	engine_send(e, STORE, M_STORE_CLOSE, 0, &cl);
	for (;;) {
		int	 n = 0;

		for (i = 0; i < CHANNELS; i++)
			n += e->open[i];
		if (n == 0 || engine_now() >= until)
			break;
		poll_once(e, 200);
	}
}

int
engine_status(const struct engine *e)
{
	if (e->fatal != 0)
		return e->fatal;
	return e->partial ? EX_SYNC_PARTIAL : EX_SYNC_OK;
}

static int
engine_run(struct engine *e)
{
	if (list_run(e) == -1)
		return -1;
	if (e->cfg.command != CMD_SYNC && e->cfg.command != CMD_REPAIR)
		return cmd_run(e);
	if (disc_run(e) == -1 || verify_run(e) == -1)
		return -1;
	if (e->cfg.dryrun) {
		progress_plan(e);
		return 0;
	}
	return exec_run(e);
}

/* What a broken or interrupted run has achieved is kept. */
static void
engine_salvage(struct engine *e)
{
	int	 side;

	/* If both are, one ended because of the other, not of a message. */
	for (side = 0; side < SIDES; side++)
		if (e->lost[side] && !e->lost[OTHER(side)])
			exec_lost(e, side);
	if (!e->open[STORE] || e->cfg.dryrun)
		return;
	e->stop_at = engine_now() + GRACE_MS;
	(void)engine_commit(e);
}

__dead void
engine_main(void)
{
	struct engine	*e = &engine;
	int64_t		 began;

	sandbox_early();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setproctitle("engine");
	log_init(engine_sink, 0);
	RB_INIT(&e->reqs);
	RB_INIT(&e->mboxes);
	TAILQ_INIT(&e->sesses);
	e->cfg.prefix = "";
	e->next_mailbox = 1;
	e->copying = -1;
	engine_start(e);

	do {
		if (e->passes > 0)
			engine_reset(e);
		progress_pass();
		began = engine_now();
		if (engine_run(e) == -1)
			engine_salvage(e);
		e->copying = -1;
		progress_report(e, began);
		e->passes++;
	} while (e->cfg.watch && !e->stop && watch_wait(e) == 0);
	engine_finish(e);
	_exit(engine_status(e));
}

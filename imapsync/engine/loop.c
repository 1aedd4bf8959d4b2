/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The engine's loop: the channels, and waiting for what was asked.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "engine.h"
#include "notify.h"
#include "sandbox.h"
#include "say.h"

#define WATCH_MS	86400000	/* one poll(2) at most, watching */
#define LINE_SECONDS	300	/* for what lies in the bridge */
#define BUSY_BEATS	30	/* times alive_ms(): see not_theirs() */
#define LOST_MS		300	/* a signal to a group reaches us all */

/* ---- channels ---- */

/* Not a warning, of which there may have been too many. */
static void
worker_said(struct engine *e, int chan, const char *what)
{
	char	 text[128];

	snprintf(text, sizeof(text), "the %s%s %s", chan == STORE ? "store" :
	    side_name[chan], chan == STORE ? "" : " network worker", what);
	ledger_fault(e, FAULT_CRASHED, chan == STORE ? -1 : chan, text);
	progress_log(e, LOG_LV_ERROR, NULL, NULL, text);
}

static void
channel_eof(struct engine *e, int chan)
{
	ask_closed(e, chan);
	if (ended(e))
		return;
	worker_said(e, chan, "ended unexpectedly");
	/* A process that died is no lost server: nothing is awaited. */
	end_begin(e, END_FAILED, EX_SYNC_ERROR);
	end_hurry(e, 0);
}

static void
channel_read(struct engine *e, int chan)
{
	struct source	 src = { e, chan };
	struct chan	*c = &e->ask.ch[chan];
	int		 n;

	if ((n = chan_read(c)) == -1 && errno != ECONNRESET)
		fatal("channel of the %s", c->peer);
	if (chan != STORE)
		e->ask.told[chan] = end_now();
	if (chan_dispatch(c, chan == STORE ? events_store : events_net,
	    &src) == -1)
		fatalx("%s", c->error);
	if (n != 1)
		channel_eof(e, chan);
}

static void
control_read(struct engine *e)
{
	struct source	 src = { e, -1 };

	/* EOF: the supervisor is gone; the lifeline says so as well. */
	if (chan_read(&e->control) != 1) {
		progress_clear(e);
		_exit(EX_SYNC_CUT);
	}
	if (chan_dispatch(&e->control, events_control, &src) == -1)
		fatalx("%s", e->control.error);
}

/*
 * Between our own processes there is a limit as well.  A worker that owes an
 * answer has something to say every alive_ms(): that it is alive, if nothing
 * else.  That is not enough where its server would have had to answer by now, but
 * a body may take as long as the line needs; then the one at its other end says
 * whether octets come.
 */
static const char *
worker_fault(const struct engine *e, int side, int64_t now)
{
	const struct asks	*l = &e->ask;
	uint32_t		 timeout = e->want.cfg.timeout[side];
	int64_t			 most = 3 * alive_ms((int64_t)timeout);
	int64_t			 all = most + (int64_t)timeout * 1000;
	int64_t			 line = all + 1000 * (timeout < 20 ?
				    (int64_t)timeout * 15 : LINE_SECONDS);

	int64_t			 beat =
	    alive_ms((int64_t)e->want.cfg.timeout[OTHER(side)]);

	if (now - l->told[side] > most)
		return "says nothing any more";
	if (l->bodies[side] == 0 && now - l->moved[side] > all)
		return "does not answer any more";
	if (l->idle[OTHER(side)] * beat > all)
		return "does not send the messages that the other one waits for";
	/* The last ones are in the socket, and go at the server's speed. */
	if (l->full[OTHER(side)] * beat > line ||
	    (l->bodies[side] > 0 && l->bodies[OTHER(side)] == 0 &&
	    l->idle[side] == 0 && now - l->moved[side] > line))
		return "does not take the messages that the other one sends";
	return NULL;
}

static void
check_workers(struct engine *e)
{
	struct asks	*l = &e->ask;
	int64_t		 now = end_now();
	const char	*fault;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		if (!l->open[side] || e->watch.on || (l->pending[side] == 0 &&
		    l->idle[OTHER(side)] == 0 && l->full[OTHER(side)] == 0))
			ask_time(e, side);
		if ((fault = worker_fault(e, side, now)) == NULL)
			continue;
		worker_said(e, side, fault);
		if (l->open[side])
			ask_closed(e, side);
		l->idle[OTHER(side)] = l->full[OTHER(side)] = 0;
		end_begin(e, END_FAILED, EX_SYNC_ERROR);
		end_hurry(e, 0);
	}
}

/* Whatever it says: that it can be read says it. */
static void
clock_read(struct engine *e)
{
	char	 text[8];

	if (read(e->watch.clock, text, sizeof(text)) == 0)
		e->watch.clock = -1;
	e->watch.jumped = 1;
}

/*
 * While this process was at work, or did not get to run, it has heard nobody: that
 * time is not theirs.  Who keeps it at work with what is no answer gains no more
 * than BUSY_BEATS by that.
 */
static void
not_theirs(struct engine *e, int64_t busy)
{
	struct asks	*l = &e->ask;
	int64_t		 now = end_now(), most;
	int		 i;

	for (i = 0; i < SIDES; i++) {
		most = BUSY_BEATS * alive_ms((int64_t)e->want.cfg.timeout[i]);
		l->told[i] = l->told[i] + busy < now ? l->told[i] + busy : now;
		if (l->spared[i] + busy > most)
			continue;
		l->spared[i] += busy;
		l->moved[i] = l->moved[i] + busy < now ? l->moved[i] + busy :
		    now;
	}
}

/* poll(2), and whose time that was. */
static int
wait_for(struct engine *e, struct pollfd *pfd, nfds_t npfd, int timeout)
{
	int64_t	 began, late;
	int	 n, wait;

	notify_alive();
	began = end_now();
	not_theirs(e, began - e->ask.looked);
	wait = (int)notify_due(timeout);
	n = poll(pfd, npfd, wait);
	e->ask.looked = end_now();
	late = e->ask.looked - began - wait;
	if (wait >= 0 && late > 0)
		not_theirs(e, late);
	return n;
}

static void
poll_once(struct engine *e, int timeout)
{
	struct asks	*l = &e->ask;
	struct pollfd	 pfd[CHANNELS + 3];
	int		 i, throttled;

	memset(pfd, 0, sizeof(pfd));
	throttled = l->open[STORE] && chan_pending(&l->ch[STORE]) > QUEUE_HIGH;
	/* Who is not read can't be heard. */
	if (throttled)
		for (i = 0; i < SIDES; i++)
			ask_time(e, i);
	for (i = 0; i < CHANNELS; i++) {
		pfd[i].fd = -1;
		if (!l->open[i])
			continue;
		pfd[i].fd = l->ch[i].ib.fd;
		if (i == STORE || !throttled)
			pfd[i].events = POLLIN;
		if (chan_pending(&l->ch[i]) > 0)
			pfd[i].events |= POLLOUT;
		if (pfd[i].events == 0)
			pfd[i].fd = -1;
	}
	pfd[CHANNELS].fd = e->control.ib.fd;
	pfd[CHANNELS].events = POLLIN;
	pfd[CHANNELS + 1].fd = FD_LIFELINE;
	pfd[CHANNELS + 1].events = POLLIN;
	pfd[CHANNELS + 2].fd = e->watch.clock > 0 ? e->watch.clock : -1;
	pfd[CHANNELS + 2].events = POLLIN;

	if (wait_for(e, pfd, nitems(pfd), timeout) == -1) {
		if (errno == EINTR)
			return;
		fatal("poll");
	}
	if (pfd[CHANNELS + 1].revents != 0) {
		progress_clear(e);
		_exit(EX_SYNC_CUT);
	}
	if (pfd[CHANNELS].revents != 0)
		control_read(e);
	if (pfd[CHANNELS + 2].revents != 0)
		clock_read(e);
	/* The store first: where it failed at its start, that is the reason. */
	for (i = CHANNELS - 1; i >= 0; i--) {
		/* A peer that is gone is noticed when reading, text first. */
		if (l->open[i] && (pfd[i].revents & POLLOUT))
			(void)chan_write(&l->ch[i]);
		if (l->open[i] && (pfd[i].revents & (POLLIN | POLLHUP |
		    POLLERR)))
			channel_read(e, i);
	}
}

/* ---- waiting ---- */

static uint32_t
unanswered(const struct engine *e)
{
	uint32_t	 n = 0;
	int		 i;

	for (i = 0; i < CHANNELS; i++)
		if (e->ask.open[i])
			n += e->ask.pending[i];
	return n;
}

int
loop_wait(struct engine *e, int64_t ms)
{
	int64_t	 now, until = ms == -1 ? INT64_MAX : end_now() + ms;
	int64_t	 left;

	for (;;) {
		if (ms == -1 && unanswered(e) == 0)
			break;
		now = end_now();
		if (now >= until)
			break;
		if (ended(e) && (now >= e->end.at ||
		    !ask_isopen(e, STORE)))
			break;
		if (ended(e) && (unanswered(e) == 0 || e->watch.on))
			break;
		if (e->watch.on && ms != -1 && (e->watch.changed ||
		    e->watch.jumped || now >= e->watch.wake))
			break;
		left = e->watch.on ? WATCH_MS : 1000;
		if (e->watch.on && ms != -1 && e->watch.wake - now < left)
			left = e->watch.wake - now;
		if (until - now < left)
			left = until - now;
		if (ended(e) && e->end.at - now < left)
			left = e->end.at - now;
		poll_once(e, (int)left);
		check_workers(e);
		progress_tick(e);
	}
	return ended(e) ? -1 : 0;
}

int
loop_store(struct engine *e)
{
	while (ask_isopen(e, STORE) && e->ask.pending[STORE] > 0)
		poll_once(e, 1000);
	return ended(e) || !ask_isopen(e, STORE) ? -1 : 0;
}

int
loop_commit(struct engine *e)
{
	ask_commit(e);
	return loop_store(e);
}

void
loop_lost(struct engine *e)
{
	int64_t	 until = end_now() + LOST_MS;
	int	 side;

	if (e->end.words[LOCAL] == NULL && e->end.words[REMOTE] == NULL)
		return;
	while (!e->end.asked && end_now() < until)
		poll_once(e, LOST_MS / 10);
	for (side = 0; side < SIDES; side++) {
		if (!e->end.asked && e->end.words[side] != NULL)
			progress_log(e, LOG_LV_ERROR, side_name[side], NULL,
			    e->end.words[side]);
		free(e->end.words[side]);
		e->end.words[side] = NULL;
	}
}

/* ---- start and end ---- */

void
loop_setup(struct engine *e)
{
	struct pollfd	 pfd;

	chan_init(&e->control, FD_CHANNEL, "the supervisor");
	e->control.state = EVENTS_START;
	while (!e->want.go) {
		pfd.fd = FD_CHANNEL;
		pfd.events = POLLIN;
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			fatal("poll");
		control_read(e);
	}
	e->control.state = EVENTS_RUN;
}

void
loop_start(struct engine *e)
{
	static const struct {
		int		 fd;
		const char	*peer;
	} peers[CHANNELS] = {
		[LOCAL] = { FD_ENGINE_LOCAL, "the local network worker" },
		[REMOTE] = { FD_ENGINE_REMOTE, "the remote network worker" },
		[STORE] = { FD_ENGINE_STORE, "the store" }
	};
	int	 i;

	for (i = 0; i < CHANNELS; i++) {
		chan_init(&e->ask.ch[i], peers[i].fd, peers[i].peer);
		e->ask.open[i] = 1;
		chan_nofds(&e->ask.ch[i]);
		if (e->want.cfg.command == CMD_PROBE && (i == STORE ||
		    !(e->want.cfg.target & (i == LOCAL ? TARGET_LOCAL :
		    TARGET_REMOTE))))
			ask_closed(e, i);
		/* What the state says needs no server; a certificate is one's. */
		if (i != STORE && (e->command == CMD_STATUS ||
		    (e->want.cfg.peek && i != e->want.cfg.peek - 1)))
			ask_closed(e, i);
	}
	/* Of a log that is to be another file. */
	if (!e->want.cfg.haslog)
		chan_nofds(&e->control);
	if (e->want.cfg.syslog)
		say_open_syslog();
	if (e->want.cfg.watch)
		e->watch.clock = sandbox_clock();
	sandbox_engine((e->want.cfg.syslog ? SANDBOX_SYSLOG : 0) |
	    (e->want.cfg.haslog ? SANDBOX_LOGFILE : 0));
	log_debug("engine: %s", sandbox_describe());
}

/*
 * End the workers: they are told, and then each channel is read to its EOF,
 * since what a worker says last is what the user must see.
 */
void
loop_finish(struct engine *e)
{
	int64_t	 until = end_now() + GRACE_MS;
	int	 i, n, side;

	progress_clear(e);
	end_begin(e, END_LOGOUT, 0);
	for (side = 0; side < SIDES; side++) {
		/* What it has not done by now it must not go on with. */
		if (ask_isopen(e, side) && e->ask.pending[side] > 0 &&
		    !e->end.lost[side] && !e->watch.on)
			channel_eof(e, side);
		else
			ask_tell(e, side, M_NET_LOGOUT, NULL);
	}
	ask_tell(e, STORE, M_STORE_CLOSE, NULL);
	for (;;) {
		for (i = n = 0; i < CHANNELS; i++)
			n += ask_isopen(e, i);
		if (n == 0 || end_now() >= until)
			break;
		poll_once(e, 200);
	}
}

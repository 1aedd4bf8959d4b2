/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * imapsync-store(8): started by imapsync with its descriptors at fixed numbers.
 * The first message is SETUP, from the supervisor; once the state file is open
 * and locked the process locks itself, says so by one octet, and answers the
 * engine, in the order of the requests.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "json.h"
#include "log.h"
#include "sandbox.h"
#include "store.h"

#define FATAL_FLUSH_MS	1000	/* for the last words of a process */

/* States of the channel. */
#define STATE_SETUP	0x01
#define STATE_OPEN	0x02
#define STATE_LOOK	0x04	/* --status */

struct store {
	struct chan	 chan;
	struct db	 db;
	uint32_t	 id;		/* of the request under way */
	int		 closed;	/* the engine said CLOSE */
};

static struct store	 store;

/* To the supervisor: how it is, and the time of the last good run. */
static int
say_ready(void)
{
	char	 text[1 + sizeof(store.db.synced)];

	text[0] = store.db.ready;
	memcpy(text + 1, &store.db.synced, sizeof(store.db.synced));
	return write(FD_READY, text, sizeof(text)) == (ssize_t)sizeof(text) ?
	    0 : -1;
}

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	struct m_engine_log	 msg;
	struct m_engine_fatal	 last;

	if (status == -1) {
		msg.level = level;
		msg.mailbox = mailbox == NULL ? "" : mailbox;
		msg.text = text;
		chan_send(&store.chan, M_ENGINE_LOG, 0, &msg);
		return;
	}
	db_abort(&store.db);
	if (store.chan.state == STATE_SETUP && store.db.ready != 0)
		(void)say_ready();
	last.status = status;
	last.kind = status == EX_SYNC_TEMP ? FAULT_BUSY : FAULT_STATE;
	last.text = text;
	chan_send(&store.chan, M_ENGINE_FATAL, 0, &last);
	chan_flush(&store.chan, FATAL_FLUSH_MS);
}

/* The engine or the supervisor is gone: there is nobody to tell. */
static __dead void
quit(void)
{
	db_abort(&store.db);
	_exit(EX_SYNC_ERROR);
}

/* Nothing is ever written to the lifeline: what happens there is its end. */
static int
lifeline_cut(void *arg)
{
	struct pollfd	 pfd;

	(void)arg;
	pfd.fd = FD_LIFELINE;
	pfd.events = POLLIN;
	return poll(&pfd, 1, 0) > 0;
}

/*
 * Wait until the channel can be written (and, if asked, read); returns its
 * events.
 */
static int
wait_for(int events)
{
	struct pollfd	 pfd[2];

	pfd[0].fd = FD_CHANNEL;
	pfd[0].events = events;
	pfd[1].fd = FD_LIFELINE;
	pfd[1].events = POLLIN;
	if (poll(pfd, 2, -1) == -1) {
		if (errno != EINTR)
			fatal("poll");
		return 0;
	}
	if (pfd[1].revents != 0)
		quit();
	return pfd[0].revents;
}

/*
 * Queue an answer to the request under way.  A large one waits here for the
 * engine, which never stops reading from the store.
 */
static void
answer(void *arg, uint32_t type, const void *rec)
{
	(void)arg;
	chan_send(&store.chan, type, store.id, rec);
	if (imsgbuf_pending(&store.chan.ib) <= QUEUE_HIGH)
		return;
	while (imsgbuf_pending(&store.chan.ib) > QUEUE_HIGH / 2) {
		wait_for(POLLOUT);
		if (chan_write(&store.chan) == -1)
			quit();
	}
}

static void
done_at(uint32_t count, int64_t when, uint32_t holder)
{
	struct m_engine_done	 m;

	memset(&m, 0, sizeof(m));
	m.status = ST_OK;
	m.code = RC_NONE;
	m.count = count;
	m.time = when;
	m.exists = holder;
	m.text = "";
	answer(NULL, M_ENGINE_DONE, &m);
}

static void
done(uint32_t count)
{
	done_at(count, 0, 0);
}

/* ---- messages ---- */

static void
on_setup(const struct msg *msg)
{
	const struct m_store_setup	*m = msg->rec;

	if (m->version != PROTO_VERSION)
		fatalx("imapsync-store speaks version %d of the protocol, "
		    "imapsync version %u: install both from one release",
		    PROTO_VERSION, m->version);
	store.db.answer = answer;
	store.db.tick = lifeline_cut;
	if (m->import[0] != '\0')
		import_read(&store.db, m->import);
	db_open(&store.db, m);
	chan_nofds(&store.chan);
	if (store.db.dir == NULL)
		sandbox_engine(0);	/* all in memory: no files at all */
	else
		sandbox_store(store.db.dir);
	store.chan.state = m->look ? STATE_LOOK : STATE_OPEN;
	if (say_ready() == -1)
		quit();
	close(FD_READY);
}

static void
on_load(const struct msg *msg)
{
	store.id = msg->id;
	db_load(&store.db);
	done_at(db_deleted_sum(&store.db), store.db.synced, store.db.holder);
}

static void
on_import(const struct msg *msg)
{
	store.id = msg->id;
	done(import_list(&store.db));
}

static void
on_take(const struct msg *msg)
{
	import_take(&store.db, msg->rec);
}

static void
on_taken(const struct msg *msg)
{
	(void)msg;
	import_taken(&store.db);
}

static void
on_pair(const struct msg *msg)
{
	uint32_t	 n;

	store.id = msg->id;
	n = db_pair(&store.db, msg->rec);
	done_at(n, 0, store.db.twins);
}

static void
on_synced(const struct msg *msg)
{
	(void)msg;
	db_synced(&store.db);
}

static void
on_commit(const struct msg *msg)
{
	store.id = msg->id;
	db_commit(&store.db);
	done(0);
}

static void
on_close(const struct msg *msg)
{
	(void)msg;
	db_close(&store.db);
	store.closed = 1;
	store.chan.state = 0;
}

/* A request that ends in DONE. */
#define ON_ASK(name)							\
static void								\
on_##name(const struct msg *msg)					\
{									\
	store.id = msg->id;						\
	db_##name(&store.db, msg->rec);					\
	done(0);							\
}

/* One that only changes the state. */
#define ON_CHANGE(name)							\
static void								\
on_##name(const struct msg *msg)					\
{									\
	db_##name(&store.db, msg->rec);					\
}

ON_ASK(info)
ON_ASK(rows)
ON_ASK(have)
ON_ASK(sample)
ON_ASK(diff)
ON_CHANGE(newbox)
ON_CHANGE(subscribed)
ON_CHANGE(adopt)
ON_CHANGE(forget)
ON_CHANGE(rename)
ON_CHANGE(add)
ON_CHANGE(base)
ON_CHANGE(rebase)
ON_CHANGE(drop)
ON_CHANGE(mark)
ON_CHANGE(markfail)
ON_CHANGE(lost)
ON_CHANGE(deleted)
ON_CHANGE(stopped)
ON_CHANGE(unstopped)
ON_CHANGE(unmark)
ON_CHANGE(refuse)
ON_CHANGE(unrefuse)
ON_CHANGE(left)
ON_CHANGE(unleft)
ON_CHANGE(water)
ON_CHANGE(server)
ON_CHANGE(seen)

static const struct proto_handler handlers[] = {
	{ M_STORE_SETUP,	STATE_SETUP,	on_setup },
	{ M_STORE_LOAD,		STATE_OPEN | STATE_LOOK, on_load },
	{ M_STORE_IMPORT,	STATE_OPEN,	on_import },
	{ M_STORE_TAKE,		STATE_OPEN,	on_take },
	{ M_STORE_TAKEN,	STATE_OPEN,	on_taken },
	{ M_STORE_NEWBOX,	STATE_OPEN,	on_newbox },
	{ M_STORE_SUBSCRIBED,	STATE_OPEN,	on_subscribed },
	{ M_STORE_ADOPT,	STATE_OPEN,	on_adopt },
	{ M_STORE_FORGET,	STATE_OPEN,	on_forget },
	{ M_STORE_RENAME,	STATE_OPEN,	on_rename },
	{ M_STORE_INFO,		STATE_OPEN,	on_info },
	{ M_STORE_ROWS,		STATE_OPEN,	on_rows },
	{ M_STORE_HAVE,		STATE_OPEN,	on_have },
	{ M_STORE_SAMPLE,	STATE_OPEN,	on_sample },
	{ M_STORE_ADD,		STATE_OPEN,	on_add },
	{ M_STORE_BASE,		STATE_OPEN,	on_base },
	{ M_STORE_REBASE,	STATE_OPEN,	on_rebase },
	{ M_STORE_DROP,		STATE_OPEN,	on_drop },
	{ M_STORE_MARK,		STATE_OPEN,	on_mark },
	{ M_STORE_MARKFAIL,	STATE_OPEN,	on_markfail },
	{ M_STORE_LOST,		STATE_OPEN,	on_lost },
	{ M_STORE_UNMARK,	STATE_OPEN,	on_unmark },
	{ M_STORE_REFUSE,	STATE_OPEN,	on_refuse },
	{ M_STORE_UNREFUSE,	STATE_OPEN,	on_unrefuse },
	{ M_STORE_LEFT,		STATE_OPEN,	on_left },
	{ M_STORE_UNLEFT,	STATE_OPEN,	on_unleft },
	{ M_STORE_WATER,	STATE_OPEN,	on_water },
	{ M_STORE_SEEN,		STATE_OPEN,	on_seen },
	{ M_STORE_PAIR,		STATE_OPEN,	on_pair },
	{ M_STORE_DIFF,		STATE_OPEN,	on_diff },
	{ M_STORE_SERVER,	STATE_OPEN,	on_server },
	{ M_STORE_SYNCED,	STATE_OPEN,	on_synced },
	{ M_STORE_DELETED,	STATE_OPEN,	on_deleted },
	{ M_STORE_STOPPED,	STATE_OPEN,	on_stopped },
	{ M_STORE_UNSTOPPED,	STATE_OPEN,	on_unstopped },
	{ M_STORE_COMMIT,	STATE_OPEN,	on_commit },
	{ M_STORE_CLOSE,	STATE_OPEN | STATE_LOOK, on_close },
	{ M_NONE,		0,		NULL }
};

/* One turn of the loop. */
static void
turn(void)
{
	int	 events, n;

	events = wait_for(POLLIN |
	    (chan_pending(&store.chan) > 0 ? POLLOUT : 0));
	if (events & (POLLIN | POLLHUP | POLLERR)) {
		if ((n = chan_read(&store.chan)) <= 0)
			quit();
		if (chan_dispatch(&store.chan, handlers, NULL) == -1)
			fatalx("%s", store.chan.error);
	}
	if (chan_write(&store.chan) == -1 && !store.closed)
		quit();
}

int
main(int argc, char *argv[], char *envp[])
{
	const int	 ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE,
			    SIGUSR1, SIGUSR2, SIGXFSZ };
	size_t		 i;

	(void)argc;
	(void)argv;
	(void)envp;
	compat_setproctitle_init(argc, argv, envp);
	sandbox_early();
	for (i = 0; i < nitems(ignored); i++)
		signal(ignored[i], SIG_IGN);
	chan_init(&store.chan, FD_CHANNEL, "the engine");
	log_init(sink, 1);
	setproctitle("store");
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	while (!store.closed)
		turn();
	return EX_SYNC_OK;
}

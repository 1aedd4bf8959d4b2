/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What comes without being asked for: a worker's login, log lines and last
 * words; the supervisor.
 */
#include "engine.h"
#include "notify.h"

/* ---- from the workers ---- */

static const char *
component(int chan)
{
	return chan == STORE ? "database" : side_name[chan];
}

/*
 * A worker that was taken over does not fill a terminal or a disk: of each pass
 * so many lines are printed, and then one that says so.
 */
static int
log_flood(struct engine *e, int chan)
{
	if (chan == STORE || log_debugging())
		return 0;
	if (e->srv[chan].lines < LOG_LINES) {
		e->srv[chan].lines++;
		return 0;
	}
	if (e->srv[chan].lines++ == LOG_LINES)
		log_warnx("the %s network worker has more than %d lines to "
		    "say: the rest is left out", side_name[chan], LOG_LINES);
	e->srv[chan].lines = LOG_LINES + 1;
	return 1;
}

static void
h_log(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_log	*m = msg->rec;

	/* Something could not be done, whatever the rest of the run does. */
	if (m->level == LOG_LV_ERROR)
		src->e->partial = 1;
	if (log_flood(src->e, src->chan))
		return;
	progress_log(src->e, m->level, component(src->chan),
	    m->mailbox[0] != '\0' ? name_show(src->e, m->mailbox) : NULL,
	    m->text);
}

/* Those that a worker has; one that was taken over must not choose ours. */
static int
fatal_status(int status)
{
	return status == EX_SYNC_TEMP || status == EX_SYNC_LATER ? status :
	    EX_SYNC_ERROR;
}

static void
h_fatal(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_fatal	*m = msg->rec;
	struct engine			*e = src->e;
	int				 status = fatal_status(m->status);

	progress_end(e, status);
	/* What ended it first counts. */
	if (m->kind == FAULT_LIMIT && status == EX_SYNC_TEMP &&
	    src->chan != STORE && e->end.status == 0)
		e->end.limit = 1;
	ledger_fault(e, m->kind, src->chan == STORE ? -1 : src->chan, m->text);
	end_begin(e, END_FAILED, status);
	if (src->chan == STORE || status != EX_SYNC_TEMP)
		progress_log(e, LOG_LV_ERROR, component(src->chan), NULL,
		    m->text);
	if (src->chan == STORE)
		return;
	if (status == EX_SYNC_TEMP)
		end_lost(e, src->chan, m->text);
	e->end.lost[src->chan] = 1;
	/* What has been sent to the other server whole may still be answered. */
	if (!mbox_receiving(&e->list, OTHER(src->chan)))
		end_hurry(e, 0);
}

static void
h_ready(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_ready	*m = msg->rec;
	struct engine			*e = src->e;
	struct server			*s = &e->srv[src->chan];

	if (s->is_ready)
		fatalx("the %s worker logged in twice", side_name[src->chan]);
	s->is_ready = 1;
	s->ready = *m;
	s->ready.tls = xstrdup(m->tls);
	s->ready.cipher = xstrdup(m->cipher);
	s->ready.mechanism = xstrdup(m->mechanism);
	if (e->srv[OTHER(src->chan)].is_ready)
		notify_say("READY=1\nSTATUS=connected");
	if (e->want.cfg.again && e->srv[OTHER(src->chan)].is_ready) {
		e->want.cfg.again = AGAIN_NO;
		e->watch.told = 1;
		log_warnx("both servers are back");
	}
	if (log_debugging())
		log_debug("%s: logged in (%s%s%s%s%s)", side_name[src->chan],
		    m->mechanism, m->tls[0] != '\0' ? ", " : "", m->tls,
		    m->cipher[0] != '\0' ? ", " : "", m->cipher);
}

static void
h_cert(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_cert	*m = msg->rec;
	struct server			*s = &src->e->srv[src->chan];

	if (src->e->want.cfg.command != CMD_CHECK || s->has_cert)
		fatalx("the %s worker tells of a certificate that it was not "
		    "asked for", side_name[src->chan]);
	s->has_cert = 1;
	s->cert = *m;
	s->cert.subject = xstrdup(m->subject);
	s->cert.issuer = xstrdup(m->issuer);
	s->cert.pin = xstrdup(m->pin);
	s->cert.tls = xstrdup(m->tls);
	s->cert.cipher = xstrdup(m->cipher);
}

/* It owes an answer, and waits for its server, or for the other worker. */
static void
h_alive(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_alive	*m = msg->rec;
	struct asks			*l = &src->e->ask;

	l->idle[src->chan] = m->bridge == ALIVE_EMPTY ?
	    l->idle[src->chan] + 1 : 0;
	l->full[src->chan] = m->bridge == ALIVE_FULL ?
	    l->full[src->chan] + 1 : 0;
}

const struct proto_handler events_net[] = {
	{ M_ENGINE_ALIVE,	1, h_alive },
	{ M_ENGINE_READY,	1, h_ready },
	{ M_ENGINE_CERT,	1, h_cert },
	{ M_ENGINE_LOG,		1, h_log },
	{ M_ENGINE_FATAL,	1, h_fatal },
	{ M_ENGINE_MAILBOX,	1, ask_answer },
	{ M_ENGINE_OPENED,	1, ask_answer },
	{ M_ENGINE_VANISHED,	1, ask_answer },
	{ M_ENGINE_FLAGS,	1, ask_answer },
	{ M_ENGINE_META,	1, ask_answer },
	{ M_ENGINE_COPIED,	1, ask_answer },
	{ M_ENGINE_REFUSED,	1, ask_answer },
	{ M_ENGINE_FAILED,	1, ask_answer },
	{ M_ENGINE_GONE,	1, ask_answer },
	{ M_ENGINE_WITHHELD,	1, ask_answer },
	{ M_ENGINE_DUE,		1, ask_answer },
	{ M_ENGINE_SPOILT,	1, ask_answer },
	{ M_ENGINE_CHANGED,	1, ask_answer },
	{ M_ENGINE_STATS,	1, ask_answer },
	{ M_ENGINE_OFFER,	1, ask_answer },
	{ M_ENGINE_UIDS,	1, ask_answer },
	{ M_ENGINE_DONE,	1, ask_answer },
	{ M_NONE,		0, NULL }
};

const struct proto_handler events_store[] = {
	{ M_ENGINE_LOG,		1, h_log },
	{ M_ENGINE_FATAL,	1, h_fatal },
	{ M_ENGINE_SERVER,	1, ask_answer },
	{ M_ENGINE_MBOX,	1, ask_answer },
	{ M_ENGINE_MARK,	1, ask_answer },
	{ M_ENGINE_REFUSAL,	1, ask_answer },
	{ M_ENGINE_STOPPED,	1, ask_answer },
	{ M_ENGINE_INFO,	1, ask_answer },
	{ M_ENGINE_ROW,		1, ask_answer },
	{ M_ENGINE_PAIRED,	1, ask_answer },
	{ M_ENGINE_UIDS,	1, ask_answer },
	{ M_ENGINE_DONE,	1, ask_answer },
	{ M_NONE,		0, NULL }
};

/* ---- from the supervisor ---- */

static void
h_setup(const struct msg *msg)
{
	struct source			*src = msg->arg;
	const struct m_engine_setup	*m = msg->rec;
	struct m_engine_setup		*c = &src->e->want.cfg;
	int				 side;

	if (m->version != PROTO_VERSION)
		fatalx("imapsync and its engine are of different versions");
	*c = *m;
	for (side = 0; side < SIDES; side++) {
		c->reference[side] = xstrdup(m->reference[side]);
		c->host[side] = xstrdup(m->host[side]);
	}
	src->e->logfd = m->haslog ? FD_ENGINE_LOG : -1;
	if (m->service)
		notify_attach(FD_ENGINE_NOTIFY, m->watchdog);
	c->state = xstrdup(m->state);
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
	struct wanted			*w = &src->e->want;

	/* The others hold separators, and don't go to a server as they are. */
	if (m->kind == ITEM_ARG || m->kind == ITEM_ADOPT)
		check_name(m->text);
	switch (m->kind) {
	case ITEM_PATTERN:
		list_push(&w->patterns, &w->npatterns, m->text);
		break;
	case ITEM_ARG:
		list_push(&w->args, &w->nargs, m->text);
		break;
	case ITEM_ADOPT:
		list_push(&w->adopts, &w->nadopts, m->text);
		break;
	case ITEM_WATCH:
		list_push(&w->watches, &w->nwatches, m->text);
		break;
	case ITEM_MAP_LOCAL:
		list_push(&w->maps[LOCAL], &w->nmaps[LOCAL], m->text);
		break;
	case ITEM_MAP_REMOTE:
		list_push(&w->maps[REMOTE], &w->nmaps[REMOTE], m->text);
		break;
	}
}

static void
h_go(const struct msg *msg)
{
	struct source	*src = msg->arg;

	src->e->want.go = 1;
}

static void
h_stop(const struct msg *msg)
{
	struct source	*src = msg->arg;
	struct engine	*e = src->e;

	log_debug("asked to stop");
	progress_stopped(e);
	e->end.asked = 1;
	ledger_fault(e, FAULT_INTERRUPTED, -1, "interrupted by a signal");
	end_begin(e, END_ASKED, EX_SYNC_ERROR);
	/* Messages that are on their way are waited for, nothing else is. */
	if (!mbox_receiving(&e->list, LOCAL) &&
	    !mbox_receiving(&e->list, REMOTE))
		end_hurry(e, HALT_MS);
}

static void
h_look(const struct msg *msg)
{
	struct source	*src = msg->arg;

	/* A pass that is going on is followed by another. */
	src->e->watch.changed = 1;
}

static void
h_status(const struct msg *msg)
{
	struct source	*src = msg->arg;

	progress_status(src->e);
}

/* The log has been moved away, and made anew. */
static void
h_logfile(const struct msg *msg)
{
	struct source	*src = msg->arg;
	struct engine	*e = src->e;

	if (!e->want.cfg.haslog) {
		close(msg->fd);
		return;
	}
	close(e->logfd);
	e->logfd = msg->fd;
}

/* A signal may come before GO. */
#define EVENTS_ANY	(EVENTS_START | EVENTS_RUN)

const struct proto_handler events_control[] = {
	{ M_ENGINE_SETUP,	EVENTS_START, h_setup },
	{ M_ENGINE_ITEM,	EVENTS_START, h_item },
	{ M_ENGINE_GO,		EVENTS_START, h_go },
	{ M_ENGINE_STOP,	EVENTS_ANY, h_stop },
	{ M_ENGINE_LOOK,	EVENTS_ANY, h_look },
	{ M_ENGINE_STATUS,	EVENTS_ANY, h_status },
	{ M_ENGINE_LOGFILE,	EVENTS_ANY, h_logfile },
	{ M_NONE,		0, NULL }
};

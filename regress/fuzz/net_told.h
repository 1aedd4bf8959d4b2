/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Part of net_box.h: what the engine gets of the worker.
 */
#ifndef NET_TOLD_H
#define NET_TOLD_H

/* UIDs, once each, and only those that were asked for. */
static void
fits_uid(struct asked *a, uint32_t uid)
{
	must(uidset_has(&a->set, uid), "a UID that was asked for");
	must(a->room-- > 0, "a UID that was told once");
}

static void
fits_set(const struct asked *a, const struct uidset *set)
{
	struct uidset	 rest = UIDSET_INIT;

	uidset_copy(&rest, set);
	uidset_sub(&rest, &a->set);
	must(uidset_empty(&rest), "UIDs that were asked for");
	uidset_free(&rest);
}

static void
told_once(struct asked *a)
{
	must(!a->told, "told once");
	a->told = 1;
}

/* Without VANISHED it is found by a look at what was to be expunged. */
static void
fits_vanished(const struct asked *a, const struct uidset *set)
{
	struct uidset	 rest = UIDSET_INIT;
	uint32_t	 i;

	if (net.strategy != NULL && net.strategy->kind == STRATEGY_QRESYNC)
		return;
	uidset_copy(&rest, set);
	for (i = 1; i <= box_last; i++)
		if (box_asked[i].type == M_NET_EXPUNGE &&
		    box_asked[i].mailbox != NULL && a->mailbox != NULL &&
		    strcmp(box_asked[i].mailbox, a->mailbox) == 0)
			uidset_sub(&rest, &box_asked[i].set);
	must(uidset_empty(&rest), "UIDs that were to be expunged");
	uidset_free(&rest);
}

/* The table of ask.c once more. */
static void
event(uint32_t type, struct asked *a, const void *rec)
{
	const struct m_engine_uids	*uids = rec;
	const struct m_engine_due	*due = rec;

	/* A handle lives on. */
	must(!a->done || (a->type == M_NET_OPEN && (type == M_ENGINE_VANISHED ||
	    type == M_ENGINE_FLAGS || type == M_ENGINE_SPOILT ||
	    type == M_ENGINE_DUE)), "nothing behind DONE");
	switch (type) {
	case M_ENGINE_DONE:
		a->done = 1;
		return;
	case M_ENGINE_MAILBOX:
		must(a->type == M_NET_LIST || a->type == M_NET_STATUS ||
		    a->type == M_NET_WATCH, "MAILBOX");
		if (a->type == M_NET_STATUS)
			told_once(a);
		return;
	case M_ENGINE_OPENED:
		must(a->type == M_NET_OPEN, "OPENED");
		told_once(a);
		return;
	case M_ENGINE_VANISHED:
		must(a->type == M_NET_OPEN, "what vanished from a mailbox");
		fits_vanished(a,
		    &((const struct m_engine_vanished *)rec)->set);
		return;
	case M_ENGINE_FLAGS:
	case M_ENGINE_SPOILT:
		must(a->type == M_NET_OPEN, "what is told of a mailbox");
		return;
	case M_ENGINE_UIDS:
		must(a->type == M_NET_SEARCH || (a->type == M_NET_OPEN &&
		    !a->told && (a->what & uids->what)), "UIDS");
		if (a->type == M_NET_SEARCH)
			fits_set(a, &uids->set);
		return;
	case M_ENGINE_META:
		must(a->type == M_NET_META, "META");
		fits_uid(a, ((const struct m_engine_meta *)rec)->uid);
		return;
	case M_ENGINE_COPIED:
		must(a->type == M_NET_RECV || a->type == M_NET_MOVE,
		    "COPIED");
		fits_uid(a, ((const struct m_engine_copied *)rec)->uid);
		return;
	case M_ENGINE_REFUSED:
		must(a->type == M_NET_RECV, "REFUSED");
		fits_uid(a, ((const struct m_engine_refused *)rec)->uid);
		return;
	case M_ENGINE_FAILED:
		must(a->type == M_NET_RECV, "FAILED");
		fits_set(a, &((const struct m_engine_failed *)rec)->set);
		return;
	case M_ENGINE_GONE:
		must(a->type == M_NET_SEND, "GONE");
		fits_set(a, &((const struct m_engine_gone *)rec)->set);
		return;
	case M_ENGINE_WITHHELD:
		must(a->type == M_NET_SEND, "WITHHELD");
		fits_set(a, &((const struct m_engine_withheld *)rec)->set);
		return;
	case M_ENGINE_DUE:
		must(a->mailbox != NULL && a->type != M_NET_NAME &&
		    a->type != M_NET_STATUS, "DUE");
		must(due->uid == 0 || uidset_has(&a->set, due->uid), "a UID that was due");
		return;
	case M_ENGINE_CHANGED:
		must(a->type == M_NET_WATCH, "CHANGED");
		return;
	case M_ENGINE_OFFER:
		must(a->type == M_NET_PROBE, "OFFER");
		return;
	case M_ENGINE_STATS:
		must(a->type == M_NET_STATS, "STATS");
		return;
	default:
		must(0, "an answer of a network worker");
	}
}

static void
no_secret(const char *text)
{
	must(box_guessed || strstr(text, SECRET) == NULL,
	    "no password in a message");
}

/* What no server can be the reason for. */
static void
not_our_fault(const char *text)
{
	static const char *const	 ours[] = { "ENGINE_", "NET_", "cmd_",
					    "buf_", "uidset_", "flags_",
					    "out of memory", "poll", "fcntl",
					    "a bad message from imapsync" };
	size_t				 i;

	for (i = 0; i < nitems(ours); i++)
		must(strncmp(text, ours[i], strlen(ours[i])) != 0, text);
}

static void
on_event(const struct msg *msg)
{
	const struct m_engine_log	*log = msg->rec;
	const struct m_engine_fatal	*fat = msg->rec;

	must(!box_over, "nothing behind FATAL");
	if (msg->type == M_ENGINE_READY || msg->type == M_ENGINE_ALIVE)
		return;
	if (msg->type == M_ENGINE_LOG) {
		no_secret(log->text);
		return;
	}
	if (msg->type == M_ENGINE_FATAL) {
		box_over = 1;
		no_secret(fat->text);
		not_our_fault(fat->text);
		return;
	}
	must(msg->id > 0 && msg->id <= box_last, "a request that was made");
	if (box_told != NULL)
		box_told(msg->type, msg->rec);
	event(msg->type, &box_asked[msg->id], msg->rec);
}

static struct proto_handler	 box_events[M_ENGINE_FATAL - M_ENGINE_READY + 2];

#endif /* NET_TOLD_H */

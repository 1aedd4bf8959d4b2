/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The server is lost, or nothing that it says can be understood any more: what
 * was due, what was going on, the last words.
 */
#include <stdarg.h>
#include <stdio.h>

#include "net.h"

/* Something of it has been sent. */
static int
is_begun(const struct cmd *c)
{
	return !c->intx || c->start != 0;
}

/* The command that the server is at. */
static const struct cmd *
lost_oldest(const struct net *net)
{
	const struct cmd	*c = TAILQ_FIRST(&net->cmdq.answers);

	return c != NULL && is_begun(c) ? c : NULL;
}

/*
 * The message that it is at: the one that is being read or was told of in part,
 * or the first behind the last that has come; of an APPEND its first; 0: none.
 */
static uint32_t
lost_uid(const struct cmd *c)
{
	uint32_t	 uid;

	if (c->kind == K_APPEND)
		return c->first;
	if (c->kind != K_SEND && c->kind != K_META)
		return 0;
	if (c->under != 0)
		return c->under;
	uid = uidset_nth(&c->set, uidset_upto(&c->set, c->done));
	return uid != 0 ? uid : uidset_min(&c->set);
}

/* ", while ..." as it stands behind what has happened, or "". */
static const char *
lost_doing(const struct net *net)
{
	static const char *const	 doing[] = {
		[K_SELECT] =	"while it opened",
		[K_LIST] =	"while it listed its mailboxes",
		[K_STATUS] =	"while it was asked for the numbers of",
		[K_FETCH] =	"while it was asked for the flags of",
		[K_META] =	"while it was asked about",
		[K_SEND] =	"while it was asked for",
		[K_SEARCH] =	"while it searched",
		[K_STORE] =	"while it changed flags of",
		[K_EXPUNGE] =	"while it expunged messages of",
		[K_MOVE] =	"while it moved messages of",
		[K_APPEND] =	"while messages were appended to",
		[K_LAST] =	"while it was asked for the last message of",
		[K_NAME] =	"while it was asked to change"
	};
	static char			 text[NAME_MAX_LEN + 128];
	const struct cmd		*c = lost_oldest(net);
	const char			*name = NULL;
	char				 words[NAME_MAX_LEN], uid[40] = "";

	/* Of these loop.c and session.c have words of their own. */
	if (net->phase < P_LOGIN)
		return net->bye == NULL ? "" : ", in the handshake of TLS";
	if (net->watch.stage != W_OFF && net->watch.stage != W_OVER)
		return ", while it was to tell of changes";
	if (net->phase == P_LOGIN && (net->login != LOGIN_DONE ||
	    c == NULL || c->kind == K_SESSION))
		return ", at the login";
	if (c == NULL || c->kind == K_SESSION)
		return "";
	if (c->handle != NULL)
		name = c->handle->mailbox;
	else if (c->req != NULL && c->kind != K_LIST)
		name = c->req->mailbox;
	if ((c->kind == K_SEND || c->kind == K_META) && lost_uid(c) != 0)
		snprintf(uid, sizeof(uid), " message UID %u of", lost_uid(c));
	else if (c->kind == K_SEND || c->kind == K_META)
		strlcpy(uid, " messages of", sizeof(uid));
	snprintf(text, sizeof(text), ", %s%s%s%s", doing[c->kind], uid,
	    name != NULL ? " " : "", name != NULL ?
	    net_words(words, sizeof(words), name) : "");
	return text;
}

/* An APPEND is alone if nothing else could be what ended the session. */
static int
lost_alone(const struct net *net, const struct cmd *c)
{
	const struct cmd	*other;

	if (c->kind != K_APPEND || c->nmsgs != 1)
		return 0;
	TAILQ_FOREACH(other, &net->cmdq.answers, entry)
		if (other != c && other->kind == K_APPEND && is_begun(other))
			return 0;
	return 1;
}

static int
is_of_mailbox(uint32_t type)
{
	return type == M_NET_OPEN || type == M_NET_SEARCH ||
	    type == M_NET_STORE || type == M_NET_EXPUNGE ||
	    type == M_NET_MOVE;
}

static void
lost_due(struct net *net)
{
	const struct cmd	*c;
	struct m_engine_due	 m;

	m.uid = 0;
	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (is_begun(c) && (m.uid = lost_uid(c)) != 0)
			break;
	/* Not a message: what it was asked for first may be the cause. */
	if (c == NULL && ((c = lost_oldest(net)) == NULL || c->req == NULL ||
	    !is_of_mailbox(c->req->type)))
		return;
	m.alone = lost_alone(net, c);
	chan_send(&net->chan, M_ENGINE_DUE, c->req->id, &m);
}

static int
lost_says(const char *words, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasestr(words, *list) != NULL)
			return 1;
	return 0;
}

int
lost_limit(int rc, const char *words)
{
	static const char *const	 things[] = { "connection", "session",
					    "bandwidth", NULL };
	static const char *const	 much[] = { "too many", "maximum",
					    "limit", "exceed", NULL };
	/* Who has guessed too often is locked out, and had better not ask. */
	static const char *const	 guess[] = { "failed", "invalid",
					    "attempt", NULL };

	if (rc == RC_UNAVAILABLE || rc == RC_LIMIT || rc == RC_INUSE)
		return 1;
	return lost_says(words, things) && lost_says(words, much) &&
	    !lost_says(words, guess);
}

void
lost_server(struct net *net, const char *why)
{
	if (net->phase == P_LOGOUT)
		net_end(net);
	lost_due(net);
	once_end(net);
	if (net->bye != NULL)
		fatal_ex(EX_SYNC_TEMP, "%s ended the session%s: %s",
		    net->setup.host, lost_doing(net), net->bye);
	fatal_ex(EX_SYNC_TEMP, "lost the %s %s: %s%s", net->phase == P_SOCKS ?
	    "proxy of" : "server", net->setup.host, why, lost_doing(net));
}

void
lost_sense(struct net *net, const char *line, const char *fmt, ...)
{
	char	 what[256], words[512];
	va_list	 ap;

	/* What it says behind BYE, or behind our LOGOUT, is no matter. */
	if (net->phase == P_LOGOUT || net->bye != NULL)
		lost_server(net, "");
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	lost_due(net);
	once_end(net);
	fatal_ex(EX_SYNC_TEMP, "%s %s%s%s%s", net->setup.host, what,
	    lost_doing(net), line != NULL ? ": " : "", line != NULL ?
	    net_words(words, sizeof(words), line) : "");
}

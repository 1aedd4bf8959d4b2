/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * At the bottom of the worker: what it begins with, the clock, how it speaks to
 * the engine about itself, and its ends.
 */
#include <stdio.h>

#include "clock.h"
#include "json.h"
#include "net.h"

#define FLUSH_MS	1000	/* for the last words of this process */

static struct net	*self;		/* log_init()'s sink has no argument */

/* ---- the clock, words ---- */

uint64_t
net_now(void)
{
	return clock_ms();
}

/* Whoever prints it makes it fit for a terminal; here it becomes one line. */
char *
net_words(char *dst, size_t size, const char *src)
{
	size_t	 i;

	strlcpy(dst, src, size);
	for (i = 0; dst[i] != '\0'; i++)
		if ((unsigned char)dst[i] < ' ' || dst[i] == 0x7f)
			dst[i] = '?';
	return dst;
}

/* ---- messages ---- */

/* What has failed, by what the connection was at. */
static enum fault
fault_of(const struct net *net, int status)
{
	if (status == EX_SYNC_TEMP)
		return net->limit ? FAULT_LIMIT : FAULT_LOST;
	switch (net->phase) {
	case P_SETUP:
		return FAULT_CONFIGURATION;
	case P_SOCKS:
		return FAULT_CONNECT;
	case P_TLS:
		return stream_distrusted(net->st) ? FAULT_CERTIFICATE :
		    FAULT_TLS;
	case P_LOGIN:
		return net->login == LOGIN_SENT ? FAULT_LOGIN : FAULT_SERVER;
	default:
		return FAULT_SERVER;
	}
}

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	struct m_engine_fatal	 fatal_msg;
	struct m_engine_log	 msg;

	if (status != -1) {
		fatal_msg.status = status;
		fatal_msg.kind = fault_of(self, status);
		fatal_msg.text = text;
		chan_send(&self->chan, M_ENGINE_FATAL, 0, &fatal_msg);
		chan_flush(&self->chan, FLUSH_MS);
		return;
	}
	msg.level = level;
	msg.mailbox = mailbox != NULL ? mailbox : "";
	msg.text = text;
	chan_send(&self->chan, M_ENGINE_LOG, 0, &msg);
}

void
net_log(struct net *net, int debug)
{
	self = net;
	log_init(sink, debug);
}

/* ---- beginning and end ---- */

void
net_init(struct net *net, int fd)
{
	size_t	 i;

	memset(net, 0, sizeof(*net));
	chan_init(&net->chan, fd, "imapsync");
	net->chan.state = CH_SETUP;
	net_log(net, 0);
	for (i = 0; i < nitems(net->fds); i++)
		net->fds[i] = -1;
	net->bridge.fd = -1;
	TAILQ_INIT(&net->cmdq.answers);
	TAILQ_INIT(&net->cmdq.tx);
	TAILQ_INIT(&net->queue.reqs);
	TAILQ_INIT(&net->handles.all);
	TAILQ_INIT(&net->recv.drops);
}

void
net_heard(struct net *net)
{
	net->alive = net_now();
}

void
net_end(struct net *net)
{
	/* First, since the server's end may be waited for. */
	chan_flush(&net->chan, FLUSH_MS);
	if (net->st != NULL)
		stream_close(net->st);
	_exit(0);
}

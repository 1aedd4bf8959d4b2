/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What tunnels say on their standard error: a pipe each, so that the last words
 * are at hand when a session has failed, also where the user does not want to
 * see them otherwise.  What they say may be a server's choice (a banner of
 * ssh(1)): it is vis(3)ed.
 *
 * A tunnel must never wait for us: sup_poll() reads whatever comes, in every
 * wait.  We never wait for a tunnel, or for what it has left in the background
 * with its end of the pipe: nothing here blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <vis.h>

#include "imapsync.h"
#include "say.h"

#define LINES		8	/* that are kept */
#define LINE_LEN	400	/* octets of one */
#define READ_MAX	(1024 * 1024)	/* octets in one turn */
#define OUT_MAX		16384	/* octets that wait for standard error */
#define OUT_PART	512	/* PIPE_BUF is nowhere less */
#define OUT_MS		1000	/* for the rest of it at the end */

struct errs {
	int	 fd;		/* -1: closed */
	int	 relay;
	size_t	 n;		/* whole lines so far */
	size_t	 len;		/* octets of the one that has begun */
	char	 line[LINES][LINE_LEN];
};

static struct errs	 errs[SIDES] = { { .fd = -1 }, { .fd = -1 } };
static struct buf	 errs_out = BUF_INIT;

int
errs_open(int side, int relay)
{
	struct errs	*e = &errs[side];
	int		 fds[2];

	memset(e, 0, sizeof(*e));
	if (pipe2(fds, O_CLOEXEC) == -1 ||
	    fcntl(fds[0], F_SETFL, O_NONBLOCK) == -1)
		fatal("pipe");
	e->fd = fds[0];
	e->relay = relay;
	return fds[1];
}

/* Keep an octet for the last words. */
static void
errs_keep(struct errs *e, char c)
{
	char	*line = e->line[e->n % LINES];

	if (c != '\n' && e->len < LINE_LEN - 1) {
		line[e->len++] = c;
		line[e->len] = '\0';
	} else if (c == '\n' && e->len > 0) {
		e->n++;
		e->len = 0;
	}
}

/* Queue an octet for standard error; what it does not take is lost. */
static void
errs_show(char c)
{
	char	 one[8];

	if (errs_out.len >= OUT_MAX)
		return;
	vis(one, (unsigned char)c, VIS_CSTYLE | VIS_NOSLASH, 0);
	buf_puts(&errs_out, one);
}

/* Read what there is. */
static void
errs_read(struct errs *e)
{
	char	 buf[4096];
	size_t	 total = 0;
	ssize_t	 i, n;

	while (e->fd != -1 && total < READ_MAX) {
		n = read(e->fd, buf, sizeof(buf));
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close(e->fd);
			e->fd = -1;
			return;
		}
		total += n;
		for (i = 0; i < n; i++) {
			if (buf[i] == '\r' || buf[i] == '\0')
				continue;
			errs_keep(e, buf[i]);
			if (e->relay)
				errs_show(buf[i]);
		}
	}
}

/* Hand to standard error what it takes without making us wait. */
static void
errs_write(int ms)
{
	struct pollfd	 pfd;
	ssize_t		 n;

	while (errs_out.len > 0) {
		pfd.fd = STDERR_FILENO;
		pfd.events = POLLOUT;
		if (poll(&pfd, 1, ms) != 1)
			return;
		await_clear();
		n = write(STDERR_FILENO, buf_ptr(&errs_out),
		    errs_out.len < OUT_PART ? errs_out.len : OUT_PART);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			buf_drain(&errs_out, errs_out.len);
		else
			buf_drain(&errs_out, n);
	}
}

nfds_t
errs_pollfds(struct pollfd *pfd)
{
	nfds_t	 n = 0;
	int	 side;

	for (side = 0; side < SIDES; side++)
		if (errs[side].fd != -1) {
			pfd[n].fd = errs[side].fd;
			pfd[n++].events = POLLIN;
		}
	if (errs_out.len > 0) {
		pfd[n].fd = STDERR_FILENO;
		pfd[n++].events = POLLOUT;
	}
	return n;
}

void
errs_turn(void)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		errs_read(&errs[side]);
	errs_write(0);
}

void
errs_close(void)
{
	int	 side;

	errs_turn();
	for (side = 0; side < SIDES; side++) {
		if (errs[side].fd != -1)
			close(errs[side].fd);
		errs[side].fd = -1;
	}
	errs_write(OUT_MS);
	buf_free(&errs_out);
}

const char *
errs_line(int side, size_t i, int *relayed)
{
	struct errs	*e = &errs[side];
	size_t		 first = 0, n = e->n + (e->len > 0);

	if (n > LINES)
		first = n - LINES;
	if (first + i >= n)
		return NULL;
	*relayed = e->relay;
	return e->line[(first + i) % LINES];
}

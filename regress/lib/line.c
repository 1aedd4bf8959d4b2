/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * line PORT RTT RATE: a long or a slow line to 127.0.0.1:PORT, that costs so
 * little itself that what is behind it can be timed (Relay.pm looks at what it
 * passes on).  RTT: microseconds, half of it in each direction.  RATE: octets a
 * second in each direction, 0 for any; what waits for that is little.  Its own
 * port is printed.  A connection ends with its ends, the rest with SIGTERM.
 */
#include <sys/socket.h>
#include <sys/types.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROOM	(16 * 1024 * 1024)	/* octets on their way */
#define LITTLE	(64 * 1024)		/* what waits for a line with a rate */
#define PIECE	(64 * 1024)

static int64_t	 rtt, rate;		/* microseconds, octets a second */

/* Octets that leave at the same time. */
struct piece {
	int64_t	 due;
	size_t	 off;
	size_t	 len;
	char	*data;
};

/* One direction. */
struct way {
	int		 from;
	int		 to;
	struct piece	 q[ROOM / 512];	/* a ring */
	size_t		 first;
	size_t		 n;
	size_t		 room;
	int64_t		 free;		/* the line is, from then on */
	int		 eof;		/* 1 read, 2 passed on */
};

static struct way	 ways[2];

static int64_t
now(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static struct piece *
front(struct way *w)
{
	return w->n == 0 ? NULL : &w->q[w->first];
}

static void
take(struct way *w)
{
	static char	 buf[PIECE];
	int64_t		 at = now();
	size_t		 most = w->room < PIECE ? w->room : PIECE;
	ssize_t		 n;
	struct piece	*p;

	if (w->n == sizeof(w->q) / sizeof(*w->q))
		return;
	if ((n = read(w->from, buf, most)) == -1) {
		if (errno == EAGAIN)
			return;
		n = 0;
	}
	p = &w->q[(w->first + w->n++) % (sizeof(w->q) / sizeof(*w->q))];
	p->off = 0;
	p->len = (size_t)n;
	p->data = NULL;
	if (n == 0) {
		w->eof = 1;
	} else {
		if ((p->data = malloc((size_t)n)) == NULL)
			err(1, NULL);
		memcpy(p->data, buf, (size_t)n);
		w->room -= (size_t)n;
	}
	if (rate != 0) {
		if (w->free < at)
			w->free = at;
		at = w->free += n * 1000000 / rate;
	}
	p->due = at + rtt / 2;
}

static void
pass(struct way *w)
{
	struct piece	*p;
	ssize_t		 n;

	while ((p = front(w)) != NULL && p->due <= now()) {
		if (p->len == 0) {
			shutdown(w->to, SHUT_WR);
			w->eof = 2;
		} else {
			n = write(w->to, p->data + p->off, p->len - p->off);
			if (n == -1 && errno == EAGAIN)
				return;
			if (n == -1)
				exit(0);
			w->room += (size_t)n;
			if ((p->off += (size_t)n) < p->len)
				return;
		}
		free(p->data);
		w->first = (w->first + 1) % (sizeof(w->q) / sizeof(*w->q));
		w->n--;
	}
}

/* How long poll() may take, in milliseconds, and what it looks for. */
static void
wait_for(struct pollfd pfd[4])
{
	struct timespec	 ts;
	struct piece	*p;
	int64_t		 at = now(), next = at + 1000000;
	int		 i;

	for (i = 0; i < 2; i++) {
		pfd[2 * i].fd = ways[i].eof == 0 && ways[i].room > 0 ?
		    ways[i].from : -1;
		pfd[2 * i].events = POLLIN;
		p = front(&ways[i]);
		pfd[2 * i + 1].fd = p != NULL && p->due <= at ?
		    ways[i].to : -1;
		pfd[2 * i + 1].events = POLLOUT;
		if (p != NULL && p->due > at && p->due < next)
			next = p->due;
	}
	ts.tv_sec = (next - at) / 1000000;
	ts.tv_nsec = (next - at) % 1000000 * 1000;
	if (ppoll(pfd, 4, &ts, NULL) == -1)
		err(1, "poll");
}

static void
serve(int client, const struct sockaddr_in *server)
{
	struct pollfd	 pfd[4];
	int		 fd, i, little = LITTLE, on = 1;

	if ((fd = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		err(1, "socket");
	if (rate != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)) == -1)
		err(1, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fcntl(client, F_SETFL, O_NONBLOCK);
	ways[0].from = ways[1].to = client;
	ways[0].to = ways[1].from = fd;
	ways[0].room = ways[1].room = rate == 0 ? ROOM :
	    LITTLE + (size_t)(rate * rtt / 1000000);
	while (ways[0].eof != 2 || ways[1].eof != 2) {
		wait_for(pfd);
		for (i = 0; i < 2; i++) {
			if (pfd[2 * i].fd != -1 && pfd[2 * i].revents != 0)
				take(&ways[i]);
			pass(&ways[i]);
		}
	}
	exit(0);
}

int
main(int argc, char *argv[])
{
	struct sockaddr_in	 here, server;
	socklen_t		 len = sizeof(here);
	int			 at, fd, little = LITTLE;

	if (argc != 4)
		errx(1, "usage: line port rtt rate");
	rtt = strtoll(argv[2], NULL, 10);
	rate = strtoll(argv[3], NULL, 10);
	memset(&server, 0, sizeof(server));
	server.sin_family = AF_INET;
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here = server;
	server.sin_port = htons((uint16_t)atoi(argv[1]));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if ((at = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		err(1, "socket");
	if (rate != 0)
		setsockopt(at, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	if (bind(at, (struct sockaddr *)&here, sizeof(here)) == -1 ||
	    listen(at, 5) == -1 ||
	    getsockname(at, (struct sockaddr *)&here, &len) == -1)
		err(1, "listen");
	printf("%d\n", ntohs(here.sin_port));
	fflush(stdout);
	while ((fd = accept(at, NULL, NULL)) != -1 || errno == EINTR) {
		if (fd == -1)
			continue;
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			close(at);
			serve(fd, &server);
		}
		close(fd);
	}
	err(1, "accept");
}

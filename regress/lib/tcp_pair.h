/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The two ends of a TCP connection on this machine; -1 (errno) if there is none. */
#ifndef TCP_PAIR_H
#define TCP_PAIR_H

#include <sys/socket.h>

#include <netinet/in.h>

#include <string.h>
#include <unistd.h>

static inline int
tcp_pair(int fds[2])
{
	struct sockaddr_in	 sin;
	socklen_t		 len = sizeof(sin);
	int			 at;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((at = socket(AF_INET, SOCK_STREAM, 0)) == -1 ||
	    bind(at, (struct sockaddr *)&sin, len) == -1 ||
	    listen(at, 1) == -1 ||
	    getsockname(at, (struct sockaddr *)&sin, &len) == -1 ||
	    (fds[0] = socket(AF_INET, SOCK_STREAM, 0)) == -1 ||
	    connect(fds[0], (struct sockaddr *)&sin, len) == -1 ||
	    (fds[1] = accept(at, NULL, NULL)) == -1)
		return -1;
	close(at);
	return 0;
}

#endif /* TCP_PAIR_H */

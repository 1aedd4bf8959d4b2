/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * floor N: what it costs to move N octets as imapsync does, and to do nothing
 * else: from a TCP socket into one process, through a Unix socket into another
 * and out of a TCP socket.  That is four copies by the kernel, 64 KiB each.
 * Printed are the user's and the system's seconds of the two in the middle.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <netinet/in.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char	 block[65536];

/* Two ends of a TCP connection on this machine. */
static void
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
		err(1, "TCP");
	close(at);
}

static void
put(int fd, const char *p, size_t len)
{
	ssize_t	 n;

	for (; len > 0; p += n, len -= (size_t)n)
		if ((n = write(fd, p, len)) == -1)
			err(1, "write");
}

/* All that comes from "in" goes to "out", or nowhere; without "in" zeros. */
static void
move(int in, int out, unsigned long long octets)
{
	ssize_t	 n = sizeof(block);

	while (octets > 0) {
		if (in == -1)
			n = octets < sizeof(block) ? (ssize_t)octets :
			    (ssize_t)sizeof(block);
		else if ((n = read(in, block, sizeof(block))) <= 0)
			err(1, "read");
		if (out != -1)
			put(out, block, (size_t)n);
		octets -= (size_t)n;
	}
}

int
main(int argc, char *argv[])
{
	struct rusage		 ru;
	double			 user = 0, sys = 0;
	int			 bridge[2], first[2], i, last[2], status;
	pid_t			 pid[4];
	unsigned long long	 octets;

	if (argc != 2 || (octets = strtoull(argv[1], NULL, 10)) == 0)
		errx(1, "usage: floor octets");
	tcp_pair(first);
	tcp_pair(last);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, bridge) == -1)
		err(1, "socketpair");
	const int	 from[4] = { -1, first[1], bridge[1], last[1] };
	const int	 to[4] = { first[0], bridge[0], last[0], -1 };

	for (i = 0; i < 4; i++) {
		if ((pid[i] = fork()) == -1)
			err(1, "fork");
		if (pid[i] == 0) {
			move(from[i], to[i], octets);
			_exit(0);
		}
	}
	for (i = 0; i < 4; i++) {
		if (wait4(pid[i], &status, 0, &ru) == -1 || status != 0)
			errx(1, "a process failed");
		if (i == 0 || i == 3)
			continue;
		user += ru.ru_utime.tv_sec + ru.ru_utime.tv_usec / 1e6;
		sys += ru.ru_stime.tv_sec + ru.ru_stime.tv_usec / 1e6;
	}
	printf("%.3f %.3f\n", user, sys);
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "notify.h"

#define TEXT_LEN	512	/* of one datagram */

static int	 notify_fd = -1;
static uint32_t	 notify_ms;	/* from one sign of life to the next */
static int64_t	 notify_last;	/* ms: the last one */

/* Twice in the time that the manager waits; WATCHDOG_PID says for whom. */
static uint32_t
watchdog_env(void)
{
	const char	*pid = getenv("WATCHDOG_PID"), *error;
	const char	*usec = getenv("WATCHDOG_USEC");
	int64_t		 us;

	if (usec == NULL || (pid != NULL && strtonum(pid, 1, INT32_MAX,
	    &error) != (long long)getpid()))
		return 0;
	us = strtonum(usec, 1, INT64_MAX, &error);
	if (error != NULL)
		return 0;
	us /= 2000;
	return us < 1 ? 1 : us > INT32_MAX ? INT32_MAX : (uint32_t)us;
}

static int
notify_connect(const char *path)
{
	struct sockaddr_un	 sun;
	size_t			 len = strlen(path);
	int			 fd;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	/* Other kinds are not for a process of this machine. */
	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(sun.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(sun.sun_path, path, len);
	/* A name of the abstract kind has no end but its length. */
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, (socklen_t)(offsetof(struct
	    sockaddr_un, sun_path) + len)) == 0)
		return fd;
	close(fd);
	return -1;
}

int
notify_open(void)
{
	const char	*path = getenv("NOTIFY_SOCKET");

	if (path != NULL && path[0] != '\0') {
		notify_ms = watchdog_env();
		if ((notify_fd = notify_connect(path)) == -1)
			log_warn("NOTIFY_SOCKET %s", path);
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return notify_fd;
}

void
notify_attach(int fd, uint32_t watchdog_ms)
{
	notify_fd = fd;
	notify_ms = watchdog_ms;
}

uint32_t
notify_watchdog(void)
{
	return notify_fd != -1 ? notify_ms : 0;
}

void
notify_say(const char *fmt, ...)
{
	char	 text[TEXT_LEN];
	va_list	 ap;
	int	 n, saved = errno;

	if (notify_fd == -1)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		(void)!write(notify_fd, text, strlen(text));
	errno = saved;
}

void
notify_reloading(void)
{
	notify_say("RELOADING=1\nMONOTONIC_USEC=%lld\n"
	    "STATUS=looking", (long long)clock_us());
}

void
notify_alive(void)
{
	int64_t	 now;

	if (notify_watchdog() == 0)
		return;
	now = clock_ms();
	if (notify_last != 0 && now - notify_last < notify_ms)
		return;
	notify_last = now;
	notify_say("WATCHDOG=1");
}

int64_t
notify_due(int64_t ms)
{
	int64_t	 left;

	if (notify_watchdog() == 0)
		return ms;
	left = notify_last + notify_ms - clock_ms();
	if (left < 0 || notify_last == 0)
		left = 0;
	return ms < 0 || left < ms ? left : ms;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * OpenBSD: pledge(2) and unveil(2).  regress/unit/test_sandbox_openbsd.c
 * compiles this file everywhere and checks the promises.
 */
#ifdef __OpenBSD__

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <paths.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "sandbox.h"

#define SUPERVISOR	"stdio rpath wpath cpath getpw tty proc exec inet " \
			"dns sendfd"

static void
sb_pledge(const char *promises)
{
	if (pledge(promises, NULL) == -1)
		fatal("sandbox: pledge");
}

static void
sb_unveil(const char *path, const char *permissions)
{
	if (unveil(path, permissions) == -1)
		fatal("sandbox: unveil %s", path == NULL ? "" : path);
}

static void
sb_limit(int what, rlim_t most)
{
	struct rlimit	 rl;

	/* What is less already stays so. */
	if (getrlimit(what, &rl) == -1)
		fatal("sandbox: getrlimit");
	if (rl.rlim_max != RLIM_INFINITY && rl.rlim_max < most)
		most = rl.rlim_max;
	rl.rlim_cur = rl.rlim_max = most;
	if (setrlimit(what, &rl) == -1)
		fatal("sandbox: setrlimit");
}

void
sandbox_early(void)
{
	umask(077);
	sb_limit(RLIMIT_CORE, 0);
}

static void
sb_limits(rlim_t memory)
{
	sb_limit(RLIMIT_NPROC, 0);
	sb_limit(RLIMIT_NOFILE, FILES_MAX);
	sb_limit(RLIMIT_DATA, memory);
}

void
sandbox_net(void)
{
	tzset();
	sb_limits(MEMORY_MAX);
	sb_pledge("stdio");
}

/*
 * setsockopt(2) is no part of stdio, so the lingering can't be switched off: a
 * close(2) drops what the server has not yet acknowledged.  When it has closed
 * its end nothing is left.
 */
void
sandbox_close(int fd, int ms)
{
	struct pollfd	 pfd = { .fd = fd, .events = POLLIN };
	char		 rest[4096];
	int64_t		 end = clock_ms() + ms, left;
	ssize_t		 n = 1;

	/* A tunnel may be no socket, and have an end of its own all the same. */
	shutdown(fd, SHUT_WR);
	while (n != 0 && (left = end - clock_ms()) > 0) {
		if (poll(&pfd, 1, (int)left) <= 0)
			continue;
		n = read(fd, rest, sizeof(rest));
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			break;
	}
	close(fd);
}

void
sandbox_store(const char *dir)
{
	if (dir[0] != '/')
		fatalx("sandbox: %s: not an absolute path", dir);
	tzset();
	sb_limits(STORE_MEMORY_MAX);
	sb_unveil(dir, "rwc");
	sb_unveil(NULL, NULL);
	/*
	 * flock: SQLite's locks of ranges; fattr is not needed (mode 0600).
	 * chown: for root it gives its journal to whom the file belongs.
	 */
	sb_pledge(geteuid() == 0 ? "stdio rpath wpath cpath flock chown" :
	    "stdio rpath wpath cpath flock");
}

/* sendsyslog(2) is a part of stdio. */
void
sandbox_engine(int with)
{
	tzset();
	sb_limits(MEMORY_MAX);
	sb_pledge(with & SANDBOX_LOGFILE ? "stdio recvfd" : "stdio");
}

int
sandbox_clock(void)
{
	return -1;
}

/*
 * pledge(2) ends a process by a signal that abort(3) uses as well; its words go to
 * the terminal at most.
 */
const char *
sandbox_death(int signal)
{
	return signal == SIGABRT ? "its sandbox, or by itself (ktrace(1) of the "
	    "program tells which)" : NULL;
}

/*
 * A tunnel's and a password's command may be any program, and it starts afresh:
 * with NULL for the promises after exec neither the pledge nor the unveils pass
 * to it.  So everything may be read and executed, and nothing be written but
 * what workers get for their standard descriptors, the log, and where the
 * certificates of SSL_CApath are put together.  tty: tcgetattr(3) tells whether
 * somebody types a password; getpw: for YP.
 */
void
sandbox_supervisor(const char *logfile)
{
	const char	*tmp = getenv("TMPDIR");

	sb_unveil("/", "rx");
	/* It need not be there: who needs it says so. */
	(void)unveil(tmp != NULL && *tmp == '/' ? tmp : _PATH_TMP, "rwc");
	if (logfile != NULL)
		sb_unveil(logfile, "rwc");
	sb_unveil("/dev/null", "rw");
	sb_unveil(NULL, NULL);
	sb_pledge(SUPERVISOR);
}

/* It writes where --config says; nothing but the DNS tells it anything. */
void
sandbox_init(void)
{
	sb_pledge(SUPERVISOR);
}

const char *
sandbox_describe(void)
{
	return "pledge, unveil";
}

#endif /* __OpenBSD__ */

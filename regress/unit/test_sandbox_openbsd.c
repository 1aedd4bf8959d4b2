/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * OpenBSD's locks, on any system: sandbox-openbsd.c is compiled here as OpenBSD
 * would, with a pledge(2) and an unveil(2) that write down what they are given.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "../lib/tcp_pair.h"
#include "clock.h"
#include "compat.h"
#include "log.h"
#include "tap.h"

static char	 calls[512];
static int	 failing;

static void
note(const char *what, const char *a, const char *b)
{
	size_t	 used = strlen(calls);

	snprintf(calls + used, sizeof(calls) - used, "%s(%s%s%s); ", what,
	    a == NULL ? "NULL" : a, *what == 'u' ? ", " : "",
	    *what == 'u' ? (b == NULL ? "NULL" : b) : "");
}

static int
test_pledge(const char *promises, const char *execpromises)
{
	note(execpromises == NULL ? "pledge" : "execpledge", promises, NULL);
	errno = EINVAL;
	return failing ? -1 : 0;
}

static int
test_unveil(const char *path, const char *permissions)
{
	note("unveil", path, permissions);
	errno = ENOENT;
	return failing ? -1 : 0;
}

static unsigned long long	 data_limit, file_limit;

/* Written down as well: this process goes on, maybe with a memory checker. */
static int
test_setrlimit(int what, const struct rlimit *rl)
{
	if (what == RLIMIT_DATA)
		data_limit = rl->rlim_cur;
	else if (what == RLIMIT_NOFILE)
		file_limit = rl->rlim_cur;
	else if (what != RLIMIT_NPROC)
		return setrlimit(what, rl);
	return rl->rlim_cur == rl->rlim_max ? 0 : -1;
}

#define setrlimit(what, rl)	test_setrlimit((what), (rl))
static uid_t	 user = 1000;

static uid_t
test_geteuid(void)
{
	return user;
}

#define geteuid	test_geteuid
#define pledge	test_pledge
#define unveil	test_unveil
#ifndef __OpenBSD__
#define __OpenBSD__	1
#endif
#include "../../common/sandbox-openbsd.c"

static void
quiet(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)status;
	(void)level;
	(void)mailbox;
	(void)text;
}

/* The exit status of a child that locks itself. */
static int
status_of(int fail, const char *dir)
{
	pid_t	 pid;
	int	 status;

	if ((pid = fork()) == 0) {
		log_init(quiet, 0);
		failing = fail;
		if (dir == NULL)
			sandbox_net();
		else
			sandbox_store(dir);
		_exit(0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void
check(const char *role, const char *expected)
{
	is_str(calls, expected, role);
	calls[0] = '\0';
}

/* ---- an orderly end ---- */

/* A connection, of which the first end drops what is unsent if it dies. */
static void
connection(int fds[2])
{
	struct linger	 drop = { 1, 0 };

	if (tcp_pair(fds) == -1 || setsockopt(fds[0], SOL_SOCKET, SO_LINGER,
	    &drop, sizeof(drop)) == -1)
		fatal("connection");
}

/* A child writes and ends; returns what arrives of it, -1 if it breaks. */
static long
arrives(int orderly, size_t octets)
{
	static char	 some[65536];
	int		 fds[2];
	long		 all = 0;
	pid_t		 pid;
	ssize_t		 n;

	connection(fds);
	if ((pid = fork()) == 0) {
		close(fds[1]);
		while (octets > 0) {
			n = write(fds[0], some, octets < sizeof(some) ? octets :
			    sizeof(some));
			if (n == -1)
				_exit(1);
			octets -= n;
		}
		if (orderly)
			sandbox_close(fds[0], 20000);
		_exit(0);
	}
	close(fds[0]);
	/* Until it has ended, or waits for nothing but this end. */
	if (!orderly)
		waitpid(pid, NULL, 0);
	while ((n = read(fds[1], some, sizeof(some))) > 0)
		all += n;
	/* The server's last words, which nobody wants any more. */
	if (n == 0 && write(fds[1], "BYE", 3) != 3)
		all = -1;
	close(fds[1]);
	if (orderly)
		waitpid(pid, NULL, 0);
	return n == 0 ? all : -1;
}

static void
test_close(void)
{
	int64_t	 began;
	int	 fds[2];

	is_num(arrives(1, 3000000), 3000000, "close: all arrives");
	is_num(arrives(0, 100000), -1, "a death drops what is unsent");
	connection(fds);
	began = clock_ms();
	sandbox_close(fds[0], 200);
	ok(clock_ms() - began >= 200 && fcntl(fds[0], F_GETFD) == -1,
	    "close: a server that stays is not waited for any longer");
	close(fds[1]);
}

int
main(void)
{
	struct rlimit	 rl;

	sandbox_early();
	ok(umask(022) == 077, "early: umask");
	ok(getrlimit(RLIMIT_CORE, &rl) == 0 && rl.rlim_max == 0,
	    "early: no core dumps");
	check("early: no promise yet", "");
	sandbox_net();
	check("net", "pledge(stdio); ");
	ok(data_limit == MEMORY_MAX && file_limit == FILES_MAX, "net: limits");
	sandbox_store("/var/lib/x");
	check("store", "unveil(/var/lib/x, rwc); unveil(NULL, NULL); "
	    "pledge(stdio rpath wpath cpath flock); ");
	ok(data_limit == STORE_MEMORY_MAX, "store: a limit");
	user = 0;
	sandbox_store("/var/lib/x");
	check("store of root", "unveil(/var/lib/x, rwc); unveil(NULL, NULL); "
	    "pledge(stdio rpath wpath cpath flock chown); ");
	sandbox_engine(0);
	ok(data_limit == MEMORY_MAX, "engine: a limit");
	check("engine", "pledge(stdio); ");
	sandbox_engine(SANDBOX_SYSLOG);
	check("engine with syslog", "pledge(stdio); ");
	sandbox_engine(SANDBOX_LOGFILE);
	check("engine with a log", "pledge(stdio recvfd); ");
	setenv("TMPDIR", "/var/tmp/x", 1);
	sandbox_supervisor(NULL);
	check("supervisor", "unveil(/, rx); unveil(/var/tmp/x, rwc); "
	    "unveil(/dev/null, rw); "
	    "unveil(NULL, NULL); "
	    "pledge(" SUPERVISOR "); ");
	sandbox_init();
	check("--init", "pledge(stdio rpath wpath cpath getpw tty proc exec "
	    "inet dns sendfd); ");
	setenv("TMPDIR", "tmp", 1);
	sandbox_supervisor("/home/joe/log");
	check("supervisor with a log", "unveil(/, rx); "
	    "unveil(" _PATH_TMP ", rwc); "
	    "unveil(/home/joe/log, rwc); unveil(/dev/null, rw); "
	    "unveil(NULL, NULL); "
	    "pledge(" SUPERVISOR "); ");
	is_str(sandbox_describe(), "pledge, unveil", "described");
	ok(sandbox_death(SIGABRT) != NULL && sandbox_death(SIGSEGV) == NULL,
	    "what ends a process");
	is_num(status_of(0, "/x"), 0, "locked");
	is_num(status_of(0, "x"), 1, "the store's directory is absolute");
	is_num(status_of(1, NULL), 1, "a pledge that fails is fatal");
	is_num(status_of(1, "/x"), 1, "so is an unveil");
	test_close();
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What imapsync can't do without, and nothing else.  Printed are the user's and
 * the system's seconds of
 *
 * floor copies N [BLOCK]: moving N octets from a TCP socket into one process,
 * through a Unix socket into another and out of a TCP socket.  That is four copies
 * by the kernel, BLOCK octets each (65536); of the two processes in the middle.
 *
 * floor rows N FILE: giving N messages to a new state FILE, by SQLite, in the
 * tables they are in and with as many COMMITs.
 *
 * floor starts PROGRAM ...: starting these one after the other, each of which
 * only ends.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcp_pair.h"

#define ROWS_COMMIT	200	/* messages, about: what an APPEND holds */

static char	 block[1024 * 1024];
static size_t	 blocklen = 65536;

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
	ssize_t	 n;

	while (octets > 0) {
		if (in == -1)
			n = (ssize_t)(octets < blocklen ? octets : blocklen);
		else if ((n = read(in, block, blocklen)) <= 0)
			err(1, "read");
		if (out != -1)
			put(out, block, (size_t)n);
		octets -= (size_t)n;
	}
}

static double
seconds(const struct timeval *tv)
{
	return (double)tv->tv_sec + (double)tv->tv_usec / 1e6;
}

static void
copies(unsigned long long octets)
{
	struct rusage	 ru;
	double		 user = 0, sys = 0;
	int		 bridge[2], first[2], i, last[2], status;
	pid_t		 pid[4];

	if (tcp_pair(first) == -1 || tcp_pair(last) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, bridge) == -1)
		err(1, "sockets");
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
		user += seconds(&ru.ru_utime);
		sys += seconds(&ru.ru_stime);
	}
	printf("%.3f %.3f\n", user, sys);
}

static void
run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		errx(1, "%s: %s", sql, sqlite3_errmsg(db));
}

static void
rows(long long n, const char *path)
{
	struct rusage		 before, after;
	sqlite3			*db;
	sqlite3_stmt		*st;
	long long		 i;
	unsigned long long	 key = 1;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		errx(1, "%s", path);
	run(db, "PRAGMA locking_mode = EXCLUSIVE;"
	    "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
	    "CREATE TABLE message ("
	    " mailbox INTEGER NOT NULL,"
	    " local INTEGER NOT NULL CHECK (local > 0),"
	    " remote INTEGER NOT NULL CHECK (remote > 0),"
	    " flagset INTEGER NOT NULL, size INTEGER NOT NULL,"
	    " key INTEGER NOT NULL,"
	    " PRIMARY KEY (mailbox, local)) WITHOUT ROWID;"
	    "CREATE UNIQUE INDEX message_remote ON message (mailbox, remote)");
	if (sqlite3_prepare_v2(db, "INSERT INTO message VALUES"
	    " (1, ?1, ?1, 1, ?2, ?3)", -1, &st, NULL) != SQLITE_OK)
		errx(1, "%s", sqlite3_errmsg(db));
	getrusage(RUSAGE_SELF, &before);
	for (i = 1; i <= n; i++) {
		if (i % ROWS_COMMIT == 1)
			run(db, "BEGIN IMMEDIATE");
		/* As evenly spread as a hash is (Knuth's MMIX). */
		key = key * 6364136223846793005ULL + 1442695040888963407ULL;
		sqlite3_bind_int64(st, 1, i);
		sqlite3_bind_int64(st, 2, 4000 + i % 1000);
		sqlite3_bind_int64(st, 3, (long long)key);
		if (sqlite3_step(st) != SQLITE_DONE)
			errx(1, "%s", sqlite3_errmsg(db));
		sqlite3_reset(st);
		if (i % ROWS_COMMIT == 0 || i == n)
			run(db, "COMMIT");
	}
	getrusage(RUSAGE_SELF, &after);
	sqlite3_finalize(st);
	sqlite3_close(db);
	printf("%.3f %.3f\n",
	    seconds(&after.ru_utime) - seconds(&before.ru_utime),
	    seconds(&after.ru_stime) - seconds(&before.ru_stime));
}

/* What they say is of no interest, nor that they refuse to go on. */
static void
starts(char *programs[])
{
	posix_spawn_file_actions_t	 quiet;
	struct rusage			 ru;
	char				*argv[2] = { NULL, NULL };
	char				*env[1] = { NULL };
	double				 user = 0, sys = 0;
	int				 i, status;
	pid_t				 pid;

	if (posix_spawn_file_actions_init(&quiet) != 0)
		errx(1, "posix_spawn");
	for (i = 0; i < 3; i++)
		if (posix_spawn_file_actions_addopen(&quiet, i, "/dev/null",
		    O_RDWR, 0) != 0)
			errx(1, "posix_spawn");
	for (; *programs != NULL; programs++) {
		argv[0] = *programs;
		if (posix_spawn(&pid, *programs, &quiet, NULL, argv, env) != 0)
			errx(1, "%s: can't be started", *programs);
		if (wait4(pid, &status, 0, &ru) == -1)
			err(1, "wait4");
		user += seconds(&ru.ru_utime);
		sys += seconds(&ru.ru_stime);
	}
	posix_spawn_file_actions_destroy(&quiet);
	printf("%.3f %.3f\n", user, sys);
}

int
main(int argc, char *argv[])
{
	unsigned long long	 n = 0;

	if (argc > 2)
		n = strtoull(argv[2], NULL, 10);
	if (argc == 4 && strcmp(argv[1], "copies") == 0)
		blocklen = strtoull(argv[3], NULL, 10);
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "copies") == 0 &&
	    n > 0 && blocklen > 0 && blocklen <= sizeof(block))
		copies(n);
	else if (argc == 4 && strcmp(argv[1], "rows") == 0 && n > 0)
		rows((long long)n, argv[3]);
	else if (argc > 2 && strcmp(argv[1], "starts") == 0)
		starts(argv + 2);
	else
		errx(1, "usage: floor copies octets [block] | rows n file | "
		    "starts program ...");
	return 0;
}

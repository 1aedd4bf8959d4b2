/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * cost FILE PROGRAM ARGUMENT...: what a program costs, with all it waited for.
 * FILE gets one line: the exit status (128 and the number of a signal), then in
 * microseconds the time that passed and the CPU's for user and system, and the
 * peak resident memory of the largest process in KiB.  Who wants to end the
 * program sends SIGTERM to the process group: this one ignores it.
 */
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long long
micro(struct timeval tv)
{
	return tv.tv_sec * 1000000LL + tv.tv_usec;
}

static long long
now(void)
{
	struct timespec	 ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		err(1, "clock_gettime");
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

int
main(int argc, char *argv[])
{
	struct rusage	 ru;
	long long	 began = now(), wall;
	FILE		*fp;
	pid_t		 pid;
	int		 status;

	if (argc < 3)
		errx(64, "usage: cost file program argument ...");
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid == 0) {
		execv(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	signal(SIGTERM, SIG_IGN);
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			err(1, "waitpid");
	}
	wall = now() - began;
	if (getrusage(RUSAGE_CHILDREN, &ru) == -1)
		err(1, "getrusage");
	status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	    WEXITSTATUS(status);
	if ((fp = fopen(argv[1], "w")) == NULL)
		err(1, "%s", argv[1]);
	fprintf(fp, "%d %lld %lld %lld %ld\n", status, wall,
	    micro(ru.ru_utime), micro(ru.ru_stime), ru.ru_maxrss);
	if (fclose(fp) != 0)
		err(1, "%s", argv[1]);
	return status;
}

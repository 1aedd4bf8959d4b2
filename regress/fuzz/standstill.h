/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * For what is CONFINED() (confine.h): its clock stands still unless it waits, and
 * no poll(2) of its waits.  Outside both are what they always are: a fuzzer has
 * a clock of its own.
 */
#ifndef STANDSTILL_H
#define STANDSTILL_H

#include <dlfcn.h>
#include <poll.h>
#include <time.h>

#include "confine.h"

#define POLLS_MAX	100000	/* in one go: it will never end */

static uint64_t	 confine_ms;
static unsigned	 confine_polls;	/* to be set to 0 at the beginning */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	static int	 (*real)(clockid_t, struct timespec *);

	if (confine_on) {
		ts->tv_sec = confine_ms / 1000;
		ts->tv_nsec = confine_ms % 1000 * 1000000;
		return 0;
	}
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	return real(id, ts);
}

int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	static int	 (*real)(struct pollfd *, nfds_t, int);
	int		 got;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "poll");
	if (!confine_on)
		return real(fds, n, ms);
	if ((got = real(fds, n, 0)) == 0 && ms != 0) {
		must(++confine_polls < POLLS_MAX, "it comes to an end");
		confine_ms += ms > 0 ? ms : 1000;
	}
	return got;
}

#endif /* STANDSTILL_H */

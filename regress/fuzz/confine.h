/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A process that is begun again and again inside one: its _exit() comes back to
 * CONFINED().
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <sys/types.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static jmp_buf	 confine_back;
static int	 confine_on;
static int	 confine_status;	/* of _exit() */

/*
 * Run the statement; 0, or 1 if it has ended in _exit().  Variables that it
 * changes must not be automatic ones.
 */
#define CONFINED(statement)						\
	(setjmp(confine_back) == 0 ?					\
	    (confine_on = 1, (statement), confine_on = 0) : 1)

/* What was allocated by whoever called _exit() is not freed. */
const char	*__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0:quarantine_size_mb=16:malloc_context_size=8";
}

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "does not hold: %s\n", what);
		abort();
	}
}

void
_exit(int status)
{
	if (confine_on) {
		confine_on = 0;
		confine_status = status;
		longjmp(confine_back, 1);
	}
	_Exit(status);
}

#endif /* CONFINE_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The least of TAP: ok(), skip(), tap_done().  A test counts as it goes and
 * prints its plan last.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int	 tap_count, tap_failed;

/* One test; returns whether it is passed. */
static inline int __attribute__((__format__(printf, 2, 3)))
ok(int passed, const char *fmt, ...)
{
	va_list	 ap;

	printf("%sok %d - ", passed ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!passed)
		tap_failed++;
	fflush(stdout);
	return passed;
}

static inline int
is_num(long long got, long long expected, const char *what)
{
	int	 passed = got == expected;

	ok(passed, "%s", what);
	if (!passed)
		printf("#   got %lld, not %lld\n", got, expected);
	return passed;
}

static inline int
is_str(const char *got, const char *expected, const char *what)
{
	int	 passed = strcmp(got, expected) == 0;

	ok(passed, "%s", what);
	if (!passed)
		printf("#   got \"%s\", not \"%s\"\n", got, expected);
	return passed;
}

static inline void __attribute__((__format__(printf, 1, 2)))
skip(const char *fmt, ...)
{
	va_list	 ap;

	printf("ok %d # SKIP ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* The plan; returns the exit status. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

/* Numbers that look random and are the same in each run (xorshift64). */
static inline uint64_t
tap_random(void)
{
	static uint64_t	 x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

#endif /* TAP_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * When the next session of --watch begins, which messages are repeated, and
 * what ends the waiting.
 */
#include <sys/wait.h>

#include <signal.h>
#include <unistd.h>

#include "imapsync/imapsync.h"
#include "tap.h"

#define S	1000
#define M	(60 * S)

static void
test_kinds(void)
{
	is_num(backoff_kind(EX_SYNC_TEMP, 0), BACKOFF_LOST, "75");
	is_num(backoff_kind(EX_SYNC_ERROR, 0), BACKOFF_REFUSED, "1");
	is_num(backoff_kind(EX_SYNC_OK, 0), BACKOFF_DONE, "0");
	is_num(backoff_kind(EX_SYNC_PARTIAL, 0), BACKOFF_DONE, "3");
	is_num(backoff_kind(EX_SYNC_ERROR, 1), BACKOFF_CRASHED, "a crash, 1");
	is_num(backoff_kind(EX_SYNC_TEMP, 1), BACKOFF_CRASHED, "a crash, 75");
	is_num(backoff_kind(EX_SYNC_LATER, 0), BACKOFF_FAILED, "an error that "
	    "may pass");
	is_num(backoff_kind(EX_SYNC_LIMIT, 0), BACKOFF_LIMIT, "a busy server");
	is_num(backoff_kind(99, 0), BACKOFF_REFUSED, "another status");
}

/* Failures one after the other: the longest waits. */
static void
series(struct backoff *b, enum backoff_kind kind, const int64_t *want,
    size_t n, const char *what)
{
	char	 name[100];
	size_t	 i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s, failure %zu", what, i + 1);
		is_num(backoff_next(b, kind, 10, 60 * S, 0), want[i], name);
	}
}

static void
test_series(void)
{
	static const int64_t	 lost[] = { 1 * S, 2 * S, 4 * S, 8 * S, 16 * S,
	    32 * S, 64 * S, 128 * S, 256 * S, 5 * M, 5 * M, 5 * M };
	static const int64_t	 refused[] = { 5 * M, 10 * M, 20 * M, 40 * M,
	    60 * M, 60 * M };
	static const int64_t	 failed[] = { 60 * M, 60 * M };
	static const int64_t	 crashed[] = { 30 * S, 60 * S, 120 * S,
	    240 * S, 5 * M, 5 * M };
	static const int64_t	 limit[] = { 10 * S, 20 * S, 40 * S, 80 * S,
	    160 * S, 320 * S, 640 * S, 15 * M, 15 * M };
	struct backoff		 b;

	memset(&b, 0, sizeof(b));
	series(&b, BACKOFF_LIMIT, limit, nitems(limit), "busy");
	memset(&b, 0, sizeof(b));
	series(&b, BACKOFF_LOST, lost, nitems(lost), "lost");
	series(&b, BACKOFF_REFUSED, refused, nitems(refused), "refused");
	series(&b, BACKOFF_FAILED, failed, nitems(failed),
	    "failed, which is the same by now");
	series(&b, BACKOFF_CRASHED, crashed, nitems(crashed), "crashed");
	is_num(backoff_next(&b, BACKOFF_LOST, 60 * S, 0, 0), 5 * M,
	    "a session of a minute does not count yet");
	is_num(backoff_next(&b, BACKOFF_LOST, 60 * S + 1, 0, 0), 1 * S,
	    "one that lived longer does");
	is_num(backoff_next(&b, BACKOFF_REFUSED, 10, 0, 0), 5 * M,
	    "for the other kinds as well");
	is_num(backoff_next(&b, BACKOFF_REFUSED, 400 * S, 0, 0), 10 * M,
	    "but a slow refusal is one more");
	is_num(backoff_next(&b, BACKOFF_LOST, 10, 0, 0), 1 * S,
	    "which counts as alive for the others");
	is_num(backoff_next(&b, BACKOFF_LOST, 10, 0, 0), 2 * S, "and on");
	is_num(backoff_next(&b, BACKOFF_DONE, 10, 60 * S, 7), 60 * S,
	    "no failure: the interval");
	is_num(backoff_next(&b, BACKOFF_REFUSED, 10, 0, 0), 5 * M,
	    "after which all begins anew");
}

static void
test_first(void)
{
	struct backoff	 b;

	memset(&b, 0, sizeof(b));
	is_num(backoff_next(&b, BACKOFF_REFUSED, 10, 60 * S, 0), -1,
	    "refused at the first try: the end");
	memset(&b, 0, sizeof(b));
	is_num(backoff_next(&b, BACKOFF_LOST, 10, 60 * S, 0), 1 * S,
	    "lost at the first try: again");
	is_num(backoff_next(&b, BACKOFF_REFUSED, 10, 60 * S, 0), 5 * M,
	    "refused later: again");
	memset(&b, 0, sizeof(b));
	is_num(backoff_next(&b, BACKOFF_CRASHED, 10, 60 * S, 0), 30 * S,
	    "a crash at the first try: again");
	memset(&b, 0, sizeof(b));
	is_num(backoff_next(&b, BACKOFF_FAILED, 10, 60 * S, 0), 5 * M,
	    "what may pass, at the first try: again");
	is_num(backoff_next(&b, BACKOFF_FAILED, 10, 60 * S, 0), 10 * M,
	    "and again");
}

/* Never less than this, never more than the whole, all between. */
static void
jitter(enum backoff_kind kind, int64_t want, int64_t whole, const char *what)
{
	struct backoff	 b;
	int64_t		 least = INT64_MAX, most = 0, ms;
	uint32_t	 seed = 1;
	char		 name[60];
	int		 i;

	for (i = 0; i < 10000; i++) {
		memset(&b, 0, sizeof(b));
		seed = seed * 1664525 + 1013904223;
		ms = backoff_next(&b, kind, 10, 0, seed >> 8);
		if (ms < least)
			least = ms;
		if (ms > most)
			most = ms;
	}
	snprintf(name, sizeof(name), "%s: the least", what);
	is_num(least, want, name);
	snprintf(name, sizeof(name), "%s: the most", what);
	is_num(most, whole, name);
}

static void
test_jitter(void)
{
	struct backoff	 b;
	int64_t		 ms = 0;
	int		 i;

	jitter(BACKOFF_LOST, 750, 1000, "lost");
	jitter(BACKOFF_LIMIT, 5000, 10000, "busy");
	memset(&b, 0, sizeof(b));
	for (i = 0; i < 40; i++)
		ms = backoff_next(&b, BACKOFF_LOST, 10, 0, UINT32_MAX - i);
	ok(ms >= 225 * S && ms <= 5 * M, "the limit holds with jitter");
}

static void
test_jump(void)
{
	ok(!backoff_jumped(1000, 1000), "no jump");
	ok(!backoff_jumped(1000, 1000 + M), "a minute");
	ok(backoff_jumped(1000, 1001 + M), "more than a minute");
	ok(backoff_jumped(1000, 999 - M), "and back");
}

/* ---- messages ---- */

static void
test_levels(void)
{
	struct sup_opts	 o;

	is_num(sup_level(BACKOFF_LOST), LOG_LV_ERROR, "before all");
	memset(&o, 0, sizeof(o));
	sup_init(022, &o);
	is_num(sup_level(BACKOFF_LOST), LOG_LV_ERROR, "lost, the first time");
	is_num(sup_level(BACKOFF_FAILED), LOG_LV_ERROR,
	    "refused, the first time");
	o.again = BACKOFF_LOST;
	is_num(sup_level(BACKOFF_LOST), LOG_LV_DEBUG, "lost again");
	is_num(sup_level(BACKOFF_FAILED), LOG_LV_ERROR,
	    "refused where it was lost");
	o.again = BACKOFF_FAILED;
	is_num(sup_level(BACKOFF_LOST), LOG_LV_DEBUG,
	    "lost where it was refused");
	is_num(sup_level(BACKOFF_FAILED), LOG_LV_DEBUG, "refused again");
}

/* ---- waiting ---- */

static char	 said[200];

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)status;
	(void)level;
	(void)mailbox;
	strlcpy(said, text, sizeof(said));
}

/* Wait 10 s, or until the signals, each 0.1 s after the one before. */
static int64_t
pause_with(const int *signals, size_t n)
{
	int64_t	 begun = sup_now();
	pid_t	 pid, parent = getpid();
	size_t	 i;

	if ((pid = fork()) == 0) {
		for (i = 0; i < n; i++) {
			usleep(100000);
			kill(parent, signals[i]);
		}
		_exit(0);
	}
	sup_pause(10 * S, NEXT_TRY, "the reason");
	waitpid(pid, NULL, 0);
	return sup_now() - begun;
}

static void
test_pause(void)
{
	static const int	 hup[] = { SIGHUP };
	static const int	 usr[] = { SIGUSR1, SIGHUP };
	static const int	 term[] = { SIGTERM };
	int64_t			 begun = sup_now(), ms;

	log_init(sink, 0);
	sup_pause(300, "x", "x");
	ms = sup_now() - begun;
	ok(ms >= 300 && ms < 3000, "it waits so long");
	ok(pause_with(hup, 1) < 5000, "SIGHUP ends it");
	is_str(said, "", "without a word");
	ok(pause_with(usr, 2) < 5000, "and after a SIGUSR1");
	is_str(said, "waiting 10 s before the next try (the reason)",
	    "which says what we do");
	ok(!sup_stopped(), "nobody said stop");
	ok(pause_with(term, 1) < 5000, "SIGTERM ends it");
	is_num(sup_stopped(), SIGTERM, "and is known");
	begun = sup_now();
	sup_pause(10 * S, "x", "x");
	ok(sup_now() - begun < 1000, "no waiting from there on");
}

int
main(void)
{
	signal(SIGHUP, SIG_DFL);		/* whoever starts us */
	test_kinds();
	test_series();
	test_first();
	test_jitter();
	test_jump();
	test_levels();
	test_pause();
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/wait.h>

#include <errno.h>

#include "buf.h"
#include "log.h"
#include "tap.h"

static void
test_buf(void)
{
	struct buf	 b = BUF_INIT;
	char		 big[5000];
	size_t		 cap;

	buf_puts(&b, "hello");
	buf_add(&b, " world", 6);
	ok(b.len == 11 && memcmp(buf_ptr(&b), "hello world", 11) == 0,
	    "buf_puts() and buf_add()");
	buf_drain(&b, 6);
	ok(b.len == 5 && memcmp(buf_ptr(&b), "world", 5) == 0, "buf_drain()");
	buf_drain(&b, 5);
	ok(b.len == 0 && b.off == 0, "drained: begins at the front again");
	buf_add(&b, "x", 0);
	is_num(b.len, 0, "nothing added");

	memset(big, 'b', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	buf_printf(&b, "%d %s", 42, big);
	ok(b.len == 3 + sizeof(big) - 1 &&
	    memcmp(buf_ptr(&b), "42 bbb", 6) == 0,
	    "buf_printf() of more than its first guess");
	memcpy(buf_room(&b, 3), "end", 3);
	buf_wrote(&b, 3);
	ok(memcmp(buf_ptr(&b) + b.len - 3, "end", 3) == 0,
	    "buf_room() and buf_wrote()");

	buf_clear(&b);
	ok(b.len == 0 && b.data != NULL, "buf_clear() keeps small memory");
	buf_room(&b, 100000);
	buf_clear(&b);
	ok(b.data == NULL && b.cap == 0, "buf_clear() gives large memory back");

	buf_puts(&b, "secret");
	buf_drain(&b, 3);
	cap = b.cap;
	buf_wipe(&b);
	ok(b.len == 0 && b.cap == cap && memcmp(b.data, "\0\0\0\0\0\0", 6) == 0,
	    "buf_wipe() wipes what was drained too");
	buf_free(&b);
	ok(b.data == NULL && b.cap == 0, "buf_free()");
}

/* A queue of octets with a known sequence, in odd portions. */
static void
test_queue(void)
{
	struct buf	 b;
	uint8_t		*p, in = 0, out = 0;
	size_t		 i, n, most = 0;
	int		 same = 1, round;

	buf_init(&b);
	for (round = 0; round < 20000; round++) {
		n = tap_random() % 300;
		p = buf_room(&b, n);
		for (i = 0; i < n; i++)
			p[i] = in++;
		buf_wrote(&b, n);
		n = tap_random() % 320;
		if (n > b.len)
			n = b.len;
		for (i = 0; i < n; i++)
			if (buf_ptr(&b)[i] != out++)
				same = 0;
		buf_drain(&b, n);
		if (b.cap > most)
			most = b.cap;
	}
	ok(same, "a queue keeps its octets");
	ok(most <= 16384, "and its memory in bounds");
	buf_free(&b);
}

/* The same through a second one, now all, now a part. */
static void
test_move(void)
{
	struct buf	 a = BUF_INIT, b = BUF_INIT;
	const uint8_t	*was;
	uint8_t		 in = 0, out = 0, octet;
	size_t		 i, n;
	int		 same = 1, round;

	for (round = 0; round < 20000; round++) {
		for (n = tap_random() % 300; n > 0; n--) {
			octet = in++;
			buf_add(&a, &octet, 1);
		}
		if (tap_random() % 2 == 0)
			buf_move(&b, &a, a.len);
		else if (a.len > 0)
			buf_move(&b, &a, tap_random() % a.len);
		n = tap_random() % 2 == 0 ? b.len : b.len / 2;
		for (i = 0; i < n; i++)
			if (buf_ptr(&b)[i] != out++)
				same = 0;
		buf_drain(&b, n);
	}
	ok(same, "octets that are moved keep their order");
	buf_drain(&b, b.len);
	buf_clear(&a);
	buf_puts(&a, "all");
	was = buf_ptr(&a);
	buf_move(&b, &a, 3);
	ok(buf_ptr(&b) == was && b.len == 3 && a.len == 0,
	    "all of them into nothing are not copied");
	buf_free(&a);
	buf_free(&b);
}

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	printf("# %d %d %s %s\n", status, level,
	    mailbox == NULL ? "-" : mailbox, text);
	fflush(stdout);
}

/* Fails itself: must not be asked again for ever. */
static void
bad_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	(void)status;
	(void)level;
	(void)mailbox;
	fatalx("again: %s", text);
}

static int
fatal_status(int how)
{
	struct buf	 b = BUF_INIT;
	pid_t		 pid;
	int		 status;

	if ((pid = fork()) == 0) {
		log_init(how == 3 ? bad_sink : sink, 0);
		errno = ENOENT;
		if (how == 0)
			fatal("a");
		if (how == 1)
			fatal_ex(EX_SYNC_TEMP, "b");
		if (how == 2)
			buf_drain(&b, 1);
		if (how == 3)
			fatalx("c");
		if (how == 4)
			buf_wrote(&b, 1);
		_exit(0);
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static char		 log_last[LOG_TEXT_MAX];
static int		 log_calls;
static enum log_level	 log_last_level;

static void
keep(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)status;
	(void)mailbox;
	log_calls++;
	log_last_level = level;
	strlcpy(log_last, text, sizeof(log_last));
	errno = 0;
}

static void
test_log(void)
{
	char	 dst[64], small[8], big[LOG_TEXT_MAX * 2];
	char	*p;

	is_str(log_vis(dst, "a b\n\tc\033[1m\\", sizeof(dst)),
	    "a b\\n\\tc\\^[[1m\\\\", "log_vis()");
	is_str(log_vis(dst, "\303\244", sizeof(dst)), "\\M-C\\M-$",
	    "log_vis() of octets above 127");
	is_str(log_vis(small, "abcdefghij", sizeof(small)), "abcdefg",
	    "log_vis() cuts");
	is_str(log_vis(small, "abcdef\n\n", sizeof(small)), "abcdef",
	    "log_vis() never cuts an escape");

	log_init(keep, 0);
	log_debug("no");
	log_mbox(LOG_LV_DEBUG, "INBOX", "no");
	is_num(log_calls, 0, "no debugging messages unless asked for");
	errno = ENOENT;
	log_warn("open %s", "x");
	ok(errno == ENOENT, "errno is kept");
	is_str(log_last, "open x: No such file or directory", "log_warn()");
	is_num(log_last_level, LOG_LV_WARN, "its level");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	is_num(strlen(log_last), LOG_TEXT_MAX - 1, "a long message is cut");
	log_init(keep, 1);
	log_debug("yes");
	is_str(log_last, "yes", "log_debug() with debugging");
	ok(log_debugging(), "log_debugging()");

	is_num(fatal_status(0), 1, "fatal() exits 1");
	is_num(fatal_status(1), 75, "fatal_ex() exits as told");
	is_num(fatal_status(2), 1, "draining too much is fatal");
	is_num(fatal_status(3), 1, "a sink that fails fatally");
	is_num(fatal_status(4), 1, "writing without room is fatal");

	p = xstrndup("abcdef", 3);
	is_str(p, "abc", "xstrndup()");
	free(p);
	p = xreallocarray(NULL, 0, 5);
	ok(p != NULL, "xreallocarray() of nothing");
	free(p);
}

int
main(void)
{
	test_buf();
	test_queue();
	test_move();
	test_log();
	return tap_done();
}

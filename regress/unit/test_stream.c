/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Octets without TLS: plain and DEFLATE, in chunks of all sizes, and peers that
 * end, lie or send bombs.  TLS is in test_tls.c.
 */

#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <zlib.h>

#include "imapsync-net/stream.h"
#include "../lib/tcp_pair.h"
#include "tap.h"

#define TOTAL	(3 * 1024 * 1024)

static uint8_t	*text;		/* TOTAL octets, some compressible */

static void
make_text(void)
{
	size_t	 i;

	text = malloc(TOTAL);
	for (i = 0; i < TOTAL; i++)
		if (i / 50000 % 3 == 2)
			text[i] = tap_random();
		else
			text[i] = "* 1 FETCH (UID 17 FLAGS ())\r\n"[i % 29];
}

static void
pair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		err(1, "socketpair");
}

static void
put(int fd, const void *data, size_t len)
{
	if (write(fd, data, len) != (ssize_t)len)
		err(1, "write");
}

/* Wait until the stream is ready, 5 s at most; 0 if that is in vain. */
static int
wait_for(struct stream *s, int want_read, int want_write)
{
	struct pollfd	 pfd;

	if (want_read && stream_readable(s))
		return 1;
	pfd.fd = stream_fd(s);
	pfd.events = stream_events(s, want_read, want_write);
	return poll(&pfd, 1, 5000) == 1;
}

/* Read until there is something or an end. */
static ssize_t
get(struct stream *s, struct buf *in, size_t max)
{
	ssize_t	 n;

	while ((n = stream_read(s, in, max)) == 0)
		if (!wait_for(s, 1, 0))
			return 0;
	return n;
}

/* What one end of a full-duplex exchange has done. */
struct end {
	struct stream	*s;
	struct buf	 in;
	struct buf	 out;
	size_t		 queued;
	int		 bad;
};

static void
end_write(struct end *e)
{
	size_t	 n;

	if (e->queued < TOTAL) {
		n = 1 + tap_random() % 40000;
		if (tap_random() % 4 == 0)
			n = 1 + tap_random() % 10;
		if (n > TOTAL - e->queued)
			n = TOTAL - e->queued;
		buf_add(&e->out, text + e->queued, n);
		e->queued += n;
	}
	if (stream_write(e->s, &e->out, e->queued == TOTAL ||
	    tap_random() % 3 == 0) != 0)
		e->bad = 1;
	if (stream_unsent(e->s) > 65536)
		e->bad = 1;
}

static void
end_read(struct end *e)
{
	size_t	 had = e->in.len, max = 1 + tap_random() % 50000;
	ssize_t	 n;

	if (had == TOTAL)
		return;
	if (tap_random() % 8 == 0)
		max = 1;
	n = stream_read(e->s, &e->in, max);
	if (n < 0 || (size_t)n > max || e->in.len != had + n)
		e->bad = 1;
}

static int
end_is_done(struct end *e)
{
	return e->bad || (e->queued == TOTAL && e->out.len == 0 &&
	    stream_unsent(e->s) == 0 && e->in.len == TOTAL);
}

/* Both ends send the text to each other at once, in random chunks. */
static void
test_duplex(const char *what, int compress)
{
	struct end	 e[2];
	int		 sv[2], i, idle;

	pair(sv);
	memset(e, 0, sizeof(e));
	for (i = 0; i < 2; i++) {
		e[i].s = stream_new(sv[i]);
		if (compress)
			stream_compress(e[i].s, &e[i].in);
	}
	for (idle = 0; idle < 100000; idle++) {
		for (i = 0; i < 2; i++) {
			end_write(&e[i]);
			end_read(&e[i]);
		}
		if (end_is_done(&e[0]) && end_is_done(&e[1]))
			break;
	}
	for (i = 0; i < 2; i++) {
		ok(!e[i].bad, "%s, end %d: no failure %s", what, i,
		    stream_error(e[i].s));
		ok(e[i].in.len == TOTAL &&
		    memcmp(buf_ptr(&e[i].in), text, TOTAL) == 0,
		    "%s, end %d: all octets in order", what, i);
		ok(!stream_readable(e[i].s) && stream_unsent(e[i].s) == 0,
		    "%s, end %d: nothing is left", what, i);
	}
	for (i = 0; i < 2; i++) {
		stream_close(e[i].s);
		stream_free(e[i].s);
		buf_free(&e[i].in);
		buf_free(&e[i].out);
	}
}

/* ---- the ends ---- */

static void
test_plain(void)
{
	struct stream	*s;
	struct buf	 in = BUF_INIT, out = BUF_INIT;
	int		 sv[2];

	pair(sv);
	s = stream_new(sv[0]);
	ok(fcntl(sv[0], F_GETFL) & O_NONBLOCK, "non-blocking");
	ok(stream_read(s, &in, 100) == 0, "nothing there");
	put(sv[1], "* OK hello\r\n", 12);
	ok(stream_read(s, &in, 4) == 4 && stream_read(s, &in, 0) == 0 &&
	    stream_read(s, &in, 100) == 8 &&
	    memcmp(buf_ptr(&in), "* OK hello\r\n", 12) == 0, "at most max");
	ok(stream_tls_version(s)[0] == '\0' && stream_tls_cipher(s)[0] == '\0'
	    && stream_tls_fingerprint(s)[0] == '\0' &&
	    stream_tls_peer(s, &(size_t){ 0 }) == NULL, "no TLS");
	ok(stream_handshake(s) == -1, "no handshake: %s", stream_error(s));
	ok(stream_events(s, 0, 0) == 0 && stream_events(s, 1, 0) == POLLIN &&
	    stream_events(s, 0, 1) == POLLOUT &&
	    stream_events(s, 1, 1) == (POLLIN | POLLOUT), "events");
	put(sv[1], "bye", 3);
	close(sv[1]);
	ok(stream_read(s, &in, 100) == 3, "the last octets");
	ok(stream_read(s, &in, 100) == STREAM_EOF, "EOF: %s",
	    stream_error(s));
	ok(stream_read(s, &in, 100) == STREAM_EOF, "again");
	buf_puts(&out, "x");
	ok(stream_write(s, &out, 1) == STREAM_ERROR, "EPIPE: %s",
	    stream_error(s));
	ok(stream_write(s, &out, 1) == STREAM_ERROR, "again");
	stream_close(s);
	ok(stream_fd(s) == -1 && stream_write(s, &out, 1) == STREAM_ERROR,
	    "closed");
	stream_close(s);
	stream_free(s);
	buf_free(&in);
	buf_free(&out);
}

static void
test_backpressure(void)
{
	struct stream	*s;
	struct buf	 out = BUF_INIT;
	size_t		 left;
	int		 sv[2];

	pair(sv);
	s = stream_new(sv[0]);
	buf_add(&out, text, TOTAL);
	ok(stream_write(s, &out, 1) == 0 && out.len > 0 && out.len < TOTAL,
	    "plain: takes what the socket takes");
	ok(stream_unsent(s) == 0, "plain: holds nothing back");
	left = out.len;
	ok(stream_write(s, &out, 1) == 0 && out.len == left, "plain: full");
	ok(stream_events(s, 0, 0) == 0, "plain: the caller knows of \"out\"");
	stream_free(s);
	close(sv[1]);

	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &(struct buf)BUF_INIT);
	buf_clear(&out);
	buf_add(&out, text, TOTAL);
	ok(stream_write(s, &out, 1) == 0 && out.len > 0, "deflate: full");
	ok(stream_unsent(s) > 0 && stream_unsent(s) <= 65536,
	    "deflate: bounded");
	ok(stream_events(s, 1, 0) == (POLLIN | POLLOUT),
	    "deflate: waits for the socket");
	stream_free(s);
	close(sv[1]);
	buf_free(&out);
}

static void
test_reset(void)
{
	struct linger	 hard = { 1, 0 }, l;
	struct stream	*s;
	struct buf	 in = BUF_INIT;
	socklen_t	 len = sizeof(l);
	int		 sv[2], fd;

	tcp_pair(sv);
	s = stream_new(sv[0]);
	setsockopt(sv[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(sv[1]);
	ok(get(s, &in, 10) == STREAM_EOF &&
	    strstr(stream_error(s), "reset") != NULL, "reset: %s",
	    stream_error(s));
	stream_free(s);

	tcp_pair(sv);
	setsockopt(sv[0], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	fd = dup(sv[0]);
	s = stream_new(sv[0]);
	stream_close(s);
	ok(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 &&
	    l.l_onoff == 0, "an orderly end lingers not");
	close(fd);
	close(sv[1]);
	stream_free(s);
	buf_free(&in);
}

/* ---- DEFLATE against zlib itself ---- */

/* Raw deflate of data into dst, one flush of the given kind at the end. */
static size_t
zip(uint8_t *dst, size_t size, const void *data, size_t len, int flush)
{
	z_stream	 z;

	memset(&z, 0, sizeof(z));
	deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (uint8_t *)data;
	z.avail_in = len;
	z.next_out = dst;
	z.avail_out = size;
	deflate(&z, flush);
	deflateEnd(&z);
	return size - z.avail_out;
}

static void
test_format(void)
{
	static const char	 cmd[] = "a1 LOGIN me secret\r\na2 NOOP\r\n";
	struct stream		*s;
	struct buf		 in = BUF_INIT, out = BUF_INIT;
	z_stream		 z;
	uint8_t			 raw[1000], plain[1000];
	ssize_t			 n;
	int			 sv[2];

	pair(sv);
	s = stream_new(sv[0]);
	ok(stream_compress(s, &in) == 0, "compression begins");
	ok(stream_compress(s, &in) == -1, "not twice");
	buf_puts(&out, cmd);
	ok(stream_write(s, &out, 0) == 0 && out.len == 0, "taken");
	ok(recv(sv[1], raw, sizeof(raw), MSG_DONTWAIT) == -1,
	    "nothing is sent without a flush");
	ok(stream_write(s, &out, 1) == 0, "flush");
	n = recv(sv[1], raw, sizeof(raw), MSG_DONTWAIT);
	ok(n > 4 && memcmp(raw + n - 4, "\0\0\377\377", 4) == 0,
	    "ends at an octet's boundary");
	memset(&z, 0, sizeof(z));
	inflateInit2(&z, -15);
	z.next_in = raw;
	z.avail_in = n;
	z.next_out = plain;
	z.avail_out = sizeof(plain);
	ok(inflate(&z, Z_SYNC_FLUSH) == Z_OK &&
	    sizeof(plain) - z.avail_out == strlen(cmd) &&
	    memcmp(plain, cmd, strlen(cmd)) == 0, "zlib understands it");
	inflateEnd(&z);
	ok(stream_write(s, &out, 1) == 0 &&
	    recv(sv[1], raw, sizeof(raw), MSG_DONTWAIT) == -1,
	    "no flush of nothing");
	for (n = 0; n < 65536; n += 8)
		buf_puts(&out, "repeats ");
	ok(stream_write(s, &out, 0) == 0, "taken, too");
	n = recv(sv[1], raw, sizeof(raw), MSG_DONTWAIT);
	ok(n > 4 && memcmp(raw + n - 4, "\0\0\377\377", 4) == 0,
	    "of 64 KiB that become %zd octets none is kept", n);
	stream_free(s);
	close(sv[1]);
	buf_free(&in);
	buf_free(&out);
}

static void
test_moved(void)
{
	struct stream	*s;
	struct buf	 in = BUF_INIT;
	uint8_t		 raw[1000];
	size_t		 i, n;
	int		 sv[2], bad = 0;

	/* All of it came behind the OK; then octet by octet. */
	n = zip(raw, sizeof(raw), "* OK compressed\r\n", 17, Z_SYNC_FLUSH);
	pair(sv);
	s = stream_new(sv[0]);
	buf_add(&in, raw, n);
	ok(stream_compress(s, &in) == 0 && in.len == 0, "moved");
	ok(stream_readable(s), "readable without an event");
	ok(stream_read(s, &in, 10) == 10 && stream_readable(s),
	    "max holds for what inflates");
	ok(stream_read(s, &in, 100) == 7 &&
	    memcmp(buf_ptr(&in), "* OK compressed\r\n", 17) == 0, "inflated");
	ok(stream_read(s, &in, 100) == 0 && !stream_readable(s),
	    "and no more");
	stream_free(s);
	close(sv[1]);

	buf_clear(&in);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	for (i = 0; i < n; i++) {
		put(sv[1], raw + i, 1);
		if (stream_read(s, &in, 100) < 0)
			bad = 1;
	}
	ok(!bad && in.len == 17 &&
	    memcmp(buf_ptr(&in), "* OK compressed\r\n", 17) == 0,
	    "octet by octet");
	stream_free(s);
	close(sv[1]);
	buf_free(&in);
}

static void
test_zends(void)
{
	struct stream	*s;
	struct buf	 in = BUF_INIT;
	uint8_t		 raw[1000];
	size_t		 n;
	int		 sv[2];

	n = zip(raw, sizeof(raw), "* BYE\r\n", 7, Z_FINISH);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	put(sv[1], raw, n);
	close(sv[1]);
	ok(get(s, &in, 100) == 7, "finished: the text");
	ok(get(s, &in, 100) == STREAM_EOF, "finished: EOF");
	stream_free(s);

	buf_clear(&in);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	put(sv[1], raw, n);
	put(sv[1], raw, n);
	ok(get(s, &in, 100) == 7, "finished and more: the text");
	ok(get(s, &in, 100) == STREAM_ERROR, "%s", stream_error(s));
	ok(get(s, &in, 100) == STREAM_ERROR, "again");
	stream_free(s);
	close(sv[1]);

	buf_clear(&in);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	put(sv[1], "* OK no deflate at all\r\n", 24);
	ok(get(s, &in, 100) == STREAM_ERROR &&
	    strstr(stream_error(s), "damaged") != NULL, "%s",
	    stream_error(s));
	stream_free(s);
	close(sv[1]);

	/* A stored block, and one of a kind that is none. */
	buf_clear(&in);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	put(sv[1], "\0\4\0\373\377good\6", 10);
	ok(get(s, &in, 100) == STREAM_ERROR && in.len == 0, "nothing is "
	    "handed on with an error");
	stream_free(s);
	close(sv[1]);

	buf_clear(&in);
	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	put(sv[1], raw, 3);
	close(sv[1]);
	while (get(s, &in, 100) > 0)
		continue;
	ok(get(s, &in, 100) == STREAM_EOF, "cut: %s", stream_error(s));
	stream_free(s);
	buf_free(&in);
}

/* A child that sends "mib" MiB of zeros, deflated at level 9, then ends. */
static pid_t
send_zeros(int sv[2], int mib)
{
	static uint8_t	 zeros[1 << 20], raw[1 << 16];
	z_stream	 z;
	pid_t		 pid;
	int		 i;

	pair(sv);
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid > 0) {
		close(sv[1]);
		return pid;
	}
	close(sv[0]);
	memset(&z, 0, sizeof(z));
	deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
	for (i = 0; i < mib; i++) {
		z.next_in = zeros;
		z.avail_in = sizeof(zeros);
		do {
			z.next_out = raw;
			z.avail_out = sizeof(raw);
			deflate(&z, i == mib - 1 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
			if (z.avail_out < sizeof(raw) && write(sv[1], raw,
			    sizeof(raw) - z.avail_out) == -1)
				_exit(1);
		} while (z.avail_out == 0);
	}
	_exit(0);
}

static void
test_bomb(int mib, int end)
{
	struct stream	*s;
	struct buf	 in = BUF_INIT;
	ssize_t		 n, total = 0;
	pid_t		 pid;
	int		 sv[2];

	pid = send_zeros(sv, mib);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	while ((n = get(s, &in, 20000)) > 0 && n <= 20000) {
		total += n;
		buf_clear(&in);
	}
	ok(n == end, "%d MiB of zeros: end with %s", mib, stream_error(s));
	if (end == STREAM_EOF)
		ok(total == (ssize_t)mib << 20, "all arrived");
	else
		ok(total <= 128 << 20, "it stops in time (%zd MiB)",
		    total >> 20);
	stream_free(s);
	waitpid(pid, NULL, 0);
	buf_free(&in);
}

/* Blocks that hold nothing must not keep the caller from its other work. */
static void
test_empty_blocks(void)
{
	static const uint8_t	 block[] = { 0, 0, 0, 255, 255 };
	struct stream		*s;
	struct buf		 in = BUF_INIT, many = BUF_INIT;
	int			 sv[2], i;

	pair(sv);
	s = stream_new(sv[0]);
	stream_compress(s, &in);
	for (i = 0; i < 10000; i++)
		buf_add(&many, block, sizeof(block));
	put(sv[1], buf_ptr(&many), many.len);
	buf_free(&many);
	ok(stream_read(s, &in, 100) == 0 && in.len == 0, "empty blocks");
	put(sv[1], "\1\2\0\375\377ok", 7);
	ok(get(s, &in, 100) == 2, "and text behind them");
	stream_free(s);
	close(sv[1]);
	buf_free(&in);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	make_text();
	test_plain();
	test_backpressure();
	test_reset();
	test_duplex("plain", 0);
	test_duplex("deflate", 1);
	test_format();
	test_moved();
	test_zends();
	test_empty_blocks();
	test_bomb(40, STREAM_EOF);
	test_bomb(300, STREAM_ERROR);
	free(text);
	return tap_done();
}

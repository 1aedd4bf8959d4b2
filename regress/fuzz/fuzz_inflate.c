/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Compressed octets of a server, through the stream, into the parser.
 *
 * The first octet: bit 0 says that what follows is compressed, else it is what
 * the server says, and compressed here; the rest says how, in which pieces it
 * comes, and how many octets are read at once.
 *
 * What must hold: what is read are the octets that zlib makes of it, up to a
 * fault, in bounded memory; the parser makes the same of them in any pieces.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <zlib.h>

#include "imapsync-net/imap.h"
#include "imapsync-net/stream.h"
#include "log.h"
#include "replay.h"

#define INFLATED_MAX	(8 * 1024 * 1024)

static uint64_t	 handed;	/* responses and octets of bodies: a sum */

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "does not hold: %s\n", what);
		abort();
	}
}

static void
sum(const void *p, size_t n)
{
	const uint8_t	*c = p;

	while (n-- > 0)
		handed = (handed ^ *c++) * 1099511628211ULL;
}

static void
on_resp(void *arg, const struct resp *r)
{
	struct uidrange	 range;
	uint32_t	 uid;

	(void)arg;
	sum(&r->type, sizeof(r->type));
	sum(r->text, strlen(r->text));
	UIDSET_FOREACH(range, &r->set, uid)
		sum(&range, sizeof(range));
}

static void
on_body(void *arg, const struct fetch *f, uint64_t len)
{
	(void)arg;
	sum(&f->uid, sizeof(f->uid));
	sum(&len, sizeof(len));
}

static void
on_data(void *arg, const void *p, size_t n)
{
	(void)arg;
	sum(p, n);
}

static void
on_end(void *arg)
{
	(void)arg;
}

static const struct parse_ops	 ops = { on_resp, on_body, on_data, on_end,
				    NULL };

/* ---- what it must be ---- */

static void
compress_all(struct buf *out, const uint8_t *p, size_t n, unsigned how)
{
	z_stream	 z;
	size_t		 k;

	memset(&z, 0, sizeof(z));
	must(deflateInit2(&z, how % 10, Z_DEFLATED, -15, 1 + how % 9,
	    Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
	while (n > 0) {
		k = 1 + (how * 77 + n) % 600;
		if (k > n)
			k = n;
		z.next_in = (Bytef *)(uintptr_t)p;
		z.avail_in = k;
		do {
			z.next_out = buf_room(out, 1024);
			z.avail_out = 1024;
			deflate(&z, how & 4 ? Z_FULL_FLUSH : Z_SYNC_FLUSH);
			buf_wrote(out, 1024 - z.avail_out);
		} while (z.avail_out == 0);
		p += k;
		n -= k;
	}
	deflateEnd(&z);
}

/* What zlib makes of it, and whether it is sound. */
static int
inflate_all(struct buf *out, const uint8_t *p, size_t n)
{
	z_stream	 z;
	int		 r;

	memset(&z, 0, sizeof(z));
	must(inflateInit2(&z, -15) == Z_OK, "zlib");
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = n;
	do {
		z.next_out = buf_room(out, 65536);
		z.avail_out = 65536;
		r = inflate(&z, Z_SYNC_FLUSH);
		buf_wrote(out, 65536 - z.avail_out);
	} while (r == Z_OK && z.avail_out == 0 && out->len < INFLATED_MAX);
	inflateEnd(&z);
	return r == Z_OK || r == Z_BUF_ERROR || r == Z_STREAM_END;
}

/* ---- what it is ---- */

/* All that can be read now: 1, 0 at an end. */
static int
read_some(struct stream *s, struct buf *all, size_t most)
{
	struct buf	 in = BUF_INIT;
	ssize_t		 n;

	do {
		n = stream_read(s, &in, most);
		must(in.len <= most && (n <= 0 || (size_t)n == in.len),
		    "no more octets than were asked for");
		if (in.len > 0)
			buf_add(all, buf_ptr(&in), in.len);
		buf_clear(&in);
	} while (n > 0 || (n == 0 && stream_readable(s)));
	buf_free(&in);
	if (n != 0)
		must(stream_error(s)[0] != '\0', "why it ends");
	return n == 0;
}

static int
read_all(struct buf *all, const struct buf *sent, unsigned how)
{
	struct stream	*s;
	struct buf	 none = BUF_INIT;
	const uint8_t	*p = buf_ptr(sent);
	size_t		 k, n = sent->len;
	int		 sv[2], open = 1;

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0, "socketpair");
	s = stream_new(sv[0]);
	/* What came in the packet of the OK. */
	k = n < how % 5 ? n : how % 5;
	buf_add(&none, p, k);
	must(stream_compress(s, &none) == 0 && none.len == 0, "compression");
	for (p += k, n -= k; open && n > 0; p += k, n -= k) {
		k = 1 + (how * 31 + n) % 3000;
		if (k > n)
			k = n;
		must(send(sv[1], p, k, MSG_NOSIGNAL) == (ssize_t)k, "send");
		open = read_some(s, all, 1 + how * 97 % 9000);
	}
	if (open)
		open = read_some(s, all, 4096);
	stream_free(s);
	buf_free(&none);
	close(sv[1]);
	return open;
}

static uint64_t
parse_all(const uint8_t *p, size_t n, size_t most)
{
	struct parser	 parser;
	ssize_t		 k;

	handed = 14695981039346656037ULL;
	parse_init(&parser, &ops, NULL);
	while (n > 0) {
		k = parse_feed(&parser, p, n < most ? n : most);
		must(parser.lx.line.cap <= 1024 * 1024, "memory");
		if (k == -1)
			break;
		p += k;
		n -= k;
	}
	parse_free(&parser);
	return handed;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf	 sent = BUF_INIT, should = BUF_INIT, is = BUF_INIT;
	int		 sound, open;

	if (n < 2)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	buf_room(&is, 1);
	if (p[0] & 1)
		buf_add(&sent, p + 1, n - 1);
	else
		compress_all(&sent, p + 1, n - 1, p[0] >> 1);
	sound = inflate_all(&should, buf_ptr(&sent), sent.len);
	if (should.len < INFLATED_MAX) {
		open = read_all(&is, &sent, p[0] >> 1);
		must(!open || sound, "a fault is noticed");
		must(is.len <= should.len && memcmp(buf_ptr(&is),
		    buf_ptr(&should), is.len) == 0, "what zlib makes of it");
		must(!open || is.len == should.len, "all of it");
		if ((p[0] & 1) == 0)
			must(open && is.len == n - 1, "what was said");
		must(parse_all(buf_ptr(&is), is.len, SIZE_MAX) ==
		    parse_all(buf_ptr(&is), is.len, 1 + p[0]),
		    "pieces make no difference");
	}
	buf_free(&sent);
	buf_free(&should);
	buf_free(&is);
	return 0;
}

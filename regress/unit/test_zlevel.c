/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * DEFLATE whose level changes at any time (here by chance, level.c is not linked):
 * zlib at the other end must understand all of it, and at each flush have all
 * that was sent so far.
 */

#include <sys/socket.h>

#include <err.h>
#include <signal.h>
#include <zlib.h>

#include "imapsync-net/level.h"
#include "imapsync-net/stream.h"
#include "tap.h"

#define TOTAL	(4 * 1024 * 1024)

static int	 often;		/* one in so many is another level */
static int	 level = LEVEL_BEST;
static unsigned	 seen[LEVEL_BEST + 1], changes;
static uint64_t	 plain, wire;
static int	 full;

void
level_init(struct level *l, uint64_t now)
{
	(void)l;
	ok(now > 0, "the clock runs");
}

int
level_next(struct level *l, uint64_t now)
{
	static const int	 all[] = { LEVEL_NONE, LEVEL_FAST, LEVEL_BEST };
	int			 had = level;

	(void)l;
	(void)now;
	if (tap_random() % often == 0)
		level = all[tap_random() % 3];
	seen[level]++;
	changes += had != level;
	return level;
}

void
level_made(struct level *l, uint64_t p, uint64_t w)
{
	(void)l;
	plain += p;
	wire += w;
}

void
level_full(struct level *l, uint64_t now)
{
	(void)l;
	(void)now;
	full = 1;
}

void
level_flows(struct level *l, uint64_t now)
{
	(void)l;
	(void)now;
	full = 0;
}

void
level_idle(struct level *l, uint64_t now)
{
	(void)l;
	(void)now;
	full = 0;
}

/* The other end: inflate what there is, compare. */
struct peer {
	int		 fd;
	z_stream	 z;
	size_t		 got;
	uint64_t	 octets;
	int		 bad;
};

static void
peer_read(struct peer *p, const uint8_t *text, size_t max)
{
	static uint8_t	 raw[65536], out[65536];
	ssize_t		 n;
	size_t		 made;
	int		 r;

	if ((n = recv(p->fd, raw, max, MSG_DONTWAIT)) <= 0)
		return;
	p->octets += n;
	p->z.next_in = raw;
	p->z.avail_in = n;
	do {
		p->z.next_out = out;
		p->z.avail_out = sizeof(out);
		r = inflate(&p->z, Z_SYNC_FLUSH);
		made = sizeof(out) - p->z.avail_out;
		if ((r != Z_OK && r != Z_BUF_ERROR) ||
		    made > TOTAL - p->got ||
		    memcmp(out, text + p->got, made) != 0) {
			p->bad = 1;
			return;
		}
		p->got += made;
	} while (p->z.avail_out == 0);
	p->bad = p->bad || p->z.avail_in > 0;
}

/* "most" octets at once: commands, or bodies. */
static void
test(const char *what, const uint8_t *text, size_t most, int changing)
{
	struct peer	 p;
	struct stream	*s;
	struct buf	 out = BUF_INIT;
	size_t		 put = 0, n;
	int		 sv[2], flush, small = 4096, late = 0, stuck = 0;
	int		 filled = 0, nudges = 0;

	often = changing;
	changes = 0;
	plain = wire = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		err(1, "socketpair");
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(&p, 0, sizeof(p));
	p.fd = sv[1];
	inflateInit2(&p.z, -MAX_WBITS);
	s = stream_new(sv[0]);
	stream_compress(s, &out);
	while (put < TOTAL && !p.bad && !stuck) {
		n = 1 + tap_random() % most;
		if (n > TOTAL - put)
			n = TOTAL - put;
		buf_add(&out, text + put, n);
		put += n;
		flush = put == TOTAL || tap_random() % 2 == 0;
		while (stream_write(s, &out, flush) == 0 && !p.bad &&
		    (out.len > 0 || stream_unsent(s) > 0)) {
			filled |= full;
			n = p.octets;
			peer_read(&p, text, 1 + tap_random() % 65536);
			if (p.octets == n && stuck++ > 1000)
				break;
		}
		stuck = stuck > 1000;
		if (tap_random() % 8 == 0 && stream_nudge(s)) {
			nudges++;
			(void)stream_write(s, &out, 1);
		}
		if (!flush)
			continue;
		do {
			n = p.octets;
			peer_read(&p, text, 65536);
		} while (n != p.octets);
		late += p.got != put;
	}
	ok(!p.bad && !stuck && p.got == TOTAL, "%s: zlib understands it",
	    what);
	ok(late == 0, "%s: at each flush all is there", what);
	ok(plain == TOTAL && wire + 5 * (uint64_t)nudges == p.octets,
	    "%s: counted", what);
	ok(changes > 20 && filled && nudges > 0, "%s: %u changes, %d nudges",
	    what, changes, nudges);
	inflateEnd(&p.z);
	stream_free(s);
	close(sv[1]);
	buf_free(&out);
}

int
main(void)
{
	uint8_t	*text;
	size_t	 i;

	signal(SIGPIPE, SIG_IGN);
	text = malloc(TOTAL);
	/* What refers to octets far behind, and what does not. */
	for (i = 0; i < TOTAL; i++)
		text[i] = i / 40000 % 3 == 2 || i < 40000 ? tap_random() :
		    i % 97 == 0 ? i / 97 : text[i - 20000 - i / 70000];
	test("commands", text, 2000, 5);
	test("bodies", text, 100000, 2);
	test("always another", text, 20000, 1);
	ok(seen[LEVEL_NONE] > 50 && seen[LEVEL_FAST] > 50 &&
	    seen[LEVEL_BEST] > 50, "each level");
	free(text);
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * How hard to compress, for lines and servers that are a few numbers: whatever
 * the line, the whole takes hardly longer than with the best fixed level.  There
 * is no clock but the model's.
 */

#include <string.h>

#include "imapsync-net/level.h"
#include "tap.h"

#define MB		1000000.0
#define SECOND		1000000.0
#define BLOCK		65536		/* what is compressed at once */
#define BUFFER		200000		/* octets on the way, at most */
#define BEST_ONLY	(-1)

/* What is sent to whom: octets a second, and ratios by level. */
struct world {
	const char	*name;
	double		 line;		/* as compressed */
	double		 server;	/* as inflated */
	double		 inflate;	/* the server's, of that time */
	double		 source;	/* how fast octets come to us */
	double		 speed[2];	/* ours at LEVEL_FAST, LEVEL_BEST */
	double		 ratio[2];
};

/* What passed, microseconds. */
struct passed {
	double		 now;
	double		 done;		/* when the buffer is empty */
	double		 cpu;
	double		 wire;
	int		 levels[7];	/* blocks by level */
};

static double
ratio(const struct world *w, int level)
{
	return level == LEVEL_NONE ? 1 : w->ratio[level == LEVEL_BEST];
}

/* How long we take for a block, and how long the other end. */
static double
ours(const struct world *w, int level)
{
	if (level == LEVEL_NONE)
		return BLOCK / (500 * MB) * SECOND;
	return BLOCK / w->speed[level == LEVEL_BEST] * SECOND;
}

static double
theirs(const struct world *w, int level)
{
	double	 line, server;

	line = BLOCK / ratio(w, level) / w->line * SECOND;
	server = BLOCK / w->server * SECOND;
	if (level != LEVEL_NONE)
		server += BLOCK / w->inflate * SECOND;
	return line > server ? line : server;
}

/*
 * So many octets, by blocks; the socket is full when what is on its way would
 * be more than BUFFER.  "fixed": always that level, or -1.
 */
static void
pass(struct level *l, const struct world *w, double octets, int fixed,
    struct passed *p)
{
	double	 t, free, came = p->now;
	int	 level;

	while (octets > 0) {
		octets -= BLOCK;
		came += BLOCK / w->source * SECOND;
		if (p->now < came) {
			level_idle(l, p->now);
			p->now = came;
		}
		level = level_next(l, p->now);
		if (fixed != -1)
			level = fixed;
		p->levels[level]++;
		p->now += ours(w, level);
		p->cpu += ours(w, level);
		p->wire += BLOCK / ratio(w, level);
		level_made(l, BLOCK, BLOCK / ratio(w, level));
		t = theirs(w, level);
		/* It can be put when so much of it is left to be taken. */
		free = p->done - t * BUFFER / (BLOCK / ratio(w, level));
		if (free > p->now) {
			level_full(l, p->now);
			level_full(l, p->now);
			p->now = free;
		}
		level_flows(l, p->now);
		p->done = (p->done > p->now ? p->done : p->now) + t;
	}
}

static void
run(const struct world *w, double octets, int fixed, struct passed *p)
{
	struct level	 l;

	memset(p, 0, sizeof(*p));
	level_init(&l, 0);
	pass(&l, w, octets, fixed, p);
	if (p->done > p->now)
		p->now = p->done;
}

#define TEXT	{ 100 * MB, 25 * MB }, { 2.87, 3.55 }
#define BASE64	{ 36 * MB, 28 * MB }, { 1.29, 1.32 }

static const struct world worlds[] = {
	{ "1 Mbit/s", 0.125 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "1 Mbit/s, base64", 0.125 * MB, 200 * MB, 300 * MB, 500 * MB,
	    BASE64 },
	{ "10 Mbit/s", 1.25 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "10 Mbit/s, base64", 1.25 * MB, 200 * MB, 300 * MB, 500 * MB,
	    BASE64 },
	{ "20 Mbit/s", 2.5 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "50 Mbit/s", 6.25 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "100 Mbit/s", 12.5 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "100 Mbit/s, base64", 12.5 * MB, 200 * MB, 300 * MB, 500 * MB,
	    BASE64 },
	{ "1 Gbit/s", 125 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "loopback", 5000 * MB, 200 * MB, 300 * MB, 500 * MB, TEXT },
	{ "loopback, base64", 5000 * MB, 200 * MB, 300 * MB, 500 * MB,
	    BASE64 },
	{ "a server of 20 MB/s", 5000 * MB, 20 * MB, 300 * MB, 500 * MB,
	    TEXT },
	{ "a server of 3 MB/s", 5000 * MB, 3 * MB, 300 * MB, 500 * MB, TEXT },
	{ "a source of 1 MB/s", 5000 * MB, 200 * MB, 300 * MB, 1 * MB, TEXT },
	{ "a source of 30 MB/s", 5000 * MB, 200 * MB, 300 * MB, 30 * MB,
	    TEXT },
};

/* All that is promised: the time, whatever limits it. */
static void
test_worlds(void)
{
	static const int	 levels[] = { LEVEL_NONE, LEVEL_FAST,
				    LEVEL_BEST };
	struct passed		 p, q;
	double			 least, most;
	size_t			 i, k;

	for (i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
		run(&worlds[i], 500 * MB, -1, &p);
		least = 1e18;
		for (k = 0; k < 3; k++) {
			run(&worlds[i], 500 * MB, levels[k], &q);
			if (q.now < least)
				least = q.now;
		}
		most = worlds[i].line < 2 * MB ? 1.02 : 1.1;
		ok(p.now <= most * least, "%s: %.2f s, at best %.2f s "
		    "(%d, %d, %d)", worlds[i].name, p.now / SECOND, least /
		    SECOND, p.levels[0], p.levels[1], p.levels[6]);
	}
}

static const struct world *
world(const char *name)
{
	size_t	 i;

	for (i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++)
		if (strcmp(worlds[i].name, name) == 0)
			return &worlds[i];
	return NULL;
}

/* What it costs and saves besides. */
static void
test_costs(void)
{
	struct passed	 p, q;

	run(world("loopback"), 500 * MB, -1, &p);
	ok(p.cpu < 1.5 * SECOND, "loopback: %.2f s of ours", p.cpu / SECOND);
	run(world("a server of 20 MB/s"), 500 * MB, -1, &p);
	ok(p.cpu < 3 * SECOND, "a busy server: %.2f s of ours", p.cpu /
	    SECOND);
	run(world("10 Mbit/s"), 100 * MB, -1, &p);
	run(world("10 Mbit/s"), 100 * MB, LEVEL_BEST, &q);
	ok(p.wire <= q.wire * 1.01, "10 Mbit/s: %.1f MB, at best %.1f", p.wire /
	    MB, q.wire / MB);
	run(world("a source of 1 MB/s"), 100 * MB, -1, &p);
	ok(p.levels[0] == 0, "what comes slowly is compressed");
	run(world("loopback"), 0.5 * MB, -1, &p);
	ok(p.levels[0] + p.levels[1] == 0, "and so is little");
}

/* The line changes under it. */
static void
test_changes(void)
{
	struct level	 l;
	struct passed	 p;

	memset(&p, 0, sizeof(p));
	level_init(&l, 0);
	pass(&l, world("loopback"), 100 * MB, -1, &p);
	ok(l.now == LEVEL_NONE, "fast: nothing");
	pass(&l, world("10 Mbit/s"), 5 * MB, -1, &p);
	ok(l.now == LEVEL_BEST, "slow: all");
	pass(&l, world("loopback"), 200 * MB, -1, &p);
	ok(l.now == LEVEL_NONE, "fast again: nothing");
	pass(&l, world("100 Mbit/s"), 200 * MB, -1, &p);
	ok(l.now == LEVEL_FAST, "as fast as zlib: a little");
}

/* A trial in vain is not made again at once. */
static void
test_rests(void)
{
	const struct world	*w = world("20 Mbit/s");
	struct level		 l;
	struct passed		 p;
	int			 first, second;

	memset(&p, 0, sizeof(p));
	level_init(&l, 0);
	pass(&l, w, 16 * MB, -1, &p);
	first = p.levels[0];
	ok(first > 0 && l.now == LEVEL_BEST && l.rest == LEVEL_REST_MIN,
	    "a trial of %d blocks", first);
	pass(&l, w, 24 * MB, -1, &p);
	second = p.levels[0] - first;
	ok(second > 0 && second <= first && l.rest == 2 * LEVEL_REST_MIN,
	    "the second");
	pass(&l, w, 4000 * MB, -1, &p);
	ok(p.levels[0] <= 12 * first && l.rest == LEVEL_REST_MAX,
	    "%d blocks in 4 GB", p.levels[0]);
}

int
main(void)
{
	test_worlds();
	test_costs();
	test_changes();
	test_rests();
	return tap_done();
}

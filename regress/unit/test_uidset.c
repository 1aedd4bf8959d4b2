/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include "tap.h"
#include "uidset.h"

/* The model: one bit for each of 96 UIDs, low ones or those at the very top. */
#define MODEL	96

struct model {
	uint8_t	 has[MODEL];
	uint32_t base;		/* the UID of has[0] */
};

static int
well_formed(const struct uidset *s)
{
	const struct uidblock	*k;
	uint32_t		 last = 0;
	size_t			 b, n = 0;
	unsigned		 i;

	for (b = 0; b < s->nb; b++) {
		k = &s->b[b];
		if (k->n == 0 || k->n > k->cap || k->n > UIDBLOCK_MAX)
			return 0;
		for (i = 0; i < k->n; i++, n++) {
			if (k->r[i].lo == 0 || k->r[i].lo > k->r[i].hi)
				return 0;
			if (n > 0 && k->r[i].lo - 1 <= last)
				return 0;
			last = k->r[i].hi;
		}
	}
	return s->nb <= s->cap && s->n == n;
}

static int
agrees(const struct uidset *s, const struct model *m)
{
	uint64_t	 count = 0;
	uint32_t	 i, uid, min = 0, max = 0;

	for (i = 0; i < MODEL; i++) {
		uid = m->base + i;
		if (uidset_has(s, uid) != m->has[i])
			return 0;
		if (!m->has[i])
			continue;
		if (uidset_nth(s, count) != uid)
			return 0;
		count++;
		if (min == 0)
			min = uid;
		max = uid;
	}
	return well_formed(s) && uidset_count(s) == count &&
	    uidset_min(s) == min && uidset_max(s) == max &&
	    uidset_nth(s, count) == 0 && uidset_empty(s) == (count == 0);
}

static void
model_set(struct model *m, uint32_t a, uint32_t b, int value)
{
	uint32_t	 i;

	for (i = a < b ? a : b; i <= (a < b ? b : a); i++)
		m->has[i] = value;
}

static void
random_fill(struct uidset *s, struct model *m, uint32_t base)
{
	uint32_t	 a, b;
	int		 i, n = tap_random() % 12;

	uidset_free(s);
	memset(m, 0, sizeof(*m));
	m->base = base;
	for (i = 0; i < n; i++) {
		a = tap_random() % MODEL;
		b = tap_random() % 3 == 0 ? tap_random() % MODEL : a;
		uidset_add(s, base + a, base + b);
		model_set(m, a, b, 1);
	}
}

static void
test_model(uint32_t base, const char *where)
{
	struct uidset	 a = UIDSET_INIT, b = UIDSET_INIT, c = UIDSET_INIT;
	struct model	 x, y;
	uint32_t	 i, lo, hi;
	int		 round, good[5] = { 1, 1, 1, 1, 1 };

	for (round = 0; round < 5000; round++) {
		random_fill(&a, &x, base);
		random_fill(&b, &y, base);
		good[0] &= agrees(&a, &x) && agrees(&b, &y);

		uidset_copy(&c, &a);
		uidset_or(&c, &b);
		for (i = 0; i < MODEL; i++)
			y.has[i] |= x.has[i];
		good[1] &= agrees(&c, &y);

		random_fill(&b, &y, base);
		uidset_copy(&c, &a);
		uidset_and(&c, &b);
		for (i = 0; i < MODEL; i++)
			y.has[i] &= x.has[i];
		good[2] &= agrees(&c, &y);

		random_fill(&b, &y, base);
		uidset_copy(&c, &a);
		uidset_sub(&c, &b);
		for (i = 0; i < MODEL; i++)
			y.has[i] = x.has[i] && !y.has[i];
		good[3] &= agrees(&c, &y);

		lo = tap_random() % MODEL;
		hi = tap_random() % MODEL;
		uidset_del(&a, base + lo, base + hi);
		model_set(&x, lo, hi, 0);
		good[4] &= agrees(&a, &x);
	}
	ok(good[0], "add, %s", where);
	ok(good[1], "or, %s", where);
	ok(good[2], "and, %s", where);
	ok(good[3], "sub, %s", where);
	ok(good[4], "del, %s", where);
	uidset_free(&a);
	uidset_free(&b);
	uidset_free(&c);
}

#define LARGE	8192

static int
same_large(const struct uidset *s, const uint8_t *has)
{
	struct uidrange	 r;
	uint32_t	 after, uid = 1, n = 0;

	UIDSET_FOREACH(r, s, after) {
		for (; uid < r.lo; uid++)
			if (has[uid])
				return 0;
		for (; uid <= r.hi; uid++, n++)
			if (uid > LARGE || !has[uid])
				return 0;
	}
	for (; uid <= LARGE; uid++)
		if (has[uid])
			return 0;
	return well_formed(s) && uidset_count(s) == n;
}

/* A few ranges, in one call or as a set of their own. */
static void
change_large(struct uidset *s, uint8_t *has, int op)
{
	struct uidset	 few = UIDSET_INIT;
	uint32_t	 lo, hi, uid;
	int		 i, n = op < 2 ? 1 : 1 + tap_random() % 20;

	for (i = 0; i < n; i++) {
		lo = 1 + tap_random() % LARGE;
		hi = tap_random() % 50 == 0 ? lo + tap_random() % 400 : lo;
		if (hi > LARGE)
			hi = LARGE;
		for (uid = lo; uid <= hi; uid++)
			has[uid] = op % 2 == 0;
		if (op == 0)
			uidset_add(s, lo, hi);
		else if (op == 1)
			uidset_del(s, lo, hi);
		else
			uidset_add(&few, lo, hi);
	}
	if (op == 2)
		uidset_or(s, &few);
	else if (op == 3)
		uidset_sub(s, &few);
	uidset_free(&few);
}

/* Sets of many blocks: filled in three orders, then changed at random. */
static void
test_blocks(void)
{
	static uint8_t	 has[LARGE + 1];
	struct uidset	 s = UIDSET_INIT, t = UIDSET_INIT;
	int		 i, order, good = 1;

	for (order = 0; order < 3; order++) {
		uidset_free(&s);
		memset(has, 0, sizeof(has));
		for (i = 1; i <= LARGE / 2; i++) {
			uint32_t	 uid = order == 0 ? 2 * i : order == 1 ?
					    LARGE + 2 - 2 * i :
					    2 * (i * 1021 % (LARGE / 2)) + 2;

			has[uid] = 1;
			uidset_add(&s, uid, uid);
		}
		ok(same_large(&s, has) && s.n == LARGE / 2, "a comb, %s",
		    order == 0 ? "rising" : order == 1 ? "falling" : "mixed");
		if (order < 2)
			is_num(s.nb, LARGE / 2 / UIDBLOCK_MAX,
			    "its blocks are full");
	}
	for (i = 0; i < 40000 && good; i++) {
		change_large(&s, has, i / 500 % 2 * 2 + tap_random() % 2);
		if (i % 50 == 0)
			good = same_large(&s, has);
	}
	ok(good && same_large(&s, has), "40,000 changes to it");
	uidset_copy(&t, &s);
	uidset_and(&t, &s);
	ok(same_large(&t, has), "a copy of it");
	uidset_del(&s, 1, UINT32_MAX);
	is_num(s.nb, 0, "emptied");
	uidset_free(&s);
	uidset_free(&t);
}

static const char *
whole(const struct uidset *s)
{
	static char	 text[256];
	uint32_t	 i = 0;

	uidset_format(s, &i, text, sizeof(text));
	return text;
}

static void
test_parse(void)
{
	static const char *const	 bad[] = {
		"", ",", "0", "1,", ",1", "1:", ":1", "1,,2", "1:2:3", "*",
		"1:*", "4294967296", "01", "1 ", " 1", "-1", "0:5", "5:0",
		"99999999999999999999", "1,2,x", "1;2"
	};
	struct uidset	 s = UIDSET_INIT, t = UIDSET_INIT;
	size_t		 i;

	uidset_add(&t, 7, 9);
	for (i = 0; i < nitems(bad); i++) {
		uidset_copy(&s, &t);
		ok(uidset_parse(&s, bad[i], strlen(bad[i])) == -1 &&
		    strcmp(whole(&s), "7:9") == 0, "\"%s\" is malformed",
		    bad[i]);
	}
	uidset_free(&s);
	is_num(uidset_parse(&s, "9:7,1,3:5,4,2", 13), 0, "a set out of order");
	is_str(whole(&s), "1:5,7:9", "is put in order");
	is_num(uidset_parse(&s, "6:6x", 3), 0, "only len octets are read");
	is_str(whole(&s), "1:9", "it closed the gap");
	uidset_free(&s);
	is_num(uidset_parse(&s, "1:4294967295", 12), 0, "all UIDs");
	is_num(uidset_count(&s), 4294967295LL, "are counted");
	is_num(uidset_nth(&s, 4294967294ULL), 4294967295LL, "the last");
	uidset_del(&s, 4294967295U, 2);
	is_str(whole(&s), "1", "all but one deleted");
	uidset_add(&s, 0, 0);
	uidset_del(&s, 0, 0);
	is_str(whole(&s), "1", "0 is ignored");
	uidset_del(&s, 0, 1);
	ok(uidset_empty(&s), "empty");
	is_str(whole(&s), "", "and formatted as nothing");
	uidset_add(&s, 5, 0);
	is_str(whole(&s), "1:5", "0 to 5 is 1 to 5");
	uidset_or(&s, &s);
	uidset_and(&s, &s);
	is_str(whole(&s), "1:5", "or and and with itself");
	uidset_sub(&s, &s);
	ok(uidset_empty(&s), "less itself");
	uidset_free(&s);
	uidset_free(&t);
}

/* A server may send ranges in the worst order. */
static void
test_large(void)
{
	struct uidset	 s = UIDSET_INIT, t = UIDSET_INIT;
	char		*text, line[64];
	uint32_t	 at;
	size_t		 i, n, len = 0, parts = 0;
	const size_t	 ranges = 200000;

	text = malloc(ranges * 12);
	for (i = ranges; i > 0; i--)
		len += sprintf(text + len, "%s%zu", len == 0 ? "" : ",", i * 2);
	is_num(uidset_parse(&s, text, len), 0, "200,000 UIDs, falling");
	is_num(uidset_count(&s), ranges, "all of them");
	free(text);

	at = 0;
	while ((n = uidset_format(&s, &at, line, sizeof(line))) > 0) {
		parts++;
		if (n != strlen(line) || uidset_parse(&t, line, n) == -1)
			break;
		if (parts > 2000)
			break;
	}
	ok(parts > 2000 && at < uidset_max(&s), "formatted in parts");
	uidset_and(&s, &t);
	is_num(uidset_count(&s), uidset_count(&t), "which are what they were");
	is_num(uidset_max(&t), at, "and *after is the last");

	uidset_free(&t);
	uidset_add(&t, 4294967290U, 4294967295U);
	uidset_add(&t, 4000000000U, 4100000000U);
	at = 0;
	is_num(uidset_format(&t, &at, line, 22), 21, "a range just fits");
	is_str(line, "4000000000:4100000000", "the first");
	is_num(uidset_format(&t, &at, line, 22), 21, "the second");
	is_num(uidset_format(&t, &at, line, 22), 0, "then no more");
	uidset_free(&s);
	uidset_free(&t);
}

int
main(void)
{
	test_model(1, "low UIDs");
	test_model(UINT32_MAX - MODEL + 1, "the highest UIDs");
	test_blocks();
	test_parse();
	test_large();
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <stdio.h>

#include "log.h"
#include "uidset.h"

#define UIDSET_WORD	22	/* "4294967294:4294967295" and the NUL */

void
uidset_init(struct uidset *s)
{
	memset(s, 0, sizeof(*s));
}

void
uidset_free(struct uidset *s)
{
	free(s->r);
	uidset_init(s);
}

/* Make room for n ranges in all. */
static void
uidset_room(struct uidset *s, size_t n)
{
	size_t	 cap = s->cap < 4 ? 4 : s->cap;

	if (n <= s->cap)
		return;
	while (cap < n)
		cap = cap > SIZE_MAX / 2 ? n : cap * 2;
	s->r = xreallocarray(s->r, cap, sizeof(*s->r));
	s->cap = cap;
}

void
uidset_copy(struct uidset *dst, const struct uidset *src)
{
	if (dst == src)
		return;
	dst->n = 0;
	if (src->n == 0)
		return;
	uidset_room(dst, src->n);
	memcpy(dst->r, src->r, src->n * sizeof(*src->r));
	dst->n = src->n;
}

/* The first range that ends at uid or above; s->n if there is none. */
static size_t
uidset_find(const struct uidset *s, uint32_t uid)
{
	size_t	 lo = 0, hi = s->n, mid;

	/* Most sets are filled in order. */
	if (s->n > 0 && s->r[s->n - 1].hi < uid)
		return s->n;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (s->r[mid].hi < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Put lo and hi in order, without 0.  Returns 0 if nothing is left. */
static int
uidset_order(uint32_t *lo, uint32_t *hi)
{
	uint32_t	 t;

	if (*lo > *hi) {
		t = *lo;
		*lo = *hi;
		*hi = t;
	}
	if (*hi == 0)
		return 0;
	if (*lo == 0)
		*lo = 1;
	return 1;
}

void
uidset_add(struct uidset *s, uint32_t lo, uint32_t hi)
{
	size_t	 i, j;

	if (!uidset_order(&lo, &hi))
		return;
	/* From i to j - 1 are those that overlap or touch lo to hi. */
	i = uidset_find(s, lo - 1);
	for (j = i; j < s->n && (hi == UINT32_MAX || s->r[j].lo <= hi + 1); j++)
		;
	if (i == j) {
		uidset_room(s, s->n + 1);
		memmove(s->r + i + 1, s->r + i, (s->n - i) * sizeof(*s->r));
		s->n++;
	} else {
		if (s->r[i].lo < lo)
			lo = s->r[i].lo;
		if (s->r[j - 1].hi > hi)
			hi = s->r[j - 1].hi;
		memmove(s->r + i + 1, s->r + j, (s->n - j) * sizeof(*s->r));
		s->n -= j - i - 1;
	}
	s->r[i].lo = lo;
	s->r[i].hi = hi;
}

void
uidset_del(struct uidset *s, uint32_t lo, uint32_t hi)
{
	size_t	 i, j;

	if (!uidset_order(&lo, &hi))
		return;
	i = uidset_find(s, lo);
	if (i == s->n || s->r[i].lo > hi)
		return;
	if (s->r[i].lo < lo && s->r[i].hi > hi) {	/* a hole in one */
		uidset_room(s, s->n + 1);
		memmove(s->r + i + 1, s->r + i, (s->n - i) * sizeof(*s->r));
		s->n++;
		s->r[i].hi = lo - 1;
		s->r[i + 1].lo = hi + 1;
		return;
	}
	if (s->r[i].lo < lo)
		s->r[i++].hi = lo - 1;
	for (j = i; j < s->n && s->r[j].hi <= hi; j++)
		;
	if (j < s->n && s->r[j].lo <= hi)
		s->r[j].lo = hi + 1;
	memmove(s->r + i, s->r + j, (s->n - j) * sizeof(*s->r));
	s->n -= j - i;
}

int
uidset_has(const struct uidset *s, uint32_t uid)
{
	size_t	 i = uidset_find(s, uid);

	return uid != 0 && i < s->n && s->r[i].lo <= uid;
}

uint64_t
uidset_count(const struct uidset *s)
{
	uint64_t	 count = 0;
	size_t		 i;

	for (i = 0; i < s->n; i++)
		count += (uint64_t)s->r[i].hi - s->r[i].lo + 1;
	return count;
}

uint64_t
uidset_upto(const struct uidset *s, uint32_t n)
{
	uint64_t	 count = 0;
	size_t		 i;

	for (i = 0; i < s->n && s->r[i].lo <= n; i++)
		count += (uint64_t)(s->r[i].hi < n ? s->r[i].hi : n) -
		    s->r[i].lo + 1;
	return count;
}

uint32_t
uidset_min(const struct uidset *s)
{
	return s->n == 0 ? 0 : s->r[0].lo;
}

uint32_t
uidset_max(const struct uidset *s)
{
	return s->n == 0 ? 0 : s->r[s->n - 1].hi;
}

/* Append a range that begins nowhere below the last one's begin. */
static void
uidset_append(struct uidset *s, uint32_t lo, uint32_t hi)
{
	struct uidrange	*last = s->n == 0 ? NULL : &s->r[s->n - 1];

	if (last != NULL && (last->hi == UINT32_MAX || lo <= last->hi + 1)) {
		if (hi > last->hi)
			last->hi = hi;
		return;
	}
	uidset_room(s, s->n + 1);
	s->r[s->n].lo = lo;
	s->r[s->n].hi = hi;
	s->n++;
}

/* dst becomes what new holds; new is no more. */
static void
uidset_become(struct uidset *dst, struct uidset *new)
{
	free(dst->r);
	*dst = *new;
}

void
uidset_or(struct uidset *dst, const struct uidset *src)
{
	struct uidset		 new = UIDSET_INIT;
	const struct uidrange	*r;
	size_t			 i = 0, j = 0;

	if (src->n == 0 || src == dst)
		return;
	while (i < dst->n || j < src->n) {
		if (j == src->n ||
		    (i < dst->n && dst->r[i].lo <= src->r[j].lo))
			r = &dst->r[i++];
		else
			r = &src->r[j++];
		uidset_append(&new, r->lo, r->hi);
	}
	uidset_become(dst, &new);
}

void
uidset_and(struct uidset *dst, const struct uidset *src)
{
	struct uidset	 new = UIDSET_INIT;
	uint32_t	 lo, hi;
	size_t		 i = 0, j = 0;

	if (src == dst)
		return;
	while (i < dst->n && j < src->n) {
		lo = dst->r[i].lo > src->r[j].lo ? dst->r[i].lo : src->r[j].lo;
		hi = dst->r[i].hi < src->r[j].hi ? dst->r[i].hi : src->r[j].hi;
		if (lo <= hi)
			uidset_append(&new, lo, hi);
		if (dst->r[i].hi < src->r[j].hi)
			i++;
		else
			j++;
	}
	uidset_become(dst, &new);
}

void
uidset_sub(struct uidset *dst, const struct uidset *src)
{
	struct uidset	 new = UIDSET_INIT;
	uint32_t	 lo, hi;
	size_t		 i, j = 0;
	int		 left;

	if (src == dst) {
		dst->n = 0;
		return;
	}
	for (i = 0; i < dst->n; i++) {
		lo = dst->r[i].lo;
		hi = dst->r[i].hi;
		left = 1;
		while (j < src->n && src->r[j].hi < lo)
			j++;
		/* The last one seen may reach into the next of dst. */
		for (; j < src->n && src->r[j].lo <= hi; j++) {
			if (src->r[j].lo > lo)
				uidset_append(&new, lo, src->r[j].lo - 1);
			if (src->r[j].hi >= hi) {
				left = 0;
				break;
			}
			lo = src->r[j].hi + 1;
		}
		if (left)
			uidset_append(&new, lo, hi);
	}
	uidset_become(dst, &new);
}

/* An nz-number that fits into 32 bits; returns the octets it has, or 0. */
static size_t
uidset_number(const char *p, size_t len, uint32_t *num)
{
	uint64_t	 n = 0;
	size_t		 i;

	for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
		n = n * 10 + (p[i] - '0');
		if (n == 0 || n > UINT32_MAX)
			return 0;
	}
	*num = (uint32_t)n;
	return i;
}

static int
uidset_cmp(const void *a, const void *b)
{
	const struct uidrange	*x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sort ranges that may overlap, and join them. */
static void
uidset_sort(struct uidset *s)
{
	size_t	 i, n = s->n;

	if (n == 0)
		return;
	qsort(s->r, n, sizeof(*s->r), uidset_cmp);
	s->n = 0;
	for (i = 0; i < n; i++)
		uidset_append(s, s->r[i].lo, s->r[i].hi);
}

/*
 * The ranges are collected first: adding one by one to the middle of a large
 * set would let a server have us move memory in square time.
 */
int
uidset_parse(struct uidset *s, const char *p, size_t len)
{
	struct uidset	 new = UIDSET_INIT;
	uint32_t	 lo, hi;
	size_t		 n;

	for (;;) {
		if ((n = uidset_number(p, len, &lo)) == 0)
			break;
		p += n;
		len -= n;
		hi = lo;
		if (len > 0 && *p == ':') {
			p++;
			len--;
			if ((n = uidset_number(p, len, &hi)) == 0)
				break;
			p += n;
			len -= n;
		}
		uidset_order(&lo, &hi);
		uidset_room(&new, new.n + 1);
		new.r[new.n].lo = lo;
		new.r[new.n].hi = hi;
		new.n++;
		if (len == 0) {
			uidset_sort(&new);
			uidset_or(s, &new);
			uidset_free(&new);
			return 0;
		}
		if (*p != ',')
			break;
		p++;
		len--;
	}
	uidset_free(&new);
	return -1;
}

size_t
uidset_format(const struct uidset *s, size_t *i, char *dst, size_t size)
{
	const struct uidrange	*r;
	char			 word[UIDSET_WORD + 1];
	size_t			 used = 0;
	int			 n;

	if (size < UIDSET_WORD)
		fatalx("uidset_format: no room for a range");
	dst[0] = '\0';
	for (; *i < s->n; (*i)++) {
		r = &s->r[*i];
		if (r->lo == r->hi)
			n = snprintf(word, sizeof(word), "%s%u",
			    used == 0 ? "" : ",", r->lo);
		else
			n = snprintf(word, sizeof(word), "%s%u:%u",
			    used == 0 ? "" : ",", r->lo, r->hi);
		if ((size_t)n >= size - used)
			break;
		memcpy(dst + used, word, (size_t)n + 1);
		used += n;
	}
	return used;
}

uint32_t
uidset_nth(const struct uidset *s, uint64_t k)
{
	uint64_t	 n;
	size_t		 i;

	for (i = 0; i < s->n; i++) {
		n = (uint64_t)s->r[i].hi - s->r[i].lo + 1;
		if (k < n)
			return s->r[i].lo + (uint32_t)k;
		k -= n;
	}
	return 0;
}

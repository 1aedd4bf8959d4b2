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
#define FEW		16	/* times smaller: one by one, not a merge */

/* Where a range is: b is nb, and i 0, behind the last one. */
struct at {
	size_t		 b;
	unsigned	 i;
};

void
uidset_init(struct uidset *s)
{
	memset(s, 0, sizeof(*s));
}

void
uidset_free(struct uidset *s)
{
	size_t	 b;

	/* One that is empty may be where nothing can be written. */
	if (s->b == NULL)
		return;
	for (b = 0; b < s->nb; b++)
		free(s->b[b].r);
	free(s->b);
	uidset_init(s);
}

/* ---- blocks ---- */

static void
block_room(struct uidblock *k, unsigned n)
{
	unsigned	 cap = k->cap < 4 ? 4 : k->cap;

	if (n <= k->cap)
		return;
	while (cap < n)
		cap *= 2;
	k->r = xreallocarray(k->r, cap, sizeof(*k->r));
	k->cap = cap;
}

/* An empty block at place b, about to be filled. */
static struct uidblock *
block_new(struct uidset *s, size_t b)
{
	if (s->nb == s->cap) {
		s->cap = s->cap == 0 ? 1 : s->cap * 2;
		s->b = xreallocarray(s->b, s->cap, sizeof(*s->b));
	}
	memmove(s->b + b + 1, s->b + b, (s->nb - b) * sizeof(*s->b));
	s->nb++;
	memset(&s->b[b], 0, sizeof(s->b[b]));
	return &s->b[b];
}

static void
block_end(struct uidset *s, size_t b)
{
	free(s->b[b].r);
	s->nb--;
	memmove(s->b + b, s->b + b + 1, (s->nb - b) * sizeof(*s->b));
}

/*
 * Half of a full block goes to a new one behind it; of one that is filled at an
 * end nothing, so that ranges in order, or against it, leave full blocks.
 */
static void
block_split(struct uidset *s, struct at *at)
{
	struct uidblock	*old, *new;
	unsigned	 half = UIDBLOCK_MAX / 2;

	if (at->i == 0) {
		(void)block_new(s, at->b);
		return;
	}
	new = block_new(s, at->b + 1);
	old = &s->b[at->b];
	if (at->i == old->n) {
		at->b++;
		at->i = 0;
		return;
	}
	block_room(new, old->n - half);
	new->n = old->n - half;
	memcpy(new->r, old->r + half, new->n * sizeof(*new->r));
	old->n = half;
	if (at->i > half) {
		at->b++;
		at->i -= half;
	}
}

/* ---- places ---- */

static struct uidrange *
at_range(const struct uidset *s, struct at at)
{
	return at.b < s->nb ? &s->b[at.b].r[at.i] : NULL;
}

static uint32_t
block_hi(const struct uidset *s, size_t b)
{
	return s->b[b].r[s->b[b].n - 1].hi;
}

/* The first range that ends at uid or above. */
static struct at
at_find(const struct uidset *s, uint32_t uid)
{
	struct at	 at = { s->nb, 0 };
	size_t		 lo = 0, hi = s->nb, mid;

	/* Most sets are filled in order. */
	if (s->nb == 0 || block_hi(s, s->nb - 1) < uid)
		return at;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (block_hi(s, mid) < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	at.b = lo;
	for (lo = 0, hi = s->b[at.b].n; lo < hi; ) {
		mid = lo + (hi - lo) / 2;
		if (s->b[at.b].r[mid].hi < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	at.i = (unsigned)lo;
	return at;
}

/* Put a range in front of what is at the place. */
static void
at_insert(struct uidset *s, struct at at, uint32_t lo, uint32_t hi)
{
	struct uidblock	*k;

	if (at.b == s->nb && s->nb > 0) {
		at.b--;
		at.i = s->b[at.b].n;
	}
	if (s->nb == 0)
		(void)block_new(s, 0);
	else if (s->b[at.b].n == UIDBLOCK_MAX)
		block_split(s, &at);
	k = &s->b[at.b];
	block_room(k, k->n + 1);
	memmove(k->r + at.i + 1, k->r + at.i, (k->n - at.i) * sizeof(*k->r));
	k->r[at.i].lo = lo;
	k->r[at.i].hi = hi;
	k->n++;
	s->n++;
}

/* Take out the ranges from the place on that end at hi or below. */
static void
at_remove(struct uidset *s, struct at at, uint32_t hi)
{
	struct uidblock	*k;
	unsigned	 j;

	while (at.b < s->nb) {
		k = &s->b[at.b];
		for (j = at.i; j < k->n && k->r[j].hi <= hi; j++)
			;
		s->n -= j - at.i;
		if (j < k->n) {
			memmove(k->r + at.i, k->r + j,
			    (k->n - j) * sizeof(*k->r));
			k->n -= j - at.i;
			return;
		}
		k->n = at.i;
		if (k->n == 0)
			block_end(s, at.b);
		else
			at.b++;
		at.i = 0;
	}
}

/* ---- one range ---- */

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
	struct uidrange	*r;
	struct at	 at;

	if (!uidset_order(&lo, &hi))
		return;
	/* The first one that overlaps or touches lo to hi, or lies behind. */
	at = at_find(s, lo - 1);
	r = at_range(s, at);
	if (r == NULL || (hi != UINT32_MAX && r->lo > hi + 1)) {
		at_insert(s, at, lo, hi);
		return;
	}
	if (r->lo <= lo && r->hi >= hi)
		return;
	if (r->lo < lo)
		lo = r->lo;
	/* It grows over those that follow, and may touch one more. */
	if (r->hi < hi) {
		at_remove(s, at, hi);
		at = at_find(s, lo);
		r = at_range(s, at);
		if (r == NULL || (hi != UINT32_MAX && r->lo > hi + 1)) {
			at_insert(s, at, lo, hi);
			return;
		}
	}
	r->lo = lo;
}

void
uidset_del(struct uidset *s, uint32_t lo, uint32_t hi)
{
	struct uidrange	*r;
	struct at	 at;
	uint32_t	 end;

	if (!uidset_order(&lo, &hi))
		return;
	at = at_find(s, lo);
	if ((r = at_range(s, at)) == NULL || r->lo > hi)
		return;
	if (r->lo < lo) {
		end = r->hi;
		r->hi = lo - 1;
		if (end > hi) {		/* a hole in one */
			at.i++;
			at_insert(s, at, hi + 1, end);
			return;
		}
		if (++at.i == s->b[at.b].n) {
			at.b++;
			at.i = 0;
		}
	}
	at_remove(s, at, hi);
	at = at_find(s, lo);
	if ((r = at_range(s, at)) != NULL && r->lo <= hi)
		r->lo = hi + 1;
}

int
uidset_has(const struct uidset *s, uint32_t uid)
{
	const struct uidrange	*r = at_range(s, at_find(s, uid));

	return uid != 0 && r != NULL && r->lo <= uid;
}

int
uidset_next(const struct uidset *s, uint32_t *after, struct uidrange *out)
{
	const struct uidrange	*r;
	uint32_t		 from = *after + 1;

	if (from == 0 || (r = at_range(s, at_find(s, from))) == NULL)
		return 0;
	out->lo = r->lo < from ? from : r->lo;
	*after = out->hi = r->hi;
	return 1;
}

/* ---- the whole set ---- */

/* The range behind the place, in order. */
static void
at_next(const struct uidset *s, struct at *at)
{
	if (++at->i == s->b[at->b].n) {
		at->b++;
		at->i = 0;
	}
}

#define FOREACH_RANGE(r, s, at)						\
	for ((at).b = 0, (at).i = 0; ((r) = at_range((s), (at))) != NULL; \
	    at_next((s), &(at)))

/* Append a range that begins nowhere below the last one's begin. */
static void
uidset_append(struct uidset *s, uint32_t lo, uint32_t hi)
{
	struct at	 at = { s->nb, 0 };
	struct uidblock	*k = s->nb == 0 ? NULL : &s->b[s->nb - 1];
	struct uidrange	*last = k == NULL ? NULL : &k->r[k->n - 1];

	if (last != NULL && (last->hi == UINT32_MAX || lo <= last->hi + 1)) {
		if (hi > last->hi)
			last->hi = hi;
		return;
	}
	at_insert(s, at, lo, hi);
}

void
uidset_copy(struct uidset *dst, const struct uidset *src)
{
	size_t	 b;

	if (dst == src)
		return;
	uidset_free(dst);
	if (src->nb == 0)
		return;
	dst->b = xcalloc(src->nb, sizeof(*dst->b));
	dst->nb = dst->cap = src->nb;
	dst->n = src->n;
	for (b = 0; b < src->nb; b++) {
		block_room(&dst->b[b], src->b[b].n);
		dst->b[b].n = src->b[b].n;
		memcpy(dst->b[b].r, src->b[b].r,
		    src->b[b].n * sizeof(*src->b[b].r));
	}
}

uint64_t
uidset_count(const struct uidset *s)
{
	return uidset_upto(s, UINT32_MAX);
}

uint64_t
uidset_upto(const struct uidset *s, uint32_t n)
{
	const struct uidrange	*r;
	struct at		 at;
	uint64_t		 count = 0;

	FOREACH_RANGE(r, s, at) {
		if (r->lo > n)
			break;
		count += (uint64_t)(r->hi < n ? r->hi : n) - r->lo + 1;
	}
	return count;
}

uint32_t
uidset_min(const struct uidset *s)
{
	return s->nb == 0 ? 0 : s->b[0].r[0].lo;
}

uint32_t
uidset_max(const struct uidset *s)
{
	return s->nb == 0 ? 0 : block_hi(s, s->nb - 1);
}

/* dst becomes what new holds; new is no more. */
static void
uidset_become(struct uidset *dst, struct uidset *new)
{
	uidset_free(dst);
	*dst = *new;
}

void
uidset_or(struct uidset *dst, const struct uidset *src)
{
	struct uidset		 new = UIDSET_INIT;
	const struct uidrange	*r, *q;
	struct at		 i = { 0, 0 }, j = { 0, 0 };

	if (src->n == 0 || src == dst)
		return;
	if (src->n < dst->n / FEW || uidset_min(src) > uidset_max(dst)) {
		FOREACH_RANGE(r, src, j)
			uidset_add(dst, r->lo, r->hi);
		return;
	}
	for (;;) {
		r = at_range(dst, i);
		q = at_range(src, j);
		if (r == NULL && q == NULL)
			break;
		if (q == NULL || (r != NULL && r->lo <= q->lo)) {
			uidset_append(&new, r->lo, r->hi);
			at_next(dst, &i);
		} else {
			uidset_append(&new, q->lo, q->hi);
			at_next(src, &j);
		}
	}
	uidset_become(dst, &new);
}

/* What of lo to hi is in the set goes to the end of new. */
static void
uidset_common(struct uidset *new, const struct uidset *s, uint32_t lo,
    uint32_t hi)
{
	const struct uidrange	*r;
	struct at		 at;

	for (at = at_find(s, lo); (r = at_range(s, at)) != NULL && r->lo <= hi;
	    at_next(s, &at))
		uidset_append(new, r->lo > lo ? r->lo : lo,
		    r->hi < hi ? r->hi : hi);
}

void
uidset_and(struct uidset *dst, const struct uidset *src)
{
	const struct uidset	*few = src->n < dst->n ? src : dst;
	struct uidset		 new = UIDSET_INIT;
	const struct uidrange	*r;
	struct at		 at;

	if (src == dst)
		return;
	FOREACH_RANGE(r, few, at)
		uidset_common(&new, few == src ? dst : src, r->lo, r->hi);
	uidset_become(dst, &new);
}

/* What of lo to hi is not in the set goes to the end of new. */
static void
uidset_rest(struct uidset *new, const struct uidset *s, uint32_t lo,
    uint32_t hi)
{
	const struct uidrange	*r;
	struct at		 at;

	for (at = at_find(s, lo); (r = at_range(s, at)) != NULL && r->lo <= hi;
	    at_next(s, &at)) {
		if (r->lo > lo)
			uidset_append(new, lo, r->lo - 1);
		if (r->hi >= hi)
			return;
		lo = r->hi + 1;
	}
	uidset_append(new, lo, hi);
}

void
uidset_sub(struct uidset *dst, const struct uidset *src)
{
	struct uidset		 new = UIDSET_INIT;
	const struct uidrange	*r;
	struct at		 at;

	if (src == dst) {
		uidset_free(dst);
		return;
	}
	if (src->n < dst->n / FEW) {
		FOREACH_RANGE(r, src, at)
			uidset_del(dst, r->lo, r->hi);
		return;
	}
	FOREACH_RANGE(r, dst, at)
		uidset_rest(&new, src, r->lo, r->hi);
	uidset_become(dst, &new);
}

/* ---- text ---- */

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

/* Ranges as they were read, in any order. */
struct heap {
	struct uidrange	*r;
	size_t		 n;
	size_t		 cap;
};

static void
heap_add(struct heap *h, uint32_t lo, uint32_t hi)
{
	if (h->n == h->cap) {
		h->cap = h->cap == 0 ? 16 : h->cap * 2;
		h->r = xreallocarray(h->r, h->cap, sizeof(*h->r));
	}
	uidset_order(&lo, &hi);
	h->r[h->n].lo = lo;
	h->r[h->n].hi = hi;
	h->n++;
}

/* Sorted first, since what is in order is joined to the set in one go. */
static void
heap_empty(struct heap *h, struct uidset *s)
{
	struct uidset	 new = UIDSET_INIT;
	size_t		 i;

	if (h->n > 1)
		qsort(h->r, h->n, sizeof(*h->r), uidset_cmp);
	for (i = 0; i < h->n; i++)
		uidset_append(&new, h->r[i].lo, h->r[i].hi);
	uidset_or(s, &new);
	uidset_free(&new);
}

int
uidset_parse(struct uidset *s, const char *p, size_t len)
{
	struct heap	 heap = { NULL, 0, 0 };
	uint32_t	 lo, hi;
	size_t		 n;
	int		 ret = -1;

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
		heap_add(&heap, lo, hi);
		if (len == 0) {
			heap_empty(&heap, s);
			ret = 0;
			break;
		}
		if (*p != ',')
			break;
		p++;
		len--;
	}
	free(heap.r);
	return ret;
}

size_t
uidset_format(const struct uidset *s, uint32_t *after, char *dst, size_t size)
{
	struct uidrange	 r;
	char		 word[UIDSET_WORD + 1];
	uint32_t	 next = *after;
	size_t		 used = 0;
	int		 n;

	if (size < UIDSET_WORD)
		fatalx("uidset_format: no room for a range");
	dst[0] = '\0';
	while (uidset_next(s, &next, &r)) {
		if (r.lo == r.hi)
			n = snprintf(word, sizeof(word), "%s%u",
			    used == 0 ? "" : ",", r.lo);
		else
			n = snprintf(word, sizeof(word), "%s%u:%u",
			    used == 0 ? "" : ",", r.lo, r.hi);
		if ((size_t)n >= size - used)
			break;
		memcpy(dst + used, word, (size_t)n + 1);
		used += n;
		*after = next;
	}
	return used;
}

uint32_t
uidset_nth(const struct uidset *s, uint64_t k)
{
	const struct uidrange	*r;
	struct at		 at;
	uint64_t		 n;

	FOREACH_RANGE(r, s, at) {
		n = (uint64_t)r->hi - r->lo + 1;
		if (k < n)
			return r->lo + (uint32_t)k;
		k -= n;
	}
	return 0;
}

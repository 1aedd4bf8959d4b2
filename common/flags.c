/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include "flags.h"
#include "log.h"

/* One flag inside a string. */
struct flag {
	const char	*p;
	size_t		 len;
	size_t		 index;		/* its place in the source */
};

/* The system flags (RFC 3501 section 2.3.2) in canonical order. */
static const char *const flags_system[] = {
	"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"
};
#define FLAGS_RECENT	"\\Recent"

/* Not tolower(3): a locale must not change what is equal. */
static int
flag_lower(char c)
{
	unsigned char	 u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u - 'A' + 'a' : u;
}

static int
flag_casecmp(const struct flag *a, const struct flag *b)
{
	size_t	 i;
	int	 diff;

	for (i = 0; i < a->len && i < b->len; i++) {
		diff = flag_lower(a->p[i]) - flag_lower(b->p[i]);
		if (diff != 0)
			return diff;
	}
	return a->len < b->len ? -1 : a->len > b->len;
}

static int
flag_is(const struct flag *f, const char *name)
{
	struct flag	 other;

	other.p = name;
	other.len = strlen(name);
	return flag_casecmp(f, &other) == 0;
}

/* Its place among the system flags; their number for a keyword. */
static size_t
flag_rank(const struct flag *f)
{
	size_t	 i;

	if (f->len == 0 || f->p[0] != '\\')
		return nitems(flags_system);
	for (i = 0; i < nitems(flags_system); i++)
		if (flag_is(f, flags_system[i]))
			break;
	return i;
}

/* The canonical order; equal flags are 0 whatever their spelling. */
static int
flag_cmp(const struct flag *a, const struct flag *b)
{
	size_t	 x = flag_rank(a), y = flag_rank(b);

	if (x != y)
		return x < y ? -1 : 1;
	return x < nitems(flags_system) ? 0 : flag_casecmp(a, b);
}

/* An atom, or "\" and an atom (RFC 3501 section 9, flag). */
static int
flag_ok(const struct flag *f)
{
	unsigned char	 c;
	size_t		 i = 0;

	if (f->len >= FLAG_MAX)
		return 0;
	if (f->len > 0 && f->p[0] == '\\')
		i = 1;
	if (i == f->len)
		return 0;
	for (; i < f->len; i++) {
		c = (unsigned char)f->p[i];
		if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c) != NULL)
			return 0;
	}
	return 1;
}

/* The next flag of *p; 0 if there is none. */
static int
flag_take(const char **p, struct flag *f)
{
	while (**p == ' ')
		(*p)++;
	f->p = *p;
	f->len = strcspn(*p, " ");
	*p += f->len;
	return f->len > 0;
}

/* Append to dst, where *used octets stand; 0, or -1 if it does not fit. */
static int
flag_put(char *dst, size_t size, size_t *used, const struct flag *f)
{
	const char	*p = f->p;
	size_t		 rank, blank = *used > 0;

	if (blank + f->len >= size - *used)
		return -1;
	if ((rank = flag_rank(f)) < nitems(flags_system))
		p = flags_system[rank];
	if (blank)
		dst[(*used)++] = ' ';
	memcpy(dst + *used, p, f->len);
	*used += f->len;
	dst[*used] = '\0';
	return 0;
}

static int
flag_sort(const void *a, const void *b)
{
	const struct flag	*x = a, *y = b;
	int			 diff = flag_cmp(x, y);

	if (diff != 0)
		return diff;
	return x->index < y->index ? -1 : x->index > y->index;
}

int
flags_atom(const char *p, size_t len)
{
	struct flag	 f;

	f.p = p;
	f.len = len;
	return flag_ok(&f);
}

/* 0; -1 if a flag is malformed, 1 if they don't all fit. */
static int
flags_sorted(char *dst, size_t size, const char *src)
{
	struct flag	*list = NULL, f;
	size_t		 cap = 0, i, n = 0, used = 0;
	int		 ret = -1;

	if (size == 0)
		return -1;
	dst[0] = '\0';
	while (flag_take(&src, &f)) {
		if (!flag_ok(&f))
			goto done;
		if (flag_is(&f, FLAGS_RECENT))
			continue;
		if (n == cap) {
			cap = cap == 0 ? 16 : cap * 2;
			list = xreallocarray(list, cap, sizeof(*list));
		}
		f.index = n;
		list[n++] = f;
	}
	if (n > 1)
		qsort(list, n, sizeof(*list), flag_sort);
	for (i = 0; i < n; i++) {
		if (i > 0 && flag_cmp(&list[i - 1], &list[i]) == 0)
			continue;
		if (flag_put(dst, size, &used, &list[i]) == -1) {
			ret = 1;
			goto done;
		}
	}
	ret = 0;
done:
	free(list);
	return ret;
}

int
flags_canon(char *dst, size_t size, const char *src)
{
	if (flags_sorted(dst, size, src) == 0)
		return 0;
	if (size > 0)
		dst[0] = '\0';
	return -1;
}

int
flags_fit(char *dst, const char *src)
{
	return flags_sorted(dst, FLAGS_MAX, src);
}

int
flags_valid(const char *s)
{
	const char	*p = s;
	struct flag	 f, last;
	size_t		 rank, n = 0;

	memset(&last, 0, sizeof(last));
	while (*p != '\0') {
		if (n > 0 && *p++ != ' ')
			return 0;
		f.p = p;
		f.len = strcspn(p, " ");
		p += f.len;
		if (!flag_ok(&f) || flag_is(&f, FLAGS_RECENT))
			return 0;
		if ((rank = flag_rank(&f)) < nitems(flags_system) &&
		    memcmp(f.p, flags_system[rank], f.len) != 0)
			return 0;
		if (n++ > 0 && flag_cmp(&last, &f) >= 0)
			return 0;
		last = f;
	}
	return p - s < FLAGS_MAX;
}

int
flags_eq(const char *a, const char *b)
{
	struct flag	 x, y;

	x.p = a;
	x.len = strlen(a);
	y.p = b;
	y.len = strlen(b);
	return flag_casecmp(&x, &y) == 0;
}

int
flags_has(const char *set, const char *flag)
{
	struct flag	 f;

	while (flag_take(&set, &f))
		if (flag_is(&f, flag))
			return 1;
	return 0;
}

/* Is it one of them already, or can it be made one? */
static int
flags_make(struct flags_new *fn, const struct flag *f)
{
	struct flag	 other;
	unsigned int	 lo = 0, hi = fn->n, mid;
	int		 diff;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		other.p = fn->word[mid];
		other.len = strlen(other.p);
		if ((diff = flag_casecmp(&other, f)) == 0)
			return 1;
		if (diff < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (fn->n == FLAGS_NEW_MAX)
		return 0;
	if (fn->word == NULL)
		fn->word = xcalloc(FLAGS_NEW_MAX, sizeof(*fn->word));
	memmove(fn->word + lo + 1, fn->word + lo,
	    (fn->n - lo) * sizeof(*fn->word));
	if ((fn->word[lo] = strndup(f->p, f->len)) == NULL)
		fatal("strndup");
	fn->n++;
	return 1;
}

void
flags_new(struct flags_new *fn, char *dst, const char *src)
{
	const char	*p = src;
	char		 new[FLAGS_MAX];
	struct flag	 f;
	size_t		 used = 0;

	new[0] = '\0';
	while (flag_take(&p, &f))
		if (f.p[0] != '\\' && flags_make(fn, &f) &&
		    flag_put(new, sizeof(new), &used, &f) == -1)
			fatalx("flags_new: flags that are not canonical");
	memcpy(dst, new, used + 1);
}

void
flags_new_free(struct flags_new *fn)
{
	while (fn->n > 0)
		free(fn->word[--fn->n]);
	free(fn->word);
	fn->word = NULL;
}

int
flags_or(char *dst, const char *a, const char *b)
{
	const char	*p = a, *q = b;
	char		 new[FLAGS_MAX];
	struct flag	 x, y;
	size_t		 used = 0;
	int		 hasx, hasy, diff, full = 0;

	new[0] = '\0';
	hasx = flag_take(&p, &x);
	hasy = flag_take(&q, &y);
	while ((hasx || hasy) && !full) {
		diff = !hasx ? 1 : !hasy ? -1 : flag_cmp(&x, &y);
		full = flag_put(new, sizeof(new), &used, diff <= 0 ? &x : &y);
		if (diff <= 0)
			hasx = flag_take(&p, &x);
		if (diff >= 0)
			hasy = flag_take(&q, &y);
	}
	if (full) {
		memmove(dst, a, strlen(a) + 1);
		return -1;
	}
	memcpy(dst, new, used + 1);
	return 0;
}

/* The flags of a that are in b (both), or those that are not. */
static void
flags_filter(char *dst, const char *a, const char *b, int both)
{
	const char	*p = a, *q = b;
	char		 new[FLAGS_MAX];
	struct flag	 x, y;
	size_t		 used = 0;
	int		 hasx, hasy, diff;

	new[0] = '\0';
	hasx = flag_take(&p, &x);
	hasy = flag_take(&q, &y);
	while (hasx) {
		diff = hasy ? flag_cmp(&x, &y) : -1;
		if (diff > 0) {
			hasy = flag_take(&q, &y);
			continue;
		}
		if ((diff == 0) == both &&
		    flag_put(new, sizeof(new), &used, &x) == -1)
			fatalx("flags_filter: flags that are not canonical");
		hasx = flag_take(&p, &x);
	}
	memcpy(dst, new, used + 1);
}

void
flags_and(char *dst, const char *a, const char *b)
{
	flags_filter(dst, a, b, 1);
}

void
flags_sub(char *dst, const char *a, const char *b)
{
	flags_filter(dst, a, b, 0);
}

int
flags_next(const char **p, char *one)
{
	struct flag	 f;

	if (!flag_take(p, &f))
		return 0;
	if (f.len >= FLAG_MAX)
		f.len = FLAG_MAX - 1;
	memcpy(one, f.p, f.len);
	one[f.len] = '\0';
	return 1;
}

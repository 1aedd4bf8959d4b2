/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include "flags.h"
#include "tap.h"

static void
test_canon(void)
{
	static const struct {
		const char	*src;
		const char	*dst;	/* NULL: malformed */
	} cases[] = {
		{ "", "" },
		{ "  ", "" },
		{ "\\Seen", "\\Seen" },
		{ "\\seen \\ANSWERED", "\\Answered \\Seen" },
		{ "\\Recent", "" },
		{ "\\recent \\Draft", "\\Draft" },
		{ "b  \\Draft a \\Seen", "\\Seen \\Draft a b" },
		{ "Foo foo FOO \\Seen \\seen", "\\Seen Foo" },
		{ "foo Foo", "foo" },
		{ "$Junk $Forwarded", "$Forwarded $Junk" },
		{ "B a C", "a B C" },
		{ "\\Answered \\Flagged \\Deleted \\Seen \\Draft",
		  "\\Answered \\Flagged \\Deleted \\Seen \\Draft" },
		{ "\\Important x", "\\Important x" },
		{ "a}b a[b", "a[b a}b" },
		{ "\\*", NULL },
		{ "\\", NULL },
		{ "\\\\Seen", NULL },
		{ "a\"b", NULL },
		{ "a(b", NULL },
		{ "a)b", NULL },
		{ "a{b", NULL },
		{ "a]b", NULL },
		{ "a%b", NULL },
		{ "a\tb", NULL },
		{ "a\r\nb", NULL },
		{ "a\177", NULL },
		{ "\303\244", NULL },
		{ "ok bad* ok", NULL }
	};
	char	 dst[FLAGS_MAX];
	size_t	 i;
	int	 ret;

	for (i = 0; i < nitems(cases); i++) {
		ret = flags_canon(dst, sizeof(dst), cases[i].src);
		if (cases[i].dst == NULL)
			ok(ret == -1 && dst[0] == '\0', "malformed (%zu)", i);
		else
			ok(ret == 0 && strcmp(dst, cases[i].dst) == 0 &&
			    flags_valid(dst), "canonical: \"%s\"",
			    cases[i].dst);
	}
}

static void
test_valid(void)
{
	static const char *const	 bad[] = {
		" ", "a ", " a", "a  b", "b a", "a a", "a A", "\\seen",
		"\\Seen \\Answered", "a \\Seen", "\\Recent", "\\recent", "\\",
		"a*", "a b\001"
	};
	size_t	 i;

	for (i = 0; i < nitems(bad); i++)
		ok(!flags_valid(bad[i]), "not canonical: \"%s\"", bad[i]);
	ok(flags_valid(""), "no flag is canonical");
}

static void
test_limits(void)
{
	static char	 long_src[3 * FLAGS_MAX], a[FLAGS_MAX], b[FLAGS_MAX];
	static char	 dst[FLAGS_MAX];
	char		 one[FLAG_MAX + 2];
	size_t		 len;
	int		 i;

	memset(one, 'x', sizeof(one));
	one[FLAG_MAX - 1] = '\0';
	ok(flags_canon(dst, sizeof(dst), one) == 0 && flags_valid(dst),
	    "the longest flag");
	one[FLAG_MAX - 1] = 'x';
	one[FLAG_MAX] = '\0';
	ok(flags_canon(dst, sizeof(dst), one) == -1 && !flags_valid(one),
	    "one octet too long");

	/* Flags of 15 octets and a blank: 256 of them are FLAGS_MAX. */
	for (i = 0, len = 0; i < FLAGS_MAX / 16; i++)
		len += sprintf(long_src + len, "%skeyword-%07d",
		    i == 0 ? "" : " ", i);
	is_num(len, FLAGS_MAX - 1, "the longest string");
	ok(flags_canon(a, sizeof(a), long_src) == 0 && flags_valid(a),
	    "is canonical");
	ok(flags_canon(b, sizeof(b) - 1, long_src) == -1 && b[0] == '\0',
	    "and does not fit into one octet less");
	strlcat(long_src, "y", sizeof(long_src));
	ok(flags_canon(b, sizeof(b), long_src) == -1 && b[0] == '\0' &&
	    !flags_valid(long_src), "one octet more");
	for (len = strlen(long_src); len + 3 < sizeof(long_src); len += 2)
		memcpy(long_src + len, " z", 3);
	is_num(flags_canon(b, sizeof(b), long_src), 0 - 1,
	    "a source far longer, too long");

	is_num(flags_or(dst, a, "extra"), -1, "or that is too long");
	is_str(dst, a, "gives a copy of a");
	strlcpy(dst, "extra", sizeof(dst));
	is_num(flags_or(dst, a, dst), -1, "also if dst is b");
	is_str(dst, a, "a copy of a");
	is_num(flags_or(dst, a, "KEYWORD-0000001"), 0, "or with what is there");
	is_str(dst, a, "keeps the first spelling");
}

/* Sets of up to 10 flags as bits; all operations against the bits. */
static const char *const names[] = {
	"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft",
	"$Forwarded", "\\Other", "a", "Bee", "c"
};

static void
from_bits(char *dst, unsigned int bits)
{
	char	 src[512] = "";
	size_t	 i, j;

	/* Not in order. */
	for (i = 0; i < nitems(names); i++) {
		j = (i * 7 + 3) % nitems(names);
		if (bits & 1U << j) {
			strlcat(src, names[j], sizeof(src));
			strlcat(src, " ", sizeof(src));
		}
	}
	flags_canon(dst, FLAGS_MAX, src);
}

static unsigned int
to_bits(const char *s)
{
	const char	*p = s;
	char		 one[FLAG_MAX];
	unsigned int	 bits = 0;
	size_t		 i;

	if (!flags_valid(s))
		return ~0U;
	while (flags_next(&p, one))
		for (i = 0; i < nitems(names); i++)
			if (strcmp(one, names[i]) == 0) {
				if (!flags_has(s, one))
					return ~0U;
				bits |= 1U << i;
			}
	return bits;
}

static void
test_sets(void)
{
	static char	 a[FLAGS_MAX], b[FLAGS_MAX], d[FLAGS_MAX];
	unsigned int	 x, y, all = 1U << nitems(names);
	int		 good[6] = { 1, 1, 1, 1, 1, 1 };

	for (x = 0; x < all; x += 3) {
		from_bits(a, x);
		good[0] &= to_bits(a) == x;
		for (y = 0; y < all; y += 29) {
			from_bits(b, y);
			flags_or(d, a, b);
			good[1] &= to_bits(d) == (x | y);
			flags_and(d, a, b);
			good[2] &= to_bits(d) == (x & y);
			flags_sub(d, a, b);
			good[3] &= to_bits(d) == (x & ~y);
			good[4] &= flags_eq(a, b) == (x == y);
			flags_sub(b, a, b);
			good[5] &= strcmp(b, d) == 0;
		}
	}
	ok(good[0], "canon and next");
	ok(good[1], "or");
	ok(good[2], "and");
	ok(good[3], "sub");
	ok(good[4], "eq");
	ok(good[5], "dst may be an argument");
	ok(flags_eq("\\Seen a", "\\Seen A"), "eq without case");
	ok(!flags_eq("a", "a b"), "not eq");
	ok(flags_has("\\Seen Foo", "foo"), "has without case");
	ok(!flags_has("\\Seen Foo", "fo"), "has no part");
	ok(!flags_has("", "a") && !flags_has("a", ""), "has nothing");
	flags_and(d, "Foo", "foo");
	is_str(d, "Foo", "and: the first spelling");
	flags_sub(d, "Foo bar", "FOO");
	is_str(d, "bar", "sub without case");
}

/* So many keywords, and no more; those that it has don't count. */
static void
test_new(void)
{
	struct flags_new	 fn = { NULL, 0 };
	char			 one[32], got[FLAGS_MAX];
	int			 i, n = 0;

	for (i = 0; i < 3 * FLAGS_NEW_MAX; i++) {
		snprintf(one, sizeof(one), "k%d", i * 7 % (3 * FLAGS_NEW_MAX));
		flags_new(&fn, got, one);
		n += strcmp(got, one) == 0;
	}
	is_num(n, FLAGS_NEW_MAX, "so many new ones");
	flags_new(&fn, got, "\\Seen K14 k5 k93");
	is_str(got, "K14 k93", "those that were made can be set again");
	flags_new_free(&fn);
	flags_new(&fn, got, "k200");
	is_str(got, "k200", "it begins anew");
	flags_new_free(&fn);
}

int
main(void)
{
	test_canon();
	test_valid();
	test_limits();
	test_sets();
	test_new();
	return tap_done();
}

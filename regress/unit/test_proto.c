/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "log.h"
#include "proto.h"
#include "proto-table.h"
#include "tap.h"

/* ---- records made from the table ---- */

#define STRINGS	24		/* more than any type has */
static char	 pool[STRINGS][PATH_LEN_MAX];
static size_t	 pooled;

enum fill { FILL_RANDOM, FILL_LEAST, FILL_MOST };

static uint64_t
load(enum proto_kind kind, const void *p)
{
	switch (kind) {
	case F_U8:
		return *(const uint8_t *)p;
	case F_U16:
		return *(const uint16_t *)p;
	case F_U32:
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static void
keep(enum proto_kind kind, void *p, uint64_t v)
{
	switch (kind) {
	case F_U8:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case F_U16:
		*(uint16_t *)p = (uint16_t)v;
		break;
	case F_U32:
		*(uint32_t *)p = (uint32_t)v;
		break;
	default:
		*(uint64_t *)p = v;
		break;
	}
}

static int
is_string(enum proto_kind kind)
{
	return kind == F_STR || kind == F_SPELL || kind == F_NEUTRAL ||
	    kind == F_FLAGS;
}

static uint64_t
some_number(const struct proto_field *f, enum fill fill)
{
	if (fill == FILL_LEAST)
		return f->min;
	if (fill == FILL_MOST)
		return f->max;
	if (f->max - f->min == UINT64_MAX)
		return tap_random();
	return f->min + tap_random() % (f->max - f->min + 1);
}

static const char *
some_flags(char *s, enum fill fill)
{
	static const char *const	 some[] = {
		"\\Seen", "\\Answered", "$Junk", "work", "\\Draft", "Later"
	};
	char	 src[128] = "";
	size_t	 i, len = 0;

	if (fill == FILL_MOST) {
		for (i = 0; i < FLAGS_MAX / 16; i++)
			len += sprintf(s + len, "%skeyword-%07zu",
			    i == 0 ? "" : " ", i);
		return s;
	}
	for (i = 0; fill == FILL_RANDOM && i < nitems(some); i++)
		if (tap_random() & 1) {
			strlcat(src, " ", sizeof(src));
			strlcat(src, some[i], sizeof(src));
		}
	flags_canon(s, FLAGS_MAX, src);
	return s;
}

static const char *
some_string(const struct proto_field *f, enum fill fill)
{
	char	*s = pool[pooled++];
	size_t	 i, len;

	if (pooled > STRINGS || f->max > sizeof(pool[0]))
		fatalx("the pool is too small");
	if (f->kind == F_FLAGS)
		return some_flags(s, fill);
	len = fill == FILL_LEAST ? 0 : f->max - 1;
	if (fill == FILL_RANDOM)
		len = tap_random() % 40;
	for (i = 0; i < len; i++) {
		s[i] = (char)(' ' + tap_random() % 95);
		if (f->kind == F_STR && tap_random() % 8 == 0)
			s[i] = (char)(1 + tap_random() % 255);
		if (f->kind == F_NEUTRAL && tap_random() % 8 == 0)
			s[i] = NAME_SEP;
	}
	s[len] = '\0';
	return s;
}

static void
some_set(struct uidset *set, enum fill fill)
{
	uint32_t	 uid = 0;
	size_t		 i, n;

	uidset_init(set);
	n = fill == FILL_LEAST ? 0 : PROTO_SET_MAX;
	if (fill == FILL_RANDOM)
		n = tap_random() % 6;
	for (i = 0; i < n; i++) {
		uid += 2 + tap_random() % 1000000;
		uidset_add(set, uid, uid + tap_random() % 2);
		uid++;
	}
}

static void
some_rec(uint32_t type, union proto_rec *rec, enum fill fill)
{
	const struct proto_field	*f;
	uint8_t				*p;

	memset(rec, 0, sizeof(*rec));
	pooled = 0;
	for (f = proto_forms[type].fields; f->kind != F_END; f++) {
		p = (uint8_t *)rec + f->off;
		if (f->kind == F_SET)
			some_set((struct uidset *)p, fill);
		else if (is_string(f->kind))
			*(const char **)p = some_string(f, fill);
		else
			keep(f->kind, p, some_number(f, fill));
	}
}

static int
same_set(const struct uidset *a, const struct uidset *b)
{
	struct uidrange	 r, q;
	uint32_t	 i = 0, j = 0;

	while (uidset_next(a, &i, &r))
		if (!uidset_next(b, &j, &q) || r.lo != q.lo || r.hi != q.hi)
			return 0;
	return !uidset_next(b, &j, &q);
}

static int
same(uint32_t type, const union proto_rec *x, const union proto_rec *y)
{
	const struct proto_field	*f;
	const struct uidset		*a, *b;
	const uint8_t			*p, *q;

	for (f = proto_forms[type].fields; f->kind != F_END; f++) {
		p = (const uint8_t *)x + f->off;
		q = (const uint8_t *)y + f->off;
		a = (const struct uidset *)p;
		b = (const struct uidset *)q;
		if (f->kind == F_SET) {
			if (!same_set(a, b))
				return 0;
		} else if (is_string(f->kind)) {
			if (strcmp(*(const char *const *)p,
			    *(const char *const *)q) != 0)
				return 0;
		} else if (load(f->kind, p) != load(f->kind, q))
			return 0;
	}
	return 1;
}

/* Decode all of a buffer; what comes out, encoded, must be what went in. */
static int
decode(uint32_t type, const uint8_t *p, size_t len, union proto_rec *rec)
{
	struct buf	 b = BUF_INIT;
	const uint8_t	*start = p;
	int		 good;

	if (proto_decode(type, &p, &len, rec) == -1)
		return -1;
	good = proto_encode(&b, type, rec) == 0 &&
	    b.len == (size_t)(p - start) &&
	    (b.len == 0 || memcmp(buf_ptr(&b), start, b.len) == 0);
	buf_free(&b);
	if (!good) {
		proto_free(type, rec);
		return -2;
	}
	return (int)len;
}

/* ---- all types ---- */

static void
test_round_trip(uint32_t type)
{
	static const enum fill	 fills[] = {
		FILL_LEAST, FILL_MOST, FILL_RANDOM, FILL_RANDOM, FILL_RANDOM
	};
	struct buf		 b = BUF_INIT;
	union proto_rec		 in, out;
	uint8_t			*exact;
	size_t			 i, len;
	int			 trip = 1, cut = 1, fits = 1, more = 1;

	for (i = 0; i < nitems(fills); i++) {
		some_rec(type, &in, fills[i]);
		buf_clear(&b);
		if (proto_encode(&b, type, &in) == -1) {
			fits = 0;
			continue;
		}
		if (b.len > IMSG_MAXDATA)
			fits = 0;
		/* Exactly as long, so that reading past it is noticed. */
		exact = malloc(b.len + 1);
		if (b.len > 0)
			memcpy(exact, buf_ptr(&b), b.len);
		exact[b.len] = 0xff;
		if (decode(type, exact, b.len, &out) != 0 ||
		    !same(type, &in, &out))
			trip = 0;
		else
			proto_free(type, &out);
		if (decode(type, exact, b.len + 1, &out) != 1)
			more = 0;
		else
			proto_free(type, &out);
		free(exact);
		for (len = 0; len < b.len; len += b.len > 2000 ? 37 : 1) {
			exact = malloc(len == 0 ? 1 : len);
			memcpy(exact, buf_ptr(&b), len);
			if (decode(type, exact, len, &out) != -1)
				cut = 0;
			free(exact);
		}
		proto_free(type, &in);
	}
	buf_free(&b);
	ok(fits, "%s: the largest record fits into a frame", proto_name(type));
	ok(trip, "%s: round trip", proto_name(type));
	ok(cut, "%s: cut at each octet", proto_name(type));
	ok(more, "%s: one octet more is left over", proto_name(type));
}

static void
test_mutation(uint32_t type)
{
	struct buf	 b = BUF_INIT;
	union proto_rec	 in, out;
	uint8_t		*copy;
	size_t		 j;
	int		 i, n, good = 1;

	for (i = 0; i < 300; i++) {
		some_rec(type, &in, FILL_RANDOM);
		buf_clear(&b);
		proto_encode(&b, type, &in);
		proto_free(type, &in);
		if (b.len == 0)
			continue;
		copy = malloc(b.len);
		memcpy(copy, buf_ptr(&b), b.len);
		for (j = 1 + tap_random() % 3; j > 0; j--)
			copy[tap_random() % b.len] = (uint8_t)tap_random();
		n = decode(type, copy, b.len, &out);
		if (n == -2)
			good = 0;
		if (n >= 0)
			proto_free(type, &out);
		free(copy);
	}
	buf_free(&b);
	ok(good, "%s: what passes a mutation is valid", proto_name(type));
}

/* No member may be missing from the table: gaps are padding only. */
static size_t
width(enum proto_kind kind, size_t *align)
{
	static const size_t	 widths[] = { 0, 1, 2, 4, 8, 8 };

	*align = sizeof(void *);
	if (kind == F_SET)
		return sizeof(struct uidset);
	if (is_string(kind))
		return sizeof(const char *);
	*align = widths[kind];
	return widths[kind];
}

static void
test_complete(uint32_t type)
{
	const struct proto_form		*form = &proto_forms[type];
	const struct proto_field	*f;
	size_t				 end = 0, align = 1, w;
	int				 good = 1;

	if (form->fields[0].kind == F_END) {
		is_num(form->size, 1, "no fields: \"unused\" only");
		ok(!(form->flags & P_MANY), "and not many");
		return;
	}
	for (f = form->fields; f->kind != F_END; f++) {
		w = width(f->kind, &align);
		if (f->off != (end + align - 1) / align * align)
			good = 0;
		end = f->off + w;
	}
	if (form->size - end >= sizeof(uint64_t))
		good = 0;
	ok(good, "%s: no member is missing", form->name);
}

/* ---- what must not pass, field by field ---- */

/* Encode with f's number replaced, unchecked: where it is, from a valid one. */
static int
decodes_with(uint32_t type, const struct proto_field *f, uint64_t v)
{
	const struct proto_field	*g;
	struct buf			 b = BUF_INIT;
	union proto_rec			 rec, out;
	size_t				 align, at = 0, i, w;
	int				 ret;

	some_rec(type, &rec, FILL_LEAST);
	proto_encode(&b, type, &rec);
	/* The least record: strings are 3 octets, sets 4. */
	for (g = proto_forms[type].fields; g < f; g++)
		at += g->kind == F_SET ? 4 : is_string(g->kind) ? 3 :
		    width(g->kind, &align);
	w = width(f->kind, &align);
	for (i = 0; i < w; i++)
		buf_ptr(&b)[at + i] = (uint8_t)(v >> (8 * i));
	ret = decode(type, buf_ptr(&b), b.len, &out);
	if (ret >= 0)
		proto_free(type, &out);
	buf_free(&b);
	return ret;
}

static int
encodes_with(uint32_t type, const struct proto_field *f, const void *value,
    size_t len)
{
	struct buf	 b = BUF_INIT;
	union proto_rec	 rec;
	int		 ret;

	some_rec(type, &rec, FILL_LEAST);
	buf_puts(&b, "before");
	memcpy((uint8_t *)&rec + f->off, value, len);
	ret = proto_encode(&b, type, &rec);
	if (ret == -1 && b.len != 6)
		ret = -2;
	buf_free(&b);
	return ret;
}

static void
test_number(uint32_t type, const struct proto_field *f)
{
	uint64_t	 v;
	uint8_t		 octets[8];
	size_t		 align, w = width(f->kind, &align);
	uint64_t	 all = w == 8 ? UINT64_MAX : (1ULL << (8 * w)) - 1;
	int		 good;

	good = decodes_with(type, f, f->min) == 0 &&
	    decodes_with(type, f, f->max) == 0;
	if (f->max < all) {
		v = f->max + 1;
		keep(f->kind, octets, v);
		good &= decodes_with(type, f, v) == -1 &&
		    encodes_with(type, f, octets, w) == -1 &&
		    decodes_with(type, f, all) == -1;
	}
	if (f->min > 0) {
		v = f->min - 1;
		keep(f->kind, octets, v);
		good &= decodes_with(type, f, v) == -1 &&
		    encodes_with(type, f, octets, w) == -1;
	}
	ok(good, "%s: number at %zu in its range", proto_name(type), f->off);
}

static int
encodes_string(uint32_t type, const struct proto_field *f, const char *s)
{
	return encodes_with(type, f, &s, sizeof(s));
}

static void
test_string(uint32_t type, const struct proto_field *f)
{
	static char	 s[PATH_LEN_MAX + 1];
	int		 good;

	memset(s, 'x', sizeof(s));
	s[f->max] = '\0';
	good = encodes_string(type, f, s) == -1 &&
	    encodes_string(type, f, NULL) == 0;
	s[f->max - 1] = '\0';
	if (f->kind != F_FLAGS)
		good &= encodes_string(type, f, s) == 0;
	switch (f->kind) {
	case F_FLAGS:
		good &= encodes_string(type, f, "\\Seen a") == 0 &&
		    encodes_string(type, f, "a \\Seen") == -1 &&
		    encodes_string(type, f, "\\Recent") == -1 &&
		    encodes_string(type, f, "a\r\nb") == -1;
		break;
	case F_SPELL:
	case F_NEUTRAL:
		good &= encodes_string(type, f, "a/b \303\244") == 0 &&
		    encodes_string(type, f, "a\r\nb") == -1 &&
		    encodes_string(type, f, "\177") == -1 &&
		    encodes_string(type, f, "a" NAME_SEP_STR "b") ==
		    (f->kind == F_NEUTRAL ? 0 : -1);
		break;
	default:
		good &= encodes_string(type, f, "a\r\n\001\377") == 0;
		break;
	}
	ok(good, "%s: string at %zu", proto_name(type), f->off);
}

static int
encodes_set(uint32_t type, const struct proto_field *f, struct uidrange *r,
    size_t n)
{
	struct uidblock	 block = { r, n, n };
	struct uidset	 set = { &block, 1, 1, n };

	return encodes_with(type, f, &set, sizeof(set));
}

static void
test_set(uint32_t type, const struct proto_field *f)
{
	static struct uidrange	 many[PROTO_SET_MAX + 1];
	struct uidrange		 good[2] = { { 1, 2 }, { 4, UINT32_MAX } };
	struct uidrange		 zero[1] = { { 0, 5 } };
	struct uidrange		 wrong[1] = { { 5, 4 } };
	struct uidrange		 adjacent[2] = { { 1, 2 }, { 3, 4 } };
	struct uidrange		 overlap[2] = { { 1, 5 }, { 3, 9 } };
	struct uidrange		 order[2] = { { 10, 11 }, { 1, 2 } };
	struct uidrange		 top[2] = { { 1, UINT32_MAX }, { 3, 4 } };
	uint32_t		 i;

	for (i = 0; i <= PROTO_SET_MAX; i++)
		many[i].lo = many[i].hi = 2 * i + 1;
	ok(encodes_set(type, f, good, 2) == 0 &&
	    encodes_set(type, f, zero, 1) == -1 &&
	    encodes_set(type, f, wrong, 1) == -1 &&
	    encodes_set(type, f, adjacent, 2) == -1 &&
	    encodes_set(type, f, overlap, 2) == -1 &&
	    encodes_set(type, f, order, 2) == -1 &&
	    encodes_set(type, f, top, 2) == -1 &&
	    encodes_set(type, f, many, PROTO_SET_MAX) == 0 &&
	    encodes_set(type, f, many, PROTO_SET_MAX + 1) == -1,
	    "%s: set at %zu", proto_name(type), f->off);
}

static void
test_types(void)
{
	const struct proto_field	*f;
	uint32_t			 type;

	for (type = M_NONE + 1; type < M_MAX; type++) {
		test_complete(type);
		test_round_trip(type);
		test_mutation(type);
		for (f = proto_forms[type].fields; f->kind != F_END; f++) {
			if (f->kind == F_SET)
				test_set(type, f);
			else if (is_string(f->kind))
				test_string(type, f);
			else
				test_number(type, f);
		}
	}
	is_str(proto_name(M_NET_SETUP), "NET_SETUP", "the first name");
	is_str(proto_name(M_STORE_CLOSE), "STORE_CLOSE", "the last name");
	is_str(proto_name(M_NONE), "unknown", "no name of M_NONE");
	is_str(proto_name(M_MAX), "unknown", "none of M_MAX");
}

/* The octets themselves, of both good and bad messages. */
static void
test_wire(void)
{
	struct m_net_open	 m = { 0x09, 1, 0x01020304, 3, 5, "a/b" };
	static const uint8_t	 wire[] = {
		0x09, 1, 0, 0, 0, 4, 3, 2, 1, 3, 0, 0, 0,
		5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 'a', '/', 'b', 0
	};
	static const uint8_t	 sets[][28] = {
		/* handle, n, lo, hi ... */
		{ 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0 },
		{ 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0 },
		{ 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0 },
		{ 0, 0, 0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0 },
		{ 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 2 },
		{ 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
		    3, 0, 0, 0, 3, 0, 0, 0 },
		{ 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
		    4, 0, 0, 0, 4, 0, 0, 0 }
	};
	static const int	 good[] = { 1, 0, 0, 0, 0, 0, 1 };
	struct buf		 b = BUF_INIT;
	union proto_rec		 rec;
	uint8_t			 copy[sizeof(wire)];
	size_t			 i;

	proto_encode(&b, M_NET_OPEN, &m);
	ok(b.len == sizeof(wire) && memcmp(buf_ptr(&b), wire, b.len) == 0,
	    "little-endian, strings with length and NUL");
	buf_free(&b);
	memcpy(copy, wire, sizeof(wire));
	copy[24] = '\0';
	is_num(decode(M_NET_OPEN, copy, sizeof(copy), &rec), -1,
	    "a NUL inside a string");
	memcpy(copy, wire, sizeof(wire));
	copy[sizeof(copy) - 1] = 'x';
	is_num(decode(M_NET_OPEN, copy, sizeof(copy), &rec), -1,
	    "a string without its NUL");
	memcpy(copy, wire, sizeof(wire));
	copy[22] = 0xff;
	is_num(decode(M_NET_OPEN, copy, sizeof(copy), &rec), -1,
	    "a string longer than the message");
	for (i = 0; i < nitems(sets); i++) {
		if (ok((decode(M_NET_SEARCH, sets[i], sizeof(sets[i]), &rec) !=
		    -1) == good[i], "wire set %zu", i) && good[i])
			proto_free(M_NET_SEARCH, &rec);
	}
	i = sizeof(wire);
	ok(decode(M_NONE, wire, i, &rec) == -1 &&
	    decode(M_MAX, wire, i, &rec) == -1 &&
	    decode(UINT32_MAX, wire, i, &rec) == -1, "no such types");
}

/* What the table must say, said once more: it can't judge itself. */
static void
test_rules(void)
{
	/* UID 0, and a status that is not one: all others may be all 0. */
	static const uint32_t	 not_zero[] = {
		M_ENGINE_FLAGS, M_ENGINE_META, M_ENGINE_COPIED,
		M_ENGINE_REFUSED, M_ENGINE_FAILED, M_ENGINE_REFUSAL,
		M_ENGINE_ROW, M_ENGINE_PAIRED, M_ENGINE_FATAL, M_STORE_ADD,
		M_STORE_BASE, M_STORE_REFUSE, M_STORE_UNREFUSE, M_STORE_SEEN,
		M_ENGINE_READY
	};
	static const struct {
		uint32_t	 type;
		size_t		 off;
		uint8_t		 highest;
	} enums[] = {
		{ M_NET_SETUP, offsetof(struct m_net_setup, side), REMOTE },
		{ M_NET_SETUP, offsetof(struct m_net_setup, strategy),
		    STRATEGY_PLAIN },
		{ M_ENGINE_OPENED, offsetof(struct m_engine_opened, proof),
		    PROOF_NONE },
		{ M_NET_SETUP, offsetof(struct m_net_setup, type),
		    CONN_IMAPS },
		{ M_NET_SETUP, offsetof(struct m_net_setup, proxy),
		    PROXY_SOCKS5H },
		{ M_NET_FD, offsetof(struct m_net_fd, what), NETFD_KEY },
		{ M_NET_LIST, offsetof(struct m_net_list, selectors), 7 },
		{ M_NET_OPEN, offsetof(struct m_net_open, what), 31 },
		{ M_NET_RECV, offsetof(struct m_net_recv, mode), RECV_ONE },
		{ M_NET_STORE, offsetof(struct m_net_store, add), 1 },
		{ M_NET_NAME, offsetof(struct m_net_name, op),
		    NAME_UNSUBSCRIBE },
		{ M_ENGINE_MBOX, offsetof(struct m_engine_mbox, subscribed),
		    2 },
		{ M_ENGINE_DONE, offsetof(struct m_engine_done, status),
		    ST_UNSENT },
		{ M_ENGINE_DONE, offsetof(struct m_engine_done, code),
		    RC_SERVERBUG },
		{ M_ENGINE_LOG, offsetof(struct m_engine_log, level),
		    LOG_LV_ERROR },
		{ M_ENGINE_ITEM, offsetof(struct m_engine_item, kind),
		    ITEM_MAP_REMOTE },
		{ M_ENGINE_UIDS, offsetof(struct m_engine_uids, side), REMOTE },
		{ M_STORE_PAIR, offsetof(struct m_store_pair, mode),
		    PAIR_LEARN },
		{ M_STORE_MARK, offsetof(struct m_store_mark, target), REMOTE }
	};
	struct buf	 buf = BUF_INIT;
	union proto_rec	 rec;
	uint32_t	 type;
	size_t		 i;
	int		 zero_ok, highest, above;

	for (type = M_NONE + 1; type < M_MAX; type++) {
		memset(&rec, 0, sizeof(rec));
		for (zero_ok = 1, i = 0; i < nitems(not_zero); i++)
			if (not_zero[i] == type)
				zero_ok = 0;
		is_num(proto_encode(&buf, type, &rec), zero_ok - 1,
		    "a record of zeros");
	}
	for (i = 0; i < nitems(enums); i++) {
		memset(&rec, 0, sizeof(rec));
		rec.room[enums[i].off] = enums[i].highest;
		highest = proto_encode(&buf, enums[i].type, &rec);
		rec.room[enums[i].off]++;
		above = proto_encode(&buf, enums[i].type, &rec);
		ok(highest == 0 && above == -1, "%s: the highest value at %zu",
		    proto_name(enums[i].type), enums[i].off);
	}
	buf_free(&buf);
}

static void
test_parts(void)
{
	struct uidset	 set = UIDSET_INIT, part, sum = UIDSET_INIT;
	size_t		 at = 0, n = 0;
	uint32_t	 i;

	is_num(proto_set_part(&set, &at, &part), 0, "no part of nothing");
	for (i = 0; i < 2500; i++)
		uidset_add(&set, 3 * i + 1, 3 * i + 2);
	while (proto_set_part(&set, &at, &part)) {
		n++;
		if (part.n > PROTO_SET_MAX)
			break;
		uidset_or(&sum, &part);
	}
	is_num(n, 3, "2,500 ranges are three parts");
	ok(sum.n == set.n && uidset_count(&sum) == uidset_count(&set),
	    "which hold all");
	uidset_free(&set);
	uidset_free(&sum);
}

/* ---- channels ---- */

static struct chan	 a, b;

struct seen {
	uint32_t	 records;
	uint32_t	 id;
	int		 order;		/* uids came as sent */
	int		 fd;
	int		 once;		/* go to state 2 after the first */
	uint32_t	 last_uid;
	char		 text[TEXT_MAX];
};

static void
on_meta(const struct msg *msg)
{
	const struct m_engine_meta	*m = msg->rec;
	struct seen			*s = msg->arg;

	if (msg->type != M_ENGINE_META || m->uid != s->last_uid + 1 ||
	    msg->id != m->uid / 5000 || msg->fd != -1)
		s->order = 0;
	s->last_uid = m->uid;
	s->id = msg->id;
	s->records++;
	if (s->once)
		b.state = 2;
}

static void
on_any(const struct msg *msg)
{
	struct seen	*s = msg->arg;

	s->records++;
	s->id = msg->id;
	s->fd = msg->fd;
}

static void
on_log(const struct msg *msg)
{
	const struct m_engine_log	*m = msg->rec;
	struct seen			*s = msg->arg;

	on_any(msg);
	strlcpy(s->text, m->text, sizeof(s->text));
}

static const struct proto_handler	 table[] = {
	{ M_ENGINE_META,	1,	on_meta },
	{ M_ENGINE_LOG,		1 | 2,	on_log },
	{ M_ENGINE_GO,		1,	on_any },
	{ M_NET_SETUP,		1,	on_any },
	{ M_NET_FD,		1,	on_any },
	{ M_NET_CONNECT,	1,	on_any },
	{ M_NET_SEARCH,		1,	on_any },
	{ M_NET_OPEN,		2,	on_any },
	{ M_NONE,		0,	NULL }
};

static void
chans(struct seen *s)
{
	int	 sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		fatal("socketpair");
	chan_init(&a, sv[0], "to\033b");
	chan_init(&b, sv[1], "worker\033");
	memset(s, 0, sizeof(*s));
	s->order = 1;
	s->fd = -1;
}

/* All that a has, to b. */
static int
pass(struct seen *s)
{
	struct pollfd	 pfd;

	pfd.fd = b.ib.fd;
	pfd.events = POLLIN;
	do {
		if (chan_write(&a) == -1 || chan_read(&b) != 1)
			return -2;
		if (chan_dispatch(&b, table, s) == -1)
			return -1;
	} while (chan_pending(&a) > 0 || poll(&pfd, 1, 0) == 1);
	return 0;
}

static void
end(void)
{
	chan_close(&a);
	chan_close(&b);
}

static void
test_packing(void)
{
	struct m_engine_meta	 m;
	struct m_engine_log	 l = { LOG_LV_WARN, NULL, "hello" };
	struct seen		 s;
	size_t			 size;

	chans(&s);
	memset(&m, 0, sizeof(m));
	m.flags = "\\Seen";
	for (m.uid = 1; m.uid < 15000; m.uid++)
		chan_send(&a, M_ENGINE_META, m.uid / 5000, &m);
	size = chan_pending(&a);
	/* 29 octets and the flags, and a header for each 16 KiB. */
	ok(size < 14999 * 38, "records are packed (%zu octets)", size);
	ok(pass(&s) == 0 && s.records == 14999 && s.order && s.id == 2,
	    "all arrive, in order, with their ids");

	m.uid = 15000;
	chan_send(&a, M_ENGINE_META, 3, &m);
	chan_send(&a, M_ENGINE_LOG, 0, &l);
	ok(pass(&s) == 0 && s.records == 15001 && s.order,
	    "another type closes the frame");
	is_str(s.text, "hello", "and comes after it");

	chan_send(&a, M_ENGINE_GO, 0, NULL);
	ok(pass(&s) == 0 && s.records == 15002, "an empty record");

	/* In one frame, and the first moves the state. */
	s.once = 1;
	for (m.uid = 15001; m.uid < 15003; m.uid++)
		chan_send(&a, M_ENGINE_META, 3, &m);
	ok(pass(&s) == -1 && s.records == 15003,
	    "the state counts for each record");
	end();
}

static void
test_chan_fds(void)
{
	struct m_net_fd		 m = { NETFD_CA };
	struct m_net_connect	 c = { 0 };
	struct stat		 st[2];
	struct seen		 s;
	int			 p[2], fd;

	chans(&s);
	if (pipe(p) == -1)
		fatal("pipe");
	fstat(p[0], &st[0]);
	chan_send_fd(&a, M_NET_FD, 0, &m, p[0]);
	ok(pass(&s) == 0 && s.records == 1 && s.fd != -1 &&
	    fstat(s.fd, &st[1]) == 0 && st[0].st_ino == st[1].st_ino,
	    "a descriptor arrives");
	close(s.fd);
	chan_send_fd(&a, M_NET_CONNECT, 0, &c, p[1]);
	ok(pass(&s) == 0 && s.records == 2 && s.fd != -1,
	    "with an empty record too");
	close(s.fd);

	imsg_compose(&a.ib, M_NET_FD, 0, -1, "\1", 1);
	is_num(pass(&s), -1, "NET_FD without one");
	is_str(b.error, "worker\\^[ sent NET_FD without its descriptor",
	    "is told, fit for a terminal");
	errno = 0;
	ok(chan_read(&b) == -1 && errno == EBADMSG &&
	    chan_dispatch(&b, table, &s) == -1, "and no more is read");
	end();

	fd = dup(0);
	close(fd);
	chans(&s);
	imsg_compose(&a.ib, M_ENGINE_GO, 0, dup(0), NULL, 0);
	is_num(pass(&s), -1, "ENGINE_GO with one");
	is_str(b.error, "worker\\^[ sent ENGINE_GO with a descriptor",
	    "is told");
	end();
	chans(&s);
	imsg_compose(&a.ib, M_NET_FD, 0, dup(0), "\x09", 1);
	is_num(pass(&s), -1, "a malformed NET_FD");
	end();
	chans(&s);
	b.state = 2;
	imsg_compose(&a.ib, M_NET_FD, 0, dup(0), "\0", 1);
	is_num(pass(&s), -1, "a NET_FD that is not allowed");
	end();
	is_num(dup(0), fd, "no descriptor is left behind");
	close(fd);
}

static void
bad_frame(uint32_t type, const void *data, size_t len, const char *text)
{
	struct seen	 s;

	chans(&s);
	imsg_compose(&a.ib, type, 0, -1, data, len);
	ok(pass(&s) == -1 && s.records == 0, "refused: %s", text);
	is_str(b.error, text, "its message");
	end();
}

static void
test_bad(void)
{
	static const uint8_t	 two[] = {
		0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
		0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0
	};
	struct m_engine_meta	 m = { 0, 0, 0, 0, 0, NULL };
	struct buf		 data = BUF_INIT;
	struct seen		 s;

	bad_frame(M_ENGINE_META, "", 0,
	    "worker\\^[ sent a malformed ENGINE_META message");
	bad_frame(M_ENGINE_GO, "x", 1,
	    "worker\\^[ sent a malformed ENGINE_GO message");
	bad_frame(M_NET_SEARCH, two, sizeof(two),
	    "worker\\^[ sent a malformed NET_SEARCH message");
	bad_frame(M_NET_OPEN, "", 0,
	    "worker\\^[ sent NET_OPEN, which is not allowed now");
	bad_frame(M_STORE_LOAD, "", 0,
	    "worker\\^[ sent STORE_LOAD, which is not allowed now");
	bad_frame(M_NONE, "", 0,
	    "worker\\^[ sent a message of an unknown type");
	bad_frame(M_MAX, "", 0,
	    "worker\\^[ sent a message of an unknown type");

	/* Good ones in front of a bad one, in one frame. */
	chans(&s);
	m.uid = 1;
	proto_encode(&data, M_ENGINE_META, &m);
	buf_puts(&data, "x");
	imsg_compose(&a.ib, M_ENGINE_META, 0, -1, buf_ptr(&data), data.len);
	ok(pass(&s) == -1 && s.records == 1, "left-over octets in a frame");
	buf_free(&data);
	end();

	chans(&s);
	if (write(a.ib.fd, "0123456789abcdef", 16) != 16)
		fatal("write");
	ok(pass(&s) == -1, "no frame at all");
	is_str(b.error, "worker\\^[ sent a malformed frame", "its message");
	end();
}

static void
test_secret(void)
{
	struct m_net_setup	 m;
	struct seen		 s;

	chans(&s);
	memset(&m, 0, sizeof(m));
	m.password = "correct horse battery staple";
	m.proxy_password = NULL;
	chan_send(&a, M_NET_SETUP, 0, &m);
	ok(memmem(a.batch.data, a.batch.cap, "correct", 7) == NULL,
	    "a secret does not stay with the sender's batch");
	ok(pass(&s) == 0 && s.records == 1, "it arrives");
	ok(memmem(b.ib.in.data, b.ib.in.cap, "correct", 7) == NULL,
	    "and is wiped behind the handler");
	chan_nofds(&b);
	chan_send(&a, M_ENGINE_GO, 0, NULL);
	ok(pass(&s) == 0 && s.records == 2, "nofds");
	end();
	ok(a.ib.fd == -1 && a.batch.data == NULL, "closed");
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_types();
	test_wire();
	test_rules();
	test_parts();
	test_packing();
	test_chan_fds();
	test_bad();
	test_secret();
	return tap_done();
}

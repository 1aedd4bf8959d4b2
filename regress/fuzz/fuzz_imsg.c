/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Frames and records between the processes.
 *
 * The first octet: if it is 0, what follows comes over a channel, in pieces;
 * else it is the type of the records that follow, as a frame has them.
 *
 * What must hold: what can be decoded is in the bounds of its form, is encoded
 * into the octets that it came from, and with one octet less can't be decoded;
 * a channel hands on the records of each frame, in order, up to the first that
 * is wrong, and from there on nothing.
 */
#include <sys/socket.h>

#include <stdio.h>

#include "proto.h"
#include "proto-table.h"
#include "replay.h"

static const uint8_t	*data;		/* the channel's octets */
static size_t		 datalen;
static size_t		 pos;		/* behind what was handed on */
static size_t		 frame;		/* where its frame ends */

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "does not hold: %s\n", what);
		abort();
	}
}

/* ---- one record ---- */

static void
check_string(const struct proto_field *f, const char *s)
{
	size_t	 i;

	must(strlen(s) < f->max, "a string's length");
	for (i = 0; s[i] != '\0' && f->kind != F_STR; i++)
		must((unsigned char)s[i] >= ' ' || (s[i] == NAME_SEP &&
		    f->kind == F_NEUTRAL), "no control octet in a name");
	if (f->kind == F_FLAGS)
		must(flags_valid(s), "flags are canonical");
}

static void
check_set(const struct uidset *set)
{
	struct uidrange	 r;
	uint32_t	 uid;
	size_t		 n = 0;

	must(set->n <= PROTO_SET_MAX, "ranges of a set");
	UIDSET_FOREACH(r, set, uid) {
		n++;
		must(r.lo != 0 && r.lo <= r.hi, "a range");
	}
	must(n == set->n, "ranges in order");
}

static void
check_fields(uint32_t type, const union proto_rec *rec)
{
	const struct proto_field	*f;
	const uint8_t			*p;

	for (f = proto_forms[type].fields; f->kind != F_END; f++) {
		p = (const uint8_t *)rec + f->off;
		if (f->kind == F_U8)
			must(*p >= f->min && *p <= f->max, "a number");
		else if (f->kind == F_U32)
			must(*(const uint32_t *)(const void *)p >= f->min,
			    "a UID");
		else if (f->kind == F_SET)
			check_set((const void *)p);
		else if (f->kind == F_STR || f->kind == F_SPELL ||
		    f->kind == F_NEUTRAL || f->kind == F_FLAGS)
			check_string(f, *(const char *const *)(const void *)p);
	}
}

/* The octets of the record, encoded once more, are those at p. */
static size_t
check_octets(uint32_t type, const union proto_rec *rec, const uint8_t *p,
    size_t n)
{
	struct buf	 b = BUF_INIT;
	size_t		 len;

	must(proto_encode(&b, type, rec) == 0, "what was decoded is encoded");
	len = b.len;
	must(len <= n && (len == 0 || memcmp(buf_ptr(&b), p, len) == 0),
	    "into the same octets");
	buf_free(&b);
	return len;
}

static void
records(uint32_t type, const uint8_t *p, size_t n)
{
	union proto_rec	 rec, less;
	const uint8_t	*at = p, *start;
	size_t		 left = n, cut;
	uint8_t		*own;

	while (left > 0) {
		start = at;
		/* Memory of its own, so that reading past it is noticed. */
		if (proto_decode(type, &at, &left, &rec) == -1)
			break;
		check_fields(type, &rec);
		cut = at - start;
		must(check_octets(type, &rec, start, cut) == cut, "all of it");
		proto_free(type, &rec);
		if (cut == 0)
			break;
		own = xmalloc(cut);
		memcpy(own, start, --cut);
		start = own;
		must(proto_decode(type, &start, &cut, &less) == -1,
		    "a record that is cut");
		free(own);
	}
}

/* ---- a channel ---- */

static void
on_record(const struct msg *msg)
{
	struct imsg_hdr	 hdr;

	if (pos == frame) {
		must(datalen - pos >= sizeof(hdr), "a frame");
		memcpy(&hdr, data + pos, sizeof(hdr));
		must(hdr.type == msg->type && hdr.peerid == msg->id &&
		    hdr.len <= datalen - pos, "the frame that is next");
		frame = pos + hdr.len;
		pos += sizeof(hdr);
	}
	must(msg->fd == -1, "no descriptor");
	check_fields(msg->type, msg->rec);
	pos += check_octets(msg->type, msg->rec, data + pos, frame - pos);
}

static void
channel(const uint8_t *p, size_t n)
{
	static struct proto_handler	 handlers[M_MAX];
	struct chan			 c;
	size_t				 i, k;
	int				 sv[2], bad = 0;

	for (i = 1; i < M_MAX; i++) {
		handlers[i - 1].type = i;
		handlers[i - 1].states = 1;
		handlers[i - 1].fn = on_record;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0, "socketpair");
	chan_init(&c, sv[0], "a peer");
	data = p;
	datalen = n;
	pos = frame = 0;
	for (i = 0; i < n && !bad; i += k) {
		k = 1 + (n - i) / 2;
		must(send(sv[1], p + i, k, 0) == (ssize_t)k, "send");
		must(chan_read(&c) == 1, "it is read");
		bad = chan_dispatch(&c, handlers, NULL) == -1;
	}
	if (bad) {
		k = pos;
		must(c.error[0] != '\0' && chan_read(&c) == -1 &&
		    chan_dispatch(&c, handlers, NULL) == -1 && k == pos,
		    "nothing behind what is wrong");
	} else
		must(pos == frame, "a frame is handed on as a whole");
	chan_close(&c);
	close(sv[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	if (p[0] == 0)
		channel(p + 1, n - 1 < 60000 ? n - 1 : 60000);
	else if (p[0] < M_MAX)
		records(p[0], p + 1, n - 1);
	return 0;
}

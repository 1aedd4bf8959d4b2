/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <errno.h>
#include <stdio.h>

#include "log.h"
#include "proto.h"
#include "proto-table.h"

const char *const side_name[SIDES] = { "local", "remote" };

/* The form of a type; NULL if there is no such type. */
static const struct proto_form *
proto_form(uint32_t type)
{
	if (type == M_NONE || type >= M_MAX)
		return NULL;
	return &proto_forms[type];
}

const char *
proto_name(uint32_t type)
{
	const struct proto_form	*form = proto_form(type);

	return form == NULL ? "unknown" : form->name;
}

/* ---- numbers, little-endian ---- */

/* Octets of a number, in the struct and on the wire; 0 if it is no number. */
static size_t
proto_width(enum proto_kind kind)
{
	switch (kind) {
	case F_U8:
		return 1;
	case F_U16:
		return 2;
	case F_U32:
		return 4;
	case F_U64:
	case F_I64:
		return 8;
	default:
		return 0;
	}
}

static void
proto_put(struct buf *b, uint64_t v, size_t width)
{
	uint8_t	*p;
	size_t	 i;

	p = buf_room(b, width);
	for (i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	buf_wrote(b, width);
}

/* Take a number off the front; 0, or -1 if there are too few octets. */
static int
proto_take(const uint8_t **p, size_t *len, uint64_t *v, size_t width)
{
	size_t	 i;

	if (*len < width)
		return -1;
	*v = 0;
	for (i = 0; i < width; i++)
		*v |= (uint64_t)(*p)[i] << (8 * i);
	*p += width;
	*len -= width;
	return 0;
}

/* What a member of the struct holds, and its opposite. */
static uint64_t
proto_load(enum proto_kind kind, const void *member)
{
	switch (kind) {
	case F_U8:
		return *(const uint8_t *)member;
	case F_U16:
		return *(const uint16_t *)member;
	case F_U32:
		return *(const uint32_t *)member;
	case F_I64:
		return (uint64_t)*(const int64_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

static void
proto_keep(enum proto_kind kind, void *member, uint64_t v)
{
	switch (kind) {
	case F_U8:
		*(uint8_t *)member = (uint8_t)v;
		break;
	case F_U16:
		*(uint16_t *)member = (uint16_t)v;
		break;
	case F_U32:
		*(uint32_t *)member = (uint32_t)v;
		break;
	case F_I64:
		*(int64_t *)member = (int64_t)v;
		break;
	default:
		*(uint64_t *)member = v;
		break;
	}
}

/* ---- what is valid: the same for both directions ---- */

static int
proto_number_ok(const struct proto_field *f, uint64_t v)
{
	return v >= f->min && v <= f->max;
}

static int
proto_string_ok(const struct proto_field *f, const char *s, size_t len)
{
	unsigned char	 c;
	size_t		 i;

	if (len >= f->max)
		return 0;
	if (f->kind == F_FLAGS)
		return flags_valid(s);
	if (f->kind == F_STR)
		return 1;
	/* A name must not bring a line's end into somebody's command. */
	for (i = 0; i < len; i++) {
		c = (unsigned char)s[i];
		if (c == NAME_SEP && f->kind == F_NEUTRAL)
			continue;
		if (c < ' ' || c == 0x7f)
			return 0;
	}
	return 1;
}

/* ---- encoding and decoding of one field ---- */

/* The next range of a set: sorted, disjoint, not adjacent to the one before. */
static int
proto_range_ok(uint64_t lo, uint64_t hi, uint64_t last)
{
	return lo != 0 && lo <= hi && (last == 0 || lo > last + 1);
}

static int
proto_encode_set(struct buf *b, const struct proto_field *f,
    const struct uidset *set)
{
	const struct uidrange	*r;
	uint64_t		 last = 0;
	size_t			 k;
	unsigned		 i;

	if (set->n > f->max)
		return -1;
	proto_put(b, set->n, 4);
	for (k = 0; k < set->nb; k++)
		for (i = 0; i < set->b[k].n; i++) {
			r = &set->b[k].r[i];
			if (!proto_range_ok(r->lo, r->hi, last))
				return -1;
			proto_put(b, r->lo, 4);
			proto_put(b, r->hi, 4);
			last = r->hi;
		}
	return 0;
}

static int
proto_encode_field(struct buf *b, const struct proto_field *f,
    const void *member)
{
	const char	*s;
	uint64_t	 v;
	size_t		 len;

	if (proto_width(f->kind) != 0) {
		v = proto_load(f->kind, member);
		if (!proto_number_ok(f, v))
			return -1;
		proto_put(b, v, proto_width(f->kind));
		return 0;
	}
	if (f->kind != F_SET) {
		if ((s = *(const char *const *)member) == NULL)
			s = "";
		len = strlen(s);
		if (!proto_string_ok(f, s, len))
			return -1;
		proto_put(b, len, 2);
		buf_add(b, s, len + 1);
		return 0;
	}
	return proto_encode_set(b, f, member);
}

static int
proto_decode_string(const uint8_t **p, size_t *len,
    const struct proto_field *f, const char **member)
{
	const char	*s;
	uint64_t	 n;

	if (proto_take(p, len, &n, 2) == -1 || *len <= n)
		return -1;
	s = (const char *)*p;
	if (s[n] != '\0' || memchr(s, '\0', n) != NULL ||
	    !proto_string_ok(f, s, n))
		return -1;
	*member = s;
	*p += n + 1;
	*len -= n + 1;
	return 0;
}

static int
proto_decode_set(const uint8_t **p, size_t *len, const struct proto_field *f,
    struct uidset *set)
{
	uint64_t	 n, lo, hi, last = 0;
	size_t		 i;

	if (proto_take(p, len, &n, 4) == -1 || n > f->max || *len < n * 8)
		return -1;
	for (i = 0; i < n; i++) {
		if (proto_take(p, len, &lo, 4) == -1 ||
		    proto_take(p, len, &hi, 4) == -1)
			return -1;
		if (!proto_range_ok(lo, hi, last))
			return -1;
		uidset_add(set, (uint32_t)lo, (uint32_t)hi);
		last = hi;
	}
	return 0;
}

static int
proto_decode_field(const uint8_t **p, size_t *len,
    const struct proto_field *f, void *member)
{
	uint64_t	 v;

	if (f->kind == F_SET)
		return proto_decode_set(p, len, f, member);
	if (proto_width(f->kind) == 0)
		return proto_decode_string(p, len, f, member);
	if (proto_take(p, len, &v, proto_width(f->kind)) == -1 ||
	    !proto_number_ok(f, v))
		return -1;
	proto_keep(f->kind, member, v);
	return 0;
}

/* ---- encoding and decoding of a record ---- */

int
proto_encode(struct buf *b, uint32_t type, const void *rec)
{
	const struct proto_form		*form;
	const struct proto_field	*f;
	size_t				 before = b->len;

	if ((form = proto_form(type)) == NULL)
		return -1;
	for (f = form->fields; f->kind != F_END; f++)
		if (proto_encode_field(b, f,
		    (const uint8_t *)rec + f->off) == -1)
			break;
	if (f->kind == F_END && b->len - before <= IMSG_MAXDATA)
		return 0;
	b->len = before;
	return -1;
}

int
proto_decode(uint32_t type, const uint8_t **data, size_t *len,
    union proto_rec *rec)
{
	const struct proto_form		*form;
	const struct proto_field	*f;

	if ((form = proto_form(type)) == NULL)
		return -1;
	memset(rec, 0, form->size);
	for (f = form->fields; f->kind != F_END; f++)
		if (proto_decode_field(data, len, f,
		    (uint8_t *)rec + f->off) == -1) {
			proto_free(type, rec);
			return -1;
		}
	return 0;
}

void
proto_free(uint32_t type, union proto_rec *rec)
{
	const struct proto_form		*form;
	const struct proto_field	*f;

	if ((form = proto_form(type)) == NULL)
		return;
	for (f = form->fields; f->kind != F_END; f++)
		if (f->kind == F_SET)
			uidset_free((struct uidset *)((uint8_t *)rec + f->off));
}

int
proto_set_part(const struct uidset *set, size_t *i, struct uidset *part)
{
	uidset_init(part);
	if (*i >= set->nb)
		return 0;
	for (part->b = set->b + *i; *i < set->nb &&
	    part->n + set->b[*i].n <= PROTO_SET_MAX; (*i)++) {
		part->n += set->b[*i].n;
		part->nb++;
	}
	return 1;
}

/* ---- channels ---- */

void
chan_init(struct chan *c, int fd, const char *peer)
{
	memset(c, 0, sizeof(*c));
	imsgbuf_init(&c->ib, fd);
	c->state = 1;
	c->peer = peer;
}

void
chan_nofds(struct chan *c)
{
	imsgbuf_nofds(&c->ib);
}

/* Make the first len octets of the batch a frame. */
static void
chan_frame(struct chan *c, size_t len, int fd)
{
	if (imsg_compose(&c->ib, c->batch_type, c->batch_id, fd,
	    len == 0 ? NULL : buf_ptr(&c->batch), len) == -1)
		fatal("%s for %s", proto_name(c->batch_type), c->peer);
	buf_drain(&c->batch, len);
}

static void
chan_end_batch(struct chan *c)
{
	if (c->batch.len > 0)
		chan_frame(c, c->batch.len, -1);
}

static void
chan_encode(struct chan *c, uint32_t type, uint32_t id, const void *rec)
{
	c->batch_type = type;
	c->batch_id = id;
	if (proto_encode(&c->batch, type, rec) == -1)
		fatalx("%s for %s can't be encoded", proto_name(type), c->peer);
}

void
chan_send(struct chan *c, uint32_t type, uint32_t id, const void *rec)
{
	const struct proto_form	*form = proto_form(type);
	size_t			 before;

	if (form == NULL || form->flags & P_FD)
		fatalx("%s for %s can't be sent so", proto_name(type), c->peer);
	if (!(form->flags & P_MANY) ||
	    c->batch_type != type || c->batch_id != id)
		chan_end_batch(c);
	before = c->batch.len;
	chan_encode(c, type, id, rec);
	if (form->flags & P_MANY) {
		if (c->batch.len > IMSG_MAXDATA)
			chan_frame(c, before, -1);
		return;
	}
	chan_frame(c, c->batch.len, -1);
	if (form->flags & P_SECRET)
		buf_wipe(&c->batch);
}

void
chan_send_fd(struct chan *c, uint32_t type, uint32_t id, const void *rec,
    int fd)
{
	const struct proto_form	*form = proto_form(type);

	if (form == NULL || !(form->flags & P_FD) || fd == -1)
		fatalx("%s for %s can't be sent so", proto_name(type), c->peer);
	chan_end_batch(c);
	chan_encode(c, type, id, rec);
	chan_frame(c, c->batch.len, fd);
}

size_t
chan_pending(struct chan *c)
{
	chan_end_batch(c);
	return imsgbuf_pending(&c->ib);
}

int
chan_write(struct chan *c)
{
	chan_end_batch(c);
	return imsgbuf_write(&c->ib);
}

int
chan_flush(struct chan *c, int ms)
{
	chan_end_batch(c);
	return imsgbuf_flush(&c->ib, ms);
}

int
chan_read(struct chan *c)
{
	if (c->error[0] != '\0') {
		errno = EBADMSG;
		return -1;
	}
	return imsgbuf_read(&c->ib);
}

/* Say what is wrong with what the peer sent; -1. */
static int
chan_fail(struct chan *c, const char *before, const char *name,
    const char *after)
{
	char	 text[sizeof(c->error)];

	snprintf(text, sizeof(text), "%s sent %s%s%s", c->peer, before, name,
	    after);
	log_vis(c->error, text, sizeof(c->error));
	return -1;
}

static const struct proto_handler *
chan_handler(const struct chan *c, const struct proto_handler *h,
    uint32_t type)
{
	for (; h->type != M_NONE; h++)
		if (h->type == type && h->states & c->state)
			return h;
	return NULL;
}

/*
 * Hand the records of one frame to their handler.  The descriptor goes to the
 * first; m->fd is -1 then.
 */
static int
chan_records(struct chan *c, const struct proto_form *form,
    const struct proto_handler *table, void *arg, struct imsg *m)
{
	const struct proto_handler	*h;
	const uint8_t			*p = m->data;
	union proto_rec			 rec;
	struct msg			 msg = { arg, m->hdr.type,
					    m->hdr.peerid, &rec, -1 };
	size_t				 len = m->hdr.len - sizeof(m->hdr);

	do {
		/* A handler may have changed the state. */
		if ((h = chan_handler(c, table, m->hdr.type)) == NULL)
			return chan_fail(c, "", form->name,
			    ", which is not allowed now");
		if (proto_decode(m->hdr.type, &p, &len, &rec) == -1)
			return chan_fail(c, "a malformed ", form->name,
			    " message");
		if (len > 0 && !(form->flags & P_MANY)) {
			proto_free(m->hdr.type, &rec);
			return chan_fail(c, "a malformed ", form->name,
			    " message");
		}
		msg.fd = m->fd;
		m->fd = -1;
		h->fn(&msg);
		proto_free(m->hdr.type, &rec);
	} while (len > 0);
	return 0;
}

static int
chan_message(struct chan *c, const struct proto_handler *table, void *arg,
    struct imsg *m)
{
	const struct proto_form	*form;
	int			 ret;

	if ((form = proto_form(m->hdr.type)) == NULL)
		return chan_fail(c, "a message of an unknown type", "", "");
	if (m->fd == -1 && form->flags & P_FD)
		return chan_fail(c, "", form->name, " without its descriptor");
	if (m->fd != -1 && !(form->flags & P_FD))
		return chan_fail(c, "", form->name, " with a descriptor");
	ret = chan_records(c, form, table, arg, m);
	if (form->flags & P_SECRET)
		imsgbuf_wipe(&c->ib);
	return ret;
}

int
chan_dispatch(struct chan *c, const struct proto_handler *table, void *arg)
{
	struct imsg	 m;
	int		 n;

	while (c->error[0] == '\0') {
		if ((n = imsg_get(&c->ib, &m)) == 0)
			return 0;
		if (n == -1)
			return chan_fail(c, "a malformed frame", "", "");
		if (chan_message(c, table, arg, &m) == -1 && m.fd != -1)
			close(m.fd);
	}
	return -1;
}

void
chan_close(struct chan *c)
{
	imsgbuf_clear(&c->ib);
	buf_wipe(&c->batch);
	buf_free(&c->batch);
}

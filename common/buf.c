/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <stdarg.h>
#include <stdio.h>

#include "buf.h"
#include "log.h"

#define BUF_MIN		1024
#define BUF_KEEP	(64 * 1024)

void
buf_init(struct buf *b)
{
	memset(b, 0, sizeof(*b));
}

void
buf_free(struct buf *b)
{
	free(b->data);
	buf_init(b);
}

/*
 * Get larger memory.  The old one is wiped: whether it held a secret is not
 * known here, and doubling makes it cheap.
 */
static void
buf_grow(struct buf *b, size_t need)
{
	uint8_t	*p;
	size_t	 cap = b->cap < BUF_MIN ? BUF_MIN : b->cap;

	while (cap < need) {
		if (cap > SIZE_MAX / 2)
			fatalx("out of memory");
		cap *= 2;
	}
	p = xmalloc(cap);
	if (b->len > 0)
		memcpy(p, buf_ptr(b), b->len);
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = p;
	b->off = 0;
	b->cap = cap;
}

uint8_t *
buf_room(struct buf *b, size_t n)
{
	if (n > SIZE_MAX - b->len)
		fatalx("out of memory");
	if (b->data == NULL)
		buf_grow(b, n);
	else if (b->cap - b->off - b->len < n) {
		/* Moving is cheap if as much has been drained. */
		if (b->len + n > b->cap)
			buf_grow(b, b->len + n);
		else if (b->off < b->len)
			buf_grow(b, b->cap + 1);
		else {
			memmove(b->data, buf_ptr(b), b->len);
			b->off = 0;
		}
	}
	return b->data + b->off + b->len;
}

void
buf_wrote(struct buf *b, size_t n)
{
	if (n > b->cap - b->off - b->len)
		fatalx("buf_wrote: more than there was room for");
	b->len += n;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_room(b, n), p, n);
	b->len += n;
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list	 ap;
	size_t	 room = 256;
	int	 n;

	for (;;) {
		va_start(ap, fmt);
		n = vsnprintf((char *)buf_room(b, room), room, fmt, ap);
		va_end(ap);
		if (n < 0)
			fatal("vsnprintf");
		if ((size_t)n < room)
			break;
		room = (size_t)n + 1;
	}
	b->len += n;
}

void
buf_drain(struct buf *b, size_t n)
{
	if (n > b->len)
		fatalx("buf_drain: more than there is");
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}

void
buf_move(struct buf *b, struct buf *from, size_t n)
{
	struct buf	 had = *b;

	if (b->len == 0 && n == from->len) {
		*b = *from;
		*from = had;
	} else {
		buf_add(b, buf_ptr(from), n);
		buf_drain(from, n);
	}
}

void
buf_clear(struct buf *b)
{
	b->off = b->len = 0;
	if (b->cap > BUF_KEEP)
		buf_free(b);
}

void
buf_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_clear(b);
}

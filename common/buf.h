/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A growing buffer that is filled at the end and drained at the front.
 * Allocation failure is fatal.
 */
#ifndef BUF_H
#define BUF_H

#include "compat.h"

struct buf {
	uint8_t	*data;		/* what is allocated */
	size_t	 off;		/* first octet not yet drained */
	size_t	 len;		/* octets from off */
	size_t	 cap;		/* octets allocated */
};

#define BUF_INIT	{ NULL, 0, 0, 0 }

void		 buf_init(struct buf *);
void		 buf_free(struct buf *);
/* Make room for n more octets and return where they go (see buf_wrote()). */
uint8_t		*buf_room(struct buf *, size_t n);
void		 buf_wrote(struct buf *, size_t n);
void		 buf_add(struct buf *, const void *, size_t);
void		 buf_puts(struct buf *, const char *);
void		 buf_printf(struct buf *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));
/* The octets that are in it; valid until the next call that adds. */
#define buf_ptr(b)	((b)->data + (b)->off)
/*
 * n octets from the front of "from" to the end of the first.  If that is all and
 * there was nothing, the two exchange their memory.
 */
void		 buf_move(struct buf *, struct buf *from, size_t n);
void		 buf_drain(struct buf *, size_t n);
/* Drain all; memory beyond 64 KiB is given back. */
void		 buf_clear(struct buf *);
/* As buf_clear(), and the memory is wiped first: it held a secret. */
void		 buf_wipe(struct buf *);

#endif /* BUF_H */

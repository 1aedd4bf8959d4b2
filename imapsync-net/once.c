/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the server says that is shown, or can't be read: each thing once, and no
 * more than ONCE_MOST of a kind, so that no server can fill the user's log.
 */
#include <stdio.h>

#include "net.h"

/* FNV-1a: whoever finds two texts with one hash hides one of his own. */
static uint64_t
hash(uint64_t h, const char *s)
{
	do {
		h ^= (unsigned char)*s;
		h *= 1099511628211ULL;
	} while (*s++ != '\0');
	return h;
}

int
once(struct net *net, enum once_kind kind, const char *mailbox,
    const char *what)
{
	struct once	*o = &net->once[kind];
	uint64_t	 h;
	unsigned	 i;

	h = hash(hash(14695981039346656037ULL, mailbox), what);
	for (i = 0; i < o->n; i++)
		if (o->said[i] == h)
			return 0;
	if (o->n == ONCE_MOST) {
		o->more++;
		return 0;
	}
	o->said[o->n++] = h;
	return 1;
}

void
once_end(struct net *net)
{
	static const char *const	 what[ONCE_KINDS] = {
		[ONCE_SAID] = "said",
		[ONCE_UNREAD] = "sent what can't be read",
		[ONCE_FLAG] = "told a flag that is none",
		[ONCE_DATE] = "told a date that can't be"
	};
	struct once			*o;
	int				 kind;

	for (kind = 0; kind < ONCE_KINDS; kind++) {
		o = &net->once[kind];
		if (o->more > 0)
			log_warnx("%s %s %u more times, which is not shown",
			    net->setup.host, what[kind], o->more);
		o->more = 0;
	}
}

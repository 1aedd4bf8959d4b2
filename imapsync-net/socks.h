/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The client's part of SOCKS 5 (RFC 1928, 1929), spoken on the socket before
 * anything else.  No I/O of its own.
 */
#ifndef SOCKS_H
#define SOCKS_H

#include "proto.h"

struct socks;

struct socks	*socks_new(const struct m_net_setup *);
void		 socks_free(struct socks *);	/* wipes the password */
/*
 * Take octets from "in", put octets into "out".  Returns 1 once the proxy has
 * connected ("in" may hold the server's first octets), 0 if it must be called
 * again with more, -1 failed: socks_error() names the proxy's reason.
 */
int		 socks_step(struct socks *, struct buf *in, struct buf *out);
const char	*socks_error(const struct socks *);
/* After -1: 1 if the server could not be reached, 0 if the proxy refuses us. */
int		 socks_temporary(const struct socks *);

#endif /* SOCKS_H */

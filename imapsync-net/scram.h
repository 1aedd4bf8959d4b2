/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The client's part of SCRAM (RFC 5802, RFC 7677).  No I/O, no base64 but that
 * of the messages themselves.
 */
#ifndef SCRAM_H
#define SCRAM_H

#include "buf.h"

struct scram;

/*
 * hash is "SHA-1" or "SHA-256".  authzid is whom to act as, or "" for the user
 * himself.  gs2 is the GS2 flag "n", "y" or "p=NAME", with
 * the channel's data for the last.  The nonce is printable ASCII without comma,
 * new for each exchange.  User and password go as they are: RFC 4013 changes
 * nothing in ASCII, and a server that prepares others must do it on its side.
 * Everything is copied.
 */
struct scram	*scram_new(const char *hash, const char *user,
		    const char *authzid, const char *password,
		    const char *nonce, const char *gs2, const void *cbdata,
		    size_t cblen);
/* Append a saslname (RFC 5802 section 5.1): its commas and "=" escaped. */
void		 scram_name(struct buf *out, const char *);
/* Wipes what it holds. */
void		 scram_free(struct scram *);
/* The client-first-message; the same each time until the first step. */
void		 scram_first(struct scram *, struct buf *out);
/*
 * Answer the server's first message, then its final one (the answer is empty).
 * Returns 0, or -1 with the reason in scram_error().  If the server says that it
 * refuses ("e="), scram_error() has its word and 0 is returned: its NO follows.
 */
int		 scram_step(struct scram *, const void *, size_t,
		    struct buf *out);
/* 1 once the server has proved that it knows the password. */
int		 scram_verified(const struct scram *);
const char	*scram_error(const struct scram *);

#endif /* SCRAM_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What libtls must know before a handshake: versions, ciphers, authorities, our
 * certificate.  All of it is read here, before the sandbox.
 */
#ifndef TLSCONF_H
#define TLSCONF_H

#include <tls.h>

#include "proto.h"

/*
 * The name that a certificate must hold: without brackets, zone and final dot.
 */
char		*tlsconf_name(const char *host);
/* What moves the octets of a client, as libtls wants it. */
struct tlsconf_io {
	tls_read_cb	 in;
	tls_write_cb	 out;
	void		*arg;
};
/*
 * A client, ready for its handshake; nothing has been sent.  The descriptors ca,
 * cert and key (or -1) are read to their end and closed.  The name of the peer
 * is not verified by it: that is the caller's part.  NULL with the reason in
 * "why".
 */
struct tls	*tlsconf_client(const struct m_net_setup *,
		    const struct tlsconf_io *, int ca, int cert, int key,
		    char *why, size_t size);

#endif /* TLSCONF_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The server's certificate: out of PEM, its public key out of DER, and that
 * key's digests.  No I/O.  The octets are the server's, hence untrusted.
 */
#ifndef PIN_H
#define PIN_H

#include "buf.h"

#define PIN_SHOW_MAX	80	/* "sha256$", 64 digits, NUL */

/*
 * A list of pins is what SSL_fingerprint holds: [algo$]hex, blanks between two;
 * algo is sha1, sha256 (the default), sha384 or sha512.  Returns 0, or -1 with
 * the reason in "why" if the list is malformed.
 */
int		 pin_check(const char *list, char *why, size_t size);
/* 1 if one of a list that pin_check() has passed is the digest of the key. */
int		 pin_match(const char *list, const uint8_t *spki, size_t len);
/* Write the key's digest, "sha256$hex", into dst[PIN_SHOW_MAX]. */
void		 pin_show(char *dst, const uint8_t *spki, size_t len);

/*
 * Find the SubjectPublicKeyInfo (RFC 5280 section 4.1), header included, in a
 * certificate in DER.  Returns 0, or -1 if that is not one.
 */
int		 pin_spki(const uint8_t *der, size_t len, const uint8_t **spki,
		    size_t *spkilen);
/*
 * Put the first certificate of a PEM text into "der" (emptied first).  Returns
 * 0 or -1.
 */
int		 pin_pem(struct buf *der, const char *pem, size_t len);

#endif /* PIN_H */

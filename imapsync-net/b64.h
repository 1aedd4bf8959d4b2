/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * base64 (RFC 4648 section 4) without line breaks: SASL's lines, the fields of
 * SCRAM, certificates.  No I/O.
 */
#ifndef B64_H
#define B64_H

#include "buf.h"

/* Append "len" octets, encoded and padded, to "out". */
void		 b64_encode(struct buf *out, const void *, size_t len);
/*
 * Append what "len" characters stand for.  Returns 0, or -1 if they are
 * malformed (bits left over that are not 0 included: one text, one value);
 * "out" may have some of it then.
 */
int		 b64_decode(struct buf *out, const char *, size_t len);

#endif /* B64_H */

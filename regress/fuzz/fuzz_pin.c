/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The certificate's walk: any octets as DER, as PEM, and as the list of pins.
 */

#include <stdio.h>

#include "imapsync-net/pin.h"
#include "replay.h"

/* What is found must lie inside of what was given. */
static void
walk(const uint8_t *data, size_t len)
{
	const uint8_t	*spki;
	size_t		 n;
	char		 show[PIN_SHOW_MAX];

	if (pin_spki(data, len, &spki, &n) == -1)
		return;
	if (n == 0 || spki < data || n > len ||
	    (size_t)(spki - data) > len - n)
		abort();
	pin_show(show, spki, n);
	if (!pin_match(show, spki, n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf	 der = BUF_INIT;
	char		*text, why[200];

	walk(data, len);
	if (pin_pem(&der, (const char *)data, len) == 0)
		walk(buf_ptr(&der), der.len);
	buf_free(&der);

	text = malloc(len + 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (pin_check(text, why, sizeof(why)) == 0)
		pin_match(text, data, len);
	free(text);
	return 0;
}

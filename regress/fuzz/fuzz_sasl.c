/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A server's part of an authentication: base64, the list of mechanisms, and the
 * challenges, one a line behind the first octet, which chooses the mechanism.
 */

#include <stdio.h>

#include "imapsync-net/b64.h"
#include "imapsync-net/sasl.h"
#include "imapsync-net/scram.h"
#include "replay.h"

/* The connection is in clear: nothing of it is asked. */
const uint8_t *
stream_tls_peer(const struct stream *st, size_t *len)
{
	(void)st;
	(void)len;
	return NULL;
}

const char *
stream_tls_version(const struct stream *st)
{
	(void)st;
	return "";
}

static void
fuzz_b64(const char *text, size_t len)
{
	struct buf	 data = BUF_INIT, again = BUF_INIT;

	if (b64_decode(&data, text, len) == 0 && data.len > 0) {
		b64_encode(&again, buf_ptr(&data), data.len);
		if (again.len != len || memcmp(buf_ptr(&again), text, len) != 0)
			abort();
	}
	buf_free(&data);
	buf_free(&again);
}

static void
fuzz_choose(const struct m_net_setup *su, const char *text)
{
	struct sasl_offer	 offer;
	const char		*mech;
	char			 why[100];
	int			 i;

	for (i = 0; i < 4; i++) {
		memset(&offer, 0, sizeof(offer));
		offer.mechs = text;
		offer.tls = i & 1;
		offer.logindisabled = i >> 1;
		mech = sasl_choose(su, &offer, why, sizeof(why));
		/* Never a password in clear. */
		if (mech != NULL && !offer.tls &&
		    strncmp(mech, "SCRAM-", 6) != 0)
			abort();
	}
}

/* Work that grows with the server's count is not what is looked for here. */
static int
is_slow(const char *text)
{
	for (; *text != '\0'; text++)
		if (strspn(text, "0123456789") > 4)
			return 1;
	return 0;
}

/* Challenges to one exchange; no server can know what would end SCRAM well. */
static void
fuzz_steps(struct sasl *sa, struct scram *sc, char *text)
{
	struct buf	 out = BUF_INIT;
	char		*line;
	int		 i, r = 0;

	if (sa != NULL)
		sasl_initial(sa, &out);
	else
		scram_first(sc, &out);
	for (i = 0; i < 5 && r == 0 && (line = strsep(&text, "\n")) != NULL;
	    i++) {
		buf_clear(&out);
		if (sa != NULL)
			r = sasl_step(sa, line, strlen(line), &out);
		else
			r = scram_step(sc, line, strlen(line), &out);
		if (r == -1 && (sa != NULL ? sasl_error(sa) :
		    scram_error(sc))[0] == '\0')
			abort();
	}
	if (sc != NULL && scram_verified(sc))
		abort();
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[] = { "SCRAM-SHA-1", "LOGIN",
	    "PLAIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "EXTERNAL" };
	struct m_net_setup	 su;
	struct sasl		*sa = NULL;
	struct scram		*sc = NULL;
	char			*text, why[100];
	size_t			 which;

	if (len == 0)
		return 0;
	memset(&su, 0, sizeof(su));
	su.host = "mail.example";
	su.auth = "";
	su.username = "user";
	su.authzid = data[0] & 0x80 ? "joe" : "";
	su.password = "pencil";
	su.has_password = 1;
	text = malloc(len);
	memcpy(text, data + 1, len - 1);
	text[len - 1] = '\0';

	fuzz_b64(text, len - 1);
	fuzz_choose(&su, text);
	which = data[0] % (nitems(names) + 2);
	if (which < nitems(names))
		sa = sasl_new(names[which], &su, NULL, why, sizeof(why));
	else
		sc = scram_new(which % 2 ? "SHA-1" : "SHA-256", "user",
		    "", "pencil", "fyko", "n", NULL, 0);
	if (!is_slow(text))
		fuzz_steps(sa, sc, text);
	sasl_free(sa);
	scram_free(sc);
	free(text);
	return 0;
}

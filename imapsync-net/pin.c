/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <openssl/evp.h>

#include <ctype.h>
#include <stdio.h>

#include "b64.h"
#include "buf.h"
#include "log.h"
#include "pin.h"

#define DER_INTEGER	0x02
#define DER_BITSTRING	0x03
#define DER_SEQUENCE	0x30
#define DER_VERSION	0xa0	/* [0] EXPLICIT of TBSCertificate */

struct der {
	const uint8_t	*p;
	size_t		 len;
};

struct pin {
	const EVP_MD	*md;
	uint8_t		 digest[EVP_MAX_MD_SIZE];
	size_t		 len;
};

static const struct {
	const char	 *name;
	const EVP_MD	*(*md)(void);
} pin_algos[] = {
	{ "sha256",	EVP_sha256 },	/* the default */
	{ "sha1",	EVP_sha1 },
	{ "sha384",	EVP_sha384 },
	{ "sha512",	EVP_sha512 },
};

static const EVP_MD *
pin_algo(const char *name, size_t len)
{
	size_t	 i;

	for (i = 0; i < nitems(pin_algos); i++)
		if (strlen(pin_algos[i].name) == len &&
		    strncasecmp(pin_algos[i].name, name, len) == 0)
			return pin_algos[i].md();
	return NULL;
}

static int
hexdigit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Take the next pin of *list and advance.  Returns 1, 0 at the end, -1 with the
 * reason in "why" if it is malformed.
 */
static int
pin_next(const char **list, struct pin *pin, char *why, size_t size)
{
	const char	*p, *end, *sep;
	int		 hi, lo;

	p = *list + strspn(*list, " \t");
	if (*p == '\0')
		return 0;
	end = p + strcspn(p, " \t");
	*list = end;

	pin->md = pin_algos[0].md();
	sep = memchr(p, '$', end - p);
	if (sep != NULL) {
		if ((pin->md = pin_algo(p, sep - p)) == NULL) {
			snprintf(why, size, "the digest \"%.*s\" is not known: "
			    "use sha256, sha384, sha512 or sha1",
			    (int)(sep - p), p);
			return -1;
		}
		p = sep + 1;
	}
	pin->len = EVP_MD_size(pin->md);
	if ((size_t)(end - p) != 2 * pin->len) {
		snprintf(why, size, "\"%.*s\" has %zu characters, its digest "
		    "has %zu", (int)(end - p), p, (size_t)(end - p),
		    2 * pin->len);
		return -1;
	}
	for (sep = p; p < end; p += 2) {
		hi = hexdigit((u_char)p[0]);
		lo = hexdigit((u_char)p[1]);
		if (hi == -1 || lo == -1) {
			snprintf(why, size, "\"%.*s\" is not hexadecimal",
			    (int)(end - sep), sep);
			return -1;
		}
		pin->digest[(p - sep) / 2] = hi << 4 | lo;
	}
	return 1;
}

int
pin_check(const char *list, char *why, size_t size)
{
	struct pin	 pin;
	int		 r;

	while ((r = pin_next(&list, &pin, why, size)) == 1)
		continue;
	return r;
}

int
pin_match(const char *list, const uint8_t *spki, size_t len)
{
	uint8_t		 digest[EVP_MAX_MD_SIZE];
	struct pin	 pin;
	unsigned int	 n;
	char		 why[1];

	while (pin_next(&list, &pin, why, sizeof(why)) == 1) {
		if (EVP_Digest(spki, len, digest, &n, pin.md, NULL) != 1)
			fatalx("libcrypto can't compute a digest");
		if (n == pin.len && memcmp(digest, pin.digest, n) == 0)
			return 1;
	}
	return 0;
}

void
pin_show(char *dst, const uint8_t *spki, size_t len)
{
	uint8_t		 digest[EVP_MAX_MD_SIZE];
	unsigned int	 i, n;
	char		*p;

	if (EVP_Digest(spki, len, digest, &n, EVP_sha256(), NULL) != 1)
		fatalx("libcrypto can't compute a digest");
	p = dst + strlcpy(dst, "sha256$", PIN_SHOW_MAX);
	for (i = 0; i < n; i++, p += 2)
		snprintf(p, PIN_SHOW_MAX - (p - dst), "%02x", digest[i]);
}

/*
 * Take the element in front, which must have that tag; "whole" is it with its
 * header, "body" what it holds (both may be NULL).  DER only: a length that is
 * indefinite or longer than needed is refused, so that no two readings of one
 * certificate are possible.
 */
static int
der_take(struct der *in, int tag, struct der *whole, struct der *body)
{
	size_t	 hdr = 2, n, i, k;

	if (in->len < 2 || in->p[0] != tag)
		return -1;
	n = in->p[1];
	if (n >= 0x80) {
		k = n & 0x7f;
		if (k == 0 || k > 4 || in->len - 2 < k || in->p[2] == 0)
			return -1;
		for (n = 0, i = 0; i < k; i++)
			n = n << 8 | in->p[2 + i];
		if (n < 0x80)
			return -1;
		hdr += k;
	}
	if (n > in->len - hdr)
		return -1;
	if (whole != NULL) {
		whole->p = in->p;
		whole->len = hdr + n;
	}
	if (body != NULL) {
		body->p = in->p + hdr;
		body->len = n;
	}
	in->p += hdr + n;
	in->len -= hdr + n;
	return 0;
}

int
pin_spki(const uint8_t *der, size_t len, const uint8_t **spki, size_t *spkilen)
{
	struct der	 in, cert, tbs, key, body;
	int		 i;

	in.p = der;
	in.len = len;
	if (der_take(&in, DER_SEQUENCE, NULL, &cert) == -1 || in.len != 0 ||
	    der_take(&cert, DER_SEQUENCE, NULL, &tbs) == -1)
		return -1;
	/* version [0], serialNumber, signature, issuer, validity, subject */
	if (tbs.len > 0 && tbs.p[0] == DER_VERSION &&
	    der_take(&tbs, DER_VERSION, NULL, NULL) == -1)
		return -1;
	if (der_take(&tbs, DER_INTEGER, NULL, NULL) == -1)
		return -1;
	for (i = 0; i < 4; i++)
		if (der_take(&tbs, DER_SEQUENCE, NULL, NULL) == -1)
			return -1;
	if (der_take(&tbs, DER_SEQUENCE, &key, &body) == -1)
		return -1;
	/* algorithm, subjectPublicKey */
	if (der_take(&body, DER_SEQUENCE, NULL, NULL) == -1 ||
	    der_take(&body, DER_BITSTRING, NULL, NULL) == -1 || body.len != 0)
		return -1;
	*spki = key.p;
	*spkilen = key.len;
	return 0;
}

int
pin_pem(struct buf *der, const char *pem, size_t len)
{
	static const char	 begin[] = "-----BEGIN CERTIFICATE-----";
	static const char	 end[] = "-----END CERTIFICATE-----";
	const char		*p, *q;
	struct buf		 b64 = BUF_INIT;
	int			 r;

	buf_clear(der);
	p = memmem(pem, len, begin, sizeof(begin) - 1);
	if (p == NULL)
		return -1;
	p += sizeof(begin) - 1;
	q = memmem(p, len - (p - pem), end, sizeof(end) - 1);
	if (q == NULL)
		return -1;
	for (; p < q; p++)
		if (!isspace((u_char)*p))
			buf_add(&b64, p, 1);
	r = -1;
	if (b64.len > 0)
		r = b64_decode(der, (char *)buf_ptr(&b64), b64.len);
	buf_free(&b64);
	return r;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "b64.h"
#include "log.h"
#include "scram.h"

#define ITER_MIN	4096	/* RFC 7677 section 4 */
#define ITER_MAX	1000000	/* about half a second of work */

enum scram_state { SCRAM_FIRST, SCRAM_FINAL, SCRAM_END };

struct scram {
	enum scram_state	 state;
	const EVP_MD		*md;
	unsigned int		 mdlen;
	char			*user;		/* escaped */
	char			*password;
	char			*nonce;		/* ours, then the whole one */
	struct buf		 bind;		/* GS2 header, channel's data */
	size_t			 header;	/* octets of the former */
	struct buf		 auth;		/* AuthMessage, as it grows */
	uint8_t			 server[EVP_MAX_MD_SIZE]; /* its signature */
	int			 verified;
	char			 error[256];
};

static int
scram_fail(struct scram *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
scram_fail(struct scram *sc, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(sc->error, sizeof(sc->error), fmt, ap);
	va_end(ap);
	sc->state = SCRAM_END;
	return -1;
}

void
scram_name(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++)
		if (*name == '=')
			buf_puts(out, "=3D");
		else if (*name == ',')
			buf_puts(out, "=2C");
		else
			buf_add(out, name, 1);
}

struct scram *
scram_new(const char *hash, const char *user, const char *authzid,
    const char *password, const char *nonce, const char *gs2,
    const void *cbdata, size_t cblen)
{
	struct scram	*sc;
	struct buf	 name = BUF_INIT;

	sc = xcalloc(1, sizeof(*sc));
	sc->md = strcmp(hash, "SHA-1") == 0 ? EVP_sha1() : EVP_sha256();
	sc->mdlen = EVP_MD_size(sc->md);
	sc->password = xstrdup(password);
	sc->nonce = xstrdup(nonce);
	buf_printf(&sc->bind, "%s,", gs2);
	if (*authzid != '\0') {
		buf_puts(&sc->bind, "a=");
		scram_name(&sc->bind, authzid);
	}
	buf_puts(&sc->bind, ",");
	sc->header = sc->bind.len;
	buf_add(&sc->bind, cbdata, cblen);

	scram_name(&name, user);
	sc->user = xstrndup(name.len > 0 ? (char *)buf_ptr(&name) : "",
	    name.len);
	buf_free(&name);
	return sc;
}

void
scram_free(struct scram *sc)
{
	if (sc == NULL)
		return;
	freezero(sc->password, strlen(sc->password));
	free(sc->user);
	free(sc->nonce);
	buf_wipe(&sc->bind);
	buf_free(&sc->bind);
	buf_wipe(&sc->auth);
	buf_free(&sc->auth);
	freezero(sc, sizeof(*sc));
}

void
scram_first(struct scram *sc, struct buf *out)
{
	buf_clear(&sc->auth);
	buf_printf(&sc->auth, "n=%s,r=%s", sc->user, sc->nonce);
	buf_add(out, buf_ptr(&sc->bind), sc->header);
	buf_add(out, buf_ptr(&sc->auth), sc->auth.len);
}

static void
hmac(struct scram *sc, uint8_t *dst, const void *key, size_t keylen,
    const void *data, size_t len)
{
	if (HMAC(sc->md, key, keylen, data, len, dst, NULL) == NULL)
		fatalx("libcrypto can't compute an HMAC");
}

/*
 * The attributes of a message are separated by commas, each "x=value".  Take
 * the next, which must have that name.  Returns its value, NULL if it has not.
 */
static char *
attribute(char **p, char name)
{
	char	*a;

	a = strsep(p, ",");
	if (a == NULL || a[0] != name || a[1] != '=')
		return NULL;
	return a + 2;
}

/* Only what the grammar's "printable" has, and thus no NUL. */
static int
is_printable(const char *s, size_t len)
{
	for (; len > 0; s++, len--)
		if (*s < 0x21 || *s > 0x7e)
			return 0;
	return 1;
}

/* ClientProof into "proof", and what the server must answer. */
static void
scram_prove(struct scram *sc, const struct buf *salt, int iter, uint8_t *proof)
{
	uint8_t		 salted[EVP_MAX_MD_SIZE], client[EVP_MAX_MD_SIZE];
	uint8_t		 stored[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE];
	unsigned int	 i;

	if (PKCS5_PBKDF2_HMAC(sc->password, strlen(sc->password),
	    salt->data + salt->off, salt->len, iter, sc->md, sc->mdlen,
	    salted) != 1)
		fatalx("libcrypto can't compute PBKDF2");
	hmac(sc, client, salted, sc->mdlen, "Client Key", 10);
	if (EVP_Digest(client, sc->mdlen, stored, NULL, sc->md, NULL) != 1)
		fatalx("libcrypto can't compute a digest");
	hmac(sc, proof, stored, sc->mdlen, buf_ptr(&sc->auth), sc->auth.len);
	for (i = 0; i < sc->mdlen; i++)
		proof[i] ^= client[i];
	hmac(sc, key, salted, sc->mdlen, "Server Key", 10);
	hmac(sc, sc->server, key, sc->mdlen, buf_ptr(&sc->auth),
	    sc->auth.len);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(key, sizeof(key));
}

/* r=NONCE,s=SALT,i=COUNT[,extensions] */
static int
scram_server_first(struct scram *sc, char *msg, struct buf *out)
{
	uint8_t		 proof[EVP_MAX_MD_SIZE];
	struct buf	 salt = BUF_INIT, final = BUF_INIT;
	const char	*nonce, *b64, *count, *errstr;
	size_t		 own = strlen(sc->nonce);
	int		 iter;

	if (msg[0] == 'm')
		return scram_fail(sc, "the server demands an extension of "
		    "SCRAM that imapsync does not have");
	nonce = attribute(&msg, 'r');
	b64 = attribute(&msg, 's');
	count = attribute(&msg, 'i');
	if (nonce == NULL || b64 == NULL || count == NULL)
		return scram_fail(sc, "the server's first SCRAM message is "
		    "malformed");
	if (strncmp(nonce, sc->nonce, own) != 0 || nonce[own] == '\0')
		return scram_fail(sc, "the server's SCRAM nonce does not "
		    "continue ours: someone may be in between");
	iter = strspn(count, "0123456789") == strlen(count) ?
	    strtonum(count, 1, INT_MAX, &errstr) : 0;
	if (iter < ITER_MIN || iter > ITER_MAX)
		return scram_fail(sc, "the server's SCRAM iteration count "
		    "\"%.20s\" is not between %d and %d: name another "
		    "mechanism with auth", count, ITER_MIN, ITER_MAX);
	if (b64_decode(&salt, b64, strlen(b64)) == -1 || salt.len == 0) {
		buf_free(&salt);
		return scram_fail(sc, "the server's SCRAM salt is malformed");
	}

	buf_puts(&final, "c=");
	b64_encode(&final, buf_ptr(&sc->bind), sc->bind.len);
	buf_printf(&final, ",r=%s", nonce);
	buf_puts(&sc->auth, ",");
	buf_add(&sc->auth, buf_ptr(&final), final.len);
	scram_prove(sc, &salt, iter, proof);
	buf_add(out, buf_ptr(&final), final.len);
	buf_puts(out, ",p=");
	b64_encode(out, proof, sc->mdlen);
	buf_free(&salt);
	buf_free(&final);
	explicit_bzero(sc->password, strlen(sc->password));
	sc->state = SCRAM_FINAL;
	return 0;
}

/* v=SIGNATURE or e=ERROR, then extensions */
static int
scram_server_final(struct scram *sc, char *msg)
{
	struct buf	 sig = BUF_INIT;
	char		*v;
	int		 ok;

	sc->state = SCRAM_END;
	if (msg[0] == 'e' && (v = attribute(&msg, 'e')) != NULL) {
		snprintf(sc->error, sizeof(sc->error), "the server says \"%s\"",
		    v);
		return 0;
	}
	if ((v = attribute(&msg, 'v')) == NULL ||
	    b64_decode(&sig, v, strlen(v)) == -1) {
		buf_free(&sig);
		return scram_fail(sc, "the server's final SCRAM message is "
		    "malformed");
	}
	ok = sig.len == sc->mdlen &&
	    CRYPTO_memcmp(buf_ptr(&sig), sc->server, sc->mdlen) == 0;
	buf_free(&sig);
	if (!ok)
		return scram_fail(sc, "the server has not proved that it knows "
		    "the password (SCRAM signature): it may be an impostor");
	sc->verified = 1;
	return 0;
}

int
scram_step(struct scram *sc, const void *data, size_t len, struct buf *out)
{
	char	*msg;
	int	 r;

	if (sc->state == SCRAM_END)
		return scram_fail(sc, "the server goes on after the end of "
		    "SCRAM");
	if (len == 0 || !is_printable(data, len))
		return scram_fail(sc, "the server's SCRAM message has octets "
		    "that are not allowed there");
	msg = xstrndup(data, len);
	if (sc->state == SCRAM_FIRST) {
		buf_puts(&sc->auth, ",");
		buf_add(&sc->auth, data, len);
		r = scram_server_first(sc, msg, out);
	} else
		r = scram_server_final(sc, msg);
	free(msg);
	return r;
}

int
scram_verified(const struct scram *sc)
{
	return sc->verified;
}

const char *
scram_error(const struct scram *sc)
{
	return sc->error;
}

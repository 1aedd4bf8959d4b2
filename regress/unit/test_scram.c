/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * SCRAM: the exchanges of RFC 5802 section 5 and RFC 7677 section 3, and what a
 * client must not accept.
 */

#include <string.h>

#include "imapsync-net/scram.h"
#include "tap.h"

#define NONCE1		"fyko+d2lbbFgONRv9qkxdawL"
#define NONCE1_ALL	NONCE1 "3rfcNHYJY1ZVvWVs7j"
#define FIRST1		"r=" NONCE1_ALL ",s=QSXCR+Q6sek8bf92,i=4096"
#define FINAL1		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
#define NONCE256	"rOprNGfwEbeRWgbNEkqO"
#define NONCE256_ALL	NONCE256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

static int
is(struct buf *out, const char *want)
{
	int	 same;

	same = out->len == strlen(want) &&
	    memcmp(buf_ptr(out), want, out->len) == 0;
	if (!same)
		printf("# got \"%.*s\"\n", (int)out->len,
		    out->len > 0 ? (char *)buf_ptr(out) : "");
	buf_clear(out);
	return same;
}

static int
step(struct scram *sc, const char *msg, struct buf *out)
{
	buf_clear(out);
	return scram_step(sc, msg, strlen(msg), out);
}

static void
test_vector(const char *hash, const char *nonce, const char *first,
    const char *reply, const char *final)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;
	char		 hello[128];

	snprintf(hello, sizeof(hello), "n,,n=user,r=%s", nonce);
	sc = scram_new(hash, "user", "", "pencil", nonce, "n", NULL, 0);
	scram_first(sc, &out);
	ok(is(&out, hello), "%s: first message", hash);
	scram_first(sc, &out);
	ok(is(&out, hello), "%s: the same again", hash);
	ok(step(sc, first, &out) == 0, "%s: server's first message", hash);
	ok(is(&out, reply), "%s: proof", hash);
	ok(!scram_verified(sc), "%s: not verified yet", hash);
	ok(step(sc, final, &out) == 0 && out.len == 0,
	    "%s: server's signature", hash);
	ok(scram_verified(sc), "%s: verified", hash);
	ok(step(sc, final, &out) == -1, "%s: no more", hash);
	scram_free(sc);
	buf_free(&out);
}

/* A first message that must be refused. */
static void
test_first(const char *what, const char *msg, size_t len, const char *why)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;

	sc = scram_new("SHA-1", "user", "", "pencil", NONCE1, "n", NULL, 0);
	scram_first(sc, &out);
	buf_clear(&out);
	ok(scram_step(sc, msg, len, &out) == -1 && out.len == 0,
	    "%s: refused", what);
	ok(strstr(scram_error(sc), why) != NULL, "%s: \"%s\"", what,
	    scram_error(sc));
	ok(step(sc, FIRST1, &out) == -1 && out.len == 0, "%s: stays so", what);
	scram_free(sc);
	buf_free(&out);
}
#define BAD_FIRST(what, msg, why)	\
	test_first((what), (msg), sizeof(msg) - 1, (why))

static void
test_final(const char *what, const char *msg, int want, const char *why)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;

	sc = scram_new("SHA-1", "user", "", "pencil", NONCE1, "n", NULL, 0);
	scram_first(sc, &out);
	ok(step(sc, FIRST1, &out) == 0, "%s: first", what);
	ok(step(sc, msg, &out) == want && out.len == 0, "%s: final", what);
	ok(!scram_verified(sc), "%s: not verified", what);
	ok(strstr(scram_error(sc), why) != NULL, "%s: \"%s\"", what,
	    scram_error(sc));
	scram_free(sc);
	buf_free(&out);
}

static void
test_binding(void)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;

	sc = scram_new("SHA-1", "a=b,c\xc3\xa9", "", "p", NONCE1,
	    "p=tls-server-end-point", "\1\2\3", 3);
	scram_first(sc, &out);
	ok(is(&out, "p=tls-server-end-point,,n=a=3Db=2Cc\xc3\xa9,r=" NONCE1),
	    "binding: the header; the name escaped");
	ok(step(sc, FIRST1, &out) == 0, "binding: goes on");
	/* base64 of "p=tls-server-end-point,," and 1 2 3 */
	ok(out.len > 60 && memcmp(buf_ptr(&out),
	    "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQID,r=", 41) == 0,
	    "binding: the channel's data");
	scram_free(sc);
	buf_clear(&out);

	sc = scram_new("SHA-256", "u", "", "p", NONCE1, "y", NULL, 0);
	scram_first(sc, &out);
	ok(is(&out, "y,,n=u,r=" NONCE1), "binding: \"y\"");
	ok(step(sc, FIRST1, &out) == 0 && out.len > 9 &&
	    memcmp(buf_ptr(&out), "c=eSws,r=", 9) == 0,
	    "binding: \"y\" is repeated");
	scram_free(sc);
	buf_free(&out);
}

/* Whom to act as: in the header, and bound to the proof with it. */
static void
test_authzid(void)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;

	sc = scram_new("SHA-1", "master", "j,o=e", "pencil", NONCE1, "n", NULL,
	    0);
	scram_first(sc, &out);
	ok(is(&out, "n,a=j=2Co=3De,n=master,r=" NONCE1), "authzid: header");
	/* base64 of "n,a=j=2Co=3De," */
	ok(step(sc, FIRST1, &out) == 0 && out.len > 24 &&
	    memcmp(buf_ptr(&out), "c=bixhPWo9MkNvPTNEZSw=,r=", 25) == 0,
	    "authzid: repeated");
	scram_free(sc);
	buf_free(&out);
}

/* The highest count is work, but allowed. */
static void
test_count(void)
{
	struct scram	*sc;
	struct buf	 out = BUF_INIT;

	sc = scram_new("SHA-1", "user", "", "pencil", NONCE1, "n", NULL, 0);
	scram_first(sc, &out);
	ok(step(sc, "r=" NONCE1_ALL ",s=QSXC,i=1000000", &out) == 0,
	    "count 1000000: accepted");
	scram_free(sc);
	buf_free(&out);
}

int
main(void)
{
	test_vector("SHA-1", NONCE1, FIRST1,
	    "c=biws,r=" NONCE1_ALL ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", FINAL1);
	test_vector("SHA-256", NONCE256,
	    "r=" NONCE256_ALL ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	    "c=biws,r=" NONCE256_ALL
	    ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	test_vector("SHA-1", NONCE1, FIRST1 ",x=unknown",
	    "c=biws,r=" NONCE1_ALL ",p=L4Qb2lqQw9ZQCGDmMSQ99YQqCSM=",
	    "v=nKeFzLhn502BJCO+RvglUWIAs1E=,y=more");

	BAD_FIRST("empty", "", "not allowed");
	BAD_FIRST("NUL", "r=" NONCE1 "\0abc,s=QSXC,i=4096", "not allowed");
	BAD_FIRST("8 bit", FIRST1 "\xc3", "not allowed");
	BAD_FIRST("extension", "m=x," FIRST1, "extension");
	BAD_FIRST("other nonce", "r=other" NONCE1 ",s=QSXC,i=4096", "nonce");
	BAD_FIRST("only our nonce", "r=" NONCE1 ",s=QSXC,i=4096", "nonce");
	BAD_FIRST("cut nonce", "r=fyko,s=QSXC,i=4096", "nonce");
	BAD_FIRST("no salt", "r=" NONCE1_ALL ",i=4096", "malformed");
	BAD_FIRST("empty salt", "r=" NONCE1_ALL ",s=,i=4096", "salt");
	BAD_FIRST("bad salt", "r=" NONCE1_ALL ",s=Q!XC,i=4096", "salt");
	BAD_FIRST("no count", "r=" NONCE1_ALL ",s=QSXC", "malformed");
	BAD_FIRST("count 4095", "r=" NONCE1_ALL ",s=QSXC,i=4095", "4095");
	BAD_FIRST("count 1", "r=" NONCE1_ALL ",s=QSXC,i=1", "between");
	BAD_FIRST("count 1000001", "r=" NONCE1_ALL ",s=QSXC,i=1000001",
	    "between");
	BAD_FIRST("huge count", "r=" NONCE1_ALL
	    ",s=QSXC,i=99999999999999999999", "between");
	BAD_FIRST("negative count", "r=" NONCE1_ALL ",s=QSXC,i=-4096",
	    "between");
	BAD_FIRST("count with text", "r=" NONCE1_ALL ",s=QSXC,i=4096x",
	    "between");
	BAD_FIRST("an error at once", "e=other-error", "malformed");

	test_final("wrong signature", "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", -1,
	    "impostor");
	test_final("short signature", "v=rmF9", -1, "impostor");
	test_final("empty signature", "v=", -1, "impostor");
	test_final("no base64", "v=rmF9pq#8S7suAoZWja4dJRkFsKQ=", -1,
	    "malformed");
	test_final("no signature", "x=1", -1, "malformed");
	test_final("refused", "e=invalid-proof", 0, "invalid-proof");
	test_binding();
	test_count();
	test_authzid();
	return tap_done();
}

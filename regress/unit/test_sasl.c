/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Which mechanism is chosen, what each says, octet for octet, and when it gives
 * up.  The connection is a stand-in that has any certificate wanted.
 */

#include "imapsync-net/b64.h"
#include "imapsync-net/sasl.h"
#include "certs.h"
#include "tap.h"

#define PLUS	"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS "
#define SCRAM	"SCRAM-SHA-256 SCRAM-SHA-1 "

/* The connection: TLS if there is a certificate. */
static const uint8_t	*peer;
static size_t		 peer_len;

const uint8_t *
stream_tls_peer(const struct stream *st, size_t *len)
{
	(void)st;
	*len = peer_len;
	return peer;
}

const char *
stream_tls_version(const struct stream *st)
{
	(void)st;
	return peer == NULL ? "" : "TLSv1.3";
}

static struct stream	*const conn = (struct stream *)&peer;

static struct m_net_setup
setup(const char *auth)
{
	struct m_net_setup	 su;

	memset(&su, 0, sizeof(su));
	su.host = "mail.example";
	su.auth = auth;
	su.username = "me";
	su.authzid = "";
	su.password = "secret";
	su.has_password = 1;
	return su;
}

static int
is(struct buf *out, const char *want, size_t len)
{
	int	 same;

	same = out->len == len &&
	    (len == 0 || memcmp(buf_ptr(out), want, len) == 0);
	buf_clear(out);
	return same;
}

/* ---- the choice ---- */

enum { TLS = 1, NOBIND = 2, CLEAR = 4, NOLOGIN = 8, PIPE = 16 };

static void
choose(const char *auth, const char *mechs, int how, const char *want,
    const char *reason)
{
	struct m_net_setup	 su = setup(auth);
	struct sasl_offer	 offer;
	const char		*got;
	char			 why[400] = "";

	memset(&offer, 0, sizeof(offer));
	offer.mechs = mechs;
	offer.tls = how & NOBIND ? SASL_TLS_NOBIND : how & TLS ? 1 : 0;
	offer.logindisabled = (how & NOLOGIN) != 0;
	su.cleartext = (how & CLEAR) != 0;
	su.pipeline = (how & PIPE) != 0;
	got = sasl_choose(&su, &offer, why, sizeof(why));
	if (want != NULL)
		ok(got != NULL && strcmp(got, want) == 0,
		    "auth \"%s\", %d, offered \"%s\": %s%s", auth, how, mechs,
		    got == NULL ? "nothing: " : got, why);
	else
		ok(got == NULL && strstr(why, reason) != NULL,
		    "auth \"%s\", %d, offered \"%s\": %s%s", auth, how, mechs,
		    got == NULL ? "" : got, why);
}

static void
test_default(void)
{
	choose(PLUS SCRAM, PLUS SCRAM "PLAIN LOGIN", TLS,
	    "SCRAM-SHA-256-PLUS", NULL);
	choose("", PLUS SCRAM "PLAIN LOGIN", TLS, "SCRAM-SHA-256", NULL);
	choose(PLUS, "SCRAM-SHA-1-PLUS " SCRAM, TLS, "SCRAM-SHA-1-PLUS", NULL);
	choose(PLUS SCRAM, PLUS SCRAM "PLAIN LOGIN", NOBIND,
	    "SCRAM-SHA-256", NULL);
	choose("", PLUS SCRAM "PLAIN LOGIN", 0, "SCRAM-SHA-256", NULL);
	choose("", "LOGIN PLAIN SCRAM-SHA-1", TLS | PIPE, "SCRAM-SHA-1", NULL);
	choose("", "LOGIN PLAIN", TLS | NOLOGIN, "PLAIN", NULL);
	choose("", "LOGIN PLAIN", TLS, "PLAIN", NULL);
	choose("", "LOGIN PLAIN", CLEAR, "PLAIN", NULL);
	choose("", "plain", TLS, "PLAIN", NULL);
	choose("", "LOGIN PLAIN", TLS | PIPE, "LOGIN-COMMAND", NULL);
	choose("", "LOGIN PLAIN", TLS | PIPE | NOLOGIN, "PLAIN", NULL);
	choose("", "LOGIN", TLS, "LOGIN-COMMAND", NULL);
	choose("", "LOGIN", TLS | NOLOGIN, "LOGIN", NULL);
	choose("", "", TLS, "LOGIN-COMMAND", NULL);
	choose("", "", CLEAR, "LOGIN-COMMAND", NULL);
	choose("", "GSSAPI", TLS, "LOGIN-COMMAND", NULL);
	choose("", "XPLAIN PLAINX", TLS | NOLOGIN, NULL, "XPLAIN");

	/* Never in clear. */
	choose("", "LOGIN PLAIN", 0, NULL, "STARTTLS");
	choose("", "LOGIN PLAIN", PIPE, NULL, "in clear");
	choose("", "", 0, NULL, "in clear");
	choose("", "", NOLOGIN, NULL, "LOGINDISABLED");
	choose("", "", TLS | NOLOGIN, NULL, "LOGINDISABLED");
	choose("", "PLAIN", NOLOGIN, NULL, "in clear");

	/* Only when named. */
	choose("", "CRAM-MD5 EXTERNAL XOAUTH2 OAUTHBEARER", TLS | NOLOGIN,
	    NULL, "CRAM-MD5 EXTERNAL");
	choose("", "\033[31mX", TLS | NOLOGIN, NULL, "\\^[[31mX");
}

static void
test_named(void)
{
	choose("CRAM-MD5", "PLAIN CRAM-MD5", 0, "CRAM-MD5", NULL);
	choose("EXTERNAL", "PLAIN EXTERNAL", TLS, "EXTERNAL", NULL);
	choose("XOAUTH2", "PLAIN XOAUTH2", TLS, "XOAUTH2", NULL);
	choose("OAUTHBEARER XOAUTH2", "XOAUTH2", TLS, "XOAUTH2", NULL);
	choose("XOAUTH2 OAUTHBEARER", "OAUTHBEARER XOAUTH2", TLS, "XOAUTH2",
	    NULL);
	choose("XOAUTH2", "XOAUTH2", 0, NULL, "in clear");
	choose("OAUTHBEARER", "OAUTHBEARER", 0, NULL, "in clear");
	choose("OAUTHBEARER", "OAUTHBEARER", CLEAR, "OAUTHBEARER", NULL);
	choose("PLAIN SCRAM-SHA-1", SCRAM "PLAIN", TLS, "PLAIN", NULL);
	choose("PLAIN SCRAM-SHA-1", SCRAM "PLAIN", 0, "SCRAM-SHA-1", NULL);
	choose("PLAIN SCRAM-SHA-1", "SCRAM-SHA-1", TLS, "SCRAM-SHA-1", NULL);
	choose("plain", "PLAIN", TLS, "PLAIN", NULL);
	choose("PLAIN", "PLAIN", TLS | PIPE, "PLAIN", NULL);
	choose("PLAIN LOGIN", "PLAIN LOGIN", TLS | PIPE, "LOGIN-COMMAND",
	    NULL);
	choose("SCRAM-SHA-1 PLAIN", "PLAIN LOGIN", TLS | PIPE, "PLAIN", NULL);
	choose("PLAIN", "", TLS, NULL, "none of what auth names");
	choose("LOGIN", "PLAIN", TLS, "LOGIN-COMMAND", NULL);
	choose("LOGIN", "PLAIN LOGIN", TLS | NOLOGIN, "LOGIN", NULL);
	choose("PLAIN", "", TLS | NOLOGIN, NULL, "LOGINDISABLED");
	choose("PLAIN", "PLAIN", 0, NULL, "in clear");
	choose("SCRAM-SHA-256", "PLAIN", TLS, NULL, "none of what auth names");
	choose("SCRAM-SHA-256", "", TLS, NULL, "LOGIN command");
	choose("SCRAM-SHA-256-PLUS", PLUS, 0, NULL, "none of what auth names");
	choose("SCRAM-SHA-256-PLUS", PLUS, NOBIND, NULL, "none of what auth");
	choose("GSSAPI PLAIN", "PLAIN", TLS, NULL, "\"GSSAPI\"");
}

static void
test_lacking(void)
{
	struct sasl_offer	 offer = { "PLAIN EXTERNAL", 0, 1 };
	struct m_net_setup	 su = setup("");
	char			 why[200] = "";

	su.username = "";
	ok(sasl_choose(&su, &offer, why, sizeof(why)) == NULL &&
	    strstr(why, "no username") != NULL, "%s", why);
	su = setup("");
	su.has_password = 0;
	su.password = "";
	ok(sasl_choose(&su, &offer, why, sizeof(why)) == NULL &&
	    strstr(why, "no password") != NULL, "%s", why);
	su.auth = "EXTERNAL";
	ok(sasl_choose(&su, &offer, why, sizeof(why)) != NULL,
	    "EXTERNAL without a password");

	/* The LOGIN command can't carry these; PLAIN can. */
	su = setup("");
	su.pipeline = 1;
	su.password = "s\xc3\xa9same";
	ok(strcmp(sasl_choose(&su, &offer, why, sizeof(why)), "PLAIN") == 0,
	    "8 bits: PLAIN");
	offer.mechs = "";
	ok(sasl_choose(&su, &offer, why, sizeof(why)) == NULL, "8 bits: %s",
	    why);
}

/* Whom to act as: only where it can be said. */
static void
test_authzid(void)
{
	static const struct {
		const char	*auth, *mechs, *want, *why;
	} tests[] = {
		{ "", SCRAM "PLAIN LOGIN", "SCRAM-SHA-256", "" },
		{ "", "PLAIN LOGIN", "PLAIN", "" },
		{ "", "LOGIN", NULL, "carry the authzid; it offers: LOGIN" },
		{ "", "", NULL, "carry the authzid; it offers: the LOGIN" },
		{ "LOGIN CRAM-MD5 XOAUTH2", "LOGIN CRAM-MD5 XOAUTH2 PLAIN",
		    NULL, "authzid and that auth names" },
		{ "EXTERNAL", "EXTERNAL", "EXTERNAL", "" },
		{ "XOAUTH2 OAUTHBEARER", "XOAUTH2 OAUTHBEARER", "OAUTHBEARER",
		    "" }
	};
	struct sasl_offer	 offer = { NULL, 0, 1 };
	struct m_net_setup	 su;
	const char		*got;
	char			 why[400];
	size_t			 i;

	for (i = 0; i < nitems(tests); i++) {
		su = setup(tests[i].auth);
		su.authzid = "joe";
		su.pipeline = 1;
		offer.mechs = tests[i].mechs;
		why[0] = '\0';
		got = sasl_choose(&su, &offer, why, sizeof(why));
		ok((got == NULL) == (tests[i].want == NULL) && (got == NULL ||
		    strcmp(got, tests[i].want) == 0) &&
		    strstr(why, tests[i].why) != NULL,
		    "authzid, auth \"%s\", offered \"%s\": %s%s",
		    tests[i].auth, tests[i].mechs, got == NULL ? "" : got, why);
	}
}

/* ---- the exchanges ---- */

static struct sasl *
new(const char *mech, const struct m_net_setup *su)
{
	struct sasl	*sa;
	char		 why[200] = "";

	sa = sasl_new(mech, su, conn, why, sizeof(why));
	if (sa == NULL) {
		printf("Bail out!  sasl_new: %s\n", why);
		exit(1);
	}
	return sa;
}

static void
test_simple(void)
{
	struct m_net_setup	 su = setup("");
	struct sasl		*sa;
	struct buf		 out = BUF_INIT;
	char			 why[200] = "";

	sa = new("PLAIN", &su);
	ok(sasl_initial(sa, &out) == 1 && is(&out, "\0me\0secret", 10),
	    "PLAIN: initial");
	ok(sasl_finish(sa) == 0 && !sasl_proved(sa), "PLAIN: ends, unproved");
	ok(sasl_step(sa, "", 0, &out) == -1 && out.len == 0,
	    "PLAIN: %s", sasl_error(sa));
	sasl_free(sa);

	sa = new("LOGIN", &su);
	ok(sasl_initial(sa, &out) == 0 && out.len == 0, "LOGIN: waits");
	ok(sasl_step(sa, "Username:", 9, &out) == 0 && is(&out, "me", 2),
	    "LOGIN: name");
	ok(sasl_step(sa, NULL, 0, &out) == 0 && is(&out, "secret", 6),
	    "LOGIN: password");
	ok(sasl_step(sa, "?", 1, &out) == -1 && out.len == 0, "LOGIN: %s",
	    sasl_error(sa));
	sasl_free(sa);

	sa = new("EXTERNAL", &su);
	ok(sasl_initial(sa, &out) == 1 && is(&out, "me", 2), "EXTERNAL");
	ok(sasl_step(sa, "", 0, &out) == -1, "EXTERNAL: %s", sasl_error(sa));
	sasl_free(sa);
	su.username = "";
	sa = new("EXTERNAL", &su);
	ok(sasl_initial(sa, &out) == 1 && out.len == 0, "EXTERNAL: empty");
	sasl_free(sa);

	su = setup("");
	su.authzid = "joe";
	sa = new("PLAIN", &su);
	ok(sasl_initial(sa, &out) == 1 && is(&out, "joe\0me\0secret", 13),
	    "PLAIN: as another user");
	sasl_free(sa);
	sa = new("EXTERNAL", &su);
	ok(sasl_initial(sa, &out) == 1 && is(&out, "joe", 3),
	    "EXTERNAL: as another user");
	sasl_free(sa);
	sa = new("SCRAM-SHA-256", &su);
	ok(sasl_initial(sa, &out) == 1 && out.len > 14 &&
	    memcmp(buf_ptr(&out), "n,a=joe,n=me,r=", 15) == 0,
	    "SCRAM: as another user");
	sasl_free(sa);
	buf_clear(&out);
	sa = new("OAUTHBEARER", &su);
	ok(sasl_initial(sa, &out) == 1 && out.len > 9 &&
	    memcmp(buf_ptr(&out), "n,a=joe,\001", 9) == 0,
	    "OAUTHBEARER: as another user");
	sasl_free(sa);
	buf_clear(&out);
	su.authzid = "joe\001";
	ok(sasl_new("OAUTHBEARER", &su, conn, why, sizeof(why)) == NULL,
	    "OAUTHBEARER: %s", why);

	/* RFC 2195 section 2 */
	su = setup("");
	su.username = "tim";
	su.password = "tanstaaftanstaaf";
	sa = new("CRAM-MD5", &su);
	ok(sasl_initial(sa, &out) == 0, "CRAM-MD5: waits");
	ok(sasl_step(sa, "<1896.697170952@postoffice.reston.mci.net>", 42,
	    &out) == 0 && is(&out, "tim b913a602c7eda7a495b4e6e7334d3890",
	    36), "CRAM-MD5: answer");
	ok(sasl_step(sa, "", 0, &out) == -1 && out.len == 0, "CRAM-MD5: %s",
	    sasl_error(sa));
	sasl_free(sa);
	buf_free(&out);
}

static void
test_tokens(void)
{
	static const char	 json[] = "{\"status\":\"invalid_token\","
	    "\"scope\":\"example_scope\"}";
	static const char	 oauth[] = "n,a=user@example.com,\001"
	    "host=server.example.com\001port=143\001auth=Bearer "
	    "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\001\001";
	struct m_net_setup	 su = setup("");
	struct sasl		*sa;
	struct buf		 out = BUF_INIT;
	char			 why[200];

	sa = new("XOAUTH2", &su);
	ok(sasl_initial(sa, &out) == 1 &&
	    is(&out, "user=me\001auth=Bearer secret\001\001", 28),
	    "XOAUTH2: initial");
	ok(sasl_error(sa)[0] == '\0', "XOAUTH2: no error yet");
	ok(sasl_step(sa, json, strlen(json), &out) == 0 && out.len == 0,
	    "XOAUTH2: an empty line for the JSON");
	ok(strstr(sasl_error(sa), "(invalid_token)") != NULL, "XOAUTH2: %s",
	    sasl_error(sa));
	ok(sasl_step(sa, json, strlen(json), &out) == -1, "XOAUTH2: %s",
	    sasl_error(sa));
	sasl_free(sa);

	/* RFC 7628 section 4.1 */
	su.username = "user@example.com";
	su.password = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
	su.host = "server.example.com";
	su.port = 143;
	sa = new("OAUTHBEARER", &su);
	ok(sasl_initial(sa, &out) == 1 && is(&out, oauth, strlen(oauth)),
	    "OAUTHBEARER: initial");
	ok(sasl_step(sa, "{}", 2, &out) == 0 && is(&out, "\001", 1),
	    "OAUTHBEARER: %s", sasl_error(sa));
	sasl_free(sa);
	sa = new("OAUTHBEARER", &su);
	ok(sasl_step(sa, NULL, 0, &out) == 0 && is(&out, "\001", 1),
	    "OAUTHBEARER: %s", sasl_error(sa));
	sasl_free(sa);
	sa = new("OAUTHBEARER", &su);
	sasl_step(sa, "{\"status\"", 9, &out);
	ok(sasl_error(sa)[0] != '\0', "OAUTHBEARER: cut JSON");
	sasl_free(sa);
	buf_clear(&out);
	su.username = "a=b,c";
	sa = new("OAUTHBEARER", &su);
	ok(sasl_initial(sa, &out) == 1 && out.len > 15 &&
	    memcmp(buf_ptr(&out), "n,a=a=3Db=2Cc,\001", 15) == 0,
	    "OAUTHBEARER: the name escaped");
	sasl_free(sa);

	su.password = "tok\001auth=Bearer x";
	ok(sasl_new("XOAUTH2", &su, conn, why, sizeof(why)) == NULL, "%s",
	    why);
	ok(sasl_new("GSSAPI", &su, conn, why, sizeof(why)) == NULL, "%s",
	    why);
	buf_free(&out);
}

/* ---- SCRAM and channel binding ---- */

/* Run the first two steps, return the text behind "c=" in "bind". */
static void
scram_start(struct sasl *sa, const char *flag, struct buf *bind)
{
	struct buf	 out = BUF_INIT, msg = BUF_INIT;
	char		*p, want[64];

	snprintf(want, sizeof(want), "%s,,n=me,r=", flag);
	sasl_initial(sa, &out);
	buf_add(&out, "", 1);
	p = (char *)buf_ptr(&out);
	ok(strncmp(p, want, strlen(want)) == 0 &&
	    strlen(p) == strlen(want) + 24, "SCRAM: %s", want);
	buf_printf(&msg, "r=%sx,s=QSXC,i=4096", p + strlen(want));
	buf_clear(&out);
	buf_clear(bind);
	if (!ok(sasl_step(sa, buf_ptr(&msg), msg.len, &out) == 0,
	    "SCRAM: %s goes on %s", want, sasl_error(sa)))
		return;
	buf_add(&out, "", 1);
	p = (char *)buf_ptr(&out);
	p[strcspn(p, ",")] = '\0';
	ok(strncmp(p, "c=", 2) == 0 &&
	    b64_decode(bind, p + 2, strlen(p + 2)) == 0, "SCRAM: c=");
	buf_free(&out);
	buf_free(&msg);
}

static void
test_scram(const char *auth, const char *mech, const char *flag)
{
	struct m_net_setup	 su = setup(auth);
	struct sasl		*sa;
	struct buf		 bind = BUF_INIT, out = BUF_INIT;

	sa = new(mech, &su);
	ok(sasl_finish(sa) == -1, "%s: OK at once: %s", mech, sasl_error(sa));
	sasl_free(sa);

	sa = new(mech, &su);
	scram_start(sa, flag, &bind);
	ok(bind.len == strlen(flag) + 2 &&
	    memcmp(buf_ptr(&bind), flag, strlen(flag)) == 0,
	    "auth \"%s\", %s: flag %s", auth, mech, flag);
	ok(!sasl_proved(sa), "%s: nothing is proved yet", mech);
	ok(sasl_finish(sa) == -1, "%s: OK unproved: %s", mech, sasl_error(sa));
	sasl_free(sa);

	sa = new(mech, &su);
	scram_start(sa, flag, &bind);
	ok(sasl_step(sa, "e=other-error", 13, &out) == 0 &&
	    strstr(sasl_error(sa), "other-error") != NULL, "%s: %s", mech,
	    sasl_error(sa));
	ok(!sasl_proved(sa), "%s: nor by a refusal", mech);
	ok(sasl_finish(sa) == -1, "%s: OK behind that", mech);
	sasl_free(sa);
	buf_free(&bind);
	buf_free(&out);
}

/* The certificate's digest by openssl(1) is what SCRAM binds to; 0: none. */
static void
test_bind(const char *what, const char *key, const char *sign,
    const char *digest)
{
	struct m_net_setup	 su = setup("");
	struct sasl		*sa;
	struct buf		 bind = BUF_INIT;
	uint8_t			*der, *sum;
	size_t			 len;
	char			 why[200] = "";

	run("openssl %s", key);
	run("openssl req -x509 -new -key key -subj /CN=a -days 2 %s -out crt",
	    sign);
	run("openssl x509 -in crt -outform der -out der");
	peer = der = certs_read("der", &peer_len);
	if (digest == NULL) {
		ok(sasl_tls(conn) == SASL_TLS_NOBIND, "%s: no binding", what);
		ok(sasl_new("SCRAM-SHA-1-PLUS", &su, conn, why,
		    sizeof(why)) == NULL, "%s: %s", what, why);
		test_scram("", "SCRAM-SHA-1", "n");
	} else {
		ok(sasl_tls(conn) == 1, "%s: binding", what);
		run("openssl dgst -%s -binary der >sum", digest);
		sum = certs_read("sum", &len);
		sa = new("SCRAM-SHA-256-PLUS", &su);
		scram_start(sa, "p=tls-server-end-point", &bind);
		ok(bind.len == 24 + len &&
		    memcmp(buf_ptr(&bind) + 24, sum, len) == 0,
		    "%s: bound to the %s", what, digest);
		sasl_free(sa);
		free(sum);
	}
	buf_free(&bind);
	peer = NULL;
	free(der);
}

static void
test_flags(void)
{
	uint8_t	*der;

	ok(sasl_tls(conn) == 0, "no TLS");
	test_scram("", "SCRAM-SHA-256", "n");
	run("openssl ecparam -name prime256v1 -genkey -noout -out key");
	run("openssl req -x509 -new -key key -subj /CN=a -days 2 -out crt");
	run("openssl x509 -in crt -outform der -out der");
	peer = der = certs_read("der", &peer_len);
	/* "y" only where -PLUS would have been taken before. */
	test_scram("", "SCRAM-SHA-256", "n");
	test_scram(PLUS SCRAM, "SCRAM-SHA-256", "y");
	test_scram(PLUS SCRAM, "SCRAM-SHA-1", "y");
	test_scram("SCRAM-SHA-256", "SCRAM-SHA-256", "n");
	test_scram("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "n");
	test_scram("SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256", "y");
	peer = NULL;
	free(der);
}

/* ---- base64 ---- */

static void
test_b64(void)
{
	static const char *const good[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "\xff\xfe\xfb", "//77" }, { "foobar", "Zm9vYmFy" },
	};
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Zg===", "====", "Z===", "Zh==", "Zm9=",
		"Zg==Zg==", "Zm=v", "Zm 9", "Zm9v\n", "Zm9*", "=g==",
		"Zm9\xff",
	};
	struct buf		 out = BUF_INIT;
	uint8_t			 all[256];
	size_t			 i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		b64_encode(&out, good[i][0], strlen(good[i][0]));
		ok(is(&out, good[i][1], strlen(good[i][1])), "\"%s\"",
		    good[i][1]);
		ok(b64_decode(&out, good[i][1], strlen(good[i][1])) == 0 &&
		    is(&out, good[i][0], strlen(good[i][0])), "and back");
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(b64_decode(&out, bad[i], strlen(bad[i])) == -1,
		    "malformed base64 %zu", i);
	ok(b64_decode(&out, "Zm\0v", 4) == -1, "NUL in base64");
	buf_clear(&out);
	for (i = 0; i < sizeof(all); i++)
		all[i] = i;
	for (i = 0; i <= sizeof(all); i++) {
		struct buf	 text = BUF_INIT;

		b64_encode(&text, all, i);
		b64_decode(&out, i == 0 ? "" : (char *)buf_ptr(&text),
		    text.len);
		if (!is(&out, (char *)all, i))
			break;
		buf_free(&text);
	}
	ok(i == sizeof(all) + 1, "all octets, all lengths");
	buf_free(&out);
}

int
main(void)
{
	/* Ends it where it can't be done: before anything is counted. */
	certs_init();
	test_b64();
	test_default();
	test_named();
	test_lacking();
	test_authzid();
	test_simple();
	test_tokens();
	test_flags();
	test_bind("RSA, SHA-256", "genrsa -out key 2048", "-sha256", "sha256");
	test_bind("RSA, SHA-1", "genrsa -out key 2048", "-sha1", "sha256");
	test_bind("RSA, SHA-512", "genrsa -out key 2048", "-sha512", "sha512");
	test_bind("RSA-PSS, SHA-384", "genrsa -out key 2048",
	    "-sha384 -sigopt rsa_padding_mode:pss", "sha384");
	test_bind("ECDSA, SHA-384",
	    "ecparam -name secp384r1 -genkey -noout -out key", "-sha384",
	    "sha384");
	test_bind("Ed25519", "genpkey -algorithm ed25519 -out key", "", NULL);
	return tap_done();
}

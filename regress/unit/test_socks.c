/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* SOCKS 5 (RFC 1928, RFC 1929): what is sent, octet for octet, and refusals. */

#include <string.h>

#include "imapsync-net/socks.h"
#include "tap.h"

static struct m_net_setup
setup(int proxy, const char *addr, const char *user, const char *password)
{
	struct m_net_setup	 su;

	memset(&su, 0, sizeof(su));
	su.proxy = proxy;
	su.proxy_addr = addr;
	su.port = 993;
	su.proxy_user = user;
	su.proxy_password = password;
	return su;
}

/* Give the proxy's octets one at a time; the first result that is not 0. */
static int
feed(struct socks *so, struct buf *in, struct buf *out, const char *p,
    size_t len)
{
	int	 r = 0;

	for (; len > 0 && r == 0; p++, len--) {
		buf_add(in, p, 1);
		r = socks_step(so, in, out);
	}
	return r;
}

static int
sent(struct buf *out, const char *want, size_t len)
{
	int	 same;

	same = out->len == len && memcmp(buf_ptr(out), want, len) == 0;
	buf_clear(out);
	return same;
}

static void
test_good(const char *what, int proxy, const char *addr, const char *want,
    size_t wantlen, const char *reply, size_t replylen)
{
	struct m_net_setup	 su = setup(proxy, addr, "", "");
	struct socks		*so = socks_new(&su);
	struct buf		 in = BUF_INIT, out = BUF_INIT;

	ok(socks_step(so, &in, &out) == 0, "%s: begins", what);
	ok(sent(&out, "\5\1\0", 3), "%s: offers no password", what);
	ok(feed(so, &in, &out, "\5\0", 2) == 0, "%s: goes on", what);
	ok(sent(&out, want, wantlen), "%s: asks for the address", what);
	ok(feed(so, &in, &out, reply, replylen - 1) == 0,
	    "%s: a reply that is not whole", what);
	buf_add(&in, reply + replylen - 1, 1);
	buf_puts(&in, "* OK");
	ok(socks_step(so, &in, &out) == 1, "%s: connected", what);
	ok(in.len == 4 && memcmp(buf_ptr(&in), "* OK", 4) == 0,
	    "%s: the server's octets stay", what);
	ok(out.len == 0, "%s: nothing more is sent", what);
	socks_free(so);
	buf_free(&in);
	buf_free(&out);
}

static void
test_password(void)
{
	struct m_net_setup	 su = setup(PROXY_SOCKS5H, "mx", "me", "s3cr");
	struct socks		*so = socks_new(&su);
	struct buf		 in = BUF_INIT, out = BUF_INIT;

	ok(socks_step(so, &in, &out) == 0, "password: begins");
	ok(sent(&out, "\5\2\0\2", 4), "password: both methods offered");
	ok(feed(so, &in, &out, "\5\2", 2) == 0, "password: chosen");
	ok(sent(&out, "\1\2me\4s3cr", 9), "password: sent");
	ok(feed(so, &in, &out, "\1\0", 2) == 0, "password: accepted");
	ok(sent(&out, "\5\1\0\3\2mx\3\341", 9), "password: request");
	socks_free(so);

	so = socks_new(&su);
	socks_step(so, &in, &out);
	feed(so, &in, &out, "\5\2", 2);
	buf_clear(&out);
	ok(feed(so, &in, &out, "\1\1", 2) == -1, "password: refused");
	ok(strstr(socks_error(so), "password") != NULL, "%s", socks_error(so));
	ok(strstr(socks_error(so), "s3cr") == NULL && out.len == 0,
	    "password: not told, nothing sent");
	ok(socks_step(so, &in, &out) == -1, "password: stays failed");
	socks_free(so);
	buf_free(&in);
	buf_free(&out);
}

static void
test_bad(const char *what, const char *user, const char *password,
    const char *octets, size_t len, const char *why)
{
	struct m_net_setup	 su;
	struct socks		*so;
	struct buf		 in = BUF_INIT, out = BUF_INIT;
	int			 r;

	su = setup(PROXY_SOCKS5H, "mx", user, password);
	so = socks_new(&su);
	r = socks_step(so, &in, &out);
	if (r == 0)
		r = feed(so, &in, &out, octets, len);
	ok(r == -1, "%s: fails", what);
	ok(strstr(socks_error(so), why) != NULL, "%s: \"%s\"", what,
	    socks_error(so));
	socks_free(so);
	buf_free(&in);
	buf_free(&out);
}

static void
test_request(void)
{
	struct m_net_setup	 su = setup(PROXY_SOCKS5, "mx", "", "");
	struct socks		*so = socks_new(&su);
	struct buf		 in = BUF_INIT, out = BUF_INIT;
	char			 name[257];

	socks_step(so, &in, &out);
	ok(feed(so, &in, &out, "\5\0", 2) == -1,
	    "socks5 with a name: refused, %s", socks_error(so));
	socks_free(so);

	memset(name, 'a', 256);
	name[256] = '\0';
	su = setup(PROXY_SOCKS5H, name, "", "");
	so = socks_new(&su);
	socks_step(so, &in, &out);
	ok(feed(so, &in, &out, "\5\0", 2) == -1, "a name of 256: refused");
	socks_free(so);

	buf_clear(&out);
	su = setup(PROXY_SOCKS5H, name + 1, "", "");
	so = socks_new(&su);
	socks_step(so, &in, &out);
	buf_clear(&out);
	ok(feed(so, &in, &out, "\5\0", 2) == 0 && out.len == 4 + 1 + 255 + 2,
	    "a name of 255: asked for");
	socks_free(so);
	buf_free(&in);
	buf_free(&out);
}

/* A reply with a name of each length, to its last octet and not further. */
static void
test_names(void)
{
	struct m_net_setup	 su = setup(PROXY_SOCKS5H, "mx", "", "");
	struct socks		*so;
	struct buf		 in = BUF_INIT, out = BUF_INIT;
	char			 reply[5 + 255 + 2] = { 5, 0, 0, 3 };
	int			 n, early, last, bad = 0;

	for (n = 0; n <= 255; n++) {
		reply[4] = (char)n;
		so = socks_new(&su);
		socks_step(so, &in, &out);
		feed(so, &in, &out, "\5\0", 2);
		early = feed(so, &in, &out, reply, 5 + n + 2 - 1);
		buf_puts(&in, "x* OK");
		last = socks_step(so, &in, &out);
		if (early != 0 || last != 1 || in.len != 4)
			bad++;
		socks_free(so);
		buf_clear(&in);
		buf_clear(&out);
	}
	ok(bad == 0, "replies with names of 0 to 255 octets (%d wrong)", bad);
	buf_free(&in);
	buf_free(&out);
}

int
main(void)
{
	char	 longest[257];

	test_good("socks5h", PROXY_SOCKS5H, "mail.example",
	    "\5\1\0\3\14mail.example\3\341", 19,
	    "\5\0\0\1\12\0\0\1\4\70", 10);
	test_good("socks5, IPv4", PROXY_SOCKS5, "192.0.2.1",
	    "\5\1\0\1\300\0\2\1\3\341", 10, "\5\0\0\3\3abc\4\70", 10);
	test_good("socks5, IPv6", PROXY_SOCKS5, "2001:db8::1",
	    "\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\3\341", 22,
	    "\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\70", 22);
	test_good("socks5h, [IPv6]", PROXY_SOCKS5H, "[2001:db8::1]",
	    "\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\3\341", 22,
	    "\5\0\0\1\0\0\0\0\0\0", 10);
	test_password();
	test_request();
	test_names();

	memset(longest, 'x', 256);
	longest[256] = '\0';
	test_bad("long user", longest, "p", "", 0, "255");
	test_bad("long password", "u", longest, "", 0, "255");
	test_bad("no password", "u", "", "", 0, "255");
	test_bad("not SOCKS", "", "", "HT", 2, "does not speak SOCKS 5");
	test_bad("SOCKS 4", "", "", "\4\0", 2, "does not speak SOCKS 5");
	test_bad("wants a password", "", "", "\5\377", 2, "demands");
	test_bad("takes none", "u", "p", "\5\377", 2, "takes neither");
	test_bad("method not offered", "", "", "\5\2", 2, "not offered");
	test_bad("GSSAPI", "u", "p", "\5\1", 2, "not offered");
	test_bad("wrong subnegotiation", "u", "p", "\5\2\5\0", 4, "RFC 1929");
	test_bad("refused", "", "", "\5\0\5\5", 4, "refused by the server");
	test_bad("unreachable", "", "", "\5\0\5\4\0\1", 6, "host unreachable");
	test_bad("unknown refusal", "", "", "\5\0\5\143", 4, "reply 99");
	test_bad("reply's version", "", "", "\5\0\4\0", 4, "not speak");
	test_bad("reply's address", "", "", "\5\0\5\0\0\2\1", 7,
	    "unknown type");
	return tap_done();
}

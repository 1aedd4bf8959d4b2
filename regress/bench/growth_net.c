/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The sets, and the network worker. */
#include "regress/unit/net_peer.h"

#include "growth.h"

/* ---- sets ---- */

static void
set_falling(void)
{
	struct uidset	 s = UIDSET_INIT;
	uint32_t	 i;

	for (i = n; i > 0; i--)
		uidset_add(&s, 2 * i, 2 * i);
	uidset_free(&s);
}

static void
set_mixed(void)
{
	struct uidset	 s = UIDSET_INIT;
	uint32_t	 i, has = 0;

	for (i = 0; i < n; i++) {
		uidset_add(&s, mixed(i), mixed(i));
		has += uidset_has(&s, mixed(i / 2));
	}
	for (i = 0; i < n; i++)
		uidset_del(&s, mixed(i), mixed(i));
	if ((n > 0 && has == 0) || !uidset_empty(&s))
		fatalx("growth: the set is wrong");
}

/* Part after part, each joined to what is known. */
static void
set_parts(void)
{
	struct uidset	 s = UIDSET_INIT, part = UIDSET_INIT;
	uint32_t	 i;

	for (i = 0; i < n; i++) {
		uidset_add(&part, mixed(i), mixed(i));
		uidset_or(&s, &part);
		uidset_free(&part);
	}
	uidset_free(&s);
}

/* ---- the worker: octets of a server ---- */

static struct peer	*peer;

static void
tell(const char *fmt, ...)
{
	char	 text[2048];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	says(peer, text);
	/* What the test's own engine has is not counted. */
	buf_clear(&peer->told);
}

static void
select_begin(void)
{
	struct m_net_open	 m = { 0, 7, 100, 4000000, 5, "box" };

	peer = peer_ready(CAPS);
	asks(peer, M_NET_OPEN, 10, &m);
	tell("* 4000000 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	    "* OK [UIDNEXT 4000001] x\r\n* OK [HIGHESTMODSEQ 50] x\r\n");
}

static void
fetch_falling(void)
{
	uint32_t	 i;

	select_begin();
	for (i = n; i > 0; i--)
		tell("* %u FETCH (UID %u FLAGS (\\Seen k%u) MODSEQ (9))\r\n",
		    i, 2 * i, i % 7);
}

static void
fetch_keywords(void)
{
	uint32_t	 i;

	select_begin();
	for (i = 0; i < n; i++)
		tell("* 1 FETCH (UID %u FLAGS (k%u) MODSEQ (9))\r\n", i + 1, i);
}

static void
vanished_parts(void)
{
	uint32_t	 i;

	select_begin();
	for (i = n; i > 0; i--)
		tell("* VANISHED (EARLIER) %u\r\n", 2 * i);
}

/* One line with N pieces. */
static void
long_line(const char *begin, const char *piece, const char *end)
{
	struct buf	 b = BUF_INIT;
	uint32_t	 i;

	buf_puts(&b, begin);
	for (i = n; i > 0; i--)
		buf_printf(&b, piece, 2 * i);
	buf_puts(&b, end);
	buf_add(&b, "", 1);
	says(peer, (char *)buf_ptr(&b));
	buf_free(&b);
}

static void
vanished_line(void)
{
	select_begin();
	long_line("* VANISHED (EARLIER) 1", ",%u", "\r\n");
}

static void
esearch_line(void)
{
	select_begin();
	long_line("* ESEARCH (TAG \"A4\") UID ALL 1", ",%u", "\r\n");
}

static void
flags_line(void)
{
	select_begin();
	long_line("* 1 FETCH (UID 1 FLAGS (x", " k%u", "))\r\n");
}

static void
permanent_line(void)
{
	select_begin();
	long_line("* OK [PERMANENTFLAGS (x", " k%u", " \\*)] x\r\n");
}

static void
alerts(void)
{
	uint32_t	 i;

	select_begin();
	for (i = 0; i < n; i++)
		tell("* OK [ALERT] number %u\r\n", i);
}

static void
names(void)
{
	struct m_net_pattern	 star = { "*" };
	struct m_net_list	 m = { 0, 0, 1, "" };
	uint32_t		 i;

	peer = peer_ready(CAPS);
	asks(peer, M_NET_PATTERN, 2, &star);
	asks(peer, M_NET_LIST, 2, &m);
	for (i = 0; i < n; i++)
		tell("* LIST () \"/\" \"n%u\"\r\n", mixed(i));
	for (i = n; i > 0; i--)
		tell("* STATUS \"n%u\" (UIDVALIDITY 7 UIDNEXT 1 MESSAGES 0 "
		    "HIGHESTMODSEQ 1)\r\n", mixed(i - 1));
}

static const struct path paths[] = {
	{ "set-falling", set_falling, 4000 },
	{ "set-mixed", set_mixed, 4000 },
	{ "set-parts", set_parts, 4000 },
	{ "fetch-falling", fetch_falling, 500 },
	{ "fetch-keywords", fetch_keywords, 500 },
	{ "vanished-parts", vanished_parts, 500 },
	{ "vanished-line", vanished_line, 20000 },
	{ "esearch-line", esearch_line, 20000 },
	{ "flags-line", flags_line, 2000 },
	{ "permanentflags-line", permanent_line, 2000 },
	{ "alerts", alerts, 500 },
	{ "names", names, 500 },
	{ NULL, NULL, 0 }
};

int
main(int argc, char *argv[])
{
	peer_begin();
	return growth(argc, argv, paths);
}

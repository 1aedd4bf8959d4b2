/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a server shows before anybody logs in: is it there, is it the one that
 * is meant, does it speak IMAP, how can one log in?
 */
#include "engine.h"
#include "say.h"

static void
probe_tls(const struct m_engine_offer *m)
{
	if (m->tls[0] == '\0') {
		say_out("    not encrypted");
		return;
	}
	say_out("    TLS: %s, %s, the certificate is %s", m->tls, m->cipher,
	    m->verified ? "verified" : "NOT VERIFIED");
	if (!m->verified)
		say_out("    key: %s", m->key);
}

/* A server may tell of more once somebody has logged in. */
static void
probe_caps(const struct m_engine_offer *m)
{
	if (m->preauth || (m->caps & CAP_UIDPLUS))
		say_out("    QRESYNC: %s, UIDPLUS: %s",
		    m->caps & CAP_QRESYNC ? "yes" : "no",
		    m->caps & CAP_UIDPLUS ? "yes" : "no");
	else
		say_out("    what else it offers it tells after the login");
}

static void
probe_login(const struct m_engine_offer *m)
{
	struct buf	 b = BUF_INIT;
	const char	*p;

	for (p = m->mechs; *p != '\0'; p++)
		if (*p == ' ')
			buf_puts(&b, ", ");
		else
			buf_add(&b, p, 1);
	if (!(m->caps & CAP_LOGINDISABLED))
		buf_printf(&b, "%sthe LOGIN command", b.len > 0 ? ", " : "");
	if (b.len == 0)
		buf_puts(&b, "nothing that is told in the clear");
	say_out("    login by: %.*s", (int)b.len, (char *)buf_ptr(&b));
	buf_free(&b);
}

static void
probe_offer(struct engine *e, struct req *r, const struct m_engine_offer *m)
{
	say_out("%s: %s answers", side_name[r->side],
	    e->want.cfg.host[r->side]);
	if (m->preauth)
		say_out("    you are logged in (PREAUTH)");
	else {
		probe_tls(m);
		probe_login(m);
	}
	probe_caps(m);
}

int
probe_run(struct engine *e)
{
	static const struct answers	 to = { .offer = probe_offer };
	int				 side;

	for (side = 0; side < SIDES; side++)
		if (ask_isopen(e, side))
			ask_probe(e, side, &to);
	return loop_wait(e, -1);
}

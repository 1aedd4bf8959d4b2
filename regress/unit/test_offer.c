/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --init: what the engine says of a server that nobody has logged in to.
 */
#include <fcntl.h>

#include "engine_box.h"

static struct m_engine_offer	 offer;
static int			 asked;

static void
offers(struct req *r, const struct sent *s)
{
	(void)s;
	asked++;
	give(r, M_ENGINE_OFFER, &offer);
	done(r, ST_OK, RC_NONE, "");
}

/* What is printed of an OFFER, in static storage. */
static const char *
prints(uint32_t caps, int preauth, int verified, const char *tls,
    const char *mechs)
{
	static char	 text[2000];
	ssize_t		 n;
	int		 fds[2], keep;

	box_start();
	box_answers[ASK_PROBE] = offers;
	ask_closed(&eng, STORE);
	ask_closed(&eng, LOCAL);
	eng.want.cfg.host[REMOTE] = "h";
	offer = (struct m_engine_offer){ caps, preauth, verified, tls, "c",
	    tls[0] != '\0' ? "sha256$00" : "", mechs };
	asked = 0;
	fflush(stdout);
	keep = dup(STDOUT_FILENO);
	if (keep == -1 || pipe(fds) == -1 || dup2(fds[1], 1) == -1)
		fatal("pipe");
	(void)probe_run(&eng);
	dup2(keep, STDOUT_FILENO);
	close(keep);
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	return text;
}

static int
has(const char *text, const char *words)
{
	if (strstr(text, words) != NULL)
		return 1;
	printf("#   %s", text);
	return 0;
}

int
main(void)
{
	const char	*text;

	text = prints(0, 0, 1, "TLSv1.3", "PLAIN X");
	ok(has(text, "remote: h answers\n"), "who answers");
	ok(asked == 1, "the one server that there is was asked");
	ok(has(text, "TLSv1.3, c, the certificate is verified\n"), "TLS");
	ok(has(text, "login by: PLAIN, X, the LOGIN command\n"), "the login");
	ok(has(text, "after the login\n") && eng.end.status == 0,
	    "what is not told yet is not missing");
	text = prints(CAP_LOGINDISABLED, 0, 0, "TLSv1.2", "");
	ok(has(text, "the certificate is NOT VERIFIED\n") &&
	    has(text, "key: sha256$00\n"), "its key, if nothing else is known");
	ok(has(text, "login by: nothing"), "no login");
	text = prints(CAP_UIDPLUS | CAP_QRESYNC, 1, 0, "", "");
	ok(has(text, "PREAUTH") && has(text, "QRESYNC: yes, UIDPLUS: yes\n") &&
	    strstr(text, "TLS") == NULL, "PREAUTH");
	text = prints(0, 1, 0, "", "");
	ok(has(text, "QRESYNC: no, UIDPLUS: no\n") && eng.end.status == 0,
	    "who is logged in knows that it has none");
	text = prints(CAP_UIDPLUS, 0, 0, "", "\33[2J");
	ok(strchr(text, '\33') == NULL && has(text, "not encrypted\n"),
	    "its octets are no terminal's");
	box_free();
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Which mailboxes a server whose LIST tells no STATUS is asked about with the
 * LIST, and what the state remembers for that.
 */
#include "engine_box.h"

/* The state: these names, the first of which that server never had. */
static const char *const	 names[] = { "never", "INBOX", "a\001b", "c.d",
				    NULL };
static struct m_engine_server	 was;
static int			 has_server;	/* "was" is in the state */

static void
load(struct req *r, const struct sent *s)
{
	struct m_engine_mbox	 m;
	int			 i, side;

	(void)s;
	if (has_server)
		give(r, M_ENGINE_SERVER, &was);
	for (i = 0; names[i] != NULL; i++) {
		memset(&m, 0, sizeof(m));
		m.mailbox = i + 1;
		m.name = names[i];
		m.remote = "";
		for (side = 0; side < SIDES; side++) {
			m.water[side].uidvalidity = i > 0 ? VALIDITY : 0;
			m.water[side].uidnext = 10;
			m.water[side].mailboxid = "";
		}
		give(r, M_ENGINE_MBOX, &m);
	}
	done(r, ST_OK, RC_NONE, "");
}

/* What LIST tells: "new", with that delimiter. */
static char	 delimiter;

static void
list(struct req *r, const struct sent *s)
{
	struct m_engine_mailbox	 m;

	(void)s;
	/* The login is in front of it. */
	eng.srv[r->chan].is_ready = 1;
	memset(&m, 0, sizeof(m));
	m.delimiter = delimiter;
	m.modseq = 5;
	m.name = "new";
	give(r, M_ENGINE_MAILBOX, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* A run begins: nothing is known of the servers but what the state has. */
static void
fresh(int asks, char told)
{
	int	 side;

	box_start();
	box_answers[ASK_LOAD] = load;
	box_answers[ASK_LIST] = list;
	box_answers[ASK_STATUS] = says_no;
	for (side = 0; side < SIDES; side++) {
		eng.srv[side].delim = '\0';
		eng.srv[side].is_ready = 0;
		eng.srv[side].ready.caps |= CAP_LIST_STATUS;
	}
	eng.srv[REMOTE].ready.caps &= ~CAP_LIST_STATUS;
	has_server = 1;
	was.side = REMOTE;
	was.delimiter = '.';
	was.ask = asks;
	delimiter = told;
}

static void
test_asked(void)
{
	fresh(1, '.');
	(void)list_run(&eng);
	journal(line("remote: KNOWN INBOX") && line("remote: KNOWN a.b") &&
	    jotted("remote: KNOWN") == 2, "what that server can have");
	journal(jotted("local: KNOWN") == 0, "the other one tells STATUS");
	journal(before("remote: KNOWN", "remote : LIST"), "ahead of LIST");
	journal(line("store: SERVER local .") &&
	    jotted("store: SERVER remote") == 0, "what is new is remembered");

	fresh(0, '/');
	(void)list_run(&eng);
	journal(jotted("remote: KNOWN") == 0, "its LIST told STATUS");
	journal(line("store: SERVER remote / ask"), "it does so no more");

	fresh(1, '/');
	has_server = 0;
	(void)list_run(&eng);
	journal(jotted("remote: KNOWN") == 0 &&
	    line("store: SERVER remote / ask"), "nothing is known of it");

	fresh(1, '/');
	(void)list_run(&eng);
	journal(line("remote: KNOWN a.b"), "it has another delimiter now");
	is_num(eng.srv[REMOTE].delim, '/', "which counts");

	/* Once it has said so this counts, and not the state. */
	fresh(0, '.');
	eng.srv[LOCAL].is_ready = eng.srv[REMOTE].is_ready = 1;
	eng.srv[REMOTE].delim = '/';
	(void)list_run(&eng);
	journal(line("remote: KNOWN a/b") && jotted("local: KNOWN") == 0,
	    "what it offers is known, and its delimiter");
	fresh(1, '.');
	eng.srv[REMOTE].is_ready = 1;
	eng.srv[REMOTE].ready.caps |= CAP_LIST_STATUS;
	(void)list_run(&eng);
	journal(jotted("remote: KNOWN") == 0 && line("store: SERVER remote ."),
	    "LIST tells STATUS now");

	fresh(1, '.');
	eng.srv[REMOTE].ready.strategy = STRATEGY_PLAIN;
	eng.srv[LOCAL].ready.strategy = STRATEGY_CONDSTORE;
	(void)list_run(&eng);
	is_num(mbox_find(&eng.list, "new")->s[REMOTE].told.modseq, 0,
	    "a HIGHESTMODSEQ that is not used is none");
	is_num(mbox_find(&eng.list, "new")->s[LOCAL].told.modseq, 5,
	    "the other one is");

	fresh(1, '.');
	eng.want.cfg.command = CMD_CHECK;
	(void)list_run(&eng);
	journal(line("remote: KNOWN a.b") && jotted("store: SERVER") == 0,
	    "--check changes nothing");
}

static void
test_limits(void)
{
	static char	 one[] = "a\001*", *patterns[1] = { one };

	fresh(1, '.');
	eng.want.patterns = patterns;
	eng.passes = 1;
	(void)list_run(&eng);
	journal(line("remote: KNOWN a.b") && jotted("remote: KNOWN") == 1,
	    "patterns limit them");

	fresh(1, '.');
	eng.want.cfg.reference[REMOTE] = "INBOX.";
	(void)list_run(&eng);
	journal(line("remote: KNOWN INBOX.a.b") &&
	    then("remote : LIST", "remote: KNOWN INBOX\n"),
	    "INBOX goes with the LIST that tells it");
	journal(jotted("remote: KNOWN") == 2, "and with no other");
}

int
main(void)
{
	test_asked();
	test_limits();
	return tap_done();
}

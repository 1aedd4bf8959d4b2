/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Commands: their text, their order, their answers, their ends. */
#include "net_peer.h"

static char	 answers[256];	/* the tags of those answered */

static void
answered(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)net;
	(void)resp;
	strlcat(answers, c->tag, sizeof(answers));
	strlcat(answers, " ", sizeof(answers));
}

/* A complete command of one word. */
static struct cmd *
simple(struct peer *p, const char *word)
{
	struct cmd	*c = cmd_new(&p->net, K_SESSION, NULL, answered);

	cmd_puts(c, word);
	cmd_end(&p->net, c);
	return c;
}

/* What is to be written, without the loop, which would write it. */
static void
is_out(struct peer *p, const char *text, const char *what)
{
	is_text(&p->net.out, text, what);
}

static void
is_answered(const char *tags, const char *what)
{
	is_str(answers, tags, what);
	answers[0] = '\0';
}

static void
responds(struct peer *p, enum resp_type type, const char *tag)
{
	static struct resp	 r;

	memset(&r, 0, sizeof(r));
	r.type = type;
	r.word = WORD_NO;
	strlcpy(r.tag, tag, sizeof(r.tag));
	if (type == R_CONT)
		cmdq_cont(&p->net, &r);
	else
		cmdq_tagged(&p->net, &r);
}

/* ---- text ---- */

static void
test_strings(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c;

	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	cmd_puts(c, "X ");
	cmd_string(&p->net, c, "a b");
	cmd_string(&p->net, c, "a\"b\\c");
	cmd_string(&p->net, c, "");
	cmd_string(&p->net, c, "a\tb");
	cmd_string(&p->net, c, "caf\303\251");
	cmd_printf(c, " %d", 17);
	cmd_end(&p->net, c);
	is_out(p, "A3 X \"a b\"\"a\\\"b\\\\c\"\"\"{3+}\r\na\tb"
	    "{5+}\r\ncaf\303\251 17\r\n",
	    "quoted, or a literal where it must be one");
	peer_end(p);
}

/* LITERAL-: 4,096 octets without waiting; without both: none. */
static void
test_literals(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC LITERAL-");
	struct cmd	*c;

	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	ok(!cmd_literal(&p->net, c, 4096, 0), "4,096 octets go at once");
	ok(cmd_literal(&p->net, c, 4097, 0), "4,097 don't");
	ok(cmd_literal(&p->net, c, 1, 1), "one that shall wait does");
	cmdq_flush(&p->net);
	is_out(p, "A3 {4096+}\r\n{4097}\r\n", "as far as the first barrier");
	ok(!cmd_clear(&p->net, c), "no octets yet");
	responds(p, R_CONT, "");
	is_out(p, "{1}\r\n", "as far as the next");
	responds(p, R_CONT, "");
	ok(cmd_clear(&p->net, c), "now octets may follow");
	cmd_octets(&p->net, "z", 1);
	cmd_end(&p->net, c);
	is_out(p, "z\r\n", "and its end");
	peer_end(p);
}

static void
test_sets(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct uidset	 set = UIDSET_INIT;
	struct cmd	*c;
	uint32_t	 uid, pos = 0;
	size_t		 n, max = 0, total = 0;

	for (uid = 1; uid <= 20000; uid += 2)
		uidset_add(&set, 1000000000 + uid, 1000000000 + uid);
	for (n = 0; pos < uidset_max(&set); n++) {
		c = cmd_new(&p->net, K_META, NULL, answered);
		cmd_puts(c, "UID FETCH ");
		cmd_set(c, &set, &pos, 100, 1);
		total += uidset_count(&c->set);
		cmd_end(&p->net, c);
		if (p->net.out.len > max)
			max = p->net.out.len;
		buf_clear(&p->net.out);
	}
	is_num(total, 10000, "each UID is in one command, and kept");
	ok(max <= 7900 && n <= 15, "lines of 8,000 octets at most, full ones");
	uidset_free(&set);
	peer_end(p);
}

static void
test_secrets(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c;

	log_init(bail_out, 1);
	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	cmd_puts(c, "LOGIN ");
	c->secret = 1;
	cmd_string(&p->net, c, "user");
	cmd_string(&p->net, c, "pass\001word");
	cmd_end(&p->net, c);
	ok(p->net.wipe, "what is wiped once it is written");
	is_sent(p, "", "not yet written");
	turns(p);
	is_sent(p, "A3 LOGIN \"user\"{9+}\r\npass\001word\r\n", "sent");
	ok(!p->net.wipe, "and then is");
	is_told(p, "LOG 0 C: A3 LOGIN \"***\"{9+}\nLOG 0 C: \n",
	    "and not in the log");
	peer_end(p);
}

/* ---- order ---- */

static void
test_order(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c;

	simple(p, "ONE");
	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	cmd_puts(c, "TWO");
	simple(p, "THREE");
	is_out(p, "A3 ONE\r\nA4 TWO", "an open command is waited for");
	ok(cmdq_due(&p->net), "an answer is due");
	cmd_end(&p->net, c);
	is_out(p, "\r\nA5 THREE\r\n", "then the next goes");
	ok(cmdq_oldest(&p->net, K_SESSION) == cmdq_find(&p->net, "A3"),
	    "the oldest");
	responds(p, R_TAGGED, "A4");
	responds(p, R_TAGGED, "A5");
	is_answered("A4 A5 ", "answers come in any order");
	ok(cmdq_find(&p->net, "A4") == NULL, "and once");
	responds(p, R_TAGGED, "A3");
	is_answered("A3 ", "the last");
	ok(!cmdq_due(&p->net), "nothing is due");
	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	c->hold = 1;
	cmd_puts(c, "HOLD");
	cmd_end(&p->net, c);
	simple(p, "BEHIND");
	is_out(p, "A6 HOLD\r\n", "nothing goes behind that");
	responds(p, R_TAGGED, "A6");
	is_answered("A6 ", "before its answer");
	is_out(p, "A7 BEHIND\r\n", "then it does");
	peer_end(p);
}

/* A barrier is answered by something else than "+". */
static void
test_no_plus(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC");
	struct cmd	*c;

	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	cmd_literal(&p->net, c, 3, 0);
	cmd_puts(c, "abc");
	cmd_end(&p->net, c);
	simple(p, "NEXT");
	is_out(p, "A3 {3}\r\n", "waits");
	ok(cmdq_due(&p->net), "an answer is due");
	responds(p, R_TAGGED, "A3");
	is_answered("A3 ", "refused");
	is_out(p, "A4 NEXT\r\n", "its literal is not sent, the next is");
	responds(p, R_CONT, "");
	is_out(p, "", "a \"+\" for nothing");
	peer_end(p);
}

static void
answer_unknown(struct peer *p)
{
	responds(p, R_TAGGED, "A99");
}

static void
answer_early(struct peer *p)
{
	responds(p, R_TAGGED, "A4");
}

static void
test_answers(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c, *kept;

	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	c->hold = 1;
	cmd_puts(c, "HOLD");
	cmd_end(&p->net, c);
	cmd_keep(&kept, simple(p, "BEHIND"));
	ends(p, answer_unknown, EX_SYNC_TEMP, "a command that was not given",
	    "an answer to no command");
	ends(p, answer_early, EX_SYNC_TEMP, "a command that was not given",
	    "an answer to a command that was not sent");
	responds(p, R_TAGGED, "A3");
	ok(kept != NULL, "what is kept of a command");
	responds(p, R_TAGGED, "A4");
	ok(kept == NULL, "is cleared with it");
	answers[0] = '\0';
	peer_end(p);
}

/* ---- abandoned commands ---- */

/* One command in front, one with an open literal: "A4 APPEND {9+} abc". */
static struct cmd *
half(struct peer *p)
{
	struct cmd	*c;

	simple(p, "FRONT");
	c = cmd_new(&p->net, K_APPEND, NULL, answered);
	cmd_puts(c, "APPEND ");
	cmd_literal(&p->net, c, 9, 0);
	cmdq_flush(&p->net);
	cmd_octets(&p->net, "abc", 3);
	return c;
}

/* So many octets have been written when it is abandoned; the rest is that. */
static void
abandoned(size_t written, const char *rest, const char *what)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c = half(p);

	buf_drain(&p->net.out, written);
	cmdq_abandon(&p->net, c);
	is_out(p, rest, what);
	simple(p, "BEHIND");
	is_out(p, "", "nothing goes behind it");
	responds(p, R_CONT, "");
	cmdq_flush(&p->net);
	is_out(p, "", "a \"+\" does not complete it");
	asks_open(p, 10, "box");
	is_out(p, "", "no request becomes a command");
	responds(p, R_TAGGED, "A3");
	is_answered("A3 ", "what is complete is answered");
	peer_end(p);
}

static void
test_abandoned(void)
{
	struct peer	*p;
	struct cmd	*c;

	abandoned(0, "A3 FRONT\r\n", "nothing was written: what is in front");
	abandoned(4, "RONT\r\n", "half of what is in front was");
	abandoned(10, "", "all of that was");
	abandoned(15, "", "half of the command was");
	abandoned(10 + strlen("A4 APPEND {9+}\r\nab"), "",
	    "half of its literal was");

	p = peer_ready("IMAP4rev1 ENABLE QRESYNC");
	c = cmd_new(&p->net, K_APPEND, NULL, answered);
	cmd_literal(&p->net, c, 9, 0);
	cmd_puts(c, "behind the barrier");
	cmdq_flush(&p->net);
	is_out(p, "A3 {9}\r\n", "one that waits for \"+\"");
	cmdq_abandon(&p->net, c);
	responds(p, R_TAGGED, "A3");
	responds(p, R_CONT, "");
	is_out(p, "", "its text never goes");
	asks_open(p, 10, "box");
	ok(cmdq_find(&p->net, "A4") == NULL, "no request becomes a command");
	simple(p, "BEHIND");
	is_out(p, "", "nothing goes behind it, answered or not");
	answers[0] = '\0';
	peer_end(p);

	p = peer_ready(CAPS);
	c = cmd_new(&p->net, K_SESSION, NULL, answered);
	c->hold = 1;
	cmd_puts(c, "HOLD");
	cmd_end(&p->net, c);
	c = cmd_new(&p->net, K_APPEND, NULL, answered);
	cmd_puts(c, "APPEND ");
	cmdq_flush(&p->net);
	cmdq_abandon(&p->net, c);
	is_out(p, "A3 HOLD\r\n", "nothing of it was on its way");
	responds(p, R_TAGGED, "A3");
	is_out(p, "", "nor comes later");
	answers[0] = '\0';
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_strings();
	test_literals();
	test_sets();
	test_secrets();
	test_order();
	test_no_plus();
	test_answers();
	test_abandoned();
	return tap_done();
}

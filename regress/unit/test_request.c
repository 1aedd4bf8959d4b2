/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Requests: the queue, their ends, sets in many commands and messages. */
#include "net_peer.h"

static void
asks_set(struct peer *p, uint32_t type, uint32_t id, uint32_t handle,
    const char *set)
{
	struct m_net_meta	 meta = { handle, 1, UIDSET_INIT };
	struct m_net_search	 search = { handle, UIDSET_INIT };
	struct m_net_send	 send = { handle, 5, 1, UIDSET_INIT };

	uidset_parse(&meta.set, set, strlen(set));
	search.set = send.set = meta.set;
	if (type == M_NET_META)
		asks(p, type, id, &meta);
	else if (type == M_NET_SEARCH)
		asks(p, type, id, &search);
	else
		asks(p, type, id, &send);
	uidset_free(&meta.set);
}

/* ---- ends ---- */

static void
test_answers(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEARCH, 11, 10, "1:9");
	asks_set(p, M_NET_META, 12, 10, "1:2");
	is_sent(p, "A4 UID SEARCH RETURN (ALL) UID 1:9\r\n"
	    "A5 UID FETCH 1:2 (UID RFC822.SIZE)\r\n", "many at once");
	says(p, "* 1 FETCH (UID 1 RFC822.SIZE 100)\r\nA5 NO [LIMIT] no\r\n");
	is_told(p, "META 12 1 100\nDONE 12 no no\n", "each has its answers");
	says(p, "* ESEARCH (TAG \"A4\") UID ALL 3,5\r\nA4 OK x\r\n");
	is_told(p, "UIDS 11 0 3,5\nDONE 11 ok\n", "in whatever order");
	asks_set(p, M_NET_SEARCH, 13, 10, "1:9");
	says(p, "A6 OK x\r\n");
	is_told(p, "DONE 13 bad an OK to SEARCH without its answer\n",
	    "an empty set must be told");
	asks_set(p, M_NET_SEARCH, 15, 10, "1:9");
	says(p, "* ESEARCH (TAG \"A7\") UID ALL 5,10:12\r\nA7 OK x\r\n");
	is_told(p, "UIDS 15 0 5\nDONE 15 ok\n",
	    "what was not asked for is not told");
	asks_set(p, M_NET_META, 14, 9, "1:2");
	is_told(p, "DONE 14 unsent that mailbox is not the one opened last\n",
	    "another mailbox");
	peer_end(p);
}

/* What hangs on an OPEN that fails. */
static void
test_homeless(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	asks_set(p, M_NET_META, 11, 10, "1:2");
	says(p, "A3 NO no such mailbox\r\n");
	is_told(p, "DONE 10 no no such mailbox\n", "the OPEN");
	asks_set(p, M_NET_META, 12, 10, "1:2");
	is_told(p, "DONE 12 unsent the mailbox could not be selected\n",
	    "what comes later is not sent");
	is_sent(p, "A3 SELECT \"box\"\r\nA4 UID FETCH 1:2 (UID RFC822.SIZE)"
	    "\r\n", "what was sent");
	says(p, "A4 BAD nothing is selected\r\n");
	is_told(p, "DONE 11 bad nothing is selected\n", "is answered");
	peer_end(p);
}

/*
 * A request that was over when it came stands next in the queue, which waits,
 * and is the next SEND: it must not be freed with the one in front.
 */
static void
test_over_in_queue(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct cmd	*c;

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1");
	c = cmd_new(&p->net, K_SESSION, NULL, NULL);	/* is not complete */
	asks_set(p, M_NET_SEND, 12, 9, "1");
	ok(p->net.queue.next != NULL && p->net.queue.next->id == 12,
	    "it is next, and waits");
	says(p, "* VANISHED 1\r\nA4 OK x\r\n");
	is_told(p, "VANISHED 10 1\nGONE 11 1\nDONE 11 ok\n",
	    "the one in front is done");
	ok(p->net.queue.next != NULL && p->net.queue.next->id == 12,
	    "it is not");
	cmd_free(&p->net, c);
	turns(p);
	is_told(p, "DONE 12 unsent that mailbox is not the one opened last\n",
	    "but in its place");
	peer_end(p);
}

/* END of a transfer does not come into the bodies of the one in front. */
static void
test_send_order(void)
{
	static const char	 first[] = "\1\0\0\0\5\0\0\0\1\0\0\0\0\0\0\0\3"
				    "\0\0\0abc\1";
	struct peer		*p = peer_ready(CAPS);
	struct m_net_send	 m = { 10, 5, 0, UIDSET_INIT };

	opened(p, 10, "A3");
	uidset_add(&m.set, 1, 1);
	asks(p, M_NET_SEND, 11, &m);
	uidset_free(&m.set);
	m.last = 1;
	asks(p, M_NET_SEND, 12, &m);
	is_told(p, "", "an empty one waits for the one in front");
	says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\nA4 OK x\r\n");
	is_told(p, "DONE 11 ok\nDONE 12 ok\n", "done in order");
	ok(p->over.len == sizeof(first) - 1 + 8 + 6 &&
	    memcmp(buf_ptr(&p->over), first, sizeof(first) - 1) == 0 &&
	    memcmp(buf_ptr(&p->over) + p->over.len - 6, "\2\0\0\0\5\1", 6) ==
	    0, "the end is behind the body");
	peer_end(p);
}

/* ---- references ---- */

static int	 emits, finishes;

static int
emit(struct net *net, struct req *r)
{
	(void)net;
	(void)r;
	emits++;
	return emits > 1;
}

static void
finish(struct net *net, struct req *r)
{
	(void)net;
	(void)r;
	finishes++;
}

static void
test_held(void)
{
	static const struct req_ops	 held_ops = {
		.emit = emit,
		.finish = finish
	};
	struct peer			*p = peer_ready(CAPS);
	struct msg			 msg = { &p->net, M_NET_STATUS, 77,
					    NULL, -1 };
	struct req			*r = req_new(&msg, &held_ops);
	struct req			*one, *two;

	one = req_hold(r);
	two = req_hold(r);
	req_queue(&p->net, r);
	req_pump(&p->net);
	ok(emits == 1 && p->net.queue.next == r, "it has more to say");
	req_release(&p->net, &one);
	ok(one == NULL && finishes == 0, "what points to it is cleared");
	req_pump(&p->net);
	ok(emits == 2 && p->net.queue.next == NULL, "all is said");
	turns(p);
	is_told(p, "", "still somebody points to it");
	req_worse(r, ST_NO, RC_NONE, "no");
	req_worse(r, ST_BAD, RC_NONE, "bad");
	req_worse(r, ST_BAD, RC_NONE, "bad again");
	req_worse(r, ST_NO, RC_NONE, "no again");
	req_release(&p->net, &two);
	ok(finishes == 1 && TAILQ_EMPTY(&p->net.queue.reqs), "now nobody does");
	turns(p);
	is_told(p, "DONE 77 bad bad\n", "the worst answer is told");
	peer_end(p);
}

/* ---- sets ---- */

/* Every second UID of 1:2n. */
static void
comb(struct uidset *set, uint32_t n)
{
	uint32_t	 i;

	for (i = 0; i < n; i++)
		uidset_add(set, 2 * i + 1, 2 * i + 1);
}

/* A set that needs several commands; the worst answer counts. */
static void
test_commands(void)
{
	struct peer		*p = peer_ready(CAPS);
	struct m_net_meta	 m = { 10, 1, UIDSET_INIT };
	const char		*c;
	int			 n = 0;

	opened(p, 10, "A3");
	for (n = 0; n < 1000; n++)
		uidset_add(&m.set, 1000000000 + 2 * n,
		    1000000000 + 2 * n);
	asks(p, M_NET_META, 11, &m);
	for (c = text_of(&p->got), n = 0; (c = strchr(c, '\n')) != NULL; c++)
		n++;
	is_num(n, 2, "1,000 ranges are two commands");
	says(p, "A5 NO no\r\n");
	is_told(p, "", "one is answered");
	says(p, "A4 OK x\r\n");
	is_told(p, "DONE 11 no no\n", "both are");
	uidset_free(&m.set);
	peer_end(p);
}

/* One that needs several messages. */
static void
test_messages(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct uidset	 set = UIDSET_INIT;
	const char	*c;
	int		 n = 0;

	comb(&set, 2 * PROTO_SET_MAX + 1);
	req_sendset(&p->net, M_ENGINE_VANISHED, 5, &set, 1);
	req_sendset(&p->net, M_ENGINE_UIDS, 6, &set, OPEN_ALL);
	req_sendset(&p->net, M_ENGINE_GONE, 7, &set, 0);
	turns(p);
	for (c = text_of(&p->told); (c = strchr(c, '\n')) != NULL; c++)
		n++;
	is_num(n, 9, "2,049 ranges are three messages");
	ok(strncmp(text_of(&p->told), "VANISHED 5 earlier 1,3,", 23) == 0 &&
	    strstr(text_of(&p->told), "\nUIDS 6 8 1,3,") != NULL &&
	    strstr(text_of(&p->told), "\nGONE 7 4097\n") != NULL,
	    "with all of them");
	uidset_free(&set);
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_answers();
	test_homeless();
	test_over_in_queue();
	test_send_order();
	test_held();
	test_commands();
	test_messages();
	return tap_done();
}

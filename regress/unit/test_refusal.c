/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Messages that a server did not take: when they are offered again, what is new
 * about them, how they end.
 */
#include "engine_box.h"

#define HOUR	3600

static void
test_next(void)
{
	static const int64_t	 hours[] = { 0, 0, 1, 2, 4, 8, 16, 24, 24 };
	uint32_t		 i;
	int64_t			 now = 1700000000;

	for (i = 0; i < nitems(hours); i++)
		ok(refusal_next(i, now) == now + hours[i] * HOUR,
		    "refused %u times: again in %lld h", i,
		    (long long)hours[i]);
	is_num(refusal_next(1000, now), now + 24 * HOUR, "once a day for ever");
	is_num(refusal_next(UINT32_MAX, now), now + 24 * HOUR,
	    "and without counting to the end");
}

/* What the store is told of it, and whether it is news. */
static int
set(struct mbox *mb, int code, const char *text)
{
	int	 isnew;

	isnew = refusal_set(&eng, mb, LOCAL, 7, code, 900, 100, text);
	(void)loop_commit(&eng);
	return isnew;
}

static void
test_words(void)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 10);
	is_num(set(mb, RC_TOOBIG, "too big"), 1, "the first time it is news");
	ok(line("store INBOX: REFUSE local 7 attempts 1 next 0"),
	    "the next run offers it");
	is_num(set(mb, RC_TOOBIG, "too big"), 0, "the same words are none");
	ok(line("store INBOX: REFUSE local 7 attempts 2 next 3600"),
	    "then an hour later");
	is_num(set(mb, RC_NONE, "too big (0.001 + 0.000 secs)."), 0,
	    "nor with how long it took");
	is_num(set(mb, RC_NONE, "not at all"), 1, "other words are");
	is_num(set(mb, RC_NONE, "not at"), 1, "also a part of the old ones");
	is_num(set(mb, RC_NONE, "not at all"), 1, "and more than those");
	is_num(set(mb, RC_NONE, "not at"), 1, "and less again");
	is_str(refusal_find(&mb->s[LOCAL], 7)->text, "not at",
	    "the last words count");
	is_num(refusal_find(&mb->s[LOCAL], 7)->attempts, 7, "each is counted");

}

static void
test_end(void)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 10);
	(void)set(mb, RC_NONE, "no");
	refusal_end(&eng, mb, LOCAL, 7);
	refusal_end(&eng, mb, LOCAL, 8);
	(void)loop_commit(&eng);
	journal(line("store INBOX: UNREFUSE local 7") &&
	    jotted("store INBOX: UNREFUSE") == 1, "it ends, once");
	ok(refusal_find(&mb->s[LOCAL], 7) == NULL, "and is forgotten");
}

int
main(void)
{
	test_next();
	test_words();
	test_end();
	return tap_done();
}

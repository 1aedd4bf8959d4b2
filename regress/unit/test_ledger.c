/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What is remembered of mailboxes that were left alone: said to the state once,
 * and taken back when a run has not left them alone, but not by one that does
 * not know.
 */
#include "engine_box.h"

static int
record(void)
{
	int	 any = ledger_record(&eng);

	(void)loop_commit(&eng);
	return any;
}

/* As LOAD tells it. */
static void
loaded(const char *name, const char *text)
{
	struct m_engine_stopped	 m = { 1700000000, name, text };

	ledger_load(&eng, &m);
}

static void
test_new(void)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("a", 5);
	progress_stop(&eng, mb, "because of %d", 7);
	progress_stop(&eng, mb, "and so on");
	is_num(record(), 1, "there is something to commit");
	journal(line("store a: STOPPED because of 7") &&
	    jotted("store a: STOPPED") == 1, "the first reason of a run");
	is_num(record(), 0, "once");
	is_str(ledger_stop(&eng, "a")->text, "because of 7", "it is known");

	box_again();
	box_new("b", 1);
	loaded("a", "because of 7");
	progress_stop(&eng, mbox_find(&eng.list, "a"), "because of 7");
	is_num(record(), 0, "the next run says nothing new");
	is_num(ledger_stop(&eng, "a")->since, 1700000000, "the first one");

	box_again();
	loaded("a", "because of 7");
	progress_stop(&eng, mbox_find(&eng.list, "a"), "because of 8");
	is_num(record(), 1, "unless it is another reason");
	journal(line("store a: STOPPED because of 8"), "that");
}

/* "a" was left alone by the last run: is it forgotten now? */
static int
forgotten(void)
{
	box_journal[0] = '\0';
	(void)record();
	return line("store a: UNSTOPPED");
}

static struct mbox *
again(void)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("a", 5);
	loaded("a", "because");
	return mb;
}

static void
test_over(void)
{
	struct mbox	*mb;

	again();
	journal(forgotten(), "a run that did not leave it alone takes it back");
	ok(ledger_stop(&eng, "a") == NULL, "and forgets it");
	mb = again();
	mb->stopped = 1;
	journal(!forgotten(), "not where it is, for a reason of others");
	mb = again();
	mb->later = 1;
	journal(!forgotten(), "not where it has to wait");
	mb = again();
	mb->turn = 1;
	journal(!forgotten(), "nor where its turn did not come");
	again();
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
	journal(!forgotten(), "not in a run that has ended early");
	mb = again();
	eng.filtered = mb->skip = 1;
	journal(!forgotten(), "not where others were asked for");
	again();
	eng.filtered = 1;
	journal(forgotten(), "but where it was");
	mb = again();
	mb->skip = 1;
	journal(forgotten(), "what is to be ignored is not left alone");
	box_start();
	loaded("a", "because");
	journal(forgotten(), "what is no more is not left alone");
	box_start();
	loaded("a", "because");
	eng.filtered = 1;
	journal(!forgotten(), "if all were looked at");
}

/* A pass that lists anew has found some before. */
static void
test_twice(void)
{
	again();
	ledger_stopped(&eng, "a", "because");
	loaded("a", "because");
	journal(!forgotten() && jotted("store a:") == 0,
	    "found, and then loaded: the same");
	again();
	ledger_stopped(&eng, "a", "of another thing");
	loaded("a", "because");
	(void)record();
	journal(line("store a: STOPPED of another thing"), "and not the same");
}

static void
test_fault(void)
{
	box_start();
	ledger_fault(&eng, FAULT_LOGIN, REMOTE, "wrong");
	ledger_fault(&eng, FAULT_LOST, LOCAL, "lost");
	ok(eng.ledger.fault == FAULT_LOGIN && eng.ledger.side == REMOTE &&
	    strcmp(eng.ledger.text, "wrong") == 0, "the first fault counts");
	box_start();
	ledger_fault(&eng, FAULT_NONE, LOCAL, "no kind");
	ok(eng.ledger.fault == FAULT_FAILED, "none that a worker has is none");
}

/* A server that was too busy: who is told, and what the supervisor learns. */
static void
test_limit(void)
{
	box_start();
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
	eng.want.cfg.more = 1;
	journal(!end_again(&eng) && end_exit(&eng) == EX_SYNC_TEMP,
	    "a server that is lost is no reason to wait for it");
	eng.end.limit = 1;
	journal(end_again(&eng) && end_exit(&eng) == EX_SYNC_LIMIT,
	    "one that is too busy is");
	eng.end.asked = 1;
	journal(!end_again(&eng) && end_exit(&eng) == EX_SYNC_TEMP,
	    "not where a signal came");
	eng.end.asked = 0;
	eng.want.cfg.more = 0;
	journal(!end_again(&eng) && end_exit(&eng) == EX_SYNC_LIMIT,
	    "the last try is the user's");
}

int
main(void)
{
	test_new();
	test_over();
	test_twice();
	test_fault();
	test_limit();
	return tap_done();
}

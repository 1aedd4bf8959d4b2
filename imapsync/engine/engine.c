/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The engine: one pass after the other, each through its phases in order.
 */
#include <signal.h>

#include "engine.h"
#include "roles.h"
#include "sandbox.h"
#include "say.h"
#include "show.h"

static struct engine	 engine;

static void
engine_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	struct engine	*e = &engine;

	if (status < 0 && level == LOG_LV_WARN && check_warned(e, text))
		return;
	if (status < 0) {
		progress_log(e, level, NULL, mailbox, text);
		return;
	}
	progress_end(e, status);
	progress_log(e, level, NULL, mailbox, text);
	ledger_fault(e, status == EX_SYNC_USAGE ? FAULT_USAGE : FAULT_FAILED,
	    -1, text);
	e->end.status = status;
	json_last(e);
}

/* What a pass leaves behind: a session that watches stays as small as it was. */
static void
engine_reset(struct engine *e)
{
	ask_reset(e);
	import_reset(e);
	guard_reset(e);
	copy_reset(e);
	ledger_reset(e);
	mbox_reset(&e->list);
	memset(&e->due, 0, sizeof(e->due));
	e->partial = 0;
	e->srv[LOCAL].lines = e->srv[REMOTE].lines = 0;
	/* --adopt, --retry and --allow-delete were for the first pass. */
	e->want.nadopts = 0;
	e->want.cfg.retry = 0;
	e->want.cfg.allow_delete = 0;
}

/* All mailboxes whose turn it is, from the first look to the last answer. */
static int
engine_round(struct engine *e)
{
	struct mbox	*mb;

	e->room[ROOM_ROWS] = e->room[ROOM_CHANGES] = CHANGES_MAX;
	e->ranges = 0;
	FOREACH_USABLE(mb, &e->list)
		compare_begin(e, mb);
	if (disc_run(e) == -1 || pair_run(e) == -1 || repair_run(e) == -1 ||
	    recover_run(e) == -1 || rules_run(e) == -1 || anew_run(e) == -1)
		return -1;
	FOREACH_USABLE(mb, &e->list)
		plan_mbox(mb);
	if (verify_run(e) == -1)
		return -1;
	if (!e->want.cfg.dryrun)
		return exec_run(e);
	subscribe_run(e);
	FOREACH_USABLE(mb, &e->list) {
		progress_planned(mb);
		mb->planned = mb->finished = 1;
	}
	return 0;
}

/*
 * A session ended under a mailbox.  What a server has sent can be lost with it, so
 * it may have been another one: each has a round of its own, and the last one that
 * was begun is the one.
 */
static int
is_careful(struct engine *e)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list)
		if (mb->strikes.count > 0 && !mb->skip && !mb->stopped &&
		    !refusal_rests(e, mb))
			return 1;
	return 0;
}

/* What is done with costs no memory any more. */
static void
engine_rest(struct engine *e)
{
	struct mbox	*mb;

	ask_trim(e);
	guard_round(e);
	FOREACH_MBOX(mb, &e->list)
		if (mb->w != NULL && mb->finished)
			mbox_rest(mb);
}

/*
 * The mailboxes with news, ROUND_MAX at a time: each costs memory while it is
 * worked at.
 */
static int
engine_rounds(struct engine *e)
{
	struct mbox	*mb;
	unsigned int	 most = e->careful ? 1 : ROUND_MAX, n = 0, rounds;

	FOREACH_USABLE(mb, &e->list)
		n++;
	if (n <= most && !e->careful)
		return engine_round(e);
	FOREACH_USABLE(mb, &e->list)
		mb->turn = mb->later = 1;
	/* Subscriptions may have changed where nothing else has. */
	for (rounds = 0;; rounds++) {
		n = 0;
		FOREACH_MBOX(mb, &e->list)
			if (mb->turn && n < most) {
				mb->turn = mb->later = 0;
				n++;
			}
		if (n == 0 && rounds > 0)
			break;
		if (engine_round(e) == -1)
			return -1;
		engine_rest(e);
		/* For exec_last(), and for no other round. */
		FOREACH_USABLE(mb, &e->list)
			mb->last = mb->later = 1;
	}
	FOREACH_MBOX(mb, &e->list)
		if (mb->last)
			mb->last = mb->later = 0;
	return 0;
}

static int
engine_run(struct engine *e)
{
	struct mbox	*mb;
	int		 n;

	if (e->want.cfg.command == CMD_PROBE)
		return probe_run(e);
	if (e->want.cfg.command == CMD_STATUS)
		return status_run(e);
	if (e->want.cfg.peek)
		return check_peek(e);
	if (list_run(e) == -1)
		return -1;
	if (e->command == CMD_CHECK && (n = check_servers(e)) != 1)
		return n;
	if (e->want.cfg.command == CMD_IMPORT) {
		if (import_run(e) == -1)
			return -1;
		/* The rest is a run like any other. */
		e->want.cfg.command = CMD_SYNC;
	}
	if (e->want.cfg.command == CMD_DELETE ||
	    e->want.cfg.command == CMD_RENAME)
		return cmd_run(e);
	watch_hint(e);
	if (rename_run(e) == -1 || compare_run(e) == -1)
		return -1;
	gone_judge(e);
	/* Those that have to wait for a server don't hold up the others. */
	FOREACH_MBOX(mb, &e->list)
		recover_hold(mb);
	e->careful = is_careful(e);
	if (engine_rounds(e) == -1 || (n = recover_wait(e)) == -1)
		return -1;
	if (n > 0 && engine_rounds(e) == -1)
		return -1;
	if (gone_run(e) == -1)
		return -1;
	if (e->command == CMD_CHECK) {
		check_report(e);
		return 0;
	}
	if (e->want.cfg.dryrun) {
		report_plan(e);
		return 0;
	}
	if (exec_last(e) == -1)
		return -1;
	return ledger_record(e) ? loop_commit(e) : 0;
}

/* What a broken or interrupted run has achieved is kept. */
static void
engine_salvage(struct engine *e)
{
	struct mbox	*mb;

	if (!ask_isopen(e, STORE) || e->want.cfg.dryrun || e->import.open)
		return;
	FOREACH_MBOX(mb, &e->list)
		if (!mb->skip && !mb->finished)
			finish_confirmed(e, mb);
	guard_record(e);
	if (e->end.lost[LOCAL] || e->end.lost[REMOTE])
		recover_lost(e);
	if (e->want.cfg.command == CMD_SYNC || e->want.cfg.command == CMD_REPAIR)
		(void)ledger_record(e);
	e->end.at = end_now() + GRACE_MS;
	(void)loop_commit(e);
}

static void
engine_init(struct engine *e)
{
	ask_init(e);
	mbox_init(&e->list);
	copy_reset(e);
	progress_init(e);
	ledger_init(e);
	e->want.cfg.prefix = "";
}

__dead void
engine_main(void)
{
	struct engine	*e = &engine;
	int64_t		 began;

	sandbox_early();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setproctitle("engine");
	show_init();
	engine_init(e);
	log_init(engine_sink, 0);
	loop_setup(e);
	log_init(engine_sink, e->want.cfg.debug);
	e->command = e->want.cfg.command;
	report_json(e->want.cfg.json);
	e->ledger.began = time(NULL);
	say_terminal(e->want.cfg.watch && e->want.cfg.columns > 0);
	loop_start(e);

	do {
		if (e->passes > 0)
			engine_reset(e);
		progress_pass(e);
		began = end_now();
		e->ledger.began = time(NULL);
		if (engine_run(e) == -1) {
			loop_lost(e);
			engine_salvage(e);
		}
		e->exec.target = -1;
		if (e->command == CMD_CHECK && ended(e))
			check_failed(e);
		else if (e->command != CMD_STATUS && e->command != CMD_CHECK)
			report_pass(e, began);
		e->passes++;
	} while (e->want.cfg.watch && !ended(e) && watch_wait(e) == 0);
	loop_lost(e);
	if (ended(e))
		json_last(e);
	loop_finish(e);
	_exit(end_exit(e));
}

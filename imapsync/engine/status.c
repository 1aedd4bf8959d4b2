/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --status: what the state says of an account, without its servers.
 */
#include <stdio.h>
#include <time.h>

#include "engine.h"

/* "2026-11-26 23:04", or "never". */
static const char *
when(int64_t at, char *buf, size_t size)
{
	struct tm	*tm;
	time_t		 t = at;

	if (at <= 0 || (tm = localtime(&t)) == NULL ||
	    strftime(buf, size, "%Y-%m-%d %H:%M", tm) == 0)
		strlcpy(buf, "never", size);
	return buf;
}

static void
say_stops(struct engine *e)
{
	char		 at[64];
	struct stop	*s;

	if (RB_EMPTY(&e->ledger.stops))
		return;
	report_out("left alone:");
	RB_FOREACH(s, stops, &e->ledger.stops)
		report_out("    %s: %s (since %s)", name_show(e, s->name),
		    s->text, when(s->since, at, sizeof(at)));
}

static void
say_refused(struct engine *e)
{
	char		 at[64], size[16];
	struct refusal	*f;
	struct mbox	*mb;
	int		 side, any = 0;

	FOREACH_SIDE(mb, side, &e->list)
		RB_FOREACH(f, refusals, &mb->s[side].known.refusals) {
			if (!any)
				report_out("refused:");
			any = 1;
			report_out("    %s: UID %u of %s (%s): %s; tried %u "
			    "time%s, again %s%s", name_show(e, mb->name),
			    f->uid, side_name[side],
			    progress_size(f->size, size), f->text[0] != '\0' ?
			    f->text : "without a word", f->attempts,
			    f->attempts == 1 ? "" : "s",
			    f->next <= time(NULL) ? "with the next run" :
			    "after ", f->next <= time(NULL) ? "" :
			    when(f->next, at, sizeof(at)));
		}
}

/* What a run that was cut short may have sent, and connections that broke. */
static void
say_marks(struct engine *e)
{
	struct mark	*k;
	struct mbox	*mb;
	char		 at[64];
	int		 side, any = 0;

	FOREACH_SIDE(mb, side, &e->list) {
		k = &mb->mark[side];
		if (!k->set)
			continue;
		if (!any)
			report_out("under way, or cut short:");
		any = 1;
		report_out("    %s: %llu messages to %s (since %s)",
		    name_show(e, mb->name),
		    (unsigned long long)uidset_count(&k->uids),
		    side_name[side], when(k->time, at, sizeof(at)));
	}
	FOREACH_MBOX(mb, &e->list)
		if (mb->strikes.count > 0)
			report_out("    %s: %u connection%s to %s ended under "
			    "it", name_show(e, mb->name), mb->strikes.count,
			    mb->strikes.count == 1 ? "" : "s",
			    side_name[mb->strikes.side]);
}

static void
say(struct engine *e)
{
	const struct m_engine_setup	*c = &e->want.cfg;

	report_out("state: %s", c->state);
	report_out("local: %s; remote: %s", c->host[LOCAL], c->host[REMOTE]);
	report_out("last in sync: %s", progress_synced(e));
	if (e->holder == UINT32_MAX)
		report_out("in use by a process of another system");
	else if (e->holder != 0)
		report_out("in use by process %u: a run is under way",
		    e->holder);
	report_out("%llu message%s in %u mailbox%s; %u deleted in the last 24 "
	    "hours", (unsigned long long)e->list.total_rows,
	    e->list.total_rows == 1 ? "" : "s", e->list.n,
	    e->list.n == 1 ? "" : "es", e->deleted);
	say_stops(e);
	say_refused(e);
	say_marks(e);
}

/* ---- the same as JSON ---- */

static void
put_stops(struct engine *e, struct buf *b)
{
	const char	*sep = "";
	struct stop	*s;

	RB_FOREACH(s, stops, &e->ledger.stops) {
		buf_printf(b, "%s{", sep);
		json_name(e, b, "mailbox", s->name);
		buf_puts(b, ",\"reason\":");
		json_str(b, s->text);
		buf_puts(b, ",\"since\":");
		json_time(b, s->since);
		buf_puts(b, "}");
		sep = ",";
	}
}

static void
put_marks(struct engine *e, struct buf *b)
{
	const char	*sep = "";
	struct mark	*k;
	struct mbox	*mb;
	int		 side;

	FOREACH_SIDE(mb, side, &e->list) {
		k = &mb->mark[side];
		if (!k->set)
			continue;
		buf_printf(b, "%s{", sep);
		json_name(e, b, "mailbox", mb->name);
		buf_printf(b, ",\"to\":\"%s\",\"messages\":%llu,\"tries\":%u,"
		    "\"since\":", side_name[side],
		    (unsigned long long)uidset_count(&k->uids), k->tries);
		json_time(b, k->time);
		buf_puts(b, "}");
		sep = ",";
	}
}

static void
put_lost(struct engine *e, struct buf *b)
{
	const char	*sep = "";
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->strikes.count == 0)
			continue;
		buf_printf(b, "%s{", sep);
		json_name(e, b, "mailbox", mb->name);
		buf_printf(b, ",\"side\":\"%s\",\"count\":%u}",
		    side_name[mb->strikes.side], mb->strikes.count);
		sep = ",";
	}
}

static void
put(struct engine *e)
{
	struct buf	 b = BUF_INIT;

	json_begin(e, &b, 0);
	buf_puts(&b, ",\"state\":");
	json_str(&b, e->want.cfg.state);
	buf_puts(&b, ",\"hosts\":{\"local\":");
	json_str(&b, e->want.cfg.host[LOCAL]);
	buf_puts(&b, ",\"remote\":");
	json_str(&b, e->want.cfg.host[REMOTE]);
	buf_puts(&b, "},\"in_use_by\":");
	if (e->holder == 0 || e->holder == UINT32_MAX)
		buf_puts(&b, e->holder == 0 ? "null" : "0");
	else
		buf_printf(&b, "%u", e->holder);
	buf_printf(&b, ",\"mailboxes\":%u,\"messages\":%llu,"
	    "\"deleted_in_24h\":%u,\"stopped\":[", e->list.n,
	    (unsigned long long)e->list.total_rows, e->deleted);
	put_stops(e, &b);
	buf_puts(&b, "],\"marks\":[");
	put_marks(e, &b);
	buf_puts(&b, "],\"lost\":[");
	put_lost(e, &b);
	buf_puts(&b, "]");
	json_refused(e, &b, 1);
	json_end(&b);
}

int
status_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	if (list_state(e) == -1)
		return -1;
	e->partial = !RB_EMPTY(&e->ledger.stops);
	FOREACH_SIDE(mb, side, &e->list)
		e->partial |= !RB_EMPTY(&mb->s[side].known.refusals);
	if (e->want.cfg.patience != 0 && e->want.cfg.late) {
		e->end.status = EX_SYNC_ERROR;
		ledger_fault(e, FAULT_LATE, -1, "no run was good for longer "
		    "than --patience");
	}
	if (e->want.cfg.json)
		put(e);
	else
		say(e);
	return 0;
}

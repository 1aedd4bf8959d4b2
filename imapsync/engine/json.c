/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --json: the result of a pass as one JSON object on one line of standard
 * output (common/json.h).  imapsync(1) documents the members; they are not renamed.
 */
#include "engine.h"

/* Two members: a name in UTF-8, and beside it as its server spells it. */
static void
put_names(struct engine *e, struct buf *b, int side, const char *key,
    const char *key7, const char *neutral)
{
	buf_printf(b, "\"%s\":", key);
	json_str(b, name_plain(e, side, neutral, 1));
	buf_printf(b, ",\"%s\":", key7);
	json_str(b, name_plain(e, side, neutral, 0));
}

void
json_name(struct engine *e, struct buf *b, const char *key, const char *neutral)
{
	put_names(e, b, LOCAL, key, "utf7", neutral);
}

void
json_there(struct engine *e, struct buf *b, const char *neutral)
{
	const char	*there = map_there(e, neutral);

	if (there == NULL) {
		buf_puts(b, ",\"remote_name\":null,\"remote_utf7\":null");
		return;
	}
	buf_puts(b, ",");
	put_names(e, b, REMOTE, "remote_name", "remote_utf7", there);
}

void
json_figures(struct buf *b, const struct figures *f)
{
	buf_printf(b, "{\"copied\":%llu,\"octets\":%llu,\"flags\":%llu,"
	    "\"deleted\":%llu,\"moved\":%llu,\"created\":%s}",
	    (unsigned long long)f->copied, (unsigned long long)f->octets,
	    (unsigned long long)f->flags, (unsigned long long)f->deleted,
	    (unsigned long long)f->moved,
	    json_bool(f->created));
}

static void
put_server(struct engine *e, struct buf *b, int side)
{
	struct figures	 sum, f;
	struct mbox	*mb;

	memset(&sum, 0, sizeof(sum));
	FOREACH_MBOX(mb, &e->list) {
		progress_figures(e, mb, side, &f);
		sum.copied += f.copied;
		sum.octets += f.octets;
		sum.flags += f.flags;
		sum.deleted += f.deleted;
		sum.moved += f.moved;
		sum.created |= f.created;
	}
	buf_puts(b, "{\"host\":");
	json_str(b, e->want.cfg.host[side]);
	buf_printf(b, ",\"turns\":%u,\"sent\":%llu,\"received\":%llu,"
	    "\"total\":", e->srv[side].stats.turns,
	    (unsigned long long)e->srv[side].stats.sent,
	    (unsigned long long)e->srv[side].stats.received);
	json_figures(b, &sum);
	buf_puts(b, "}");
}

static void
put_mbox(struct engine *e, struct buf *b, struct mbox *mb)
{
	struct figures	 f;
	int		 side;

	buf_puts(b, "{");
	json_name(e, b, "name", mb->name);
	json_there(e, b, mb->name);
	buf_printf(b, ",\"stopped\":%s,\"reason\":", json_bool(mb->stopped));
	json_maybe(b, ledger_reason(e, mb));
	buf_printf(b, ",\"paired\":%u", mb->npaired);
	for (side = 0; side < SIDES; side++) {
		progress_figures(e, mb, side, &f);
		buf_printf(b, ",\"%s\":", side_name[side]);
		json_figures(b, &f);
	}
	buf_puts(b, "}");
}

void
json_refused(struct engine *e, struct buf *b, int all)
{
	const char	*sep = "";
	struct refusal	*f;
	struct mbox	*mb;
	int		 side;

	buf_puts(b, ",\"refused\":[");
	FOREACH_MBOX(mb, &e->list)
		for (side = 0; side < SIDES; side++)
			RB_FOREACH(f, refusals, &mb->s[side].known.refusals) {
				buf_printf(b, "%s{", sep);
				json_name(e, b, "mailbox", mb->name);
				buf_printf(b, ",\"side\":\"%s\",\"uid\":%u,"
				    "\"size\":%llu,\"text\":", side_name[side],
				    f->uid, (unsigned long long)f->size);
				json_str(b, f->text);
				if (all) {
					buf_printf(b, ",\"attempts\":%u,"
					    "\"next\":", f->attempts);
					json_time(b, f->next);
				}
				buf_puts(b, "}");
				sep = ",";
			}
	buf_puts(b, "]");
}

/* Mailboxes that were renamed, or deleted. */
static void
put_acts(struct engine *e, struct buf *b, int renamed)
{
	const char	*sep = "";
	struct act	*a;

	TAILQ_FOREACH(a, &e->ledger.acts, entry) {
		if ((a->to != NULL) != renamed)
			continue;
		buf_printf(b, "%s{", sep);
		json_name(e, b, "mailbox", a->name);
		buf_puts(b, ",\"side\":");
		json_maybe(b, a->side == -1 ? NULL : side_name[a->side]);
		if (renamed) {
			buf_puts(b, ",");
			put_names(e, b, LOCAL, "to", "to_utf7", a->to);
		} else
			buf_printf(b, ",\"messages\":%u", a->messages);
		buf_puts(b, "}");
		sep = ",";
	}
}

/* What this process' end will be to the user: see exit_status() in main.c. */
static int
exit_status(const struct engine *e)
{
	int	 status = end_status(e);

	if (status == EX_SYNC_LATER || (status == EX_SYNC_TEMP &&
	    e->want.cfg.patience != 0 && e->want.cfg.late))
		return EX_SYNC_ERROR;
	return status;
}

void
json_begin(struct engine *e, struct buf *b, int64_t ms)
{
	struct json_head	 h;

	memset(&h, 0, sizeof(h));
	h.status = exit_status(e);
	h.command = e->command;
	h.dryrun = e->want.cfg.dryrun;
	h.began = e->ledger.began;
	h.ms = ms;
	h.synced = e->synced;
	h.fault = e->ledger.fault;
	h.side = e->ledger.side;
	h.text = e->ledger.text;
	/* A tunnel may end first by the same signal. */
	if (e->end.asked) {
		h.fault = FAULT_INTERRUPTED;
		h.side = -1;
		h.text = "interrupted by a signal";
	} else if (h.fault == FAULT_NONE && h.status != EX_SYNC_OK &&
	    h.status != EX_SYNC_PARTIAL)
		h.fault = FAULT_FAILED;
	e->ledger.told |= h.fault != FAULT_NONE;
	json_head(b, &h);
}

void
json_report(struct engine *e, int64_t ms)
{
	const char	*sep = "";
	struct buf	 b = BUF_INIT;
	struct mbox	*mb;
	int		 side;

	json_begin(e, &b, ms);
	for (side = 0; side < SIDES; side++) {
		buf_printf(&b, ",\"%s\":", side_name[side]);
		put_server(e, &b, side);
	}
	buf_puts(&b, ",\"mailboxes\":[");
	FOREACH_MBOX(mb, &e->list) {
		if (!progress_changed(e, mb) && !mb->stopped)
			continue;
		buf_puts(&b, sep);
		put_mbox(e, &b, mb);
		sep = ",";
	}
	buf_puts(&b, "],\"renamed\":[");
	put_acts(e, &b, 1);
	buf_puts(&b, "],\"deleted\":[");
	put_acts(e, &b, 0);
	buf_puts(&b, "]");
	json_refused(e, &b, 0);
	json_end(&b);
}

void
json_last(struct engine *e)
{
	if (e->want.cfg.json && !e->ledger.told && !e->want.cfg.again &&
	    end_peek(e) == 0 && !end_again(e))
		json_report(e, (time(NULL) - e->ledger.began) * 1000);
}

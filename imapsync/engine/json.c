/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --json: the result of a pass as one JSON object (RFC 8259) on one line of
 * standard output.  imapsync(1) documents the members; they are not renamed.
 */
#include <stdio.h>

#include "engine.h"
#include "say.h"

/*
 * A string.  Names are octets of a server's choosing: what is not ASCII becomes
 * \\u00XX, so that the result is always valid.
 */
static void
put_str(struct buf *b, const char *s)
{
	const unsigned char	*p;

	buf_puts(b, "\"");
	for (p = (const unsigned char *)s; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			buf_printf(b, "\\%c", *p);
		else if (*p < 0x20 || *p >= 0x7f)
			buf_printf(b, "\\u%04x", *p);
		else
			buf_add(b, p, 1);
	}
	buf_puts(b, "\"");
}

static void
put_figures(struct buf *b, const struct figures *f)
{
	buf_printf(b, "{\"copied\":%llu,\"octets\":%llu,\"flags\":%llu,"
	    "\"deleted\":%llu,\"moved\":%llu,\"created\":%s}",
	    (unsigned long long)f->copied, (unsigned long long)f->octets,
	    (unsigned long long)f->flags, (unsigned long long)f->deleted,
	    (unsigned long long)f->moved,
	    f->created ? "true" : "false");
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
	put_str(b, e->want.cfg.host[side]);
	buf_printf(b, ",\"turns\":%u,\"sent\":%llu,\"received\":%llu,"
	    "\"total\":", e->srv[side].stats.turns,
	    (unsigned long long)e->srv[side].stats.sent,
	    (unsigned long long)e->srv[side].stats.received);
	put_figures(b, &sum);
	buf_puts(b, "}");
}

static void
put_mbox(struct engine *e, struct buf *b, struct mbox *mb)
{
	struct figures	 f;
	int		 side;

	buf_puts(b, "{\"name\":");
	put_str(b, name_show(e, mb->name));
	buf_printf(b, ",\"stopped\":%s,\"paired\":%u",
	    mb->stopped ? "true" : "false", mb->npaired);
	for (side = 0; side < SIDES; side++) {
		progress_figures(e, mb, side, &f);
		buf_printf(b, ",\"%s\":", side_name[side]);
		put_figures(b, &f);
	}
	buf_puts(b, "}");
}

static void
put_refused(struct engine *e, struct buf *b)
{
	const char	*sep = "";
	struct refusal	*f;
	struct mbox	*mb;
	int		 side;

	FOREACH_MBOX(mb, &e->list)
		for (side = 0; side < SIDES; side++)
			RB_FOREACH(f, refusals, &mb->s[side].known.refusals) {
				buf_printf(b, "%s{\"mailbox\":", sep);
				put_str(b, name_show(e, mb->name));
				buf_printf(b, ",\"side\":\"%s\",\"uid\":%u,"
				    "\"size\":%llu,\"text\":", side_name[side],
				    f->uid, (unsigned long long)f->size);
				put_str(b, f->text);
				buf_puts(b, "}");
				sep = ",";
			}
}

void
json_report(struct engine *e, int status, int64_t ms)
{
	const char	*sep = "";
	struct buf	 b = BUF_INIT;
	struct mbox	*mb;
	int		 side;

	buf_printf(&b, "{\"version\":1,\"status\":%d,\"dry_run\":%s,"
	    "\"seconds\":%lld.%03lld", status, e->want.cfg.dryrun ? "true" : "false",
	    (long long)ms / 1000, (long long)ms % 1000);
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
	buf_puts(&b, "],\"refused\":[");
	put_refused(e, &b);
	buf_puts(&b, "]}\n");
	say_write(STDOUT_FILENO, (const char *)buf_ptr(&b), b.len);
	buf_free(&b);
}

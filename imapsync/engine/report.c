/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What a pass has done, or would do: one line a mailbox, the totals, refusals.
 */
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"
#include "show.h"

static void	 part(char *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));

/* Add to a line of LOG_TEXT_MAX octets, with a comma. */
static void
part(char *line, const char *fmt, ...)
{
	char	 one[NAME_TEXT_MAX * 4 + 128];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (line[0] != '\0')
		strlcat(line, ", ", LOG_TEXT_MAX);
	strlcat(line, one, LOG_TEXT_MAX);
}

static int	 report_isjson;

void
report_json(int on)
{
	report_isjson = on;
}

void
report_out(const char *fmt, ...)
{
	char	 text[TEXT_MAX], safe[TEXT_MAX * 4];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!report_isjson)
		dprintf(STDOUT_FILENO, "%s\n",
		    show_text(safe, text, sizeof(safe)));
}

/* What went to other mailboxes. */
static void
describe_moved(struct engine *e, const struct mbox *mb, int side, char *line)
{
	const struct outgoing	*out = mb->s[side].sum.out;
	const char		*fmt = e->want.cfg.dryrun ?
				    "%u to move to %s on %s" :
				    "%u moved to %s on %s";
	char			 name[NAME_TEXT_MAX * 4];
	int			 i;

	for (i = 0; out != NULL && i < OUTGOING_MAX && out[i].n > 0; i++) {
		show_text(name, out[i].to != NULL ? name_show(e,
		    out[i].to->name) : "other mailboxes", sizeof(name));
		part(line, fmt, out[i].n, name, side_name[side]);
	}
}

void
report_describe(struct engine *e, const struct mbox *mb, char *line)
{
	struct figures	 f[SIDES];
	int		 dry = e->want.cfg.dryrun, side;

	line[0] = '\0';
	for (side = 0; side < SIDES; side++) {
		progress_figures(e, mb, side, &f[side]);
		if (f[side].created)
			part(line, "created on %s", side_name[side]);
		if (f[side].subscribed)
			part(line, "subscribed on %s", side_name[side]);
		if (f[side].unsubscribed)
			part(line, "unsubscribed on %s", side_name[side]);
	}
	if (mb->npaired > 0)
		part(line, "%u paired", mb->npaired);
	for (side = 0; side < SIDES; side++) {
		if (f[side].copied > 0)
			part(line, dry ? "%llu to copy to %s" :
			    "%llu copied to %s",
			    (unsigned long long)f[side].copied,
			    side_name[side]);
		if (f[side].flags > 0)
			part(line, dry ? "flags of %llu to change on %s" :
			    "flags of %llu changed on %s",
			    (unsigned long long)f[side].flags,
			    side_name[side]);
		describe_moved(e, mb, side, line);
		if (f[side].deleted > 0)
			part(line, dry ? "%llu to delete on %s" :
			    "%llu deleted on %s",
			    (unsigned long long)f[side].deleted,
			    side_name[side]);
	}
}

void
report_line(struct engine *e, const struct mbox *mb, const char *fmt, ...)
{
	char		 line[LOG_TEXT_MAX], safe[2][LOG_TEXT_MAX * 4];
	va_list		 ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	show_text(safe[0], name_show(e, mb->name), sizeof(safe[0]));
	show_text(safe[1], line, sizeof(safe[1]));
	if (!e->want.cfg.json)
		dprintf(STDOUT_FILENO, "%s: %s\n", safe[0], safe[1]);
}

void
report_plan(struct engine *e)
{
	const char	*there;
	char		 line[LOG_TEXT_MAX];
	struct mbox	*mb;

	if (e->want.cfg.json)
		return;
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || mb->stopped)
			continue;
		report_describe(e, mb, line);
		if (line[0] == '\0')
			continue;
		if ((there = map_there(e, mb->name)) != NULL)
			part(line, "on remote it is \"%s\"",
			    name_show_on(e, REMOTE, there));
		report_line(e, mb, "%s", line);
	}
}

/* The last line: all of it together. */
static void
report_summary(struct engine *e, int64_t took)
{
	struct figures	 sum, f;
	uint64_t	 paired = 0;
	unsigned int	 n = 0;
	struct mbox	*mb;
	char		 line[LOG_TEXT_MAX] = "", size[16], num[NUMBER_TEXT];
	int		 side;

	memset(&sum, 0, sizeof(sum));
	FOREACH_MBOX(mb, &e->list) {
		n += progress_changed(e, mb);
		paired += mb->npaired;
	}
	FOREACH_SIDE(mb, side, &e->list) {
		progress_figures(e, mb, side, &f);
		sum.copied += f.copied;
		sum.octets += f.octets;
		sum.flags += f.flags;
		sum.deleted += f.deleted;
		sum.moved += f.moved;
	}
	if (n < 2)
		return;
	if (paired > 0)
		part(line, "%s paired", progress_number(paired, num));
	if (sum.copied > 0)
		part(line, "%s message%s copied (%s)",
		    progress_number(sum.copied, num), sum.copied == 1 ? "" :
		    "s", progress_size(sum.octets, size));
	if (sum.flags > 0)
		part(line, "flags of %s changed",
		    progress_number(sum.flags, num));
	if (sum.moved > 0)
		part(line, "%s moved", progress_number(sum.moved, num));
	if (sum.deleted > 0)
		part(line, "%s deleted", progress_number(sum.deleted, num));
	part(line, "in %lld.%lld s", (long long)took / 1000,
	    (long long)took % 1000 / 100);
	log_info("%u mailboxes changed: %s", n, line);
}

/* A signal came while messages were copied. */
static void
report_interrupted(struct engine *e, int64_t began)
{
	struct copied	 c = { 0, 0, 0 };
	char		 n[2][NUMBER_TEXT];
	int		 side;

	if (!e->end.asked || e->want.cfg.dryrun || e->exec.began < began)
		return;
	for (side = 0; side < SIDES; side++)
		progress_copied(e, side, 1, &c);
	if (c.done < c.all)
		log_info("interrupted: %s of %s copied; run again to go on",
		    progress_number(c.done, n[0]),
		    progress_number(c.all, n[1]));
}

/* One under which a connection ended once is only suspected. */
static int
stands(const struct refusal *f)
{
	return f->attempts > 1 || !refusal_suspect(f);
}

static void
report_refused(struct engine *e)
{
	struct refusal	*f;
	struct mbox	*mb;
	unsigned int	 refused = 0;
	int		 side;

	FOREACH_MBOX(mb, &e->list)
		for (side = 0; side < SIDES; side++)
			RB_FOREACH(f, refusals, &mb->s[side].known.refusals)
				refused += stands(f);
	if (refused == 0)
		return;
	log_warnx("%u message%s refused by a server; they are offered again "
	    "from time to time, at once with --retry", refused,
	    refused == 1 ? " is" : "s are");
	e->partial = 1;
}

static void
got_stats(struct engine *e, struct req *r, const struct m_engine_stats *m)
{
	e->srv[r->side].stats = *m;
}

static void
report_stats(struct engine *e)
{
	static const struct answers	 to = { .stats = got_stats };
	int				 side;

	for (side = 0; side < SIDES; side++)
		if (ask_isopen(e, side))
			ask_stats(e, side, &to);
	(void)loop_wait(e, -1);
}

void
report_pass(struct engine *e, int64_t began)
{
	int64_t		 ms = end_now() - began;
	char		 line[LOG_TEXT_MAX];
	struct mbox	*mb;
	int		 any = 0;

	progress_clear(e);
	FOREACH_MBOX(mb, &e->list) {
		report_describe(e, mb, line);
		if (line[0] == '\0')
			continue;
		any = 1;
		if (!e->want.cfg.dryrun)
			log_info("%s: %s", name_show(e, mb->name), line);
	}
	if (any)
		e->changed = time(NULL);
	if (!e->want.cfg.dryrun)
		report_summary(e, ms);
	report_interrupted(e, began);
	report_refused(e);
	progress_rest(e);
	if (!e->want.cfg.json || (e->want.cfg.watch && e->passes > 0 && !any))
		return;
	/* A server that is still away is no news. */
	if (ended(e) && (e->want.cfg.again || end_again(e)))
		return;
	if (!ended(e))
		report_stats(e);
	json_report(e, ms);
}

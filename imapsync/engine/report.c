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
#include <vis.h>

#include "engine.h"

static void	 part(char *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));

/* Add to a line of LOG_TEXT_MAX octets, with a comma. */
static void
part(char *line, const char *fmt, ...)
{
	char	 one[128];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (line[0] != '\0')
		strlcat(line, ", ", LOG_TEXT_MAX);
	strlcat(line, one, LOG_TEXT_MAX);
}

static void
part_names(char *line, const struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		const struct mside	*ms = &mb->s[side];

		if (ms->told.created)
			part(line, "created on %s", side_name[side]);
		if (ms->told.newsub != 0)
			part(line, "%ssubscribed on %s",
			    ms->told.newsub > 0 ? "" : "un", side_name[side]);
	}
	if (mb->npaired > 0)
		part(line, "%u paired", mb->npaired);
}

/* For --json the plan is told as if it had been done. */
static void
plan_counts(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_MBOX(mb, &e->list)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if (!mbox_usable(mb))
				continue;
			ms->did.ncopied = progress_to_copy(&mb->s[OTHER(side)]);
			ms->did.nexpunged = uidset_count(&ms->plan.doomed);
			ms->did.ops_sent = 1;
		}
}

void
report_plan(struct engine *e)
{
	char		 line[LOG_TEXT_MAX], safe[LOG_TEXT_MAX * 4];
	struct mbox	*mb;
	uint64_t	 n;
	int		 side;

	if (e->want.cfg.json) {
		plan_counts(e);
		return;
	}
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || mb->stopped)
			continue;
		line[0] = '\0';
		part_names(line, mb);
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if ((n = progress_to_copy(&mb->s[OTHER(side)])) > 0)
				part(line, "%llu to copy to %s",
				    (unsigned long long)n, side_name[side]);
			if (ms->plan.nflags > 0)
				part(line, "flags of %u to change on %s",
				    ms->plan.nflags, side_name[side]);
			if ((n = uidset_count(&ms->plan.doomed)) > 0)
				part(line, "%llu to delete on %s",
				    (unsigned long long)n, side_name[side]);
		}
		if (line[0] == '\0')
			continue;
		strnvis(safe, name_show(e, mb->name), sizeof(safe),
		    VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOSLASH);
		dprintf(STDOUT_FILENO, "%s: %s\n", safe, line);
	}
}

static void
report_mbox(struct engine *e, struct mbox *mb)
{
	char	 line[LOG_TEXT_MAX] = "";
	int	 side;

	part_names(line, mb);
	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		if (ms->did.ncopied > 0)
			part(line, "%u copied to %s", ms->did.ncopied,
			    side_name[side]);
		if (ms->plan.nflags > 0 && ms->did.ops_sent)
			part(line, "flags of %u changed on %s", ms->plan.nflags,
			    side_name[side]);
		if (ms->did.nexpunged > 0)
			part(line, "%u deleted on %s", ms->did.nexpunged,
			    side_name[side]);
	}
	if (line[0] != '\0')
		log_info("%s: %s", name_show(e, mb->name), line);
}

/* The last line: all of it together. */
static void
report_summary(struct engine *e, int64_t took)
{
	unsigned long long	 copied = 0, octets = 0, flags = 0, deleted = 0;
	unsigned int		 n = 0;
	struct mbox		*mb;
	char			 size[16];
	int			 side;

	FOREACH_MBOX(mb, &e->list) {
		n += progress_changed(mb);
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			copied += ms->did.ncopied;
			octets += ms->did.octets;
			flags += ms->did.ops_sent ? ms->plan.nflags : 0;
			deleted += ms->did.nexpunged;
		}
	}
	if (n > 1)
		log_info("%u mailboxes changed: %llu messages (%s) copied, "
		    "flags of %llu changed, %llu deleted, in %lld.%lld s", n,
		    copied, progress_size(octets, size), flags, deleted,
		    (long long)took / 1000, (long long)took % 1000 / 100);
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
			TAILQ_FOREACH(f, &mb->s[side].known.refusals, entry)
				refused++;
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
	struct mbox	*mb;
	int		 any = 0;

	progress_clear(e);
	FOREACH_MBOX(mb, &e->list) {
		if (!e->want.cfg.dryrun)
			report_mbox(e, mb);
		any |= progress_changed(mb);
	}
	if (!e->want.cfg.dryrun)
		report_summary(e, ms);
	report_refused(e);
	/* --check, --delete and --rename have no figures. */
	if (e->want.cfg.command != CMD_SYNC && e->want.cfg.command != CMD_REPAIR)
		return;
	if (!e->want.cfg.json || (e->want.cfg.watch && e->passes > 0 && !any))
		return;
	if (!ended(e))
		report_stats(e);
	json_report(e, end_status(e), ms);
}

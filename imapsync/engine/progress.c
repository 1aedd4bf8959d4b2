/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What the user sees: messages with their prefix, the plan of a dry run, one
 * line a mailbox that changed.  All text is vis(3)ed here, at the one place where
 * it leaves the program.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <vis.h>

#include "engine.h"
#include "say.h"

#define TICK_MS		200	/* how often the line is drawn anew */

static struct engine	*pe;
static int		 drawn;		/* a progress line stands there */

/* What the last pass and this one have said, so that a watch says it once. */
struct said {
	TAILQ_ENTRY(said) entry;
	char		*text;
};
TAILQ_HEAD(saids, said);
static struct saids	 said_now = TAILQ_HEAD_INITIALIZER(said_now);
static struct saids	 said_before = TAILQ_HEAD_INITIALIZER(said_before);

void
progress_init(struct engine *e)
{
	pe = e;
}

const char *
progress_show(struct engine *e, const char *neutral)
{
	static char	 buf[2][NAME_MAX_LEN];
	static int	 i;
	char		*p;

	i = !i;
	strlcpy(buf[i], neutral, sizeof(buf[i]));
	for (p = buf[i]; *p != '\0'; p++)
		if (*p == NAME_SEP)
			*p = e->delim[LOCAL] != '\0' ? e->delim[LOCAL] : '/';
	return buf[i];
}

static uint64_t	 to_copy(const struct mside *);

/* ---- log-prefix ---- */

struct prefix {
	const char	*n;	/* %n */
	const char	*m;	/* %m */
	char		*out;
	size_t		 size;
};

static void
prefix_putc(struct prefix *p, char c)
{
	if (p->size > 1) {
		*p->out++ = c;
		p->size--;
	}
}

/*
 * Expand up to one of the "stop" characters that is not escaped; with "on" 0
 * only skip.  Returns where it stopped.  The configuration has checked the form.
 */
static const char *
prefix_expand(struct prefix *p, const char *f, const char *stop, int on)
{
	const char	*val;
	char		 c;

	for (; *f != '\0' && strchr(stop, *f) == NULL; f++) {
		if (*f == '\\' && f[1] != '\0') {
			f++;
		} else if (*f == '%' && f[1] == '?' && f[2] != '\0' &&
		    f[3] == '?') {
			val = f[2] == 'n' ? p->n : f[2] == 'm' ? p->m : "";
			f = prefix_expand(p, f + 4, "?&", on && *val != '\0');
			if (*f == '&')
				f = prefix_expand(p, f + 1, "?",
				    on && *val == '\0');
			if (*f == '\0')
				break;
			continue;
		} else if (*f == '%' && f[1] != '\0') {
			c = *++f;
			if (c != '%') {
				val = c == 'n' ? p->n : c == 'm' ? p->m : "";
				while (on && *val != '\0')
					prefix_putc(p, *val++);
				continue;
			}
		}
		if (on)
			prefix_putc(p, *f);
	}
	return f;
}

/* ---- the progress line ---- */

void
progress_clear(void)
{
	static const char	 clear[] = "\r\033[K";

	if (drawn)
		say_write(STDERR_FILENO, clear, sizeof(clear) - 1);
	drawn = 0;
}

/* "1.2 MB" into buf[16]. */
static const char *
human(uint64_t n, char *buf)
{
	static const char	 units[] = " kMGT";
	double			 d = n;
	size_t			 i;

	for (i = 0; d >= 1000 && i < sizeof(units) - 2; i++)
		d /= 1000;
	if (i == 0)
		snprintf(buf, 16, "%u B", (unsigned int)n);
	else
		snprintf(buf, 16, d < 10 ? "%.1f %cB" : "%.0f %cB", d,
		    units[i]);
	return buf;
}

static void
draw(struct engine *e, int side, uint64_t done, uint64_t all, uint64_t octets,
    int64_t ms)
{
	char		 line[256], a[16], b[16], left[32] = "";
	uint64_t	 secs;
	int		 n;

	if (done > 0 && done < all) {
		secs = (uint64_t)ms * (all - done) / done / 1000;
		if (secs >= 3600)
			snprintf(left, sizeof(left), ", %lluh%02llum left",
			    (unsigned long long)secs / 3600,
			    (unsigned long long)secs / 60 % 60);
		else
			snprintf(left, sizeof(left), ", %llu:%02llu left",
			    (unsigned long long)secs / 60,
			    (unsigned long long)secs % 60);
	}
	n = snprintf(line, sizeof(line), "\rto %s: %llu of %llu messages, %s, "
	    "%s/s%s", side_name[side], (unsigned long long)done,
	    (unsigned long long)all, human(octets, a),
	    human(ms > 0 ? octets * 1000 / ms : 0, b), left);
	if (n > e->cfg.columns)
		n = e->cfg.columns;
	strlcpy(line + n, "\033[K", sizeof(line) - n);
	say_write(STDERR_FILENO, line, strlen(line));
	drawn = 1;
}

/* Called whenever the engine is awake while messages are copied. */
void
progress_tick(struct engine *e)
{
	static int64_t	 last, began;
	static int	 side = -1;
	uint64_t	 done = 0, all = 0, octets = 0;
	struct mbox	*mb;
	int64_t		 now;

	if (e->cfg.columns < 20 || e->copying == -1 || e->cfg.again)
		return;
	now = engine_now();
	if (side != e->copying || e->copy_began != began) {
		side = e->copying;
		began = e->copy_began;
		last = 0;
	}
	if (now - last < TICK_MS)
		return;
	last = now;
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb))
			continue;
		all += to_copy(&mb->s[OTHER(side)]);
		done += mb->s[side].ncopied;
		octets += mb->s[side].octets;
	}
	if (all > 0)
		draw(e, side, done, all, octets, now - began);
}

/* ---- messages ---- */

/* 1 if the text was said in the pass before this one, or in this one. */
static int
said(const char *text)
{
	struct said	*s;
	int		 found = 0;

	TAILQ_FOREACH(s, &said_now, entry)
		if (strcmp(s->text, text) == 0)
			return 1;
	TAILQ_FOREACH(s, &said_before, entry)
		if (strcmp(s->text, text) == 0)
			found = 1;
	s = xcalloc(1, sizeof(*s));
	s->text = xstrdup(text);
	TAILQ_INSERT_TAIL(&said_now, s, entry);
	return found;
}

/* A new pass: what was not said in the last one may be said again. */
void
progress_pass(void)
{
	struct said	*s;

	while ((s = TAILQ_FIRST(&said_before)) != NULL) {
		TAILQ_REMOVE(&said_before, s, entry);
		free(s->text);
		free(s);
	}
	TAILQ_CONCAT(&said_before, &said_now, entry);
}

/* A whole line to where it belongs. */
static void
progress_say(enum log_level level, const char *line)
{
	int	 haslog = pe != NULL && pe->cfg.haslog, away;

	away = haslog || (pe != NULL && pe->cfg.syslog &&
	    level != LOG_LV_DEBUG);
	progress_clear();
	say_print(haslog ? FD_ENGINE_LOG : -1, level >= LOG_LV_WARN ||
	    (!away && (pe == NULL || !pe->cfg.quiet)), line);
	if (pe != NULL && pe->cfg.syslog && level != LOG_LV_DEBUG)
		say_syslog(level, line);
}

void
progress_log(enum log_level level, const char *component, const char *mailbox,
    const char *text)
{
	char		 line[LOG_TEXT_MAX + NAME_MAX_LEN];
	struct prefix	 p;

	if (level == LOG_LV_DEBUG && (pe == NULL || !pe->cfg.debug))
		return;
	p.n = component != NULL ? component : "";
	p.m = mailbox != NULL ? mailbox : "";
	p.out = line;
	p.size = NAME_MAX_LEN;
	if (pe != NULL)
		(void)prefix_expand(&p, pe->cfg.prefix, "", 1);
	*p.out = '\0';
	strlcat(line, text, sizeof(line));
	if (pe != NULL && pe->cfg.watch && level == LOG_LV_WARN && said(line))
		return;
	if (pe != NULL && pe->cfg.again && !pe->cfg.debug)
		return;
	progress_say(level, line);
}

/* A loss after a loss is no news: what else ends a session is. */
void
progress_end(struct engine *e, int status)
{
	if (e->cfg.again == AGAIN_LOST && status != EX_SYNC_TEMP)
		e->cfg.again = AGAIN_NO;
}

/* ---- one line a mailbox ---- */

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

		if (ms->created)
			part(line, "created on %s", side_name[side]);
		if (ms->newsub != 0)
			part(line, "%ssubscribed on %s",
			    ms->newsub > 0 ? "" : "un", side_name[side]);
	}
	if (mb->npaired > 0)
		part(line, "%u paired", mb->npaired);
}

/* Messages that would be copied: ranges may hold UIDs that do not exist. */
static uint64_t
to_copy(const struct mside *src)
{
	struct uidset	 above = UIDSET_INIT;
	uint64_t	 n, all = uidset_count(&src->new);

	if (src->disc == NULL)
		return 0;
	uidset_copy(&above, &src->new);
	if (src->n > 0)
		uidset_del(&above, 1, src->n);
	n = uidset_count(&above);
	uidset_free(&above);
	return all - n + (n < src->disc->above ? n : src->disc->above) +
	    uidset_count(&src->offer);
}

/* For --json the plan is told as if it had been done. */
static void
plan_counts(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if (!mbox_usable(mb))
				continue;
			ms->ncopied = to_copy(&mb->s[OTHER(side)]);
			ms->nexpunged = uidset_count(&ms->doomed);
			ms->ops_sent = 1;
		}
}

void
progress_plan(struct engine *e)
{
	char		 line[LOG_TEXT_MAX], safe[LOG_TEXT_MAX * 4];
	struct mbox	*mb;
	uint64_t	 n;
	int		 side;

	if (e->cfg.json) {
		plan_counts(e);
		return;
	}
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (mb->skip || mb->stopped)
			continue;
		line[0] = '\0';
		part_names(line, mb);
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if ((n = to_copy(&mb->s[OTHER(side)])) > 0)
				part(line, "%llu to copy to %s",
				    (unsigned long long)n, side_name[side]);
			if (ms->nflags > 0)
				part(line, "flags of %u to change on %s",
				    ms->nflags, side_name[side]);
			if ((n = uidset_count(&ms->doomed)) > 0)
				part(line, "%llu to delete on %s",
				    (unsigned long long)n, side_name[side]);
		}
		if (line[0] == '\0')
			continue;
		strnvis(safe, progress_show(e, mb->name), sizeof(safe),
		    VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOSLASH);
		dprintf(STDOUT_FILENO, "%s: %s\n", safe, line);
	}
}

int
progress_changed(const struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		const struct mside	*ms = &mb->s[side];

		if (ms->ncopied > 0 || (ms->nflags > 0 && ms->ops_sent) ||
		    ms->nexpunged > 0 || ms->created || ms->newsub != 0)
			return 1;
	}
	return mb->npaired > 0;
}

static void
report_mbox(struct engine *e, struct mbox *mb)
{
	char	 line[LOG_TEXT_MAX] = "";
	int	 side;

	part_names(line, mb);
	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		if (ms->ncopied > 0)
			part(line, "%u copied to %s", ms->ncopied,
			    side_name[side]);
		if (ms->nflags > 0 && ms->ops_sent)
			part(line, "flags of %u changed on %s", ms->nflags,
			    side_name[side]);
		if (ms->nexpunged > 0)
			part(line, "%u deleted on %s", ms->nexpunged,
			    side_name[side]);
	}
	if (line[0] != '\0')
		log_info("%s: %s", progress_show(e, mb->name), line);
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

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		n += progress_changed(mb);
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			copied += ms->ncopied;
			octets += ms->octets;
			flags += ms->ops_sent ? ms->nflags : 0;
			deleted += ms->nexpunged;
		}
	}
	if (n > 1)
		log_info("%u mailboxes changed: %llu messages (%s) copied, "
		    "flags of %llu changed, %llu deleted, in %lld.%lld s", n,
		    copied, human(octets, size), flags, deleted,
		    (long long)took / 1000, (long long)took % 1000 / 100);
}

static void
report_refused(struct engine *e)
{
	struct refusal	*f;
	struct mbox	*mb;
	unsigned int	 refused = 0;
	int		 side;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			TAILQ_FOREACH(f, &mb->s[side].refusals, entry)
				refused++;
	if (refused == 0)
		return;
	log_warnx("%u message%s refused by a server; they are offered again "
	    "from time to time, at once with --retry", refused,
	    refused == 1 ? " is" : "s are");
	e->partial = 1;
}

static void
report_stats(struct engine *e)
{
	struct m_net_stats	 m = { 0 };
	uint32_t		 id;
	int			 side;

	for (side = 0; side < SIDES; side++) {
		if (!e->open[side])
			continue;
		id = engine_req(e, side, NULL, NULL, NULL, NULL, 0);
		engine_send(e, side, M_NET_STATS, id, &m);
	}
	(void)engine_wait(e, -1);
}

void
progress_report(struct engine *e, int64_t began)
{
	int64_t		 ms = engine_now() - began;
	struct mbox	*mb;
	int		 any = 0;

	progress_clear();
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!e->cfg.dryrun)
			report_mbox(e, mb);
		any |= progress_changed(mb);
	}
	if (!e->cfg.dryrun)
		report_summary(e, ms);
	report_refused(e);
	/* --check, --delete and --rename have no figures. */
	if (e->cfg.command != CMD_SYNC && e->cfg.command != CMD_REPAIR)
		return;
	if (!e->cfg.json || (e->cfg.watch && e->passes > 0 && !any))
		return;
	if (!e->stop)
		report_stats(e);
	json_report(e, engine_status(e), ms);
}

/* SIGUSR1: where the run is. */
void
progress_status(struct engine *e)
{
	unsigned long long	 copied = 0, octets = 0;
	unsigned int		 n = 0, dirty = 0;
	struct mbox		*mb;
	char			 line[256];
	int			 side;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		n++;
		dirty += mbox_usable(mb);
		for (side = 0; side < SIDES; side++) {
			copied += mb->s[side].ncopied;
			octets += mb->s[side].octets;
		}
	}
	/* Asked for: neither a repetition nor noise. */
	if (e->watching)
		snprintf(line, sizeof(line), "status: watching %u mailboxes; "
		    "the next look is in %lld s", n,
		    (long long)(e->next_look - engine_now()) / 1000);
	else
		snprintf(line, sizeof(line), "status: %u mailboxes, %u to be "
		    "synchronised, %llu messages (%llu octets) copied so far",
		    n, dirty, copied, octets);
	progress_say(LOG_LV_WARN, line);
}

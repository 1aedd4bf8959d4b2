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
#include "imapsync.h"

static struct engine	*pe;

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

static void
write_all(int fd, const char *s, size_t len)
{
	ssize_t	 n;

	/* Nowhere is left to say that a message can't be written. */
	while (len > 0 && (n = write(fd, s, len)) > 0) {
		s += n;
		len -= n;
	}
}

void
progress_print(int logfd, int tostderr, const char *text)
{
	char		 safe[LOG_TEXT_MAX * 4], line[LOG_TEXT_MAX * 4 + 64];
	struct tm	*tm;
	time_t		 now = time(NULL);
	size_t		 n = 0;

	strnvis(safe, text, sizeof(safe) - 1,
	    VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOSLASH);
	strlcat(safe, "\n", sizeof(safe));
	if (tostderr)
		write_all(STDERR_FILENO, safe, strlen(safe));
	if (logfd == -1)
		return;
	if ((tm = localtime(&now)) != NULL)
		n = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S ", tm);
	snprintf(line + n, sizeof(line) - n, "imapsync[%d]: %s",
	    (int)getpid(), safe);
	write_all(logfd, line, strlen(line));
}

void
progress_log(enum log_level level, const char *component, const char *mailbox,
    const char *text)
{
	char		 line[LOG_TEXT_MAX + NAME_MAX_LEN];
	struct prefix	 p;
	int		 haslog = pe != NULL && pe->cfg.haslog;

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
	progress_print(haslog ? FD_ENGINE_LOG : -1, level >= LOG_LV_WARN ||
	    (!haslog && (pe == NULL || !pe->cfg.quiet)), line);
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

void
progress_plan(struct engine *e)
{
	char		 line[LOG_TEXT_MAX], safe[LOG_TEXT_MAX * 4];
	struct mbox	*mb;
	uint64_t	 n;
	int		 side;

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

void
progress_report(struct engine *e)
{
	struct refusal	*f;
	struct mbox	*mb;
	unsigned int	 refused = 0;
	int		 side;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!e->cfg.dryrun)
			report_mbox(e, mb);
		for (side = 0; side < SIDES; side++)
			TAILQ_FOREACH(f, &mb->s[side].refusals, entry)
				refused++;
	}
	if (refused > 0) {
		log_warnx("%u message%s refused by a server; they are offered "
		    "again from time to time, at once with --retry", refused,
		    refused == 1 ? " is" : "s are");
		e->partial = 1;
	}
}

/* SIGUSR1: where the run is. */
void
progress_status(struct engine *e)
{
	unsigned long long	 copied = 0, octets = 0;
	unsigned int		 n = 0, dirty = 0;
	struct mbox		*mb;
	int			 side;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		n++;
		dirty += mbox_usable(mb);
		for (side = 0; side < SIDES; side++) {
			copied += mb->s[side].ncopied;
			octets += mb->s[side].octets;
		}
	}
	log_warnx("status: %u mailboxes, %u to be synchronised, %llu messages "
	    "(%llu octets) copied so far", n, dirty, copied, octets);
}

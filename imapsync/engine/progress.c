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

#include "engine.h"
#include "say.h"
#include "show.h"

#define TICK_MS		200	/* how often the line is drawn anew */
#define WAIT_MS		3000	/* silence that looks like a hang */

void
progress_init(struct engine *e)
{
	RB_INIT(&e->progress.now);
	RB_INIT(&e->progress.before);
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

/* ---- the progress line ---- */

void
progress_clear(struct engine *e)
{
	static const char	 clear[] = "\r\033[K";

	if (e->progress.drawn != DRAWN_NONE)
		say_write(STDERR_FILENO, clear, sizeof(clear) - 1);
	e->progress.drawn = DRAWN_NONE;
}

/* What the terminal shows of a key that was typed goes with the line. */
void
progress_stopped(struct engine *e)
{
	if (e->want.cfg.columns > 0)
		e->progress.drawn = DRAWN_WAIT;
	progress_clear(e);
}

const char *
progress_uids(const struct uidset *set, char *buf, size_t size)
{
	char		 one[32];
	uint64_t	 n = uidset_count(set);
	struct uidrange	 r;
	uint32_t	 after = 0;
	size_t		 len;

	len = strlcpy(buf, n == 1 ? "UID" : "UIDs", size);
	/* Room for one more and for how many are left. */
	while (len + 64 < size && uidset_next(set, &after, &r)) {
		char		 sep = len > 4 ? ',' : ' ';
		uint32_t	 lo = r.lo, hi = r.hi;

		if (lo == hi)
			snprintf(one, sizeof(one), "%c%u", sep, lo);
		else
			snprintf(one, sizeof(one), "%c%u:%u", sep, lo,
			    hi);
		len = strlcat(buf, one, size);
		n -= (uint64_t)hi - lo + 1;
	}
	if (n > 0)
		snprintf(buf + len, size - len, " and %llu more",
		    (unsigned long long)n);
	return buf;
}

const char *
progress_size(uint64_t n, char *buf)
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

const char *
progress_number(uint64_t n, char *buf)
{
	char	 digits[24];
	size_t	 i, len, k = 0;

	len = (size_t)snprintf(digits, sizeof(digits), "%llu",
	    (unsigned long long)n);
	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[k++] = ',';
		buf[k++] = digits[i];
	}
	buf[k] = '\0';
	return buf;
}

/* In the place of the line that stands there, and no wider than the terminal. */
static void
draw_line(struct engine *e, char *text, enum drawn what)
{
	char	 line[4 * NAME_TEXT_MAX + 600];

	snprintf(line, sizeof(line), "\r%s\033[K",
	    show_cut(text, e->want.cfg.columns - 1));
	say_write(STDERR_FILENO, line, strlen(line));
	e->progress.drawn = what;
}

/* Add a field, if there is room for all of it: 1 if there was. */
static int
draw_field(const struct engine *e, char *line, size_t size, const char *field)
{
	if (strlen(line) + strlen(field) >= e->want.cfg.columns)
		return 0;
	strlcat(line, field, size);
	return 1;
}

/* What is left of the time, or "". */
static void
draw_left(uint64_t done, uint64_t all, int64_t ms, char *left, size_t size)
{
	uint64_t	 secs;

	left[0] = '\0';
	if (done == 0 || done >= all)
		return;
	secs = (uint64_t)ms * (all - done) / done / 1000;
	if (secs >= 3600)
		snprintf(left, size, ", %lluh%02llum left",
		    (unsigned long long)secs / 3600,
		    (unsigned long long)secs / 60 % 60);
	else
		snprintf(left, size, ", %llu:%02llu left",
		    (unsigned long long)secs / 60,
		    (unsigned long long)secs % 60);
}

/* Whole fields, as many as there is room for. */
static void
draw(struct engine *e, int side, const struct copied *c, int64_t ms)
{
	char	 line[256] = "", field[4][2 * NUMBER_TEXT + 32], n[2][NUMBER_TEXT], size[16];
	size_t	 i;

	progress_number(c->done, n[0]);
	progress_number(c->all, n[1]);
	snprintf(field[0], sizeof(field[0]), "to %s: %s of %s messages",
	    side_name[side], n[0], n[1]);
	if (!draw_field(e, line, sizeof(line), field[0])) {
		snprintf(line, sizeof(line), "%s of %s", n[0], n[1]);
		if (strlen(line) >= e->want.cfg.columns)
			strlcpy(line, n[0], sizeof(line));
		draw_line(e, line, DRAWN_COPY);
		return;
	}
	snprintf(field[1], sizeof(field[1]), ", %s",
	    progress_size(c->octets, size));
	snprintf(field[2], sizeof(field[2]), ", %s/s",
	    progress_size(ms > 0 ? c->octets * 1000 / ms : 0, size));
	draw_left(c->done, c->all, ms, field[3], sizeof(field[3]));
	for (i = 1; i < nitems(field) &&
	    draw_field(e, line, sizeof(line), field[i]); i++)
		;
	draw_line(e, line, DRAWN_COPY);
}

uint64_t
progress_to_copy(const struct mside *src)
{
	return uidset_count(&src->w->found.new) + uidset_count(&src->w->offer) +
	    uidset_count(&src->w->suspect);
}

/* ---- what is waited for ---- */

static const struct {
	enum ask_type	 type;
	const char	*what;		/* "... server" and this */
	int		 has_mbox;
} waits[] = {
	{ ASK_LIST,	"to list its mailboxes", 0 },
	{ ASK_STATUS,	"to tell the state of", 1 },
	{ ASK_OPEN,	"to open", 1 },
	{ ASK_META,	"to tell what is in", 1 },
	{ ASK_SEARCH,	"to tell what is in", 1 },
	{ ASK_SEND,	"to give the messages of", 1 },
	{ ASK_RECV,	"to take the messages of", 1 },
	{ ASK_STORE,	"to change flags in", 1 },
	{ ASK_EXPUNGE,	"to expunge messages of", 1 },
	{ ASK_MOVE,	"to move messages of", 1 },
	{ ASK_NAME,	"to create, or to subscribe to,", 1 }
};

/* The oldest request that is not answered, in words: 1, or 0 if there is none. */
static int
waits_for(struct engine *e, char *dst, size_t size)
{
	struct req	*r;
	size_t		 i;

	if (e->waiting != NULL) {
		strlcpy(dst, e->waiting, size);
		return 1;
	}
	RB_FOREACH(r, reqs, &e->ask.reqs)
		if (r->state != REQ_ANSWERED && ask_isopen(e, r->chan))
			break;
	if (r == NULL)
		return 0;
	if (r->chan == STORE) {
		strlcpy(dst, "the database", size);
		return 1;
	}
	if (!e->srv[r->chan].is_ready) {
		snprintf(dst, size, "the %s server (%s) to let us in",
		    side_name[r->chan], e->want.cfg.host[r->chan]);
		return 1;
	}
	for (i = 0; i < nitems(waits) && waits[i].type != r->type; i++)
		;
	snprintf(dst, size, "the %s server%s%s%s%s", side_name[r->chan],
	    i < nitems(waits) ? " " : "", i < nitems(waits) ?
	    waits[i].what : "", r->mb != NULL ? " " : "",
	    r->mb != NULL ? name_show(e, r->mb->name) : "");
	return 1;
}

/* Nothing was heard for so long that it looks like a hang: 1 if that is said. */
static int
draw_wait(struct engine *e, int64_t now)
{
	char	 what[NAME_TEXT_MAX + 128], line[sizeof(what) + 16];
	char	 safe[4 * sizeof(line)];

	if (now - e->ask.heard < WAIT_MS || e->watch.on ||
	    !waits_for(e, what, sizeof(what)))
		return 0;
	snprintf(line, sizeof(line), "waiting for %s", what);
	show_text(safe, line, sizeof(safe));
	draw_line(e, safe, DRAWN_WAIT);
	return 1;
}

void
progress_copied(struct engine *e, int side, int all, struct copied *c)
{
	struct mbox	*mb;
	uint64_t	 done;

	FOREACH_MBOX(mb, &e->list) {
		done = mb->s[side].sum.copied + mb->s[side].w->did.ncopied;
		if (mbox_usable(mb))
			c->all += progress_to_copy(&mb->s[OTHER(side)]);
		else if (all)
			c->all += done;
		else
			continue;
		c->done += done;
		c->octets += mb->s[side].sum.octets +
		    mb->s[side].w->did.octets;
	}
}

/* Called whenever the engine is awake. */
void
progress_tick(struct engine *e)
{
	struct copied	 c = { 0, 0, 0 };
	int64_t		 now;

	if (e->want.cfg.columns < 20 || e->want.cfg.again)
		return;
	now = end_now();
	/* At once when a direction begins. */
	if (e->progress.last >= e->exec.began &&
	    now - e->progress.last < TICK_MS)
		return;
	e->progress.last = now;
	if (draw_wait(e, now))
		return;
	if (e->progress.drawn == DRAWN_WAIT)
		progress_clear(e);
	if (e->exec.target == -1)
		return;
	progress_copied(e, e->exec.target, 0, &c);
	if (c.all > 0)
		draw(e, e->exec.target, &c, now - e->exec.began);
}

/* ---- messages ---- */

RB_PROTOTYPE(saids, said, entry, said_cmp)
RB_GENERATE(saids, said, entry, said_cmp)

int
said_cmp(struct said *a, struct said *b)
{
	return strcmp(a->text, b->text);
}

/* 1 if the text was said in the pass before this one, or in this one. */
static int
said(struct engine *e, const char *text)
{
	struct said	*s, find;

	find.text = (char *)text;
	if (RB_FIND(saids, &e->progress.now, &find) != NULL)
		return 1;
	s = xcalloc(1, sizeof(*s));
	s->text = xstrdup(text);
	RB_INSERT(saids, &e->progress.now, s);
	return RB_FIND(saids, &e->progress.before, &find) != NULL;
}

/* Of warnings without end the rest is counted. */
static int
too_many(struct engine *e)
{
	return e->progress.lines++ >= LINES_MAX;
}

void
progress_rest(struct engine *e)
{
	unsigned int	 n = e->progress.lines;

	e->progress.lines = 0;
	if (n > LINES_MAX)
		log_warnx("%u more lines of this kind were not shown",
		    n - LINES_MAX);
	e->progress.lines = 0;
}

/* A new pass: what was not said in the last one may be said again. */
void
progress_pass(struct engine *e)
{
	struct said	*s;

	while ((s = RB_MIN(saids, &e->progress.before)) != NULL) {
		RB_REMOVE(saids, &e->progress.before, s);
		free(s->text);
		free(s);
	}
	e->progress.before = e->progress.now;
	RB_INIT(&e->progress.now);
}

/* A whole line to where it belongs. */
static void
progress_say(struct engine *e, enum log_level level, const char *line)
{
	const struct m_engine_setup	*c = &e->want.cfg;
	int				 away, quiet;

	/* Within the patience a lost server is for the log alone. */
	quiet = level == LOG_LV_ERROR && e->end.status == EX_SYNC_TEMP &&
	    ((c->patience != 0 && !c->late) || end_again(e));
	away = c->haslog || (c->syslog && level != LOG_LV_DEBUG);
	progress_clear(e);
	say_print(e->logfd, !quiet &&
	    (level >= LOG_LV_WARN || (!away && !c->quiet)), level, line);
	if (c->syslog && level != LOG_LV_DEBUG)
		say_syslog(level, line);
}

void
progress_log(struct engine *e, enum log_level level, const char *component,
    const char *mailbox, const char *text)
{
	const struct m_engine_setup	*c = &e->want.cfg;
	char				 line[LOG_TEXT_MAX + NAME_MAX_LEN];
	struct prefix			 p;

	if (level == LOG_LV_DEBUG && !c->debug)
		return;
	p.n = component != NULL ? component : "";
	p.m = mailbox != NULL ? mailbox : "";
	p.out = line;
	p.size = NAME_MAX_LEN;
	(void)prefix_expand(&p, c->prefix, "", 1);
	*p.out = '\0';
	strlcat(line, text, sizeof(line));
	if (level == LOG_LV_WARN && (too_many(e) ||
	    (c->watch && said(e, line))))
		return;
	if (c->again && !c->debug)
		return;
	progress_say(e, level, line);
}

void
progress_stop(struct engine *e, struct mbox *mb, const char *fmt, ...)
{
	char	 text[LOG_TEXT_MAX];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The report has it beside the mailbox. */
	if (e->command != CMD_CHECK)
		log_warnx("%s: %s", name_show(e, mb->name), text);
	ledger_stopped(e, mb->name, text);
	mb->stopped = 1;
	e->partial = 1;
}

/* A loss after a loss is no news: what else ends a session is. */
void
progress_end(struct engine *e, int status)
{
	if (e->want.cfg.again == AGAIN_LOST && status != EX_SYNC_TEMP)
		e->want.cfg.again = AGAIN_NO;
}

void
progress_planned(struct mbox *mb)
{
	struct side_sum	*sum;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		sum = &mb->s[side].sum;
		sum->copied = progress_to_copy(&mb->s[OTHER(side)]);
		sum->copied -= sum->copied < sum->arrived ? sum->copied :
		    sum->arrived;
		sum->flags = mb->s[side].w->plan.nflags;
		sum->deleted = uidset_count(&mb->s[side].w->plan.doomed) +
		    uidset_count(&mb->s[side].w->plan.after);
	}
}

void
progress_figures(const struct engine *e, const struct mbox *mb, int side,
    struct figures *f)
{
	const struct mside	*ms = &mb->s[side];
	enum answered		 want = e->want.cfg.dryrun ? ANS_PLANNED : ANS_OK;

	memset(f, 0, sizeof(*f));
	f->created = ms->told.create == want;
	f->subscribed = ms->told.subscribe == want;
	f->unsubscribed = ms->told.unsubscribe == want;
	if (!e->want.cfg.dryrun) {
		f->copied = ms->sum.copied + ms->w->did.ncopied;
		f->octets = ms->sum.octets + ms->w->did.octets;
		f->flags = ms->sum.flags + uidset_count(&ms->w->did.flagged);
		f->deleted = ms->sum.deleted + ms->w->did.nexpunged;
	} else if (mb->planned && !mb->stopped) {
		f->copied = ms->sum.copied;
		f->flags = ms->sum.flags;
		f->deleted = ms->sum.deleted;
	}
	f->moved = ms->sum.moved;
	f->deleted -= f->deleted < f->moved ? f->deleted : f->moved;
}

int
progress_changed(const struct engine *e, const struct mbox *mb)
{
	struct figures	 f;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		progress_figures(e, mb, side, &f);
		if (f.copied > 0 || f.flags > 0 || f.deleted > 0 ||
		    f.moved > 0 || mb->s[side].sum.arrived > 0 ||
		    f.created || f.subscribed || f.unsubscribed)
			return 1;
	}
	return mb->npaired > 0;
}

const char *
progress_synced(const struct engine *e)
{
	static char	 text[64];
	struct tm	*tm;
	time_t		 when = e->synced;

	if (e->synced <= 0 || (tm = localtime(&when)) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", tm) == 0)
		return "never";
	return text;
}

/* SIGUSR1: where the run is. */
void
progress_status(struct engine *e)
{
	unsigned long long	 copied = 0, octets = 0;
	unsigned int		 n = 0, dirty = 0;
	struct mbox		*mb;
	char			 line[LOG_TEXT_MAX], what[NAME_TEXT_MAX + 128];
	int			 side;

	FOREACH_MBOX(mb, &e->list) {
		n++;
		dirty += mbox_usable(mb);
		for (side = 0; side < SIDES; side++) {
			copied += mb->s[side].sum.copied +
			    mb->s[side].w->did.ncopied;
			octets += mb->s[side].sum.octets +
		    mb->s[side].w->did.octets;
		}
	}
	/* Asked for: neither a repetition nor noise. */
	if (e->watch.on)
		snprintf(line, sizeof(line), "status: watching %u mailboxes, "
		    "last in sync %s; the next look is in %lld s", n,
		    progress_synced(e), (long long)(e->watch.next_look - end_now()) / 1000);
	else
		snprintf(line, sizeof(line), "status: %u mailboxes, %u to be "
		    "synchronised, %llu messages (%llu octets) copied so far; "
		    "last in sync %s", n, dirty, copied, octets,
		    progress_synced(e));
	if (!e->watch.on && waits_for(e, what, sizeof(what))) {
		strlcat(line, "; waiting for ", sizeof(line));
		strlcat(line, what, sizeof(line));
	}
	progress_say(e, LOG_LV_WARN, line);
}

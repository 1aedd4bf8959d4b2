/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the supervisor waits for: after 3 seconds a line on the terminal, which
 * goes when the waiting ends, and at any time an answer to SIGUSR1.  sup_poll()
 * calls it; getaddrinfo(3) does not, so signal handlers write what was made
 * ready for them.
 */
#include <signal.h>
#include <stdio.h>
#include <termios.h>

#include "imapsync.h"
#include "say.h"
#include "show.h"

#define SHOW_S		3	/* seconds until the line is there */
#define RETRY_MS	1000	/* somebody is asked for a password: later */
#define TEXT_LEN	300
#define COLUMNS_MIN	20	/* of a terminal */
#define CLEAR		"\r\033[K"

static struct {
	int			 on;
	int			 flags;
	int64_t			 due;		/* when it is shown */
	char			 text[TEXT_LEN];
	char			 line[TEXT_LEN + 16];	/* for the terminal */
	int			 fresh;		/* in a line of its own */
	char			 status[TEXT_LEN + 32];	/* for SIGUSR1 */
	volatile sig_atomic_t	 shown;
	volatile sig_atomic_t	 asked;		/* by a signal */
} await;

static uint16_t	 await_columns;
static int	 await_logfd = -1;

void
await_init(uint16_t columns, int logfd)
{
	await_columns = columns >= COLUMNS_MIN ? columns : 0;
	await_logfd = logfd;
}

/* ---- the line ---- */

void
await_clear(void)
{
	if (await.shown)
		say_write(STDERR_FILENO, CLEAR, strlen(CLEAR));
	await.shown = 0;
}

static void
await_draw(void)
{
	if (await.fresh)
		say_write(STDERR_FILENO, "\n", 1);
	await.fresh = 0;
	say_write(STDERR_FILENO, await.line, strlen(await.line));
	await.shown = 1;
}

/* Does somebody type a password? */
static int
await_secret(void)
{
	struct termios	 t;

	return (await.flags & AWAIT_ASKS) &&
	    tcgetattr(STDERR_FILENO, &t) == 0 && (t.c_lflag & ECHO) == 0;
}

static void	 await_format(const char *, va_list)
		    __attribute__((__format__(printf, 1, 0)));

static void
await_format(const char *fmt, va_list ap)
{
	char	 text[TEXT_LEN];

	vsnprintf(text, sizeof(text), fmt, ap);
	show_text(await.text, text, sizeof(await.text));
	strlcpy(text, await.text, sizeof(text));
	snprintf(await.line, sizeof(await.line), CLEAR "%s",
	    show_cut(text, await_columns > 0 ? await_columns - 1 : 0));
	snprintf(await.status, sizeof(await.status), "%sstatus: %s\n",
	    await_columns > 0 ? CLEAR : "", await.text);
}

void
await_begin(int flags, const char *fmt, ...)
{
	va_list	 ap;

	await_end();
	await.on = 1;
	await.flags = flags;
	/* The line in which a command has asked its question stays. */
	await.fresh = (flags & AWAIT_ASKS) != 0;
	await.due = sup_now() + SHOW_S * 1000;
	va_start(ap, fmt);
	await_format(fmt, ap);
	va_end(ap);
}

void
await_text(const char *fmt, ...)
{
	char	 old[TEXT_LEN];
	va_list	 ap;

	strlcpy(old, await.text, sizeof(old));
	va_start(ap, fmt);
	await_format(fmt, ap);
	va_end(ap);
	if (await.shown && strcmp(old, await.text) != 0)
		await_draw();
}

void
await_end(void)
{
	await_clear();
	await.on = 0;
}

/* ---- while sup_poll() waits ---- */

int64_t
await_due(int64_t ms)
{
	int64_t	 left;

	if (!await.on || await.shown || await_columns == 0)
		return ms;
	if ((left = await.due - sup_now()) < 0)
		left = 0;
	return ms < 0 || left < ms ? left : ms;
}

void
await_turn(void)
{
	if (!await.on || await.shown || await_columns == 0 ||
	    sup_now() < await.due)
		return;
	if (await_secret())
		await.due = sup_now() + RETRY_MS;
	else
		await_draw();
}

int
await_status(void)
{
	if (!await.on || (await.flags & AWAIT_TOLD))
		return 0;
	log_warnx("status: %s", await.text);
	return 1;
}

/* ---- while a function of the library waits ---- */

static void
await_handler(int sig)
{
	if (sig == SIGALRM) {
		await_draw();
		return;
	}
	await.asked = 1;
	say_write(STDERR_FILENO, await.status, strlen(await.status));
	if (await.shown)
		await_draw();
}

void
await_block(int on)
{
	static const int	 signals[] = { SIGALRM, SIGUSR1,
				    COMPAT_SIGINFO };
	static struct sigaction	 saved[nitems(signals)];
	static sigset_t		 mask;
	struct sigaction	 sa;
	char			 text[TEXT_LEN + 16];
	sigset_t		 set;
	size_t			 i;

	if (!on) {
		alarm(0);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		for (i = nitems(signals); i-- > 0; )
			sigaction(signals[i], &saved[i], NULL);
		/* Standard error has it already. */
		snprintf(text, sizeof(text), "status: %s", await.text);
		if (await.asked) {
			say_print(await_logfd, 0, LOG_LV_WARN, text);
			say_syslog(LOG_LV_WARN, text);
		}
		await.asked = 0;
		return;
	}
	sigemptyset(&set);
	for (i = 0; i < nitems(signals); i++)
		sigaddset(&set, signals[i]);
	memset(&sa, 0, sizeof(sa));
	sa.sa_mask = set;
	sa.sa_flags = SA_RESTART;
	sa.sa_handler = await_handler;
	for (i = 0; i < nitems(signals); i++) {
		sigaction(signals[i], NULL, &saved[i]);
		if (saved[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &sa, NULL);
	}
	sigprocmask(SIG_UNBLOCK, &set, &mask);
	if (await_columns > 0)
		alarm(SHOW_S);
}

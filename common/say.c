/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * log.h has names that begin with LOG_ as well, but none of syslog(3)'s.
 */
#include <stdio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "say.h"
#include "proto.h"
#include "show.h"

#define SAFE_SIZE	((LOG_TEXT_MAX + NAME_MAX_LEN) * 4)

static int	 syslog_on;
static int	 say_times;
static int	 say_colours;

void
say_write(int fd, const char *s, size_t len)
{
	ssize_t	 n;

	while (len > 0 && (n = write(fd, s, len)) > 0) {
		s += n;
		len -= n;
	}
}

void
say_terminal(int times)
{
	const char	*term = getenv("TERM"), *no = getenv("NO_COLOR");

	say_times = times;
	say_colours = isatty(STDERR_FILENO) && term != NULL && *term != '\0' &&
	    strcmp(term, "dumb") != 0 && (no == NULL || *no == '\0');
}

/* The time as strftime(3) has it: how many octets. */
static size_t
say_time(char *dst, size_t size, const char *fmt)
{
	time_t		 now = time(NULL);
	struct tm	*tm;

	if ((tm = localtime(&now)) == NULL)
		return 0;
	return strftime(dst, size, fmt, tm);
}

static void
say_stderr(enum log_level level, const char *safe)
{
	static const char *const colours[] = { "", "", "\033[33m",
				    "\033[31m" };
	const char	*colour = say_colours ? colours[level] : "";
	char		 line[SAFE_SIZE + 64];
	size_t		 n = 0;

	if (say_times)
		n = say_time(line, sizeof(line), "%H:%M:%S ");
	snprintf(line + n, sizeof(line) - n, "%s%s%s\n", colour, safe,
	    *colour != '\0' ? "\033[m" : "");
	say_write(STDERR_FILENO, line, strlen(line));
}

void
say_print(int logfd, int tostderr, enum log_level level, const char *text)
{
	char	 safe[SAFE_SIZE], line[SAFE_SIZE + 64];
	size_t	 n;

	show_text(safe, text, sizeof(safe));
	if (tostderr)
		say_stderr(level, safe);
	if (logfd == -1)
		return;
	n = say_time(line, sizeof(line), "%Y-%m-%d %H:%M:%S ");
	snprintf(line + n, sizeof(line) - n, "imapsync[%d]: %s\n",
	    (int)getpid(), safe);
	say_write(logfd, line, strlen(line));
}

void
say_vout(const char *fmt, va_list ap)
{
	char	 text[LOG_TEXT_MAX], safe[LOG_TEXT_MAX * 4];

	vsnprintf(text, sizeof(text), fmt, ap);
	show_text(safe, text, sizeof(safe));
	dprintf(STDOUT_FILENO, "%s\n", safe);
}

void
say_out(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	say_vout(fmt, ap);
	va_end(ap);
}

void
say_open_syslog(void)
{
	openlog("imapsync", LOG_PID | LOG_NDELAY, LOG_MAIL);
	syslog_on = 1;
}

void
say_syslog(enum log_level level, const char *text)
{
	static const int	 priority[] = { LOG_DEBUG, LOG_INFO,
				    LOG_WARNING, LOG_ERR };
	char			 safe[SAFE_SIZE];

	if (!syslog_on || level == LOG_LV_DEBUG)
		return;
	show_text(safe, text, sizeof(safe));
	syslog(priority[level], "%s", safe);
}

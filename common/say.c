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
say_print(int logfd, int tostderr, const char *text)
{
	char		 safe[SAFE_SIZE], line[SAFE_SIZE + 64];
	struct tm	*tm;
	time_t		 now = time(NULL);
	size_t		 n = 0;

	show_text(safe, text, sizeof(safe) - 1);
	strlcat(safe, "\n", sizeof(safe));
	if (tostderr)
		say_write(STDERR_FILENO, safe, strlen(safe));
	if (logfd == -1)
		return;
	if ((tm = localtime(&now)) != NULL)
		n = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S ", tm);
	snprintf(line + n, sizeof(line) - n, "imapsync[%d]: %s",
	    (int)getpid(), safe);
	say_write(logfd, line, strlen(line));
}

void
say_vout(const char *fmt, va_list ap)
{
	char	 text[LOG_TEXT_MAX], safe[LOG_TEXT_MAX * 4];

	vsnprintf(text, sizeof(text), fmt, ap);
	make_safe(safe, sizeof(safe), text);
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

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The system's log, for the supervisor and the engine.  log.h has names that
 * begin with LOG_ as well, but none of syslog(3)'s.
 */
#include <syslog.h>
#include <vis.h>

#include "imapsync.h"

static int	 logsys_on;

void
logsys_open(void)
{
	openlog("imapsync", LOG_PID | LOG_NDELAY, LOG_MAIL);
	logsys_on = 1;
}

void
logsys_print(enum log_level level, const char *text)
{
	static const int	 priority[] = { LOG_DEBUG, LOG_INFO,
				    LOG_WARNING, LOG_ERR };
	char			 safe[(LOG_TEXT_MAX + NAME_MAX_LEN) * 4];

	if (!logsys_on || level == LOG_LV_DEBUG)
		return;
	strnvis(safe, text, sizeof(safe),
	    VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOSLASH);
	syslog(priority[level], "%s", safe);
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Where text leaves the program: standard error, the log file, syslog(3).  The
 * supervisor and the engine use it; a worker's words go through the engine.
 * Each text goes through show_text() here and written as one line, since what it holds may be
 * a server's choice.
 */
#ifndef SAY_H
#define SAY_H

#include <stdarg.h>

#include "log.h"

/*
 * Write octets as they are, as far as they can be written: nowhere is left to
 * say that a message can't be.
 */
void		 say_write(int fd, const char *, size_t);
/*
 * One line, to standard error if "tostderr", and with time and pid to the log
 * (-1: none).
 */
void		 say_print(int logfd, int tostderr, enum log_level,
		    const char *text);
/* One line of a result, to standard output. */
void		 say_out(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
void		 say_vout(const char *, va_list)
		    __attribute__((__format__(printf, 1, 0)));
/*
 * What else lines on standard error have: the time of day in front if "times",
 * and colours for warnings and errors if it is a terminal that has them and
 * NO_COLOR is not set.  Before the sandbox.
 */
void		 say_terminal(int times);
/*
 * Connect to the system's log, so that nothing has to be opened later; before
 * the sandbox.  Without it say_syslog() does nothing.
 */
void		 say_open_syslog(void);
/* Not what LOG_LV_DEBUG has: others may read the system's log. */
void		 say_syslog(enum log_level, const char *text);

#endif /* SAY_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Messages.  A process sets one sink at its start; the supervisor and the
 * engine print, the workers send LOG and FATAL to the engine (proto.h).
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>

#include "compat.h"

enum log_level {
	LOG_LV_DEBUG = 0,	/* traffic and decisions; only with --debug */
	LOG_LV_INFO,		/* what was done: not with --quiet */
	LOG_LV_WARN,		/* what the user should know */
	LOG_LV_ERROR,		/* what ended or stopped something */
	LOG_LV_MAX = LOG_LV_ERROR
};

#define LOG_TEXT_MAX	2048	/* octets of one message, NUL included */

/* Exit statuses (imapsync(1), EXIT STATUS). */
#define EX_SYNC_OK	0
#define EX_SYNC_ERROR	1
#define EX_SYNC_USAGE	2
#define EX_SYNC_PARTIAL	3
#define EX_SYNC_TEMP	75
/*
 * Between our processes only: EX_SYNC_ERROR for the user, but --watch tries it
 * again also where its first session ends so, since it may pass by itself (a
 * certificate that is not valid yet, a token that has expired).
 */
#define EX_SYNC_LATER	69
/*
 * The same: the supervisor has ended the engine, or that has left a worker, which
 * said nothing more.
 */
#define EX_SYNC_CUT	70
/* --check: the certificate of that side, before anything else is said. */
#define EX_SYNC_CERT	71	/* + enum side */
/* EX_SYNC_TEMP for the user; a server is too busy to let us in (FAULT_LIMIT). */
#define EX_SYNC_LIMIT	73

/*
 * The sink of this process.  "status" is -1 for a message, else the exit
 * status of a fatal one (the sink then sees to it that the text gets out;
 * log.c calls _exit(status) when it returns).  "mailbox" may be NULL.
 */
typedef void	(*log_sink)(int status, enum log_level, const char *mailbox,
		    const char *text);

void		 log_init(log_sink, int debug);
int		 log_debugging(void);

void		 log_debug(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
void		 log_info(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
/* As warn(3) and warnx(3): the first adds ": strerror(errno)". */
void		 log_warn(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
void		 log_warnx(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
/* A message about a mailbox (the server's spelling or the neutral name). */
void		 log_mbox(enum log_level, const char *mailbox, const char *, ...)
		    __attribute__((__format__(printf, 3, 4)));

/*
 * End this process.  fatal() adds strerror(errno), or is "out of memory" with
 * a NULL format; both exit 1.  fatal_ex() takes the exit status.
 */
__dead void	 fatal(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
__dead void	 fatalx(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
__dead void	 fatal_ex(int status, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));

/*
 * Make untrusted text fit for a terminal and a log: strnvis(3) with
 * VIS_CSTYLE|VIS_NL|VIS_TAB, always NUL-terminated, cut at "size".
 * Returns dst.
 */
char		*log_vis(char *dst, const char *src, size_t size);
/*
 * The same by another rule: next() writes what stands for the next of *src, 8
 * octets at most, advances it, and returns how many.  An escape is never cut.
 * strnvis(3) is of no use for it: where dst is too small, libbsd's leaves it
 * empty and OpenBSD's cuts; and both know octets only.
 */
char		*log_escape(char *dst, const char *src, size_t size,
		    size_t (*next)(char *, const char **));

/* malloc(3) and kin that end the process where memory runs out. */
void		*xmalloc(size_t);
void		*xcalloc(size_t, size_t);
void		*xreallocarray(void *, size_t, size_t);
char		*xstrdup(const char *);
char		*xstrndup(const char *, size_t);

#endif /* LOG_H */

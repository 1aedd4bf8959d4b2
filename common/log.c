/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <errno.h>
#include <stdio.h>
#include <vis.h>

#include "log.h"

static void	 log_stderr(int, enum log_level, const char *, const char *);

static log_sink	 log_out = log_stderr;
static int	 log_isdebug;
static int	 log_dying;

/* The sink until log_init(). */
static void
log_stderr(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	char	 line[4 * LOG_TEXT_MAX], box[1024];

	(void)status;
	(void)level;
	log_vis(line, text, sizeof(line));
	if (mailbox != NULL)
		fprintf(stderr, "%s: %s: %s\n", getprogname(),
		    log_vis(box, mailbox, sizeof(box)), line);
	else
		fprintf(stderr, "%s: %s\n", getprogname(), line);
}

void
log_init(log_sink sink, int debug)
{
	log_out = sink == NULL ? log_stderr : sink;
	log_isdebug = debug;
	log_dying = 0;
}

int
log_debugging(void)
{
	return log_isdebug;
}

/* Format, add ": " and the text of error unless it is -1, hand to the sink. */
static void
log_emit(int status, enum log_level level, const char *mailbox, int error,
    const char *fmt, va_list ap)
{
	char	 text[LOG_TEXT_MAX];
	size_t	 used;
	int	 saved = errno;

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		strlcpy(text, "a message that can't be formatted",
		    sizeof(text));
	if (error != -1) {
		used = strlen(text);
		snprintf(text + used, sizeof(text) - used, ": %s",
		    strerror(error));
	}
	log_out(status, level, mailbox, text);
	errno = saved;
}

void
log_debug(const char *fmt, ...)
{
	va_list	 ap;

	if (!log_isdebug)
		return;
	va_start(ap, fmt);
	log_emit(-1, LOG_LV_DEBUG, NULL, -1, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	log_emit(-1, LOG_LV_INFO, NULL, -1, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list	 ap;
	int	 error = errno;

	va_start(ap, fmt);
	log_emit(-1, LOG_LV_WARN, NULL, error, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	log_emit(-1, LOG_LV_WARN, NULL, -1, fmt, ap);
	va_end(ap);
}

void
log_mbox(enum log_level level, const char *mailbox, const char *fmt, ...)
{
	va_list	 ap;

	if (level == LOG_LV_DEBUG && !log_isdebug)
		return;
	va_start(ap, fmt);
	log_emit(-1, level, mailbox, -1, fmt, ap);
	va_end(ap);
}

/* A sink that fails fatally itself must not come back here for ever. */
static __dead void
log_die(int status, int error, const char *fmt, va_list ap)
{
	if (!log_dying) {
		log_dying = 1;
		log_emit(status, LOG_LV_ERROR, NULL, error, fmt, ap);
	}
	_exit(status);
}

void
fatal(const char *fmt, ...)
{
	va_list	 ap;
	int	 error = errno;

	va_start(ap, fmt);
	if (fmt == NULL)
		log_die(EX_SYNC_ERROR, -1, "out of memory", ap);
	log_die(EX_SYNC_ERROR, error, fmt, ap);
}

void
fatalx(const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	log_die(EX_SYNC_ERROR, -1, fmt, ap);
}

void
fatal_ex(int status, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	log_die(status, -1, fmt, ap);
}

char *
log_escape(char *dst, const char *src, size_t size,
    size_t (*next)(char *, const char **))
{
	char	 one[8];
	size_t	 n, used = 0;

	if (size == 0)
		return dst;
	while (*src != '\0') {
		n = next(one, &src);
		if (n >= size - used)
			break;
		memcpy(dst + used, one, n);
		used += n;
	}
	dst[used] = '\0';
	return dst;
}

static size_t
vis_octet(char *one, const char **src)
{
	const char	*s = (*src)++;

	vis(one, (unsigned char)s[0], VIS_CSTYLE | VIS_NL | VIS_TAB,
	    (unsigned char)s[1]);
	return strlen(one);
}

char *
log_vis(char *dst, const char *src, size_t size)
{
	return log_escape(dst, src, size, vis_octet);
}

void *
xmalloc(size_t n)
{
	void	*p;

	if ((p = malloc(n == 0 ? 1 : n)) == NULL)
		fatalx("out of memory");
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void	*p;

	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = calloc(n, size)) == NULL)
		fatalx("out of memory");
	return p;
}

void *
xreallocarray(void *old, size_t n, size_t size)
{
	void	*p;

	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = reallocarray(old, n, size)) == NULL)
		fatalx("out of memory");
	return p;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t max)
{
	char	*p;
	size_t	 n = strnlen(s, max);

	p = xmalloc(n + 1);
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A temporary directory, with keys and certificates that openssl(1) makes in
 * it, for the tests that need some.
 */
#ifndef CERTS_H
#define CERTS_H

#include <sys/wait.h>

#include <err.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char	 certs_dir[PATH_MAX];
static pid_t	 certs_owner;

static void run(const char *, ...)
    __attribute__((__format__(printf, 1, 2)));

/* Run a shell command in the directory; it must succeed. */
static void
run(const char *fmt, ...)
{
	va_list	 ap;
	char	 cmd[4096];
	int	 n;

	n = snprintf(cmd, sizeof(cmd), "cd %s && exec >>log 2>&1 && ",
	    certs_dir);
	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - n, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0) {
		printf("Bail out!  \"%s\" fails\n", cmd);
		fflush(stdout);
		_exit(1);
	}
}

static void
certs_remove(void)
{
	if (certs_dir[0] != '\0' && getpid() == certs_owner)
		run("rm -rf %s", certs_dir);
}

/* Make the directory, which goes when the test ends.  Skips without openssl. */
static void
certs_init(void)
{
	const char	*tmp = getenv("TMPDIR");

	if (system("openssl version >/dev/null 2>&1") != 0) {
		printf("1..0 # SKIP openssl(1) is not installed\n");
		exit(0);
	}
	snprintf(certs_dir, sizeof(certs_dir), "%s/imapsync-certs.XXXXXXXX",
	    tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(certs_dir) == NULL)
		err(1, "%s", certs_dir);
	certs_owner = getpid();
	atexit(certs_remove);
}

static FILE *
certs_open(const char *name)
{
	char	 path[PATH_MAX + 64];
	FILE	*f;

	snprintf(path, sizeof(path), "%s/%s", certs_dir, name);
	if ((f = fopen(path, "re")) == NULL)
		err(1, "%s", path);
	return f;
}

/* A file's octets, NUL-terminated; the caller frees them. */
static uint8_t *
certs_read(const char *name, size_t *len)
{
	FILE	*f = certs_open(name);
	uint8_t	*p;

	if ((p = calloc(1, 65536)) == NULL)
		err(1, NULL);
	*len = fread(p, 1, 65535, f);
	fclose(f);
	return p;
}

#endif /* CERTS_H */

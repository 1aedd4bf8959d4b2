/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * unit-filter ERRNO FILE COMMAND [ARGUMENT ...]: run a command as systemd does
 * with SystemCallFilter= and NoNewPrivileges=: the system calls whose names are
 * in FILE, a line each, are allowed; all others fail with ERRNO, a number.
 * (systemd lets those that it has never heard of fail with ENOSYS instead,
 * which is kinder.)  Exit status 125: the filter could not be had.
 */
#include <sys/ptrace.h>

#include <err.h>
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EX_FILTER	125

static void
allow(scmp_filter_ctx ctx, const char *file)
{
	char	 name[128];
	FILE	*f;
	int	 nr, n = 0, ret;

	if ((f = fopen(file, "r")) == NULL)
		err(EX_FILTER, "%s", file);
	while (fgets(name, sizeof(name), f) != NULL) {
		name[strcspn(name, "\n")] = '\0';
		/* Other architectures have other system calls. */
		nr = seccomp_syscall_resolve_name(name);
		if (nr == __NR_SCMP_ERROR)
			continue;
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (ret != 0)
			errx(EX_FILTER, "%s: %s", name, strerror(-ret));
		n++;
	}
	fclose(f);
	if (n == 0)
		errx(EX_FILTER, "%s: no system call in it", file);
}

int
main(int argc, char **argv)
{
	scmp_filter_ctx	 ctx;
	int		 error, ret;

	if (argc < 4 || (error = atoi(argv[1])) <= 0)
		errx(EX_FILTER, "usage: unit-filter errno file command ...");
	ctx = seccomp_init(SCMP_ACT_ERRNO((unsigned int)error));
	if (ctx == NULL)
		errx(EX_FILTER, "no seccomp");
	allow(ctx, argv[2]);
	/* This sets PR_SET_NO_NEW_PRIVS as well. */
	if ((ret = seccomp_load(ctx)) != 0)
		errx(EX_FILTER, "seccomp: %s", strerror(-ret));
	seccomp_release(ctx);

	/* Without a filter, or with ptrace(2) in it, this says ESRCH. */
	if (ptrace(PTRACE_DETACH, getpid(), NULL, NULL) != -1 ||
	    errno != error)
		errx(EX_FILTER, "the filter is not in force");
	execv(argv[3], argv + 3);
	err(EX_FILTER, "%s", argv[3]);
}

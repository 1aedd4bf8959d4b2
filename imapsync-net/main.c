/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker: it speaks to one mail server, and to nothing else.  What
 * it is and may do: imapsync-net(8).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "net.h"
#include "sandbox.h"

static struct net	 worker;

static void
ignore_signals(void)
{
	static const int	 sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE,
				    SIGUSR1, SIGUSR2 };
	unsigned		 i;

	for (i = 0; i < nitems(sigs); i++)
		if (signal(sigs[i], SIG_IGN) == SIG_ERR)
			fatal("signal");
}

int
main(int argc, char *argv[], char *envp[])
{
	compat_setproctitle_init(argc, argv, envp);
	(void)argc;
	(void)envp;
	sandbox_early();
	if (fcntl(FD_CHANNEL, F_GETFD) == -1 ||
	    fcntl(FD_LIFELINE, F_GETFD) == -1) {
		fprintf(stderr, "imapsync-net: started by imapsync(1) only\n");
		return EX_SYNC_USAGE;
	}
	ignore_signals();
	net_init(&worker, FD_CHANNEL);
	loop_run(&worker);
}

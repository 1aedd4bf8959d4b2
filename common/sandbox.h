/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * One function a role, one file an operating system.  Each is called once, when
 * the process has all descriptors that it will ever need, and before it reads
 * the first octet of what it does not trust.  Failure is fatal: a process that
 * can't be locked does not run.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "compat.h"

/*
 * For every process that holds a secret or reads from a server: no core dumps,
 * not to be traced (Linux: PR_SET_DUMPABLE), umask 077.  First in main().
 */
void		 sandbox_early(void);
/* A network worker: the descriptors that it has, and no others. */
void		 sandbox_net(void);
/* The store: files in the one directory "dir" (absolute), no sockets. */
void		 sandbox_store(const char *dir);
/*
 * The engine: the descriptors that it has, and no others, but with
 *	SYSLOG		a syslog(3) that was opened before (LOG_NDELAY); if the log's
 *			daemon goes away later the messages are lost
 *	LOGFILE		those that the supervisor sends it by FD_CHANNEL
 */
#define SANDBOX_SYSLOG	0x01
#define SANDBOX_LOGFILE	0x02
void		 sandbox_engine(int with);
/*
 * For the engine, before that: a descriptor that can be read from when the clock
 * on the wall was set or the machine was suspended, clear of it when it was read;
 * -1 where there is none.
 */
int		 sandbox_clock(void);
/*
 * The supervisor, once the configuration is read: OpenBSD's pledge; nothing on
 * Linux, where a tunnel's command would inherit it.  The log (or NULL) may be
 * opened again.
 */
void		 sandbox_supervisor(const char *logfile);
/* The same for --init, which makes files where the user wants them. */
void		 sandbox_init(void);
/*
 * A network worker that is locked: close a connection, which had SO_LINGER with 0
 * so that a death drops what is unsent, such that all arrives that was written.
 * Its server has been told to close, too; waits that long for it at most (ms),
 * where the lock leaves nothing else.
 */
void		 sandbox_close(int fd, int ms);
/* What has ended a process, if a lock ends one by that signal, else NULL. */
const char	*sandbox_death(int signal);
/*
 * What this kernel gives, for --debug and --check: one line, static storage,
 * e.g. "seccomp, Landlock ABI 7".
 */
const char	*sandbox_describe(void);

#endif /* SANDBOX_H */

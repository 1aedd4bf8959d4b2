/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The only place, beside sandbox-*.c, where platforms differ.  Linux is built
 * with libbsd's overlay, so that the includes are those of OpenBSD.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef __dead
#define __dead		__attribute__((__noreturn__))
#endif

#ifdef __OpenBSD__
#define compat_setproctitle_init(argc, argv, envp)	do { } while (0)
#else
#define compat_setproctitle_init(argc, argv, envp)	\
	setproctitle_init((argc), (argv), (envp))
#endif

#ifndef nitems
#define nitems(a)	(sizeof((a)) / sizeof((a)[0]))
#endif

/*
 * Ask for a signal when our parent dies, where the system has that; "parent" is
 * its pid as it was before fork(2): it may be dead already.
 */
#ifdef __linux__
#include <sys/prctl.h>
#include <signal.h>
#define compat_pdeathsig(sig, parent)	do {				\
	prctl(PR_SET_PDEATHSIG, (unsigned long)(sig), 0UL, 0UL, 0UL);	\
	if (getppid() != (parent))					\
		raise(sig);						\
} while (0)
#else
#define compat_pdeathsig(sig, parent)	((void)(parent))
#endif

/*
 * Find a peer that is gone: seconds of silence before the first probe, between
 * probes, how many of them, and how long data may stay unacknowledged.
 * OpenBSD has these for the whole system only (sysctl net.inet.tcp).
 */
#ifdef __linux__
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#define compat_keepalive(fd, idle, intvl, cnt, silence)	do {		\
	int	 idle_ = (idle), intvl_ = (intvl), cnt_ = (cnt);	\
	unsigned int ms_ = (unsigned int)(silence) * 1000;		\
									\
	setsockopt((fd), IPPROTO_TCP, TCP_KEEPIDLE, &idle_,		\
	    sizeof(idle_));						\
	setsockopt((fd), IPPROTO_TCP, TCP_KEEPINTVL, &intvl_,		\
	    sizeof(intvl_));						\
	setsockopt((fd), IPPROTO_TCP, TCP_KEEPCNT, &cnt_, sizeof(cnt_));	\
	setsockopt((fd), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms_,		\
	    sizeof(ms_));						\
} while (0)
#else
#define compat_keepalive(fd, idle, intvl, cnt, silence)	((void)(fd))
#endif

/*
 * A socket is full when so many octets wait in it that were not sent yet; those
 * that were and are not acknowledged don't count.  Else a slow line is noticed
 * only once the socket's buffer is full, which may be megabytes.  (Linux only:
 * pledge(2) ends who sets an option of TCP that it does not know.)
 */
#if defined(__linux__) && defined(TCP_NOTSENT_LOWAT)
#define compat_unsent(fd, octets)	do {				\
	int	 octets_ = (octets);					\
									\
	setsockopt((fd), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &octets_,	\
	    sizeof(octets_));						\
} while (0)
#else
#define compat_unsent(fd, octets)	((void)(fd))
#endif

/* What ^T sends, where there is such a thing; else another name for SIGUSR1. */
#include <signal.h>
#ifdef SIGINFO
#define COMPAT_SIGINFO	SIGINFO
#else
#define COMPAT_SIGINFO	SIGUSR1
#endif

/* Where systems keep the certificates of authorities, in the order tried. */
#define COMPAT_CA_FILES							\
	"/etc/ssl/cert.pem",			/* OpenBSD, Alpine */	\
	"/etc/ssl/certs/ca-certificates.crt",	/* Debian, Arch */	\
	"/etc/pki/tls/certs/ca-bundle.crt",	/* Fedora */		\
	"/etc/ssl/ca-bundle.pem"		/* SUSE */

#endif /* COMPAT_H */

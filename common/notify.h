/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a service's manager is told (sd_notify(3), systemd.service(5)): datagrams of
 * lines to the socket that NOTIFY_SOCKET names.  The supervisor connects to it, and
 * the engine gets that descriptor, since it knows what there is to tell; what can't
 * be told at once is lost.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

#include "compat.h"

/*
 * Connect, if there is a manager, and take what concerns it out of the environment,
 * which commands of the user's would inherit.  The descriptor, or -1.
 */
int		 notify_open(void);
/* The descriptor is another process' that notify_open(): with its interval. */
void		 notify_attach(int fd, uint32_t watchdog_ms);
/* How often the manager wants to hear of us; 0: never. */
uint32_t	 notify_watchdog(void);
/* Tell it; of lines, all but the last with their ends. */
void		 notify_say(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
/* We were told to look at once: until READY=1 the manager waits for that. */
void		 notify_reloading(void);
/* We are alive, if it is time to say so. */
void		 notify_alive(void);
/* How long we may wait for that, of so many ms (-1: for ever). */
int64_t		 notify_due(int64_t ms);

#endif /* NOTIFY_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The program imapsync has two roles: started by the user it is the supervisor;
 * the supervisor executes it again, under another name (argv[0]), as the engine,
 * whose memory so never held a secret.  This is all that the one knows of the
 * other but for the messages of proto.h.
 */
#ifndef ROLES_H
#define ROLES_H

#include "compat.h"

#define ENGINE_ARGV0		"imapsync-engine"

/* The engine, from its start to its end; FD_CHANNEL and so on are open. */
__dead void	 engine_main(void);

#endif /* ROLES_H */

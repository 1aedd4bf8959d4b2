/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What every JSON object of --json begins with (RFC 8259; imapsync(1) documents
 * the members, etc/imapsync.schema.json describes them).  The engine prints it,
 * and where there is none any more, or not yet, the supervisor.
 */
#ifndef JSON_H
#define JSON_H

#include <stdint.h>

#include "buf.h"

/* Why a run has failed: "kind" of the member "error". */
enum fault {
	FAULT_NONE = 0,
	FAULT_USAGE,		/* the command line */
	FAULT_CONFIGURATION,	/* or a file that it names */
	FAULT_PASSWORD,		/* password-command */
	FAULT_CONNECT,		/* a name, a server, proxy or tunnel */
	FAULT_TLS,		/* no version in common ... */
	FAULT_CERTIFICATE,	/* it is not trusted, not valid, another one */
	FAULT_LOGIN,
	FAULT_SERVER,		/* it lacks or says what can't be worked with */
	FAULT_LOST,		/* the connection */
	FAULT_LIMIT,		/* the server has too much to do, or lets too
				   few in: another time */
	FAULT_STATE,		/* the file of the state */
	FAULT_BUSY,		/* another run has it */
	FAULT_LATE,		/* --status: --patience is over */
	FAULT_INTERRUPTED,	/* a signal */
	FAULT_CRASHED,		/* a process of ours */
	FAULT_FAILED,		/* all else */
	FAULT_MAX = FAULT_FAILED
};

struct json_head {
	int		 status;	/* the exit status, for the user */
	int		 command;	/* enum run_command */
	int		 dryrun;
	int64_t		 began;		/* seconds since 1970 */
	int64_t		 ms;		/* how long it took */
	int64_t		 synced;	/* the last good run; 0: none, not known */
	enum fault	 fault;
	int		 side;		/* enum side, or -1: of neither */
	const char	*text;		/* of the fault */
};

/*
 * A string, in UTF-8.  Names are octets of a server's choosing: what is no UTF-8,
 * or not fit to be shown, becomes \\uXXXX, so that the result is always valid.
 */
void		 json_str(struct buf *, const char *);
/* The same, or null for NULL and for "". */
void		 json_maybe(struct buf *, const char *);
/* Seconds since 1970 in UTC, "2026-11-26T23:04:58Z"; null if not above 0. */
void		 json_time(struct buf *, int64_t);
const char	*json_bool(int);
/* "{" and the members that all objects have. */
void		 json_head(struct buf *, const struct json_head *);
/* "}" and the line's end; print it and free the buffer. */
void		 json_end(struct buf *);

#endif /* JSON_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Bounds of what a server chooses.  Together they keep every process below
 * 64 MB, whatever a server sends, and one mailbox's excess from costing the
 * others; MEMORY_MAX is the last line.  What is bounded by the form of a message
 * between our processes is in proto.h: names, flags, words.
 *
 * Behind each: what happens to what is more.
 */
#ifndef BOUNDS_H
#define BOUNDS_H

/* ---- a response (imapsync-net) ---- */

/*
 * Octets of the text of a response.  At the first one what is read piece by
 * piece (UIDs of VANISHED, ESEARCH, SEARCH: of any length) goes on, and what is
 * of no use is dropped; a FETCH with 4 KB of flags, a LIST with the longest name
 * or a CAPABILITY has room.  At the second what is left is dropped, and is as
 * what can't be read (design.md section 4).
 */
#define LEX_SOFT	(32 * 1024)
#define LEX_HARD	(64 * 1024)
/* Octets of a line that is dropped: the session ends. */
#define LEX_DROPPED	(64 * 1024 * 1024)
/*
 * Octets of a literal that is kept in the text, and how many there may be in a
 * response: the rest is dropped.
 */
#define LEX_INLINE	(16 * 1024)
#define LEX_LITERALS	64

/* ---- names ---- */

/*
 * Mailboxes of a side, and octets of all their names together: the session ends.
 * Nobody has so many; each costs half a kilobyte in the engine.
 */
#define NAMES_MAX	100000
#define NAMES_OCTETS	(4 * 1024 * 1024)
/* Answers to one LIST: LIST and STATUS of each, and as many of no use. */
#define LIST_ANSWERS	(4 * NAMES_MAX)
/* Mailboxes that are worked at together; the others follow in the same run. */
#define ROUND_MAX	500
/* Pairs of mailbox-map: each name of a list is compared with all of them. */
#define MAP_MAX		100

/* ---- messages ---- */

/*
 * Messages that changed or vanished, of all mailboxes of a round together; the
 * others follow in the next run.  Each costs up to 200 octets in the engine.
 */
#define CHANGES_MAX	150000
/*
 * Ranges of UIDs that servers tell of the mailboxes of a round, together: the
 * mailbox that goes beyond stops.  Each costs eight octets in each of a few sets.
 */
#define RANGES_MAX	500000
/*
 * Messages that were told of without being asked for, and of which no more is
 * remembered: what a session told is then no more taken for ours alone.
 */
#define UNASKED_MAX	10000
/* Messages that the state holds as refused: further ones stay new. */
#define REFUSALS_MAX	20000
/* New keywords of a mailbox in a run: FLAGS_NEW_MAX in flags.h. */

/* ---- words ---- */

/* Lines of one kind that a worker says in a session: then they are counted. */
#define ONCE_MOST	20
/* Warnings of a pass: then they are counted. */
#define LINES_MAX	500

/* ---- the last line ---- */

/*
 * Octets that a process can have in all (RLIMIT_DATA: what it can write): what
 * is beyond ends it, with words.  The store sorts what is to be paired, of both
 * sides; it sees no octet of a server.
 */
#define MEMORY_MAX	(128 * 1024 * 1024)
#define STORE_MEMORY_MAX (1024 * 1024 * 1024)
/* Descriptors of a process that has all that it needs: RLIMIT_NOFILE. */
#define FILES_MAX	32

#endif /* BOUNDS_H */

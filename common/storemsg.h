/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the store is told and asked: a part of proto.h, which includes it.
 */
#ifndef STOREMSG_H
#define STOREMSG_H

/* M_STORE_SETUP: first message, from the supervisor. */
struct m_store_setup {
	uint32_t	 version;
	uint8_t		 dryrun;	/* nothing may reach the disk */
	uint8_t		 look;		/* --status: and no lock is taken; LOAD
					   and CLOSE are all that follows */
	uint32_t	 patience;	/* seconds; 0: never late */
	const char	*path;		/* absolute, of the state file */
	const char	*identity[SIDES]; /* "user@host" and the reference */
	const char	*import;	/* interimap's database, absolute; "" none */
};

/*
 * What changes the state (all but LOAD, INFO, ROWS, SAMPLE, DIFF, COMMIT) has
 * no DONE of its own: it joins the transaction that the next COMMIT ends, and
 * any failure is FATAL.  COMMIT's DONE says that it is on disk.
 */
struct m_store_load {
	uint8_t		 unused;	/* SERVER*, MBOX*, MARK*, REFUSAL*,
					   STOPPED*, DONE */
};
/*
 * IMPORT: what the database named in SETUP holds: MBOX*, DONE.  In MBOX "mailbox"
 * is its number there, "name" has that server's delimiter where the version is 0,
 * "messages" is the highest UID of a pair, and "adopt" and "lost" say nothing.
 */
struct m_store_import {
	uint8_t		 unused;
};
/*
 * TAKE: the pairs of a mailbox there become the rows of one here that has none,
 * without baseline, size and key.  From the first one on nothing can be committed,
 * and CLOSE commits nothing, until TAKEN says that all of it has been checked.
 */
struct m_store_take {
	uint32_t	 mailbox;
	uint32_t	 from;		/* its number there */
};
struct m_store_taken {
	uint8_t		 unused;
};
struct m_store_newbox {
	uint32_t	 mailbox;	/* id: the engine's, above all others */
	uint8_t		 adopt;
	const char	*name;		/* neutral */
	const char	*remote;	/* as M_ENGINE_MBOX has it */
	uint32_t	 use;		/* likewise */
};
struct m_store_subscribed {
	uint32_t	 mailbox;
	uint8_t		 subscribed;
};
/* Set or clear the adopt flag; "drop": also rows, marks, refusals, watermarks. */
struct m_store_adopt {
	uint32_t	 mailbox;
	uint8_t		 adopt;
	uint8_t		 drop;
};
struct m_store_forget {
	uint32_t	 mailbox;	/* the mailbox and all that is its */
};
/* The name of one mailbox, not of its children. */
struct m_store_rename {
	uint32_t	 mailbox;
	const char	*name;
	const char	*remote;	/* as in NEWBOX; "use" is none then */
};
struct m_store_info {
	uint32_t	 mailbox;	/* UIDS*, INFO, DONE */
};
/*
 * ROWS: those whose UID on that side is in the set, in UID order: ROW*, DONE.
 * HAVE: only which UIDs have one: UIDS*, DONE.
 */
struct m_store_rows {
	uint32_t	 mailbox;
	uint8_t		 side;
	struct uidset	 set;
};
/* "count" rows spread evenly over those not in the set (by side's UID). */
struct m_store_sample {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint32_t	 count;
	struct uidset	 set;
};
/* many */
struct m_store_add {
	uint32_t	 mailbox;
	uint32_t	 local;
	uint32_t	 remote;
	uint64_t	 size;
	uint64_t	 key;
	const char	*flags;		/* the baseline */
};
/* many: set a row's baseline */
struct m_store_base {
	uint32_t	 mailbox;
	uint32_t	 local;
	const char	*flags;
};
/* Drop the rows, and refusals of that side, in the set. */
/*
 * M_STORE_REBASE: of the rows with those UIDs on that side the baseline gets, or
 * loses, these flags.
 */
struct m_store_rebase {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint8_t		 add;
	const char	*flags;
	struct uidset	 set;
};
struct m_store_drop {
	uint32_t	 mailbox;
	uint8_t		 side;
	struct uidset	 set;
};
/*
 * As M_ENGINE_MARK; "first" replaces a mark of that mailbox and target, but the
 * tries stay (UNMARK in front of it makes them 0).
 */
struct m_store_mark {
	uint32_t	 mailbox;
	uint8_t		 target;
	uint8_t		 first;
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	const char	*mailboxid;
	struct uidset	 set;
};
/*
 * M_STORE_LOST: so many sessions in a row ended under this mailbox (0: forget
 * that), the last one on "side", when it was asked about message "uid" (0: about
 * none).  "next": not to be tried before (seconds since 1970).
 */
struct m_store_lost {
	uint32_t	 mailbox;
	uint32_t	 count;
	uint8_t		 side;
	uint32_t	 uid;
	int64_t		 next;
};
/* The session ended in EOF or BYE under an APPEND of this mark: tries + 1. */
struct m_store_markfail {
	uint32_t	 mailbox;
	uint8_t		 target;
};
struct m_store_unmark {
	uint32_t	 mailbox;
	uint8_t		 target;
};
struct m_store_refuse {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint32_t	 uid;
	uint8_t		 code;
	uint32_t	 attempts;
	uint64_t	 size;
	uint64_t	 limit;
	int64_t		 next;
	const char	*text;
};
struct m_store_unrefuse {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint32_t	 uid;
};
/*
 * UIDs of a side that a rule leaves out (direction, propagate, max-size,
 * max-age): they have no row, are not new, and count as known.  DROP and ADD of
 * such a UID take it out of this set, as UNLEFT does.
 */
struct m_store_left {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint8_t		 alone;		/* they had a row: the other copy was
					   deleted, and never comes back */
	struct uidset	 set;
};
struct m_store_unleft {
	uint32_t	 mailbox;
	uint8_t		 side;
	struct uidset	 set;
};
struct m_store_water {
	uint32_t	 mailbox;
	uint8_t		 side;
	struct m_water	 water;
};
/* many: what a side has, for PAIR and DIFF; goes to a table of its own. */
struct m_store_seen {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint32_t	 uid;
	uint64_t	 size;
	uint64_t	 key;
	int64_t		 date;
	uint8_t		 msgid;
	const char	*flags;
	uint8_t		 brief;		/* the size alone: what else was seen of
					   it stays */
};
/*
 * Pair what was SEEN of both sides (design.md section 6), make the pairs rows
 * with the flags that both have as baseline, empty the tables.  Answers: PAIRED*
 * (pairs whose flags differ), UIDS* (what stays unpaired, each side), DONE with
 * the count.
 */
/*
 * PAIR_REPAIR: everything of both sides was SEEN.  First each row is compared:
 * one whose message is missing on a side, or whose two messages differ (keys
 * that are not 0), is told as ROW (gone: 1 local, 2 remote, 3 both, 4 they
 * differ) and dropped; one whose flags differ from the baseline on either side
 * is told as PAIRED, and its baseline stays; size and key are set from what was
 * seen.  Then as PAIR_ADOPT for what has no row.
 */
/*
 * PAIR_DOUBT: which rows need a look at their keys.  UIDS of both sides: rows
 * whose messages were both SEEN, with different sizes and not both with a key;
 * and, while no key was seen at all, PAIR_SAMPLE of all rows, spread evenly.  The
 * count is that of the rows whose keys differ.  Nothing is changed.
 * PAIR_IMPORT: rows that were taken over become whole, by what was SEEN: the
 * flags that both have are the baseline (PAIRED where they differ), size and key
 * are those of both.  A row whose message is missing on a side, or whose two
 * messages have other keys, or other sizes and no keys, is told as ROW and
 * dropped, as in PAIR_REPAIR.  UIDS: what has no row of what was SEEN.  The count
 * is that of the rows that stay.
 */
enum pair_mode { PAIR_ADOPT = 0, PAIR_RECOVER, PAIR_REPAIR, PAIR_DOUBT,
	PAIR_IMPORT, PAIR_LEARN };
#define PAIR_SAMPLE	200
struct m_store_pair {
	uint32_t	 mailbox;
	uint8_t		 mode;
};
/*
 * Compare what was SEEN of a side with the rows whose UID there is at most n:
 * ROW* for rows that are gone or whose flags are not the baseline, DONE; the
 * table of that side is emptied.
 */
struct m_store_diff {
	uint32_t	 mailbox;
	uint8_t		 side;
	uint32_t	 n;
};
/*
 * M_STORE_DELETED: so many messages were deleted as another server wanted; what
 * was so in the last 24 hours is the count of LOAD's DONE.  0: forget them all.
 */
struct m_store_deleted {
	uint32_t	 count;
};
/* What M_ENGINE_SERVER tells the next run. */
struct m_store_server {
	uint8_t		 side;
	uint8_t		 delimiter;
	uint8_t		 ask;
};
/*
 * M_STORE_STOPPED: a run has left that mailbox alone, for that reason; it may be
 * one that the state does not know.  UNSTOPPED: the last one has not.
 */
struct m_store_stopped {
	const char	*name;		/* neutral */
	const char	*text;
};
struct m_store_unstopped {
	const char	*name;
};
/* A good run; written with what else is to be committed, or once an hour. */
struct m_store_synced {
	uint8_t		 unused;
};
struct m_store_commit {
	uint8_t		 unused;
};
/* Commit, close, exit 0 (no DONE). */
struct m_store_close {
	uint8_t		 unused;
};

#endif /* STOREMSG_H */

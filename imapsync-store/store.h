/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * imapsync-store: the one process that can touch the state, an SQLite file.
 * main.c talks to the engine, file.c finds and locks the file, db.c keeps the
 * state, add.c adds messages to it, left.c what rules leave out, look.c reads it
 * while another process has it, runs.c keeps what is of a whole run, pair.c
 * compares what the servers have with it, import.c reads another program's.
 * Requests and answers are those of proto.h.
 *
 * No function here returns an error: whatever SQLite refuses rolls the open
 * transaction back and ends the process with a message that names the file and
 * says what to do.  The file then holds what the last COMMIT left.
 */
#ifndef STORE_H
#define STORE_H

#include <sqlite3.h>

#include "proto.h"

#define STORE_APPID	0x494d5359	/* "IMSY": application_id of the file */
#define STORE_VERSION	5		/* user_version */
#define FLAGSETS	16		/* in memory */
#define STORE_WAIT_MS	5000		/* for a killed run to die */
#define STORE_SYNCED_S	3600		/* a good run is written so often */
#define IMPORT_MAX	(256 << 20)	/* octets of a database that is imported */

/* The prepared statements; their text is in db.c. */
enum db_stmt {
	DB_BEGIN,
	DB_COMMIT,
	DB_LOAD,
	DB_MARKS,
	DB_MARKSET,
	DB_REFUSALS,
	DB_NEWBOX,
	DB_NROWS,
	DB_SUBSCRIBED,
	DB_ADOPT,
	DB_WATER,
	DB_LOOKED,
	DB_UNLOOKED,
	DB_SERVERS,
	DB_SERVER,
	DB_RENAME,
	DB_FORGET,
	DB_MAPPED,
	DB_UNMAPPED,
	DB_COUNT,
	DB_RECOUNT,
	DB_TOP,
	DB_ROWS,
	DB_UIDS,
	DB_NRANGE,
	DB_ADD,
	DB_BASE,
	DB_BASES,
	DB_REBASE,
	DB_DROP,
	DB_UNREFUSE,
	DB_MARK,
	DB_ISMARK,
	DB_MARKADD,
	DB_MARKFAIL,
	DB_LOST,
	DB_DELETED,
	DB_DELETED_OLD,
	DB_DELETED_SUM,
	DB_UNLOST,
	DB_STOPS,
	DB_STOP,
	DB_UNSTOP,
	DB_UNMARK,
	DB_UNMARKSET,
	DB_REFUSE,
	DB_LEFT,
	DB_LEFT_BELOW,
	DB_LEFT_ADD,
	DB_LEFT_DEL,
	DB_FLAGSET,
	DB_NEWFLAGSET,
	DB_FLAGS,
	DB_SWEEP,
	DB_SEEN,
	DB_SEEN_BRIEF,
	DB_SEEN_SIZE,
	DB_SEEN_SIZEDATE,
	DB_SEEN_DATE,
	DB_SEEN_KEY,
	DB_SEEN_LEFT,
	DB_SEEN_UIDS,
	DB_SEEN_DIFF,
	DB_SEEN_OTHERS,
	DB_SEEN_TWINS,
	DB_SEEN_FORGET,
	DB_SEEN_CLEAR,
	DB_REPAIR,
	DB_TAKE,
	DB_WHOLE,
	DB_IMPOSSIBLE,
	DB_RESIZE,
	DB_SYNCED,
	DB_NSTMT
};

/* A row of the table "flagset". */
struct flagset {
	char		*flags;
	int64_t		 id;
};

/* add.c's */
struct added {
	int64_t		 n;		/* not yet in the number of rows ... */
	uint32_t	 mailbox;	/* ... of this one, if there are any */
};

struct db {
	sqlite3		*sql;
	sqlite3		*guard;		/* dry run: holds the shared lock */
	sqlite3_stmt	*st[DB_NSTMT][SIDES];
	char		*path;		/* as configured, for messages */
	char		*file;		/* the same, the directory resolved */
	char		*dir;		/* NULL: there is none, all in memory */
	int		 dryrun;
	int		 intrans;	/* a transaction is open */
	int		 taking;	/* TAKE came, and TAKEN did not yet */
	int		 newflagsets;	/* some were added in this session */
	int		 left;		/* a rule left something out */
	int64_t		 synced;	/* the last good run; 0: none */
	uint32_t	 twins;		/* of the last PAIR */
	uint32_t	 holder;	/* look.c: who has the state; 0: nobody */
	char		 ready;		/* enum ready; 0: it is not open */
	struct import	*import;	/* import.c; NULL: none */
	struct flagset	 flagsets[FLAGSETS];	/* the last ones looked up */
	unsigned	 nextset;	/* ... which gives way to another next */
	struct added	 added;
	int		 unique;	/* db_unique() of when it was opened */

	/* Takes an answer (M_ENGINE_*) to the request under way. */
	void		(*answer)(void *arg, uint32_t type, const void *rec);
	/* Called now and then in long work: not 0 if it must end at once. */
	int		(*tick)(void *arg);
	void		*arg;
};

/* file.c */

/*
 * 1 if that looks like the beginning of interimap's database: for a message, and
 * no proof.
 */
int		 file_is_interimap(const uint8_t *, size_t);
/*
 * Make, open, lock and check the state file; answer, tick and arg are set by
 * the caller before (tick is also asked every 50 ms while another process holds
 * the lock).  In a dry run nothing ever reaches the disk.  db->ready is set also
 * where it ends because of another run.
 */
void		 db_open(struct db *, const struct m_store_setup *);
/* Who has a lock on the file: a process, UINT32_MAX if unknown; 0: nobody. */
uint32_t	 file_holder(const struct db *);
/*
 * 1 if the index over the remote UIDs keeps a message from having two rows.
 * Somebody may have dropped it; the index over the local UIDs is the table.
 */
int		 db_unique(struct db *);
/*
 * Make that index anew, such that it does unless messages have two rows now.
 * SQLite sorts it in memory, some 25 octets a row: a price paid only for what
 * another program broke.
 */
void		 db_reindex(struct db *);

/* What the servers were like: SERVER*, of LOAD's answer. */
void		 file_servers(struct db *);
/* runs.c */
void		 db_server(struct db *, const struct m_store_server *);
/*
 * Note the time, unless it would be a commit for this alone and the last one
 * noted is less than STORE_SYNCED_S ago.
 */
void		 db_synced(struct db *);

/*
 * What a mailbox is called on the remote side, and by which use that was found:
 * as M_ENGINE_MBOX has it.
 */
void		 db_mapped(struct db *, uint32_t mailbox, const char *remote,
		    uint32_t use);
void		 db_stopped(struct db *, const struct m_store_stopped *);
void		 db_unstopped(struct db *, const struct m_store_unstopped *);
/* Answer all of them: STOPPED*. */
void		 db_stops_tell(struct db *);

/* look.c: --status */

/*
 * Read the file, which is there, into db->sql, an empty state in memory, without
 * a lock, such that another process may have it; db->holder says which.  Messages
 * are left out.  If it is being written to for too long that ends the process.
 */
void		 look_read(struct db *);

/* db.c: transactions */

/* COMMIT.  A dry run leaves its transaction open. */
void		 db_commit(struct db *);
/* Commit, tidy up, close. */
void		 db_close(struct db *);
/* Roll back and close; may be called at any time, also twice. */
void		 db_abort(struct db *);

/* db.c: the requests of proto.h that they are named after */

void		 db_load(struct db *);
void		 db_newbox(struct db *, const struct m_store_newbox *);
void		 db_subscribed(struct db *, const struct m_store_subscribed *);
void		 db_adopt(struct db *, const struct m_store_adopt *);
void		 db_forget(struct db *, const struct m_store_forget *);
void		 db_rename(struct db *, const struct m_store_rename *);
void		 db_info(struct db *, const struct m_store_info *);
void		 db_rows(struct db *, const struct m_store_rows *);
void		 db_have(struct db *, const struct m_store_rows *);
void		 db_sample(struct db *, const struct m_store_sample *);
/* A row that is not there (dropped meanwhile) is left alone. */
void		 db_base(struct db *, const struct m_store_base *);
void		 db_rebase(struct db *, const struct m_store_rebase *);
void		 db_drop(struct db *, const struct m_store_drop *);
/*
 * A mark that replaces another takes over its tries, since a run that recovers
 * replaces the mark of the one that failed; UNMARK before it starts from 0.
 */
void		 db_mark(struct db *, const struct m_store_mark *);
void		 db_markfail(struct db *, const struct m_store_markfail *);
void		 db_lost(struct db *, const struct m_store_lost *);
void		 db_deleted(struct db *, const struct m_store_deleted *);
/* How many in the last 24 hours. */
uint32_t	 db_deleted_sum(struct db *);
void		 db_unmark(struct db *, const struct m_store_unmark *);
void		 db_refuse(struct db *, const struct m_store_refuse *);
void		 db_unrefuse(struct db *, const struct m_store_unrefuse *);
void		 db_water(struct db *, const struct m_store_water *);

/* db.c: for file.c, pair.c and runs.c */

/* A transaction, if none is open. */
void		 db_begin(struct db *);

/* Run SQL that has no parameters; the second returns its first number or 0. */
void		 db_exec(struct db *, const char *);
int64_t		 db_number(struct db *, const char *);
/* Prepare one statement, with the name of the side for each "@". */
sqlite3_stmt	*db_prepare(struct db *, const char *, int side);
/* All of enum db_stmt, once the tables are there. */
void		 db_prepare_all(struct db *);
/* The text must live until the statement is reset. */
void		 db_bind_text(struct db *, sqlite3_stmt *, int i, const char *);

/* The statement, reset, with n numbers bound to its first parameters. */
sqlite3_stmt	*db_stmt(struct db *, enum db_stmt, int side, const int64_t *,
		    size_t n);
#define DB_INTS(...)	((const int64_t[]){ __VA_ARGS__ }),		\
			    (sizeof((const int64_t[]){ __VA_ARGS__ }) /	\
			    sizeof(int64_t))
/* Step: 1 for a row, else 0, and the statement is reset. */
int		 db_step(struct db *, sqlite3_stmt *);
/* Run a statement that has no rows; returns the rows that it changed. */
int		 db_run(struct db *, enum db_stmt, int side, const int64_t *,
		    size_t n);
/* The same, of one that db_stmt() gave, where a text is bound as well. */
int		 db_finish(struct db *, sqlite3_stmt *);
/* Open the transaction if there is none; the mailbox must be in the state. */
void		 db_change(struct db *, uint32_t mailbox);
/*
 * Add UIDs, in their order, to an answer that is told in parts that fit a
 * message; the second tells the rest.
 */
void		 db_uids(struct db *, struct m_engine_uids *, uint32_t lo,
		    uint32_t hi);
void		 db_uids_end(struct db *, struct m_engine_uids *);
/* The rows whose UID on a side is in a range, counted. */
int64_t		 db_nrows(struct db *, uint32_t mailbox, int side, uint32_t lo,
		    uint32_t hi);
/* Add to the number of rows that a mailbox has. */
void		 db_count(struct db *, uint32_t mailbox, int64_t n);
/* The id of a flag set, made if it is new. */
int64_t		 db_flagset(struct db *, const char *flags);
/* The flags of a set, copied to dst[FLAGS_MAX]. */
void		 db_flags(struct db *, int64_t flagset, char *dst);
/* A text column; never NULL. */
const char	*db_text(struct db *, sqlite3_stmt *, int col);
/* End with a message about the file; the error is the last one of SQLite. */
__dead void	 db_fail(struct db *);

/* add.c */

/* One of the two UIDs in another row ends the process. */
void		 db_add(struct db *, const struct m_store_add *);
/* Write how many were added; db.c does it ahead of all that could see it. */
void		 db_added(struct db *);

/* left.c */

void		 db_left(struct db *, const struct m_store_left *);
void		 db_unleft(struct db *, const struct m_store_unleft *);
/* Take UIDs out of what was left out of a mailbox on a side. */
void		 db_left_del(struct db *, uint32_t mailbox, int side,
		    uint32_t lo, uint32_t hi);
/* Answer all of it: UIDS*. */
void		 db_left_tell(struct db *, uint32_t mailbox, int side);

/* import.c */

/*
 * Take interimap's database into memory, as it stands: no part of it is looked at
 * before the process has locked itself.  Another program that has the file, and
 * a change that was cut short and is not undone yet, end the process.
 */
void		 import_read(struct db *, const char *path);
/* IMPORT; returns the version. */
uint32_t	 import_list(struct db *);
void		 import_take(struct db *, const struct m_store_take *);
void		 import_taken(struct db *);

/* pair.c */

void		 db_seen(struct db *, const struct m_store_seen *);
/* Returns the pairs made. */
uint32_t	 db_pair(struct db *, const struct m_store_pair *);
/* Empties the table of that side. */
void		 db_diff(struct db *, const struct m_store_diff *);
/* Forget what was seen of a mailbox on a side. */
void		 db_unsee(struct db *, uint32_t mailbox, int side);

#endif /* STORE_H */

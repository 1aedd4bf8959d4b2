/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What is kept of runs and servers as a whole: mailboxes that runs have left
 * alone, and why; those that have two names; what a server is; when the last
 * good run was.
 */
#include <time.h>

#include "log.h"
#include "store.h"

void
db_stops_tell(struct db *db)
{
	struct m_engine_stopped	 m;
	sqlite3_stmt		*st;

	st = db_stmt(db, DB_STOPS, LOCAL, NULL, 0);
	while (db_step(db, st)) {
		m.name = db_text(db, st, 0);
		m.text = db_text(db, st, 1);
		m.since = sqlite3_column_int64(st, 2);
		db->answer(db->arg, M_ENGINE_STOPPED, &m);
	}
}

void
db_stopped(struct db *db, const struct m_store_stopped *m)
{
	sqlite3_stmt	*st;

	db_begin(db);
	st = db_stmt(db, DB_STOP, LOCAL, DB_INTS(time(NULL)));
	db_bind_text(db, st, 2, m->name);
	db_bind_text(db, st, 3, m->text);
	db_finish(db, st);
}

void
db_unstopped(struct db *db, const struct m_store_unstopped *m)
{
	sqlite3_stmt	*st;

	db_begin(db);
	st = db_stmt(db, DB_UNSTOP, LOCAL, NULL, 0);
	db_bind_text(db, st, 1, m->name);
	db_finish(db, st);
}

void
db_mapped(struct db *db, uint32_t mailbox, const char *remote, uint32_t use)
{
	sqlite3_stmt	*st;

	if (remote[0] == '\0') {
		db_run(db, DB_UNMAPPED, LOCAL, DB_INTS(mailbox));
		return;
	}
	st = db_stmt(db, DB_MAPPED, LOCAL, DB_INTS(mailbox, use));
	db_bind_text(db, st, 3, remote);
	db_finish(db, st);
}

void
db_server(struct db *db, const struct m_store_server *m)
{
	db_begin(db);
	db_run(db, DB_SERVER, LOCAL, DB_INTS(m->side, m->delimiter, m->ask));
}

void
db_synced(struct db *db)
{
	int64_t	 now = time(NULL);

	if (!db->intrans && db->synced <= now &&
	    now - db->synced < STORE_SYNCED_S)
		return;
	db_begin(db);
	db_run(db, DB_SYNCED, LOCAL, DB_INTS(now));
	db->synced = now;
}

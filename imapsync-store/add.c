/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * ADD: the one request that comes once for each message, so it is one statement.
 * That the mailbox is there is looked at for the first of those that follow each
 * other, and how many they are is written behind the last: db_stmt() does that
 * ahead of any other statement.
 */
#include "log.h"
#include "store.h"

void
db_added(struct db *db)
{
	int64_t	 n = db->added.n;

	db->added.n = 0;
	if (n != 0)
		db_count(db, db->added.mailbox, n);
}

/* A row that has one of the two UIDs already ends it. */
static void
partners(struct db *db, const struct m_store_add *m)
{
	const uint32_t	 uid[SIDES] = { m->local, m->remote };
	int		 s;

	for (s = 0; s < SIDES; s++) {
		if (db_nrows(db, m->mailbox, s, uid[s], uid[s]) == 0)
			continue;
		db_abort(db);
		fatalx("%s: the state would give UID %u (%s, mailbox %u) two "
		    "partners: nothing of this was saved; please report it",
		    db->path, uid[s], side_name[s], m->mailbox);
	}
}

void
db_add(struct db *db, const struct m_store_add *m)
{
	sqlite3_stmt	*st;
	int64_t		 set;
	int		 rc;

	if (db->added.n == 0 || db->added.mailbox != m->mailbox)
		db_change(db, m->mailbox);
	set = db_flagset(db, m->flags);
	/* The indices refuse what has a partner, if there are both. */
	if (!db->unique)
		partners(db, m);
	st = db_stmt(db, DB_ADD, LOCAL, DB_INTS(m->mailbox, m->local,
	    m->remote, set, (int64_t)m->size, (int64_t)m->key));
	if ((rc = sqlite3_step(st) & 0xff) == SQLITE_CONSTRAINT) {
		sqlite3_reset(st);
		partners(db, m);
		/* Something else, which refuses it again and is told. */
		db_finish(db, st);
	} else if (rc != SQLITE_DONE)
		db_fail(db);
	sqlite3_reset(st);
	db->added.mailbox = m->mailbox;
	db->added.n++;
	db_left_del(db, m->mailbox, LOCAL, m->local, m->local);
	db_left_del(db, m->mailbox, REMOTE, m->remote, m->remote);
}

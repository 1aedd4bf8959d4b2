/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --status: what the state holds, read while another process may have it.  That
 * one holds an exclusive lock for as long as its session lasts, so none is taken
 * here; SQLite is told that the file does not change, and whether that was so is
 * found out afterwards.  A file changes only while its journal has a header, and
 * with each change its times do.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "log.h"
#include "store.h"

#define CALM_MS		50	/* more than the steps of a file's times */
#define LOOK_TRIES	60

/* What a change of the file changes as well. */
struct calm {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime;
};

/* Is a change of the file under way, or to be undone? */
static int
is_hot(const struct db *db)
{
	char	 path[4096], head[8];
	ssize_t	 n;
	int	 fd;

	if (snprintf(path, sizeof(path), "%s-journal", db->file) >=
	    (int)sizeof(path))
		fatalx("%s: the path is too long", db->path);
	if ((fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1) {
		if (errno != ENOENT)
			fatal("%s-journal", db->path);
		return 0;
	}
	n = read(fd, head, sizeof(head));
	close(fd);
	return n == (ssize_t)sizeof(head) && memcmp(head, "\0\0\0\0\0\0\0\0",
	    sizeof(head)) != 0;
}

/* The file as it stands: 0, or -1 if it changes just now. */
static int
calm_get(const struct db *db, struct calm *c)
{
	struct timespec	 now;
	struct stat	 st;

	if (is_hot(db))
		return -1;
	if (stat(db->file, &st) == -1)
		fatal("%s", db->path);
	clock_gettime(CLOCK_REALTIME, &now);
	memset(c, 0, sizeof(*c));
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	c->size = st.st_size;
	c->mtime = st.st_mtim;
	/* Two changes so near to each other may have one time. */
	return (now.tv_sec - c->mtime.tv_sec) * 1000 +
	    (now.tv_nsec - c->mtime.tv_nsec) / 1000000 >= CALM_MS ||
	    now.tv_sec < c->mtime.tv_sec - 1 ? 0 : -1;
}

static int
calm_is(const struct db *db, const struct calm *was)
{
	struct calm	 c;

	return calm_get(db, &c) == 0 && c.dev == was->dev &&
	    c.ino == was->ino && c.size == was->size &&
	    c.mtime.tv_sec == was->mtime.tv_sec &&
	    c.mtime.tv_nsec == was->mtime.tv_nsec;
}

/* The file as SQLite's URI. */
static char *
look_uri(const struct db *db)
{
	struct buf	 b = BUF_INIT;
	const char	*p;
	char		*uri;

	buf_puts(&b, "file:");
	for (p = db->file; *p != '\0'; p++)
		if (isalnum((unsigned char)*p) || strchr("/-_.", *p) != NULL)
			buf_add(&b, p, 1);
		else
			buf_printf(&b, "%%%02x", (unsigned char)*p);
	buf_puts(&b, "?mode=ro&immutable=1");
	uri = xstrndup((char *)buf_ptr(&b), b.len);
	buf_free(&b);
	return uri;
}

/* 0, or -1: what is read while it changes may be anything. */
static int
look_exec(struct db *db, const char *sql)
{
	return sqlite3_exec(db->sql, sql, NULL, NULL, NULL) == SQLITE_OK ?
	    0 : -1;
}

static int
look_copy(struct db *db)
{
	static const char *const	 tables[] = { "identity", "mailbox",
	    "mark", "markset", "refused", "account", "lost", "deleted",
	    "stopped", "mapped" };
	char				 sql[200];
	size_t				 i;
	sqlite3_stmt			*st;
	int				 there;

	for (i = 0; i < nitems(tables); i++) {
		snprintf(sql, sizeof(sql), "DELETE FROM main.%s", tables[i]);
		db_exec(db, sql);
		/* An older state has not all of them. */
		snprintf(sql, sizeof(sql), "SELECT 1 FROM disk.sqlite_master "
		    "WHERE type = 'table' AND name = '%s'", tables[i]);
		if (sqlite3_prepare_v2(db->sql, sql, -1, &st, NULL) !=
		    SQLITE_OK)
			return -1;
		there = sqlite3_step(st);
		if (sqlite3_finalize(st) != SQLITE_OK)
			return -1;
		if (there != SQLITE_ROW)
			continue;
		snprintf(sql, sizeof(sql), "INSERT INTO main.%s SELECT * FROM "
		    "disk.%s", tables[i], tables[i]);
		if (look_exec(db, sql) == -1)
			return -1;
	}
	return 0;
}

static int
look_try(struct db *db, const char *uri)
{
	struct calm	 before;
	sqlite3_stmt	*st;
	int		 ret;

	if (calm_get(db, &before) == -1)
		return -1;
	st = db_prepare(db, "ATTACH ?1 AS disk", LOCAL);
	db_bind_text(db, st, 1, uri);
	ret = sqlite3_step(st) == SQLITE_DONE ? 0 : -1;
	sqlite3_finalize(st);
	if (ret == -1)
		return -1;
	db_exec(db, "BEGIN");
	ret = look_copy(db);
	if (look_exec(db, ret == 0 ? "COMMIT" : "ROLLBACK") == -1)
		ret = -1;
	if (look_exec(db, "DETACH disk") == -1)
		db_fail(db);
	return ret == 0 && calm_is(db, &before) ? 0 : -1;
}

void
look_read(struct db *db)
{
	const struct timespec	 pause = { 0, CALM_MS * 1000000 };
	char			*uri = look_uri(db);
	int			 i;

	db_exec(db, "COMMIT");
	for (i = 0; i < LOOK_TRIES && look_try(db, uri) == -1; i++) {
		nanosleep(&pause, NULL);
		if (db->tick != NULL && db->tick(db->arg))
			_exit(EX_SYNC_ERROR);
	}
	free(uri);
	db->holder = file_holder(db);
	if (i < LOOK_TRIES) {
		db_exec(db, "BEGIN");
		return;
	}
	if (db->holder == 0 && is_hot(db))
		fatalx("%s was left in the middle of a change by a run that was "
		    "killed: the next run undoes it", db->path);
	if (db->holder == 0)
		fatalx("%s can't be read: run imapsync to see why", db->path);
	fatal_ex(EX_SYNC_TEMP, "%s is being written to by process %u, a run "
	    "that is under way: ask again later", db->path, db->holder);
}

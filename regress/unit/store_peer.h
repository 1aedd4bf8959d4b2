/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * imapsync-store, driven as the supervisor and the engine drive it: the real
 * program, behind a socketpair.  IMAPSYNC_STORE names it, else it is looked for
 * below the current directory.
 */
#ifndef STORE_PEER_H
#define STORE_PEER_H

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>

#include "log.h"
#include "proto.h"
#include "tap.h"

#define ME	"me@localhost"
#define YOU	"you@example.org INBOX."

enum kind { ROW, PAIR, OLD_PAIR };
struct row {
	enum kind	 kind;
	uint32_t	 uid[SIDES];
	uint64_t	 size;
	uint64_t	 key;
	int		 gone;
	char		 flags[64];
	char		 now[64];
	char		 base[64];	/* of an OLD_PAIR */
};

/* A running store and what it answered to the last request. */
struct peer {
	struct chan		 chan;
	pid_t			 pid;
	int			 lifeline;
	uint32_t		 id;
	char			 ready;		/* READY_*, 0: nothing came */
	int64_t			 told_synced;	/* behind it; -1: nothing */
	int			 done;
	uint32_t		 count;
	int64_t			 time;		/* of DONE */
	uint32_t		 exists;	/* the same */
	char			 fatal[TEXT_MAX];
	int			 status;	/* of FATAL; -1 none */
	struct row		*rows;		/* PAIRED too: flags, now */
	size_t			 nrows, maxrows;
	struct m_engine_info	 info;
	struct uidset		 uids[SIDES];
	int			 nuids;		/* messages they came in */
	int			 uids_first;	/* those before INFO */
	char			 text[8192];	/* LOAD, one line a record */
};

static const char	*program;
static char		 dir[56];	/* below TMPDIR */
static char		 path[64];	/* of the state, in dir */
static rlim_t		 fsize = RLIM_INFINITY;	/* for the next store */
static uint32_t		 patience;		/* the same */
static const char	*import = "";		/* the same */
static int		 look;			/* the same */

/* ---- answers ---- */

static inline void
on_row(const struct msg *msg)
{
	const struct m_engine_row	*m = msg->rec;
	struct peer			*p = msg->arg;
	struct row			*r;

	if (p->nrows == p->maxrows) {
		p->maxrows = p->maxrows * 2 + 64;
		p->rows = xreallocarray(p->rows, p->maxrows, sizeof(*r));
	}
	r = &p->rows[p->nrows++];
	r->kind = ROW;
	r->base[0] = '\0';
	r->uid[LOCAL] = m->local;
	r->uid[REMOTE] = m->remote;
	r->size = m->size;
	r->key = m->key;
	r->gone = m->gone;
	strlcpy(r->flags, m->flags, sizeof(r->flags));
	strlcpy(r->now, m->now, sizeof(r->now));
}

static inline void
on_paired(const struct msg *msg)
{
	const struct m_engine_paired	*m = msg->rec;
	struct peer			*p = msg->arg;
	struct m_engine_row		 row;
	struct msg			 rowmsg = *msg;
	struct row			*r;

	memset(&row, 0, sizeof(row));
	row.local = m->uid[LOCAL];
	row.remote = m->uid[REMOTE];
	row.flags = m->flags[LOCAL];
	row.now = m->flags[REMOTE];
	rowmsg.rec = &row;
	on_row(&rowmsg);
	r = &p->rows[p->nrows - 1];
	r->kind = m->isrow ? OLD_PAIR : PAIR;
	strlcpy(r->base, m->base, sizeof(r->base));
}

static inline void
on_uids(const struct msg *msg)
{
	const struct m_engine_uids	*m = msg->rec;
	struct peer			*p = msg->arg;

	uidset_or(&p->uids[m->side], &m->set);
	p->nuids++;
}

static inline void
on_info(const struct msg *msg)
{
	struct peer	*p = msg->arg;

	p->info = *(const struct m_engine_info *)msg->rec;
	p->uids_first = p->nuids;
}

static inline void
on_done(const struct msg *msg)
{
	const struct m_engine_done	*m = msg->rec;
	struct peer			*p = msg->arg;

	if (msg->id == p->id && m->status == ST_OK) {
		p->done = 1;
		p->count = m->count;
		p->time = m->time;
		p->exists = m->exists;
	}
}

static inline void
on_fatal(const struct msg *msg)
{
	const struct m_engine_fatal	*m = msg->rec;
	struct peer			*p = msg->arg;

	p->status = m->status;
	strlcpy(p->fatal, m->text, sizeof(p->fatal));
}

static inline void
on_log(const struct msg *msg)
{
	const struct m_engine_log	*m = msg->rec;

	printf("# log: %s\n", m->text);
}

/* Add a line to p->text. */
static inline void add(struct peer *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static inline void
add(struct peer *p, const char *fmt, ...)
{
	size_t	 used = strlen(p->text);
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(p->text + used, sizeof(p->text) - used, fmt, ap);
	va_end(ap);
}

static inline void
on_server(const struct msg *msg)
{
	const struct m_engine_server	*m = msg->rec;

	add(msg->arg, "server %s %c%s\n", side_name[m->side], m->delimiter,
	    m->ask ? " ask" : "");
}

static inline void
on_mbox(const struct msg *msg)
{
	const struct m_engine_mbox	*m = msg->rec;
	const struct m_water		*w;
	int				 s;

	add(msg->arg, "mbox %u %s adopt %d sub %d rows %u", m->mailbox, m->name,
	    m->adopt, m->subscribed, m->rows);
	for (s = 0; s < SIDES; s++) {
		w = &m->water[s];
		add(msg->arg, " %u/%u/%u/%llx/%s", w->uidvalidity, w->uidnext,
		    w->messages, (unsigned long long)w->modseq,
		    w->mailboxid);
		if (w->looked != 0 || w->unseen != 0)
			add(msg->arg, "/%lld/%llu", (long long)w->looked,
			    (unsigned long long)w->unseen);
	}
	if (m->remote[0] != '\0')
		add(msg->arg, " as %s by %x", m->remote, m->use);
	add(msg->arg, "\n");
	if (m->lost > 0)
		add(msg->arg, "lost %u %s %u UID %u next %lld\n", m->mailbox,
		    side_name[m->lost_side], m->lost, m->lost_uid,
		    (long long)m->lost_next);
}

static inline void
on_mark(const struct msg *msg)
{
	const struct m_engine_mark	*m = msg->rec;
	time_t				 now = time(NULL);

	add(msg->arg, "mark %u %s first %d tries %u %u/%u %zu %u:%u%s\n",
	    m->mailbox, side_name[m->target], m->first, m->tries,
	    m->uidvalidity, m->uidnext, m->set.n,
	    uidset_min(&m->set), uidset_max(&m->set),
	    m->time <= now && m->time > now - 600 ? "" : " time");
}

static inline void
on_refusal(const struct msg *msg)
{
	const struct m_engine_refusal	*m = msg->rec;

	add(msg->arg, "refusal %u %s %u code %u attempts %u %llu %llu %lld "
	    "%s\n", m->mailbox, side_name[m->side], m->uid, m->code, m->attempts,
	    (unsigned long long)m->size, (unsigned long long)m->limit,
	    (long long)m->next, m->text);
}

static inline void
on_stopped(const struct msg *msg)
{
	const struct m_engine_stopped	*m = msg->rec;
	time_t				 now = time(NULL);

	add(msg->arg, "stopped %s: %s%s\n", m->name, m->text,
	    m->since <= now && m->since > now - 600 ? "" : " (since long)");
}

static const struct proto_handler handlers[] = {
	{ M_ENGINE_ROW,		1,	on_row },
	{ M_ENGINE_PAIRED,	1,	on_paired },
	{ M_ENGINE_UIDS,	1,	on_uids },
	{ M_ENGINE_INFO,	1,	on_info },
	{ M_ENGINE_SERVER,	1,	on_server },
	{ M_ENGINE_MBOX,	1,	on_mbox },
	{ M_ENGINE_MARK,	1,	on_mark },
	{ M_ENGINE_REFUSAL,	1,	on_refusal },
	{ M_ENGINE_STOPPED,	1,	on_stopped },
	{ M_ENGINE_DONE,	1,	on_done },
	{ M_ENGINE_LOG,		1,	on_log },
	{ M_ENGINE_FATAL,	1,	on_fatal },
	{ M_NONE,		0,	NULL }
};

/* ---- the store as a child ---- */

static inline int
high(int fd)
{
	int	 new;

	if ((new = fcntl(fd, F_DUPFD_CLOEXEC, 20)) == -1)
		fatal("dup");
	close(fd);
	return new;
}

static inline __dead void
child(int chan, int life, int ready)
{
	struct rlimit	 rl = { fsize, fsize };
	int		 null;

	if ((null = open("/dev/null", O_RDWR)) == -1 ||
	    dup2(null, 0) == -1 || dup2(null, 1) == -1 ||
	    (getenv("TEST_STDERR") == NULL && dup2(null, 2) == -1) ||
	    dup2(chan, FD_CHANNEL) == -1 || dup2(life, FD_LIFELINE) == -1 ||
	    dup2(ready, FD_READY) == -1)
		_exit(99);
	if (fsize != RLIM_INFINITY)
		setrlimit(RLIMIT_FSIZE, &rl);
	execl(program, "imapsync-store", (char *)NULL);
	_exit(98);
}

/* Start a store without its SETUP; returns the read end of the ready pipe. */
static inline int
spawn(struct peer *p)
{
	int	 sv[2], life[2], ready[2], i;

	memset(p, 0, sizeof(*p));
	p->status = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1 ||
	    pipe(life) == -1 || pipe(ready) == -1)
		fatal("pipe");
	for (i = 0; i < 2; i++) {
		sv[i] = high(sv[i]);
		life[i] = high(life[i]);
		ready[i] = high(ready[i]);
	}
	fflush(stdout);
	if ((p->pid = fork()) == -1)
		fatal("fork");
	if (p->pid == 0)
		child(sv[1], life[0], ready[1]);
	close(sv[1]);
	close(life[0]);
	close(ready[1]);
	p->lifeline = life[1];
	chan_init(&p->chan, sv[0], "the store");
	return ready[0];
}

static inline void
setup(struct peer *p, const char *file, int dryrun, const char *remote)
{
	struct m_store_setup	 m;

	memset(&m, 0, sizeof(m));
	m.version = PROTO_VERSION;
	m.dryrun = dryrun;
	m.look = look;
	m.patience = patience;
	m.path = file;
	m.identity[LOCAL] = ME;
	m.identity[REMOTE] = remote;
	m.import = import;
	chan_send(&p->chan, M_STORE_SETUP, 0, &m);
	if (chan_flush(&p->chan, 5000) == -1)
		fatal("flush");
}

/* Read until the request is answered or the store has closed its end. */
static inline void
pump(struct peer *p)
{
	struct pollfd	 pfd;
	int		 n;

	pfd.fd = p->chan.ib.fd;
	while (!p->done) {
		pfd.events = POLLIN;
		if (chan_pending(&p->chan) > 0)
			pfd.events |= POLLOUT;
		if ((n = poll(&pfd, 1, 60000)) == 0)
			fatalx("the store does not answer");
		if (n == -1)
			fatal("poll");
		if (pfd.revents & POLLOUT)
			chan_write(&p->chan);	/* its FATAL may be unread */
		if (!(pfd.revents & ~POLLOUT))
			continue;
		if (chan_read(&p->chan) <= 0)
			return;
		if (chan_dispatch(&p->chan, handlers, p) == -1)
			fatalx("%s", p->chan.error);
	}
}

/* Start a store and wait until it is ready (1) or has ended (0). */
static inline int
start(struct peer *p, const char *file, int dryrun, const char *remote)
{
	int	 ready;

	ready = spawn(p);
	setup(p, file, dryrun, remote);
	if (read(ready, &p->ready, 1) != 1)
		p->ready = 0;
	p->told_synced = -1;
	if (read(ready, &p->told_synced, sizeof(p->told_synced)) !=
	    (ssize_t)sizeof(p->told_synced))
		p->told_synced = -1;
	close(ready);
	if (p->ready == READY_OPEN || p->ready == READY_LATE)
		return 1;
	pump(p);
	return 0;
}

/* Forget the answers of the last request. */
static inline void
reset(struct peer *p)
{
	int	 s;

	p->done = p->nuids = p->uids_first = 0;
	p->nrows = 0;
	p->text[0] = '\0';
	for (s = 0; s < SIDES; s++)
		uidset_free(&p->uids[s]);
}

/* Send a request and wait for its DONE; 1 if it came. */
static inline int
ask(struct peer *p, uint32_t type, const void *rec)
{
	reset(p);
	chan_send(&p->chan, type, ++p->id, rec);
	pump(p);
	return p->done;
}

static inline void
say(struct peer *p, uint32_t type, const void *rec)
{
	chan_send(&p->chan, type, ++p->id, rec);
	if (chan_pending(&p->chan) > QUEUE_HIGH)
		chan_flush(&p->chan, 60000);
}

static inline int
commit(struct peer *p)
{
	struct m_store_commit	 m = { 0 };

	return ask(p, M_STORE_COMMIT, &m);
}

/* Reap it: the exit status, or minus the signal. */
static inline int
reap(struct peer *p)
{
	int	 status;

	pump(p);
	if (waitpid(p->pid, &status, 0) != p->pid)
		fatal("waitpid");
	reset(p);
	free(p->rows);
	p->rows = NULL;
	p->maxrows = 0;
	chan_close(&p->chan);
	close(p->lifeline);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int
stop(struct peer *p)
{
	struct m_store_close	 m = { 0 };

	reset(p);
	chan_send(&p->chan, M_STORE_CLOSE, ++p->id, &m);
	return reap(p);
}

/* ---- requests ---- */

static inline void
newbox(struct peer *p, uint32_t mailbox, const char *name)
{
	struct m_store_newbox	 m = { mailbox, 1, name, "", 0 };

	say(p, M_STORE_NEWBOX, &m);
}

static inline void
add_to(struct peer *p, uint32_t mailbox, uint32_t local, uint32_t remote,
    const char *flags)
{
	struct m_store_add	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = mailbox;
	m.local = local;
	m.remote = remote;
	m.size = 1000 + local;
	m.key = 0xf000000000000000ULL + local;
	m.flags = flags;
	say(p, M_STORE_ADD, &m);
}

static inline void
add_row(struct peer *p, uint32_t local, uint32_t remote, const char *flags)
{
	add_to(p, 1, local, remote, flags);
}

static inline void
drop(struct peer *p, int side, uint32_t lo, uint32_t hi)
{
	struct m_store_drop	 m = { 1, side, UIDSET_INIT };

	uidset_add(&m.set, lo, hi);
	say(p, M_STORE_DROP, &m);
	uidset_free(&m.set);
}

static inline void
seen(struct peer *p, int side, uint32_t uid, uint64_t key, uint64_t size,
    int64_t date, int msgid, const char *flags)
{
	struct m_store_seen	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = 1;
	m.side = side;
	m.uid = uid;
	m.key = key;
	m.size = size;
	m.date = date;
	m.msgid = msgid;
	m.flags = flags;
	say(p, M_STORE_SEEN, &m);
}

/* LEFT or UNLEFT */
static inline void
left(struct peer *p, uint32_t type, uint32_t mailbox, int side,
    const char *set)
{
	struct m_store_left	 m = { mailbox, side, 0, UIDSET_INIT };

	uidset_parse(&m.set, set, strlen(set));
	say(p, type, &m);
	uidset_free(&m.set);
}

static inline int
rows(struct peer *p, int side, const char *set)
{
	struct m_store_rows	 m = { 1, side, UIDSET_INIT };
	int			 r;

	uidset_parse(&m.set, set, strlen(set));
	r = ask(p, M_STORE_ROWS, &m);
	uidset_free(&m.set);
	return r;
}

static inline int
info(struct peer *p, uint32_t mailbox)
{
	struct m_store_info	 m = { mailbox };

	return ask(p, M_STORE_INFO, &m);
}

static inline int
load(struct peer *p)
{
	struct m_store_load	 m = { 0 };

	return ask(p, M_STORE_LOAD, &m);
}

static inline int
pair(struct peer *p, int mode)
{
	struct m_store_pair	 m = { 1, mode };

	return ask(p, M_STORE_PAIR, &m);
}

/* The rows of the last answer as "local-remote local-remote". */
static inline const char *
list(struct peer *p)
{
	static char	 text[4096];
	size_t		 i, used = 0;

	text[0] = '\0';
	for (i = 0; i < p->nrows && used < sizeof(text) - 32; i++)
		used += snprintf(text + used, sizeof(text) - used, "%s%u-%u",
		    i > 0 ? " " : "", p->rows[i].uid[LOCAL],
		    p->rows[i].uid[REMOTE]);
	return text;
}

static inline const char *
set_text(const struct uidset *set)
{
	static char	 text[256];
	uint32_t	 i = 0;

	text[uidset_format(set, &i, text, sizeof(text))] = '\0';
	return text;
}

/* ---- files ---- */

/* Remove what is in a directory of the test. */
static inline void
clean(const char *d)
{
	struct dirent	*e;
	char		*name;
	DIR		*dp;

	if ((dp = opendir(d)) == NULL)
		return;
	while ((e = readdir(dp)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (asprintf(&name, "%s/%s", d, e->d_name) == -1)
			fatal(NULL);
		if (unlink(name) == -1) {
			clean(name);
			rmdir(name);
		}
		free(name);
	}
	closedir(dp);
}

/* The names in a directory and a sum over their contents, sizes and times. */
static inline uint64_t
sum(const char *d)
{
	struct dirent	*e;
	struct stat	 st;
	char		 name[512], data[4096];
	uint64_t	 total = 0, h;
	ssize_t		 i, n;
	DIR		*dp;
	int		 fd;

	if ((dp = opendir(d)) == NULL)
		return 0;
	while ((e = readdir(dp)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", d, e->d_name);
		if (stat(name, &st) == -1)
			continue;
		h = 14695981039346656037ULL;
		for (i = 0; e->d_name[i] != '\0'; i++)
			h = (h ^ (uint8_t)e->d_name[i]) * 1099511628211ULL;
		if (S_ISREG(st.st_mode)) {
			h = (h ^ (uint64_t)st.st_mtim.tv_nsec) *
			    1099511628211ULL + st.st_mtim.tv_sec + st.st_mode;
			if ((fd = open(name, O_RDONLY)) == -1)
				fatal("%s", name);
			while ((n = read(fd, data, sizeof(data))) > 0)
				for (i = 0; i < n; i++)
					h = (h ^ (uint8_t)data[i]) *
					    1099511628211ULL;
			close(fd);
		}
		total += h;
	}
	closedir(dp);
	return total;
}

/* The mode of a file, 0 if there is none. */
static inline unsigned int
mode(const char *name)
{
	struct stat	 st;

	return stat(name, &st) == -1 ? 0 : st.st_mode & 07777;
}

static inline void
write_at(const char *name, off_t off, const void *data, size_t len)
{
	int	 fd;

	if ((fd = open(name, O_WRONLY | O_CREAT, 0600)) == -1 ||
	    pwrite(fd, data, len, off) != (ssize_t)len)
		fatal("%s", name);
	close(fd);
}

/* The most memory a process has had, in KiB; 0 if that can't be told. */
static inline long
peak(pid_t pid)
{
	char	 name[64], line[256];
	long	 kb = 0;
	FILE	*fp;

	snprintf(name, sizeof(name), "/proc/%ld/status", (long)pid);
	if ((fp = fopen(name, "r")) == NULL)
		return 0;
	while (fgets(line, sizeof(line), fp) != NULL)
		if (sscanf(line, "VmHWM: %ld", &kb) == 1)
			break;
	fclose(fp);
	return kb;
}

/* What another program may do to the file; returns a number, 0 if none. */
static inline int64_t
edit(const char *sql)
{
	sqlite3_stmt	*st;
	sqlite3		*db;
	int64_t		 n = 0;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		fatalx("%s: %s", path, sqlite3_errmsg(db));
	while (*sql != '\0') {
		if (sqlite3_prepare_v2(db, sql, -1, &st, &sql) != SQLITE_OK)
			fatalx("%s: %s", sql, sqlite3_errmsg(db));
		while (sqlite3_step(st) == SQLITE_ROW)
			n = sqlite3_column_int64(st, 0);
		if (sqlite3_finalize(st) != SQLITE_OK)
			fatalx("%s", sqlite3_errmsg(db));
	}
	sqlite3_close(db);
	return n;
}

/* A store with mailbox 1 and rows 1-1 to n-n, committed. */
static inline void
fresh(struct peer *p, uint32_t n)
{
	uint32_t	 i;

	clean(dir);
	if (!start(p, path, 0, YOU))
		fatalx("no store: %s", p->fatal);
	newbox(p, 1, "INBOX");
	for (i = 1; i <= n; i++)
		add_row(p, i, i, i % 3 ? "\\Seen" : "");
	commit(p);
}

/* The store must refuse to start, with that in its words. */
static inline void
refuses(const char *file, int dryrun, const char *remote, int status,
    const char *words, const char *what)
{
	struct peer	 p;
	uint64_t	 before = sum(dir);
	int		 r;

	r = start(&p, file, dryrun, remote);
	ok(!r && p.status == status && strstr(p.fatal, words) != NULL,
	    "%s: \"%s\"", what, p.fatal);
	ok(reap(&p) == status && sum(dir) == before,
	    "%s: exits with %d, and the file is as it was", what, status);
}

/* Begin and end of main(). */
static inline void
begin(void)
{
	const char	*tmp = getenv("TMPDIR");

	if ((program = getenv("IMAPSYNC_STORE")) == NULL)
		program = "imapsync-store/imapsync-store";
	if ((size_t)snprintf(dir, sizeof(dir), "%s/imapsync-test.XXXXXXXXXX",
	    tmp == NULL ? "/tmp" : tmp) >= sizeof(dir))
		fatalx("TMPDIR is too long");
	if (mkdtemp(dir) == NULL)
		fatal("%s", dir);
	snprintf(path, sizeof(path), "%s/state", dir);
	signal(SIGPIPE, SIG_IGN);
}

static inline int
end(void)
{
	clean(dir);
	rmdir(dir);
	return tap_done();
}

#endif /* STORE_PEER_H */

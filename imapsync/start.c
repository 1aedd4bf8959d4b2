/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The start of a session: every other process in the order of their needs, and
 * what each of them is told.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imapsync.h"
#include "notify.h"
#include "pathnames.h"
#include "roles.h"

#define SETUP_MS	10000	/* for a child to take its first messages */

static void
start_close(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void
start_socketpair(int *sv)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1)
		fatal("socketpair");
}

/* The path of a worker, in static storage; an absolute one from the user. */
static const char *
start_path(const char *name)
{
	static char	 path[1024];
	const char	*dir = NULL;

	if (getuid() == geteuid() && getgid() == getegid())
		dir = getenv("IMAPSYNC_LIBEXEC");
	if (dir == NULL || *dir != '/')
		dir = PATH_LIBEXEC;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Are all programs where they should be?  Said before anything is begun. */
static int
start_check(const struct session *s)
{
	static const char *const names[] = { "imapsync-store", "imapsync-net" };
	size_t			 i;

	for (i = 0; i < nitems(names); i++)
		if (access(start_path(names[i]), X_OK) == -1) {
			sup_failed("%s: %s", start_path(names[i]),
			    strerror(errno));
			return -1;
		}
	if (access(s->opts->self, X_OK) == -1) {
		sup_failed("%s: %s", s->opts->self, strerror(errno));
		return -1;
	}
	return 0;
}

/*
 * Start a program of ours as that process, with "own" as its FD_CHANNEL; own is
 * closed.
 */
static void
start_spawn(struct session *s, enum proc_id id, struct spawn *sp, int own)
{
	struct proc	*p = &s->procs[id];

	sp->fds[0] = own;
	sp->fds[1] = s->lifeline[0];
	if (sp->nfds < 2)
		sp->nfds = 2;
	if ((p->pid = spawn_program(sp)) == -1)
		fatal("fork");
	p->running = 1;
	close(own);
}

/* Where the supervisor writes what a worker's channel begins with. */
static void
start_chan(struct session *s, int id, struct chan *ch)
{
	int	 fd;

	if ((fd = fcntl(s->chan[id], F_DUPFD_CLOEXEC, 0)) == -1)
		fatal("dup");
	chan_init(ch, fd, sup_names[id]);
}

/*
 * What could not be written is not ours to report: the worker is dead, and the
 * engine will find the end of its channel.
 */
static void
start_chan_end(struct chan *ch)
{
	if (chan_flush(ch, SETUP_MS) == -1)
		log_debug("%s does not take its first messages: %s", ch->peer,
		    strerror(errno));
	chan_close(ch);
}

/* "user@host", whose mail it is, and the reference if there is one. */
static char *
start_identity(const struct conf_side *cs)
{
	const char	*who = conf_account(cs);
	char		*id;

	if (asprintf(&id, "%s%s%s%s%s", who, *who != '\0' ? "@" : "", cs->host,
	    *cs->reference != '\0' ? " " : "", cs->reference) == -1)
		fatal(NULL);
	return id;
}

static void
start_store_setup(struct session *s)
{
	struct m_store_setup	 m;
	struct chan		 ch;
	char			*id[SIDES];
	int			 side;

	memset(&m, 0, sizeof(m));
	m.version = PROTO_VERSION;
	m.dryrun = s->opts->dryrun || s->opts->command == CMD_CHECK;
	m.look = s->opts->command == CMD_STATUS;
	m.patience = s->opts->patience;
	m.path = s->conf->database;
	m.import = s->opts->command != CMD_IMPORT ? "" :
	    s->opts->import != NULL ? s->opts->import : s->conf->theirs;
	for (side = 0; side < SIDES; side++)
		m.identity[side] = id[side] =
		    start_identity(&s->conf->side[side]);
	start_chan(s, SUP_STORE, &ch);
	chan_send(&ch, M_STORE_SETUP, 0, &m);
	start_chan_end(&ch);
	for (side = 0; side < SIDES; side++)
		free(id[side]);
}

/*
 * What the store says of itself.  If it says nothing it is not known how long
 * the user has been patient: then nothing is kept from him.
 */
static int
start_octet(struct session *s, int fd)
{
	int64_t	 synced;
	char	 octet;

	if (read(fd, &octet, 1) != 1)
		return 0;
	if (read(fd, &synced, sizeof(synced)) == (ssize_t)sizeof(synced))
		result_synced(synced);
	s->late = s->overdue = octet == READY_LATE || octet == READY_BUSY_LATE;
	return octet == READY_OPEN || octet == READY_LATE;
}

/* Start the store: 1 once it is ready, 0 if it won't be, -1 sup_stopped(). */
static int
start_store(struct session *s)
{
	struct pollfd	 pfd;
	struct spawn	 sp;
	int		 ready[2], ret, sv[2];

	if (pipe2(ready, O_CLOEXEC) == -1)
		fatal("pipe");
	start_socketpair(sv);
	memset(&sp, 0, sizeof(sp));
	sp.path = start_path("imapsync-store");
	sp.argv0 = "imapsync-store";
	sp.fds[2] = ready[1];
	sp.nfds = 3;
	start_spawn(s, P_STORE, &sp, sv[1]);
	close(ready[1]);
	s->chan[SUP_STORE] = sv[0];
	start_store_setup(s);

	await_begin(0, "waiting for the state: another run has it, or the "
	    "disk is slow (%s)", s->conf->database);
	pfd.fd = ready[0];
	pfd.events = POLLIN;
	while ((ret = sup_poll(&pfd, 1, -1)) == -1 && !sup_stopped())
		;
	if (ret == 1)
		ret = start_octet(s, ready[0]);
	close(ready[0]);
	await_end();
	return ret;
}

/*
 * Start the tunnel of a side, if it has one; its socket is that of a server.
 * While a server is away ssh(1) would say so with each try.
 */
static int
start_tunnel(struct session *s, int side)
{
	struct conf_side	*cs = &s->conf->side[side];
	struct proc		*p = &s->procs[P_TUNNEL + side];
	int			 err, sv[2];

	if (cs->type != CONN_TUNNEL)
		return 0;
	start_socketpair(sv);
	err = errs_open(side, s->opts->debug || (!cs->null_stderr &&
	    sup_level(BACKOFF_LOST) != LOG_LV_DEBUG));
	p->pid = spawn_command(cs->command, sv[1], sv[1], err, NULL);
	close(err);
	close(sv[1]);
	s->ends[side].fd = sv[0];
	if (p->pid == -1) {
		p->pid = 0;
		sup_failed("%s: cannot start the tunnel command: %s",
		    side_name[side], strerror(errno));
		return -1;
	}
	p->running = 1;
	return 0;
}

static void
start_net_setup(struct session *s, int side, struct chan *ch)
{
	const struct conf_side	*cs = &s->conf->side[side];
	struct connect_end	*end = &s->ends[side];
	struct m_net_setup	 m;

	memset(&m, 0, sizeof(m));
	m.version = PROTO_VERSION;
	m.side = side;
	m.type = cs->type;
	m.starttls = cs->starttls;
	m.compress = cs->compress;
	m.pipeline = cs->pipeline;
	m.strategy = cs->strategy;
	m.check = s->opts->peek ? CHECK_PEEK : s->opts->command == CMD_CHECK ?
	    CHECK_CERT : CHECK_NOT;
	m.debug = s->opts->debug;
	m.cleartext = cs->cleartext || cs->type == CONN_TUNNEL ||
	    end->loopback;
	m.has_password = cs->password != NULL;
	m.timeout = cs->timeout;
	m.host = cs->host;
	m.auth = cs->auth;
	m.username = cs->username;
	m.authzid = cs->authzid;
	m.password = cs->password != NULL ? cs->password : "";
	m.ssl_verify = cs->ssl_verify;
	m.ssl_sni = cs->ssl_sni;
	m.ssl_min = cs->ssl_min;
	m.ssl_max = cs->ssl_max;
	m.ssl_hostname = cs->ssl_hostname;
	m.ssl_ciphers = cs->ssl_ciphers;
	m.ssl_ciphersuites = cs->ssl_ciphersuites;
	m.ssl_fingerprint = cs->ssl_fingerprint;
	m.proxy = cs->type == CONN_TUNNEL ? PROXY_NONE : cs->proxy;
	m.port = cs->port;
	m.proxy_addr = end->proxy_addr != NULL ? end->proxy_addr : "";
	m.proxy_user = cs->proxy_user != NULL ? cs->proxy_user : "";
	m.proxy_password = cs->proxy_password != NULL ?
	    cs->proxy_password : "";
	chan_send(ch, M_NET_SETUP, 0, &m);
	explicit_bzero(&m, sizeof(m));
}

static void
start_net_fd(struct chan *ch, enum net_fd what, int *fd)
{
	struct m_net_fd	 m;

	if (*fd == -1)
		return;
	memset(&m, 0, sizeof(m));
	m.what = what;
	chan_send_fd(ch, M_NET_FD, 0, &m, *fd);
	*fd = -1;
}

/* Start a network worker and hand it all that it will ever have. */
static void
start_net(struct session *s, int side, int *bridge)
{
	struct m_net_connect	 m;
	struct spawn		 sp;
	struct chan		 ch;
	int			 sv[2];

	start_socketpair(sv);
	memset(&sp, 0, sizeof(sp));
	sp.path = start_path("imapsync-net");
	sp.argv0 = "imapsync-net";
	start_spawn(s, side, &sp, sv[1]);
	s->chan[side] = sv[0];

	start_chan(s, side, &ch);
	start_net_setup(s, side, &ch);
	start_net_fd(&ch, NETFD_BRIDGE, bridge);
	start_net_fd(&ch, NETFD_CA, &s->files[side].ca);
	start_net_fd(&ch, NETFD_CERT, &s->files[side].cert);
	start_net_fd(&ch, NETFD_KEY, &s->files[side].key);
	memset(&m, 0, sizeof(m));
	chan_send_fd(&ch, M_NET_CONNECT, 0, &m, s->ends[side].fd);
	s->ends[side].fd = -1;
	start_chan_end(&ch);
	conf_wipe(&s->conf->side[side].password);
	conf_wipe(&s->conf->side[side].proxy_password);
}

static void
start_items(struct session *s, enum item_kind kind, char **list, size_t n)
{
	struct m_engine_item	 m;
	size_t			 i;

	for (i = 0; i < n; i++) {
		memset(&m, 0, sizeof(m));
		m.kind = kind;
		m.text = list[i];
		chan_send(&s->ctl, M_ENGINE_ITEM, 0, &m);
	}
}

/*
 * How the session before has ended, as far as the user was told.  What was a
 * matter of the log is new to him once the patience is over.
 */
static enum again
start_again(const struct session *s)
{
	const struct sup_opts	*o = s->opts;

	if (o->again == BACKOFF_NONE || (o->unsaid && s->late))
		return AGAIN_NO;
	return o->again == BACKOFF_FAILED ? AGAIN_FAILED : AGAIN_LOST;
}

/* What the user wants, and what the configuration says of all of it. */
static void
start_engine_opts(struct m_engine_setup *m, const struct sup_opts *o,
    const struct conf *c)
{
	m->debug = o->debug;
	m->quiet = o->quiet;
	m->dryrun = o->dryrun || o->command == CMD_CHECK ||
	    o->command == CMD_PROBE;
	m->allow_delete = o->allow_delete;
	m->two_accounts = o->two_accounts;
	m->patience = o->patience;
	m->more = o->more;
	m->retry = o->retry;
	m->haslog = o->logfd != -1;
	m->command = o->command;
	m->target = o->target;
	m->json = o->json;
	m->peek = o->peek;
	m->watch = o->watch;
	m->notify = o->notify;
	m->service = o->notifyfd != -1;
	m->watchdog = notify_watchdog();
	m->syslog = o->syslog;
	m->columns = o->columns;
	m->interval = o->interval;
	m->selectors = c->selectors;
	m->direction = c->direction;
	m->propagate = c->propagate;
	m->max_size = c->max_size;
	m->max_age = c->max_age;
	m->delete_rule = c->delete_rule;
	m->max_delete = c->max_delete != 0 ? c->max_delete : 50;
	m->rename_rule = c->rename_rule;
	m->gone_rule = c->gone_rule;
	m->map_special = c->map_special;
	m->virtuals = c->virtuals;
	m->prefix = c->prefix;
	m->ignore = c->ignore;
}

static void
start_engine_setup(struct session *s)
{
	static char		 inbox[] = "INBOX", *watch[] = { inbox };
	const struct conf	*c = s->conf;
	const struct sup_opts	*o = s->opts;
	struct m_engine_setup	 m;
	struct m_engine_go	 go;
	size_t			 i;
	int			 side;

	memset(&m, 0, sizeof(m));
	m.version = PROTO_VERSION;
	start_engine_opts(&m, o, c);
	m.state = c->database;
	m.again = start_again(s);
	m.late = s->late;
	for (side = 0; side < SIDES; side++) {
		m.timeout[side] = c->side[side].timeout;
		m.flags_interval[side] = c->side[side].flags_interval;
		m.slow[side] = c->side[side].type == CONN_TUNNEL ||
		    c->side[side].proxy != PROXY_NONE;
		m.reference[side] = c->side[side].reference;
		m.host[side] = c->side[side].host;
	}
	chan_send(&s->ctl, M_ENGINE_SETUP, 0, &m);
	start_items(s, ITEM_PATTERN, c->patterns, c->npatterns);
	start_items(s, ITEM_ARG, o->args, o->nargs);
	start_items(s, ITEM_ADOPT, o->adopt, o->nadopt);
	if (c->nwatch > 0)
		start_items(s, ITEM_WATCH, c->watch, c->nwatch);
	else
		start_items(s, ITEM_WATCH, watch, nitems(watch));
	for (i = 0; i < c->nmap; i++) {
		start_items(s, ITEM_MAP_LOCAL, &c->map[LOCAL][i], 1);
		start_items(s, ITEM_MAP_REMOTE, &c->map[REMOTE][i], 1);
	}
	memset(&go, 0, sizeof(go));
	chan_send(&s->ctl, M_ENGINE_GO, 0, &go);
}

/*
 * Start the engine.  A channel whose worker was never started is one that has
 * ended: the engine prints why the store failed, and finds the others closed.
 */
static void
start_engine(struct session *s)
{
	struct spawn	 sp;
	int		 i, sv[2];

	memset(&sp, 0, sizeof(sp));
	sp.path = s->opts->self;
	sp.argv0 = ENGINE_ARGV0;
	sp.engine = 1;
	for (i = 0; i < SUP_CHANNELS; i++) {
		if (s->chan[i] == -1) {
			start_socketpair(sv);
			close(sv[1]);
			s->chan[i] = sv[0];
		}
		sp.fds[FD_ENGINE_LOCAL - FD_CHANNEL + i] = s->chan[i];
	}
	sp.nfds = FD_ENGINE_LOG - FD_CHANNEL;
	if (s->opts->logfd != -1 || s->opts->notifyfd != -1)
		sp.fds[sp.nfds++] = s->opts->logfd != -1 ? s->opts->logfd :
		    s->opts->notifyfd;
	if (s->opts->notifyfd != -1)
		sp.fds[sp.nfds++] = s->opts->notifyfd;
	start_socketpair(sv);
	start_spawn(s, P_ENGINE, &sp, sv[1]);
	for (i = 0; i < SUP_CHANNELS; i++)
		start_close(&s->chan[i]);
	chan_init(&s->ctl, sv[0], sup_names[P_ENGINE]);
	s->has_ctl = 1;
	start_engine_setup(s);
}

/*
 * A look at one server, without a state and without a password: its worker, and
 * an engine that prints.
 */
static int
start_probe(struct session *s)
{
	int	 bridge = -1, r, side;

	side = s->opts->target & TARGET_LOCAL ? LOCAL : REMOTE;
	if (secret_files(&s->conf->side[side], &s->files[side]) == -1)
		return EX_SYNC_ERROR;
	sup_default(1);
	r = connect_resolve(&s->ends[side], &s->conf->side[side]);
	sup_default(0);
	if (r == -1)
		return EX_SYNC_TEMP;
	if (start_tunnel(s, side) == -1)
		return EX_SYNC_ERROR;
	if (connect_all(s->ends, SIDES) == -1)
		return EX_SYNC_TEMP;
	start_net(s, side, &bridge);
	await_end();
	start_engine(s);
	return 0;
}

/* Names and passwords of both sides: 0, or the exit status after a message. */
static int
start_prepare(struct session *s)
{
	int	 r = 0, side, status;

	/* getaddrinfo(3) can't be interrupted but by our death. */
	sup_default(1);
	for (side = 0; side < SIDES && r == 0; side++) {
		result_at(FAULT_CONNECT, side);
		r = connect_resolve(&s->ends[side], &s->conf->side[side]);
	}
	sup_default(0);
	if (r == -1)
		return EX_SYNC_TEMP;
	for (side = 0; side < SIDES; side++) {
		result_at(FAULT_PASSWORD, side);
		if ((status = secret_password(&s->conf->side[side])) != 0)
			return status;
	}
	return 0;
}

/*
 * --check: one side once more, to look at its certificate.  No secret is asked
 * for, so that none can be told.
 */
static int
start_peek(struct session *s, int side)
{
	int	 bridge[2], r;

	result_at(FAULT_CONNECT, side);
	conf_wipe(&s->conf->side[side].password);
	sup_default(1);
	r = connect_resolve(&s->ends[side], &s->conf->side[side]);
	sup_default(0);
	if (r == -1 || connect_all(&s->ends[side], 1) == -1)
		return EX_SYNC_TEMP;
	result_at(FAULT_FAILED, -1);
	start_socketpair(bridge);
	start_net(s, side, &bridge[side]);
	close(bridge[OTHER(side)]);
	return 0;
}

/* Both servers, and their workers: 0, or the exit status after a message. */
static int
start_servers(struct session *s)
{
	int	 bridge[2], side, status;

	if (s->opts->peek)
		return start_peek(s, s->opts->peek - 1);
	if ((status = start_prepare(s)) != 0)
		return status;
	for (side = 0; side < SIDES; side++) {
		result_at(FAULT_CONNECT, side);
		if (start_tunnel(s, side) == -1)
			return EX_SYNC_ERROR;
	}
	if (connect_all(s->ends, SIDES) == -1)
		return EX_SYNC_TEMP;
	result_at(FAULT_FAILED, -1);
	start_socketpair(bridge);
	for (side = 0; side < SIDES; side++)
		start_net(s, side, &bridge[side]);
	return 0;
}

/* Everything up to the engine; 0, or the exit status after a message. */
int
start_session(struct session *s)
{
	int	 ready, servers = s->opts->command != CMD_STATUS, side, status;

	result_at(FAULT_FAILED, -1);
	if (start_check(s) == -1)
		return EX_SYNC_ERROR;
	if (s->opts->command == CMD_PROBE)
		return start_probe(s);
	for (side = 0; side < SIDES && servers; side++) {
		result_at(FAULT_CONFIGURATION, side);
		if (secret_files(&s->conf->side[side], &s->files[side]) == -1)
			return EX_SYNC_ERROR;
	}
	result_at(FAULT_STATE, -1);
	if ((ready = start_store(s)) == -1)
		return EX_SYNC_ERROR;
	if (ready && servers && (status = start_servers(s)) != 0)
		return status;
	await_end();
	result_at(FAULT_FAILED, -1);
	start_engine(s);
	return 0;
}

void
start_free(struct session *s)
{
	int	 i;

	start_close(&s->lifeline[0]);
	for (i = 0; i < SUP_CHANNELS; i++)
		start_close(&s->chan[i]);
	for (i = 0; i < SIDES; i++) {
		connect_free(&s->ends[i]);
		secret_close(&s->files[i]);
		conf_wipe(&s->conf->side[i].password);
		conf_wipe(&s->conf->side[i].proxy_password);
	}
}

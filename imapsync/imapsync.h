/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The supervisor's parts, one prefix a file: conf_, pattern_, connect_,
 * secret_, spawn_, start_, sup_, backoff_, errs_, await_, draft_, init_, result_.
 */
#ifndef IMAPSYNC_H
#define IMAPSYNC_H

#include <netinet/in.h>

#include <poll.h>
#include <signal.h>

#include "json.h"
#include "log.h"
#include "proto.h"

#define IMAPSYNC_VERSION	"0.1"

/* ---- conf.c, confval.c: the configuration ---- */

struct conf_side {
	enum side	 side;
	enum conn_type	 type;
	char		*host;		/* lower case, without brackets */
	int		 literal;	/* it was in brackets: an address */
	uint16_t	 port;
	enum proxy_type	 proxy;
	char		*proxy_host;
	int		 proxy_literal;
	uint16_t	 proxy_port;
	char		*proxy_user;	/* NULL: none */
	char		*proxy_password; /* a secret, or NULL */
	char		*command;	/* tunnel only, else NULL */
	int		 null_stderr;
	int		 starttls;
	int		 compress;
	int		 pipeline;
	enum strategy_kind strategy;
	uint32_t	 flags_interval; /* as in struct m_engine_setup */
	int		 cleartext;
	uint32_t	 timeout;	/* seconds */
	char		*reference;
	char		*auth;		/* "": the worker's default */
	char		*username;	/* "": none */
	char		*authzid;	/* whom to act as; "": username */
	char		*password;	/* a secret, or NULL */
	char		*password_command; /* or NULL */
	int		 ssl_verify;
	int		 ssl_sni;
	uint16_t	 ssl_min;	/* as in struct m_net_setup */
	uint16_t	 ssl_max;
	char		*ssl_hostname;
	char		*ssl_ciphers;
	char		*ssl_ciphersuites;
	char		*ssl_fingerprint;
	char		*ssl_cafile;	/* these four: NULL if not set */
	char		*ssl_capath;
	char		*ssl_cert;
	char		*ssl_key;
};

struct conf {
	char		*database;	/* absolute */
	char		*theirs;	/* what interimap takes that for */
	char		*logfile;	/* NULL: none */
	char		*prefix;	/* log-prefix */
	char		*ignore;	/* see pattern_translate(); "" */
	char	       **patterns;	/* list-mailbox; none: all */
	size_t		 npatterns;
	char	       **watch;		/* watch-mailbox; none: INBOX */
	size_t		 nwatch;
	char	       **map[SIDES];	/* mailbox-map: what each calls the
					   n-th, in modified UTF-7 */
	size_t		 nmap;
	int		 map_special;	/* map-special-use */
	uint8_t		 selectors;	/* SEL_* */
	uint8_t		 direction;	/* enum direction */
	uint8_t		 propagate;	/* PROP_* */
	int		 syslog;	/* if standard error is no terminal */
	uint64_t	 max_size;	/* octets; 0: no limit */
	uint32_t	 max_age;	/* seconds; 0: no limit */
	int		 delete_rule;	/* enum delete_rule */
	uint32_t	 max_delete;	/* percent, or messages; 0: default */
	int		 rename_rule;	/* enum rename_rule */
	int		 gone_rule;	/* enum gone_rule */
	int		 virtuals;	/* virtual-mailboxes */
	uint32_t	 random_delay;	/* seconds; 0: none */
	uint32_t	 busy_wait;	/* the same */
	struct conf_side side[SIDES];
};

/*
 * The file to read: "arg" is that of --config, or NULL.  Allocated; NULL with
 * the reason in "why" if there is no home directory to start from.
 */
char		*conf_path(const char *arg, char *why, size_t size);
/*
 * Read a file.  Returns 0; -1 with one line "file:line: text" for each error in
 * "errors", none of which shows a secret.  conf_parse() does the same with text
 * that is in memory.  In both cases conf_free() is called afterwards; it wipes
 * all secrets.
 */
int		 conf_read(struct conf *, const char *path, struct buf *errors);
int		 conf_parse(struct conf *, const char *name, const char *text,
		    size_t len, struct buf *errors);
void		 conf_free(struct conf *);
/* Is there a key of that many octets that belongs in front of the sections? */
int		 conf_isglobal(const char *key, size_t len);
/* Whose mail it is: authzid, or username; "" if neither is set. */
const char	*conf_account(const struct conf_side *);
/* Wipe and free a string that may be NULL. */
void		 conf_wipe(char **);

/*
 * The checks of single values.  Each returns 0, or -1 with what is wrong in
 * "why" (never the value itself).
 */
struct conf_ctx {
	struct conf	 *conf;
	struct conf_side *side;		/* NULL in the default section */
	char		 why[200];
};
int		 confval_type(struct conf_ctx *, const char *);
int		 confval_host(struct conf_ctx *, const char *);
int		 confval_port(struct conf_ctx *, const char *);
int		 confval_proxy(struct conf_ctx *, const char *);
int		 confval_auth(struct conf_ctx *, const char *);
int		 confval_strategy(struct conf_ctx *, const char *);
int		 confval_flags(struct conf_ctx *, const char *);
int		 confval_timeout(struct conf_ctx *, const char *);
int		 confval_protocols(struct conf_ctx *, const char *);
int		 confval_protocol_min(struct conf_ctx *, const char *);
int		 confval_protocol_max(struct conf_ctx *, const char *);
int		 confval_ciphersuites(struct conf_ctx *, const char *);
int		 confval_fingerprint(struct conf_ctx *, const char *);
int		 confval_hostname(struct conf_ctx *, const char *);
int		 confval_patterns(struct conf_ctx *, const char *);
int		 confval_watch(struct conf_ctx *, const char *);
int		 confval_map(struct conf_ctx *, const char *);
int		 confval_reference(struct conf_ctx *, const char *);
int		 confval_selectors(struct conf_ctx *, const char *);
int		 confval_ignore(struct conf_ctx *, const char *);
int		 confval_prefix(struct conf_ctx *, const char *);
int		 confval_direction(struct conf_ctx *, const char *);
int		 confval_propagate(struct conf_ctx *, const char *);
int		 confval_maxsize(struct conf_ctx *, const char *);
int		 confval_maxage(struct conf_ctx *, const char *);
int		 confval_maxdelete(struct conf_ctx *, const char *);
int		 confval_rename(struct conf_ctx *, const char *);
int		 confval_gone(struct conf_ctx *, const char *);
int		 confval_delay(struct conf_ctx *, const char *);
int		 confval_busy(struct conf_ctx *, const char *);
/* 1 or 0; -1 if it is neither. */
int		 confval_bool(const char *);
/*
 * Seconds of a number with m, h, d or w behind it; 0 if it is none, or longer
 * than 68 years.
 */
uint32_t	 confval_duration(const char *);
/* Is it an IPv4 or IPv6 address (a scope allowed)? */
int		 confval_isaddr(const char *);

/* ---- pattern.c ---- */

/*
 * Translate a Perl regular expression for the names of mailboxes to a POSIX
 * ERE that matches the same names, NUL being NAME_SEP; "(?i)" in front of the
 * result asks for REG_ICASE.  Allocated; NULL with the construct that has no
 * counterpart in "why".  What is returned compiles.
 */
char		*pattern_translate(const char *, char *why, size_t size);

/* ---- connect.c: names and sockets ---- */

struct connect_end {
	const struct conf_side *side;
	struct addrinfo	*res;		/* where to connect; NULL: a tunnel */
	char		*proxy_addr;	/* what to ask the proxy for, or NULL */
	int		 fd;		/* connected, or -1 */
	int		 loopback;	/* the server itself is on this host */
};

/*
 * Look up the names of a side.  Returns 0, or -1 after a message.  It blocks:
 * the caller sees to it that signals end the process.
 */
int		 connect_resolve(struct connect_end *,
		    const struct conf_side *);
/*
 * Connect all ends at once.  Returns 0 with every fd set; -1 after a message,
 * or without one because sup_stopped().
 */
int		 connect_all(struct connect_end *, size_t);
void		 connect_free(struct connect_end *);

/* ---- secret.c: passwords and certificates ---- */

/*
 * Run password-command where there is one and no password yet.  Returns 0, or
 * the exit status after a message, or without one because sup_stopped().
 */
int		 secret_password(struct conf_side *);
/*
 * Descriptors of what TLS needs (-1: not needed).  Returns 0, or -1 after a
 * message.
 */
struct secret_files {
	int		 ca;
	int		 cert;
	int		 key;
};
int		 secret_files(const struct conf_side *, struct secret_files *);
void		 secret_close(struct secret_files *);

/* ---- spawn.c: fork and exec ---- */

/* A child of our own: a worker or the engine. */
struct spawn {
	const char	*path;
	const char	*argv0;
	const char	*arg;		/* or NULL */
	int		 fds[7];	/* become FD_CHANNEL and those behind */
	size_t		 nfds;
	int		 engine;	/* keeps stdout, stderr, TZ ... */
};

/*
 * What a user's command gets: the umask that we were started with, and USER,
 * LOGNAME and HOME where they are not set.
 */
void		 spawn_init(mode_t umask_at_start);
/* Start a worker or the engine: its pid, or -1 (errno). */
pid_t		 spawn_program(const struct spawn *);
/*
 * Start a user's command with "in", "out" and "err" as standard input, output
 * and error (-1: ours), split into words or by /bin/sh -c if it has shell
 * metacharacters.  With a side its environment says which it is:
 * IMAPSYNC_SIDE, IMAPSYNC_HOST, IMAPSYNC_USER, IMAPSYNC_AUTHZID.  Its pid, or -1
 * (errno).  It exits with 127 if it can't be executed.
 */
/*
 * The real path of a program of that name in the directories of "path", with
 * colons between (NULL: of PATH); allocated; NULL if there is none.
 */
char		*spawn_find(const char *name, const char *path);
#define SPAWN_NULL	(-2)		/* as "err": /dev/null */
pid_t		 spawn_command(const char *command, int in, int out, int err,
		    const struct conf_side *);

/* ---- errs.c: what tunnels say on their standard error ---- */

/*
 * Begin: the descriptor to give to the tunnel of that side.  What it says is
 * shown as it comes if "relay".
 */
int		 errs_open(int side, int relay);
/* What to wait for, ERRS_FDS at most: how many.  Then errs_turn() never waits. */
#define ERRS_FDS	(SIDES + 1)
nfds_t		 errs_pollfds(struct pollfd *);
void		 errs_turn(void);
/* Read what is left, close; the lines stay until errs_open(). */
void		 errs_close(void);
/*
 * The i-th of the last lines, or NULL; *relayed tells whether it was shown.
 * They are as they came, but without control characters for a line's end.
 */
const char	*errs_line(int side, size_t i, int *relayed);

/* ---- await.c: what is waited for ---- */

#define AWAIT_TOLD	0x01	/* the caller answers SIGUSR1 */
#define AWAIT_ASKS	0x02	/* a command may ask on the terminal meanwhile */
/* The width of the terminal (0: none), and the log (-1: none). */
void		 await_init(uint16_t columns, int logfd);
/* Something is awaited from now on; the same, in other words; nothing is. */
void		 await_begin(int flags, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));
void		 await_text(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
void		 await_end(void);
/* Something else will be written to the terminal. */
void		 await_clear(void);
/*
 * For sup_poll(): how long it may wait, of so many ms (-1: for ever); show the
 * line if it is due; SIGUSR1: 0 if nothing is awaited.
 */
int64_t		 await_due(int64_t ms);
void		 await_turn(void);
int		 await_status(void);
/* Around a call that waits by itself: let signals do what sup_poll() does. */
void		 await_block(int on);

/* ---- backoff.c: when the next session of --watch begins ---- */

/* How a session has ended. */
enum backoff_kind { BACKOFF_NONE = 0,
	BACKOFF_DONE,		/* all was well */
	BACKOFF_LOST,		/* a server could not be reached, or was lost */
	BACKOFF_LIMIT,		/* it is too busy to let us in */
	BACKOFF_REFUSED,	/* it can't work: the configuration, ... */
	BACKOFF_FAILED,		/* it may work later: a certificate, ... */
	BACKOFF_CRASHED,	/* a process of ours was killed by a signal */
	BACKOFF_KINDS };

struct backoff {
	int		 begun;			/* a session has ended before */
	int64_t		 base[BACKOFF_KINDS];	/* ms, of the last; 0: none */
};

enum backoff_kind backoff_kind(int status, int crashed);
/*
 * A session of that kind has ended after "lived" ms.  Returns the ms to wait
 * for the next one, or -1 if there should be none: the first was REFUSED (later
 * ones count as FAILED, since it did work).  "interval" is what follows
 * BACKOFF_DONE.  "random" is any number: others that lost the same server must
 * not all come back in the same moment.
 */
int64_t		 backoff_next(struct backoff *, enum backoff_kind,
		    int64_t lived, int64_t interval, uint32_t random);
/* For the user: why we wait. */
const char	*backoff_reason(enum backoff_kind);
/*
 * Was the machine asleep, or its clock set?  Both arguments are the wall clock
 * less the monotonic one, in ms, at two moments.
 */
int		 backoff_jumped(int64_t before, int64_t now);

/*
 * A message of the supervisor's own; it ends nothing.  sup_lost() and
 * sup_failed() are for what --watch will meet again and again until somebody
 * mends it: only with --debug where the session before ended the same way
 * (sup_lost(): in whatever bad way).
 */
#define sup_error(...)	log_mbox(LOG_LV_ERROR, NULL, __VA_ARGS__)
#define sup_failed(...)	log_mbox(sup_level(BACKOFF_FAILED), NULL, __VA_ARGS__)
enum log_level	 sup_level(enum backoff_kind);
/*
 * A server can't be reached, or was lost.  As long as --patience is not over it
 * is a matter of the log alone.
 */
void		 sup_lost(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
/* Is the message that the sink has got not for standard error? */
int		 sup_hushed(void);

/* ---- result.c: --json where no engine prints the object ---- */

struct sup_opts;
/* A session begins. */
void		 result_begin(void);
/* What fails from here on: of that kind, and of that side or -1. */
void		 result_at(enum fault, int side);
/* The last good run, as the store says. */
void		 result_synced(int64_t);
/* An error was said; the first one of a session is its reason. */
void		 result_said(const char *);
int		 result_known(void);
/* With --json: the object, with that exit status. */
void		 result_print(const struct sup_opts *, int status);

/* ---- a session: start.c, supervise.c ---- */

#define SUP_STORE	2	/* beside LOCAL and REMOTE: a channel */
#define SUP_CHANNELS	3

enum proc_id { P_LOCAL = LOCAL, P_REMOTE = REMOTE, P_STORE = SUP_STORE,
	P_ENGINE, P_TUNNEL, P_TUNNEL_REMOTE, PROCS };

struct proc {
	pid_t	 pid;		/* 0: never started */
	int	 running;
	int	 status;	/* of waitpid(2), once it does not run */
	int	 killed;	/* by us */
	int	 early;		/* ended before, or with, the engine */
};

/* How far the end has come; it only ever goes on. */
enum sup_phase { SUP_RUN, SUP_GRACE, SUP_LIFELINE, SUP_TERM, SUP_KILL };

struct session {
	struct conf		*conf;
	const struct sup_opts	*opts;
	struct proc		 procs[PROCS];
	int			 lifeline[2];
	int			 chan[SUP_CHANNELS];	/* the engine's ends */
	struct connect_end	 ends[SIDES];
	struct secret_files	 files[SIDES];
	struct chan		 ctl;
	int			 has_ctl;
	enum sup_phase		 phase;
	int64_t			 deadline;	/* of the phase; 0: none */
	int			 signals;	/* that were dealt with */
	int			 crashed;	/* a child died by a signal */
	int			 unstarted;	/* one could not be executed */
	int			 late;		/* see struct sup_end */
	int			 overdue;	/* late, as the store says */
	int			 limit;		/* a server is too busy */
};

/*
 * Start everything up to the engine.  Returns 0, or the exit status after a
 * message; what was started still runs.
 */
int		 start_session(struct session *);
/* Close what only the start needs, wipe secrets. */
void		 start_free(struct session *);

struct sup_opts {
	const char	*self;		/* path of this program */
	int		 debug;
	int		 quiet;
	int		 dryrun;
	int		 allow_delete;
	int		 two_accounts;
	int		 peek;		/* as in struct m_engine_setup */
	int		 retry;
	int		 json;
	int		 watch;
	int		 notify;
	int		 syslog;
	enum run_command command;
	uint8_t		 target;	/* TARGET_* */
	uint16_t	 columns;	/* as in struct m_engine_setup */
	uint32_t	 interval;	/* seconds from look to look */
	uint32_t	 patience;	/* seconds; 0: none */
	const char	*patience_text;	/* as the user wrote it */
	enum backoff_kind again;	/* how the session before ended; NONE:
					   well, or there was none */
	int		 unsaid;	/* ... which was a matter of the log */
	int		 more;		/* as in struct m_engine_setup */
	char	       **args;		/* MAILBOX ... */
	size_t		 nargs;
	char		*import;	/* --import FILE, absolute; or NULL */
	char	       **adopt;
	size_t		 nadopt;
	int		 logfd;		/* -1: none; a number that stays */
	char		*logfile;	/* its path, or NULL */
	int		 notifyfd;	/* see notify.h; -1: none */
};

extern const char *const sup_names[PROCS];	/* "the store" */
/* Once, before the first session: signals.  The options are kept. */
void		 sup_init(mode_t umask_at_start, const struct sup_opts *);
/* How a session has ended, beside its status. */
struct sup_end {
	int		 crashed;	/* by a signal that was not ours */
	int		 late;		/* --patience is over, or it can't be
					   told whether it is */
	int		 told;		/* an engine has printed the object of
					   --json, if one is wanted */
};
/*
 * One session from the start of the store to the end of the last process.
 * Returns its status, which may be EX_SYNC_LATER or EX_SYNC_LIMIT; all secrets of the
 * configuration are wiped, so the next session reads it again.
 */
int		 sup_session(struct conf *, const struct sup_opts *,
		    struct sup_end *);
/*
 * Between two sessions, or before the first: wait so long, or until
 * sup_stopped(), SIGHUP, or the machine wakes up.  For the user: before what, and
 * why.
 */
#define NEXT_TRY	"the next try"
void		 sup_pause(int64_t ms, const char *what, const char *reason);
/*
 * SIGINT and SIGTERM: their default action at once (1), or wait for sup_poll()
 * (0).
 */
void		 sup_default(int on);
/* The signal (SIGINT, SIGTERM) that asked us to end, or 0. */
int		 sup_stopped(void);
/*
 * A command of the user's has failed: if that was Ctrl-C we are about to be told
 * as well, and there is nothing to say.
 */
void		 sup_settle(void);
/* If there was one: let it end this process now, by its default action. */
void		 sup_raise(void);
/*
 * As poll(2), the only place where signals arrive; -1 with EINTR after each.
 */
int		 sup_poll(struct pollfd *, nfds_t, int ms);
int64_t		 sup_now(void);		/* milliseconds, monotonic */
/* End what runs (for fatal()): lifeline, 2 s, SIGKILL. */
void		 sup_abort(void);

/* ---- draft.c: a configuration that is being made ---- */

enum draft_section { DRAFT_GLOBAL = 0, DRAFT_LOCAL, DRAFT_REMOTE };
struct draft_pair {
	TAILQ_ENTRY(draft_pair) entry;
	enum draft_section	 section;
	char			*key;
	char			*val;	/* it may be a secret: conf_wipe() */
};
struct draft {
	TAILQ_HEAD(, draft_pair) pairs;
};

void		 draft_init(struct draft *);
void		 draft_free(struct draft *);
/* The value, or NULL. */
const char	*draft_get(const struct draft *, enum draft_section,
		    const char *key);
/*
 * Set a key, or another value of it.  Returns NULL, or what is wrong if the file
 * can't hold this value as it is.  Whether the key knows it is conf_parse()'s to
 * say.
 */
const char	*draft_set(struct draft *, enum draft_section, const char *key,
		    const char *val);
void		 draft_unset(struct draft *, enum draft_section,
		    const char *key);
/*
 * An argument: [local.|remote.]KEY=VALUE, of the remote side without a prefix,
 * unless the key belongs in front of the sections.  Each key once, and no
 * password.  Returns NULL, or what is wrong.
 */
const char	*draft_arg(struct draft *, const char *);
/* The whole as a file, with comments; "hint" stands at its end, or NULL. */
void		 draft_text(const struct draft *, const char *hint,
		    struct buf *out);
/* For conf_parse(): that side alone, with another one that is never used. */
void		 draft_probe(const struct draft *, enum side, struct buf *out);

/* ---- init.c: --init ---- */

/*
 * Make that configuration from the arguments, from what their servers show
 * and, on a terminal, from questions.  "name" is that of --config, or NULL; the
 * signals are sup_init()'s.  Returns the exit status, after a message unless it
 * is 0.
 */
int		 init_run(struct sup_opts *, const char *path,
		    const char *name);

#endif /* IMAPSYNC_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The command line; then one session, or with --watch one after another.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <paths.h>
#include <stdio.h>

#include "imapsync.h"
#include "notify.h"
#include "roles.h"
#include "say.h"
#include "sandbox.h"
#include "show.h"
#include "utf7.h"

#define INTERVAL	60	/* --watch: seconds from look to look */
#define INTERVAL_NOTIFY	900	/* where servers tell what happens anywhere */

extern char	**environ;

static struct sup_opts	 main_opts;

/* ---- messages ---- */

/*
 * The engine writes to the same files, in the same form: whole lines, each with
 * one write(2).
 */
static void
main_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	const struct sup_opts	*o = &main_opts;
	int			 away = o->logfd != -1;

	(void)mailbox;
	if (o->syslog && level != LOG_LV_DEBUG)
		away = 1;
	await_clear();
	say_print(o->logfd, !sup_hushed() &&
	    (level >= LOG_LV_WARN || (!o->quiet && !away)), level, text);
	say_syslog(level, text);
	if (level == LOG_LV_ERROR)
		result_said(text);
	if (status >= 0) {
		sup_abort();
		result_print(o, status);
	}
}

/* ---- the command line ---- */

static void
usage(FILE *f)
{
	fprintf(f, "usage: imapsync [-q] [--adopt mailbox] [--allow-delete] "
	    "[--config=file]\n"
	    "                [--debug] [--dry-run] [--json] [--notify] "
	    "[--patience=duration]\n"
	    "                [--retry] [--syslog] [--two-accounts] "
	    "[--watch[=seconds]]\n"
	    "                [mailbox ...]\n"
	    "       imapsync --check [option ...] [mailbox ...]\n"
	    "       imapsync --import [option ...] [file]\n"
	    "       imapsync --init [--config=file] [user@host] [key=value ...]"
	    "\n"
	    "       imapsync --repair [option ...] [mailbox ...]\n"
	    "       imapsync --delete [--target=list] [option ...] "
	    "mailbox ...\n"
	    "       imapsync --rename [--target=list] [option ...] old new\n"
	    "       imapsync --status [--config=file] [--json] "
	    "[--patience=duration]\n"
	    "       imapsync --help | --version\n");
}

static __dead void	 usage_error(const char *, ...)
			    __attribute__((__format__(printf, 1, 2)));

static __dead void
usage_error(const char *fmt, ...)
{
	char	 text[LOG_TEXT_MAX] = "an option that is not known, or lacks its "
		    "argument";
	va_list	 ap;

	if (fmt != NULL) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		fprintf(stderr, "imapsync: %s\n", text);
	}
	usage(stderr);
	result_at(FAULT_USAGE, -1);
	result_said(text);
	result_print(&main_opts, EX_SYNC_USAGE);
	exit(EX_SYNC_USAGE);
}

/* One screen: 24 lines of 80 columns, and one is the shell's. */
static __dead void
help(void)
{
	printf("usage: imapsync [option ...] [mailbox ...]\n"
	    "Keep two IMAP servers identical, in both directions; with "
	    "mailboxes, only these.\n"
	    "Before the first run\n"
	    "  --init [user@host] [key=value ...]  ask, try, write a "
	    "configuration\n"
	    "  --check           what both servers offer, and what would be "
	    "synchronised\n"
	    "  --dry-run         what a run would do; nothing is changed\n"
	    "  --import [file]   take over what interimap remembers\n"
	    "All the time\n"
	    "  --watch[=n]       look every n seconds and when a server tells "
	    "of a change\n"
	    "  --notify          the same, told of all mailboxes at once "
	    "(NOTIFY)\n"
	    "When a run has stopped\n"
	    "  --adopt mailbox   pair its messages anew, by content\n"
	    "  --allow-delete    go on though much would be deleted\n"
	    "  --repair          compare everything, mend what differs\n"
	    "  --retry           offer refused messages again\n"
	    "  --status          what is remembered of the last runs; connect "
	    "nowhere\n"
	    "  --two-accounts    go on though both servers look like one "
	    "account\n"
	    "Mailboxes (where: --target=list, of local, remote, database)\n"
	    "  --delete, --rename old new  delete these; rename one and "
	    "what is below it\n"
	    "What is read and printed\n"
	    "  --config=file     instead of ~/.config/imapsync/config\n"
	    "  --patience=time   a server may be away so long (1d, 12h) "
	    "without a word\n"
	    "  -q, --quiet   --debug   --json   --syslog   --version   -h, "
	    "--help\n");
	exit(EX_SYNC_OK);
}

/* A mailbox of the command line. */
static void
check_mailbox(const char *name)
{
	const char	*p;

	if (*name == '\0' || strlen(name) >= NAME_MAX_LEN)
		usage_error("a mailbox without a name, or with one that is "
		    "too long");
	for (p = name; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			usage_error("a mailbox with a control character in "
			    "its name");
	if (!utf8_valid(name))
		usage_error("a mailbox whose name is neither UTF-8 nor "
		    "modified UTF-7");
}

/* OPT_ADOPT to OPT_WATCH are those that don't go with all others. */
enum { OPT_ADOPT = 256, OPT_ALLOW, OPT_CHECK, OPT_DELETE, OPT_DRYRUN,
	OPT_IMPORT, OPT_INIT, OPT_NOTIFY, OPT_RENAME, OPT_REPAIR, OPT_RETRY,
	OPT_STATUS, OPT_TARGET, OPT_TWO, OPT_WATCH, OPT_CONFIG, OPT_DEBUG,
	OPT_JSON, OPT_PATIENCE, OPT_SYSLOG, OPT_VERSION };

static const struct option longopts[] = {
	{ "adopt",	  required_argument, NULL, OPT_ADOPT },
	{ "allow-delete", no_argument,	     NULL, OPT_ALLOW },
	{ "check",	  no_argument,	     NULL, OPT_CHECK },
	{ "config",	  required_argument, NULL, OPT_CONFIG },
	{ "debug",	  no_argument,	     NULL, OPT_DEBUG },
	{ "delete",	  no_argument,	     NULL, OPT_DELETE },
	{ "dry-run",	  no_argument,	     NULL, OPT_DRYRUN },
	{ "help",	  no_argument,	     NULL, 'h' },
	{ "import",	  no_argument,	     NULL, OPT_IMPORT },
	{ "init",	  no_argument,	     NULL, OPT_INIT },
	{ "json",	  no_argument,	     NULL, OPT_JSON },
	{ "notify",	  no_argument,	     NULL, OPT_NOTIFY },
	{ "patience",	  required_argument, NULL, OPT_PATIENCE },
	{ "quiet",	  no_argument,	     NULL, 'q' },
	{ "rename",	  no_argument,	     NULL, OPT_RENAME },
	{ "repair",	  no_argument,	     NULL, OPT_REPAIR },
	{ "retry",	  no_argument,	     NULL, OPT_RETRY },
	{ "status",	  no_argument,	     NULL, OPT_STATUS },
	{ "syslog",	  no_argument,	     NULL, OPT_SYSLOG },
	{ "target",	  required_argument, NULL, OPT_TARGET },
	{ "two-accounts", no_argument,	     NULL, OPT_TWO },
	{ "version",	  no_argument,	     NULL, OPT_VERSION },
	{ "watch",	  optional_argument, NULL, OPT_WATCH },
	{ NULL,		  0,		     NULL, 0 }
};

#define BIT(opt)	(1U << ((opt) - OPT_ADOPT))
#define COMMANDS	(BIT(OPT_CHECK) | BIT(OPT_DELETE) |		\
			    BIT(OPT_IMPORT) | BIT(OPT_INIT) |		\
			    BIT(OPT_RENAME) | BIT(OPT_REPAIR) |		\
			    BIT(OPT_STATUS))

/*
 * What an option can't be used with.  What somebody allows or wants once must
 * not hold for ever: --watch takes none of that.
 */
static const struct {
	int		 opt;
	unsigned int	 others;
} conflicts[] = {
	{ OPT_CHECK, COMMANDS },
	{ OPT_DELETE, COMMANDS },
	{ OPT_IMPORT, COMMANDS },
	{ OPT_INIT, COMMANDS | BIT(OPT_DRYRUN) },
	{ OPT_RENAME, COMMANDS },
	{ OPT_STATUS, COMMANDS | BIT(OPT_DRYRUN) | BIT(OPT_ADOPT) |
	    BIT(OPT_ALLOW) | BIT(OPT_RETRY) | BIT(OPT_TWO) },
	{ OPT_WATCH, COMMANDS | BIT(OPT_DRYRUN) | BIT(OPT_ADOPT) |
	    BIT(OPT_ALLOW) | BIT(OPT_RETRY) | BIT(OPT_TWO) },
	{ OPT_NOTIFY, COMMANDS | BIT(OPT_DRYRUN) | BIT(OPT_ADOPT) |
	    BIT(OPT_ALLOW) | BIT(OPT_RETRY) | BIT(OPT_TWO) },
	{ OPT_ADOPT, COMMANDS },
	{ OPT_ALLOW, COMMANDS & ~(BIT(OPT_REPAIR) | BIT(OPT_DELETE)) },
	{ OPT_RETRY, COMMANDS & ~BIT(OPT_REPAIR) },
	{ OPT_TWO, COMMANDS & ~BIT(OPT_REPAIR) }
};

static const char *
option_name(int opt)
{
	size_t	 i;

	for (i = 0; longopts[i].val != opt; i++)
		;
	return longopts[i].name;
}

/* Options that were given, as bits, against each other and the arguments. */
static void
check_options(unsigned int given, const struct sup_opts *o)
{
	size_t	 i;
	int	 opt;

	for (i = 0; i < nitems(conflicts); i++)
		for (opt = OPT_ADOPT; opt <= OPT_WATCH; opt++)
			if (opt != conflicts[i].opt &&
			    (given & BIT(conflicts[i].opt)) &&
			    (given & BIT(opt) & conflicts[i].others))
				usage_error("--%s and --%s can't be used "
				    "together", option_name(conflicts[i].opt),
				    option_name(opt));
	if (o->command == CMD_RENAME && o->nargs != 2)
		usage_error("--rename needs two mailboxes: the old name and "
		    "the new one");
	if (o->command == CMD_DELETE && o->nargs == 0)
		usage_error("--delete needs the mailboxes to delete");
	if (o->command == CMD_IMPORT && o->nargs > 1)
		usage_error("--import takes one file, the database of "
		    "interimap");
	if (o->command == CMD_STATUS && o->nargs > 0)
		usage_error("--status tells of all mailboxes");
	if ((given & BIT(OPT_TARGET)) && o->command != CMD_DELETE &&
	    o->command != CMD_RENAME)
		usage_error("--target belongs to --delete and --rename");
}

static void
add_adopt(struct sup_opts *o, char *name)
{
	check_mailbox(name);
	o->adopt = xreallocarray(o->adopt, o->nadopt + 1, sizeof(*o->adopt));
	o->adopt[o->nadopt++] = name;
}

static void
add_target(struct sup_opts *o, char *list)
{
	static const struct {
		const char	*name;
		uint8_t		 bit;
	} targets[] = { { "local", TARGET_LOCAL }, { "remote", TARGET_REMOTE },
	    { "database", TARGET_DATABASE } };
	char		*name;
	size_t		 i;

	while ((name = strsep(&list, ",")) != NULL) {
		for (i = 0; i < nitems(targets); i++)
			if (strcmp(name, targets[i].name) == 0)
				break;
		if (i == nitems(targets))
			usage_error("--target takes local, remote and "
			    "database, with commas between");
		o->target |= targets[i].bit;
	}
}

/* The argument of --import is a file, and that of nobody else. */
static void
take_import(struct sup_opts *o)
{
	char	 cwd[PATH_MAX];

	if (o->command != CMD_IMPORT || o->nargs == 0)
		return;
	if (o->args[0][0] == '\0')
		usage_error("--import needs the name of a file, or none");
	if (o->args[0][0] == '/')
		o->import = xstrdup(o->args[0]);
	else if (getcwd(cwd, sizeof(cwd)) == NULL)
		fatal("the current directory");
	else if (asprintf(&o->import, "%s/%s", cwd, o->args[0]) == -1)
		fatal(NULL);
	o->nargs = 0;
}

static void
set_interval(struct sup_opts *o, const char *arg)
{
	const char	*error;

	o->watch = 1;
	if (arg == NULL)
		return;
	o->interval = strtonum(arg, 1, 86400, &error);
	if (error != NULL)
		usage_error("--watch takes seconds, from 1 to 86400");
}

static void
set_patience(struct sup_opts *o, const char *arg)
{
	if ((o->patience = confval_duration(arg)) == 0)
		usage_error("--patience takes a number and m, h, d or w: 12h "
		    "is twelve hours");
	o->patience_text = arg;
}

/* An option that is more than a flag. */
static void
take_option(int ch, struct sup_opts *o, const char **config)
{
	switch (ch) {
	case OPT_ADOPT:
		add_adopt(o, optarg);
		break;
	case OPT_CONFIG:
		if (*optarg == '\0')
			usage_error("--config needs the name of a file");
		*config = optarg;
		break;
	case OPT_DEBUG:
		if (o->debug < 2)
			o->debug++;
		break;
	case OPT_PATIENCE:
		set_patience(o, optarg);
		break;
	case OPT_TARGET:
		add_target(o, optarg);
		break;
	case OPT_VERSION:
		printf("imapsync %s\n", IMAPSYNC_VERSION);
		exit(EX_SYNC_OK);
	case OPT_WATCH:
		set_interval(o, optarg);
		break;
	case 'h':
		help();
	default:
		usage_error(NULL);
	}
}

static void
parse_options(int argc, char **argv, struct sup_opts *o, const char **config)
{
	const struct {
		int	 opt;
		int	*flag;
	} flags[] = { { OPT_ALLOW, &o->allow_delete }, { OPT_DRYRUN,
	    &o->dryrun }, { OPT_JSON, &o->json }, { OPT_NOTIFY, &o->notify },
	    { OPT_RETRY, &o->retry }, { OPT_SYSLOG, &o->syslog },
	    { OPT_TWO, &o->two_accounts }, { 'q', &o->quiet } };
	static const struct {
		int			 opt;
		enum run_command	 command;
	} commands[] = { { OPT_CHECK, CMD_CHECK }, { OPT_DELETE, CMD_DELETE },
	    { OPT_IMPORT, CMD_IMPORT }, { OPT_INIT, CMD_PROBE },
	    { OPT_RENAME, CMD_RENAME }, { OPT_REPAIR, CMD_REPAIR },
	    { OPT_STATUS, CMD_STATUS } };
	unsigned int	 given = 0;
	size_t		 i, j;
	int		 ch;

	/* What is wrong with the others is told as it wants. */
	for (i = 1; i < (size_t)argc && strcmp(argv[i], "--") != 0; i++)
		o->json |= strcmp(argv[i], "--json") == 0;
	while ((ch = getopt_long(argc, argv, "hq", longopts, NULL)) != -1) {
		if (ch >= OPT_ADOPT && ch <= OPT_WATCH)
			given |= BIT(ch);
		for (i = 0; i < nitems(flags) && flags[i].opt != ch; i++)
			;
		for (j = 0; j < nitems(commands) && commands[j].opt != ch; j++)
			;
		if (i < nitems(flags))
			*flags[i].flag = 1;
		else if (j < nitems(commands))
			o->command = commands[j].command;
		else
			take_option(ch, o, config);
	}
	o->args = argv + optind;
	o->nargs = argc - optind;
	check_options(given, o);
	take_import(o);
	for (i = 0; i < o->nargs && o->command != CMD_PROBE; i++)
		check_mailbox(o->args[i]);
	o->watch |= o->notify;
	if (o->interval == 0)
		o->interval = o->notify ? INTERVAL_NOTIFY : INTERVAL;
	if (o->target == 0)
		o->target = TARGET_ALL;
}

/* ---- what we were started with ---- */

/* A closed descriptor 0, 1 or 2 would be taken by the first file opened. */
static void
open_stdio(void)
{
	int	 fd;

	do {
		if ((fd = open(_PATH_DEVNULL, O_RDWR)) == -1)
			_exit(EX_SYNC_ERROR);
	} while (fd <= STDERR_FILENO);
	close(fd);
}

/* The width of the terminal for a line of progress, or 0: none. */
static uint16_t
find_columns(const struct sup_opts *o)
{
	const char	*term = getenv("TERM");
	struct winsize	 ws;

	if (o->quiet || o->debug || !isatty(STDERR_FILENO) ||
	    (term != NULL && strcmp(term, "dumb") == 0))
		return 0;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == -1 || ws.ws_col == 0)
		return 80;
	return ws.ws_col;
}

/* The path of this program, for the engine, which is it once more. */
static char *
find_self(const char *argv0)
{
	char	*path;

	if (strchr(argv0, '/') != NULL)
		path = realpath(argv0, NULL);
	else
		path = spawn_find(argv0, NULL);
	if (path == NULL)
		fatalx("can't find the file of this program: start it by its "
		    "path");
	return path;
}

/* ---- configuration ---- */

static char *
find_conf(const char *arg)
{
	char	*path, why[200];

	if ((path = conf_path(arg, why, sizeof(why))) == NULL)
		fatalx("%s", why);
	return path;
}

/* 0, or -1 after messages; conf_free() is called in both cases. */
static int
load_conf(struct conf *c, const char *path)
{
	struct buf	 errors = BUF_INIT;
	char		*line, *text;
	int		 ret;

	result_at(FAULT_CONFIGURATION, -1);
	if ((ret = conf_read(c, path, &errors)) == -1) {
		buf_add(&errors, "", 1);
		text = (char *)buf_ptr(&errors);
		while ((line = strsep(&text, "\n")) != NULL)
			if (*line != '\0')
				sup_failed("%s", line);
	}
	buf_free(&errors);
	return ret;
}

static int
open_log(const struct conf *c)
{
	int	 fd;

	if (c->logfile == NULL)
		return -1;
	fd = open(c->logfile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOCTTY, 0600);
	if (fd == -1)
		fatal("logfile %s", c->logfile);
	return fd;
}

/* ---- sessions ---- */

/* The exit status of a session's status. */
static int
exit_status(const struct sup_opts *o, int status, const struct sup_end *end)
{
	if (status == EX_SYNC_LATER)
		return EX_SYNC_ERROR;
	if (status == EX_SYNC_LIMIT)
		status = EX_SYNC_TEMP;
	/* Whoever passes over EX_SYNC_TEMP must not do so for ever. */
	if (status == EX_SYNC_TEMP && o->patience != 0 && end->late)
		return EX_SYNC_ERROR;
	return status;
}

/* For the next session: how this one has ended, and who knows of it. */
static void
remember(struct sup_opts *o, enum backoff_kind kind, const struct sup_end *end)
{
	o->unsaid = (kind == BACKOFF_LOST || kind == BACKOFF_LIMIT) &&
	    o->patience != 0 && !end->late;
	o->again = kind == BACKOFF_DONE ? BACKOFF_NONE :
	    kind == BACKOFF_REFUSED ? BACKOFF_FAILED : kind;
}

/*
 * One session after another, each from a configuration that was read anew: so
 * no secret is kept between them, and a change of it needs no restart.
 */
static int
watch(struct conf *c, struct sup_opts *o, const char *path)
{
	struct backoff		 b;
	struct sup_end		 end;
	enum backoff_kind	 kind;
	int64_t			 begun, wait;
	int			 begun_before = 0, loaded = 1, status;

	memset(&b, 0, sizeof(b));
	for (;;) {
		begun = sup_now();
		memset(&end, 0, sizeof(end));
		status = EX_SYNC_ERROR;
		if (begun_before++)
			result_begin();
		if (loaded || load_conf(c, path) == 0)
			status = sup_session(c, o, &end);
		conf_free(c);
		loaded = 0;
		/* What was said before is no news. */
		if (!end.told && result_known())
			result_print(o, exit_status(o, status, &end));
		if (sup_stopped())
			return exit_status(o, status, &end);
		kind = backoff_kind(status, end.crashed);
		wait = backoff_next(&b, kind, sup_now() - begun,
		    (int64_t)o->interval * 1000, arc4random());
		if (wait == -1)
			return exit_status(o, status, &end);
		log_debug("next session in %lld ms (%s)", (long long)wait,
		    backoff_reason(kind));
		sup_pause(wait, NEXT_TRY, backoff_reason(kind));
		if (sup_stopped())
			return EX_SYNC_OK;
		remember(o, kind, &end);
	}
}

/*
 * --check has met a certificate that it can't verify, and has ended there: another
 * session shows it, which could not log in if it wanted to.
 */
static int
peek(const char *path, struct sup_opts *o, int side, struct sup_end *end)
{
	struct conf	 conf;
	int		 status = EX_SYNC_ERROR;

	if (sup_stopped())
		return status;
	o->peek = 1 + side;
	if (load_conf(&conf, path) == 0)
		status = sup_session(&conf, o, end);
	conf_free(&conf);
	return status == EX_SYNC_OK ? EX_SYNC_ERROR : status;
}

/*
 * A single run.  A server that is too busy to let us in is asked again for as
 * long as busy-wait says; nothing is held meanwhile, neither the state nor a
 * secret.
 */
static int
once(struct conf *c, struct sup_opts *o, const char *path,
    struct sup_end *end)
{
	struct backoff	 b;
	int64_t		 last, wait;
	int		 status;

	memset(&b, 0, sizeof(b));
	last = sup_now();
	if (o->command == CMD_SYNC)
		last += (int64_t)c->busy_wait * 1000;
	for (;;) {
		wait = backoff_next(&b, BACKOFF_LIMIT, 0, 0, arc4random());
		o->more = sup_now() + wait <= last;
		status = sup_session(c, o, end);
		conf_free(c);
		if (status != EX_SYNC_LIMIT || !o->more || sup_stopped())
			return status;
		end->told = 0;
		sup_pause(wait, NEXT_TRY, backoff_reason(BACKOFF_LIMIT));
		if (sup_stopped())
			return EX_SYNC_TEMP;
		if (load_conf(c, path) == -1) {
			conf_free(c);
			return EX_SYNC_ERROR;
		}
	}
}

/*
 * random-delay, for whom nobody waits.  The configuration is read again then, so
 * that no secret is kept: 0, or -1 after a message, or because sup_stopped().
 */
static int
delay(struct conf *c, const struct sup_opts *o, const char *path)
{
	uint32_t	 ms = c->random_delay * 1000;

	if (ms == 0 || o->command != CMD_SYNC || o->dryrun ||
	    isatty(STDERR_FILENO))
		return 0;
	conf_free(c);
	sup_pause(arc4random_uniform(ms + 1), "the run begins",
	    "random-delay");
	result_begin();
	return sup_stopped() ? -1 : load_conf(c, path);
}

static int
run(const char *path, mode_t mask)
{
	struct sup_opts	*o = &main_opts;
	struct sup_end	 end = { 0, 0, 0 };
	struct conf	 conf;
	int		 status;

	if (load_conf(&conf, path) == -1) {
		conf_free(&conf);
		result_print(o, EX_SYNC_ERROR);
		return EX_SYNC_ERROR;
	}
	o->logfd = open_log(&conf);
	if (o->logfd != -1)
		o->logfile = xstrdup(conf.logfile);
	if (conf.syslog && !isatty(STDERR_FILENO))
		o->syslog = 1;
	if (o->syslog)
		say_open_syslog();
	o->columns = find_columns(o);
	await_init(o->columns, o->logfd);
	say_terminal(o->watch && o->columns > 0);
	sup_init(mask, o);
	/* A single run has nothing to tell a manager but its end. */
	if (o->watch) {
		o->notifyfd = notify_open();
		notify_say("STATUS=connecting");
	}
	sandbox_supervisor(o->logfile);
	if (delay(&conf, o, path) == -1) {
		conf_free(&conf);
		result_print(o, EX_SYNC_ERROR);
		return EX_SYNC_ERROR;
	}
	if (o->watch)
		return watch(&conf, o, path);
	status = once(&conf, o, path, &end);
	if (status == EX_SYNC_CERT + LOCAL || status == EX_SYNC_CERT + REMOTE)
		status = peek(path, o, status - EX_SYNC_CERT, &end);
	status = exit_status(o, status, &end);
	if (!end.told)
		result_print(o, status);
	return status;
}

static int
init(const char *path, const char *name, mode_t mask)
{
	struct sup_opts	*o = &main_opts;

	o->columns = find_columns(o);
	await_init(o->columns, -1);
	sup_init(mask, o);
	sandbox_init();
	return init_run(o, path, name);
}

int
main(int argc, char **argv)
{
	struct sup_opts	*o = &main_opts;
	const char	*config = NULL;
	mode_t		 mask;
	char		*path, *self;
	int		 status;

	compat_setproctitle_init(argc, argv, environ);
	if (argc < 1)
		return EX_SYNC_USAGE;
	if (strcmp(argv[0], ENGINE_ARGV0) == 0)
		engine_main();

	open_stdio();
	show_init();
	mask = umask(077);
	sandbox_early();
	o->logfd = o->notifyfd = -1;
	result_begin();
	parse_options(argc, argv, o, &config);
	log_init(main_sink, o->debug);
	o->self = self = find_self(argv[0]);
	path = find_conf(config);
	status = o->command == CMD_PROBE ? init(path, config, mask) :
	    run(path, mask);
	free(o->adopt);
	free(o->logfile);
	free(o->import);
	free(path);
	free(self);
	sup_raise();
	return status;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The command line; then one session.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <paths.h>
#include <stdio.h>

#include "imapsync.h"
#include "sandbox.h"

extern char	**environ;

static int	 main_quiet;
static int	 main_logfd = -1;

/* ---- messages ---- */

/*
 * The engine writes to the same files, in the same form: whole lines, each with
 * one write(2).
 */
static void
main_sink(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	(void)mailbox;
	progress_print(main_logfd, level >= LOG_LV_WARN ||
	    (!main_quiet && main_logfd == -1), text);
	if (status >= 0)
		sup_abort();
}

/* ---- the command line ---- */

static void
usage(FILE *f)
{
	fprintf(f, "usage: imapsync [-q] [--adopt mailbox] [--allow-delete] "
	    "[--config=file]\n"
	    "                [--debug] [--dry-run] [--retry] [mailbox ...]\n"
	    "       imapsync --help | --version\n");
}

static __dead void
usage_error(const char *text)
{
	if (text != NULL)
		fprintf(stderr, "imapsync: %s\n", text);
	usage(stderr);
	exit(EX_SYNC_USAGE);
}

static __dead void
help(void)
{
	usage(stdout);
	printf("\nKeep two IMAP servers identical, in both directions.\n\n"
	    "  --adopt mailbox  drop what is remembered of it, pair its "
	    "messages by content\n"
	    "  --allow-delete   go on where a run stopped since much would "
	    "be deleted\n"
	    "  --config=file    read this instead of "
	    "~/.config/imapsync/config\n"
	    "  --debug          print all that is said to and by the servers; "
	    "twice: with\n"
	    "                   passwords\n"
	    "  --dry-run        print what would be done, change nothing\n"
	    "  -h, --help       this text\n"
	    "  -q, --quiet      print warnings and errors only\n"
	    "  --retry          offer messages again that a server has "
	    "refused\n"
	    "  --version        print the version\n\n"
	    "With mailboxes only these are synchronized.  See imapsync(1), "
	    "imapsync.conf(5).\n");
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
}

enum { OPT_ADOPT = 256, OPT_ALLOW, OPT_CONFIG, OPT_DEBUG, OPT_DRYRUN,
	OPT_RETRY, OPT_VERSION };

static const struct option longopts[] = {
	{ "adopt",	  required_argument, NULL, OPT_ADOPT },
	{ "allow-delete", no_argument,	     NULL, OPT_ALLOW },
	{ "config",	  required_argument, NULL, OPT_CONFIG },
	{ "debug",	  no_argument,	     NULL, OPT_DEBUG },
	{ "dry-run",	  no_argument,	     NULL, OPT_DRYRUN },
	{ "help",	  no_argument,	     NULL, 'h' },
	{ "quiet",	  no_argument,	     NULL, 'q' },
	{ "retry",	  no_argument,	     NULL, OPT_RETRY },
	{ "version",	  no_argument,	     NULL, OPT_VERSION },
	{ NULL,		  0,		     NULL, 0 }
};

static void
add_adopt(struct sup_opts *o, char *name)
{
	check_mailbox(name);
	o->adopt = xreallocarray(o->adopt, o->nadopt + 1, sizeof(*o->adopt));
	o->adopt[o->nadopt++] = name;
}

static void
parse_options(int argc, char **argv, struct sup_opts *o, const char **config)
{
	size_t	 i;
	int	 ch;

	while ((ch = getopt_long(argc, argv, "hq", longopts, NULL)) != -1)
		switch (ch) {
		case OPT_ADOPT:
			add_adopt(o, optarg);
			break;
		case OPT_ALLOW:
			o->allow_delete = 1;
			break;
		case OPT_CONFIG:
			if (*optarg == '\0')
				usage_error("--config needs the name of a "
				    "file");
			*config = optarg;
			break;
		case OPT_DEBUG:
			if (o->debug < 2)
				o->debug++;
			break;
		case OPT_DRYRUN:
			o->dryrun = 1;
			break;
		case OPT_RETRY:
			o->retry = 1;
			break;
		case OPT_VERSION:
			printf("imapsync %s\n", IMAPSYNC_VERSION);
			exit(EX_SYNC_OK);
		case 'h':
			help();
		case 'q':
			o->quiet = 1;
			break;
		default:
			usage_error(NULL);
		}
	o->args = argv + optind;
	o->nargs = argc - optind;
	for (i = 0; i < o->nargs; i++)
		check_mailbox(o->args[i]);
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

static char *
find_in_path(const char *name)
{
	const char	*path = getenv("PATH");
	char		*copy, *dir, *file, *found = NULL, *next;
	struct stat	 st;

	next = copy = xstrdup(path != NULL ? path : _PATH_DEFPATH);
	while (found == NULL && (dir = strsep(&next, ":")) != NULL) {
		if (asprintf(&file, "%s/%s", *dir == '\0' ? "." : dir,
		    name) == -1)
			fatal(NULL);
		if (stat(file, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(file, X_OK) == 0)
			found = realpath(file, NULL);
		free(file);
	}
	free(copy);
	return found;
}

/* The path of this program, for the engine, which is it once more. */
static char *
find_self(const char *argv0)
{
	char	*path;

	if (strchr(argv0, '/') != NULL)
		path = realpath(argv0, NULL);
	else
		path = find_in_path(argv0);
	if (path == NULL)
		fatalx("can't find the file of this program: start it by its "
		    "path");
	return path;
}

/* ---- configuration ---- */

static void
load_conf(struct conf *c, const char *arg)
{
	struct buf	 errors = BUF_INIT;
	char		*line, *path, *text, why[200];

	if ((path = conf_path(arg, why, sizeof(why))) == NULL)
		fatalx("%s", why);
	if (conf_read(c, path, &errors) == -1) {
		buf_add(&errors, "", 1);
		text = (char *)buf_ptr(&errors);
		while ((line = strsep(&text, "\n")) != NULL)
			if (*line != '\0')
				sup_error("%s", line);
		conf_free(c);
		exit(EX_SYNC_ERROR);
	}
	buf_free(&errors);
	free(path);
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

int
main(int argc, char **argv)
{
	struct sup_opts	 opts;
	struct conf	 conf;
	const char	*config = NULL;
	mode_t		 mask;
	char		*self;
	int		 status;

	compat_setproctitle_init(argc, argv, environ);
	if (argc < 1)
		return EX_SYNC_USAGE;
	if (strcmp(argv[0], ENGINE_ARGV0) == 0)
		engine_main();

	open_stdio();
	mask = umask(077);
	sandbox_early();
	memset(&opts, 0, sizeof(opts));
	parse_options(argc, argv, &opts, &config);
	main_quiet = opts.quiet;
	log_init(main_sink, opts.debug);
	opts.self = self = find_self(argv[0]);

	load_conf(&conf, config);
	opts.logfd = main_logfd = open_log(&conf);
	sup_init(mask);
	sandbox_supervisor();
	status = sup_session(&conf, &opts);
	conf_free(&conf);
	free(opts.adopt);
	free(self);
	sup_raise();
	return status;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --init: what a configuration needs, from the arguments, and on a terminal
 * from questions; what was said is tried before it is written.
 *
 * The supervisor learns from a try whether it was good, and nothing else: the
 * server is spoken with by a locked worker, and the engine prints what that has
 * seen.  No password is there while it is tried.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "init.h"
#include "say.h"

#define TRY_SECONDS	10	/* for a server to answer */
#define TEXT_ROOM	(64 * 1024)	/* of the file: no copies of a secret */

/* ---- questions ---- */

/* Ctrl-C at a question ends us at once: nothing has been written. */
static char *
read_line(void)
{
	char	 buf[INIT_LINE + 1], c;
	size_t	 len = 0;
	ssize_t	 n;

	sup_default(1);
	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
		if (len < INIT_LINE)
			buf[len++] = c;
	sup_default(0);
	if (n != 1 && len == 0)
		return NULL;
	while (len > 0 && isspace((unsigned char)buf[len - 1]))
		len--;
	buf[len] = '\0';
	return xstrdup(buf + strspn(buf, " \t"));
}

char *
init_ask(const struct init *in, const char *question, const char *def)
{
	char	*line;

	if (!in->ask)
		return def != NULL ? xstrdup(def) : NULL;
	for (;;) {
		if (def != NULL)
			dprintf(STDOUT_FILENO, "%s [%s]: ", question, def);
		else
			dprintf(STDOUT_FILENO, "%s: ", question);
		if ((line = read_line()) == NULL || *line != '\0')
			return line;
		free(line);
		if (def != NULL)
			return xstrdup(def);
	}
}

int
init_choose(const struct init *in, const char *question,
    const char *const *choices, int n)
{
	const char	*error;
	char		*line;
	int		 i, got;

	if (!in->ask || n == 1)
		return 0;
	say_out("%s", question);
	for (i = 0; i < n; i++)
		say_out("  %d  %s", i + 1, choices[i]);
	for (;;) {
		if ((line = init_ask(in, "Number", "1")) == NULL)
			return -1;
		got = (int)strtonum(line, 1, n, &error);
		free(line);
		if (error == NULL)
			return got - 1;
		say_out("A number from 1 to %d.", n);
	}
}

/* ---- words ---- */

char *
init_word(const char *s)
{
	struct buf	 b = BUF_INIT;
	const char	*p;
	char		*word;

	for (p = s; isalnum((unsigned char)*p) || (*p != '\0' &&
	    strchr("@%+=:,./_-", *p) != NULL); p++)
		;
	if (*p == '\0' && *s != '\0')
		return xstrdup(s);
	buf_puts(&b, "'");
	for (p = s; *p != '\0'; p++)
		if (*p == '\'')
			buf_puts(&b, "'\\''");
		else
			buf_add(&b, p, 1);
	buf_add(&b, "'", 2);
	word = xstrdup((char *)buf_ptr(&b));
	buf_free(&b);
	return word;
}

int
init_set(struct init *in, enum draft_section sec, const char *key,
    const char *val)
{
	const char	*why = draft_set(&in->d, sec, key, val);

	if (why == NULL)
		return 0;
	sup_error("--init: %s: %s", key, why);
	return -1;
}

const char *
init_get(const struct init *in, enum draft_section sec, const char *key)
{
	return draft_get(&in->d, sec, key);
}

int
init_istunnel(const struct init *in, enum draft_section sec)
{
	const char	*type = init_get(in, sec, "type");

	return type != NULL && strcmp(type, "tunnel") == 0;
}

/* ---- tries ---- */

/* The errors of what is ours, without lines that nobody has seen. */
static void
say_errors(struct buf *errors)
{
	const char	*p;
	char		*line, *text;

	buf_add(errors, "", 1);
	text = (char *)buf_ptr(errors);
	while ((line = strsep(&text, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		p = line + strlen("--init:");
		p += strspn(p, "0123456789: ");
		sup_error("--init: %s", p);
	}
}

int
init_parse(struct init *in, enum side side, struct conf *c)
{
	struct buf	 errors = BUF_INIT, text = BUF_INIT;
	int		 ret;

	draft_probe(&in->d, side, &text);
	ret = conf_parse(c, "--init", (char *)buf_ptr(&text), text.len,
	    &errors);
	if (ret == -1)
		say_errors(&errors);
	buf_free(&errors);
	buf_wipe(&text);
	buf_free(&text);
	return ret;
}

int
init_try(struct init *in, enum side side)
{
	struct sup_opts	 o = *in->opts;
	struct sup_end	 end = { 0, 0, 0 };
	struct conf	 c;
	int		 status = EX_SYNC_ERROR;

	o.command = CMD_PROBE;
	o.target = side == LOCAL ? TARGET_LOCAL : TARGET_REMOTE;
	o.nargs = 0;
	if (init_parse(in, side, &c) == 0) {
		conf_wipe(&c.side[side].password);
		conf_wipe(&c.side[side].password_command);
		/* A tunnel may ask for a passphrase first. */
		if (c.side[side].type != CONN_TUNNEL)
			c.side[side].timeout = TRY_SECONDS;
		status = sup_session(&c, &o, &end);
	}
	conf_free(&c);
	if (status == EX_SYNC_LIMIT)
		return EX_SYNC_TEMP;
	return status == EX_SYNC_LATER ? EX_SYNC_ERROR : status;
}

/* ---- files ---- */

static int
make_dirs(struct init *in, const char *path)
{
	char	*copy = xstrdup(path), *p;
	int	 ret = 0;

	for (p = copy + 1; ret == 0 && (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(copy, 0700) == 0) {
			if (in->newdir == NULL)
				in->newdir = xstrdup(copy);
		} else if (errno != EEXIST) {
			sup_error("%s: %s", copy, strerror(errno));
			ret = -1;
		}
		*p = '/';
	}
	free(copy);
	return ret;
}

/* What we have made goes again. */
static void
unmake(struct init *in)
{
	char	*dir = xstrdup(in->dir), *p;

	if (in->made)
		(void)unlink(in->dovecot);
	while (in->newdir != NULL && rmdir(dir) == 0 &&
	    strcmp(dir, in->newdir) != 0 && (p = strrchr(dir, '/')) != NULL)
		*p = '\0';
	free(dir);
}

/* A new file, for this user alone; what is there already is not touched. */
int
init_file(struct init *in, const char *path, const struct buf *text)
{
	size_t	 done = 0;
	ssize_t	 n;
	int	 fd;

	if (make_dirs(in, path) == -1)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1) {
		sup_error("%s: %s", path, strerror(errno));
		return -1;
	}
	while (done < text->len) {
		n = write(fd, buf_ptr(text) + done, text->len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	if (done == text->len && fsync(fd) == 0 && close(fd) == 0)
		return 0;
	sup_error("%s: %s", path, strerror(errno));
	(void)unlink(path);
	return -1;
}

/* ---- the whole ---- */

static void
say_next(const struct init *in, const char *name)
{
	char	*word = name != NULL ? init_word(name) : xstrdup("");
	char	*opt;
	int	 filled = in->hint.len == 0;

	if (asprintf(&opt, "%s%s", name != NULL ? " --config=" : "",
	    word) == -1)
		fatal(NULL);
	say_out("Written: %s%s%s", in->path, in->made ? " and " : "",
	    in->made ? in->dovecot : "");
	say_out("Next:");
	if (in->store.len > 0)
		say_out("    %s", (char *)buf_ptr(&in->store));
	if (!filled)
		say_out("    edit %s: where the password comes from",
		    in->path);
	say_out("    imapsync%s --check", opt);
	say_out("    imapsync%s --dry-run", opt);
	say_out("    imapsync%s", opt);
	free(opt);
	free(word);
}

/* All that is known, as it will be read. */
static int
write_conf(struct init *in)
{
	struct buf	 errors = BUF_INIT, text = BUF_INIT;
	struct conf	 c;
	int		 ret;

	buf_room(&text, TEXT_ROOM);
	draft_text(&in->d, in->hint.len > 0 ? (char *)buf_ptr(&in->hint) :
	    NULL, &text);
	ret = conf_parse(&c, "--init", (char *)buf_ptr(&text), text.len,
	    &errors);
	conf_free(&c);
	if (ret == -1)
		say_errors(&errors);
	else
		ret = init_file(in, in->path, &text);
	buf_free(&errors);
	buf_wipe(&text);
	buf_free(&text);
	return ret;
}

/* Letters, digits and "._-" of a file's name; "" for the default one. */
static char *
account_name(const char *name)
{
	const char	*base;
	char		*account, *p;

	if (name == NULL)
		return xstrdup("");
	base = strrchr(name, '/');
	account = xstrdup(base != NULL ? base + 1 : name);
	for (p = account; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL)
			*p = '_';
	if (strcmp(account, "config") == 0)
		*account = '\0';
	return account;
}

/* Several accounts have a state each, also if they are on one host. */
static int
init_state(struct init *in)
{
	char	*file;
	int	 ret;

	if (*in->account == '\0' ||
	    init_get(in, DRAFT_GLOBAL, "database") != NULL)
		return 0;
	if (asprintf(&file, "%s.db", in->account) == -1)
		fatal(NULL);
	ret = init_set(in, DRAFT_GLOBAL, "database", file);
	free(file);
	return ret;
}

static int
init_args(struct init *in)
{
	const char	*why;
	struct conf	 c;
	size_t		 i, first;
	int		 bad = 0, side;

	first = in->opts->nargs > 0 && strchr(in->opts->args[0], '=') == NULL;
	for (i = first; i < in->opts->nargs; i++)
		if ((why = draft_arg(&in->d, in->opts->args[i])) != NULL) {
			sup_error("--init: %.*s: %s",
			    (int)strcspn(in->opts->args[i], "="),
			    in->opts->args[i], why);
			bad = 1;
		}
	if (first && init_account(in, in->opts->args[0]) == -1)
		bad = 1;
	/* What is missing is not wrong yet, but for a tunnel's command. */
	for (side = 0; side < SIDES; side++) {
		if (init_istunnel(in, DRAFT_LOCAL + side) &&
		    init_get(in, DRAFT_LOCAL + side, "command") == NULL)
			continue;
		bad |= init_parse(in, side, &c) == -1;
		conf_free(&c);
	}
	return bad ? -1 : 0;
}

static int
init_all(struct init *in)
{
	int	 status;

	if (init_args(in) == -1)
		return EX_SYNC_USAGE;
	if ((status = init_remote(in)) != EX_SYNC_OK ||
	    (status = init_local(in)) != EX_SYNC_OK)
		return status;
	return init_state(in) == -1 || write_conf(in) == -1 ? EX_SYNC_ERROR :
	    EX_SYNC_OK;
}

int
init_run(struct sup_opts *o, const char *path, const char *name)
{
	const char	*slash = strrchr(path, '/');
	struct stat	 st;
	struct init	 in;
	int		 status;

	memset(&in, 0, sizeof(in));
	if (lstat(path, &st) == 0) {
		sup_error("%s is there already, and is left as it is: edit it, "
		    "or name another one: imapsync --init --config=NAME",
		    path);
		return EX_SYNC_ERROR;
	}
	in.opts = o;
	in.path = path;
	in.dir = slash == NULL ? xstrdup(".") : xstrndup(path, slash - path);
	in.account = account_name(name);
	in.ask = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	draft_init(&in.d);
	status = init_all(&in);
	if (status == EX_SYNC_OK)
		say_next(&in, name);
	else {
		unmake(&in);
		if (!sup_stopped())
			sup_error("--init: nothing was written");
	}
	draft_free(&in.d);
	buf_free(&in.store);
	buf_free(&in.hint);
	free(in.newdir);
	free(in.user);
	free(in.host);
	free(in.dovecot);
	free(in.maildir);
	free(in.dir);
	free(in.account);
	return status;
}

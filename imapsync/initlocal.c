/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --init, the local side: by default a Dovecot that this user alone has, with a
 * configuration that is made as well.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "init.h"
#include "samples.h"
#include "say.h"

#define SBIN_PATH	"/usr/sbin:/usr/local/sbin:/sbin"

/* The version of the Dovecot that is installed: 2.4 or later? */
static int
dovecot_is24(void)
{
	char	*command, out[64], *path;
	ssize_t	 len;
	pid_t	 pid;
	int	 fds[2], is24 = 0, status;

	if ((path = spawn_find("dovecot", NULL)) == NULL &&
	    (path = spawn_find("dovecot", SBIN_PATH)) == NULL)
		return 0;
	if (asprintf(&command, "%s --version", path) == -1)
		fatal(NULL);
	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	pid = spawn_command(command, -1, fds[1], SPAWN_NULL, NULL);
	close(fds[1]);
	if (pid != -1) {
		len = read(fds[0], out, sizeof(out) - 1);
		out[len > 0 ? len : 0] = '\0';
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			;
		is24 = isdigit((unsigned char)out[0]) &&
		    strncmp(out, "2.3", 3) != 0 && strncmp(out, "2.2", 3) != 0;
	}
	close(fds[0]);
	free(command);
	free(path);
	return is24;
}

/* The sample, with another directory than ~/Maildir. */
static void
dovecot_text(const struct init *in, struct buf *out)
{
	const char	*p = dovecot_is24() ? sample_local24 : sample_local;
	const char	*found;

	while ((found = strstr(p, "~/Maildir")) != NULL) {
		buf_add(out, p, found - p);
		buf_puts(out, in->maildir);
		p = found + strlen("~/Maildir");
	}
	buf_puts(out, p);
}

/* A directory that the sample can hold without quotes or variables. */
static int
maildir_bad(const char *dir)
{
	const char	*p;

	if (*dir != '/' && strncmp(dir, "~/", 2) != 0)
		return 1;
	for (p = dir + 1; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("/._-", *p) == NULL)
			return 1;
	return 0;
}

static int
ask_maildir(struct init *in)
{
	char	*def;

	if (asprintf(&def, "~/Maildir%s%s", *in->account != '\0' ? "-" : "",
	    in->account) == -1)
		fatal(NULL);
	do {
		free(in->maildir);
		in->maildir = init_ask(in, "Directory for the mail", def);
		if (in->maildir == NULL || !maildir_bad(in->maildir))
			break;
		say_out("An absolute path, or one that begins with ~/, of "
		    "letters, digits, \".\", \"_\" and \"-\".");
	} while (in->ask);
	free(def);
	return in->maildir == NULL ? -1 : 0;
}

/* A file of that name may have been changed by somebody: it stays. */
static int
local_own(struct init *in, const char *doveadm)
{
	struct stat	 st;
	char		*command, *file;
	int		 ret;

	if (asprintf(&in->dovecot, "%s/dovecot%s%s.conf", in->dir,
	    *in->account != '\0' ? "-" : "", in->account) == -1)
		fatal(NULL);
	if (lstat(in->dovecot, &st) == 0)
		say_out("%s is there already, and is used as it is.",
		    in->dovecot);
	else if (ask_maildir(in) == -1)
		return -1;
	file = init_word(in->dovecot);
	if (asprintf(&command, "%s -c %s " EXEC_IMAP, doveadm, file) == -1)
		fatal(NULL);
	ret = init_set(in, DRAFT_LOCAL, "command", command);
	free(command);
	free(file);
	return ret;
}

static int
local_system(struct init *in, const char *doveadm)
{
	char	*command;
	int	 ret;

	if (asprintf(&command, "%s " EXEC_IMAP, doveadm) == -1)
		fatal(NULL);
	ret = init_set(in, DRAFT_LOCAL, "command", command);
	free(command);
	return ret;
}

/* No word about the local side: a Dovecot. */
static int
local_dovecot(struct init *in)
{
	static const char *const	 places[] = {
		"in a directory of its own, by a Dovecot that only you use",
		"where the Dovecot of this machine has it"
	};
	char				*doveadm;
	int				 place, ret;

	if ((doveadm = spawn_find("doveadm", NULL)) == NULL) {
		sup_error("--init: there is no doveadm here: install Dovecot "
		    "(dovecot-imapd on Debian, dovecot on OpenBSD), or say "
		    "what the local server is by local.host=, "
		    "local.username= and local.password-command=");
		return -1;
	}
	place = init_choose(in, "Where shall the mail be on this machine?",
	    places, nitems(places));
	if (place == -1)
		ret = -1;
	else if ((ret = init_set(in, DRAFT_LOCAL, "type", "tunnel")) == 0)
		ret = place == 0 ? local_own(in, doveadm) :
		    local_system(in, doveadm);
	if (ret == 0)
		ret = init_set(in, DRAFT_LOCAL, "null-stderr", "YES");
	free(doveadm);
	return ret;
}

/* The Dovecot's configuration is needed to try it; it goes if that fails. */
int
init_local(struct init *in)
{
	struct buf	 text = BUF_INIT;
	int		 ret = 0;

	if (init_get(in, DRAFT_LOCAL, "command") == NULL &&
	    init_get(in, DRAFT_LOCAL, "host") == NULL &&
	    local_dovecot(in) == -1)
		return EX_SYNC_ERROR;
	if (init_get(in, DRAFT_LOCAL, "command") != NULL &&
	    init_get(in, DRAFT_LOCAL, "type") == NULL &&
	    init_set(in, DRAFT_LOCAL, "type", "tunnel") == -1)
		return EX_SYNC_ERROR;
	if (in->maildir != NULL) {
		dovecot_text(in, &text);
		ret = init_file(in, in->dovecot, &text);
		in->made = ret == 0;
		buf_free(&text);
		if (ret == -1)
			return EX_SYNC_ERROR;
	}
	if (init_istunnel(in, DRAFT_LOCAL))
		say_out("Trying %s ...", init_get(in, DRAFT_LOCAL, "command"));
	else
		say_out("Trying the local server ...");
	return init_try(in, LOCAL);
}


/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a worker needs and must not fetch for itself: the password that a
 * command prints, the certificates of authorities, the client's key.
 */
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <signal.h>
#include <stdio.h>

#include "imapsync.h"

#define PASSWORD_MAX	1000		/* octets; as a password in the file */
#define OUTPUT_MAX	65536		/* of what password-command prints */
#define CA_MAX		(16 * 1024 * 1024)

/* ---- password-command ---- */

/* A command that is running. */
struct command {
	pid_t		 pid;
	int		 fd;		/* its standard output */
	int		 ended;		/* with this status: */
	int		 status;
	char		 line[PASSWORD_MAX + 1];
	size_t		 len;
	size_t		 total;		/* octets printed */
	int		 whole;		/* the line has ended */
	const char	*why;		/* what is wrong, or NULL */
};

static void
secret_reap(struct command *cmd)
{
	if (!cmd->ended &&
	    waitpid(cmd->pid, &cmd->status, WNOHANG) == cmd->pid)
		cmd->ended = 1;
}

/* Read what there is; 0 at EOF or where it makes no sense to go on. */
static int
secret_read(struct command *cmd)
{
	char	 buf[512];
	ssize_t	 i, n;

	if ((n = read(cmd->fd, buf, sizeof(buf))) <= 0)
		return 0;
	if ((cmd->total += n) > OUTPUT_MAX)
		cmd->why = "printed too much";
	for (i = 0; i < n && !cmd->whole; i++) {
		if (buf[i] == '\n')
			cmd->whole = 1;
		else if (buf[i] == '\0')
			cmd->why = "printed a NUL";
		else if (cmd->len == PASSWORD_MAX)
			cmd->why = "printed a line that is too long";
		else
			cmd->line[cmd->len++] = buf[i];
	}
	explicit_bzero(buf, sizeof(buf));
	return cmd->why == NULL;
}

/*
 * Read to EOF, or to the command's end: something that it left behind (an
 * agent) may keep the pipe open.
 */
static void
secret_output(struct command *cmd)
{
	struct pollfd	 pfd;
	int		 n;

	pfd.fd = cmd->fd;
	pfd.events = POLLIN;
	do {
		secret_reap(cmd);
		n = sup_poll(&pfd, 1, cmd->ended ? 0 : -1);
		if (n == -1 && sup_stopped())
			cmd->why = "was interrupted";
	} while (cmd->why == NULL && (n == -1 || (n > 0 && secret_read(cmd))));
}

/* Wait for its end; where it is of no use any more, end it. */
static void
secret_wait(struct command *cmd)
{
	int	 sig = SIGTERM;

	for (secret_reap(cmd); !cmd->ended; secret_reap(cmd)) {
		if (sup_stopped() && cmd->why == NULL)
			cmd->why = "was interrupted";
		if (cmd->why != NULL) {
			kill(cmd->pid, sig);
			sig = SIGKILL;
		}
		sup_poll(NULL, 0, cmd->why != NULL ? 1000 : -1);
	}
	if (cmd->why != NULL)
		return;
	if (WIFSIGNALED(cmd->status))
		cmd->why = "was killed by a signal";
	else if (WEXITSTATUS(cmd->status) == 127)
		cmd->why = "was not found";
	else if (WEXITSTATUS(cmd->status) != 0)
		cmd->why = "failed";
	else if (cmd->len == 0)
		cmd->why = "printed nothing in its first line";
}

int
secret_password(struct conf_side *cs)
{
	struct command	 cmd;
	int		 fds[2], later, ok;

	if (cs->password_command == NULL || cs->password != NULL)
		return 0;
	memset(&cmd, 0, sizeof(cmd));
	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	cmd.fd = fds[0];
	/* What it complains of is as well known as our own message. */
	cmd.pid = spawn_command(cs->password_command, -1, fds[1],
	    sup_level(BACKOFF_FAILED) == LOG_LV_DEBUG && !log_debugging() ?
	    SPAWN_NULL : -1, cs);
	if (cmd.pid == -1)
		fatal("fork");
	close(fds[1]);
	await_begin(AWAIT_ASKS, "waiting for the password-command of %s",
	    side_name[cs->side]);
	secret_output(&cmd);
	close(cmd.fd);
	secret_wait(&cmd);
	await_end();
	if (!(ok = cmd.why == NULL))
		sup_settle();
	if (ok)
		cs->password = xstrndup(cmd.line, cmd.len);
	else if (!sup_stopped())
		sup_failed("%s: the password-command %s", side_name[cs->side],
		    cmd.why);
	/* It may ask a network, or an agent that has no key yet. */
	later = !WIFEXITED(cmd.status) || WEXITSTATUS(cmd.status) != 127;
	explicit_bzero(&cmd, sizeof(cmd));
	if (ok)
		return 0;
	return later ? EX_SYNC_LATER : EX_SYNC_ERROR;
}

/* ---- files for TLS ---- */

/* Open for reading, not to be inherited; -1 after a message. */
static int
secret_open(const struct conf_side *cs, const char *key, const char *path)
{
	struct stat	 st;
	int		 fd;

	/* A directory can be opened, and OpenBSD ends who passes it on. */
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1 &&
	    fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		fd = -1;
		errno = EISDIR;
	}
	if (fd == -1)
		sup_failed("%s: %s %s: %s", side_name[cs->side], key, path,
		    strerror(errno));
	return fd;
}

/* Append all of "from" to "to"; 0 or -1 (errno). */
static int
secret_copy(int from, int to, size_t *total)
{
	char	 buf[16384];
	ssize_t	 n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if ((*total += n) > CA_MAX) {
			errno = EFBIG;
			return -1;
		}
		if (write(to, buf, n) != n)
			return -1;
	}
	return n == -1 || write(to, "\n", 1) != 1 ? -1 : 0;
}

/* An unlinked file. */
static int
secret_temp(void)
{
	const char	*dir = getenv("TMPDIR");
	char		*path;
	int		 fd;

	if (dir == NULL || *dir != '/')
		dir = _PATH_TMP;
	if (asprintf(&path, "%s/imapsync.XXXXXXXXXX", dir) == -1)
		fatal(NULL);
	if ((fd = mkostemp(path, O_CLOEXEC)) != -1)
		unlink(path);
	free(path);
	return fd;
}

/* Is it the name of a certificate in a hashed directory: 1a2b3c4d.0? */
static int
secret_hashed(const char *name)
{
	size_t	 n = strspn(name, "0123456789abcdef");

	return n == 8 && name[n] == '.' && name[n + 1] != '\0' &&
	    strspn(name + n + 1, "0123456789") == strlen(name + n + 1);
}

/* Append the certificates of a directory; how many files, or -1 (errno). */
static int
secret_directory(const char *path, int to, size_t *total)
{
	struct dirent	*de;
	DIR		*dir;
	int		 fd, n = 0;

	if ((dir = opendir(path)) == NULL)
		return -1;
	while ((de = readdir(dir)) != NULL) {
		if (!secret_hashed(de->d_name))
			continue;
		fd = openat(dirfd(dir), de->d_name, O_RDONLY | O_CLOEXEC);
		if (fd == -1 || secret_copy(fd, to, total) == -1) {
			n = errno;
			if (fd != -1)
				close(fd);
			closedir(dir);
			errno = n;
			return -1;
		}
		close(fd);
		n++;
	}
	closedir(dir);
	return n;
}

/*
 * The worker can't open a directory any more when it would look into one: it
 * gets all of it as one file, with SSL_CAfile in front.
 */
static int
secret_ca_all(const struct conf_side *cs)
{
	const char	*key = "SSL_CApath", *path = cs->ssl_capath;
	size_t		 total = 0;
	int		 fd = -1, n = 0, to;

	if ((to = secret_temp()) == -1) {
		sup_failed("%s: a temporary file: %s", side_name[cs->side],
		    strerror(errno));
		return -1;
	}
	if (cs->ssl_cafile != NULL) {
		fd = secret_open(cs, "SSL_CAfile", cs->ssl_cafile);
		if (fd == -1)
			goto fail;
		if (secret_copy(fd, to, &total) == -1) {
			key = "SSL_CAfile";
			path = cs->ssl_cafile;
			n = -1;
		}
		close(fd);
	}
	if (n == 0)
		n = secret_directory(path, to, &total);
	if (n == -1)
		sup_failed("%s: %s %s: %s", side_name[cs->side], key, path,
		    strerror(errno));
	else if (n == 0)
		sup_failed("%s: SSL_CApath %s: no certificates in hash format "
		    "(openssl rehash)", side_name[cs->side], path);
	else if (lseek(to, 0, SEEK_SET) == 0)
		return to;
fail:
	close(to);
	return -1;
}

static int
secret_ca(const struct conf_side *cs, int *ca)
{
	static const char *const files[] = { COMPAT_CA_FILES };
	size_t			 i;

	if (cs->ssl_capath != NULL)
		*ca = secret_ca_all(cs);
	else if (cs->ssl_cafile != NULL)
		*ca = secret_open(cs, "SSL_CAfile", cs->ssl_cafile);
	else {
		for (i = 0; i < nitems(files) && *ca == -1; i++)
			*ca = open(files[i], O_RDONLY | O_CLOEXEC);
		/* A fingerprint does without. */
		if (*ca == -1 && cs->ssl_fingerprint[0] != '\0')
			return 0;
		if (*ca == -1)
			sup_failed("%s: this system has no certificates of "
			    "authorities where they are expected: set "
			    "SSL_CAfile", side_name[cs->side]);
	}
	return *ca == -1 ? -1 : 0;
}

int
secret_files(const struct conf_side *cs, struct secret_files *sf)
{
	const char	*key = cs->ssl_key;

	sf->ca = sf->cert = sf->key = -1;
	if (cs->type == CONN_TUNNEL ||
	    (cs->type == CONN_IMAP && !cs->starttls))
		return 0;
	if (cs->ssl_verify && secret_ca(cs, &sf->ca) == -1)
		return -1;
	if (cs->ssl_cert == NULL)
		return 0;
	/* One file may hold both. */
	if (key == NULL)
		key = cs->ssl_cert;
	if ((sf->cert = secret_open(cs, "SSL_cert", cs->ssl_cert)) == -1 ||
	    (sf->key = secret_open(cs, "SSL_key", key)) == -1) {
		secret_close(sf);
		return -1;
	}
	return 0;
}

void
secret_close(struct secret_files *sf)
{
	if (sf->ca != -1)
		close(sf->ca);
	if (sf->cert != -1)
		close(sf->cert);
	if (sf->key != -1)
		close(sf->key);
	sf->ca = sf->cert = sf->key = -1;
}

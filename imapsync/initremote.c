/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --init, the remote side: where it is, who logs in, where the password comes
 * from.
 */
#include <sys/socket.h>

#include <netdb.h>
#include <pwd.h>
#include <readpassphrase.h>
#include <stdio.h>

#include "init.h"
#include "say.h"

/* ---- who, and how ---- */

/* USER@HOST, HOST, with :PORT behind. */
int
init_account(struct init *in, const char *arg)
{
	const char	*at = strrchr(arg, '@'), *host, *port;

	host = at != NULL ? at + 1 : arg;
	free(in->user);
	free(in->host);
	in->user = at != NULL ? xstrndup(arg, at - arg) : NULL;
	port = strchr(host, ':');
	if (port != NULL && strchr(port + 1, ':') == NULL && *host != '[') {
		in->host = xstrndup(host, port - host);
		if (init_set(in, DRAFT_REMOTE, "port", port + 1) == -1)
			return -1;
	} else
		in->host = xstrdup(host);
	if (*in->host != '\0' && (at == NULL || at > arg))
		return 0;
	sup_error("--init: %s is not of the form user@host", arg);
	return -1;
}

static int
ask_account(struct init *in)
{
	char	*line;
	int	 ret = -1;

	if (init_get(in, DRAFT_REMOTE, "host") != NULL) {
		if (in->host == NULL)
			in->host = xstrdup(init_get(in, DRAFT_REMOTE, "host"));
		return 0;
	}
	while (in->host == NULL && ret == -1) {
		line = init_ask(in, "Account on the mail server (user@host)",
		    NULL);
		if (line == NULL) {
			if (!in->ask)
				sup_error("--init needs the account on the "
				    "mail server, as user@host, where there "
				    "is no terminal to ask on");
			return -1;
		}
		ret = init_account(in, line);
		free(line);
		if (ret == -1) {
			free(in->host);
			in->host = NULL;
		}
	}
	return 0;
}

static int
ask_kind(struct init *in)
{
	static const char *const	 kinds[] = {
		"TLS and a password",
		"ssh, to a Dovecot on that machine (no password for IMAP)"
	};
	int				 kind;

	/* Whoever names a port or a type has said it. */
	if (init_get(in, DRAFT_REMOTE, "type") != NULL ||
	    init_get(in, DRAFT_REMOTE, "port") != NULL ||
	    init_get(in, DRAFT_REMOTE, "username") != NULL ||
	    init_get(in, DRAFT_REMOTE, "password-command") != NULL)
		return 0;
	if ((kind = init_choose(in, "How is it reached?", kinds,
	    nitems(kinds))) <= 0)
		return kind;
	return init_set(in, DRAFT_REMOTE, "type", "tunnel");
}

static int
remote_tunnel(struct init *in)
{
	char	*to, *account, *command;
	int	 ret;

	if (init_set(in, DRAFT_REMOTE, "host", in->host) == -1)
		return EX_SYNC_ERROR;
	if (init_get(in, DRAFT_REMOTE, "command") == NULL) {
		if (asprintf(&account, "%s%s%s", in->user != NULL ? in->user :
		    "", in->user != NULL ? "@" : "", in->host) == -1)
			fatal(NULL);
		to = init_ask(in, "What ssh connects to (a name of "
		    "~/.ssh/config, or user@host)", account);
		free(account);
		if (to == NULL)
			return EX_SYNC_ERROR;
		account = init_word(to);
		free(to);
		/* A command that the key is bound to takes the place of it. */
		if (asprintf(&command, "ssh -T %s%s doveadm " EXEC_IMAP,
		    *account == '-' ? "-- " : "", account) == -1)
			fatal(NULL);
		free(account);
		ret = init_set(in, DRAFT_REMOTE, "command", command);
		free(command);
		if (ret == -1)
			return EX_SYNC_ERROR;
	}
	if (init_get(in, DRAFT_REMOTE, "null-stderr") == NULL &&
	    init_set(in, DRAFT_REMOTE, "null-stderr", "YES") == -1)
		return EX_SYNC_ERROR;
	say_out("Trying %s ...", init_get(in, DRAFT_REMOTE, "command"));
	return init_try(in, REMOTE);
}

/* Has the name an address?  A proxy may know more than we. */
static int
has_name(const struct init *in, const char *host)
{
	struct addrinfo	 hints, *res = NULL;
	int		 error;

	if (init_get(in, DRAFT_REMOTE, "proxy") != NULL)
		return 1;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	sup_default(1);
	error = getaddrinfo(host, NULL, &hints, &res);
	sup_default(0);
	if (error == 0)
		freeaddrinfo(res);
	else
		say_out("%s can't be looked up (%s).", host,
		    gai_strerror(error));
	return error == 0;
}

/* One name and one port: its status. */
static int
try_server(struct init *in, const char *host, int starttls)
{
	const char	*type = init_get(in, DRAFT_REMOTE, "type");
	const char	*port = init_get(in, DRAFT_REMOTE, "port");

	if (init_set(in, DRAFT_REMOTE, "host", host) == -1 ||
	    (type == NULL && starttls &&
	    init_set(in, DRAFT_REMOTE, "type", "imap") == -1))
		return EX_SYNC_ERROR;
	if (port == NULL)
		port = starttls || (type != NULL && strcmp(type, "imap") == 0) ?
		    "143" : "993";
	say_out("Trying %s port %s ...", host, port);
	return init_try(in, REMOTE);
}

/*
 * The mail server of a domain often is not the machine of that name.  What is
 * guessed is harmless: no password is sent, and the certificate must have the
 * name that was guessed.  Sets *guessed if it was.
 */
static int
find_server(struct init *in, int *guessed)
{
	static const char *const	 prefixes[] = { "", "imap.", "mail." };
	int	 exact = init_get(in, DRAFT_REMOTE, "host") != NULL ||
		    confval_isaddr(in->host) || strchr(in->host, '.') == NULL ||
		    strncmp(in->host, "imap.", 5) == 0 ||
		    strncmp(in->host, "mail.", 5) == 0 || *in->host == '[';
	int	 set_port = init_get(in, DRAFT_REMOTE, "type") != NULL ||
		    init_get(in, DRAFT_REMOTE, "port") != NULL;
	int	 good = 0, starttls, status = EX_SYNC_TEMP;
	size_t	 i;
	char	*host;

	for (i = 0; i < (exact ? 1 : nitems(prefixes)) && !good; i++) {
		if (asprintf(&host, "%s%s", prefixes[i], in->host) == -1)
			fatal(NULL);
		for (starttls = 0; starttls <= !set_port && !good &&
		    (exact || has_name(in, host)); starttls++) {
			if (!set_port)
				draft_unset(&in->d, DRAFT_REMOTE, "type");
			status = try_server(in, host, starttls);
			*guessed = i > 0;
			good = status == EX_SYNC_OK || sup_stopped();
		}
		free(host);
	}
	return status;
}

/* Who logs in: as it was said, or by the address if the host is another. */
static int
ask_user(struct init *in, int guessed)
{
	const struct passwd	*pw;
	char			*def = NULL, *line;
	int			 ret;

	if (init_get(in, DRAFT_REMOTE, "username") != NULL)
		return 0;
	if (in->user != NULL && guessed) {
		if (asprintf(&def, "%s@%s", in->user, in->host) == -1)
			fatal(NULL);
	} else if (in->user != NULL)
		def = xstrdup(in->user);
	else if (in->ask && (pw = getpwuid(getuid())) != NULL)
		def = xstrdup(pw->pw_name);
	line = init_ask(in, "Name to log in with there", def);
	free(def);
	if (line == NULL) {
		sup_error("--init needs the name to log in with: user@host, or "
		    "username=name");
		return -1;
	}
	ret = init_set(in, DRAFT_REMOTE, "username", line);
	free(line);
	return ret;
}

/* ---- the password ---- */

enum source { FROM_PASS, FROM_SECRET, FROM_GPG, FROM_OTHER, FROM_FILE,
	FROM_LATER, SOURCES };

/* How it is got, and how it is put there. */
static void
source_commands(const struct init *in, enum source from, char **show,
    char **store)
{
	char	*dir = init_word(in->dir);
	char	*host = init_word(init_get(in, DRAFT_REMOTE, "host"));
	char	*user = init_word(init_get(in, DRAFT_REMOTE, "username"));
	int	 n = 0, m = 0;

	switch (from) {
	case FROM_PASS:
		n = asprintf(show, "pass show mail/%s/%s", host, user);
		m = asprintf(store, "pass insert mail/%s/%s", host, user);
		break;
	case FROM_SECRET:
		n = asprintf(show, "secret-tool lookup service imap server %s "
		    "user %s", host, user);
		m = asprintf(store, "secret-tool store --label=imap service "
		    "imap server %s user %s", host, user);
		break;
	default:
		n = asprintf(show, "gpg --quiet --batch --decrypt %s/%s.gpg",
		    dir, host);
		m = asprintf(store, "gpg --encrypt --default-recipient-self "
		    "--output %s/%s.gpg", dir, host);
		break;
	}
	if (n == -1 || m == -1)
		fatal(NULL);
	free(dir);
	free(host);
	free(user);
}

static int
ask_command(struct init *in)
{
	char	*line;
	int	 ret;

	line = init_ask(in, "Command that prints the password", NULL);
	if (line == NULL)
		return -1;
	ret = init_set(in, DRAFT_REMOTE, "password-command", line);
	free(line);
	return ret;
}

static int
ask_password(struct init *in)
{
	char	 pass[INIT_LINE + 1];
	char	*got;
	int	 ret = -1;

	sup_default(1);
	got = readpassphrase("Password (it is not shown): ", pass,
	    sizeof(pass), RPP_REQUIRE_TTY);
	sup_default(0);
	if (got == NULL)
		sup_error("--init: no password could be asked for");
	else if (*got == '\0')
		sup_error("--init: an empty password");
	else
		ret = init_set(in, DRAFT_REMOTE, "password", pass);
	explicit_bzero(pass, sizeof(pass));
	return ret;
}

/* Nobody was asked, or has an answer: the commands, as comments. */
static void
hint_password(struct init *in)
{
	char	*show, *store;
	int	 from;

	buf_puts(&in->hint, "# A command that prints the password: remove the "
	    "# in front of one of these.\n");
	for (from = FROM_PASS; from <= FROM_GPG; from++) {
		source_commands(in, from, &show, &store);
		buf_printf(&in->hint, "#password-command = %s\n", show);
		free(show);
		free(store);
	}
	buf_add(&in->hint, "", 1);
}

/* What is installed comes first. */
static int
ask_source(struct init *in)
{
	static const char *const	 tools[] = { "pass", "secret-tool",
					    "gpg" };
	const char	*words[SOURCES];
	char		*path, *show[FROM_OTHER], *store[FROM_OTHER];
	int		 from[SOURCES], got, i, n = 0, ret = 0;

	for (i = FROM_PASS; i <= FROM_GPG; i++) {
		source_commands(in, i, &show[i], &store[i]);
		if ((path = spawn_find(tools[i], NULL)) != NULL) {
			from[n] = i;
			words[n++] = show[i];
		}
		free(path);
	}
	from[n] = FROM_OTHER;
	words[n++] = "another command that prints it";
	from[n] = FROM_FILE;
	words[n++] = "typed now, and written into the configuration";
	from[n] = FROM_LATER;
	words[n++] = "later: I fill it in myself";
	got = init_choose(in, "Where does the password come from?", words, n);
	if (got == -1)
		ret = -1;
	else if (from[got] < FROM_OTHER) {
		ret = init_set(in, DRAFT_REMOTE, "password-command",
		    show[from[got]]);
		buf_puts(&in->store, store[from[got]]);
		buf_add(&in->store, "", 1);
	} else if (from[got] == FROM_OTHER)
		ret = ask_command(in);
	else if (from[got] == FROM_FILE)
		ret = ask_password(in);
	else
		hint_password(in);
	for (i = FROM_PASS; i <= FROM_GPG; i++) {
		free(show[i]);
		free(store[i]);
	}
	return ret;
}

/*
 * A certificate that is not verified and no key that it must have: anybody in
 * between could be given the password.
 */
static int
needs_pin(const struct init *in)
{
	const char	*verify = init_get(in, DRAFT_REMOTE, "SSL_verify");

	return verify != NULL && confval_bool(verify) == 0 &&
	    init_get(in, DRAFT_REMOTE, "SSL_fingerprint") == NULL;
}

static int
remote_tls(struct init *in)
{
	int	 guessed = 0, status;
	char	*line;

	for (;;) {
		status = find_server(in, &guessed);
		if (status == EX_SYNC_OK)
			break;
		if (!in->ask || sup_stopped() || (line = init_ask(in, "Name of "
		    "the mail server (Ctrl-D: give up)", NULL)) == NULL)
			return status;
		free(in->host);
		in->host = line;
		draft_unset(&in->d, DRAFT_REMOTE, "host");
	}
	if (needs_pin(in)) {
		sup_error("--init: the certificate is not verified: if the key "
		    "above is the server's, begin again with "
		    "SSL_fingerprint=KEY beside SSL_verify=NO");
		return EX_SYNC_ERROR;
	}
	if (ask_user(in, guessed) == -1)
		return EX_SYNC_ERROR;
	if (init_get(in, DRAFT_REMOTE, "password-command") != NULL ||
	    init_get(in, DRAFT_REMOTE, "SSL_cert") != NULL)
		return EX_SYNC_OK;
	if (!in->ask) {
		hint_password(in);
		return EX_SYNC_OK;
	}
	return ask_source(in) == -1 ? EX_SYNC_ERROR : EX_SYNC_OK;
}

int
init_remote(struct init *in)
{
	if (ask_account(in) == -1 || ask_kind(in) == -1)
		return EX_SYNC_ERROR;
	return init_istunnel(in, DRAFT_REMOTE) ? remote_tunnel(in) :
	    remote_tls(in);
}


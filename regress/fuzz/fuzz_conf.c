/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The parser of the configuration, fed with anything.  With files as arguments
 * each of them is a test (TAP); without, standard input is parsed once, which
 * is what afl-fuzz(1) wants.  LLVMFuzzerTestOneInput() is there for libFuzzer.
 *
 * What must hold: it neither crashes nor leaks, fails exactly if it says why,
 * shows no password, wherever it stands, and what it accepts is fit for use.
 */
#include <err.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>

#include "imapsync/imapsync.h"

#define INPUT_MAX	(256 * 1024)
#define SECRET		"hunter2"	/* the password of the corpus */

int		 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_conf: %s\n", what);
		abort();
	}
}

static void
check_side(const struct conf_side *cs)
{
	must(cs->host != NULL && *cs->host != '\0' &&
	    strchr(cs->host, '/') == NULL, "a host that is none");
	must(cs->port != 0 && cs->timeout != 0, "a port or timeout of 0");
	must(cs->type != CONN_TUNNEL || cs->command != NULL, "no command");
	must(cs->ssl_max == 0 || cs->ssl_min <= cs->ssl_max, "TLS versions");
	must(cs->proxy == PROXY_NONE || (cs->proxy_host != NULL &&
	    cs->proxy_port != 0), "a proxy without address");
	must(cs->ssl_hostname != NULL && cs->reference != NULL &&
	    cs->username != NULL && cs->auth != NULL, "strings");
}

static int
is_secret(const char *s)
{
	return s != NULL && strcmp(s, SECRET) == 0;
}

static void
check_conf(const struct conf *c)
{
	regex_t	 re;
	size_t	 i;

	must(c->database[0] == '/', "a relative state file");
	for (i = 0; i < c->npatterns; i++)
		must(c->patterns[i][0] != '\0' &&
		    strlen(c->patterns[i]) < NAME_MAX_LEN, "a pattern");
	i = strncmp(c->ignore, "(?i)", 4) == 0 ? 4 : 0;
	must(regcomp(&re, c->ignore + i, REG_EXTENDED | REG_NOSUB) == 0,
	    "an expression that does not compile");
	regfree(&re);
	check_side(&c->side[LOCAL]);
	check_side(&c->side[REMOTE]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf	 errors = BUF_INIT;
	struct conf	 c;
	int		 ret;

	ret = conf_parse(&c, "f", (const char *)data, len, &errors);
	must((ret == -1) == (errors.len > 0), "result and errors differ");
	buf_add(&errors, "", 1);
	if (is_secret(c.side[LOCAL].password) ||
	    is_secret(c.side[REMOTE].password))
		must(strstr((const char *)buf_ptr(&errors), SECRET) == NULL,
		    "a password in a message");
	if (ret == 0)
		check_conf(&c);
	conf_free(&c);
	buf_free(&errors);
	return 0;
}

static void
run(int fd)
{
	static uint8_t	 data[INPUT_MAX];
	size_t		 len = 0;
	ssize_t		 n;

	while (len < sizeof(data) &&
	    (n = read(fd, data + len, sizeof(data) - len)) > 0)
		len += n;
	LLVMFuzzerTestOneInput(data, len);
}

int
main(int argc, char **argv)
{
	int	 fd, i;

	setenv("HOME", "/nonexistent", 1);
	if (argc < 2)
		run(STDIN_FILENO);
	else
		printf("1..%d\n", argc - 1);
	for (i = 1; i < argc; i++) {
		if ((fd = open(argv[i], O_RDONLY)) == -1)
			err(1, "%s", argv[i]);
		run(fd);
		close(fd);
		printf("ok %d - %s\n", i, argv[i]);
	}
	return 0;
}

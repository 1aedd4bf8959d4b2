/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The configuration that --init writes: arguments, what a file can't hold, and
 * that what was written is read as it was meant.
 */
#include "imapsync/imapsync.h"
#include "tap.h"

static struct draft	 d;

static void
fresh(void)
{
	draft_free(&d);
	draft_init(&d);
}

/* The argument is taken ("") or refused with these words in it. */
static void
arg(const char *text, const char *words)
{
	const char	*why = draft_arg(&d, text);

	if (why == NULL)
		why = "";
	ok(*words == '\0' ? *why == '\0' : strstr(why, words) != NULL,
	    "%s: %s", text, *words != '\0' ? words : "taken");
	if (*why != '\0' && *words == '\0')
		printf("#   %s\n", why);
}

static void
is_key(enum draft_section sec, const char *key, const char *val)
{
	const char	*got = draft_get(&d, sec, key);

	is_str(got != NULL ? got : "nothing", val != NULL ? val : "nothing",
	    key);
}

static void
test_args(void)
{
	fresh();
	arg("port=1993", "");
	is_key(DRAFT_REMOTE, "port", "1993");
	is_key(DRAFT_LOCAL, "port", NULL);
	arg("local.port = 143", "");
	is_key(DRAFT_LOCAL, "port", "143");
	arg("remote.timeout=5", "");
	is_key(DRAFT_REMOTE, "timeout", "5");
	arg("max-delete=10%", "");
	is_key(DRAFT_GLOBAL, "max-delete", "10%");
	arg("command=ssh -T a=b", "");
	is_key(DRAFT_REMOTE, "command", "ssh -T a=b");
	arg("port=1", "set twice");
	is_key(DRAFT_REMOTE, "port", "1993");
	arg("password=x", "command line");
	arg("local.password=x", "command line");
	is_key(DRAFT_REMOTE, "password", NULL);
	arg("=x", "KEY=VALUE");
	arg("nothing", "KEY=VALUE");
	arg("username=", "empty");
}

/* What would be read as something else is not taken. */
static void
test_values(void)
{
	static const char *const	 good[] = { "a;b", "a ;b", "#a",
					    "a=b", "\"a", "[x]", "a ; " "x" };
	size_t				 i;

	fresh();
	for (i = 0; i + 1 < nitems(good); i++)
		ok(draft_set(&d, DRAFT_REMOTE, "password", good[i]) == NULL,
		    "%s can be written", good[i]);
	ok(draft_set(&d, DRAFT_REMOTE, "password", good[i]) != NULL,
	    "what looks like a comment can't");
	ok(draft_set(&d, DRAFT_REMOTE, "password", "; a") != NULL,
	    "also at the beginning");
	ok(draft_set(&d, DRAFT_REMOTE, "password", " a") != NULL &&
	    draft_set(&d, DRAFT_REMOTE, "password", "a\t") != NULL,
	    "nor blanks around");
	ok(draft_set(&d, DRAFT_REMOTE, "password", "a\nhost = b") != NULL,
	    "nor another line");
	is_key(DRAFT_REMOTE, "password", "[x]");
	draft_unset(&d, DRAFT_REMOTE, "password");
	is_key(DRAFT_REMOTE, "password", NULL);
	draft_unset(&d, DRAFT_REMOTE, "password");
}

/* As conf_parse() reads the text: its errors, in static storage. */
static const char *
parsed(struct conf *c, struct buf *text)
{
	static char	 out[1000];
	struct buf	 errors = BUF_INIT;

	(void)conf_parse(c, "f", (char *)buf_ptr(text), text->len, &errors);
	snprintf(out, sizeof(out), "%.*s", (int)errors.len,
	    errors.len > 0 ? (char *)buf_ptr(&errors) : "");
	buf_free(&errors);
	return out;
}

static void
test_text(void)
{
	static const char *const	 secrets[] = { "a;b", "#a", "a = b",
					    "x\" ;", "[remote]", ";" };
	struct buf			 text = BUF_INIT;
	struct conf			 c;
	size_t				 i;

	for (i = 0; i < nitems(secrets); i++) {
		fresh();
		draft_set(&d, DRAFT_REMOTE, "password", secrets[i]);
		draft_set(&d, DRAFT_REMOTE, "host", "h");
		draft_set(&d, DRAFT_LOCAL, "type", "tunnel");
		draft_set(&d, DRAFT_LOCAL, "command", "x y");
		draft_set(&d, DRAFT_GLOBAL, "database", "w.db");
		buf_clear(&text);
		draft_text(&d, "#password-command = z\n", &text);
		is_str(parsed(&c, &text), "", "it can be read");
		ok(c.side[REMOTE].password != NULL &&
		    strcmp(c.side[REMOTE].password, secrets[i]) == 0,
		    "%s is what it was", secrets[i]);
		ok(c.side[LOCAL].type == CONN_TUNNEL &&
		    strcmp(c.side[REMOTE].host, "h") == 0 &&
		    strstr(c.database, "/w.db") != NULL &&
		    c.side[REMOTE].password_command == NULL,
		    "and all else");
		conf_free(&c);
	}
	buf_free(&text);
}

/* One side alone; what is not looked at is no account that is meant. */
static void
test_probe(void)
{
	struct buf	 text = BUF_INIT;
	struct conf	 c;

	fresh();
	draft_set(&d, DRAFT_REMOTE, "host", "localhost");
	draft_probe(&d, REMOTE, &text);
	is_str(parsed(&c, &text), "", "the remote side alone");
	ok(c.side[REMOTE].type == CONN_IMAPS &&
	    c.side[LOCAL].type == CONN_TUNNEL, "the other one is none");
	conf_free(&c);
	buf_clear(&text);
	draft_set(&d, DRAFT_LOCAL, "port", "x");
	draft_probe(&d, REMOTE, &text);
	is_str(parsed(&c, &text), "", "what is wrong with the other side");
	conf_free(&c);
	buf_clear(&text);
	draft_probe(&d, LOCAL, &text);
	ok(strstr(parsed(&c, &text), "port = x") != NULL, "shows with it");
	conf_free(&c);
	buf_free(&text);
}

int
main(void)
{
	setenv("HOME", "/home/joe", 1);
	draft_init(&d);
	test_args();
	test_values();
	test_text();
	test_probe();
	draft_free(&d);
	return tap_done();
}

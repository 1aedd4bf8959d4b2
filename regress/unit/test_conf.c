/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The configuration: keys, values, errors, files; the translation of regular
 * expressions.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <regex.h>

#include "imapsync/imapsync.h"
#include "tap.h"

/* What is wrong with a time to wait. */
#define WAIT	"none, or a number and s, m or h, such as 10m (a day at most), " \
		"expected\n"
#define SECTIONS	"[local]\ntype = tunnel\ncommand = imap\n[remote]\n"
#define SECRET		"hunter2"

static char	 dir[60];	/* below TMPDIR */

/* Parse; the errors as one string in static storage. */
static const char *
parse(struct conf *c, const char *text)
{
	static char	 out[8192];
	struct buf	 errors = BUF_INIT;
	int		 ret;

	ret = conf_parse(c, "f", text, strlen(text), &errors);
	snprintf(out, sizeof(out), "%.*s", (int)errors.len,
	    errors.len > 0 ? (const char *)buf_ptr(&errors) : "");
	if ((ret == -1) != (errors.len > 0))
		strlcpy(out, "the result does not fit the errors",
		    sizeof(out));
	buf_free(&errors);
	return out;
}

/* A text as the name of a test: one line. */
static const char *
flat(const char *text)
{
	static char	 name[600];
	char		*p;

	strlcpy(name, *text == '\0' ? "nothing" : text, sizeof(name));
	for (p = name; *p != '\0'; p++)
		if (*p == '\n' || *p == '#')
			*p = '/';
	return name;
}

static void
test_sample(void)
{
	static const char	 text[] =
	    "# comment\n"
	    "list-select-opts = SUBSCRIBED\n"
	    "  ; another\n"
	    "ignore-mailbox = ^virtual(?:\\x00|$)\n\n"
	    "[local]\n"
	    "type = tunnel\n"
	    "command = doveadm exec imap\n"
	    "null-stderr = YES\n\n"
	    "[remote]\n"
	    "host = imap.example.net\n"
	    "username = user\n"
	    "password = x=y # z\n";
	struct conf		 c;
	struct conf_side	*l = &c.side[LOCAL], *r = &c.side[REMOTE];

	setenv("XDG_DATA_HOME", "/data", 1);
	is_str(parse(&c, text), "", "a file as interimap has it");
	is_num(c.selectors, SEL_SUBSCRIBED, "list-select-opts");
	is_str(c.ignore, "^virtual(\001|$)", "ignore-mailbox");
	is_num(c.npatterns, 0, "no patterns");
	is_str(c.database, "/data/imapsync/imap.example.net.db",
	    "the default state file is that of the remote host");
	is_str(c.prefix, "%?n?%?m?%n(%m)&%n?: ?", "default prefix");
	ok(c.direction == DIR_BOTH && c.propagate == PROP_ALL &&
	    c.max_size == 0 && c.max_age == 0 && c.nwatch == 0 && !c.syslog,
	    "everything in both directions, no syslog");
	ok(l->type == CONN_TUNNEL && l->null_stderr && !l->compress,
	    "local: tunnel, null-stderr, no compression");
	is_str(l->command, "doveadm exec imap", "command");
	is_str(l->host, "localhost", "a tunnel's host");
	ok(r->type == CONN_IMAPS && r->port == 993 && r->starttls &&
	    r->compress && r->pipeline && !r->cleartext && r->ssl_verify,
	    "remote: the defaults");
	ok(r->timeout >= 30 && r->ssl_sni && r->ssl_min == 0 &&
	    r->ssl_max == 0 && r->proxy == PROXY_NONE &&
	    r->strategy == STRATEGY_AUTO && r->flags_interval == FLAGS_AUTO,
	    "remote: more defaults");
	is_str(r->ssl_hostname, "imap.example.net", "name for SNI");
	is_str(r->username, "user", "username");
	is_str(r->password, "x=y # z", "a password with = and #");
	is_str(r->auth, "", "the worker chooses the mechanism");
	ok(l->password == NULL && r->password_command == NULL &&
	    r->ssl_cafile == NULL && c.logfile == NULL, "nothing invented");
	conf_free(&c);
	ok(r->password == NULL, "freed");
}

static void
test_values(void)
{
	static const char	 text[] =
	    "database = /var/db/x.db\r\n"
	    "logfile = log\r\n"
	    "log-prefix =\r\n"
	    "list-mailbox = INBOX \"foo\\x00bar\" \"a \\\"b\\\"\\t\\\\\" x*%\n"
	    "list-select-opts = subscribed RecursiveMatch\n"
	    "ignore-mailbox=(?i)^a\n"
	    "timeout = 60\n"
	    "username = both ; a comment\n"
	    "[ local ]\n"
	    "type=imap\n"
	    "host = [::1]\n"
	    "\tport = 1143\n"
	    "STARTTLS = no\n"
	    "compress = on\n"
	    "list-reference = perso/\n"
	    "username = me\n"
	    "strategy = plain\n"
	    "flags-interval = 2h\n"
	    "[remote]\n"
	    "host=IMAP.Example.ORG\n"
	    "proxy=socks5h://me:se:cr@et@[::1]:9050\n"
	    "auth = SCRAM-SHA-256 PLAIN\n"
	    "SSL_protocol_min = TLSv1.2\n"
	    "SSL_protocol_max = TLSv1.3\n"
	    "SSL_fingerprint = sha1$0123456789abcdef0123456789abcdef01234567 "
	    "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n"
	    "SSL_hostname =\n"
	    "SSL_verify = FALSE\n"
	    "SSL_cipherlist = HIGH:!aNULL\n"
	    "SSL_CAfile = /ca\n"
	    "SSL_CApath = /cas\n"
	    "SSL_cert = /cert\n"
	    "SSL_key = /key\n"
	    "pipeline = 0\n"
	    "strategy = condstore\n"
	    "flags-interval = always\n"
	    "cleartext = true\n"
	    "password-command = pass show mail";
	struct conf		 c;
	struct conf_side	*l = &c.side[LOCAL], *r = &c.side[REMOTE];

	is_str(parse(&c, text), "", "all kinds of values");
	is_str(c.database, "/var/db/x.db", "absolute database");
	is_str(c.logfile, "log", "CR LF at the end of a line");
	is_str(c.prefix, "", "an empty prefix");
	ok(c.npatterns == 4 && strcmp(c.patterns[0], "INBOX") == 0 &&
	    strcmp(c.patterns[1], "foo\001bar") == 0 &&
	    strcmp(c.patterns[2], "a \"b\"\t\\") == 0 &&
	    strcmp(c.patterns[3], "x*%") == 0, "patterns");
	is_num(c.selectors, SEL_SUBSCRIBED | SEL_RECURSIVEMATCH, "selectors");
	is_str(c.ignore, "(?i)^a", "case does not matter");
	ok(l->timeout == 60 && r->timeout == 60,
	    "the default section serves both sides");
	is_str(l->username, "me", "a section goes on, and has precedence");
	is_str(r->username, "both", "a comment behind a value");
	ok(l->type == CONN_IMAP && l->port == 1143 && !l->starttls &&
	    l->compress && l->literal, "local");
	is_str(l->host, "::1", "without brackets");
	ok(!l->ssl_sni, "no SNI for an address");
	is_str(l->reference, "perso/", "list-reference");
	is_str(r->host, "imap.example.org", "a host in lower case");
	ok(r->proxy == PROXY_SOCKS5H && r->proxy_port == 9050 &&
	    r->proxy_literal, "proxy");
	is_str(r->proxy_host, "::1", "the proxy's address");
	is_str(r->proxy_user, "me", "the proxy's user");
	is_str(r->proxy_password, "se:cr@et", "the proxy's password");
	is_str(r->auth, "SCRAM-SHA-256 PLAIN", "auth");
	ok(r->ssl_min == 0x0303 && r->ssl_max == 0x0304, "TLS versions");
	ok(!r->ssl_sni && !r->ssl_verify && !r->pipeline && r->cleartext,
	    "booleans");
	ok(r->strategy == STRATEGY_CONDSTORE && l->strategy == STRATEGY_PLAIN,
	    "strategies");
	ok(r->flags_interval == 0 && l->flags_interval == 7200,
	    "flags-intervals");
	is_str(r->ssl_ciphers, "HIGH:!aNULL", "ciphers");
	ok(strcmp(r->ssl_cafile, "/ca") == 0 &&
	    strcmp(r->ssl_capath, "/cas") == 0 &&
	    strcmp(r->ssl_cert, "/cert") == 0 &&
	    strcmp(r->ssl_key, "/key") == 0, "files");
	is_str(r->password_command, "pass show mail", "password-command");
	conf_free(&c);
}

/* What passes, and what is watched. */
static void
test_rules(void)
{
	static const struct {
		const char	*text;
		int		 direction, propagate;
		uint64_t	 max_size, max_age;
	} tests[] = {
		{ "direction = both", DIR_BOTH, PROP_ALL, 0, 0 },
		{ "direction = to-local", DIR_TO_LOCAL, PROP_ALL, 0, 0 },
		{ "direction=to-remote", DIR_TO_REMOTE, PROP_ALL, 0, 0 },
		{ "propagate = new", 0, PROP_NEW, 0, 0 },
		{ "propagate = flags new", 0, PROP_NEW | PROP_FLAGS, 0, 0 },
		{ "propagate =  delete\tdelete ", 0, PROP_DELETE, 0, 0 },
		{ "propagate = new flags delete", 0, PROP_ALL, 0, 0 },
		{ "max-size = 1", 0, PROP_ALL, 1, 0 },
		{ "max-size = 25M", 0, PROP_ALL, 25 << 20, 0 },
		{ "max-size = 10k", 0, PROP_ALL, 10240, 0 },
		{ "max-size = 3G", 0, PROP_ALL, 3221225472, 0 },
		{ "max-size = 9223372036854775807", 0, PROP_ALL, INT64_MAX, 0 },
		{ "max-size = 8589934591G", 0, PROP_ALL, 8589934591 << 30, 0 },
		{ "max-age = 1", 0, PROP_ALL, 0, 86400 },
		{ "max-age = 10d", 0, PROP_ALL, 0, 864000 },
		{ "max-age = 2W", 0, PROP_ALL, 0, 1209600 },
		{ "max-age = 6m", 0, PROP_ALL, 0, 15552000 },
		{ "max-age = 136y", 0, PROP_ALL, 0, 4288896000 }
	};
	struct conf	 c;
	char		 text[300];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), "%s\n" SECTIONS, tests[i].text);
		ok(*parse(&c, text) == '\0' &&
		    c.direction == tests[i].direction &&
		    c.propagate == tests[i].propagate &&
		    c.max_size == tests[i].max_size &&
		    c.max_age == tests[i].max_age, "%s",
		    flat(tests[i].text));
		conf_free(&c);
	}
	ok(*parse(&c, "max-delete = 80%\n" SECTIONS) == '\0' &&
	    c.delete_rule == DELETE_PERCENT && c.max_delete == 80, "80%%");
	conf_free(&c);
	ok(*parse(&c, "max-delete = 80\n" SECTIONS) == '\0' &&
	    c.delete_rule == DELETE_NUMBER && c.max_delete == 80, "80");
	conf_free(&c);
	ok(*parse(&c, "max-delete = None\n" SECTIONS) == '\0' &&
	    c.delete_rule == DELETE_ANY, "none");
	conf_free(&c);
	ok(*parse(&c, "random-delay = 90s\nbusy-wait = 10m\n" SECTIONS) ==
	    '\0' && c.random_delay == 90 && c.busy_wait == 600, "90s, 10m");
	conf_free(&c);
	ok(*parse(&c, "random-delay = 1d\nbusy-wait = none\n" SECTIONS) ==
	    '\0' && c.random_delay == 86400 && c.busy_wait == 0, "1d, none");
	conf_free(&c);
	ok(*parse(&c, SECTIONS) == '\0' && c.random_delay == 0 &&
	    c.busy_wait == 0, "no delay by default");
	conf_free(&c);
	ok(*parse(&c, SECTIONS) == '\0' && !c.virtuals, "no virtual ones");
	conf_free(&c);
	ok(*parse(&c, "virtual-mailboxes = YES\n" SECTIONS) == '\0' &&
	    c.virtuals, "virtual ones as well");
	conf_free(&c);
	ok(*parse(&c, "rename-mailbox = follow\ndelete-mailbox = always\n"
	    SECTIONS) == '\0' && c.rename_rule == RENAME_FOLLOW &&
	    c.gone_rule == GONE_ALWAYS, "follow, always");
	conf_free(&c);
	ok(*parse(&c, "rename-mailbox = never\ndelete-mailbox = empty\n"
	    SECTIONS) == '\0' && c.rename_rule == RENAME_NEVER &&
	    c.gone_rule == GONE_EMPTY, "never, empty");
	conf_free(&c);
	ok(*parse(&c, "delete-mailbox = never\n" SECTIONS) == '\0' &&
	    c.rename_rule == RENAME_PROVED && c.gone_rule == GONE_NEVER,
	    "never, and what is proved");
	conf_free(&c);
	is_str(parse(&c, "watch-mailbox = INBOX \"a b\\x00c\" lists.x\n"
	    "list-mailbox = *\nsyslog = yes\n" SECTIONS), "",
	    "mailboxes to watch");
	ok(c.nwatch == 3 && strcmp(c.watch[0], "INBOX") == 0 &&
	    strcmp(c.watch[1], "a b\001c") == 0 &&
	    strcmp(c.watch[2], "lists.x") == 0 && c.npatterns == 1,
	    "watch-mailbox");
	ok(c.syslog, "syslog");
	conf_free(&c);
	ok(c.watch == NULL && c.nwatch == 0, "freed");
}

/* SSL_protocols is deprecated: what becomes of it. */
static void
test_protocols(void)
{
	static const struct {
		const char	*text;
		int		 min, max;
	} tests[] = {
		{ "SSL_protocols = !SSLv2 !SSLv3", 0, 0 },
		{ "SSL_protocols = !SSLv2 !SSLv3 !TLSv1 !TLSv1.1", 0x0303, 0 },
		{ "SSL_protocols = TLSv1.2", 0x0303, 0x0303 },
		{ "SSL_protocols = TLSv1.2 TLSv1.3", 0x0303, 0x0304 },
		{ "SSL_protocols = TLSv1 TLSv1.1 TLSv1.2", 0x0301, 0x0303 },
		{ "SSL_protocols = SSLv3 TLSv1", 0x0301, 0x0301 },
		{ "SSL_protocols = !TLSv1.3", 0, 0x0303 },
		{ "SSL_protocols = !TLSv1\nSSL_protocol_min = TLSv1.2",
		    0x0303, 0 },
		{ "SSL_protocol_max = TLSv1.1\nSSL_protocols = !TLSv1.3",
		    0, 0x0302 },
		{ "SSL_protocols = TLSv1.3\nSSL_protocol_min = TLSv1.2",
		    0x0304, 0x0304 },
		{ "SSL_protocol_min = SSLv3", 0, 0 },
		{ "SSL_ciphersuites =", 0, 0x0303 },
		{ "SSL_ciphersuites = TLS_AES_256_GCM_SHA384", 0, 0 }
	};
	struct conf	 c;
	char		 text[300];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), SECTIONS "%s\n", tests[i].text);
		ok(*parse(&c, text) == '\0' &&
		    c.side[REMOTE].ssl_min == tests[i].min &&
		    c.side[REMOTE].ssl_max == tests[i].max, "%s",
		    flat(tests[i].text));
		conf_free(&c);
	}
}

/* Names in UTF-8 and in modified UTF-7. */
static void
test_spelling(void)
{
	static const struct {
		const char	*text, *reference;	/* NULL: refused */
	} tests[] = {
		{ "B\303\274ro/", "B&APw-ro/" }, { "B&APw-ro/", "B&APw-ro/" },
		{ "R&D/", "R&-D/" }, { "R&-D/", "R&-D/" }, { "", "" },
		{ "B\374ro/", NULL }
	};
	struct conf	 c;
	char		 text[300];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), SECTIONS "list-reference = %s\n",
		    tests[i].text);
		if (*parse(&c, text) != '\0')
			ok(tests[i].reference == NULL, "refused");
		else
			is_str(c.side[REMOTE].reference, tests[i].reference !=
			    NULL ? tests[i].reference : "(refused)",
			    "list-reference");
		conf_free(&c);
	}
	is_str(parse(&c, "list-mailbox = Entw\303\274* \"\303\204 \\xc3\\x9c\"\n"
	    SECTIONS), "", "UTF-8, and octet by octet");
	ok(c.npatterns == 2 && strcmp(c.patterns[0], "Entw\303\274*") == 0 &&
	    strcmp(c.patterns[1], "\303\204 \303\234") == 0, "as it is");
	conf_free(&c);
	ok(strstr(parse(&c, "list-mailbox = Entw\374rfe\n" SECTIONS),
	    "neither UTF-8 nor") != NULL, "another encoding");
	conf_free(&c);
	ok(strstr(parse(&c, "watch-mailbox = \"a\\xfc\"\n" SECTIONS),
	    "neither UTF-8 nor") != NULL, "written in octets");
	conf_free(&c);
}

/* Files that must be refused, and how. */
static void
test_errors(void)
{
	static const struct {
		const char	*text;	/* in front of the sections */
		const char	*error;
	} tests[] = {
		{ "database", "f:1: KEY = VALUE or [SECTION] expected\n" },
		{ "[local]", "f:2: a second [local]: the first is in line "
		    "1\n" },
		{ "= x", "f:1: KEY = VALUE or [SECTION] expected\n" },
		{ "[foo]", "f:1: unknown section: there are [local] and "
		    "[remote]\n" },
		{ "foo = bar", "f:1: unknown key: see imapsync.conf(5)\n" },
		{ "Host = bar", "f:1: unknown key Host: it is spelled host\n" },
		{ "starttls = no",
		    "f:1: unknown key starttls: it is spelled STARTTLS\n" },
		{ "port = 1\n\nport = 2", "f:3: port is set twice: first in "
		    "line 1\n" },
		{ "database =", "f:1: database: it may not be empty\n" },
		{ "host = a/b",
		    "f:1: host = a/b: a character that no host name has "
		    "(IDN: write it as xn--...)\n" },
		{ "host = [name]",
		    "f:1: host = [name]: an IPv4 or IPv6 address "
		    "expected in the brackets\n" },
		{ "port = 0",
		    "f:1: port = 0: a number from 1 to 65535 or the "
		    "name of a service expected\n" },
		{ "port = 65536",
		    "f:1: port = 65536: a number from 1 to 65535 or the "
		    "name of a service expected\n" },
		{ "timeout = 0",
		    "f:1: timeout = 0: seconds, from 1 to 86400, "
		    "expected\n" },
		{ "type = smtp",
		    "f:1: type = smtp: imap, imaps or tunnel expected\n" },
		{ "flags-interval = 2",
		    "f:1: flags-interval = 2: auto, always, or a number and "
		    "m, h, d or w, such as 2h, expected\n" },
		{ "flags-interval = 0h",
		    "f:1: flags-interval = 0h: auto, always, or a number and "
		    "m, h, d or w, such as 2h, expected\n" },
		{ "strategy = best",
		    "f:1: strategy = best: auto, qresync, condstore or plain "
		    "expected\n" },
		{ "compress = maybe",
		    "f:1: compress = maybe: YES or NO expected\n" },
		{ "auth = PLAIN,LOGIN",
		    "f:1: auth = PLAIN,LOGIN: mechanisms such as PLAIN or "
		    "SCRAM-SHA-256, with blanks between, expected\n" },
		{ "list-mailbox = \"a",
		    "f:1: list-mailbox = \"a: a quote that does "
		    "not end\n" },
		{ "list-mailbox = a(b",
		    "f:1: list-mailbox = a(b: a character that "
		    "must stand in double quotes\n" },
		{ "list-mailbox = \"a\"b",
		    "f:1: list-mailbox = \"a\"b: blanks between "
		    "patterns expected\n" },
		{ "list-mailbox = \"\\x0\"",
		    "f:1: list-mailbox = \"\\x0\": an escape "
		    "that is not one of \\\\ \\\" \\0 \\a \\b \\t \\n \\v \\f "
		    "\\r \\xHH\n" },
		{ "list-mailbox = \"\"",
		    "f:1: list-mailbox = \"\": an empty pattern\n" },
		{ "list-mailbox = \"\\x01\"",
		    "f:1: list-mailbox = \"\\x01\": \\x01 in a pattern\n" },
		{ "list-select-opts = RECURSIVEMATCH",
		    "f:1: list-select-opts = RECURSIVEMATCH: "
		    "RECURSIVEMATCH needs SUBSCRIBED (RFC 5258)\n" },
		{ "list-select-opts = CHILDREN",
		    "f:1: list-select-opts = CHILDREN: "
		    "SUBSCRIBED, REMOTE, RECURSIVEMATCH, with blanks between, "
		    "expected\n" },
		{ "ignore-mailbox = ^(?!a)",
		    "f:1: ignore-mailbox = ^(?!a): look-ahead "
		    "(?= (?! has no counterpart in POSIX expressions\n" },
		{ "log-prefix = %x",
		    "f:1: log-prefix = %x: % that is not followed "
		    "by n, m, % or ?\n" },
		{ "log-prefix = %?n?a",
		    "f:1: log-prefix = %?n?a: a condition that "
		    "does not end: ? expected\n" },
		{ "log-prefix = a&b",
		    "f:1: log-prefix = a&b: & or ? outside a "
		    "condition: write \\& or \\?\n" },
		{ "log-prefix = \\n",
		    "f:1: log-prefix = \\n: a backslash that is "
		    "not followed by &, ? or \\\n" },
		{ "log-prefix = %?n?a&b&c?",
		    "f:1: log-prefix = %?n?a&b&c?: & or ? outside "
		    "a condition: write \\& or \\?\n" },
		{ "log-prefix = %?k?a?",
		    "f:1: log-prefix = %?k?a?: "
		    "%?n?...? or %?m?...? expected\n" },
		{ "SSL_protocols = SSLv3",
		    "f:1: SSL_protocols = SSLv3: no protocol is "
		    "left that could be used\n" },
		{ "SSL_protocols = TLSv1.1 TLSv1.3",
		    "f:1: SSL_protocols = TLSv1.1 TLSv1.3: a "
		    "gap between protocols is not possible: use "
		    "SSL_protocol_min and SSL_protocol_max\n" },
		{ "SSL_protocol_min = TLSv1.4",
		    "f:1: SSL_protocol_min = TLSv1.4: SSLv3, "
		    "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3 expected\n" },
		{ "SSL_fingerprint = abcd",
		    "f:1: SSL_fingerprint = abcd: the "
		    "digest's length is not that of its algorithm: a SHA-256 "
		    "digest has 64 hexadecimal digits\n" },
		{ "SSL_fingerprint = sha1$xyz",
		    "f:1: SSL_fingerprint = sha1$xyz: "
		    "[ALGORITHM$]HEXADECIMAL, with blanks between, "
		    "expected\n" },
		{ "SSL_fingerprint = md5$00",
		    "f:1: SSL_fingerprint = md5$00: sha256$, "
		    "sha384$, sha512$ or sha1$ expected in front of the "
		    "digest\n" },
		{ "proxy = http://a", "f:1: proxy: "
		    "socks5://[USER:PASSWORD@]HOST[:PORT] or socks5h://... "
		    "expected\n" },
		{ "proxy = socks5://", "f:1: proxy: a host name of 1 to 255 "
		    "characters expected\n" },
		{ "proxy = socks5://:x@h", "f:1: proxy: the proxy's user or "
		    "password is empty or longer than 255 octets\n" },
		{ "direction = local",
		    "f:1: direction = local: both, to-local or "
		    "to-remote expected\n" },
		{ "propagate = new,flags",
		    "f:1: propagate = new,flags: one or more of "
		    "new, flags, delete, with blanks between, expected\n" },
		{ "propagate =", "f:1: propagate: it may not be empty\n" },
		{ "max-size = 0",
		    "f:1: max-size = 0: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = -1",
		    "f:1: max-size = -1: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = K",
		    "f:1: max-size = K: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = 1KB",
		    "f:1: max-size = 1KB: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = 1.5M",
		    "f:1: max-size = 1.5M: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = 18446744073709551616",
		    "f:1: max-size = 18446744073709551616: "
		    "octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = 9223372036854775808",
		    "f:1: max-size = 9223372036854775808: "
		    "octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-size = 8589934592G",
		    "f:1: max-size = 8589934592G: octets, or a number and "
		    "K, M or G, expected\n" },
		{ "max-delete = 101%",
		    "f:1: max-delete = 101%: a number of messages, a percentage "
		    "such as 50%, or none expected\n" },
		{ "max-delete = 0",
		    "f:1: max-delete = 0: a number of messages, a percentage "
		    "such as 50%, or none expected\n" },
		{ "max-delete = many",
		    "f:1: max-delete = many: a number of messages, a percentage "
		    "such as 50%, or none expected\n" },
		{ "random-delay = 90", "f:1: random-delay = 90: " WAIT },
		{ "random-delay = 25h", "f:1: random-delay = 25h: " WAIT },
		{ "busy-wait = 0m", "f:1: busy-wait = 0m: " WAIT },
		{ "busy-wait = 2d", "f:1: busy-wait = 2d: " WAIT },
		{ "virtual-mailboxes = some",
		    "f:1: virtual-mailboxes = some: YES or NO expected\n" },
		{ "rename-mailbox = always",
		    "f:1: rename-mailbox = always: follow or never "
		    "expected\n" },
		{ "delete-mailbox = yes",
		    "f:1: delete-mailbox = yes: never, empty or always "
		    "expected\n" },
		{ "max-age = 0",
		    "f:1: max-age = 0: days, or a number and d, w, "
		    "m or y (136 years at most), expected\n" },
		{ "max-age = d",
		    "f:1: max-age = d: days, or a number and d, w, "
		    "m or y (136 years at most), expected\n" },
		{ "max-age = 1h",
		    "f:1: max-age = 1h: days, or a number and d, w, "
		    "m or y (136 years at most), expected\n" },
		{ "max-age = 137y",
		    "f:1: max-age = 137y: days, or a number and d, w, "
		    "m or y (136 years at most), expected\n" },
		{ "max-age = 49711",
		    "f:1: max-age = 49711: days, or a number and d, w, "
		    "m or y (136 years at most), expected\n" },
		{ "watch-mailbox = INBOX lists*",
		    "f:1: watch-mailbox = INBOX lists*: "
		    "names of mailboxes, without wildcards, expected\n" },
		{ "watch-mailbox = \"%\"",
		    "f:1: watch-mailbox = \"%\": names of "
		    "mailboxes, without wildcards, expected\n" },
		{ "syslog = maybe",
		    "f:1: syslog = maybe: YES or NO expected\n" },
		{ "username = a\001b", "f:1: a control character\n" },
		{ "SSL_protocol_min=TLSv1.3\nSSL_protocol_max=TLSv1.2",
		    "f:3: [local] has a lowest TLS version above the highest\n"
		    "f:6: [remote] has a lowest TLS version above the "
		    "highest\n" },
		/* many at once, in the order of the lines */
		{ "port = x y\nfoo\n[bar]\nhost = a b",
		    "f:1: port = x y: a number from 1 to 65535 or the name "
		    "of a service expected\n"
		    "f:2: KEY = VALUE or [SECTION] expected\n"
		    "f:3: unknown section: there are [local] and [remote]\n" }
	};
	struct conf	 c;
	char		 text[600];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), "%s\n" SECTIONS, tests[i].text);
		is_str(parse(&c, text), tests[i].error,
		    flat(tests[i].text));
		conf_free(&c);
	}
}

/*
 * Whatever is wrong with a line in which a password may stand: it is not in the
 * message.  Nor is one that stands at another key as well.
 */
static void
test_secret(void)
{
	static const char *const lines[] = { "password " SECRET,
	    "password: " SECRET, "pasword = " SECRET, "Password=" SECRET,
	    SECRET, SECRET "=", SECRET " = x", "=" SECRET, "[" SECRET "]",
	    "[" SECRET, "password = a\npassword = " SECRET,
	    "password = " SECRET "\npassword = a", "password = " SECRET "\001",
	    "password = " SECRET "\npassword-command = x",
	    "password-command = " SECRET "\npassword = x",
	    "proxy = socks5://me:" SECRET "@", "proxy = http://me:" SECRET "@h",
	    "proxy = socks5://me:" SECRET "@h:x", "proxy = " SECRET,
	    "proxy = socks5://" SECRET, "proxy = socks5://x:x@" SECRET "/" };
	static const char *const keys[] = { "type", "host", "port", "auth",
	    "compress", "timeout", "SSL_protocols", "SSL_protocol_min",
	    "SSL_fingerprint", "list-mailbox", "list-select-opts",
	    "ignore-mailbox", "log-prefix", "SSL_hostname",
	    "direction", "propagate", "max-size", "max-age", "watch-mailbox",
	    "syslog", "strategy", "flags-interval" };
	struct conf	 c;
	const char	*errors;
	char		 text[400];
	size_t		 i;

	for (i = 0; i < nitems(lines); i++) {
		snprintf(text, sizeof(text), "%s\n" SECTIONS "%s\n", lines[i],
		    lines[i]);
		errors = parse(&c, text);
		ok(strstr(errors, SECRET) == NULL, "line %zu: no password in "
		    "the message", i + 1);
		conf_free(&c);
	}
	for (i = 0; i < nitems(keys); i++) {
		snprintf(text, sizeof(text), "%s = (%% /[" SECRET "\n" SECTIONS
		    "password = " SECRET "\n", keys[i]);
		errors = parse(&c, text);
		ok(*errors != '\0' && strstr(errors, SECRET) == NULL,
		    "%s: an error, but no value in the message", keys[i]);
		conf_free(&c);
	}
}

/* ---- files ---- */

static void
write_file(const char *path, const char *text, mode_t mode)
{
	int	 fd;

	unlink(path);
	if ((fd = open(path, O_WRONLY | O_CREAT, mode)) == -1 ||
	    write(fd, text, strlen(text)) == -1 || fchmod(fd, mode) == -1)
		fatal("%s", path);
	close(fd);
}

/* Read a file; 1 if the errors have "part" in them ("" : none). */
static int
reads(const char *path, const char *part)
{
	struct buf	 errors = BUF_INIT;
	struct conf	 c;
	int		 fits, ret;

	ret = conf_read(&c, path, &errors);
	buf_add(&errors, "", 1);
	if (*part == '\0')
		fits = ret == 0 && errors.len == 1;
	else
		fits = ret == -1 &&
		    strstr((const char *)buf_ptr(&errors), part) != NULL &&
		    strstr((const char *)buf_ptr(&errors), SECRET) == NULL;
	if (!fits)
		printf("# %s", (const char *)buf_ptr(&errors));
	buf_free(&errors);
	conf_free(&c);
	return fits;
}

static void
test_files(void)
{
	static const char	 plain[] = SECTIONS;
	static const char	 secret[] = SECTIONS "password=" SECRET "\n";
	static const char	 proxy[] = SECTIONS "proxy=socks5://a:"
				    SECRET "@h\n";
	char			 option[400], path[300];

	snprintf(path, sizeof(path), "%s/file", dir);
	ok(reads(path, "No such file"), "no file");
	snprintf(option, sizeof(option), "begin with imapsync --init "
	    "--config=%s, or", path);
	ok(reads(path, option), "and how to begin with it");
	setenv("XDG_CONFIG_HOME", dir, 1);
	snprintf(option, sizeof(option), "%s/imapsync/work", dir);
	ok(reads(option, "begin with imapsync --init --config=work, or"),
	    "by its name, where it is among the others");
	snprintf(option, sizeof(option), "%s/imapsync/config", dir);
	ok(reads(option, "begin with imapsync --init, or"), "the default one");
	unsetenv("XDG_CONFIG_HOME");
	ok(reads(dir, "Is a directory"), "a directory");
	write_file(path, plain, 0644);
	ok(reads(path, ""), "others may read a file without a password");
	write_file(path, plain, 0666);
	ok(reads(path, "everybody can write"), "others may not write");
	write_file(path, secret, 0600);
	ok(reads(path, ""), "a password, mode 0600");
	write_file(path, secret, 0400);
	ok(reads(path, ""), "a password, mode 0400");
	write_file(path, secret, 0640);
	ok(reads(path, "chmod 600"), "a password, mode 0640");
	write_file(path, secret, 0604);
	ok(reads(path, "chmod 600"), "a password, mode 0604");
	write_file(path, proxy, 0644);
	ok(reads(path, "chmod 600"), "a proxy's password, mode 0644");
	if (geteuid() == 0) {
		write_file(path, secret, 0600);
		if (chown(path, 12345, (gid_t)-1) == -1)
			fatal("chown");
		ok(reads(path, "belongs to another user"), "another's file");
	} else
		skip("another's file: not root");
	unlink(path);
}

static void
is_path(const char *arg, const char *expected, const char *what)
{
	char	 full[400], *path, why[200] = "";

	snprintf(full, sizeof(full), "%s%s", *expected == '/' ? dir : "",
	    expected);
	path = conf_path(arg, why, sizeof(why));
	is_str(path == NULL ? why : path, full, what);
	free(path);
}

static void
test_paths(void)
{
	char	 base[300], path[400], path2[400], *abs;

	snprintf(base, sizeof(base), "%s/imapsync", dir);
	snprintf(path, sizeof(path), "%s/work", base);
	snprintf(path2, sizeof(path2), "%s/here", dir);
	setenv("XDG_CONFIG_HOME", dir, 1);
	is_path(NULL, "/imapsync/config", "no directory yet");
	write_file(base, "", 0600);
	is_path(NULL, "/imapsync", "a file in place of the directory");
	unlink(base);
	if (mkdir(base, 0700) == -1 || chdir(dir) == -1)
		fatal("%s", base);
	is_path(NULL, "/imapsync/config", "the default");
	write_file(path, "", 0600);
	write_file(path2, "", 0600);
	is_path("work", "/imapsync/work", "relative to the directory");
	is_path("here", "here", "or to where we are");
	is_path("nowhere", "/imapsync/nowhere", "what is in neither");
	is_path("./work", "./work", "./ is where we are");
	is_path("../work", "../work", "../ as well");
	abs = conf_path("/etc/x", path, sizeof(path));
	is_str(abs, "/etc/x", "an absolute path");
	free(abs);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	snprintf(path, sizeof(path), "%s/.config", dir);
	setenv("HOME", dir, 1);
	is_path(NULL, "/.config/imapsync/config", "a relative "
	    "XDG_CONFIG_HOME does not count");
	unsetenv("XDG_CONFIG_HOME");
	is_path("x", "/.config/imapsync/x", "without XDG_CONFIG_HOME");
	snprintf(path, sizeof(path), "%s/work", base);
	unlink(path);
	rmdir(base);
	unlink("here");
}

static void
test_database(void)
{
	struct conf	 c;
	char		 expected[400];

	setenv("XDG_DATA_HOME", "/data", 1);
	parse(&c, "database = x/y.db\n" SECTIONS);
	is_str(c.database, "/data/imapsync/x/y.db", "a relative database");
	conf_free(&c);
	parse(&c, SECTIONS "type=tunnel\ncommand=x\n");
	is_str(c.database, "/data/imapsync/localhost.db", "a tunnel's");
	conf_free(&c);
	unsetenv("XDG_DATA_HOME");
	setenv("HOME", dir, 1);
	parse(&c, SECTIONS "host = [2001:db8::1]\n");
	snprintf(expected, sizeof(expected),
	    "%s/.local/share/imapsync/2001:db8::1.db", dir);
	is_str(c.database, expected, "at home");
	conf_free(&c);
}

/* ---- regular expressions ---- */

#define BEYOND	"[\302-\364][\200-\277]+"

static void
test_patterns(void)
{
	static const struct {
		const char	*perl, *posix;	/* NULL: refused */
	} tests[] = {
		{ "^virtual(?:\\x00|$)", "^virtual(\001|$)" },
		{ "^a\\.b$", "^a\\.b$" },
		{ "(?i)^TRASH$", "(?i)^TRASH$" },
		{ "\\Aa\\z", "^a$" },
		{ "\\Aa\\Z", "^a$" },
		{ "\\d+\\D+", "[0-9]+[^0-9]+" },
		{ "\\w", "[0-9A-Z_a-z]" },
		{ "\\W*", "[^0-9A-Z_a-z]*" },
		{ "\\s", "[\t-\r ]" },
		{ "\\S+", "[^\t-\r ]+" },
		{ "[\\d_]", "[0-9_]" },
		{ "[^\\W_]", "[0-9A-Za-z]" },
		{ "[^\\D]", "[0-9]" },
		{ "[^\\x00]+", "[^\001]+" },
		{ "[\\x00/]", "[\001/]" },
		{ "[]a]", "[]a]" },
		{ "[^]a]*", "[^]a]*" },
		{ "[a\\]]", "[]a]" },
		{ "[a\\-z]", "[az-]" },
		{ "[a-]", "[a-]" },
		{ "[-a]", "[a-]" },
		{ "[\\^-]", "[-^]" },
		{ "[\\^a]", "[a^]" },
		{ "[\\^]", "\\^" },
		{ "[.]", "\\." },
		{ "[[:alpha:][:digit:]]", "[0-9A-Za-z]" },
		{ "[[:^digit:]]+", "[^0-9]+" },
		{ "[[:word:]]", "[0-9A-Z_a-z]" },
		{ "[[a]", "[a[]" },
		{ "[a-\\d]", "[0-9a-]" },
		{ "[\\w\\W]*", ".*" },
		{ "\\x41\\x{2e}\\t", "A\\.\t" },
		{ "\\101\\0", NULL },
		{ "\\0\\012", "\001\n" },
		{ "a{2}b{1,}c{1,3}", "a{2}b{1,}c{1,3}" },
		{ "a{b}{,2}", "a\\{b}\\{,2}" },
		{ "a*?b+?c??d{2}?", "a*b+c?d{2}" },
		{ "(a)(?:b)", "(a)(b)" },
		{ "a|b", "a|b" },
		/* Characters that are not ASCII are some octets each. */
		{ "a.", "a([\001-\177]|" BEYOND ")" },
		{ "a.+.*", "a.+.*" },
		{ "\303\274?", "(\303\274)?" },
		{ "\\\303\274", "(\303\274)" },
		{ "\\xfc\\x{20ac}", "(\303\274)(\342\202\254)" },
		{ "[a\303\274\303\237]", "(a|(\303\274)|(\303\237))" },
		{ "[\303\274-\303\275]", "((\303\274)|(\303\275))" },
		{ "[\\D\303\274]+", "[^0-9]+" },
		{ "[^\303\274]", NULL }, { "[\\x{100}-\\x{200}]", NULL },
		{ "\303", NULL }, { "[\303]", NULL }, { "\\\303", NULL },
		{ "\\x{d800}", NULL },
		{ "\\/\\-\\#", "/-#" },
		{ "(?=a)", NULL }, { "(?!a)", NULL }, { "(?<=a)", NULL },
		{ "(?<!a)", NULL }, { "(?>a)", NULL }, { "(?<n>a)", NULL },
		{ "(?P<n>a)", NULL }, { "a(?i)b", NULL }, { "(?#c)", NULL },
		{ "(*FAIL)", NULL }, { "(a)\\1", NULL }, { "\\bfoo", NULL },
		{ "\\Qa\\E", NULL }, { "\\p{L}", NULL }, { "a*+", NULL },
		{ "a++", NULL }, { "a**", NULL }, { "*a", NULL },
		{ "(*a)", NULL }, { "^*", NULL }, { "(a", NULL },
		{ "a)", NULL }, { "[a", NULL }, { "[z-a]", NULL },
		{ "a\\", NULL }, { "\\x{110000}", NULL }, { "\\x{41", NULL },
		{ "[[:foo:]]", NULL }, { "[^\\d\\D]", NULL }, { "(?", NULL }
	};
	char	 why[200], *ere;
	size_t	 i;

	for (i = 0; i < nitems(tests); i++) {
		why[0] = '\0';
		ere = pattern_translate(tests[i].perl, why, sizeof(why));
		if (tests[i].posix == NULL)
			ok(ere == NULL && why[0] != '\0', "refused: %s (%s)",
			    flat(tests[i].perl), why);
		else
			is_str(ere == NULL ? why : ere, tests[i].posix,
			    flat(tests[i].perl));
		free(ere);
	}
}

static void
test_match(void)
{
	static const struct {
		const char	*perl, *name;
		int		 match;
	} tests[] = {
		{ "^virtual(?:\\x00|$)", "virtual", 1 },
		{ "^virtual(?:\\x00|$)", "virtual\001a", 1 },
		{ "^virtual(?:\\x00|$)", "virtually", 0 },
		{ "^virtual(?:\\x00|$)", "a\001virtual", 0 },
		{ "[^a-z\\x00]", "abc\001d", 0 },
		{ "[^a-z\\x00]", "abc\001D", 1 },
		{ "^[]\\\\[^-]+$", "[]^-\\", 1 },
		{ "^[]\\\\[^-]+$", "a", 0 },
		{ "^[\\x21-\\x7e]+$", "[]^-\\!~", 1 },
		{ "^[\\x21-\\x7e]+$", "a b", 0 },
		{ "^a.c$", "a\001c", 1 },
		{ "^\\d{4}$", "2024", 1 },
		{ "^\\d{4}$", "20245", 0 },
		{ "\\{x\\}", "{x}", 1 },
		{ "^Entw.rfe$", "Entw\303\274rfe", 1 },
		{ "^Entw.rfe$", "Entw\303\274\303\274rfe", 0 },
		{ "^Entw\\W{2}rfe$", "Entw\303\274\342\202\254rfe", 1 },
		{ "^[^a]$", "\342\202\254", 1 },
		{ "^.*\303\237?$", "\303\274", 1 },
		{ "^\303\274\303\237?$", "\303\274", 1 },
		{ "^[a\303\237]+$", "a\303\237a", 1 },
		{ "^[a\303\237]+$", "a\303\274a", 0 }
	};
	regex_t	 re;
	char	 why[200], *ere;
	size_t	 i;

	for (i = 0; i < nitems(tests); i++) {
		ere = pattern_translate(tests[i].perl, why, sizeof(why));
		if (ere == NULL || regcomp(&re, ere, REG_EXTENDED | REG_NOSUB)
		    != 0) {
			ok(0, "%s compiles", tests[i].perl);
			continue;
		}
		is_num(regexec(&re, tests[i].name, 0, NULL, 0) == 0,
		    tests[i].match, tests[i].perl);
		regfree(&re);
		free(ere);
	}
}

int
main(void)
{
	const char	*tmp = getenv("TMPDIR");

	if ((size_t)snprintf(dir, sizeof(dir), "%s/imapsync-test.XXXXXXXXXX",
	    tmp == NULL ? "/tmp" : tmp) >= sizeof(dir))
		fatalx("TMPDIR is too long");
	if (mkdtemp(dir) == NULL)
		fatal("mkdtemp");
	test_sample();
	test_values();
	test_rules();
	test_protocols();
	test_spelling();
	test_errors();
	test_secret();
	test_files();
	test_database();
	test_paths();
	test_patterns();
	test_match();
	rmdir(dir);
	return tap_done();
}

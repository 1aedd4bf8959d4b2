/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What is said of a configuration that is wrong: which words are shown, and
 * that one account can't be synchronised with itself.
 */
#include "bounds.h"
#include "imapsync/imapsync.h"
#include "tap.h"

#define SECTIONS	"[local]\ntype = tunnel\ncommand = imap\n[remote]\n"

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

/* Names and values that are wrong are shown where no secret is in them. */
static void
test_named(void)
{
	static const struct {
		const char	*text, *error;
	} tests[] = {
		{ "pasword = x",
		    "unknown key pasword: did you mean password?" },
		{ "PASWORD = x",
		    "unknown key PASWORD: did you mean password?" },
		{ "passwrod = x",
		    "unknown key passwrod: did you mean password?" },
		{ "ssl_verfiy = x",
		    "unknown key ssl_verfiy: did you mean SSL_verify?" },
		{ "password_command = x", "unknown key password_command: did "
		    "you mean password-command?" },
		{ "list-mailboxes = x",
		    "unknown key list-mailboxes: did you mean list-mailbox?" },
		{ "hsot = x", "unknown key hsot: did you mean host?" },
		{ "prt = x", "unknown key prt: did you mean port?" },
		{ "user = x", "unknown key user: did you mean username?" },
		{ "pass = x", "unknown key pass: did you mean password?" },
		{ "SSL = x", "unknown key: see imapsync.conf(5)" },
		{ "hasty = x", "unknown key: see imapsync.conf(5)" },
		{ "correct horse battery = x",
		    "unknown key: see imapsync.conf(5)" },
		{ "a very long line that could be anybody's passphrase = x",
		    "unknown key: see imapsync.conf(5)" },
		{ "[remotes]", "unknown section [remotes]: there are [local] "
		    "and [remote]" },
		{ "[Local]", "unknown section [Local]: there are [local] and "
		    "[remote]" },
		{ "[joe]",
		    "unknown section: there are [local] and [remote]" },
		{ "SSL_protocol_min = SSLv2", "SSL_protocol_min = SSLv2: "
		    "SSLv3, TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3 expected" },
		{ "timeout = 0123456789012345678901234567890123456789012345678"
		    "901234567890123456789012345678901234567890123456789xyz",
		    "timeout = 01234567890123456789012345678901234567890123456"
		    "7890123456789012345678901234567890123456789012345678"
		    "9...: seconds, from 1 to 86400, expected" },
		{ "port = x\n[_]\npassword = y", "port = x: a number from 1 to "
		    "65535 or the name of a service expected" },
		{ "port = open\n[_]\npassword-command = echo open sesame",
		    "port: a number from 1 to 65535 or the name of a service "
		    "expected" },
		{ "port = my word\n[_]\npassword = word",
		    "port: a number from 1 to 65535 or the name of a service "
		    "expected" }
	};
	struct conf	 c;
	char		 text[600], expected[300];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), "%s\n" SECTIONS, tests[i].text);
		snprintf(expected, sizeof(expected), "f:1: %s\n",
		    tests[i].error);
		is_str(parse(&c, text), expected, flat(tests[i].text));
		conf_free(&c);
	}
}

#define SAME	"[local] and [remote] are the same account"

/* Both sides the same account: then every message would double. */
static void
test_one(void)
{
	static const struct {
		const char	*local, *remote;
		int		 same;
	} tests[] = {
		{ "", "", 1 },
		{ "host=h\nusername=u", "host=H\nusername=u", 1 },
		{ "host=h\nusername=u", "host=h\nusername=v", 0 },
		{ "host=h\nusername=u", "host=i\nusername=u", 0 },
		{ "host=h\nusername=m\nauthzid=u",
		    "host=h\nusername=m\nauthzid=v", 0 },
		{ "host=h\nusername=m\nauthzid=u", "host=h\nusername=u", 1 },
		{ "host=h\nauthzid=u\nSSL_cert=/a",
		    "host=h\nusername=u\nSSL_cert=/b", 1 },
		{ "host=h\nusername=u", "host=h\nusername=u\nport=994", 0 },
		{ "host=h", "host=h\ntype=imap\nport=993", 1 },
		{ "host=h\nSSL_cert=/a", "host=h\nSSL_cert=/b", 0 },
		{ "host=h\nSSL_cert=/a", "host=h\nSSL_cert=/a", 1 },
		{ "host=h\nSSL_cert=/a\nusername=u",
		    "host=h\nSSL_cert=/b\nusername=u", 1 },
		{ "", "proxy=socks5://p", 0 },
		{ "proxy=socks5h://p", "proxy=socks5://p", 1 },
		{ "proxy=socks5://p", "proxy=socks5://p:1", 0 },
		{ "type=tunnel\ncommand=x y", "type=tunnel\ncommand=x y", 1 },
		{ "type=tunnel\ncommand=x\nhost=a",
		    "type=tunnel\ncommand=x\nhost=b", 1 },
		{ "type=tunnel\ncommand=x y", "type=tunnel\ncommand=x z", 0 },
		{ "type=tunnel\ncommand=x", "command=x", 0 },
		{ "list-reference=a/", "list-reference=b/", 0 },
		{ "list-reference=a/", "list-reference=a/", 1 },
		{ "list-reference=a/", "", 1 },
		{ "", "list-reference=b/", 1 },
		{ "list-reference=a/b/", "list-reference=a/", 1 },
		{ "list-reference=a/b/", "list-reference=a/c/", 0 },
		{ "list-reference=INBOX.", "list-reference=Inbox.a.", 1 },
		{ "list-reference=A/", "list-reference=a/", 0 },
		{ "type=tunnel\ncommand=x\nlist-reference=a/",
		    "type=tunnel\ncommand=x\nlist-reference=b/", 0 },
		{ "type=tunnel\ncommand=x\nlist-reference=a/",
		    "type=tunnel\ncommand=x\nlist-reference=a/b/", 1 }
	};
	struct conf	 c;
	const char	*errors;
	char		 text[600];
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		snprintf(text, sizeof(text), "[local]\n%s\n[remote]\n%s\n",
		    tests[i].local, tests[i].remote);
		errors = parse(&c, text);
		ok(tests[i].same ? strstr(errors, SAME) != NULL :
		    *errors == '\0', "%s: %s", flat(text),
		    tests[i].same ? "refused" : "taken");
		conf_free(&c);
	}
	is_str(parse(&c, "host=h\nusername=u\n[local]\n[remote]\n"),
	    "f:4: " SAME " (u at h port 993): each run would copy all messages "
	    "again; set two different servers or users, or for two parts of "
	    "one account a list-reference for each, neither of which is the "
	    "beginning of the other\n", "what is said");
	conf_free(&c);
}

/* mailbox-map: one to one, as servers spell it. */
static void
test_map(void)
{
#define WORDS	"LOCAL = REMOTE, with commas between, expected"
#define EQUALS	"= expected behind a local name (one with blanks stands in " \
		"double quotes)"
	static const char *const	 wrong[][2] = {
		{ "a", EQUALS },
		{ "Sent Items = Sent", EQUALS },
		{ "a = b c", "a comma expected between pairs (a name with "
		    "blanks stands in double quotes)" },
		{ "a =", WORDS },
		{ "a = b,", WORDS },
		{ "a = a", "a pair of one and the same name, which needs no "
		    "entry" },
		{ "a = b, a = c", "a local name that stands there twice" },
		{ "a = b, c = b", "a remote name that stands there twice" },
		{ "&APw- = b, \303\274 = c", "a local name that stands there "
		    "twice" },
		{ "inbox = a", "INBOX has one name everywhere: see "
		    "list-reference" },
		{ "a = Inbox", "INBOX has one name everywhere: see "
		    "list-reference" },
		{ "a* = b", "names of mailboxes, without wildcards, expected "
		    "(what is below them follows)" },
		{ "a = \"b", "a quote that does not end" },
		{ "a(b = c", "a character that must stand in double quotes" },
		{ "a = \374", "a name that is neither UTF-8 nor modified "
		    "UTF-7" }
	};
	static char			 text[8192];
	struct conf			 c;
	size_t				 i;

	for (i = 0; i < nitems(wrong); i++) {
		snprintf(text, sizeof(text), "mailbox-map = %s\n" SECTIONS,
		    wrong[i][0]);
		ok(strstr(parse(&c, text), wrong[i][1]) != NULL, "%s",
		    flat(wrong[i][1]));
		conf_free(&c);
	}
	ok(*parse(&c, "mailbox-map = \"Sent Items\" =Sent,Entw\303\274rfe = "
	    "Entw&APw-rfe2 , R&D=\"a\\x00b, =\"\nmap-special-use = yes\n"
	    SECTIONS) == '\0' && c.nmap == 3 && c.map_special, "two names");
	is_str(c.map[LOCAL][0], "Sent Items", "in quotes");
	is_str(c.map[REMOTE][0], "Sent", "and not");
	is_str(c.map[LOCAL][1], "Entw&APw-rfe", "UTF-8");
	is_str(c.map[REMOTE][1], "Entw&APw-rfe2", "modified UTF-7");
	is_str(c.map[LOCAL][2], "R&-D", "what is none");
	is_str(c.map[REMOTE][2], "a\001b, =", "the delimiter");
	conf_free(&c);
	ok(*parse(&c, SECTIONS) == '\0' && c.nmap == 0 && !c.map_special,
	    "one name");
	conf_free(&c);
	strlcpy(text, "mailbox-map = ", sizeof(text));
	for (i = 0; i <= MAP_MAX; i++)
		snprintf(text + strlen(text), 64, "%sl%zu = r%zu",
		    i == 0 ? "" : ", ", i, i);
	strlcat(text, "\n" SECTIONS, sizeof(text));
	ok(strstr(parse(&c, text), "too many pairs") != NULL, "too many");
	conf_free(&c);
}

/* What is wrong with a side, or missing. */
static void
test_sides(void)
{
	static const struct {
		const char	*text, *error;
	} tests[] = {
		{ "", "f: section [local] is missing\n"
		    "f: section [remote] is missing\n" },
		{ "[remote]\n", "f: section [local] is missing\n" },
		{ "[local]\ntype=tunnel\n[remote]\n",
		    "f:1: [local] has type = tunnel, but no command\n" },
		{ SECTIONS "password=x\npassword-command=y\n",
		    "f:4: [remote] has both a password and a "
		    "password-command\n" },
		{ SECTIONS "SSL_key=x\n",
		    "f:4: [remote] has SSL_key, but no SSL_cert\n" },
		{ SECTIONS "logfile=x\n",
		    "f:5: logfile belongs in front of the sections\n" },
		{ SECTIONS "max-size=1\n",
		    "f:5: max-size belongs in front of the sections\n" },
		{ SECTIONS "syslog=yes\n",
		    "f:5: syslog belongs in front of the sections\n" }
	};
	struct conf	 c;
	char		 text[2000];
	const char	*why;
	size_t		 i;

	for (i = 0; i < nitems(tests); i++) {
		is_str(parse(&c, tests[i].text), tests[i].error,
		    flat(tests[i].text));
		conf_free(&c);
	}
	is_str(parse(&c, SECTIONS), "", "the least that is enough");
	conf_free(&c);
	memset(text, 0, sizeof(text));
	strlcpy(text, SECTIONS "username=", sizeof(text));
	memset(text + strlen(text), 'a', 1001);
	why = parse(&c, text);
	ok(strncmp(why, "f:5: username = aaa", 19) == 0 && strlen(why) < 160 &&
	    strstr(why, "a...: it may have 1000 octets at most\n") != NULL,
	    "a value that is too long");
	conf_free(&c);
}

int
main(void)
{
	test_named();
	test_one();
	test_map();
	test_sides();
	return tap_done();
}

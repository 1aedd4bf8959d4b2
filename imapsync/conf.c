/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The configuration file: lines, sections, keys, defaults.  A line is read into
 * a table first, so that keys of the default section can serve both sides and
 * all errors of a file are reported at once.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>

#include "imapsync.h"
#include "near.h"
#include "pathnames.h"
#include "utf7.h"

#define CONF_MAX	(1024 * 1024)	/* octets of a file */
#define VALUE_MAX	1000		/* of a value that travels in a frame */
#define SHOWN_MAX	100		/* of one that is shown */
#define SECRET_PART	3		/* octets that are a part of a secret */

enum section { SEC_DEFAULT = 0, SEC_LOCAL, SEC_REMOTE, SECTIONS };

/* Where a value goes: a member of struct conf_side, or a function. */
enum kind { KIND_STRING, KIND_BOOL, KIND_FUNC };

#define KEY_GLOBAL	1	/* only in the default section */
#define KEY_EMPTY	2	/* may be empty */
#define KEY_LONG	4	/* not bound to VALUE_MAX */
#define KEY_SECRET	8	/* its value is never shown */

static const struct key {
	const char	*name;
	int		 flags;
	enum kind	 kind;
	size_t		 off;
	int		(*fn)(struct conf_ctx *, const char *);
} keys[] = {
#define STR(n, f, m)	{ n, f, KIND_STRING, \
			    offsetof(struct conf_side, m), NULL }
#define GSTR(n, f, m)	{ n, (f) | KEY_GLOBAL, KIND_STRING, \
			    offsetof(struct conf, m), NULL }
#define BOOL(n, m)	{ n, 0, KIND_BOOL, offsetof(struct conf_side, m), NULL }
#define GBOOL(n, m)	{ n, KEY_GLOBAL, KIND_BOOL, \
			    offsetof(struct conf, m), NULL }
#define FUNC(n, f, fn)	{ n, f, KIND_FUNC, 0, fn }
	GSTR("database",	KEY_LONG, database),
	GSTR("logfile",		KEY_LONG, logfile),
	FUNC("log-prefix",	KEY_GLOBAL | KEY_EMPTY, confval_prefix),
	FUNC("list-mailbox",	KEY_GLOBAL | KEY_LONG, confval_patterns),
	FUNC("list-select-opts", KEY_GLOBAL | KEY_EMPTY, confval_selectors),
	FUNC("ignore-mailbox",	KEY_GLOBAL, confval_ignore),
	FUNC("watch-mailbox",	KEY_GLOBAL | KEY_LONG, confval_watch),
	FUNC("direction",	KEY_GLOBAL, confval_direction),
	FUNC("propagate",	KEY_GLOBAL, confval_propagate),
	FUNC("max-size",	KEY_GLOBAL, confval_maxsize),
	FUNC("max-age",		KEY_GLOBAL, confval_maxage),
	FUNC("max-delete",	KEY_GLOBAL, confval_maxdelete),
	FUNC("rename-mailbox",	KEY_GLOBAL, confval_rename),
	FUNC("delete-mailbox",	KEY_GLOBAL, confval_gone),
	FUNC("mailbox-map",	KEY_GLOBAL | KEY_LONG, confval_map),
	GBOOL("map-special-use", map_special),
	GBOOL("virtual-mailboxes", virtuals),
	FUNC("random-delay",	KEY_GLOBAL, confval_delay),
	FUNC("busy-wait",	KEY_GLOBAL, confval_busy),
	GBOOL("syslog",		syslog),
	FUNC("type",		0, confval_type),
	FUNC("host",		0, confval_host),
	FUNC("port",		0, confval_port),
	FUNC("proxy",		KEY_SECRET, confval_proxy),
	STR("command",		KEY_LONG | KEY_SECRET, command),
	BOOL("null-stderr",	null_stderr),
	BOOL("STARTTLS",	starttls),
	FUNC("auth",		0, confval_auth),
	STR("username",		0, username),
	STR("authzid",		0, authzid),
	STR("password",		KEY_SECRET, password),
	STR("password-command",	KEY_LONG | KEY_SECRET, password_command),
	BOOL("compress",	compress),
	BOOL("pipeline",	pipeline),
	FUNC("strategy",	0, confval_strategy),
	FUNC("flags-interval",	0, confval_flags),
	BOOL("cleartext",	cleartext),
	FUNC("timeout",		0, confval_timeout),
	FUNC("list-reference",	KEY_EMPTY, confval_reference),
	FUNC("SSL_protocols",	0, confval_protocols),
	FUNC("SSL_protocol_min", 0, confval_protocol_min),
	FUNC("SSL_protocol_max", 0, confval_protocol_max),
	STR("SSL_cipherlist",	KEY_EMPTY, ssl_ciphers),
	FUNC("SSL_ciphersuites", KEY_EMPTY, confval_ciphersuites),
	FUNC("SSL_fingerprint",	0, confval_fingerprint),
	BOOL("SSL_verify",	ssl_verify),
	STR("SSL_CAfile",	KEY_LONG, ssl_cafile),
	STR("SSL_CApath",	KEY_LONG, ssl_capath),
	STR("SSL_cert",		KEY_LONG, ssl_cert),
	STR("SSL_key",		KEY_LONG, ssl_key),
	FUNC("SSL_hostname",	KEY_EMPTY, confval_hostname)
};
#define KEYS	nitems(keys)

/* One error; they are printed in the order of the lines. */
struct conf_error {
	TAILQ_ENTRY(conf_error)	 entry;
	int			 line;
	char			*text;
};
TAILQ_HEAD(conf_errors, conf_error);

struct parser {
	struct conf		*conf;
	const char		*name;
	enum section		 section;
	int			 skip;	/* in a section that is unknown */
	int			 line;
	int			 seen[SECTIONS];	/* line of [SECTION] */
	struct {
		char		*val;
		int		 line;
		int		 bad;
	}			 raw[SECTIONS][KEYS];
	struct conf_errors	 errors;
};

static void	 conf_error(struct parser *, int, const char *, ...)
		    __attribute__((__format__(printf, 3, 4)));

static void
conf_error(struct parser *ps, int line, const char *fmt, ...)
{
	struct conf_error	*e, *p;
	char			 text[1024];
	va_list			 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	e = xcalloc(1, sizeof(*e));
	e->line = line;
	e->text = xstrdup(text);
	TAILQ_FOREACH_REVERSE(p, &ps->errors, conf_errors, entry)
		if (p->line <= line)
			break;
	if (p == NULL)
		TAILQ_INSERT_HEAD(&ps->errors, e, entry);
	else
		TAILQ_INSERT_AFTER(&ps->errors, p, e, entry);
}

void
conf_wipe(char **s)
{
	if (*s != NULL)
		freezero(*s, strlen(*s) + 1);
	*s = NULL;
}

/* ---- lines ---- */

/* [SECTION], without blanks around. */
static void
conf_section(struct parser *ps, const char *s, size_t len)
{
	while (len > 0 && isblank((unsigned char)*s)) {
		s++;
		len--;
	}
	while (len > 0 && isblank((unsigned char)s[len - 1]))
		len--;
	ps->skip = 0;
	if (len == 5 && memcmp(s, "local", 5) == 0)
		ps->section = SEC_LOCAL;
	else if (len == 6 && memcmp(s, "remote", 6) == 0)
		ps->section = SEC_REMOTE;
	else if (len == 1 && *s == '_')
		ps->section = SEC_DEFAULT;
	else {
		ps->skip = 1;
		if (near_word(s, len, "local") < NEAR_MAX ||
		    near_word(s, len, "remote") < NEAR_MAX)
			conf_error(ps, ps->line, "unknown section [%.*s]: "
			    "there are [local] and [remote]", (int)len, s);
		else
			conf_error(ps, ps->line, "unknown section: there are "
			    "[local] and [remote]");
		return;
	}
	if (ps->seen[ps->section] != 0 && ps->section != SEC_DEFAULT)
		conf_error(ps, ps->line, "a second [%.*s]: the first is in "
		    "line %d", (int)len, s, ps->seen[ps->section]);
	else
		ps->seen[ps->section] = ps->line;
}

/*
 * An unknown key.  Unless it is near a known one it may be a password on the
 * wrong line: don't show it.
 */
static void
conf_unknown(struct parser *ps, const char *s, size_t len)
{
	const char	*known = NULL;
	size_t		 d, i, least = NEAR_MAX;

	for (i = 0; i < KEYS; i++)
		if ((d = near_word(s, len, keys[i].name)) < least) {
			least = d;
			known = keys[i].name;
		}
	if (known == NULL)
		conf_error(ps, ps->line, "unknown key: see imapsync.conf(5)");
	else if (least == 0)
		conf_error(ps, ps->line, "unknown key %.*s: it is spelled %s",
		    (int)len, s, known);
	else
		conf_error(ps, ps->line, "unknown key %.*s: did you mean %s?",
		    (int)len, s, known);
}

int
conf_isglobal(const char *key, size_t len)
{
	size_t	 i;

	for (i = 0; i < KEYS; i++)
		if (strlen(keys[i].name) == len &&
		    memcmp(keys[i].name, key, len) == 0)
			return (keys[i].flags & KEY_GLOBAL) != 0;
	return 0;
}

static void
conf_pair(struct parser *ps, const char *key, size_t klen, const char *val,
    size_t vlen)
{
	size_t	 i;

	for (i = 0; i < KEYS; i++)
		if (strlen(keys[i].name) == klen &&
		    memcmp(keys[i].name, key, klen) == 0)
			break;
	if (i == KEYS)
		conf_unknown(ps, key, klen);
	else if (ps->skip)
		;
	else if (ps->section != SEC_DEFAULT && (keys[i].flags & KEY_GLOBAL))
		conf_error(ps, ps->line, "%s belongs in front of the sections",
		    keys[i].name);
	else if (ps->raw[ps->section][i].val != NULL)
		conf_error(ps, ps->line, "%s is set twice: first in line %d",
		    keys[i].name, ps->raw[ps->section][i].line);
	else {
		ps->raw[ps->section][i].val = xstrndup(val, vlen);
		ps->raw[ps->section][i].line = ps->line;
	}
}

/* A comment behind a value: a semicolon with blanks around. */
static size_t
conf_uncomment(const char *s, size_t len)
{
	size_t	 i;

	for (i = 0; i + 3 < len; i++)
		if (isblank((unsigned char)s[i]) && s[i + 1] == ';' &&
		    isblank((unsigned char)s[i + 2]))
			return i;
	return len;
}

static void
conf_line(struct parser *ps, const char *s, size_t len)
{
	const char	*eq;
	size_t		 i, klen;

	while (len > 0 && isblank((unsigned char)*s)) {
		s++;
		len--;
	}
	if (len == 0 || *s == '#' || *s == ';')
		return;
	for (i = 0; i < len; i++)
		if (iscntrl((unsigned char)s[i]) && s[i] != '\t') {
			conf_error(ps, ps->line, "a control character");
			return;
		}
	len = conf_uncomment(s, len);
	while (len > 0 && isblank((unsigned char)s[len - 1]))
		len--;
	if (*s == '[' && s[len - 1] == ']' && len > 2) {
		conf_section(ps, s + 1, len - 2);
		return;
	}
	if ((eq = memchr(s, '=', len)) == NULL || eq == s) {
		conf_error(ps, ps->line, "KEY = VALUE or [SECTION] expected");
		return;
	}
	len -= eq + 1 - s;
	for (klen = eq - s; isblank((unsigned char)s[klen - 1]); klen--)
		;
	for (eq++; len > 0 && isblank((unsigned char)*eq); len--)
		eq++;
	conf_pair(ps, s, klen, eq, len);
}

static void
conf_lines(struct parser *ps, const char *text, size_t len)
{
	const char	*end, *nl;

	for (end = text + len; text < end; text = nl + 1) {
		ps->line++;
		if ((nl = memchr(text, '\n', end - text)) == NULL)
			nl = end;
		len = nl - text;
		if (len > 0 && text[len - 1] == '\r')
			len--;
		conf_line(ps, text, len);
	}
}

/* ---- values ---- */

/* Hand a value to its key's function; 0 or -1 with ctx->why. */
static int
conf_value(struct conf_ctx *ctx, const struct key *k, const char *val)
{
	char	*base = k->flags & KEY_GLOBAL ? (char *)ctx->conf :
		    (char *)ctx->side;
	int	 b;

	ctx->why[0] = '\0';
	if (*val == '\0' && (k->flags & KEY_EMPTY) == 0)
		strlcpy(ctx->why, "it may not be empty", sizeof(ctx->why));
	else if (strlen(val) > VALUE_MAX && (k->flags & KEY_LONG) == 0)
		snprintf(ctx->why, sizeof(ctx->why), "it may have %d octets "
		    "at most", VALUE_MAX);
	else if (k->kind == KIND_FUNC)
		return k->fn(ctx, val);
	else if (k->kind == KIND_STRING) {
		free(*(char **)(base + k->off));
		*(char **)(base + k->off) = xstrdup(val);
		return 0;
	} else if ((b = confval_bool(val)) != -1) {
		*(int *)(base + k->off) = b;
		return 0;
	} else
		strlcpy(ctx->why, "YES or NO expected", sizeof(ctx->why));
	return -1;
}

/*
 * Is a secret of the file in a value, or the value in a secret?  One or two
 * octets are in any secret by chance, and tell nothing of it.
 */
static int
conf_has_secret(const struct parser *ps, const char *val)
{
	const char	*secret;
	size_t		 i;
	int		 sec;

	for (sec = 0; sec < SECTIONS; sec++)
		for (i = 0; i < KEYS; i++) {
			secret = ps->raw[sec][i].val;
			if (secret != NULL && *secret != '\0' &&
			    (keys[i].flags & KEY_SECRET) &&
			    (strstr(val, secret) != NULL ||
			    (strlen(val) >= SECRET_PART &&
			    strstr(secret, val) != NULL)))
				return 1;
		}
	return 0;
}

static void
conf_bad(struct parser *ps, enum section sec, size_t i, const char *why)
{
	const char	*val = ps->raw[sec][i].val;
	int		 line = ps->raw[sec][i].line;

	ps->raw[sec][i].bad = 1;
	if (*val == '\0' || (keys[i].flags & KEY_SECRET) ||
	    conf_has_secret(ps, val))
		conf_error(ps, line, "%s: %s", keys[i].name, why);
	else
		conf_error(ps, line, "%s = %.*s%s: %s", keys[i].name,
		    SHOWN_MAX, val, strlen(val) > SHOWN_MAX ? "..." : "", why);
}

/* Apply the key of a section; a bad value is reported once. */
static void
conf_apply(struct parser *ps, enum section sec, size_t i, struct conf_side *cs)
{
	struct conf_ctx	 ctx;

	if (ps->raw[sec][i].val == NULL || ps->raw[sec][i].bad)
		return;
	memset(&ctx, 0, sizeof(ctx));
	ctx.conf = ps->conf;
	ctx.side = cs;
	if (conf_value(&ctx, &keys[i], ps->raw[sec][i].val) == -1)
		conf_bad(ps, sec, i, ctx.why);
}

static int
conf_isset(const struct parser *ps, const struct conf_side *cs,
    const char *name)
{
	size_t	 i;

	for (i = 0; strcmp(keys[i].name, name) != 0; i++)
		;
	return ps->raw[SEC_DEFAULT][i].val != NULL ||
	    ps->raw[SEC_LOCAL + cs->side][i].val != NULL;
}

/* What only shows when all keys of a side are known. */
static void
conf_check(struct parser *ps, const struct conf_side *cs)
{
	const char	*name = side_name[cs->side];
	int		 line = ps->seen[SEC_LOCAL + cs->side];

	if (cs->type == CONN_TUNNEL && !conf_isset(ps, cs, "command"))
		conf_error(ps, line, "[%s] has type = tunnel, but no command",
		    name);
	if (cs->password != NULL && cs->password_command != NULL)
		conf_error(ps, line, "[%s] has both a password and a "
		    "password-command", name);
	if (cs->ssl_max != 0 && cs->ssl_min > cs->ssl_max)
		conf_error(ps, line, "[%s] has a lowest TLS version above the "
		    "highest", name);
	if (cs->ssl_key != NULL && cs->ssl_cert == NULL)
		conf_error(ps, line, "[%s] has SSL_key, but no SSL_cert",
		    name);
}

static void
conf_side(struct parser *ps, enum side side)
{
	struct conf_side	*cs = &ps->conf->side[side];
	enum section		 sec = SEC_LOCAL + side;
	size_t			 i;

	cs->side = side;
	cs->type = CONN_IMAPS;
	cs->starttls = cs->ssl_verify = cs->ssl_sni = cs->pipeline = 1;
	cs->compress = -1;
	cs->timeout = 300;
	cs->flags_interval = FLAGS_AUTO;
	cs->host = xstrdup("localhost");
	cs->reference = xstrdup("");
	cs->auth = xstrdup("");
	cs->username = xstrdup("");
	cs->authzid = xstrdup("");
	cs->ssl_ciphers = xstrdup("");
	cs->ssl_ciphersuites = xstrdup("");
	cs->ssl_fingerprint = xstrdup("");
	for (i = 0; i < KEYS; i++)
		if ((keys[i].flags & KEY_GLOBAL) == 0)
			conf_apply(ps, ps->raw[sec][i].val != NULL ? sec :
			    SEC_DEFAULT, i, cs);
	if (cs->compress == -1)
		cs->compress = side == REMOTE && cs->type != CONN_TUNNEL;
	if (cs->port == 0)
		cs->port = cs->type == CONN_IMAP ? 143 : 993;
	if (cs->ssl_hostname == NULL) {
		cs->ssl_sni = !confval_isaddr(cs->host);
		cs->ssl_hostname = xstrdup(cs->ssl_sni ? cs->host : "");
	}
	if (ps->seen[sec] == 0)
		conf_error(ps, 0, "section [%s] is missing", side_name[side]);
	else
		conf_check(ps, cs);
	if (cs->type != CONN_TUNNEL) {
		free(cs->command);
		cs->command = NULL;
	}
}

/* ---- one account twice ---- */

const char *
conf_account(const struct conf_side *cs)
{
	return *cs->authzid != '\0' ? cs->authzid : cs->username;
}

/* Does a reference contain another?  INBOX is known in any case. */
static int
conf_contains(const char *outer, const char *inner)
{
	size_t	 i, len = strlen(outer);

	if (strlen(inner) < len)
		return 0;
	i = strncasecmp(outer, "INBOX", 5) == 0 &&
	    strncasecmp(inner, "INBOX", 5) == 0 ? 5 : 0;
	return memcmp(outer + i, inner + i, len - i) == 0;
}

/* The same string, or none in both? */
static int
conf_alike(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Are both sides the same account?  "localhost" behind a proxy is another one;
 * without a user a certificate may say who logs in.
 */
static int
conf_isone(const struct conf_side *l, const struct conf_side *r)
{
	if (l->command != NULL || r->command != NULL)
		return conf_alike(l->command, r->command);
	return strcmp(l->host, r->host) == 0 && l->port == r->port &&
	    strcmp(conf_account(l), conf_account(r)) == 0 &&
	    (*conf_account(l) != '\0' ||
	    conf_alike(l->ssl_cert, r->ssl_cert)) &&
	    conf_alike(l->proxy_host, r->proxy_host) &&
	    l->proxy_port == r->proxy_port;
}

/* Every run would copy each message to where it comes from. */
static void
conf_one(struct parser *ps)
{
	const struct conf_side	*l = &ps->conf->side[LOCAL];
	const struct conf_side	*r = &ps->conf->side[REMOTE];
	const char		*refs = "";
	char			 who[600];

	if (!conf_isone(l, r) || (!conf_contains(l->reference, r->reference) &&
	    !conf_contains(r->reference, l->reference)))
		return;
	if (strcmp(l->reference, r->reference) != 0)
		refs = ", and one list-reference contains the other";
	if (l->command != NULL)
		strlcpy(who, "both start the same command", sizeof(who));
	else
		snprintf(who, sizeof(who), "%s%s%s port %u", conf_account(l),
		    *conf_account(l) != '\0' ? " at " : "", l->host,
		    (unsigned int)l->port);
	conf_error(ps, ps->seen[SEC_REMOTE], "[local] and [remote] are the same "
	    "account (%s)%s: each run would copy all messages again; set two "
	    "different servers or users, or for two parts of one account a "
	    "list-reference for each, neither of which is the beginning of the "
	    "other", who, refs);
}

/* ---- directories ---- */

/*
 * $variable/imapsync, or ~/fallback/imapsync; NULL if there is no home.  As the
 * XDG specification has it, a relative path in the variable does not count.
 */
static char *
conf_dir_of(const char *program, const char *variable, const char *fallback)
{
	const struct passwd	*pw;
	const char		*base = getenv(variable), *home;
	char			*dir = NULL;

	if (base != NULL && *base == '/') {
		if (asprintf(&dir, "%s/%s", base, program) == -1)
			fatal(NULL);
		return dir;
	}
	if ((home = getenv("HOME")) == NULL || *home != '/') {
		if ((pw = getpwuid(getuid())) == NULL)
			return NULL;
		home = pw->pw_dir;
	}
	if (asprintf(&dir, "%s/%s/%s", home, fallback, program) == -1)
		fatal(NULL);
	return dir;
}

static char *
conf_dir(const char *variable, const char *fallback)
{
	return conf_dir_of("imapsync", variable, fallback);
}

static char *
conf_join(const char *dir, const char *file)
{
	char	*path;

	if (asprintf(&path, "%s/%s", dir, file) == -1)
		fatal(NULL);
	return path;
}

char *
conf_path(const char *arg, char *why, size_t size)
{
	struct stat	 st;
	char		*dir, *path;

	if (arg != NULL && (*arg == '/' || strncmp(arg, "./", 2) == 0 ||
	    strncmp(arg, "../", 3) == 0))
		return xstrdup(arg);
	if ((dir = conf_dir("XDG_CONFIG_HOME", ".config")) == NULL) {
		strlcpy(why, "no home directory: use --config with a path that "
		    "begins with /", size);
		return NULL;
	}
	if (arg != NULL) {
		path = conf_join(dir, arg);
		if (stat(path, &st) == -1 && stat(arg, &st) == 0) {
			free(path);
			path = xstrdup(arg);
		}
	} else if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
		path = xstrdup(dir);
	else
		path = conf_join(dir, "config");
	free(dir);
	return path;
}

/* The state file: absolute, by default HOST.db; and where interimap has its. */
static void
conf_database(struct parser *ps)
{
	struct conf	*c = ps->conf;
	char		*dir, *file;

	if (c->database == NULL && asprintf(&c->database, "%s.db",
	    c->side[REMOTE].host) == -1)
		fatal(NULL);
	if (c->database[0] == '/') {
		c->theirs = xstrdup(c->database);
		return;
	}
	if ((dir = conf_dir("XDG_DATA_HOME", ".local/share")) == NULL) {
		conf_error(ps, 0, "no home directory: set database to a path "
		    "that begins with /");
		return;
	}
	file = c->database;
	c->database = conf_join(dir, file);
	free(dir);
	dir = conf_dir_of("interimap", "XDG_DATA_HOME", ".local/share");
	c->theirs = conf_join(dir, file);
	free(file);
	free(dir);
}

/* ---- the whole ---- */

static void
conf_finish(struct parser *ps, struct buf *errors)
{
	struct conf_error	*e;
	size_t			 i;
	int			 sec;

	for (sec = 0; sec < SECTIONS; sec++)
		for (i = 0; i < KEYS; i++)
			conf_wipe(&ps->raw[sec][i].val);
	while ((e = TAILQ_FIRST(&ps->errors)) != NULL) {
		if (e->line > 0)
			buf_printf(errors, "%s:%d: %s\n", ps->name, e->line,
			    e->text);
		else
			buf_printf(errors, "%s: %s\n", ps->name, e->text);
		TAILQ_REMOVE(&ps->errors, e, entry);
		free(e->text);
		free(e);
	}
}

int
conf_parse(struct conf *c, const char *name, const char *text, size_t len,
    struct buf *errors)
{
	struct parser	 ps;
	size_t		 i;
	int		 bad;

	memset(c, 0, sizeof(*c));
	memset(&ps, 0, sizeof(ps));
	TAILQ_INIT(&ps.errors);
	ps.conf = c;
	ps.name = name;
	c->propagate = PROP_ALL;
	conf_lines(&ps, text, len);
	for (i = 0; i < KEYS; i++)
		if (keys[i].flags & KEY_GLOBAL)
			conf_apply(&ps, SEC_DEFAULT, i, NULL);
	conf_side(&ps, LOCAL);
	conf_side(&ps, REMOTE);
	conf_database(&ps);
	if (TAILQ_EMPTY(&ps.errors))
		conf_one(&ps);
	if (c->ignore == NULL)
		c->ignore = xstrdup("");
	if (c->prefix == NULL)
		c->prefix = xstrdup("%?n?%?m?%n(%m)&%n?: ?");
	bad = !TAILQ_EMPTY(&ps.errors);
	conf_finish(&ps, errors);
	return bad ? -1 : 0;
}

/*
 * All of a file, wiped and freed by the caller; NULL with errno.  Only what was
 * read is wiped: the rest of the block was never touched, and costs nothing.
 */
static char *
conf_slurp(int fd, size_t *len)
{
	char	*text = xmalloc(CONF_MAX);
	ssize_t	 n;

	*len = 0;
	for (;;) {
		n = read(fd, text + *len, CONF_MAX - *len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += n;
		if (*len == CONF_MAX) {
			errno = EFBIG;
			n = -1;
			break;
		}
	}
	if (n == 0)
		return text;
	freezero(text, *len);
	return NULL;
}

/* May this file say what we do, and hold what it holds? */
static int
conf_trust(int fd, const struct conf *c, const char *path, struct buf *errors)
{
	struct stat	 st;
	int		 secret = 0, side;

	if (fstat(fd, &st) == -1) {
		buf_printf(errors, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		buf_printf(errors, "%s: it belongs to another user\n", path);
		return -1;
	}
	if (st.st_mode & S_IWOTH) {
		buf_printf(errors, "%s: everybody can write to it: chmod 600 "
		    "%s\n", path, path);
		return -1;
	}
	for (side = 0; side < SIDES; side++)
		secret |= c->side[side].password != NULL ||
		    c->side[side].proxy_password != NULL;
	if (secret && (st.st_mode & (S_IRWXG | S_IRWXO))) {
		buf_printf(errors, "%s: it holds a password and others can "
		    "read it: chmod 600 %s\n", path, path);
		return -1;
	}
	return 0;
}

/* How to begin, for a file that is not there: with the option that names it. */
static void
conf_begin(const char *path, struct buf *errors)
{
	char	*dir = conf_dir("XDG_CONFIG_HOME", ".config");
	size_t	 len = dir != NULL ? strlen(dir) : 0;

	if (len > 0 && strncmp(path, dir, len) == 0 && path[len] == '/')
		path += len + 1;
	free(dir);
	buf_puts(errors, ": begin with imapsync --init");
	if (strcmp(path, "config") != 0)
		buf_printf(errors, " --config=%s", path);
	buf_puts(errors, ", or with a copy of " PATH_EXAMPLES "/imapsync.conf");
}

int
conf_read(struct conf *c, const char *path, struct buf *errors)
{
	char	*text = NULL;
	size_t	 len;
	int	 fd, ret;

	memset(c, 0, sizeof(*c));
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1 ||
	    (text = conf_slurp(fd, &len)) == NULL) {
		buf_printf(errors, "%s: %s", path, strerror(errno));
		if (fd == -1 && errno == ENOENT)
			conf_begin(path, errors);
		buf_puts(errors, "\n");
		if (fd != -1)
			close(fd);
		return -1;
	}
	ret = conf_parse(c, path, text, len, errors);
	freezero(text, len);
	if (conf_trust(fd, c, path, errors) == -1)
		ret = -1;
	close(fd);
	return ret;
}

static void
conf_free_side(struct conf_side *cs)
{
	free(cs->host);
	free(cs->proxy_host);
	free(cs->proxy_user);
	conf_wipe(&cs->proxy_password);
	free(cs->command);
	free(cs->reference);
	free(cs->auth);
	free(cs->username);
	free(cs->authzid);
	conf_wipe(&cs->password);
	free(cs->password_command);
	free(cs->ssl_hostname);
	free(cs->ssl_ciphers);
	free(cs->ssl_ciphersuites);
	free(cs->ssl_fingerprint);
	free(cs->ssl_cafile);
	free(cs->ssl_capath);
	free(cs->ssl_cert);
	free(cs->ssl_key);
}

void
conf_free(struct conf *c)
{
	size_t	 i;
	int	 side;

	for (side = 0; side < SIDES; side++)
		conf_free_side(&c->side[side]);
	for (i = 0; i < c->npatterns; i++)
		free(c->patterns[i]);
	free(c->patterns);
	for (i = 0; i < c->nwatch; i++)
		free(c->watch[i]);
	free(c->watch);
	for (side = 0; side < SIDES; side++) {
		for (i = 0; i < c->nmap; i++)
			free(c->map[side][i]);
		free(c->map[side]);
	}
	free(c->database);
	free(c->theirs);
	free(c->logfile);
	free(c->prefix);
	free(c->ignore);
	memset(c, 0, sizeof(*c));
}

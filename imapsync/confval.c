/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The values of the configuration, one function a kind of value.  What is wrong
 * is said without the value: conf.c knows whether it can be shown.
 */
#include <arpa/inet.h>

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>

#include "bounds.h"
#include "imapsync.h"
#include "utf7.h"

#define TLS_V(minor)	(0x0300 + (minor) + 1)	/* TLS_V(2): TLS 1.2 */

static int
val_fail(struct conf_ctx *ctx, const char *text)
{
	strlcpy(ctx->why, text, sizeof(ctx->why));
	return -1;
}

static void
val_set(char **to, const char *val)
{
	free(*to);
	*to = xstrdup(val);
}

int
confval_bool(const char *val)
{
	static const char *const yes[] = { "yes", "true", "1", "on" };
	static const char *const no[] = { "no", "false", "0", "off" };
	size_t	 i;

	for (i = 0; i < nitems(yes); i++) {
		if (strcasecmp(val, yes[i]) == 0)
			return 1;
		if (strcasecmp(val, no[i]) == 0)
			return 0;
	}
	return -1;
}

int
confval_type(struct conf_ctx *ctx, const char *val)
{
	if (strcmp(val, "imaps") == 0)
		ctx->side->type = CONN_IMAPS;
	else if (strcmp(val, "imap") == 0)
		ctx->side->type = CONN_IMAP;
	else if (strcmp(val, "tunnel") == 0)
		ctx->side->type = CONN_TUNNEL;
	else
		return val_fail(ctx, "imap, imaps or tunnel expected");
	return 0;
}

int
confval_isaddr(const char *host)
{
	struct in6_addr	 addr;
	char		 buf[INET6_ADDRSTRLEN];
	size_t		 n = strcspn(host, "%");

	if (n >= sizeof(buf))
		return 0;
	memcpy(buf, host, n);
	buf[n] = '\0';
	if (inet_pton(AF_INET6, buf, &addr) == 1)
		return 1;
	return host[n] == '\0' && inet_pton(AF_INET, buf, &addr) == 1;
}

/*
 * A host of len octets, in brackets or not, into *host.  It is a part of the
 * name of the state file, so it must not hold a slash.
 */
static int
val_host(struct conf_ctx *ctx, const char *val, size_t len, char **host,
    int *literal)
{
	size_t	 i;

	*literal = len > 1 && val[0] == '[' && val[len - 1] == ']';
	if (*literal) {
		val++;
		len -= 2;
	}
	if (len == 0 || len > 255)
		return val_fail(ctx, "a host name of 1 to 255 characters "
		    "expected");
	free(*host);
	*host = xmalloc(len + 1);
	for (i = 0; i < len; i++) {
		if (!isalnum((unsigned char)val[i]) &&
		    strchr(".-_:%", val[i]) == NULL)
			return val_fail(ctx, "a character that no host name "
			    "has (IDN: write it as xn--...)");
		(*host)[i] = tolower((unsigned char)val[i]);
	}
	(*host)[len] = '\0';
	if (*literal && !confval_isaddr(*host))
		return val_fail(ctx, "an IPv4 or IPv6 address expected in "
		    "the brackets");
	return 0;
}

int
confval_host(struct conf_ctx *ctx, const char *val)
{
	struct conf_side	*cs = ctx->side;
	char			*host = NULL;

	if (val_host(ctx, val, strlen(val), &host, &cs->literal) == -1) {
		free(host);
		return -1;
	}
	free(cs->host);
	cs->host = host;
	return 0;
}

/* A number from 1 to 65535 or a service name; the port, or 0. */
static uint16_t
val_port(struct conf_ctx *ctx, const char *val)
{
	struct servent	*se;
	const char	*error;
	int		 port;

	port = strtonum(val, 1, 65535, &error);
	if (error == NULL)
		return port;
	if (!isdigit((unsigned char)val[0]) &&
	    (se = getservbyname(val, "tcp")) != NULL)
		return ntohs(se->s_port);
	val_fail(ctx, "a number from 1 to 65535 or the name of a service "
	    "expected");
	return 0;
}

int
confval_port(struct conf_ctx *ctx, const char *val)
{
	return (ctx->side->port = val_port(ctx, val)) == 0 ? -1 : 0;
}

int
confval_timeout(struct conf_ctx *ctx, const char *val)
{
	const char	*error;

	ctx->side->timeout = strtonum(val, 1, 86400, &error);
	if (error != NULL)
		return val_fail(ctx, "seconds, from 1 to 86400, expected");
	return 0;
}

/* USER:PASSWORD of len octets. */
static int
val_proxyuser(struct conf_ctx *ctx, const char *val, size_t len)
{
	struct conf_side	*cs = ctx->side;
	const char		*colon = memchr(val, ':', len);
	size_t			 user = colon == NULL ? len :
				    (size_t)(colon - val);
	size_t			 pass = colon == NULL ? 0 : len - user - 1;

	if (user < 1 || user > 255 || pass > 255)
		return val_fail(ctx, "the proxy's user or password is empty or "
		    "longer than 255 octets");
	cs->proxy_user = xstrndup(val, user);
	cs->proxy_password = xstrndup(colon == NULL ? "" : colon + 1, pass);
	return 0;
}

int
confval_proxy(struct conf_ctx *ctx, const char *val)
{
	struct conf_side	*cs = ctx->side;
	const char		*at, *end, *p;

	if (strncmp(val, "socks5://", 9) == 0)
		cs->proxy = PROXY_SOCKS5;
	else if (strncmp(val, "socks5h://", 10) == 0)
		cs->proxy = PROXY_SOCKS5H;
	else
		return val_fail(ctx, "socks5://[USER:PASSWORD@]HOST[:PORT] or "
		    "socks5h://... expected");
	p = strstr(val, "://") + 3;
	if ((at = strrchr(p, '@')) != NULL) {
		if (val_proxyuser(ctx, p, at - p) == -1)
			return -1;
		p = at + 1;
	}
	end = p + strcspn(p, *p == '[' ? "]" : ":");
	if (*end == ']')
		end++;
	if (val_host(ctx, p, end - p, &cs->proxy_host,
	    &cs->proxy_literal) == -1)
		return -1;
	cs->proxy_port = 1080;
	if (*end == ':')
		cs->proxy_port = val_port(ctx, end + 1);
	else if (*end != '\0')
		return val_fail(ctx, "octets behind the proxy's address");
	return cs->proxy_port == 0 ? -1 : 0;
}

/*
 * The next word of *s, blanks between, into word; 1, 0 at the end, -1 if it is
 * longer than the room.
 */
static int
val_word(const char **s, char *word, size_t size)
{
	size_t	 n;

	*s += strspn(*s, " \t");
	if ((n = strcspn(*s, " \t")) == 0)
		return 0;
	if (n >= size)
		return -1;
	memcpy(word, *s, n);
	word[n] = '\0';
	*s += n;
	return 1;
}

/* The mechanisms that imapsync-net knows: a wrong name is found before it runs. */
static int
auth_known(const char *word, size_t len)
{
	static const char *const mechs[] = { "SCRAM-SHA-256-PLUS",
	    "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN",
	    "LOGIN", "EXTERNAL", "XOAUTH2", "OAUTHBEARER", "CRAM-MD5" };
	size_t			 i;

	for (i = 0; i < nitems(mechs); i++)
		if (strlen(mechs[i]) == len &&
		    strncasecmp(mechs[i], word, len) == 0)
			return 1;
	return 0;
}

int
confval_auth(struct conf_ctx *ctx, const char *val)
{
	const char	*p;
	size_t		 len;

	for (p = val + strspn(val, " \t"); *p != '\0';
	    p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		if (!auth_known(p, len))
			return val_fail(ctx, "mechanisms such as PLAIN or "
			    "SCRAM-SHA-256, with blanks between, expected");
		p += len;
	}
	val_set(&ctx->side->auth, val);
	return 0;
}

int
confval_strategy(struct conf_ctx *ctx, const char *val)
{
	static const char *const	 names[] = {
		[STRATEGY_AUTO] = "auto",
		[STRATEGY_QRESYNC] = "qresync",
		[STRATEGY_CONDSTORE] = "condstore",
		[STRATEGY_PLAIN] = "plain"
	};
	size_t				 i;

	for (i = 0; i < nitems(names); i++)
		if (strcmp(val, names[i]) == 0) {
			ctx->side->strategy = (enum strategy_kind)i;
			return 0;
		}
	return val_fail(ctx, "auto, qresync, condstore or plain expected");
}

int
confval_flags(struct conf_ctx *ctx, const char *val)
{
	uint32_t	 n = 0;

	if (strcmp(val, "auto") == 0)
		n = FLAGS_AUTO;
	else if (strcmp(val, "always") != 0 &&
	    (n = confval_duration(val)) == 0)
		return val_fail(ctx, "auto, always, or a number and m, h, d or "
		    "w, such as 2h, expected");
	ctx->side->flags_interval = n;
	return 0;
}

/* SSLv2 to TLSv1.3: 0 to 5; -1. */
static int
val_version(const char *name)
{
	static const char *const names[] = { "SSLv2", "SSLv3", "TLSv1",
	    "TLSv1.1", "TLSv1.2", "TLSv1.3" };
	size_t	 i;

	if (strcmp(name, "TLSv1.0") == 0)
		return 2;
	for (i = 0; i < nitems(names); i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

/* Bounds only ever grow tighter: the deprecated key and the new ones add up. */
static void
val_bounds(struct conf_side *cs, uint16_t min, uint16_t max)
{
	if (min > cs->ssl_min)
		cs->ssl_min = min;
	if (max != 0 && (cs->ssl_max == 0 || max < cs->ssl_max))
		cs->ssl_max = max;
}

int
confval_protocols(struct conf_ctx *ctx, const char *val)
{
	char		 word[16];
	unsigned int	 on = 0, off = 0, use;
	int		 i, lo, hi, r;

	while ((r = val_word(&val, word, sizeof(word))) == 1) {
		i = val_version(word + (word[0] == '!'));
		if (i == -1)
			break;
		*(word[0] == '!' ? &off : &on) |= 1U << i;
	}
	if (r != 0)
		return val_fail(ctx, "SSLv2, SSLv3, TLSv1, TLSv1.1, TLSv1.2, "
		    "TLSv1.3, or these with !, expected");
	/* The first two are never offered, whatever is asked for. */
	use = (on != 0 ? on : 0x3f) & ~off & 0x3c;
	for (lo = 2; lo < 6 && (use & 1U << lo) == 0; lo++)
		;
	for (hi = 5; hi > lo && (use & 1U << hi) == 0; hi--)
		;
	if (lo == 6)
		return val_fail(ctx, "no protocol is left that could be used");
	for (i = lo; i < hi; i++)
		if ((use & 1U << i) == 0)
			return val_fail(ctx, "a gap between protocols is not "
			    "possible: use SSL_protocol_min and "
			    "SSL_protocol_max");
	val_bounds(ctx->side, lo == 2 && on == 0 ? 0 : TLS_V(lo - 2),
	    hi == 5 && on == 0 ? 0 : TLS_V(hi - 2));
	return 0;
}

int
confval_protocol_min(struct conf_ctx *ctx, const char *val)
{
	int	 v = val_version(val);

	if (v < 1)
		return val_fail(ctx, "SSLv3, TLSv1, TLSv1.1, TLSv1.2 or "
		    "TLSv1.3 expected");
	val_bounds(ctx->side, v == 1 ? 0 : TLS_V(v - 2), 0);
	return 0;
}

int
confval_protocol_max(struct conf_ctx *ctx, const char *val)
{
	int	 v = val_version(val);

	if (v < 2)
		return val_fail(ctx, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3 "
		    "expected");
	val_bounds(ctx->side, 0, TLS_V(v - 2));
	return 0;
}

/* An empty list leaves nothing that TLS 1.3 could use. */
int
confval_ciphersuites(struct conf_ctx *ctx, const char *val)
{
	if (*val == '\0')
		val_bounds(ctx->side, 0, TLS_V(2));
	val_set(&ctx->side->ssl_ciphersuites, val);
	return 0;
}

/* [ALGORITHM$]HEXADECIMAL: NULL or what is wrong with it. */
static const char *
val_digest(const char *word)
{
	static const struct {
		const char	*prefix;
		size_t		 len;
	} algos[] = {
		{ "", 64 }, { "sha256$", 64 }, { "sha1$", 40 },
		{ "sha384$", 96 }, { "sha512$", 128 },
	};
	const char	*hex = strchr(word, '$');
	size_t		 i, n = hex == NULL ? 0 : hex + 1 - word;

	for (i = 0; i < nitems(algos); i++)
		if (strlen(algos[i].prefix) == n &&
		    strncasecmp(word, algos[i].prefix, n) == 0)
			break;
	if (i == nitems(algos))
		return "sha256$, sha384$, sha512$ or sha1$ expected in front "
		    "of the digest";
	hex = word + n;
	n = strspn(hex, "0123456789abcdefABCDEF");
	if (n == 0 || hex[n] != '\0')
		return "[ALGORITHM$]HEXADECIMAL, with blanks between, expected";
	if (n != algos[i].len)
		return "the digest's length is not that of its algorithm: a "
		    "SHA-256 digest has 64 hexadecimal digits";
	return NULL;
}

int
confval_fingerprint(struct conf_ctx *ctx, const char *val)
{
	const char	*p = val, *why;
	char		 word[300];
	int		 r;

	while ((r = val_word(&p, word, sizeof(word))) == 1)
		if ((why = val_digest(word)) != NULL)
			return val_fail(ctx, why);
	if (r != 0)
		return val_fail(ctx, "[ALGORITHM$]HEXADECIMAL, with blanks "
		    "between, expected");
	val_set(&ctx->side->ssl_fingerprint, val);
	return 0;
}

int
confval_hostname(struct conf_ctx *ctx, const char *val)
{
	int	 literal;

	ctx->side->ssl_sni = *val != '\0';
	if (*val == '\0') {
		val_set(&ctx->side->ssl_hostname, "");
		return 0;
	}
	return val_host(ctx, val, strlen(val), &ctx->side->ssl_hostname,
	    &literal);
}

/* The octet of an escape in a quoted name, behind the backslash; -1. */
static int
val_escape(const char **s)
{
	static const char	 from[] = "\"\\abtnvfr", to[] =
				    "\"\\\a\b\t\n\v\f\r";
	const char		*f;
	char			 hex[3];
	int			 c = *(*s)++;

	if (c == '0')
		return 0;
	if (c == 'x') {
		if (!isxdigit((unsigned char)(*s)[0]) ||
		    !isxdigit((unsigned char)(*s)[1]))
			return -1;
		hex[0] = (*s)[0];
		hex[1] = (*s)[1];
		hex[2] = '\0';
		*s += 2;
		return strtol(hex, NULL, 16);
	}
	if (c == '\0' || (f = strchr(from, c)) == NULL)
		return -1;
	return (unsigned char)to[f - from];
}

/* A pattern in quotes, behind the first of them. */
static int
val_quoted(struct conf_ctx *ctx, const char **s, char *name, size_t size)
{
	size_t	 n = 0;
	int	 c;

	while ((c = (unsigned char)*(*s)++) != '"') {
		if (c == '\0')
			return val_fail(ctx, "a quote that does not end");
		if (c == '\\') {
			if ((c = val_escape(s)) == -1)
				return val_fail(ctx, "an escape that is not "
				    "one of \\\\ \\\" \\0 \\a \\b \\t \\n "
				    "\\v \\f \\r \\xHH");
			if (c == NAME_SEP)
				return val_fail(ctx, "\\x01 in a pattern");
			if (c == '\0')
				c = NAME_SEP;
		} else if (c == 0x7f)
			return val_fail(ctx, "a control character");
		if (n + 1 >= size)
			return val_fail(ctx, "a pattern that is too long");
		name[n++] = c;
	}
	name[n] = '\0';
	return 0;
}

/* A pattern without quotes. */
static int
val_unquoted(struct conf_ctx *ctx, const char **s, char *name, size_t size)
{
	size_t	 i, n;
	int	 c;

	n = strcspn(*s, " \t\"");
	for (i = 0; i < n; i++) {
		c = (unsigned char)(*s)[i];
		if (c <= ' ' || c == 0x7f || strchr("(){\\", c) != NULL)
			return val_fail(ctx, "a character that must stand in "
			    "double quotes");
	}
	if (n + 1 > size)
		return val_fail(ctx, "a pattern that is too long");
	memcpy(name, *s, n);
	name[n] = '\0';
	*s += n;
	return 0;
}

/* The next pattern of *s into name: 1, 0 at the end, -1. */
static int
val_pattern(struct conf_ctx *ctx, const char **s, char *name, size_t size)
{
	int	 r;

	*s += strspn(*s, " \t");
	if (**s == '\0')
		return 0;
	if (**s == '"') {
		(*s)++;
		r = val_quoted(ctx, s, name, size);
	} else
		r = val_unquoted(ctx, s, name, size);
	if (r == -1)
		return -1;
	if (name[0] == '\0')
		return val_fail(ctx, "an empty pattern");
	if (!utf8_valid(name))
		return val_fail(ctx, "a name that is neither UTF-8 nor "
		    "modified UTF-7");
	if (**s != '\0' && **s != ' ' && **s != '\t')
		return val_fail(ctx, "blanks between patterns expected");
	return 1;
}

static void
val_push(char ***list, size_t *n, const char *name)
{
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
	(*list)[(*n)++] = xstrdup(name);
}

int
confval_patterns(struct conf_ctx *ctx, const char *val)
{
	struct conf	*c = ctx->conf;
	char		 name[NAME_MAX_LEN];
	int		 r;

	while ((r = val_pattern(ctx, &val, name, sizeof(name))) == 1)
		val_push(&c->patterns, &c->npatterns, name);
	return r;
}

/* A server is asked to watch mailboxes one by one: names, not patterns. */
int
confval_watch(struct conf_ctx *ctx, const char *val)
{
	struct conf	*c = ctx->conf;
	char		 name[NAME_MAX_LEN];
	int		 r;

	while ((r = val_pattern(ctx, &val, name, sizeof(name))) == 1) {
		if (strpbrk(name, "*%") != NULL)
			return val_fail(ctx, "names of mailboxes, without "
			    "wildcards, expected");
		val_push(&c->watch, &c->nwatch, name);
	}
	return r;
}

/* ---- mailbox-map ---- */

/*
 * A name of *s into utf7[NAME_MAX_LEN].  The servers can't be asked first which of
 * two readings they have, so what may be modified UTF-7 is.
 */
static int
val_name(struct conf_ctx *ctx, const char **s, char *utf7)
{
	char	 name[NAME_MAX_LEN], text[NAME_TEXT_MAX];
	size_t	 n;

	*s += strspn(*s, " \t");
	n = strcspn(*s, " \t\"=,");
	if (**s == '"') {
		(*s)++;
		if (val_quoted(ctx, s, name, sizeof(name)) == -1)
			return -1;
	} else if (n >= sizeof(name))
		return val_fail(ctx, "a name that is too long");
	else {
		memcpy(name, *s, n);
		name[n] = '\0';
		*s += n;
		if (strpbrk(name, "(){\\") != NULL)
			return val_fail(ctx, "a character that must stand in "
			    "double quotes");
	}
	if (name[0] == '\0')
		return val_fail(ctx, "LOCAL = REMOTE, with commas between, "
		    "expected");
	if (strpbrk(name, "*%") != NULL)
		return val_fail(ctx, "names of mailboxes, without wildcards, "
		    "expected (what is below them follows)");
	if (strcasecmp(name, "INBOX") == 0)
		return val_fail(ctx, "INBOX has one name everywhere: see "
		    "list-reference");
	if (utf7_decode(name, text) == 0)
		strlcpy(utf7, name, NAME_MAX_LEN);
	else if (utf7_encode(name, utf7) == -1)
		return val_fail(ctx, "a name that is neither UTF-8 nor "
		    "modified UTF-7");
	return 0;
}

/* One to one. */
static int
val_pair(struct conf_ctx *ctx, char name[SIDES][NAME_MAX_LEN])
{
	struct conf	*c = ctx->conf;
	size_t		 i, n = c->nmap;
	int		 side;

	if (strcmp(name[LOCAL], name[REMOTE]) == 0)
		return val_fail(ctx, "a pair of one and the same name, which "
		    "needs no entry");
	for (i = 0; i < c->nmap; i++)
		for (side = 0; side < SIDES; side++)
			if (strcmp(c->map[side][i], name[side]) == 0)
				return val_fail(ctx, side == LOCAL ?
				    "a local name that stands there twice" :
				    "a remote name that stands there twice");
	if (n == MAP_MAX)
		return val_fail(ctx, "too many pairs");
	for (side = 0; side < SIDES; side++) {
		c->nmap = n;
		val_push(&c->map[side], &c->nmap, name[side]);
	}
	return 0;
}

int
confval_map(struct conf_ctx *ctx, const char *val)
{
	char	 name[SIDES][NAME_MAX_LEN];

	for (;;) {
		if (val_name(ctx, &val, name[LOCAL]) == -1)
			return -1;
		val += strspn(val, " \t");
		if (*val != '=')
			return val_fail(ctx, "= expected behind a local name "
			    "(one with blanks stands in double quotes)");
		val++;
		if (val_name(ctx, &val, name[REMOTE]) == -1 ||
		    val_pair(ctx, name) == -1)
			return -1;
		val += strspn(val, " \t");
		if (*val == '\0')
			return 0;
		if (*val != ',')
			return val_fail(ctx, "a comma expected between pairs "
			    "(a name with blanks stands in double quotes)");
		val++;
	}
}

/*
 * What a server gets: modified UTF-7.  It cannot be asked first which of two
 * readings it has, so what may be UTF-7 is.
 */
int
confval_reference(struct conf_ctx *ctx, const char *val)
{
	char	 text[NAME_TEXT_MAX], utf7[NAME_MAX_LEN];

	if (strlen(val) >= sizeof(utf7))
		return val_fail(ctx, "a reference that is too long");
	if (utf7_decode(val, text) == 0) {
		val_set(&ctx->side->reference, val);
		return 0;
	}
	if (utf7_encode(val, utf7) == -1)
		return val_fail(ctx, "a reference that is neither UTF-8 nor "
		    "modified UTF-7, or too long");
	val_set(&ctx->side->reference, utf7);
	return 0;
}

int
confval_selectors(struct conf_ctx *ctx, const char *val)
{
	static const char *const names[] = { "SUBSCRIBED", "REMOTE",
	    "RECURSIVEMATCH" };
	static const uint8_t	 bits[] = { SEL_SUBSCRIBED, SEL_REMOTE,
	    SEL_RECURSIVEMATCH };
	char			 word[32];
	uint8_t			 sel = 0;
	size_t			 i = 0;
	int			 r;

	while ((r = val_word(&val, word, sizeof(word))) == 1) {
		for (i = 0; i < nitems(names); i++)
			if (strcasecmp(word, names[i]) == 0)
				break;
		if (i == nitems(names))
			break;
		sel |= bits[i];
	}
	if (r != 0)
		return val_fail(ctx, "SUBSCRIBED, REMOTE, RECURSIVEMATCH, "
		    "with blanks between, expected");
	if ((sel & SEL_RECURSIVEMATCH) && (sel & SEL_SUBSCRIBED) == 0)
		return val_fail(ctx, "RECURSIVEMATCH needs SUBSCRIBED "
		    "(RFC 5258)");
	ctx->conf->selectors = sel;
	return 0;
}

int
confval_direction(struct conf_ctx *ctx, const char *val)
{
	if (strcmp(val, "both") == 0)
		ctx->conf->direction = DIR_BOTH;
	else if (strcmp(val, "to-local") == 0)
		ctx->conf->direction = DIR_TO_LOCAL;
	else if (strcmp(val, "to-remote") == 0)
		ctx->conf->direction = DIR_TO_REMOTE;
	else
		return val_fail(ctx, "both, to-local or to-remote expected");
	return 0;
}

int
confval_propagate(struct conf_ctx *ctx, const char *val)
{
	char	 word[16];
	uint8_t	 prop = 0;
	int	 r;

	while ((r = val_word(&val, word, sizeof(word))) == 1) {
		if (strcmp(word, "new") == 0)
			prop |= PROP_NEW;
		else if (strcmp(word, "flags") == 0)
			prop |= PROP_FLAGS;
		else if (strcmp(word, "delete") == 0)
			prop |= PROP_DELETE;
		else
			break;
	}
	if (r != 0)
		return val_fail(ctx, "one or more of new, flags, delete, with "
		    "blanks between, expected");
	ctx->conf->propagate = prop;
	return 0;
}

/*
 * A number from 1 on with a letter behind it (or none: the first of units), of
 * which unit[] says what they stand for; 0 if it is something else, or more
 * than max.
 */
static uint64_t
val_quantity(const char *val, const char *units, const uint64_t *unit,
    uint64_t max)
{
	const char	*u = units;
	uint64_t	 n = 0;

	if (!isdigit((unsigned char)*val))
		return 0;
	for (; isdigit((unsigned char)*val); val++) {
		if (n > max / 10)
			return 0;
		n = n * 10 + (*val - '0');
	}
	if (*val != '\0' &&
	    ((u = strchr(units, tolower((unsigned char)*val))) == NULL ||
	    val[1] != '\0'))
		return 0;
	return n > max / unit[u - units] ? 0 : n * unit[u - units];
}

int
confval_maxsize(struct conf_ctx *ctx, const char *val)
{
	static const uint64_t	 unit[] = { 1, 1 << 10, 1 << 20, 1 << 30 };

	ctx->conf->max_size = val_quantity(val, "okmg", unit, INT64_MAX);
	if (ctx->conf->max_size == 0)
		return val_fail(ctx, "octets, or a number and K, M or G, "
		    "expected");
	return 0;
}

int
confval_maxage(struct conf_ctx *ctx, const char *val)
{
	static const uint64_t	 unit[] = { 86400, 7 * 86400, 30 * 86400,
	    365 * 86400 };

	ctx->conf->max_age = val_quantity(val, "dwmy", unit, UINT32_MAX);
	if (ctx->conf->max_age == 0)
		return val_fail(ctx, "days, or a number and d, w, m or y (136 "
		    "years at most), expected");
	return 0;
}

int
confval_maxdelete(struct conf_ctx *ctx, const char *val)
{
	const char	*end;
	uint64_t	 n = 0;

	if (strcasecmp(val, "none") == 0) {
		ctx->conf->delete_rule = DELETE_ANY;
		return 0;
	}
	for (end = val; isdigit((unsigned char)*end) && n <= UINT32_MAX; end++)
		n = n * 10 + (*end - '0');
	if (n > 0 && n <= 100 && strcmp(end, "%") == 0)
		ctx->conf->delete_rule = DELETE_PERCENT;
	else if (n > 0 && n <= UINT32_MAX && *end == '\0')
		ctx->conf->delete_rule = DELETE_NUMBER;
	else
		return val_fail(ctx, "a number of messages, a percentage such "
		    "as 50%, or none expected");
	ctx->conf->max_delete = (uint32_t)n;
	return 0;
}

int
confval_rename(struct conf_ctx *ctx, const char *val)
{
	if (strcmp(val, "follow") == 0)
		ctx->conf->rename_rule = RENAME_FOLLOW;
	else if (strcmp(val, "never") == 0)
		ctx->conf->rename_rule = RENAME_NEVER;
	else
		return val_fail(ctx, "follow or never expected");
	return 0;
}

int
confval_gone(struct conf_ctx *ctx, const char *val)
{
	if (strcmp(val, "never") == 0)
		ctx->conf->gone_rule = GONE_NEVER;
	else if (strcmp(val, "empty") == 0)
		ctx->conf->gone_rule = GONE_EMPTY;
	else if (strcmp(val, "always") == 0)
		ctx->conf->gone_rule = GONE_ALWAYS;
	else
		return val_fail(ctx, "never, empty or always expected");
	return 0;
}

uint32_t
confval_duration(const char *val)
{
	static const uint64_t	 unit[] = { 60, 3600, 86400, 7 * 86400 };
	size_t			 len = strlen(val);

	if (len == 0 || isdigit((unsigned char)val[len - 1]))
		return 0;
	return (uint32_t)val_quantity(val, "mhdw", unit, INT32_MAX);
}

/* Up to a day; 0: none. */
static int
val_wait(struct conf_ctx *ctx, const char *val, uint32_t *seconds)
{
	static const uint64_t	 unit[] = { 1, 60, 3600, 86400 };
	size_t			 len = strlen(val);

	*seconds = 0;
	if (strcmp(val, "none") == 0)
		return 0;
	if (!isdigit((unsigned char)val[len - 1]))
		*seconds = val_quantity(val, "smhd", unit, 86400);
	if (*seconds == 0)
		return val_fail(ctx, "none, or a number and s, m or h, such as "
		    "10m (a day at most), expected");
	return 0;
}

int
confval_delay(struct conf_ctx *ctx, const char *val)
{
	return val_wait(ctx, val, &ctx->conf->random_delay);
}

int
confval_busy(struct conf_ctx *ctx, const char *val)
{
	return val_wait(ctx, val, &ctx->conf->busy_wait);
}

int
confval_ignore(struct conf_ctx *ctx, const char *val)
{
	char	*ere;

	if ((ere = pattern_translate(val, ctx->why, sizeof(ctx->why))) == NULL)
		return -1;
	if (strlen(ere) >= NAME_MAX_LEN) {
		free(ere);
		return val_fail(ctx, "an expression that is too long");
	}
	free(ctx->conf->ignore);
	ctx->conf->ignore = ere;
	return 0;
}

/*
 * log-prefix: %n %m %%, \& \? \\, and %?X?then&else? with conditions inside.
 * "seen" tells of each open condition whether it had its "&".
 */
int
confval_prefix(struct conf_ctx *ctx, const char *val)
{
	char		 seen[32];
	const char	*p;
	size_t		 depth = 0;

	if (strlen(val) >= 512)
		return val_fail(ctx, "a prefix that is too long");
	for (p = val; *p != '\0'; p++) {
		if (*p == '\\') {
			if (*++p == '\0' || strchr("&?\\", *p) == NULL)
				return val_fail(ctx, "a backslash that is not "
				    "followed by &, ? or \\");
		} else if (p[0] == '%' && p[1] == '?') {
			if ((p[2] != 'n' && p[2] != 'm') || p[3] != '?' ||
			    depth == sizeof(seen))
				return val_fail(ctx, "%?n?...? or %?m?...? "
				    "expected");
			seen[depth++] = 0;
			p += 3;
		} else if (*p == '%') {
			if (*++p == '\0' || strchr("nm%", *p) == NULL)
				return val_fail(ctx, "% that is not followed "
				    "by n, m, % or ?");
		} else if (*p == '&' || *p == '?') {
			if (depth == 0 || (*p == '&' && seen[depth - 1]))
				return val_fail(ctx, "& or ? outside a "
				    "condition: write \\& or \\?");
			if (*p == '&')
				seen[depth - 1] = 1;
			else
				depth--;
		}
	}
	if (depth > 0)
		return val_fail(ctx, "a condition that does not end: ? "
		    "expected");
	free(ctx->conf->prefix);
	ctx->conf->prefix = xstrdup(val);
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The grammar of what a server says (RFC 3501 section 7 and the extensions in
 * use).  Unknown responses, and unknown parts of known ones, are skipped; known
 * ones that are malformed are told as "bad", and whoever needs them is to know.
 * The one thing that nothing can be built on is a response whose end is not
 * where it should be.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "imap.h"

static const struct {
	const char	*name;
	uint32_t	 bit;
} cap_names[] = {
	{ "QRESYNC", CAP_QRESYNC }, { "CONDSTORE", CAP_CONDSTORE },
	{ "LIST-EXTENDED", CAP_LIST_EXTENDED },
	{ "LIST-STATUS", CAP_LIST_STATUS }, { "UIDPLUS", CAP_UIDPLUS },
	{ "LITERAL+", CAP_LITERALPLUS }, { "LITERAL-", CAP_LITERALMINUS },
	{ "MULTIAPPEND", CAP_MULTIAPPEND }, { "MOVE", CAP_MOVE },
	{ "OBJECTID", CAP_OBJECTID }, { "NOTIFY", CAP_NOTIFY },
	{ "IDLE", CAP_IDLE }, { "COMPRESS=DEFLATE", CAP_COMPRESS },
	{ "SPECIAL-USE", CAP_SPECIAL_USE }, { "ESEARCH", CAP_ESEARCH },
	{ "UNSELECT", CAP_UNSELECT }, { "ENABLE", CAP_ENABLE },
	{ "SASL-IR", CAP_SASL_IR }, { "STARTTLS", CAP_STARTTLS },
	{ "LOGINDISABLED", CAP_LOGINDISABLED }, { "ID", CAP_ID }
};

static const struct {
	const char	*name;
	enum code	 code;
	enum resp_code	 rc;
} code_names[] = {
	{ "CAPABILITY", C_CAPABILITY, RC_NONE },
	{ "NOTIFICATIONOVERFLOW", C_OVERFLOW, RC_LIMIT },
	{ "UIDVALIDITY", C_UIDVALIDITY, RC_NONE },
	{ "UIDNEXT", C_UIDNEXT, RC_NONE },
	{ "HIGHESTMODSEQ", C_HIGHESTMODSEQ, RC_NONE },
	{ "NOMODSEQ", C_NOMODSEQ, RC_NONE },
	{ "PERMANENTFLAGS", C_PERMANENTFLAGS, RC_NONE },
	{ "MAILBOXID", C_MAILBOXID, RC_NONE },
	{ "READ-ONLY", C_READONLY, RC_NONE },
	{ "READ-WRITE", C_READWRITE, RC_NONE },
	{ "APPENDUID", C_APPENDUID, RC_NONE },
	{ "COPYUID", C_COPYUID, RC_NONE },
	{ "CLOSED", C_CLOSED, RC_NONE },
	{ "UIDNOTSTICKY", C_UIDNOTSTICKY, RC_NONE },
	{ "ALERT", C_ALERT, RC_OTHER },
	{ "ALREADYEXISTS", C_OTHER, RC_ALREADYEXISTS },
	{ "NONEXISTENT", C_OTHER, RC_NONEXISTENT },
	{ "TRYCREATE", C_OTHER, RC_TRYCREATE },
	{ "NOPERM", C_OTHER, RC_NOPERM },
	{ "CANNOT", C_OTHER, RC_CANNOT },
	{ "LIMIT", C_OTHER, RC_LIMIT },
	{ "TOOBIG", C_OTHER, RC_TOOBIG },
	{ "OVERQUOTA", C_OTHER, RC_OVERQUOTA },
	{ "UNAVAILABLE", C_OTHER, RC_UNAVAILABLE },
	{ "INUSE", C_OTHER, RC_INUSE },
	{ "EXPUNGEISSUED", C_OTHER, RC_EXPUNGEISSUED },
	{ "CORRUPTION", C_OTHER, RC_CORRUPTION },
	{ "CONTACTADMIN", C_OTHER, RC_CONTACTADMIN },
	{ "SERVERBUG", C_OTHER, RC_SERVERBUG }
};

static const struct {
	const char	*name;
	uint32_t	 attrs;
} attr_names[] = {
	{ "\\NoSelect", ATTR_NOSELECT },
	{ "\\NonExistent", ATTR_NONEXISTENT | ATTR_NOSELECT },
	{ "\\NoInferiors", ATTR_NOINFERIORS },
	{ "\\Subscribed", ATTR_SUBSCRIBED }, { "\\Remote", ATTR_REMOTE },
	{ "\\All", ATTR_ALL }, { "\\Archive", ATTR_ARCHIVE },
	{ "\\Drafts", ATTR_DRAFTS }, { "\\Flagged", ATTR_FLAGGED },
	{ "\\Junk", ATTR_JUNK }, { "\\Sent", ATTR_SENT },
	{ "\\Trash", ATTR_TRASH }, { "\\Important", ATTR_IMPORTANT }
};

/* ---- parts ---- */

/* Words for people: the rest of the line, without NULs. */
static void
parse_text(const struct lex *l, char *dst, size_t size)
{
	size_t	 i, n = l->end - l->p;

	if (n >= size)
		n = size - 1;
	for (i = 0; i < n; i++)
		dst[i] = l->p[i] == '\0' ? '?' : l->p[i];
	dst[n] = '\0';
}

void
parse_excerpt(const struct parser *p, char *dst, size_t size)
{
	struct lex	 l;

	l.p = (const char *)buf_ptr(&p->lx.line);
	l.end = l.p + p->lx.line.len;
	parse_text(&l, dst, size);
}

static void
parse_caps(struct lex *l, struct caps *caps)
{
	struct lex	 w;
	unsigned	 i;

	memset(caps, 0, sizeof(*caps));
	caps->known = 1;
	for (lex_sp(l); lex_atom(l, &w) == 0; lex_sp(l)) {
		for (i = 0; i < nitems(cap_names); i++)
			if (lex_is(&w, cap_names[i].name))
				caps->bits |= cap_names[i].bit;
		/* RFC 7162 section 3.2.3: the one has the other in it. */
		if (caps->bits & CAP_QRESYNC)
			caps->bits |= CAP_CONDSTORE;
		if (lex_starts(&w, "AUTH=")) {
			size_t	 n = strlen(caps->mechs);

			if (n + (w.end - w.p) >= sizeof(caps->mechs))
				continue;
			if (n > 0)
				caps->mechs[n++] = ' ';
			for (w.p += 5; w.p < w.end; w.p++)
				caps->mechs[n++] =
				    toupper((unsigned char)*w.p);
			caps->mechs[n] = '\0';
		} else if (lex_starts(&w, "APPENDLIMIT=")) {
			w.p += 12;
			if (lex_num(&w, INT64_MAX, &caps->appendlimit) == -1)
				caps->appendlimit = 0;
		}
	}
}

/* ---- status responses ---- */

/* The "]" that ends a response code; parentheses and quotes may hold others. */
static const char *
code_end(const struct lex *l)
{
	const char	*p;
	int		 depth = 0, quoted = 0;

	for (p = l->p; p < l->end; p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\')
			p++;
		else if (!quoted && *p == '(')
			depth++;
		else if (!quoted && *p == ')')
			depth--;
		else if (!quoted && depth <= 0 && *p == ']')
			return p;
	}
	return NULL;
}

/* UIDs that ascend, as UIDs are given: 0, or -1. */
static int
parse_given(struct lex *l, struct uidset *set)
{
	uint64_t	 lo, hi, t, max = 0;

	do {
		if (lex_num(l, UINT32_MAX, &lo) == -1)
			return -1;
		hi = lo;
		if (lex_ch(l, ':') && lex_num(l, UINT32_MAX, &hi) == -1)
			return -1;
		if (hi < lo) {
			t = hi;
			hi = lo;
			lo = t;
		}
		if (lo <= max)
			return -1;
		max = hi;
		uidset_add(set, lo, hi);
	} while (lex_ch(l, ','));
	return 0;
}

/* UIDVALIDITY and UIDs. */
static void
parse_appenduid(struct lex *l, struct resp *r)
{
	r->num = 0;
	if (lex_num(l, UINT32_MAX, &r->num) == -1)
		return;
	lex_sp(l);
	r->ordered = parse_given(l, &r->set) == 0;
}

/* UIDVALIDITY, UIDs of the source and, as many, of the copies. */
static void
parse_copyuid(struct lex *l, struct resp *r)
{
	r->num = 0;
	if (lex_num(l, UINT32_MAX, &r->num) == -1)
		return;
	lex_sp(l);
	if (parse_given(l, &r->from) == -1)
		return;
	lex_sp(l);
	r->ordered = parse_given(l, &r->set) == 0 &&
	    uidset_count(&r->from) == uidset_count(&r->set);
}

static int
parse_code(struct lex *l, struct resp *r)
{
	struct lexstr	 s;
	struct lex	 name;
	unsigned	 i;

	if (lex_atom(l, &name) == -1)
		return 0;
	r->code = C_OTHER;
	r->rc = RC_OTHER;
	for (i = 0; i < nitems(code_names); i++)
		if (lex_is(&name, code_names[i].name)) {
			r->code = code_names[i].code;
			r->rc = code_names[i].rc;
		}
	lex_sp(l);
	switch (r->code) {
	case C_CAPABILITY:
		parse_caps(l, &r->caps);
		break;
	case C_UIDVALIDITY:
		/* Without it nothing that is known of the mailbox holds. */
		return lex_num(l, UINT32_MAX, &r->num) == -1 || r->num == 0 ?
		    -1 : 0;
	case C_UIDNEXT:
		return lex_told(l, UINT32_MAX, &r->num);
	case C_HIGHESTMODSEQ:
		if (lex_num(l, UINT64_MAX, &r->num) == -1)
			r->num = 0;
		break;
	case C_PERMANENTFLAGS:
		return parse_flags(l, r->flags, &r->any, r->noflag) == -1 ?
		    -1 : 0;
	case C_MAILBOXID:
		lex_ch(l, '(');
		lex_sp(l);
		if (lex_astring(l, &s) == -1)
			return -1;
		lex_copy(&s, r->mailboxid, sizeof(r->mailboxid));
		break;
	case C_APPENDUID:
		parse_appenduid(l, r);
		break;
	case C_COPYUID:
		parse_copyuid(l, r);
		break;
	default:
		break;
	}
	return 0;
}

/* OK, NO ... [code] text: 1 if it was one. */
static int
parse_status(struct lex *l, struct resp *r)
{
	static const char *const words[] = { "OK", "NO", "BAD", "BYE",
	    "PREAUTH" };
	const char	*end;
	struct lex	 code;
	unsigned	 i;

	for (i = 0; i < nitems(words); i++)
		if (lex_word(l, words[i]))
			break;
	if (i == nitems(words))
		return 0;
	r->word = (enum resp_word)i;
	lex_sp(l);
	if (l->p < l->end && *l->p == '[' && (end = code_end(l)) != NULL) {
		code.p = l->p + 1;
		code.end = end;
		l->p = end + 1;
		r->bad = parse_code(&code, r) == -1;
		lex_sp(l);
	}
	parse_text(l, r->text, sizeof(r->text));
	return 1;
}

/* ---- untagged data ---- */

/* A mailbox's name; what can't be passed on becomes "". */
static int
parse_name(struct lex *l, struct resp *r)
{
	struct lexstr	 s;
	const char	*c;

	if (lex_astring(l, &s) == -1)
		return -1;
	lex_copy(&s, r->name, sizeof(r->name));
	for (c = r->name; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f) {
			r->name[0] = '\0';
			break;
		}
	r->mb.name = r->name;
	return 0;
}

static int
parse_list(struct lex *l, struct resp *r)
{
	struct lexstr	 s;
	struct lex	 w;
	char		 d[8];
	unsigned	 i;

	if (!lex_ch(l, '('))
		return -1;
	for (lex_sp(l); !lex_ch(l, ')'); lex_sp(l)) {
		if (lex_atom(l, &w) == -1)
			return -1;
		for (i = 0; i < nitems(attr_names); i++)
			if (lex_is(&w, attr_names[i].name))
				r->mb.attrs |= attr_names[i].attrs;
	}
	lex_sp(l);
	if (!lex_word(l, "NIL")) {
		if (lex_string(l, &s) == -1 || lex_copy(&s, d, sizeof(d)) != 0)
			return -1;
		/* A delimiter that is no character is none. */
		if (d[0] > ' ' && d[0] < 0x7f && d[1] == '\0')
			r->mb.delimiter = d[0];
	}
	lex_sp(l);
	if (parse_name(l, r) == -1)
		return -1;
	/* Extended data may follow; a name with a blank is quoted. */
	lex_sp(l);
	return l->p == l->end || *l->p == '(' ? 0 : -1;
}

/* What STATUS tells as a number of 32 bits; none is 0. */
static int
parse_status_item(struct lex *l, uint32_t *out)
{
	uint64_t	 n;

	if (lex_told(l, UINT32_MAX, &n) == -1)
		return -1;
	*out = (uint32_t)n;
	return 0;
}

static int
parse_mbstatus(struct lex *l, struct resp *r)
{
	struct lex	 w;
	uint64_t	 n;
	int		 bad = 0;

	if (parse_name(l, r) == -1)
		return -1;
	lex_sp(l);
	if (!lex_ch(l, '('))
		return -1;
	r->mb.has_status = 1;
	for (lex_sp(l); !bad && !lex_ch(l, ')'); lex_sp(l)) {
		if (lex_atom(l, &w) == -1)
			return -1;
		lex_sp(l);
		if (lex_is(&w, "UIDVALIDITY"))
			bad = parse_status_item(l, &r->mb.uidvalidity);
		else if (lex_is(&w, "UIDNEXT"))
			bad = parse_status_item(l, &r->mb.uidnext);
		else if (lex_is(&w, "MESSAGES")) {
			/* None can't be told: 0 is a number of messages. */
			bad = lex_num(l, UINT32_MAX, &n);
			r->mb.messages = (uint32_t)n;
		} else if (lex_is(&w, "HIGHESTMODSEQ"))
			bad = lex_told(l, UINT64_MAX, &r->mb.modseq);
		else if (lex_is(&w, "UNSEEN")) {
			bad = lex_num(l, UINT32_MAX, &n);
			r->mb.unseen = n + 1;
		} else
			bad = lex_skip(l);
	}
	return bad;
}

static int
parse_vanished(struct lex *l, struct resp *r)
{
	if (lex_ch(l, '(')) {
		if (!lex_word(l, "EARLIER") || !lex_ch(l, ')'))
			return -1;
		r->earlier = 1;
	}
	lex_sp(l);
	while (l->end > l->p && l->end[-1] == ' ')
		l->end--;
	/* Of an empty set nothing is told. */
	if (l->p == l->end)
		return 0;
	return uidset_parse(&r->set, l->p, l->end - l->p);
}

static int
parse_esearch(struct lex *l, struct resp *r)
{
	struct lexstr	 s;
	struct lex	 w;
	int		 uid = 0;

	if (lex_ch(l, '(')) {
		if (!lex_word(l, "TAG"))
			return -1;
		lex_sp(l);
		if (lex_astring(l, &s) == -1 || !lex_ch(l, ')'))
			return -1;
		if (lex_copy(&s, r->tag, sizeof(r->tag)) == 1)
			return -1;
	}
	for (lex_sp(l); l->p < l->end; lex_sp(l)) {
		if (lex_atom(l, &w) == -1)
			return -1;
		lex_sp(l);
		if (lex_is(&w, "UID")) {
			uid = 1;
		} else if (lex_is(&w, "ALL")) {
			if (lex_atom(l, &w) == -1 || uidset_parse(&r->set, w.p,
			    w.end - w.p) == -1)
				return -1;
		} else if (lex_skip(l) == -1)
			return -1;
	}
	/* Message numbers are of no use. */
	if (!uid)
		r->type = R_OTHER;
	return 0;
}

/* RFC 3501 section 7.2.5; "(MODSEQ n)" may follow (RFC 7162 section 3.1.5). */
static int
parse_search(struct lex *l, struct resp *r)
{
	uint64_t	 n;

	for (lex_sp(l); l->p < l->end && *l->p != '('; lex_sp(l)) {
		if (lex_num(l, UINT32_MAX, &n) == -1 || n == 0)
			return -1;
		uidset_add(&r->set, n, n);
	}
	return 0;
}

static int
parse_enabled(struct lex *l, struct resp *r)
{
	struct lex	 w;

	for (lex_sp(l); lex_atom(l, &w) == 0; lex_sp(l))
		if (lex_is(&w, "QRESYNC"))
			r->qresync = 1;
	return 0;
}

/* The type of "* n WORD". */
static enum resp_type
numbered_type(struct lex *l)
{
	lex_sp(l);
	return lex_word(l, "EXISTS") ? R_EXISTS :
	    lex_word(l, "RECENT") ? R_RECENT :
	    lex_word(l, "EXPUNGE") ? R_EXPUNGE :
	    lex_word(l, "FETCH") ? R_FETCH : R_OTHER;
}

static int
parse_numbered(struct parser *p, struct lex *l, struct resp *r)
{
	struct lex	 n;

	if (lex_atom(l, &n) == -1)
		return -1;
	r->type = numbered_type(l);
	if (r->type == R_FETCH) {
		/* Its number is of no use. */
		lex_sp(l);
		return fetch_parse(p, l);
	}
	if (r->type != R_EXISTS && r->type != R_RECENT)
		return 0;
	if (lex_num(&n, UINT32_MAX, &r->num) == 0 && n.p == n.end)
		return 0;
	/* How many are recent is of little interest. */
	if (r->type == R_EXISTS)
		return -1;
	r->type = R_OTHER;
	return 0;
}

static const struct {
	const char	*word;
	enum resp_type	 type;
} untagged[] = {
	{ "CAPABILITY", R_CAPABILITY }, { "ENABLED", R_ENABLED },
	{ "LIST", R_LIST }, { "LSUB", R_LSUB }, { "STATUS", R_MBSTATUS }, { "FLAGS", R_FLAGS },
	{ "VANISHED", R_VANISHED }, { "ESEARCH", R_ESEARCH },
	{ "SEARCH", R_SEARCH }
};

static int
parse_untagged(struct parser *p, struct lex *l, struct resp *r)
{
	unsigned	 i;

	lex_sp(l);
	if (l->p < l->end && isdigit((unsigned char)*l->p))
		return parse_numbered(p, l, r);
	r->type = R_OTHER;
	for (i = 0; i < nitems(untagged); i++)
		if (lex_word(l, untagged[i].word)) {
			r->type = untagged[i].type;
			break;
		}
	lex_sp(l);
	switch (r->type) {
	case R_CAPABILITY:
		parse_caps(l, &r->caps);
		return 0;
	case R_ENABLED:
		return parse_enabled(l, r);
	case R_LIST:
	case R_LSUB:
		return parse_list(l, r);
	case R_MBSTATUS:
		return parse_mbstatus(l, r);
	case R_VANISHED:
		return parse_vanished(l, r);
	case R_ESEARCH:
		return parse_esearch(l, r);
	case R_SEARCH:
		return parse_search(l, r);
	case R_FLAGS:
		return 0;
	default:
		break;
	}
	if (parse_status(l, r))
		r->type = R_STATUS;
	return 0;
}

static void
resp_clear(struct resp *r)
{
	uidset_free(&r->set);
	uidset_free(&r->from);
	memset(r, 0, offsetof(struct resp, tag));
	r->tag[0] = r->mailboxid[0] = r->name[0] = r->flags[0] = '\0';
	r->noflag[0] = r->text[0] = '\0';
	r->mb.name = r->name;
}

/* TAG OK, NO or BAD: 1 if it is one. */
static int
parse_tagged(struct lex *l, struct resp *r)
{
	struct lex	 tag;

	if (lex_atom(l, &tag) == -1 || tag.end - tag.p >= TAG_SIZE)
		return 0;
	memcpy(r->tag, tag.p, tag.end - tag.p);
	r->tag[tag.end - tag.p] = '\0';
	lex_sp(l);
	return parse_status(l, r) && r->word <= WORD_BAD;
}

/* The text up to "len" as a response; fetch_parse() tells a body in it. */
static void
parse_resp(struct parser *p, size_t len)
{
	struct resp	*r = &p->resp;
	struct lex	 l;

	resp_clear(r);
	l.p = (const char *)buf_ptr(&p->lx.line);
	l.end = l.p + len;
	if (len == 0)
		r->type = R_EMPTY;
	else if (lex_ch(&l, '+')) {
		r->type = R_CONT;
		lex_ch(&l, ' ');
		parse_text(&l, r->text, sizeof(r->text));
	} else if (lex_ch(&l, '*')) {
		if (parse_untagged(p, &l, r) == -1)
			r->bad = 1;
	} else if (parse_tagged(&l, r))
		r->type = R_TAGGED;
	else {
		resp_clear(r);
		r->type = R_NONE;
		parse_excerpt(p, r->text, sizeof(r->text));
	}
	if (r->type == R_FETCH)
		r->fetch = &p->fetch;
}

static int
parse_fail(struct parser *p, const char *why)
{
	strlcpy(p->error, why, sizeof(p->error));
	return -1;
}

/*
 * The response is told.  Behind a body that was given away it must go on as the
 * grammar says: else that body had another length.
 */
static int
parse_tell(struct parser *p)
{
	struct resp	*r = &p->resp;

	if (r->bad && p->given != SECT_NONE)
		return parse_fail(p, "a body that is longer or shorter than "
		    "announced");
	if (r->bad && r->type != R_STATUS && r->type != R_TAGGED)
		parse_excerpt(p, r->text, sizeof(r->text));
	p->ops->resp(p->arg, r);
	return 0;
}

static int
parse_line(struct parser *p)
{
	struct lexer	*lx = &p->lx;

	if (lx->dropped)
		return 0;
	if (p->ops->trace != NULL && lx->line.len > 0)
		p->ops->trace(p->arg, (const char *)buf_ptr(&lx->line),
		    lx->line.len);
	parse_resp(p, lx->line.len);
	return parse_tell(p);
}

/* ---- long responses ---- */

/* What the response is, as far as its beginning tells. */
static enum resp_type
parse_type(const struct parser *p)
{
	static const char *const words[] = { "OK", "NO", "BAD", "BYE",
	    "PREAUTH" };
	struct lex	 l, n;
	unsigned	 i;

	l.p = (const char *)buf_ptr(&p->lx.line);
	l.end = l.p + p->lx.line.len;
	if (!lex_ch(&l, '*'))
		return R_TAGGED;
	lex_sp(&l);
	if (l.p < l.end && isdigit((unsigned char)*l.p))
		return lex_atom(&l, &n) == 0 ? numbered_type(&l) : R_OTHER;
	for (i = 0; i < nitems(untagged); i++)
		if (lex_word(&l, untagged[i].word))
			return untagged[i].type;
	for (i = 0; i < nitems(words); i++)
		if (lex_word(&l, words[i]))
			return R_STATUS;
	return R_OTHER;
}

static int
is_known(const struct parser *p)
{
	enum resp_type	 type = parse_type(p);

	return type != R_OTHER && type != R_FLAGS;
}

/* Behind "* n FETCH ", up to "len". */
static void
fetch_text(const struct parser *p, size_t len, struct lex *l)
{
	struct lex	 n;

	l->p = (const char *)buf_ptr(&p->lx.line);
	l->end = l->p + len;
	lex_ch(l, '*');
	lex_sp(l);
	lex_atom(l, &n);
	numbered_type(l);
	lex_sp(l);
}

/* It can't be read as a whole: told as "bad", by what is here of it. */
static int
parse_bad(struct parser *p)
{
	struct resp	*r = &p->resp;
	struct lex	 l;

	if (p->ops->trace != NULL)
		p->ops->trace(p->arg, (const char *)buf_ptr(&p->lx.line),
		    p->lx.line.len);
	if (parse_type(p) == R_FETCH) {
		resp_clear(r);
		r->type = R_FETCH;
		r->fetch = &p->fetch;
		fetch_text(p, p->lx.line.len, &l);
		fetch_prefix(p, &l);
	} else
		parse_resp(p, p->lx.line.len);
	r->bad = 1;
	if (parse_tell(p) == -1)
		return -1;
	lex_drop(&p->lx);
	return 0;
}

/* The words of a status response may be cut. */
static int
parse_long(struct parser *p)
{
	enum resp_type	 type = parse_type(p);

	if (type == R_TAGGED || type == R_STATUS) {
		lex_stop(&p->lx);
		return 0;
	}
	return parse_bad(p);
}

/* A literal begins: a BODY[...] is given away, a small one kept. */
static int
parse_literal(struct parser *p)
{
	struct lexer	*lx = &p->lx;
	struct lex	 l;

	if (parse_type(p) == R_FETCH) {
		fetch_text(p, lx->lastlit, &l);
		switch (fetch_prefix(p, &l)) {
		case 1:
			if (p->given != SECT_NONE)
				return parse_fail(p, "two bodies in one FETCH");
			p->given = p->fetch.section;
			p->ops->body(p->arg, &p->fetch, lx->literal);
			lex_give(lx);
			return 0;
		case -1:
			return parse_bad(p);
		}
	}
	if (lx->literal <= LEX_INLINE && lx->nliterals <= LEX_LITERALS)
		lex_keep(lx);
	else if (!is_known(p))
		lex_drop(lx);
	else
		return parse_bad(p);
	return 0;
}

/*
 * Where the set of UIDs at the end of the text begins, and where what is not
 * yet complete of it: 0 if there is none.
 */
static size_t
set_end(const struct parser *p, char between, size_t *from)
{
	const char	*start = (const char *)buf_ptr(&p->lx.line);
	const char	*sp, *cut, *end = start + p->lx.line.len;
	const char	*chars = between == ' ' ? "0123456789 " :
			    "0123456789:,";

	for (sp = end; sp > start && sp[-1] != '\0' &&
	    strchr(chars, sp[-1]) != NULL; sp--)
		;
	if (between == ' ')
		sp++;		/* behind SEARCH */
	else if (sp == start || sp[-1] != ' ')
		return 0;
	for (cut = end; cut > sp && cut[-1] != between; cut--)
		;
	if (sp - start > 256 || cut - sp < 2)
		return 0;
	*from = sp - start;
	return cut - start;
}

/*
 * A response grows long.  A set of UIDs, which may have any length, is handed
 * on up to its last comma; what isn't of interest is dropped.
 */
static int
parse_full(struct parser *p)
{
	enum resp_type	 type = parse_type(p);
	size_t		 from, to;

	if (!is_known(p)) {
		lex_drop(&p->lx);
		return 0;
	}
	if (type != R_VANISHED && type != R_ESEARCH && type != R_SEARCH)
		return 0;
	to = set_end(p, type == R_SEARCH ? ' ' : ',', &from);
	if (to == 0)
		return 0;
	parse_resp(p, to - 1);
	if (p->resp.bad)
		return parse_bad(p);
	p->resp.more = 1;
	if (parse_tell(p) == -1)
		return -1;
	lex_cut(&p->lx, from, to);
	return 0;
}

/* ---- interface ---- */

void
parse_init(struct parser *p, const struct parse_ops *ops, void *arg)
{
	memset(p, 0, sizeof(*p));
	lex_init(&p->lx);
	p->ops = ops;
	p->arg = arg;
}

void
parse_free(struct parser *p)
{
	lex_free(&p->lx);
	uidset_free(&p->resp.set);
	uidset_free(&p->resp.from);
}

void
parse_stop(struct parser *p)
{
	p->stop = 1;
}

int
parse_between(const struct parser *p)
{
	const struct lexer	*lx = &p->lx;

	if (lx->mode != MODE_TEXT || lx->dropped || lx->part > 0)
		return 0;
	/* Less than that might be the rest of a body that is too long. */
	return lx->line.len == 0 || parse_type(p) == R_FETCH;
}

ssize_t
parse_feed(struct parser *p, const void *data, size_t len)
{
	const uint8_t	*c = data;
	size_t		 left = len;
	int		 rc = 0;

	p->stop = 0;
	while (rc == 0) {
		switch (lex_next(&p->lx, &c, &left)) {
		case LX_MORE:
			return len;
		case LX_LINE:
			if ((rc = parse_line(p)) == -1)
				break;
			lex_reset(&p->lx);
			p->given = SECT_NONE;
			if (p->stop)
				return len - left;
			break;
		case LX_LITERAL:
			rc = parse_literal(p);
			break;
		case LX_DATA:
			p->ops->data(p->arg, p->lx.data, p->lx.datalen);
			break;
		case LX_END:
			p->ops->end(p->arg);
			break;
		case LX_FULL:
			rc = parse_full(p);
			break;
		case LX_LONG:
			rc = parse_long(p);
			break;
		case LX_ERROR:
			rc = parse_fail(p, p->lx.error);
			break;
		}
	}
	return -1;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The grammar of IMAP: octets of a server to responses, header fields to keys.
 * No I/O and no variables that outlive a call, but for what the caller gives:
 * build/calls.t checks both, and the fuzz targets run it as it is.
 */
#ifndef IMAP_H
#define IMAP_H

#include <sys/types.h>

#include <sha2.h>

#include "bounds.h"
#include "buf.h"
#include "proto.h"

/* ---- lex.c: octets to responses, responses to tokens ---- */

/* A part of a response that is being read. */
struct lex {
	const char	*p;
	const char	*end;
};

/* A quoted string, literal or atom as it stands. */
struct lexstr {
	const char	*p;
	size_t		 len;
	int		 quoted;	/* backslashes are still in it */
	int		 atom;
};

/*
 * Each of these reads from l->p on, at most to l->end, and leaves l->p behind
 * what it took; after -1 it may stand anywhere in what it refused.
 *
 * Consume c, or the word (no case, followed by no atom octet): 1, else 0.
 */
int		 lex_ch(struct lex *, char c);
int		 lex_word(struct lex *, const char *);
/* Blanks, if there are some. */
void		 lex_sp(struct lex *);
/* A decimal number: 0, or -1 if there is none or it is above max. */
int		 lex_num(struct lex *, uint64_t max, uint64_t *);
/*
 * The same where a number should be; NIL, and one that is above max, is 0: none
 * was told.
 */
int		 lex_told(struct lex *, uint64_t max, uint64_t *);
/* Octets up to a blank, parenthesis, quote or control octet: 0, -1 if none. */
int		 lex_atom(struct lex *, struct lex *out);
/* As lex_atom(), with [...] and <...> behind it: the name of a FETCH item. */
int		 lex_item(struct lex *, struct lex *out);
/* 1 if the span is that word, without case; lex_starts(): begins with it. */
int		 lex_is(const struct lex *, const char *);
int		 lex_starts(const struct lex *, const char *);
/* A quoted string or a literal: 0 or -1; lex_astring() takes an atom, too. */
int		 lex_string(struct lex *, struct lexstr *);
int		 lex_astring(struct lex *, struct lexstr *);
/* Without backslashes into dst: 0, or 1 if it is too long or holds a NUL. */
int		 lex_copy(const struct lexstr *, char *dst, size_t size);
/* One value of whatever kind, lists and all: 0 or -1. */
int		 lex_skip(struct lex *);

/*
 * What lex_next() found.  A response is text in which literals stand as they
 * were sent, "{3}\r\nabc", but for those that were given away.
 */
enum lx_event {
	LX_MORE,	/* all octets taken, nothing whole yet */
	LX_LINE,	/* "line" is a whole response; lex_reset() when done */
	LX_LITERAL,	/* "line" ends in {n}: lex_keep(), _give() or _drop() */
	LX_DATA,	/* octets of a literal that is given away */
	LX_END,		/* that literal is complete */
	LX_FULL,	/* LEX_SOFT is reached: lex_cut(), _drop() or go on */
	LX_LONG,	/* LEX_HARD is: lex_drop() or lex_stop() */
	LX_ERROR	/* where the response ends can't be told */
};

/* Where in a response the lexer is, and what becomes of a literal. */
enum lex_mode { MODE_TEXT = 0, MODE_ASK, MODE_KEEP, MODE_GIVE, MODE_SKIP };

struct lexer {
	struct buf	 line;
	size_t		 text;		/* octets of "line" but literals */
	size_t		 part;		/* where text behind a literal begins */
	size_t		 lastlit;	/* where the last "{n}" begins */
	uint64_t	 literal;	/* octets of it still to come */
	const uint8_t	*data;		/* LX_DATA */
	size_t		 datalen;
	unsigned	 nliterals;
	enum lex_mode	 mode;
	uint64_t	 passed;	/* octets of text that were not kept */
	int		 status;	/* a status response has no literals */
	int		 dropped;	/* the response is of no interest */
	int		 stopped;	/* the rest of its line is of none */
	int		 toldfull;
	int		 inq, esc;	/* quoting where text was cut */
	const char	*error;
};

void		 lex_init(struct lexer *);
void		 lex_free(struct lexer *);
/* The next response; the memory of the last one is kept. */
void		 lex_reset(struct lexer *);
/*
 * Take octets from *p on, *left of them, and advance both.  Returns at the first
 * event; with LX_MORE all have been taken.  LX_ERROR: see "error"; nothing more
 * can be read.
 */
enum lx_event	 lex_next(struct lexer *, const uint8_t **p, size_t *left);
void		 lex_keep(struct lexer *);	/* 16 KiB at most */
void		 lex_give(struct lexer *);	/* becomes "" in the text */
void		 lex_drop(struct lexer *);	/* skip the whole response */
void		 lex_stop(struct lexer *);	/* and keep how it began */
/* Remove octets from "from" to "to" of the text. */
void		 lex_cut(struct lexer *, size_t from, size_t to);

/* ---- parse.c: the grammar of responses ---- */

enum resp_type { R_STATUS, R_TAGGED, R_CONT, R_CAPABILITY, R_ENABLED, R_LIST,
	R_LSUB, R_MBSTATUS, R_FLAGS, R_EXISTS, R_RECENT, R_EXPUNGE, R_FETCH, R_VANISHED,
	R_ESEARCH, R_SEARCH, R_OTHER,
	R_EMPTY,		/* an empty line */
	R_NONE			/* a line that is no response: "text" */
};
enum resp_word { WORD_OK, WORD_NO, WORD_BAD, WORD_BYE, WORD_PREAUTH };

/* Response codes with a use of their own; the rest is enum resp_code. */
enum code { C_NONE, C_OTHER, C_OVERFLOW, C_CAPABILITY, C_UIDVALIDITY, C_UIDNEXT,
	C_HIGHESTMODSEQ, C_NOMODSEQ, C_PERMANENTFLAGS, C_MAILBOXID, C_READONLY,
	C_READWRITE, C_APPENDUID, C_COPYUID, C_CLOSED, C_UIDNOTSTICKY, C_ALERT };

#define TAG_SIZE	16
#define NOFLAG_SIZE	128

struct caps {
	uint32_t	 bits;		/* CAP_* */
	int		 known;
	uint64_t	 appendlimit;
	char		 mechs[512];	/* of AUTH=, blanks between */
};

/* BODY[], BODY[HEADER.FIELDS (...)], another; and how it came. */
enum section { SECT_NONE, SECT_ALL, SECT_HEADER, SECT_OTHER };
enum body { BODY_NONE, BODY_NIL, BODY_HERE, BODY_GIVEN };
/* INTERNALDATE: not in the response; in "date"; NIL; one that can't be. */
enum fdate { FDATE_UNTOLD = 0, FDATE_TOLD, FDATE_NIL, FDATE_BAD };

struct fetch {
	uint32_t	 uid;
	uint64_t	 modseq;
	uint64_t	 size;
	int		 has_modseq;
	int		 has_size;
	int		 has_flags;	/* FLAGS_* of proto.h */
	enum fdate	 has_date;
	enum section	 section;
	enum body	 body;
	char		 date[27];	/* FDATE_BAD: how it began */
	char		 noflag[NOFLAG_SIZE];	/* see parse_flags() */
	char		 flags[FLAGS_MAX];	/* canonical */
};

struct resp {
	enum resp_type	 type;
	enum resp_word	 word;		/* STATUS, TAGGED */
	enum code	 code;
	enum resp_code	 rc;
	/*
	 * What follows the words that tell the type (STATUS, TAGGED: in the
	 * code) can't be read: the rest is set as far as it was.
	 */
	int		 bad;
	int		 earlier;	/* VANISHED */
	int		 more;		/* VANISHED, (E)SEARCH: parts follow */
	int		 any;		/* flags have \* */
	int		 ordered;	/* APPENDUID, COPYUID: all of it ascends */
	int		 qresync;	/* ENABLED names it */
	uint64_t	 num;		/* EXISTS, UIDNEXT ... */
	struct uidset	 set;		/* VANISHED, (E)SEARCH, APPENDUID */
	struct uidset	 from;		/* COPYUID: on the source; set: the copies */
	struct caps	 caps;		/* CAPABILITY, also as a code */
	struct m_engine_mailbox mb;	/* LIST, LSUB, MBSTATUS */
	const struct fetch *fetch;
	char		 tag[TAG_SIZE];	/* TAGGED, ESEARCH */
	char		 mailboxid[256];
	char		 name[NAME_MAX_LEN];	/* LIST, MBSTATUS; "" is bad */
	char		 noflag[NOFLAG_SIZE];
	char		 flags[FLAGS_MAX];	/* PERMANENTFLAGS */
	char		 text[TEXT_MAX];	/* the server's words */
};

/* What parse_feed() calls, with parse_init()'s argument first. */
struct parse_ops {
	/*
	 * A whole response, or a part of one (resp.more); valid meanwhile.
	 * With "bad" nothing more comes of it.
	 */
	void	(*resp)(void *, const struct resp *);
	/* A BODY[...] begins: what stood before it, its length. */
	void	(*body)(void *, const struct fetch *, uint64_t len);
	void	(*data)(void *, const void *, size_t);
	void	(*end)(void *);
	/* The text of a response in front of its resp(); or NULL. */
	void	(*trace)(void *, const char *, size_t);
};

struct parser {
	struct lexer	 lx;
	const struct parse_ops *ops;
	void		*arg;
	int		 stop;
	enum section	 given;		/* the BODY[] that was given away */
	struct fetch	 fetch;
	struct resp	 resp;
	char		 error[128];
};

void		 parse_init(struct parser *, const struct parse_ops *, void *);
void		 parse_free(struct parser *);
/*
 * Take octets of the server and call ops.  Returns how many were taken, all
 * unless parse_stop() was called by one of them; -1: where the response ends
 * can't be told, "error" says why, and nothing more can be read.
 */
ssize_t		 parse_feed(struct parser *, const void *, size_t);
/* From within resp(): take nothing behind this response. */
void		 parse_stop(struct parser *);
/* No response is incomplete, but for the next one, which has begun. */
int		 parse_between(const struct parser *);
/*
 * From within resp(), or after an error: the line as it stands, or how it began.
 */
void		 parse_excerpt(const struct parser *, char *dst, size_t size);

/* ---- fetch.c: parse.c's part for FETCH ---- */

/*
 * A list of flags into dst (FLAGS_MAX octets), canonical; *any is set by \*.
 * What is no flag by the grammar, or too long, is left out: there is no way to
 * send it to another server.  The first such goes to noflag (NOFLAG_SIZE octets,
 * cut), else that is "".  Returns FLAGS_ALL; FLAGS_CUT if dst has no room for all
 * of them; or -1 if it is no list.
 */
int		 parse_flags(struct lex *, char *dst, int *any, char *noflag);
/*
 * date-time of RFC 3501 section 9, 26 octets and NUL: 0 and the instant in
 * seconds since 1970, or -1.
 */
int		 parse_date(const char *, int64_t *);
/*
 * "(" item value ... ")" into p->fetch; a body that stands in it is told.  The
 * last ")" may be missing behind a body.  Returns 0 or -1.
 */
int		 fetch_parse(struct parser *, struct lex *);
/*
 * The same up to where a literal begins: 1 if it is that of a BODY[...], 0 if
 * not, -1 malformed.
 */
int		 fetch_prefix(struct parser *, struct lex *);

/* ---- key.c: the key of design.md section 1 ---- */

enum key_state { KEY_LINE = 0, KEY_NAME, KEY_VALUE, KEY_SKIP, KEY_DONE };

struct key {
	SHA2_CTX	 sha;
	enum key_state	 state;
	int		 wanted;	/* the field counts */
	int		 first;		/* no field has begun yet */
	int		 space;		/* blanks not yet hashed */
	int		 began;		/* the value has begun */
	int		 msgid;
	size_t		 namelen;
	size_t		 n;
	char		 name[16];
	char		 buf[128];	/* not yet hashed */
};

void		 key_init(struct key *);
/* Octets of the message from its first on, in pieces of any size. */
void		 key_feed(struct key *, const void *, size_t);
/* The key; *msgid (or NULL) is 1 if there is a Message-ID field. */
uint64_t	 key_final(struct key *, int *msgid);

#endif /* IMAP_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker, file by file.  One process, one poll loop, one server.
 */
#ifndef NET_H
#define NET_H

#include <sha2.h>

#include "log.h"
#include "proto.h"
#include "sasl.h"
#include "socks.h"
#include "stream.h"

/* ---- lex.c: octets to responses, responses to tokens.  No I/O. ---- */

#define LEX_SOFT	(32 * 1024)	/* text of a response: LX_FULL */
#define LEX_HARD	(64 * 1024)	/* and no response may have more */
#define LEX_INLINE	(16 * 1024)	/* a literal that is kept in the text */
#define LEX_LITERALS	64		/* literals of one response */

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

/* Consume c, or the word (no case, followed by no atom octet): 1, else 0. */
int		 lex_ch(struct lex *, char c);
int		 lex_word(struct lex *, const char *);
void		 lex_sp(struct lex *);
/* 0, or -1 if there is no number or it is above max. */
int		 lex_num(struct lex *, uint64_t max, uint64_t *);
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
	LX_ERROR
};

struct lexer {
	struct buf	 line;
	size_t		 text;		/* octets of "line" but literals */
	size_t		 part;		/* where text behind a literal begins */
	size_t		 lastlit;	/* where the last "{n}" begins */
	uint64_t	 literal;	/* octets of it still to come */
	const uint8_t	*data;		/* LX_DATA */
	size_t		 datalen;
	unsigned	 nliterals;
	int		 mode;
	int		 status;	/* a status response has no literals */
	int		 dropped;	/* the response is of no interest */
	int		 toldfull;
	int		 inq, esc;	/* quoting where text was cut */
	const char	*error;
};

void		 lex_init(struct lexer *);
void		 lex_free(struct lexer *);
void		 lex_reset(struct lexer *);
enum lx_event	 lex_next(struct lexer *, const uint8_t **, size_t *);
void		 lex_keep(struct lexer *);	/* 16 KiB at most */
void		 lex_give(struct lexer *);	/* becomes "" in the text */
void		 lex_drop(struct lexer *);	/* skip the whole response */
/* Remove octets from "from" to "to" of the text. */
void		 lex_cut(struct lexer *, size_t from, size_t to);

/* ---- parse.c: the grammar of responses.  No I/O, no globals. ---- */

enum resp_type { R_STATUS, R_TAGGED, R_CONT, R_CAPABILITY, R_ENABLED, R_LIST,
	R_MBSTATUS, R_FLAGS, R_EXISTS, R_EXPUNGE, R_FETCH, R_VANISHED,
	R_ESEARCH, R_OTHER };
enum resp_word { WORD_OK, WORD_NO, WORD_BAD, WORD_BYE, WORD_PREAUTH };

/* Response codes with a use of their own; the rest is enum resp_code. */
enum code { C_NONE, C_OTHER, C_OVERFLOW, C_CAPABILITY, C_UIDVALIDITY, C_UIDNEXT,
	C_HIGHESTMODSEQ, C_NOMODSEQ, C_PERMANENTFLAGS, C_MAILBOXID, C_READONLY,
	C_READWRITE, C_APPENDUID, C_CLOSED, C_UIDNOTSTICKY, C_ALERT };

#define TAG_SIZE	16

struct caps {
	uint32_t	 bits;		/* CAP_* */
	int		 known;
	uint64_t	 appendlimit;
	char		 mechs[512];	/* of AUTH=, blanks between */
};

enum section { SECT_NONE, SECT_ALL, SECT_HEADER, SECT_OTHER };
enum body { BODY_NONE, BODY_NIL, BODY_HERE, BODY_GIVEN };

struct fetch {
	uint32_t	 uid;
	uint64_t	 modseq;
	uint64_t	 size;
	int		 has_modseq;
	int		 has_size;
	int		 has_flags;
	int		 has_date;	/* 1: in date; 2: told, but none */
	enum section	 section;
	enum body	 body;
	char		 date[27];
	char		 flags[FLAGS_MAX];	/* canonical */
};

struct resp {
	enum resp_type	 type;
	enum resp_word	 word;		/* STATUS, TAGGED */
	enum code	 code;
	enum resp_code	 rc;
	int		 earlier;	/* VANISHED */
	int		 more;		/* VANISHED, ESEARCH: parts follow */
	int		 has_count;	/* ESEARCH */
	int		 any;		/* flags have \* */
	int		 ordered;	/* APPENDUID: in ascending order */
	int		 qresync;	/* ENABLED names it */
	uint64_t	 num;		/* EXISTS, UIDNEXT, COUNT ... */
	struct uidset	 set;		/* VANISHED, ESEARCH, APPENDUID */
	struct caps	 caps;		/* CAPABILITY, also as a code */
	struct m_engine_mailbox mb;	/* LIST, MBSTATUS */
	const struct fetch *fetch;
	char		 tag[TAG_SIZE];	/* TAGGED, ESEARCH */
	char		 mailboxid[256];
	char		 name[NAME_MAX_LEN];	/* LIST, MBSTATUS; "" is bad */
	char		 flags[FLAGS_MAX];	/* PERMANENTFLAGS */
	char		 text[TEXT_MAX];	/* the server's words */
};

struct parse_ops {
	void	(*resp)(void *, const struct resp *);
	/* A BODY[...] begins: what stood before it, its length. */
	void	(*body)(void *, const struct fetch *, uint64_t len);
	void	(*data)(void *, const void *, size_t);
	void	(*end)(void *);
	void	(*trace)(void *, const char *, size_t);	/* or NULL */
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
 * unless parse_stop() was called by one of them; -1: "error", and "lx.line" is
 * what could not be understood.
 */
ssize_t		 parse_feed(struct parser *, const void *, size_t);
void		 parse_stop(struct parser *);
/* After an error: what could not be understood, or how it began. */
void		 parse_excerpt(struct parser *, char *dst, size_t size);
/* A number of 32 bits: 0 or -1. */
int		 parse_uid(struct lex *, uint32_t *);

/* ---- fetch.c: parse.c's part for FETCH ---- */

/*
 * A list of flags, canonical; "any" is set by \*.  What is no flag by the
 * grammar is left out: there is no way to send it to another server.
 */
int		 parse_flags(struct lex *, char *dst, int *any);
/* date-time of RFC 3501, 26 octets: 0 and the instant, or -1. */
int		 parse_date(const char *, int64_t *);
/* "(" item value ... ")" into p->fetch; a body that stands in it is told. */
int		 fetch_parse(struct parser *, struct lex *);
/*
 * The same up to where a literal begins: 1 if it is that of a BODY[...], 0 if
 * not, -1 malformed.
 */
int		 fetch_prefix(struct parser *, struct lex *);

/* ---- key.c: the key of design.md section 1 ---- */

struct key {
	SHA2_CTX	 sha;
	int		 state;
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
void		 key_feed(struct key *, const void *, size_t);
/* msgid: 1 if there is a Message-ID field. */
uint64_t	 key_final(struct key *, int *msgid);

/* ---- the worker ---- */

/* A mailbox as an OPEN names it. */
enum hstate { H_WAIT, H_OK, H_NO };
struct handle {
	TAILQ_ENTRY(handle)	 entry;
	uint32_t		 id;
	unsigned		 refs;
	enum hstate		 state;	/* what became of the (last) SELECT */
	struct m_net_open	 open;
	char			*mailbox;
	uint32_t		 uidvalidity;
	uint32_t		 uidnext;
	uint32_t		 exists;
	uint64_t		 modseq;	/* by RFC 7162 section 6 */
	uint64_t		 selmodseq;	/* as the SELECT told it */
	uint64_t		 codemodseq;	/* since the last answer */
	uint64_t		 maxmodseq;
	int			 has_code;
	int			 nomodseq;
	int			 readonly;
	int			 has_perm;
	int			 perm_any;
	char			*perm;
	char			*mailboxid;
};
TAILQ_HEAD(handles, handle);

enum cmd_kind { K_SESSION, K_SELECT, K_LIST, K_STATUS, K_FETCH, K_META, K_SEND,
	K_SEARCH, K_STORE, K_EXPUNGE, K_APPEND, K_LAST, K_NAME };

struct net;
struct req;
struct cmd;
TAILQ_HEAD(cmds, cmd);

/* A message that goes to the server in an APPEND. */
struct rmsg {
	TAILQ_ENTRY(rmsg)	 entry;
	uint32_t		 uid;
	uint64_t		 len;
	uint64_t		 key;
	int			 had_date;
	int			 had_keywords;
	char			*flags;		/* sent */
	char			*lost;
};
TAILQ_HEAD(rmsgs, rmsg);

#define CMD_BARRIERS	4
/* A command, from its making to its tagged answer. */
struct cmd {
	TAILQ_ENTRY(cmd)	 entry;		/* net.answers */
	TAILQ_ENTRY(cmd)	 txentry;	/* net.tx */
	char			 tag[TAG_SIZE];
	enum cmd_kind		 kind;
	int			 what;		/* the kind's own */
	struct req		*req;
	struct handle		*handle;
	void			(*fn)(struct net *, struct cmd *,
				    const struct resp *);
	void			(*cont)(struct net *, struct cmd *,
				    const struct resp *);
	struct buf		 text;		/* not yet in net.out */
	struct buf		 log;		/* for --debug */
	size_t			 barrier[CMD_BARRIERS];	/* offsets in text */
	unsigned		 nbarriers;
	int			 intx;
	int			 open;		/* more text comes */
	int			 waiting;	/* for "+" */
	int			 hold;		/* nothing goes behind it */
	int			 secret;
	int			 got;		/* an untagged answer came */
	uint64_t		 start;		/* net.put when it began */
	struct uidset		 set;		/* META, SEND: to come */
	struct rmsgs		 msgs;		/* APPEND */
	uint64_t		 bytes;
	uint64_t		 when;
	unsigned		 nmsgs;
};

/* A request of the engine, from its arrival to its DONE. */
struct req {
	TAILQ_ENTRY(req)	 entry;
	uint32_t		 type;
	uint32_t		 id;
	struct handle		*handle;
	/* Queue commands; 1: these were all, 0: call again. */
	int			(*emit)(struct net *, struct req *);
	/* All is answered: send what comes before DONE; may be NULL. */
	void			(*finish)(struct net *, struct req *);
	size_t			 cost;		/* octets of memory, about */
	int			 emitted;
	int			 stage;
	unsigned		 pending;	/* commands not yet answered */
	enum resp_status	 status;
	enum resp_code		 code;
	char			*text;
	struct uidset		 set;
	size_t			 pos;		/* ranges that were emitted */
	/* LIST */
	struct m_net_list	 list;
	char			**patterns;
	size_t			 npatterns;
	struct boxes		*boxes;
	int			 tried;		/* enum in list.c */
	int			 refused;
	/* STATUS, NAME, RECV */
	char			*mailbox;
	char			*newname;
	int			 op;
	/* META, SEND, STORE */
	int			 brief;
	int			 last;
	int			 add;
	uint32_t		 transfer;
	char			*flags;
	/* OPEN */
	uint32_t		 above;
	/* RECV */
	struct m_net_recv	 recv;
	int			 appended;
};
TAILQ_HEAD(reqs, req);

/* What the connection is at. */
enum phase { P_SETUP, P_SOCKS, P_TLS, P_GREETING, P_LOGIN, P_READY, P_LOGOUT };

/* States of the channel, for the dispatch table. */
#define CH_SETUP	0x01
#define CH_CONNECT	0x02
#define CH_LOGIN	0x04
#define CH_READY	0x08
#define CH_LOGOUT	0x10
#define CH_WATCH	0x20

/* A transfer whose RECV was refused: what comes for it is dropped. */
struct drop {
	TAILQ_ENTRY(drop)	 entry;
	uint32_t		 transfer;
};
TAILQ_HEAD(drops, drop);

enum recv_stage { RS_HEAD, RS_START, RS_BODY, RS_DROP, RS_TRAILER };

/* What comes over the bridge. */
struct recvstate {
	struct req		*req;		/* the RECV under way */
	enum recv_stage		 stage;
	/* The record being read. */
	uint32_t		 uid;
	uint64_t		 len;
	uint64_t		 left;		/* octets of the body to come */
	int			 has_date;
	char			 date[27];
	char			 flags[FLAGS_MAX];
	struct rmsg		*msg;		/* NULL: it is dropped */
	/* The APPEND being sent. */
	struct cmd		*cmd;
	int			 early;		/* it has its answer already */
	int			 one;		/* the next waits for it */
	int			 full;		/* over quota: the rest is dropped */
	unsigned		 unanswered;	/* messages */
	uint64_t		 idle;		/* when to end it */
	/* Octets acknowledged since t0, and what follows from it. */
	uint64_t		 acked;
	uint64_t		 t0;
	uint64_t		 limit;
	/* The bridge broke within a body: until when answers are awaited. */
	uint64_t		 dying;
	struct drops		 drops;
};

/* What a WATCH is at. */
enum watch_stage {
	W_OFF,		/* none, or not yet its turn */
	W_BEGIN,	/* nothing has been sent */
	W_UNSELECT,	/* UNSELECT, EXAMINE, NOTIFY are unanswered */
	W_FREE,		/* nothing is selected, as far as that can be had */
	W_EXAMINE,
	W_EXAMINED,
	/* From here on what the server tells is news. */
	W_NOTIFY,
	W_NOTIFIED,	/* it tells by itself */
	W_RESTORE,	/* NOTIFY is taken back: unanswered */
	W_ASKED,	/* IDLE waits for "+" */
	W_IDLE,		/* and has it */
	W_LEAVE,	/* DONE was sent */
	W_KEEP,		/* there is nothing to wait for */
	W_END,		/* the WATCH ends */
	W_OVER		/* but for answers that are due */
};
struct watch {
	struct req		*req;		/* the WATCH, or NULL */
	enum watch_stage	 stage;
	int			 ending;	/* UNWATCH came, or LOGOUT */
	int			 overflow;	/* NOTIFY is off */
	int			 reduced;	/* it takes message events only */
	int			 warned;	/* IDLE is refused */
	uint64_t		 began;		/* ms: IDLE's "+" */
	uint64_t		 next;		/* ms: NOOP, or IDLE anew */
	uint64_t		 logout;	/* ms: end in any case; 0 */
	char			*mailbox;	/* of the last CHANGED */
	uint64_t		 told;		/* ms: when that was */
	int			 late;		/* it has changed again */
};

struct net {
	struct chan		 chan;
	struct m_net_setup	 setup;		/* strings are our own */
	int			 setupdone;
	int			 fds[4];	/* by enum net_fd */
	/* The server. */
	struct stream		*st;
	struct socks		*socks;
	struct buf		 in;
	struct buf		 out;
	uint64_t		 put;		/* octets ever put into out */
	int			 wipe;		/* out holds a secret */
	int			 broken;	/* can't be written to */
	struct parser		 parser;
	enum phase		 phase;
	uint64_t		 alive;		/* ms: last sign of life */
	uint64_t		 nudged;	/* ms: when, and until the next */
	uint64_t		 nudge_ms;
	uint64_t		 corked;	/* ms: output is held since */
	char			*bye;		/* the server's last words */
	/* Login. */
	struct caps		 caps;
	struct sasl		*sasl;
	const char		*mech;
	int			 tls;
	int			 starttls;	/* its OK came: handshake */
	int			 compress;	/* 1 asked 2 OK 3 no 4 on */
	int			 preauth;
	int			 loggedin;
	int			 canlogin;	/* 1: waits for LIST; 2: did */
	int			 newcaps;	/* told behind the login */
	int			 initial;	/* SASL: to be sent at "+" */
	int			 enable;	/* 1: sent, 2: answered */
	int			 qresync;
	int			 lastlist;	/* the last LIST is here */
	int			 compressfirst;
	int			 listpacket;	/* LISTs may be emitted */
	/* Commands. */
	unsigned		 ntags;
	struct cmds		 answers;	/* unanswered, oldest first */
	struct cmds		 tx;		/* not wholly in out */
	struct cmd		*hold;
	/* Requests. */
	struct reqs		 reqs;
	struct req		*next;		/* not wholly emitted */
	size_t			 cost;
	struct req		*patreq;	/* its LIST is to come */
	struct handles		 handles;
	struct handle		*last;		/* of the last OPEN received */
	struct handle		*current;	/* untagged data is its */
	struct cmd		*selecting;	/* the SELECT that runs */
	uint32_t		 newexists;	/* EXISTS seen meanwhile */
	unsigned		 skipped;	/* names that were left out */
	/* FETCH under way. */
	enum section		 body;
	struct cmd		*sending;	/* the SEND that it answers */
	struct key		 key;		/* of the header or body */
	uint64_t		 headkey;
	int			 headmsgid;
	int			 hashead;
	/* Bridge. */
	int			 bridge;
	struct buf		 bin;
	struct buf		 bout;
	int			 beof;
	int			 bbroken;	/* nobody reads it any more */
	uint32_t		 sendfailed;	/* transfer */
	int			 anyfailed;
	struct recvstate	 recv;
	struct watch		 watch;
	/* STATS. */
	int			 heard;		/* the server has spoken since */
	uint32_t		 turns;
};

/* ---- main.c ---- */

void		 main_setup(const struct msg *);
void		 main_fd(const struct msg *);
void		 main_connect(const struct msg *);

/* Milliseconds of a clock that only goes forward. */
uint64_t	 net_now(void);
/* The server's words as they may stand in a message. */
char		*net_words(char *dst, size_t, const char *);
__dead void	 net_lost(struct net *, const char *why);
/* The engine wants no more: what is queued for it, then exit with 0. */
__dead void	 net_end(struct net *);

/* ---- cmdq.c: commands under way ---- */

/*
 * A new command, "TAG " in its text.  It is queued at once; with open set until
 * cmd_end().  fn gets the tagged answer, then the command is freed; unless it
 * is an APPEND whose octets are still on their way: fn's owner frees that.
 */
struct cmd	*cmd_new(struct net *, enum cmd_kind, struct req *,
		    void (*)(struct net *, struct cmd *, const struct resp *));
void		 cmd_puts(struct cmd *, const char *);
void		 cmd_printf(struct cmd *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));
/* As quoted string, or as literal where it must be one. */
void		 cmd_string(struct net *, struct cmd *, const char *);
/* "{n}" CRLF and a barrier, or "{n+}" CRLF; returns 1 if it is a barrier. */
int		 cmd_literal(struct net *, struct cmd *, uint64_t n, int sync);
/* CRLF: the command is complete. */
void		 cmd_end(struct net *, struct cmd *);
/*
 * An open command may get octets of a literal: all of its text is in net.out
 * and no "+" is waited for.
 */
int		 cmd_clear(struct net *, struct cmd *);
/* Octets of a literal straight into net.out. */
void		 cmd_octets(struct net *, const void *, size_t);
/* Move what may be sent into net.out. */
void		 cmdq_flush(struct net *);
void		 cmdq_tagged(struct net *, const struct resp *);
void		 cmdq_cont(struct net *, const struct resp *);
struct cmd	*cmdq_find(struct net *, const char *tag);
/* The oldest unanswered command of that kind, or NULL. */
struct cmd	*cmdq_oldest(struct net *, enum cmd_kind);
/* An answer is due: a command was sent as a whole, or waits for "+". */
int		 cmdq_due(struct net *);
/* Take back what of the open command is not yet written; never complete it. */
void		 cmdq_abandon(struct net *, struct cmd *);
void		 cmd_free(struct net *, struct cmd *);

/* ---- session.c: from the first octet to READY ---- */

void		 session_start(struct net *);
/* The handshake of TLS may go on. */
void		 session_tls(struct net *);
/* Octets came: net.in. */
void		 session_input(struct net *);
/* The engine's last LIST is here: log in if the server is ready for it. */
void		 session_login(struct net *);

/* ---- request.c: requests of the engine to commands ---- */

extern const struct proto_handler request_handlers[];
/* Emit what may be emitted now. */
void		 req_pump(struct net *);
/* The common tagged answer: the worst one counts. */
void		 req_answer(struct net *, struct cmd *, const struct resp *);
void		 req_worse(struct req *, enum resp_status, enum resp_code,
		    const char *);
/* DONE, if all commands are emitted and answered; the request is gone then. */
void		 req_check(struct net *, struct req *);
enum resp_status req_status(const struct resp *);
/*
 * Ranges of the set from *pos on that fit a line (with "other" octets in it)
 * into the command's text, and into its set if "keep".
 */
void		 req_set(struct cmd *, const struct uidset *, size_t *pos,
		    size_t other, int keep);
/* VANISHED, UIDS, GONE: as many messages as the set needs. */
void		 req_sendset(struct net *, uint32_t type, uint32_t id,
		    const struct uidset *, uint8_t arg);
void		 req_esearch(struct net *, const struct resp *);

/* ---- mailbox.c: handles, and what the server says of a mailbox ---- */

struct handle	*mbox_new(struct net *, uint32_t id, const struct m_net_open *);
struct handle	*mbox_find(struct net *, uint32_t id);
void		 mbox_hold(struct handle *);
void		 mbox_release(struct net *, struct handle *);
/* SELECT or EXAMINE as the OPEN wants it. */
struct cmd	*mbox_select(struct net *, struct req *, struct handle *,
		    void (*)(struct net *, struct cmd *, const struct resp *));
/* Before and after a tagged answer is acted upon. */
void		 mbox_tagged(struct net *, struct cmd *, const struct resp *);
void		 mbox_untagged(struct net *, const struct resp *);
/*
 * No request names the mailbox that is selected any more: what the server says
 * of it is counted, but not told.
 */
void		 mbox_mute(struct net *);
/* UNSELECT was answered. */
void		 mbox_unselected(struct net *);
void		 mbox_body(struct net *, const struct fetch *, uint64_t);
void		 mbox_data(struct net *, const void *, size_t);
void		 mbox_end(struct net *);

/* ---- list.c: LIST and STATUS ---- */

int		 list_emit(struct net *, struct req *);
int		 list_status_emit(struct net *, struct req *);
void		 list_untagged(struct net *, const struct resp *);
/* The capabilities after login are known: ask again what was refused. */
void		 list_retry(struct net *);
void		 list_free(struct req *);

/* ---- copysend.c, copyrecv.c: bodies over the bridge ---- */

/*
 * A bridge record, octets in network order:
 *	1	type: 1 message, 2 end
 *	4	transfer
 * a message goes on with
 *	4	UID on the source, not 0
 *	8	length of the body
 *	1	1: a date follows, 0: none
 *	26	the date (RFC 3501 date-time without quotes), if there is one
 *	2	length of the flags, then these, canonical
 *	n	the body
 *	1	1: complete, 0: aborted
 *	8	key
 * an end with
 *	1	1: complete, 0: aborted
 */
#define BR_MSG		1
#define BR_END		2
#define BR_HEAD_MAX	(1 + 4 + 4 + 8 + 1 + 26 + 2 + FLAGS_MAX)

int		 send_emit(struct net *, struct req *);
void		 send_finish(struct net *, struct req *);
void		 send_body(struct net *, struct cmd *, const struct fetch *,
		    uint64_t);
void		 send_data(struct net *, const void *, size_t);
void		 send_end(struct net *);

int		 recv_emit(struct net *, struct req *);
/* The request is over before it began: what comes for it is dropped. */
void		 recv_refuse(struct net *, uint32_t transfer);
/* Octets came over the bridge, or time has passed. */
void		 recv_input(struct net *);
/* Milliseconds until recv_input() must be called in any case, or -1. */
int		 recv_timeout(struct net *);

/* ---- watch.c: WATCH and STATS ---- */

/* A WATCH has come; it is about to be queued. */
void		 watch_new(struct net *, struct req *);
int		 watch_emit(struct net *, struct req *);
/* M_NET_UNWATCH, M_NET_STATS. */
void		 watch_unwatch(const struct msg *);
void		 watch_stats(const struct msg *);
/* LOGOUT came: if a WATCH is on, it ends first. */
void		 watch_logout(struct net *);
/* 1: that was for the WATCH alone. */
int		 watch_untagged(struct net *, const struct resp *);
/* What is to be done now. */
void		 watch_tick(struct net *);
/* Milliseconds until watch_tick() must be called in any case, or -1. */
int		 watch_timeout(struct net *);
/* The server may be silent for as long as it likes. */
int		 watch_idle(const struct net *);
/* The client speaks: if the server has spoken since, it is a turn. */
void		 watch_turn(struct net *);
/* The handshake of TLS is over; its turns are counted. */
void		 watch_handshake(struct net *);

#endif /* NET_H */

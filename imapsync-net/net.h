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

#include "imap.h"
#include "log.h"
#include "proto.h"
#include "sasl.h"
#include "socks.h"
#include "stream.h"

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
	int			 runs;		/* SELECT: see handle.c */
	int			 answered;
	struct cmd		**slot;		/* see cmd_keep() */
	uint64_t		 start;		/* net.put when it began */
	struct uidset		 set;		/* META, SEND: to come */
	struct rmsgs		 msgs;		/* APPEND */
	uint64_t		 bytes;
	uint64_t		 when;
	unsigned		 nmsgs;
};

/* What a kind of request does; all but emit may be NULL. */
struct req_ops {
	/* Queue commands; 1: these were all, 0: call again. */
	int	(*emit)(struct net *, struct req *);
	/*
	 * Its mailbox is not selected: 1 if it ends here, "unsent" (which it
	 * does without this), 0 if it goes on by itself.
	 */
	int	(*unsent)(struct net *, struct req *);
	/* All is answered: send what comes before DONE. */
	void	(*finish)(struct net *, struct req *);
	/* Free what only this kind has. */
	void	(*free)(struct req *);
};

/* A request of the engine, from its arrival to its DONE. */
struct req {
	TAILQ_ENTRY(req)	 entry;
	uint32_t		 type;
	uint32_t		 id;
	const struct req_ops	*ops;
	struct handle		*handle;
	size_t			 cost;		/* octets of memory, about */
	unsigned		 refs;		/* see req_hold() */
	int			 unsent;	/* it was over when it came */
	int			 emitted;
	int			 over;		/* RECV: no more records */
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
	int			 taken;		/* it is the last of cmd's */
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
	struct req		*req;		/* the WATCH until it ends, or NULL */
	uint32_t		 id;		/* its id, also behind that */
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
	int			 fds[4];	/* by enum net_fd */
	/* The server. */
	struct stream		*st;
	struct socks		*socks;
	struct buf		 in;
	struct buf		 out;
	uint64_t		 put;		/* octets ever put into out */
	int			 wipe;		/* out holds a secret */
	int			 broken;	/* can't be written to */
	int			 shut;		/* cmdq_abandon(): no more of it */
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

/* ---- worker.c: the bottom ---- */

/* All of it empty, with the channel's descriptor; net_log() without debug. */
void		 net_init(struct net *, int fd);
/* From now on log_*() and fatal*() speak to this worker's engine. */
void		 net_log(struct net *, int debug);
/* Milliseconds of a clock that only goes forward. */
uint64_t	 net_now(void);
/* The server's words as they may stand in a message: one line.  Returns dst. */
char		*net_words(char *dst, size_t, const char *);
/* The server is gone: FATAL and exit with 75, or an orderly end after LOGOUT. */
__dead void	 net_lost(struct net *, const char *why);
/* The engine wants no more: what is queued for it (1 s), then exit with 0. */
__dead void	 net_end(struct net *);

/* ---- setup.c: SETUP, FD, CONNECT of the supervisor ---- */

void		 setup_on_setup(const struct msg *);
void		 setup_on_fd(const struct msg *);
/* Takes the server's descriptor, locks the process, begins the session. */
void		 setup_on_connect(const struct msg *);

/* ---- loop.c ---- */

/*
 * One turn: do all that can be done now, wait for descriptors until something is
 * due, "most" ms at most (-1: as long as it takes), take what came.  Returns how
 * many descriptors had something.
 */
int		 loop_turn(struct net *, int most);
__dead void	 loop_run(struct net *);

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
/*
 * Ranges of the set from *pos on that fit a line (with "other" octets in it)
 * into the command's text, and into its set if "keep".
 */
void		 cmd_set(struct cmd *, const struct uidset *, size_t *pos,
		    size_t other, int keep);
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
/*
 * Take back what of the open command is not yet written; never complete it.
 * Nothing more is asked of the server from then on (net.shut).
 */
void		 cmdq_abandon(struct net *, struct cmd *);
/* The request is released: its DONE may follow. */
void		 cmd_free(struct net *, struct cmd *);
/* The one pointer that another file keeps: cmd_free() clears it. */
void		 cmd_keep(struct cmd **slot, struct cmd *);

/* ---- session.c: from the first octet to READY ---- */

void		 session_start(struct net *);
/* The handshake of TLS may go on. */
void		 session_tls(struct net *);
/* Octets came: net.in. */
void		 session_input(struct net *);
/* The engine's last LIST is here: log in if the server is ready for it. */
void		 session_tick(struct net *);
/* M_NET_LOGOUT. */
void		 session_on_logout(const struct msg *);

/* ---- request.c: requests of the engine to commands ---- */

/* The request that the message is; its mailbox the one of "handle". */
struct req	*req_new(const struct msg *, const struct req_ops *);
struct req	*req_bound(const struct msg *, uint32_t handle,
		    const struct req_ops *, const struct uidset *);
/*
 * In its place in the queue; req_enter(): unsent, unless its mailbox is the one
 * opened last.
 */
void		 req_queue(struct net *, struct req *);
void		 req_enter(struct net *, struct req *);
/* Emit what may be emitted now. */
void		 req_pump(struct net *);
/* The common tagged answer: the worst one counts. */
void		 req_answer(struct net *, struct cmd *, const struct resp *);
void		 req_worse(struct req *, enum resp_status, enum resp_code,
		    const char *);
/*
 * Whoever keeps a pointer to a request takes it by req_hold() and gives it up by
 * req_release(), which clears it.  A command has one from its making to its end.
 * While there is one the request is neither done nor freed; when the last one is
 * given up, and all is emitted, it is: finish(), DONE.
 */
struct req	*req_hold(struct req *);
void		 req_release(struct net *, struct req **);
enum resp_status req_status(const struct resp *);
/* VANISHED, UIDS, GONE: as many messages as the set needs. */
void		 req_sendset(struct net *, uint32_t type, uint32_t id,
		    const struct uidset *, uint8_t arg);

/* ---- handle.c: handles, and the numbers of the mailbox that is selected ---- */

struct handle	*handle_new(struct net *, uint32_t id,
		    const struct m_net_open *);
struct handle	*handle_find(struct net *, uint32_t id);
void		 handle_hold(struct handle *);
void		 handle_release(struct net *, struct handle *);
/* A tagged answer has come, and is not yet acted upon. */
void		 handle_tagged(struct net *, struct cmd *, const struct resp *);
void		 handle_untagged(struct net *, const struct resp *);
/*
 * No request names the mailbox that is selected any more: what the server says
 * of it is counted, but not told.
 */
void		 handle_mute(struct net *);
/* UNSELECT was answered. */
void		 handle_unselected(struct net *);

/* ---- mailbox.c: SELECT, and what the server says of messages ---- */

/* SELECT or EXAMINE as the OPEN wants it. */
struct cmd	*mailbox_select(struct net *, struct req *, struct handle *,
		    void (*)(struct net *, struct cmd *, const struct resp *));
void		 mailbox_untagged(struct net *, const struct resp *);
/* A BODY[...] as parse_ops has it. */
void		 mailbox_body(struct net *, const struct fetch *, uint64_t);
void		 mailbox_data(struct net *, const void *, size_t);
void		 mailbox_end(struct net *);

/* ---- ops.c: requests that are a few commands each ---- */

void		 ops_esearch(struct net *, const struct resp *);
void		 ops_on_open(const struct msg *);
void		 ops_on_search(const struct msg *);
void		 ops_on_meta(const struct msg *);
void		 ops_on_store(const struct msg *);
void		 ops_on_expunge(const struct msg *);
void		 ops_on_name(const struct msg *);

/* ---- list.c: LIST and STATUS ---- */

void		 list_untagged(struct net *, const struct resp *);
/* The capabilities after login are known: ask again what was refused. */
void		 list_retry(struct net *);
void		 list_on_pattern(const struct msg *);
void		 list_on_list(const struct msg *);
void		 list_on_status(const struct msg *);

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

void		 send_on_send(const struct msg *);
void		 send_body(struct net *, struct cmd *, const struct fetch *,
		    uint64_t);
void		 send_data(struct net *, const void *, size_t);
void		 send_end(struct net *);

void		 recv_on_recv(const struct msg *);
/* Octets came over the bridge, or time has passed. */
void		 recv_input(struct net *);
/* Milliseconds until recv_input() must be called in any case, or -1. */
int		 recv_timeout(struct net *);

/* ---- watch.c: WATCH ---- */

void		 watch_on_watch(const struct msg *);
void		 watch_on_unwatch(const struct msg *);
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

/* ---- stats.c: STATS ---- */

/* The client speaks: if the server has spoken since, it is a turn. */
void		 stats_turn(struct net *);
/* The handshake of TLS is over; its turns are counted. */
void		 stats_handshake(struct net *);
/* Answered at once, without the server. */
void		 stats_on_stats(const struct msg *);

#endif /* NET_H */

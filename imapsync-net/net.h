/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker: one process, one poll loop, one server.  Its files, from
 * the bottom to the top, each calling only those above it in this list (and the
 * grammar, imap.h; build/calls.t checks it):
 *
 *	worker		clock, words, the ends
 *	once		what is said once
 *	lost		the server's end: what was due
 *	handle		mailboxes and their numbers
 *	request		the engine's requests: queue, references, sets
 *	cmdq		commands
 *	select		SELECT, lists, what is expunged
 *	bridge		octets to and from the other worker
 *	qresync, condstore, plain	how the server tells what has changed
 *	strategy	which of them
 *	copysend, copyrecv	bodies over the bridge
 *	mailbox		SELECT, what is said of messages
 *	ops, list, watch	what the requests do
 *	stats		turns
 *	session		from the first octet to READY, LOGOUT
 *	setup		the supervisor's messages
 *	loop, main
 */
#ifndef NET_H
#define NET_H

#include "cmdq.h"
#include "copy.h"
#include "handle.h"
#include "imap.h"
#include "log.h"
#include "proto.h"
#include "request.h"
#include "sasl.h"
#include "socks.h"
#include "strategy.h"
#include "stream.h"
#include "watch.h"

/* What the connection is at. */
enum phase { P_SETUP = 0, P_SOCKS, P_TLS, P_GREETING, P_LOGIN, P_READY,
	P_LOGOUT };

/* States of the channel: what the engine may say (struct proto_handler). */
#define CH_SETUP	0x01
#define CH_CONNECT	0x02
#define CH_LOGIN	0x04
#define CH_READY	0x08
#define CH_LOGOUT	0x10
#define CH_WATCH	0x20
#define CH_UNWATCH	0x40	/* it is to end: all but another one */
#define CH_ASK		(CH_READY | CH_UNWATCH)

enum login {
	LOGIN_NOT = 0,		/* the server is not ready for it */
	LOGIN_WAIT,		/* the engine's last LIST is still to come */
	LOGIN_NEVER,		/* CHECK_PEEK */
	LOGIN_SENT,
	LOGIN_DONE
};
enum enable { ENABLE_NOT = 0, ENABLE_SENT, ENABLE_ANSWERED };
enum compress {
	COMPRESS_NOT = 0,
	COMPRESS_ASKED,
	COMPRESS_OK,		/* what comes behind its OK is compressed */
	COMPRESS_REFUSED,
	COMPRESS_ON
};

/* loop.c's */
struct loop {
	int			 broken;	/* can't be written to */
	uint64_t		 heard;		/* ms: when octets passed last */
	uint64_t		 nudged;	/* ms: when, and until the next */
	uint64_t		 nudge_ms;
	uint64_t		 corked;	/* ms: output is held since */
	uint64_t		 told;		/* ms: when the engine was */
	uint64_t		 looked;	/* ms: when the time was looked at */
	struct reads		 reads;		/* the server's octets */
};

/* session.c's */
struct session {
	struct parser		 parser;
	struct socks		*socks;
	struct sasl		*sasl;
	const char		*mech;
	enum enable		 enable;
	int			 tls;		/* the connection is under it */
	int			 starttls;	/* its OK came: handshake */
	int			 preauth;
	int			 dovecot;	/* so it greets */
	int			 newcaps;	/* told behind the login */
	uint32_t		 probe;		/* the PROBE to answer; 0: none */
	int			 probed;	/* there was one */
	int			 toldcert;	/* CERT was sent */
	int			 initial;	/* SASL: to be sent at "+" */
};

/* once.c's: what of the server's is shown, or can't be read. */
enum once_kind { ONCE_SAID = 0, ONCE_UNREAD, ONCE_FLAG, ONCE_DATE, ONCE_KINDS };
struct once {
	uint64_t		 said[ONCE_MOST];	/* hashes */
	unsigned		 n;
	unsigned		 more;		/* that were not shown */
};

/*
 * mailbox.c's: the BODY[...] that is being read, and the last header.  A body is
 * whole once the response that follows it has begun as one: if that is where it
 * should be, the body had the length that was announced.
 */
enum reading_stage { READ_NONE = 0, READ_BODY, READ_WHOLE };
#define MADEUP_LEN	129	/* octets of Courier's, see mailbox.c */
struct reading {
	enum reading_stage	 stage;
	enum section		 section;
	struct cmd		*cmd;		/* the SEND or META; kept */
	uint32_t		 uid;		/* of the body that is sent */
	unsigned		 octets;	/* since net.alive */
	struct key		 key;		/* of the header under way */
	int			 empty;		/* a SEND's, of no octets */
	int			 held;		/* a SEND's, in "text" so far */
	size_t			 ntext;
	char			 text[MADEUP_LEN];
	int			 hashead;	/* headkey, msgid are of the FETCH */
	uint64_t		 headkey;
	int			 msgid;
};

/*
 * Asked for a message that can't be, a server must show none.  One is known that
 * shows its last one instead, and stores to that, too.
 */
enum canary { CANARY_UNKNOWN = 0, CANARY_SOUND, CANARY_GHOST };

/* stats.c's */
struct stats {
	int			 heard;		/* the server has spoken since */
	uint32_t		 turns;
};

struct net {
	struct chan		 chan;
	struct m_net_setup	 setup;		/* strings are our own */
	int			 fds[4];	/* setup.c's, by enum net_fd */
	/* The server. */
	struct stream		*st;
	struct buf		 in;
	struct buf		 out;
	int			 wipe;		/* out holds a secret */
	uint64_t		 alive;		/* ms: since when one waits */
	char			*bye;		/* the server's last words */
	int			 limit;		/* it is too busy: lost_limit() */
	uint64_t		 byetime;	/* ms: when they came */
	/* What the connection is at. */
	enum phase		 phase;
	enum login		 login;
	enum compress		 compress;
	struct caps		 caps;		/* as last told */
	int			 qresync;	/* it is enabled */
	const struct strategy	*strategy;	/* from READY on */
	enum canary		 canary;
	int			 nosearch;	/* SEARCH finds nothing */
	int			 noexpunge;	/* UID EXPUNGE was refused */
	struct uidset		 expunge;	/* parts of one that have come */
	/* By file. */
	struct mailboxes	 handles;
	struct queue		 queue;
	struct cmdq		 cmdq;
	struct bridge		 bridge;
	struct copysend		 send;
	struct copyrecv		 recv;
	struct reading		 body;
	struct once		 once[ONCE_KINDS];
	unsigned		 skipped;	/* list.c's: names left out */
	struct watch		 watch;
	struct stats		 stats;
	struct session		 session;
	struct loop		 loop;
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
/* The server has answered something: its time (m_net_setup.timeout) is renewed. */
void		 net_heard(struct net *);
/* The engine wants no more: what is queued for it (1 s), then exit with 0. */
__dead void	 net_end(struct net *);

/* ---- once.c ---- */

/*
 * 1 if that was not yet said of that mailbox ("": of none), and there is room
 * for it: the caller says it.
 */
int		 once(struct net *, enum once_kind, const char *mailbox,
		    const char *what);
/* The session ends: how much was not said. */
void		 once_end(struct net *);

/* ---- lost.c: FATAL with 75, and DUE if a message was due ---- */

/* The server is gone; an orderly end after LOGOUT. */
__dead void	 lost_server(struct net *, const char *why);
/*
 * A server does not let us in, with that code (enum resp_code) and these words,
 * which are untrusted: is it too busy, or has it too many connections?  RFC 5530
 * has codes for that; most say it in words alone.
 */
int		 lost_limit(int rc, const char *words);
/*
 * Nothing that it says can be understood any more: "HOST " and that, what was
 * going on, and the line (or NULL).
 */
__dead void	 lost_sense(struct net *, const char *line, const char *fmt, ...)
		    __attribute__((__format__(printf, 3, 4)));

/* ---- select.c: commands that several requests send ---- */

/* SELECT or EXAMINE as the OPEN of the handle wants it. */
struct cmd	*select_box(struct net *, struct req *, struct handle *, cmd_fn);
/*
 * Nothing is to be selected: UNSELECT or, where that is not offered and an EXAMINE
 * was answered OK, CLOSE, which then expunges nothing (RFC 3501 section 6.4.2).
 * Returns 1; 0 if neither may be sent, or nothing is selected.
 */
int		 select_leave(struct net *, struct req *, cmd_fn);
/*
 * "UID SEARCH [RETURN (ALL)] UID ", or "UID FETCH ", without its set, and its
 * end.  What it finds goes to the engine as UIDS of the request ("what":
 * cmd.what), or into cmd.missing->found.
 */
struct cmd	*select_search(struct net *, struct req *, int what, cmd_fn);
void		 select_search_end(struct net *, struct cmd *);
void		 select_found(struct net *, const struct resp *);
/* A FETCH told of a UID. */
void		 select_shown(struct net *, const struct fetch *);
/* All of a list that is a FETCH has come: to the engine. */
void		 select_listed(struct net *, struct cmd *);
/* A message is asked for that can't be, if that was not yet done: net.canary. */
void		 select_canary(struct net *, struct req *);
/*
 * Behind UID EXPUNGE, where the server does not name UIDs: SELECT once more, and
 * what of the request's set is not shown is told as VANISHED, if the survivor is
 * shown (m_net_expunge).
 */
void		 select_confirm(struct net *, struct req *);

/* ---- mailbox.c: what the server says of messages ---- */

void		 mailbox_untagged(struct net *, const struct resp *);
/*
 * The code of a tagged answer, or what is untagged, is bad: it is logged, and
 * told as SPOILT of the mailbox that it is about, if it may matter to it.
 */
void		 mailbox_bad(struct net *, const struct resp *);
/* A BODY[...] as parse_ops has it. */
void		 mailbox_body(struct net *, const struct fetch *, uint64_t len);
void		 mailbox_data(struct net *, const void *, size_t);
void		 mailbox_end(struct net *);
/* COPYUID of a MOVE or COPY, of all of it or of a part: COPIED. */
void		 mailbox_copied(struct net *, struct cmd *, const struct resp *);
/* What follows a body is sound, or the session ends where it may: see reading. */
void		 mailbox_whole(struct net *);

/* ---- ops.c: requests that are a few commands each ---- */

void		 ops_on_open(const struct msg *);
void		 ops_on_search(const struct msg *);
void		 ops_on_meta(const struct msg *);
void		 ops_on_store(const struct msg *);
void		 ops_on_move(const struct msg *);
void		 ops_on_name(const struct msg *);

/* ---- expunge.c ---- */

void		 expunge_on_expunge(const struct msg *);

/* ---- list.c: LIST and STATUS ---- */

void		 list_untagged(struct net *, const struct resp *);
/* The capabilities after login are known: ask again what was refused. */
void		 list_retry(struct net *);
void		 list_on_pattern(const struct msg *);
void		 list_on_known(const struct msg *);
void		 list_on_list(const struct msg *);
void		 list_on_status(const struct msg *);

/* ---- stats.c: STATS ---- */

/* The server has spoken. */
void		 stats_heard(struct net *);
/* The client speaks: if the server has spoken since, it is a turn. */
void		 stats_turn(struct net *);
/* The handshake of TLS is over; its turns are counted. */
void		 stats_handshake(struct net *);
/* Answered at once, without the server. */
void		 stats_on_stats(const struct msg *);

/* ---- session.c: from the first octet to READY; LOGOUT ---- */

/* The descriptor is connected, to the server or to a proxy. */
void		 session_start(struct net *);
/* The handshake of TLS may go on. */
void		 session_tls(struct net *);
/* Octets came: net.in. */
void		 session_input(struct net *);
/* Log in, if the engine's last LIST is here and the server is ready for it. */
void		 session_tick(struct net *);
void		 session_on_probe(const struct msg *);
void		 session_on_logout(const struct msg *);

/* ---- setup.c: SETUP, FD, CONNECT of the supervisor ---- */

void		 setup_on_setup(const struct msg *);
void		 setup_on_fd(const struct msg *);
/* Takes the server's descriptor, locks the process, begins the session. */
void		 setup_on_connect(const struct msg *);

/* ---- loop.c ---- */

/* What the worker takes, and when. */
extern const struct proto_handler loop_handlers[];

/*
 * One turn: do all that can be done now, wait for descriptors until something is
 * due, "most" ms at most (-1: as long as it takes), take what came.  Returns how
 * many descriptors had something.
 */
int		 loop_turn(struct net *, int most);
__dead void	 loop_run(struct net *);

#endif /* NET_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Every message between the processes of imapsync: its struct, what it means,
 * how it is encoded and checked.  imapsync-net(8) and imapsync-store(8) hold
 * the same for the reader of manuals.
 *
 * A frame (imsg.h) has a type, a request id (hdr.peerid) and one record of that
 * type or, for the types marked "many", one or more, back to back.  A request
 * carries an id that its sender chose, answers carry it back, and every request
 * but those marked "no DONE" ends in exactly one DONE.  The handlers see records
 * only; packing is chan_send()'s business.
 *
 * proto_decode() trusts nothing: bounds, NULs, enum ranges, UID 0, left-over
 * octets.  A bad message ends the receiver with a message that names the sender.
 * What passes is still the word of a process that may be compromised.
 *
 * Strings are C strings.  A mailbox on its way to or from a network worker has
 * the server's own spelling (modified UTF-7, as sent); the engine and the store
 * use the neutral name: without the reference, NAME_SEP for the delimiter.
 */
#ifndef PROTO_H
#define PROTO_H

#include "flags.h"
#include "imsg.h"
#include "uidset.h"

#define PROTO_VERSION	10

#define NAME_MAX_LEN	1024	/* octets of a mailbox name, NUL included */
#define NAME_SEP	'\001'	/* the NUL of a neutral name */
#define NAME_SEP_STR	"\001"
#define TEXT_MAX	2048	/* octets of a text for the user, NUL included */
#define QUEUE_HIGH	(256 * 1024)	/* high-water mark of a queue, octets */

/* Descriptors at fixed numbers after exec. */
#define FD_CHANNEL	3	/* worker: to the engine; engine: control socket */
#define FD_LIFELINE	4	/* read end of the supervisor's pipe: EOF is the end */
#define FD_READY	5	/* store: one octet is written, READY_*, and the
				   time of the last good run, an int64_t */
#define FD_ENGINE_LOCAL	5	/* engine: the channels, and the log or none */
#define FD_ENGINE_REMOTE 6
#define FD_ENGINE_STORE	7
#define FD_ENGINE_LOG	8
#define FD_ENGINE_NOTIFY 9	/* see notify.h; without a log 8 is the same */

/* The state is open, or in use by another run; LATE: the patience is over. */
enum ready { READY_OPEN = 'r', READY_LATE = 'l', READY_BUSY = 'b',
	READY_BUSY_LATE = 'B' };

enum side { LOCAL = 0, REMOTE = 1 };
#define SIDES		2
#define OTHER(s)	((s) == LOCAL ? REMOTE : LOCAL)
extern const char *const side_name[SIDES];	/* "local", "remote" */

enum proto_type {
	M_NONE = 0,

	/* to a network worker, from the supervisor (no DONE) */
	M_NET_SETUP,
	M_NET_FD,
	M_NET_CONNECT,

	/* to a network worker, from the engine */
	M_NET_PROBE,
	M_NET_LIST,
	M_NET_PATTERN,
	M_NET_KNOWN,
	M_NET_STATUS,
	M_NET_OPEN,
	M_NET_META,
	M_NET_SEARCH,
	M_NET_SEND,
	M_NET_EXPECT,
	M_NET_RECV,
	M_NET_STORE,
	M_NET_EXPUNGE,
	M_NET_MOVE,
	M_NET_NAME,
	M_NET_WATCH,
	M_NET_UNWATCH,
	M_NET_STATS,
	M_NET_LOGOUT,

	/* to the engine, from a network worker */
	M_ENGINE_READY,
	M_ENGINE_CERT,
	M_ENGINE_MAILBOX,
	M_ENGINE_OPENED,
	M_ENGINE_VANISHED,
	M_ENGINE_FLAGS,
	M_ENGINE_META,
	M_ENGINE_COPIED,
	M_ENGINE_REFUSED,
	M_ENGINE_FAILED,
	M_ENGINE_GONE,
	M_ENGINE_WITHHELD,
	M_ENGINE_DUE,
	M_ENGINE_SPOILT,
	M_ENGINE_CHANGED,
	M_ENGINE_STATS,
	M_ENGINE_OFFER,
	M_ENGINE_ALIVE,

	/* to the engine, from the store */
	M_ENGINE_SERVER,
	M_ENGINE_MBOX,
	M_ENGINE_MARK,
	M_ENGINE_REFUSAL,
	M_ENGINE_STOPPED,
	M_ENGINE_INFO,
	M_ENGINE_ROW,
	M_ENGINE_PAIRED,

	/* to the engine, from any worker */
	M_ENGINE_UIDS,
	M_ENGINE_DONE,
	M_ENGINE_LOG,
	M_ENGINE_FATAL,

	/* to the engine, from the supervisor (no DONE) */
	M_ENGINE_SETUP,
	M_ENGINE_ITEM,
	M_ENGINE_GO,
	M_ENGINE_STOP,
	M_ENGINE_LOOK,
	M_ENGINE_STATUS,
	M_ENGINE_LOGFILE,

	/* to the store, from the supervisor (no DONE) */
	M_STORE_SETUP,

	/* to the store, from the engine */
	M_STORE_LOAD,
	M_STORE_IMPORT,
	M_STORE_TAKE,
	M_STORE_TAKEN,
	M_STORE_NEWBOX,
	M_STORE_SUBSCRIBED,
	M_STORE_ADOPT,
	M_STORE_FORGET,
	M_STORE_RENAME,
	M_STORE_INFO,
	M_STORE_ROWS,
	M_STORE_HAVE,
	M_STORE_SAMPLE,
	M_STORE_ADD,
	M_STORE_BASE,
	M_STORE_REBASE,
	M_STORE_DROP,
	M_STORE_MARK,
	M_STORE_MARKFAIL,
	M_STORE_LOST,
	M_STORE_UNMARK,
	M_STORE_REFUSE,
	M_STORE_UNREFUSE,
	M_STORE_LEFT,
	M_STORE_UNLEFT,
	M_STORE_WATER,
	M_STORE_SEEN,
	M_STORE_PAIR,
	M_STORE_DIFF,
	M_STORE_SERVER,
	M_STORE_SYNCED,
	M_STORE_DELETED,
	M_STORE_STOPPED,
	M_STORE_UNSTOPPED,
	M_STORE_COMMIT,
	M_STORE_CLOSE,

	M_MAX
};

/* ---- to a network worker ---- */

enum conn_type { CONN_TUNNEL = 0, CONN_IMAP, CONN_IMAPS };
enum proxy_type { PROXY_NONE = 0, PROXY_SOCKS5, PROXY_SOCKS5H };
/*
 * How a side tells what has changed: the best that its server really does, or
 * what the configuration says.
 *   QRESYNC	it tells what vanished and what changed (RFC 7162)
 *   CONDSTORE	it tells what changed; what vanished is found by counting, and then
 *		by a list
 *   PLAIN	it tells nothing: lists are compared (RFC 3501)
 */
enum strategy_kind { STRATEGY_AUTO = 0, STRATEGY_QRESYNC, STRATEGY_CONDSTORE,
	STRATEGY_PLAIN };

/*
 * --check: the certificate is told.  PEEK: it is not verified, and nobody logs in;
 * the session ends where it would.
 */
enum check { CHECK_NOT = 0, CHECK_CERT, CHECK_PEEK };
/* M_NET_SETUP: first message; who the server is and how to log in. */
struct m_net_setup {
	uint32_t	 version;	/* PROTO_VERSION */
	uint8_t		 side;		/* enum side */
	uint8_t		 type;		/* enum conn_type */
	uint8_t		 starttls;
	uint8_t		 compress;
	uint8_t		 pipeline;	/* commands behind LOGIN in its packet */
	uint8_t		 strategy;	/* enum strategy_kind */
	uint8_t		 debug;		/* 1: traffic, 2: with credentials */
	uint8_t		 cleartext;	/* a password may go over this transport
					   without TLS: tunnel, loopback, or told so */
	uint8_t		 has_password;
	uint8_t		 check;		/* enum check */
	uint32_t	 timeout;	/* seconds of silence while an answer is due */
	const char	*host;		/* as configured; for messages and TLS */
	const char	*auth;		/* mechanisms wanted, blanks between; "": default */
	const char	*username;
	const char	*authzid;	/* whom to act as; "": the user */
	const char	*password;	/* a secret: wipe it once used */
	uint8_t		 ssl_verify;
	uint8_t		 ssl_sni;	/* 0: send no name */
	uint16_t	 ssl_min;	/* 0 none, else 0x0301 (TLS 1.0) to 0x0304 */
	uint16_t	 ssl_max;
	const char	*ssl_hostname;	/* for SNI, if ssl_sni */
	const char	*ssl_ciphers;	/* "": the library's default */
	const char	*ssl_ciphersuites;
	const char	*ssl_fingerprint; /* [algo$]hex, blanks between; "" none */
	uint8_t		 proxy;		/* enum proxy_type: the socket leads there */
	uint16_t	 port;		/* the server's, for the proxy's request */
	const char	*proxy_addr;	/* name or address to ask the proxy for */
	const char	*proxy_user;
	const char	*proxy_password; /* a secret */
};

/* M_NET_FD: a descriptor that the worker needs. */
enum net_fd { NETFD_BRIDGE = 0, NETFD_CA, NETFD_CERT, NETFD_KEY };
struct m_net_fd {
	uint8_t		 what;		/* enum net_fd */
};

/*
 * M_NET_CONNECT: the server's descriptor comes with it.  The last message of
 * the supervisor; the worker locks itself now and begins.
 */
struct m_net_connect {
	uint8_t		 unused;
};

/*
 * M_NET_PROBE: what can be told of the server without a login: once, before
 * READY.  The worker asks for the capabilities where the server has not told
 * them, and sends nothing else; who logs in is LIST's business.  Answered by one
 * OFFER and DONE.
 */
struct m_net_probe {
	uint8_t		 unused;
};

/* Selectors of M_NET_LIST (RFC 5258 section 3.1). */
#define SEL_SUBSCRIBED		0x01
#define SEL_REMOTE		0x02
#define SEL_RECURSIVEMATCH	0x04
/*
 * M_NET_LIST: LIST (selectors) "reference" (patterns) RETURN (SUBSCRIBED
 * [SPECIAL-USE] STATUS (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)), without
 * CONDSTORE UNSEEN in place of HIGHESTMODSEQ, which says a little of flags.  The
 * patterns came before it as M_NET_PATTERN with the same id; with none it is
 * LIST "" "", which tells the delimiter.  It may be sent before READY: the
 * worker logs in when it has one with "last" set, in the same packet if it may.
 * With compress_first COMPRESS is negotiated before the LIST.  Answered by
 * MAILBOX* and DONE.
 */
struct m_net_list {
	uint8_t		 selectors;
	uint8_t		 compress_first;
	uint8_t		 last;		/* no further LIST follows at start */
	const char	*reference;
};
/* M_NET_PATTERN: one pattern of the next LIST of that id (no DONE, many). */
struct m_net_pattern {
	const char	*pattern;	/* server's spelling; * and % are wildcards */
};

/*
 * M_NET_KNOWN: a mailbox that the next LIST of that id may tell (no DONE, many).
 * If the server's LIST can't tell STATUS that is asked for in the same packet:
 * it takes no turn of its own.  What comes of it is in LIST's MAILBOX, or not.
 */
struct m_net_known {
	const char	*mailbox;
};

/* M_NET_STATUS: STATUS of one mailbox, answered by one MAILBOX and DONE. */
struct m_net_status {
	const char	*mailbox;
};

/*
 * M_NET_OPEN: its request id is the *handle* by which later requests name it.
 * SELECT (EXAMINE if "examine") mailbox; if modseq is not 0 what has changed since
 * is told as well, as the strategy has it: by (QRESYNC (uidvalidity modseq 1:n))
 * (without the set if n is 0), or by UID FETCH 1:n (UID FLAGS) (CHANGEDSINCE
 * modseq) behind it.  Then, as asked:
 *   full:	UID FETCH 1:n (UID FLAGS): each is a FLAGS event, none is left out
 *   new:	UID SEARCH RETURN (ALL) UID uidnext:4294967295 -> UIDS
 *   all:	UID SEARCH RETURN (ALL) UID 1:n (if n > 0) -> UIDS
 *   keep:	no command, if it is selected and nothing was told of it since
 * An OK without an ESEARCH line is an error (RFC 4731).  With PLAIN the lists
 * are UID FETCH ... (UID), since SEARCH of such servers lies.
 * Answers: VANISHED*, FLAGS*, UIDS*, one OPENED (if the SELECT was OK) at the
 * end, DONE.  Until the next OPEN VANISHED and FLAGS events carry the handle.
 */
#define OPEN_EXAMINE	0x01
#define OPEN_FULL	0x02
#define OPEN_NEW	0x04
#define OPEN_ALL	0x08
#define OPEN_KEEP	0x10
struct m_net_open {
	uint8_t		 what;		/* OPEN_* */
	uint32_t	 uidvalidity;	/* 0: none known */
	uint32_t	 uidnext;	/* U of design.md */
	uint32_t	 n;		/* highest UID known; 0: none */
	uint64_t	 modseq;	/* 0: none known */
	const char	*mailbox;
};

/*
 * M_NET_META: UID FETCH set (UID FLAGS INTERNALDATE RFC822.SIZE
 * BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM TO SUBJECT)]), or of these only
 * RFC822.SIZE, or all but flags and date; answers: META*, DONE.  Or only FLAGS;
 * answers: FLAGS* of its handle, DONE.
 */
enum meta_what { META_WHOLE = 0, META_SIZE, META_FLAGS, META_KEY };
struct m_net_meta {
	uint32_t	 handle;
	uint8_t		 what;		/* enum meta_what */
	struct uidset	 set;
};

/* M_NET_SEARCH: UID SEARCH RETURN (ALL) UID set.  Answers: UIDS*, DONE. */
struct m_net_search {
	uint32_t	 handle;
	struct uidset	 set;
};

/*
 * M_NET_SEND: fetch the set, bodies go over the bridge under "transfer" in the
 * order in which the server sends them; several SENDs of one transfer follow
 * each other, the last has "last" set and is followed by END on the bridge.
 * Answers: GONE*, WITHHELD* (what did not come), DONE.
 */
struct m_net_send {
	uint32_t	 handle;
	uint32_t	 transfer;
	uint8_t		 last;
	struct uidset	 set;
};

/*
 * M_NET_EXPECT: a part of what the RECV that follows may append, by their UIDs
 * on the source.  No answer.
 */
struct m_net_expect {
	uint32_t	 transfer;
	struct uidset	 set;
};

/*
 * M_NET_RECV: append to "mailbox" what comes over the bridge under "transfer"
 * until END.  "handle" is its OPEN, whose answer is not waited for; permflags
 * decide which keywords are sent.  What was not EXPECTed, or comes twice, ends
 * the worker before any of it is appended.  Mode:
 *   MULTI	MULTIAPPEND where offered; refused as a whole -> FAILED
 *   SINGLE	one APPEND a message, pipelined; refused -> REFUSED
 *   ONE	as SINGLE, a synchronising literal, the next only after the answer
 * A message above a known APPENDLIMIT is REFUSED (code RC_TOOBIG) unsent; one of
 * several MB where the limit is not known goes as ONE.  When all is answered and
 * something was appended: UID FETCH * (UID MODSEQ) (for Cyrus).
 * Answers: COPIED*, REFUSED*, FAILED*, DONE (ok only after END "complete" and if
 * every message is in one of the three).
 * If the bridge ends or says "aborted" inside a body, nothing more is written to
 * the server: what was complete is awaited (10 s), then FATAL.
 */
enum recv_mode { RECV_MULTI = 0, RECV_SINGLE, RECV_ONE };
struct m_net_recv {
	uint32_t	 handle;
	uint32_t	 transfer;
	uint8_t		 mode;
	uint8_t		 nodate;	/* leave INTERNALDATE out */
	uint8_t		 nokeywords;
	uint8_t		 perm_any;	/* as an OPENED of the mailbox told, so */
	const char	*permflags;	/* that no answer must be waited for */
	const char	*mailbox;
};

/* M_NET_STORE: UID STORE set +FLAGS.SILENT (flags), or -FLAGS.SILENT. */
struct m_net_store {
	uint32_t	 handle;
	uint8_t		 add;		/* 1: +, 0: - */
	const char	*flags;
	struct uidset	 set;
};

/*
 * M_NET_EXPUNGE: UID STORE set +FLAGS.SILENT (\Deleted), the SELECT of the
 * handle once more (design.md D7), UID EXPUNGE set, in one packet.  VANISHED
 * events tell what is gone.  Where the server does not tell UIDs (all but QRESYNC)
 * the SELECT is sent a third time, and UID FETCH set,survivor (UID): gone is what
 * that does not show, if it shows the survivor; without one, if nothing is left.
 * A set of several messages is one set, and is done with the last.
 * A server that lists UIDPLUS and refuses UID EXPUNGE: NO with RC_CANNOT; the next
 * EXPUNGE of the session goes without, as where there is no UIDPLUS: SELECT, UID
 * FETCH 1:* (UID FLAGS), UID STORE, UID SEARCH DELETED; and EXPUNGE, if that is
 * exactly the set and nothing else was marked before.  Else NO, with the reason.
 */
struct m_net_expunge {
	uint32_t	 handle;
	uint32_t	 survivor;	/* a message that stays; 0: none known */
	uint8_t		 last;
	struct uidset	 set;
};

/*
 * M_NET_MOVE: UID MOVE set mailbox (RFC 6851) or, with "copy", UID COPY, behind
 * the SELECT of the handle once more.  COPIED tells what COPYUID told (RFC 4315
 * section 3), with size and key 0, and no flags; newuid 0: it was said to be done
 * without that.  What was not done is not told.  VANISHED as with M_NET_EXPUNGE.
 */
struct m_net_move {
	uint32_t	 handle;
	uint8_t		 copy;
	uint32_t	 uidvalidity;	/* of that mailbox; COPYUID must have it */
	const char	*mailbox;
	struct uidset	 set;
};

/* M_NET_NAME: one command on names. */
enum name_op { NAME_CREATE = 0, NAME_DELETE, NAME_RENAME, NAME_SUBSCRIBE,
	NAME_UNSUBSCRIBE };
struct m_net_name {
	uint8_t		 op;		/* enum name_op */
	const char	*mailbox;
	const char	*newname;	/* NAME_RENAME only, else "" */
};

/*
 * M_NET_WATCH: tell of changes until UNWATCH.  With "notify" (RFC 5465, SET
 * STATUS, all personal mailboxes), else IDLE (RFC 2177) on "mailbox", which is
 * examined for it; where neither can be had, or mailbox is "", the connection
 * is only kept alive.  What is selected is unselected first.  Answers, until the
 * DONE that follows UNWATCH: MAILBOX (with a STATUS: what NOTIFY tells, and what
 * the EXAMINE in front of IDLE tells) and CHANGED.  IDLE is renewed, and a NOOP
 * sent, before a server would end the connection.  A NO or BAD to NOTIFY, or
 * NOTIFICATIONOVERFLOW, is not fatal: DONE tells it, the engine asks for IDLE.
 * No other request is allowed while it is on.
 */
struct m_net_watch {
	uint8_t		 notify;
	const char	*mailbox;
};
/* M_NET_UNWATCH: end the WATCH (no DONE of its own; WATCH's follows). */
struct m_net_unwatch {
	uint8_t		 unused;
};
/* M_NET_STATS: answered by STATS and DONE at once, without the server. */
struct m_net_stats {
	uint8_t		 unused;
};

/*
 * M_NET_LOGOUT: nothing more will be asked (no DONE).  LOGOUT is sent, flushed,
 * not waited for; linger is switched off; the worker exits with 0.
 */
struct m_net_logout {
	uint8_t		 unused;
};

/* ---- to the engine, from a network worker ---- */

#define CAP_QRESYNC		0x00001
#define CAP_CONDSTORE		0x00002
#define CAP_LIST_EXTENDED	0x00004
#define CAP_LIST_STATUS		0x00008
#define CAP_UIDPLUS		0x00010
#define CAP_LITERALPLUS		0x00020
#define CAP_LITERALMINUS	0x00040
#define CAP_MULTIAPPEND		0x00080
#define CAP_MOVE		0x00100
#define CAP_OBJECTID		0x00200
#define CAP_NOTIFY		0x00400
#define CAP_IDLE		0x00800
#define CAP_COMPRESS		0x01000
#define CAP_SPECIAL_USE		0x02000
#define CAP_ESEARCH		0x04000
#define CAP_UNSELECT		0x08000
#define CAP_ENABLE		0x10000
#define CAP_SASL_IR		0x20000
#define CAP_STARTTLS		0x40000
#define CAP_LOGINDISABLED	0x80000
#define CAP_ID			0x100000

/*
 * M_ENGINE_READY: authenticated (id 0).  Sent once.  That an extension the
 * program can't do without is missing is the engine's to say.
 */
struct m_engine_ready {
	uint32_t	 caps;		/* CAP_*, but for what is not to be used */
	uint8_t		 strategy;	/* enum strategy_kind: the one chosen */
	uint8_t		 forced;	/* by the configuration */
	uint8_t		 preauth;
	uint64_t	 appendlimit;	/* RFC 7889; 0: not told */
	const char	*tls;		/* protocol version; "" none */
	const char	*cipher;
	const char	*mechanism;	/* "LOGIN", "PREAUTH", "SCRAM-SHA-256" ... */
};

/*
 * M_ENGINE_OFFER: what the server shows before anybody has logged in, or as it
 * greets with PREAUTH.  What it tells of itself may be less than what it has
 * after the login (RFC 3501 section 6.1.1).
 */
struct m_engine_offer {
	uint32_t	 caps;		/* CAP_* */
	uint8_t		 preauth;
	uint8_t		 verified;	/* its certificate, by the authorities */
	const char	*tls;		/* protocol version; "" none */
	const char	*cipher;
	const char	*key;		/* as SSL_fingerprint takes it; "" no TLS */
	const char	*mechs;		/* mechanisms, blanks between; "" none */
};

/*
 * M_ENGINE_CERT: with "check", once, when the handshake of TLS is over, also if the
 * certificate is refused then; without TLS when the login would follow, empty.
 */
enum pinned { PINNED_NOT = 0, PINNED_YES, PINNED_OTHER };
struct m_engine_cert {
	uint8_t		 verified;	/* its chain, time and name */
	uint8_t		 pinned;	/* enum pinned: SSL_fingerprint */
	int64_t		 notbefore;	/* seconds since 1970 */
	int64_t		 notafter;
	const char	*subject;
	const char	*issuer;
	const char	*pin;		/* as SSL_fingerprint takes it */
	const char	*tls;		/* protocol version; "" none */
	const char	*cipher;
};

#define ATTR_NOSELECT		0x001	/* also \NonExistent */
#define ATTR_NONEXISTENT	0x002
#define ATTR_NOINFERIORS	0x004
#define ATTR_SUBSCRIBED		0x008
#define ATTR_REMOTE		0x010
#define ATTR_ALL		0x020	/* RFC 6154 */
#define ATTR_ARCHIVE		0x040
#define ATTR_DRAFTS		0x080
#define ATTR_FLAGGED		0x100
#define ATTR_JUNK		0x200
#define ATTR_SENT		0x400
#define ATTR_TRASH		0x800
#define ATTR_IMPORTANT		0x1000	/* RFC 8457 */
/* They show messages of other mailboxes. */
#define ATTR_VIRTUAL		(ATTR_ALL | ATTR_FLAGGED | ATTR_IMPORTANT)
/*
 * M_ENGINE_MAILBOX (many): one name of a LIST or STATUS with the STATUS that
 * belongs to it.  A name with a control octet or too long comes as name ""
 * and is counted as skipped by the worker's LOG.
 */
struct m_engine_mailbox {
	uint8_t		 delimiter;	/* 0: NIL */
	uint8_t		 has_status;
	uint32_t	 attrs;		/* ATTR_* */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;	/* 0: not told */
	uint32_t	 messages;
	uint64_t	 modseq;	/* HIGHESTMODSEQ; 0: none */
	uint64_t	 unseen;	/* UNSEEN, + 1; 0: not told */
	const char	*name;
};

/*
 * What a server's word on messages that vanished rests upon.
 *   TOLD	it names them, UID by UID
 *   COUNTED	it names none: EXISTS says whether there are some, a list which
 *   LISTED	nothing but lists
 *   NONE	asked for a UID that it can't have it has shown another message:
 *		nothing may be changed there, or be believed to be gone
 */
enum proof { PROOF_TOLD = 0, PROOF_COUNTED, PROOF_LISTED, PROOF_NONE };
/*
 * M_ENGINE_OPENED: id is the handle.  exists as it stands when all of the OPEN
 * has been answered.
 */
struct m_engine_opened {
	uint8_t		 proof;		/* enum proof */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;	/* 0: not told */
	uint8_t		 guessed;	/* it is behind what was listed */
	uint32_t	 exists;
	uint32_t	 recent;	/* \Recent; 0: none, or not told */
	uint64_t	 modseq;	/* HIGHESTMODSEQ of the SELECT; 0: NOMODSEQ */
	uint8_t		 readonly;
	uint8_t		 notsticky;	/* UIDNOTSTICKY (RFC 4315) */
	uint8_t		 perm_any;	/* PERMANENTFLAGS has \* */
	const char	*permflags;	/* the others, canonical */
	const char	*mailboxid;	/* RFC 8474; "" */
};

/* M_ENGINE_VANISHED: id is the handle. */
struct m_engine_vanished {
	uint8_t		 earlier;
	struct uidset	 set;
};

/*
 * M_ENGINE_FLAGS (many): a FETCH that was not for META or SEND, or one for them
 * that has a MODSEQ; id is the handle.
 */
struct m_engine_flags {
	uint32_t	 uid;
	uint64_t	 modseq;	/* 0: not told */
	uint8_t		 has_flags;	/* FLAGS_* */
	const char	*flags;		/* canonical */
};
/* None were told; these; these and others, for which there is no room. */
enum { FLAGS_NONE = 0, FLAGS_ALL, FLAGS_CUT };

#define DATE_NONE	INT64_MIN
/* M_ENGINE_META (many): id is the request's. */
struct m_engine_meta {
	uint32_t	 uid;
	uint64_t	 size;		/* RFC822.SIZE */
	uint64_t	 key;		/* of design.md; 0 if META_SIZE */
	int64_t		 date;		/* INTERNALDATE, seconds since 1970 UTC */
	uint8_t		 msgid;		/* has a Message-ID field */
	const char	*flags;
};

/* M_ENGINE_COPIED (many): id is the RECV's, or the MOVE's. */
struct m_engine_copied {
	uint32_t	 uid;		/* on the source */
	uint32_t	 newuid;	/* on the target; 0: no APPENDUID came */
	uint64_t	 size;		/* octets of the literal */
	uint64_t	 key;
	const char	*flags;		/* those that were sent */
	const char	*lost;		/* those that the target does not keep */
};

/*
 * Response codes of RFC 3501, 4469, 5530, 7162 that are acted upon; the last
 * four are our own, for refusals: the target's connection ended under the
 * message, the source did not give it, the source's connection ended under it,
 * or when it was only asked what message that is (META).
 */
enum resp_code { RC_NONE = 0, RC_OTHER, RC_ALREADYEXISTS, RC_NONEXISTENT,
	RC_TRYCREATE, RC_NOPERM, RC_CANNOT, RC_LIMIT, RC_TOOBIG, RC_OVERQUOTA,
	RC_UNAVAILABLE, RC_INUSE, RC_EXPUNGEISSUED, RC_CORRUPTION,
	RC_CONTACTADMIN, RC_SERVERBUG, RC_CLOSED_CONNECTION, RC_WITHHELD,
	RC_SOURCE_CLOSED, RC_META_CLOSED, RC_TAKEN, RC_MAX = RC_TAKEN,
	RC_SERVER_MAX = RC_SERVERBUG };
enum resp_status { ST_OK = 0, ST_NO, ST_BAD, ST_UNSENT, ST_MAX = ST_UNSENT };

/* M_ENGINE_REFUSED (many): one message that the target did not take. */
struct m_engine_refused {
	uint32_t	 uid;		/* on the source */
	uint8_t		 status;	/* ST_NO, ST_BAD, ST_UNSENT (above APPENDLIMIT) */
	uint8_t		 code;		/* enum resp_code */
	uint8_t		 had_date;
	uint8_t		 had_keywords;
	uint64_t	 size;		/* octets of the literal */
	const char	*text;		/* the server's words */
};

/* M_ENGINE_FAILED: a MULTIAPPEND that was refused as a whole. */
struct m_engine_failed {
	uint8_t		 status;
	uint8_t		 code;
	const char	*text;
	struct uidset	 set;		/* on the source */
};

/*
 * M_ENGINE_GONE: id is the SEND's.  These UIDs are no more: VANISHED named them
 * while the mailbox was selected.
 */
struct m_engine_gone {
	struct uidset	 set;
};

/*
 * M_ENGINE_WITHHELD: id is the SEND's.  The server did not give these messages:
 * no FETCH by the tagged answer, BODY[] NIL or without an octet, NO.  Whether
 * they are there a list has to say.
 */
struct m_engine_withheld {
	uint8_t		 status;	/* of the FETCH: ST_OK, ST_NO, ST_BAD */
	const char	*text;		/* the server's words; "" if ok */
	struct uidset	 set;
};

/*
 * M_ENGINE_DUE: id is a request's about a mailbox.  The connection is lost (FATAL
 * follows), and this UID (SEND, META; RECV: on the source) was the first that was
 * due; 0: no message was, and this was the oldest request.
 */
struct m_engine_due {
	uint32_t	 uid;
	uint8_t		 alone;		/* RECV: nothing else was under way */
};

/*
 * M_ENGINE_SPOILT: id is a handle.  The server sent something about this mailbox
 * that can't be read: what else it told may not be all.  "": it may have been a
 * change of flags, which is told again if HIGHESTMODSEQ is not moved on.
 */
struct m_engine_spoilt {
	const char	*text;		/* what was read, as far as it goes */
};

/* M_ENGINE_CHANGED: id is the WATCH's; "" if the server did not say where. */
struct m_engine_changed {
	const char	*mailbox;
};

/* M_ENGINE_STATS: of the connection so far. */
struct m_engine_stats {
	uint32_t	 turns;		/* the client spoke after the server */
	uint64_t	 sent;		/* octets, compressed, without TLS's own */
	uint64_t	 received;
};

/*
 * M_ENGINE_ALIVE: the worker owes an answer and has had nothing to say for
 * ALIVE_SECONDS (alive_ms()).  No id.
 */
struct m_engine_alive {
	uint8_t		 bridge;	/* enum alive_for */
};
/* Nothing of the bridge; octets from it, all this time; room in it, likewise. */
enum alive_for { ALIVE_SERVER = 0, ALIVE_EMPTY, ALIVE_FULL };
/*
 * In a session whose server may take "timeout" seconds for an answer: how often
 * a worker has something to say, in ms.  The engine waits for three times that.
 */
#define ALIVE_SECONDS	20
#define alive_ms(timeout)						\
	(((timeout) < ALIVE_SECONDS ? (timeout) : ALIVE_SECONDS) * 1000)

/* ---- to the engine, from the store ---- */

/* A watermark (design.md section 1). */
struct m_water {
	uint32_t	 uidvalidity;	/* 0: none */
	uint32_t	 uidnext;	/* U; 1 if none */
	uint32_t	 messages;
	uint64_t	 modseq;	/* 0: none */
	const char	*mailboxid;
	/* Of a mailbox without HIGHESTMODSEQ, else 0. */
	int64_t		 looked;	/* when all its flags were listed, and no
					   change was left undone; 0: never */
	uint64_t	 unseen;	/* UNSEEN then, + 1; 0: not told */
};

/*
 * M_ENGINE_SERVER: answer to LOAD, for each side of which the state knows: as
 * its server was last; a hint, since it may be another one now.
 */
struct m_engine_server {
	uint8_t		 side;
	uint8_t		 delimiter;	/* 0: NIL, or not told */
	uint8_t		 ask;		/* its LIST told no STATUS */
};

/* M_ENGINE_MBOX (many): answer to LOAD and IMPORT, one a mailbox. */
struct m_engine_mbox {
	uint32_t	 mailbox;	/* id */
	uint8_t		 adopt;
	uint8_t		 subscribed;	/* 0, 1; 2: not known */
	uint32_t	 rows;
	uint32_t	 use;		/* ATTR_* by which it has two names; 0 */
	uint32_t	 lost;		/* see LOST */
	uint8_t		 lost_side;
	uint32_t	 lost_uid;
	int64_t		 lost_next;
	const char	*name;		/* neutral */
	const char	*remote;	/* its name there, with NAME_SEP; "": it is
					   the same (mailbox-map) */
	struct m_water	 water[SIDES];
};

/* M_ENGINE_MARK: answer to LOAD; further parts of one mark follow it. */
struct m_engine_mark {
	uint32_t	 mailbox;
	uint8_t		 target;	/* enum side */
	uint8_t		 first;		/* the first part */
	uint32_t	 tries;		/* see MARKFAIL */
	uint32_t	 uidvalidity;	/* of the target */
	uint32_t	 uidnext;	/* T */
	int64_t		 time;		/* when it was made, seconds since 1970 */
	struct uidset	 set;		/* source UIDs */
};

/* M_ENGINE_REFUSAL (many): answer to LOAD. */
struct m_engine_refusal {
	uint32_t	 mailbox;
	uint8_t		 side;		/* where the message is */
	uint32_t	 uid;
	uint8_t		 code;		/* enum resp_code */
	uint32_t	 attempts;
	uint64_t	 size;
	uint64_t	 limit;		/* the target's APPENDLIMIT then; 0 unknown */
	int64_t		 next;		/* not to be offered before, since 1970 */
	const char	*text;
};

/* M_ENGINE_STOPPED: answer to LOAD; see M_STORE_STOPPED. */
struct m_engine_stopped {
	int64_t		 since;		/* the first run of those, since 1970 */
	const char	*name;		/* neutral */
	const char	*text;
};

/* M_ENGINE_INFO: answer to INFO; UIDS of what a rule left out come before it. */
struct m_engine_info {
	uint32_t	 rows;
	uint32_t	 max_local;	/* highest UID known in whatever way; 0 */
	uint32_t	 max_remote;
};

/* M_ENGINE_ROW (many): answer to ROWS, SAMPLE, DIFF, PAIR. */
struct m_engine_row {
	uint32_t	 local;
	uint32_t	 remote;
	uint64_t	 size;		/* 0: the two sides differ */
	uint64_t	 key;
	uint8_t		 gone;		/* DIFF: the side does not have it; PAIR:
					   see PAIR_REPAIR */
	const char	*flags;		/* the baseline */
	const char	*now;		/* DIFF: what the side has; else "" */
};

/* M_ENGINE_PAIRED (many): answer to PAIR: a pair whose flags differ. */
struct m_engine_paired {
	uint32_t	 uid[SIDES];
	uint8_t		 isrow;		/* REPAIR: it was one already */
	const char	*base;		/* REPAIR: its baseline, else "" */
	const char	*flags[SIDES];
};

/* ---- to the engine, from any worker ---- */

/*
 * M_ENGINE_UIDS: a part of a set; from a network worker the answer to SEARCH
 * and OPEN (what: OPEN_NEW or OPEN_ALL), from the store to PAIR (unpaired UIDs
 * of "side"; PAIR_DOUBT) and INFO (what a rule left out; "what" 1: those that are alone).
 */
struct m_engine_uids {
	uint8_t		 what;
	uint8_t		 side;
	struct uidset	 set;
};

/*
 * M_ENGINE_DONE: the request is answered.  Where a request is several commands
 * the worst answer counts.  modseq and exists are those of the mailbox that the
 * request's handle names, at its last tagged answer (modseq by RFC 7162 section
 * 6, 0: none); 0 elsewhere, but exists of LOAD with "look": the process that has
 * the state, 0 if none; of PAIR_ADOPT: messages that both sides have by their keys,
 * and are no pairs.  count: PAIR, the pairs made; LOAD, see DELETED; IMPORT,
 * the version of the database.
 */
struct m_engine_done {
	uint8_t		 status;	/* enum resp_status */
	uint8_t		 code;		/* enum resp_code */
	uint32_t	 exists;
	uint32_t	 count;
	uint64_t	 modseq;
	int64_t		 time;		/* LOAD: of the last good run; 0 none */
	const char	*text;		/* the server's words; "" if ok */
};

/* M_ENGINE_LOG */
struct m_engine_log {
	uint8_t		 level;		/* enum log_level */
	const char	*mailbox;	/* or "" */
	const char	*text;
};

/* M_ENGINE_FATAL: the worker's last message. */
struct m_engine_fatal {
	uint8_t		 status;	/* exit status, not 0 */
	uint8_t		 kind;		/* enum fault (json.h) */
	const char	*text;
};

/* ---- to the engine, from the supervisor ---- */

/*
 * How the session before this one has ended; unless well, be quiet until both
 * servers are back, or after AGAIN_LOST until it fails otherwise.
 */
enum again { AGAIN_NO = 0, AGAIN_LOST, AGAIN_FAILED };

/* What the run is for. */
enum run_command { CMD_SYNC = 0, CMD_CHECK, CMD_REPAIR, CMD_DELETE, CMD_RENAME,
	CMD_IMPORT, CMD_PROBE, CMD_STATUS };
#define TARGET_LOCAL	0x01
#define TARGET_REMOTE	0x02
#define TARGET_DATABASE	0x04
#define TARGET_ALL	0x07
#define PROP_NEW	0x01
#define PROP_FLAGS	0x02
#define PROP_DELETE	0x04
#define PROP_ALL	0x07
/* max-delete: what may be gone at once before nothing is deleted for it. */
enum delete_rule { DELETE_PERCENT = 0, DELETE_NUMBER, DELETE_ANY };
/* rename-mailbox: what is followed.  By default what a MAILBOXID proves. */
enum rename_rule { RENAME_PROVED = 0, RENAME_FOLLOW, RENAME_NEVER };
/* delete-mailbox: what is deleted on one side, being gone on the other. */
enum gone_rule { GONE_NEVER = 0, GONE_EMPTY, GONE_ALWAYS };
/* flags-interval: each run for small mailboxes, FLAGS_HOUR for others. */
#define FLAGS_AUTO	UINT32_MAX
#define FLAGS_SMALL	2000	/* messages: fewer are few */
#define FLAGS_HOUR	3600	/* seconds */
enum direction { DIR_BOTH = 0, DIR_TO_LOCAL, DIR_TO_REMOTE };
struct m_engine_setup {
	uint32_t	 version;
	uint8_t		 debug;
	uint8_t		 quiet;
	uint8_t		 dryrun;
	uint8_t		 allow_delete;
	uint8_t		 two_accounts;	/* they are, though they look alike */
	uint8_t		 retry;
	uint8_t		 selectors;	/* SEL_* */
	uint8_t		 slow[SIDES];	/* through a tunnel or proxy: 5 s, not 2 */
	uint8_t		 haslog;	/* FD_ENGINE_LOG is open */
	uint8_t		 command;	/* enum run_command */
	uint8_t		 target;	/* TARGET_*: DELETE, RENAME */
	uint8_t		 direction;	/* enum direction */
	uint8_t		 propagate;	/* PROP_* */
	uint8_t		 json;		/* the result on standard output */
	uint8_t		 watch;		/* stay, and look again */
	uint8_t		 notify;	/* --notify: both servers must have it */
	uint8_t		 service;	/* FD_ENGINE_NOTIFY is open */
	uint32_t	 watchdog;	/* ms: as notify_watchdog() */
	uint8_t		 again;		/* enum again */
	uint8_t		 peek;		/* --check: 1 + the side whose certificate
					   is to be looked at, and nothing else */
	uint8_t		 syslog;	/* also to syslog(3), opened before the lock */
	uint16_t	 columns;	/* of the terminal on stderr; 0: none */
	uint32_t	 interval;	/* seconds from one look to the next */
	uint64_t	 max_size;	/* octets; 0: no limit */
	uint32_t	 max_age;	/* seconds; 0: no limit */
	uint8_t		 delete_rule;	/* enum delete_rule */
	uint32_t	 max_delete;	/* percent, or messages */
	uint8_t		 rename_rule;	/* enum rename_rule */
	uint8_t		 gone_rule;	/* enum gone_rule */
	uint8_t		 map_special;	/* mailboxes of one use are a pair */
	uint8_t		 virtuals;	/* \All and the like are synchronised */
	uint32_t	 timeout[SIDES]; /* seconds that a server has to answer */
	uint32_t	 flags_interval[SIDES]; /* seconds; 0: each run; FLAGS_AUTO */
	uint32_t	 patience;	/* not 0: EX_SYNC_TEMP is for the log ... */
	uint8_t		 late;		/* ... unless that is over */
	uint8_t		 more;		/* if a server is too busy another session
					   follows: that is for the log alone */
	const char	*reference[SIDES];
	const char	*host[SIDES];	/* for messages */
	const char	*state;		/* the path of the state, for messages */
	const char	*prefix;	/* log-prefix */
	const char	*ignore;	/* ignore-mailbox, as POSIX ERE; "" none */
};
/*
 * M_ENGINE_ITEM: a list-mailbox PATTERN (NAME_SEP for the delimiter, wildcards
 * as they are); an ARG, that is a MAILBOX of the command line in the local
 * server's spelling (for DELETE and RENAME as well); an ADOPT mailbox, likewise;
 * a WATCH mailbox, likewise; of a pair of mailbox-map the name on either side, in
 * modified UTF-7, with that server's delimiter or NAME_SEP.
 */
enum item_kind { ITEM_PATTERN = 0, ITEM_ARG, ITEM_ADOPT, ITEM_WATCH,
	ITEM_MAP_LOCAL, ITEM_MAP_REMOTE };
struct m_engine_item {
	uint8_t		 kind;
	const char	*text;
};
/* M_ENGINE_GO: all set up; M_ENGINE_STOP, LOOK, STATUS: see design.md 2. */
struct m_engine_go { uint8_t unused; };
struct m_engine_stop { uint8_t unused; };
struct m_engine_look { uint8_t unused; };
struct m_engine_status { uint8_t unused; };
/* M_ENGINE_LOGFILE: the log in place of the old one, a descriptor. */
struct m_engine_logfile { uint8_t unused; };

#include "storemsg.h"
#include "codec.h"
#include "chan.h"

#endif /* PROTO_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The form of every message of proto.h: one array of fields a type, which
 * proto_encode() and proto_decode() walk, so that they can't differ.  For
 * proto.c and its test; what else speaks the protocol in a test gets it printed
 * by regress/lib/worker.c.
 *
 * On the wire, little-endian: u8, u16, u32, u64 and i64 as they are; strings as
 * u16 length, octets, NUL; sets as u32 count and a pair of u32 a range.
 */
#ifndef PROTO_TABLE_H
#define PROTO_TABLE_H

#include "json.h"
#include "log.h"
#include "proto.h"

enum proto_kind {
	F_END = 0,
	F_U8,
	F_U16,
	F_U32,
	F_U64,
	F_I64,
	F_STR,		/* any octet but NUL */
	F_SPELL,	/* a name as a server spells it: no control octets */
	F_NEUTRAL,	/* a neutral name: as F_SPELL, and NAME_SEP */
	F_FLAGS,	/* canonical */
	F_SET
};

struct proto_field {
	enum proto_kind	 kind;
	size_t		 off;
	uint64_t	 min;	/* numbers but i64: lowest and highest valid */
	uint64_t	 max;	/* strings: octets with the NUL; sets: ranges */
	const char	*name;
};

struct proto_form {
	const char			*name;
	const struct proto_field	*fields;
	size_t				 size;
	int				 flags;
};
#define P_MANY		0x01	/* one or more records in a frame */
#define P_FD		0x02	/* comes with a descriptor */
#define P_SECRET	0x04	/* wiped once used */

#define HOST_MAX	1024
#define SECRET_MAX	1024
#define WORDS_MAX	1024	/* user names, mechanisms, cipher lists ... */
#define SHORT_MAX	128	/* protocol versions and the like */
#define OBJECTID_MAX	256	/* RFC 8474 section 7: 255 at most */
#define PREFIX_MAX	256
#define PATH_LEN_MAX	4096
#define IDENTITY_MAX	3584	/* HOST_MAX, WORDS_MAX, NAME_MAX_LEN */

/* offsetof(), and the compiler checks the member's type. */
#define P_OFF(s, m, type)						\
	(offsetof(struct s, m) + 0 * sizeof(char[			\
	__builtin_types_compatible_p(__typeof__(((struct s *)0)->m),	\
	type) ? 1 : -1]))
#define P_STR(s, m)		P_OFF(s, m, const char *)

#define P_NUM(kind, type, s, m, lo, hi)					\
	{ (kind), P_OFF(s, m, type), (lo), (hi), #m }
#define P_TEXT(kind, s, m, n)	{ (kind), P_STR(s, m), 0, (n), #m }

#define U8(s, m, lo, hi)	P_NUM(F_U8, uint8_t, s, m, lo, hi)
#define BOOL(s, m)		U8(s, m, 0, 1)
#define U16(s, m)		P_NUM(F_U16, uint16_t, s, m, 0, UINT16_MAX)
#define U32(s, m)		P_NUM(F_U32, uint32_t, s, m, 0, UINT32_MAX)
#define UID(s, m)		P_NUM(F_U32, uint32_t, s, m, 1, UINT32_MAX)
#define U64(s, m)		P_NUM(F_U64, uint64_t, s, m, 0, UINT64_MAX)
#define I64(s, m)		P_NUM(F_I64, int64_t, s, m, 0, UINT64_MAX)
#define STR(s, m, n)		P_TEXT(F_STR, s, m, n)
#define SPELL(s, m)		P_TEXT(F_SPELL, s, m, NAME_MAX_LEN)
#define NEUTRAL(s, m)		P_TEXT(F_NEUTRAL, s, m, NAME_MAX_LEN)
#define FLAGS(s, m)		P_TEXT(F_FLAGS, s, m, FLAGS_MAX)
#define SET(s, m)		P_NUM(F_SET, struct uidset, s, m, 0, PROTO_SET_MAX)
#define WATER(s, m)							\
	U32(s, m.uidvalidity), U32(s, m.uidnext), U32(s, m.messages),	\
	U64(s, m.modseq), STR(s, m.mailboxid, OBJECTID_MAX),		\
	I64(s, m.looked), U64(s, m.unseen)
#define END			{ F_END, 0, 0, 0, NULL }

static const struct proto_field f_none[] = { END };

/* ---- to a network worker ---- */

static const struct proto_field f_net_setup[] = {
	U32(m_net_setup, version),
	U8(m_net_setup, side, LOCAL, REMOTE),
	U8(m_net_setup, type, CONN_TUNNEL, CONN_IMAPS),
	BOOL(m_net_setup, starttls),
	BOOL(m_net_setup, compress),
	BOOL(m_net_setup, pipeline),
	U8(m_net_setup, strategy, STRATEGY_AUTO, STRATEGY_PLAIN),
	U8(m_net_setup, debug, 0, 2),
	BOOL(m_net_setup, cleartext),
	BOOL(m_net_setup, has_password),
	U8(m_net_setup, check, CHECK_NOT, CHECK_PEEK),
	U32(m_net_setup, timeout),
	STR(m_net_setup, host, HOST_MAX),
	STR(m_net_setup, auth, WORDS_MAX),
	STR(m_net_setup, username, WORDS_MAX),
	STR(m_net_setup, authzid, WORDS_MAX),
	STR(m_net_setup, password, SECRET_MAX),
	BOOL(m_net_setup, ssl_verify),
	BOOL(m_net_setup, ssl_sni),
	U16(m_net_setup, ssl_min),
	U16(m_net_setup, ssl_max),
	STR(m_net_setup, ssl_hostname, HOST_MAX),
	STR(m_net_setup, ssl_ciphers, WORDS_MAX),
	STR(m_net_setup, ssl_ciphersuites, WORDS_MAX),
	STR(m_net_setup, ssl_fingerprint, TEXT_MAX),
	U8(m_net_setup, proxy, PROXY_NONE, PROXY_SOCKS5H),
	U16(m_net_setup, port),
	STR(m_net_setup, proxy_addr, HOST_MAX),
	STR(m_net_setup, proxy_user, WORDS_MAX),
	STR(m_net_setup, proxy_password, SECRET_MAX),
	END
};
static const struct proto_field f_net_fd[] = {
	U8(m_net_fd, what, NETFD_BRIDGE, NETFD_KEY),
	END
};
static const struct proto_field f_net_list[] = {
	U8(m_net_list, selectors, 0,
	    SEL_SUBSCRIBED | SEL_REMOTE | SEL_RECURSIVEMATCH),
	BOOL(m_net_list, compress_first),
	BOOL(m_net_list, last),
	SPELL(m_net_list, reference),
	END
};
static const struct proto_field f_net_pattern[] = {
	SPELL(m_net_pattern, pattern),
	END
};
static const struct proto_field f_net_known[] = {
	SPELL(m_net_known, mailbox),
	END
};
static const struct proto_field f_net_status[] = {
	SPELL(m_net_status, mailbox),
	END
};
static const struct proto_field f_net_watch[] = {
	BOOL(m_net_watch, notify),
	SPELL(m_net_watch, mailbox),
	END
};
static const struct proto_field f_engine_changed[] = {
	SPELL(m_engine_changed, mailbox),
	END
};
static const struct proto_field f_engine_stats[] = {
	U32(m_engine_stats, turns),
	U64(m_engine_stats, sent),
	U64(m_engine_stats, received),
	END
};
static const struct proto_field f_engine_offer[] = {
	U32(m_engine_offer, caps),
	BOOL(m_engine_offer, preauth),
	BOOL(m_engine_offer, verified),
	STR(m_engine_offer, tls, SHORT_MAX),
	STR(m_engine_offer, cipher, SHORT_MAX),
	STR(m_engine_offer, key, SHORT_MAX),
	STR(m_engine_offer, mechs, TEXT_MAX),
	END
};
static const struct proto_field f_engine_alive[] = {
	U8(m_engine_alive, bridge, ALIVE_SERVER, ALIVE_FULL),
	END
};
#define OPEN_MASK							\
	(OPEN_EXAMINE | OPEN_FULL | OPEN_NEW | OPEN_ALL)
static const struct proto_field f_net_open[] = {
	U8(m_net_open, what, 0, OPEN_MASK | OPEN_KEEP),
	U32(m_net_open, uidvalidity),
	U32(m_net_open, uidnext),
	U32(m_net_open, n),
	U64(m_net_open, modseq),
	SPELL(m_net_open, mailbox),
	END
};
static const struct proto_field f_net_meta[] = {
	U32(m_net_meta, handle),
	U8(m_net_meta, what, META_WHOLE, META_KEY),
	SET(m_net_meta, set),
	END
};
static const struct proto_field f_net_search[] = {
	U32(m_net_search, handle),
	SET(m_net_search, set),
	END
};
static const struct proto_field f_net_send[] = {
	U32(m_net_send, handle),
	U32(m_net_send, transfer),
	BOOL(m_net_send, last),
	SET(m_net_send, set),
	END
};
static const struct proto_field f_net_expect[] = {
	U32(m_net_expect, transfer),
	SET(m_net_expect, set),
	END
};
static const struct proto_field f_net_recv[] = {
	U32(m_net_recv, handle),
	U32(m_net_recv, transfer),
	U8(m_net_recv, mode, RECV_MULTI, RECV_ONE),
	BOOL(m_net_recv, nodate),
	BOOL(m_net_recv, nokeywords),
	BOOL(m_net_recv, perm_any),
	FLAGS(m_net_recv, permflags),
	SPELL(m_net_recv, mailbox),
	END
};
static const struct proto_field f_net_store[] = {
	U32(m_net_store, handle),
	BOOL(m_net_store, add),
	FLAGS(m_net_store, flags),
	SET(m_net_store, set),
	END
};
static const struct proto_field f_net_expunge[] = {
	U32(m_net_expunge, handle),
	U32(m_net_expunge, survivor),
	BOOL(m_net_expunge, last),
	SET(m_net_expunge, set),
	END
};
static const struct proto_field f_net_move[] = {
	U32(m_net_move, handle),
	BOOL(m_net_move, copy),
	U32(m_net_move, uidvalidity),
	SPELL(m_net_move, mailbox),
	SET(m_net_move, set),
	END
};
static const struct proto_field f_net_name[] = {
	U8(m_net_name, op, NAME_CREATE, NAME_UNSUBSCRIBE),
	SPELL(m_net_name, mailbox),
	SPELL(m_net_name, newname),
	END
};

/* ---- to the engine, from a network worker ---- */

static const struct proto_field f_engine_ready[] = {
	U32(m_engine_ready, caps),
	U8(m_engine_ready, strategy, STRATEGY_QRESYNC, STRATEGY_PLAIN),
	BOOL(m_engine_ready, forced),
	BOOL(m_engine_ready, preauth),
	U64(m_engine_ready, appendlimit),
	STR(m_engine_ready, tls, SHORT_MAX),
	STR(m_engine_ready, cipher, SHORT_MAX),
	STR(m_engine_ready, mechanism, SHORT_MAX),
	END
};
static const struct proto_field f_engine_cert[] = {
	BOOL(m_engine_cert, verified),
	U8(m_engine_cert, pinned, PINNED_NOT, PINNED_OTHER),
	I64(m_engine_cert, notbefore),
	I64(m_engine_cert, notafter),
	STR(m_engine_cert, subject, TEXT_MAX),
	STR(m_engine_cert, issuer, TEXT_MAX),
	STR(m_engine_cert, pin, WORDS_MAX),
	STR(m_engine_cert, tls, SHORT_MAX),
	STR(m_engine_cert, cipher, SHORT_MAX),
	END
};
static const struct proto_field f_engine_mailbox[] = {
	U8(m_engine_mailbox, delimiter, 0, 0x7e),
	BOOL(m_engine_mailbox, has_status),
	U32(m_engine_mailbox, attrs),
	U32(m_engine_mailbox, uidvalidity),
	U32(m_engine_mailbox, uidnext),
	U32(m_engine_mailbox, messages),
	U64(m_engine_mailbox, modseq),
	U64(m_engine_mailbox, unseen),
	SPELL(m_engine_mailbox, name),
	END
};
static const struct proto_field f_engine_opened[] = {
	U8(m_engine_opened, proof, PROOF_TOLD, PROOF_NONE),
	U32(m_engine_opened, uidvalidity),
	U32(m_engine_opened, uidnext),
	BOOL(m_engine_opened, guessed),
	U32(m_engine_opened, exists),
	U32(m_engine_opened, recent),
	U64(m_engine_opened, modseq),
	BOOL(m_engine_opened, readonly),
	BOOL(m_engine_opened, notsticky),
	BOOL(m_engine_opened, perm_any),
	FLAGS(m_engine_opened, permflags),
	STR(m_engine_opened, mailboxid, OBJECTID_MAX),
	END
};
static const struct proto_field f_engine_vanished[] = {
	BOOL(m_engine_vanished, earlier),
	SET(m_engine_vanished, set),
	END
};
static const struct proto_field f_engine_flags[] = {
	UID(m_engine_flags, uid),
	U64(m_engine_flags, modseq),
	U8(m_engine_flags, has_flags, FLAGS_NONE, FLAGS_CUT),
	FLAGS(m_engine_flags, flags),
	END
};
static const struct proto_field f_engine_meta[] = {
	UID(m_engine_meta, uid),
	U64(m_engine_meta, size),
	U64(m_engine_meta, key),
	I64(m_engine_meta, date),
	BOOL(m_engine_meta, msgid),
	FLAGS(m_engine_meta, flags),
	END
};
static const struct proto_field f_engine_copied[] = {
	UID(m_engine_copied, uid),
	U32(m_engine_copied, newuid),
	U64(m_engine_copied, size),
	U64(m_engine_copied, key),
	FLAGS(m_engine_copied, flags),
	FLAGS(m_engine_copied, lost),
	END
};
static const struct proto_field f_engine_refused[] = {
	UID(m_engine_refused, uid),
	U8(m_engine_refused, status, ST_NO, ST_MAX),
	U8(m_engine_refused, code, RC_NONE, RC_SERVER_MAX),
	BOOL(m_engine_refused, had_date),
	BOOL(m_engine_refused, had_keywords),
	U64(m_engine_refused, size),
	STR(m_engine_refused, text, TEXT_MAX),
	END
};
static const struct proto_field f_engine_failed[] = {
	U8(m_engine_failed, status, ST_NO, ST_MAX),
	U8(m_engine_failed, code, RC_NONE, RC_SERVER_MAX),
	STR(m_engine_failed, text, TEXT_MAX),
	SET(m_engine_failed, set),
	END
};
static const struct proto_field f_engine_gone[] = {
	SET(m_engine_gone, set),
	END
};

static const struct proto_field f_engine_withheld[] = {
	U8(m_engine_withheld, status, 0, ST_BAD),
	STR(m_engine_withheld, text, TEXT_MAX),
	SET(m_engine_withheld, set),
	END
};

static const struct proto_field f_engine_due[] = {
	U32(m_engine_due, uid),
	BOOL(m_engine_due, alone),
	END
};

static const struct proto_field f_engine_spoilt[] = {
	STR(m_engine_spoilt, text, TEXT_MAX),
	END
};

/* ---- to the engine, from the store ---- */

static const struct proto_field f_engine_server[] = {
	U8(m_engine_server, side, LOCAL, REMOTE),
	U8(m_engine_server, delimiter, 0, 0x7e),
	BOOL(m_engine_server, ask),
	END
};
static const struct proto_field f_engine_mbox[] = {
	U32(m_engine_mbox, mailbox),
	BOOL(m_engine_mbox, adopt),
	U8(m_engine_mbox, subscribed, 0, 2),
	U32(m_engine_mbox, rows),
	U32(m_engine_mbox, use),
	U32(m_engine_mbox, lost),
	U8(m_engine_mbox, lost_side, LOCAL, REMOTE),
	U32(m_engine_mbox, lost_uid),
	I64(m_engine_mbox, lost_next),
	NEUTRAL(m_engine_mbox, name),
	NEUTRAL(m_engine_mbox, remote),
	WATER(m_engine_mbox, water[LOCAL]),
	WATER(m_engine_mbox, water[REMOTE]),
	END
};
static const struct proto_field f_engine_mark[] = {
	U32(m_engine_mark, mailbox),
	U8(m_engine_mark, target, LOCAL, REMOTE),
	BOOL(m_engine_mark, first),
	U32(m_engine_mark, tries),
	U32(m_engine_mark, uidvalidity),
	U32(m_engine_mark, uidnext),
	I64(m_engine_mark, time),
	SET(m_engine_mark, set),
	END
};
static const struct proto_field f_engine_refusal[] = {
	U32(m_engine_refusal, mailbox),
	U8(m_engine_refusal, side, LOCAL, REMOTE),
	UID(m_engine_refusal, uid),
	U8(m_engine_refusal, code, RC_NONE, RC_MAX),
	U32(m_engine_refusal, attempts),
	U64(m_engine_refusal, size),
	U64(m_engine_refusal, limit),
	I64(m_engine_refusal, next),
	STR(m_engine_refusal, text, TEXT_MAX),
	END
};
static const struct proto_field f_engine_stopped[] = {
	I64(m_engine_stopped, since),
	NEUTRAL(m_engine_stopped, name),
	STR(m_engine_stopped, text, TEXT_MAX),
	END
};
static const struct proto_field f_engine_info[] = {
	U32(m_engine_info, rows),
	U32(m_engine_info, max_local),
	U32(m_engine_info, max_remote),
	END
};
static const struct proto_field f_engine_row[] = {
	UID(m_engine_row, local),
	UID(m_engine_row, remote),
	U64(m_engine_row, size),
	U64(m_engine_row, key),
	U8(m_engine_row, gone, 0, 4),
	FLAGS(m_engine_row, flags),
	FLAGS(m_engine_row, now),
	END
};
static const struct proto_field f_engine_paired[] = {
	UID(m_engine_paired, uid[LOCAL]),
	UID(m_engine_paired, uid[REMOTE]),
	BOOL(m_engine_paired, isrow),
	FLAGS(m_engine_paired, base),
	FLAGS(m_engine_paired, flags[LOCAL]),
	FLAGS(m_engine_paired, flags[REMOTE]),
	END
};

/* ---- to the engine, from any worker ---- */

static const struct proto_field f_engine_uids[] = {
	U8(m_engine_uids, what, 0, OPEN_MASK),
	U8(m_engine_uids, side, LOCAL, REMOTE),
	SET(m_engine_uids, set),
	END
};
static const struct proto_field f_engine_done[] = {
	U8(m_engine_done, status, ST_OK, ST_MAX),
	U8(m_engine_done, code, RC_NONE, RC_SERVER_MAX),
	U32(m_engine_done, exists),
	U32(m_engine_done, count),
	U64(m_engine_done, modseq),
	I64(m_engine_done, time),
	STR(m_engine_done, text, TEXT_MAX),
	END
};
static const struct proto_field f_engine_log[] = {
	U8(m_engine_log, level, LOG_LV_DEBUG, LOG_LV_MAX),
	STR(m_engine_log, mailbox, NAME_MAX_LEN),
	STR(m_engine_log, text, TEXT_MAX),
	END
};
static const struct proto_field f_engine_fatal[] = {
	U8(m_engine_fatal, status, 1, UINT8_MAX),
	U8(m_engine_fatal, kind, FAULT_NONE, FAULT_MAX),
	STR(m_engine_fatal, text, TEXT_MAX),
	END
};

/* ---- to the engine, from the supervisor ---- */

static const struct proto_field f_engine_setup[] = {
	U32(m_engine_setup, version),
	U8(m_engine_setup, debug, 0, 2),
	BOOL(m_engine_setup, quiet),
	BOOL(m_engine_setup, dryrun),
	BOOL(m_engine_setup, allow_delete),
	BOOL(m_engine_setup, two_accounts),
	BOOL(m_engine_setup, retry),
	U8(m_engine_setup, selectors, 0,
	    SEL_SUBSCRIBED | SEL_REMOTE | SEL_RECURSIVEMATCH),
	BOOL(m_engine_setup, slow[LOCAL]),
	BOOL(m_engine_setup, slow[REMOTE]),
	BOOL(m_engine_setup, haslog),
	U8(m_engine_setup, command, CMD_SYNC, CMD_STATUS),
	U8(m_engine_setup, target, 0, TARGET_ALL),
	U8(m_engine_setup, direction, DIR_BOTH, DIR_TO_REMOTE),
	U8(m_engine_setup, propagate, 0, PROP_ALL),
	BOOL(m_engine_setup, json),
	BOOL(m_engine_setup, watch),
	BOOL(m_engine_setup, notify),
	BOOL(m_engine_setup, service),
	U32(m_engine_setup, watchdog),
	U8(m_engine_setup, again, AGAIN_NO, AGAIN_FAILED),
	U8(m_engine_setup, peek, 0, 1 + REMOTE),
	BOOL(m_engine_setup, syslog),
	U16(m_engine_setup, columns),
	U32(m_engine_setup, interval),
	U64(m_engine_setup, max_size),
	U32(m_engine_setup, max_age),
	U8(m_engine_setup, delete_rule, DELETE_PERCENT, DELETE_ANY),
	U32(m_engine_setup, max_delete),
	U8(m_engine_setup, rename_rule, RENAME_PROVED, RENAME_NEVER),
	U8(m_engine_setup, gone_rule, GONE_NEVER, GONE_ALWAYS),
	BOOL(m_engine_setup, map_special),
	BOOL(m_engine_setup, virtuals),
	U32(m_engine_setup, timeout[LOCAL]),
	U32(m_engine_setup, timeout[REMOTE]),
	U32(m_engine_setup, flags_interval[LOCAL]),
	U32(m_engine_setup, flags_interval[REMOTE]),
	U32(m_engine_setup, patience),
	BOOL(m_engine_setup, late),
	BOOL(m_engine_setup, more),
	STR(m_engine_setup, reference[LOCAL], NAME_MAX_LEN),
	STR(m_engine_setup, reference[REMOTE], NAME_MAX_LEN),
	STR(m_engine_setup, host[LOCAL], HOST_MAX),
	STR(m_engine_setup, host[REMOTE], HOST_MAX),
	STR(m_engine_setup, state, PATH_LEN_MAX),
	STR(m_engine_setup, prefix, PREFIX_MAX),
	STR(m_engine_setup, ignore, TEXT_MAX),
	END
};
static const struct proto_field f_engine_item[] = {
	U8(m_engine_item, kind, ITEM_PATTERN, ITEM_MAP_REMOTE),
	STR(m_engine_item, text, NAME_MAX_LEN),
	END
};

/* ---- to the store ---- */

static const struct proto_field f_store_setup[] = {
	U32(m_store_setup, version),
	BOOL(m_store_setup, dryrun),
	BOOL(m_store_setup, look),
	U32(m_store_setup, patience),
	STR(m_store_setup, path, PATH_LEN_MAX),
	STR(m_store_setup, identity[LOCAL], IDENTITY_MAX),
	STR(m_store_setup, identity[REMOTE], IDENTITY_MAX),
	STR(m_store_setup, import, PATH_LEN_MAX),
	END
};
static const struct proto_field f_store_take[] = {
	U32(m_store_take, mailbox),
	U32(m_store_take, from),
	END
};
static const struct proto_field f_store_newbox[] = {
	U32(m_store_newbox, mailbox),
	BOOL(m_store_newbox, adopt),
	NEUTRAL(m_store_newbox, name),
	NEUTRAL(m_store_newbox, remote),
	U32(m_store_newbox, use),
	END
};
static const struct proto_field f_store_subscribed[] = {
	U32(m_store_subscribed, mailbox),
	U8(m_store_subscribed, subscribed, 0, 2),
	END
};
static const struct proto_field f_store_adopt[] = {
	U32(m_store_adopt, mailbox),
	BOOL(m_store_adopt, adopt),
	BOOL(m_store_adopt, drop),
	END
};
static const struct proto_field f_store_forget[] = {
	U32(m_store_forget, mailbox),
	END
};
static const struct proto_field f_store_rename[] = {
	U32(m_store_rename, mailbox),
	NEUTRAL(m_store_rename, name),
	NEUTRAL(m_store_rename, remote),
	END
};
static const struct proto_field f_store_info[] = {
	U32(m_store_info, mailbox),
	END
};
static const struct proto_field f_store_rows[] = {
	U32(m_store_rows, mailbox),
	U8(m_store_rows, side, LOCAL, REMOTE),
	SET(m_store_rows, set),
	END
};
static const struct proto_field f_store_sample[] = {
	U32(m_store_sample, mailbox),
	U8(m_store_sample, side, LOCAL, REMOTE),
	U32(m_store_sample, count),
	SET(m_store_sample, set),
	END
};
static const struct proto_field f_store_add[] = {
	U32(m_store_add, mailbox),
	UID(m_store_add, local),
	UID(m_store_add, remote),
	U64(m_store_add, size),
	U64(m_store_add, key),
	FLAGS(m_store_add, flags),
	END
};
static const struct proto_field f_store_base[] = {
	U32(m_store_base, mailbox),
	UID(m_store_base, local),
	FLAGS(m_store_base, flags),
	END
};
static const struct proto_field f_store_rebase[] = {
	U32(m_store_rebase, mailbox),
	U8(m_store_rebase, side, LOCAL, REMOTE),
	BOOL(m_store_rebase, add),
	FLAGS(m_store_rebase, flags),
	SET(m_store_rebase, set),
	END
};
static const struct proto_field f_store_drop[] = {
	U32(m_store_drop, mailbox),
	U8(m_store_drop, side, LOCAL, REMOTE),
	SET(m_store_drop, set),
	END
};
static const struct proto_field f_store_left[] = {
	U32(m_store_left, mailbox),
	U8(m_store_left, side, LOCAL, REMOTE),
	BOOL(m_store_left, alone),
	SET(m_store_left, set),
	END
};
static const struct proto_field f_store_unleft[] = {
	U32(m_store_unleft, mailbox),
	U8(m_store_unleft, side, LOCAL, REMOTE),
	SET(m_store_unleft, set),
	END
};
static const struct proto_field f_store_mark[] = {
	U32(m_store_mark, mailbox),
	U8(m_store_mark, target, LOCAL, REMOTE),
	BOOL(m_store_mark, first),
	U32(m_store_mark, uidvalidity),
	U32(m_store_mark, uidnext),
	STR(m_store_mark, mailboxid, OBJECTID_MAX),
	SET(m_store_mark, set),
	END
};
static const struct proto_field f_store_markfail[] = {
	U32(m_store_markfail, mailbox),
	U8(m_store_markfail, target, LOCAL, REMOTE),
	END
};
static const struct proto_field f_store_lost[] = {
	U32(m_store_lost, mailbox),
	U32(m_store_lost, count),
	U8(m_store_lost, side, LOCAL, REMOTE),
	U32(m_store_lost, uid),
	I64(m_store_lost, next),
	END
};
static const struct proto_field f_store_deleted[] = {
	U32(m_store_deleted, count),
	END
};
static const struct proto_field f_store_unmark[] = {
	U32(m_store_unmark, mailbox),
	U8(m_store_unmark, target, LOCAL, REMOTE),
	END
};
static const struct proto_field f_store_refuse[] = {
	U32(m_store_refuse, mailbox),
	U8(m_store_refuse, side, LOCAL, REMOTE),
	UID(m_store_refuse, uid),
	U8(m_store_refuse, code, RC_NONE, RC_MAX),
	U32(m_store_refuse, attempts),
	U64(m_store_refuse, size),
	U64(m_store_refuse, limit),
	I64(m_store_refuse, next),
	STR(m_store_refuse, text, TEXT_MAX),
	END
};
static const struct proto_field f_store_unrefuse[] = {
	U32(m_store_unrefuse, mailbox),
	U8(m_store_unrefuse, side, LOCAL, REMOTE),
	UID(m_store_unrefuse, uid),
	END
};
static const struct proto_field f_store_water[] = {
	U32(m_store_water, mailbox),
	U8(m_store_water, side, LOCAL, REMOTE),
	WATER(m_store_water, water),
	END
};
static const struct proto_field f_store_server[] = {
	U8(m_store_server, side, LOCAL, REMOTE),
	U8(m_store_server, delimiter, 0, 0x7e),
	BOOL(m_store_server, ask),
	END
};
static const struct proto_field f_store_seen[] = {
	U32(m_store_seen, mailbox),
	U8(m_store_seen, side, LOCAL, REMOTE),
	UID(m_store_seen, uid),
	U64(m_store_seen, size),
	U64(m_store_seen, key),
	I64(m_store_seen, date),
	BOOL(m_store_seen, msgid),
	FLAGS(m_store_seen, flags),
	BOOL(m_store_seen, brief),
	END
};
static const struct proto_field f_store_pair[] = {
	U32(m_store_pair, mailbox),
	U8(m_store_pair, mode, PAIR_ADOPT, PAIR_LEARN),
	END
};
static const struct proto_field f_store_diff[] = {
	U32(m_store_diff, mailbox),
	U8(m_store_diff, side, LOCAL, REMOTE),
	U32(m_store_diff, n),
	END
};
static const struct proto_field f_store_stopped[] = {
	NEUTRAL(m_store_stopped, name),
	STR(m_store_stopped, text, TEXT_MAX),
	END
};
static const struct proto_field f_store_unstopped[] = {
	NEUTRAL(m_store_unstopped, name),
	END
};

/* Every type: its name, its struct, its fields, P_*. */
#define PROTO_TYPES(X)							\
	X(NET_SETUP, net_setup, f_net_setup, P_SECRET)			\
	X(NET_FD, net_fd, f_net_fd, P_FD)				\
	X(NET_CONNECT, net_connect, f_none, P_FD)			\
	X(NET_PROBE, net_probe, f_none, 0)				\
	X(NET_LIST, net_list, f_net_list, 0)				\
	X(NET_PATTERN, net_pattern, f_net_pattern, P_MANY)		\
	X(NET_KNOWN, net_known, f_net_known, P_MANY)			\
	X(NET_STATUS, net_status, f_net_status, 0)			\
	X(NET_OPEN, net_open, f_net_open, 0)				\
	X(NET_META, net_meta, f_net_meta, 0)				\
	X(NET_SEARCH, net_search, f_net_search, 0)			\
	X(NET_SEND, net_send, f_net_send, 0)				\
	X(NET_EXPECT, net_expect, f_net_expect, 0)			\
	X(NET_RECV, net_recv, f_net_recv, 0)				\
	X(NET_STORE, net_store, f_net_store, 0)				\
	X(NET_EXPUNGE, net_expunge, f_net_expunge, 0)			\
	X(NET_MOVE, net_move, f_net_move, 0)				\
	X(NET_NAME, net_name, f_net_name, 0)				\
	X(NET_WATCH, net_watch, f_net_watch, 0)				\
	X(NET_UNWATCH, net_unwatch, f_none, 0)				\
	X(NET_STATS, net_stats, f_none, 0)				\
	X(NET_LOGOUT, net_logout, f_none, 0)				\
	X(ENGINE_READY, engine_ready, f_engine_ready, 0)		\
	X(ENGINE_CERT, engine_cert, f_engine_cert, 0)			\
	X(ENGINE_MAILBOX, engine_mailbox, f_engine_mailbox, P_MANY)	\
	X(ENGINE_OPENED, engine_opened, f_engine_opened, 0)		\
	X(ENGINE_VANISHED, engine_vanished, f_engine_vanished, 0)	\
	X(ENGINE_FLAGS, engine_flags, f_engine_flags, P_MANY)		\
	X(ENGINE_META, engine_meta, f_engine_meta, P_MANY)		\
	X(ENGINE_COPIED, engine_copied, f_engine_copied, P_MANY)	\
	X(ENGINE_REFUSED, engine_refused, f_engine_refused, P_MANY)	\
	X(ENGINE_FAILED, engine_failed, f_engine_failed, 0)		\
	X(ENGINE_GONE, engine_gone, f_engine_gone, 0)			\
	X(ENGINE_WITHHELD, engine_withheld, f_engine_withheld, 0)	\
	X(ENGINE_DUE, engine_due, f_engine_due, 0)			\
	X(ENGINE_SPOILT, engine_spoilt, f_engine_spoilt, 0)		\
	X(ENGINE_CHANGED, engine_changed, f_engine_changed, P_MANY)	\
	X(ENGINE_STATS, engine_stats, f_engine_stats, 0)		\
	X(ENGINE_OFFER, engine_offer, f_engine_offer, 0)		\
	X(ENGINE_ALIVE, engine_alive, f_engine_alive, 0)		\
	X(ENGINE_SERVER, engine_server, f_engine_server, 0)		\
	X(ENGINE_MBOX, engine_mbox, f_engine_mbox, P_MANY)		\
	X(ENGINE_MARK, engine_mark, f_engine_mark, 0)			\
	X(ENGINE_REFUSAL, engine_refusal, f_engine_refusal, P_MANY)	\
	X(ENGINE_STOPPED, engine_stopped, f_engine_stopped, 0)		\
	X(ENGINE_INFO, engine_info, f_engine_info, 0)			\
	X(ENGINE_ROW, engine_row, f_engine_row, P_MANY)			\
	X(ENGINE_PAIRED, engine_paired, f_engine_paired, P_MANY)	\
	X(ENGINE_UIDS, engine_uids, f_engine_uids, 0)			\
	X(ENGINE_DONE, engine_done, f_engine_done, 0)			\
	X(ENGINE_LOG, engine_log, f_engine_log, 0)			\
	X(ENGINE_FATAL, engine_fatal, f_engine_fatal, 0)		\
	X(ENGINE_SETUP, engine_setup, f_engine_setup, 0)		\
	X(ENGINE_ITEM, engine_item, f_engine_item, 0)			\
	X(ENGINE_GO, engine_go, f_none, 0)				\
	X(ENGINE_STOP, engine_stop, f_none, 0)				\
	X(ENGINE_LOOK, engine_look, f_none, 0)				\
	X(ENGINE_STATUS, engine_status, f_none, 0)			\
	X(ENGINE_LOGFILE, engine_logfile, f_none, P_FD)			\
	X(STORE_SETUP, store_setup, f_store_setup, 0)			\
	X(STORE_LOAD, store_load, f_none, 0)				\
	X(STORE_IMPORT, store_import, f_none, 0)			\
	X(STORE_TAKE, store_take, f_store_take, 0)			\
	X(STORE_TAKEN, store_taken, f_none, 0)				\
	X(STORE_NEWBOX, store_newbox, f_store_newbox, 0)		\
	X(STORE_SUBSCRIBED, store_subscribed, f_store_subscribed, 0)	\
	X(STORE_ADOPT, store_adopt, f_store_adopt, 0)			\
	X(STORE_FORGET, store_forget, f_store_forget, 0)		\
	X(STORE_RENAME, store_rename, f_store_rename, 0)		\
	X(STORE_INFO, store_info, f_store_info, 0)			\
	X(STORE_ROWS, store_rows, f_store_rows, 0)			\
	X(STORE_HAVE, store_rows, f_store_rows, 0)			\
	X(STORE_SAMPLE, store_sample, f_store_sample, 0)		\
	X(STORE_ADD, store_add, f_store_add, P_MANY)			\
	X(STORE_BASE, store_base, f_store_base, P_MANY)			\
	X(STORE_REBASE, store_rebase, f_store_rebase, 0)		\
	X(STORE_DROP, store_drop, f_store_drop, 0)			\
	X(STORE_MARK, store_mark, f_store_mark, 0)			\
	X(STORE_MARKFAIL, store_markfail, f_store_markfail, 0)		\
	X(STORE_LOST, store_lost, f_store_lost, 0)			\
	X(STORE_UNMARK, store_unmark, f_store_unmark, 0)		\
	X(STORE_REFUSE, store_refuse, f_store_refuse, 0)		\
	X(STORE_UNREFUSE, store_unrefuse, f_store_unrefuse, 0)		\
	X(STORE_LEFT, store_left, f_store_left, 0)			\
	X(STORE_UNLEFT, store_unleft, f_store_unleft, 0)		\
	X(STORE_WATER, store_water, f_store_water, 0)			\
	X(STORE_SEEN, store_seen, f_store_seen, P_MANY)			\
	X(STORE_PAIR, store_pair, f_store_pair, 0)			\
	X(STORE_DIFF, store_diff, f_store_diff, 0)			\
	X(STORE_SERVER, store_server, f_store_server, 0)		\
	X(STORE_SYNCED, store_synced, f_none, 0)			\
	X(STORE_DELETED, store_deleted, f_store_deleted, 0)		\
	X(STORE_STOPPED, store_stopped, f_store_stopped, 0)		\
	X(STORE_UNSTOPPED, store_unstopped, f_store_unstopped, 0)	\
	X(STORE_COMMIT, store_commit, f_none, 0)			\
	X(STORE_CLOSE, store_close, f_none, 0)

#define P_FORM(name, type, fields, flags)				\
	[M_##name] = { #name, (fields), sizeof(struct m_##type), (flags) },
static const struct proto_form proto_forms[] = { PROTO_TYPES(P_FORM) };

/* Each type once (the compiler sees to that) and as many as there are: all. */
#define P_ONE(name, type, fields, flags)	+ 1
_Static_assert(1 PROTO_TYPES(P_ONE) == M_MAX, "a message without a form");
#define P_FITS(name, type, fields, flags)				\
	&& sizeof(struct m_##type) <= sizeof(union proto_rec)
_Static_assert(1 PROTO_TYPES(P_FITS), "a struct that union proto_rec lacks");

#endif /* PROTO_TABLE_H */

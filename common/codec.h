/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Records to octets and back, for every message of proto.h, which includes this.
 */
#ifndef CODEC_H
#define CODEC_H

#include "buf.h"

/* Any record, decoded.  Strings point into the frame; sets are allocated. */
union proto_rec {
	struct m_net_setup	 net_setup;
	struct m_engine_setup	 engine_setup;
	struct m_engine_mbox	 engine_mbox;
	struct m_engine_mark	 engine_mark;
	struct m_engine_row	 engine_row;
	struct m_engine_paired	 engine_paired;
	struct m_store_setup	 store_setup;
	struct m_store_mark	 store_mark;
	struct m_store_refuse	 store_refuse;
	struct m_store_water	 store_water;
	struct m_store_seen	 store_seen;
	struct m_engine_mailbox	 engine_mailbox;
	struct m_engine_opened	 engine_opened;
	struct m_engine_meta	 engine_meta;
	struct m_engine_copied	 engine_copied;
	uint8_t			 room[512];
};

/* "NET_OPEN" and so on; "unknown" out of range. */
const char	*proto_name(uint32_t type);
/*
 * Append the record to the buffer.  Returns 0; -1 if it is not of the type's
 * form (a string too long, a set above PROTO_SET_MAX ranges ...): our own fault.
 */
int		 proto_encode(struct buf *, uint32_t type, const void *rec);
/*
 * Decode the record at *data (*len octets left) and advance past it.  Returns 0
 * or -1.  proto_free() frees its sets, after success only.
 */
int		 proto_decode(uint32_t type, const uint8_t **data, size_t *len,
		    union proto_rec *rec);
void		 proto_free(uint32_t type, union proto_rec *rec);

/*
 * The most ranges a message may carry; larger sets go as several messages.
 * proto_set_part() takes blocks from *i on, at most PROTO_SET_MAX ranges, and
 * returns 1 while there are some: "part" borrows from "set", must not be freed,
 * and "set" must not be changed meanwhile.
 */
#define PROTO_SET_MAX	1024
int		 proto_set_part(const struct uidset *set, size_t *i,
		    struct uidset *part);

#endif /* CODEC_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Octets to and from one server, without blocking: plain, then TLS (libtls),
 * then DEFLATE (RFC 4978) inside it.  The peer is not trusted: what inflates is
 * bounded in memory, and a ratio that no mail has ends the session.
 */
#ifndef STREAM_H
#define STREAM_H

#include "proto.h"

struct stream;

/*
 * fd must be connected; it is made non-blocking and is the stream's.  The process
 * must ignore SIGPIPE.
 */
struct stream	*stream_new(int fd);
void		 stream_free(struct stream *);
int		 stream_fd(const struct stream *);

/*
 * Prepare TLS before the sandbox: everything that needs memory or a file.  The
 * descriptors (or -1) are read to their end and closed.  ca -1 with ssl_verify
 * set is an error: no certificate would be acceptable.  A fingerprint decides
 * alone without ssl_verify, else both must hold.  Returns 0, or -1 with the
 * reason in stream_error() (e.g. ciphersuites that libtls can't set).
 */
int		 stream_tls_prepare(struct stream *, const struct m_net_setup *,
		    int ca, int cert, int key);
/*
 * Start TLS; octets already read stay unread: the caller has made sure that
 * there are none.  Then call stream_handshake() whenever the descriptor is
 * ready until it does not return 0: 1 done and the peer is the one wanted
 * (chain, name, time, fingerprint, protocol as set), -1 failed; stream_error()
 * says which check, for which host.
 */
int		 stream_tls_start(struct stream *, const struct m_net_setup *);
int		 stream_handshake(struct stream *);
/* "TLSv1.3", the cipher, "sha256$hex" of the peer's key; "" without TLS. */
const char	*stream_tls_version(const struct stream *);
const char	*stream_tls_cipher(const struct stream *);
/*
 * For --check: what the certificate says, also of one that was refused, as long as
 * the stream lives.  -1: there is none.
 */
int		 stream_tls_cert(struct stream *, struct m_engine_cert *);
/* The handshake has failed because of the certificate. */
int		 stream_distrusted(const struct stream *);
const char	*stream_tls_fingerprint(const struct stream *);
/*
 * The peer's certificate as DER (static until the stream ends), for channel
 * binding tls-server-end-point (RFC 5929 section 4); NULL without TLS.
 */
const uint8_t	*stream_tls_peer(const struct stream *, size_t *len);

/*
 * From now on both directions are DEFLATE; how hard it is compressed is level.h's
 * to say, by how the socket takes it.  Octets still in "in" that came
 * behind the OK are moved into the decompressor.  Returns 0 or -1.
 */
int		 stream_compress(struct stream *, struct buf *in);

/*
 * Read into "in", at most "max" octets.  Returns the octets added; 0 if there
 * are none now; STREAM_EOF; STREAM_ERROR with stream_error() set and none added.
 */
#define STREAM_EOF	(-1)
#define STREAM_ERROR	(-2)
ssize_t		 stream_read(struct stream *, struct buf *in, size_t max);
/*
 * Take octets from "out" (drained as they are taken) and write what the socket
 * takes; with "flush" the compressor is flushed once "out" is empty, so that the
 * server can act on it: set it at command boundaries.  Behind 64 KiB it is
 * flushed then in any case.  Returns 0 or
 * STREAM_ERROR (EPIPE and ECONNRESET included).
 */
int		 stream_write(struct stream *, struct buf *out, int flush);
/*
 * Under DEFLATE, with nothing unsent: queue an empty stored block (RFC 1951
 * section 3.2.4), five octets that inflate to nothing.  Returns 1, or 0 if that
 * can't be done now; stream_write() sends it.
 */
int		 stream_nudge(struct stream *);
/* Octets taken but not yet accepted by the socket. */
size_t		 stream_unsent(const struct stream *);
/*
 * The poll(2) events to wait for when the caller wants to read and has, or has
 * not, something to write; and whether octets can be read without any event
 * (they sit in libtls or zlib).  Under TLS reading may wait for POLLOUT and the
 * reverse: on any event try all that is wanted.
 */
short		 stream_events(const struct stream *, int want_read, int want_write);
int		 stream_readable(const struct stream *);
/*
 * Octets of both directions so far as they went to and came from the socket,
 * compressed if it is so, but without what TLS adds to them (libtls does not
 * tell that).
 */
void		 stream_stats(const struct stream *, uint64_t *sent,
		    uint64_t *received);
/* An orderly end: close_notify, and what was written arrives (sandbox_close()). */
void		 stream_close(struct stream *);
const char	*stream_error(const struct stream *);

#endif /* STREAM_H */

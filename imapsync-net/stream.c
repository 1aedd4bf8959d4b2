/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <tls.h>
#include <zlib.h>

#include "clock.h"
#include "level.h"
#include "log.h"
#include "pin.h"
#include "sandbox.h"
#include "stream.h"
#include "tlsconf.h"

#define CHUNK		16384		/* octets asked for at once */
#define PEND_MAX	65536		/* transformed octets held, at most */
#define CLOSE_MS	1000		/* see sandbox_close() */
#define IDLE_READS	16		/* in a row that inflate to nothing */

#define HELD_MAX	65536		/* octets in zlib without a flush */
#define STORED_HEAD	5		/* octets ahead of a stored block */

/*
 * DEFLATE can't do better than about 1032:1.  What comes this close to it over
 * so many octets is not mail.
 */
#define BOMB_RATIO	1000
#define BOMB_OCTETS	(64 * 1024 * 1024)

enum tls_state { TLS_OFF = 0, TLS_PREPARED, TLS_SHAKING, TLS_UP };

struct stream {
	int			 fd;
	enum tls_state		 state;
	struct tls		*tls;
	short			 rd_want;	/* what tls_read() waits for */
	short			 wr_want;	/* tls_write(), handshake */
	int			 more;		/* libtls may hold octets */
	int			 first;		/* octet under TLS, or -1 */
	int			 ended;		/* the socket is at its end */
	int			 verify;
	int			 peek;		/* any certificate will do */
	int			 verified;	/* chain, time and name */
	enum pinned		 pinned;
	int			 distrusted;	/* it failed for that */
	char			*host;		/* the name to verify */
	char			*pins;
	struct buf		 peer;		/* certificate, DER */
	char			 pin[PIN_SHOW_MAX];

	int			 deflate;	/* both directions */
	z_stream		 zin;
	z_stream		 zout;
	struct level		 level;		/* what is wanted of it, ... */
	int			 zlevel;	/* ... what is done */
	int			 zmore;		/* zin holds output */
	int			 zend;		/* zin is at its end */
	int			 zdirty;	/* zout holds input */
	size_t			 zheld;		/* octets of that, at most */
	int			 zflush;	/* a flush of zout has begun */
	int			 flush;		/* the caller wants one */
	uint64_t		 bomb_in;
	uint64_t		 bomb_out;
	struct buf		 raw;		/* read, not yet inflated */
	uint64_t		 sent;		/* see stream_stats() */
	uint64_t		 received;

	uint8_t			*pend;		/* not yet written */
	size_t			 pendoff;
	size_t			 pendlen;

	int			 dead;		/* stream_read() returns it */
	int			 wdead;		/* writing has failed */
	char			 error[512];
};

static void
stream_fail(struct stream *s, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
stream_fail(struct stream *s, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
}

struct stream *
stream_new(int fd)
{
	struct stream	*s;
	int		 flags;

	if ((flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		fatal("can't make the server's descriptor non-blocking");
	s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	s->first = -1;
	s->rd_want = POLLIN;
	s->wr_want = POLLOUT;
	s->host = xstrdup("");
	s->pins = xstrdup("");
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->fd != -1)
		close(s->fd);
	tls_free(s->tls);
	if (s->deflate) {
		inflateEnd(&s->zin);
		deflateEnd(&s->zout);
	}
	buf_free(&s->raw);
	buf_free(&s->peer);
	if (s->pend != NULL)
		freezero(s->pend, PEND_MAX);
	free(s->host);
	free(s->pins);
	free(s);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

const char *
stream_error(const struct stream *s)
{
	return s->error;
}

/* ---- TLS ---- */

/* Octets for libtls, which tells neither the first nor the end of them. */
static ssize_t
tls_in(struct tls *tls, void *buf, size_t len, void *arg)
{
	struct stream	*s = arg;
	ssize_t		 n;

	(void)tls;
	do
		n = read(s->fd, buf, len);
	while (n == -1 && errno == EINTR);
	if (n > 0 && s->first == -1)
		s->first = *(uint8_t *)buf;
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TLS_WANT_POLLIN;
	if (n <= 0)
		s->ended = 1;
	return n;
}

static ssize_t
tls_out(struct tls *tls, const void *buf, size_t len, void *arg)
{
	struct stream	*s = arg;
	ssize_t		 n;

	(void)tls;
	do
		n = write(s->fd, buf, len);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return TLS_WANT_POLLOUT;
	if (n == -1)
		s->ended = 1;
	return n;
}

int
stream_tls_prepare(struct stream *s, const struct m_net_setup *su, int ca,
    int cert, int key)
{
	struct tlsconf_io	 io = { tls_in, tls_out, s };

	free(s->host);
	free(s->pins);
	s->host = tlsconf_name(su->host);
	s->pins = xstrdup(su->ssl_fingerprint);
	s->peek = su->check == CHECK_PEEK;
	s->verify = su->ssl_verify && !s->peek;
	s->tls = tlsconf_client(su, &io, ca, cert, key, s->error,
	    sizeof(s->error));
	if (s->tls == NULL)
		return -1;
	s->state = TLS_PREPARED;
	return 0;
}

int
stream_tls_start(struct stream *s, const struct m_net_setup *su)
{
	if (s->state != TLS_PREPARED) {
		stream_fail(s, "TLS with %s is not prepared", su->host);
		return -1;
	}
	s->pend = xmalloc(PEND_MAX);
	s->state = TLS_SHAKING;
	return 0;
}

/*
 * A connection that ended without an orderly end of TLS is a lost server like
 * any other.
 */
static int
tls_lost(const struct stream *s, const char *why)
{
	return s->ended || strcasestr(why, "unexpected EOF") != NULL;
}

/* Records of TLS begin with 20 to 23 (RFC 8446 section 5.1). */
static int
tls_spoken(const struct stream *s)
{
	return s->first == -1 || (s->first >= 20 && s->first <= 23);
}

/*
 * What libtls says is its library's words for the protocol's expert; say which
 * check failed and what to do.
 */
static void
handshake_failed(struct stream *s)
{
	static const struct {
		const char	*in;
		const char	*say;
		int		 distrusted;
	} texts[] = {
		{ "has expired", "the certificate has expired", 1 },
		{ "is not yet valid", "the certificate is not yet valid: "
		    "is the clock right?", 1 },
		{ "certificate verification failed", "the certificate's chain "
		    "is not trusted: SSL_CAfile must hold its authority, or "
		    "pin it with SSL_fingerprint and SSL_verify = NO", 1 },
		{ "protocol version", "no TLS version in common: see "
		    "SSL_protocol_min and SSL_protocol_max", 0 },
		{ "unsupported protocol", "no TLS version in common: see "
		    "SSL_protocol_min and SSL_protocol_max", 0 },
		{ "no protocols available", "no TLS version in common: see "
		    "SSL_protocol_min and SSL_protocol_max", 0 },
		{ "handshake failure", "the server refuses our TLS versions, "
		    "ciphers or certificate", 0 },
		{ "certificate required", "the server wants a certificate of "
		    "ours: see SSL_cert and SSL_key", 0 },
	};
	const char *why = tls_error(s->tls), *say = NULL;
	size_t i;

	if (why == NULL)
		why = "unknown reason";
	/* LibreSSL has the same words for this and for its version. */
	if (!tls_spoken(s))
		say = "the server does not speak TLS here: check type, port "
		    "and STARTTLS";
	for (i = 0; say == NULL && i < nitems(texts); i++)
		if (strstr(why, texts[i].in) != NULL) {
			say = texts[i].say;
			s->distrusted = texts[i].distrusted;
		}
	if (say == NULL && tls_lost(s, why))
		say = "the server closed the connection in the handshake: if "
		    "it always does see SSL_protocol_min and SSL_protocol_max";
	if (say == NULL)
		say = "the handshake fails";
	stream_fail(s, "TLS with %s: %s (%s)", s->host, say, why);
}

/* Is the peer the one wanted?  The chain and the time are libtls's part. */
static int
peer_check(struct stream *s)
{
	const uint8_t	*pem, *spki;
	size_t		 len;

	pem = tls_peer_cert_chain_pem(s->tls, &len);
	if (!tls_peer_cert_provided(s->tls) || pem == NULL ||
	    pin_pem(&s->peer, (const char *)pem, len) == -1 ||
	    pin_spki(buf_ptr(&s->peer), s->peer.len, &spki, &len) == -1) {
		buf_clear(&s->peer);
		stream_fail(s, "TLS with %s: the server shows no certificate "
		    "that can be read", s->host);
		return -1;
	}
	pin_show(s->pin, spki, len);
	if (s->pins[strspn(s->pins, " \t")] != '\0')
		s->pinned = pin_match(s->pins, spki, len) ? PINNED_YES :
		    PINNED_OTHER;
	if (s->pinned == PINNED_OTHER && !s->peek) {
		s->distrusted = 1;
		stream_fail(s, "TLS with %s: the server's key is not one of "
		    "SSL_fingerprint: it has %s", s->host, s->pin);
		return -1;
	}
	if (s->verify && !tls_peer_cert_contains_name(s->tls, s->host)) {
		s->distrusted = 1;
		stream_fail(s, "TLS with %s: the certificate does not hold the "
		    "name %s: is \"host\" right?  (the key is %s)", s->host,
		    s->host, s->pin);
		return -1;
	}
	s->verified = s->verify;
	return 0;
}

int
stream_handshake(struct stream *s)
{
	if (s->state == TLS_UP)
		return 1;
	if (s->state != TLS_SHAKING) {
		stream_fail(s, "TLS is not prepared");
		return -1;
	}
	switch (tls_handshake(s->tls)) {
	case TLS_WANT_POLLIN:
		s->wr_want = POLLIN;
		return 0;
	case TLS_WANT_POLLOUT:
		s->wr_want = POLLOUT;
		return 0;
	case 0:
		break;
	default:
		handshake_failed(s);
		s->state = TLS_OFF;
		s->dead = s->wdead = STREAM_ERROR;
		return -1;
	}
	s->wr_want = POLLOUT;
	if (peer_check(s) == -1) {
		/* Nothing may pass any more. */
		s->state = TLS_OFF;
		s->dead = s->wdead = STREAM_ERROR;
		return -1;
	}
	s->state = TLS_UP;
	s->more = 1;
	return 1;
}

const char *
stream_tls_version(const struct stream *s)
{
	const char	*v = NULL;

	if (s->state == TLS_UP)
		v = tls_conn_version(s->tls);
	return v == NULL ? "" : v;
}

const char *
stream_tls_cipher(const struct stream *s)
{
	const char	*c = NULL;

	if (s->state == TLS_UP)
		c = tls_conn_cipher(s->tls);
	return c == NULL ? "" : c;
}

const char *
stream_tls_fingerprint(const struct stream *s)
{
	return s->pin;
}

int
stream_distrusted(const struct stream *s)
{
	return s->distrusted;
}

int
stream_tls_cert(struct stream *s, struct m_engine_cert *m)
{
	const char	*text;

	if (s->peer.len == 0)
		return -1;
	memset(m, 0, sizeof(*m));
	m->verified = s->verified;
	m->pinned = s->pinned;
	m->notbefore = tls_peer_cert_notbefore(s->tls);
	m->notafter = tls_peer_cert_notafter(s->tls);
	m->subject = (text = tls_peer_cert_subject(s->tls)) != NULL ? text : "";
	m->issuer = (text = tls_peer_cert_issuer(s->tls)) != NULL ? text : "";
	m->pin = s->pin;
	m->tls = (text = tls_conn_version(s->tls)) != NULL ? text : "";
	m->cipher = (text = tls_conn_cipher(s->tls)) != NULL ? text : "";
	return 0;
}

const uint8_t *
stream_tls_peer(const struct stream *s, size_t *len)
{
	if (s->state != TLS_UP)
		return NULL;
	*len = s->peer.len;
	return buf_ptr(&s->peer);
}

int
stream_compress(struct stream *s, struct buf *in)
{
	if (s->deflate) {
		stream_fail(s, "the connection is compressed already");
		return -1;
	}
	if (inflateInit2(&s->zin, -MAX_WBITS) != Z_OK) {
		stream_fail(s, "zlib can't be initialised");
		return -1;
	}
	if (deflateInit2(&s->zout, LEVEL_BEST, Z_DEFLATED, -MAX_WBITS, 8,
	    Z_DEFAULT_STRATEGY) != Z_OK) {
		inflateEnd(&s->zin);
		stream_fail(s, "zlib can't be initialised");
		return -1;
	}
	level_init(&s->level, clock_us());
	s->zlevel = LEVEL_BEST;
	if (in->len > 0)
		buf_add(&s->raw, buf_ptr(in), in->len);
	buf_clear(in);
	if (s->pend == NULL)
		s->pend = xmalloc(PEND_MAX);
	s->deflate = 1;
	return 0;
}

static ssize_t
tls_take(struct stream *s, void *dst, size_t max)
{
	const char	*why;
	ssize_t		 n;

	n = tls_read(s->tls, dst, max);
	s->more = n > 0;
	switch (n) {
	case TLS_WANT_POLLIN:
		s->rd_want = POLLIN;
		return 0;
	case TLS_WANT_POLLOUT:
		s->rd_want = POLLOUT;
		return 0;
	case 0:
		stream_fail(s, "the server closed the connection");
		return STREAM_EOF;
	case -1:
		if ((why = tls_error(s->tls)) == NULL)
			why = "unknown reason";
		if (tls_lost(s, why)) {
			stream_fail(s, "the connection was lost (%s)", why);
			return STREAM_EOF;
		}
		stream_fail(s, "TLS: %s", why);
		return STREAM_ERROR;
	}
	s->rd_want = POLLIN;
	s->received += n;
	return n;
}

/* Octets as the server sent them, TLS taken off: as stream_read(). */
static ssize_t
raw_read(struct stream *s, void *dst, size_t max)
{
	ssize_t	 n;

	if (s->state == TLS_UP)
		return tls_take(s, dst, max);
	do
		n = read(s->fd, dst, max);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		s->received += n;
		return n;
	}
	if (n == 0) {
		stream_fail(s, "the server closed the connection");
		return STREAM_EOF;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	stream_fail(s, "the connection was lost (%s)", strerror(errno));
	return STREAM_EOF;
}

static int
is_bomb(struct stream *s, size_t used, size_t made)
{
	int	 bomb;

	s->bomb_in += used;
	s->bomb_out += made;
	if (s->bomb_out < BOMB_OCTETS)
		return 0;
	bomb = s->bomb_out / BOMB_RATIO >= s->bomb_in;
	s->bomb_in = s->bomb_out = 0;
	return bomb;
}

/* Inflate what is in s->raw, at most max octets: returns them, or an error. */
static ssize_t
inflate_raw(struct stream *s, struct buf *in, size_t max)
{
	z_stream	*z = &s->zin;
	size_t		 used, made;
	int		 r;

	if (max > 2 * CHUNK)
		max = 2 * CHUNK;
	z->next_out = buf_room(in, max);
	z->avail_out = max;
	used = s->raw.len > PEND_MAX ? PEND_MAX : s->raw.len;
	z->next_in = used > 0 ? buf_ptr(&s->raw) : NULL;
	z->avail_in = used;
	r = inflate(z, Z_SYNC_FLUSH);
	used -= z->avail_in;
	made = max - z->avail_out;
	buf_drain(&s->raw, used);
	s->zmore = z->avail_out == 0;
	if (r == Z_STREAM_END) {
		s->zend = 1;
		s->zmore = 0;
	} else if (r != Z_OK && r != Z_BUF_ERROR) {
		stream_fail(s, "the server's compressed data is damaged (%s)",
		    z->msg == NULL ? "no dictionary was agreed on" : z->msg);
		return STREAM_ERROR;
	}
	if (is_bomb(s, used, made)) {
		stream_fail(s, "decompression bomb: more than %d octets for "
		    "each one that the server sent", BOMB_RATIO);
		return STREAM_ERROR;
	}
	buf_wrote(in, made);
	return made;
}

/* As stream_read(), of what inflates. */
static ssize_t
zread(struct stream *s, struct buf *in, size_t max)
{
	ssize_t	 n;
	int	 i;

	for (i = 0; i < IDLE_READS; i++) {
		if (s->raw.len == 0 && !s->zmore) {
			n = raw_read(s, buf_room(&s->raw, CHUNK), CHUNK);
			if (n <= 0)
				return n;
			buf_wrote(&s->raw, n);
		}
		if (s->zend) {
			stream_fail(s, "the server goes on behind the end of "
			    "its compressed data");
			return STREAM_ERROR;
		}
		if ((n = inflate_raw(s, in, max)) != 0)
			return n;
	}
	/* The rest at the next call: other work must not wait for this. */
	return 0;
}

ssize_t
stream_read(struct stream *s, struct buf *in, size_t max)
{
	size_t	 got = 0, want;
	ssize_t	 n = 0;

	while (!s->dead && got < max) {
		if (s->deflate)
			n = zread(s, in, max - got);
		else {
			want = max - got;
			if (s->state == TLS_UP && want > CHUNK)
				want = CHUNK;
			n = raw_read(s, buf_room(in, want), want);
			if (n > 0)
				buf_wrote(in, n);
		}
		if (n < 0)
			s->dead = n;
		if (n <= 0)
			break;
		got += n;
		if (!s->deflate && s->state != TLS_UP)
			break;
	}
	if (got > 0)
		return got;
	return s->dead;
}

/* zlib has no room for this call's: it goes on at the next. */
static int
zresult(struct stream *s, int r)
{
	if (r == Z_OK || r == Z_BUF_ERROR)
		return 0;
	stream_fail(s, "zlib can't compress");
	return -1;
}

/*
 * From here on another level.  All before is flushed: this is an octet's
 * boundary, where other blocks may follow, as long as they refer to nothing
 * before them; so zlib begins anew, and need not have seen the stored ones.
 */
static int
zchange(struct stream *s, int level)
{
	s->zlevel = level;
	if (level == LEVEL_NONE)
		return 0;
	if (deflateReset(&s->zout) != Z_OK)
		return zresult(s, Z_STREAM_ERROR);
	/* With Z_BUF_ERROR it has its old level, which is as right. */
	return zresult(s, deflateParams(&s->zout, level, Z_DEFAULT_STRATEGY));
}

/* What there is as a stored block (RFC 1951 section 3.2.4), if it has room. */
static int
zstore(struct stream *s, struct buf *out)
{
	z_stream	*z = &s->zout;
	size_t		 n = out->len;

	if (z->avail_out <= STORED_HEAD)
		return 0;
	if (n > z->avail_out - STORED_HEAD)
		n = z->avail_out - STORED_HEAD;
	/* Less than PEND_MAX: sixteen bits hold it. */
	z->next_out[0] = 0;
	z->next_out[1] = n & 0xff;
	z->next_out[2] = n >> 8;
	z->next_out[3] = ~z->next_out[1];
	z->next_out[4] = ~z->next_out[2];
	memcpy(z->next_out + STORED_HEAD, buf_ptr(out), n);
	buf_drain(out, n);
	z->next_out += STORED_HEAD + n;
	z->avail_out -= STORED_HEAD + n;
	return 1;
}

static int
zdeflate(struct stream *s, struct buf *out)
{
	z_stream	*z = &s->zout;
	size_t		 n = out->len > PEND_MAX ? PEND_MAX : out->len;
	int		 r;

	z->next_in = buf_ptr(out);
	z->avail_in = n;
	r = deflate(z, Z_NO_FLUSH);
	buf_drain(out, n - z->avail_in);
	s->zdirty = 1;
	s->zheld += n - z->avail_in;
	return zresult(s, r);
}

static int
zflush(struct stream *s)
{
	z_stream	*z = &s->zout;
	int		 r;

	/* zlib: nothing new until a flush that began is complete. */
	s->zflush = 1;
	z->next_in = NULL;
	z->avail_in = 0;
	r = deflate(z, Z_SYNC_FLUSH);
	if (z->avail_out > 0)
		s->zheld = s->zflush = s->zdirty = 0;
	return zresult(s, r);
}

/*
 * A flush is due: it has begun, other blocks are to follow, or all is taken and the
 * caller wants it.  zlib may keep megabytes of what repeats itself to itself;
 * without one now and then the server would wait, and then have all at once.
 */
static int
zdue(const struct stream *s, const struct buf *out, int level)
{
	if (s->zflush)
		return 1;
	if (!s->zdirty)
		return 0;
	if (out->len > 0)
		return level != s->zlevel;
	return s->flush || s->zheld >= HELD_MAX;
}

/* Deflate from "out" into s->pend, which is empty; flush if that is due. */
static int
zfill(struct stream *s, struct buf *out)
{
	z_stream	*z = &s->zout;
	size_t		 had = out->len;
	int		 level = s->zlevel, r = 0;

	if (had > 0)
		level = level_next(&s->level, clock_us());
	z->next_out = s->pend;
	z->avail_out = PEND_MAX;
	while (r == 0 && z->avail_out > 0) {
		if (zdue(s, out, level))
			r = zflush(s);
		else if (out->len == 0)
			break;
		else if (level != s->zlevel)
			r = zchange(s, level);
		else if (s->zlevel != LEVEL_NONE)
			r = zdeflate(s, out);
		else if (!zstore(s, out))
			break;
	}
	if (out->len == 0 && !s->zdirty)
		s->flush = 0;
	s->pendlen = PEND_MAX - z->avail_out;
	level_made(&s->level, had - out->len, s->pendlen);
	return r;
}

/* Returns the octets that were taken, 0 if none can be now, STREAM_ERROR. */
static ssize_t
raw_write(struct stream *s, const uint8_t *p, size_t len)
{
	const char	*why;
	ssize_t		 n;

	if (s->state != TLS_UP) {
		do
			n = write(s->fd, p, len);
		while (n == -1 && errno == EINTR);
		if (n >= 0) {
			s->sent += n;
			return n;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		stream_fail(s, "the connection was lost (%s)",
		    strerror(errno));
		return STREAM_ERROR;
	}
	n = tls_write(s->tls, p, len);
	s->wr_want = n == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
	if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT)
		return 0;
	if (n > 0) {
		s->sent += n;
		return n;
	}
	if (n == 0 || (why = tls_error(s->tls)) == NULL)
		why = "the server closed the connection";
	stream_fail(s, "the connection was lost (%s)", why);
	return STREAM_ERROR;
}

/*
 * Some of s->pend.  libtls must be given the same octets again after TLS_WANT_*:
 * nothing is added while some are left.
 */
static ssize_t
pend_write(struct stream *s)
{
	ssize_t	 n;

	n = raw_write(s, s->pend + s->pendoff, s->pendlen - s->pendoff);
	if (n > 0)
		s->pendoff += n;
	if (s->deflate && n > 0)
		level_flows(&s->level, clock_us());
	else if (s->deflate && n == 0)
		level_full(&s->level, clock_us());
	return n;
}

int
stream_write(struct stream *s, struct buf *out, int flush)
{
	ssize_t	 n;
	size_t	 len;

	if (s->deflate && flush)
		s->flush = 1;
	while (!s->wdead) {
		if (s->pendoff < s->pendlen) {
			n = pend_write(s);
		} else if (s->deflate || s->state == TLS_UP) {
			s->pendoff = s->pendlen = 0;
			if (s->deflate) {
				if (zfill(s, out) == -1)
					break;
				if (s->pendlen == 0)
					level_idle(&s->level, clock_us());
			} else if (out->len > 0) {
				len = out->len;
				if (len > PEND_MAX)
					len = PEND_MAX;
				memcpy(s->pend, buf_ptr(out), len);
				buf_drain(out, len);
				s->pendlen = len;
			}
			n = s->pendlen;
		} else {
			n = 0;
			if (out->len > 0)
				n = raw_write(s, buf_ptr(out), out->len);
			if (n > 0)
				buf_drain(out, n);
		}
		if (n == 0)
			return 0;
		if (n < 0)
			break;
	}
	s->wdead = 1;
	return STREAM_ERROR;
}

int
stream_nudge(struct stream *s)
{
	static const uint8_t	 empty[] = { 0x00, 0x00, 0x00, 0xff, 0xff };

	/* Behind a flush the compressor stands at the start of an octet. */
	if (!s->deflate || s->wdead || s->zdirty || s->zflush ||
	    s->pendoff < s->pendlen)
		return 0;
	memcpy(s->pend, empty, sizeof(empty));
	s->pendoff = 0;
	s->pendlen = sizeof(empty);
	return 1;
}

size_t
stream_unsent(const struct stream *s)
{
	return s->pendlen - s->pendoff;
}

void
stream_stats(const struct stream *s, uint64_t *sent, uint64_t *received)
{
	*sent = s->sent;
	*received = s->received;
}

short
stream_events(const struct stream *s, int want_read, int want_write)
{
	short	 events = 0;

	if (s->state == TLS_SHAKING)
		return s->wr_want;
	if (want_read)
		events |= s->rd_want;
	if (want_write || stream_unsent(s) > 0)
		events |= s->wr_want;
	return events;
}

int
stream_readable(const struct stream *s)
{
	return s->dead || s->more || s->zmore || s->raw.len > 0;
}

void
stream_close(struct stream *s)
{
	if (s->fd == -1)
		return;
	if (s->state == TLS_UP)
		tls_close(s->tls);
	sandbox_close(s->fd, CLOSE_MS);
	s->fd = -1;
	s->state = TLS_OFF;
	s->dead = s->wdead = STREAM_ERROR;
	stream_fail(s, "the connection is closed");
}

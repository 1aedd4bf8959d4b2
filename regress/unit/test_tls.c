/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * TLS: each check of the server's identity passes and fails for its own reason,
 * what is told to the server, and octets in all sizes with DEFLATE inside, also
 * under the network worker's sandbox.  The server is libtls in a child.
 */

#include <sys/socket.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <tls.h>
#include <zlib.h>

#include "imapsync-net/sasl.h"
#include "imapsync-net/stream.h"
#include "sandbox.h"
#include "certs.h"
#include "tap.h"

#define TOTAL	(2 * 1024 * 1024)

/* ---- the server ---- */

enum { S_ECHO, S_ZECHO, S_HANGUP, S_BYE, S_CLEAR, S_DROP, S_WAITCLOSE };

struct server {
	const char	*cert;
	const char	*protocols;
	int		 clientcert;	/* 1: asked for, 2: demanded */
	int		 mode;
};

static void
s_write(struct tls *t, const void *data, size_t len)
{
	const uint8_t	*p = data;
	ssize_t		 n;

	while (len > 0) {
		n = tls_write(t, p, len);
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT)
			continue;
		if (n <= 0)
			_exit(3);
		p += n;
		len -= n;
	}
}

static ssize_t
s_read(struct tls *t, void *data, size_t len)
{
	ssize_t	 n;

	do
		n = tls_read(t, data, len);
	while (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT);
	return n;
}

/* Inflate and deflate what comes. */
static void
s_zecho(struct tls *t)
{
	static uint8_t	 raw[5000], text[7000], back[9000];
	z_stream	 in, out;
	ssize_t		 n;

	memset(&in, 0, sizeof(in));
	memset(&out, 0, sizeof(out));
	inflateInit2(&in, -15);
	deflateInit2(&out, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
	while ((n = s_read(t, raw, sizeof(raw))) > 0) {
		in.next_in = raw;
		in.avail_in = n;
		do {
			in.next_out = text;
			in.avail_out = sizeof(text);
			n = inflate(&in, Z_SYNC_FLUSH);
			if (n != Z_OK && n != Z_BUF_ERROR)
				_exit(4);
			out.next_in = text;
			out.avail_in = sizeof(text) - in.avail_out;
			do {
				out.next_out = back;
				out.avail_out = sizeof(back);
				deflate(&out, Z_SYNC_FLUSH);
				s_write(t, back, sizeof(back) - out.avail_out);
			} while (out.avail_out == 0);
		} while (in.avail_out == 0);
	}
}

/* Tell what the client told: the name, the certificate's subject. */
static void
s_hello(struct tls *t)
{
	const char	*sni = tls_conn_servername(t), *subject = NULL;
	char		 line[500];

	if (tls_peer_cert_provided(t))
		subject = tls_peer_cert_subject(t);
	snprintf(line, sizeof(line), "%s|%s\n", sni == NULL ? "none" : sni,
	    subject == NULL ? "none" : subject);
	s_write(t, line, strlen(line));
}

static struct tls *
s_accept(int fd, const struct server *sv)
{
	struct tls_config	*cfg;
	struct tls		*t, *conn;
	uint32_t		 protocols;
	char			 cert[PATH_MAX + 32], key[PATH_MAX + 32];
	int			 r;

	snprintf(cert, sizeof(cert), "%s/%s", certs_dir, sv->cert);
	snprintf(key, sizeof(key), "%s/key", certs_dir);
	if ((cfg = tls_config_new()) == NULL ||
	    tls_config_set_keypair_file(cfg, cert, key) == -1 ||
	    tls_config_parse_protocols(&protocols, sv->protocols) == -1 ||
	    tls_config_set_protocols(cfg, protocols) == -1)
		errx(5, "server: %s", tls_config_error(cfg));
	snprintf(cert, sizeof(cert), "%s/ca", certs_dir);
	if (sv->clientcert > 0 && tls_config_set_ca_file(cfg, cert) == -1)
		errx(5, "server: %s", tls_config_error(cfg));
	if (sv->clientcert == 1)
		tls_config_verify_client_optional(cfg);
	if (sv->clientcert == 2)
		tls_config_verify_client(cfg);
	if ((t = tls_server()) == NULL || tls_configure(t, cfg) == -1 ||
	    tls_accept_socket(t, &conn, fd) == -1)
		errx(5, "server: %s", tls_error(t));
	do
		r = tls_handshake(conn);
	while (r == TLS_WANT_POLLIN || r == TLS_WANT_POLLOUT);
	if (r == -1)
		_exit(6);
	return conn;
}

static void
s_run(int fd, const struct server *sv)
{
	static uint8_t	 data[30000];
	struct tls	*t;
	ssize_t		 n;

	if (sv->mode == S_CLEAR) {
		n = write(fd, "* OK IMAP4rev1 in clear here\r\n", 30);
		while (n > 0)
			n = read(fd, data, sizeof(data));
		_exit(0);
	}
	if (sv->mode == S_DROP)
		_exit(0);
	t = s_accept(fd, sv);
	s_hello(t);
	switch (sv->mode) {
	case S_HANGUP:
		_exit(0);
	case S_ZECHO:
		s_zecho(t);
		break;
	case S_ECHO:
		while ((n = s_read(t, data, sizeof(data))) > 0)
			s_write(t, data, n);
		break;
	case S_WAITCLOSE:
		/* 0 is close_notify; an end without it is an error. */
		n = s_read(t, data, sizeof(data));
		_exit(n == 0 && tls_close(t) == 0 ? 0 : 7);
	}
	tls_close(t);
	_exit(0);
}

static pid_t
s_start(const struct server *sv, int *fd)
{
	pid_t	 pid;
	int	 pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1)
		err(1, "socketpair");
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid == 0) {
		close(pair[0]);
		alarm(60);
		s_run(pair[1], sv);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

/* ---- the client ---- */

static struct m_net_setup
setup(void)
{
	struct m_net_setup	 su;

	memset(&su, 0, sizeof(su));
	su.host = "mail.example";
	su.ssl_hostname = "mail.example";
	su.ssl_sni = 1;
	su.ssl_verify = 1;
	su.auth = "";
	su.username = "me";
	su.authzid = "";
	su.password = "secret";
	su.has_password = 1;
	su.ssl_ciphers = su.ssl_ciphersuites = su.ssl_fingerprint = "";
	return su;
}

/* A descriptor of a file in the directory; NULL: -1. */
static int
file(const char *name)
{
	char	 path[PATH_MAX + 32];
	int	 fd;

	if (name == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", certs_dir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		err(1, "%s", path);
	return fd;
}

static int
wait_for(struct stream *s, int want_read, int want_write)
{
	struct pollfd	 pfd;

	if (want_read && stream_readable(s))
		return 1;
	pfd.fd = stream_fd(s);
	pfd.events = stream_events(s, want_read, want_write);
	return poll(&pfd, 1, 10000) == 1;
}

/* Prepared, and the handshake done as far as it goes: its result. */
static int
shake(struct stream *s, const struct m_net_setup *su, const char *ca,
    const char *cert, const char *key)
{
	int	 r;

	if (stream_tls_prepare(s, su, file(ca), file(cert), file(key)) == -1)
		return -2;
	if (stream_tls_start(s, su) == -1)
		return -3;
	while ((r = stream_handshake(s)) == 0)
		if (!wait_for(s, 0, 0))
			return -4;
	return r;
}

static void
get_line(struct stream *s, char *line, size_t size)
{
	struct buf	 in = BUF_INIT;
	ssize_t		 n;

	while ((n = stream_read(s, &in, size - 1)) == 0)
		if (!wait_for(s, 1, 0))
			break;
	snprintf(line, size, "%.*s", (int)in.len,
	    n > 0 ? (char *)buf_ptr(&in) : "");
	line[strcspn(line, "\n")] = '\0';
	buf_free(&in);
}

/*
 * Connect.  "want" NULL: it must fail, in the handshake, with "why".  Else the
 * server must have been told "want".
 */
static void
try(const char *what, const struct server *sv, const struct m_net_setup *su,
    const char *ca, const char *want, const char *why)
{
	struct stream	*s;
	struct buf	 in = BUF_INIT, out = BUF_INIT;
	pid_t		 pid;
	char		 line[600];
	int		 fd, r;

	pid = s_start(sv, &fd);
	s = stream_new(fd);
	r = shake(s, su, ca, NULL, NULL);
	if (want != NULL) {
		if (ok(r == 1, "%s: accepted %s", what, stream_error(s))) {
			get_line(s, line, sizeof(line));
			is_str(line, want, what);
		}
	} else {
		ok(r == -1, "%s: refused (%d)", what, r);
		ok(strstr(stream_error(s), why) != NULL, "%s", stream_error(s));
		/* Nothing of ours may reach such a server, nor the reverse. */
		buf_puts(&out, "secret");
		ok(stream_write(s, &out, 1) == STREAM_ERROR && out.len == 6 &&
		    stream_read(s, &in, 10) == STREAM_ERROR,
		    "%s: and cut off", what);
	}
	stream_close(s);
	stream_free(s);
	buf_free(&in);
	buf_free(&out);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static const struct server	 good = { "good", "secure", 0, S_ECHO };
static char			 pin_good[128];		/* of "key" */

#define NONE	"mail.example|none"

static void
test_names(void)
{
	struct m_net_setup	 su = setup();
	struct server		 ip = { "ip", "secure", 0, S_ECHO };
	struct server		 wild = { "wild", "secure", 0, S_ECHO };
	struct server		 other = { "other", "secure", 0, S_ECHO };

	try("good", &good, &su, "ca", NONE, NULL);
	try("wrong name", &other, &su, "ca", NULL, "does not hold the name");
	su.host = "MAIL.example.";
	try("case and final dot", &good, &su, "ca", NONE, NULL);
	su.host = "mail.example.net";
	try("longer name", &good, &su, "ca", NULL, "mail.example.net");
	su.host = "mx.mail.example";
	try("wildcard", &wild, &su, "ca", NONE, NULL);
	su.host = "a.mx.mail.example";
	try("wildcard, two labels", &wild, &su, "ca", NULL, "name");

	su.ssl_sni = 0;
	su.host = "127.0.0.1";
	try("IPv4", &ip, &su, "ca", "none|none", NULL);
	try("IPv4, name only", &good, &su, "ca", NULL, "127.0.0.1");
	su.host = "127.0.0.2";
	try("other IPv4", &ip, &su, "ca", NULL, "127.0.0.2");
	su.host = "[2001:db8::1]";
	try("[IPv6]", &ip, &su, "ca", "none|none", NULL);
	su.host = "2001:DB8:0::1";
	try("IPv6", &ip, &su, "ca", "none|none", NULL);
	su.host = "[2001:db8::2]";
	try("other IPv6", &ip, &su, "ca", NULL, "2001:db8::2");
}

static void
test_sni(void)
{
	struct m_net_setup	 su = setup();
	struct server		 other = { "other", "secure", 0, S_ECHO };

	su.ssl_hostname = "sni.example";
	try("SNI of its own", &good, &su, "ca", "sni.example|none", NULL);
	su.ssl_hostname = "other.example";
	try("SNI is not what is verified", &other, &su, "ca", NULL,
	    "name mail.example");
	su.ssl_hostname = "";
	try("SNI empty", &good, &su, "ca", "none|none", NULL);
	su.ssl_hostname = "mail.example";
	su.ssl_sni = 0;
	try("SNI off", &good, &su, "ca", "none|none", NULL);
	su.ssl_sni = 1;
	su.ssl_hostname = "127.0.0.1";
	try("SNI an address", &good, &su, "ca", "none|none", NULL);
}

static void
test_chain(void)
{
	struct m_net_setup	 su = setup();
	struct server		 expired = { "expired", "secure", 0, S_ECHO };
	struct server		 self = { "self", "secure", 0, S_ECHO };
	struct server		 clear = { "good", "secure", 0, S_CLEAR };
	struct server		 drop = { "good", "secure", 0, S_DROP };

	try("other authority", &good, &su, "ca2", NULL, "chain");
	try("both authorities", &good, &su, "ca12", NONE, NULL);
	try("self-signed", &self, &su, "ca", NULL, "chain");
	try("expired", &expired, &su, "ca", NULL, "expired");
	try("no TLS", &clear, &su, "ca", NULL, "does not speak TLS");
	try("nobody", &drop, &su, "ca", NULL, "closed the connection");
	su.ssl_verify = 0;
	try("unverified: expired", &expired, &su, NULL, NONE, NULL);
	try("unverified: self-signed", &self, &su, "ca", NONE, NULL);
	su.host = "else.example";
	try("unverified: name", &good, &su, "ca2", NONE, NULL);
}

static void
test_pins(void)
{
	struct m_net_setup	 su = setup();
	struct server		 self = { "self", "secure", 0, S_ECHO };
	struct server		 expired = { "expired", "secure", 0, S_ECHO };
	struct server		 other = { "other", "secure", 0, S_ECHO };
	char			 list[400], wrong[128];

	strlcpy(wrong, pin_good, sizeof(wrong));
	wrong[70] = wrong[70] == '0' ? '1' : '0';
	snprintf(list, sizeof(list), "%s %s", wrong, pin_good);

	su.ssl_fingerprint = list;
	try("pin and chain", &good, &su, "ca", NONE, NULL);
	try("pin, other authority", &good, &su, "ca2", NULL, "chain");
	try("pin, expired", &expired, &su, "ca", NULL, "expired");
	try("pin, wrong name", &other, &su, "ca", NULL, "name");
	su.ssl_verify = 0;
	try("pin alone", &self, &su, NULL, NONE, NULL);
	try("pin alone, expired", &expired, &su, NULL, NONE, NULL);
	try("pin alone, wrong name", &other, &su, NULL, NONE, NULL);
	su.ssl_fingerprint = pin_good + 7;
	try("pin without algorithm", &self, &su, NULL, NONE, NULL);
	su.ssl_fingerprint = wrong;
	try("wrong pin alone", &self, &su, NULL, NULL, pin_good);
	su.ssl_verify = 1;
	try("wrong pin, good chain", &good, &su, "ca", NULL, pin_good);
	su.ssl_fingerprint = "  ";
	try("no pin", &good, &su, "ca", NONE, NULL);
}

/* What --check tells of a certificate: whether the handshake is good or not. */
static void
told(const char *what, const struct server *srv, struct m_net_setup *su,
    const char *ca, int shakes, int verified, int pinned, int distrusted)
{
	struct m_engine_cert	 m;
	struct stream		*s;
	pid_t			 pid;
	int			 fd, r;

	pid = s_start(srv, &fd);
	s = stream_new(fd);
	r = shake(s, su, ca, NULL, NULL) == 1;
	ok(r == shakes && stream_distrusted(s) == distrusted,
	    "told: %s: %d %s", what, r, stream_error(s));
	r = stream_tls_cert(s, &m);
	if (verified == -1)
		ok(r == -1, "told: %s: nothing", what);
	else
		ok(r == 0 && m.verified == verified && m.pinned == pinned &&
		    strcmp(m.pin, stream_tls_fingerprint(s)) == 0 &&
		    strstr(m.subject, "CN=") != NULL && m.issuer[0] != '\0' &&
		    m.notbefore > 0 && m.notafter > 0 &&
		    m.cipher[0] != '\0', "told: %s: %d %d %s", what,
		    m.verified, m.pinned, m.subject);
	stream_free(s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
test_told(void)
{
	struct m_net_setup	 su = setup();
	struct server		 expired = { "expired", "secure", 0, S_ECHO };
	struct server		 other = { "other", "secure", 0, S_ECHO };
	struct server		 clear = { "good", "secure", 0, S_CLEAR };
	char			 wrong[128];

	su.check = CHECK_CERT;
	told("good", &good, &su, "ca", 1, 1, PINNED_NOT, 0);
	told("another name", &other, &su, "ca", 0, 0, PINNED_NOT, 1);
	told("another authority", &good, &su, "ca2", 0, -1, 0, 1);
	told("expired", &expired, &su, "ca", 0, -1, 0, 1);
	told("no TLS", &clear, &su, "ca", 0, -1, 0, 0);
	su.ssl_fingerprint = pin_good;
	told("pinned", &good, &su, "ca", 1, 1, PINNED_YES, 0);
	strlcpy(wrong, pin_good, sizeof(wrong));
	wrong[70] = wrong[70] == '0' ? '1' : '0';
	su.ssl_fingerprint = wrong;
	told("another pin", &good, &su, "ca", 0, 0, PINNED_OTHER, 1);
	su.ssl_fingerprint = "";
	su.ssl_verify = 0;
	told("not verified", &good, &su, "ca", 1, 0, PINNED_NOT, 0);
	su.ssl_verify = 1;
	su.check = CHECK_PEEK;
	told("looked at", &good, &su, "ca2", 1, 0, PINNED_NOT, 0);
	told("looked at: expired", &expired, &su, "ca", 1, 0, PINNED_NOT, 0);
	su.ssl_fingerprint = wrong;
	told("looked at: another pin", &good, &su, "ca", 1, 0, PINNED_OTHER, 0);
}

static void
test_versions(void)
{
	struct m_net_setup	 su = setup();
	struct server		 old = { "good", "tlsv1.2", 0, S_ECHO };
	struct server		 new = { "good", "tlsv1.3", 0, S_ECHO };
	struct stream		*s;
	pid_t			 pid;
	size_t			 len;
	int			 fd;

	try("server 1.2", &old, &su, "ca", NONE, NULL);
	try("server 1.3", &new, &su, "ca", NONE, NULL);
	su.ssl_min = 0x0304;
	try("server 1.2, min 1.3", &old, &su, "ca", NULL, "TLS version");
	try("server 1.3, min 1.3", &new, &su, "ca", NONE, NULL);
	su.ssl_min = 0;
	su.ssl_max = 0x0303;
	try("server 1.3, max 1.2", &new, &su, "ca", NULL, "TLS version");
	su.ssl_min = 0x0301;
	try("1.0 to 1.2", &old, &su, "ca", NONE, NULL);

	su.ssl_ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
	pid = s_start(&good, &fd);
	s = stream_new(fd);
	ok(shake(s, &su, "ca", NULL, NULL) == 1, "a cipher: %s",
	    stream_error(s));
	is_str(stream_tls_version(s), "TLSv1.2", "version");
	is_str(stream_tls_cipher(s), su.ssl_ciphers, "cipher");
	is_str(stream_tls_fingerprint(s), pin_good, "fingerprint");
	ok(stream_tls_peer(s, &len) != NULL && len > 200, "certificate");
	ok(sasl_tls(s) == 1, "channel binding");
	stream_free(s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* What can't be done is said before anything is connected. */
static void
prepare(const char *what, const struct m_net_setup *su, const char *ca,
    const char *cert, const char *key, const char *why)
{
	struct stream	*s;
	int		 sv[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		err(1, "socketpair");
	s = stream_new(sv[0]);
	fd = file(ca);
	ok(stream_tls_prepare(s, su, fd, file(cert), file(key)) == -1 &&
	    strstr(stream_error(s), why) != NULL, "%s: %s", what,
	    stream_error(s));
	ok(fd == -1 || fcntl(fd, F_GETFD) == -1, "descriptor closed");
	ok(stream_tls_start(s, su) == -1, "and TLS does not start");
	stream_free(s);
	close(sv[1]);
}

static void
test_prepare(void)
{
	struct m_net_setup	 su = setup();

	su.ssl_min = 0x0304;
	su.ssl_max = 0x0303;
	prepare("versions", &su, "ca", NULL, NULL, "SSL_protocol_min");
	su = setup();
	su.ssl_ciphers = "NO-SUCH-CIPHER";
	prepare("cipher", &su, "ca", NULL, NULL, "SSL_cipherlist");
	su.ssl_ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256";
	prepare("suite among ciphers", &su, "ca", NULL, NULL,
	    "SSL_ciphersuites");
	su = setup();
	su.ssl_ciphersuites = "TLS_NO_SUCH_SUITE";
	prepare("suite", &su, "ca", NULL, NULL, "SSL_ciphersuites");
	su = setup();
	su.ssl_fingerprint = "md5$00";
	prepare("pin", &su, "ca", NULL, NULL, "SSL_fingerprint");
	su = setup();
	prepare("no authorities", &su, NULL, NULL, NULL, "SSL_CAfile");
	prepare("empty file", &su, "empty", NULL, NULL, "SSL_CAfile");
	prepare("no key", &su, "ca", "client", NULL, "SSL_key");
	prepare("no certificate", &su, "ca", NULL, "key", "SSL_cert");
	prepare("encrypted key", &su, "ca", "client", "encrypted", "encrypted");

	prepare("authorities that are none", &su, "log", NULL, NULL,
	    "SSL_CAfile");
	prepare("another's key", &su, "ca", "client", "key2", "SSL_key");
	prepare("a key that is none", &su, "ca", "client", "log", "SSL_key");
}

static void
test_client_cert(void)
{
	struct m_net_setup	 su = setup();
	struct server		 want = { "good", "secure", 2, S_ECHO };
	struct stream		*s;
	struct buf		 in = BUF_INIT;
	pid_t			 pid;
	ssize_t			 n;
	char			 line[600];
	int			 fd, r;

	pid = s_start(&want, &fd);
	s = stream_new(fd);
	ok(shake(s, &su, "ca", "client", "key") == 1, "client's certificate %s",
	    stream_error(s));
	get_line(s, line, sizeof(line));
	is_str(line, "mail.example|/CN=client", "seen by the server");
	stream_free(s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	/* In TLS 1.3 the refusal comes behind the handshake. */
	pid = s_start(&want, &fd);
	s = stream_new(fd);
	if ((r = shake(s, &su, "ca", NULL, NULL)) == 1) {
		while ((n = stream_read(s, &in, 100)) == 0)
			if (!wait_for(s, 1, 0))
				break;
		r = n;
	}
	ok(r < 0, "none, where one is demanded: %s", stream_error(s));
	stream_free(s);
	waitpid(pid, NULL, 0);
	buf_free(&in);
}

/* ---- octets ---- */

/*
 * Send the text in random pieces and read its echo.  "out" grows and moves
 * while libtls holds on to what it was given.
 */
static int
echo(struct stream *s, const uint8_t *text, size_t total)
{
	struct buf	 in = BUF_INIT, out = BUF_INIT;
	size_t		 sent = 0, n, max;
	ssize_t		 got;
	int		 same = 0;

	while (in.len < total) {
		if (sent < total && out.len < 200000) {
			n = 1 + tap_random() % 60000;
			if (n > total - sent)
				n = total - sent;
			buf_add(&out, text + sent, n);
			sent += n;
		}
		if (stream_write(s, &out, sent == total) != 0)
			break;
		max = 1 + tap_random() % 70000;
		got = stream_read(s, &in, max);
		if (got < 0 || (size_t)got > max)
			break;
		if (got == 0 && !wait_for(s, 1, out.len > 0 || sent < total))
			break;
	}
	if (in.len == total && memcmp(buf_ptr(&in), text, total) == 0)
		same = 1;
	buf_free(&in);
	buf_free(&out);
	return same;
}

static uint8_t *
make_text(void)
{
	uint8_t	*text = malloc(TOTAL);
	size_t	 i;

	for (i = 0; i < TOTAL; i++)
		if (i / 30000 % 2 == 1)
			text[i] = tap_random();
		else
			text[i] = "SELECT\r\n"[i % 8];
	return text;
}

static void
test_octets(const char *what, const char *protocols, int mode)
{
	struct m_net_setup	 su = setup();
	struct server		 sv = { "good", protocols, 0, mode };
	struct stream		*s;
	struct buf		 in = BUF_INIT;
	uint8_t			*text = make_text();
	pid_t			 pid;
	char			 line[600];
	int			 fd;

	pid = s_start(&sv, &fd);
	s = stream_new(fd);
	ok(shake(s, &su, "ca", NULL, NULL) == 1, "%s: connected", what);
	get_line(s, line, sizeof(line));
	if (mode == S_ZECHO)
		ok(stream_compress(s, &in) == 0, "%s: compressed", what);
	ok(echo(s, text, TOTAL), "%s: all comes back %s", what,
	    stream_error(s));
	ok(stream_unsent(s) == 0, "%s: nothing is left", what);
	stream_close(s);
	stream_free(s);
	waitpid(pid, NULL, 0);
	free(text);
}

static void
test_ends(void)
{
	static const struct {
		const char	*what;
		int		 mode;
	} ends[] = {
		{ "end of TLS", S_BYE }, { "end without it", S_HANGUP },
	};
	struct m_net_setup	 su = setup();
	struct server		 sv = good;
	struct stream		*s;
	struct buf		 in = BUF_INIT;
	char			 line[600];
	ssize_t			 n;
	pid_t			 pid;
	size_t			 i;
	int			 fd, status;

	for (i = 0; i < 2; i++) {
		sv.mode = ends[i].mode;
		pid = s_start(&sv, &fd);
		s = stream_new(fd);
		ok(shake(s, &su, "ca", NULL, NULL) == 1, "%s", ends[i].what);
		get_line(s, line, sizeof(line));
		while ((n = stream_read(s, &in, 100)) == 0)
			if (!wait_for(s, 1, 0))
				break;
		ok(n == STREAM_EOF, "%s: %s", ends[i].what, stream_error(s));
		stream_free(s);
		waitpid(pid, NULL, 0);
	}
	sv.mode = S_WAITCLOSE;
	pid = s_start(&sv, &fd);
	s = stream_new(fd);
	ok(shake(s, &su, "ca", NULL, NULL) == 1, "our end");
	get_line(s, line, sizeof(line));
	stream_close(s);
	stream_free(s);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "our end: close_notify (%x)", status);
	buf_free(&in);
}

/* ---- the sandbox ---- */

/* SCRAM's work, which is libcrypto's, as far as a lying server gets it. */
static int
scram(struct stream *s, const struct m_net_setup *su)
{
	struct sasl	*sa;
	struct buf	 out = BUF_INIT, msg = BUF_INIT;
	char		 why[200];
	int		 r;

	sa = sasl_new("SCRAM-SHA-256-PLUS", su, s, why, sizeof(why));
	if (sa == NULL)
		return -1;
	sasl_initial(sa, &out);
	buf_add(&out, "", 1);
	buf_printf(&msg, "%sx,s=QSXC,i=4096",
	    strstr((char *)buf_ptr(&out), "r="));
	r = sasl_step(sa, buf_ptr(&msg), msg.len, &out);
	sasl_free(sa);
	buf_free(&out);
	buf_free(&msg);
	return r;
}

static void
test_sandbox(const char *protocols)
{
	struct m_net_setup	 su = setup();
	struct server		 sv = { "good", protocols, 0, S_ZECHO };
	struct server		 bad = { "expired", protocols, 0, S_ZECHO };
	struct stream		*s, *s2;
	struct buf		 in = BUF_INIT;
	uint8_t			*text = make_text();
	pid_t			 pid, server, server2;
	char			 line[600];
	int			 fd, fd2, status;

	server = s_start(&sv, &fd);
	server2 = s_start(&bad, &fd2);
	if ((pid = fork()) == -1)
		err(1, "fork");
	if (pid == 0) {
		s = stream_new(fd);
		s2 = stream_new(fd2);
		if (stream_tls_prepare(s, &su, file("ca"), file("client"),
		    file("key")) == -1 ||
		    stream_tls_prepare(s2, &su, file("ca"), -1, -1) == -1)
			_exit(2);
		sandbox_early();
		sandbox_net();
		if (stream_tls_start(s, &su) == -1)
			_exit(3);
		while ((status = stream_handshake(s)) == 0)
			if (!wait_for(s, 0, 0))
				break;
		if (status != 1)
			_exit(4);
		get_line(s, line, sizeof(line));
		if (sasl_tls(s) != 1 || scram(s, &su) != 0)
			_exit(5);
		if (stream_compress(s, &in) == -1 || !echo(s, text, TOTAL))
			_exit(6);
		stream_close(s);
		/* Errors look for files; they must not be our death. */
		if (stream_tls_start(s2, &su) == -1)
			_exit(7);
		while ((status = stream_handshake(s2)) == 0)
			if (!wait_for(s2, 0, 0))
				break;
		if (status != -1 || strstr(stream_error(s2), "expired") == NULL)
			_exit(8);
		stream_close(s2);
		stream_free(s);
		stream_free(s2);
		_exit(0);
	}
	close(fd);
	close(fd2);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "under the sandbox, %s (status %x)", protocols, status);
	waitpid(server, NULL, 0);
	waitpid(server2, NULL, 0);
	free(text);
}

/* ---- the certificates ---- */

static void
sign(const char *name, const char *subject, const char *san, int days)
{
	run("openssl req -new -key key -subj /CN=%s -out req", subject);
	run("echo subjectAltName=%s >ext", san);
	run("openssl x509 -req -in req -CA ca -CAkey cakey -set_serial %u "
	    "-days %d -extfile ext -out %s", (unsigned int)tap_random() >> 1,
	    days, name);
}

static void
make_certs(void)
{
	static const char *const names[] = { "key", "key2", "cakey", "cakey2" };
	uint8_t			*hex;
	size_t			 i, len;

	for (i = 0; i < 4; i++)
		run("openssl ecparam -name prime256v1 -genkey -noout -out %s",
		    names[i]);
	run("openssl req -x509 -new -key cakey -subj /CN=ca -days 9 -out ca");
	run("openssl req -x509 -new -key cakey2 -subj /CN=ca2 -days 9 "
	    "-out ca2");
	run("cat ca2 ca >ca12");
	run(": >empty");
	run("openssl req -x509 -new -key key -subj /CN=mail.example -days 9 "
	    "-out self");
	run("openssl ec -in key -aes128 -passout pass:x -out encrypted");
	sign("good", "good", "DNS:mail.example", 9);
	sign("other", "other", "DNS:other.example", 9);
	sign("wild", "wild", "DNS:*.mail.example", 9);
	sign("ip", "ip", "IP:127.0.0.1,IP:2001:db8::1", 9);
	sign("client", "client", "DNS:client", 9);
	sign("expired", "expired", "DNS:mail.example", -1);
	run("openssl pkey -in key -pubout -outform der -out spki");
	run("openssl dgst -sha256 -r spki >hex");
	hex = certs_read("hex", &len);
	snprintf(pin_good, sizeof(pin_good), "sha256$%.64s", (char *)hex);
	free(hex);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	certs_init();
	make_certs();
	test_names();
	test_sni();
	test_chain();
	test_pins();
	test_told();
	test_versions();
	test_prepare();
	test_client_cert();
	test_octets("TLS 1.2", "tlsv1.2", S_ECHO);
	test_octets("TLS 1.3", "tlsv1.3", S_ECHO);
	test_octets("TLS 1.2, deflate", "tlsv1.2", S_ZECHO);
	test_octets("TLS 1.3, deflate", "tlsv1.3", S_ZECHO);
	test_ends();
	test_sandbox("tlsv1.2");
	test_sandbox("tlsv1.3");
	return tap_done();
}

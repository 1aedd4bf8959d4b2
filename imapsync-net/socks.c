/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/socket.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "socks.h"

#define SOCKS_VERSION	5
#define AUTH_VERSION	1	/* of RFC 1929 */
#define METHOD_NONE	0
#define METHOD_PASSWORD	2
#define METHOD_REFUSED	0xff
#define CMD_CONNECT	1
#define ATYP_IPV4	1
#define ATYP_NAME	3
#define ATYP_IPV6	4

enum socks_state {
	SOCKS_HELLO, SOCKS_METHOD, SOCKS_AUTH, SOCKS_REPLY, SOCKS_DONE,
	SOCKS_FAILED
};

struct socks {
	enum socks_state state;
	char		*host;		/* to connect to, without brackets */
	uint16_t	 port;
	int		 byname;	/* the proxy looks the name up */
	char		*user;
	char		*password;
	int		 temporary;	/* it may do better another time */
	char		 error[256];
};

static int
socks_fail(struct socks *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
socks_fail(struct socks *so, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(so->error, sizeof(so->error), fmt, ap);
	va_end(ap);
	/* Until the proxy has let us in, it is a matter of configuration. */
	so->temporary = so->state == SOCKS_REPLY;
	so->state = SOCKS_FAILED;
	return -1;
}

struct socks *
socks_new(const struct m_net_setup *su)
{
	struct socks	*so;
	const char	*host = su->proxy_addr;

	so = xcalloc(1, sizeof(*so));
	if (host[0] == '[')
		so->host = xstrndup(host + 1, strcspn(host + 1, "]"));
	else
		so->host = xstrdup(host);
	so->port = su->port;
	so->byname = su->proxy == PROXY_SOCKS5H;
	so->user = xstrdup(su->proxy_user);
	so->password = xstrdup(su->proxy_password);
	return so;
}

void
socks_free(struct socks *so)
{
	if (so == NULL)
		return;
	free(so->host);
	freezero(so->user, strlen(so->user));
	freezero(so->password, strlen(so->password));
	freezero(so, sizeof(*so));
}

const char *
socks_error(const struct socks *so)
{
	return so->error;
}

int
socks_temporary(const struct socks *so)
{
	return so->temporary;
}

/* Greet: without a user name no method but "none" is offered. */
static int
send_hello(struct socks *so, struct buf *out)
{
	static const uint8_t	 plain[] = { SOCKS_VERSION, 1, METHOD_NONE };
	static const uint8_t	 both[] = { SOCKS_VERSION, 2, METHOD_NONE,
	    METHOD_PASSWORD };

	if (so->user[0] == '\0')
		buf_add(out, plain, sizeof(plain));
	else if (strlen(so->user) > 255 || so->password[0] == '\0' ||
	    strlen(so->password) > 255)
		return socks_fail(so, "the proxy's user name and password must "
		    "have 1 to 255 octets each");
	else
		buf_add(out, both, sizeof(both));
	so->state = SOCKS_METHOD;
	return 0;
}

static int
send_request(struct socks *so, struct buf *out)
{
	uint8_t		 head[] = { SOCKS_VERSION, CMD_CONNECT, 0, 0 };
	uint8_t		 port[2] = { so->port >> 8, so->port & 0xff };
	struct in6_addr	 addr6;
	struct in_addr	 addr;
	size_t		 len = strlen(so->host);
	uint8_t		 n = len;

	if (inet_pton(AF_INET, so->host, &addr) == 1) {
		head[3] = ATYP_IPV4;
		buf_add(out, head, sizeof(head));
		buf_add(out, &addr, sizeof(addr));
	} else if (inet_pton(AF_INET6, so->host, &addr6) == 1) {
		head[3] = ATYP_IPV6;
		buf_add(out, head, sizeof(head));
		buf_add(out, &addr6, sizeof(addr6));
	} else if (!so->byname) {
		return socks_fail(so, "\"%s\" is not an address to ask the "
		    "proxy for", so->host);
	} else if (len == 0 || len > 255) {
		return socks_fail(so, "a name to ask the proxy for must have "
		    "1 to 255 octets");
	} else {
		head[3] = ATYP_NAME;
		buf_add(out, head, sizeof(head));
		buf_add(out, &n, 1);
		buf_add(out, so->host, len);
	}
	buf_add(out, port, sizeof(port));
	so->state = SOCKS_REPLY;
	return 0;
}

/* RFC 1929 */
static void
send_password(struct socks *so, struct buf *out)
{
	uint8_t	 n = AUTH_VERSION;

	buf_add(out, &n, 1);
	n = strlen(so->user);
	buf_add(out, &n, 1);
	buf_add(out, so->user, n);
	n = strlen(so->password);
	buf_add(out, &n, 1);
	buf_add(out, so->password, n);
	explicit_bzero(so->password, n);
	so->state = SOCKS_AUTH;
}

/* The proxy's choice of method, or its verdict on the password: two octets. */
static int
take_short(struct socks *so, struct buf *in, struct buf *out)
{
	uint8_t	 version, value;

	version = buf_ptr(in)[0];
	value = buf_ptr(in)[1];
	buf_drain(in, 2);
	if (so->state == SOCKS_AUTH) {
		if (version != AUTH_VERSION)
			return socks_fail(so, "the proxy does not speak SOCKS "
			    "5 (RFC 1929)");
		if (value != 0)
			return socks_fail(so, "the proxy refuses its user name "
			    "or password");
		return send_request(so, out);
	}
	if (version != SOCKS_VERSION)
		return socks_fail(so, "the proxy does not speak SOCKS 5");
	if (value == METHOD_PASSWORD && so->user[0] != '\0') {
		send_password(so, out);
		return 0;
	}
	if (value == METHOD_NONE)
		return send_request(so, out);
	if (value == METHOD_REFUSED)
		return socks_fail(so, "the proxy %s", so->user[0] == '\0' ?
		    "demands a user name and password" :
		    "takes neither our password nor none");
	return socks_fail(so, "the proxy chose a method (%u) that was not "
	    "offered", value);
}

/* The reply: 1 if it is whole and good, 0 if more must come. */
static int
take_reply(struct socks *so, struct buf *in)
{
	static const char	*const reasons[] = {
		"", "general failure", "not allowed by its rules",
		"network unreachable", "host unreachable",
		"connection refused by the server", "TTL expired",
		"command not supported", "address type not supported",
	};
	const uint8_t		*p;
	size_t			 len;

	if (in->len == 0)
		return 0;
	p = buf_ptr(in);
	if (p[0] != SOCKS_VERSION)
		return socks_fail(so, "the proxy does not speak SOCKS 5");
	/* A refusal need not be whole: some proxies close at once. */
	if (in->len >= 2 && p[1] != 0) {
		if (p[1] < nitems(reasons))
			return socks_fail(so, "the proxy can't connect to %s "
			    "port %u: %s", so->host, so->port, reasons[p[1]]);
		return socks_fail(so, "the proxy can't connect to %s port %u: "
		    "reply %u", so->host, so->port, p[1]);
	}
	if (in->len < 5)
		return 0;
	switch (p[3]) {
	case ATYP_IPV4:
		len = 4 + 4 + 2;
		break;
	case ATYP_IPV6:
		len = 4 + 16 + 2;
		break;
	case ATYP_NAME:
		len = 4 + 1 + p[4] + 2;
		break;
	default:
		return socks_fail(so, "the proxy's reply has an address of an "
		    "unknown type (%u)", p[3]);
	}
	if (in->len < len)
		return 0;
	buf_drain(in, len);
	so->state = SOCKS_DONE;
	return 1;
}

int
socks_step(struct socks *so, struct buf *in, struct buf *out)
{
	switch (so->state) {
	case SOCKS_HELLO:
		return send_hello(so, out);
	case SOCKS_METHOD:
	case SOCKS_AUTH:
		if (in->len < 2)
			return 0;
		return take_short(so, in, out);
	case SOCKS_REPLY:
		return take_reply(so, in);
	case SOCKS_DONE:
		return 1;
	case SOCKS_FAILED:
		break;
	}
	return -1;
}

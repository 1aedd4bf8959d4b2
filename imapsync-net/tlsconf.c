/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <tls.h>

#include "log.h"
#include "pin.h"
#include "tlsconf.h"

#define CA_MAX		(16 * 1024 * 1024)
#define KEY_MAX		65536

/* A configuration on its way. */
struct conf {
	struct tls_config	*cfg;
	char			*why;		/* what is wrong with it */
	size_t			 size;
};

static void
conf_fail(struct conf *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
conf_fail(struct conf *c, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->size, fmt, ap);
	va_end(ap);
}

char *
tlsconf_name(const char *host)
{
	char	*name;
	size_t	 len;

	if (host[0] == '[')
		name = xstrndup(host + 1, strcspn(host + 1, "]"));
	else
		name = xstrdup(host);
	if (strchr(name, ':') != NULL)
		name[strcspn(name, "%")] = '\0';
	len = strlen(name);
	if (len > 1 && name[len - 1] == '.')
		name[len - 1] = '\0';
	return name;
}

/*
 * Read a descriptor to its end and close it.  Returns what was there, NULL if
 * there is none (-1); *len is SIZE_MAX if it can't be read or is too long.
 */
static uint8_t *
read_all(int fd, size_t max, size_t *len)
{
	uint8_t	*p;
	ssize_t	 n = 0;

	*len = 0;
	if (fd == -1)
		return NULL;
	p = xmalloc(max);
	while (*len < max) {
		n = read(fd, p + *len, max - *len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += n;
	}
	if (*len == max || n == -1)
		*len = SIZE_MAX;
	close(fd);
	return p;
}

/* libtls knows sets of versions, not ranges. */
static int
conf_protocols(struct conf *c, const struct m_net_setup *su)
{
	static const struct {
		uint16_t	version;
		uint32_t	bit;
	} known[] = {
		{ 0x0301, TLS_PROTOCOL_TLSv1_0 },
		{ 0x0302, TLS_PROTOCOL_TLSv1_1 },
		{ 0x0303, TLS_PROTOCOL_TLSv1_2 },
		{ 0x0304, TLS_PROTOCOL_TLSv1_3 },
	};
	uint32_t bits = 0;
	uint16_t min = su->ssl_min, max = su->ssl_max;
	size_t i;

	/* Versions before 1.2 are for those who name one. */
	if (max == 0)
		max = 0x0304;
	if (min == 0)
		min = max < 0x0303 ? max : 0x0303;
	for (i = 0; i < nitems(known); i++)
		if (known[i].version >= min && known[i].version <= max)
			bits |= known[i].bit;
	if (bits == 0) {
		conf_fail(c, "SSL_protocol_min is above SSL_protocol_max");
		return -1;
	}
	if ((bits & TLS_PROTOCOLS_ALL) == 0) {
		conf_fail(c, "this libtls speaks no TLS version between "
		    "SSL_protocol_min and SSL_protocol_max");
		return -1;
	}
	if (tls_config_set_protocols(c->cfg, bits) == -1) {
		conf_fail(c, "SSL_protocol_min, SSL_protocol_max: %s",
		    tls_config_error(c->cfg));
		return -1;
	}
	return 0;
}

/*
 * The suites of TLS 1.3 one by one: OpenSSL's list of ciphers passes over a
 * name that it does not know as long as another is left, and it does not know
 * these, so that together with SSL_cipherlist they would be ignored without a
 * word.  LibreSSL takes them.
 */
static int
conf_suites(struct conf *c, const char *suites)
{
	char	*copy, *p, *name;
	int	 n = 0, r = 0;

	p = copy = xstrdup(suites);
	while (r == 0 && (name = strsep(&p, ":, ")) != NULL) {
		if (*name == '\0')
			continue;
		n++;
		if (tls_config_set_ciphers(c->cfg, name) == -1) {
			conf_fail(c, "SSL_ciphersuites: this libtls can't "
			    "set \"%s\" (%s): leave SSL_ciphersuites out, or "
			    "restrict the version with SSL_protocol_max", name,
			    tls_config_error(c->cfg));
			r = -1;
		}
	}
	free(copy);
	if (n == 0 && r == 0) {
		conf_fail(c, "SSL_ciphersuites names no suite");
		return -1;
	}
	return r;
}

static int
conf_ciphers(struct conf *c, const struct m_net_setup *su)
{
	const char	*list = su->ssl_ciphers;
	struct buf	 all = BUF_INIT;
	int		 r = 0;

	if (strstr(list, "TLS_") != NULL) {
		conf_fail(c, "SSL_cipherlist is for TLS 1.2 and older: "
		    "names with TLS_ belong to SSL_ciphersuites");
		return -1;
	}
	if (su->ssl_ciphersuites[0] != '\0') {
		if (conf_suites(c, su->ssl_ciphersuites) == -1)
			return -1;
		if (list[0] == '\0')	/* what libtls has as "secure" */
			list = "TLSv1.2+AEAD+ECDHE:TLSv1.2+AEAD+DHE";
		buf_printf(&all, "%s:", su->ssl_ciphersuites);
	}
	buf_printf(&all, "%s", list);
	buf_add(&all, "", 1);
	if (all.len > 1 && tls_config_set_ciphers(c->cfg,
	    (char *)buf_ptr(&all)) == -1) {
		conf_fail(c, "SSL_cipherlist: %s", tls_config_error(c->cfg));
		r = -1;
	}
	buf_free(&all);
	return r;
}

/* Whom to believe. */
static int
conf_trust(struct conf *c, const struct m_net_setup *su,
    const uint8_t *ca, size_t len)
{
	char	 why[256];

	if (pin_check(su->ssl_fingerprint, why, sizeof(why)) == -1) {
		conf_fail(c, "SSL_fingerprint: %s", why);
		return -1;
	}
	/*
	 * libtls would verify the very name that it sends as SNI; the name is
	 * therefore verified in peer_check().
	 */
	tls_config_insecure_noverifyname(c->cfg);
	if (!su->ssl_verify || su->check == CHECK_PEEK) {
		tls_config_insecure_noverifycert(c->cfg);
		tls_config_insecure_noverifytime(c->cfg);
		return 0;
	}
	if (ca == NULL || len == 0) {
		conf_fail(c, "no certificate of %s can be verified without "
		    "certificates of authorities: install the system's "
		    "(ca-certificates), set SSL_CAfile, or SSL_verify = NO "
		    "together with SSL_fingerprint", su->host);
		return -1;
	}
	if (len == SIZE_MAX) {
		conf_fail(c, "the certificates of authorities (SSL_CAfile) "
		    "can't be read");
		return -1;
	}
	if (memmem(ca, len, "-----BEGIN ", 11) == NULL) {
		conf_fail(c, "SSL_CAfile holds no certificates in PEM format");
		return -1;
	}
	if (tls_config_set_ca_mem(c->cfg, ca, len) == -1) {
		conf_fail(c, "SSL_CAfile: %s", tls_config_error(c->cfg));
		return -1;
	}
	return 0;
}

/* The certificate and key that we show to the server. */
static int
conf_keypair(struct conf *c, const uint8_t *cert, size_t certlen,
    const uint8_t *key, size_t keylen)
{
	if (cert == NULL && key == NULL)
		return 0;
	if (cert == NULL || key == NULL) {
		conf_fail(c, "SSL_cert and SSL_key need each other");
		return -1;
	}
	if (certlen == SIZE_MAX || keylen == SIZE_MAX) {
		conf_fail(c, "SSL_%s can't be read, or is too long",
		    certlen == SIZE_MAX ? "cert" : "key");
		return -1;
	}
	if (memmem(key, keylen, "ENCRYPTED", 9) != NULL) {
		conf_fail(c, "SSL_key is encrypted: store it without a "
		    "passphrase, readable for you alone");
		return -1;
	}
	if (tls_config_set_keypair_mem(c->cfg, cert, certlen, key,
	    keylen) == -1) {
		conf_fail(c, "SSL_cert and SSL_key: %s",
		    tls_config_error(c->cfg));
		return -1;
	}
	return 0;
}

/*
 * Let libtls read the certificates and the key, without a word to the server.
 * The name given here is for SNI only; libtls leaves out address literals
 * (RFC 6066 section 3).
 */
static struct tls *
conf_client(struct conf *c, const struct m_net_setup *su,
    const struct tlsconf_io *io)
{
	const char	*sni = NULL, *why, *key = "";
	struct tls	*tls;

	if (su->ssl_sni && su->ssl_hostname[0] != '\0')
		sni = su->ssl_hostname;
	if ((tls = tls_client()) == NULL) {
		conf_fail(c, "libtls can't be initialised");
		return NULL;
	}
	if (tls_configure(tls, c->cfg) == 0 &&
	    tls_connect_cbs(tls, io->in, io->out, io->arg, sni) == 0)
		return tls;
	if ((why = tls_error(tls)) == NULL)
		why = "unknown reason";
	if (strstr(why, "verify") != NULL)
		key = "SSL_CAfile: ";
	else if (strstr(why, "key") != NULL ||
	    strstr(why, "certificate") != NULL)
		key = "SSL_cert and SSL_key: ";
	conf_fail(c, "TLS: %s%s", key, why);
	tls_free(tls);
	return NULL;
}

struct tls *
tlsconf_client(const struct m_net_setup *su, const struct tlsconf_io *io,
    int ca, int cert, int key, char *why, size_t size)
{
	struct conf	 c = { NULL, why, size };
	struct tls	*tls = NULL;
	uint8_t		*camem, *certmem, *keymem;
	size_t		 calen, certlen, keylen;

	camem = read_all(ca, CA_MAX, &calen);
	certmem = read_all(cert, KEY_MAX, &certlen);
	keymem = read_all(key, KEY_MAX, &keylen);
	if (tls_init() == -1 || (c.cfg = tls_config_new()) == NULL)
		conf_fail(&c, "libtls can't be initialised");
	else if (conf_protocols(&c, su) == 0 && conf_ciphers(&c, su) == 0 &&
	    conf_trust(&c, su, camem, calen) == 0 &&
	    conf_keypair(&c, certmem, certlen, keymem, keylen) == 0)
		tls = conf_client(&c, su, io);
	/* The key is in the library's hands; these copies had their use. */
	if (c.cfg != NULL)
		tls_config_clear_keys(c.cfg);
	tls_config_free(c.cfg);
	free(camem);
	free(certmem);
	if (keymem != NULL)
		freezero(keymem, KEY_MAX);
	return tls;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <stdarg.h>
#include <stdio.h>

#include "b64.h"
#include "log.h"
#include "sasl.h"
#include "scram.h"

#define NONCE_LEN	18	/* octets; 24 characters of base64 */

enum mech_id {
	MECH_SCRAM, MECH_PLAIN, MECH_LOGIN, MECH_CRAM_MD5, MECH_EXTERNAL,
	MECH_XOAUTH2, MECH_OAUTHBEARER
};

struct mech {
	const char	*name;
	enum mech_id	 id;
	const char	*hash;		/* SCRAM */
	int		 bind;		/* SCRAM: -PLUS */
	int		 clear;		/* whoever reads it can log in */
	int		 password;	/* needs user name and password */
	int		 named;		/* only where auth names it */
	int		 as;		/* can say whom to act as: authzid */
};

/*
 * In the order of the default.  -PLUS must be named: libtls gives no other
 * binding than tls-server-end-point, a server does not say which one it takes,
 * and Cyrus SASL refuses this one.
 */
static const struct mech mechs[] = {
	{ "SCRAM-SHA-256-PLUS",	MECH_SCRAM, "SHA-256", 1, 0, 1, 1, 1 },
	{ "SCRAM-SHA-1-PLUS",	MECH_SCRAM, "SHA-1", 1, 0, 1, 1, 1 },
	{ "SCRAM-SHA-256",	MECH_SCRAM, "SHA-256", 0, 0, 1, 0, 1 },
	{ "SCRAM-SHA-1",	MECH_SCRAM, "SHA-1", 0, 0, 1, 0, 1 },
	{ "PLAIN",		MECH_PLAIN, NULL, 0, 1, 1, 0, 1 },
	{ "LOGIN",		MECH_LOGIN, NULL, 0, 1, 1, 0, 0 },
	{ "CRAM-MD5",		MECH_CRAM_MD5, NULL, 0, 0, 1, 1, 0 },
	{ "EXTERNAL",		MECH_EXTERNAL, NULL, 0, 0, 0, 1, 1 },
	{ "XOAUTH2",		MECH_XOAUTH2, NULL, 0, 1, 1, 1, 0 },
	{ "OAUTHBEARER",	MECH_OAUTHBEARER, NULL, 0, 1, 1, 1, 1 },
};

struct sasl {
	const struct mech	*mech;
	struct scram		*scram;
	char			*user;
	char			*authzid;	/* "": the user himself */
	char			*password;
	char			*host;
	uint16_t		 port;
	int			 step;		/* challenges answered */
	char			 error[256];
};

/* ---- the choice ---- */

static const struct mech *
mech_find(const char *name, size_t len)
{
	size_t	 i;

	for (i = 0; i < nitems(mechs); i++)
		if (strlen(mechs[i].name) == len &&
		    strncasecmp(mechs[i].name, name, len) == 0)
			return &mechs[i];
	return NULL;
}

/* The next word of *p, its length in *len; NULL at the end. */
static const char *
word_next(const char **p, size_t *len)
{
	const char	*w;

	w = *p + strspn(*p, " \t");
	*len = strcspn(w, " \t");
	*p = w + *len;
	return *len > 0 ? w : NULL;
}

static int
word_in(const char *list, const char *word)
{
	const char	*w;
	size_t		 len;

	while ((w = word_next(&list, &len)) != NULL)
		if (strlen(word) == len && strncasecmp(w, word, len) == 0)
			return 1;
	return 0;
}

/* What is wanted, in order; returns the number, -1 with the reason. */
static int
mech_list(const char *auth, const struct mech **list, char *why, size_t size)
{
	const struct mech	*m;
	const char		*w;
	size_t			 i, len;
	int			 n = 0;

	while ((w = word_next(&auth, &len)) != NULL) {
		if ((m = mech_find(w, len)) == NULL) {
			snprintf(why, size, "auth names \"%.*s\", which "
			    "imapsync does not have", (int)len, w);
			return -1;
		}
		if (n < (int)nitems(mechs))
			list[n++] = m;
	}
	if (n > 0)
		return n;
	for (i = 0; i < nitems(mechs); i++)
		if (!mechs[i].named)
			list[n++] = &mechs[i];
	return n;
}

static int
is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((u_char)*s >= 0x80)
			return 0;
	return 1;
}

/*
 * The LOGIN command may be used if LOGIN is on the list; it can't carry all
 * octets nor an authzid, and must not be forbidden.
 */
static int
login_command(const struct m_net_setup *su, const struct sasl_offer *offer,
    const struct mech **list, int n)
{
	int	 i;

	for (i = 0; i < n && list[i]->id != MECH_LOGIN; i++)
		;
	return i < n && !offer->logindisabled && su->authzid[0] == '\0' &&
	    is_ascii(su->username) && is_ascii(su->password);
}

/* Why none of the list would do. */
static void
choose_why(const struct m_net_setup *su, const struct sasl_offer *offer,
    int clear, char *why, size_t size)
{
	char	 offered[256];

	log_vis(offered, offer->mechs, sizeof(offered));
	if (clear)
		snprintf(why, size, "%s takes the password in clear only, and "
		    "the connection is not under TLS: use type = imaps or "
		    "STARTTLS = YES (it offers: %s)", su->host,
		    offered[0] == '\0' ? "the LOGIN command" : offered);
	else if (offered[0] == '\0' && offer->logindisabled)
		snprintf(why, size, "%s forbids LOGIN (LOGINDISABLED) and "
		    "offers nothing else%s", su->host, offer->tls ? "" :
		    " without TLS: use type = imaps or STARTTLS = YES");
	else if (su->authzid[0] != '\0')
		snprintf(why, size, "%s offers nothing that can carry the "
		    "authzid%s; it offers: %s", su->host, su->auth[0] != '\0' ?
		    " and that auth names" : "", offered[0] == '\0' ?
		    "the LOGIN command" : offered);
	else if (su->auth[0] != '\0')
		snprintf(why, size, "%s offers none of what auth names (%s); "
		    "it offers: %s", su->host, su->auth,
		    offered[0] == '\0' ? "the LOGIN command" : offered);
	else
		snprintf(why, size, "%s offers no authentication that "
		    "imapsync has or uses unasked; it offers: %s.  See auth "
		    "in imapsync.conf(5)", su->host, offered);
}

const char *
sasl_choose(const struct m_net_setup *su, const struct sasl_offer *offer,
    char *why, size_t size)
{
	const struct mech	*list[nitems(mechs)], *m;
	int			 cleartext = offer->tls || su->cleartext;
	int			 i, n, clear = 0, command, login = 0;

	if ((n = mech_list(su->auth, list, why, size)) == -1)
		return NULL;
	command = login_command(su, offer, list, n);
	for (i = 0; i < n; i++) {
		m = list[i];
		if (m->password &&
		    (su->username[0] == '\0' || !su->has_password))
			continue;
		if (!m->as && su->authzid[0] != '\0')
			continue;
		if (m->clear && !cleartext) {
			/* Would it have been possible? */
			if (word_in(offer->mechs, m->name) ||
			    (m->id == MECH_LOGIN && command))
				clear = 1;
			continue;
		}
		if (m->id == MECH_LOGIN)
			login = 1;
		if (m->bind && (!offer->tls || offer->tls == SASL_TLS_NOBIND))
			continue;
		if (!word_in(offer->mechs, m->name))
			continue;
		/* The command saves turns, and more may follow it at once. */
		if (command && (m->id == MECH_LOGIN ||
		    (m->id == MECH_PLAIN && su->pipeline)))
			return "LOGIN-COMMAND";
		return m->name;
	}
	if (login && command)
		return "LOGIN-COMMAND";
	for (i = 0; i < n; i++)
		if (!list[i]->password)
			break;
	if (i == n && (su->username[0] == '\0' || !su->has_password))
		snprintf(why, size, "no %s is configured for %s",
		    su->username[0] == '\0' ? "username" : "password",
		    su->host);
	else
		choose_why(su, offer, clear, why, size);
	return NULL;
}

/* ---- channel binding ---- */

/* RSASSA-PSS names its digest in its parameters. */
static int
pss_digest(const X509_ALGOR *alg)
{
	RSA_PSS_PARAMS		*pss;
	const ASN1_OBJECT	*obj;
	const ASN1_STRING	*seq;
	const void *val;
	const uint8_t		*p;
	int			 type, nid = NID_undef;

	X509_ALGOR_get0(&obj, &type, &val, alg);
	if (type != V_ASN1_SEQUENCE || val == NULL)
		return NID_undef;
	seq = val;
	p = ASN1_STRING_get0_data(seq);
	pss = d2i_RSA_PSS_PARAMS(NULL, &p, ASN1_STRING_length(seq));
	if (pss == NULL)
		return NID_undef;
	nid = NID_sha1;
	if (pss->hashAlgorithm != NULL) {
		X509_ALGOR_get0(&obj, NULL, NULL, pss->hashAlgorithm);
		nid = OBJ_obj2nid(obj);
	}
	RSA_PSS_PARAMS_free(pss);
	return nid;
}

/*
 * tls-server-end-point (RFC 5929 section 4.1): the certificate's digest by the
 * function that its signature uses, SHA-256 instead of MD5 and SHA-1.  libtls
 * gives no access to what tls-exporter (RFC 9266) needs.  Returns the length, 0
 * if there is none: no TLS, or a signature without a digest of its own.
 */
static size_t
bind_data(const struct stream *st, uint8_t *dst)
{
	const X509_ALGOR	*alg;
	const uint8_t		*der, *p;
	const EVP_MD		*md;
	unsigned int		 n = 0;
	size_t			 len;
	X509			*cert;
	int			 nid, sig;

	if (st == NULL || (p = der = stream_tls_peer(st, &len)) == NULL)
		return 0;
	if ((cert = d2i_X509(NULL, &p, len)) == NULL)
		return 0;
	X509_get0_signature(NULL, &alg, cert);
	sig = X509_get_signature_nid(cert);
	if (sig == NID_rsassaPss)
		nid = pss_digest(alg);
	else if (OBJ_find_sigid_algs(sig, &nid, NULL) != 1)
		nid = NID_undef;
	X509_free(cert);
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	if (nid == NID_undef || (md = EVP_get_digestbynid(nid)) == NULL ||
	    EVP_Digest(der, len, dst, &n, md, NULL) != 1)
		return 0;
	return n;
}

int
sasl_tls(const struct stream *st)
{
	uint8_t	 data[EVP_MAX_MD_SIZE];

	if (stream_tls_version(st)[0] == '\0')
		return 0;
	return bind_data(st, data) > 0 ? 1 : SASL_TLS_NOBIND;
}

/* ---- the exchange ---- */

static int
sasl_fail(struct sasl *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
sasl_fail(struct sasl *sa, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(sa->error, sizeof(sa->error), fmt, ap);
	va_end(ap);
	return -1;
}

/*
 * Without -PLUS: did we look for it first?  Then "y" tells the server that we
 * saw none, and it notices if someone has taken it out of its list.
 */
static int
wanted_plus(const struct m_net_setup *su, const struct mech *mech)
{
	const struct mech	*list[nitems(mechs)];
	char			 why[1];
	int			 i, n;

	n = mech_list(su->auth, list, why, sizeof(why));
	for (i = 0; i < n && list[i] != mech; i++)
		if (list[i]->bind && strcmp(list[i]->hash, mech->hash) == 0)
			return 1;
	return 0;
}

static int
start_scram(struct sasl *sa, const struct m_net_setup *su,
    const struct stream *st, char *why, size_t size)
{
	uint8_t		 random[NONCE_LEN], data[EVP_MAX_MD_SIZE];
	struct buf	 nonce = BUF_INIT;
	const char	*gs2 = "n";
	size_t		 len;

	len = bind_data(st, data);
	if (sa->mech->bind) {
		if (len == 0) {
			snprintf(why, size, "the certificate of %s gives no "
			    "data to bind %s to: set auth = SCRAM-%s",
			    su->host, sa->mech->name, sa->mech->hash);
			return -1;
		}
		gs2 = "p=tls-server-end-point";
	} else {
		if (len > 0 && wanted_plus(su, sa->mech))
			gs2 = "y";
		len = 0;
	}
	arc4random_buf(random, sizeof(random));
	b64_encode(&nonce, random, sizeof(random));
	buf_add(&nonce, "", 1);
	sa->scram = scram_new(sa->mech->hash, su->username, su->authzid,
	    su->password, (char *)buf_ptr(&nonce), gs2, data, len);
	buf_free(&nonce);
	return 0;
}

/* Octets that would end a field of XOAUTH2 or OAUTHBEARER, or a line. */
static int
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((u_char)*s < 0x20 || *s == 0x7f)
			return 1;
	return 0;
}

struct sasl *
sasl_new(const char *name, const struct m_net_setup *su,
    const struct stream *st, char *why, size_t size)
{
	struct sasl		*sa;
	const struct mech	*mech;

	if ((mech = mech_find(name, strlen(name))) == NULL) {
		snprintf(why, size, "imapsync does not have %s", name);
		return NULL;
	}
	if ((mech->id == MECH_XOAUTH2 || mech->id == MECH_OAUTHBEARER) &&
	    (has_control(su->username) || has_control(su->authzid) ||
	    has_control(su->password))) {
		snprintf(why, size, "the token for %s holds a control "
		    "character: the password must be the bare token",
		    su->host);
		return NULL;
	}
	sa = xcalloc(1, sizeof(*sa));
	sa->mech = mech;
	sa->user = xstrdup(su->username);
	sa->authzid = xstrdup(su->authzid);
	sa->password = xstrdup(su->has_password ? su->password : "");
	sa->host = xstrdup(su->host);
	sa->port = su->port;
	if (mech->id == MECH_SCRAM &&
	    start_scram(sa, su, st, why, size) == -1) {
		sasl_free(sa);
		return NULL;
	}
	return sa;
}

void
sasl_free(struct sasl *sa)
{
	if (sa == NULL)
		return;
	scram_free(sa->scram);
	freezero(sa->password, strlen(sa->password));
	freezero(sa->user, strlen(sa->user));
	free(sa->authzid);
	free(sa->host);
	freezero(sa, sizeof(*sa));
}

/* Whom to act as where the mechanism itself names nobody. */
static const char *
acts_as(const struct sasl *sa)
{
	return sa->authzid[0] != '\0' ? sa->authzid : sa->user;
}

/* RFC 7628 section 3.1; the user name is an authzid of GS2. */
static void
oauth_initial(struct sasl *sa, struct buf *out)
{
	buf_puts(out, "n,a=");
	scram_name(out, acts_as(sa));
	buf_puts(out, ",\001");
	if (sa->host[0] != '\0' && !has_control(sa->host))
		buf_printf(out, "host=%s\001", sa->host);
	if (sa->port != 0)
		buf_printf(out, "port=%u\001", sa->port);
	buf_printf(out, "auth=Bearer %s\001\001", sa->password);
}

int
sasl_initial(struct sasl *sa, struct buf *out)
{
	switch (sa->mech->id) {
	case MECH_SCRAM:
		scram_first(sa->scram, out);
		return 1;
	case MECH_PLAIN:
		buf_puts(out, sa->authzid);
		buf_add(out, "", 1);
		buf_puts(out, sa->user);
		buf_add(out, "", 1);
		buf_puts(out, sa->password);
		return 1;
	case MECH_EXTERNAL:
		/* Whom to be; empty: the certificate says it. */
		buf_puts(out, acts_as(sa));
		return 1;
	case MECH_XOAUTH2:
		buf_printf(out, "user=%s\001auth=Bearer %s\001\001", sa->user,
		    sa->password);
		return 1;
	case MECH_OAUTHBEARER:
		oauth_initial(sa, out);
		return 1;
	case MECH_LOGIN:
	case MECH_CRAM_MD5:
		break;
	}
	return 0;
}

static int
step_login(struct sasl *sa, struct buf *out)
{
	/* The challenges are prompts in words that no standard fixes. */
	if (sa->step == 1)
		buf_puts(out, sa->user);
	else if (sa->step == 2)
		buf_puts(out, sa->password);
	else
		return sasl_fail(sa, "the server asks for more than user name "
		    "and password");
	return 0;
}

/* RFC 2195 */
static int
step_cram_md5(struct sasl *sa, const void *data, size_t len, struct buf *out)
{
	uint8_t		 digest[EVP_MAX_MD_SIZE];
	unsigned int	 i, n;

	if (sa->step > 1)
		return sasl_fail(sa, "the server goes on after the end of "
		    "CRAM-MD5");
	if (HMAC(EVP_md5(), sa->password, strlen(sa->password),
	    len > 0 ? data : "", len, digest, &n) == NULL)
		return sasl_fail(sa, "this libcrypto refuses MD5: name another "
		    "mechanism with auth");
	buf_printf(out, "%s ", sa->user);
	for (i = 0; i < n; i++)
		buf_printf(out, "%02x", digest[i]);
	return 0;
}

/*
 * A challenge means that the token was refused: it is JSON, of which "status"
 * is for the user.  The server's NO comes once it is answered.
 */
static int
step_token(struct sasl *sa, const char *json, size_t len, struct buf *out)
{
	static const char	 key[] = "\"status\"";
	const char		*p, *end;
	size_t			 n;

	if (len == 0)
		json = "";
	end = json + len;
	if (sa->step > 1)
		return sasl_fail(sa, "the server goes on after the end of %s",
		    sa->mech->name);
	if (sa->mech->id == MECH_OAUTHBEARER)
		buf_puts(out, "\001");
	if ((p = memmem(json, len, key, sizeof(key) - 1)) != NULL) {
		p += sizeof(key) - 1;
		while (p < end && strchr(" \t:\"", *p) != NULL && *p != '\0')
			p++;
		for (n = 0; p + n < end && strchr("\",}", p[n]) == NULL; n++)
			continue;
	} else {
		p = json;
		n = len;
	}
	if (n > 200)
		n = 200;
	sasl_fail(sa, "the server refuses the token (%.*s)", (int)n, p);
	return 0;
}

int
sasl_step(struct sasl *sa, const void *data, size_t len, struct buf *out)
{
	sa->step++;
	switch (sa->mech->id) {
	case MECH_SCRAM:
		return scram_step(sa->scram, data, len, out);
	case MECH_LOGIN:
		return step_login(sa, out);
	case MECH_CRAM_MD5:
		return step_cram_md5(sa, data, len, out);
	case MECH_XOAUTH2:
	case MECH_OAUTHBEARER:
		return step_token(sa, data, len, out);
	case MECH_PLAIN:
	case MECH_EXTERNAL:
		break;
	}
	return sasl_fail(sa, "the server asks for more than %s gives",
	    sa->mech->name);
}

int
sasl_proved(const struct sasl *sa)
{
	return sa->scram != NULL && scram_verified(sa->scram);
}

int
sasl_finish(struct sasl *sa)
{
	if (sa->scram == NULL || scram_verified(sa->scram))
		return 0;
	return sasl_fail(sa, "the server says OK but has not proved that it "
	    "knows the password (%s): it may be an impostor", sa->mech->name);
}

const char *
sasl_error(const struct sasl *sa)
{
	if (sa->scram != NULL && sa->error[0] == '\0')
		return scram_error(sa->scram);
	return sa->error;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Authentication mechanisms.  No I/O: the session sends what these return.
 */
#ifndef SASL_H
#define SASL_H

#include "stream.h"

struct sasl;

/* What the server offers and the connection gives. */
struct sasl_offer {
	const char	*mechs;		/* after AUTH=, upper case, blanks between */
	int		 logindisabled;
	int		 tls;		/* the connection is under TLS: sasl_tls() */
};
/*
 * 0 without TLS, 1 with; SASL_TLS_NOBIND with TLS whose certificate SCRAM-*-PLUS
 * can't be bound to, so that these are not chosen.
 */
#define SASL_TLS_NOBIND	2
int		 sasl_tls(const struct stream *);

/*
 * Choose by setup->auth (or the default: SCRAM-SHA-256, SCRAM-SHA-1, PLAIN,
 * LOGIN).  Never a clear password where neither TLS nor setup->cleartext allows
 * it, and with setup->authzid none that can't carry it.  Returns a name in static
 * storage; "LOGIN-COMMAND" where LOGIN is on the
 * list, the LOGIN command may be used (see design.md 4.1), and LOGIN was chosen,
 * or nothing is offered, or with pipeline set PLAIN, since other commands may
 * follow it in its packet; NULL with the reason in "why".
 */
const char	*sasl_choose(const struct m_net_setup *,
		    const struct sasl_offer *, char *why, size_t size);

/* NULL with the reason in "why" (e.g. channel binding can't be had). */
struct sasl	*sasl_new(const char *mech, const struct m_net_setup *,
		    const struct stream *, char *why, size_t size);
/* Wipes what it holds. */
void		 sasl_free(struct sasl *);
/*
 * The initial response, not yet in base64, into "out".  Returns 1 if there is
 * one ("out" may stay empty: RFC 4959 "="), 0 if the server speaks first.  May
 * be asked again until the first step.
 */
int		 sasl_initial(struct sasl *, struct buf *out);
/*
 * Answer one challenge (decoded).  Returns 0 with the answer in "out"; -1: the
 * exchange must be cancelled ("*"), the reason is in sasl_error().
 */
int		 sasl_step(struct sasl *, const void *, size_t, struct buf *out);
/*
 * Behind sasl_step(): 1 if the server has proved what it must, and its tagged
 * answer alone is still to come.
 */
int		 sasl_proved(const struct sasl *);
/*
 * The tagged OK came.  Returns 0, or -1 if the mechanism has not seen the proof
 * that it demands of the server (RFC 5802 section 3): sasl_error().
 */
int		 sasl_finish(struct sasl *);
/*
 * After -1; and after the server's NO: what it said in a challenge about why (a
 * token that expired ...), or "".  Untrusted text.
 */
const char	*sasl_error(const struct sasl *);

#endif /* SASL_H */

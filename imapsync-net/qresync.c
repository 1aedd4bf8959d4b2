/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * QRESYNC (RFC 7162): SELECT tells what vanished and what has changed, and UID
 * EXPUNGE names the UIDs.
 */
#include "net.h"

static void
qresync_param(struct cmd *c, const struct m_net_open *o)
{
	if (o->uidvalidity == 0 || o->modseq == 0)
		return;
	cmd_printf(c, " (QRESYNC (%u %llu", o->uidvalidity,
	    (unsigned long long)o->modseq);
	/* "1:0" is no set (RFC 3501 section 9). */
	if (o->n != 0)
		cmd_printf(c, " 1:%u", o->n);
	cmd_puts(c, "))");
}

const struct strategy	 strategy_qresync = {
	.kind = STRATEGY_QRESYNC,
	.proof = PROOF_TOLD,
	.modseq = 1,
	.line = LINE_MAX_LEN,
	.param = qresync_param
};

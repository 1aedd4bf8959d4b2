/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Nothing but RFC 3501: the server tells nothing, the engine compares lists.  Of
 * such servers some answer SEARCH with what is not true, and one refuses lines
 * above 1,000 octets (any of them may: RFC 2683 section 3.2.1.5).  That one tells
 * the items of a message in an order of its own.
 */
#include "net.h"

#define PLAIN_LINE	1000

const struct strategy	 strategy_plain = {
	.kind = STRATEGY_PLAIN,
	.proof = PROOF_LISTED,
	.search = CAP_ANY,
	.single = 1,
	.aside = 1,
	.line = PLAIN_LINE,
	.confirm = select_confirm
};

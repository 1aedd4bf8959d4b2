/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The key of a message: 64 bits of SHA-256 over the fields of its header that
 * no server alters, in a form in which a whole message and an answer to
 * BODY[HEADER.FIELDS] are the same.  That form: "name:value\n", the name in
 * lower case, the value with each run of blanks, CR and LF as one space and
 * none at the ends, NUL and octets above 127 as "X" (Dovecot makes 128 of a
 * NUL, Cyrus "X" of 8-bit).
 */
#include <ctype.h>

#include "imap.h"

static const char *const fields[] = { "message-id", "date", "from", "to",
    "subject" };

void
key_init(struct key *k)
{
	memset(k, 0, sizeof(*k));
	SHA256Init(&k->sha);
	k->first = 1;
}

static void
key_flush(struct key *k)
{
	SHA256Update(&k->sha, (uint8_t *)k->buf, k->n);
	k->n = 0;
}

static void
key_put(struct key *k, char c)
{
	if (k->n == sizeof(k->buf))
		key_flush(k);
	k->buf[k->n++] = c;
}

static void
key_endfield(struct key *k)
{
	if (k->wanted)
		key_put(k, '\n');
	k->wanted = 0;
}

/* The colon is here. */
static void
key_name(struct key *k)
{
	size_t	 i, j;

	while (k->namelen > 0 && (k->name[k->namelen - 1] == ' ' ||
	    k->name[k->namelen - 1] == '\t'))
		k->namelen--;
	for (i = 0; i < nitems(fields); i++)
		if (strlen(fields[i]) == k->namelen &&
		    memcmp(fields[i], k->name, k->namelen) == 0)
			break;
	k->state = KEY_VALUE;
	if (i == nitems(fields))
		return;
	if (i == 0)
		k->msgid = 1;
	k->wanted = 1;
	k->space = k->began = 0;
	for (j = 0; j < k->namelen; j++)
		key_put(k, k->name[j]);
	key_put(k, ':');
}

/* The first octet of a line. */
static void
key_line(struct key *k, unsigned char c)
{
	if (c == ' ' || c == '\t') {
		/* What continues no field is ignored. */
		k->state = k->first ? KEY_SKIP : KEY_VALUE;
		if (k->wanted)
			k->space = 1;
		return;
	}
	key_endfield(k);
	k->first = 0;
	k->namelen = 0;
	k->state = KEY_NAME;
}

static void
key_namechar(struct key *k, unsigned char c)
{
	if (c == ':') {
		key_name(k);
	} else if (c == '\n') {
		/* An empty line ends the header; another has no colon. */
		k->state = k->namelen == 0 ||
		    (k->namelen == 1 && k->name[0] == '\r') ? KEY_DONE :
		    KEY_LINE;
	} else if (k->namelen < sizeof(k->name)) {
		k->name[k->namelen++] = tolower(c);
	} else
		k->name[sizeof(k->name) - 1] = 'x';	/* none of ours */
}

static void
key_valuechar(struct key *k, unsigned char c)
{
	if (c == '\n')
		k->state = KEY_LINE;
	if (!k->wanted)
		return;
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
		k->space = 1;
		return;
	}
	if (k->space && k->began)
		key_put(k, ' ');
	k->space = 0;
	k->began = 1;
	key_put(k, c == '\0' || c >= 0x80 ? 'X' : c);
}

void
key_feed(struct key *k, const void *data, size_t len)
{
	const unsigned char	*p = data, *end = p + len;

	for (; p < end && k->state != KEY_DONE; p++) {
		/* Most of a header is of fields that don't count. */
		if ((k->state == KEY_VALUE && !k->wanted) ||
		    k->state == KEY_SKIP) {
			p = memchr(p, '\n', (size_t)(end - p));
			if (p == NULL)
				return;
			k->state = KEY_LINE;
			continue;
		}
		if (k->state == KEY_LINE)
			key_line(k, *p);
		if (k->state == KEY_NAME)
			key_namechar(k, *p);
		else if (k->state == KEY_VALUE)
			key_valuechar(k, *p);
	}
}

uint64_t
key_final(struct key *k, int *msgid)
{
	uint8_t		 digest[SHA256_DIGEST_LENGTH];
	uint64_t	 key = 0;
	int		 i;

	key_endfield(k);
	key_flush(k);
	SHA256Final(digest, &k->sha);
	for (i = 0; i < 8; i++)
		key = key << 8 | digest[i];
	if (msgid != NULL)
		*msgid = k->msgid;
	return key;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <time.h>
#include <unistd.h>

#include "compat.h"
#include "json.h"
#include "proto.h"
#include "say.h"
#include "show.h"
#include "utf7.h"

/*
 * In UTF-8 (RFC 8259 section 8.1).  It may be a server's choice: what is not fit to
 * be shown is \\uXXXX, and so is an octet that is no UTF-8, so that the result is
 * always valid.
 */
void
json_str(struct buf *b, const char *s)
{
	const char	*p = s;
	int32_t		 c;

	buf_puts(b, "\"");
	for (; *s != '\0'; s = p) {
		if ((c = utf8_next(&p)) == -1)
			c = (unsigned char)*p++;
		else if (c >= 0x80 && !show_hidden(c)) {
			buf_add(b, s, p - s);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c >= 0x10000)
			buf_printf(b, "\\u%04x\\u%04x",
			    0xd800 + ((c - 0x10000) >> 10),
			    0xdc00 + ((c - 0x10000) & 0x3ff));
		else if (c < 0x20 || c >= 0x7f)
			buf_printf(b, "\\u%04x", c);
		else
			buf_add(b, s, 1);
	}
	buf_puts(b, "\"");
}

void
json_time(struct buf *b, int64_t when)
{
	char		 text[64];
	struct tm	*tm;
	time_t		 t = when;

	if (when <= 0 || (tm = gmtime(&t)) == NULL ||
	    strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%SZ\"", tm) == 0)
		buf_puts(b, "null");
	else
		buf_puts(b, text);
}

void
json_maybe(struct buf *b, const char *s)
{
	if (s == NULL || s[0] == '\0')
		buf_puts(b, "null");
	else
		json_str(b, s);
}

const char *
json_bool(int on)
{
	return on ? "true" : "false";
}

static void
json_error(struct buf *b, const struct json_head *h)
{
	static const char *const	 kinds[] = {
		[FAULT_NONE] = "",
		[FAULT_USAGE] = "usage",
		[FAULT_CONFIGURATION] = "configuration",
		[FAULT_PASSWORD] = "password",
		[FAULT_CONNECT] = "connect",
		[FAULT_TLS] = "tls",
		[FAULT_CERTIFICATE] = "certificate",
		[FAULT_LOGIN] = "login",
		[FAULT_SERVER] = "server",
		[FAULT_LOST] = "lost",
		[FAULT_LIMIT] = "limit",
		[FAULT_STATE] = "state",
		[FAULT_BUSY] = "busy",
		[FAULT_LATE] = "late",
		[FAULT_INTERRUPTED] = "interrupted",
		[FAULT_CRASHED] = "crashed",
		[FAULT_FAILED] = "failed"
	};

	if (h->fault == FAULT_NONE) {
		buf_puts(b, "null");
		return;
	}
	buf_puts(b, "{\"kind\":");
	json_str(b, kinds[h->fault]);
	buf_puts(b, ",\"side\":");
	json_maybe(b, h->side == LOCAL || h->side == REMOTE ?
	    side_name[h->side] : NULL);
	buf_puts(b, ",\"text\":");
	json_str(b, h->text != NULL ? h->text : "");
	buf_puts(b, "}");
}

void
json_head(struct buf *b, const struct json_head *h)
{
	static const char *const	 commands[] = {
		[CMD_SYNC] = "sync",
		[CMD_CHECK] = "check",
		[CMD_REPAIR] = "repair",
		[CMD_DELETE] = "delete",
		[CMD_RENAME] = "rename",
		[CMD_IMPORT] = "import",
		[CMD_STATUS] = "status"
	};

	buf_puts(b, "{\"version\":1,\"command\":");
	json_str(b, commands[h->command]);
	buf_printf(b, ",\"status\":%d,\"dry_run\":%s,\"began\":", h->status,
	    json_bool(h->dryrun));
	json_time(b, h->began);
	buf_puts(b, ",\"ended\":");
	json_time(b, h->began + h->ms / 1000);
	buf_printf(b, ",\"seconds\":%lld.%03lld,\"last_good\":",
	    (long long)h->ms / 1000, (long long)h->ms % 1000);
	json_time(b, h->synced);
	buf_puts(b, ",\"error\":");
	json_error(b, h);
}

void
json_end(struct buf *b)
{
	buf_puts(b, "}\n");
	say_write(STDOUT_FILENO, (const char *)buf_ptr(b), b->len);
	buf_free(b);
}

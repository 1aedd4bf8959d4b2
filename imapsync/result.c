/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --json where no engine prints the object: it was not started, or has died.
 */
#include <stdio.h>
#include <time.h>

#include "imapsync.h"
#include "json.h"

static enum fault	 result_fault = FAULT_CONFIGURATION;
static int		 result_side = -1;
static struct json_head	 result;	/* fault, side and text: the first */
static char		 result_text[LOG_TEXT_MAX];

void
result_begin(void)
{
	memset(&result, 0, sizeof(result));
	result.side = -1;
	result.began = time(NULL);
	result_text[0] = '\0';
}

void
result_at(enum fault fault, int side)
{
	result_fault = fault;
	result_side = side;
}

void
result_synced(int64_t when)
{
	result.synced = when;
}

void
result_said(const char *text)
{
	if (result.fault != FAULT_NONE)
		return;
	result.fault = result_fault;
	result.side = result_side;
	strlcpy(result_text, text, sizeof(result_text));
}

int
result_known(void)
{
	return result.fault != FAULT_NONE;
}

void
result_print(const struct sup_opts *o, int status)
{
	struct buf	 b = BUF_INIT;

	if (!o->json)
		return;
	result.status = status;
	result.command = o->command;
	result.dryrun = o->dryrun || o->command == CMD_CHECK;
	result.ms = (time(NULL) - result.began) * 1000;
	if (sup_stopped()) {
		result.fault = FAULT_INTERRUPTED;
		result.side = -1;
		strlcpy(result_text, "interrupted by a signal",
		    sizeof(result_text));
	} else if (result.fault == FAULT_NONE)
		result.fault = FAULT_FAILED;
	result.text = result_text;
	json_head(&b, &result);
	buf_puts(&b, ",\"local\":null,\"remote\":null,\"mailboxes\":[],"
	    "\"renamed\":[],\"deleted\":[],\"refused\":[]");
	json_end(&b);
}

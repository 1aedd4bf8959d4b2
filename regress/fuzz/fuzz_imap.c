/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The parser of what a mail server sends, fed with anything.
 *
 * What must hold: it neither crashes nor leaks, its memory is bounded, what it
 * hands on is fit for use, and in which pieces the octets come makes no
 * difference to that.
 */
#include <stdio.h>

#include "imapsync-net/imap.h"
#include "log.h"
#include "replay.h"

/* One reading of the input: what was handed on, as text. */
struct reading {
	struct parser	 parser;
	struct buf	 log;
	uint64_t	 left;		/* octets of a body still to come */
	int		 inbody;
};

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_imap: %s\n", what);
		abort();
	}
}

static void
check_name(const char *name)
{
	must(strlen(name) < NAME_MAX_LEN, "a long name");
	for (; *name != '\0'; name++)
		must((unsigned char)*name >= ' ' && *name != 0x7f,
		    "a control octet in a name");
}

static void
check_set(const struct uidset *set)
{
	struct uidrange	 r;
	uint32_t	 uid;

	UIDSET_FOREACH(r, set, uid)
		must(r.lo != 0 && r.hi >= r.lo, "a range");
}

static void
log_set(struct buf *log, const struct uidset *set)
{
	struct uidrange	 r;
	uint32_t	 uid;

	check_set(set);
	UIDSET_FOREACH(r, set, uid)
		buf_printf(log, " %u:%u", r.lo, r.hi);
}

static void
log_fetch(struct buf *log, const struct fetch *f)
{
	int64_t	 t = 0;

	must(flags_valid(f->flags), "flags that are not canonical");
	must(f->has_date != FDATE_TOLD || parse_date(f->date, &t) == 0,
	    "a date");
	must(f->has_date <= FDATE_BAD, "has_date");
	buf_printf(log, " %u %d %llu %d %llu %d %d %d %d", f->uid,
	    f->has_modseq, (unsigned long long)f->modseq, f->has_size,
	    (unsigned long long)f->size, f->has_flags, f->has_date,
	    f->section, f->body);
	buf_puts(log, f->flags);
	buf_printf(log, " %lld", (long long)t);
}

static void
on_resp(void *arg, const struct resp *r)
{
	struct reading	*rd = arg;
	struct buf	*log = &rd->log;

	must(!rd->inbody, "a response within a body");
	check_name(r->name);
	must(flags_valid(r->flags), "flags that are not canonical");
	must(strlen(r->text) < TEXT_MAX && strlen(r->tag) < TAG_SIZE,
	    "a long text");
	must(r->type != R_TAGGED || r->word <= WORD_BAD, "a tagged BYE");
	must((r->fetch != NULL) == (r->type == R_FETCH), "no fetch");
	must(strlen(r->noflag) < NOFLAG_SIZE, "a long flag");
	buf_printf(log, "\n%d %d %d %d %d %d %d %d %d %llu %s", r->type,
	    r->word, r->code, r->rc, r->earlier, r->bad, r->any,
	    r->ordered, r->qresync, (unsigned long long)r->num, r->tag);
	log_set(log, &r->set);
	buf_printf(log, " %x %llu", r->caps.bits,
	    (unsigned long long)r->caps.appendlimit);
	buf_puts(log, r->caps.mechs);
	buf_printf(log, " %d %x %u %u %u %llu", r->mb.delimiter, r->mb.attrs,
	    r->mb.uidvalidity, r->mb.uidnext, r->mb.messages,
	    (unsigned long long)r->mb.modseq);
	buf_puts(log, r->mailboxid);
	buf_puts(log, r->name);
	buf_puts(log, r->flags);
	buf_puts(log, r->text);
	if (r->fetch != NULL)
		log_fetch(log, r->fetch);
	/* What stops at a response must go on behind it. */
	if (r->type == R_TAGGED)
		parse_stop(&rd->parser);
}

static void
on_body(void *arg, const struct fetch *f, uint64_t len)
{
	struct reading	*rd = arg;

	must(!rd->inbody, "a body within a body");
	rd->inbody = 1;
	rd->left = len;
	buf_printf(&rd->log, "\nbody %llu", (unsigned long long)len);
	log_fetch(&rd->log, f);
}

static void
on_data(void *arg, const void *data, size_t len)
{
	struct reading	*rd = arg;

	must(rd->inbody && len > 0 && len <= rd->left, "octets of no body");
	rd->left -= len;
	buf_add(&rd->log, data, len);
}

static void
on_end(void *arg)
{
	struct reading	*rd = arg;

	must(rd->inbody && rd->left == 0, "the end of no body");
	rd->inbody = 0;
	buf_puts(&rd->log, "\nend");
}

static const struct parse_ops ops = { on_resp, on_body, on_data, on_end,
    NULL };

/* Read all, in pieces of at most "most" octets. */
static void
read_all(struct reading *rd, const uint8_t *data, size_t len, size_t most)
{
	size_t	 n, seed = len;
	ssize_t	 used;
	uint8_t	*piece;

	memset(rd, 0, sizeof(*rd));
	parse_init(&rd->parser, &ops, rd);
	while (len > 0) {
		seed = seed * 1103515245 + 12345;
		n = most == SIZE_MAX ? len : 1 + (seed >> 8) % most;
		if (n > len)
			n = len;
		/* Memory of its own, so that reading past it is noticed. */
		piece = xmalloc(n);
		memcpy(piece, data, n);
		used = parse_feed(&rd->parser, piece, n);
		free(piece);
		must(rd->parser.lx.line.cap <= 1024 * 1024, "memory");
		if (used == -1) {
			must(rd->parser.error[0] != '\0', "no reason");
			buf_puts(&rd->log, "\nerror ");
			buf_puts(&rd->log, rd->parser.error);
			break;
		}
		must(used > 0 && (size_t)used <= n, "octets taken");
		data += used;
		len -= used;
	}
	parse_free(&rd->parser);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t	 pieces[] = { SIZE_MAX, 1, 50, 5000 };
	struct reading		 first, next;
	unsigned		 i;

	read_all(&first, data, len, pieces[0]);
	for (i = 1; i < nitems(pieces); i++) {
		read_all(&next, data, len, pieces[i]);
		must(first.log.len == next.log.len && (first.log.len == 0 ||
		    memcmp(buf_ptr(&first.log), buf_ptr(&next.log),
		    first.log.len) == 0), "pieces make a difference");
		buf_free(&next.log);
	}
	buf_free(&first.log);
	return 0;
}

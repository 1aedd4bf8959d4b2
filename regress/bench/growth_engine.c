/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The engine: what a worker passes on. */
#include "imapsync/engine/engine.h"

#include "growth.h"

static struct mboxlist	 list;

static struct mbox *
box(void)
{
	struct mbox	*mb;
	int		 side;

	mbox_init(&list);
	mb = mbox_new(&list, "INBOX");
	mbox_begin(mb);
	for (side = 0; side < SIDES; side++)
		mb->s[side].w->found.allow = PROP_ALL;
	return mb;
}

static void
changes(void)
{
	struct mbox	*mb = box();
	char		 flags[32];
	uint32_t	 i;

	for (i = n; i > 0; i--) {
		snprintf(flags, sizeof(flags), "\\Seen k%u", i);
		change_add(&mb->s[LOCAL], mixed(i), flags);
	}
	mbox_reset(&list);
}

/* Every message gains a keyword of its own. */
static void
keywords(void)
{
	static struct sess	 d;
	struct mbox		*mb = box();
	char			 flags[32];
	uint32_t		 i;

	memset(&d, 0, sizeof(d));
	d.permflags = (char *)(uintptr_t)"\\Seen";
	d.perm_any = 1;
	mb->s[REMOTE].w->found.disc = &d;
	for (i = 0; i < n; i++) {
		snprintf(flags, sizeof(flags), "k%u", i);
		row_now(row_add(mb, mixed(i), mixed(i), ""), LOCAL, flags);
	}
	plan_mbox(mb);
	mb->s[REMOTE].w->found.disc = NULL;
	mbox_reset(&list);
}

/* The same where the server has them all. */
static void
stores(void)
{
	struct mbox	*mb = box();
	char		 flags[32];
	uint32_t	 i;

	for (i = 0; i < n; i++) {
		snprintf(flags, sizeof(flags), "k%u", i);
		row_now(row_add(mb, mixed(i), mixed(i), ""), LOCAL, flags);
	}
	plan_mbox(mb);
	mbox_reset(&list);
}

static void
mailboxes(void)
{
	char		 name[32];
	uint32_t	 i;

	mbox_init(&list);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%u", mixed(i));
		if (mbox_find(&list, name) == NULL)
			(void)mbox_new(&list, name);
	}
	mbox_reset(&list);
}

static void
warnings(void)
{
	static struct engine	 e;
	char			 text[64];
	uint32_t		 i;

	memset(&e, 0, sizeof(e));
	ledger_init(&e);
	progress_init(&e);
	e.want.cfg.prefix = "";
	e.want.cfg.watch = e.want.cfg.haslog = 1;
	e.want.cfg.again = AGAIN_LOST;	/* said nowhere */
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "n%u: it can't be opened", i);
		progress_log(&e, LOG_LV_WARN, "remote", NULL, text);
	}
}

static const struct path paths[] = {
	{ "changes", changes, 4000 },
	{ "keywords", keywords, 2000 },
	{ "stores", stores, 4000 },
	{ "mailboxes", mailboxes, 4000 },
	{ "warnings", warnings, 4000 },
	{ NULL, NULL, 0 }
};

int
main(int argc, char *argv[])
{
	return growth(argc, argv, paths);
}

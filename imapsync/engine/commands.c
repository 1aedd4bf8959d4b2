/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --check, --delete, --rename: what is done with the names of mailboxes, after
 * LIST and without a synchronisation.
 */
#include <stdio.h>

#include "engine.h"

/* ---- --check ---- */

const struct extension cmd_extensions[] = {
	{ CAP_UIDPLUS,	"UIDPLUS", "deletions wait while other messages are "
	    "marked \\Deleted" },
	{ CAP_QRESYNC,	"QRESYNC", "it does not tell what was deleted" },
	{ CAP_CONDSTORE, "CONDSTORE", "it does not tell what has changed" },
	{ CAP_LIST_EXTENDED, "LIST-EXTENDED", "another LIST is needed" },
	{ CAP_LIST_STATUS, "LIST-STATUS", "each mailbox is asked for its numbers" },
	{ CAP_LITERALPLUS, "LITERAL+", "copying is much slower" },
	{ CAP_MULTIAPPEND, "MULTIAPPEND", "copying is slower" },
	{ CAP_COMPRESS,	"COMPRESS=DEFLATE", "more octets on the wire" },
	{ CAP_SPECIAL_USE, "SPECIAL-USE", "Trash and Junk go by name" },
	{ CAP_NOTIFY,	"NOTIFY", "--notify falls back to IDLE" },
	{ CAP_IDLE,	"IDLE", "--watch only looks from time to time" },
	{ CAP_OBJECTID,	"OBJECTID", "a mailbox that was replaced is noticed "
	    "less surely" },
	{ 0, NULL, NULL }
};

/* What is used, why, what it costs and what is not promised. */
static void
check_strategy(const struct m_engine_ready *r)
{
	const char	*why = r->forced ? "by the configuration" :
			    r->strategy == STRATEGY_QRESYNC ? "the best" :
			    r->caps & CAP_QRESYNC ?
			    "QRESYNC was not switched on when asked" :
			    r->caps & CAP_CONDSTORE ? "there is no QRESYNC" :
			    "there is neither QRESYNC nor CONDSTORE";

	switch (r->strategy) {
	case STRATEGY_QRESYNC:
		report_out("    strategy: qresync (%s): the server tells all changes",
		    why);
		break;
	case STRATEGY_CONDSTORE:
		report_out("    strategy: condstore (%s): what was deleted is found by "
		    "counting, and then by a list; the next run selects once "
		    "more what a run has changed", why);
		break;
	default:
		report_out("    strategy: plain (%s): changes of flags are found by "
		    "listing all flags; what was deleted is found by comparing "
		    "lists", why);
		break;
	}
}

/* What a run without changes costs, and what of it depends on flags-interval. */
#define LIST_OCTETS	150	/* a mailbox: LIST and STATUS */
#define ASK_OCTETS	75	/* a STATUS command */
#define FLAG_OCTETS	50	/* a message, in a list of flags */
struct cost {
	uint32_t	 mailboxes;
	uint32_t	 lacking;	/* of them: no HIGHESTMODSEQ */
	uint64_t	 always;	/* messages whose flags each run lists */
	uint64_t	 turns;		/* and those that wait for their turn */
};

static void
check_count(struct engine *e, int side, struct cost *c)
{
	struct side_told	*t;
	struct mbox		*mb;

	memset(c, 0, sizeof(*c));
	FOREACH_MBOX(mb, &e->list) {
		t = &mb->s[side].told;
		if (mb->skip || !mbox_present(mb, side))
			continue;
		c->mailboxes++;
		if (!t->has_status || t->modseq != 0)
			continue;
		c->lacking++;
		if (rules_always(e, mb, side))
			c->always += t->messages;
		else
			c->turns += t->messages;
	}
}

static void
check_cost(struct engine *e, int side)
{
	const struct m_engine_ready	*r = &e->srv[side].ready;
	struct cost			 c;
	uint64_t			 octets;
	char				 size[16];

	check_count(e, side, &c);
	octets = c.mailboxes * (LIST_OCTETS + (r->caps & CAP_LIST_STATUS ? 0 :
	    ASK_OCTETS)) + c.always * FLAG_OCTETS;
	report_out("    a run without changes: %s behind the login at most, about %s"
	    "%s", c.always > 0 ? "2 round trips" : "1 round trip",
	    progress_size(octets, size), r->caps & CAP_COMPRESS ?
	    " before compression" : "");
	if (c.lacking > 0 && r->strategy != STRATEGY_PLAIN)
		report_out("    %u of %u mailboxes have no HIGHESTMODSEQ: they are as "
		    "with the strategy plain", c.lacking, c.mailboxes);
	if (c.always > 0)
		report_out("    in it: the flags of %llu messages are listed",
		    (unsigned long long)c.always);
	if (c.turns > 0)
		report_out("    not promised: a change of flags that comes to the "
		    "other side at once, in mailboxes with %llu messages; these "
		    "are listed in turns (flags-interval), about %s for all of "
		    "them", (unsigned long long)c.turns,
		    progress_size(c.turns * FLAG_OCTETS, size));
	if (!(r->caps & CAP_UIDPLUS))
		report_out("    not promised: deletions while somebody else's messages "
		    "are marked \\Deleted; they wait");
	if (r->strategy != STRATEGY_QRESYNC)
		report_out("    not promised: deletions on a server that shows other "
		    "messages than it is asked for; a run finds that out, "
		    "deletes nothing and says so");
}

int
cmd_check_side(struct engine *e, int side)
{
	const struct m_engine_ready	*r = &e->srv[side].ready;
	const struct extension		*x;
	int				 bad = 0;

	for (x = cmd_extensions; x->name != NULL; x++) {
		if (r->caps & x->cap) {
			report_out("    %-17s yes", x->name);
			continue;
		}
		report_out("    %-17s no: %s", x->name, x->use);
	}
	check_strategy(r);
	if (!e->srv[side].list_failed)
		check_cost(e, side);
	if (r->appendlimit != 0)
		report_out("    largest message: %llu octets",
		    (unsigned long long)r->appendlimit);
	if (e->srv[side].list_failed) {
		report_out("    the mailboxes could not be listed");
		bad = 1;
	}
	return bad;
}

/* ---- --delete and --rename ---- */

static int
targets(const struct engine *e, int side)
{
	return (e->want.cfg.target & (side == LOCAL ? TARGET_LOCAL :
	    TARGET_REMOTE)) != 0;
}

/* A name of the command line; INBOX is not to be touched. */
static void
cmd_name(struct engine *e, const char *arg, char *name)
{
	which_mbox(e, arg, name);
	/* But the state may forget what it knows of it. */
	if (strcmp(name, "INBOX") == 0 && (e->want.cfg.command != CMD_DELETE ||
	    e->want.cfg.target != TARGET_DATABASE))
		fatalx("INBOX can be neither deleted nor renamed");
}

static void	 new_name(struct mbox *, const char *, const char *, char *);
static void	 cmd_send(struct engine *, struct mbox *, int, enum name_op,
		    const char *, const char *);

/* For --json. */
static void
cmd_record(struct engine *e, const struct req *r)
{
	char	 old[NAME_MAX_LEN], new[NAME_MAX_LEN], name[NAME_MAX_LEN];

	if (r->what == NAME_DELETE)
		ledger_deleted(e, r->side, r->mb->name,
		    r->mb->s[r->side].told.messages);
	if (r->what != NAME_RENAME)
		return;
	cmd_name(e, e->want.args[0], old);
	cmd_name(e, e->want.args[1], new);
	new_name(r->mb, old, new, name);
	ledger_renamed(e, r->side, r->mb->name, name);
}

static void
cmd_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mside	*ms = &r->mb->s[r->side];
	static const char *const verbs[] = { "create", "delete", "rename",
	    "subscribe to", "unsubscribe from" };
	char		 text[LOG_TEXT_MAX];

	if (m->status == ST_OK)
		cmd_record(e, r);
	if (m->status == ST_OK && r->what == NAME_DELETE)
		log_info("%s: deleted on %s (%u messages)",
		    name_show(e, r->mb->name), side_name[r->side],
		    ms->told.messages);
	else if (m->status == ST_OK && r->what == NAME_RENAME)
		log_info("%s: renamed on %s", name_show(e, r->mb->name),
		    side_name[r->side]);
	/* What is still there stays subscribed to. */
	if (m->status == ST_OK && r->what == NAME_DELETE &&
	    (ms->told.attrs & ATTR_SUBSCRIBED))
		cmd_send(e, r->mb, r->side, NAME_UNSUBSCRIBE, ms->told.name, "");
	if (m->status == ST_OK)
		return;
	/* Subscriptions follow as far as they can. */
	if (r->what != NAME_DELETE && r->what != NAME_RENAME)
		return;
	snprintf(text, sizeof(text), "%s: the %s server does not %s it: %s",
	    name_show(e, r->mb->name), side_name[r->side], verbs[r->what],
	    m->text);
	log_warnx("%s", text);
	ledger_fault(e, FAULT_SERVER, r->side, text);
	r->mb->stopped = 1;
	e->srv[r->side].refused = 1;
	e->end.status = EX_SYNC_ERROR;
}

static void
cmd_send(struct engine *e, struct mbox *mb, int side, enum name_op op,
    const char *mailbox, const char *newname)
{
	static const struct answers	 to = { .done = cmd_done };

	ask_name(e, mb, side, op, mailbox, newname, &to);
}

static void
delete_mbox(struct engine *e, struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		/* What can't be selected holds nothing. */
		if (!targets(e, side) || !mbox_present(mb, side))
			continue;
		if (e->want.cfg.dryrun) {
			report_out("%s: to delete on %s (%u messages)",
			    name_show(e, mb->name), side_name[side],
			    ms->told.messages);
			continue;
		}
		cmd_send(e, mb, side, NAME_DELETE, ms->told.name, "");
	}
}

static void
delete_row(struct engine *e, struct mbox *mb)
{
	struct m_store_forget	 m;

	if (!(e->want.cfg.target & TARGET_DATABASE) || mb->id == 0 || mb->stopped)
		return;
	if (e->want.cfg.dryrun) {
		report_out("%s: to delete in the database",
		    name_show(e, mb->name));
		return;
	}
	m.mailbox = mb->id;
	ask_note(e, M_STORE_FORGET, &m);
}

static int
exists_on_target(const struct engine *e, const struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if (targets(e, side) && mb->s[side].told.name != NULL &&
		    !(mb->s[side].told.attrs & ATTR_NONEXISTENT))
			return 1;
	return (e->want.cfg.target & TARGET_DATABASE) && mb->id != 0;
}

/*
 * A server may still be at work on what a dead run has sent to the mailbox; what
 * the mark knows must not be dropped before.
 */
static int
cmd_wait(struct engine *e)
{
	struct mbox	*mb;

	if (recover_wait(e) == -1)
		return -1;
	FOREACH_MBOX(mb, &e->list)
		if (mb->later)
			fatal_ex(EX_SYNC_TEMP, "%s: a server is still at work "
			    "on what an interrupted run has sent to it: try "
			    "again later", name_show(e, mb->name));
	return 0;
}

/* Mail that came after the last run is nowhere else. */
static void
delete_check(struct engine *e, struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;
	const struct side_known	*k = &mb->s[side].known;
	uint32_t		 known = mb->nrows + k->nrefused, n;

	if (!targets(e, side) || !mbox_present(mb, side) || t->messages == 0 ||
	    e->want.cfg.allow_delete)
		return;
	if (t->messages <= known && t->uidnext == k->water.uidnext &&
	    t->uidvalidity == k->water.uidvalidity)
		return;
	/* More may have come, if known ones are gone. */
	if (t->uidvalidity != k->water.uidvalidity)
		n = t->messages;
	else if (t->messages > known)
		n = t->messages - known;
	else if ((n = t->uidnext - k->water.uidnext) > t->messages)
		n = t->messages;
	fatalx("%s: the %s server has %u message%s in it, and %s%u message%s of "
	    "them came after the last run, or %s never copied; nothing was "
	    "deleted: synchronise it first, or run again with --allow-delete "
	    "to delete %s as well", name_show(e, mb->name), side_name[side],
	    t->messages, t->messages == 1 ? "" : "s",
	    t->uidvalidity == k->water.uidvalidity &&
	    n != t->uidnext - k->water.uidnext ? "at least " : "", n,
	    n == 1 ? "" : "s", n == 1 ? "was" : "were",
	    n == 1 ? "it" : "them");
}

static int
cmd_delete(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;
	int		 side;

	for (i = 0; i < e->want.nargs; i++) {
		cmd_name(e, e->want.args[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL ||
		    !exists_on_target(e, mb))
			fatalx("there is no mailbox \"%s\" to delete%s",
			    name_show(e, name), mb == NULL ?
			    which_near(e, name) : "");
		for (side = 0; side < SIDES; side++)
			delete_check(e, mb, side);
		recover_hold(mb);
	}
	if (cmd_wait(e) == -1)
		return -1;
	for (i = 0; i < e->want.nargs; i++) {
		cmd_name(e, e->want.args[i], name);
		delete_mbox(e, mbox_find(&e->list, name));
	}
	if (loop_wait(e, -1) == -1)
		return -1;
	for (i = 0; i < e->want.nargs; i++) {
		cmd_name(e, e->want.args[i], name);
		delete_row(e, mbox_find(&e->list, name));
	}
	return e->want.cfg.dryrun ? 0 : loop_commit(e);
}

/* 1 if name is "top" or below it. */
static int
below(const char *name, const char *top)
{
	size_t	 len = strlen(top);

	return strncmp(name, top, len) == 0 &&
	    (name[len] == '\0' || name[len] == NAME_SEP);
}

static void
new_name(struct mbox *mb, const char *old, const char *new, char *name)
{
	if (snprintf(name, NAME_MAX_LEN, "%s%s", new, mb->name +
	    strlen(old)) >= NAME_MAX_LEN)
		fatalx("the new name is too long");
}

/*
 * The server moves the children along.  Where it does not list the mailbox
 * itself, or says that it does not exist, the highest below it are renamed.
 */
static int
is_top(struct engine *e, struct mbox *mb, int side, const char *old)
{
	char		 up[NAME_MAX_LEN], *p;
	struct mbox	*parent;

	strlcpy(up, mb->name, sizeof(up));
	while (strcmp(up, old) != 0 && (p = strrchr(up, NAME_SEP)) != NULL) {
		*p = '\0';
		if (!below(up, old))
			break;
		parent = mbox_find(&e->list, up);
		if (parent != NULL && parent->s[side].told.name != NULL &&
		    !(parent->s[side].told.attrs & ATTR_NONEXISTENT))
			return 0;
	}
	return 1;
}

static void
rename_side(struct engine *e, int side, const char *old, const char *new)
{
	char		 name[NAME_MAX_LEN], server[NAME_MAX_LEN];
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list) {
		struct mside	*ms = &mb->s[side];

		if (!below(mb->name, old) || ms->told.name == NULL ||
		    (ms->told.attrs & ATTR_NONEXISTENT))
			continue;
		new_name(mb, old, new, name);
		if (name_server(e, side, name, server) == -1)
			fatalx("the %s server can't have the name \"%s\"",
			    side_name[side], name_show(e, name));
		if (e->want.cfg.dryrun) {
			report_out("%s: to rename to %s on %s", name_show(e,
			    mb->name), name_show(e, name),
			    side_name[side]);
			continue;
		}
		if (is_top(e, mb, side, old))
			cmd_send(e, mb, side, NAME_RENAME, ms->told.name, server);
	}
}

/* When all has been renamed on that side. */
static void
rename_subscriptions(struct engine *e, int side, const char *old,
    const char *new)
{
	char		 name[NAME_MAX_LEN], server[NAME_MAX_LEN];
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list) {
		struct mside	*ms = &mb->s[side];

		if (!below(mb->name, old) || ms->told.name == NULL ||
		    (ms->told.attrs & ATTR_NONEXISTENT) ||
		    !(ms->told.attrs & ATTR_SUBSCRIBED))
			continue;
		new_name(mb, old, new, name);
		if (name_server(e, side, name, server) == -1)
			continue;
		cmd_send(e, mb, side, NAME_SUBSCRIBE, server, "");
		cmd_send(e, mb, side, NAME_UNSUBSCRIBE, ms->told.name, "");
	}
}

static void
rename_rows(struct engine *e, const char *old, const char *new)
{
	char			 name[NAME_MAX_LEN];
	struct m_store_rename	 m;
	struct mbox		*mb;
	uint32_t		 use;

	if (!(e->want.cfg.target & TARGET_DATABASE))
		return;
	FOREACH_MBOX(mb, &e->list) {
		if (!below(mb->name, old) || mb->id == 0)
			continue;
		new_name(mb, old, new, name);
		if (e->want.cfg.dryrun) {
			report_out("%s: to rename to %s in the database",
			    name_show(e, mb->name), name_show(e, name));
			continue;
		}
		m.mailbox = mb->id;
		m.name = name;
		map_stored(e, name, &m.remote, &use);
		ask_note(e, M_STORE_RENAME, &m);
	}
}

static void
rename_check(struct engine *e, const char *old, const char *new)
{
	struct mbox	*mb;
	int		 found = 0;

	if (below(new, old))
		fatalx("a mailbox can't become its own child");
	if (map_above(e, old) || map_above(e, new))
		fatalx("a mailbox below \"%s\" has a name of its own on each "
		    "server (mailbox-map, map-special-use), and would not go "
		    "along on both: rename it on the servers, and then name it "
		    "in mailbox-map", name_show(e, map_above(e, old) ? old :
		    new));
	FOREACH_MBOX(mb, &e->list) {
		if (below(mb->name, new) && exists_on_target(e, mb))
			fatalx("there is a mailbox \"%s\" already",
			    name_show(e, mb->name));
		if (below(mb->name, old) && exists_on_target(e, mb))
			found = 1;
	}
	if (!found)
		fatalx("there is no mailbox \"%s\" to rename%s",
		    name_show(e, old), mbox_find(&e->list, old) == NULL ?
		    which_near(e, old) : "");
}

static int
cmd_rename(struct engine *e)
{
	char		 old[NAME_MAX_LEN], new[NAME_MAX_LEN];
	struct mbox	*mb;
	int		 side;

	if (e->want.nargs != 2)
		fatal_ex(EX_SYNC_USAGE, "--rename needs two names");
	cmd_name(e, e->want.args[0], old);
	cmd_name(e, e->want.args[1], new);
	rename_check(e, old, new);
	FOREACH_MBOX(mb, &e->list)
		if (below(mb->name, old))
			recover_hold(mb);
	if (cmd_wait(e) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		if (targets(e, side))
			rename_side(e, side, old, new);
	if (loop_wait(e, -1) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		if (targets(e, side) && !e->srv[side].refused && !e->want.cfg.dryrun)
			rename_subscriptions(e, side, old, new);
	if (loop_wait(e, -1) == -1)
		return -1;
	/* A server that refused has said so; the state follows the servers. */
	if (e->end.status != 0)
		return 0;
	rename_rows(e, old, new);
	return e->want.cfg.dryrun ? 0 : loop_commit(e);
}

int
cmd_run(struct engine *e)
{
	return e->want.cfg.command == CMD_DELETE ? cmd_delete(e) :
	    cmd_rename(e);
}

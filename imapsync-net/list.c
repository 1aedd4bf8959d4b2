/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * LIST and STATUS: names and what is known of them, joined to one event each.
 */
#include <strings.h>

#include "net.h"

#define LIST_LINE	7000	/* octets of one command */
#define STATUS_MOST	2000	/* commands of a LIST under way: some MB */

enum { ONE_LIST = 0, ONE_STATUS };	/* cmd.what of LIST's commands */

/* A name of which either LIST or STATUS is still to come. */
struct box {
	RB_ENTRY(box)			 entry;
	struct m_engine_mailbox		 mb;
	int				 listed;
	int				 subscribed;	/* LSUB told it */
	int				 sent;
	char				*name;
};
RB_HEAD(boxes, box);

/* INBOX has no case (RFC 3501 section 5.1). */
static int
name_cmp(const char *a, const char *b)
{
	int	 ia = strcasecmp(a, "INBOX") == 0;
	int	 ib = strcasecmp(b, "INBOX") == 0;

	return ia || ib ? ib - ia : strcmp(a, b);
}

static int
box_cmp(struct box *a, struct box *b)
{
	return name_cmp(a->name, b->name);
}

RB_PROTOTYPE(boxes, box, entry, box_cmp)
RB_GENERATE(boxes, box, entry, box_cmp)

static void
box_free(struct boxes *boxes, struct box *b)
{
	RB_REMOVE(boxes, boxes, b);
	free(b->name);
	free(b);
}

static void
list_send(struct net *net, const struct req *r,
    const struct m_engine_mailbox *mb)
{
	if (mb->name[0] == '\0' && r->npatterns > 0)
		net->skipped++;
	chan_send(&net->chan, M_ENGINE_MAILBOX, r->id, mb);
}

/* Its name is kept, so that it is told once. */
static void
box_send(struct net *net, const struct req *r, struct box *b)
{
	b->sent = 1;
	list_send(net, r, &b->mb);
}

/* ---- commands ---- */

static void	list_tagged(struct net *, struct cmd *, const struct resp *);

/* What the LISTs of this connection may use. */
static uint32_t
list_caps(const struct net *net, const struct req *r)
{
	uint32_t	 all = CAP_LIST_EXTENDED | CAP_LIST_STATUS |
			    CAP_SPECIAL_USE | CAP_CONDSTORE;

	if (r->tried == TRY_HOPE)
		return all;
	return net->caps.bits & all;
}

/* Of flags UNSEEN tells least, and is all that RFC 3501 has. */
static const char *
status_items(uint32_t caps)
{
	return caps & CAP_CONDSTORE ?
	    "(UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)" :
	    "(UIDVALIDITY UIDNEXT MESSAGES UNSEEN)";
}

static void
list_return(struct cmd *c, uint32_t caps)
{
	if (!(caps & CAP_LIST_EXTENDED))
		return;
	cmd_puts(c, " RETURN (SUBSCRIBED");
	if (caps & CAP_SPECIAL_USE)
		cmd_puts(c, " SPECIAL-USE");
	if (caps & CAP_LIST_STATUS)
		cmd_printf(c, " STATUS %s", status_items(caps));
	cmd_puts(c, ")");
}

static void
list_selectors(struct cmd *c, uint8_t sel)
{
	if (sel == 0)
		return;
	cmd_printf(c, "(%s%s%s%s%s) ",
	    sel & SEL_SUBSCRIBED ? "SUBSCRIBED" : "",
	    (sel & SEL_SUBSCRIBED) && (sel & SEL_REMOTE) ? " " : "",
	    sel & SEL_REMOTE ? "REMOTE" : "",
	    (sel & SEL_RECURSIVEMATCH) && sel != SEL_RECURSIVEMATCH ? " " : "",
	    sel & SEL_RECURSIVEMATCH ? "RECURSIVEMATCH" : "");
}

/*
 * Without LIST-EXTENDED: what is subscribed to is another list (RFC 3501 section
 * 6.3.9), of which each mailbox waits.
 */
static int
list_lsubs(const struct net *net, const struct req *r)
{
	return r->npatterns > 0 && !(list_caps(net, r) & CAP_LIST_EXTENDED);
}

static void
list_lsub(struct net *net, struct req *r, const char *pattern)
{
	struct cmd	*c;

	c = cmd_new(net, K_LIST, r, list_tagged);
	r->listing++;
	cmd_puts(c, "LSUB ");
	cmd_string(net, c, r->list.reference);
	cmd_puts(c, " ");
	cmd_string(net, c, pattern);
	cmd_end(net, c);
}

/* LIST tells no STATUS: it is asked for, of those that are known. */
static int
list_asks(const struct net *net, const struct req *r)
{
	return r->known.len > 0 && !(list_caps(net, r) & CAP_LIST_STATUS);
}

/* A mailbox is not told before all is answered. */
static int
list_waits(const struct net *net, const struct req *r)
{
	return list_lsubs(net, r) || list_asks(net, r);
}

static void
status_command(struct net *net, struct cmd *c, const char *mailbox)
{
	cmd_puts(c, "STATUS ");
	cmd_string(net, c, mailbox);
	cmd_printf(c, " %s", status_items(net->caps.bits));
	cmd_end(net, c);
}

/* As many as may be under way: the others follow as these are answered. */
static void
list_known(struct net *net, struct req *r)
{
	struct cmd	*c;
	const char	*name;

	if (!list_asks(net, r))
		return;
	while (r->asked < r->known.len && r->listing < STATUS_MOST) {
		name = (const char *)buf_ptr(&r->known) + r->asked;
		c = cmd_new(net, K_LIST, r, list_tagged);
		c->what = ONE_STATUS;
		c->first = (uint32_t)r->asked;
		r->asked += strlen(name) + 1;
		r->listing++;
		status_command(net, c, name);
	}
}

/* One LIST with as many of the patterns from *i on as fit. */
static void
list_command(struct net *net, struct req *r, size_t *i)
{
	uint32_t	 caps = list_caps(net, r);
	struct cmd	*c;
	size_t		 n;

	c = cmd_new(net, K_LIST, r, list_tagged);
	r->listing++;
	cmd_puts(c, "LIST ");
	if (r->npatterns == 0) {
		cmd_puts(c, "\"\" \"\"");
		cmd_end(net, c);
		return;
	}
	if (caps & CAP_LIST_EXTENDED)
		list_selectors(c, r->list.selectors);
	cmd_string(net, c, r->list.reference);
	if (caps & CAP_LIST_EXTENDED) {
		n = 0;
		do {
			/* A literal needs a barrier, of which there are few. */
			cmd_puts(c, n == 0 ? " (" : " ");
			cmd_string(net, c, r->patterns[*i]);
			n += strlen(r->patterns[*i]) + 3;
		} while (++*i < r->npatterns && n < LIST_LINE -
		    NAME_MAX_LEN && c->nbarriers == 0);
		cmd_puts(c, ")");
	} else {
		cmd_puts(c, " ");
		cmd_string(net, c, r->patterns[(*i)++]);
	}
	list_return(c, caps);
	cmd_end(net, c);
	if (list_lsubs(net, r))
		list_lsub(net, r, r->patterns[*i - 1]);
}

static void
left_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)c;
	if (resp->word == WORD_OK)
		handle_unselected(net);
}

static int
list_emit(struct net *net, struct req *r)
{
	size_t	 i = 0;

	if (r->tried == TRY_NOT)
		r->tried = net->login == LOGIN_DONE && net->caps.known ?
		    TRY_OFFERED : TRY_HOPE;
	if (r->boxes == NULL) {
		r->boxes = xcalloc(1, sizeof(*r->boxes));
		RB_INIT(r->boxes);
	}
	/* STATUS is not for what is selected (RFC 3501 section 6.3.10). */
	if (list_asks(net, r))
		(void)select_leave(net, NULL, left_tagged);
	do
		list_command(net, r, &i);
	while (i < r->npatterns);
	list_known(net, r);
	return 1;
}

static int
status_emit(struct net *net, struct req *r)
{
	struct cmd	*c;

	c = cmd_new(net, K_STATUS, r, list_tagged);
	status_command(net, c, r->mailbox);
	return 1;
}

/* ---- answers ---- */

/* No server has so many; one that does not stop is not waited for. */
static void
list_bound(const struct net *net, struct req *r)
{
	if (++r->answers > LIST_ANSWERS || r->names > NAMES_MAX ||
	    r->octets > NAMES_OCTETS)
		fatalx("%s: the server goes on to list mailboxes: %u answers "
		    "with %u names so far (%zu octets), which is more than can "
		    "be handled (%u names, %u octets)", net->setup.host,
		    r->answers, r->names, r->octets, NAMES_MAX, NAMES_OCTETS);
}

static struct box *
box_new(struct req *r, const struct resp *resp)
{
	struct box	*b = xcalloc(1, sizeof(*b));

	b->name = xstrdup(resp->name);
	b->mb.name = b->name;
	RB_INSERT(boxes, r->boxes, b);
	r->names++;
	r->octets += strlen(b->name);
	return b;
}

/* A parent of what is subscribed to is not subscribed to (RFC 3501, 6.3.9). */
static void
list_subscribed(struct net *net, struct req *r, struct box *b,
    const struct resp *resp)
{
	if (resp->name[0] == '\0' || (resp->mb.attrs & ATTR_NOSELECT) ||
	    (b != NULL && b->subscribed))
		return;
	net_heard(net);
	if (b == NULL)
		b = box_new(r, resp);
	b->subscribed = 1;
}

/* It answers a STATUS: 1, or 0 if none that is under way. */
static int
status_told(struct net *net, const struct resp *resp)
{
	struct cmd	*c;

	TAILQ_FOREACH(c, &net->cmdq.answers, entry)
		if (c->kind == K_STATUS && !c->got &&
		    name_cmp(c->req->mailbox, resp->name) == 0) {
			c->got = 1;
			net_heard(net);
			list_send(net, c->req, &resp->mb);
			return 1;
		}
	return 0;
}

void
list_untagged(struct net *net, const struct resp *resp)
{
	struct cmd	*c;
	struct req	*r;
	struct box	*b, find;

	if (resp->type == R_MBSTATUS && status_told(net, resp))
		return;
	if ((c = cmdq_oldest(net, K_LIST)) == NULL)
		return;
	r = c->req;
	list_bound(net, r);
	find.name = (char *)resp->name;
	b = resp->name[0] == '\0' ? NULL : RB_FIND(boxes, r->boxes, &find);
	if (resp->type == R_LSUB) {
		list_subscribed(net, r, b, resp);
		return;
	}
	if (b != NULL && (b->sent || b->listed == (resp->type == R_LIST)))
		return;
	net_heard(net);
	if (resp->name[0] == '\0') {
		if (resp->type == R_LIST)
			list_send(net, r, &resp->mb);
		return;
	}
	if (b == NULL) {
		b = box_new(r, resp);
		b->mb = resp->mb;
		b->mb.name = b->name;
		b->listed = resp->type == R_LIST;
		/* Of these no STATUS comes. */
		if (b->listed && !list_waits(net, r) &&
		    ((resp->mb.attrs & ATTR_NOSELECT) ||
		    !(list_caps(net, r) & CAP_LIST_STATUS)))
			box_send(net, r, b);
		return;
	}
	if (resp->type == R_LIST) {
		b->mb.attrs = resp->mb.attrs;
		b->mb.delimiter = resp->mb.delimiter;
		/* INBOX as LIST spells it. */
		free(b->name);
		b->name = xstrdup(resp->name);
		b->mb.name = b->name;
		b->listed = 1;	/* LSUB or STATUS was first */
	} else {
		b->mb.has_status = 1;
		b->mb.uidvalidity = resp->mb.uidvalidity;
		b->mb.uidnext = resp->mb.uidnext;
		b->mb.messages = resp->mb.messages;
		b->mb.modseq = resp->mb.modseq;
		b->mb.unseen = resp->mb.unseen;
	}
	if (!list_waits(net, r))
		box_send(net, r, b);
}

void
list_retry(struct net *net)
{
	struct req	*r, *next, *held;

	for (r = TAILQ_FIRST(&net->queue.reqs); r != NULL; r = next) {
		next = TAILQ_NEXT(r, entry);
		held = r;
		if (r->tried == TRY_LATER) {
			r->tried = TRY_OFFERED;
			list_emit(net, r);
			/* Held by list_again(); its commands do now. */
			req_release(net, &held);
		} else if (r->early) {
			r->early = 0;
			req_release(net, &held);	/* DONE */
		}
	}
}

/* The one selector that can be had without LIST-EXTENDED. */
static int
list_selected(const struct net *net, const struct req *r, const struct box *b)
{
	return !list_lsubs(net, r) || b->subscribed ||
	    !(r->list.selectors & SEL_SUBSCRIBED);
}

/* STATUS that never came, and STATUS of names that LIST did not tell. */
static void
list_rest(struct net *net, struct req *r)
{
	struct box	*b;

	while ((b = RB_MIN(boxes, r->boxes)) != NULL) {
		if (b->subscribed)
			b->mb.attrs |= ATTR_SUBSCRIBED;
		if (b->listed && !b->sent && list_selected(net, r, b))
			list_send(net, r, &b->mb);
		box_free(r->boxes, b);
	}
}

/* What is offered behind the login is known. */
static int
list_knows(const struct net *net)
{
	return net->login == LOGIN_DONE && net->caps.known;
}

/* What was hoped for was BAD: 1 if there is less to ask for. */
static int
list_again(struct net *net, struct req *r)
{
	uint32_t	 hoped = list_caps(net, r);

	r->tried = TRY_OFFERED;
	if (!list_knows(net)) {
		r->tried = TRY_LATER;
		req_hold(r);	/* for list_retry() */
		return 1;
	}
	if (list_caps(net, r) == hoped)
		return 0;
	list_emit(net, r);
	return 1;
}

/*
 * What there is in all is judged by what the server offers, so READY comes first,
 * whatever was answered first.
 */
static void
list_answered(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;

	if (net->phase < P_READY && !r->early) {
		r->early = 1;
		req_hold(r);
	}
	req_answer(net, c, resp);
}

/*
 * What it told in front of a BAD is nothing; else that it is refused says no more
 * than that there is no STATUS.
 */
static void
known_answered(struct net *net, const struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;
	struct box	*b, find;

	find.name = (char *)buf_ptr(&r->known) + c->first;
	if (resp->word == WORD_BAD &&
	    (b = RB_FIND(boxes, r->boxes, &find)) != NULL)
		b->mb.has_status = 0;
	list_known(net, r);
}

static void
list_tagged(struct net *net, struct cmd *c, const struct resp *resp)
{
	struct req	*r = c->req;

	if (c->kind == K_STATUS) {
		if (resp->word == WORD_OK && !c->got)
			req_worse(r, ST_BAD, RC_NONE,
			    "an OK to STATUS without its answer");
		req_answer(net, c, resp);
		return;
	}
	r->listing--;
	if (c->what == ONE_STATUS)
		known_answered(net, c, resp);
	else if (r->tried == TRY_HOPE) {
		if (resp->word == WORD_BAD)
			r->refused = 1;
		/* With all commands of the request answered, ask again. */
		if (r->refused && r->refs > 1)
			return;
		if (r->refused && list_again(net, r))
			return;
	}
	if (c->what == ONE_LIST)
		list_answered(net, c, resp);
	if (r->listing > 0 && list_waits(net, r))
		return;
	list_rest(net, r);
	if (net->skipped > 0) {
		log_warnx("%s: %u mailboxes have names that can't be handled",
		    net->setup.host, net->skipped);
		net->skipped = 0;
	}
}

/* ---- requests ---- */

static void
list_free(struct req *r)
{
	struct box	*b;
	size_t		 i;

	if (r->boxes != NULL)
		while ((b = RB_MIN(boxes, r->boxes)) != NULL)
			box_free(r->boxes, b);
	free(r->boxes);
	for (i = 0; i < r->npatterns; i++)
		free(r->patterns[i]);
	free(r->patterns);
	buf_free(&r->known);
	free((char *)r->list.reference);
}

static const struct req_ops list_ops = {
	.emit = list_emit,
	.free = list_free
};
static const struct req_ops status_ops = { .emit = status_emit };

/* A part of a LIST that is still to come. */
static struct req *
list_half(const struct msg *msg)
{
	struct net	*net = msg->arg;
	struct req	*r = net->queue.half;

	if (r == NULL)
		r = net->queue.half = req_new(msg, &list_ops);
	if (r->id != msg->id)
		fatalx("a part of another LIST");
	return r;
}

void
list_on_known(const struct msg *msg)
{
	const struct m_net_known	*m = msg->rec;
	struct req			*r = list_half(msg);

	buf_add(&r->known, m->mailbox, strlen(m->mailbox) + 1);
	r->cost += strlen(m->mailbox) + 1;
}

void
list_on_pattern(const struct msg *msg)
{
	const struct m_net_pattern	*m = msg->rec;
	struct req			*r = list_half(msg);

	r->patterns = xreallocarray(r->patterns, r->npatterns + 1,
	    sizeof(*r->patterns));
	r->patterns[r->npatterns++] = xstrdup(m->pattern);
	r->cost += strlen(m->pattern);
}

void
list_on_list(const struct msg *msg)
{
	const struct m_net_list	*m = msg->rec;
	struct net		*net = msg->arg;
	struct req		*r = net->queue.half;

	if (r == NULL)
		r = req_new(msg, &list_ops);
	if (r->id != msg->id)
		fatalx("a LIST with patterns of another");
	net->queue.half = NULL;
	r->type = msg->type;	/* a part of it may have made it */
	r->list = *m;
	r->list.reference = xstrdup(m->reference);
	req_queue(net, r);
	if (net->phase >= P_READY)
		return;
	if (m->compress_first)
		net->queue.compressfirst = 1;
	if (m->last)
		net->queue.lastlist = 1;
}

void
list_on_status(const struct msg *msg)
{
	const struct m_net_status	*m = msg->rec;
	struct req			*r;

	r = req_new(msg, &status_ops);
	r->mailbox = xstrdup(m->mailbox);
	req_queue(msg->arg, r);
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the parts of --init share: init.c (questions, tries, files, the whole),
 * initremote.c, initlocal.c.
 */
#ifndef INIT_H
#define INIT_H

#include "imapsync.h"

#define INIT_LINE	1000	/* octets of an answer */
#define EXEC_IMAP	"exec imap"

struct init {
	const struct sup_opts	*opts;
	const char		*path;		/* of the configuration */
	char			*dir;		/* where it is */
	char			*account;	/* of --config=NAME; "" */
	int			 ask;		/* there is a terminal */
	struct draft		 d;
	char			*user;		/* as in USER@HOST, or NULL */
	char			*host;
	char			*dovecot;	/* its file, to be made */
	char			*maildir;
	int			 made;		/* it is there now, by us */
	char			*newdir;	/* the highest that we made */
	struct buf		 store;		/* how to store the password */
	struct buf		 hint;		/* what is left to fill in */
};

/*
 * The answer to a question, allocated; by default, or if nobody can be asked,
 * "def" (NULL: there is none).  NULL: nobody answers.
 */
char		*init_ask(const struct init *, const char *question,
		    const char *def);
/* One of n, the first by default: its number, or -1. */
int		 init_choose(const struct init *, const char *question,
		    const char *const *, int n);
/* As one word of the shell's, allocated; as it is where it is one. */
char		*init_word(const char *);
/* Set a key: 0, or -1 after a message. */
int		 init_set(struct init *, enum draft_section, const char *key,
		    const char *val);
const char	*init_get(const struct init *, enum draft_section,
		    const char *key);
int		 init_istunnel(const struct init *, enum draft_section);
/*
 * Is what is known of a side well-formed?  0, or -1 after messages; conf_free()
 * is called in both cases.
 */
int		 init_parse(struct init *, enum side, struct conf *);
/* Look at that side's server, which prints what it shows: the exit status. */
int		 init_try(struct init *, enum side);
/* A new file, for this user alone: 0, or -1 after a message. */
int		 init_file(struct init *, const char *path,
		    const struct buf *);

/* ---- initremote.c ---- */

/* An argument or answer USER@HOST[:PORT]: 0, or -1 after a message. */
int		 init_account(struct init *, const char *);
/* All about that side: the exit status, after a message unless it is 0. */
int		 init_remote(struct init *);

/* ---- initlocal.c ---- */

int		 init_local(struct init *);

#endif /* INIT_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The interpreter of a file that starts a server.  Behind the file's first line
 * are words, each with a NUL behind it: uid and gid (for root, who gives up what
 * else it has), the file that standard error goes to, the program, and its whole
 * environment.  A shell with setpriv(1), env(1) and doveconf(1) comes to the
 * same, but these are five programs to start and not one, some thousand times.
 */
#include <sys/types.h>

#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX	65536
#define WORDS_MAX	1024

int
main(int argc, char *argv[])
{
	static char	 text[FILE_MAX + 1];
	static char	*word[WORDS_MAX + 1];
	char		*p, *end, *args[2];
	ssize_t		 len;
	size_t		 n = 0;
	int		 fd;

	if (argc < 2)
		errx(64, "usage: tunnel file");
	if ((fd = open(argv[1], O_RDONLY)) == -1)
		err(1, "%s", argv[1]);
	if ((len = read(fd, text, FILE_MAX)) <= 0 || len == FILE_MAX)
		errx(1, "%s: empty or too long", argv[1]);
	close(fd);
	end = text + len;
	if ((p = memchr(text, '\n', len)) == NULL)
		errx(1, "%s: one line", argv[1]);
	for (p++; p < end; p += strlen(p) + 1) {
		if (n == WORDS_MAX)
			errx(1, "%s: too many words", argv[1]);
		word[n++] = p;
	}
	if (n < 4)
		errx(1, "%s: too few words", argv[1]);
	if ((fd = open(word[2], O_WRONLY | O_APPEND)) == -1 ||
	    dup2(fd, STDERR_FILENO) == -1)
		err(1, "%s", word[2]);
	close(fd);
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 ||
	    setgid((gid_t)atol(word[1])) == -1 ||
	    setuid((uid_t)atol(word[0])) == -1))
		err(1, "%s: not allowed to be %s", argv[1], word[0]);
	args[0] = word[3];
	args[1] = NULL;
	execve(word[3], args, word + 4);
	err(1, "%s", word[3]);
}

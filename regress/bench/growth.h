/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * growth_NAME PATH N: what a server can have a process of ours do with N pieces
 * of input, along one path.  regress/bench/growth counts the instructions for N
 * and for twice as many.  Without arguments: the paths.
 */
#ifndef GROWTH_H
#define GROWTH_H

#include <stdio.h>

#include "log.h"

static uint32_t	 n;

/* N numbers in an order that is neither rising nor falling. */
static inline uint32_t
mixed(uint32_t i)
{
	return 1 + 2 * (uint32_t)((uint64_t)i * 7919 % n);
}

struct path {
	const char	*name;
	void		 (*fn)(void);
	uint32_t	 n;
};

/* With N 0 the path is called as well: what it costs to begin. */
static inline int
growth(int argc, char *argv[], const struct path *paths)
{
	for (; paths->name != NULL; paths++) {
		if (argc < 3) {
			printf("%s %u\n", paths->name, paths->n);
			continue;
		}
		if (strcmp(argv[1], paths->name) != 0)
			continue;
		n = (uint32_t)atoi(argv[2]);
		paths->fn();
		return 0;
	}
	return argc < 3 ? 0 : 1;
}

#endif /* GROWTH_H */

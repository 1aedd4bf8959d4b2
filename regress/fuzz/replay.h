/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The main() of a fuzz target, which calls LLVMFuzzerTestOneInput(): with files
 * as arguments each of them is a test (TAP); without, standard input is taken
 * once, which is what afl-fuzz(1) wants.  libFuzzer has a main() of its own:
 * for it this one gets another name (regress.mk).  An input is cut behind
 * REPLAY_MAX octets.  To be included once, by the file that is the target.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>

#define REPLAY_MAX	(1024 * 1024)

int		 LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int		 main(int, char **);

static void
replay(FILE *f)
{
	static uint8_t	 data[REPLAY_MAX];

	LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), f));
}

int
main(int argc, char **argv)
{
	FILE	*f;
	int	 i;

	if (argc < 2)
		replay(stdin);
	else
		printf("1..%d\n", argc - 1);
	for (i = 1; i < argc; i++) {
		if ((f = fopen(argv[i], "re")) == NULL)
			err(1, "%s", argv[i]);
		replay(f);
		fclose(f);
		printf("ok %d - %s\n", i, argv[i]);
	}
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A clock that only goes forward, whatever is done to the one on the wall; it
 * stands still while the machine is suspended.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Microseconds, milliseconds since some time in the past; there is no error. */
int64_t		 clock_us(void);
int64_t		 clock_ms(void);

#endif /* CLOCK_H */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The octets of the bridge to the other worker; copysend.c and copyrecv.c know
 * what they mean.
 */
#include <errno.h>

#include "net.h"

#define GIVE_MIN	(16 * 1024)	/* octets that are large: see copy.h */
#define HELD_MAX	(2 * QUEUE_HIGH) /* ... on their way to the server */

size_t
reads_ask(struct reads *r, size_t held, size_t most)
{
	size_t	 n = r->asked;

	if (r->came < READ_MIN)
		n = READ_MIN;
	else if (r->came == r->asked)
		n *= 2;
	if (n > READ_MAX)
		n = READ_MAX;
	if (n > READ_MIN && held + n > most)
		n = held + READ_MIN >= most ? READ_MIN : most - held;
	r->asked = n;
	r->came = 0;
	return n;
}

int
bridge_wants(const struct net *net)
{
	const struct bridge	*br = &net->bridge;

	return br->fd != -1 && !br->eof && br->in.len < READ_MIN;
}

void
bridge_read(struct net *net)
{
	struct bridge	*br = &net->bridge;
	size_t		 most;
	ssize_t		 n;

	if (!bridge_wants(net))
		return;
	most = reads_ask(&br->reads, br->in.len + net->out.len, HELD_MAX);
	n = read(br->fd, buf_room(&br->in, most), most);
	if (n > 0) {
		br->read = net_now();
		buf_wrote(&br->in, n);
		br->reads.came = n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		br->eof = 1;
}

/* So much of it as has room; returns that. */
static size_t
bridge_pour(struct net *net, const uint8_t *p, size_t len)
{
	struct bridge	*br = &net->bridge;
	size_t		 done = 0;
	ssize_t		 n = 0;

	while (!br->broken && done < len) {
		n = write(br->fd, p + done, len - done);
		if (n <= 0)
			break;
		br->written = net_now();
		done += n;
	}
	/* The other worker is gone; why is its own, or the engine's, to say. */
	if (n == -1 && errno != EAGAIN && errno != EINTR)
		br->broken = 1;
	return done;
}

void
bridge_write(struct net *net)
{
	struct bridge	*br = &net->bridge;

	if (br->out.len == 0)
		return;
	buf_drain(&br->out, bridge_pour(net, buf_ptr(&br->out), br->out.len));
	if (br->broken)
		buf_clear(&br->out);
}

void
bridge_give(struct net *net, const void *p, size_t n)
{
	struct bridge	*br = &net->bridge;
	size_t		 done = 0;

	if (n >= GIVE_MIN) {
		bridge_write(net);
		if (br->out.len == 0)
			done = bridge_pour(net, p, n);
	}
	buf_add(&br->out, (const uint8_t *)p + done, n - done);
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "imsg.h"
#include "log.h"
#include "tap.h"

/* Two ends; the second only where a test speaks raw. */
static struct imsgbuf	 one, two;
static int		 raw;

static void
pair(int second_raw)
{
	int	 sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1)
		fatal("socketpair");
	imsgbuf_init(&one, sv[0]);
	if (second_raw)
		raw = sv[1];
	else
		imsgbuf_init(&two, sv[1]);
}

static void
unpair(int second_raw)
{
	imsgbuf_clear(&one);
	if (second_raw)
		close(raw);
	else
		imsgbuf_clear(&two);
}

/* Read until a message is whole; what imsg_get() says, 2 at EOF. */
static int
next(struct imsgbuf *ib, struct imsg *m)
{
	int	 n, tries;

	for (tries = 0; tries < 1000; tries++) {
		if ((n = imsg_get(ib, m)) != 0)
			return n;
		if ((n = imsgbuf_read(ib)) == 0)
			return 2;
		if (n == -1)
			return -1;
	}
	return 0;
}

static ino_t
inode(int fd)
{
	struct stat	 st;

	return fstat(fd, &st) == -1 ? 0 : st.st_ino;
}

/* Send octets and, if fds is not 0, descriptors with them, without imsg.c. */
static void
send_raw(const void *p, size_t len, const int *fd, size_t fds)
{
	struct msghdr	 msg;
	struct iovec	 iov;
	struct cmsghdr	*cmsg;
	union {
		struct cmsghdr	 hdr;
		unsigned char	 buf[CMSG_SPACE(8 * sizeof(int))];
	} control;

	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = (void *)(uintptr_t)p;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (fds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(cmsg), fd, fds * sizeof(int));
	}
	if (sendmsg(raw, &msg, 0) != (ssize_t)len)
		fatal("sendmsg");
}

static void
header(struct imsg_hdr *hdr, uint16_t len, uint16_t flags)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->type = 7;
	hdr->len = len;
	hdr->flags = flags;
	hdr->peerid = 9;
}

static void
test_simple(void)
{
	struct imsg	 m;
	static uint8_t	 big[IMSG_MAXDATA + 1];
	size_t		 i;

	pair(0);
	for (i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	is_num(imsg_compose(&one, 5, 77, -1, "abc", 3), 0, "compose");
	is_num(imsg_compose(&one, 6, 78, -1, NULL, 0), 0, "compose, empty");
	is_num(imsg_compose(&one, 7, 79, -1, big, IMSG_MAXDATA), 0,
	    "compose, the most");
	errno = 0;
	ok(imsg_compose(&one, 8, 80, -1, big, sizeof(big)) == -1 &&
	    errno == ERANGE, "compose, one more");
	is_num(imsgbuf_pending(&one), 3 * sizeof(struct imsg_hdr) + 3 +
	    IMSG_MAXDATA, "pending");
	is_num(imsgbuf_flush(&one, 1000), 0, "flush");
	is_num(imsgbuf_pending(&one), 0, "nothing pending");

	ok(next(&two, &m) == 1 && m.hdr.type == 5 && m.hdr.peerid == 77 &&
	    m.hdr.pid == (uint32_t)getpid() && m.fd == -1 &&
	    m.hdr.len == sizeof(m.hdr) + 3 && memcmp(m.data, "abc", 3) == 0,
	    "the first arrives");
	ok(next(&two, &m) == 1 && m.hdr.type == 6 &&
	    m.hdr.len == sizeof(m.hdr), "the empty one");
	ok(next(&two, &m) == 1 && m.hdr.type == 7 &&
	    m.hdr.len == IMSG_MAXSIZE &&
	    memcmp(m.data, big, IMSG_MAXDATA) == 0, "the largest");
	is_num(imsg_get(&two, &m), 0, "no more");
	is_num(imsgbuf_read(&two), 1, "reading when there is nothing");
	imsgbuf_clear(&one);
	is_num(imsgbuf_read(&two), 0, "EOF");
	imsg_compose(&two, 1, 1, -1, "x", 1);
	errno = 0;
	ok(imsgbuf_write(&two) == -1 && errno == EPIPE, "EPIPE");
	imsgbuf_clear(&two);
}

/* More than the socket takes: nobody blocks, nothing is lost. */
static void
test_full(void)
{
	struct imsg	 m;
	uint8_t		 data[1000];
	uint32_t	 in = 0, out = 0;
	int		 good = 1;

	pair(0);
	memset(data, 'd', sizeof(data));
	for (; in < 2000; in++)
		imsg_compose(&one, in, 0, -1, data, in % sizeof(data));
	ok(imsgbuf_write(&one) == 0 && imsgbuf_pending(&one) > 0,
	    "a full socket leaves the rest pending");
	errno = 0;
	ok(imsgbuf_flush(&one, 50) == -1 && errno == ETIMEDOUT,
	    "flush gives up in time");
	while (out < in) {
		if (imsgbuf_write(&one) == -1 || next(&two, &m) != 1) {
			good = 0;
			break;
		}
		if (m.hdr.type != out ||
		    m.hdr.len != sizeof(m.hdr) + out % sizeof(data))
			good = 0;
		out++;
	}
	ok(good, "2,000 messages in order");
	unpair(0);
}

static void
test_fds(void)
{
	struct imsg	 m;
	ino_t		 ino[3];
	int		 p[3][2], i, fl;

	pair(0);
	for (i = 0; i < 3; i++) {
		if (pipe(p[i]) == -1)
			fatal("pipe");
		ino[i] = inode(p[i][0]);
	}
	imsg_compose(&one, 1, 0, -1, "plain", 5);
	imsg_compose(&one, 2, 0, p[0][0], "first", 5);
	imsg_compose(&one, 3, 0, -1, "plain", 5);
	imsg_compose(&one, 4, 0, p[1][0], NULL, 0);
	imsg_compose(&one, 5, 0, p[2][0], "third", 5);
	is_num(imsgbuf_flush(&one, 1000), 0, "three descriptors are sent");
	ok(fcntl(p[0][0], F_GETFD) == -1 && fcntl(p[2][0], F_GETFD) == -1,
	    "the sender's are closed");
	ok(next(&two, &m) == 1 && m.hdr.type == 1 && m.fd == -1, "plain");
	ok(next(&two, &m) == 1 && m.hdr.type == 2 && m.fd != -1 &&
	    inode(m.fd) == ino[0] && memcmp(m.data, "first", 5) == 0,
	    "the first");
	fl = fcntl(m.fd, F_GETFD);
	ok(fl != -1 && fl & FD_CLOEXEC, "is close-on-exec");
	close(m.fd);
	ok(next(&two, &m) == 1 && m.hdr.type == 3 && m.fd == -1, "plain");
	ok(next(&two, &m) == 1 && m.hdr.type == 4 && inode(m.fd) == ino[1],
	    "the second");
	close(m.fd);
	ok(next(&two, &m) == 1 && m.hdr.type == 5 && inode(m.fd) == ino[2],
	    "the third");
	close(m.fd);
	is_num(imsg_get(&two, &m), 0, "no more");

	/* What nobody took is closed: the writing end learns it. */
	if (pipe(p[0]) == -1)
		fatal("pipe");
	imsg_compose(&one, 6, 0, p[0][0], NULL, 0);
	imsgbuf_flush(&one, 1000);
	imsgbuf_read(&two);
	unpair(0);
	errno = 0;
	ok(write(p[0][1], "x", 1) == -1 && errno == EPIPE,
	    "clear closes descriptors that arrived");
	pair(0);
	if (pipe(p[1]) == -1)
		fatal("pipe");
	imsg_compose(&one, 6, 0, p[1][0], NULL, 0);
	unpair(0);
	errno = 0;
	ok(write(p[1][1], "x", 1) == -1 && errno == EPIPE,
	    "and those not sent");
	for (i = 0; i < 3; i++)
		close(p[i][1]);
}

static void
test_bytewise(void)
{
	struct imsg_hdr	 hdr;
	struct imsg	 m;
	uint8_t		 frame[64];
	size_t		 i, len = sizeof(hdr) + 10;
	int		 p[2], early = 0;

	pair(1);
	if (pipe(p) == -1)
		fatal("pipe");
	header(&hdr, (uint16_t)len, IMSGF_HASFD);
	memcpy(frame, &hdr, sizeof(hdr));
	memcpy(frame + sizeof(hdr), "0123456789", 10);
	for (i = 0; i < len; i++) {
		send_raw(frame + i, 1, p, i == 0);
		imsgbuf_read(&one);
		if (i < len - 1 && imsg_get(&one, &m) != 0)
			early = 1;
	}
	ok(!early, "octet by octet: nothing before the last");
	ok(imsg_get(&one, &m) == 1 && m.hdr.peerid == 9 &&
	    memcmp(m.data, "0123456789", 10) == 0 &&
	    inode(m.fd) == inode(p[0]), "then the message, its descriptor too");
	close(m.fd);
	close(p[0]);
	close(p[1]);
	unpair(1);
}

static void
test_lengths(void)
{
	static const uint16_t	 bad[] = {
		0, 1, sizeof(struct imsg_hdr) - 1, IMSG_MAXSIZE + 1, 65535
	};
	struct imsg_hdr	 hdr;
	struct imsg	 m;
	size_t		 i;

	for (i = 0; i < nitems(bad); i++) {
		pair(1);
		header(&hdr, bad[i], 0);
		send_raw(&hdr, sizeof(hdr), NULL, 0);
		errno = 0;
		ok(next(&one, &m) == -1 && errno == EBADMSG, "length %u",
		    bad[i]);
		unpair(1);
	}
	pair(1);
	header(&hdr, sizeof(hdr), 2);
	send_raw(&hdr, sizeof(hdr), NULL, 0);
	ok(next(&one, &m) == -1 && errno == EBADMSG, "an unknown flag");
	unpair(1);
}

/* One or more frames with flags and a number of descriptors with the first. */
static int
with_fds(int frames, uint16_t flags, size_t cut, size_t fds)
{
	struct imsg_hdr	 hdr[2];
	struct imsg	 m;
	int		 fd[8], i, n;

	pair(1);
	for (i = 0; i < (int)fds; i++)
		if ((fd[i] = open("/dev/null", O_RDONLY)) == -1)
			fatal("open");
	header(&hdr[0], sizeof(hdr[0]), flags);
	header(&hdr[1], sizeof(hdr[1]), 0);
	send_raw(hdr, frames * sizeof(hdr[0]) - cut, fd, fds);
	for (i = 0; i < (int)fds; i++)
		close(fd[i]);
	if ((n = imsgbuf_read(&one)) == 1)
		while ((n = imsg_get(&one, &m)) == 1)
			if (m.fd != -1)
				close(m.fd);
	unpair(1);
	return n;
}

static void
test_bad_fds(void)
{
	int	 before, after;

	before = dup(0);
	close(before);
	is_num(with_fds(1, 0, 0, 0), 0, "no descriptor, none announced");
	is_num(with_fds(1, IMSGF_HASFD, 0, 1), 0, "one, announced");
	is_num(with_fds(1, IMSGF_HASFD, 0, 0), -1, "announced and missing");
	is_num(with_fds(1, 0, 0, 1), -1, "not announced");
	is_num(with_fds(2, 0, 0, 1), -1, "not announced by two");
	is_num(with_fds(2, IMSGF_HASFD, 0, 1), 0, "announced by the first");
	is_num(with_fds(1, IMSGF_HASFD, 0, 2), -1, "two, one announced");
	is_num(with_fds(1, IMSGF_HASFD, 0, 8), -1, "eight");
	is_num(with_fds(1, 0, 1, 1), 0, "inside a header: may be announced");
	is_num(with_fds(1, 0, 1, 2), -1, "inside a header: two");
	after = dup(0);
	close(after);
	is_num(after, before, "no descriptor is left behind");
}

static void
test_nofds(void)
{
	struct imsg_hdr	 hdr;
	struct imsg	 m;
	int		 p[2];

	pair(1);
	imsgbuf_nofds(&one);
	header(&hdr, sizeof(hdr), 0);
	send_raw(&hdr, sizeof(hdr), NULL, 0);
	is_num(next(&one, &m), 1, "nofds: messages arrive");
	if (pipe(p) == -1)
		fatal("pipe");
	header(&hdr, sizeof(hdr), IMSGF_HASFD);
	send_raw(&hdr, sizeof(hdr), p, 1);
	close(p[0]);
	is_num(next(&one, &m), -1, "nofds: one with a descriptor does not");
	errno = 0;
	ok(write(p[1], "x", 1) == -1 && errno == EPIPE,
	    "the kernel has dropped it");
	close(p[1]);
	unpair(1);
}

static int
holds(const struct buf *b, const char *s)
{
	return b->data != NULL && memmem(b->data, b->cap, s, strlen(s)) != NULL;
}

static void
test_wipe(void)
{
	struct imsg	 m;

	pair(0);
	imsg_compose(&one, 1, 0, -1, "hunter2", 7);
	imsg_compose(&one, 2, 0, -1, "rest", 4);
	imsgbuf_flush(&one, 1000);
	is_num(next(&two, &m), 1, "a secret arrives");
	ok(holds(&two.in, "hunter2"), "and stays in the buffer");
	imsgbuf_wipe(&two);
	ok(!holds(&two.in, "hunter2"), "until it is wiped");
	ok(next(&two, &m) == 1 && memcmp(m.data, "rest", 4) == 0,
	    "what was behind it is there");
	imsgbuf_wipe(&two);
	ok(!holds(&two.in, "rest"), "wiped to the end");
	unpair(0);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_simple();
	test_full();
	test_fds();
	test_bytewise();
	test_lengths();
	test_bad_fds();
	test_nofds();
	test_wipe();
	return tap_done();
}

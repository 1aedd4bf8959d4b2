/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "clock.h"
#include "imsg.h"
#include "log.h"

#define IMSG_READ	(4 * IMSG_MAXSIZE)	/* octets of one read(2) */
#define IMSG_HEADER	sizeof(struct imsg_hdr)

void
imsgbuf_init(struct imsgbuf *ib, int fd)
{
	int	 fl;

	memset(ib, 0, sizeof(*ib));
	if ((fl = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, fl | O_NONBLOCK) == -1)
		fatal("fcntl");
	ib->fd = fd;
	ib->pid = getpid();
	TAILQ_INIT(&ib->infds);
	TAILQ_INIT(&ib->outfds);
}

static void
imsg_fd_add(struct imsg_fds *fds, int fd, size_t off)
{
	struct imsg_fd	*ifd;

	ifd = xcalloc(1, sizeof(*ifd));
	ifd->fd = fd;
	ifd->off = off;
	TAILQ_INSERT_TAIL(fds, ifd, entry);
}

/* The first descriptor of the list, which is off it; -1 if there is none. */
static int
imsg_fd_take(struct imsg_fds *fds)
{
	struct imsg_fd	*ifd;
	int		 fd;

	if ((ifd = TAILQ_FIRST(fds)) == NULL)
		return -1;
	fd = ifd->fd;
	TAILQ_REMOVE(fds, ifd, entry);
	free(ifd);
	return fd;
}

void
imsgbuf_clear(struct imsgbuf *ib)
{
	int	 fd;

	while ((fd = imsg_fd_take(&ib->infds)) != -1)
		close(fd);
	while ((fd = imsg_fd_take(&ib->outfds)) != -1)
		close(fd);
	buf_wipe(&ib->in);
	buf_free(&ib->in);
	buf_wipe(&ib->out);
	buf_free(&ib->out);
	if (ib->fd != -1)
		close(ib->fd);
	ib->fd = -1;
}

void
imsgbuf_nofds(struct imsgbuf *ib)
{
	ib->nofds = 1;
}

void
imsgbuf_wipe(struct imsgbuf *ib)
{
	struct buf	*b = &ib->in;
	size_t		 end = b->off + b->len;

	if (b->data == NULL)
		return;
	explicit_bzero(b->data, b->off);
	explicit_bzero(b->data + end, b->cap - end);
}

/* As read(2); descriptors that come along are queued. */
static ssize_t
imsg_recv(struct imsgbuf *ib, void *p, size_t len)
{
	struct msghdr	 msg;
	struct iovec	 iov;
	struct cmsghdr	*cmsg;
	union {
		struct cmsghdr	 hdr;
		unsigned char	 buf[CMSG_SPACE(sizeof(int))];
	} control;
	size_t		 i, n;
	ssize_t		 got;
	int		 fd;

	memset(&msg, 0, sizeof(msg));
	iov.iov_base = p;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	if ((got = recvmsg(ib->fd, &msg, MSG_CMSG_CLOEXEC)) == -1)
		return -1;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	    cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* Alignment may leave room for two: take all, or they leak. */
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(int));
			imsg_fd_add(&ib->infds, fd, 0);
		}
	}
	if (msg.msg_flags & MSG_CTRUNC) {
		errno = EBADMSG;
		return -1;
	}
	return got;
}

int
imsgbuf_read(struct imsgbuf *ib)
{
	uint8_t	*p;
	ssize_t	 n;

	p = buf_room(&ib->in, IMSG_READ);
	do {
		if (ib->nofds)
			n = read(ib->fd, p, IMSG_READ);
		else
			n = imsg_recv(ib, p, IMSG_READ);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == EAGAIN ? 1 : -1;
	if (n == 0)
		return 0;
	buf_wrote(&ib->in, n);
	return 1;
}

/* Send len octets with a descriptor; as write(2). */
static ssize_t
imsg_sendfd(struct imsgbuf *ib, int fd, void *p, size_t len)
{
	struct msghdr	 msg;
	struct iovec	 iov;
	struct cmsghdr	*cmsg;
	union {
		struct cmsghdr	 hdr;
		unsigned char	 buf[CMSG_SPACE(sizeof(int))];
	} control;

	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = p;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(ib->fd, &msg, MSG_NOSIGNAL);
}

/*
 * Write once.  A descriptor goes with the first octet of its message, so that
 * the whole message never arrives without it.
 */
static ssize_t
imsg_write1(struct imsgbuf *ib)
{
	struct imsg_fd	*ifd = TAILQ_FIRST(&ib->outfds), *next;
	size_t		 len = ib->out.len;
	ssize_t		 n;

	if (ifd == NULL)
		return write(ib->fd, buf_ptr(&ib->out), len);
	if (ifd->off > 0)
		return write(ib->fd, buf_ptr(&ib->out), ifd->off);
	if ((next = TAILQ_NEXT(ifd, entry)) != NULL)
		len = next->off;
	n = imsg_sendfd(ib, ifd->fd, buf_ptr(&ib->out), len);
	if (n > 0)
		close(imsg_fd_take(&ib->outfds));
	return n;
}

int
imsgbuf_write(struct imsgbuf *ib)
{
	struct imsg_fd	*ifd;
	ssize_t		 n;

	while (ib->out.len > 0) {
		if ((n = imsg_write1(ib)) == -1) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -1;
		}
		buf_drain(&ib->out, n);
		TAILQ_FOREACH(ifd, &ib->outfds, entry)
			ifd->off -= n;
	}
	return 0;
}

int
imsgbuf_flush(struct imsgbuf *ib, int ms)
{
	struct pollfd	 pfd;
	int64_t		 end = clock_ms() + ms, left;

	for (;;) {
		if (imsgbuf_write(ib) == -1)
			return -1;
		if (ib->out.len == 0)
			return 0;
		left = ms < 0 ? -1 : end - clock_ms();
		if (ms >= 0 && left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		pfd.fd = ib->fd;
		pfd.events = POLLOUT;
		if (poll(&pfd, 1, (int)left) == -1 && errno != EINTR)
			return -1;
	}
}

size_t
imsgbuf_pending(const struct imsgbuf *ib)
{
	return ib->out.len;
}

/*
 * When no whole message is left, the one that is under way may have brought
 * its descriptor already; any other is one that no message announced.
 */
static int
imsg_fds_ok(struct imsgbuf *ib)
{
	struct imsg_fd	*ifd = TAILQ_FIRST(&ib->infds);
	struct imsg_hdr	 hdr;

	if (ifd == NULL)
		return 1;
	if (ib->in.len == 0 || TAILQ_NEXT(ifd, entry) != NULL)
		return 0;
	if (ib->in.len < IMSG_HEADER)
		return 1;
	memcpy(&hdr, buf_ptr(&ib->in), IMSG_HEADER);
	return hdr.flags & IMSGF_HASFD;
}

int
imsg_get(struct imsgbuf *ib, struct imsg *m)
{
	errno = EBADMSG;
	if (ib->in.len < IMSG_HEADER)
		return imsg_fds_ok(ib) ? 0 : -1;
	memcpy(&m->hdr, buf_ptr(&ib->in), IMSG_HEADER);
	if (m->hdr.len < IMSG_HEADER || m->hdr.len > IMSG_MAXSIZE ||
	    m->hdr.flags & ~IMSGF_HASFD)
		return -1;
	if (m->hdr.len > ib->in.len)
		return imsg_fds_ok(ib) ? 0 : -1;
	m->fd = -1;
	if (m->hdr.flags & IMSGF_HASFD &&
	    (m->fd = imsg_fd_take(&ib->infds)) == -1)
		return -1;
	m->data = buf_ptr(&ib->in) + IMSG_HEADER;
	buf_drain(&ib->in, m->hdr.len);
	return 1;
}

int
imsg_compose(struct imsgbuf *ib, uint32_t type, uint32_t peerid, int fd,
    const void *data, size_t len)
{
	struct imsg_hdr	 hdr;

	if (len > IMSG_MAXDATA) {
		errno = ERANGE;
		return -1;
	}
	memset(&hdr, 0, sizeof(hdr));
	hdr.type = type;
	hdr.len = (uint16_t)(IMSG_HEADER + len);
	hdr.flags = fd == -1 ? 0 : IMSGF_HASFD;
	hdr.peerid = peerid;
	hdr.pid = (uint32_t)ib->pid;
	if (fd != -1)
		imsg_fd_add(&ib->outfds, fd, ib->out.len);
	buf_add(&ib->out, &hdr, IMSG_HEADER);
	buf_add(&ib->out, data, len);
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a test that takes the place of imapsync-net can't do in Perl, or must not
 * know twice:
 *
 *	worker dump		the messages of the protocol, as a table
 *	worker net FILE		be the imapsync-net beside which FILE.conf lies
 *				(FILE is a script with this as its interpreter)
 *	worker pass FD N	send what is on standard input over that socket,
 *				with N descriptors
 *	worker run FILE SECONDS PROGRAM [ARGUMENT ...]
 *				run it; FILE gets its status, its signal and the
 *				kB of its largest process, all below it included
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "compat.h"
#include "log.h"
#include "proto.h"
#include "proto-table.h"

#define FD_FIRST	5	/* descriptors as they came; then what was read */
#define FDS_MAX		16
#define FDS_LOOK	64
#define SETUP_MAX	(1024 * 1024)

/* ---- the table ---- */

#define CONST(name)	{ #name, name }
static const struct {
	const char	*name;
	uint64_t	 value;
} constants[] = {
	CONST(PROTO_VERSION), CONST(IMSG_MAXSIZE), CONST(IMSGF_HASFD),
	CONST(LOCAL), CONST(REMOTE),
	CONST(NETFD_BRIDGE), CONST(NETFD_CA), CONST(NETFD_CERT),
	CONST(NETFD_KEY),
	CONST(STRATEGY_QRESYNC), CONST(STRATEGY_PLAIN),
	CONST(PROOF_TOLD), CONST(PROOF_NONE),
	CONST(OPEN_EXAMINE), CONST(OPEN_FULL), CONST(OPEN_NEW), CONST(OPEN_ALL),
	CONST(OPEN_KEEP),
	CONST(NAME_CREATE), CONST(NAME_DELETE), CONST(NAME_RENAME),
	CONST(NAME_SUBSCRIBE), CONST(NAME_UNSUBSCRIBE),
	CONST(CAP_QRESYNC), CONST(CAP_CONDSTORE), CONST(CAP_LIST_EXTENDED),
	CONST(CAP_LIST_STATUS), CONST(CAP_UIDPLUS), CONST(CAP_LITERALPLUS),
	CONST(CAP_MULTIAPPEND), CONST(CAP_NOTIFY), CONST(CAP_IDLE),
	CONST(CAP_SPECIAL_USE), CONST(CAP_ESEARCH), CONST(CAP_UNSELECT),
	CONST(CAP_ENABLE),
	CONST(ATTR_NOSELECT), CONST(ATTR_NONEXISTENT), CONST(ATTR_SUBSCRIBED),
	CONST(ATTR_TRASH), CONST(ATTR_JUNK),
	CONST(FLAGS_NONE), CONST(FLAGS_ALL), CONST(FLAGS_CUT),
	CONST(RC_NONE), CONST(RC_NONEXISTENT), CONST(RC_TRYCREATE),
	CONST(RC_TOOBIG), CONST(RC_OVERQUOTA), CONST(RC_SERVERBUG),
	CONST(RC_CLOSED_CONNECTION), CONST(RC_MAX), CONST(RC_SERVER_MAX),
	CONST(ST_OK), CONST(ST_NO), CONST(ST_BAD), CONST(ST_UNSENT),
	CONST(LOG_LV_DEBUG), CONST(LOG_LV_INFO), CONST(LOG_LV_WARN),
	CONST(LOG_LV_ERROR)
};

static const char *const kinds[] = {
	[F_U8] = "u8", [F_U16] = "u16", [F_U32] = "u32", [F_U64] = "u64",
	[F_I64] = "i64", [F_STR] = "str", [F_SPELL] = "spell",
	[F_NEUTRAL] = "neutral", [F_FLAGS] = "flags", [F_SET] = "set"
};

static void
dump(void)
{
	const struct proto_field	*f;
	size_t				 i;

	for (i = 0; i < nitems(constants); i++)
		printf("constant %s %llu\n", constants[i].name,
		    (unsigned long long)constants[i].value);
	for (i = M_NONE + 1; i < M_MAX; i++) {
		printf("type %zu %s%s%s\n", i, proto_forms[i].name,
		    proto_forms[i].flags & P_MANY ? " many" : "",
		    proto_forms[i].flags & P_FD ? " fd" : "");
		for (f = proto_forms[i].fields; f->kind != F_END; f++)
			printf("field %s %s %llu %llu\n", f->name,
			    kinds[f->kind], (unsigned long long)f->min,
			    (unsigned long long)f->max);
	}
}

/* ---- the worker ---- */

/* FILE.conf: lines "key=value". */
static char	*conf_text;

static void
conf_read(const char *file)
{
	char	 path[4096];
	ssize_t	 n;
	int	 fd;

	snprintf(path, sizeof(path), "%s.conf", file);
	conf_text = xcalloc(1, SETUP_MAX);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    (n = read(fd, conf_text, SETUP_MAX - 1)) == -1)
		fatal("%s", path);
	close(fd);
}

/* The value, allocated; NULL if there is none. */
static char *
conf_get(const char *key)
{
	const char	*p;
	size_t		 n = strlen(key);

	for (p = conf_text; *p != '\0'; p += strcspn(p, "\n"), p += *p != '\0')
		if (strncmp(p, key, n) == 0 && p[n] == '=')
			return strndup(p + n + 1, strcspn(p + n + 1, "\n"));
	return NULL;
}

static char *
conf_need(const char *key)
{
	char	*value = conf_get(key);

	if (value == NULL)
		fatalx("no %s", key);
	return value;
}

/*
 * The side that SETUP, the first message, names; it stays in the socket for
 * the program that takes it.
 */
static int
peek_side(void)
{
	static uint8_t	 frame[IMSG_MAXSIZE];
	union proto_rec	 rec;
	struct imsg_hdr	 hdr;
	const uint8_t	*p = frame + sizeof(hdr);
	size_t		 len = sizeof(hdr);

	for (;;) {
		if (recv(FD_CHANNEL, frame, len, MSG_PEEK | MSG_WAITALL) !=
		    (ssize_t)len)
			fatalx("no SETUP");
		memcpy(&hdr, frame, sizeof(hdr));
		if (hdr.len == len)
			break;
		len = hdr.len;
	}
	len -= sizeof(hdr);
	if (hdr.type != M_NET_SETUP ||
	    proto_decode(M_NET_SETUP, &p, &len, &rec) == -1)
		fatalx("no SETUP");
	return rec.net_setup.side;
}

/* What this process was given: descriptors by number, and its environment. */
static void
look_around(const char *file)
{
	extern char	**environ;
	char		  path[4096], link[64], target[4096], **e;
	FILE		 *fp;
	ssize_t		  n;
	int		  fd, open_fd[FDS_LOOK];

	for (fd = 0; fd < FDS_LOOK; fd++)
		open_fd[fd] = fcntl(fd, F_GETFD) != -1;
	snprintf(path, sizeof(path), "%s.given", file);
	if ((fp = fopen(path, "we")) == NULL)
		fatal("%s", path);
	for (fd = 0; fd < FDS_LOOK; fd++) {
		if (!open_fd[fd])
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		fprintf(fp, "fd %d %s\n", fd, target);
	}
	for (e = environ; *e != NULL; e++)
		fprintf(fp, "env %s\n", *e);
	if (fclose(fp) == EOF)
		fatal("%s", path);
}

static int	 fds[FDS_MAX];
static size_t	 nfds;

static ssize_t
take_some(void *p, size_t len)
{
	struct msghdr	 msg;
	struct iovec	 iov = { p, len };
	struct cmsghdr	*cmsg;
	union {
		struct cmsghdr	 hdr;
		unsigned char	 buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	size_t		 i, n;
	ssize_t		 got;

	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	if ((got = recvmsg(FD_CHANNEL, &msg, 0)) <= 0)
		fatalx("no CONNECT");
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	    cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n && nfds < FDS_MAX; i++)
			memcpy(&fds[nfds++],
			    CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
	}
	return got;
}

/* Is the whole of CONNECT among these octets? */
static int
has_connect(const uint8_t *p, size_t len)
{
	struct imsg_hdr	 hdr;

	while (len >= sizeof(hdr)) {
		memcpy(&hdr, p, sizeof(hdr));
		if (hdr.len > len)
			return 0;
		if (hdr.type == M_NET_CONNECT)
			return 1;
		p += hdr.len;
		len -= hdr.len;
	}
	return 0;
}

/*
 * Take what the supervisor sends.  The descriptors get the numbers from FD_FIRST
 * on, in their order; behind them stands a pipe with the octets that were read.
 */
static void
take_setup(void)
{
	uint8_t	*p = xcalloc(1, SETUP_MAX);
	size_t	 i, len = 0;
	int	 high[FDS_MAX + 1], pair[2];

	while (!has_connect(p, len))
		len += take_some(p + len, SETUP_MAX - len > 32768 ? 32768 :
		    SETUP_MAX - len);
	if (pipe(pair) == -1 || write(pair[1], p, len) != (ssize_t)len)
		fatal("pipe");
	close(pair[1]);
	fds[nfds++] = pair[0];
	for (i = 0; i < nfds; i++)
		if ((high[i] = fcntl(fds[i], F_DUPFD, FDS_LOOK)) == -1)
			fatal("dup");
	for (i = 0; i < nfds; i++)
		dup2(high[i], FD_FIRST + (int)i);
	closefrom(FD_FIRST + (int)nfds);
	free(p);
}

/* Send a file as it is, then wait for the end. */
static void
send_blob(const char *path)
{
	static char	 buf[65536];
	struct pollfd	 pfd[2] = { { FD_CHANNEL, POLLIN, 0 },
			    { FD_LIFELINE, POLLIN, 0 } };
	ssize_t		 n;
	int		 fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		fatal("%s", path);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(FD_CHANNEL, buf, n) != n)
			return;
	while (poll(pfd, 2, -1) > 0 && pfd[1].revents == 0)
		if (read(FD_CHANNEL, buf, sizeof(buf)) <= 0)
			return;
}

static __dead void
be_worker(const char *file)
{
	char	*perl, *lib, *real, *blob, number[16];

	conf_read(file);
	real = conf_need("real");
	if (peek_side() != atoi(conf_need("side"))) {
		execl(real, "imapsync-net", (char *)NULL);
		fatal("%s", real);
	}
	look_around(file);
	signal(SIGPIPE, SIG_IGN);
	take_setup();
	if ((blob = conf_get("blob")) != NULL) {
		send_blob(blob);
		_exit(0);
	}
	snprintf(number, sizeof(number), "%zu", FD_FIRST + nfds - 1);
	perl = conf_need("perl");
	lib = conf_need("lib");
	execl(perl, "imapsync-net", "-I", lib, "-MImapsync::Worker", "-e",
	    "Imapsync::Worker::main(@ARGV)", file, number, (char *)NULL);
	fatal("%s", perl);
}

/* ---- descriptors that nobody asked for ---- */

static void
pass(int sock, int count)
{
	static char	 buf[65536];
	struct msghdr	 msg;
	struct iovec	 iov;
	struct cmsghdr	*cmsg;
	union {
		struct cmsghdr	 hdr;
		unsigned char	 buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	ssize_t		 len;
	int		 i, zero = STDIN_FILENO;

	if (count < 1 || count > FDS_MAX ||
	    (len = read(STDIN_FILENO, buf, sizeof(buf))) <= 0)
		fatalx("nothing to pass");
	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = buf;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.buf;
	msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	for (i = 0; i < count; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &zero, sizeof(zero));
	if (sendmsg(sock, &msg, 0) != len)
		fatal("sendmsg");
}

/* ---- a run ---- */

static pid_t			 run_pid;
static volatile sig_atomic_t	 run_late;

static void
run_signal(int sig)
{
	run_late |= sig == SIGALRM;
	kill(run_pid, sig == SIGALRM ? SIGKILL : sig);
}

static void
run(const char *file, unsigned seconds, char **argv)
{
	struct rusage	 ru;
	FILE		*fp;
	int		 status;

	if ((run_pid = fork()) == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	signal(SIGALRM, run_signal);
	signal(SIGTERM, run_signal);
	signal(SIGINT, run_signal);
	alarm(seconds);
	while (waitpid(run_pid, &status, 0) == -1)
		if (errno != EINTR)
			fatal("waitpid");
	if (getrusage(RUSAGE_CHILDREN, &ru) == -1)
		fatal("getrusage");
	if ((fp = fopen(file, "we")) == NULL)
		fatal("%s", file);
	fprintf(fp, "%d %d %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) :
	    -1, run_late ? SIGALRM : WIFSIGNALED(status) ? WTERMSIG(status) :
	    0, ru.ru_maxrss);
	if (fclose(fp) == EOF)
		fatal("%s", file);
}

static void
to_stderr(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	(void)status;
	(void)level;
	(void)mailbox;
	fprintf(stderr, "worker: %s\n", text);
}

int
main(int argc, char *argv[])
{
	const char	*mode = argc > 1 ? argv[1] : "";

	log_init(to_stderr, 0);
	if (strcmp(mode, "dump") == 0)
		dump();
	else if (strcmp(mode, "net") == 0 && argc == 3)
		be_worker(argv[2]);
	else if (strcmp(mode, "pass") == 0 && argc == 4)
		pass(atoi(argv[2]), atoi(argv[3]));
	else if (strcmp(mode, "run") == 0 && argc > 4)
		run(argv[2], atoi(argv[3]), argv + 4);
	else
		return 2;
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What test_sandbox tries once it is locked, one function a case.  Each returns 0,
 * or the errno of what was refused.
 */
/* ---- what works everywhere ---- */

static int
t_read_write(void)
{
	char	 c = 'x';

	if (write(pipes[1], &c, 1) != 1 || read(pipes[0], &c, 1) != 1)
		return errno;
	if (write(sock[0], &c, 1) != 1)
		return errno;
	return read(sock[1], &c, 1) == 1 ? 0 : errno;
}

static int
t_imsg(void)
{
	struct imsg	 m;

	imsg_compose(&imsgs[0], 1, 2, -1, "abc", 3);
	if (imsgbuf_flush(&imsgs[0], 1000) == -1 ||
	    imsgbuf_read(&imsgs[1]) != 1)
		return errno;
	return imsg_get(&imsgs[1], &m) == 1 ? 0 : ENOMSG;
}

static int
t_poll(void)
{
	struct pollfd	 pfd;

	pfd.fd = pipes[0];
	pfd.events = POLLIN;
	return poll(&pfd, 1, 5) == 0 ? 0 : errno;
}

static int
t_memory(void)
{
	size_t	 i, n = 1000;
	char	*p = malloc(n);

	/* Through brk, mmap and mremap, and back. */
	for (i = 0; i < 15; i++) {
		n *= 2;
		if ((p = realloc(p, n)) == NULL)
			return ENOMEM;
		memset(p, 'x', n);
	}
	free(p);
	return 0;
}

/* The last line: more than that is not to be had. */
static int
t_memory_max(void)
{
	return malloc((size_t)MEMORY_MAX + 1) == NULL ? errno : 0;
}

static int
t_memory_store(void)
{
	return malloc((size_t)STORE_MEMORY_MAX + 1) == NULL ? errno : 0;
}

static int
t_mmap(void)
{
	void	*p;

	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ) == -1)
		return errno;
	return RESULT(munmap(p, 4096));
}

static int
cmp_int(const void *a, const void *b)
{
	const int	*x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
t_qsort(void)
{
	static int	 v[100000];
	size_t		 i;

	for (i = 0; i < nitems(v); i++)
		v[i] = (int)(tap_random() % 1000000);
	qsort(v, nitems(v), sizeof(v[0]), cmp_int);
	for (i = 1; i < nitems(v); i++)
		if (v[i - 1] > v[i])
			return EINVAL;
	return 0;
}

static int
t_random(void)
{
	char	 buf[64];

	arc4random_buf(buf, sizeof(buf));
	return RESULT(syscall(SYS_getrandom, buf, sizeof(buf), 0));
}

static int
t_time(void)
{
	struct timespec	 ts;
	struct tm	*tm;

	/* Not by the vDSO. */
	if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == -1)
		return errno;
	if ((tm = localtime(&noon)) == NULL || tm->tm_hour != local_hour)
		return EINVAL;
	return timegm(gmtime(&noon)) == noon ? 0 : EINVAL;
}

static int
t_dprintf(void)
{
	if (dprintf(pipes[1], "%s: %s\n", "text", strerror(ENOENT)) < 0)
		return errno;
	return isatty(pipes[1]) ? EINVAL : 0;
}

/* What is not needed is not there either. */
static int
t_nanosleep(void)
{
	struct timespec	 ts = { 0, 1000 };

	return RESULT(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts,
	    NULL));
}

static int
t_readv(void)
{
	char		 c;
	struct iovec	 iov = { &c, 1 };

	return RESULT(readv(pipes[0], &iov, 1));
}

static int
t_sysinfo(void)
{
	struct sysinfo	 si;

	return RESULT(sysinfo(&si));
}

static int
t_lseek(void)
{
	return RESULT(lseek(pipes[0], 0, SEEK_CUR));
}

static int
t_fstat(void)
{
	struct stat	 st;

	return RESULT(fstat(pipes[0], &st));
}

static int
t_sigaction(void)
{
	return RESULT(sigaction(SIGUSR1, NULL, NULL));
}

static int
t_dup2(void)
{
	return RESULT(syscall(SYS_dup3, sock[0], 20, 0));
}

static int
t_pipe(void)
{
	int	 p[2];

	return RESULT(syscall(SYS_pipe2, p, 0));
}

static int
t_uname(void)
{
	char	 buf[4096];

	return RESULT(syscall(SYS_uname, buf));
}

static int
t_fcntl(void)
{
	int	 fl;

	if ((fl = fcntl(sock[0], F_GETFL)) == -1 ||
	    fcntl(sock[0], F_GETFD) == -1)
		return errno;
	return RESULT(fcntl(sock[0], F_SETFL, fl | O_NONBLOCK));
}

static int
t_abort(void)
{
	abort();
}

static int
t_exit(void)
{
	exit(0);
}

/* ---- what is forbidden everywhere ---- */

static int
t_socket(void)
{
	return RESULT(socket(AF_INET, SOCK_STREAM, 0));
}

static int
t_socket_udp(void)
{
	return RESULT(socket(AF_INET, SOCK_DGRAM, 0));
}

static int
t_socket_unix(void)
{
	return RESULT(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
t_socketpair(void)
{
	int	 sv[2];

	return RESULT(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
}

static int
t_connect(void)
{
	struct sockaddr_in	 sin;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_port = htons(9);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return RESULT(connect(tcp, (struct sockaddr *)&sin, sizeof(sin)));
}

static int
t_bind(void)
{
	struct sockaddr_in	 sin;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	return RESULT(bind(tcp, (struct sockaddr *)&sin, sizeof(sin)));
}

static int
t_sendto(void)
{
	return RESULT(send(sock[0], "x", 1, 0));
}

static int
t_sendto_addr(void)
{
	struct sockaddr_un	 sun;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	return RESULT(sendto(sock[0], "x", 1, 0, (struct sockaddr *)&sun,
	    sizeof(sun)));
}

static int
t_syslog(void)
{
	int	 i;

	/* With a daemon and without one. */
	for (i = 0; i < 3; i++)
		syslog(LOG_DEBUG, "a test of imapsync's sandbox");
	return 0;
}

static int
t_syslog_gone(void)
{
	close(logfd);
	return t_syslog();
}

static int
t_sendmsg(void)
{
	struct msghdr	 msg;

	memset(&msg, 0, sizeof(msg));
	return RESULT(sendmsg(sock[0], &msg, 0));
}

static int
t_recvmsg(void)
{
	struct msghdr	 msg;

	memset(&msg, 0, sizeof(msg));
	return RESULT(recvmsg(sock[0], &msg, MSG_DONTWAIT));
}

static int
t_recvmsg_channel(void)
{
	struct msghdr	 msg;

	memset(&msg, 0, sizeof(msg));
	return RESULT(recvmsg(FD_CHANNEL, &msg, MSG_DONTWAIT));
}

static int
t_execve(void)
{
	char	*argv[] = { NULL };

	return RESULT(execve("/bin/true", argv, argv));
}

static int
t_fork(void)
{
	pid_t	 pid;

	if ((pid = fork()) == 0)
		_exit(0);
	return RESULT(pid);
}

static int
t_kill(void)
{
	return RESULT(kill(getppid(), 0));
}

static int
t_kill_self(void)
{
	return RESULT(kill(getpid(), 0));
}

static int
t_tgkill(void)
{
	/* init: another process wherever this runs */
	return RESULT(syscall(SYS_tgkill, 1, 1, 0));
}

static int
t_ptrace(void)
{
	return RESULT(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int
t_chmod(void)
{
	return RESULT(chmod(dir, 0777));
}

static int
t_mkdir(void)
{
	char	 path[128];

	snprintf(path, sizeof(path), "%s/sub", dir);
	return RESULT(mkdir(path, 0700));
}

static int
t_rename(void)
{
	char	 from[128], to[128];

	snprintf(from, sizeof(from), "%s/file", dir);
	snprintf(to, sizeof(to), "%s/other", dir);
	return RESULT(rename(from, to));
}

static int
t_mmap_exec(void)
{
	void	*p;

	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? errno : 0;
}

static int
t_mprotect_exec(void)
{
	void	*p;

	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return RESULT(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
t_memfd(void)
{
	return RESULT(syscall(SYS_memfd_create, "x", 0));
}

static int
t_ioctl(void)
{
	int	 n;

	return RESULT(ioctl(sock[0], FIONREAD, &n));
}

static int
t_dup(void)
{
	return RESULT(fcntl(sock[0], F_DUPFD, 10));
}

static int
t_prctl(void)
{
	return RESULT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
t_setrlimit(void)
{
	struct rlimit	 rl;

	return RESULT(getrlimit(RLIMIT_NOFILE, &rl));
}

/* ---- files ---- */

static int
t_open(void)
{
	return RESULT(open("/etc/passwd", O_RDONLY));
}

static int
t_open_own(void)
{
	return RESULT(open(outside, O_RDONLY));
}

static int
t_create(void)
{
	return RESULT(open("/tmp/imapsync-must-not-be", O_WRONLY | O_CREAT,
	    0600));
}

static int
t_stat(void)
{
	struct stat	 st;

	return RESULT(stat(outside, &st));
}

static int
t_access(void)
{
	return RESULT(access(outside, R_OK));
}

static int
t_readlink(void)
{
	char	 buf[64];

	return RESULT(readlink("/proc/self/exe", buf, sizeof(buf)));
}

static int
t_unlink(void)
{
	return RESULT(unlink(outside));
}

static int
t_truncate(void)
{
	return RESULT(truncate(outside, 0));
}

/* ---- a network worker's socket ---- */

static int
t_linger(void)
{
	struct linger	 l = { 0, 0 };

	return RESULT(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
}

static int
t_sockerror(void)
{
	socklen_t	 len = sizeof(int);
	int		 error;

	return RESULT(getsockopt(tcp, SOL_SOCKET, SO_ERROR, &error, &len));
}

static int
t_shutdown(void)
{
	return RESULT(shutdown(sock[0], SHUT_WR));
}

static int
t_sockopt(void)
{
	int	 on = 1;

	return RESULT(setsockopt(tcp, SOL_SOCKET, SO_BROADCAST, &on,
	    sizeof(on)));
}

static int
t_sockopt_ip(void)
{
	int	 on = 1;

	/* The same number on another level. */
	return RESULT(setsockopt(tcp, IPPROTO_IP, SO_LINGER, &on, sizeof(on)));
}

static int
t_peercred(void)
{
	struct ucred	 uc;
	socklen_t	 len = sizeof(uc);

	return RESULT(getsockopt(sock[0], SOL_SOCKET, SO_PEERCRED, &uc, &len));
}

/* ---- the store's directory ---- */

static int
t_inside(void)
{
	char	 path[128], c = 'x';
	int	 fd;

	snprintf(path, sizeof(path), "%s/file", dir);
	if ((fd = open(path, O_RDWR | O_CREAT, 0600)) == -1 ||
	    pwrite(fd, &c, 1, 0) != 1 || pread(fd, &c, 1, 0) != 1 ||
	    ftruncate(fd, 0) == -1 || fsync(fd) == -1 ||
	    fdatasync(fd) == -1 || close(fd) == -1)
		return errno;
	return RESULT(unlink(path));
}

static int
t_symlink_out(void)
{
	char	 path[128];

	/* Made before the lock: must not lead out. */
	snprintf(path, sizeof(path), "%s/link", dir);
	return RESULT(open(path, O_RDONLY));
}

static int
t_mode(void)
{
	char	 path[128];
	int	 fd;

	snprintf(path, sizeof(path), "%s/mode", dir);
	if ((fd = open(path, O_RDWR | O_CREAT, 0600)) == -1)
		return errno;
	return RESULT(fchmod(fd, 0644));
}

static int
sqlite(const char *mode)
{
	char	 path[128], sql[512];
	sqlite3	*db;
	int	 ret;

	snprintf(path, sizeof(path), "%s/state-%s.db", dir, mode);
	if (strcmp(mode, "MEMORY") == 0)
		strlcpy(path, ":memory:", sizeof(path));
	if (sqlite3_open(path, &db) != SQLITE_OK)
		return EIO;
	snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s; "
	    "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; "
	    "PRAGMA locking_mode = EXCLUSIVE; "
	    "BEGIN; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); COMMIT; "
	    "BEGIN; INSERT INTO t VALUES (1, 'x'); COMMIT; "
	    "BEGIN; WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL "
	    "SELECT n + 1 FROM c WHERE n < 5000) "
	    "INSERT INTO t SELECT NULL, randomblob(200) FROM c; ROLLBACK; "
	    "SELECT * FROM t ORDER BY b DESC; UPDATE t SET b = 'y';", mode);
	ret = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (ret != SQLITE_OK)
		fprintf(stderr, "# %s\n", sqlite3_errmsg(db));
	return sqlite3_close(db) == SQLITE_OK && ret == SQLITE_OK ? 0 : EIO;
}

static int
t_sqlite_delete(void)
{
	return sqlite("DELETE");
}

static int
t_sqlite_wal(void)
{
	return sqlite("WAL");
}

static int
t_sqlite_truncate(void)
{
	return sqlite("TRUNCATE");
}

/* As the store of a dry run, which locks itself as the engine does. */
static int
t_sqlite_memory(void)
{
	return sqlite("MEMORY");
}

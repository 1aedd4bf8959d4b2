/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The locks of Linux, as root and as uid 65534 if the test is root: for each
 * role what must work, and that its neighbour kills or is refused.  Every case
 * is a child of its own.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <syslog.h>
#include <time.h>

#include "bounds.h"
#include "imsg.h"
#include "log.h"
#include "proto.h"
#include "sandbox.h"
#include "tap.h"

#define NOBODY	65534

#define NET	0x1
#define STORE	0x2
#define ENGINE	0x4
#define LOGGER	0x8	/* an engine that has syslog(3) open */
#define MOVED	0x10	/* one whose log may be another file later */
#define ENGINES	(ENGINE | LOGGER | MOVED)
#define ALL	(NET | STORE | ENGINES)

/* What a case must come to: 0, an errno, or death by a signal. */
#define WORKS		0
#define DIES(sig)	(1000 + (sig))
#define KILLED		DIES(SIGSYS)

static char	 dir[64], outside[64];
static int	 sock[2], pipes[2], tcp, logfd;
static struct imsgbuf imsgs[2];		/* they are non-blocking */
static time_t	 noon = 1719828000;	/* 2024-07-01 10:00 UTC */
static int	 local_hour;

/* errno of a call that failed, 0 of one that did not. */
#define RESULT(call)	((call) == -1 ? errno : 0)

#include "sandbox_cases.h"

/* ---- the table ---- */

#define NOLOGGER	(ALL & ~LOGGER)

#define LANDLOCK	0x1	/* holds without seccomp, by Landlock */
#define LIMIT		0x2	/* by setrlimit(2) */

static const struct {
	const char	*name;
	int		 (*fn)(void);
	int		 roles;
	int		 expected;
	int		 by;
} cases[] = {
	{ "read and write", t_read_write, ALL, WORKS, 0 },
	{ "imsg without descriptors", t_imsg, ALL, WORKS, 0 },
	{ "poll", t_poll, ALL, WORKS, 0 },
	{ "malloc", t_memory, ALL, WORKS, 0 },
	{ "more than MEMORY_MAX", t_memory_max, NET | ENGINES, ENOMEM, LIMIT },
	{ "the same", t_memory_max, STORE, WORKS, 0 },
	{ "more than STORE_MEMORY_MAX", t_memory_store, STORE, ENOMEM, LIMIT },
	{ "mmap without PROT_EXEC", t_mmap, ALL, WORKS, 0 },
	{ "a large qsort", t_qsort, ALL, WORKS, 0 },
	{ "getrandom", t_random, ALL, WORKS, 0 },
	{ "time and its zone", t_time, ALL, WORKS, 0 },
	{ "dprintf", t_dprintf, ENGINES, WORKS, 0 },
	{ "fcntl of flags", t_fcntl, ALL, KILLED, 0 },
	{ "nanosleep", t_nanosleep, ALL, KILLED, 0 },
	{ "readv", t_readv, ALL, KILLED, 0 },
	{ "sysinfo", t_sysinfo, ALL, ENOSYS, 0 },
	{ "lseek", t_lseek, NET | STORE, KILLED, 0 },
	{ "fstat", t_fstat, NET | ENGINES, EACCES, 0 },
	{ "sigaction", t_sigaction, ALL, KILLED, 0 },
	{ "dup3", t_dup2, ALL, KILLED, 0 },
	{ "pipe2", t_pipe, ALL, KILLED, 0 },
	{ "uname", t_uname, ALL, KILLED, 0 },
	{ "exit", t_exit, ALL, WORKS, 0 },
	{ "abort is SIGABRT", t_abort, ALL, DIES(SIGABRT), 0 },

	{ "TCP socket", t_socket, NOLOGGER, KILLED, 0 },
	{ "UDP socket", t_socket_udp, NOLOGGER, KILLED, 0 },
	{ "unix socket", t_socket_unix, NOLOGGER, KILLED, 0 },
	{ "socketpair", t_socketpair, ALL, KILLED, 0 },
	{ "connect of a socket it has", t_connect, NOLOGGER, KILLED, 0 },
	{ "bind", t_bind, ALL, KILLED, 0 },
	{ "send", t_sendto, NOLOGGER, KILLED, 0 },
	{ "send with an address", t_sendto_addr, ALL, KILLED, 0 },
	{ "sendmsg", t_sendmsg, ALL, KILLED, 0 },
	{ "recvmsg", t_recvmsg, ALL, KILLED, 0 },
	{ "recvmsg of the channel", t_recvmsg_channel, ALL & ~MOVED, KILLED,
	    0 },
	{ "recvmsg of the channel", t_recvmsg_channel, MOVED, ENOTSOCK, 0 },
	{ "execve", t_execve, ALL, KILLED, 0 },
	{ "fork", t_fork, ALL, KILLED, 0 },
	{ "kill of the parent", t_kill, ALL, KILLED, 0 },
	{ "kill of itself", t_kill_self, ALL, KILLED, 0 },
	{ "tgkill of another", t_tgkill, ALL, KILLED, 0 },
	{ "ptrace", t_ptrace, ALL, KILLED, 0 },
	{ "chmod", t_chmod, ALL, KILLED, 0 },
	{ "mkdir", t_mkdir, ALL, KILLED, 0 },
	{ "rename", t_rename, ALL, KILLED, 0 },
	{ "truncate by path", t_truncate, ALL, KILLED, 0 },
	{ "mmap with PROT_EXEC", t_mmap_exec, ALL, KILLED, 0 },
	{ "mprotect with PROT_EXEC", t_mprotect_exec, ALL, KILLED, 0 },
	{ "memfd_create", t_memfd, ALL, KILLED, 0 },
	{ "ioctl", t_ioctl, ALL, ENOTTY, 0 },
	{ "fcntl F_DUPFD", t_dup, ALL, KILLED, 0 },
	{ "prctl", t_prctl, ALL, KILLED, 0 },
	{ "getrlimit", t_setrlimit, ALL, KILLED, 0 },

	{ "open", t_open, ALL, EACCES, LANDLOCK },
	{ "open of its own file", t_open_own, ALL, EACCES, LANDLOCK },
	{ "create", t_create, ALL, EACCES, LANDLOCK },
	{ "stat", t_stat, NET | ENGINES, EACCES, 0 },
	{ "access", t_access, NET | ENGINES, EACCES, 0 },
	{ "readlink", t_readlink, ALL, EACCES, 0 },
	{ "unlink", t_unlink, NET | ENGINES, KILLED, 0 },
	{ "unlink elsewhere", t_unlink, STORE, EACCES, LANDLOCK },

	{ "SO_LINGER", t_linger, NET, WORKS, 0 },
	{ "SO_ERROR", t_sockerror, NET, KILLED, 0 },
	{ "another socket option", t_sockopt, NET, KILLED, 0 },
	{ "another level", t_sockopt_ip, NET, KILLED, 0 },
	{ "SO_PEERCRED", t_peercred, NET, KILLED, 0 },
	{ "SO_LINGER", t_linger, STORE | ENGINES, KILLED, 0 },
	{ "shutdown", t_shutdown, ALL, KILLED, 0 },

	{ "send without an address", t_sendto, LOGGER, WORKS, 0 },
	{ "syslog", t_syslog, LOGGER, WORKS, 0 },
	{ "syslog, lost", t_syslog_gone, LOGGER, WORKS, 0 },
	{ "TCP socket", t_socket, LOGGER, EACCES, 0 },
	{ "UDP socket", t_socket_udp, LOGGER, EACCES, 0 },
	{ "unix socket", t_socket_unix, LOGGER, EACCES, 0 },
	{ "connect of a socket it has", t_connect, LOGGER, EACCES, 0 },

	{ "a file in its directory", t_inside, STORE, WORKS, 0 },
	{ "a link out of it", t_symlink_out, STORE, EACCES, LANDLOCK },
	{ "fchmod", t_mode, STORE, EPERM, 0 },
	{ "SQLite, in memory", t_sqlite_memory, ENGINES | STORE, WORKS, 0 },
	{ "SQLite, DELETE", t_sqlite_delete, STORE, WORKS, 0 },
	{ "SQLite, TRUNCATE", t_sqlite_truncate, STORE, WORKS, 0 },
	{ "SQLite, WAL", t_sqlite_wal, STORE, WORKS, 0 }
};

static const char *
role_name(int role)
{
	return role == NET ? "net" : role == STORE ? "store" :
	    role == ENGINE ? "engine" : role == LOGGER ?
	    "engine with syslog" : "engine with a log";
}

static void
lock_as(int role, uid_t uid)
{
	if (uid != getuid() && (setgid(uid) == -1 || setuid(uid) == -1))
		fatal("setuid");
	sandbox_early();
	if (role == NET)
		sandbox_net();
	else if (role == STORE)
		sandbox_store(dir);
	else
		sandbox_engine(role == LOGGER ? SANDBOX_SYSLOG :
		    role == MOVED ? SANDBOX_LOGFILE : 0);
}

/* What became of a child, in terms of "expected" above. */
static int
outcome(pid_t pid)
{
	int	 status;

	if (waitpid(pid, &status, 0) != pid)
		fatal("waitpid");
	if (WIFSIGNALED(status))
		return DIES(WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* Each case has descriptors of its own. */
static void
descriptors(void)
{
	int	 i, sv[2];

	/* In place of the channel something that is none. */
	if (dup2(STDIN_FILENO, FD_CHANNEL) == -1)
		fatal("dup2");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1 ||
	    pipe(pipes) == -1 || (tcp = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		fatal("socket");
	for (i = 0; i < 2; i++)
		imsgbuf_init(&imsgs[i], sv[i]);
	imsgbuf_nofds(&imsgs[1]);
	/* The lowest free one, if there is a daemon to connect to. */
	logfd = dup(STDIN_FILENO);
	close(logfd);
	openlog("test_sandbox", LOG_NDELAY, LOG_MAIL);
}

static int
run(int role, uid_t uid, int (*fn)(void))
{
	pid_t	 pid;

	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		descriptors();
		lock_as(role, uid);
		_exit(fn());
	}
	return outcome(pid);
}

static void
test_cases(int role, uid_t uid, int relaxed, int landlock)
{
	char	 what[128];
	size_t	 i;

	for (i = 0; i < nitems(cases); i++) {
		if (!(cases[i].roles & role))
			continue;
		snprintf(what, sizeof(what), "%s, uid %u: %s", role_name(role),
		    uid, cases[i].name);
		if (cases[i].expected != WORKS && !(cases[i].by & LANDLOCK) &&
		    relaxed)
			skip("%s (no seccomp)", what);
		else if (cases[i].by & LANDLOCK && !landlock &&
		    (relaxed || role == STORE))
			skip("%s (no Landlock)", what);
		else
			is_num(run(role, uid, cases[i].fn), cases[i].expected,
			    what);
	}
}

/*
 * Start a process that locks itself, says so, and then waits in poll(2) for the
 * end of *hold or ms milliseconds.
 */
static pid_t
start(int role, uid_t uid, int ms, int *hold)
{
	struct pollfd	 pfd;
	pid_t		 pid;
	char		 c;
	int		 p[2], ready[2];

	if (pipe(p) == -1 || pipe(ready) == -1 || (pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		close(p[1]);
		lock_as(role, uid);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pfd.fd = p[0];
		pfd.events = POLLIN;
		_exit(poll(&pfd, 1, ms) == -1 ? 2 : 0);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		printf("#   it was not ready\n");
	close(ready[0]);
	close(p[0]);
	*hold = p[1];
	return pid;
}

/* Stop and continue: poll(2) with a timeout becomes restart_syscall(2). */
static void
test_stop(int role, uid_t uid)
{
	pid_t	 pid;
	int	 hold, status;

	pid = start(role, uid, 300, &hold);
	usleep(50000);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
	is_num(outcome(pid), 0, "stopped and continued inside poll");
	close(hold);
}

/* A number from /proc/PID/status. */
static int
proc_status(pid_t pid, const char *key)
{
	char	 path[64], line[256];
	FILE	*fp;
	int	 n = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if ((fp = fopen(path, "re")) == NULL)
		return -1;
	while (fgets(line, sizeof(line), fp) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			n = atoi(line + strlen(key));
	fclose(fp);
	return n;
}

static void
test_status(int role, uid_t uid, int relaxed)
{
	pid_t	 pid;
	int	 hold;

	pid = start(role, uid, -1, &hold);
	is_num(proc_status(pid, "NoNewPrivs:"), 1, "no new privileges");
	is_num(proc_status(pid, "Seccomp:"), relaxed ? 0 : 2, "seccomp");
	close(hold);
	is_num(outcome(pid), 0, "and the process lives");
}

static void
test_early(int relaxed)
{
	struct rlimit	 rl;
	pid_t		 pid;
	int		 bad = 0;

	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		sandbox_early();
		if (umask(0) != 077)
			bad |= 1;
		if (getrlimit(RLIMIT_CORE, &rl) == -1 || rl.rlim_cur != 0 ||
		    rl.rlim_max != 0)
			bad |= 2;
		if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != relaxed)
			bad |= 4;
		_exit(bad);
	}
	is_num(outcome(pid), 0, "early: umask, core dumps, tracing");
}

static void
test_supervisor(void)
{
	pid_t	 pid;

	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		sandbox_supervisor(NULL);
		_exit(t_open_own() || t_socket() || t_fork());
	}
	is_num(outcome(pid), 0, "the supervisor may do all that");
}

static void
quiet(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)status;
	(void)level;
	(void)mailbox;
	(void)text;
}

static void
test_bad_dir(const char *name, const char *what)
{
	pid_t	 pid;

	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		log_init(quiet, 0);
		sandbox_store(name);
		_exit(0);
	}
	is_num(outcome(pid), 1, what);
}

static void
set_up(uid_t uid)
{
	char	 path[128];
	pid_t	 pid;
	int	 fd;

	/* In a child, for this process must not have loaded the zone. */
	if ((pid = fork()) == 0)
		_exit(localtime(&noon)->tm_hour);
	local_hour = outcome(pid);
	strlcpy(dir, "/tmp/imapsync-sandbox.XXXXXXXXXX", sizeof(dir));
	if (mkdtemp(dir) == NULL)
		fatal("mkdtemp");
	strlcpy(outside, "/tmp/imapsync-outside.XXXXXXXXXX", sizeof(outside));
	if ((fd = mkstemp(outside)) == -1)
		fatal("mkstemp");
	close(fd);
	snprintf(path, sizeof(path), "%s/link", dir);
	if (symlink(outside, path) == -1 ||
	    (uid != getuid() && (chown(dir, uid, uid) == -1 ||
	    chown(outside, uid, uid) == -1)))
		fatal("%s", dir);
}

static void
tear_down(void)
{
	static const char *const	 names[] = {
		"link", "file", "mode", "state-DELETE.db",
		"state-TRUNCATE.db", "state-TRUNCATE.db-journal",
		"state-WAL.db", "state-WAL.db-wal", "state-WAL.db-shm"
	};
	char	 path[128];
	size_t	 i;

	for (i = 0; i < nitems(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	ok(unlink(outside) == 0 && rmdir(dir) == 0,
	    "nothing else was made or removed");
}

/* A clock that nobody sets tells nothing; that it is set can't be tried here. */
static void
test_clock(void)
{
	struct pollfd	 pfd = { sandbox_clock(), POLLIN, 0 };

	ok(pfd.fd > 2 && poll(&pfd, 1, 20) == 0, "the clock does not jump");
	close(pfd.fd);
}

int
main(void)
{
	const char	*text = sandbox_describe();
	uid_t		 uids[2];
	size_t		 i, n = 0;
	int		 relaxed, landlock, role;

	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "Asia/Tokyo", 1);
	relaxed = strncmp(text, "no seccomp", 10) == 0;
	landlock = strstr(text, "Landlock ABI") != NULL;
	printf("# %s\n", text);
	ok(strstr(text, "seccomp") != NULL && strstr(text, "Landlock") != NULL,
	    "described");
	test_clock();
	test_early(relaxed);
	test_bad_dir("relative", "the store's directory must be absolute");
	if (landlock)
		test_bad_dir("/nonexistent/imapsync", "and be there");

	uids[n++] = getuid();
	if (getuid() == 0)
		uids[n++] = NOBODY;
	for (i = 0; i < n; i++) {
		set_up(uids[i]);
		test_supervisor();
		for (role = NET; role <= MOVED; role <<= 1) {
			test_cases(role, uids[i], relaxed, landlock);
			test_stop(role, uids[i]);
			test_status(role, uids[i], relaxed);
		}
		tear_down();
	}
	return tap_done();
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Linux: no new privileges, Landlock as far as the kernel has it, and a seccomp
 * allow-list that kills the process.  Landlock alone leaves stat(2), UDP and
 * more; seccomp alone can't look at a path.
 *
 * A system call is on a list because something needs it after the lock: say
 * what.  Names go through libseccomp; what an architecture lacks is skipped.
 */
#ifdef __linux__

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <time.h>

#include "bounds.h"
#include "log.h"
#include "proto.h"
#include "sandbox.h"

/*
 * AddressSanitizer and valgrind need system calls that nothing else does.  A
 * build for them goes without seccomp; there is no switch at run time.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(SANDBOX_RELAXED)
#define SB_RELAXED	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SB_RELAXED	1
#endif
#endif
#ifndef SB_RELAXED
#define SB_RELAXED	0
#endif

/* ---- Landlock: our own declarations, since headers lag behind kernels ---- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif

struct ll_ruleset {
	uint64_t	 fs;
	uint64_t	 net;
	uint64_t	 scoped;
};
struct ll_path {
	uint64_t	 allowed;
	int32_t		 fd;
} __attribute__((__packed__));

#define LL_VERSION		1	/* flag: tell the ABI */
#define LL_RULE_PATH		1
#define LL_FS_WRITE_FILE	(1ULL << 1)
#define LL_FS_READ_FILE		(1ULL << 2)
#define LL_FS_READ_DIR		(1ULL << 3)
#define LL_FS_REMOVE_FILE	(1ULL << 5)
#define LL_FS_MAKE_REG		(1ULL << 8)
#define LL_FS_TRUNCATE		(1ULL << 14)

/* What a store's directory is for; READ_DIR: to fsync(2) it. */
#define LL_STORE							\
	(LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_READ_DIR |		\
	LL_FS_REMOVE_FILE | LL_FS_MAKE_REG | LL_FS_TRUNCATE)

/* What each ABI added. */
static const struct {
	int			 abi;
	struct ll_ruleset	 adds;
} ll_abis[] = {
	{ 1, { 0x1fff, 0, 0 } },	/* 13 rights on files */
	{ 2, { 1ULL << 13, 0, 0 } },	/* REFER */
	{ 3, { 1ULL << 14, 0, 0 } },	/* TRUNCATE */
	{ 4, { 0, 0x3, 0 } },		/* TCP: bind, connect */
	{ 5, { 1ULL << 15, 0, 0 } },	/* IOCTL_DEV */
	{ 6, { 0, 0, 0x3 } }		/* abstract sockets, signals */
};

/* ---- seccomp ---- */

struct sb_rule {
	const char	*name;
	uint32_t	 action;
	unsigned int	 n;		/* conditions; all must hold */
	struct {
		unsigned int	 arg;
		uint64_t	 mask;
		uint64_t	 value;
	} cond[2];
};

/* The kernel looks at the low half of an int only. */
#define SB_INT		0xffffffffULL

#define OK(call)	{ (call), SCMP_ACT_ALLOW, 0, { { 0, 0, 0 } } }
#define NO(call, err)	{ (call), SCMP_ACT_ERRNO(err), 0, { { 0, 0, 0 } } }
#define OK_INT(call, arg, v)						\
	{ (call), SCMP_ACT_ALLOW, 1, { { (arg), SB_INT, (v) } } }
#define OK_INTS(call, arg, v, arg2, v2)					\
	{ (call), SCMP_ACT_ALLOW, 2,					\
	    { { (arg), SB_INT, (v) }, { (arg2), SB_INT, (v2) } } }
#define OK_NOEXEC(call)	{ (call), SCMP_ACT_ALLOW, 1, { { 2, PROT_EXEC, 0 } } }
#define END		{ NULL, 0, 0, { { 0, 0, 0 } } }

/* Where there is mmap2, mmap takes a pointer to what should be checked. */
#ifdef SYS_mmap2
#define SB_MMAP		"mmap2"
#else
#define SB_MMAP		"mmap"
#endif

/* Every role.  What is not measured on the test's machine has its reason. */
static const struct sb_rule sb_base[] = {
	OK("read"),
	OK("write"),
	OK("writev"),			/* musl's dprintf(3); glibc's last words */
	OK("poll"),
	OK("ppoll"),			/* poll(3) where there is no poll */
	OK("ppoll_time64"),
	OK("restart_syscall"),		/* poll after SIGSTOP and SIGCONT */
	OK("close"),
	NO("ioctl", ENOTTY),		/* isatty(3) of stdio */
	OK("brk"),			/* malloc(3), to the end of the block */
	OK_NOEXEC(SB_MMAP),
	OK_NOEXEC("mprotect"),		/* musl's */
	OK("munmap"),
	OK("mremap"),
	OK("madvise"),			/* musl's, and glibc's free(3) */
	NO("sysinfo", ENOSYS),		/* glibc's qsort(3) above 1 KiB asks */
	OK("futex"),			/* locks of libraries */
	OK("futex_time64"),
	OK("getrandom"),		/* arc4random(3), each TLS handshake */
	OK("getpid"),			/* OpenSSL, for fear of forks */
	OK("gettid"),			/* abort(3), with the next and tgkill */
	OK("rt_sigprocmask"),
	OK("clock_gettime"),		/* where the vDSO does not help */
	OK("clock_gettime64"),
	OK("gettimeofday"),		/* the same: SQLite, OpenSSL 3.2 */
	OK("exit_group"),
	END
};

/* Network workers and the engine: libraries probe; let them find nothing. */
static const struct sb_rule sb_nofiles[] = {
	NO("open", EACCES),
	NO("openat", EACCES),
	NO("stat", EACCES),
	NO("stat64", EACCES),
	NO("lstat", EACCES),
	NO("lstat64", EACCES),
	NO("fstat", EACCES),		/* dprintf(3) does without */
	NO("fstat64", EACCES),
	NO("newfstatat", EACCES),	/* also fstat(3) */
	NO("fstatat64", EACCES),
	NO("statx", EACCES),
	NO("access", EACCES),
	NO("faccessat", EACCES),
	NO("faccessat2", EACCES),
	NO("readlink", EACCES),
	NO("readlinkat", EACCES),
	END
};

/* The engine: what it prints. */
static const struct sb_rule sb_engine[] = {
	OK("lseek"),			/* glibc's dprintf(3) */
	OK("_llseek"),
	END
};

/* Network workers: an orderly end of the connection. */
static const struct sb_rule sb_net[] = {
	OK_INTS("setsockopt", 1, SOL_SOCKET, 2, SO_LINGER),
	END
};

/*
 * The engine with syslog(3), which has connected before the lock: glibc and musl
 * send to that socket.  Where this fails (the log's daemon is gone) they try to
 * connect again; let them fail.
 */
static const struct sb_rule sb_syslog[] = {
	OK("send"),			/* no address; where it is a call */
	{ "sendto", SCMP_ACT_ALLOW, 2,	/* only without an address */
	    { { 4, UINT64_MAX, 0 }, { 5, SB_INT, 0 } } },
	NO("socket", EACCES),
	NO("connect", EACCES),
	END
};

/* The engine whose log may be another file later: from the supervisor alone. */
static const struct sb_rule sb_logfile[] = {
	OK_INT("recvmsg", 0, FD_CHANNEL),
	END
};

/* The store: what SQLite does to its files; where, Landlock decides. */
static const struct sb_rule sb_store[] = {
	OK("open"),
	OK("openat"),
	OK("pread64"),
	OK("pwrite64"),
	OK("fsync"),
	OK("fdatasync"),
	OK("ftruncate"),
	OK("ftruncate64"),
	OK("unlink"),
	OK("unlinkat"),
	OK("stat"),
	OK("stat64"),
	OK("lstat"),
	OK("lstat64"),
	OK("newfstatat"),
	OK("fstatat64"),
	OK("statx"),
	OK("fstat"),
	OK("fstat64"),
	OK("access"),
	OK("faccessat"),
	OK("faccessat2"),
	OK("getcwd"),			/* a journal's full name */
	NO("readlink", EACCES),
	NO("readlinkat", EACCES),
	OK("geteuid"),			/* before fchown, which root does */
	OK("geteuid32"),
	NO("fchown", EPERM),		/* the journal is ours anyway */
	NO("fchown32", EPERM),
	NO("fchmod", EPERM),		/* and its mode is the umask's */
	OK_INT("fcntl", 1, F_GETLK),
	OK_INT("fcntl", 1, F_SETLK),
	OK_INT("fcntl64", 1, F_GETLK),
	OK_INT("fcntl64", 1, F_SETLK),
	END
};

static void
sb_add(scmp_filter_ctx ctx, const struct sb_rule *rule)
{
	struct scmp_arg_cmp	 cmp[nitems(rule->cond)];
	unsigned int		 i;
	int			 nr, ret;

	if ((nr = seccomp_syscall_resolve_name(rule->name)) < 0)
		return;
	for (i = 0; i < rule->n; i++) {
		cmp[i].arg = rule->cond[i].arg;
		cmp[i].op = SCMP_CMP_MASKED_EQ;
		cmp[i].datum_a = rule->cond[i].mask;
		cmp[i].datum_b = rule->cond[i].value;
	}
	ret = seccomp_rule_add_array(ctx, rule->action, nr, rule->n, cmp);
	if (ret != 0)
		fatalx("sandbox: seccomp rule for %s: %s", rule->name,
		    strerror(-ret));
}

static void
sb_seccomp(const struct sb_rule *const *tables)
{
	/* abort(3): a signal to itself, and to nobody else. */
	const struct sb_rule	 self = OK_INT("tgkill", 0, (uint64_t)getpid());
	const struct sb_rule	*rule;
	scmp_filter_ctx		 ctx;
	int			 ret;

	if (SB_RELAXED)
		return;
	if ((ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL)
		fatalx("sandbox: seccomp can't be had from this kernel, and "
		    "nothing runs without it");
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS);
	if (ret != 0)
		fatalx("sandbox: seccomp: %s", strerror(-ret));
	for (; *tables != NULL; tables++)
		for (rule = *tables; rule->name != NULL; rule++)
			sb_add(ctx, rule);
	sb_add(ctx, &self);
	if ((ret = seccomp_load(ctx)) != 0)
		fatalx("sandbox: seccomp can't be had from this kernel (%s), "
		    "and nothing runs without it", strerror(-ret));
	seccomp_release(ctx);
}

/* The ABI, or -1 with errno. */
static int
ll_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
	    LL_VERSION);
}

static void
ll_allow(int ruleset, const char *dir, uint64_t allowed)
{
	struct ll_path	 path;

	memset(&path, 0, sizeof(path));
	path.allowed = allowed;
	if ((path.fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		fatal("sandbox: %s", dir);
	if (syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH, &path,
	    0) == -1)
		fatal("sandbox: Landlock rule for %s", dir);
	close(path.fd);
}

/* Forbid all that this kernel's Landlock knows, but for files in "dir". */
static void
sb_landlock(const char *dir)
{
	struct ll_ruleset	 rs;
	size_t			 i;
	int			 abi, fd;

	if ((abi = ll_abi()) < 1) {
		/* EPERM: a container's seccomp filter forbids it. */
		if (abi == 0 || errno == ENOSYS || errno == EOPNOTSUPP ||
		    errno == EPERM)
			return;
		fatal("sandbox: Landlock");
	}
	memset(&rs, 0, sizeof(rs));
	for (i = 0; i < nitems(ll_abis) && ll_abis[i].abi <= abi; i++) {
		rs.fs |= ll_abis[i].adds.fs;
		rs.net |= ll_abis[i].adds.net;
		rs.scoped |= ll_abis[i].adds.scoped;
	}
	/* The kernel takes a longer struct whose tail is 0. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, sizeof(rs), 0);
	if (fd == -1)
		fatal("sandbox: Landlock");
	if (dir != NULL)
		ll_allow(fd, dir, LL_STORE & rs.fs);
	/* LeakSanitizer looks for threads there. */
	if (SB_RELAXED)
		ll_allow(fd, "/proc", LL_FS_READ_FILE | LL_FS_READ_DIR);
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		fatal("sandbox: Landlock");
	close(fd);
}

static void
sb_limit(int what, rlim_t most)
{
	struct rlimit	 rl;

	/* What is less already stays so. */
	if (getrlimit(what, &rl) == -1)
		fatal("sandbox: getrlimit");
	if (rl.rlim_max != RLIM_INFINITY && rl.rlim_max < most)
		most = rl.rlim_max;
	rl.rlim_cur = rl.rlim_max = most;
	if (setrlimit(what, &rl) == -1)
		fatal("sandbox: setrlimit");
}

static void
sb_lock(const char *dir, const struct sb_rule *const *tables, rlim_t memory)
{
	/* What can't be asked or read any more later. */
	(void)sandbox_describe();
	tzset();

	/* For those whom seccomp does not stop; root is above the first. */
	if (!SB_RELAXED) {
		sb_limit(RLIMIT_NPROC, 0);
		sb_limit(RLIMIT_NOFILE, FILES_MAX);
		sb_limit(RLIMIT_DATA, memory);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("sandbox: PR_SET_NO_NEW_PRIVS");
	sb_landlock(dir);
	sb_seccomp(tables);
}

void
sandbox_early(void)
{
	umask(077);
	sb_limit(RLIMIT_CORE, 0);
	/* LeakSanitizer traces its own process. */
	if (!SB_RELAXED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("sandbox: PR_SET_DUMPABLE");
}

void
sandbox_net(void)
{
	const struct sb_rule *const	 tables[] = {
		sb_base, sb_nofiles, sb_net, NULL
	};

	if (!SB_RELAXED)
		sb_limit(RLIMIT_FSIZE, 0);
	sb_lock(NULL, tables, MEMORY_MAX);
}

void
sandbox_store(const char *dir)
{
	const struct sb_rule *const	 tables[] = {
		sb_base, sb_store, NULL
	};

	if (dir[0] != '/')
		fatalx("sandbox: %s: not an absolute path", dir);
	sb_lock(dir, tables, STORE_MEMORY_MAX);
}

void
sandbox_engine(int with)
{
	const struct sb_rule	*tables[6] = { sb_base, sb_nofiles, sb_engine };
	size_t			 n = 3;

	if (with & SANDBOX_SYSLOG)
		tables[n++] = sb_syslog;
	if (with & SANDBOX_LOGFILE)
		tables[n++] = sb_logfile;
	tables[n] = NULL;
	sb_lock(NULL, tables, MEMORY_MAX);
}

/* A time that does not come, and is told of as cancelled if the clock jumps. */
int
sandbox_clock(void)
{
	const struct itimerspec	 never = { { 0, 0 }, { INT32_MAX, 0 } };
	int			 fd;

	fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd != -1 && timerfd_settime(fd, TFD_TIMER_ABSTIME |
	    TFD_TIMER_CANCEL_ON_SET, &never, NULL) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void
sandbox_supervisor(const char *logfile)
{
	(void)logfile;
}

void
sandbox_init(void)
{
}

const char *
sandbox_death(int sig)
{
	return sig == SIGSYS ? "its sandbox (a system call that is not allowed; "
	    "the kernel's log has its number)" : NULL;
}

void
sandbox_close(int fd, int ms)
{
	struct linger	 off = { 0, 0 };

	(void)ms;
	/* A tunnel is a socket that knows no lingering, or none: no matter. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	close(fd);
}

const char *
sandbox_describe(void)
{
	static char	 text[128];
	const char	*seccomp;
	int		 abi;

	if (text[0] != '\0')
		return text;
	/* A filter at address 0: EFAULT where there are filters at all. */
	if (SB_RELAXED)
		seccomp = "no seccomp (built for a memory checker)";
	else if (prctl(PR_SET_SECCOMP, 2, NULL, 0, 0) == -1 && errno == EFAULT)
		seccomp = "seccomp";
	else
		seccomp = "no seccomp, without which nothing runs";
	if ((abi = ll_abi()) >= 1)
		snprintf(text, sizeof(text), "%s, Landlock ABI %d", seccomp,
		    abi);
	else
		snprintf(text, sizeof(text), "%s, no Landlock (%s)", seccomp,
		    errno == ENOSYS ? "not in this kernel" :
		    errno == EOPNOTSUPP ? "disabled at boot" :
		    strerror(errno));
	return text;
}

#endif /* __linux__ */

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Starting other programs: workers and the engine with nothing but the
 * descriptors and the few variables that they need; a user's commands (tunnel,
 * password-command) with what the user gave us, less our descriptors.
 *
 * The signals that the supervisor handles are blocked here (sup_init()), so
 * nothing arrives between fork and exec.
 *
 * Our own programs are started by vfork(2): copying the supervisor's pages for
 * a child that only execs was a sixth of what a run without changes costs.
 * What the child does until then is system calls and its own locals.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>

#include "imapsync.h"

#define FD_HIGH		20	/* above every descriptor of a child of ours */

static mode_t	 spawn_umask = 022;

/* What programs of ours keep of the environment. */
static const char *const worker_env[] = { "ASAN_OPTIONS", "LSAN_OPTIONS",
	"UBSAN_OPTIONS", NULL };
static const char *const engine_env[] = { "ASAN_OPTIONS", "LSAN_OPTIONS",
	"UBSAN_OPTIONS", "COLUMNS", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR",
	"TERM", "TZ", NULL };

/*
 * setproctitle(3) of libbsd writes over arguments and environment: give it room
 * for "remote" and the name of a host.
 */
#define TITLE_NAME	"IMAPSYNC_TITLE="
#define TITLE_ROOM	300

/*
 * Who we are is what a user's commands may want to know (Dovecot does), and cron
 * may not say it.
 */
void
spawn_init(mode_t umask_at_start)
{
	const struct passwd	*pw;

	spawn_umask = umask_at_start;
	if (getenv("USER") != NULL && getenv("LOGNAME") != NULL &&
	    getenv("HOME") != NULL)
		return;
	if ((pw = getpwuid(getuid())) == NULL)
		return;
	setenv("USER", pw->pw_name, 0);
	setenv("LOGNAME", pw->pw_name, 0);
	setenv("HOME", pw->pw_dir, 0);
}

char *
spawn_find(const char *name, const char *path)
{
	char		*copy, *dir, *file, *found = NULL, *next;
	struct stat	 st;

	if (path == NULL && (path = getenv("PATH")) == NULL)
		path = _PATH_DEFPATH;
	next = copy = xstrdup(path);
	while (found == NULL && (dir = strsep(&next, ":")) != NULL) {
		if (asprintf(&file, "%s/%s", *dir == '\0' ? "." : dir,
		    name) == -1)
			fatal(NULL);
		if (stat(file, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(file, X_OK) == 0)
			found = realpath(file, NULL);
		free(file);
	}
	free(copy);
	return found;
}

static void
spawn_signals(void (*handler)(int))
{
	static const int	 signals[] = { SIGINT, SIGTERM, SIGHUP,
				    SIGUSR1, SIGUSR2, COMPAT_SIGINFO,
				    SIGPIPE };
	struct sigaction	 sa;
	sigset_t		 none;
	size_t			 i;

	memset(&sa, 0, sizeof(sa));
	sigemptyset(&sa.sa_mask);
	sa.sa_handler = handler;
	for (i = 0; i < nitems(signals); i++)
		sigaction(signals[i], &sa, NULL);
	sa.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Move fds[] to first, first + 1 ...; via high numbers, since old and new ones
 * may overlap.  dup2(2) leaves no FD_CLOEXEC.  What is above is closed.
 */
static int
spawn_move(const int *fds, size_t nfds, int first)
{
	int	 high[8];
	size_t	 i;

	for (i = 0; i < nfds; i++)
		if ((high[i] = fcntl(fds[i], F_DUPFD, FD_HIGH)) == -1)
			return -1;
	for (i = 0; i < nfds; i++)
		if (dup2(high[i], first + (int)i) == -1)
			return -1;
	closefrom(first + (int)nfds);
	return 0;
}

static int
spawn_devnull(int first, int last)
{
	int	 fd, n;

	if ((fd = open(_PATH_DEVNULL, O_RDWR | O_CLOEXEC)) == -1)
		return -1;
	for (n = first; n <= last; n++)
		if (dup2(fd, n) == -1)
			return -1;
	return 0;
}

/* Those of the names that are set, as an environment, and the room. */
static char **
spawn_env(const char *const *names)
{
	const char	*val;
	char		**env;
	size_t		 n = 0;

	env = xcalloc(nitems(engine_env) + 1, sizeof(*env));
	env[n] = xmalloc(sizeof(TITLE_NAME) + TITLE_ROOM);
	memset(env[n], ' ', sizeof(TITLE_NAME) + TITLE_ROOM);
	memcpy(env[n], TITLE_NAME, sizeof(TITLE_NAME) - 1);
	env[n++][sizeof(TITLE_NAME) + TITLE_ROOM - 1] = '\0';
	for (; *names != NULL; names++)
		if ((val = getenv(*names)) != NULL &&
		    asprintf(&env[n++], "%s=%s", *names, val) == -1)
			fatal(NULL);
	return env;
}

/* Behind vfork(2), in the supervisor's memory: change none of it. */
static __dead void
spawn_child(const struct spawn *sp, char **env)
{
	char	*argv[3];

	spawn_signals(SIG_IGN);
	if (spawn_devnull(STDIN_FILENO, sp->engine ? STDIN_FILENO :
	    STDERR_FILENO) == -1 ||
	    spawn_move(sp->fds, sp->nfds, FD_CHANNEL) == -1 ||
	    chdir("/") == -1)
		_exit(127);
	argv[0] = (char *)(uintptr_t)sp->argv0;
	argv[1] = (char *)(uintptr_t)sp->arg;
	argv[2] = NULL;
	execve(sp->path, argv, env);
	_exit(127);
}

pid_t
spawn_program(const struct spawn *sp)
{
	char	**env, **e;
	pid_t	 pid;

	env = spawn_env(sp->engine ? engine_env : worker_env);
	if ((pid = vfork()) == 0)
		spawn_child(sp, env);
	for (e = env; *e != NULL; e++)
		free(*e);
	free(env);
	return pid;
}

/* ---- a user's commands ---- */

/*
 * Is it more than words?  What perl(1)'s exec takes to the shell goes there
 * too: interimap's commands mean the same here.
 */
static int
spawn_needs_shell(const char *command)
{
	const char	*p = command + strspn(command, " \t");

	if (strncmp(p, "exec", 4) == 0 && isblank((unsigned char)p[4]))
		return 1;
	if (p[0] == '.' && isblank((unsigned char)p[1]))
		return 1;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return *p == '=' || strpbrk(p, "$&*(){}[]'\";\\|?<>~`\n") != NULL;
}

static char **
spawn_words(char *command)
{
	char	**argv = NULL, *word;
	size_t	 n = 0;

	while ((word = strsep(&command, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		argv = xreallocarray(argv, n + 2, sizeof(*argv));
		argv[n++] = word;
		argv[n] = NULL;
	}
	return argv;
}

/* What a password-command may ask for: whose password it is to print. */
static int
spawn_about(const struct conf_side *cs)
{
	const struct {
		const char	*name;
		const char	*val;
	} vars[] = { { "IMAPSYNC_SIDE", side_name[cs->side] },
	    { "IMAPSYNC_HOST", cs->host }, { "IMAPSYNC_USER", cs->username },
	    { "IMAPSYNC_AUTHZID", cs->authzid } };
	size_t	 i;

	for (i = 0; i < nitems(vars); i++)
		if (setenv(vars[i].name, vars[i].val, 1) == -1)
			return -1;
	return 0;
}

static __dead void
spawn_user(char **argv, int in, int out, int err, const struct conf_side *cs,
    pid_t parent)
{
	int	 fds[3];

	spawn_signals(SIG_DFL);
	umask(spawn_umask);
	if (cs != NULL && spawn_about(cs) == -1)
		_exit(127);
	/* Not SIGKILL, which leaves a mail store's locks: it sees EOF as well. */
	compat_pdeathsig(SIGTERM, parent);
	if (err == SPAWN_NULL &&
	    spawn_devnull(STDERR_FILENO, STDERR_FILENO) == -1)
		_exit(127);
	fds[0] = in == -1 ? STDIN_FILENO : in;
	fds[1] = out == -1 ? STDOUT_FILENO : out;
	fds[2] = err < 0 ? STDERR_FILENO : err;
	if (spawn_move(fds, 3, STDIN_FILENO) == -1)
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

pid_t
spawn_command(const char *command, int in, int out, int err,
    const struct conf_side *cs)
{
	static char	 sh[] = _PATH_BSHELL, opt[] = "-c";
	char		*copy = xstrdup(command), *shell[4], **argv;
	pid_t		 parent = getpid(), pid;

	shell[0] = sh;
	shell[1] = opt;
	shell[2] = copy;
	shell[3] = NULL;
	if (spawn_needs_shell(command))
		argv = shell;
	else if ((argv = spawn_words(copy)) == NULL) {
		free(copy);
		errno = ENOENT;
		return -1;
	}
	if ((pid = fork()) == 0)
		spawn_user(argv, in, out, err, cs, parent);
	if (argv != shell)
		free(argv);
	free(copy);
	return pid;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * One session, once its processes are started (start.c): pass on the user's
 * signals, see to it that all end when one has, and say what became of those
 * that did not end by themselves.
 *
 * The supervisor reads nothing from its children but one octet and a time of
 * the store ("ready") and their exit statuses.
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "imapsync.h"
#include "notify.h"
#include "sandbox.h"
#include "say.h"

#define GRACE_MS	12000	/* for the engine to end */
#define LIFELINE_MS	2000	/* for the others to end once it is closed */
#define TERM_MS		1000	/* for a tunnel to end by SIGTERM */
#define SETTLE_MS	100	/* for Ctrl-C to reach us as well */
#define PAUSE_MS	10000	/* between looks at the clock while waiting */
#define SUP_POLLFDS	64	/* of one sup_poll() */

const char *const sup_names[PROCS] = { "local: the network worker",
	"remote: the network worker", "the store", "the engine",
	"local: the tunnel command", "remote: the tunnel command" };

static const struct sup_opts	*sup_options;
static struct session		*sup_current;	/* for sup_abort() */
static sigset_t			 sup_mask;	/* while waiting */
static sigset_t			 sup_blocked;
static volatile sig_atomic_t	 sup_signal;	/* the first */
static volatile sig_atomic_t	 sup_count;	/* SIGINT, SIGTERM so far */
static volatile sig_atomic_t	 sup_hup;
static volatile sig_atomic_t	 sup_usr1;
static volatile sig_atomic_t	 sup_usr2;
static int			 sup_hush;	/* for the log alone ... */
static int			 sup_away;	/* ... in any case */

/* ---- signals and time ---- */

static void
sup_handler(int sig)
{
	switch (sig) {
	case SIGINT:
	case SIGTERM:
		if (sup_count++ == 0)
			sup_signal = sig;
		break;
	case SIGHUP:
		sup_hup = 1;
		break;
	case SIGCHLD:
		break;
	case SIGUSR2:
		sup_usr2 = 1;
		break;
	default:	/* SIGUSR1, and SIGINFO if that is another one */
		sup_usr1 = 1;
		break;
	}
}

void
sup_init(mode_t umask_at_start, const struct sup_opts *opts)
{
	static const int	 signals[] = { SIGINT, SIGTERM, SIGHUP,
				    SIGUSR1, SIGUSR2, COMPAT_SIGINFO,
				    SIGCHLD };
	struct sigaction	 old, sa;
	size_t			 i;

	sup_options = opts;
	spawn_init(umask_at_start);
	memset(&sa, 0, sizeof(sa));
	sigemptyset(&sa.sa_mask);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sa.sa_handler = sup_handler;
	sigemptyset(&sup_blocked);
	for (i = 0; i < nitems(signals); i++) {
		sigaddset(&sup_blocked, signals[i]);
		/* nohup(1), or a shell's job in the background */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_IGN && signals[i] != SIGCHLD)
			continue;
		sigaction(signals[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &sup_blocked, &sup_mask);
	for (i = 0; i < nitems(signals); i++)
		sigdelset(&sup_mask, signals[i]);
}

int
sup_stopped(void)
{
	return sup_signal;
}

void
sup_settle(void)
{
	int64_t	 until = sup_now() + SETTLE_MS, left;

	while (!sup_stopped() && (left = until - sup_now()) > 0)
		sup_poll(NULL, 0, (int)left);
}

void
sup_default(int on)
{
	static const int	 signals[] = { SIGINT, SIGTERM };
	static struct sigaction	 saved[nitems(signals)];
	struct sigaction	 sa;
	sigset_t		 set;
	size_t			 i;

	memset(&sa, 0, sizeof(sa));
	sigemptyset(&sa.sa_mask);
	sa.sa_handler = SIG_DFL;
	sigemptyset(&set);
	for (i = 0; i < nitems(signals); i++)
		sigaddset(&set, signals[i]);
	if (!on)
		sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < nitems(signals); i++) {
		if (!on) {
			sigaction(signals[i], &saved[i], NULL);
			continue;
		}
		sigaction(signals[i], NULL, &saved[i]);
		if (saved[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &sa, NULL);
	}
	if (on)
		sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void
sup_raise(void)
{
	if (!sup_stopped())
		return;
	sup_default(1);
	raise(sup_signal);
}

static int
sup_ppoll(struct pollfd *pfd, nfds_t n, int64_t ms)
{
	struct timespec	 ts;

	ts.tv_sec = ms / 1000;
	ts.tv_nsec = (long)(ms % 1000) * 1000000;
	return ppoll(pfd, n, ms < 0 ? NULL : &ts, &sup_mask);
}

static int
sup_has_engine(void)
{
	return sup_current != NULL && sup_current->procs[P_ENGINE].running;
}

int
sup_poll(struct pollfd *pfd, nfds_t n, int ms)
{
	struct pollfd	 all[SUP_POLLFDS + ERRS_FDS];
	int64_t		 left = ms, until = sup_now() + ms;
	nfds_t		 i, more;
	int		 count;

	for (;;) {
		for (i = 0; i < n; i++)
			all[i] = pfd[i];
		more = errs_pollfds(all + n);
		/* An engine tells by itself that it is alive. */
		if (!sup_has_engine())
			notify_alive();
		count = sup_ppoll(all, n + more, sup_has_engine() ?
		    await_due(left) : notify_due(await_due(left)));
		await_turn();
		if (count == -1) {
			if (sup_usr1 && await_status())
				sup_usr1 = 0;
			return -1;
		}
		for (i = n; i < n + more; i++)
			count -= all[i].revents != 0;
		for (i = 0; i < n; i++)
			pfd[i].revents = all[i].revents;
		errs_turn();
		if (ms >= 0 && (left = until - sup_now()) < 0)
			left = 0;
		if (count > 0 || left == 0)
			return count;
	}
}

int64_t
sup_now(void)
{
	return clock_ms();
}

static int64_t
sup_wall(void)
{
	struct timespec	 ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) == -1)
		fatal("clock_gettime");
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- between sessions ---- */

enum log_level
sup_level(enum backoff_kind kind)
{
	const struct sup_opts	*o = sup_options;
	enum backoff_kind	 last = BACKOFF_NONE;

	if (o != NULL)
		last = o->again;
	/* What only the log was told of is new to the user. */
	if (kind == BACKOFF_LOST && o != NULL && o->unsaid &&
	    sup_current != NULL && sup_current->late)
		return LOG_LV_ERROR;
	if (last == kind || (kind == BACKOFF_LOST && last != BACKOFF_NONE))
		return LOG_LV_DEBUG;
	return LOG_LV_ERROR;
}

void
sup_lost(const char *fmt, ...)
{
	const struct sup_opts	*o = sup_options;
	char			 text[LOG_TEXT_MAX];
	va_list			 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sup_hush = sup_away || (o != NULL && o->patience != 0 && !o->debug &&
	    sup_current != NULL && !sup_current->late);
	log_mbox(sup_level(BACKOFF_LOST), NULL, "%s", text);
	sup_hush = 0;
}

int
sup_hushed(void)
{
	return sup_hush;
}

/*
 * SIGUSR2: the log was moved away.  The new file takes the number of the old one,
 * which is kept if there can't be one.
 */
static int
sup_reopen(void)
{
	const struct sup_opts	*o = sup_options;
	int			 fd;

	sup_usr2 = 0;
	if (o->logfd == -1)
		return -1;
	fd = open(o->logfile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOCTTY, 0600);
	if (fd == -1 || dup3(fd, o->logfd, O_CLOEXEC) == -1) {
		log_warn("logfile %s: the old one is written to", o->logfile);
		if (fd != -1)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

/* What the manager of services shows meanwhile. */
static void
sup_pause_notify(int64_t ms, const char *reason)
{
	char		 at[16] = "?";
	struct tm	*tm;
	time_t		 when = time(NULL) + ms / 1000;

	if ((tm = localtime(&when)) != NULL)
		strftime(at, sizeof(at), "%H:%M:%S", tm);
	notify_say("READY=1\nSTATUS=waiting until %s (%s)", at, reason);
}

void
sup_pause(int64_t ms, const char *what, const char *reason)
{
	int64_t	 clock = sup_wall() - sup_now(), left, until = sup_now() + ms;
	char	 text[200];

	sup_pause_notify(ms, reason);
	await_begin(AWAIT_TOLD, "waiting before %s", what);
	while (!sup_stopped() && !sup_hup && (left = until - sup_now()) > 0) {
		/* The monotonic clock may stand still while we sleep. */
		if (backoff_jumped(clock, sup_wall() - sup_now()))
			break;
		snprintf(text, sizeof(text), "waiting %lld s before %s (%s)",
		    (long long)(left + 999) / 1000, what, reason);
		if (sup_usr1)
			log_warnx("%s", text);
		sup_usr1 = 0;
		if (sup_usr2)
			(void)sup_reopen();
		await_text("%s", text);
		sup_poll(NULL, 0, (int)(left < PAUSE_MS ? left : PAUSE_MS));
	}
	if (sup_hup)
		notify_reloading();
	sup_hup = 0;
	await_end();
}

/* ---- the end ---- */

/* The next phase of the end; never back. */
static void
sup_phase(struct session *s, enum sup_phase phase)
{
	static const int	 ms[] = { 0, GRACE_MS, LIFELINE_MS, TERM_MS,
				    0 };
	struct proc		*p;
	int			 i;

	if (phase <= s->phase)
		return;
	s->phase = phase;
	s->deadline = ms[phase] == 0 ? 0 : sup_now() + ms[phase];
	if (phase == SUP_LIFELINE) {
		close(s->lifeline[1]);
		if (s->has_ctl)
			chan_close(&s->ctl);
		s->has_ctl = 0;
	}
	if (phase < SUP_TERM)
		return;
	for (i = 0; i < PROCS; i++) {
		p = &s->procs[i];
		if (!p->running)
			continue;
		p->killed = 1;
		kill(p->pid, phase == SUP_KILL || i < P_TUNNEL ? SIGKILL :
		    SIGTERM);
	}
}

static const char *
sup_death(int status)
{
	static char	 text[80];
	const char	*lock = sandbox_death(WTERMSIG(status));

	if (lock != NULL)
		return lock;
	snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	return text;
}

static void
sup_reaped(struct session *s, int id)
{
	struct proc	*p = &s->procs[id];

	if (id >= P_TUNNEL)
		return;
	result_at(FAULT_CRASHED, id < SIDES ? id : -1);
	/* It may have left its line of progress. */
	if (id == P_ENGINE && WIFSIGNALED(p->status) && s->opts->columns > 0)
		say_write(STDERR_FILENO, "\r\033[K", 4);
	if (WIFSIGNALED(p->status) && !p->killed) {
		s->crashed = 1;
		sup_error("%s was killed by %s", sup_names[id],
		    sup_death(p->status));
	} else if (WIFEXITED(p->status) && WEXITSTATUS(p->status) == 127) {
		s->unstarted = 1;
		sup_failed("%s could not be started", sup_names[id]);
	}
	/* Without the engine nothing goes on; without a worker it ends. */
	sup_phase(s, id == P_ENGINE ? SUP_LIFELINE : SUP_GRACE);
}

/* Collect who has ended; how many still run. */
static int
sup_reap(struct session *s)
{
	struct proc	*p;
	int		 early = s->phase < SUP_LIFELINE, i, n = 0;

	for (i = 0; i < PROCS; i++) {
		p = &s->procs[i];
		if (!p->running)
			continue;
		if (waitpid(p->pid, &p->status, WNOHANG) == p->pid) {
			p->running = 0;
			p->early = early;
			sup_reaped(s, i);
		} else
			n++;
	}
	return n;
}

/* Write to the engine what it takes. */
static void
sup_flush(struct session *s)
{
	if (s->has_ctl && chan_write(&s->ctl) == -1) {
		/* The engine is dying; SIGCHLD says the rest. */
		chan_close(&s->ctl);
		s->has_ctl = 0;
	}
}

/*
 * Pass on what the user asks for by signals, at once: by Ctrl-C the tunnels end
 * in the same moment, and the engine must not take that for news.
 */
static void
sup_signals(struct session *s)
{
	struct m_engine_stop	 stop = { 0 };
	struct m_engine_look	 look = { 0 };
	struct m_engine_status	 status = { 0 };
	struct m_engine_logfile	 logfile = { 0 };
	int			 fd;

	if (sup_count > s->signals) {
		s->signals = sup_count;
		notify_say("STOPPING=1\nSTATUS=ending");
		if (s->phase >= SUP_LIFELINE)
			sup_phase(s, SUP_TERM);
		else if (s->signals > 1)
			sup_phase(s, SUP_LIFELINE);
		else {
			if (s->has_ctl)
				chan_send(&s->ctl, M_ENGINE_STOP, 0, &stop);
			sup_phase(s, SUP_GRACE);
		}
	}
	if (s->has_ctl && sup_hup) {
		notify_reloading();
		chan_send(&s->ctl, M_ENGINE_LOOK, 0, &look);
	}
	if (sup_usr2 && sup_reopen() == 0 && s->has_ctl && (fd =
	    fcntl(sup_options->logfd, F_DUPFD_CLOEXEC, 0)) != -1)
		chan_send_fd(&s->ctl, M_ENGINE_LOGFILE, 0, &logfile, fd);
	if (s->has_ctl && sup_usr1)
		chan_send(&s->ctl, M_ENGINE_STATUS, 0, &status);
	sup_flush(s);
	/* What no engine gets is sup_pause()'s. */
	if (s->has_ctl)
		sup_hup = sup_usr1 = 0;
}

/* Wait for a signal, for the control socket, for the deadline. */
static void
sup_wait(struct session *s)
{
	struct pollfd	 pfd;
	int64_t		 left = -1;
	nfds_t		 n;

	sup_flush(s);
	n = s->has_ctl && chan_pending(&s->ctl) > 0;
	if (n > 0) {
		pfd.fd = s->ctl.ib.fd;
		pfd.events = POLLOUT;
	}
	if (s->deadline != 0 && (left = s->deadline - sup_now()) <= 0)
		sup_phase(s, s->phase + 1);
	else
		sup_poll(&pfd, n, (int)left);
}

/* From here on until the last process has ended. */
static void
sup_run(struct session *s)
{
	for (sup_signals(s); sup_reap(s) > 0; sup_signals(s))
		sup_wait(s);
}

/* Is it the server of this side that the session failed with? */
static int
sup_blames(const struct session *s, int side, int status)
{
	const struct proc	*p = &s->procs[side];

	return p->pid != 0 && WIFEXITED(p->status) &&
	    WEXITSTATUS(p->status) == status;
}

/*
 * What a tunnel has said last.  Who has seen it is not shown it again, but it
 * belongs in the log.
 */
static void
sup_tunnel_words(int side)
{
	const char	*line;
	size_t		 i;
	int		 relayed;

	for (i = 0; (line = errs_line(side, i, &relayed)) != NULL; i++) {
		sup_away = relayed;
		sup_lost("%s said: %s", sup_names[P_TUNNEL + side], line);
		sup_away = 0;
	}
}

/*
 * What a tunnel has to say about the end of the session.  If its server was lost
 * (by its worker's status) its end explains that, however much later it came.
 * Otherwise one that ended after the engine had its socket closed by us, and may
 * complain of that.
 */
static void
sup_tunnel_status(const struct session *s, int side, int status)
{
	const struct proc	*p = &s->procs[P_TUNNEL + side];
	const char		*name = sup_names[P_TUNNEL + side];
	int			 blamed = sup_blames(s, side, status);

	if (p->pid == 0)
		return;
	if (blamed)
		sup_tunnel_words(side);
	if (p->killed || (!p->early && (!blamed || status != EX_SYNC_TEMP)))
		return;
	if (WIFSIGNALED(p->status))
		sup_lost("%s was killed by %s", name, sup_death(p->status));
	else if (WEXITSTATUS(p->status) != 0)
		sup_lost("%s ended with status %d%s", name,
		    WEXITSTATUS(p->status), WEXITSTATUS(p->status) == 127 ?
		    " (it was not found, or could not be executed)" : "");
}

/* The exit status once all have ended. */
static int
sup_status(struct session *s)
{
	const struct proc	*e = &s->procs[P_ENGINE];
	int			 side, status = EX_SYNC_ERROR;

	if (WIFEXITED(e->status))
		status = WEXITSTATUS(e->status);
	else if (e->killed && !sup_stopped())
		sup_error("the engine did not end in time and was killed");
	if (status == EX_SYNC_OK && (s->crashed || s->unstarted))
		status = EX_SYNC_ERROR;
	if (status == 127 || status == EX_SYNC_CUT)
		status = EX_SYNC_ERROR;
	if (status == EX_SYNC_LIMIT) {
		s->limit = 1;
		status = EX_SYNC_TEMP;
	}
	if (!sup_stopped() && !(s->limit && s->opts->more) &&
	    (status == EX_SYNC_ERROR || status == EX_SYNC_LATER ||
	    status == EX_SYNC_TEMP))
		for (side = 0; side < SIDES; side++)
			sup_tunnel_status(s, side, status);
	return status;
}

/* An engine that ends by itself has said why. */
static int
sup_told(const struct session *s)
{
	const struct proc	*e = &s->procs[P_ENGINE];

	return e->pid != 0 && WIFEXITED(e->status) &&
	    WEXITSTATUS(e->status) != EX_SYNC_CUT &&
	    WEXITSTATUS(e->status) != 127;
}

int
sup_session(struct conf *conf, const struct sup_opts *opts,
    struct sup_end *end)
{
	struct session	 s;
	int		 i, status;

	memset(&s, 0, sizeof(s));
	s.conf = conf;
	s.opts = opts;
	s.late = opts->patience != 0;
	for (i = 0; i < SUP_CHANNELS; i++)
		s.chan[i] = -1;
	for (i = 0; i < SIDES; i++) {
		s.ends[i].fd = -1;
		s.files[i].ca = s.files[i].cert = s.files[i].key = -1;
	}
	if (pipe2(s.lifeline, O_CLOEXEC) == -1)
		fatal("pipe");
	sup_current = &s;
	status = start_session(&s);
	await_end();
	start_free(&s);
	if (status != 0) {
		s.signals = sup_count;
		sup_phase(&s, SUP_LIFELINE);
	}
	sup_run(&s);
	errs_close();
	if (s.procs[P_ENGINE].pid != 0)
		status = sup_status(&s);
	if (status == EX_SYNC_TEMP && s.overdue && !sup_stopped() &&
	    !(s.limit && opts->more))
		sup_lost("no run was good for more than %s",
		    opts->patience_text);
	end->crashed = s.crashed ||
	    (s.procs[P_ENGINE].killed && !sup_stopped());
	end->late = s.late;
	end->told = sup_told(&s);
	sup_current = NULL;
	return s.limit && status == EX_SYNC_TEMP ? EX_SYNC_LIMIT : status;
}

void
sup_abort(void)
{
	struct session	*s = sup_current;

	if (s == NULL)
		return;
	sup_current = NULL;
	sup_phase(s, SUP_LIFELINE);
	sup_run(s);
}

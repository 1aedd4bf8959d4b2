/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker as a whole, between a server, an engine and another worker
 * that say anything in any order.  With files as arguments each of them is a
 * test (TAP); without, standard input is taken.  LLVMFuzzerTestOneInput() is
 * there for libFuzzer.
 *
 * An input is lines; the first letter says whose it is:
 *	s	the server: the rest of the line, and CR LF
 *	S	the same without CR LF
 *	t	a tagged answer to an unanswered command: a digit says to which,
 *		the rest follows the tag
 *	e	the engine: a letter for the request, digits for what is in it
 *	b	a record over the bridge: see bridge_record()
 *	B	the rest of the line over the bridge as it is
 *	z	the bridge ends
 *	i	time passes
 *
 * What must hold: no memory error; each request is done once; when all commands
 * are gone so is what they and the requests held; memory is bounded.
 */
#include <sys/socket.h>

#include <ctype.h>
#include <err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>

#include "imapsync-net/net.h"

#define INPUT_MAX	(256 * 1024)
#define ALL_CAPS	"IMAP4rev1 LITERAL+ ENABLE CONDSTORE QRESYNC UIDPLUS " \
			"LIST-EXTENDED LIST-STATUS ESEARCH IDLE NOTIFY " \
			"UNSELECT MULTIAPPEND"

static struct net	 net;
static jmp_buf		 over;		/* fatal*() ends up there */
static uint32_t		 last_id;
static uint8_t		 done[4096];	/* by request: DONE was sent */

int		 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_worker: %s\n", what);
		abort();
	}
}

/* A fatal message is an end like any other, but for our own faults. */
static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)level;
	(void)mailbox;
	if (status == -1)
		return;
	must(strncmp(text, "ENGINE_", 7) != 0 && strncmp(text, "cmd_", 4) != 0,
	    text);
	longjmp(over, 1);
}

/* ---- the engine ---- */

/* What the worker has queued for it: frames of whole messages. */
static void
read_events(void)
{
	const uint8_t	*p;
	struct imsg_hdr	 hdr;
	size_t		 left;

	if (chan_pending(&net.chan) == 0)
		return;
	p = buf_ptr(&net.chan.ib.out);
	for (left = net.chan.ib.out.len; left > 0; left -= hdr.len) {
		memcpy(&hdr, p, sizeof(hdr));
		must(hdr.len >= sizeof(hdr) && hdr.len <= left, "a frame");
		if (hdr.type == M_ENGINE_DONE) {
			must(hdr.peerid > 0 && hdr.peerid <= last_id,
			    "DONE of no request");
			must(!done[hdr.peerid % sizeof(done)]++ ||
			    last_id >= sizeof(done), "DONE twice");
		}
		p += hdr.len;
	}
	buf_clear(&net.chan.ib.out);
}

static uint32_t
digit(const char **p, const char *end)
{
	return *p < end && isdigit((unsigned char)**p) ? *(*p)++ - '0' : 0;
}

static int
allowed(uint32_t type)
{
	const struct proto_handler	*h;

	/* That would end the process, and there is nothing to see. */
	if (type == M_NET_LOGOUT && net.phase < P_READY)
		return 0;
	for (h = loop_handlers; h->type != M_NONE; h++)
		if (h->type == type && h->states & net.chan.state)
			return 1;
	return 0;
}

/* The request as if it had come over the channel. */
static void
ask(uint32_t type, const void *rec)
{
	static struct buf	 b;
	struct imsg_hdr		 hdr;

	if (!allowed(type))
		return;
	buf_clear(&b);
	must(proto_encode(&b, type, rec) == 0, "our own request");
	memset(&hdr, 0, sizeof(hdr));
	hdr.type = type;
	hdr.peerid = ++last_id;
	hdr.len = sizeof(hdr) + b.len;
	buf_add(&net.chan.ib.in, &hdr, sizeof(hdr));
	buf_add(&net.chan.ib.in, buf_ptr(&b), b.len);
	must(chan_dispatch(&net.chan, loop_handlers, &net) == 0,
	    net.chan.error);
}

static void
ask_open(uint32_t a, uint32_t b, uint32_t c)
{
	struct m_net_open	 m = { a, b, c, c, b, b & 1 ? "box" : "b\351" };

	ask(M_NET_OPEN, &m);
}

static void
ask_recv(uint32_t handle, uint32_t a, uint32_t b, uint32_t c)
{
	struct m_net_recv	 m;

	memset(&m, 0, sizeof(m));
	m.handle = handle;
	m.transfer = c;
	m.mode = a % 3;
	m.nodate = b & 1;
	m.perm_any = (b & 2) != 0;
	m.permflags = "\\Seen";
	m.mailbox = b & 4 ? "box" : "b\351";
	ask(M_NET_RECV, &m);
}

/* About messages: the first and the last UID of the set, and a number. */
static void
ask_set(char what, uint32_t handle, uint32_t lo, uint32_t n, uint32_t c)
{
	struct m_net_meta	 meta = { handle, c & 1, UIDSET_INIT };
	struct m_net_search	 search = { handle, UIDSET_INIT };
	struct m_net_send	 send = { handle, c >> 1, c & 1, UIDSET_INIT };
	struct m_net_store	 store = { handle, c & 1, "\\Seen",
				    UIDSET_INIT };
	struct m_net_expunge	 expunge = { handle, UIDSET_INIT };

	uidset_add(&meta.set, lo + 1, lo + n + 1);
	search.set = send.set = store.set = expunge.set = meta.set;
	if (what == 'm')
		ask(M_NET_META, &meta);
	else if (what == 'f')
		ask(M_NET_SEARCH, &search);
	else if (what == 's')
		ask(M_NET_SEND, &send);
	else if (what == 'x')
		ask(M_NET_STORE, &store);
	else
		ask(M_NET_EXPUNGE, &expunge);
	uidset_free(&meta.set);
}

static void
ask_other(char what, uint32_t a, uint32_t b)
{
	struct m_net_name	 name = { a % 5, "a", a % 5 == NAME_RENAME ?
				    "b\351" : "" };
	struct m_net_watch	 watch = { a & 1, b & 1 ? "box" : "" };
	struct m_net_status	 status = { b & 1 ? "INBOX" : "b\351" };
	struct m_net_pattern	 pattern = { b & 1 ? "*" : "b\351" };
	struct m_net_list	 list = { a & 7, b & 1, 1, b & 2 ? "r/" : "" };
	uint8_t			 none = 0;

	if (what == 'n')
		ask(M_NET_NAME, &name);
	else if (what == 'w')
		ask(M_NET_WATCH, &watch);
	else if (what == 'u')
		ask(M_NET_UNWATCH, &none);
	else if (what == 't')
		ask(M_NET_STATUS, &status);
	else if (what == 'l' && allowed(M_NET_LIST)) {
		ask(M_NET_PATTERN, &pattern);
		last_id--;	/* it has the id of its LIST */
		ask(M_NET_LIST, &list);
	} else if (what == 'q')
		ask(M_NET_LOGOUT, &none);
	else
		ask(M_NET_STATS, &none);
}

static void
engine(const char *p, const char *end)
{
	uint32_t	 handle, a, b, c;
	char		 what = p < end ? *p++ : '\0';

	a = digit(&p, end);
	b = digit(&p, end);
	c = digit(&p, end);
	handle = net.handles.last != NULL ? net.handles.last->id : 1;
	if (what == 'o')
		ask_open(a, b, c);
	else if (what == 'r')
		ask_recv(handle, a, b, c);
	else if (what != '\0' && strchr("mfsxe", what) != NULL)
		ask_set(what, handle, a, b, c);
	else
		ask_other(what, a, b);
}

/* ---- server and bridge ---- */

static void
server(const char *p, size_t len, const char *behind)
{
	buf_add(&net.in, p, len);
	buf_puts(&net.in, behind);
	session_input(&net);
}

static void
tagged(const char *p, const char *end)
{
	char		 tag[TAG_SIZE + 1];
	struct cmd	*c;
	uint32_t	 n = digit(&p, end);

	TAILQ_FOREACH(c, &net.cmdq.answers, entry)
		if (n-- == 0)
			break;
	if (c == NULL)
		return;
	snprintf(tag, sizeof(tag), "%s", c->tag);
	buf_puts(&net.in, tag);
	server(p, end - p, "\r\n");
}

/*
 * "transfer uid kind", three digits: 0 a small message, 1 the head and no more
 * of a large one, 2 as much of a body as there is in the line, 3 a trailer, 4
 * one that aborts, 5 and 6 an end; then flags, or octets.
 */
static void
bridge_record(const char *p, const char *end)
{
	uint32_t	 transfer = digit(&p, end), uid = digit(&p, end);
	uint32_t	 kind = digit(&p, end);
	uint8_t		 h[20] = { BR_MSG, 0, 0, 0, transfer, 0, 0, 0, uid };
	uint8_t		 tr[9] = { kind != 4 };
	uint8_t		 e[6] = { BR_END, 0, 0, 0, transfer, kind == 5 };
	size_t		 n = end - p;

	if (n > 200)
		n = 200;
	h[16] = 3;
	h[13] = kind == 1 ? 1 : 0;	/* 16 MB */
	h[19] = n;
	if (kind < 2) {
		buf_add(&net.bridge.in, h, sizeof(h));
		buf_add(&net.bridge.in, p, n);
	} else if (kind == 2)
		buf_add(&net.bridge.in, p, n);
	if (kind == 0)
		buf_puts(&net.bridge.in, "abc");
	if (kind == 0 || kind == 3 || kind == 4)
		buf_add(&net.bridge.in, tr, sizeof(tr));
	if (kind == 5 || kind == 6)
		buf_add(&net.bridge.in, e, sizeof(e));
}

static void
pass_time(void)
{
	if (net.recv.idle != 0)
		net.recv.idle = 1;
	if (net.recv.dying != 0)
		net.recv.dying = 1;
	if (net.watch.next != 0)
		net.watch.next = 1;
	net.watch.told = 0;
}

/* ---- an input ---- */

static void
line(const char *p, const char *end)
{
	char	 what = p < end ? *p++ : '\0';

	if (what == 's')
		server(p, end - p, "\r\n");
	else if (what == 'S')
		server(p, end - p, "");
	else if (what == 't')
		tagged(p, end);
	else if (what == 'e')
		engine(p, end);
	else if (what == 'b')
		bridge_record(p, end);
	else if (what == 'B')
		buf_add(&net.bridge.in, p, end - p);
	else if (what == 'z')
		net.bridge.eof = 1;
	else if (what == 'i')
		pass_time();
}

/* What the loop does, but for the octets, which nobody reads. */
static void
work(void)
{
	int	 i;

	for (i = 0; i < 3; i++) {
		session_tick(&net);
		recv_input(&net);
		watch_tick(&net);
		req_pump(&net);
		cmdq_flush(&net);
		buf_clear(&net.out);
		buf_clear(&net.bridge.out);
	}
	read_events();
	must(net.in.len < (1 << 20) &&
	    net.session.parser.lx.line.cap < (4 << 20), "memory");
}

static int
again(int fd)
{
	if ((fd = dup(fd)) == -1)
		err(1, "dup");
	return fd;
}

static void
begin(int fd, int greeting)
{
	net_init(&net, again(fd));
	log_init(sink, 0);
	net.chan.state = CH_LOGIN;
	net.setup.type = CONN_IMAP;
	net.setup.pipeline = net.setup.cleartext = net.setup.has_password = 1;
	net.setup.timeout = 300;
	net.setup.host = "h";
	net.setup.username = "u";
	net.setup.password = xstrdup("p");
	net.setup.proxy_password = xstrdup("");
	net.setup.auth = greeting == '2' ? "SCRAM-SHA-256" : greeting == '3' ?
	    "CRAM-MD5 LOGIN" : "";
	net.setup.compress = greeting == '4';
	net.setup.ssl_hostname = net.setup.ssl_ciphers =
	    net.setup.ssl_ciphersuites = net.setup.ssl_fingerprint =
	    net.setup.proxy_addr = net.setup.proxy_user = "";
	net.st = stream_new(again(fd));
	memset(done, 0, sizeof(done));
	last_id = 0;
}

/* All that the worker holds, as if each command and request were answered. */
static void
finish(void)
{
	struct drop	*d;
	struct req	*r;
	struct cmd	*c;

	while ((c = TAILQ_FIRST(&net.cmdq.answers)) != NULL ||
	    (c = TAILQ_FIRST(&net.cmdq.tx)) != NULL)
		cmd_free(&net, c);
	if (net.queue.half != NULL)
		req_queue(&net, net.queue.half);
	while ((r = TAILQ_FIRST(&net.queue.reqs)) != NULL) {
		must(r->refs <= 2, "references without a command");
		r->emitted = r->refs = 1;
		req_release(&net, &r);
	}
	while ((d = TAILQ_FIRST(&net.recv.drops)) != NULL) {
		TAILQ_REMOVE(&net.recv.drops, d, entry);
		free(d);
	}
	handle_mute(&net);
	handle_unselected(&net);
	must(TAILQ_EMPTY(&net.handles.all), "a handle is left");
	must(net.cmdq.hold == NULL && net.body.cmd == NULL &&
	    net.recv.cmd == NULL, "a command is left");
	parse_free(&net.session.parser);
	sasl_free(net.session.sasl);
	stream_free(net.st);
	chan_close(&net.chan);
	buf_free(&net.in);
	buf_free(&net.out);
	buf_free(&net.bridge.in);
	buf_free(&net.bridge.out);
	free(net.bye);
	free(net.watch.mailbox);
	free((char *)net.setup.password);
	free((char *)net.setup.proxy_password);
}

static void
play(const char *p, const char *end, int greeting)
{
	static const char	 in[] = "* PREAUTH [CAPABILITY " ALL_CAPS "] x";
	static const char	 ok[] = "* ENABLED QRESYNC\r\nA1 OK x\r\nA2 OK x";
	const char		*nl;

	session_start(&net);
	if (greeting == '0') {
		ask_other('l', 0, 0);
		work();
		server(in, sizeof(in) - 1, "\r\n");
		work();
		server(ok, sizeof(ok) - 1, "\r\n");
		work();
	}
	/* What comes behind LOGOUT ends the process. */
	for (; p < end && net.phase != P_LOGOUT; p = nl < end ? nl + 1 : end) {
		if ((nl = memchr(p, '\n', end - p)) == NULL)
			nl = end;
		line(p, nl);
		if (net.phase != P_LOGOUT)
			work();
	}
}

/* The first octet: 0 a worker that is logged in, else how it shall do that. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int	 sv[2] = { -1, -1 };
	const char	*p = (const char *)data;

	if (len == 0)
		return 0;
	if (sv[0] == -1) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
			err(1, "socketpair");
		signal(SIGPIPE, SIG_IGN);
	}
	begin(sv[0], *p);
	if (setjmp(over) == 0)
		play(p + 1, p + len, *p);
	finish();
	return 0;
}

static void
run(FILE *f)
{
	static uint8_t	 data[INPUT_MAX];

	LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), f));
}

int
main(int argc, char **argv)
{
	FILE	*f;
	int	 i;

	if (argc < 2)
		run(stdin);
	else
		printf("1..%d\n", argc - 1);
	for (i = 1; i < argc; i++) {
		if ((f = fopen(argv[i], "re")) == NULL)
			err(1, "%s", argv[i]);
		run(f);
		fclose(f);
		printf("ok %d - %s\n", i, argv[i]);
	}
	return 0;
}

/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the supervisor says before there is a session: who the server is, the
 * descriptors, go.  Nothing of the server is read before the process has locked
 * itself.
 */
#include <fcntl.h>
#include <time.h>

#include "net.h"
#include "sandbox.h"

void
setup_on_setup(const struct msg *msg)
{
	const struct m_net_setup	*m = msg->rec;
	struct net			*net = msg->arg;
	struct m_net_setup		*own = &net->setup;
	const char			**s[] = { &own->host, &own->auth,
					    &own->username, &own->authzid,
					    &own->password,
					    &own->ssl_hostname,
					    &own->ssl_ciphers,
					    &own->ssl_ciphersuites,
					    &own->ssl_fingerprint,
					    &own->proxy_addr, &own->proxy_user,
					    &own->proxy_password };
	unsigned			 i;

	if (m->version != PROTO_VERSION)
		fatalx("imapsync-net and imapsync are of different versions: "
		    "install both anew");
	*own = *m;
	for (i = 0; i < nitems(s); i++)
		*s[i] = xstrdup(*s[i]);
	net_log(net, net->setup.debug > 0);
	net->chan.state = CH_CONNECT;
}

void
setup_on_fd(const struct msg *msg)
{
	const struct m_net_fd	*m = msg->rec;
	struct net		*net = msg->arg;

	if (net->fds[m->what] != -1)
		fatalx("a descriptor came twice");
	net->fds[m->what] = msg->fd;
}

static void
bridge_open(struct net *net)
{
	int	 fd = net->fds[NETFD_BRIDGE], flags;

	net->bridge.fd = fd;
	if (fd == -1) {
		net->bridge.eof = net->bridge.broken = 1;
		return;
	}
	if ((flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		fatal("bridge");
}

void
setup_on_connect(const struct msg *msg)
{
	struct net	*net = msg->arg;
	int		 i;

	bridge_open(net);
	net->st = stream_new(msg->fd);
	if (net->setup.type == CONN_IMAPS || (net->setup.type == CONN_IMAP &&
	    net->setup.starttls)) {
		if (stream_tls_prepare(net->st, &net->setup,
		    net->fds[NETFD_CA], net->fds[NETFD_CERT],
		    net->fds[NETFD_KEY]) == -1)
			fatalx("%s: %s", net->setup.host,
			    stream_error(net->st));
	} else {
		for (i = NETFD_CA; i <= NETFD_KEY; i++)
			if (net->fds[i] != -1)
				close(net->fds[i]);
	}
	tzset();
	sandbox_net();
	chan_nofds(&net->chan);
	setproctitle("%s %s", side_name[net->setup.side], net->setup.host);
	log_debug("%s: %s", side_name[net->setup.side], sandbox_describe());
	net->chan.state = CH_LOGIN;
	session_start(net);
}

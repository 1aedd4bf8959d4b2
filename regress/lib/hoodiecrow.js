// This file is part of imapsync, which keeps two IMAP servers identical.
//
// imapsync is free software: you can redistribute it and/or modify it under
// the terms of the GNU General Public License, version 3 or (at your option)
// any later version, with permission to link with LibreSSL and OpenSSL.
// It comes WITHOUT ANY WARRANTY.  See COPYING.

// hoodiecrow.js DIRECTORY PORT USER PASSWORD [PLUGIN ...]: the server that
// get-hoodiecrow has fetched, with an empty INBOX.  All is kept in memory.

'use strict';

const [path, port, user, password, ...plugins] = process.argv.slice(2);
const hoodiecrow = require(path + '/node_modules/hoodiecrow-imap');

const server = hoodiecrow({
	plugins: plugins,
	users: { [user]: { password: password, xoauth2: {} } },
	storage: { INBOX: {}, '': { separator: '/', folders: {} } }
});
// Each line is written by itself: not to wait for the answer to the last one.
(server.server || server).on('connection', s => s.setNoDelay(true));
server.listen(+port, '127.0.0.1');

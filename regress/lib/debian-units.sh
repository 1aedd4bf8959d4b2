#!/bin/sh
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# debian-units.sh: what regress/debian has done in its booted Debian, by root:
# the units of the installed package, under the user manager of joe, as the
# README says.  Prints a line a test: "ok" or "not ok", and what.

user=joe
home=/home/$user
XDG_RUNTIME_DIR=/run/user/$(id -u "$user")
service=imapsync.service
remote=$home/remote.conf
cd "$home" || exit 1

as_user()
{
	setpriv --reuid="$user" --regid="$user" --init-groups env -i \
	    PATH=/usr/local/bin:/usr/bin:/bin HOME="$home" USER="$user" \
	    XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$@"
}

ctl()
{
	as_user systemctl --user "$@"
}

# is NAME COMMAND ...: within 20 seconds it is so.
is()
{
	name=$1
	shift
	n=0
	until "$@" >/tmp/last 2>&1; do
		n=$((n + 1))
		if [ "$n" -gt 200 ]; then
			echo "not ok $name"
			sed 's/^/# /' /tmp/last
			ctl --no-pager status "$service" 2>&1 | sed 's/^/# /'
			return
		fi
		sleep 0.1
	done
	echo "ok $name"
}

# A message for a Dovecot, by its configuration.
mail()
{
	printf 'From: a@example.org\nSubject: %s\n\nmessage %s\n' "$2" "$2" |
	    as_user doveadm -c "$1" save
}

# How many messages a Maildir has.
has()
{
	[ "$(find "$1/new" "$1/cur" -type f | wc -l)" -eq "$2" ]
}

says()
{
	ctl show -p "$1" --value "$service" | grep -q "$2"
}

# How the service sees a mount point: "ro" or "rw", as it is in the end.
mounted()
{
	pid=$(ctl show -p MainPID --value "$service")
	awk -v at="$1" '$5 == at { how = $6 } END { print how }' \
	    "/proc/$pid/mountinfo" | grep "^$2,"
}

# What the journal has of the units, without what imapsync and systemd say of a
# good run.
quiet()
{
	as_user journalctl --user -q --no-pager -o cat -u "$service" |
	    grep -v -e ' copied to ' -e ' mailbox\(es\)\? changed: ' \
	    -e '^\(Start\|Stopp\|Reload\|Finish\)\(ing\|ed\) ' \
	    -e 'Consumed .* CPU time' >/tmp/left
	cat /tmp/left
	! [ -s /tmp/left ]
}

# ---- as the README has it ----

is 'there is a user manager' ctl is-system-running
sed 's|~/Maildir|~/remote|' \
    /usr/share/doc/imapsync/examples/dovecot-local.conf >"$remote"
mail "$remote" 1
is '--init' as_user imapsync --init joe@mail.example.org type=tunnel \
    "command=doveadm -c $remote exec imap"
is 'the first run' as_user imapsync
for unit in imapsync imapsync-once; do
	as_user mkdir -p ".config/systemd/user/$unit.service.d"
	printf '[Service]\nReadWritePaths=-%%h/Maildir -%%h/remote\n' |
	    as_user tee ".config/systemd/user/$unit.service.d/override.conf" \
	    >/dev/null
done
ctl daemon-reload

# ---- all the time ----

is 'the service starts' ctl enable --now "$service"
is 'it is active' says ActiveState '^active$'
is 'it says what it does' says StatusText '^watching 1 mailbox'
is 'what is there already is left' has Maildir 1
mail "$remote" 2
is 'new mail comes from the remote server' has Maildir 2
mail .config/imapsync/dovecot.conf 3
is 'and goes there' has remote 3
is 'reload' ctl reload "$service"
is 'it goes on' says StatusText '^watching 1 mailbox'
is 'and is the same process' says NRestarts '^0$'
is 'everything is read-only to it' mounted / ro
is 'but the mail' mounted "$home/Maildir" rw
is 'and the state' mounted "$home/.local/share/imapsync" rw
ctl stop "$service"
is 'it ends well' says Result '^success$'
is 'the journal complains of nothing' quiet

# ---- every ten minutes ----

service=imapsync-once.service
mail "$remote" 4
is 'one run' ctl start "$service"
is 'it was good' says Result '^success$'
is 'the mail has come' has Maildir 4
is 'the journal complains of nothing there' quiet
is 'the timer starts' ctl start imapsync.timer
is 'and is for that service' sh -c 'printf "%s\n" "$1" | grep -q \
    "imapsync.timer *imapsync-once.service"' - \
    "$(ctl list-timers --all --no-pager)"

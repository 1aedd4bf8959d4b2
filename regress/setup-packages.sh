#!/bin/sh
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# setup-packages.sh demo|all: see to it that the Debian packages which the demo
# or the tests need are there.  As root it installs what is missing; otherwise
# it says what that is and fails.  Nothing that it installs is started.

set -u

build='gcc libc6-dev make pkg-config libtls-dev libbsd-dev libmd-dev
    libsqlite3-dev libssl-dev zlib1g-dev libseccomp-dev'
servers='dovecot-imapd perl util-linux'
tests='apparmor logrotate openssl openssh-client openssh-server mandoc bmake clang
    libclang-rt-dev sqlite3 systemd tmux valgrind interimap mailutils-imap4d'
# What Cyrus needs, which the tests only unpack (see get-cyrus).
cyrus='libical3 libxapian30 libjansson4 libpcre3 libpq5 libwrap0 libxml2
    libsqlite3-0 libicu72 libkrb5-3 libcom-err2 libsasl2-2 libsasl2-modules
    libsasl2-modules-db libeatmydata1'

# What Courier needs, which is only unpacked as well (see get-courier).
courier='libidn12 libgdbm6 libstdc++6'
# What fetches hoodiecrow (see get-hoodiecrow), if it did not come another way.
npm=
command -v npm >/dev/null 2>&1 || npm=npm

case ${1:-} in
demo)	wanted="$build $servers" ;;
all)	wanted="$build $servers $tests $cyrus $courier $npm" ;;
*)	echo "usage: setup-packages.sh demo | all" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "$0: this is not Debian; needed are what these packages hold:" \
	    $wanted >&2
	echo "$0: going on without a check" >&2
	exit 0
fi

missing=
for package in $wanted; do
	case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
	*' ok installed') ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages; as root:" >&2
	echo "	apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "installing:$missing"
policy=/usr/sbin/policy-rc.d
made=
log=$(mktemp) || exit 1
trap '[ -z "$made" ] || rm -f "$policy"; rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
	# Debian starts a server that it installs, unless this says 101.
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
	made=yes
fi
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
if ! { apt-get update && apt-get install -y --no-upgrade \
    --no-install-recommends $missing; } </dev/null >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "$0: installing failed" >&2
	exit 1
fi

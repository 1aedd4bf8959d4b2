#!/bin/sh
# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# debian-boot.sh ROOT [COMMAND ...]: in ROOT, a Debian, with a /proc of its own,
# run the command; without one boot its systemd, in a cgroup of its own, until
# that powers off.  Of a machine it has what a container has; nothing of /proc is
# hidden, as a container manager would do, since then no user could have a
# namespace with a /proc of its own, which the units need.
#
# The caller has put us into new namespaces:
#	unshare -m -p -f -i -u -C [-n] --kill-child sh debian-boot.sh ROOT ...

set -e

root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for name in null zero full random urandom tty; do
	: >"$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts \
    "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
if [ $# -gt 0 ]; then
	exec chroot "$root" "$@"
fi

mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=other /lib/systemd/systemd

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Completion for OpenBSD's ksh(1): ". imapsync.ksh" in the file that ENV names.
# Other kinds of ksh take it, and do nothing with it.

set -A complete_imapsync -- -h -q --adopt --allow-delete --check --config= \
    --debug --delete --dry-run --help --import --init --json --notify \
    --patience= --patience=1d --quiet --rename --repair --retry --status --syslog --target= \
    --target=database --target=local --target=remote --two-accounts \
    --version --watch --watch= \
    $(cd "${XDG_CONFIG_HOME:-$HOME/.config}/imapsync" 2>/dev/null &&
	for file in *; do [ ! -f "$file" ] || echo "--config=$file"; done)

# This file is part of imapsync, which keeps two IMAP servers identical.
#
# imapsync is free software: you can redistribute it and/or modify it under
# the terms of the GNU General Public License, version 3 or (at your option)
# any later version, with permission to link with LibreSSL and OpenSSL.
# It comes WITHOUT ANY WARRANTY.  See COPYING.

# Completion for bash: ". imapsync.bash", or install it as
# share/bash-completion/completions/imapsync.  It needs no other file.

# The configuration files of several accounts, and paths.
_imapsync_configs()
{
	local dir=${XDG_CONFIG_HOME:-$HOME/.config}/imapsync

	[[ -d $dir ]] && (cd "$dir" && compgen -f -- "$1")
	compgen -f -- "$1"
}

_imapsync()
{
	local cur prev line
	local IFS=$'\n'

	# Where "=" breaks words, --config=FILE is three of them.
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == --*=* ]]; then
		prev=${cur%%=*}
		cur=${cur#*=}
	fi

	COMPREPLY=()
	case $prev in
	--config)
		while read -r line; do
			COMPREPLY+=("$line")
		done < <(_imapsync_configs "$cur" | sort -u)
		compopt -o filenames 2>/dev/null
		return ;;
	--target)
		line=
		[[ $cur == *,* ]] && line=${cur%,*},
		COMPREPLY=($(compgen -P "$line" \
		    -W $'local\nremote\ndatabase' -- "${cur##*,}"))
		return ;;
	--adopt|--delete|--patience|--rename)
		return ;;
	esac
	[[ $cur == -* ]] || return
	IFS=$' \t\n'
	COMPREPLY=($(compgen -W '-h -q --adopt --allow-delete --check --config=
	    --debug --delete --dry-run --help --import --init --json
	    --notify --patience= --quiet --rename --repair --retry --status
	    --syslog --target=
	    --two-accounts --version --watch --watch=' \
	    -- "$cur"))
	[[ ${COMPREPLY[0]} != *= || ${#COMPREPLY[@]} -gt 1 ]] ||
	    compopt -o nospace 2>/dev/null
}

complete -F _imapsync imapsync

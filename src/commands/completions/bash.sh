# bash completion of git-dispatch, as `git-dispatch` and, with git's own completion, as `git dispatch`.
# To install:
#   mkdir -p ~/.local/share/bash-completion/completions
#   git dispatch completions bash > ~/.local/share/bash-completion/completions/git-dispatch

# Fills COMPREPLY from what a command prints: the word under the cursor, then the command.
__git_dispatch_reply () {
	local cur="$1" kept="" line
	shift
	# Where bash breaks words at these, it replaces only what stands behind the last of them.
	[[ $COMP_WORDBREAKS == *=* && $cur == *=* ]] && kept="${cur%"${cur##*=}"}"
	[[ $COMP_WORDBREAKS == *:* && $cur == *:* ]] && kept="${cur%"${cur##*:}"}"
	COMPREPLY=()
	while IFS= read -r line; do
		case "$line" in
		:files | :folders)
			local kind=-f
			[ "$line" = :files ] || kind=-d
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do
				COMPREPLY+=("$line")
			done < <(compgen "$kind" -- "${cur#"$kept"}")
			;;
		*)
			line="${line%%$'\t'*}"
			COMPREPLY+=("${line#"$kept"}")
			;;
		esac
	done < <("$@" 2>/dev/null)
}

# Called by git's completion, with its variables.
_git_dispatch () {
	local at="${__git_cmd_idx:-}" i
	if [ -z "$at" ]; then
		for ((i = 1; i < cword; i++)); do
			[ "${words[i]}" = dispatch ] && { at=$i; break; }
		done
	fi
	[ -n "$at" ] || return 0
	compopt +o nospace 2>/dev/null
	__git_dispatch_reply "$cur" git "${__git_C_args[@]}" ${__git_dir:+"--git-dir=$__git_dir"} \
		dispatch complete-words -- "${words[@]:at+1:cword-at-1}" "$cur"
}

_git_dispatch_alone () {
	local cur words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	cur="${words[cword]}"
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: cur words cword
	fi
	__git_dispatch_reply "$cur" git-dispatch complete-words -- "${words[@]:1:cword-1}" "$cur"
}

complete -F _git_dispatch_alone git-dispatch

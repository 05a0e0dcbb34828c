#compdef git-dispatch
# zsh completion of git-dispatch, as `git-dispatch` and, with zsh's completion of git, as `git dispatch`.
# To install, with a folder of your $fpath:
#   git dispatch completions zsh > ~/.zfunc/_git-dispatch

_git-dispatch () {
	local line
	local -a values shown
	for line in "${(@f)$(git-dispatch complete-words -- "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
		case $line in
		('') ;;
		(:files)
			compset -P '--*='
			_files
			;;
		(:folders)
			compset -P '(--*=|-C)'
			_files -/
			;;
		(*)
			values+=("${line%%$'\t'*}")
			shown+=("${line%%$'\t'*}  ${line#*$'\t'}")
			;;
		esac
	done
	(( $#values )) && compadd -l -d shown -a values
}

if [[ $funcstack[1] == _git-dispatch ]]; then
	_git-dispatch "$@"
else
	compdef _git-dispatch git-dispatch
fi

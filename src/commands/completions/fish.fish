# fish completion of git-dispatch, as `git-dispatch` and as `git dispatch`.
# To install: echo 'git-dispatch completions fish | source' >> ~/.config/fish/config.fish

function __git_dispatch_words
    set -l words (commandline -opc)
    if test "$words[1]" = git
        set -l at (contains -i -- dispatch $words)
        or return
        set -e words[1..$at]
    else
        set -e words[1]
    end
    for line in (git-dispatch complete-words -- $words (commandline -ct) 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':folders'
                __fish_complete_directories (commandline -ct)
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c git-dispatch -f -a '(__git_dispatch_words)'
complete -c git -f -n '__fish_git_using_command dispatch' -a '(__git_dispatch_words)'

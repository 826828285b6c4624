# The shell that capture.zsh looks into: what matches is written to a file, then the shell ends.
autoload -Uz compinit && compinit -D -u
bindkey '^I' complete-word
compadd() {
    local -a matches suffix
    if (( ! ${@[(I)-[OAD]]} )); then
        zparseopts -E -a suffix S:
        builtin compadd -O matches "$@"
        print -rl -- $IPREFIX${^matches}${suffix[2]} >>$CAPTURED
    fi
    builtin compadd "$@"
}
finish() { exit }
comppostfuncs=( finish )
print READY

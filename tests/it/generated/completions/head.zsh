# zsh completion for runup and its programs. Put it as _runup into a directory of $fpath.
# Made by tests/it/generated.rs; the head is tests/it/generated/completions/head.zsh.

typeset -ga _runup_options

# Asks the repository that the line is about; what goes wrong is nobody's business here.
_runup_ask() {
    command runup $chosen "$@" </dev/null 2>/dev/null
}

_runup_jobs_of() {
    _runup_ask ls-snapshots ${1:+--project} $1 |
        sed -n 's/.*"job":\([0-9][0-9]*\),.*/\1/p' | sort -nu
}

_runup_jobs() {
    local -a jobs=( ${(f)"$(_runup_jobs_of)"} )
    _wanted jobs expl job compadd -a jobs
}

_runup_projects() {
    local -a projects=( ${(f)"$(_runup_ask ls-projects --plain)"} )
    _wanted projects expl project compadd -a projects
}

_runup_references() {
    local -a names=( ${(f)"$(_runup_ask for-each-ref --name-only)"} )
    _wanted references expl name compadd -a names
}

# Paths of a tree, below the directory that was typed.
_runup_paths_of() {
    local typed=${(Q)PREFIX} directory
    [[ $typed == */* ]] && directory=${typed%/*}
    local -a directories=( ${(0)"$(_runup_ask ls-tree -z --name-only -d $1:$directory)"} )
    local -a files=( ${(0)"$(_runup_ask ls-tree -z --name-only $1:$directory)"} )
    files=( ${files:|directories} )
    # What is listed is named from the directory that is listed.
    [[ -n $directory ]] && directories=( $directory/$^directories ) files=( $directory/$^files )
    _wanted paths expl directory compadd -S / -q -a directories
    _wanted paths expl file compadd -a files
}

_runup_tree_paths() {
    _runup_paths_of ${${(Q)line[1]}%%:*}
}

_runup_revisions() {
    local word=${(Q)PREFIX} base
    local -a names
    if [[ $word == *:* ]]; then
        compset -P 1 '*:'
        _runup_paths_of ${word%%:*}
    elif [[ $word == *@* ]]; then
        base=${word%@*}
        compset -P '*@'
        names=( ${(f)"$(_runup_jobs_of ${base#project/})"} )
        _wanted jobs expl job compadd -a names
    else
        names=( ${(f)"$(_runup_ask for-each-ref --name-only)"} )
        names+=( ${${(M)names:#project/*}#project/} )
        # The whole name of a project is for those who ask for it.
        [[ -n $word ]] || names=( ${names:#project/*} )
        _wanted revisions expl revision compadd -a names
    fi
}

# Sets `chosen`, the options of the line that say which repository is meant.
_runup_choose() {
    local word option
    for word in ${words[2,CURRENT-1]}; do
        word=${(Q)word}
        case $option$word in
        (-c|--context|--repository) option=$word; continue ;;
        (--context=*|--repository=*) option=${word%%=*}; word=${word#*=} ;;
        (-c*) [[ -n $option ]] || word=${word#-c}; option=-c ;;
        esac
        [[ -n $option ]] && chosen+=( $option ${word/#\~\//$HOME/} )
        option=
    done
}

_runup() {
    local curcontext=$curcontext state expl
    local -a line chosen
    local -A opt_args
    _runup_choose
    if [[ $service != runup ]]; then
        _runup_arguments ${service#runup-}
        return
    fi
    _arguments -C -s -S $_runup_options '1:command:_runup_commands' '*:: :->arguments'
    [[ $state == arguments ]] && _runup_arguments $words[1]
}


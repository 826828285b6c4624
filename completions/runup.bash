# bash completion for runup and its programs. Source it, or put it where bash-completion looks.
# Made by tests/it/generated.rs; the head is tests/it/generated/completions/head.bash.

# Asks the repository that the line is about; what goes wrong is nobody's business here.
_runup_ask() {
    command runup "${chosen[@]}" "$@" </dev/null 2>/dev/null
}

# Sets `words` to what stands between blanks up to the cursor. bash also splits at `:`, `=` and `@`.
_runup_split() {
    local line=${COMP_LINE:0:COMP_POINT} rest word i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:blank:]]*}"}
        [[ $i -eq 0 || $rest != "$line" ]] && words+=('')
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$rest
        words[-1]+=$word
        line=${rest#"$word"}
    done
}

# Sets REPLY to a word without its quotes.
_runup_unquote() {
    case $1 in
    \'*) REPLY=${1#\'} && REPLY=${REPLY%\'} ;;
    \"*) REPLY=${1#\"} && REPLY=${REPLY%\"} ;;
    *) REPLY=${1//\\/} ;;
    esac
}

# Sets REPLY to the kind of an option's value; empty if it takes none.
_runup_kind() {
    local option
    REPLY=
    for option in $options; do
        if [[ $option == "$1="* ]]; then REPLY=${option#*=}; fi
    done
}

# Keeps an option that says which repository is meant.
_runup_choose() {
    case $1 in
    -c | --context | --repository) chosen+=("$1" "${2/#\~\//$HOME/}") ;;
    esac
}

# Offers a word where it goes on from what was typed.
_runup_offer() {
    local word=$1
    [[ $word == "$value"* ]] || return 0
    word=${word#"$fixed"}
    case $quote in
    \') word=${word//\'/\'\\\'\'} ;;
    \") word=$(sed 's/[\\"$`]/\\&/g' <<<"$word") ;;
    *) [[ $word ]] && printf -v word %q "$word" ;;
    esac
    COMPREPLY+=("$prefix$word")
}

# The jobs of a project, or of all.
_runup_jobs() {
    _runup_ask ls-snapshots ${1:+--project "$1"} |
        sed -n 's/.*"job":\([0-9][0-9]*\),.*/\1/p' | sort -nu
}

# Offers paths of a tree, below the directory that was typed: revision, what stands before each.
_runup_paths() {
    local path=${value#"$2"} directory='' name
    local -A directories=()
    [[ $path == */* ]] && directory=${path%/*}
    # What is listed is named from the directory that is listed.
    local above=$2${directory:+$directory/}
    while IFS= read -r -d '' name; do
        directories[$name]=1
        _runup_offer "$above$name/"
    done < <(_runup_ask ls-tree -z --name-only -d "$1:$directory")
    while IFS= read -r -d '' name; do
        [[ ${directories[$name]} ]] || _runup_offer "$above$name"
    done < <(_runup_ask ls-tree -z --name-only "$1:$directory")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
}

_runup_revisions() {
    local name base
    case $value in
    *:*) _runup_paths "${value%%:*}" "${value%%:*}:" ;;
    *@*)
        base=${value%@*}
        while IFS= read -r name; do
            _runup_offer "$base@$name"
        done < <(_runup_jobs "${base#project/}")
        ;;
    *)
        while IFS= read -r name; do
            [[ $name == project/* ]] && _runup_offer "${name#project/}"
            # The whole name of a project is for those who ask for it.
            [[ $name != project/* || $value ]] && _runup_offer "$name"
        done < <(_runup_ask for-each-ref --name-only)
        ;;
    esac
}

# Offers what a value of a kind can be.
_runup_values() {
    local name names
    case $1 in
    words:*)
        IFS=, read -r -a names <<<"${1#words:}"
        for name in "${names[@]}"; do _runup_offer "$name"; done
        ;;
    revision) _runup_revisions ;;
    tree-path) _runup_paths "${revision%%:*}" '' ;;
    project) while IFS= read -r name; do _runup_offer "$name"; done < <(_runup_ask ls-projects --plain) ;;
    job) while IFS= read -r name; do _runup_offer "$name"; done < <(_runup_jobs) ;;
    reference) while IFS= read -r name; do _runup_offer "$name"; done < <(_runup_ask for-each-ref --name-only) ;;
    file | directory)
        compopt -o filenames 2>/dev/null
        while IFS= read -r name; do
            COMPREPLY+=("$prefix${name#"$fixed"}")
        done < <(compgen -"${1:0:1}" -- "$value")
        ;;
    program) while IFS= read -r name; do _runup_offer "$name"; done < <(compgen -c -- "$value") ;;
    esac
}

# Sets what all of the above read: `chosen`, `revision`, and `value`, the word that is typed; of it
# `fixed` is what bash does not replace, and `prefix` what it does though it is no part of the value.
_runup() {
    local words chosen=() options arguments command=${COMP_WORDS[0]##*/} option='' ended='' place=0
    local revision='' value fixed='' prefix='' quote='' word kind last breaks i REPLY
    COMPREPLY=()
    _runup_split
    last=$((${#words[@]} - 1))
    command=${command#runup} && command=${command#-}
    _runup_table "$command"
    for ((i = 1; i < last; i++)); do
        _runup_unquote "${words[i]}" && word=$REPLY
        if [[ $option ]]; then
            _runup_choose "$option" "$word"
            option=
        elif [[ $ended || $word != -?* ]]; then
            if [[ $command ]]; then
                ((place++)) || revision=$word
            else
                command=$word
                _runup_table "$command"
            fi
        elif [[ $word == -- ]]; then
            ended=1
        elif [[ $word == --*=* ]]; then
            _runup_choose "${word%%=*}" "${word#*=}"
        elif [[ $word == --* ]]; then
            _runup_kind "$word" && option=${REPLY:+$word}
        else
            _runup_kind "${word:0:2}"
            if [[ $REPLY && ${#word} -gt 2 ]]; then
                _runup_choose "${word:0:2}" "${word:2}"
            else
                # The last of several letters may take the next word.
                _runup_kind "-${word: -1}" && option=${REPLY:+-${word: -1}}
            fi
        fi
    done
    value=${words[last]}
    if [[ $option ]]; then
        _runup_kind "$option" && kind=$REPLY
    elif [[ ! $ended && $value == --*=* ]]; then
        _runup_kind "${value%%=*}" && kind=$REPLY
        [[ $COMP_WORDBREAKS == *=* ]] || prefix=${value%%=*}=
        value=${value#*=}
    elif [[ ! $ended && $value == -* ]]; then
        kind=words:$(for word in $options; do printf '%s,' "${word%%=*}"; done)
    else
        read -r -a words <<<"$arguments"
        ((place >= ${#words[@]})) && [[ $arguments == *'*' ]] && place=$((${#words[@]} - 1))
        kind=${words[place]%'*'}
    fi
    case $value in
    [\'\"]*) quote=${value:0:1} ;;
    *) breaks=${COMP_WORDBREAKS//[!:@=]/} ;;
    esac
    _runup_unquote "$value" && value=$REPLY
    [[ $breaks && $value == *[$breaks]* ]] && fixed=${value%"${value##*[$breaks]}"}
    _runup_values "$kind"
}

# The options that all commands have, and those of each with its arguments.
_runup_table() {
    options='-c=directory --context=directory --repository=directory --json -v --verbose -h --help -V --version'
    case $1 in
    '' | help) arguments='words:init,backup,restore,snapshots,ls,check,repair,forget,prune,hash-object,cat-object,write-tree,mktree,ls-tree,diff-tree,write-snapshot,cat-snapshot,ls-snapshots,ls-projects,rev-parse,rev-list,check-ignore,checkout,update-ref,for-each-ref,session,fsck,count-objects,pack-objects,verify-pack,prune-objects,index-pack,archive,import-archive,help' ;;
    init)
        options+=' --compression=text'
        arguments=''
        ;;
    backup)
        options+=' -m=text --message=text --tag=text --read-all --jobs=text'
        arguments='project'
        ;;
    restore)
        options+=' -j=job --job=job -l=directory --location=directory --clear-location -f --force --jobs=text'
        arguments='project'
        ;;
    snapshots)
        options+=' --project=project --host=text --tag=text --job=job'
        arguments=''
        ;;
    ls)
        options+=' -r --recursive -l --long'
        arguments='revision'
        ;;
    check)
        options+=' --read-data --jobs=text'
        arguments=''
        ;;
    repair)
        options+=' --read-data --rewrite --drop-control -n --dry-run --jobs=text'
        arguments=''
        ;;
    forget)
        options+=' --keep-last=text --keep-hourly=text --keep-daily=text --keep-weekly=text --keep-monthly=text --keep-quarterly=text --keep-yearly=text --keep-within=text --keep-tag=text --job=text -n --dry-run --undo'
        arguments='project'
        ;;
    prune)
        options+=' --max-unused=text --fence --no-wait -n --dry-run'
        arguments=''
        ;;
    hash-object)
        options+=' -w --stdin --path=file --stdin-paths -z --loose --pack --jobs=text --plain'
        arguments='file*'
        ;;
    cat-object)
        options+=' -t -s -e -p --batch --batch-check --batch-all-objects --unordered -z --plain'
        arguments='revision'
        ;;
    write-tree)
        options+=' --include=text --exclude=text --one-file-system -n --dry-run --jobs=text -z --plain'
        arguments='directory*'
        ;;
    mktree)
        options+=' -z -r --recursive --base=revision -n --dry-run --plain'
        arguments=''
        ;;
    ls-tree)
        options+=' -r -d -t -z --name-only --format=words:json,b3sum --plain'
        arguments='revision tree-path*'
        ;;
    diff-tree)
        options+=' --root -r -t --no-renames --exit-code -z --name-only --plain'
        arguments='revision revision tree-path*'
        ;;
    write-snapshot)
        options+=' --tree=text --links=text --project=project -m=text --message=text --tag=text -z --plain'
        arguments=''
        ;;
    cat-snapshot)
        options+=' --stdin -z --plain'
        arguments='revision*'
        ;;
    ls-snapshots)
        options+=' --project=project --host=text --tag=text --job=job -z --plain'
        arguments=''
        ;;
    ls-projects)
        options+=' -z --plain'
        arguments=''
        ;;
    rev-parse)
        options+=' --stdin -z --plain'
        arguments='revision*'
        ;;
    rev-list)
        options+=' --all --not=revision --exclusive --objects --disk-usage --count --missing=words:error,print --stdin -z --plain'
        arguments='revision*'
        ;;
    check-ignore)
        options+=' -n --non-matching --stdin -z --project=project --include=text --exclude=text --plain'
        arguments='file*'
        ;;
    checkout)
        options+=' --to=directory --stdin -z -f --force --devices --jobs=text --plain'
        arguments='revision tree-path*'
        ;;
    update-ref)
        options+=' -d --delete --old=text --stdin -z --plain'
        arguments='text revision'
        ;;
    for-each-ref)
        options+=' --points-at=revision -z --name-only --plain'
        arguments='text*'
        ;;
    session)
        options+=' '
        arguments='words:run program*'
        ;;
    fsck)
        options+=' --structure --jobs=text -z --plain'
        arguments=''
        ;;
    count-objects)
        options+=' -z --plain'
        arguments=''
        ;;
    pack-objects)
        options+=' --stdin -z --level=text --compression=text --no-deltas --plain'
        arguments=''
        ;;
    verify-pack)
        options+=' --stdin -z --plain'
        arguments='text*'
        ;;
    prune-objects)
        options+=' --max-unused=text --fence --no-wait -n --dry-run -z --plain'
        arguments=''
        ;;
    index-pack)
        options+=' -n --dry-run -z --plain'
        arguments='text*'
        ;;
    archive)
        options+=' --format=words:pax,gnu --sparse --no-sparse --plain'
        arguments='revision tree-path*'
        ;;
    import-archive)
        options+=' --strip-components=text --ignore-zeros -n --dry-run --jobs=text -z --plain'
        arguments='file'
        ;;
    *) arguments='' ;;
    esac
}

complete -F _runup runup \
    runup-hash-object \
    runup-cat-object \
    runup-write-tree \
    runup-mktree \
    runup-ls-tree \
    runup-diff-tree \
    runup-write-snapshot \
    runup-cat-snapshot \
    runup-ls-snapshots \
    runup-ls-projects \
    runup-rev-parse \
    runup-rev-list \
    runup-check-ignore \
    runup-checkout \
    runup-update-ref \
    runup-for-each-ref \
    runup-session \
    runup-fsck \
    runup-count-objects \
    runup-pack-objects \
    runup-verify-pack \
    runup-prune-objects \
    runup-index-pack \
    runup-archive \
    runup-import-archive

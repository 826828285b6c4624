# fish completion for runup and its programs. Put it into a directory of $fish_complete_path.
# Made by tests/it/generated.rs; the head is tests/it/generated/completions/head.fish.

# Sets, in its caller, what the line up to the cursor says: command, place (how many arguments of it
# there are), revision (the first), chosen (the options that say which repository is meant).
function __runup_parse --no-scope-shadowing
    set -l tokens (commandline -opc)
    set -l option ''
    set -l ended ''
    set -l word
    set command (string replace -r '^.*/' '' -- $tokens[1] | string replace -r '^runup-?' '')
    set place 0
    set revision ''
    set chosen
    for token in $tokens[2..]
        set word (string unescape -- $token | string replace -r '^~/' "$HOME/")
        if test -n "$option"
            __runup_is_choice $option; and set -a chosen $option $word
            set option ''
        else if test -n "$ended"; or not string match -q -- '-?*' $word
            if test -z "$command"
                set command $word
            else
                test $place -eq 0; and set revision $word
                set place (math $place + 1)
            end
        else if test "$word" = --
            set ended 1
        else if string match -q -- '--*=*' $word
            set -l parts (string split -m 1 = -- $word)
            __runup_is_choice $parts[1]; and set -a chosen $parts
        else if string match -q -- '--*' $word
            __runup_takes_value "$command" $word; and set option $word
        else if test (string length -- $word) -gt 2; and __runup_takes_value "$command" (string sub -l 2 -- $word)
            __runup_is_choice (string sub -l 2 -- $word)
            and set -a chosen (string sub -l 2 -- $word) (string sub -s 3 -- $word)
        else if __runup_takes_value "$command" -(string sub -s -1 -- $word)
            set option -(string sub -s -1 -- $word)
        end
    end
end

function __runup_is_choice
    contains -- $argv[1] -c --context --repository
end

function __runup_takes_value
    set -l valued __runup_valued_(string replace -a - _ -- $argv[1])
    __runup_is_choice $argv[2]; or contains -- $argv[2] $$valued
end

# Asks the repository that the line is about; what goes wrong is nobody's business here.
function __runup_ask --no-scope-shadowing
    command runup $chosen $argv </dev/null 2>/dev/null
end

function __runup_jobs --no-scope-shadowing
    __runup_ask ls-snapshots $argv | string replace -rf '.*"job":([0-9]+),.*' '$1' | sort -nu
end

# Prints paths of a tree, below the directory that was typed: revision, what stands before each,
# what was typed after that.
function __runup_paths --no-scope-shadowing
    set -l directory (string match -r '^(.*)/' -- $argv[3])[2]
    # What is listed is named from the directory that is listed.
    set -l above $argv[2]
    test -n "$directory"; and set above $argv[2]$directory/
    set -l directories (__runup_ask ls-tree -z --name-only -d "$argv[1]:$directory" | string split0)
    for path in (__runup_ask ls-tree -z --name-only "$argv[1]:$directory" | string split0)
        contains -- $path $directories; and set path $path/
        echo -- $above$path
    end
end

function __runup_revisions --no-scope-shadowing
    if string match -q -- '*:*' $typed
        set -l parts (string split -m 1 : -- $typed)
        __runup_paths $parts[1] $parts[1]: $parts[2]
    else if string match -q -- '*@*' $typed
        set -l base (string replace -r '@[^@]*$' '' -- $typed)
        printf '%s\n' $base@(__runup_jobs --project (string replace -r '^project/' '' -- $base))
    else
        for name in (__runup_ask for-each-ref --name-only)
            string replace -f -r '^project/' '' -- $name
            # The whole name of a project is for those who ask for it.
            if test -n "$typed"; or not string match -q -- 'project/*' $name
                echo -- $name
            end
        end
    end
end

# Prints what a value of a kind can be.
function __runup_value
    set -l command
    set -l place
    set -l revision
    set -l chosen
    __runup_parse
    set -l typed (string unescape -- (commandline -ct) | string replace -r '^--[^=]*=' '')
    switch $argv[1]
        case 'words:*'
            string split , -- (string replace words: '' -- $argv[1])
        case revision
            __runup_revisions
        case tree-path
            __runup_paths (string replace -r ':.*' '' -- $revision) '' $typed
        case project
            __runup_ask ls-projects --plain
        case job
            __runup_jobs
        case reference
            __runup_ask for-each-ref --name-only
        case file
            __fish_complete_path $typed
        case directory
            __fish_complete_directories $typed ''
        case program
            __fish_complete_command
    end
end

# Prints what the next argument of the command can be.
function __runup_argument
    set -l command
    set -l place
    set -l revision
    set -l chosen
    __runup_parse
    set -l kinds __runup_kinds_(string replace -a - _ -- $command)
    set -l kinds $$kinds
    set -l place (math $place + 1)
    if test $place -gt (count $kinds); and string match -q -- '*\*' "$kinds[-1]"
        set place (count $kinds)
    end
    test $place -le (count $kinds); and __runup_value (string trim -r -c '*' -- $kinds[$place])
end

# Whether the line has this command; with an empty one, none yet.
function __runup_is
    set -l command
    set -l place
    set -l revision
    set -l chosen
    __runup_parse
    test "$command" = "$argv[1]"
end

function __runup_command --argument-names name layer about kinds valued
    set -l variable (string replace -a - _ -- $name)
    set -g __runup_kinds_$variable (string split -n ' ' -- $kinds)
    set -g __runup_valued_$variable (string split -n ' ' -- $valued)
    complete -c runup -n '__runup_is ""' -a $name -d $about
    complete -c runup -n "__runup_is $name" -a '(__runup_argument)'
    if test $layer = plumbing
        complete -c runup-$name -f -a '(__runup_argument)'
        set -ga __runup_programs $name
    end
end

# Adds an option of a command, or of all.
function __runup_option
    if test -n "$argv[1]"
        complete -c runup -n "__runup_is $argv[1]" $argv[2..]
        contains -- $argv[1] $__runup_programs; and complete -c runup-$argv[1] $argv[2..]
        return 0
    end
    complete -c runup $argv[2..]
    for program in $__runup_programs
        complete -c runup-$program $argv[2..]
    end
end

set -g __runup_programs
complete -c runup -f


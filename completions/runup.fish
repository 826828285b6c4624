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

# The commands: name, layer, about, kinds of arguments, options with a value.

__runup_command init porcelain 'Make a repository, and a runup.yaml to start from' '' '--compression'
__runup_option init -l compression -x -a '(__runup_value text)' -d 'How new data is compressed: zstd[:1-19], deflate[:1-9] or none'

__runup_command backup porcelain 'Back up the projects of runup.yaml' 'project' '-m --message --tag --jobs'
__runup_option backup -s m -l message -x -a '(__runup_value text)' -d 'A text to find the backup by'
__runup_option backup -l tag -x -a '(__runup_value text)' -d 'A word to find the backup by; may be given several times'
__runup_option backup -l read-all -d 'Read every file, also those whose size and times have not changed'
__runup_option backup -l jobs -x -a '(__runup_value text)' -d 'How many threads read and compress'

__runup_command restore porcelain 'Restore projects to their state as of a job' 'project' '-j --job -l --location --jobs'
__runup_option restore -s j -l job -x -a '(__runup_value job)' -d 'Restore the state as of this job'
__runup_option restore -s l -l location -x -a '(__runup_value directory)' -d 'Restore below this directory, which is made if need be, not where the files came from'
__runup_option restore -l clear-location -d 'Remove what the snapshot lacks, but for what was excluded or could not be read'
__runup_option restore -s f -l force -d 'Do not ask'
__runup_option restore -l jobs -x -a '(__runup_value text)' -d 'How many threads write files'

__runup_command snapshots porcelain 'List jobs with their snapshots' '' '--project --host --tag --job'
__runup_option snapshots -l project -x -a '(__runup_value project)' -d 'Only of this project'
__runup_option snapshots -l host -x -a '(__runup_value text)' -d 'Only of this machine'
__runup_option snapshots -l tag -x -a '(__runup_value text)' -d 'Only with this tag; may be given several times, all must be there'
__runup_option snapshots -l job -x -a '(__runup_value job)' -d 'Only of this job'

__runup_command ls porcelain 'List the files of a snapshot' 'revision' ''
__runup_option ls -s r -l recursive -d 'Go down into directories'
__runup_option ls -s l -l long -d 'Show mode, owner, size and time too'

__runup_command check porcelain 'Check that the repository is sound' '' '--jobs'
__runup_option check -l read-data -d 'Read and verify every byte stored, not only the structure; with an amount, of so many packs: N% of their bytes, N/M for the Nth of M parts, or as many as can be begun in a time such as 30s, 10m or 2h'
__runup_option check -l jobs -x -a '(__runup_value text)' -d 'How many threads read packs'

__runup_command repair porcelain 'Keep what is sound of a damaged repository, and tell what is lost' '' '--jobs'
__runup_option repair -l read-data -d 'Read every byte first, to find damage that no check has found yet'
__runup_option repair -l rewrite -d 'Write snapshots that lack something anew, without it, in new jobs'
__runup_option repair -l drop-control -d 'Give up jobs that are damaged or missing, and the newest generation and table of refs where these are damaged'
__runup_option repair -s n -l dry-run -d 'Change nothing: tell what would be done'
__runup_option repair -l jobs -x -a '(__runup_value text)' -d 'How many threads read packs'

__runup_command forget porcelain 'Forget old jobs, by a policy or by number' 'project' '--keep-last --keep-hourly --keep-daily --keep-weekly --keep-monthly --keep-quarterly --keep-yearly --keep-within --keep-tag --job'
__runup_option forget -l keep-last -x -a '(__runup_value text)' -d 'Keep the newest N jobs, or all of that time'
__runup_option forget -l keep-hourly -x -a '(__runup_value text)' -d 'Keep the last job of each hour, in N hours or that time'
__runup_option forget -l keep-daily -x -a '(__runup_value text)' -d 'Keep the last job of each day'
__runup_option forget -l keep-weekly -x -a '(__runup_value text)' -d 'Keep the last job of each week'
__runup_option forget -l keep-monthly -x -a '(__runup_value text)' -d 'Keep the last job of each month'
__runup_option forget -l keep-quarterly -x -a '(__runup_value text)' -d 'Keep the last job of each quarter of a year'
__runup_option forget -l keep-yearly -x -a '(__runup_value text)' -d 'Keep the last job of each year'
__runup_option forget -l keep-within -x -a '(__runup_value text)' -d 'Keep all jobs of this time before the newest'
__runup_option forget -l keep-tag -x -a '(__runup_value text)' -d 'Keep what has this tag; may be given several times'
__runup_option forget -l job -x -a '(__runup_value text)' -d 'Forget this job, whatever a policy says; may be given several times'
__runup_option forget -s n -l dry-run -d 'Only tell what would be forgotten'
__runup_option forget -l undo -d 'Remember what was forgotten: all of it, or the jobs that are named'

__runup_command prune porcelain 'Delete what forgotten jobs alone needed' '' '--max-unused'
__runup_option prune -l max-unused -x -a '(__runup_value text)' -d 'Room that may go on being unneeded in packs that are needed in part: percent of all packs, such as 5%, bytes, such as 500M, or unlimited'
__runup_option prune -l fence -d 'Do not wait for programs that are at work on the repository: end their sessions'
__runup_option prune -l no-wait -d 'Do not wait for programs that are at work: delete nothing while there are any'
__runup_option prune -s n -l dry-run -d 'Delete nothing: only tell what would be done'

__runup_command hash-object plumbing 'Compute the ids of files, and store them' 'file*' '--path --jobs'
__runup_option hash-object -s w -d 'Store the objects'
__runup_option hash-object -l stdin -d 'Hash what comes on standard input'
__runup_option hash-object -l path -x -a '(__runup_value file)' -d 'The path that the record of standard input gets'
__runup_option hash-object -l stdin-paths -d 'Read paths, or records with a path, from standard input and answer each with a record'
__runup_option hash-object -s z -d 'Items on standard input, and records, end with NUL'
__runup_option hash-object -l loose -d 'Store as loose objects, one file each'
__runup_option hash-object -l pack -d 'Store in packs'
__runup_option hash-object -l jobs -x -a '(__runup_value text)' -d 'How many threads read and compress'
__runup_option hash-object -l plain -d 'Print bare ids, of what has one'

__runup_command cat-object plumbing 'Print objects, or what is known of them' 'revision' ''
__runup_option cat-object -s t -d 'Print its kind'
__runup_option cat-object -s s -d 'Print its size in bytes'
__runup_option cat-object -s e -d 'Say only whether it is there: exit code 0 or 1'
__runup_option cat-object -s p -d 'Print its bytes'
__runup_option cat-object -l batch -d 'Read objects from standard input; answer each with a record, its bytes and a newline'
__runup_option cat-object -l batch-check -d 'Read objects from standard input; answer each with a record'
__runup_option cat-object -l batch-all-objects -d 'Answer with every stored object once, in the order of their ids; with --batch, their bytes too'
__runup_option cat-object -l unordered -d 'With --batch-all-objects, go pack by pack, in the order in which objects lie there'
__runup_option cat-object -s z -d 'Objects on standard input, and records, end with NUL'
__runup_option cat-object -l plain -d 'With -t and -s, print the bare word or number'

__runup_command write-tree plumbing 'Store a directory as a tree' 'directory*' '--include --exclude --jobs'
__runup_option write-tree -l include -x -a '(__runup_value text)' -d 'Take only this path or glob of the directory; an absolute one from anywhere'
__runup_option write-tree -l exclude -x -a '(__runup_value text)' -d 'Leave this path or glob out'
__runup_option write-tree -l one-file-system -d 'Leave out directories on other file systems'
__runup_option write-tree -s n -l dry-run -d 'Store nothing: only tell the id'
__runup_option write-tree -l jobs -x -a '(__runup_value text)' -d 'How many threads read and compress'
__runup_option write-tree -s z -d 'End records with NUL'
__runup_option write-tree -l plain -d 'Print bare ids'

__runup_command mktree plumbing 'Make a tree of records of its entries' '' '--base'
__runup_option mktree -s z -d 'Items on standard input, and the record, end with NUL'
__runup_option mktree -s r -l recursive -d 'Take paths of any depth; the directories on the way are made'
__runup_option mktree -l base -x -a '(__runup_value revision)' -d 'Begin from this snapshot or tree: only what is named on standard input changes'
__runup_option mktree -s n -l dry-run -d 'Store nothing, and look for nothing that entries refer to: only tell the id'
__runup_option mktree -l plain -d 'Print the bare id'

__runup_command ls-tree plumbing 'List the entries of a snapshot or tree' 'revision tree-path*' '--format'
__runup_option ls-tree -s r -d 'Go down into directories'
__runup_option ls-tree -s d -d 'Only directories'
__runup_option ls-tree -s t -d 'With -r, directories too'
__runup_option ls-tree -s z -d 'End records with NUL'
__runup_option ls-tree -l name-only -d 'Print paths only'
__runup_option ls-tree -l format -x -a '(__runup_value words:json,b3sum)' -d 'How to print entries'
__runup_option ls-tree -l plain -d 'Print bare ids, of entries that have one'

__runup_command diff-tree plumbing 'List what differs between two snapshots or trees' 'revision revision tree-path*' ''
__runup_option diff-tree -l root -d 'Compare the empty tree with the one revision given'
__runup_option diff-tree -s r -d 'Go down into directories'
__runup_option diff-tree -s t -d 'With -r, directories too'
__runup_option diff-tree -l no-renames -d 'Do not look for content that moved'
__runup_option diff-tree -l exit-code -d 'End with 1 if there are differences'
__runup_option diff-tree -s z -d 'End records, and with --plain fields, with NUL'
__runup_option diff-tree -l name-only -d 'Print paths only'
__runup_option diff-tree -l plain -d 'Print a letter (A, D, M, R or T), a tab and the path; of a rename, the old path and the new'

__runup_command write-snapshot plumbing 'Publish a tree as a snapshot, in a job of its own' '' '--tree --links --project -m --message --tag'
__runup_option write-snapshot -l tree -x -a '(__runup_value text)' -d 'The tree; without this, the record that write-tree prints is read from standard input'
__runup_option write-snapshot -l links -x -a '(__runup_value text)' -d 'With --tree, the groups of paths that share an inode'
__runup_option write-snapshot -l project -x -a '(__runup_value project)' -d 'The project that the snapshot is of'
__runup_option write-snapshot -s m -l message -x -a '(__runup_value text)' -d 'A text to find the snapshot by'
__runup_option write-snapshot -l tag -x -a '(__runup_value text)' -d 'A word to find the snapshot by; may be given several times'
__runup_option write-snapshot -s z -d 'The record on standard input, and the one printed, end with NUL'
__runup_option write-snapshot -l plain -d 'Print the bare id of the snapshot'

__runup_command cat-snapshot plumbing 'Print snapshots' 'revision*' ''
__runup_option cat-snapshot -l stdin -d 'Read more revisions, or records with an id, from standard input'
__runup_option cat-snapshot -s z -d 'Items on standard input, and records, end with NUL'
__runup_option cat-snapshot -l plain -d 'Print the snapshots as they are stored, with no newline after them'

__runup_command ls-snapshots plumbing 'List snapshots, oldest job first' '' '--project --host --tag --job'
__runup_option ls-snapshots -l project -x -a '(__runup_value project)' -d 'Only of this project'
__runup_option ls-snapshots -l host -x -a '(__runup_value text)' -d 'Only of this machine'
__runup_option ls-snapshots -l tag -x -a '(__runup_value text)' -d 'Only with this tag; may be given several times, all must be there'
__runup_option ls-snapshots -l job -x -a '(__runup_value job)' -d 'Only of this job'
__runup_option ls-snapshots -s z -d 'End records with NUL'
__runup_option ls-snapshots -l plain -d 'Print bare ids'

__runup_command ls-projects plumbing 'List the projects of runup.yaml and of the repository' '' ''
__runup_option ls-projects -s z -d 'End records with NUL'
__runup_option ls-projects -l plain -d 'Print bare names'

__runup_command rev-parse plumbing 'Find what revisions mean' 'revision*' ''
__runup_option rev-parse -l stdin -d 'Read more revisions, or records with an id, from standard input and answer each'
__runup_option rev-parse -s z -d 'Items on standard input, and records, end with NUL'
__runup_option rev-parse -l plain -d 'Print bare ids'

__runup_command rev-list plumbing 'List snapshots, and the objects that they reach' 'revision*' '--not --missing'
__runup_option rev-list -l all -d 'Every live snapshot'
__runup_option rev-list -l not -x -a '(__runup_value revision)' -d 'Leave out what these reach'
__runup_option rev-list -l exclusive -d 'Leave out what any other live snapshot reaches, or a tag or pin'
__runup_option rev-list -l objects -d 'List all that the revisions reach, not only themselves'
__runup_option rev-list -l disk-usage -d 'Print only how much the objects take, by kind'
__runup_option rev-list -l count -d 'Print only how many there are'
__runup_option rev-list -l missing -x -a '(__runup_value words:error,print)' -d 'What to do about an object that is missing'
__runup_option rev-list -l stdin -d 'Read more revisions from standard input'
__runup_option rev-list -s z -d 'Revisions on standard input, and records, end with NUL'
__runup_option rev-list -l plain -d 'Print bare ids, with ? before those that are missing; with --disk-usage, bytes stored'

__runup_command check-ignore plumbing 'Tell which paths a backup leaves out, and why' 'file*' '--project --include --exclude'
__runup_option check-ignore -s n -l non-matching -d 'Print paths that are not left out too, as -v does'
__runup_option check-ignore -l stdin -d 'Read paths from standard input, one a line, after those given'
__runup_option check-ignore -s z -d 'Paths on standard input, and records, end with NUL'
__runup_option check-ignore -l project -x -a '(__runup_value project)' -d 'The project to ask'
__runup_option check-ignore -l include -x -a '(__runup_value text)' -d 'Instead of runup.yaml: take this path or glob of the context'
__runup_option check-ignore -l exclude -x -a '(__runup_value text)' -d 'Instead of runup.yaml: leave this path or glob out'
__runup_option check-ignore -l plain -d 'Print only the paths that are left out'

__runup_command checkout plumbing 'Write the files of a snapshot or tree to a directory' 'revision tree-path*' '--to --jobs'
__runup_option checkout -l to -x -a '(__runup_value directory)' -d 'The directory to write to, which is made if need be'
__runup_option checkout -l stdin -d 'Read more paths, or records with a path, from standard input'
__runup_option checkout -s z -d 'Items on standard input, and the record, end with NUL'
__runup_option checkout -s f -l force -d 'Replace files that differ; without this they are left and told'
__runup_option checkout -l devices -d 'Make devices too, as root'
__runup_option checkout -l jobs -x -a '(__runup_value text)' -d 'How many threads write files'
__runup_option checkout -l plain -d 'Print nothing'

__runup_command update-ref plumbing 'Change tags and pins, all at once or not at all' 'text revision' '--old'
__runup_option update-ref -s d -l delete -d 'Delete the ref, which must be there'
__runup_option update-ref -l old -x -a '(__runup_value text)' -d 'Only if the ref leads to this object now, or is not there'
__runup_option update-ref -l stdin -d 'Read a transaction from standard input: records with action, name, id and old, or create NAME REV, update NAME REV [OLD], delete NAME [OLD], verify NAME OLD'
__runup_option update-ref -s z -d 'Items on standard input, and records, end with NUL'
__runup_option update-ref -l plain -d 'Print bare ids of what refs lead to now'

__runup_command for-each-ref plumbing 'List tags, pins and the latest snapshot of each project' 'text*' '--points-at'
__runup_option for-each-ref -l points-at -x -a '(__runup_value revision)' -d 'Only what leads to this object'
__runup_option for-each-ref -s z -d 'End records with NUL'
__runup_option for-each-ref -l name-only -d 'Print names only'
__runup_option for-each-ref -l plain -d 'Print bare ids'

__runup_command session plumbing 'Run a pipeline in one session, which a prune waits for or ends' 'words:run program*' ''

__runup_command fsck plumbing 'Read and verify everything stored' '' '--jobs'
__runup_option fsck -l structure -d 'Check the structure only: no file data is read'
__runup_option fsck -l jobs -x -a '(__runup_value text)' -d 'How many threads read packs'
__runup_option fsck -s z -d 'End records with NUL'
__runup_option fsck -l plain -d 'Print nothing: tell by the exit code'

__runup_command count-objects plumbing 'Count what is stored' '' ''
__runup_option count-objects -s z -d 'End the record with NUL'
__runup_option count-objects -l plain -d 'Print each figure on a line of its own'

__runup_command pack-objects plumbing 'Store loose objects, or named ones, in new packs' '' '--level --compression'
__runup_option pack-objects -l stdin -d 'Pack the objects that standard input names, in that order, again where they are packed already'
__runup_option pack-objects -s z -d 'Objects on standard input, and records, end with NUL'
__runup_option pack-objects -l level -x -a '(__runup_value text)' -d 'Compress with zstd at this level, 1 to 19'
__runup_option pack-objects -l compression -x -a '(__runup_value text)' -d 'Compress so: zstd, zstd:N, deflate, deflate:N or none'
__runup_option pack-objects -l no-deltas -d 'Store every object by itself, not as a difference from another one'
__runup_option pack-objects -l plain -d 'Print the bare names of the new packs'

__runup_command verify-pack plumbing 'Verify every byte of single packs' 'text*' ''
__runup_option verify-pack -l stdin -d 'Read packs from standard input'
__runup_option verify-pack -s z -d 'Packs on standard input, and records, end with NUL'
__runup_option verify-pack -l plain -d 'Print a line for each pack: its id, and whether it is sound'

__runup_command prune-objects plumbing 'Delete what neither jobs nor refs lead to' '' '--max-unused'
__runup_option prune-objects -l max-unused -x -a '(__runup_value text)' -d 'Room that may go on being unneeded in packs that are needed in part: percent of all packs, such as 5%, bytes, such as 500M, or unlimited'
__runup_option prune-objects -l fence -d 'Do not wait for programs that are at work on the repository: end their sessions'
__runup_option prune-objects -l no-wait -d 'Do not wait for programs that are at work: delete nothing while there are any'
__runup_option prune-objects -s n -l dry-run -d 'Delete nothing: only tell what would be done'
__runup_option prune-objects -s z -d 'End records with NUL'
__runup_option prune-objects -l plain -d 'Print nothing: tell by the exit code'

__runup_command index-pack plumbing 'Make a lost index again from the packs' 'text*' ''
__runup_option index-pack -s n -l dry-run -d 'Write nothing: tell what would be done'
__runup_option index-pack -s z -d 'End records with NUL'
__runup_option index-pack -l plain -d 'Print nothing: tell by the exit code'

__runup_command archive plumbing 'Write a snapshot or tree as a tar archive to standard output' 'revision tree-path*' '--format'
__runup_option archive -l format -x -a '(__runup_value words:pax,gnu)' -d 'The dialect to write'
__runup_option archive -l sparse -d 'Leave holes of 64 KiB and more out of files over 2 MiB'
__runup_option archive -l no-sparse -d 'Write holes as zeros, for programs that know no sparse members'
__runup_option archive -l plain -d 'Tell problems as text rather than as records'

__runup_command import-archive plumbing 'Store a tar archive as a tree' 'file' '--strip-components --jobs'
__runup_option import-archive -l strip-components -x -a '(__runup_value text)' -d 'Take so many leading components off each path; leave out what has no more'
__runup_option import-archive -l ignore-zeros -d 'Read on after the end of an archive: several may follow one another'
__runup_option import-archive -s n -l dry-run -d 'Store nothing: only tell the id'
__runup_option import-archive -l jobs -x -a '(__runup_value text)' -d 'How many threads compress'
__runup_option import-archive -s z -d 'End the record with NUL'
__runup_option import-archive -l plain -d 'Print the bare id'

__runup_command help porcelain 'Print help of a command' 'words:init,backup,restore,snapshots,ls,check,repair,forget,prune,hash-object,cat-object,write-tree,mktree,ls-tree,diff-tree,write-snapshot,cat-snapshot,ls-snapshots,ls-projects,rev-parse,rev-list,check-ignore,checkout,update-ref,for-each-ref,session,fsck,count-objects,pack-objects,verify-pack,prune-objects,index-pack,archive,import-archive,help' ''

# The options that all commands have.
__runup_option '' -s c -l context -x -a '(__runup_value directory)' -d 'The directory with runup.yaml, which relative includes start from'
__runup_option '' -l repository -x -a '(__runup_value directory)' -d 'The repository'
__runup_option '' -l json -d 'Print records instead of text, errors included'
__runup_option '' -s v -l verbose -d 'Tell more: each path with what became of it'
__runup_option '' -s h -l help -d 'Print help'
__runup_option '' -s V -l version -d 'Print version'

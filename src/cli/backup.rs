//! `runup backup`: the projects of runup.yaml, as one job.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{self, Globals, date, host, identity_of, now, user};
use super::exit::Exit;
use super::failure::Failure;
use super::messages::Messages;
use super::output::{Output, count, counted, size};
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::ops::backup::{BackupOptions, ProjectReport, ProjectSource, backup};
use crate::ops::write_snapshot::SnapshotLabels;
use crate::source::selection::Selection;

/// Arguments of `runup backup`.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The project to back up [default: all]
    #[arg(value_name = "PROJECT")]
    project: Option<String>,
    /// A text to find the backup by
    #[arg(short = 'm', long = "message", value_name = "TEXT")]
    description: Option<String>,
    /// A word to find the backup by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Read every file, also those whose size and times have not changed
    #[arg(long)]
    read_all: bool,
    /// How many threads read and compress [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// What the backup of one project came to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "backup-summary")]
struct Record<'a> {
    /// `summary`.
    message_type: &'static str,
    /// The job; null where nothing was published.
    job: Option<u64>,
    /// The project.
    project: &'a str,
    /// Its snapshot.
    snapshot_id: Id,
    /// The snapshot of the project before it.
    parent: Option<Id>,
    /// The tree of the snapshot.
    tree: Id,
    /// Files that the parent does not have.
    files_new: u64,
    /// Files that differ from the parent.
    files_changed: u64,
    /// Files that are as in the parent.
    files_unmodified: u64,
    /// Directories that the parent does not have.
    dirs_new: u64,
    /// Directories that differ from the parent.
    dirs_changed: u64,
    /// Directories that are as in the parent.
    dirs_unmodified: u64,
    /// Sources that could not be read, or changed while they were.
    errors: u64,
    /// Files in all.
    total_files_processed: u64,
    /// Bytes of all files.
    total_bytes_processed: u64,
    /// Files and directories that are as they were, and of which something was lost from the repository
    /// that is stored again now.
    healed: u64,
    /// Bytes of files that were read.
    bytes_read: u64,
    /// Bytes of new objects, before compression.
    data_added: u64,
    /// Bytes that they take in packs.
    data_added_packed: u64,
    /// New objects.
    objects_added: u64,
    /// New packs.
    packs_added: u64,
    /// When the backup began, RFC 3339.
    backup_start: &'a str,
    /// Seconds that it took.
    total_duration: f64,
}

impl Command for Backup {
    const NAME: &'static str = "backup";
    const ABOUT: &'static str = "Back up the projects of runup.yaml";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];
    const ENDS_IN_ORDER: bool = true;

    const DESCRIPTION: &'static str = "
        Backs up every project of `runup.yaml`, or the one that is named, as one job. The job is
        published once all of it is stored: with the exit codes 0 and 3 it is there, and still is
        after a power cut.

        Only what is new is stored. A file whose inode, size and times are as the last backup saw
        them is not even read, unless `--read-all` is given. What was seen is kept in the cache
        directory; where that was lost, files are read again, and still nothing is stored twice.

        Where the repository may have lost something since the last backup, because a pack has gone,
        runup-check(1) has found damage, or runup-repair(1) has set something aside, all that
        unchanged files need is looked for once, and what is missing is read and stored again: then
        earlier jobs have it again, too.

        What cannot be read is told, recorded in the snapshot and left out; all else is backed up,
        and the exit code is 3. A project of which no include exists gets no snapshot, and if that
        leaves none at all, there is no job and the exit code is 1.

        For each project the job and the snapshot are printed, and figures:

        - `files` compares with the previous snapshot of the project.
        - `healed` is how many unchanged files and directories lacked something that was lost.
        - `in all` is what a full restore writes.
        - `read` is what had to be read, `stored` what the packs of the repository grew by.

        The first interrupt ends the backup in good order, the second at once. In both cases there
        is no job, and the next backup uses again what was stored.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "Back up all projects, with a text and a word to find them by",
            "runup backup -m 'before the release' --tag release",
        ),
        Example::new("One project, with every file read", "runup backup --read-all app"),
        Example::new("The number of the job, for a script", "runup backup --json app | jq .job"),
    ];
    const SEE_ALSO: &'static [&'static str] = &[
        "runup-repair(1)",
        "runup-restore(1)",
        "runup-snapshots(1)",
        "runup-write-snapshot(1)",
        "runup-write-tree(1)",
        "runup.yaml(5)",
    ];
    const EXITS: &'static [Exit] = Exit::CARRYING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let started = Instant::now();
        environment::raise_open_files();
        let context = globals.absolute_context()?;
        let found = globals.project_file()?;
        let path = globals.repository_path(Some(&found.file));
        let repository = environment::open(&path)?;
        let time = date()?;
        let mut projects = Vec::new();
        for (name, project) in &found.file.projects {
            if self.project.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let selection = found.selection(name, project, &context)?;
            warn_idle_excludes(&selection, name, output.is_json());
            let bytes =
                |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect();
            let stat_index = environment::stat_index_path(&repository, name, &context);
            projects.push(ProjectSource {
                labels: SnapshotLabels {
                    project: name.clone(),
                    time: time.clone(),
                    host: host(),
                    user: user(),
                    description: self.description.clone(),
                    tags: self.tags.clone(),
                },
                context: context.clone(),
                selection,
                includes: bytes(&project.include),
                excludes: bytes(&project.exclude),
                one_file_system: project.one_file_system,
                stat_index: stat_index.filter(|_| !self.read_all),
            });
        }
        if projects.is_empty() {
            return Err(unknown_project(&found, self.project.as_deref().unwrap_or_default()));
        }
        let jobs = self.jobs.or(found.file.jobs);
        let options = BackupOptions {
            workers: jobs.map_or_else(environment::threads, usize::from),
            repository: identity_of(&path),
            now: now(),
            verified: environment::verified_path(&repository),
        };
        let messages = Messages::new(output.is_json(), globals.verbose);
        let report = backup(&repository, &projects, &options, &messages);
        messages.finish();
        let report = report?;
        let seconds = started.elapsed().as_secs_f64();
        for project in &report.projects {
            print(output, report.job, project, &time, seconds)?;
        }
        Ok(match (report.job, report.is_complete) {
            (None, _) => Exit::Failed,
            (Some(_), false) => Exit::Incomplete,
            (Some(_), true) => Exit::Done,
        })
    }
}

pub(super) fn unknown_project(found: &environment::FoundProjectFile, wanted: &str) -> Failure {
    let names: Vec<&str> = found.file.projects.iter().map(|(name, _)| name.as_str()).collect();
    let file = found.path.display();
    let message = format!("{file}: no project {wanted:?}: there is {}", names.join(", "));
    Failure::new(Exit::Usage, "unknown_project", message)
}

fn warn_idle_excludes(selection: &Selection, project: &str, is_json: bool) {
    use crate::base::monitor::Monitor;
    let messages = Messages::new(is_json, false);
    for pattern in selection.idle_excludes() {
        let text = String::from_utf8_lossy(pattern.text()).into_owned();
        messages.note(format_args!(
            "project {project}: exclude {text:?} is an absolute path and matches nothing that is \
             included; leave out the leading slash for a path in the context"
        ));
    }
}

fn print(
    output: &mut Output,
    job: Option<u64>,
    report: &ProjectReport,
    time: &str,
    seconds: f64,
) -> std::io::Result<()> {
    let tree = &report.tree;
    let counts = tree.record.counts;
    if output.is_json() {
        return output.record(
            &Record {
                message_type: "summary",
                job,
                project: &report.project,
                snapshot_id: report.snapshot,
                parent: report.parent,
                tree: tree.record.tree,
                files_new: tree.files_new,
                files_changed: tree.files_changed,
                files_unmodified: tree.files_unmodified,
                dirs_new: tree.dirs_new,
                dirs_changed: tree.dirs_changed,
                dirs_unmodified: tree.dirs_unmodified,
                errors: tree.errors,
                total_files_processed: tree.files_new + tree.files_changed + tree.files_unmodified,
                total_bytes_processed: counts.size_bytes,
                healed: tree.healed,
                bytes_read: tree.bytes_read,
                data_added: tree.inserted.object_bytes,
                data_added_packed: tree.inserted.packed_bytes,
                objects_added: tree.inserted.objects,
                packs_added: tree.inserted.packs,
                backup_start: time,
                total_duration: seconds,
            },
            false,
        );
    }
    let job = job.map_or_else(String::new, |job| format!("job {job}, "));
    let files = counts.files + counts.symlinks + counts.others;
    let mut lines = vec![
        format!("{}: {job}snapshot {}", report.project, report.snapshot.short()),
        format!(
            "  files    {} new, {} changed, {} unchanged",
            count(tree.files_new),
            count(tree.files_changed),
            count(tree.files_unmodified)
        ),
        format!(
            "  in all   {}, {}, {}",
            counted(files, "file", "files"),
            counted(counts.directories, "directory", "directories"),
            size(counts.size_bytes)
        ),
        format!(
            "  read     {}, stored {} ({} before compression)",
            size(tree.bytes_read),
            size(tree.inserted.packed_bytes),
            size(tree.inserted.object_bytes)
        ),
    ];
    if tree.healed > 0 {
        let healed = count(tree.healed);
        lines.push(format!("  healed   {healed}: what they need was lost, and is stored again"));
    }
    if tree.errors > 0 {
        lines.push(format!("  problems {}: not all could be read, see above", count(tree.errors)));
    }
    lines.push(format!("  time     {seconds:.1} s"));
    lines.iter().try_for_each(|line| output.line(line.as_bytes()))
}

//! The stable words by which programs tell what went wrong, the one list of them.
//!
//! Invariant: a `code` in any record is one of these; a word that is here never gets another meaning.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// The schema of every field called `code`.
#[derive(Debug)]
pub(super) struct Code;

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = CODES.iter().map(|(word, _)| *word).collect();
        json_schema!({ "description": "A stable word for programs.", "enum": words })
    }
}

/// Every code and what it means, sorted.
pub const CODES: &[(&str, &str)] = &[
    ("absolute_include", "A snapshot would be restored to a place that runup.yaml does not name."),
    ("acl", "An access control list in an archive cannot be read."),
    ("ambiguous_revision", "A revision means more than one thing."),
    ("bad_entry", "A tree cannot hold what a record says."),
    ("bad_location", "Files cannot be written there."),
    ("bad_path", "A path in an archive cannot stand in a tree."),
    ("bad_pattern", "A pattern of an include or exclude is not valid."),
    ("bad_ref", "A ref cannot have that name, or lead there."),
    ("bad_revision", "A revision does not have the form of one."),
    ("bad_snapshot", "What was to be published is no snapshot that could be restored."),
    ("broken_pipe", "Whoever reads standard output has had enough; this is never told."),
    ("busy", "Another program does what only one may do at a time: try again later."),
    ("changed", "A file changed while it was read, and was kept as it was read."),
    ("command_not_found", "There is no such command to run."),
    ("command_not_run", "The command cannot be run."),
    ("compressor", "What was compressed did not decompress to the same bytes."),
    ("condemned_pack", "A pack that a prune is about to delete."),
    ("condemned_packs", "Packs that a prune is about to delete."),
    ("damaged", "Stored data that was needed is damaged or missing."),
    ("damaged_archive", "An archive is damaged."),
    ("damaged_config", "The configuration of the repository is damaged."),
    ("damaged_control", "A control file is damaged."),
    ("damaged_directory", "A directory of the repository is something else."),
    ("damaged_file", "A file of the repository is damaged."),
    ("damaged_footer", "The footer of a pack is damaged."),
    ("damaged_frame", "A frame of a pack is damaged."),
    ("damaged_header", "The header of a pack is damaged."),
    ("damaged_index", "An index segment is damaged."),
    ("damaged_job", "The file of a job is damaged."),
    ("damaged_loose", "A loose object is damaged."),
    ("damaged_object", "The stored bytes of an object are not its own, or of another kind."),
    ("damaged_pack", "A pack does not hash to its name."),
    ("damaged_refs", "The table of tags and pins is damaged."),
    (
        "damaged_reserve",
        "The room that is kept for a prune of a full disk is not there, or not as it was made.",
    ),
    ("damaged_trailer", "The trailer of a pack is damaged."),
    ("empty_policy", "A retention policy keeps nothing."),
    ("failed_record", "A record on standard input tells of a failure."),
    ("fenced", "A prune could not wait, and ended the session: run it again."),
    ("forgotten_job", "The job was forgotten."),
    ("future_job", "A job is dated in the future, where a retention policy has to trust its date."),
    ("hostile", "Stored or archived content that could do harm."),
    ("incomplete_object", "What an object refers to is missing, or about to be pruned."),
    ("incomplete_tree", "What a tree refers to is missing, or about to be pruned."),
    ("interrupted", "The user interrupted it."),
    ("io", "The system refused."),
    ("lost_file", "A damaged file that was set aside."),
    ("lost_jobs", "All jobs are gone, though there were some."),
    ("missing_base", "What copies of objects are decoded from is not there; others are."),
    ("missing_directory", "A directory of the repository is not there."),
    ("missing_file", "A file of the repository is not there."),
    ("missing_generation", "The newest generation is gone."),
    ("missing_include", "An include is not there."),
    ("missing_index", "No index covers a pack."),
    ("missing_job", "The file of a job is gone, though no prune has removed it."),
    ("missing_link_target", "What a hard link in an archive links to has not come."),
    ("missing_lock", "A lock file of the repository is not there."),
    ("missing_object", "An object is not stored."),
    ("missing_pack", "A pack is not there."),
    ("missing_refs", "The newest table of tags and pins is gone."),
    ("no_context", "The context is no directory that can be opened."),
    ("no_jobs", "There are packs, and no jobs that could need them."),
    ("no_project_file", "There is no runup.yaml."),
    ("no_repository", "There is no repository."),
    ("no_session", "A temporary file whose session has ended."),
    ("no_space", "No space is left."),
    ("no_such_job", "There is no such job, or the project is younger."),
    ("no_such_path", "Nothing stands at a path of a snapshot or tree."),
    ("no_terminal", "There is nobody to ask."),
    ("not_a_directory", "A directory is something else."),
    ("not_an_archive", "The input is no archive that is known."),
    ("not_archived", "An archive cannot hold it."),
    ("not_empty", "A repository would be made where something else is."),
    ("not_kept", "The system did not keep a part of the metadata."),
    ("not_remembered", "What was verified when could not be kept in the cache directory."),
    ("not_removed", "What the snapshot lacks could not be removed."),
    ("not_restored", "A file could not be written."),
    ("nothing_to_back_up", "None of what a project includes could be found."),
    ("open_session", "A program that is at work."),
    ("over_limit", "An archive goes beyond what a tree can hold."),
    ("pinned_job", "A pin leads to the snapshot that was to be forgotten."),
    ("project_file", "The runup.yaml is not valid."),
    ("pruned_job", "A forgotten job cannot come back, as a prune has seen it."),
    ("pseudo_file_system", "A file system that holds no files."),
    ("python_repository", "The Python RunUp made the repository."),
    ("ref_changed", "A ref is not what it was said to be."),
    ("repository_exists", "There is a repository already."),
    ("session_ended", "The session that a pipeline runs in has ended: run it again."),
    ("several_projects", "A project must be named, as there are several."),
    ("socket", "An archive cannot hold a socket."),
    ("stopped", "A part of the program stopped before its time."),
    ("stray_file", "A file that does not belong to the repository."),
    ("temporary_file", "A file that was being written when its writer died."),
    ("too_deep", "A directory lies deeper than a tree can hold."),
    ("too_long", "An object is longer than it may be."),
    ("too_many_condemned", "More is to be deleted than one generation can name."),
    ("too_many_refs", "There are more tags and pins than fit."),
    ("truncated_archive", "An archive ends too early."),
    ("unindexed_pack", "A pack that no index covers."),
    ("unknown_project", "There is no such project."),
    ("unknown_revision", "Nothing has this name or id."),
    ("unknown_type", "A member of an archive is of a type that is not known."),
    ("unnamed_snapshots", "Snapshots that no job names."),
    ("unreadable", "A source cannot be read."),
    ("unreadable_file", "A file of the repository cannot be read."),
    ("unsupported", "The format is not supported by this version."),
    ("usage", "The arguments, or what came on standard input, are wrong."),
    ("wrong_kind", "An object is of another kind than its entry says."),
    ("xattrs", "The archive's format cannot hold extended attributes."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_words() {
        assert!(CODES.is_sorted_by(|one, other| one.0 < other.0));
        let is_letter = |byte: u8| byte == b'_' || byte.is_ascii_lowercase();
        assert!(CODES.iter().all(|(word, _)| word.bytes().all(is_letter)));
    }
}

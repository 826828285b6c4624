//! `runup.yaml`, the project file: which paths belong to which project, and the settings beside.
//!
//! Decoding is pure and strict: whatever is not understood is refused with its line and column, so
//! a mistyped `exclude` never passes as no exclusion. Never panics, whatever the bytes.
//!
//! Format: runup.yaml(5).

use super::compress::Compression;
pub use super::project_file_error::{Problem, ProjectFileError};
use super::project_file_error::{error, unexpected, unknown_key, unquoted};
use super::snapshot::is_project_name;
use super::yaml;
use super::yaml_node::{Key, KeyPath, Node, Position, ScalarKind, Value, describe_scalar};
use crate::base::retention::{Amount, Every, Interval, Policy};

/// Longest project file, in bytes.
pub const PROJECT_FILE_BYTES_MAX: usize = yaml::BYTES_MAX;

/// Most threads that `jobs` may ask for.
pub const JOBS_MAX: u16 = 256;

const TOP_KEYS: &[&str] = &["version", "project", "storage", "compression", "jobs"];
const PROJECT_KEYS: &[&str] = &["include", "exclude", "one-file-system", "keep"];
const KEEP_KEYS: &[&str] =
    &["last", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "within", "tags"];

const EXPECTED_PATH: &str = "a path";
const EXPECTED_LIST: &str = "a list: write each path on a line of its own, as `- path`";
const EXPECTED_COMPRESSION: &str =
    "zstd, zstd:1 to zstd:19, deflate, deflate:1 to deflate:9, or none";
const EXPECTED_AMOUNT: &str = "a count such as 7, or a time such as 36h, 30d, 8w, 6m or 2y6m";
const EXPECTED_INTERVAL: &str = "a time such as 36h, 30d, 8w, 6m or 2y6m";

/// What a `runup.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectFile {
    /// Path of the repository, relative to the file's directory; not empty, without NUL.
    pub storage: Option<String>,
    /// Compression of the repository that `init` creates.
    pub compression: Option<Compression>,
    /// Number of threads, 1 to [`JOBS_MAX`].
    pub jobs: Option<u16>,
    /// The projects by name, at least one, in the order of the file.
    pub projects: Vec<(String, Project)>,
}

/// One project of a [`ProjectFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Project {
    /// Paths and globs to back up, at least one, as written.
    pub include: Vec<String>,
    /// Paths and globs to leave out, as written.
    pub exclude: Vec<String>,
    /// Where each of `include` stands in the file.
    pub include_places: Vec<Position>,
    /// Where each of `exclude` stands in the file.
    pub exclude_places: Vec<Position>,
    /// Whether to stay on the file systems of the included paths.
    pub one_file_system: bool,
    /// Which jobs are kept, at least one rule; `None` if it does not say.
    pub keep: Option<Policy>,
}

impl ProjectFile {
    /// The commented file that `runup init` writes where there is none.
    ///
    /// Optional keys stand in it as `#key:`, without a blank; comments for readers as `# text`.
    pub const TEMPLATE: &'static str = "\
# RunUp project file, described in runup.yaml(5).
# Paths are relative to the directory of this file.
version: '1'

# Where the backups are kept.
#storage: .runup

# How a new repository compresses: zstd (zstd:1 to zstd:19), deflate
# (deflate:1 to deflate:9) or none.
#compression: zstd:3

# Number of threads, 1 to 256.
#jobs: 4

# Each project is backed up and restored by its name.
project:
  default:
    # What to back up. A dot is everything beside this file.
    include:
      - .
    # What to leave out: paths, or globs as in .gitignore. Quote a glob.
    #exclude:
    #  - target
    #  - '*.tmp'
    # Leave out other file systems mounted below.
    #one-file-system: true
    # What `runup forget` keeps: here the last job of each of 7 days, of each week
    # of a year, and of each month.
    #keep:
    #  daily: 7
    #  weekly: 1y
    #  monthly: 1000
";

    /// Looks up a project.
    pub fn project(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|(own, _)| own == name).map(|(_, project)| project)
    }
}

/// Decodes a `runup.yaml`.
///
/// # Errors
///
/// [`ProjectFileError`] for the first problem: of encoding and length, else of syntax, else of
/// meaning, each with its place.
pub fn decode(bytes: &[u8]) -> Result<ProjectFile, ProjectFileError> {
    let root = yaml::parse(bytes)?;
    let path = &KeyPath::Document;
    let entries = mapping(&root, path, "a mapping with the keys `version` and `project`")?;
    let mut file =
        ProjectFile { storage: None, compression: None, jobs: None, projects: Vec::new() };
    let mut has_version = false;
    let mut has_projects = false;
    for (key, value) in entries {
        let path = &KeyPath::Key(path, &key.text);
        match key.text.as_str() {
            "version" => {
                check_version(value, path)?;
                has_version = true;
            }
            "project" => {
                file.projects = projects(value, path)?;
                has_projects = true;
            }
            "storage" => file.storage = Some(path_string(value, path)?),
            "compression" => file.compression = Some(compression(value, path)?),
            "jobs" => file.jobs = Some(jobs(value, path)?),
            _ => return Err(unknown_key(key, path, TOP_KEYS)),
        }
    }
    if !has_version {
        return Err(error(root.position, path, Problem::MissingKey { key: "version" }));
    }
    if !has_projects {
        return Err(error(root.position, path, Problem::MissingKey { key: "project" }));
    }
    Ok(file)
}

fn check_version(node: &Node, path: &KeyPath<'_>) -> Result<(), ProjectFileError> {
    const EXPECTED: &str = "the string '1' or '1.0'";
    match string(node, path, EXPECTED)? {
        "1" | "1.0" => Ok(()),
        _ => Err(unexpected(node, path, EXPECTED)),
    }
}

fn projects(node: &Node, path: &KeyPath<'_>) -> Result<Vec<(String, Project)>, ProjectFileError> {
    const EXPECTED: &str = "a mapping from project names to projects";
    let entries = mapping(node, path, EXPECTED)?;
    if entries.is_empty() {
        return Err(unexpected(node, path, "at least one project"));
    }
    let mut projects = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let path = &KeyPath::Key(path, &key.text);
        check_name(key, path)?;
        projects.push((key.text.clone(), project(value, path)?));
    }
    Ok(projects)
}

/// Checks a project's name: it stands in file names, revisions and command lines.
fn check_name(key: &Key, path: &KeyPath<'_>) -> Result<(), ProjectFileError> {
    const EXPECTED: &str =
        "a name of 1 to 64 letters, digits, `.`, `_` and `-`, not starting with `.` or `-`";
    let found = || describe_scalar(&key.text, key.is_plain);
    let kind = if key.is_plain { ScalarKind::of_plain(&key.text) } else { ScalarKind::String };
    let problem = match kind {
        ScalarKind::Number | ScalarKind::Boolean => unquoted(found(), EXPECTED, &key.text),
        ScalarKind::String if is_project_name(&key.text) => return Ok(()),
        _ => Problem::Unexpected { found: found(), expected: EXPECTED },
    };
    Err(error(key.position, path, problem))
}

fn project(node: &Node, path: &KeyPath<'_>) -> Result<Project, ProjectFileError> {
    let mut include = None;
    let mut project = Project {
        include: Vec::new(),
        exclude: Vec::new(),
        include_places: Vec::new(),
        exclude_places: Vec::new(),
        one_file_system: false,
        keep: None,
    };
    for (key, value) in mapping(node, path, "a mapping with the key `include`")? {
        let path = &KeyPath::Key(path, &key.text);
        match key.text.as_str() {
            "include" => {
                let items = patterns(value, path)?;
                if items.0.is_empty() {
                    return Err(unexpected(value, path, "at least one path"));
                }
                include = Some(items);
            }
            "exclude" => (project.exclude, project.exclude_places) = patterns(value, path)?,
            "one-file-system" => project.one_file_system = boolean(value, path)?,
            "keep" => project.keep = Some(policy(value, path)?),
            _ => return Err(unknown_key(key, path, PROJECT_KEYS)),
        }
    }
    let missing = || error(node.position, path, Problem::MissingKey { key: "include" });
    (project.include, project.include_places) = include.ok_or_else(missing)?;
    Ok(project)
}

fn policy(node: &Node, path: &KeyPath<'_>) -> Result<Policy, ProjectFileError> {
    const EXPECTED: &str = "a mapping with at least one of the keys last, daily, within and so on";
    let mut policy = Policy::default();
    for (key, value) in mapping(node, path, EXPECTED)? {
        let path = &KeyPath::Key(path, &key.text);
        match key.text.as_str() {
            "within" => policy.within = Some(interval(value, path)?),
            "tags" => {
                let Value::List(items) = &value.value else {
                    return Err(unexpected(value, path, "a list of tags"));
                };
                for (index, item) in items.iter().enumerate() {
                    let path = &KeyPath::Item(path, index);
                    policy.tags.insert(string(item, path, "a tag")?.to_owned());
                }
            }
            word => {
                let every = Every::ALL.into_iter().find(|every| every.word() == word);
                let every = every.ok_or_else(|| unknown_key(key, path, KEEP_KEYS))?;
                policy.every.insert(every, amount(value, path)?);
            }
        }
    }
    if policy.is_empty() {
        return Err(unexpected(node, path, "a policy that keeps something"));
    }
    Ok(policy)
}

fn amount(node: &Node, path: &KeyPath<'_>) -> Result<Amount, ProjectFileError> {
    let parsed = match &node.value {
        Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| unexpected(node, path, EXPECTED_AMOUNT))
}

fn interval(node: &Node, path: &KeyPath<'_>) -> Result<Interval, ProjectFileError> {
    let text = string(node, path, EXPECTED_INTERVAL)?;
    text.parse().map_err(|_| unexpected(node, path, EXPECTED_INTERVAL))
}

/// Returns the patterns of a list, and where each stands.
fn patterns(
    node: &Node,
    path: &KeyPath<'_>,
) -> Result<(Vec<String>, Vec<Position>), ProjectFileError> {
    let Value::List(items) = &node.value else {
        return Err(unexpected(node, path, EXPECTED_LIST));
    };
    let mut patterns = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = &KeyPath::Item(path, index);
        let pattern = path_string(item, path)?;
        // Above the context, an include would leave it and an exclude would never match.
        if pattern.split('/').any(|component| component == "..") {
            return Err(unexpected(item, path, "a path without `..`"));
        }
        patterns.push(pattern);
    }
    Ok((patterns, items.iter().map(|item| item.position).collect()))
}

fn path_string(node: &Node, path: &KeyPath<'_>) -> Result<String, ProjectFileError> {
    let text = string(node, path, EXPECTED_PATH)?;
    if text.is_empty() {
        return Err(unexpected(node, path, EXPECTED_PATH));
    }
    // An escape in double quotes can write the NUL that the bytes of the file cannot.
    if text.contains('\0') {
        return Err(unexpected(node, path, "a path without NUL"));
    }
    Ok(text.to_owned())
}

fn compression(node: &Node, path: &KeyPath<'_>) -> Result<Compression, ProjectFileError> {
    let text = string(node, path, EXPECTED_COMPRESSION)?;
    text.parse().map_err(|_| unexpected(node, path, EXPECTED_COMPRESSION))
}

fn jobs(node: &Node, path: &KeyPath<'_>) -> Result<u16, ProjectFileError> {
    let number = match &node.value {
        Value::Scalar { text, is_plain: true } => whole_number(text, JOBS_MAX),
        _ => None,
    };
    number.ok_or_else(|| unexpected(node, path, "a whole number from 1 to 256, without quotes"))
}

fn boolean(node: &Node, path: &KeyPath<'_>) -> Result<bool, ProjectFileError> {
    match &node.value {
        Value::Scalar { text, is_plain: true } if text == "true" => Ok(true),
        Value::Scalar { text, is_plain: true } if text == "false" => Ok(false),
        _ => Err(unexpected(node, path, "true or false, without quotes")),
    }
}

/// Reads a decimal number from 1 to `max`; no sign, no leading zero.
fn whole_number(text: &str, max: u16) -> Option<u16> {
    let is_canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|number| is_canonical && (1..=max).contains(number))
}

/// Returns the entries of a mapping.
fn mapping<'a>(
    node: &'a Node,
    path: &KeyPath<'_>,
    expected: &'static str,
) -> Result<&'a [(Key, Node)], ProjectFileError> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        _ => Err(unexpected(node, path, expected)),
    }
}

/// Returns the text of a scalar that no YAML reader takes for something else than a string.
fn string<'a>(
    node: &'a Node,
    path: &KeyPath<'_>,
    expected: &'static str,
) -> Result<&'a str, ProjectFileError> {
    let Value::Scalar { text, is_plain } = &node.value else {
        return Err(unexpected(node, path, expected));
    };
    let kind = if *is_plain { ScalarKind::of_plain(text) } else { ScalarKind::String };
    match kind {
        ScalarKind::String => Ok(text),
        ScalarKind::Null => Err(unexpected(node, path, expected)),
        ScalarKind::Number | ScalarKind::Boolean => {
            Err(error(node.position, path, unquoted(node.describe(), expected, text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::yaml::YamlProblem;
    use super::*;

    const HEAD: &str = "version: '1'\nproject:\n  app:\n";

    /// Decodes the body of one project, indented by four, below three lines of head.
    fn decode_project(body: &str) -> Result<Project, String> {
        let file = decode(format!("{HEAD}{body}").as_bytes()).map_err(|e| e.to_string())?;
        Ok(file.project("app").expect("the one project").clone())
    }

    fn message(bytes: &[u8]) -> String {
        decode(bytes).expect_err(&bytes.escape_ascii().to_string()).to_string()
    }

    #[test]
    fn every_key_is_read() {
        let text = "version: \"1.0\"\nstorage: ../store\ncompression: zstd:19\njobs: 256\n\
            project:\n  b.2:\n    include: [., 'a b', /etc]\n    exclude:\n    - '*.o'\n    \
            one-file-system: true\n    keep: {last: 3, daily: 30d, yearly: '9', within: 2d, tags: [a]}\n  \
            a_-1: {include: [x]}\n";
        let file = decode(text.as_bytes()).expect("valid");
        assert_eq!(file.storage.as_deref(), Some("../store"));
        assert_eq!(file.compression, Some(Compression::Zstd(19)));
        assert_eq!(file.jobs, Some(256));
        let names: Vec<_> = file.projects.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b.2", "a_-1"]);
        let first = file.project("b.2").expect("present");
        assert_eq!(first.include, [".", "a b", "/etc"]);
        assert_eq!(first.exclude, ["*.o"]);
        let places = |places: &[Position]| {
            places.iter().map(|place| (place.line, place.column)).collect::<Vec<_>>()
        };
        assert_eq!(places(&first.include_places), [(7, 15), (7, 18), (7, 25)]);
        assert_eq!(places(&first.exclude_places), [(9, 7)]);
        assert!(first.one_file_system);
        let keep = first.keep.as_ref().expect("a policy");
        let every: Vec<_> =
            keep.every.iter().map(|(every, amount)| format!("{} {amount}", every.word())).collect();
        assert_eq!(every, ["last 3", "daily 30d", "yearly 9"]);
        assert_eq!(keep.within.map(|within| within.to_string()).as_deref(), Some("2d"));
        assert!(keep.tags.iter().eq(["a"]));
        let second = file.project("a_-1").expect("present");
        assert_eq!(second.include, ["x"]);
        assert!(second.exclude.is_empty() && !second.one_file_system);
        assert_eq!(file.project("c"), None);
    }

    #[test]
    fn original_files_are_read() {
        let text = "version: '1'\nproject:\n  my-app:\n    include:\n      - \".\"\n    \
            exclude:\n      \
            - 'vendor'\n      - .git\n";
        let file = decode(text.as_bytes()).expect("valid");
        assert_eq!(file.projects[0].0, "my-app");
        assert_eq!(file.projects[0].1.exclude, ["vendor", ".git"]);
        assert_eq!((file.storage, file.compression, file.jobs), (None, None, None));
    }

    #[test]
    fn line_ends_comments_and_document_marks_are_accepted() {
        for text in [
            "version: '1'\r\nproject:\r\n  a:\r\n    include:\r\n    - .\r\n",
            "# c\n---\nversion: '1' # c\nproject: {a: {include: [.]}}\n...\n# c\n",
            "{version: '1', project: {a: {include: [.]}}}",
        ] {
            assert!(decode(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_template_decodes_as_written_and_with_every_key_uncommented() {
        let file = decode(ProjectFile::TEMPLATE.as_bytes()).expect("template");
        assert_eq!(file.projects.len(), 1);
        assert_eq!(file.project("default").expect("present").include, ["."]);

        // Comments for readers have one blank, items of a list two.
        let is_key = |line: &str| match line.trim_start().strip_prefix('#') {
            Some(rest) => !rest.starts_with(' ') || rest.starts_with("  "),
            None => false,
        };
        let uncommented: String = ProjectFile::TEMPLATE
            .lines()
            .map(|line| if is_key(line) { line.replacen('#', "", 1) } else { line.to_owned() })
            .map(|line| line + "\n")
            .collect();
        let file = decode(uncommented.as_bytes()).expect("template, uncommented");
        assert_eq!(file.storage.as_deref(), Some(".runup"));
        assert_eq!(file.compression, Some(Compression::Zstd(3)));
        assert_eq!(file.jobs, Some(4));
        let project = file.project("default").expect("present");
        assert_eq!(project.exclude, ["target", "*.tmp"]);
        assert!(project.one_file_system);
    }

    #[test]
    fn compressions() {
        for (text, expected) in [
            ("zstd", Some(Compression::Zstd(3))),
            ("zstd:1", Some(Compression::Zstd(1))),
            ("deflate", Some(Compression::Deflate(6))),
            ("deflate:9", Some(Compression::Deflate(9))),
            ("none", Some(Compression::None)),
            ("zstd:0", None),
            ("zstd:20", None),
            ("zstd:+3", None),
            ("zstd:03", None),
            ("'zstd:'", None),
            ("zstd:3:4", None),
            ("zstd:99999999999999999999", None),
            ("deflate:10", None),
            ("none:1", None),
            ("gzip", None),
            ("ZSTD", None),
            ("3", None),
            ("[zstd]", None),
            ("", None),
        ] {
            let text =
                format!("version: '1'\ncompression: {text}\nproject: {{a: {{include: [.]}}}}");
            assert_eq!(
                decode(text.as_bytes()).ok().and_then(|f| f.compression),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn jobs_are_bounded() {
        for (text, expected) in [
            ("1", Some(1)),
            ("256", Some(256)),
            ("0", None),
            ("257", None),
            ("-1", None),
            ("+1", None),
            ("01", None),
            ("1.0", None),
            ("0x10", None),
            ("1e2", None),
            ("99999999999999999999", None),
            ("'4'", None),
            ("true", None),
            ("~", None),
        ] {
            let text = format!("version: '1'\njobs: {text}\nproject: {{a: {{include: [.]}}}}");
            assert_eq!(decode(text.as_bytes()).ok().and_then(|f| f.jobs), expected, "{text}");
        }
    }

    #[test]
    fn project_names() {
        let long = "a".repeat(64);
        for name in ["a", "A.b_c-9", long.as_str(), "'2024'", "\"yes\"", "y", "_x"] {
            let text = format!("version: '1'\nproject:\n  {name}: {{include: [.]}}\n");
            assert!(decode(text.as_bytes()).is_ok(), "{name}");
        }
        let too_long = "a".repeat(65);
        for name in ["''", "-a", "'.a'", "a b", "a/b", "é", "a:b", too_long.as_str(), "~", "2024"]
        {
            let text = format!("version: '1'\nproject:\n  {name}: {{include: [.]}}\n");
            let error = decode(text.as_bytes()).expect_err(name);
            assert_eq!((error.line, error.column), (3, 3), "{name}");
            assert!(error.key_path.starts_with("project."), "{name}");
        }
    }

    #[test]
    fn projects_refused() {
        let list = "expected a list: write each path on a line of its own, as `- path`";
        for (body, expected) in [
            (
                "    inclde: [.]\n",
                "line 4, column 5: project.app.inclde: unknown key, expected one of: include, \
                 exclude, one-file-system, keep (did you mean include?)",
            ),
            (
                "    zzz: 1\n",
                "line 4, column 5: project.app.zzz: unknown key, expected one of: include, \
                 exclude, one-file-system, keep",
            ),
            ("    exclude: []\n", "line 4, column 5: project.app: missing key `include`"),
            (
                "    include: []\n",
                "line 4, column 14: project.app.include: found an empty list, expected at least \
                 one path",
            ),
            (
                "    include: .\n",
                &format!("line 4, column 14: project.app.include: found the string `.`, {list}"),
            ),
            (
                "    include:\n",
                &format!("line 4, column 12: project.app.include: found nothing, {list}"),
            ),
            (
                "    include: {a: b}\n",
                &format!("line 4, column 14: project.app.include: found a mapping, {list}"),
            ),
            (
                "    include:\n    - .\n    - a\n    - 3\n",
                "line 7, column 7: project.app.include[2]: found the number 3, expected a path: \
                 quote it, as '3'",
            ),
            (
                "    include: [no]\n",
                "line 4, column 15: project.app.include[0]: found the boolean `no`, expected a \
                 path: quote it, as 'no'",
            ),
            (
                "    include: ['']\n",
                "line 4, column 15: project.app.include[0]: found an empty string, expected a path",
            ),
            (
                "    include: [~]\n",
                "line 4, column 15: project.app.include[0]: found nothing, expected a path",
            ),
            (
                "    include: [[a]]\n",
                "line 4, column 15: project.app.include[0]: found a list, expected a path",
            ),
            (
                "    include: [\"a\\0b\"]\n",
                "line 4, column 15: project.app.include[0]: found the string `a\\0b`, expected a \
                 path without NUL",
            ),
            (
                "    include: [a/../b]\n",
                "line 4, column 15: project.app.include[0]: found the string `a/../b`, expected a \
                 path without `..`",
            ),
            (
                "    include: [.]\n    exclude: [../x]\n",
                "line 5, column 15: project.app.exclude[0]: found the string `../x`, expected a \
                 path without `..`",
            ),
            (
                "    include: [.]\n    exclude: [*.o]\n",
                "line 5, column 15: project.app.exclude[0]: aliases are not supported: quote a \
                 value that starts with `*`",
            ),
            (
                "    include: [.]\n    one-file-system: yes\n",
                "line 5, column 22: project.app.one-file-system: found the boolean `yes`, \
                 expected true or false, without quotes",
            ),
            (
                "    include: [.]\n    keep: {daily: seven}\n",
                "line 5, column 19: project.app.keep.daily: found the string `seven`, expected a \
                 count such as 7, or a time such as 36h, 30d, 8w, 6m or 2y6m",
            ),
            (
                "    include: [.]\n    keep: {last: 0}\n",
                "line 5, column 11: project.app.keep: found a mapping, expected a policy that \
                 keeps something",
            ),
            (
                "    include: [.]\n    include: [a]\n",
                "line 5, column 5: project.app.include: duplicate key, first given at line 4",
            ),
        ] {
            assert_eq!(decode_project(body).expect_err(body), expected, "{body}");
        }
    }

    #[test]
    fn files_refused() {
        let good = "project: {a: {include: [.]}}\n";
        for (text, expected) in [
            (String::new(), "line 1, column 1: the file is empty"),
            ("# only\n\n".to_owned(), "line 1, column 1: the file is empty"),
            (
                "---\n".to_owned(),
                "line 2, column 1: found nothing, expected a mapping with the keys `version` and \
                 `project`",
            ),
            (
                "- a\n".to_owned(),
                "line 1, column 1: found a list, expected a mapping with the keys `version` and \
                 `project`",
            ),
            (good.to_owned(), "line 1, column 1: missing key `version`"),
            ("# c\nversion: '1'\n".to_owned(), "line 2, column 1: missing key `project`"),
            (
                format!("version: 1\n{good}"),
                "line 1, column 10: version: found the number 1, expected the string '1' or \
                 '1.0': quote it, as '1'",
            ),
            (
                format!("version: '2'\n{good}"),
                "line 1, column 10: version: found the string `2`, expected the string '1' or \
                 '1.0'",
            ),
            (
                "version: '1'\nproject:\n".to_owned(),
                "line 2, column 8: project: found nothing, expected a mapping from project names \
                 to projects",
            ),
            (
                "version: '1'\nproject: {}\n".to_owned(),
                "line 2, column 10: project: found a mapping, expected at least one project",
            ),
            (
                "version: '1'\nproject:\n  app:\n".to_owned(),
                "line 3, column 6: project.app: found nothing, expected a mapping with the key \
                 `include`",
            ),
            (
                format!("version: '1'\nprojects: 1\n{good}"),
                "line 2, column 1: projects: unknown key, expected one of: version, project, \
                 storage, compression, jobs (did you mean project?)",
            ),
            (
                format!("version: '1'\n\"a\\e\": 1\n{good}"),
                "line 2, column 1: a\\u{1b}: unknown key, expected one of: version, project, \
                 storage, compression, jobs",
            ),
            (
                format!("version: '1'\nversion: '1'\n{good}"),
                "line 2, column 1: version: duplicate key, first given at line 1",
            ),
            (
                format!("version: '1'\nstorage: 7\n{good}"),
                "line 2, column 10: storage: found the number 7, expected a path: quote it, as '7'",
            ),
            (
                format!("version: '1'\nstorage: ''\n{good}"),
                "line 2, column 10: storage: found an empty string, expected a path",
            ),
            (
                format!("version: '1'\njobs: 257\n{good}"),
                "line 2, column 7: jobs: found the number 257, expected a whole number from 1 to \
                 256, without quotes",
            ),
        ] {
            assert_eq!(message(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn yaml_beyond_the_subset_is_refused() {
        let plain = "are not supported: quote a value that starts with";
        for (text, expected) in [
            ("a: 1\nb: &x\n  - y\n", format!("line 2, column 4: b: anchors {plain} `&`")),
            ("&k a: 1\n", format!("line 1, column 1: anchors {plain} `&`")),
            ("a: [{b: &x y}]\n", format!("line 1, column 9: a[0].b: anchors {plain} `&`")),
            ("a: !!str 1\n", format!("line 1, column 4: a: tags {plain} `!`")),
            ("a: !\n  b: 1\n", format!("line 1, column 4: a: tags {plain} `!`")),
            (
                "a: 1\n---\nb: 1\n",
                "line 2, column 1: a second document starts here, expected only one".to_owned(),
            ),
            ("? [a]\n: b\n", "line 1, column 3: a list or a mapping cannot be a key".to_owned()),
            (
                "a: {b: 1, 'b': 2}\n",
                "line 1, column 11: a.b: duplicate key, first given at line 1".to_owned(),
            ),
            ("a: *x\n", format!("line 1, column 4: a: aliases {plain} `*`")),
            ("a: '*x'\nb: [**/x]", format!("line 2, column 5: b[0]: aliases {plain} `*`")),
            (
                "a:\n  - b\n    c\n",
                "line 2, column 5: a[0]: an unquoted value goes on in the next line: quote it, or \
                 start the line with `- `"
                    .to_owned(),
            ),
        ] {
            assert_eq!(message(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        for (bytes, expected) in [
            (
                &b"\xEF\xBB\xBFversion: '1'\n"[..],
                "line 1, column 1: the file starts with a byte order mark, expected UTF-8 without \
                 one",
            ),
            (b"a: 1\n\xC3\xA9: \xFF\n", "line 2, column 4: byte 0xff is not UTF-8"),
            (b"a: \xC3", "line 1, column 4: byte 0xc3 is not UTF-8"),
            (b"\xFF\xFEv\0e\0", "line 1, column 1: byte 0xff is not UTF-8"),
            (b"a: 1\r\nb: \0\n\xFF", "line 2, column 4: control character 0x00 is not allowed"),
            (b"a: \x1b[1m", "line 1, column 4: control character 0x1b is not allowed"),
        ] {
            assert_eq!(message(bytes), expected);
        }
    }

    #[test]
    fn syntax_errors_carry_their_line() {
        for (text, line) in [
            ("a: [1\nb: 2\n", 2),
            ("a: 1\n- b\n", 2),
            ("a: 1\nb: 'x\n", 2),
            ("a:\n\t- b\n", 2),
            ("a: ]\n", 1),
            ("{---", 1),
            ("a: @b\n", 1),
            ("a: \"\\q\"\n", 1),
        ] {
            let error = decode(text.as_bytes()).expect_err(text);
            assert!(matches!(error.problem, Problem::Yaml(YamlProblem::Syntax(_))), "{error}");
            assert!(error.line >= line && error.line <= line + 1, "{text:?}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn length_is_bounded_at_exactly_the_limit() {
        let mut text = ProjectFile::TEMPLATE.to_owned();
        text.push_str(&"#\n".repeat(PROJECT_FILE_BYTES_MAX));
        text.truncate(PROJECT_FILE_BYTES_MAX);
        assert!(decode(text.as_bytes()).is_ok());
        text.push('\n');
        let error = decode(text.as_bytes()).expect_err("too long");
        assert_eq!(error.problem, Problem::Yaml(YamlProblem::TooLong));
        assert!(error.line > 500_000);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused_in_one_line(
            bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            if let Err(error) = decode(&bytes) {
                prop_assert!(!error.to_string().contains(char::is_control));
                prop_assert!(error.line >= 1 && error.column >= 1);
            }
        }

        #[test]
        fn any_yaml_like_text_decodes_or_is_refused(
            text in "([\\[\\]{}:,&*!|>'\"%@?#~ \n\t\r-]|---|\\.{3}|a: |- |  |x|1|é|<<|\\\\){0,60}"
        ) {
            if let Err(error) = decode(text.as_bytes()) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }

        #[test]
        fn a_damaged_file_decodes_or_is_refused(
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
        ) {
            let mut bytes = ProjectFile::TEMPLATE.as_bytes().to_vec();
            for (index, byte) in cuts {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode(&bytes);
        }

        #[test]
        fn quoted_paths_come_back_as_they_are(name in "[^\\x00'\\p{C}]{1,20}") {
            prop_assume!(name.split('/').all(|component| component != ".."));
            // Other white space than a blank folds even in quotes.
            prop_assume!(!name.chars().any(|c| c != ' ' && c.is_whitespace()));
            let project = decode_project(&format!("    include: ['{name}']\n"));
            prop_assert_eq!(project.expect("quoted").include, [name]);
        }
    }
}

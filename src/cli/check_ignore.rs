//! `runup check-ignore`: which paths a backup leaves out, and which rule says so.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::backup::unknown_project;
use super::environment::{Globals, identity_of, stat_index_path};
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::input;
use super::json::PathText;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::format::yaml_node::Position;
use crate::ops::check_ignore::{IgnoreRules, Judgement};
use crate::os::FileIdentity;
use crate::repository::Repository;
use crate::source::selection::{PatternList, Selection};

/// Arguments of `runup check-ignore`. With the global -v, paths that are not left out are printed
/// too.
#[derive(Debug, clap::Args)]
pub struct CheckIgnore {
    /// Paths, which need not exist; one that ends in / is a directory
    #[arg(value_name = "PATH", required_unless_present = "stdin")]
    paths: Vec<OsString>,
    /// Print paths that are not left out too, as -v does
    #[arg(short = 'n', long)]
    non_matching: bool,
    /// Read paths from standard input, one a line, after those given
    #[arg(long)]
    stdin: bool,
    /// Paths on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// The project to ask [default: all; a path that one of them takes is not left out]
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Instead of runup.yaml: take this path or glob of the context [default: all of it]
    #[arg(long, value_name = "PATTERN", conflicts_with = "project")]
    include: Vec<OsString>,
    /// Instead of runup.yaml: leave this path or glob out
    #[arg(long, value_name = "PATTERN", conflicts_with = "project")]
    exclude: Vec<OsString>,
    /// Print only the paths that are left out
    #[arg(long, conflicts_with = "non_matching")]
    plain: bool,
}

/// The rules of one project.
struct Rules {
    project: Option<String>,
    selection: Selection,
    one_file_system: bool,
    own: Vec<(FileIdentity, &'static str)>,
    include: List,
    exclude: List,
    source: Option<PathBuf>,
}

/// Patterns as written, and where each stands, if in a file.
#[derive(Default)]
struct List {
    patterns: Vec<Vec<u8>>,
    places: Vec<Position>,
}

/// What a backup of one project does with a path, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "judged-path")]
struct Record<'a> {
    /// The path as it was given.
    path: String,
    /// The exact path, base64, where it is not UTF-8.
    path_b64: Option<String>,
    /// The project; null where patterns were given instead.
    project: Option<&'a str>,
    /// taken, container (a directory above an include), excluded, or outside; null with an error.
    verdict: Option<&'static str>,
    /// The pattern that decides; null where none does.
    rule: Option<RuleRecord>,
    /// The path that the pattern matches: this one, or a directory above it.
    matched_path: Option<String>,
    /// The exact matched path, base64, where it is not UTF-8.
    matched_path_b64: Option<String>,
    /// Why it is left out where no pattern says so.
    reason: Option<&'static str>,
    /// Why that could not be found out.
    error: Option<ErrorRecord>,
}

/// A pattern of a project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "rule")]
struct RuleRecord {
    /// include, or exclude.
    list: String,
    /// Its place in that list, from 0.
    index: usize,
    /// The pattern.
    pattern: String,
    /// The exact pattern, base64, where it is not UTF-8.
    pattern_b64: Option<String>,
    /// Its line in the file, from 1; null for one of the command line.
    line: Option<usize>,
    /// Its column, from 1.
    column: Option<usize>,
    /// The file.
    source: Option<String>,
}

impl Command for CheckIgnore {
    const NAME: &'static str = "check-ignore";
    const ABOUT: &'static str = "Tell which paths a backup leaves out, and why";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];

    const DESCRIPTION: &'static str = "
        Tells for each path whether a backup leaves it out, and which pattern decides: of which
        list, with its place there and its line in runup.yaml. A path that a project takes is not
        left out, whatever the other projects do with it.

        Paths are taken from the working directory and need not exist; one that ends with a slash is
        a directory. Below an excluded directory the pattern that excludes that directory decides.
        With `--include` and `--exclude` these patterns are asked in place of runup.yaml.

        Only paths that are left out are told, unless `--non-matching` or `--verbose` asks for the
        others too. The exit code is 0 if there is one, 1 if there is none.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "Why a file is in no backup",
            "runup-check-ignore src/main.o |
  jq -r '[.project, .verdict, .rule.pattern, .rule.line] | @tsv'",
        ),
        Example::new("A file that is in one", "runup-check-ignore README").exits(Exit::Failed),
        Example::new(
            "What a pattern would leave out",
            "find src -type f |
  runup-check-ignore --stdin --plain --exclude '*.h'",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-write-tree(1)", "runup.yaml(5)"];
    const EXITS: &'static [Exit] = Exit::ANSWERING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let answered = self.answer(globals, output);
        answered.map_err(|failure| match failure.exit {
            Exit::Usage => failure,
            // Whoever asked has had enough.
            _ if failure.code == "broken_pipe" => failure,
            _ => Failure { exit: Exit::Unanswered, ..failure },
        })
    }
}

impl CheckIgnore {
    fn answer(&self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let context = globals.absolute_context()?;
        let rules = match self.include.is_empty() && self.exclude.is_empty() {
            true => self.rules_of_file(globals, &context)?,
            false => vec![self.rules_given(globals, &context)?],
        };
        let is_verbose = self.non_matching || globals.verbose;
        let mut answers = Answers { nul: self.nul, plain: self.plain, is_verbose, exit: None };
        for path in &self.paths {
            answers.one(&rules, &context, path.as_encoded_bytes(), output)?;
        }
        if self.stdin {
            input::for_each_item(self.nul, |item| {
                answers.one(&rules, &context, &input::local_path(item)?, output)?;
                Ok(output.flush()?)
            })?;
        }
        Ok(answers.exit.unwrap_or(Exit::Failed))
    }

    fn rules_of_file(&self, globals: &Globals, context: &Path) -> Result<Vec<Rules>, Failure> {
        let found = globals.project_file()?;
        // Before the first backup there is nothing of its own to leave out.
        let repository = Repository::open(&globals.repository_path(Some(&found.file))).ok();
        let is_asked = |name: &String| self.project.as_ref().is_none_or(|wanted| wanted == name);
        let projects = found.file.projects.iter().filter(|(name, _)| is_asked(name));
        let rules = projects.map(|(name, project)| {
            let bytes = |texts: &[String]| texts.iter().map(|text| text.clone().into()).collect();
            Ok(Rules {
                project: Some(name.clone()),
                selection: found.selection(name, project, context)?,
                one_file_system: project.one_file_system,
                own: own(repository.as_ref(), Some(name), context),
                include: List {
                    patterns: bytes(&project.include),
                    places: project.include_places.clone(),
                },
                exclude: List {
                    patterns: bytes(&project.exclude),
                    places: project.exclude_places.clone(),
                },
                source: Some(found.path.clone()),
            })
        });
        let rules = rules.collect::<Result<Vec<Rules>, Failure>>()?;
        match rules.is_empty() {
            true => Err(unknown_project(&found, self.project.as_deref().unwrap_or_default())),
            false => Ok(rules),
        }
    }

    fn rules_given(&self, globals: &Globals, context: &Path) -> Result<Rules, Failure> {
        let bytes = |texts: &[OsString]| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.as_encoded_bytes().to_vec()).collect()
        };
        let mut include = bytes(&self.include);
        if include.is_empty() {
            include.push(b".".to_vec());
        }
        let exclude = bytes(&self.exclude);
        let repository = globals.open_repository().ok();
        Ok(Rules {
            project: None,
            selection: Selection::new(context.as_os_str().as_bytes(), &include, &exclude)?,
            one_file_system: false,
            own: own(repository.as_ref(), None, context),
            include: List { patterns: include, places: Vec::new() },
            exclude: List { patterns: exclude, places: Vec::new() },
            source: None,
        })
    }
}

/// Directories of RunUp's own that a backup leaves out, as a backup names them.
fn own(
    repository: Option<&Repository>,
    project: Option<&str>,
    context: &Path,
) -> Vec<(FileIdentity, &'static str)> {
    let Some(repository) = repository else { return Vec::new() };
    let itself = identity_of(Path::new(repository.location()));
    let cache = project.and_then(|project| stat_index_path(repository, project, context));
    let cache = cache.as_deref().and_then(Path::parent).and_then(identity_of);
    let itself = itself.map(|own| (own, "the repository itself"));
    itself.into_iter().chain(cache.map(|own| (own, "the cache of the repository"))).collect()
}

/// Answers paths, and remembers how the program ends.
struct Answers {
    nul: bool,
    plain: bool,
    is_verbose: bool,
    exit: Option<Exit>,
}

impl Answers {
    fn one(
        &mut self,
        rules: &[Rules],
        context: &Path,
        path: &[u8],
        output: &mut Output,
    ) -> Result<(), Failure> {
        let absolute = std::path::absolute(OsStr::from_bytes(path))
            .map_err(|_| Failure::usage("an empty path cannot be looked for"))?;
        let judged = rules.iter().map(|rules| {
            let project = IgnoreRules {
                context,
                selection: &rules.selection,
                one_file_system: rules.one_file_system,
                own: rules.own.clone(),
            };
            let judged = project.judge(absolute.as_os_str().as_bytes(), path.ends_with(b"/"));
            (rules, judged)
        });
        let judged: Vec<(&Rules, std::io::Result<Judgement>)> = judged.collect();
        let has_failed = judged.iter().any(|(_, judged)| judged.is_err());
        let is_left_out = |judged: &Judgement| judged.fate.is_ignored();
        let is_ignored = judged.iter().all(|(_, judged)| judged.as_ref().is_ok_and(is_left_out));
        if has_failed {
            self.exit = Some(Exit::Unanswered);
        } else if is_ignored {
            self.exit.get_or_insert(Exit::Done);
        }
        if self.plain {
            if is_ignored {
                if self.nul {
                    output.bytes(path)?;
                    output.bytes(b"\0")?;
                } else {
                    output.line(path)?;
                }
            }
            let errors = judged.iter().filter_map(|(_, judged)| judged.as_ref().err());
            errors.take(1).for_each(|error| failure(path, error).report(false));
        } else if is_ignored || has_failed || self.is_verbose {
            for (rules, judged) in &judged {
                output.record(&rules.record(path, judged), self.nul)?;
            }
        }
        Ok(())
    }
}

fn failure(path: &[u8], error: &std::io::Error) -> Failure {
    let path = String::from_utf8_lossy(path);
    Failure::new(Exit::Unanswered, "unreadable", format!("cannot look at {path}: {error}"))
}

impl Rules {
    fn record(&self, path: &[u8], judged: &std::io::Result<Judgement>) -> Record<'_> {
        let text = PathText::new(path);
        let matched = judged.as_ref().ok().and_then(|judged| judged.matched.as_deref());
        let matched = matched.map(PathText::new);
        let judgement = judged.as_ref().ok();
        let error = judged.as_ref().err().map(|error| failure(path, error));
        Record {
            path: text.path,
            path_b64: text.path_b64,
            project: self.project.as_deref(),
            verdict: judgement.map(|judged| judged.fate.word()),
            rule: judgement.and_then(|judged| judged.rule).and_then(|rule| self.rule(rule)),
            matched_path: matched.as_ref().map(|matched| matched.path.clone()),
            matched_path_b64: matched.and_then(|matched| matched.path_b64),
            reason: judgement.and_then(|judged| judged.reason),
            error: error.map(ErrorRecord::from),
        }
    }

    fn rule(&self, (list, index): (PatternList, usize)) -> Option<RuleRecord> {
        let patterns = match list {
            PatternList::Include => &self.include,
            PatternList::Exclude => &self.exclude,
        };
        let pattern = PathText::new(patterns.patterns.get(index)?);
        let place = patterns.places.get(index);
        Some(RuleRecord {
            list: list.to_string(),
            index,
            pattern: pattern.path,
            pattern_b64: pattern.path_b64,
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            source: self.source.as_ref().map(|file| super::output::shown(file).to_string()),
        })
    }
}

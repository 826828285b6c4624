//! `runup.yaml`, and the selections that it asks for.

use runup::format::project_file::{PROJECT_FILE_BYTES_MAX, decode};
use runup::source::selection::{Root, Selection};

/// Whether the bytes are a project file.
pub fn check(bytes: &[u8]) -> bool {
    let file = match decode(bytes) {
        Ok(file) => file,
        Err(error) => {
            let text = error.to_string();
            assert!(error.line > 0 && error.column > 0, "{text}");
            assert!(text.len() < 4096, "a message of {} bytes", text.len());
            return false;
        }
    };
    assert!(bytes.len() <= PROJECT_FILE_BYTES_MAX && !file.projects.is_empty());
    for (name, project) in &file.projects {
        assert_eq!(file.project(name), Some(project));
        assert_eq!(project.include.len(), project.include_places.len());
        assert_eq!(project.exclude.len(), project.exclude_places.len());
        let Ok(selection) = Selection::new(b"/context", &project.include, &project.exclude) else {
            continue;
        };
        for include in selection.includes() {
            let _verdict = selection.classify(include.root, &include.path, true);
        }
        let _verdict = selection.classify(Root::Context, b"dir/file", false);
    }
    true
}

//! What the demo begins with: a small project and its specs, from `fixtures/demo`.

use std::fs;
use std::io;
use std::path::Path;

macro_rules! fixtures {
    ($folder:literal: $($path:literal)+) => {
        &[$(($path, include_str!(concat!("../../../fixtures/demo/", $folder, "/", $path)))),+]
    };
}

/// Paths, and what is in them.
type Files = &'static [(&'static str, &'static str)];

/// The project's files.
const PROJECT: Files = fixtures!("repo":
    "README.md"
    "docs/greeting.txt"
    "git-dispatch.toml"
    "schemas/tea.json"
    "shelf/teas.csv"
    "tools/mend.sh"
);

/// The specs, in the order in which a shell would list them.
const SPECS: Files = fixtures!("specs":
    "1-brewing-times.md"
    "2-pack-schemas.md"
    "3-pack-api.md"
    "4-oolong-price.md"
    "5-greet-warmly.md"
    "6-greet-in-chinese.md"
    "7-packing-page.md"
);

/// The task that changes a line which one before it in the order has changed too.
pub(super) const CONFLICTING: &str = "tea-shop/greet-in-chinese";

/// The file in which they meet.
pub(super) const CONTESTED: &str = "docs/greeting.txt";

/// The task that resolves the conflict.
pub(super) const REPAIR: &str = "tea-shop/greet-in-chinese-repair-1";

/// How many tasks there are at first.
pub(super) const TASKS: usize = SPECS.len();

/// Returns the specs' paths in the project.
pub(super) fn spec_paths() -> Vec<String> {
    SPECS.iter().map(|(name, _)| spec_path(name)).collect()
}

fn spec_path(name: &str) -> String {
    format!("specs/{name}")
}

/// Writes the project, with its specs.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    let specs = SPECS.iter().map(|(name, text)| (spec_path(name), text));
    let project = PROJECT.iter().map(|(path, text)| ((*path).to_owned(), text));
    for (path, text) in project.chain(specs) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::name::NameKind;
    use crate::task::spec::{Defaults, parse};
    use crate::task::{Name, TaskName};

    #[test]
    fn the_specs_are_without_fault() {
        let read = |(name, text): &(&str, &str)| {
            let defaults = Defaults { project: Name::new(NameKind::Project, "tea-shop").unwrap(), id: None };
            let parsed = parse(name, text.as_bytes(), &defaults)
                .unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));
            assert_eq!(parsed.warnings.len(), 0, "{name}");
            parsed.spec
        };
        let specs: Vec<_> = SPECS.iter().map(read).collect();
        assert!(specs.iter().all(|spec| spec.run.is_some()));
        assert!(specs.iter().any(|spec| spec.priority == 0));
        assert_eq!(specs.iter().filter(|spec| !spec.depends_on.is_empty()).count(), 3);
        let conflicting = TaskName::parse(CONFLICTING).unwrap();
        assert!(specs.iter().any(|spec| spec.task == conflicting));
    }

    #[test]
    fn the_files_are_those_of_the_folder() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo");
        for (folder, files) in [("repo", PROJECT), ("specs", SPECS)] {
            let mut found = Vec::new();
            list(&fixtures.join(folder), "", &mut found);
            found.sort();
            let listed: Vec<_> = files.iter().map(|(path, _)| *path).collect();
            assert_eq!(found, listed);
        }
    }

    fn list(folder: &Path, below: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                list(&entry.path(), &format!("{path}/"), found);
            } else {
                found.push(path);
            }
        }
    }
}

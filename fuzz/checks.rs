//! What must hold of every parser of outside input, whatever it is given: it ends, does not panic, and what it says is fit.
//!
//! Used twice: by the fuzz targets beside this file, and by `tests/cli/corpus.rs`, which runs the corpus and small changes of it.

use git_dispatch::config::{self, Inputs};
use git_dispatch::exec::Mask;
use git_dispatch::git::bundle::Header;
use git_dispatch::git::{address, fit, porcelain, signature};
use git_dispatch::hub::bundle::{Contents, Item};
use git_dispatch::hub::control::Control;
use git_dispatch::hub::format::{ClaimRecord, SpecRecord, Trailers};
use git_dispatch::hub::nodes::NodeRecord;
use git_dispatch::protocol::logs;
use git_dispatch::secrets;
use git_dispatch::task::event::Event;
use git_dispatch::task::name::NameKind;
use git_dispatch::task::spec::{self, Defaults};
use git_dispatch::task::{Name, TaskName, issue, scope, text};

/// One check, given any bytes.
pub type Check = fn(&[u8]);

/// All checks, by the names of their targets.
pub const ALL: &[(&str, Check)] = &[
    ("bundle", bundle),
    ("config", config),
    ("issue", issue),
    ("names", names),
    ("notes", notes),
    ("porcelain", porcelain),
    ("records", records),
    ("secrets", secrets),
    ("signature", signature),
    ("spec", spec),
    ("text", text),
    ("tree", tree),
];

fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// The head of a bundle file, and the names in it.
pub fn bundle(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), data).unwrap();
    if let Ok(header) = Header::read(file.path()) {
        let _ = Contents::of(&header);
    }
    let _ = Item::parse(&lossy(data));
}

/// The committed configuration; an error shows its source without anything that drives a terminal.
pub fn config(data: &[u8]) {
    if let Err(error) = config::load(&Inputs::default().with_file("git-dispatch.toml", lossy(data))) {
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

/// A forge's event: the spec that is made of it is one, with nothing in it that runs.
pub fn issue(data: &[u8]) {
    if let Ok(event) = issue::parse(data)
        && let Ok(task) = TaskName::parse(&format!("p/{}", event.id()))
    {
        let defaults = Defaults { project: task.project.clone(), id: None };
        // One whose text is too long is refused, and nothing else is.
        if let Ok(parsed) = spec::parse("issue.md", &event.to_spec(&task), &defaults) {
            assert!(parsed.spec.run.is_none() && parsed.spec.executor.is_none() && parsed.spec.task == task);
        }
    }
}

/// Names of tasks, projects and nodes: what passes can be part of a ref and of a command line.
pub fn names(data: &[u8]) {
    let given = lossy(data);
    for kind in [NameKind::Project, NameKind::Node] {
        if let Ok(name) = Name::new(kind, &given) {
            let name = name.as_str();
            assert!(!name.starts_with(['-', '.']) && !name.contains("..") && name.len() <= 64 && name.is_ascii());
        }
    }
    if let Ok(task) = TaskName::parse(&given) {
        assert_eq!(TaskName::parse(&task.to_string()), Ok(task));
    }
    let _ = Name::sanitized(&given, "x");
    assert!(!address::is_spoken(&given) || !given.starts_with("ext::"));
}

/// Notes: status lines, seals, framed logs, and the JSON records of nodes.
pub fn notes(data: &[u8]) {
    for event in Event::parse_lines(data) {
        let line = event.to_line();
        assert_eq!(Event::parse_lines(line.as_bytes()).len(), 1, "{line}");
    }
    for frame in logs::frames(data) {
        assert!(frame.text.len() <= data.len());
    }
    if let Ok(record) = serde_json::from_slice::<NodeRecord>(data) {
        let _ = record.beat_interval();
    }
    let _ = serde_json::from_slice::<Control>(data).map(|control| control.is_paused("n1"));
}

/// What git prints for programs.
pub fn porcelain(data: &[u8]) {
    let _ = porcelain::push_lines(data);
    let _ = porcelain::ref_lines(data);
    let _ = porcelain::merge_tree(data);
    let _ = porcelain::merge_trees(data, 3);
    let _ = porcelain::worktrees(data);
    let _ = porcelain::config_parameters(&lossy(data));
    let _ = porcelain::remote_words(&lossy(data));
}

/// Messages of spec and claim commits: what is read is written and read again as the same.
pub fn records(data: &[u8]) {
    let message = lossy(data);
    let _ = Trailers::parse(&message);
    if let Ok(record) = ClaimRecord::parse(&message) {
        assert_eq!(ClaimRecord::parse(&record.to_message()), Ok(record));
    }
    if let Ok(record) = SpecRecord::parse(&message) {
        let again = SpecRecord::parse(&record.to_message());
        assert_eq!(again.map(|again| again.task), Ok(record.task));
    }
}

/// Work that is searched, and output that is masked.
pub fn secrets(data: &[u8]) {
    for path in ["a.rs", ".env", "a.yml", "Cargo.lock"] {
        for hit in secrets::find(path, data) {
            assert!(hit.place.end <= data.len() && hit.line.is_some_and(|line| line >= 1));
        }
    }
    let _ = secrets::named(&lossy(data));
    let half = data.len() / 2;
    let value = &data[..half.min(40)];
    let masked = Mask::new([value]).bytes(data);
    // Where the value ends in blanks, what stands for it is the rest.
    let value = value.trim_ascii_end();
    let is_there = value.len() >= 4 && masked.windows(value.len()).any(|window| window == value);
    assert!(!is_there || value.contains(&b'*'), "{}", lossy(&masked));
}

/// Commit objects with signatures.
pub fn signature(data: &[u8]) {
    if let Some(signed) = signature::take_apart(data) {
        assert!(signed.payload.len() + signed.signature.len() < data.len());
    }
}

/// Specs; a refusal shows its source without anything that drives a terminal.
pub fn spec(data: &[u8]) {
    let defaults = Defaults { project: Name::sanitized("p", "p"), id: Some("id".to_owned()) };
    match spec::parse("spec.md", data, &defaults) {
        Ok(parsed) => {
            let record = SpecRecord::of(&parsed.spec);
            let again = SpecRecord::parse(&record.to_message()).unwrap();
            assert_eq!((again.task, again.title), (record.task, record.title));
        }
        Err(error) => assert!(!error.to_string().contains('\u{1b}'), "{error}"),
    }
}

/// Text for people, and patterns.
pub fn text(data: &[u8]) {
    let given = lossy(data);
    assert!(!text::escaped(&given).chars().any(char::is_control));
    assert!(!text::one_line(&given).contains('\n'));
    assert_eq!(text::masked(&given).len(), given.len());
    let globs: Vec<String> = given.lines().take(8).map(str::to_owned).collect();
    let _ = scope::outside(&globs, &["src/a.rs".to_owned()]);
    let _ = scope::may_overlap(&globs, &["src/**".to_owned()]);
}

/// Names and links in trees.
pub fn tree(data: &[u8]) {
    let flaw = fit::unfit_name(data);
    assert!(flaw.is_some() || !data.contains(&b'/'));
    let flaw = fit::link_flaw(1, data);
    assert!(flaw.is_some() || !data.starts_with(b"/"));
}

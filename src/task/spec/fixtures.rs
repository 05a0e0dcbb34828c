//! The specs of `fixtures/specs`, written as they are found in the wild: each must be read, and stay read.

use super::tests::{defaults, tasks};
use super::*;

/// Reads one of the specs, its file's name being the default id.
fn read(stem: &str) -> Parsed {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/specs/{}.md"), stem);
    let bytes = std::fs::read(&path).unwrap();
    let defaults = Defaults { id: Some(stem.to_owned()), ..defaults() };
    parse(&path, &bytes, &defaults).unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)))
}

#[test]
fn all_are_read() {
    let expected = [
        ("S01", "gem-platform/S01", "Pack schemas by path", 0),
        ("all-keys-and-aliases", "billing/007", "Move invoices to the new numbering", 0),
        ("chinese", "here/i18n-12", "把错误信息翻译成中文", 0),
        ("fenced-rules", "here/docs-frontmatter", "What the page must say", 0),
        ("foreign-keys", "here/API-104", "Rate limits: answer 429 with Retry-After", 7),
        ("no-frontmatter", "here/no-frontmatter", "Rename the flag", 0),
        ("windows-crlf-bom", "here/WIN-3", "Sign the installer", 0),
        ("yaml-corners", "1.10/N", "It's \"quoted\": # no comment", 0),
    ];
    for (stem, task, title, warnings) in expected {
        let parsed = read(stem);
        assert_eq!(parsed.spec.task.to_string(), task);
        assert_eq!(parsed.spec.title, title);
        assert_eq!(parsed.warnings.len(), warnings, "{stem}: {:?}", parsed.warnings);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/specs");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), expected.len(), "a fixture is not listed here");
}

#[test]
fn every_key_and_alias() {
    let Spec { body, .. } = read("S01").spec;
    assert!(body.starts_with("# Pack schemas by path\n"));
    let spec = read("all-keys-and-aliases").spec;
    assert_eq!(spec.depends_on, tasks(&["billing/006", "billing/005", "ledger/L2"]));
    assert_eq!(spec.modifies, ["src/invoice/**", "docs/*.md"]);
    assert_eq!(spec.labels, ["agent:code", "no", "1.10", "claude-code"]);
    assert_eq!(spec.run.as_deref(), Some("make codemod RULE=invoice-numbers\nmake check"));
    assert_eq!((spec.priority, spec.mode), (0, Mode::Push));
    assert_eq!((spec.estimate_minutes, spec.timeout_minutes), (Some(15), Some(30)));
    assert_eq!((spec.executor.as_deref(), spec.target.as_deref()), (Some("codemod-shell"), Some("release/2.4")));
}

#[test]
fn foreign_keys_name_what_was_meant() {
    let meant = |warning: &Warning| match warning {
        Warning::UnknownKey { key, meant: Some(meant), .. } => Some(format!("{key} → {meant}")),
        _ => None,
    };
    let meant: Vec<_> = read("foreign-keys").warnings.iter().filter_map(meant).collect();
    assert_eq!(meant, ["depend_on → depends_on", "timeout → timeout_minutes"]);
}

#[test]
fn line_ends_are_kept() {
    let spec = read("windows-crlf-bom").spec;
    assert_eq!(spec.labels, ["os:windows", "signing"]);
    assert!(spec.body.starts_with("# Sign the installer\r\n"), "git must not convert this file: {:.40}", spec.body);
}

#[test]
fn corners_of_yaml() {
    let spec = read("yaml-corners").spec;
    assert_eq!(spec.depends_on, tasks(&["1.10/y", "1.10/0x1F", "1.10/1.10"]));
    assert_eq!(spec.target.as_deref(), Some("feature/naïve-é"));
    assert!(spec.executor.is_none() && spec.run.is_none() && spec.labels.is_empty());
}

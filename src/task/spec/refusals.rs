//! What is refused: with which code, and with which place.

use std::time::{Duration, Instant};

use miette::{Diagnostic as _, GraphicalReportHandler, GraphicalTheme};

use super::tests::defaults;
use super::*;

/// Renders an error as a person sees it, without colours.
pub(super) fn shown(error: &SpecError) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut text, error).expect("an error can be rendered");
    text
}

/// Tells of an error its code, and where its last label stands: line and column from 1, and the text there.
fn refused(bytes: &[u8]) -> (String, String) {
    let began = Instant::now();
    let error = parse("dir/x\u{1b}.md", bytes, &defaults()).expect_err("this spec must be refused");
    assert!(began.elapsed() < Duration::from_secs(2), "took {:?}", began.elapsed());
    assert!(error.help().is_some_and(|help| !help.to_string().is_empty()), "{error:?} has no way out");
    let rendered = shown(&error);
    assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
    let label = error.labels().unwrap().last().unwrap();
    let contents = error.source_code().unwrap().read_span(label.inner(), 0, 0).unwrap();
    assert_eq!(contents.name(), Some("dir/x\\u{1b}.md"));
    let text = String::from_utf8_lossy(contents.data());
    let place = format!(
        "{}:{} {}",
        contents.line() + 1,
        contents.column() + 1,
        text.chars().take(label.len()).collect::<String>()
    );
    (error.code().unwrap().to_string().replace("dispatch::", ""), place.trim_end().to_owned())
}

/// Checks the code and place of frontmatter lines; they begin on line 2.
fn check(cases: &[(&str, &str, &str)]) {
    for &(lines, code, place) in cases {
        let (got, at) = refused(format!("---\n{lines}\n---\nbody\n").as_bytes());
        assert_eq!((got.as_str(), at.as_str()), (code, place), "{lines:?}");
    }
}

#[test]
fn files_that_are_no_spec() {
    for text in ["", " \n\t\r\n", "\u{feff}", "\u{feff}\n"] {
        assert_eq!(refused(text.as_bytes()), ("spec::empty".into(), "1:1".into()), "{text:?}");
    }
    let (code, at) = refused(b"fine\nna\xefve\n");
    assert_eq!((code.as_str(), &at[..3]), ("spec::not_utf8", "2:3"));
    assert_eq!(refused(&vec![b'x'; MAX_BYTES + 1]).0, "spec::too_large");
    assert_eq!(refused(&vec![0xff; MAX_BYTES + 1]).0, "spec::too_large");
    assert!(parse("x.md", &vec![b'x'; MAX_BYTES], &defaults()).is_ok());
    for text in ["---\nid: A\n", "---", "---\n", "---\nid: A\n ---\nbody", "---\n\nA thematic break, once.\n"] {
        assert_eq!(refused(text.as_bytes()), ("spec::unclosed".into(), "1:1 ---".into()), "{text:?}");
    }
    assert_eq!(refused(b"\xef\xbb\xbf---\nid: A\n").1, "1:1 ---");
}

#[test]
fn bad_yaml() {
    check(&[
        ("a: b: c", "spec::syntax", "2:5"),
        ("id: A\ntitle: [x\nrun: y", "spec::syntax", "4:4"),
        ("x:\n\ty: 1", "spec::syntax", "3:2"),
        ("title: @x", "spec::syntax", "2:8"),
        ("title: *nowhere", "spec::syntax", "2:8"),
        ("title: \"open", "spec::syntax", "3:1"),
        ("title: a\u{7}b", "spec::syntax", "2:8"),
        ("- a\n- b", "spec::wrong_type", "2:1"),
        ("just text", "spec::wrong_type", "2:1 just text"),
        ("{{ id }}: A", "spec::wrong_type", "2:1 {"),
    ]);
}

#[test]
fn keys_given_twice() {
    check(&[
        ("id: A\ntitle: x\nid: B", "spec::duplicate_key", "4:1 id"),
        ("owner: A\nowner: B", "spec::duplicate_key", "3:1 owner"),
        ("x: {a: 1, a: 2}", "spec::duplicate_key", "2:11 a"),
        ("task_id: A\nid: A", "spec::duplicate_key", "3:1 id"),
        ("tags: a\nlabels: b", "spec::duplicate_key", "3:1 labels"),
        ("mode: pull\nexecution_mode: pull", "spec::duplicate_key", "3:1 execution_mode"),
    ]);
}

#[test]
fn wrong_types() {
    check(&[
        ("labels: 5", "spec::wrong_type", "2:9 5"),
        ("modifies: 1.10", "spec::wrong_type", "2:11 1.10"),
        ("depends_on: 007", "spec::wrong_type", "2:13 007"),
        ("depends_on: {a: b}", "spec::wrong_type", "2:13 {"),
        ("depends_on: [A, [B]]", "spec::wrong_type", "2:17 ["),
        ("depends_on: [A, ~]", "spec::wrong_type", "2:17 ~"),
        ("title: [a]", "spec::wrong_type", "2:8 ["),
        ("id: {a: b}", "spec::wrong_type", "2:5 {"),
        ("executor: [glm]", "spec::wrong_type", "2:11 ["),
        ("priority: [1]", "spec::wrong_type", "2:11 ["),
        ("priority: true", "spec::wrong_type", "2:11 true"),
        ("timeout_minutes: soon", "spec::wrong_type", "2:18 soon"),
        ("timeout_minutes: 45m", "spec::wrong_type", "2:18 45m"),
        ("estimated_minutes: true", "spec::wrong_type", "2:20 true"),
        ("needs_claude_code: maybe", "spec::wrong_type", "2:20 maybe"),
        ("mode: [push]", "spec::wrong_type", "2:7 ["),
    ]);
}

#[test]
fn bad_values() {
    let long = format!("executor: {}", "x".repeat(201));
    let title = format!("title: {}", "x".repeat(501));
    let many = format!("labels: [{}]", "x, ".repeat(1001));
    let code = |lines: &str| refused(format!("---\n{lines}\n---\nb").as_bytes()).0;
    assert_eq!([code(&long), code(&title), code(&many)], ["spec::bad_value", "spec::bad_value", "spec::bad_value"]);
    check(&[
        ("priority: urgent-ish", "spec::bad_value", "2:11 urgent-ish"),
        ("priority: -1", "spec::bad_value", "2:11 -1"),
        ("priority: 256", "spec::bad_value", "2:11 256"),
        ("priority: 1.5", "spec::bad_value", "2:11 1.5"),
        ("timeout_minutes: -1", "spec::bad_value", "2:18 -1"),
        ("timeout_minutes: 0", "spec::bad_value", "2:18 0"),
        ("timeout_minutes: 1.5", "spec::bad_value", "2:18 1.5"),
        ("estimated_minutes: 527041", "spec::bad_value", "2:20 527041"),
        ("estimated_minutes: 99999999999999999999", "spec::bad_value", "2:20 99999999999999999999"),
        ("mode: fast", "spec::bad_value", "2:7 fast"),
        ("target: a..b", "spec::bad_value", "2:9 a..b"),
        ("target: --all", "spec::bad_value", "2:9 --all"),
        ("target: refs/heads/main", "spec::bad_value", "2:9 refs/heads/main"),
        ("target: \"\"", "spec::bad_value", "2:9 \"\""),
        ("executor: \"\"", "spec::bad_value", "2:11 \"\""),
        ("executor: \"a\\nDispatch-Mode: push\"", "spec::bad_value", "2:11 \"a\\nDispatch-Mode: push\""),
        ("labels: [a, \"b\\x1b\"]", "spec::bad_value", "2:13 \"b\\x1b\""),
        ("labels: [a, \" \"]", "spec::bad_value", "2:13 \" \""),
        ("labels: \"a\\u202eb\"", "spec::bad_value", "2:9 \"a\\u202eb\""),
        ("modifies: [\"a\\rb\"]", "spec::bad_value", "2:12 \"a\\rb\""),
        ("run: \"a\\0b\"", "spec::bad_value", "2:6 \"a\\0b\""),
    ]);
}

#[test]
fn bad_names_have_a_place() {
    let long = "a".repeat(65);
    for bad in ["-x", "--upload-pack=x", "..", "a..b", "a.lock", "a.", ".a", "a/b", "é", "$(touch x)", "a b", &long]
    {
        for key in ["task_id", "id", "project"] {
            let (code, at) = refused(format!("---\n{key}: {bad}\n---\nb").as_bytes());
            assert_eq!((code.as_str(), at), ("name::invalid", format!("2:{} {bad}", key.len() + 3)));
        }
    }
    check(&[
        ("task_id: \"\"", "name::invalid", "2:10 \"\""),
        ("task_id:", "name::invalid", "2:1 task_id"),
        ("task_id: \"a\\x1b\"", "name::invalid", "2:10 \"a\\x1b\""),
        ("task_id: \"a\\u202e\"", "name::invalid", "2:10 \"a\\u202e\""),
        ("depends_on: [A, -B]", "name::invalid", "2:17 -B"),
        ("depends_on: [A, p/q/r]", "name::invalid", "2:17 p/q/r"),
        ("depends_on: A, B", "name::invalid", "2:13 A, B"),
    ]);
}

#[test]
fn an_id_is_needed() {
    let of = |id: Option<&str>| Defaults { id: id.map(str::to_owned), ..defaults() };
    let error = parse("-", b"body", &of(None)).unwrap_err();
    assert_eq!(error.code().unwrap().to_string(), "dispatch::spec::no_id");
    assert!(parse("-", b"---\nid: A\n---\nb", &of(None)).is_ok());
    let error = parse("my task.md", b"body", &of(Some("my task"))).unwrap_err();
    assert_eq!(error.code().unwrap().to_string(), "dispatch::name::invalid");
    assert!(error.help().unwrap().to_string().contains("task_id: "));
    assert!(parse("my task.md", b"---\nid: A\n---\nb", &of(Some("my task"))).is_ok());
}

#[test]
fn bombs_are_refused_quickly() {
    let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let list = vec![format!("*a{}", n - 1); 9].join(", ");
        format!("{text}a{n}: &a{n} [{list}]\n")
    });
    let texts: String = (0..100).map(|n| format!("b{n}: [*a, *a, *a, *a]\n")).collect();
    let steps: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let hostile = [
        bomb,
        format!("a: &a \"{}\"\n{texts}", "x".repeat(900_000)),
        format!("a: {}{}", "[".repeat(500_000), "]".repeat(500_000)),
        format!("a: {}", "[".repeat(1_000_000)),
        format!("a: {}", "{a: ".repeat(200_000)),
        format!("- {}", "- ".repeat(400_000)),
        steps,
        "a: &a [*a]".to_owned(),
        (0..60_000).map(|n| format!("key{n}: x\n")).collect(),
        format!("depends_on: [{}]", "a,".repeat(400_000)),
        format!("? {}", "? ".repeat(300_000)),
        format!("a: {}b", "!t ".repeat(300_000)),
        format!("a: *{}", "b".repeat(1_000_000)),
        format!("{}: b", "'".repeat(1_000_001)),
    ];
    for text in &hostile {
        let text = format!("---\n{text}\n---\nbody");
        let (code, _) = refused(text.as_bytes());
        assert!(code.starts_with("spec::"), "{code}: {:.60}", text);
    }
}

//! What is accepted, and what it is taken for. Refusals have their own file.

use miette::SourceSpan;
use proptest::prelude::*;

use super::*;

/// The defaults of every test: project `here`, a file `file-1.md`.
pub(super) fn defaults() -> Defaults {
    Defaults { project: Name::new(NameKind::Project, "here").unwrap(), id: Some("file-1".to_owned()) }
}

fn accepted(text: &str) -> Parsed {
    parse("file-1.md", text.as_bytes(), &defaults())
        .unwrap_or_else(|error| panic!("{text:?}: {:?}", miette::Report::new(error)))
}

/// Reads frontmatter of one line, with a body.
fn line(line: &str) -> Spec {
    accepted(&format!("---\n{line}\n---\nbody\n")).spec
}

/// Makes task names of texts.
pub(super) fn tasks(names: &[&str]) -> Vec<TaskName> {
    names.iter().map(|name| TaskName::parse(name).unwrap()).collect()
}

fn at(text: &str, span: SourceSpan) -> &str {
    &text[span.offset()..span.offset() + span.len()]
}

#[test]
fn a_bare_body_takes_every_default() {
    let Parsed { spec, warnings, places } = accepted("Do it.\n");
    let expected = Spec {
        task: TaskName::parse("here/file-1").unwrap(),
        title: "file-1".into(),
        priority: 2,
        depends_on: vec![],
        modifies: vec![],
        executor: None,
        labels: vec![],
        estimate_minutes: None,
        timeout_minutes: None,
        mode: Mode::Undecided,
        target: None,
        run: None,
        body: "Do it.\n".into(),
    };
    assert_eq!(spec, expected);
    assert!(warnings.is_empty());
    assert!(places.task_id.is_none() && places.project.is_none() && places.depends_on.is_empty());
}

#[test]
fn text_keys_take_a_scalar_as_it_is_written() {
    for id in [
        "007",
        "N",
        "no",
        "1.10",
        "0x1F",
        "0o17",
        "1e3",
        "y",
        "on",
        "True",
        "2026-01-15",
        "12",
        "99999999999999999999999",
    ] {
        assert_eq!(line(&format!("task_id: {id}")).task.id.as_str(), id);
        assert_eq!(line(&format!("id: \"{id}\"  # as text")).task.id.as_str(), id);
        assert_eq!(line(&format!("executor: {id}")).executor.as_deref(), Some(id));
        assert_eq!(line(&format!("labels: [{id}]")).labels, [id]);
        assert_eq!(line(&format!("depends_on:\n- {id}")).depends_on, tasks(&[&format!("here/{id}")]));
    }
    assert_eq!(line("title: .inf").title, ".inf");
    assert_eq!(line("title: 1e999").title, "1e999");
    assert_eq!(line("target: 1.0").target.as_deref(), Some("1.0"));
    assert_eq!(line("run: true").run.as_deref(), Some("true"));
    assert_eq!(line("task_id: !!str 007").task.id.as_str(), "007");
    assert_eq!(line("task_id: !!int \"5\"").task.id.as_str(), "5");
}

#[test]
fn one_text_is_a_list_of_one() {
    assert_eq!(line("labels: agent:code").labels, ["agent:code"]);
    assert_eq!(line("labels: no").labels, ["no"]);
    assert_eq!(line("tags: \"1.10\"").labels, ["1.10"]);
    assert_eq!(line("modifies: src/**").modifies, ["src/**"]);
    assert_eq!(line("depends_on: p/A").depends_on, tasks(&["p/A"]));
    assert_eq!(line("depends_on: []").depends_on, []);
    assert_eq!(line("depends_on:").depends_on, []);
}

#[test]
fn null_is_not_given() {
    for null in ["", "~", "null"] {
        let spec = line(&format!(
            "title: {null}\nexecutor: {null}\nrun: {null}\ntarget: {null}\npriority: {null}\nmode: {null}\n\
             timeout_minutes: {null}\nlabels: {null}\nneeds_claude_code: {null}"
        ));
        assert_eq!(spec, line("id: file-1"), "{null:?}");
    }
    assert_eq!(line("task_id: ~").task.id.as_str(), "file-1");
    assert_eq!(line("title: \"\"").title, "file-1");
}

#[test]
fn dependencies_belong_to_the_own_project() {
    let text = "---\ndepends_on: [A, other/B, p/A, A]\nproject: p\nid: X\n---\nbody";
    let Parsed { spec, places, .. } = accepted(text);
    assert_eq!(spec.depends_on, tasks(&["p/A", "other/B"]));
    assert_eq!(places.depends_on.iter().map(|&span| at(text, span)).collect::<Vec<_>>(), ["A", "other/B"]);
    assert_eq!(at(text, places.project.unwrap()), "p");
    assert_eq!(at(text, places.task_id.unwrap()), "X");
}

#[test]
fn priorities() {
    let cases =
        [("0", 0), ("1", 1), ("255", 255), ("\"3\"", 3), ("critical", 0), ("High", 1), ("default", 2), ("low", 3)];
    for (word, priority) in cases {
        assert_eq!(line(&format!("priority: {word}")).priority, priority, "{word}");
    }
}

#[test]
fn minutes_modes_and_flags() {
    let spec = line("estimated_minutes: 45\ntimeout_minutes: \"90\"");
    assert_eq!((spec.estimate_minutes, spec.timeout_minutes), (Some(45), Some(90)));
    for (word, mode) in
        [("push", Mode::Push), ("ssh_cli", Mode::Push), ("pull", Mode::Pull), ("http_pull", Mode::Pull)]
    {
        assert_eq!(line(&format!("mode: {word}")).mode, mode);
        assert_eq!(line(&format!("execution_mode: {word}")).mode, mode);
    }
    for yes in ["true", "yes", "on", "True"] {
        assert_eq!(line(&format!("needs_claude_code: {yes}\nlabels: x")).labels, ["x", "claude-code"]);
    }
    assert_eq!(line("needs_claude_code: true\nlabels: [claude-code]").labels, ["claude-code"]);
    assert!(line("needs_claude_code: no").labels.is_empty());
}

#[test]
fn a_title_is_one_line_and_may_come_from_a_heading() {
    assert_eq!(line("title: >\n  two\n  lines").title, "two lines");
    assert_eq!(line("title: \"a\\n b\\x1b[2J\"").title, "a b\u{1b}[2J");
    assert_eq!(accepted("intro\n```\n# no\n```\n## Yes\n").spec.title, "Yes");
    assert_eq!(accepted("---\ntitle: T\n---\n# H\n").spec.title, "T");
    assert_eq!(accepted("---\nid: X\n---\nno heading\n").spec.title, "X");
}

#[test]
fn the_form_of_the_file_is_taken_as_it_comes() {
    let plain = accepted("---\nid: A\nlabels: [x]\n---\nbody\n").spec;
    assert_eq!(accepted("\u{feff}---\nid: A\nlabels: [x]\n---\nbody\n").spec, plain);
    assert_eq!(accepted("---  \nid: A\nlabels: [x]\n---\t\n\n\nbody\n").spec, plain);
    assert_eq!(accepted("---\nid: A\nlabels: [x]\n...\nbody\n").spec, plain);
    let crlf = accepted("---\r\nid: A\r\nlabels: [x]\r\n---\r\nbody\r\n").spec;
    assert_eq!((crlf.task, crlf.labels, crlf.body.as_str()), (plain.task, plain.labels, "body\r\n"));
    assert_eq!(accepted("text\n```\n---\nid: B\n---\n```\n").spec.task.id.as_str(), "file-1");
    assert_eq!(accepted("---\n---\nbody").spec.body, "body");
    assert_eq!(
        accepted("---\nrun: |\n  cat <<X\n  ---\n  X\n---\nbody").spec.run.as_deref(),
        Some("cat <<X\n---\nX")
    );
    assert_eq!(accepted("----\nbody").spec.body, "----\nbody");
    assert_eq!(accepted("---\nx: &a {q: [1, {z: 2}]}\ny: {<<: *a}\nid: A\n---\nb").spec.task.id.as_str(), "A");
}

#[test]
fn what_is_odd_is_warned_of() {
    let text = "---\ndepend_on: A\nowner: me\n\"a\\x1b\": 1\n5: 6\n---\nb";
    let parsed = accepted(text);
    let seen: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        seen,
        ["unknown key `depend_on`", "unknown key `owner`", "unknown key `a\\u{1b}`", "unknown key `5`"]
    );
    let Warning::UnknownKey { meant, at: span, .. } = &parsed.warnings[0] else { panic!("{:?}", parsed.warnings) };
    assert_eq!((*meant, at(text, *span)), (Some("depends_on"), "depend_on"));
    assert!(parsed.spec.depends_on.is_empty());
    assert!(matches!(accepted("---\nid: A\n---\n\n").warnings[..], [Warning::NoBody { .. }]));
    assert!(accepted("---\nid: A\nrun: make\n---\n").warnings.is_empty());
    assert!(matches!(accepted("\n---\nid: A\n---\nx").warnings[..], [Warning::LateFrontmatter { .. }]));
    assert!(accepted("\n---\nNo: frontmatter\n---\nx").warnings.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse("x.md", &bytes, &defaults());
    }

    #[test]
    fn any_frontmatter_is_answered(text in "(---\n)?([a-z_]{0,8}[:\\-\\[\\]{}&*!|>'\"%@#,? \t\n\u{e9}\u{1b}\u{feff}~<0-9]{0,6}){0,20}(\n---\n)?.{0,20}") {
        match parse("x.md", text.as_bytes(), &defaults()) {
            Ok(parsed) => prop_assert!(!parsed.spec.title.is_empty()),
            Err(error) => prop_assert!(super::refusals::shown(&error).chars().all(|c| c == '\n' || !c.is_control())),
        }
    }

    #[test]
    fn any_value_of_any_key_is_answered(key in 0..14usize, value in "[ -~\n\t\u{e9}]{0,30}") {
        let key = ["id", "project", "title", "priority", "depends_on", "modifies", "executor", "tags", "estimated_minutes",
            "timeout_minutes", "mode", "target", "run", "needs_claude_code"][key];
        let text = format!("---\n{key}: {value}\n---\nbody");
        if let Err(error) = parse("x.md", text.as_bytes(), &defaults()) {
            prop_assert!(!super::refusals::shown(&error).is_empty());
        }
    }
}

//! `schema/v1.json`, the published description of what `--json` prints: checked against what is printed, key by key. A
//! document may have no key that is not described, and lack none that is promised.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{enqueue, line, plant_node};

struct Schema {
    whole: Value,
    checked: BTreeSet<String>,
}

impl Schema {
    fn new() -> Schema {
        let text = include_str!("../../schema/v1.json");
        Schema { whole: serde_json::from_str(text).unwrap(), checked: BTreeSet::new() }
    }

    /// Runs a command and checks its document, or that of its error.
    #[track_caller]
    fn check(&mut self, repo: &Repo, name: &str, args: &[&str]) -> Value {
        let out = repo.dispatch(&[&["--json"], args].concat());
        let document = out.json();
        let is_error = document.get("error").is_some_and(Value::is_object);
        let schema = if is_error { &self.whole["$defs"]["error"] } else { &self.whole["commands"][name] };
        assert!(schema.is_object(), "{name} is not described");
        let mut wrong = Vec::new();
        self.compare(schema, &document, name, &mut wrong);
        assert!(wrong.is_empty(), "{}\n{out}", wrong.join("\n"));
        self.checked.insert(if is_error { "error".to_owned() } else { name.to_owned() });
        document
    }

    /// The part of JSON Schema that the file uses; another keyword in it is refused.
    fn compare(&self, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/$defs/").unwrap();
            return self.compare(&self.whole["$defs"][name], value, place, wrong);
        }
        if let Some(either) = schema["anyOf"].as_array() {
            let fits = |one: &&Value| {
                let mut wrong = Vec::new();
                self.compare(one, value, place, &mut wrong);
                wrong.is_empty()
            };
            if !either.iter().any(|one| fits(&one)) {
                wrong.push(format!("{place}: {value} is none of {schema}"));
            }
            return;
        }
        for keyword in schema.as_object().unwrap().keys() {
            let known =
                "type enum description format pattern properties required items additionalProperties minimum";
            assert!(known.split(' ').any(|known| known == keyword), "{keyword} is not checked");
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Null => return,
            Value::String(one) => vec![one],
            several => several.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
        };
        let mut fits = types.iter().any(|name| is_of(value, name));
        fits &= value.is_null() || schema["enum"].as_array().is_none_or(|values| values.contains(value));
        fits &=
            schema["format"].is_null() || value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok());
        fits &= schema["pattern"]
            .as_str()
            .is_none_or(|pattern| value.as_str().is_none_or(|text| matches(pattern, text)));
        if !fits {
            wrong.push(format!("{place}: {value} is not {schema}"));
        }
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            self.compare(&schema["items"], item, &format!("{place}[{at}]"), wrong);
        }
        if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
            for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !object.contains_key(key) {
                    wrong.push(format!("{place} lacks {key}"));
                }
            }
            for (key, value) in object {
                match properties.get(key) {
                    Some(schema) => self.compare(schema, value, &format!("{place}.{key}"), wrong),
                    None => wrong.push(format!("{place}.{key} is not described")),
                }
            }
        }
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type: {other}"),
    }
}

/// The two patterns that there are.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^dispatch::" => text.starts_with("dispatch::"),
        _ => (text.len() == 40 || text.len() == 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
    }
}

/// Checks a document that another test has at hand.
#[track_caller]
pub(crate) fn described(name: &str, document: &Value) {
    let schema = Schema::new();
    assert!(schema.whole["commands"][name].is_object(), "{name} is not described");
    let mut wrong = Vec::new();
    schema.compare(&schema.whole["commands"][name], document, name, &mut wrong);
    assert!(wrong.is_empty(), "{}\n{document}", wrong.join("\n"));
}

/// What is checked by [`described`], in the tests of the command itself.
const ELSEWHERE: [&str; 4] = ["attach", "demo", "done", "outbox --bundle"];

/// There is no command but is described; `top` draws, and has no document.
#[test]
fn each_command_is_described() {
    let schema = Schema::new();
    let mut names = Vec::new();
    let command = git_dispatch::cli::command();
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let below: Vec<String> =
            one.get_subcommands().map(|below| format!("{} {}", one.get_name(), below.get_name())).collect();
        names.extend(if below.is_empty() { vec![one.get_name().to_owned()] } else { below });
    }
    assert!(names.len() > 35, "{names:?}");
    names.retain(|name| name != "top" && !schema.whole["commands"][name].is_object());
    assert!(names.is_empty(), "not described: {names:?}");
}

#[test]
fn what_is_printed_is_what_is_described() {
    let mut schema = Schema::new();
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    schema.check(&a, "init", &["init"]);
    a.spec("../specs/first.md", "project: p\nrun: echo 1 > 1.txt\nestimated_minutes: 5", "# First");
    schema.check(&a, "enqueue", &["enqueue", "../specs"]);
    schema.check(&a, "enqueue", &["enqueue", "../specs"]);
    let clash = |word: &str| line(&format!("echo {word} > src/one.txt"));
    enqueue(
        &a,
        &[
            ("x", clash("x")),
            ("y", clash("y")),
            ("bad", line("echo no; exit 3")),
            ("after", "depends_on: bad".into()),
            ("hand", String::new()),
        ],
    );
    plant_node(&sandbox, "north", &serde_json::json!({"slots": 1}));
    schema.check(&a, "assign", &["assign", "after", "--node", "nobody"]);
    schema.check(&a, "assign", &["assign", "first", "--node", "north"]);
    schema.check(&a, "schedule", &["schedule"]);
    schema.check(&a, "claim", &["claim", "hand"]);
    schema.check(&a, "release", &["release", "hand"]);
    schema.check(&a, "claim", &["claim", "hand"]);
    schema.check(&a, "finish", &["finish", "hand"]);
    schema.check(&a, "run", &["run", "x", "y", "bad"]);
    schema.check(&a, "logs", &["logs", "bad"]);
    schema.check(&a, "status", &["status"]);
    schema.check(&a, "status --settings", &["status", "--settings"]);
    schema.check(&a, "wait", &["wait", "x"]);
    schema.check(&a, "conflicts", &["conflicts"]);
    schema.check(&a, "collect", &["collect", "--dry-run"]);
    schema.check(&a, "collect", &["collect"]);
    schema.check(&a, "retry", &["retry", "bad"]);
    schema.check(&a, "cancel", &["cancel", "bad"]);
    schema.check(&a, "pause", &["pause", "--all"]);
    schema.check(&a, "resume", &["resume", "--all"]);
    schema.check(&a, "doctor", &["doctor"]);
    schema.check(&a, "doctor", &["doctor", "--probe", "--republish"]);
    intake(&mut schema, &a);
    reading(&mut schema, &a);
    let described: BTreeSet<String> = schema.whole["commands"].as_object().unwrap().keys().cloned().collect();
    let left: Vec<&String> =
        described.difference(&schema.checked).filter(|name| !ELSEWHERE.contains(&name.as_str())).collect();
    assert!(left.is_empty() && schema.checked.contains("error"), "never looked at: {left:?}");
}

/// What comes from folders, forges and a generator.
fn intake(schema: &mut Schema, a: &Repo) {
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/issues/github/labeled.json");
    schema.check(a, "enqueue --issue", &["enqueue", "--issue", event]);
    a.git(&["config", "dispatch.trust.issueAuthors", "ann"]);
    schema.check(a, "enqueue --issue", &["enqueue", "--issue", event]);
    a.spec("../drop/one.md", "project: p", "# One");
    a.spec("../drop/first.md", "project: p\npriority: 0", "# Another");
    schema.check(a, "inbox", &["inbox", "../drop"]);
    a.git(&["config", "dispatch.factory.generate", "true"]);
    schema.check(a, "factory", &["factory"]);
    schema.check(a, "status", &["status"]);
}

/// What changes nothing, or only what it is given.
fn reading(schema: &mut Schema, a: &Repo) {
    enqueue(a, &[("last", line("true"))]);
    for (name, args) in [
        ("list", &["list", "--why"][..]),
        ("show", &["show", "y"]),
        ("show", &["show", "x"]),
        ("nodes", &["nodes"]),
        ("reap", &["reap", "--older-than", "1h"]),
        ("outbox", &["outbox"]),
        ("gc", &["gc", "--dry-run"]),
        ("log", &["log"]),
        ("comment", &["comment", "x"]),
        ("report", &["report"]),
        ("explain", &["explain", "unclosed"]),
        ("completions", &["completions", "bash"]),
        ("man", &["man", "run"]),
        ("bundle create", &["bundle", "create", "../out.bundle", "--for", "vault"]),
        ("bundle show", &["bundle", "show", "../out.bundle"]),
        ("bundle open", &["bundle", "open", "../out.bundle", "../vault"]),
        ("list", &["list", "--state", "nonsense"]),
    ] {
        schema.check(a, name, args);
    }
}

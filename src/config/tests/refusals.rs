//! Tests of what is refused, and how it is told.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::*;

/// Writes an error out in one line: code, message, help, and the piece of the file that it points at.
fn told(result: Result<Loaded, ConfigError>) -> String {
    let error = result.expect_err("refused");
    let code = error.code().unwrap().to_string();
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    let shown = error.labels().into_iter().flatten().map(|label| {
        let piece = error.source_code().unwrap().read_span(label.inner(), 0, 0).unwrap();
        let data = String::from_utf8_lossy(piece.data()).into_owned();
        format!(" @{}:{}:{} {data:?}", piece.name().unwrap(), piece.line() + 1, piece.column() + 1)
    });
    let shown: String = shown.collect();
    format!("{}: {error}{help}{shown}", code.trim_start_matches("dispatch::config::"))
}

/// A file that is not TOML, or has what is not known.
const SYNTAX_AND_UNKNOWN: &[(&str, &str)] = &[
    ("a = = 1", "syntax: git-dispatch.toml is not TOML"),
    ("[node\nslots = 1", "syntax: git-dispatch.toml is not TOML"),
    ("max_attempts = 1\nmax_attempts = 2", "syntax: git-dispatch.toml is not TOML: duplicate key"),
    (
        "max_atempts = 1",
        "unknown_key: `max_atempts` is not a setting (did you mean `max_attempts`?) @git-dispatch.toml:1:1 \"max_atempts\"",
    ),
    (
        "\nslots = 1",
        "unknown_key: `slots` is not a setting (did you mean `node.slots`?) @git-dispatch.toml:2:1 \"slots\"",
    ),
    (
        "[executors.glm]\ncomand = []",
        "unknown_key: `executors.glm.comand` is not a setting (did you mean `command`?) @git-dispatch.toml:2:1 \"comand\"",
    ),
    ("[nodse.x]\nslots = 1", "unknown_key: `nodse` is not a setting (did you mean `node`?)"),
    ("\"a\\u001b[2J\" = 1", r#"unknown_key: `"a\u{1b}[2J"` is not a setting"#),
    (
        "remote = 'x'",
        "unknown_key: `remote` is not a setting of the file (the file is the same for every clone; use `git config dispatch.remote NAME`)",
    ),
];

/// Values of another type.
const WRONG_TYPES: &[(&str, &str)] = &[
    (
        "node = 'x'",
        "wrong_type: `node` is a table, not a string (the node's own name is a setting of the clone: `git config dispatch.node NAME`)",
    ),
    (
        "[executors]\nglm = 3",
        "wrong_type: `executors.glm` is a table, not an integer (it holds settings of its own: write [executors.glm]) @git-dispatch.toml:2:7 \"3\"",
    ),
    ("[[executors]]", "wrong_type: `executors` is a table, not an array"),
    (
        "[node]\nslots = 'many'",
        "wrong_type: `node.slots` takes a whole number, not a string (write 3) @git-dispatch.toml:2:9 \"'many'\"",
    ),
    (
        "[node]\npoll = 5",
        "wrong_type: `node.poll` takes a duration, not an integer (write \"30s\") @git-dispatch.toml:2:8 \"5\"",
    ),
    ("[node]\nlabels = 'a'", "wrong_type: `node.labels` takes a list of texts, not a string (write [\"…\"])"),
    (
        "[node]\nlabels = ['a', 1]",
        "wrong_type: `node.labels` takes a list of texts, not an integer in it (write [\"…\"]) @git-dispatch.toml:2:16 \"1\"",
    ),
    ("[secrets]\nscan = 1979-05-27", "wrong_type: `secrets.scan` takes true or false, not a datetime"),
    (
        "[executors.a]\nenv = { A = 1 }",
        "wrong_type: `executors.a.env` takes a table of texts by variable, not an integer for \"A\" (write { NAME = \"…\" }) @git-dispatch.toml:2:9 \"A\"",
    ),
    (
        "[executors.a]\ntimeout = 3",
        "wrong_type: `executors.a.timeout` takes a duration or a multiple of the estimate, not an integer (write \"2h\" or \"3x\")",
    ),
];

/// Values of the type that are no good.
const BAD_VALUES: &[(&str, &str)] = &[
    (
        "[node]\nlost_after_beats = 1",
        "bad_value: `node.lost_after_beats` is 1, under 2 (write a number from 2 to 10000) @git-dispatch.toml:2:20 \"1\"",
    ),
    ("[node]\nslots = 0", "bad_value: `node.slots` is 0, under 1"),
    ("[nodes.x]\nslots = 100000", "bad_value: `nodes.x.slots` is 100000, over 1024"),
    ("max_attempts = 99999999999999999999", "bad_value: `max_attempts` takes no number as large as that"),
    (
        "retry_wait = '5 minutes'",
        "bad_value: `retry_wait` is \"5 minutes\", which is no duration (a duration is a whole number and a unit: 200ms, 30s, 5m, 2h, 30d)",
    ),
    ("age_step = '0s'", "bad_value: `age_step` is \"0s\", and must be over zero"),
    ("[executors.a]\ntimeout = '0x'", "bad_value: `executors.a.timeout` is \"0x\", not a multiple over zero"),
    (
        "[node]\nmode = 'pul'",
        "bad_value: `node.mode` has the unknown value \"pul\" (did you mean \"pull\"?) @git-dispatch.toml:2:8 \"'pul'\"",
    ),
    (
        "[notify]\nevents = ['lost', 'conflicts']",
        "bad_value: `notify.events` has the unknown value \"conflicts\" (did you mean \"conflict\"?) @git-dispatch.toml:2:19 \"'conflicts'\"",
    ),
    ("[factory]\nwhen_completed = 1.5", "bad_value: `factory.when_completed` is 1.5, not from 0.0 to 1.0"),
    ("[factory]\nwhen_completed = nan", "bad_value: `factory.when_completed` is NaN, not from 0.0 to 1.0"),
    ("[collect]\nverify = ['']", "bad_value: `collect.verify` names no program"),
    ("project = \"a\\u0000\"", "bad_value: `project` holds a NUL character"),
    ("[node]\nkeep_ignored = ['a[']", "bad_value: `node.keep_ignored` has \"a[\", which is no glob"),
    (
        "[executors.a]\nmodel = { critcal = 'x' }",
        "bad_value: `executors.a.model` has \"critcal\", which is no priority (did you mean `critical`?) @git-dispatch.toml:2:11 \"critcal\"",
    ),
    (
        "ref_prefix = 'dispatch/'",
        "bad_value: `ref_prefix` is \"dispatch/\", which does not begin with `refs/` (write as in \"refs/dispatch/\") @git-dispatch.toml:1:14",
    ),
    ("ref_prefix = 'refs/dispatch'", "bad_value: `ref_prefix` is \"refs/dispatch\", which does not end in `/`"),
    ("branch_prefix = '-x'", "bad_value: `branch_prefix` is \"-x\", which begins with `-`"),
    ("target = '--upload-pack=x'", "bad_value: `target` is \"--upload-pack=x\", which begins with `-`"),
];

/// Values that do not go together, or with what there is.
const BAD_TOGETHER: &[(&str, &str)] = &[
    (
        "ref_prefix = 'refs/heads/task/'",
        "bad_value: `ref_prefix` does not fit: ref_prefix \"refs/heads/task/\" and branch_prefix \"refs/heads/task/\" overlap",
    ),
    (
        "retry_wait = '1h'",
        "bad_value: `retry_wait` does not fit: retry_wait is 1h, over retry_wait_max, 10m (give both) @git-dispatch.toml:1:14 \"'1h'\"",
    ),
    (
        "[nodes.x]\npoll = '2m'",
        "bad_value: `nodes.x.poll` does not fit: poll is 2m, over poll_max, 1m (give both) @git-dispatch.toml:2:8 \"'2m'\"",
    ),
    (
        "[executors.a]\nmin = 2\nmax = 1",
        "bad_value: `executors.a.max` does not fit: min is 2, over max, 1 (give both)",
    ),
    (
        "[executors.a]\ncommand = []",
        "bad_value: `executors.a.command` is empty, but the executor is of kind \"command\"",
    ),
    (
        "[executors.shell]\nkind = 'tmux'",
        "bad_value: `executors.shell.kind` is not \"shell\", but `shell` is built in",
    ),
    ("[executors.'a b']", "bad_value: `executors.\"a b\"` has a bad name"),
    ("[nodes.'..']", "bad_value: `nodes.\"..\"` has a bad name"),
    (
        "default_executor = 'glmm'\n[executors.glm]",
        "bad_value: `default_executor` names the executor \"glmm\", which is not configured (did you mean \"glm\"?) @git-dispatch.toml:1:20 \"'glmm'\"",
    ),
    (
        "[collect]\nconflict_executor = 'x'",
        "bad_value: `collect.conflict_executor` names the executor \"x\", which is not configured (configured are: shell; add [executors.NAME] for another)",
    ),
    ("[node]\nexecutors = ['x']", "bad_value: `node.executors` names the executor \"x\""),
    ("[nodes.big]\n[nodes.Big]", "bad_value: `nodes.big` differs from \"Big\" only in letter case"),
];

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    for (text, wanted) in [SYNTAX_AND_UNKNOWN, WRONG_TYPES, BAD_VALUES, BAD_TOGETHER].into_iter().flatten() {
        let told = told(of_file(text));
        assert!(told.starts_with(wanted), "{text}\n  told   {told}\n  wanted {wanted}");
        assert!(told.contains(" @git-dispatch.toml:"), "{text}: no place in {told}");
    }
}

/// Git keys, their values, and what is told.
const OF_GIT_CONFIG: &[(&str, &str, &str)] = &[
    (
        "dispatch.node.slot",
        "1",
        "unknown_key: git config `dispatch.node.slot` (local) is not a setting (did you mean `dispatch.node.slots`?)",
    ),
    (
        "dispatch.slots",
        "1",
        "unknown_key: git config `dispatch.slots` (local) is not a setting (did you mean `dispatch.node.slots`?)",
    ),
    (
        "dispatch.nodename",
        "x",
        "unknown_key: git config `dispatch.nodename` (local) is not a setting (did you mean `dispatch.node`?)",
    ),
    ("dispatch.executors.glm", "x", "unknown_key: git config `dispatch.executors.glm` (local) is not a setting"),
    ("dispatch.", "x", "unknown_key: git config `dispatch.` (local) is not a setting"),
    (
        "dispatch.zzzzzzzz",
        "x",
        "unknown_key: git config `dispatch.zzzzzzzz` (local) is not a setting (take it out with `git config --unset-all dispatch.zzzzzzzz`)",
    ),
    (
        "dispatch.node.slots",
        "many",
        "wrong_type: git config `dispatch.node.slots` (local) takes a whole number, not \"many\" (write 3)",
    ),
    (
        "dispatch.secrets.scan",
        "maybe",
        "wrong_type: git config `dispatch.secrets.scan` (local) takes true or false, not \"maybe\"",
    ),
    (
        "dispatch.node.pollmax",
        "5",
        "bad_value: git config `dispatch.node.pollMax` (local) is \"5\", which is no duration",
    ),
    (
        "dispatch.node.pollmax",
        "1s",
        "bad_value: git config `dispatch.node.pollMax` (local) does not fit: poll is 5s, over poll_max, 1s (give both)",
    ),
    (
        "dispatch.executors.glm.env",
        "A",
        "wrong_type: git config `dispatch.executors.glm.env` (local) takes a table of texts by variable, not \"A\" (write NAME=value)",
    ),
    (
        "dispatch.executors.glm.command",
        "",
        "bad_value: git config `dispatch.executors.glm.command` (local) is empty",
    ),
    (
        "dispatch.defaultexecutor",
        "shel",
        "bad_value: git config `dispatch.defaultExecutor` (local) names the executor \"shel\", which is not configured (did you mean \"shell\"?)",
    ),
];

#[test]
fn what_is_wrong_in_git_config_is_told_with_its_key() {
    for (key, value, wanted) in OF_GIT_CONFIG {
        let told = told(of_git(&[(key, value, "local")]));
        assert!(told.starts_with(wanted), "{key}={value}\n  told   {told}\n  wanted {wanted}");
    }
    let alone = GitConfigValue { key: "dispatch.node.slots".into(), value: None, scope: "local".into() };
    let inputs = Inputs { git_config: vec![alone], ..Inputs::default() };
    assert_eq!(
        told(load(&inputs)),
        "wrong_type: git config `dispatch.node.slots` (local) has no value (write `key = value`)"
    );
}

/// Variables, their values, and what is told.
const OF_ENVIRONMENT: &[(&str, &str, &str)] = &[
    (
        "GIT_DISPATCH_NOD",
        "x",
        "unknown_key: environment variable `GIT_DISPATCH_NOD` is not a setting (did you mean `GIT_DISPATCH_NODE`?)",
    ),
    (
        "GIT_DISPATCH_SLOTS",
        "x",
        "unknown_key: environment variable `GIT_DISPATCH_SLOTS` is not a setting (did you mean `GIT_DISPATCH_NODE_SLOTS`?)",
    ),
    (
        "GIT_DISPATCH_NODE_NAME",
        "x",
        "unknown_key: environment variable `GIT_DISPATCH_NODE_NAME` is not a setting (did you mean `GIT_DISPATCH_NODE`?)",
    ),
    (
        "GIT_DISPATCH_",
        "x",
        "unknown_key: environment variable `GIT_DISPATCH_` is not a setting (unset GIT_DISPATCH_)",
    ),
    (
        "GIT_DISPATCH_NODE_SLOTS",
        "",
        "wrong_type: environment variable `GIT_DISPATCH_NODE_SLOTS` takes a whole number, not \"\"",
    ),
    ("GIT_DISPATCH_NODE_SLOTS", "0", "bad_value: environment variable `GIT_DISPATCH_NODE_SLOTS` is 0, under 1"),
    (
        "GIT_DISPATCH_NODE_LOST_AFTER_BEATS",
        "1",
        "bad_value: environment variable `GIT_DISPATCH_NODE_LOST_AFTER_BEATS` is 1, under 2",
    ),
    (
        "GIT_DISPATCH_REF_PREFIX",
        "x",
        "bad_value: environment variable `GIT_DISPATCH_REF_PREFIX` is \"x\", which does not begin with `refs/`",
    ),
];

#[test]
fn what_is_wrong_in_the_environment_is_told_with_its_variable() {
    for (variable, value, wanted) in OF_ENVIRONMENT {
        let told = told(of_env(&[(variable, value)]));
        assert!(told.starts_with(wanted), "{variable}={value}\n  told   {told}\n  wanted {wanted}");
    }
}

#[test]
fn options_are_judged_too() {
    let config = of_option("node_name", "gcp-2").unwrap().config;
    assert_eq!(config.node_name.as_deref(), Some("gcp-2"));
    assert_eq!(of_option("collect.verify", "make").unwrap().config.collect.verify, Verify::Line("make".into()));
    assert!(told(of_option("node.slots", 0)).starts_with("bad_value: option `--flag` is 0, under 1"));
    assert!(told(of_option("node.slots", "x")).starts_with("wrong_type: option `--flag` takes a whole number"));
    assert!(told(of_option("node.slot", 1)).starts_with("unknown_key: option `--flag` sets `node.slot`, which"));
}

#[test]
fn an_error_is_drawn_with_its_line() {
    let error = of_file("# x\n[node]\nslots = 0\n").unwrap_err();
    let mut drawn = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut drawn, &error).unwrap();
    assert!(drawn.contains("git-dispatch.toml:3:9") && drawn.contains("slots = 0"), "{drawn}");
}

#[test]
fn a_huge_or_deep_file_is_refused() {
    let wide = "#".repeat(2 << 20);
    assert!(told(of_file(&wide)).starts_with("syntax: git-dispatch.toml is over 1 MiB"));
    let deep = format!("project = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(told(of_file(&deep)).starts_with("syntax:"));
    let dotted = format!("{}x = 1", "a.".repeat(200_000));
    assert!(of_file(&dotted).is_err());
}

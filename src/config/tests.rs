//! Tests of loading as a whole, with literal inputs: every layer and every origin here, the rest beside it.

use std::path::PathBuf;
use std::time::Duration;

use super::model::{ExecutorKind, NodeMode, ProjectSync, Timeout, Verify};
use super::*;

mod annotated;
mod noise;
mod refusals;

fn of_file(text: &str) -> Result<Loaded, ConfigError> {
    load(&Inputs::default().with_file("git-dispatch.toml", text))
}

fn of_git(values: &[(&str, &str, &str)]) -> Result<Loaded, ConfigError> {
    load(&Inputs::default().with_git_config(values.iter().copied()))
}

fn of_env(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load(&Inputs::default().with_environment(variables.iter().copied()))
}

fn of_option(path: &str, value: impl Into<Value>) -> Result<Loaded, ConfigError> {
    load(&Inputs::default().with_option(path, value, "--flag"))
}

#[test]
fn each_layer_beats_the_one_before_and_is_told_as_origin() {
    let file = "[node]\nslots = 2\n";
    let git = [("Dispatch.node.SLOTS", "3", "local")];
    let env = [("GIT_DISPATCH_NODE_SLOTS", "4")];
    let slots = |inputs: &Inputs| {
        let loaded = load(inputs).unwrap();
        (loaded.config.node.slots, loaded.origin("node.slots").unwrap().to_string())
    };
    let mut inputs = Inputs::default();
    assert_eq!(slots(&inputs), (1, "default".into()));
    inputs = inputs.with_file("main:git-dispatch.toml", file);
    assert_eq!(slots(&inputs), (2, "main:git-dispatch.toml:2".into()));
    inputs = inputs.with_git_config(git);
    assert_eq!(slots(&inputs), (3, "git config dispatch.node.slots (local)".into()));
    inputs = inputs.with_environment(env);
    assert_eq!(slots(&inputs), (4, "environment GIT_DISPATCH_NODE_SLOTS".into()));
    inputs = inputs.with_option("node.slots", 5, "--slots");
    assert_eq!(slots(&inputs), (5, "option --slots".into()));
}

#[test]
fn a_span_is_the_value_in_the_file() {
    let text = "# x\n[collect]\nverify = [\"make\", 'check']\n";
    let loaded = of_file(text).unwrap();
    assert_eq!(loaded.config.collect.verify, Verify::Argv(vec!["make".into(), "check".into()]));
    let Some(Origin::File { span, line: 3, .. }) = loaded.origin("collect.verify") else { panic!("of the file") };
    assert_eq!(&text[span.clone()], "[\"make\", 'check']");
    let setting = loaded.settings.iter().find(|setting| setting.path == "collect.verify").unwrap();
    assert_eq!(setting.value, r#"["make", "check"]"#);
}

#[test]
fn one_nodes_settings_go_over_the_common_ones_of_the_same_layer_or_lower() {
    let file = "[node]\nslots = 2\nmode = 'pull'\n[nodes.\"big.lan\"]\nslots = 8\nwork_dir = '/w'\n";
    let config = of_file(file).unwrap().config;
    let big = config.node_settings("big.lan");
    assert_eq!((big.slots, big.mode, big.work_dir), (8, NodeMode::Pull, Some(PathBuf::from("/w"))));
    assert_eq!(config.node_settings("other").slots, 2);
    let option = Inputs::default().with_file("f", file).with_option("node.slots", 3, "--slots");
    assert_eq!(load(&option).unwrap().config.node_settings("big.lan").slots, 3);
    let git =
        Inputs::default().with_file("f", file).with_git_config([("dispatch.nodes.big.lan.slots", "9", "local")]);
    assert_eq!(load(&git).unwrap().config.node_settings("big.lan").slots, 9);
}

#[test]
fn projects_have_their_own_target_or_the_common_one() {
    let config =
        of_file("target = 'trunk'\n[projects.a]\ntarget = 'next'\n[projects.b]\nsync = 'bundle'\n").unwrap().config;
    assert_eq!(
        (config.target_of("a"), config.target_of("b"), config.target_of("c")),
        (Some("next"), Some("trunk"), Some("trunk"))
    );
    assert_eq!((config.projects["a"].sync, config.projects["b"].sync), (ProjectSync::Remote, ProjectSync::Bundle));
}

#[test]
fn repairs_fall_back_to_the_default_executor_unless_it_is_a_shell() {
    let config = of_file("default_executor = 'glm'\n[executors.glm]\n").unwrap().config;
    assert_eq!(config.conflict_executor(), Some("glm"));
    let config = of_file("default_executor = 'sh2'\n[executors.sh2]\nkind = 'shell'\n").unwrap().config;
    assert_eq!(config.conflict_executor(), None);
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_read() {
    assert_eq!(of_file("\u{feff}max_attempts = 7\r\n[node]\r\nslots = 2\r\n").unwrap().config.max_attempts, 7);
}

#[test]
fn git_config_is_typed_by_what_the_setting_takes() {
    let config = of_git(&[
        ("user.name", "passed over", "global"),
        ("dispatch.node", "gcp-1", "local"),
        ("dispatch.remote", "hub", "local"),
        ("dispatch.maxattempts", "5", "local"),
        ("dispatch.node.pollmax", "2m", "local"),
        ("dispatch.node.labels", "global", "global"),
        ("dispatch.node.labels", "a", "local"),
        ("dispatch.node.labels", "b", "local"),
        ("dispatch.notify.events", "", "local"),
        ("dispatch.secrets.scan", "off", "local"),
        ("dispatch.factory.whencompleted", "0.5", "local"),
        ("dispatch.executors.glm.timeout", "3x", "local"),
        ("dispatch.executors.glm.env", "A=1", "local"),
        ("dispatch.executors.glm.env", "B=x=y", "local"),
        ("dispatch.executors.glm.command", "agent", "local"),
        ("dispatch.executors.glm.command", "a, b", "local"),
        ("dispatch.collect.verify", "make check", "local"),
    ])
    .unwrap()
    .config;
    assert_eq!((config.node_name.as_deref(), config.remote.as_deref()), (Some("gcp-1"), Some("hub")));
    assert_eq!((config.max_attempts, config.node.poll_max), (5, Dur::from_secs(120)));
    assert_eq!(config.node.labels, ["a", "b"], "the last scope's");
    assert!(config.notify.events.is_empty() && !config.secrets.scan);
    assert_eq!(config.factory.when_completed, 0.5);
    let glm = config.executor("glm").unwrap();
    assert_eq!(glm.timeout, Timeout::TimesEstimate(3.0));
    assert_eq!((glm.env["A"].as_str(), glm.env["B"].as_str()), ("1", "x=y"));
    assert_eq!(glm.command, ["agent", "a, b"]);
    assert_eq!(config.collect.verify, Verify::Line("make check".into()));
    let several = [("dispatch.collect.verify", "make", "local"), ("dispatch.collect.verify", "check", "local")];
    assert_eq!(of_git(&several).unwrap().config.collect.verify, Verify::Argv(vec!["make".into(), "check".into()]));
    let alone = GitConfigValue { key: "dispatch.trust.signed".into(), value: None, scope: "local".into() };
    let inputs = Inputs { git_config: vec![alone], ..Inputs::default() };
    assert!(load(&inputs).unwrap().config.trust.signed);
}

#[test]
fn the_environment_is_typed_by_what_the_setting_takes() {
    let inputs =
        Inputs::default().with_file("f", "[executors.glm-2]\n[nodes.Big]\nslots = 2\n").with_environment([
            ("PATH", "passed over"),
            ("GIT_DISPATCH_TEST_CLOCK", "passed over"),
            ("GIT_DISPATCH_NODE", "gcp-1"),
            ("GIT_DISPATCH_REMOTE", "hub"),
            ("GIT_DISPATCH_NODE_POLL_MAX", "2m"),
            ("GIT_DISPATCH_NODE_LABELS", ""),
            ("GIT_DISPATCH_TRUST_ISSUE_AUTHORS", "ann, bob"),
            ("GIT_DISPATCH_TRUST_SIGNED", "true"),
            ("GIT_DISPATCH_EXECUTORS_GLM_2_STALL_TIMEOUT", "1m"),
            ("GIT_DISPATCH_EXECUTORS_GLM_2_MODEL", "default=a,low=b"),
            ("GIT_DISPATCH_EXECUTORS_NEW_COMMAND", "agent,{prompt}"),
            ("GIT_DISPATCH_EXECUTORS_SHELL_TIMEOUT", "1h"),
            ("GIT_DISPATCH_NODES_BIG_SLOTS", "9"),
            ("GIT_DISPATCH_COLLECT_VERIFY", "make a,b"),
        ]);
    let config = load(&inputs).unwrap().config;
    assert_eq!((config.node_name.as_deref(), config.remote.as_deref()), (Some("gcp-1"), Some("hub")));
    assert_eq!((config.node.poll_max, config.node.labels.len()), (Dur::from_secs(120), 0));
    assert_eq!(config.trust.issue_authors, ["ann", "bob"]);
    assert!(config.trust.signed);
    assert_eq!(config.executors.keys().collect::<Vec<_>>(), ["glm-2", "new", "shell"]);
    assert_eq!(config.executors["glm-2"].stall_timeout, Dur::from_secs(60));
    assert_eq!(config.executors["glm-2"].model.len(), 2);
    assert_eq!(config.executors["new"].command, ["agent", "{prompt}"]);
    assert_eq!(config.executors["shell"].timeout, Timeout::Fixed(Duration::from_secs(3600)));
    assert_eq!(config.node_settings("Big").slots, 9);
    assert_eq!(config.collect.verify, Verify::Line("make a,b".into()));
}

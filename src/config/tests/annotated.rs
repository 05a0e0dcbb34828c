//! Tests of the annotated file: it, the list of settings and the model say the same.

use std::collections::BTreeSet;

use super::*;
use crate::config::model::StdinSource;

#[test]
fn the_annotated_file_has_every_setting_and_nothing_else() {
    let loaded = of_file(&uncommented(DEFAULTS)).unwrap();
    let given = |setting: &&Setting| setting.origin != Origin::Default;
    let mut listed: BTreeSet<String> =
        loaded.settings.iter().filter(given).map(|s| s.path.replace(".NAME.", ".*.")).collect();
    // Of these two the file shows entries, and an example of a node shows what it likes.
    for entry in ["critical", "default"] {
        assert!(listed.remove(&format!("executors.*.model.{entry}")));
    }
    listed.insert("executors.*.model".into());
    assert!(listed.contains("nodes.*.slots"));
    listed.retain(|path| !path.starts_with("nodes.*."));
    let known = schema::KEYS.iter().map(|key| key.path.to_owned());
    let known: BTreeSet<String> = known
        .filter(|path| !path.starts_with("nodes.*.") && !schema::OF_ONE_CLONE.contains(&path.as_str()))
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn the_model_has_every_setting_and_nothing_else() {
    let inputs = Inputs::default().with_file("f", uncommented(DEFAULTS));
    let inputs = inputs.with_option("node_name", "n", "--node").with_option("remote", "r", "--remote");
    let config = load(&inputs).unwrap().config;
    let table = toml::Table::try_from(&config).unwrap();
    for key in schema::KEYS {
        let path = KeyPath::new(key.path.split('.').map(|part| if part == "*" { "NAME" } else { part }));
        let mut value = Some(&Value::Table(table.clone())).cloned();
        for part in path.parts() {
            value = value.and_then(|value| value.get(part).cloned());
        }
        assert!(value.is_some(), "{} is not in the model", key.path);
    }
    // What the model has, the schema takes; and what it writes is read as the same.
    let mut back = table.clone();
    back.remove("node_name");
    back.remove("remote");
    let text = toml::to_string(&back).unwrap();
    let again = load(&Inputs { file: Some(("f".into(), text)), ..inputs }).unwrap().config;
    assert_eq!(again, config);
}

#[test]
fn what_the_annotated_file_shows_of_executors_is_what_an_empty_one_gets() {
    let mut shown = of_file(&uncommented(DEFAULTS)).unwrap().config.executors["NAME"].clone();
    let empty = of_file("[executors.x]").unwrap().config.executors["x"].clone();
    assert!(shown.preamble.take().is_some() && empty.preamble.is_none());
    assert_eq!(shown, empty);
}

#[test]
fn each_setting_of_the_annotated_file_has_its_comment() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let bare = pair[1].trim_start_matches('#');
        let is_setting = !pair[1].starts_with("# ") && bare.contains(" = ") && !pair[0].contains("NAME]");
        let in_example = pair[0].starts_with("#slots");
        assert!(!is_setting || in_example || pair[0].starts_with("# "), "{} has no comment", pair[1]);
        assert!(pair[1].chars().count() <= 120, "{} is too long", pair[1]);
    }
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = load(&Inputs::default()).unwrap();
    let config = &loaded.config;
    assert_eq!(
        (config.project.as_deref(), config.target.as_deref(), config.node.work_dir.clone()),
        (None, None, None)
    );
    assert_eq!((config.node_name.as_deref(), config.remote.as_deref()), (None, None));
    assert_eq!(config.default_executor, "shell");
    assert_eq!((config.ref_prefix.as_str(), config.branch_prefix.as_str()), ("refs/dispatch/", "task/"));
    assert_eq!(config.sync_timeout, Dur::from_secs(10));
    assert_eq!((config.max_attempts, config.retry_failed, config.max_beats_per_minute), (3, 0, 30));
    assert_eq!((config.retry_wait, config.retry_wait_max), (Dur::from_secs(30), Dur::from_secs(600)));
    assert_eq!(config.age_step, Dur::from_secs(3600));
    let node = config.node_settings("any");
    assert_eq!((node.slots, node.mode, node.lost_after_beats), (1, NodeMode::Hybrid, 5));
    assert_eq!((node.poll, node.poll_max), (Dur::from_secs(5), Dur::from_secs(60)));
    assert_eq!((node.heartbeat, node.assign_timeout), (Dur::from_secs(60), Dur::from_secs(600)));
    assert!(loaded.settings.iter().all(|setting| setting.origin == Origin::Default));
    assert!(loaded.settings.is_sorted_by_key(|setting| &setting.path));
}

#[test]
fn the_defaults_of_the_tables_are_those_of_the_contract() {
    let config = load(&Inputs::default()).unwrap().config;
    assert_eq!(config.executors.keys().collect::<Vec<_>>(), ["shell"]);
    let shell = config.executor("shell").unwrap();
    assert_eq!((shell.kind, shell.command.is_empty(), shell.model.is_empty()), (ExecutorKind::Shell, true, true));
    assert_eq!(shell.timeout, Timeout::Fixed(Duration::from_secs(7200)));
    assert_eq!((config.collect.verify.clone(), config.conflict_executor()), (Verify::None, None));
    assert_eq!((config.collect.max_repairs, config.collect.delete_branches), (2, true));
    assert_eq!(config.collect.keep, Dur::from_secs(30 * 86_400));
    assert_eq!((config.factory.when_completed, config.factory.max_generations), (0.7, 0));
    assert_eq!(config.notify.events, ["conflict", "failed", "lost", "blocked", "merged"]);
    assert_eq!((config.outbox.bundle_after.unless_zero(), config.outbox.bundle_dir.clone()), (None, None));
    assert_eq!((config.secrets.scan, config.trust.signed, config.trust.issue_authors.len()), (true, false, 0));
}

#[test]
fn an_executor_has_the_defaults_of_the_keys_it_does_not_give() {
    let config =
        of_file("[executors.glm]\ntimeout = '3x'\n[executors.own]\nmodel = { default = 'm' }\n").unwrap().config;
    let glm = config.executor("glm").unwrap();
    assert_eq!((glm.kind, glm.stdin, glm.preamble.clone()), (ExecutorKind::Command, StdinSource::None, None));
    assert_eq!(glm.command, ["claude", "-p", "{prompt}", "--model", "{model}"]);
    assert_eq!(glm.timeout, Timeout::TimesEstimate(3.0));
    let models: Vec<_> = glm.model.iter().map(|(priority, name)| (priority.as_str(), name.as_str())).collect();
    assert_eq!(models, [("critical", "opus"), ("default", "sonnet")]);
    assert_eq!((glm.env_allow.clone(), glm.env.len(), glm.grace), (vec!["*".to_owned()], 0, Dur::from_secs(10)));
    assert_eq!((glm.prefix.as_str(), glm.prompt_pattern.as_str()), ("agent-", "❯"));
    assert_eq!(
        (glm.resume_dir.clone(), glm.resume_args.clone()),
        (None, vec!["--resume".into(), "{resume_id}".into()])
    );
    let own = config.executor("own").unwrap();
    assert_eq!(own.model.len(), 1, "a table that is given takes the place of the default one");
}

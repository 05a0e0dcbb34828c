//! Settings in layers: each value wins over those before it, and says where it comes from.

use serde_json::Value;

use crate::hubs::{as_json, on_both};
use crate::sandbox::{Repo, Sandbox};

fn setting(repo: &Repo, environment: &[(&str, &str)], path: &str) -> (String, String) {
    let document = repo.dispatch_env(environment, &["status", "--settings", "--json"]).success().json();
    let all = document["settings"].as_array().unwrap();
    let one = all.iter().find(|one| one["setting"] == path).unwrap_or_else(|| panic!("no `{path}`"));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (text(&one["value"]), text(&one["origin"]))
}

#[test]
fn each_layer_wins_over_those_below_it_and_is_named() {
    on_both(|repo| {
        let now = |environment: &[(&str, &str)]| setting(repo, environment, "node.poll_max");
        assert_eq!(now(&[]), ("\"60s\"".into(), "default".into()));
        repo.write("git-dispatch.toml", "\n[node]\npoll_max = \"50s\"\n");
        assert_eq!(now(&[]), ("\"50s\"".into(), "git-dispatch.toml:3".into()));
        repo.git(&["config", "--global", "dispatch.node.pollMax", "40s"]);
        assert_eq!(now(&[]), ("\"40s\"".into(), "git config dispatch.node.pollMax (global)".into()));
        repo.git(&["config", "dispatch.node.pollMax", "30s"]);
        assert_eq!(now(&[]), ("\"30s\"".into(), "git config dispatch.node.pollMax (local)".into()));
        let environment = [("GIT_DISPATCH_NODE_POLL_MAX", "20s")];
        assert_eq!(now(&environment), ("\"20s\"".into(), "environment GIT_DISPATCH_NODE_POLL_MAX".into()));
        repo.git(&["config", "--global", "--unset", "dispatch.node.pollMax"]);
    });
}

/// As with any git command; older gits hand it on in another form.
#[test]
fn settings_of_one_git_command_hold_for_it() {
    on_both(|repo| {
        let told =
            repo.git(&["-c", "dispatch.maxAttempts=7", "-c", "a.b=it's", "dispatch", "status", "--settings"]);
        let line = told.lines().find(|line| line.starts_with("max_attempts")).unwrap();
        assert!(line.contains(" 7 ") && line.ends_with("git config dispatch.maxAttempts (command)"), "{line}");
        let parameters = [("GIT_CONFIG_PARAMETERS", "'dispatch.maxAttempts=6'")];
        assert_eq!(setting(repo, &parameters, "max_attempts").0, "6");
    });
}

#[test]
fn options_win_over_everything() {
    on_both(|repo| {
        repo.spec("../specs/one.md", "run: echo \"$DISPATCH_NODE\" > node.txt", "# One");
        repo.dispatch(&["enqueue", "../specs/one.md"]).success();
        let environment = [("GIT_DISPATCH_NODE", "of-environment")];
        let ran = repo.dispatch_env(&environment, &["run", "--node", "of-option", "--json"]).success().json();
        assert_eq!(ran["ran"][0]["node"], "of-option");
    });
}

#[test]
fn lists_are_given_several_times_or_with_commas() {
    on_both(|repo| {
        repo.git(&["config", "--add", "dispatch.node.labels", "gpu"]);
        repo.git(&["config", "--add", "dispatch.node.labels", "big disk"]);
        let (value, origin) = setting(repo, &[], "node.labels");
        assert_eq!((value.as_str(), origin.contains("dispatch.node.labels")), ("[\"gpu\", \"big disk\"]", true));
        let (value, _) = setting(repo, &[("GIT_DISPATCH_NODE_LABELS", "a,b")], "node.labels");
        assert_eq!(value, "[\"a\", \"b\"]");
    });
}

/// `dispatch.node` is the name, `dispatch.node.slots` a setting of the node: git keeps them apart, and so do we.
#[test]
fn the_node_has_a_name_and_settings_beside_it() {
    on_both(|repo| {
        repo.git(&["config", "dispatch.node", "north"]);
        repo.git(&["config", "dispatch.node.slots", "3"]);
        repo.write("git-dispatch.toml", "[nodes.north]\nslots = 5\nlabels = [\"cold\"]\n");
        let (name, _) = setting(repo, &[], "node_name");
        assert_eq!(name, "\"north\"");
        assert_eq!(setting(repo, &[], "nodes.north.labels").0, "[\"cold\"]");
        repo.dispatch(&["list"]).success();
    });
}

#[test]
fn people_see_value_and_origin_side_by_side() {
    on_both(|repo| {
        repo.git(&["config", "dispatch.maxAttempts", "9"]);
        let told = repo.dispatch(&["status", "--settings"]).success().stdout;
        let line = told.lines().find(|line| line.starts_with("max_attempts")).unwrap();
        let parts: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(parts, ["max_attempts", "9", "git", "config", "dispatch.maxAttempts", "(local)"], "{line}");
    });
}

/// In a bare repository, and in one that has another branch checked out, the file is read where it is committed.
#[test]
fn the_file_is_read_from_the_target_where_there_is_no_checkout() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.write("git-dispatch.toml", "max_attempts = 8\n");
    a.commit("Configure");
    a.git(&["push", "--quiet"]);
    let (value, origin) = setting(&sandbox.hub(), &[], "max_attempts");
    assert_eq!((value.as_str(), origin.as_str()), ("8", "main:git-dispatch.toml:1"));
}

#[test]
fn a_setting_that_is_wrong_names_its_place_in_every_layer() {
    on_both(|repo| {
        let wrong = |environment: &[(&str, &str)], part: &str| {
            let out = repo.dispatch_env(environment, &["list", "--json"]).code(2);
            let error = out.json()["error"].clone();
            assert_eq!(error["code"], "dispatch::config::wrong_type", "{out}");
            assert!(error["message"].as_str().unwrap().contains(part), "{out}");
            error
        };
        wrong(&[("GIT_DISPATCH_MAX_ATTEMPTS", "many")], "GIT_DISPATCH_MAX_ATTEMPTS");
        repo.git(&["config", "dispatch.maxAttempts", "many"]);
        wrong(&[], "dispatch.maxAttempts` (local)");
        repo.git(&["config", "--unset", "dispatch.maxAttempts"]);
        repo.write("git-dispatch.toml", "# one\nmax_attempts = \"many\"\n");
        let error = wrong(&[], "max_attempts");
        assert_eq!(
            (&error["file"], &error["line"], &error["column"]),
            (&"git-dispatch.toml".into(), &2.into(), &16.into())
        );
        assert_eq!(as_json(repo, &["status", "--settings"]).code, 2);
    });
}

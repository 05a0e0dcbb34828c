//! `git dispatch demo`: the whole day, played from an empty folder that is in no repository.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};

/// A folder in no repository, in a home without an identity.
fn nowhere() -> (Sandbox, Repo) {
    let sandbox = Sandbox::with_clones(&[]);
    let empty = sandbox.repo("empty");
    fs::create_dir(empty.path()).unwrap();
    fs::write(sandbox.root().join("home/gitconfig"), "").unwrap();
    (sandbox, empty)
}

/// The scratch folders that are there.
fn scratch_folders(sandbox: &Sandbox) -> usize {
    fs::read_dir(sandbox.root().join("tmp")).unwrap().count()
}

fn states(document: &Value) -> Vec<(&str, &str)> {
    let tasks = document["tasks"].as_array().unwrap();
    let text = |task: &'_ Value, key: &str| task[key].as_str().map(str::to_owned);
    assert!(tasks.iter().all(|task| matches!(text(task, "node").as_deref(), Some("north" | "south"))));
    tasks.iter().map(|task| (task["task"].as_str().unwrap(), task["state"].as_str().unwrap())).collect()
}

#[test]
fn a_whole_day_is_played_and_nothing_of_it_is_left() {
    let (sandbox, empty) = nowhere();
    let out = empty.dispatch(&["demo"]).success();
    assert_eq!(out.stderr, "");
    for said in [
        "north $ git dispatch enqueue specs/*.md\nenqueued tea-shop/brewing-times\n",
        "north $ git dispatch run -v\nsouth $ git dispatch run -v\n",
        "conflict  tea-shop/greet-in-chinese: docs/greeting.txt (contents); tea-shop/greet-in-chinese-repair-1 is to resolve it\n",
        "hub.git $ git log --graph --oneline main\n*   ",
        "Welcome to the tea shop, dear guest, and do sit down.\n",
        "欢迎光临茶店，请坐。\n",
        "\n✓ 8 merged, 1 conflict found and resolved; no markers and no half a merge on main\n",
        "    git dispatch demo --keep\n",
    ] {
        assert!(out.stdout.contains(said), "{said:?} is not in\n{out}");
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
    assert_eq!(scratch_folders(&sandbox), 0);
}

#[test]
fn json_is_one_document_with_the_expected_states() {
    let (sandbox, empty) = nowhere();
    let out = empty.dispatch(&["demo", "--json"]).success();
    assert_eq!(out.stderr, "");
    let document = out.json();
    assert_eq!(
        states(&document),
        [
            ("tea-shop/brewing-times", "merged"),
            ("tea-shop/pack-schemas", "merged"),
            ("tea-shop/pack-api", "merged"),
            ("tea-shop/oolong-price", "merged"),
            ("tea-shop/greet-warmly", "merged"),
            ("tea-shop/greet-in-chinese", "merged"),
            ("tea-shop/packing-page", "merged"),
            ("tea-shop/greet-in-chinese-repair-1", "merged"),
        ]
    );
    crate::schema::described("demo", &document);
    let rest = (&document["folder"], &document["merged"], &document["conflicts"]);
    assert_eq!(rest, (&Value::Null, &json!(8), &json!(1)));
    assert_eq!(scratch_folders(&sandbox), 0);
}

#[test]
fn a_kept_folder_holds_a_sound_hub_in_which_one_can_go_on() {
    let (sandbox, empty) = nowhere();
    let out = empty.dispatch(&["demo", "--quiet", "--keep"]).success();
    let folder = out.stdout.trim_end().to_owned();
    assert!(folder.starts_with(sandbox.root().to_str().unwrap()), "{out}");
    let hub = sandbox.repo(&format!("{folder}/hub.git"));
    hub.git(&["fsck", "--strict"]);
    assert_eq!(
        hub.git(&["ls-tree", "-r", "--name-only", "main", "api", "docs", "schemas"]),
        "api/pack.py\ndocs/greeting.txt\ndocs/packing.md\nschemas/pack.py\nschemas/tea.json"
    );
    assert_eq!(hub.git(&["log", "--format=%an", "main"]).replace("Demo", ""), "\n".repeat(15));
    let north = sandbox.repo(&format!("{folder}/north"));
    assert_eq!(north.git(&["status", "--short"]), "");
    assert_eq!(north.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
    let repairs = north.dispatch(&["list", "--state", "merged", "--json"]).success().json();
    assert_eq!(repairs["tasks"].as_array().unwrap().len(), 8);
}

#[test]
fn what_to_try_next_can_be_pasted() {
    let (sandbox, empty) = nowhere();
    let out = empty.dispatch(&["demo", "--dir", "a place/of mine"]).success();
    let (_, next) = out.stdout.split_once("\n── What to try next\n").unwrap();
    let pasted = empty.run("sh", &[], &["-ec", next]).success();
    assert!(pasted.stdout.contains("merged 1 task into main"), "{pasted}");
    assert!(pasted.stdout.contains("+欢迎光临茶店，请坐。"), "{pasted}");
    assert_eq!(scratch_folders(&sandbox), 0);
}

#[test]
fn a_folder_with_something_in_it_is_refused() {
    let (_sandbox, empty) = nowhere();
    empty.write("mine/precious.txt", "mine\n");
    let refused = |args: &[&str]| empty.dispatch(&[&["demo", "--json", "--dir"], args].concat());
    for dir in ["mine", "mine/precious.txt"] {
        let document = refused(&[dir]).code(2).json();
        assert_eq!(document["error"]["code"], "dispatch::demo::dir");
    }
    let kept = fs::read_dir(empty.path().join("mine")).unwrap().count();
    assert_eq!(kept, 1);
}

#[test]
fn what_the_caller_has_exported_does_not_matter() {
    let (_sandbox, empty) = nowhere();
    let exported = [
        ("GIT_DIR", "/nowhere"),
        ("GIT_AUTHOR_NAME", "Somebody"),
        ("GIT_COMMITTER_DATE", "not a date"),
        ("GIT_DEFAULT_HASH", "sha256"),
        ("GIT_DEFAULT_REF_FORMAT", "reftable"),
        ("GIT_DISPATCH_NODE", "elsewhere"),
        ("GIT_DISPATCH_REF_PREFIX", "refs/other/"),
        ("DISPATCH_TASK", "other/task"),
    ];
    let out = empty.dispatch_env(&exported, &["demo", "--json"]).success();
    assert_eq!(states(&out.json()).len(), 8);
}

#[test]
fn a_signal_ends_the_day_and_removes_the_folder() {
    let (sandbox, empty) = nowhere();
    let mut running = empty.spawn(&["demo"]);
    eventually(PATIENCE, || running.output().stdout.contains(" │ started "));
    assert_eq!(scratch_folders(&sandbox), 1);
    running.term();
    let out = running.wait(Duration::from_secs(30)).code(143);
    assert!(out.stderr.contains("dispatch::git::interrupted"), "{out}");
    assert_eq!(scratch_folders(&sandbox), 0);
}

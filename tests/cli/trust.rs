//! Signatures: what is not signed by whom it should be is not run, not merged, and shown as such.

use std::fs;

use serde_json::Value;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{each, file, line, refs, refused, shown, task, tasks, text};

/// A hub with clones, keys, and a file of allowed signers outside of all of them.
struct Fleet {
    sandbox: Sandbox,
    boss: Repo,
}

impl Fleet {
    /// `None`, and said, where there is no ssh-keygen.
    fn new(names: &[&str]) -> Option<Fleet> {
        let sandbox = Sandbox::with_clones(names);
        let boss = sandbox.repo(names[0]);
        if boss.run("sh", &[], &["-c", "command -v ssh-keygen"]).code != 0 {
            println!("skipped: there is no ssh-keygen");
            return None;
        }
        let fleet = Fleet { sandbox, boss };
        for key in ["ann", "node", "mallory", "old", "new", "lost", "filer"] {
            let args = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", &fleet.key(key)];
            fleet.boss.run("ssh-keygen", &[], &args).success();
        }
        let public = |key: &str| fs::read_to_string(format!("{}.pub", fleet.key(key))).unwrap();
        let allowed = [
            ("test@example.org", "", "ann"),
            ("n1", "namespaces=\"git-dispatch\"", "node"),
            ("test@example.org", "valid-before=\"20200101\"", "old"),
            ("test@example.org", "valid-after=\"29990101\"", "new"),
            ("test@example.org", "", "lost"),
            ("test@example.org", "namespaces=\"file\"", "filer"),
        ];
        let allowed = allowed
            .map(|(principal, options, key)| format!("{principal} {options} {}", public(key)).replace("  ", " "));
        fs::write(fleet.home("allowed"), allowed.concat()).unwrap();
        fs::write(fleet.home("revoked"), public("lost")).unwrap();
        Some(fleet)
    }

    fn home(&self, name: &str) -> String {
        shown(&self.sandbox.root().join("home").join(name)).to_owned()
    }

    fn key(&self, name: &str) -> String {
        self.home(&format!("{name}.key"))
    }

    /// Makes a clone trust nothing that is not signed, and sign with this key.
    fn trusting(&self, clone: &str, key: &str) -> Repo {
        let repo = self.sandbox.repo(clone);
        repo.git(&["config", "dispatch.trust.signed", "true"]);
        repo.git(&["config", "dispatch.trust.allowedSigners", &self.home("allowed")]);
        repo.git(&["config", "gpg.ssh.revocationFile", &self.home("revoked")]);
        repo.git(&["config", "user.signingKey", &self.key(key)]);
        repo
    }

    fn spec(&self, id: &str) -> String {
        let path = format!("../specs/{id}.md");
        self.boss.spec(
            &path,
            &format!("project: p\n{}", line(&format!("echo {id} > {id}.txt"))),
            &format!("# Task {id}"),
        );
        path
    }

    /// Enqueues from the first clone, which trusts everything, signed with this key.
    fn signed(&self, id: &str, key: &str) {
        self.boss.git(&["config", "user.signingKey", &self.key(key)]);
        self.boss.dispatch(&["enqueue", "--sign", &self.spec(id)]).success();
    }

    /// Puts a commit on the queue that was made by other means: from the bytes of the tip, changed.
    fn forged(&self, of: &str, id: &str, change: impl Fn(&str) -> String) {
        self.spec(id);
        let hub = self.sandbox.hub();
        let blob = hub.git(&["hash-object", "-w", &self.home(&format!("../specs/{id}.md"))]);
        fs::write(self.home("tree"), format!("100644 blob {blob}\tspec.md\n")).unwrap();
        let tree = hub.run("sh", &[], &["-c", "git mktree < $HOME/tree"]).success().stdout;
        let source = self.sandbox.hub().git(&["cat-file", "commit", of]);
        let commit = change(&source)
            .replace("TREE", tree.trim())
            .replace("TIP", &hub.git(&["rev-parse", "refs/dispatch/queue"]));
        fs::write(self.home("commit"), commit + "\n").unwrap();
        let commit = hub.git(&["hash-object", "-t", "commit", "-w", &self.home("commit")]);
        hub.git(&["update-ref", "refs/dispatch/queue", &commit]);
    }
}

/// The same commit with tree and parent of its own: what is signed no longer fits.
fn moved(commit: &str) -> String {
    let line = |line: &str| match line.split(' ').next() {
        Some("tree") => "tree TREE".to_owned(),
        Some("parent") => String::new(),
        Some("author") => format!("parent TIP\n{line}"),
        _ => line.to_owned(),
    };
    commit.lines().map(line).collect::<Vec<_>>().join("\n").replace("TREE\n\nparent", "TREE\nparent")
}

/// Splits a commit into what stands before and behind its signature.
fn without_signature(commit: &str) -> (String, String) {
    let lines: Vec<&str> = commit.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("gpgsig ")).unwrap();
    let length = lines[begin + 1..].iter().position(|line| !line.starts_with(' ')).unwrap() + 1;
    let rest = [&lines[..begin], &lines[begin + length..]].concat().join("\n");
    (lines[begin..begin + length].join("\n"), rest)
}

/// Puts commits on the queue that carry a signature which is not theirs, or none that is one.
fn forge(fleet: &Fleet, good: &str, other: &str) {
    let hub = fleet.sandbox.hub();
    fleet.forged(good, "replayed", |commit| {
        moved(commit).replace("p/good: Task good", "p/replayed: Task").replace("p/good", "p/replayed")
    });
    fleet.forged(good, "tampered", |commit| moved(commit).replace("p/good", "p/tampered"));
    fleet.forged(good, "twice", |commit| {
        let (signature, _) = without_signature(commit);
        moved(commit).replacen("\n\n", &format!("\n{signature}\n\n"), 1).replace("p/good", "p/twice")
    });
    fleet.forged(good, "borrowed", |commit| {
        let (signature, _) = without_signature(other);
        let (_, rest) = without_signature(&moved(commit));
        rest.replacen("\n\n", &format!("\n{signature}\n\n"), 1).replace("p/good", "p/borrowed")
    });
    fleet.forged(good, "rubbish", |commit| {
        let (_, rest) = without_signature(&moved(commit));
        rest.replacen("\n\n", "\ngpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n\n", 1)
            .replace("p/good", "p/rubbish")
    });
    // As git signs commits: the right key, for another purpose.
    let tree = hub.git(&["rev-parse", "refs/dispatch/queue^{tree}"]);
    let args = [
        "-c",
        "gpg.format=ssh",
        "-c",
        &format!("user.signingKey={}", fleet.key("ann")),
        "commit-tree",
        "-S",
        &tree,
        "-p",
        "refs/dispatch/queue",
    ];
    let message = "p/by-git: Task\n\nDispatch-Task: p/by-git\n";
    let commit = hub.git(&[&args[..], &["-m", message]].concat());
    hub.git(&["update-ref", "refs/dispatch/queue", &commit]);
}

#[test]
fn only_what_is_signed_by_its_enqueuer_is_run() {
    let Some(fleet) = Fleet::new(&["boss", "n1"]) else { return };
    let (boss, hub, n1) = (fleet.boss.clone(), fleet.sandbox.hub(), fleet.trusting("n1", "node"));
    boss.dispatch(&["enqueue", &fleet.spec("none")]).success();
    fleet.signed("good", "ann");
    let good = hub.git(&["rev-parse", "refs/dispatch/queue"]);
    for (id, key) in [
        ("unknown-key", "mallory"),
        ("expired", "old"),
        ("not-yet", "new"),
        ("revoked", "lost"),
        ("other-namespace", "filer"),
    ] {
        fleet.signed(id, key);
    }
    boss.git(&["config", "user.email", "eve@example.org"]);
    fleet.signed("wrong-principal", "ann");
    boss.git(&["config", "user.email", "test@example.org"]);
    let other = hub.git(&["cat-file", "commit", "refs/dispatch/queue"]);
    forge(&fleet, &good, &other);
    n1.dispatch(&["run"]).success();
    let listed = n1.dispatch(&["list", "--why", "--json"]).success().json();
    let documents = tasks(&n1);
    assert_eq!(documents.len(), 14, "{:?}", documents.keys());
    for (id, document) in &documents {
        assert_eq!(document["state"], if id == "good" { "completed" } else { "pending" }, "{id}");
    }
    let shown = n1.dispatch(&["show", "replayed"]).success().stdout;
    assert!(
        shown.contains("its spec is not signed by test@example.org with a key that is allowed"),
        "{shown}\n{listed}"
    );
    let show = n1.dispatch(&["show", "none", "--json"]).success().json();
    assert!(show["waits_for"].as_array().unwrap().iter().any(|reason| reason["kind"] == "trust"), "{show}");
    let claim = n1.dispatch(&["claim", "unknown-key", "--json"]);
    assert!(claim.code != 0 && task(&n1, "unknown-key")["state"] == "pending", "{claim}");
    n1.dispatch(&["collect"]).success();
    assert_eq!(file(&hub, "good.txt"), "good");
    assert_eq!(hub.git(&["log", "--oneline", "main"]).lines().count(), 3);
}

#[test]
fn only_work_that_is_signed_by_its_node_is_merged() {
    let Some(fleet) = Fleet::new(&["boss", "n1", "n2", "n3"]) else { return };
    let hub = fleet.sandbox.hub();
    for id in ["good", "unsigned", "other", "moved"] {
        fleet.signed(id, "ann");
    }
    // A node that signs, one that does not, and one that signs with another's key.
    fleet.trusting("n1", "node").dispatch(&["run", "good", "moved"]).success();
    fleet.sandbox.repo("n2").dispatch(&["run", "unsigned"]).success();
    fleet.trusting("n3", "node").dispatch(&["run", "other"]).success();
    // The signature of one result on another: as if it were a later attempt's.
    let name = "refs/dispatch/claims/p/moved";
    let commit = hub.git(&["cat-file", "commit", name]).replace("Dispatch-Attempt: 1", "Dispatch-Attempt: 2");
    fs::write(fleet.home("claim"), commit + "\n").unwrap();
    let commit = hub.git(&["hash-object", "-t", "commit", "-w", &fleet.home("claim")]);
    hub.git(&["update-ref", name, &commit]);

    let boss = fleet.trusting("boss", "ann");
    let collected = boss.dispatch(&["collect", "--json"]).success().json();
    assert_eq!(each(&collected["merged"], "task"), ["p/good"]);
    let waiting: Vec<&Value> = collected["waiting"].as_array().unwrap().iter().collect();
    assert_eq!(waiting.len(), 3, "{collected}");
    assert!(waiting.iter().all(|wait| text(&wait["for"]).contains("its result is not signed by n")), "{collected}");
    let shown = boss.dispatch(&["show", "unsigned"]).success().stdout;
    assert!(shown.contains("its result is not signed by n2 with a key that is allowed"), "{shown}");
    assert_eq!(
        (file(&hub, "good.txt"), file(&hub, "unsigned.txt"), file(&hub, "other.txt")),
        ("good".into(), String::new(), String::new())
    );
}

/// The queue of one repository, pushed to another: the same commits, signed for the first.
#[test]
fn what_was_signed_for_another_repository_is_not_run() {
    let Some(fleet) = Fleet::new(&["boss"]) else { return };
    fleet.signed("good", "ann");
    let other = Sandbox::with_clones_of(&[("README.md", "# Another\n")], &["n1"]);
    let (n1, hub) = (other.repo("n1"), other.hub());
    hub.git(&["fetch", "--quiet", shown(fleet.sandbox.hub().path()), "refs/dispatch/queue:refs/dispatch/queue"]);
    for (key, value) in [
        ("dispatch.trust.signed", "true".to_owned()),
        ("dispatch.trust.allowedSigners", fleet.home("allowed")),
        ("user.signingKey", fleet.key("node")),
    ] {
        n1.git(&["config", key, &value]);
    }
    n1.dispatch(&["run"]).code(3);
    assert_eq!(task(&n1, "good")["state"], "pending");
    n1.git(&["config", "dispatch.trust.signed", "false"]);
    n1.dispatch(&["run"]).success();
    assert_eq!(task(&n1, "good")["state"], "completed", "but for the signature it would run");
}

#[test]
fn who_is_trusted_stands_where_nobody_can_push() {
    let Some(fleet) = Fleet::new(&["boss"]) else { return };
    let (boss, hub) = (fleet.trusting("boss", "ann"), fleet.sandbox.hub());
    boss.dispatch(&["enqueue", &fleet.spec("one")]).success();
    let allowed = fs::read_to_string(fleet.home("allowed")).unwrap();
    boss.write("allowed", &allowed);
    let commit = boss.commit("Allow");
    let why = |signers: &str| {
        boss.git(&["config", "dispatch.trust.allowedSigners", signers]);
        let show = boss.dispatch(&["show", "one", "--offline", "--json"]);
        let show = if show.code == 0 { show } else { boss.dispatch(&["show", "one", "--json"]) };
        let document = show.success().json();
        let reasons = document["waits_for"].as_array().unwrap().clone();
        reasons
            .iter()
            .filter(|reason| reason["kind"] == "trust")
            .map(|reason| text(&reason["what"]))
            .collect::<String>()
    };
    assert_eq!(why(&fleet.home("allowed")), "");
    // As it stood in one commit, whatever is pushed later.
    assert_eq!(why(&format!("{commit}:allowed")), "");
    assert!(why(shown(&boss.path().join("allowed"))).contains("lies in the repository"));
    assert!(why("allowed").contains("neither an absolute path nor a file in a commit"));
    assert!(why(&format!("{commit}:nowhere")).contains("is not here"));
    assert!(why("/nowhere/at/all").contains("cannot be trusted"));

    // Where nothing else counts, whoever has no key is told before anything is done.
    let before = refs(&hub);
    boss.git(&["config", "--unset", "user.signingKey"]);
    refused(&boss.dispatch(&["enqueue", &fleet.spec("two"), "--json"]), "dispatch::trust::no_key", 1);
    refused(&boss.dispatch(&["run", "--json"]), "dispatch::trust::no_key", 1);
    boss.git(&["config", "user.signingKey", "/nowhere.key"]);
    refused(&boss.dispatch(&["enqueue", &fleet.spec("two"), "--json"]), "dispatch::trust::no_key", 1);
    fs::write(fleet.key("broken"), "no key").unwrap();
    boss.git(&["config", "user.signingKey", &fleet.key("broken")]);
    refused(&boss.dispatch(&["enqueue", &fleet.spec("two"), "--json"]), "dispatch::trust::unsigned", 1);
    assert_eq!(refs(&hub), before);
}

/// What a task is built on is run with it: work that nobody signed is not built on, nor a merge in a branch of anybody's.
#[test]
fn nothing_is_built_on_what_nobody_signed() {
    let Some(fleet) = Fleet::new(&["boss", "n1", "n2"]) else { return };
    let (boss, hub, n1, n2) =
        (fleet.boss.clone(), fleet.sandbox.hub(), fleet.trusting("n1", "node"), fleet.sandbox.repo("n2"));
    for (id, on) in [("below", ""), ("fine", ""), ("on-below", "below"), ("on-fine", "fine")] {
        let frontmatter =
            format!("project: p\ndepends_on: [{on}]\n{}", line(&format!("ls > {id}.txt; echo {id} >> {id}.txt")));
        boss.spec(&format!("../specs/{id}.md"), &frontmatter, &format!("# Task {id}"));
    }
    boss.git(&["config", "user.signingKey", &fleet.key("ann")]);
    boss.dispatch(&["enqueue", "--sign", "../specs"]).success();
    n2.dispatch(&["run", "below"]).success();
    n1.dispatch(&["run"]);
    let state = |id: &str| text(&task(&n1, id)["state"]);
    assert_eq!([state("fine"), state("on-fine"), state("on-below")], ["completed", "completed", "pending"]);
    let why =
        |repo: &Repo| repo.dispatch(&["show", "on-below", "--json"]).success().json()["waits_for"].to_string();
    assert!(why(&n1).contains("what p/below came to must not be built on"), "{}", why(&n1));

    // Whoever may push can merge it into a branch of their own, and seal it so.
    hub.git(&["branch", "theirs", "main"]);
    n2.dispatch(&["collect", "below", "--into", "theirs"]).success();
    n1.dispatch(&["run"]);
    assert_eq!([state("below"), state("on-below")], ["merged", "pending"]);
    assert!(why(&n1).contains("its merge is not in main"), "{}", why(&n1));
}

/// A spec that was replaced was signed as well: whoever may push cannot put it back in force.
#[test]
fn a_spec_that_was_replaced_is_not_brought_back() {
    let Some(fleet) = Fleet::new(&["boss", "n1"]) else { return };
    let (boss, hub, n1) = (fleet.boss.clone(), fleet.sandbox.hub(), fleet.trusting("n1", "node"));
    fleet.signed("one", "ann");
    let old = hub.git(&["rev-parse", "refs/dispatch/queue"]);
    boss.spec("../specs/one.md", &format!("project: p\n{}", line("echo newer > one.txt")), "# Task one");
    boss.dispatch(&["enqueue", "--sign", "--replace", "../specs/one.md"]).success();
    let name = "refs/dispatch/claims/p/one";
    let (new, released) = (hub.git(&["rev-parse", "refs/dispatch/queue"]), hub.git(&["cat-file", "commit", name]));
    assert!(released.contains(&new), "{released}");
    fs::write(fleet.home("claim"), released.replace(&new, &old) + "\n").unwrap();
    let forged = hub.git(&["hash-object", "-t", "commit", "-w", &fleet.home("claim")]);
    hub.git(&["update-ref", name, &forged]);
    n1.dispatch(&["run"]);
    assert_eq!(task(&n1, "one")["state"], "pending");
    let shown = n1.dispatch(&["show", "one"]).success().stdout;
    assert!(shown.contains("a newer spec of it is signed"), "{shown}");
    boss.dispatch(&["enqueue", "--sign", "--replace", "../specs/one.md"]).success();
    n1.dispatch(&["run"]).success();
    n1.dispatch(&["collect"]).success();
    assert_eq!(file(&hub, "one.txt"), "newer");
}

//! The workflow files: held against what the forges document of their syntax, and each of their shell steps run as a runner
//! does, in a shallow clone, with an event file, and with what forges offer (`gh`, `curl`, `cargo`) played.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::sandbox::{Out, Repo, Sandbox};
use crate::steps::{shown, states};

/// The keys that GitHub documents for workflow files, as far as these use them; Forgejo and Gitea read the same ones.
const WORKFLOW: &str = "name on permissions concurrency env jobs";
const JOB: &str = "if runs-on container steps";
const STEP: &str = "run uses with env";
/// What may set a workflow going, with the types that issues have.
const EVENTS: &str = "issues push";
const TYPES: &str = "opened edited deleted transferred pinned unpinned closed reopened assigned unassigned labeled unlabeled \
                     locked unlocked milestoned demilestoned";
/// The keywords of a GitLab job.
const GITLAB: &str = "image rules script";

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

fn event(forge: &str, name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/issues/{forge}/{name}.json"));
    shown(&file).to_owned()
}

#[track_caller]
fn only(value: &Value, known: &str) {
    for key in value.as_object().unwrap().keys() {
        assert!(known.split_whitespace().any(|known| known == key), "`{key}` is none of: {known}");
    }
}

/// One shell step: its script, and its own environment with what runners fill in.
struct Step {
    script: String,
    environment: Vec<(String, String)>,
}

/// The steps of each job; everything else in the file is held against the documentation.
fn jobs(text: &str, given: &BTreeMap<&str, &str>) -> BTreeMap<String, Vec<Step>> {
    let whole: Value = serde_saphyr::from_str(text).unwrap();
    only(&whole, WORKFLOW);
    only(&whole["on"], EVENTS);
    for kind in whole["on"]["issues"]["types"].as_array().unwrap() {
        assert!(TYPES.split_whitespace().any(|known| kind == known), "{kind}");
    }
    let environment = |from: &Value| -> Vec<(String, String)> {
        let filled = |(name, value): (&String, &Value)| (name.clone(), fill(value.as_str().unwrap(), given));
        from["env"].as_object().into_iter().flatten().map(filled).collect()
    };
    let mut jobs = BTreeMap::new();
    for (name, job) in whole["jobs"].as_object().unwrap() {
        only(job, JOB);
        let mut steps = Vec::new();
        for step in job["steps"].as_array().unwrap() {
            only(step, STEP);
            assert!(step["run"].is_string() != step["uses"].is_string(), "{step}");
            if let Some(script) = step["run"].as_str() {
                let environment = [environment(&whole), environment(step)].concat();
                steps.push(Step { script: script.to_owned(), environment });
            }
        }
        jobs.insert(name.clone(), steps);
    }
    jobs
}

/// Fills in `${{ … }}`; one that is not given is refused.
fn fill(text: &str, given: &BTreeMap<&str, &str>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{ ") {
        let (name, after) = after.split_once(" }}").unwrap();
        filled.push_str(before);
        filled.push_str(given.get(name).unwrap_or_else(|| panic!("`{name}` is not given")));
        rest = after;
    }
    filled + rest
}

/// A hub whose configuration believes ann, and what a runner has on its PATH.
struct Runner {
    sandbox: Sandbox,
    path: String,
}

impl Runner {
    fn new() -> Runner {
        let config = "project = \"p\"\n[trust]\nissue_authors = [\"ann\"]\nissue_labels = [\"dispatch\"]\n";
        let files = [("README.md", "# A project\n"), ("git-dispatch.toml", config)];
        let sandbox = Sandbox::with_clones_of(&files, &["boss"]);
        let tools = sandbox.root().join("tools");
        fs::create_dir(&tools).unwrap();
        let said = sandbox.root().join("said");
        fs::write(&said, "").unwrap();
        // What is said to the forge is kept: the arguments, what they read from a file, and standard input.
        let tell = format!(
            "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> {said}\nfor word in \"$@\"; do case $word in *'<'*) \
             cat \"${{word#*<}}\" >> {said} ;; *.md) cat \"$word\" >> {said} ;; @-) cat >> {said} ;; esac; done\n",
            said = shown(&said)
        );
        for (name, text) in
            [("gh", tell.as_str()), ("curl", &tell), ("cargo", "#!/bin/sh\n"), ("apt-get", "#!/bin/sh\n")]
        {
            fs::write(tools.join(name), text).unwrap();
            sandbox.repo(".").run("chmod", &[], &["+x", shown(&tools.join(name))]).success();
        }
        let inherited = sandbox.repo(".").run("sh", &[], &["-c", "printf %s \"$PATH\""]).stdout;
        let path = format!("{}:{inherited}", shown(&tools));
        Runner { sandbox, path }
    }

    /// A fresh checkout as runners make it, shallow; `deep`: with its history.
    fn checkout(&self, name: &str, deep: bool) -> Repo {
        let url = format!("file://{}", shown(self.sandbox.hub().path()));
        let depth: &[&str] = if deep { &[] } else { &["--depth=1"] };
        let root = self.sandbox.repo(".");
        root.run("git", &[], &[&["clone", "--quiet"], depth, &[&url, name]].concat()).success();
        self.sandbox.repo(name)
    }

    /// Runs a script as runners do.
    fn run(&self, repo: &Repo, script: &str, environment: &[(String, String)]) -> Out {
        let mut all: Vec<(&str, &str)> = vec![("PATH", &self.path)];
        all.extend(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        repo.run("bash", &all, &["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
    }

    fn steps(&self, repo: &Repo, steps: &[Step], more: &[(&str, &str)]) {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let more: Vec<(String, String)> = more.collect();
        for step in steps {
            self.run(repo, &step.script, &[&step.environment[..], &more].concat()).success();
        }
    }

    /// What was said to the forge since it was asked last.
    fn said(&self) -> String {
        let file = self.sandbox.root().join("said");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, "").unwrap();
        text
    }
}

fn given() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("vars.DISPATCH_SOURCE", "https://example.org/git-dispatch"),
        ("github.token", "token"),
        ("secrets.GITHUB_TOKEN", "token"),
        ("github.event.issue.number", "7"),
        ("github.event.before", "-"),
    ])
}

#[test]
fn an_issue_goes_from_its_forge_to_the_queue_and_back() {
    for (file, forge) in [("github.yml", "github"), ("forgejo.yml", "forgejo"), ("forgejo.yml", "gitea")] {
        let runner = Runner::new();
        let jobs = jobs(&fixture(&format!("workflows/{file}")), &given());
        let take = |name: &str| {
            let clone = runner.checkout(&format!("{forge}-{name}"), false);
            let file = event(forge, name);
            let more = [
                ("GITHUB_EVENT_PATH", file.as_str()),
                ("GITHUB_SERVER_URL", "https://forge.example.org"),
                ("GITHUB_REPOSITORY", "shop/packing"),
            ];
            runner.steps(&clone, &jobs["issue"], &more);
        };
        take("opened");
        assert_eq!(runner.said(), "", "{forge}: it has no label yet, and nobody is told anything");
        take("labeled");
        let boss = runner.sandbox.repo("boss");
        assert_eq!(states(&boss), ["issue-7 pending"]);
        let said = runner.said();
        let call = match forge {
            "github" => "gh issue comment 7 --body-file comment.md\n",
            _ => "https://forge.example.org/api/v1/repos/shop/packing/issues/7/comments\n",
        };
        assert!(said.contains(call) && said.contains("**`p/issue-7`** is queued."), "{forge}: {said}");
        take("closed");
        assert_eq!(states(&boss), ["issue-7 cancelled"]);
        assert!(runner.said().contains("is called off"), "{forge}");
    }
}

#[test]
fn what_landed_is_told_and_its_issue_closed() {
    let runner = Runner::new();
    let boss = runner.sandbox.repo("boss");
    boss.dispatch(&["enqueue", "--issue", &event("github", "labeled")]).success();
    boss.spec("../s/other.md", "project: p", "# Other");
    boss.dispatch(&["enqueue", "../s"]).success();
    let before = boss.git(&["rev-parse", "HEAD"]);
    for id in ["issue-7", "other"] {
        boss.dispatch(&["claim", id]).success();
        boss.git(&["checkout", "--quiet", &format!("task/p-{id}-{}", node(&boss))]);
        boss.write(&format!("{id}.txt"), "done\n");
        boss.commit("Done");
        boss.git(&["checkout", "--quiet", "main"]);
        boss.dispatch(&["finish", id]).success();
    }
    boss.dispatch(&["collect"]).success();
    let clone = runner.checkout("landed", true);
    let tip = clone.git(&["rev-parse", "HEAD"]);
    let mut given = given();
    given.insert("github.event.before", &before);
    let jobs = jobs(&fixture("workflows/github.yml"), &given);
    runner.steps(&clone, &jobs["landed"], &[("GITHUB_SHA", &tip)]);
    let said = runner.said();
    assert!(said.starts_with("gh issue comment 7 --body-file comment.md\n**`p/issue-7`** is merged"), "{said}");
    assert!(said.ends_with("gh issue close 7\n") && said.matches("gh issue").count() == 2, "{said}");
}

fn node(repo: &Repo) -> String {
    let branches = repo.git(&["branch", "--list", "--format=%(refname:short)", "task/p-*"]);
    let branch = branches.lines().last().unwrap();
    branch.rsplit_once("issue-7-").or_else(|| branch.rsplit_once("other-")).unwrap().1.to_owned()
}

#[test]
fn gitlab_hands_its_event_over_as_a_file() {
    let runner = Runner::new();
    let whole: Value = serde_saphyr::from_str(&fixture("workflows/gitlab-ci.yml")).unwrap();
    only(&whole, "dispatch");
    let job = &whole["dispatch"];
    only(job, GITLAB);
    assert_eq!(job["rules"][0]["if"], "$CI_PIPELINE_SOURCE == \"trigger\" && $TRIGGER_PAYLOAD");
    let script: Vec<&str> = job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    // The address with the token in it is the hub's.
    let url = "https://dispatch:secret@gitlab.example.org/shop/packing.git";
    let hub = shown(runner.sandbox.hub().path()).to_owned();
    runner.sandbox.repo("boss").git(&["config", "--global", &format!("url.{hub}.insteadOf"), url]);
    let take = |name: &str| {
        let clone = runner.checkout(&format!("lab-{name}"), false);
        clone.git(&["checkout", "--quiet", "--detach"]);
        let environment = [
            ("TRIGGER_PAYLOAD", event("gitlab", name)),
            ("DISPATCH_SOURCE", "https://example.org/git-dispatch".into()),
            ("DISPATCH_TOKEN", "secret".into()),
            ("CI_SERVER_HOST", "gitlab.example.org".into()),
            ("CI_PROJECT_PATH", "shop/packing".into()),
            ("CI_API_V4_URL", "https://gitlab.example.org/api/v4".into()),
            ("CI_PROJECT_ID", "501".into()),
        ];
        let environment: Vec<(String, String)> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        runner.run(&clone, &script.join("\n"), &environment).success();
    };
    take("opened");
    assert_eq!(runner.said(), "");
    take("labeled");
    assert_eq!(states(&runner.sandbox.repo("boss")), ["issue-7 pending"]);
    let said = runner.said();
    assert!(said.contains("https://gitlab.example.org/api/v4/projects/501/issues/7/notes\n"), "{said}");
    assert!(said.contains("**`p/issue-7`** is queued."), "{said}");
}

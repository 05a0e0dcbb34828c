//! What the pure parts of the program cost, counted in instructions by `valgrind --tool=callgrind`: times vary from one machine
//! and one hour to the next, these do not.
//!
//! Each workload is done twice, the second time on twice as much, in a process of its own under valgrind that counts within
//! [`measured`] alone. Two things are asserted:
//!
//! - **how it grows**: twice as much costs at most 2.3 times as many instructions. That holds with any compiler;
//! - **what it costs**: the instructions for one item stay within a tenth of the number stored here. Hash tables are seeded by
//!   chance, which moves the counts by less than one in a hundred; a tenth is what a small change elsewhere may well cost, and
//!   less than anything that is worth a look. The numbers are of the test profile, unoptimised, and of one release of the
//!   compiler: with another one only three times as many are too many.
//!
//! Where a number moved for a good reason, `cargo test --test instructions -- --nocapture` prints the new one. Without valgrind
//! the test says that it was skipped. The crates that wrap callgrind (iai-callgrind, gungraun) need a runner of exactly their
//! version to be installed, and are for benches; what is needed of them is below.

#![allow(clippy::disallowed_methods, reason = "the harness is the world outside: it starts processes")]

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use git_dispatch::ambient::Ambient;
use git_dispatch::exec::Cancel;
use git_dispatch::hub::format::SpecRecord;
use git_dispatch::hub::snapshot::{Task, chain_of};
use git_dispatch::protocol::Session;
use git_dispatch::protocol::announce::Silent;
use git_dispatch::protocol::collect::{self, Options};
use git_dispatch::task::event::Event;
use git_dispatch::task::name::NameKind;
use git_dispatch::task::order::{Candidate, Offer, choose};
use git_dispatch::task::scope::Scopes;
use git_dispatch::task::spec::Mode;
use git_dispatch::task::{Name, State, TaskName};
use git_dispatch::ui::json;

/// The compiler that the numbers are of.
const COMPILER: &str = "rustc 1.95.0";

/// A workload: how many items, and how many instructions each costs.
const WORKLOADS: [(&str, usize, f64); 6] = [
    ("choosing among pending tasks", 400, 9_100.0),
    ("reading spec commits", 50, 58_200.0),
    ("reading status notes", 50, 404_000.0),
    ("reading a claim chain", 12, 247_000.0),
    ("writing rows of list --json", 8, 572_000.0),
    ("planning a collect", 2, 36_900_000.0),
];

/// What the parent tells the process under valgrind: where the repository is.
const REPO: &str = "GIT_DISPATCH_TEST_REPO";

/// What is counted.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

#[test]
#[expect(clippy::print_stderr, reason = "it says what it counted, or that it was skipped")]
fn the_pure_parts_cost_what_they_did() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: there is no valgrind here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--toggle-collect=instructions::measured",
        "--dump-after=instructions::measured",
    ]);
    valgrind.arg(format!("--callgrind-out-file={}", folder.path().join("out").display()));
    valgrind.arg(std::env::current_exe().unwrap()).args(["--exact", "--ignored", "the_workloads"]);
    valgrind.env(REPO, folder.path().join("repo")).env("HOME", folder.path()).env("XDG_STATE_HOME", folder.path());
    let out = valgrind.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&[out.stdout, out.stderr].concat()));
    let is_of = Command::new("rustc").arg("--version").output();
    let is_of = is_of.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).starts_with(COMPILER));
    let mut wrong = Vec::new();
    for (at, (name, items, known)) in WORKLOADS.iter().enumerate() {
        let [once, twice] = [1, 2].map(|part| counted(&folder.path().join(format!("out.{}", at * 2 + part + 1))));
        let (each, growth) = (once / *items as f64, twice / once);
        eprintln!("{name}: {each:.0} for each of {items}, {growth:.2} times as many for twice as many");
        if growth > 2.3 {
            wrong.push(format!("{name}: twice as much costs {growth:.2} times as many instructions"));
        }
        let [least, most] = if is_of { [0.9, 1.1] } else { [0.0, 3.0] };
        if !(known * least..=known * most).contains(&each) {
            wrong.push(format!("{name}: {each:.0} instructions for each, and it was {known}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reads how many instructions were counted in one part.
fn counted(dump: &Path) -> f64 {
    let text = fs::read_to_string(dump).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {}", dump.display()))
}

#[test]
#[ignore = "it is what the other one runs under valgrind"]
fn the_workloads() {
    let repo = std::env::var_os(REPO).expect("the parent says where");
    let ambient = Ambient::system().unwrap();
    let session = Session::open(Path::new(&repo), &ambient, &Vec::new(), &Cancel::new()).unwrap();
    let snapshot = session.snapshot().unwrap();
    let all: Vec<Task> = snapshot.tasks.iter().map(Task::apart).collect();
    let (offer, candidates): (Offer, Vec<Candidate>) = (offer(), (0..2 * WORKLOADS[0].1).map(candidate).collect());
    let specs: Vec<String> = (0..2 * WORKLOADS[1].1).map(spec).collect();
    let note = status(1).repeat(3);
    let works: [&dyn Fn(usize); WORKLOADS.len()] = [
        &|n| drop(black_box(choose(&candidates[..n], &offer))),
        &|n| specs[..n].iter().for_each(|spec| drop(black_box(SpecRecord::parse(spec).unwrap()))),
        &|n| (0..n).for_each(|_| assert_eq!(black_box(Event::parse_lines(note.as_bytes())).len(), 3)),
        &|n| {
            let tip = session.hub.repo.ref_value(&format!("refs/heads/chain-{n}")).unwrap();
            assert_eq!(black_box(chain_of(&session.hub.repo, tip)).len(), n);
        },
        &|n| assert!(black_box(json::tasks(&session, &all[..n])).contains("p/t0003")),
        &|n| {
            let tasks = all[..n].iter().map(|task| task.name().clone()).collect();
            let options = Options { tasks, into: None, dry_run: true, cancel: Cancel::new(), no_repair: true };
            let planned = black_box(collect::collect(&session, &options, &Silent).unwrap());
            assert_eq!(planned[0].merged.len(), n, "{planned:?}");
        },
    ];
    // What was counted before the first call of all is in the first part.
    measured(&mut || {});
    for ((_, items, _), work) in WORKLOADS.iter().zip(works) {
        // What is made or read once, at the first use, belongs to neither.
        work(2 * items);
        measured(&mut || work(*items));
        measured(&mut || work(2 * items));
    }
}

/// Makes a repository that is its own hub, with finished tasks and two long claim chains, in `folder/repo`.
fn make(folder: &Path) {
    let git = |args: &[&str], input: &str| {
        let mut command = Command::new("git");
        command.args(args).current_dir(folder).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env_remove("GIT_CONFIG_GLOBAL").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut git = command.spawn().unwrap();
        git.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = git.wait_with_output().unwrap();
        assert!(out.status.success(), "git {args:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let configuration = "[user]\nname = Test\nemail = test@example.org\n[init]\ndefaultBranch = main\n";
    fs::write(folder.join(".gitconfig"), configuration).unwrap();
    git(&["init", "--quiet", "repo"], "");
    git(&["-C", "repo", "fast-import", "--quiet"], &queue());
    let specs = git(&["-C", "repo", "rev-list", "--reverse", "refs/dispatch/queue"], "");
    git(&["-C", "repo", "fast-import", "--quiet"], &work(&specs.lines().collect::<Vec<_>>()));
    git(&["-C", "repo", "reset", "--quiet", "--hard"], "");
}

/// How many tasks are done.
const DONE: usize = 2 * WORKLOADS[4].1;

fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

fn file(path: &str, text: &str) -> String {
    format!("M 100644 inline {path}\n{}", data(text))
}

fn commit(name: &str, mark: usize, message: &str, rest: &str) -> String {
    let by = "committer Test <test@example.org> 1700000000 +0000\n";
    format!("commit {name}\nmark :{mark}\n{by}{}{rest}\n", data(message))
}

/// The target with its files, and the specs.
fn queue() -> String {
    let files: String = (0..200).map(|at| file(&format!("src/f{at:03}.txt"), &format!("line of {at}\n"))).collect();
    let target =
        commit("refs/heads/main", 1, "First\n", &(file("git-dispatch.toml", "project = \"p\"\n") + &files));
    (0..DONE)
        .map(|at| commit("refs/dispatch/queue", at + 2, &spec(at), &file("spec.md", "# Task\n")))
        .fold(target, |stream, spec| stream + &spec)
}

/// A result for each spec, with the claims; and the chains.
fn work(specs: &[&str]) -> String {
    let mut stream = String::new();
    for (at, spec) in specs.iter().enumerate() {
        let mark = 10 * at + 1;
        let change = format!("from refs/heads/main^0\n{}", file(&format!("src/f{at:03}.txt"), "changed\n"));
        stream += &commit(&format!("refs/heads/task/p-t{at:04}-n"), mark, "Work\n", &change);
        let claim = format!("refs/dispatch/claims/p/t{at:04}");
        stream += &commit(&claim, mark + 1, &record(at, spec, "running", 1), "");
        let end = format!("merge :{mark}\n{}", file("status.json", &status(at)));
        stream += &commit(&claim, mark + 2, &record(at, spec, "completed", 1), &end);
    }
    for at in 0..2 * WORKLOADS[3].1 {
        let phase = if at % 2 == 0 { "running" } else { "released" };
        let mark = 100_000 + at;
        let message = record(0, specs[0], phase, at / 2 + 1);
        stream += &commit("refs/heads/chain", mark, &message, "");
        if [1, 2].map(|part| part * WORKLOADS[3].1).contains(&(at + 1)) {
            stream += &format!("reset refs/heads/chain-{}\nfrom :{mark}\n\n", at + 1);
        }
    }
    stream
}

fn spec(at: usize) -> String {
    format!(
        "p/t{at:04}: Rewrite module {at} for the new interface\n\nDispatch-Task: p/t{at:04}\nDispatch-Priority: 1\n\
         Dispatch-Modifies: src/f{at:03}.txt\nDispatch-Estimate: 45m\n"
    )
}

fn record(at: usize, spec: &str, phase: &str, attempt: usize) -> String {
    format!(
        "{phase} p/t{at:04} on n\n\nDispatch-Task: p/t{at:04}\nDispatch-Spec: {spec}\nDispatch-Phase: {phase}\nDispatch-Node: n\n\
         Dispatch-Instance: {:016x}.03\nDispatch-Nonce: {at:032x}\nDispatch-Attempt: {attempt}\nDispatch-Charged: 0\n\
         Dispatch-Hold: beat\nDispatch-Branch: task/p-t{at:04}-n\n",
        7
    )
}

/// A line as the end of an attempt writes it.
fn status(at: usize) -> String {
    let id = |kind: usize| format!("{:040x}", at * 10 + kind);
    format!(
        "{{\"v\":1,\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"completed\",\"attempt\":1,\"node\":\"n\",\"claim\":\"{}\",\
         \"started_at\":\"2026-01-02T02:04:05Z\",\"completed_at\":\"2026-01-02T02:34:05Z\",\"duration_seconds\":1800.25,\
         \"exit_code\":0,\"base\":\"{}\",\"result\":\"{}\",\"branch\":\"task/p-t{at:04}-n\",\"loc_added\":12,\"loc_removed\":4,\
         \"files_changed\":1,\"artifact_hash\":\"{}\",\"outside_modifies\":[],\"log_bytes\":4711}}\n",
        id(1),
        id(2),
        id(3),
        id(4)
    )
}

fn candidate(at: usize) -> Candidate {
    Candidate {
        name: TaskName::parse(&format!("p/t{at:05}")).unwrap(),
        position: at,
        state: State::Pending,
        assigned_to: None,
        priority: (at % 4) as u8,
        waited: at as u64,
        path: at as u64 * 37 % 200,
        modifies: Vec::new(),
        labels: if at.is_multiple_of(3) { vec!["big".to_owned()] } else { Vec::new() },
        executor: "shell".to_owned(),
        lacks_run: false,
        by_bundle: false,
        moot: false,
        mode: Mode::Undecided,
        rests: 0,
        depends_on: Vec::new(),
    }
}

/// A node of a fleet of sixteen.
fn offer() -> Offer {
    Offer {
        node: Name::new(NameKind::Node, "node-3").unwrap(),
        labels: ["big".to_owned()].into(),
        executors: ["shell".to_owned()].into(),
        only_assigned: false,
        by_hand: false,
        fleet: (0..16).map(|node| format!("node-{node}")).collect(),
        scopes: Scopes::default(),
        age_step: 3600,
    }
}

//! The scratch folder of a row: repositories, processes in an environment of their own, and large queues made quickly.
//!
//! Owns how the data that is measured on comes to be. A queue of 100,000 tasks is written by two runs of `git fast-import`,
//! which takes seconds, where the program itself would need a fleet and a day.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The program under measure: this build's, or another one that `BENCH_BINARY` names.
pub(crate) fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let other = std::env::var("BENCH_BINARY").ok();
        other.unwrap_or_else(|| env!("CARGO_BIN_EXE_git-dispatch").to_owned())
    })
}

/// A folder with a home of its own, gone when dropped; in memory where the system offers it, since disks differ more than
/// programs do.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
}

const QUEUE: &str = "refs/dispatch/queue";

/// Specs that follow each other.
pub(crate) struct Specs<'a> {
    /// Their numbers.
    pub(crate) numbers: std::ops::Range<usize>,
    /// The commit that they are put on top of.
    pub(crate) from: Option<&'a str>,
    /// Whether any node may take each of them at once: no label, no dependency.
    pub(crate) is_open: bool,
}

/// How large a queue is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Tasks on the queue; nine of ten of those that have no claim are sealed.
    pub(crate) tasks: usize,
    /// How many of them are being run, the last ones.
    pub(crate) live: usize,
    /// Nodes that wrote status notes.
    pub(crate) writers: usize,
}

impl Scene {
    /// Makes the folder.
    pub(crate) fn new() -> Self {
        let shared = Path::new("/dev/shm");
        let below = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("git-dispatch-bench-").tempdir_in(below).expect("a folder");
        let configuration = "[user]\nname = Bench\nemail = bench@example.org\n[init]\ndefaultBranch = main\n\
                             [gc]\nauto = 0\n[maintenance]\nauto = false\n[protocol \"file\"]\nallow = always\n\
                             [ssh]\nvariant = simple\n[core]\nsshCommand = \"f() { shift; sh -c \\\"$*\\\"; }; f\"\n";
        fs::create_dir(folder.path().join("home")).expect("a home");
        fs::write(folder.path().join("home/gitconfig"), configuration).expect("a configuration");
        Self { folder }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Prepares a process that sees nothing of the user's own configuration.
    pub(crate) fn command(&self, folder: &Path, program: &str, args: &[&str]) -> Command {
        let home = self.path("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).stdin(Stdio::null());
        command.env("HOME", &home).env("XDG_STATE_HOME", &home).env("XDG_CONFIG_HOME", &home);
        command.env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Runs a process that must succeed, and returns what it printed.
    pub(crate) fn run(&self, folder: &Path, program: &str, args: &[&str]) -> String {
        let out = self.command(folder, program, args).output().expect("it can be started");
        let said = String::from_utf8_lossy(&[out.stderr, out.stdout.clone()].concat()).into_owned();
        assert!(out.status.success(), "{program} {args:?} in {}: {}\n{said}", folder.display(), out.status);
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// Runs git, which must succeed.
    pub(crate) fn git(&self, folder: &Path, args: &[&str]) -> String {
        self.run(folder, "git", args)
    }

    /// Runs the program, which must succeed.
    pub(crate) fn dispatch(&self, folder: &Path, args: &[&str]) -> String {
        self.run(folder, program(), args)
    }

    /// Copies a folder.
    pub(crate) fn copy(&self, from: &str, to: &str) -> PathBuf {
        self.run(self.folder.path(), "cp", &["-R", from, to]);
        self.path(to)
    }

    /// Makes the bare repository `hub.git` with a target branch of one file, the configuration.
    pub(crate) fn hub(&self) -> PathBuf {
        self.hub_of([("git-dispatch.toml".to_owned(), "project = \"p\"\n".to_owned())])
    }

    /// Makes the bare repository `hub.git` with a target branch of these files.
    pub(crate) fn hub_of(&self, files: impl IntoIterator<Item = (String, String)>) -> PathBuf {
        let hub = self.path("hub.git");
        self.git(self.folder.path(), &["init", "--quiet", "--bare", "hub.git"]);
        self.import(&hub, &commit("refs/heads/main", "First commit", files), None);
        hub
    }

    /// Adds a commit of some changed files to the hub's target branch, and returns its id.
    pub(crate) fn next(&self, hub: &Path, files: impl IntoIterator<Item = (String, String)>) -> String {
        let stream = commit("refs/heads/main", "Next", files);
        let onto = stream.replacen("\nM ", "\nfrom refs/heads/main^0\nM ", 1);
        self.import(hub, &onto, None);
        self.git(hub, &["rev-parse", "refs/heads/main"])
    }

    /// Clones the hub into `name`, with the default branch known.
    pub(crate) fn clone(&self, hub: &str, name: &str) -> PathBuf {
        self.git(self.folder.path(), &["clone", "--quiet", hub, name]);
        self.path(name)
    }

    /// Writes `count` specs that cost nothing to do, and returns their folder.
    pub(crate) fn specs(&self, name: &str, count: usize, run: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).expect("a folder");
        for number in 0..count {
            let text = format!("---\nrun: \"{run}\"\n---\n# Task {number}\n\nDo the thing number {number}.\n");
            fs::write(folder.join(format!("{name}{number:05}.md")), text).expect("a spec");
        }
        folder
    }

    /// Writes a queue of the size given onto the hub: specs, seals, status notes, claims.
    pub(crate) fn queue(&self, hub: &Path, size: Size) {
        let marks = self.path("marks");
        self.import(
            hub,
            &spec_stream(QUEUE, &Specs { numbers: 0..size.tasks, from: None, is_open: false }),
            Some(&marks),
        );
        let ids = self.ids(&marks);
        self.import(hub, &record_stream(&ids, size), None);
        // As after a fetch of everything: refs in one file, objects in one pack.
        self.git(hub, &["pack-refs", "--all"]);
    }

    /// Writes a queue of specs that have neither seal nor claim.
    pub(crate) fn open_queue(&self, hub: &Path, count: usize) {
        self.make_specs(hub, QUEUE, &Specs { numbers: 0..count, from: None, is_open: true });
    }

    /// Writes specs onto a ref.
    pub(crate) fn make_specs(&self, repo: &Path, name: &str, specs: &Specs<'_>) {
        self.import(repo, &spec_stream(name, specs), None);
    }

    /// Adds `count` specs to a queue, and seals as many that have neither seal nor claim.
    pub(crate) fn change(&self, hub: &Path, size: Size, count: usize) {
        let marks = self.path("marks");
        let known = self.ids(&marks);
        let tip = self.git(hub, &["rev-parse", "refs/dispatch/queue"]);
        self.make_specs(
            hub,
            QUEUE,
            &Specs { numbers: size.tasks..size.tasks + count, from: Some(&tip), is_open: false },
        );
        let open = (0..size.tasks - size.live).filter(|number| !is_sealed(*number)).take(count);
        let mut stream = notes_head("refs/notes/dispatch-sealed", true);
        open.for_each(|number| note(&mut stream, &known[number], &seal(number, "merged")));
        self.import(hub, &stream, None);
    }

    /// The ids of what an import numbered from 1.
    pub(crate) fn ids(&self, marks: &Path) -> Vec<String> {
        let text = fs::read_to_string(marks).expect("marks");
        let mut found: Vec<(usize, String)> = text
            .lines()
            .filter_map(|line| line.strip_prefix(':')?.split_once(' '))
            .map(|(mark, id)| (mark.parse().expect("a number"), id.to_owned()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Writes commits by `git fast-import`; `marks` gets their ids.
    pub(crate) fn import(&self, repo: &Path, stream: &str, marks: Option<&Path>) {
        let export = marks.map(|marks| format!("--export-marks={}", marks.display()));
        let mut args = vec!["fast-import", "--quiet", "--force"];
        args.extend(export.as_deref());
        let mut import = self.command(repo, "git", &args).stdin(Stdio::piped()).spawn().expect("git");
        import.stdin.take().expect("a pipe").write_all(stream.as_bytes()).expect("git reads");
        assert!(import.wait().expect("git ends").success());
    }
}

/// A process that is ended when dropped: asked first, since one that is killed leaves locks.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// A commit of whole files.
fn commit(name: &str, message: &str, files: impl IntoIterator<Item = (String, String)>) -> String {
    let mut stream = format!("commit {name}\n{}{}", committed(0), data(message));
    for (path, text) in files {
        let _ = write!(stream, "M 100644 inline {path}\n{}", data(&text));
    }
    stream
}

pub(crate) fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

fn is_sealed(number: usize) -> bool {
    !number.is_multiple_of(10)
}

pub(crate) fn committed(number: usize) -> String {
    format!("committer Bench <bench@example.org> {} +0000\n", 1_700_000_000 + number)
}

/// The specs, one commit on the other.
fn spec_stream(name: &str, specs: &Specs<'_>) -> String {
    let Specs { numbers, from, is_open } = specs;
    let mut stream = String::new();
    for number in numbers.clone() {
        let label = if *is_open { "" } else { "Dispatch-Label: agent:code\n" };
        let depends = if !is_open && number % 4 == 3 {
            format!("Dispatch-Depends-On: p/t{:06}\n", number - 1)
        } else {
            String::new()
        };
        let message = format!(
            "p/t{number:06}: Rewrite module {number} for the new interface\n\nDispatch-Task: p/t{number:06}\n{depends}\
             Dispatch-Modifies: src/m{:03}/f{number:06}.rs\n{label}Dispatch-Estimate: 45m\n",
            number % 500
        );
        let spec =
            format!("---\nmodifies: [src/m{:03}/f{number:06}.rs]\n---\n# Rewrite module {number}\n", number % 500);
        let _ = write!(stream, "commit {name}\nmark :{}\n{}{}", number + 1, committed(number), data(&message));
        if let Some(from) = from.filter(|_| number == numbers.start) {
            let _ = writeln!(stream, "from {from}");
        }
        let _ = write!(stream, "M 100644 inline spec.md\n{}\n", data(&spec));
    }
    stream
}

/// Seals, notes and claims on the specs of these ids.
fn record_stream(ids: &[String], size: Size) -> String {
    let settled = 0..size.tasks - size.live;
    let mut stream = notes_head("refs/notes/dispatch-sealed", false);
    settled.clone().filter(|number| is_sealed(*number)).for_each(|number| {
        note(&mut stream, &ids[number], &seal(number, "merged"));
    });
    for writer in 0..size.writers {
        stream.push_str(&notes_head(&format!("refs/notes/dispatch/node-{writer:02}"), false));
        for number in settled.clone().filter(|number| is_sealed(*number) && number % size.writers == writer) {
            note(&mut stream, &ids[number], &seal(number, "completed"));
        }
    }
    for (number, id) in ids.iter().enumerate().skip(size.tasks - size.live) {
        let message = format!(
            "running p/t{number:06} on node-{:02}\n\nDispatch-Task: p/t{number:06}\nDispatch-Spec: {}\nDispatch-Phase: \
             running\nDispatch-Node: node-{:02}\nDispatch-Instance: {:016x}.03\nDispatch-Nonce: {}\nDispatch-Attempt: 1\n\
             Dispatch-Charged: 0\nDispatch-Hold: beat\nDispatch-Base: {}\n",
            number % size.writers.max(1),
            id,
            number % size.writers.max(1),
            number % size.writers.max(1),
            &hex(number, 6)[..32],
            hex(number, 7)
        );
        let _ =
            write!(stream, "commit refs/dispatch/claims/p/t{number:06}\n{}{}\n", committed(number), data(&message));
    }
    stream
}

fn notes_head(name: &str, go_on: bool) -> String {
    let from = if go_on { format!("from {name}^0\n") } else { String::new() };
    format!("commit {name}\n{}{}{from}", committed(0), data("Notes added by git dispatch\n"))
}

fn note(stream: &mut String, object: &str, line: &str) {
    let _ = write!(stream, "M 100644 inline {}/{}\n{}", &object[..2], &object[2..], data(line));
}

/// A line as a collect writes it.
fn seal(number: usize, event: &str) -> String {
    format!(
        "{{\"v\":1,\"at\":\"2026-01-02T03:04:05Z\",\"event\":\"{event}\",\"task\":\"p/t{number:06}\",\"attempt\":1,\"node\":\
         \"node-{:02}\",\"claim\":\"{}\",\"started_at\":\"2026-01-02T02:04:05Z\",\"completed_at\":\"2026-01-02T02:34:05Z\",\
         \"duration_seconds\":1800.25,\"exit_code\":0,\"base\":\"{}\",\"result\":\"{}\",\"branch\":\"task/p-t{number:06}-node\",\
         \"loc_added\":{},\"loc_removed\":4,\"files_changed\":1,\"artifact_hash\":\"{}\",\"outside_modifies\":[],\"log_bytes\":\
         4711,\"target\":\"main\",\"merge_commit\":\"{}\"}}\n",
        number % 20,
        hex(number, 1),
        hex(number, 2),
        hex(number, 3),
        number % 997,
        hex(number, 4),
        hex(number, 5)
    )
}

/// Forty hexadecimal digits that do not compress.
fn hex(number: usize, kind: u64) -> String {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ kind.wrapping_mul(0xd1b5_4a32_d192_ed03);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    format!("{:016x}{:016x}{:08x}", next(), next(), next() as u32)
}

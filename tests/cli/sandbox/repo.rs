//! Owns what a test does in one folder of a sandbox: write files, run git, run the binary.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::world::{BINARY, World};
use super::{Out, PATIENCE, Running, Trace};

/// When the harness' own commits are made: at one moment, so that their ids are the same in each
/// run.
const COMMITTED: &str = "2026-01-01T00:00:00Z";

/// A folder in a sandbox in which commands are run: a clone, the hub, or any other. Clones of the
/// handle are the same.
#[derive(Clone)]
pub(crate) struct Repo {
    path: PathBuf,
    world: Arc<World>,
}

impl Repo {
    pub(super) fn new(world: &Arc<World>, name: &str) -> Repo {
        let path = if name == "." { world.root().to_owned() } else { world.root().join(name) };
        Repo { path, world: Arc::clone(world) }
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and its folders.
    pub(crate) fn write(&self, rel: &str, text: &str) {
        let path = self.path.join(rel);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a spec file: frontmatter (none if empty) and body.
    pub(crate) fn spec(&self, rel: &str, frontmatter: &str, body: &str) {
        let fenced = match frontmatter.trim() {
            "" => String::new(),
            lines => format!("---\n{lines}\n---\n"),
        };
        self.write(rel, &format!("{fenced}{}\n", body.trim_end()));
    }

    /// Commits everything that is in the folder, and returns the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        let dates = [("GIT_AUTHOR_DATE", COMMITTED), ("GIT_COMMITTER_DATE", COMMITTED)];
        self.run("git", &dates, &["commit", "--quiet", "--allow-empty", "-m", message]).success();
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git, which must succeed; returns its stdout without the last newline.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let out = self.git_try(args);
        assert!(out.code == 0, "git {args:?} in {} failed:\n{out}", self.path.display());
        out.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs git, whatever comes of it.
    #[track_caller]
    pub(crate) fn git_try(&self, args: &[&str]) -> Out {
        self.run("git", &[], args)
    }

    /// Runs the binary.
    #[track_caller]
    pub(crate) fn dispatch(&self, args: &[&str]) -> Out {
        self.dispatch_env(&[], args)
    }

    /// Runs the binary with more in its environment.
    #[track_caller]
    pub(crate) fn dispatch_env(&self, environment: &[(&str, &str)], args: &[&str]) -> Out {
        self.run(BINARY, environment, args)
    }

    /// Runs the binary with this on its standard input; otherwise there is nothing.
    #[track_caller]
    pub(crate) fn dispatch_stdin(&self, stdin: &str, args: &[&str]) -> Out {
        let path = self.world.fresh("stdin");
        fs::write(&path, stdin).unwrap();
        let stdin = File::open(path).unwrap();
        Running::start(self.command(BINARY, &[], args), stdin.into(), &self.world).wait(PATIENCE)
    }

    /// Runs the binary and counts the git processes that it starts.
    #[track_caller]
    pub(crate) fn traced(&self, args: &[&str]) -> (Out, Trace) {
        let file = self.world.fresh("trace");
        let out = self.dispatch_env(&[("GIT_TRACE2_EVENT", file.to_str().unwrap())], args);
        (out, Trace::read(&file))
    }

    /// Starts the binary and leaves it running.
    #[track_caller]
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        self.spawn_env(&[], args)
    }

    /// Starts the binary with more in its environment and leaves it running.
    #[track_caller]
    pub(crate) fn spawn_env(&self, environment: &[(&str, &str)], args: &[&str]) -> Running {
        self.start(BINARY, environment, args)
    }

    /// Runs any program in the sandbox' environment to its end.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, environment: &[(&str, &str)], args: &[&str]) -> Out {
        self.start(program, environment, args).wait(PATIENCE)
    }

    /// Starts any program in the sandbox' environment and leaves it running.
    #[track_caller]
    pub(crate) fn start(&self, program: &str, environment: &[(&str, &str)], args: &[&str]) -> Running {
        Running::start(self.command(program, environment, args), Stdio::null(), &self.world)
    }

    fn command(&self, program: &str, environment: &[(&str, &str)], args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.path);
        command.env_clear().envs(self.world.environment()).envs(environment.iter().copied());
        command
    }
}

//! The way to a remote: push with leases, fetch with exact refspecs, list refs.
//!
//! Owns the flags of these commands. Which refs, and what an answer means for a task, is `hub`'s.

use std::ffi::OsStr;
use std::time::Duration;

use super::address;
use super::error::{Error, Result};
use super::http::{self, Answered};
use super::porcelain::{self, PushLine};
use super::process::{Git, Output};
use super::refs::RefChange;
use super::repo::Repo;
use super::staged::Staged;
use gix::ObjectId;

/// What runs on the other side of a fetch: a section of the configuration that is named after an address may name another
/// program, and for a path it would run here.
pub(super) const UPLOAD: &str = "--upload-pack=git-upload-pack";

/// The same of a push.
const RECEIVE: &str = "--receive-pack=git-receive-pack";

/// A remote to speak to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name in the configuration, for people.
    pub name: String,
    /// Where to fetch from. The URL, not the name, is given to git: settings such as `remote.<name>.mirror` or
    /// `remote.<name>.push` must not change what is pushed.
    pub url: String,
    /// Where to push to.
    pub push_url: String,
}

/// The answer to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// git's line for each ref that it names.
    pub lines: Vec<PushLine>,
    /// What the remote said where it refused, for people.
    pub refusal: Option<String>,
}

impl Repo {
    /// Reads a remote's addresses; `None` where there is no such remote.
    pub fn remote(&self, name: &str) -> Option<Remote> {
        let url = self.config_string(&format!("remote.{name}.url"))?;
        let push_url = self.config_string(&format!("remote.{name}.pushurl")).unwrap_or_else(|| url.clone());
        Some(Remote { name: name.to_owned(), url, push_url })
    }

    /// Pushes the changes, each under a lease on its old value, and returns git's line for each ref that it names.
    /// Neither the exit status nor a message says what was done: only these lines do, and reading again.
    pub fn push(&self, remote: &Remote, changes: &[RefChange], atomic: bool, deadline: Duration) -> Result<Pushed> {
        let options: &[&str] = if atomic { &["--atomic"] } else { &[] };
        let staged = self.stage(changes);
        self.push_with(remote, changes, staged.as_ref(), options, deadline)
    }

    /// Says whether a remote that answers takes no atomic pushes: one that would change nothing is heard out, and the same as
    /// an atomic one is not.
    pub fn is_without_atomic(&self, remote: &Remote, change: &RefChange, deadline: Duration) -> Result<bool> {
        let changes = std::slice::from_ref(change);
        let is_heard = |options| match self.push_with(remote, changes, None, options, deadline) {
            Ok(_) => Ok(true),
            Err(error) if error.is_unreachable() => Ok(false),
            Err(error) => Err(error),
        };
        Ok(!is_heard(&["--dry-run", "--atomic"])? && is_heard(&["--dry-run"])?)
    }

    fn push_with(
        &self,
        remote: &Remote,
        changes: &[RefChange],
        staged: Option<&Staged>,
        options: &[&str],
        deadline: Duration,
    ) -> Result<Pushed> {
        let mut args: Vec<String> = [
            "push",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--recurse-submodules=no",
            RECEIVE,
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(options.iter().map(|option| (*option).to_owned()));
        let hex = |id: Option<ObjectId>| id.map(|id| id.to_string()).unwrap_or_default();
        // A server that knows no push options refuses a push that carries one.
        let mut settings = ["push.pushOption=", "push.useForceIfIncludes=false", "push.negotiate=false"]
            .map(str::to_owned)
            .to_vec();
        let mut git = self.git_to(&remote.push_url, deadline);
        let lease = |lease: &str| format!("--force-with-lease={lease}");
        match staged {
            Some(staged) => {
                let (address, own) = staged.remote(&remote.push_url);
                settings.extend(own);
                args.extend(staged.leases().iter().map(|named| lease(named)));
                args.extend(["--force-with-lease".to_owned(), "--".to_owned(), address]);
                git = staged.shown_to(git);
            }
            None => {
                args.extend(changes.iter().map(|change| lease(&format!("{}:{}", change.name, hex(change.old)))));
                args.extend(["--".to_owned(), remote.push_url.clone()]);
            }
        }
        // Never a `+`: it would switch the lease off.
        let one_by_one = changes.iter().filter(|change| change.new.is_none() || staged.is_none());
        args.extend(one_by_one.map(|change| format!("{}:{}", hex(change.new), change.name)));
        args.extend(staged.and_then(Staged::refspec));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let (output, answered) = self.converse_by(git, &remote.push_url, &args, &settings)?;
        let lines = porcelain::push_lines(&output.stdout);
        if lines.is_empty() && !output.is_success() {
            return Err(self.unanswered(remote, &remote.push_url, output, answered));
        }
        let reason = lines.iter().find_map(|line| line.refused.clone());
        let refusal = reason.map(|reason| match porcelain::remote_words(&output.stderr) {
            said if said.is_empty() => reason,
            said => said,
        });
        Ok(Pushed { lines, refusal })
    }

    /// Fetches the refspecs (each with its `+`, into refs of our own), prunes what is gone, and touches nothing else.
    /// `together`: all of these refs move in one transaction, or none; for many of them that is several times faster.
    pub fn fetch(&self, remote: &Remote, refspecs: &[String], together: bool, deadline: Duration) -> Result<()> {
        let mut args: Vec<String> = [
            "fetch",
            "--quiet",
            "--force",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--refmap=",
            UPLOAD,
            "--",
        ]
        .map(str::to_owned)
        .to_vec();
        if together {
            args.insert(1, "--atomic".to_owned());
        }
        args.push(remote.url.clone());
        args.extend(refspecs.iter().cloned());
        let (output, answered) = self.converse(&remote.url, &args, &["fetch.pruneTags=false"], deadline)?;
        if output.is_success() {
            return Ok(());
        }
        if answered.status.is_none_or(|status| status == 200) && self.lacks_trees() {
            return Err(Error::Treeless { detail: output.stderr });
        }
        Err(self.unanswered(remote, &remote.url, output, answered))
    }

    /// Lists the refs of a remote that match the patterns, each an exact name.
    pub fn ls_remote(
        &self,
        remote: &Remote,
        names: &[String],
        deadline: Duration,
    ) -> Result<Vec<(String, ObjectId)>> {
        let mut found = self.ls_remote_matching(remote, names.iter().cloned(), deadline)?;
        // A pattern matches the ends of names: `refs/heads/main` also `refs/x/refs/heads/main`.
        found.retain(|(name, _)| names.contains(name));
        Ok(found)
    }

    /// Lists the refs of a remote whose names begin with one of the prefixes.
    pub fn ls_remote_below(
        &self,
        remote: &Remote,
        prefixes: &[String],
        deadline: Duration,
    ) -> Result<Vec<(String, ObjectId)>> {
        let patterns = prefixes.iter().map(|prefix| format!("{prefix}*"));
        let mut found = self.ls_remote_matching(remote, patterns, deadline)?;
        found.retain(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
        Ok(found)
    }

    fn ls_remote_matching(
        &self,
        remote: &Remote,
        patterns: impl Iterator<Item = String>,
        deadline: Duration,
    ) -> Result<Vec<(String, ObjectId)>> {
        let mut args = vec![
            "ls-remote".to_owned(),
            "--quiet".to_owned(),
            UPLOAD.to_owned(),
            "--".to_owned(),
            remote.url.clone(),
        ];
        args.extend(patterns);
        let output = self.ask(remote, &args, &[], deadline)?;
        Ok(porcelain::ref_lines(&output.stdout))
    }

    /// Returns the branch that the remote's HEAD points to, if it says.
    pub fn remote_head(&self, remote: &Remote, deadline: Duration) -> Result<Option<String>> {
        let args = ["ls-remote", "--quiet", "--symref", UPLOAD, "--", &remote.url, "HEAD"];
        let output = self.ask(remote, &args, &[], deadline)?;
        let text = output.text();
        let head = text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        Ok(head.map(str::to_owned))
    }

    /// Runs a command that reads from a remote, and demands that it succeeds.
    fn ask<S: AsRef<OsStr>>(
        &self,
        remote: &Remote,
        args: &[S],
        settings: &[&str],
        deadline: Duration,
    ) -> Result<Output> {
        let (output, answered) = self.converse(&remote.url, args, settings, deadline)?;
        if output.is_success() { Ok(output) } else { Err(self.unanswered(remote, &remote.url, output, answered)) }
    }

    /// Runs a command that speaks to an address, within its deadline.
    fn converse<S: AsRef<OsStr>>(
        &self,
        url: &str,
        args: &[S],
        settings: &[&str],
        deadline: Duration,
    ) -> Result<(Output, Answered)> {
        self.converse_by(self.git_to(url, deadline), url, args, settings)
    }

    fn converse_by<S: AsRef<OsStr>>(
        &self,
        git: Git,
        url: &str,
        args: &[S],
        settings: &[&str],
    ) -> Result<(Output, Answered)> {
        let git = settings.iter().fold(git, |git, setting| git.with_setting(setting));
        let output = git.run(args, None).inspect_err(|_| self.leave_connection(url))?;
        Ok(heard(url, output))
    }

    /// Points git at an address: what it may speak, how, and how long.
    pub(super) fn git_to(&self, url: &str, deadline: Duration) -> Git {
        let mut git = self.git().with_deadline(deadline).with_env("GIT_ALLOW_PROTOCOL", address::allowed(url));
        // A proxy for `git://` would be a command of the configuration's, and is no use on the way to this machine.
        git = git.with_env("GIT_PROXY_COMMAND", "");
        if let Some(command) = self.ssh_command(url) {
            git = git.with_env("GIT_SSH_COMMAND", command);
        }
        if address::is_web(url) {
            git = http::TELLING.iter().fold(git, |git, (name, value)| git.with_env(name, *value));
        }
        git
    }

    /// Makes the error of a conversation that came to nothing.
    pub(super) fn unanswered(&self, remote: &Remote, url: &str, output: Output, answered: Answered) -> Error {
        self.leave_connection(url);
        let (remote, detail) = (remote.name.clone(), output.stderr);
        match answered.status {
            Some(status) if answered.is_denied() => Error::Denied { remote, status, detail },
            Some(status) if answered.is_later() => Error::Later { remote, status, wait: answered.wait },
            _ => Error::Unreachable { remote, detail },
        }
    }
}

/// Parts what a conversation printed for people from what a web server answered.
pub(super) fn heard(url: &str, mut output: Output) -> (Output, Answered) {
    let mut answered = Answered::default();
    if address::is_web(url) {
        (output.stderr, answered) = http::part(&output.stderr);
    }
    (output, answered)
}

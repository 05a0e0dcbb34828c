//! The way to a remote: push with leases, fetch with exact refspecs, list refs.
//!
//! Owns the flags of these commands. Which refs, and what an answer means for a task, is `hub`'s.

use std::time::Duration;

use super::error::{Error, Result};
use super::porcelain::{self, PushLine};
use super::refs::RefChange;
use super::repo::Repo;
use super::staged::Staged;
use gix::ObjectId;

/// What runs on the other side of a fetch: a section of the configuration that is named after an address may name another
/// program, and for a path it would run here.
pub(super) const UPLOAD: &str = "--upload-pack=git-upload-pack";

/// The same of a push.
const RECEIVE: &str = "--receive-pack=git-receive-pack";

/// The kinds of addresses that are spoken, beside paths and `host:path`.
const SPOKEN: [&str; 3] = ["https", "ssh", "file"];

/// Says whether an address is one that is spoken: it runs nothing, and says who answers.
pub fn is_spoken(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    // `ext::…`; an address of IPv6 has its colons elsewhere.
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let names_helper = url.split_once("::").is_some_and(|(helper, _)| is_word(helper));
    !url.starts_with('-') && !names_helper && scheme.is_none_or(|scheme| SPOKEN.contains(&scheme))
}

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
    /// Neither the exit status nor a message says what was done: only these lines do, and reading again. `area` is where
    /// many of them stand ready meanwhile, among the refs here.
    pub fn push(
        &self,
        remote: &Remote,
        changes: &[RefChange],
        atomic: bool,
        area: &str,
        deadline: Duration,
    ) -> Result<Pushed> {
        let options: &[&str] = if atomic { &["--atomic"] } else { &[] };
        let staged = self.stage(changes, area);
        self.push_with(remote, changes, staged.as_ref().map(Staged::refspec), options, deadline)
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
        pattern: Option<String>,
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
        for change in changes {
            args.push(format!("--force-with-lease={}:{}", change.name, hex(change.old)));
        }
        args.push("--".to_owned());
        args.push(remote.push_url.clone());
        // Never a `+`: it would switch the lease off.
        let one_by_one = changes.iter().filter(|change| change.new.is_none() || pattern.is_none());
        args.extend(one_by_one.map(|change| format!("{}:{}", hex(change.new), change.name)));
        args.extend(pattern);
        let output = self
            .git()
            .with_deadline(deadline)
            // A server that knows no push options refuses a push that carries one.
            .with_setting("push.pushOption=")
            .with_setting("push.useForceIfIncludes=false")
            .with_setting("push.negotiate=false")
            .run(&args, None)?;
        let lines = porcelain::push_lines(&output.stdout);
        if lines.is_empty() && !output.is_success() {
            return Err(Error::Unreachable { remote: remote.name.clone(), detail: output.stderr });
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
        let git = self.git().with_deadline(deadline).with_setting("fetch.pruneTags=false");
        let output = git.run(&args, None)?;
        if output.is_success() {
            return Ok(());
        }
        if self.lacks_trees() {
            return Err(Error::Treeless { detail: output.stderr });
        }
        Err(Error::Unreachable { remote: remote.name.clone(), detail: output.stderr })
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
        let output = self.git().with_deadline(deadline).run(&args, None)?;
        if !output.is_success() {
            return Err(Error::Unreachable { remote: remote.name.clone(), detail: output.stderr });
        }
        Ok(porcelain::ref_lines(&output.stdout))
    }

    /// Returns the branch that the remote's HEAD points to, if it says.
    pub fn remote_head(&self, remote: &Remote, deadline: Duration) -> Result<Option<String>> {
        let args = ["ls-remote", "--quiet", "--symref", UPLOAD, "--", &remote.url, "HEAD"];
        let output = self.git().with_deadline(deadline).run(&args, None)?;
        if !output.is_success() {
            return Err(Error::Unreachable { remote: remote.name.clone(), detail: output.stderr });
        }
        let text = output.text();
        let head = text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        Ok(head.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_nothing_is_spoken() {
        for url in [
            "/srv/x.git",
            "../x",
            "git@host:x.git",
            "ssh://git@host/x",
            "https://[::1]:8443/x",
            "file:///x",
            "C:\\x",
        ] {
            assert!(is_spoken(url), "{url}");
        }
        for url in [
            "ext::sh -c x",
            "::x",
            "fd::1",
            "evil-helper::x",
            "http://x/y",
            "git://x/y",
            "ftp://x",
            "evil://x",
            "-oProxyCommand=x",
        ] {
            assert!(!is_spoken(url), "{url}");
        }
    }
}

//! How many connections are opened over ssh.

use super::servers::{Served, Transport};
use crate::sandbox::{Repo, Sandbox};
use crate::steps::{refused, shown};

/// Returns a clone whose hub is behind an sshd of its own; `None` where there is no sshd.
fn over_ssh() -> Option<(Sandbox, Repo, Served)> {
    if let Some(why) = Transport::Ssh.missing() {
        println!("skipped: {why}");
        return None;
    }
    let sandbox = Sandbox::with_clones(&["a"]);
    let served = Transport::Ssh.serve(&sandbox);
    let a = sandbox.repo("a");
    a.git(&["config", "remote.origin.url", &served.url]);
    a.spec("../specs/one.md", "run: echo one > one.txt", "# One");
    Some((sandbox, a, served))
}

/// Enqueues, runs and collects a task.
fn whole_day(sandbox: &Sandbox, a: &Repo, served: &Served) {
    let environment: Vec<(&str, &str)> =
        served.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for args in [&["enqueue", "../specs"][..], &["run"], &["collect"]] {
        a.dispatch_env(&environment, args).success();
    }
    assert_eq!(sandbox.hub().git(&["show", "main:one.txt"]), "one");
}

fn connections(served: &Served) -> usize {
    served.log().matches("Accepted publickey").count()
}

#[test]
fn over_ssh_a_whole_day_takes_one_connection() {
    let Some((sandbox, a, served)) = over_ssh() else { return };
    whole_day(&sandbox, &a, &served);
    assert_eq!(connections(&served), 1, "{}", served.log());
}

#[test]
fn a_user_who_says_how_ssh_is_called_is_heard() {
    let Some((sandbox, a, served)) = over_ssh() else { return };
    a.git(&["config", "core.sshCommand", "ssh"]);
    whole_day(&sandbox, &a, &served);
    let all = connections(&served);
    assert!(all > 5, "{all}");
    let Some((sandbox, a, served)) = over_ssh() else { return };
    // Connections of the user's own: under the user's name for them.
    let config = sandbox.root().join("ssh/client.conf");
    let own = sandbox.root().join("own");
    let text = std::fs::read_to_string(&config).unwrap();
    let shared = format!("{text}ControlMaster auto\nControlPersist 60\nControlPath {}\n", shown(&own));
    std::fs::write(&config, shared).unwrap();
    whole_day(&sandbox, &a, &served);
    assert_eq!((connections(&served), own.exists()), (1, true));
    let state = std::fs::read_dir(a.path().join(".git/dispatch")).unwrap().flatten();
    assert!(state.into_iter().all(|file| !file.file_name().to_string_lossy().starts_with("ssh-")));
}

/// ssh ends alike for a host that is not there and one that lets nobody in: only its words tell, and those are shown.
#[test]
fn a_login_that_is_refused_is_told_in_the_words_of_ssh() {
    let Some((sandbox, a, served)) = over_ssh() else { return };
    std::fs::write(sandbox.root().join("ssh/user.pub"), "").unwrap();
    let environment: Vec<(&str, &str)> =
        served.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let out = a.dispatch_env(&environment, &["enqueue", "../specs", "--json"]);
    let error = refused(&out, "dispatch::hub::unreachable", 1);
    assert!(error["message"].to_string().contains("Permission denied"), "{error}");
}

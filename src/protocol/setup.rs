//! Setting a clone up: the annotated configuration file, the node's name, what `git log` shows (CLI.md, `init`).
//!
//! Owns what the file looks like. It never overwrites anything.

use std::path::{Path, PathBuf};

use super::error::Result;
use super::session::Session;
use crate::config::DEFAULTS;
use crate::git::Error as GitError;

/// A program that carries out prompts, and how it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// The program, and the executor's name.
    pub name: &'static str,
    /// Its argv, as TOML.
    pub command: &'static str,
}

/// The programs that are looked for. Their options are those of their own manuals; a person reads the lines before
/// they have any effect.
const AGENTS: &[Agent] = &[
    Agent { name: "claude", command: r#"["claude", "-p", "{prompt}"]"# },
    Agent { name: "codex", command: r#"["codex", "exec", "{prompt}"]"# },
    Agent { name: "gemini", command: r#"["gemini", "-p", "{prompt}"]"# },
    Agent { name: "aider", command: r#"["aider", "--yes-always", "--message-file", "{prompt_file}"]"# },
    Agent { name: "opencode", command: r#"["opencode", "run", "{prompt}"]"# },
];

/// Finds the known programs in folders.
pub fn found(folders: &[PathBuf]) -> Vec<Agent> {
    AGENTS.iter().copied().filter(|agent| folders.iter().any(|folder| folder.join(agent.name).is_file())).collect()
}

/// Writes the file where there is none; says whether it did.
pub fn write_file(file: &Path, project: Option<&str>, agents: &[Agent]) -> Result<bool> {
    use std::io::Write;
    let failed = |error| GitError::file(file, error);
    let mut open = match std::fs::File::options().write(true).create_new(true).open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(error).into()),
    };
    open.write_all(text(project, agents).as_bytes()).map_err(failed)?;
    Ok(true)
}

/// The annotated defaults with every setting commented out, so that a later version's better default takes effect.
fn text(project: Option<&str>, agents: &[Agent]) -> String {
    let mut text = String::new();
    for line in DEFAULTS.lines() {
        let is_setting = !line.trim().is_empty() && !line.starts_with(['#', '[', ' ', ']']);
        match (project, line.strip_prefix("#project = ")) {
            (Some(project), Some(_)) => text.push_str(&format!("project = \"{project}\"\n")),
            _ if is_setting => text.push_str(&format!("#{line}\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    for agent in agents {
        text.push_str(&format!(
            "\n# {name} was found on the PATH when this file was written.\n#[executors.{name}]\n#kind = \"command\"\n#command = {}\n",
            agent.command,
            name = agent.name,
        ));
    }
    text
}

/// Sets the node's name where none is set or one is given, the remote where one is given, and lets `git log` show the
/// status notes. Returns the node's name.
pub fn configure(session: &Session, node: Option<&str>, remote: Option<&str>) -> Result<String> {
    let git = session.hub.repo.git();
    let repo = &session.hub.repo;
    let set = |key: &str, value: &str| git.check(&["config", "--local", key, value]).map(drop);
    let name = node.map_or_else(|| session.node.to_string(), str::to_owned);
    if node.is_some() || repo.config_string("dispatch.node").is_none() {
        set("dispatch.node", &name)?;
    }
    if let Some(remote) = remote {
        set("dispatch.remote", remote)?;
    }
    let shown = session.hub.layout.shown_notes();
    let known = git.run(&["config", "--get-all", "notes.displayRef"], None)?;
    if !known.text().lines().any(|line| line == shown) {
        git.check(&["config", "--local", "--add", "notes.displayRef", &shown])?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_loads_and_changes_nothing_but_the_project() {
        let load = |text: &str| {
            crate::config::load(&crate::config::Inputs::default().with_file("git-dispatch.toml", text))
                .unwrap()
                .config
        };
        let mut expected = load("");
        assert_eq!(load(&text(None, AGENTS)), expected);
        expected.project = Some("gem".to_owned());
        assert_eq!(load(&text(Some("gem"), AGENTS)), expected);
    }

    #[test]
    fn an_agent_works_once_its_lines_are_taken_in() {
        let text = text(None, &AGENTS[..1]);
        let (_, agent) = text.split_once("#[executors.claude]").unwrap();
        let lines: String = agent.lines().map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
        let file = format!("[executors.claude]{lines}");
        let inputs = crate::config::Inputs::default().with_file("git-dispatch.toml", &file);
        assert_eq!(crate::config::load(&inputs).unwrap().config.executor("claude").unwrap().command[0], "claude");
    }
}

//! From the configuration to a command: shell lines and argv with placeholders (CLI.md, "What an executor gets").
//!
//! Each argument is filled by itself, in one pass; nothing of a spec ever meets a shell but its own `run` line under an
//! executor of kind shell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, Result};
use crate::ambient::Ambient;
use crate::config::model::{ExecutorKind, ExecutorSettings, StdinSource, Verify};

/// The text before the prompt, where the configuration names none: agents tend to describe instead of doing.
const PREAMBLE: &str = "Carry out the following specification in this repository, now and completely. Change the files \
     that it calls for; do not describe what you would do, and do not ask. Commit your work when it is done; whatever \
     is left uncommitted is committed for you.\n\n";

/// The text after the prompt in a session: nobody else can tell when its task has ended.
const ENDING: &str = "\n\nWhen all of this is done and committed, run `git dispatch done` in this folder. If it cannot be \
     done, run `git dispatch done --failed --error \"why\"` instead. Say it once, at the very end: it ends this session.\n";

/// What one attempt gives to its executor.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `<project>/<id>`.
    pub task: String,
    /// The project.
    pub project: String,
    /// The id.
    pub id: String,
    /// The title.
    pub title: String,
    /// The attempt's number.
    pub attempt: u32,
    /// The node.
    pub node: String,
    /// The priority.
    pub priority: u8,
    /// The task branch.
    pub branch: String,
    /// The base commit.
    pub base: String,
    /// The target branch.
    pub target: String,
    /// The spec, outside the clone.
    pub spec_file: PathBuf,
    /// Its body, outside the clone.
    pub prompt_file: PathBuf,
    /// Where a JSON object may be left.
    pub result_file: PathBuf,
    /// The output so far.
    pub log_file: PathBuf,
    /// The body.
    pub body: String,
    /// The spec's own `run` line.
    pub run: Option<String>,
}

impl Given {
    /// The prompt: the preamble and the spec's body; for a session, which does not end by itself, how to say the end.
    pub fn prompt(&self, settings: &ExecutorSettings) -> String {
        let preamble = settings.preamble.as_deref().unwrap_or(PREAMBLE);
        let ending = if settings.kind == ExecutorKind::Tmux { ENDING } else { "" };
        format!("{preamble}{}{ending}", self.body)
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("DISPATCH_TASK", self.task.as_str().into()),
            ("DISPATCH_PROJECT", self.project.as_str().into()),
            ("DISPATCH_ID", self.id.as_str().into()),
            ("DISPATCH_TITLE", self.title.as_str().into()),
            ("DISPATCH_ATTEMPT", self.attempt.to_string().into()),
            ("DISPATCH_NODE", self.node.as_str().into()),
            ("DISPATCH_PRIORITY", self.priority.to_string().into()),
            ("DISPATCH_BRANCH", self.branch.as_str().into()),
            ("DISPATCH_BASE", self.base.as_str().into()),
            ("DISPATCH_TARGET", self.target.as_str().into()),
            ("DISPATCH_SPEC_FILE", self.spec_file.as_os_str().to_owned()),
            ("DISPATCH_PROMPT_FILE", self.prompt_file.as_os_str().to_owned()),
            ("DISPATCH_RESULT_FILE", self.result_file.as_os_str().to_owned()),
            ("DISPATCH_LOG_FILE", self.log_file.as_os_str().to_owned()),
        ]
    }

    /// The model for the task's priority: by word, by number, else the default one.
    fn model(&self, settings: &ExecutorSettings) -> String {
        let word = ["critical", "high", "default", "low"].get(usize::from(self.priority)).copied();
        let number = self.priority.to_string();
        let by = |key: &str| settings.model.get(key).cloned();
        word.and_then(by).or_else(|| by(&number)).or_else(|| by("default")).unwrap_or_default()
    }
}

/// Builds the command of an executor that is a process of ours; the caller sets folder and output.
#[expect(clippy::disallowed_methods, reason = "the one place where an executor's command is made")]
pub fn build(settings: &ExecutorSettings, given: &Given, ambient: &Ambient) -> Result<Command> {
    let mut command = match settings.kind {
        ExecutorKind::Shell => {
            shell(given.run.as_ref().ok_or_else(|| Error::Spawn("the spec has no `run`".to_owned()))?)
        }
        ExecutorKind::Command | ExecutorKind::Tmux => {
            let argv = argv(settings, given, None);
            let (program, arguments) =
                argv.split_first().ok_or_else(|| Error::Spawn("its `command` is empty".to_owned()))?;
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    command.env_clear().envs(environment(settings, given, ambient));
    Ok(command)
}

/// Builds the command of a shell line: the `run` of a spec, or a line of the configuration.
#[expect(clippy::disallowed_methods, reason = "the one place where an executor's command is made")]
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line);
    command
}

/// Builds the command of a tool that executing needs.
#[expect(clippy::disallowed_methods, reason = "the one place where an executor's command is made")]
pub(super) fn tool(program: &str) -> Command {
    Command::new(program)
}

/// Fills an executor's argv; with the id of a session that is to be resumed, the arguments for that stand behind it.
pub fn argv(settings: &ExecutorSettings, given: &Given, resume: Option<&str>) -> Vec<OsString> {
    let own = settings.command.iter().map(|part| no_option(part, fill(part, given, settings)));
    let resumed = |part: &String, id| fill(&part.replace("{resume_id}", id), given, settings);
    let of_resuming = |id| settings.resume_args.iter().map(move |part: &String| no_option(part, resumed(part, id)));
    own.chain(resume.into_iter().flat_map(of_resuming)).collect()
}

/// What somebody else wrote is no option, wherever the configuration puts it: a word that only its filling makes begin with
/// `-` gets a blank in front, which a text can bear.
fn no_option(part: &str, filled: OsString) -> OsString {
    if part.starts_with('-') || !filled.as_encoded_bytes().starts_with(b"-") {
        return filled;
    }
    let mut word = OsString::from(" ");
    word.push(filled);
    word
}

/// The environment of whatever works on a task: the node's own as far as it is let through, the executor's `env`, and
/// what the task is. Our own folder stands at the end of the PATH, so that `git dispatch done` is found.
pub fn environment(settings: &ExecutorSettings, given: &Given, ambient: &Ambient) -> BTreeMap<OsString, OsString> {
    let mut environment = inherited(settings, ambient.vars());
    environment.extend(settings.env.iter().map(|(name, value)| (name.into(), value.into())));
    if let Some(folder) = ambient.program().as_deref().and_then(std::path::Path::parent) {
        let path = environment.entry("PATH".into()).or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(path).collect();
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
            if let Ok(joined) = std::env::join_paths(folders.iter().filter(|folder| !folder.as_os_str().is_empty()))
            {
                *path = joined;
            }
        }
    }
    environment.extend(given.variables().into_iter().map(|(name, value)| (name.into(), value)));
    environment
}

/// Says what the executor reads on stdin.
pub fn stdin(settings: &ExecutorSettings, given: &Given) -> std::io::Result<std::process::Stdio> {
    match settings.stdin {
        StdinSource::None => Ok(std::process::Stdio::null()),
        StdinSource::Prompt => crate::exec::stdin_from(given.prompt(settings).as_bytes()),
    }
}

/// Builds a command of the configuration's own, such as one that verifies a commit or writes specs: a shell line or an argv,
/// both as they were given, with the caller's environment and these variables.
#[expect(clippy::disallowed_methods, reason = "the one place where a configured command is made")]
pub fn as_given(
    how: &Verify,
    clone: &Path,
    variables: &[(&'static str, String)],
    ambient: &Ambient,
) -> Option<Command> {
    let mut command = match how {
        Verify::None => return None,
        Verify::Line(line) => shell(line),
        Verify::Argv(argv) => {
            let (program, arguments) = argv.split_first()?;
            // A path is one in the clone, wherever this process was started.
            let path = Path::new(program);
            let is_path = path.is_relative() && path.components().count() > 1 || program.starts_with("./");
            let mut command = Command::new(if is_path { clone.join(path) } else { path.to_owned() });
            command.args(arguments);
            command
        }
    };
    command.env_clear();
    command.envs(let_through(&["*".to_owned()], ambient.vars()));
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    Some(command)
}

/// The node's own environment as far as `env_allow` lets it through, without ours and without what points git
/// elsewhere.
fn inherited<'a>(
    settings: &ExecutorSettings,
    node_env: impl Iterator<Item = (&'a OsString, &'a OsString)>,
) -> BTreeMap<OsString, OsString> {
    let_through(&settings.env_allow, node_env)
}

fn let_through<'a>(
    globs: &[String],
    node_env: impl Iterator<Item = (&'a OsString, &'a OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut allow = globset::GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| globset::Glob::new(glob).ok()) {
        allow.add(glob);
    }
    let Ok(allow) = allow.build() else {
        return BTreeMap::new();
    };
    let is_ours = |name: &str| {
        name.starts_with("DISPATCH_")
            || name.starts_with("GIT_DISPATCH_")
            || crate::git::process::redirects_git(name)
    };
    node_env
        .filter(|(name, _)| name.to_str().is_some_and(|name| allow.is_match(name) && !is_ours(name)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Fills the placeholders of one argument in one pass; braces around anything else stay.
fn fill(part: &str, given: &Given, settings: &ExecutorSettings) -> OsString {
    let mut filled = OsString::new();
    let mut rest = part;
    while let Some(open) = rest.find('{') {
        filled.push(&rest[..open]);
        let after = &rest[open + 1..];
        match after.find('}').and_then(|close| Some((close, value(&after[..close], given, settings)?))) {
            Some((close, value)) => {
                filled.push(value);
                rest = &after[close + 1..];
            }
            None => {
                filled.push("{");
                rest = after;
            }
        }
    }
    filled.push(rest);
    filled
}

fn value(name: &str, given: &Given, settings: &ExecutorSettings) -> Option<OsString> {
    Some(match name {
        "prompt" => given.prompt(settings).into(),
        "prompt_file" => given.prompt_file.clone().into(),
        "spec_file" => given.spec_file.clone().into(),
        "result_file" => given.result_file.clone().into(),
        "log_file" => given.log_file.clone().into(),
        "model" => given.model(settings).into(),
        "title" => given.title.clone().into(),
        "task" => given.task.clone().into(),
        "project" => given.project.clone().into(),
        "id" => given.id.clone().into(),
        "attempt" => given.attempt.to_string().into(),
        "node" => given.node.clone().into(),
        "priority" => given.priority.to_string().into(),
        "branch" => given.branch.clone().into(),
        "base" => given.base.clone().into(),
        "target" => given.target.clone().into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ExecutorSettings {
        let file = "[executors.x]\nkind = \"command\"\ncommand = [\"x\"]\nmodel = { critical = \"opus\", default = \"sonnet\" }\n";
        let loaded = crate::config::load(&crate::config::Inputs::default().with_file("t", file)).unwrap();
        loaded.config.executor("x").unwrap().clone()
    }

    #[test]
    fn placeholders_are_filled_once_and_other_braces_stay() {
        let given = Given { title: "{task} $(x)".into(), task: "p/a".into(), ..Given::default() };
        let filled = |part: &str| fill(part, &given, &settings()).into_string().unwrap();
        assert_eq!(filled("{title}"), "{task} $(x)");
        assert_eq!(filled("a{task}b{task}"), "ap/abp/a");
        assert_eq!(filled("{\"json\": {unknown} {"), "{\"json\": {unknown} {");
    }

    #[test]
    fn no_text_of_a_spec_is_an_option() {
        let mut settings = settings();
        settings.command = ["agent", "--ask={title}", "{title}", "-p", "{prompt}"].map(String::from).into();
        settings.preamble = Some(String::new());
        settings.resume_args = ["--resume", "{resume_id}"].map(String::from).into();
        let given = Given { title: "--yes".into(), body: "-rf /".into(), ..Given::default() };
        let words: Vec<String> =
            argv(&settings, &given, Some("--all")).into_iter().map(|word| word.into_string().unwrap()).collect();
        assert_eq!(words, ["agent", "--ask=--yes", " --yes", "-p", " -rf /", "--resume", " --all"]);
    }

    #[test]
    fn the_model_goes_by_priority() {
        let model = |priority| Given { priority, ..Given::default() }.model(&settings());
        assert_eq!((model(0), model(1), model(9)), ("opus".to_owned(), "sonnet".to_owned(), "sonnet".to_owned()));
    }

    #[test]
    fn what_points_git_elsewhere_is_not_inherited() {
        let env = [("PATH", "/bin"), ("GIT_DIR", "/x"), ("DISPATCH_TASK", "other"), ("GIT_DISPATCH_NODE", "n")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let env = env.iter().map(|(name, value)| (name, value));
        let kept: Vec<_> = inherited(&settings(), env).into_keys().collect();
        assert_eq!(kept, [OsString::from("PATH")]);
    }
}

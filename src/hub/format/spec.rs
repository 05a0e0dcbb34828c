//! The spec commit: all that scheduling needs of a spec, in its message (DESIGN.md 2.1).

use super::{Trailers, Unreadable, branch, check_version};
use crate::task::TaskName;
use crate::task::spec::{Mode, Spec};

/// The file in a spec commit's tree that holds the spec as it was given.
pub const FILE: &str = "spec.md";

/// The priority of a spec that names none.
pub const DEFAULT_PRIORITY: u8 = 2;

/// What a spec commit's message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecRecord {
    /// The task.
    pub task: TaskName,
    /// Its title, one line.
    pub title: String,
    /// Its priority, 0 first.
    pub priority: u8,
    /// The tasks that must be done before.
    pub depends_on: Vec<TaskName>,
    /// Globs of the paths that it means to change.
    pub modifies: Vec<String>,
    /// The labels that a node must have.
    pub labels: Vec<String>,
    /// The executor, where it is not the configured one.
    pub executor: Option<String>,
    /// Who may run it.
    pub mode: Mode,
    /// How long it is thought to take, in minutes.
    pub estimate_minutes: Option<u32>,
    /// The branch that its result goes to, where it is not the configured one.
    pub target: Option<String>,
    /// On a repair: the task that it mends, and the completed claim that did not merge.
    pub repairs: Option<String>,
    /// On a spec of the factory: its generation.
    pub generation: Option<u32>,
}

impl SpecRecord {
    /// Takes from a spec what goes into its commit's message.
    pub fn of(spec: &Spec) -> Self {
        Self {
            task: spec.task.clone(),
            title: crate::task::text::one_line(&spec.title),
            priority: spec.priority,
            depends_on: spec.depends_on.clone(),
            modifies: spec.modifies.clone(),
            labels: spec.labels.clone(),
            executor: spec.executor.clone(),
            mode: spec.mode,
            estimate_minutes: spec.estimate_minutes,
            target: spec.target.clone(),
            repairs: None,
            generation: None,
        }
    }

    /// Writes the message.
    pub fn to_message(&self) -> String {
        let mut trailers = Trailers::default();
        trailers.push("Dispatch-Task", &self.task);
        trailers.push_some("Dispatch-Priority", (self.priority != DEFAULT_PRIORITY).then_some(self.priority));
        for task in &self.depends_on {
            trailers.push("Dispatch-Depends-On", task);
        }
        for glob in &self.modifies {
            trailers.push("Dispatch-Modifies", glob);
        }
        for label in &self.labels {
            trailers.push("Dispatch-Label", label);
        }
        trailers.push_some("Dispatch-Executor", self.executor.as_ref());
        trailers.push_some("Dispatch-Mode", (self.mode != Mode::default()).then_some(self.mode));
        trailers.push_some("Dispatch-Estimate", self.estimate_minutes.map(|minutes| format!("{minutes}m")));
        trailers.push_some("Dispatch-Target", self.target.as_ref());
        trailers.push_some("Dispatch-Repairs", self.repairs.as_ref());
        trailers.push_some("Dispatch-Generation", self.generation);
        trailers.message(&format!("{}: {}", self.task, self.title))
    }

    /// Reads the message.
    pub fn parse(message: &str) -> Result<Self, Unreadable> {
        let trailers = Trailers::parse(message);
        check_version(&trailers)?;
        let task = trailers.get("Dispatch-Task").ok_or(Unreadable::Missing("Dispatch-Task"))?;
        let task = TaskName::parse(task).map_err(|_| Unreadable::Malformed("Dispatch-Task"))?;
        let subject = message.lines().next().unwrap_or_default();
        let title = subject.strip_prefix(&format!("{task}:")).unwrap_or(subject).trim().to_owned();
        let list = |key| trailers.all(key).map(str::to_owned).collect::<Vec<_>>();
        let depends_on = trailers
            .all("Dispatch-Depends-On")
            .map(|name| TaskName::parse(name).map_err(|_| Unreadable::Malformed("Dispatch-Depends-On")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            title,
            priority: number(&trailers, "Dispatch-Priority")?.unwrap_or(DEFAULT_PRIORITY),
            depends_on,
            modifies: list("Dispatch-Modifies"),
            labels: list("Dispatch-Label"),
            executor: trailers.get("Dispatch-Executor").map(str::to_owned),
            mode: match trailers.get("Dispatch-Mode") {
                Some(mode) => mode.parse().map_err(|_| Unreadable::Malformed("Dispatch-Mode"))?,
                None => Mode::default(),
            },
            estimate_minutes: estimate(&trailers)?,
            target: branch(&trailers, "Dispatch-Target")?,
            repairs: trailers.get("Dispatch-Repairs").map(str::to_owned),
            generation: number(&trailers, "Dispatch-Generation")?,
            task,
        })
    }
}

fn number<T: std::str::FromStr>(trailers: &Trailers, key: &'static str) -> Result<Option<T>, Unreadable> {
    trailers.get(key).map(|text| text.parse().map_err(|_| Unreadable::Malformed(key))).transpose()
}

fn estimate(trailers: &Trailers) -> Result<Option<u32>, Unreadable> {
    let malformed = || Unreadable::Malformed("Dispatch-Estimate");
    let minutes = |text: &str| text.strip_suffix('m').and_then(|text| text.parse().ok()).ok_or_else(malformed);
    trailers.get("Dispatch-Estimate").map(minutes).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> TaskName {
        TaskName::parse(name).unwrap()
    }

    fn plain() -> SpecRecord {
        SpecRecord {
            task: task("gem-platform/S01"),
            title: "Pack schemas by path".into(),
            priority: DEFAULT_PRIORITY,
            depends_on: vec![],
            modifies: vec![],
            labels: vec![],
            executor: None,
            mode: Mode::Undecided,
            estimate_minutes: None,
            target: None,
            repairs: None,
            generation: None,
        }
    }

    #[test]
    fn defaults_are_left_out() {
        let message = "gem-platform/S01: Pack schemas by path\n\nDispatch-Task: gem-platform/S01\n";
        assert_eq!(plain().to_message(), message);
        assert_eq!(SpecRecord::parse(message), Ok(plain()));
    }

    #[test]
    fn every_field_reads_back() {
        let full = SpecRecord {
            priority: 1,
            depends_on: vec![task("gem-platform/S00"), task("other/S7")],
            modifies: vec!["schemas/**".into(), "a b".into()],
            labels: vec!["agent:code".into()],
            executor: Some("glm".into()),
            mode: Mode::Push,
            estimate_minutes: Some(45),
            target: Some("main".into()),
            repairs: Some("p/B@00".into()),
            generation: Some(3),
            ..plain()
        };
        assert_eq!(SpecRecord::parse(&full.to_message()), Ok(full));
    }

    #[test]
    fn a_newer_format_is_not_guessed_at() {
        let message = "p/x: t\n\nDispatch-Task: p/x\nDispatch-Format: 99\n";
        assert_eq!(SpecRecord::parse(message), Err(Unreadable::Newer(99)));
        assert_eq!(SpecRecord::parse("hello"), Err(Unreadable::Missing("Dispatch-Task")));
    }
}

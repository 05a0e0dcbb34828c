//! The map of refs (DESIGN.md 2): the only place where one of our ref names is spelled.
//!
//! Owns names in both directions; what the refs hold is `format`'s.

use crate::task::{Name, TaskName};

/// Where shared refs stand: the configured prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
    branch_prefix: String,
}

/// What a local ref keeps from being pruned in this clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The base of the task that the slot of this number works on.
    SlotBase(usize),
    /// The result of the claim of this id.
    Result(String),
    /// What the outbox record of the claim of this id is to publish.
    Outbox(String),
    /// The claim by hand of this task.
    ByHand(TaskName),
    /// Work of the user's.
    Kept,
    /// The result of the claim of this id, which was not to be published.
    Withheld(String),
    /// Something that looks after itself.
    Other,
}

/// The prefix of local refs that nobody else ever sees.
const LOCAL: &str = "refs/dispatch-local/";

/// The prefix of refs that stand in bundle files alone.
const BUNDLE: &str = "refs/dispatch-bundle/";

impl Layout {
    /// The prefix that is not moved: notes then stand below `refs/notes/`, where `git log --notes` looks.
    pub const DEFAULT_PREFIX: &'static str = "refs/dispatch/";

    /// Makes the map for the configured prefixes, both ending in `/`.
    pub fn new(prefix: &str, branch_prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), branch_prefix: branch_prefix.to_owned() }
    }

    /// The chain of specs.
    pub fn queue(&self) -> String {
        format!("{}queue", self.prefix)
    }

    /// Says whether every clone mirrors the shared ref.
    pub fn is_mirrored(&self, name: &str) -> bool {
        self.mirror_prefixes().iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Says whether a ref stands below the configured prefix.
    pub fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    /// Which nodes are paused.
    pub fn control(&self) -> String {
        format!("{}control", self.prefix)
    }

    /// What all claim refs begin with.
    pub fn claims(&self) -> String {
        format!("{}claims/", self.prefix)
    }

    /// The claim chain of a task.
    pub fn claim(&self, task: &TaskName) -> String {
        format!("{}{task}", self.claims())
    }

    /// Reads the task back from the name of its claim ref.
    pub fn task_of_claim(&self, name: &str) -> Option<TaskName> {
        TaskName::parse(name.strip_prefix(&self.claims())?).ok()
    }

    /// What all node records begin with.
    pub fn nodes(&self) -> String {
        format!("{}nodes/", self.prefix)
    }

    /// The record and heartbeat of a node.
    pub fn node(&self, node: &Name) -> String {
        format!("{}{node}", self.nodes())
    }

    /// The record that stands under a node's name, whatever that is.
    pub fn node_named(&self, name: &str) -> String {
        format!("{}{name}", self.nodes())
    }

    /// What the scratch refs of a probe begin with, made by the clone of this id.
    pub fn scratch(&self, clone: &str) -> String {
        format!("{}{clone}/", self.scratches())
    }

    /// What the scratch refs of all probes begin with.
    pub fn scratches(&self) -> String {
        format!("{}probe/", self.prefix)
    }

    /// The scratch ref among the notes.
    pub fn scratch_notes(&self, clone: &str) -> String {
        format!("{}-probe/{clone}", self.notes())
    }

    /// The scratch branch, without `refs/heads/`.
    pub fn scratch_branch(&self, clone: &str) -> String {
        format!("{}dispatch-probe-{clone}", self.branch_prefix)
    }

    /// What the names of all kept attempts begin with.
    pub fn attempts(&self) -> String {
        format!("{}attempts/", self.prefix)
    }

    /// Reads the task back from the name of a kept attempt.
    pub fn task_of_attempt(&self, name: &str) -> Option<TaskName> {
        let (task, _) = name.strip_prefix(&self.attempts())?.rsplit_once('/')?;
        TaskName::parse(task).ok()
    }

    /// Work of an attempt that was fenced off or went stale.
    pub fn attempt(&self, task: &TaskName, attempt: u32, node: &str) -> String {
        format!("{}{task}/{attempt}-{node}", self.attempts())
    }

    /// The seals.
    pub fn sealed(&self) -> String {
        format!("{}-sealed", self.notes())
    }

    /// The reports of collects.
    pub fn reports(&self) -> String {
        format!("{}-reports", self.notes())
    }

    /// The status notes of one writer.
    pub fn status(&self, writer: &Name) -> String {
        format!("{}/{writer}", self.notes())
    }

    /// What the status notes of all writers begin with.
    pub fn statuses(&self) -> String {
        format!("{}/", self.notes())
    }

    /// The pattern by which `git log` shows the status notes of all writers.
    pub fn shown_notes(&self) -> String {
        format!("{}/*", self.notes())
    }

    /// The output notes of one node.
    pub fn logs(&self, node: &Name) -> String {
        format!("{}{node}", self.all_logs())
    }

    /// What the output notes of all nodes begin with.
    pub fn all_logs(&self) -> String {
        format!("{}-logs/", self.notes())
    }

    /// What the full names of all task branches begin with.
    pub fn task_branches(&self) -> String {
        Self::branch_ref(&self.branch_prefix)
    }

    fn notes(&self) -> String {
        if self.prefix == Self::DEFAULT_PREFIX {
            "refs/notes/dispatch".to_owned()
        } else {
            format!("{}notes", self.prefix)
        }
    }

    /// The branch that an attempt of a task works on, without `refs/heads/`. It is never parsed back.
    pub fn task_branch(&self, task: &TaskName, node: &Name) -> String {
        format!("{}{}-{}-{node}", self.branch_prefix, task.project, task.id)
    }

    /// The full name of a branch.
    pub fn branch_ref(branch: &str) -> String {
        format!("refs/heads/{branch}")
    }

    /// The shared refs that every clone mirrors, as patterns of `git fetch`; a pattern that matches nothing is no error.
    pub fn mirrored(&self) -> Vec<String> {
        let mut patterns = vec![format!("{}*", self.prefix)];
        if self.prefix == Self::DEFAULT_PREFIX {
            let notes = self.notes();
            patterns.extend([format!("{notes}/*"), format!("{notes}-sealed*"), format!("{notes}-reports*")]);
        }
        patterns
    }

    /// The prefixes of the mirror among local refs.
    pub fn mirror_prefixes(&self) -> Vec<String> {
        self.mirrored().into_iter().map(|pattern| pattern.trim_end_matches('*').to_owned()).collect()
    }

    /// Where a fetch puts the shared ref `name` (or pattern) before the mirror is moved.
    pub fn arrival(name: &str) -> String {
        format!("{LOCAL}hub/{}", name.strip_prefix("refs/").unwrap_or(name))
    }

    /// The shared ref that arrived under a local name.
    pub fn departed(name: &str) -> Option<String> {
        Some(format!("refs/{}", name.strip_prefix(LOCAL)?.strip_prefix("hub/")?))
    }

    /// What the names of all arrivals begin with.
    pub fn arrivals() -> String {
        format!("{LOCAL}hub/")
    }

    /// What the names of all refs begin with that nobody else ever sees.
    pub const fn local() -> &'static str {
        LOCAL
    }

    /// Says whether a shared ref only tells people what others decide by: branches, output, nodes' records.
    pub fn is_projection(&self, name: &str) -> bool {
        name.starts_with(&self.task_branches()) && !self.is_ours(name)
            || name.starts_with(&self.nodes())
            || name.starts_with(&self.statuses())
            || name == self.reports()
            || self.is_logs(name)
    }

    /// Says whether a shared ref holds output.
    pub fn is_logs(&self, name: &str) -> bool {
        name.starts_with(&self.all_logs())
    }

    /// Reads a target branch back from where it is mirrored.
    pub fn branch_mirrored(name: &str) -> Option<&str> {
        name.strip_prefix(LOCAL)?.strip_prefix("target/")
    }

    /// Where a target branch of the hub is mirrored.
    pub fn mirrored_branch(branch: &str) -> String {
        format!("{LOCAL}target/{branch}")
    }

    /// Says what a local ref pins.
    pub fn pin(name: &str) -> Pin {
        let Some((kind, rest)) = name.strip_prefix(LOCAL).and_then(|rest| rest.split_once('/')) else {
            return Pin::Other;
        };
        match kind {
            "slots" => rest.parse().map_or(Pin::Other, Pin::SlotBase),
            "results" => Pin::Result(rest.to_owned()),
            "outbox" => Pin::Outbox(rest.strip_suffix("-log").unwrap_or(rest).to_owned()),
            "hand" => TaskName::parse(rest).map_or(Pin::Other, Pin::ByHand),
            "kept" => Pin::Kept,
            "withheld" => Pin::Withheld(rest.to_owned()),
            _ => Pin::Other,
        }
    }

    /// Pins the base of the task that a slot works on.
    pub fn slot_base(slot: usize) -> String {
        format!("{LOCAL}slots/{slot}")
    }

    /// Pins the newest claim by hand of a task in this clone, so that its work can be told from somebody else's even when
    /// the hub's claim has gone.
    pub fn by_hand(task: &TaskName) -> String {
        format!("{LOCAL}hand/{task}")
    }

    /// Pins a cursor that somebody follows the events by.
    pub fn cursor(id: &str) -> String {
        format!("{}{id}", Self::cursors())
    }

    /// What the pins of all cursors begin with.
    pub fn cursors() -> String {
        format!("{LOCAL}cursors/")
    }

    /// Pins a result until the hub has it, by the id of the claim that it belongs to.
    pub fn result(claim: &str) -> String {
        format!("{LOCAL}results/{claim}")
    }

    /// Pins work of the user's that had to make room, by its id.
    pub fn kept(work: &str) -> String {
        format!("{LOCAL}kept/{work}")
    }

    /// Pins a result that was not to be published, by the id of the claim that it belongs to.
    pub fn withheld(claim: &str) -> String {
        format!("{LOCAL}withheld/{claim}")
    }

    /// Reads task, attempt and node back from the name of work that was fenced off.
    pub fn attempt_of(&self, name: &str) -> Option<(TaskName, u32, Name)> {
        let (task, attempt) = name.strip_prefix(&self.attempts())?.rsplit_once('/')?;
        let (number, node) = attempt.split_once('-')?;
        let node = Name::new(crate::task::name::NameKind::Node, node).ok()?;
        Some((TaskName::parse(task).ok()?, number.parse().ok()?, node))
    }

    /// What the names of those refs begin with that stand in bundle files alone, where they say what the file is.
    pub const fn bundles() -> &'static str {
        BUNDLE
    }

    /// Pins what the last bundle said that was opened here; its being there makes this clone one that is away.
    pub fn opened() -> String {
        format!("{LOCAL}bundle/opened")
    }

    /// Pins what the last bundle of results from a node said: what the other side has.
    pub fn imported(node: &Name) -> String {
        format!("{LOCAL}bundle/imported/{node}")
    }

    /// Pins whatever an outbox record, named by the id of its claim, is to publish.
    pub fn outbox(claim: &str) -> String {
        format!("{LOCAL}outbox/{claim}")
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(Self::DEFAULT_PREFIX, "task/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskName {
        TaskName::parse("gem-platform/S01").unwrap()
    }

    #[test]
    fn names_are_those_of_the_design() {
        let layout = Layout::default();
        let node = Name::new(crate::task::name::NameKind::Node, "gcp-1").unwrap();
        assert_eq!(layout.queue(), "refs/dispatch/queue");
        assert_eq!(layout.claim(&task()), "refs/dispatch/claims/gem-platform/S01");
        assert_eq!(layout.sealed(), "refs/notes/dispatch-sealed");
        assert_eq!(layout.status(&node), "refs/notes/dispatch/gcp-1");
        assert_eq!(layout.logs(&node), "refs/notes/dispatch-logs/gcp-1");
        assert_eq!(layout.attempt(&task(), 2, "gcp-1"), "refs/dispatch/attempts/gem-platform/S01/2-gcp-1");
        assert_eq!(layout.task_branch(&task(), &node), "task/gem-platform-S01-gcp-1");
    }

    #[test]
    fn a_moved_prefix_moves_the_notes_too() {
        let layout = Layout::new("refs/heads/dispatch/", "task/");
        assert_eq!(layout.sealed(), "refs/heads/dispatch/notes-sealed");
        assert_eq!(layout.mirrored(), ["refs/heads/dispatch/*"]);
    }

    #[test]
    fn pins_and_attempts_read_back() {
        let layout = Layout::default();
        assert_eq!(layout.task_of_attempt(&layout.attempt(&task(), 2, "gcp-1")), Some(task()));
        assert_eq!(Layout::pin(&Layout::slot_base(3)), Pin::SlotBase(3));
        assert_eq!(Layout::pin(&Layout::result("ab")), Pin::Result("ab".into()));
        assert_eq!(Layout::pin(&Layout::withheld("ab")), Pin::Withheld("ab".into()));
        assert_eq!(Layout::pin(&format!("{}-log", Layout::outbox("ab"))), Pin::Outbox("ab".into()));
        assert_eq!(Layout::pin(&Layout::by_hand(&task())), Pin::ByHand(task()));
        assert_eq!(Layout::pin(&Layout::kept("ab")), Pin::Kept);
        assert_eq!(Layout::pin(&Layout::mirrored_branch("main")), Pin::Other);
    }

    #[test]
    fn arrivals_read_back() {
        let name = Layout::default().claim(&task());
        assert_eq!(Layout::departed(&Layout::arrival(&name)), Some(name));
        assert_eq!(Layout::departed("refs/heads/main"), None);
    }
}

//! The claim commit: one step of a task's life (DESIGN.md 2.2).

use jiff::Timestamp;

use super::{Trailers, Unreadable, branch, check_version, id};
use crate::git::ObjectId;
use crate::task::spec::Mode;
use crate::task::transition::Attempts;
use crate::task::{Hold, Phase, Reason, TaskName};

/// The file in a claim commit's tree that holds the status record.
pub const STATUS_FILE: &str = "status.json";

/// The file in a claim commit's tree that holds the end of the executor's output.
pub const LOG_FILE: &str = "log";

/// A dependency's result that a base holds and the target's tip does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltOn {
    /// The dependency.
    pub task: TaskName,
    /// Its result.
    pub result: ObjectId,
}

/// What a claim commit's message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRecord {
    /// The task.
    pub task: TaskName,
    /// The spec commit in force.
    pub spec: ObjectId,
    /// The phase that the task enters.
    pub phase: Phase,
    /// Why, of released and failed.
    pub reason: Option<Reason>,
    /// The node concerned.
    pub node: Option<String>,
    /// The clone and the start of the program that wrote it.
    pub instance: String,
    /// 128 random bits: no two claims are the same commit.
    pub nonce: String,
    /// Attempts begun and charged so far.
    pub attempts: Attempts,
    /// The mode in effect.
    pub mode: Mode,
    /// What keeps the claim alive, while it is assigned or running.
    pub hold: Option<Hold>,
    /// When a hold by hand or offline ends.
    pub until: Option<Timestamp>,
    /// The task branch.
    pub branch: Option<String>,
    /// The target's tip that the base was made from.
    pub target_tip: Option<ObjectId>,
    /// Where the work starts.
    pub base: Option<ObjectId>,
    /// The dependencies' results that the base holds and the target's tip does not.
    pub built_on: Vec<BuiltOn>,
    /// On a root only: the seal's claim that this chain reopens.
    pub reopens: Option<ObjectId>,
}

impl ClaimRecord {
    /// Starts the record that follows `before`, for the same attempt: what holds on is carried over, what is new is
    /// to be set. Nonce and instance are always new.
    pub fn following(before: &Self, phase: Phase, instance: &str, nonce: String) -> Self {
        Self {
            phase,
            reason: None,
            instance: instance.to_owned(),
            nonce,
            hold: None,
            until: None,
            reopens: None,
            ..before.clone()
        }
    }

    /// Writes the message.
    pub fn to_message(&self) -> String {
        let mut trailers = Trailers::default();
        trailers.push("Dispatch-Task", &self.task);
        trailers.push("Dispatch-Spec", self.spec);
        trailers.push("Dispatch-Phase", self.phase);
        trailers.push_some("Dispatch-Reason", self.reason);
        trailers.push_some("Dispatch-Node", self.node.as_ref());
        trailers.push("Dispatch-Instance", &self.instance);
        trailers.push("Dispatch-Nonce", &self.nonce);
        trailers.push("Dispatch-Attempt", self.attempts.begun);
        trailers.push("Dispatch-Charged", self.attempts.charged);
        trailers.push_some("Dispatch-Mode", (self.mode != Mode::default()).then_some(self.mode));
        trailers.push_some("Dispatch-Hold", self.hold);
        trailers.push_some("Dispatch-Until", self.until);
        trailers.push_some("Dispatch-Branch", self.branch.as_ref());
        trailers.push_some("Dispatch-Target-Tip", self.target_tip);
        trailers.push_some("Dispatch-Base", self.base);
        for built_on in &self.built_on {
            trailers.push("Dispatch-Built-On", format!("{} {}", built_on.task, built_on.result));
        }
        trailers.push_some("Dispatch-Reopens", self.reopens);
        trailers.message(&self.subject())
    }

    fn subject(&self) -> String {
        let mut subject = format!("{} {}", self.phase, self.task);
        if let Some(reason) = self.reason {
            subject.push_str(&format!(" ({reason})"));
        }
        if let Some(node) = &self.node {
            subject.push_str(&format!(" on {node}"));
        }
        subject
    }

    /// Reads the message.
    pub fn parse(message: &str) -> Result<Self, Unreadable> {
        let trailers = Trailers::parse(message);
        check_version(&trailers)?;
        let needed = |key| trailers.get(key).ok_or(Unreadable::Missing(key));
        let optional_id = |key| trailers.get(key).map(|text| id(text, key)).transpose();
        Ok(Self {
            task: TaskName::parse(needed("Dispatch-Task")?).map_err(|_| Unreadable::Malformed("Dispatch-Task"))?,
            spec: id(needed("Dispatch-Spec")?, "Dispatch-Spec")?,
            phase: word(&trailers, "Dispatch-Phase")?.ok_or(Unreadable::Missing("Dispatch-Phase"))?,
            reason: word(&trailers, "Dispatch-Reason")?,
            node: trailers.get("Dispatch-Node").map(str::to_owned),
            instance: trailers.get("Dispatch-Instance").unwrap_or_default().to_owned(),
            nonce: needed("Dispatch-Nonce")?.to_owned(),
            attempts: Attempts {
                begun: word(&trailers, "Dispatch-Attempt")?.unwrap_or(0),
                charged: word(&trailers, "Dispatch-Charged")?.unwrap_or(0),
            },
            mode: word(&trailers, "Dispatch-Mode")?.unwrap_or_default(),
            hold: word(&trailers, "Dispatch-Hold")?,
            until: word(&trailers, "Dispatch-Until")?,
            branch: branch(&trailers, "Dispatch-Branch")?,
            target_tip: optional_id("Dispatch-Target-Tip")?,
            base: optional_id("Dispatch-Base")?,
            built_on: trailers.all("Dispatch-Built-On").map(built_on).collect::<Result<_, _>>()?,
            reopens: optional_id("Dispatch-Reopens")?,
        })
    }
}

fn word<T: std::str::FromStr>(trailers: &Trailers, key: &'static str) -> Result<Option<T>, Unreadable> {
    trailers.get(key).map(|text| text.parse().map_err(|_| Unreadable::Malformed(key))).transpose()
}

fn built_on(text: &str) -> Result<BuiltOn, Unreadable> {
    const KEY: &str = "Dispatch-Built-On";
    let (task, result) = text.split_once(' ').ok_or(Unreadable::Malformed(KEY))?;
    let task = TaskName::parse(task).map_err(|_| Unreadable::Malformed(KEY))?;
    Ok(BuiltOn { task, result: id(result, KEY)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ClaimRecord {
        let some = ObjectId::from_hex(&[b'a'; 40]).unwrap();
        let other = ObjectId::from_hex(&[b'b'; 40]).unwrap();
        ClaimRecord {
            task: TaskName::parse("gem-platform/S01").unwrap(),
            spec: some,
            phase: Phase::Running,
            reason: None,
            node: Some("gcp-1".into()),
            instance: "7d1e.03".into(),
            nonce: "91bb".into(),
            attempts: Attempts { begun: 2, charged: 1 },
            mode: Mode::Pull,
            hold: Some(Hold::Hand),
            until: Some(Timestamp::from_second(1_800_000_000).unwrap()),
            branch: Some("task/gem-platform-S01-gcp-1".into()),
            target_tip: Some(some),
            base: Some(other),
            built_on: vec![BuiltOn { task: TaskName::parse("gem-platform/S00").unwrap(), result: other }],
            reopens: Some(other),
        }
    }

    #[test]
    fn every_field_reads_back() {
        let message = full().to_message();
        assert!(message.starts_with("running gem-platform/S01 on gcp-1\n\nDispatch-Task: gem-platform/S01\n"));
        assert_eq!(ClaimRecord::parse(&message), Ok(full()));
    }

    #[test]
    fn what_follows_keeps_the_attempt_and_drops_the_hold() {
        let next = ClaimRecord::following(&full(), Phase::Completed, "x.1", "n".into());
        assert_eq!((next.attempts, next.base, &next.branch), (full().attempts, full().base, &full().branch));
        assert_eq!((next.hold, next.until, next.reopens), (None, None, None));
    }

    #[test]
    fn rubbish_is_refused_by_name() {
        let broken = full().to_message().replace("Dispatch-Phase: running", "Dispatch-Phase: dancing");
        assert_eq!(ClaimRecord::parse(&broken), Err(Unreadable::Malformed("Dispatch-Phase")));
        assert_eq!(ClaimRecord::parse("hi\n"), Err(Unreadable::Missing("Dispatch-Task")));
    }
}

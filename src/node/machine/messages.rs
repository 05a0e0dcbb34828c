//! What the machine is told and what it tells: its settings, the view of the fleet, events and effects.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::git::ObjectId;
use crate::node::liveness::Beat;
use crate::task::TaskName;

/// How the node is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many tasks at once.
    pub slots: usize,
    /// How many in all at most.
    pub max: Option<usize>,
    /// Whether it stays when nothing is left.
    pub watch: bool,
    /// How often it looks for work.
    pub poll: Duration,
    /// How far that backs off while there is none.
    pub poll_max: Duration,
    /// How often it says that it lives.
    pub heartbeat: Duration,
    /// The beats of the whole fleet a minute.
    pub max_beats_per_minute: u32,
}

/// What the node sees of the fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The tasks that may start here now, best first; those among `watched`, only once their nodes are lost.
    pub ready: Vec<TaskName>,
    /// How many of them may be begun now, where slots are shared with other clones.
    pub allowed: Option<usize>,
    /// For those of them that need one of several places, such as a session: the places that are free for it.
    pub room: BTreeMap<TaskName, Vec<String>>,
    /// The claims that are the tips of their chains.
    pub tips: HashSet<ObjectId>,
    /// What is watched for signs of life: nodes, and claims that their nodes do not list.
    pub beats: Vec<(String, Beat)>,
    /// The claims that beats keep alive, each with the name under which it is watched.
    pub watched: Vec<(TaskName, ObjectId, String)>,
    /// The claims whose stated time is over.
    pub expired: Vec<(TaskName, ObjectId)>,
    /// How many nodes are up.
    pub fleet: usize,
    /// Whether this node, or the fleet, is paused.
    pub paused: bool,
    /// A random fraction, for jitter.
    pub jitter: f64,
}

/// How long a hub that did not answer is left alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pause {
    /// What it asked for.
    pub at_least: Duration,
    /// A random fraction, so that a fleet does not come back all at once.
    pub jitter: f64,
}

impl Default for Pause {
    fn default() -> Self {
        Self { at_least: Duration::ZERO, jitter: 0.5 }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time went by; nothing else.
    Time,
    /// The hub was read.
    Synced(View),
    /// What is known here was looked at again, without the hub.
    Looked(View),
    /// The hub did not answer.
    Deaf(Pause),
    /// Our own beat did not get through, so the others' may not have either.
    Mute,
    /// Claims were tried.
    Claimed {
        /// What was won.
        won: Vec<(TaskName, ObjectId)>,
        /// What is not to be tried again in this state of things.
        set_aside: Vec<TaskName>,
        /// Whether the hub took none of them though it answered.
        refused: bool,
    },
    /// The executor in a slot ended, or was stopped.
    Ended {
        /// The slot.
        slot: usize,
    },
    /// What ended in a slot was published, kept, or given back.
    Settled {
        /// The slot.
        slot: usize,
        /// Whether the attempt went well.
        well: bool,
        /// How long the executor ran.
        took: Duration,
    },
    /// Something on this machine hints that it is worth looking.
    Hint,
    /// A signal: the first or a later one.
    Signal(u32),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the hub; answers `Synced` or `Deaf`.
    Sync,
    /// Look at what is known here; answers `Looked`, or `Deaf` where something was to be mended first.
    Look,
    /// Try to claim these, in one push; answers `Claimed`.
    Claim {
        /// The tasks, best first.
        tasks: Vec<TaskName>,
        /// Of lost nodes, the claims that are taken over.
        over: Vec<ObjectId>,
    },
    /// Start what was won in a slot.
    Start {
        /// The slot.
        slot: usize,
        /// The task.
        task: TaskName,
        /// The claim.
        claim: ObjectId,
    },
    /// Stop the executor in a slot; answers `Ended` by and by.
    Stop {
        /// The slot.
        slot: usize,
    },
    /// Publish what ended in a slot; answers `Settled`.
    Settle {
        /// The slot.
        slot: usize,
    },
    /// Take claims of lost nodes back.
    Reclaim(Vec<(TaskName, ObjectId)>),
    /// Say that the node lives; answers `Mute` where that does not get through.
    Beat,
    /// Tell people.
    Tell(Said),
    /// The hub refuses every claim: give up.
    GiveUp,
    /// There is nothing left to do, or the node was told to go.
    Leave,
}

/// What people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The hub does not answer; work under way goes on.
    HubAway,
    /// The hub answers again.
    HubBack,
    /// Tasks fail at once, one after the other: the node waits before it tries one more.
    Broken,
    /// The node takes no more, and finishes what runs.
    Draining,
    /// The node, or the fleet, was paused.
    Paused,
    /// It was resumed.
    Resumed,
}

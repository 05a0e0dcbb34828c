//! What a fleet asks of its hub: the simulation in fair weather, with every push and fetch counted.
//!
//! Owns the count ([`Bill`]) and the fleet that runs it up ([`Plan::run`]): nodes with full queues, tasks of about the same
//! length, a collect from time to time, and the real choice of the next task, so that nodes race for tasks no more than they do.
//! `simulation/arithmetic.rs` compares the counts with the page; `benches/table/growth.rs` prints them.

use std::collections::BTreeMap;
use std::time::Duration;

use git_dispatch::task::name::NameKind;
use git_dispatch::task::order::{Candidate, Offer, choose};
use git_dispatch::task::scope::Scopes;
use git_dispatch::task::spec::Mode;
use git_dispatch::task::{Name, Phase, State, TaskName};

use super::hub::{Commit, Edit, Hub, Refs, Task, Time};
use super::net::Net;
use super::node::{HEARTBEAT, Node, name_of};

/// How nodes are set up, and what their tasks are like.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pub(crate) poll: Duration,
    pub(crate) poll_max: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) max_beats_per_minute: u32,
    /// What a task takes at least, and less than what.
    pub(crate) work: (Time, Time),
    /// Whether attempts fail now and then.
    pub(crate) fails: bool,
    /// Whether tasks are chosen as they really are, and not in their order.
    pub(crate) is_spread: bool,
    candidates: Vec<Candidate>,
}

impl Default for Pace {
    /// That of the storm.
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            poll_max: Duration::from_secs(30),
            heartbeat: Duration::from_millis(HEARTBEAT),
            max_beats_per_minute: 30,
            work: (500, 150_000),
            fails: true,
            is_spread: false,
            candidates: Vec::new(),
        }
    }
}

/// What was asked of the hub.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bill {
    /// Pushes that claim, with the beats that ride on them.
    pub(crate) claims: u64,
    /// Claims in them.
    pub(crate) tried: u64,
    /// Claims won.
    pub(crate) won: u64,
    /// Pushes that end attempts.
    pub(crate) ends: u64,
    /// Pushes of a beat alone.
    pub(crate) beats: u64,
    /// Pushes of collects.
    pub(crate) collects: u64,
    pub(crate) fetches: u64,
    /// Names of refs that pushes and fetches were told.
    pub(crate) names: u64,
    /// Claim commits that were downloaded, by all clones together.
    pub(crate) commits: u64,
    /// Results among them.
    pub(crate) results: u64,
    /// The most refs that there were on the hub.
    pub(crate) most_refs: u64,
}

/// Refs for each node: its record, its notes, its logs; and those of the whole fleet.
const OF_A_NODE: u64 = 3;
const OF_ALL: u64 = 5;

impl Bill {
    pub(crate) const fn pushes(&self) -> u64 {
        self.claims + self.ends + self.beats + self.collects
    }

    /// What came on top since an earlier count; the most refs are those of all time.
    pub(crate) const fn since(&self, before: &Self) -> Self {
        Self {
            claims: self.claims - before.claims,
            tried: self.tried - before.tried,
            won: self.won - before.won,
            ends: self.ends - before.ends,
            beats: self.beats - before.beats,
            collects: self.collects - before.collects,
            fetches: self.fetches - before.fetches,
            names: self.names - before.names,
            commits: self.commits - before.commits,
            results: self.results - before.results,
            most_refs: self.most_refs,
        }
    }

    /// Counts one push of these edits: it is told the names of all refs.
    pub(crate) fn pushed(&mut self, hub: &Hub, edits: &[Edit]) {
        let begins = |edit: &&Edit| matches!(edit, Edit::Claim { new: Some(new), .. } if hub.get(*new).phase == Phase::Running);
        let bids = edits.iter().filter(begins).count() as u64;
        self.tried += bids;
        match edits {
            _ if bids > 0 => self.claims += 1,
            [Edit::Beat { .. }] => self.beats += 1,
            _ => self.ends += 1,
        }
        self.see(hub, true);
    }

    /// Counts a fetch, which is told the names of all refs but branches and brings the claims that landed since the last.
    pub(crate) fn fetched(&mut self, hub: &Hub, node: usize, seen: &mut usize) {
        self.fetches += 1;
        self.see(hub, false);
        // The claim that a collect writes is gone with its seal.
        let is_others = |claim: &&Commit| claim.holder.0 != node && claim.phase != Phase::Merged;
        let others = hub.landed[*seen..].iter().map(|id| hub.get(*id)).filter(is_others);
        for claim in others {
            self.commits += 1;
            self.results += u64::from(claim.phase == Phase::Completed);
        }
        *seen = hub.landed.len();
    }

    fn see(&mut self, hub: &Hub, with_branches: bool) {
        let fixed = OF_ALL + OF_A_NODE * hub.refs.beats.len() as u64 + hub.refs.tips.len() as u64;
        let done = hub.refs.tips.values().filter(|tip| hub.get(**tip).phase == Phase::Completed).count() as u64;
        self.most_refs = self.most_refs.max(fixed + done);
        self.names += if with_branches { fixed + done } else { fixed };
    }
}

/// A fleet with more to do than it gets done, or with nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) slots: usize,
    /// What a task takes, by about a tenth more or less; `None`: there are none.
    pub(crate) work: Option<Time>,
    /// How many tasks there are; `None`: enough.
    pub(crate) tasks: Option<usize>,
    pub(crate) max_beats_per_minute: u32,
    /// How long it runs before the count begins, and while.
    pub(crate) before: Time,
    pub(crate) counted: Time,
    /// How often what is done is collected.
    pub(crate) collect: Time,
}

/// `node.poll`, `node.poll_max` and `node.heartbeat` where nothing is said.
const POLL: Time = 5 * SECOND;
const POLL_MAX: Time = 60 * SECOND;
const BEAT: Time = 60 * SECOND;

pub(crate) const SECOND: Time = 1000;
pub(crate) const MINUTE: Time = 60 * SECOND;
pub(crate) const HOUR: Time = 60 * MINUTE;

impl Plan {
    /// Nodes of four slots with tasks of half an hour, as they are set up where nothing is said, counted for an hour.
    pub(crate) const fn of(nodes: usize) -> Self {
        Self {
            nodes,
            slots: 4,
            work: Some(30 * MINUTE),
            tasks: None,
            max_beats_per_minute: 30,
            before: 40 * MINUTE,
            counted: HOUR,
            collect: 10 * MINUTE,
        }
    }

    fn hours(&self) -> f64 {
        self.counted as f64 / HOUR as f64
    }

    /// The tasks that a node ends while it is counted.
    pub(crate) fn tasks_per_node(&self) -> f64 {
        self.work.map_or(0.0, |work| self.slots as f64 * self.counted as f64 / work as f64)
    }

    /// The page: `n * t * (1 + 1/k)`.
    pub(crate) fn pushes_for_tasks(&self, at_once: f64) -> f64 {
        self.nodes as f64 * self.tasks_per_node() * (1.0 + 1.0 / at_once)
    }

    /// The page: `min(60 * n, 60 * max_beats_per_minute)` an hour.
    pub(crate) fn beats(&self) -> f64 {
        let most = 60.0 * f64::from(self.max_beats_per_minute);
        self.hours() * most.min(self.nodes as f64 * HOUR as f64 / BEAT as f64)
    }

    /// The page: a poll each `node.poll` of a node that works, each `node.poll_max` of one at rest; one more with each claim; two
    /// with each collect.
    pub(crate) fn fetches(&self, at_once: f64) -> f64 {
        let poll = if self.work.is_some() { POLL } else { POLL_MAX };
        let polls = self.counted as f64 / poll as f64;
        let collects = 2.0 * self.counted as f64 / self.collect as f64;
        self.nodes as f64 * (polls + self.tasks_per_node() / at_once) + collects
    }

    /// The page: five for all, three for each node, one for each task that runs, two for each that is done. Given are the most
    /// refs that there are with nothing done, and with all that may be done between two collects.
    pub(crate) fn refs(&self) -> [u64; 2] {
        let running = (self.nodes * self.slots) as u64;
        let fixed = OF_ALL + OF_A_NODE * self.nodes as u64;
        let rounds = self.work.map_or(0, |work| self.collect * 10 / (work * 9) + 1);
        [fixed + running, fixed + running + 2 * running * rounds]
    }

    /// Runs it, and returns what was asked for while it was counted.
    pub(crate) fn run(&self) -> Bill {
        let end = self.before + self.counted;
        let work = self.work.unwrap_or(MINUTE);
        let rounds = self.work.map_or(0, |work| (end / (work * 9 / 10)) as usize + 2);
        let mut net = Net::new(1, self.nodes, self.tasks.unwrap_or(rounds * self.nodes * self.slots));
        net.is_calm = true;
        net.pace = Pace {
            poll: Duration::from_millis(POLL),
            poll_max: Duration::from_millis(POLL_MAX),
            heartbeat: Duration::from_millis(BEAT),
            max_beats_per_minute: self.max_beats_per_minute,
            work: (work * 9 / 10, work * 11 / 10),
            fails: false,
            is_spread: true,
            candidates: (0..net.tasks).map(candidate).collect(),
        };
        let mut nodes: Vec<Node> = (0..self.nodes).map(Node::new).collect();
        for node in &mut nodes {
            net.hub.now += 10;
            node.start(net.hub.now, self.slots, &net.pace);
        }
        let (mut collect_at, mut begun) = (self.collect, None);
        loop {
            let now = net.hub.now;
            let next =
                nodes.iter().filter_map(|node| node.due(now)).chain([collect_at]).min().unwrap_or(end).max(now);
            if begun.is_none() && next >= self.before {
                begun = Some(net.bill);
            }
            if next >= end {
                return net.bill.since(&begun.unwrap_or_default());
            }
            net.hub.now = next;
            if next >= collect_at {
                collect_at += self.collect;
                collect(&mut net);
            }
            nodes.iter_mut().filter(|node| node.due(next).is_some_and(|due| due <= next)).for_each(|node| {
                node.turn(&mut net);
            });
        }
    }
}

/// One collect of all that is done: what `tests/cli/counts.rs` says that it costs.
fn collect(net: &mut Net) {
    for _ in 0..2 {
        net.bill.fetches += 1;
        net.bill.see(&net.hub, false);
    }
    let done: Vec<Task> = net.hub.refs.tips.keys().copied().collect();
    let done: Vec<Task> =
        done.into_iter().filter(|task| net.hub.get(net.hub.refs.tips[task]).phase == Phase::Completed).collect();
    if !done.is_empty() {
        net.bill.collects += 3;
        (0..3).for_each(|_| net.bill.see(&net.hub, true));
        done.into_iter().for_each(|task| net.collect(task));
    }
}

/// The tasks that a node would take, best first, by the real choice.
pub(crate) fn choice(pace: &Pace, fresh: &[Task], me: usize, mirror: &Refs) -> Vec<TaskName> {
    let node = |number: usize| format!("node-{number}");
    let mut fleet: BTreeMap<usize, String> =
        mirror.beats.iter().filter(|(_, beat)| !beat.stopped).map(|(number, _)| (*number, node(*number))).collect();
    fleet.insert(me, node(me));
    let offer = Offer {
        node: Name::new(NameKind::Node, &fleet[&me]).expect("a name"),
        labels: [].into(),
        executors: ["shell".to_owned()].into(),
        only_assigned: false,
        by_hand: false,
        fleet: fleet.into_values().collect(),
        scopes: Scopes::default(),
        age_step: 0,
    };
    let best = choose(fresh.iter().map(|task| &pace.candidates[*task]), &offer);
    best.into_iter().map(|task| task.name.clone()).collect()
}

fn candidate(task: Task) -> Candidate {
    Candidate {
        name: name_of(task),
        position: task,
        state: State::Pending,
        assigned_to: None,
        priority: 2,
        waited: 0,
        path: 30,
        modifies: Vec::new(),
        labels: Vec::new(),
        executor: "shell".to_owned(),
        lacks_run: false,
        by_bundle: false,
        moot: false,
        mode: Mode::Undecided,
        rests: 0,
        depends_on: Vec::new(),
    }
}

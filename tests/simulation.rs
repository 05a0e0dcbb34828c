//! A fleet of real `node::machine`s, simulated: seeded, with everything that goes wrong between nodes and hub, and the
//! invariants looked at with every step.
//!
//! Simulated: outages, nodes cut off, hubs that take no pushes, answers lost, pushes that land late or never, slow
//! executors, processes killed between any two effects and inside a finish, frozen and started again, signals, people
//! who cancel, retry and collect, and are killed half-way. After the storm comes a calm, in which every task must come
//! to its end and every result that was ever made must be accepted or rightly called fenced.
//!
//! The same fleet in fair weather, with every push and fetch counted, is what `simulation/cost.rs` runs; `arithmetic` holds what it
//! counts against the page "How cost grows" of `src/lib.rs`.
//!
//! Not simulated: git, objects and bases, dependencies, pauses, clocks that run at different rates. The loop around
//! the machine is `simulation/node.rs`, written after `node::daemon`: what the daemon does wrong by itself is not found here.
//!
//! A failure prints its seed; `GIT_DISPATCH_TEST_SEED=n` replays it. `GIT_DISPATCH_TEST_LONG=1` runs many more.

#[path = "simulation/arithmetic.rs"]
mod arithmetic;
#[path = "simulation/cost.rs"]
mod cost;
#[path = "simulation/hub.rs"]
mod hub;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/outbox.rs"]
mod outbox;
#[path = "simulation/people.rs"]
mod people;

use git_dispatch::task::Phase;
use hub::{Standing, Time};
use net::Net;
use node::Node;

const SECOND: Time = 1000;
const STORM: Time = 1200 * SECOND;
const END: Time = STORM + 3000 * SECOND;

struct Fleet {
    net: Net,
    nodes: Vec<Node>,
    frozen_until: Vec<Time>,
    next_turn: Time,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut net = Net::new(seed, 4, 0);
        let nodes = net.dice.between(2, 5) as usize;
        net.tasks = net.dice.between(3, 9) as usize;
        let mut fleet =
            Self { net, nodes: (0..nodes).map(Node::new).collect(), frozen_until: vec![0; nodes], next_turn: 0 };
        fleet.start_the_dead();
        fleet
    }

    fn start_the_dead(&mut self) {
        let now = self.net.hub.now;
        for node in self.nodes.iter_mut().filter(|node| !node.lives()) {
            let slots = self.net.dice.between(1, 4) as usize;
            node.start(now, slots, &self.net.pace);
        }
    }

    /// Runs the storm and the calm; returns the number of steps.
    fn run(&mut self) -> u64 {
        let mut steps = 0;
        loop {
            let now = self.net.hub.now;
            let due = |node: &Node| Some(node.due(now)?.max(self.frozen_until[node.me]));
            let next = self.nodes.iter().filter_map(due).chain(self.net.hub.next_landing()).chain([self.next_turn]);
            let now = next.min().unwrap_or(END).max(now);
            if now >= END {
                return steps;
            }
            steps += 1;
            self.net.hub.now = now;
            self.net.hub.land_due();
            if now >= self.next_turn {
                self.turn(now);
            }
            for node in &mut self.nodes {
                if self.frozen_until[node.me] <= now && node.due(now).is_some_and(|due| due <= now) {
                    node.turn(&mut self.net);
                }
            }
        }
    }

    /// Something happens from outside.
    fn turn(&mut self, now: Time) {
        if now >= STORM {
            self.net.is_calm = true;
            self.frozen_until.fill(0);
            self.start_the_dead();
            (0..self.net.tasks).for_each(|task| self.net.collect(task));
            self.next_turn = now + 30 * SECOND;
            return;
        }
        let dice = &mut self.net.dice;
        self.next_turn = now + dice.between(SECOND, 30 * SECOND);
        let (node, task) =
            (dice.below(self.nodes.len() as u64) as usize, dice.below(self.net.tasks as u64) as usize);
        let until = now + dice.between(SECOND, 200 * SECOND);
        match dice.below(24) {
            0 => self.net.away_until = until,
            1 => self.net.read_only_until = until,
            2 | 3 => self.net.cut_until[node] = until,
            4 | 5 => self.frozen_until[node] = until,
            6 | 7 => self.nodes[node].kill(),
            8 => self.nodes[node].signal(now, 1, &mut self.net),
            9 => {
                self.nodes[node].signal(now, 1, &mut self.net);
                self.nodes[node].signal(now, 2, &mut self.net);
            }
            10 | 11 => self.net.cancel(task),
            12..15 => self.net.retry(task),
            15..17 => self.net.collect(task),
            _ => self.start_the_dead(),
        }
    }

    /// What must be so in the end.
    fn judge(&self) {
        let hub = &self.net.hub;
        for task in 0..self.net.tasks {
            let standing = hub.standing(&hub.refs, task);
            let is_over = match standing {
                Standing::Sealed { leftover, .. } => leftover.is_none(),
                Standing::Claimed(tip) => hub.get(tip).phase == Phase::Failed,
                Standing::Fresh => false,
            };
            let phase = hub.refs.tips.get(&task).map(|tip| *hub.get(*tip));
            assert!(is_over, "invariant 7: task {task} came to no end: {standing:?}, {phase:?}");
        }
        assert!(self.nodes.iter().all(Node::is_clean), "invariant 4: a result still waits");
        let forgotten = hub.made.iter().find(|work| !hub.accepted.contains(*work) && !hub.fenced.contains(*work));
        assert_eq!(forgotten, None, "invariant 4: a result is neither accepted nor said to be fenced");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::vars().find(|(key, _)| key == name)?.1.parse().ok()
}

#[test]
#[expect(clippy::print_stderr, reason = "a failure says which seed replays it")]
fn a_fleet_in_a_storm_keeps_every_invariant() {
    let seeds = match (number("GIT_DISPATCH_TEST_SEED"), number("GIT_DISPATCH_TEST_LONG")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => 0..20_000,
        (None, None) => 0..300,
    };
    let (mut steps, mut accepted, mut fenced) = (0, 0, 0);
    for seed in seeds.clone() {
        let ran = std::panic::catch_unwind(|| {
            let mut fleet = Fleet::new(seed);
            let steps = fleet.run();
            fleet.judge();
            (steps, fleet.net.hub.accepted.len(), fleet.net.hub.fenced.len())
        });
        let Ok(ran) = ran else {
            panic!("seed {seed} failed; GIT_DISPATCH_TEST_SEED={seed} replays it");
        };
        steps += ran.0;
        accepted += ran.1;
        fenced += ran.2;
    }
    eprintln!("{} seeds: {steps} steps, {accepted} results accepted, {fenced} fenced off", seeds.end - seeds.start);
    assert!(seeds.end - seeds.start < 100 || accepted > 500 && fenced > 50, "{accepted} accepted, {fenced} fenced");
}

//! What goes wrong between nodes and hub: outages, cuts, refusals, answers that are lost, pushes that land late, kills.

use super::cost::{Bill, Pace};
use super::hub::{Dice, Edit, Hub, Time};

/// What a pusher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    Unknown,
    Unreachable,
}

/// The way to the hub.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) hub: Hub,
    pub(crate) dice: Dice,
    pub(crate) tasks: usize,
    /// Whether anything goes wrong now.
    pub(crate) is_calm: bool,
    pub(crate) away_until: Time,
    pub(crate) read_only_until: Time,
    /// Until when each node is cut off.
    pub(crate) cut_until: Vec<Time>,
    pub(crate) pace: Pace,
    pub(crate) bill: Bill,
}

impl Net {
    pub(crate) fn new(seed: u64, nodes: usize, tasks: usize) -> Self {
        Self {
            hub: Hub::default(),
            dice: Dice(seed),
            tasks,
            is_calm: false,
            away_until: 0,
            read_only_until: 0,
            cut_until: vec![0; nodes],
            pace: Pace::default(),
            bill: Bill::default(),
        }
    }

    pub(crate) fn reaches(&self, node: usize) -> bool {
        let is_cut = self.cut_until.get(node).is_some_and(|until| self.hub.now < *until);
        self.is_calm || !is_cut && self.hub.now >= self.away_until
    }

    /// Whether a process is killed at this very point.
    pub(crate) fn kills(&mut self) -> bool {
        !self.is_calm && self.dice.one_in(600)
    }

    pub(crate) fn push(&mut self, node: usize, edit: &Edit) -> Answer {
        if !self.reaches(node) {
            return Answer::Unreachable;
        }
        if self.is_calm {
            return if self.hub.land(edit) { Answer::Yes } else { Answer::No };
        }
        if self.hub.now < self.read_only_until {
            return Answer::Unknown;
        }
        match self.dice.below(100) {
            0..4 => {
                self.hub.land(edit);
                Answer::Unknown
            }
            4..8 => {
                let at = self.hub.now + self.dice.between(1, 200_000);
                self.hub.fly(at, edit.clone());
                Answer::Unknown
            }
            8..10 => {
                self.hub.land(edit);
                Answer::Unreachable
            }
            10..12 => Answer::Unreachable,
            _ if self.hub.land(edit) => Answer::Yes,
            _ => Answer::No,
        }
    }
}

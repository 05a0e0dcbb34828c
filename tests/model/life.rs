//! The model of beats: who lives, judged by one observer with the real `node::liveness`, tick by tick.
//!
//! Modelled: a holder that beats every third tick while it lives and the hub takes pushes; an observer that polls
//! every tick, before or after the holder, and beats every third; a hub that is up, away, or takes no pushes; the holder's death and
//! restart; a claim that its live holder does not list (a push that landed late).
//!
//! Not modelled: jitter longer than a tick, a fleet whose growth changes the interval, `hand` and `offline` holds.

use std::time::Duration;

use git_dispatch::node::liveness::{Beat, Liveness};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// How many ticks a beat may stand still. Three intervals: a short refusal of pushes between two beats of the observer's
/// own goes unnoticed, and may swallow one beat of the holder's.
const PATIENCE: u64 = 3 * INTERVAL;

/// How many ticks there are between two beats.
const INTERVAL: u64 = 3;

/// Invariant 7.
pub(crate) const TAKEABLE: &str = "what no live node lists becomes takeable in its time";
/// Invariant 7.
pub(crate) const ALIVE: &str = "nobody is lost who beats whenever the hub lets him";

/// A rule of the observer that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// Silence is counted during an outage.
    Outage,
    /// Silence is counted while our own beats do not get through.
    Mute,
    /// A sign of life of the node counts for a claim that it does not list.
    Unlisted,
}

/// What the hub does for one tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Hub {
    #[default]
    Up,
    Away,
    /// Fetches get through, pushes do not.
    ReadOnly,
}

/// One tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tick {
    hub: Hub,
    /// Whether the observer comes before the holder.
    early: bool,
    /// Whether the holder dies, or starts again.
    turns: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u64,
    /// In which tick of three the holder beats; the observer does in the first.
    phase: u64,
    /// The beat that the hub shows, and whether it lists the claim.
    beat: u64,
    listed: bool,
    dead: bool,
    /// For how many ticks the holder has lived again since it last died.
    lived: u64,
    /// How often hub and holder have changed.
    changes: (u8, u8),
    hub: Hub,
    liveness: Liveness,
    taken: bool,
    wrongly: bool,
    /// How many polls in a row got through while no live node listed the claim.
    orphaned: u64,
}

/// Beats within bounds.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) ticks: u64,
    /// How often the hub changes at most.
    pub(crate) outages: u8,
    pub(crate) mutant: Option<Mutant>,
}

impl Life {
    pub(crate) fn check(self) -> usize {
        let (text, started) = (format!("{self:?}"), std::time::Instant::now());
        let checker = self.checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
        crate::tell(&format!("{} states in {:.1?}: {text}", checker.unique_state_count(), started.elapsed()));
        checker.unique_state_count()
    }

    pub(crate) fn counterexample(self, property: &'static str) -> Option<Vec<Tick>> {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker = self.checker().finish_when(wanted).spawn_bfs().join();
        Some(checker.discovery(property)?.into_actions())
    }

    /// The observer's beat, then its poll.
    fn observe(&self, state: &mut State, hub: Hub) {
        let is_deaf = hub == Hub::Away && self.mutant != Some(Mutant::Outage);
        let beats = state.now.is_multiple_of(INTERVAL);
        let is_mute = hub == Hub::ReadOnly && beats && self.mutant != Some(Mutant::Mute);
        if is_deaf || is_mute {
            state.liveness.deaf();
            state.orphaned = 0;
        }
        if hub == Hub::Away {
            return;
        }
        let now = Duration::from_secs(state.now);
        let beat = |mark: String| Beat { mark, patience: Duration::from_secs(PATIENCE) };
        let mut beats = vec![("node".to_owned(), beat(state.beat.to_string()))];
        let mut name = "node";
        if !state.listed && self.mutant != Some(Mutant::Unlisted) {
            name = "claim";
            beats.push((name.to_owned(), beat("claim".to_owned())));
        }
        state.liveness.hear(now, &beats);
        if state.dead || !state.listed {
            state.orphaned += 1;
        }
        // Taking back is a push.
        if state.liveness.is_lost(now, name) && hub == Hub::Up && !state.taken {
            state.taken = true;
            state.wrongly |= !state.dead && state.listed && state.lived > PATIENCE;
        }
    }
}

impl Model for Life {
    type State = State;
    type Action = Tick;

    fn init_states(&self) -> Vec<State> {
        let lived = PATIENCE + 1;
        let starts = (0..INTERVAL).flat_map(|phase| [(phase, true), (phase, false)]);
        starts.map(|(phase, listed)| State { phase, listed, lived, ..State::default() }).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Tick>) {
        if state.now == self.ticks || state.taken {
            return;
        }
        for hub in [Hub::Up, Hub::Away, Hub::ReadOnly] {
            if hub != state.hub && state.changes.0 == self.outages {
                continue;
            }
            for early in [false, true] {
                actions.push(Tick { hub, early, turns: false });
                if state.changes.1 < 2 {
                    actions.push(Tick { hub, early, turns: true });
                }
            }
        }
    }

    fn next_state(&self, before: &State, tick: Tick) -> Option<State> {
        let mut state = before.clone();
        state.now += 1;
        state.changes.0 += u8::from(tick.hub != before.hub);
        state.changes.1 += u8::from(tick.turns);
        state.hub = tick.hub;
        state.dead ^= tick.turns;
        state.lived = if state.dead { 0 } else { (state.lived + 1).min(PATIENCE + 1) };
        if tick.early {
            self.observe(&mut state, tick.hub);
        }
        if !state.dead && tick.hub == Hub::Up && state.now % INTERVAL == state.phase {
            state.beat += 1;
            // A new start does not hold what the one before held, and here it does not recover it either.
            if state.listed && state.changes.1 > 0 {
                // A sign of life that leaves the claim out: from here its own time runs.
                (state.listed, state.orphaned) = (false, 0);
            }
        }
        if !tick.early {
            self.observe(&mut state, tick.hub);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // A last beat that is still to be seen, the time itself, and two polls.
            Property::always(TAKEABLE, |_, state: &State| state.taken || state.orphaned <= PATIENCE + INTERVAL + 2),
            Property::always(ALIVE, |_, state: &State| !state.wrongly),
            Property::sometimes("a claim is taken back", |_, state: &State| state.taken),
        ]
    }
}

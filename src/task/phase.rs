//! The words for where a task stands: phase, state, reason, hold.
//!
//! Owns their spelling in records. What may follow what is `transition`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Says that a record holds a word that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a known {what}", crate::task::text::escaped(.word))]
pub struct UnknownWord {
    /// What the word was read as: a phase, a reason…
    pub what: &'static str,
    /// The word itself.
    pub word: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Returns the word as records and JSON spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
                    .ok_or_else(|| UnknownWord { what: $what, word: word.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words! {
    /// What a claim commit says (`Dispatch-Phase`).
    Phase, "phase", {
        /// Meant for one node, not yet begun.
        Assigned = "assigned",
        /// An attempt is under way.
        Running = "running",
        /// Given back: the task is pending again.
        Released = "released",
        /// The work is there, not merged yet.
        Completed = "completed",
        /// The attempt ended badly.
        Failed = "failed",
        /// The work does not merge.
        Conflict = "conflict",
        /// Merged for good, once sealed.
        Merged = "merged",
        /// Cancelled for good, once sealed.
        Cancelled = "cancelled",
    }
}

words! {
    /// Where a task stands, as people and JSON see it.
    State, "state", {
        /// Never claimed, or given back.
        Pending = "pending",
        /// Meant for one node.
        Assigned = "assigned",
        /// An attempt is under way.
        Running = "running",
        /// Done, waits to be collected.
        Completed = "completed",
        /// The last attempt ended badly.
        Failed = "failed",
        /// The work does not merge.
        Conflict = "conflict",
        /// In the target.
        Merged = "merged",
        /// Called off.
        Cancelled = "cancelled",
        /// Its records cannot be read: shown, never claimed.
        Unknown = "unknown",
    }
}

words! {
    /// Why an attempt was released or failed (`Dispatch-Reason`).
    Reason, "reason", {
        /// The executor's exit code was not 0.
        Exit = "exit",
        /// It ran longer than it may.
        Timeout = "timeout",
        /// It was silent longer than it may.
        Stall = "stall",
        /// It could not be started.
        Spawn = "spawn",
        /// Its node was lost.
        Lost = "lost",
        /// The executor is out of quota.
        Quota = "quota",
        /// The node was told to stop.
        Drained = "drained",
        /// What it was built on never lands.
        Stale = "stale",
        /// It broke the verification of the target.
        Verify = "verify",
        /// The result looks as if it held secrets.
        Secrets = "secrets",
        /// The hub refuses the result for good.
        Publish = "publish",
        /// A newer spec took its place.
        Replaced = "replaced",
        /// A person, or the retry policy, wants another try.
        Retry = "retry",
    }
}

words! {
    /// What keeps a claim alive (`Dispatch-Hold`).
    Hold, "hold", {
        /// The heartbeat of the node that runs it.
        Beat = "beat",
        /// A person, until a time.
        Hand = "hand",
        /// A bundle under way, until a time.
        Offline = "offline",
    }
}

impl Reason {
    /// Says whether an attempt that ended so counts against `max_attempts` (DESIGN.md 2.3).
    pub const fn is_charged(self) -> bool {
        matches!(self, Self::Exit | Self::Timeout | Self::Stall | Self::Spawn | Self::Lost | Self::Verify)
    }
}

impl Phase {
    /// Returns the state that a task is in while this is its claim's phase.
    pub const fn state(self) -> State {
        match self {
            Self::Assigned => State::Assigned,
            Self::Running => State::Running,
            Self::Released => State::Pending,
            Self::Completed => State::Completed,
            Self::Failed => State::Failed,
            Self::Conflict => State::Conflict,
            Self::Merged => State::Merged,
            Self::Cancelled => State::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse::<Phase>().as_ref(), Ok(phase));
        }
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>().as_ref(), Ok(reason));
        }
        assert!("finished".parse::<Phase>().is_err());
    }
}

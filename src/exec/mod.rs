//! Owns processes: starting them, waiting for them, ending them with all that they started, and
//! keeping what they say.
//!
//! Knows nothing of git or of tasks: what is run, where and with which environment is the caller's
//! `Command`.
//!
//! ```text
//!   Signals ──raises──▶ Cancel ──wakes──▶ Child::wait ──▶ Ended
//!                                           ▲    │
//!   Capture ──touches──▶ Progress ──(stall)─┘    └─ TERM … grace … KILL, to the whole process group
//! ```
//!
//! Two ways to run something. An executor: `Capture::start`, [`spawn`], [`Child::wait`],
//! `Capture::finish`; nothing of its process group outlives it. A tool such as git(1):
//! [`collect_output`]; what it leaves in the background lives.

pub mod cancel;
pub mod capture;
pub mod child;
pub mod collect;
pub mod group;
pub mod progress;
pub mod redact;
pub mod signals;
mod spool;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start what they need")]
mod tests;

pub use cancel::Cancel;
pub use capture::{Capture, Captured};
pub use child::{Child, Ended, Limits, spawn};
pub use collect::{collect_output, run_through, stdin_from};
pub use group::{end_group, group_alive, groups_started_with, start_time};
pub use progress::Progress;
pub use redact::Mask;
pub use signals::Signals;
/// The writing end of a capture.
pub use std::io::PipeWriter as Pen;

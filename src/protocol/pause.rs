//! Pause and resume: a node, or the whole fleet, takes no new work.

use super::error::Result;
use super::refusal::Refusal;
use super::session::Session;
use crate::hub::Error as HubError;
use crate::hub::control::Control;
use crate::task::Name;

/// How often a record that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One node.
    Node(Name),
    /// Everybody.
    All,
}

/// Pauses or resumes; says whether anything had to be changed. Resuming everybody resumes each node too.
pub fn set_paused(session: &Session, who: &Who, pause: bool) -> Result<bool> {
    let mut refusal = Refusal::default();
    for _ in 0..TRIES {
        session.sync()?;
        refusal.look(session)?;
        let before = session.hub.control()?;
        let after = changed(&before, who, pause);
        if after == before {
            return Ok(false);
        }
        let what = if pause { "pause" } else { "resume" };
        let whom = match who {
            Who::Node(name) => name.to_string(),
            Who::All => "all nodes".to_owned(),
        };
        let message = format!("{what} {whom}\n");
        let edit = session.hub.set_control(&after, &message, &session.by, &session.ambient)?;
        if session.hub.publish(std::slice::from_ref(&edit))?[0].is_yes() {
            return Ok(true);
        }
        refusal.tried(vec![edit]);
    }
    Err(HubError::Busy { name: session.hub.layout.control(), tries: TRIES }.into())
}

fn changed(before: &Control, who: &Who, pause: bool) -> Control {
    let mut after = before.clone();
    match who {
        Who::All => {
            after.all = pause;
            if !pause {
                after.paused.clear();
            }
        }
        Who::Node(name) => {
            after.paused.retain(|known| known != name.as_str());
            if pause {
                after.paused.push(name.to_string());
                after.paused.sort();
            }
        }
    }
    after
}

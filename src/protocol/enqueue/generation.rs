//! A batch that is a generation of the factory: when it is void, and the note that tells of it.

use serde_json::json;

use crate::git::ObjectId;
use crate::hub::Edit;
use crate::hub::notes::Addition;
use crate::hub::snapshot::Snapshot;
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::TaskName;
use crate::task::event::Event;

/// Says whether that generation, or a later one, is on the queue and is not ours.
pub(super) fn is_superseded(snapshot: &Snapshot, generation: u32, ours: &[ObjectId]) -> bool {
    let is_theirs = |specs: &[ObjectId]| !specs.iter().any(|id| ours.contains(id));
    snapshot
        .tasks
        .iter()
        .any(|task| task.spec.record.generation.is_some_and(|known| known >= generation) && is_theirs(&task.specs))
}

/// A line on the generation's first spec that says what it is, for people who read the queue with git.
pub(super) fn note(
    session: &Session,
    generation: Option<u32>,
    chained: &[(TaskName, ObjectId)],
) -> Result<Option<Edit>> {
    let (Some(generation), Some((_, first))) = (generation, chained.first()) else { return Ok(None) };
    let mut event = Event::new("enqueued", session.ambient.now());
    event.node = Some(session.node.to_string());
    event.output = Some(json!({"generation": generation, "tasks": chained.len()}));
    let additions = [Addition::line(*first, &event)];
    Ok(session.hub.add_status(&session.node, &additions, &session.by, &session.ambient)?)
}

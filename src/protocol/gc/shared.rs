//! What is past its time on the hub: kept attempts, task branches, records of nodes, output.

use std::collections::{HashMap, HashSet};

use super::{Gc, Item};
use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::git::refs::RefChange;
use crate::hub::history::Histories;
use crate::hub::snapshot::{Standing, Task};
use crate::hub::{Edit, Layout};
use crate::protocol::error::Result;
use crate::protocol::nodes::nodes;
use crate::protocol::seal::in_use;
use crate::task::Phase;

/// What a change would remove.
type Step = (Item, Edit);

impl Gc<'_> {
    pub(super) fn shared(&mut self) -> Result<Vec<Step>> {
        let mut steps = self.attempts()?;
        steps.extend(self.branches()?);
        let (nodes, gone) = self.nodes()?;
        steps.extend(nodes);
        steps.extend(self.logs(&gone)?);
        Ok(steps)
    }

    /// Work that was fenced off or went stale: as long as its task has not ended, somebody may want it.
    fn attempts(&self) -> Result<Vec<Step>> {
        let hub = &self.session.hub;
        let mut steps = Vec::new();
        for (name, id) in hub.repo.refs_with_prefix(&hub.layout.attempts())? {
            let Some(task) = hub.layout.task_of_attempt(&name) else { continue };
            let has_ended = self.snapshot.get(&task).is_none_or(|task| self.has_ended(task));
            if has_ended && self.is_old(id) {
                steps.push((Item { kind: "attempt", name: name.clone() }, Edit::new(name, Some(id), None)));
            }
        }
        Ok(steps)
    }

    /// Task branches of ended tasks that hold what their attempts made. One that holds anything else is somebody's.
    fn branches(&mut self) -> Result<Vec<Step>> {
        let hub = &self.session.hub;
        let live: HashSet<&String> = self
            .snapshot
            .tasks
            .iter()
            .filter_map(Task::claim)
            .filter_map(|claim| claim.record.branch.as_ref())
            .collect();
        let (recorded, in_use) = (self.recorded()?, in_use(self.session)?);
        let mut steps = Vec::new();
        for (name, id) in hub.list(&[hub.layout.task_branches()])? {
            let branch = name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned();
            let Some(results) = recorded.get(&branch) else { continue };
            if live.contains(&branch) || hub.layout.is_ours(&name) {
                continue;
            }
            let item = Item { kind: "branch", name: name.clone() };
            if !results.contains(&id) {
                self.keep(item, "it has moved since its task ended");
            } else if in_use.contains(&name) {
                self.keep(item, "it is checked out");
            } else {
                steps.push((item, Edit::new(name, Some(id), None)));
            }
        }
        Ok(steps)
    }

    /// What the attempts of ended tasks made, by their branches, as seals and status notes tell. The chains are gone by
    /// then, so lines are taken at their word: what they name is deleted only while it holds what they say.
    fn recorded(&self) -> Result<HashMap<String, Vec<ObjectId>>> {
        let histories = Histories::load(&self.session.hub)?;
        let mut recorded: HashMap<String, Vec<ObjectId>> = HashMap::new();
        for task in self.snapshot.tasks.iter().filter(|task| self.has_ended(task)) {
            let seal = match &task.standing {
                Standing::Sealed { seal, .. } => Some(&***seal),
                _ => None,
            };
            for event in histories.lines(task).chain(seal) {
                let result = event.result.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok());
                if let (Some(branch), Some(result)) = (&event.branch, result) {
                    recorded.entry(branch.clone()).or_default().push(result);
                }
            }
        }
        Ok(recorded)
    }

    /// Records of nodes that have been stopped or lost for long and hold nothing, and the names of nodes that are gone.
    fn nodes(&self) -> Result<(Vec<Step>, HashSet<String>)> {
        let hub = &self.session.hub;
        let (mut steps, mut gone) = (Vec::new(), HashSet::new());
        let seen = hub.node_records()?;
        for (seen, node) in seen.iter().zip(nodes(self.session, self.snapshot)?) {
            let name = &seen.name;
            let holds = |task: &Task| {
                task.claim().is_some_and(|claim| {
                    matches!(claim.record.phase, Phase::Assigned | Phase::Running)
                        && claim.record.node.as_ref() == Some(name)
                })
            };
            let is_away = matches!(node.state.as_str(), "stopped" | "lost");
            let is_past = node.beat_at.is_some_and(|at| self.is_past(at));
            // Read twice, and moved between: next time.
            if seen.record != node.record || !is_away || !is_past || self.snapshot.tasks.iter().any(holds) {
                continue;
            }
            let shared = hub.layout.node_named(name);
            if let Some(id) = hub.known(&shared) {
                steps.push((Item { kind: "node", name: shared.clone() }, Edit::new(shared, Some(id), None)));
                gone.insert(name.clone());
            }
        }
        Ok((steps, gone))
    }

    /// Output of ended tasks. The notes are their writer's: they are touched only by its own clone, and by anybody once
    /// the node is gone. What is dropped is dropped with its history, or nothing would get smaller.
    fn logs(&mut self, gone: &HashSet<String>) -> Result<Vec<Step>> {
        let hub = &self.session.hub;
        let prefix = hub.layout.all_logs();
        let own = hub.layout.logs(&self.session.node);
        let known: HashSet<String> = hub.node_records()?.into_iter().map(|seen| seen.name).collect();
        let is_meant = |name: &String| {
            let node = name.strip_prefix(&prefix).unwrap_or_default();
            *name == own || gone.contains(node) || !known.contains(node)
        };
        let names: Vec<String> =
            hub.list(std::slice::from_ref(&prefix))?.into_iter().map(|(name, _)| name).filter(is_meant).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let ended: HashSet<ObjectId> = self
            .snapshot
            .tasks
            .iter()
            .filter(|task| self.has_ended(task))
            .flat_map(|task| task.specs.iter().copied())
            .collect();
        let had: HashSet<String> =
            names.iter().filter(|name| hub.repo.ref_value(&Layout::arrival(name)).is_some()).cloned().collect();
        let mut steps = Vec::new();
        for (name, tip) in hub.fetch_unmirrored(&names)? {
            if !had.contains(&name) {
                // It arrived for this look alone; the objects outlast it.
                let arrival = Layout::arrival(&name);
                let _ = hub.repo.change_refs(&[RefChange::new(arrival, Some(tip), None)], "git dispatch: gc");
            }
            let dropped: Vec<ObjectId> =
                hub.repo.notes(tip).into_keys().filter(|spec| ended.contains(spec)).collect();
            if dropped.is_empty() {
                continue;
            }
            let left = hub.repo.notes_without(tip, &dropped)?;
            let left = left.map(|tree| self.write_notes(tree)).transpose()?;
            let noun = if dropped.len() == 1 { "task" } else { "tasks" };
            let item = Item { kind: "log", name: format!("{name} ({} {noun})", dropped.len()) };
            steps.push((item, Edit::new(name, Some(tip), left)));
        }
        steps.sort_by(|one, other| one.1.name.cmp(&other.1.name));
        Ok(steps)
    }

    fn write_notes(&self, tree: ObjectId) -> Result<ObjectId> {
        let commit = NewCommit {
            tree,
            parents: &[],
            message: "Notes kept by git dispatch gc\n",
            by: &self.session.by,
            at: self.now,
        };
        Ok(self.session.hub.repo.write_commit(&commit)?)
    }
}

//! What the loop tells people.

use super::super::machine::Said;
use super::Daemon;
use crate::protocol::announce::Happened;
use crate::protocol::claim::Won;
use crate::protocol::finish::Ending;

impl Daemon<'_> {
    pub(super) fn announce_completed(&self, won: &Won, ending: &Ending) {
        let result = ending.result.unwrap_or(won.base.commit);
        let changed = self.session.hub.repo.changed(won.base.commit, result).unwrap_or_default();
        self.announce.happened(&Happened::Completed {
            task: won.claim.record.task.clone(),
            files: changed.paths.len() as u64,
            lines: (changed.added, changed.removed),
            took: ending.took,
        });
    }

    pub(super) fn text(&self, said: Said) -> String {
        let poll_max = self.session.config.node_settings(self.session.node.as_str()).poll_max;
        match said {
            Said::HubAway => "the hub does not answer; what runs goes on, and results wait here".to_owned(),
            Said::HubBack => "the hub answers again".to_owned(),
            Said::Broken => {
                format!("tasks fail at once here, one after the other; resting up to {poll_max}, then trying one")
            }
            Said::Draining => "taking no more; a second signal stops what runs and gives it back".to_owned(),
            Said::Paused => "paused; `git dispatch resume` ends it".to_owned(),
            Said::Resumed => "resumed".to_owned(),
        }
    }
}

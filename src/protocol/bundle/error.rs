//! What a verb of bundles refuses.

use std::path::{Path, PathBuf};

use crate::git::bundle::BundleError;
use crate::task::text::escaped;
use crate::task::{Name, TaskName};

/// A refusal of a bundle, or of a command in a clone that was opened from one.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Refused {
    /// The file itself.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] BundleError),
    /// It holds a ref that no bundle of ours holds.
    #[error("`{}` holds the ref `{}`, which does not belong there", shown(.path), escaped(.name))]
    #[diagnostic(
        code(dispatch::bundle::bad_ref),
        help("nothing was taken in; `git dispatch bundle create` never writes such a file")
    )]
    BadRef {
        /// The file.
        path: PathBuf,
        /// The ref.
        name: String,
    },
    /// It is a bundle of git's, and none of ours.
    #[error("`{}` is a bundle, and none of git-dispatch", shown(.path))]
    #[diagnostic(
        code(dispatch::bundle::not_ours),
        help("name a file that `git dispatch bundle create` wrote; nothing was taken in")
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// It is of another repository.
    #[error("`{}` is of another repository: its queue does not begin as the one here", shown(.path))]
    #[diagnostic(
        code(dispatch::bundle::foreign),
        help("nothing was taken in; `git dispatch bundle show` tells which node it is for, or from")
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is for another node.
    #[error("`{}` is for node {node}, and this clone is {own}", shown(.path))]
    #[diagnostic(
        code(dispatch::bundle::other_node),
        help("nothing was taken in; open it into a folder of its own, or take it to that node")
    )]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node that it is for.
        node: Name,
        /// The node here.
        own: String,
    },
    /// It goes the other way.
    #[error("`{}` holds {}", shown(.path), if *.is_work { "work for a node, not results" } else { "results, not work for a node" })]
    #[diagnostic(
        code(dispatch::bundle::wrong_way),
        help(
            "work is opened on the node's side (`bundle open`), results are collected at the hub (`collect --bundle`)"
        )
    )]
    WrongWay {
        /// The file.
        path: PathBuf,
        /// Whether it holds work.
        is_work: bool,
    },
    /// The folder is something else.
    #[error("`{}` is there already, and was not opened from a bundle", shown(.folder))]
    #[diagnostic(
        code(dispatch::bundle::not_opened),
        help("name a folder that does not exist yet, or the clone that an earlier bundle was opened into")
    )]
    NotOpened {
        /// The folder.
        folder: PathBuf,
    },
    /// Results are only made where work was opened.
    #[error("this clone was not opened from a bundle")]
    #[diagnostic(
        code(dispatch::bundle::not_away),
        help(
            "here, results go to the hub by themselves; where it stays away, `git dispatch outbox --bundle FILE` packs those that wait"
        )
    )]
    NotAway,
    /// The branch here has commits that the bundle does not know.
    #[error("`{}` has gone another way here than in `{}`", escaped(.name), shown(.path))]
    #[diagnostic(
        code(dispatch::bundle::diverged),
        help(
            "nothing was taken in; put commits of your own on another branch (`git branch mine`, then `git reset --keep` to the commit before them), or open the bundle into a new folder"
        )
    )]
    Diverged {
        /// The file.
        path: PathBuf,
        /// The ref.
        name: String,
    },
    /// Nothing is enqueued away from the hub.
    #[error("this clone was opened from a bundle, and nothing is enqueued here")]
    #[diagnostic(
        code(dispatch::bundle::no_enqueue),
        help("enqueue it in a clone of the hub; the next bundle brings it here")
    )]
    NoEnqueue,
    /// Nothing is merged away from the hub.
    #[error("this clone was opened from a bundle, and nothing is merged here")]
    #[diagnostic(
        code(dispatch::bundle::no_collect),
        help(
            "`git dispatch bundle create FILE --results`, carry it, and `git dispatch collect --bundle FILE` in a clone of the hub"
        )
    )]
    NoCollect,
    /// Tasks are not steered away from the hub.
    #[error("this clone was opened from a bundle, where no task is {what}")]
    #[diagnostic(
        code(dispatch::bundle::not_here),
        help("do it in a clone of the hub; the next bundle brings it here")
    )]
    NotHere {
        /// What is not done here.
        what: &'static str,
    },
    /// The task goes by bundle only.
    #[error("{task} goes by bundle only")]
    #[diagnostic(
        code(dispatch::bundle::only),
        help(
            "`git dispatch bundle create FILE --for NODE` reserves it for a node; `[projects.NAME] sync` in git-dispatch.toml says which projects go so"
        )
    )]
    OnlyByBundle {
        /// The task.
        task: TaskName,
    },
}

fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

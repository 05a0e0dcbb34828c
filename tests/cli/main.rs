//! Drives the binary as a user would, in sandboxes of its own. One test binary, so that it links
//! once.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the harness is the world outside: it starts processes and reads the environment"
)]

// The harness.
mod browser; // a headless Chromium, asked over its pipe
mod rig; // a quick fleet, and the invariants as one check
mod sandbox; // repositories, environment, running the binary
mod sandbox_itself; // that the harness does what it says
mod steps; // what many tests do: queue tasks, see where they stand

mod demo; // a whole day, from an empty folder

// The queue.
mod enqueue; // specs as they are found, and what is refused
mod factory; // generations, each once
mod inbox; // files dropped into folders, each once
mod issue; // what forges tell of issues
mod list; // which tasks there are, and where they stand
mod logs; // what executors wrote

// Working.
mod claim; // tasks taken by hand
mod done; // what an executor says of its end; what is run around the work
mod executor; // what an executor gets, and how it is ended
mod run; // nodes that claim and work at the same time
mod tmux; // agents in tmux sessions
mod vandals; // executors that break their clone or plant something in it

// Merging.
mod bundle; // files for nodes that never see the hub
mod checkout; // the checkout follows, or stays and says so
mod collect; // order, conflicts, seals
mod collect_watch; // lands what comes, for good
mod conflicts; // what would not merge, before anything is merged
mod foundations; // work on work that has not landed, and may never
mod gc; // what is past its time
mod notify; // who is told of what
mod report; // what was done, and what to do next
mod targets; // several branches, protected and rewritten ones
mod verify; // what breaks the target is found and left out

// What goes wrong, and what it costs.
mod at_once; // what is tried on the hub before it is read
mod counts; // git processes and pushes
mod crash; // commands that are killed
mod doctor; // what is wrong, what is mended, what a remote can do
mod kinds; // servers that cannot do everything
mod late; // answers that never arrive, hubs that are away
mod memory; // hubs that are emptied or wound back
mod misbehaving; // twenty faults of a hub by six operations, over each transport
mod no_atomic; // hubs that take one ref after the other
mod races; // many at once
mod reftable; // clones whose refs lie in a reftable
mod refused;
mod regression; // bugs that there were
mod regression_attack;
mod several; // one daemon for several clones // bugs found by attacking the protocol

// Trust.
mod contained; // what an executor plants never runs
mod corpus; // what the fuzz targets are given
mod lookalikes; // text that drives terminals or looks like options, wherever text comes in
mod secrets; // what must not leave a clone
mod trust; // signatures: whose specs are run, whose work is merged
mod unfit; // what is dangerous to check out

// What is stored.
mod formats; // yesterday's state loads for ever

// A person's day.
mod bad_input; // what is refused: names, specs, configuration, surroundings
mod completions; // what a shell offers behind `git dispatch`
mod examples; // those of the help texts, run
mod explain; // every code has a way out
mod forecast; // what is ahead: when the queue is empty, the longest chain
mod hand; // claim, finish, release; fenced off with the work kept
mod help; // `-h` of each command
mod hubs; // not tests: what they share, so that each holds on both kinds of hub
mod init; // the annotated file, the node's name, what `git log` shows
mod man; // the pages that `git dispatch --help` opens
mod outcomes; // two verbs at a barrier: one outcome of the two that may be
mod page; // `report`, in words and in a browser
mod readme; // followed from top to bottom; its table of settings
mod repair;
mod replace; // a newer spec; dry runs
mod retry_cancel; // called off, tried again
mod schedule; // assignments, and that they never win beside a claim
mod schema; // what `--json` prints is what is published
mod settings; // layers, and where a value comes from
mod show; // everything of one task; how tasks are named; titles that would drive a terminal
mod status; // what needs a person first; colours
mod surroundings; // odd repositories, hubs that refuse or are away
mod top; // the fleet live, at a terminal of tmux
mod wait_log; // following what happens
mod why;
mod workflows; // what forges run when an issue changes // each reason for not running

// What must survive.
#[cfg(feature = "failpoints")]
mod fail_points; // killed at every step
mod fleet; // nodes that stay: lost, hung, cancelled, drained, without a hub
mod nth_git; // any git call fails
mod slurm;
mod soak; // many nodes, killed at random // the recipe for Slurm, in the long part

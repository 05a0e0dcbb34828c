//! Drives the binary as a user would, in sandboxes of its own. One test binary, so that it links
//! once.

// The harness.
mod sandbox; // repositories, environment, running the binary
mod sandbox_itself; // that the harness does what it says

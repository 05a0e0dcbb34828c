//! Fail points: places at which a test makes the process die as a crash would (RELIABILITY.md, "Kill at every step").
//!
//! Compiled in with the feature `failpoints` alone; without it a point is nothing. `GIT_DISPATCH_TEST_FAIL=name:n` sends
//! this process SIGKILL when it comes to the point for the n-th time (`name`: for the first);
//! `GIT_DISPATCH_TEST_FAIL_LOG=file` adds a line to the file for each point passed.

/// A place at which the process may be made to die.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn point(_name: &'static str) {}

/// A place at which the process may be made to die.
#[cfg(feature = "failpoints")]
pub fn point(name: &'static str) {
    use std::collections::HashMap;
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    static PASSED: Mutex<Option<HashMap<&'static str, u32>>> = Mutex::new(None);

    #[expect(clippy::disallowed_methods, reason = "not a setting: it is there only where tests compile it in")]
    let variable = |name: &str| std::env::var(name).ok();
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = passed.get_or_insert_default().entry(name).or_default();
    *count += 1;
    if let Some(log) = variable("GIT_DISPATCH_TEST_FAIL_LOG") {
        let file = std::fs::File::options().create(true).append(true).open(log);
        let _ = file.and_then(|mut file| file.write_all(format!("{name}:{count}\n").as_bytes()));
    }
    let Some(wanted) = variable("GIT_DISPATCH_TEST_FAIL") else { return };
    let (wanted, at) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if wanted == name && at.parse() == Ok(*count) {
        // Nothing is tidied up, no destructor runs, and what was started lives on.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

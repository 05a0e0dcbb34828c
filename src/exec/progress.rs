//! Owns the answer to "how long has it been silent?". Whoever reads the output touches it; the
//! waiting side asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last sign of life; clones share it.
///
/// Monotonic, so neither a changed clock nor a suspended machine looks like silence.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Instant,
    /// Milliseconds after `origin`.
    last: AtomicU64,
}

impl Progress {
    /// Starts with now as the last sign of life.
    pub fn new() -> Progress {
        Progress(Arc::new(Inner { origin: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// Notes a sign of life.
    pub fn touch(&self) {
        let since = u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.fetch_max(since, Ordering::Relaxed);
    }

    /// Tells when the last sign of life was, to the millisecond.
    pub fn last(&self) -> Instant {
        self.0.origin + Duration::from_millis(self.0.last.load(Ordering::Relaxed))
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shared_and_never_goes_back() {
        let progress = Progress::new();
        let before = progress.last();
        progress.clone().touch();
        assert!(progress.last() >= before);
        assert!(progress.last() <= Instant::now());
    }
}

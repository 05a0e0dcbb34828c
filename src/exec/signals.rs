//! Owns the process' answer to SIGINT and SIGTERM: counts them and tells who asked. What a first or
//! second signal *means* is the caller's.
//!
//! Run as `git dispatch`, a Ctrl-C reaches us from the terminal and again from git, which passes it
//! on to the program it started. So signals within a second count as one.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;

use super::cancel::Cancel;

/// How long after a signal that counted further ones are taken for the same.
const SAME: Duration = Duration::from_secs(1);

/// The signals that this process has been sent. Stays installed until the process ends, even when
/// dropped: a handler taken off again would leave the signal ignored rather than deadly.
#[derive(Clone)]
pub struct Signals {
    /// Goes up with the first signal.
    pub first: Cancel,
    /// Goes up with the second signal.
    pub second: Cancel,
    shared: Arc<Shared>,
}

struct Shared {
    number: AtomicI32,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Which signal came last, from 1; 0 before the first.
    nth: u32,
    listeners: Vec<Listener>,
}

type Listener = Box<dyn Fn(u32, i32) + Send>;

impl Signals {
    /// Takes over SIGINT and SIGTERM and starts the thread that waits for them. Once in a process.
    pub fn install() -> io::Result<Signals> {
        let mut incoming = Incoming::new([SIGINT, SIGTERM])?;
        let signals = Signals {
            first: Cancel::new(),
            second: Cancel::new(),
            shared: Arc::new(Shared { number: AtomicI32::new(0), told: Mutex::default() }),
        };
        let told = signals.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut count = Count::default();
            for number in incoming.forever() {
                if let Some(nth) = count.arrived(Instant::now()) {
                    told.arrived(nth, number);
                }
            }
        })?;
        Ok(signals)
    }

    /// Has `listener` called, on the signals' own thread, with 1 for the first signal, 2 for the
    /// second and so on, and with the signal's number. Where signals came already, it is called
    /// at once with the last of them: whoever was told to stop while starting must hear of it.
    pub fn on_signal(&self, listener: impl Fn(u32, i32) + Send + 'static) {
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = self.number().filter(|_| told.nth > 0) {
            listener(told.nth, number);
        }
        told.listeners.push(Box::new(listener));
    }

    /// Returns the number of the signal that came last, if any.
    pub fn number(&self) -> Option<i32> {
        Some(self.shared.number.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }

    /// Returns 128+n for the signal n that came last: the exit code of a process that it ended.
    pub fn exit_code(&self) -> Option<u8> {
        self.number().and_then(|number| u8::try_from(128 + number).ok())
    }

    fn arrived(&self, nth: u32, number: i32) {
        // The number first: whoever is woken by the flag may ask for it at once.
        self.shared.number.store(number, Ordering::SeqCst);
        self.first.raise();
        if nth > 1 {
            self.second.raise();
        }
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.nth = nth;
        told.listeners.iter().for_each(|listener| listener(nth, number));
    }
}

/// Tells signals from their echoes.
#[derive(Default)]
struct Count {
    counted: u32,
    last: Option<Instant>,
}

impl Count {
    /// Returns which signal it is, from 1, or nothing for an echo.
    ///
    /// Measured from the signal that counted, not from its last echo: else an impatient hand never
    /// gets to two.
    fn arrived(&mut self, now: Instant) -> Option<u32> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < SAME) {
            return None;
        }
        self.last = Some(now);
        self.counted += 1;
        Some(self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::mpsc;

    #[test]
    fn signals_within_a_second_are_one() {
        let mut count = Count::default();
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(count.arrived(start), Some(1));
        assert_eq!(count.arrived(after(20)), None);
        assert_eq!(count.arrived(after(999)), None);
        assert_eq!(count.arrived(after(1_000)), Some(2));
        assert_eq!(count.arrived(after(1_700)), None);
        assert_eq!(count.arrived(after(2_000)), Some(3));
    }

    #[test]
    fn a_real_signal_raises_the_first_flag_and_is_remembered() {
        let signals = Signals::install().unwrap();
        assert_eq!(signals.exit_code(), None);
        let (told, tells) = mpsc::channel();
        signals.on_signal(move |nth, number| told.send((nth, number)).unwrap());
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(tells.recv_timeout(Duration::from_secs(20)), Ok((1, SIGTERM)));
        assert!(signals.first.is_raised() && !signals.second.is_raised());
        assert_eq!((signals.number(), signals.exit_code()), (Some(15), Some(143)));
        let (late, hears) = mpsc::channel();
        signals.on_signal(move |nth, number| late.send((nth, number)).unwrap());
        assert_eq!(hears.try_recv(), Ok((1, SIGTERM)), "a listener that comes late");
    }
}

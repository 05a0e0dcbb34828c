//! Owns how lengths of time are written in settings: a whole number and one unit, `200ms 30s 5m 2h 30d`.
//! Does not own what zero means (each setting says so) nor any clock.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Units with their length in milliseconds, the longest first; `ms` before `s` and `m`, which it ends in or begins with.
const UNITS: [(&str, u64); 5] = [("d", DAY), ("h", HOUR), ("ms", 1), ("m", MINUTE), ("s", SECOND)];

/// A century. Adding more than an `Instant` can hold panics, and nobody waits that long.
const LONGEST: u64 = 36_500 * DAY;

/// Holds a length of time as settings write it, exact to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dur(Duration);

/// Says why a text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurError {
    /// The text is not a whole number followed by one unit.
    #[error("not a duration: a whole number and a unit are, such as 30s, 5m, 2h, 30d")]
    Form,
    /// The length is over a hundred years.
    #[error("longer than 36500d")]
    TooLong,
}

impl Dur {
    /// Makes one from a number of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Makes one from a number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Gives the plain duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Gives the plain duration, or nothing for `0s`, which is how settings say "off".
    pub fn unless_zero(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl Deref for Dur {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Dur> for Duration {
    fn from(value: Dur) -> Self {
        value.0
    }
}

impl From<Duration> for Dur {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl FromStr for Dur {
    type Err = DurError;

    fn from_str(text: &str) -> Result<Self, DurError> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurError::Form)?;
        if number.is_empty() {
            return Err(DurError::Form);
        }
        // Only digits are left, so what does not parse is too big.
        let number: u64 = number.parse().map_err(|_| DurError::TooLong)?;
        match number.checked_mul(*length) {
            Some(millis) if millis <= LONGEST => Ok(Self::from_millis(millis)),
            _ => Err(DurError::TooLong),
        }
    }
}

impl fmt::Display for Dur {
    /// Writes the shortest exact form: `60s` comes back as `1m`, `90s` as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let exact = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)]
            .into_iter()
            .find(|(_, length)| millis.is_multiple_of(u128::from(*length)));
        match exact {
            Some((unit, length)) => write!(f, "{}{unit}", millis / u128::from(length)),
            None => write!(f, "{millis}ms"),
        }
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("200ms", 200), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Dur::from_millis(millis)), "{text}");
            assert_eq!(Dur::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "5", "s", "-1s", "+1s", "1.5h", "1h30m", "5 m", " 5m", "5M", "5min", "٣s", "0x1s"] {
            assert_eq!(text.parse::<Dur>(), Err(DurError::Form), "{text:?}");
        }
        for text in ["36501d", "18446744073709551615h", "99999999999999999999999s"] {
            assert_eq!(text.parse::<Dur>(), Err(DurError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn shows_the_shortest_exact_form() {
        for (given, shown) in [("60s", "1m"), ("90s", "90s"), ("1000ms", "1s"), ("48h", "2d"), ("0d", "0s")] {
            assert_eq!(given.parse::<Dur>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn zero_is_off() {
        assert_eq!(Dur::default().unless_zero(), None);
        assert_eq!(Dur::from_secs(1).unless_zero(), Some(Duration::from_secs(1)));
        assert_eq!(Dur::from_secs(1).as_secs(), 1);
    }
}

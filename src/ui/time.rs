//! Times as people read them.

use jiff::Timestamp;

/// Says how long ago something was.
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    match seconds {
        ..0 => "in the future, by this clock".to_owned(),
        0..=1 => "just now".to_owned(),
        2..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_to_one_unit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let said = |seconds: i64| ago(at(1_000_000), at(1_000_000 - seconds));
        assert_eq!(
            [said(0), said(59), said(7100), said(90_000)],
            ["just now", "59 s ago", "118 min ago", "25 h ago"]
        );
        assert_eq!(said(-5), "in the future, by this clock");
    }
}

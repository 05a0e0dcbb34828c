//! An axis of time: where a moment stands, and at which moments it is marked.

use jiff::{SignedDuration, Timestamp};

/// Steps between two marks, in seconds.
const STEPS: &[i64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000,
];

/// A span of time laid over a span of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    from: Timestamp,
    seconds: f64,
    left: f64,
    width: f64,
}

impl Axis {
    /// Lays the time over `width` units from `left` on; a span without length counts as a second.
    pub(super) fn new((from, to): (Timestamp, Timestamp), left: f64, width: f64) -> Self {
        Self { from, seconds: to.duration_since(from).as_secs_f64().max(1.0), left, width }
    }

    /// Where a moment stands; what is outside stands at the edge.
    pub(super) fn at(&self, moment: Timestamp) -> f64 {
        let part = moment.duration_since(self.from).as_secs_f64() / self.seconds;
        self.left + self.width * part.clamp(0.0, 1.0)
    }

    /// The marks, about `wanted` of them, with what is said there.
    pub(super) fn marks(&self, wanted: usize) -> Vec<(f64, String)> {
        let ideal = self.seconds / wanted.max(1) as f64;
        let step = STEPS.iter().copied().find(|step| *step as f64 >= ideal).unwrap_or(31_536_000);
        let form = match step {
            ..60 => "%H:%M:%S",
            60..86_400 => "%H:%M",
            _ => "%m-%d",
        };
        let first = self.from.as_second().div_euclid(step) * step + step;
        let end = self.from.as_second() + self.seconds as i64;
        let moments = (0..).map(|nth| first + nth * step).take_while(|second| *second <= end).take(100);
        moments
            .filter_map(|second| Timestamp::from_second(second).ok())
            .map(|moment| (self.at(moment), moment.strftime(form).to_string()))
            .collect()
    }

    /// The number of the bucket of a moment, of so many over the whole span.
    pub(super) fn bucket(&self, moment: Timestamp, of: usize) -> usize {
        let part = (self.at(moment) - self.left) / self.width;
        ((part * of as f64) as usize).min(of.saturating_sub(1))
    }

    /// The seconds of one of so many buckets.
    pub(super) fn bucket_seconds(&self, of: usize) -> f64 {
        self.seconds / of.max(1) as f64
    }

    /// The beginning of a bucket.
    pub(super) fn bucket_begins(&self, bucket: usize, of: usize) -> Timestamp {
        let seconds = self.bucket_seconds(of) * bucket as f64;
        self.from.checked_add(SignedDuration::from_secs_f64(seconds)).unwrap_or(self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn moments_stand_in_proportion() {
        let axis = Axis::new((at(0), at(100)), 10.0, 200.0);
        assert_eq!(
            (axis.at(at(0)), axis.at(at(50)), axis.at(at(100)), axis.at(at(500))),
            (10.0, 110.0, 210.0, 210.0)
        );
        assert_eq!((axis.bucket(at(0), 10), axis.bucket(at(99), 10), axis.bucket(at(100), 10)), (0, 9, 9));
        let point = Axis::new((at(0), at(0)), 0.0, 100.0);
        assert_eq!((point.at(at(0)), point.marks(5).len()), (0.0, 1));
    }

    #[test]
    fn marks_are_round_and_few() {
        let marks = Axis::new((at(0), at(3600)), 0.0, 100.0).marks(6);
        assert_eq!(
            marks.iter().map(|(_, said)| said.as_str()).collect::<Vec<_>>(),
            ["22:20", "22:30", "22:40", "22:50", "23:00", "23:10"]
        );
        let year = Axis::new((at(0), at(31_536_000)), 0.0, 100.0).marks(6);
        assert!(year.len() <= 6 && year[0].1.len() == 5, "{year:?}");
    }
}

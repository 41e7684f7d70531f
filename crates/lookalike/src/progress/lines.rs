//! Progress as plain lines, for logs and pipes.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};

use super::WORTH_SHOWING;

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// The state from which lines are made. Time is given, never asked for, so that all of it can be tested.
#[derive(Debug)]
pub(super) struct LogLines {
    label: String,
    message: String,
    total: u64,
    position: u64,
    /// Where the rate is counted from: position and time.
    baseline: Option<(u64, Duration)>,
    last_line: Duration,
    finished: bool,
}

impl LogLines {
    pub(super) fn new(total: u64, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            message: String::new(),
            total,
            position: 0,
            baseline: None,
            last_line: Duration::ZERO,
            finished: false,
        }
    }

    pub(super) fn message(&mut self, text: &str) {
        text.clone_into(&mut self.message);
    }

    pub(super) fn advance(&mut self, n: u64, now: Duration) -> Option<String> {
        self.baseline.get_or_insert((self.position, Duration::ZERO));
        self.position += n;
        self.due(now)
    }

    pub(super) fn set_position(&mut self, n: u64, now: Duration) -> Option<String> {
        self.position = n;
        self.baseline.get_or_insert((n, now));
        self.due(now)
    }

    pub(super) fn finish(&mut self, now: Duration) -> Option<String> {
        let first = !std::mem::replace(&mut self.finished, true);
        (first && now >= WORTH_SHOWING).then(|| self.text(now))
    }

    fn due(&mut self, now: Duration) -> Option<String> {
        if now.saturating_sub(self.last_line) < INTERVAL {
            return None;
        }
        self.last_line = now;
        Some(self.text(now))
    }

    fn text(&self, now: Duration) -> String {
        let mut parts =
            vec![format!("{} {}/{}", self.label, HumanCount(self.position), HumanCount(self.total))];
        let (from, since) = self.baseline.unwrap_or_default();
        let seconds = now.saturating_sub(since).as_secs_f64();
        let done = self.position.saturating_sub(from);
        if done > 0 && seconds > 0.0 {
            let rate = done as f64 / seconds;
            parts.push(format!("{rate:.1}/s"));
            if !self.finished {
                let left = self.total.saturating_sub(self.position) as f64 / rate;
                let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
                parts.push(format!("{} left", HumanDuration(left)));
            }
        }
        if self.finished {
            parts.push(format!("took {}", HumanDuration(now)));
        }
        if !self.message.is_empty() {
            parts.push(self.message.clone());
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_line_comes_every_five_seconds_with_count_rate_and_time_left() {
        let mut lines = LogLines::new(1000, "training");
        lines.message("loss 3.2");
        let times = (1..=12).filter(|second| lines.advance(10, seconds(*second)).is_some());
        assert_eq!(times.collect::<Vec<_>>(), [5, 10]);
        let line = lines.advance(30, seconds(15)).unwrap();
        assert_eq!(line, "training 150/1,000, 10.0/s, 85 seconds left, loss 3.2");
    }

    #[test]
    fn work_of_less_than_two_seconds_says_nothing() {
        let mut lines = LogLines::new(2, "short");
        assert_eq!(lines.advance(2, Duration::from_millis(1900)), None);
        assert_eq!(lines.finish(Duration::from_millis(1999)), None);
    }

    #[test]
    fn longer_work_ends_with_one_line() {
        let mut lines = LogLines::new(20, "long");
        assert_eq!(lines.advance(20, seconds(2)), None);
        assert_eq!(lines.finish(seconds(4)).unwrap(), "long 20/20, 5.0/s, took 4 seconds");
        assert_eq!(lines.finish(seconds(9)), None);
    }

    #[test]
    fn steps_done_before_a_resume_do_not_count_for_the_rate() {
        let mut lines = LogLines::new(1000, "training");
        assert_eq!(lines.set_position(500, seconds(1)), None);
        let line = lines.advance(20, seconds(11)).unwrap();
        assert_eq!(line, "training 520/1,000, 2.0/s, 4 minutes left");
    }

    #[test]
    fn nothing_done_yet_gives_no_rate() {
        assert_eq!(LogLines::new(0, "empty").finish(seconds(3)).unwrap(), "empty 0/0, took 3 seconds");
    }
}

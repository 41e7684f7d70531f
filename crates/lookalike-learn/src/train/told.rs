//! The line about a run that goes on.

/// What the line tells beside epoch and loss, where it is known.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Mean hardness of the epoch's batches, above that of uniform ones.
    pub(super) hardness: Option<f64>,
    /// The last score while training, and by what: the development part or the monitor.
    pub(super) score: Option<(&'static str, f64)>,
}

impl Told {
    /// A share of the time spent waiting for the loader that a user should see.
    const WORTH_TELLING: f64 = 0.05;

    /// The line, which fits behind steps, rate and time left in 80 columns.
    pub(super) fn line(&self, epoch: u64, loss: f64, waited: f64) -> String {
        let hardness = self.hardness.map_or_else(String::new, |hardness| format!(" hard {hardness:+.2}"));
        let score = self.score.map_or_else(String::new, |(by, score)| format!(" {by} {score:.3}"));
        let waited = if waited < Self::WORTH_TELLING {
            String::new()
        } else {
            format!(" waited {:.0} %", 100.0 * waited)
        };
        format!("epoch {epoch} loss {loss:.3}{hardness}{score}{waited}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_in_what_a_terminal_of_80_columns_leaves() {
        let before = "step ██████ 12,345/39,050 1234.5/s 12m left ".chars().count();
        let told = Told { hardness: Some(0.1234), score: Some(("dev", 0.71234)) };
        assert_eq!(told.line(12, 1.23456, 0.01), "epoch 12 loss 1.235 hard +0.12 dev 0.712");
        assert!(before + "epoch 12 loss 1.235 hard +0.12 dev".len() <= 80);
        assert_eq!(Told::default().line(0, 4.0, 0.123), "epoch 0 loss 4.000 waited 12 %");
    }
}

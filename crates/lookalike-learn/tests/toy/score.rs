//! A toy score: how long representations are.

use lookalike_learn::LearnError;
use lookalike_learn::evaluate::{Figure, ScoreEntry, Subject};
use lookalike_learn::modality::ArmKind;
use lookalike_learn::options::{Options, POSITIVE, Value};

lookalike_learn::options! {
    /// What a recipe says of the score.
    pub struct LengthOptions {
        /// The norm.
        norm: f32 = Value::Number(2.0), POSITIVE;
    }
}

pub const LENGTH: ScoreEntry = ScoreEntry {
    kind: "length",
    about: "mean length",
    keys: LengthOptions::KEYS,
    // Modalities that do not know it are measured by it too.
    modalities: &[("vectors", &[ArmKind::Trained]), ("image", &[ArmKind::Trained])],
    measure: length,
    ..ScoreEntry::PLAIN
};

fn length(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let LengthOptions { norm } = subject.settings.read("evaluate")?;
    let rows = &subject.rows[0];
    let length = |row: &[f32]| row.iter().map(|value| value.abs().powf(norm)).sum::<f32>().powf(1.0 / norm);
    let mean = (0..rows.len()).map(|row| length(rows.row(row))).sum::<f32>() / rows.len() as f32;
    Ok(vec![Figure::new(subject.key("length"), &mean, subject.title("mean length"), format!("{mean:.3}"))?])
}

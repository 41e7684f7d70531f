//! Words for messages.

/// What a message about the `wrong` name ends with: the name among `names` that it is a misspelling of, or nothing where there is none.
///
/// A misspelling has at most a third of its letters added, left out, replaced or exchanged, one at least, or is the beginning of the
/// name or of which the name is one. Two names of different things (`byol`, `moco`) are farther apart.
pub fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(wrong, names).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let typo = |name: &'a str| {
        let other = name.to_lowercase();
        let distance = strsim::osa_distance(&wrong, &other);
        let letters = wrong.chars().count().max(other.chars().count());
        let shortened = wrong.chars().count() >= SHORTENED && other.starts_with(&wrong);
        (distance <= (letters / 3).max(1) || shortened).then_some((distance, name))
    };
    // The first of several that are as near.
    names.filter_map(typo).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The length from which on the beginning of a name stands for it.
const SHORTENED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_told_and_another_name_is_not() {
        let methods = ["simclr", "moco", "moco-v3", "supervised", "pairs", "mvgrl"];
        for (wrong, right) in [
            ("SimCLR", Some("simclr")),
            ("simlcr", Some("simclr")),
            ("mocov3", Some("moco-v3")),
            ("super", Some("supervised")),
            ("pair", Some("pairs")),
            ("byol", None),
            ("dino", None),
            ("swav", None),
            ("vicreg", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, methods.into_iter()), right, "{wrong}");
        }
        let keys = ["epochs", "learning_rate", "from"];
        for (wrong, right) in [("epocs", "epochs"), ("learningrate", "learning_rate"), ("form", "from")] {
            assert_eq!(did_you_mean(wrong, keys.into_iter()), format!("; did you mean `{right}`?"));
        }
        assert_eq!(did_you_mean("lr", keys.into_iter()), "");
    }
}

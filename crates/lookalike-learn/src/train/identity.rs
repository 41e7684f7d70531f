//! What a run is, as text: its recipe without where and how fast it runs, and its data. A run goes on by no other.

use toml::{Table, Value};

use super::checkpoint::State;

/// Keys of a recipe that do not decide the numbers of a run, and sections whose keys all do not.
pub const ELSEWHERE: [&str; 11] = [
    "train.device",
    "train.max_steps",
    "train.loader_threads",
    "train.ahead",
    "train.checkpoint_every",
    "train.keep",
    "train.log_every",
    "data.root",
    // Whom it leaves out tells the fingerprint of the data.
    "data.skip_corrupt",
    "encoder.weights",
    "evaluate",
];

/// Keys that a run may have otherwise once all steps of its schedule are made: then it is trained longer.
const LONGER: [&str; 6] = [
    "train.epochs",
    "train.warmup_epochs",
    "train.schedule",
    "train.drop_at",
    "train.drop_factor",
    "optimizer.learning_rate",
];

/// The path of the text that tells the data from others.
const DATA: &str = "data-set.fingerprint";

/// How a recipe stands to a run that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is the run's.
    Same,
    /// It is the run's but for its length, and the run has made all its steps.
    Longer,
}

/// A key with its value in a recipe and in the run's; nothing where it is not given.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The key.
    pub path: String,
    /// Its value in the recipe.
    pub own: Option<Value>,
    /// Its value in that of the run.
    pub run: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path == DATA {
            return formatter.write_str("the data are not those of the run");
        }
        let shown =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "not given".to_owned(), Value::to_string);
        let has = if self.run.is_some() { "the run has" } else { "in the run" };
        write!(formatter, "{}: {}, {has} {}", self.path, shown(&self.own), shown(&self.run))
    }
}

/// In what `own` differs from `run`, by key; `None` where one of them is no recipe.
pub fn differences(own: &str, run: &str) -> Option<Vec<Difference>> {
    let [own, run] = [own, run].map(|text| text.parse::<Table>().ok().map(Value::Table));
    let mut found = Vec::new();
    compare("", Some(&own?), Some(&run?), &mut found);
    Some(found)
}

fn compare(path: &str, own: Option<&Value>, run: Option<&Value>, found: &mut Vec<Difference>) {
    if own == run || ELSEWHERE.contains(&path) {
        return;
    }
    let tables = [own, run].map(|value| value.map_or(Some(None), |value| value.as_table().map(Some)));
    let [Some(own_table), Some(run_table)] = tables else {
        found.push(Difference { path: path.to_owned(), own: own.cloned(), run: run.cloned() });
        return;
    };
    let mut names: Vec<&String> =
        [own_table, run_table].into_iter().flatten().flat_map(Table::keys).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let [own, run] = [own_table, run_table].map(|table| table.and_then(|table| table.get(name)));
        compare(&path, own, run, found);
    }
}

/// How the recipe of this identity stands to the run of `state`.
///
/// # Errors
/// Why the run cannot go on by it, with every key that differs.
pub(super) fn relation(own: &str, state: &State) -> Result<Relation, String> {
    if own == state.identity {
        return Ok(Relation::Same);
    }
    let Some(found) = differences(own, &state.identity) else {
        return Err("its checkpoints are of another run; give another folder with --out".to_owned());
    };
    if found.is_empty() {
        return Ok(Relation::Same);
    }
    let longer = found.iter().all(|difference| LONGER.contains(&difference.path.as_str()))
        && found.iter().any(|difference| difference.path == LONGER[0]);
    if longer && state.step >= state.total_steps {
        return Ok(Relation::Longer);
    }
    let listed: Vec<String> = found.iter().map(ToString::to_string).collect();
    let way_out = if longer {
        format!(
            "a run is trained longer once it has made all its {} steps, and this one stands at step {}; let it finish first (a \
             train.max_steps that ended it is lifted by --set train.max_steps=)",
            state.total_steps, state.step
        )
    } else {
        "go on with the run's own values, or begin another run with another folder".to_owned()
    };
    Err(format!("{}; {way_out}", listed.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str =
        "seed = 0\n[train]\nepochs = 2\n[optimizer]\nlearning_rate = 0.1\n[data-set]\nfingerprint = \"a\"\n";

    fn told(own: &str) -> Vec<String> {
        differences(own, RUN).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_that_differs_is_told_with_both_values() {
        assert_eq!(told(RUN), Vec::<String>::new());
        let other =
            RUN.replace("epochs = 2", "epochs = 4\nfreeze = [\"conv1\"]").replace("seed = 0", "seed = 1");
        assert_eq!(
            told(&other),
            [
                "seed: 1, the run has 0",
                "train.epochs: 4, the run has 2",
                "train.freeze: [\"conv1\"], in the run not given"
            ]
        );
        assert_eq!(told(&RUN.replace("\"a\"", "\"b\"")), ["the data are not those of the run"]);
        let without = RUN.replace("[optimizer]\nlearning_rate = 0.1\n", "");
        assert_eq!(told(&without), ["optimizer.learning_rate: not given, the run has 0.1"]);
    }

    #[test]
    fn where_and_how_fast_it_runs_makes_no_difference() {
        let other =
            RUN.replace("epochs = 2", "epochs = 2\nahead = 9\ndevice = \"wgpu\"") + "[evaluate]\nknn_k = 3\n";
        assert_eq!(told(&other), Vec::<String>::new());
        assert_eq!(differences("no recipe", RUN), None);
    }
}

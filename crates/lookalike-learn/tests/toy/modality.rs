//! A toy modality: points in clusters, of which columns that say nothing differ between views.

use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::{Matrix, Seed};
use lookalike_data::{BatchRequest, BatchSource, DataError, Split};
use lookalike_learn::LearnError;
use lookalike_learn::input::{Batch, Source};
use lookalike_learn::modality::{
    ArmKind, Baseline, BaselineRows, Beside, Labels, Measure, Modality, ModalityEntry, Opened, Opening, Part,
    Scope, Section, no_column,
};
use lookalike_learn::options::{NOT_NEGATIVE, Options, Range, SOME, Value, require};

use crate::common::{self, Points, points, vectors};

lookalike_learn::options! {
    /// What a recipe says of points, in `[data]`.
    pub struct PointsOptions {
        /// How many to learn from; half as many to test.
        points: usize = Value::Integer(240), SOME;
    }
}

lookalike_learn::options! {
    /// The section `[vectors]`.
    pub struct VectorsOptions {
        /// Clusters.
        clusters: usize = Value::Integer(6), SOME;
        /// `noise`: each view with noise of its own; `same`: the point itself, twice.
        views: String = Value::Text("noise"), Range::OneOf(&["noise", "same"]);
    }
}

lookalike_learn::options! {
    /// What of it only methods of two views read.
    pub struct NoiseOptions {
        /// How strong the noise of a view is.
        noise: f32 = Value::Number(3.0), NOT_NEGATIVE;
    }
}

const ALL: &[ArmKind] = &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained];

pub const VECTORS: ModalityEntry = ModalityEntry {
    kind: "vectors",
    about: "`clusters`: points that are drawn",
    data: PointsOptions::KEYS,
    sections: &[
        Section { name: "vectors", keys: VectorsOptions::KEYS, columns: &[] },
        Section { name: "vectors", keys: NoiseOptions::KEYS, columns: &["view 1", "view 2"] },
    ],
    // Methods that know nothing of it.
    methods: &["simclr", "moco"],
    scores: &[Measure { score: "knn", arms: ALL }, Measure { score: "linear", arms: ALL }],
    after_training: Scope { beside: Beside::Untrained, without: &["linear"], ..Scope::FULL },
    embedded_at_once: false,
    divisible: true,
    finds_paths: false,
    check: |settings| {
        let (points, clusters) = (settings.integer("data.points"), settings.integer("vectors.clusters"));
        require(clusters <= points, "vectors.clusters", "must be at most data.points")
    },
    open,
};

/// Points to learn from and points to test.
struct Clusters {
    parts: [Points; 2],
    noise: f32,
    views: String,
}

fn open(opening: &Opening<'_>) -> Result<Opened, LearnError> {
    let PointsOptions { points: count } = opening.settings.read("data")?;
    let VectorsOptions { clusters, views } = opening.settings.read("vectors")?;
    let NoiseOptions { noise } = opening.settings.read("vectors")?;
    let parts = [points(count, clusters, 1), points(count / 2, clusters, 2)];
    Ok((Box::new(Clusters { parts, noise, views }), vec!["these points are toys".to_owned()]))
}

impl Clusters {
    fn points(&self, split: Split) -> &Points {
        match split {
            Split::Train => &self.parts[0],
            Split::Test => &self.parts[1],
        }
    }
}

impl Modality for Clusters {
    fn name(&self) -> String {
        "clusters".to_owned()
    }

    fn instances(&self) -> usize {
        self.parts[0].labels.len()
    }

    fn inputs(&self) -> usize {
        self.parts[0].values.columns()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(format!("{} points in {} clusters", self.instances(), self.parts[0].classes))
    }

    fn parts(&self) -> &'static [Split] {
        &[Split::Train, Split::Test]
    }

    fn labels(&self, split: Split) -> Labels {
        let points = self.points(split);
        Labels { labels: points.labels.clone(), classes: points.classes }
    }

    fn batches(&self, columns: &[&str], split: Split, seed: Seed) -> Result<Source, LearnError> {
        if columns != ["view 1", "view 2"] {
            return Err(no_column(VECTORS.kind, columns));
        }
        let noise = if self.views == "same" { 0.0 } else { self.noise };
        Ok(Arc::new(Views { values: self.points(split).values.clone(), noise, seed, count: 2 }))
    }

    fn part(&self, split: Split, columns: &[&str]) -> Result<Part, LearnError> {
        if columns != ["plain"] {
            return Err(no_column(VECTORS.kind, columns));
        }
        let values = self.points(split).values.clone();
        let instances = values.len();
        let source = Arc::new(Views { values, noise: 0.0, seed: Seed(0), count: 1 });
        Ok(Part { source, instances, name: format!("clusters/{split:?}") })
    }

    fn baselines(&self, _: &Cancellation) -> Result<Vec<Baseline>, LearnError> {
        let rows = self.parts.iter().map(|points| points.values.clone()).collect();
        Ok(vec![Baseline {
            name: "rows",
            title: "the rows themselves".into(),
            rows: Ok(BaselineRows::Held(rows)),
        }])
    }
}

/// Points, with noise in the columns that say nothing.
struct Views {
    values: Matrix,
    noise: f32,
    seed: Seed,
    count: u64,
}

impl BatchSource for Views {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let view = |view: u64| {
            let mut values = Vec::new();
            for instance in &request.instances {
                let address = 2 * u64::from(*instance) + view;
                let mut stream = self.seed.stream("noise", request.epoch, request.step, address);
                let (telling, others) = self.values.row(*instance as usize).split_at(common::TELLING);
                values.extend_from_slice(telling);
                values.extend(others.iter().map(|value| value + self.noise * stream.normal()));
            }
            vectors(values, self.values.columns())
        };
        Ok(Batch::of_views(request.instances.clone(), (0..self.count).map(view).collect()))
    }
}

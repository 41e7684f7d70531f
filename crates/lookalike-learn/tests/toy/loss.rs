//! A toy loss: a margin between the positive and each negative.

use std::sync::Arc;

use lookalike_learn::engine::{Tensor, from_host};
use lookalike_learn::loss::{LossEntry, QueryLoss, Similarities};
use lookalike_learn::options::{Options, POSITIVE, Value};

lookalike_learn::options! {
    /// The triplet loss.
    pub struct Triplet {
        /// By how much the positive is to be more similar than a negative.
        margin: f32 = Value::Number(0.5), POSITIVE;
    }
}

pub const TRIPLET: LossEntry = LossEntry {
    kind: "triplet",
    about: "a margin over each negative",
    keys: Triplet::KEYS,
    // A method that does not know it takes it too.
    methods: &["simclr"],
    build: Some(|settings| Ok(Arc::new(settings.read::<Triplet>("loss")?))),
    ..LossEntry::OTHER
};

impl QueryLoss for Triplet {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        let Similarities { positive, negatives, mask } = similarities;
        let [queries, candidates] = negatives.dims();
        let mut shares = vec![1.0; queries * candidates];
        for query in 0..queries {
            let own = &mut shares[query * candidates..][..candidates];
            for candidate in mask.iter().flat_map(|mask| mask.of(query)) {
                own[*candidate as usize] = 0.0;
            }
            let count: f32 = own.iter().sum();
            for share in own {
                *share /= count.max(1.0);
            }
        }
        let shares = from_host(shares, [queries, candidates], &negatives.device().inner());
        let missing = negatives.clone() - positive.clone();
        (missing.add_scalar(self.margin).clamp_min(0.0) * shares).sum_dim(1)
    }
}

//! A killed run goes on to the same bits, whatever its method keeps.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_learn::head::Leading;
use lookalike_learn::method::instance_discrimination::BankObjective;
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::momentum_encoder::{Momentum, MomentumShape};
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{DirectClr, EndToEnd, InstanceDiscrimination, Method, Moco, MocoV3, Network};
use lookalike_learn::negatives::{Contrast, MixingOptions};
use lookalike_learn::train::Outcome;
use lookalike_sampling::{Coverage, SamplerKind};

use super::{bank, contrast, dictionary, encoder, head, moco_options, network, noise, supervised};
use crate::common::{NoisyViews, Watched, checkpoints, copy, newest_bytes, options, points, sampler, train};

/// A run killed within an epoch goes on to the same bits: weights, optimiser, sampler, and all that the method keeps.
fn survives_being_killed<M: Method + 'static>(name: &str, make: impl Fn() -> M) {
    let folder = tempfile::tempdir().unwrap();
    let [run, killed] = ["run", "killed"].map(|kind| folder.path().join(kind));
    let source = Arc::new(NoisyViews(points(50, 5, 2).values));
    let set = |run: &Path| options(run, 50, sampler(SamplerKind::Walk, Coverage::Cover, 8), 21);
    let (from, to) = (run.clone(), killed.clone());
    let watched = Watched::new(make(), move |batch| {
        if batch == 13 {
            copy(&from, &to);
        }
    });
    train(watched, source.clone(), set(&run), &Cancellation::new()).unwrap();
    assert_eq!(checkpoints(&killed).len(), 2);
    let (_, outcome, warnings) = train(make(), source, set(&killed), &Cancellation::new()).unwrap();
    assert_eq!((outcome, warnings), (Outcome::Finished, Vec::new()), "{name}");
    assert!(newest_bytes(&killed) == newest_bytes(&run), "{name}: other bits");
}

#[test]
fn queue_and_pointer_bank_and_momentum_encoder_survive_a_resume_bit_for_bit() {
    let mixing = MixingOptions { hardest: 5, between: 7, with_query: 3, warm_up: 0.2 };
    let mixed = || Contrast { mixing: Some(mixing), ..contrast() };
    survives_being_killed("moco", || {
        let settings = MocoOptions { shuffle: true, ..moco_options() };
        Moco::new(network(), Some(dictionary(true)), mixed(), settings)
    });
    survives_being_killed("moco without a queue", || Moco::new(network(), None, mixed(), moco_options()));
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Cosine };
    survives_being_killed("moco v3", || MocoV3::new(network(), head(8, 12), momentum, contrast()));
    survives_being_killed("end to end", || EndToEnd::new(network(), network(), mixed()));
    survives_being_killed("softmax over a bank", || {
        InstanceDiscrimination::new(network(), bank(50), BankObjective::Softmax(mixed()))
    });
    survives_being_killed("noise contrast", || InstanceDiscrimination::new(network(), bank(50), noise(16)));
    survives_being_killed("direct clr", || {
        let network = Network::new(Box::new(encoder()), Leading(6));
        DirectClr::new(network, contrast(), InBatchNegatives::OtherViews)
    });
    survives_being_killed("supervised", || supervised::supervised(50));
}

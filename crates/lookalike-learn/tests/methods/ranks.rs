//! Ranks that share the shards of a run come to the same bits, however many they are, whatever the method keeps.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, Watch};
use lookalike_base::ranks::{Ranks, Threads};
use lookalike_learn::LearnError;
use lookalike_learn::head::Leading;
use lookalike_learn::method::instance_discrimination::BankObjective;
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::momentum_encoder::{Momentum, MomentumShape};
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{DirectClr, EndToEnd, InstanceDiscrimination, Method, Moco, MocoV3, Network};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::MixingOptions;
use lookalike_learn::train::{OptimizerKind, Outcome, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, HardnessShare, LastBatch, SamplerKind};

use super::{bank, contrast, dictionary, encoder, head, moco_options, network, noise, supervised};
use crate::common::{
    NoisyViews, Watched, checkpoints, copy, newest_bytes, options, perceptron, points, sampler, series,
    without_batch_norm,
};

const INSTANCES: usize = 70;
const SHARDS: usize = 4;

fn set(run: &Path, shards: usize) -> TrainOptions {
    let plan = sampler(SamplerKind::Walk, Coverage::Cover, 16);
    TrainOptions { shards, ..options(run, INSTANCES, plan, 14) }
}

/// Makes a method; each rank makes its own.
type Make<'a> = &'a (dyn Fn() -> Box<dyn Method> + Sync);

/// What a run of so many ranks came to on each of them; `change` is made to the options of each.
fn run_of(
    ranks: usize,
    make: Make<'_>,
    run: &Path,
    change: &(dyn Fn(&mut TrainOptions) + Sync),
) -> Vec<Result<Outcome, String>> {
    let source = Arc::new(NoisyViews(points(INSTANCES, 5, 2).values));
    let of_rank = |own: Threads| {
        let mut options = TrainOptions { ranks: Arc::new(own), ..set(run, SHARDS) };
        change(&mut options);
        let (mut trainer, _) = Trainer::open(make(), source.clone(), options)?;
        trainer.run(Watch::silent(&Cancellation::new()))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            Threads::new(ranks).into_iter().map(|own| scope.spawn(|| of_rank(own))).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended.map(|ended| ended.map_err(|error: LearnError| error.to_string())).collect()
    })
}

fn finish(ranks: usize, make: Make<'_>, run: &Path) {
    for ended in run_of(ranks, make, run, &|_| {}) {
        assert_eq!(ended, Ok(Outcome::Finished));
    }
}

/// Any number of ranks comes to the same bits, and so does a run that was killed under one number and goes on under another.
fn comes_to_the_same(name: &str, make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (run, killed) = (place("1"), place("killed"));
    let watched = || -> Box<dyn Method> {
        let (from, to) = (run.clone(), killed.clone());
        let watched = Watched::boxed(make(), move |batch| {
            if batch == 8 {
                copy(&from, &to);
            }
        });
        Box::new(watched)
    };
    let source = Arc::new(NoisyViews(points(INSTANCES, 5, 2).values));
    let (mut trainer, _) = Trainer::open(watched(), source, set(&run, SHARDS)).unwrap();
    assert_eq!(trainer.run(Watch::silent(&Cancellation::new())).unwrap(), Outcome::Finished);
    let expected = newest_bytes(&run);
    assert_eq!(checkpoints(&killed).len(), 2, "{name}");
    for ranks in [2, 4] {
        let shared = place(&ranks.to_string());
        finish(ranks, make, &shared);
        assert!(newest_bytes(&shared) == expected, "{name}, {ranks} ranks: other bits");
        assert_eq!(series(&shared, "step", "loss"), series(&run, "step", "loss"), "{name}");
        let resumed = place(&format!("killed-{ranks}"));
        copy(&killed, &resumed);
        finish(ranks, make, &resumed);
        assert!(newest_bytes(&resumed) == expected, "{name}, killed and gone on with {ranks}: other bits");
    }
}

#[test]
fn any_number_of_ranks_comes_to_the_same_bits_and_so_does_a_killed_run() {
    let mixing = MixingOptions { hardest: 5, between: 7, with_query: 3, warm_up: 0.2 };
    let mixed = || lookalike_learn::negatives::Contrast { mixing: Some(mixing), ..contrast() };
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Cosine };
    comes_to_the_same("simclr", &|| Box::new(perceptron(0.1)));
    comes_to_the_same("moco", &|| {
        let settings = MocoOptions { shuffle: true, batch_norm_groups: 2, ..moco_options() };
        Box::new(Moco::new(network(), Some(dictionary(true)), mixed(), settings))
    });
    comes_to_the_same("moco v3", &|| Box::new(MocoV3::new(network(), head(8, 12), momentum, contrast())));
    comes_to_the_same("end to end", &|| Box::new(EndToEnd::new(network(), network(), mixed())));
    comes_to_the_same("softmax over a bank", &|| {
        Box::new(InstanceDiscrimination::new(network(), bank(INSTANCES), BankObjective::Softmax(mixed())))
    });
    comes_to_the_same("noise contrast", &|| {
        Box::new(InstanceDiscrimination::new(network(), bank(INSTANCES), noise(16)))
    });
    comes_to_the_same("direct clr", &|| {
        let network = Network::new(Box::new(encoder()), Leading(6));
        Box::new(DirectClr::new(network, contrast(), InBatchNegatives::OtherViews))
    });
    comes_to_the_same("supervised", &|| Box::new(supervised::supervised(INSTANCES as u32)));
}

/// The weights after a run of one rank with so many shards.
fn weights(shards: usize, steps: u64) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = set(folder.path(), shards);
    options.max_steps = Some(steps);
    // Adam would hide a factor.
    options.optimizer.kind = OptimizerKind::Sgd;
    options.optimizer.momentum = 0.0;
    let source = Arc::new(NoisyViews(points(INSTANCES, 5, 2).values));
    let method = Box::new(without_batch_norm(&[crate::common::COLUMNS, 32, 16], 0.2));
    let (mut trainer, _) = Trainer::open(method, source, options).unwrap();
    trainer.run(Watch::silent(&Cancellation::new())).unwrap();
    arrays_of(&mut trainer).values().flat_map(|array| array.as_f32().unwrap().to_vec()).collect()
}

#[test]
fn shards_are_one_batch_no_factor_is_lost_and_none_is_won() {
    // Uniform steps, so that a last bit cannot change who shares a batch.
    let (whole, parted) = (weights(1, 4), weights(SHARDS, 4));
    let most = whole.iter().zip(&parted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most > 0.0 && most < 1e-6, "{most}");
}

#[test]
fn what_does_not_divide_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let make: Make<'_> = &|| Box::new(perceptron(0.0));
    let refused = |ranks: usize, change: &(dyn Fn(&mut TrainOptions) + Sync)| {
        let run = folder.path().join("run");
        let ended = run_of(ranks, make, &run, change);
        assert!(!run.join("events.jsonl").exists());
        ended.into_iter().map(|ended| ended.unwrap_err()).collect::<Vec<String>>()
    };
    let told = refused(2, &|options| options.shards = 1);
    assert!(told.iter().all(|told| told.contains("2 processes share the run")), "{told:?}");
    let told = refused(3, &|_| {});
    assert!(told.iter().all(|told| told.contains("a power of two of them, at most 4")), "{told:?}");
    let told = refused(1, &|options| options.shards = 6);
    assert!(told[0].contains("must be a power of two"), "{told:?}");
    let told = refused(1, &|options| options.shards = 32);
    assert!(told[0].contains("does not divide sampler.batch_size, 16"), "{told:?}");
    let differs = |change: fn(&mut TrainOptions)| {
        move |options: &mut TrainOptions| {
            if options.ranks.rank() == 1 {
                change(options);
            }
        }
    };
    let told = refused(2, &differs(|options| options.max_steps = Some(9)));
    assert!(told.iter().all(|told| told.contains("rank 1 stops, saves or looks at other steps")), "{told:?}");
    let told = refused(2, &differs(|options| options.left_out = vec![(3, "three".to_owned())]));
    assert!(told.iter().all(|told| told.contains("rank 1 cannot read the same instances")), "{told:?}");
    let told = refused(2, &|options| {
        options.sampler.hardness_share = Some(HardnessShare::constant(0.5));
        options.sampler.epoch_seconds = Some(9.0);
    });
    assert!(told.iter().all(|told| told.contains("sampler.epoch_seconds")), "{told:?}");
    let told = refused(1, &|options| options.sampler.last_batch = LastBatch::Keep);
    assert!(told[0].contains("no equal shards"), "{told:?}");
}

#[test]
fn a_rank_that_ends_ends_the_others_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(NoisyViews(points(INSTANCES, 5, 2).values));
    let of_rank = |own: Threads| {
        let rank = own.rank();
        let mut options = set(folder.path(), SHARDS);
        options.ranks = Arc::new(own);
        let (mut trainer, _) = Trainer::open(Box::new(perceptron(0.0)), source.clone(), options).unwrap();
        if rank == 1 {
            return None;
        }
        Some(trainer.run(Watch::silent(&Cancellation::new())).unwrap_err().to_string())
    };
    let ended: Vec<Option<String>> = std::thread::scope(|scope| {
        let running: Vec<_> = Threads::new(2).into_iter().map(|own| scope.spawn(|| of_rank(own))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let told = ended[0].as_deref().unwrap();
    assert!(told.contains("rank 1 ended while rank 0 waited for it"), "{told}");
}

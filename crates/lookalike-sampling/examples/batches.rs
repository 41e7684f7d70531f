//! Batches of look-alikes from embeddings: `cargo run -p lookalike-sampling --example batches`.

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use lookalike_base::{Matrix, Seed};
use lookalike_sampling::{Coverage, Sampler, SamplerOptions, decile_hardness};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 2,000 instances in 20 groups: instance i lies around direction i mod 20.
    let mut noise = Seed(0).stream("example", 0, 0, 0);
    let value = |at: usize| noise.normal() * 0.1 + f32::from(at % 32 == at / 32 % 20);
    let embeddings = Matrix::new((0..2000 * 32).map(value).collect(), 32)?;

    let options = SamplerOptions {
        batch_size: 50,
        candidates: Some(400),
        neighbors: Some(10),
        coverage: Coverage::Cover,
        uniform_epochs: 0,
        ..SamplerOptions::default()
    };
    let (mut sampler, _) = Sampler::new(embeddings.len(), options, Seed(0))?;
    // A trainer would give the embeddings of each batch after its step.
    let everybody: Vec<u32> = (0..2000).collect();
    sampler.record(&everybody, embeddings.rows(), sampler.steps())?;

    let segment = sampler.next_segment()?;
    let groups: Vec<u32> = segment.batches[0].iter().map(|instance| instance % 20).collect();
    println!("groups in the first of {} batches: {groups:?}", segment.batches.len());
    println!(
        "hardness by tenth: {:.3?}",
        decile_hardness(&segment.batches, embeddings.rows())?.map(Option::unwrap_or_default)
    );
    Ok(())
}

//! What a queue of 65,536 keys and a bank of 1.28 million entries hold, of 128 dimensions each (MoCo's queue, and an entry for every
//! image of ImageNet): the numbers and nothing beside them, and no copy is made in a step.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]
#![expect(
    unsafe_code,
    reason = "an allocator that counts can only be written so; it passes everything on to the system's"
)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::{SEED, cpu, numbers, training};
use counting::counted;
use lookalike_learn::engine::from_host;
use lookalike_learn::loss::{InfoNce, normalize};
use lookalike_learn::module::Parameter;
use lookalike_learn::negatives::{Comparison, Contrast, MIXING, MemoryBank, Queue, Unobserved};
use lookalike_learn::step::Step;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const DIMENSION: usize = 128;
const KEYS: usize = 65_536;
const ENTRIES: usize = 1_280_000;
const MEGABYTE: usize = 1 << 20;

#[test]
fn queue_and_bank_stay_at_their_arithmetic_size_and_no_step_copies_them() {
    let device = cpu();
    let (mut queue, held, most) =
        counted(|| Queue::new(KEYS, DIMENSION, &mut SEED.stream("queue", 0, 0, 0), &device));
    // Four bytes a number, and four a key for whose it is.
    let size = KEYS * (DIMENSION + 1) * 4;
    assert!(held.abs_diff(size) < MEGABYTE && most < size + MEGABYTE, "{held} and {most}, not {size}");
    let (mut bank, held, most) =
        counted(|| MemoryBank::new([ENTRIES, DIMENSION], 0.5, &mut SEED.stream("bank", 0, 0, 0), &device));
    let size = ENTRIES * DIMENSION * 4;
    assert!(held.abs_diff(size) < MEGABYTE && most < size + MEGABYTE, "{held} and {most}, not {size}");

    let (queries, drawn) = (8, 512);
    for step in 0..3_u32 {
        let query =
            Parameter::new(from_host(numbers(queries * DIMENSION, step), [queries, DIMENSION], &device));
        let instances: Vec<u32> = (0..queries as u32).map(|query| 1_000 * step + query).collect();
        // Against the queue: a table of queries by keys a few times over, and less than the keys once more.
        let comparison = || {
            let unit = normalize(query.read(&training()));
            let candidates = (queue.keys(), queue.instance_ids());
            Comparison::with_dictionary(unit.clone(), unit.inner(), (&instances, 0), candidates, true)
        };
        let ((), _, most) = counted(|| {
            let contrast = Contrast::plain(InfoNce { temperature: 0.2 });
            let step = Step::default();
            drop(contrast.compare(&comparison(), &step, MIXING[0], &mut Unobserved).backward());
        });
        assert!(most < KEYS * DIMENSION * 4, "step {step}: {most} beside the queue");
        // Against entries drawn from the bank: indices and similarities, never the entries.
        let rows: Vec<u32> = (0..queries * drawn).map(|draw| (draw * 2_503 % ENTRIES) as u32).collect();
        let ((), _, most) = counted(|| {
            let products = bank.products(normalize(query.read(&training())), rows);
            drop(products.mean().backward());
        });
        assert!(most < queries * drawn * DIMENSION * 4 / 2, "step {step}: {most} beside the bank");
        // What a step replaces.
        let keys = normalize(query.read(&training())).inner();
        let ((), held, most) = counted(|| {
            queue.enqueue(keys.clone(), &instances);
            bank.update(&instances, keys);
        });
        assert!(
            held < MEGABYTE && most < MEGABYTE,
            "step {step}: {held} and {most} to replace {queries} rows"
        );
    }
}

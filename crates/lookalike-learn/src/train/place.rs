//! Where a run stands when it is opened: at its beginning, or at a checkpoint.

use lookalike_base::arrays::{Array, Arrays};
use lookalike_sampling::Sampler;

use super::checkpoint::{FORMAT, State, machine};
use super::collapse::CollapseDetector;
use super::development::Judged;
use super::identity::{Relation, relation};
use super::optimizer::Optimizer;
use super::oracle::Oracle;
use super::schedule::Schedule;
use super::trainer::TrainOptions;
use crate::error::LearnError;
use crate::method::Method;
use crate::module::load_arrays;
use crate::options::{refuse, require};

/// All of a run that goes on, beside its method.
pub(super) struct Place {
    pub(super) sampler: Sampler,
    pub(super) optimizer: Optimizer,
    pub(super) step: u64,
    pub(super) batches: u64,
    pub(super) plan: Vec<Vec<u32>>,
    pub(super) watch: CollapseDetector,
    pub(super) judged: Judged,
    pub(super) best: Arrays,
    pub(super) oracle: Option<Oracle>,
    pub(super) warnings: Vec<String>,
}

impl Place {
    /// The beginning.
    ///
    /// # Errors
    /// What the sampler refuses.
    pub(super) fn start(options: &TrainOptions) -> Result<Self, LearnError> {
        let TrainOptions { instances, seed, .. } = options;
        let (sampler, advice) =
            Sampler::with_data(*instances, options.sampler.clone(), *seed, options.run_data.clone())?;
        Ok(Self {
            sampler,
            optimizer: Optimizer::new(options.optimizer.clone()),
            step: 0,
            batches: 0,
            plan: Vec::new(),
            watch: CollapseDetector::default(),
            judged: Judged::default(),
            best: Arrays::new(),
            oracle: options.oracle.clone().map(|setup| Oracle::new(setup, *instances)),
            warnings: advice.iter().map(ToString::to_string).collect(),
        })
    }

    /// A checkpoint with what was wrong with newer ones; `method` gets its tensors, and the schedule is laid out from where it was. The second
    /// value says whether the run is finished and trained longer from here on.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where it is damaged or of another version, [`LearnError::Recipe`] where it is of another run,
    /// or has made more steps than are asked for.
    pub(super) fn restore(
        method: &mut Box<dyn Method>,
        options: &mut TrainOptions,
        (state, arrays, problems): (State, Arrays, Vec<String>),
    ) -> Result<(Self, bool), LearnError> {
        let damaged =
            |reason: &str| LearnError::Checkpoint { path: options.run.clone(), reason: reason.to_owned() };
        if state.format != FORMAT {
            return Err(damaged(
                "its checkpoints are of another version of this program, whose steps draw other random numbers; go on with that version, or \
                 begin anew with --out",
            ));
        }
        let other = |reason: String| refuse(&options.run.display().to_string(), reason);
        let longer = relation(&options.identity, &state).map_err(other)? == Relation::Longer;
        let plan = read_plan(&arrays).ok_or_else(|| damaged("the epoch's batches are missing or damaged"))?;
        load_arrays(method, &arrays, "model.", &options.device)?;
        let optimizer =
            Optimizer::restore(options.optimizer.clone(), &arrays, "optimizer.", &options.device)?;
        method.restore(&strip(&arrays, "method."), &options.device)?;
        let begun = Self::start(options)?;
        let oracle = begun.oracle.map(|oracle| {
            let restored = oracle.restored(&strip(&arrays, "oracle."));
            restored.ok_or_else(|| damaged("what the oracle knew is damaged"))
        });
        let oracle = oracle.transpose()?;
        options.run_data.oracle = oracle.as_ref().and_then(Oracle::of_walks);
        let (sampler, _) = Sampler::restore_with_data(
            options.instances,
            options.sampler.clone(),
            options.seed,
            options.run_data.clone(),
            &state.sampler,
            &strip(&arrays, "sampler."),
        )?;
        options.schedule =
            laid_anew(options.schedule.clone(), if longer { state.step } else { state.begins })?;
        if let Some(most) = options.max_steps {
            let reason = format!(
                "ends the run after {most} steps, and it has made {} already; give at least as many, or none by --set train.max_steps=",
                state.step
            );
            require(most >= state.step, "train.max_steps", reason)?;
        }
        let mut warnings = [begun.warnings, problems].concat();
        let here = machine(options.precision, options.sampler.scoring);
        if !state.machine.is_empty() && state.machine != here {
            warnings.push(format!(
                "the run was trained on {} and goes on on {here}: from here on its bits differ from those of a run that stayed there",
                state.machine
            ));
        }
        let State { step, batches, collapse: watch, judged, .. } = state;
        let best = strip(&arrays, "best.");
        Ok((Self { sampler, optimizer, step, batches, plan, watch, judged, best, oracle, warnings }, longer))
    }
}

/// The schedule over the steps that come after `begins`, those of a run that is trained longer.
///
/// # Errors
/// [`LearnError::Recipe`] where there are none, or not enough for its warm-up.
fn laid_anew(schedule: Schedule, begins: u64) -> Result<Schedule, LearnError> {
    let Schedule { total, warmup, .. } = schedule;
    if begins > 0 {
        let reason = format!("comes to {total} steps, and the run has made {begins} already");
        require(total > begins, "train.epochs", reason)?;
        let reason = format!(
            "comes to {warmup} steps, and {} are added; give a shorter warm-up for them, as --set train.warmup_epochs=0.0",
            total - begins
        );
        require(warmup <= total - begins, "train.warmup_epochs", reason)?;
        let reason = "counts from the epochs that are added, as the whole schedule does, and names one that comes after them";
        let inside = schedule.drops.at.iter().all(|drop| *drop < total - begins);
        require(inside, "train.drop_at", reason)?;
    }
    Ok(schedule.from_step(begins))
}

/// The arrays whose names begin with `prefix`, without it.
fn strip(arrays: &Arrays, prefix: &str) -> Arrays {
    let named = |(name, array): (&String, _)| {
        name.strip_prefix(prefix).map(|name| (name.to_owned(), Clone::clone(array)))
    };
    arrays.iter().filter_map(named).collect()
}

/// Batches as arrays: all members one after another, and the length of each batch.
pub(super) fn plan_arrays(plan: &[Vec<u32>]) -> Arrays {
    let members = plan.concat();
    let lengths: Vec<u32> = plan.iter().map(|batch| batch.len() as u32).collect();
    [("plan.members", members), ("plan.lengths", lengths)]
        .map(|(name, values)| (name.to_owned(), Array::u32([values.len()], values)))
        .into()
}

/// The batches that [`plan_arrays`] wrote.
pub(crate) fn read_plan(arrays: &Arrays) -> Option<Vec<Vec<u32>>> {
    let [mut members, lengths] = ["plan.members", "plan.lengths"]
        .map(|name| arrays.get(name).and_then(Array::as_u32).unwrap_or_default());
    let mut plan = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (batch, rest) = members.split_at_checked(*length as usize)?;
        plan.push(batch.to_vec());
        members = rest;
    }
    members.is_empty().then_some(plan)
}

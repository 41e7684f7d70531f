//! The processes of a run that an MPI launcher started.

#[cfg(feature = "mpi")]
mod watchdog;
#[cfg(feature = "mpi")]
mod world;

use std::cell::Cell;
#[cfg(feature = "mpi")]
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lookalike_base::hash::Hasher;
use lookalike_base::ranks::agree;
use lookalike_base::{Alone, Ranks};
use lookalike_learn::experiment::Experiment;
use lookalike_learn::train::checkpoint::machine;

use crate::failure::Failure;
use crate::output::complain;
#[cfg(feature = "mpi")]
use crate::output::{quiet, tell};
use crate::signals;

/// What launchers tell a process of how many there are: Open MPI, MPICH and those made of it, Slurm.
const SIZES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS"];

/// What is said of a rank whose bits may differ.
pub(crate) const PROCESSOR: &str = "has a processor that decides other bits, or another number of threads,";

/// This process among those of its run.
pub(crate) struct Job {
    pub(crate) ranks: Arc<dyn Ranks>,
    leads: bool,
    /// Whether all know that all end.
    agreed: Cell<bool>,
    #[cfg(feature = "mpi")]
    world: RefCell<Option<world::World>>,
}

/// How many processes a launcher says that it started; `None` without one.
fn launched() -> Option<usize> {
    SIZES.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

impl Job {
    /// Joins the others. Those but the first tell nothing from now on, unless they fail.
    ///
    /// # Errors
    /// [`Failure::usage`] where a launcher started several and this program cannot share a run.
    #[cfg(feature = "mpi")]
    fn join() -> Result<Self, Failure> {
        // What is started by PMIx knows its rank alone.
        if launched().is_none() && std::env::var_os("PMIX_RANK").is_none() {
            tell("started without mpiexec: this process runs alone");
            let (ranks, world) = (Arc::new(Alone), RefCell::new(None));
            return Ok(Self { ranks, leads: true, agreed: Cell::new(false), world });
        }
        let world = world::World::join()?;
        let ranks: Arc<dyn Ranks> = world.ranks();
        quiet(ranks.rank());
        // Launchers name processes by these numbers.
        let processes = ranks.all_gather(world.process().as_bytes())?;
        let told = |(rank, process): (usize, &Vec<u8>)| {
            format!("rank {rank} is process {}", String::from_utf8_lossy(process))
        };
        if ranks.size() > 1 {
            tell(processes.iter().enumerate().map(told).collect::<Vec<_>>().join(", "));
        }
        let leads = ranks.rank() == 0;
        Ok(Self { ranks, leads, agreed: Cell::new(false), world: RefCell::new(Some(world)) })
    }

    /// This process alone.
    ///
    /// # Errors
    /// None; with MPI there are.
    #[cfg(not(feature = "mpi"))]
    #[allow(clippy::unnecessary_wraps, reason = "with MPI it can fail")]
    fn join() -> Result<Self, Failure> {
        Ok(Self { ranks: Arc::new(Alone), leads: true, agreed: Cell::new(false) })
    }

    /// Refuses several processes that cannot know of each other, each of which would do all of the work.
    ///
    /// # Errors
    /// [`Failure::usage`] where a launcher started several, and this program was built without MPI.
    pub(crate) fn knows_all(&self) -> Result<(), Failure> {
        match launched() {
            Some(count) if count > 1 && self.ranks.size() == 1 => Err(Failure::usage(format!(
                "a launcher started {count} processes, and each would train the whole run, for this program was built without MPI. Build it with \
                 --features mpi, or start it without the launcher"
            ))),
            _ => Ok(()),
        }
    }

    /// Does the work of this process among those of its run, and ends them all where it fails.
    ///
    /// # Errors
    /// As `work`, and as [`Job::join`].
    pub(crate) fn shared(work: impl FnOnce(&Self) -> Result<(), Failure>) -> Result<(), Failure> {
        let job = Self::join()?;
        let result = work(&job);
        job.end(result)
    }

    /// Whether this process speaks for all, and writes what the run keeps.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Ends the common work: the first rank goes on alone, as long as it likes, and the others end. Whether this is the first one.
    ///
    /// # Errors
    /// Where another rank is gone.
    pub(crate) fn part(&self) -> Result<bool, Failure> {
        self.ranks.barrier()?;
        self.agreed.set(true);
        #[cfg(feature = "mpi")]
        if let Some(world) = self.world.take() {
            if self.ranks.size() > 1 {
                tell(world.traffic());
            }
            drop(world);
        }
        Ok(self.leads)
    }

    /// Refuses what several ranks cannot do together.
    ///
    /// # Errors
    /// [`Failure::usage`] where there are several.
    pub(crate) fn alone(&self, option: &str) -> Result<(), Failure> {
        match self.ranks.size() {
            1 => Ok(()),
            ranks => {
                Err(Failure::usage(format!("{option} goes with one process, and a launcher started {ranks}")))
            }
        }
    }

    /// What the first rank finds, for all.
    ///
    /// # Errors
    /// Where another rank is gone.
    pub(crate) fn says(&self, find: impl FnOnce() -> bool) -> Result<bool, Failure> {
        Ok(self.ranks.any(self.leads() && find())?)
    }

    /// Ends the work of this process: a failure ends the others too, and so does an interruption of which they do not know.
    fn end(self, result: Result<(), Failure>) -> Result<(), Failure> {
        match result {
            Err(failure) if !self.agreed.get() && self.ranks.size() > 1 => {
                // Where all fail for one reason, the first one tells it and ends the others before they do; of those that are interrupted one that a
                // scheduler has told.
                let interrupted = matches!(failure, Failure::Interrupted(_));
                let first = if interrupted { signals::is_scheduled() } else { self.leads };
                if !first {
                    std::thread::sleep(Duration::from_millis(1500));
                }
                if interrupted && !self.leads {
                    complain("interrupted");
                }
                let status = signals::status(failure.report());
                // Launchers hand on what was told, and drop what they have of it when a job ends.
                std::thread::sleep(Duration::from_millis(300));
                self.abort(status)
            }
            result => result,
        }
    }

    #[cfg(feature = "mpi")]
    fn abort(&self, status: u8) -> Result<(), Failure> {
        match &*self.world.borrow() {
            Some(world) => world.abort(status),
            None => std::process::exit(i32::from(status)),
        }
    }

    #[cfg(not(feature = "mpi"))]
    #[allow(clippy::unused_self, reason = "with MPI it is the world's")]
    fn abort(&self, status: u8) -> Result<(), Failure> {
        std::process::exit(i32::from(status))
    }

    /// The folder of the run, which the first rank has taken and all others must see.
    ///
    /// # Errors
    /// [`Failure::usage`] names a rank that does not see it.
    pub(crate) fn folder(&self, own: Option<&Path>) -> Result<PathBuf, Failure> {
        if self.ranks.size() == 1 {
            return Ok(own.map(Path::to_owned).unwrap_or_default());
        }
        let sent = own.map(|path| path.as_os_str().as_encoded_bytes().to_vec()).unwrap_or_default();
        let sent = self.ranks.broadcast(&sent)?;
        let path = PathBuf::from(String::from_utf8(sent).map_err(|error| {
            Failure::usage(format!(
                "{} is no UTF-8: the folder of a run that several processes share needs such a name",
                String::from_utf8_lossy(error.as_bytes())
            ))
        })?);
        let seen = self.ranks.all_gather(&[u8::from(path.is_dir())])?;
        match seen.iter().position(|seen| seen.first() != Some(&1)) {
            Some(rank) => Err(Failure::usage(format!(
                "rank {rank} does not see {}: the folder of a run must lie on a disk that all ranks share",
                path.display()
            ))),
            None => Ok(path),
        }
    }

    /// Checks that all ranks have the same program, recipe and data, and what else is `own`.
    ///
    /// # Errors
    /// As [`Job::agree_on`].
    pub(crate) fn agree(&self, experiment: &Experiment, own: &[(&str, String)]) -> Result<(), Failure> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let recipe = experiment.recipe();
        let of_run = [
            ("has another recipe", recipe.identity()?),
            ("has other data", experiment.data().fingerprint()?),
            (PROCESSOR, machine(recipe.train().precision, recipe.sampler().scoring)),
        ];
        self.agree_on(&[&of_run[..], own].concat())
    }

    /// Checks that all ranks have the same program and what else is `own`, each under the words for a rank that has another.
    ///
    /// # Errors
    /// [`Failure::usage`] names the first rank that differs, and in what.
    pub(crate) fn agree_on(&self, own: &[(&str, String)]) -> Result<(), Failure> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let own = [&[("has another program", program())], own].concat();
        agree(&*self.ranks, &own).map_err(|error| Failure::usage(error.to_string()))
    }

    /// The failure of this rank in work that all break off together: with what all are asked by, where it is an interruption.
    ///
    /// # Errors
    /// `failure`, and where another rank is gone.
    pub(crate) fn interrupted<T>(&self, failure: Failure) -> Result<T, Failure> {
        if matches!(failure, Failure::Interrupted(_)) {
            self.agree_on_signals()?;
        }
        Err(failure)
    }

    /// Lets all end with one status where they are interrupted.
    ///
    /// # Errors
    /// Where another rank is gone.
    pub(crate) fn agree_on_signals(&self) -> Result<(), Failure> {
        signals::set_scheduled(self.ranks.any(signals::is_scheduled())?);
        self.agreed.set(true);
        Ok(())
    }
}

/// A number for the program's file.
fn program() -> String {
    let bytes = std::env::current_exe().and_then(std::fs::read).unwrap_or_default();
    let mut hasher = Hasher::new();
    hasher.bytes(&bytes);
    format!("{} {:016x}", env!("CARGO_PKG_VERSION"), hasher.short())
}

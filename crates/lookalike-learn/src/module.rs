//! Parameters and the modules that own them.
//!
//! A module lists its tensors once, in [`Module::visit`], under the names that torchvision, timm and Hugging Face use.
//! Optimisers, checkpoints, export and momentum encoders all work through that one list.

use std::num::NonZero;
use std::sync::Arc;

use lookalike_base::Seed;
use lookalike_base::arrays::{Array, Arrays};

use crate::engine::{Device, Gradients, Precision, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::input::{Column, RowId};
use crate::step::Step;

/// What a tensor of a module is for; decides about weight decay, LARS and whether gradients reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A weight matrix or convolution kernel.
    Weight,
    /// A bias.
    Bias,
    /// Scale or shift of a normalisation layer.
    Normalization,
    /// Not trained: running statistics.
    Buffer,
}

/// A tensor of any rank, as optimisers and checkpoints see it.
pub trait AnyTensor {
    /// Its shape.
    fn shape(&self) -> Vec<usize>;
    /// Its values, flattened, without gradient tracking.
    fn flat(&self) -> Tensor<1>;
    /// Replaces its values by as many others.
    fn assign(&mut self, flat: Tensor<1>);
    /// Takes its gradient, flattened, out of `gradients`.
    fn take_gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>>;
    /// From now on no gradient reaches it.
    fn freeze(&mut self);
    /// Whether it learns: neither kept nor frozen.
    fn learns(&self) -> bool;
}

/// A trained tensor of rank D.
#[derive(Debug, Clone)]
pub struct Parameter<const D: usize> {
    tensor: Tensor<D>,
    frozen: bool,
}

impl<const D: usize> Parameter<D> {
    /// Makes a leaf of the gradient graph out of `tensor`.
    pub fn new(tensor: Tensor<D>) -> Self {
        Self { tensor: tensor.inner().autodiff().require_grad(), frozen: false }
    }

    /// The tensor as a pass reads it: tracked where the pass wants gradients and it is not frozen.
    pub fn read(&self, pass: &Pass) -> Tensor<D> {
        if pass.gradient && !self.frozen { self.tensor.clone() } else { self.tensor.clone().inner() }
    }
}

impl<const D: usize> AnyTensor for Parameter<D> {
    fn shape(&self) -> Vec<usize> {
        self.tensor.dims().to_vec()
    }

    fn flat(&self) -> Tensor<1> {
        let count = self.tensor.dims().iter().product::<usize>();
        self.tensor.clone().inner().reshape([count])
    }

    fn assign(&mut self, flat: Tensor<1>) {
        *self = Self { frozen: self.frozen, ..Self::new(flat.reshape(self.tensor.dims())) };
    }

    fn take_gradient(&self, gradients: &mut Gradients) -> Option<Tensor<1>> {
        let count = self.tensor.dims().iter().product::<usize>();
        self.tensor.grad_remove(gradients).map(|gradient| gradient.reshape([count]))
    }

    fn freeze(&mut self) {
        self.frozen = true;
    }

    fn learns(&self) -> bool {
        !self.frozen
    }
}

/// A vector that is kept but not trained.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// The values, never tracked.
    pub tensor: Tensor<1>,
}

impl AnyTensor for Buffer {
    fn shape(&self) -> Vec<usize> {
        self.tensor.dims().to_vec()
    }

    fn flat(&self) -> Tensor<1> {
        self.tensor.clone()
    }

    fn assign(&mut self, flat: Tensor<1>) {
        self.tensor = flat.inner();
    }

    fn take_gradient(&self, _: &mut Gradients) -> Option<Tensor<1>> {
        None
    }

    fn freeze(&mut self) {}

    fn learns(&self) -> bool {
        false
    }
}

/// How one forward pass reads parameters and normalisation layers.
#[derive(Debug)]
pub struct Pass {
    /// Whether gradients will be asked for.
    pub gradient: bool,
    /// Where normalisation layers take mean and variance from.
    pub statistics: Statistics,
    /// What dropout masks hang on; `None` switches dropout off.
    pub dropout: Option<Dropout>,
    /// At which precision convolutions multiply, gradients included.
    pub precision: Precision,
    /// Whether an encoder is to give its feature maps too.
    pub maps: bool,
    /// Whose rows are encoded, see [`Pass::reading`].
    pub rows: Arc<[RowId]>,
}

/// What dropout masks hang on beside layer, row and place: the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropout {
    seed: Seed,
    epoch: u64,
    batch: u64,
}

impl Dropout {
    /// A random number of 64 bits for `row` in the layer that `purpose` names.
    pub(crate) fn key(self, purpose: &str, row: RowId) -> u64 {
        self.seed.stream(purpose, self.epoch, self.batch, row.address()).bits()
    }
}

/// Where a normalisation layer takes mean and variance from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistics {
    /// From the batch; the running statistics move towards them by the layer's momentum.
    Batch,
    /// From so many equal groups of instances that follow one another, as if each were a batch; the running statistics
    /// move towards the mean of the groups'. MoCo's shuffled normalisation needs it, where GPUs would each have a part of
    /// the batch. Where they do not divide the batch, into the next smaller number of groups that does.
    Groups(NonZero<usize>),
    /// From the batch; the running statistics become the plain average over `seen` + 1 batches. Used to re-estimate
    /// them on uniform batches before an evaluation.
    Average {
        /// Batches averaged before this one.
        seen: u64,
    },
    /// The running statistics, which stay as they are.
    Running,
}

impl Pass {
    /// A training pass in `f32`, with the dropout masks of `step`.
    pub fn training(step: &Step) -> Self {
        let dropout = Dropout { seed: step.seed, epoch: step.epoch, batch: step.batch };
        Self { gradient: true, statistics: Statistics::Batch, dropout: Some(dropout), ..Self::evaluation() }
    }

    /// Calls `run` with this pass, the rows that are encoded being those of `column`.
    pub fn reading<R>(&mut self, column: &Column, run: impl FnOnce(&mut Self) -> R) -> R {
        self.rows = Arc::clone(&column.rows);
        run(self)
    }

    /// Calls `run` with this pass, gradients left out: how a momentum encoder is run in training mode.
    pub fn without_gradient<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let gradient = std::mem::replace(&mut self.gradient, false);
        let result = run(self);
        self.gradient = gradient;
        result
    }

    /// Calls `run` with this pass, statistics of the batch being those of each of `groups` parts of it; others stay as they are.
    pub fn in_groups<R>(&mut self, groups: NonZero<usize>, run: impl FnOnce(&mut Self) -> R) -> R {
        let statistics = self.statistics;
        if statistics == Statistics::Batch {
            self.statistics = Statistics::Groups(groups);
        }
        let result = run(self);
        self.statistics = statistics;
        result
    }

    /// A pass that changes nothing: running statistics, no dropout, no gradient, `f32`.
    pub fn evaluation() -> Self {
        let (statistics, precision) = (Statistics::Running, Precision::F32);
        let rows = Vec::new().into();
        Self { gradient: false, statistics, dropout: None, precision, maps: false, rows }
    }

    /// A pass that re-estimates running statistics, `seen` batches having been averaged before.
    pub fn estimation(seen: u64) -> Self {
        Self { statistics: Statistics::Average { seen }, ..Self::evaluation() }
    }
}

/// Something that owns tensors.
pub trait Module {
    /// Shows every tensor, always in the same order, under its name.
    fn visit(&mut self, visitor: &mut Visitor<'_>);
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

/// Called with the full name, the role and the tensor itself.
type Action<'a> = dyn FnMut(&str, Role, &mut dyn AnyTensor) + 'a;

/// Walks over a module's tensors and keeps track of the path of names.
pub struct Visitor<'a> {
    path: String,
    action: &'a mut Action<'a>,
}

impl Visitor<'_> {
    /// Visits one tensor under `name`.
    pub fn tensor(&mut self, name: &str, role: Role, tensor: &mut dyn AnyTensor) {
        let full = format!("{}{name}", self.path);
        (self.action)(&full, role, tensor);
    }

    /// Visits a module under `name`.
    pub fn module(&mut self, name: &str, module: &mut dyn Module) {
        let length = self.path.len();
        self.path.push_str(name);
        self.path.push('.');
        module.visit(self);
        self.path.truncate(length);
    }
}

/// Calls `action` with the name, role and tensor of everything `module` owns.
pub fn for_each_tensor<'a>(module: &mut dyn Module, action: &'a mut Action<'a>) {
    module.visit(&mut Visitor { path: String::new(), action });
}

/// All tensors of `module` under their names, copied to the host.
pub fn arrays_of(module: &mut dyn Module) -> Arrays {
    let mut arrays = Arrays::new();
    for_each_tensor(module, &mut |name, _, tensor| {
        arrays.insert(name.to_owned(), Array::f32(tensor.shape(), to_host(tensor.flat())));
    });
    arrays
}

/// Sets every tensor of `module` from `arrays`, under the names that follow `prefix`.
///
/// # Errors
/// [`LearnError::Weights`] names the first tensor that is missing, has another shape or is not `f32`. Nothing has been
/// changed then.
pub fn load_arrays(
    module: &mut dyn Module,
    arrays: &Arrays,
    prefix: &str,
    device: &Device,
) -> Result<(), LearnError> {
    let mut problem = None;
    let mut found = Vec::new();
    for_each_tensor(module, &mut |name, _, tensor| {
        let name = format!("{prefix}{name}");
        match arrays.get(&name).map(|array| (&array.shape, array.as_f32())) {
            Some((shape, Some(values))) if *shape == tensor.shape() => found.push(values),
            other => {
                problem.get_or_insert_with(|| {
                    let expected = tensor.shape();
                    let reason = match other {
                        None => format!("it is missing; expected f32 of shape {expected:?}"),
                        Some((_, None)) => format!("it is not f32; expected f32 of shape {expected:?}"),
                        Some((shape, _)) => format!("its shape is {shape:?}, expected {expected:?}"),
                    };
                    LearnError::Weights { name, reason }
                });
            }
        }
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    let mut found = found.into_iter();
    for_each_tensor(module, &mut |_, _, tensor| {
        if let Some(values) = found.next() {
            tensor.assign(from_host(values.to_vec(), [values.len()], device));
        }
    });
    Ok(())
}

/// Whether `module` has tensors that are not trained: the running statistics of BatchNorm.
pub fn has_buffers(module: &mut dyn Module) -> bool {
    let mut found = false;
    for_each_tensor(module, &mut |_, role, _| found |= role == Role::Buffer);
    found
}

/// Number of trained values of `module`.
pub fn parameter_count(module: &mut dyn Module) -> usize {
    let mut count = 0;
    for_each_tensor(module, &mut |_, role, tensor| {
        count += if role == Role::Buffer { 0 } else { tensor.shape().iter().product() };
    });
    count
}

//! What this crate uses of the tensor engine, Burn, under the paths it has in the crate `burn`.
//!
//! `burn` itself brings layers, optimisers and a format of weights that are not used here. The macro `backend_extension` writes
//! `burn::backend::…`, so a file with such an operation imports this module by its name.

pub(crate) use burn_tensor as tensor;

pub(crate) mod backend {
    pub(crate) use burn_backend::{AutodiffBackend, Backend, TensorMetadata, ops, tensor};
    pub(crate) use burn_backend_extension::backend_extension;
    pub(crate) use burn_dispatch::backends::{Autodiff, Flex, autodiff, flex};
    pub(crate) use burn_dispatch::{
        BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
        GradientCheckpointingStrategy,
    };
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(crate) use {burn_dispatch::backends::Cube, burn_fusion as fusion};
}

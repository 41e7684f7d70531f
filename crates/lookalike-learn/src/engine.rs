//! The tensor engine (Burn), and the choice of the device it runs on.
//!
//! The only place that says what of the engine the rest may use. A tensor is tracked for gradients where it descends
//! from a [`Parameter`](crate::module::Parameter) read in a pass that asks for gradients; nothing else is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use crate::burn::tensor::FloatDType;
pub use crate::burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
pub use lookalike_kernels::map::Precision;

use crate::error::LearnError;

/// Where the engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The CPU, by Burn's `flex` backend.
    Cpu,
    /// An NVIDIA GPU by its number; needs the feature `cuda`.
    Cuda(usize),
    /// The default GPU of the system's graphics interface; needs the feature `wgpu`.
    Wgpu,
}

impl FromStr for DeviceName {
    type Err = LearnError;

    fn from_str(name: &str) -> Result<Self, LearnError> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "wgpu" => Ok(Self::Wgpu),
            _ => name.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Self::Cuda).ok_or_else(
                || LearnError::Device {
                    name: name.to_owned(),
                    reason: "known devices are `cpu`, `cuda:0`, `cuda:1`, … and `wgpu`".to_owned(),
                },
            ),
        }
    }
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
            Self::Wgpu => formatter.write_str("wgpu"),
        }
    }
}

/// Checks that `device`, which is called `name`, supports `precision`: on a CPU by its instruction set, on a GPU by running one product.
///
/// # Errors
/// [`LearnError::Device`] where it does not.
pub fn check_precision(name: DeviceName, device: &Device, precision: Precision) -> Result<(), LearnError> {
    let product = || {
        let ones = Tensor::<2>::ones([16; 2], device).cast(FloatDType::BF16);
        ones.clone().matmul(ones).cast(FloatDType::F32).sum().into_scalar::<f32>()
    };
    let (multiplies, reason) = match (precision, name) {
        (Precision::F32, _) => return Ok(()),
        (Precision::Bf16, DeviceName::Cpu) => (
            precision.is_native(),
            "this processor has no instructions that multiply bf16 (AVX512-BF16, AMX), or LOOKALIKE_ISA leaves them out",
        ),
        // The sum of 16 · 16 sums of 16 products of 1.
        (Precision::Bf16, DeviceName::Cuda(_) | DeviceName::Wgpu) => {
            (caught(product).ok() == Some(4096.0), "the engine does not multiply bf16 on it")
        }
    };
    refuse_unless(multiplies, name, reason)
}

fn refuse_unless(multiplies: bool, name: DeviceName, reason: &str) -> Result<(), LearnError> {
    let refusal = || LearnError::Device {
        name: name.to_string(),
        reason: format!("{reason}; leave train.precision at \"f32\""),
    };
    multiplies.then_some(()).ok_or_else(refusal)
}

/// Calls `work`, whose panic is an error: the engine's GPU runtimes panic where driver, device or a type is missing. The
/// panic's own message still goes to standard error: a hook that hid it would hide those of all other threads too.
fn caught<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
}

/// Opens a device and computes one sum on it, so that a device that is not there is an error here and not a panic later.
///
/// # Errors
/// [`LearnError::Device`] where the program was built without the device's feature, or the device does not answer.
pub fn open(name: DeviceName) -> Result<Device, LearnError> {
    let refuse = |reason: String| LearnError::Device { name: name.to_string(), reason };
    let make: fn(DeviceName) -> Option<Device> = |name| match name {
        DeviceName::Cpu => Some(Device::flex()),
        #[cfg(feature = "cuda")]
        DeviceName::Cuda(index) => Some(Device::cuda(index)),
        #[cfg(feature = "wgpu")]
        DeviceName::Wgpu => Some(Device::wgpu(crate::burn::tensor::DeviceKind::DefaultDevice)),
        #[allow(unreachable_patterns, reason = "all devices are listed only where every feature is on")]
        _ => None,
    };
    let opened = caught(|| {
        let device = make(name)?;
        let sum: f32 = Tensor::<1>::ones([4], &device).sum().into_scalar();
        Some((device, sum))
    });
    match opened {
        Ok(Some((device, 4.0))) => Ok(device),
        Ok(Some((_, sum))) => Err(refuse(format!("it computes 1 + 1 + 1 + 1 = {sum}"))),
        Ok(None) => Err(refuse(
            "this program was built without it: build with `--features cuda` or `wgpu`".to_owned(),
        )),
        Err(panic) => Err(refuse(panic_message(panic.as_ref()))),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("it does not answer").to_owned()
}

/// Row-major numbers of a tensor, brought to the host as `f32`.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.inner().into_data().convert::<f32>();
    data.try_into_vec::<f32>().unwrap_or_else(|error| unreachable!("converted to f32 just above: {error:?}"))
}

/// A tensor of the given shape from row-major numbers.
pub fn from_host<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_read_and_written_alike() {
        for name in ["cpu", "cuda:3", "wgpu"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert!("gpu".parse::<DeviceName>().is_err());
    }

    #[test]
    fn precisions_are_spelled_f32_and_bf16() {
        for (precision, name) in [(Precision::F32, "\"f32\""), (Precision::Bf16, "\"bf16\"")] {
            assert_eq!(serde_json::to_string(&precision).unwrap(), name);
            assert_eq!(serde_json::from_str::<Precision>(name).unwrap(), precision);
        }
    }

    #[test]
    fn bf16_is_refused_where_it_would_not_be_multiplied() {
        let name = DeviceName::Cpu;
        assert!(check_precision(name, &Device::flex(), Precision::F32).is_ok());
        let native = Precision::Bf16.is_native();
        assert_eq!(check_precision(name, &Device::flex(), Precision::Bf16).is_ok(), native);
        let error = refuse_unless(false, name, "it has none").unwrap_err().to_string();
        assert!(error.contains("cpu") && error.contains("train.precision"), "{error}");
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_was_not_built_in_is_an_error() {
        let error = open(DeviceName::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}

//! Layers by name: those that do not learn, and those that learn at other rates.

use crate::module::{Module, for_each_tensor};
use lookalike_base::words::did_you_mean;

/// Freezes the tensors of `module` whose names, after one of `prefixes`, begin with one of `layers`: whole parts of a name, so that
/// `encoder.layer.1` does not name `encoder.layer.10`.
///
/// # Errors
/// In words where a layer is not there, with the nearest that is.
pub fn freeze(module: &mut dyn Module, prefixes: &[&str], layers: &[String]) -> Result<(), String> {
    for layer in layers {
        let (mut found, mut names) = (false, Vec::new());
        for_each_tensor(module, &mut |name, _, tensor| {
            let Some(name) = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)) else { return };
            if is_in(name, layer) {
                tensor.freeze();
                found = true;
            }
            names.extend(beginnings(name).map(str::to_owned));
        });
        if !found {
            let hint = did_you_mean(layer, names.iter().map(String::as_str));
            return Err(format!("no layer's name begins with `{layer}`{hint}"));
        }
    }
    Ok(())
}

/// Checks that each of `layers` is the beginning of the name of a tensor of `module` that learns.
///
/// # Errors
/// In words where a layer is not there, with the nearest that is, or where it is frozen.
pub fn find<'a>(module: &mut dyn Module, layers: impl Iterator<Item = &'a String>) -> Result<(), String> {
    for layer in layers {
        let (mut found, mut learns, mut names) = (false, false, Vec::new());
        for_each_tensor(module, &mut |name, _, tensor| {
            found |= is_in(name, layer);
            learns |= is_in(name, layer) && tensor.learns();
            names.extend(beginnings(name).map(str::to_owned));
        });
        if !found {
            let hint = did_you_mean(layer, names.iter().map(String::as_str));
            return Err(format!("no layer's name begins with `{layer}`{hint}"));
        }
        if !learns {
            return Err(format!("`{layer}` does not learn: it is frozen, or a statistic"));
        }
    }
    Ok(())
}

/// Whether the name of a tensor begins with that of a layer, by whole parts.
pub(super) fn is_in(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The beginnings of a name that end with one of its parts, the longest first, so that of names alike the layer comes before what is in it.
fn beginnings(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0))
}

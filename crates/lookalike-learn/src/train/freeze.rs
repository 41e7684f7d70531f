//! Layers that do not learn.

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
            let rest = name.strip_prefix(layer.as_str());
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
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

/// The beginnings of a name that end with one of its parts, the longest first, so that of names alike the layer comes before what is in it.
fn beginnings(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0))
}

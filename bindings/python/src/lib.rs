//! The native half of the Python package `lookalike`: sampling and metrics over NumPy arrays.
//!
//! It takes arrays whose types were checked, works without the interpreter's lock, and answers with arrays or JSON. What
//! users see, with documentation and messages about types and shapes, is Python, in `python/lookalike`.

#![expect(clippy::needless_pass_by_value, reason = "arguments from Python come by value")]

mod arrays;
mod graph;
mod metrics;
mod mining;
mod pages;
mod plans;
mod sampler;
mod source;
mod work;

use pyo3::prelude::*;

#[pymodule]
mod _lookalike {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::graph::{PyGraph, knn_graph, plan, plan_report, proximity_graph, random_walks, top_k};
    #[pymodule_export]
    use crate::metrics::{
        alignment, clustering_scores, collapse, effective_rank, false_negative_rate, hardness, kmeans,
        knn_classify, linear_probe, paired, rank_me, segmentation_scores, spectrum, uniformity,
        voc_average_precision,
    };
    #[pymodule_export]
    use crate::mining::mine;
    #[pymodule_export]
    use crate::pages::{inspect, layout, report};
    #[pymodule_export]
    use crate::plans::{compare_plans, near_duplicates, plan_embeddings};
    #[pymodule_export]
    use crate::sampler::{PySampler, check_agreement};
    #[pymodule_export]
    use crate::source::{PyFileRows, read_rows};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Rather than compute by other instructions than were asked for.
        lookalike_kernels::isa()
            .map_err(|error| pyo3::exceptions::PyImportError::new_err(error.to_string()))?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

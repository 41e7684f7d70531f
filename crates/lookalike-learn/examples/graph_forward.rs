//! What GIN and GCN give for the first graphs of a set with weights from a file: `benchmarks/parity/graphs.py` compares it with
//! PyTorch Geometric.
//!
//! `cargo run --release -p lookalike-learn --example graph_forward -- MUTAG DIR weights.safetensors out.safetensors`

use std::path::Path;
use std::sync::Arc;

use lookalike_base::Seed;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::graph::{
    self, DescribedGraphs, FeatureRule, Features, GraphBatch, PlainGraphs, Variant, normalized,
};
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::gcn::Gcn;
use lookalike_learn::encoder::gin::{Gin, GinOptions};
use lookalike_learn::engine::{self, DeviceName, to_host};
use lookalike_learn::input::Input;
use lookalike_learn::module::{Pass, load_arrays};

const GRAPHS: u32 = 64;
const WIDTH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, root, weights, out] = &arguments[..] else {
        return Err("give set, folder, weights and output".into());
    };
    let (set, _) = graph::open(name, Path::new(root))?;
    let features = Features::new(&FeatureRule::graphcl(&set), &set)?;
    let source = PlainGraphs::new(DescribedGraphs::new(Arc::new(set), features), Variant::Paper);
    let batch: GraphBatch =
        source.batch(&BatchRequest { instances: (0..GRAPHS).collect(), epoch: 0, step: 0 })?;

    let device = engine::open(DeviceName::Cpu)?;
    let weights = tensors::read(weights)?.tensors;
    let mut stream = Seed(0).stream("encoder", 0, 0, 0);
    let mut gin = Gin::new(batch.columns, &GinOptions::default(), &mut stream, &device);
    load_arrays(&mut gin, &weights, "gin.", &device)?;
    let mut gcn = Gcn::new(batch.columns, 2, WIDTH, &mut stream, &device);
    load_arrays(&mut gcn, &weights, "gcn.", &device)?;

    let adjacency = GraphBatch { edges: normalized(&batch.edges)?, ..batch.clone() };
    let of_graphs = gin.forward(&Input::new(batch), &mut Pass::evaluation())?.vector;
    let last = gcn.forward(&Input::new(adjacency), &mut Pass::evaluation())?.parts;
    let last = last.ok_or("a network has layers")?.values;
    let array = |tensor: engine::Tensor<2>| Array::f32(tensor.dims().to_vec(), to_host(tensor));
    let tensors = Arrays::from([("gin".to_owned(), array(of_graphs)), ("gcn".to_owned(), array(last))]);
    tensors::write(out, &TensorFile { tensors, ..TensorFile::default() })?;
    Ok(())
}

//! A modality, an encoder, a method, a loss and a score that this program does not bring along, a file each.

pub mod encoder;
pub mod loss;
pub mod method;
pub mod modality;
pub mod score;

use lookalike_learn::Registry;

/// All that this program brings along, and the toys.
pub fn registry() -> Registry {
    Registry::standard()
        .with(modality::VECTORS)
        .with(encoder::MLP)
        .with(method::CENTRED)
        .with(loss::TRIPLET)
        .with(score::LENGTH)
}

/// A recipe on them.
pub const TOYS: &str = "[data]\nname = \"clusters\"\n[encoder]\nkind = \"mlp\"\n[method]\nkind = \"centred\"\n\
    projection = { dimension = 8, batch_norm = \"none\" }\n\
    [sampler]\nkind = \"walk\"\ncoverage = \"cover\"\nbatch_size = 24\ncandidates = 30\nneighbors = 8\nrefresh_every = 4\n\
    [optimizer]\nkind = \"adam\"\nlearning_rate = 0.01\nweight_decay = 0.0\n\
    [train]\nepochs = 8\nwarmup_epochs = 0.0\nschedule = \"constant\"\ncheckpoint_every = 3\nlog_every = 1\n\
    [evaluate]\nknn_k = 5\nprobe_epochs = 20\n";

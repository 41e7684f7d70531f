#![doc = include_str!("../README.md")]

mod album;
mod board;
mod chart;
mod data;
mod drawing;
mod error;
mod html;
pub mod inspect;
mod map;
mod near;
mod page;
mod report;
pub mod run;

pub use album::{Instance, NoPictures, Pictures};
pub use board::board;
pub use data::{Data, Part};
pub use error::ReportError;
pub use lookalike_data::Shown;
pub use map::{LayoutOptions, epochs_of, layout};
pub use report::{ReportOptions, report};
pub use run::Run;

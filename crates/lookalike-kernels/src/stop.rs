//! The question that long work asks now and then: shall it end before it is done?

/// Says whether work is to end before it is done. It is asked from several threads, and must stay with a yes.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Never stops.
pub const NEVER: Stop<'static> = &|| false;

//! Values that every floor shares: no I/O, no clock, no environment.

pub mod hash;
pub mod id;
pub mod kind;
pub mod limits;
pub mod monitor;
pub mod path;
pub mod retention;
pub mod time;
pub mod zeros;

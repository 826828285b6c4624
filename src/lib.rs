//! RunUp.
pub mod base;
pub mod format;

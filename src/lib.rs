//! RunUp.
pub mod backend;
pub mod base;
pub mod format;
pub mod repository;
pub mod source;
pub mod store;

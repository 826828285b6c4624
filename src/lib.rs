//! RunUp.
pub mod backend;
pub mod base;
pub mod cli;
pub mod format;
pub mod ops;
pub mod os;
pub mod repository;
pub mod source;
pub mod store;
pub mod target;

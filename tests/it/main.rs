//! The one integration crate, so that test code links once.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that fails should stop where it fails"
)]

mod format_page;
mod protocol_model;
mod target;

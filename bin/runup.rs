//! runup(1)
fn main() {}

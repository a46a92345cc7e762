//! Placeholder until the fake servers exist.

fn main() {}

//! Starts.
fn main() { pilothouse_app::run(); }

//! The `omnivenue` command.

fn main() {}

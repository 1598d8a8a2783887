//! One suite of cases that every venue passes.

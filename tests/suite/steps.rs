//! `OrderRequest → Cleared → Prepared → Journaled → place`: each step is made only by its maker, and skipping one does not compile.

#[path = "ui/in_order.rs"]
#[allow(dead_code, unreachable_pub, reason = "that it compiles is the test; it is a program of its own")]
mod in_order;

/// Each file tries one way around a step; the `.stderr` beside it shows that it fails for that reason and no other.
#[test]
fn skipping_a_step_does_not_compile() {
    let tries = trybuild::TestCases::new();
    for way in [
        "cleared_is_made_by_a_gate",
        "cleared_cannot_be_changed",
        "prepared_needs_cleared",
        "prepare_needs_cleared",
        "prepared_is_made_from_cleared",
        "place_needs_journaled",
        "probe_needs_journaled",
        "journaled_is_made_by_a_commit",
        "journaled_cannot_be_changed",
        "nothing_is_read_from_text",
        "nothing_comes_from_nothing",
    ] {
        tries.compile_fail(format!("tests/suite/ui/{way}.rs"));
    }
}

//! The risk checks every order passes, and the proof of having passed.

/// Proof that the gates have passed what it holds. Made by [`crate::gates`], and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// What was cleared.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What was cleared, by value: only an account takes it, to prepare it.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

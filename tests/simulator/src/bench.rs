//! A world driven by hand: a test says what happens when, and looks at both sides at any moment.

use omnivenue_core::engine::Kernel;
use omnivenue_core::executor::State;
use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::number::SignedQuantity;
use omnivenue_paper::{FaultKind, RequestKind, Server};

use crate::scenario::{Action, Scenario};
use crate::world::{World, world};

/// The kernel with its journal and its exchanges, in virtual time.
pub struct Bench {
    world: World,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("elapsed", &self.world.elapsed).finish_non_exhaustive()
    }
}

impl Bench {
    /// Opens the engine of a scenario, without its script. Faults last until they are taken away.
    ///
    /// # Panics
    /// Where the scenario's exchanges are not valid.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let mut world = world(7, scenario, false);
        world.start();
        Self { world }
    }

    /// The engine.
    ///
    /// # Panics
    /// When no process runs, which only a journal that contradicts itself leads to.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        self.world.kernel().expect("a process runs")
    }

    /// The state of the engine.
    #[must_use]
    pub fn state(&self) -> &State {
        self.kernel().state()
    }

    /// Lets so many milliseconds pass.
    pub fn pass(&mut self, milliseconds: u64) {
        let until = self.world.elapsed + milliseconds * 1_000;
        while self.world.elapsed < until {
            self.world.settle();
            self.world.turn(Some(until), until);
        }
        self.world.settle();
    }

    /// Lets time pass until something holds, for at most so many milliseconds; says whether it does.
    pub fn pass_until(&mut self, milliseconds: u64, holds: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..milliseconds.div_ceil(20) {
            if holds(self) {
                return true;
            }
            self.pass(20);
        }
        holds(self)
    }

    /// Does something now.
    pub fn act(&mut self, action: &Action) {
        self.world.act(0, action);
        self.world.settle();
    }

    /// Adds faults to the next requests of a kind at an exchange.
    pub fn fault(&self, index: usize, request: RequestKind, fault: FaultKind, count: usize) {
        self.exchange(index, |server| server.script(request, fault, count));
    }

    /// From now on the journal cannot be written, or can be again after a restart.
    pub fn fill_disk(&mut self) {
        self.act(&Action::FillDisk);
    }

    /// Ends the process where it stands, and begins another on what is durable, so many milliseconds later.
    pub fn restart(&mut self, milliseconds: u64) {
        self.world.bury();
        self.world.elapsed += milliseconds * 1_000;
        self.world.start();
    }

    /// Lets the test at an exchange.
    pub fn exchange<T>(&self, index: usize, act: impl FnOnce(&mut Server) -> T) -> T {
        act(&mut self.world.wires[index].open().server)
    }

    /// What the exchanges hold on an account.
    #[must_use]
    pub fn held(&self, account: &AccountId, symbol: &VenueSymbol) -> SignedQuantity {
        let of = |truth: omnivenue_paper::Truth| truth.accounts.get(account)?.positions.get(symbol).map(|position| position.quantity);
        self.world.wires.iter().find_map(|wire| of(wire.open().server.truth())).unwrap_or(SignedQuantity::ZERO)
    }
}

//! An engine among peers that do as the input says: any of them may lie, flood, forge, repeat
//! itself and come and go. One is honest, an engine of its own, and posts.
//!
//! Invariants, whatever they do: no panic; what comes out of one step, and what is kept, is
//! bounded; the clock of the engine moves on; what is delivered of each sender is in order and
//! complete, or its gaps are named; and once all are gone and time has passed, what they caused is
//! gone too.

mod script;
mod world;

use script::Script;
use world::World;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new();
    while let Some(step) = script.next() {
        world.play(step);
    }
    world.wind_down();
}

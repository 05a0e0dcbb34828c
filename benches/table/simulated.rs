//! The simulated fleet of the tests, whose counts are printed here.

#![allow(dead_code, reason = "tests use more of it")]

#[path = "../../tests/simulation/cost.rs"]
pub(crate) mod cost;
#[path = "../../tests/simulation/hub.rs"]
mod hub;
#[path = "../../tests/simulation/net.rs"]
mod net;
#[path = "../../tests/simulation/node.rs"]
mod node;
#[path = "../../tests/simulation/outbox.rs"]
mod outbox;
#[path = "../../tests/simulation/people.rs"]
mod people;

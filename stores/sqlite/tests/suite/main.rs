//! The journal on real files: what survives, what is refused, who may open it.

mod damage;
mod journal;
mod owner;
mod property;
mod support;
mod tools;
mod views;

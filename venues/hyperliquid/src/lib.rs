#![doc = include_str!("../README.md")]

pub mod config;

pub mod action;
pub mod convert;
pub mod errors;
pub mod sign;
pub mod wire;

pub mod rest;

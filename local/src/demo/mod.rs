//! `--demo`: the whole story by itself.

pub mod browser;
pub mod form;
pub mod resource;

//! What is measured, each by itself.

pub mod calls;
pub mod cold;
pub mod growth;
pub mod instructions;
pub mod requests;

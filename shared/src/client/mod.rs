//! Clients: what identifies them, where they may be sent back to, what they say about themselves.

pub mod derived_secret;
pub mod id;
pub mod members;
pub mod metadata;
pub mod redirect;
pub mod registration;

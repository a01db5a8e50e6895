//! Fetches one stranger's URL for a function that has rights which this one has not (FET-14).
//!
//! There is no route to it and nothing in it: no table, no key, no secret, no network of ours. Whoever turns
//! the guard against us gets the public internet, which they had before.

use std::sync::Arc;

use shared::aws::table::Permission;
use shared::fetch::Fetcher;
use shared::fetch::wire::{AnswerForm, RequestForm};

/// What this function may do to which table: nothing.
pub const PERMISSIONS: &[Permission] = &[];

/// What this function works with. It has no permission.
#[derive(Clone)]
pub struct App {
    /// The guarded fetcher.
    pub fetcher: Arc<dyn Fetcher>,
}

impl App {
    /// Fetches once. A refusal is an answer, not a failure of the function.
    pub async fn answer(&self, request: RequestForm) -> AnswerForm {
        self.fetcher.fetch(&request.into()).await.into()
    }
}

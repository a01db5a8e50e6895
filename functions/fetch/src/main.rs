//! Start-up of the fetch function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use fetch::App;
use shared::fetch::dns::SystemResolver;
use shared::fetch::guard::{GuardSettings, GuardedFetcher};
use shared::lambda::Start;

fn main() -> ExitCode {
    shared::lambda::answer("fetch", async |start: Start| {
        let settings = GuardSettings::new(start.config.issuer.as_str());
        let fetcher = GuardedFetcher::new(settings, Arc::new(SystemResolver), start.clock)?;
        let app = App { fetcher: Arc::new(fetcher) };
        Ok(move |request| {
            let app = app.clone();
            async move { app.answer(request).await }
        })
    })
}

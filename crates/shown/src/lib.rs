//! What may be shown, to people, models and logs, of what comes from outside or leads there: an
//! address without what may be secret in it, a foreign page by its title, an answer without the
//! secrets that were sent.

mod connection;
mod counted;
mod encoded;
mod log_mask;
mod page;
mod secret;
mod tokens;
mod url;

pub use connection::{Cause, cause};
pub use counted::counted;
pub use log_mask::{LogMask, for_log};
pub use page::{is_page, line, page, words};
pub use secret::Secret;
pub use tokens::Tokens;
pub use url::{Shown, url, without_urls};

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[token]";

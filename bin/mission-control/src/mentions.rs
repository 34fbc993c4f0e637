//! `@role` mentions in texts, and what can be the name of a role. The rule is mc-client's: the daemon has the
//! same one.

pub(crate) use mc_client::mentions::{is_role, mentioned_roles};

//! `wombat-daemon token`: an agent token to try a backend with.

use service::agent_token;
use service::settings::{Layers, Reader, SettingsError};
use wombat_core::session::{Role, UserId};
use wombat_core::workspace::Workspace;

use crate::check::{unknown_role, workspace_without_settings};

/// What to say where the workspace does not have the role: the daemon would sign no such token.
pub fn warning(layers: &Layers, role: &str) -> Option<String> {
    let workspace = Workspace::open(workspace_without_settings(layers));
    unknown_role(&workspace.snapshot(), role).map(|told| format!("--role: {told}"))
}

/// Signs a token for a user and a role, as the daemon would.
///
/// # Errors
/// When the settings cannot be read, or one of the two is not valid.
pub fn mint(layers: &Layers, user: &str, role: &str) -> Result<String, SettingsError> {
    let mut reader = Reader::new(layers);
    let minter = agent_token::read(&mut reader, true).minter;
    let user = UserId::parse(user).map_err(|error| reader.problem("--user", error)).ok();
    let role = Role::parse(role).map_err(|error| reader.problem("--role", error)).ok();
    reader.finish()?;
    let failed = |why: String| SettingsError(vec![why]);
    // Unreachable: `finish` fails if one of these could not be read.
    let (Some(minter), Some(user), Some(role)) = (minter, user, role) else {
        return Err(failed("settings could not be read".to_owned()));
    };
    let token =
        minter.mint(user.as_str(), role.as_str()).map_err(|error| failed(error.to_string()))?;
    let header = token.header();
    header.to_str().map(str::to_owned).map_err(|error| failed(error.to_string()))
}

//! What of the roles' runs is redacted.

use wombat_core::agent_config::AgentProfile;
use wombat_core::workspace::Snapshot;

use super::Report;

/// The tool by which a role has another one do something.
const ASK_AGENT: &str = "ask_agent";

impl Report {
    /// Tells what each role redacts, and which roles get from it what their own models then see.
    pub(super) fn redaction(&mut self, snapshot: &Snapshot) {
        let keeps = |profile: &&AgentProfile| {
            profile.redact.as_ref().is_some_and(|redact| redact.to.provider)
        };
        let open: Vec<&str> = snapshot
            .profiles()
            .filter(|profile| !keeps(profile))
            .map(|profile| profile.role.as_str())
            .collect();
        for profile in snapshot.profiles() {
            let Some(redact) = &profile.redact else { continue };
            self.good(format!("redaction: {}: {}", profile.role, redact.told()));
            if keeps(&profile) && profile.tools.enables(ASK_AGENT) && !open.is_empty() {
                self.note(format!(
                    "redaction: {} may ask {}, whose models get what it says without placeholders; give them \
                     \"redact\", too, if they are not to",
                    profile.role,
                    open.join(", ")
                ));
            }
        }
    }
}

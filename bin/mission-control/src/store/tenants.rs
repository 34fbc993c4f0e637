//! Which tenant a user belongs to, as the user's profile says.

use super::Store;
use super::error::StoreError;

impl Store {
    /// The tenant of a user, for one of the user's roles or for the person.
    pub async fn tenant_of(
        &self,
        _user_id: &str,
        _role: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

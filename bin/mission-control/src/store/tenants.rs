//! Which tenant a user belongs to, as the user's profile says.

use super::Store;
use super::error::StoreError;
use super::profiles::tenant_of;

impl Store {
    /// The tenant of a user, for one of the user's roles or for the person.
    pub async fn tenant_of(
        &self,
        user_id: &str,
        role: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.reader.acquire().await?;
        tenant_of(&mut connection, user_id, role).await
    }
}

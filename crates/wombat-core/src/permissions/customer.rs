//! A customer's rules on tools, which narrow those of a role.

use super::approval::ApprovalEntry;
use super::lists::RuleLists;

/// What a customer allows, denies and wants a person to approve, whatever the role may do besides.
#[derive(Debug)]
pub struct CustomerRules {
    /// Equal for equal rules.
    id: String,
    pub(super) lists: RuleLists,
}

impl CustomerRules {
    /// Reads the lists.
    ///
    /// # Errors
    /// All problems, with the patterns that they are about.
    pub fn read(
        allow: Option<&[String]>,
        deny: &[String],
        approval: &[ApprovalEntry],
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let lists = RuleLists::read(allow, deny, approval, &mut problems);
        let approval: Vec<_> = approval.iter().map(|rule| (&rule.tool, &rule.when)).collect();
        let id = format!("{allow:?} {deny:?} {approval:?}");
        if problems.is_empty() { Ok(Self { id, lists }) } else { Err(problems) }
    }

    /// A text that is equal for equal rules.
    pub fn id(&self) -> &str {
        &self.id
    }
}

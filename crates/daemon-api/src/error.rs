//! The one form of all errors.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::or_default;

/// The body of every error.
// It is also the data of a stream's `error` event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// A sentence for a human.
    pub error: String,
    /// A stable code for programs (docs/API.md).
    // Empty when whatever answered is not the daemon.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub code: Cow<'static, str>,
    /// Further details, depending on the code.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Object))]
    pub details: Value,
}

impl ErrorBody {
    /// What is wrong with fields of the request, by their names; empty where the error is about none.
    pub fn problems(&self) -> BTreeMap<String, String> {
        FieldProblems::deserialize(&self.details).unwrap_or_default().fields
    }
}

/// The details of an error about fields of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblems {
    /// What is wrong with each, by its name.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_and_written_as_documented() {
        let text = r#"{"error":"e","code":"c","details":{"fields":{"a":"b"}}}"#;
        let body: ErrorBody = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&body).unwrap(), text);
        let problems = [("a".to_owned(), "b".to_owned())].into();
        assert_eq!(body.problems(), problems);
        assert_eq!(body.details, serde_json::json!(FieldProblems { fields: problems }));
        let body: ErrorBody = serde_json::from_str(r#"{"error":"e","code":null,"new":1}"#).unwrap();
        assert_eq!((&*body.code, &body.details), ("", &Value::Null));
        assert!(body.problems().is_empty());
    }
}

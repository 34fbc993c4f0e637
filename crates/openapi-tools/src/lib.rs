//! Typed tools from an OpenAPI document: each operation with a name, a JSON Schema of its arguments,
//! and the request of a call. No network, no files.
//!
//! OpenAPI 3.0 and 3.1 and Swagger 2.0, JSON or YAML. An operation that cannot become a tool is reported and does not
//! affect the others. The document decides where a call goes: arguments fill in path segments, query
//! values and the body, and cannot add a host, a header or a path segment. Schemas are read as they are
//! meant: `oneOf` as `anyOf`, `7.0` as the integer that it is, and a keyword that is wrong costs itself.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod body;
mod declared;
mod document;
mod encode;
mod error;
mod files;
mod media_type;
mod names;
mod operation;
mod pairs;
mod parameter;
mod pointer;
mod reading;
mod request;
mod schema;
mod servers;
mod swagger2;
mod template;
mod whole;

pub use declared::FieldPlace;
pub use document::{Candidate, Document, Import, Problem};
pub use error::DocumentError;
pub use names::Names as ToolNames;
pub use operation::Operation;
pub use reading::{decode, may_be_document};
pub use request::{Body, Field, Request};
pub use servers::Mount;
pub use whole::whole_numbers;

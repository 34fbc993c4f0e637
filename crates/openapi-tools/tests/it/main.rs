//! Documents in, tools and requests out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bodies;
mod documents;
mod imported;
mod published;
mod reading;
mod requests;
mod schemas;
mod servers;
mod swagger;
mod wire;

use openapi_tools::{Document, Import, Operation};
use serde_json::{Value, json};

/// A document of these paths.
pub(crate) fn document(version: &str, paths: Value, schemas: Value) -> Document {
    let document = json!({ "openapi": version, "info": { "title": "T", "version": "1" },
        "paths": paths, "components": { "schemas": schemas } });
    Document::parse(&document.to_string(), &[], "").unwrap()
}

pub(crate) fn all(document: &Document) -> Import {
    document.import(|_| true)
}

/// The only operation of a document with one, which must have become a tool.
pub(crate) fn only(version: &str, path: &str, item: Value, schemas: Value) -> Operation {
    let import = all(&document(version, json!({ path: item }), schemas));
    assert_eq!(import.problems, [], "{path}");
    import.operations.into_iter().next().unwrap()
}

/// Whether a tool takes these arguments.
pub(crate) fn takes(operation: &Operation, arguments: &Value) -> bool {
    jsonschema::validator_for(operation.parameters()).unwrap().is_valid(arguments)
}

/// A parameter of any schema, with what else it says.
pub(crate) fn parameter(place: &str, name: &str, more: Value) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "schema": {} });
    parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parameter
}

/// The tool of a GET with these parameters.
pub(crate) fn get(path: &str, parameters: Value) -> Operation {
    only("3.1.0", path, json!({ "get": { "parameters": parameters } }), json!({}))
}

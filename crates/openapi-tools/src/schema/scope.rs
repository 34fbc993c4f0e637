//! What a reference leads to.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::{MAX_COPIED_BYTES, Schemas, size};
use crate::pointer::target;

/// The definitions that a schema has of its own, as a schema of any other document has them.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) definitions: Value,
    pub(super) number: usize,
}

/// What a reference leads to.
pub(super) struct Found<'a> {
    /// The reference, and where it is one of a schema's own definitions, of which schema.
    pub(super) key: String,
    pub(super) schema: Cow<'a, Value>,
    pub(super) scopes: Vec<Rc<Scope>>,
    /// Whether the reference stands within `not` or `if`, where it is converted in another way.
    pub(super) is_condition: bool,
}

impl<'a> Schemas<'a> {
    /// What a reference leads to: a place of the document, or a definition of a schema around. `None` for
    /// a definition that nobody has.
    pub(super) fn find(&mut self, reference: &str) -> Result<Option<Found<'a>>, String> {
        let is_condition = self.is_condition;
        let within = if is_condition { " within a condition" } else { "" };
        let why = match target(self.root, reference) {
            Ok(schema) => {
                let (key, schema) = (format!("{reference}{within}"), Cow::Borrowed(schema));
                return Ok(Some(Found { key, schema, scopes: Vec::new(), is_condition }));
            }
            Err(why) => why,
        };
        let own =
            |word: &str| reference.strip_prefix(word).is_some_and(|rest| rest.starts_with('/'));
        if !own("#/$defs") && !own("#/definitions") {
            return Err(why);
        }
        for (at, scope) in self.scopes.iter().enumerate().rev() {
            if let Ok(schema) = target(&scope.definitions, reference) {
                let key = format!("{} {reference}{within}", scope.number);
                let scopes = self.scopes[..=at].to_vec();
                let bytes = size(schema);
                let schema = Cow::Owned(schema.clone());
                self.copy(bytes)?;
                return Ok(Some(Found { key, schema, scopes, is_condition }));
            }
        }
        let line = format!("{why}: what is there is not checked");
        if !self.unknown.contains(&line) {
            self.unknown.push(line);
        }
        Ok(None)
    }

    /// Takes up the definitions that a schema has of its own.
    pub(super) fn enter(&mut self, fields: &Map<String, Value>) -> Result<(), String> {
        let own = ["$defs", "definitions"].into_iter().filter_map(|word| {
            let named = fields.get(word).filter(|named| named.is_object())?;
            Some((word.to_owned(), named.clone()))
        });
        let own: Map<String, Value> = own.collect();
        if !own.is_empty() {
            let (number, definitions) = (self.nodes, Value::Object(own));
            self.copy(size(&definitions))?;
            self.scopes.push(Rc::new(Scope { definitions, number }));
        }
        Ok(())
    }

    fn copy(&mut self, bytes: usize) -> Result<(), String> {
        self.copied += bytes;
        if self.copied > MAX_COPIED_BYTES {
            return Err("its schemas have too many definitions of their own".to_owned());
        }
        Ok(())
    }
}

//! Where everything is kept: in memory here, and so gone when the application stops; your own
//! database there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mc_client::types::{Document, Message, Page, Task};
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::schools::Visit;

/// All that the application keeps.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) tasks: Shelf<Task>,
    pub(crate) messages: Shelf<Message>,
    pub(crate) documents: Shelf<Document>,
    pub(crate) visits: Shelf<Visit>,
}

/// One key, two bodies: what was made of the first.
#[derive(Debug)]
pub(crate) struct Conflict<T>(pub(crate) T);

/// What a create answers with.
pub(crate) struct Created<T> {
    object: T,
    replayed: bool,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        match self.replayed {
            true => ([("idempotent-replayed", "true")], Json(self.object)).into_response(),
            false => (StatusCode::CREATED, Json(self.object)).into_response(),
        }
    }
}

/// Objects of one kind, in the order in which they were made, each with its owner.
pub(crate) struct Shelf<T>(Mutex<Inner<T>>);

struct Inner<T> {
    objects: Vec<(String, T)>,
    /// By user and key: the body that came with it, and where its object is.
    keys: HashMap<(String, String), (Value, usize)>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner { objects: Vec::new(), keys: HashMap::new() }))
    }
}

impl<T: Clone> Shelf<T> {
    fn with<R>(&self, act: impl FnOnce(&mut Inner<T>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes an object once for each key of a user. Bodies are compared as JSON values.
    pub(crate) fn create(
        &self,
        user: &str,
        key: Option<&str>,
        body: &Value,
        object: T,
    ) -> Result<Created<T>, Conflict<T>> {
        // Looked up and written under one lock: of two at once, one wins and the other sees it.
        self.with(|inner| {
            let key = key.map(|key| (user.to_owned(), key.to_owned()));
            if let Some((before, at)) = key.as_ref().and_then(|key| inner.keys.get(key)) {
                let object = inner.objects[*at].1.clone();
                let same = before == body;
                return if same {
                    Ok(Created { object, replayed: true })
                } else {
                    Err(Conflict(object))
                };
            }
            if let Some(key) = key {
                inner.keys.insert(key, (body.clone(), inner.objects.len()));
            }
            inner.objects.push((user.to_owned(), object.clone()));
            Ok(Created { object, replayed: false })
        })
    }

    /// The first of the user's objects that fits.
    pub(crate) fn find(&self, user: &str, fits: impl Fn(&T) -> bool) -> Option<T> {
        self.with(|inner| {
            let mut objects = inner.objects.iter();
            objects.find(|(owner, object)| owner == user && fits(object)).map(|(_, it)| it.clone())
        })
    }

    /// What the user made under a key.
    pub(crate) fn by_key(&self, user: &str, key: &str) -> Option<T> {
        self.with(|inner| {
            let (_, at) = inner.keys.get(&(user.to_owned(), key.to_owned()))?;
            Some(inner.objects[*at].1.clone())
        })
    }

    /// A page of the user's objects that fit, the oldest first. `newest` begins with the page that
    /// holds the newest, and the cursor leads to older ones.
    pub(crate) fn page(
        &self,
        user: &str,
        paging: &Paging,
        newest: bool,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, ApiError> {
        let (limit, cursor) = paging.read()?;
        Ok(self.with(|inner| {
            let fitting = inner.objects.iter().enumerate();
            let fitting = fitting.filter(|(_, (owner, object))| owner == user && fits(object));
            let mut found: Vec<_> = match newest {
                true => fitting
                    .rev()
                    .filter(|(at, _)| cursor.is_none_or(|cursor| *at < cursor))
                    .take(limit + 1)
                    .collect(),
                false => fitting
                    .filter(|(at, _)| cursor.is_none_or(|cursor| *at > cursor))
                    .take(limit + 1)
                    .collect(),
            };
            let more = found.len() > limit;
            found.truncate(limit);
            let next_cursor = found.last().filter(|_| more).map(|(at, _)| at.to_string());
            if newest {
                found.reverse();
            }
            let items = found.into_iter().map(|(_, (_, object))| object.clone()).collect();
            Page { items, next_cursor }
        }))
    }
}

/// `limit` and `cursor`, as they came.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Paging {
    limit: Option<String>,
    cursor: Option<String>,
}

impl Paging {
    fn read(&self) -> Result<(usize, Option<usize>), ApiError> {
        let limit = self.limit.as_deref().map_or(Ok(50), str::parse::<usize>);
        let limit = limit.ok().filter(|limit| (1..=200).contains(limit));
        let limit = limit.ok_or_else(|| ApiError::invalid("limit must be from 1 to 200"))?;
        let cursor = self.cursor.as_deref().map(str::parse::<usize>).transpose();
        let cursor = cursor.map_err(|_| ApiError::invalid("the cursor is not one of ours"))?;
        Ok((limit, cursor))
    }
}

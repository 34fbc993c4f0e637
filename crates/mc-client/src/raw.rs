//! Calls of the application's own endpoints, outside the contract.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::call::{Call, Failure, IDEMPOTENCY_KEY};
use crate::client::AgentClient;
use crate::error::McError;

pub use crate::call::RawResponse;

/// The largest picture or PDF that is read; they are of no use in part.
const MAX_MEDIA_BYTES: usize = 20 * 1024 * 1024;

/// The media type of HTML forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// A call of an endpoint outside the contract.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with `/`; already normalised and encoded.
    pub path_and_query: String,
    /// The body.
    pub body: Option<RawBody>,
    /// Sent as header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The most bytes of the answer that are read; the rest is dropped. A picture or a PDF may be larger.
    pub max_bytes: usize,
}

/// The body of a call of an endpoint outside the contract.
#[derive(Debug, Clone, PartialEq)]
pub enum RawBody {
    /// As `application/json`.
    Json(Value),
    /// As another type of JSON.
    JsonAs(String, Value),
    /// As `application/x-www-form-urlencoded`; already encoded.
    Form(String),
    /// As `multipart/form-data`.
    Multipart(Vec<RawField>),
    /// As text of this type.
    Text(String, String),
}

/// A field of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawField {
    /// Its name.
    pub name: String,
    /// Its type, where it is not plain text.
    pub media_type: Option<String>,
    /// Its text.
    pub value: String,
}

impl From<Value> for RawBody {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl RawResponse {
    /// The media type of an answer that is a picture or a PDF, which is no text.
    pub fn media_type(&self) -> Option<String> {
        media_type(&self.headers)
    }
}

/// The media type of a picture or a PDF.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let declared = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_picture = essence.starts_with("image/") && !essence.ends_with("+xml");
    (is_picture || essence == "application/pdf").then_some(essence)
}

impl AgentClient {
    /// Calls an endpoint of the backend outside the contract. An error status is an answer here, not
    /// an error. Only reads are retried: whether other endpoints honour the key is not known.
    pub async fn raw(&self, request: RawRequest) -> Result<RawResponse, McError> {
        self.raw_accepting(request, None).await
    }

    /// As [`AgentClient::raw`], for an endpoint that answers with something else than JSON: strict servers
    /// refuse a call that does not accept it.
    pub async fn raw_accepting(
        &self,
        request: RawRequest,
        accept: Option<&str>,
    ) -> Result<RawResponse, McError> {
        let mut call = Call::new(request.method, &request.path_and_query);
        call.repeatable = call.method == Method::GET;
        call.max_bytes = request.max_bytes;
        call.max_media_bytes = Some(MAX_MEDIA_BYTES);
        call.cut_long_answer = true;
        call.is_foreign = true;
        if let Some(accept) = accept {
            call.accept = accept.to_owned().into();
        }
        match request.body {
            Some(RawBody::Json(body)) => call = call.json(&body)?,
            Some(RawBody::JsonAs(kind, body)) => {
                call = call.json(&body)?;
                call.content_type = kind.into();
            }
            Some(RawBody::Form(form)) => {
                call.body = Some(form.into());
                call.content_type = FORM.into();
            }
            Some(RawBody::Multipart(fields)) => {
                let boundary = boundary(&fields);
                call.body = Some(multipart(&fields, &boundary).into());
                call.content_type = format!("multipart/form-data; boundary={boundary}").into();
            }
            Some(RawBody::Text(kind, text)) => {
                call.body = Some(text.into());
                call.content_type = kind.into();
            }
            None => {}
        }
        if let Some(key) = request.idempotency_key {
            call = call.header(IDEMPOTENCY_KEY, &key)?;
        }
        match self.caller.answer(&call).await {
            Ok(answer) => Ok(answer),
            Err(Failure { answer: Some(answer), .. }) => Ok(answer),
            Err(Failure { error, answer: None }) => Err(error),
        }
    }
}

/// A line that is in none of the fields.
fn boundary(fields: &[RawField]) -> String {
    let mut n = 0_u64;
    loop {
        let boundary = format!("wombat-{n:016x}");
        if !fields.iter().any(|field| field.value.contains(&boundary)) {
            return boundary;
        }
        n += 1;
    }
}

/// A body of `multipart/form-data` (RFC 7578). Names are escaped as browsers do
/// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>).
fn multipart(fields: &[RawField], boundary: &str) -> String {
    let mut body = String::new();
    for field in fields {
        let name = field.name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22");
        body += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n");
        if let Some(kind) = &field.media_type {
            body += &format!("Content-Type: {kind}\r\n");
        }
        body += &format!("\r\n{}\r\n", field.value);
    }
    body + &format!("--{boundary}--\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_body_has_each_field_and_a_boundary_that_no_field_has() {
        let field = |name: &str, kind: Option<&str>, value: &str| RawField {
            name: name.to_owned(),
            media_type: kind.map(str::to_owned),
            value: value.to_owned(),
        };
        let fields = [
            field("a\"\r\nX: y", None, "--wombat-0000000000000000--"),
            field("j", Some("application/json"), "{}"),
        ];
        let boundary = boundary(&fields);
        assert_eq!(boundary, "wombat-0000000000000001");
        assert_eq!(
            multipart(&fields, &boundary),
            "--wombat-0000000000000001\r\n\
             Content-Disposition: form-data; name=\"a%22%0D%0AX: y\"\r\n\r\n\
             --wombat-0000000000000000--\r\n\
             --wombat-0000000000000001\r\n\
             Content-Disposition: form-data; name=\"j\"\r\nContent-Type: application/json\r\n\r\n\
             {}\r\n\
             --wombat-0000000000000001--\r\n"
        );
    }
}

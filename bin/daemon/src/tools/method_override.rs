//! Fields by which servers take another method than that of the request, so that a permitted `POST` would
//! be a `DELETE`.

use mc_client::raw::RawBody;
use openapi_tools::FieldPlace;
use serde_json::Value;
use url::form_urlencoded;

/// Names with a mark before them: `_method` (Rails, Laravel, Symfony, Spring, Express), `$method`,
/// `_HttpMethod` (Salesforce), `$httpMethod` (Google).
const MARKED: [&str; 3] = ["method", "httpmethod", "requestmethod"];

/// Names of headers that servers also take from a query or a form (Express `method-override`, ASP.NET
/// `HttpMethodOverride`, OData `X-HTTP-Method`), without their marks.
const HEADERS: [&str; 6] = [
    "httpmethodoverride",
    "methodoverride",
    "xhttpmethod",
    "xhttpmethodoverride",
    "xmethodoverride",
    "httpxhttpmethodoverride",
];

/// What a query of a plain `method` is an override with (Facebook's Graph API, Restlet).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MERGE", "TRACE"];

/// Refuses a request of which a field asks for another method and is not declared; the error is for the
/// model.
pub(super) fn refuse(
    query: &str,
    body: Option<&RawBody>,
    is_declared: impl Fn(FieldPlace, &str) -> bool,
) -> Result<(), String> {
    let in_query = find_pair(query, FieldPlace::Query, &is_declared);
    let in_body = match body {
        Some(RawBody::Json(Value::Object(fields)) | RawBody::JsonAs(_, Value::Object(fields))) => {
            let mut names = fields.keys();
            names.find(|name| is_override(name) && !is_declared(FieldPlace::Body, name)).cloned()
        }
        Some(RawBody::Form(form)) => find_pair(form, FieldPlace::Body, &is_declared),
        Some(RawBody::Multipart(fields)) => {
            let mut fields = fields.iter().map(|field| (&field.name, &field.value));
            let found = fields.find(|(name, value)| {
                (is_override(name) || is_plain_override(name, value))
                    && !is_declared(FieldPlace::Body, name)
            });
            found.map(|(name, _)| name.clone())
        }
        Some(RawBody::Json(_) | RawBody::JsonAs(..) | RawBody::Text(..)) | None => None,
    };
    let (name, place) = match (in_query, in_body) {
        (Some(name), _) => (name, "query"),
        (None, Some(name)) => (name, "body"),
        (None, None) => return Ok(()),
    };
    Err(format!(
        "{name:?} in the {place} asks for another method, and the endpoint does not declare it; leave it \
         out, and call the endpoint by the method that it has"
    ))
}

/// The first field of a query or a form that asks for another method.
fn find_pair(
    pairs: &str,
    place: FieldPlace,
    is_declared: &impl Fn(FieldPlace, &str) -> bool,
) -> Option<String> {
    let mut pairs = form_urlencoded::parse(pairs.as_bytes());
    let found = pairs.find(|(name, value)| {
        (is_override(name) || is_plain_override(name, value)) && !is_declared(place, name)
    });
    found.map(|(name, _)| name.into_owned())
}

fn is_override(name: &str) -> bool {
    let (plain, is_marked) = normal(name);
    HEADERS.contains(&plain.as_str()) || (is_marked && MARKED.contains(&plain.as_str()))
}

fn is_plain_override(name: &str, value: &str) -> bool {
    let value = value.trim();
    MARKED.contains(&normal(name).0.as_str())
        && METHODS.iter().any(|method| method.eq_ignore_ascii_case(value))
}

/// A name's letters and digits in lower case, and whether a mark is before them. What follows a bracket is
/// a key within the field (`_method[]`); PHP reads dots, spaces and a bracket in front as `_`.
fn normal(name: &str) -> (String, bool) {
    let name = wombat_core::endpoint::folded_text(name);
    let is_marked = name.starts_with(|c: char| !c.is_alphanumeric());
    let end = name.find('[').filter(|at| *at > 0).unwrap_or(name.len());
    let plain = name[..end].chars().filter(|c| c.is_alphanumeric()).collect();
    (plain, is_marked)
}

#[cfg(test)]
mod tests {
    use mc_client::raw::RawField;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_ask_for_another_method_are_found_by_any_spelling() {
        for name in [
            "_method",
            "_METHOD",
            "_Method",
            "__method",
            "$method",
            ".method",
            " method",
            "[_method]",
            "[method",
            "_method[]",
            "%5Fmethod",
            "_met%68od",
            "＿method",
            "_me\u{200b}thod",
            "X-HTTP-Method-Override",
            "x-http-method-override",
            "X_HTTP_METHOD_OVERRIDE",
            "X-Method-Override",
            "X-HTTP-Method",
            "xHttpMethodOverride",
            "_HttpMethod",
            "$httpMethod",
            "HTTP_X_HTTP_METHOD_OVERRIDE",
            "method-override",
            "_http_method",
        ] {
            let pairs =
                form_urlencoded::Serializer::new(String::new()).append_pair(name, "x").finish();
            assert!(refuse(&pairs, None, |_, _| false).is_err(), "{name:?} in the query");
            let body = RawBody::Json(json!({ name: "x" }));
            let why = refuse("", Some(&body), |_, _| false).unwrap_err();
            assert!(why.contains("in the body"), "{why}");
            assert!(refuse(&pairs, Some(&body), |_, field| field == name).is_ok(), "declared");
            let form = RawBody::Form(pairs);
            assert!(refuse("", Some(&form), |_, _| false).is_err(), "{name:?} in a form");
            let field = RawField { name: name.to_owned(), media_type: None, value: "x".to_owned() };
            let parts = RawBody::Multipart(vec![field]);
            assert!(
                refuse("", Some(&parts), |_, _| false).is_err(),
                "{name:?} in a multipart body"
            );
            let other =
                RawBody::JsonAs("application/vnd.api+json".to_owned(), json!({ name: "x" }));
            assert!(refuse("", Some(&other), |_, _| false).is_err(), "{name:?} in JSON:API");
        }
        assert!(refuse("method=delete", None, |_, _| false).is_err());
        assert!(refuse("httpMethod=PUT", None, |_, _| false).is_err());
    }

    #[test]
    fn other_fields_pass() {
        let query = "method=card&payment_method=x&_methods=1&methodology=a&http=1";
        let body = RawBody::Json(json!({
            "method": "DELETE", "httpMethod": "POST", "payment_method": "card", "_meta": 1,
            "data": { "_method": "x" }, "a[_method]": 1
        }));
        assert_eq!(refuse(query, Some(&body), |_, _| false), Ok(()));
        assert_eq!(refuse("", Some(&RawBody::Json(json!(["_method"]))), |_, _| false), Ok(()));
        assert_eq!(refuse("", None, |_, _| false), Ok(()));
    }
}

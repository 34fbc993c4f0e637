//! OpenAPI documents, and arguments for what they declare, on any text. The document ends where the
//! first NUL is; the arguments are what follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openapi_tools::{Body, Document};
use wombat_core::endpoint::NormalPath;

fuzz_target!(|text: &str| {
    let (document, arguments) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(document) = Document::parse(document, &["create_task"], "/v1") else { return };
    let import = document.import(|_| true);
    let arguments = serde_json::from_str(arguments).unwrap_or_default();
    for operation in import.operations {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        assert!(operation.name().len() <= 64 && operation.name().chars().all(plain));
        assert_ne!(operation.name(), "create_task");
        let Ok(request) = operation.request(&arguments) else { continue };
        // Arguments add no segment, no query to the path, and nothing that some server climbs by.
        assert_eq!(request.path.matches('/').count(), operation.endpoint().matches('/').count());
        assert!(!request.query.contains('#'));
        if let Ok(path) = NormalPath::parse(&request.path) {
            assert_eq!(path.segments().len(), request.path.matches('/').count());
        }
        if let Some(Body::Form(form)) = request.body {
            assert!(form.is_ascii());
        }
    }
});

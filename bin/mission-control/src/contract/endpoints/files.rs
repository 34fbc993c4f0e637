//! Files.

use super::{Answer, BYTES, Endpoint, Who};

/// The endpoints, in the order of the document.
pub(super) static ENDPOINTS: [Endpoint; 3] = [
    Endpoint {
        method: "put",
        path: "/files",
        feature: "files",
        id: "put_file",
        summary: "Stores a file; one with equal bytes, name and type is the same file",
        who: Who::Tenant,
        query: &[("name", true)],
        body: Some(BYTES),
        answer: Answer::New("FileMeta"),
    },
    Endpoint {
        method: "get",
        path: "/files/{id}",
        feature: "files",
        id: "get_file",
        summary: "A file's bytes, or what is known of them",
        who: Who::Tenant,
        query: &[("meta", false)],
        body: None,
        answer: Answer::Bytes("FileMeta"),
    },
    Endpoint {
        method: "delete",
        path: "/files/{id}",
        feature: "files",
        id: "delete_file",
        summary: "Deletes a file; messages keep what they tell of it",
        who: Who::Person,
        query: &[],
        body: None,
        answer: Answer::Nothing,
    },
];

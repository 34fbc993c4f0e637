//! Finds tools by what they are for. The index is BM25F: each word of a tool counts by the field that it stands in
//! and by how rare it is among all tools. Pure: the same tools and words give the same answer, in the same order.

mod entry;
mod index;
mod words;

pub use entry::Entry;
pub use index::Index;

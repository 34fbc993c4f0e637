//! The addresses of documents that a page names: Swagger UI (`url: "…"`), Redoc (`spec-url="…"`), Scalar
//! (`data-url="…"`), RapiDoc and Elements all have theirs in quotes.

/// The longest address.
const MAX_CHARS: usize = 200;

/// The most texts in one kind of quotes; a page may have tens of thousands.
const MAX_FOUND: usize = 50;

/// What an address of a document has in it.
const WORDS: [&str; 6] = ["openapi", "swagger", "api-docs", "schema", "spec", "docs"];

/// Ends of addresses that are of something else.
const OTHERS: [&str; 9] =
    [".js", ".css", ".png", ".svg", ".ico", ".map", ".html", ".woff2", ".webmanifest"];

/// The texts in quotes that may be the address of a document, in their order.
pub(super) fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for quote in ['"', '\''] {
        let before = found.len();
        // Without knowing where quotes begin, every text between two of them counts.
        for text in page.split(quote).filter(|text| text.len() <= MAX_CHARS) {
            let text = text.replace("\\/", "/").replace("&amp;", "&");
            if may_be_address(&text) && !found.contains(&text) {
                found.push(text);
                if found.len() - before == MAX_FOUND {
                    break;
                }
            }
        }
    }
    found
}

fn may_be_address(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let is_file = [".json", ".yaml", ".yml"].iter().any(|end| path.ends_with(end));
    let is_path = path.contains('/') && WORDS.iter().any(|word| path.contains(word));
    let is_address = !text.contains(|c: char| c.is_whitespace() || "<>{}()[];,\\".contains(c));
    is_address && (is_file || is_path) && !OTHERS.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_document_is_found_on_each_page_that_shows_one() {
        for (page, address) in [
            // FastAPI's Swagger UI, and its Redoc.
            ("const ui = SwaggerUIBundle({\n url: '/v2/openapi.json',\n", "/v2/openapi.json"),
            ("<redoc spec-url=\"/v2/openapi.json\"></redoc>", "/v2/openapi.json"),
            // drf-spectacular, NestJS, ASP.NET, Scalar, Springdoc's initializer.
            ("url: \"/api/v9/schema/\",", "/api/v9/schema/"),
            ("{\"urls\":[{\"url\":\"v1\\/swagger.json\",\"name\":\"V1\"}]}", "v1/swagger.json"),
            (
                "<script id=\"api-reference\" data-url=\"/reference/openapi.yaml\">",
                "/reference/openapi.yaml",
            ),
            (
                "window.ui = SwaggerUIBundle({ configUrl: \"/v3/api-docs/swagger-config\" })",
                "/v3/api-docs/swagger-config",
            ),
            ("<elements-api apiDescriptionUrl='/spec?a=1&amp;b=2'>", "/spec?a=1&b=2"),
        ] {
            assert!(links(page).contains(&address.to_owned()), "{page}: {:?}", links(page));
        }
        let page = "<link href=\"/docs/swagger-ui.css\"><script src='/docs/swagger-ui-bundle.js'></script><a href=\"/about\">it's a \"spec\"</a>";
        assert_eq!(links(page), Vec::<String>::new());
    }
    #[test]
    fn a_page_of_links_without_end_is_not_gone_through() {
        let many: String = (0..30_000).map(|n| format!("<a href=\"/docs/{n}\">")).collect();
        let found = links(&format!("{many} url: '/openapi.json'"));
        assert_eq!(found.len(), MAX_FOUND + 1);
        assert!(found.contains(&"/openapi.json".to_owned()));
    }
}

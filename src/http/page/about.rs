//! What is this place? The `service_documentation` of the metadata (RFC 8414 2).

use askama::Template;

use super::{STYLE, legible};

/// The page about this server.
#[derive(Template, Debug, Clone, Copy)]
#[template(path = "about.html", config = "src/http/page/askama.toml")]
pub struct AboutPage<'a> {
    /// The services that tokens are issued for.
    pub resources: &'a [ProtectedService<'a>],
    /// The path of the metadata document.
    pub metadata_url: &'a str,
}

/// One service that tokens are issued for.
#[derive(Debug, Clone, Copy)]
pub struct ProtectedService<'a> {
    /// For people.
    pub name: &'a str,
    /// Its canonical URI.
    pub uri: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_sound;
    use super::*;

    #[test]
    fn every_service_is_named_and_the_metadata_is_linked() {
        let resources = [ProtectedService { name: "<b>Notes", uri: "https://mcp.example.com/mcp" }];
        let html = AboutPage { resources: &resources, metadata_url: "/.well-known/x" }.render().unwrap();
        assert_sound(&html);
        assert!(
            html.contains("&#60;b&#62;Notes") && html.contains("mcp.example.com") && html.contains("/.well-known/x")
        );
    }
}

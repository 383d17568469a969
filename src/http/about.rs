//! `GET /oauth/about`: the `service_documentation` of the metadata.

use axum::{extract::State, http::StatusCode, response::Response};

use super::{
    App,
    html::html,
    page::about::{AboutPage, ProtectedService},
    table::path,
};

pub(super) async fn get(State(app): State<App>) -> Response {
    let authority = app.authority();
    let resources: Vec<_> = authority
        .policy
        .resources
        .iter()
        .map(|resource| ProtectedService { name: &resource.name, uri: resource.uri.as_str() })
        .collect();
    let metadata_url = format!("{}{}", path::METADATA, authority.issuer.path());
    html(StatusCode::OK, &AboutPage { resources: &resources, metadata_url: &metadata_url }, None)
}

//! Where the backend is: `BACKEND_URL`, and `WOMBAT_CONTROL_PLANE_URL` where the control plane is a
//! program of its own beside the application.

use mc_client::client::{McClient, RetryPolicy};
use outbound::HttpClient;

use crate::settings::Reader;

/// Where a backend is that is not configured.
const DEFAULT: &str = "http://localhost:8000";

/// The addresses of control plane and application; mostly they are the same.
#[derive(Debug, Clone)]
pub struct BackendAddress {
    /// The base URL of everything under `/api/mission-control`, without a trailing slash.
    pub control_plane: String,
    /// The base URL of the application's own endpoints, without a trailing slash.
    pub application: String,
    /// The variable that names the control plane, for error messages.
    pub control_plane_variable: &'static str,
}

impl BackendAddress {
    /// The variable that names the application.
    pub const APPLICATION_VARIABLE: &'static str = "BACKEND_URL";

    /// Reads `BACKEND_URL` and `WOMBAT_CONTROL_PLANE_URL`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let application = reader.url(Self::APPLICATION_VARIABLE, DEFAULT);
        match reader.optional_url("WOMBAT_CONTROL_PLANE_URL") {
            Some(control_plane) => Self {
                control_plane,
                application,
                control_plane_variable: "WOMBAT_CONTROL_PLANE_URL",
            },
            None => Self {
                control_plane: application.clone(),
                application,
                control_plane_variable: Self::APPLICATION_VARIABLE,
            },
        }
    }

    /// Whether control plane and application are at different addresses.
    pub fn is_split(&self) -> bool {
        self.control_plane != self.application
    }

    /// A client of both.
    pub fn client(&self, http: impl Into<HttpClient>, retry: RetryPolicy) -> McClient {
        McClient::new(&self.control_plane, http, retry).with_application(&self.application)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layers;

    fn read(pairs: &[(&str, &str)]) -> (BackendAddress, Vec<String>) {
        let layers = Layers::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&layers);
        let address = BackendAddress::read(&mut reader);
        (address, reader.finish().err().map(|error| error.0).unwrap_or_default())
    }

    #[test]
    fn the_control_plane_is_where_the_backend_is_unless_it_has_an_address_of_its_own() {
        for (pairs, control_plane, application, is_split) in [
            (&[][..], DEFAULT, DEFAULT, false),
            (&[("BACKEND_URL", "http://app/x/")][..], "http://app/x", "http://app/x", false),
            (
                &[("BACKEND_URL", "http://app"), ("WOMBAT_CONTROL_PLANE_URL", "http://plane/")][..],
                "http://plane",
                "http://app",
                true,
            ),
            (&[("WOMBAT_CONTROL_PLANE_URL", "http://plane")][..], "http://plane", DEFAULT, true),
            (
                &[("BACKEND_URL", "http://app"), ("WOMBAT_CONTROL_PLANE_URL", "http://app/")][..],
                "http://app",
                "http://app",
                false,
            ),
            (&[("WOMBAT_CONTROL_PLANE_URL", "")][..], DEFAULT, DEFAULT, false),
        ] {
            let (address, problems) = read(pairs);
            assert_eq!(problems, Vec::<String>::new(), "{pairs:?}");
            assert_eq!(address.control_plane, control_plane, "{pairs:?}");
            assert_eq!(address.application, application, "{pairs:?}");
            assert_eq!(address.is_split(), is_split, "{pairs:?}");
        }
        let (_, problems) = read(&[("WOMBAT_CONTROL_PLANE_URL", "plane:8000")]);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("WOMBAT_CONTROL_PLANE_URL is \"plane:8000\""),
            "{problems:?}"
        );
    }
}

//! A port that is taken is told with what else has to name the new one.

use tempfile::TempDir;
use test_support::program::Program;

use crate::harness::{INTERNAL, SECRET};

#[tokio::test]
async fn a_port_that_is_taken_names_the_setting_of_the_other_programs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let application = "http://127.0.0.1:8000".to_owned();
    let plane = ("WOMBAT_CONTROL_PLANE_URL", format!("http://127.0.0.1:{port}"));
    for (beside, told) in [
        (None, "MC_PORT to a free port, and BACKEND_URL of the other programs to it"),
        (
            Some(plane),
            "MC_PORT to a free port, and WOMBAT_CONTROL_PLANE_URL of the other programs to it (BACKEND_URL stays",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let settings: Vec<_> = [
            ("AGENT_JWT_SECRET", SECRET.to_owned()),
            ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
            ("BACKEND_URL", application.clone()),
            ("MC_PORT", port.clone()),
        ]
        .into_iter()
        .chain(beside)
        .collect();
        let mut program =
            Program::start("wombat-mission-control", dir.path(), &settings, &[]).unwrap();
        assert!(!program.wait().await.unwrap().success());
        let log = program.full_log().await;
        assert!(log.contains(told), "{log}");
    }
}

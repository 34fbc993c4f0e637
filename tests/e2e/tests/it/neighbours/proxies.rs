//! Reverse proxies, set up exactly as docs/DEPLOY.md shows.

use std::path::Path;
use std::process::Stdio;

use test_support::wait_for;
use tokio::process::{Child, Command};

use crate::peers::{free_port, installed, proxies};

/// A proxy with the daemon at `/wombat/` and the page at `/board/`.
pub(super) struct Proxy {
    _child: Child,
    pub(super) url: String,
}

/// The first block of docs/DEPLOY.md in a language after its heading, with these addresses.
fn snippet(language: &str, port: u16, daemon: &str, backend: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/DEPLOY.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("## Behind a reverse proxy").nth(1).unwrap();
    let block = section.split(&format!("```{language}\n")).nth(1).unwrap();
    let mut block = block.split("\n```").next().unwrap().to_owned();
    for (named, url) in [(8081, daemon), (8000, backend)] {
        let address = url.trim_start_matches("http://");
        let port = address.rsplit(':').next().unwrap();
        block = block.replace(&format!("127.0.0.1:{named}"), address);
        block = block.replace(&format!("port_value: {named}"), &format!("port_value: {port}"));
    }
    block.replace("8080", &port.to_string())
}

impl Proxy {
    /// Starts a proxy in front of these two, where it is installed.
    pub(super) async fn start(
        which: &str,
        dir: &Path,
        daemon: &str,
        backend: &str,
    ) -> Option<Self> {
        let port = free_port();
        let at = dir.display();
        let mut command = match which {
            "nginx" => {
                let mut command = Command::new(installed("nginx")?);
                let server = snippet("nginx", port, daemon, backend);
                let config = format!(
                    "daemon off; master_process off; error_log {at}/error.log; pid {at}/pid;
                    events {{}}
                    http {{
                        access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p;
                        fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
                        {server}
                    }}"
                );
                std::fs::write(dir.join("nginx.conf"), config).unwrap();
                command.arg("-c").arg(dir.join("nginx.conf")).arg("-p").arg(dir);
                command
            }
            "haproxy" => {
                let mut command = Command::new(installed("haproxy")?);
                let config = snippet("haproxy", port, daemon, backend) + "\n";
                std::fs::write(dir.join("haproxy.cfg"), config).unwrap();
                command.arg("-f").arg(dir.join("haproxy.cfg")).arg("-db");
                command
            }
            "caddy" => {
                let mut command = Command::new(proxies("caddy")?);
                let sites = snippet("caddyfile", port, daemon, backend);
                std::fs::write(dir.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{sites}\n"))
                    .unwrap();
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                command.arg(dir.join("Caddyfile")).env("HOME", dir);
                command
            }
            _ => {
                let mut command = Command::new(proxies("envoy")?);
                std::fs::write(dir.join("envoy.yaml"), snippet("yaml", port, daemon, backend))
                    .unwrap();
                command.arg("-c").arg(dir.join("envoy.yaml"));
                command.args(["--use-dynamic-base-id", "--concurrency", "1"]);
                command
            }
        };
        let log = std::fs::File::create(dir.join("proxy.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        wait_for("the proxy listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Some(Self { _child: child, url: format!("http://127.0.0.1:{port}") })
    }
}

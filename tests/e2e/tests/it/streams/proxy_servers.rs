//! nginx and HAProxy in front of daemons.

use std::path::Path;
use std::process::Stdio;

use test_support::wait_for;
use tokio::process::{Child, Command};

use crate::peers::{free_port, installed};

/// A proxy in front of daemons.
pub(crate) struct Proxy {
    _child: Child,
    pub(crate) url: String,
}

async fn start(mut command: Command, port: u16) -> Proxy {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_for("the proxy listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Proxy { _child: child, url: format!("http://127.0.0.1:{port}") }
}

/// nginx with its defaults; a daemon that drains, or is down, is passed over.
pub(super) async fn nginx(dir: &Path, daemons: &[&str]) -> Option<Proxy> {
    let program = installed("nginx")?;
    let (port, dir) = (free_port(), dir.join(format!("nginx-{}", daemons.len())));
    std::fs::create_dir_all(&dir).unwrap();
    let servers: String = daemons
        .iter()
        .map(|url| format!("server {} max_fails=0;", url.trim_start_matches("http://")))
        .collect();
    let at = dir.display();
    let config = format!(
        "daemon off; master_process off; error_log {at}/error.log; pid {at}/pid;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p;
            fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
            upstream wombat {{ {servers} }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://wombat;
                    proxy_next_upstream error timeout http_503 non_idempotent;
                }}
            }}
        }}"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(&dir);
    Some(start(command, port).await)
}

/// HAProxy, which checks `/readyz` of each daemon.
pub(crate) async fn haproxy(dir: &Path, daemons: &[&str]) -> Option<Proxy> {
    let program = installed("haproxy")?;
    let port = free_port();
    let servers: String = daemons
        .iter()
        .enumerate()
        .map(|(n, url)| {
            let address = url.trim_start_matches("http://");
            format!("    server s{n} {address} check inter 100ms fall 1 rise 1\n")
        })
        .collect();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    \
         timeout server 60s\n    retries 4\n    option redispatch 1\n    \
         retry-on conn-failure empty-response 503\n\
         frontend f\n    bind 127.0.0.1:{port}\n    default_backend b\n\
         backend b\n    option http-buffer-request\n    option httpchk GET /readyz\n{servers}"
    );
    let file = dir.join(format!("haproxy-{port}.cfg"));
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-f").arg(&file).arg("-db");
    Some(start(command, port).await)
}

//! `PROGRAM health`: asks the running program whether it is ready, for containers without a shell or
//! curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Url;

use crate::exit;
use crate::settings::{Layers, Reader};

/// The timeout, from the connection to the last byte that is read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much of an answer is shown: enough for the reason, too little for a page of a wrong server to
/// fill a log.
const SHOWN: usize = 300;

/// Where a program listens, by its settings.
#[derive(Debug)]
pub struct Probe {
    /// The program's name, for its messages.
    pub program: &'static str,
    /// The setting with its address; 127.0.0.1 by default.
    pub host: &'static str,
    /// The setting with its port.
    pub port: &'static str,
    /// The default port; a program without one listens only when the setting is set.
    pub default_port: Option<u16>,
    /// The path of the readiness probe.
    pub path: &'static str,
}

impl Probe {
    /// Asks, and prints one line. The exit code is 0 when the program is ready and 1 otherwise: Docker
    /// knows no other codes, and Kubernetes needs none.
    ///
    /// `url` is an explicit address. Without it the address comes from the settings, of which no
    /// others are needed.
    pub fn ask(&self, layers: &Layers, url: Option<&str>) -> ExitCode {
        let place = match url {
            Some(url) => self.named(url),
            None => self.own(layers),
        };
        let found = place.and_then(|url| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let answer = runtime.block_on(ask(&url));
            let url = self.shown(&url);
            answer.map(|()| url.clone()).map_err(|why| format!("not ready: {url} {why}"))
        });
        match found {
            Ok(url) => {
                exit::say(format!("{}: ready: {url}", self.program));
                ExitCode::SUCCESS
            }
            Err(problem) => exit::fail(exit::FAILURE, self.program, &problem),
        }
    }

    /// The URL of the probe at an explicit address, which is that of the server or of the probe itself.
    fn named(&self, text: &str) -> Result<Url, String> {
        let wrong = |why: &str| {
            format!("--url: {why}; it must be like http://127.0.0.1:{}", self.shown_port())
        };
        let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("it does not begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a user name"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(self.path) {
            url.set_path(&format!("{path}{}", self.path));
        }
        Ok(url)
    }

    /// The URL of the probe on this machine, by the program's settings.
    fn own(&self, layers: &Layers) -> Result<Url, String> {
        let mut reader = Reader::new(layers);
        let host = reader.text(self.host, "127.0.0.1");
        let port = match self.default_port {
            Some(port) => Some(reader.number(self.port, port, 0..=u16::MAX)),
            None => reader.parse_optional(self.port, "a number from 1 to 65535"),
        };
        reader.finish().map_err(|problems| problems.0.join("; "))?;
        let port = match port {
            Some(0) => {
                return Err(format!("{} is 0, any free port: name it with --url", self.port));
            }
            Some(port) => port,
            None => return Err(format!("{} is not set: the program does not listen", self.port)),
        };
        let host = reachable(host.trim());
        let url = format!("http://{host}:{port}{}", self.path);
        Url::parse(&url)
            .map_err(|error| format!("{}: {host} is not an address: {error}", self.host))
    }

    /// The URL without what may be secret in it; the probe's own path is not.
    fn shown(&self, url: &Url) -> String {
        let shown = shown::url(url.as_str()).to_string();
        match url.path() == self.path && url.query().is_none() {
            true => url.to_string(),
            false => shown,
        }
    }

    fn shown_port(&self) -> u16 {
        self.default_port.unwrap_or(9081)
    }
}

/// The host to connect to for an address to listen on: the unspecified address becomes loopback.
fn reachable(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

async fn ask(url: &Url) -> Result<(), String> {
    // No proxy: the program is on this machine or network.
    let mut client = crate::http::client_builder().no_proxy().timeout(TIMEOUT);
    if url.scheme() == "http" {
        // Plain HTTP: do not load the system's certificates, which may not exist.
        client = client.tls_certs_only([]);
    }
    let client =
        client.build().map_err(|error| format!("cannot be asked: {}", shown::cause(&error)))?;
    let mut answer = client.get(url.clone()).send().await.map_err(|error| reason(&error))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let mut body = Vec::new();
    while body.len() < SHOWN
        && let Ok(Some(piece)) = answer.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    let text: String = String::from_utf8_lossy(&body).chars().take(SHOWN).collect();
    let text = text.split(|c: char| c.is_control() || c.is_whitespace());
    let text: Vec<_> = text.filter(|word| !word.is_empty()).collect();
    Err(format!("answered {} {}", answer.status().as_u16(), text.join(" ")).trim_end().to_owned())
}

/// Why there is no answer, without the URL, which the message contains already.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("gave no answer within {} s (timeout)", TIMEOUT.as_secs());
    }
    format!("cannot be reached: {}", shown::cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe {
        program: "wombat-test",
        host: "WOMBAT_HOST",
        port: "WOMBAT_PORT",
        default_port: Some(8081),
        path: "/readyz",
    };

    fn own(pairs: &[(&str, &str)]) -> Result<String, String> {
        PROBE.own(&Layers::from_pairs(pairs.iter().copied())).map(String::from)
    }

    #[test]
    fn the_settings_say_where_and_everywhere_is_reached_on_loopback() {
        for (host, port, url) in [
            ("", "", "http://127.0.0.1:8081/readyz"),
            ("0.0.0.0", "80", "http://127.0.0.1/readyz"),
            ("::", "9000", "http://[::1]:9000/readyz"),
            ("fd00::7", "9000", "http://[fd00::7]:9000/readyz"),
            ("10.0.0.7", "9000", "http://10.0.0.7:9000/readyz"),
            ("localhost", "9000", "http://localhost:9000/readyz"),
        ] {
            let pairs = [("WOMBAT_HOST", host), ("WOMBAT_PORT", port)];
            assert_eq!(own(&pairs).unwrap(), url);
        }
    }

    #[test]
    fn a_setting_that_leads_nowhere_is_named() {
        let problem = own(&[("WOMBAT_PORT", "0")]).unwrap_err();
        assert_eq!(problem, "WOMBAT_PORT is 0, any free port: name it with --url");
        let problem = own(&[("WOMBAT_PORT", "many")]).unwrap_err();
        assert!(problem.contains("WOMBAT_PORT") && problem.contains("many"), "{problem}");
        assert!(own(&[("WOMBAT_HOST", "a b")]).unwrap_err().starts_with("WOMBAT_HOST: "));
        let silent = Probe { default_port: None, port: "DISPATCH_HTTP_PORT", ..PROBE };
        let problem = silent.own(&Layers::default()).unwrap_err();
        assert_eq!(problem, "DISPATCH_HTTP_PORT is not set: the program does not listen");
    }

    #[test]
    fn an_address_may_be_the_servers_or_the_probes() {
        for (text, url) in [
            ("http://127.0.0.1:81", "http://127.0.0.1:81/readyz"),
            ("http://127.0.0.1:81/", "http://127.0.0.1:81/readyz"),
            ("http://127.0.0.1:81/readyz", "http://127.0.0.1:81/readyz"),
            ("https://agents.example/wombat/", "https://agents.example/wombat/readyz"),
        ] {
            assert_eq!(PROBE.named(text).unwrap().as_str(), url);
        }
        for text in ["", "127.0.0.1:8081", "localhost:8081", "http://", "ftp://h/", "http://u@h/"] {
            let problem = PROBE.named(text).unwrap_err();
            assert!(problem.starts_with("--url: "), "{text}: {problem}");
            assert!(problem.ends_with("it must be like http://127.0.0.1:8081"), "{problem}");
        }
    }
}

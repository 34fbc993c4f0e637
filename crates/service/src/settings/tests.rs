use super::*;

fn in_dir(files: &[(&str, &str)], env: &[(&str, &str)]) -> Layers {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    Layers::load(LoadOptions {
        dir: dir.path().to_owned(),
        env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..LoadOptions::default()
    })
}

#[test]
fn the_later_layer_wins() {
    let layers = in_dir(
        &[
            ("wombat.toml", "wombat_port = 1\nwombat_host = \"file\"\nagent_role = \"file\""),
            (".env", "WOMBAT_HOST=dotenv\nAGENT_ROLE=dotenv"),
        ],
        &[("AGENT_ROLE", "env"), ("USER_ID", "")],
    );
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.number("WOMBAT_PORT", 8081_u16, 0..=65535), 1);
    assert_eq!(reader.text("WOMBAT_HOST", "x"), "dotenv");
    assert_eq!(reader.text("AGENT_ROLE", "x"), "env");
    assert_eq!(reader.optional("USER_ID"), None);
    let effective = reader.finish().unwrap().to_string();
    assert!(effective.contains("WOMBAT_HOST = dotenv   [.env]"), "{effective}");
}

#[test]
fn each_value_keeps_its_origin_and_other_variables_change_none() {
    let layers = in_dir(
        &[(
            "wombat.toml",
            "wombat_port = 1\nwombat_retry_jitter = 0.5\nwombat_include_time_context = true",
        )],
        &[("WOMBAT_PORT.x", "2"), ("WOMBAT_PORT[9999999999]", "3"), ("OTHER", "4")],
    );
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.number("WOMBAT_PORT", 8081_u16, 0..=65535), 1);
    assert!((reader.number("WOMBAT_RETRY_JITTER", 0.1_f64, 0.0..=1.0) - 0.5).abs() < f64::EPSILON);
    assert!(reader.flag("WOMBAT_INCLUDE_TIME_CONTEXT", false));
    assert_eq!(reader.text("AGENT_ROLE", "x"), "x");
    let effective = reader.finish().unwrap().0;
    let origins: Vec<_> = effective.iter().map(|setting| setting.origin.to_string()).collect();
    assert!(origins[..3].iter().all(|origin| origin.ends_with("wombat.toml")), "{origins:?}");
    assert_eq!(origins[3], "default");
}

#[test]
fn every_problem_is_told_at_once() {
    let layers = in_dir(
        &[("wombat.toml", "wombat_prot = 1")],
        &[("WOMBAT_PORT", "high"), ("BACKEND_URL", "localhost:8000"), ("WOMBAT_MAX_STEPS", "0")],
    );
    let mut reader = Reader::new(&layers);
    reader.number("WOMBAT_PORT", 8081_u16, 0..=65535);
    reader.number("WOMBAT_MAX_STEPS", 16_u32, 1..=100);
    reader.url("BACKEND_URL", "http://localhost:8000");
    let text = reader.finish().unwrap_err().to_string();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("unknown key wombat_prot; did you mean wombat_port?"), "{text}");
    assert!(
        text.contains(
            "WOMBAT_PORT: is \"high\" (from environment); allowed: a number from 0 to 65535"
        ),
        "{text}"
    );
    assert!(text.contains("WOMBAT_MAX_STEPS: is \"0\""), "{text}");
    assert!(text.contains("BACKEND_URL: is \"localhost:8000\""), "{text}");
}

#[test]
fn a_secret_is_never_shown() {
    let layers =
        Layers::from_pairs([("OPENAI_API_KEY", "sk-canary"), ("BACKEND_URL", "http://u:canary@h")]);
    let mut reader = Reader::new(&layers);
    assert!(reader.secret("OPENAI_API_KEY").is_some());
    reader.url("BACKEND_URL", "http://x");
    let error = reader.finish().unwrap_err().to_string();
    assert!(!error.contains("canary"), "{error}");
    let mut reader = Reader::new(&layers);
    reader.secret("OPENAI_API_KEY");
    let shown = reader.finish().unwrap().to_string();
    assert!(shown.contains("OPENAI_API_KEY = ********") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_broken_file_is_a_problem_and_not_a_crash() {
    let layers = in_dir(&[("wombat.toml", "= oops"), (".env", "A='unclosed")], &[]);
    let error = Reader::new(&layers).finish().unwrap_err().to_string();
    assert!(error.contains("wombat.toml: is not valid TOML at line 1"), "{error}");
    assert!(error.contains(".env: a line is not of the form"), "{error}");
    assert!(!error.contains("unclosed"), "{error}");
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_a_problem() {
    for name in ["wombat.toml", ".env"] {
        for how in ["dangling", "folder", "bytes"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            match how {
                "dangling" => std::os::unix::fs::symlink("nowhere", &path).unwrap(),
                "folder" => std::fs::create_dir(&path).unwrap(),
                _ => std::fs::write(&path, b"agent_role = \"\xff\"\n").unwrap(),
            }
            let options = LoadOptions { dir: dir.path().to_owned(), ..LoadOptions::default() };
            let problems = Reader::new(&Layers::load(options)).finish().unwrap_err().0;
            assert_eq!(problems.len(), 1, "{name} {how}: {problems:?}");
            assert!(problems[0].contains(name), "{name} {how}: {problems:?}");
        }
    }
}

#[test]
fn a_value_that_is_not_text_is_not_a_value_that_is_not_set() {
    let unreadable = vec!["AGENT_DAEMON_API_KEY".to_owned(), "LS_COLORS".to_owned()];
    let options = LoadOptions { unreadable, ..LoadOptions::default() };
    let problems = Reader::new(&Layers::load(options)).finish().unwrap_err().0;
    assert_eq!(problems, ["AGENT_DAEMON_API_KEY: its value is not UTF-8"]);
}

#[test]
fn a_key_that_stands_twice_in_two_cases_is_ambiguous() {
    let layers = in_dir(&[("wombat.toml", "wombat_port = 1\nWOMBAT_PORT = 2")], &[]);
    let problems = Reader::new(&layers).finish().unwrap_err().0;
    assert!(problems[0].ends_with("wombat_port stands twice"), "{problems:?}");
}

#[test]
fn of_a_url_only_its_host_is_shown() {
    let layers = Layers::from_pairs([
        ("BACKEND_URL", "https://h:8443/canary?key=canary"),
        ("AGENT_DAEMON_URL", "ftp://h/canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h"),
    ]);
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.url("BACKEND_URL", "http://x"), "https://h:8443/canary?key=canary");
    reader.optional_url("OTEL_EXPORTER_OTLP_ENDPOINT");
    let shown = reader.finish().unwrap().to_string();
    assert!(
        shown.contains("= https://h:8443/\u{2026} ") && shown.contains("= http://h "),
        "{shown}"
    );
    assert!(!shown.contains("canary"), "{shown}");
    let mut reader = Reader::new(&layers);
    reader.url("AGENT_DAEMON_URL", "http://x");
    let error = reader.finish().unwrap_err().to_string();
    assert!(error.contains("ftp://h/\u{2026}") && !error.contains("canary"), "{error}");
}

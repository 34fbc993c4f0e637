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
    assert!(effective.contains("WOMBAT_HOST = dotenv   [.env:1]"), "{effective}");
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
    let effective = reader.finish().unwrap().settings;
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
            "WOMBAT_PORT is \"high\" (from environment); allowed: a number from 0 to 65535"
        ),
        "{text}"
    );
    assert!(text.contains("WOMBAT_MAX_STEPS is \"0\""), "{text}");
    assert!(text.contains("BACKEND_URL is \"localhost:8000\""), "{text}");
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
    let layers = in_dir(&[("wombat.toml", "= oops")], &[]);
    let error = Reader::new(&layers).finish().unwrap_err().to_string();
    assert!(error.contains("wombat.toml: is not valid TOML at line 1"), "{error}");
}

#[test]
fn a_broken_line_of_ours_is_named_by_number_and_variable_to_the_program_that_reads_it() {
    let file = "A=b\nAGENT_JWT_SECRET='canary\nWOMBAT_PORT: 80\nAGENT_ROLE\n";
    let layers = in_dir(&[(".env", file)], &[]);
    let mut reader = Reader::new(&layers);
    reader.secret("AGENT_JWT_SECRET");
    reader.text("WOMBAT_PORT", "1");
    reader.text("AGENT_ROLE", "x");
    let problems = reader.finish().unwrap_err().0;
    let expected = [
        ".env:2: AGENT_JWT_SECRET: has a quote that is not closed",
        ".env:3: WOMBAT_PORT: is not of the form NAME=value",
        ".env:4: AGENT_ROLE: has no =, and is not set in the environment",
    ];
    assert_eq!(problems, expected);
    let effective = Reader::new(&layers).finish().unwrap();
    assert_eq!(effective.warnings, [expected[0], expected[2], expected[1]]);
}

#[test]
fn a_broken_line_does_not_matter_when_the_environment_has_the_value() {
    let file = "WOMBAT_PORT='\nAGENT_ROLE\n";
    let layers = in_dir(&[(".env", file)], &[("WOMBAT_PORT", "7"), ("AGENT_ROLE", "scout")]);
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.text("WOMBAT_PORT", "1"), "7");
    assert_eq!(reader.text("AGENT_ROLE", "x"), "scout");
    let warnings = reader.finish().unwrap().warnings;
    assert_eq!(
        warnings,
        [".env:1: WOMBAT_PORT: has a quote that is not closed; the environment's is used"]
    );
}

#[test]
fn lines_of_others_are_no_problem() {
    let bytes =
        b"\xef\xbb\xbfSMTP_FROM=My App <a@b.c>\r\nit's\r\nKEY: v\r\nexport A=b\r\nFOO=\"open\r\n\
                  NAME=Jos\xe9\r\n[x]\r\nexport AGENT_ROLE=my role # c\r\n";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), bytes).unwrap();
    let layers = Layers::load(LoadOptions { dir: dir.path().to_owned(), ..LoadOptions::default() });
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.text("AGENT_ROLE", "x"), "my role");
    let effective = reader.finish().unwrap();
    assert!(effective.warnings.is_empty(), "{:?}", effective.warnings);
    assert_eq!(effective.settings[0].origin.to_string(), ".env:8");
}

#[test]
fn a_secret_that_readers_read_differently_is_told_without_its_value() {
    let file = "AGENT_JWT_SECRET=can#ary\nUSER_ID=a#b\nINTERNAL_API_TOKEN=\"${NOPE}canary\"\n\
                AGENT_ROLE=\"${NOPE}\"";
    let layers = in_dir(&[(".env", file)], &[]);
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.text("USER_ID", "x"), "a#b");
    reader.secret("AGENT_JWT_SECRET");
    reader.text("AGENT_ROLE", "x");
    let warnings = reader.finish().unwrap().warnings.join("\n");
    assert!(
        warnings.starts_with(".env:1: AGENT_JWT_SECRET: python-dotenv, dotenv and node"),
        "{warnings}"
    );
    assert!(warnings.contains(".env:4: AGENT_ROLE: names ${NOPE}, which is not set"), "{warnings}");
    assert!(!warnings.contains("ary") && !warnings.contains("USER_ID"), "{warnings}");
    let mut reader = Reader::new(&layers);
    reader.secret("INTERNAL_API_TOKEN");
    let problems = reader.finish().unwrap_err().0;
    assert_eq!(problems, [".env:3: INTERNAL_API_TOKEN: names ${NOPE}, which is not set"]);
}

#[test]
fn the_last_line_of_a_variable_counts() {
    let file = "WOMBAT_PORT=1\nWOMBAT_PORT=2\nAGENT_ROLE=a\nAGENT_ROLE=\nUSER_ID='\nUSER_ID=b\n";
    let layers = in_dir(&[(".env", file)], &[]);
    let mut reader = Reader::new(&layers);
    assert_eq!(reader.text("WOMBAT_PORT", "3"), "2");
    assert_eq!(reader.text("AGENT_ROLE", "default"), "default");
    assert_eq!(reader.text("USER_ID", "c"), "b");
    reader.finish().unwrap();
}

#[test]
fn names_that_are_nearly_settings_are_told_and_those_of_others_are_not() {
    let layers = in_dir(
        &[(
            ".env",
            "WOMBAT_PROT=1\nexport wombat_host=x\nLLM_TEMPERATURE=1\nAGENT_JWT_SECERT=canary",
        )],
        &[
            ("WOMBAT_RETRY_ATEMPTS", "5"),
            ("WOMBAT_SOMETHING", "1"),
            ("WOMBAT_SERVICE_HOST", "10.0.0.1"),
            ("WOMBAT_DAEMON_PORT_8081_TCP", "tcp://10.0.0.1:8081"),
            ("WOMBAT_TEST_ALL", "1"),
            ("AGENT_NAME", "x"),
            ("MY_PORT", "1"),
            ("MC_SERVER", "1"),
            ("OPENAI_API_BASE", "x"),
            ("database_url", "x"),
        ],
    );
    assert_eq!(
        Reader::new(&layers).finish().unwrap().warnings,
        [
            "WOMBAT_RETRY_ATEMPTS is no setting; did you mean WOMBAT_RETRY_ATTEMPTS?",
            "WOMBAT_SOMETHING is no setting",
            ".env:1: WOMBAT_PROT is no setting; did you mean WOMBAT_PORT?",
            ".env:2: wombat_host is no setting; did you mean WOMBAT_HOST?",
            ".env:4: AGENT_JWT_SECERT is no setting; did you mean AGENT_JWT_SECRET?",
        ]
    );
}

#[test]
fn a_setting_that_is_missing_is_told_with_the_folder_that_has_no_dot_env() {
    let missing = |files: &[(&str, &str)]| {
        let layers = in_dir(files, &[]);
        let mut reader = Reader::new(&layers);
        reader.problem("AGENT_JWT_SECRET", "is not set; the same as the backend's");
        reader.problem("WOMBAT_PORT", "is \"x\"; allowed: a port");
        reader.finish().unwrap_err().0
    };
    let told = missing(&[]);
    assert!(told[0].contains("the backend's; there is no .env in /"), "{told:?}");
    assert!(told[1].ends_with("a port"), "{told:?}");
    assert!(missing(&[(".env", "A=1")])[0].ends_with("the backend's"));
}

#[test]
fn a_setting_that_is_missing_and_nearly_there_is_told_with_its_line() {
    let missing = |file: &str, env: &[(&str, &str)], name: &str| {
        let layers = in_dir(&[(".env", file)], env);
        let mut reader = Reader::new(&layers);
        reader.problem(name, "is not set; the same as the backend's");
        reader.problem("X", "is wrong");
        reader.finish().unwrap_err().0
    };
    let jwt = missing("A=1\nAGENT_JWT_SECRT=canary\n", &[], "AGENT_JWT_SECRET");
    let told = "; .env:2: AGENT_JWT_SECRT is no setting; did you mean AGENT_JWT_SECRET?";
    assert!(jwt[0].ends_with(told) && jwt[1] == "X is wrong", "{jwt:?}");
    let user = missing("", &[("USERID", "1")], "USER_ID");
    assert!(user[0].ends_with("; USERID is no setting; did you mean USER_ID?"), "{user:?}");
    let former = missing("INTERNAL_TOKEN=canary", &[], "INTERNAL_API_TOKEN");
    assert!(former[0].ends_with("it is INTERNAL_API_TOKEN here"), "{former:?}");
    for (file, name) in [
        ("JWT_SECRET=canary", "AGENT_JWT_SECRET"),
        ("AGENT_JWT_SECRT=canary", "INTERNAL_API_TOKEN"),
        ("AGENT_JWT_SECRT=canary\nAGENT_JWT_SECRET=canary", "AGENT_JWT_SECRET"),
    ] {
        let told = missing(file, &[], name);
        assert!(told[0].ends_with("the backend's"), "{told:?}");
    }
}

#[test]
fn a_slip_in_the_name_of_what_protects_stops_the_program_that_would_be_open() {
    let told = "is no setting; did you mean AGENT_DAEMON_API_KEY?";
    let slip = ("AGENT_DEAMON_API_KEY", "canary");
    let right = ("AGENT_DAEMON_API_KEY", "canary");
    let file = [(".env", "A=1\nAGENT_DEAMON_API_KEY=canary\n")];
    let toml = [("wombat.toml", "agent_daemon_api_key = 'canary'")];
    let read = |layers: &Layers, name: &'static str| {
        let mut reader = Reader::new(layers);
        reader.secret(name);
        reader.finish()
    };
    for (layers, place) in [(in_dir(&[], &[slip]), ""), (in_dir(&file, &[]), ".env:2: ")] {
        let problems = read(&layers, right.0).unwrap_err().0;
        let begin = format!("{place}AGENT_DEAMON_API_KEY {told} That one protects, and is not set");
        assert!(problems.len() == 1 && problems[0].starts_with(&begin), "{problems:?}");
        assert!(!problems[0].contains("canary"), "{problems:?}");
        // Another program's.
        let warnings = read(&layers, "MC_BOARD_PASSWORD").unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].starts_with(&begin), "{warnings:?}");
    }
    for layers in [in_dir(&[], &[slip, right]), in_dir(&toml, &[slip])] {
        let warnings = read(&layers, right.0).unwrap().warnings;
        assert_eq!(warnings, [format!("AGENT_DEAMON_API_KEY {told}")]);
    }
    read(&in_dir(&[], &[(slip.0, " ")]), right.0).unwrap();
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_a_problem() {
    for name in ["wombat.toml", ".env"] {
        for how in ["dangling", "folder", "bytes", "utf-16", "long"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            let wide =
                || "AGENT_ROLE=a".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
            match how {
                "dangling" => std::os::unix::fs::symlink("nowhere", &path).unwrap(),
                "folder" => std::fs::create_dir(&path).unwrap(),
                "bytes" => std::fs::write(&path, b"AGENT_ROLE = \"\xff\"\n").unwrap(),
                "utf-16" => std::fs::write(&path, wide()).unwrap(),
                _ => std::fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap(),
            }
            let options = LoadOptions { dir: dir.path().to_owned(), ..LoadOptions::default() };
            let layers = Layers::load(options);
            let mut reader = Reader::new(&layers);
            reader.text("AGENT_ROLE", "");
            let read = reader.finish();
            // A folder of this name is one of Python's virtual environments; a long TOML file is a file.
            if matches!((name, how), (".env", "folder") | ("wombat.toml", "long")) {
                read.unwrap();
                continue;
            }
            let problems = read.unwrap_err().0;
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
fn a_proxy_that_cannot_be_read_is_a_problem() {
    let env = [("HTTPS_PROXY", "canary://"), ("NO_PROXY", "h:x")];
    let problems = Reader::new(&in_dir(&[], &env)).finish().unwrap_err().to_string();
    assert!(problems.starts_with("HTTPS_PROXY is no address of a proxy; allowed:"), "{problems}");
    assert!(problems.lines().count() == 1 && !problems.contains("canary"), "{problems}");
    let effective = Reader::new(&in_dir(&[], &env[1..])).finish().unwrap();
    assert!(effective.warnings[0].starts_with("NO_PROXY: \"h:x\" is neither"));
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

#[test]
fn variables_of_the_environment_and_of_dot_env_can_be_named() {
    let file =
        "CRM_KEY=from .env\nBOTH=lost\nexport QUOTED='a b'\nNOTHING=\nBACKEND_URL=http://b\n";
    let layers = in_dir(&[(".env", file)], &[("BOTH", "won"), ("EMPTY", ""), ("CRM_URL", "u")]);
    let variables = layers.variables();
    assert_eq!(format!("{variables:?}"), "Variables { .. }");
    for (name, value) in [
        ("CRM_KEY", Some("from .env")),
        ("BOTH", Some("won")),
        ("QUOTED", Some("a b")),
        ("BACKEND_URL", Some("http://b")),
        ("CRM_URL", Some("u")),
        ("NOTHING", None),
        ("EMPTY", None),
        ("UNKNOWN", None),
    ] {
        assert_eq!(variables.get(name).as_deref(), value, "{name}");
    }
    // The environment is not hidden by an empty line, nor `.env` by an empty variable.
    let variables = in_dir(&[(".env", "A=\nB=b")], &[("A", "a"), ("B", "")]).variables();
    assert_eq!(
        (variables.get("A").as_deref(), variables.get("B").as_deref()),
        (Some("a"), Some("b"))
    );
}

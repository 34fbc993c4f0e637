use super::*;

fn problem(url: &str) -> String {
    Address::parse(url).map(|address| address.place()).unwrap_err()
}

#[test]
fn a_password_that_is_not_encoded_is_told_and_not_shown() {
    for password in [
        "p@ss/w#rd",
        "geheim@im",
        "geheim/im",
        "geheim#im",
        "geheim?im",
        "geheim%im",
        "geheim%2",
        "12/34",
        "/geheim",
        "geheim?x=y&z=im",
        "geheim/@",
        "#",
        "ge@heim:im",
        "geheim?sslmode",
        "x@ss?geheim=1",
        "x@ss?geheim=1&im=2",
        "geheim?host=x/",
    ] {
        for rest in ["@host/d", "@host:5432/d?sslmode=require"] {
            let problem = problem(&format!("postgres://u:{password}{rest}"));
            assert!(problem.contains("percent-encoded"), "{password}: {problem}");
            for piece in ["geheim", "w#rd", "12/34", "host/d", "p@ss"] {
                assert!(!problem.contains(piece), "{password}: {problem}");
            }
        }
    }
    for cut_off in ["postgres://u:geheim", "postgres://u:geheim/im", "postgres://u:geheim@h:x/d"] {
        let problem = problem(cut_off);
        assert!(problem.contains("percent-encoded") && !problem.contains("geheim"), "{problem}");
    }
}

#[test]
fn an_encoded_password_is_read() {
    let encoded = utf8_percent_encode("p@ss/w#r?d%:+ é", NON_ALPHANUMERIC).to_string();
    let address = Address::parse(&format!("postgres://u:{encoded}@host:5433/d")).unwrap();
    assert_eq!(address.place(), "d at host:5433");
    let url = format!("{:?}", Url::parse(address.url()).unwrap().password());
    assert!(url.contains("p%40ss%2Fw%23r%3Fd%25%3A%2B%20%C3%A9"), "{url}");
    // All readers agree on what this means.
    assert!(Address::parse("postgres://u:a:b@host/d").is_ok());
}

#[test]
fn sockets_are_named_as_libpq_and_sqlx_have_them() {
    for url in [
        "postgres:///d?host=/var/run/postgresql",
        "postgresql://u:p@localhost/d?host=/var/run/postgresql&port=5433",
        "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
        "postgres://%2Fvar%2Frun%2Fpostgresql:5433/d",
    ] {
        assert_eq!(Address::parse(url).unwrap().place(), "d at /var/run/postgresql", "{url}");
    }
}

#[test]
fn parameters_of_libpq_are_taken_and_unknown_ones_named() {
    let address = Address::parse(
        "postgres://u:p@h/d?sslmode=allow&connect_timeout=5&target_session_attrs=read-write&keepalives=1&application_name=a%20b+c\
         &client_encoding=utf8&options=-c%20work_mem%3D8MB%20-c%20search_path%3D%22My%5C%20One%22",
    );
    let address = address.unwrap();
    assert!(address.has_options());
    assert_eq!(address.schema(), Some("My One"));
    let options = address.options().unwrap();
    assert_eq!(options.get_options(), Some("-c work_mem=8MB"));
    assert_eq!(options.get_application_name(), Some("a b+c"));
    assert!(matches!(options.get_ssl_mode(), sqlx::postgres::PgSslMode::Prefer));
    for (parameter, named) in [
        ("foo=geheim", "foo"),
        ("sslmode=geheim", "sslmode"),
        ("sslrootcert=/nowhere.pem", "/nowhere.pem"),
        ("sslrootcert=system", "sslrootcert"),
        ("channel_binding=require", "channel_binding"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("schema=x", "MC_SCHEMA"),
        ("connection_limit=5", "MC_DB_CONNECTIONS"),
        ("ssl=true", "sslmode=require"),
        ("host=a,b", "several hosts"),
        ("client_encoding=latin1", "client_encoding"),
        ("options=work_mem", "options"),
        ("connect_timeout=soon", "connect_timeout"),
    ] {
        let problem = problem(&format!("postgres://u:p@h/d?{parameter}"));
        assert!(problem.contains(named) && !problem.contains("geheim"), "{parameter}: {problem}");
    }
    assert!(problem("postgres://u:geheim@a:1,b:2/d").contains("several hosts"));
}

#[test]
fn who_names_an_authority_wants_it_asked() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mode = |parameters: &str| {
        let address = Address::parse(&format!("postgres://h/d?{parameters}")).unwrap();
        format!("{:?}", address.options().unwrap().get_ssl_mode())
    };
    assert_eq!(mode(&format!("sslmode=require&sslrootcert={here}")), "VerifyCa");
    assert_eq!(mode("sslmode=require"), "Require");
    assert_eq!(mode(&format!("sslmode=verify-full&sslrootcert={here}")), "VerifyFull");
}

#[test]
fn a_search_path_names_the_schema() {
    for (parameter, schema) in [
        ("search_path=wombat", Some("wombat")),
        ("search_path=Wombat,public", Some("wombat")),
        ("search_path=%22My%22%22One%22", Some("My\"One")),
        ("search_path=%22$user%22,public", Some("public")),
        ("options=-c%20search_path%3Da", Some("a")),
        ("options=--search_path%3Db", Some("b")),
        ("options[search_path]=c", Some("c")),
        ("sslmode=disable", None),
    ] {
        let address = Address::parse(&format!("postgres://h/d?{parameter}")).unwrap();
        assert_eq!(address.schema(), schema, "{parameter}");
    }
}

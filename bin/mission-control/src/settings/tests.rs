use mc_client::token::TokenMinter;

use super::*;

const SECRET: (&str, &str) = ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef");

fn settings(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    read(&Layers::from_pairs(pairs.iter().copied()))
}

fn problems(pairs: &[(&str, &str)]) -> String {
    match settings(pairs) {
        Ok(_) => panic!("{pairs:?} was accepted"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_secret_is_all_that_must_be_given() {
    let settings = settings(&[SECRET]).unwrap();
    assert_eq!((settings.host, settings.port), (IpAddr::from([127, 0, 0, 1]), 8000));
    assert_eq!(settings.config.database.place(), "./data/mission-control.db");
    assert!(settings.config.board && !settings.config.demo);
    assert!(settings.config.internal_token.is_none());
    assert!(problems(&[]).contains("AGENT_JWT_SECRET"));
}

#[test]
fn the_page_is_off_where_other_machines_can_reach_it() {
    assert!(!settings(&[SECRET, ("MC_HOST", "0.0.0.0")]).unwrap().config.board);
    assert!(settings(&[SECRET, ("MC_HOST", "::1")]).unwrap().config.board);
}

#[test]
fn a_database_is_a_file_or_a_postgresql_server() {
    for (url, file) in [
        ("sqlite:mc.db", "mc.db"),
        ("sqlite://data/mc.db", "data/mc.db"),
        ("sqlite:///var/lib/mc.db", "/var/lib/mc.db"),
        ("sqlite:mc.db?mode=rwc", "mc.db"),
        ("sqlite:my%20mc.db?mode=rwc", "my mc.db"),
        ("sqlite:50%.db", "50%.db"),
        ("sqlite:////srv/mc.db", "/srv/mc.db"),
    ] {
        let settings = settings(&[SECRET, ("DATABASE_URL", url)]).unwrap();
        assert_eq!(settings.config.database.place(), file);
    }
    let url = "postgresql://wombat:geheim@db.example:5433/wombat?sslmode=require";
    let settings = settings(&[SECRET, ("DATABASE_URL", url)]).unwrap();
    assert_eq!(settings.config.database.place(), "wombat at db.example:5433");
    for url in [
        "sqlite:",
        "sqlite::memory:",
        "sqlite:mc.db?mode=ro",
        "mysql://geheim@h/d",
        "mc.db",
        "postgres://u:geheim@h:port/d",
        "postgres://u:geheim@h/d?sslmode=perhaps",
    ] {
        let problems = problems(&[SECRET, ("DATABASE_URL", url)]);
        assert!(problems.contains("DATABASE_URL") && !problems.contains("geheim"), "{problems}");
    }
}

#[test]
fn the_postgresql_settings_belong_to_a_server() {
    let url = ("DATABASE_URL", "postgres://u:geheim@db/d?search_path=of_url");
    let server =
        |more: &[(&'static str, &'static str)]| match settings(&[&[SECRET, url], more].concat())
            .unwrap()
            .config
            .database
        {
            Database::Postgres(server) => server,
            Database::File(_) => panic!("a server"),
        };
    let plain = server(&[]);
    assert_eq!((plain.schema.as_deref(), plain.connections), (Some("of_url"), CONNECTIONS));
    let all = server(&[
        ("MC_SCHEMA", "Our Own"),
        ("MC_DB_CONNECTIONS", "12"),
        ("MC_LISTEN_URL", "postgresql://u:geheim@direct:5433/d"),
    ]);
    assert_eq!((all.schema.as_deref(), all.connections), (Some("Our Own"), 12));
    assert_eq!(all.listen.unwrap().place(), "d at direct:5433");
    for (name, value) in [
        ("MC_SCHEMA", "pg_mine"),
        ("MC_DB_CONNECTIONS", "2"),
        ("MC_LISTEN_URL", "postgres://u:geh/eim@h/d"),
        ("MC_LISTEN_URL", "sqlite:x.db"),
    ] {
        let problems = problems(&[SECRET, url, (name, value)]);
        assert!(problems.contains(name) && !problems.contains("geh"), "{problems}");
    }
    assert!(problems(&[SECRET, ("MC_SCHEMA", "wombat")]).contains("MC_SCHEMA"));
    for (url, instead) in
        [("sqlite+aiosqlite:///x.db", "sqlite:FILE"), ("jdbc:postgresql://h/d", "without jdbc:")]
    {
        let problems = problems(&[SECRET, ("DATABASE_URL", url)]);
        assert!(problems.contains(instead) && !problems.contains("geheim"), "{problems}");
    }
}

#[test]
fn the_url_of_an_application_is_read_and_one_of_ours_overrides_it() {
    for url in [
        "postgresql+psycopg://u:geheim@h/d",
        "postgresql+asyncpg://u:geheim@h/d",
        "postgres+pool://u:geheim@h/d",
        "postgis://u:geheim@h/d",
    ] {
        let schema = ("MC_SCHEMA", "wombat");
        let database = settings(&[SECRET, schema, ("DATABASE_URL", url)]).unwrap().config.database;
        assert_eq!(database.place(), "d at h:5432", "{url}");
    }
    let theirs = ("DATABASE_URL", "mysql://u:geheim@h/d");
    let ours = ("MC_DATABASE_URL", "sqlite:own.db");
    let database = settings(&[SECRET, theirs, ours]).unwrap().config.database;
    assert_eq!(database.place(), "own.db");
    let broken = problems(&[SECRET, theirs, ("MC_DATABASE_URL", "mysql://u:geheim@h/d")]);
    assert!(broken.starts_with("MC_DATABASE_URL") && !broken.contains("geheim"), "{broken}");
}

#[test]
fn a_password_turns_the_page_on_everywhere_and_must_be_one() {
    let far = [SECRET, ("MC_HOST", "0.0.0.0"), ("MC_BOARD_PASSWORD", "open sesame")];
    let config = settings(&far).unwrap().config;
    assert!(config.board && config.board_password.is_some());
    let broken = problems(&[SECRET, ("MC_BOARD_PASSWORD", "$argon2id$v=19$broken")]);
    assert!(broken.contains("MC_BOARD_PASSWORD") && !broken.contains("broken"), "{broken}");
}

#[test]
fn a_proxy_counts_only_with_its_header_and_its_addresses() {
    let (header, from) = ("MC_BOARD_AUTH_HEADER", "MC_BOARD_TRUSTED_PROXIES");
    let far = [SECRET, ("MC_HOST", "0.0.0.0"), (header, "X-User"), (from, "10.0.0.1")];
    let config = settings(&far).unwrap().config;
    assert!(config.board && config.board_proxy.is_some());
    assert!(problems(&[SECRET, (header, "X-User")]).contains(from));
    assert!(problems(&[SECRET, (from, "10.0.0.1")]).contains(from));
    assert!(problems(&[SECRET, (header, "X-User"), (from, "none")]).contains(from));
    let local = "127.0.0.1".parse().unwrap();
    let is_trusted = |more: &[_]| {
        let config = settings(&[&[SECRET], more].concat()).unwrap().config;
        config.front.trusted().contains(local)
    };
    assert!(is_trusted(&[]) && !is_trusted(&[(from, "none")]));
    let password = ("MC_BOARD_PASSWORD", "open sesame");
    assert!(settings(&[SECRET, password, (from, "10.0.0.1")]).is_ok());
    assert!(problems(&[SECRET, password, (from, "proxy.example")]).contains(from));
    assert!(problems(&[SECRET, (header, "a b"), (from, "::1")]).contains(header));
}

#[test]
fn operators_are_named_where_a_proxy_names_people() {
    let proxy = [("MC_BOARD_AUTH_HEADER", "X-User"), ("MC_BOARD_TRUSTED_PROXIES", "10.0.0.1")];
    let (list, header, role) =
        ("MC_BOARD_OPERATORS", "MC_BOARD_ROLE_HEADER", "MC_BOARD_OPERATOR_ROLE");
    let with = |more: &[(&'static str, &'static str)]| [&[SECRET], &proxy[..], more].concat();
    let all = with(&[(list, "root, olga"), (header, "X-Groups"), (role, "support")]);
    assert!(settings(&all).unwrap().config.board_proxy.is_some());
    for (more, named) in [
        (&[(list, " , ")][..], list),
        (&[(header, "X-Groups")], header),
        (&[(role, "support")], role),
        (&[(header, "no header"), (role, "support")], header),
        (&[(header, "X-Groups"), (role, "a,b")], header),
    ] {
        let problems = problems(&with(more));
        assert!(problems.contains(named) && problems.lines().count() < 3, "{problems}");
    }
    for alone in [list, header, role] {
        assert!(problems(&[SECRET, (alone, "root")]).contains(alone), "{alone}");
    }
}

#[test]
fn the_previous_secret_counts_while_it_is_named() {
    let (new, old) = ("n".repeat(32), "o".repeat(32));
    let minter = TokenMinter::new(
        &Key::Secret(old.clone().into()),
        Algorithm::Hs256,
        std::time::Duration::from_secs(60),
    );
    let token = minter.unwrap().mint("ann", "scout").unwrap().header();
    let token = token.to_str().unwrap();
    let now = [("AGENT_JWT_SECRET", new.as_str())];
    assert!(settings(&now).unwrap().config.verifier.verify(token).is_err());
    let both = [now[0], ("AGENT_JWT_SECRET_PREVIOUS", old.as_str())];
    assert!(settings(&both).unwrap().config.verifier.verify(token).is_ok());
    let pem = [("AGENT_JWT_ALGORITHM", "EdDSA"), ("AGENT_JWT_PUBLIC_KEY", "/nowhere.pem")];
    assert!(problems(&pem).contains("/nowhere.pem cannot be read"));
}

#[test]
fn a_budget_is_an_amount_of_money() {
    assert_eq!(settings(&[SECRET]).unwrap().config.budget, None);
    let budget = settings(&[SECRET, ("MC_BUDGET_USD", "2.50")]).unwrap().config.budget;
    assert_eq!(budget, Nanos::of_usd(2.5));
    for wrong in ["much", "-1", "NaN", "inf", "1e12"] {
        assert!(problems(&[SECRET, ("MC_BUDGET_USD", wrong)]).contains("MC_BUDGET_USD"), "{wrong}");
    }
}

#[test]
fn lead_roles_are_roles() {
    assert!(settings(&[SECRET]).unwrap().config.lead_roles.is_empty());
    let leads = settings(&[SECRET, ("MC_LEAD_ROLES", "boss, team-lead")]).unwrap();
    let leads: Vec<_> = leads.config.lead_roles.iter().map(String::as_str).collect();
    assert_eq!(leads, ["boss", "team-lead"]);
    for roles in ["boss,", "*", "boss lead", "user:ann:boss"] {
        let problems = problems(&[SECRET, ("MC_LEAD_ROLES", roles)]);
        let named = problems.contains("MC_LEAD_ROLES") && problems.contains("allowed: roles");
        assert!(named && problems.lines().count() == 1, "{problems}");
    }
}

#[test]
fn what_runs_tell_is_kept_in_a_redis_or_in_the_database() {
    let unset = settings(&[SECRET]).unwrap().config;
    assert!(unset.deltas.streams.is_none());
    assert_eq!((unset.deltas.ttl.as_secs(), unset.deltas.max_bytes), (3_600, 4 * 1024 * 1024));
    assert_eq!(unset.orphan_max_attempts, 8);
    assert_eq!((unset.files.max_bytes, unset.files.quota_bytes), (20_971_520, 1_073_741_824));
    let url = ("MC_STREAM_URL", "rediss://user:pass@redis.example.org:6380/2");
    assert!(settings(&[SECRET, url]).unwrap().config.deltas.streams.is_some());
    for (name, wrong) in [
        ("MC_STREAM_URL", "http://hidden@redis"),
        ("MC_STREAM_URL", "hidden"),
        ("MC_DELTAS_TTL_SECS", "0"),
        ("MC_DELTAS_MAX_BYTES", "1"),
        ("MC_ORPHAN_MAX_ATTEMPTS", "0"),
        ("MC_FILE_MAX_BYTES", "0"),
        ("MC_FILES_QUOTA_BYTES", "-1"),
        ("MC_RULES_PER_USER", "-1"),
    ] {
        let problems = problems(&[SECRET, (name, wrong)]);
        let named = problems.starts_with(name) && problems.contains("allowed: ");
        assert!(named && problems.lines().count() == 1, "{problems}");
        assert!(!problems.contains("hidden"), "{problems}");
    }
}

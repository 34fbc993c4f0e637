use super::*;

fn settings(json: &str, user: Option<&str>) -> ScheduleSettings {
    ScheduleSettings {
        dir: "/srv/wombat".into(),
        path: "config/agent-config.json".into(),
        config: AgentConfig::parse(json, &|_| None).unwrap(),
        user: user.map(str::to_owned).into_iter().collect(),
        machine: Zone::UTC,
    }
}

const JSON: &str = r#"{"agents": [{"role": "scout", "heartbeat_cron": "*/15 * * * *"},
    {"role": "quiet"}]}"#;

fn lines(user: Option<&str>, users: &[&str]) -> Vec<String> {
    let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
    settings(JSON, user).lines(Path::new("/bin/hb"), None, &users).unwrap()
}

#[test]
fn every_role_with_a_cron_line_gets_one() {
    assert_eq!(
        lines(Some("u1"), &[])[1..],
        ["*/15 * * * * cd /srv/wombat && /bin/hb --user u1 --role scout --slot auto"]
    );
    let lines = lines(None, &[]);
    assert!(lines[1].contains("USER_ID"), "{lines:?}");
    assert!(lines[2].ends_with("/bin/hb --role scout --slot auto"), "{lines:?}");
}

#[test]
fn a_workspace_without_schedules_says_so() {
    let none = settings(r#"{"agents": [{"role": "quiet"}]}"#, Some("u1"));
    let lines = none.lines(Path::new("/bin/hb"), None, &[]).unwrap();
    assert_eq!(lines[1..], [format!("# {NOTHING_TO_RUN}")]);
}

#[test]
fn steps_from_a_single_value_are_written_as_ranges() {
    for (cron, plain) in [
        ("  5/20   *\t* * *", "5-59/20 * * * *"),
        ("1,5/20,7-9/2 */2 3/4 jan/3 1/2", "1,5-59/20,7-9/2 */2 3-31/4 jan-12/3 1-7/2"),
        ("0 9 * * mon-fri", "0 9 * * mon-fri"),
    ] {
        assert_eq!(plain_fields(cron), plain);
        let cron: Cron = cron.parse().unwrap();
        assert_eq!(plain.parse::<Cron>().unwrap(), cron, "the same moments");
    }
}

#[test]
fn a_role_has_a_service_and_a_timer() {
    let json =
        r#"{"agents": [{"role": "scout", "heartbeat_cron": "0 0 13 * fri"}, {"role": "quiet"}]}"#;
    let users = ["a b%$\"\\".to_owned()];
    let units = settings(json, None).units(Path::new("/bin/hb"), None, &users).unwrap();
    let names: Vec<_> = units.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["wombat-heartbeat-scout.service", "wombat-heartbeat-scout.timer"]);
    let service = &units[0].1;
    let call = r#"ExecStart=/bin/hb --user "a b%%$$\"\\" --role scout --slot auto"#;
    assert!(service.contains(call), "{service}");
    assert!(service.contains("WorkingDirectory=/srv/wombat\n"), "{service}");
    let timer = &units[1].1;
    let ticks = "OnCalendar=*-*-13 00:00:00\nOnCalendar=Fri *-*-* 00:00:00\n";
    assert!(timer.contains(ticks), "{timer}");
    let units = settings(json, None).units(Path::new("/bin/hb"), None, &[]).unwrap();
    assert!(units[0].1.contains("# USER_ID must be set"), "{}", units[0].1);
}

#[test]
fn the_flags_are_those_of_the_call() {
    let config = Some(Path::new("my settings.toml"));
    let users = ["a".to_owned(), "cn=b,dc=c".to_owned()];
    let lines = settings(JSON, Some("u1")).lines(Path::new("/bin/hb"), config, &users).unwrap();
    let flags = "--config 'my settings.toml' --user a --user cn=b,dc=c --role scout";
    assert!(lines[1].contains(flags), "{}", lines[1]);
}

#[test]
fn a_user_cannot_break_out_of_the_line() {
    let lines = lines(None, &["a'; rm -rf %", "-x", "back\\\\slash"]);
    let flags = r"--user 'a'\''; rm -rf '\%'' --user=-x --user 'back\''\''slash' --role scout";
    assert!(lines[1].contains(flags), "{}", lines[1]);
    let refused = |user: &str| {
        let users = [user.to_owned()];
        let settings = settings(JSON, None);
        let unit = settings.units(Path::new("hb"), None, &users).unwrap_err();
        let line = settings.lines(Path::new("hb"), None, &users).unwrap_err();
        (line, unit)
    };
    assert!(matches!(refused("a:b"), (ScheduleError::User(_), ScheduleError::User(_))));
    for broken in ["a\nb", "a\r", "\0"] {
        let expected = ScheduleError::LineBreak("a user id");
        assert_eq!(refused(broken), (expected.clone(), expected));
    }
}

#[test]
fn a_command_is_as_long_as_cron_takes() {
    let users: Vec<String> = (0..100).map(|n| format!("user-{n:03}-{}", "x".repeat(30))).collect();
    let lines = settings(JSON, None).lines(Path::new("/bin/hb"), None, &users).unwrap();
    let commands: Vec<_> =
        lines[1..].iter().map(|line| line.splitn(6, ' ').last().unwrap()).collect();
    assert!(commands.len() > 1 && commands.iter().all(|c| c.len() <= 999), "{commands:?}");
    for user in &users {
        assert_eq!(commands.iter().filter(|command| command.contains(user.as_str())).count(), 1);
    }
    let long = ["x".repeat(1000)];
    let error = settings(JSON, None).lines(Path::new("/bin/hb"), None, &long).unwrap_err();
    assert!(error.to_string().contains("999 characters"), "{error}");
}

use super::*;

/// A reply of a heartbeat, and what becomes of it: silent without or with a note, or the text that is
/// stored.
#[derive(Debug)]
enum Is {
    Ok,
    Noted(&'static str),
    Said(&'static str),
}

const ALERT: &str = "Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.";

const REPLIES: &[(&str, Is)] = &[
    // The token alone, in what models wrap around it.
    ("HEARTBEAT_OK", Is::Ok),
    (" HEARTBEAT_OK\n", Is::Ok),
    ("heartbeat_ok", Is::Ok),
    ("Heartbeat_Ok.", Is::Ok),
    ("HEARTBEAT OK", Is::Ok),
    ("Heartbeat ok!", Is::Ok),
    ("heartbeat_ok ✅", Is::Ok),
    (r"heartbeat\_ok ✅", Is::Ok),
    (r"**HEARTBEAT\_OK**", Is::Ok),
    ("**HEARTBEAT_OK**", Is::Ok),
    ("_HEARTBEAT_OK_", Is::Ok),
    ("`HEARTBEAT_OK`", Is::Ok),
    ("# HEARTBEAT_OK", Is::Ok),
    ("> HEARTBEAT_OK", Is::Ok),
    ("- [ ] HEARTBEAT_OK", Is::Ok),
    ("[HEARTBEAT_OK]", Is::Ok),
    ("\"HEARTBEAT_OK\"", Is::Ok),
    ("„HEARTBEAT_OK“", Is::Ok),
    ("「HEARTBEAT_OK」", Is::Ok),
    ("HEARTBEAT_OK!!!!!!!!!!", Is::Ok),
    ("HEARTBEAT_OK\n\n---\n", Is::Ok),
    ("<b>HEARTBEAT_OK</b>", Is::Ok),
    ("<p class=\"status\">HEARTBEAT_OK<br/></p>", Is::Ok),
    ("<!-- nothing --> HEARTBEAT_OK", Is::Ok),
    ("&nbsp;HEARTBEAT_OK&nbsp;", Is::Ok),
    ("```\nHEARTBEAT_OK\n```", Is::Ok),
    ("```text\nHEARTBEAT_OK\n```", Is::Ok),
    ("~~~\nheartbeat ok\n~~~", Is::Ok),
    ("💚 HEARTBEAT_OK 🆗 ℹ️ 1️⃣ 👨‍👩‍👧", Is::Ok),
    (":white_check_mark: HEARTBEAT_OK :tada:", Is::Ok),
    ("HEARTBEAT_OK HEARTBEAT_OK", Is::Ok),
    // The token and a little more.
    ("一切正常。HEARTBEAT_OK。", Is::Noted("一切正常。")),
    ("一切正常HEARTBEAT_OK", Is::Noted("一切正常")),
    ("HEARTBEAT_OK입니다", Is::Noted("입니다")),
    ("Всё спокойно. HEARTBEAT_OK", Is::Noted("Всё спокойно.")),
    ("كل شيء على ما يرام. HEARTBEAT_OK", Is::Noted("كل شيء على ما يرام.")),
    ("सब ठीक है। HEARTBEAT_OK", Is::Noted("सब ठीक है।")),
    ("異常なし。heartbeat_ok ✅", Is::Noted("異常なし。")),
    ("All quiet. HEARTBEAT_OK", Is::Noted("All quiet.")),
    ("All quiet (HEARTBEAT_OK)", Is::Noted("All quiet")),
    ("**All quiet: HEARTBEAT_OK**", Is::Noted("All quiet")),
    ("HEARTBEAT_OK nothing to do", Is::Noted("nothing to do")),
    ("HEARTBEAT_OK: 3 tasks are open.", Is::Noted("3 tasks are open.")),
    ("✅ HEARTBEAT OK – nothing due.", Is::Noted("nothing due.")),
    ("HEARTBEAT_OK\n\n- inbox: 0\n- tasks: 2", Is::Noted("inbox: 0\n- tasks: 2")),
    ("Status: 200\n\n```\nHEARTBEAT_OK\n```", Is::Noted("Status: 200")),
    ("<p>Quiet.</p><p>HEARTBEAT_OK</p>", Is::Noted("Quiet.")),
    // What stands in angle brackets and is no tag.
    (
        "HEARTBEAT_OK <https://status.example/incident/42>",
        Is::Noted("<https://status.example/incident/42>"),
    ),
    ("<ops@example.com> HEARTBEAT_OK", Is::Noted("<ops@example.com>")),
    ("<disk /data full, backup fails>\nHEARTBEAT_OK", Is::Noted("<disk /data full, backup fails>")),
    ("HEARTBEAT_OK </data is full>", Is::Noted("</data is full>")),
    ("HEARTBEAT_OK <a/b>", Is::Noted("<a/b>")),
    ("HEARTBEAT_OK <disk>", Is::Noted("<disk>")),
    (
        "<img alt=\"disk full\" src=\"x\"/> HEARTBEAT_OK",
        Is::Noted("<img alt=\"disk full\" src=\"x\"/>"),
    ),
    ("<final>\n<br />HEARTBEAT_OK<hr >\n</final>", Is::Ok),
    // 60 letters and digits, then one more.
    (
        "HEARTBEAT_OK 123456789 123456789 123456789 123456789 123456789 123456789 abcdef",
        Is::Noted("123456789 123456789 123456789 123456789 123456789 123456789 abcdef"),
    ),
    (
        "HEARTBEAT_OK 123456789 123456789 123456789 123456789 123456789 123456789 abcdefg",
        Is::Said("123456789 123456789 123456789 123456789 123456789 123456789 abcdefg"),
    ),
    // Real alerts.
    (
        "HEARTBEAT_OK. Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.",
        Is::Said(ALERT),
    ),
    (
        "Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit. HEARTBEAT_OK",
        Is::Said(ALERT),
    ),
    (
        "**HEARTBEAT\\_OK** – Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.",
        Is::Said(ALERT),
    ),
    (
        "**HEARTBEAT_OK: Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.**",
        Is::Said(ALERT),
    ),
    (
        "```\nHEARTBEAT_OK\nDisk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.\n```",
        Is::Said(ALERT),
    ),
    (
        "<p>HEARTBEAT_OK Disk /data on db-3 is 97 % full and grows by 2 GB an hour; the backup of tonight will not fit.</p>",
        Is::Said(ALERT),
    ),
    (
        "## Alerts\n\n- db-3: disk is full at 97 percent, growing\n- mail: 14 bounces from the same domain\n\nheartbeat ok ✅",
        Is::Said(
            "## Alerts\n\n- db-3: disk is full at 97 percent, growing\n- mail: 14 bounces from the same domain",
        ),
    ),
    (
        "HEARTBEAT_OK\n\n- db-3: disk is full at 97 percent, growing\n- mail: 14 bounces from the same domain",
        Is::Said(
            "- db-3: disk is full at 97 percent, growing\n- mail: 14 bounces from the same domain",
        ),
    ),
    (
        "数据库磁盘已使用百分之九十七，并且每小时增长两千兆字节，今晚的备份将无法完成，请尽快扩容或清理旧的日志文件，否则服务将在明天早晨停止，并影响所有用户。HEARTBEAT_OK",
        Is::Said(
            "数据库磁盘已使用百分之九十七，并且每小时增长两千兆字节，今晚的备份将无法完成，请尽快扩容或清理旧的日志文件，否则服务将在明天早晨停止，并影响所有用户。",
        ),
    ),
    // The token in the middle, or another word.
    ("a HEARTBEAT_OK b", Is::Said("a HEARTBEAT_OK b")),
    ("I will answer HEARTBEAT_OK next time.", Is::Said("I will answer HEARTBEAT_OK next time.")),
    ("HEARTBEAT_OKAY", Is::Said("HEARTBEAT_OKAY")),
    ("HEARTBEAT_OK2", Is::Said("HEARTBEAT_OK2")),
    ("HEARTBEAT_OK_LATER", Is::Said("HEARTBEAT_OK_LATER")),
    ("NO_HEARTBEAT_OK", Is::Said("NO_HEARTBEAT_OK")),
    ("XHEARTBEAT_OK", Is::Said("XHEARTBEAT_OK")),
    ("HEARTBEAT OKÉ", Is::Said("HEARTBEAT OKÉ")),
    ("HEARTBEATOK", Is::Said("HEARTBEATOK")),
    ("HEARTBEAT_\nOK", Is::Said("HEARTBEAT_\nOK")),
    ("All quiet.", Is::Said("All quiet.")),
    ("**bold** words", Is::Said("**bold** words")),
    ("", Is::Said("")),
];

#[test]
fn what_becomes_of_the_replies_of_heartbeats() {
    assert!(REPLIES.len() >= 40);
    let mut wrong = Vec::new();
    for (text, is) in REPLIES {
        let expected = match is {
            Is::Ok => HeartbeatReply::Silent { note: None },
            Is::Noted(note) => HeartbeatReply::Silent { note: Some((*note).to_owned()) },
            Is::Said(text) => HeartbeatReply::Reply((*text).to_owned()),
        };
        let found = heartbeat_reply(text, Some(60));
        if found != expected {
            wrong.push(format!("{text:?}\n  is {found:?}\n not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn elsewhere_the_token_is_stripped_and_only_an_empty_rest_is_silent() {
    let reply = |text: &str| HeartbeatReply::Reply(text.to_owned());
    let silent = HeartbeatReply::Silent { note: None };
    for (text, expected) in [
        ("HEARTBEAT_OK", silent.clone()),
        ("**heartbeat ok** ✅", silent),
        ("HEARTBEAT_OK: done.", reply("done.")),
        ("<https://x/report> HEARTBEAT_OK", reply("<https://x/report>")),
        ("HEARTBEAT_OK <https://x/report>", reply("<https://x/report>")),
        ("Done. HEARTBEAT_OK", reply("Done.")),
        ("HEARTBEAT_OK Done. HEARTBEAT_OK", reply("Done.")),
        ("Say HEARTBEAT_OK to it.", reply("Say HEARTBEAT_OK to it.")),
        ("**bold** words", reply("**bold** words")),
    ] {
        assert_eq!(heartbeat_reply(text, None), expected, "{text}");
    }
}

#[test]
fn the_limit_is_one_of_letters_and_digits() {
    let silent = |text: &str, most| {
        matches!(heartbeat_reply(text, Some(most)), HeartbeatReply::Silent { .. })
    };
    assert!(silent("HEARTBEAT_OK ...!!! -- 🎉🎉🎉 ...", 0));
    assert!(silent("HEARTBEAT_OK x", 1) && !silent("HEARTBEAT_OK x1", 1));
    // Signs that only change a letter are none of their own.
    assert!(silent("HEARTBEAT_OK e\u{301}", 1));
}

#[test]
fn any_text_is_taken() {
    let parts = [
        "HEARTBEAT_OK",
        "heartbeat\\_ok",
        "*",
        "<",
        ">",
        "<b>",
        "```",
        "\n",
        " ",
        "ü",
        "一",
        "&",
        ":",
        "1\u{20e3}",
        "a",
    ];
    for (first, second) in parts.iter().flat_map(|a| parts.iter().map(move |b| (a, b))) {
        for third in parts {
            let text = format!("{first}{second}{third}");
            if let HeartbeatReply::Reply(rest) = heartbeat_reply(&text, Some(0)) {
                assert!(rest.len() <= text.len(), "{text:?}");
            }
        }
    }
}

#[test]
fn a_checklist_of_headings_and_empty_bullets_asks_for_nothing() {
    for empty in ["", "\n\n", "# Heartbeat\n\n## Daily\n- \n* [ ]\n-\n", "#\n"] {
        assert!(is_empty_checklist(empty), "{empty:?}");
    }
    for full in ["- look", "# H\ntext", "#hashtag", "- [ ] look"] {
        assert!(!is_empty_checklist(full), "{full:?}");
    }
}

//! Rendering prompts.

use std::fs;
use std::sync::Arc;

use chrono::{Days, Utc};
use wombat_core::session::Role;
use wombat_core::workspace::{PromptMode, PromptRequest, SkillsMode, Workspace, WorkspaceOptions};
use zones::Zone;

/// Skills of the workspace.
const SKILLS: usize = 50;

/// A workspace of typical size: some kilobytes of rules, fifty skills of a screen each.
pub(crate) fn run() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    for (file, lines) in [("SOUL.md", 20), ("AGENTS.md", 100), ("IDENTITY.md", 5), ("TOOLS.md", 40)]
    {
        fs::write(
            dir.path().join(file),
            "A rule that agents have to keep in mind.\n".repeat(lines),
        )?;
    }
    for n in 0..SKILLS {
        let skill = dir.path().join(format!("skills/skill-{n}"));
        fs::create_dir_all(&skill)?;
        let head = format!(
            "---\nname: skill-{n}\ndescription: Does what the number {n} stands for.\n---\n"
        );
        let body = format!(
            "```http\nGET /api/things/{n}\n```\n{}",
            "Use it when it is needed.\n".repeat(20)
        );
        fs::write(skill.join("SKILL.md"), head + &body)?;
    }
    for (name, mode) in [("inline", SkillsMode::Inline), ("on demand", SkillsMode::OnDemand)] {
        measure(&dir, name, mode)?;
    }
    Ok(())
}

fn measure(dir: &tempfile::TempDir, name: &str, mode: SkillsMode) -> std::io::Result<()> {
    let folder = dir.path().join("here");
    let away = dir.path().join("away");
    // The folder is taken away before anything is timed: what is rendered comes from memory.
    copy(dir.path(), &folder)?;
    let workspace = Workspace::open(WorkspaceOptions {
        path: folder.clone(),
        agent_config: None,
        max_file_chars: 20_000,
        skills_mode: mode,
        env: Arc::new(|_| None),
        is_secret: |_| false,
    });
    fs::rename(&folder, &away)?;
    let Ok(role) = Role::parse("scout") else { return Ok(()) };
    let now = Utc::now().with_timezone(&Zone::UTC);
    let render = |day: u64| {
        let now = now.checked_add_days(Days::new(day)).unwrap_or(now);
        let request = PromptRequest { role: &role, mode: PromptMode::Full, heartbeat: false, now };
        std::hint::black_box(workspace.snapshot().prompt(&request));
    };
    super::row(
        &format!("prompt of {SKILLS} skills, {name}, as every run renders it"),
        super::median(100_000, || render(0)),
        "≤ 20 µs",
    );
    let mut day = 0;
    super::row(
        &format!("prompt of {SKILLS} skills, {name}, the first of a day"),
        super::median(200, || {
            day += 1;
            render(day);
        }),
        "",
    );
    fs::remove_dir_all(away)
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    fs::create_dir_all(to.join("skills"))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    for entry in fs::read_dir(from.join("skills"))? {
        let entry = entry?;
        let skill = to.join("skills").join(entry.file_name());
        fs::create_dir_all(&skill)?;
        fs::copy(entry.path().join("SKILL.md"), skill.join("SKILL.md"))?;
    }
    Ok(())
}

//! Ends a program that outlives whoever started it.

use std::process::Stdio;

use rustix::process::{Pid, test_kill_process_group};
use tokio::process::{Child, Command};

/// Waits for the end of its standard input, which comes when this process ends in whatever way, and kills a
/// process group: a program and all that it has started.
const WATCH: &str = r#"read -r _; kill -s KILL -- "-$1""#;

/// A process that kills a group when this is dropped, or when this process is gone.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Its standard input is open as long as this lives.
    child: Child,
    /// The number of the group.
    group: Option<Pid>,
}

impl Watcher {
    /// Watches over the group of a process that leads one.
    pub(super) fn of(leader: u32) -> std::io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", WATCH, "sh", &leader.to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What kills the group of this process does not kill it.
            .process_group(0)
            .spawn()?;
        let group = i32::try_from(leader).ok().and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// After the leader's end: where it has left nothing running, its number may be another group's from now
    /// on, which is not to be killed.
    pub(super) fn leader_ended(&mut self) {
        let is_gone = |group| test_kill_process_group(group).is_err();
        if self.group.is_some_and(is_gone) {
            self.group = None;
            // It has ended already, or ends now.
            let _ = self.child.start_kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use crate::program::Program;
    use crate::wait_for;

    /// The variable that makes the test below a process that is to be killed.
    const STARTS: &str = "WOMBAT_TEST_WATCHED";

    fn is_alive(pid: &str) -> bool {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // A zombie, which nobody has waited for yet, is gone.
        !status.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    }

    #[tokio::test]
    async fn what_a_killed_test_started_is_gone_with_all_that_it_started() {
        if std::env::var_os(STARTS).is_some() {
            let script = "sleep 600 & echo listening on $$-$!; wait";
            let arguments = ["-c", script];
            let path = std::env::var("PATH").unwrap();
            let mut program =
                Program::start_path(Path::new("sh"), Path::new("/"), &[("PATH", path)], &arguments)
                    .unwrap();
            println!("\n=pids {}", program.url().await.unwrap());
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let name =
            "program::watcher::tests::what_a_killed_test_started_is_gone_with_all_that_it_started";
        let mut test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(STARTS, "1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find_map(|line| line.strip_prefix("=pids ").map(str::to_owned)).unwrap();
        let pids: Vec<_> = line.split('-').collect();
        assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)), "{line}");
        test.kill().unwrap();
        test.wait().unwrap();
        for pid in pids {
            wait_for("the end of a process", async || (!is_alive(pid)).then_some(())).await;
        }
    }

    #[tokio::test]
    async fn what_a_dropped_program_started_is_gone() {
        let path = std::env::var("PATH").unwrap();
        let arguments = ["-c", "sleep 600 & echo listening on $!; wait"];
        let mut program =
            Program::start_path(Path::new("sh"), Path::new("/"), &[("PATH", path)], &arguments)
                .unwrap();
        let pid = program.url().await.unwrap();
        assert!(is_alive(&pid), "{pid}");
        drop(program);
        wait_for("the end of a process", async || (!is_alive(&pid)).then_some(())).await;
    }
}

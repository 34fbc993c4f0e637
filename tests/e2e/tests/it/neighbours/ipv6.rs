//! A machine that has IPv6 only: a network namespace whose loopback interface has no IPv4 address.

use test_support::program::Program;
use test_support::{skip, stack};
use tokio::process::Command;

/// Backend, daemon and dispatcher, each on `::1`, and what is said of them and done by them. `$1` is the name by which they are
/// called.
const SCRIPT: &str = r#"
ip link set lo up
ip -4 addr flush dev lo
export MC_HOST=::1 MC_PORT=8000 WOMBAT_HOST=::1 WOMBAT_PORT=8081
export BACKEND_URL="http://$1:8000/" AGENT_DAEMON_URL="http://$1:8081"
export DISPATCH_HTTP_PORT=9090 DISPATCH_MIN_INTERVAL_SEC=0.1 DISPATCH_MAX_INTERVAL_SEC=1
"$BACKEND" & backend=$!
"$DAEMON" & daemon=$!
"$DISPATCHER" & dispatcher=$!
trap 'kill $dispatcher; wait $dispatcher; kill $backend $daemon; wait' EXIT
for program in "$BACKEND" "$DAEMON" "$DISPATCHER"; do
  tries=0
  until "$program" health; do tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 0.1; done
done
"$DAEMON" check
printf 'Hello.\n' | "$DAEMON" chat --user ann --role scout
"$STANDUP" --user ann
as_ann() {
  path=$1; shift
  curl -sSfg --noproxy '*' "${BACKEND_URL}api/mission-control/$path" -H "X-Internal-Token: $INTERNAL_API_TOKEN" \
    -H 'X-On-Behalf-Of: ann' -H 'Content-Type: application/json' "$@"
}
task=$(as_ann tasks -d '{"title": "Delivered"}' | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
as_ann notifications -d '{"user_id": "ann", "session_key": "user:ann:scout", "task_id": "'$task'", "content": "Hello."}'
tries=0
until as_ann "messages?task_id=$task" | grep -q '"actor_type":"agent"'; do
  tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 0.1
done
curl -sSfg --noproxy '*' "http://$1:9090/livez"
echo 'The dispatcher delivered.'
"#;

#[tokio::test]
async fn everything_works_where_there_is_only_ipv6() {
    let probe =
        Command::new("unshare").args(["-n", "ip", "link", "set", "lo", "up"]).output().await;
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return skip("no network namespace can be made: needs unshare, ip and root");
    }
    for name in ["[::1]", "localhost"] {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str| Program::path(name).unwrap();
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-euc", SCRIPT, "sh", name]).current_dir(dir.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("DAEMON", program("wombat-daemon"));
        command.env("BACKEND", program("wombat-mission-control"));
        command.env("DISPATCHER", program("wombat-dispatcher"));
        command.env("STANDUP", program("wombat-standup"));
        command.env("WOMBAT_WORKSPACE", stack::example().join("workspace"));
        command.envs([
            ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("INTERNAL_API_TOKEN", "0123456789abcdef0123456789abcdef"),
            ("AGENT_DAEMON_API_KEY", "0123456789abcdef0123456789abcdef"),
            ("LLM_PROVIDER", "offline"),
        ]);
        let done = command.kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let log = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{name}: {said}{log}");
        for part in ["Runs can work.", "Standup", "The dispatcher delivered."] {
            assert!(said.contains(part), "{name}: {part}: {said}{log}");
        }
        assert!(
            said.contains("listening on http://[::1]:8081") || log.contains("http://[::1]:8081")
        );
    }
}

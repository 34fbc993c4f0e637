# one_run BIN WORKSPACE-EXAMPLE: does a run with the reference backend and the daemon in BIN; needs $work, a folder of
# the caller, and check-lib.sh. stop_programs stops what still runs. Sourced.
# shellcheck shell=bash

pids=()
stop_programs() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
  pids=()
}

# Prints the address that a program listens on, once it does; fails when the program has ended.
address_of() {
  local log="$1" pid="$2" found
  for _ in $(seq 600); do
    found="$(grep -ao '127\.0\.0\.1:[0-9]*' "$log" | head -1)"
    [ -n "$found" ] && [ "${found##*:}" != 0 ] && { echo "http://$found"; return 0; }
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -5 "$log" >&2
  return 1
}

one_run() {
  local bin="$1" example="$2" backend daemon answer again
  command -v curl >/dev/null || { skip "a run" "curl is missing: apt-get install curl"; return; }
  mkdir -p "$work/empty"
  # Nothing of the caller's environment decides; a program that looks for .env or wombat.toml finds none.
  local clean=(env -i -C "$work/empty" AGENT_JWT_SECRET=package-check-secret-of-32-bytes-or-more
    INTERNAL_API_TOKEN=package-check-internal AGENT_DAEMON_API_KEY=package-check-key WOMBAT_LOG_FORMAT=json)
  "${clean[@]}" MC_PORT=0 MC_DATA_DIR="$work/data" "$bin/wombat-mission-control" 2>"$work/backend.log" &
  pids+=($!)
  backend="$(address_of "$work/backend.log" $!)"
  verdict $? "the reference backend listens"
  "${clean[@]}" WOMBAT_PORT=0 BACKEND_URL="$backend" LLM_PROVIDER=offline WOMBAT_WORKSPACE="$example/workspace" \
    "$bin/wombat-daemon" 2>"$work/daemon.log" &
  pids+=($!)
  daemon="$(address_of "$work/daemon.log" $!)"
  verdict $? "the daemon listens"

  local send=(-sS --max-time 60 "$daemon/api/agents/send" -H 'X-Agent-Daemon-Key: package-check-key'
    -H 'Content-Type: application/json' -H 'Idempotency-Key: package-check'
    -d '{"user_id": "u1", "session_key": "user:u1:scout", "task_title": "Hello", "message": "Hello"}')
  answer="$(curl "${send[@]}")"
  python3 -c 'import json, sys; answer = json.loads(sys.argv[1]); assert answer["response"].strip(), answer' "$answer"
  verdict $? "a message gets a reply: $(cut -c1-90 <<<"$answer")"
  # The same key once more: the daemon finds the reply in the backend, and asks no model.
  again="$(curl "${send[@]}")"
  python3 -c 'import json, sys
first, again = map(json.loads, sys.argv[1:])
assert again["replayed"] and again["message_id"] == first["message_id"], again' "$answer" "$again"
  verdict $? "the reply is stored in the backend, and found there by its key"

  local others=("${clean[@]}" BACKEND_URL="$backend" AGENT_DAEMON_URL="$daemon")
  "${others[@]}" "$bin/wombat-dispatcher" --once 2>"$work/dispatcher.log"
  verdict $? "the dispatcher delivers what waits, and ends"
  "${others[@]}" "$bin/wombat-heartbeat" --user u1 --role scout 2>/dev/null | grep -qx heartbeat_ok
  verdict $? "the heartbeat says heartbeat_ok"
  "${others[@]}" "$bin/wombat-standup" 2>/dev/null | grep -qx standup_ok
  verdict $? "the standup says standup_ok"

  # Roots of TLS are the machine's; a program that finds none says what to do.
  : >"$work/no-roots.pem"
  # It ends with an error, as it should.
  local said
  said="$("${others[@]}" SSL_CERT_FILE="$work/no-roots.pem" LLM_PROVIDER=offline WOMBAT_WORKSPACE="$example/workspace" WOMBAT_PORT=0 \
    timeout 60 "$bin/wombat-daemon" 2>&1 >/dev/null || true)"
  grep -q 'No CA certificates.*install ca-certificates' <<<"$said"
  verdict $? "without roots of TLS the daemon says what to install"

  stop_programs
  ! pgrep -f "^$bin/" >/dev/null
  verdict $? "both end when told, and leave no process"
}

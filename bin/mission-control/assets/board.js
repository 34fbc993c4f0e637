// Keeps the lists fresh, and completes @names. The page works without it: reload instead.
const live = document.getElementById("live");

async function refresh() {
  if (!live || document.hidden) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of live.querySelectorAll("section")) {
      const fresh = page.getElementById(old.id);
      if (!fresh) continue;
      // What was opened stays open.
      for (const opened of old.querySelectorAll("details[id][open]")) {
        fresh.querySelector("#" + CSS.escape(opened.id))?.setAttribute("open", "");
      }
      // What somebody is using, or has begun to fill in, is left alone until the next turn.
      const fields = [...old.querySelectorAll("input, textarea")];
      const used = old.contains(document.activeElement) || fields.some((one) => one.value !== one.defaultValue);
      if (!used && fresh.innerHTML !== old.innerHTML) old.replaceWith(fresh);
    }
  } catch {
    // The backend is away; the next turn tries again.
  }
}

let soon;

// Several changes at once are one look.
function look() {
  clearTimeout(soon);
  soon = setTimeout(refresh, 100);
}

const events = live?.dataset.events;
if (events) {
  const stream = new EventSource(events);
  stream.onopen = look;
  stream.onmessage = look;
}
document.addEventListener("visibilitychange", look);
// What is no event, such as a delivery, shows in a while.
setInterval(refresh, events ? 5000 : 2000);

// In the message, @ and the beginning of a name offer the agents.
const text = document.getElementById("text");
const names = document.getElementById("names");
const roles = [...document.querySelectorAll("#roles option")].map((option) => option.value);

function begun() {
  return /(^|\s)@([\w-]*)$/.exec(text.value.slice(0, text.selectionStart))?.[2];
}

function offer() {
  const start = begun();
  const fitting = start === undefined ? [] : roles.filter((role) => role.startsWith(start) && role !== start);
  names.replaceChildren(
    ...fitting.map((role, place) => {
      const item = document.createElement("li");
      item.role = "option";
      item.id = "name-" + place;
      item.textContent = "@" + role;
      item.setAttribute("aria-selected", String(place === 0));
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        take(role);
      });
      return item;
    }),
  );
  names.hidden = fitting.length === 0;
  if (fitting.length > 0) text.setAttribute("aria-activedescendant", "name-0");
  else text.removeAttribute("aria-activedescendant");
}

function take(role) {
  const [at, start] = [text.selectionStart, begun() ?? ""];
  text.setRangeText(role.slice(start.length) + " ", at, at, "end");
  offer();
}

function move(by) {
  const all = [...names.children];
  const now = all.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const next = (now + by + all.length) % all.length;
  all.forEach((item, place) => item.setAttribute("aria-selected", String(place === next)));
  text.setAttribute("aria-activedescendant", "name-" + next);
}

text?.addEventListener("input", offer);
text?.addEventListener("blur", () => (names.hidden = true));
text?.addEventListener("keydown", (event) => {
  if (names.hidden) return;
  const chosen = names.querySelector("[aria-selected=true]");
  if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(-1);
  else if (event.key === "Escape") names.hidden = true;
  else if (event.key === "Enter" || event.key === "Tab") take(chosen.textContent.slice(1));
  else return;
  event.preventDefault();
});

// Keeps the lists fresh. The page works without it: reload instead.
const live = document.getElementById("live");

async function refresh() {
  if (!live || document.hidden) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of live.querySelectorAll("section")) {
      const fresh = page.getElementById(old.id);
      // What somebody is using is left alone until the next turn.
      const used = old.contains(document.activeElement);
      if (fresh && !used && fresh.innerHTML !== old.innerHTML) old.replaceWith(fresh);
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

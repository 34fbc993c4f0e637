// Keeps the lists fresh. The page works without it: reload instead.
const live = document.getElementById("live");

async function refresh() {
  if (!live || document.hidden) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh && fresh.innerHTML !== live.innerHTML) live.replaceChildren(...fresh.childNodes);
  } catch {
    // The backend is away; the next turn tries again.
  }
}

setInterval(refresh, 2000);

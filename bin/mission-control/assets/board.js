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

setInterval(refresh, 2000);
